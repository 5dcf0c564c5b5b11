//! JSON-RPC as a client: one request, one answer, over HTTP or datagrams.

mod failure;
mod http;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use faxbot_core::http::ApiClient;
use serde::de::DeserializeOwned;
use url::Url;

pub use self::failure::RpcFailure;
use self::{failure::Call, http::Http};
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
}

/// The bytes of an answer, and what they came with.
struct Answered {
    id: u32,
    body: bytes::Bytes,
    /// What the status of HTTP means, if it is another than 200.
    status: Option<faxbot_core::http::HttpResponse>,
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

    /// Sets the longest request over HTTP, in bytes; default [`MAX_HTTP_REQUEST`](Self::MAX_HTTP_REQUEST).
    #[must_use]
    pub fn with_max_request_bytes(mut self, bytes: usize) -> Self {
        let Way::Http(http) = &mut self.way;
        *http = Arc::new(http.with_max_request(bytes));
        self
    }

    /// Sets the longest answer over HTTP, in bytes; default 16 MiB. A longer one is an error.
    #[must_use]
    pub fn with_max_answer_bytes(mut self, bytes: u64) -> Self {
        let Way::Http(http) = &mut self.way;
        *http = Arc::new(http.with_max_answer(bytes));
        self
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
        }
    }
}
