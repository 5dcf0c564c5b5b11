//! TIFF: a fax keeps its pixels where it can, anything else is a picture.

use faxbot_core::{
    DocumentReason, Error, Result,
    document::{
        ConvertOptions, FaxTiff, FaxWidth, Resolution,
        tiff::{Compression, PageInfo, Photometric, TiffError, TiffLimits, TiffReader},
    },
};

use super::{
    convert::OPERATION,
    layout::{self, Place, Size},
    output::{FaxFile, check_pages, too_large},
    part::{Job, Part},
    picture::{Easel, Grey, MAX_SIDE, PictureTiff, Sheet, check_place},
    source::{Input, read_failed},
    worker::Stop,
};

/// Pixels per inch of a row that still count as 204 (files say 200, 203, 204 or 204.1).
pub(super) const PIXELS_PER_INCH: std::ops::RangeInclusive<f64> = 193.8..=214.2;

/// A TIFF whose pages are known.
pub(super) struct FaxTiffPart {
    reader: TiffReader<Input>,
    pages: Vec<Page>,
    /// The same file, where it has pages that are not black and white in a fax coding.
    pictures: Option<PictureTiff>,
    own: Option<Resolution>,
}

enum Page {
    /// As wide as a fax and in a fax resolution.
    Fax(PageInfo, FaxWidth, Resolution),
    /// Black and white of any size.
    Bilevel(PageInfo, Sheet),
    /// What [`PictureTiff`] reads.
    Picture(u32, Sheet),
}

impl FaxTiffPart {
    pub(super) fn open(
        input: Input,
        options: &ConvertOptions,
        stop: &Stop,
    ) -> Result<Box<dyn Part>> {
        let limits = TiffLimits::new()
            .with_max_pages(options.limits.pages)
            .with_max_width(MAX_SIDE)
            .with_max_rows(MAX_SIDE);
        let mut reader = TiffReader::with_limits(input, limits).map_err(tiff_error)?;
        let count = reader.page_count();
        check_pages(usize::try_from(count).unwrap_or(usize::MAX), options)?;
        let mut infos = Vec::new();
        for index in 0..count {
            stop.check()?;
            infos.push(match reader.page(index) {
                Ok(page) if is_bilevel(&page) => Some(page),
                // The other reader knows more kinds of pages, and says what is wrong with the rest.
                Ok(_) | Err(TiffError::MissingTag { .. } | TiffError::InvalidTag { .. }) => None,
                Err(error) => return Err(tiff_error(error)),
            });
        }
        let mut pictures = None;
        if infos.iter().any(Option::is_none) {
            let bytes = reader.into_inner().into_shared()?;
            pictures = Some(PictureTiff::new(bytes.to_vec(), count)?);
            reader =
                TiffReader::with_limits(Input::from_bytes(bytes), limits).map_err(tiff_error)?;
        }
        let mut pages = Vec::new();
        for (index, info) in (0..).zip(infos) {
            stop.check()?;
            pages.push(match (info, &mut pictures) {
                (Some(info), _) => Page::bilevel(info)?,
                (None, Some(pictures)) => Page::Picture(index, pictures.sheet(index)?),
                (None, None) => return Err(unsuitable("the tiff cannot be read")),
            });
        }
        let own = own_resolution(&pages, options);
        let resolution = own.unwrap_or(options.resolution);
        for (index, page) in pages.iter().enumerate() {
            check_place(index, &page.place(options.width, resolution)?, options)?;
        }
        Ok(Box::new(Self {
            reader,
            pages,
            pictures,
            own,
        }))
    }
}

/// The one resolution of all pages, if they may keep it.
fn own_resolution(pages: &[Page], options: &ConvertOptions) -> Option<Resolution> {
    if options.fax_tiff != FaxTiff::Keep {
        return None;
    }
    let mut all = None;
    for page in pages {
        match page {
            Page::Fax(_, width, resolution)
                if *width == options.width && *all.get_or_insert(*resolution) == *resolution => {}
            _ => return None,
        }
    }
    all
}

impl Part for FaxTiffPart {
    fn pages(&self) -> u32 {
        u32::try_from(self.pages.len()).unwrap_or(u32::MAX)
    }

    fn own_resolution(&self) -> Option<Resolution> {
        self.own
    }

