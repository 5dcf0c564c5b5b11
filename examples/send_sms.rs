//! Sends an SMS and follows it until it is delivered.
//!
//! ```sh
//! cargo run --example send_sms                                    # a mock of the vendor, nothing to install
//! cargo run --example send_sms -- +12025550147 "your fax is there"    # the vendor, see below
//! ```
//!
//! The account at Sinch comes from the environment: `SINCH_SERVICE_PLAN_ID`, `SINCH_API_TOKEN`,
//! `SINCH_FROM` (the number or name that it is sent from) and `SINCH_REGION` (`us`, `eu`, `au`, `br`, `ca`).
//! The exit status is 0 only when the message was delivered.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::{env, process::ExitCode, sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result,
    http::ReqwestClient,
    message::{MessageContent, MessageKind, MessageState},
    plugin::{MessagingPlugin, Plugin, PluginDeps},
};
use faxbot_providers::sinch_sms::SinchSmsPlugin;
use faxbot_testkit::server::{http::MockHttp, sinch_sms::MockSinchSms};
use serde_json::{Value, json};

/// How long the vendor may take to deliver.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it is asked for.
const LOOK: Duration = Duration::from_millis(250);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let state = match arguments.as_slice() {
        [] => {
            println!("no number given: a mock of the vendor takes the message");
            let mock = MockSinchSms::new().start().await;
            send(of_mock(&mock), "+12025550147", "your fax is there").await
        }
        [to, text] => match of_environment() {
            Ok(config) => send(config, to, text).await,
            Err(error) => Err(error),
        },
        _ => {
            println!("send_sms [NUMBER TEXT]");
            return ExitCode::from(2);
        }
    };
    match state {
        Ok(MessageState::Delivered | MessageState::Read) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            // The id to ask by, of a message that may have gone out.
            if let Some(id) = error.message_id() {
                println!("its id is {id}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Sends a text, and answers what became of it.
async fn send(config: Value, to: &str, text: &str) -> Result<MessageState> {
    let sms = SinchSmsPlugin::new();
    let deps = PluginDeps::current()?.with_http(Arc::new(ReqwestClient::new()?));
    sms.start(config, deps).await?;
    let content = MessageContent::text(MessageKind::Sms, text);
    let sent = sms.send_message(to.parse()?, content).await?;
    println!("{} in {} part(s)", sent.message_id, sent.segments);
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut seen = None;
    loop {
        let status = sms.get_message_status(&sent.message_id).await?.status;
        if seen.replace(status) != Some(status) {
            println!("{}", status.as_str());
        }
        let over = matches!(
            status,
            MessageState::Delivered
                | MessageState::Read
                | MessageState::Failed
                | MessageState::OutcomeUnknown
        );
        if over || tokio::time::Instant::now() >= end {
            sms.stop().await?;
            return Ok(status);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn of_mock(mock: &MockHttp<MockSinchSms>) -> Value {
    json!({
        "service_plan_id": MockSinchSms::PLAN,
        "api_token": MockSinchSms::API_TOKEN,
        "from_number": "+12025550100",
        "options": { "base_url": mock.url(), "poll_min": "1s" },
    })
}

fn of_environment() -> Result<Value> {
    let variable = |name: &str| {
        env::var(name).map_err(|_| {
            let message = format!("set {name}");
            Error::new(ErrorKind::InvalidRequest, "send_sms", message)
        })
    };
    Ok(json!({
        "service_plan_id": variable("SINCH_SERVICE_PLAN_ID")?,
        "api_token": variable("SINCH_API_TOKEN")?,
        "from_number": variable("SINCH_FROM")?,
        "options": { "region": env::var("SINCH_REGION").unwrap_or_else(|_| "us".to_owned()) },
    }))
}

#[cfg(test)]
mod tests {
    use faxbot_testkit::server::sinch_sms::SmsEnd;

    use super::*;

    #[tokio::test]
    async fn a_message_is_delivered_and_one_that_fails_is_told() {
        let mock = MockSinchSms::new()
            .on_number("+12025550148", SmsEnd::Failed(404))
            .start()
            .await;
        for (to, state) in [
            ("+12025550147", MessageState::Delivered),
            ("+12025550148", MessageState::Failed),
        ] {
            assert_eq!(send(of_mock(&mock), to, "hello").await.unwrap(), state);
        }
        assert_eq!(mock.vendor(|vendor| vendor.books().len()), 2);
    }
}
