//! A call of several channels: what it was placed as, the parties that the server calls for it, and
//! what begins with the answer. Sans-IO, but for the orders that follow an answer.

use std::time::Duration;

use faxbot_core::{
    id::CallId,
    sip::{CallOptions, CallPlan, CallRequest, SipEvent},
};

use super::{books::Books, core::Core, server::Server};
use crate::{adapter::calls::Now, protocol::ami::Message};

/// What a call was placed as, as far as it decides when it counts as answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Plan {
    /// One party: answered with our own channel.
    #[default]
    Single,
    /// Two parties: answered when the second one answers.
    Connect,
    /// It came to us.
    Incoming,
}

impl Plan {
    pub(super) fn of(request: &CallRequest) -> Self {
        match &request.plan {
            CallPlan::Connect { .. } => Self::Connect,
            _ => Self::Single,
        }
    }
}

/// What begins when the far end answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OnceAnswered {
    pub(super) record: bool,
    pub(super) max_duration: Option<Duration>,
}

impl OnceAnswered {
    pub(super) fn of(options: &CallOptions) -> Self {
        Self {
            record: options.record,
            max_duration: options.max_duration,
        }
    }
}

/// A channel that the server made for a call.
#[derive(Debug, Clone)]
pub(super) struct Partner {
    pub(super) uniqueid: String,
    pub(super) channel: String,
}

impl Books {
    /// A channel that is not ours by its `Uniqueid`: a party that the server calls for one of our
    /// calls has that call's `Linkedid`.
    pub(super) fn new_partner(
        &mut self,
        _uniqueid: &str,
        _event: &Message,
        _now: Now,
    ) -> Vec<SipEvent> {
        Vec::new()
    }

    /// An event of a party that the server called for the call.
    pub(super) fn partner_event(
        &mut self,
        _id: CallId,
        _uniqueid: &str,
        _event: &Message,
        _now: Now,
    ) -> Vec<SipEvent> {
        Vec::new()
    }

    /// Our channel entered or left a bridge.
    pub(super) fn bridge_event(
        &mut self,
        _id: CallId,
        _event: &Message,
        _now: Now,
    ) -> Vec<SipEvent> {
        Vec::new()
    }

    /// The server calls a party for our channel.
    pub(super) fn dial_event(&mut self, _id: CallId, _event: &Message, _now: Now) -> Vec<SipEvent> {
        Vec::new()
    }
}

/// The far end answered: starts what was asked for from then on.
pub(super) async fn once_answered(_core: &Core, _server: &Server, _id: CallId) {}
