//! What a document is, by its bytes.

use std::{
    fs::{self, File},
    io::{self, BufReader, Cursor, Read, Seek},
};

use bytes::Bytes;
use faxbot_core::{
    DocumentReason, Effect, Error, ErrorKind, Result,
    document::{Document, DocumentSource},
};

use super::{convert::OPERATION, output::too_large};

mod recognise;

/// Bytes that are looked at for the marks of a format. The header of a PDF may stand anywhere in the
/// first 1,024 (ISO 32000-1 §7.5.2 with implementation note 13 of PDF Reference 1.7, appendix H).
const HEAD: usize = 1024;

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
                // Asked first: to open a pipe waits for somebody who writes.
                if !fs::metadata(path).map_err(read_failed)?.is_file() {
                    return Err(read_failed(io::Error::from(io::ErrorKind::InvalidInput)));
                }
                let file = File::open(path).map_err(read_failed)?;
                let facts = file.metadata().map_err(read_failed)?;
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

    /// Bytes in memory.
    pub(super) fn from_bytes(bytes: Bytes) -> Self {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self {
            source: Source::Memory(Cursor::new(bytes)),
            len,
        }
    }

    /// Recognises the format and goes back to the start.
    ///
    /// # Errors
    /// `Document(UnknownFormat)` with what to do instead.
    pub(super) fn format(&mut self) -> Result<Format> {
        let mut head = Vec::with_capacity(HEAD);
        self.by_ref()
            .take(HEAD as u64)
            .read_to_end(&mut head)
            .map_err(read_failed)?;
        self.rewind().map_err(read_failed)?;
        if let Some(format) = recognise::by_magic(&head)? {
            return Ok(format);
        }
        let len = self.len;
        let mut text = recognise::Text::default();
        let mut input = BufReader::new(self.by_ref().take(len));
        let verdict = text.read(&mut input).map_err(read_failed)?;
        self.rewind().map_err(read_failed)?;
        verdict.map(|()| Format::Text)
    }

    /// The whole document in memory, to be read by several.
    pub(super) fn into_shared(mut self) -> Result<Bytes> {
        self.rewind().map_err(read_failed)?;
        match self.source {
            Source::Memory(bytes) => Ok(bytes.into_inner()),
            Source::File(_) => self.into_vec().map(Bytes::from),
        }
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

pub(super) fn read_failed(source: io::Error) -> Error {
    Error::new(ErrorKind::Io, OPERATION, "the document cannot be read")
        .with_effect(Effect::NoEffect)
        .with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(bytes: &[u8]) -> Result<Format> {
        Input::open(&Document::bytes(bytes.to_vec()), 100_000)?.format()
    }

    #[test]
    fn the_content_decides_what_a_document_is() {
        for (bytes, wanted) in [
            (&b"%PDF-1.4\n"[..], Format::Pdf),
            (b"\n\x00junk in front %PDF-1.7", Format::Pdf),
            (b"II*\0rest", Format::Tiff),
            (b"MM\0*rest", Format::Tiff),
            (b"\x89PNG\r\n\x1a\n", Format::Png),
            (b"\xff\xd8\xff\xe0", Format::Jpeg),
            (b"plain text\r\n\x0cwith\ttwo pages", Format::Text),
            ("\u{feff}Gr\u{fc}\u{df}e".as_bytes(), Format::Text),
            (b"\xff\xfeh\0i\0\x3d\xd8\0\xde", Format::Text),
            (b"\xfe\xff\0h\0i", Format::Text),
            (b"BMW and other cars", Format::Text),
            (b"\xef\xbb\xbf%PDF-1.4\n", Format::Pdf),
            (b"HTTP/1.1 200 OK\r\n\r\n%PDF-1.4", Format::Pdf),
            (b"\x1b%-12345X@PJL JOB\n%PDF-1.4", Format::Pdf),
            (b"it begins with %PDF-1.4 as all do", Format::Text),
            (b"What is WEBP?", Format::Text),
            (b"The ftyp box", Format::Text),
            (b"Order 12\nReceived: 3 boxes\n", Format::Text),
            (b"{\"a\": 1}", Format::Text),
            (b"a;b;c\n1;2;3\n", Format::Text),
            (b"<Dear all,\nII* is new", Format::Text),
            (b"a < b, <br> and <html> later", Format::Text),
            (
                b"From: Ann\nTo: Bob\nSubject: tea\n\nAt four.",
                Format::Text,
            ),
        ] {
            assert_eq!(format(bytes).unwrap(), wanted, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_refused_says_what_it_is_and_what_to_do() {
        for (bytes, says) in [
            (&b"PK\x03\x04\x14\0"[..], "office"),
            (b"PK\x03\x04\x14\0a.pdf\n%PDF-1.4", "zip archive"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "old office"),
            (b"Received: from a by b\n\nx", "e-mail"),
            (b"GIF89a", "gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
            (b"\0\0\0\x18ftypheic", "heic"),
            (b"BM\x36\0\0\0\0\0\0\0\x36", "bmp"),
            (b"II+\0\x08\0", "bigtiff"),
            (b"%!PS-Adobe-3.0", "postscript"),
            (b"{\\rtf1 a}", "rich text"),
            (b" \n<!DOCTYPE HTML><p>", "html: print it to pdf"),
            (b"\xef\xbb\xbf<html>", "html"),
            (b"\xff\xfe<\0h\0t\0m\0l\0>\0", "html"),
            (b"<?xml version='1.0'?><svg/>", "xml"),
            (b"<svg width='1'/>", "svg"),
            (b"Subject: tea\nMIME-Version: 1.0\n\nx", "e-mail"),
            (b"gr\xfc\xdfe", "save it as utf-8"),
            (b"a\0b", "neither pdf"),
            (b"a\x1b[1mb", "neither pdf"),
            (b"cut in a character \xc3", "neither pdf"),
            (b"\xff\xfeh\0i", "neither pdf"),
            (b"\xff\xfe\x3d\xd8", "neither pdf"),
            (b"\xff\xfe\x3d\xd8h\0", "neither pdf"),
            (b"\xff\xfe\0\0", "neither pdf"),
        ] {
            let error = format(bytes).unwrap_err();
            assert_eq!(error.document_reason(), Some(DocumentReason::UnknownFormat));
            assert!(error.message().contains(says), "{bytes:?}: {error}");
        }
        let error = format(b"").unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Empty));
    }

    #[test]
    fn text_is_read_to_its_end_across_buffers() {
        // Characters of three and four bytes at every place of a buffer's end.
        for shift in 0..5 {
            let mut text = "x".repeat(shift) + &"\u{20ac}\u{1f600}".repeat(5000);
            assert_eq!(format(text.as_bytes()).unwrap(), Format::Text);
            let wide: Vec<u8> = std::iter::once(0xfeff)
                .chain(text.encode_utf16())
                .flat_map(u16::to_le_bytes)
                .collect();
            assert_eq!(format(&wide).unwrap(), Format::Text);
            text.push('\0');
            format(text.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn the_format_is_found_without_losing_the_document() {
        let mut input = Input::open(&Document::bytes(&b"some text"[..]), 100).unwrap();
        input.format().unwrap();
        assert_eq!(input.into_vec().unwrap(), b"some text");
    }
}
