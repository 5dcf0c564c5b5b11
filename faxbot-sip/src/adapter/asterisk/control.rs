//! Orders that move the channels of a call: hold, transfer, conference. One at a time on each call,
//! and what became of an order whose answer was lost is found out from the list of channels. Sans-IO,
//! but for the question where a call is.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{CallPlan, CallState, Causes, OnAnswer, SipEvent},
};

use super::{
    books::{Books, Todo, UNSURE},
    core::{Core, State},
    dialplan::{CONFERENCE, HOLD, PARK},
    legs::Plan,
    line::{LiveChannel, hangup_causes},
    outcome::Leg,
    request::action,
    server::Server,
};
use crate::{adapter::calls::Now, protocol::ami::Message};

/// A list of channels that was asked for before an order may be taken to the books after it: for this
/// long what the order did counts for more.
const SETTLED: Duration = Duration::from_secs(2);

/// How long the two parties of a call may take from the answer into their bridge: a millisecond or
/// two. So often is it looked for.
const ENTER: Duration = Duration::from_millis(200);
const ENTER_TRIES: usize = 3;

/// What a line keeps of the orders that move its call.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// One runs now.
    busy: bool,
    /// When the last one ended, if its outcome is known.
    settled: Option<Instant>,
    /// It was placed into an extension of the operator's dialplan.
    in_dialplan: bool,
    pub(super) held: Option<Held>,
    /// The channel that an order bridged it with. When that ends, so does the call.
    with: Option<String>,
    /// A blind transfer calls its new party.
    pub(super) calling: Option<Calling>,
}

/// A held call.
#[derive(Debug)]
pub(super) struct Held {
    /// The party that is held with it, to be bridged with it again.
    pub(super) other: Option<String>,
    /// Where a call without such a party goes.
    pub(super) back: Back,
    /// The server did it. Otherwise it was asked to, and nobody knows.
    sure: bool,
}

/// A step of the dialplan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Back {
    context: String,
    exten: String,
    priority: String,
}

/// What events told of the party that a blind transfer calls.
#[derive(Debug, Default)]
pub(super) struct Calling {
    party: Option<String>,
    /// What its `Hangup` said.
    pub(super) causes: Option<Causes>,
    pub(super) answered: bool,
    /// `Dial` ended, or a part of it did: the variable `DIALSTATUS` tells.
    pub(super) ended: bool,
}

impl Calling {
    /// Whether the causes of the party are still on their way.
    pub(super) fn lacks_causes(&self) -> bool {
        self.party.is_some() && self.causes.is_none()
    }
}

/// What the books keep of the orders that move calls.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// The context of our extensions.
    pub(super) context: Option<String>,
    /// Channels whose end matters to a call: the party it is held with, the one a transfer calls.
    watched: HashMap<String, CallId>,
    /// Channels that nobody is left for: they are to be hung up.
    left: Vec<String>,
}

impl Moves {
    fn is_at(&self, channel: &LiveChannel, extension: &str) -> bool {
        self.context.as_deref() == Some(&channel.context) && channel.exten == extension
    }

    fn back_to(&self, extension: &str) -> Back {
        Back {
            context: self.context.clone().unwrap_or_default(),
            exten: extension.to_owned(),
            priority: "1".to_owned(),
        }
    }
}

/// Where a call is.
#[derive(Debug)]
pub(super) struct Place {
    /// Our channel.
    pub(super) own: String,
    /// The channel that it is bridged with, or held with.
    pub(super) other: Option<String>,
    pub(super) back: Back,
}

impl Place {
    pub(super) fn channels(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.own.as_str()).chain(self.other.as_deref())
    }
}

/// Calls that an order moves: no other one may until this is dropped.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    core: &'a Core,
    operation: &'static str,
    calls: Vec<CallId>,
    known: bool,
}

impl<'a> Claim<'a> {
    pub(super) fn new(core: &'a Core, operation: &'static str) -> Self {
        Self {
            core,
            operation,
            calls: Vec::new(),
            known: true,
        }
    }

    /// Takes a call that is answered and that no other order moves; answers whether it is held.
    pub(super) fn take(&mut self, call: &CallRef) -> Result<(CallId, CallState)> {
        let found = self.core.state().books.find(call);
        match found {
            Some(id) => Ok((id, self.add(id)?)),
            None => Err(Error::new(
                ErrorKind::NotFound,
                self.operation,
                "no such call in the books",
            )),
        }
    }

