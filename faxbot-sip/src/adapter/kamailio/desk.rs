//! The books of a Kamailio: its dialogs, the calls of ours that have none yet, and which run of the
//! server they belong to. Sans-IO: time comes in as an argument.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher as _, RandomState},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Private, Result,
    id::{CallId, CallRef},
    message::{MessageContent, MessageKind},
    sip::{AdapterKind, CallState, CallUpdate, Disposition, SipEvent, Snapshot},
};
use tokio::sync::watch;

use super::{
    abilities::Abilities,
    bridges::{Bridges, News, Silence},
    event::{Event, Meaning},
    wire::DialogHandle,
};
use crate::adapter::{
    calls::{Calls, Now},
    dialogs::{Dialogs, NewOurs, Report, Seen, Stage, Todo, Told},
    hub::Book,
};

/// Names of `$dlg_var` that hold our id: that of the events' configuration first.
pub(super) const MARKS: &[&str] = &["faxbot_job", "job"];

/// Failures that wait for their dialogs at most.
const MAX_FAILURES: usize = 256;

/// How long the dialog of a call may take that is answered by what its phone tells. It is seen before
/// that, or never: then it goes past this server.
const DIALOG_WAIT: Duration = Duration::from_secs(5);

/// The books.
pub(super) struct Desk {
    pub(super) dialogs: Dialogs,
    bridges: Bridges,
    /// Call-IDs of dialogs that are calls of ours, told by an event that names no tag.
    expected: HashMap<String, CallId>,
    /// Why requests failed whose dialogs are not known yet, by their Call-IDs: the last ones.
    failures: VecDeque<(String, Report)>,
    messages: Messages,
    /// What the server can do.
    pub(super) abilities: Abilities,
    /// Events come.
    events: bool,
    /// The moment that the server named as its start.
    run: Option<String>,
    /// Since when it is up, by our clock.
    pub(super) up_since: Option<faxbot_core::Timestamp>,
    /// It is another run than the one that the calls belong to.
    forgot: bool,
    /// The dialogs that were up in the last list, but for those whose end was told.
    up: HashSet<DialogHandle>,
    /// Calls that are answered by what a phone told, and have no dialog: when they are given up.
    passing: Vec<(Instant, CallId)>,
    /// A poll is wanted.
    poll: bool,
    todo: Vec<Todo>,
}

impl Desk {
    /// `controller` is the URI of `bridge_controller`, as the configuration has it.
    pub(super) fn new(controller: &str) -> Self {
        Self {
            dialogs: Dialogs::new(AdapterKind::KAMAILIO),
            bridges: Bridges::new(controller),
            expected: HashMap::new(),
            failures: VecDeque::new(),
            messages: Messages::default(),
            abilities: Abilities::hoped_for(),
            events: false,
            run: None,
            up_since: None,
            forgot: false,
            up: HashSet::new(),
            passing: Vec::new(),
            poll: false,
            todo: Vec::new(),
        }
    }

    /// Enters a call of ours before its request is written: `first` and `second` as they are sent.
    ///
    /// # Errors
    /// `InvalidState` while a call with its id, or the record of one, is there.
    pub(super) fn open(
        &mut self,
        new: NewOurs,
        first: &str,
        second: &str,
        now: Now,
    ) -> Result<watch::Receiver<CallUpdate>> {
        let id = new.id;
        let updates = self.dialogs.open_ours(new, now)?;
        self.bridges.open(id, first, second, !self.events);
        // The next rest is shorter.
        self.poll |= !self.events;
        Ok(updates)
    }

    pub(super) fn poll_soon(&mut self) {
        self.poll = true;
    }

    pub(super) fn has_events(&self) -> bool {
        self.events
    }

    /// Events come from now on, or no longer. What happened meanwhile is in the list.
    pub(super) fn set_events(&mut self, events: bool) {
        self.events = events;
        self.poll = true;
        if !events {
            self.bridges.blind();
        }
        self.dialogs.set_events(events);
    }

    /// Enters one look at the server.
    pub(super) fn listed(&mut self, mut seen: Vec<Seen>, whole: bool, now: Now) -> Vec<SipEvent> {
        if whole {
            self.up.clear();
        }
        for dialog in &mut seen {
            if dialog.mark.is_none()
                && let Some(id) = self.expected.get(&dialog.call_id)
            {
                dialog.mark = Some(*id);
            }
            if dialog.stage != Stage::Over {
                self.up.extend(DialogHandle::parse(&dialog.handle));
            }
        }
        let out = self.dialogs.listed(&seen, whole, now);
        self.tidy();
        out
    }

