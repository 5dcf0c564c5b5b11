//! Received faxes as PDF, as clean faxes that can be sent on, and their facts.
#![cfg(test)]
#![cfg(feature = "document")]

mod document_received_support;

use std::{fs, io::Cursor};

use faxbot_core::{
    DocumentReason, Error, ErrorKind,
    document::{
        FaxCoding, FaxImage, FaxWidth, Resolution,
        ccitt::PageQuality,
        tiff::{Compression, TiffReader},
    },
};
use faxbot_providers::document::{
    ReceivedFax, fax_to_pdf, received_info, received_to_pdf, repair_received,
};

use document_received_support::{Bitmap, Code, Pdf, Sheet, damaged, from_asterisk, tiff};

fn received(bytes: Vec<u8>) -> ReceivedFax<Cursor<Vec<u8>>> {
    ReceivedFax::new(TiffReader::open(Cursor::new(bytes)).unwrap())
}

fn pdf(bytes: Vec<u8>) -> Pdf {
    let mut out = Vec::new();
    received(bytes).write_pdf(&mut out).unwrap();
    Pdf::parse(&out)
}

/// The rows of a page as our own decoder finds them, repaired.
fn decoded(bytes: &[u8], page: u32) -> Bitmap {
    let mut reader = TiffReader::open(Cursor::new(bytes)).unwrap();
    let page = reader.page(page).unwrap();
    let mut rows = Vec::new();
    reader
        .decode_page_repaired(&page, |row| rows.push(row.to_vec()))
        .unwrap();
    Bitmap {
        width: page.width,
        rows,
    }
}

fn kind(error: &Error) -> (ErrorKind, Option<DocumentReason>) {
    (error.kind(), error.document_reason())
}

#[test]
fn the_coded_rows_of_a_page_are_in_the_pdf_untouched() {
    let pixels = Bitmap::pattern(1728, 60);
    for (code, k) in [
        (Code::T6, -1),
        (Code::Mr, 4),
        (Code::Mh, 0),
        (Code::MhAligned, 0),
    ] {
        for (lsb_first, min_is_black, aligned) in [
            (false, false, false),
            (true, false, false),
            (false, true, false),
            (true, true, true),
        ] {
            let mut sheet = Sheet::new(&pixels, code);
            sheet.lsb_first = lsb_first;
            sheet.min_is_black = min_is_black;
            sheet.aligned = aligned && matches!(code, Code::Mr | Code::Mh);
            let pdf = pdf(tiff(std::slice::from_ref(&sheet)));
            let images = pdf.images();
            let [image] = images.as_slice() else {
                panic!("{} images", images.len());
            };
            assert_eq!(image.data, sheet.strips()[0], "{code:?}");
            assert_eq!(image.number("K"), Some(k));
            let flags = ["BlackIs1", "EncodedByteAlign", "EndOfLine"].map(|key| image.is_true(key));
            let lines = matches!(code, Code::Mr | Code::Mh);
            assert_eq!(flags, [min_is_black, code == Code::MhAligned, lines]);
            // Rows ends the page: not every file has the code for it.
            assert!(image.dictionary.contains("/EndOfBlock false"));
            assert!(image.pixels() == pixels, "{code:?}");
        }
    }
}

#[test]
fn a_page_that_asterisk_received_is_embedded_as_it_came() {
    let bytes = from_asterisk();
    let mut reader = TiffReader::open(Cursor::new(&bytes)).unwrap();
    let page = reader.page(0).unwrap();
    let mut strip = reader.read_strip(page.strips[0]).unwrap();
    strip
        .iter_mut()
        .for_each(|byte| *byte = byte.reverse_bits());
    let shown = decoded(&bytes, 0);
    let pdf = pdf(bytes);
    assert_eq!(pdf.images()[0].number("K"), Some(4));
    assert!(pdf.images()[0].data == strip);
    assert!(pdf.images()[0].pixels() == shown);
}

