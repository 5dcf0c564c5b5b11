//! Events of Kamailio's module `evapi`: netstrings over TCP.
//!
//! With `modparam("evapi", "netstring_format", 1)` each side sends `<length>:<payload>,`, the length in
//! bytes as decimal digits; several stand in one read, or one is cut anywhere (observed on Kamailio
//! 5.6.3). What a payload says is entirely the operator's text: this module carries bytes.
//!
//! The server answers nothing, so [`EvapiSession`] has no answers either: a message of ours is
//! [`Sent`] when it waits to be written.

mod codec;
mod session;

pub use codec::{DecodeError, MAX_PAYLOAD, NetstringCodec};
pub use session::{EvapiConfig, EvapiOptions, EvapiSession, InvalidMessage, Message, Sent};
