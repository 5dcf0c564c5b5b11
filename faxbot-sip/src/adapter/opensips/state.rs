//! The books: dialogs as calls, our calls of two legs, and what is waited for. Sans-IO.

mod restart;
mod told;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, Timestamp,
    id::{CallId, CallRef},
    sip::{AdapterKind, Causes, Disposition, SipEvent, Snapshot},
};

use super::{
    abilities::Abilities,
    limits::Limits,
    rounds::{Reasons, Round, Rounds},
    watches::{HoldWatch, TransferWatch},
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
    /// A call whose transfer is done is still up.
    Transferred(CallId),
}

impl Job {
    pub(super) fn work(&self) -> Work {
        match self {
            Self::Of(todo) => todo.work(),
            Self::RingOver(_) | Self::Transferred(_) => Work::Ask,
        }
    }
}

/// A call of two legs, as the server last showed it.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// What the server's commands take. It comes again for later calls, so it is read anew for each of
    /// them.
    key: String,
    /// Its `scenario_id`.
    scenario: String,
    legs: Vec<String>,
    /// Its legs are dialogs of the server: then accounting may tell why it ended.
    told: bool,
    /// When it was last shown.
    shown: Instant,
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
    /// How long calls of ours may ring.
    pub(super) rings: Limits,
    /// How long calls may be up whose transfer is done.
    pub(super) transferred: Limits,
    pub(super) rounds: Rounds,
    /// How many hang-ups of a call are under way or may have reached the server.
    hung_up: HashMap<CallId, usize>,
    pub(super) holds: HashMap<String, HoldWatch>,
    pub(super) transfers: HashMap<String, TransferWatch>,
    /// Calls that an order of ours is carried out for.
    orders: HashSet<CallId>,
    todo: Vec<Job>,
}

impl Desk {
    /// Books of a server that is polled so often.
    pub(super) fn new(poll: Duration) -> Self {
        Self {
            dialogs: Dialogs::new(AdapterKind::OPENSIPS),
            abilities: Abilities::hoped_for(),
            run: None,
            up_since: None,
            pairs: HashMap::new(),
            taken: HashSet::new(),
            rings: Limits::default(),
            transferred: Limits::default(),
            rounds: Rounds::new(poll),
            hung_up: HashMap::new(),
            holds: HashMap::new(),
            transfers: HashMap::new(),
            orders: HashSet::new(),
            todo: Vec::new(),
        }
    }

    /// What the next poll asks for; `told` where events tell of dialogs.
    pub(super) fn next_round(&mut self, told: bool, now: Instant) -> Round {
        let reasons = Reasons {
            told,
            pairs: self.has_pairs(),
            placing: self.is_placing(),
        };
        self.rounds.next(reasons, now)
    }

    /// We hang up: the end that follows is ours, even if its event overtakes the answer.
    pub(super) fn begin_hang_up(&mut self, id: CallId) {
        self.dialogs.hung_up_by_us(id, true);
        *self.hung_up.entry(id).or_default() += 1;
    }

    /// This hang-up certainly did not end it; another one may.
    pub(super) fn take_hang_up_back(&mut self, id: CallId) {
        let Some(count) = self.hung_up.get_mut(&id) else {
            return;
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.hung_up.remove(&id);
            self.dialogs.hung_up_by_us(id, false);
        }
    }

    /// The live call that a reference names; also by the Call-ID of one of its legs.
    pub(super) fn find(&self, call: &CallRef) -> Option<CallId> {
        self.dialogs.find(call).or_else(|| {
            let native = call.native.as_deref().filter(|_| call.id.is_none())?;
            let named =
                |pair: &Pair| pair.key == native || pair.legs.iter().any(|leg| leg == native);
            let pairs = self.pairs.iter().filter(|(_, pair)| named(pair));
            // A key comes again: the call that was shown last has it.
            let last = pairs.max_by_key(|(_, pair)| pair.shown);
            last.map(|(id, _)| *id)
        })
    }

