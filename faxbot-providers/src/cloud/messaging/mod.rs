//! Messages over a vendor's HTTP interface.

mod provider;

pub use provider::{
    AcceptedMessage, MessageNotice, MessageReport, MessagingProvider, PreparedMessage,
};
