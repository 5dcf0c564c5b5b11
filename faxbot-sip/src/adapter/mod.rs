//! Protocol meaning to [`SipAdapter`](faxbot_core::sip::SipAdapter): one folder a server.

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod accepted;
#[cfg(any(feature = "freeswitch", feature = "yate"))]
mod books;
#[cfg_attr(
    not(any(
        feature = "asterisk",
        feature = "freeswitch",
        feature = "kamailio",
        feature = "opensips",
        feature = "yate"
    )),
    allow(dead_code, reason = "an adapter without calls needs little of it")
)]
mod calls;
#[cfg(any(feature = "freeswitch", feature = "yate"))]
mod claim;
#[cfg(any(feature = "kamailio", feature = "opensips"))]
#[allow(
    dead_code,
    reason = "the servers tell different things, and each adapter asks for its own"
)]
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
#[cfg_attr(
    not(any(
        feature = "asterisk",
        feature = "freeswitch",
        feature = "opensips",
        feature = "yate"
    )),
    allow(dead_code, reason = "Kamailio keeps no records of calls")
)]
mod history;
#[cfg(any(feature = "kamailio", feature = "opensips", feature = "flexisip"))]
#[cfg_attr(
    not(any(feature = "kamailio", feature = "opensips")),
    allow(dead_code, reason = "an adapter without calls needs little of it")
)]
mod http_settings;
#[cfg_attr(
    not(any(
        feature = "asterisk",
        feature = "freeswitch",
        feature = "kamailio",
        feature = "opensips",
        feature = "yate"
    )),
    allow(dead_code, reason = "an adapter without calls needs little of it")
)]
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
#[cfg_attr(
    not(any(feature = "kamailio", feature = "opensips")),
    allow(dead_code, reason = "an adapter without calls needs little of it")
)]
mod polled;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod pump;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod received;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod rooms;
#[cfg_attr(
    not(any(feature = "asterisk", feature = "freeswitch", feature = "yate")),
    allow(dead_code, reason = "most of it is for the adapters of exchanges")
)]
mod settings;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod sip_headers;
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
mod spool;
#[cfg_attr(
    not(any(
        feature = "asterisk",
        feature = "freeswitch",
        feature = "kamailio",
        feature = "opensips",
        feature = "yate"
    )),
    allow(dead_code, reason = "an adapter without calls needs little of it")
)]
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
