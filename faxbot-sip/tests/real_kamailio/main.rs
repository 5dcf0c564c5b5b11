//! The Kamailio adapter against real Kamailio 5.6 and 6.1.
#![cfg(test)]
#![cfg(all(feature = "asterisk", feature = "kamailio", feature = "tls"))]

#[path = "../../../faxbot-providers/tests/real/mod.rs"]
mod real;

mod agent;
mod server;
mod watch;

mod bridge;
mod calls;
mod connection;
mod datagrams;
mod directory;
mod messages;
mod outcomes;
mod through_asterisk;
