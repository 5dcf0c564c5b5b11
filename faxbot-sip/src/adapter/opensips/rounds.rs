//! When the lists of the server are asked for. Sans-IO.
//!
//! The list of dialogs is long, and a busy server gives a reason to ask for it with each new call: it is
//! asked for once in the poll interval, however often it is wanted. That of the calls of two legs is
//! short, and no event tells of them.

use std::time::{Duration, Instant};

use faxbot_core::clock::later;

/// With events the list of dialogs is asked for by one poll of so many: it only finds what they missed.
const RARER: u32 = 5;

/// How often a call of ours is looked at that is on its way.
pub(super) const PLACING: Duration = Duration::from_millis(500);

/// What one poll asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// The dialogs.
    pub(super) list: bool,
    /// The calls of two legs.
    pub(super) pairs: bool,
}

impl Round {
    /// Everything.
    pub(super) const WHOLE: Self = Self {
        list: true,
        pairs: true,
    };

    pub(super) fn is_empty(self) -> bool {
        !self.list && !self.pairs
    }
}

/// What there is a reason to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reasons {
    /// Events tell of dialogs.
    pub(super) told: bool,
    /// Calls of ours are up, or on their way.
    pub(super) pairs: bool,
    /// One of them is on its way.
    pub(super) placing: bool,
}

/// When what was last asked for, and what is wanted.
#[derive(Debug)]
pub(super) struct Rounds {
    /// The poll interval.
    every: Duration,
    listed: Option<Instant>,
    paired: Option<Instant>,
    list_wanted: bool,
    pairs_wanted: bool,
    /// The poll for the list that is wanted was called for.
    called: bool,
}

impl Rounds {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            listed: None,
            paired: None,
            list_wanted: false,
            pairs_wanted: false,
            called: false,
        }
    }

    /// There is a dialog of which events do not tell enough.
    pub(super) fn want_list(&mut self) {
        self.list_wanted = true;
    }

    pub(super) fn want_pairs(&mut self) {
        self.pairs_wanted = true;
    }

    /// When a poll is to be called for, because of a list that is wanted.
    pub(super) fn next_call(&self) -> Option<Instant> {
        let wanted = self.list_wanted && !self.called;
        self.listed
            .filter(|_| wanted)
            .map(|at| later(at, self.every))
    }

    /// Whether a poll is to be called for now; not again until it came.
    pub(super) fn call(&mut self, now: Instant) -> bool {
        let due = self.next_call().is_some_and(|at| at <= now);
        self.called |= due;
        due
    }

    /// What a poll asks for now.
    pub(super) fn next(&mut self, reasons: Reasons, now: Instant) -> Round {
        let old = |at: Option<Instant>, rest: Duration| {
            at.is_none_or(|at| now.saturating_duration_since(at) >= rest)
        };
        let rest = if reasons.told && !self.list_wanted {
            self.every.saturating_mul(RARER)
        } else {
            self.every
        };
        let list = old(self.listed, rest);
        let rest = if reasons.placing {
            self.every.min(PLACING)
        } else {
            self.every
        };
        // With the dialogs, among which their legs may be.
        let due = list || self.pairs_wanted || old(self.paired, rest);
        let pairs = reasons.pairs && due;
        self.called = false;
        self.list_wanted &= !list;
        self.pairs_wanted &= !pairs;
        Round { list, pairs }
    }

    /// The server answered a round that began at this time.
    pub(super) fn asked(&mut self, round: Round, at: Instant) {
        if round.list {
            self.listed = Some(at);
        }
        if round.pairs {
            self.paired = Some(at);
        }
    }

    /// It did not: the next poll asks again.
    pub(super) fn failed(&mut self, round: Round) {
        self.list_wanted |= round.list;
        self.pairs_wanted |= round.pairs;
    }

    pub(super) fn forget(&mut self) {
        *self = Self::new(self.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(2);

    const TOLD: Reasons = Reasons {
        told: true,
        pairs: false,
        placing: false,
    };

    const PLACED: Reasons = Reasons {
        told: true,
        pairs: true,
        placing: true,
    };

    /// Rounds whose first look was at this time.
    fn rounds(now: Instant) -> Rounds {
        let mut rounds = Rounds::new(EVERY);
        rounds.asked(Round::WHOLE, now);
        rounds
    }

    fn seconds(number: f64) -> Duration {
        Duration::from_secs_f64(number)
    }

    #[test]
    fn a_list_that_is_wanted_comes_once_an_interval_and_is_called_for_once() {
        let begin = Instant::now();
        let mut rounds = rounds(begin);
        assert_eq!(rounds.next_call(), None);
        rounds.want_list();
        assert_eq!(rounds.next_call(), Some(begin + EVERY));
        let early = begin + seconds(0.5);
        assert!(!rounds.call(early));
        assert!(rounds.next(TOLD, early).is_empty(), "it is young");
        let due = begin + EVERY;
        assert!(rounds.call(due));
        assert!(!rounds.call(due) && rounds.next_call().is_none());
        let round = rounds.next(TOLD, due);
        assert!(round.list);
        rounds.asked(round, due);
        assert!(rounds.next(TOLD, due + EVERY).is_empty());
        assert!(rounds.next(TOLD, due + EVERY * RARER).list);
    }

    #[test]
    fn a_call_of_ours_is_looked_at_without_the_list() {
        let begin = Instant::now();
        let mut rounds = rounds(begin);
        let at = begin + PLACING;
        let round = rounds.next(PLACED, at);
        assert_eq!((round.list, round.pairs), (false, true));
        rounds.asked(round, at);
        assert!(rounds.next(PLACED, at + seconds(0.1)).is_empty());
        rounds.want_pairs();
        assert!(rounds.next(PLACED, at + seconds(0.1)).pairs);
        let up = Reasons {
            placing: false,
            ..PLACED
        };
        assert!(rounds.next(up, at + seconds(1.9)).is_empty());
        assert!(rounds.next(up, at + EVERY).pairs);
    }

    #[test]
    fn without_events_each_interval_has_its_list_and_a_failed_one_comes_again() {
        let begin = Instant::now();
        let mut rounds = rounds(begin);
        let polled = Reasons {
            told: false,
            ..TOLD
        };
        assert!(rounds.next(polled, begin + PLACING).is_empty());
        let at = begin + EVERY;
        let round = rounds.next(polled, at);
        assert!(round.list);
        rounds.failed(round);
        assert!(rounds.next(TOLD, at + seconds(1.0)).list);
    }
}
