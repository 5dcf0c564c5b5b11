//! What the books know of calls that orders moved: held ones, those that are transferred, and whom they
//! were bridged with. What became of an order whose answer was lost is found out from the list of
//! channels. Sans-IO.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{
    id::CallId,
    sip::{CallPlan, CallState, Causes, OnAnswer, SipEvent},
};

use super::super::{
    control::Place,
    dialplan::{HOLD, PARK},
    outcome::Leg,
};
use super::{
    Books, Todo, UNSURE,
    line::{LiveChannel, hangup_causes},
};
use crate::{adapter::calls::Now, protocol::ami::Message};

/// How long before it came a list was asked for at the most, where nobody noted when.
const SETTLED: Duration = Duration::from_secs(2);

/// What a line keeps of the orders that move its call.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// One runs now.
    pub(crate) busy: bool,
    /// When the last one ended, if its outcome is known.
    pub(crate) settled: Option<Instant>,
    /// It was placed into an extension of the operator's dialplan.
    pub(crate) in_dialplan: bool,
    pub(crate) held: Option<Held>,
    /// The channel that an order bridged it with. When that ends, so does the call.
    with: Option<String>,
    /// A blind transfer calls its new party.
    pub(crate) calling: Option<Calling>,
}

/// A held call.
#[derive(Debug)]
pub(crate) struct Held {
    /// The party that is held with it, to be bridged with it again.
    pub(crate) other: Option<String>,
    /// Where a call without such a party goes.
    pub(crate) back: Back,
    /// The server did it. Otherwise it was asked to, and nobody knows.
    sure: bool,
}

/// A step of the dialplan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) context: String,
    pub(crate) exten: String,
    pub(crate) priority: String,
}

/// What events told of the party that a blind transfer calls.
#[derive(Debug, Default)]
pub(crate) struct Calling {
    party: Option<String>,
    /// What its `Hangup` said.
    pub(crate) causes: Option<Causes>,
    pub(crate) answered: bool,
    /// `Dial` ended, or a part of it did: the variable `DIALSTATUS` tells.
    pub(crate) ended: bool,
}

impl Calling {
    /// Whether the causes of the party are still on their way.
    pub(crate) fn lacks_causes(&self) -> bool {
        self.party.is_some() && self.causes.is_none()
    }
}

/// What the books keep of the orders that move calls.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// The context of our extensions.
    pub(crate) context: Option<String>,
    /// Channels whose end matters to a call: the party it is held with, the one a transfer calls.
    watched: HashMap<String, CallId>,
    /// When the list of channels was asked for that comes next. It may be older than an order that it
    /// overtakes: what that did counts for more.
    pub(crate) listing: Option<Instant>,
    /// Channels that nobody is left for: they are to be hung up.
    pub(crate) left: Vec<String>,
}

impl Moves {
    pub(crate) fn is_at(&self, channel: &LiveChannel, extension: &str) -> bool {
        self.context.as_deref() == Some(&channel.context) && channel.exten == extension
    }

    pub(crate) fn back_to(&self, extension: &str) -> Back {
        Back {
            context: self.context.clone().unwrap_or_default(),
            exten: extension.to_owned(),
            priority: "1".to_owned(),
        }
    }
}

/// The list of channels.
struct Seen<'a> {
    list: &'a [LiveChannel],
    there: HashSet<&'a str>,
    /// Those that are held.
    held: HashSet<&'a str>,
}

impl Seen<'_> {
    fn is_alone_in_bridge(&self, channel: &LiveChannel) -> bool {
        let with = |it: &&LiveChannel| it.bridge == channel.bridge;
        !channel.bridge.is_empty() && self.list.iter().filter(with).count() == 1
    }
}

