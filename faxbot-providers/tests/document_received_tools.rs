//! What other programs make of the files that are made of received faxes.
#![cfg(test)]
#![cfg(feature = "document")]

mod document_received_support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use faxbot_core::document::FaxImage;
use faxbot_providers::document::{fax_to_pdf, received_to_pdf, repair_received};

use document_received_support::{Bitmap, Code, Pdf, Sheet, damaged, from_asterisk, tiff};

/// Runs a program that has to say nothing on its error output.
fn quiet(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    assert_eq!(said, "", "{program} {arguments:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A binary PBM.
fn pbm(path: &Path) -> Bitmap {
    let bytes = fs::read(path).unwrap();
    let mut fields = Vec::new();
    let mut at = 0;
    while fields.len() < 3 {
        let end = at
            + bytes[at..]
                .iter()
                .position(u8::is_ascii_whitespace)
                .unwrap();
        let field = String::from_utf8_lossy(&bytes[at..end]).into_owned();
        if field.starts_with('#') {
            at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap();
        } else if !field.is_empty() {
            fields.push(field);
            at = end;
        }
        at += 1;
    }
    assert_eq!(fields[0], "P4");
    Bitmap::from_packed(fields[1].parse().unwrap(), &bytes[at..])
}

/// Every kind of page that is embedded or coded anew.
fn sheets() -> Vec<Sheet> {
    let mut sheets = Vec::new();
    let a4 = Bitmap::pattern(1728, 400);
    for code in Code::ALL {
        for (lsb_first, min_is_black) in [(false, false), (true, true)] {
            let mut sheet = Sheet::new(&a4, code);
            sheet.lsb_first = lsb_first && code != Code::Packed;
            sheet.min_is_black = min_is_black;
            sheets.push(sheet);
        }
    }
    for code in [Code::Mh, Code::Mr] {
        let mut sheet = Sheet::new(&a4, code);
        sheet.aligned = true;
        sheets.push(sheet);
        sheets.push(damaged(&a4, code));
    }
    for (resolution, rows) in [((204, 98), 200), ((204, 391), 800), ((300, 300), 300)] {
        let mut sheet = Sheet::new(&Bitmap::pattern(1728, rows), Code::Mr);
        sheet.resolution = Some(resolution);
        sheets.push(sheet);
    }
    let mut strips = Sheet::new(&a4, Code::T6);
    strips.rows_per_strip = 50;
    sheets.push(strips);
    sheets.push(Sheet::new(&Bitmap::pattern(2432, 300), Code::T6));
    for orientation in 2..=8 {
        let mut sheet = Sheet::new(&a4, Code::T6);
        sheet.orientation = orientation;
        sheets.push(sheet);
    }
    sheets
}

/// Each sheet as a PDF of one page, with the rows that it shows before it is turned.
fn pdfs(directory: &Path) -> Vec<(PathBuf, Sheet, Bitmap)> {
    let fax = directory.join("fax.tif");
    let pdfs = sheets().into_iter().enumerate().map(|(index, sheet)| {
        fs::write(&fax, tiff(std::slice::from_ref(&sheet))).unwrap();
        let pdf = directory.join(format!("{index}.pdf"));
        let quality = received_to_pdf(&fax, &pdf).unwrap();
        assert_eq!(quality[0].is_clean(), sheet.strip.is_none());
        let rows = shown(&fax);
        assert!(sheet.strip.is_some() || rows == sheet.pixels, "{index}");
        (pdf, sheet, rows)
    });
    pdfs.collect()
}

/// The rows that our own decoder finds, repaired.
fn shown(fax: &Path) -> Bitmap {
    let file = std::io::BufReader::new(fs::File::open(fax).unwrap());
    let mut reader = faxbot_core::document::tiff::TiffReader::open(file).unwrap();
    let page = reader.page(0).unwrap();
    let mut rows = Vec::new();
    reader
        .decode_page_repaired(&page, |row| rows.push(row.to_vec()))
        .unwrap();
    Bitmap {
        width: page.width,
        rows,
    }
}

/// The resolution at which a pixel of the paper is a pixel of the fax; a hair less, since poppler
/// rounds the size of the paper up to whole pixels and then scales the fax to it.
fn per_inch(pdf: &Path, pixels: &Bitmap) -> (String, String) {
    let (width, height) = Pdf::parse(&fs::read(pdf).unwrap()).media_box(0);
    let per_inch =
        |pixels: u32, points: f64| (f64::from(pixels) * 72.0 / points * 0.99999).to_string();
    (
        per_inch(pixels.width, width),
        per_inch(pixels.height(), height),
    )
}

#[test]
#[ignore = "needs poppler-utils: apt install poppler-utils"]
fn poppler_finds_the_same_rows_in_each_pdf() {
    let directory = tempfile::tempdir().unwrap();
    for (pdf, sheet, rows) in pdfs(directory.path()) {
        let facts = quiet("pdfinfo", &[text(&pdf)]);
        assert!(facts.contains("Pages:           1\n"), "{facts}");
        let list = quiet("pdfimages", &["-list", text(&pdf)]);
        assert_eq!(list.matches("ccitt").count(), 1, "{list}");
        let image = directory.path().join("image");
        quiet("pdfimages", &[text(&pdf), text(&image)]);
        let found = pbm(&directory.path().join("image-000.pbm"));
        assert!(found == rows, "{:?} {:?}", sheet.code, sheet.resolution);
    }
}

#[test]
#[ignore = "needs poppler-utils: apt install poppler-utils"]
fn poppler_draws_the_same_upright_pixels() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    for (pdf, sheet, rows) in pdfs(directory.path()) {
        let expected = rows.upright(sheet.orientation);
        let (x, y) = per_inch(&pdf, &expected);
        let size = ["-rx", &x, "-ry", &y];
        let files = ["-singlefile", text(&pdf), text(&image)];
        quiet("pdftoppm", &[&["-mono"][..], &size, &files].concat());
        let found = pbm(&image.with_extension("pbm"));
        assert!(found == expected, "{:?} {}", sheet.code, sheet.orientation);
    }
}

#[test]
#[ignore = "needs ghostscript: apt install ghostscript"]
fn ghostscript_draws_the_same_upright_pixels() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image.pbm");
    for (pdf, sheet, rows) in pdfs(directory.path()) {
        let expected = rows.upright(sheet.orientation);
        let size = format!("-g{}x{}", expected.width, expected.height());
        let out = format!("-sOutputFile={}", text(&image));
        let options = ["-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=pbmraw"];
        let (x, y) = per_inch(&pdf, &expected);
        let resolution = format!("-r{x}x{y}");
        let files = [&resolution, &size, &out, text(&pdf)];
        let said = quiet("gs", &[&options[..], &files].concat());
        assert_eq!(said, "");
        let found = pbm(&image);
        assert!(found == expected, "{:?} {}", sheet.code, sheet.orientation);
    }
}

