//! Pages that are ready to be faxed: a fax TIFF on disk.

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufReader, BufWriter},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{
        FaxCoding, FaxScratch, FaxWidth, Resolution, TransmissionTime,
        tiff::{
            Compression, PageInfo, PageNumbers, Photometric, TiffError, TiffReader, TiffWriter,
        },
    },
};

/// A fax TIFF on disk whose facts were read from the file itself. Clones share the file.
///
/// The facts are those of the tags: the rows were not decoded.
#[derive(Clone)]
pub struct FaxImage(Arc<Inner>);

struct Inner {
    path: PathBuf,
    pages: u32,
    width: FaxWidth,
    resolution: Resolution,
    coding: FaxCoding,
    bytes: u64,
    /// Coded bytes of each page.
    page_bytes: Vec<u64>,
    temporary: bool,
}

impl FaxImage {
    /// Reads the facts of a fax TIFF. The file stays when the image is dropped.
    ///
    /// # Errors
    /// `Io` when it cannot be read; `Document` when it is no TIFF (`UnknownFormat`), has no page
    /// (`Empty`), is broken (`Damaged`), or holds pages that a fax cannot carry: another width
    /// than 1728, 2048 or 2432, another resolution, another coding than T.6 or T.4 (MH, MR), several
    /// strips, rows that do not begin at the top left, pages that differ (`Unsuitable`); more pages
    /// or rows than [`TiffLimits`](super::tiff::TiffLimits) allow (`TooLarge`).
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::read(path.into(), false)
    }

    /// As [`open`](Self::open), for a file that is removed when the last clone is dropped, and also
    /// when it is refused here.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_temporary(path: impl Into<PathBuf>) -> Result<Self> {
        Self::read(path.into(), true)
    }

    fn read(path: PathBuf, temporary: bool) -> Result<Self> {
        // Made first, so that a refused temporary file is removed by its drop.
        let mut inner = Inner {
            path,
            pages: 0,
            width: FaxWidth::default(),
            resolution: Resolution::default(),
            coding: FaxCoding::default(),
            bytes: 0,
            page_bytes: Vec::new(),
            temporary,
        };
        inner.read_facts()?;
        Ok(Self(Arc::new(inner)))
    }

    /// Where the file is. Its name may tell whose it is: do not log it.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Number of pages; at least 1.
    pub fn pages(&self) -> u32 {
        self.0.pages
    }

    /// Columns.
    pub fn width(&self) -> FaxWidth {
        self.0.width
    }

    /// Lines per inch.
    pub fn resolution(&self) -> Resolution {
        self.0.resolution
    }

    /// How the pages are coded.
    pub fn coding(&self) -> FaxCoding {
        self.0.coding
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// How long the pages take on the line at `bit_rate` bit/s;
    /// [`USUAL_BIT_RATE`](super::USUAL_BIT_RATE) is the one to expect.
    pub fn transmission_time(&self, bit_rate: u32) -> TransmissionTime {
        TransmissionTime::of_pages(self.0.page_bytes.iter().copied(), bit_rate)
    }

    /// Copies some pages (from 0, the end not included) into a temporary fax of their own in
    /// `directory`, as they are coded. They keep their page numbers.
    ///
    /// This reads and writes files: call it off the async threads.
    ///
    /// # Errors
    /// `InvalidRequest` for a range without pages or outside of the fax; `Io`; `Document` when the
    /// file changed since.
    pub fn copy_pages(&self, pages: Range<u32>, directory: impl AsRef<Path>) -> Result<Self> {
        self.copy(pages, directory.as_ref())
            .map_err(|error| error.with_operation("copy_pages"))
    }

    fn copy(&self, pages: Range<u32>, directory: &Path) -> Result<Self> {
        let page_bytes = usize::try_from(pages.start)
            .ok()
            .zip(usize::try_from(pages.end).ok())
            .and_then(|(start, end)| self.0.page_bytes.get(start..end))
            .filter(|bytes| !bytes.is_empty())
            .ok_or_else(|| {
                let message = "the fax has no such pages";
                Error::new(ErrorKind::InvalidRequest, "copy_pages", message)
                    .with_effect(Effect::NoEffect)
            })?;
        let mut reader = self.reader()?;
        let (scratch, file) = FaxScratch::create(directory)?;
        TiffWriter::new(BufWriter::new(file))
            .and_then(|mut writer| {
                writer.copy_pages(&mut reader, pages, PageNumbers::Keep)?;
                writer.finish()
            })
            .map_err(tiff_error)?
            .into_inner()
            .map_err(|error| io_error(error.into_error()))?;
        let copy = scratch.into_image()?;
        // Another file may have taken the name since the facts were read.
        if copy.0.page_bytes != page_bytes || copy.0.facts() != self.0.facts() {
            return Err(changed());
        }
        Ok(copy)
    }

    /// A reader of the pages.
    ///
    /// # Errors
    /// `Io` when the file cannot be opened; `Document` when it changed since.
    pub fn reader(&self) -> Result<TiffReader<BufReader<File>>> {
        let (reader, bytes) = open_reader(&self.0.path)?;
        if (reader.page_count(), bytes) != (self.0.pages, self.0.bytes) {
            return Err(changed());
        }
        Ok(reader)
    }
}

