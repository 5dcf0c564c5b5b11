//! An HTTP client without a network: answers by a function, and remembers what it was asked.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};

use super::{HttpClient, HttpRequest, HttpResponse};
use crate::{Error, ErrorKind, Result};

/// What happens to one request.
#[derive(Clone)]
pub(super) enum Step {
    /// An answer with this status.
    Status(u16),
    /// An answer with this status and `Retry-After`.
    After(u16, &'static str),
    /// An answer of 200 with this body.
    Body(&'static str),
    /// This answer.
    Answer(HttpResponse),
    /// An error of this kind.
    Fails(ErrorKind),
    /// No answer, ever.
    Hangs,
    /// What comes then, later.
    Late(Duration, Box<Self>),
}

type Script = dyn Fn(usize, &HttpRequest) -> Step + Send + Sync;

pub(super) struct Fake {
    script: Box<Script>,
    requests: Mutex<Vec<HttpRequest>>,
}

impl Fake {
    /// A client that answers by the number of the request, from 0, and the request.
    pub(super) fn new(
        script: impl Fn(usize, &HttpRequest) -> Step + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            requests: Mutex::default(),
        })
    }

    /// One step after the other, the last again and again.
    pub(super) fn steps(steps: &[Step]) -> Arc<Self> {
        let steps = steps.to_vec();
        Self::new(move |number, _| steps[number.min(steps.len() - 1)].clone())
    }

    pub(super) fn requests(&self) -> Vec<HttpRequest> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn count(&self) -> usize {
        self.requests().len()
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

#[async_trait]
impl HttpClient for Fake {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        let mut step = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(request.clone());
            (self.script)(requests.len() - 1, &request)
        };
        loop {
            let answer = |status, body: &'static str| {
                Ok(HttpResponse::new(
                    StatusCode::from_u16(status).unwrap(),
                    body,
                ))
            };
            return match step {
                Step::Status(status) => answer(status, ""),
                Step::After(status, after) => answer(status, "").map(|response| {
                    let after = [(RETRY_AFTER, HeaderValue::from_static(after))];
                    response.with_headers(HeaderMap::from_iter(after))
                }),
                Step::Body(body) => answer(200, body),
                Step::Answer(response) => Ok(response),
                Step::Fails(kind) => Err(Error::new(kind, "http_request", "failed")),
                Step::Hangs => std::future::pending().await,
                Step::Late(wait, then) => {
                    tokio::time::sleep(wait).await;
                    step = *then;
                    continue;
                }
            };
        }
    }
}
