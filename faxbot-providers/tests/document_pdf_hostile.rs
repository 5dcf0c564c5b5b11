//! PDFs made to take memory, time or the stack of whoever reads them.
#![cfg(test)]
#![cfg(feature = "render")]

mod document_support;

use std::{io::Write as _, time::Duration};

use faxbot_core::{DocumentReason, ErrorKind};
use flate2::{Compression, write::ZlibEncoder};
use peak_alloc::PeakAlloc;

use document_support::{
    Bench,
    pdf::{A4, CATALOG, page, pdf, stream},
    with_limits,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What a refused document may take: the pixels of a page, and the largest test document.
const MOST_HEAP: usize = 128 << 20;

/// Tests of the heap run one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A gigabyte of zeros.
fn gigabyte() -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..1024 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

/// Converts within a limit of time and of heap. The reason of the refusal, if it is one.
async fn tried(name: &str, document: Vec<u8>) -> Option<DocumentReason> {
    let bench = Bench::new();
    let options = with_limits(|limits| limits.time = Duration::from_secs(100));
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let result = bench.convert(document, options).await;
    let took = HEAP.peak_usage().saturating_sub(before);
    assert!(took < MOST_HEAP, "{name}: {} MiB", took >> 20);
    assert_eq!(bench.converter.abandoned(), 0, "{name}");
    match result {
        Ok(_) => None,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Document, "{name}: {error:?}");
            error.document_reason()
        }
    }
}

#[tokio::test]
async fn whatever_unpacks_to_a_gigabyte_is_refused() {
    let _alone = ALONE.lock().await;
    let bomb = gigabyte();
    let twice = deflate(&bomb);
    let entries = format!("{A4} /Resources << /XObject << /F 5 0 R >> >>");
    let hex: Vec<u8> = bomb
        .iter()
        .flat_map(|byte| format!("{byte:02x}").into_bytes())
        .collect();
    let catalog_in_bomb = stream("/Type /ObjStm /N 1 /First 4 /Filter /FlateDecode", &bomb);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "contents",
            pdf([
                CATALOG.as_bytes().to_vec(),
                b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
                b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>".to_vec(),
                stream("/Filter /FlateDecode", &bomb),
            ]),
        ),
        (
            "a form that nobody draws, its filter in an object of its own",
            page(
                &entries,
                "",
                vec![
                    stream("/Subtype /Form /BBox [0 0 9 9] /Filter 6 0 R", &bomb),
                    b"/FlateDecode".to_vec(),
                ],
            ),
        ),
        (
            "packed twice",
            page(
                &entries,
                "/F Do",
                vec![stream(
                    "/Subtype /Form /BBox [0 0 9 9] /Filter [/FlateDecode /FlateDecode]",
                    &twice,
                )],
            ),
        ),
        (
            "packed, then as hex digits",
            page(
                &entries,
                "",
                vec![stream("/Filter [/ASCIIHexDecode /FlateDecode]", &hex)],
            ),
        ),
        (
            "an object stream",
            page(&entries, "", vec![catalog_in_bomb]),
        ),
        (
            "a name that is written another way",
            page(&entries, "", vec![stream("/Filter /#46lateDecode", &bomb)]),
        ),
    ];
    for (name, document) in cases {
        let reason = tried(name, document).await;
        assert_eq!(reason, Some(DocumentReason::TooLarge), "{name}");
    }
}

#[tokio::test]
async fn images_cannot_lie_about_their_size() {
    let _alone = ALONE.lock().await;
    let image = |entries: &str, data: &[u8]| {
        page(
            &format!("{A4} /Resources << /XObject << /F 5 0 R >> >>"),
            "q 100 0 0 100 0 0 cm /F Do Q",
            vec![stream(
                &format!("/Subtype /Image /ColorSpace /DeviceGray /BitsPerComponent 8 {entries}"),
                data,
            )],
        )
    };
    let mut jpx = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 47, 0, 0];
    jpx.extend(60_000_u32.to_be_bytes());
    jpx.extend(60_000_u32.to_be_bytes());
    jpx.extend([0; 64]);
    let mut jbig2 = vec![0, 0, 0, 0, 48, 0, 1, 0, 0, 0, 19];
    jbig2.extend(60_000_u32.to_be_bytes());
    jbig2.extend(60_000_u32.to_be_bytes());
    jbig2.extend([0; 11]);
    let small = "/Width 8 /Height 8";
    for (name, document) in [
        (
            "jpeg 2000",
            image(&format!("{small} /Filter /JPXDecode"), &jpx),
        ),
        (
            "jbig2",
            image(&format!("{small} /Filter /JBIG2Decode"), &jbig2),
        ),
        (
            "columns of a fax",
            image(
                "/Width 8 /Height 60000 /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns 60000 >>",
                &[0; 9],
            ),
        ),
        (
            "a predictor",
            image(
                "/Width 8 /Height 8 /Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 2000000000 >>",
                &deflate(&[0; 99]),
            ),
        ),
        (
            "an inline image",
            page(A4, "q BI /W 60000 /H 60000 /BPC 8 /CS /G ID 0 EI Q", vec![]),
        ),
    ] {
        let reason = tried(name, document).await;
        assert_eq!(reason, Some(DocumentReason::TooLarge), "{name}");
    }
}

