//! TIFF pages that are no fax: grey, colour, palettes and CMYK, in strips or tiles.

use std::io::Cursor;

use faxbot_core::{DocumentReason, Error, Result};
use tiff::{
    ColorType, TiffError,
    decoder::{Decoder, DecodingResult},
    tags::Tag,
};

use super::{
    Grey, Sheet,
    ifd::{Block, COLOR_MAP, Ifd, ORIENTATION, PHOTOMETRIC},
    jpeg,
    page::{damaged, unsuitable},
    samples::{Layout, Meaning},
};
use crate::document::{convert::OPERATION, output::too_large, worker::Stop};

/// `Compression` of JPEG strips (TIFF Technical Note 2).
const JPEG: u16 = 7;
/// `PlanarConfiguration` of samples that are stored apart (TIFF 6.0 §8).
const APART: u16 = 2;

/// `ExtraSamples` of alpha: colours are multiplied by it already, or are not (TIFF 6.0 §18).
const ASSOCIATED: u16 = 1;
const UNASSOCIATED: u16 = 2;

/// A file whose pages are decoded one at a time.
pub(in crate::document) struct PictureTiff {
    bytes: Vec<u8>,
    pages: Vec<Page>,
}

/// What is read without the crate `tiff`.
struct Page {
    /// Where its directory is.
    at: u32,
    meaning: Option<Meaning>,
    per_inch: Option<(f64, f64)>,
    ratio: Option<(f64, f64)>,
    orientation: u16,
}

type PageDecoder<'a> = Decoder<Cursor<&'a [u8]>>;

impl PictureTiff {
    /// `pages` is the length of the chain, which was followed before.
    pub(in crate::document) fn new(mut bytes: Vec<u8>, pages: u32) -> Result<Self> {
        let mut found = Vec::new();
        let mut grey = Vec::new();
        let block = Block::new(&bytes).ok_or_else(lost)?;
        let mut next = block.first();
        while found.len() < pages as usize {
            let at = next.ok_or_else(lost)?;
            let directory = block.directory(at).ok_or_else(lost)?;
            let page = Page::read(&directory, at)?;
            if page.meaning.as_ref().is_some_and(Meaning::hides) {
                grey.extend(directory.place_of_short(PHOTOMETRIC));
            }
            found.push(page);
            next = directory.next();
        }
        // The crate `tiff` decodes no palettes and inverts only some kinds of grey. Told that the
        // samples are grey, it gives them as they are.
        let code = if bytes.starts_with(b"II") {
            [1, 0]
        } else {
            [0, 1]
        };
        for at in grey {
            bytes
                .get_mut(at..at + 2)
                .ok_or_else(lost)?
                .copy_from_slice(&code);
        }
        Ok(Self {
            bytes,
            pages: found,
        })
    }

    /// The size of a page, from 0, which is seen to be one that can be decoded.
    pub(in crate::document) fn sheet(&mut self, page: u32) -> Result<Sheet> {
        let (per_inch, ratio, orientation) = {
            let page = self.pages.get(page as usize).ok_or_else(lost)?;
            (page.per_inch, page.ratio, page.orientation)
        };
        let (mut decoder, _) = self.open(page)?;
        let size = decoder.dimensions().map_err(failed)?;
        layout(&mut decoder)?;
        Ok(Sheet::new(size, per_inch, orientation)?.with_ratio(ratio))
    }

    /// The pixels of a page.
    pub(in crate::document) fn decode(&mut self, page: u32, stop: &Stop) -> Result<Grey> {
        let (mut decoder, meaning) = self.open(page)?;
        let (width, height) = decoder.dimensions().map_err(failed)?;
        let layout = layout(&mut decoder)?;
        let (columns, rows) = decoder.chunk_dimensions();
        if columns == 0 || rows == 0 {
            return Err(lost());
        }
        let across = width.div_ceil(columns);
        let mut pixels = Vec::new();
        for top in 0..height.div_ceil(rows) {
            // Memory is taken as strips come.
            let start = width as usize * top as usize * rows as usize;
            let end = (top + 1).saturating_mul(rows).min(height);
            pixels.resize(width as usize * end as usize, 255);
            for left in 0..across {
                stop.check()?;
                let index = top * across + left;
                let (wide, _) = decoder.chunk_data_dimensions(index);
                let samples = decoder.read_chunk(index).map_err(failed)?;
                let rows = pixels
                    .get_mut(start..)
                    .unwrap_or_default()
                    .chunks_exact_mut(width as usize)
                    .filter_map(|row| row.get_mut((left * columns) as usize..));
                let wide = wide as usize;
                match &samples {
                    DecodingResult::U8(samples) => layout.fill_bytes(samples, wide, &meaning, rows),
                    DecodingResult::U16(samples) => {
                        layout.fill_words(samples, wide, &meaning, rows)
                    }
                    _ => return Err(other_samples()),
                }
            }
        }
        Ok(Grey::from_pixels(width, pixels))
    }

