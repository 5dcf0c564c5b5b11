//! Plain text.

use faxbot_core::{Error, Result, document::ConvertOptions};

use super::{
    super::{
        output::FaxFile,
        part::{Job, Part},
        worker::Stop,
    },
    cell::Steps,
    typeset::{Typeset, unsuitable},
};

const HIGH_FIRST: &[u8] = b"\xfe\xff";
const LOW_FIRST: &[u8] = b"\xff\xfe";

/// Opens UTF-8, and UTF-16 that says so by its byte order mark.
pub(in crate::document) fn open(
    bytes: Vec<u8>,
    options: &ConvertOptions,
    stop: &Stop,
) -> Result<Box<dyn Part>> {
    let text = Text::new(bytes)?;
    let typeset = Typeset::new("text", options);
    let pages = typeset.count(Steps::new(text.chars()), stop)?;
    Ok(Box::new(TextPart {
        text,
        typeset,
        pages,
    }))
}

/// A text whose characters can all be drawn and whose pages were counted.
struct TextPart {
    text: Text,
    typeset: Typeset,
    pages: u32,
}

impl Part for TextPart {
    fn pages(&self) -> u32 {
        self.pages
    }

    fn draw(self: Box<Self>, job: &Job<'_>, out: &mut FaxFile<'_>) -> Result<()> {
        self.typeset.draw(Steps::new(self.text.chars()), job, out)
    }
}

/// Text as it came, and checked. It is decoded on the way, not copied.
enum Text {
    Utf8(String),
    Utf16 { bytes: Vec<u8>, high_first: bool },
}

impl Text {
    fn new(mut bytes: Vec<u8>) -> Result<Self> {
        let high_first = bytes.starts_with(HIGH_FIRST);
        if high_first || bytes.starts_with(LOW_FIRST) {
            if !bytes.len().is_multiple_of(2) || utf16(&bytes, high_first).any(|c| c.is_none()) {
                return Err(not_utf("the text is not utf-16, as it begins".to_owned()));
            }
            return Ok(Self::Utf16 { bytes, high_first });
        }
        if bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        String::from_utf8(bytes).map(Self::Utf8).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().iter().take(valid);
            let lines = before.filter(|byte| **byte == b'\n').count();
            let line = lines.saturating_add(1);
            not_utf(format!("line {line} of the text is not utf-8"))
        })
    }

    fn chars(&self) -> Box<dyn Iterator<Item = char> + '_> {
        match self {
            Self::Utf8(text) => Box::new(text.chars()),
            // The byte order mark is among the characters of which nothing is drawn.
            Self::Utf16 { bytes, high_first } => Box::new(utf16(bytes, *high_first).flatten()),
        }
    }
}

/// The characters, `None` for a surrogate alone.
fn utf16(bytes: &[u8], high_first: bool) -> impl Iterator<Item = Option<char>> {
    let units = bytes.as_chunks().0.iter().map(move |unit| {
        if high_first {
            u16::from_be_bytes(*unit)
        } else {
            u16::from_le_bytes(*unit)
        }
    });
    char::decode_utf16(units).map(Result::ok)
}

fn not_utf(what: String) -> Error {
    unsuitable(format!("{what}: save it as utf-8, or send it as pdf"))
}
