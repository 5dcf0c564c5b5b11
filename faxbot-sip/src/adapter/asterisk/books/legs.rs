//! A call of several channels: what it was placed as, the parties that the server calls for it, and
//! how their dials end. Sans-IO.

use std::{collections::HashSet, time::Instant};

use faxbot_core::{
    id::CallId,
    sip::{CallPlan, CallRequest, CallState, Causes, Disposition, OnAnswer, SipEvent},
};

use super::super::outcome::{Leg, Report};
use super::{
    Books, UNSURE,
    line::{Line, LiveChannel, hangup_causes, shutdown_causes},
};
use crate::{adapter::calls::Now, protocol::ami::Message};

/// How many channels beside our own a call has at most at one time. More are not followed.
pub(crate) const MAX_PARTNERS: usize = 64;

/// What a call was placed as, as far as it decides when it counts as answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Plan {
    /// One party: answered with our own channel.
    #[default]
    Single,
    /// One party that is then bridged to another: answered with our own channel.
    Bridge,
    /// Two parties: answered when the second one answers.
    Connect,
    /// It came to us.
    Incoming,
}

impl Plan {
    pub(crate) fn of(request: &CallRequest) -> Self {
        match &request.plan {
            CallPlan::Connect { .. } => Self::Connect,
            CallPlan::Dial {
                on_answer: OnAnswer::Bridge(_),
                ..
            } => Self::Bridge,
            _ => Self::Single,
        }
    }
}

/// A channel that the server made for a call.
#[derive(Debug, Clone)]
pub(crate) struct Partner {
    pub(crate) uniqueid: String,
    pub(crate) channel: String,
    /// The bridge that it is in.
    pub(crate) bridge: Option<String>,
    /// Since when we know of it.
    since: Instant,
}

/// How a `Dial` of our channel ended: `DIALSTATUS`, and `DialStatus` of `DialEnd`.
///
/// The variable is the better word: for an address that does not exist `DialEnd` says `NOANSWER`, and
/// for an endpoint that does not exist there is none (observed on Asterisk 16.28 and 22.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DialStatus {
    Answer,
    Busy,
    NoAnswer,
    Congestion,
    Unavailable,
    /// Our channel ended first.
    Cancel,
    /// `DONTCALL`, `TORTURE` and what else there may be.
    Other,
}

impl DialStatus {
    /// `None` for the empty word, which the variable has while `Dial` runs.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "" => return None,
            "ANSWER" => Self::Answer,
            "BUSY" => Self::Busy,
            "NOANSWER" => Self::NoAnswer,
            "CONGESTION" => Self::Congestion,
            "CHANUNAVAIL" => Self::Unavailable,
            "CANCEL" => Self::Cancel,
            _ => Self::Other,
        })
    }

    /// The Q.850 cause that says the same, where no channel said one.
    pub(crate) fn causes(self) -> Causes {
        match self {
            Self::Busy => Causes::new().with_q850(17),
            Self::NoAnswer => Causes::new().with_q850(19),
            Self::Congestion => Causes::new().with_q850(34),
            Self::Unavailable => Causes::new().with_q850(3),
            Self::Answer | Self::Cancel | Self::Other => Causes::new(),
        }
    }
}

/// What is known of the second party of a call.
#[derive(Debug, Default)]
pub(crate) struct Second {
    /// The first one picked up.
    pub(crate) first_up: bool,
    /// How the last `Dial` of our channel ended; `None` while none did.
    pub(crate) dial: Option<DialStatus>,
    /// It answered once.
    pub(crate) answered: bool,
    /// What the `Hangup` of a party said that did not answer.
    causes: Option<Causes>,
}

impl Line {
    /// Why the second party was not reached: by its own `Hangup`, by ours, which carries the same
    /// cause, by the handler, and by the word of `Dial`, which alone tells of a ring time-out (observed
    /// on Asterisk 16.28 and 22.10).
    pub(crate) fn second_causes(&self, report: Option<&Report>) -> Causes {
        let stored = report.map(Report::causes);
        let said = [
            self.second.causes.as_ref(),
            self.hangup.as_ref(),
            stored.as_ref(),
        ];
        if let Some(causes) = said
            .into_iter()
            .flatten()
            .find(|causes| causes.class().is_some())
        {
            return causes.clone();
        }
        let status = report.and_then(|report| report.dial).or(self.second.dial);
        let word = status.map(DialStatus::causes).unwrap_or_default();
        if word.is_empty() {
            self.causes(report)
        } else {
            word
        }
    }

    /// Why the call ended, by all that was told of it.
    pub(crate) fn final_causes(&self, answered: bool, report: Option<&Report>) -> Causes {
        if self.second_failed(answered, report) && !self.shut_down {
            return self.second_causes(report);
        }
        let causes = self.causes(report);
        if self.shut_down && causes.class().is_none() {
            shutdown_causes()
        } else {
            causes
        }
    }

