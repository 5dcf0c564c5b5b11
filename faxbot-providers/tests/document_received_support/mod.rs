//! Faxes as other programs receive them, and a look into the PDF made of them.
#![allow(dead_code, reason = "each test program uses its own part")]

use faxbot_core::document::ccitt::{T4Coding, T4Decoder, T4Encoder, T6Decoder, T6Encoder};

/// How the strips of a sheet are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Packed,
    MhAligned,
    Mh,
    Mr,
    T6,
}

impl Code {
    pub(crate) const ALL: [Self; 5] = [Self::Packed, Self::MhAligned, Self::Mh, Self::Mr, Self::T6];

    fn compression(self) -> u32 {
        match self {
            Self::Packed => 1,
            Self::MhAligned => 2,
            Self::Mh | Self::Mr => 3,
            Self::T6 => 4,
        }
    }

    pub(crate) fn t4(self) -> Option<T4Coding> {
        match self {
            Self::MhAligned => Some(T4Coding::MhAligned),
            Self::Mh => Some(T4Coding::Mh),
            Self::Mr => Some(T4Coding::Mr),
            _ => None,
        }
    }
}

/// Packed rows, `1` is black, bits behind the width are 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bitmap {
    pub(crate) width: u32,
    pub(crate) rows: Vec<Vec<u8>>,
}

impl Bitmap {
    pub(crate) fn draw(width: u32, rows: u32, black: impl Fn(u32, u32) -> bool) -> Self {
        let row = |y| {
            let mut row = vec![0; width.div_ceil(8) as usize];
            for x in (0..width).filter(|x| black(*x, y)) {
                row[x as usize / 8] |= 0x80 >> (x % 8);
            }
            row
        };
        Self {
            width,
            rows: (0..rows).map(row).collect(),
        }
    }

    /// Lines, slopes and areas that look different from every side.
    pub(crate) fn pattern(width: u32, rows: u32) -> Self {
        Self::draw(width, rows, |x, y| {
            (x / 5 + y / 3) % 7 == 0
                || (x < width / 3 && y < rows / 4)
                || x + y < 20
                || (x * 3 + y * y / 50) % 61 < 4
        })
    }

    pub(crate) fn height(&self) -> u32 {
        u32::try_from(self.rows.len()).unwrap()
    }

    pub(crate) fn black(&self, x: u32, y: u32) -> bool {
        self.rows[y as usize][x as usize / 8] >> (7 - x % 8) & 1 == 1
    }

    /// As a viewer shows it that honours the orientation (TIFF 6.0 §8), pixel by pixel.
    pub(crate) fn upright(&self, orientation: u16) -> Self {
        let (w, h) = (self.width, self.height());
        let (width, rows) = if orientation < 5 { (w, h) } else { (h, w) };
        Self::draw(width, rows, |x, y| match orientation {
            1 => self.black(x, y),
            2 => self.black(w - 1 - x, y),
            3 => self.black(w - 1 - x, h - 1 - y),
            4 => self.black(x, h - 1 - y),
            5 => self.black(y, x),
            6 => self.black(y, h - 1 - x),
            7 => self.black(w - 1 - y, h - 1 - x),
            _ => self.black(w - 1 - y, x),
        })
    }

    pub(crate) fn from_packed(width: u32, bytes: &[u8]) -> Self {
        let rows = bytes.chunks(width.div_ceil(8) as usize);
        Self {
            width,
            rows: rows.map(<[u8]>::to_vec).collect(),
        }
    }
}

/// A page of a received fax, and how it is written.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    pub(crate) pixels: Bitmap,
    pub(crate) code: Code,
    pub(crate) lsb_first: bool,
    pub(crate) min_is_black: bool,
    pub(crate) orientation: u16,
    pub(crate) rows_per_strip: u32,
    pub(crate) resolution: Option<(u32, u32)>,
    pub(crate) aligned: bool,
    /// Tags and their values besides.
    pub(crate) tags: Vec<(u16, u32)>,
    /// Code of the one strip, in place of that of the pixels.
    pub(crate) strip: Option<Vec<u8>>,
}

impl Sheet {
    pub(crate) fn new(pixels: &Bitmap, code: Code) -> Self {
        Self {
            pixels: pixels.clone(),
            code,
            lsb_first: false,
            min_is_black: false,
            orientation: 1,
            rows_per_strip: u32::MAX,
            resolution: Some((204, 196)),
            aligned: false,
            tags: Vec::new(),
            strip: None,
        }
    }

