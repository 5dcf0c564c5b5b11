//! What an answer means, and what is in it.

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    http::{HttpResponse, refusal},
};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::validation::Validation;

/// Of a text without a form of its own, so many bytes are kept.
const LONGEST_TEXT: usize = 512;

/// An answer of 2xx.
#[derive(Debug)]
pub(super) struct Answer {
    operation: &'static str,
    acts: bool,
    response: HttpResponse,
}

/// What a call without an answer means here: the account manager shows its login page, by 302, to
/// whom an admin route does not know (`AuthenticateAdmin.php`), before anything happens.
pub(super) fn failed(operation: &'static str, error: Error) -> Error {
    if error.native_code() != Some("302") {
        return error;
    }
    let message = "the server asks for a login on its web page: this route does not take our \
                   credentials (admin routes take an api key alone since 2.1)";
    Error::new(ErrorKind::Authentication, operation, message)
        .with_native(Some("302".to_owned()), None)
        .with_effect(Effect::NoEffect)
}

impl Answer {
    /// An answer, or the error that its status means.
    pub(super) fn of(operation: &'static str, response: HttpResponse, acts: bool) -> Result<Self> {
        match response.status.is_success() {
            true => Ok(Self {
                operation,
                acts,
                response,
            }),
            false => Err(refused(operation, &response, acts)),
        }
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        // The parser's own error shows the text around the fault.
        serde_json::from_slice(&self.response.body)
            .map_err(|_| self.broken("the answer is not of the form that it should have"))
    }

    /// The body as text, without white space around it.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.response.body)
            .unwrap_or_default()
            .trim()
    }

    /// Something was deleted. A bare `0` says that nothing was there: the controllers answer the
    /// number of rows.
    pub(super) fn deleted(&self) -> Result<()> {
        match self.text() {
            "0" | "false" => {
                let message = "the server had nothing to delete";
                Err(Error::new(ErrorKind::NotFound, self.operation, message))
            }
            _ => Ok(()),
        }
    }

    /// Done, whatever the body says.
    pub(super) fn done(&self) {}

    /// An answer that breaks the protocol. What was asked for may have happened.
    pub(super) fn broken(&self, message: &'static str) -> Error {
        let effect = match self.acts {
            true => Effect::Unknown,
            false => Effect::NoEffect,
        };
        Error::new(ErrorKind::Protocol, self.operation, message).with_effect(effect)
    }
}

/// The error of a status, with what Laravel says in the body.
fn refused(operation: &'static str, response: &HttpResponse, acts: bool) -> Error {
    let status = response.status.as_str().to_owned();
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    let message = body
        .as_ref()
        .and_then(|body| body.get("message")?.as_str())
        .map(str::to_owned);
    let mut error = refusal(operation, response, acts);
    if response.status == StatusCode::SERVICE_UNAVAILABLE && message.is_some() {
        // Its own `abort(503)`, in its own form: a push that was not sent, a server that is closed
        // for maintenance. One of a proxy in front of it is a page.
        let text = "the account manager could not do it";
        let retry = error.retry_after();
        error = Error::new(ErrorKind::ServerBusy, operation, text);
        if let Some(after) = retry {
            error = error.with_retry_after(after);
        }
    }
    if let Some(validation) = body.as_ref().and_then(Validation::read) {
        error = error.with_source(validation);
    }
    // The bodies of 401 are plain text.
    let text = message.or_else(|| plain(response));
    error.with_native(Some(status), text)
}

fn plain(response: &HttpResponse) -> Option<String> {
    let text = std::str::from_utf8(&response.body).ok()?.trim();
    let is_plain =
        !text.is_empty() && !text.starts_with(['<', '{', '[']) && text.len() <= LONGEST_TEXT;
    is_plain.then(|| text.to_owned())
}
