//! What tesseract reads of our pages, beside what it reads of ghostscript's.
#![cfg(test)]
#![cfg(feature = "render")]

mod document_support;
#[path = "document_support/text_pdf.rs"]
mod text_pdf;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use faxbot_core::document::{ConvertOptions, Resolution, tiff::TiffReader};

use document_support::Bench;
use text_pdf::{Block, PAGE, TextPdf, photo, words};

/// A document and the words of each page; a page has each word at most once.
struct Sheets {
    pdf: TextPdf,
    words: Vec<HashSet<&'static str>>,
}

impl Sheets {
    fn new() -> Self {
        Self {
            pdf: TextPdf::default(),
            words: Vec::new(),
        }
    }

    /// Adds a page of blocks below each other, after what `drawing` draws.
    fn page(&mut self, drawing: &str, blocks: &[Block]) {
        let all = words();
        // Each page begins elsewhere in the list.
        let start = self.words.len() * 131;
        let words = all.iter().copied().cycle().skip(start).take(all.len());
        let mut words = words.peekable();
        let mut drawing = drawing.to_owned();
        let mut taken = Vec::new();
        for block in blocks {
            taken.extend(block.draw(&mut words, &mut drawing));
        }
        self.pdf.page(drawing);
        self.words.push(taken.into_iter().collect());
    }
}

/// Blocks of a size in the three families of fonts, over the width of the page.
fn families(size: u32, grey: f32) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for font in 0..3 {
        blocks.push(Block {
            font,
            size,
            left: 50,
            top: blocks.last().map_or(PAGE.1 - 60, Block::below),
            width: 495,
            lines: 12,
            grey,
        });
    }
    blocks
}

#[tokio::test]
#[ignore = "needs ghostscript and tesseract-ocr: apt install ghostscript tesseract-ocr"]
async fn as_many_words_of_black_text_are_read_as_of_ghostscripts_pages() {
    let mut sheets = Sheets::new();
    for size in [9, 10, 11, 12] {
        sheets.page("", &families(size, 0.0));
    }
    compare("black text", sheets).await;
}

#[tokio::test]
#[ignore = "needs ghostscript and tesseract-ocr: apt install ghostscript tesseract-ocr"]
async fn as_many_words_of_grey_text_are_read_as_of_ghostscripts_pages() {
    let mut sheets = Sheets::new();
    for (size, grey) in [(10, 0.35), (12, 0.55)] {
        sheets.page("", &families(size, grey));
    }
    compare("grey text", sheets).await;
}

#[tokio::test]
#[ignore = "needs ghostscript and tesseract-ocr: apt install ghostscript tesseract-ocr"]
async fn as_many_words_beside_and_on_shades_are_read_as_of_ghostscripts_pages() {
    let mut sheets = Sheets::new();
    let beside = Block {
        font: 0,
        size: 11,
        left: 300,
        top: 780,
        width: 250,
        lines: 46,
        grey: 0.0,
    };
    let below = Block {
        font: 1,
        left: 60,
        top: 400,
        width: 480,
        lines: 22,
        ..beside
    };
    let on_shades = Block {
        size: 12,
        left: 60,
        top: 780,
        width: 480,
        lines: 40,
        ..beside
    };
    sheets.page("q 220 0 0 660 60 120 cm /Photo Do Q\n", &[beside]);
    sheets.page("q 480 0 0 340 60 430 cm /Photo Do Q\n", &[below]);
    sheets.page(&shades(), &[on_shades]);
    sheets.pdf = sheets.pdf.with_photo(500, 700, photo(500, 700, 0));
    compare("text and shades", sheets).await;
}

/// A wedge behind the text: 40 steps from a fifth of black to white.
fn shades() -> String {
    let step = |step: u16| {
        let grey = 0.8 + f32::from(step) * 0.005;
        format!("{grey} g 50 {} 500 18 re f\n", 780 - step * 18)
    };
    (0..40).map(step).collect()
}

/// Converts in both resolutions and has tesseract read both sides.
async fn compare(name: &str, sheets: Sheets) {
    let bench = Bench::new();
    let directory = tempfile::tempdir().unwrap();
    let pdf = directory.path().join("sheets.pdf");
    let bytes = sheets.pdf.finish();
    fs::write(&pdf, &bytes).unwrap();
    let mut worse = Vec::new();
    for resolution in [Resolution::Standard, Resolution::Fine] {
        let options = ConvertOptions::default().with_resolution(resolution);
        let image = bench.convert(bytes.clone(), options).await.unwrap();
        let theirs = ghostscript(&pdf, resolution);
        let ours = read(image.path(), resolution, &directory.path().join("ours"));
        let theirs = read(&theirs, resolution, &directory.path().join("theirs"));
        assert_eq!(ours.len(), sheets.words.len());
        assert_eq!(theirs.len(), sheets.words.len());
        let mut sum = (0, 0);
        for (page, words) in sheets.words.iter().enumerate() {
            let count =
                |read: &HashSet<String>| words.iter().filter(|word| read.contains(**word)).count();
            let (ours, theirs) = (count(&ours[page]), count(&theirs[page]));
            println!(
                "{name}, 204x{}, page {page}: of {} words {ours} are read, {theirs} of ghostscript's",
                resolution.lines_per_inch(),
                words.len()
            );
            sum = (sum.0 + ours, sum.1 + theirs);
        }
        if sum.0 < sum.1 {
            worse.push((resolution, sum));
        }
    }
    assert!(worse.is_empty(), "{name}: {worse:?}");
}

fn ghostscript(pdf: &Path, resolution: Resolution) -> PathBuf {
    let out = pdf.with_extension(format!("{}.tif", resolution.as_str()));
    run(Command::new("gs")
        .args(["-q", "-dNOPAUSE", "-dBATCH", "-dSAFER", "-sDEVICE=tiffg4"])
        .arg(format!("-r204x{}", resolution.lines_per_inch()))
        .arg(format!("-sOutputFile={}", out.display()))
        .arg(pdf));
    out
}

/// The words of each page, in lower case.
fn read(tiff: &Path, resolution: Resolution, to: &Path) -> Vec<HashSet<String>> {
    let file = fs::File::open(tiff).unwrap();
    let mut reader = TiffReader::open(std::io::BufReader::new(file)).unwrap();
    let pages: Vec<_> = reader.pages().map(|page| page.unwrap()).collect();
    pages
        .iter()
        .map(|page| {
            let picture = to.with_extension(format!("{}.pbm", page.index));
            // Square pixels, nearly: tesseract knows only one resolution.
            let times = if resolution == Resolution::Standard {
                2
            } else {
                1
            };
            let mut bytes = format!("P4\n{} {}\n", page.width, page.rows * times).into_bytes();
            reader
                .decode_page(page, |row| {
                    for _ in 0..times {
                        bytes.extend_from_slice(row);
                    }
                })
                .unwrap();
            fs::write(&picture, bytes).unwrap();
            let text = run(Command::new("tesseract")
                .arg(&picture)
                .args(["stdout", "-l", "eng", "--dpi", "200"])
                // The tests run beside each other already.
                .env("OMP_THREAD_LIMIT", "1"));
            text.split(|letter: char| !letter.is_ascii_alphabetic())
                .map(str::to_ascii_lowercase)
                .collect()
        })
        .collect()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
