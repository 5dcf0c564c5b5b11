//! How long faxes may ring and take. `faxchan` has no limits of its own: it ignores `maxcall` and
//! `timeout` (observed on Yate 6.4.1). Sans-IO.

use std::{collections::HashMap, time::Instant};

use faxbot_core::id::CallId;

/// The limit that a fax reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It rang, and nobody answered.
    Ring,
    /// It took too long.
    Total,
}

#[derive(Debug)]
struct Limit {
    /// Until then it has to be answered.
    ring: Option<Instant>,
    /// Until then it has to be over.
    total: Instant,
    reached: Option<Reached>,
    /// Only T.38 will do.
    digital: bool,
    /// The far end refused what was offered (RFC 3261 section 21.4.26).
    unacceptable: Option<u16>,
}

/// The limits of the faxes that run.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<CallId, Limit>);

impl Limits {
    /// A fax is sent.
    pub(super) fn sends(&mut self, id: CallId, ring: Instant, total: Instant, digital: bool) {
        let limit = Limit {
            ring: Some(ring),
            digital,
            ..Limit::until(total)
        };
        self.0.insert(id, limit);
    }

    /// A fax is received: it was answered.
    pub(super) fn receives(&mut self, id: CallId, total: Instant) {
        self.0.insert(id, Limit::until(total));
    }

    /// The far end of a fax ended with a SIP status.
    pub(super) fn refused(&mut self, id: CallId, status: Option<u16>) {
        if let Some(limit) = self.0.get_mut(&id) {
            limit.unacceptable = status.filter(|status| matches!(status, 415 | 488 | 606));
        }
    }

    /// The status of a far end that refused T.38 where nothing else would do.
    pub(super) fn no_t38(&self, id: CallId) -> Option<u16> {
        let limit = self.0.get(&id).filter(|limit| limit.digital)?;
        limit.unacceptable
    }

    /// Whether it was ended because of a limit.
    pub(super) fn reached(&self, id: CallId) -> Option<Reached> {
        self.0.get(&id)?.reached
    }

    pub(super) fn next(&self) -> Option<Instant> {
        let open = self.0.values().filter(|limit| limit.reached.is_none());
        open.map(Limit::next).min()
    }

    /// The faxes whose limit is over now. `answered` tells `None` for one that is over itself, or is
    /// no fax any more.
    pub(super) fn due(
        &mut self,
        now: Instant,
        answered: impl Fn(CallId) -> Option<bool>,
    ) -> Vec<CallId> {
        let mut due = Vec::new();
        self.0.retain(|&id, limit| {
            let Some(answered) = answered(id) else {
                return false;
            };
            if answered {
                limit.ring = None;
            }
            if limit.reached.is_none() && limit.next() <= now {
                let rings = limit.ring.is_some_and(|at| at <= now);
                limit.reached = Some(if rings { Reached::Ring } else { Reached::Total });
                due.push(id);
            }
            true
        });
        due
    }
}

impl Limit {
    fn until(total: Instant) -> Self {
        Self {
            ring: None,
            total,
            reached: None,
            digital: false,
            unacceptable: None,
        }
    }

    fn next(&self) -> Instant {
        self.ring.map_or(self.total, |ring| ring.min(self.total))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_fax_that_rings_too_long_is_due_once() {
        let (mut limits, id, start) = (Limits::default(), CallId::new(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        limits.sends(id, after(30), after(600), false);
        assert_eq!(limits.next(), Some(after(30)));
        assert!(limits.due(after(29), |_| Some(false)).is_empty());
        assert_eq!(limits.due(after(30), |_| Some(false)), [id]);
        assert_eq!(limits.reached(id), Some(Reached::Ring));
        assert!(limits.due(after(31), |_| Some(false)).is_empty());
        assert_eq!(limits.next(), None);
    }

    #[test]
    fn one_that_was_answered_has_its_whole_time() {
        let (mut limits, id, start) = (Limits::default(), CallId::new(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        limits.sends(id, after(30), after(600), false);
        assert!(limits.due(after(30), |_| Some(true)).is_empty());
        assert_eq!(limits.next(), Some(after(600)));
        assert_eq!(limits.due(after(600), |_| Some(true)), [id]);
        assert_eq!(limits.reached(id), Some(Reached::Total));
    }

    #[test]
    fn one_that_is_over_is_forgotten() {
        let (mut limits, id, start) = (Limits::default(), CallId::new(), Instant::now());
        limits.receives(id, start);
        assert!(limits.due(start, |_| None).is_empty());
        assert_eq!((limits.next(), limits.reached(id)), (None, None));
    }
}
