//! Rows to ITU-T T.6.

use super::{CcittError, bits::BitWriter, row_codes::RowPair};

/// End of facsimile block: twice the end-of-line code (ITU-T T.6).
pub(super) const EOFB: u64 = 0x00_1001;
/// Bits of [`EOFB`].
pub(super) const EOFB_BITS: u32 = 24;

/// Codes rows by ITU-T T.6 (Group 4, MMR), one row after the other.
///
/// The same rows always give the same bytes, and the same bytes as libtiff's coder.
#[derive(Debug)]
pub struct T6Encoder {
    out: BitWriter,
    rows: RowPair,
}

impl T6Encoder {
    /// A coder of rows of `width` pixels.
    ///
    /// # Errors
    ///
    /// [`CcittError::Width`] if the width is 0 or above [`MAX_WIDTH`](super::MAX_WIDTH).
    pub fn new(width: u32) -> Result<Self, CcittError> {
        Ok(Self {
            rows: RowPair::new(width)?,
            out: BitWriter::default(),
        })
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.rows.width()
    }

    /// Rows coded so far.
    pub fn rows(&self) -> u32 {
        self.rows.count()
    }

    /// Codes the next row. Bits behind the width are ignored.
    ///
    /// # Errors
    ///
    /// [`CcittError::RowLength`] if the row is not [`row_bytes`](super::row_bytes) long; nothing
    /// was coded then.
    pub fn encode_row(&mut self, row: &[u8]) -> Result<(), CcittError> {
        self.rows.advance(row)?;
        self.rows.code_modes(&mut self.out);
        Ok(())
    }

    /// The coded rows with the end-of-block code, filled up to a whole byte.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.put(EOFB, EOFB_BITS);
        self.out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(width: u32, rows: &[&[u8]]) -> Vec<u8> {
        let mut encoder = T6Encoder::new(width).unwrap();
        for row in rows {
            encoder.encode_row(row).unwrap();
        }
        encoder.finish()
    }

    /// Bits as text, without the end of block, filled up with zeros.
    fn bits(text: &str) -> Vec<u8> {
        let text: String = text.chars().filter(|digit| *digit != ' ').collect();
        let text = format!("{text}000000000001000000000001");
        text.as_bytes()
            .chunks(8)
            .map(|byte| {
                byte.iter()
                    .enumerate()
                    .fold(0, |sum, (place, digit)| sum | (digit & 1) << (7 - place))
            })
            .collect()
    }

    #[test]
    fn known_rows_have_the_codes_of_the_recommendation() {
        let table: &[(u32, &[&[u8]], &str)] = &[
            (8, &[], ""),
            (8, &[&[0x00]], "1"),
            (8, &[&[0x00], &[0x00]], "1 1"),
            // Black from the first pixel: horizontal with a white run of 0.
            (8, &[&[0xff]], "001 00110101 000101"),
            (8, &[&[0xff], &[0xff]], "001 00110101 000101 1 1"),
            // A black run that ends: pass mode.
            (8, &[&[0x18], &[0x00]], "001 1000 11 1 0001 1"),
            // One pixel to the left and to the right.
            (
                16,
                &[&[0x0f, 0x00], &[0x1f, 0x80]],
                "001 1011 011 1 010 011 1",
            ),
            (
                16,
                &[&[0x0f, 0x00], &[0x3f, 0xc0]],
                "001 1011 011 1 000010 000011 1",
            ),
            (
                16,
                &[&[0x0f, 0x00], &[0x7f, 0xe0]],
                "001 1011 011 1 0000010 0000011 1",
            ),
        ];
        for (width, rows, expected) in table {
            assert_eq!(encode(*width, rows), bits(expected), "{rows:?}");
        }
    }

    #[test]
    fn padding_bits_of_the_row_do_not_change_the_code() {
        assert_eq!(
            encode(5, &[&[0x00], &[0x07]]),
            encode(5, &[&[0x00], &[0x00]])
        );
    }

    #[test]
    fn a_wrong_row_length_codes_nothing() {
        let mut encoder = T6Encoder::new(9).unwrap();
        assert_eq!(
            encoder.encode_row(&[0]),
            Err(CcittError::RowLength { needed: 2, got: 1 })
        );
        assert_eq!(encoder.rows(), 0);
        assert_eq!(encoder.finish(), bits(""));
    }

    #[test]
    fn widths_outside_of_the_limits_are_refused() {
        for width in [0, super::super::MAX_WIDTH + 1, u32::MAX] {
            assert_eq!(
                T6Encoder::new(width).unwrap_err(),
                CcittError::Width { width }
            );
        }
    }
}
