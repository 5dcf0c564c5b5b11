//! The book of the messages that were sent: what is known of each, and what is to be asked next.
//! It decides, and does nothing: time comes in, questions and events go out.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt, mem,
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    message::{MessageKind, MessageState, MessageStatus},
    retry::Backoff,
    webhook::Authenticity,
};

use super::{
    provider::MessageReport,
    record::{Record, Stage},
};
use crate::jobs::{Now, later};

/// How far the search for a message goes back before its submission: clocks differ.
pub(super) const SKEW: Duration = Duration::from_secs(300);
/// The longest wait between two searches for a message that the vendor may not have.
const RARELY: Duration = Duration::from_secs(3600);
/// Reports that wait for the answer to the request that they belong to. Vendors whose reports name
/// our reference need none of these.
const EARLY: usize = 256;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The waits between two questions about a message; the first is the shortest one.
    pub(super) poll: Backoff,
    /// How long a message may be on its way.
    pub(super) patience: Duration,
    /// How long, and how many of, messages that are over stay readable.
    pub(super) retention: Duration,
    pub(super) retained: usize,
    /// Messages that are not over.
    pub(super) open: usize,
}

/// The place of a message in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(u64);

/// What is to be asked of the vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// What became of a message, by the vendor's id.
    Status(String),
    /// Whether there is one with our reference.
    Find { reference: String, since: Timestamp },
}

/// What the poller does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ask(Key, Question),
    At(Instant),
    Idle,
}

/// What the book says to a caller who wants a status.
#[derive(Debug, PartialEq)]
pub(super) enum Look {
    /// No such message.
    Unknown,
    /// This is what is known, and it is final or new.
    Known(Box<MessageStatus>),
    /// It is old: ask, and look again.
    Ask(Key, Question),
}

#[derive(Default)]
pub(super) struct Book {
    records: HashMap<Key, Record>,
    /// By the vendor's ids and by our references.
    names: HashMap<String, Key>,
    /// When the poller asks for which.
    looks: BTreeSet<(Instant, Key)>,
    /// In the order in which they ended.
    over: VecDeque<(Instant, Key)>,
    early: VecDeque<(MessageReport, Authenticity)>,
    /// Messages whose request has no answer so far.
    sending: usize,
    last: u64,
    /// Changes that nobody was told of so far.
    changes: Vec<MessageStatus>,
}

impl Book {
    /// Takes a message whose request is about to be sent.
    pub(super) fn begin(
        &mut self,
        reference: &str,
        kind: MessageKind,
        rules: &Rules,
        now: Now,
    ) -> Result<Key> {
        self.purge(rules, now);
        if self.records.len().saturating_sub(self.over.len()) >= rules.open {
            return Err(Error::new(
                ErrorKind::Overloaded,
                "send_message",
                "too many messages are on their way",
            ));
        }
        let until = later(now.instant, rules.patience);
        let record = Record::sending(reference, kind, now.wall, until);
        let key = self.insert(record);
        self.sending = self.sending.saturating_add(1);
        Ok(key)
    }

    /// The vendor has the message: it said so, or it was found there. Answers the id by which it is
    /// known here.
    pub(super) fn accepted(&mut self, key: Key, id: &str, rules: &Rules, now: Now) -> String {
        self.adopt_id(key, id, now);
        let Some(record) = self.records.get_mut(&key) else {
            return id.to_owned();
        };
        let known = record.id.clone().unwrap_or_else(|| id.to_owned());
        match record.stage {
            Stage::Sending => {
                record.stage = Stage::Open;
                self.ask_at(key, later(now.instant, rules.poll.base));
                self.answered(now);
            }
            // Given up and found later: its status is what is wanted now.
            Stage::Open => self.ask_at(key, now.instant),
            Stage::Over => {}
        }
        self.settle(key, now);
        known
    }

    /// The vendor certainly has no such message: it failed, under our reference. A message that a
    /// callback proved in the meantime goes on.
    pub(super) fn refused(&mut self, key: Key, rules: &Rules, now: Now) -> Option<String> {
        if let Some(proven) = self.proven(key) {
            return Some(self.accepted(key, &proven, rules, now));
        }
        if let Some(record) = self.records.get_mut(&key)
            && record.stage == Stage::Sending
        {
            record.stage = Stage::Open;
            record.named_by_reference = true;
            self.update(key, |record| record.state = MessageState::Failed);
            self.settle(key, now);
            self.answered(now);
        }
        None
    }

    /// Nobody can say whether the vendor has the message. From now on it is known by our reference.
    pub(super) fn gave_up(&mut self, key: Key, rules: &Rules, now: Now) {
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if record.stage != Stage::Sending {
            return;
        }
        record.stage = Stage::Open;
        record.named_by_reference = true;
        self.update(key, |record| {
            record.state = record.state.advance(MessageState::OutcomeUnknown);
        });
        self.ask_at(key, later(now.instant, rules.poll.base));
        self.answered(now);
        self.settle(key, now);
    }

