//! The converter.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    DocumentReason, Error, Result, Timestamp,
    clock::{SharedClock, TokioClock},
    document::{
        ConvertOptions, Document, DocumentConverter, DocumentLimits, FaxImage, PageHeader,
        USUAL_BIT_RATE,
    },
    task,
};

use super::{
    header,
    output::{FaxFile, check_pages},
    part::{Job, Opener, Part},
    worker::{Stop, Threads, Workers},
    zone::Zone,
};

/// The public operation that errors name.
pub(super) const OPERATION: &str = "to_fax";

/// What reads PDF. Runs on threads of its own and cannot be stopped from outside.
pub(super) trait Renderer: Send + Sync + fmt::Debug {
    /// Opens a PDF and counts its pages.
    fn open(&self, pdf: Vec<u8>, options: &ConvertOptions) -> Result<Box<dyn Part>>;
}

/// Turns PDF (feature `render`), pictures, text and fax TIFF into fax pages, on threads of its own.
///
/// Clones share threads and limits: use one converter a process. As many documents are converted
/// at a time as there are cores; the others wait, and their wait counts against their time limit.
///
/// # PDF
/// - Pages keep their size. One that is wider than the paper (215 mm for 1728 columns, ITU-T T.4
///   §2.1) is scaled down; a narrower one stands in the middle. A landscape page that does not
///   fit across the paper is turned anticlockwise, as printers do (RFC 8011 §5.2.10).
/// - A4 has 1143, 2286 or 4573 rows: 3.85, 7.7 or 15.4 lines per millimetre.
/// - The crop box, `/Rotate`, `/UserUnit` and annotations with an appearance (form fields) count.
/// - A pixel of which more than a quarter is covered is painted, so that hairlines stay; a colour
///   darker than about 63 % white is black.
/// - A file that is cut off, that has fewer pages than it announces, or an image or a font that
///   cannot be read is `Document(Damaged)`, because the fax would lack something unnoticed.
/// - A font that is not embedded is drawn in one of the 14 standard fonts (ISO 32000-1 §9.6.2.2),
///   which are bundled. Chinese, Japanese and Korean fonts that are not embedded, and XFA forms
///   without pages, are `Document(Unsuitable)`.
/// - `Document(TooLarge)`, beside [`DocumentLimits`]: more than 256 MiB of contents and fonts when
///   unpacked, 2 GiB with images; a part that is packed twice; an image of more than 128 million
///   pixels; a page of more than 65,535 rows, or one that would take more than about 256 MiB to
///   draw, because it has millions of lines or draws something again and again.
///
/// # Fax TIFF
/// - A document of its own that is as wide as [`ConvertOptions::width`] and in one fax resolution
///   keeps its pixels and that resolution, unless [`ConvertOptions::fax_tiff`] says otherwise.
///   Among other documents a page keeps its pixels when it has the width and resolution of the fax.
/// - Otherwise it is scaled: rows are repeated, or merged two or four into one. A merged pixel is
///   black when a quarter of it is, so that hairlines stay. A page of a wider fax is scaled to the
///   width, and never turned.
/// - A page that is damaged is `Document(Damaged)`: nothing is sent that lacks rows.
///
/// # Pictures
/// - PNG, JPEG (baseline and progressive, grey, colour, CMYK), and any other TIFF (1 to 8 and 16
///   bits; grey, colour, palette, CMYK; strips or tiles; uncompressed, LZW, Deflate, PackBits,
///   JPEG), each upright by its `Orientation` or Exif. What is transparent is white.
/// - One that states its size (50 to 1,200 pixels per inch) and fits across the paper keeps it,
///   however long it is. Any other is scaled down to the sheet, turned like a page of PDF if it is
///   too wide; more than three times as high as wide, it is scaled to the width alone. Without a
///   stated size it has 72 pixels per inch. Nothing is made larger.
/// - At most 100 million pixels, 65,535 along a side; a page of at most 32,768 rows.
///
/// # Files
/// A fax is a file `faxbot-*.tif` that only its owner may read (mode 0600). The last clone of its
/// [`FaxImage`] removes it. The files of a process that was killed stay: give the converter a
/// directory of its own by [`with_directory`](Self::with_directory), and empty it when the process
/// starts.
///
/// # Time
/// A renderer cannot be killed. At the limit the caller gets `Document(Timeout)`, the thread is
/// left to itself, and it is counted until it ends. While two such threads run, conversions
/// answer `Overloaded`. A panic of the renderer is `Document(Damaged)`; a process that is built
/// with `panic = "abort"` would end instead.
#[derive(Debug, Clone)]
pub struct RenderConverter {
    directory: PathBuf,
    workers: Arc<Workers>,
    renderer: Arc<dyn Renderer>,
    zone: Zone,
}