#[tokio::test]
async fn loops_and_depth_end() {
    let _alone = ALONE.lock().await;
    let glyph_font = "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] \
                      /CharProcs << /a 6 0 R >> /Encoding << /Differences [97 /a] >> /FirstChar 97 \
                      /LastChar 97 /Widths [9] /Resources << /Font << /F 5 0 R >> >> >>";
    let fonts = format!("{A4} /Resources << /Font << /F 5 0 R >> >>");
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    let mut kids = vec![CATALOG.as_bytes().to_vec()];
    for next in 3..10_003 {
        kids.push(format!("<< /Type /Pages /Kids [{next} 0 R] /Count 1 >>").into_bytes());
    }
    kids.push(format!("<< /Type /Page {A4} >>").into_bytes());
    let refers: Vec<String> = (0..5_000)
        .map(|index| format!("{} 0 R", 6 + index))
        .collect();
    for (name, document) in [
        (
            "a glyph that shows itself",
            page(
                &fonts,
                "BT /F 9 Tf (a) Tj ET",
                vec![
                    glyph_font.into(),
                    stream("", b"9 0 0 0 9 9 d1 BT /F 9 Tf (aa) Tj ET"),
                ],
            ),
        ),
        ("kids 10,000 deep", pdf(kids)),
        (
            "kids of each other",
            pdf([
                CATALOG,
                "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
                "<< /Type /Pages /Kids [2 0 R 3 0 R] /Parent 2 0 R /Count 1 >>",
            ]),
        ),
        (
            "arrays in arrays",
            page(&format!("{A4} /X {}", deep("[", "]")), "", vec![]),
        ),
        (
            "dictionaries in dictionaries",
            page(&format!("{A4} /X {}", deep("<</A ", ">>")), "", vec![]),
        ),
        (
            "dictionaries in contents",
            page(A4, &format!("/A {} BDC", deep("<</A ", ">>")), vec![]),
        ),
        (
            "a chain of references",
            page(
                &format!("{A4} /Resources 5 0 R"),
                "",
                refers.into_iter().map(String::into_bytes).collect(),
            ),
        ),
        (
            "a length that is its own stream",
            page(
                A4,
                "",
                vec![b"<< /Length 5 0 R >>\nstream\nabc\nendstream".to_vec()],
            ),
        ),
        (
            "functions in functions",
            page(
                &format!("{A4} /Resources << /Shading << /S << /ShadingType 2 /ColorSpace /DeviceGray /Coords [0 0 9 9] /Function 5 0 R >> >> >>"),
                "/S sh",
                vec![b"<< /FunctionType 3 /Domain [0 1] /Functions [5 0 R 5 0 R] /Bounds [0.5] /Encode [0 1 0 1] >>".to_vec()],
            ),
        ),
        (
            "a colour space of itself",
            page(
                &format!("{A4} /Resources << /ColorSpace << /C 5 0 R >> >>"),
                "/C cs 1 sc 0 0 9 9 re f",
                vec![b"[/Indexed 5 0 R 1 <00>]".to_vec()],
            ),
        ),
        (
            "a mask that masks itself",
            page(
                &format!("{A4} /Resources << /ExtGState << /G 5 0 R >> >>"),
                "/G gs 0 0 99 99 re f",
                vec![
                    b"<< /SMask << /S /Luminosity /G 6 0 R >> >>".to_vec(),
                    stream(
                        "/Subtype /Form /BBox [0 0 99 99] /Group << /S /Transparency /CS /DeviceGray >> /Resources << /ExtGState << /G 5 0 R >> >>",
                        b"/G gs 0 0 9 9 re f",
                    ),
                ],
            ),
        ),
    ] {
        // Whatever comes of them, it comes, and the process lives.
        let _ = tried(name, document).await;
    }
}
