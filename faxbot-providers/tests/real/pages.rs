//! Pages to send, and received pages as rows of pixels.

use std::{fs::File, io::BufReader, path::Path, process::Command};

use faxbot_core::document::{
    FaxImage, Resolution,
    ccitt::T6Encoder,
    tiff::{TiffReader, TiffWriter},
};

/// A page as packed rows.
pub(crate) type Rows = Vec<Vec<u8>>;

/// Rows that the header line takes at 196 lines per inch (spandsp).
pub(crate) const HEADER_ROWS: usize = 32;

/// Three pages that take some seconds each at the pace of the tests, so that "in page 2" is a time
/// in which something can happen.
pub(crate) fn slow_pages(directory: &Path) -> FaxImage {
    pages(directory, 3, 330)
}

/// One page that is soon through.
pub(crate) fn quick_page(directory: &Path) -> FaxImage {
    pages(directory, 1, 60)
}

fn pages(directory: &Path, count: u32, rows: u32) -> FaxImage {
    let path = directory.join(format!("{count}-{rows}.tif"));
    let mut writer = TiffWriter::new(File::create(&path).unwrap()).unwrap();
    let mut noise = 0x2545_f491_u32;
    for _ in 0..count {
        let mut encoder = T6Encoder::new(1728).unwrap();
        for _ in 0..rows {
            let row: Vec<u8> = (0..216)
                .map(|_| {
                    noise ^= noise << 13;
                    noise ^= noise >> 17;
                    noise ^= noise << 5;
                    // Half a byte black or white: runs of four pixels and more.
                    [0x00, 0x0f, 0xf0, 0xff][(noise >> 8) as usize % 4]
                })
                .collect();
            encoder.encode_row(&row).unwrap();
        }
        writer
            .add_page(rows, Resolution::Fine, &encoder.finish())
            .unwrap();
    }
    writer.finish().unwrap();
    FaxImage::open(path).unwrap()
}

/// The pixels of a fax TIFF that we made.
pub(crate) fn sent_pixels(image: &FaxImage) -> Vec<Rows> {
    pixels(image.path())
}

/// The pixels of a TIFF that Asterisk received. It is T.4; libtiff makes it T.6, so that another
/// decoder than ours reads what came over the line.
pub(crate) fn received_pixels(tiff: &Path, directory: &Path) -> Vec<Rows> {
    let converted = directory.join("received-g4.tif");
    let output = Command::new("tiffcp")
        .args(["-c", "g4"])
        .args([tiff, &converted])
        .output()
        .expect("tiffcp of libtiff-tools is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    pixels(&converted)
}

fn pixels(path: &Path) -> Vec<Rows> {
    let mut reader = TiffReader::open(BufReader::new(File::open(path).unwrap())).unwrap();
    (0..reader.page_count())
        .map(|index| {
            let page = reader.page(index).unwrap();
            assert_eq!(page.width, 1728);
            let mut rows = Rows::new();
            reader
                .decode_page(&page, |row| rows.push(row.to_vec()))
                .unwrap();
            rows
        })
        .collect()
}

/// Compares pages pixel by pixel and tells the first difference.
pub(crate) fn assert_same_pixels(sent: &[Rows], received: &[Rows]) {
    assert_eq!(sent.len(), received.len(), "pages");
    for (number, (sent, received)) in (1..).zip(sent.iter().zip(received)) {
        assert_eq!(sent.len(), received.len(), "rows of page {number}");
        for (row, (sent, received)) in sent.iter().zip(received).enumerate() {
            assert!(sent == received, "page {number}, row {row} differs");
        }
    }
}