    /// Whether a dialog that was up is not in a list that shows all of them: that is how a restart
    /// looks, because one that ended is listed for some seconds more.
    pub(super) fn misses(&self, seen: &[Seen]) -> bool {
        let there: HashSet<_> = seen
            .iter()
            .filter_map(|dialog| DialogHandle::parse(&dialog.handle))
            .collect();
        self.up.iter().any(|handle| !there.contains(handle))
    }

    /// Which run of the server this is. Answers whether it is another one than before.
    pub(super) fn is_run(&mut self, run: Option<&str>) -> bool {
        let Some(run) = run else {
            return false;
        };
        let other = self.run.as_deref().is_some_and(|known| known != run);
        self.run = Some(run.to_owned());
        self.forgot |= other;
        other
    }

    /// Whether the server forgot the calls: the next list shows which.
    pub(super) fn forgot(&self) -> bool {
        self.forgot
    }

    /// The server was restarted: nobody can say what became of the calls that it does not list. It
    /// lists those that it keeps in a database.
    pub(super) fn restarted(&mut self, seen: &[Seen]) -> Vec<SipEvent> {
        self.forgot = false;
        self.up.clear();
        if seen.is_empty() {
            let out = self.dialogs.restarted(self.up_since);
            self.tidy();
            return out;
        }
        let there: HashSet<_> = seen.iter().map(|dialog| dialog.call_id.as_str()).collect();
        let live: Vec<_> = self.dialogs.calls().live().collect();
        let kept = |id: CallId| {
            let dialog = self.dialogs.seen(id);
            dialog.is_some_and(|dialog| there.contains(dialog.call_id.as_str()))
                || self.dialogs.is_newer(id, self.up_since)
        };
        let lost: Vec<_> = live.into_iter().filter(|id| !kept(*id)).collect();
        let mut out = Vec::new();
        for id in lost {
            let message = "the server was restarted and forgot the call";
            let error = Error::new(ErrorKind::OutcomeUnknown, "call", message).with_call_id(id);
            out.extend(self.lose(id, error));
        }
        self.tidy();
        out
    }

    /// Enters an event.
    pub(super) fn told(&mut self, event: &Event, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        match self.bridges.told(event) {
            Some(News::Through(id)) if self.dialogs.seen(id).is_none() => {
                self.passing.push((now.instant + DIALOG_WAIT, id));
                self.poll = true;
                out.extend(self.dialogs.reached(id, Stage::Answered, now));
            }
            Some(News::Over(id, report)) if self.dialogs.seen(id).is_none() => {
                out.extend(self.dialogs.end(id, report, now));
                // A leg that goes through the script is a dialog, too.
                out.extend(self.of_a_dialog(event, None, now));
            }
            Some(News::Dialog(id)) if event.from_tag.is_none() => {
                // The list has the tag.
                if let Some(call_id) = &event.call_id {
                    self.expected.insert(call_id.clone(), id);
                    self.poll = true;
                }
            }
            Some(News::Dialog(id)) => out.extend(self.of_a_dialog(event, Some(id), now)),
            _ => out.extend(self.of_a_dialog(event, None, now)),
        }
        self.tidy();
        out
    }

    /// What an event tells of a dialog, or of something else.
    fn of_a_dialog(&mut self, event: &Event, ours: Option<CallId>, now: Now) -> Vec<SipEvent> {
        let told = match &event.meaning {
            Meaning::New { .. } => match seen(event, ours) {
                Some(seen) => Told::Begun(Box::new(seen)),
                None => {
                    self.poll = true;
                    return Vec::new();
                }
            },
            Meaning::Progress(101..=199) => Told::Rings,
            Meaning::Progress(200..=299) | Meaning::Start => Told::Answered,
            // The script may try another destination.
            Meaning::Failed => {
                self.keep_failure(event);
                Told::Cause(report(event))
            }
            Meaning::Refused => Told::Over(report(event)),
            Meaning::DialogFailed if event.causes.sip_status.is_some() => Told::Over(report(event)),
            Meaning::DialogFailed => match self.take_failure(event) {
                Some(report) => Told::Over(report),
                None if self.has_cause(event) => Told::OverWithoutCause,
                // So it is told as well of a call that `dlg.end_dlg` was sent for while it rings: that goes on
                // (recording `end_rpc_end_dlg_while_ringing`). The list shows which.
                None => {
                    self.poll = true;
                    return Vec::new();
                }
            },
            // Only what was answered ends so.
            Meaning::End => Told::Over(Report {
                answered: true,
                ..report(event)
            }),
            // The first party is let go, to call the second.
            Meaning::Leg(method) if method == "BYE" && self.bridges.has_leg(event) => {
                return Vec::new();
            }
            Meaning::Leg(method) if method == "BYE" => {
                // An RPC ends a dialog. Its own event may not come: the phones may be faster.
                self.poll = true;
                return Vec::new();
            }
            Meaning::Message { text: Some(text) } if self.messages.is_new(event, text, now) => {
                return message(event, text);
            }
            Meaning::Registration(state) => return presence(event, state),
            Meaning::Destination { up } => {
                return presence(event, if *up { "up" } else { "down" });
            }
            _ => return Vec::new(),
        };
        if matches!(
            event.meaning,
            Meaning::Refused | Meaning::DialogFailed | Meaning::End
        ) && let Some(handle) = event.handle
        {
            self.up.remove(&handle);
        }
        let Some(call_id) = &event.call_id else {
            return Vec::new();
        };
        let handle = event.handle.map(DialogHandle::to_text);
        let (tag, handle) = (event.from_tag.as_deref(), handle.unwrap_or_default());
        self.dialogs.told_of(call_id, tag, &handle, told, now)
    }

