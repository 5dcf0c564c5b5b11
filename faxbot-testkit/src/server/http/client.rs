//! A way to a mock without a socket.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    http::{HttpClient, HttpRequest, HttpResponse},
};
use http::StatusCode;

use super::{
    answer::Then, fault::FaultKind, request::SeenRequest, vendor::MockVendor, world::World,
};

const OPERATION: &str = "http_request";

/// Reaches a [`MockHttp`](super::MockHttp) in memory, by the rules of [`HttpClient`]: with the
/// request's deadline and the limit of the answer, without repeats and redirects.
pub struct MemoryClient<V> {
    world: Arc<World<V>>,
}

impl<V: MockVendor> MemoryClient<V> {
    pub(super) fn new(world: Arc<World<V>>) -> Self {
        Self { world }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse> {
        // Where a client connects: a future that is dropped here has done nothing.
        tokio::task::yield_now().await;
        let mut up = self.world.up.subscribe();
        if !*up.borrow_and_update() {
            return Err(error(ErrorKind::NotConnected, "the server is not there"));
        }
        tokio::select! {
            result = self.connected(request) => result,
            _ = up.wait_for(|up| !*up) => {
                Err(error(ErrorKind::Io, "the connection was closed without an answer"))
            }
        }
    }

    async fn connected(&self, request: HttpRequest) -> Result<HttpResponse> {
        let fault = self.world.take_fault(&request.method, request.url.path());
        let target = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let body = match fault {
            Some(FaultKind::CutInUpload) => Bytes::new(),
            _ => request.body,
        };
        let seen = SeenRequest::read(request.method, &target, request.headers, body).await;
        let answer = self.world.answer(seen, fault).await;
        tokio::time::sleep(answer.after).await;
        // Where a client waits for the answer: a future that is dropped here may have done it.
        tokio::task::yield_now().await;
        let unfinished_after = request
            .unfinished_after
            .filter(|_| answer.then == Then::Unfinished && answer.status != StatusCode::OK);
        if let Some(wait) = unfinished_after {
            tokio::time::sleep(wait).await;
            let response = HttpResponse::new(answer.status, answer.body);
            return Ok(response.with_headers(answer.headers).with_complete(false));
        }
        match answer.then {
            Then::Never | Then::Unfinished => std::future::pending().await,
            Then::Cut => Err(error(
                ErrorKind::Io,
                "the connection was closed without an answer",
            )),
            Then::Truncated => Err(error(
                ErrorKind::Io,
                "the connection was closed within the answer",
            )),
            Then::Raw(_) => Err(error(ErrorKind::Protocol, "the answer is not http")),
            Then::Endless => Err(too_long()),
            Then::Whole if answer.body.len() as u64 > request.max_response_bytes => Err(too_long()),
            Then::Whole => {
                Ok(HttpResponse::new(answer.status, answer.body).with_headers(answer.headers))
            }
        }
    }
}

fn too_long() -> Error {
    error(ErrorKind::Protocol, "the answer is longer than its limit")
}

fn error(kind: ErrorKind, message: &'static str) -> Error {
    let effect = match kind {
        ErrorKind::NotConnected => Effect::NoEffect,
        _ => Effect::Unknown,
    };
    Error::new(kind, OPERATION, message).with_effect(effect)
}

#[async_trait]
impl<V: MockVendor> HttpClient for MemoryClient<V> {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        let timeout = request.timeout;
        tokio::time::timeout(timeout, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(error(ErrorKind::Timeout, "no answer in time")))
    }
}

impl<V> fmt::Debug for MemoryClient<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryClient").finish_non_exhaustive()
    }
}
