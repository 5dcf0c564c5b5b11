//! Asterisk Manager Interface, versions of Asterisk 16 to 22.
//!
//! [`AmiCodec`] turns bytes into [`Message`]s, [`AmiSession`] turns messages into replies and
//! events, [`Action`] is what can be asked. [`server`] has the other side, for mock servers.
//!
//! The rules of the wire come from a real Asterisk 22.10; each has its recording and its test in
//! `docs/wire/ami.md`.

mod action;
mod codec;
mod config;
#[cfg(feature = "driver")]
mod framed;
mod login;
mod message;
mod pending;
pub mod server;
mod session;

pub use action::{Action, ActionError, Answer, MAX_HEADERS, MAX_LINE};
pub use codec::{AmiCodec, DecodeError, MAX_MESSAGE, Role};
pub use config::{AmiConfig, AmiOptions};
#[cfg(feature = "driver")]
pub use framed::FramedError;
pub use login::{Login, key};
pub use message::{Headers, Kind, Message, Texts};
pub use session::{AmiSession, Ready, Reply};
