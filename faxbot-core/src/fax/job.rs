//! Fax jobs: their status words, and the record of a job and its attempts.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Timestamp,
    address::FaxTarget,
    fax::{AttemptHistory, FaxOutcome, OutcomeStatus},
    id::{CallId, JobId},
    redact,
};

/// The status of a fax job.
///
/// It is written as `queued`, `preparing`, `dispatching`, `in_progress`, `SUCCESS`, `FAILED`,
/// `cancelled` and `outcome_unknown`, exactly so, and read in any case. Any other word, as
/// providers have them, is kept in [`Other`](Self::Other).
///
/// ```text
/// queued, preparing, dispatching, in_progress   <->   each other
///        |                                 \
///        v                                  v
/// SUCCESS, FAILED, cancelled   <----   outcome_unknown
/// ```
/// `Debug` shows a word that is not known only where it looks like one ([`redact::code`]).
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobStatus {
    /// It waits: for its turn, or for the next dial.
    Queued,
    /// The document is being converted.
    Preparing,
    /// The request is on its way to the server or provider.
    Dispatching,
    /// The server or provider works on it.
    InProgress,
    /// Every page was confirmed. Final.
    Success,
    /// It certainly did not arrive as a whole. Final.
    Failed,
    /// The caller cancelled it. Final.
    Cancelled,
    /// Nobody can say. Left only on evidence, to one of the final ones.
    OutcomeUnknown,
    /// A word of a provider that has no meaning here.
    Other(String),
}

impl JobStatus {
    /// Reads a status in any case; an unknown word is kept.
    pub fn parse(word: &str) -> Self {
        let known = [
            Self::Queued,
            Self::Preparing,
            Self::Dispatching,
            Self::InProgress,
            Self::Success,
            Self::Failed,
            Self::Cancelled,
            Self::OutcomeUnknown,
        ];
        known
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(word.trim()))
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Queued => "queued",
            Self::Preparing => "preparing",
            Self::Dispatching => "dispatching",
            Self::InProgress => "in_progress",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelled => "cancelled",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Other(word) => word,
        }
    }

    /// Whether it is final: `SUCCESS`, `FAILED` or `cancelled`.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// What becomes of this status when `next` is reported.
    pub fn advance(&self, next: &Self) -> Advance {
        if self == next {
            return Advance::Unchanged;
        }
        match (self, next) {
            (_, Self::Other(_)) => Advance::UnknownWord,
            (Self::Success | Self::Failed | Self::Cancelled, _) => Advance::Absorbed,
            (Self::OutcomeUnknown, next) if !next.is_final() => Advance::NeedsEvidence,
            _ => Advance::To(next.clone()),
        }
    }
}

/// What [`JobStatus::advance`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advance {
    /// The job takes this status.
    To(JobStatus),
    /// It already has it.
    Unchanged,
    /// The word has no meaning here: kept, and nothing changes.
    UnknownWord,
    /// The job is final: a late report changes nothing.
    Absorbed,
    /// The outcome is unknown: only `SUCCESS`, `FAILED` or `cancelled` ends that.
    NeedsEvidence,
}

impl fmt::Debug for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "Queued",
            Self::Preparing => "Preparing",
            Self::Dispatching => "Dispatching",
            Self::InProgress => "InProgress",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::Other(word) => {
                return f.debug_tuple("Other").field(&redact::code(word)).finish();
            }
        })
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for JobStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for JobStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::parse(&word))
    }
}

/// One call of a job. It sends the pages from [`first_page`](Self::first_page) to the last one of
/// the document, and its outcome counts those alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// 1-based.
    pub number: u32,
    /// The call: [`CallId::for_attempt`] of the job and this number.
    pub call_id: CallId,
    /// The first page that it sends, 1-based, by the count of the document.
    #[serde(default = "first_page")]
    pub first_page: u32,
    /// When the call was requested.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How it ended, with the pages of this call alone; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<FaxOutcome>,
}

