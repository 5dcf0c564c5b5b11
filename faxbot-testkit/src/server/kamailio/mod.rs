//! A mock of Kamailio 5.6 as its JSON-RPC and its events show it.
//!
//! JSON-RPC comes over HTTP (`xhttp` with `jsonrpcs`), events as netstrings of `evapi`. Calls pass
//! through it, live, age and end: those of others ([`MockKamailio::call`]) and those that
//! `dlg.bridge_dlg` makes by ringing a [`Phone`] first. It answers, and stays silent, as the
//! recordings show; what clients asked for is kept.
//!
//! ```
//! use faxbot_testkit::server::kamailio::{MockKamailio, PassingCall, Stage};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mock = MockKamailio::builder().start().await?;
//! let id = mock.call(PassingCall::new("sip:alice@127.0.0.1:5091", "sip:600@127.0.0.1:5070"));
//! let up = |mock: &MockKamailio| mock.dialog(&id).filter(|it| it.stage == Stage::Up);
//! assert!(mock.wait_until(Duration::from_secs(5), up).await.is_some());
//! assert!(mock.callee_hangs_up(&id));
//! assert!(mock.relayed().iter().any(|event| event.contains("dialog:end")));
//! # Ok(())
//! # }
//! ```

mod auth;
mod builder;
mod datagrams;
mod engine;
mod evapi;
mod events;
mod methods;
mod mock;
mod rpc;
mod state;

pub use super::{
    CallScript, MemoryConnector, ReplyFault, SentMessage, Timings,
    http::DigestAlgorithm,
    proxy::{Dialog, PassingCall, Phone, Replies, Stage, Tree},
};
pub use builder::MockKamailioBuilder;
pub use engine::Kamailio;
pub use events::EventForm;
pub use mock::MockKamailio;
pub use rpc::{Channel, SeenRpc};
