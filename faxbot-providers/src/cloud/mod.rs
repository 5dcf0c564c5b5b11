//! What every cloud provider needs, built once: the engines of jobs and messages, and the traits that
//! a vendor fills in.

mod context;
pub mod fax;
pub mod messaging;

pub use context::ProviderContext;
pub use fax::FaxProvider;
pub use messaging::MessagingProvider;
