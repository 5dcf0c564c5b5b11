//! Fax TIFF: what is written is read, by this crate and by libtiff; hostile files are refused.
#![cfg(test)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use std::io::Cursor;

use faxbot_core::document::{
    FaxCoding, Resolution,
    ccitt::{CcittError, PageQuality, T4Coding, T4Encoder, T6Encoder},
    tiff::{
        Compression, FillOrder, NewPage, PageInfo, PageNumber, PageNumbers, Photometric, Rational,
        TiffError, TiffLimits, TiffReader, TiffWriter,
    },
};

#[allow(dead_code, reason = "each test file uses a part of the charts")]
#[path = "../charts/mod.rs"]
mod charts;
mod libtiff;
mod read;
mod refused;
mod repaired;
mod t4;
mod variants;
mod written;

use charts::{Chart, Numbers};

type Reader = TiffReader<Cursor<Vec<u8>>>;

fn encode(chart: &Chart) -> Vec<u8> {
    let mut encoder = T6Encoder::new(chart.width).unwrap();
    for row in &chart.rows {
        encoder.encode_row(row).unwrap();
    }
    encoder.finish()
}

/// A strip of the chart in any coding.
fn encode_as(chart: &Chart, coding: FaxCoding, aligned: bool) -> Vec<u8> {
    let Some(coding) = coding.t4() else {
        return encode(chart);
    };
    let mut encoder = T4Encoder::new(chart.width, coding)
        .unwrap()
        .with_aligned_end_of_lines(aligned);
    for row in &chart.rows {
        encoder.encode_row(row).unwrap();
    }
    encoder.finish()
}

