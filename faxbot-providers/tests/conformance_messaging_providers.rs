//! The conformance suite of messaging plugins, on the messaging providers over mocks of their vendors on
//! a socket, callbacks through a router.
#![cfg(test)]

#[path = "provider_envs/messaging.rs"]
mod messaging;
mod provider_envs;
#[path = "provider_envs/sinch_sms.rs"]
mod sinch_sms;

use std::process::ExitCode;

use faxbot_testkit::conformance;

fn main() -> ExitCode {
    let mut cases = messaging::cases(sinch_sms::SinchSms::Plan);
    cases.extend(messaging::cases(sinch_sms::SinchSms::Project));
    conformance::run(cases)
}
