//! Events of the manager to states of our calls. Sans-IO: the pump feeds events and time, and does
//! what [`Todo`] asks for.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    fax::{FaxPhase, FaxProgress, FaxUpdate},
    id::{CallId, CallRef},
    sip::{
        AdapterKind, CallRecord, CallState, CallStateChanged, CallStatus, CallUpdate, Causes,
        Direction, IllegalEdge, SipEvent,
    },
};
use tokio::sync::watch;

use super::{
    fax::FaxRun,
    outcome::{Leg, Report, channel_id, peer_id},
};
use crate::{
    adapter::calls::{Calls, Ending, NewCall, Now},
    protocol::ami::Message,
};

/// How long the second of `Hangup` and `OriginateResponse` may take after the first. They come in
/// either order (`04_pjsip_rejected_404`, `04_pjsip_rejected_486`), milliseconds apart.
const SECOND_EVENT: Duration = Duration::from_secs(3);

/// How long after its ring time-out a call that neither rings nor ends is asked for at the server.
const OVERDUE: Duration = Duration::from_secs(30);

/// How long a request whose fate is not known waits before the server is asked: an Originate in the
/// server's queue has made its channel by then.
const UNSURE: Duration = Duration::from_secs(5);

/// What the pump must do after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Todo {
    /// The call is over as far as events tell: read what its handler left, then [`Books::finish`].
    Settle(CallId),
    /// Nobody knows where the call is: ask the server.
    Check(CallId),
    /// A hang-up came before the channel: send it now.
    HangUp(CallId),
    /// The dialplan was reloaded: extensions of the run time are gone.
    Reloaded,
}

/// What the server shows of one of our calls beside its state.
#[derive(Debug, Default)]
struct Line {
    /// The channel of our leg, once there is one.
    channel: Option<String>,
    /// What the `Hangup` of our leg said.
    hangup: Option<Causes>,
    /// What the `Hangup` of the other leg of a Local channel said: one leg says 0, the other why.
    peer: Option<Causes>,
    /// The reason of a failed `OriginateResponse`.
    reason: Option<u16>,
    fax: Option<FaxRun>,
    /// When the server is asked if no event came until then.
    check_at: Option<Instant>,
    ring_timeout: Duration,
    cancel: bool,
    hung_up_by_us: bool,
    settling: bool,
}

/// A call or fax as it is requested.
#[derive(Debug)]
pub(super) struct NewLine {
    pub(super) id: CallId,
    pub(super) to: Private,
    pub(super) from: Option<Private>,
    pub(super) ring_timeout: Duration,
}

/// A live channel of the server's list.
#[derive(Debug, Clone)]
pub(super) struct LiveChannel {
    pub(super) name: String,
    pub(super) uniqueid: String,
    pub(super) state: String,
}

