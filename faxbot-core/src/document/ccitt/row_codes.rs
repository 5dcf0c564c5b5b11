//! Rows to code words: what the encoders of T.6 and T.4 share.

use super::{
    CcittError, bits::BitWriter, check_row, check_width, lines::find_changes, row_bytes,
    runs::append_run,
};

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

/// What every encoder keeps between its rows: the row to code and the one above it.
#[derive(Debug)]
pub(super) struct RowPair {
    width: u32,
    count: u32,
    pixels: Vec<u8>,
    /// Changes of the row to code.
    coding: Vec<u32>,
    /// Changes of the row above it, unless that is the same.
    reference: Vec<u32>,
    same: bool,
}

impl RowPair {
    pub(super) fn new(width: u32) -> Result<Self, CcittError> {
        check_width(width)?;
        Ok(Self {
            width,
            count: 0,
            // The imaginary row above the first one is white (ITU-T T.4, T.6).
            pixels: vec![0; row_bytes(width)],
            coding: Vec::new(),
            reference: Vec::new(),
            same: true,
        })
    }

    pub(super) fn width(&self) -> u32 {
        self.width
    }

    /// Rows so far.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Takes the next row to code.
    #[inline]
    pub(super) fn advance(&mut self, row: &[u8]) -> Result<(), CcittError> {
        check_row(self.width, row.len())?;
        self.count = self.count.saturating_add(1);
        self.same = row == self.pixels;
        if !self.same {
            std::mem::swap(&mut self.reference, &mut self.coding);
            find_changes(row, self.width, &mut self.coding);
            self.pixels.copy_from_slice(row);
        }
        Ok(())
    }

    /// Codes the row by the one above it.
    #[inline]
    pub(super) fn code_modes(&self, out: &mut BitWriter) {
        if self.same {
            // Every change is straight below one of the reference row, and so is the end.
            out.put_ones(self.coding.len() + 1);
        } else {
            code_row(out, &self.reference, &self.coding, self.width);
        }
    }

    /// Codes the row by itself.
    #[inline]
    pub(super) fn code_runs(&self, out: &mut BitWriter) {
        code_runs(out, &self.coding, self.width);
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

/// Codes the row with the changes `coding` as runs, the first one white (ITU-T T.4 §4.1.1).
pub(super) fn code_runs(out: &mut BitWriter, coding: &[u32], width: u32) {
    let (pairs, last) = coding.as_chunks::<2>();
    let mut at = 0;
    for &[black, white] in pairs {
        // Two runs are one write.
        let first = append_run(out, false, black - at, (0, 0));
        let (code, len) = append_run(out, true, white - black, first);
        out.put(code, len);
        at = white;
    }
    let black = last.first().copied().unwrap_or(width);
    let (mut code, mut len) = append_run(out, false, black - at, (0, 0));
    if black < width {
        (code, len) = append_run(out, true, width - black, (code, len));
    }
    out.put(code, len);
}
