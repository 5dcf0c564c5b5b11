//! The one error of every public trait: what went wrong, whether it may have had an effect, and
//! the words of the server behind it.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use crate::{
    config::ConfigErrors,
    id::{CallId, JobId},
    redact,
};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Could the request have happened at the other end?
///
/// This is one of two questions that are kept apart: whether a fax is dialled again is
/// [`crate::fax::RetryDecision`]. There is no third answer, so that a match on it may be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Certainly not: nothing was written, or the server refused before it acted.
    NoEffect,
    /// It may have: the request was written and no answer says otherwise.
    Unknown,
}

/// The class of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is wrong; [`Error::config_errors`] has every problem.
    Config,
    /// An argument of the call is wrong: a number, an id, a value that the protocol cannot carry.
    InvalidRequest,
    /// The adapter or plugin does not offer this; nothing was sent.
    Unsupported,
    /// Not possible in this state: connect while connected, a second decision on one call.
    InvalidState,
    /// The call, job, channel or document is not known.
    NotFound,
    /// The server refused our credentials.
    Authentication,
    /// The account may not do this.
    PermissionDenied,
    /// No connection, and nothing was written.
    NotConnected,
    /// The handle was disconnected, or the server closed for good.
    Closed,
    /// No answer within the deadline.
    Timeout,
    /// A queue, a table or the server is full; later it may fit.
    Overloaded,
    /// The server is starting or stopping and takes no requests now.
    ServerBusy,
    /// The server understood and refused.
    Rejected,
    /// The server broke the protocol.
    Protocol,
    /// Reading or writing a socket or a file failed.
    Io,
    /// The document cannot be faxed; [`Error::document_reason`] says why.
    Document,
    /// Written, and nobody can say whether it happened. Never retryable: ask with `lookup`.
    OutcomeUnknown,
    /// Cancelled by the caller.
    Cancelled,
    /// No tokio runtime is running in this thread.
    NoRuntime,
    /// A fault of this library.
    Internal,
}

/// Why a document cannot be faxed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DocumentReason {
    /// Not a format that is read here.
    UnknownFormat,
    /// The file is damaged or contradicts itself.
    Damaged,
    /// A password is needed.
    Encrypted,
    /// No page in it.
    Empty,
    /// More pages, pixels or bytes than the limits allow.
    TooLarge,
    /// Conversion took longer than its limit.
    Timeout,
    /// Valid, but outside of what a fax can carry (width, resolution, encoding).
    Unsuitable,
}

/// An error of any operation of the SDK. Cheap to clone; never persisted.
///
/// Its texts hold no phone number, file name or secret; the server's own words are in
/// [`native_code`](Self::native_code) and [`native_text`](Self::native_text), which the display
/// form leaves out for that reason.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    effect: Effect,
    operation: &'static str,
    message: String,
    call_id: Option<CallId>,
    job_id: Option<JobId>,
    message_id: Option<String>,
    native_code: Option<String>,
    native_text: Option<String>,
    retry_after: Option<Duration>,
    document: Option<DocumentReason>,
    config: Option<ConfigErrors>,
    source: Option<Arc<dyn StdError + Send + Sync + 'static>>,
}

