//! Mock servers: the server side of the same codecs that the adapters use.
//!
//! Those of telephony servers are a [`Mock`] and speak one scripting language: [`CallScript`] says
//! how a call and its fax go, [`IncomingScript`] what a caller from outside does, [`ReplyFault`] how
//! a reply fails, [`Timings`] how long things take. Vendors that speak HTTP are apart: [`http`].

pub mod asterisk;
pub mod flexisip;
pub mod freeswitch;
pub mod http;
pub mod kamailio;
pub mod opensips;
pub mod phaxio;
pub mod proxy;
pub mod sinch_fax;
pub mod sinch_sms;
pub mod yate;

mod base;
mod builder;
mod connector;
mod door;
mod fax_end;
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
mod sinch;
mod sound;

pub use base::Server;
pub use builder::MockBuilder;
pub use connector::MemoryConnector;
pub use incoming::{CallerSaw, IncomingFax, IncomingScript};
pub use message::SentMessage;
pub use mock::{Expectation, Mock};
pub use record::{ReceivedFax, SeenAction, Unmet};
pub use script::{CallScript, ReplyFault, Timings};
