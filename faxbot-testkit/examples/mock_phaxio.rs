//! `MockPhaxio` as a server of its own, for clients in other languages:
//! `cargo run -p faxbot-testkit --example mock_phaxio -- 8080` prints `FAXBOT_PHAXIO=http://...` and
//! the keys, and runs until its standard input ends. Without a port it takes a free one.
//!
//! The keys are test keys. +15550000017 is busy, +15550000016 does not answer, +15550000008 fails
//! after one page, +15550000000 never ends, every other number takes all pages.
#![allow(
    clippy::print_stdout,
    reason = "an example talks to the process that runs it"
)]

use std::net::Ipv4Addr;

use faxbot_testkit::server::{
    http::MockHttp,
    phaxio::{FaxEnd, MockPhaxio},
};
use tokio::io::AsyncReadExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse()?,
        None => 0,
    };
    let phaxio = MockPhaxio::new()
        .test_keys()
        .on_number("+15550000017", FaxEnd::Busy)
        .on_number("+15550000016", FaxEnd::NoAnswer)
        .on_number("+15550000008", FaxEnd::FailsAfter(1))
        .on_number("+15550000000", FaxEnd::Endless);
    let mock = MockHttp::start_on(phaxio, (Ipv4Addr::LOCALHOST, port).into()).await?;
    println!("FAXBOT_PHAXIO={}", mock.api_url());
    println!("FAXBOT_PHAXIO_KEY={}", MockPhaxio::KEY);
    println!("FAXBOT_PHAXIO_SECRET={}", MockPhaxio::SECRET);
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
