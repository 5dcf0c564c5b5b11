//! PDFs made by hand, for what no program writes.

use std::fmt::Write as _;

/// The size of an A4 page.
pub(crate) const A4: &str = "/MediaBox [0 0 595.276 841.89]";

/// The catalog of the PDFs here.
pub(crate) const CATALOG: &str = "<< /Type /Catalog /Pages 2 0 R >>";

/// A stream object.
pub(crate) fn stream(entries: &str, data: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {entries} /Length {} >>\nstream\n", data.len()).into_bytes();
    object.extend_from_slice(data);
    object.extend_from_slice(b"\nendstream");
    object
}

/// A PDF of the given objects, numbered from 1; the first is the catalog.
pub(crate) fn pdf<T: AsRef<[u8]>>(objects: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut bytes = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.into_iter().enumerate() {
        places.push(bytes.len());
        bytes.extend_from_slice(format!("{} 0 obj\n", index + 1).as_bytes());
        bytes.extend_from_slice(object.as_ref());
        bytes.extend_from_slice(b"\nendobj\n");
    }
    let start = bytes.len();
    let mut end = format!("xref\n0 {}\n0000000000 65535 f \n", places.len() + 1);
    for place in &places {
        writeln!(end, "{place:010} 00000 n ").unwrap();
    }
    let size = places.len() + 1;
    write!(
        end,
        "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    )
    .unwrap();
    bytes.extend_from_slice(end.as_bytes());
    bytes
}

/// One page with these entries, drawing and further objects, numbered from 5.
pub(crate) fn page(entries: &str, drawing: &str, objects: Vec<Vec<u8>>) -> Vec<u8> {
    let mut all = vec![
        CATALOG.into(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        format!("<< /Type /Page /Parent 2 0 R /Contents 4 0 R {entries} >>").into_bytes(),
        stream("", drawing.as_bytes()),
    ];
    all.extend(objects);
    pdf(all)
}

/// Pages of text that differ: `page` makes the drawing of one from its index.
pub(crate) fn text_pages(count: usize, page: impl Fn(usize) -> String) -> Vec<u8> {
    let kids: String = (0..count)
        .map(|page| format!("{} 0 R ", 4 + 2 * page))
        .collect();
    let mut objects = vec![
        CATALOG.as_bytes().to_vec(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {count} {A4} >>").into_bytes(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_vec(),
    ];
    for index in 0..count {
        let contents = 5 + 2 * index;
        objects.push(
            format!(
                "<< /Type /Page /Parent 2 0 R /Contents {contents} 0 R \
                 /Resources << /Font << /F 3 0 R >> >> >>"
            )
            .into_bytes(),
        );
        objects.push(stream("", page(index).as_bytes()));
    }
    pdf(objects)
}

/// Lines of text for [`text_pages`].
pub(crate) fn lines(page: usize, count: usize) -> String {
    let mut drawing = "BT /F 11 Tf 14 TL 50 780 Td\n".to_owned();
    for line in 0..count {
        let word = (page * 31 + line) * 7919 % 10_007;
        writeln!(
            drawing,
            "(Page {page}, line {line}: {word} of many words) '"
        )
        .unwrap();
    }
    drawing + "ET"
}
