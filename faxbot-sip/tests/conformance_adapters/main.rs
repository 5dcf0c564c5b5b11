//! The conformance suite of adapters, on every server as mocked: the same cases, and one environment.
#![cfg(test)]

mod asterisk;
mod env;
#[cfg(feature = "flexisip")]
mod flexisip;
mod freeswitch;
mod fusionpbx;
#[cfg(feature = "kamailio")]
mod kamailio;
#[cfg(feature = "opensips")]
mod opensips;
mod yate;

use std::process::ExitCode;

use faxbot_testkit::conformance;

fn main() -> ExitCode {
    let mut cases = asterisk::cases();
    cases.extend(freeswitch::cases());
    cases.extend(fusionpbx::cases());
    cases.extend(yate::cases());
    #[cfg(feature = "kamailio")]
    cases.extend(kamailio::cases());
    #[cfg(feature = "opensips")]
    cases.extend(opensips::cases());
    #[cfg(feature = "flexisip")]
    cases.extend(flexisip::all());
    conformance::run(cases)
}
