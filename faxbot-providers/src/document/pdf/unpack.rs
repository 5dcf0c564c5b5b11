//! How much a PDF unpacks to, before hayro unpacks it: hayro decodes every stream as a whole.
//!
//! Memory that a document can take beside its own bytes is bounded by [`MAX_PLAIN`] for what stays
//! decoded (contents, fonts, object streams) and by [`MAX_ALL`] for a file that calls such things
//! images.

use std::io::{self, Read};

use faxbot_core::{Error, Result};
use flate2::read::{DeflateDecoder, ZlibDecoder};
use hayro::hayro_syntax::{Filter, object::Stream};
use memchr::memmem;

use super::super::output::too_large;

/// Bytes of everything in a file but its images.
pub(super) const MAX_PLAIN: u64 = 256 << 20;

/// Bytes of everything in a file.
pub(super) const MAX_ALL: u64 = 2 << 30;

/// What a byte of deflate gives at most (zlib's technical notes: 1032), rounded.
const MOST_PER_BYTE: u64 = 1032;

/// Bytes that have been found.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    plain: u64,
    all: u64,
}

impl Unpacked {
    /// What one more stream may still give.
    fn left(&self, image: bool) -> u64 {
        let all = MAX_ALL.saturating_sub(self.all);
        if image {
            all
        } else {
            all.min(MAX_PLAIN.saturating_sub(self.plain))
        }
    }

    fn add(&mut self, bytes: u64, image: bool) -> Result<()> {
        self.all = self.all.saturating_add(bytes);
        if !image {
            self.plain = self.plain.saturating_add(bytes);
        }
        if self.plain > MAX_PLAIN {
            Err(unpacks(MAX_PLAIN))
        } else if self.all > MAX_ALL {
            Err(unpacks(MAX_ALL))
        } else {
            Ok(())
        }
    }

    /// Looks at every deflated stream of a file that nobody has read yet: to find the pages, hayro
    /// unpacks cross-reference and object streams.
    pub(super) fn raw(&mut self, pdf: &[u8]) -> Result<()> {
        let encrypted = memmem::find(pdf, b"/Encrypt").is_some();
        let mut from = 0;
        let mut end = 0;
        for at in memmem::find_iter(pdf, b"stream") {
            let before = pdf.get(from..at).unwrap_or_default();
            if before.ends_with(b"end") {
                continue;
            }
            from = at.saturating_add(b"stream".len());
            if end < from {
                let rest = pdf.get(from..).unwrap_or_default();
                let length = memmem::find(rest, b"endstream").unwrap_or(rest.len());
                end = from.saturating_add(length);
            }
            let data = pdf.get(from..end).unwrap_or_default();
            let data = data.strip_prefix(b"\r").unwrap_or(data);
            let data = data.strip_prefix(b"\n").unwrap_or(data);
            if let Some(kind) = Kind::of(before) {
                self.deflated(data, kind.image, kind.deflated && !encrypted)?;
            }
        }
        Ok(())
    }

