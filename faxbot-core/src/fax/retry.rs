//! Should a fax be dialled again? One pure function of outcome, history and policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fax::{FailureClass, FaxFailure, FaxOutcome, OutcomeStatus};

/// What to do after a fax call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Dial again at once, with one thing changed.
    Now {
        /// What to change.
        alt: Alternative,
    },
    /// Dial again after this long. After a communication error,
    /// [`AttemptHistory::next_step`] says what to change.
    After(Duration),
    /// Dial again at once over another trunk.
    OtherRoute,
    /// Do not dial again.
    Never,
}

/// One thing that the next dial does otherwise. The first four are the ladder of a communication
/// error, one step a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Alternative {
    /// At most 9600 bit/s, without V.17.
    MaxRate9600,
    /// Error correction on if it was off, off if it was on.
    ToggleEcm,
    /// 4800 bit/s at standard resolution.
    Slowest,
    /// T.38 if it was audio, audio if it was T.38.
    OtherTransport,
    /// G.711 audio in place of T.38.
    G711,
    /// The document rendered again at standard resolution, 1728 pixels wide.
    RerenderStandard,
}

impl Alternative {
    const LADDER: [Self; 4] = [
        Self::MaxRate9600,
        Self::ToggleEcm,
        Self::Slowest,
        Self::OtherTransport,
    ];

    const ALL: [Self; 6] = [
        Self::MaxRate9600,
        Self::ToggleEcm,
        Self::Slowest,
        Self::OtherTransport,
        Self::G711,
        Self::RerenderStandard,
    ];
}

/// When a fax is dialled again. The defaults are those of HylaFAX where it has one
/// (`config.h.in`: `FAX_REQBUSY`, `FAX_REQPROTO`; job `MAXDIALS`, `MAXTRIES`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FaxRetryPolicy {
    /// Calls a job may place; 12.
    pub max_dials: u32,
    /// Calls of a job that may reach a fax; 3.
    pub max_tries: u32,
    /// Wait after busy; 3 minutes.
    pub busy: Duration,
    /// Waits after the first, second, ... call that nobody answered; 5 and 15 minutes. A number
    /// that no fax ever answered at is given up after the last one; a number that was reached
    /// before is dialled on at the last interval.
    pub no_answer: Vec<Duration>,
    /// First wait after congestion, doubled each time; 1 minute.
    pub congestion_base: Duration,
    /// Longest wait after congestion; 15 minutes.
    pub congestion_cap: Duration,
    /// Wait after a communication error; 1 minute.
    pub comm_error: Duration,
    /// Wait after something that is no fax answered; 5 minutes.
    pub not_a_fax: Duration,
    /// More calls to a number where something that is no fax answered; 1. A person may have
    /// picked up.
    pub not_a_fax_retries: u32,
    /// Trunks that may be used, the first one included; 1.
    pub routes: u32,
    /// What the caller can change between dials; all by default.
    pub alternatives: Vec<Alternative>,
    /// Whether a call goes on behind the confirmed pages; `true` by default. Without it a fax with
    /// a confirmed page is not dialled again. A caller that cannot send a part of a document sets
    /// it to `false`.
    pub resume: bool,
    /// Part of a wait that is added at random at most, 0 to 1; 0.1. May be 0.
    pub jitter: f64,
}

impl Default for FaxRetryPolicy {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        Self {
            max_dials: 12,
            max_tries: 3,
            busy: 3 * MINUTE,
            no_answer: vec![5 * MINUTE, 15 * MINUTE],
            congestion_base: MINUTE,
            congestion_cap: 15 * MINUTE,
            comm_error: MINUTE,
            not_a_fax: 5 * MINUTE,
            not_a_fax_retries: 1,
            routes: 1,
            alternatives: Alternative::ALL.to_vec(),
            resume: true,
            jitter: 0.1,
        }
    }
}

impl FaxRetryPolicy {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Never dials again.
    pub fn never() -> Self {
        Self::default().with_budgets(1, 1)
    }

