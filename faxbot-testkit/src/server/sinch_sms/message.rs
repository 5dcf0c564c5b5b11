//! One message of a batch: the states that it goes through, and when.

use std::fmt;

use faxbot_core::Timestamp;

use super::script::{SmsEnd, SmsPace};

/// A state from a time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) word: String,
    pub(super) code: u32,
}

/// A message to one recipient.
#[derive(Clone)]
pub(super) struct Message {
    /// Digits.
    pub(super) to: String,
    /// In the order of their times.
    steps: Vec<Step>,
}

impl Message {
    pub(super) fn new(to: String, now: Timestamp) -> Self {
        let mut message = Self {
            to,
            steps: Vec::new(),
        };
        message.step(now, "Queued", 400);
        message
    }

    fn step(&mut self, at: Timestamp, word: &str, code: u32) {
        self.steps.push(Step {
            at,
            word: word.to_owned(),
            code,
        });
    }

    /// Everything from the start on.
    pub(super) fn goes(&mut self, start: Timestamp, pace: SmsPace, end: &SmsEnd) {
        let mut at = start + pace.queued;
        if end.is_dispatched() {
            self.step(at, "Dispatched", 401);
            at = at + pace.dispatched;
        }
        if let Some((word, code)) = end.last() {
            self.step(at, word, code);
        }
    }

    /// What would come at that time or later does not.
    pub(super) fn expires(&mut self, expire: Timestamp) {
        let before = self.steps.len();
        self.steps
            .retain(|step| step.word == "Queued" || step.at < expire);
        if self.steps.len() < before {
            self.step(expire, "Expired", 406);
        }
    }

    /// Stops it, if it is not on its way yet. One that was to be sent later has no report at all (the
    /// documentation of `cancel` in sinch-sdk-python `batches_apis.py`).
    pub(super) fn cancel(&mut self, now: Timestamp, is_for_later: bool) {
        if is_for_later {
            self.steps.clear();
        } else if self.state(now).is_some_and(|step| step.word == "Queued") {
            self.steps.truncate(1);
            self.step(now, "Cancelled", 407);
        }
    }

    /// Ends it now, whatever was to come; nothing when it is over.
    pub(super) fn settle(&mut self, now: Timestamp, end: &SmsEnd) {
        if self.is_over(now) {
            return;
        }
        self.steps.retain(|step| step.at <= now);
        if let Some((word, code)) = end.last() {
            self.step(now, word, code);
        }
    }

    /// Where it is.
    pub(super) fn state(&self, now: Timestamp) -> Option<&Step> {
        self.steps.iter().rev().find(|step| step.at <= now)
    }

    /// Whether nothing comes any more.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.state(now).is_some_and(Step::is_final)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Step {
    pub(super) fn is_final(&self) -> bool {
        !matches!(self.word.as_str(), "Queued" | "Dispatched")
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PACE: SmsPace = SmsPace::new(Duration::from_secs(1), Duration::from_secs(2));

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn message(end: &SmsEnd) -> Message {
        let mut message = Message::new("15551234567".into(), seconds(0));
        message.goes(seconds(0), PACE, end);
        message
    }

    fn words(message: &Message, at: &[u64]) -> Vec<(String, u32)> {
        let states = at.iter().filter_map(|at| message.state(seconds(*at)));
        states.map(|step| (step.word.clone(), step.code)).collect()
    }

    #[test]
    fn a_message_is_queued_dispatched_and_ends() {
        let of = |words: &[(&str, u32)]| -> Vec<(String, u32)> {
            words
                .iter()
                .map(|(word, code)| ((*word).into(), *code))
                .collect()
        };
        let queued = ("Queued", 400);
        let dispatched = ("Dispatched", 401);
        for (end, last) in [
            (SmsEnd::Delivered, ("Delivered", 0)),
            (SmsEnd::Failed(404), ("Failed", 404)),
            (SmsEnd::Endless, dispatched),
            (SmsEnd::Word("Parked".into(), 77), ("Parked", 77)),
        ] {
            assert_eq!(
                words(&message(&end), &[0, 1, 3]),
                of(&[queued, dispatched, last])
            );
        }
        let rejected = message(&SmsEnd::Rejected(402));
        assert_eq!(words(&rejected, &[0, 1]), of(&[queued, ("Rejected", 402)]));
    }

    #[test]
    fn only_what_is_queued_can_be_cancelled() {
        let mut early = message(&SmsEnd::Delivered);
        early.cancel(seconds(0), false);
        assert_eq!(words(&early, &[9]), [("Cancelled".into(), 407)]);
        let mut late = message(&SmsEnd::Delivered);
        late.cancel(seconds(2), false);
        assert_eq!(words(&late, &[9]), [("Delivered".into(), 0)]);
        let mut later = message(&SmsEnd::Delivered);
        later.cancel(seconds(0), true);
        assert_eq!(words(&later, &[9]), []);
    }

    #[test]
    fn a_message_that_is_late_expires_and_one_in_time_does_not() {
        let mut late = message(&SmsEnd::Delivered);
        late.expires(seconds(2));
        assert_eq!(words(&late, &[9]), [("Expired".into(), 406)]);
        let mut early = message(&SmsEnd::Delivered);
        early.expires(seconds(9));
        assert_eq!(words(&early, &[9]), [("Delivered".into(), 0)]);
    }
}
