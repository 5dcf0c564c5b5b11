//! What the server shows of one of our calls beside its state. Sans-IO.

use std::time::{Duration, Instant};

use faxbot_core::{Error, ErrorKind, Private, Timestamp, id::CallId, sip::Causes};

use super::{
    answer::OnceAnswered,
    books::UNSURE,
    dtmf::Turn,
    fax::Fax,
    legs::{Partner, Plan, Second},
    media::Holders,
    moves::Control,
    outcome::Report,
    record::Recordings,
};
use crate::{adapter::incoming::Waiting, protocol::ami::Message};

/// What the server shows of one of our calls beside its state.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The `Uniqueid` of our leg.
    pub(super) uniqueid: String,
    pub(super) plan: Plan,
    pub(super) on_answer: OnceAnswered,
    /// Channels that the server made for the call.
    pub(super) partners: Vec<Partner>,
    pub(super) second: Second,
    /// The bridge that our leg is in.
    pub(super) bridge: Option<String>,
    /// The server hung it up because it goes down.
    pub(super) shut_down: bool,
    /// The server was restarted while the call was up. When it was last known to be.
    pub(super) restarted: Option<Timestamp>,
    pub(super) incoming: Option<Waiting>,
    /// Whether the hangup handler of an incoming call is there; `None` when only the channel itself
    /// knows.
    pub(super) prepared: Option<bool>,
    pub(super) control: Control,
    pub(super) recordings: Recordings,
    pub(super) dtmf: Turn,
    pub(super) holders: Holders,
    /// The channel of our leg, once there is one.
    pub(super) channel: Option<String>,
    /// What the `Hangup` of our leg said.
    pub(super) hangup: Option<Causes>,
    /// What the `Hangup` of the other leg of a Local channel said: one leg says 0, the other why.
    pub(super) peer: Option<Causes>,
    /// The reason of a failed `OriginateResponse`.
    pub(super) reason: Option<u16>,
    pub(super) fax: Option<Fax>,
    /// When the server is asked if no event came until then.
    pub(super) check_at: Option<Instant>,
    pub(super) ring_timeout: Duration,
    /// When its request was handed to the connection; before, the server cannot know it.
    pub(super) requested: Option<Instant>,
    /// The server said that it took the request.
    pub(super) taken: bool,
    /// A hang-up is owed: it is sent when the channel is there.
    pub(super) cancel: bool,
    pub(super) hung_up_by_us: bool,
    pub(super) settling: bool,
}

/// A call or fax as it is requested.
#[derive(Debug)]
pub(super) struct NewLine {
    pub(super) id: CallId,
    pub(super) to: Private,
    pub(super) from: Option<Private>,
    pub(super) ring_timeout: Duration,
    pub(super) plan: Plan,
    pub(super) on_answer: OnceAnswered,
}

/// A live channel of the server's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LiveChannel {
    pub(super) name: String,
    pub(super) uniqueid: String,
    pub(super) state: String,
    pub(super) linkedid: String,
    pub(super) context: String,
    pub(super) exten: String,
    pub(super) priority: String,
    pub(super) application: String,
    /// What the application was given.
    pub(super) data: String,
    pub(super) caller: String,
    /// The bridge that it is in; empty outside of one.
    pub(super) bridge: String,
    /// How long it is up.
    pub(super) age: Duration,
}

impl Line {
    /// Whether a request that was just written may have its channel still to come; `None` for one
    /// that is not written.
    pub(super) fn may_still_come(&self, now: Instant) -> Option<bool> {
        let age = now.saturating_duration_since(self.requested?);
        let of_this_run = self.restarted.is_none();
        Some(of_this_run && self.channel.is_none() && self.reason.is_none() && age < UNSURE)
    }

    /// Whether its channel is there, as far as was told.
    pub(super) fn is_there(&self) -> bool {
        self.hangup.is_none() && !self.settling
    }

    /// When the server is asked for it; never again once its end is being read.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.check_at.filter(|_| !self.settling)
    }

    /// When an incoming call is rejected that nobody decided on.
    pub(super) fn decision_due_at(&self) -> Option<Instant> {
        let waiting = self.incoming.as_ref()?;
        waiting
            .due_at()
            .filter(|_| self.hangup.is_none() && !self.settling)
    }

    /// Whether that is now. Asked again later if it cannot be done now.
    pub(super) fn is_overdue(&mut self, now: Instant) -> bool {
        let overdue = self.decision_due_at().is_some_and(|at| at <= now);
        if overdue && let Some(waiting) = &mut self.incoming {
            waiting.is_overdue(now + UNSURE);
        }
        overdue
    }

    /// Whether nothing that is on its way can say more about a call that was not answered.
    pub(super) fn tells_why(&self) -> bool {
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
    pub(super) fn causes(&self, report: Option<&Report>) -> Causes {
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
pub(super) fn shutdown_causes() -> Causes {
    Causes::new()
        .with_q850(41)
        .with_native("the server was shut down")
}

/// 0 says nothing: a normal hang-up is often 0 on the wire.
fn tells(causes: &Causes) -> bool {
    causes.sip_status.is_some() || causes.q850.is_some_and(|cause| cause != 0)
}

/// `Cause` is Q.850; `TechCause` has the SIP status on Asterisk 22 and is absent on 16.
pub(super) fn hangup_causes(event: &Message) -> Causes {
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
pub(super) fn lost(id: CallId) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        "call",
        "the call is gone from the server and left no outcome",
    )
    .with_call_id(id)
}
