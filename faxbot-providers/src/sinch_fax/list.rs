//! Sinch's lists, a page at a time, newest first.
//!
//! Without a bound they end a week ago; a page has 100 faxes, and 1,000 at most, and is called `page` or
//! `pageNumber` (sinch-sdk-node at affb35e, `packages/fax/src/rest/v3/faxes/faxes-api.ts`;
//! sinch-sdk-dotnet at f408a0f, `src/Sinch/Core/PagedResponse.cs`).

use faxbot_core::Result;
use serde::Deserialize;
use serde_json::Value;

use super::wire::{Fax, LABEL, unreadable};
use crate::cloud::lenient;

/// Whether it has our label, for whatever job.
pub(super) fn has_label(raw: &Value) -> bool {
    raw.get("labels")
        .is_some_and(|labels| labels.get(LABEL).is_some())
}

/// A page of a list.
pub(super) struct List {
    faxes: Vec<Value>,
    paging: Paging,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paging {
    #[serde(default, deserialize_with = "lenient::number")]
    total_pages: Option<u32>,
    /// Perhaps fewer than were asked for.
    #[serde(default, deserialize_with = "lenient::number")]
    page_size: Option<usize>,
}

impl List {
    /// Reads a page.
    ///
    /// # Errors
    /// `Protocol` without a list of faxes: an empty one must not be made of anything else.
    pub(super) fn read(operation: &'static str, answer: Value) -> Result<Self> {
        let paging = Paging::deserialize(&answer).unwrap_or_default();
        let faxes = match answer {
            Value::Object(mut fields) => fields.remove("faxes"),
            other => Some(other),
        };
        match faxes {
            Some(Value::Array(faxes)) => Ok(Self { faxes, paging }),
            _ => Err(unreadable(operation, false)),
        }
    }

    /// Whether there are others behind page `page` of `size`. Without a word about that only an empty
    /// page, and one that is shorter than Sinch says that its pages are, is the last one.
    pub(super) fn goes_on(&self, page: u32, size: usize) -> bool {
        let listed = self.faxes.len();
        match (self.paging.total_pages, self.paging.page_size) {
            _ if listed == 0 => false,
            (Some(total), _) if total > 0 => page < total,
            (_, told) => listed >= told.map_or(1, |told| told.clamp(1, size)),
        }
    }

    /// What it tells of each fax.
    pub(super) fn items(self) -> Vec<Value> {
        self.faxes
    }

    /// The numbers that they went to, or came in at.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &str> {
        self.faxes.iter().filter_map(|fax| fax.get("to")?.as_str())
    }

    /// The faxes that can be read.
    pub(super) fn faxes(self) -> Vec<Fax> {
        let read = |raw: Value| Fax::read("list", &raw).ok();
        self.faxes.into_iter().filter_map(read).collect()
    }
}
