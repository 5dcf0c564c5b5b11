//! Rings one party, connects it with another, and shows every call that passes the proxy.
//!
//! `FAXBOT_KAMAILIO` (`kamailio+http://host:5060/RPC?events=host:8448&realm=sip.example`) or, with
//! `--server opensips`, `FAXBOT_OPENSIPS` (`opensips+http://host:8888/mi?realm=sip.example`) names a real
//! one; without it a mock makes the call. Two words of the command line are who is rung first and who is
//! called then: `cargo run --example click_to_dial -- 1001 2000`.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the person who runs it"
)]

use std::{env, time::Duration};

use faxbot_core::{
    Result,
    event::EventStream,
    sip::{CallRecord, CallRequest, SipAdapter, SipEvent},
};
use faxbot_sip::adapter::{
    kamailio::{KamailioAdapter, KamailioConfig},
    opensips::{OpenSipsAdapter, OpenSipsConfig},
};
use faxbot_testkit::server::{kamailio::MockKamailio, opensips::MockOpenSips};

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut words: Vec<String> = env::args().skip(1).collect();
    let server = match words.iter().position(|word| word == "--server") {
        Some(at) if at + 1 < words.len() => words.drain(at..at + 2).nth(1),
        _ => None,
    };
    let party = |at: usize, usual: &str| words.get(at).map_or(usual, String::as_str).parse();
    let request = CallRequest::connect(party(0, "1001")?, party(1, "2000")?);
    let record = match server.as_deref().unwrap_or("kamailio") {
        "kamailio" => match env::var("FAXBOT_KAMAILIO") {
            Ok(url) => click_to_dial(&kamailio(&url)?, request).await?,
            Err(_) => {
                let mock = MockKamailio::builder().start().await?;
                click_to_dial(&kamailio(&mock.url())?, request).await?
            }
        },
        "opensips" => match env::var("FAXBOT_OPENSIPS") {
            Ok(url) => click_to_dial(&opensips(&url)?, request).await?,
            Err(_) => {
                let mock = MockOpenSips::builder().start().await?;
                click_to_dial(&opensips(&mock.url())?, request).await?
            }
        },
        _ => return Err("--server is kamailio or opensips".into()),
    };
    let seconds = record.duration_seconds.unwrap_or_default();
    println!("{:?}, {seconds} s", record.disposition);
    Ok(())
}

fn kamailio(url: &str) -> Result<KamailioAdapter> {
    Ok(KamailioAdapter::new(KamailioConfig::from_url(url)?))
}

fn opensips(url: &str) -> Result<OpenSipsAdapter> {
    Ok(OpenSipsAdapter::new(OpenSipsConfig::from_url(url)?))
}

async fn click_to_dial(proxy: &impl SipAdapter, request: CallRequest) -> Result<CallRecord> {
    let watching = tokio::spawn(watch(proxy.subscribe()));
    proxy.connect().await?;
    let call = proxy.make_call(request).await?;
    call.answered().await?;
    proxy.hangup(&call.call_ref()).await?;
    let record = call.ended().await?;
    proxy.disconnect(Duration::from_secs(5)).await?;
    watching.abort();
    Ok(record)
}

/// Prints what calls do. Numbers and names are masked; `.expose()` shows them to those who may see them.
async fn watch(mut events: EventStream<SipEvent>) {
    while let Some(event) = events.recv().await {
        match event {
            Ok(stamped) => {
                if let SipEvent::CallStateChanged(change) = stamped.event {
                    println!("{} {change:?}", stamped.at);
                }
            }
            Err(lagged) => println!("{} events missed: read faster", lagged.missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use faxbot_core::sip::Disposition;

    use super::*;

    #[tokio::test]
    async fn two_parties_are_connected_and_the_call_has_its_record() {
        let request = || CallRequest::connect("1001".parse().unwrap(), "2000".parse().unwrap());
        let mock = MockKamailio::builder().start().await.unwrap();
        let proxy = kamailio(&mock.url()).unwrap();
        let record = click_to_dial(&proxy, request()).await.unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
        let mock = MockOpenSips::builder().start().await.unwrap();
        let proxy = opensips(&mock.url()).unwrap();
        let record = click_to_dial(&proxy, request()).await.unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
    }
}
