//! Protocol meaning to [`SipAdapter`](faxbot_core::sip::SipAdapter): one folder a server.

mod calls;

#[cfg(feature = "asterisk")]
pub mod asterisk;
