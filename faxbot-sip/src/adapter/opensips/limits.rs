//! How long calls of ours may ring: the server has no limit of its own for one call. Sans-IO.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{clock::later, id::CallId};

/// The rest before a call that rang for too long is looked at again, where the server gave no answer.
const AGAIN: Duration = Duration::from_secs(5);

/// The calls that may not ring for ever.
#[derive(Debug, Default)]
pub(super) struct Rings {
    times: HashMap<CallId, Duration>,
    /// Until when, once the server took the request.
    until: HashMap<CallId, Instant>,
    /// Those that are being ended.
    ending: HashSet<CallId>,
}

impl Rings {
    /// How long a call may ring, once the server took it.
    pub(super) fn may(&mut self, id: CallId, time: Duration) {
        self.times.insert(id, time);
    }

    /// The server has the call.
    pub(super) fn begins(&mut self, id: CallId, now: Instant) {
        if let Some(time) = self.times.get(&id) {
            self.until.entry(id).or_insert(later(now, *time));
        }
    }

    /// When the next one has rung for as long as it may.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self
            .until
            .iter()
            .filter(|(id, _)| !self.ending.contains(id));
        waiting.map(|(_, at)| *at).min()
    }

    /// Those that rang for as long as they may; each once, until [`again`](Self::again).
    pub(super) fn over(&mut self, now: Instant) -> Vec<CallId> {
        let due = self.until.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        due.into_iter()
            .filter(|id| self.ending.insert(*id))
            .collect()
    }

    /// Nobody knows whether it rings on: it is looked at again.
    pub(super) fn again(&mut self, id: CallId, now: Instant) {
        self.ending.remove(&id);
        if let Some(at) = self.until.get_mut(&id) {
            *at = now + AGAIN;
        }
    }

    /// Keeps those that may ring still.
    pub(super) fn retain(&mut self, rings: impl Fn(CallId) -> bool) {
        self.times.retain(|id, _| rings(*id));
        self.until.retain(|id, _| rings(*id));
        self.ending.retain(|id| rings(*id));
    }

    /// It does not ring any longer.
    pub(super) fn done(&mut self, id: CallId) {
        self.times.remove(&id);
        self.until.remove(&id);
        self.ending.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_could_not_be_ended_is_looked_at_again() {
        let (id, begin) = (CallId::new(), Instant::now());
        let mut rings = Rings::default();
        rings.begins(id, begin);
        assert_eq!(rings.next(), None, "nobody said how long");
        rings.may(id, Duration::from_secs(8));
        rings.begins(id, begin);
        rings.begins(id, begin + Duration::from_secs(1));
        let over = begin + Duration::from_secs(8);
        assert_eq!(rings.next(), Some(over));
        assert_eq!(rings.over(over), [id]);
        assert!(rings.over(over).is_empty() && rings.next().is_none());
        rings.again(id, over);
        assert_eq!(rings.next(), Some(over + AGAIN));
        assert_eq!(rings.over(over + AGAIN), [id]);
        rings.done(id);
        rings.begins(id, over);
        assert_eq!(rings.next(), None);
    }
}