/// Records of before a call could begin at another page.
fn first_page() -> u32 {
    1
}

impl Attempt {
    /// A call that runs, requested at `started`, from the first page on.
    pub fn new(number: u32, call_id: CallId, started: Timestamp) -> Self {
        Self {
            number,
            call_id,
            first_page: first_page(),
            started,
            ended: None,
            outcome: None,
        }
    }

    /// Sets the first page that it sends, 1-based.
    #[must_use]
    pub fn with_first_page(mut self, page: u32) -> Self {
        self.first_page = page;
        self
    }

    /// Pages of the document that were confirmed before this call.
    pub fn earlier_pages(&self) -> u32 {
        self.first_page.saturating_sub(1)
    }

    /// Pages that this call is known to have brought; `None` when nobody can say, and while it
    /// runs.
    pub fn pages_confirmed(&self) -> Option<u32> {
        let outcome = self.outcome.as_ref()?;
        if outcome.certainly_nothing_delivered() {
            return Some(0);
        }
        outcome
            .pages_confirmed
            .filter(|_| outcome.status != OutcomeStatus::Unknown)
    }
}

/// The record of a fax job. `Debug` shows the provider's word only where it looks like one
/// ([`redact::code`]).
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Job {
    /// Chosen by the caller; random by default.
    pub id: JobId,
    /// Where it is.
    pub status: JobStatus,
    /// Who gets it.
    pub to: FaxTarget,
    /// Pages of the document: read from the converted file, or as a call of an earlier process
    /// told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_total: Option<u32>,
    /// When it was taken.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// When the next call is due, while it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_dial: Option<Timestamp>,
    /// Its calls, in order.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// The last word of the provider that has no meaning here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_status: Option<String>,
    /// What its calls came to.
    #[serde(default)]
    pub history: AttemptHistory,
}

impl Job {
    /// A queued job.
    pub fn new(id: JobId, to: FaxTarget, now: Timestamp) -> Self {
        Self {
            id,
            status: JobStatus::Queued,
            to,
            pages_total: None,
            created: now,
            updated: now,
            next_dial: None,
            attempts: Vec::new(),
            provider_status: None,
            history: AttemptHistory::new(),
        }
    }

    /// Takes a reported status by the rules of [`JobStatus::advance`]. An unknown word is kept
    /// beside the status.
    pub fn report(&mut self, next: &JobStatus, now: Timestamp) -> Advance {
        let advance = self.status.advance(next);
        match (&advance, next) {
            (Advance::To(status), _) => {
                self.status = status.clone();
                self.updated = now;
            }
            (Advance::UnknownWord, JobStatus::Other(word)) => {
                self.provider_status = Some(word.clone());
                self.updated = now;
            }
            _ => {}
        }
        advance
    }

    /// Pages of the document that the far end confirmed in all calls that ended; `None` when the
    /// count of one of them is not known.
    pub fn pages_confirmed(&self) -> Option<u32> {
        self.attempts
            .iter()
            .filter(|attempt| attempt.outcome.is_some())
            .try_fold(0_u32, |sum, attempt| {
                Some(sum.saturating_add(attempt.pages_confirmed()?))
            })
    }

    /// The first page that is not confirmed, 1-based: where the next call begins.
    pub fn next_page(&self) -> u32 {
        self.attempts
            .iter()
            .filter_map(Attempt::pages_confirmed)
            .fold(1, u32::saturating_add)
    }

    /// Begins the next call, from the [`next_page`](Self::next_page) on, and answers its id. The
    /// record is to be stored before the call is requested, so that after a crash the call can be
    /// asked for.
    pub fn begin_attempt(&mut self, now: Timestamp) -> CallId {
        let number = self
            .attempts
            .last()
            .map_or(0, |last| last.number)
            .saturating_add(1);
        let call_id = CallId::for_attempt(&self.id, number);
        let attempt = Attempt::new(number, call_id, now).with_first_page(self.next_page());
        self.attempts.push(attempt);
        self.next_dial = None;
        self.updated = now;
        call_id
    }

