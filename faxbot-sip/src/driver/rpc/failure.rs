//! Why a call has no result.

use faxbot_core::{
    Effect, Error, ErrorKind,
    http::{HttpResponse, refusal},
};

use http::header::CONTENT_LENGTH;

use crate::protocol::jsonrpc::{AnswerError, RpcError};

/// What is called, and whether it changes something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) acts: bool,
}

impl Call {
    pub(super) fn read(operation: &'static str) -> Self {
        let acts = false;
        Self { operation, acts }
    }

    pub(super) fn act(operation: &'static str) -> Self {
        let acts = true;
        Self { operation, acts }
    }

    /// The error of a request whose bytes had left.
    pub(super) fn lost(self, kind: ErrorKind, message: &'static str) -> Error {
        if self.acts {
            Error::new(ErrorKind::OutcomeUnknown, self.operation, message)
        } else {
            Error::new(kind, self.operation, message).with_effect(Effect::NoEffect)
        }
    }

    pub(super) fn failed(self, error: Error) -> RpcFailure {
        self.failure(Why::Failed(error), None)
    }

    pub(super) fn refused(self, error: RpcError, response: Option<&HttpResponse>) -> RpcFailure {
        self.failure(Why::Refused(error), response)
    }

    pub(super) fn no_answer(self, error: AnswerError) -> RpcFailure {
        self.failure(Why::NoAnswer(error), None)
    }

    /// A status other than 200 whose body is no answer.
    pub(super) fn status(self, response: &HttpResponse) -> RpcFailure {
        let error = refusal(self.operation, response, self.acts);
        let other = |kind, message| {
            let error = Error::new(kind, self.operation, message);
            let native = Some(response.status.as_str().to_owned());
            error
                .with_effect(Effect::NoEffect)
                .with_native(native, None)
        };
        let error = match response.status.as_u16() {
            // Neither the path nor the call is known to be wrong.
            400 | 404 | 410 if is_cut(response) => {
                other(ErrorKind::Protocol, "the server's answer was cut")
            }
            // Not the call is unknown, but the path: that must not look like a call that is over.
            404 | 410 => other(
                ErrorKind::Protocol,
                "the server has no json-rpc at the configured path",
            ),
            // OpenSIPS, for another path and for a body above its limit (`01_http_errors`).
            400 => other(
                ErrorKind::InvalidRequest,
                "the server refused the http request: its path, or the length of its body",
            ),
            _ => error,
        };
        self.failure(Why::Failed(error), Some(response))
    }

    fn failure(self, why: Why, response: Option<&HttpResponse>) -> RpcFailure {
        RpcFailure(Box::new(Inner {
            call: self,
            why,
            status: response.map(|response| response.status.as_u16()),
        }))
    }
}

/// Why a call has no result: the server refused, answered something else than an answer, or did
/// not answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.what())]
pub struct RpcFailure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    call: Call,
    why: Why,
    status: Option<u16>,
}

#[derive(Debug)]
enum Why {
    Refused(RpcError),
    NoAnswer(AnswerError),
    Failed(Error),
}

