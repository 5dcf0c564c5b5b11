//! One POST a call.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Result,
    http::{ApiCall, ApiClient, HttpRequest},
};
use http::{StatusCode, header::CONTENT_TYPE};
use url::Url;

use super::{Answered, Rpc, failure::Call};
use crate::protocol::jsonrpc::{MAX_ID, Request};

#[derive(Clone)]
pub(super) struct Http {
    api: ApiClient,
    url: Url,
    ids: Arc<AtomicU32>,
    max_request: usize,
    max_answer: u64,
}

impl Http {
    pub(super) fn new(api: ApiClient, url: Url) -> Self {
        Self {
            api,
            url,
            ids: Arc::new(AtomicU32::new(1)),
            max_request: Rpc::MAX_HTTP_REQUEST,
            max_answer: HttpRequest::DEFAULT_MAX_RESPONSE_BYTES,
        }
    }

    pub(super) fn with_max_request(&self, bytes: usize) -> Self {
        let mut this = self.clone();
        this.max_request = bytes;
        this
    }

    pub(super) fn with_max_answer(&self, bytes: u64) -> Self {
        let mut this = self.clone();
        this.max_answer = bytes;
        this
    }

    pub(super) async fn call(
        &self,
        call: Call,
        request: &Request,
        limit: Duration,
    ) -> Result<Answered> {
        if request.max_len() > self.max_request {
            let message = "the request is longer than the server takes";
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                call.operation,
                message,
            ));
        }
        // Each exchange has its own connection: the id only tells an answer from something else.
        let id = self.ids.fetch_add(1, Ordering::Relaxed) & MAX_ID;
        let post = HttpRequest::post(self.url.clone(), request.encode(id))
            // OpenSIPS closes the connection without it, and without an answer.
            .with_header(CONTENT_TYPE, "application/json")?
            .with_timeout(limit)
            .with_unfinished_after(Rpc::UNFINISHED_AFTER)
            .with_max_response_bytes(self.max_answer);
        let post = if call.acts {
            ApiCall::act(call.operation, post)
        } else {
            ApiCall::read(call.operation, post)
        };
        let response = self.api.call(post.without_repeats()).await?;
        Ok(Answered {
            id,
            body: response.body.clone(),
            status: (response.status != StatusCode::OK).then_some(response),
        })
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("api", &self.api)
            .finish_non_exhaustive()
    }
}
