//! What orders know of calls, beside the books. Sans-IO.

use std::{collections::HashMap, time::Duration};

use faxbot_core::{
    id::CallId,
    sip::{CallState, Causes, SipEvent},
};

use super::{
    super::{event::causes, state::Desk},
    is_party,
    party::Party,
    rooms::Rooms,
};
use crate::{
    adapter::{
        books::{Calling, Leg, Plan, Sign, Todo},
        calls::Now,
        digits,
    },
    protocol::yate::Message,
};

/// How many channels may wait to be hung up. More are left to the server.
const MAX_LEFT: usize = 1000;

/// What orders know of calls.
#[derive(Debug, Default)]
pub(in crate::adapter::yate) struct Orders {
    calls: HashMap<CallId, Ordered>,
    /// Channels that nobody is left for.
    left: Vec<String>,
    /// There are some that the worker was not told of.
    new_left: bool,
    pub(in crate::adapter::yate) rooms: Rooms,
    todo: Vec<Todo>,
}

/// What orders know of one call.
#[derive(Debug, Default)]
pub(in crate::adapter::yate) struct Ordered {
    /// What the call goes on with when it is answered.
    pub(super) then: Option<Then>,
    /// It is to be recorded from its answer on.
    pub(super) record: bool,
    /// How long it may last from its answer on, where the request itself does not say it.
    pub(super) limit: Option<Duration>,
    pub(super) held: Option<Held>,
    /// The file that it is recorded into, perhaps.
    pub(super) file: Option<String>,
}

/// What a call goes on with when it is answered.
#[derive(Debug, Clone)]
pub(in crate::adapter::yate) enum Then {
    /// It is connected to another party.
    Party(Box<Party>),
    /// It goes on where Yate routes this number, in this context.
    Extension(String, Option<String>),
}

/// How a held call is held.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// The channel that it was connected to, which hears music too.
    pub(super) other: Option<String>,
    /// The conference that it was in.
    pub(super) room: Option<String>,
}

impl Ordered {
    /// What begins with the answer of a call.
    pub(in crate::adapter::yate) fn once_answered(
        then: Option<Then>,
        record: bool,
        limit: Option<Duration>,
    ) -> Self {
        Self {
            then,
            record,
            limit,
            ..Self::default()
        }
    }

    /// Whether something begins then.
    pub(in crate::adapter::yate) fn is_due(&self) -> bool {
        self.then.is_some() || self.record || self.limit.is_some()
    }
}

/// What begins now.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) then: Option<Then>,
    pub(super) record: bool,
    pub(super) limit: Option<Duration>,
}

impl Orders {
    /// Enters what begins with the answer of a call.
    pub(in crate::adapter::yate) fn opens(&mut self, id: CallId, ordered: Ordered) {
        self.calls.insert(id, ordered);
    }

    pub(super) fn of(&mut self, id: CallId) -> &mut Ordered {
        self.calls.entry(id).or_default()
    }

    pub(super) fn held(&self, id: CallId) -> Option<&Held> {
        self.calls.get(&id)?.held.as_ref()
    }

    fn waits(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|it| it.then.is_some())
    }

    /// Channels that are to be hung up.
    pub(in crate::adapter::yate) fn take_left(&mut self) -> Vec<String> {
        std::mem::take(&mut self.left)
    }

    /// Whether there are such channels since this was asked.
    pub(in crate::adapter::yate) fn has_new_left(&mut self) -> bool {
        std::mem::take(&mut self.new_left)
    }

    /// Nobody is left for a channel: it is hung up.
    pub(in crate::adapter::yate) fn leave(&mut self, channel: String) {
        if self.left.len() < MAX_LEFT && !channel.is_empty() && !self.left.contains(&channel) {
            self.left.push(channel);
            self.new_left = true;
        }
    }

    /// What could not be hung up waits for the next connection.
    pub(super) fn still_left(&mut self, channel: String) {
        self.left.push(channel);
    }

    pub(in crate::adapter::yate) fn take_todo(&mut self) -> Vec<Todo> {
        std::mem::take(&mut self.todo)
    }

    pub(in crate::adapter::yate) fn forget_connection(&mut self) {
        self.calls.clear();
        self.left.clear();
        self.todo.clear();
    }

    /// Another run of the engine: the channels of the one before are gone.
    pub(in crate::adapter::yate) fn restarted(&mut self) {
        self.left.clear();
        for ordered in self.calls.values_mut() {
            ordered.held = None;
        }
    }
}

impl Desk {
    /// What a message says of our channel to those who gave orders.
    pub(in crate::adapter::yate) fn own_moved(
        &mut self,
        id: CallId,
        message: &Message<'_>,
        now: Now,
    ) -> Vec<SipEvent> {
        if self.is_fax(id) {
            return Vec::new();
        }
        if message.is("chan.connected") {
            let peer = message.text("peerid").unwrap_or_default();
            return self.joined(id, Some(&*peer).filter(|peer| is_party(peer)), now);
        }
        if message.is("chan.disconnected") {
            return self.joined(id, None, now);
        }
        if message.is("call.answered") {
            self.first_is_up(id);
        }
        if message.is("chan.dtmf") && !message.flag("duplicate") {
            return digits::received(id, message.text("text").as_deref(), None);
        }
        Vec::new()
    }