impl Inner {
    /// What all pages share.
    fn facts(&self) -> (FaxWidth, Resolution, FaxCoding) {
        (self.width, self.resolution, self.coding)
    }

    fn read_facts(&mut self) -> Result<()> {
        let (mut reader, bytes) = open_reader(&self.path)?;
        self.bytes = bytes;
        let mut first: Option<(FaxWidth, Resolution, FaxCoding)> = None;
        for page in reader.pages() {
            let page = page.map_err(tiff_error)?;
            let facts = facts(&page)?;
            self.page_bytes.push(page.data_len());
            if *first.get_or_insert(facts) != facts {
                return Err(unsuitable(
                    "the pages differ in width, resolution or coding",
                ));
            }
            self.pages = self.pages.saturating_add(1);
        }
        let Some((width, resolution, coding)) = first else {
            return Err(Error::document(
                "open",
                DocumentReason::Empty,
                "the document has no page",
            ));
        };
        self.width = width;
        self.resolution = resolution;
        self.coding = coding;
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(kind = ?error.kind(), "a temporary fax document could not be removed");
        }
    }
}

impl fmt::Debug for FaxImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaxImage")
            .field("pages", &self.0.pages)
            .field("width", &self.0.width)
            .field("resolution", &self.0.resolution)
            .field("coding", &self.0.coding)
            .field("bytes", &self.0.bytes)
            .finish_non_exhaustive()
    }
}

/// Width, resolution and coding of a page that can be sent (TIFF-F, RFC 3949 §3 and §4: one strip,
/// T.6 or T.4 with end-of-line codes, one bit a pixel).
fn facts(page: &PageInfo) -> Result<(FaxWidth, Resolution, FaxCoding)> {
    if page.bits_per_sample != 1
        || page.samples_per_pixel != 1
        || matches!(page.photometric, Photometric::Other(_))
    {
        return Err(unsuitable(
            "a page is not black and white; convert the document first",
        ));
    }
    // Servers send the rows as they lie, whatever the tag says.
    if page.orientation != 1 {
        return Err(unsuitable(
            "a page does not stand upright; convert the document first",
        ));
    }
    let coding = page
        .coding()
        .filter(|_| page.compression != Compression::ModifiedHuffman)
        .ok_or_else(|| {
            unsuitable(
                "a page is not coded as T.6 (Group 4) or T.4 (Group 3); convert the document first",
            )
        })?;
    if page.strips.len() != 1 {
        return Err(unsuitable(
            "a page has several strips; convert the document first",
        ));
    }
    let width = FaxWidth::from_pixels(page.width).ok_or_else(|| {
        unsuitable("a page is not 1728, 2048 or 2432 pixels wide; convert the document first")
    })?;
    let resolution = page.fax_resolution().ok_or_else(|| {
        unsuitable("a page has not 98, 196 or 391 lines per inch; convert the document first")
    })?;
    Ok((width, resolution, coding))
}

/// A reader, and the bytes of the file.
fn open_reader(path: &Path) -> Result<(TiffReader<BufReader<File>>, u64)> {
    let file = File::open(path).map_err(io_error)?;
    let bytes = file.metadata().map_err(io_error)?.len();
    let reader = TiffReader::open(BufReader::new(file)).map_err(tiff_error)?;
    Ok((reader, bytes))
}

fn changed() -> Error {
    Error::document(
        "open",
        DocumentReason::Damaged,
        "the fax changed since it was opened",
    )
}

fn unsuitable(message: &str) -> Error {
    Error::document("open", DocumentReason::Unsuitable, message)
}

fn io_error(source: io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        "open",
        "the fax document cannot be read or copied",
    )
    .with_effect(Effect::NoEffect)
    .with_source(source)
}

