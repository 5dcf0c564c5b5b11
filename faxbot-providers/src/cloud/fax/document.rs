//! The document: what it is, how many pages it has, and in which form it is uploaded.

use std::{
    fs::{self, File},
    future::Future,
    hash::{DefaultHasher, Hasher},
    io::{Cursor, Read},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    clock::SharedClock,
    document::{
        ConvertOptions, Document, DocumentConverter, DocumentSource, FaxImage, Resolution,
        tiff::{TiffError, TiffReader},
    },
    task::blocking,
};
use url::Url;

use super::{FaxLimits, FaxSettings, Upload, UploadFormat, UploadMode};
use crate::jobs::{check_document, expired};

/// Where the mark of a PDF is looked for (PDF 32000-1, annex H, implementation note 13).
const PDF_MARK_WITHIN: usize = 1024;
/// How far a conversion, and a reading, may overrun its time: converters that keep to it end by themselves.
const CONVERT_OVERRUN: Duration = Duration::from_secs(30);

/// What is known of a document from an earlier try, so that a provider that takes nothing does not
/// have it converted again and again.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// Of the bytes that this was read from.
    mark: Option<u64>,
    pages: Option<u32>,
    /// The pages on disk, where they are what is uploaded.
    image: Option<FaxImage>,
}

impl Kept {
    pub(super) fn pages(&self) -> Option<u32> {
        self.pages
    }
}

/// What a document is prepared with.
pub(super) struct Preparation<'a> {
    pub(super) converter: Option<&'a dyn DocumentConverter>,
    pub(super) settings: &'a FaxSettings,
    pub(super) limits: FaxLimits,
    pub(super) clock: &'a SharedClock,
    /// What the caller chose.
    pub(super) resolution: Option<Resolution>,
}

/// The format of a document by its first bytes, never by its name.
pub(super) fn sniff(bytes: &[u8]) -> Option<UploadFormat> {
    let head = bytes.get(..PDF_MARK_WITHIN).unwrap_or(bytes);
    if head.windows(5).any(|window| window == b"%PDF-") {
        Some(UploadFormat::Pdf)
    } else if head.starts_with(b"II\x2a\0") || head.starts_with(b"MM\0\x2a") {
        Some(UploadFormat::Tiff)
    } else {
        None
    }
}

impl Preparation<'_> {
    /// What can be told before the document is taken: nothing is read and nothing is converted.
    pub(super) fn check(&self, document: &Document) -> Result<()> {
        check_document(document, self.settings.limits.bytes)?;
        match document.source() {
            DocumentSource::Url(url) => self.check_url(url),
            DocumentSource::Path(_) => Ok(()),
            DocumentSource::Bytes(bytes) => match (sniff(bytes), self.converter) {
                (None, None) => Err(no_converter()),
                (Some(_), None) => self.check_bytes(bytes),
                (Some(UploadFormat::Pdf), Some(_)) if self.keeps_pdf() => self.check_bytes(bytes),
                _ => Ok(()),
            },
            _ if self.converter.is_none() => Err(no_converter()),
            _ => Ok(()),
        }
    }

    fn check_url(&self, url: &Url) -> Result<()> {
        let refused = |message| Err(Error::new(ErrorKind::InvalidRequest, "send_fax", message));
        if !self.limits.urls {
            refused("document: this provider fetches none by url")
        } else if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            refused("document: expected an http or https url")
        } else if !url.username().is_empty() || url.password().is_some() {
            refused("document: a url with a user or a password is not given to a provider")
        } else {
            Ok(())
        }
    }

    /// The form in which the document is uploaded, and what is worth keeping of it. Holds the whole
    /// document in memory.
    pub(super) async fn prepare(&self, document: Document, kept: Kept) -> Result<(Upload, Kept)> {
        let bytes = match document.source() {
            DocumentSource::Url(url) => return Ok((Upload::Url(url.clone()), kept)),
            DocumentSource::Bytes(bytes) => bytes.clone(),
            DocumentSource::Path(path) => {
                let reading = read(path.clone(), self.settings.limits.bytes);
                self.in_time(reading).await?
            }
            _ => return self.pages(document, Kept::default(), kept.image).await,
        };
        if bytes.is_empty() {
            return Err(refused(DocumentReason::Empty, "the document is empty"));
        }
        let hashed = bytes.clone();
        let mark = Some(blocking("send_fax", move || mark(&hashed)).await?);
        let known = if kept.mark == mark {
            kept
        } else {
            Kept::default()
        };
        let new = Kept {
            mark,
            ..Kept::default()
        };
        match (sniff(&bytes), self.converter) {
            (None, None) => Err(no_converter()),
            (Some(UploadFormat::Pdf), None) => self.original(UploadFormat::Pdf, bytes, new),
            (Some(UploadFormat::Tiff), None) => {
                let source = bytes.clone();
                let pages = blocking("send_fax", move || count(source)).await??;
                let new = Kept {
                    pages: Some(pages),
                    ..new
                };
                self.original(UploadFormat::Tiff, bytes, new)
            }
            (Some(UploadFormat::Pdf), Some(converter)) if self.keeps_pdf() => {
                let pages = match known.pages {
                    Some(pages) => pages,
                    // The pages are counted and the document is found whole; they are not sent.
                    None => self
                        .convert(converter, Document::bytes(bytes.clone()))
                        .await?
                        .pages(),
                };
                let new = Kept {
                    pages: Some(pages),
                    ..new
                };
                self.original(UploadFormat::Pdf, bytes, new)
            }
            (_, Some(_)) => self.pages(Document::bytes(bytes), new, known.image).await,
        }
    }

    fn keeps_pdf(&self) -> bool {
        self.settings.upload == UploadMode::Original
    }

    fn original(&self, format: UploadFormat, bytes: Bytes, kept: Kept) -> Result<(Upload, Kept)> {
        self.check_bytes(&bytes)?;
        self.check_pages(kept.pages)?;
        let pages = kept.pages;
        Ok((
            Upload::File {
                format,
                bytes,
                pages,
            },
            kept,
        ))
    }

    /// The fax pages that a converter makes of it, or made of it before.
    async fn pages(
        &self,
        document: Document,
        kept: Kept,
        known: Option<FaxImage>,
    ) -> Result<(Upload, Kept)> {
        let image = match (known, self.converter) {
            (Some(image), _) => image,
            (None, Some(converter)) => self.convert(converter, document).await?,
            (None, None) => return Err(no_converter()),
        };
        let reading = read(image.path().to_owned(), self.limits.bytes);
        let bytes = self.in_time(reading).await?;
        let kept = Kept {
            pages: Some(image.pages()),
            image: Some(image),
            ..kept
        };
        self.original(UploadFormat::Tiff, bytes, kept)
    }

    async fn convert(
        &self,
        converter: &dyn DocumentConverter,
        document: Document,
    ) -> Result<FaxImage> {
        let limits = self.settings.limits.with_pages(self.max_pages());
        let options = ConvertOptions::default()
            .with_resolution(self.resolution.unwrap_or(self.settings.resolution))
            .with_limits(limits);
        let image = self.in_time(converter.to_fax(document, options)).await?;
        // A converter of somebody else's may have limits of its own.
        self.check_pages(Some(image.pages()))?;
        Ok(image)
    }

    /// A converter, or a network drive, that never ends would keep its place from the other jobs.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.settings.limits.time.saturating_add(CONVERT_OVERRUN);
        let until = self.clock.now().checked_add(limit);
        tokio::select! {
            biased;
            done = work => done,
            () = expired(self.clock, until) => Err(refused(
                DocumentReason::Timeout,
                "the document was not read and converted in time",
            )),
        }
    }

    fn max_pages(&self) -> u32 {
        let own = self.settings.limits.pages;
        self.limits.pages.map_or(own, |vendors| vendors.min(own))
    }

    fn check_pages(&self, pages: Option<u32>) -> Result<()> {
        match pages {
            Some(0) => Err(refused(DocumentReason::Empty, "the document has no page")),
            Some(pages) if pages > self.max_pages() => Err(refused(
                DocumentReason::TooLarge,
                "the document has more pages than the provider or max_pages allows",
            )),
            _ => Ok(()),
        }
    }

    fn check_bytes(&self, bytes: &Bytes) -> Result<()> {
        let limit = self.limits.bytes.min(self.settings.limits.bytes);
        if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
            Ok(())
        } else {
            Err(above_the_limit())
        }
    }
}

