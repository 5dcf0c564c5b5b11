//! JSON-RPC as a client: one request, one answer, over HTTP or datagrams.

mod board;
mod datagram;
mod failure;
mod http;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use faxbot_core::{
    Result as CoreResult,
    clock::SharedClock,
    http::{ApiClient, HttpResponse},
    random::SharedRandom,
    task::TaskSet,
};
use serde::de::DeserializeOwned;
use url::Url;

use self::{datagram::Datagram, failure::Call, http::Http};
pub use self::{datagram::DatagramOptions, failure::RpcFailure};
use super::DatagramPeer;
use crate::protocol::jsonrpc::{Outcome, Request, decode_answer};

/// Asks a server by JSON-RPC 2.0.
///
/// A request is sent once: what happens after a fault is the caller's to decide, by
/// [`RpcFailure::effect`]. Over HTTP head and body go out in one write and each connection has one
/// request under way, because OpenSIPS stalls otherwise; how many connections there are is a matter
/// of the [`ApiClient`], whose waiters give up in time.
///
/// Clones are one client.
#[derive(Clone)]
pub struct Rpc {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Http(Arc<Http>),
    Datagram(Arc<Datagram>),
}

/// The bytes of an answer, and what they came with.
struct Answered {
    id: u32,
    body: Bytes,
    /// The response of HTTP, if its status is another than 200.
    status: Option<HttpResponse>,
}

impl Rpc {
    /// The longest request over HTTP in bytes, unless told otherwise. OpenSIPS answers bodies of up
    /// to 16,000 bytes at once and larger ones when somebody else asks something
    /// (`01_large_body_waits_for_next_activity`); Kamailio reads 16 KiB, head and body
    /// (`tcp_rd_buf_size`).
    pub const MAX_HTTP_REQUEST: usize = 15_000;
    /// How long the end of an answer other than 200 is waited for: OpenSIPS holds back the end of
    /// empty ones until something else happens (`01_empty_reply_not_finished_until_next_activity`).
    pub const UNFINISHED_AFTER: Duration = Duration::from_millis(500);

    /// Over HTTP: one POST a call, to `url`, which must be of the origin of the client's base.
    pub fn http(api: ApiClient, url: Url) -> Self {
        Self {
            way: Way::Http(Arc::new(Http::new(api, url))),
        }
    }

    /// Over datagrams: one a request, one an answer, which may come in any order and is matched by
    /// its id. The socket is bound now; its task is spawned in `tasks` and ends with them or with
    /// the last clone, whichever is first. A server that comes back is reached again without more.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](faxbot_core::ErrorKind::Io) where our own socket cannot be bound,
    /// [`ErrorKind::Config`](faxbot_core::ErrorKind::Config) where it is of another kind than the
    /// server's, [`ErrorKind::NoRuntime`](faxbot_core::ErrorKind::NoRuntime).
    pub fn datagram(
        to: DatagramPeer,
        options: DatagramOptions,
        clock: SharedClock,
        random: SharedRandom,
        tasks: &TaskSet,
    ) -> CoreResult<Self> {
        let datagram = Datagram::start(to, &options, clock, &random, tasks)?;
        Ok(Self {
            way: Way::Datagram(Arc::new(datagram)),
        })
    }

    /// Sets the longest request over HTTP, in bytes; default
    /// [`MAX_HTTP_REQUEST`](Self::MAX_HTTP_REQUEST).
    #[must_use]
    pub fn with_max_request_bytes(mut self, bytes: usize) -> Self {
        if let Way::Http(http) = &mut self.way {
            *http = Arc::new(http.with_max_request(bytes));
        }
        self
    }

    /// Sets the longest answer over HTTP, in bytes; default 16 MiB. A longer one is an error.
    #[must_use]
    pub fn with_max_answer_bytes(mut self, bytes: u64) -> Self {
        if let Way::Http(http) = &mut self.way {
            *http = Arc::new(http.with_max_answer(bytes));
        }
        self
    }

    /// Datagrams that nobody waited for: answers after their time, and what strangers sent.
    pub fn dropped(&self) -> u64 {
        match &self.way {
            Way::Http(_) => 0,
            Way::Datagram(datagram) => datagram.dropped(),
        }
    }

    /// Asks for something that changes nothing at the server: every failure had no effect.
    /// `limit` is the time for the exchange; a place among the connections is waited for besides.
    ///
    /// # Errors
    /// [`RpcFailure`], with [`Effect::NoEffect`](faxbot_core::Effect::NoEffect).
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind but a request that the server may still answer.
    pub async fn read<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: Request,
        limit: Duration,
    ) -> Result<T, RpcFailure> {
        self.exchange(Call::read(operation), &request, limit).await
    }

    /// Asks for something that changes something. After a failure other than a refusal it may have
    /// happened, or may happen yet: both servers execute requests that they never answer.
    ///
    /// # Errors
    /// [`RpcFailure`], whose effect is unknown where bytes had left and no answer tells.
    ///
    /// # Cancel safety
    /// A request that was written is not undone by dropping the future.
    pub async fn act<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: Request,
        limit: Duration,
    ) -> Result<T, RpcFailure> {
        self.exchange(Call::act(operation), &request, limit).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        call: Call,
        request: &Request,
        limit: Duration,
    ) -> Result<T, RpcFailure> {
        let answered = match &self.way {
            Way::Http(http) => http.call(call, request, limit).await,
            Way::Datagram(datagram) => datagram.call(call, request, limit).await,
        };
        let answered = answered.map_err(|error| call.failed(error))?;
        // Kamailio puts its refusals into the status and into the body, so the body goes first.
        let outcome = decode_answer(&answered.body, answered.id);
        match (outcome, &answered.status) {
            (Ok(Outcome::Result(result)), _) => Ok(result),
            (Ok(Outcome::Error(error)), status) => Err(call.refused(error, status.as_ref())),
            (Err(_), Some(response)) => Err(call.status(response)),
            (Err(error), None) => Err(call.no_answer(error)),
        }
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Http(http) => f.debug_tuple("Rpc").field(http).finish(),
            Way::Datagram(datagram) => f.debug_tuple("Rpc").field(datagram).finish(),
        }
    }
}
