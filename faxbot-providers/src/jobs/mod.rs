//! What the plugins that run jobs have in common, whatever carries a job out: the table of jobs, the
//! slot of a started plugin, time as it is passed in, and what is said of a failure.

mod slot;
mod table;
mod time;
mod words;

use faxbot_core::{
    DocumentReason, Error, Result,
    document::{Document, DocumentSource},
};

pub(crate) use slot::{Running, Slot, check_start};
pub(crate) use table::{Held, Retention, Table};
pub(crate) use time::{Now, Refusals, expired, later};
pub(crate) use words::{class_of_error, class_of_pages, describe, document_note};

/// What is in memory can be told at once: an empty part, and more bytes than all of them may have.
pub(crate) fn check_document(document: &Document, limit: u64) -> Result<()> {
    let parts = match document.source() {
        DocumentSource::Combined(parts) => parts.as_slice(),
        _ => std::slice::from_ref(document),
    };
    let mut bytes = 0_u64;
    let mut empty = parts.is_empty();
    for part in parts {
        if let DocumentSource::Bytes(part) = part.source() {
            empty |= part.is_empty();
            bytes = bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        }
    }
    let refused = |reason, message| Err(Error::document("send_fax", reason, message));
    if empty {
        refused(DocumentReason::Empty, "the document is empty")
    } else if bytes > limit {
        refused(
            DocumentReason::TooLarge,
            "the document has more bytes than max_bytes",
        )
    } else {
        Ok(())
    }
}
