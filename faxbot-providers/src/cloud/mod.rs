//! What every cloud provider needs, built once: the engines of jobs and messages, and the traits that
//! a vendor fills in.

mod context;
#[cfg(test)]
#[allow(
    dead_code,
    reason = "for the tests of vendors, of which there may be none"
)]
pub(crate) mod fake_http;
pub mod fax;
pub mod fields;
pub mod lenient;
pub mod messaging;
mod settings;
mod start;
mod webhook;

pub use context::ProviderContext;
pub use fax::FaxProvider;
pub use fields::cloud_fields;
pub use messaging::MessagingProvider;
