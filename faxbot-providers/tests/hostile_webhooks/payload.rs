//! The webhooks of each vendor as templates, and their form on the wire.

use bytes::Bytes;
use faxbot_core::Timestamp;
use faxbot_testkit::{
    fixtures::private,
    server::{phaxio, sinch_sms},
};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{
    cloud_wire_support::headers,
    subject::{Kind, Subject},
};

const BOUNDARY: &str = "hostile7f1e";

/// What each vendor tells, with the addresses that it names.
pub(crate) fn templates(subject: &Subject, url: &str) -> Vec<Value> {
    let (sent, received) = (&subject.sent, &subject.received);
    match subject.kind {
        Kind::Phaxio { .. } => phaxio_templates(sent, received, url),
        Kind::SinchFax => sinch_fax_templates(sent, received, url),
        Kind::SinchSms { .. } => sinch_sms_templates(sent, received, url),
    }
}

fn phaxio_templates(sent: &str, received: &str, url: &str) -> Vec<Value> {
    let fax = |id: &str, direction: &str, status: &str| {
        json!({
            "id": id.parse::<u64>().unwrap(), "direction": direction, "status": status,
            "num_pages": 1, "cost": 7, "is_test": false, "caller_id": private::CALLER,
            "created_at": "2021-11-04T16:28:30.000-05:00", "from_number": private::NUMBER,
            "to_number": private::CALLER, "caller_name": private::CALLER_NAME,
            "content_url": url, "callback_url": url, "file_url": url, "barcode": url,
            "tags": { "faxbot_job": "job-1", "link": url },
            "recipients": [{
                "phone_number": private::NUMBER, "status": status, "retry_count": 0,
                "error_type": "lineError", "error_id": 17, "error_message": url,
            }],
        })
    };
    vec![
        json!({
            "fax": fax(sent, "sent", "success"), "event_type": "fax_completed", "success": "true",
            "direction": "sent", "is_test": "false", "metadata": url,
        }),
        json!({
            "fax": fax(sent, "sent", "inprogress"), "event_type": "transmitting_page",
            "page": "1", "recipient_phone_number": private::NUMBER,
        }),
        json!({
            "fax": fax(received, "received", "success"), "event_type": "fax_completed",
            "direction": "received",
            "file": { "name": url, "type": "application/pdf", "text": "%PDF-1.4 pages" },
        }),
        json!({ "fax": fax(received, "received", "success"), "direction": "received" }),
    ]
}

fn sinch_fax_templates(sent: &str, received: &str, url: &str) -> Vec<Value> {
    let fax = |id: &str, direction: &str, status: &str| {
        json!({
            "id": id, "direction": direction, "status": status, "from": private::NUMBER,
            "to": private::CALLER, "numberOfPages": 1, "price": { "amount": "0.07" },
            "createTime": "2021-11-01T23:25:39Z", "completedTime": "2021-11-01T23:26:39Z",
            "contentUrl": [url], "callbackUrl": url, "callbackUrlContentType": "application/json",
            "hasFile": "true", "projectId": "p", "serviceId": "s", "errorType": "CALL_ERROR",
            "errorCode": 17, "errorMessage": url, "labels": { "faxbot_job": "job-1" },
            "barCodes": [{ "type": "CODE_128", "page": 1, "value": url }],
        })
    };
    let time = "2021-11-01T23:25:39Z";
    vec![
        json!({ "event": "FAX_COMPLETED", "eventTime": time, "fax": fax(sent, "OUTBOUND", "FAILURE"),
            "files": [{ "file": url, "fileType": "PDF" }] }),
        json!({ "event": "INCOMING_FAX", "eventTime": time,
            "fax": fax(received, "INBOUND", "COMPLETED"), "file": "JVBERi0xLjQ=", "fileType": "PDF" }),
        json!({ "form": true, "event": "INCOMING_FAX", "eventTime": time,
            "fax": fax(received, "INBOUND", "COMPLETED"),
            "file": { "name": url, "type": "application/pdf", "text": "%PDF-1.4 pages" } }),
    ]
}