    /// Ends the call that runs, and counts it. `outcome` has the pages of that call. Answers `false`,
    /// and changes nothing, when `call_id` is not the call that runs: a late or repeated report is
    /// not counted twice.
    pub fn end_attempt(&mut self, call_id: CallId, outcome: FaxOutcome, now: Timestamp) -> bool {
        let Some(attempt) = self
            .attempts
            .last_mut()
            .filter(|attempt| attempt.call_id == call_id && attempt.outcome.is_none())
        else {
            return false;
        };
        self.history.record(&outcome);
        attempt.ended = Some(now);
        attempt.outcome = Some(outcome);
        self.updated = now;
        true
    }

    /// How the last call ended that did, with the pages of the whole document.
    pub fn outcome(&self) -> Option<FaxOutcome> {
        self.attempts.iter().rev().find_map(|attempt| {
            let outcome = attempt.outcome.clone()?;
            Some(outcome.with_earlier_pages(attempt.earlier_pages()))
        })
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let provider_status = self.provider_status.as_deref().map(redact::code);
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("to", &self.to)
            .field("pages_total", &self.pages_total)
            .field("created", &self.created)
            .field("updated", &self.updated)
            .field("next_dial", &self.next_dial)
            .field("attempts", &self.attempts)
            .field("provider_status", &provider_status)
            .field("history", &self.history)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fax::{FailureClass, FailurePhase, FaxFailure};

    const WORDS: [&str; 8] = [
        "queued",
        "preparing",
        "dispatching",
        "in_progress",
        "SUCCESS",
        "FAILED",
        "cancelled",
        "outcome_unknown",
    ];

    #[test]
    fn status_words_are_written_exactly_and_read_in_any_case() {
        for word in WORDS {
            let status = JobStatus::parse(word);
            assert!(!matches!(status, JobStatus::Other(_)), "{word}");
            assert_eq!(serde_json::to_value(&status).unwrap(), word);
            for read in [
                word.to_lowercase(),
                word.to_uppercase(),
                format!(" {word} "),
            ] {
                assert_eq!(JobStatus::parse(&read), status, "{read}");
            }
        }
    }

    #[test]
    fn an_unknown_word_is_kept_and_changes_nothing() {
        let word = JobStatus::parse("Media.Processed");
        assert_eq!(serde_json::to_value(&word).unwrap(), "Media.Processed");
        for status in WORDS.map(JobStatus::parse) {
            assert_eq!(status.advance(&word), Advance::UnknownWord);
        }
        let mut job = job();
        assert_eq!(
            job.report(&word, Timestamp::UNIX_EPOCH),
            Advance::UnknownWord
        );
        assert_eq!(job.status, JobStatus::Queued);
        assert_eq!(job.provider_status.as_deref(), Some("Media.Processed"));
        assert!(format!("{word:?} {job:?}").contains("Other(\"Media.Processed\")"));
        let told = JobStatus::parse("not to +15550104477");
        job.report(&told, Timestamp::UNIX_EPOCH);
        assert_eq!(job.provider_status.as_deref(), Some(told.as_str()));
        assert!(!format!("{told:?} {job:?}").contains("4477"));
    }

    #[test]
    fn final_states_absorb_every_late_report() {
        for end in [JobStatus::Success, JobStatus::Failed, JobStatus::Cancelled] {
            for late in WORDS.map(JobStatus::parse) {
                let expected = if late == end {
                    Advance::Unchanged
                } else {
                    Advance::Absorbed
                };
                assert_eq!(end.advance(&late), expected, "{end} then {late}");
            }
        }
    }

    #[test]
    fn an_unknown_outcome_is_left_only_for_a_final_state() {
        for next in WORDS.map(JobStatus::parse) {
            let expected = match &next {
                JobStatus::OutcomeUnknown => Advance::Unchanged,
                next if next.is_final() => Advance::To(next.clone()),
                _ => Advance::NeedsEvidence,
            };
            assert_eq!(JobStatus::OutcomeUnknown.advance(&next), expected, "{next}");
        }
    }

    #[test]
    fn an_attempt_is_counted_once_and_its_call_id_follows_from_the_job() {
        let mut job = job();
        let first = job.begin_attempt(Timestamp::UNIX_EPOCH);
        assert_eq!(first, CallId::for_attempt(&job.id, 1));
        let outcome = FaxOutcome::unknown(Some(1), Some(3));
        assert!(job.end_attempt(first, outcome.clone(), Timestamp::UNIX_EPOCH));
        assert!(!job.end_attempt(first, outcome.clone(), Timestamp::UNIX_EPOCH));
        let second = job.begin_attempt(Timestamp::UNIX_EPOCH);
        assert_ne!(first, second);
        assert!(!job.end_attempt(first, outcome.clone(), Timestamp::UNIX_EPOCH));
        assert_eq!((job.history.dials, job.outcome()), (1, Some(outcome)));
    }

    #[test]
    fn each_call_begins_behind_the_pages_that_are_confirmed() {
        let end = |job: &mut Job, confirmed, total| {
            let failure = FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission);
            let call = job.begin_attempt(Timestamp::UNIX_EPOCH);
            let outcome = FaxOutcome::failed(failure, confirmed, Some(total));
            job.end_attempt(call, outcome, Timestamp::UNIX_EPOCH);
        };
        let mut job = job();
        assert_eq!((job.pages_confirmed(), job.next_page()), (Some(0), 1));
        end(&mut job, Some(2), 5);
        end(&mut job, Some(0), 3);
        end(&mut job, Some(1), 3);
        assert_eq!((job.pages_confirmed(), job.next_page()), (Some(3), 4));
        let first: Vec<_> = job.attempts.iter().map(|a| a.first_page).collect();
        assert_eq!(first, [1, 3, 3]);
        let whole = job.outcome().unwrap();
        assert_eq!(
            (whole.pages_confirmed, whole.pages_total),
            (Some(3), Some(5))
        );
        end(&mut job, Some(2), 2);
        assert!(job.outcome().unwrap().is_success());
        assert_eq!(job.pages_confirmed(), Some(5));
        // What is not known stays so.
        end(&mut job, None, 1);
        assert_eq!(job.pages_confirmed(), None);
    }