    /// A decoder of one page. The crate begins with the page that the header leads to.
    fn open(&mut self, page: u32) -> Result<(PageDecoder<'_>, Meaning)> {
        let page = self.pages.get_mut(page as usize).ok_or_else(lost)?;
        // A page is looked at twice: for its size, and for its pixels.
        let meaning = page.meaning.clone().ok_or_else(unknown_colours)?;
        let at = if self.bytes.starts_with(b"II") {
            page.at.to_le_bytes()
        } else {
            page.at.to_be_bytes()
        };
        self.bytes
            .get_mut(4..8)
            .ok_or_else(lost)?
            .copy_from_slice(&at);
        let mut decoder = Decoder::new(Cursor::new(&self.bytes[..])).map_err(failed)?;
        check_strips(&mut decoder, &self.bytes)?;
        Ok((decoder, meaning))
    }
}

impl Page {
    fn read(directory: &Ifd<'_>, at: usize) -> Result<Self> {
        let map = directory.shorts(COLOR_MAP);
        Ok(Self {
            at: u32::try_from(at).map_err(|_| lost())?,
            meaning: directory
                .short(PHOTOMETRIC)
                .and_then(|code| Meaning::new(code, map.as_deref())),
            per_inch: directory.per_inch(),
            ratio: directory.ratio(),
            orientation: directory.short(ORIENTATION).unwrap_or(1),
        })
    }
}

/// Strips and tiles lie in the file, and those of JPEG have their end: what is missing would come
/// back grey.
fn check_strips(decoder: &mut PageDecoder<'_>, bytes: &[u8]) -> Result<()> {
    let jpeg = decoder
        .find_tag_unsigned::<u16>(Tag::Compression)
        .map_err(failed)?
        == Some(JPEG);
    let mut list = |strips, tiles| -> Result<Vec<u64>> {
        let strips = decoder.find_tag_unsigned_vec(strips).map_err(failed)?;
        match strips {
            Some(strips) => Ok(strips),
            None => Ok(decoder
                .find_tag_unsigned_vec(tiles)
                .map_err(failed)?
                .unwrap_or_default()),
        }
    };
    let offsets = list(Tag::StripOffsets, Tag::TileOffsets)?;
    let counts = list(Tag::StripByteCounts, Tag::TileByteCounts)?;
    for (offset, count) in offsets.into_iter().zip(counts) {
        let range = usize::try_from(offset).ok().zip(
            offset
                .checked_add(count)
                .and_then(|end| usize::try_from(end).ok()),
        );
        let strip = range
            .and_then(|(from, to)| bytes.get(from..to))
            .ok_or_else(|| damaged("the tiff is cut off"))?;
        if jpeg && !jpeg::is_whole(strip) {
            return Err(damaged("a strip of the tiff is cut off"));
        }
    }
    Ok(())
}

/// How the samples of a page lie.
fn layout(decoder: &mut PageDecoder<'_>) -> Result<Layout> {
    let extra = decoder
        .find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)
        .map_err(failed)?
        .and_then(|extra| extra.first().copied());
    let has_alpha = matches!(extra, Some(ASSOCIATED | UNASSOCIATED));
    let (bits, samples, alpha) = match decoder.colortype().map_err(failed)? {
        ColorType::Gray(bits) => (bits, 1, None),
        ColorType::RGB(bits) | ColorType::YCbCr(bits) => (bits, 3, None),
        ColorType::RGBA(bits) => (bits, 4, Some(3)),
        ColorType::CMYK(bits) => (bits, 4, None),
        ColorType::CMYKA(bits) => (bits, 5, has_alpha.then_some(4)),
        // Grey, or an index.
        ColorType::Multiband {
            bit_depth,
            num_samples,
        } => (bit_depth, usize::from(num_samples), has_alpha.then_some(1)),
        _ => return Err(unknown_colours()),
    };
    let planes = decoder
        .find_tag_unsigned::<u16>(Tag::PlanarConfiguration)
        .map_err(failed)?;
    if samples > 1 && planes == Some(APART) {
        return Err(unsuitable(
            "the colours of the tiff are stored apart: save it with interleaved colours or as png",
        ));
    }
    if !matches!((bits, samples), (1 | 2 | 4, 1) | (8 | 16, _)) {
        return Err(other_samples());
    }
    Ok(Layout {
        bits,
        samples,
        alpha,
        premultiplied: extra == Some(ASSOCIATED),
    })
}

fn lost() -> Error {
    damaged("the tiff is damaged")
}

fn unknown_colours() -> Error {
    unsuitable("the tiff has colours that are not read here: save it as rgb, grey or png")
}

fn other_samples() -> Error {
    unsuitable("the tiff has other samples than 1 to 8 or 16 bits: save it with 8 bits or as png")
}

fn failed(error: TiffError) -> Error {
    let (reason, message) = match &error {
        TiffError::LimitsExceeded => {
            return too_large(
                "the tiff needs too much memory: save it in strips or smaller".into(),
            );
        }
        TiffError::UnsupportedError(_) => (
            DocumentReason::Unsuitable,
            "the tiff is of a kind that is not read here: save it as png, jpeg or pdf",
        ),
        _ => (DocumentReason::Damaged, "the tiff is damaged or cut off"),
    };
    // Its text may quote tags of the file.
    drop(error);
    Error::document(OPERATION, reason, message)
}
