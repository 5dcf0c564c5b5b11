//! MH, MR and MMR: milliseconds for a page of A4 in fine resolution, beside libtiff and the crates
//! `fax` and `hayro-ccitt`.
//!
//! A summary compares them: the best of many passes for each chart, the coders taking turns. The
//! details of divan follow.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

mod coders;
mod libtiff;

#[allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "charts of the tests of the codec, which use the others too"
)]
#[path = "../../../faxbot-core/tests/charts/mod.rs"]
mod charts;

use std::{error::Error, fmt, hint::black_box, time::Instant};

use divan::Bencher;
use faxbot_core::document::{FaxCoding, Resolution, ccitt::row_bytes};

use charts::Chart;
use coders::{Coder, FAX, HAYRO, OURS};
use libtiff::Libtiff;

const WIDTH: u32 = 1728;
const ROWS: u32 = Resolution::Fine.rows_a4();
const CODINGS: [(FaxCoding, &str); 3] = [
    (FaxCoding::Mh, "MH"),
    (FaxCoding::Mr, "MR"),
    (FaxCoding::T6, "MMR"),
];
const NAMES: [&str; 7] = [
    "white", "letter", "text", "form", "scan", "halftone", "black",
];
const CODERS: [Coder; 3] = [OURS, FAX, HAYRO];

/// The coders take turns this often, with so many passes each time.
const TURNS: u32 = 4;
const PASSES: u32 = 15;

const ENCODE_AIMS: [Aim; 2] = [("libtiff", 2.0), ("fax", 5.0)];
const DECODE_AIMS: [Aim; 1] = [("libtiff", 1.3)];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A page to code: text takes a third of `letter`, and `scan` is text with specks.
fn chart(name: &str) -> Chart {
    match name {
        "letter" => {
            let mut chart = charts::text(WIDTH, ROWS / 3, 1);
            chart.rows.resize(ROWS as usize, vec![0; row_bytes(WIDTH)]);
            chart
        }
        "text" => charts::text(WIDTH, ROWS, 2),
        "form" => charts::lines(WIDTH, ROWS),
        "scan" => {
            let mut chart = charts::text(WIDTH, ROWS, 3);
            let specks = charts::noise(WIDTH, ROWS, 500, 4);
            for (row, specks) in chart.rows.iter_mut().zip(specks.rows) {
                row.iter_mut()
                    .zip(specks)
                    .for_each(|(byte, speck)| *byte ^= speck);
            }
            chart
        }
        "halftone" => charts::halftone(WIDTH, ROWS),
        "black" => Chart::draw(WIDTH, ROWS, |_, _| true),
        _ => Chart::white(WIDTH, ROWS),
    }
}

/// Milliseconds a page; not a number for what a coder cannot do.
#[derive(Debug, Clone, Copy)]
struct Times {
    encode: f64,
    decode: f64,
}

impl Times {
    const NONE: Self = Self {
        encode: f64::NAN,
        decode: f64::NAN,
    };

    /// The better of each; a number beats none.
    fn min(self, other: Self) -> Self {
        Self {
            encode: self.encode.min(other.encode),
            decode: self.decode.min(other.decode),
        }
    }
}

/// The best time of many passes in milliseconds.
fn best<T>(mut work: impl FnMut() -> Option<T>) -> f64 {
    (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            let done = black_box(work());
            let time = start.elapsed().as_secs_f64() * 1e3;
            done.map_or(f64::NAN, |_| time)
        })
        .fold(f64::NAN, f64::min)
}

fn measure(coder: &Coder, coding: FaxCoding, page: &[u8], data: &[u8]) -> Times {
    let mut out = vec![0; page.len()];
    Times {
        encode: best(|| (coder.encode)(coding, page)),
        decode: best(|| (coder.decode)(coding, data, &mut out)),
    }
}

/// A page as each of the coders reads it.
fn strips(coding: FaxCoding, page: &[u8]) -> Result<[Vec<u8>; CODERS.len()]> {
    let mut strips = CODERS.map(|_| Vec::new());
    for (strip, coder) in strips.iter_mut().zip(&CODERS) {
        *strip = coders::encode(coding, page, coder.needs_end)?;
        let mut out = vec![0xaa; page.len()];
        if (coder.decode)(coding, strip, &mut out).is_some() && out != page {
            return Err(format!("the pixels of {} differ", coder.name).into());
        }
        if let Some(theirs) = (coder.encode)(coding, page)
            && ((OURS.decode)(coding, &theirs, &mut out).is_none() || out != page)
        {
            return Err(format!("what {} writes differs", coder.name).into());
        }
    }
    Ok(strips)
}

/// The times of all coders for one chart, libtiff last.
struct Row {
    name: &'static str,
    bytes: usize,
    times: [Times; CODERS.len() + 1],
}

fn rows(coding: FaxCoding, pages: &[Chart], libtiff: Option<&Libtiff>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut inputs = Vec::new();
    for (name, page) in NAMES.into_iter().zip(pages) {
        let page = page.bytes();
        let coded = strips(coding, &page)?;
        rows.push(Row {
            name,
            bytes: coded.first().map_or(0, Vec::len),
            times: [Times::NONE; CODERS.len() + 1],
        });
        inputs.push((page, coded));
    }
    for _ in 0..TURNS {
        let theirs = match libtiff {
            Some(libtiff) => libtiff.run(coding, PASSES)?,
            None => Vec::new(),
        };
        let mut theirs = theirs.into_iter();
        for (row, (page, coded)) in rows.iter_mut().zip(&inputs) {
            let (last, bytes) = theirs.next().unwrap_or((Times::NONE, row.bytes));
            if bytes != row.bytes {
                println!("{}: libtiff writes {bytes} bytes", row.name);
            }
            let ours = CODERS.iter().zip(coded);
            let ours = ours.map(|(coder, strip)| measure(coder, coding, page, strip));
            for (best, times) in row.times.iter_mut().zip(ours.chain([last])) {
                *best = best.min(times);
            }
        }
    }
    Ok(rows)
}

