//! Error diffusion by Floyd and Steinberg, every other row from right to left.

/// Errors of the row above, in sixteenths.
#[derive(Debug)]
pub(super) struct Diffusion {
    /// One more at each end, so that the neighbours of the first and the last pixel are there.
    above: Vec<i32>,
    below: Vec<i32>,
    backwards: bool,
}

impl Diffusion {
    pub(super) fn new(width: usize) -> Self {
        Self {
            above: vec![0; width + 2],
            below: vec![0; width + 2],
            backwards: false,
        }
    }

    pub(super) fn begin_page(&mut self) {
        self.above.fill(0);
        self.backwards = false;
    }

    pub(super) fn row(&mut self, pixels: &[u8], row: &mut [u8]) {
        row.fill(0);
        self.below.fill(0);
        let mut ahead = 0;
        if self.backwards {
            for at in (0..pixels.len()).rev() {
                ahead = self.pixel(pixels, at, ahead, (at + 2, at), row);
            }
        } else {
            for at in 0..pixels.len() {
                ahead = self.pixel(pixels, at, ahead, (at, at + 2), row);
            }
        }
        self.backwards = !self.backwards;
        std::mem::swap(&mut self.above, &mut self.below);
    }

    /// Decides a pixel with the error `ahead` of the one before it; gives its own for the next one.
    fn pixel(
        &mut self,
        pixels: &[u8],
        at: usize,
        ahead: i32,
        (behind, next): (usize, usize),
        row: &mut [u8],
    ) -> i32 {
        let Some(pixel) = pixels.get(at) else {
            return 0;
        };
        let above = self.above.get(at + 1).copied().unwrap_or(0);
        let value = i32::from(*pixel) + (above + ahead) / 16;
        let black = value < 128;
        if black && let Some(byte) = row.get_mut(at / 8) {
            *byte |= 0x80 >> (at % 8);
        }
        let error = value - if black { 0 } else { 255 };
        for (place, weight) in [(behind, 3), (at + 1, 5), (next, 1)] {
            if let Some(below) = self.below.get_mut(place) {
                *below += error * weight;
            }
        }
        error * 7
    }
}
