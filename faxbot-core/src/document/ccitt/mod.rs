//! The fax compressions of ITU-T both ways: T.6 (Group 4, MMR) and T.4 (Group 3, MH and MR).
//!
//! Rows are packed bytes, most significant bit first, `1` is black; a row of `width` pixels has
//! `width.div_ceil(8)` bytes. Coded data is most significant bit first too (TIFF `FillOrder` 1).
//! The coders work on whole 64-bit words and on lists of colour changes, not on pixels.
//!
//! ```
//! use faxbot_core::document::ccitt::{T6Decoder, T6Encoder};
//!
//! # fn main() -> Result<(), faxbot_core::document::ccitt::CcittError> {
//! let rows = [[0x00, 0x00], [0x0f, 0xf0], [0x0f, 0x00]];
//! let mut encoder = T6Encoder::new(16)?;
//! for row in &rows {
//!     encoder.encode_row(row)?;
//! }
//! let strip = encoder.finish();
//!
//! let mut decoder = T6Decoder::new(&strip, 16, 3)?;
//! let mut out = [0; 2];
//! let mut decoded = Vec::new();
//! while decoder.next_row(&mut out)? {
//!     decoded.push(out);
//! }
//! assert_eq!(decoded, rows);
//! # Ok(())
//! # }
//! ```

mod bits;
mod coding;
mod encoder;
mod error;
mod lines;
mod modes;
mod quality;
mod row_codes;
mod rows;
mod runs;
mod t4_decode;
mod t4_encode;
mod t4_repair;
#[cfg(test)]
mod t4_tests;
mod t6_decode;
mod t6_encode;

pub use coding::{FaxCoding, T4Coding};
pub use encoder::FaxEncoder;
pub use error::CcittError;
pub use quality::PageQuality;
pub(in crate::document) use quality::Tally;
pub use t4_decode::T4Decoder;
pub use t4_encode::T4Encoder;
pub use t6_decode::T6Decoder;
pub use t6_encode::T6Encoder;

/// The widest row that is coded or decoded, in pixels.
pub const MAX_WIDTH: u32 = 65_535;

/// Bytes of a packed row of `width` pixels.
pub const fn row_bytes(width: u32) -> usize {
    width.div_ceil(8) as usize
}

fn check_width(width: u32) -> Result<(), CcittError> {
    if width == 0 || width > MAX_WIDTH {
        return Err(CcittError::Width { width });
    }
    Ok(())
}

fn check_row(width: u32, got: usize) -> Result<(), CcittError> {
    let needed = row_bytes(width);
    if got != needed {
        return Err(CcittError::RowLength { needed, got });
    }
    Ok(())
}
