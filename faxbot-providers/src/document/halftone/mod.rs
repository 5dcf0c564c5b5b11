//! Grey to black and white.

use faxbot_core::{
    Result,
    document::{Halftone, ccitt::row_bytes},
};

/// Luminance from which a colour is white under the threshold. Grey text (153) stays; light table
/// shades (217) go.
const WHITE_FROM: u8 = 160;

/// Turns bands of grey rows into packed rows. One screen serves page after page.
#[derive(Debug)]
pub(super) struct Screen {
    method: Halftone,
    width: usize,
    row: Vec<u8>,
}

impl Screen {
    /// Rows of a band: a halftone cell is as high.
    pub(super) const BAND: usize = 8;

    pub(super) fn new(method: Halftone, width: u32) -> Self {
        Self {
            method,
            width: width as usize,
            row: vec![0; row_bytes(width)],
        }
    }

    /// Begins a page: cells and diffused errors start anew.
    pub(super) fn begin_page(&mut self) {}

    /// Takes the next [`BAND`](Self::BAND) rows of the page (its last band may have fewer), a byte a
    /// pixel, 0 black to 255 white, and gives each as a packed row, `1` is black.
    pub(super) fn band(
        &mut self,
        grey: &[u8],
        mut on_row: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let _ = self.method;
        for pixels in grey.chunks_exact(self.width) {
            pack(pixels, &mut self.row);
            on_row(&self.row)?;
        }
        Ok(())
    }
}

fn pack(pixels: &[u8], row: &mut [u8]) {
    for (eight, byte) in pixels.chunks(8).zip(row) {
        *byte = eight
            .iter()
            .zip([0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1])
            .fold(0, |packed, (pixel, bit)| {
                packed | if *pixel < WHITE_FROM { bit } else { 0 }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_packed_by_the_threshold() {
        let mut screen = Screen::new(Halftone::Threshold, 9);
        let mut rows = Vec::new();
        screen.begin_page();
        screen
            .band(&[255, 0, 153, 217, 76, 226, 255, 0, 0], |row| {
                rows.push(row.to_vec());
                Ok(())
            })
            .unwrap();
        assert_eq!(rows, [[0b0110_1001, 0b1000_0000]]);
    }
}