impl RpcFailure {
    /// What the server said, if it refused in the words of JSON-RPC.
    pub fn refused(&self) -> Option<&RpcError> {
        match &self.0.why {
            Why::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// The status of HTTP, if it was another than 200 and the server answered at all. Kamailio's is
    /// the code of its refusal; OpenSIPS refuses with 200.
    pub fn http_status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether the call may have happened. Never unknown for one that only reads.
    pub fn effect(&self) -> Effect {
        match &self.0.why {
            Why::Failed(error) => error.effect(),
            _ if !self.0.call.acts => Effect::NoEffect,
            Why::Refused(error) if tells_nothing(error) => Effect::Unknown,
            Why::Refused(_) => Effect::NoEffect,
            Why::NoAnswer(_) => Effect::Unknown,
        }
    }

    /// The class of the error that it becomes.
    pub fn kind(&self) -> ErrorKind {
        match &self.0.why {
            Why::Failed(error) => error.kind(),
            Why::Refused(error)
                if self.0.call.acts && tells_nothing(error) && error.code != TIMEOUT =>
            {
                ErrorKind::OutcomeUnknown
            }
            Why::Refused(error) => kind(error),
            Why::NoAnswer(_) if self.0.call.acts => ErrorKind::OutcomeUnknown,
            Why::NoAnswer(_) => ErrorKind::Protocol,
        }
    }

    /// Whether the server has no such method: its module is not loaded.
    pub fn is_unknown_method(&self) -> bool {
        self.refused().is_some_and(is_unknown_method)
    }

    /// The same as the error of the public operation.
    ///
    /// | refusal | kind |
    /// |---|---|
    /// | -32601, `Method Not Found` | [`ErrorKind::Unsupported`] |
    /// | -32602, -32600, -32700, 400, `Invalid parameters` | [`ErrorKind::InvalidRequest`] |
    /// | 401 | [`ErrorKind::Authentication`] |
    /// | 403 | [`ErrorKind::PermissionDenied`] |
    /// | 404, 481, a text with `not found` | [`ErrorKind::NotFound`] |
    /// | 408 | [`ErrorKind::Timeout`]: the server asked somebody who did not answer |
    /// | -32603, -32000 without `Failed to handle parameter`, for a call that acts | [`ErrorKind::OutcomeUnknown`]: the server lost its answer |
    /// | any other | [`ErrorKind::Rejected`] |
    ///
    /// Code and text of the server are the native ones. A status of HTTP without an answer has the
    /// kind of [`refusal`], but for 404 ([`ErrorKind::Protocol`]) and 400
    /// ([`ErrorKind::InvalidRequest`], or [`ErrorKind::Protocol`] where its body was cut). What is no answer
    /// is [`ErrorKind::Protocol`], or [`ErrorKind::OutcomeUnknown`] for a call that acts.
    pub fn into_error(self) -> Error {
        let (kind, effect) = (self.kind(), self.effect());
        let Inner { call, why, status } = *self.0;
        match why {
            Why::Failed(error) => error,
            Why::Refused(refused) => Error::new(kind, call.operation, words(kind))
                .with_effect(effect)
                .with_native(Some(refused.code.to_string()), text(refused)),
            Why::NoAnswer(error) => {
                let message = if call.acts {
                    "the request was sent and what came back tells nothing of it"
                } else {
                    "what the server answered is no answer"
                };
                Error::new(kind, call.operation, message)
                    .with_effect(effect)
                    .with_native(status.map(|status| status.to_string()), None)
                    .with_source(error)
            }
        }
    }

    fn what(&self) -> String {
        match &self.0.why {
            Why::Refused(error) => error.to_string(),
            Why::NoAnswer(error) => error.to_string(),
            Why::Failed(error) => error.message().to_owned(),
        }
    }
}

impl From<RpcFailure> for Error {
    fn from(failure: RpcFailure) -> Self {
        failure.into_error()
    }
}

/// Whether an answer has a body that did not come whole.
fn is_cut(response: &HttpResponse) -> bool {
    let announced = || {
        let length = response.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.trim().parse::<u64>().ok());
        length.is_some_and(|length| length > 0)
    };
    !response.complete && (!response.body.is_empty() || announced())
}

/// The server's words, with what it adds to them.
fn text(error: RpcError) -> Option<String> {
    let mut text = error.message;
    let data = match error.data {
        Some(serde_json::Value::String(data)) => Some(data),
        Some(data) => Some(data.to_string()),
        None => None,
    };
    if let Some(data) = data {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&data);
    }
    (!text.is_empty()).then_some(text)
}

/// The other side of the server did not answer in time.
const TIMEOUT: i64 = 408;

/// Whether a refusal leaves open what became of a call that acts. OpenSIPS says -32000 `Command handler
/// returned null` for each command that gives no reply, also for one that was carried out and whose
/// reply could not be built (`handle_mi_request` in `mi/mi.c`); `Failed to handle parameter` comes before
/// the command does anything (`mi/item.c`; `01_jsonrpc_errors`). -32603 is an internal error (JSON-RPC 2.0
/// section 5.1).
fn tells_nothing(error: &RpcError) -> bool {
    let before_it_ran = || {
        let data = error.data.as_ref().and_then(serde_json::Value::as_str);
        data.is_some_and(|data| data.starts_with("Failed to handle parameter"))
    };
    match error.code {
        TIMEOUT | -32603 => true,
        -32000 => !before_it_ran(),
        _ => false,
    }
}

fn is_unknown_method(error: &RpcError) -> bool {
    error.code == -32601 || error.message.eq_ignore_ascii_case("method not found")
}

/// The class of a refusal. The texts for "not there" differ, so that the code decides and the text
/// only where Kamailio has one code for everything (`01_jsonrpc_errors`, `usrloc`).
fn kind(error: &RpcError) -> ErrorKind {
    if is_unknown_method(error) {
        return ErrorKind::Unsupported;
    }
    let says = |what: &str| error.message.to_ascii_lowercase().contains(what);
    match error.code {
        -32602 | -32600 | -32700 | 400 => ErrorKind::InvalidRequest,
        401 => ErrorKind::Authentication,
        403 => ErrorKind::PermissionDenied,
        404 | 481 => ErrorKind::NotFound,
        TIMEOUT => ErrorKind::Timeout,
        _ if says("not found") => ErrorKind::NotFound,
        _ if says("invalid parameters") => ErrorKind::InvalidRequest,
        _ => ErrorKind::Rejected,
    }
}

fn words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unsupported => "the server has no such method: is its module loaded?",
        ErrorKind::InvalidRequest => "the server refused the parameters",
        ErrorKind::Authentication => "the server refused our credentials",
        ErrorKind::PermissionDenied => "the server does not allow this",
        ErrorKind::NotFound => "the server does not know it",
        ErrorKind::Timeout => "the server had no answer from the other side",
        ErrorKind::OutcomeUnknown => "the server took the request and lost its answer",
        _ => "the server refused",
    }
}
