//! JPEG pictures: baseline and progressive, grey, colour, and CMYK.

use std::io;

use faxbot_core::{DocumentReason, Error, Result};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use super::{
    Grey, Picture, Sheet,
    ifd::{Block, ORIENTATION},
    page::{damaged, luma, unsuitable},
};
use crate::document::{convert::OPERATION, output::too_large, source::Input, worker::Stop};

/// A progressive picture is held as coefficients, 6 bytes a pixel and more, and every scan goes over
/// all of it. Cameras write about ten scans.
const MAX_SCANS: usize = 64;

/// Pixels of a progressive picture, for what they take: the largest cameras of telephones have 200
/// million and write 50, not progressive.
const MAX_PROGRESSIVE_PIXELS: u64 = 50_000_000;

pub(super) struct Jpeg {
    bytes: Vec<u8>,
    head: Head,
    sheet: Sheet,
}

impl Jpeg {
    pub(super) fn open(input: Input) -> Result<Self> {
        let bytes = input.into_vec()?;
        let head = Head::read(&bytes)?;
        let sheet = Sheet::new(
            (u32::from(head.width), u32::from(head.height)),
            head.per_inch,
            head.orientation,
        )?
        .with_ratio(head.ratio);
        let pixels = u64::from(head.width) * u64::from(head.height);
        if head.progressive && pixels > MAX_PROGRESSIVE_PIXELS {
            return Err(too_large(format!(
                "a progressive jpeg has more than {MAX_PROGRESSIVE_PIXELS} pixels: make it smaller"
            )));
        }
        // Memory is taken for all pixels at once, and each block has a bit at least.
        let bits = u64::try_from(bytes.len()).map_or(u64::MAX, |bytes| bytes.saturating_mul(8));
        if head.blocks > bits {
            return Err(damaged("the jpeg is cut off"));
        }
        Ok(Self { bytes, head, sheet })
    }
}

impl Picture for Jpeg {
    fn sheet(&self) -> Sheet {
        self.sheet
    }

    fn decode(self, stop: &Stop) -> Result<Grey> {
        stop.check()?;
        let options = DecoderOptions::default()
            .set_max_width(usize::from(self.head.width))
            .set_max_height(usize::from(self.head.height))
            // Otherwise what is missing comes back grey.
            .set_strict_mode(true)
            .jpeg_set_max_scans(MAX_SCANS);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&self.bytes), options);
        decoder.decode_headers().map_err(failed)?;
        let grey = matches!(
            decoder.input_colorspace(),
            Some(ColorSpace::YCbCr | ColorSpace::Luma)
        );
        let space = if grey {
            ColorSpace::Luma
        } else {
            ColorSpace::RGB
        };
        decoder.set_options(options.jpeg_set_out_colorspace(space));
        let mut pixels = decoder.decode().map_err(failed)?;
        stop.check()?;
        let count = usize::from(self.head.width) * usize::from(self.head.height);
        if pixels.len() != count * if grey { 1 } else { 3 } {
            return Err(damaged("the jpeg has other pixels than it announces"));
        }
        if !grey {
            to_grey_in_place(&mut pixels);
        }
        Ok(Grey::from_pixels(u32::from(self.head.width), pixels))
    }
}

fn to_grey_in_place(pixels: &mut Vec<u8>) {
    let count = pixels.len() / 3;
    for at in 0..count {
        let Some([red, green, blue]) = pixels.get(3 * at..3 * at + 3) else {
            break;
        };
        let grey = luma(*red, *green, *blue);
        if let Some(pixel) = pixels.get_mut(at) {
            *pixel = grey;
        }
    }
    pixels.truncate(count);
    pixels.shrink_to_fit();
}

/// What stands before the pixels.
#[derive(Debug, Default, PartialEq)]
struct Head {
    width: u16,
    height: u16,
    progressive: bool,
    per_inch: Option<(f64, f64)>,
    ratio: Option<(f64, f64)>,
    /// Blocks of 8 by 8 samples, at least.
    blocks: u64,
    orientation: u16,
}

/// Markers (ITU-T T.81 table B.1).
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;

