use faxbot_core::fax::{FaxPhase, JobStatus};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;

use super::*;

/// Signatures that the vendor's own code made; the file says how.
const VECTORS: &str = include_str!("../../tests/vectors/phaxio.json");

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

#[derive(Deserialize, Clone)]
struct Vector {
    name: String,
    token: String,
    url: String,
    fields: Vec<(String, String)>,
    files: Vec<File>,
    signature: String,
}

#[derive(Deserialize, Clone)]
struct File {
    part: String,
    bytes_hex: String,
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        self.bytes_hex
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}

impl Vector {
    fn request(&self) -> WebhookRequest {
        request(&self.fields, &self.files, &self.signature)
    }

    async fn verifies(&self) -> bool {
        let request = self.request();
        let form = Form::read(&request).await.unwrap();
        SIGNATURE.verify(
            &self.token.as_str().into(),
            &request,
            self.url.as_str(),
            Some(&form),
        )
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str::<Vectors>(VECTORS).unwrap().vectors
}

/// A multipart body as Phaxio posts it.
fn request(fields: &[(String, String)], files: &[File], signature: &str) -> WebhookRequest {
    let mut body = Vec::new();
    for (name, value) in fields {
        let head =
            format!("--b0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(head.as_bytes());
    }
    for file in files {
        let head = format!(
            "--b0\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"a.pdf\"\r\n\
             Content-Type: application/pdf\r\n\r\n",
            file.part
        );
        body.extend(head.as_bytes());
        body.extend(file.bytes());
        body.extend(b"\r\n");
    }
    body.extend(b"--b0--\r\n");
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("multipart/form-data; boundary=b0"),
    );
    headers.insert(
        HeaderName::from_static("x-phaxio-signature"),
        HeaderValue::from_str(signature).unwrap(),
    );
    WebhookRequest::new(Method::POST, "/webhooks/phaxio")
        .with_headers(headers)
        .with_body(body)
}

fn callback(fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> WebhookRequest {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let file = |(part, bytes): &(&str, &[u8])| File {
        part: (*part).to_owned(),
        bytes_hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let (fields, files): (Vec<_>, Vec<_>) = (
        fields.iter().map(own).collect(),
        files.iter().map(file).collect(),
    );
    request(&fields, &files, "00")
}

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().unwrap()
}

async fn one(request: &WebhookRequest) -> FaxNotice {
    let mut notices = read(request, false, now()).await.unwrap();
    assert_eq!(notices.len(), 1);
    notices.pop().unwrap()
}

#[tokio::test]
async fn signatures_of_the_vendors_own_code_are_right() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 6);
    assert_eq!(
        vectors[0].signature,
        "64a735ef0c47a0ae671e381c046648f0966deb29"
    );
    for vector in vectors {
        assert!(vector.verifies().await, "{}", vector.name);
    }
}

#[tokio::test]
async fn whatever_is_tampered_with_is_refused() {
    for vector in vectors() {
        let mut rows: Vec<(&str, Vector)> = Vec::new();
        let mut row = |name, change: &dyn Fn(&mut Vector)| {
            let mut tampered = vector.clone();
            change(&mut tampered);
            rows.push((name, tampered));
        };
        row("url", &|v| v.url.push('/'));
        row("query", &|v| v.url.push_str("?a=b"));
        row("host", &|v| {
            v.url = v.url.replace("example.com", "example.org")
        });
        row("value", &|v| v.fields[0].1.push('1'));
        row("name", &|v| v.fields[0].0.push('x'));
        row("field left out", &|v| drop(v.fields.remove(0)));
        row("field added", &|v| v.fields.push(("a".into(), "b".into())));
        row("field twice", &|v| v.fields.push(v.fields[0].clone()));
        row("token", &|v| v.token.push('x'));
        row("no token", &|v| v.token.clear());
        row("signature", &|v| v.signature = "0".repeat(40));
        row("cut signature", &|v| {
            v.signature.pop();
        });
        row("empty signature", &|v| v.signature.clear());
        row("file added", &|v| {
            v.files.push(File {
                part: "file".into(),
                bytes_hex: "00".into(),
            });
        });
        if !vector.files.is_empty() {
            row("file", &|v| v.files[0].bytes_hex.push_str("00"));
            row("part", &|v| v.files[0].part.push('x'));
            row("file left out", &|v| drop(v.files.remove(0)));
        }
        for (what, tampered) in rows {
            assert!(!tampered.verifies().await, "{}: {what}", vector.name);
        }
    }
}

#[tokio::test]
async fn the_order_of_the_fields_does_not_count_and_a_second_header_does() {
    for mut vector in vectors() {
        vector.fields.reverse();
        vector.files.reverse();
        assert!(vector.verifies().await, "{}", vector.name);
        let mut request = vector.request();
        let again = request.headers["x-phaxio-signature"].clone();
        request.headers.append("x-phaxio-signature", again);
        let form = Form::read(&request).await.unwrap();
        let token = vector.token.as_str().into();
        assert!(!SIGNATURE.verify(&token, &request, vector.url.as_str(), Some(&form)));
    }
}

