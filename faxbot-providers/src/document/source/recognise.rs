//! What the bytes of a document say that it is.

use std::io::{self, BufRead};

use faxbot_core::{DocumentReason, Error, Result};

use super::{Format, HEAD};
use crate::document::convert::OPERATION;

/// What to send instead of a format that only its own program shows as it should look.
const INSTEAD: &str = "save or print it as pdf, png, jpeg, tiff or plain text and send that";

/// Formats that people try to fax, by where a mark stands and what it is. A box of HEIF files names
/// its kind at byte 8.
const KNOWN: &[(usize, &[u8], &str)] = &[
    (0, b"PK\x03\x04", "an office document or a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (
        0,
        b"\xd0\xcf\x11\xe0",
        "an old office document (doc, xls, ppt)",
    ),
    (0, b"GIF8", "a gif picture"),
    (8, b"WEBP", "a webp picture"),
    (4, b"ftyp", "a heic or avif picture or a video"),
    (0, b"BM", "a bmp picture"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"\0\0\0\x0cjP  ", "a jpeg 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a jpeg 2000 picture"),
    (0, b"\x97JB2", "a jbig2 picture"),
    (0, b"8BPS", "a photoshop picture"),
    (0, b"AT&TFORM", "a djvu document"),
    (0, b"\xff\x0a", "a jpeg xl picture"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a rar archive"),
    (0, b"II+\0", "a bigtiff picture"),
    (0, b"MM\0+", "a bigtiff picture"),
    (0, b"\xc5\xd0\xd3\xc6", "an eps picture"),
    (0, b"%!PS", "postscript"),
    (0, b"\x04%!PS", "postscript"),
    (0, b"\x1b%-12345X", "a printer's file (pcl)"),
    (0, b"\x1bE\x1b", "a printer's file (pcl)"),
    (0, b"{\\rtf", "rich text"),
];

/// Files that hold others as they are.
const ARCHIVES: &[&[u8]] = &[b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"Rar!", b"7z\xbc\xaf"];

/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Beginnings, in lower case, of texts that are written for a program to lay out.
const MARKUP: &[(&str, &str)] = &[
    ("<!doctype html", "html"),
    ("<html", "html"),
    ("<head", "html"),
    ("<body", "html"),
    ("<div", "html"),
    ("<table", "html"),
    ("<script", "html"),
    ("<style", "html"),
    ("<meta", "html"),
    ("<!--", "html or xml"),
    ("<?xml", "xml"),
    ("<svg", "an svg picture"),
];

/// Lines in the head of an e-mail that nobody types (RFC 5322 §3.6, RFC 2045 §4).
const MAIL: &[&str] = &[
    "received: from ",
    "received: by ",
    "return-path:",
    "delivered-to:",
    "message-id:",
    "mime-version:",
    "dkim-signature:",
];

/// What the first bytes say; `None` if it may be text.
///
/// # Errors
/// `Document(UnknownFormat)` for a format that is known and not read here.
pub(super) fn by_magic(head: &[u8]) -> Result<Option<Format>> {
    if head.starts_with(b"II*\0") || head.starts_with(b"MM\0*") {
        return Ok(Some(Format::Tiff));
    }
    if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Some(Format::Png));
    }
    if head.starts_with(&[0xff, 0xd8, 0xff]) {
        return Ok(Some(Format::Jpeg));
    }
    if is_pdf(head) {
        return Ok(Some(Format::Pdf));
    }
    let known = KNOWN.iter().find(|(at, mark, _)| {
        let here = head.get(*at..).is_some_and(|head| head.starts_with(mark));
        here && match *mark {
            // Two letters begin many texts; a bmp has zeros behind its length.
            b"BM" => head.get(6..10) == Some(&[0; 4][..]),
            // Words that a text may have there: of a riff file, and behind the length of a box.
            b"WEBP" => head.starts_with(b"RIFF"),
            b"ftyp" => head.starts_with(b"\0"),
            _ => true,
        }
    });
    if let Some((_, _, name)) = known {
        return Err(refused(&format!("{name}: {INSTEAD}")));
    }
    let start = decoded(head).to_lowercase();
    let start = start.trim_start();
    if let Some((_, name)) = MARKUP.iter().find(|(mark, _)| start.starts_with(mark)) {
        return Err(refused(&format!(
            "{name}: print it to pdf and send the pdf"
        )));
    }
    let head_of_mail = start.lines().take_while(|line| !line.trim().is_empty());
    if head_of_mail
        .into_iter()
        .any(|line| MAIL.iter().any(|field| line.starts_with(field)))
    {
        let message = "an e-mail: print it to pdf, or send its text and attachments one by one";
        return Err(refused(message));
    }
    Ok(None)
}

