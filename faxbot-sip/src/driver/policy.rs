//! When to connect again: a pure function of what happened and a random number.

use std::time::Duration;

use crate::protocol::session::CloseReason;

use super::LinkError;

/// How a lost link is made again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    /// Wait before the first attempt after a loss. Default 2 ms.
    pub base: Duration,
    /// Longest wait; each attempt doubles the one before up to this. Default 5 s.
    pub cap: Duration,
    /// Part of each wait that is random, 0.0 to 1.0. Default 0.2: a wait of 5 s lasts 4 s to 5 s,
    /// so that many clients of one server do not come back in one moment.
    pub jitter: f64,
    /// Attempts in a row before giving up. Default `None`: never.
    pub attempts: Option<u32>,
    /// How long a connection must last to count as a success that starts the waits anew.
    /// Default 10 s: a server that drops us right after the login is not hammered.
    pub stability: Duration,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(2),
            cap: Duration::from_secs(5),
            jitter: 0.2,
            attempts: None,
            stability: Duration::from_secs(10),
        }
    }
}

/// What is known when a link is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// Attempts since the last stable connection, the one that failed included.
    pub attempts: u32,
    /// Whether this configuration has ever logged in.
    pub ever_logged_in: bool,
    /// Whether the link was usable before, or was asked to wait for the server: without either a
    /// first attempt that fails is final.
    pub supervised: bool,
}

/// What to do about a link that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Connect again.
    Retry {
        /// After this wait.
        after: Duration,
        /// Credentials that worked are refused now: a human should look.
        critical: bool,
    },
    /// Stay down.
    GiveUp,
}

impl ReconnectPolicy {
    /// Sets [`base`](Self::base) and [`cap`](Self::cap).
    #[must_use]
    pub fn with_waits(mut self, base: Duration, cap: Duration) -> Self {
        self.base = base;
        self.cap = cap;
        self
    }

    /// Sets [`jitter`](Self::jitter).
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets [`attempts`](Self::attempts).
    #[must_use]
    pub fn with_attempts(mut self, attempts: Option<u32>) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets [`stability`](Self::stability).
    #[must_use]
    pub fn with_stability(mut self, stability: Duration) -> Self {
        self.stability = stability;
        self
    }

    /// What to do after `why`. `random` is 64 random bits.
    pub fn decide(&self, history: History, why: &LinkError, random: u64) -> Decision {
        let refused = matches!(why, LinkError::Session(CloseReason::Refused));
        let busy = matches!(
            why,
            LinkError::Session(CloseReason::Busy | CloseReason::Goodbye)
        );
        let ours = matches!(why, LinkError::Closed);
        if ours || !history.supervised || (refused && !history.ever_logged_in) {
            return Decision::GiveUp;
        }
        // A server that starts or stops says itself that it will be there: it uses up no attempt.
        if !busy && self.attempts.is_some_and(|most| history.attempts >= most) {
            return Decision::GiveUp;
        }
        let wait = if refused {
            self.cap
        } else {
            self.wait(history.attempts)
        };
        Decision::Retry {
            after: self.jittered(wait, random),
            critical: refused,
        }
    }

    fn wait(&self, attempts: u32) -> Duration {
        let factor = 2_u32
            .checked_pow(attempts.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    fn jittered(&self, wait: Duration, random: u64) -> Duration {
        let share = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        wait.mul_f64(1.0 - self.jitter.clamp(0.0, 1.0) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(attempts: u32, ever_logged_in: bool) -> History {
        History {
            attempts,
            ever_logged_in,
            supervised: true,
        }
    }

    fn retry(millis: u64) -> Decision {
        Decision::Retry {
            after: Duration::from_millis(millis),
            critical: false,
        }
    }

    #[test]
    fn the_policy_table_holds() {
        let policy = ReconnectPolicy::default().with_jitter(0.0);
        let three = policy.clone().with_attempts(Some(3));
        let cut = LinkError::Ended;
        let refused = LinkError::Session(CloseReason::Refused);
        let busy = LinkError::Session(CloseReason::Busy);
        let critical = Decision::Retry {
            after: Duration::from_secs(5),
            critical: true,
        };
        let table = [
            ("first wait", &policy, history(1, true), &cut, retry(2)),
            ("doubles", &policy, history(2, true), &cut, retry(4)),
            ("doubles on", &policy, history(5, true), &cut, retry(32)),
            ("cap", &policy, history(13, true), &cut, retry(5_000)),
            (
                "no overflow",
                &policy,
                history(u32::MAX, true),
                &cut,
                retry(5_000),
            ),
            ("attempts left", &three, history(2, true), &cut, retry(4)),
            (
                "attempts used up",
                &three,
                history(3, true),
                &cut,
                Decision::GiveUp,
            ),
            (
                "busy uses up none",
                &three,
                history(3, true),
                &busy,
                retry(8),
            ),
            (
                "busy before any login",
                &policy,
                history(1, false),
                &busy,
                retry(2),
            ),
            (
                "refused at first",
                &policy,
                history(1, false),
                &refused,
                Decision::GiveUp,
            ),
            (
                "refused after a success",
                &policy,
                history(1, true),
                &refused,
                critical,
            ),
            (
                "closed by us",
                &policy,
                history(1, true),
                &LinkError::Closed,
                Decision::GiveUp,
            ),
        ];
        for (name, policy, history, why, wanted) in table {
            assert_eq!(policy.decide(history, why, u64::MAX), wanted, "{name}");
        }
    }

    #[test]
    fn a_first_attempt_that_nobody_asked_to_repeat_is_final() {
        let policy = ReconnectPolicy::default();
        let alone = History {
            attempts: 1,
            ever_logged_in: false,
            supervised: false,
        };
        assert_eq!(
            policy.decide(alone, &LinkError::ConnectTimeout, 0),
            Decision::GiveUp
        );
    }

    #[test]
    fn jitter_only_shortens_and_stays_in_its_share() {
        let policy = ReconnectPolicy::default().with_jitter(0.5);
        for random in [0, 1 << 40, u64::MAX / 2, u64::MAX] {
            let Decision::Retry { after, .. } =
                policy.decide(history(20, true), &LinkError::Ended, random)
            else {
                panic!("must retry");
            };
            assert!(after <= Duration::from_secs(5) && after >= Duration::from_millis(2_499));
        }
    }
}
