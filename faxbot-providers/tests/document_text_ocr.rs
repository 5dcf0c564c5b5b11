#![cfg(test)]
#![cfg(feature = "document")]
//! What tesseract reads of text and header lines that we drew.

use std::{collections::HashSet, fs, process::Command};

use faxbot_core::{
    Timestamp,
    document::{
        ConvertOptions, CoverPage, Document, DocumentConverter, FaxImage, PageHeader, Resolution,
    },
};
use faxbot_providers::document::{PngOptions, RenderConverter, page_to_png};

const PROSE: &str = "\
The quick brown fox jumps over the lazy dog while sixty zippers were quickly picked from the woven \
jute bag. Please confirm receipt of this message by return, because a page that nobody has seen is \
of no use to anybody. The amount of 1234.56 must be paid before 30 November 2026.

Patient: Anna Example          Born: 09.08.1957          Sample: 471108
Haemoglobin    14.2    normal
Potassium       4.1    normal
Leucocytes      6.8    normal

Pack my box with five dozen liquor jugs; how vexingly quick daft zebras jump. Jackdaws love my big \
sphinx of quartz. Amazingly few discotheques provide jukeboxes.
";

fn converter() -> RenderConverter {
    RenderConverter::new().with_time_zone("UTC").unwrap()
}

/// The words of a page, without punctuation around them.
fn read(image: &FaxImage) -> String {
    let directory = tempfile::tempdir().unwrap();
    let picture = directory.path().join("page.png");
    let png = page_to_png(image, 0, &PngOptions::default()).unwrap();
    fs::write(&picture, png).unwrap();
    let output = Command::new("tesseract")
        .arg(&picture)
        .args(["stdout", "-l", "eng", "--dpi", "200"])
        // Columns stay where they are.
        .args(["--psm", "6"])
        .env("OMP_THREAD_LIMIT", "1")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn words(text: &str) -> HashSet<String> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// The words that were not read.
fn missing(drawn: &str, read: &str) -> Vec<String> {
    let read = words(read);
    let mut missing: Vec<_> = words(drawn)
        .into_iter()
        .filter(|w| !read.contains(w))
        .collect();
    missing.sort();
    missing
}

#[tokio::test]
#[ignore = "needs tesseract: apt install tesseract-ocr"]
async fn text_is_read_at_every_resolution() {
    for resolution in Resolution::ALL {
        let options = ConvertOptions::default().with_resolution(resolution);
        let image = converter()
            .to_fax(Document::bytes(PROSE), options)
            .await
            .unwrap();
        let missing = missing(PROSE, &read(&image));
        println!(
            "{resolution}: of {} words {missing:?} are not read",
            words(PROSE).len()
        );
        assert!(missing.len() <= 2, "{resolution}: {missing:?}");
    }
}

#[tokio::test]
#[ignore = "needs tesseract: apt install tesseract-ocr"]
async fn cover_pages_are_read() {
    let cover = CoverPage::new()
        .with_field("to", "Doctor Example")
        .with_field("phone", "+49 30 1234567")
        .with_field("message", PROSE);
    let options = ConvertOptions::default().with_resolution(Resolution::Standard);
    let image = converter()
        .to_fax(Document::cover(cover), options)
        .await
        .unwrap();
    let drawn = format!("FAX To: Doctor Example Phone: +49 30 1234567 Pages: 1 {PROSE}");
    let missing = missing(&drawn, &read(&image));
    println!("{missing:?} are not read");
    assert!(missing.len() <= 2, "{missing:?}");
}

#[tokio::test]
#[ignore = "needs tesseract: apt install tesseract-ocr"]
async fn header_lines_are_read() {
    let at: Timestamp = "2026-11-21T08:15:00Z".parse().unwrap();
    for resolution in [Resolution::Standard, Resolution::Fine] {
        let options = ConvertOptions::default().with_resolution(resolution);
        let image = converter()
            .to_fax(Document::bytes(PROSE), options)
            .await
            .unwrap();
        let header = PageHeader::new(at, 7)
            .with_first_page(3)
            .with_from("Example Laboratory +49301234567")
            .with_to("+49307654321");
        let image = converter()
            .copy_pages(&image, 0..1, Some(header))
            .await
            .unwrap();
        let text = read(&image);
        let line = text.lines().next().unwrap_or_default();
        println!("{resolution}: {line}");
        for part in [
            "2026-11-21",
            "08:15",
            "Example Laboratory",
            "+49301234567",
            "+49307654321",
            "3/7",
        ] {
            assert!(
                line.contains(part),
                "{resolution}: {part:?} is not in {line:?}"
            );
        }
    }
}