/// The books of one server.
#[derive(Debug)]
pub(super) struct Books {
    calls: Calls,
    lines: HashMap<CallId, Line>,
    todo: Vec<Todo>,
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            calls: Calls::new(AdapterKind::ASTERISK),
            lines: HashMap::new(),
            todo: Vec::new(),
        }
    }

    /// Enters a call before its request is written, so that no event of it is missed.
    pub(super) fn open(&mut self, new: NewLine, now: Now) -> Result<watch::Receiver<CallUpdate>> {
        let updates = self.calls.open(
            NewCall {
                id: new.id,
                direction: Direction::Outbound,
                state: CallState::Created,
                from: new.from,
                to: Some(new.to),
            },
            now,
        )?;
        self.calls.name(new.id, &channel_id(new.id));
        self.calls.name(new.id, &peer_id(new.id));
        let line = Line {
            ring_timeout: new.ring_timeout,
            check_at: Some(now.instant + new.ring_timeout + OVERDUE),
            ..Line::default()
        };
        self.lines.insert(new.id, line);
        Ok(updates)
    }

    /// Enters a fax.
    pub(super) fn open_fax(
        &mut self,
        new: NewLine,
        pages: u32,
        now: Now,
    ) -> Result<watch::Receiver<FaxUpdate>> {
        let id = new.id;
        self.open(new, now)?;
        let (run, updates) = FaxRun::new(pages);
        if let Some(line) = self.lines.get_mut(&id) {
            line.fax = Some(run);
        }
        Ok(updates)
    }

    /// The server took the request.
    pub(super) fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.advance(id, CallState::Dialing, now)
    }

    /// Nobody knows whether the request happened: the server is asked soon.
    pub(super) fn unsure(&mut self, id: CallId, now: Now) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.check_at = Some(now.instant + UNSURE);
        }
    }

    /// We hang up, or could not: the cause of the end that follows is ours or not.
    pub(super) fn hung_up_by_us(&mut self, id: CallId, by_us: bool) -> Vec<SipEvent> {
        if let Some(line) = self.lines.get_mut(&id) {
            line.hung_up_by_us = by_us;
        }
        Vec::new()
    }

    /// The server took our hang-up, or will.
    pub(super) fn hanging_up(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.calls.state(id) == Some(CallState::HangingUp) {
            return Vec::new();
        }
        self.advance(id, CallState::HangingUp, now)
    }

    /// The server knows no channel of the call: hang up as soon as it is there, and ask soon whether
    /// it is gone.
    pub(super) fn hang_up_when_there(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if let Some(line) = self.lines.get_mut(&id) {
            line.cancel = line.channel.is_none();
        }
        self.unsure(id, now);
        Vec::new()
    }

    /// Takes an event of the server.
    pub(super) fn event(&mut self, event: &Message, now: Now) -> Vec<SipEvent> {
        if event.is_event("Reload") {
            self.todo.push(Todo::Reloaded);
            return Vec::new();
        }
        let Some(leg) = event
            .get_str("Uniqueid")
            .and_then(|uniqueid| Leg::of(&uniqueid))
        else {
            return Vec::new();
        };
        match leg {
            Leg::Own(id) if self.lines.contains_key(&id) => self.own_event(id, event, now),
            Leg::Peer(id) => {
                if event.is_event("Hangup")
                    && let Some(line) = self.lines.get_mut(&id)
                {
                    line.peer = Some(hangup_causes(event));
                }
                Vec::new()
            }
            Leg::Own(_) => Vec::new(),
        }
    }

    fn own_event(&mut self, id: CallId, event: &Message, now: Now) -> Vec<SipEvent> {
        let text = |header: &str| event.get_str(header).unwrap_or_default();
        match event.event().map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"newchannel") => {
                self.channel(id, &text("Channel"));
                Vec::new()
            }
            Some(b"newstate") => self.channel_state(id, &text("ChannelStateDesc"), false, now),
            Some(b"varset") => {
                if let Some(fax) = self.fax(id) {
                    fax.variable(&text("Variable"), &text("Value"));
                }
                Vec::new()
            }
            // `FAX Transmission In Progress` comes before the machines have agreed on anything.
            Some(b"faxstatus") => {
                self.fax_event(id, |fax| fax.reach(FaxPhase::Negotiating, now.instant))
            }
            Some(b"sendfax") => self.fax_event(id, |fax| {
                fax.ended_event(event);
                false
            }),
            Some(b"originateresponse") => self.originate_response(id, event, now),
            Some(b"hangup") => {
                if let Some(line) = self.lines.get_mut(&id) {
                    line.hangup = Some(hangup_causes(event));
                }
                self.settle(id);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn originate_response(&mut self, id: CallId, event: &Message, now: Now) -> Vec<SipEvent> {
        let response = event.get_all("Response").next().unwrap_or_default();
        if response.eq_ignore_ascii_case(b"Success") {
            return self.channel_state(id, "Up", false, now);
        }
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.reason = event
            .get_str("Reason")
            .and_then(|reason| reason.parse().ok());
        if line.hangup.is_some() {
            self.settle(id);
        } else if line.channel.is_some() {
            // The cause is in the Hangup, which is on its way.
            line.check_at = Some(now.instant + SECOND_EVENT);
        } else {
            // No channel was made. Or our id is that of a call of an earlier process that lives: the
            // refusal names the living call, and is not its end.
            self.todo.push(Todo::Check(id));
        }
        Vec::new()
    }

    fn channel(&mut self, id: CallId, name: &str) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if line.channel.is_none() {
            line.channel = Some(name.to_owned());
            if line.cancel {
                self.todo.push(Todo::HangUp(id));
            }
        }
        self.calls.name(id, name);
    }

    /// The word of a channel's state as a state of its call; `seen` in a list, or in an event.
    fn channel_state(&mut self, id: CallId, word: &str, seen: bool, now: Now) -> Vec<SipEvent> {
        let next = match word {
            "Ringing" | "Ring" => CallState::Ringing,
            "Up" => CallState::Connected,
            "Down" | "Dialing" | "Rsrvd" => CallState::Dialing,
            _ => return Vec::new(),
        };
        if next == CallState::Connected
            && let Some(line) = self.lines.get_mut(&id)
        {
            line.check_at = None;
        }
        let phase = match next {
            CallState::Ringing => FaxPhase::Ringing,
            CallState::Connected => FaxPhase::Negotiating,
            _ => FaxPhase::Dialing,
        };
        let mut out = if seen {
            self.jump(id, next, now)
        } else {
            // The response to an Async Originate comes before the events of its call; a reply that
            // was lost is made up for here.
            let mut out = self.catch_up(id, now);
            let state = self.calls.state(id);
            let behind = state.is_some_and(|state| state == next || !state.can_become(next));
            // A repeated or late word of an earlier state says nothing new.
            if !behind {
                out.extend(self.advance(id, next, now));
            }
            out
        };
        out.extend(self.fax_event(id, |fax| fax.reach(phase, now.instant)));
        out
    }

    fn catch_up(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if self.calls.state(id) == Some(CallState::Created) {
            self.advance(id, CallState::Dialing, now)
        } else {
            Vec::new()
        }
    }

    /// Marks the call for [`Todo::Settle`], once.
    fn settle(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id)
            && !std::mem::replace(&mut line.settling, true)
        {
            line.check_at = None;
            self.todo.push(Todo::Settle(id));
        }
    }

    /// Ends a call with what its handler left, if it left something.
    pub(super) fn finish(
        &mut self,
        id: CallId,
        report: Option<&Report>,
        now: Now,
    ) -> Vec<SipEvent> {
        let Some(mut line) = self.lines.remove(&id) else {
            return Vec::new();
        };
        let causes = line.causes(report);
        let mut out = Vec::new();
        let events_tell = line.hangup.is_some() || line.reason.is_some();
        if report.is_none() && !events_tell && line.fax.is_none() {
            // It is gone, and nobody saw how.
            self.calls.lose(id, lost(id));
            return out;
        }
        let fax = line.fax.as_mut().map(|fax| {
            fax.end(
                report,
                &causes,
                line.hung_up_by_us,
                events_tell,
                now.instant,
            )
        });
        if let Some(outcome) = fax.clone() {
            out.push(SipEvent::FaxFinished { id, outcome });
        }
        if report.is_some_and(|report| report.answered) {
            // The answer was missed; the record must have it.
            let _ = self.calls.jump(id, CallState::Connected, now);
        }
        if let Some(change) = self.calls.end(
            id,
            Ending {
                by_us: line.hung_up_by_us,
                causes,
                fax,
            },
            now,
        ) {
            out.push(SipEvent::CallStateChanged(change));
        }
        out
    }

    /// Takes a call out of the books with an error for whoever waits.
    pub(super) fn lose(&mut self, id: CallId, error: Error) {
        if let Some(mut line) = self.lines.remove(&id)
            && let Some(fax) = &mut line.fax
        {
            fax.lose(error.clone());
        }
        self.calls.lose(id, error);
    }

    /// Every call of the books, for the end of a connection for good.
    pub(super) fn lose_all(&mut self, make: impl Fn(CallId) -> Error) -> usize {
        let all: Vec<CallId> = self.calls.live().collect();
        for &id in &all {
            self.lose(id, make(id));
        }
        all.len()
    }

    /// The connection was lost: what its events told is no longer the whole truth.
    pub(super) fn missed_events(&mut self) {
        for fax in self.lines.values_mut().filter_map(|line| line.fax.as_mut()) {
            fax.missed_events();
        }
    }

    /// The list of the server's channels, after a gap or for a check. Answers the events, and asks
    /// for the settling of calls of ours that are not in it.
    pub(super) fn channels(
        &mut self,
        list: &[LiveChannel],
        asked: &[CallId],
        now: Now,
    ) -> Vec<SipEvent> {
        let mut present = HashSet::new();
        let mut out = Vec::new();
        for channel in list {
            if let Some(Leg::Own(id)) = Leg::of(&channel.uniqueid)
                && self.lines.contains_key(&id)
            {
                present.insert(id);
                self.channel(id, &channel.name);
                out.extend(self.channel_state(id, &channel.state, true, now));
                if let Some(line) = self.lines.get_mut(&id)
                    && line.check_at.is_some_and(|at| at <= now.instant)
                {
                    line.check_at = Some(now.instant + line.ring_timeout + OVERDUE);
                }
            }
        }
        for &id in asked.iter().filter(|id| !present.contains(id)) {
            if self.may_still_come(id, now) {
                self.unsure(id, now);
            } else {
                self.settle(id);
            }
        }
        out
    }

    /// A request that was just written may not have its channel yet.
    fn may_still_come(&self, id: CallId, now: Now) -> bool {
        let unseen = self
            .lines
            .get(&id)
            .is_some_and(|line| line.channel.is_none() && line.reason.is_none());
        let age = self
            .calls
            .opened(id)
            .map(|opened| now.instant.saturating_duration_since(opened));
        unseen && age.is_some_and(|age| age < UNSURE)
    }

    /// Work for the pump; call after each input.
    pub(super) fn take_todo(&mut self) -> Vec<Todo> {
        std::mem::take(&mut self.todo)
    }

    /// When [`timeout`](Self::timeout) wants to be called.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.lines.values().filter_map(|line| line.check_at).min()
    }

    /// Asks for the check of what is overdue.
    pub(super) fn timeout(&mut self, now: Now) {
        let due: Vec<CallId> = self
            .lines
            .iter()
            .filter(|(_, line)| line.check_at.is_some_and(|at| at <= now.instant))
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            if let Some(line) = self.lines.get_mut(&id) {
                // Asked again later if the check itself fails.
                line.check_at = Some(now.instant + UNSURE);
            }
            self.todo.push(Todo::Check(id));
        }
        self.calls.sweep(now.instant);
    }

    /// The answer to `FAXSession` for the fax on this channel.
    pub(super) fn fax_session(&mut self, id: CallId, session: &Message, now: Now) -> Vec<SipEvent> {
        self.fax_event(id, |fax| fax.session(session, now.instant))
    }

    /// Faxes that were answered, by the name of their channel.
    pub(super) fn answered_faxes(&self) -> HashMap<String, CallId> {
        let running = |line: &Line| {
            line.fax
                .as_ref()
                .is_some_and(|fax| fax.progress().phase >= FaxPhase::Negotiating)
        };
        self.lines
            .iter()
            .filter(|(_, line)| running(line) && !line.settling)
            .filter_map(|(&id, line)| Some((line.channel.clone()?, id)))
            .collect()
    }

    /// Progress of every fax that runs.
    pub(super) fn faxes(&self) -> Vec<(CallId, FaxProgress)> {
        self.lines
            .iter()
            .filter_map(|(&id, line)| Some((id, line.fax.as_ref()?.progress())))
            .collect()
    }

    pub(super) fn is_fax(&self, id: CallId) -> bool {
        self.lines.get(&id).is_some_and(|line| line.fax.is_some())
    }

    pub(super) fn live(&self) -> Vec<CallId> {
        self.calls.live().collect()
    }

    pub(super) fn statuses(&self) -> Vec<CallStatus> {
        self.calls
            .live()
            .filter_map(|id| self.calls.status(id))
            .collect()
    }

    pub(super) fn find(&self, call: &CallRef) -> Option<CallId> {
        self.calls.find(call)
    }

    pub(super) fn status(&self, id: CallId) -> Option<CallStatus> {
        self.calls.status(id)
    }

    pub(super) fn record(&self, call: &CallRef) -> Option<CallRecord> {
        self.calls.record(call).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    fn fax(&mut self, id: CallId) -> Option<&mut FaxRun> {
        self.lines.get_mut(&id)?.fax.as_mut()
    }

    fn fax_event(&mut self, id: CallId, change: impl FnOnce(&mut FaxRun) -> bool) -> Vec<SipEvent> {
        let Some(fax) = self.fax(id) else {
            return Vec::new();
        };
        if change(fax) {
            vec![SipEvent::FaxProgress {
                id,
                progress: fax.progress(),
            }]
        } else {
            Vec::new()
        }
    }

    fn advance(&mut self, id: CallId, next: CallState, now: Now) -> Vec<SipEvent> {
        report(id, self.calls.advance(id, next, now))
    }

    fn jump(&mut self, id: CallId, seen: CallState, now: Now) -> Vec<SipEvent> {
        match self.calls.jump(id, seen, now) {
            // A list shows a moment that our events may have overtaken.
            Err(_) => Vec::new(),
            moved => report(id, moved),
        }
    }
}

