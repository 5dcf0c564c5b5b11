//! Protocol meaning to [`SipAdapter`](faxbot_core::sip::SipAdapter): one folder a server.

mod calls;
mod hub;
mod life;
mod pump;

#[cfg(feature = "asterisk")]
pub mod asterisk;
