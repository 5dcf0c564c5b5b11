//! Where orders took calls: held ones, those that are transferred, and what became of an order whose
//! answer was lost. Sans-IO.

use std::time::{Duration, Instant};

use faxbot_core::{
    id::CallId,
    sip::{CallState, Causes, SipEvent},
};

use super::{Books, Leg};
use crate::adapter::calls::Now;

/// How long the server's list may lag behind what an order did.
const LAG: Duration = Duration::from_secs(2);

/// What a line keeps of the orders that move its call.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// The channel that the server holds because we asked it to: ours, or that of the call of ours
    /// that we talk with.
    held: Option<String>,
    /// The channels of the call whose far end holds it.
    holders: Vec<String>,
    /// A blind transfer calls its new party.
    pub(crate) calling: Option<Calling>,
    /// When the last order ended, or its fate was found out.
    settled: Option<Instant>,
}

/// What events told of the party that a blind transfer calls.
#[derive(Debug, Default)]
pub(crate) struct Calling {
    /// The server's name of its channel.
    pub(crate) party: String,
    /// Why it was not reached.
    pub(crate) causes: Option<Causes>,
    pub(crate) answered: bool,
    /// Something says that the party is called no longer: it is time to ask.
    pub(crate) ended: bool,
}

/// Where the server's list shows a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The server's name of it.
    pub(crate) native: String,
    /// It is held, by us or by its far end.
    pub(crate) held: bool,
    /// It calls another party and is joined with nobody.
    pub(crate) calls: bool,
}

impl Calling {
    /// This party begins to be called.
    pub(crate) fn of(party: String) -> Self {
        Self {
            party,
            ..Self::default()
        }
    }
}

impl Moves {
    /// Another channel of the call is joined with ours.
    pub(super) fn party_joined(&mut self, with: Option<&str>) {
        if let Some(calling) = &mut self.calling {
            calling.answered |= with == Some(calling.party.as_str());
        }
    }

    /// Another channel of the call is gone.
    pub(super) fn party_ended(&mut self, channel: &str, causes: Option<&Causes>) {
        if let Some(calling) = &mut self.calling
            && calling.party == channel
        {
            calling.causes = causes.cloned();
            calling.ended = true;
        }
    }

    /// Our channel goes on behind the call of the new party, or was parked at any other time.
    pub(crate) fn went_on(&mut self) {
        if let Some(calling) = &mut self.calling {
            calling.ended = true;
        }
    }

    /// The channel that we asked the server to hold.
    pub(crate) fn held(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// Whether the far end of a channel of the call holds it, as far as events told.
    pub(crate) fn is_held_by_far_end(&self) -> bool {
        !self.holders.is_empty()
    }

    fn far_end(&mut self, channel: &str, holds: bool) -> Option<bool> {
        let before = self.is_held_by_far_end();
        self.holders.retain(|holder| holder != channel);
        if holds {
            self.holders.push(channel.to_owned());
        }
        let now = self.is_held_by_far_end();
        (now != before).then_some(now)
    }
}

impl Books {
    /// The call whose own channel this is.
    pub(crate) fn own_call(&self, native: &str) -> Option<CallId> {
        match self.leg(native) {
            Some(Leg::Own(id)) if self.lines.contains_key(&id) => Some(id),
            _ => None,
        }
    }

    /// The other call of ours that this one talks with.
    pub(crate) fn talks_with(&self, id: CallId) -> Option<CallId> {
        let other = self.lines.get(&id)?.joined.as_deref()?;
        self.own_call(other).filter(|&other| other != id)
    }

    /// The calls that are held together: this one, and the one that it talks with.
    fn together(&self, id: CallId) -> impl Iterator<Item = CallId> + use<> {
        std::iter::once(id).chain(self.talks_with(id))
    }

    /// The server is asked to hold our channel of this call.
    pub(crate) fn will_hold(&mut self, id: CallId) {
        let own = self.own_channel(id);
        for moved in self.together(id) {
            if let Some(line) = self.lines.get_mut(&moved) {
                line.moves.held.clone_from(&own);
            }
        }
    }

    /// The server holds it.
    pub(crate) fn holds(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        for moved in self.together(id) {
            out.extend(self.shift(moved, CallState::OnHold, now));
        }
        out
    }

    /// The server does not hold it, or no longer.
    pub(crate) fn holds_not(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        for moved in self.together(id) {
            if let Some(line) = self.lines.get_mut(&moved) {
                line.moves.held = None;
            }
            if self.calls.state(moved) == Some(CallState::OnHold) {
                out.extend(self.shift(moved, CallState::Connected, now));
            }
        }
        out
    }

    /// A channel of the call is held, or no longer: by us if we asked for that, else by its far end.
    pub(crate) fn hold_changed(
        &mut self,
        id: CallId,
        channel: &str,
        holds: bool,
        now: Now,
    ) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if line.moves.held.as_deref() == Some(channel) {
            return if holds {
                self.holds(id, now)
            } else {
                self.holds_not(id, now)
            };
        }
        let changed = line.moves.far_end(channel, holds);
        let told = changed.map(|remote_hold| SipEvent::MediaStateChanged {
            id: Some(id),
            remote_hold,
        });
        told.into_iter().collect()
    }

    /// An order that moved these calls is over.
    pub(crate) fn settled(&mut self, calls: &[CallId], now: Now) {
        for id in calls {
            if let Some(line) = self.lines.get_mut(id) {
                line.busy = false;
                line.moves.settled = Some(now.instant);
            }
        }
    }

    /// Where the server's list, asked for at `asked_at`, shows calls that were moved while nobody
    /// looked. `gap` is for the first list of a connection: events of holding are missing.
    pub(crate) fn moves_in(
        &mut self,
        list: &[Standing],
        asked_at: Instant,
        gap: bool,
        now: Now,
    ) -> Vec<SipEvent> {
        let mut out = Vec::new();
        for standing in list {
            let Some(id) = self.own_call(&standing.native) else {
                continue;
            };
            let Some(line) = self.lines.get(&id).filter(|line| !line.busy) else {
                continue;
            };
            // What an order did after the list was made counts for more.
            if line.moves.settled.is_none_or(|at| at + LAG <= asked_at) {
                out.extend(self.seen_at(id, standing, gap, now));
            } else {
                self.unsure(id, now);
            }
        }
        out
    }

    fn seen_at(&mut self, id: CallId, standing: &Standing, gap: bool, now: Now) -> Vec<SipEvent> {
        let state = self.calls.state(id);
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if state == Some(CallState::Transferring) {
            if standing.calls {
                // The new party still rings.
                self.unsure(id, now);
                return Vec::new();
            }
            line.moves.calling = None;
        }
        let ours = line.moves.held.is_some();
        let is_held = line.moves.held.as_deref() == Some(&standing.native);
        match (is_held, standing.held, state) {
            (true, true, Some(CallState::Connected | CallState::Transferring)) => {
                self.holds(id, now)
            }
            (true, false, Some(CallState::Connected | CallState::OnHold)) => {
                self.holds_not(id, now)
            }
            (_, _, Some(CallState::Transferring)) => {
                let mut out = self.holds_not(id, now);
                out.extend(self.shift(id, CallState::Connected, now));
                out
            }
            _ if gap && !ours => self.hold_changed(id, &standing.native, standing.held, now),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
