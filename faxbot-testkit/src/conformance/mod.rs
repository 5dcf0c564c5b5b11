//! Conformance suites: what every adapter, plugin, codec and session owes, as named tests.
//!
//! An implementer writes an environment (how to make a fresh server and a client for it) and a
//! test target without the usual harness:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use faxbot_testkit::conformance::{self, Case};
//!
//! fn main() -> ExitCode {
//!     let mut cases: Vec<Case> = Vec::new();
//!     // cases.extend(conformance::sip_adapter::cases(environment));
//!     cases.push(Case::new("one is one", || {
//!         conformance::ensure!(1 == 1, "arithmetic broke");
//!         Ok(())
//!     }));
//!     conformance::run(cases)
//! }
//! ```
//!
//! A case that an environment cannot stage is listed as ignored, with the reason beside its name.
//! A capability that an adapter does not declare is no skip: the suite asserts that it answers
//! `Unsupported`. A run without cases fails.

mod case;
pub mod codec;
mod expect;
pub mod fax_plugin;
pub mod messaging_plugin;
pub mod samples;
pub mod session;
pub mod sip_adapter;
mod webhook;

pub use case::{Case, Failure, Verdict, eventually, run, within};
pub use webhook::{Tampered, VendorWebhooks};

/// Ends a case with a [`Failure`] unless the condition holds.
#[doc(hidden)]
#[macro_export]
macro_rules! __ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Failure::new(format!($($message)+)));
        }
    };
}

pub use __ensure as ensure;
