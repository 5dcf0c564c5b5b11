//! Fax pages as PNG pictures.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{
        FaxImage, Resolution,
        ccitt::row_bytes,
        tiff::{TiffError, TiffReader},
    },
};
use png::{BitDepth, ColorType, PixelDimensions, Unit};

use super::tiff::PIXELS_PER_INCH;

const OPERATION: &str = "page_to_png";

/// How pages become pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PngOptions {
    /// Writes each row of a standard resolution page twice, so that the pixels are nearly square
    /// and viewers that ignore the resolution show the page in its shape. On by default.
    pub double_standard_rows: bool,
}

impl PngOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            double_standard_rows: true,
        }
    }

    /// Sets whether rows of standard resolution are doubled.
    #[must_use]
    pub fn with_double_standard_rows(mut self, double: bool) -> Self {
        self.double_standard_rows = double;
        self
    }
}

impl Default for PngOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// One page as a PNG of one bit a pixel, with its resolution (`pHYs`). `page` counts from 0.
///
/// This reads the file: call it off the async threads.
///
/// # Errors
/// `NotFound` when there is no such page; `Io` when the file cannot be read; `Document` when it
/// changed since the image was opened, or is damaged.
pub fn page_to_png(image: &FaxImage, page: u32, options: &PngOptions) -> Result<Vec<u8>> {
    encode(&mut image.reader()?, page, options)
}

/// Every page as `page-001.png`, `page-002.png` ... in `directory`, which is created when missing.
/// Files of these names are replaced. Gives their paths in page order.
///
/// This reads and writes files: call it off the async threads.
///
/// # Errors
/// `Io` when a file cannot be read or written; `Document` as in [`page_to_png`]. Pictures written
/// before the error stay.
pub fn pages_to_png(
    image: &FaxImage,
    directory: impl AsRef<Path>,
    options: &PngOptions,
) -> Result<Vec<PathBuf>> {
    encode_all(&mut image.reader()?, directory.as_ref(), options)
}

/// As [`page_to_png`] for the TIFF of a received fax, which need not be one that can be sent: T.4
/// (MH or MR) as well as T.6 or uncompressed, any strips, bit order and width, pages that differ.
///
/// A resolution that is none of fax, or is missing, is not written into the picture. Rows are as in
/// the file, also where it says that they lie turned or mirrored.
///
/// This reads the file: call it off the async threads.
///
/// # Errors
/// `NotFound` when there is no such page; `Io` when the file cannot be read; `Document` when it is
/// no TIFF (`UnknownFormat`), has no page (`Empty`), is not black and white (`Unsuitable`), is above
/// the limits of [`TiffLimits`](faxbot_core::document::tiff::TiffLimits) (`TooLarge`), or is damaged
/// (`Damaged`): a row that cannot be decoded makes no picture, and none with white in its place.
pub fn received_page_to_png(
    fax: impl AsRef<Path>,
    page: u32,
    options: &PngOptions,
) -> Result<Vec<u8>> {
    encode(&mut open(fax.as_ref())?, page, options)
}

/// As [`pages_to_png`] for the TIFF of a received fax; see [`received_page_to_png`].
///
/// This reads and writes files: call it off the async threads.
///
/// # Errors
/// `Io` when a file cannot be read or written; `Document` as in [`received_page_to_png`]. Pictures
/// written before the error stay.
pub fn received_pages_to_png(
    fax: impl AsRef<Path>,
    directory: impl AsRef<Path>,
    options: &PngOptions,
) -> Result<Vec<PathBuf>> {
    encode_all(&mut open(fax.as_ref())?, directory.as_ref(), options)
}

fn open(path: &Path) -> Result<TiffReader<BufReader<File>>> {
    let file = File::open(path).map_err(|source| io_failed("the fax cannot be read", source))?;
    TiffReader::open(BufReader::new(file)).map_err(tiff_failed)
}

fn encode_all<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    directory: &Path,
    options: &PngOptions,
) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)
        .map_err(|source| io_failed("the directory cannot be made", source))?;
    let mut paths = Vec::new();
    for page in 0..reader.page_count() {
        let picture = encode(reader, page, options)?;
        let path = directory.join(format!("page-{:03}.png", page.saturating_add(1)));
        fs::write(&path, picture)
            .map_err(|source| io_failed("a picture cannot be written", source))?;
        paths.push(path);
    }
    Ok(paths)
}

fn encode<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    page: u32,
    options: &PngOptions,
) -> Result<Vec<u8>> {
    let info = reader.page(page).map_err(tiff_failed)?;
    let resolution = info.fax_resolution();
    let repeat: u32 = if options.double_standard_rows && resolution == Some(Resolution::Standard) {
        2
    } else {
        1
    };
    let row = row_bytes(info.width);
    let rows = info.rows.saturating_mul(repeat);
    // A file may announce more rows than it has: memory is taken as they are decoded.
    let mut pixels = Vec::new();
    let mut inverted = vec![0; row];
    reader
        .decode_page(&info, |packed| {
            // In a grey PNG a 1 bit is white.
            for (to, from) in inverted.iter_mut().zip(packed) {
                *to = !from;
            }
            for _ in 0..repeat {
                pixels.extend_from_slice(&inverted);
            }
        })
        .map_err(tiff_failed)?;

    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, info.width, rows);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    let across = info
        .x_per_inch()
        .is_none_or(|pixels| PIXELS_PER_INCH.contains(&pixels));
    encoder.set_pixel_dims(resolution.filter(|_| across).map(|it| PixelDimensions {
        xppu: per_metre(Resolution::PIXELS_PER_INCH),
        yppu: per_metre(it.lines_per_inch()).saturating_mul(repeat),
        unit: Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(png_failed)?;
    writer.write_image_data(&pixels).map_err(png_failed)?;
    writer.finish().map_err(png_failed)?;
    Ok(picture)
}

/// Dots per inch in dots per metre, rounded.
fn per_metre(per_inch: u32) -> u32 {
    per_inch.saturating_mul(10_000).saturating_add(127) / 254
}

fn io_failed(message: &'static str, source: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, OPERATION, message)
        .with_effect(Effect::NoEffect)
        .with_source(source)
}

fn tiff_failed(error: TiffError) -> Error {
    let (reason, message) = match error {
        TiffError::Io(source) => return io_failed("the fax cannot be read", source),
        TiffError::NoPage { pages: 0, .. } => (DocumentReason::Empty, "the fax has no page"),
        TiffError::NoPage { .. } => {
            return Error::new(
                ErrorKind::NotFound,
                OPERATION,
                "the document has no such page",
            );
        }
        TiffError::NotTiff | TiffError::BigTiff => {
            (DocumentReason::UnknownFormat, "the fax is no classic tiff")
        }
        TiffError::Unsupported { .. } => (
            DocumentReason::Unsuitable,
            "the fax is not black and white in a fax compression",
        ),
        TiffError::Limit { .. } => (DocumentReason::TooLarge, "the fax is above the limits"),
        _ => (DocumentReason::Damaged, "the fax is damaged"),
    };
    Error::document(OPERATION, reason, message).with_source(error)
}

fn png_failed(error: png::EncodingError) -> Error {
    Error::new(ErrorKind::Internal, OPERATION, "the picture cannot be made")
        .with_effect(Effect::NoEffect)
        .with_source(error)
}
