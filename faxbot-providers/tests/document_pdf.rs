//! PDFs as they come, through the converter: threads, boxes, fonts, forms.
#![cfg(test)]
#![cfg(feature = "render")]

mod document_support;

use std::fs;

use faxbot_core::{
    DocumentReason, ErrorKind,
    document::{ConvertOptions, DocumentConverter, FaxCoding, FaxImage, Resolution},
};

use document_support::{
    Bench,
    pdf::{A4, CATALOG, lines, page, pdf, stream, text_pages},
};

/// Black pixels of each quarter of the first page: top left, top right, bottom left, bottom right.
fn quarters(image: &FaxImage) -> [usize; 4] {
    let mut reader = image.reader().unwrap();
    let page = reader.page(0).unwrap();
    let (rows, half) = (page.rows as usize, page.width as usize / 16);
    let mut found = [0; 4];
    let mut row_index = 0;
    reader
        .decode_page(&page, |row| {
            let below = usize::from(row_index >= rows / 2) * 2;
            for (side, bytes) in [&row[..half], &row[half..]].into_iter().enumerate() {
                found[below + side] += bytes
                    .iter()
                    .map(|byte| byte.count_ones() as usize)
                    .sum::<usize>();
            }
            row_index += 1;
        })
        .unwrap();
    found
}

#[tokio::test]
async fn pages_keep_their_order_whoever_draws_them() {
    let bench = Bench::new();
    // The first is by far the slowest.
    let document = text_pages(7, |index| {
        lines(index, if index == 0 { 60 } else { 2 * index })
    });
    let many = bench
        .convert(document, ConvertOptions::default())
        .await
        .unwrap();
    let mut reader = many.reader().unwrap();
    let sizes: Vec<u64> = (0..7)
        .map(|index| reader.page(index).unwrap().data_len())
        .collect();
    assert!(sizes[0] > sizes[6], "{sizes:?}");
    assert!(sizes[1..].is_sorted(), "{sizes:?}");
}

#[tokio::test]
async fn the_first_page_that_fails_is_the_error() {
    let bench = Bench::new();
    let font = "<< /Type /Font /Subtype /Type0 /BaseFont /Ryumin-Light /Encoding /90ms-RKSJ-H \
                /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /Ryumin-Light \
                /CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >> >>] >>";
    let page = |contents: &str, resources: &str| {
        format!("<< /Type /Page /Parent 2 0 R {A4} {contents} {resources} >>").into_bytes()
    };
    let objects = vec![
        CATALOG.as_bytes().to_vec(),
        b"<< /Type /Pages /Kids [3 0 R 4 0 R 5 0 R 5 0 R] /Count 3 >>".to_vec(),
        page("/Contents 7 0 R", ""),
        page("/Contents 7 0 R", "/Resources << /Font << /F 6 0 R >> >>"),
        page("/Contents 99 0 R", ""),
        font.as_bytes().to_vec(),
        stream("", b"BT /F 20 Tf 50 700 Td <82a082a2> Tj ET"),
    ];
    // Page 1 has no such font and shows nothing; page 2 is the first that fails, not page 3.
    for _ in 0..5 {
        let error = bench
            .convert(pdf(&objects), ConvertOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::Unsuitable));
        assert!(error.to_string().contains("embed"), "{error}");
        assert_eq!((bench.files(), bench.converter.abandoned()), (0, 0));
    }
}

#[tokio::test]
async fn standard_fonts_need_not_be_embedded() {
    let bench = Bench::new();
    for font in ["Helvetica", "Times-Bold", "Courier", "ArialMT", "Symbol"] {
        let font = format!("<< /Type /Font /Subtype /Type1 /BaseFont /{font} >>");
        let document = page(
            &format!("{A4} /Resources << /Font << /F 5 0 R >> >>"),
            "BT /F 40 Tf 50 700 Td (abc) Tj ET",
            vec![font.clone().into_bytes()],
        );
        let image = bench
            .convert(document, ConvertOptions::default())
            .await
            .unwrap();
        let [left, rest @ ..] = quarters(&image);
        assert!(left > 500, "{font}: {left}");
        assert_eq!(rest, [0; 3], "{font}");
    }
}

