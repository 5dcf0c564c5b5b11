//! Calls that come to us, as the books see them: they wait in `AGI(agi:async)` for a decision. Sans-IO;
//! what is decided on them is in [`decision`](super::decision).
//!
//! A call has the UUIDv5 of its channel's `Uniqueid`, so that another process finds the same id.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Private,
    id::CallId,
    sip::{CallState, Causes, Direction, IncomingCall, RejectCause, Severity, SipEvent},
};
use uuid::Uuid;

use super::{
    agi::{MAX_HEADERS, environment, is_known, private},
    books::{Books, OVERDUE, Todo},
    legs::Plan,
    line::{Line, LiveChannel},
    outcome::Leg,
};
use crate::{
    adapter::{
        calls::{NewCall, Now},
        hub::Book as _,
    },
    protocol::ami::Message,
};

/// Calls that may wait for a decision at a time: about 2 kB each. What is beyond is rejected as busy,
/// so that a flood of calls cannot take the memory.
const MAX_WAITING: usize = 1_000;

/// Channels that may wait for being rejected as busy. The limit of the dialplan ends what is beyond.
const MAX_REFUSED: usize = 1_000;

/// Namespace of the UUIDv5 of incoming calls, made once for this purpose; changing it would orphan the
/// outcomes of calls that are up.
const INCOMING: Uuid = Uuid::from_u128(0x6b1d_4c57_93d2_4e0a_a1c6_7e52_0f3b_9a44);

/// The id of an incoming call by the `Uniqueid` of its channel.
pub(super) fn call_id(uniqueid: &str) -> CallId {
    CallId::from_uuid(Uuid::new_v5(&INCOMING, uniqueid.as_bytes()))
}

/// Which channels are calls for us, and those that were too many.
#[derive(Debug, Default)]
pub(super) struct Door {
    /// The context whose calls wait for us; `None` when none do.
    pub(super) context: Option<String>,
    /// How long they wait.
    pub(super) deadline: Duration,
    /// The `Uniqueid`s of calls to be rejected as busy.
    refused: VecDeque<String>,
    /// It was told that there are too many.
    full: bool,
    /// Calls that were decided on, and that the last list shows in `AGI` all the same.
    back: HashSet<CallId>,
}

impl Door {
    /// The connection is over for good, and with it what was to be done there.
    pub(super) fn forget(&mut self) {
        self.refused.clear();
        self.back.clear();
        self.full = false;
    }
}

/// What an incoming call waits for, or was decided to be.
#[derive(Debug)]
pub(super) struct Waiting {
    call: IncomingCall,
    pub(super) stage: Stage,
    /// When it is rejected, or that is tried again.
    due: Instant,
    /// Its deadline is over.
    pub(super) overdue: bool,
    /// Subscribers know of it.
    pub(super) told: bool,
    /// It was found in a list, or comes for the second time: an earlier process may have prepared it.
    pub(super) late: bool,
    /// Whether its hangup handler is there; `None` when only the channel itself knows.
    prepared: Option<bool>,
    /// It left `AGI` while its decision was on its way.
    pub(super) left: bool,
    /// It was answered before it came to us.
    pub(super) answered: bool,
    /// How we rejected it; `None` stands for the deadline.
    pub(super) rejected: Option<RejectCause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody was told of it.
    New,
    /// Nobody decided.
    Open,
    /// Somebody decided; the order is on its way.
    Deciding,
    /// Nobody knows whether the order arrived.
    Unsure,
    /// The order was taken, or somebody else moved the channel.
    Decided,
}

/// A call as an event or a list shows it.
struct Arrival {
    uniqueid: String,
    channel: String,
    caller: String,
    called: String,
    state: String,
    headers: BTreeMap<String, Private>,
    late: bool,
    /// How long it is up.
    age: Duration,
}

/// What has to be known to announce a call.
#[derive(Debug, Clone)]
pub(super) struct News {
    pub(super) uniqueid: String,
    /// How long it waits from now on.
    pub(super) left: Duration,
    pub(super) late: bool,
    pub(super) prepared: Option<bool>,
}

impl LiveChannel {
    /// Whether a decision on the channel is waited for in this context.
    fn waits_in(&self, context: &str) -> bool {
        self.context == context
            && self.application.eq_ignore_ascii_case("AGI")
            && self.data.starts_with("agi:async")
    }
}

impl Waiting {
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Open)
    }

    /// When [`Todo::Overdue`] is wanted.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.is_undecided().then_some(self.due)
    }

    /// Its deadline is over; what cannot be done about it now is tried again.
    pub(super) fn is_overdue(&mut self, again: Instant) {
        self.overdue = true;
        self.due = again;
    }

    /// It waits for a decision, once more or still, until `due` at the least.
    pub(super) fn wait_again(&mut self, stage: Stage, due: Instant, now: Now) {
        (self.stage, self.rejected) = (stage, None);
        (self.overdue, self.left) = (false, false);
        self.due = self.due.max(due);
        self.call.deadline = now.wall + self.due.saturating_duration_since(now.instant);
    }

    /// The server took the order. It may have gone through the dialplan and be back already.
    pub(super) fn decided(&mut self) {
        if !self.is_undecided() {
            self.stage = Stage::Decided;
        }
    }

    /// The causes of a call that was not answered: what the caller was told by our decision.
    pub(super) fn causes(&self, causes: Causes) -> Causes {
        let (status, q850) = match self.rejected {
            Some(RejectCause::Busy) => (486, 17),
            Some(RejectCause::Unavailable) => (480, 19),
            Some(RejectCause::NotFound) => (404, 1),
            Some(_) => (603, 21),
            None => return causes,
        };
        Causes::new().with_sip_status(status).with_q850(q850)
    }
}

