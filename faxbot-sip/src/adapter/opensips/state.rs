//! The books: dialogs as calls, our calls of two legs, and what is waited for. Sans-IO.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Private, Timestamp,
    id::{CallId, CallRef},
    sip::{AdapterKind, CallState, Causes, Disposition, SipEvent, Snapshot},
};

use super::{
    abilities::Abilities,
    event::{LegState, Meaning, Named, Parties, TransferState, Why},
    wire::{
        b2b::{RawTuple, TupleState},
        dialog::RawDialog,
    },
};
use crate::adapter::{
    calls::{Calls, Now},
    dialogs::{Dialogs, Report, Seen, Stage, Todo, Told},
    hub::Book,
    polled::Work,
};

/// What a Call-ID of `b2b_entities` begins with.
const OF_A_LEG: &str = "B2B.";

/// What the worker must do after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// What the dialogs want.
    Of(Todo),
    /// A call of ours rang for as long as it may.
    RingOver(CallId),
}

impl Job {
    pub(super) fn work(&self) -> Work {
        match self {
            Self::Of(todo) => todo.work(),
            Self::RingOver(_) => Work::Ask,
        }
    }
}

/// A call of two legs, as the server last showed it.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// What the server's commands take. It comes again for later calls.
    pub(super) key: String,
    /// Its `scenario_id`.
    scenario: String,
    legs: Vec<String>,
    /// Its legs are dialogs of the server: then accounting may tell why it ended.
    told: bool,
}

/// A hold or its end that is waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct HoldWatch {
    hold: bool,
    legs: HashMap<String, LegState>,
}

impl HoldWatch {
    /// Both legs are decided: whether they did it.
    pub(super) fn decided(&self) -> Option<bool> {
        let done = |state: LegState| matches!(state, LegState::Done | LegState::Failed);
        let decided = self.legs.values().filter(|state| done(**state)).count();
        (decided >= 2).then(|| self.legs.values().all(|state| *state == LegState::Done))
    }

    /// As far as it is known when no more is waited for: one leg alone may have had nothing to change.
    pub(super) fn so_far(&self) -> Option<bool> {
        let any = |wanted| self.legs.values().any(|state| *state == wanted);
        match (any(LegState::Failed), any(LegState::Done)) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }
}

/// A transfer that is waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct TransferWatch {
    /// The call to the new party came.
    pub(super) begun: bool,
    pub(super) end: Option<TransferEnd>,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferEnd {
    Done,
    Failed(Option<u16>),
}

