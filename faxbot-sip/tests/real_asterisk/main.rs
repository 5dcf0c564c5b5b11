//! The Asterisk adapter against real Asterisk 16 and 22.
#![cfg(test)]
#![cfg(all(feature = "asterisk", feature = "tls"))]

#[path = "../../../faxbot-providers/tests/real/mod.rs"]
mod real;

mod calls;
mod control;
mod fax;
mod incoming;
mod load;
mod media;
mod plans;
mod receive;
mod records;
