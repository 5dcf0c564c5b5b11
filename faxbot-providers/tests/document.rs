//! Documents of every kind, good and bad, through the converter.
#![cfg(test)]
#![cfg(feature = "render")]

mod document_support;

use std::{fmt::Write as _, fs, time::Duration};

use faxbot_core::{
    DocumentReason, ErrorKind,
    document::{ConvertOptions, Document, DocumentConverter, FaxImage, FaxWidth, Resolution},
};
use faxbot_providers::document::RenderConverter;

use document_support::{Bench, bitmap, test_file, with_limits};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/assets/sample.pdf");

/// A PDF of the given objects, numbered from 1; the first is the catalog.
fn pdf(objects: &[String]) -> Vec<u8> {
    let mut text = "%PDF-1.7\n".to_owned();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(text.len());
        write!(text, "{} 0 obj\n{object}\nendobj\n", index + 1).unwrap();
    }
    let start = text.len();
    write!(text, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).unwrap();
    for place in places {
        writeln!(text, "{place:010} 00000 n ").unwrap();
    }
    write!(
        text,
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    )
    .unwrap();
    text.into_bytes()
}

/// A PDF of equal pages: the page's entries beside `/Contents`, and its drawing.
fn pages(count: usize, entries: &str, drawing: &str) -> Vec<u8> {
    let kids: String = (0..count)
        .map(|page| format!("{} 0 R ", page + 4))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {count} >>"),
        format!(
            "<< /Length {} >>\nstream\n{drawing}\nendstream",
            drawing.len()
        ),
    ];
    for _ in 0..count {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /Contents 3 0 R {entries} >>"
        ));
    }
    pdf(&objects)
}

const A4: &str = "/MediaBox [0 0 595.276 841.89]";

/// A page that is soon drawn.
const SMALL: &str = "/MediaBox [0 0 100 100]";

/// Left, top, right, bottom of what is black, in pixels; right and bottom are outside.
fn black_box(image: &FaxImage) -> Option<(usize, usize, usize, usize)> {
    let rows = bitmap(image, 0);
    let top = rows.iter().position(|row| row.contains(&true))?;
    let bottom = rows.iter().rposition(|row| row.contains(&true))? + 1;
    let left = rows
        .iter()
        .filter_map(|row| row.iter().position(|black| *black))
        .min()?;
    let right = rows
        .iter()
        .filter_map(|row| row.iter().rposition(|black| *black))
        .max()?
        + 1;
    Some((left, top, right, bottom))
}

