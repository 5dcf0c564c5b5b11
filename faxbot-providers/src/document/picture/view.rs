//! A grey picture in memory, and how it is looked at: turned and mirrored.

use std::borrow::Cow;

/// Rows that are turned at a time: as many as the pixels of a cache line.
const BATCH: usize = 64;

/// A page of pixels, 0 black to 255 white.
#[derive(Debug)]
pub(in crate::document) struct Grey {
    width: usize,
    pixels: Vec<u8>,
    bilevel: bool,
}

impl Grey {
    pub(in crate::document) fn new(width: u32) -> Self {
        Self {
            width: width as usize,
            pixels: Vec::new(),
            bilevel: true,
        }
    }

    /// A picture whose pixels are known.
    pub(super) fn from_pixels(width: u32, pixels: Vec<u8>) -> Self {
        let bilevel = is_bilevel(&pixels);
        Self {
            width: width as usize,
            pixels,
            bilevel,
        }
    }

    /// Adds a row at the bottom. Memory is taken as rows come, not as they are announced.
    pub(in crate::document) fn push(&mut self, row: &[u8]) {
        self.bilevel &= is_bilevel(row);
        self.pixels.extend_from_slice(row);
    }

    pub(in crate::document) fn rows(&self) -> usize {
        self.pixels.len() / self.width.max(1)
    }

    /// Whether every pixel is black or white.
    pub(super) fn is_bilevel(&self) -> bool {
        self.bilevel
    }
}

fn is_bilevel(pixels: &[u8]) -> bool {
    pixels.iter().all(|pixel| pixel.wrapping_add(1) < 2)
}

/// Where a pixel that is looked at lies in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::document) struct View {
    /// Columns and rows change places.
    pub(super) swapped: bool,
    /// Columns of the picture run from right to left.
    columns_back: bool,
    /// Rows of the picture run from bottom to top.
    rows_back: bool,
}

impl View {
    /// By the tag `Orientation` (TIFF 6.0 §8, the same in Exif); what it cannot be is 1, upright.
    pub(super) fn of_orientation(orientation: u16) -> Self {
        let (swapped, columns_back, rows_back) = match orientation {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, false, true),
            7 => (true, true, true),
            8 => (true, true, false),
            _ => (false, false, false),
        };
        Self {
            swapped,
            columns_back,
            rows_back,
        }
    }

    /// The same turned by 90 degrees, anticlockwise.
    pub(super) fn turned(self) -> Self {
        if self.swapped {
            Self {
                swapped: false,
                rows_back: !self.rows_back,
                ..self
            }
        } else {
            Self {
                swapped: true,
                columns_back: !self.columns_back,
                ..self
            }
        }
    }
}

/// The rows of a picture as it is looked at.
pub(super) struct Rows<'a> {
    grey: &'a Grey,
    view: View,
    /// Turned rows from `first` on.
    batch: Vec<u8>,
    first: Option<usize>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(grey: &'a Grey, view: View) -> Self {
        Self {
            grey,
            view,
            batch: Vec::new(),
            first: None,
        }
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        let (width, rows) = (self.grey.width, self.grey.rows());
        if self.view.swapped {
            (rows, width)
        } else {
            (width, rows)
        }
    }

    /// The row at `y`; rows are best asked for in order.
    pub(super) fn row(&mut self, y: usize) -> Cow<'_, [u8]> {
        let (width, height) = self.size();
        if self.view.swapped {
            let first = y - y % BATCH;
            if self.first != Some(first) {
                self.turn(first, BATCH.min(height.saturating_sub(first)));
            }
            let start = (y - first) * width;
            return Cow::Borrowed(self.batch.get(start..start + width).unwrap_or_default());
        }
        let y = if self.view.rows_back {
            height.saturating_sub(y + 1)
        } else {
            y
        };
        let row = self.grey.pixels.chunks_exact(width).nth(y).unwrap_or(&[]);
        if self.view.columns_back {
            Cow::Owned(row.iter().rev().copied().collect())
        } else {
            Cow::Borrowed(row)
        }
    }

    /// Gathers `count` rows from `first` on: columns of the picture.
    fn turn(&mut self, first: usize, count: usize) {
        let (width, _) = self.size();
        self.batch.clear();
        self.batch.resize(width * count, 255);
        self.first = Some(first);
        let start = if self.view.columns_back {
            self.grey.width.saturating_sub(first + count)
        } else {
            first
        };
        for (row, pixels) in self.grey.pixels.chunks_exact(self.grey.width).enumerate() {
            let x = if self.view.rows_back {
                width - 1 - row
            } else {
                row
            };
            let columns = pixels.get(start..start + count).unwrap_or_default();
            for (at, pixel) in columns.iter().enumerate() {
                let y = if self.view.columns_back {
                    count - 1 - at
                } else {
                    at
                };
                if let Some(place) = self.batch.get_mut(y * width + x) {
                    *place = *pixel;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The picture `ab / cd / ef` as it is looked at.
    fn seen(view: View) -> String {
        let grey = Grey::from_pixels(2, b"abcdef".to_vec());
        let mut rows = Rows::new(&grey, view);
        let (_, height) = rows.size();
        let rows: Vec<String> = (0..height)
            .map(|y| String::from_utf8(rows.row(y).into_owned()).unwrap())
            .collect();
        rows.join(" ")
    }

    #[test]
    fn every_orientation_shows_the_picture_upright() {
        for (orientation, wanted) in [
            (0, "ab cd ef"),
            (1, "ab cd ef"),
            (2, "ba dc fe"),
            (3, "fe dc ba"),
            (4, "ef cd ab"),
            (5, "ace bdf"),
            (6, "eca fdb"),
            (7, "fdb eca"),
            (8, "bdf ace"),
            (9, "ab cd ef"),
        ] {
            let view = View::of_orientation(orientation);
            assert_eq!(seen(view), wanted, "{orientation}");
        }
    }

    #[test]
    fn four_turns_are_none_and_one_puts_the_top_left() {
        for orientation in 1..=8 {
            let view = View::of_orientation(orientation);
            assert_eq!(view.turned().turned().turned().turned(), view);
        }
        assert_eq!(seen(View::of_orientation(1).turned()), "bdf ace");
        assert_eq!(seen(View::of_orientation(6).turned()), "ab cd ef");
    }

    #[test]
    fn turning_goes_beyond_a_batch() {
        let (width, height) = (150, 3);
        let pixels: Vec<u8> = (0..width * height)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        let grey = Grey::from_pixels(150, pixels.clone());
        for (orientation, back) in [(5, false), (8, true)] {
            let mut rows = Rows::new(&grey, View::of_orientation(orientation));
            assert_eq!(rows.size(), (3, 150));
            for y in 0..150 {
                let column = if back { width - 1 - y } else { y };
                let wanted: Vec<u8> = (0..3).map(|row| pixels[row * width + column]).collect();
                assert_eq!(rows.row(y).as_ref(), wanted, "{orientation} {y}");
            }
        }
    }
}
