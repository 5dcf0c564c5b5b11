//! Black pixels on white paper.

use std::slice::ChunksExact;

use unicode_normalization::char::canonical_combining_class;

use super::{cell::Cell, font::Face, font::Glyph};

/// Combining classes of marks above and below (Unicode Standard §4.3, `Above` and `Below`).
const ABOVE: u8 = 230;
const BELOW: u8 = 220;

/// Some rows of a page.
pub(in crate::document) struct Canvas {
    row_bytes: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// White, `width` columns wide, which is a multiple of 8.
    pub(in crate::document) fn new(width: u32, rows: u32) -> Self {
        let row_bytes = width as usize / 8;
        Self {
            row_bytes,
            pixels: vec![0; row_bytes.saturating_mul(rows as usize)],
        }
    }

    /// Makes everything white.
    pub(in crate::document) fn clear(&mut self) {
        self.pixels.fill(0);
    }

    /// The rows, packed, `1` is black.
    pub(in crate::document) fn rows(&self) -> ChunksExact<'_, u8> {
        self.pixels.chunks_exact(self.row_bytes)
    }

    /// Paints cells side by side from the column `left` on. What lies outside is cut.
    pub(in crate::document) fn line<'a>(
        &mut self,
        face: &mut Face,
        cells: impl IntoIterator<Item = &'a Cell>,
        left: u32,
        base_line: i32,
    ) {
        let mut x = i64::from(left);
        for cell in cells {
            self.cell(face, cell, x, base_line);
            x += i64::from(face.cell());
        }
    }

    fn cell(&mut self, face: &mut Face, cell: &Cell, x: i64, base_line: i32) {
        let base = face.glyph(cell.base);
        self.glyph(&base, x, base_line);
        if cell.marks.is_empty() {
            return;
        }
        // Marks of the font fit small letters; over tall ones, and over each other, they move away.
        let gap = (face.em_rows() / 16).max(1);
        let (mut top, mut bottom) = (base.top, base.bottom());
        for mark in &cell.marks {
            let glyph = face.glyph(*mark);
            let shift = match canonical_combining_class(*mark) {
                ABOVE => (top - gap - glyph.bottom()).min(0),
                BELOW => (bottom + gap - glyph.top).max(0),
                _ => 0,
            };
            top = top.min(glyph.top + shift);
            bottom = bottom.max(glyph.bottom() + shift);
            self.glyph(&glyph, x, base_line + shift);
        }
    }

    fn glyph(&mut self, glyph: &Glyph, x: i64, base_line: i32) {
        let left = x + i64::from(glyph.left);
        let (byte, shift) = (left.div_euclid(8), left.rem_euclid(8));
        let first = base_line + glyph.top;
        for (index, bits) in (first..).zip(&glyph.rows) {
            let Some(row) = usize::try_from(index)
                .ok()
                .and_then(|index| self.pixels.chunks_exact_mut(self.row_bytes).nth(index))
            else {
                continue;
            };
            let mut or = |at: i64, bits: u8| {
                if let Some(byte) = usize::try_from(at).ok().and_then(|at| row.get_mut(at)) {
                    *byte |= bits;
                }
            };
            for (at, bits) in (byte..).zip(bits) {
                let [here, next] = (u16::from(*bits) << (8 - shift)).to_be_bytes();
                or(at, here);
                or(at + 1, next);
            }
        }
    }
}