impl Error {
    /// An error of `kind` in `operation` (the public method's name), with a text that is lower
    /// case, without a full stop, and without personal data. The effect follows from the kind
    /// ([`ErrorKind::default_effect`]) until [`with_effect`](Self::with_effect) says otherwise.
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            effect: kind.default_effect(),
            operation,
            message: message.into(),
            call_id: None,
            job_id: None,
            message_id: None,
            native_code: None,
            native_text: None,
            retry_after: None,
            document: None,
            config: None,
            source: None,
        }))
    }

    /// The operation is not offered; nothing was sent.
    pub fn unsupported(operation: &'static str) -> Self {
        Self::new(
            ErrorKind::Unsupported,
            operation,
            "not supported by this adapter or plugin",
        )
    }

    /// A document that cannot be faxed, and why.
    pub fn document(
        operation: &'static str,
        reason: DocumentReason,
        message: impl Into<String>,
    ) -> Self {
        let mut error = Self::new(ErrorKind::Document, operation, message);
        error.0.document = Some(reason);
        error
    }

    /// Names another public operation, for work that several of them share.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = operation;
        self
    }

    /// Sets whether the request may have happened.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Names the call that the error belongs to.
    #[must_use]
    pub fn with_call_id(mut self, id: CallId) -> Self {
        self.0.call_id = Some(id);
        self
    }

    /// Names the fax job that the error belongs to.
    #[must_use]
    pub fn with_job_id(mut self, id: JobId) -> Self {
        self.0.job_id = Some(id);
        self
    }

    /// Names the message that the error belongs to.
    #[must_use]
    pub fn with_message_id(mut self, id: impl Into<String>) -> Self {
        self.0.message_id = Some(id.into());
        self
    }

    /// Keeps the server's own code and text, verbatim.
    #[must_use]
    pub fn with_native(mut self, code: Option<String>, text: Option<String>) -> Self {
        self.0.native_code = code;
        self.0.native_text = text;
        self
    }

    /// How long the server asked us to wait.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// The error underneath, available by [`std::error::Error::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The class.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the request may have happened at the other end.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// The public operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// What happened, without personal data.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The call, where there is one: ask for it with `lookup`.
    pub fn call_id(&self) -> Option<CallId> {
        self.0.call_id
    }

    /// The fax job, where there is one.
    pub fn job_id(&self) -> Option<&JobId> {
        self.0.job_id.as_ref()
    }

    /// The message, where there is one: ask for it with `get_message_status`.
    pub fn message_id(&self) -> Option<&str> {
        self.0.message_id.as_deref()
    }

    /// The server's code, verbatim (a SIP status, a `FAXERROR`, a vendor's number). `Debug` shows what
    /// looks like a code ([`redact::code`]).
    pub fn native_code(&self) -> Option<&str> {
        self.0.native_code.as_deref()
    }

    /// The server's text, verbatim. It may hold personal data: do not log it.
    pub fn native_text(&self) -> Option<&str> {
        self.0.native_text.as_deref()
    }

    /// How long the server asked us to wait before another try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Why the document cannot be faxed; only for [`ErrorKind::Document`].
    pub fn document_reason(&self) -> Option<DocumentReason> {
        self.0.document
    }

    /// Every problem of the configuration; only for [`ErrorKind::Config`].
    pub fn config_errors(&self) -> Option<&ConfigErrors> {
        self.0.config.as_ref()
    }

    /// Certainly had no effect, and the same call may succeed later.
    ///
    /// This says nothing about dialling a fax again: see [`crate::fax::RetryDecision`].
    pub fn is_retryable(&self) -> bool {
        self.0.effect == Effect::NoEffect && self.0.kind.may_pass()
    }
}

impl ErrorKind {
    /// The effect that an error of this kind has unless its maker knows better.
    ///
    /// `Timeout`, `Closed`, `Io`, `Protocol`, `Internal` and `OutcomeUnknown` come after bytes may
    /// have left, so they are [`Effect::Unknown`]; the others are decided before anything is sent
    /// or by a refusal.
    pub fn default_effect(self) -> Effect {
        match self {
            Self::Config
            | Self::InvalidRequest
            | Self::Unsupported
            | Self::InvalidState
            | Self::NotFound
            | Self::Authentication
            | Self::PermissionDenied
            | Self::NotConnected
            | Self::Overloaded
            | Self::ServerBusy
            | Self::Rejected
            | Self::Document
            | Self::Cancelled
            | Self::NoRuntime => Effect::NoEffect,
            Self::Closed
            | Self::Timeout
            | Self::Protocol
            | Self::Io
            | Self::OutcomeUnknown
            | Self::Internal => Effect::Unknown,
        }
    }

    /// Whether the same call may succeed later, given that it had no effect.
    fn may_pass(self) -> bool {
        match self {
            Self::NotConnected | Self::Timeout | Self::Overloaded | Self::ServerBusy | Self::Io => {
                true
            }
            Self::Config
            | Self::InvalidRequest
            | Self::Unsupported
            | Self::InvalidState
            | Self::NotFound
            | Self::Authentication
            | Self::PermissionDenied
            | Self::Closed
            | Self::Rejected
            | Self::Protocol
            | Self::Document
            | Self::OutcomeUnknown
            | Self::Cancelled
            | Self::NoRuntime
            | Self::Internal => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind)
            .field("effect", &self.0.effect)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message);
        if let Some(id) = &self.0.call_id {
            out.field("call_id", id);
        }
        if let Some(id) = &self.0.job_id {
            out.field("job_id", id);
        }
        if let Some(id) = &self.0.message_id {
            out.field("message_id", id);
        }
        if let Some(code) = &self.0.native_code {
            out.field("native_code", &redact::code(code));
        }
        if let Some(reason) = &self.0.document {
            out.field("document", reason);
        }
        if let Some(config) = &self.0.config {
            out.field("config", config);
        }
        if let Some(source) = &self.0.source {
            out.field("source", &format_args!("{source}"));
        }
        out.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<ConfigErrors> for Error {
    fn from(errors: ConfigErrors) -> Self {
        let mut error = Self::new(ErrorKind::Config, "validate_config", errors.to_string());
        error.0.config = Some(errors);
        error
    }
}
