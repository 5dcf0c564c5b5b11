//! How long to wait before another try of a connection or a request.
//!
//! Whether a fax is dialled again is another question, answered by the fax module's policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, config::duration};

/// Waits that grow by a factor up to a cap, with jitter on top. A pure function of the attempt and
/// a random number, so that it needs no clock to be tested.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Backoff {
    /// The first wait; default 2 ms.
    #[serde(with = "duration")]
    pub base: Duration,
    /// The longest wait before jitter; default 5 s.
    #[serde(with = "duration")]
    pub cap: Duration,
    /// Growth from wait to wait, at least 1; default 2.
    pub factor: f64,
    /// The largest part of the wait that is added at random, 0 to 1; default 0.25, 0 for none. It
    /// keeps clients that lost one server from coming back in step.
    pub jitter: f64,
    /// Tries again at most, `None` for no limit; default none.
    pub attempts: Option<u32>,
}

impl Backoff {
    /// Waits from `base` to `cap`, doubling, with a quarter of jitter and no limit.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            factor: 2.0,
            jitter: 0.25,
            attempts: None,
        }
    }

    /// For connections to a server: 2 ms doubling to 5 s, without a limit.
    pub const fn connection() -> Self {
        Self::new(Duration::from_millis(2), Duration::from_secs(5))
    }

    /// For HTTP requests: 1 s doubling to 300 s, without a limit.
    pub const fn http() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(300))
    }

    /// Sets the jitter, 0 to 1.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the growth from wait to wait.
    #[must_use]
    pub const fn with_factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Limits how often is tried again.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// The wait before trying again after `attempt` earlier tries again: 0 for the first. `random`
    /// is from 0 to 1. `None` when no try is left.
    ///
    /// Values out of range count as the nearest end of it, and nothing overflows, so that a strange
    /// configuration cannot make a busy loop or a panic.
    pub fn delay(&self, attempt: u32, random: f64) -> Option<Duration> {
        if self.attempts.is_some_and(|limit| attempt >= limit) {
            return None;
        }
        let factor = between(self.factor, 1.0, f64::MAX);
        let grown = self.base.as_secs_f64() * factor.powf(f64::from(attempt));
        // 0 times infinity is not a number: a base of 0 stays 0.
        let grown = if grown.is_nan() { 0.0 } else { grown };
        let wait = grown.min(self.cap.as_secs_f64());
        let part = between(self.jitter, 0.0, 1.0) * between(random, 0.0, 1.0);
        Some(Duration::try_from_secs_f64(wait * (1.0 + part)).unwrap_or(self.cap))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::connection()
    }
}

/// `value` within its limits; what is not a number becomes the lower one.
fn between(value: f64, low: f64, high: f64) -> f64 {
    if value.is_nan() {
        low
    } else {
        value.clamp(low, high)
    }
}

/// When a connection or a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The waits.
    pub backoff: Backoff,
    /// A connection that lasted this long starts again with the first wait; default 10 s. Without
    /// it a server that accepts and closes at once would be called in a busy loop.
    #[serde(with = "duration")]
    pub stable_after: Duration,
}

impl RetryPolicy {
    /// A policy with these waits.
    pub const fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            stable_after: Duration::from_secs(10),
        }
    }

    /// For connections to a server.
    pub const fn connection() -> Self {
        Self::new(Backoff::connection())
    }

    /// For HTTP requests.
    pub const fn http() -> Self {
        Self::new(Backoff::http())
    }

    /// Sets how long a connection has to last to count as stable.
    #[must_use]
    pub const fn with_stable_after(mut self, stable_after: Duration) -> Self {
        self.stable_after = stable_after;
        self
    }

    /// The wait before the same request is sent again, `None` if it must not be: no try is left,
    /// or the error says that it may have had an effect or will not pass
    /// ([`Error::is_retryable`]). A server that asks for a longer wait gets it.
    pub fn after_error(&self, error: &Error, attempt: u32, random: f64) -> Option<Duration> {
        if !error.is_retryable() {
            return None;
        }
        let wait = self.backoff.delay(attempt, random)?;
        Some(wait.max(error.retry_after().unwrap_or_default()))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::connection()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Effect, ErrorKind};

    fn millis(backoff: &Backoff, attempts: u32) -> Vec<u128> {
        (0..attempts)
            .map(|attempt| backoff.delay(attempt, 0.5).unwrap().as_millis())
            .collect()
    }

    #[test]
    fn the_presets_double_to_their_cap() {
        let connection = Backoff::connection().with_jitter(0.0);
        assert_eq!(
            millis(&connection, 14),
            [
                2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 5000, 5000
            ]
        );
        let http = Backoff::http().with_jitter(0.0);
        assert_eq!(
            millis(&http, 10),
            [
                1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000
            ]
        );
    }

    #[test]
    fn jitter_comes_on_top_and_may_be_zero() {
        let backoff = Backoff::http().with_jitter(0.5);
        assert_eq!(backoff.delay(0, 0.0), Some(Duration::from_secs(1)));
        assert_eq!(backoff.delay(0, 1.0), Some(Duration::from_millis(1500)));
        let still = backoff.with_jitter(0.0);
        assert_eq!(still.delay(3, 0.0), still.delay(3, 1.0));
    }

    #[test]
    fn the_limit_ends_the_tries() {
        let backoff = Backoff::connection().with_attempts(2);
        assert!(backoff.delay(1, 0.0).is_some());
        assert_eq!(backoff.delay(2, 0.0), None);
    }

    #[test]
    fn only_an_error_without_effect_is_tried_again() {
        let policy = RetryPolicy::http();
        let busy = Error::new(ErrorKind::ServerBusy, "test", "busy");
        assert_eq!(
            policy.after_error(&busy, 0, 0.0),
            Some(Duration::from_secs(1))
        );
        let asked = busy.clone().with_retry_after(Duration::from_secs(30));
        assert_eq!(
            policy.after_error(&asked, 0, 0.0),
            Some(Duration::from_secs(30))
        );
        let unknown = busy.with_effect(Effect::Unknown);
        assert_eq!(policy.after_error(&unknown, 0, 0.0), None);
        let refused = Error::new(ErrorKind::Rejected, "test", "refused");
        assert_eq!(policy.after_error(&refused, 0, 0.0), None);
    }

    #[test]
    fn configuration_goes_both_ways() {
        let json = r#"{"base":"10ms","cap":7,"jitter":0.0,"attempts":3}"#;
        let backoff: Backoff = serde_json::from_str(json).unwrap();
        assert_eq!(backoff.base, Duration::from_millis(10));
        assert_eq!(backoff.cap, Duration::from_secs(7));
        let again = serde_json::to_string(&backoff).unwrap();
        assert_eq!(serde_json::from_str::<Backoff>(&again).unwrap(), backoff);
        assert!(serde_json::from_str::<Backoff>(r#"{"bass":1}"#).is_err());
    }

    proptest! {
        #[test]
        fn no_value_overflows(
            base in any::<u64>(),
            cap in any::<u64>(),
            factor in any::<f64>(),
            jitter in any::<f64>(),
            attempt in any::<u32>(),
            random in any::<f64>(),
        ) {
            let backoff = Backoff::new(Duration::from_secs(base), Duration::from_secs(cap))
                .with_factor(factor)
                .with_jitter(jitter);
            let wait = backoff.delay(attempt, random).unwrap().as_secs_f64();
            prop_assert!(wait >= 0.0 && wait <= backoff.cap.as_secs_f64() * 2.0 + 1.0);
        }
    }
}