#[tokio::test]
async fn letters_that_a_standard_font_lacks_are_not_left_out() {
    let bench = Bench::new();
    let cases = [
        ("TrueType", "Arial", "/afii10017", false),
        ("Type1", "Helvetica", "/afii10017", false),
        ("Type1", "Times-Roman", "/uni0416", false),
        ("Type1", "Helvetica", "/eacute", true),
        ("Type1", "Symbol", "/alpha", true),
        // Nobody sees that these are missing.
        ("TrueType", "Arial", "/uni00A0", true),
        ("Type1", "Helvetica", "/space", true),
        ("Type1", "Helvetica", "/.notdef", true),
        ("Type1", "Helvetica", "/controlSTX", true),
    ];
    // Text recognition lays invisible text over a scan.
    let invisible = cases.map(|(kind, font, glyph, _)| (3, kind, font, glyph, true));
    let visible = cases.map(|(kind, font, glyph, shown)| (0, kind, font, glyph, shown));
    for (mode, kind, font, glyph, shown) in visible.into_iter().chain(invisible) {
        let font = format!(
            "<< /Type /Font /Subtype /{kind} /BaseFont /{font} \
             /Encoding << /Differences [97 {glyph}] >> >>"
        );
        let document = page(
            "/MediaBox [0 0 100 100] /Resources << /Font << /F 5 0 R >> >>",
            &format!("BT {mode} Tr /F 40 Tf 9 9 Td (abc) Tj ET"),
            vec![font.clone().into_bytes()],
        );
        match bench.convert(document, ConvertOptions::default()).await {
            Ok(_) => assert!(shown, "{font}"),
            Err(error) => {
                assert!(!shown, "{font}: {error:?}");
                assert_eq!(error.document_reason(), Some(DocumentReason::Unsuitable));
                assert!(error.to_string().contains("embed"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn rotation_is_honoured_in_every_spelling() {
    let bench = Bench::new();
    // In the lower left corner; /Rotate turns clockwise.
    let corner = "0 0 100 100 re f";
    for (rotate, place) in [
        (0, 2),
        (90, 0),
        (180, 1),
        (270, 3),
        (-90, 3),
        (450, 0),
        (-360, 2),
    ] {
        // A square, which is not turned to fit the paper.
        let entries = format!("/MediaBox [0 0 600 600] /Rotate {rotate}");
        let image = bench
            .convert(page(&entries, corner, vec![]), ConvertOptions::default())
            .await
            .unwrap();
        let found = quarters(&image);
        let black: Vec<usize> = (0..4).filter(|quarter| found[*quarter] > 0).collect();
        assert_eq!(black, [place], "{rotate}: {found:?}");
    }
}

#[tokio::test]
async fn odd_boxes_are_pages_or_errors() {
    let bench = Bench::new();
    for (entries, rows) in [
        (
            "/MediaBox [0 0 595 842] /CropBox [1000 1000 1200 1200]",
            None,
        ),
        ("/MediaBox [595 842 0 0]", Some(2286)),
        ("/MediaBox [-100 -100 495 742]", Some(2286)),
        ("/MediaBox [0 0 0 842]", None),
        ("/MediaBox [0 0 595]", None),
        ("/MediaBox [0 0 nan 842]", None),
        ("/MediaBox [0 0 1e9 1e9]", None),
        ("/MediaBox [0 0 595 842] /UserUnit -3", Some(2286)),
    ] {
        match bench
            .convert(
                page(entries, "0 0 9 9 re f", vec![]),
                ConvertOptions::default(),
            )
            .await
        {
            Ok(image) => {
                let found = image.reader().unwrap().page(0).unwrap().rows;
                assert!(rows.is_none_or(|rows| rows == found), "{entries}: {found}");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Document, "{entries}: {error:?}");
                assert_eq!(rows, None, "{entries}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_xfa_form_that_has_no_pages_is_refused() {
    let bench = Bench::new();
    let document = pdf([
        "<< /Type /Catalog /Pages 2 0 R /NeedsRendering true >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>",
    ]);
    let error = bench
        .convert(document, ConvertOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.document_reason(), Some(DocumentReason::Unsuitable));
    assert!(error.to_string().contains("print it"), "{error}");
}

#[tokio::test]
async fn text_lies_under_what_is_painted_over_it() {
    let bench = Bench::new();
    let font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec();
    let fonts = format!("{A4} /Resources << /Font << /F 5 0 R >> >>");
    let text = "BT /F 40 Tf 50 700 Td (abc) Tj ET";
    for (drawing, black) in [
        (format!("{text} 1 g 0 600 300 200 re f"), false),
        (
            format!("0 600 300 200 re f 1 g {text} 0 g 0 0 9 9 re f"),
            true,
        ),
        (format!("q 400 0 100 100 re W n {text} Q"), false),
        (format!("1 0 0 rg {text}"), true),
        (format!("1 g {text}"), false),
        (format!("3 Tr {text}"), false),
        (format!("1 Tr 1 w {text}"), true),
    ] {
        let document = page(&fonts, &drawing, vec![font.clone()]);
        let image = bench
            .convert(document, ConvertOptions::default())
            .await
            .unwrap();
        assert_eq!(quarters(&image)[0] > 0, black, "{drawing}");
    }
}

#[tokio::test]
async fn a_page_is_the_same_with_a_picture_that_does_not_show() {
    // A page of text is painted by another way than one with a picture.
    let bench = Bench::new();
    let font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec();
    let dot = stream(
        "/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 \
         /ColorSpace /DeviceGray",
        b"\xFF",
    );
    let entries = format!("{A4} /Resources << /Font << /F 5 0 R >> /XObject << /I 6 0 R >> >>");
    let drawing = format!(
        "{} 50 50 m 500 300 l S 2 w 100 100 50 50 re S 0 0 30 30 re f* \
         300 300 m 400 400 500 200 550 300 c S",
        lines(3, 20)
    );
    let mut found = Vec::new();
    for drawing in [
        drawing.clone(),
        format!("{drawing} q 1 0 0 1 9 9 cm /I Do Q"),
    ] {
        for resolution in Resolution::ALL {
            let document = page(&entries, &drawing, vec![font.clone(), dot.clone()]);
            let options = ConvertOptions::default().with_resolution(resolution);
            let image = bench.convert(document, options).await.unwrap();
            found.push(quarters(&image));
        }
    }
    let (plain, hayro) = found.split_at(Resolution::ALL.len());
    for (plain, hayro) in plain.iter().zip(hayro) {
        for (plain, hayro) in plain.iter().zip(hayro) {
            let differ = plain.abs_diff(*hayro);
            assert!(differ * 10 <= *hayro, "{plain} {hayro}");
        }
    }
}

#[tokio::test]
async fn pages_come_in_the_coding_asked_for() {
    let bench = Bench::new();
    let document = text_pages(2, |index| lines(index, 10));
    for coding in [FaxCoding::T6, FaxCoding::Mh, FaxCoding::Mr] {
        let options = ConvertOptions::default().with_coding(coding);
        let image = bench.convert(document.clone(), options).await.unwrap();
        assert_eq!((image.coding(), image.pages()), (coding, 2));
        assert!(quarters(&image)[0] > 0);
    }
}

#[tokio::test]
async fn conversions_at_the_same_time_give_the_same_file_as_one_alone() {
    let bench = Bench::new();
    let document = text_pages(3, |index| lines(index, 5));
    let options = ConvertOptions::default().with_resolution(Resolution::Standard);
    let alone = bench.convert(document.clone(), options).await.unwrap();
    let alone = fs::read(alone.path()).unwrap();
    // Together they have one thread each.
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (converter, document) = (bench.converter.clone(), document.clone());
        running.spawn(async move {
            let document = faxbot_core::document::Document::bytes(document);
            let image = converter.to_fax(document, options).await.unwrap();
            fs::read(image.path()).unwrap()
        });
    }
    while let Some(found) = running.join_next().await {
        assert!(found.unwrap() == alone);
    }
}
