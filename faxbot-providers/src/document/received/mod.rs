//! What comes back: received faxes as PDF, pictures, and pages that can be sent on.

mod coded;
mod decode;
mod error;
mod file;
mod info;
mod repair;
mod size;
mod thumbnail;
mod to_pdf;
mod upright;

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read, Seek, Write},
    path::Path,
};

use faxbot_core::{
    Result,
    document::{FaxImage, ccitt::PageQuality, tiff::TiffReader},
};

use super::png::{PngOptions, ReceivedPicture, picture};

pub(super) use decode::{Damage, with_tags};
pub(super) use error::Failed;
pub(super) use file::NewFile;
pub(super) use upright::{Turn, decode_upright};

pub use info::ReceivedPage;
pub use repair::RepairedFax;
pub use thumbnail::ThumbnailOptions;

/// The TIFF of a received fax, which need not be one that can be sent: T.4 (MH or MR), T.6 or
/// uncompressed, any strips, bit order, orientation, width and resolution, pages that differ.
///
/// Damaged rows of T.4 are repaired and counted. T.6 codes each row by the one above it, so there a
/// damaged page is an error: it gets no white rows in place of what is missing.
///
/// Every call reads or writes files: use it off the async threads.
///
/// ```no_run
/// use faxbot_providers::document::{ReceivedFax, ThumbnailOptions};
///
/// # fn main() -> Result<(), faxbot_core::Error> {
/// let mut fax = ReceivedFax::open("received.tif")?;
/// let quality = fax.to_pdf("received.pdf")?;
/// let thumbnail = fax.thumbnail(0, &ThumbnailOptions::new())?;
/// println!("{} pages, {} bad rows", fax.pages(), quality.iter().map(|page| page.bad_rows).sum::<u32>());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReceivedFax<R> {
    reader: TiffReader<R>,
}

impl ReceivedFax<BufReader<File>> {
    /// Opens a file with the default [`TiffLimits`](faxbot_core::document::tiff::TiffLimits).
    ///
    /// # Errors
    /// `Io` when the file cannot be read; `Document` when it is no TIFF (`UnknownFormat`), has no
    /// page (`Empty`), more pages than the limit (`TooLarge`), or is damaged (`Damaged`).
    pub fn open(fax: impl AsRef<Path>) -> Result<Self> {
        open(fax.as_ref(), Failed("open"))
    }
}

impl<R: Read + Seek> ReceivedFax<R> {
    /// Of a reader, which has the limits and may read from memory.
    pub fn new(reader: TiffReader<R>) -> Self {
        Self { reader }
    }

    /// Number of pages; at least 1.
    pub fn pages(&self) -> u32 {
        self.reader.page_count()
    }

    /// The facts of each page. Every page is decoded once.
    ///
    /// # Errors
    /// `Io` when the file cannot be read; `Document` when a page cannot be looked at at all:
    /// `Damaged`, `Unsuitable` (not black and white) or `TooLarge`. Damaged rows are no error here.
    pub fn info(&mut self) -> Result<Vec<ReceivedPage>> {
        info::info(&mut self.reader, Failed("received_info"))
    }

    /// Writes a PDF to a file of mode 0600, which gets its name once it is whole; a file of that
    /// name is replaced. Tells how well each page was received. See
    /// [`write_pdf`](Self::write_pdf).
    ///
    /// # Errors
    /// As [`write_pdf`](Self::write_pdf); no file is left then.
    pub fn to_pdf(&mut self, out: impl AsRef<Path>) -> Result<Vec<PageQuality>> {
        let failed = Failed("received_to_pdf");
        pdf_file(
            &mut self.reader,
            out.as_ref(),
            coded::Origin::Received,
            failed,
        )
    }

    /// Writes a PDF that says nothing but its pages, one page at a time.
    ///
    /// The coded rows of a page are embedded as they are when it has one strip, no damage, and the
    /// end-of-line codes that viewers look for; otherwise they are repaired and coded anew in T.6.
    /// The paper has the size that the resolution
    /// means (215 mm for 1728 pixels), and pages stand upright.
    ///
    /// # Errors
    /// `Io` when the fax cannot be read or the PDF cannot be written; `Document` when a page is
    /// damaged beyond repair (`Damaged`), not black and white (`Unsuitable`) or above the limits
    /// (`TooLarge`). What was written before the error stays in `out`.
    pub fn write_pdf(&mut self, out: impl Write) -> Result<Vec<PageQuality>> {
        let failed = Failed("received_to_pdf");
        to_pdf::write_pdf(&mut self.reader, out, coded::Origin::Received, failed)
    }

    /// Makes a clean fax of it in `directory`, which has to exist: T.6, one strip a page, upright,
    /// damaged rows repaired and counted in the tags 326 to 328 (RFC 2306). It can be sent on.
    ///
    /// # Errors
    /// As [`write_pdf`](Self::write_pdf), and `Document(Unsuitable)` for pages that a fax cannot
    /// carry: another width than 1728, 2048 or 2432, another resolution than 98, 196 or 391 lines
    /// per inch, pages that differ. A PDF and pictures can still be made of those.
    pub fn repair(&mut self, directory: impl AsRef<Path>) -> Result<RepairedFax> {
        let failed = Failed("repair_received");
        repair::repair(&mut self.reader, directory.as_ref(), failed)
    }

