//! T.6: milliseconds for a page of A4 in fine resolution, beside libtiff and the crate `fax`.
//!
//! A summary compares the three: the best of many passes for each chart, as libtiff (a C program
//! that is compiled here and times itself) does it too. The details of divan follow.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::{
    error::Error,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use divan::Bencher;
use fax::{Color, VecWriter, encoder::Encoder};
use faxbot_core::document::{
    Resolution,
    ccitt::{T6Decoder, T6Encoder, row_bytes},
};

#[allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "charts of the tests of the codec, which use the others too"
)]
#[path = "../../faxbot-core/tests/charts/mod.rs"]
mod charts;

use charts::Chart;

const WIDTH: u32 = 1728;
const ROWS: u32 = Resolution::Fine.rows_a4();
const NAMES: [&str; 7] = [
    "white", "letter", "text", "form", "scan", "halftone", "black",
];
const PASSES: u32 = 60;

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

fn encode(page: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = T6Encoder::new(WIDTH)?;
    for row in page.chunks_exact(row_bytes(WIDTH)) {
        encoder.encode_row(row)?;
    }
    Ok(encoder.finish())
}

fn decode(data: &[u8], page: &mut [u8]) -> Result<()> {
    let mut decoder = T6Decoder::new(data, WIDTH, ROWS)?;
    for row in page.chunks_exact_mut(row_bytes(WIDTH)) {
        if !decoder.next_row(row)? {
            return Err("a row is missing".into());
        }
    }
    Ok(())
}

fn fax_encode(page: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(VecWriter::with_capacity(page.len() * 8));
    for row in page.chunks_exact(row_bytes(WIDTH)) {
        let pixels = row.iter().flat_map(|byte| {
            (0..8).map(move |bit| {
                if byte & (0x80 >> bit) == 0 {
                    Color::White
                } else {
                    Color::Black
                }
            })
        });
        // Writing into memory has no error.
        let Ok(()) = encoder.encode_line(pixels, WIDTH);
    }
    let Ok(writer) = encoder.finish();
    writer.finish()
}

/// The crate gives the changes of each row; its own `pels` is slower than these fills.
fn fax_decode(data: &[u8], page: &mut [u8]) -> Option<()> {
    let mut rows = page.chunks_exact_mut(row_bytes(WIDTH));
    fax::decoder::decode_g4(data.iter().copied(), WIDTH, Some(ROWS), |changes| {
        if let Some(row) = rows.next() {
            row.fill(0);
            for run in changes.chunks(2) {
                let start = run.first().copied().unwrap_or(WIDTH);
                fill(row, start, run.get(1).copied().unwrap_or(WIDTH));
            }
        }
    })
}

fn fill(row: &mut [u8], start: u32, end: u32) {
    let (first, last) = ((start / 8) as usize, (end / 8) as usize);
    let (head, tail) = (0xff_u8 >> (start % 8), !(0xff_u8 >> (end % 8)));
    if first == last {
        row.iter_mut()
            .skip(first)
            .take(1)
            .for_each(|byte| *byte |= head & tail);
        return;
    }
    row.iter_mut()
        .skip(first)
        .take(1)
        .for_each(|byte| *byte |= head);
    row.iter_mut()
        .skip(last)
        .take(1)
        .for_each(|byte| *byte |= tail);
    if let Some(middle) = row.get_mut(first + 1..last) {
        middle.fill(0xff);
    }
}

