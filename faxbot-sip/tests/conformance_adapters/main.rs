//! The conformance suite of adapters, on every server as mocked: the same cases, and one environment.
#![cfg(test)]

mod asterisk;
mod env;

use std::process::ExitCode;

use faxbot_testkit::conformance;

fn main() -> ExitCode {
    conformance::run(asterisk::cases())
}
