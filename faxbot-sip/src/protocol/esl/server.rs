//! The server side: frames in the exact form of FreeSWITCH.
//!
//! Header values of replies are not checked: a mock wants to send what a server does send. Events
//! encode their values.

use bytes::Bytes;

use super::{encoding, frame::Format};

/// What the server says before it closes (recording `01_auth_bad`).
const GOODBYE: &str = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n";

/// What it says when it shuts down (recording `08_shutdown_fsctl_events_plain`).
const SHUTDOWN: &str = "The system is being shut down.\n";

/// What an address outside of the access list hears (recording `01_rude_rejection_acl`).
const REJECTION: &str = "Access Denied, go away.\n";

/// The first frame of a connection.
#[must_use]
pub fn auth_request() -> Bytes {
    Bytes::from_static(b"Content-Type: auth/request\n\n")
}

/// `command/reply` with its text, such as `+OK accepted`, and more headers behind it.
#[must_use]
pub fn reply(text: &str, headers: &[(&str, &str)]) -> Bytes {
    let mut out = format!("Content-Type: command/reply\nReply-Text: {text}\n");
    for (name, value) in headers {
        out.extend([name, ": ", value, "\n"]);
    }
    out.push('\n');
    out.into()
}

/// `api/response`; an empty one becomes `-ERR no reply`, as on the server.
#[must_use]
pub fn api_response(body: &[u8]) -> Bytes {
    let body = if body.is_empty() {
        b"-ERR no reply\n"
    } else {
        body
    };
    with_body("Content-Type: api/response\n", body)
}

/// `text/disconnect-notice`, the words of `exit` and of a refused login.
#[must_use]
pub fn goodbye() -> Bytes {
    with_body("Content-Type: text/disconnect-notice\n", GOODBYE.as_bytes())
}

/// `text/disconnect-notice` of a server that stops.
#[must_use]
pub fn shutdown() -> Bytes {
    with_body(
        "Content-Type: text/disconnect-notice\n",
        SHUTDOWN.as_bytes(),
    )
}

/// `text/rude-rejection` and the notice behind it.
#[must_use]
pub fn rejection() -> Bytes {
    let rejection = with_body("Content-Type: text/rude-rejection\n", REJECTION.as_bytes());
    [rejection, goodbye()].concat().into()
}

/// The notice that the channel of a connection is gone while the connection lingers, for so many
/// seconds; -1 is until `exit` (recording `07_outbound_async_full_linger`).
#[must_use]
pub fn linger(channel: &str, seconds: i64) -> Bytes {
    format!(
        "Content-Type: text/disconnect-notice\nControlled-Session-UUID: {channel}\n\
         Content-Disposition: linger\nChannel-Name: {channel}\nLinger-Time: {seconds}\n\
         Content-Length: 0\n\n"
    )
    .into()
}

/// A log line of that level.
#[must_use]
pub fn log(level: u8, line: &str) -> Bytes {
    let head = format!(
        "Content-Type: log/data\nContent-Length: {}\nLog-Level: {level}\nText-Channel: 3\n\
         Log-File: mod_commands.c\nLog-Func: log_function\nLog-Line: 7200\nUser-Data: \n\n",
        line.len()
    );
    [head.as_bytes(), line.as_bytes()].concat().into()
}

/// An event in that format. A list is a value of the form `ARRAY::one|:two`.
#[must_use]
pub fn event(format: Format, headers: &[(&str, &str)], body: Option<&[u8]>) -> Bytes {
    let body = body.filter(|body| !body.is_empty());
    let text = match format {
        Format::Plain => plain(headers, body),
        Format::Json => json(headers, body),
        Format::Xml => xml(headers, body),
    };
    let head = format!(
        "Content-Length: {}\nContent-Type: text/event-{}\n\n",
        text.len(),
        format.word()
    );
    [head.as_bytes(), &text].concat().into()
}

fn with_body(head: &str, body: &[u8]) -> Bytes {
    let head = format!("{head}Content-Length: {}\n\n", body.len());
    [head.as_bytes(), body].concat().into()
}

fn plain(headers: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        encoding::encode(value.as_bytes(), &mut out);
        out.push(b'\n');
    }
    if let Some(body) = body {
        out.extend_from_slice(format!("Content-Length: {}\n", body.len()).as_bytes());
    }
    out.push(b'\n');
    out.extend_from_slice(body.unwrap_or_default());
    out
}

fn json(headers: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let body = body.map(String::from_utf8_lossy);
    let length = body.as_ref().map(|body| body.len().to_string());
    let mut pairs: Vec<String> = headers
        .iter()
        .map(|(name, value)| match value.strip_prefix("ARRAY::") {
            Some(items) => {
                let items: Vec<_> = items.split("|:").map(text).collect();
                format!("{}:[{}]", text(name), items.join(","))
            }
            None => format!("{}:{}", text(name), text(value)),
        })
        .collect();
    if let (Some(length), Some(body)) = (length, body) {
        pairs.push(format!("\"Content-Length\":{}", text(&length)));
        pairs.push(format!("\"_body\":{}", text(&body)));
    }
    format!("{{{}}}", pairs.join(",")).into_bytes()
}

fn xml(headers: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
    let mut out = b"<event>\n  <headers>\n".to_vec();
    for (name, value) in headers {
        let items = value.strip_prefix("ARRAY::").unwrap_or(value);
        let between = if items.len() < value.len() {
            "|:"
        } else {
            "\n"
        };
        for item in items.split(between) {
            out.extend_from_slice(format!("    <{name}>").as_bytes());
            encoding::encode(item.as_bytes(), &mut out);
            out.extend_from_slice(format!("</{name}>\n").as_bytes());
        }
    }
    out.extend_from_slice(b"  </headers>\n");
    if let Some(body) = body {
        let escaped = String::from_utf8_lossy(body)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        out.extend_from_slice(
            format!(
                "  <Content-Length>{}</Content-Length>\n  <body>{escaped}</body>\n",
                body.len()
            )
            .as_bytes(),
        );
    }
    out.extend_from_slice(b"</event>\n");
    out
}
