//! SIP servers, driven: protocol codecs, one driver for all of them, and
//! `SipAdapter` implementations for Asterisk (AMI), FreeSWITCH and FusionPBX (ESL), Yate (external
//! modules), Kamailio and OpenSIPS (JSON-RPC) and Flexisip (FlexiAPI).
//!
//! Three layers, each usable without those above it:
//!
//! - [`protocol`]: bytes to frames to meaning, sans-IO. No tokio, no task, no clock.
//! - `driver` (feature `driver`): sockets, tasks, deadlines and reconnects, the same for every
//!   protocol.
//! - `adapter` (a feature for each server): what the rest of the SDK calls a `SipAdapter`. To place
//!   calls and send faxes begin at `adapter::asterisk`, `adapter::freeswitch`, `adapter::fusionpbx` or
//!   `adapter::yate`; to watch and end the calls that pass a proxy, at `adapter::kamailio` or
//!   `adapter::opensips`; for the accounts of Flexisip, at `adapter::flexisip`.
//!
//! Beside the adapters stands `outbound` (feature `driver`): the calls that FreeSWITCH brings by its
//! application `socket`, for programs that want them without an adapter.
//!
//! # Example
//!
//! The AMI codec alone, fed by whoever has the bytes:
//!
//! ```
//! use bytes::BytesMut;
//! use faxbot_sip::protocol::{
//!     ami::{AmiCodec, Kind, MAX_MESSAGE, Role},
//!     session::Codec,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
//! let mut input = BytesMut::new();
//! let mut names = Vec::new();
//! for piece in ["Asterisk Call Manager/11.0.0\r\nEvent: FullyBo", "oted\r\nUptime: 3\r\n\r\n"] {
//!     input.extend_from_slice(piece.as_bytes());
//!     while let Some(message) = codec.decode(&mut input)? {
//!         if message.kind() == Kind::Event {
//!             assert_eq!(message.get("uptime"), Some(&b"3"[..]));
//!             names.extend(message.get_str("Event").map(|name| name.into_owned()));
//!         }
//!     }
//! }
//! assert_eq!(names, ["FullyBooted"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `asterisk` | yes | the Asterisk adapter; turns `driver` on |
//! | `freeswitch` | yes | the FreeSWITCH and FusionPBX adapters; turns `driver` on |
//! | `yate` | yes | the Yate adapter; turns `driver` on |
//! | `kamailio` | | the Kamailio adapter; turns `rpc` and an HTTP client on |
//! | `opensips` | | the OpenSIPS adapter; the same |
//! | `flexisip` | | the Flexisip adapter; the same |
//! | `rpc` | by the three | `driver::Rpc`: JSON-RPC over HTTP and datagrams; turns `driver` on |
//! | `tls` | yes | TLS by rustls with the ring provider, given explicitly; turns `driver` on |
//! | `driver` | by the others | the driver, `outbound` (calls that FreeSWITCH brings), and the codecs as `tokio_util::codec::{Decoder, Encoder}` |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(
    feature = "asterisk",
    feature = "flexisip",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
pub mod adapter;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "driver")]
pub mod outbound;
pub mod protocol;

/// The examples of the adapters' pages compile.
#[cfg(all(
    doctest,
    feature = "asterisk",
    feature = "flexisip",
    feature = "freeswitch",
    feature = "kamailio",
    feature = "opensips",
    feature = "yate"
))]
mod docs {
    #[doc = include_str!("../../docs/adapters/asterisk.md")]
    struct Asterisk;
    #[doc = include_str!("../../docs/adapters/flexisip.md")]
    struct Flexisip;
    #[doc = include_str!("../../docs/adapters/freeswitch.md")]
    struct Freeswitch;
    #[doc = include_str!("../../docs/adapters/fusionpbx.md")]
    struct Fusionpbx;
    #[doc = include_str!("../../docs/adapters/kamailio.md")]
    struct Kamailio;
    #[doc = include_str!("../../docs/adapters/opensips.md")]
    struct Opensips;
    #[doc = include_str!("../../docs/adapters/yate.md")]
    struct Yate;
}
