//! What a received fax is.

use std::io::{Read, Seek};

use faxbot_core::{
    Error, Result,
    document::{
        FaxCoding, Resolution,
        ccitt::PageQuality,
        tiff::{PageInfo, TiffError, TiffReader},
    },
};

use super::{
    decode::{Damage, decode, with_tags},
    error::Failed,
};

/// A page of a received fax, as it is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedPage {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub rows: u32,
    /// Lines per inch, where the file says so and means one of fax.
    pub resolution: Option<Resolution>,
    /// How the rows are coded; `None` is not at all.
    pub coding: Option<FaxCoding>,
    /// Where the first row and column are, 1 (top left) to 8 (TIFF 6.0 §8).
    pub orientation: u16,
    /// How well it was received. `None` when it is damaged beyond repair: it makes no picture.
    pub quality: Option<PageQuality>,
}

impl ReceivedPage {
    fn new(page: &PageInfo, quality: Option<PageQuality>) -> Self {
        Self {
            width: page.width,
            rows: page.rows,
            resolution: page.fax_resolution(),
            coding: page.coding(),
            orientation: page.orientation,
            quality,
        }
    }
}

/// Decodes every page once.
pub(super) fn info<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    failed: Failed,
) -> Result<Vec<ReceivedPage>> {
    let tiff = |error| -> Error { failed.tiff(error) };
    let mut pages = Vec::new();
    for index in 0..reader.page_count() {
        let page = reader.page(index).map_err(tiff)?;
        let quality = match decode(reader, &page, Damage::Repair, |_| {}) {
            Ok(found) => Some(with_tags(&page, found)),
            Err(TiffError::Damaged { .. } | TiffError::MissingRows { .. }) => None,
            Err(error) => return Err(tiff(error)),
        };
        pages.push(ReceivedPage::new(&page, quality));
    }
    Ok(pages)
}
