//! What the vendor took.

use std::fmt;

use serde_json::Value;

use super::batch::Batch;

/// One batch that was taken. `Debug` shows the id, the reference and the type.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct BookedSms {
    /// The vendor's id of it.
    pub id: String,
    /// The customer's label.
    pub client_reference: Option<String>,
    /// `mt_text`, `mt_binary` or `mt_media`.
    pub kind: String,
    /// The recipients, digits.
    pub to: Vec<String>,
    /// The sender, as it was given.
    pub from: Option<String>,
    /// The text, base64 of the bytes, or the object of the media.
    pub body: Value,
    /// Parts of each message.
    pub parts: u32,
    /// Whether it was cancelled.
    pub canceled: bool,
}

impl BookedSms {
    pub(super) fn new(batch: &Batch) -> Self {
        Self {
            id: batch.id.clone(),
            client_reference: batch.reference.clone(),
            kind: batch.kind.to_owned(),
            to: batch
                .messages
                .iter()
                .map(|message| message.to.clone())
                .collect(),
            from: batch.from.clone(),
            body: batch.body().clone(),
            parts: batch.parts,
            canceled: batch.canceled,
        }
    }
}

impl fmt::Debug for BookedSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BookedSms")
            .field("id", &self.id)
            .field("client_reference", &self.client_reference)
            .field("kind", &self.kind)
            .field("recipients", &self.to.len())
            .finish_non_exhaustive()
    }
}
