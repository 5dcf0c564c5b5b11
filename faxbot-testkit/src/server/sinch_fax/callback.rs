//! What the vendor tells by itself. It signs nothing; user and password of the address go along as Basic.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use faxbot_core::Timestamp;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use url::Url;

use super::fax::{Fax, FaxDialect};
use crate::server::{http::Callback, sinch::with_seconds};

/// Parts a form; nothing in it looks like this.
const BOUNDARY: &str = "----mock7d21b6f04c3a4e55";

/// How one is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) event: &'static str,
    pub(super) json: bool,
    pub(super) dialect: FaxDialect,
}

/// Tells of a fax as it is now.
pub(super) fn tell(fax: &Fax, url: &Url, manner: Manner, now: Timestamp) -> Callback {
    let told = fax.json(now, manner.dialect);
    let pdf = fax.pdf.as_ref().filter(|_| fax.has_file(now));
    let time = with_seconds(now);
    let mut address = url.clone();
    let _has_host = address.set_username("");
    let _has_host = address.set_password(None);
    let callback = if manner.json {
        let body = as_json(manner, &time, &told, pdf);
        Callback::new(manner.event, address, "application/json", body.to_string())
    } else {
        let fields = [
            ("event", manner.event.to_owned()),
            ("eventTime", time),
            ("fax", told.to_string()),
        ];
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        Callback::new(manner.event, address, &kind, as_form(&fields, pdf))
    };
    if url.username().is_empty() && url.password().is_none() {
        return callback;
    }
    let basic = format!(
        "{}:{}",
        decoded(url.username()),
        decoded(url.password().unwrap_or(""))
    );
    let basic = format!("Basic {}", STANDARD.encode(basic));
    callback.with_header(AUTHORIZATION, &basic)
}

/// `file` and `fileType` beside the fax; the samples of sinch-sdk-dotnet have `files` for a fax that was
/// sent.
fn as_json(manner: Manner, time: &str, told: &Value, pdf: Option<&Bytes>) -> Value {
    let mut body = json!({"event": manner.event, "eventTime": time, "fax": told});
    if let (Some(pdf), Some(map)) = (pdf, body.as_object_mut()) {
        let file = json!(STANDARD.encode(pdf));
        if manner.dialect == FaxDialect::DotNet && manner.event == "FAX_COMPLETED" {
            map.insert("files".into(), json!([{"file": file, "fileType": "PDF"}]));
        } else {
            map.insert("file".into(), file);
            map.insert("fileType".into(), json!("PDF"));
        }
    }
    body
}

fn as_form(fields: &[(&str, String)], pdf: Option<&Bytes>) -> Bytes {
    let mut body = BytesMut::new();
    for (name, value) in fields {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
    if let Some(pdf) = pdf {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; \
             filename=\"fax.pdf\"\r\nContent-Type: application/pdf\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(pdf);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body.freeze()
}

/// A user or password of an address, without its escapes.
fn decoded(text: &str) -> String {
    let text = text
        .replace('+', "%2B")
        .replace('&', "%26")
        .replace('=', "%3D");
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs.map(|(text, _)| text.into_owned()).collect()
}