    /// Whether something was told of why the call of an event ends.
    fn has_cause(&self, event: &Event) -> bool {
        let call_id = event.call_id.as_deref();
        call_id.is_some_and(|it| self.dialogs.has_cause(it, event.from_tag.as_deref()))
    }

    /// Keeps why a request failed whose dialog is not known yet.
    fn keep_failure(&mut self, event: &Event) {
        let Some(call_id) = &event.call_id else {
            return;
        };
        if self.dialogs.find(&CallRef::native(call_id)).is_none() {
            if self.failures.len() >= MAX_FAILURES {
                self.failures.pop_front();
            }
            self.failures.push_back((call_id.clone(), report(event)));
        }
    }

    fn take_failure(&mut self, event: &Event) -> Option<Report> {
        let call_id = event.call_id.as_deref()?;
        let mut all = self.failures.iter();
        let at = all.rposition(|(known, _)| known == call_id)?;
        let (_, report) = self.failures.remove(at)?;
        let unknown = self.dialogs.find(&CallRef::native(call_id)).is_none();
        unknown.then_some(report)
    }

    /// Whether nothing is known yet of what became of a call of ours.
    pub(super) fn is_awaited(&self, id: CallId) -> bool {
        self.dialogs.calls().state(id).is_some() && self.dialogs.seen(id).is_none()
    }

    /// Whether calls of ours wait for their dialog.
    pub(super) fn awaits_dialogs(&self) -> bool {
        self.bridges.is_any()
    }

    /// The Call-ID of the INVITE by which the server rings the first party, where that can be taken back.
    pub(super) fn ringing_leg(&self, id: CallId) -> Option<String> {
        let leg = self.bridges.ringing_leg(id);
        // One whose order has no answer may have no leg, and this be that of somebody else.
        let taken = self.dialogs.calls().state(id) != Some(CallState::Created);
        leg.filter(|_| self.abilities.cancels && taken && self.is_awaited(id))
    }

    /// The server took it back. What a phone that answered at the same moment does is seen soon.
    pub(super) fn cancelled(&mut self, id: CallId, now: Now) {
        self.bridges.cancelled(id);
        self.look_later(id, now);
    }

    /// It had its final answer. Answers whether nothing tells which, though there was time for it.
    pub(super) fn had_answer(&mut self, id: CallId) -> bool {
        self.bridges.had_answer(id)
    }

    /// A call that has no dialog is looked for once more.
    pub(super) fn look_later(&mut self, id: CallId, now: Now) {
        self.passing.retain(|(_, other)| *other != id);
        self.passing.push((now.instant + DIALOG_WAIT, id));
    }

    /// The ring time of a call of ours is over, and no dialog came.
    pub(super) fn unreached(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        if !self.is_awaited(id) {
            return Vec::new();
        }
        let out = match self.bridges.silence(id) {
            Silence::Over(report) => self.dialogs.end(id, report, now),
            Silence::Lost(message) => {
                let error = Error::new(ErrorKind::OutcomeUnknown, "call", message);
                self.lose(id, error.with_call_id(id))
            }
        };
        self.tidy();
        out
    }

    /// Forgets what is known of calls that have their dialog, or are over.
    fn tidy(&mut self) {
        let dialogs = &self.dialogs;
        self.bridges
            .keep(|id| dialogs.calls().state(id).is_some() && dialogs.seen(id).is_none());
        let lives = |id: CallId| dialogs.calls().state(id).is_some();
        self.expected.retain(|_, id| lives(*id));
        self.passing
            .retain(|(_, id)| lives(*id) && dialogs.seen(*id).is_none());
    }
}

