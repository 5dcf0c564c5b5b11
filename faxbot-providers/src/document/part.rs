//! A document opened: what kind it is, and how many pages it has.

use faxbot_core::{
    Result, Timestamp,
    document::{ConvertOptions, Document, DocumentSource, Resolution},
};

use super::{
    convert::Renderer,
    output::{FaxFile, too_large},
    picture,
    source::{Format, Input},
    text,
    tiff::FaxTiffPart,
    worker::{Stop, Threads},
    zone::Zone,
};

/// A document that was opened and whose pages were counted; nothing is drawn yet.
pub(super) trait Part {
    /// Pages; at least 1.
    fn pages(&self) -> u32;

    /// The resolution that it has and keeps when it is the whole document.
    fn own_resolution(&self) -> Option<Resolution> {
        None
    }

    /// Draws every page. What it draws has `job.options.width` and `job.options.resolution`.
    fn draw(self: Box<Self>, job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()>;
}

/// What all parts of a conversion share.
pub(super) struct Job<'a> {
    /// As asked for; the resolution is the one that the fax gets.
    pub(super) options: ConvertOptions,
    /// Pages of the whole fax.
    pub(super) total: u32,
    /// When the conversion began.
    pub(super) at: Timestamp,
    /// Where that is shown.
    pub(super) zone: &'a Zone,
    /// Whether the result is still wanted.
    pub(super) stop: &'a Stop,
    /// Threads that may work beside this one.
    #[cfg_attr(
        not(feature = "render"),
        allow(dead_code, reason = "only PDF is drawn on several threads")
    )]
    pub(super) threads: &'a Threads,
}

/// What opening a document needs.
pub(super) struct Opener<'a> {
    pub(super) options: &'a ConvertOptions,
    pub(super) renderer: &'a dyn Renderer,
    pub(super) stop: &'a Stop,
}

impl Opener<'_> {
    /// Opens a document, or every one of several. `bytes_left` is what they may have together.
    pub(super) fn open(&self, document: &Document) -> Result<Vec<Box<dyn Part>>> {
        let mut bytes_left = self.options.limits.bytes;
        match document.source() {
            DocumentSource::Combined(parts) => parts
                .iter()
                .map(|part| self.open_one(part, &mut bytes_left))
                .collect(),
            _ => Ok(vec![self.open_one(document, &mut bytes_left)?]),
        }
    }

    fn open_one(&self, document: &Document, bytes_left: &mut u64) -> Result<Box<dyn Part>> {
        self.stop.check()?;
        if let DocumentSource::Cover(cover) = document.source() {
            // Before a copy of it is made.
            let bytes = text::cover_bytes(cover);
            *bytes_left = bytes_left.checked_sub(bytes).ok_or_else(|| {
                too_large(format!(
                    "the cover page has {bytes} bytes, the limit is {bytes_left}"
                ))
            })?;
            return text::open_cover(cover, self.options, self.stop);
        }
        let mut input = Input::open(document, *bytes_left)?;
        *bytes_left = bytes_left.saturating_sub(input.len());
        match input.format()? {
            Format::Pdf => self.renderer.open(input.into_vec()?, self.options),
            Format::Tiff => FaxTiffPart::open(input, self.options, self.stop),
            Format::Png => picture::open_png(input, self.options),
            Format::Jpeg => picture::open_jpeg(input, self.options),
            Format::Text => text::open(input.into_vec()?, self.options, self.stop),
        }
    }
}
