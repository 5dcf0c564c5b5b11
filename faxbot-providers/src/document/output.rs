//! The fax TIFF that a conversion writes: streamed page by page, then read back.

use std::{
    fs::File,
    hash::{DefaultHasher, Hasher},
    io::{self, BufWriter},
    path::Path,
};

use super::{convert::OPERATION, worker::Stop};
use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{
        ConvertOptions, FaxImage, FaxScratch,
        ccitt::{CcittError, FaxEncoder, T4Decoder, T6Decoder, row_bytes},
        tiff::{NewPage, PageNumber, TiffError, TiffWriter},
    },
};

/// A fax TIFF being written. Dropped before [`finish`](Self::finish), it removes its file.
pub(super) struct FaxFile<'a> {
    // Before the file's guard, so that the file is closed when the guard removes it.
    writer: TiffWriter<BufWriter<File>>,
    scratch: FaxScratch,
    options: ConvertOptions,
    stop: &'a Stop,
    pages: Vec<PageMark>,
}

/// Rows and coded bytes of a page, to be compared with what the file holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageMark {
    rows: u32,
    coded: u64,
}

/// Where the rows of one page go. Pages may be drawn on several threads at a time.
pub(super) struct PageRows<'a> {
    encoder: FaxEncoder,
    options: ConvertOptions,
    hasher: DefaultHasher,
    stop: &'a Stop,
}

/// A page that was drawn and coded, on its way into the file.
pub(super) struct DrawnPage {
    mark: PageMark,
    strip: Vec<u8>,
}

impl<'a> PageRows<'a> {
    pub(super) fn new(options: &ConvertOptions, stop: &'a Stop) -> Result<Self> {
        let encoder =
            FaxEncoder::new(options.width.pixels(), options.coding, options.resolution)
                .map_err(|source| internal("the width cannot be coded").with_source(source))?;
        Ok(Self {
            encoder,
            options: *options,
            hasher: DefaultHasher::new(),
            stop,
        })
    }

    /// Takes the next row, packed, `1` is black.
    ///
    /// # Errors
    /// `Document(Timeout)` when the conversion was given up; `Internal` for a row of another
    /// length than the page's.
    pub(super) fn row(&mut self, row: &[u8]) -> Result<()> {
        self.stop.check()?;
        self.hasher.write(row);
        self.encoder
            .encode_row(row)
            .map_err(|source| internal("a row has the wrong length").with_source(source))
    }

    /// Ends the page, which has to have `rows` rows, and decodes it: its pixels have to be those
    /// that went in.
    pub(super) fn finish(self, rows: u32) -> Result<DrawnPage> {
        if self.encoder.rows() != rows {
            return Err(internal("a page has other rows than announced"));
        }
        let strip = self.encoder.finish();
        let pixels = decoded(&strip, rows, &self.options)
            .map_err(|source| internal("a page was not coded well").with_source(source))?;
        if pixels != self.hasher.finish() {
            return Err(internal("a page was coded as another"));
        }
        let coded = hash(&strip);
        Ok(DrawnPage {
            mark: PageMark { rows, coded },
            strip,
        })
    }
}