/// The best time of many passes in milliseconds.
fn best<T>(mut work: impl FnMut() -> T) -> f64 {
    (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}

#[derive(Debug, Clone, Copy)]
struct Times {
    encode: f64,
    decode: f64,
    bytes: usize,
}

fn ours(page: &[u8]) -> Result<Times> {
    let data = encode(page)?;
    let mut out = vec![0; page.len()];
    decode(&data, &mut out)?;
    if out != page {
        return Err("our pixels differ".into());
    }
    let times = (
        best(|| encode(page).map(|data| data.len())),
        best(|| decode(&data, &mut out).is_ok()),
    );
    Ok(Times {
        encode: times.0,
        decode: times.1,
        bytes: data.len(),
    })
}

fn crate_fax(page: &[u8]) -> Result<Times> {
    let data = fax_encode(page);
    let mut out = vec![0; page.len()];
    fax_decode(&data, &mut out).ok_or("fax does not decode")?;
    if out != page {
        return Err("the pixels of fax differ".into());
    }
    let times = (
        best(|| fax_encode(page).len()),
        best(|| fax_decode(&data, &mut out)),
    );
    Ok(Times {
        encode: times.0,
        decode: times.1,
        bytes: data.len(),
    })
}

/// Compiles and runs the C program; an error says what is missing.
fn libtiff(pages: &[Chart]) -> Result<Vec<Times>> {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = directory.join("t6_libtiff");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/t6_libtiff.c");
    let compiled = Command::new("cc")
        .arg("-O2")
        .arg("-o")
        .arg(&program)
        .arg(source)
        .arg("-ltiff")
        .output()?;
    if !compiled.status.success() {
        return Err("the C program was not compiled (apt-get install gcc libtiff-dev)".into());
    }
    let raw = directory.join("t6_pages.raw");
    std::fs::write(
        &raw,
        pages.iter().flat_map(Chart::bytes).collect::<Vec<_>>(),
    )?;
    let arguments = [WIDTH, ROWS, PASSES].map(|value| value.to_string());
    let output = Command::new(&program).arg(&raw).args(arguments).output()?;
    std::fs::remove_file(&raw)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let mut times = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let mut numbers = line.split(' ');
        let mut next = || numbers.next().ok_or("a number is missing");
        let (encode, decode) = (next()?.parse::<f64>()? / 1e3, next()?.parse::<f64>()? / 1e3);
        times.push(Times {
            encode,
            decode,
            bytes: next()?.parse()?,
        });
    }
    Ok(times)
}

fn summary() -> Result<()> {
    let pages: Vec<Chart> = NAMES.iter().map(|name| chart(name)).collect();
    let theirs = match libtiff(&pages) {
        Ok(times) => times,
        Err(error) => {
            println!("libtiff is not measured: {error}");
            Vec::new()
        }
    };
    println!("T.6, milliseconds a page of {WIDTH} x {ROWS} pixels, best of {PASSES}");
    println!(
        "{:<9}{:>9} |{:^33}|{:^33}",
        "chart", "bytes", "encode", "decode"
    );
    println!(
        "{:<18} |{:>8}{:>8}{:>9}{:>8}|{:>8}{:>8}{:>9}{:>8}",
        "", "ours", "fax", "libtiff", "ratio", "ours", "fax", "libtiff", "ratio"
    );
    let mut sums = [0.0; 6];
    let mut bytes = 0;
    for (index, (name, page)) in NAMES.iter().zip(&pages).enumerate() {
        let page = page.bytes();
        let (ours, fax) = (ours(&page)?, crate_fax(&page)?);
        let libtiff = theirs.get(index).copied();
        if libtiff.is_some_and(|times| times.bytes != ours.bytes) {
            println!("{name}: libtiff needs another number of bytes");
        }
        let (tiff_encode, tiff_decode) =
            libtiff.map_or((f64::NAN, f64::NAN), |times| (times.encode, times.decode));
        let row = [
            ours.encode,
            fax.encode,
            tiff_encode,
            ours.decode,
            fax.decode,
            tiff_decode,
        ];
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value);
        bytes += ours.bytes;
        print_row(name, ours.bytes, row);
    }
    let count = f64::from(u32::try_from(NAMES.len())?);
    print_row("mean", bytes / NAMES.len(), sums.map(|sum| sum / count));
    Ok(())
}

fn print_row(name: &str, bytes: usize, [a, b, c, d, e, f]: [f64; 6]) {
    let (encode, decode) = (c / a, f / d);
    println!(
        "{name:<9}{bytes:>9} |{a:>8.3}{b:>8.3}{c:>9.3}{encode:>7.2}x|{d:>8.3}{e:>8.3}{f:>9.3}{decode:>7.2}x"
    );
}

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        summary()?;
    }
    divan::main();
    Ok(())
}

#[divan::bench(args = NAMES)]
fn encode_page(bencher: Bencher<'_, '_>, name: &str) {
    let page = chart(name).bytes();
    bencher.bench_local(|| encode(black_box(&page)).map(|data| data.len()).ok());
}

#[divan::bench(args = NAMES)]
fn decode_page(bencher: Bencher<'_, '_>, name: &str) {
    let page = chart(name).bytes();
    let data = encode(&page).unwrap_or_default();
    let mut out = vec![0; page.len()];
    bencher.bench_local(|| decode(black_box(&data), &mut out).is_ok());
}
