//! Shows what happens at a server, its own events included.
//!
//! `FAXBOT_AMI`, `FAXBOT_ESL` or `FAXBOT_YATE` name a real one; without them a mock places a call of its
//! own (`--server asterisk`, `freeswitch` or `yate`). Ctrl-C ends it.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

mod servers;

use std::{env, time::Duration};

use faxbot_core::{
    event::{EventStream, Stamped},
    sip::{CallRequest, SipEvent},
};
use servers::{Kind, Mock, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = env::args().collect();
    let kind = Kind::chosen(&words)?;
    let spool = tempfile::tempdir()?;
    let mock = Mock::start(kind, spool.path()).await?;
    let real = Settings::from_environment(kind);
    let is_real = real.is_some();
    let mut settings = real.unwrap_or_else(|| mock.settings(spool.path()));
    settings.raw_events = true;
    let server = settings.adapter(kind)?;
    let events = server.subscribe();
    server.connect().await?;
    if !is_real {
        server.make_call(CallRequest::dial("700".parse()?)).await?;
    }
    let quiet = if is_real {
        Duration::MAX
    } else {
        Duration::from_secs(1)
    };
    tokio::select! {
        seen = watch(events, quiet) => println!("{seen} events"),
        _ = tokio::signal::ctrl_c() => {}
    }
    server.disconnect(Duration::from_secs(5)).await?;
    Ok(())
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
            }) => println!("{seq:>4} {at} the server: {}", raw.name),
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
    async fn a_call_shows_in_each_servers_events_and_in_ours() {
        for kind in Kind::ALL {
            let spool = tempfile::tempdir().unwrap();
            let mock = Mock::start(kind, spool.path()).await.unwrap();
            let mut settings = mock.settings(spool.path());
            settings.raw_events = true;
            let server = settings.adapter(kind).unwrap();
            let events = server.subscribe();
            server.connect().await.unwrap();
            server
                .make_call(CallRequest::dial("700".parse().unwrap()))
                .await
                .unwrap();
            // The ringing takes 600 ms.
            assert!(watch(events, Duration::from_secs(1)).await > 5, "{kind:?}");
        }
    }
}
