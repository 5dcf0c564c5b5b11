//! A caller of a mocked vendor.

use std::sync::Arc;

use faxbot_core::http::{HttpClient as _, HttpRequest, HttpResponse};
use faxbot_testkit::server::http::{MemoryClient, MockHttp, MockVendor};
use http::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;
use url::Url;

pub(crate) struct Api<V: MockVendor> {
    client: Arc<MemoryClient<V>>,
    base: Url,
    pub(crate) authorization: String,
}

impl<V: MockVendor> Api<V> {
    /// Calls what is under `path`.
    pub(crate) fn new(mock: &MockHttp<V>, path: &str, authorization: &str) -> Self {
        Self {
            client: mock.client(),
            base: mock.url().join(path).unwrap(),
            authorization: authorization.to_owned(),
        }
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Answer {
        let url = self.base.join(path).unwrap();
        let mut request = HttpRequest::new(method, url);
        if !self.authorization.is_empty() {
            request = request
                .with_header(AUTHORIZATION, &self.authorization)
                .unwrap();
        }
        if let Some((kind, body)) = body {
            request = request.with_header(CONTENT_TYPE, kind).unwrap();
            request = request.with_body(body);
        }
        Answer(self.client.execute(request).await.unwrap())
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let body = ("application/json", body.to_string().into_bytes());
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }
}

pub(crate) struct Answer(pub(crate) HttpResponse);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.0.status.as_u16()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.0.body).unwrap_or_default()
    }

    /// The body of a 2xx.
    #[track_caller]
    pub(crate) fn good(&self) -> Value {
        assert!(
            self.0.status.is_success(),
            "{} {}",
            self.status(),
            self.json()
        );
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.0
            .headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}
