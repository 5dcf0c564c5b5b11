//! The conformance suite of fax plugins, on the fax providers over mocks of their vendors on a socket,
//! callbacks through a router.
#![cfg(test)]

#[path = "provider_envs/fax.rs"]
mod fax;
#[path = "provider_envs/phaxio.rs"]
mod phaxio;
mod provider_envs;
#[path = "provider_envs/sinch_fax.rs"]
mod sinch_fax;

use std::process::ExitCode;

use faxbot_testkit::conformance;

fn main() -> ExitCode {
    let mut cases = fax::cases(phaxio::Phaxio::Signed);
    cases.extend(fax::cases(phaxio::Phaxio::Unsigned));
    cases.extend(fax::cases(sinch_fax::SinchFax::Json));
    cases.extend(fax::cases(sinch_fax::SinchFax::Forms));
    conformance::run(cases)
}
