//! `MockFreeSwitch` as a server of its own, for clients in other languages:
//! `cargo run -p faxbot-testkit --example mock_freeswitch` prints `FAXBOT_ESL=esl://...` and runs
//! until its standard input ends.
//!
//! 600 answers, 602 is busy, 603 rings for ever, 604 is congestion, 605 is rejected (404). Calls
//! from outside to the context `public` are parked.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the process that runs it"
)]

use faxbot_testkit::server::freeswitch::{CallScript, MockFreeSwitch};
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mock = MockFreeSwitch::builder()
        .on_dial("602", CallScript::busy())
        .on_dial("603", CallScript::rings_for_ever())
        .on_dial("604", CallScript::congestion())
        .on_dial("605", CallScript::rejected(404))
        .public_parks()
        .start()
        .await?;
    println!("FAXBOT_ESL={}", mock.url());
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
