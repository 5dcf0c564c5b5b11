//! `MockPhaxio` as a server of its own, for clients in other languages:
//! `cargo run -p faxbot-testkit --example mock_phaxio -- 8080` prints
//! `FAXBOT_PHAXIO=http://key:secret@127.0.0.1:8080/v2.1/` and runs until its standard input ends. Without a
//! port it takes a free one.
//!
//! The keys are test keys. +15550000017 is busy, +15550000016 does not answer, +15550000008 fails
//! after one page, +15550000000 never ends, every other number takes all pages.
//!
//! `GET /mock/books` lists what was taken.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the process that runs it"
)]

mod vendor;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_testkit::server::phaxio::{FaxEnd, MockPhaxio};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mock = MockPhaxio::new()
        .test_keys()
        .on_number("+15550000017", FaxEnd::Busy)
        .on_number("+15550000016", FaxEnd::NoAnswer)
        .on_number("+15550000008", FaxEnd::FailsAfter(1))
        .on_number("+15550000000", FaxEnd::Endless);
    let keys = (MockPhaxio::KEY, MockPhaxio::SECRET);
    vendor::serve("FAXBOT_PHAXIO", "v2.1/", keys, mock, control).await
}

fn control(mock: &mut MockPhaxio, method: &str, what: &str, _body: &Value) -> Option<Value> {
    Some(match (method, what) {
        ("GET", "books") => mock
            .books()
            .into_iter()
            .map(|fax| {
                let files = fax.documents.iter().map(|file| STANDARD.encode(file));
                json!({
                    "id": fax.id,
                    "tags": fax.tags,
                    "to": fax.to,
                    "files": files.collect::<Vec<_>>(),
                    "content_urls": fax.content_urls,
                    "pages": fax.pages,
                    "status": fax.status,
                    "resent": fax.resent,
                })
            })
            .collect(),
        _ => return None,
    })
}
