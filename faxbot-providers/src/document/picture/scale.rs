//! Pictures to another size, a row at a time.
//!
//! Smaller by the mean of the area that a pixel covers; larger by a straight line between pixels,
//! or, where all of them are black or white, by the area too, so that a whole factor repeats them.

use super::view::Rows;

/// Weights of a pixel of the result add up to this.
const ONE: u64 = 1 << 16;

/// From which pixels those of the result come, along one axis.
struct Axis {
    /// For each pixel the first one that it comes from, and where its weights begin.
    from: Vec<(usize, usize)>,
    weights: Vec<u32>,
}

impl Axis {
    fn new(from: usize, to: usize, bilevel: bool) -> Self {
        let mut axis = Self {
            from: Vec::with_capacity(to),
            weights: Vec::new(),
        };
        for at in 0..to {
            if to > from && !bilevel {
                axis.line(from as u64, to as u64, at as u64);
            } else {
                axis.area(from as u64, to as u64, at as u64);
            }
        }
        axis
    }

    /// Pixel `at` covers `at * from / to` to `(at + 1) * from / to`. Sums are rounded, not weights,
    /// so that they add up.
    fn area(&mut self, from: u64, to: u64, at: u64) {
        let (left, right) = (at * from, (at + 1) * from);
        let first = left / to;
        self.begin(first);
        let mut done = 0;
        let mut border = (first + 1) * to;
        loop {
            let sum = ((border.min(right) - left) * ONE + from / 2) / from;
            self.push(sum - done);
            done = sum;
            if border >= right {
                break;
            }
            border += to;
        }
    }

    /// Between the centres of two pixels, or at the border beside one.
    fn line(&mut self, from: u64, to: u64, at: u64) {
        // The centre in units of half a pixel of the result.
        let centre = ((2 * at + 1) * from).saturating_sub(to);
        let first = (centre / (2 * to)).min(from - 1);
        self.begin(first);
        let second = (centre % (2 * to)) * ONE / (2 * to);
        if first + 1 < from {
            self.push(ONE - second);
            self.push(second);
        } else {
            self.push(ONE);
        }
    }

    fn begin(&mut self, first: u64) {
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        self.from.push((first, self.weights.len()));
    }

    fn push(&mut self, weight: u64) {
        self.weights.push(u32::try_from(weight).unwrap_or(0));
    }

    /// The first pixel that pixel `at` comes from, and the weights from there on.
    fn pixel(&self, at: usize) -> Option<(usize, &[u32])> {
        let (first, start) = *self.from.get(at)?;
        let end = self
            .from
            .get(at + 1)
            .map_or(self.weights.len(), |next| next.1);
        Some((first, self.weights.get(start..end)?))
    }
}

/// Scales the rows of a picture.
pub(super) struct Scaler<'a> {
    rows: Rows<'a>,
    across: Axis,
    down: Axis,
    columns: usize,
    /// The last two rows that were scaled across, as the next row of the result needs them too.
    recent: [(Option<usize>, Vec<u16>); 2],
    sums: Vec<u32>,
}

impl<'a> Scaler<'a> {
    /// To `columns` by `height` pixels.
    pub(super) fn new(rows: Rows<'a>, columns: usize, height: usize, bilevel: bool) -> Self {
        let (width, rows_in) = rows.size();
        Self {
            rows,
            across: Axis::new(width, columns, bilevel),
            down: Axis::new(rows_in, height, bilevel),
            columns,
            recent: [(None, Vec::new()), (None, Vec::new())],
            sums: vec![0; columns],
        }
    }

