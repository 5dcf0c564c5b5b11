//! The other end of every wire, for tests: mock servers, recordings of real ones, faults, and the
//! suites that an adapter or plugin has to pass.
//!
//! | you test | you need |
//! |---|---|
//! | an application, without a server | [`server::asterisk::MockAsterisk`], [`server::freeswitch::MockFreeSwitch`], [`server::yate::MockYate`], [`server::kamailio::MockKamailio`], [`server::opensips::MockOpenSips`] over real TCP, [`fake::FakeAdapter`] in memory |
//! | a plugin of a cloud vendor, without an account | [`server::phaxio::MockPhaxio`], [`server::sinch_fax::MockSinchFax`], [`server::sinch_sms::MockSinchSms`]; another vendor on [`server::http::MockHttp`] |
//! | your adapter, plugin, codec or session against the contract | [`conformance`] |
//! | a codec against what real servers said | [`replay`], [`fixtures`] |
//! | what happens on a bad network | [`fault`] |
//! | a protocol, on a clock that stands still | [`pair`] |
//! | that nothing private is logged | [`logs`] |
//!
//! It is a development dependency and asserts: a failed expectation panics. Random choices start
//! at a seed that is printed ([`random`]).
//!
//! # Examples
//!
//! An application's own code against an adapter in memory:
//!
//! ```
//! use faxbot_core::{ErrorKind, Result, sip::{CallRequest, SipAdapter}};
//! use faxbot_testkit::fake::FakeAdapter;
//!
//! /// The code under test: it knows `SipAdapter`, and no server.
//! async fn can_ring(sip: &dyn SipAdapter) -> Result<bool> {
//!     match sip.make_call(CallRequest::dial("602".parse()?)).await {
//!         Ok(_) => Ok(true),
//!         Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
//!         Err(error) => Err(error),
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! // This adapter only faxes.
//! assert!(!can_ring(&FakeAdapter::new()).await?);
//! # Ok(())
//! # }
//! ```
//!
//! A codec on what a real Asterisk said to a call that met a busy line:
//!
//! ```
//! use bytes::BytesMut;
//! use faxbot_sip::protocol::{ami::{AmiCodec, MAX_MESSAGE, Role}, session::Codec};
//! use faxbot_testkit::replay::{Direction, Recording};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recording = Recording::load("asterisk/03_originate_busy")?;
//! let mut input = BytesMut::from(&recording.bytes(1, Direction::ToClient)[..]);
//! let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
//! let mut hangups = 0;
//! while let Some(message) = codec.decode(&mut input)? {
//!     hangups += u32::from(message.get("Event") == Some(b"Hangup"));
//! }
//! assert!(hangups > 0 && input.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! None: everything is always there.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod conformance;
pub mod fake;
pub mod fault;
pub mod fixtures;
pub mod logs;
pub mod pair;
pub mod random;
pub mod replay;
pub mod server;
