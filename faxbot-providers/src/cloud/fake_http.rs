//! An HTTP client for tests of providers: keeps what it is asked, and answers what it was told to.

use std::{collections::VecDeque, sync::Mutex};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result,
    http::{HttpClient, HttpRequest, HttpResponse},
};
use http::StatusCode;

#[derive(Debug, Default)]
pub(crate) struct FakeHttp {
    answers: Mutex<VecDeque<HttpResponse>>,
    requests: Mutex<Vec<HttpRequest>>,
}

impl FakeHttp {
    /// Answers the next request that has no answer so far.
    pub(crate) fn answer(&self, status: u16, body: impl Into<bytes::Bytes>) {
        let status = StatusCode::from_u16(status).unwrap();
        self.answers
            .lock()
            .unwrap()
            .push_back(HttpResponse::new(status, body));
    }

    /// The requests since the last look.
    pub(crate) fn requests(&self) -> Vec<HttpRequest> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

#[async_trait]
impl HttpClient for FakeHttp {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.requests.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        // As a link that is cut before the answer.
        answer.ok_or_else(|| Error::new(ErrorKind::Io, "execute", "no answer"))
    }
}
