//! The pages of the next call: the whole document, or those of it that no call has brought so far.
//! A server that can begin at a later page gets the whole document again; for any other one the rest
//! is cut out.

use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{Document, FaxImage},
    sip::{Capability, SipAdapter},
    task::blocking,
};

use super::{
    job::Rest,
    same::{self, Mark},
    table::Entry,
    worker::{CONVERT_OVERRUN, Shared},
};
use crate::jobs::expired;

/// What the next call sends.
pub(super) struct Next {
    /// All pages of the document, or those that are left.
    pub(super) image: FaxImage,
    /// Where the server begins in them, from 1.
    pub(super) first_page: u32,
    /// The server draws the header line; else it is drawn above each page already.
    pub(super) server_draws: bool,
}

impl Next {
    fn from_page(image: FaxImage, first_page: u32) -> Self {
        Self {
            image,
            first_page,
            server_draws: true,
        }
    }
}

/// The pages of the call that is due; `None` when there is none, or when it cannot be placed now.
/// They are cut for each call anew, so that a header line has its time.
pub(super) async fn next_pages(shared: &Shared, entry: &Entry) -> Option<Next> {
    let now = shared.now();
    let (image, mut rest, document, mark) = {
        let state = entry.lock();
        let rest = state.job.rest(now.wall)?;
        let image = state.image.clone()?;
        let document = state.document.clone();
        let document = document.filter(|document| same::is_the_document(&image, document));
        (image, rest, document, state.mark)
    };
    if rest.is_whole() {
        return Some(Next::from_page(image, 1));
    }
    let first_page = rest.pages.start.saturating_add(1);
    let by_server = can_begin_later(shared.adapter.as_ref());
    if by_server {
        if document.is_none() {
            tracing::info!(job_id = %entry.id, first_page, "a fax goes on behind its confirmed pages");
            return Some(Next::from_page(image, first_page));
        }
        // The caller's own file may change until the server has read it: a copy of all pages does not.
        rest.pages.start = 0;
        rest.header = None;
    }
    let limit = shared.config.limits.time.saturating_add(CONVERT_OVERRUN);
    let until = now.instant.checked_add(limit);
    let cut = tokio::select! {
        biased;
        () = shared.token.cancelled() => return None,
        () = entry.wake.notified() => return None,
        cut = cut_unchanged(shared, &image, rest, document.map(|it| (it, mark))) => cut,
        () = expired(&shared.clock, until) => Err(Error::document(
            "send_fax",
            DocumentReason::Timeout,
            "the converter gave no answer in time",
        )),
    };
    match cut {
        Ok(image) => {
            tracing::info!(job_id = %entry.id, first_page, "a fax goes on behind its confirmed pages");
            Some(if by_server {
                Next::from_page(image, first_page)
            } else {
                Next {
                    image,
                    first_page: 1,
                    server_draws: false,
                }
            })
        }
        Err(error) => {
            tracing::warn!(job_id = %entry.id, kind = ?error.kind(), reason = ?error.document_reason(), "the pages that are left were not cut out");
            shared.change(entry, |state, now| state.job.not_cut(&error, now));
            None
        }
    }
}

/// Whether the server begins at a later page of a file, with the header line of that page.
pub(super) fn can_begin_later(adapter: &dyn SipAdapter) -> bool {
    adapter.capabilities().has(Capability::FaxFirstPage)
}

/// Cuts from an image that is the document itself only if that has the mark it had.
async fn cut_unchanged(
    shared: &Shared,
    image: &FaxImage,
    rest: Rest,
    document: Option<(Document, Option<Mark>)>,
) -> Result<FaxImage> {
    let cut = cut(shared, image, rest).await?;
    // After the cut, so that a change meanwhile counts too.
    if let Some((document, mark)) = document
        && Mark::of(&document, shared.config.limits.bytes).await != mark
    {
        return Err(Error::document(
            "send_fax",
            DocumentReason::Damaged,
            "the document changed",
        ));
    }
    Ok(cut)
}

async fn cut(shared: &Shared, image: &FaxImage, rest: Rest) -> Result<FaxImage> {
    let count = rest.pages.end.saturating_sub(rest.pages.start);
    let copy = match &shared.documents {
        Some(converter) => converter.copy_pages(image, rest.pages, rest.header).await?,
        // The host took its converter away since the job began.
        None if rest.header.is_some() => {
            let message = "no converter to draw header lines";
            return Err(Error::new(ErrorKind::Unsupported, "send_fax", message)
                .with_effect(Effect::NoEffect));
        }
        None => {
            let image = image.clone();
            let work = move || image.copy_pages(rest.pages, std::env::temp_dir());
            blocking("send_fax", work).await??
        }
    };
    // A converter of somebody else's is not believed: too many pages would be sent twice.
    if copy.pages() != count || copy.resolution() != image.resolution() {
        return Err(Error::document(
            "send_fax",
            DocumentReason::Unsuitable,
            "the converter answered other pages",
        ));
    }
    Ok(copy)
}
