//! The fax TIFF that a conversion writes: streamed page by page, then read back.

use std::{
    fs::{self, File, OpenOptions},
    hash::{DefaultHasher, Hasher},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{
        ConvertOptions, FaxImage, Resolution,
        ccitt::T6Encoder,
        tiff::{TiffError, TiffWriter},
    },
};
use uuid::Uuid;

use super::{convert::OPERATION, worker::Stop};

/// A fax TIFF being written. Dropped before [`finish`](Self::finish), it removes its file.
pub(super) struct FaxFile<'a> {
    // Before the file's guard, so that the file is closed when the guard removes it.
    writer: TiffWriter<BufWriter<File>>,
    path: PathGuard,
    options: ConvertOptions,
    resolution: Resolution,
    stop: &'a Stop,
    pages: Vec<PageMark>,
}

/// Rows and pixels of a page, to be compared with what the file holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageMark {
    rows: u32,
    pixels: u64,
}

/// Where the rows of one page go.
pub(super) struct PageRows<'a> {
    encoder: T6Encoder,
    hasher: DefaultHasher,
    stop: &'a Stop,
}

impl PageRows<'_> {
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
}

impl<'a> FaxFile<'a> {
    /// Starts a file in `directory` whose name nobody can guess and nobody else can read.
    pub(super) fn create(
        directory: &Path,
        options: &ConvertOptions,
        resolution: Resolution,
        stop: &'a Stop,
    ) -> Result<Self> {
        let path = directory.join(format!("faxbot-{}.tif", Uuid::new_v4()));
        let mut open = OpenOptions::new();
        open.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
        let file = open.open(&path).map_err(write_failed)?;
        let path = PathGuard(Some(path));
        let writer = TiffWriter::new(BufWriter::new(file))
            .and_then(|writer| writer.with_width(options.width.pixels()))
            .map_err(tiff_failed)?;
        Ok(Self {
            writer,
            path,
            options: *options,
            resolution,
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
        let encoder = T6Encoder::new(self.options.width.pixels())
            .map_err(|source| internal("the width cannot be coded").with_source(source))?;
        let mut page = PageRows {
            encoder,
            hasher: DefaultHasher::new(),
            stop: self.stop,
        };
        draw(&mut page)?;
        if page.encoder.rows() != rows {
            return Err(internal("a page has other rows than announced"));
        }
        self.pages.push(PageMark {
            rows,
            pixels: page.hasher.finish(),
        });
        self.writer
            .add_page(rows, self.resolution, &page.encoder.finish())
            .map_err(tiff_failed)
    }

    /// Closes the file and reads it back: pages, width, resolution and every pixel.
    pub(super) fn finish(self) -> Result<FaxImage> {
        let Self {
            writer,
            mut path,
            options,
            resolution,
            stop,
            pages,
        } = self;
        writer
            .finish()
            .map_err(tiff_failed)?
            .into_inner()
            .map_err(|error| write_failed(error.into_error()))?;
        let Some(written) = path.0.take() else {
            return Err(internal("the file has no name"));
        };
        let image = FaxImage::open_temporary(written)?;
        if (image.width(), image.resolution()) != (options.width, resolution) {
            return Err(internal(
                "the file has another width or resolution than was written",
            ));
        }
        let mut reader = image.reader()?;
        let mut found = Vec::with_capacity(pages.len());
        for index in 0..reader.page_count() {
            stop.check()?;
            let page = reader.page(index).map_err(tiff_failed)?;
            let mut hasher = DefaultHasher::new();
            reader
                .decode_page(&page, |row| hasher.write(row))
                .map_err(tiff_failed)?;
            found.push(PageMark {
                rows: page.rows,
                pixels: hasher.finish(),
            });
        }
        if found != pages {
            return Err(internal("the file holds other pages than were written"));
        }
        Ok(image)
    }
}

/// Refuses documents without pages, and with more than the limit.
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

/// Removes a file that was not finished.
struct PathGuard(Option<PathBuf>);

impl Drop for PathGuard {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(kind = ?error.kind(), "an unfinished fax file could not be removed");
        }
    }
}
