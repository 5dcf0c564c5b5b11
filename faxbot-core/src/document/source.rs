//! A document before it is converted.

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use url::Url;

use crate::redact::MASK;

/// A document in whatever format people have; recognised by its content, never by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(DocumentSource);

/// Where a document is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentSource {
    /// A file.
    Path(PathBuf),
    /// In memory.
    Bytes(Bytes),
    /// Somewhere to be fetched from. Converters of this SDK that have no HTTP client refuse it.
    Url(Url),
}

impl Document {
    /// A file. It is read when the document is converted.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(DocumentSource::Path(path.into()))
    }

    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self(DocumentSource::Bytes(bytes.into()))
    }

    /// Something to fetch.
    pub fn url(url: Url) -> Self {
        Self(DocumentSource::Url(url))
    }

    /// Where it is.
    pub fn source(&self) -> &DocumentSource {
        &self.0
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for DocumentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(_) => write!(f, "Path({MASK})"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Url(_) => write!(f, "Url({MASK})"),
        }
    }
}
