//! One connection for all socket protocols: the only place with tasks, sockets and clocks.
//!
//! A protocol brings a [`Session`](crate::protocol::session::Session); everything else is here:
//!
//! - [`Connect`] and [`Endpoint`] open a transport (TCP, TLS with the feature `tls`);
//! - a connection moves bytes, frames, requests and deadlines in one `select!`;
//! - [`Link`] keeps a connection up by a [`RetryPolicy`](faxbot_core::retry::RetryPolicy) and tells the adapter's pump about it
//!   ([`LinkEvent`]); what a lost link means for each request is the table in the source of the
//!   supervisor, repeated at [`Link`];
//! - [`Handle`] is what an adapter asks through;
//! - [`Listener`] is the accepting side: each connection that a peer opens is a [`Link`] too, which
//!   ends when it is lost.
//!
//! # How an adapter uses it
//!
//! ```text
//! let tasks = TaskSet::current("connect")?;
//! let (link, mut events) = Link::start(
//!     LinkOptions::new("asterisk"),
//!     Box::new(Endpoint::tcp("127.0.0.1", 5038)),
//!     move |random: [u8; 32]| (AmiSession::new(login.clone(), random), AmiCodec::new(limits)),
//!     TokioClock::shared(),
//!     SystemRandom::shared(),
//!     &tasks,
//! );
//! tasks.spawn(async move {
//!     while let Some(event) = events.recv().await {
//!         match event {
//!             // Requests of the set-up go through `setup.handle()`; the public handle answers
//!             // `NotConnected` until `ready()`.
//!             LinkEvent::Up { setup, .. } => match reconcile(setup.handle()).await {
//!                 Ok(()) => { setup.ready(); }
//!                 Err(error) => setup.fail(error),
//!             },
//!             LinkEvent::Event { event, .. } => table.apply(event),
//!             LinkEvent::Down { reason, at, .. } => table.gap(reason, at),
//!             LinkEvent::AttemptFailed { critical, .. } => health.trouble(critical),
//!             LinkEvent::GaveUp { reason } => health.dead(reason),
//!         }
//!     }
//! });
//! link.connected().await?;
//! let reply = link.handle().request(action, Duration::from_secs(5)).await
//!     .map_err(|error| error.into_error("make_call"))?;
//! link.close(Duration::from_secs(5)).await;
//! ```

mod accept;
mod connection;
#[cfg(feature = "rpc")]
mod datagram;
#[cfg(feature = "rpc")]
mod datagrams;
mod desk;
mod endpoint;
mod error;
mod handle;
mod link;
mod listener;
mod policy;
mod porter;
#[cfg(feature = "rpc")]
mod rpc;
mod supervisor;
#[cfg(feature = "tls")]
mod tls;

#[cfg(test)]
mod tests;

pub use accept::{Accept, Acceptor, AllowList};
#[cfg(feature = "rpc")]
#[cfg_attr(docsrs, doc(cfg(feature = "rpc")))]
pub use datagram::DatagramPeer;
#[cfg(feature = "rpc")]
#[cfg_attr(docsrs, doc(cfg(feature = "rpc")))]
pub use datagrams::{DatagramLosses, Datagrams, ReceivedDatagrams};
pub use endpoint::{Connect, Endpoint, Io, Transport};
pub use error::{LinkError, RequestError};
pub use handle::{Handle, LinkPhase, LinkStatus, RoundTripObserver, Setup};
pub use link::{CloseReport, Link, LinkEvent, LinkEvents, LinkOptions, SessionFactory};
pub use listener::{Accepted, Incoming, Listener, ListenerOptions, ListenerStatus, Place};
#[cfg(feature = "rpc")]
#[cfg_attr(docsrs, doc(cfg(feature = "rpc")))]
pub use rpc::{DatagramOptions, Rpc, RpcFailure};
#[cfg(feature = "tls")]
pub use tls::TlsOptions;