    /// One page as a PNG of one bit a pixel, and how well it was received. `page` counts from 0.
    ///
    /// # Errors
    /// As [`received_page_to_png`](super::received_page_to_png).
    pub fn page_to_png(&mut self, page: u32, options: &PngOptions) -> Result<ReceivedPicture> {
        picture(&mut self.reader, page, options)
    }

    /// A small grey picture of a page; see [`received_page_thumbnail`].
    ///
    /// # Errors
    /// As [`received_page_thumbnail`].
    pub fn thumbnail(&mut self, page: u32, options: &ThumbnailOptions) -> Result<Vec<u8>> {
        thumbnail::thumbnail(&mut self.reader, page, options, Failed("page_thumbnail"))
    }
}

/// Writes a fax that can be sent as a PDF: the coded rows as they are, on paper of the size that
/// they mean. The file has mode 0600 and gets its name once it is whole; one of that name is
/// replaced.
///
/// The rows are those that are sent, damaged ones too: they are not looked at. A fax that this SDK
/// converted has none; [`received_to_pdf`] is for files of others.
///
/// This reads and writes files: call it off the async threads.
///
/// # Errors
/// `Io`; `Document` when the fax changed since it was opened, or its rows have to be coded anew for
/// a viewer (MH or MR without its first end-of-line code) and are damaged.
pub fn fax_to_pdf(image: &FaxImage, out: impl AsRef<Path>) -> Result<()> {
    let mut reader = image.reader()?;
    let failed = Failed("fax_to_pdf");
    pdf_file(&mut reader, out.as_ref(), coded::Origin::Ours, failed).map(drop)
}

/// Writes a received fax as a PDF and tells how well each page was received; see
/// [`ReceivedFax::to_pdf`].
///
/// This reads and writes files: call it off the async threads.
///
/// # Errors
/// As [`ReceivedFax::to_pdf`].
pub fn received_to_pdf(fax: impl AsRef<Path>, out: impl AsRef<Path>) -> Result<Vec<PageQuality>> {
    open(fax.as_ref(), Failed("received_to_pdf"))?.to_pdf(out)
}

/// Makes a clean fax of a received one in `directory`; see [`ReceivedFax::repair`].
///
/// This reads and writes files: call it off the async threads.
///
/// # Errors
/// As [`ReceivedFax::repair`].
pub fn repair_received(fax: impl AsRef<Path>, directory: impl AsRef<Path>) -> Result<RepairedFax> {
    open(fax.as_ref(), Failed("repair_received"))?.repair(directory)
}

/// The facts of each page of a received fax; see [`ReceivedFax::info`].
///
/// This reads the file: call it off the async threads.
///
/// # Errors
/// As [`ReceivedFax::info`].
pub fn received_info(fax: impl AsRef<Path>) -> Result<Vec<ReceivedPage>> {
    open(fax.as_ref(), Failed("received_info"))?.info()
}

/// A small picture of a page of a fax that can be sent: a PNG of 8-bit grey in the shape of the
/// paper, each pixel the share of black in its part of the page. `page` counts from 0.
///
/// This reads the file: call it off the async threads.
///
/// # Errors
/// `NotFound` when there is no such page; `Io` when the file cannot be read; `Document` when it
/// changed since the image was opened, or is damaged.
pub fn page_thumbnail(image: &FaxImage, page: u32, options: &ThumbnailOptions) -> Result<Vec<u8>> {
    let failed = Failed("page_thumbnail");
    thumbnail::thumbnail(&mut image.reader()?, page, options, failed)
}

/// As [`page_thumbnail`] for a received fax; see [`ReceivedFax`]. Damaged rows of T.4 are repaired.
///
/// This reads the file: call it off the async threads.
///
/// # Errors
/// `NotFound` when there is no such page; `Io` when the file cannot be read; `Document` as in
/// [`ReceivedFax::write_pdf`].
pub fn received_page_thumbnail(
    fax: impl AsRef<Path>,
    page: u32,
    options: &ThumbnailOptions,
) -> Result<Vec<u8>> {
    open(fax.as_ref(), Failed("page_thumbnail"))?.thumbnail(page, options)
}

pub(super) fn open(path: &Path, failed: Failed) -> Result<ReceivedFax<BufReader<File>>> {
    let file = File::open(path).map_err(|source| failed.io("the fax cannot be read", source))?;
    TiffReader::open(BufReader::new(file))
        .map(ReceivedFax::new)
        .map_err(|error| failed.tiff(error))
}

fn pdf_file<R: Read + Seek>(
    reader: &mut TiffReader<R>,
    target: &Path,
    origin: coded::Origin,
    failed: Failed,
) -> Result<Vec<PageQuality>> {
    let cannot_write = |source| failed.io("the pdf cannot be written", source);
    let (file, out) = NewFile::create(target).map_err(cannot_write)?;
    // It is flushed at the end; dropped here, it is closed before it gets its name.
    let quality = to_pdf::write_pdf(reader, BufWriter::new(out), origin, failed)?;
    file.keep(target).map_err(cannot_write)?;
    Ok(quality)
}
