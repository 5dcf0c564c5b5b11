//! Small grey pictures of pages, made of their coded rows alone.

use std::io::{Read, Seek};

use faxbot_core::{
    Result,
    document::tiff::{PageInfo, TiffReader},
};
use png::{BitDepth, ColorType};

use super::{
    decode::{Damage, decode},
    error::Failed,
    size::millimetres,
    upright::Turn,
};

/// The largest side of a thumbnail; what is held in memory is below 4 MiB for it.
const MAX_SIDE: u32 = 2048;

/// How large a thumbnail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThumbnailOptions {
    /// Pixels of a row at most. Default 256.
    pub max_width: u32,
    /// Rows at most. Default 362, the height of A4 at 256 pixels.
    pub max_height: u32,
}

impl ThumbnailOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            max_width: 256,
            max_height: 362,
        }
    }

    /// Sets the greatest width, in pixels; from 1 to 2,048 counts.
    #[must_use]
    pub fn with_max_width(mut self, pixels: u32) -> Self {
        self.max_width = pixels;
        self
    }

    /// Sets the greatest height, in pixels; from 1 to 2,048 counts.
    #[must_use]
    pub fn with_max_height(mut self, pixels: u32) -> Self {
        self.max_height = pixels;
        self
    }
}

impl Default for ThumbnailOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A page as a PNG of 8-bit grey: each pixel is the share of black in its part of the page.
pub(super) fn thumbnail<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    index: u32,
    options: &ThumbnailOptions,
    failed: Failed,
) -> Result<Vec<u8>> {
    let page = reader.page(index).map_err(|error| failed.tiff(error))?;
    let turn = Turn::of(&page);
    let (width, rows) = size(&page, options);
    let mut boxes = Boxes::new(&page, width, rows);
    decode(reader, &page, Damage::Repair, |row| boxes.row(row))
        .map_err(|error| failed.tiff(error))?;
    let grey = upright(boxes.grey, width as usize, turn);

    let (width, rows) = if turn.transpose {
        (rows, width)
    } else {
        (width, rows)
    };
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, width, rows);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| {
            writer.write_image_data(&grey)?;
            writer.finish()
        })
        .map_err(|source| {
            failed
                .internal("the picture cannot be made")
                .with_source(source)
        })?;
    Ok(picture)
}

/// Columns and rows of the thumbnail before it is turned: the shape of the paper, and never more
/// than the page has.
fn size(page: &PageInfo, options: &ThumbnailOptions) -> (u32, u32) {
    let (mut width_mm, mut height_mm) = millimetres(page);
    let mut limits = (options.max_width, options.max_height);
    if Turn::of(page).transpose {
        (width_mm, height_mm) = (height_mm, width_mm);
        limits = (limits.1, limits.0);
    }
    let across = limits.0.clamp(1, MAX_SIDE).min(page.width);
    let down = limits.1.clamp(1, MAX_SIDE).min(page.rows);
    let per_mm = (f64::from(across) / width_mm).min(f64::from(down) / height_mm);
    (
        whole(width_mm * per_mm, across),
        whole(height_mm * per_mm, down),
    )
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 1 and max, which are u32"
)]
fn whole(pixels: f64, max: u32) -> u32 {
    (pixels.round() as u32).clamp(1, max)
}

/// Counts black pixels box by box as the rows come: what is held is one row of boxes and what is
/// done.
struct Boxes {
    /// The first column of each box, and behind the last one the width.
    columns: Vec<u32>,
    /// The row behind each row of boxes, from the next one on.
    row_ends: std::vec::IntoIter<u32>,
    row_end: u32,
    row_start: u32,
    row: u32,
    black: Vec<u32>,
    grey: Vec<u8>,
}

impl Boxes {
    fn new(page: &PageInfo, width: u32, rows: u32) -> Self {
        let mut row_ends = ends(page.rows, rows).into_iter();
        let mut columns = vec![0];
        columns.extend(ends(page.width, width));
        Self {
            columns,
            row_end: row_ends.next().unwrap_or(page.rows),
            row_ends,
            row_start: 0,
            row: 0,
            black: vec![0; width as usize],
            grey: Vec::new(),
        }
    }