fn tiff_error(error: TiffError) -> Error {
    let (reason, message) = match error {
        TiffError::Io(source) => return io_error(source),
        TiffError::NotTiff | TiffError::BigTiff => {
            (DocumentReason::UnknownFormat, "the file is no classic TIFF")
        }
        TiffError::NoPage { pages: 0, .. } => (DocumentReason::Empty, "the document has no page"),
        TiffError::Limit { .. } => (DocumentReason::TooLarge, "the TIFF is above the limits"),
        _ => (DocumentReason::Damaged, "the TIFF is damaged"),
    };
    Error::document("open", reason, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::document::{ccitt::T6Encoder, tiff::TiffWriter};

    fn tiff(pages: &[(u32, Resolution)]) -> Vec<u8> {
        let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
        for &(rows, resolution) in pages {
            let mut encoder = T6Encoder::new(1728).unwrap();
            for _ in 0..rows {
                encoder.encode_row(&[0; 216]).unwrap();
            }
            writer
                .add_page(rows, resolution, &encoder.finish())
                .unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fax.tif");
        fs::write(&path, bytes).unwrap();
        (directory, path)
    }

    #[test]
    fn the_facts_are_read_from_the_file() {
        let (_directory, path) = written(&tiff(&[(40, Resolution::Fine), (50, Resolution::Fine)]));
        let image = FaxImage::open(&path).unwrap();
        assert_eq!(
            (image.pages(), image.width(), image.resolution()),
            (2, FaxWidth::A4, Resolution::Fine)
        );
        drop(image);
        assert!(path.exists());
    }

    #[test]
    fn a_temporary_file_goes_with_its_last_clone_or_its_refusal() {
        let (_directory, path) = written(&tiff(&[(40, Resolution::Fine)]));
        let image = FaxImage::open_temporary(&path).unwrap();
        let clone = image.clone();
        drop(image);
        assert!(path.exists());
        drop(clone);
        assert!(!path.exists());
        let (_directory, path) = written(b"no tiff at all");
        let error = FaxImage::open_temporary(&path).unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::UnknownFormat));
        assert!(!path.exists());
    }

    #[test]
    fn copied_pages_keep_their_numbers_and_their_bytes() {
        let rows = [40, 50, 60].map(|rows| (rows, Resolution::Fine));
        let (directory, path) = written(&tiff(&rows));
        let image = FaxImage::open(&path).unwrap();
        let copy = image.copy_pages(1..3, &directory).unwrap();
        assert_eq!(copy.pages(), 2);
        let numbers: Vec<_> = copy
            .reader()
            .unwrap()
            .pages()
            .map(|page| page.unwrap())
            .map(|page| (page.page_number.unwrap().number, page.rows))
            .collect();
        assert_eq!(numbers, [(1, 50), (2, 60)]);
        let name = copy.path().to_owned();
        drop(copy);
        assert!(!name.exists());
        for range in [0..0, 3..4, 2..4] {
            let error = image.copy_pages(range, &directory).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        }
    }

    #[test]
    fn pages_of_a_file_that_was_replaced_are_not_copied() {
        let old = [(40, Resolution::Fine), (50, Resolution::Fine)];
        for (new, same_length) in [
            (&[(40, Resolution::Fine)][..], false),
            (&[(40, Resolution::Fine), (400, Resolution::Fine)], false),
            (
                &[(40, Resolution::Standard), (50, Resolution::Standard)],
                true,
            ),
        ] {
            let (directory, path) = written(&tiff(&old));
            let image = FaxImage::open(&path).unwrap();
            fs::write(&path, tiff(new)).unwrap();
            assert_eq!(image.reader().is_ok(), same_length);
            let error = image.copy_pages(0..2, &directory).unwrap_err();
            assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
            assert_eq!(error.operation(), "copy_pages");
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_page_that_is_turned_and_a_file_without_pages_are_refused_by_their_reason() {
        let mut turned = tiff(&[(40, Resolution::Fine)]);
        let orientation = [0x12, 0x01, 3, 0, 1, 0, 0, 0, 1];
        let at = turned
            .windows(orientation.len())
            .position(|bytes| bytes == orientation)
            .unwrap();
        turned[at + 8] = 3;
        for (bytes, reason) in [
            (turned, DocumentReason::Unsuitable),
            (b"II\x2a\0\0\0\0\0".to_vec(), DocumentReason::Empty),
        ] {
            let (_directory, path) = written(&bytes);
            let error = FaxImage::open(&path).unwrap_err();
            assert_eq!(error.document_reason(), Some(reason));
        }
    }

    #[test]
    fn the_time_on_the_line_comes_from_the_bytes_of_the_pages() {
        let (_directory, path) = written(&tiff(&[(40, Resolution::Fine); 3]));
        let time = FaxImage::open(&path).unwrap().transmission_time(14_400);
        assert_eq!(time.pages.len(), 3);
        assert!(time.total >= 3 * std::time::Duration::from_secs(7));
    }

    #[test]
    fn pages_that_differ_are_refused() {
        let (_directory, path) =
            written(&tiff(&[(40, Resolution::Fine), (40, Resolution::Standard)]));
        assert_eq!(
            FaxImage::open(&path).unwrap_err().document_reason(),
            Some(DocumentReason::Unsuitable)
        );
    }

    #[test]
    fn a_file_that_is_cut_is_damaged_and_its_name_does_not_show() {
        let whole = tiff(&[(40, Resolution::Fine)]);
        let (_directory, path) = written(&whole[..whole.len() - 20]);
        let error = FaxImage::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Document);
        assert!(!format!("{error} {error:?}").contains("fax.tif"));
    }
}