    /// Whether a second party was called for the call, and was not reached.
    fn second_failed(&self, answered: bool, report: Option<&Report>) -> bool {
        let reached = self.second.answered
            || report.is_some_and(|report| report.dial == Some(DialStatus::Answer));
        match self.plan {
            Plan::Connect => !answered && !reached,
            Plan::Bridge => answered && !reached,
            Plan::Single | Plan::Incoming => false,
        }
    }

    /// The word for the end of a connected call whose second party did not answer, where no cause
    /// has it: the first one hung up while the second rang.
    pub(crate) fn disposition(&self, causes: &Causes) -> Option<Disposition> {
        if self.plan == Plan::Incoming {
            // The caller gave up, or nobody decided in time: it was missed.
            return Some(Disposition::NoAnswer);
        }
        let left = self.plan == Plan::Connect && self.second.first_up && causes.class().is_none();
        left.then_some(Disposition::NoAnswer)
    }

    /// The `Uniqueid` of the party that our channel is bridged with.
    pub(crate) fn bridged_with(&self) -> Option<&str> {
        let bridge = self.bridge.as_ref()?;
        self.partners
            .iter()
            .find(|partner| partner.bridge.as_ref() == Some(bridge))
            .map(|partner| partner.uniqueid.as_str())
    }
}

impl Books {
    /// A channel that is not ours by its `Uniqueid`: a party that the server calls for one of our
    /// calls has that call's `Linkedid`.
    ///
    /// Only as it begins. A channel gets the `Linkedid` of whatever it is bridged with later, also of a
    /// call that it is no part of (observed on Asterisk 16.28 and 22.10).
    pub(crate) fn new_partner(
        &mut self,
        uniqueid: &str,
        event: &Message,
        now: Now,
    ) -> Vec<SipEvent> {
        let text = |header: &str| event.get_str(header).unwrap_or_default();
        if let Some(Leg::Own(id)) = self.leg(&text("Linkedid")) {
            self.join(id, uniqueid, &text("Channel"), now);
        }
        Vec::new()
    }

