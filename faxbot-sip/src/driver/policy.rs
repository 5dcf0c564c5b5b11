//! When to connect again: a pure function of what happened and a random number.

use std::time::Duration;

use faxbot_core::retry::RetryPolicy;

use crate::protocol::session::CloseReason;

use super::LinkError;

/// What is known when a link is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct History {
    /// Attempts since the last stable connection, the one that failed included.
    pub(super) attempts: u32,
    /// Whether this configuration has ever logged in.
    pub(super) ever_logged_in: bool,
    /// Whether the link was usable before, or was asked to wait for the server: without either a
    /// first attempt that fails is final.
    pub(super) supervised: bool,
}

/// What to do about a link that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
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

/// What to do after `why`. `random` is 64 random bits.
pub(super) fn decide(
    policy: &RetryPolicy,
    history: History,
    why: &LinkError,
    random: u64,
) -> Decision {
    let refused = matches!(why, LinkError::Session(CloseReason::Refused));
    let busy = matches!(
        why,
        LinkError::Session(CloseReason::Busy | CloseReason::Goodbye)
    );
    let closed = matches!(why, LinkError::Closed);
    if closed || !history.supervised || (refused && !history.ever_logged_in) {
        return Decision::GiveUp;
    }
    let mut backoff = policy.backoff;
    if busy {
        // A server that starts or stops says itself that it will be there: no limit counts.
        backoff.attempts = None;
    }
    if refused {
        backoff.base = backoff.cap;
    }
    let random = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    match backoff.delay(history.attempts.saturating_sub(1), random) {
        Some(after) => Decision::Retry {
            after,
            critical: refused,
        },
        None => Decision::GiveUp,
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

    fn steady() -> RetryPolicy {
        let mut policy = RetryPolicy::connection();
        policy.backoff.jitter = 0.0;
        policy
    }

    #[test]
    fn the_policy_table_holds() {
        let policy = steady();
        let mut three = policy;
        three.backoff.attempts = Some(3);
        let cut = LinkError::Ended;
        let refused = LinkError::Session(CloseReason::Refused);
        let busy = LinkError::Session(CloseReason::Busy);
        let critical = Decision::Retry {
            after: Duration::from_secs(5),
            critical: true,
        };
        let up = |attempts| history(attempts, true);
        let table = [
            ("first wait", &policy, up(1), &cut, retry(2)),
            ("doubles", &policy, up(2), &cut, retry(4)),
            ("doubles on", &policy, up(5), &cut, retry(32)),
            ("cap", &policy, up(13), &cut, retry(5_000)),
            ("no overflow", &policy, up(u32::MAX), &cut, retry(5_000)),
            ("attempts left", &three, up(3), &cut, retry(8)),
            ("attempts used up", &three, up(4), &cut, Decision::GiveUp),
            ("busy uses up none", &three, up(4), &busy, retry(16)),
            ("busy at first", &policy, history(1, false), &busy, retry(2)),
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
                up(1),
                &refused,
                critical,
            ),
            (
                "closed by us",
                &policy,
                up(1),
                &LinkError::Closed,
                Decision::GiveUp,
            ),
        ];
        for (name, policy, history, why, wanted) in table {
            assert_eq!(decide(policy, history, why, u64::MAX), wanted, "{name}");
        }
    }

    #[test]
    fn a_first_attempt_that_nobody_asked_to_repeat_is_final() {
        let alone = History {
            attempts: 1,
            ever_logged_in: false,
            supervised: false,
        };
        let decision = decide(&steady(), alone, &LinkError::ConnectTimeout, 0);
        assert_eq!(decision, Decision::GiveUp);
    }

    #[test]
    fn random_bits_spread_over_the_jitter() {
        let mut policy = steady();
        policy.backoff.jitter = 0.5;
        let wait = |random| decide(&policy, history(20, true), &LinkError::Ended, random);
        assert_eq!(wait(0), retry(5_000));
        assert_eq!(wait(u64::MAX), retry(7_500));
    }
}
