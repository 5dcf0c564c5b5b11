//! Why a link is not up, and what became of a request.

use std::{error::Error as StdError, io, sync::Arc};

use faxbot_core::{Effect, Error, ErrorKind};

use crate::protocol::session::CloseReason;

/// Why a connection could not be made, or ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The transport could not be opened (name, route, refused).
    #[error("cannot connect")]
    Connect(#[source] Arc<io::Error>),
    /// The transport was not open within its connect timeout.
    #[error("no connection within the connect timeout")]
    ConnectTimeout,
    /// TLS failed: a certificate, a name, a version.
    #[error("tls handshake failed")]
    Tls(#[source] Arc<io::Error>),
    /// Connected, but login and set-up were not over within the connect timeout.
    #[error("login and set-up took longer than the connect timeout")]
    SetupTimeout,
    /// The adapter's set-up on the new connection failed, or was dropped.
    #[error("set-up of the connection failed")]
    Setup(#[source] Option<Error>),
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Ended,
    /// Reading or writing failed.
    #[error("the connection broke")]
    Io(#[source] Arc<io::Error>),
    /// The peer took no byte for the write stall timeout.
    #[error("the peer does not read")]
    WriteStalled,
    /// The peer's bytes are not the protocol.
    #[error("the peer's bytes are not the protocol")]
    Codec(#[source] Arc<dyn StdError + Send + Sync>),
    /// The session asked for the end.
    #[error("{0}")]
    Session(CloseReason),
    /// The adapter's pump took no event for the pump stall timeout, or is gone. Events were not
    /// dropped: the connection was.
    #[error("events are not taken")]
    PumpStalled,
    /// Closed by us.
    #[error("closed")]
    Closed,
}

impl LinkError {
    /// The error of a connect that failed for this reason. Nothing that was asked for happened.
    pub fn into_error(self, operation: &'static str) -> Error {
        if let Self::Setup(Some(error)) = self {
            return error;
        }
        let kind = match &self {
            Self::Connect(_) | Self::Setup(_) | Self::Ended => ErrorKind::NotConnected,
            Self::ConnectTimeout | Self::SetupTimeout | Self::WriteStalled => ErrorKind::Timeout,
            Self::Tls(_) | Self::Codec(_) => ErrorKind::Protocol,
            Self::Io(_) => ErrorKind::Io,
            Self::Session(reason) => match reason {
                CloseReason::Refused => ErrorKind::Authentication,
                CloseReason::Busy | CloseReason::Goodbye => ErrorKind::ServerBusy,
                CloseReason::Violation(_) => ErrorKind::Protocol,
                CloseReason::Silent => ErrorKind::Timeout,
            },
            Self::PumpStalled => ErrorKind::Overloaded,
            Self::Closed => ErrorKind::Closed,
        };
        let message = self.to_string();
        let error = Error::new(kind, operation, message).with_effect(Effect::NoEffect);
        match self {
            Self::Connect(source) | Self::Tls(source) | Self::Io(source) => {
                error.with_source(Shared(source))
            }
            Self::Codec(source) => error.with_source(Shared(source)),
            _ => error,
        }
    }
}

/// An error behind an `Arc`, which does not implement `Error` itself for unsized targets.
#[derive(Debug)]
struct Shared<E: ?Sized>(Arc<E>);

impl<E: StdError + ?Sized> std::fmt::Display for Shared<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: StdError + ?Sized> StdError for Shared<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Why a request has no answer. [`effect`](Self::effect) says whether it may have happened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No connection, or its set-up is not over. Nothing was written.
    #[error("not connected")]
    NotConnected,
    /// The connection ended before a byte of the request was written.
    #[error("not sent")]
    NotSent(#[source] LinkError),
    /// The connection ended after a byte of the request was written and before its answer.
    #[error("the connection ended before the answer")]
    OutcomeUnknown(#[source] LinkError),
    /// No answer before the deadline.
    #[error("no answer before the deadline")]
    Deadline {
        /// Whether a byte of the request was, or still may be, written.
        written: bool,
    },
    /// No place before the deadline, or as many requests are open as the session allows.
    #[error("too many requests are waiting")]
    Full,
    /// The link was closed by us, or has given up.
    #[error("the link is closed")]
    Closed {
        /// Whether a byte of the request was written.
        written: bool,
    },
    /// The answer came and broke the protocol.
    #[error("the answer broke the protocol")]
    Garbled,
}

impl RequestError {
    /// Whether the request may have happened.
    pub fn effect(&self) -> Effect {
        match self {
            Self::NotConnected
            | Self::NotSent(_)
            | Self::Full
            | Self::Deadline { written: false }
            | Self::Closed { written: false } => Effect::NoEffect,
            Self::OutcomeUnknown(_)
            | Self::Garbled
            | Self::Deadline { written: true }
            | Self::Closed { written: true } => Effect::Unknown,
        }
    }

    /// The same as the error of the public operation.
    ///
    /// Deadline is `Timeout`, [`Full`](Self::Full) `Overloaded`, [`Garbled`](Self::Garbled)
    /// `Protocol`, [`NotSent`](Self::NotSent) `NotConnected`; the others have the kind of their
    /// name. The effect is [`effect`](Self::effect).
    pub fn into_error(self, operation: &'static str) -> Error {
        let kind = match &self {
            Self::NotConnected | Self::NotSent(_) => ErrorKind::NotConnected,
            Self::OutcomeUnknown(_) => ErrorKind::OutcomeUnknown,
            Self::Deadline { .. } => ErrorKind::Timeout,
            Self::Full => ErrorKind::Overloaded,
            Self::Closed { .. } => ErrorKind::Closed,
            Self::Garbled => ErrorKind::Protocol,
        };
        let error = Error::new(kind, operation, self.to_string()).with_effect(self.effect());
        match self {
            Self::NotSent(source) | Self::OutcomeUnknown(source) => error.with_source(source),
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_error_keeps_its_effect_and_only_certain_ones_are_retryable() {
        let cut = LinkError::Ended;
        let table = [
            (
                RequestError::NotConnected,
                ErrorKind::NotConnected,
                Effect::NoEffect,
                true,
            ),
            (
                RequestError::NotSent(cut.clone()),
                ErrorKind::NotConnected,
                Effect::NoEffect,
                true,
            ),
            (
                RequestError::OutcomeUnknown(cut),
                ErrorKind::OutcomeUnknown,
                Effect::Unknown,
                false,
            ),
            (
                RequestError::Deadline { written: false },
                ErrorKind::Timeout,
                Effect::NoEffect,
                true,
            ),
            (
                RequestError::Deadline { written: true },
                ErrorKind::Timeout,
                Effect::Unknown,
                false,
            ),
            (
                RequestError::Full,
                ErrorKind::Overloaded,
                Effect::NoEffect,
                true,
            ),
            (
                RequestError::Closed { written: false },
                ErrorKind::Closed,
                Effect::NoEffect,
                false,
            ),
            (
                RequestError::Closed { written: true },
                ErrorKind::Closed,
                Effect::Unknown,
                false,
            ),
            (
                RequestError::Garbled,
                ErrorKind::Protocol,
                Effect::Unknown,
                false,
            ),
        ];
        for (error, kind, effect, retryable) in table {
            let public = error.clone().into_error("make_call");
            assert_eq!(
                (public.kind(), public.effect(), public.is_retryable()),
                (kind, effect, retryable),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_connect_that_failed_had_no_effect_and_says_why() {
        let refused = || Arc::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        let table = [
            (LinkError::Connect(refused()), ErrorKind::NotConnected),
            (LinkError::ConnectTimeout, ErrorKind::Timeout),
            (LinkError::Tls(refused()), ErrorKind::Protocol),
            (LinkError::SetupTimeout, ErrorKind::Timeout),
            (LinkError::Setup(None), ErrorKind::NotConnected),
            (LinkError::Ended, ErrorKind::NotConnected),
            (LinkError::Io(refused()), ErrorKind::Io),
            (LinkError::WriteStalled, ErrorKind::Timeout),
            (
                LinkError::Session(CloseReason::Refused),
                ErrorKind::Authentication,
            ),
            (LinkError::Session(CloseReason::Busy), ErrorKind::ServerBusy),
            (
                LinkError::Session(CloseReason::Goodbye),
                ErrorKind::ServerBusy,
            ),
            (
                LinkError::Session(CloseReason::Violation("x")),
                ErrorKind::Protocol,
            ),
            (LinkError::Session(CloseReason::Silent), ErrorKind::Timeout),
            (LinkError::PumpStalled, ErrorKind::Overloaded),
            (LinkError::Closed, ErrorKind::Closed),
        ];
        for (reason, kind) in table {
            let error = reason.clone().into_error("connect");
            assert_eq!(
                (error.kind(), error.effect()),
                (kind, Effect::NoEffect),
                "{reason:?}"
            );
        }
    }
}
