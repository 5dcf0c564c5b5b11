//! Places a call, waits for its answer, hangs up, and shows its record.
//!
//! `FAXBOT_AMI`, `FAXBOT_ESL` or `FAXBOT_YATE` name a real server and `FAXBOT_DIAL` its dial string;
//! without them a mock answers (`--server asterisk`, `freeswitch` or `yate`).
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

mod servers;

use std::{env, sync::Arc, time::Duration};

use faxbot_core::{
    Result,
    sip::{CallRecord, CallRequest, SipAdapter},
};
use servers::{Kind, Mock, Settings};

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = env::args().collect();
    let kind = Kind::chosen(&words)?;
    let spool = tempfile::tempdir()?;
    let mock = Mock::start(kind, spool.path()).await?;
    let real = Settings::from_environment(kind);
    let settings = real.unwrap_or_else(|| mock.settings(spool.path()));
    let record = call_and_hangup(settings.adapter(kind)?).await?;
    println!(
        "{:?}, {} s",
        record.disposition,
        record.duration_seconds.unwrap_or_default()
    );
    Ok(())
}

async fn call_and_hangup(server: Arc<dyn SipAdapter>) -> Result<CallRecord> {
    server.connect().await?;
    let call = server
        .make_call(CallRequest::dial("+12025550147".parse()?))
        .await?;
    call.answered().await?;
    server.hangup(&call.call_ref()).await?;
    let record = call.ended().await?;
    server.release(&call.call_ref()).await?;
    server.disconnect(Duration::from_secs(5)).await?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use faxbot_core::sip::Disposition;

    use super::*;

    #[tokio::test]
    async fn the_call_is_answered_and_ends_at_each_server() {
        for kind in Kind::ALL {
            let spool = tempfile::tempdir().unwrap();
            let mock = Mock::start(kind, spool.path()).await.unwrap();
            let adapter = mock.settings(spool.path()).adapter(kind).unwrap();
            let record = call_and_hangup(adapter).await.unwrap();
            assert_eq!(record.disposition, Disposition::Answered, "{kind:?}");
        }
    }
}
