#![cfg(test)]
#![cfg(feature = "document")]
//! Plain text and cover pages to fax pages.

use std::fmt::Write as _;

use faxbot_core::{
    DocumentReason, Error, ErrorKind, Timestamp,
    document::{
        ConvertOptions, CoverPage, Document, DocumentConverter, DocumentLimits, FaxImage, FaxWidth,
        Resolution,
    },
};
use faxbot_providers::document::RenderConverter;

/// Where text stands, in rows at 98 lines per inch, and columns.
const TOP: usize = 61;
const LINE: usize = 17;
const LINES: usize = 60;
const LEFT: usize = 144;
const CELL: usize = 18;

async fn convert(document: Document, options: ConvertOptions) -> Result<FaxImage, Error> {
    RenderConverter::new()
        .with_time_zone("UTC")
        .unwrap()
        .to_fax(document, options)
        .await
}

async fn fax(text: impl AsRef<[u8]>) -> Result<FaxImage, Error> {
    convert(
        Document::bytes(text.as_ref().to_vec()),
        ConvertOptions::default().with_resolution(Resolution::Standard),
    )
    .await
}

fn limits(change: impl FnOnce(&mut DocumentLimits)) -> ConvertOptions {
    let mut limits = DocumentLimits::default();
    change(&mut limits);
    ConvertOptions::default()
        .with_resolution(Resolution::Standard)
        .with_limits(limits)
}

/// The rows of a page.
fn rows(image: &FaxImage, index: u32) -> Vec<Vec<u8>> {
    let mut reader = image.reader().unwrap();
    let page = reader.page(index).unwrap();
    let mut rows = Vec::new();
    reader
        .decode_page(&page, |row| rows.push(row.to_vec()))
        .unwrap();
    rows
}

fn pages(image: &FaxImage) -> Vec<Vec<Vec<u8>>> {
    (0..image.pages()).map(|index| rows(image, index)).collect()
}

/// How many cells each line of a page covers, from its left margin to its last black pixel.
fn shape(page: &[Vec<u8>]) -> Vec<usize> {
    let finer = page.len() / 1143;
    let shape: Vec<usize> = (0..LINES)
        .map(|line| {
            let first = (TOP + line * LINE) * finer;
            let last = page[first..first + LINE * finer]
                .iter()
                .filter_map(|row| {
                    let byte = row.iter().rposition(|byte| *byte != 0)?;
                    Some(byte * 8 + 7 - row[byte].trailing_zeros() as usize)
                })
                .max();
            last.map_or(0, |last| (last + 1 - LEFT).div_ceil(CELL))
        })
        .collect();
    let lines = shape
        .iter()
        .rposition(|cells| *cells > 0)
        .map_or(0, |at| at + 1);
    shape[..lines].to_vec()
}

/// Words of different lengths without letters that hang over or down, line after line.
fn prose(words: usize) -> String {
    let mut text = String::new();
    for word in 0..words {
        let _ = write!(text, "{} ", "nom".repeat(1 + word * 7 % 5));
        if word % 37 == 36 {
            text.push('\n');
        }
        if word % 301 == 300 {
            text.push('\u{c}');
        }
    }
    text
}

#[tokio::test]
async fn a_line_of_text_is_a_page_of_a4() {
    for resolution in Resolution::ALL {
        let options = ConvertOptions::default().with_resolution(resolution);
        let image = convert(Document::bytes("nomen est omen\n"), options)
            .await
            .unwrap();
        assert_eq!((image.pages(), image.resolution()), (1, resolution));
        let page = rows(&image, 0);
        assert_eq!(page.len(), resolution.rows_a4() as usize);
        assert_eq!(shape(&page), [14]);
    }
}

#[tokio::test]
async fn lines_and_pages_end_at_the_same_words_at_every_resolution() {
    let text = prose(2000);
    let mut shapes = Vec::new();
    for resolution in Resolution::ALL {
        let options = ConvertOptions::default().with_resolution(resolution);
        let image = convert(Document::bytes(text.clone()), options)
            .await
            .unwrap();
        shapes.push(
            pages(&image)
                .iter()
                .map(|page| shape(page))
                .collect::<Vec<_>>(),
        );
    }
    assert!(shapes[0].len() > 5, "{}", shapes[0].len());
    assert!(shapes[0].concat().iter().all(|cells| *cells <= 80));
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(shapes[0], shapes[2]);
}