impl RenderConverter {
    /// A converter that writes into the system's directory for temporary files.
    pub fn new() -> Self {
        #[cfg(feature = "render")]
        let renderer = Arc::new(super::pdf::HayroRenderer);
        #[cfg(not(feature = "render"))]
        let renderer = Arc::new(NoRenderer);
        Self::with_renderer(renderer)
    }

    fn with_renderer(renderer: Arc<dyn Renderer>) -> Self {
        Self {
            directory: std::env::temp_dir(),
            workers: Arc::new(Workers::new(TokioClock::shared())),
            renderer,
            zone: Zone::default(),
        }
    }

    /// Sets where the fax files are written. The directory has to exist.
    #[must_use]
    pub fn with_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Sets the clock of the time limit. Threads and their count start anew.
    ///
    /// The default clock follows a paused test runtime, which jumps to the limit as soon as
    /// nothing but a conversion is waited for: give another clock there.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.workers = Arc::new(Workers::new(clock));
        self
    }

    /// Sets the time zone of header lines and cover pages by its IANA name (`Europe/Berlin`). By
    /// default it is that of the system; UTC where that is not known.
    ///
    /// # Errors
    /// `Config` when there is no zone of that name.
    pub fn with_time_zone(mut self, name: &str) -> Result<Self> {
        self.zone = Zone::named(name)?;
        Ok(self)
    }

    /// Conversions that were given up and still run.
    pub fn abandoned(&self) -> usize {
        self.workers.abandoned()
    }
}

impl Default for RenderConverter {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl DocumentConverter for RenderConverter {
    async fn to_fax(&self, document: Document, options: ConvertOptions) -> Result<FaxImage> {
        let this = self.clone();
        let at = self.workers.timestamp();
        let begun = self.workers.now();
        let result = self
            .workers
            .run(options.limits.time, move |stop, threads| {
                this.convert(&document, options, at, stop, threads)
            })
            .await;
        report(&result, self.workers.now().duration_since(begun));
        result
    }

    fn draws_headers(&self) -> bool {
        true
    }

