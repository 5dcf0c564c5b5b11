//! The messages of this process and where each one is. Decides only; `now` comes from outside.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use faxbot_core::{
    Timestamp,
    message::{MessageKind, MessageState, MessageStatus},
};

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retention {
    pub(super) messages: usize,
    pub(super) time: Duration,
}

/// Statuses by id: that of the adapter, or our reference for one that has none (so far).
#[derive(Debug, Default)]
pub(super) struct Book {
    records: HashMap<String, Record>,
    /// Ids of the adapter that came too late, each with the reference that was told instead.
    aliases: HashMap<String, String>,
    /// In the order in which they came, so that the oldest go first.
    order: BTreeMap<u64, (Instant, String)>,
    counter: u64,
}

#[derive(Debug)]
struct Record {
    status: MessageStatus,
    place: u64,
    /// The adapter's id of a record that is known by our reference.
    alias: Option<String>,
}

impl Book {
    /// A message is about to be sent. Until something else is known nobody can say what became of it,
    /// so that is what stands here should its task be cut off.
    pub(super) fn begin(&mut self, reference: &str, keep: Retention, now: Instant) {
        self.insert(reference, MessageState::OutcomeUnknown, keep, now);
    }

    /// It certainly was not sent: nothing is known under this reference any more.
    pub(super) fn forget(&mut self, reference: &str) {
        if let Some(record) = self.records.remove(reference) {
            self.order.remove(&record.place);
            if let Some(alias) = record.alias {
                self.aliases.remove(&alias);
            }
        }
    }

    /// The server took it: from now on it is known by the adapter's id. What it tells of it follows.
    pub(super) fn taken(&mut self, reference: &str, id: &str, keep: Retention, now: Instant) {
        self.forget(reference);
        // An adapter that gives one id twice starts anew.
        self.forget(id);
        self.free(id);
        self.insert(id, MessageState::Queued, keep, now);
    }

    /// The server took it after its caller was told that nobody knows: its reference stays its name.
    pub(super) fn taken_late(&mut self, reference: &str, id: &str) {
        if id.is_empty() || !self.records.contains_key(reference) {
            return;
        }
        self.free(id);
        if let Some(record) = self.records.get_mut(reference) {
            record.alias = Some(id.to_owned());
            self.aliases.insert(id.to_owned(), reference.to_owned());
        }
    }

    /// What is told under an id is no longer told of the message that came late under it.
    fn free(&mut self, id: &str) {
        if let Some(reference) = self.aliases.remove(id)
            && let Some(record) = self.records.get_mut(&reference)
        {
            record.alias = None;
        }
    }

    /// Something was told of a message. The status as it is now, if that changed it.
    pub(super) fn tell(&mut self, told: &MessageStatus, at: Timestamp) -> Option<MessageStatus> {
        let id = self.aliases.get(&told.message_id);
        let record = self.records.get_mut(id.unwrap_or(&told.message_id))?;
        let status = &mut record.status;
        let before = status.status;
        status.status = before.advance(told.status);
        // What it says besides belongs to its state; of a state that it did not bring it says nothing.
        if status.status != told.status {
            return None;
        }
        let times = (status.delivered_at, status.read_at);
        match told.status {
            MessageState::Delivered => {
                status.delivered_at = status.delivered_at.or(told.delivered_at).or(Some(at));
            }
            MessageState::Read => {
                status.delivered_at = status.delivered_at.or(told.delivered_at);
                status.read_at = status.read_at.or(told.read_at).or(Some(at));
            }
            _ => {}
        }
        if told.raw.is_some() {
            status.raw.clone_from(&told.raw);
        }
        let changed = status.status != before || times != (status.delivered_at, status.read_at);
        changed.then(|| status.clone())
    }

