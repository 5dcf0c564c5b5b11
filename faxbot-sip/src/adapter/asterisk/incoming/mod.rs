//! Calls that come to us, as the books see them: they wait in `AGI(agi:async)` for a decision. Sans-IO;
//! what is decided on them is in [`decision`].
//!
//! A call has the UUIDv5 of its channel's `Uniqueid`, so that another process finds the same id.

pub(super) mod accept;
pub(super) mod agi;
pub(super) mod announce;
pub(super) mod decide;
pub(super) mod decision;
pub(super) mod receive;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use faxbot_core::{
    Private,
    clock::later,
    id::CallId,
    sip::{CallState, Direction, IncomingCall, SipEvent},
};
use uuid::Uuid;

use self::agi::{environment, is_known};
use super::{
    books::{
        Books, OVERDUE, Todo,
        legs::Plan,
        line::{Line, LiveChannel},
    },
    outcome::Leg,
};
use crate::{
    adapter::{
        calls::{NewCall, Now},
        hub::Book as _,
        incoming::{Decides as _, Flood, Stage, Waiting, private},
    },
    protocol::ami::Message,
};

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
    pub(super) flood: Flood,
    /// Calls that were decided on, and that the last list shows in `AGI` all the same.
    back: HashSet<CallId>,
}

impl Door {
    /// The connection is over for good, and with it what was to be done there.
    pub(super) fn forget(&mut self) {
        self.flood.forget();
        self.back.clear();
    }
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
                match waiting.stage() {
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
        let due = later(now.instant, self.door.deadline);
        if let Some(waiting) = self.waiting_of(id) {
            waiting.came_back(state == "Up", due, now);
            self.todo.push(Todo::Announce(id));
        }
    }

    fn arrive(&mut self, came: Arrival, now: Now) -> Vec<SipEvent> {
        // The other leg of a Local channel that we placed is a call of ours already.
        if Leg::of(&came.uniqueid).is_some() || came.uniqueid.is_empty() {
            return Vec::new();
        }
        let id = call_id(&came.uniqueid);
        let due = later(now.instant, self.door.deadline);
        let deadline = now.wall + self.door.deadline;
        if let Some(waiting) = self.waiting_of(id) {
            if waiting.is_through() {
                self.came_back(id, &came.state, now);
            }
            return Vec::new();
        }
        let undecided = self.undecided();
        if !self.door.flood.admits(undecided) {
            return self.refuse(id, came.uniqueid);
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
                incoming: Some(Waiting::new(call, due, came.late, came.state == "Up")),
                prepared: (!came.late).then_some(false),
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
        let (kept, told) = self.door.flood.refuse(id, uniqueid);
        if kept {
            self.todo.push(Todo::Refuse);
        }
        told
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
            waiting.left();
        }
    }

    /// Incoming calls that wait for a decision.
    pub(super) fn waiting(&self) -> Vec<IncomingCall> {
        let open = self.lines.iter().filter_map(|(id, line)| {
            let call = line.incoming.as_ref()?.open()?;
            (line.is_there() && !self.is_ending(*id)).then(|| call.clone())
        });
        open.collect()
    }

    /// A call that nobody was told of yet.
    pub(super) fn news(&self, id: CallId, now: Now) -> Option<News> {
        let line = self.lines.get(&id)?;
        let waiting = line.incoming.as_ref()?;
        let new = waiting.stage() == Stage::New && line.is_there();
        new.then(|| News {
            uniqueid: line.uniqueid.clone(),
            left: waiting.left_for(now.instant),
            late: waiting.late,
            prepared: line.prepared,
        })
    }

    /// The hangup handler of a call is there.
    pub(super) fn prepared(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.prepared = Some(true);
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
        let told = waiting.and_then(|waiting| waiting.announce(headers));
        told.map(SipEvent::IncomingCall).into_iter().collect()
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
