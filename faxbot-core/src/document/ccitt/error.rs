//! What can be wrong with coded rows.

use super::MAX_WIDTH;

/// An error of a fax coder or decoder. Rows count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CcittError {
    /// The width is 0 or above [`MAX_WIDTH`].
    #[error("width of {width} pixels is outside of 1 to {MAX_WIDTH}")]
    Width {
        /// The width asked for, in pixels.
        width: u32,
    },
    /// The caller's row buffer has the wrong length.
    #[error("a row takes {needed} bytes, the buffer has {got}")]
    RowLength {
        /// Bytes of a row of this width.
        needed: usize,
        /// Bytes of the buffer.
        got: usize,
    },
    /// The data ends before the row does, and no end-of-block code was seen.
    #[error("coded data ends in row {row}")]
    Truncated {
        /// The first row that is missing or incomplete.
        row: u32,
    },
    /// Bits that are no code word at this place.
    #[error("invalid code word in row {row}")]
    InvalidCode {
        /// The damaged row.
        row: u32,
    },
    /// The code words lead out of the row or backwards in it.
    #[error("code words do not fit into row {row}")]
    InvalidRow {
        /// The damaged row.
        row: u32,
    },
    /// An extension code (ITU-T T.4 and T.6: uncompressed mode and the reserved ones), which fax
    /// machines do not send and which is not decoded.
    #[error("extension code in row {row} is not supported")]
    Extension {
        /// The row with the extension.
        row: u32,
    },
}
