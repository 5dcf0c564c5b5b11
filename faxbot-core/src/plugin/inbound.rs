//! Received faxes, and lists that come in pages.

use serde::{Deserialize, Serialize};

use crate::{Private, Timestamp, webhook::Authenticity};

/// Items of a page unless the query says otherwise.
pub const DEFAULT_LIMIT: usize = 10;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Asks for the next page; absent on the last one. Opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The last page.
    pub fn last(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
        }
    }

    /// A page with more behind it.
    pub fn more(items: Vec<T>, next_cursor: impl Into<String>) -> Self {
        Self {
            items,
            next_cursor: Some(next_cursor.into()),
        }
    }

    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// Which received faxes are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct InboundQuery {
    /// Items of a page; 10. A provider may give fewer.
    pub limit: usize,
    /// [`Page::next_cursor`] of the page before; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Default for InboundQuery {
    fn default() -> Self {
        Self {
            limit: DEFAULT_LIMIT,
            cursor: None,
        }
    }
}

impl InboundQuery {
    /// The first page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many items a page has.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Goes on after an earlier page.
    #[must_use]
    pub fn with_cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }
}

/// A received fax. Its pages are fetched with `get_inbound`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InboundFax {
    /// The plugin's id of it.
    pub id: String,
    /// The plugin that received it.
    pub backend: String,
    /// The caller's number, as the network gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Private>,
    /// The number that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Private>,
    /// What the sender calls itself (TSI). No proof of identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station_id: Option<Private>,
    /// Its pages; absent where the provider does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<u32>,
    /// When it was received.
    pub received_at: Timestamp,
    /// The provider's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_sid: Option<String>,
    /// What proves that the provider received it; absent where no vendor is in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticity: Option<Authenticity>,
}

impl InboundFax {
    /// A fax of which nothing else is known.
    pub fn new(id: impl Into<String>, backend: impl Into<String>, received_at: Timestamp) -> Self {
        Self {
            id: id.into(),
            backend: backend.into(),
            from: None,
            to: None,
            station_id: None,
            pages: None,
            received_at,
            provider_sid: None,
            authenticity: None,
        }
    }
}