impl Head {
    /// Reads the segments before the pixels, and sees that the picture has its end.
    fn read(bytes: &[u8]) -> Result<Self> {
        let mut head = Self::default();
        let mut exif = None;
        let (mut whole, mut framed, mut inks, mut adobe) = (false, false, false, false);
        for segment in Segments::new(bytes) {
            match (segment.marker, segment.body) {
                // Baseline, extended and progressive, coded by Huffman.
                (0xc0..=0xc2, [bits, h0, h1, w0, w1, parts @ ..]) => {
                    // The decoder reads the first one, limits are checked by what is found here.
                    if std::mem::replace(&mut framed, true) {
                        return Err(damaged("the jpeg has two sizes: open it and save it again"));
                    }
                    head.progressive = segment.marker == 0xc2;
                    if *bits != 8 {
                        return Err(no_such_jpeg());
                    }
                    head.height = u16::from_be_bytes([*h0, *h1]);
                    head.width = u16::from_be_bytes([*w0, *w1]);
                    inks = parts.first() == Some(&4);
                    head.blocks = least_blocks(head.width, head.height, parts);
                }
                // Lossless, hierarchical or coded arithmetically.
                (0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, _) => {
                    return Err(no_such_jpeg());
                }
                (APP0, [b'J', b'F', b'I', b'F', 0, _, _, unit, x0, x1, y0, y1, ..]) => {
                    let counts = [[*x0, *x1], [*y0, *y1]].map(u16::from_be_bytes);
                    head.per_inch = density(*unit, counts);
                    // T.871 §10.1: the densities are then those of the pixels' sides.
                    head.ratio = (*unit == 0).then_some(counts.map(f64::from).into());
                }
                (APP1, [b'E', b'x', b'i', b'f', 0, _, tiff @ ..]) if exif.is_none() => {
                    exif = Block::new(tiff).and_then(|block| block.directory(block.first()?));
                }
                (APP14, [b'A', b'd', b'o', b'b', b'e', ..]) => adobe = true,
                (EOI, _) => whole = true,
                _ => {}
            }
        }
        if !whole {
            return Err(damaged("the jpeg is cut off"));
        }
        // Adobe's inks are stored the other way round, and the decoder takes all for Adobe's.
        if inks && !adobe {
            return Err(unsuitable(
                "a cmyk jpeg that does not say how its inks are stored: save it as rgb or png",
            ));
        }
        head.orientation = exif
            .as_ref()
            .and_then(|exif| exif.short(ORIENTATION))
            .unwrap_or(1);
        head.per_inch = head.per_inch.or_else(|| exif?.per_inch());
        Ok(head)
    }
}

/// Pixels per inch of a JFIF header (ITU-T T.871 §10.1); without a unit only their ratio is meant.
fn density(unit: u8, counts: [u16; 2]) -> Option<(f64, f64)> {
    let unit = match unit {
        1 => 1.0,
        2 => 2.54,
        _ => return None,
    };
    Some(counts.map(|count| f64::from(count) * unit).into())
}

/// Blocks of 8 by 8 samples that a picture has at least, by the components of its frame header: their
/// number, and of each its id, its sampling factors, and a table (T.81 §B.2.2).
fn least_blocks(width: u16, height: u16, parts: &[u8]) -> u64 {
    let factors = || {
        let parts = parts.get(1..).unwrap_or_default().chunks_exact(3);
        parts.map(|part| part.get(1).copied().unwrap_or(0))
    };
    let (across, down) = (
        |both: u8| u64::from(both >> 4),
        |both: u8| u64::from(both & 15),
    );
    let most_across = factors().map(across).max().unwrap_or(1).max(1);
    let most_down = factors().map(down).max().unwrap_or(1).max(1);
    factors()
        .map(|both| {
            let columns = u64::from(width) * across(both) / (8 * most_across);
            let rows = u64::from(height) * down(both) / (8 * most_down);
            columns * rows
        })
        .sum()
}

/// Whether the coded picture has its end: one that was cut has not.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    Segments::new(bytes).any(|segment| segment.marker == EOI)
}

/// A marker and what belongs to it, without the length.
struct Segment<'a> {
    marker: u8,
    body: &'a [u8],
}

/// The segments of a file up to the end of its (first) picture. Coded pixels are skipped.
struct Segments<'a> {
    rest: &'a [u8],
    done: bool,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            done: false,
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        if self.done {
            return None;
        }
        // Coded pixels hold 0xff only before 0 and as restart markers; markers may be padded with
        // 0xff (T.81 §B.1.1.2 and .5).
        let at = self.rest.windows(2).position(
            |two| matches!(two, [0xff, marker] if !matches!(marker, 0 | 1 | 0xd0..=0xd7 | 0xff)),
        )?;
        let marker = *self.rest.get(at + 1)?;
        self.rest = self.rest.get(at + 2..)?;
        if marker == SOI {
            return Some(Segment { marker, body: &[] });
        }
        if marker == EOI {
            self.done = true;
            return Some(Segment { marker, body: &[] });
        }
        let len = usize::from(u16::from_be_bytes(*self.rest.first_chunk()?));
        let body = self.rest.get(2..len)?;
        self.rest = self.rest.get(len..)?;
        Some(Segment { marker, body })
    }
}