impl Books {
    /// A call is placed.
    pub(crate) fn placed(&mut self, id: CallId, plan: &CallPlan) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.control.in_dialplan = matches!(
                plan,
                CallPlan::Dial {
                    on_answer: OnAnswer::Extension { .. },
                    ..
                }
            );
        }
    }

    /// The call whose own channel this is.
    pub(crate) fn own_call(&self, uniqueid: &str) -> Option<CallId> {
        match self.leg(uniqueid) {
            Some(Leg::Own(id)) if self.lines.contains_key(&id) => Some(id),
            _ => None,
        }
    }

    /// The calls that move together: this one, and the one whose own channel is the other.
    fn moved_with(&self, id: CallId, other: Option<&str>) -> impl Iterator<Item = CallId> + use<> {
        let other = other.and_then(|other| self.own_call(other));
        std::iter::once(id).chain(other)
    }

    /// The channels of a place are about to be held.
    pub(crate) fn will_hold(&mut self, id: CallId, place: &Place) {
        let own = Some(place.own.clone());
        for moved in self.moved_with(id, place.other.as_deref()) {
            let (other, back) = if moved == id {
                (place.other.clone(), place.back.clone())
            } else {
                (own.clone(), self.moves.back_to(PARK))
            };
            if let Some(other) = &other {
                self.moves.watched.insert(other.clone(), moved);
            }
            if let Some(line) = self.lines.get_mut(&moved) {
                let sure = false;
                line.control.held = Some(Held { other, back, sure });
            }
        }
    }

    /// The server holds them.
    pub(crate) fn held(&mut self, id: CallId, place: &Place, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        for moved in self.moved_with(id, place.other.as_deref()) {
            let held = self.lines.get_mut(&moved);
            if let Some(held) = held.and_then(|line| line.control.held.as_mut()) {
                held.sure = true;
                if let Some(line) = self.lines.get_mut(&moved) {
                    // An account that reads no events of calls is not told that it left.
                    line.bridge = None;
                }
                out.extend(self.shift(moved, CallState::OnHold, now));
            }
        }
        out
    }

    /// It is not certain any longer that these are held.
    pub(crate) fn perhaps_held(&mut self, id: CallId) {
        for moved in self.moved_with(id, self.held_with(id).as_deref()) {
            let held = self.lines.get_mut(&moved);
            if let Some(held) = held.and_then(|line| line.control.held.as_mut()) {
                held.sure = false;
            }
        }
    }

    fn held_with(&self, id: CallId) -> Option<String> {
        let held = self.lines.get(&id)?.control.held.as_ref()?;
        held.other.clone()
    }

    /// The call is not held, or no longer; nor is the call that it was held with. Answers the channel
    /// that it was held with.
    pub(crate) fn not_held(&mut self, id: CallId) -> Option<String> {
        let other = self.held_with(id);
        for moved in self.moved_with(id, other.as_deref()) {
            let held = self.lines.get_mut(&moved);
            let held = held.and_then(|line| line.control.held.take());
            if let Some(other) = held.and_then(|held| held.other) {
                self.moves.watched.remove(&other);
            }
        }
        other
    }

    /// The call is held no longer; so is the call that it was held with.
    pub(crate) fn resumed(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        let with = self.not_held(id);
        for moved in self.moved_with(id, with.as_deref()) {
            out.extend(self.shift(moved, CallState::Connected, now));
        }
        if let Some(with) = with {
            self.bridged(id, &with);
        }
        out
    }

    /// An order bridged the call with a channel, which may be that of another call.
    pub(crate) fn bridged(&mut self, id: CallId, with: &str) {
        let own = self.own_channel(id);
        for moved in self.moved_with(id, Some(with)) {
            let other = if moved == id {
                Some(with)
            } else {
                own.as_deref()
            };
            if let (Some(other), Some(line)) = (other, self.lines.get_mut(&moved)) {
                line.control.with = Some(other.to_owned());
                self.moves.watched.insert(other.to_owned(), moved);
            }
        }
    }

    /// The call goes elsewhere, and the channel that it was bridged with no longer matters to it.
    pub(crate) fn parts(&mut self, id: CallId) {
        let with = self
            .lines
            .get_mut(&id)
            .and_then(|line| line.control.with.take());
        if let Some(with) = with {
            self.moves.watched.remove(&with);
        }
    }

    /// Whether the call is held with this channel.
    pub(crate) fn is_held_with(&self, id: CallId, channel: &str) -> bool {
        self.held_with(id).as_deref() == Some(channel)
    }

    /// The call went on without the channel that it was held with: that one is hung up.
    pub(crate) fn leave_held(&mut self, id: CallId) {
        if let Some(other) = self.not_held(id) {
            self.leave(other);
        }
    }

    fn leave(&mut self, channel: String) {
        self.moves.left.push(channel);
        if !self.todo.contains(&Todo::LeftAlone) {
            self.todo.push(Todo::LeftAlone);
        }
    }

    /// Takes a call along an edge if there is one: the end of a call overtakes what is done to it.
    pub(crate) fn shift(&mut self, id: CallId, next: CallState, now: Now) -> Vec<SipEvent> {
        match self.calls.state(id) {
            Some(state) if state.can_become(next) => self.advance(id, next, now),
            _ => Vec::new(),
        }
    }

    /// What an event of any channel says about calls that are moved.
    pub(crate) fn moved(&mut self, name: &[u8], uniqueid: &str, event: &Message, now: Now) {
        let text = |header: &str| event.get_str(header).unwrap_or_default();
        match name {
            b"dialbegin" | b"dialend" => {
                let Some(id) = self.own_call(uniqueid) else {
                    return;
                };
                let line = self.lines.get_mut(&id);
                let Some(calling) = line.and_then(|line| line.control.calling.as_mut()) else {
                    return;
                };
                let party = text("DestUniqueid");
                if name == b"dialend" {
                    calling.answered |= text("DialStatus") == "ANSWER";
                    calling.ended = true;
                } else if !party.is_empty() {
                    let before = calling.party.replace(party.clone().into_owned());
                    if let Some(before) = before {
                        self.moves.watched.remove(&before);
                    }
                    self.moves.watched.insert(party.into_owned(), id);
                }
            }
            b"hangup" => {
                if let Some(id) = self.moves.watched.remove(uniqueid) {
                    self.watched_ended(id, uniqueid, event, now);
                }
                if let Some(id) = self.own_call(uniqueid) {
                    self.left_alone(id);
                }
            }
            _ => {}
        }
    }

    fn watched_ended(&mut self, id: CallId, uniqueid: &str, event: &Message, now: Now) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        let control = &mut line.control;
        let transferring = control.calling.is_some();
        if let Some(calling) = &mut control.calling
            && calling.party.as_deref() == Some(uniqueid)
        {
            calling.causes = Some(hangup_causes(event));
        }
        if control.with.as_deref() == Some(uniqueid) {
            // The call ends by itself. If the server let its channel go on instead, because orders
            // overtook each other, the list shows it.
            line.check_at = Some(now.instant + UNSURE);
            return;
        }
        if let Some(held) = &mut control.held
            && held.other.as_deref() == Some(uniqueid)
        {
            held.other = None;
            if !transferring {
                self.hang_up_soon(id);
            }
        }
    }

    /// The party that the call was held with is gone: nobody would ever take it back.
    fn hang_up_soon(&mut self, id: CallId) {
        if let Some(line) = self.lines.get_mut(&id)
            && line.hangup.is_none()
            && !std::mem::replace(&mut line.cancel, true)
        {
            self.todo.push(Todo::HangUp(id));
        }
    }

    /// Our channel is gone: the one that it was held with would hear music for ever.
    pub(crate) fn left_alone(&mut self, id: CallId) {
        self.parts(id);
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if let Some(party) = line
            .control
            .calling
            .take()
            .and_then(|calling| calling.party)
        {
            self.moves.watched.remove(&party);
        }
        let held = self
            .lines
            .get_mut(&id)
            .and_then(|line| line.control.held.take());
        let Some(other) = held.and_then(|held| held.other) else {
            return;
        };
        self.moves.watched.remove(&other);
        match self.own_call(&other) {
            Some(other) => self.hang_up_soon(other),
            None => self.leave(other),
        }
    }

    /// Where the server's list shows calls that were moved while nobody looked.
    pub(crate) fn moves_in(&mut self, list: &[LiveChannel], now: Now) -> Vec<SipEvent> {
        let there: HashSet<&str> = list.iter().map(|it| it.uniqueid.as_str()).collect();
        let held = list.iter().filter(|it| self.hears_music(it));
        let held: HashSet<&str> = held.map(|it| it.uniqueid.as_str()).collect();
        let seen = Seen { list, there, held };
        let asked = self.moves.listing.take();
        let asked = asked.or_else(|| now.instant.checked_sub(SETTLED));
        let lines = &self.lines;
        self.moves.watched.retain(|_, id| lines.contains_key(id));
        let left = &mut self.moves.left;
        left.retain(|channel| seen.there.contains(channel.as_str()));
        if !left.is_empty() && !self.todo.contains(&Todo::LeftAlone) {
            self.todo.push(Todo::LeftAlone);
        }
        let mut out = Vec::new();
        for channel in list {
            if let Some(id) = self.own_call(&channel.uniqueid) {
                out.extend(self.seen_at(id, channel, &seen, asked, now));
            }
        }
        out
    }

    /// Whether a channel is held.
    fn hears_music(&self, channel: &LiveChannel) -> bool {
        self.moves.is_at(channel, HOLD) && channel.bridge.is_empty()
    }

    fn seen_at(
        &mut self,
        id: CallId,
        channel: &LiveChannel,
        seen: &Seen<'_>,
        asked: Option<Instant>,
        now: Now,
    ) -> Vec<SipEvent> {
        let holds = self.hears_music(channel);
        let calls = channel.bridge.is_empty() && channel.application.eq_ignore_ascii_case("Dial");
        let state = self.calls.state(id);
        let ours = self.moves.context.as_deref() == Some(&channel.context);
        let back = self.moves.back_to(PARK);
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        let control = &mut line.control;
        let sure = control.held.as_ref().is_none_or(|held| held.sure);
        let fresh = control.settled > asked;
        if control.busy || (sure && fresh) {
            return Vec::new();
        }
        let alone = channel.bridge.is_empty();
        let other = control.held.as_ref().and_then(|held| held.other.as_deref());
        let waits = other.is_some_and(|other| seen.held.contains(other));
        let gone = |with: &String| !seen.there.contains(with.as_str());
        if ours && alone && control.with.as_ref().is_some_and(gone) {
            self.hang_up_soon(id);
            return Vec::new();
        }
        match (holds, state) {
            (true, Some(CallState::Connected | CallState::OnHold | CallState::Transferring)) => {
                // A hold that came about so late that nobody counted on it any more: the party that
                // `Dial` called was sent with our channel.
                let mut partners = line.partners.iter().map(|partner| &partner.uniqueid);
                let held = control.held.get_or_insert_with(|| Held {
                    other: partners.find(|it| seen.held.contains(it.as_str())).cloned(),
                    back,
                    sure: true,
                });
                held.sure = true;
                match &held.other {
                    Some(other) if !seen.there.contains(other.as_str()) => {
                        held.other = None;
                        self.hang_up_soon(id);
                    }
                    Some(other) => {
                        self.moves.watched.insert(other.clone(), id);
                    }
                    None => {}
                }
                self.jump(id, CallState::OnHold, now)
            }
            // Of an order to bridge it with the party that it is held with only a half was done: it can be
            // ordered again.
            (false, Some(CallState::OnHold | CallState::Transferring))
                if waits && seen.is_alone_in_bridge(channel) =>
            {
                control.calling = None;
                self.jump(id, CallState::OnHold, now)
            }
            (false, Some(CallState::OnHold)) => {
                if alone || waits {
                    self.leave_held(id);
                } else {
                    self.not_held(id);
                }
                self.jump(id, CallState::Connected, now)
            }
            (false, Some(CallState::Transferring)) if !calls => {
                control.calling = None;
                self.leave_held(id);
                self.jump(id, CallState::Connected, now)
            }
            (false, Some(CallState::Connected)) => {
                self.not_held(id);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
