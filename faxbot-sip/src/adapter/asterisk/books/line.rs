//! What the server shows of one of our calls beside its state. Sans-IO.

use std::time::{Duration, Instant};

use faxbot_core::{Error, ErrorKind, Private, Timestamp, id::CallId, sip::Causes};

use super::super::{answer::OnceAnswered, control::record::Recordings, outcome::Report};
use super::{
    UNSURE,
    fax::Fax,
    legs::{Partner, Plan, Second},
    media::Holders,
    moves::Control,
};
use crate::{
    adapter::{digits::Turn, incoming::Waiting},
    protocol::ami::Message,
};

/// What the server shows of one of our calls beside its state.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// The `Uniqueid` of our leg.
    pub(crate) uniqueid: String,
    pub(crate) plan: Plan,
    pub(crate) on_answer: OnceAnswered,
    /// Channels that the server made for the call.
    pub(crate) partners: Vec<Partner>,
    pub(crate) second: Second,
    /// The bridge that our leg is in.
    pub(crate) bridge: Option<String>,
    /// The server hung it up because it goes down.
    pub(crate) shut_down: bool,
    /// The server was restarted while the call was up. When it was last known to be.
    pub(crate) restarted: Option<Timestamp>,
    pub(crate) incoming: Option<Waiting>,
    /// Whether the hangup handler of an incoming call is there; `None` when only the channel itself
    /// knows.
    pub(crate) prepared: Option<bool>,
    pub(crate) control: Control,
    pub(crate) recordings: Recordings,
    pub(crate) dtmf: Turn,
    pub(crate) holders: Holders,
    /// The channel of our leg, once there is one.
    pub(crate) channel: Option<String>,
    /// When the server said that our leg ends. Its hangup handlers come after that, `Hangup` after
    /// them.
    pub(crate) ending: Option<Instant>,
    /// What the `Hangup` of our leg said.
    pub(crate) hangup: Option<Causes>,
    /// What the `Hangup` of the other leg of a Local channel said: one leg says 0, the other why.
    pub(crate) peer: Option<Causes>,
    /// The reason of a failed `OriginateResponse`.
    pub(crate) reason: Option<u16>,
    pub(crate) fax: Option<Fax>,
    /// When the server is asked if no event came until then.
    pub(crate) check_at: Option<Instant>,
    pub(crate) ring_timeout: Duration,
    /// When its request was handed to the connection; before, the server cannot know it.
    pub(crate) requested: Option<Instant>,
    /// The server said that it took the request.
    pub(crate) taken: bool,
    /// A hang-up is owed: it is sent when the channel is there.
    pub(crate) cancel: bool,
    pub(crate) hung_up_by_us: bool,
    pub(crate) settling: bool,
}

/// A call or fax as it is requested.
#[derive(Debug)]
pub(crate) struct NewLine {
    pub(crate) id: CallId,
    pub(crate) to: Private,
    pub(crate) from: Option<Private>,
    pub(crate) ring_timeout: Duration,
    pub(crate) plan: Plan,
    pub(crate) on_answer: OnceAnswered,
}

/// A live channel of the server's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LiveChannel {
    pub(crate) name: String,
    pub(crate) uniqueid: String,
    pub(crate) state: String,
    pub(crate) linkedid: String,
    pub(crate) context: String,
    pub(crate) exten: String,
    pub(crate) priority: String,
    pub(crate) application: String,
    /// What the application was given.
    pub(crate) data: String,
    pub(crate) caller: String,
    /// The bridge that it is in; empty outside of one.
    pub(crate) bridge: String,
    /// How long it is up.
    pub(crate) age: Duration,
}

impl Line {
    /// Whether a request that was just written may have its channel still to come; `None` for one
    /// that is not written.
    pub(crate) fn may_still_come(&self, now: Instant) -> Option<bool> {
        let age = now.saturating_duration_since(self.requested?);
        let of_this_run = self.restarted.is_none();
        Some(of_this_run && self.channel.is_none() && self.reason.is_none() && age < UNSURE)
    }