    fn join(&mut self, id: CallId, uniqueid: &str, channel: &str, now: Now) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if uniqueid.is_empty() || channel.is_empty() {
            return;
        }
        if line.partners.len() >= MAX_PARTNERS {
            tracing::debug!(call_id = %id, "asterisk: a call has more channels than are followed");
            return;
        }
        line.partners.push(Partner {
            uniqueid: uniqueid.to_owned(),
            channel: channel.to_owned(),
            bridge: None,
            since: now.instant,
        });
        self.by_uniqueid
            .insert(uniqueid.to_owned(), Leg::Partner(id));
        self.calls.name(id, uniqueid);
        self.calls.name(id, channel);
    }

    fn part(&mut self, id: CallId, uniqueid: &str) {
        self.by_uniqueid.remove(uniqueid);
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let gone = line.partners.iter().position(|it| it.uniqueid == uniqueid);
        if let Some(partner) = gone.map(|at| line.partners.swap_remove(at)) {
            self.calls.unname(id, &partner.uniqueid);
            self.calls.unname(id, &partner.channel);
        }
    }

    /// An event of a party that the server called for the call.
    pub(crate) fn partner_event(
        &mut self,
        id: CallId,
        uniqueid: &str,
        event: &Message,
        now: Now,
    ) -> Vec<SipEvent> {
        match event.event().map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"newstate")
                if event.get_str("ChannelStateDesc").as_deref() == Some("Ringing") =>
            {
                self.second_rings(id, now)
            }
            Some(b"bridgeenter" | b"bridgeleave") => {
                let bridge = bridge_of(event);
                if let Some(partner) = self.partner(id, uniqueid) {
                    partner.bridge = bridge;
                }
                self.together(id, now)
            }
            Some(b"hangup") => {
                let causes = hangup_causes(event);
                if let Some(line) = self.lines.get_mut(&id)
                    && !line.second.answered
                    && causes.class().is_some()
                {
                    line.second.causes = Some(causes);
                }
                self.part(id, uniqueid);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn partner(&mut self, id: CallId, uniqueid: &str) -> Option<&mut Partner> {
        let line = self.lines.get_mut(&id)?;
        line.partners.iter_mut().find(|it| it.uniqueid == uniqueid)
    }

    /// Our channel entered or left a bridge.
    pub(crate) fn bridge_event(&mut self, id: CallId, event: &Message, now: Now) -> Vec<SipEvent> {
        if let Some(line) = self.lines.get_mut(&id) {
            line.bridge = bridge_of(event);
        }
        self.together(id, now)
    }

    /// Our channel and a party of the call in one bridge: it answered, also where the account reads
    /// no event that says so.
    fn together(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let line = self.lines.get(&id);
        if line.is_some_and(|line| line.bridged_with().is_some()) {
            self.second_answers(id, now)
        } else {
            Vec::new()
        }
    }

    /// The server calls a party for our channel. The events of our own Originate have no channel of
    /// ours but as the one that is called, and do not come here.
    pub(crate) fn dial_event(&mut self, id: CallId, event: &Message, now: Now) -> Vec<SipEvent> {
        let word = event.get_str("DialStatus").unwrap_or_default();
        if event.is_event("DialEnd") {
            self.dial_ended(id, &word, now)
        } else if word == "RINGING" {
            self.second_rings(id, now)
        } else {
            // `PROGRESS` is early media (183), and no answer.
            Vec::new()
        }
    }

    /// A `Dial` of our channel ended, or began anew where the word is empty.
    pub(crate) fn dial_ended(&mut self, id: CallId, word: &str, now: Now) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.second.dial = DialStatus::parse(word);
        if line.second.dial == Some(DialStatus::Answer) {
            self.second_answers(id, now)
        } else {
            Vec::new()
        }
    }

    fn second_rings(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let waits = matches!(
            self.calls.state(id),
            Some(CallState::Created | CallState::Dialing)
        );
        if self.plan(id) != Plan::Connect || !waits {
            return Vec::new();
        }
        let mut out = self.catch_up(id, now);
        out.extend(self.advance(id, CallState::Ringing, now));
        out
    }

    fn second_answers(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        line.second.answered = true;
        line.second.causes = None;
        let waits = matches!(
            self.calls.state(id),
            Some(CallState::Created | CallState::Dialing | CallState::Ringing)
        );
        if self.plan(id) != Plan::Connect || !waits {
            return Vec::new();
        }
        let mut out = self.catch_up(id, now);
        out.extend(self.advance(id, CallState::Connected, now));
        out
    }

    /// What our channel's being up says of its call: for [`Plan::Connect`] only that the first party
    /// picked up. In a bridge with the second one it talks; the list of channels shows that too.
    pub(crate) fn up_means(&mut self, id: CallId, bridged: bool) -> CallState {
        let state = self.calls.state(id);
        let Some(line) = self.lines.get_mut(&id) else {
            return CallState::Connected;
        };
        line.second.first_up = true;
        line.second.answered |= bridged;
        if line.plan != Plan::Connect {
            return CallState::Connected;
        }
        match state {
            _ if line.second.answered => CallState::Connected,
            Some(CallState::Created) | None => CallState::Dialing,
            Some(state) => state,
        }
    }

    pub(crate) fn plan(&self, id: CallId) -> Plan {
        self.lines
            .get(&id)
            .map(|line| line.plan)
            .unwrap_or_default()
    }

    /// The parties of calls in the list of the server's channels: new ones join, and of the calls
    /// `asked` those leave that are not in it.
    pub(crate) fn partners_in(&mut self, list: &[LiveChannel], asked: &[CallId], now: Now) {
        for channel in list {
            let bridge = (!channel.bridge.is_empty()).then(|| channel.bridge.clone());
            match self.leg(&channel.uniqueid) {
                Some(Leg::Own(id)) => {
                    if let Some(line) = self.lines.get_mut(&id) {
                        line.bridge = bridge;
                    }
                    continue;
                }
                Some(_) => {}
                None => {
                    if let Some(Leg::Own(id)) = self.leg(&channel.linkedid) {
                        self.join(id, &channel.uniqueid, &channel.name, now);
                    }
                }
            }
            if let Some(Leg::Partner(id)) = self.leg(&channel.uniqueid)
                && let Some(partner) = self.partner(id, &channel.uniqueid)
            {
                partner.bridge = bridge;
            }
        }
        let there: HashSet<&str> = list.iter().map(|it| it.uniqueid.as_str()).collect();
        for &id in asked {
            let Some(line) = self.lines.get(&id).filter(|line| !line.partners.is_empty()) else {
                continue;
            };
            let gone = |partner: &&Partner| {
                // One that began while the list was made is not in it.
                now.instant.saturating_duration_since(partner.since) >= UNSURE
                    && !there.contains(partner.uniqueid.as_str())
            };
            let gone: Vec<_> = line.partners.iter().filter(gone).cloned().collect();
            for partner in gone {
                self.part(id, &partner.uniqueid);
            }
        }
    }
}

/// The bridge that a `BridgeEnter` or `BridgeLeave` leaves the channel in.
fn bridge_of(event: &Message) -> Option<String> {
    event
        .is_event("BridgeEnter")
        .then(|| event.get_str("BridgeUniqueid"))
        .flatten()
        .map(std::borrow::Cow::into_owned)
}
