//! What is called, and what may be repeated of it.

use http::StatusCode;

use super::super::HttpRequest;
use crate::{Effect, Error, ErrorKind};

/// One call of an API: a request, and whether it has an effect at the vendor. `Debug` shows of the
/// request what its own `Debug` shows: no path, value or body.
#[derive(Debug, Clone)]
pub struct ApiCall {
    pub(super) operation: &'static str,
    pub(super) request: HttpRequest,
    pub(super) acts: bool,
    pub(super) repeats: bool,
}

impl ApiCall {
    /// A call without any effect: it may be repeated after a time-out, a cut link, and the answers
    /// 408, 429, 500, 502, 503 and 504. `operation` is the public method that it is for.
    pub fn read(operation: &'static str, request: HttpRequest) -> Self {
        Self {
            operation,
            request,
            acts: false,
            repeats: true,
        }
    }

    /// A call that has an effect: it is repeated only if the vendor certainly did not take it, which
    /// is when there was no connection, after 429, and once after 401 with another token or with the
    /// response to the challenge of [`Auth::Digest`](super::super::Auth::Digest).
    pub fn act(operation: &'static str, request: HttpRequest) -> Self {
        Self {
            acts: true,
            ..Self::read(operation, request)
        }
    }

    /// Sends it once, whatever happens. A request that a server only answered with a challenge of
    /// [`Auth::Digest`](super::super::Auth::Digest) is not counted: it is the first half of logging
    /// in.
    #[must_use]
    pub fn without_repeats(mut self) -> Self {
        self.repeats = false;
        self
    }

    /// Whether this status permits to send the call again.
    pub(super) fn may_repeat(&self, status: StatusCode) -> bool {
        match status.as_u16() {
            _ if !self.repeats => false,
            429 => true,
            // 408 too: some servers answer so on a connection that they are about to close.
            408 | 500 | 502 | 503 | 504 => !self.acts,
            _ => false,
        }
    }

    /// What an error of the exchange means for this call.
    pub(super) fn transport(&self, error: Error) -> Error {
        if error.effect() == Effect::NoEffect {
            error.with_operation(self.operation)
        } else if self.acts {
            let message = "the request was sent and no answer tells what became of it";
            let native = error.native_code().map(str::to_owned);
            Error::new(ErrorKind::OutcomeUnknown, self.operation, message)
                .with_native(native, None)
                .with_source(error)
        } else {
            error
                .with_operation(self.operation)
                .with_effect(Effect::NoEffect)
        }
    }
}
