//! The books of an adapter: which calls are up, which channels are theirs, how the ended ones
//! ended. Sans-IO: time comes in as an argument.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Private, Result, Timestamp,
    fax::{FailureClass, FaxOutcome},
    id::{CallId, CallRef},
    sip::{
        AdapterKind, CallRecord, CallState, CallStateChanged, CallStatus, CallUpdate, Causes,
        Direction, Disposition, IllegalEdge, class_of,
    },
};
use tokio::sync::watch;

/// How long the record of an ended call stays readable by its id.
const KEEP_ENDED: Duration = Duration::from_secs(3600);

/// How many records of ended calls are kept at most: about 13 MB.
const MAX_ENDED: usize = 10_000;

/// How many names of channels the record of one call has at most. A call that goes on for days may
/// see any number of parties come and go.
const MAX_NAMES: usize = 256;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For deadlines and ages.
    pub(crate) instant: Instant,
    /// For records.
    pub(crate) wall: Timestamp,
}

/// A call as it enters the books.
#[derive(Debug)]
pub(crate) struct NewCall {
    pub(crate) id: CallId,
    pub(crate) direction: Direction,
    pub(crate) state: CallState,
    pub(crate) from: Option<Private>,
    pub(crate) to: Option<Private>,
}

/// How a call ended.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// We hung up.
    pub(crate) by_us: bool,
    pub(crate) causes: Causes,
    pub(crate) fax: Option<FaxOutcome>,
    /// When it ended, where that is not now.
    pub(crate) at: Option<Timestamp>,
    /// The word for the end of a call that was not answered, where the causes do not have it.
    pub(crate) disposition: Option<Disposition>,
}

#[derive(Debug)]
struct Live {
    record: CallRecord,
    state: CallState,
    updates: watch::Sender<CallUpdate>,
}

/// Calls by our id and by the server's names.
#[derive(Debug)]
pub(crate) struct Calls {
    server: AdapterKind,
    // Boxed: a table is up to twice as large as what is in it.
    live: HashMap<CallId, Box<Live>>,
    by_native: HashMap<String, CallId>,
    ended: HashMap<CallId, Box<CallRecord>>,
    ended_order: VecDeque<(Instant, CallId)>,
    /// How many records were dropped so far.
    swept: u64,
}

impl Calls {
    pub(crate) fn new(server: AdapterKind) -> Self {
        Self {
            server,
            live: HashMap::new(),
            by_native: HashMap::new(),
            ended: HashMap::new(),
            ended_order: VecDeque::new(),
            swept: 0,
        }
    }

    /// Enters a call.
    ///
    /// An id names one call for ever: while it lives, and as long as its record is kept, another
    /// call with it would make `lookup` ambiguous.
    pub(crate) fn open(&mut self, call: NewCall, now: Now) -> Result<watch::Receiver<CallUpdate>> {
        if self.live.contains_key(&call.id) || self.ended.contains_key(&call.id) {
            let error = Error::new(
                ErrorKind::InvalidState,
                "make_call",
                "a call with this id exists; use a new id",
            );
            return Err(error.with_call_id(call.id));
        }
        let mut record =
            CallRecord::new(Some(call.id), self.server.clone(), call.direction, now.wall);
        record.from = call.from;
        record.to = call.to;
        let (updates, receiver) = watch::channel(CallUpdate::new(call.state));
        self.live.insert(
            call.id,
            Box::new(Live {
                record,
                state: call.state,
                updates,
            }),
        );
        Ok(receiver)
    }

