//! A picture on its page.

use faxbot_core::{
    DocumentReason, Error, Result,
    document::{ConvertOptions, FaxWidth, Resolution},
};

use super::{
    Easel, Grey,
    scale::Scaler,
    view::{Rows, View},
};
use crate::document::{
    convert::OPERATION,
    halftone::Screen,
    layout::{self, Place, Size},
    output::{FaxFile, check_pixels, too_large},
};

/// Pixels of a picture; 600 dots per inch on A3 are 70 million. It is held in memory, a byte a
/// pixel.
const MAX_IMAGE_PIXELS: u64 = 100_000_000;

/// Pixels along a side of a picture: as many as a JPEG can have.
pub(in crate::document) const MAX_SIDE: u32 = 65_535;

/// Rows of a page: as many as the reader of fax TIFFs takes, four metres in fine.
const MAX_ROWS: u32 = 32_768;

/// Pixels per inch that a picture can mean. Others are slips of the program that wrote it.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 50.0..=1200.0;
/// Lines per inch to pixels per inch of a row; those of a fax in standard resolution are 0.48.
const PLAUSIBLE_RATIO: std::ops::RangeInclusive<f64> = 0.24..=4.2;

/// Pixels per inch of a picture that says nothing.
const PER_INCH: f64 = 72.0;

/// What is known of a picture before its pixels are decoded.
#[derive(Debug, Clone, Copy)]
pub(in crate::document) struct Sheet {
    width: u32,
    height: u32,
    per_inch: Option<(f64, f64)>,
    /// Pixels along to pixels down of the same length, the smaller of the two 1.
    ratio: (f64, f64),
    pub(in crate::document) view: View,
}

impl Sheet {
    /// # Errors
    /// `Document(TooLarge)` above [`MAX_IMAGE_PIXELS`] or [`MAX_SIDE`], `Document(Damaged)` without
    /// a pixel.
    pub(in crate::document) fn new(
        (width, height): (u32, u32),
        per_inch: Option<(f64, f64)>,
        orientation: u16,
    ) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(damaged("the picture has no pixels"));
        }
        if u64::from(width) * u64::from(height) > MAX_IMAGE_PIXELS {
            return Err(too_large(format!(
                "a picture has more than {MAX_IMAGE_PIXELS} pixels: make it smaller"
            )));
        }
        if width.max(height) > MAX_SIDE {
            return Err(too_large(format!(
                "a picture has more than {MAX_SIDE} pixels along a side: cut it into pieces"
            )));
        }
        let per_inch = per_inch.filter(|(x, y)| {
            PLAUSIBLE.contains(x) && PLAUSIBLE.contains(y) && PLAUSIBLE_RATIO.contains(&(y / x))
        });
        Ok(Self {
            width,
            height,
            per_inch,
            ratio: (1.0, 1.0),
            view: View::of_orientation(orientation),
        })
    }

    /// Sets how many pixels along are as long as how many down, for a picture that states no size.
    pub(super) fn with_ratio(mut self, ratio: Option<(f64, f64)>) -> Self {
        if let Some((x, y)) = ratio.filter(|(x, y)| PLAUSIBLE_RATIO.contains(&(y / x))) {
            let least = x.min(y);
            self.ratio = (x / least, y / least);
        }
        self
    }

    /// How a picture stands that is neither turned nor mirrored.
    pub(in crate::document) fn upright() -> View {
        View::of_orientation(1)
    }

    /// Where it stands on its page.
    pub(in crate::document) fn place(
        &self,
        paper: FaxWidth,
        resolution: Resolution,
    ) -> Result<Place> {
        let known = match self.per_inch {
            Some(_) => Size::Stated,
            None => Size::Guessed,
        };
        let guessed = (PER_INCH * self.ratio.0, PER_INCH * self.ratio.1);
        let per_inch = self.per_inch.unwrap_or(guessed);
        let (width, height) = layout::size_mm((self.width, self.height), per_inch);
        let size = if self.view.swapped {
            (height, width)
        } else {
            (width, height)
        };
        layout::place(size, known, paper, resolution)
            .ok_or_else(|| damaged("the picture has no size"))
    }
}

/// Refuses a page that is too long or has too many pixels. Pages count from 0.
pub(in crate::document) fn check_place(
    page: usize,
    place: &Place,
    options: &ConvertOptions,
) -> Result<()> {
    check_pixels(page, place.rows, options)?;
    if place.rows > MAX_ROWS {
        return Err(too_large(format!(
            "page {} has {} rows, a fax page has at most {MAX_ROWS}: cut the picture into pieces",
            page.saturating_add(1),
            place.rows
        )));
    }
    Ok(())
}

/// Draws the page in bands.
pub(super) fn draw(
    easel: &mut Easel,
    grey: &Grey,
    view: View,
    place: Place,
    out: &mut FaxFile<'_>,
) -> Result<()> {
    let view = if place.turned { view.turned() } else { view };
    let (left, columns) = (place.left as usize, place.columns as usize);
    let bilevel = grey.is_bilevel();
    let mut scaler = Scaler::new(Rows::new(grey, view), columns, place.rows as usize, bilevel);
    let Easel {
        screen,
        width,
        band,
    } = easel;
    band.fill(255);
    out.page(place.rows, |rows| {
        screen.begin_page();
        let mut done = 0;
        while done < place.rows as usize {
            let count = Screen::BAND.min(place.rows as usize - done);
            for (y, row) in (done..done + count).zip(band.chunks_exact_mut(*width)) {
                let Some(row) = row.get_mut(left..left + columns) else {
                    continue;
                };
                scaler.row(y, row);
                if bilevel {
                    keep_ink(row);
                }
            }
            let pixels = band.get(..count * *width).unwrap_or_default();
            screen.band(pixels, |row| rows.row(row))?;
            done += count;
        }
        Ok(())
    })
}

/// Darkens the greys that come from scaling black and white: a pixel of which a quarter is black
/// becomes black under the threshold. So a hairline stays when a row of it is merged with one or
/// three white rows, or when 600 dots per inch become 204.
fn keep_ink(row: &mut [u8]) {
    for pixel in row {
        let grey = u16::from(*pixel);
        let darker = if grey < 192 {
            grey * 159 / 191
        } else {
            159 + (grey - 191) * 3 / 2
        };
        *pixel = u8::try_from(darker).unwrap_or(u8::MAX);
    }
}

pub(super) fn damaged(message: &'static str) -> Error {
    Error::document(OPERATION, DocumentReason::Damaged, message)
}

pub(super) fn unsuitable(message: &'static str) -> Error {
    Error::document(OPERATION, DocumentReason::Unsuitable, message)
}

/// ITU-R BT.601 luma.
pub(super) fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let weighted = u16::from(red) * 77 + u16::from(green) * 150 + u16::from(blue) * 29;
    weighted.to_be_bytes()[0]
}

/// A value in front of white.
pub(super) fn over_white(grey: u8, alpha: u8) -> u8 {
    let (grey, alpha) = (u16::from(grey), u16::from(alpha));
    u8::try_from((grey * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_ink_is_black_and_black_and_white_stay() {
        let mut row = [0, 255, 191, 192, 128];
        keep_ink(&mut row);
        assert_eq!(row, [0, 255, 159, 160, 106]);
    }

    #[test]
    fn transparent_is_white() {
        assert_eq!(
            [(0, 0), (0, 255), (0, 128), (255, 7)].map(|(g, a)| over_white(g, a)),
            [255, 0, 127, 255]
        );
    }
}
