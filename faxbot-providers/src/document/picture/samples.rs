//! Samples of TIFF pages to grey.

use super::page::{luma, over_white};

/// How the samples of a pixel lie. Those of fewer than 8 bits are one a pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) bits: u8,
    pub(super) samples: usize,
    /// Which one is alpha.
    pub(super) alpha: Option<usize>,
    /// Colours are multiplied by alpha.
    pub(super) premultiplied: bool,
}

/// What samples mean (`PhotometricInterpretation`, TIFF 6.0 §8 and part 2).
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    /// The grey of each index.
    Palette(Vec<u8>),
    Cmyk,
    /// The first sample is the luminance.
    YCbCr,
}

impl Meaning {
    /// By the tag, and the tag `ColorMap`: all reds, all greens, all blues.
    pub(super) fn new(photometric: u16, map: Option<&[u16]>) -> Option<Self> {
        Some(match photometric {
            0 => Self::WhiteIsZero,
            1 => Self::BlackIsZero,
            2 => Self::Rgb,
            3 => {
                let map = map?;
                // Some programs write 8 bits.
                let shift = if map.iter().all(|value| *value < 256) {
                    0
                } else {
                    8
                };
                let colour = |value: u16| u8::try_from((value >> shift) & 0xff).unwrap_or(255);
                let (reds, rest) = map.split_at(map.len() / 3);
                let (greens, blues) = rest.split_at(rest.len() / 2);
                let greys = reds.iter().zip(greens).zip(blues);
                Self::Palette(
                    greys
                        .map(|((red, green), blue)| {
                            luma(colour(*red), colour(*green), colour(*blue))
                        })
                        .collect(),
                )
            }
            5 => Self::Cmyk,
            6 => Self::YCbCr,
            _ => return None,
        })
    }

    /// Whether the crate `tiff` must not know of it.
    pub(super) fn hides(&self) -> bool {
        matches!(self, Self::WhiteIsZero | Self::Palette(_))
    }

    /// The grey of a pixel of 8 bits a sample. Those of a palette are indexes.
    fn grey(&self, pixel: &[u8]) -> u8 {
        match (self, pixel) {
            (Self::WhiteIsZero, [value, ..]) => !value,
            (Self::BlackIsZero | Self::YCbCr, [value, ..]) => *value,
            (Self::Rgb, [red, green, blue, ..]) => luma(*red, *green, *blue),
            (Self::Palette(greys), [index, ..]) => {
                greys.get(usize::from(*index)).copied().unwrap_or(255)
            }
            (Self::Cmyk, [cyan, magenta, yellow, black, ..]) => {
                let ink = |colour: u8| over_white(0, colour);
                let light = luma(ink(*cyan), ink(*magenta), ink(*yellow));
                let product = u16::from(light) * u16::from(ink(*black));
                u8::try_from(product / 255).unwrap_or(255)
            }
            _ => 255,
        }
    }
}

