//! A received fax made clean, so that it can be sent on.

use std::{
    fs::File,
    io::{BufWriter, Read, Seek},
    path::Path,
};

use faxbot_core::{
    DocumentReason, Error, Result,
    document::{
        FaxImage, FaxScratch, FaxWidth, Resolution,
        ccitt::PageQuality,
        tiff::{NewPage, PageInfo, TiffReader, TiffWriter},
    },
};

use super::{
    decode::{Damage, Recoder, with_tags},
    error::Failed,
    upright::{Turn, decode_upright},
};
use crate::document::tiff::PIXELS_PER_INCH;

/// A received fax, made clean.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairedFax {
    /// The pages: T.6, one strip each, upright, with the tags 326 to 328 (RFC 2306). The file is
    /// removed when the last clone is dropped.
    pub image: FaxImage,
    /// How well each page was received.
    pub quality: Vec<PageQuality>,
}

/// Decodes every page, repairs and turns it, and writes it in the form that every server takes.
pub(super) fn repair<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    directory: &Path,
    failed: Failed,
) -> Result<RepairedFax> {
    let (width, resolution) = common_shape(reader, failed)?;
    let (scratch, file) = FaxScratch::create(directory)?;
    let mut writer = TiffWriter::new(BufWriter::new(file))
        .and_then(|writer| writer.with_width(width.pixels()))
        .map_err(|error| failed.tiff(error))?;
    let mut quality = Vec::new();
    for index in 0..reader.page_count() {
        quality.push(repair_page(reader, index, resolution, &mut writer, failed)?);
    }
    writer
        .finish()
        .map_err(|error| failed.tiff(error))?
        .into_inner()
        .map_err(|error| failed.io("the fax file cannot be written", error.into_error()))?;
    let image = scratch.into_image()?;
    Ok(RepairedFax { image, quality })
}

fn repair_page<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    index: u32,
    resolution: Resolution,
    writer: &mut TiffWriter<BufWriter<File>>,
    failed: Failed,
) -> Result<PageQuality> {
    let tiff = |error| failed.tiff(error);
    let page = reader.page(index).map_err(tiff)?;
    let (width, rows) = Turn::of(&page).size(&page);
    let mut recoder = Recoder::new(width);
    let found =
        decode_upright(reader, &page, Damage::Repair, |row| recoder.row(row)).map_err(tiff)?;
    let strip = recoder.finish(&page).map_err(tiff)?;
    let quality = with_tags(&page, found);
    let new = NewPage::new(rows, resolution).with_quality(quality);
    writer.add_coded_page(&new, &strip).map_err(tiff)?;
    Ok(quality)
}

/// Width and resolution of all pages, upright.
fn common_shape<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    failed: Failed,
) -> Result<(FaxWidth, Resolution)> {
    let mut common = None;
    for page in reader.pages() {
        let page = page.map_err(|error| failed.tiff(error))?;
        let shape = shape(&page, failed)?;
        if *common.get_or_insert(shape) != shape {
            return Err(failed.unsuitable("the pages differ in width or resolution".to_owned()));
        }
    }
    common.ok_or_else(|| Error::document(failed.0, DocumentReason::Empty, "the fax has no page"))
}

fn shape(page: &PageInfo, failed: Failed) -> Result<(FaxWidth, Resolution)> {
    let number = page.index.saturating_add(1);
    let turn = Turn::of(page);
    let (width, _) = turn.size(page);
    let (across, down) = if turn.transpose {
        (page.y_per_inch(), page.x_per_inch())
    } else {
        (page.x_per_inch(), page.y_per_inch())
    };
    let width = FaxWidth::from_pixels(width).ok_or_else(|| {
        failed.unsuitable(format!(
            "page {number} is {width} pixels wide, a fax has 1728, 2048 or 2432"
        ))
    })?;
    if across.is_some_and(|pixels| !PIXELS_PER_INCH.contains(&pixels)) {
        return Err(failed.unsuitable(format!(
            "page {number} does not have 204 pixels per inch in a row"
        )));
    }
    let resolution = down
        .and_then(Resolution::from_lines_per_inch)
        .ok_or_else(|| {
            failed.unsuitable(format!(
                "page {number} does not have 98, 196 or 391 lines per inch"
            ))
        })?;
    Ok((width, resolution))
}