/// Whether what the vendor calls the pages of a received fax are such.
pub(super) fn is_sound(content_type: &str, bytes: &[u8]) -> bool {
    let claimed = content_type.to_ascii_lowercase();
    match sniff(bytes) {
        Some(UploadFormat::Pdf) => !claimed.starts_with("image/tif"),
        Some(UploadFormat::Tiff) => !claimed.starts_with("application/pdf"),
        None => {
            let known = ["application/pdf", "image/tif"];
            !bytes.is_empty() && !known.iter().any(|known| claimed.starts_with(known))
        }
    }
}

/// The pages of a TIFF, each of which can be read.
fn count(bytes: Bytes) -> Result<u32> {
    let damaged = |error: TiffError| {
        let (reason, message) = match error {
            TiffError::NotTiff | TiffError::BigTiff => (
                DocumentReason::UnknownFormat,
                "the document is no classic tiff",
            ),
            TiffError::NoPage { pages: 0, .. } => {
                (DocumentReason::Empty, "the document has no page")
            }
            TiffError::Limit { .. } => (DocumentReason::TooLarge, "the tiff is above the limits"),
            _ => (DocumentReason::Damaged, "the tiff is damaged"),
        };
        refused(reason, message).with_source(error)
    };
    let mut reader = TiffReader::open(Cursor::new(bytes)).map_err(damaged)?;
    for page in reader.pages() {
        page.map_err(damaged)?;
    }
    Ok(reader.page_count())
}

/// A file, of which no more than `limit` bytes are read.
async fn read(path: PathBuf, limit: u64) -> Result<Bytes> {
    let unreadable = |source| {
        Error::new(ErrorKind::Io, "send_fax", "the document cannot be read")
            .with_effect(Effect::NoEffect)
            .with_source(source)
    };
    blocking("send_fax", move || {
        // To open a pipe waits for somebody who writes.
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(refused(
                DocumentReason::UnknownFormat,
                "the document is no file",
            ));
        }
        if metadata.len() > limit {
            return Err(above_the_limit());
        }
        let mut file = File::open(&path)
            .map_err(unreadable)?
            .take(limit.saturating_add(1));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
            Ok(Bytes::from(bytes))
        } else {
            Err(above_the_limit())
        }
    })
    .await?
}

/// Tells a document that was saved anew; no proof against somebody who makes two with the same one.
fn mark(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn no_converter() -> Error {
    refused(
        DocumentReason::UnknownFormat,
        "without a document converter only a pdf or a tiff can be sent",
    )
}

fn above_the_limit() -> Error {
    refused(
        DocumentReason::TooLarge,
        "the document has more bytes than the provider or max_bytes allows",
    )
}

fn refused(reason: DocumentReason, message: &str) -> Error {
    Error::document("send_fax", reason, message)
}
