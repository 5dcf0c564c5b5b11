//! What every cloud provider needs, built once: the engines of jobs and messages, and the traits that
//! a vendor fills in.

mod context;
#[cfg(all(test, any(feature = "phaxio", feature = "sinch-fax")))]
pub(crate) mod fake_http;
pub mod fields;
pub mod fax;
#[cfg(any(feature = "phaxio", feature = "sinch-fax"))]
pub(crate) mod lenient;
pub mod messaging;
#[allow(dead_code, reason = "the engines take it up one after the other")]
mod webhook;

pub use context::ProviderContext;
pub use fax::FaxProvider;
pub use fields::cloud_fields;
pub use messaging::MessagingProvider;