    /// A header line is 4 mm of white with text, added above the page: 16 rows at 98 lines per
    /// inch, 32 at 196, 64 at 391. Names that are too long are shortened; characters that the
    /// bundled font lacks are `?`.
    async fn copy_pages(
        &self,
        image: &FaxImage,
        pages: Range<u32>,
        header: Option<PageHeader>,
    ) -> Result<FaxImage> {
        header::check_range(image, &pages)?;
        let image = image.clone();
        let directory = self.directory.clone();
        let Some(header) = header else {
            let copy = move || image.copy_pages(pages, directory);
            return task::blocking(header::OPERATION, copy).await?;
        };
        let zone = self.zone.clone();
        let limit = DocumentLimits::default().time;
        self.workers
            .run(limit, move |stop, _| {
                header::copy_with_header(&image, pages, &header, &zone, &directory, stop)
            })
            .await
            .map_err(|error| error.with_operation(header::OPERATION))
    }
}

impl RenderConverter {
    fn convert(
        &self,
        document: &Document,
        mut options: ConvertOptions,
        at: Timestamp,
        stop: &Stop,
        threads: &Threads,
    ) -> Result<FaxImage> {
        let parts = Opener {
            options: &options,
            renderer: &*self.renderer,
            stop,
        }
        .open(document)?;
        let total = parts
            .iter()
            .fold(0, |sum: u32, part| sum.saturating_add(part.pages()));
        check_pages(usize::try_from(total).unwrap_or(usize::MAX), &options)?;
        if let [part] = parts.as_slice()
            && let Some(own) = part.own_resolution()
        {
            options.resolution = own;
        }
        let job = Job {
            options,
            total,
            at,
            zone: &self.zone,
            stop,
            threads,
        };
        let mut out = FaxFile::create(&self.directory, &options, stop)?;
        for part in parts {
            part.draw(&job, &mut out)?;
        }
        if out.page_count() != total {
            return Err(Error::document(
                OPERATION,
                DocumentReason::Damaged,
                "the document has other pages than it announced",
            ));
        }
        out.finish()
    }
}

/// Tells the log what a conversion gave, without a name or a text of the document.
fn report(result: &Result<FaxImage>, took: Duration) {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let image = match result {
        Ok(image) => image,
        Err(error) => {
            let (kind, reason) = (error.kind(), error.document_reason());
            tracing::debug!(?kind, ?reason, milliseconds, "document not converted");
            return;
        }
    };
    let (pages, bytes) = (image.pages(), image.bytes());
    tracing::debug!(pages, bytes, milliseconds, "document converted");
    let time = image.transmission_time(USUAL_BIT_RATE);
    let slow = time.slow_pages();
    if let Some(first) = slow.first() {
        tracing::warn!(
            pages = slow.len(),
            first,
            seconds = time.total.as_secs(),
            "pages of a fax take more than two minutes each on the line; photos do, and a lower \
             resolution or Halftone::Threshold helps"
        );
    }
}

#[cfg(not(feature = "render"))]
#[derive(Debug)]
struct NoRenderer;

#[cfg(not(feature = "render"))]
impl Renderer for NoRenderer {
    fn open(&self, _pdf: Vec<u8>, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
        Err(Error::new(
            faxbot_core::ErrorKind::Unsupported,
            OPERATION,
            "pdf needs the feature `render` of faxbot-providers",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Mutex, mpsc},
        time::Duration,
    };

    use faxbot_core::{DocumentReason, ErrorKind};

    use super::*;

    /// Draws one row of a page, then does as its script says.
    #[derive(Debug)]
    struct Scripted(Arc<Script>);

    struct ScriptedPart(Arc<Script>);

    #[derive(Debug)]
    enum Script {
        /// Says that it has begun, then waits for the other end to be dropped.
        Block(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>),
        Panic,
        Short,
        Nothing,
    }

    impl Renderer for Scripted {
        fn open(&self, _pdf: Vec<u8>, _options: &ConvertOptions) -> Result<Box<dyn Part>> {
            Ok(Box::new(ScriptedPart(self.0.clone())))
        }
    }

    impl Part for ScriptedPart {
        fn pages(&self) -> u32 {
            1
        }

        fn draw(self: Box<Self>, _job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
            if matches!(*self.0, Script::Nothing) {
                return Ok(());
            }
            out.page(2, |rows| {
                rows.row(&[0; 216])?;
                match &*self.0 {
                    Script::Block(begun, held) => {
                        let _ = begun.send(());
                        let _ = held.lock().unwrap().recv();
                        rows.row(&[0; 216])
                    }
                    Script::Panic => panic!("in a test"),
                    Script::Short | Script::Nothing => Ok(()),
                }
            })
        }
    }

    fn converter(script: Script) -> (tempfile::TempDir, RenderConverter) {
        let directory = tempfile::tempdir().unwrap();
        let converter = RenderConverter::with_renderer(Arc::new(Scripted(Arc::new(script))))
            .with_directory(directory.path());
        (directory, converter)
    }

    fn pdf() -> Document {
        Document::bytes(&b"%PDF-1.4"[..])
    }

    fn files(directory: &tempfile::TempDir) -> usize {
        fs::read_dir(directory.path()).unwrap().count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_renderer_that_hangs_is_given_up_and_two_of_them_overload() {
        let (hold, held) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let begun = Arc::new(Mutex::new(begun));
        let (directory, converter) = converter(Script::Block(begin, Mutex::new(held)));
        let mut limits = DocumentLimits::default();
        limits.time = Duration::from_secs(3);
        let options = ConvertOptions::default().with_limits(limits);
        let started = tokio::time::Instant::now();
        for count in 1..=2 {
            // The paused clock stands still as long as a blocking task runs: the time limit does
            // not come before the renderer hangs.
            let begun = begun.clone();
            let begun = tokio::task::spawn_blocking(move || begun.lock().unwrap().recv());
            let (result, begun) = tokio::join!(converter.to_fax(pdf(), options), begun);
            begun.unwrap().unwrap();
            let error = result.unwrap_err();
            assert_eq!(error.document_reason(), Some(DocumentReason::Timeout));
            assert_eq!(converter.abandoned(), count);
        }
        assert!(started.elapsed() <= Duration::from_secs(7));
        let error = converter.to_fax(pdf(), options).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::Overloaded, true)
        );

        drop(hold);
        while converter.abandoned() > 0 {
            tokio::task::yield_now().await;
        }
        assert_ne!(
            converter.to_fax(pdf(), options).await.unwrap_err().kind(),
            ErrorKind::Overloaded
        );
        while files(&directory) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_renderer_that_panics_leaves_an_error_and_no_file() {
        let (directory, converter) = converter(Script::Panic);
        let error = converter
            .to_fax(pdf(), ConvertOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
        assert_eq!(files(&directory), 0);
    }

    #[tokio::test]
    async fn missing_rows_or_pages_are_never_a_result() {
        for script in [Script::Short, Script::Nothing] {
            let (directory, converter) = converter(script);
            let error = converter
                .to_fax(pdf(), ConvertOptions::default())
                .await
                .unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::Internal | ErrorKind::Document
            ));
            assert_eq!(files(&directory), 0);
        }
    }
}