#[tokio::test]
async fn wider_paper_has_longer_lines_and_more_of_them() {
    for (width, columns, rows_of_page) in [(FaxWidth::B4, 97, 1401), (FaxWidth::A3, 119, 1617)] {
        let options = ConvertOptions::default()
            .with_width(width)
            .with_resolution(Resolution::Standard);
        let image = convert(Document::bytes("n".repeat(500)), options)
            .await
            .unwrap();
        assert_eq!(image.width(), width);
        let page = rows(&image, 0);
        assert_eq!(page.len(), rows_of_page);
        let last = page
            .iter()
            .filter_map(|row| row.iter().rposition(|byte| *byte != 0))
            .max();
        let edge = (LEFT + columns * CELL) / 8;
        assert!(
            last.is_some_and(|last| last <= edge && last + 3 >= edge),
            "{last:?}"
        );
    }
}

#[tokio::test]
async fn the_encoding_and_the_line_ends_change_no_pixel() {
    let text = "Größe, naïve Ελλάδα Привет\nzwei\n\nvier";
    let expected = pages(&fax(text).await.unwrap());
    let utf16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .flat_map(bytes)
            .collect()
    };
    for (name, same) in [
        ("bom", format!("\u{feff}{text}").into_bytes()),
        ("utf-16le", utf16(u16::to_le_bytes)),
        ("utf-16be", utf16(u16::to_be_bytes)),
        ("crlf", text.replace('\n', "\r\n").into_bytes()),
        ("cr", text.replace('\n', "\r").into_bytes()),
        ("trailing", format!("{text}   \n\n\n\u{c}\n").into_bytes()),
        (
            "blank pages",
            format!("\u{c}{text}{}", "\n".repeat(500)).into_bytes(),
        ),
        (
            "decomposed",
            text.replace('ö', "o\u{308}")
                .replace('ï', "i\u{308}")
                .into_bytes(),
        ),
        (
            "soft hyphens",
            text.replace("ß", "\u{ad}ß\u{200d}\u{feff}").into_bytes(),
        ),
    ] {
        assert!(pages(&fax(same).await.unwrap()) == expected, "{name}");
    }
}

