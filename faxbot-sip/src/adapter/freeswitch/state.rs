//! What the adapter knows of one FreeSWITCH: the books of calls, and which run of the server they are
//! about.

use std::{
    collections::{HashMap, HashSet},
    ops::{Deref, DerefMut},
    time::Instant,
};

use faxbot_core::{
    Error, Result, Timestamp,
    id::{CallId, CallRef},
    plugin::Page,
    sip::{AdapterKind, CallRecord, Causes, Disposition, HistoryQuery, SipEvent, Snapshot},
};

use super::{
    abilities::Abilities, causes, fax_values::FaxValues, incoming::Gate, message::Messages,
    outcome::Kind, rooms::NAMES,
};
use crate::{
    adapter::{
        books::{Books, Report, Todo},
        calls::{Calls, Now, disposition},
        history::{Cdr, Cdrs},
        hub::Book,
        rooms::Conferences,
    },
    protocol::esl::Event,
};

/// What the adapter knows of one FreeSWITCH.
#[derive(Debug)]
pub(super) struct Desk {
    books: Books,
    /// What the server and the account can do, as far as they told.
    pub(super) abilities: Abilities,
    /// Which run of FreeSWITCH the books are about.
    pub(super) core_uuid: Option<String>,
    /// When another run was found: what it knows says nothing of requests before.
    pub(super) other_since: Option<Timestamp>,
    /// Which channels are calls for us.
    pub(super) gate: Gate,
    /// What the server measured of calls.
    cdrs: Cdrs,
    /// Calls whose absent outcome was looked for once: the hook of their end may still have been
    /// running (recording `09_hook_race_at_kill`).
    looked: HashSet<CallId>,
    /// The conferences of the server.
    pub(super) rooms: Conferences,
    /// Joins of conferences that wait, by their marks, and whether the channel was not let in.
    pub(super) joins: HashMap<String, bool>,
    pub(super) messages: Messages,
}

/// What the server first tells of a call that it is to place.
#[derive(Debug)]
pub(super) enum FirstSign {
    Taken,
    /// It made no channel. Why.
    Refused(Causes),
}

impl Desk {
    pub(super) fn new(kind: AdapterKind, abilities: Abilities) -> Self {
        Self {
            books: Books::new(kind),
            abilities,
            core_uuid: None,
            other_since: None,
            gate: Gate::default(),
            cdrs: Cdrs::default(),
            looked: HashSet::new(),
            rooms: Conferences::new(NAMES),
            joins: HashMap::new(),
            messages: Messages::default(),
        }
    }

    /// A page of the calls that ended.
    pub(super) fn history(
        &mut self,
        query: &HistoryQuery,
        now: Instant,
    ) -> Result<Page<CallRecord>> {
        self.cdrs.page(&mut self.books.calls, query, now)
    }

    /// The server's own record of a call that ended.
    pub(super) fn cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.cdrs.cdr(&self.books.calls, call)
    }

    /// The event of a channel's end has what the server measured.
    pub(super) fn measured(&mut self, id: CallId, event: &Event<'_>) {
        let seconds = |name: &str| event.text(name)?.trim().parse().ok();
        let (Some(duration_seconds), Some(billable_seconds)) =
            (seconds("variable_duration"), seconds("variable_billsec"))
        else {
            return;
        };
        let answered = event
            .text("variable_answer_epoch")
            .is_some_and(|at| at != "0" && !at.is_empty());
        let causes = event.text("Hangup-Cause").unwrap_or_default();
        let disposition = if answered {
            Disposition::Answered
        } else {
            disposition(&causes::causes(&causes, None))
        };
        let cdr = Cdr {
            duration_seconds,
            billable_seconds,
            disposition,
        };
        self.cdrs.keep(id, cdr);
    }

    /// What a call is, as far as its outcome has to be read by it.
    pub(super) fn kind_of(&self, id: CallId) -> Kind {
        Kind::parse(self.books.kind(id)).unwrap_or(Kind::Single)
    }

    /// Whether an outcome that is not there is looked for once more.
    pub(super) fn looks_again(&mut self, id: CallId) -> bool {
        self.looked.insert(id)
    }

    /// It was found, or is not looked for any longer.
    pub(super) fn looked(&mut self, id: CallId) {
        self.looked.remove(&id);
    }

    /// Whether a call is between its request and the first sign of it.
    pub(super) fn is_being_placed(&self, id: CallId) -> bool {
        let line = self.books.lines.get(&id);
        line.is_some_and(|line| !line.taken && !line.there)
    }

    /// The server refused a call that is being placed, and made no channel.
    pub(super) fn refused_at_once(&mut self, id: CallId, report: Report) {
        if let Some(line) = self.books.lines.get_mut(&id) {
            line.refused = Some(report);
        }
    }

    /// As [`Books::refused`]. A fax that the server could not place never began, and says so: without
    /// that its outcome would be unknown. A uuid that is in use proves nothing of the fax that has it.
    pub(super) fn refused(&mut self, id: CallId, mut report: Report, now: Now) {
        let kind = self.kind_of(id);
        if matches!(kind, Kind::Fax | Kind::FaxByT38) && !causes::is_throttled(&report.causes) {
            let never = FaxValues::default().of_kind(kind, false);
            report.fax.get_or_insert_with(|| Box::new(never));
        }
        self.books.refused(id, report, now);
    }

    /// What became of a call that is being placed; `None` before there is a sign of it.
    pub(super) fn first_sign(&self, id: CallId) -> Option<FirstSign> {
        let Some(line) = self.books.lines.get(&id).filter(|line| !line.there) else {
            // A channel, or an end already.
            return Some(FirstSign::Taken);
        };
        let causes = line.refused.as_ref()?.causes.clone();
        Some(if causes::is_of_the_server(&causes) {
            FirstSign::Refused(causes)
        } else {
            // It says something of the far end: a record of a call.
            FirstSign::Taken
        })
    }

    /// A server answers: enters what that says of the calls that were up. `lost_at` is when the link
    /// was lost.
    pub(super) fn answers(&mut self, core_uuid: Option<String>, lost_at: Timestamp, now: Now) {
        let before = std::mem::replace(&mut self.core_uuid, core_uuid);
        if before.is_some() && before != self.core_uuid {
            tracing::warn!("freeswitch: the server was restarted");
            self.books.restarted(lost_at);
            self.other_since = Some(now.wall);
        }
    }
}

