//! Rows to ITU-T T.6.

use super::{
    CcittError, bits::BitWriter, check_row, check_width, lines::find_changes, runs::append_run,
};

/// End of facsimile block: twice the end-of-line code (ITU-T T.6).
pub(super) const EOFB: u64 = 0x00_1001;
/// Bits of [`EOFB`].
pub(super) const EOFB_BITS: u32 = 24;

/// Vertical modes from VL(3) to VR(3) as code word and length (ITU-T T.6 table 1).
const VERTICAL: [(u64, u32); 7] = [
    (0b000_0010, 7),
    (0b00_0010, 6),
    (0b010, 3),
    (0b1, 1),
    (0b011, 3),
    (0b00_0011, 6),
    (0b000_0011, 7),
];
const PASS: (u64, u32) = (0b0001, 4);
const HORIZONTAL: (u64, u32) = (0b001, 3);

/// Codes rows by ITU-T T.6 (Group 4, MMR), one row after the other.
///
/// The same rows always give the same bytes, and the same bytes as libtiff's coder.
#[derive(Debug)]
pub struct T6Encoder {
    width: u32,
    rows: u32,
    out: BitWriter,
    previous: Vec<u8>,
    reference: Vec<u32>,
    coding: Vec<u32>,
}

impl T6Encoder {
    /// A coder of rows of `width` pixels.
    ///
    /// # Errors
    ///
    /// [`CcittError::Width`] if the width is 0 or above [`MAX_WIDTH`](super::MAX_WIDTH).
    pub fn new(width: u32) -> Result<Self, CcittError> {
        check_width(width)?;
        Ok(Self {
            width,
            rows: 0,
            out: BitWriter::default(),
            // The imaginary row above the first one is white (ITU-T T.6).
            previous: vec![0; super::row_bytes(width)],
            reference: Vec::new(),
            coding: Vec::new(),
        })
    }

    /// Pixels of a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows coded so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Codes the next row. Bits behind the width are ignored.
    ///
    /// # Errors
    ///
    /// [`CcittError::RowLength`] if the row is not [`row_bytes`](super::row_bytes) long; nothing
    /// was coded then.
    pub fn encode_row(&mut self, row: &[u8]) -> Result<(), CcittError> {
        check_row(self.width, row.len())?;
        self.rows = self.rows.saturating_add(1);
        if row == self.previous {
            // Every change is straight below one of the reference row, and so is the end.
            self.out.put_ones(self.reference.len() + 1);
            return Ok(());
        }
        find_changes(row, self.width, &mut self.coding);
        code_row(&mut self.out, &self.reference, &self.coding, self.width);
        std::mem::swap(&mut self.reference, &mut self.coding);
        self.previous.copy_from_slice(row);
        Ok(())
    }

    /// The coded rows with the end-of-block code, filled up to a whole byte.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.put(EOFB, EOFB_BITS);
        self.out.finish()
    }
}

/// Codes the row with the changes `coding` below the one with the changes `reference`.
///
/// The names are those of ITU-T T.6. The place of `b1` in its list has the parity of the
/// place of `a1`, which makes it the change to the opposite colour of `a0`.
pub(super) fn code_row(out: &mut BitWriter, reference: &[u32], coding: &[u32], width: u32) {
    let b = |place: usize| reference.get(place).copied().unwrap_or(width);
    let a = |place: usize| coding.get(place).copied().unwrap_or(width);
    let (mut a0, mut next, mut above) = (0, 0, 0);
    loop {
        let (a1, b1) = (a(next), b(above));
        let b2 = b(above + 1);
        if b2 < a1 {
            out.put(PASS.0, PASS.1);
            a0 = b2;
            above += 2;
            continue;
        }
        if let Some(&(code, len)) = VERTICAL.get((a1 + 3).wrapping_sub(b1) as usize) {
            out.put(code, len);
            if a1 >= width {
                return;
            }
            a0 = a1;
            next += 1;
            // The change before b1 comes into question again if a1 lies to its left.
            above = if above > 0 && b(above - 1) > a0 {
                above - 1
            } else {
                above + 1
            };
        } else {
            let black = next % 2 == 1;
            let a2 = a(next + 1);
            let first = append_run(out, black, a1 - a0, HORIZONTAL);
            let (code, len) = append_run(out, !black, a2 - a1, first);
            out.put(code, len);
            if a2 >= width {
                return;
            }
            a0 = a2;
            next += 2;
        }
        while b(above) <= a0 {
            above += 2;
        }
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