    /// The vendor's id of a message whose request has no answer so far, where a callback told it.
    pub(super) fn proven(&self, key: Key) -> Option<String> {
        self.records.get(&key)?.id.clone()
    }

    /// What the vendor says of a message, proven by `authenticity`.
    pub(super) fn report(&mut self, report: MessageReport, authenticity: Authenticity, now: Now) {
        match self.owner(&report) {
            Some(key) => {
                self.adopt_id(key, &report.id, now);
                self.apply(key, report, authenticity, now);
            }
            // It may belong to a request that has no answer yet.
            None if self.sending > 0 && report.reference.is_none() => {
                self.early.push_back((report, authenticity));
                if self.early.len() > EARLY
                    && let Some((oldest, authenticity)) = self.early.pop_front()
                {
                    self.adopt(oldest, authenticity, true, now);
                }
            }
            None => {
                self.adopt(report, authenticity, true, now);
            }
        }
    }

    /// What the vendor said of a message of an earlier process, when it was asked for it.
    pub(super) fn recalled(&mut self, report: MessageReport, now: Now) -> MessageStatus {
        let authenticity = Authenticity::Fetched;
        let reference = report.reference.clone();
        let key = match self.owner(&report) {
            Some(key) => {
                self.apply(key, report, authenticity, now);
                key
            }
            None => self.adopt(report, authenticity, false, now),
        };
        let status = self.records.get_mut(&key).map(|record| {
            record.asked = Some(now.instant);
            record.reference = record.reference.take().or(reference);
            if let Some(reference) = &record.reference {
                self.names.entry(reference.clone()).or_insert(key);
            }
            record.status()
        });
        status.unwrap_or_else(|| MessageStatus::new("", MessageState::OutcomeUnknown))
    }

    /// What is known of a message, by any of its names.
    pub(super) fn look(&mut self, name: &str, rules: &Rules, now: Now) -> Look {
        self.purge(rules, now);
        let Some(key) = self.names.get(name).copied() else {
            return Look::Unknown;
        };
        let Some(record) = self.records.get_mut(&key) else {
            return Look::Unknown;
        };
        let lately = record
            .asked
            .is_some_and(|at| now.instant.saturating_duration_since(at) < rules.poll.base);
        match record.question(SKEW) {
            Some(question) if !lately && !record.is_settled() => {
                record.asked = Some(now.instant);
                Look::Ask(key, question)
            }
            _ => Look::Known(Box::new(record.status())),
        }
    }

    /// What is known of a message, without a question.
    pub(super) fn status(&self, key: Key) -> Option<MessageStatus> {
        self.records.get(&key).map(Record::status)
    }

    /// What the poller does next. A message that is asked for has its next turn later.
    pub(super) fn due(&mut self, rules: &Rules, now: Now) -> Due {
        while let Some((at, key)) = self.looks.first().copied() {
            if at > now.instant {
                return Due::At(at);
            }
            self.looks.pop_first();
            let Some(record) = self.records.get_mut(&key) else {
                continue;
            };
            record.next = None;
            if now.instant >= record.until {
                self.update(key, |record| {
                    record.state = record.state.advance(MessageState::OutcomeUnknown);
                });
                self.end(key, now);
                continue;
            }
            // A caller asked a moment ago.
            let again = record.asked.map(|asked| later(asked, rules.poll.base));
            if let Some(again) = again.filter(|again| *again > now.instant) {
                self.ask_at(key, again);
                continue;
            }
            record.asked = Some(now.instant);
            let looks = record.looks;
            record.looks = looks.saturating_add(1);
            let question = record.question(SKEW);
            let wait = wait(rules, looks, question.as_ref(), now.fraction());
            self.ask_at(key, later(now.instant, wait));
            if let Some(question) = question {
                return Due::Ask(key, question);
            }
        }
        Due::Idle
    }

    /// The plugin stopped: requests that have no answer get none.
    pub(super) fn stopped(&mut self, rules: &Rules, now: Now) {
        let sending: Vec<_> = self
            .records
            .iter()
            .filter(|(_, record)| record.stage == Stage::Sending)
            .map(|(key, _)| *key)
            .collect();
        for key in sending {
            match self.proven(key) {
                Some(proven) => {
                    self.accepted(key, &proven, rules, now);
                }
                None => self.gave_up(key, rules, now),
            }
        }
    }

    /// Changes since the last call, in their order.
    pub(super) fn changes(&mut self) -> Vec<MessageStatus> {
        mem::take(&mut self.changes)
    }

    /// How many messages are on their way, and how many that are over are readable.
    pub(super) fn counts(&self) -> (usize, usize) {
        let over = self.over.len();
        (self.records.len().saturating_sub(over), over)
    }

    /// The message that a report is about.
    fn owner(&self, report: &MessageReport) -> Option<Key> {
        if let Some(key) = self.names.get(&report.id) {
            return Some(*key);
        }
        let key = self.names.get(report.reference.as_ref()?)?;
        // Another message under our reference is none of ours.
        let record = self.records.get(key)?;
        record.id.is_none().then_some(*key)
    }