impl Books {
    /// A channel entered `AGI(agi:async)` (recording `11_asyncagi_incoming_accept`).
    pub(super) fn agi_start(&mut self, event: &Message, now: Now) -> Vec<SipEvent> {
        let text = |header: &str| event.get_str(header).unwrap_or_default().into_owned();
        if self.door.context.as_deref() != Some(text("Context").as_str()) {
            return Vec::new();
        }
        let mut headers = environment(&text("Env"));
        let name = text("CallerIDName");
        if is_known(&name) {
            headers.insert("agi_calleridname".to_owned(), private(&name));
        }
        self.arrive(
            Arrival {
                uniqueid: text("Uniqueid"),
                channel: text("Channel"),
                caller: text("CallerIDNum"),
                called: text("Exten"),
                state: text("ChannelStateDesc"),
                headers,
                late: false,
                age: Duration::ZERO,
            },
            now,
        )
    }

    /// Calls that wait in the list and that nobody was told of, and orders that did not arrive.
    pub(super) fn in_agi(&mut self, list: &[LiveChannel], now: Now) -> Vec<SipEvent> {
        let Some(context) = self.door.context.clone() else {
            return Vec::new();
        };
        let back = std::mem::take(&mut self.door.back);
        let mut out = Vec::new();
        for channel in list.iter().filter(|it| it.waits_in(&context)) {
            let id = call_id(&channel.uniqueid);
            let ending = self.is_ending(id);
            if let Some(waiting) = self.waiting_of(id) {
                match waiting.stage {
                    // The link was lost before it could be told of.
                    Stage::New => {
                        waiting.late = true;
                        self.todo.push(Todo::Announce(id));
                    }
                    Stage::Unsure => self.undecide(id, now),
                    Stage::Decided if !ending && back.contains(&id) => {
                        self.came_back(id, &channel.state, now);
                    }
                    // One list may be older than the order; the next one is not.
                    Stage::Decided if !ending => {
                        self.door.back.insert(id);
                        self.unsure(id, now);
                    }
                    Stage::Open | Stage::Deciding | Stage::Decided => {}
                }
                continue;
            }
            out.extend(self.arrive(
                Arrival {
                    uniqueid: channel.uniqueid.clone(),
                    channel: channel.name.clone(),
                    caller: channel.caller.clone(),
                    called: channel.exten.clone(),
                    state: channel.state.clone(),
                    headers: BTreeMap::new(),
                    late: true,
                    age: channel.age,
                },
                now,
            ));
        }
        out
    }

    /// Calls of `asked` that the list shows elsewhere: somebody else took them while nobody looked.
    pub(super) fn out_of_agi(&mut self, list: &[LiveChannel], asked: &[CallId]) {
        let Some(context) = self.door.context.clone() else {
            return;
        };
        for channel in list.iter().filter(|it| !it.waits_in(&context)) {
            if let Some(Leg::Own(id)) = self.leg(&channel.uniqueid)
                && asked.contains(&id)
            {
                self.agi_end(id);
            }
        }
    }

    /// It went through the dialplan and waits for another decision.
    fn came_back(&mut self, id: CallId, state: &str, now: Now) {
        let due = now.instant + self.door.deadline;
        if let Some(waiting) = self.waiting_of(id) {
            waiting.wait_again(Stage::New, due, now);
            (waiting.late, waiting.answered) = (true, state == "Up");
            self.todo.push(Todo::Announce(id));
        }
    }

