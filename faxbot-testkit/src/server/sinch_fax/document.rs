//! Documents as they were uploaded.

use std::io::Cursor;

use bytes::Bytes;
use faxbot_core::document::tiff::TiffReader;

use super::fax::Failure;

/// The formats that a customer may name (`fileType`), with the endings of file names.
pub(super) const FORMATS: &[(&str, &[&str])] = &[
    ("DOCX", &["docx"]),
    ("PDF", &["pdf"]),
    ("TIF", &["tif", "tiff"]),
    ("JPG", &["jpg", "jpeg"]),
    ("TXT", &["txt"]),
    ("HTML", &["html", "htm"]),
    ("PNG", &["png"]),
    ("DOC", &["doc"]),
    ("ODT", &["odt"]),
];

/// One document.
#[derive(Clone)]
pub(super) struct Document {
    /// The vendor's word; `None` for what it does not know.
    pub(super) format: Option<&'static str>,
    pub(super) bytes: Bytes,
}

impl Document {
    /// Of a format by the vendor's word.
    pub(super) fn of(word: &str, bytes: Bytes) -> Self {
        let format = FORMATS.iter().find(|(own, _)| *own == word);
        Self {
            format: format.map(|(word, _)| *word),
            bytes,
        }
    }

    /// Of a format by the end of the file's name.
    pub(super) fn named(name: &str, bytes: Bytes) -> Self {
        let end = name
            .rsplit_once('.')
            .map_or("", |(_, end)| end)
            .to_ascii_lowercase();
        let format = FORMATS
            .iter()
            .find(|(_, ends)| ends.contains(&end.as_str()));
        Self {
            format: format.map(|(word, _)| *word),
            bytes,
        }
    }

    /// What the vendor's converter says of it.
    pub(super) fn damage(&self) -> Option<Failure> {
        let (code, text) = match self.format {
            None => (129, "The MIME type is not supported"),
            Some("PDF") if !self.has(b"%PDF-") => (133, "The PDF could not be normalised"),
            Some("TIF") if !(self.starts(b"II*\0") || self.starts(b"MM\0*")) => {
                (4, "The document could not be converted")
            }
            Some(_) if self.bytes.is_empty() => (4, "The document could not be converted"),
            Some(_) => return None,
        };
        Some(Failure::new("DOCUMENT_CONVERSION_ERROR", code, text))
    }

    fn has(&self, mark: &[u8]) -> bool {
        let head = self.bytes.get(..1024).unwrap_or(&self.bytes);
        head.windows(mark.len()).any(|window| window == mark)
    }

    fn starts(&self, mark: &[u8]) -> bool {
        self.bytes.starts_with(mark)
    }

    /// The page objects of a PDF, the directories of a TIFF; 1 for everything else.
    pub(super) fn pages(&self) -> u32 {
        let pages = match self.format {
            Some("PDF") => pdf_pages(&self.bytes),
            Some("TIF") => {
                let reader = TiffReader::open(Cursor::new(self.bytes.as_ref()));
                reader.map_or(1, |reader| reader.page_count())
            }
            _ => 1,
        };
        pages.max(1)
    }
}

/// Counts `/Type /Page`, as simple writers leave it; not those of object streams.
fn pdf_pages(bytes: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(bytes);
    let kinds = text.split("/Type").skip(1).filter(|rest| {
        let rest = rest.trim_start();
        rest.strip_prefix("/Page")
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    });
    u32::try_from(kinds.count()).unwrap_or(u32::MAX)
}

/// A PDF of so many pages with nothing on them.
pub(super) fn blank_pdf(pages: u32) -> Bytes {
    let mut text = String::from("%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n");
    let kids: String = (0..pages)
        .map(|page| format!("{} 0 R ", page + 3))
        .collect();
    text += &format!("2 0 obj\n<< /Type /Pages /Kids [ {kids}] /Count {pages} >>\nendobj\n");
    for page in 0..pages {
        let object = page + 3;
        text += &format!(
            "{object} 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>\nendobj\n"
        );
    }
    text += "trailer\n<< /Root 1 0 R >>\n%%EOF\n";
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_pdf_are_counted() {
        for pages in [1, 2, 7] {
            assert_eq!(Document::of("PDF", blank_pdf(pages)).pages(), pages);
        }
        assert_eq!(
            Document::of("PDF", Bytes::from_static(b"%PDF-1.4\nA\n")).pages(),
            1
        );
    }

    #[test]
    fn what_is_not_what_it_says_is_damaged() {
        for (document, code) in [
            (
                Document::named("a.PDF", Bytes::from_static(b"%PDF-1.4")),
                None,
            ),
            (
                Document::named("a.pdf", Bytes::from_static(b"hello")),
                Some(133),
            ),
            (
                Document::named("a.tiff", Bytes::from_static(b"II*\0....")),
                None,
            ),
            (
                Document::named("a.tif", Bytes::from_static(b"hello")),
                Some(4),
            ),
            (
                Document::named("a.exe", Bytes::from_static(b"MZ")),
                Some(129),
            ),
            (Document::of("TXT", Bytes::new()), Some(4)),
        ] {
            let found = document.damage().map(|failure| failure.code);
            assert_eq!(found, code, "{:?}", document.format);
        }
    }
}