    /// Names a channel, a Uniqueid, or whatever else the server calls the call.
    pub(crate) fn name(&mut self, id: CallId, native: &str) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let known = self.by_native.insert(native.to_owned(), id) == Some(id);
        if !known && live.record.channels.len() < MAX_NAMES {
            live.record.channels.push(Private::new(native.to_owned()));
        }
    }

    /// Who calls whom, where that was not known when the call came.
    #[cfg(any(feature = "kamailio", feature = "opensips"))]
    pub(crate) fn learn_parties(&mut self, id: CallId, from: Option<&str>, to: Option<&str>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let fill = |known: &mut Option<Private>, told: Option<&str>| {
            if let (None, Some(told)) = (&known, told) {
                *known = Some(Private::new(told.to_owned()));
            }
        };
        fill(&mut live.record.from, from);
        fill(&mut live.record.to, to);
    }

    /// A channel is gone while its call goes on: its name no longer leads to the call. The record
    /// keeps it.
    #[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
    pub(crate) fn unname(&mut self, id: CallId, native: &str) {
        if self.by_native.get(native) == Some(&id) {
            self.by_native.remove(native);
        }
    }

    /// The call is recorded to a file, as the server names it. Of several the last stays.
    #[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
    pub(crate) fn recorded(&mut self, id: CallId, file: &str) {
        if let Some(live) = self.live.get_mut(&id) {
            live.record.recording = Some(Private::new(file.to_owned()));
        }
    }

    /// The call that a server's name belongs to, while it lives.
    pub(crate) fn by_native(&self, native: &str) -> Option<CallId> {
        self.by_native.get(native).copied()
    }

    /// The live call that a reference names.
    pub(crate) fn find(&self, call: &CallRef) -> Option<CallId> {
        let by_id = call.id.filter(|id| self.live.contains_key(id));
        by_id.or_else(|| {
            call.native
                .as_deref()
                .and_then(|native| self.by_native(native))
        })
    }

    /// The ended call that a reference names, while its record is kept.
    pub(crate) fn record(&self, call: &CallRef) -> Option<&CallRecord> {
        match (call.id, &call.native) {
            (Some(id), _) => self.ended.get(&id).map(AsRef::as_ref),
            // Names of channels come again after a restart of the server: the last call counts.
            (None, Some(native)) => {
                let last_first = self.ended_order.iter().rev();
                let mut records = last_first.filter_map(|(_, id)| self.ended.get(id));
                let named = |name: &Private| name.expose() == native;
                records
                    .find(|record| record.channels.iter().any(named))
                    .map(AsRef::as_ref)
            }
            (None, None) => None,
        }
    }

    /// The records of ended calls, the last one first, each with its number: a later one has a
    /// greater number, and keeps it.
    pub(crate) fn ended(&self) -> impl Iterator<Item = (u64, &CallRecord)> {
        let numbers = (self.swept..).zip(&self.ended_order);
        let all: Vec<_> = numbers.collect();
        let record = |(number, (_, id)): (u64, &(Instant, CallId))| {
            Some((number, self.ended.get(id)?.as_ref()))
        };
        all.into_iter().rev().filter_map(record)
    }

    pub(crate) fn state(&self, id: CallId) -> Option<CallState> {
        self.live.get(&id).map(|live| live.state)
    }

    /// Whether the call was answered.
    pub(crate) fn is_answered(&self, id: CallId) -> bool {
        self.live
            .get(&id)
            .is_some_and(|live| live.record.answer.is_some())
    }

    pub(crate) fn status(&self, id: CallId) -> Option<CallStatus> {
        let live = self.live.get(&id)?;
        let mut status = CallStatus::new(
            Some(id),
            live.state,
            live.record.direction,
            live.record.start,
        );
        let there = |name: &&Private| self.by_native.get(name.expose()) == Some(&id);
        status.channels = live.record.channels.iter().filter(there).cloned().collect();
        status.answered_at = live.record.answer;
        Some(status)
    }

    /// The ids of all that live.
    pub(crate) fn live(&self) -> impl Iterator<Item = CallId> + '_ {
        self.live.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Takes the call along an edge. `None` when it is there already, or is not in the books.
    pub(crate) fn advance(
        &mut self,
        id: CallId,
        next: CallState,
        now: Now,
    ) -> Result<Option<CallStateChanged>, IllegalEdge> {
        let Some(live) = self.live.get_mut(&id) else {
            return Ok(None);
        };
        let from = live.state;
        if from == next {
            return Ok(None);
        }
        live.state.advance(next)?;
        Ok(Some(live.moved(from, now)))
    }

    /// Takes the call to what a snapshot of the server shows, over missed edges.
    pub(crate) fn jump(
        &mut self,
        id: CallId,
        seen: CallState,
        now: Now,
    ) -> Result<Option<CallStateChanged>, IllegalEdge> {
        let Some(live) = self.live.get_mut(&id) else {
            return Ok(None);
        };
        let from = live.state;
        if !live.state.jump(seen)? {
            return Ok(None);
        }
        let mut change = live.moved(from, now);
        change.jumped = true;
        Ok(Some(change))
    }

    /// Ends the call with its record. `None` when it is not in the books.
    pub(crate) fn end(&mut self, id: CallId, ending: Ending, now: Now) -> Option<CallStateChanged> {
        let live = self.remove(id)?;
        let mut record = live.record;
        // The clock of the wall may have been set back meanwhile.
        record.close(ending.at.unwrap_or(now.wall).max(record.start));
        record.disposition = if record.answer.is_some() {
            Disposition::Answered
        } else if ending.by_us {
            Disposition::Cancelled
        } else {
            ending
                .disposition
                .unwrap_or_else(|| disposition(&ending.causes))
        };
        record.causes = ending.causes;
        record.fax = ending.fax;
        live.updates.send_modify(|update| {
            update.state = CallState::Terminated;
            update.end = Some(Ok(record.clone()));
        });
        let mut change = CallStateChanged::new(Some(id), live.state, CallState::Terminated);
        change.record = Some(Box::new(record.clone()));
        record.channels.shrink_to_fit();
        self.keep(id, Box::new(record), now.instant);
        Some(change)
    }

    /// Takes the call out of the books with an error for its handles: nobody can follow it. It
    /// leaves no record, because a record would claim an end that nobody saw. Answers the change of
    /// a call that events had told of.
    pub(crate) fn lose(&mut self, id: CallId, error: Error) -> Option<CallStateChanged> {
        let live = self.remove(id)?;
        live.updates
            .send_modify(|update| update.end = Some(Err(error)));
        (live.state != CallState::Created)
            .then(|| CallStateChanged::new(Some(id), live.state, CallState::Terminated))
    }

    /// Drops records that are older than an hour or beyond the 10,000 newest.
    pub(crate) fn sweep(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.ended_order.front() {
            let old = now.saturating_duration_since(at) >= KEEP_ENDED;
            if !old && self.ended_order.len() <= MAX_ENDED {
                break;
            }
            self.ended_order.pop_front();
            self.ended.remove(&id);
            self.swept = self.swept.saturating_add(1);
        }
    }

    fn keep(&mut self, id: CallId, record: Box<CallRecord>, now: Instant) {
        self.ended.insert(id, record);
        self.ended_order.push_back((now, id));
        self.sweep(now);
    }

    fn remove(&mut self, id: CallId) -> Option<Live> {
        let live = self.live.remove(&id)?;
        if live.record.channels.len() >= MAX_NAMES {
            // There may be names that the record has no room for.
            self.by_native.retain(|_, call| *call != id);
        }
        for channel in &live.record.channels {
            // After a restart of the server another call may have this name by now.
            if self.by_native.get(channel.expose()) == Some(&id) {
                self.by_native.remove(channel.expose());
            }
        }
        Some(*live)
    }
}