/// SIP MESSAGEs that came: one whose answer was late comes again (RFC 3261 section 17.1.2.2), and the
/// script has no memory.
#[derive(Default)]
struct Messages {
    hasher: RandomState,
    /// Call-ID, number and text of each in one value, the oldest first.
    seen: VecDeque<(Instant, u64)>,
}

/// How long a request may come again: 64 times T1.
const AGAIN: Duration = Duration::from_secs(32);

/// Messages that are remembered at most.
const MAX_MESSAGES: usize = 4_096;

impl Messages {
    fn is_new(&mut self, event: &Event, text: &str, now: Now) -> bool {
        let (Some(call_id), Some(number)) = (&event.call_id, event.cseq) else {
            return true;
        };
        let old = |at: Instant| now.instant.saturating_duration_since(at) >= AGAIN;
        while let Some((at, _)) = self.seen.front() {
            if !old(*at) && self.seen.len() < MAX_MESSAGES {
                break;
            }
            self.seen.pop_front();
        }
        let it = self.hasher.hash_one((call_id, number, text));
        if self.seen.iter().any(|(_, known)| *known == it) {
            return false;
        }
        self.seen.push_back((now.instant, it));
        true
    }
}

/// The dialog of an event that tells of its beginning with all that names it.
fn seen(event: &Event, ours: Option<CallId>) -> Option<Seen> {
    let handle = event.handle.map(DialogHandle::to_text);
    Some(Seen {
        call_id: event.call_id.clone()?,
        from_tag: event.from_tag.clone()?,
        to_tag: event.to_tag.clone(),
        stage: Stage::Begun,
        from: event.from.clone(),
        to: event.to.clone(),
        handle: handle.unwrap_or_default(),
        mark: ours.or(event.mark),
        begun: event.at,
        answered: None,
        ended: None,
    })
}

fn report(event: &Event) -> Report {
    let mut report = Report::new(event.causes.clone());
    if event.causes.sip_status == Some(487) {
        // The caller gave up.
        report.disposition = Some(Disposition::Cancelled);
    }
    report
}

fn message(event: &Event, text: &str) -> Vec<SipEvent> {
    let Some(from) = &event.from else {
        return Vec::new();
    };
    vec![SipEvent::MessageReceived {
        from: Private::new(from.clone()),
        content: MessageContent::text(MessageKind::Sip, text),
    }]
}

fn presence(event: &Event, state: &str) -> Vec<SipEvent> {
    let Some(watched) = &event.from else {
        return Vec::new();
    };
    vec![SipEvent::PresenceChanged {
        watched: Private::new(watched.clone()),
        state: state.to_owned(),
    }]
}

impl Book for Desk {
    type Todo = Todo;

    fn calls(&self) -> &Calls {
        self.dialogs.calls()
    }

    fn take_todo(&mut self) -> Vec<Todo> {
        let mut todo = self.dialogs.take_todo();
        todo.append(&mut self.todo);
        if std::mem::take(&mut self.poll) && !todo.contains(&Todo::Poll) {
            todo.push(Todo::Poll);
        }
        todo
    }

    fn settle_todo(id: CallId) -> Todo {
        Dialogs::settle_todo(id)
    }

    fn about(todo: &Todo) -> Option<CallId> {
        Dialogs::about(todo)
    }

    fn next_timeout(&self) -> Option<Instant> {
        let passing = self.passing.iter().map(|(at, _)| *at).min();
        [self.dialogs.next_timeout(), passing]
            .into_iter()
            .flatten()
            .min()
    }

    fn timeout(&mut self, now: Now) {
        self.dialogs.timeout(now);
        let todo = &mut self.todo;
        self.passing.retain(|(at, id)| {
            let due = *at <= now.instant;
            if due {
                todo.push(Todo::Unreached(*id));
            }
            !due
        });
    }

    fn requested(&mut self, id: CallId, now: Now) -> bool {
        self.dialogs.requested(id, now)
    }

    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.dialogs.taken(id, now)
    }

    fn unsure(&mut self, id: CallId, now: Now) {
        self.dialogs.unsure(id, now);
    }

    fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        self.bridges.close(id);
        self.dialogs.lose(id, error)
    }

    fn missed_events(&mut self) {
        self.dialogs.missed_events();
    }

    fn attempt_failed(&mut self) {
        self.dialogs.attempt_failed();
    }

    fn forget_connection(&mut self) {
        self.up.clear();
        self.bridges.clear();
        self.expected.clear();
        self.failures.clear();
        self.passing.clear();
        self.todo.clear();
        self.poll = false;
        self.dialogs.forget_connection();
    }

    fn ours(&self) -> Vec<CallId> {
        self.dialogs.ours()
    }

    fn snapshot(&self, snapshot: &mut Snapshot) {
        self.dialogs.snapshot(snapshot);
    }
}
