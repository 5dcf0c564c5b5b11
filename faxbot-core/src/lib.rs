//! The contract of the Faxbot SDK.

pub mod address;
pub mod clock;
pub mod config;
pub mod document;
pub mod error;
pub mod event;
pub mod fax;
pub mod http;
pub mod id;
pub mod message;
pub mod plugin;
pub mod random;
pub mod redact;
pub mod retry;
pub mod sip;
pub mod task;
mod timestamp;
pub mod webhook;

pub use error::{DocumentReason, Effect, Error, ErrorKind, Result};
pub use redact::{Private, Secret};
pub use timestamp::Timestamp;