    #[test]
    fn a_record_of_before_a_call_could_begin_at_another_page_is_read() {
        let mut attempt = serde_json::to_value(Attempt::new(
            1,
            CallId::for_attempt(&JobId::new(), 1),
            Timestamp::UNIX_EPOCH,
        ))
        .unwrap();
        attempt.as_object_mut().unwrap().remove("first_page");
        let attempt: Attempt = serde_json::from_value(attempt).unwrap();
        assert_eq!(attempt.first_page, 1);
    }

    fn job() -> Job {
        let to = "+15550100123".parse::<crate::address::Address>().unwrap();
        Job::new(
            JobId::new(),
            FaxTarget::try_from(to).unwrap(),
            Timestamp::UNIX_EPOCH,
        )
    }

    proptest! {
        #[test]
        fn no_order_of_reports_moves_a_finished_job(
            words in prop::collection::vec(
                prop::sample::select([&WORDS[..], &["ringing", "no-answer"]].concat()), 0..40),
        ) {
            let mut job = job();
            let mut ended: Option<JobStatus> = None;
            let mut unknown = false;
            for word in words {
                job.report(&JobStatus::parse(word), Timestamp::UNIX_EPOCH);
                if let Some(end) = &ended {
                    prop_assert_eq!(&job.status, end);
                }
                if unknown {
                    prop_assert!(job.status.is_final() || job.status == JobStatus::OutcomeUnknown);
                }
                unknown |= job.status == JobStatus::OutcomeUnknown;
                if job.status.is_final() {
                    ended = Some(job.status.clone());
                }
            }
        }
    }
}