    /// The strips, most significant bit first.
    pub(crate) fn strips(&self) -> Vec<Vec<u8>> {
        if let Some(strip) = &self.strip {
            return vec![strip.clone()];
        }
        let per_strip = self.rows_per_strip.min(self.pixels.height()) as usize;
        self.pixels
            .rows
            .chunks(per_strip)
            .map(|rows| self.encode(rows))
            .collect()
    }

    fn encode(&self, rows: &[Vec<u8>]) -> Vec<u8> {
        let invert = |row: &Vec<u8>| -> Vec<u8> {
            row.iter()
                .map(|byte| if self.min_is_black { !byte } else { *byte })
                .collect()
        };
        let width = self.pixels.width;
        match self.code.t4() {
            Some(coding) => {
                let mut encoder = T4Encoder::new(width, coding)
                    .unwrap()
                    .with_aligned_end_of_lines(self.aligned);
                for row in rows {
                    encoder.encode_row(&invert(row)).unwrap();
                }
                encoder.finish()
            }
            None if self.code == Code::Packed => rows.iter().flat_map(invert).collect(),
            None => {
                let mut encoder = T6Encoder::new(width).unwrap();
                for row in rows {
                    encoder.encode_row(&invert(row)).unwrap();
                }
                encoder.finish()
            }
        }
    }
}

/// A little-endian TIFF of the pages.
pub(crate) fn tiff(sheets: &[Sheet]) -> Vec<u8> {
    let long = |value: usize| u32::try_from(value).unwrap();
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let mut link = 4;
    for sheet in sheets {
        let mut places = Vec::new();
        for mut strip in sheet.strips() {
            if sheet.lsb_first {
                strip
                    .iter_mut()
                    .for_each(|byte| *byte = byte.reverse_bits());
            }
            places.push((long(file.len()), long(strip.len())));
            file.extend(strip);
        }
        file.resize(file.len().next_multiple_of(2), 0);
        // Tag, type (4 is a long, 5 a fraction), count, value or place.
        let mut table = |values: Vec<u32>| {
            if let [value] = values.as_slice() {
                return (4_u16, 1, *value);
            }
            let at = long(file.len());
            let count = long(values.len());
            file.extend(values.into_iter().flat_map(u32::to_le_bytes));
            (4, count, at)
        };
        let offsets = table(places.iter().map(|place| place.0).collect());
        let lengths = table(places.iter().map(|place| place.1).collect());
        let options = u32::from(sheet.code == Code::Mr) | if sheet.aligned { 4 } else { 0 };
        let one = |value| (4, 1, value);
        let mut entries = vec![
            (254_u16, one(2)),
            (256, one(sheet.pixels.width)),
            (257, one(sheet.pixels.height())),
            (258, one(1)),
            (259, one(sheet.code.compression())),
            (262, one(u32::from(sheet.min_is_black))),
            (266, one(if sheet.lsb_first { 2 } else { 1 })),
            (273, offsets),
            (274, one(u32::from(sheet.orientation))),
            (277, one(1)),
            (278, one(sheet.rows_per_strip.min(sheet.pixels.height()))),
            (279, lengths),
            (296, one(2)),
        ];
        if let Some((x, y)) = sheet.resolution {
            for (tag, value) in [(282, x), (283, y)] {
                let at = long(file.len());
                file.extend([value, 1].into_iter().flat_map(u32::to_le_bytes));
                entries.push((tag, (5, 1, at)));
            }
        }
        if sheet.code.compression() == 3 {
            entries.push((292, one(options)));
        }
        for (tag, value) in &sheet.tags {
            entries.retain(|entry| entry.0 != *tag);
            entries.push((*tag, one(*value)));
        }
        entries.sort();
        let at = long(file.len()).to_le_bytes();
        file[link..link + 4].copy_from_slice(&at);
        file.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
        for (tag, (kind, count, value)) in entries {
            file.extend(tag.to_le_bytes());
            file.extend(kind.to_le_bytes());
            file.extend(u32::to_le_bytes(count));
            file.extend(value.to_le_bytes());
        }
        link = file.len();
        file.extend([0; 4]);
    }
    file
}

/// A page of 60 rows as Asterisk received it: MR, byte-aligned, least significant bit first.
pub(crate) fn from_asterisk() -> Vec<u8> {
    let file = "/../faxbot-core/tests/files/received-asterisk-22.tif";
    std::fs::read(env!("CARGO_MANIFEST_DIR").to_owned() + file).unwrap()
}

/// Code of 40 rows of MR or MH with some rows in the middle overwritten.
pub(crate) fn damaged(pixels: &Bitmap, code: Code) -> Sheet {
    let mut sheet = Sheet::new(pixels, code);
    let mut strip = sheet.strips().remove(0);
    let middle = strip.len() / 2;
    strip[middle..middle + 12].fill(0xaa);
    sheet.strip = Some(strip);
    sheet
}