#[test]
fn what_cannot_be_embedded_is_coded_anew_with_the_same_pixels() {
    let pixels = Bitmap::pattern(1729, 60);
    let packed = Sheet::new(&pixels, Code::Packed);
    let mut strips = Sheet::new(&pixels, Code::Mr);
    strips.rows_per_strip = 7;
    // Twelve bits: the end-of-line code before the first row is left out.
    let mut headless = Sheet::new(&pixels, Code::Mh);
    let strip = headless.strips().remove(0);
    let nibbles: Vec<u8> = strip
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .collect();
    let strip = nibbles[3..]
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair.get(1).unwrap_or(&0));
    headless.strip = Some(strip.collect());
    for sheet in [packed, strips, headless] {
        let bytes = tiff(std::slice::from_ref(&sheet));
        let pdf = pdf(bytes);
        assert_eq!(pdf.images()[0].number("K"), Some(-1));
        assert!(pdf.images()[0].pixels() == pixels);
    }
}

#[test]
fn rows_that_follow_one_code_alone_are_coded_anew() {
    // Viewers look for a code before each row and would find none of these.
    let pixels = Bitmap::draw(8, 3, |x, _| (2..5).contains(&x));
    let mut sheet = Sheet::new(&pixels, Code::Mh);
    // The code; then 0111 10 1000 for each row: two white, three black, three white.
    sheet.strip = Some(vec![0x00, 0x17, 0xa1, 0xe8, 0x7a, 0x00]);
    let mut out = Vec::new();
    let quality = received(tiff(&[sheet])).write_pdf(&mut out).unwrap();
    assert!(quality[0].is_clean());
    let pdf = Pdf::parse(&out);
    assert_eq!(pdf.images()[0].number("K"), Some(-1));
    assert!(pdf.images()[0].pixels() == pixels);
}

#[test]
fn a_damaged_page_is_repaired_in_the_pdf_and_told() {
    let pixels = Bitmap::pattern(1728, 200);
    for code in [Code::Mh, Code::Mr] {
        let bytes = tiff(&[damaged(&pixels, code), Sheet::new(&pixels, code)]);
        let repaired = decoded(&bytes, 0);
        let mut out = Vec::new();
        let quality = received(bytes).write_pdf(&mut out).unwrap();
        assert!(
            quality[0].bad_rows > 0 && quality[0].bad_rows < 30,
            "{quality:?}"
        );
        assert!(quality[1].is_clean());
        let pdf = Pdf::parse(&out);
        let images = pdf.images();
        assert_eq!(images[0].number("K"), Some(-1));
        assert!(images[0].pixels() == repaired);
        assert!(repaired != pixels);
        assert_ne!(images[1].number("K"), Some(-1));
    }
}

#[test]
fn the_paper_has_the_size_that_the_resolution_means() {
    let points = |mm: f64| mm * 72.0 / 25.4;
    let of = |width, rows, resolution, orientation| {
        let mut sheet = Sheet::new(&Bitmap::draw(width, rows, |_, _| false), Code::T6);
        sheet.resolution = resolution;
        sheet.orientation = orientation;
        pdf(tiff(&[sheet])).media_box(0)
    };
    for (found, (width, height)) in [
        // A4 as fax has it, in each resolution, and as files round it.
        (of(1728, 1143, Some((204, 98)), 1), (215.0, 1143.0 / 3.85)),
        (of(1728, 2286, Some((204, 196)), 1), (215.0, 2286.0 / 7.7)),
        (of(1728, 2286, Some((200, 200)), 1), (215.0, 2286.0 / 7.7)),
        (of(1728, 4573, Some((204, 391)), 1), (215.0, 4573.0 / 15.4)),
        (of(2048, 100, Some((204, 196)), 1), (255.0, 100.0 / 7.7)),
        (of(2432, 100, Some((204, 196)), 1), (303.0, 100.0 / 7.7)),
        // Nothing said, or nonsense.
        (of(1728, 770, None, 1), (215.0, 100.0)),
        (of(1728, 770, Some((0, 1)), 1), (215.0, 100.0)),
        // A scanner's.
        (of(2550, 3300, Some((300, 300)), 1), (215.9, 279.4)),
        // On its side.
        (of(1728, 770, Some((204, 196)), 6), (100.0, 215.0)),
        // Longer than a page can be: smaller in both directions.
        (of(1728, 30_000, Some((204, 98)), 1), (140.17, 5080.0)),
    ] {
        assert!((found.0 - points(width)).abs() < 0.1, "{found:?} {width}");
        assert!((found.1 - points(height)).abs() < 0.1, "{found:?} {height}");
    }
}