fn file(pages: &[(Chart, Resolution)]) -> Vec<u8> {
    let width = pages[0].0.width;
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()))
        .unwrap()
        .with_width(width)
        .unwrap();
    for (chart, resolution) in pages {
        writer
            .add_page(chart.rows.len() as u32, *resolution, &encode(chart))
            .unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn three_pages() -> Vec<(Chart, Resolution)> {
    vec![
        (charts::text(1728, 300, 1), Resolution::Fine),
        (charts::lines(1728, 151), Resolution::Standard),
        (charts::halftone(1728, 77), Resolution::Superfine),
    ]
}

fn open(file: &[u8]) -> Result<Reader, TiffError> {
    TiffReader::open(Cursor::new(file.to_vec()))
}

fn rows(reader: &mut Reader, page: &PageInfo) -> Result<Vec<Vec<u8>>, TiffError> {
    let mut rows = Vec::new();
    reader.decode_page(page, |row| rows.push(row.to_vec()))?;
    Ok(rows)
}

/// Opens, reads the tags of and decodes everything: the rows of each page.
fn read_all(file: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, TiffError> {
    let mut reader = open(file)?;
    let pages: Vec<PageInfo> = reader.pages().collect::<Result<_, _>>()?;
    pages.iter().map(|page| rows(&mut reader, page)).collect()
}

/// A hand-made file: its entries as (tag, type, count, value), each page linked to the next.
#[derive(Clone)]
struct Raw {
    big: bool,
    data: Vec<u8>,
    pages: Vec<Vec<(u16, u16, u32, u32)>>,
    /// Where the last page's link leads.
    last_link: u32,
}

impl Raw {
    /// One page of 16 by 4 pixels, `data` as its strip at offset 8.
    fn new(data: &[u8]) -> Self {
        let page = vec![
            (256, 4, 1, 16),
            (257, 4, 1, 4),
            (259, 3, 1, 4),
            (262, 3, 1, 0),
            (273, 4, 1, 8),
            (278, 4, 1, 4),
            (279, 4, 1, data.len() as u32),
        ];
        Self {
            big: false,
            data: data.to_vec(),
            pages: vec![page],
            last_link: 0,
        }
    }

    fn with(mut self, tag: u16, kind: u16, count: u32, value: u32) -> Self {
        self.pages[0].retain(|entry| entry.0 != tag);
        self.pages[0].push((tag, kind, count, value));
        self.pages[0].sort_unstable();
        self
    }

    fn without(mut self, tag: u16) -> Self {
        self.pages[0].retain(|entry| entry.0 != tag);
        self
    }

    fn build(&self) -> Vec<u8> {
        let short = |value: u16| {
            if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let long = |value: u32| {
            if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let mut out = if self.big {
            b"MM".to_vec()
        } else {
            b"II".to_vec()
        };
        out.extend(short(42));
        out.extend(long(8 + self.data.len() as u32));
        out.extend(&self.data);
        for (index, page) in self.pages.iter().enumerate() {
            out.extend(short(page.len() as u16));
            for &(tag, kind, count, value) in page {
                out.extend(short(tag));
                out.extend(short(kind));
                out.extend(long(count));
                if kind == 3 && count == 1 {
                    out.extend(short(value as u16));
                    out.extend([0; 2]);
                } else {
                    out.extend(long(value));
                }
            }
            let next = out.len() as u32 + 4;
            out.extend(long(if index + 1 < self.pages.len() {
                next
            } else {
                self.last_link
            }));
        }
        out
    }
}

/// One page as other programs write it.
#[derive(Debug, Clone, Copy)]
struct Form {
    big: bool,
    lsb_first: bool,
    min_is_black: bool,
    /// `None` is T.6.
    coding: Option<T4Coding>,
    aligned: bool,
    return_to_control: bool,
    rows_per_strip: usize,
}

impl Form {
    fn new(coding: Option<T4Coding>) -> Self {
        Self {
            big: false,
            lsb_first: false,
            min_is_black: false,
            coding,
            aligned: false,
            return_to_control: false,
            rows_per_strip: usize::MAX,
        }
    }

    /// The strips of a chart, most significant bit first.
    fn strips(&self, chart: &Chart) -> Vec<Vec<u8>> {
        chart
            .rows
            .chunks(self.rows_per_strip.min(chart.rows.len()))
            .map(|rows| {
                let rows = rows.iter().map(|row| {
                    row.iter()
                        .map(|byte| if self.min_is_black { !byte } else { *byte })
                        .collect::<Vec<u8>>()
                });
                let chart = Chart {
                    width: chart.width,
                    rows: rows.collect(),
                };
                let Some(coding) = self.coding else {
                    return encode(&chart);
                };
                let mut encoder = T4Encoder::new(chart.width, coding)
                    .unwrap()
                    .with_aligned_end_of_lines(self.aligned)
                    .with_return_to_control(self.return_to_control);
                for row in &chart.rows {
                    encoder.encode_row(row).unwrap();
                }
                encoder.finish()
            })
            .collect()
    }

    /// A file of these strips.
    fn build(&self, width: u32, rows: u32, strips: &[Vec<u8>]) -> Vec<u8> {
        let mut data = strips.concat();
        if self.lsb_first {
            data.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
        let mut raw = Raw::new(&data);
        raw.big = self.big;
        let rows_per_strip = u32::try_from(self.rows_per_strip).unwrap_or(rows).min(rows);
        let (compression, two_dimensional) = match self.coding {
            None => (4, 0),
            Some(T4Coding::MhAligned) => (2, 0),
            Some(coding) => (3, u32::from(coding == T4Coding::Mr)),
        };
        raw = raw
            .with(256, 4, 1, width)
            .with(257, 4, 1, rows)
            .with(259, 3, 1, compression)
            .with(262, 3, 1, self.min_is_black.into())
            .with(266, 3, 1, if self.lsb_first { 2 } else { 1 })
            .with(278, 4, 1, rows_per_strip);
        if compression == 3 {
            let aligned = if self.aligned { 4 } else { 0 };
            raw = raw.with(292, 4, 1, two_dimensional | aligned);
        }
        let count = strips.len() as u32;
        if count == 1 {
            return raw.build();
        }
        let table = 8 + raw.data.len() as u32;
        let lengths = strips.iter().map(|strip| strip.len() as u32);
        let offsets = lengths.clone().scan(8, |next, length| {
            let offset = *next;
            *next += length;
            Some(offset)
        });
        for value in offsets.chain(lengths) {
            raw.data.extend(if self.big {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            });
        }
        raw.with(273, 4, count, table)
            .with(279, 4, count, table + 4 * count)
            .build()
    }

    fn file(&self, chart: &Chart) -> Vec<u8> {
        self.build(chart.width, chart.rows.len() as u32, &self.strips(chart))
    }
}

/// The rows of the first page, repaired.
fn repair(file: &[u8]) -> Result<(Vec<Vec<u8>>, PageQuality), TiffError> {
    let mut reader = open(file)?;
    let page = reader.page(0)?;
    let mut rows = Vec::new();
    let quality = reader.decode_page_repaired(&page, |row| rows.push(row.to_vec()))?;
    assert_eq!(rows.len() as u32, page.rows);
    Ok((rows, quality))
}

fn small() -> Chart {
    Chart {
        width: 16,
        rows: vec![
            vec![0x00, 0x00],
            vec![0x0f, 0xf0],
            vec![0x0f, 0x01],
            vec![0xff, 0xff],
        ],
    }
}
