//! PNG pictures: rows to grey as they are decoded.

use std::io::{self, BufReader};

use faxbot_core::{Error, Result};
use png::{ColorType, DecodingError, InterlaceInfo, Reader, Transformations, Unit};

use super::{
    Grey, Picture, Sheet,
    ifd::Block,
    page::{damaged, luma, over_white, unsuitable},
};
use crate::document::{
    output::too_large,
    source::{Input, read_failed},
    worker::Stop,
};

const METRES_PER_INCH: f64 = 0.0254;

/// Bytes that a byte of Deflate becomes at most: 258 for 2 bits (RFC 1951 §3.2.5).
const MOST_PACKED: u64 = 1032;

pub(super) struct Png {
    reader: Reader<BufReader<Input>>,
    sheet: Sheet,
}

impl Png {
    pub(super) fn open(input: Input) -> Result<Self> {
        let bytes = input.len();
        let mut decoder = png::Decoder::new(BufReader::new(input));
        // Chunks that are packed and not needed: they may unpack to anything.
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        // Palettes to colours, fewer than 8 bits to 8, a transparent colour to alpha; 16 to 8.
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let reader = decoder.read_info().map_err(failed)?;
        let info = reader.info();
        let dims = |unit| {
            let dims = info.pixel_dims.filter(|dims| dims.unit == unit)?;
            Some((f64::from(dims.xppu), f64::from(dims.yppu)))
        };
        let per_inch = dims(Unit::Meter).map(|(x, y)| (x * METRES_PER_INCH, y * METRES_PER_INCH));
        let orientation = info.exif_metadata.as_deref().and_then(|exif| {
            let block = Block::new(exif)?;
            block
                .directory(block.first()?)?
                .short(super::ifd::ORIENTATION)
        });
        let sheet = Sheet::new(
            (info.width, info.height),
            per_inch,
            orientation.unwrap_or(1),
        )?
        .with_ratio(dims(Unit::Unspecified));
        // The rows of an interlaced one come in any order, so memory is taken for all of them.
        let row = info.raw_row_length_from_width(info.width) as u64;
        if info.interlaced && row * u64::from(info.height) / MOST_PACKED > bytes {
            return Err(damaged("the png is cut off"));
        }
        Ok(Self { reader, sheet })
    }
}

impl Picture for Png {
    fn sheet(&self) -> Sheet {
        self.sheet
    }

    fn decode(mut self, stop: &Stop) -> Result<Grey> {
        let (width, rows) = (self.reader.info().width, self.reader.info().height);
        let (color, _) = self.reader.output_color_type();
        if self.reader.info().interlaced {
            return self.decode_interlaced(stop);
        }
        let mut grey = Grey::new(width);
        let mut line = Vec::new();
        for _ in 0..rows {
            stop.check()?;
            let row = self.reader.next_row().map_err(failed)?;
            let row = row.ok_or_else(|| damaged("the png has too few rows"))?;
            to_grey(row.data(), color, &mut line);
            if line.len() != width as usize {
                return Err(damaged("a row of the png has too few pixels"));
            }
            grey.push(&line);
        }
        Ok(grey)
    }
}

impl Png {
    /// Seven passes, each over the whole picture.
    fn decode_interlaced(mut self, stop: &Stop) -> Result<Grey> {
        let (width, rows) = (self.reader.info().width, self.reader.info().height);
        let (color, _) = self.reader.output_color_type();
        let mut pixels = vec![255; width as usize * rows as usize];
        let mut line = Vec::new();
        while let Some(row) = self.reader.next_interlaced_row().map_err(failed)? {
            stop.check()?;
            to_grey(row.data(), color, &mut line);
            if let InterlaceInfo::Adam7(pass) = row.interlace() {
                png::expand_interlaced_row(&mut pixels, width as usize, &line, pass, 8);
            }
        }
        Ok(Grey::from_pixels(width, pixels))
    }
}

/// A decoded row to grey, what is transparent in front of white.
fn to_grey(row: &[u8], color: ColorType, line: &mut Vec<u8>) {
    line.clear();
    match color {
        ColorType::Grayscale | ColorType::Indexed => line.extend_from_slice(row),
        ColorType::GrayscaleAlpha => line.extend(
            row.as_chunks()
                .0
                .iter()
                .map(|[grey, alpha]| over_white(*grey, *alpha)),
        ),
        ColorType::Rgb => line.extend(
            row.as_chunks()
                .0
                .iter()
                .map(|[red, green, blue]| luma(*red, *green, *blue)),
        ),
        ColorType::Rgba => line.extend(
            row.as_chunks()
                .0
                .iter()
                .map(|[red, green, blue, alpha]| over_white(luma(*red, *green, *blue), *alpha)),
        ),
    }
}

fn failed(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
            read_failed(source)
        }
        DecodingError::LimitsExceeded => {
            too_large("the png needs more memory than is allowed: make it smaller".to_owned())
        }
        DecodingError::Parameter(_) => {
            unsuitable("the png cannot be decoded: open it and save it again")
        }
        _ => damaged("the png is damaged or cut off"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const FILE: &[u8] = include_bytes!("../../../tests/files/interlaced.png");

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
                crc >> 1 ^ (0xedb8_8320 * (crc & 1))
            })
        })
    }

    #[test]
    fn memory_for_an_interlaced_picture_is_taken_only_if_its_bytes_can_hold_it() {
        let opened = |side: u32| {
            let mut file = FILE.to_vec();
            file[16..20].copy_from_slice(&side.to_be_bytes());
            file[20..24].copy_from_slice(&side.to_be_bytes());
            let sum = crc(&file[12..29]).to_be_bytes();
            file[29..33].copy_from_slice(&sum);
            Png::open(Input::from_bytes(Bytes::from(file)))
        };
        assert!(opened(100).is_ok());
        let error = opened(9000).err().unwrap();
        assert!(error.message().contains("cut off"), "{error}");
    }
}