#[tokio::test]
async fn the_sample_becomes_three_pages_in_each_resolution() {
    let bench = Bench::new();
    for resolution in Resolution::ALL {
        let options = ConvertOptions::default().with_resolution(resolution);
        let image = bench
            .converter
            .to_fax(Document::path(SAMPLE), options)
            .await
            .unwrap();
        assert_eq!(
            (image.pages(), image.width(), image.resolution()),
            (3, FaxWidth::A4, resolution)
        );
        let mut reader = image.reader().unwrap();
        for index in 0..3 {
            let page = reader.page(index).unwrap();
            assert_eq!((page.width, page.rows), (1728, resolution.rows_a4()));
            let mut black = 0_u64;
            reader
                .decode_page(&page, |row| {
                    black += row
                        .iter()
                        .map(|byte| u64::from(byte.count_ones()))
                        .sum::<u64>()
                })
                .unwrap();
            let all = u64::from(page.width) * u64::from(page.rows);
            assert!(
                (all / 100..all / 6).contains(&black),
                "{resolution}: {black} of {all}"
            );
        }
        drop(image);
        assert_eq!(bench.files(), 0);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_result() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let image = bench
        .convert(pages(1, A4, ""), ConvertOptions::default())
        .await
        .unwrap();
    assert_eq!(
        fs::metadata(image.path()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(image.path().starts_with(bench.directory.path()));
}

#[tokio::test]
async fn shapes_land_where_the_page_has_them() {
    let bench = Bench::new();
    // 50 mm wide and high, 20 mm from the left, 30 mm from the top.
    let square = "56.693 615.118 141.732 141.732 re f";
    let near = |(left, top, right, bottom): (usize, usize, usize, usize), wanted: [f64; 4]| {
        let found = [left, top, right, bottom].map(|at| f64::from(u32::try_from(at).unwrap()));
        let close = |(a, b): (f64, f64)| (a - b).abs() <= 1.0;
        assert!(
            found.into_iter().zip(wanted).all(close),
            "{found:?} {wanted:?}"
        );
    };
    let column = |mm: f64| 20.0 + mm * 1728.0 / 215.0;
    for (resolution, per_mm) in [
        (Resolution::Standard, 3.85),
        (Resolution::Fine, 7.7),
        (Resolution::Superfine, 15.4),
    ] {
        let options = ConvertOptions::default().with_resolution(resolution);
        let image = bench.convert(pages(1, A4, square), options).await.unwrap();
        near(
            black_box(&image).unwrap(),
            [column(20.0), 30.0 * per_mm, column(70.0), 80.0 * per_mm],
        );
    }
    // In the lower left corner, 50 mm to the right and 20 mm up. A landscape page is turned
    // anticlockwise: its left edge goes down, its top to the left.
    let corner = "0 0 141.732 56.693 re f";
    let landscape = "/MediaBox [0 0 841.89 595.276]";
    let image = bench
        .convert(pages(1, landscape, corner), ConvertOptions::default())
        .await
        .unwrap();
    near(
        black_box(&image).unwrap(),
        [column(190.0), 247.0 * 7.7, column(210.0), 2286.0],
    );
    // By /Rotate 90, which turns clockwise, it is in the upper left one.
    let rotated = format!("{landscape} /Rotate 90");
    let image = bench
        .convert(pages(1, &rotated, corner), ConvertOptions::default())
        .await
        .unwrap();
    near(
        black_box(&image).unwrap(),
        [20.0, 0.0, column(20.0), 50.0 * 7.7],
    );
    // The crop box is the page.
    let cropped = "/MediaBox [0 0 1000 1000] /CropBox [56.693 615.118 198.425 756.85]";
    let image = bench
        .convert(pages(1, cropped, square), ConvertOptions::default())
        .await
        .unwrap();
    let (left, top, right, bottom) = black_box(&image).unwrap();
    assert_eq!((top, bottom), (0, 385));
    assert!((right - left).abs_diff(402) <= 1);
}

#[tokio::test]
async fn hairlines_survive_in_every_resolution_at_any_place() {
    let bench = Bench::new();
    let mut drawing = "0 w\n".to_owned();
    for line in 0..40 {
        let at = 40.0 + f64::from(line) * 10.13;
        writeln!(drawing, "50 {at} m 550 {at} l S {at} 500 m {at} 800 l S").unwrap();
    }
    for resolution in Resolution::ALL {
        let image = bench
            .convert(
                pages(1, A4, &drawing),
                ConvertOptions::default().with_resolution(resolution),
            )
            .await
            .unwrap();
        let rows = bitmap(&image, 0);
        let runs = |line: &mut dyn Iterator<Item = bool>| {
            let mut last = false;
            line.filter(|black| !std::mem::replace(&mut last, *black) && *black)
                .count()
        };
        let across = &rows[rows.len() / 5];
        assert_eq!(
            runs(&mut across.iter().copied()),
            40,
            "{resolution}: upright lines"
        );
        assert_eq!(
            runs(&mut rows.iter().map(|row| row[1500])),
            40,
            "{resolution}: level lines"
        );
    }
}

#[tokio::test]
async fn form_fields_are_drawn() {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595.276 841.89] /Annots [4 0 R] >>",
        "<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /F 4 /Rect [100 100 200 200] /AP << /N 5 0 R >> >>",
        "<< /Type /XObject /Subtype /Form /BBox [0 0 100 100] /Length 17 >>\nstream\n0 0 100 100 re f \nendstream",
    ];
    let bench = Bench::new();
    let image = bench
        .convert(pdf(&objects.map(str::to_owned)), ConvertOptions::default())
        .await
        .unwrap();
    assert!(black_box(&image).is_some());
}

#[tokio::test]
async fn an_encrypted_pdf_needs_its_password_and_opens_without_a_user_password() {
    let bench = Bench::new();
    assert_eq!(
        bench
            .refused(test_file("password.pdf"), ConvertOptions::default())
            .await,
        Some(DocumentReason::Encrypted)
    );
    let image = bench
        .convert(test_file("owner-password.pdf"), ConvertOptions::default())
        .await
        .unwrap();
    assert!(black_box(&image).is_some());
}

#[tokio::test]
async fn a_pdf_cut_anywhere_is_refused_or_whole() {
    let bench = Bench::new();
    let options = ConvertOptions::default().with_resolution(Resolution::Standard);
    let sample = fs::read(SAMPLE).unwrap();
    let small = pages(2, SMALL, "0 0 50 50 re f");
    let parts = |document: &[u8], parts: usize| {
        let length = document.len();
        (1..parts).map(move |part| length * part / parts)
    };
    let of_sample = parts(&sample, 8).chain([sample.len() - 30, sample.len() - 7]);
    let of_small = parts(&small, 40).chain((1..40).map(|left| small.len() - left));
    for (document, cuts) in [
        (&sample, of_sample.collect::<Vec<_>>()),
        (&small, of_small.collect()),
    ] {
        let image = bench.convert(document.clone(), options).await.unwrap();
        let whole = fs::read(image.path()).unwrap();
        drop(image);
        let mut refused = 0;
        for cut in &cuts {
            match bench.convert(&document[..*cut], options).await {
                Ok(image) => assert_eq!(fs::read(image.path()).unwrap(), whole, "cut at {cut}"),
                Err(error) => {
                    let reason = error.document_reason();
                    assert_eq!(reason, Some(DocumentReason::Damaged), "{error:?}");
                    refused += 1;
                }
            }
            assert_eq!(bench.files(), 0);
        }
        assert!(refused >= cuts.len() / 2, "{refused}");
    }
}

#[tokio::test]
async fn broken_and_hostile_pdfs_are_refused_with_their_reason() {
    use DocumentReason::{Damaged, Empty, TooLarge, UnknownFormat};
    let catalog = "<< /Type /Catalog /Pages 2 0 R >>".to_owned();
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>".to_owned();
    let of = |objects: &[&str]| {
        pdf(&objects
            .iter()
            .map(|object| (*object).to_owned())
            .collect::<Vec<_>>())
    };
    let long = "9".repeat(200_000);
    let cases: Vec<(&str, Vec<u8>, Option<DocumentReason>)> = vec![
        ("nothing", vec![], Some(Empty)),
        ("text", b"hello".to_vec(), None),
        (
            "a word document",
            b"PK\x03\x04\x14\0".to_vec(),
            Some(UnknownFormat),
        ),
        ("only a header", b"%PDF-1.7\n".to_vec(), Some(Damaged)),
        (
            "header and end",
            b"%PDF-1.7\nstartxref\n0\n%%EOF".to_vec(),
            Some(Damaged),
        ),
        (
            "no page",
            of(&[&catalog, "<< /Type /Pages /Kids [] /Count 0 >>"]),
            Some(Empty),
        ),
        (
            "a page is missing",
            pdf(&[
                catalog.clone(),
                "<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>".to_owned(),
                page.clone(),
            ]),
            Some(Damaged),
        ),
        (
            "page tree is its own child",
            of(&[&catalog, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]),
            Some(Damaged),
        ),
        (
            "contents are missing",
            of(&[
                &catalog,
                "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                "<< /Type /Page /Parent 2 0 R /Contents 9 0 R >>",
            ]),
            Some(Damaged),
        ),
        (
            "a part of the contents is missing",
            of(&[
                &catalog,
                "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                "<< /Type /Page /Parent 2 0 R /Contents [9 0 R] >>",
            ]),
            Some(Damaged),
        ),
        (
            "a page kilometres long",
            pages(1, "/MediaBox [0 0 100 100000000]", ""),
            Some(TooLarge),
        ),
        (
            "a page with more rows than drawn",
            pages(1, "/MediaBox [0 0 100 2000000]", ""),
            Some(TooLarge),
        ),
        (
            "boxes beyond numbers",
            pages(1, &format!("/MediaBox [0 0 {long} {long}]"), ""),
            None,
        ),
        (
            "an image of a terapixel",
            of(&[
                &catalog,
                "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                &page,
                "<< /Subtype /Image /Width 1000000 /Height 1000000 /BitsPerComponent 8 /ColorSpace /DeviceGray /Length 1 >>\nstream\nx\nendstream",
            ]),
            Some(TooLarge),
        ),
        (
            "an image that is none",
            of(&[
                &catalog,
                "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /XObject << /I 5 0 R >> >> >>",
                "<< /Length 28 >>\nstream\nq 100 0 0 100 0 0 cm /I Do Q\nendstream",
                "<< /Type /XObject /Subtype /Image /Width 10 /Height 10 /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter /DCTDecode /Length 4 >>\nstream\njunk\nendstream",
            ]),
            Some(Damaged),
        ),
    ];
    let bench = Bench::new();
    for (name, document, reason) in cases {
        match (
            bench.convert(document, ConvertOptions::default()).await,
            reason,
        ) {
            (Err(error), Some(_)) => {
                assert_eq!(error.document_reason(), reason, "{name}: {error:?}")
            }
            (Err(error), None) => {
                assert_eq!(error.kind(), ErrorKind::Document, "{name}: {error:?}")
            }
            (Ok(image), None) => assert!(image.pages() > 0),
            (Ok(_), Some(_)) => panic!("{name} was accepted"),
        }
        assert_eq!(bench.files(), 0, "{name}");
    }
    // A form that draws itself, brackets without end and a huge square come to an end too.
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for document in [
        of(&[
            &catalog,
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /XObject << /F 5 0 R >> >> >>",
            "<< /Length 5 >>\nstream\n/F Do\nendstream",
            "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >> /Length 11 >>\nstream\n/F Do /F Do\nendstream",
        ]),
        pages(1, A4, &format!("{nested} TJ")),
        pages(1, &format!("/X {nested} {A4}"), ""),
        pages(1, A4, &"q ".repeat(200_000)),
        pages(1, "/MediaBox [0 0 14400 14400]", "0 0 14400 14400 re f"),
    ] {
        let options = with_limits(|limits| limits.time = Duration::from_secs(60));
        match bench.convert(document, options).await {
            Ok(image) => assert_eq!(image.pages(), 1),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Document, "{error:?}"),
        }
        assert_eq!(bench.converter.abandoned(), 0);
    }
}

