//! The PDF of a received fax, drawn by our own renderer: it is the same fax again.
#![cfg(test)]
#![cfg(feature = "render")]

mod document_received_support;
mod document_support;

use std::io::Cursor;

use faxbot_core::document::{ConvertOptions, Resolution, tiff::TiffReader};
use faxbot_providers::document::ReceivedFax;

use document_received_support::{Bitmap, Code, Sheet, tiff};
use document_support::Bench;

#[tokio::test]
async fn a_fax_that_went_through_a_pdf_has_the_same_pixels() {
    let bench = Bench::new();
    let pixels = Bitmap::pattern(1728, 300);
    let mut sheets: Vec<_> = Code::ALL.map(|code| Sheet::new(&pixels, code)).into();
    for (lsb_first, min_is_black) in [(true, false), (false, true)] {
        let mut sheet = Sheet::new(&pixels, Code::Mr);
        (sheet.lsb_first, sheet.min_is_black) = (lsb_first, min_is_black);
        sheet.aligned = lsb_first;
        sheets.push(sheet);
    }
    for orientation in 2..=4 {
        let mut sheet = Sheet::new(&pixels, Code::T6);
        sheet.orientation = orientation;
        sheets.push(sheet);
    }
    let mut pdf = Vec::new();
    ReceivedFax::new(TiffReader::open(Cursor::new(tiff(&sheets))).unwrap())
        .write_pdf(&mut pdf)
        .unwrap();
    let options = ConvertOptions::default().with_resolution(Resolution::Fine);
    let fax = bench.convert(pdf, options).await.unwrap();
    let mut reader = fax.reader().unwrap();
    for (index, sheet) in (0..).zip(&sheets) {
        let page = reader.page(index).unwrap();
        let mut rows = Vec::new();
        reader
            .decode_page(&page, |row| rows.push(row.to_vec()))
            .unwrap();
        let expected = pixels.upright(sheet.orientation);
        assert_eq!(rows.len(), expected.rows.len());
        let wrong = rows
            .iter()
            .zip(&expected.rows)
            .filter(|(a, b)| a != b)
            .count();
        assert_eq!(wrong, 0, "page {index}");
    }
}
