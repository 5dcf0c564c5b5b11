//! One mock HTTP server for every vendor that speaks HTTP.
//!
//! [`MockHttp`] owns the socket, the faults and the record of what came; a [`MockVendor`] behind it
//! has the rules of one vendor. A vendor is a plain state machine: a request and the time go in, an
//! answer comes out; it ages by [`tick`](MockVendor::tick), and what it wants to tell comes out as
//! [`Callback`]s that [`WebhookSender`] delivers.
//!
//! - Over TCP ([`MockHttp::start`], [`url`](MockHttp::url)) for real clients and vendors' own SDKs.
//! - In memory ([`MockHttp::in_memory`], [`client`](MockHttp::client)) as an
//!   [`HttpClient`](faxbot_core::http::HttpClient), for tests on a clock that stands still.
//!
//! What goes wrong is the same in both: [`Fault`]s by method, path and count, or [`RandomFaults`]
//! from a seed that is printed. A kind says whether the vendor acted on the request.
//! A vendor can also answer badly by itself ([`HttpAnswer::then`]): an answer that never ends, none
//! at all, a later one.
//!
//! # Examples
//!
//! ```
//! use faxbot_core::http::{HttpClient as _, HttpRequest};
//! use faxbot_testkit::server::http::{
//!     Fault, FaultKind, HttpAnswer, MockHttp, MockVendor, SeenRequest,
//! };
//! use serde_json::json;
//! use tokio::time::Instant;
//!
//! /// Counts what it takes.
//! #[derive(Default)]
//! struct Counter(u32);
//!
//! impl MockVendor for Counter {
//!     fn handle(&mut self, request: &SeenRequest, _now: Instant) -> HttpAnswer {
//!         match (request.method.as_str(), request.segments().as_slice()) {
//!             ("POST", [one]) if one == "count" => {
//!                 self.0 += 1;
//!                 HttpAnswer::json(200, &json!({ "count": self.0 }))
//!             }
//!             _ => HttpAnswer::new(404),
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockHttp::in_memory(Counter::default());
//! mock.fault(Fault::new(FaultKind::CutAfterEffect).on("POST", "/count"));
//! let request = HttpRequest::post(mock.url().join("count")?, "");
//! // The link ends behind the write, and nobody knows that it counted.
//! assert!(mock.client().execute(request.clone()).await.is_err());
//! assert!(mock.client().execute(request).await?.status.is_success());
//! assert_eq!(mock.vendor(|counter| counter.0), 2);
//! assert_eq!(mock.requests().len(), 2);
//! # Ok(())
//! # }
//! ```

mod answer;
mod body;
mod client;
mod digest;
mod fault;
mod mock;
mod post;
mod request;
mod serve;
mod vendor;
mod webhook;
mod world;

pub use answer::{HttpAnswer, Promise, Then};
pub use client::MemoryClient;
pub use digest::{DigestAlgorithm, DigestGuard};
pub use fault::{Fault, FaultKind, RandomFaults};
pub use mock::MockHttp;
pub use request::{Part, SeenRequest};
pub use vendor::{Callback, MockVendor, RetryRule};
pub use webhook::{CallbackFault, Delivery, WebhookSender};