    fn insert(&mut self, record: Record) -> Key {
        self.last = self.last.saturating_add(1);
        let key = Key(self.last);
        for name in [&record.reference, &record.id].into_iter().flatten() {
            self.names.entry(name.clone()).or_insert(key);
        }
        self.records.insert(key, record);
        key
    }

    fn remove(&mut self, key: Key) {
        let Some(record) = self.records.remove(&key) else {
            return;
        };
        if let Some(at) = record.next {
            self.looks.remove(&(at, key));
        }
        for name in [record.reference, record.id].into_iter().flatten() {
            if self.names.get(&name) == Some(&key) {
                self.names.remove(&name);
            }
        }
    }

    /// Gives a message the vendor's id, with all that was told under it.
    fn adopt_id(&mut self, key: Key, id: &str, now: Now) {
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if record.id.is_some() {
            return;
        }
        record.id = Some(id.to_owned());
        // A report without our reference came before: what it told is of this message.
        if let Some(stranger) = self.names.insert(id.to_owned(), key)
            && stranger != key
            && let Some(told) = self.records.get(&stranger).cloned()
        {
            self.over.retain(|(_, other)| *other != stranger);
            self.remove(stranger);
            self.names.insert(id.to_owned(), key);
            self.update(key, |record| record.merge(told));
        }
        let (own, rest): (VecDeque<_>, VecDeque<_>) = mem::take(&mut self.early)
            .into_iter()
            .partition(|(report, _)| report.id == id);
        self.early = rest;
        for (report, authenticity) in own {
            self.apply(key, report, authenticity, now);
        }
    }

    fn apply(&mut self, key: Key, report: MessageReport, authenticity: Authenticity, now: Now) {
        self.update(key, |record| {
            record.report(report, authenticity, now.wall);
        });
        self.settle(key, now);
    }

    /// Changes a message, and notes the change where its state is another now.
    fn update(&mut self, key: Key, change: impl FnOnce(&mut Record)) {
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        let before = record.state;
        change(record);
        if record.state != before {
            self.changes.push(record.status());
        }
    }

    /// Ends a message whose state is final.
    fn settle(&mut self, key: Key, now: Now) {
        let ends = self
            .records
            .get(&key)
            .is_some_and(|record| record.stage == Stage::Open && record.is_settled());
        if ends {
            self.end(key, now);
        }
    }

    fn end(&mut self, key: Key, now: Now) {
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if let Some(at) = record.next.take() {
            self.looks.remove(&(at, key));
        }
        if record.stage != Stage::Over {
            record.stage = Stage::Over;
            self.over.push_back((now.instant, key));
        }
    }

    /// A message that this process did not send: of an earlier one, or of another program with the same
    /// account. It is kept as long as one that is over, and not polled.
    fn adopt(
        &mut self,
        report: MessageReport,
        authenticity: Authenticity,
        tell: bool,
        now: Now,
    ) -> Key {
        let mut record = Record::of_others(&report, now);
        record.report(report, authenticity, now.wall);
        if tell {
            self.changes.push(record.status());
        }
        let key = self.insert(record);
        self.over.push_back((now.instant, key));
        key
    }

    /// One request less has no answer. Reports that waited for the last of them are of others.
    fn answered(&mut self, now: Now) {
        self.sending = self.sending.saturating_sub(1);
        if self.sending == 0 {
            for (report, authenticity) in mem::take(&mut self.early) {
                match self.owner(&report) {
                    Some(key) => self.apply(key, report, authenticity, now),
                    None => {
                        self.adopt(report, authenticity, true, now);
                    }
                }
            }
        }
    }

    fn ask_at(&mut self, key: Key, at: Instant) {
        let Some(record) = self.records.get_mut(&key) else {
            return;
        };
        if let Some(before) = record.next.replace(at) {
            self.looks.remove(&(before, key));
        }
        self.looks.insert((at, key));
    }

    /// Forgets what was over for long enough, and the oldest of what is too much.
    pub(super) fn purge(&mut self, rules: &Rules, now: Now) {
        while let Some((at, key)) = self.over.front().copied() {
            let old = now.instant.saturating_duration_since(at) > rules.retention;
            if !old && self.over.len() <= rules.retained {
                return;
            }
            self.over.pop_front();
            self.remove(key);
        }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, over) = self.counts();
        f.debug_struct("Book")
            .field("open", &open)
            .field("over", &over)
            .finish_non_exhaustive()
    }
}

/// The wait after so many questions. What is not in a list so long after its request will hardly come
/// there: it is looked for ever more rarely.
fn wait(rules: &Rules, looks: u32, question: Option<&Question>, random: f64) -> Duration {
    let mut waits = rules.poll;
    if matches!(question, Some(Question::Find { .. })) {
        waits.cap = waits.cap.max(RARELY);
    }
    waits.delay(looks, random).unwrap_or(waits.cap)
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
