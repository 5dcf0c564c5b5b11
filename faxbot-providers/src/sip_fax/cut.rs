//! The pages of the next call: the whole document, or those of it that no call has brought so far.

use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result, document::FaxImage, task::blocking,
};

use super::{
    job::Rest,
    table::Entry,
    worker::{CONVERT_OVERRUN, Shared, expired},
};

/// What the next call sends.
pub(super) struct Next {
    pub(super) image: FaxImage,
    /// All pages of the document.
    pub(super) whole: bool,
}

/// The pages of the call that is due; `None` when there is none, or when it cannot be placed now.
/// They are cut for each call anew, so that a header line has its time.
pub(super) async fn next_pages(shared: &Shared, entry: &Entry) -> Option<Next> {
    let now = shared.now();
    let (image, rest) = {
        let state = entry.lock();
        (state.image.clone()?, state.job.rest(now.wall)?)
    };
    if rest.is_whole() {
        return Some(Next { image, whole: true });
    }
    let first_page = rest.pages.start.saturating_add(1);
    let limit = shared.config.limits.time.saturating_add(CONVERT_OVERRUN);
    let until = now.instant.checked_add(limit);
    let cut = tokio::select! {
        biased;
        () = shared.token.cancelled() => return None,
        () = entry.wake.notified() => return None,
        cut = cut(shared, &image, rest) => cut,
        () = expired(shared, until) => Err(Error::document(
            "send_fax",
            DocumentReason::Timeout,
            "the converter gave no answer in time",
        )),
    };
    match cut {
        Ok(image) => {
            tracing::info!(job_id = %entry.id, first_page, pages = image.pages(), "a fax goes on behind its confirmed pages");
            Some(Next {
                image,
                whole: false,
            })
        }
        Err(error) => {
            tracing::warn!(job_id = %entry.id, kind = ?error.kind(), reason = ?error.document_reason(), "the pages that are left were not cut out");
            shared.change(entry, |state, now| state.job.not_cut(&error, now));
            None
        }
    }
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
