//! What every cloud provider needs, built once: the engines of jobs and messages, and the traits that
//! a vendor fills in.

mod context;
#[cfg(test)]
#[cfg(any(feature = "phaxio", feature = "sinch-fax"))]
pub(crate) mod fake_http;
pub mod fax;
pub mod fields;
#[cfg(any(feature = "phaxio", feature = "sinch-fax", feature = "sinch-sms"))]
#[allow(dead_code, reason = "each provider needs a part of it")]
pub(crate) mod lenient;
pub mod messaging;
mod settings;
mod start;
mod webhook;

pub use context::ProviderContext;
pub use fax::FaxProvider;
pub use fields::cloud_fields;
pub use messaging::MessagingProvider;