impl Deref for Desk {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl DerefMut for Desk {
    fn deref_mut(&mut self) -> &mut Books {
        &mut self.books
    }
}

impl Book for Desk {
    type Todo = Todo;

    fn calls(&self) -> &Calls {
        &self.books.calls
    }

    fn take_todo(&mut self) -> Vec<Todo> {
        self.books.take_todo()
    }

    fn settle_todo(id: CallId) -> Todo {
        Todo::Settle(id)
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.books.next_timeout()
    }

    fn timeout(&mut self, now: Now) {
        self.books.timeout(now);
    }

    fn requested(&mut self, id: CallId, now: Now) -> bool {
        self.books.requested(id, now)
    }

    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.books.taken(id, now)
    }

    fn unsure(&mut self, id: CallId, now: Now) {
        self.books.unsure(id, now);
    }

    fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        self.looked(id);
        self.books.lose(id, error)
    }

    fn missed_events(&mut self) {
        self.books.missed_events();
    }

    fn forget_connection(&mut self) {
        self.looked.clear();
        self.books.door.forget();
    }

    fn snapshot(&self, snapshot: &mut Snapshot) {
        snapshot.incoming = self.books.waiting();
        snapshot.faxes = self.books.faxes();
        snapshot.conferences = self.rooms.list();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faxbot_core::{
        fax::{FailureClass, OutcomeStatus},
        sip::{CallState, Direction},
    };

    use super::*;
    use crate::adapter::{
        books::{NewLine, Plan},
        freeswitch::{config::FreeswitchConfig, outcome::channel_uuid},
    };

    /// A fax whose job the server took, and why it then could not place it.
    fn refused(cause: &str) -> faxbot_core::fax::FaxOutcome {
        let config = FreeswitchConfig::from_url("esl://:x@h?dial=user/{number}").unwrap();
        let mut desk = Desk::new(AdapterKind::FREESWITCH, Abilities::hoped_for(&config));
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
        };
        let id = CallId::new();
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: None,
            to: None,
            own: Some(channel_uuid(id)),
            ring_timeout: Duration::from_secs(30),
            plan: Plan::Single,
            kind: Kind::Fax.word(),
            once_answered: false,
        };
        desk.open_fax(new, 3, now).unwrap();
        assert!(desk.requested(id, now));
        desk.taken(id, now);
        let report = Report {
            causes: causes::causes(cause, None),
            ..Report::default()
        };
        desk.refused(id, report, now);
        desk.listed(&[], &[id], now);
        assert!(desk.take_todo().contains(&Todo::Settle(id)));
        let told = desk.finish(id, None, now).into_iter();
        let outcome = told.filter_map(|event| match event {
            SipEvent::FaxFinished { outcome, .. } => Some(outcome),
            _ => None,
        });
        outcome.last().unwrap()
    }

    #[test]
    fn a_fax_that_the_server_could_not_place_failed_before_the_answer() {
        for (cause, class) in [
            ("USER_NOT_REGISTERED", FailureClass::NoAnswer),
            ("INVALID_GATEWAY", FailureClass::LocalConfig),
            ("USER_BUSY", FailureClass::Busy),
        ] {
            let outcome = refused(cause);
            assert_eq!(outcome.status, OutcomeStatus::Failed, "{cause}");
            assert_eq!(outcome.pages_confirmed, Some(0), "{cause}");
            let failure = outcome.failure.unwrap();
            assert_eq!(failure.class, class, "{cause}");
        }
    }

    #[test]
    fn a_uuid_that_is_in_use_says_nothing_of_the_fax_that_has_it() {
        let outcome = refused("DESTINATION_OUT_OF_ORDER");
        assert_eq!(outcome.status, OutcomeStatus::Unknown);
    }
}