    /// Whether this is a call of two legs.
    pub(super) fn is_pair(&self, id: CallId) -> bool {
        self.pairs.contains_key(&id)
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
        let mut gone = Vec::new();
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
            if let Some(asked) = look.asked {
                // One that was shown since is newer than this list.
                let absent = |id: &CallId, pair: &Pair| !there.contains(id) && pair.shown < asked;
                gone.extend(self.pairs.extract_if(|id, pair| absent(id, pair)));
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
        let mut out = Vec::new();
        for (id, _) in gone {
            out.extend(self.dialogs.over(id, now));
        }
        out.extend(self.dialogs.listed(&seen, look.whole, now));
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
        self.rings.begins(id, now.instant);
        let pair = Pair {
            key: tuple.key.clone(),
            scenario: tuple.scenario.clone(),
            legs: tuple.legs().map(str::to_owned).collect(),
            told: self.pairs.get(&id).is_some_and(|pair| pair.told),
            shown: now.instant,
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
            ended: None,
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

    /// A call rang for as long as it may: its end, which follows, is not ours.
    pub(super) fn rang_out(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        let report = Report {
            // Q.850 19: no answer from the user.
            causes: Causes::new().with_q850(19),
            disposition: Some(Disposition::NoAnswer),
            ..Report::default()
        };
        let Some(pair) = self.pairs.get(&id) else {
            return Vec::new();
        };
        let scenario = pair.scenario.clone();
        self.dialogs.told(&scenario, None, Told::Cause(report), now)
    }

    /// What became of this call is asked for.
    pub(super) fn want_look(&mut self, id: CallId) {
        if self.is_pair(id) || self.dialogs.is_ours(id) {
            self.want_pairs();
        } else {
            self.rounds.want_list();
        }
    }

    /// The calls of two legs are asked for soon: their list is short.
    pub(super) fn want_pairs(&mut self) {
        self.rounds.want_pairs();
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
        self.hung_up.retain(|id, _| live(id));
        self.rings.retain(|id| live(&id) && !calls.is_answered(id));
        self.transferred.retain(|id| live(&id));
        let dialogs = &self.dialogs;
        self.transfers.retain(|call_id, watch| {
            !watch.left || dialogs.find(&CallRef::native(call_id.as_str())).is_some()
        });
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
    /// When they were asked for, by a poll; `None` for a look beside the polls, in which none is missed.
    pub(super) asked: Option<Instant>,
    /// Calls that the server had taken before.
    pub(super) taken: &'a [CallId],
}

impl<'a> Look<'a> {
    /// At the calls of two legs alone, beside the polls.
    pub(super) fn at_pairs(tuples: &'a [RawTuple]) -> Self {
        Self {
            dialogs: &[],
            whole: false,
            tuples: Some(tuples),
            asked: None,
            taken: &[],
        }
    }
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
        ended: None,
    })
}

impl Book for Desk {
    type Todo = Job;

    fn calls(&self) -> &Calls {
        self.dialogs.calls()
    }

    fn take_todo(&mut self) -> Vec<Job> {
        let mut todo = std::mem::take(&mut self.todo);
        for one in self.dialogs.take_todo() {
            match one {
                // Once in the poll interval.
                Todo::Poll => self.rounds.want_list(),
                other => todo.push(Job::Of(other)),
            }
        }
        todo
    }

    fn settle_todo(id: CallId) -> Job {
        Job::Of(Dialogs::settle_todo(id))
    }

    fn about(job: &Job) -> Option<CallId> {
        match job {
            Job::Of(todo) => Dialogs::about(todo),
            Job::RingOver(id) | Job::Transferred(id) => Some(*id),
        }
    }

    fn next_timeout(&self) -> Option<Instant> {
        let all = [
            self.rings.next(),
            self.transferred.next(),
            self.rounds.next_call(),
            self.dialogs.next_timeout(),
        ];
        all.into_iter().flatten().min()
    }

    fn timeout(&mut self, now: Now) {
        self.dialogs.timeout(now);
        if self.rounds.call(now.instant) {
            self.want(Job::Of(Todo::Poll));
        }
        for id in self.rings.over(now.instant) {
            if self.dialogs.calls().is_answered(id) {
                self.rings.done(id);
            } else {
                self.want(Job::RingOver(id));
            }
        }
        for id in self.transferred.over(now.instant) {
            self.want(Job::Transferred(id));
        }
    }

    fn requested(&mut self, id: CallId, now: Now) -> bool {
        self.dialogs.requested(id, now)
    }

    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.taken.insert(id);
        self.rings.begins(id, now.instant);
        self.want_pairs();
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
        // Orders that still run keep their claims and what they wait for until they are dropped.
        self.todo.clear();
        self.rounds.forget();
        self.dialogs.forget_connection();
    }

    fn ours(&self) -> Vec<CallId> {
        self.dialogs.ours()
    }

    fn snapshot(&self, snapshot: &mut Snapshot) {
        self.dialogs.snapshot(snapshot);
    }
}

#[cfg(test)]
mod tests;