/// The hash of the rows of a strip.
fn decoded(strip: &[u8], rows: u32, options: &ConvertOptions) -> Result<u64, CcittError> {
    let width = options.width.pixels();
    let mut row = vec![0; row_bytes(width)];
    let mut hasher = DefaultHasher::new();
    if let Some(coding) = options.coding.t4() {
        let mut decoder = T4Decoder::new(strip, width, rows, coding)?;
        while decoder.next_row(&mut row)? {
            hasher.write(&row);
        }
    } else {
        let mut decoder = T6Decoder::new(strip, width, rows)?;
        while decoder.next_row(&mut row)? {
            hasher.write(&row);
        }
    }
    Ok(hasher.finish())
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl<'a> FaxFile<'a> {
    /// Starts a file in `directory` whose name nobody can guess and nobody else can read.
    pub(super) fn create(
        directory: &Path,
        options: &ConvertOptions,
        stop: &'a Stop,
    ) -> Result<Self> {
        let (scratch, file) = FaxScratch::create(directory)?;
        let writer = TiffWriter::new(BufWriter::new(file))
            .and_then(|writer| writer.with_width(options.width.pixels()))
            .map_err(tiff_failed)?;
        Ok(Self {
            writer,
            scratch,
            options: *options,
            stop,
            pages: Vec::new(),
        })
    }

    /// Adds a page of `rows` rows that `draw` gives.
    pub(super) fn page(
        &mut self,
        rows: u32,
        draw: impl FnOnce(&mut PageRows<'_>) -> Result<()>,
    ) -> Result<()> {
        self.stop.check()?;
        let mut page = PageRows::new(&self.options, self.stop)?;
        draw(&mut page)?;
        self.add(page.finish(rows)?)
    }

    /// Adds a page that was drawn.
    pub(super) fn add(&mut self, page: DrawnPage) -> Result<()> {
        self.add_as(page, None)
    }

    /// Adds a page that was drawn and has the number of another file.
    pub(super) fn add_numbered(&mut self, page: DrawnPage, number: PageNumber) -> Result<()> {
        self.add_as(page, Some(number))
    }

    fn add_as(&mut self, page: DrawnPage, number: Option<PageNumber>) -> Result<()> {
        self.stop.check()?;
        let mut new = NewPage::new(page.mark.rows, self.options.resolution);
        new.coding = self.options.coding;
        new.page_number = number;
        self.pages.push(page.mark);
        self.writer
            .add_coded_page(&new, &page.strip)
            .map_err(tiff_failed)
    }

    /// Pages added so far.
    pub(super) fn page_count(&self) -> u32 {
        self.writer.page_count()
    }

    /// Closes the file and reads it back: pages, width, resolution, coding and every byte.
    pub(super) fn finish(self) -> Result<FaxImage> {
        let Self {
            writer,
            scratch,
            options,
            stop,
            pages,
        } = self;
        writer
            .finish()
            .map_err(tiff_failed)?
            .into_inner()
            .map_err(|error| write_failed(error.into_error()))?;
        let image = scratch.into_image()?;
        if (image.width(), image.resolution(), image.coding())
            != (options.width, options.resolution, options.coding)
        {
            return Err(internal(
                "the file has another width, resolution or coding than was written",
            ));
        }
        let mut reader = image.reader()?;
        let mut found = Vec::with_capacity(pages.len());
        for index in 0..reader.page_count() {
            stop.check()?;
            let page = reader.page(index).map_err(tiff_failed)?;
            let mut coded = Vec::new();
            for strip in page.strips {
                coded.append(&mut reader.read_strip(strip).map_err(tiff_failed)?);
            }
            found.push(PageMark {
                rows: page.rows,
                coded: hash(&coded),
            });
        }
        if found != pages {
            return Err(internal("the file holds other pages than were written"));
        }
        Ok(image)
    }
}

/// Refuses documents without pages, and with more than the limit. The limit is for the whole fax;
/// a part is checked before its pages are looked at.
pub(super) fn check_pages(pages: usize, options: &ConvertOptions) -> Result<()> {
    if pages == 0 {
        return Err(Error::document(
            OPERATION,
            DocumentReason::Empty,
            "the document has no page",
        ));
    }
    if u32::try_from(pages).is_ok_and(|pages| pages <= options.limits.pages) {
        return Ok(());
    }
    Err(too_large(format!(
        "the document has {pages} pages, the limit is {}",
        options.limits.pages
    )))
}

/// Refuses a page with more pixels than the limit. Pages count from 1 in the text.
pub(super) fn check_pixels(page: usize, rows: u32, options: &ConvertOptions) -> Result<()> {
    let pixels = u64::from(rows) * u64::from(options.width.pixels());
    if pixels <= options.limits.pixels {
        return Ok(());
    }
    let limit = options.limits.pixels;
    Err(too_large(format!(
        "page {} has {pixels} pixels, the limit is {limit}",
        page.saturating_add(1)
    )))
}

pub(super) fn too_large(message: String) -> Error {
    Error::document(OPERATION, DocumentReason::TooLarge, message)
}

pub(super) fn internal(message: &'static str) -> Error {
    Error::new(ErrorKind::Internal, OPERATION, message).with_effect(Effect::NoEffect)
}

fn write_failed(source: io::Error) -> Error {
    Error::new(ErrorKind::Io, OPERATION, "the fax file cannot be written")
        .with_effect(Effect::NoEffect)
        .with_source(source)
}

fn tiff_failed(error: TiffError) -> Error {
    match error {
        TiffError::Io(source) => write_failed(source),
        TiffError::Limit { .. } => {
            too_large("the fax is larger than a tiff file can be".to_owned()).with_source(error)
        }
        other => internal("the fax file is not what was written").with_source(other),
    }
}
