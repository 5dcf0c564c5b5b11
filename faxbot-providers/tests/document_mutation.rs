//! Seeded mutation of pictures, text and fax TIFF through everything that reads them: no panic, no hang,
//! no file left, bounded memory. PDF has its own in `document_pdf_heap`.
#![cfg(test)]
#![cfg(feature = "document")]

mod document_received_support;
mod document_support;
#[allow(dead_code, reason = "each test program uses its own part")]
#[path = "document_support/picture.rs"]
mod picture;

use std::{
    env,
    io::Cursor,
    time::{Duration, Instant},
};

use faxbot_core::{
    ErrorKind, Result,
    document::{
        ConvertOptions, FaxTiff, Halftone,
        tiff::{TiffLimits, TiffReader},
    },
};
use faxbot_providers::document::{PngOptions, ReceivedFax, ThumbnailOptions};
use faxbot_testkit::random::{SEED_VARIABLE, Seed, TestRng};
use peak_alloc::PeakAlloc;
use png::{BitDepth, ColorType};

use document_received_support::{Bitmap, Code, Sheet, damaged, from_asterisk, tiff};
use document_support::{Bench, test_file, with_limits};
use picture::{LONG, SHORT, SIZE, samples};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What an input may take: a header may announce a picture of 100 million pixels, which the decoder of
/// JPEG holds in colour.
const MOST_HEAP: usize = 512 << 20;
/// A reader that hangs is far above it, also on a slow machine.
const MOST_TIME: Duration = Duration::from_secs(60);
/// Seconds of a run that is told nothing; CI sets `FAXBOT_MUTATION_SECONDS=60`.
const SECONDS: u64 = 2;

/// Inputs of a run at the least, and of one that waits for a kind that is rare.
const LEAST: u64 = 60;
const MOST: u64 = 3_000;

#[derive(Debug, Default)]
struct Counts {
    inputs: u64,
    converted: u64,
    not_converted: u64,
    pictures: u64,
    pdfs: u64,
    thumbnails: u64,
    repaired: u64,
    not_read: u64,
    peak: usize,
}

impl Counts {
    /// What a run has to see, and how often it did.
    fn kinds(&self) -> [(&'static str, u64); 7] {
        [
            ("converted document", self.converted),
            ("refused document", self.not_converted),
            ("picture", self.pictures),
            ("pdf", self.pdfs),
            ("thumbnail", self.thumbnails),
            ("repaired fax", self.repaired),
            ("refused fax", self.not_read),
        ]
    }

    /// Whether more inputs are needed to have seen each of them.
    fn lacks_any(&self) -> bool {
        let all = self.kinds().iter().all(|(_, count)| *count > 0);
        self.inputs < LEAST || (!all && self.inputs < MOST)
    }
}

#[tokio::test]
async fn no_mutation_of_a_document_panics_or_hangs_or_takes_the_memory() {
    let bench = Bench::new();
    let documents = documents();
    let seconds = env::var("FAXBOT_MUTATION_SECONDS").map_or(SECONDS, |text| {
        text.parse()
            .expect("FAXBOT_MUTATION_SECONDS is no number of seconds")
    });
    let mut round = Seed::fresh().0;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut counts = Counts::default();
    while Instant::now() < end || counts.lacks_any() {
        let mut rng = TestRng::new(Seed(round));
        let mut input = documents[rng.index(documents.len())].clone();
        let donor = &documents[rng.index(documents.len())];
        for _ in 0..rng.index(6) {
            mutate(&mut input, donor, &mut rng);
        }
        let what = format!("{} bytes, {SEED_VARIABLE}={round:#x}", input.len());
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let start = Instant::now();
        match bench.convert(input.clone(), options(&mut rng)).await {
            Ok(image) => {
                assert!(image.pages() > 0, "{what}");
                counts.converted += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Document, "{error:?}: {what}");
                counts.not_converted += 1;
            }
        }
        receive(&input, &bench, &mut counts);
        let took = HEAP.peak_usage().saturating_sub(before);
        assert!(took < MOST_HEAP, "{took} bytes of heap: {what}");
        assert!(start.elapsed() < MOST_TIME, "{:?}: {what}", start.elapsed());
        let left = (bench.files(), bench.converter.abandoned());
        assert_eq!(left, (0, 0), "{what}");
        counts.peak = counts.peak.max(took);
        counts.inputs += 1;
        round = round.wrapping_add(1);
    }
    println!("{counts:#?}");
    for (kind, count) in counts.kinds() {
        assert!(
            count > 0,
            "no {kind} was seen: the mutation tests nothing of it"
        );
    }
}

