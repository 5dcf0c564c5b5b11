//! A mock of OpenSIPS 3.6, 3.4 and 3.2 as its management interface and its events show it.
//!
//! The management interface (MI) is JSON-RPC over HTTP (`mi_http`) and by datagrams
//! (`mi_datagram`); events go to the sockets that clients subscribe, as datagrams
//! (`event_datagram`) or over TCP (`event_stream`). Calls pass through it, live, age and end: those
//! of others ([`MockOpenSips::call`]) are dialogs, those that `b2b_trigger_scenario` makes are
//! tuples. It answers, waits and stays silent as the recordings show; what clients asked for is
//! kept.
//!
//! - All of MI over HTTP is one process: one request at a time. `t_uac_dlg` keeps it busy until the
//!   SIP request has its answer; requests that came meanwhile are carried out afterwards, also when
//!   their clients have left.
//! - Answers without a body (202, 400, 405, 500) never end.
//! - A release has its own commands, parameters and numbers ([`Release`]).
//!
//! ```
//! use faxbot_testkit::server::opensips::{MockOpenSips, PassingCall, Stage};
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mock = MockOpenSips::builder().start().await?;
//! let id = mock.call(PassingCall::new("sip:alice@127.0.0.1:25070", "sip:2000@127.0.0.1:25060"));
//! let up = |mock: &MockOpenSips| mock.dialog(&id).filter(|it| it.stage == Stage::Up);
//! assert!(mock.wait_until(Duration::from_secs(5), up).await.is_some());
//! assert!(mock.callee_hangs_up(&id));
//! # Ok(())
//! # }
//! ```

mod b2b;
mod builder;
mod callops;
mod datagram;
mod engine;
mod events;
mod gateways;
mod http;
mod location;
mod methods;
mod mi;
mod mock;
mod session;
mod sockets;
mod state;
mod subscribe;
mod time;
mod which;

pub use super::{
    CallScript, ReplyFault, Timings,
    proxy::{Dialog, PassingCall, Phone, Replies, Stage, Tree},
};
pub use b2b::{B2bCall, B2bStage};
pub use builder::MockOpenSipsBuilder;
pub use engine::OpenSips;
pub use mi::{Channel, SeenMi};
pub use mock::MockOpenSips;
pub use which::Release;