/// Whether there is a header of a PDF. A file that another is packed into is not that PDF, and a
/// text that mentions one in a line is none.
fn is_pdf(head: &[u8]) -> bool {
    let packed = ARCHIVES.iter().any(|mark| head.starts_with(mark));
    let Some(at) = head.windows(5).position(|bytes| bytes == b"%PDF-") else {
        return false;
    };
    let before = head.get(..at).unwrap_or_default();
    let begins = before
        .last()
        .is_none_or(|byte| matches!(byte, b'\n' | b'\r'));
    let binary = |text: &str| text.chars().any(is_control);
    !packed && (begins || str::from_utf8(before).map_or(true, binary) || before == BOM)
}

/// The beginning as text, as well as it can be read.
fn decoded(head: &[u8]) -> String {
    let wide = |read: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|two| read(*two)).collect();
        String::from_utf16_lossy(&units)
    };
    match head {
        [0xff, 0xfe, rest @ ..] => wide(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => wide(u16::from_be_bytes, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => String::from_utf8_lossy(head).into_owned(),
    }
}

/// Reads a document to its end and says whether it is plain text: UTF-8 with or without a byte
/// order mark, or UTF-16 with one, and no control characters but tab, line and page ends.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The bytes of a character that the last part ended in.
    open: Vec<u8>,
    begun: bool,
    wide: Option<fn([u8; 2]) -> u16>,
    /// The first half of a pair of UTF-16.
    half: Option<u16>,
}

impl Text {
    /// The verdict, or what happened in reading.
    pub(super) fn read(&mut self, input: &mut impl BufRead) -> io::Result<Result<()>> {
        loop {
            let part = input.fill_buf()?;
            if part.is_empty() {
                let whole = self.open.is_empty() && self.half.is_none();
                return Ok(if whole { Ok(()) } else { Err(not_text()) });
            }
            let len = part.len();
            self.open.extend_from_slice(part);
            input.consume(len);
            if !self.begun {
                self.begin();
            }
            let verdict = match self.wide {
                Some(read) => self.wide_part(read),
                None => self.part(),
            };
            if verdict.is_err() {
                return Ok(verdict);
            }
        }
    }

    fn begin(&mut self) {
        self.begun = true;
        self.wide = match self.open.get(..2) {
            Some([0xff, 0xfe]) => Some(u16::from_le_bytes),
            Some([0xfe, 0xff]) => Some(u16::from_be_bytes),
            _ => None,
        };
    }

    fn part(&mut self) -> Result<()> {
        let (good, rest) = match str::from_utf8(&self.open) {
            Ok(text) => (text, 0),
            Err(error) if error.error_len().is_none() => {
                let good = self.open.get(..error.valid_up_to()).unwrap_or_default();
                (
                    str::from_utf8(good).unwrap_or_default(),
                    self.open.len() - error.valid_up_to(),
                )
            }
            Err(_) if self.open.iter().any(|byte| is_control(char::from(*byte))) => {
                return Err(not_text());
            }
            Err(_) => {
                return Err(refused(
                    "text that is not utf-8, or a format that is not known: save it as utf-8 text or pdf",
                ));
            }
        };
        if good.chars().any(is_control) {
            return Err(not_text());
        }
        let done = self.open.len() - rest;
        self.open.drain(..done);
        Ok(())
    }

    fn wide_part(&mut self, read: fn([u8; 2]) -> u16) -> Result<()> {
        let (pairs, rest) = self.open.as_chunks();
        let units = self
            .half
            .take()
            .into_iter()
            .chain(pairs.iter().map(|two| read(*two)));
        let mut half = None;
        for unit in char::decode_utf16(units) {
            match unit {
                // What is left of a pair at the end of a part.
                Err(lone) if (0xd800..0xdc00).contains(&lone.unpaired_surrogate()) => {
                    if half.replace(lone.unpaired_surrogate()).is_some() {
                        return Err(not_text());
                    }
                }
                Err(_) => return Err(not_text()),
                Ok(_) if half.is_some() => return Err(not_text()),
                Ok(character) if is_control(character) => return Err(not_text()),
                Ok(_) => {}
            }
        }
        self.half = half;
        self.open = rest.to_vec();
        Ok(())
    }
}

/// Whether a character is none of text. NEL and its kin stand in UTF-8 as two bytes and are rare,
/// but harmless.
fn is_control(character: char) -> bool {
    character.is_ascii_control() && !matches!(character, '\t' | '\n' | '\r' | '\x0c')
}

fn not_text() -> Error {
    refused(&format!(
        "neither pdf, tiff, png, jpeg nor plain text: {INSTEAD}"
    ))
}

fn refused(message: &str) -> Error {
    Error::document(OPERATION, DocumentReason::UnknownFormat, message)
}

const _: () = assert!(HEAD >= 1024);
