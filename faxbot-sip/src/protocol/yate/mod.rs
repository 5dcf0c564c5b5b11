//! The external module port of Yate 6 (`extmodule`).
//!
//! [`YateCodec`] turns bytes into [`Frame`]s, [`YateSession`] turns frames into replies and events,
//! [`Command`] is what can be asked, [`Incoming`] what the engine asks. [`Message`] reads the parameters
//! of a message, [`status`] what a module says of itself. [`server`] has the other side, for mock
//! servers.
//!
//! The rules of the wire come from a real Yate 6.4.1 and its sources; each has its recording and its
//! test in `docs/wire/yate.md`.

mod codec;
mod command;
mod config;
pub mod encoding;
mod event;
mod frame;
mod incoming;
mod login;
mod marks;
mod message;
mod pending;
pub mod server;
mod session;
pub mod status;

pub use codec::{DecodeError, MAX_LINE, Role, YateCodec};
pub use command::{Command, CommandError, MAX_COMMAND};
pub use config::{YateConfig, YateOptions};
pub use event::{Event, Reply};
pub use frame::{Ask, Confirmation, Frame, Kind, Verb};
pub use incoming::Incoming;
pub use login::{Login, Ready, Refusal};
pub use message::{Message, Param, Params};
pub use session::YateSession;