/// A stream of a PDF: its dictionary and its bytes.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) dictionary: String,
    pub(crate) data: Vec<u8>,
}

/// A PDF taken apart along its cross-reference table, as a viewer does.
#[derive(Debug)]
pub(crate) struct Pdf {
    pub(crate) trailer: String,
    /// From number 1.
    pub(crate) objects: Vec<String>,
    pub(crate) streams: Vec<Stream>,
}

impl Pdf {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        assert!(bytes.starts_with(b"%PDF-1."));
        assert!(bytes.ends_with(b"%%EOF\n"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let find = |from: usize, what: &[u8]| {
            let found = bytes[from..].windows(what.len()).position(|it| it == what);
            from + found.unwrap_or_else(|| panic!("no {}", text(what)))
        };
        let tail = text(&bytes[bytes.len() - 40..]);
        let table = tail.split("startxref\n").nth(1).unwrap();
        let table: usize = table.lines().next().unwrap().parse().unwrap();
        let end = text(&bytes[table..]);
        let mut lines = end.split_inclusive('\n');
        assert_eq!(lines.next(), Some("xref\n"));
        let count = lines.next().unwrap().trim().strip_prefix("0 ").unwrap();
        let count: usize = count.parse().unwrap();
        assert_eq!(lines.next(), Some("0000000000 65535 f \n"));
        let (mut objects, mut streams) = (Vec::new(), Vec::new());
        for number in 1..count {
            let entry = lines.next().unwrap();
            assert_eq!((entry.len(), &entry[10..]), (20, " 00000 n \n"));
            let at: usize = entry[..10].parse().unwrap();
            assert!(bytes[at..].starts_with(format!("{number} 0 obj\n").as_bytes()));
            let head = text(&bytes[at..find(at, b">>\n")]);
            if let Some(length) = head.split("/Length ").nth(1) {
                let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
                let start = find(at, b"stream\n") + 7;
                assert!(bytes[start + length..].starts_with(b"\nendstream"));
                streams.push(Stream {
                    dictionary: text(&bytes[at..start]),
                    data: bytes[start..start + length].to_vec(),
                });
            }
            objects.push(text(&bytes[at..find(at, b"endobj")]));
        }
        Self {
            trailer: lines.collect(),
            objects,
            streams,
        }
    }

    /// Width and height of a page in points.
    pub(crate) fn media_box(&self, page: usize) -> (f64, f64) {
        let pages: Vec<_> = self
            .objects
            .iter()
            .filter_map(|object| object.split("/MediaBox [0 0 ").nth(1))
            .collect();
        let sides = pages[page].split(']').next().unwrap();
        let (width, height) = sides.split_once(' ').unwrap();
        (width.parse().unwrap(), height.parse().unwrap())
    }

    pub(crate) fn images(&self) -> Vec<&Stream> {
        let image = |stream: &&Stream| stream.dictionary.contains("/Subtype /Image");
        self.streams.iter().filter(image).collect()
    }
}

impl Stream {
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        let value = self.dictionary.split(&format!("/{key} ")).nth(1)?;
        value.split_whitespace().next()?.parse().ok()
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.dictionary.contains(&format!("/{key} true"))
    }

    /// What a viewer shows of the image before it is turned.
    pub(crate) fn pixels(&self) -> Bitmap {
        let size = |key| u32::try_from(self.number(key).unwrap()).unwrap();
        let (width, rows) = (size("Columns"), size("Rows"));
        assert_eq!((size("Width"), size("Height")), (width, rows));
        let mut row = vec![0; width.div_ceil(8) as usize];
        let mut found = Vec::new();
        let coding = match self.number("K") {
            Some(-1) => None,
            Some(0) if self.is_true("EncodedByteAlign") => Some(T4Coding::MhAligned),
            Some(0) => Some(T4Coding::Mh),
            _ => Some(T4Coding::Mr),
        };
        if let Some(coding) = coding {
            let mut decoder = T4Decoder::new(&self.data, width, rows, coding).unwrap();
            while decoder.next_row(&mut row).unwrap() {
                found.push(row.clone());
            }
        } else {
            let mut decoder = T6Decoder::new(&self.data, width, rows).unwrap();
            while decoder.next_row(&mut row).unwrap() {
                found.push(row.clone());
            }
        }
        let pixels = Bitmap { width, rows: found };
        if self.is_true("BlackIs1") {
            return Bitmap::draw(width, rows, |x, y| !pixels.black(x, y));
        }
        pixels
    }
}
