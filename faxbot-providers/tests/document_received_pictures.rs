//! Received faxes as pictures and thumbnails.
#![cfg(test)]
#![cfg(feature = "document")]

mod document_received_support;

use std::{fs, io::Cursor};

use faxbot_core::{
    DocumentReason, ErrorKind,
    document::{FaxImage, tiff::TiffReader},
};
use faxbot_providers::document::{
    PngOptions, ReceivedFax, ThumbnailOptions, page_thumbnail, received_page_thumbnail,
    received_page_to_png, received_pages_to_png,
};

use document_received_support::{Bitmap, Code, Sheet, damaged, tiff};

fn received(bytes: Vec<u8>) -> ReceivedFax<Cursor<Vec<u8>>> {
    ReceivedFax::new(TiffReader::open(Cursor::new(bytes)).unwrap())
}

/// Width, height, dots per metre, and the rows as they are in the picture.
type Picture = (u32, u32, Option<(u32, u32)>, Vec<u8>);

fn open(png: &[u8]) -> Picture {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let info = reader.info();
    let dims = info.pixel_dims.map(|dims| (dims.xppu, dims.yppu));
    (info.width, info.height, dims, pixels)
}

#[test]
fn pictures_stand_upright() {
    let pixels = Bitmap::pattern(203, 77);
    for orientation in 1..=8 {
        let mut sheet = Sheet::new(&pixels, Code::Mr);
        sheet.orientation = orientation;
        let picture = received(tiff(&[sheet]))
            .page_to_png(0, &PngOptions::new())
            .unwrap();
        let (width, height, dims, rows) = open(&picture.png);
        let upright = pixels.upright(orientation);
        assert_eq!((width, height), (upright.width, upright.height()));
        let (x, y) = (8031, 7717);
        assert_eq!(dims, Some(if orientation < 5 { (x, y) } else { (y, x) }));
        let shown = Bitmap::draw(width, height, |x, y| {
            rows[y as usize * width.div_ceil(8) as usize + x as usize / 8] >> (7 - x % 8) & 1 == 0
        });
        assert!(shown == upright, "{orientation}");
    }
}

#[test]
fn pictures_in_files_can_be_read_by_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fax.tif");
    let sheet = Sheet::new(&Bitmap::pattern(1, 3), Code::T6);
    fs::write(&path, tiff(&[sheet.clone(), sheet])).unwrap();
    let out = directory.path().join("out");
    for _ in 0..2 {
        let paths = received_pages_to_png(&path, &out, &PngOptions::new()).unwrap();
        assert_eq!(paths.len(), 2);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
        let (width, height, _, rows) = open(&fs::read(&paths[1]).unwrap());
        assert_eq!((width, height, rows.len()), (1, 3, 3));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&paths[1]).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

#[test]
fn a_damaged_page_is_a_picture_only_when_it_may_be_repaired() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fax.tif");
    let pixels = Bitmap::pattern(1728, 200);
    for code in [Code::Mh, Code::Mr] {
        let bytes = tiff(&[damaged(&pixels, code)]);
        fs::write(&path, &bytes).unwrap();
        let error = received_page_to_png(&path, 0, &PngOptions::new()).unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
        let options = PngOptions::new().with_repair(true);
        let picture = received(bytes).page_to_png(0, &options).unwrap();
        assert!(picture.quality.bad_rows > 0);
        assert_eq!(
            received_page_to_png(&path, 0, &options).unwrap(),
            picture.png
        );
        assert_eq!(open(&picture.png).1, 200);
    }
    // T.6 codes each row by the one above: there is nothing to go on from.
    let mut sheet = Sheet::new(&pixels, Code::T6);
    sheet.strip = Some(vec![0; 100]);
    let error = received(tiff(&[sheet]))
        .page_to_png(0, &PngOptions::new().with_repair(true))
        .unwrap_err();
    assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
}

