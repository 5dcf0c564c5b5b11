//! Phaxio's lists, a page at a time, newest first.
//!
//! Without a bound they end a week ago; a page has 25 faxes, and 1,000 at most; above ten thousand the
//! total is the text `">10000"` (Phaxio's pages "List Faxes" and "Paging").

use faxbot_core::Result;
use serde::Deserialize;
use serde_json::Value;

use super::wire::{Envelope, Fax, unreadable};
use crate::cloud::lenient;

/// A page of a list.
pub(super) struct List {
    /// What it tells of each fax.
    pub(super) items: Vec<Value>,
    total: Total,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Total {
    Counted(u64),
    /// Above ten thousand, where Phaxio writes `">10000"`.
    Many,
    Untold,
}

#[derive(Deserialize)]
struct Count {
    #[serde(default, rename = "total", deserialize_with = "lenient::number")]
    number: Option<u64>,
}

impl List {
    /// Reads a page.
    ///
    /// # Errors
    /// `Protocol` for an answer without a list: an empty one must not be made of it.
    pub(super) fn read(operation: &'static str, answer: Envelope) -> Result<Self> {
        let Value::Array(items) = answer.data else {
            return Err(unreadable(operation, false));
        };
        let number = Count::deserialize(&answer.paging)
            .ok()
            .and_then(|count| count.number);
        let total = match (number, answer.paging.get("total")) {
            (Some(number), _) => Total::Counted(number),
            (None, None | Some(Value::Null)) => Total::Untold,
            (None, Some(_)) => Total::Many,
        };
        Ok(Self { items, total })
    }

    /// Whether this page, the first one, certainly has all there are.
    pub(super) fn is_whole(&self) -> bool {
        let listed = self.items.len() as u64;
        match self.total {
            Total::Counted(total) => total <= listed,
            Total::Many => false,
            Total::Untold => listed == 0,
        }
    }

    /// Whether there are others behind page `page` of `size`.
    pub(super) fn goes_on(&self, page: u32, size: usize) -> bool {
        let seen = u64::from(page).saturating_mul(size as u64);
        let more = match self.total {
            Total::Counted(total) => total > seen,
            Total::Many | Total::Untold => true,
        };
        more && self.items.len() >= size
    }

    /// The faxes that can be read.
    pub(super) fn faxes(self) -> Vec<Fax> {
        let read = |raw: Value| Fax::read("list", &raw).ok();
        self.items.into_iter().filter_map(read).collect()
    }
}