#[tokio::test]
async fn marks_stand_over_what_they_belong_to() {
    let plain = rows(&fax("nnn x nnn").await.unwrap(), 0);
    let marked = rows(&fax("nnn x\u{302} nnn").await.unwrap(), 0);
    assert_eq!(shape(&plain), shape(&marked));
    let changed: Vec<_> = (0..plain.len())
        .filter(|row| plain[*row] != marked[*row])
        .collect();
    // Above the small letter, which ends 8 rows above row 13.
    let first = TOP + 13 - 8;
    assert!(
        !changed.is_empty() && changed.iter().all(|row| *row < first),
        "{changed:?}"
    );
    for row in changed {
        let columns = (0..plain[row].len()).filter(|at| plain[row][*at] != marked[row][*at]);
        assert!(
            columns.map(|at| at * 8).all(|at| (208..240).contains(&at)),
            "row {row}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_drawn_is_refused_by_its_line_and_code_and_the_text_does_not_show() {
    for (character, code) in [
        ('漢', "U+6F22"),
        ('🙂', "U+1F642"),
        ('ש', "U+05E9"),
        ('ع', "U+0639"),
        ('क', "U+0915"),
        ('\u{202e}', "U+202E"),
        ('\u{fffd}', "U+FFFD"),
        ('\u{ffff}', "U+FFFF"),
    ] {
        let text = format!("secret\r\nsecret\nsecret {character} secret\n漢\n");
        let error = fax(text).await.unwrap_err();
        assert_eq!(
            error.document_reason(),
            Some(DocumentReason::Unsuitable),
            "{code}"
        );
        let message = error.message();
        assert!(
            message.contains("line 3 ") && message.contains(code),
            "{message}"
        );
        assert!(
            message.contains("pdf") && !message.contains(character),
            "{message}"
        );
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn text_with_nothing_to_draw_is_empty() {
    for text in [
        "\n",
        " ",
        "\u{c}\u{c}",
        "\u{feff}",
        "\t\r\n \u{a0}\n",
        "\u{ad}\u{200b}",
    ] {
        let error = fax(text).await.unwrap_err();
        assert_eq!(
            error.document_reason(),
            Some(DocumentReason::Empty),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn limits_hold_and_count_the_whole_fax() {
    let two = "a\u{c}b";
    let refused = [
        (two, limits(|limits| limits.pages = 1)),
        (two, limits(|limits| limits.pixels = 1_000_000)),
        (two, limits(|limits| limits.bytes = 2)),
    ];
    for (text, options) in refused {
        let error = convert(Document::bytes(text), options).await.unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::TooLarge));
    }
    let options = limits(|limits| limits.pages = 2);
    assert_eq!(
        convert(Document::bytes(two), options)
            .await
            .unwrap()
            .pages(),
        2
    );
    let three = Document::combined([Document::bytes(two), Document::bytes("c")]);
    let error = convert(three, options).await.unwrap_err();
    assert_eq!(error.document_reason(), Some(DocumentReason::TooLarge));
}

#[tokio::test]
async fn the_bytes_of_cover_pages_count_as_those_of_other_documents() {
    let options = limits(|limits| limits.bytes = 1000);
    let cover = || template(&"n".repeat(400));
    convert(Document::combined([cover(), cover()]), options)
        .await
        .unwrap();
    for third in [cover(), Document::bytes("n".repeat(400))] {
        let fax = Document::combined([cover(), cover(), third]);
        let error = convert(fax, options).await.unwrap_err();
        assert_eq!(error.document_reason(), Some(DocumentReason::TooLarge));
    }
}

#[tokio::test]
async fn hostile_texts_are_bounded() {
    const MANY: usize = 1 << 20;
    let options = limits(|limits| limits.pages = 20);
    for (name, text, expected) in [
        ("newlines", "\n".repeat(MANY), Some(DocumentReason::Empty)),
        (
            "form feeds",
            "\u{c}".repeat(MANY),
            Some(DocumentReason::Empty),
        ),
        ("spaces", " ".repeat(MANY), Some(DocumentReason::Empty)),
        ("tabs", "\t".repeat(MANY), Some(DocumentReason::Empty)),
        (
            "soft hyphens",
            "\u{ad}".repeat(MANY / 2),
            Some(DocumentReason::Empty),
        ),
        (
            "joiners",
            "\u{2060}".repeat(MANY / 3),
            Some(DocumentReason::Empty),
        ),
        ("newlines and a letter", "\n".repeat(MANY) + "x", None),
        ("one word", "x".repeat(MANY), Some(DocumentReason::TooLarge)),
        (
            "one line",
            "x ".repeat(MANY / 2),
            Some(DocumentReason::TooLarge),
        ),
        (
            "pages",
            "x\u{c}".repeat(MANY / 2),
            Some(DocumentReason::TooLarge),
        ),
        (
            "marks",
            "x\u{301}".repeat(MANY / 3),
            Some(DocumentReason::TooLarge),
        ),
        (
            "a stack of marks",
            "\u{301}".repeat(MANY / 2),
            Some(DocumentReason::Unsuitable),
        ),
        (
            "variations",
            "x".to_owned() + &"\u{fe0f}".repeat(MANY / 3),
            None,
        ),
    ] {
        let document = Document::bytes(text);
        match (convert(document, options).await, expected) {
            (Ok(image), None) => assert_eq!(image.pages(), 1, "{name}"),
            (Err(error), reason) => assert_eq!(error.document_reason(), reason, "{name}"),
            (Ok(_), Some(_)) => panic!("{name} was drawn"),
        }
    }
}

fn template(template: &str) -> Document {
    Document::cover(CoverPage::new().with_template(template))
}

async fn drawn(document: Document) -> Vec<Vec<Vec<u8>>> {
    pages(&convert(document, limits(|_| ())).await.unwrap())
}

#[tokio::test]
async fn a_cover_without_a_template_has_a_title_and_only_the_fields_that_were_given() {
    let cover = CoverPage::new()
        .with_field("to", "nnnn")
        .with_field("fax", "nn")
        .with_field("message", "nnn\nnnnnnn");
    let image = convert(Document::cover(cover), limits(|_| ()))
        .await
        .unwrap();
    let shape = shape(&rows(&image, 0));
    // The title is three times as high and wide.
    let title = shape.iter().take_while(|cells| **cells > 0).count();
    assert_eq!((title, shape[1]), (3, 9));
    // To, fax, date, pages, the rule, and the message.
    assert_eq!(
        shape[title..],
        [0, 14, 12, 20, 11, 0, 80, 0, 3, 6],
        "{shape:?}"
    );
}

#[tokio::test]
async fn a_template_is_drawn_as_the_text_that_it_becomes() {
    let cover = CoverPage::new()
        .with_template("Dear {to},\n{absent}\n{from} {{{pages}}} {to}")
        .with_field("to", "{pages}")
        .with_field("from", "a\nb");
    assert!(
        drawn(Document::cover(cover)).await
            == drawn(Document::bytes("Dear {pages},\na\nb {1} {pages}")).await
    );
}

#[tokio::test]
async fn the_date_is_that_of_the_conversion() {
    let today = || Timestamp::now().to_string()[..10].to_owned();
    let before = today();
    let cover = drawn(template("{date}")).await;
    let mut dates = Vec::new();
    for date in [before, today()] {
        dates.push(drawn(Document::bytes(date)).await);
    }
    assert!(dates.contains(&cover));
}

#[tokio::test]
async fn the_number_of_pages_is_that_of_the_whole_fax_and_moves_no_line() {
    // The number ends at the 80th column; with three digits it would be one too many.
    for (filler, lines) in [(76, vec![80, 0]), (79, vec![79, 1])] {
        let mut shapes = Vec::new();
        for parts in [1, 11] {
            let cover = template(&format!("{} {{pages}}", "n".repeat(filler)));
            let text = "n\u{c}".repeat(parts);
            let fax = Document::combined([cover, Document::bytes(text)]);
            let image = convert(fax, limits(|_| ())).await.unwrap();
            assert_eq!(u64::from(image.pages()), 1 + parts as u64);
            shapes.push(shape(&rows(&image, 0)));
        }
        let second = usize::from(lines[1] > 0);
        assert!(
            shapes.iter().all(|shape| shape.len() == 1 + second),
            "{shapes:?}"
        );
    }
    let both = Document::combined([template("{pages}"), Document::bytes("n\u{c}n")]);
    assert!(drawn(both).await[0] == drawn(Document::bytes("3")).await[0]);
}

#[tokio::test]
async fn a_cover_that_cannot_be_drawn_is_refused() {
    let many = CoverPage::new()
        .with_template("{m}".repeat(1000))
        .with_field("m", "x".repeat(1000));
    let small = limits(|limits| limits.bytes = 10_000);
    let unused = CoverPage::new()
        .with_template("x")
        .with_field("nothing", "x".repeat(10_000));
    let drawn = CoverPage::new().with_field("to", "secret 漢");
    let blank = CoverPage::new().with_template("{nothing}\n");
    for (cover, options, kind, reason) in [
        (
            many,
            small,
            ErrorKind::Document,
            Some(DocumentReason::TooLarge),
        ),
        (
            unused,
            small,
            ErrorKind::Document,
            Some(DocumentReason::TooLarge),
        ),
        (
            drawn,
            small,
            ErrorKind::Document,
            Some(DocumentReason::Unsuitable),
        ),
        (
            blank,
            small,
            ErrorKind::Document,
            Some(DocumentReason::Empty),
        ),
        (
            CoverPage::new().with_template("{secret"),
            small,
            ErrorKind::InvalidRequest,
            None,
        ),
    ] {
        let error = convert(Document::cover(cover), options).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.document_reason()),
            (kind, reason),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
