//! The contract of a converter from documents to fax pages.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    document::{Document, FaxImage, Resolution},
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

/// How a document becomes fax pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// Lines per inch; fine (196) by default.
    pub resolution: Resolution,
    /// Columns; 1728 by default.
    pub width: FaxWidth,
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
}
