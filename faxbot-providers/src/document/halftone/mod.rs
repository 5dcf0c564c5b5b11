//! Grey to black and white.
//!
//! # `Auto`
//! Each block of 8 by 8 pixels is either thresholded or screened with clustered dots:
//!
//! - A block *begins* dots when two thirds of it are smooth mid-grey (64 to 211, hardly different
//!   from the pixels beside and above it) and so is the block at its left or right. Grey and
//!   antialiased strokes of text are too thin or too steep for that and stay solid; light shades of
//!   tables (212 and above) and what a scanner or JPEG leaves on white paper never count.
//! - A block *joins* dots that touch it (left, right, or above with the corners) when it has some
//!   grey of its own, dark and light ones included, so that a photo does not flip between the two
//!   from block to block. An even light shade does not join; a block with much paper in it joins,
//!   but nothing joins it.
//! - What is nearly black or nearly white in a block of dots becomes all black or all white, so that
//!   ink and paper in it have no holes and no specks.
//!
//! Pixels that are black or white come out as under the threshold. A block cannot see the one below
//! it, so the first rows of a photo that does not begin with a block may be thresholded.

mod blocks;
mod diffusion;
mod dots;
mod pack;

use faxbot_core::{
    Result,
    document::{Halftone, ccitt::row_bytes},
};

use blocks::Blocks;
use diffusion::Diffusion;
use dots::{DOTS, DOTS_BESIDE_TEXT};

/// Turns bands of grey rows into packed rows. One screen serves page after page.
#[derive(Debug)]
pub(super) struct Screen {
    width: usize,
    method: Method,
    /// The packed rows of a band.
    packed: Vec<u8>,
}

#[derive(Debug)]
enum Method {
    Auto(Blocks),
    Threshold,
    ClusteredDot,
    FloydSteinberg(Diffusion),
}

impl Screen {
    /// Rows of a band: a halftone cell is as high.
    pub(super) const BAND: usize = 8;

    pub(super) fn new(method: Halftone, width: u32) -> Self {
        let row = row_bytes(width);
        let width = width as usize;
        let method = match method {
            Halftone::Threshold => Method::Threshold,
            Halftone::ClusteredDot => Method::ClusteredDot,
            Halftone::FloydSteinberg => Method::FloydSteinberg(Diffusion::new(width)),
            _ => Method::Auto(Blocks::new(row)),
        };
        Self {
            width,
            method,
            packed: vec![0; row * Self::BAND],
        }
    }

    /// Begins a page: cells and diffused errors start anew.
    pub(super) fn begin_page(&mut self) {
        match &mut self.method {
            Method::Auto(blocks) => blocks.begin_page(),
            Method::FloydSteinberg(diffusion) => diffusion.begin_page(),
            Method::Threshold | Method::ClusteredDot => {}
        }
    }

    /// Takes the next [`BAND`](Self::BAND) rows of the page (its last band may have fewer), a byte a
    /// pixel, 0 black to 255 white, and gives each as a packed row, `1` is black.
    pub(super) fn band(
        &mut self,
        grey: &[u8],
        mut on_row: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let bytes = self.width.div_ceil(8);
        let rows = grey
            .chunks_exact(self.width)
            .zip(self.packed.chunks_exact_mut(bytes));
        let count = rows.len();
        match &mut self.method {
            Method::Threshold => rows.for_each(|(pixels, row)| pack::threshold(pixels, row)),
            Method::ClusteredDot => rows
                .zip(&DOTS)
                .for_each(|((pixels, row), cell)| dots::row(pixels, cell, row)),
            Method::FloydSteinberg(diffusion) => {
                rows.for_each(|(pixels, row)| diffusion.row(pixels, row));
            }
            Method::Auto(blocks) => {
                blocks.begin_band();
                rows.for_each(|(pixels, row)| pack::threshold_and_mark(pixels, row, blocks.grey()));
                if blocks.choose(grey, self.width) {
                    let rows = grey
                        .chunks_exact(self.width)
                        .zip(self.packed.chunks_exact_mut(bytes));
                    for ((pixels, row), cell) in rows.zip(&DOTS_BESIDE_TEXT) {
                        blocks.screen(pixels, cell, row);
                    }
                }
            }
        }
        self.packed
            .chunks_exact(bytes)
            .take(count)
            .try_for_each(&mut on_row)
    }
}

#[cfg(test)]
mod tests;
