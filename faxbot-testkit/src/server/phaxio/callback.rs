//! What the vendor tells by itself: a signed form (`www.phaxio.com/docs/api/v2.1`, `intro/webhooks`,
//! `faxes/send_webhooks`, `faxes/receive_callback`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use url::Url;

use super::{fax::Fax, sign::signature};
use crate::server::http::Callback;

/// Parts a form; nothing in it looks like this.
const BOUNDARY: &str = "------------------------mock62c4b1d9";

/// Which fields a callback has. A customer sets the version for the whole account, and the vendor's
/// pages and clients do not agree on the fields of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CallbackVersion {
    /// 2.1, with all fields that the vendor's client for Ruby reads.
    #[default]
    Full,
    /// 2.1, with the fields of the vendor's page: `fax`, `event_type`, those of the event, `file`.
    Documented,
    /// 1: no event type, times in seconds, and a file in the part `filename`.
    Version1,
}

/// What happened.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Completed,
    Page { number: String, page: u32 },
    Retry { number: String, count: u32 },
}

impl Event {
    fn name(&self) -> &'static str {
        match self {
            Self::Completed => "fax_completed",
            Self::Page { .. } => "transmitting_page",
            Self::Retry { .. } => "retry_scheduled",
        }
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let (name, value, number) = match self {
            Self::Completed => return Vec::new(),
            Self::Page { number, page } => ("page", page, number),
            Self::Retry { number, count } => ("retry_count", count, number),
        };
        vec![
            (name, value.to_string()),
            ("recipient_phone_number", number.clone()),
        ]
    }
}

/// Who is told, and how.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    /// As the customer wrote it: the signature is over this.
    pub(super) url: String,
    /// Without a token nothing is signed.
    pub(super) token: Option<String>,
    pub(super) version: CallbackVersion,
    /// A fax that came in brings its file.
    pub(super) with_file: bool,
}

/// Tells of a fax as it is now; `None` for an address that is no web address.
pub(super) fn tell(fax: &Fax, event: &Event, manner: &Manner) -> Option<Callback> {
    let url = Url::parse(&manner.url)
        .ok()
        .filter(|url| url.scheme() != "mailto")?;
    let fields = fields(fax, event, manner.version);
    let name = match manner.version {
        CallbackVersion::Version1 => "filename",
        _ => "file",
    };
    let file = fax
        .pdf
        .as_ref()
        .filter(|_| !fax.sent && manner.with_file)
        .map(|pdf| (name, &pdf[..]));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let label = format!("{} {}", event.name(), fax.id);
    let mut callback = Callback::new(label, bare(&url), &kind, form(&fields, file, fax.id));
    if let Some(token) = &manner.token {
        let files: Vec<_> = file.into_iter().collect();
        let signature = signature(token, &manner.url, &fields, &files);
        callback = callback.with_header("x-phaxio-signature", &signature);
    }
    if url.username().is_empty() {
        return Some(callback);
    }
    // Escapes of the user and the password are left as they are.
    let basic = format!("{}:{}", url.username(), url.password().unwrap_or_default());
    let basic = format!("Basic {}", STANDARD.encode(basic));
    Some(callback.with_header(AUTHORIZATION, &basic))
}

fn bare(url: &Url) -> Url {
    let mut url = url.clone();
    let _has_host = url.set_username("");
    let _has_host = url.set_password(None);
    url
}

fn fields(fax: &Fax, event: &Event, version: CallbackVersion) -> Vec<(String, String)> {
    let success = (fax.status == "success").to_string();
    let common = [
        ("direction", fax.direction().to_owned()),
        ("is_test", fax.is_test.to_string()),
        ("success", success),
    ];
    let mut fields = match version {
        CallbackVersion::Version1 => vec![("fax", version_1(fax).to_string())],
        _ => vec![
            ("fax", fax.json().to_string()),
            ("event_type", event.name().to_owned()),
        ],
    };
    fields.extend(event.fields());
    if version != CallbackVersion::Documented {
        fields.extend(common);
        if !fax.sent {
            fields.push(("metadata", String::new()));
        }
    }
    let own = fields.into_iter();
    own.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The fax as version 1 has it (`www.phaxio.com/docs/api/v1/general/objects`).
fn version_1(fax: &Fax) -> Value {
    let recipients = fax.recipients.iter().map(|it| {
        json!({
            "number": it.number,
            "status": it.status,
            "completed_at": it.completed.map(|at| at.as_second()),
        })
    });
    json!({
        "id": fax.id,
        "direction": fax.direction(),
        "num_pages": fax.shown_pages,
        "cost": fax.cost,
        "status": fax.status,
        "is_test": fax.is_test,
        "requested_at": fax.created.as_second(),
        "completed_at": fax.completed.map(|at| at.as_second()),
        "from_number": fax.from_number,
        "to_number": fax.to_number,
        "recipients": recipients.collect::<Value>(),
        "tags": fax.tags(),
        "error_type": fax.failure.as_ref().map(|it| &it.kind),
        "error_code": fax.failure.as_ref().map(|it| &it.message),
    })
}

fn form(fields: &[(String, String)], file: Option<(&str, &[u8])>, id: u64) -> Bytes {
    let mut body = BytesMut::new();
    let mut write = |head: String, bytes: &[u8]| {
        body.extend_from_slice(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    };
    for (name, value) in fields {
        write(format!("name=\"{name}\""), value.as_bytes());
    }
    if let Some((name, bytes)) = file {
        let head =
            format!("name=\"{name}\"; filename=\"fax-{id}.pdf\"\r\nContent-Type: application/pdf");
        write(head, bytes);
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body.freeze()
}