/// What the adapter knows of its server and its calls.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) dialogs: Dialogs,
    pub(super) abilities: Abilities,
    /// The run of the server: the words of `Up since`.
    pub(super) run: Option<String>,
    /// When that began, by our clock.
    pub(super) up_since: Option<Timestamp>,
    /// Our calls of two legs, and those of an earlier process of ours.
    pairs: HashMap<CallId, Pair>,
    /// Calls whose request the server took.
    taken: HashSet<CallId>,
    /// Until when a call may ring.
    rings: HashMap<CallId, Instant>,
    ring_times: HashMap<CallId, Duration>,
    pub(super) holds: HashMap<String, HoldWatch>,
    pub(super) transfers: HashMap<String, TransferWatch>,
    /// Calls that an order of ours is carried out for.
    orders: HashSet<CallId>,
    todo: Vec<Job>,
    /// The next poll is to ask for everything.
    wanted: bool,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            dialogs: Dialogs::new(AdapterKind::OPENSIPS),
            abilities: Abilities::hoped_for(),
            run: None,
            up_since: None,
            pairs: HashMap::new(),
            taken: HashSet::new(),
            rings: HashMap::new(),
            ring_times: HashMap::new(),
            holds: HashMap::new(),
            transfers: HashMap::new(),
            orders: HashSet::new(),
            todo: Vec::new(),
            wanted: false,
        }
    }

    /// Whether the next poll is to ask for everything; no longer after this.
    pub(super) fn take_wanted(&mut self) -> bool {
        std::mem::take(&mut self.wanted)
    }

    /// The live call that a reference names; also by the Call-ID of one of its legs.
    pub(super) fn find(&self, call: &CallRef) -> Option<CallId> {
        self.dialogs.find(call).or_else(|| {
            let native = call.native.as_deref().filter(|_| call.id.is_none())?;
            let mut pairs = self.pairs.iter();
            pairs
                .find(|(_, pair)| pair.key == native || pair.legs.iter().any(|leg| leg == native))
                .map(|(id, _)| *id)
        })
    }

    /// A call of two legs.
    pub(super) fn pair(&self, id: CallId) -> Option<&Pair> {
        self.pairs.get(&id)
    }

    /// The Call-IDs of the legs of a call of two legs.
    pub(super) fn legs(&self, id: CallId) -> Option<Vec<String>> {
        Some(self.pairs.get(&id)?.legs.clone())
    }

    /// The calls of two legs that were there.
    pub(super) fn pairs(&self) -> impl Iterator<Item = CallId> + '_ {
        self.pairs.keys().copied()
    }

    /// Whether the server took the request of a call.
    pub(super) fn was_taken(&self, id: CallId) -> bool {
        self.taken.contains(&id)
    }

    /// How long a call may ring, once the server took it.
    pub(super) fn rings_for(&mut self, id: CallId, time: Duration) {
        self.ring_times.insert(id, time);
    }

    /// Whether calls of two legs are to be asked for: those of ours that are up or on their way.
    pub(super) fn has_pairs(&self) -> bool {
        !self.pairs.is_empty() || !Book::ours(&self.dialogs).is_empty()
    }

    /// Whether a call of ours is on its way: what is not connected yet is looked at more often.
    pub(super) fn is_placing(&self) -> bool {
        let ours = Book::ours(&self.dialogs);
        ours.iter().any(|id| !self.dialogs.calls().is_answered(*id))
    }

    /// Begins an order for a call; `false` while another one runs.
    pub(super) fn claim(&mut self, id: CallId) -> bool {
        self.orders.insert(id)
    }

    pub(super) fn unclaim(&mut self, id: CallId) {
        self.orders.remove(&id);
    }

    /// Whether one of these calls that live is not in a list: the server may have been restarted.
    pub(super) fn misses(&self, dialogs: &[RawDialog]) -> bool {
        self.missing(dialogs).next().is_some()
    }

    /// The calls with a dialog that a list does not have.
    pub(super) fn missing<'a>(
        &'a self,
        dialogs: &[RawDialog],
    ) -> impl Iterator<Item = (CallId, String)> + 'a {
        let listed: HashSet<(String, String)> = dialogs
            .iter()
            .map(|it| (it.callid.clone(), it.caller_tag.clone()))
            .collect();
        let live = self.dialogs.calls().live();
        live.filter(|id| !self.pairs.contains_key(id))
            .filter_map(move |id| {
                let seen = self.dialogs.seen(id)?;
                let key = (seen.call_id.clone(), seen.from_tag.clone());
                (!listed.contains(&key)).then_some((id, key.0))
            })
    }

    /// Calls that the server took before a list is asked for: one that is not in it is over.
    pub(super) fn taken_so_far(&self) -> Vec<CallId> {
        let waits = |id: &&CallId| self.dialogs.is_ours(**id) && self.dialogs.seen(**id).is_none();
        self.taken.iter().filter(waits).copied().collect()
    }

    /// Enters one look: the dialogs, and the calls of two legs where they were asked for.
    pub(super) fn looked(&mut self, look: Look<'_>, now: Now) -> Vec<SipEvent> {
        let mut seen = Vec::with_capacity(look.dialogs.len());
        let mut dead = Vec::new();
        let mut nobody_tells = Vec::new();
        if let Some(tuples) = look.tuples {
            let mut there = HashSet::new();
            for tuple in tuples {
                let Some(id) = tuple.mark() else { continue };
                if tuple.is_dead() {
                    dead.push(id);
                    continue;
                }
                // One of an earlier process that is over is listed for some seconds more.
                let known = self.dialogs.calls().state(id).is_some();
                if !known && tuple.state() == TupleState::Ending {
                    continue;
                }
                there.insert(id);
                seen.push(self.shows(id, tuple, now));
            }
            let silent = self.pairs.iter().filter(|(_, pair)| !pair.told);
            nobody_tells.extend(silent.map(|(id, _)| *id));
            if look.whole {
                self.pairs.retain(|id, _| there.contains(id));
            }
        }
        let placing = self.is_placing();
        for dialog in look.dialogs {
            if let Some((id, _)) = self.leg(&dialog.callid) {
                self.is_told(id);
                continue;
            }
            let Some(one) = shown(dialog) else { continue };
            // A leg of ours may be there before its call is listed.
            if placing && one.call_id.starts_with(OF_A_LEG) && !self.knows(&one) {
                continue;
            }
            seen.push(one);
        }
        let mut out = self.dialogs.listed(&seen, look.whole, now);
        for id in nobody_tells {
            out.extend(self.dialogs.settle(id, now));
        }
        for id in dead {
            if self.dialogs.is_ours(id) {
                let why =
                    "the server could not begin the call: server_address of b2b_logic is not set";
                let report = Report::new(Causes::new().with_native(why));
                out.extend(self.dialogs.end(id, report, now));
            }
        }
        for &id in look.taken {
            // The first party refused, or could not be called: nothing is left of it.
            if look.tuples.is_some() && self.dialogs.seen(id).is_none() {
                out.extend(self.dialogs.over(id, now));
                out.extend(self.dialogs.settle(id, now));
            }
        }
        self.forget_ended();
        out
    }

    /// A leg of this call is a dialog.
    fn is_told(&mut self, id: CallId) {
        if let Some(pair) = self.pairs.get_mut(&id) {
            pair.told = true;
        }
    }

    /// What a call of two legs is as a dialog.
    fn shows(&mut self, id: CallId, tuple: &RawTuple, now: Now) -> Seen {
        let stage = match tuple.state() {
            TupleState::Connected => Stage::Up,
            TupleState::Ending => Stage::Over,
            _ => Stage::Begun,
        };
        let begins = self.dialogs.is_ours(id) && !self.rings.contains_key(&id);
        if let Some(time) = self.ring_times.get(&id).filter(|_| begins) {
            self.rings.insert(id, now.instant + *time);
        }
        let pair = Pair {
            key: tuple.key.clone(),
            scenario: tuple.scenario.clone(),
            legs: tuple.legs().map(str::to_owned).collect(),
            told: self.pairs.get(&id).is_some_and(|pair| pair.told),
        };
        let seen = Seen {
            call_id: pair.scenario.clone(),
            from_tag: String::new(),
            to_tag: None,
            stage,
            from: None,
            to: None,
            handle: pair.scenario.clone(),
            mark: Some(id),
            begun: None,
            answered: None,
        };
        self.pairs.insert(id, pair);
        seen
    }

    /// The call of ours that a dialog is a leg of, and the name of that call.
    fn leg(&self, call_id: &str) -> Option<(CallId, String)> {
        let mut pairs = self.pairs.iter();
        let (id, pair) = pairs.find(|(_, pair)| pair.legs.iter().any(|leg| leg == call_id))?;
        Some((*id, pair.scenario.clone()))
    }

    fn knows(&self, seen: &Seen) -> bool {
        self.dialogs
            .find(&CallRef::native(seen.call_id.as_str()))
            .is_some()
    }

    /// Enters an event.
    pub(super) fn told(&mut self, meaning: Meaning, handle: &str, now: Now) -> Vec<SipEvent> {
        match meaning {
            Meaning::Moved {
                call,
                to_tag,
                stage,
            } => self.moved(call, to_tag, stage, handle, now),
            Meaning::Missed { call, why, parties } => self.missed(call, &why, parties, now),
            Meaning::Cdr { call, cdr } => {
                match self.leg(&call.call_id) {
                    Some((_, scenario)) => self.dialogs.measured(&scenario, "", cdr),
                    None => self.dialogs.measured(&call.call_id, &call.from_tag, cdr),
                }
                Vec::new()
            }
            Meaning::Hold {
                call_id,
                leg,
                hold,
                state,
            } => self.held(&call_id, leg, hold, state, now),
            Meaning::Transfer {
                call_id,
                state,
                status,
                ..
            } => {
                self.transferred(&call_id, state, status);
                Vec::new()
            }
            Meaning::Presence { aor, there } => vec![SipEvent::PresenceChanged {
                watched: aor,
                state: if there { "registered" } else { "unregistered" }.to_owned(),
            }],
            Meaning::Other => Vec::new(),
        }
    }

    fn moved(
        &mut self,
        call: Named,
        to_tag: Option<String>,
        stage: Stage,
        handle: &str,
        now: Now,
    ) -> Vec<SipEvent> {
        if let Some((id, _)) = self.leg(&call.call_id) {
            self.is_told(id);
            // How far the call of two legs is, only its list tells.
            self.want_look();
            return Vec::new();
        }
        let mut seen = Seen {
            call_id: call.call_id,
            from_tag: call.from_tag,
            to_tag,
            stage,
            from: None,
            to: None,
            handle: handle.to_owned(),
            mark: None,
            begun: None,
            answered: None,
        };
        let known = self.knows(&seen);
        if !known && self.is_placing() && seen.call_id.starts_with(OF_A_LEG) {
            self.want_look();
            return Vec::new();
        }
        if !known && stage != Stage::Over {
            // Events do not tell who calls whom.
            self.want_look();
        }
        if stage != Stage::Over {
            return self.begins(seen, now);
        }
        // One that was refused at once is told by its end alone.
        seen.stage = Stage::Begun;
        let (call_id, tag) = (seen.call_id.clone(), seen.from_tag.clone());
        let mut out = self.begins(seen, now);
        out.extend(
            self.dialogs
                .told(&call_id, Some(&tag), Told::OverWithoutCause, now),
        );
        self.forget_ended();
        out
    }

    fn begins(&mut self, seen: Seen, now: Now) -> Vec<SipEvent> {
        let (call_id, tag) = (seen.call_id.clone(), seen.from_tag.clone());
        self.dialogs
            .told(&call_id, Some(&tag), Told::Begun(Box::new(seen)), now)
    }

    /// A try was not answered: if the call ends now, that is why. The script may call somebody else.
    fn missed(&mut self, call: Named, why: &Why, parties: Parties, now: Now) -> Vec<SipEvent> {
        let mut report = Report::new(why.causes());
        report.disposition = why.disposition();
        if let Some((_, scenario)) = self.leg(&call.call_id) {
            self.want_look();
            return self.dialogs.told(&scenario, None, Told::Cause(report), now);
        }
        if self.is_placing() && call.call_id.starts_with(OF_A_LEG) {
            return Vec::new();
        }
        let seen = Seen {
            call_id: call.call_id.clone(),
            from_tag: call.from_tag.clone(),
            to_tag: None,
            stage: Stage::Begun,
            from: parties.from.map(Private::into_inner),
            to: parties.to.map(Private::into_inner),
            handle: String::new(),
            mark: None,
            begun: None,
            answered: None,
        };
        let mut out = self.begins(seen, now);
        out.extend(self.dialogs.told(
            &call.call_id,
            Some(&call.from_tag),
            Told::Cause(report),
            now,
        ));
        out
    }

    fn held(
        &mut self,
        call_id: &str,
        leg: String,
        hold: bool,
        state: LegState,
        now: Now,
    ) -> Vec<SipEvent> {
        if let Some(watch) = self.holds.get_mut(call_id) {
            if watch.hold == hold {
                watch.legs.insert(leg, state);
            }
            return Vec::new();
        }
        // Somebody else's order: the last leg decides.
        let told = match (state, hold) {
            (LegState::Done, true) => Told::Held,
            (LegState::Done, false) => Told::Resumed,
            _ => return Vec::new(),
        };
        let of = self.leg(call_id).map(|(_, scenario)| scenario);
        self.dialogs
            .told(of.as_deref().unwrap_or(call_id), None, told, now)
    }

    /// Waits for what the legs of a call say to a hold, or to its end.
    pub(super) fn watch_hold(&mut self, call_id: &str, hold: bool) {
        let watch = HoldWatch {
            hold,
            ..HoldWatch::default()
        };
        self.holds.insert(call_id.to_owned(), watch);
    }

    fn transferred(&mut self, call_id: &str, state: TransferState, status: Option<u16>) {
        let Some(watch) = self.transfers.get_mut(call_id) else {
            return;
        };
        let end = match (state, status) {
            (TransferState::Begun, _) => {
                watch.begun = true;
                None
            }
            (TransferState::Done, _) => Some(TransferEnd::Done),
            (TransferState::Failed, status) => Some(TransferEnd::Failed(status)),
            (TransferState::Notified, Some(200..=299)) => Some(TransferEnd::Done),
            (TransferState::Notified, Some(status @ 300..)) => {
                Some(TransferEnd::Failed(Some(status)))
            }
            _ => None,
        };
        watch.end = watch.end.or(end);
    }

    /// A call rang for as long as it may: its end, which follows, is not ours.
    pub(super) fn rang_out(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let report = Report {
            // Q.850 19: no answer from the user.
            causes: Causes::new().with_q850(19),
            disposition: Some(Disposition::NoAnswer),
            at: None,
        };
        let Some(pair) = self.pairs.get(&id) else {
            return Vec::new();
        };
        let scenario = pair.scenario.clone();
        self.dialogs.told(&scenario, None, Told::Cause(report), now)
    }

    /// The server was restarted: it forgot everything but these calls, which came after that.
    pub(super) fn restarted(&mut self, newer: &HashSet<CallId>, now: Now) -> Vec<SipEvent> {
        self.pairs.retain(|id, _| newer.contains(id));
        let mut out = Vec::new();
        if newer.is_empty() {
            out = self.dialogs.restarted(now);
        } else {
            let all: Vec<_> = self.dialogs.calls().live().collect();
            for id in all.into_iter().filter(|id| !newer.contains(id)) {
                if self.dialogs.calls().state(id) == Some(CallState::Created) {
                    continue;
                }
                let message = "the server was restarted and forgot the call";
                let error = Error::new(ErrorKind::OutcomeUnknown, "call", message);
                out.extend(self.dialogs.lose(id, error.with_call_id(id)));
            }
        }
        self.forget_ended();
        out
    }

    /// The next look comes soon.
    pub(super) fn want_look(&mut self) {
        self.want(Job::Of(Todo::Poll));
    }

    fn want(&mut self, job: Job) {
        if !self.todo.contains(&job) {
            self.todo.push(job);
        }
    }

    /// Forgets what belongs to calls that are over.
    fn forget_ended(&mut self) {
        let calls = self.dialogs.calls();
        let live = |id: &CallId| calls.state(*id).is_some();
        self.pairs.retain(|id, _| live(id));
        self.taken.retain(live);
        self.rings
            .retain(|id, _| live(id) && !calls.is_answered(*id));
        self.ring_times.retain(|id, _| live(id));
    }
}

