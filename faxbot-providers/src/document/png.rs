//! Fax pages as PNG pictures.

use std::{
    fs,
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use faxbot_core::{
    Result,
    document::{
        FaxImage, Resolution,
        ccitt::PageQuality,
        tiff::{PageInfo, TiffReader},
    },
};
use png::{BitDepth, ColorType, PixelDimensions, Unit};

use super::{
    received::{Damage, Failed, NewFile, Turn, decode_upright, open, with_tags},
    tiff::PIXELS_PER_INCH,
};

const FAILED: Failed = Failed("page_to_png");

/// How pages become pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PngOptions {
    /// Writes each row of a standard resolution page twice, so that the pixels are nearly square
    /// and viewers that ignore the resolution show the page in its shape. On by default.
    pub double_standard_rows: bool,
    /// Shows damaged pages in T.4 with their bad rows repaired instead of giving an error. Off by
    /// default; [`ReceivedFax::page_to_png`](super::ReceivedFax::page_to_png) tells how many rows
    /// are not what was sent.
    pub repair: bool,
}

impl PngOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            double_standard_rows: true,
            repair: false,
        }
    }

    /// Sets whether rows of standard resolution are doubled.
    #[must_use]
    pub fn with_double_standard_rows(mut self, double: bool) -> Self {
        self.double_standard_rows = double;
        self
    }

    /// Sets whether damaged pages are repaired.
    #[must_use]
    pub fn with_repair(mut self, repair: bool) -> Self {
        self.repair = repair;
        self
    }
}

impl Default for PngOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A page of a received fax as a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedPicture {
    /// The PNG.
    pub png: Vec<u8>,
    /// How well the page was received.
    pub quality: PageQuality,
}

/// One page as a PNG of one bit a pixel, with its resolution (`pHYs`). `page` counts from 0.
///
/// This reads the file: call it off the async threads.
///
/// # Errors
/// `NotFound` when there is no such page; `Io` when the file cannot be read; `Document` when it
/// changed since the image was opened, or is damaged.
pub fn page_to_png(image: &FaxImage, page: u32, options: &PngOptions) -> Result<Vec<u8>> {
    Ok(picture(&mut image.reader()?, page, options)?.png)
}

/// Every page as `page-001.png`, `page-002.png` ... in `directory`, which is created when missing.
/// The files have mode 0600; those of these names are replaced. Gives their paths in page order.
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
    let mut reader = image.reader()?;
    write_all(reader.page_count(), directory.as_ref(), |page| {
        picture(&mut reader, page, options)
    })
}

/// As [`page_to_png`] for the TIFF of a received fax, which need not be one that can be sent: T.4
/// (MH or MR) as well as T.6 or uncompressed, any strips, bit order and width, pages that differ.
///
/// The page stands upright, also where the file says that it lies turned or mirrored. A resolution
/// that is none of fax, or is missing, is not written into the picture.
///
/// This reads the file: call it off the async threads.
///
/// # Errors
/// `NotFound` when there is no such page; `Io` when the file cannot be read; `Document` when it is
/// no TIFF (`UnknownFormat`), has no page (`Empty`), is not black and white (`Unsuitable`), is above
/// the limits of [`TiffLimits`](faxbot_core::document::tiff::TiffLimits) (`TooLarge`), or is damaged
/// (`Damaged`): a row that cannot be decoded makes no picture, unless
/// [`PngOptions::repair`] asks for one.
pub fn received_page_to_png(
    fax: impl AsRef<Path>,
    page: u32,
    options: &PngOptions,
) -> Result<Vec<u8>> {
    Ok(open(fax.as_ref(), FAILED)?.page_to_png(page, options)?.png)
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
    let mut fax = open(fax.as_ref(), FAILED)?;
    write_all(fax.pages(), directory.as_ref(), |page| {
        fax.page_to_png(page, options)
    })
}

fn write_all(
    pages: u32,
    directory: &Path,
    mut draw: impl FnMut(u32) -> Result<ReceivedPicture>,
) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)
        .map_err(|source| FAILED.io("the directory cannot be made", source))?;
    let mut paths = Vec::new();
    for page in 0..pages {
        let picture = draw(page)?;
        let path = directory.join(format!("page-{:03}.png", page.saturating_add(1)));
        write(&path, &picture.png)
            .map_err(|source| FAILED.io("a picture cannot be written", source))?;
        paths.push(path);
    }
    Ok(paths)
}

fn write(path: &Path, png: &[u8]) -> io::Result<()> {
    let (name, mut file) = NewFile::create(path)?;
    file.write_all(png)?;
    drop(file);
    name.keep(path)
}

/// Draws a page, row by row when it is upright already.
pub(super) fn picture<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    page: u32,
    options: &PngOptions,
) -> Result<ReceivedPicture> {
    let page = reader.page(page).map_err(|error| FAILED.tiff(error))?;
    let (width, rows) = Turn::of(&page).size(&page);
    let repeat = repeat(&page, options);
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, width, rows.saturating_mul(repeat));
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    encoder.set_pixel_dims(dimensions(&page, repeat));
    let mut writer = encoder.write_header().map_err(png_failed)?;
    let mut pixels = writer.stream_writer().map_err(png_failed)?;

    let damage = if options.repair {
        Damage::Repair
    } else {
        Damage::Refuse
    };
    let mut inverted = Vec::new();
    let mut written: io::Result<()> = Ok(());
    let found = decode_upright(reader, &page, damage, |row| {
        // In a grey PNG a 1 bit is white.
        inverted.clear();
        inverted.extend(row.iter().map(|byte| !byte));
        for _ in 0..repeat {
            if written.is_ok() {
                written = pixels.write_all(&inverted);
            }
        }
    })
    .map_err(|error| FAILED.tiff(error))?;
    written.map_err(|source| FAILED.io("the picture cannot be made", source))?;
    pixels.finish().map_err(png_failed)?;
    writer.finish().map_err(png_failed)?;
    Ok(ReceivedPicture {
        png,
        quality: with_tags(&page, found),
    })
}

/// How often each row is written. Rows that become columns are not doubled.
fn repeat(page: &PageInfo, options: &PngOptions) -> u32 {
    let standard = page.fax_resolution() == Some(Resolution::Standard);
    if options.double_standard_rows && standard && !Turn::of(page).transpose {
        2
    } else {
        1
    }
}

/// Dots per metre of the upright page, when its resolution is that of a fax.
fn dimensions(page: &PageInfo, repeat: u32) -> Option<PixelDimensions> {
    let resolution = page.fax_resolution()?;
    let across = page
        .x_per_inch()
        .is_none_or(|pixels| PIXELS_PER_INCH.contains(&pixels));
    let x = per_metre(Resolution::PIXELS_PER_INCH);
    let y = per_metre(resolution.lines_per_inch()).saturating_mul(repeat);
    let (xppu, yppu) = if Turn::of(page).transpose {
        (y, x)
    } else {
        (x, y)
    };
    across.then_some(PixelDimensions {
        xppu,
        yppu,
        unit: Unit::Meter,
    })
}

/// Dots per inch in dots per metre, rounded.
fn per_metre(per_inch: u32) -> u32 {
    per_inch.saturating_mul(10_000).saturating_add(127) / 254
}

fn png_failed(error: png::EncodingError) -> faxbot_core::Error {
    FAILED
        .internal("the picture cannot be made")
        .with_source(error)
}