    /// Whether its channel is there, as far as was told.
    pub(crate) fn is_there(&self) -> bool {
        self.hangup.is_none() && !self.settling
    }

    /// When the server is asked for it; never again once its end is being read.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.check_at.filter(|_| !self.settling)
    }

    /// When an incoming call is rejected that nobody decided on.
    pub(crate) fn decision_due_at(&self) -> Option<Instant> {
        let waiting = self.incoming.as_ref()?;
        waiting
            .due_at()
            .filter(|_| self.hangup.is_none() && !self.settling)
    }

    /// Whether that is now. Asked again later if it cannot be done now.
    pub(crate) fn is_overdue(&mut self, now: Instant) -> bool {
        let overdue = self.decision_due_at().is_some_and(|at| at <= now);
        if overdue && let Some(waiting) = &mut self.incoming {
            waiting.is_overdue(now + UNSURE);
        }
        overdue
    }

    /// Whether nothing that is on its way can say more about a call that was not answered.
    pub(crate) fn tells_why(&self) -> bool {
        if self.second.first_up || self.shut_down {
            // The Originate is over, and what the dial of the second party came to was told before.
            return true;
        }
        let said = [self.hangup.as_ref(), self.peer.as_ref()];
        said.into_iter().flatten().any(tells)
            || match self.reason {
                Some(3 | 5 | 8) => true,
                Some(_) => self.peer.is_some() || !self.is_local(),
                None => false,
            }
    }

    fn is_local(&self) -> bool {
        let name = self.channel.as_deref().unwrap_or_default();
        name.starts_with("Local/")
    }

    /// The cause that tells most: of our leg, of the other leg, of the handler, of the reason.
    pub(crate) fn causes(&self, report: Option<&Report>) -> Causes {
        let stored = report.map(Report::causes);
        let known = [self.hangup.as_ref(), self.peer.as_ref(), stored.as_ref()];
        if let Some(causes) = known.into_iter().flatten().find(|causes| tells(causes)) {
            return causes.clone();
        }
        match self.reason {
            // `OriginateResponse` has control codes of Asterisk: 3 no answer, 5 busy, 8 congestion
            // (`03_originate_busy` and its siblings). The Q.850 causes are those of the same events.
            Some(3) => Causes::new().with_q850(19),
            Some(5) => Causes::new().with_q850(17),
            Some(8) => Causes::new().with_q850(34),
            _ => self.hangup.clone().unwrap_or_default(),
        }
    }
}

/// Why a call ended that was up when the server went down: the class of a failure of the
/// network that passes (Q.850, 41: temporary failure), in words of ours.
pub(crate) fn shutdown_causes() -> Causes {
    Causes::new()
        .with_q850(41)
        .with_native("the server was shut down")
}

/// 0 says nothing: a normal hang-up is often 0 on the wire.
fn tells(causes: &Causes) -> bool {
    causes.sip_status.is_some() || causes.q850.is_some_and(|cause| cause != 0)
}

/// `Cause` is Q.850; `TechCause` has the SIP status on Asterisk 22 and is absent on 16.
pub(crate) fn hangup_causes(event: &Message) -> Causes {
    let mut causes = Causes::new();
    if let Some(cause) = event.get_str("Cause").and_then(|cause| cause.parse().ok()) {
        causes = causes.with_q850(cause);
    }
    if let Some(status) = event.get_str("TechCause").as_deref().and_then(sip_status) {
        causes = causes.with_sip_status(status);
    }
    match event.get_str("Cause-txt") {
        Some(text) if !text.is_empty() => causes.with_native(text.into_owned()),
        _ => causes,
    }
}

/// `TechCause: SIP 486 Busy Here`: the first number of three digits.
fn sip_status(text: &str) -> Option<u16> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| digits.len() == 3)
        .find_map(|digits| {
            digits
                .parse()
                .ok()
                .filter(|status| (300..700).contains(status))
        })
}

/// The error of a call that ended while nobody saw how.
pub(crate) fn lost(id: CallId) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        "call",
        "the call is gone from the server and left no outcome",
    )
    .with_call_id(id)
}
