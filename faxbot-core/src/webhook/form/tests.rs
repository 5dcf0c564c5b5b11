use http::{HeaderMap, HeaderValue, Method};

use super::*;

const BOUNDARY: &str = "multipart/form-data; boundary=XX";

fn request(content_type: &str, body: impl Into<Bytes>) -> WebhookRequest {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(content_type).unwrap();
    headers.insert(CONTENT_TYPE, value);
    WebhookRequest::new(Method::POST, "/")
        .with_headers(headers)
        .with_body(body)
}

async fn read(content_type: &str, body: impl Into<Bytes>) -> Result<Form> {
    Form::read(&request(content_type, body)).await
}

/// A part with these headers and bytes.
fn part(headers: &str, bytes: &[u8]) -> Vec<u8> {
    [b"--XX\r\n", headers.as_bytes(), b"\r\n\r\n", bytes, b"\r\n"].concat()
}

fn whole(parts: &[Vec<u8>]) -> Vec<u8> {
    [&parts.concat()[..], b"--XX--\r\n"].concat()
}

fn text(name: &str, value: &str) -> Vec<u8> {
    part(
        &format!("Content-Disposition: form-data; name=\"{name}\""),
        value.as_bytes(),
    )
}

#[tokio::test]
async fn a_form_of_text_and_files_is_read_in_order() {
    let pdf = b"%PDF-1.4\r\n\0\xff--X\r\n--XY%%EOF";
    let body = whole(&[
        text("b", "2"),
        text("a", "{\"id\":1}"),
        text("empty", ""),
        part(
            "Content-Disposition: form-data; name=\"file\"; filename=\"../fax.pdf\"\r\nContent-Type: application/pdf",
            pdf,
        ),
        part(
            "content-disposition: form-data; name=\"bare\"\r\ncontent-type: image/tiff",
            b"II*\0",
        ),
        part(
            "Content-Disposition: form-data; name=\"json\"\r\nContent-Type: application/json; charset=utf-8",
            "{\"n\":\"é\"}".as_bytes(),
        ),
    ]);
    let form = read(BOUNDARY, body).await.unwrap();
    let fields: Vec<_> = form
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        fields,
        [
            ("b", "2"),
            ("a", "{\"id\":1}"),
            ("empty", ""),
            ("json", "{\"n\":\"é\"}")
        ]
    );
    assert_eq!(
        form.files,
        [
            FormFile::new("file", pdf.as_slice())
                .with_file_name("../fax.pdf")
                .with_content_type("application/pdf"),
            FormFile::new("bare", b"II*\0".as_slice()).with_content_type("image/tiff"),
        ]
    );
    assert_eq!(form.file("file").unwrap().bytes, pdf.as_slice());
    assert!(form.file("other").is_none());
}

#[tokio::test]
async fn a_urlencoded_form_is_decoded() {
    let form = read(
        "Application/X-WWW-form-urlencoded; charset=UTF-8",
        "To=%2B18005551212&Body=a+b%26c&Empty=&Bare&%C3%A9=%C3%A9",
    )
    .await
    .unwrap();
    assert_eq!(form.field("To"), Some("+18005551212"));
    assert_eq!(form.field("Body"), Some("a b&c"));
    assert_eq!(form.field("Empty"), Some(""));
    assert_eq!(form.field("Bare"), Some(""));
    assert_eq!(form.field("é"), Some("é"));
    assert!(form.files.is_empty());
}

#[test]
fn a_part_that_is_given_twice_has_no_value() {
    let form = Form::new()
        .with_field("a", "1")
        .with_field("b", "2")
        .with_field("a", "1")
        .with_file(FormFile::new("f", b"1".as_slice()))
        .with_file(FormFile::new("f", b"2".as_slice()));
    assert_eq!(
        (form.field("a"), form.field("b"), form.field("c")),
        (None, Some("2"), None)
    );
    assert!(form.file("f").is_none());
}