    fn row(&mut self, row: &[u8]) {
        if row.iter().any(|byte| *byte != 0) {
            let starts = self.columns.iter().zip(self.columns.iter().skip(1));
            for (sum, (start, end)) in self.black.iter_mut().zip(starts) {
                // A caller may allow pages on which more than 2^32 pixels are black.
                *sum = sum.saturating_add(black(row, *start, *end));
            }
        }
        self.row += 1;
        if self.row == self.row_end {
            self.end_boxes();
        }
    }

    fn end_boxes(&mut self) {
        let height = u64::from(self.row_end - self.row_start);
        let starts = self.columns.iter().zip(self.columns.iter().skip(1));
        for (sum, (start, end)) in self.black.iter_mut().zip(starts) {
            let area = height * u64::from(end - start);
            let dark = (u64::from(*sum) * 255 + area / 2) / area;
            self.grey.push(255 - u8::try_from(dark).unwrap_or(255));
            *sum = 0;
        }
        self.row_start = self.row_end;
        self.row_end = self.row_ends.next().unwrap_or(self.row_end);
    }
}

/// Where each of `parts` nearly equal parts of `whole` ends; `parts` is at most `whole`.
fn ends(whole: u32, parts: u32) -> Vec<u32> {
    (1..=parts)
        .map(|part| {
            let end = u64::from(whole) * u64::from(part) / u64::from(parts.max(1));
            u32::try_from(end).unwrap_or(whole)
        })
        .collect()
}

/// Black pixels from column `start` to before `end`.
fn black(row: &[u8], start: u32, end: u32) -> u32 {
    let mut count = 0;
    let mut at = start;
    while at < end {
        let first = (at / 8) as usize;
        let rest = row.get(first..).unwrap_or_default();
        let word = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(rest) {
                *to = *from;
            }
            word
        });
        // At most 64 pixels, fewer where the part starts within a byte.
        let skipped = at % 8;
        let taken = (64 - skipped).min(end - at);
        let bits = u64::from_be_bytes(word) << skipped >> (64 - taken);
        count += bits.count_ones();
        at += taken;
    }
    count
}

/// Turns a grey picture; see [`Turn`].
fn upright(mut grey: Vec<u8>, mut width: usize, turn: Turn) -> Vec<u8> {
    if turn.transpose {
        let rows = grey.len() / width.max(1);
        grey = (0..width)
            .flat_map(|column| grey.iter().skip(column).step_by(width).copied())
            .collect();
        width = rows;
    }
    if turn.flip {
        // Both directions at once, and the columns back.
        grey.reverse();
    }
    if turn.flip != turn.mirror {
        grey.chunks_mut(width.max(1)).for_each(<[u8]>::reverse);
    }
    grey
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_pixels_are_counted_in_any_range() {
        let row: Vec<u8> = (0..40_u32)
            .map(|at| (at * 37 % 251).to_le_bytes()[0])
            .collect();
        for start in 0..100 {
            for end in start..320 {
                let expected = (start..end)
                    .filter(|x| row[(x / 8) as usize] >> (7 - x % 8) & 1 == 1)
                    .count();
                assert_eq!(black(&row, start, end) as usize, expected, "{start}..{end}");
            }
        }
    }

    #[test]
    fn a_grey_picture_is_turned_as_its_orientation_says() {
        let page = [1, 2, 3, 4, 5, 6];
        for (turn, expected) in [
            ((false, false, false), [1, 2, 3, 4, 5, 6]),
            ((false, true, false), [3, 2, 1, 6, 5, 4]),
            ((false, true, true), [6, 5, 4, 3, 2, 1]),
            ((false, false, true), [4, 5, 6, 1, 2, 3]),
            ((true, false, false), [1, 4, 2, 5, 3, 6]),
            ((true, true, false), [4, 1, 5, 2, 6, 3]),
            ((true, true, true), [6, 3, 5, 2, 4, 1]),
            ((true, false, true), [3, 6, 2, 5, 1, 4]),
        ] {
            let (transpose, mirror, flip) = turn;
            let turn = Turn {
                transpose,
                mirror,
                flip,
            };
            assert_eq!(upright(page.to_vec(), 3, turn), expected, "{turn:?}");
        }
    }
}
