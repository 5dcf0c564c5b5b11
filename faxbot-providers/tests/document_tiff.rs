//! Fax TIFF through the converter, and fax pages as pictures.
#![cfg(test)]
#![cfg(feature = "document")]

mod document_support;

use std::{fs, io::Cursor};

use faxbot_core::{
    DocumentReason, ErrorKind,
    document::{ConvertOptions, Resolution, ccitt::T6Encoder, tiff::TiffWriter},
};
use faxbot_providers::document::{
    PngOptions, page_to_png, pages_to_png, received_page_to_png, received_pages_to_png,
};

use document_support::{Bench, with_limits};

fn tiff(width: u32, resolution: Resolution, pages: &[&[Vec<u8>]]) -> Vec<u8> {
    let mut writer = TiffWriter::new(Cursor::new(Vec::new()))
        .unwrap()
        .with_width(width)
        .unwrap();
    for rows in pages {
        let mut encoder = T6Encoder::new(width).unwrap();
        for row in *rows {
            encoder.encode_row(row).unwrap();
        }
        writer
            .add_page(encoder.rows(), resolution, &encoder.finish())
            .unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn pattern(width: usize, rows: usize, seed: usize) -> Vec<Vec<u8>> {
    (0..rows)
        .map(|y| {
            (0..width / 8)
                .map(|x| u8::try_from((x * seed + y * 7) % 251).unwrap())
                .collect()
        })
        .collect()
}

#[tokio::test]
async fn a_fax_tiff_keeps_its_pixels_and_its_resolution() {
    let bench = Bench::new();
    for resolution in Resolution::ALL {
        let (first, second) = (pattern(1728, 50, 3), pattern(1728, 70, 5));
        let source = tiff(1728, resolution, &[&first, &second]);
        let image = bench
            .convert(source, ConvertOptions::default())
            .await
            .unwrap();
        assert_eq!((image.pages(), image.resolution()), (2, resolution));
        let mut reader = image.reader().unwrap();
        for (index, rows) in [first, second].into_iter().enumerate() {
            let page = reader.page(u32::try_from(index).unwrap()).unwrap();
            let mut found = Vec::new();
            reader
                .decode_page(&page, |row| found.push(row.to_vec()))
                .unwrap();
            assert_eq!(found, rows);
        }
    }
}

#[tokio::test]
async fn a_damaged_fax_is_refused() {
    let bench = Bench::new();
    let rows = pattern(1728, 300, 3);
    let good = tiff(1728, Resolution::Fine, &[&rows]);
    // The header, the strip, or the directory behind it is cut.
    for cut in [9, good.len() / 2, good.len() - 3] {
        let reason = bench.refused(&good[..cut], ConvertOptions::default()).await;
        assert_eq!(reason, Some(DocumentReason::Damaged), "cut at {cut}");
    }
    // Code words that are none, in the strip.
    let mut bad = good.clone();
    bad[1000..1100].fill(0);
    assert_eq!(
        bench.refused(bad, ConvertOptions::default()).await,
        Some(DocumentReason::Damaged)
    );
}

#[tokio::test]
async fn a_tiff_above_a_limit_is_refused() {
    let bench = Bench::new();
    let rows = pattern(1728, 10, 3);
    let two = tiff(1728, Resolution::Fine, &[&rows, &rows]);
    assert_eq!(
        bench
            .refused(two.clone(), with_limits(|limits| limits.pages = 1))
            .await,
        Some(DocumentReason::TooLarge)
    );
    assert_eq!(
        bench
            .refused(two, with_limits(|limits| limits.pixels = 1728 * 9))
            .await,
        Some(DocumentReason::TooLarge)
    );
}

#[tokio::test]
async fn a_tiff_keeps_its_pixels_from_strips_and_inverted_bits() {
    let bench = Bench::new();
    let rows = pattern(1728, 10, 3);
    let inverted: Vec<u8> = rows.concat().iter().map(|byte| !byte).collect();
    let image = bench
        .convert(uncompressed(&inverted, 4), ConvertOptions::default())
        .await
        .unwrap();
    let mut reader = image.reader().unwrap();
    let page = reader.page(0).unwrap();
    assert_eq!((page.rows, page.strips.len()), (10, 1));
    let mut found = Vec::new();
    reader
        .decode_page(&page, |row| found.push(row.to_vec()))
        .unwrap();
    assert_eq!(found, rows);
}

#[cfg(not(feature = "render"))]
#[tokio::test]
async fn a_pdf_needs_the_renderer() {
    let error = Bench::new()
        .convert(&b"%PDF-1.7"[..], ConvertOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn pages_become_pictures_with_their_pixels_and_resolution() {
    let bench = Bench::new();
    for (resolution, options, repeat, y) in [
        (Resolution::Fine, PngOptions::new(), 1, 7717),
        (Resolution::Standard, PngOptions::new(), 2, 7716),
        (
            Resolution::Standard,
            PngOptions::new().with_double_standard_rows(false),
            1,
            3858,
        ),
        (Resolution::Superfine, PngOptions::new(), 1, 15394),
    ] {
        let rows = pattern(1728, 20, 3);
        let image = bench
            .convert(
                tiff(1728, resolution, &[&rows, &rows]),
                ConvertOptions::default(),
            )
            .await
            .unwrap();
        let target = tempfile::tempdir().unwrap();
        let paths = pages_to_png(&image, target.path().join("pages"), &options).unwrap();
        assert_eq!(
            paths
                .iter()
                .map(|path| path.file_name().unwrap().to_str().unwrap())
                .collect::<Vec<_>>(),
            ["page-001.png", "page-002.png"]
        );
        let picture = page_to_png(&image, 0, &options).unwrap();
        assert_eq!(fs::read(&paths[0]).unwrap(), picture);

        let mut reader = png::Decoder::new(Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let dims = reader.info().pixel_dims.unwrap();
        assert_eq!(
            (reader.info().width, reader.info().height as usize),
            (1728, 20 * repeat)
        );
        assert_eq!((dims.xppu, dims.yppu), (8031, y));
        for (index, row) in pixels.chunks(216).enumerate() {
            let black: Vec<u8> = row.iter().map(|byte| !byte).collect();
            assert_eq!(black, rows[index / repeat]);
        }
        assert_eq!(
            page_to_png(&image, 2, &options).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

/// Width, rows, dots per metre and the packed pixels, 1 is black.
type Picture = (u32, u32, Option<(u32, u32)>, Vec<u8>);

fn picture(png: Vec<u8>) -> Picture {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let info = reader.info();
    let black = pixels.iter().map(|byte| !byte).collect();
    let dims = info.pixel_dims.map(|dims| (dims.xppu, dims.yppu));
    (info.width, info.height, dims, black)
}

/// A page of 60 rows as Asterisk received it: MR, byte-aligned, least significant bit first.
fn received() -> Vec<u8> {
    let file = "/../faxbot-core/tests/files/received-asterisk-22.tif";
    fs::read(env!("CARGO_MANIFEST_DIR").to_owned() + file).unwrap()
}

#[tokio::test]
async fn a_fax_that_asterisk_received_becomes_pictures_and_can_be_sent_on() {
    let bench = Bench::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("received.tif");
    fs::write(&path, received()).unwrap();
    let options = PngOptions::new();
    let png = received_page_to_png(&path, 0, &options).unwrap();
    let paths = received_pages_to_png(&path, directory.path().join("pages"), &options).unwrap();
    assert_eq!(paths, [directory.path().join("pages/page-001.png")]);
    assert_eq!(fs::read(&paths[0]).unwrap(), png);
    let shown = picture(png);
    assert_eq!((shown.0, shown.1, shown.2), (1728, 60, Some((8031, 7717))));

    // The converter makes a file of the same pixels, and of one strip.
    let image = bench
        .convert(received(), ConvertOptions::default())
        .await
        .unwrap();
    assert_eq!(picture(page_to_png(&image, 0, &options).unwrap()), shown);
    assert!(shown.3.iter().any(|byte| *byte != 0));
}

#[test]
fn a_received_fax_without_a_picture_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("+15551230000.tif");
    let show = |bytes: &[u8], page| {
        fs::write(&path, bytes).unwrap();
        let error = received_page_to_png(&path, page, &PngOptions::new()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("5551230000"));
        (error.kind(), error.document_reason())
    };
    let whole = received();
    assert_eq!(show(&whole, 1), (ErrorKind::NotFound, None));
    let document = |reason| (ErrorKind::Document, Some(reason));
    assert_eq!(show(b"no tiff", 0), document(DocumentReason::UnknownFormat));
    assert_eq!(
        show(&whole[..whole.len() - 300], 0),
        document(DocumentReason::Damaged)
    );
    // Rows in the middle of the page are no code words.
    let mut damaged = whole;
    damaged[4000..4010].fill(0xaa);
    assert_eq!(show(&damaged, 0), document(DocumentReason::Damaged));
    let missing = received_page_to_png(directory.path().join("no"), 0, &PngOptions::new());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn pages_of_a_received_fax_may_differ_and_need_no_resolution() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("received.tif");
    let rows = pattern(1728, 20, 3);
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    for resolution in [Resolution::Fine, Resolution::Standard] {
        let mut encoder = T6Encoder::new(1728).unwrap();
        for row in &rows {
            encoder.encode_row(row).unwrap();
        }
        writer.add_page(20, resolution, &encoder.finish()).unwrap();
    }
    fs::write(&path, writer.finish().unwrap().into_inner()).unwrap();
    let show = |page| picture(received_page_to_png(&path, page, &PngOptions::new()).unwrap());
    let (fine, standard) = (show(0), show(1));
    assert_eq!((fine.1, fine.2), (20, Some((8031, 7717))));
    assert_eq!((standard.1, standard.2), (40, Some((8031, 7716))));
    assert_eq!(fine.3, rows.concat());

    // 300 lines per inch in the directory of an uncompressed page.
    let mut odd = uncompressed(&rows.concat(), 10);
    let at = odd
        .windows(8)
        .position(|bytes| bytes == [0, 0, 0, 196, 0, 0, 0, 1])
        .unwrap();
    odd[at + 2..at + 4].copy_from_slice(&300_u16.to_be_bytes());
    fs::write(&path, odd).unwrap();
    let odd = show(0);
    assert_eq!((odd.0, odd.1, odd.2), (1728, 20, None));
}

/// A big-endian TIFF as a scanner may write it: uncompressed, 0 is black, several strips.
fn uncompressed(pixels: &[u8], rows_per_strip: usize) -> Vec<u8> {
    let rows = pixels.len() / 216;
    let strips: Vec<&[u8]> = pixels.chunks(216 * rows_per_strip).collect();
    let mut file = b"MM\0*\0\0\0\0".to_vec();
    let mut offsets = Vec::new();
    let mut counts = Vec::new();
    for strip in &strips {
        offsets.extend_from_slice(&u32::try_from(file.len()).unwrap().to_be_bytes());
        counts.extend_from_slice(&u32::try_from(strip.len()).unwrap().to_be_bytes());
        file.extend_from_slice(strip);
    }
    let mut blob = |bytes: &[u8]| {
        let at = u32::try_from(file.len()).unwrap();
        file.extend_from_slice(bytes);
        at
    };
    let (offsets, counts) = (blob(&offsets), blob(&counts));
    let x = blob(&[0, 0, 0, 204, 0, 0, 0, 1]);
    let y = blob(&[0, 0, 0, 196, 0, 0, 0, 1]);
    let (rows, strips) = (
        u32::try_from(rows).unwrap(),
        u32::try_from(strips.len()).unwrap(),
    );
    let per_strip = u32::try_from(rows_per_strip).unwrap();
    // Tag, type (4 is a long, 5 a fraction), count, value or place.
    let entries = [
        (256, 4, 1, 1728),
        (257, 4, 1, rows),
        (258, 4, 1, 1),
        (259, 4, 1, 1),
        (262, 4, 1, 1),
        (273, 4, strips, offsets),
        (277, 4, 1, 1),
        (278, 4, 1, per_strip),
        (279, 4, strips, counts),
        (282, 5, 1, x),
        (283, 5, 1, y),
        (296, 4, 1, 2),
    ];
    let at = u32::try_from(file.len()).unwrap();
    file[4..8].copy_from_slice(&at.to_be_bytes());
    file.extend_from_slice(&u16::try_from(entries.len()).unwrap().to_be_bytes());
    for (tag, kind, count, value) in entries {
        file.extend_from_slice(&u16::to_be_bytes(tag));
        file.extend_from_slice(&u16::to_be_bytes(kind));
        file.extend_from_slice(&u32::to_be_bytes(count));
        file.extend_from_slice(&u32::to_be_bytes(value));
    }
    file.extend_from_slice(&[0; 4]);
    file
}
