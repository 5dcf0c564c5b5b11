//! What the writer is told of a page.

use super::{Compression, FillOrder, PageInfo, PageNumber, Photometric, Rational, ResolutionUnit};
use crate::document::{FaxCoding, Resolution, ccitt::PageQuality};

/// Bits of `T4Options` (TIFF 6.0 §11): MR, and end-of-line codes that end at byte borders.
pub(super) const T4_TWO_DIMENSIONAL: u32 = 1;
const T4_ALIGNED: u32 = 1 << 2;

/// A page to add to a file; see [`TiffWriter::add_coded_page`](super::TiffWriter::add_coded_page).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewPage {
    /// Rows.
    pub rows: u32,
    /// Rows per inch.
    pub resolution: Resolution,
    /// How the strip is coded. Default T.6.
    pub coding: FaxCoding,
    /// The end-of-line codes of MH and MR end at byte borders. Off by default; T.6 has none.
    pub aligned_end_of_lines: bool,
    /// How well the page was received; none by default, and for a page that was not received.
    pub quality: Option<PageQuality>,
    /// What `PageNumber` says; by default the page's place in the file, and its total.
    pub page_number: Option<PageNumber>,
}

impl NewPage {
    /// A page of `rows` rows in T.6.
    pub const fn new(rows: u32, resolution: Resolution) -> Self {
        Self {
            rows,
            resolution,
            coding: FaxCoding::T6,
            aligned_end_of_lines: false,
            quality: None,
            page_number: None,
        }
    }

    /// Sets how the strip is coded.
    #[must_use]
    pub const fn with_coding(mut self, coding: FaxCoding) -> Self {
        self.coding = coding;
        self
    }

    /// Says that the end-of-line codes end at byte borders.
    #[must_use]
    pub const fn with_aligned_end_of_lines(mut self, aligned: bool) -> Self {
        self.aligned_end_of_lines = aligned;
        self
    }

    /// Puts the tags `BadFaxLines`, `CleanFaxData` and `ConsecutiveBadFaxLines` into the page.
    #[must_use]
    pub const fn with_quality(mut self, quality: PageQuality) -> Self {
        self.quality = Some(quality);
        self
    }

    /// Sets what `PageNumber` says, for a page of another file.
    #[must_use]
    pub const fn with_page_number(mut self, number: PageNumber) -> Self {
        self.page_number = Some(number);
        self
    }

    pub(super) fn info(&self, index: u32, width: u32) -> PageInfo {
        let per_inch = |value| {
            Some(Rational {
                numerator: value,
                denominator: 1,
            })
        };
        let (compression, two_dimensional) = match self.coding {
            FaxCoding::T6 => (Compression::T6, 0),
            FaxCoding::Mh => (Compression::T4, 0),
            FaxCoding::Mr => (Compression::T4, T4_TWO_DIMENSIONAL),
        };
        let aligned = self.aligned_end_of_lines && compression == Compression::T4;
        PageInfo {
            index,
            width,
            rows: self.rows,
            compression,
            photometric: Photometric::MinIsWhite,
            fill_order: FillOrder::MsbFirst,
            bits_per_sample: 1,
            samples_per_pixel: 1,
            orientation: 1,
            subfile_type: 2,
            x_resolution: per_inch(Resolution::PIXELS_PER_INCH),
            y_resolution: per_inch(self.resolution.lines_per_inch()),
            resolution_unit: ResolutionUnit::Inch,
            page_number: self.page_number,
            t4_options: two_dimensional | if aligned { T4_ALIGNED } else { 0 },
            t6_options: 0,
            bad_rows: self.quality.map(|quality| quality.bad_rows),
            clean_fax_data: self.quality.map(|quality| quality.clean_fax_data()),
            consecutive_bad_rows: self.quality.map(|quality| quality.longest_bad_run),
            rows_per_strip: self.rows,
            strips: Vec::new(),
        }
    }
}
