//! Shows what happens at an Asterisk, the server's own events included.
//!
//! `FAXBOT_AMI` names a real one; without it a mock places a call of its own. Ctrl-C ends it.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::{env, time::Duration};

use faxbot_core::{
    Result,
    event::{EventStream, Stamped},
    sip::{CallRequest, SipAdapter, SipEvent},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig, RawEvents};
use faxbot_testkit::server::asterisk::MockAsterisk;

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mock = MockAsterisk::builder().start().await?;
    let real = env::var("FAXBOT_AMI").ok();
    let asterisk = watched(real.as_deref().unwrap_or(&mock.url()))?;
    let events = asterisk.subscribe();
    asterisk.connect().await?;
    if real.is_none() {
        asterisk
            .make_call(CallRequest::dial("700".parse()?))
            .await?;
    }
    let quiet = if real.is_none() {
        Duration::from_secs(1)
    } else {
        Duration::MAX
    };
    tokio::select! {
        seen = watch(events, quiet) => println!("{seen} events"),
        _ = tokio::signal::ctrl_c() => {}
    }
    asterisk.disconnect(Duration::from_secs(5)).await?;
    Ok(())
}

fn watched(url: &str) -> Result<AsteriskAdapter> {
    let mut config = AsteriskConfig::from_url(url)?;
    config.raw_events = RawEvents::All;
    Ok(AsteriskAdapter::new(config))
}

/// Prints events until there was none for so long; answers how many there were.
async fn watch(mut events: EventStream<SipEvent>, quiet: Duration) -> usize {
    let mut seen = 0;
    while let Ok(Some(event)) = tokio::time::timeout(quiet, events.recv()).await {
        match event {
            // Numbers and names are masked; `.expose()` shows them to those who may see them.
            Ok(Stamped {
                seq,
                at,
                event: SipEvent::Raw(raw),
                ..
            }) => println!("{seq:>4} {at} asterisk: {}", raw.name),
            Ok(Stamped { seq, at, event, .. }) => println!("{seq:>4} {at} {event:?}"),
            Err(lagged) => println!("      {} events missed: read faster", lagged.missed),
        }
        seen += 1;
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_shows_in_the_servers_events_and_in_ours() {
        let mock = MockAsterisk::builder().start().await.unwrap();
        let asterisk = watched(&mock.url()).unwrap();
        let events = asterisk.subscribe();
        asterisk.connect().await.unwrap();
        asterisk
            .make_call(CallRequest::dial("700".parse().unwrap()))
            .await
            .unwrap();
        assert!(watch(events, Duration::from_millis(500)).await > 5);
    }
}