#[tokio::test]
async fn what_is_no_whole_form_is_refused() {
    let good = whole(&[text("a", "1")]);
    let rows: [(&str, &str, Vec<u8>); 11] = [
        ("json", "application/json", b"{}".to_vec()),
        ("text", "text/plain", good.clone()),
        ("no boundary", "multipart/form-data", good.clone()),
        (
            "an empty boundary",
            "multipart/form-data; boundary=",
            good.clone(),
        ),
        (
            "another boundary",
            "multipart/form-data; boundary=YY",
            good.clone(),
        ),
        (
            "another multipart",
            "multipart/mixed; boundary=XX",
            good.clone(),
        ),
        ("no body", BOUNDARY, Vec::new()),
        ("not closed", BOUNDARY, text("a", "1")),
        (
            "no name",
            BOUNDARY,
            whole(&[part("Content-Disposition: form-data", b"1")]),
        ),
        (
            "no disposition",
            BOUNDARY,
            whole(&[part("Content-Type: text/plain", b"1")]),
        ),
        (
            "text that is not UTF-8",
            BOUNDARY,
            whole(&[part("Content-Disposition: form-data; name=\"a\"", b"\xff")]),
        ),
    ];
    for (what, content_type, body) in rows {
        let error = read(content_type, body).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{what}");
        assert_eq!(error.effect(), Effect::NoEffect, "{what}");
    }
}

#[tokio::test]
async fn a_media_type_that_is_missing_or_given_twice_is_refused() {
    let mut request = request("application/x-www-form-urlencoded", "a=1");
    assert!(Form::read(&request).await.is_ok());
    let again = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers.append(CONTENT_TYPE, again);
    assert!(Form::read(&request).await.is_err());
    request.headers.remove(CONTENT_TYPE);
    assert!(Form::read(&request).await.is_err());
}

/// Cut at every byte, and with every byte changed: an answer each time, and no panic.
#[tokio::test]
async fn a_form_that_is_cut_or_damaged_ends() {
    let file = "Content-Disposition: form-data; name=\"f\"; filename=\"x\"\r\nContent-Type: a/b";
    let body = whole(&[text("a", "1"), part(file, b"\0\xff\r\n--X")]);
    let good = read(BOUNDARY, body.clone()).await.unwrap();
    // The line break after the last boundary says nothing.
    for end in 0..body.len() - 2 {
        let cut = read(BOUNDARY, body[..end].to_vec()).await;
        assert!(cut.is_err(), "{end}");
    }
    for at in 0..body.len() {
        for byte in [0, b'\r', b'\n', b'-', b'"', b';', 0xff] {
            let mut damaged = body.clone();
            damaged[at] = byte;
            let _ = read(BOUNDARY, damaged).await;
        }
    }
    assert_eq!((good.fields.len(), good.files.len()), (1, 1));
}

#[tokio::test]
async fn parts_and_bytes_are_bounded() {
    let many = |parts: usize| {
        let parts: Vec<_> = (0..parts).map(|n| text(&n.to_string(), "1")).collect();
        whole(&parts)
    };
    assert!(read(BOUNDARY, many(Form::MAX_PARTS)).await.is_ok());
    assert!(read(BOUNDARY, many(Form::MAX_PARTS + 1)).await.is_err());
    let urlencoded = "application/x-www-form-urlencoded";
    let pairs = |count: usize| "a=1&".repeat(count);
    assert!(read(urlencoded, pairs(Form::MAX_PARTS)).await.is_ok());
    assert!(read(urlencoded, pairs(Form::MAX_PARTS + 1)).await.is_err());
    let long = |bytes: usize| whole(&[text("a", &"1".repeat(bytes))]);
    assert!(read(BOUNDARY, long(Form::MAX_FIELD_BYTES)).await.is_ok());
    assert!(
        read(BOUNDARY, long(Form::MAX_FIELD_BYTES + 1))
            .await
            .is_err()
    );
    let longest = vec![b'a'; Form::MAX_BYTES + 1];
    assert!(read(urlencoded, longest).await.is_err());
}

#[tokio::test]
async fn neither_debug_nor_an_error_shows_what_a_form_says() {
    let body = whole(&[
        text("hush", "hush"),
        part(
            "Content-Disposition: form-data; name=\"hush\"; filename=\"hush\"\r\nContent-Type: hush/hush",
            b"hush",
        ),
    ]);
    let form = read(BOUNDARY, body.clone()).await.unwrap();
    assert!(!format!("{form:?}").contains("hush"), "{form:?}");
    let error = read(BOUNDARY, body[..body.len() - 12].to_vec())
        .await
        .unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hush"), "{error:?}");
}
