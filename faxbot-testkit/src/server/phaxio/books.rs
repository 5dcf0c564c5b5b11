//! What the vendor took.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;

use super::fax::Fax;

/// One fax that was taken, to one number or more. `Debug` shows the id, the tags and the number of
/// pages.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BookedFax {
    /// The vendor's id of it.
    pub id: u64,
    /// The customer's tags.
    pub tags: BTreeMap<String, String>,
    /// The numbers.
    pub to: Vec<String>,
    /// The number that is shown.
    pub caller_id: Option<String>,
    /// The files that were uploaded.
    pub documents: Vec<Bytes>,
    /// The addresses that the vendor was to fetch.
    pub content_urls: Vec<String>,
    /// The pages of all of them; one that was to be fetched counts as one.
    pub pages: u32,
    /// The text of the header line.
    pub header_text: Option<String>,
    /// Where its end is told.
    pub callback_url: Option<String>,
    /// Minutes after which the vendor cancels it.
    pub cancel_timeout: Option<u32>,
    /// What the vendor calls its state.
    pub status: String,
    /// The fax that this one sends again.
    pub resent: Option<u64>,
}

impl BookedFax {
    pub(super) fn new(fax: &Fax) -> Self {
        let documents = fax.order.documents.iter();
        Self {
            id: fax.id,
            tags: fax.order.tags.clone(),
            to: fax.order.to.clone(),
            caller_id: fax.order.caller_id.clone(),
            documents: documents.map(|it| it.bytes.clone()).collect(),
            content_urls: fax.order.urls.clone(),
            pages: fax.pages,
            header_text: fax.order.header_text.clone(),
            callback_url: fax.order.callback_url.clone(),
            cancel_timeout: fax.order.cancel_timeout,
            status: fax.status.clone(),
            resent: fax.resent,
        }
    }
}

impl fmt::Debug for BookedFax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BookedFax")
            .field("id", &self.id)
            .field("tags", &self.tags)
            .field("pages", &self.pages)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
