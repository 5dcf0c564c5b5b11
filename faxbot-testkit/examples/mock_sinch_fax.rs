//! `MockSinchFax` as a server of its own, for clients in other languages:
//! `cargo run -p faxbot-testkit --example mock_sinch_fax -- [port]` prints
//! `FAXBOT_SINCH_FAX=http://key:secret@127.0.0.1:port/` and runs until its standard input ends.
//!
//! The project is `mock-project-7d21`. Faxes succeed, but +12015550602 is busy, +12015550603 does not
//! answer, and +12015550604 is silent after one page.
//!
//! `GET /mock/books` lists what was taken, `POST /mock/callback {"url"}` says where faxes that come in are
//! told, `POST /mock/receive {"from", "to", "file"}` (base64) lets one come in,
//! `POST /mock/expire-tokens` ends the tokens, `GET /mock/tokens` counts them.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the process that runs it"
)]

mod vendor;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_testkit::server::sinch_fax::{FaxEnd, MockSinchFax};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mock = MockSinchFax::new()
        .on_number("+12015550602", FaxEnd::Busy)
        .on_number("+12015550603", FaxEnd::NoAnswer)
        .on_number("+12015550604", FaxEnd::FailsAfter(1));
    let key = (MockSinchFax::KEY_ID, MockSinchFax::KEY_SECRET);
    vendor::serve("FAXBOT_SINCH_FAX", "", key, mock, control).await
}

fn control(mock: &mut MockSinchFax, method: &str, what: &str, body: &Value) -> Option<Value> {
    Some(match (method, what) {
        ("GET", "books") => mock
            .books()
            .into_iter()
            .map(|fax| {
                let files = fax.documents.iter().map(|file| STANDARD.encode(file));
                json!({
                    "id": fax.id,
                    "labels": fax.labels,
                    "to": fax.to,
                    "from": fax.from,
                    "files": files.collect::<Vec<_>>(),
                    "contentUrls": fax.content_urls,
                    "pages": fax.pages,
                    "maxRetries": fax.max_retries,
                })
            })
            .collect(),
        ("POST", "callback") => {
            mock.set_callback(body["url"].as_str()?.parse().ok());
            Value::Null
        }
        ("POST", "receive") => {
            let text = |name: &str| body[name].as_str();
            let file = STANDARD.decode(text("file")?).ok()?;
            json!(mock.receive(text("from")?, text("to")?, file))
        }
        ("POST", "expire-tokens") => {
            mock.expire_tokens();
            Value::Null
        }
        ("GET", "tokens") => json!(mock.tokens_issued()),
        _ => return None,
    })
}
