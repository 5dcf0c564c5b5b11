//! Decoding a page of a fax that may be damaged.

use std::io::{Read, Seek};

use faxbot_core::document::{
    ccitt::{CcittError, PageQuality, T6Encoder},
    tiff::{PageInfo, TiffError, TiffReader},
};

/// What becomes of damaged rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::document) enum Damage {
    /// The first one is an error.
    Refuse,
    /// Those of T.4 are repaired. T.6 codes each row by the one above, so damage there is an error.
    Repair,
}

/// Gives each row as it lies in the file to `on_row`, and tells how well it was decoded. A page
/// without any good row is an error.
pub(in crate::document) fn decode<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    page: &PageInfo,
    damage: Damage,
    on_row: impl FnMut(&[u8]),
) -> Result<PageQuality, TiffError> {
    match damage {
        Damage::Refuse => {
            reader.decode_page(page, on_row)?;
            Ok(PageQuality::default())
        }
        Damage::Repair => {
            let found = reader.decode_page_repaired(page, on_row)?;
            if found.bad_rows >= page.rows {
                return Err(TiffError::MissingRows {
                    page: page.index,
                    announced: page.rows,
                    found: 0,
                });
            }
            Ok(found)
        }
    }
}

/// `CleanFaxData` of a file whose bad rows are still in it (RFC 2306).
const UNREPAIRED: u16 = 2;

/// What `found` tells together with the tags of the file: a receiver may have repaired rows before
/// it wrote them, which then look good.
pub(in crate::document) fn with_tags(page: &PageInfo, found: PageQuality) -> PageQuality {
    let bad = page.bad_rows.unwrap_or(0).min(page.rows);
    if bad <= found.bad_rows {
        return found;
    }
    let longest = page.consecutive_bad_rows.unwrap_or(1).clamp(1, bad);
    PageQuality::new(bad, longest.max(found.longest_bad_run))
        .with_missing_rows(found.missing_rows)
        .with_repaired(page.clean_fax_data != Some(UNREPAIRED))
}

/// Rows to T.6 as they are decoded.
pub(super) struct Recoder(Result<T6Encoder, CcittError>);

impl Recoder {
    pub(super) fn new(width: u32) -> Self {
        Self(T6Encoder::new(width))
    }

    pub(super) fn row(&mut self, row: &[u8]) {
        if let Ok(encoder) = &mut self.0
            && let Err(error) = encoder.encode_row(row)
        {
            self.0 = Err(error);
        }
    }

    pub(super) fn finish(self, page: &PageInfo) -> Result<Vec<u8>, TiffError> {
        self.0
            .map(T6Encoder::finish)
            .map_err(|_| TiffError::Unsupported {
                page: page.index,
                reason: "too wide to be coded",
            })
    }
}
