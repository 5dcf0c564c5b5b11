//! The line above a fax page.

use std::fmt;

use crate::{Timestamp, redact::MASK};

/// What a converter draws above each page, where the server draws nothing: date and time, who sends
/// it, to whom, and which page it is. The law asks for the first two in many countries (47 CFR
/// 68.318(d) in the United States).
///
/// A server that draws a header line of its own must be told not to: two lines would be one too
/// many.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageHeader {
    /// When the fax is sent. Drawn in the time zone of the converter.
    pub at: Timestamp,
    /// Who sends it: a name, a number, or both. May be empty.
    pub from: String,
    /// Who gets it. May be empty.
    pub to: String,
    /// The number of the first page, from 1.
    pub first_page: u32,
    /// Pages of the whole fax.
    pub total: u32,
}

impl PageHeader {
    /// The header of a fax of `total` pages, from its first page on.
    pub fn new(at: Timestamp, total: u32) -> Self {
        Self {
            at,
            from: String::new(),
            to: String::new(),
            first_page: 1,
            total,
        }
    }

    /// Sets who sends it.
    #[must_use]
    pub fn with_from(mut self, from: impl Into<String>) -> Self {
        self.from = from.into();
        self
    }

    /// Sets who gets it.
    #[must_use]
    pub fn with_to(mut self, to: impl Into<String>) -> Self {
        self.to = to.into();
        self
    }

    /// Sets the number of the first page, from 1.
    #[must_use]
    pub fn with_first_page(mut self, first_page: u32) -> Self {
        self.first_page = first_page;
        self
    }
}

impl fmt::Debug for PageHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageHeader")
            .field("at", &self.at)
            .field("from", &MASK)
            .field("to", &MASK)
            .field("first_page", &self.first_page)
            .field("total", &self.total)
            .finish()
    }
}
