//! `MockKamailio` as a server of its own, for clients in other languages:
//! `cargo run -p faxbot-testkit --example mock_kamailio` prints `FAXBOT_KAMAILIO=kamailio+http://...`
//! and runs until its standard input ends.
//!
//! 600 answers, 602 is busy, 603 rings until the server gives up, 604 is congestion, 605 is rejected
//! (404). 1001 is a phone that calls whom it is told to, 1002 is busy. A call of others passes through
//! all the time.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the process that runs it"
)]

use faxbot_testkit::server::kamailio::{CallScript, EventForm, MockKamailio, PassingCall, Phone};
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mock = MockKamailio::builder()
        .events(EventForm::Versioned)
        .on_dial("602", CallScript::busy())
        .on_dial("603", CallScript::no_answer())
        .on_dial("604", CallScript::congestion())
        .on_dial("605", CallScript::rejected(404))
        .phone("1002", Phone::busy())
        .start()
        .await?;
    mock.call(PassingCall::new(
        "sip:alice@127.0.0.1:5091",
        "sip:600@127.0.0.1:5070",
    ));
    println!("FAXBOT_KAMAILIO={}", mock.url());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