fn options(rng: &mut TestRng) -> ConvertOptions {
    let halftones = [
        Halftone::Auto,
        Halftone::Threshold,
        Halftone::ClusteredDot,
        Halftone::FloydSteinberg,
    ];
    with_limits(|limits| {
        limits.time = MOST_TIME;
        limits.pixels = 1728 * 2400;
        limits.pages = 10;
    })
    .with_halftone(halftones[rng.index(4)])
    .with_fax_tiff([FaxTiff::Keep, FaxTiff::Scale][rng.index(2)])
}

/// Everything that is done with a fax that came in.
fn receive(input: &[u8], bench: &Bench, counts: &mut Counts) {
    let limits = TiffLimits::new()
        .with_max_pages(10)
        .with_max_width(4_000)
        .with_max_rows(3_000);
    let Ok(reader) = TiffReader::with_limits(Cursor::new(input), limits) else {
        return;
    };
    let mut fax = ReceivedFax::new(reader);
    let mut count = |seen: &mut u64, result: Result<()>| match result {
        Ok(()) => *seen += 1,
        Err(_) => counts.not_read += 1,
    };
    let png = PngOptions::new().with_repair(input.len().is_multiple_of(2));
    let picture = fax.page_to_png(0, &png).map(drop);
    count(&mut counts.pictures, picture);
    count(&mut counts.pdfs, fax.write_pdf(Vec::new()).map(drop));
    let thumbnail = fax.thumbnail(0, &ThumbnailOptions::new()).map(drop);
    count(&mut counts.thumbnails, thumbnail);
    let repaired = fax.repair(bench.directory.path()).map(drop);
    count(&mut counts.repaired, repaired);
    let _ = fax.info();
}

/// One or more of every kind.
fn documents() -> Vec<Vec<u8>> {
    let rgb = samples(|colour| colour);
    let grey = samples(|[red, ..]| [red]);
    let mut documents: Vec<Vec<u8>> = [
        "arithmetic.jpg",
        "cmyk.jpg",
        "colour-420.jpg",
        "progressive.jpg",
        "rgb.jpg",
        "interlaced.png",
    ]
    .map(test_file)
    .to_vec();
    documents.push(picture::png(
        SIZE,
        (ColorType::Rgb, BitDepth::Eight),
        None,
        &rgb,
    ));
    documents.push(picture::png(
        SIZE,
        (ColorType::Grayscale, BitDepth::Eight),
        None,
        &grey,
    ));
    for (samples, data) in [(3, &rgb), (1, &grey)] {
        let fields = vec![
            (256, LONG, vec![SIZE.0]),
            (257, LONG, vec![SIZE.1]),
            (258, SHORT, vec![8; samples]),
            (259, SHORT, vec![1]),
            (262, SHORT, vec![if samples == 3 { 2 } else { 1 }]),
            (277, SHORT, vec![u32::try_from(samples).unwrap()]),
            (278, LONG, vec![SIZE.1]),
        ];
        documents.push(picture::tiff(&[(fields, 273, vec![data.clone()])]));
    }
    let pixels = Bitmap::pattern(1728, 60);
    for code in [Code::Mh, Code::Mr] {
        documents.push(tiff(&[
            Sheet::new(&pixels, Code::T6),
            damaged(&pixels, code),
        ]));
    }
    documents.push(from_asterisk());
    documents.push(
        "A letter.\r\n\tIt has tabs, umlauts: äöü, and combining marks: e\u{301}.\x0cPage 2"
            .repeat(9)
            .into_bytes(),
    );
    documents.push(
        "\u{feff}Zeile\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect(),
    );
    documents
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], rng: &mut TestRng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(donor);
    }
    let at = rng.index(bytes.len());
    let len = rng.index(64);
    match rng.index(8) {
        0 | 1 => bytes[at] ^= 1 << rng.index(8),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.index(5)],
        3 => drop(bytes.drain(at..(at + len).min(bytes.len()))),
        4 => {
            let from = rng.index(donor.len());
            let part = donor[from..(from + len * 8).min(donor.len())].to_vec();
            let gone = if rng.index(2) == 0 { part.len() } else { 0 };
            drop(bytes.splice(at..(at + gone).min(bytes.len()), part));
        }
        // Numbers of any format: sizes, counts, places.
        5 => {
            let number = [0, 1, 0xffff, 0x7fff_ffff, 0xffff_ffff_u32][rng.index(5)].to_be_bytes();
            for (to, from) in bytes.iter_mut().skip(at).zip(number) {
                *to = from;
            }
        }
        6 => bytes.truncate(at),
        _ => {
            let part = bytes[at..(at + len).min(bytes.len())].to_vec();
            drop(bytes.splice(at..at, part));
        }
    }
}
