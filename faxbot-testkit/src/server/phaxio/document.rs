//! Documents as they were uploaded, and as they are given out.

use bytes::Bytes;

use super::fax::Failure;
use crate::server::files::tiff_facts;

/// One file of an order.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) bytes: Bytes,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pdf,
    Tiff,
    /// Something that the vendor converts.
    Other,
    Unknown,
}

/// File names of other formats that the vendor converts (`www.phaxio.com/docs`, supported file types).
const OTHERS: &[&str] = &[
    "txt", "html", "htm", "jpg", "jpeg", "png", "doc", "docx", "odt",
];

impl Document {
    /// What it is shows in its bytes, or in the end of its name.
    pub(super) fn new(name: &str, bytes: Bytes) -> Self {
        let head = bytes.get(..1024).unwrap_or(&bytes);
        let end = name.rsplit_once('.').map_or("", |(_, end)| end);
        let kind = if head.windows(5).any(|window| window == b"%PDF-") {
            Kind::Pdf
        } else if head.starts_with(b"II*\0") || head.starts_with(b"MM\0*") {
            Kind::Tiff
        } else if OTHERS.contains(&end.to_ascii_lowercase().as_str()) && !bytes.is_empty() {
            Kind::Other
        } else {
            Kind::Unknown
        };
        Self { bytes, kind }
    }

    /// What the vendor's converter says of it.
    pub(super) fn damage(&self) -> Option<Failure> {
        let (id, message) = match self.kind {
            Kind::Pdf | Kind::Other => return None,
            Kind::Tiff if tiff_facts(&self.bytes).is_some() => return None,
            Kind::Tiff => (4, "Could not convert document"),
            Kind::Unknown => (129, "The file's mime type is not supported"),
        };
        Some(Failure::new("documentConversionError", id, message))
    }

    /// The page objects of a PDF, the directories of a TIFF; 1 for everything else.
    pub(super) fn pages(&self) -> u32 {
        match self.kind {
            Kind::Pdf => pdf_pages(&self.bytes).max(1),
            Kind::Tiff => tiff_facts(&self.bytes).map_or(1, |facts| facts.pages),
            Kind::Other | Kind::Unknown => 1,
        }
    }

    /// Its bytes when it is a PDF.
    pub(super) fn pdf(&self) -> Option<Bytes> {
        (self.kind == Kind::Pdf).then(|| self.bytes.clone())
    }
}

/// Counts `/Type /Page`, as simple writers leave it; not those of object streams.
fn pdf_pages(bytes: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(bytes);
    let pages = text.split("/Type").skip(1).filter(|rest| {
        let rest = rest.trim_start().strip_prefix("/Page");
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    });
    u32::try_from(pages.count()).unwrap_or(u32::MAX)
}

/// A PDF of so many empty pages, with its cross-reference table.
pub(super) fn blank_pdf(pages: u32) -> Bytes {
    let kids: String = (0..pages)
        .map(|page| format!("{} 0 R ", page + 3))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [ {kids}] /Count {pages} >>"),
    ];
    objects.extend((0..pages).map(|_| {
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << >> >>".to_owned()
    }));
    let mut text = String::from("%PDF-1.4\n");
    let mut table = String::from("0000000000 65535 f \n");
    for (number, object) in (1..).zip(&objects) {
        table += &format!("{:010} 00000 n \n", text.len());
        text += &format!("{number} 0 obj\n{object}\nendobj\n");
    }
    let (start, size) = (text.len(), objects.len() + 1);
    text += &format!("xref\n0 {size}\n{table}trailer\n<< /Size {size} /Root 1 0 R >>\n");
    text += &format!("startxref\n{start}\n%%EOF\n");
    text.into()
}

/// The first page as a picture: as much of a JPEG as a test looks at.
pub(super) const THUMBNAIL: &[u8] =
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::files::drawn;

    #[test]
    fn pages_are_counted_in_the_formats_that_have_them() {
        for (document, pages) in [
            (blank_pdf(3), 3),
            (Bytes::from_static(b"%PDF-1.4\nA\n"), 1),
            (drawn(2).unwrap(), 2),
            (Bytes::from_static(b"hello"), 1),
        ] {
            let document = Document::new("a.txt", document);
            assert_eq!(document.pages(), pages);
            assert!(document.damage().is_none());
        }
    }

    #[test]
    fn what_cannot_be_converted_says_so() {
        for (name, bytes, id) in [
            ("a.tif", &b"II*\0\x08"[..], 4),
            ("a.exe", b"MZ", 129),
            ("a.txt", b"", 129),
        ] {
            let document = Document::new(name, Bytes::from_static(bytes));
            let damage = document.damage().unwrap();
            assert_eq!(
                (damage.kind.as_str(), damage.id),
                ("documentConversionError", Some(id))
            );
        }
    }
}
