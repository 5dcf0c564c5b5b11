//! Protocol meaning to [`SipAdapter`](faxbot_core::sip::SipAdapter): one folder a server.
#![cfg_attr(
    not(all(
        feature = "asterisk",
        feature = "flexisip",
        feature = "freeswitch",
        feature = "kamailio",
        feature = "opensips",
        feature = "yate"
    )),
    allow(
        dead_code,
        unused_imports,
        reason = "adapters share modules, and some of them need a part of each"
    )
)]

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod accepted;
#[cfg(any(feature = "freeswitch", feature = "yate"))]
mod books;
mod calls;
#[cfg(any(feature = "freeswitch", feature = "yate"))]
mod claim;
#[cfg(any(feature = "kamailio", feature = "opensips"))]
mod dialogs;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod digits;
#[cfg(test)]
#[cfg(all(
    feature = "asterisk",
    feature = "flexisip",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
mod docs_tests;
#[cfg(any(
    feature = "asterisk",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "yate"
))]
mod endpoint;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod fax_handle;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod fax_run;
#[cfg(any(
    feature = "asterisk",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
mod history;
#[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
mod http_settings;
mod hub;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod incoming;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod life;
#[cfg(any(
    feature = "asterisk",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
mod lookup;
#[cfg(any(
    feature = "asterisk",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
mod placing;
#[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
mod polled;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod pump;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod received;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod rooms;
mod settings;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod sip_headers;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod spool;
mod tenure;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod unreached;

#[cfg(feature = "asterisk")]
pub mod asterisk;

#[cfg(feature = "flexisip")]
pub mod flexisip;

#[cfg(feature = "freeswitch")]
pub mod freeswitch;

#[cfg(feature = "freeswitch")]
pub mod fusionpbx;

#[cfg(feature = "kamailio")]
pub mod kamailio;

#[cfg(feature = "opensips")]
pub mod opensips;

#[cfg(feature = "yate")]
pub mod yate;

pub use self::settings::{RawEvents, TlsConfig};
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
pub use self::spool::SpoolConfig;
