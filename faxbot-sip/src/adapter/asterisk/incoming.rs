//! Calls that come to us: they wait in `AGI(agi:async)` for a decision.

use faxbot_core::{
    Error, Result,
    id::{CallId, CallRef},
    sip::{AcceptAs, IncomingCall, RejectCause, SipEvent},
};

use super::{books::Books, core::Core, server::Server};
use crate::{adapter::calls::Now, protocol::ami::Message};

/// An incoming call, as long as nobody decided on it and after.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: IncomingCall,
    pub(super) decided: bool,
}

impl Books {
    /// A channel entered `AGI(agi:async)`.
    pub(super) fn agi_start(&mut self, _event: &Message, _now: Now) -> Vec<SipEvent> {
        Vec::new()
    }

    /// A command of ours was carried out.
    pub(super) fn agi_exec(&mut self, _id: CallId, _event: &Message, _now: Now) -> Vec<SipEvent> {
        Vec::new()
    }

    /// The channel left `AGI(agi:async)`.
    pub(super) fn agi_end(&mut self, _id: CallId, _event: &Message, _now: Now) -> Vec<SipEvent> {
        Vec::new()
    }

    /// Incoming calls that wait for a decision.
    pub(super) fn waiting(&self) -> Vec<IncomingCall> {
        let waiting = self
            .lines
            .values()
            .filter_map(|line| line.incoming.as_ref());
        waiting
            .filter(|waiting| !waiting.decided)
            .map(|waiting| waiting.call.clone())
            .collect()
    }
}

/// Asks what an incoming call brings, and tells of it.
pub(super) async fn announce(_core: &Core, _server: &Server, _id: CallId) {}

/// Rejects a call that nobody decided on in time.
pub(super) async fn overdue(_core: &Core, _server: &Server, _id: CallId) {}

pub(super) async fn accept(
    _core: &Core,
    _server: Server,
    _call: &CallRef,
    _accept_as: AcceptAs,
) -> Result<()> {
    Err(Error::unsupported("accept"))
}

pub(super) async fn reject(
    _core: &Core,
    _server: Server,
    _call: &CallRef,
    _cause: RejectCause,
) -> Result<()> {
    Err(Error::unsupported("reject"))
}
