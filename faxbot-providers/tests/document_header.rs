#![cfg(test)]
#![cfg(feature = "document")]
//! Header lines above pages that are ready to be faxed.

use faxbot_core::{
    DocumentReason, ErrorKind, Timestamp,
    document::{
        DocumentConverter, FaxCoding, FaxImage, FaxScratch, PageHeader, Resolution,
        ccitt::FaxEncoder,
        tiff::{NewPage, PageNumber, TiffWriter},
    },
};
use faxbot_providers::document::RenderConverter;

const ROW: usize = 216;

fn at() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

fn header(total: u32) -> PageHeader {
    PageHeader::new(at(), total)
        .with_from("Practice Example +49 30 1234567")
        .with_to("+49 30 7654321")
}

/// Rows with some black, different from page to page, the first and the last one too.
fn pixels(page: u32, rows: u32) -> Vec<Vec<u8>> {
    (0..rows)
        .map(|row| {
            let mut pixels = vec![0; ROW];
            let at = (row * 7 + page * 31) as usize % ROW;
            pixels[at] = 0xff;
            pixels[(at * 3 + 50) % ROW] = 0x3c;
            pixels
        })
        .collect()
}

struct Fax {
    directory: tempfile::TempDir,
    image: FaxImage,
    pages: Vec<Vec<Vec<u8>>>,
}

fn fax(resolution: Resolution, coding: FaxCoding, rows: &[u32]) -> Fax {
    let directory = tempfile::tempdir().unwrap();
    let (scratch, file) = FaxScratch::create(&directory).unwrap();
    let mut writer = TiffWriter::new(file).unwrap();
    let mut pages = Vec::new();
    for (page, rows) in (0..).zip(rows) {
        let pixels = pixels(page, *rows);
        let mut encoder = FaxEncoder::new(1728, coding, resolution).unwrap();
        for row in &pixels {
            encoder.encode_row(row).unwrap();
        }
        let new = NewPage::new(*rows, resolution).with_coding(coding);
        writer.add_coded_page(&new, &encoder.finish()).unwrap();
        pages.push(pixels);
    }
    writer.finish().unwrap();
    let image = scratch.into_image().unwrap();
    Fax {
        directory,
        image,
        pages,
    }
}

fn converter(fax: &Fax) -> RenderConverter {
    RenderConverter::new()
        .with_directory(fax.directory.path())
        .with_time_zone("Europe/Berlin")
        .unwrap()
}

fn rows_of(image: &FaxImage, index: u32) -> (Vec<Vec<u8>>, Option<PageNumber>) {
    let mut reader = image.reader().unwrap();
    let page = reader.page(index).unwrap();
    let mut rows = Vec::new();
    reader
        .decode_page(&page, |row| rows.push(row.to_vec()))
        .unwrap();
    (rows, page.page_number)
}

fn black(rows: &[Vec<u8>]) -> u32 {
    rows.iter().flatten().map(|byte| byte.count_ones()).sum()
}

#[tokio::test]
async fn the_line_is_added_above_and_every_pixel_below_it_is_that_of_the_original() {
    for (resolution, added) in [
        (Resolution::Standard, 16),
        (Resolution::Fine, 32),
        (Resolution::Superfine, 64),
    ] {
        for coding in [FaxCoding::T6, FaxCoding::Mh, FaxCoding::Mr] {
            let fax = fax(resolution, coding, &[40, 300, 7]);
            let converter = converter(&fax);
            assert!(converter.draws_headers());
            let copy = converter
                .copy_pages(&fax.image, 0..3, Some(header(3)))
                .await
                .unwrap();
            assert_eq!(copy.pages(), 3);
            assert_eq!(
                (copy.width(), copy.resolution()),
                (fax.image.width(), resolution)
            );
            for (index, original) in (0..).zip(&fax.pages) {
                let (rows, number) = rows_of(&copy, index);
                assert_eq!(rows.len(), original.len() + added);
                assert!(&rows[added..] == original, "{resolution} page {index}");
                let line = &rows[..added];
                assert!(black(line) > 1000, "{resolution}");
                // White at the sides, and a row between the line and the page.
                assert!(
                    line.iter()
                        .all(|row| row[..3] == [0; 3] && row[213..] == [0; 3])
                );
                assert_eq!(black(&line[added - 1..]), 0);
                let number = number.unwrap();
                assert_eq!((u32::from(number.number), number.total), (index, 3));
            }
        }
    }
}

