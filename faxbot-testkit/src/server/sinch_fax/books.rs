//! What the vendor took.

use std::{collections::BTreeMap, fmt};

use bytes::Bytes;
use serde_json::Value;

use super::fax::Fax;

/// One fax that was taken: an order to several numbers is several. `Debug` shows the id, the labels and
/// the number of pages.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BookedFax {
    /// The vendor's id of it.
    pub id: String,
    /// The customer's labels.
    pub labels: BTreeMap<String, String>,
    /// The number, with its `+`.
    pub to: String,
    /// The sender's number.
    pub from: Option<String>,
    /// The files that were uploaded.
    pub documents: Vec<Bytes>,
    /// The addresses that the vendor was to fetch.
    pub content_urls: Vec<String>,
    /// The pages of all of them; one that was to be fetched counts as one.
    pub pages: u32,
    /// How often the vendor was to dial again.
    pub max_retries: u32,
    /// `FINE` or `SUPERFINE`.
    pub resolution: String,
}

impl BookedFax {
    pub(super) fn new(fax: &Fax) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let labels = fax.labels.iter();
        Self {
            id: fax.id.clone(),
            labels: labels
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
            to: fax.to.clone(),
            from: fax.from.clone(),
            documents: fax.documents.clone(),
            content_urls: fax.urls.clone(),
            pages: fax.pages,
            max_retries: fax.max_retries,
            resolution: fax.settings.get("resolution").map(text).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for BookedFax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BookedFax")
            .field("id", &self.id)
            .field("labels", &self.labels)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}