    /// Each page is decoded on the way, so damage is found here.
    fn draw(self: Box<Self>, job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
        let Self {
            mut reader,
            pages,
            mut pictures,
            ..
        } = *self;
        let (paper, resolution) = (job.options.width, job.options.resolution);
        let mut easel = None;
        for page in pages {
            if let Page::Fax(info, width, own) = &page
                && (*width, *own) == (paper, resolution)
            {
                copy(&mut reader, info, out)?;
                continue;
            }
            let place = page.place(paper, resolution)?;
            let (grey, view) = match page {
                Page::Fax(info, _, from) => {
                    let mut grey = unpacked(&mut reader, &info, job.stop)?;
                    let together = layout::rows_together(from, resolution) as usize;
                    while !grey.rows().is_multiple_of(together) {
                        grey.push(&vec![255; info.width as usize]);
                    }
                    (grey, Sheet::upright())
                }
                Page::Bilevel(info, sheet) => (unpacked(&mut reader, &info, job.stop)?, sheet.view),
                Page::Picture(index, sheet) => {
                    let pictures = pictures
                        .as_mut()
                        .ok_or_else(|| unsuitable("the tiff cannot be read"))?;
                    (pictures.decode(index, job.stop)?, sheet.view)
                }
            };
            easel
                .get_or_insert_with(|| Easel::new(job.options.halftone, paper.pixels()))
                .draw(&grey, view, place, out)?;
        }
        Ok(())
    }
}

impl Page {
    fn bilevel(info: PageInfo) -> Result<Self> {
        let across = info.x_per_inch();
        let fax = FaxWidth::from_pixels(info.width)
            .filter(|_| across.is_none_or(|pixels| PIXELS_PER_INCH.contains(&pixels)))
            .filter(|_| info.orientation == 1)
            .zip(info.fax_resolution());
        // The size is checked for a fax too.
        let down = info.y_per_inch().or(across);
        let sheet = Sheet::new(
            (info.width, info.rows),
            across.or(down).zip(down),
            info.orientation,
        )?;
        Ok(match fax {
            Some((width, resolution)) => Self::Fax(info, width, resolution),
            None => Self::Bilevel(info, sheet),
        })
    }

    fn place(&self, paper: FaxWidth, resolution: Resolution) -> Result<Place> {
        match self {
            Self::Fax(info, width, from) if *width == paper => {
                Ok(layout::place_fax(info.rows, *from, paper, resolution))
            }
            Self::Fax(info, width, from) => layout::fax_size_mm(info.rows, *width, *from)
                .and_then(|size| layout::place(size, Size::Fax, paper, resolution))
                .ok_or_else(|| unsuitable("a page of the tiff has no size")),
            Self::Bilevel(_, sheet) | Self::Picture(_, sheet) => sheet.place(paper, resolution),
        }
    }
}

/// Whether our reader decodes the page.
fn is_bilevel(page: &PageInfo) -> bool {
    page.bits_per_sample == 1
        && page.samples_per_pixel == 1
        && !matches!(page.compression, Compression::Other(_))
        && !matches!(page.photometric, Photometric::Other(_))
}

/// Writes the pixels of a page as they are.
fn copy(reader: &mut TiffReader<Input>, page: &PageInfo, out: &mut FaxFile<'_>) -> Result<()> {
    out.page(page.rows, |rows| {
        let mut written = Ok(());
        reader
            .decode_page(page, |row| {
                if written.is_ok() {
                    written = rows.row(row);
                }
            })
            .map_err(tiff_error)?;
        written
    })
}

/// The pixels of a page, a byte each.
fn unpacked(reader: &mut TiffReader<Input>, page: &PageInfo, stop: &Stop) -> Result<Grey> {
    stop.check()?;
    let mut grey = Grey::new(page.width);
    let mut line = Vec::new();
    let width = page.width as usize;
    reader
        .decode_page(page, |row| {
            line.clear();
            line.extend(row.iter().flat_map(|byte| {
                [0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1]
                    .map(|bit| if byte & bit == 0 { 255 } else { 0 })
            }));
            line.truncate(width);
            grey.push(&line);
        })
        .map_err(tiff_error)?;
    stop.check()?;
    Ok(grey)
}

fn unsuitable(message: &'static str) -> Error {
    Error::document(OPERATION, DocumentReason::Unsuitable, message)
}

fn tiff_error(error: TiffError) -> Error {
    let (reason, message) = match error {
        TiffError::Io(source) => return read_failed(source),
        TiffError::Limit { .. } => {
            return too_large("the tiff is above the limits".to_owned()).with_source(error);
        }
        TiffError::NoPage { .. } => (DocumentReason::Empty, "the tiff has no page"),
        TiffError::NotTiff | TiffError::BigTiff => (
            DocumentReason::UnknownFormat,
            "the file is no classic tiff: save it as tiff, png or pdf",
        ),
        TiffError::Unsupported { .. } => (
            DocumentReason::Unsuitable,
            "the tiff is of a kind that is not read here: save it as png or pdf",
        ),
        _ => (DocumentReason::Damaged, "the tiff is damaged"),
    };
    Error::document(OPERATION, reason, message).with_source(error)
}