    fn add(&mut self, id: CallId) -> Result<CallState> {
        let refused =
            |text| Err(Error::new(ErrorKind::InvalidState, self.operation, text).with_call_id(id));
        let mut state = self.core.state();
        let books = &mut state.books;
        let at = books.calls.state(id);
        let Some(line) = books.lines.get_mut(&id) else {
            return refused("the call is over");
        };
        if line.control.busy {
            return refused("another order moves the call at this moment; wait until it is done");
        }
        if line.fax.is_some() {
            return refused("a fax runs in the call");
        }
        if line.hangup.is_some() || line.settling || line.cancel {
            return refused("the call is ending");
        }
        let at = match at {
            Some(at @ (CallState::Connected | CallState::OnHold)) => at,
            Some(CallState::Transferring) => {
                return refused("what became of the last transfer is not known yet");
            }
            _ => return refused("the call is not answered, or is ending"),
        };
        line.control.busy = true;
        books.parts(id);
        drop(state);
        self.calls.push(id);
        Ok(at)
    }

    /// The server may or may not have done it: the list of channels will tell.
    pub(super) fn unsure(&mut self) {
        self.known = false;
        self.core.events(|state, now| {
            for &id in &self.calls {
                state.books.unsure(id, now);
            }
            Vec::new()
        });
        self.core.wake.notify_one();
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let now = self.core.now().instant;
        let mut state = self.core.state();
        for id in &self.calls {
            if let Some(line) = state.books.lines.get_mut(id) {
                line.control.busy = false;
                line.control.settled = self.known.then_some(now);
            }
        }
    }
}

/// Where a claimed call is now. A call of ours that it is bridged with is claimed too.
///
/// The server is asked: events may be missing, and the other channel may be none of ours.
pub(super) async fn place(
    core: &Core,
    server: &Server,
    claim: &mut Claim<'_>,
    id: CallId,
) -> Result<Place> {
    let operation = claim.operation;
    let held = held_place(&core.state(), id);
    let place = match held {
        Some(place) => place,
        None => {
            let mut tries = 0;
            loop {
                let list = server.channels(operation).await?;
                if let Some(place) = listed_place(&core.state(), id, &list, operation)? {
                    break place;
                }
                tries += 1;
                if tries > ENTER_TRIES {
                    let text = "the second party of the call still rings";
                    return Err(Error::new(ErrorKind::InvalidState, operation, text));
                }
                let bridged = |state: &mut State| {
                    let line = state.books.lines.get(&id)?;
                    line.bridge.as_ref().map(drop)
                };
                core.until(ENTER, bridged).await;
            }
        }
    };
    let other = place.other.as_deref();
    let other = other.and_then(|other| core.state().books.own_call(other));
    if let Some(other) = other {
        claim.add(other)?;
    }
    Ok(place)
}

fn held_place(state: &State, id: CallId) -> Option<Place> {
    let line = state.books.lines.get(&id)?;
    let held = line.control.held.as_ref()?;
    Some(Place {
        own: line.uniqueid.clone(),
        other: held.other.clone(),
        back: held.back.clone(),
    })
}

/// The place that the server's list shows; `None` while `Dial` calls the second party, or while both
/// are on their way into their bridge.
fn listed_place(
    state: &State,
    id: CallId,
    list: &[LiveChannel],
    operation: &'static str,
) -> Result<Option<Place>> {
    let books = &state.books;
    let line = books.lines.get(&id);
    let found = line.and_then(|line| {
        let own = list.iter().find(|it| it.uniqueid == line.uniqueid)?;
        Some((line, own))
    });
    let Some((line, own)) = found else {
        let text = "the call's channel is gone";
        return Err(Error::new(ErrorKind::NotFound, operation, text));
    };
    let is = |application: &str| own.application.eq_ignore_ascii_case(application);
    if own.bridge.is_empty() && is("Dial") {
        return Ok(None);
    }
    // Whoever else is in a conference has nothing to do with this call.
    let pair = !own.bridge.is_empty() && !is("ConfBridge");
    let mut others = list
        .iter()
        .filter(|it| pair && it.bridge == own.bridge && it.uniqueid != own.uniqueid);
    let other = match (others.next(), others.next()) {
        (Some(other), None) => Some(other.uniqueid.clone()),
        _ => None,
    };
    let moves = &books.moves;
    let back = if moves.is_at(own, CONFERENCE) {
        moves.back_to(CONFERENCE)
    } else if moves.context.as_deref() == Some(&own.context)
        || own.exten.is_empty()
        || !(line.control.in_dialplan || line.plan == Plan::Incoming)
    {
        // A channel on which an application runs by itself has an extension that it never was in.
        moves.back_to(PARK)
    } else {
        Back {
            context: own.context.clone(),
            exten: own.exten.clone(),
            priority: own.priority.clone(),
        }
    };
    Ok(Some(Place {
        own: own.uniqueid.clone(),
        other,
        back,
    }))
}

/// Sends a channel to a step of any dialplan.
pub(super) async fn send_back(
    server: &Server,
    channel: &str,
    back: &Back,
    operation: &'static str,
) -> Result<()> {
    let headers = [
        ("Channel", channel),
        ("Context", &back.context),
        ("Exten", &back.exten),
        ("Priority", &back.priority),
    ];
    let redirect = action("Redirect", &headers, operation)?;
    server.order(redirect, operation).await.map(drop)
}

