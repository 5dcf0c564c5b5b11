//! Faxes that came in: lists in pages, and their documents.

use faxbot_core::{
    ErrorKind,
    document::{Document, DocumentSource},
    plugin::{InboundFax, InboundQuery, Page, PluginCapability},
};

use super::{Entry, Need, SOON, World, entry, error_of, kind_is};
use crate::conformance::{Failure, Verdict, ensure, within};

const LIST: Need = Need::Can(|| PluginCapability::LIST_INBOUND);
const GET: Need = Need::Can(|| PluginCapability::GET_INBOUND);

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "received faxes are listed newest first",
            [; LIST, Need::Inbound],
            newest_first
        ),
        entry!("a list of no faxes is empty and ends", [; LIST], empty),
        entry!(
            "the pages of a list hold every fax once",
            [; LIST, Need::Inbound],
            pages
        ),
        entry!(
            "a cursor that is none is an invalid request",
            [; LIST],
            bad_cursor
        ),
        entry!(
            "the document of a received fax can be had, and again",
            [; GET, Need::Inbound],
            document
        ),
        entry!("an unknown received fax is not found", [; GET], unknown),
    ]
}

impl World {
    async fn list(&self, query: InboundQuery) -> Result<Page<InboundFax>, Failure> {
        let list = self.plugin.list_inbound(query);
        Ok(within("list_inbound", SOON, list).await??)
    }

    pub(super) async fn get(&self, id: &str) -> Result<Document, Failure> {
        Ok(within("get_inbound", SOON, self.plugin.get_inbound(id)).await??)
    }
}

async fn newest_first(mut world: World) -> Verdict {
    world.start().await?;
    let mut expected = Vec::new();
    for pages in 1..=3 {
        expected.push(world.setup.fax_in(pages).await?);
    }
    expected.reverse();
    let page = world.list(InboundQuery::new()).await?;
    let ids: Vec<_> = page.items.iter().map(|fax| fax.id.clone()).collect();
    ensure!(ids == expected, "{ids:?} and not {expected:?}");
    let backend = world.plugin.manifest().id.as_str();
    for (fax, pages) in page.items.iter().zip((1..=3).rev()) {
        ensure!(fax.backend == backend, "the backend is {}", fax.backend);
        ensure!(
            fax.pages.is_none_or(|seen| seen == pages),
            "{:?} pages of {pages}",
            fax.pages
        );
    }
    ensure!(page.next_cursor.is_none(), "a page behind the last one");
    Ok(())
}

async fn empty(mut world: World) -> Verdict {
    world.start().await?;
    let page = world.list(InboundQuery::new()).await?;
    ensure!(
        page.items.is_empty() && page.next_cursor.is_none(),
        "{page:?}"
    );
    Ok(())
}

async fn pages(mut world: World) -> Verdict {
    world.start().await?;
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(world.setup.fax_in(1).await?);
    }
    expected.reverse();
    let mut ids = Vec::new();
    let mut query = InboundQuery::new().with_limit(2);
    // One more than there can be: the last may be empty.
    for _ in 0..7 {
        let page = world.list(query.clone()).await?;
        ensure!(page.items.len() <= 2, "{} of 2", page.items.len());
        ids.extend(page.items.into_iter().map(|fax| fax.id));
        match page.next_cursor {
            Some(cursor) => query = query.with_cursor(cursor),
            None => {
                ensure!(ids == expected, "{ids:?} and not {expected:?}");
                return Ok(());
            }
        }
    }
    Err(Failure::new("the list has no end"))
}

async fn bad_cursor(mut world: World) -> Verdict {
    world.start().await?;
    let query = InboundQuery::new().with_cursor("no cursor\r\nat all");
    let list = within("list_inbound", SOON, world.plugin.list_inbound(query)).await?;
    let error = error_of("a cursor that is none", list)?;
    kind_is(
        "a cursor that is none",
        &error,
        &[ErrorKind::InvalidRequest],
    )
}

/// The bytes of a document that was received.
pub(super) fn bytes(document: &Document) -> Result<usize, Failure> {
    match document.source() {
        DocumentSource::Bytes(bytes) => Ok(bytes.len()),
        DocumentSource::Path(path) => Ok(usize::try_from(std::fs::metadata(path)?.len())?),
        other => Err(Failure::new(format!("neither bytes nor a file: {other:?}"))),
    }
}

async fn document(mut world: World) -> Verdict {
    world.start().await?;
    let id = world.setup.fax_in(2).await?;
    let first = bytes(&world.get(&id).await?)?;
    ensure!(first > 0, "the document is empty");
    let again = bytes(&world.get(&id).await?)?;
    ensure!(
        again == first,
        "{again} bytes the second time, {first} before"
    );
    Ok(())
}

async fn unknown(mut world: World) -> Verdict {
    world.start().await?;
    for (id, kinds) in [
        ("999999999", &[ErrorKind::NotFound][..]),
        ("", &[ErrorKind::NotFound, ErrorKind::InvalidRequest]),
        ("../x", &[ErrorKind::NotFound, ErrorKind::InvalidRequest]),
        ("a\r\nb", &[ErrorKind::NotFound, ErrorKind::InvalidRequest]),
    ] {
        let get = within("get_inbound", SOON, world.plugin.get_inbound(id)).await?;
        let error = error_of("an unknown received fax", get)?;
        kind_is("an unknown received fax", &error, kinds)?;
    }
    Ok(())
}
