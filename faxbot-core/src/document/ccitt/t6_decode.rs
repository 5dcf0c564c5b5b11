//! ITU-T T.6 to rows.

use super::{CcittError, bits::BitReader, modes::decode_row, rows::Rows};

/// Decodes one block (strip) of ITU-T T.6 (Group 4, MMR), one row after the other.
///
/// Nothing is repaired: T.6 codes each row by the one above, so what follows an error is noise.
#[derive(Debug, Clone)]
pub struct T6Decoder<'a> {
    bits: BitReader<'a>,
    rows: Rows,
}

impl<'a> T6Decoder<'a> {
    /// A decoder of rows of `width` pixels that ends after `max_rows` rows or at the end-of-block
    /// code, whichever is first. The bytes are most significant bit first.
    ///
    /// # Errors
    ///
    /// [`CcittError::Width`] if the width is 0 or above [`MAX_WIDTH`](super::MAX_WIDTH).
    pub fn new(data: &'a [u8], width: u32, max_rows: u32) -> Result<Self, CcittError> {
        Ok(Self {
            rows: Rows::new(width, max_rows)?,
            bits: BitReader::new(data),
        })
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.rows.width()
    }

    /// Rows decoded so far.
    pub fn rows(&self) -> u32 {
        self.rows.done()
    }

    /// Decodes the next row into `row`, or returns `false` after the last one.
    ///
    /// The last row is that before the end-of-block code, which may come before `max_rows`:
    /// compare [`rows`](Self::rows) with what the file announces. The code may be missing after
    /// `max_rows` rows, since not every writer adds it.
    ///
    /// # Errors
    ///
    /// [`CcittError::RowLength`] for a buffer that is not [`row_bytes`](super::row_bytes) long,
    /// after which the call can be repeated. Any other error is one of the data; it is final, `row`
    /// is then unchanged, and further calls give it again.
    pub fn next_row(&mut self, row: &mut [u8]) -> Result<bool, CcittError> {
        let bits = &mut self.bits;
        self.rows.next(row, |row| {
            decode_row(bits, row.reference, row.coding, row.width)
        })
    }
}
