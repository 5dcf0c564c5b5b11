//! Pages that lie on their side, on their head or mirrored, the right way up.

use std::io::{Read, Seek};

use faxbot_core::document::{
    ccitt::{PageQuality, row_bytes},
    tiff::{PageInfo, TiffError, TiffReader},
};

use super::decode::{Damage, decode};

/// What brings the rows of a file into the shape that is looked at (TIFF 6.0 §8, `Orientation`):
/// first rows become columns, then the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::document) struct Turn {
    /// The first row is the left column and the first column the top row.
    pub(in crate::document) transpose: bool,
    /// Left and right change places.
    pub(in crate::document) mirror: bool,
    /// Top and bottom change places.
    pub(in crate::document) flip: bool,
}

impl Turn {
    pub(in crate::document) fn of(page: &PageInfo) -> Self {
        let (transpose, mirror, flip) = match page.orientation {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self {
            transpose,
            mirror,
            flip,
        }
    }

    /// Width and rows of a page, upright.
    pub(in crate::document) fn size(self, page: &PageInfo) -> (u32, u32) {
        if self.transpose {
            (page.rows, page.width)
        } else {
            (page.width, page.rows)
        }
    }
}

/// Decodes a page and gives its rows, upright, to `on_row`: packed, `1` is black, bits behind the
/// width are 0. A page that lies otherwise than mirrored is held in memory, one bit a pixel.
pub(in crate::document) fn decode_upright<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    page: &PageInfo,
    damage: Damage,
    mut on_row: impl FnMut(&[u8]),
) -> Result<PageQuality, TiffError> {
    let turn = Turn::of(page);
    let mut mirrored = Vec::new();
    if !turn.transpose && !turn.flip {
        return decode(reader, page, damage, |row| {
            if turn.mirror {
                mirror(row, page.width, &mut mirrored);
                on_row(&mirrored);
            } else {
                on_row(row);
            }
        });
    }
    // A file may announce more rows than it has: memory is taken as they are decoded.
    let mut pixels = Vec::new();
    let quality = decode(reader, page, damage, |row| pixels.extend_from_slice(row))?;
    if turn.transpose {
        pixels = transposed(&pixels, page.width, page.rows);
    }
    let (width, _) = turn.size(page);
    let mut emit = |row: &[u8]| {
        if turn.mirror {
            mirror(row, width, &mut mirrored);
            on_row(&mirrored);
        } else {
            on_row(row);
        }
    };
    let rows = pixels.chunks_exact(row_bytes(width));
    if turn.flip {
        rows.rev().for_each(&mut emit);
    } else {
        rows.for_each(&mut emit);
    }
    Ok(quality)
}

/// Puts the row into `out` with left and right changed.
fn mirror(row: &[u8], width: u32, out: &mut Vec<u8>) {
    out.clear();
    out.extend(row.iter().rev().map(|byte| byte.reverse_bits()));
    let padding = (8 - width % 8) % 8;
    if padding > 0 {
        // The bits behind the width came to the front.
        for at in 0..out.len() {
            let next = out.get(at + 1).copied().unwrap_or(0);
            if let Some(byte) = out.get_mut(at) {
                *byte = *byte << padding | next >> (8 - padding);
            }
        }
    }
}

/// Rows to columns, 8 by 8 pixels at a time.
fn transposed(pixels: &[u8], width: u32, rows: u32) -> Vec<u8> {
    let (stride, new_stride) = (row_bytes(width), row_bytes(rows));
    let mut out = vec![0; new_stride * width as usize];
    for (place, band) in pixels.chunks(stride * 8).enumerate() {
        for column in 0..stride {
            let mut block = [0; 8];
            for (to, row) in block.iter_mut().zip(band.chunks(stride)) {
                *to = row.get(column).copied().unwrap_or(0);
            }
            let block = transposed_block(u64::from_be_bytes(block)).to_be_bytes();
            for (row, byte) in out.chunks_mut(new_stride).skip(column * 8).zip(block) {
                if let Some(to) = row.get_mut(place) {
                    *to = byte;
                }
            }
        }
    }
    out
}

/// The 8 by 8 bits of a word: swaps bits, then pairs, then fours across the diagonal.
fn transposed_block(mut block: u64) -> u64 {
    for (shift, mask) in [
        (7, 0x00aa_00aa_00aa_00aa),
        (14, 0x0000_cccc_0000_cccc),
        (28, 0x0000_0000_f0f0_f0f0),
    ] {
        let swap = (block ^ (block >> shift)) & mask;
        block ^= swap ^ (swap << shift);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(rows: &[u8], width: u32, x: u32, y: u32) -> bool {
        let at = y as usize * row_bytes(width) + (x / 8) as usize;
        rows[at] >> (7 - x % 8) & 1 == 1
    }

    fn noise(width: u32, rows: u32) -> Vec<u8> {
        let mut seed = 9_u32;
        let mut bytes = Vec::new();
        for _ in 0..rows {
            for _ in 0..row_bytes(width) {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push(seed.to_be_bytes()[0]);
            }
            let last = bytes.last_mut().unwrap();
            *last &= 0xff_u8.unbounded_shl(7 - (width + 7) % 8);
        }
        bytes
    }

    #[test]
    fn transposing_moves_every_pixel_and_leaves_the_padding_white() {
        for (width, rows) in [(1, 1), (8, 8), (7, 3), (3, 17), (64, 9), (33, 70)] {
            let pixels = noise(width, rows);
            let turned = transposed(&pixels, width, rows);
            for y in 0..rows {
                for x in 0..width {
                    assert_eq!(
                        pixel(&pixels, width, x, y),
                        pixel(&turned, rows, y, x),
                        "{width}x{rows} {x},{y}"
                    );
                }
            }
            let count = |bytes: &[u8]| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
            assert_eq!(count(&pixels), count(&turned));
        }
    }

    #[test]
    fn mirroring_moves_every_pixel_and_leaves_the_padding_white() {
        for width in [1, 7, 8, 9, 16, 23, 1728] {
            let row = noise(width, 1);
            let mut out = Vec::new();
            mirror(&row, width, &mut out);
            for x in 0..width {
                assert_eq!(
                    pixel(&row, width, x, 0),
                    pixel(&out, width, width - 1 - x, 0)
                );
            }
            let mut back = Vec::new();
            mirror(&out, width, &mut back);
            assert_eq!(back, row);
        }
    }
}
