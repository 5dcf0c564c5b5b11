//! Fax TIFF: what is written is read, by this crate and by libtiff; hostile files are refused.
#![cfg(test)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use std::io::Cursor;

use faxbot_core::document::{
    FaxCoding, Resolution,
    ccitt::{CcittError, PageQuality, T4Encoder, T6Encoder},
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
mod t4;
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
