//! Calls that FreeSWITCH brings to us: the application `socket` of its dialplan.
//!
//! ```xml
//! <action application="socket" data="127.0.0.1:8084 async full"/>
//! ```
//!
//! FreeSWITCH connects to us for each call that comes by such a line and waits for our orders.
//! [`EslListener`] accepts, [`OutboundCalls`] gives the calls out one by one, [`OutboundCall`] is
//! one of them: its channel, its events, and what can be done with it.
//!
//! ```no_run
//! use std::time::Duration;
//! use faxbot_sip::outbound::{EslListener, OutboundCall, OutboundOptions};
//!
//! async fn greet(call: OutboundCall) -> faxbot_core::Result<()> {
//!     call.execute("answer", "").await?;
//!     call.execute("playback", "tone_stream://%(500,0,440)").await?;
//!     call.hangup("NORMAL_CLEARING").await
//! }
//!
//! # async fn run() -> faxbot_core::Result<()> {
//! let (listener, calls) = EslListener::bind(OutboundOptions::new()).await?;
//! tokio::spawn(calls.for_each(|call| async move {
//!     if let Err(error) = greet(call).await {
//!         eprintln!("{error}");
//!     }
//! }));
//! tokio::signal::ctrl_c().await.ok();
//! listener.close(Duration::from_secs(10)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What ends the call
//!
//! The connection is what holds the call. It is closed when the last clone of its
//! [`OutboundCall`] is dropped, and by [`OutboundCall::close`]; **then FreeSWITCH hangs the call
//! up** (observed on 1.10.12 with nothing behind `socket` in the dialplan, recording
//! `07_call_events_when_outbound_app_closes_or_refuses`). After [`OutboundCall::resume`] the
//! dialplan goes on behind `socket` instead. It hangs up, too, when nobody listens on the port, and
//! when we say nothing for about 25 s after it connected: calls above the limit that wait so long
//! in the system's queue are lost.
//!
//! # Who may connect
//!
//! This side of the protocol has **no login**: whoever reaches the port is taken for FreeSWITCH.
//! So the port is on 127.0.0.1 and takes peers of this machine only, unless
//! [`OutboundOptions::address`] and [`OutboundOptions::allow`] say more.
//!
//! # Modes
//!
//! | the line says | |
//! |---|---|
//! | `async` | an application is queued and its end is an event; events come while it runs |
//! | nothing ([`SocketMode::Sync`]) | one application at a time, and nothing else is answered until it ends |
//! | `full` | all commands of the event socket |
//! | nothing ([`Control::SingleChannel`]) | the call's own only: `api`, `bgapi`, events of others and `linger` are [`Unsupported`](faxbot_core::ErrorKind::Unsupported) |

mod board;
mod call;
mod channel;
mod execute;
mod listener;
mod serve;

pub use call::OutboundCall;
pub use channel::{Channel, Control, SocketMode};
pub use execute::{Execute, Executed, Execution};
pub use listener::{EslListener, OutboundCalls, OutboundOptions};
