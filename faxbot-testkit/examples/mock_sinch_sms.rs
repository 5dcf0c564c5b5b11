//! `MockSinchSms` as a server of its own, for clients in other languages:
//! `cargo run -p faxbot-testkit --example mock_sinch_sms -- [port]` prints
//! `FAXBOT_SINCH_SMS=http://plan:token@127.0.0.1:port/` and runs until its standard input ends.
//!
//! Messages arrive, but those to 15551230602 fail (404), those to 15551230603 are rejected (402), and those
//! to 15551230604 stay dispatched. The secret of callbacks is `webhook-secret`. The project of OAuth2 is
//! `mock-project-7d21`, its key `mock-key-19ab` with the plan's token as its secret.
//!
//! `GET /mock/books` lists what was taken, `POST /mock/callback {"url"}` says where inbound messages are
//! told, `POST /mock/receive {"from", "to", "body"}` lets one come in, `POST /mock/expire-tokens` ends the
//! tokens of OAuth2, `GET /mock/tokens` counts them.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the process that runs it"
)]

mod vendor;

use faxbot_testkit::server::sinch_sms::{IncomingSms, MockSinchSms, SmsEnd};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mock = MockSinchSms::new()
        .signs_with("webhook-secret")
        .on_number("15551230602", SmsEnd::Failed(404))
        .on_number("15551230603", SmsEnd::Rejected(402))
        .on_number("15551230604", SmsEnd::Endless);
    let plan = (MockSinchSms::PLAN, MockSinchSms::API_TOKEN);
    vendor::serve("FAXBOT_SINCH_SMS", "", plan, mock, control).await
}

fn control(mock: &mut MockSinchSms, method: &str, what: &str, body: &Value) -> Option<Value> {
    Some(match (method, what) {
        ("GET", "books") => mock
            .books()
            .into_iter()
            .map(|batch| {
                json!({
                    "id": batch.id,
                    "client_reference": batch.client_reference,
                    "type": batch.kind,
                    "to": batch.to,
                    "from": batch.from,
                    "body": batch.body,
                    "parts": batch.parts,
                    "canceled": batch.canceled,
                })
            })
            .collect(),
        ("POST", "callback") => {
            mock.set_callback(body["url"].as_str()?.parse().ok());
            Value::Null
        }
        ("POST", "receive") => {
            let text = |name: &str| body[name].as_str();
            let sms = IncomingSms::text(text("from")?, text("to")?, text("body")?);
            json!(mock.receive(sms))
        }
        ("POST", "expire-tokens") => {
            mock.expire_tokens();
            Value::Null
        }
        ("GET", "tokens") => json!(mock.tokens_issued()),
        _ => return None,
    })
}
