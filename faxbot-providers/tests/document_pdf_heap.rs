//! Memory of PDF conversions: bounded for long documents, and for damaged ones.
#![cfg(test)]
#![cfg(feature = "render")]

mod document_support;

use std::{
    env, fs,
    time::{Duration, Instant},
};

use faxbot_core::{ErrorKind, document::ConvertOptions};
use faxbot_testkit::random::{SEED_VARIABLE, Seed, TestRng};
use peak_alloc::PeakAlloc;

use document_support::{
    Bench,
    pdf::{A4, lines, page, stream, text_pages},
    with_limits,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Tests of the heap run one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What a mutated document may take.
const MOST_HEAP: usize = 400 << 20;

/// Seconds of a run that is told nothing; CI sets `FAXBOT_MUTATION_SECONDS=60`.
const SECONDS: u64 = 2;

/// What converting takes beside the document.
async fn took(bench: &Bench, pages: usize) -> usize {
    let document = text_pages(pages, |index| lines(index, 8));
    // Once more than once: what is made lazily stays.
    let mut took = 0;
    for _ in 0..2 {
        let document = document.clone();
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let image = bench
            .convert(document, ConvertOptions::default())
            .await
            .unwrap();
        assert_eq!(image.pages() as usize, pages);
        took = HEAP.peak_usage().saturating_sub(before);
    }
    // The document's own bytes, once more as they are passed in, and its objects.
    took.saturating_sub(2 * document.len())
}

#[tokio::test]
async fn many_pages_take_the_memory_of_a_few() {
    let _alone = ALONE.lock().await;
    let bench = Bench::new();
    let few = took(&bench, 5).await;
    let many = took(&bench, 90).await;
    println!("5 pages {} KiB, 90 pages {} KiB", few >> 10, many >> 10);
    assert!(many < few + (2 << 20), "{few} {many}");
}

/// Documents to start from: of a program, and by hand.
fn documents() -> Vec<Vec<u8>> {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/assets/sample.pdf");
    let entries = format!(
        "{A4} /Rotate 90 /Resources << /Font << /F 5 0 R >> /XObject << /I 6 0 R /X 7 0 R >> \
         /Pattern << /P 8 0 R >> >>"
    );
    let drawing = "/I Do /X Do /Pattern cs /P scn 9 9 99 99 re f BT /F 9 Tf 9 700 Td (text) Tj ET";
    let objects = vec![
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec(),
        stream(
            "/Subtype /Image /Width 8 /Height 8 /BitsPerComponent 1 /ImageMask true \
             /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns 8 /Rows 8 >>",
            &[0x26, 0xA1, 0x35, 0x00, 0x10, 0x01],
        ),
        stream(
            "/Subtype /Form /BBox [0 0 500 500]",
            b"0 0 99 99 re f 9 w 0 0 m 9 99 l S",
        ),
        stream(
            "/PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 9 9] /XStep 9 /YStep 9 /Resources << >>",
            b"0 0 3 3 re f",
        ),
    ];
    let small = |pages| text_pages(pages, |index| lines(index, 3));
    vec![
        fs::read(sample).unwrap(),
        page(&entries, drawing, objects),
        small(1),
        small(3),
    ]
}

#[tokio::test]
async fn no_mutation_of_a_pdf_panics_or_hangs_or_takes_the_memory() {
    let _alone = ALONE.lock().await;
    let bench = Bench::new();
    let documents = documents();
    let seconds = env::var("FAXBOT_MUTATION_SECONDS").map_or(SECONDS, |text| {
        text.parse()
            .expect("FAXBOT_MUTATION_SECONDS is no number of seconds")
    });
    let options = with_limits(|limits| {
        limits.time = Duration::from_secs(60);
        limits.pixels = 1728 * 2400;
        limits.pages = 10;
    });
    let mut round = Seed::fresh().0;
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut converted, mut refused) = (0, 0);
    while Instant::now() < end {
        let mut rng = TestRng::new(Seed(round));
        let mut input = documents[rng.index(documents.len())].clone();
        let donor = &documents[rng.index(documents.len())];
        for _ in 0..=rng.index(6) {
            mutate(&mut input, donor, &mut rng);
        }
        let size = input.len();
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        match bench.convert(input, options).await {
            Ok(_) => converted += 1,
            Err(error) => {
                let repeat = format!("{SEED_VARIABLE}={round:#x}: {error:?}");
                assert_eq!(error.kind(), ErrorKind::Document, "{repeat}");
                refused += 1;
            }
        }
        let took = HEAP.peak_usage().saturating_sub(before);
        assert!(
            took < MOST_HEAP,
            "{took} bytes of heap for {size} bytes: {SEED_VARIABLE}={round:#x}"
        );
        assert_eq!(
            (bench.files(), bench.converter.abandoned()),
            (0, 0),
            "{SEED_VARIABLE}={round:#x}"
        );
        round = round.wrapping_add(1);
    }
    println!("{converted} converted, {refused} refused");
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], rng: &mut TestRng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(donor);
    }
    let at = rng.index(bytes.len());
    match rng.index(9) {
        0 => bytes[at] ^= 1 << rng.index(8),
        1 => bytes[at] = *b"<>[]()/%0R".get(rng.index(10)).unwrap_or(&b' '),
        2 => drop(bytes.drain(at..(at + rng.index(64)).min(bytes.len()))),
        3 => {
            let start = rng.index(donor.len());
            let part = donor[start..(start + rng.index(2048)).min(donor.len())].to_vec();
            drop(bytes.splice(at..at, part));
        }
        // Numbers: lengths, references, sizes, places.
        4 | 5 => {
            for byte in bytes
                .iter_mut()
                .skip(at)
                .filter(|byte| byte.is_ascii_digit())
                .take(1 + rng.index(8))
            {
                *byte = b'0' + u8::try_from(rng.index(10)).unwrap();
            }
        }
        6 => {
            let digits = vec![b'9'; rng.index(12)];
            if let Some(found) = bytes[at..].iter().position(u8::is_ascii_digit) {
                drop(bytes.splice(at + found..at + found, digits));
            }
        }
        7 => {
            let names: [&[u8]; 8] = [
                b"/FlateDecode",
                b"/LZWDecode",
                b"/DCTDecode",
                b"/JPXDecode",
                b"/Kids",
                b"/Type3",
                b" 2 0 R ",
                b"/Parent",
            ];
            let name = names[rng.index(names.len())].to_vec();
            drop(bytes.splice(at..(at + name.len()).min(bytes.len()), name));
        }
        _ => {
            let to = rng.index(bytes.len());
            bytes.swap(at, to);
        }
    }
}
