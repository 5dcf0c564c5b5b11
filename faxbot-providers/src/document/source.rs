//! What a document is, by its bytes.

use std::{
    fs::File,
    io::{self, BufReader, Cursor, Read, Seek},
};

use bytes::Bytes;
use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{Document, DocumentSource},
};

use super::{convert::OPERATION, output::too_large};

/// The header of a PDF may stand anywhere in its first 1,024 bytes (ISO 32000-1 §7.5.2 with
/// implementation note 13 of PDF Reference 1.7, appendix H).
const PDF_HEADER_WITHIN: usize = 1024;

/// The formats that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Pdf,
    Tiff,
    Png,
    Jpeg,
    Text,
}

/// A document opened for reading. It has as many bytes as were allowed, whatever is added to the
/// file meanwhile.
#[derive(Debug)]
pub(super) struct Input {
    source: Source,
    len: u64,
}

#[derive(Debug)]
enum Source {
    File(BufReader<File>),
    Memory(Cursor<Bytes>),
}

impl Input {
    /// Opens what `document` names, which may have at most `limit` bytes.
    pub(super) fn open(document: &Document, limit: u64) -> Result<Self> {
        let (source, len) = match document.source() {
            DocumentSource::Path(path) => {
                let file = File::open(path).map_err(read_failed)?;
                let facts = file.metadata().map_err(read_failed)?;
                if !facts.is_file() {
                    return Err(read_failed(io::Error::from(io::ErrorKind::InvalidInput)));
                }
                (Source::File(BufReader::new(file)), facts.len())
            }
            DocumentSource::Bytes(bytes) => (
                Source::Memory(Cursor::new(bytes.clone())),
                u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            ),
            _ => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    OPERATION,
                    "this converter fetches nothing: pass a path or bytes",
                ));
            }
        };
        if len == 0 {
            return Err(Error::document(
                OPERATION,
                DocumentReason::Empty,
                "the document is an empty file",
            ));
        }
        if len > limit {
            return Err(too_large(format!(
                "the document has {len} bytes, the limit is {limit}"
            )));
        }
        Ok(Self { source, len })
    }

    /// Bytes of the document.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Recognises the format and goes back to the start.
    pub(super) fn format(&mut self) -> Result<Format> {
        let mut head = Vec::with_capacity(PDF_HEADER_WITHIN);
        self.by_ref()
            .take(PDF_HEADER_WITHIN as u64)
            .read_to_end(&mut head)
            .map_err(read_failed)?;
        self.rewind().map_err(read_failed)?;
        if head.starts_with(b"II*\0") || head.starts_with(b"MM\0*") {
            return Ok(Format::Tiff);
        }
        if head.windows(5).any(|bytes| bytes == b"%PDF-") {
            return Ok(Format::Pdf);
        }
        Err(unknown_format())
    }

    /// The whole document in memory.
    pub(super) fn into_vec(mut self) -> Result<Vec<u8>> {
        let len = self.len;
        let mut all = Vec::new();
        // A file may have grown since its length was checked.
        self.by_ref()
            .take(len)
            .read_to_end(&mut all)
            .map_err(read_failed)?;
        Ok(all)
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::File(file) => file.read(buffer),
            Source::Memory(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Input {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        match &mut self.source {
            Source::File(file) => file.seek(to),
            Source::Memory(bytes) => bytes.seek(to),
        }
    }
}

pub(super) fn unknown_format() -> Error {
    Error::document(
        OPERATION,
        DocumentReason::UnknownFormat,
        "neither pdf nor fax tiff: these two are accepted",
    )
}

pub(super) fn read_failed(source: io::Error) -> Error {
    Error::new(ErrorKind::Io, OPERATION, "the document cannot be read")
        .with_effect(Effect::NoEffect)
        .with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(bytes: &'static [u8]) -> Result<Format> {
        Input::open(&Document::bytes(bytes), 1000)?.format()
    }

    #[test]
    fn the_content_decides_what_a_document_is() {
        assert_eq!(format(b"%PDF-1.4\n").unwrap(), Format::Pdf);
        assert_eq!(
            format(b"\n\x00junk in front %PDF-1.7").unwrap(),
            Format::Pdf
        );
        assert_eq!(format(b"II*\0rest").unwrap(), Format::Tiff);
        assert_eq!(format(b"MM\0*rest").unwrap(), Format::Tiff);
        for (bytes, reason) in [
            (&b""[..], DocumentReason::Empty),
            (b"PK\x03\x04", DocumentReason::UnknownFormat),
            (b"plain text", DocumentReason::UnknownFormat),
            (b"II+\0", DocumentReason::UnknownFormat),
            (b"%PD", DocumentReason::UnknownFormat),
        ] {
            assert_eq!(
                format(bytes).unwrap_err().document_reason(),
                Some(reason),
                "{bytes:?}"
            );
        }
    }
}
