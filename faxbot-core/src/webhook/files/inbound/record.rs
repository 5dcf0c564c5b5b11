//! Records as they are in files, and the names of the files.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::disk::is_id;
use crate::{Effect, Error, ErrorKind, Result, plugin::InboundFax};

/// The record of a fax, whose pages are in another file.
#[derive(Serialize, Deserialize)]
pub(super) struct FaxRecord {
    pub(super) fax: InboundFax,
    pub(super) content_type: String,
    /// Length of the pages, so that a record without its whole pages is none.
    pub(super) bytes: u64,
}

pub(super) const FAX: &str = ".fax";
pub(super) const MESSAGE: &str = ".message";
pub(super) const PAGES: &str = ".pages";
pub(super) const DAMAGED: &str = ".damaged";

/// The name of a file. An id comes from outside and may be anything, so it is hashed, never written.
pub(super) fn name(ending: &str, backend: &str, id: &str) -> String {
    let text = format!("{} {backend} {id}", backend.len());
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
    format!("{}{ending}", hash.simple())
}

/// Whether a file has such a name.
pub(super) fn is_ours(file: &str) -> bool {
    [FAX, MESSAGE, PAGES]
        .iter()
        .any(|ending| file.strip_suffix(ending).is_some_and(is_id))
}

/// Two ids with one hash are not taken for one.
pub(super) fn same(known: (&str, &str), new: (&str, &str)) -> Result<()> {
    if known == new {
        return Ok(());
    }
    let message = "another record has the same name";
    Err(Error::new(ErrorKind::Io, "put", message).with_effect(Effect::NoEffect))
}

pub(super) fn to_json<T: Serialize>(operation: &'static str, record: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|source| {
        Error::new(
            ErrorKind::Internal,
            operation,
            "the record cannot be written",
        )
        .with_effect(Effect::NoEffect)
        .with_source(source)
    })
}
