//! [`SipAdapter`]: one SIP server, driven.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::{
    Error, Result,
    config::ConfigErrors,
    event::EventStream,
    fax::{FaxCall, FaxRequest, TakenFax},
    id::CallRef,
    message::MessageResult,
    plugin::Page,
    sip::{
        AcceptAs, AdapterKind, Call, CallRecord, CallRequest, CallStatus, Capabilities,
        ConferenceRequest, ConnectionState, Drained, DtmfRequest, HangupOutcome, Health,
        HistoryQuery, Lookup, RecordRequest, RejectCause, SipEvent, SipMessage, Snapshot,
        SupportedVersions, TransferRequest,
    },
};

/// How events reach an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventPath {
    /// The server sends them as they happen.
    Push,
    /// The adapter asks this often; changes shorter than that are not seen.
    Polling(Duration),
    /// There are none.
    None,
}

/// The connection of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// Where it is.
    pub state: ConnectionState,
    /// How events come.
    pub events: EventPath,
}

impl Connection {
    /// State and event path.
    pub fn new(state: ConnectionState, events: EventPath) -> Self {
        Self { state, events }
    }
}

/// One SIP server: place, follow and end calls, send faxes and messages.
///
/// # Contract
/// - [`capabilities`](Self::capabilities) is the one public answer to "can I call this?". A
///   declared capability never answers `Unsupported`; an undeclared one always does, before a byte
///   is sent. The conformance suite of `faxbot-testkit` checks both ways.
/// - Requests are checked before they are queued: what the protocol cannot carry is
///   `InvalidRequest`, and the connection survives.
/// - A request that was written and not answered ends in an error with
///   [`Effect::Unknown`](crate::Effect): ask with [`lookup`](Self::lookup), never repeat it. An
///   adapter never repeats a request and never redials.
/// - Methods may be called from many tasks at once; answers do not mix.
///
/// # Events and truth
/// Events are notification, never the only truth: a slow subscriber loses some and is told how
/// many. Outcomes are awaited (`Call::ended`, `FaxCall::result`) or looked up.
///
/// # Cancellation
/// Dropping a future never undoes a request that was written; its place stays taken until the
/// answer or the deadline. Dropping a [`Call`] or a [`FaxCall`] hangs up nothing.
///
/// # Wrappers
/// A type that wraps another adapter forwards *every* method, the defaulted ones too, and says so
/// to the compiler with `#[deny(clippy::missing_trait_methods)]`: otherwise a method that joins
/// this trait later would answer `Unsupported` through the wrapper only.
#[async_trait]
pub trait SipAdapter: Send + Sync {
    /// The kind of the server.
    fn kind(&self) -> AdapterKind;

    /// What versions of server and protocol it is made for and tested against.
    fn supported_versions(&self) -> SupportedVersions;

    /// What can be asked of it now.
    fn capabilities(&self) -> Capabilities;

    /// Checks a configuration without using it.
    ///
    /// # Errors
    /// Every problem at once, each with its path and what would be right.
    fn validate_config(&self, config: &Value) -> Result<(), ConfigErrors>;

    /// Returns when logged in, booted and subscribed. From then on the connection is kept: lost
    /// ones are made again by the configured policy.
    ///
    /// # Errors
    /// `InvalidState` when connected or connecting; `Authentication` for refused credentials;
    /// `Timeout` after `connect_timeout` (15 s by default); `Io` when nobody listens, `NoRuntime`
    /// outside of tokio.
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt and leaves the adapter disconnected.
    async fn connect(&self) -> Result<()>;

    /// Stops the intake, waits up to `within` for open answers, logs off and joins its tasks.
    /// Calls are left alone unless the configuration has `hangup_on_close`. A second call, or one
    /// without a connection, answers an empty [`Drained`].
    ///
    /// # Errors
    /// None at present; the result leaves room for adapters that must report one.
    ///
    /// # Cancel safety
    /// Dropping the future stops the intake; tasks then end with the adapter's handle.
    async fn disconnect(&self, within: Duration) -> Result<Drained>;

    /// State of the connection and how events come.
    fn connection(&self) -> Connection;

    /// Places a call. Resolves when the server took the request; the call is followed by the
    /// handle. The same id again while that call lives is refused (`InvalidState`); the id of a call
    /// that ended is not kept from being dialled again: ask [`lookup`](Self::lookup) before.
    ///
    /// # Errors
    /// `Unsupported` for a variant that is not declared; `InvalidRequest`; `NotConnected`;
    /// `Rejected` with the server's words; `OutcomeUnknown` when it was written and nobody answered.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: `lookup` by the id of the request tells.
    async fn make_call(&self, request: CallRequest) -> Result<Call>;

    /// Ends a call.
    ///
    /// # Errors
    /// `NotFound` for a call that the server does not know, never success.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn hangup(&self, call: &CallRef) -> Result<HangupOutcome>;

    /// The state of a call that is up, or was up as far as this adapter remembers.
    ///
    /// # Errors
    /// `NotFound` for a call that is not known here.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn get_status(&self, call: &CallRef) -> Result<CallStatus>;

    /// What became of a call, from our books, the server's channels and what the server kept for
    /// us; also for calls of an earlier process.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout` and their like when the server could not be asked.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn lookup(&self, call: &CallRef) -> Result<Lookup>;

    /// The caller has stored the outcome: what the server keeps of this call for us may go. A call
    /// without traces is no error.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout` and their like; call again later, or leave it to the sweep after
    /// 7 days.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    async fn release(&self, call: &CallRef) -> Result<()>;

    /// The health of the adapter, with one round trip to the server when connected.
    ///
    /// # Errors
    /// None at present: a server that does not answer is `critical`, not an error.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn health_check(&self) -> Result<Health>;

