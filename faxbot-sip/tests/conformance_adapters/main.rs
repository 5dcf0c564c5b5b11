//! The conformance suite of adapters, on every server as mocked: the same cases, and one environment.
#![cfg(test)]

mod asterisk;
mod env;
mod flexisip;
mod freeswitch;
mod fusionpbx;
mod kamailio;
mod opensips;
mod yate;

use std::process::ExitCode;

use faxbot_testkit::conformance;

fn main() -> ExitCode {
    let mut cases = asterisk::cases();
    cases.extend(freeswitch::cases());
    cases.extend(fusionpbx::cases());
    cases.extend(yate::cases());
    cases.extend(kamailio::cases());
    cases.extend(opensips::cases());
    cases.extend(flexisip::all());
    conformance::run(cases)
}
