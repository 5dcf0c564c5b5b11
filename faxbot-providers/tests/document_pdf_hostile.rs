//! PDFs made to take memory, time or the stack of whoever reads them.
#![cfg(test)]
#![cfg(feature = "render")]

mod document_support;

use std::{env, io::Write as _, process::Command, time::Duration};

use faxbot_core::{DocumentReason, ErrorKind, document::Resolution};
use flate2::{Compression, write::ZlibEncoder};
use peak_alloc::PeakAlloc;

use document_support::{
    Bench,
    pdf::{CATALOG, page, pdf, stream},
    with_limits,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A page that is soon drawn.
const SMALL: &str = "/MediaBox [0 0 100 100]";

/// A page as large as most, for what is refused before it is drawn.
const A4: &str = "/MediaBox [0 0 595 842]";

/// Set in a process that a test starts of itself.
const CHILD: &str = "FAXBOT_TEST_CHILD";

/// What a document may take, whatever it is.
const MOST_HEAP: usize = 256 << 20;

/// Tests of the heap run one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A gigabyte of zeros: blocks that do not depend on each other.
fn gigabyte() -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.flush().unwrap();
    let header = encoder.get_ref().len();
    encoder.write_all(&vec![0; 4 << 20]).unwrap();
    encoder.flush().unwrap();
    let block = encoder.get_ref()[header..].to_vec();
    let mut packed = encoder.get_ref()[..header].to_vec();
    for _ in 0..256 {
        packed.extend_from_slice(&block);
    }
    packed.extend([3, 0]);
    // Adler-32 of 2^30 zeros (RFC 1950 §8).
    packed.extend((((1_u32 << 30) % 65_521) << 16 | 1).to_be_bytes());
    packed
}

