//! The event socket of FreeSWITCH 1.10 (`mod_event_socket`).
//!
//! [`EslCodec`] turns bytes into [`Frame`]s, [`EslSession`] turns frames into replies and events,
//! [`Command`] is what can be asked; [`Frame::event`] reads plain, JSON and XML events.
//! [`Variables`], [`Template`] and [`DialString`] are what
//! `originate` takes. [`server`] has the other side, for mock servers.
//!
//! The rules of the wire come from a real FreeSWITCH 1.10.12; each has its recording and its test
//! in `docs/wire/esl.md`.

mod codec;
mod command;
mod config;
mod dial;
pub mod encoding;
mod event;
mod frame;
mod json;
mod login;
mod pending;
pub mod server;
mod session;
mod template;
mod variables;
mod xml;

pub use codec::{DecodeError, EslCodec, MAX_FRAME, MAX_HEAD, Role};
pub use command::{Answer, Command, CommandError, MAX_COMMAND};
pub use config::{EslConfig, EslOptions};
pub use dial::{DialString, Leg};
pub use event::{Event, EventError, Value};
pub use frame::{Format, Frame, Kind};
pub use login::{Login, Ready};
pub use session::{EslSession, Reply};
pub use template::Template;
pub use variables::{VariableError, Variables, argument};