    /// Sets how many calls a job may place, and how many of them may reach a fax.
    #[must_use]
    pub fn with_budgets(mut self, dials: u32, tries: u32) -> Self {
        self.max_dials = dials;
        self.max_tries = tries;
        self
    }

    /// Sets what the caller can change between dials.
    #[must_use]
    pub fn with_alternatives(mut self, alternatives: Vec<Alternative>) -> Self {
        self.alternatives = alternatives;
        self
    }

    /// Sets how many trunks there are.
    #[must_use]
    pub fn with_routes(mut self, routes: u32) -> Self {
        self.routes = routes;
        self
    }

    /// Sets whether a call goes on behind the confirmed pages.
    #[must_use]
    pub fn with_resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Sets the part of a wait that is added at random, 0 to 1.
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    fn can(&self, alternative: Alternative, history: &AttemptHistory) -> bool {
        self.alternatives.contains(&alternative) && !history.used.contains(&alternative)
    }

    fn wait(&self, base: Duration, failure: &FaxFailure, random: u64) -> RetryDecision {
        if failure
            .retry_after
            .is_some_and(|after| after > RETRY_AFTER_MAX)
        {
            return RetryDecision::Never;
        }
        // The server's wish is a lower bound, and the jitter comes on top of it.
        let base = failure.retry_after.map_or(base, |after| base.max(after));
        let jitter = if self.jitter.is_finite() {
            self.jitter.clamp(0.0, 1.0)
        } else {
            0.0
        };
        // The top 32 bits are exact in an f64.
        let part = f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        let extra = Duration::try_from_secs_f64(base.as_secs_f64() * jitter * part);
        RetryDecision::After(base.saturating_add(extra.unwrap_or_default()))
    }
}

/// A network that asks for a longer wait gets no further call: the number comes from outside, a job
/// must not wait for years, and a call before that time is not wanted.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a job's calls came to so far. Dials (all calls) and tries (calls that reached a fax) are
/// counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AttemptHistory {
    /// Calls placed.
    pub dials: u32,
    /// Calls that reached a fax.
    pub tries: u32,
    /// Calls that nobody answered.
    pub no_answers: u32,
    /// Calls that met congestion.
    pub congestions: u32,
    /// Calls that something else than a fax answered.
    pub not_a_faxes: u32,
    /// Calls where T.38 could not be agreed on.
    pub t38_troubles: u32,
    /// Changes to other trunks.
    pub route_changes: u32,
    /// What was changed so far.
    pub used: Vec<Alternative>,
    /// Whether a fax answered at this number in an earlier job.
    pub reached_before: bool,
}

impl AttemptHistory {
    /// No call yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that a fax answered at this number in an earlier job.
    #[must_use]
    pub fn with_reached_before(mut self, reached: bool) -> Self {
        self.reached_before = reached;
        self
    }

    /// Counts a call that ended.
    pub fn record(&mut self, outcome: &FaxOutcome) {
        bump(&mut self.dials);
        // An unknown outcome may have reached a fax.
        if outcome
            .failure
            .as_ref()
            .is_none_or(FaxFailure::reached_a_fax)
        {
            bump(&mut self.tries);
        }
        match outcome.class() {
            Some(FailureClass::NoAnswer) => bump(&mut self.no_answers),
            Some(FailureClass::Congestion) => bump(&mut self.congestions),
            Some(FailureClass::NotAFax) => bump(&mut self.not_a_faxes),
            Some(FailureClass::T38) => bump(&mut self.t38_troubles),
            _ => {}
        }
    }

    /// Notes that the next call goes over another trunk. Trouble with the last one says nothing
    /// about it, so its waits start anew.
    pub fn change_route(&mut self) {
        bump(&mut self.route_changes);
        self.congestions = 0;
    }

    /// Notes that the next call changes `alternative`.
    pub fn change(&mut self, alternative: Alternative) {
        if !self.used.contains(&alternative) {
            self.used.push(alternative);
        }
    }

    /// The next step of the ladder after a communication error (at most 9600 bit/s, ECM toggled,
    /// slowest, other transport), among those that the policy allows; `None` to dial as before.
    pub fn next_step(&self, policy: &FaxRetryPolicy) -> Option<Alternative> {
        Alternative::LADDER
            .into_iter()
            .find(|step| policy.can(*step, self))
    }
}