#[test]
#[ignore = "needs poppler-utils, ghostscript: apt install poppler-utils ghostscript"]
fn a_pdf_of_many_pages_opens() {
    let directory = tempfile::tempdir().unwrap();
    let (fax, pdf) = (
        directory.path().join("fax.tif"),
        directory.path().join("fax.pdf"),
    );
    fs::write(&fax, tiff(&sheets())).unwrap();
    received_to_pdf(&fax, &pdf).unwrap();
    let pages = sheets().len();
    let facts = quiet("pdfinfo", &[text(&pdf)]);
    assert!(
        facts.contains(&format!("Pages:           {pages}\n")),
        "{facts}"
    );
    let list = quiet("pdfimages", &["-list", text(&pdf)]);
    assert_eq!(list.matches("ccitt").count(), pages);
    let options = ["-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=nullpage"];
    assert_eq!(quiet("gs", &[&options[..], &[text(&pdf)]].concat()), "");
}

#[test]
#[ignore = "needs libtiff-tools, poppler-utils: apt install libtiff-tools poppler-utils"]
fn a_repaired_fax_opens_in_libtiff_and_as_pdf() {
    let directory = tempfile::tempdir().unwrap();
    let fax = directory.path().join("fax.tif");
    let pages = [Code::Mh, Code::Mr].map(|code| damaged(&Bitmap::pattern(1728, 400), code));
    for bytes in [from_asterisk(), tiff(&pages)] {
        fs::write(&fax, &bytes).unwrap();
        let repaired = repair_received(&fax, directory.path()).unwrap();
        let facts = quiet("tiffinfo", &["-D", text(repaired.image.path())]);
        assert!(
            facts.contains("Compression Scheme: CCITT Group 4"),
            "{facts}"
        );
        let theirs = directory.path().join("theirs.pdf");
        quiet(
            "tiff2pdf",
            &["-o", text(&theirs), text(repaired.image.path())],
        );
        let ours = directory.path().join("ours.pdf");
        fax_to_pdf(&repaired.image, &ours).unwrap();
        assert_same_images(&directory.path().join("image"), &ours, &theirs);
        FaxImage::open(repaired.image.path()).unwrap();
    }
}

/// tiff2pdf embeds the strip of T.6 too.
fn assert_same_images(image: &Path, ours: &Path, theirs: &Path) {
    let found = [ours, theirs].map(|pdf| {
        quiet("pdfimages", &[text(pdf), text(image)]);
        pbm(&image.with_file_name("image-000.pbm"))
    });
    assert!(found[0] == found[1]);
}