#[tokio::test]
async fn whatever_is_above_a_limit_is_refused() {
    let bench = Bench::new();
    let six = pages(6, A4, "");
    assert_eq!(
        bench
            .refused(six.clone(), with_limits(|limits| limits.pages = 5))
            .await,
        Some(DocumentReason::TooLarge)
    );
    assert_eq!(
        bench
            .convert(six.clone(), with_limits(|limits| limits.pages = 6))
            .await
            .unwrap()
            .pages(),
        6
    );
    assert_eq!(
        bench
            .refused(
                six.clone(),
                with_limits(|limits| limits.pixels = 1728 * 2285)
            )
            .await,
        Some(DocumentReason::TooLarge)
    );
    let bytes = six.len() as u64 - 1;
    assert_eq!(
        bench
            .refused(six.clone(), with_limits(|limits| limits.bytes = bytes))
            .await,
        Some(DocumentReason::TooLarge)
    );
    assert_eq!(
        bench
            .refused(pages(501, A4, ""), ConvertOptions::default())
            .await,
        Some(DocumentReason::TooLarge)
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_without_its_name() {
    let bench = Bench::new();
    for path in [
        bench.directory.path().join("patient-doe.pdf"),
        bench.directory.path().to_owned(),
    ] {
        let error = bench
            .converter
            .to_fax(Document::path(path), ConvertOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(!format!("{error} {error:?}").contains("doe"));
    }
    let url = "https://files.invalid/doe.pdf".parse().unwrap();
    let error = bench
        .converter
        .to_fax(Document::url(url), ConvertOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let missing = RenderConverter::new().with_directory(bench.directory.path().join("missing"));
    let error = missing
        .to_fax(Document::path(SAMPLE), ConvertOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test]
async fn many_conversions_at_once_all_come_back() {
    let bench = Bench::new();
    let mut running = tokio::task::JoinSet::new();
    for count in 1..=20 {
        let converter = bench.converter.clone();
        running.spawn(async move {
            let image = converter
                .to_fax(
                    Document::bytes(pages(count, SMALL, "")),
                    ConvertOptions::default().with_resolution(Resolution::Standard),
                )
                .await
                .unwrap();
            assert_eq!(image.pages() as usize, count);
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    assert_eq!((bench.files(), bench.converter.abandoned()), (0, 0));
}