fn mean(rows: &[Row]) -> Result<Row> {
    let count = u32::try_from(rows.len())?;
    let mut times = [Times::NONE; CODERS.len() + 1];
    for (place, mean) in times.iter_mut().enumerate() {
        let of = |part: fn(&Times) -> f64| {
            let column = rows.iter().filter_map(|row| row.times.get(place));
            column.map(part).sum::<f64>() / f64::from(count)
        };
        *mean = Times {
            encode: of(|times| times.encode),
            decode: of(|times| times.decode),
        };
    }
    Ok(Row {
        name: "mean",
        bytes: rows.iter().map(|row| row.bytes).sum::<usize>() / rows.len(),
        times,
    })
}

fn print(title: &str, rows: &[Row]) {
    println!("\n{title}, milliseconds a page of {WIDTH} x {ROWS} pixels");
    println!(
        "| chart | bytes | encode: ours | fax | libtiff | decode: ours | fax | hayro-ccitt | libtiff |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let [ours, fax, hayro, libtiff] = row.times;
        let cells = [
            ours.encode,
            fax.encode,
            libtiff.encode,
            ours.decode,
            fax.decode,
            hayro.decode,
            libtiff.decode,
        ];
        let cells: Vec<String> = cells.map(cell).into();
        println!("| {} | {} | {} |", row.name, row.bytes, cells.join(" | "));
    }
}

fn cell(time: f64) -> String {
    if time.is_nan() {
        "-".to_owned()
    } else {
        format!("{time:.3}")
    }
}

/// What is compared: its name, its time, and the peers with an aim.
type Part = (&'static str, fn(&Times) -> f64, &'static [Aim]);
type Aim = (&'static str, f64);

/// How many times as fast as a peer: in the mean, and on the worst chart.
fn print_ratios(title: &str, rows: &[Row]) {
    let peers = [("fax", 1), ("hayro-ccitt", 2), ("libtiff", 3)];
    let parts: [Part; 2] = [
        ("encode", |times| times.encode, &ENCODE_AIMS),
        ("decode", |times| times.decode, &DECODE_AIMS),
    ];
    for (part, of, aims) in parts {
        for (peer, place) in peers {
            let ratio = |row: &Row| -> Option<f64> {
                let ratio = of(row.times.get(place)?) / of(row.times.first()?);
                (!ratio.is_nan()).then_some(ratio)
            };
            let Some((all, charts)) = rows.split_last() else {
                continue;
            };
            let Some(mean) = ratio(all) else { continue };
            let each: Vec<(f64, &str)> = charts
                .iter()
                .filter_map(|row| ratio(row).map(|ratio| (ratio, row.name)))
                .collect();
            let aim = aims.iter().find(|(name, _)| *name == peer);
            let wanted = aim.map_or_else(|| "-".to_owned(), |(_, aim)| aim.to_string());
            let below: Vec<String> = each
                .iter()
                .filter(|(ratio, _)| *ratio < aim.map_or(1.0, |(_, aim)| *aim))
                .map(|(ratio, name)| format!("{name} {ratio:.2}"))
                .collect();
            let below = if below.is_empty() {
                let least = each
                    .iter()
                    .map(|(ratio, _)| *ratio)
                    .fold(f64::NAN, f64::min);
                format!("none, at least {least:.2}")
            } else {
                below.join(", ")
            };
            println!("| {title} | {part} | {peer} | {wanted} | {mean:.2} | {below} |");
        }
    }
}

fn summary() -> Result<()> {
    let pages: Vec<Chart> = NAMES.iter().map(|name| chart(name)).collect();
    let libtiff = match Libtiff::compile(&pages) {
        Ok(libtiff) => Some(libtiff),
        Err(error) => {
            println!("libtiff is not measured: {error}");
            None
        }
    };
    let mut tables = Vec::new();
    for (coding, title) in CODINGS {
        let mut rows = rows(coding, &pages, libtiff.as_ref())?;
        rows.push(mean(&rows)?);
        print(title, &rows);
        tables.push((title, rows));
    }
    println!("\n| coding | | beside | aim | mean | charts below |");
    println!("|---|---|---|--:|--:|---|");
    for (title, rows) in &tables {
        print_ratios(title, rows);
    }
    println!();
    Ok(())
}

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        summary()?;
    }
    divan::main();
    Ok(())
}

/// What the details of divan are about.
#[derive(Debug, Clone, Copy)]
struct Case {
    coding: (FaxCoding, &'static str),
    chart: &'static str,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.coding.1, self.chart)
    }
}

fn cases() -> Vec<Case> {
    let of = |coding| NAMES.map(|chart| Case { coding, chart });
    CODINGS.into_iter().flat_map(of).collect()
}

#[divan::bench(args = cases())]
fn encode_page(bencher: Bencher<'_, '_>, case: Case) {
    let page = chart(case.chart).bytes();
    bencher.bench_local(|| (OURS.encode)(case.coding.0, black_box(&page)));
}

#[divan::bench(args = cases())]
fn decode_page(bencher: Bencher<'_, '_>, case: Case) {
    let page = chart(case.chart).bytes();
    let data = (OURS.encode)(case.coding.0, &page).unwrap_or_default();
    let mut out = vec![0; page.len()];
    bencher.bench_local(|| (OURS.decode)(case.coding.0, black_box(&data), &mut out));
}
