//! Protocol meaning to [`SipAdapter`](faxbot_core::sip::SipAdapter): one folder a server.

mod accepted;
#[cfg(any(feature = "freeswitch", feature = "yate"))]
mod books;
mod calls;
#[cfg(any(feature = "freeswitch", feature = "yate"))]
mod claim;
mod digits;
#[cfg(test)]
#[cfg(all(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod docs_tests;
mod endpoint;
mod fax_run;
mod history;
mod hub;
mod incoming;
mod life;
mod lookup;
mod placing;
mod pump;
mod received;
mod rooms;
mod settings;
mod sip_headers;
mod spool;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod unreached;

#[cfg(feature = "asterisk")]
pub mod asterisk;

#[cfg(feature = "freeswitch")]
pub mod freeswitch;

#[cfg(feature = "freeswitch")]
pub mod fusionpbx;

#[cfg(feature = "yate")]
pub mod yate;

pub use self::{
    settings::{RawEvents, TlsConfig},
    spool::SpoolConfig,
};