    /// Events from now on.
    fn subscribe(&self) -> EventStream<SipEvent>;

    /// Everything that is up, with the number of the last event that it contains.
    fn snapshot(&self) -> Snapshot;

    /// Accepts an incoming call. The first decision wins; a second one is `InvalidState`.
    ///
    /// # Errors
    /// `Unsupported` without `Incoming` (`ReceiveFax` for a fax); `NotFound`; `InvalidState`.
    ///
    /// # Cancel safety
    /// A decision that was written stands.
    async fn accept(&self, call: &CallRef, accept_as: AcceptAs) -> Result<()> {
        let _ = (call, accept_as);
        Err(Error::unsupported("accept"))
    }

    /// Refuses an incoming call.
    ///
    /// # Errors
    /// `Unsupported` without `Incoming`; `NotFound`; `InvalidState` after a decision.
    ///
    /// # Cancel safety
    /// A decision that was written stands.
    async fn reject(&self, call: &CallRef, cause: RejectCause) -> Result<()> {
        let _ = (call, cause);
        Err(Error::unsupported("reject"))
    }

    /// What a call that was accepted as a fax brought: waits for its end and hands the pages over.
    /// That happens once: they belong to the caller from then on, also those of a fax that broke off.
    /// Pages that nobody took are kept across a restart of this process, so this can be asked again
    /// by the id of the call.
    ///
    /// # Errors
    /// `Unsupported` without `ReceiveFax`; `NotFound` for a call that was not accepted as a fax, or
    /// whose pages were taken; `OutcomeUnknown` or `Closed` when it can no longer be followed.
    ///
    /// # Cancel safety
    /// Nothing is handed over by a future that was dropped; call again.
    async fn take_fax(&self, call: &CallRef) -> Result<TakenFax> {
        let _ = call;
        Err(Error::unsupported("take_fax"))
    }

    /// Transfers a call.
    ///
    /// # Errors
    /// `Unsupported` without `TransferBlind` or `TransferAttended`; `NotFound`; `InvalidState`.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn transfer(&self, request: TransferRequest) -> Result<()> {
        let _ = request;
        Err(Error::unsupported("transfer"))
    }

    /// Holds a call. A held one again is `InvalidState`.
    ///
    /// # Errors
    /// `Unsupported` without `Hold`; `NotFound`; `InvalidState`.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn hold(&self, call: &CallRef) -> Result<()> {
        let _ = call;
        Err(Error::unsupported("hold"))
    }

    /// Resumes a held call. One that is not held is `InvalidState`.
    ///
    /// # Errors
    /// `Unsupported` without `Hold`; `NotFound`; `InvalidState`.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn resume(&self, call: &CallRef) -> Result<()> {
        let _ = call;
        Err(Error::unsupported("resume"))
    }

    /// Acts on a conference.
    ///
    /// # Errors
    /// `Unsupported` without `Conference`; `NotFound` for a call or member that is not there.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn conference(&self, request: ConferenceRequest) -> Result<()> {
        let _ = request;
        Err(Error::unsupported("conference"))
    }

    /// Starts or stops the recording of a call.
    ///
    /// # Errors
    /// `Unsupported` without `Record`; `NotFound`; `InvalidState` when it runs, or does not,
    /// already.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    async fn record(&self, request: RecordRequest) -> Result<()> {
        let _ = request;
        Err(Error::unsupported("record"))
    }

    /// Sends digits into a call.
    ///
    /// # Errors
    /// `Unsupported` without `SendDtmf`; `NotFound`; `InvalidRequest` for other characters.
    ///
    /// # Cancel safety
    /// Digits that were written are sent; the rest is not.
    async fn send_dtmf(&self, request: DtmfRequest) -> Result<()> {
        let _ = request;
        Err(Error::unsupported("send_dtmf"))
    }

    /// Calls that this adapter saw, newest first.
    ///
    /// # Errors
    /// `Unsupported` without `CallHistory`; `InvalidRequest` for a cursor that is not ours.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn get_call_history(&self, query: HistoryQuery) -> Result<Page<CallRecord>> {
        let _ = query;
        Err(Error::unsupported("get_call_history"))
    }

    /// The server's own record of a call.
    ///
    /// # Errors
    /// `Unsupported` without `Cdr`; `NotFound`.
    ///
    /// # Cancel safety
    /// Only reads.
    async fn get_cdr(&self, call: &CallRef) -> Result<CallRecord> {
        let _ = call;
        Err(Error::unsupported("get_cdr"))
    }

    /// Sends a message over SIP.
    ///
    /// # Errors
    /// `Unsupported` without `SendMessage`; `InvalidRequest`; `Rejected`.
    ///
    /// # Cancel safety
    /// A message that was written is not undone.
    async fn send_message(&self, message: SipMessage) -> Result<MessageResult> {
        let _ = message;
        Err(Error::unsupported("send_message"))
    }

    /// Sends a fax. Resolves when the server took the request; the fax is followed by the handle.
    /// The same id again while that fax lives is refused (`InvalidState`); the id of a fax that ended is
    /// not kept from being sent again: ask [`lookup`](Self::lookup) before.
    ///
    /// # Errors
    /// As [`make_call`](Self::make_call); `Unsupported` without `SendFax`, and for a later
    /// [`first_page`](FaxRequest::first_page) without `FaxFirstPage`; `InvalidRequest` for one that is
    /// not there; `Document` for pages that the server cannot send; `Config` when the server cannot see our files.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: `lookup` by the id of the request tells.
    async fn send_fax(&self, request: FaxRequest) -> Result<FaxCall> {
        let _ = request;
        Err(Error::unsupported("send_fax"))
    }
}