impl Line {
    /// The cause that tells most: of our leg, of the other leg, of the handler, of the reason.
    fn causes(&self, report: Option<&Report>) -> Causes {
        let tells = |causes: &&Causes| {
            causes.sip_status.is_some() || causes.q850.is_some_and(|cause| cause != 0)
        };
        let stored = report.map(Report::causes);
        let known = [self.hangup.as_ref(), self.peer.as_ref(), stored.as_ref()];
        if let Some(causes) = known.into_iter().flatten().find(tells) {
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

fn report(id: CallId, moved: Result<Option<CallStateChanged>, IllegalEdge>) -> Vec<SipEvent> {
    match moved {
        Ok(change) => change.map(SipEvent::CallStateChanged).into_iter().collect(),
        Err(edge) => {
            let error = Error::new(ErrorKind::Protocol, "event", edge.to_string())
                .with_call_id(id)
                .with_effect(Effect::NoEffect);
            vec![SipEvent::AdapterError {
                severity: faxbot_core::sip::Severity::Warning,
                error,
            }]
        }
    }
}

/// `Cause` is Q.850; `TechCause` has the SIP status on Asterisk 22 and is absent on 16.
fn hangup_causes(event: &Message) -> Causes {
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
fn lost(id: CallId) -> Error {
    Error::new(
        ErrorKind::OutcomeUnknown,
        "call",
        "the call is gone from the server and left no outcome",
    )
    .with_call_id(id)
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
