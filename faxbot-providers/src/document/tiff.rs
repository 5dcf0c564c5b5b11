//! Fax TIFF to fax TIFF: checked, decoded and written in the one form that every server takes.

use faxbot_core::{
    DocumentReason, Error, Result,
    document::{
        ConvertOptions, Resolution,
        tiff::{PageInfo, TiffError, TiffLimits, TiffReader},
    },
};

use super::{
    convert::OPERATION,
    output::{FaxFile, check_pages, check_pixels, too_large},
    part::{Job, Part},
    source::{Input, read_failed},
    worker::Stop,
};

/// Pixels per inch of a row that still count as 204 (files say 200, 203, 204 or 204.1).
pub(super) const PIXELS_PER_INCH: std::ops::RangeInclusive<f64> = 193.8..=214.2;

/// A fax TIFF whose pages keep their pixels.
pub(super) struct FaxTiffPart {
    reader: TiffReader<Input>,
    resolution: Resolution,
}

impl FaxTiffPart {
    pub(super) fn open(
        input: Input,
        options: &ConvertOptions,
        stop: &Stop,
    ) -> Result<Box<dyn Part>> {
        let limits = TiffLimits::new().with_max_pages(options.limits.pages);
        let mut reader = TiffReader::with_limits(input, limits).map_err(tiff_error)?;
        check_pages(
            usize::try_from(reader.page_count()).unwrap_or(usize::MAX),
            options,
        )?;
        let mut resolution = None;
        for page in reader.pages() {
            stop.check()?;
            let page = page.map_err(tiff_error)?;
            let found = check_page(&page, options)?;
            if *resolution.get_or_insert(found) != found {
                return Err(unsuitable("the pages differ in resolution".to_owned()));
            }
        }
        Ok(Box::new(Self {
            reader,
            resolution: resolution.unwrap_or_default(),
        }))
    }
}

impl Part for FaxTiffPart {
    fn pages(&self) -> u32 {
        self.reader.page_count()
    }

    fn own_resolution(&self) -> Option<Resolution> {
        Some(self.resolution)
    }

    /// Each page is decoded on the way, so damage is found here.
    fn draw(mut self: Box<Self>, _job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
        for index in 0..self.reader.page_count() {
            let page = self.reader.page(index).map_err(tiff_error)?;
            out.page(page.rows, |rows| {
                let mut written = Ok(());
                self.reader
                    .decode_page(&page, |row| {
                        if written.is_ok() {
                            written = rows.row(row);
                        }
                    })
                    .map_err(tiff_error)?;
                written
            })?;
        }
        Ok(())
    }
}

/// The resolution of a page that can be faxed as it is.
fn check_page(page: &PageInfo, options: &ConvertOptions) -> Result<Resolution> {
    let number = page.index.saturating_add(1);
    let width = options.width.pixels();
    if page.width != width {
        return Err(unsuitable(format!(
            "page {number} is {} pixels wide, the fax has {width}",
            page.width
        )));
    }
    if page
        .x_per_inch()
        .is_some_and(|pixels| !PIXELS_PER_INCH.contains(&pixels))
    {
        return Err(unsuitable(format!(
            "page {number} does not have 204 pixels per inch in a row"
        )));
    }
    let Some(resolution) = page.fax_resolution() else {
        return Err(unsuitable(format!(
            "page {number} does not have 98, 196 or 391 lines per inch"
        )));
    };
    if page.orientation != 1 {
        return Err(unsuitable(format!(
            "page {number} is stored turned or mirrored"
        )));
    }
    check_pixels(
        usize::try_from(page.index).unwrap_or(usize::MAX),
        page.rows,
        options,
    )?;
    Ok(resolution)
}

fn unsuitable(message: String) -> Error {
    Error::document(OPERATION, DocumentReason::Unsuitable, message)
}

fn tiff_error(error: TiffError) -> Error {
    let (reason, message) = match error {
        TiffError::Io(source) => return read_failed(source),
        TiffError::Limit { .. } => {
            return too_large("the tiff is above the limits".to_owned()).with_source(error);
        }
        TiffError::NoPage { .. } => (DocumentReason::Empty, "the tiff has no page"),
        TiffError::NotTiff | TiffError::BigTiff => {
            (DocumentReason::UnknownFormat, "the file is no classic tiff")
        }
        TiffError::Unsupported { .. } => (
            DocumentReason::Unsuitable,
            "the tiff is not black and white in a fax compression or none",
        ),
        _ => (DocumentReason::Damaged, "the tiff is damaged"),
    };
    Error::document(OPERATION, reason, message).with_source(error)
}
