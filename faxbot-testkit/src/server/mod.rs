//! Mock servers: the server side of the same codecs that the adapters use.
//!
//! All of them are a [`Mock`] and speak one scripting language: [`CallScript`] says how a call and
//! its fax go, [`IncomingScript`] what a caller from outside does, [`ReplyFault`] how a reply
//! fails, [`Timings`] how long things take.

pub mod asterisk;
pub mod freeswitch;
pub mod yate;

mod base;
mod builder;
mod connector;
mod files;
mod incoming;
mod kept;
mod link;
mod message;
mod mock;
mod party;
mod pattern;
mod record;
mod script;
mod sound;

pub use base::Server;
pub use builder::MockBuilder;
pub use connector::MemoryConnector;
pub use incoming::{CallerSaw, IncomingFax, IncomingScript};
pub use message::SentMessage;
pub use mock::{Expectation, Mock};
pub use record::{ReceivedFax, SeenAction, Unmet};
pub use script::{CallScript, ReplyFault, Timings};