#[test]
fn a_thumbnail_has_the_shape_of_the_paper() {
    let options = ThumbnailOptions::new();
    let of = |rows, y, orientation, options: &ThumbnailOptions| {
        let mut sheet = Sheet::new(&Bitmap::draw(1728, rows, |_, _| false), Code::T6);
        sheet.resolution = Some((204, y));
        sheet.orientation = orientation;
        let (width, height, _, grey) =
            open(&received(tiff(&[sheet])).thumbnail(0, options).unwrap());
        assert!(grey.iter().all(|pixel| *pixel == 255));
        assert_eq!(grey.len(), (width * height) as usize);
        (width, height)
    };
    // A4 in each resolution; landscape; a strip of paper.
    assert_eq!(of(1143, 98, 1, &options), (256, 353));
    assert_eq!(of(2286, 196, 1, &options), (256, 353));
    assert_eq!(of(4573, 391, 1, &options), (256, 354));
    assert_eq!(of(2286, 196, 6, &options), (256, 185));
    assert_eq!(of(10_000, 196, 1, &options), (60, 362));
    // As asked for, and no more than the page has.
    let asked = |width, height| {
        ThumbnailOptions::new()
            .with_max_width(width)
            .with_max_height(height)
    };
    assert_eq!(of(2286, 196, 1, &asked(100, 1000)), (100, 138));
    assert_eq!(of(2286, 196, 1, &asked(0, 0)), (1, 1));
    assert_eq!(of(1143, 98, 1, &asked(u32::MAX, u32::MAX)), (828, 1143));
    assert_eq!(of(2286, 196, 1, &asked(u32::MAX, u32::MAX)), (1483, 2048));
}

#[test]
fn each_pixel_of_a_thumbnail_is_the_share_of_black_in_its_part() {
    let pixels = Bitmap::pattern(1728, 700);
    for orientation in 1..=8 {
        let mut sheet = Sheet::new(&pixels, Code::Mr);
        sheet.orientation = orientation;
        let options = ThumbnailOptions::new()
            .with_max_width(90)
            .with_max_height(90);
        let thumbnail = received(tiff(&[sheet])).thumbnail(0, &options).unwrap();
        let (width, height, _, grey) = open(&thumbnail);
        let upright = pixels.upright(orientation);
        let mut total = 0.0;
        for (at, found) in (0..).zip(&grey) {
            let part = |at, parts, whole| at * whole / parts..(at + 1) * whole / parts;
            let (x, y) = (at % width, at / width);
            let columns = part(x, width, upright.width);
            let rows = part(y, height, upright.height());
            let count = |count: usize| f64::from(u32::try_from(count).unwrap());
            let area = count(columns.len() * rows.len());
            let black = rows
                .flat_map(|y| columns.clone().map(move |x| (x, y)))
                .filter(|(x, y)| upright.black(*x, *y))
                .count();
            let expected = 255.0 - count(black) * 255.0 / area;
            // Parts that are counted from the other side may be a pixel larger or smaller.
            total += (expected - f64::from(*found)).abs();
            if orientation == 1 {
                assert!((expected - f64::from(*found)).abs() <= 1.0, "{x},{y}");
            }
        }
        let mean = total / f64::from(width * height);
        assert!(mean < 6.0, "{orientation}: {mean}");
    }
}

#[test]
fn thumbnails_of_faxes_to_send_and_of_damaged_ones_are_made_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fax.tif");
    let options = ThumbnailOptions::new();
    let pixels = Bitmap::pattern(1728, 500);
    fs::write(&path, tiff(&[Sheet::new(&pixels, Code::T6)])).unwrap();
    let image = FaxImage::open(&path).unwrap();
    let clean = page_thumbnail(&image, 0, &options).unwrap();
    assert_eq!(received_page_thumbnail(&path, 0, &options).unwrap(), clean);
    let error = page_thumbnail(&image, 1, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    fs::write(&path, tiff(&[damaged(&pixels, Code::Mr)])).unwrap();
    let repaired = open(&received_page_thumbnail(&path, 0, &options).unwrap());
    let clean = open(&clean);
    assert_eq!((repaired.0, repaired.1), (clean.0, clean.1));
    let differ = repaired.3.iter().zip(&clean.3).filter(|(a, b)| a != b);
    assert!((1..2000).contains(&differ.count()));
}