    fn arrive(&mut self, came: Arrival, now: Now) -> Vec<SipEvent> {
        // The other leg of a Local channel that we placed is a call of ours already.
        if Leg::of(&came.uniqueid).is_some() || came.uniqueid.is_empty() {
            return Vec::new();
        }
        let id = call_id(&came.uniqueid);
        let due = now.instant + self.door.deadline;
        let deadline = now.wall + self.door.deadline;
        if let Some(waiting) = self.waiting_of(id) {
            if waiting.stage == Stage::Decided || waiting.left {
                self.came_back(id, &came.state, now);
            }
            return Vec::new();
        }
        match self.undecided() {
            MAX_WAITING.. => return self.refuse(id, came.uniqueid),
            // Not at each place that becomes free, or a flood would be told of with each call.
            waiting => self.door.full &= waiting >= MAX_WAITING / 2,
        }
        let mut call = IncomingCall::new(id, now.wall - came.age, deadline);
        call.caller = is_known(&came.caller).then(|| private(&came.caller));
        call.called = is_known(&came.called).then(|| private(&came.called));
        call.headers = came.headers;
        let opened = self.calls.open(
            NewCall {
                id,
                direction: Direction::Inbound,
                state: CallState::Incoming,
                from: call.caller.clone(),
                to: call.called.clone(),
            },
            Now {
                wall: call.at,
                ..now
            },
        );
        if opened.is_err() {
            // It is over: the list is older than its end.
            return Vec::new();
        }
        self.calls.name(id, &came.uniqueid);
        self.by_uniqueid.insert(came.uniqueid.clone(), Leg::Own(id));
        self.lines.insert(
            id,
            Box::new(Line {
                uniqueid: came.uniqueid,
                plan: Plan::Incoming,
                incoming: Some(Waiting {
                    call,
                    stage: Stage::New,
                    due,
                    overdue: false,
                    told: false,
                    late: came.late,
                    prepared: (!came.late).then_some(false),
                    left: false,
                    answered: came.state == "Up",
                    rejected: None,
                }),
                requested: Some(now.instant),
                taken: true,
                check_at: Some(due + OVERDUE),
                ..Line::default()
            }),
        );
        self.channel(id, &came.channel);
        self.todo.push(Todo::Announce(id));
        Vec::new()
    }

    fn refuse(&mut self, id: CallId, uniqueid: String) -> Vec<SipEvent> {
        if self.door.refused.len() < MAX_REFUSED {
            self.door.refused.push_back(uniqueid);
            self.todo.push(Todo::Refuse);
        }
        if std::mem::replace(&mut self.door.full, true) {
            return Vec::new();
        }
        let error = Error::new(
            ErrorKind::Overloaded,
            "incoming",
            "too many incoming calls wait for a decision; what comes now is rejected as busy",
        );
        vec![SipEvent::AdapterError {
            severity: Severity::Error,
            error: error.with_call_id(id),
        }]
    }

    /// The next channel that is to be rejected as busy.
    pub(super) fn next_refused(&mut self) -> Option<String> {
        self.door.refused.pop_front()
    }

    fn undecided(&self) -> usize {
        let lines = self.lines.values().filter(|line| line.is_there());
        let waiting = lines.filter_map(|line| line.incoming.as_ref());
        waiting.filter(|waiting| waiting.is_undecided()).count()
    }

    pub(super) fn waiting_of(&mut self, id: CallId) -> Option<&mut Waiting> {
        self.lines.get_mut(&id)?.incoming.as_mut()
    }

    /// The channel left `AGI(agi:async)`: by our order, or somebody else took it.
    pub(super) fn agi_end(&mut self, id: CallId) {
        if let Some(waiting) = self.waiting_of(id) {
            if waiting.stage != Stage::Deciding {
                waiting.stage = Stage::Decided;
            }
            waiting.left = true;
        }
    }

    /// Incoming calls that wait for a decision.
    pub(super) fn waiting(&self) -> Vec<IncomingCall> {
        let open = self.lines.iter().filter_map(|(id, line)| {
            let waiting = line.incoming.as_ref()?;
            let open = waiting.stage == Stage::Open && line.is_there();
            (open && !self.is_ending(*id)).then(|| waiting.call.clone())
        });
        open.collect()
    }

    /// A call that nobody was told of yet.
    pub(super) fn news(&self, id: CallId, now: Now) -> Option<News> {
        let line = self.lines.get(&id)?;
        let waiting = line.incoming.as_ref()?;
        let new = waiting.stage == Stage::New && line.is_there();
        new.then(|| News {
            uniqueid: line.uniqueid.clone(),
            left: waiting.due.saturating_duration_since(now.instant),
            late: waiting.late,
            prepared: waiting.prepared,
        })
    }

    /// The hangup handler of a call is there.
    pub(super) fn prepared(&mut self, id: CallId) {
        if let Some(waiting) = self.waiting_of(id) {
            waiting.prepared = Some(true);
        }
    }

    /// Tells of a call, with what its channel brought.
    pub(super) fn announce(
        &mut self,
        id: CallId,
        headers: BTreeMap<String, Private>,
    ) -> Vec<SipEvent> {
        let line = self.lines.get_mut(&id).filter(|line| line.is_there());
        let waiting = line.and_then(|line| line.incoming.as_mut());
        let Some(waiting) = waiting.filter(|it| it.stage == Stage::New) else {
            return Vec::new();
        };
        (waiting.stage, waiting.told) = (Stage::Open, true);
        let room = MAX_HEADERS.saturating_sub(waiting.call.headers.len());
        waiting.call.headers.extend(headers.into_iter().take(room));
        vec![SipEvent::IncomingCall(waiting.call.clone())]
    }

    /// Whether `Up` says nothing yet: somebody else answered the call, and nobody decided.
    pub(super) fn up_before(&mut self, id: CallId) -> bool {
        let undecided = self.waiting_of(id).filter(|it| it.is_undecided());
        undecided.is_some_and(|waiting| {
            waiting.answered = true;
            true
        })
    }

    pub(super) fn is_ending(&self, id: CallId) -> bool {
        self.calls.state(id) == Some(CallState::HangingUp)
    }
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;
