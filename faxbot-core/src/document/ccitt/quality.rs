//! How well rows were received.

/// How many rows of a strip or a page could not be decoded, and what became of them.
///
/// A TIFF file keeps it in the tags 326 to 328 (RFC 2306).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PageQuality {
    /// Rows that could not be decoded, the [missing](Self::missing_rows) ones among them: tag
    /// `BadFaxLines`.
    pub bad_rows: u32,
    /// The most bad rows one after the other: tag `ConsecutiveBadFaxLines`.
    pub longest_bad_run: u32,
    /// Rows that the page announces and the data does not have. No tag tells them apart.
    pub missing_rows: u32,
    /// Something else stands in place of the bad rows: they are not in the coded data any more.
    /// Default true.
    pub repaired: bool,
}

impl PageQuality {
    /// Of so many bad rows, of which at most `longest_bad_run` follow each other; none is missing,
    /// all are repaired.
    pub const fn new(bad_rows: u32, longest_bad_run: u32) -> Self {
        Self {
            bad_rows,
            longest_bad_run,
            missing_rows: 0,
            repaired: true,
        }
    }

    /// Sets how many of the bad rows are missing.
    #[must_use]
    pub const fn with_missing_rows(mut self, rows: u32) -> Self {
        self.missing_rows = rows;
        self
    }

    /// Sets whether something else stands in place of the bad rows.
    #[must_use]
    pub const fn with_repaired(mut self, repaired: bool) -> Self {
        self.repaired = repaired;
        self
    }

    /// No row was bad or missing.
    pub const fn is_clean(&self) -> bool {
        self.bad_rows == 0
    }

    /// The value of the tag `CleanFaxData`: 0 no bad rows, 1 they were repaired, 2 they are in the
    /// data (RFC 2306).
    pub const fn clean_fax_data(&self) -> u16 {
        match (self.is_clean(), self.repaired) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        }
    }
}

impl Default for PageQuality {
    /// Of a page without a bad row.
    fn default() -> Self {
        Self::new(0, 0)
    }
}

/// Counts good and bad rows as they come.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::document) struct Tally {
    quality: PageQuality,
    run: u32,
}

impl Tally {
    pub(in crate::document) fn good(&mut self) {
        self.run = 0;
    }

    pub(in crate::document) fn bad(&mut self) {
        self.quality.bad_rows = self.quality.bad_rows.saturating_add(1);
        self.run = self.run.saturating_add(1);
        self.quality.longest_bad_run = self.quality.longest_bad_run.max(self.run);
    }

    /// A bad row of which there is no data.
    pub(in crate::document) fn missing(&mut self) {
        self.quality.missing_rows = self.quality.missing_rows.saturating_add(1);
        self.bad();
    }

    pub(in crate::document) fn quality(&self) -> PageQuality {
        self.quality
    }
}
