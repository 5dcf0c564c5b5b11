//! The contract of the Faxbot SDK: the traits that adapters and plugins implement, the types that
//! pass between them, and the fax documents.
//!
//! No implementation is here and no socket is opened: a server is driven by `faxbot-sip`, faxes are
//! sent by `faxbot-providers`, and `faxbot-testkit` checks who implements what is here.
//!
//! | you write | you need |
//! |---|---|
//! | an application | [`sip::SipAdapter`] for calls, [`plugin::FaxPlugin`] for faxes, [`document::Document`] |
//! | an adapter for a server | [`sip::SipAdapter`], [`config`], [`event::EventBus`], [`task::TaskSet`], [`clock::Clock`] |
//! | a provider | [`plugin::Plugin`] and a role of it, [`plugin::PluginDeps`], [`webhook`], [`http`] |
//! | a program with fax TIFF or T.6 alone | [`document::tiff`], [`document::ccitt`] |
//!
//! # What holds everywhere
//!
//! - **Effect.** Each [`Error`] says whether its request may have happened ([`Error::effect`]).
//!   [`Error::is_retryable`] is true only for what certainly had no effect. A request whose outcome
//!   nobody knows is asked for by its id ([`sip::SipAdapter::lookup`]), never repeated.
//! - **Privacy.** Numbers, names, file names and secrets are masked in `Debug`, `Display`, logs and
//!   errors; `expose()` is the only way to the value.
//! - **Cancellation.** Dropping a future never undoes a request that was written. Every `async fn`
//!   says what that means under "Cancel safety".
//! - **Time and randomness** are arguments ([`clock`], [`random`]), so that tests give their own.
//!
//! # Example
//!
//! The destination of a fax, what shows of it, and whether to dial again after a busy line:
//!
//! ```
//! use faxbot_core::{
//!     address::FaxTarget,
//!     fax::{
//!         AttemptHistory, FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxRetryPolicy,
//!         RetryDecision, decide,
//!     },
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let to: FaxTarget = "+493012345678".parse()?;
//! assert_eq!(to.expose(), "+493012345678");
//! assert!(!format!("{to:?}").contains("30123456"));
//!
//! let busy = FaxFailure::new(FailureClass::Busy, FailurePhase::BeforeAnswer);
//! let outcome = FaxOutcome::failed(busy, None, None);
//! let mut history = AttemptHistory::new();
//! history.record(&outcome);
//! let random = 0;
//! match decide(&outcome, &history, &FaxRetryPolicy::default(), random) {
//!     RetryDecision::After(wait) => assert_eq!(wait.as_secs(), 180),
//!     other => panic!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `phone-metadata` | no | [`address::PhoneNumber`] is validated with the metadata of all countries (about 1 MB) |
//! | `webhook` | no | [`webhook::WebhookRouter`](crate::webhook), signatures as data, forms, links to files. The stores need no feature |
//! | `api` | no | [`http::ApiClient`](crate::http): authorisation, rate limit and safe repetition over any [`http::HttpClient`]; multipart forms |
//! | `reqwest` | no | [`http::ReqwestClient`](crate::http), an [`http::HttpClient`] with rustls and the ring provider |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod address;
pub mod clock;
pub mod config;
pub mod document;
pub mod error;
pub mod event;
pub mod fax;
pub mod http;
pub mod id;
pub mod message;
pub mod plugin;
pub mod random;
pub mod redact;
pub mod retry;
pub mod sip;
pub mod task;
mod timestamp;
pub mod webhook;

pub use error::{DocumentReason, Effect, Error, ErrorKind, Result};
pub use redact::{Private, Secret};
pub use timestamp::Timestamp;