#[tokio::test]
async fn the_url_may_be_signed_with_or_without_user_and_password() {
    let vector = vectors()
        .into_iter()
        .find(|v| v.name == "sent-fields-only")
        .unwrap();
    let token = vector.token.as_str().into();
    let signed = |url: &str| {
        let urls = [
            url.parse().unwrap(),
            "https://other.example/".parse().unwrap(),
        ];
        let (request, token) = (vector.request(), &token);
        async move { is_signed(&request, token, urls).await }
    };
    assert!(signed("https://example.com/phaxio/hook").await);
    assert!(signed("https://user:pass@example.com/phaxio/hook").await);
    assert!(!signed("https://example.com/phaxio/hook/").await);
    let mut broken = vector.request();
    broken.body = broken.body.slice(..broken.body.len() / 2);
    assert!(
        !is_signed(
            &broken,
            &token,
            ["https://example.com/phaxio/hook".parse().unwrap()]
        )
        .await
    );
}

#[tokio::test]
async fn each_callback_of_a_sent_fax_has_its_own_key() {
    let mut keys = Vec::new();
    for name in [
        "inflight-transmitting-page",
        "inflight-retry-scheduled",
        "sent-fields-only",
    ] {
        let vector = vectors().into_iter().find(|v| v.name == name).unwrap();
        let FaxNotice::Sent { report, key } = one(&vector.request()).await else {
            panic!("{name}");
        };
        assert_eq!(report.sid, "323034813");
        let progress = report.progress;
        match name {
            "inflight-transmitting-page" => {
                assert_eq!(report.status, JobStatus::InProgress);
                let progress = progress.unwrap();
                assert_eq!(
                    (progress.phase, progress.page),
                    (FaxPhase::Transmitting, Some(2))
                );
            }
            "inflight-retry-scheduled" => assert_eq!(report.status, JobStatus::InProgress),
            _ => {
                assert_eq!(report.status, JobStatus::Success);
                assert_eq!(report.outcome.unwrap().pages_confirmed, Some(3));
            }
        }
        keys.push(key);
    }
    assert_eq!(
        keys,
        [
            "323034813/inprogress/transmitting_page/0/2",
            "323034813/inprogress/retry_scheduled/1/0",
            "323034813/success",
        ]
    );
}

#[tokio::test]
async fn a_received_fax_comes_with_its_pages_or_is_fetched() {
    let pdf: &[u8] = b"%PDF-1.4 pages";
    let fax = |status: &str| {
        json!({"id": 7, "direction": "received", "status": status, "num_pages": 1,
            "from_number": "+15551230000", "to_number": "+15559870000"})
        .to_string()
    };
    for (name, fields, files, brings) in [
        (
            "v2.1",
            vec![("fax", fax("success"))],
            vec![("file", pdf)],
            Some(true),
        ),
        (
            "v1",
            vec![
                ("fax", fax("success")),
                ("success", "true".into()),
                ("direction", "received".into()),
            ],
            vec![("filename", pdf)],
            Some(true),
        ),
        (
            "without a file",
            vec![("fax", fax("success"))],
            vec![],
            Some(false),
        ),
        (
            "with another file",
            vec![("fax", fax("success"))],
            vec![("file", &b"<html>"[..])],
            Some(false),
        ),
        (
            "twice the file",
            vec![("fax", fax("success"))],
            vec![("file", pdf), ("file", pdf)],
            Some(false),
        ),
        (
            "direction beside the fax",
            vec![
                ("fax", r#"{"id":7,"status":"success"}"#.into()),
                ("direction", "received".into()),
            ],
            vec![],
            Some(false),
        ),
        (
            "still coming in",
            vec![("fax", fax("inprogress"))],
            vec![],
            None,
        ),
        (
            "failed without pages",
            vec![("fax", fax("failure"))],
            vec![],
            None,
        ),
        (
            "failed with pages",
            vec![("fax", fax("failure"))],
            vec![("file", pdf)],
            Some(true),
        ),
    ] {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        match (one(&callback(&fields, &files)).await, brings) {
            (FaxNotice::Received { sid, fax, key }, Some(brings)) => {
                assert_eq!((sid.as_str(), key.as_str()), ("7", "7/received"), "{name}");
                assert_eq!(fax.is_some(), brings, "{name}");
                if let Some(fax) = fax {
                    assert_eq!(
                        (fax.0.pages, fax.1.bytes.as_ref()),
                        (Some(1), pdf),
                        "{name}"
                    );
                    assert_eq!(fax.0.authenticity, None, "the engine says what proves it");
                }
            }
            (FaxNotice::Ignored, None) => {}
            (other, _) => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_without_its_content() {
    for fields in [
        vec![],
        vec![("fax", "")],
        vec![("fax", "{")],
        vec![("fax", "[]")],
        vec![("fax", "null")],
        vec![("fax", r#"{"direction":"sent","to":"+15558675309"}"#)],
        vec![("fax", r#"{"id":"../1"}"#)],
        vec![("fax", r#"{"id":1}"#), ("fax", r#"{"id":2}"#)],
        vec![("event_type", "fax_completed")],
    ] {
        let error = read(&callback(&fields, &[]), false, now())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{fields:?}");
        assert!(!format!("{error:?} {error}").contains("5309"));
    }
    let empty = WebhookRequest::new(Method::POST, "/");
    assert!(read(&empty, false, now()).await.is_err());
}