#[tokio::test]
async fn some_pages_keep_their_numbers_and_the_line_counts_on() {
    let fax = fax(Resolution::Fine, FaxCoding::T6, &[50, 60, 70, 80]);
    let converter = converter(&fax);
    let whole = converter
        .copy_pages(&fax.image, 0..4, Some(header(4)))
        .await
        .unwrap();
    let rest = converter
        .copy_pages(&fax.image, 2..4, Some(header(4).with_first_page(3)))
        .await
        .unwrap();
    assert_eq!(rest.pages(), 2);
    for index in 0..2 {
        assert_eq!(rows_of(&rest, index), rows_of(&whole, index + 2));
    }
    let wrong = converter
        .copy_pages(&fax.image, 2..4, Some(header(4)))
        .await
        .unwrap();
    assert_ne!(rows_of(&wrong, 0).0, rows_of(&rest, 0).0);
}

#[tokio::test]
async fn without_a_header_pages_are_copied_as_they_are() {
    let fax = fax(Resolution::Standard, FaxCoding::T6, &[50, 60]);
    let converter = converter(&fax);
    let copy = converter.copy_pages(&fax.image, 1..2, None).await.unwrap();
    assert!(copy.path().starts_with(fax.directory.path()));
    let (rows, number) = rows_of(&copy, 0);
    assert_eq!(rows, fax.pages[1]);
    assert_eq!(number.unwrap().number, 1);
}

#[tokio::test]
async fn a_range_without_pages_or_outside_is_refused() {
    let fax = fax(Resolution::Standard, FaxCoding::T6, &[50, 60]);
    let converter = converter(&fax);
    for header in [None, Some(header(2))] {
        for range in [0..0, 2..3, 1..3] {
            let error = converter
                .copy_pages(&fax.image, range, header.clone())
                .await
                .unwrap_err();
            assert_eq!(
                (error.kind(), error.operation()),
                (ErrorKind::InvalidRequest, "copy_pages")
            );
        }
    }
}

#[tokio::test]
async fn a_page_that_has_no_room_for_the_line_is_refused() {
    let fax = fax(Resolution::Fine, FaxCoding::T6, &[50, 32_750]);
    let converter = converter(&fax);
    let error = converter
        .copy_pages(&fax.image, 0..2, Some(header(2)))
        .await
        .unwrap_err();
    assert_eq!(error.document_reason(), Some(DocumentReason::TooLarge));
    assert_eq!(error.operation(), "copy_pages");
    // What was begun is gone.
    assert_eq!(fax.directory.path().read_dir().unwrap().count(), 1);
}

#[tokio::test]
async fn a_fax_that_was_taken_gets_its_line_whatever_a_conversion_may_cost() {
    // More pixels than the default limit of a conversion.
    let fax = fax(Resolution::Fine, FaxCoding::Mh, &[30_000]);
    let copy = converter(&fax)
        .copy_pages(&fax.image, 0..1, Some(header(1)))
        .await
        .unwrap();
    assert_eq!(copy.coding(), FaxCoding::Mh);
    assert_eq!(copy.reader().unwrap().page(0).unwrap().rows, 30_032);
}

#[tokio::test]
async fn a_fax_that_is_gone_or_was_changed_is_an_error() {
    let fax = fax(Resolution::Fine, FaxCoding::T6, &[50]);
    let converter = converter(&fax);
    let whole = std::fs::read(fax.image.path()).unwrap();
    std::fs::write(fax.image.path(), &whole[..whole.len() / 2]).unwrap();
    let error = converter
        .copy_pages(&fax.image, 0..1, Some(header(1)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.document_reason(), error.operation()),
        (Some(DocumentReason::Damaged), "copy_pages")
    );
    std::fs::remove_file(fax.image.path()).unwrap();
    let error = converter
        .copy_pages(&fax.image, 0..1, Some(header(1)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