fn bump(count: &mut u32) {
    *count = count.saturating_add(1);
}

/// Decides whether a fax whose last call ended with `outcome` is dialled again. The outcome has the
/// pages of the whole document ([`Job::outcome`](super::Job::outcome)).
///
/// `history` has that call counted ([`AttemptHistory::record`]). `random` is any 64 random bits,
/// for the jitter. The caller notes what it follows ([`AttemptHistory::change_route`],
/// [`AttemptHistory::change`]), and gives up by itself when its deadline comes before the wait
/// ends.
///
/// A wait is never shorter than the network asked for; when that is more than a day, the answer is
/// [`RetryDecision::Never`].
///
/// An unknown outcome is always [`RetryDecision::Never`]: a second fax to a clinic is a
/// disclosure. So is a fax of which a page was perhaps confirmed; and, unless the policy resumes,
/// one of which a page was.
pub fn decide(
    outcome: &FaxOutcome,
    history: &AttemptHistory,
    policy: &FaxRetryPolicy,
    random: u64,
) -> RetryDecision {
    let (OutcomeStatus::Failed, Some(failure)) = (outcome.status, &outcome.failure) else {
        return RetryDecision::Never;
    };
    if history.dials >= policy.max_dials || history.tries >= policy.max_tries {
        return RetryDecision::Never;
    }
    // To resume, the count must be known.
    let resumable = policy.resume && outcome.pages_confirmed.is_some();
    if !resumable && !outcome.certainly_nothing_delivered() {
        return RetryDecision::Never;
    }
    let other_route = history.route_changes.saturating_add(1) < policy.routes;
    let elsewhere = || {
        if other_route {
            RetryDecision::OtherRoute
        } else {
            RetryDecision::Never
        }
    };
    match failure.class {
        FailureClass::Busy => policy.wait(policy.busy, failure, random),
        FailureClass::NoAnswer => match no_answer_wait(history, policy) {
            Some(base) => policy.wait(base, failure, random),
            None => RetryDecision::Never,
        },
        FailureClass::Congestion if other_route => RetryDecision::OtherRoute,
        FailureClass::Congestion => {
            let doubled = 1_u32.checked_shl(history.congestions.saturating_sub(1));
            let base = policy
                .congestion_base
                .saturating_mul(doubled.unwrap_or(u32::MAX));
            policy.wait(base.min(policy.congestion_cap), failure, random)
        }
        FailureClass::CommError => policy.wait(policy.comm_error, failure, random),
        FailureClass::T38 if policy.can(Alternative::G711, history) => RetryDecision::Now {
            alt: Alternative::G711,
        },
        FailureClass::T38 | FailureClass::LocalConfig => elsewhere(),
        // A person who picks up refuses T.38 first, so that call counts as one of theirs.
        FailureClass::NotAFax
            if history.not_a_faxes.saturating_add(history.t38_troubles)
                <= policy.not_a_fax_retries =>
        {
            policy.wait(policy.not_a_fax, failure, random)
        }
        FailureClass::Document
            if failure
                .t30()
                .is_some_and(|result| result.wants_other_rendering())
                && policy.can(Alternative::RerenderStandard, history) =>
        {
            RetryDecision::Now {
                alt: Alternative::RerenderStandard,
            }
        }
        FailureClass::NotAFax
        | FailureClass::Document
        | FailureClass::InvalidNumber
        | FailureClass::Rejected
        | FailureClass::Cancelled
        | FailureClass::Unknown => RetryDecision::Never,
    }
}

fn no_answer_wait(history: &AttemptHistory, policy: &FaxRetryPolicy) -> Option<Duration> {
    let nth = usize::try_from(history.no_answers.saturating_sub(1)).ok()?;
    let reached = history.reached_before || history.tries > 0;
    let last = || policy.no_answer.last().filter(|_| reached);
    policy.no_answer.get(nth).or_else(last).copied()
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