    /// The first party of a call that has two is up: the second one is called.
    pub(in crate::adapter::yate) fn first_is_up(&mut self, id: CallId) {
        let line = self.lines.get(&id);
        let up = line.is_some_and(|it| it.plan == Plan::Connect && it.second.first_up);
        if up && self.orders.waits(id) && !self.orders.todo.contains(&Todo::Answered(id)) {
            self.orders.todo.push(Todo::Answered(id));
        }
    }

    /// Whether the party that counts was reached, if our channel was answered.
    pub(in crate::adapter::yate) fn is_reached(&self, id: CallId) -> bool {
        let line = self.lines.get(&id);
        line.is_none_or(|line| line.plan != Plan::Connect || line.second.answered)
    }

    /// What begins now for an answered call; each is answered once.
    pub(super) fn take_due(&mut self, id: CallId) -> Due {
        let answered =
            self.calls.is_answered(id) && self.calls.state(id) != Some(CallState::HangingUp);
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.is_there()) else {
            return Due::default();
        };
        let connects = line.plan == Plan::Connect;
        let first_is_up = line.second.first_up;
        if answered {
            line.once_answered = false;
        }
        let Some(ordered) = self.orders.calls.get_mut(&id) else {
            return Due::default();
        };
        let mut due = Due::default();
        if if connects { first_is_up } else { answered } {
            due.then = ordered.then.take();
        }
        if answered {
            due.record = std::mem::take(&mut ordered.record);
            due.limit = ordered.limit.take();
        }
        due
    }

    /// What could not be begun is asked for again when the call is seen in a list.
    pub(super) fn put_back(&mut self, id: CallId, due: Due) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        line.once_answered = true;
        let ordered = self.orders.of(id);
        ordered.record |= due.record;
        ordered.limit = due.limit.or(ordered.limit);
        ordered.then = due.then.or(ordered.then.take());
    }

    /// What a message says of another channel of a call to those who gave orders. `true` where that is
    /// all that it says.
    pub(in crate::adapter::yate) fn other_moved(
        &mut self,
        id: CallId,
        channel: &str,
        message: &Message<'_>,
        now: Now,
    ) -> Option<Vec<SipEvent>> {
        let rings = message.is("call.ringing") || message.is("call.progress");
        let up = message.is("call.answered");
        let over = message.is("chan.hangup");
        if over {
            self.held_with_is_gone(id, channel, now);
        }
        let calling = self.calling(id)?;
        if calling.party == channel {
            calling.answered |= up;
            if rings {
                return Some(self.other_is(id, Sign::Ringing, now));
            }
            if over {
                let answered = message.flag("answered");
                let why = if answered {
                    None
                } else {
                    Some(causes(message))
                };
                self.parts(id, channel, why.or_else(|| Some(Causes::new())));
            }
            return Some(Vec::new());
        }
        // Our own end of the new party's call: what it says is said better by the party.
        if over && channel.starts_with("dumb/") {
            self.parts(id, channel, None);
            return Some(Vec::new());
        }
        None
    }

    pub(super) fn calling(&mut self, id: CallId) -> Option<&mut Calling> {
        self.lines.get_mut(&id)?.moves.calling.as_mut()
    }

    /// The channel that a held call is held with is gone: nobody is left to talk to.
    fn held_with_is_gone(&mut self, id: CallId, channel: &str, now: Now) {
        let held = self.orders.held(id).and_then(|held| held.other.as_deref());
        if held == Some(channel) {
            self.orders.of(id).held = None;
            self.hang_up_when_there(id, now);
        }
    }

    /// The call leaves the books, and nobody saw it end.
    pub(in crate::adapter::yate) fn over_unseen(&mut self, id: CallId) {
        self.orders.calls.remove(&id);
    }

    /// The call is over: so is what it held, and the party that is called for it.
    pub(in crate::adapter::yate) fn over(&mut self, id: CallId, now: Now) {
        if let Some(calling) = self.calling(id) {
            let party = std::mem::take(&mut calling.party);
            self.orders.leave(party);
        }
        let Some(ordered) = self.orders.calls.remove(&id) else {
            return;
        };
        if let Some(other) = ordered.held.and_then(|held| held.other) {
            self.let_go(id, other, now);
        }
    }

    /// A channel that was held for a call is not wanted any longer.
    pub(super) fn let_go(&mut self, id: CallId, channel: String, now: Now) {
        match self.leg(&channel) {
            Some(Leg::Own(call)) if call != id => {
                self.orders.of(call).held = None;
                self.hang_up_when_there(call, now);
            }
            _ => self.orders.leave(channel),
        }
    }
}