/// Converts within a limit of time and of heap. The reason of the refusal, if it is one.
async fn tried(name: &str, document: Vec<u8>) -> Option<DocumentReason> {
    let bench = Bench::new();
    let options = with_limits(|limits| limits.time = Duration::from_secs(100))
        .with_resolution(Resolution::Standard);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let begun = std::time::Instant::now();
    let result = bench.convert(document, options).await;
    let took = HEAP.peak_usage().saturating_sub(before);
    println!(
        "{name}: {} MiB, {:?}: {result:?}",
        took >> 20,
        begun.elapsed()
    );
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
    // A stack that overflows ends the process, so it is one of its own.
    if env::var_os(CHILD).is_none() {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "loops_and_depth_end"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        let error = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "{}: {told}{error}", child.status);
        assert!(told.contains("1 passed"), "{told}");
        return;
    }
    let _alone = ALONE.lock().await;
    let glyph_font = "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] \
                      /CharProcs << /a 6 0 R >> /Encoding << /Differences [97 /a] >> /FirstChar 97 \
                      /LastChar 97 /Widths [9] /Resources << /Font << /F 5 0 R >> >> >>";
    let fonts = format!("{SMALL} /Resources << /Font << /F 5 0 R >> >>");
    let deep = |count, open: &str, close: &str| {
        format!("{}1{}", str::repeat(open, count), str::repeat(close, count))
    };
    let form = |next: usize| {
        stream(
            &format!(
                "/Subtype /Form /BBox [0 0 9 9] /Group << /S /Transparency >> \
                 /Resources << /XObject << /F {next} 0 R >> >>"
            ),
            b"/F Do 0 0 9 9 re f",
        )
    };
    let drawn = format!("{SMALL} /Resources << /XObject << /F 5 0 R >> >>");
    let mut kids = vec![CATALOG.as_bytes().to_vec()];
    for next in 3..10_003 {
        kids.push(format!("<< /Type /Pages /Kids [{next} 0 R] /Count 1 >>").into_bytes());
    }
    kids.push(format!("<< /Type /Page {SMALL} >>").into_bytes());
    let refers: Vec<String> = (0..5_000)
        .map(|index| format!("{} 0 R", 6 + index))
        .collect();
    for (name, document) in [
        (
            "forms 100 deep",
            page(&drawn, "/F Do", (6..106).map(form).collect()),
        ),
        (
            "a form that draws itself",
            page(&drawn, "/F Do", vec![form(5)]),
        ),
        (
            "forms that draw each other",
            page(&drawn, "/F Do", vec![form(6), form(5)]),
        ),
        (
            "arrays in arrays in contents",
            page(SMALL, &format!("{} TJ", deep(100_000, "[", "]")), vec![]),
        ),
        (
            "states without end",
            page(SMALL, &"q ".repeat(100_000), vec![]),
        ),
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
            page(&format!("{SMALL} /X {}", deep(100_000, "[", "]")), "", vec![]),
        ),
        (
            "dictionaries in dictionaries",
            page(&format!("{SMALL} /X {}", deep(20_000, "<</A ", ">>")), "", vec![]),
        ),
        (
            "dictionaries in contents",
            page(SMALL, &format!("/A {} BDC", deep(100_000, "<</A ", ">>")), vec![]),
        ),
        (
            "a chain of references",
            page(
                &format!("{SMALL} /Resources 5 0 R"),
                "",
                refers.into_iter().map(String::into_bytes).collect(),
            ),
        ),
        (
            "a length that is its own stream",
            page(
                SMALL,
                "",
                vec![b"<< /Length 5 0 R >>\nstream\nabc\nendstream".to_vec()],
            ),
        ),
        (
            "functions in functions",
            page(
                &format!("{SMALL} /Resources << /Shading << /S << /ShadingType 2 /ColorSpace /DeviceGray /Coords [0 0 9 9] /Function 5 0 R >> >> >>"),
                "/S sh",
                vec![b"<< /FunctionType 3 /Domain [0 1] /Functions [5 0 R 5 0 R] /Bounds [0.5] /Encode [0 1 0 1] >>".to_vec()],
            ),
        ),
        (
            "a colour space of itself",
            page(
                &format!("{SMALL} /Resources << /ColorSpace << /C 5 0 R >> >>"),
                "/C cs 1 sc 0 0 9 9 re f",
                vec![b"[/Indexed 5 0 R 1 <00>]".to_vec()],
            ),
        ),
        (
            "a mask that masks itself",
            page(
                &format!("{SMALL} /Resources << /ExtGState << /G 5 0 R >> >>"),
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

#[tokio::test]
async fn more_drawing_orders_than_memory_are_refused() {
    let _alone = ALONE.lock().await;
    let orders = deflate(&b"0 0 0 0 re ".repeat((33 << 20) / 11));
    let packed = |entries: &str| stream(&format!("{entries} /Filter /FlateDecode"), &orders);
    let form = format!("{SMALL} /Resources << /XObject << /F 5 0 R >> >>");
    let cases = [
        (
            "of a page",
            pdf(vec![
                CATALOG.as_bytes().to_vec(),
                b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
                format!("<< /Type /Page /Parent 2 0 R {SMALL} /Contents 4 0 R >>").into_bytes(),
                packed(""),
            ]),
        ),
        (
            "of a form",
            page(
                &form,
                "/F Do",
                vec![packed("/Subtype /Form /BBox [0 0 9 9]")],
            ),
        ),
    ];
    for (name, document) in cases {
        let reason = tried(name, document).await;
        assert_eq!(reason, Some(DocumentReason::TooLarge), "{name}");
    }
}

#[tokio::test]
async fn what_draws_itself_again_and_again_is_refused() {
    let _alone = ALONE.lock().await;
    let huge = "/BBox [-90000 -90000 90000 90000]";
    let form = |entries: &str, drawing: &str| {
        stream(
            &format!("/Subtype /Form {huge} {entries}"),
            drawing.as_bytes(),
        )
    };
    let draws = |first: usize| format!("/Resources << /XObject << /F {first} 0 R /I 5 0 R >> >>");
    // With a picture on the page, nothing is painted while its cost is counted.
    let dot = stream(
        "/Subtype /Image /Width 9 /Height 9 /BitsPerComponent 8 /ColorSpace /DeviceGray",
        &[0; 81],
    );
    let with_picture = |drawing: &str, objects: Vec<Vec<u8>>| {
        let objects = [vec![dot.clone()], objects].concat();
        page(
            &format!("{A4} {}", draws(6)),
            &format!("/I Do {drawing}"),
            objects,
        )
    };
    let ten = "/F Do ".repeat(10);
    let chain = |last: &str| {
        let mut chain: Vec<Vec<u8>> = (7..17).map(|next| form(&draws(next), &ten)).collect();
        chain.push(form("", last));
        with_picture("/F Do", chain)
    };
    let pattern = |cell: &str, resources: &str, drawing: &str| {
        stream(
            &format!(
                "/PatternType 1 /PaintType 1 /TilingType 1 {cell} /Resources << {resources} >>"
            ),
            drawing.as_bytes(),
        )
    };
    let paints = |objects| {
        page(
            &format!("{A4} /Resources << /Pattern << /P 5 0 R >> >>"),
            "/Pattern cs /P scn 0 0 500 800 re f",
            objects,
        )
    };
    let cell = "/BBox [0 0 100 100] /XStep 10 /YStep 10";
    let patterns = (6..16).map(|next| {
        pattern(
            cell,
            &format!("/Pattern << /P {next} 0 R >>"),
            "/Pattern cs /P scn 0 0 99 99 re f 0 0 50 50 re f",
        )
    });
    let glyphs = (0..10).flat_map(|index| {
        let (program, next) = (6 + 2 * index, 7 + 2 * index);
        let font = format!(
            "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0] \
             /CharProcs << /a {program} 0 R >> /Encoding << /Differences [97 /a] >> \
             /FirstChar 97 /LastChar 97 /Widths [1] /Resources << /Font << /F {next} 0 R >> >> >>"
        );
        let program = stream("", b"9 0 d0 0 0 500 800 re f BT /F 1 Tf (aaaaaaaaaa) Tj ET");
        [font.into_bytes(), program]
    });
    let masks = (0..12).flat_map(|index| {
        let next = 5 + 4 * (index + 1);
        let state =
            |group: usize| format!("<< /SMask << /S /Luminosity /G {group} 0 R >> >>").into_bytes();
        let group = || {
            stream(
                &format!(
                    "/Subtype /Form {huge} /Group << /S /Transparency /CS /DeviceGray >> \
                     /Resources << /ExtGState << /A {next} 0 R /B {} 0 R >> >>",
                    next + 1
                ),
                b"/A gs 0 0 9 9 re f /B gs 0 0 9 9 re f",
            )
        };
        [state(next - 2), state(next - 1), group(), group()]
    });
    // 2,000 teeth.
    let comb: String = (0..2_000)
        .map(|tooth| format!("{} 0 l {} 800 l ", tooth % 500, tooth % 500))
        .collect();
    for (name, document) in [
        ("pictures in forms", chain("/I Do")),
        ("forms of nothing", chain("")),
        (
            "a pattern with a million cells in each cell",
            paints(vec![pattern(
                "/BBox [0 0 100 100] /XStep 0.01 /YStep 0.01",
                "",
                "0 0 9 9 re f",
            )]),
        ),
        ("patterns in patterns", paints(patterns.collect())),
        (
            "glyphs of glyphs",
            page(
                &format!("{A4} /Resources << /Font << /F 5 0 R >> >>"),
                "BT /F 1 Tf (aaaaaaaaaa) Tj ET",
                glyphs.collect(),
            ),
        ),
        (
            "masks in masks",
            page(
                &format!("{A4} /Resources << /ExtGState << /A 5 0 R /B 6 0 R >> >>"),
                "/A gs 0 0 9 9 re f /B gs 0 0 9 9 re f",
                masks.collect(),
            ),
        ),
        (
            "one picture again and again",
            with_picture(&"q 595 0 0 842 0 0 cm /I Do Q ".repeat(10_000), vec![]),
        ),
        (
            "curves that leave the page",
            with_picture(
                &format!("0 0 m {} f", "90000 0 0 90000 0 0 c ".repeat(10_000)),
                vec![],
            ),
        ),
        (
            "short lines as wide as the page",
            with_picture(
                &format!("900 w {}", "9 9 m 10 10 l S ".repeat(10_000)),
                vec![],
            ),
        ),
        (
            "a clip with many teeth",
            with_picture(
                &format!("0 0 m {comb} W n {}", "0 0 595 842 re f ".repeat(10_000)),
                vec![],
            ),
        ),
        (
            "dashes without number",
            page(A4, "[0.0001] 0 d 0 0 m 90000 90000 l S", vec![]),
        ),
        (
            "dashes of nothing",
            page(A4, "[-1 1] 0 d 0 0 m 9 9 l S", vec![]),
        ),
        (
            "a dash that begins far away",
            page(A4, "[0.0001] 900000 d 0 0 9 9 re S", vec![]),
        ),
    ] {
        let reason = tried(name, document).await;
        assert_eq!(reason, Some(DocumentReason::TooLarge), "{name}");
    }
}
