//! JSON-RPC 2.0 as Kamailio (`jsonrpcs`) and OpenSIPS (`mi_http`, `mi_datagram`, event sockets)
//! speak it.
//!
//! [`Request`] is what can be asked, [`parse_answer`] and [`decode_answer`] read what comes back,
//! [`Notification`] is an event, [`EventCodec`] and [`EventSession`] are the stream of events that
//! OpenSIPS opens to us. [`server`] has the other side, for mock servers.
//!
//! Neither notifications (requests without an id) nor batches are sent: Kamailio answers a batch
//! by a success without an id, OpenSIPS a notification by 202 also when it failed
//! (`docs/wire/mi.md` has each rule with its recording and its test).

mod answer;
mod codec;
mod error;
mod event;
mod members;
mod request;
pub mod server;
mod session;

pub use answer::{AnswerError, Outcome, answer_id, decode_answer, parse_answer};
pub use codec::{DecodeError, EventCodec, MAX_EVENT};
pub use error::RpcError;
pub use event::Notification;
pub use request::{InvalidRequest, MAX_DEPTH, MAX_ID, MAX_REQUEST, Params, Request};
pub use session::{EventSession, NoRequest};
