//! Seeded mutation of fax files and strips through every decoder, strict and repairing: no panic, no
//! row that was not asked for, bounded memory and time.
#![cfg(test)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of these tests are small"
)]

use std::{
    env,
    hash::{BuildHasher, Hasher, RandomState},
    io::Cursor,
    time::{Duration, Instant},
};

use faxbot_core::document::{
    Resolution,
    ccitt::{T4Coding, T4Decoder, T6Decoder, row_bytes},
    tiff::{PageNumbers, TiffLimits, TiffReader, TiffWriter},
};
use peak_alloc::PeakAlloc;

#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "tiff/build.rs"]
mod build;
#[allow(dead_code, reason = "each test file uses a part of the charts")]
mod charts;

use build::Form;
use charts::Numbers;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What one input may take on top of what was in use before it; the files have some 100 KB.
const MOST_HEAP: usize = 4 * 1024 * 1024;
/// A decoder that hangs is far above it, also on a slow machine.
const MOST_TIME: Duration = Duration::from_secs(20);
/// Seconds of a run that is told nothing; CI sets `FAXBOT_MUTATION_SECONDS=60`.
const SECONDS: u64 = 2;
const SEED_VARIABLE: &str = "FAXBOT_TEST_SEED";
const ROWS: u32 = 600;

/// Inputs of a run at the least, and of one that waits for a kind that is rare.
const LEAST: u64 = 200;
const MOST: u64 = 20_000;

#[derive(Debug, Default)]
struct Counts {
    inputs: u64,
    opened: u64,
    pages: u64,
    clean: u64,
    repaired: u64,
    missing: u64,
    refused: u64,
    copied: u64,
    strip_rows: u64,
    strip_errors: u64,
    peak: usize,
}

impl Counts {
    /// What a run has to see, and how often it did.
    fn kinds(&self) -> [(&'static str, u64); 7] {
        [
            ("clean page", self.clean),
            ("repaired page", self.repaired),
            ("page with missing rows", self.missing),
            ("refused page", self.refused),
            ("copy", self.copied),
            ("row of a strip", self.strip_rows),
            ("error of a strip", self.strip_errors),
        ]
    }

    /// Whether more inputs are needed to have seen each of them.
    fn lacks_any(&self) -> bool {
        let all = self.kinds().iter().all(|(_, count)| *count > 0);
        self.inputs < LEAST || (!all && self.inputs < MOST)
    }
}

#[test]
fn no_mutation_of_a_page_panics_or_takes_more_than_it_may() {
    let seconds = env::var("FAXBOT_MUTATION_SECONDS").map_or(SECONDS, |text| {
        text.parse()
            .expect("FAXBOT_MUTATION_SECONDS is no number of seconds")
    });
    let mut round = seed();
    let files = files();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut counts = Counts::default();
    // The clock is looked at between inputs only: what an input does depends on its seed alone.
    while Instant::now() < end || counts.lacks_any() {
        let mut numbers = Numbers(round);
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..3 {
            numbers.below(2);
        }
        let file = &files[numbers.below(files.len() as u32) as usize];
        let donor = &files[numbers.below(files.len() as u32) as usize];
        let mut input = file.clone();
        for _ in 0..numbers.below(8) {
            mutate(&mut input, donor, &mut numbers);
        }
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let start = Instant::now();
        read(&input, &mut counts);
        strip(&input, &mut numbers, &mut counts);
        let took = HEAP.peak_usage().saturating_sub(before);
        let what = || format!("{} bytes, {SEED_VARIABLE}={round:#x}", input.len());
        assert!(took < MOST_HEAP, "{took} bytes of heap: {}", what());
        assert!(
            start.elapsed() < MOST_TIME,
            "{:?}: {}",
            start.elapsed(),
            what()
        );
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

/// The seed of this run, printed so that it can be repeated.
fn seed() -> u64 {
    let given = env::var(SEED_VARIABLE).ok().map(|text| {
        text.strip_prefix("0x")
            .map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16))
            .expect("FAXBOT_TEST_SEED is no number")
    });
    let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    eprintln!("{SEED_VARIABLE}={seed:#x}");
    seed
}

/// Every chart in every form, and a page of another program.
fn files() -> Vec<Vec<u8>> {
    let mut files = vec![include_bytes!("files/received-asterisk-22.tif").to_vec()];
    let codings = [
        None,
        Some(T4Coding::MhAligned),
        Some(T4Coding::Mh),
        Some(T4Coding::Mr),
    ];
    for (index, (_, chart)) in charts::all(1728, 120).iter().enumerate() {
        for coding in codings {
            let flag = |bit: usize| index >> bit & 1 == 1;
            files.push(
                Form {
                    big: flag(0),
                    lsb_first: flag(1),
                    min_is_black: flag(2),
                    aligned: flag(1),
                    return_to_control: flag(0),
                    rows_per_strip: [usize::MAX, 40][index % 2],
                    ..Form::new(coding)
                }
                .file(chart),
            );
        }
    }
    files
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], numbers: &mut Numbers) {
    if bytes.is_empty() {
        bytes.extend_from_slice(donor);
        return;
    }
    // Now and then the directory, which is the last thing in these files.
    let at = match numbers.below(8) {
        0 => bytes.len() - 1 - numbers.below(bytes.len().min(160) as u32) as usize,
        _ => numbers.below(bytes.len() as u32) as usize,
    };
    let len = numbers.below(64) as usize;
    let part = match numbers.below(8) {
        0 | 1 => vec![bytes[at] ^ 1 << numbers.below(8)],
        2 => vec![[0, 1, 0x7f, 0x80, 0xff][numbers.below(5) as usize]],
        // End-of-line codes at any bit, many of them, and long fill.
        3 => {
            let code = [0x00, 0x10, 0x01, 0x80, 0x08][numbers.below(5) as usize];
            [0, code].repeat(len)
        }
        4 => vec![0; len * len],
        5 => {
            let from = numbers.below(donor.len() as u32) as usize;
            donor[from..(from + len * 8).min(donor.len())].to_vec()
        }
        6 => {
            let from = numbers.below(bytes.len() as u32) as usize;
            bytes[from..(from + len).min(bytes.len())].to_vec()
        }
        _ if numbers.below(4) == 0 => return bytes.truncate(at),
        _ => vec![0xff; len],
    };
    // Mostly in place: where bytes come or go, the file's offsets lead to something else.
    let gone = match numbers.below(10) {
        0 => 0,
        1 => len,
        _ => part.len(),
    };
    drop(bytes.splice(at..(at + gone).min(bytes.len()), part));
}

