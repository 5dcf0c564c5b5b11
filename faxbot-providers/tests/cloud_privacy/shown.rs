//! What a user could print, beside what is logged.

use std::{
    collections::BTreeSet,
    fmt::{Debug, Write as _},
};

use faxbot_core::{Error, Result};
use faxbot_testkit::{
    fixtures::private,
    server::http::{MockHttp, MockVendor},
};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::cloud_wire_support::Recorder;

/// Texts, and the secrets that were drawn while they were made.
#[derive(Default)]
pub(crate) struct Shown {
    text: String,
    secrets: BTreeSet<String>,
}

impl Shown {
    /// All of these.
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self::default(), |mut all, part| {
            all.text += &part.text;
            all.secrets.extend(part.secrets);
            all
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn secrets(&self) -> &BTreeSet<String> {
        &self.secrets
    }

    pub(crate) fn debug(&mut self, value: &(impl Debug + ?Sized)) {
        let _ = writeln!(self.text, "{value:?} | {value:#?}");
    }

    /// An error with the whole chain of its sources.
    pub(crate) fn error(&mut self, error: &Error) {
        let _ = writeln!(self.text, "{error} | {error:?} | {error:#?}");
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            let _ = writeln!(self.text, "{error} | {error:?} | {error:#?}");
            source = error.source();
        }
    }

    pub(crate) fn result<T: Debug>(&mut self, result: &Result<T>) {
        match result {
            Ok(value) => self.debug(value),
            Err(error) => self.error(error),
        }
    }

    /// What was drawn in this run, and may be shown nowhere.
    pub(crate) fn secret(&mut self, secret: &str) {
        if secret.len() >= 8 {
            self.secrets.insert(secret.to_owned());
        }
    }

    fn secret_headers(&mut self, headers: &HeaderMap) {
        for name in [
            "authorization",
            "x-phaxio-signature",
            "x-sinch-webhook-signature",
            "x-sinch-webhook-signature-nonce",
        ] {
            for value in headers.get_all(name) {
                let value = value.to_str().unwrap();
                self.secret(value.rsplit(' ').next().unwrap_or(value));
            }
        }
    }

    /// What went over the wire: its debug forms, and the credentials in it.
    pub(crate) fn wire<V: MockVendor>(&mut self, http: &Recorder, mock: &MockHttp<V>) {
        self.text += &http.shown();
        for sent in http.take() {
            self.secret_headers(&sent.headers);
        }
        for callback in mock.webhooks().callbacks() {
            self.secret_headers(&callback.headers);
            if let Some(secret) = callback.url.path().strip_prefix("/webhooks/sinch-fax/") {
                self.secret(secret);
            }
        }
        for request in mock.requests() {
            self.debug(&request);
        }
    }
}

/// A sentence with everything that may not be shown.
pub(crate) fn sentence() -> String {
    [
        private::NUMBER,
        private::CALLER_NAME,
        private::MESSAGE,
        private::DOCUMENT,
        private::FILE_NAME,
        private::SECRET,
        private::KEY,
    ]
    .join(", ")
}

/// The body of a refusal that quotes all that it was sent, wherever a vendor has words.
pub(crate) fn refusal() -> Value {
    let quoted = sentence();
    json!({
        "success": false, "message": quoted, "code": quoted, "text": quoted, "error": quoted,
        "detail": quoted, "title": quoted, "status": quoted, "error_description": quoted,
        "details": { "fieldViolations": [{ "field": quoted, "description": quoted }] },
    })
}

/// The same where the gateway of a vendor has its words.
pub(crate) fn nested_refusal() -> Value {
    json!({ "error": refusal(), "requestId": sentence() })
}