impl Live {
    /// What follows from a change of state that was made.
    fn moved(&mut self, from: CallState, now: Now) -> CallStateChanged {
        if self.state == CallState::Connected && self.record.answer.is_none() {
            self.record.answer = Some(now.wall);
        }
        let answered = self.record.answer.is_some();
        let state = self.state;
        self.updates.send_modify(|update| {
            update.state = state;
            update.answered = answered;
        });
        CallStateChanged::new(self.record.id, from, state)
    }
}

/// The word for the end of a call that was not answered.
pub(crate) fn disposition(causes: &Causes) -> Disposition {
    match class_of(causes) {
        Some(FailureClass::Busy) => Disposition::Busy,
        Some(FailureClass::NoAnswer) => Disposition::NoAnswer,
        Some(FailureClass::Congestion) => Disposition::Congestion,
        Some(_) => Disposition::Failed,
        None => Disposition::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now {
            instant: Instant::now(),
            wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
        }
    }

    fn later(now: Now, by: Duration) -> Now {
        Now {
            instant: now.instant + by,
            wall: now.wall + by,
        }
    }

    fn dialing(id: CallId) -> NewCall {
        NewCall {
            id,
            direction: Direction::Outbound,
            state: CallState::Dialing,
            from: None,
            to: None,
        }
    }

    fn calls() -> Calls {
        Calls::new(AdapterKind::ASTERISK)
    }

    #[test]
    fn an_answered_call_ends_with_its_times() {
        let (mut calls, id, start) = (calls(), CallId::new(), now());
        let updates = calls.open(dialing(id), start).unwrap();
        let answered = later(start, Duration::from_secs(4));
        calls.advance(id, CallState::Ringing, start).unwrap();
        calls.advance(id, CallState::Connected, answered).unwrap();
        assert!(updates.borrow().answered);
        let change = calls
            .end(id, Ending::default(), later(start, Duration::from_secs(14)))
            .unwrap();
        let record = change.record.unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(
            (record.duration_seconds, record.billable_seconds),
            (Some(14), Some(10))
        );
        assert_eq!(calls.len(), 0);
        assert!(calls.record(&id.into()).is_some());
        assert!(matches!(updates.borrow().end, Some(Ok(_))));
    }

    #[test]
    fn an_id_is_refused_while_its_call_or_its_record_is_there() {
        let (mut calls, id, start) = (calls(), CallId::new(), now());
        let _updates = calls.open(dialing(id), start).unwrap();
        assert_eq!(
            calls.open(dialing(id), start).unwrap_err().kind(),
            ErrorKind::InvalidState
        );
        calls.end(id, Ending::default(), start);
        assert_eq!(
            calls.open(dialing(id), start).unwrap_err().kind(),
            ErrorKind::InvalidState
        );
        calls.sweep(start.instant + KEEP_ENDED);
        assert!(calls.open(dialing(id), start).is_ok());
    }

    #[test]
    fn names_of_the_server_lead_to_the_call_and_go_with_it() {
        let (mut calls, id, start) = (calls(), CallId::new(), now());
        let _updates = calls.open(dialing(id), start).unwrap();
        calls.name(id, "PJSIP/peer-00000001");
        calls.name(id, "PJSIP/peer-00000001");
        assert_eq!(
            calls.find(&CallRef::native("PJSIP/peer-00000001")),
            Some(id)
        );
        assert_eq!(calls.status(id).unwrap().channels.len(), 1);
        calls.end(id, Ending::default(), start);
        assert_eq!(calls.find(&CallRef::native("PJSIP/peer-00000001")), None);
        assert!(
            calls
                .record(&CallRef::native("PJSIP/peer-00000001"))
                .is_some()
        );
    }

    #[test]
    fn a_channel_that_left_leads_no_longer_to_the_call_and_stays_in_its_record() {
        let (mut calls, id, start) = (calls(), CallId::new(), now());
        let _updates = calls.open(dialing(id), start).unwrap();
        calls.name(id, "PJSIP/own-00000001");
        calls.name(id, "PJSIP/leg-00000002");
        calls.unname(id, "PJSIP/leg-00000002");
        assert_eq!(calls.find(&CallRef::native("PJSIP/leg-00000002")), None);
        assert_eq!(calls.status(id).unwrap().channels.len(), 1);
        let change = calls.end(id, Ending::default(), start).unwrap();
        assert_eq!(change.record.unwrap().channels.len(), 2);
    }

    #[test]
    fn the_names_in_a_record_are_bounded_and_none_is_left_behind() {
        let (mut calls, id, start) = (calls(), CallId::new(), now());
        let _updates = calls.open(dialing(id), start).unwrap();
        for number in 0..2 * MAX_NAMES {
            let name = format!("PJSIP/leg-{number:08x}");
            calls.name(id, &name);
            calls.unname(id, &name);
        }
        calls.name(id, "PJSIP/there-to-the-end");
        let change = calls.end(id, Ending::default(), start).unwrap();
        assert_eq!(change.record.unwrap().channels.len(), MAX_NAMES);
        assert!(calls.by_native.is_empty());
    }

    #[test]
    fn an_end_that_was_earlier_than_now_has_its_own_time_and_never_lies_before_the_start() {
        for (before, duration) in [(4, 6), (60, 0)] {
            let (mut calls, id, start) = (calls(), CallId::new(), now());
            let _updates = calls.open(dialing(id), start).unwrap();
            let end = later(start, Duration::from_secs(10));
            let ending = Ending {
                at: Some(end.wall - Duration::from_secs(before)),
                disposition: Some(Disposition::NoAnswer),
                ..Ending::default()
            };
            let record = calls.end(id, ending, end).unwrap().record.unwrap();
            assert_eq!(record.duration_seconds, Some(duration));
            assert_eq!(record.disposition, Disposition::NoAnswer);
        }
    }

    #[test]
    fn a_call_that_is_lost_leaves_no_record() {
        let (mut calls, id, start) = (calls(), CallId::new(), now());
        let updates = calls.open(dialing(id), start).unwrap();
        calls.lose(
            id,
            Error::new(
                ErrorKind::OutcomeUnknown,
                "make_call",
                "the server restarted",
            ),
        );
        assert!(
            matches!(&updates.borrow().end, Some(Err(error)) if error.kind() == ErrorKind::OutcomeUnknown)
        );
        assert!(calls.record(&id.into()).is_none());
    }

    #[test]
    fn the_records_of_ended_calls_are_bounded_by_number() {
        let (mut calls, start) = (calls(), now());
        let ids: Vec<_> = (0..MAX_ENDED + 5).map(|_| CallId::new()).collect();
        for &id in &ids {
            let _updates = calls.open(dialing(id), start).unwrap();
            calls.end(id, Ending::default(), start);
        }
        assert_eq!(calls.ended.len(), MAX_ENDED);
        assert!(calls.record(&ids[4].into()).is_none());
        assert!(calls.record(&ids[5].into()).is_some());
    }

    #[test]
    fn of_ended_calls_with_one_channel_name_the_last_is_found() {
        let (mut calls, start) = (calls(), now());
        for _ in 0..20 {
            let id = CallId::new();
            let _updates = calls.open(dialing(id), start).unwrap();
            calls.name(id, "PJSIP/peer-00000001");
            calls.end(id, Ending::default(), start);
            let found = calls.record(&CallRef::native("PJSIP/peer-00000001"));
            assert_eq!(found.unwrap().id, Some(id));
        }
    }

    #[test]
    fn an_illegal_edge_is_reported_and_not_applied() {
        let (mut calls, id, start) = (calls(), CallId::new(), now());
        let _updates = calls.open(dialing(id), start).unwrap();
        calls.advance(id, CallState::Connected, start).unwrap();
        assert!(calls.advance(id, CallState::Ringing, start).is_err());
        assert_eq!(calls.state(id), Some(CallState::Connected));
    }
}
