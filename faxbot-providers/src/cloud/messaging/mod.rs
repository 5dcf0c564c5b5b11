//! Messages over a vendor's HTTP interface.

mod provider;
mod segments;

pub use provider::{
    AcceptedMessage, MessageNotice, MessageReport, MessagingProvider, PreparedMessage,
};
pub use segments::{Segments, SmsEncoding};
