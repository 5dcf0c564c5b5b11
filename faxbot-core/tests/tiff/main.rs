//! Fax TIFF: what is written is read, by this crate and by libtiff; hostile files are refused.
#![cfg(test)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use std::io::Cursor;

use faxbot_core::document::{
    FaxCoding, Resolution,
    ccitt::{CcittError, PageQuality, T4Coding, T4Encoder},
    tiff::{
        Compression, FillOrder, NewPage, PageInfo, PageNumber, PageNumbers, Photometric, Rational,
        TiffError, TiffLimits, TiffReader, TiffWriter,
    },
};

mod build;
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

use build::{Form, Raw, encode};
use charts::{Chart, Numbers};

type Reader = TiffReader<Cursor<Vec<u8>>>;

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