    /// Looks at a stream of a file that was read. `raw` has counted the plainly deflated ones,
    /// unless the file is encrypted.
    pub(super) fn stream(&mut self, stream: &Stream<'_>, encrypted: bool) -> Result<()> {
        let filters = stream.filters();
        let packed = filters.iter().filter(|filter| expands(filter)).count();
        if packed > 1 {
            return Err(too_large(
                "a part of the pdf is packed twice: print it to a pdf again".to_owned(),
            ));
        }
        let counted = !encrypted && filters.first() == Some(&Filter::FlateDecode);
        if packed == 0 || counted {
            return Ok(());
        }
        let image = stream.dict().contains_key("Width");
        let mut data = stream.raw_data().into_owned();
        for filter in filters {
            match filter {
                Filter::AsciiHexDecode => data = hex(&data),
                Filter::Ascii85Decode => data = ascii85(&data),
                Filter::FlateDecode => return self.deflated(&data, image, true),
                Filter::LzwDecode => return self.add(lzw(&data, self.left(image)), image),
                Filter::RunLengthDecode => return self.add(run_length(&data), image),
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn deflated(&mut self, data: &[u8], image: bool, sure: bool) -> Result<()> {
        let left = self.left(image);
        let mut rest = data;
        let header = data.first_chunk().map(|head| u16::from_be_bytes(*head));
        let counted = if header.is_some_and(|head| head & 0x0F00 == 0x0800 && head % 31 == 0) {
            count(ZlibDecoder::new(&mut rest), left)
        } else {
            count(DeflateDecoder::new(&mut rest), left)
        };
        match counted {
            Ok(bytes) => self.add(bytes, image),
            Err(bytes) => {
                self.add(bytes, image)?;
                // hayro goes on behind an error. Nobody knows what comes out of the rest.
                let rest = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                let most = if sure {
                    rest.saturating_mul(MOST_PER_BYTE)
                } else {
                    0
                };
                if most > self.left(image) {
                    return Err(super::damaged("a packed part of the pdf is damaged"));
                }
                Ok(())
            }
        }
    }
}

/// What the entries in front of a stream let expect, without being read as a PDF.
struct Kind {
    image: bool,
    deflated: bool,
}

/// Filters that may stand before deflate, so that its data does not begin with the stream.
const OTHERS: [&[u8]; 6] = [
    b"/ASCII",
    b"/A85",
    b"/AHx",
    b"/LZW",
    b"/RunLength",
    b"/Crypt",
];

impl Kind {
    /// None for a stream that is certainly not deflated.
    fn of(before: &[u8]) -> Option<Self> {
        let has = |bytes: &[u8], word: &[u8]| memmem::find(bytes, word).is_some();
        // Names may be written with `#`, and the filter in an object of its own.
        let maybe = has(before, b"/Fl") || has(before, b"#") || filter_elsewhere(before);
        let own = memmem::rfind(before, b" obj").unwrap_or(0);
        let own = before.get(own..).unwrap_or_default();
        maybe.then(|| Self {
            image: has(before, b"/Image"),
            deflated: has(own, b"/FlateDecode") && !OTHERS.iter().any(|name| has(own, name)),
        })
    }
}

fn filter_elsewhere(before: &[u8]) -> bool {
    const KEY: &[u8] = b"/Filter";
    memmem::find_iter(before, KEY).any(|at| {
        let value = before
            .get(at.saturating_add(KEY.len())..)
            .unwrap_or_default();
        let value = value.trim_ascii_start();
        value.first().is_some_and(u8::is_ascii_digit)
    })
}

fn unpacks(limit: u64) -> Error {
    too_large(format!(
        "the pdf unpacks to more than {} MiB: split it, or print it to a pdf again",
        limit >> 20
    ))
}

fn expands(filter: &Filter) -> bool {
    matches!(
        filter,
        Filter::FlateDecode | Filter::LzwDecode | Filter::RunLengthDecode
    )
}

/// Bytes that come out until the end, or one more than `left`; as an error, those before damage.
fn count(mut from: impl Read, left: u64) -> std::result::Result<u64, u64> {
    let mut buffer = [0; 16 << 10];
    let mut bytes = 0_u64;
    while bytes <= left {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(_) => return Err(bytes),
        }
    }
    Ok(bytes)
}

/// Bytes that LZW gives (ISO 32000-1 §7.4.4), without making them.
fn lzw(data: &[u8], left: u64) -> u64 {
    const CLEAR: u32 = 256;
    const END: u32 = 257;
    let mut lengths: Vec<u64> = Vec::with_capacity(4096);
    let mut total = 0_u64;
    let (mut bits, mut held, mut last) = (0_u32, 0_u32, None);
    for byte in data {
        held = (held << 8 | u32::from(*byte)) & 0x00FF_FFFF;
        bits += 8;
        // The width grows one code early by default; a code more or less changes little here.
        let width = match lengths.len() + 258 {
            ..511 => 9,
            511..1023 => 10,
            1023..2047 => 11,
            _ => 12,
        };
        if bits < width {
            continue;
        }
        bits -= width;
        let code = held >> bits & ((1 << width) - 1);
        match code {
            END => break,
            CLEAR => {
                lengths.clear();
                last = None;
                continue;
            }
            _ => {}
        }
        let known = |code: u32| match usize::try_from(code) {
            Ok(code @ 0..256) => Some(u64::from(code < 256)),
            Ok(code) => lengths.get(code.saturating_sub(258)).copied(),
            Err(_) => None,
        };
        // A code that is not known yet is the last one and a byte.
        let length = known(code).or(last.map(|last: u64| last.saturating_add(1)));
        let length = length.unwrap_or(1);
        if let Some(last) = last
            && lengths.len() < 4096 - 258
        {
            lengths.push(last.saturating_add(1));
        }
        last = Some(length);
        total = total.saturating_add(length);
        if total > left {
            break;
        }
    }
    total
}

/// Bytes that run lengths give (ISO 32000-1 §7.4.5).
fn run_length(data: &[u8]) -> u64 {
    let mut total = 0_u64;
    let mut at = 0_usize;
    while let Some(length) = data.get(at) {
        let (bytes, step) = match length {
            128 => break,
            0..=127 => (u64::from(*length) + 1, usize::from(*length) + 2),
            _ => (257 - u64::from(*length), 2),
        };
        total = total.saturating_add(bytes);
        at = at.saturating_add(step);
    }
    total
}

fn hex(data: &[u8]) -> Vec<u8> {
    let mut digits = data
        .iter()
        .take_while(|byte| **byte != b'>')
        .filter_map(|byte| char::from(*byte).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(data.len() / 2);
    while let Some(high) = digits.next() {
        bytes.push(high << 4 | digits.next().unwrap_or(0));
    }
    bytes
}

/// ISO 32000-1 §7.4.3.
fn ascii85(data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len());
    let (mut value, mut digits) = (0_u32, 0);
    for byte in data {
        match byte {
            b'z' if digits == 0 => bytes.extend_from_slice(&[0; 4]),
            b'!'..=b'u' => {
                value = value.wrapping_mul(85).wrapping_add(u32::from(byte - b'!'));
                digits += 1;
                if digits == 5 {
                    bytes.extend_from_slice(&value.to_be_bytes());
                    (value, digits) = (0, 0);
                }
            }
            b'~' => break,
            _ => {}
        }
    }
    if digits > 1 {
        for _ in digits..5 {
            value = value.wrapping_mul(85).wrapping_add(84);
        }
        bytes.extend(value.to_be_bytes().into_iter().take(digits - 1));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn file(dict: &str, data: &[u8]) -> Vec<u8> {
        let mut file = format!("%PDF-1.7\n1 0 obj <<{dict}>> stream\r\n").into_bytes();
        file.extend_from_slice(data);
        file.extend_from_slice(b"\nendstream endobj");
        file
    }

    #[test]
    fn what_a_file_unpacks_to_is_summed_up() {
        let one = file("/Filter /FlateDecode", &deflate(&[0; 100_000]));
        let mut found = Unpacked::default();
        found.raw(&[one.clone(), one].concat()).unwrap();
        assert_eq!((found.plain, found.all), (200_000, 200_000));
        let mut found = Unpacked::default();
        found
            .raw(&file(
                "/Subtype /Image /Filter[/FlateDecode]",
                &deflate(&[0; 9]),
            ))
            .unwrap();
        assert_eq!((found.plain, found.all), (0, 9));
        let mut found = Unpacked::default();
        found.raw(&file("", &deflate(&[0; 100]))).unwrap();
        assert_eq!(found.all, 0);
    }

    #[test]
    fn more_than_the_limit_is_refused_and_so_is_what_hides_behind_damage() {
        let bomb = deflate(&vec![0; 1 << 20]);
        let mut found = Unpacked {
            plain: MAX_PLAIN - (1 << 19),
            all: 0,
        };
        let error = found.raw(&file("/Filter/FlateDecode", &bomb)).unwrap_err();
        assert!(error.to_string().contains("256 MiB"), "{error}");
        // A block type that does not exist, then half a megabyte of anything.
        let mut hidden = vec![0x78, 0x9C, 0x07];
        hidden.extend(vec![0x55; 1 << 19]);
        let error = Unpacked::default()
            .raw(&file("/Filter/FlateDecode", &hidden))
            .unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }

    #[test]
    fn other_packings_are_counted() {
        // ISO 32000-1 §7.4.4.2: 45 45 45 45 45 65 45 45 45 66.
        let packed = [0x80, 0x0B, 0x60, 0x50, 0x22, 0x0C, 0x0C, 0x85, 0x01];
        assert_eq!(lzw(&packed, u64::MAX), 10);
        assert_eq!(run_length(&[4, 10, 11, 12, 13, 14, 253, 3, 128]), 9);
        assert_eq!(hex(b"4 1 4>"), [0x41, 0x40]);
        assert_eq!(ascii85(b"87cUR D]~>"), b"Hello");
        assert_eq!(ascii85(b"z"), [0; 4]);
    }
}