    /// Where a message is.
    pub(super) fn status(
        &mut self,
        id: &str,
        keep: Retention,
        now: Instant,
    ) -> Option<MessageStatus> {
        self.purge(keep, now);
        let id = self.aliases.get(id).map_or(id, String::as_str);
        self.records.get(id).map(|record| record.status.clone())
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    fn insert(&mut self, id: &str, state: MessageState, keep: Retention, now: Instant) {
        self.counter = self.counter.saturating_add(1);
        let mut status = MessageStatus::new(id, state);
        status.kind = Some(MessageKind::Sip);
        let record = Record {
            status,
            place: self.counter,
            alias: None,
        };
        self.order.insert(self.counter, (now, id.to_owned()));
        self.records.insert(id.to_owned(), record);
        self.purge(keep, now);
    }

    fn purge(&mut self, keep: Retention, now: Instant) {
        while let Some((_, (at, id))) = self.order.first_key_value() {
            let old = now.saturating_duration_since(*at) > keep.time;
            if !old && self.order.len() <= keep.messages {
                return;
            }
            let id = id.clone();
            self.forget(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use MessageState::{Delivered, Failed, HandedOver, OutcomeUnknown, Read, Sent};

    use super::*;

    const KEEP: Retention = Retention {
        messages: 3,
        time: Duration::from_secs(60),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_seconds(second).unwrap()
    }

    fn told(id: &str, state: MessageState) -> MessageStatus {
        MessageStatus::new(id, state)
    }

    #[test]
    fn what_is_told_advances_a_status_and_changes_are_told_once() {
        let now = Instant::now();
        let mut book = Book::default();
        book.begin("r", KEEP, now);
        book.taken("r", "m", KEEP, now);
        assert_eq!(book.status("r", KEEP, now), None);
        for (state, changes, becomes) in [
            (HandedOver, true, HandedOver),
            (Sent, false, HandedOver),
            (HandedOver, false, HandedOver),
            (Delivered, true, Delivered),
            (Delivered, false, Delivered),
            (Failed, false, Delivered),
            (Read, true, Read),
        ] {
            let changed = book.tell(&told("m", state), at(7));
            assert_eq!(changed.is_some(), changes, "{state:?}");
            assert_eq!(book.status("m", KEEP, now).unwrap().status, becomes);
        }
        let status = book.status("m", KEEP, now).unwrap();
        assert_eq!(
            (status.delivered_at, status.read_at, status.kind),
            (Some(at(7)), Some(at(7)), Some(MessageKind::Sip))
        );
        assert_eq!(book.tell(&told("another", Failed), at(7)), None);
    }

    #[test]
    fn a_message_whose_task_was_cut_off_is_unknown() {
        let now = Instant::now();
        let mut book = Book::default();
        book.begin("r", KEEP, now);
        let status = book.status("r", KEEP, now).unwrap();
        assert_eq!(status.status, OutcomeUnknown);
        book.forget("r");
        assert_eq!((book.status("r", KEEP, now), book.len()), (None, 0));
    }

    #[test]
    fn a_late_id_leads_to_the_reference_and_only_evidence_resolves_it() {
        let now = Instant::now();
        let mut book = Book::default();
        book.begin("r", KEEP, now);
        book.taken_late("r", "m");
        assert_eq!(book.tell(&told("m", HandedOver), at(1)), None);
        let changed = book.tell(&told("m", Failed), at(1)).unwrap();
        assert_eq!((changed.message_id.as_str(), changed.status), ("r", Failed));
        assert_eq!(book.status("m", KEEP, now), book.status("r", KEEP, now));
        book.forget("r");
        assert_eq!(book.tell(&told("m", Delivered), at(1)), None);
        assert!(book.aliases.is_empty() && book.order.is_empty());
    }

    #[test]
    fn an_id_that_comes_again_is_of_the_new_message_alone() {
        let now = Instant::now();
        let mut book = Book::default();
        book.begin("r1", KEEP, now);
        book.taken_late("r1", "m");
        book.begin("r2", KEEP, now);
        book.taken("r2", "m", KEEP, now);
        let changed = book.tell(&told("m", Delivered), at(1)).unwrap();
        assert_eq!(changed.message_id, "m");
        assert_eq!(book.status("r1", KEEP, now).unwrap().status, OutcomeUnknown);
        // The old one goes, the new one stays.
        book.forget("r1");
        assert_eq!(book.status("m", KEEP, now).unwrap().status, Delivered);
        // Two late ones: the last has it.
        for reference in ["r3", "r4"] {
            book.begin(reference, KEEP, now);
            book.taken_late(reference, "n");
        }
        book.forget("r3");
        let changed = book.tell(&told("n", Failed), at(1)).unwrap();
        assert_eq!(changed.message_id, "r4");
        // No id is no name.
        book.taken_late("r4", "");
        assert_eq!(book.tell(&told("", Failed), at(1)), None);
        assert_eq!(book.status("", KEEP, now), None);
    }

    #[test]
    fn the_book_is_bounded_in_number_and_in_time() {
        let now = Instant::now();
        let mut book = Book::default();
        for number in 0..10 {
            let reference = format!("r{number}");
            book.begin(&reference, KEEP, now);
            book.taken(&reference, &format!("m{number}"), KEEP, now);
        }
        assert_eq!((book.len(), book.order.len()), (3, 3));
        assert_eq!(book.status("m6", KEEP, now), None);
        assert!(book.status("m7", KEEP, now).is_some());
        let later = now + KEEP.time + Duration::from_secs(1);
        assert_eq!(book.status("m9", KEEP, later), None);
        assert_eq!((book.len(), book.order.len()), (0, 0));
    }
}