impl Layout {
    /// Writes rows of `width` pixels of samples of up to 8 bits.
    pub(super) fn fill_bytes<'a>(
        &self,
        samples: &[u8],
        width: usize,
        meaning: &Meaning,
        rows: impl Iterator<Item = &'a mut [u8]>,
    ) {
        if self.bits >= 8 {
            let stride = (width * self.samples).max(1);
            for (samples, row) in samples.chunks_exact(stride).zip(rows) {
                let pixels = samples.chunks_exact(self.samples);
                for (pixel, out) in pixels.zip(row) {
                    *out = self.pixel(pixel, meaning);
                }
            }
            return;
        }
        let bits = usize::from(self.bits);
        let stride = (width * bits).div_ceil(8).max(1);
        let most = 0xff_u8 >> (8 - self.bits);
        // 1, 3 and 15 divide 255.
        let step = if matches!(meaning, Meaning::Palette(_)) {
            1
        } else {
            255 / most
        };
        for (packed, row) in samples.chunks_exact(stride).zip(rows) {
            for (at, out) in row.iter_mut().take(width).enumerate() {
                let place = at * bits;
                let byte = packed.get(place / 8).copied().unwrap_or(0);
                let value = (byte >> (8 - bits - place % 8)) & most;
                *out = meaning.grey(&[value * step]);
            }
        }
    }

    /// Writes rows of `width` pixels of samples of 16 bits.
    pub(super) fn fill_words<'a>(
        &self,
        samples: &[u16],
        width: usize,
        meaning: &Meaning,
        rows: impl Iterator<Item = &'a mut [u8]>,
    ) {
        let stride = (width * self.samples).max(1);
        let index = matches!(meaning, Meaning::Palette(_));
        let mut bytes = Vec::with_capacity(self.samples);
        for (samples, row) in samples.chunks_exact(stride).zip(rows) {
            for (pixel, out) in samples.chunks_exact(self.samples).zip(row) {
                bytes.clear();
                bytes.extend(pixel.iter().map(|value| {
                    let [high, low] = value.to_be_bytes();
                    if index { low } else { high }
                }));
                *out = self.pixel(&bytes, meaning);
            }
        }
    }

    fn pixel(&self, pixel: &[u8], meaning: &Meaning) -> u8 {
        let grey = meaning.grey(pixel);
        match self.alpha.and_then(|at| pixel.get(at)) {
            Some(alpha) if !self.premultiplied => over_white(grey, *alpha),
            Some(alpha) => match meaning {
                // Paper is what has no ink.
                Meaning::WhiteIsZero | Meaning::Cmyk => grey,
                Meaning::Palette(_) => over_white(grey, *alpha),
                _ => grey.saturating_add(255 - *alpha),
            },
            None => grey,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(layout: Layout, samples: &[u8], width: usize, meaning: &Meaning) -> Vec<u8> {
        let mut rows = vec![9; 6];
        layout.fill_bytes(samples, width, meaning, rows.chunks_exact_mut(3));
        rows
    }

    #[test]
    fn samples_become_grey_by_their_meaning() {
        let layout = |bits, samples, alpha| Layout {
            bits,
            samples,
            alpha,
            premultiplied: false,
        };
        let palette = Meaning::new(3, Some(&[0, 0xffff, 0, 0xffff, 0, 0xffff])).unwrap();
        for (layout, meaning, samples, wanted) in [
            (
                layout(1, 1, None),
                Meaning::BlackIsZero,
                vec![0b1010_0000, 0b0100_0000],
                [255, 0, 255, 0, 255, 0],
            ),
            (
                layout(1, 1, None),
                Meaning::WhiteIsZero,
                vec![0b1010_0000, 0b0100_0000],
                [0, 255, 0, 255, 0, 255],
            ),
            (
                layout(2, 1, None),
                Meaning::BlackIsZero,
                vec![0b0001_1000, 0b1100_0000],
                [0, 85, 170, 255, 0, 0],
            ),
            (
                layout(4, 1, None),
                Meaning::BlackIsZero,
                vec![0x0f, 0x10, 0, 0],
                [0, 255, 17, 0, 0, 0],
            ),
            (
                layout(1, 1, None),
                palette,
                vec![0b1010_0000, 0b0100_0000],
                [255, 0, 255, 0, 255, 0],
            ),
            (
                layout(8, 2, Some(1)),
                Meaning::BlackIsZero,
                vec![0, 255, 0, 0, 8, 255, 0, 255, 0, 255, 0, 255],
                [0, 255, 8, 0, 0, 0],
            ),
            (
                layout(8, 1, None),
                Meaning::YCbCr,
                vec![1, 2, 3, 4, 5, 6],
                [1, 2, 3, 4, 5, 6],
            ),
        ] {
            assert_eq!(filled(layout, &samples, 3, &meaning), wanted, "{meaning:?}");
        }
        let mut multiplied = layout(8, 2, Some(1));
        multiplied.premultiplied = true;
        let half = vec![0, 128, 100, 128, 0, 0, 0, 255, 9, 255, 255, 255];
        for (meaning, wanted) in [
            (Meaning::BlackIsZero, [127, 227, 255, 0, 9, 255]),
            (Meaning::WhiteIsZero, [255, 155, 255, 255, 246, 0]),
        ] {
            assert_eq!(filled(multiplied, &half, 3, &meaning), wanted);
        }
        let cmyk = [
            [0, 0, 0, 0],
            [0, 0, 0, 255],
            [255, 255, 255, 0],
            [0, 0, 0, 128],
        ];
        assert_eq!(
            cmyk.map(|pixel| Meaning::Cmyk.grey(&pixel)),
            [255, 0, 0, 127]
        );
    }

    #[test]
    fn words_lose_their_lower_half_and_indexes_their_upper() {
        let layout = Layout {
            bits: 16,
            samples: 1,
            alpha: None,
            premultiplied: false,
        };
        let mut row = [0; 2];
        layout.fill_words(
            &[0x80ff, 0xff00],
            2,
            &Meaning::BlackIsZero,
            [&mut row[..]].into_iter(),
        );
        assert_eq!(row, [0x80, 0xff]);
    }
}