/// Hangs up the channels that nobody is left for. What cannot be hung up now is, when the server's
/// list shows it again.
pub(super) async fn hang_up_left(core: &Core, server: &Server) {
    let left = std::mem::take(&mut core.state().books.moves.left);
    for channel in left {
        match server.hang_up(&channel).await {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::debug!(%error, "asterisk: a channel that is left alone is still up");
                core.state().books.moves.left.push(channel);
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Books {
    /// A call is placed.
    pub(super) fn placed(&mut self, id: CallId, plan: &CallPlan) {
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
    pub(super) fn own_call(&self, uniqueid: &str) -> Option<CallId> {
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
    pub(super) fn will_hold(&mut self, id: CallId, place: &Place) {
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
    pub(super) fn held(&mut self, id: CallId, place: &Place, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        for moved in self.moved_with(id, place.other.as_deref()) {
            let held = self.lines.get_mut(&moved);
            if let Some(held) = held.and_then(|line| line.control.held.as_mut()) {
                held.sure = true;
                out.extend(self.shift(moved, CallState::OnHold, now));
            }
        }
        out
    }

    /// It is not certain any longer that these are held.
    pub(super) fn perhaps_held(&mut self, id: CallId) {
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
    pub(super) fn not_held(&mut self, id: CallId) -> Option<String> {
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
    pub(super) fn resumed(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
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
    pub(super) fn bridged(&mut self, id: CallId, with: &str) {
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
    fn parts(&mut self, id: CallId) {
        let with = self
            .lines
            .get_mut(&id)
            .and_then(|line| line.control.with.take());
        if let Some(with) = with {
            self.moves.watched.remove(&with);
        }
    }

    /// The call went on without the channel that it was held with: that one is hung up.
    pub(super) fn leave_held(&mut self, id: CallId) {
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
    pub(super) fn shift(&mut self, id: CallId, next: CallState, now: Now) -> Vec<SipEvent> {
        match self.calls.state(id) {
            Some(state) if state.can_become(next) => self.advance(id, next, now),
            _ => Vec::new(),
        }
    }

    /// What an event of any channel says about calls that are moved.
    pub(super) fn moved(&mut self, name: &[u8], uniqueid: &str, event: &Message, now: Now) {
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
    pub(super) fn left_alone(&mut self, id: CallId) {
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
    pub(super) fn moves_in(&mut self, list: &[LiveChannel], now: Now) -> Vec<SipEvent> {
        let there: HashSet<&str> = list.iter().map(|it| it.uniqueid.as_str()).collect();
        let lines = &self.lines;
        self.moves.watched.retain(|_, id| lines.contains_key(id));
        let left = &mut self.moves.left;
        left.retain(|channel| there.contains(channel.as_str()));
        if !left.is_empty() && !self.todo.contains(&Todo::LeftAlone) {
            self.todo.push(Todo::LeftAlone);
        }
        let mut out = Vec::new();
        for channel in list {
            if let Some(id) = self.own_call(&channel.uniqueid) {
                out.extend(self.seen_at(id, channel, &there, now));
            }
        }
        out
    }

    fn seen_at(
        &mut self,
        id: CallId,
        channel: &LiveChannel,
        there: &HashSet<&str>,
        now: Now,
    ) -> Vec<SipEvent> {
        let holds = self.moves.is_at(channel, HOLD) && channel.bridge.is_empty();
        let calls = channel.bridge.is_empty() && channel.application.eq_ignore_ascii_case("Dial");
        let state = self.calls.state(id);
        let ours = self.moves.context.as_deref() == Some(&channel.context);
        let back = self.moves.back_to(PARK);
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        let control = &mut line.control;
        let sure = control.held.as_ref().is_none_or(|held| held.sure);
        let fresh = control
            .settled
            .is_some_and(|at| now.instant.saturating_duration_since(at) < SETTLED);
        if control.busy || (sure && fresh) {
            return Vec::new();
        }
        let alone = |with: &String| channel.bridge.is_empty() && !there.contains(with.as_str());
        if ours && control.with.as_ref().is_some_and(alone) {
            self.hang_up_soon(id);
            return Vec::new();
        }
        match (holds, state) {
            (true, Some(CallState::Connected | CallState::OnHold | CallState::Transferring)) => {
                let held = control.held.get_or_insert(Held {
                    other: None,
                    back,
                    sure: true,
                });
                held.sure = true;
                let other = held.other.as_deref();
                if other.is_some_and(|other| !there.contains(other)) {
                    held.other = None;
                    self.hang_up_soon(id);
                }
                self.jump(id, CallState::OnHold, now)
            }
            (false, Some(CallState::OnHold)) => {
                self.not_held(id);
                self.jump(id, CallState::Connected, now)
            }
            (false, Some(CallState::Transferring)) if !calls => {
                control.calling = None;
                self.not_held(id);
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
#[path = "control_tests.rs"]
mod tests;