/// Everything that can be done with a file.
fn read(input: &[u8], counts: &mut Counts) {
    let limits = TiffLimits::new()
        .with_max_pages(20)
        .with_max_width(4_000)
        .with_max_rows(2_000);
    let Ok(mut reader) = TiffReader::with_limits(Cursor::new(input), limits) else {
        return;
    };
    counts.opened += 1;
    for index in 0..reader.page_count() {
        let Ok(page) = reader.page(index) else {
            counts.refused += 1;
            continue;
        };
        counts.pages += 1;
        assert!(page.rows <= 2_000 && page.width <= 4_000);
        let mut strict = 0;
        let result = reader.decode_page(&page, |row| {
            assert_eq!(row.len(), row_bytes(page.width));
            strict += 1;
        });
        assert!(strict <= page.rows);
        assert!(result.is_err() || strict == page.rows);
        let mut rows = 0;
        match reader.decode_page_repaired(&page, |_| rows += 1) {
            Ok(quality) => {
                assert_eq!(rows, page.rows);
                assert_eq!(result.is_ok(), quality.is_clean());
                assert!(quality.bad_rows <= rows && quality.missing_rows <= quality.bad_rows);
                assert!(quality.longest_bad_run <= quality.bad_rows);
                counts.clean += u64::from(quality.is_clean());
                counts.repaired += u64::from(!quality.is_clean());
                counts.missing += u64::from(quality.missing_rows > 0);
            }
            Err(_) => counts.refused += 1,
        }
    }
    let mut writer = TiffWriter::new(Cursor::new(Vec::new())).unwrap();
    let pages = reader.page_count();
    if writer
        .copy_pages(&mut reader, 0..pages, PageNumbers::Renumber)
        .is_ok()
    {
        writer.finish().unwrap();
        counts.copied += 1;
    }
}

/// The file as if it were a strip.
fn strip(input: &[u8], numbers: &mut Numbers, counts: &mut Counts) {
    let width = [1, 8, 75, Resolution::PIXELS_PER_INCH, 1728, 65_535][numbers.below(6) as usize];
    let mut row = vec![0; row_bytes(width)];
    let mut decoder = T6Decoder::new(input, width, ROWS).unwrap();
    while let Ok(true) = decoder.next_row(&mut row) {}
    assert!(decoder.rows() <= ROWS);
    for coding in [T4Coding::MhAligned, T4Coding::Mh, T4Coding::Mr] {
        let mut strict = T4Decoder::new(input, width, ROWS, coding).unwrap();
        while let Ok(true) = strict.next_row(&mut row) {}
        counts.strip_errors += u64::from(strict.next_row(&mut row).is_err());
        let mut decoder = T4Decoder::new(input, width, ROWS, coding)
            .unwrap()
            .with_repair(true);
        while decoder.next_row(&mut row).unwrap() {}
        assert!(decoder.rows() <= ROWS);
        assert!(decoder.quality().bad_rows <= decoder.rows());
        counts.strip_rows += u64::from(decoder.rows());
    }
}