/// What was asked for in one look.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) dialogs: &'a [RawDialog],
    /// Whether every dialog is among them.
    pub(super) whole: bool,
    /// `None` where they were not asked for.
    pub(super) tuples: Option<&'a [RawTuple]>,
    /// Calls that the server had taken before.
    pub(super) taken: &'a [CallId],
}

/// A dialog as the books take it.
fn shown(dialog: &RawDialog) -> Option<Seen> {
    if dialog.callid.is_empty() {
        return None;
    }
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    Some(Seen {
        call_id: dialog.callid.clone(),
        from_tag: dialog.caller_tag.clone(),
        to_tag: dialog.to_tag().map(str::to_owned),
        stage: dialog.stage()?,
        from: some(&dialog.from_uri),
        to: some(&dialog.to_uri),
        handle: dialog.id.clone(),
        mark: None,
        // The list does not tell when it began; it was answered then, so not after that.
        begun: dialog.answered(),
        answered: dialog.answered(),
    })
}

impl Book for Desk {
    type Todo = Job;

    fn calls(&self) -> &Calls {
        self.dialogs.calls()
    }

    fn take_todo(&mut self) -> Vec<Job> {
        let mut todo = std::mem::take(&mut self.todo);
        todo.extend(self.dialogs.take_todo().into_iter().map(Job::Of));
        self.wanted |= todo.contains(&Job::Of(Todo::Poll));
        todo
    }