fn no_such_jpeg() -> Error {
    unsuitable("a jpeg that is lossless, arithmetic or of 12 bits: save it as a usual jpeg or png")
}

fn failed(error: zune_jpeg::errors::DecodeErrors) -> Error {
    // Its text quotes the file.
    let source = io::Error::new(io::ErrorKind::InvalidData, "the jpeg decoder gave up");
    drop(error);
    Error::document(
        OPERATION,
        DocumentReason::Damaged,
        "the jpeg is damaged: open it and save it again",
    )
    .with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker], &len[..], body].concat()
    }

    fn file(parts: &[Vec<u8>]) -> Vec<u8> {
        [&[0xff, SOI][..], &parts.concat()].concat()
    }

    #[test]
    fn the_end_is_looked_for_behind_the_pixels() {
        let frame = segment(0xc0, &[8, 0, 2, 0, 3, 1]);
        // The thumbnail in Exif has an end of its own.
        let thumbnail = segment(APP1, b"Exif\0\0\xff\xd9");
        let scan = [segment(0xda, &[0]), vec![1, 0xff, 0, 2, 0xff, 0xd3, 9]].concat();
        let cut = file(&[thumbnail, frame, scan]);
        assert!(!is_whole(&cut));
        assert_eq!(
            Head::read(&cut).unwrap_err().document_reason(),
            Some(DocumentReason::Damaged)
        );
        let whole = [&cut[..], &[0xff, EOI]].concat();
        assert!(is_whole(&whole));
        let head = Head::read(&whole).unwrap();
        assert_eq!((head.width, head.height, head.orientation), (3, 2, 1));
    }

    #[test]
    fn a_second_size_behind_the_first_is_refused() {
        let frame = |side| segment(0xc0, &[8, side, 0, side, 0, 1]);
        let scan = [segment(0xda, &[0]), vec![1, 2]].concat();
        for parts in [
            vec![frame(255), frame(1), scan.clone()],
            vec![frame(255), scan.clone(), frame(1)],
        ] {
            let whole = [&file(&parts)[..], &[0xff, EOI]].concat();
            let error = Head::read(&whole).unwrap_err();
            assert!(error.message().contains("two sizes"), "{error}");
        }
    }

    #[test]
    fn a_picture_of_more_blocks_than_bits_is_cut_off() {
        // 4:2:0: six blocks for 16 by 16 pixels.
        let colours = [3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
        assert_eq!(least_blocks(160, 160, &colours), 600);
        assert_eq!(least_blocks(160, 160, &[1, 1, 0x31, 0]), 400);
        let read = |side: u8| {
            let frame = segment(0xc0, &[&[8, side, 0, side, 0], &colours[..]].concat());
            let scan = [segment(0xda, &[0]), vec![1; 800]].concat();
            let whole = [&file(&[frame, scan])[..], &[0xff, EOI]].concat();
            Jpeg::open(Input::from_bytes(whole.into()))
        };
        assert!(read(2).is_ok());
        let error = read(3).err().unwrap();
        assert!(error.message().contains("cut off"), "{error}");
    }

    #[test]
    fn inks_are_read_only_where_it_is_known_how_they_are_stored() {
        let frame = |inks| segment(0xc0, &[8, 0, 2, 0, 3, inks]);
        let adobe = || segment(APP14, b"Adobe\0\x64\0\0\0\0\0");
        for (parts, ok) in [
            (vec![frame(4)], false),
            (vec![adobe(), frame(4)], true),
            (vec![frame(3)], true),
            (vec![frame(1)], true),
        ] {
            let whole = [&file(&parts)[..], &[0xff, EOI]].concat();
            assert_eq!(Head::read(&whole).is_ok(), ok);
        }
    }

    #[test]
    fn density_is_per_inch_or_per_centimetre_or_nothing() {
        assert_eq!(density(1, [300, 200]), Some((300.0, 200.0)));
        assert_eq!(density(2, [100, 100]), Some((254.0, 254.0)));
        assert_eq!(density(0, [1, 1]), None);
    }
}
