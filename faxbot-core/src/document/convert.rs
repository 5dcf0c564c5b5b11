//! The contract of a converter from documents to fax pages.

use std::{fmt, ops::Range, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Effect, Error, ErrorKind, Result,
    document::{Document, FaxCoding, FaxImage, PageHeader, Resolution},
    task,
};

/// Columns of a fax page at 204 per inch (ITU-T T.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaxWidth {
    /// A4 and Letter: 1728.
    #[default]
    A4,
    /// B4: 2048.
    B4,
    /// A3: 2432.
    A3,
}

impl FaxWidth {
    /// Pixels in a row.
    pub fn pixels(self) -> u32 {
        match self {
            Self::A4 => 1728,
            Self::B4 => 2048,
            Self::A3 => 2432,
        }
    }

    /// Millimetres that a row covers (ITU-T T.4 §2.1): 215, 255 or 303.
    pub const fn millimetres(self) -> f64 {
        match self {
            Self::A4 => 215.0,
            Self::B4 => 255.0,
            Self::A3 => 303.0,
        }
    }

    /// The width that has this many pixels.
    pub fn from_pixels(pixels: u32) -> Option<Self> {
        [Self::A4, Self::B4, Self::A3]
            .into_iter()
            .find(|width| width.pixels() == pixels)
    }
}

/// What a conversion may cost. Whatever is above a limit is refused, never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DocumentLimits {
    /// Pages; 500 by default.
    pub pages: u32,
    /// Pixels of one page of the result; 40 million by default (A3 at 391 lines per inch is 16).
    pub pixels: u64,
    /// Bytes of the document; 100 MiB by default.
    pub bytes: u64,
    /// Time for the whole conversion; 120 s by default.
    pub time: Duration,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            pages: 500,
            pixels: 40_000_000,
            bytes: 100 << 20,
            time: Duration::from_secs(120),
        }
    }
}

impl DocumentLimits {
    /// Sets the greatest number of pages.
    #[must_use]
    pub fn with_pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// Sets the greatest number of pixels of a page of the result.
    #[must_use]
    pub fn with_pixels(mut self, pixels: u64) -> Self {
        self.pixels = pixels;
        self
    }

    /// Sets the greatest size of the document, in bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the time for the whole conversion.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }
}

/// How grey and colour become black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Halftone {
    /// Threshold where the page has text and lines, clustered dots where it has real grey: chosen
    /// for each block of 8 by 8 pixels.
    #[default]
    Auto,
    /// Darker than the threshold is black. The smallest, and the fastest to send; photos lose
    /// what they show.
    Threshold,
    /// Clustered dots everywhere. A photo takes about 12 times the time of its threshold.
    ClusteredDot,
    /// Error diffusion by Floyd and Steinberg everywhere. The finest picture; a photo takes about
    /// 40 times the time of its threshold, minutes a page.
    FloydSteinberg,
}

/// What becomes of a TIFF that is a fax already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaxTiff {
    /// A document of its own that has the width asked for and one fax resolution keeps its pixels
    /// and that resolution, whatever [`ConvertOptions::resolution`] says.
    #[default]
    Keep,
    /// It is scaled to the width and resolution asked for, as every picture is.
    Scale,
}

/// How a document becomes fax pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// Lines per inch; fine (196) by default.
    pub resolution: Resolution,
    /// Columns; 1728 by default.
    pub width: FaxWidth,
    /// How the pages are coded; T.6 by default, which every SIP server takes. Some cloud services
    /// insist on MH.
    pub coding: FaxCoding,
    /// How grey becomes black and white.
    pub halftone: Halftone,
    /// What becomes of a TIFF that is a fax already.
    pub fax_tiff: FaxTiff,
    /// What it may cost.
    pub limits: DocumentLimits,
}

impl ConvertOptions {
    /// Sets the resolution.
    #[must_use]
    pub fn with_resolution(mut self, resolution: Resolution) -> Self {
        self.resolution = resolution;
        self
    }

    /// Sets the columns.
    #[must_use]
    pub fn with_width(mut self, width: FaxWidth) -> Self {
        self.width = width;
        self
    }

    /// Sets how the pages are coded.
    #[must_use]
    pub fn with_coding(mut self, coding: FaxCoding) -> Self {
        self.coding = coding;
        self
    }

    /// Sets how grey becomes black and white.
    #[must_use]
    pub fn with_halftone(mut self, halftone: Halftone) -> Self {
        self.halftone = halftone;
        self
    }

    /// Sets what becomes of a TIFF that is a fax already.
    #[must_use]
    pub fn with_fax_tiff(mut self, fax_tiff: FaxTiff) -> Self {
        self.fax_tiff = fax_tiff;
        self
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(mut self, limits: DocumentLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// Turns documents into fax pages.
///
/// # Contract
/// - The result is a fax TIFF whose width, page count and resolution were read back from the file.
/// - What cannot be converted is `ErrorKind::Document` with its reason: never an empty page, a
///   page of another document, or a success without a file.
/// - `Document(Timeout)` comes within the time limit. `Overloaded` means that work given up
///   earlier still runs; it passes.
/// - The work does not run on the async threads.
#[async_trait]
pub trait DocumentConverter: Send + Sync + fmt::Debug {
    /// Converts `document`.
    ///
    /// # Errors
    /// `Document` with its reason; `Io` when the file cannot be read or written; `Overloaded`.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the result; files that were begun are removed.
    async fn to_fax(&self, document: Document, options: ConvertOptions) -> Result<FaxImage>;

    /// Whether [`copy_pages`](Self::copy_pages) can draw a header line; `false` by default.
    fn draws_headers(&self) -> bool {
        false
    }

    /// Copies some pages of a fax (from 0, the end not included) into one of their own, with a
    /// header line above each where one is given. Pixels below the line are those of the original.
    /// Page numbers in the file are those of the original.
    ///
    /// The default copies without a header line.
    ///
    /// # Errors
    /// `InvalidRequest` for a range without pages or outside of the fax; `Unsupported` for a header
    /// line where none can be drawn; `Io`; `Document` when the file changed since.
    ///
    /// # Cancel safety
    /// As [`to_fax`](Self::to_fax).
    async fn copy_pages(
        &self,
        image: &FaxImage,
        pages: Range<u32>,
        header: Option<PageHeader>,
    ) -> Result<FaxImage> {
        if header.is_some() {
            let message = "this converter draws no header lines";
            return Err(Error::new(ErrorKind::Unsupported, "copy_pages", message)
                .with_effect(Effect::NoEffect));
        }
        let image = image.clone();
        task::blocking("copy_pages", move || {
            image.copy_pages(pages, std::env::temp_dir())
        })
        .await?
    }
}
