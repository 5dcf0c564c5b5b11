mod ends;
mod lists;
mod orders;
mod ours;
mod size;
mod times;

use std::time::{Duration, Instant};

use faxbot_core::{
    ErrorKind, Private, Timestamp,
    id::{CallId, CallRef},
    sip::{
        AdapterKind, CallRecord, CallState, CallStateChanged, Causes, Disposition, HistoryQuery,
        Lookup, SipEvent,
    },
};

use super::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Books with a clock.
struct Bench {
    books: Dialogs,
    now: Now,
    events: Vec<CallStateChanged>,
}

impl Bench {
    fn new(events: bool) -> Self {
        let mut books = Dialogs::new(AdapterKind::KAMAILIO);
        books.set_events(events);
        Self {
            books,
            now: Now {
                instant: Instant::now(),
                wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
            },
            events: Vec::new(),
        }
    }

    fn keep(&mut self, events: Vec<SipEvent>) {
        for event in events {
            if let SipEvent::CallStateChanged(changed) = event {
                self.events.push(changed);
            }
        }
    }

    fn listed(&mut self, seen: &[Seen]) {
        let events = self.books.listed(seen, true, self.now);
        self.keep(events);
        self.work();
    }

    fn told(&mut self, seen: &Seen, told: Told) {
        let tag = Some(seen.from_tag.as_str());
        let handle = &seen.handle;
        let events = self
            .books
            .told_of(&seen.call_id, tag, handle, told, self.now);
        self.keep(events);
        self.work();
    }

    fn begun(&mut self, seen: &Seen) {
        self.told(seen, Told::Begun(Box::new(seen.clone())));
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall = self.now.wall + time;
        if self
            .books
            .next_timeout()
            .is_some_and(|at| at <= self.now.instant)
        {
            self.books.timeout(self.now);
            self.work();
        }
    }

    /// What the worker does that needs no server.
    fn work(&mut self) {
        for todo in self.books.take_todo() {
            if let Todo::Settle(id) = todo {
                let events = self.books.settle(id, self.now);
                self.keep(events);
            }
        }
    }

    fn open(&mut self, id: CallId, to: &str) {
        let new = NewOurs {
            id,
            from: None,
            to: Private::new(to.to_owned()),
            ring_timeout: 60 * SECOND,
        };
        self.books.open_ours(new, self.now).unwrap();
        assert!(self.books.requested(id, self.now));
        let events = self.books.taken(id, self.now);
        self.keep(events);
    }

    fn state(&self, seen: &Seen) -> Option<CallState> {
        let id = self.books.find(&CallRef::native(&*seen.call_id))?;
        self.books.calls().state(id)
    }

    fn steps(&mut self) -> Vec<(CallState, CallState)> {
        let events = std::mem::take(&mut self.events);
        events.iter().map(|it| (it.from, it.to)).collect()
    }

    /// The records of ended calls, the last one first.
    fn records(&mut self) -> Vec<CallRecord> {
        let query = HistoryQuery::default();
        self.books.history(&query, self.now.instant).unwrap().items
    }

    fn only_record(&mut self) -> CallRecord {
        let mut records = self.records();
        assert_eq!(records.len(), 1);
        records.pop().unwrap()
    }
}

fn seen(call_id: &str, stage: Stage) -> Seen {
    Seen {
        call_id: call_id.to_owned(),
        from_tag: "from-tag".to_owned(),
        to_tag: None,
        stage,
        from: Some("sip:1001@pbx".to_owned()),
        to: Some("sip:2000@pbx".to_owned()),
        handle: format!("handle of {call_id}"),
        mark: None,
        begun: None,
        answered: None,
        ended: None,
    }
}

fn at(mut one: Seen, stage: Stage) -> Seen {
    one.stage = stage;
    one
}

fn for_status(status: u16) -> Report {
    Report::new(Causes::new().with_sip_status(status))
}
