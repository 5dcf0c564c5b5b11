//! Places a call, waits for its answer, hangs up, and shows its record.
//!
//! `FAXBOT_AMI` and `FAXBOT_DIAL` name a real Asterisk; without them a mock answers.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::{env, time::Duration};

use faxbot_core::{
    Result,
    sip::{CallRecord, CallRequest, SipAdapter},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::server::asterisk::MockAsterisk;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mock = MockAsterisk::builder().start().await?;
    let url = env::var("FAXBOT_AMI").unwrap_or_else(|_| mock.url());
    let dial = env::var("FAXBOT_DIAL").unwrap_or_else(|_| "PJSIP/{number}".into());
    let record = call_and_hangup(AsteriskConfig::from_url(&url)?.with_dial(dial.parse()?)).await?;
    println!(
        "{:?}, {} s",
        record.disposition,
        record.duration_seconds.unwrap_or_default()
    );
    Ok(())
}

async fn call_and_hangup(config: AsteriskConfig) -> Result<CallRecord> {
    let asterisk = AsteriskAdapter::new(config);
    asterisk.connect().await?;
    let call = asterisk
        .make_call(CallRequest::dial("+12025550147".parse()?))
        .await?;
    call.answered().await?;
    asterisk.hangup(&call.call_ref()).await?;
    let record = call.ended().await?;
    asterisk.release(&call.call_ref()).await?;
    asterisk.disconnect(Duration::from_secs(5)).await?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use faxbot_core::sip::Disposition;

    use super::*;

    #[tokio::test]
    async fn the_call_is_answered_and_ends() {
        let mock = MockAsterisk::builder().start().await.unwrap();
        let record = call_and_hangup(AsteriskConfig::from_url(&mock.url()).unwrap())
            .await
            .unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
    }
}
