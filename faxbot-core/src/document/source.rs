//! A document before it is converted.

use std::{fmt, path::PathBuf};

use bytes::Bytes;
use url::Url;

use crate::{document::CoverPage, redact::MASK};

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
    /// Text from a template; see [`Document::combined`] for how it joins other documents.
    Cover(CoverPage),
    /// Several documents as one fax, in this order. None of them is `Combined` again.
    Combined(Vec<Document>),
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

    /// A cover page.
    pub fn cover(cover: CoverPage) -> Self {
        Self(DocumentSource::Cover(cover))
    }

    /// Several documents as one fax: each begins on a page of its own. Limits are for all of them
    /// together.
    pub fn combined(parts: impl IntoIterator<Item = Self>) -> Self {
        let parts = parts.into_iter().flat_map(|part| match part.0 {
            DocumentSource::Combined(parts) => parts,
            source => vec![Self(source)],
        });
        Self(DocumentSource::Combined(parts.collect()))
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
            Self::Cover(cover) => fmt::Debug::fmt(cover, f),
            Self::Combined(parts) => f.debug_tuple("Combined").field(parts).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combined_documents_are_one_list() {
        let [a, b, c] = ["a", "b", "c"].map(|text| Document::bytes(text.as_bytes()));
        let inner = Document::combined([b.clone(), c.clone()]);
        let all = Document::combined([a.clone(), inner]);
        assert_eq!(all.source(), &DocumentSource::Combined(vec![a, b, c]));
    }
}