    fn settle_todo(id: CallId) -> Job {
        Job::Of(Dialogs::settle_todo(id))
    }

    fn next_timeout(&self) -> Option<Instant> {
        let rings = self.rings.values().min().copied();
        [rings, self.dialogs.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn timeout(&mut self, now: Now) {
        self.dialogs.timeout(now);
        let due = self.rings.iter().filter(|(_, at)| **at <= now.instant);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        for id in due {
            self.rings.remove(&id);
            // Not again from the next list.
            self.ring_times.remove(&id);
            if self.dialogs.calls().state(id) != Some(CallState::Connected) {
                self.want(Job::RingOver(id));
            }
        }
    }

    fn requested(&mut self, id: CallId, now: Now) -> bool {
        self.dialogs.requested(id, now)
    }

    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.taken.insert(id);
        if let Some(time) = self.ring_times.get(&id) {
            self.rings.entry(id).or_insert(now.instant + *time);
        }
        self.want_look();
        self.dialogs.taken(id, now)
    }

    fn unsure(&mut self, id: CallId, now: Now) {
        self.dialogs.unsure(id, now);
    }

    fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        let out = self.dialogs.lose(id, error);
        self.forget_ended();
        out
    }

    fn missed_events(&mut self) {
        self.dialogs.missed_events();
    }

    fn attempt_failed(&mut self) {
        self.dialogs.attempt_failed();
    }

    fn forget_connection(&mut self) {
        self.todo.clear();
        self.holds.clear();
        self.transfers.clear();
        self.orders.clear();
        self.dialogs.forget_connection();
    }

    fn ours(&self) -> Vec<CallId> {
        self.dialogs.ours()
    }

    fn snapshot(&self, snapshot: &mut Snapshot) {
        self.dialogs.snapshot(snapshot);
    }
}
