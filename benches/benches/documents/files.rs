//! What is converted: PDFs that the bench draws itself.

use super::text_pdf::{Block, PAGE, TextPdf, photo, words};

/// A file to convert.
pub(crate) struct Paper {
    pub(crate) name: &'static str,
    pub(crate) pages: usize,
    pub(crate) pdf: Vec<u8>,
}

pub(crate) fn papers() -> Vec<Paper> {
    let paper = |name, pages, pdf| Paper { name, pages, pdf };
    vec![
        paper("letter", 1, letter()),
        paper("dense text", 1, dense(1)),
        paper("dense text", 30, dense(30)),
        paper("text and photo", 1, with_photo(1)),
        paper("text and photo", 30, with_photo(30)),
    ]
}

/// A short letter in two fonts.
fn letter() -> Vec<u8> {
    let mut pdf = TextPdf::default();
    pdf.page(blocks(0, &[(0, 12, 6), (1, 12, 18)], PAGE.1 - 80));
    pdf.finish()
}

/// Six fonts, 66 lines a page, other words on each page.
fn dense(pages: usize) -> Vec<u8> {
    let mut pdf = TextPdf::default();
    for page in 0..pages {
        pdf.page(blocks(page, &DENSE, PAGE.1 - 50));
    }
    pdf.finish()
}

/// A grey picture of half a page above the text.
fn with_photo(pages: usize) -> Vec<u8> {
    let mut pdf = TextPdf::default().with_photo(800, 600, photo(800, 600, 0));
    for page in 0..pages {
        let mut drawing = "q 480 0 0 360 57 440 cm /Photo Do Q\n".to_owned();
        drawing.push_str(&blocks(page, &[(1, 11, 12), (0, 10, 12)], 410));
        pdf.page(drawing);
    }
    pdf.finish()
}

/// Font, size and lines of each block.
const DENSE: [(usize, u32, u32); 6] = [
    (3, 10, 1),
    (0, 9, 20),
    (5, 10, 1),
    (1, 9, 20),
    (4, 9, 12),
    (2, 8, 6),
];

fn blocks(page: usize, blocks: &[(usize, u32, u32)], top: u32) -> String {
    let words = words();
    let mut words = words.iter().copied().cycle().skip(page * 97).peekable();
    let (mut drawing, mut top) = (String::new(), top);
    for &(font, size, lines) in blocks {
        let block = Block {
            font,
            size,
            left: 50,
            top,
            width: 495,
            lines,
            grey: 0.0,
        };
        block.draw(&mut words, &mut drawing);
        top = block.below();
    }
    drawing
}
