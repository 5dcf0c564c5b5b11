//! The conformance suite of adapters, on every server as mocked: the same cases, and one environment.
#![cfg(test)]

mod asterisk;
mod env;
mod freeswitch;
mod fusionpbx;
mod yate;

use std::process::ExitCode;

use faxbot_testkit::conformance;

fn main() -> ExitCode {
    let mut cases = asterisk::cases();
    cases.extend(freeswitch::cases());
    cases.extend(fusionpbx::cases());
    cases.extend(yate::cases());
    conformance::run(cases)
}