fn sinch_sms_templates(sent: &str, received: &str, url: &str) -> Vec<Value> {
    let at = "2021-11-01T23:25:39.123Z";
    let message = |kind: &str, body: Value| {
        json!({ "type": kind, "id": received, "from": private::NUMBER, "to": private::CALLER,
            "body": body, "operator_id": "310260", "received_at": at, "sent_at": at,
            "client_reference": url, "udh": "00" })
    };
    vec![
        json!({ "type": "recipient_delivery_report_sms", "batch_id": sent, "at": at,
            "recipient": private::NUMBER, "status": "Delivered", "code": 0, "operator": url,
            "operator_status_at": at, "client_reference": url, "applied_originator": url }),
        json!({ "type": "delivery_report_sms", "batch_id": sent, "total_message_count": 1,
            "client_reference": url,
            "statuses": [{ "code": 0, "status": "Delivered", "count": 1, "recipients": [url] }] }),
        message("mo_text", json!(url)),
        message("mo_binary", json!("QmVmdW5k")),
        message(
            "mo_media",
            json!({ "subject": url, "message": url, "media": [
            { "url": url, "content_type": "image/png", "status": "Uploaded", "code": 0 },
            { "url": format!("{url}2"), "content_type": url, "status": "Failed", "code": 1 },
        ] }),
        ),
    ]
}

/// A template on the wire, with the right signature where the vendor signs.
pub(crate) fn wire(subject: &Subject, template: &Value) -> (HeaderMap, Bytes) {
    match subject.kind {
        Kind::Phaxio { signed } => {
            let (fields, file) = parts(template);
            let body = form(&fields, file.as_ref());
            let mut out = multipart();
            if signed {
                let file = file.as_ref().map(|file| ("file", file.text.as_bytes()));
                let files: Vec<_> = file.into_iter().collect();
                let url = subject.webhook.as_str();
                let right = phaxio::signature(private::SIGNING_SECRET, url, &fields, &files);
                out.insert("x-phaxio-signature", right.parse().unwrap());
            }
            (out, body)
        }
        Kind::SinchFax if template["form"] == true => {
            let (fields, file) = parts(template);
            (multipart(), form(&fields, file.as_ref()))
        }
        Kind::SinchFax => (json_type(), template.to_string().into()),
        Kind::SinchSms { signed } => {
            let body = template.to_string();
            let headers = if signed {
                signed_sms(private::SIGNING_SECRET, &body, Timestamp::now().as_second())
            } else {
                json_type()
            };
            (headers, body.into())
        }
    }
}

/// The headers of a callback of Sinch SMS, with a nonce of its own.
pub(crate) fn signed_sms(secret: &str, body: &str, at: i64) -> HeaderMap {
    let nonce = faxbot_core::id::JobId::new().to_string();
    let signature = sinch_sms::signature(secret, body.as_bytes(), &nonce, at);
    headers(&[
        ("content-type", "application/json"),
        ("x-sinch-webhook-signature", &signature),
        ("x-sinch-webhook-signature-algorithm", "HmacSHA256"),
        ("x-sinch-webhook-signature-nonce", &nonce),
        ("x-sinch-webhook-signature-timestamp", &at.to_string()),
    ])
}

fn json_type() -> HeaderMap {
    headers(&[("content-type", "application/json")])
}

pub(crate) fn multipart() -> HeaderMap {
    headers(&[(
        "content-type",
        &format!("multipart/form-data; boundary={BOUNDARY}"),
    )])
}

/// A file of a form.
pub(crate) struct File {
    name: String,
    kind: String,
    text: String,
}

/// The fields and the file of a template; what is no text is JSON.
fn parts(template: &Value) -> (Vec<(String, String)>, Option<File>) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (mut fields, mut file) = (Vec::new(), None);
    for (name, value) in template.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("form", _) => {}
            ("file", Value::Object(value)) => {
                let part = |name: &str| value.get(name).map(text).unwrap_or_default();
                file = Some(File {
                    name: part("name"),
                    kind: part("type"),
                    text: part("text"),
                });
            }
            _ => fields.push((name.clone(), text(value))),
        }
    }
    (fields, file)
}

/// A `multipart/form-data` body. Names of files are written as they are but for what ends a header.
pub(crate) fn form(fields: &[(String, String)], file: Option<&File>) -> Bytes {
    let disposition = "Content-Disposition: form-data; name=";
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--{BOUNDARY}\r\n{disposition}\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    if let Some(file) = file {
        let bare = |text: &str| text.replace(['\r', '\n', '"'], "_");
        let (name, kind) = (bare(&file.name), bare(&file.kind));
        let head = format!("{disposition}\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}");
        let part = format!("--{BOUNDARY}\r\n{head}\r\n\r\n{}\r\n", file.text);
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body.into()
}

/// A pointer to each value in it, containers included.
pub(crate) fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, places: &mut Vec<String>) {
        let mut next = |name: &str, value: &Value| {
            let name = name.replace('~', "~0").replace('/', "~1");
            let place = format!("{at}/{name}");
            places.push(place.clone());
            walk(value, &place, places);
        };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| next(name, value)),
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(at, item)| next(&at.to_string(), item));
            }
            _ => {}
        }
    }
    let mut places = Vec::new();
    walk(value, "", &mut places);
    places
}