    /// Writes row `y` of the result.
    pub(super) fn row(&mut self, y: usize, out: &mut [u8]) {
        let Some((first, weights)) = self.down.pixel(y) else {
            return;
        };
        self.sums.fill(0);
        for (row, weight) in (first..).zip(weights) {
            if *weight == 0 {
                continue;
            }
            let seen = self.recent.iter().position(|(at, _)| *at == Some(row));
            if seen.is_none() {
                self.recent.swap(0, 1);
                let (at, scaled) = &mut self.recent[0];
                *at = Some(row);
                across(&self.across, &self.rows.row(row), self.columns, scaled);
            }
            let [(_, zero), (_, one)] = &self.recent;
            let scaled = if seen == Some(1) { one } else { zero };
            for (sum, value) in self.sums.iter_mut().zip(scaled) {
                // At most 65,280 by 65,536, as the weights add up.
                *sum += u32::from(*value) * weight;
            }
        }
        for (pixel, sum) in out.iter_mut().zip(&self.sums) {
            *pixel = (sum + (1 << 23)).to_be_bytes()[0];
        }
    }
}

/// A row in 256ths.
fn across(axis: &Axis, row: &[u8], columns: usize, scaled: &mut Vec<u16>) {
    scaled.clear();
    if row.len() == columns {
        scaled.extend(row.iter().map(|pixel| u16::from(*pixel) << 8));
        return;
    }
    scaled.extend((0..columns).map(|at| {
        let Some((first, weights)) = axis.pixel(at) else {
            return 255 << 8;
        };
        let sum: u32 = row
            .iter()
            .skip(first)
            .zip(weights)
            .map(|(pixel, weight)| u32::from(*pixel) * weight)
            .sum();
        u16::try_from(sum >> 8).unwrap_or(u16::MAX)
    }));
}

#[cfg(test)]
mod tests {
    use super::{
        super::view::{Grey, View},
        *,
    };

    fn scaled(width: u32, pixels: &[u8], columns: usize, height: usize) -> Vec<Vec<u8>> {
        let grey = Grey::from_pixels(width, pixels.to_vec());
        let rows = Rows::new(&grey, View::of_orientation(1));
        let mut scaler = Scaler::new(rows, columns, height, grey.is_bilevel());
        (0..height)
            .map(|y| {
                let mut row = vec![0; columns];
                scaler.row(y, &mut row);
                row
            })
            .collect()
    }

    #[test]
    fn smaller_is_the_mean_of_the_area() {
        assert_eq!(scaled(4, &[0, 100, 200, 100], 2, 1), [[50, 150]]);
        assert_eq!(scaled(1, &[10, 20, 40], 1, 1), [[23]]);
        assert_eq!(scaled(3, &[30, 60, 90], 2, 1), [[40, 80]]);
        assert_eq!(scaled(2, &[0, 255, 255, 0], 1, 1), [[128]]);
    }

    #[test]
    fn larger_lies_between_grey_pixels_and_repeats_black_and_white() {
        assert_eq!(scaled(2, &[40, 80], 4, 1), [[40, 50, 70, 80]]);
        assert_eq!(scaled(2, &[0, 255], 4, 2), [[0, 0, 255, 255]; 2]);
        assert_eq!(scaled(1, &[7], 3, 2), [[7, 7, 7]; 2]);
    }

    #[test]
    fn the_same_size_is_the_same_picture_and_white_stays_white_at_any_size() {
        let pixels: Vec<u8> = (0..=255).collect();
        assert_eq!(scaled(16, &pixels, 16, 16).concat(), pixels);
        for size in [1, 2, 3, 7, 100, 333] {
            let white = scaled(41, &[255; 41 * 41], size, size);
            assert!(white.iter().flatten().all(|pixel| *pixel == 255), "{size}");
            let mut almost = vec![255; 41 * 41];
            almost[0] = 254;
            let grey = scaled(41, &almost, size, size);
            assert!(
                grey.iter()
                    .flatten()
                    .skip(size / 8 + 1)
                    .all(|pixel| *pixel >= 254)
            );
        }
    }

    #[test]
    fn a_very_long_picture_keeps_its_mean() {
        let pixels: Vec<u8> = (0..65_535)
            .map(|at| if at % 2 == 0 { 0 } else { 200 })
            .collect();
        assert_eq!(scaled(65_535, &pixels, 1, 1), [[100]]);
    }
}