#[test]
fn a_pdf_says_nothing_but_its_pages() {
    let mut sheet = Sheet::new(&Bitmap::pattern(1728, 60), Code::Mr);
    sheet.lsb_first = true;
    let bytes = tiff(&[sheet]);
    let directory = tempfile::tempdir().unwrap();
    let fax = directory.path().join("+15551230000.tif");
    fs::write(&fax, &bytes).unwrap();
    let mut out = Vec::new();
    received(bytes).write_pdf(&mut out).unwrap();
    let target = directory.path().join("fax.pdf");
    received_to_pdf(&fax, &target).unwrap();
    // No date, no name, no random number: the same each time.
    assert_eq!(fs::read(&target).unwrap(), out);
    let pdf = Pdf::parse(&out);
    assert_eq!(pdf.objects.len(), 5);
    for word in ["/Info", "/ID", "/Metadata", "/Producer", "/CreationDate"] {
        assert!(!pdf.trailer.contains(word), "{word}");
        assert!(
            pdf.objects.iter().all(|object| !object.contains(word)),
            "{word}"
        );
    }
}

#[test]
fn a_pdf_file_is_whole_private_or_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let (fax, target) = (
        directory.path().join("fax.tif"),
        directory.path().join("out.pdf"),
    );
    let files = || fs::read_dir(&directory).unwrap().count();
    let good = Sheet::new(&Bitmap::pattern(1728, 60), Code::T6);
    let mut bad = good.clone();
    bad.strip = Some(vec![0; 100]);
    fs::write(&fax, tiff(&[good.clone(), bad])).unwrap();
    let error = received_to_pdf(&fax, &target).unwrap_err();
    assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
    assert!(error.message().starts_with("page 2 of the fax"), "{error}");
    assert_eq!(files(), 1);
    // An earlier file stays when the new one cannot be made, and goes when it can.
    fs::write(&target, b"earlier").unwrap();
    received_to_pdf(&fax, &target).unwrap_err();
    assert_eq!(fs::read(&target).unwrap(), b"earlier");
    fs::write(&fax, tiff(&[good])).unwrap();
    received_to_pdf(&fax, &target).unwrap();
    assert!(fs::read(&target).unwrap().starts_with(b"%PDF"));
    assert_eq!(files(), 2);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&target).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let missing = directory.path().join("+15551230000").join("out.pdf");
    let error = received_to_pdf(&fax, &missing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(!format!("{error} {error:?}").contains("5551230000"));
    let error = received_to_pdf(directory.path().join("none"), &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn a_fax_of_ours_becomes_a_pdf_page_by_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fax.tif");
    let pages: Vec<_> = (1..=20)
        .map(|rows| Bitmap::pattern(1728, rows * 10))
        .collect();
    let sheets: Vec<_> = pages
        .iter()
        .map(|page| Sheet::new(page, Code::T6))
        .collect();
    fs::write(&path, tiff(&sheets)).unwrap();
    let target = directory.path().join("fax.pdf");
    fax_to_pdf(&FaxImage::open(&path).unwrap(), &target).unwrap();
    let pdf = Pdf::parse(&fs::read(&target).unwrap());
    assert!(pdf.objects[1].contains("/Count 20"));
    let found: Vec<_> = pdf.images().iter().map(|image| image.pixels()).collect();
    assert!(found == pages);
}

#[test]
fn a_fax_to_send_is_never_repaired_unnoticed() {
    let directory = tempfile::tempdir().unwrap();
    let (path, target) = (
        directory.path().join("fax.tif"),
        directory.path().join("fax.pdf"),
    );
    let mut sheet = damaged(&Bitmap::pattern(1728, 200), Code::Mh);
    let strip = sheet.strip.take().unwrap();
    // Without the first end-of-line code it has to be coded anew.
    let bits = strip
        .windows(2)
        .skip(1)
        .map(|pair| pair[0] << 4 | pair[1] >> 4);
    sheet.strip = Some(bits.collect());
    fs::write(&path, tiff(&[sheet])).unwrap();
    let error = fax_to_pdf(&FaxImage::open(&path).unwrap(), &target).unwrap_err();
    assert_eq!(error.document_reason(), Some(DocumentReason::Damaged));
    assert!(!target.exists());
}

#[test]
fn a_repaired_fax_can_be_sent_and_tells_what_was_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fax.tif");
    let pixels = Bitmap::pattern(1728, 200);
    let mut strips = Sheet::new(&pixels, Code::MhAligned);
    strips.rows_per_strip = 30;
    strips.min_is_black = true;
    let mut told = Sheet::new(&pixels, Code::T6);
    told.tags = vec![(326, 9), (327, 1), (328, 4)];
    let bytes = tiff(&[damaged(&pixels, Code::Mr), strips, told]);
    fs::write(&path, &bytes).unwrap();
    let fax = repair_received(&path, directory.path()).unwrap();
    assert_eq!(
        (fax.image.pages(), fax.image.width(), fax.image.resolution()),
        (3, FaxWidth::A4, Resolution::Fine)
    );
    assert!(fax.quality[0].bad_rows > 0 && fax.quality[1].is_clean());
    // What the receiver repaired itself stays told.
    assert_eq!(
        (fax.quality[2].bad_rows, fax.quality[2].longest_bad_run),
        (9, 4)
    );
    let mut reader = fax.image.reader().unwrap();
    for (index, quality) in (0..).zip(&fax.quality) {
        let page = reader.page(index).unwrap();
        assert_eq!((page.compression, page.strips.len()), (Compression::T6, 1));
        assert_eq!(page.bad_rows, Some(quality.bad_rows));
        assert_eq!(page.consecutive_bad_rows, Some(quality.longest_bad_run));
        assert_eq!(page.clean_fax_data, Some(u16::from(!quality.is_clean())));
        let mut rows = Vec::new();
        reader
            .decode_page(&page, |row| rows.push(row.to_vec()))
            .unwrap();
        assert!(rows == decoded(&bytes, index).rows);
    }
    drop((reader, fax));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn a_repaired_fax_stands_upright() {
    let directory = tempfile::tempdir().unwrap();
    for orientation in 1..=8 {
        // Stored so that it is 1728 pixels wide once it is upright.
        let (width, rows, resolution) = match orientation {
            1..=4 => (1728, 100, (204, 196)),
            _ => (100, 1728, (196, 204)),
        };
        let pixels = Bitmap::pattern(width, rows);
        let mut sheet = Sheet::new(&pixels, Code::Mr);
        sheet.orientation = orientation;
        sheet.resolution = Some(resolution);
        let fax = received(tiff(&[sheet])).repair(&directory).unwrap();
        assert_eq!(fax.image.resolution(), Resolution::Fine);
        let file = fs::read(fax.image.path()).unwrap();
        assert!(
            decoded(&file, 0) == pixels.upright(orientation),
            "{orientation}"
        );
    }
}

#[test]
fn what_a_fax_cannot_carry_is_not_repaired_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let pixels = Bitmap::pattern(1728, 60);
    let sheet = |resolution, orientation| {
        let mut sheet = Sheet::new(&pixels, Code::Mr);
        sheet.resolution = resolution;
        sheet.orientation = orientation;
        sheet
    };
    let fine = sheet(Some((204, 196)), 1);
    let wide = Sheet::new(&Bitmap::pattern(2048, 60), Code::Mr);
    for (sheets, word) in [
        (
            vec![Sheet::new(&Bitmap::pattern(1700, 60), Code::T6)],
            "1700 pixels",
        ),
        (vec![sheet(Some((300, 300)), 1)], "204 pixels per inch"),
        (vec![sheet(Some((204, 300)), 1)], "98, 196 or 391"),
        (vec![sheet(None, 1)], "98, 196 or 391"),
        (vec![sheet(Some((204, 196)), 6)], "60 pixels"),
        (vec![fine.clone(), sheet(Some((204, 98)), 1)], "differ"),
        (vec![fine, wide], "differ"),
    ] {
        let bytes = tiff(&sheets);
        let error = received(bytes.clone()).repair(&directory).unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Unsuitable));
        assert!(error.to_string().contains(word), "{error}");
        // It can still be looked at.
        assert_eq!(pdf(bytes).images().len(), sheets.len());
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn the_facts_of_each_page_are_told() {
    let pixels = Bitmap::pattern(1728, 60);
    let mut broken = Sheet::new(&pixels, Code::T6);
    broken.strip = Some(vec![0; 50]);
    let mut odd = Sheet::new(&Bitmap::pattern(900, 20), Code::Packed);
    odd.resolution = None;
    odd.orientation = 8;
    let pages = [
        Sheet::new(&pixels, Code::Mr),
        damaged(&pixels, Code::Mh),
        broken,
        odd,
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fax.tif");
    fs::write(&path, tiff(&pages)).unwrap();
    let info = received_info(&path).unwrap();
    let facts: Vec<_> = info
        .iter()
        .map(|page| {
            (
                page.width,
                page.rows,
                page.resolution,
                page.coding,
                page.orientation,
            )
        })
        .collect();
    let fine = Some(Resolution::Fine);
    assert_eq!(
        facts,
        [
            (1728, 60, fine, Some(FaxCoding::Mr), 1),
            (1728, 60, fine, Some(FaxCoding::Mh), 1),
            (1728, 60, fine, Some(FaxCoding::T6), 1),
            (900, 20, None, None, 8),
        ]
    );
    let quality: Vec<_> = info
        .iter()
        .map(|page| page.quality.map(|it| it.is_clean()))
        .collect();
    assert_eq!(quality, [Some(true), Some(false), None, Some(true)]);
}

#[test]
fn what_the_receiver_counted_is_told_where_the_rows_do_not_show_it() {
    let directory = tempfile::tempdir().unwrap();
    for (clean_fax_data, repaired) in [(1, true), (2, false)] {
        let mut sheet = Sheet::new(&Bitmap::pattern(1728, 60), Code::Mh);
        // BadFaxLines, CleanFaxData, ConsecutiveBadFaxLines (RFC 2306).
        sheet.tags = vec![(326, 5), (327, clean_fax_data), (328, 3)];
        let bytes = tiff(&[sheet]);
        let quality = received(bytes.clone()).info().unwrap()[0].quality.unwrap();
        assert_eq!(quality, PageQuality::new(5, 3).with_repaired(repaired));
        let image = received(bytes).repair(&directory).unwrap().image;
        let page = image.reader().unwrap().page(0).unwrap();
        assert_eq!(page.clean_fax_data.map(u32::from), Some(clean_fax_data));
        assert_eq!(
            (page.bad_rows, page.consecutive_bad_rows),
            (Some(5), Some(3))
        );
    }
}

#[test]
fn hostile_files_are_refused_by_everything() {
    let directory = tempfile::tempdir().unwrap();
    let pixels = Bitmap::pattern(1728, 60);
    let with = |tag, value| {
        let mut sheet = Sheet::new(&pixels, Code::Mr);
        sheet.tags = vec![(tag, value)];
        tiff(&[sheet])
    };
    let document = |reason| (ErrorKind::Document, Some(reason));
    for (bytes, expected) in [
        (with(256, 0), DocumentReason::Damaged),
        (with(257, 0), DocumentReason::Damaged),
        (with(256, 4_000_000_000), DocumentReason::TooLarge),
        (with(257, 4_000_000_000), DocumentReason::TooLarge),
        (with(274, 9), DocumentReason::Damaged),
        (with(274, 0), DocumentReason::Damaged),
        (with(279, 100_000_000), DocumentReason::Damaged),
        (with(258, 8), DocumentReason::Unsuitable),
        (with(259, 5), DocumentReason::Unsuitable),
        (with(262, 2), DocumentReason::Unsuitable),
        // Nothing in it is a row.
        (
            {
                let mut sheet = Sheet::new(&pixels, Code::Mh);
                sheet.strip = Some(vec![0xaa; 100]);
                tiff(&[sheet])
            },
            DocumentReason::Damaged,
        ),
    ] {
        let mut fax = received(bytes);
        let error = fax.write_pdf(Vec::new()).unwrap_err();
        assert_eq!(kind(&error), document(expected), "{error:?}");
        let error = fax.repair(&directory).unwrap_err();
        assert_eq!(kind(&error), document(expected), "{error:?}");
        let error = fax.thumbnail(0, &Default::default()).unwrap_err();
        assert_eq!(kind(&error), document(expected), "{error:?}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn a_file_cut_anywhere_gives_an_error_or_a_page() {
    let whole = from_asterisk();
    for cut in (0..whole.len()).step_by(61) {
        let Ok(reader) = TiffReader::open(Cursor::new(whole[..cut].to_vec())) else {
            continue;
        };
        let mut fax = ReceivedFax::new(reader);
        if let Err(error) = fax.write_pdf(Vec::new()) {
            assert_eq!(error.kind(), ErrorKind::Document);
        }
        let _ = fax.info();
        let _ = fax.thumbnail(0, &Default::default());
    }
}
