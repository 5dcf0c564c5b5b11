//! How long calls may stay as they are, where the server has no limit of its own for one call: ring, or
//! be up after they were transferred. Sans-IO.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{clock::later, id::CallId};

/// The rest before a call that should be over is looked at again, where the server gave no answer.
const AGAIN: Duration = Duration::from_secs(5);

/// The calls that may not stay for ever.
#[derive(Debug, Default)]
pub(super) struct Limits {
    times: HashMap<CallId, Duration>,
    /// Until when, once it began.
    until: HashMap<CallId, Instant>,
    /// Those that are being ended.
    ending: HashSet<CallId>,
}

impl Limits {
    /// How long a call may stay, from when it [`begins`](Self::begins).
    pub(super) fn may(&mut self, id: CallId, time: Duration) {
        self.times.insert(id, time);
    }

    /// The time of the call begins.
    pub(super) fn begins(&mut self, id: CallId, now: Instant) {
        if let Some(time) = self.times.get(&id) {
            self.until.entry(id).or_insert(later(now, *time));
        }
    }

    /// When the next one has stayed for as long as it may.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self
            .until
            .iter()
            .filter(|(id, _)| !self.ending.contains(id));
        waiting.map(|(_, at)| *at).min()
    }

    /// Those that stayed for as long as they may; each once, until [`again`](Self::again).
    pub(super) fn over(&mut self, now: Instant) -> Vec<CallId> {
        let due = self.until.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        due.into_iter()
            .filter(|id| self.ending.insert(*id))
            .collect()
    }

    /// Nobody knows whether it is over: it is looked at again.
    pub(super) fn again(&mut self, id: CallId, now: Instant) {
        self.ending.remove(&id);
        if let Some(at) = self.until.get_mut(&id) {
            *at = now + AGAIN;
        }
    }

    /// Those whose time runs, or is over.
    pub(super) fn begun(&self) -> Vec<CallId> {
        self.until.keys().copied().collect()
    }

    /// Keeps those that are still as they were.
    pub(super) fn retain(&mut self, stays: impl Fn(CallId) -> bool) {
        self.times.retain(|id, _| stays(*id));
        self.until.retain(|id, _| stays(*id));
        self.ending.retain(|id| stays(*id));
    }

    /// It is not as it was any longer.
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
        let mut limits = Limits::default();
        limits.begins(id, begin);
        assert_eq!(limits.next(), None, "nobody said how long");
        limits.may(id, Duration::from_secs(8));
        limits.begins(id, begin);
        limits.begins(id, begin + Duration::from_secs(1));
        let over = begin + Duration::from_secs(8);
        assert_eq!(limits.next(), Some(over));
        assert_eq!(limits.over(over), [id]);
        assert!(limits.over(over).is_empty() && limits.next().is_none());
        limits.again(id, over);
        assert_eq!(limits.next(), Some(over + AGAIN));
        assert_eq!(limits.over(over + AGAIN), [id]);
        limits.done(id);
        limits.begins(id, over);
        assert_eq!(limits.next(), None);
    }
}
