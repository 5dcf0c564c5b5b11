//! The books on events as Asterisk sends them, on a clock of our own.

use bytes::BytesMut;
use faxbot_core::{
    ErrorKind, Private, Timestamp,
    fax::{FailureClass, FaxUpdate, OutcomeStatus},
    sip::{CallRecord, CallUpdate, Disposition},
};

use std::time::Instant;

use tokio::sync::watch;

use super::{
    super::{
        super::{
            answer::OnceAnswered,
            outcome::{Report, channel_id, peer_id},
        },
        OVERDUE, UNSURE,
        legs::Plan,
        line::{LiveChannel, NewLine},
    },
    *,
};
use crate::adapter::hub::Book as _;
use crate::protocol::{
    ami::{AmiCodec, MAX_MESSAGE, Role},
    session::Codec as _,
};

struct Desk {
    books: Books,
    now: Now,
    events: Vec<SipEvent>,
}

impl Desk {
    fn new() -> Self {
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
        };
        Self {
            books: Books::new(),
            now,
            events: Vec::new(),
        }
    }

    fn line(&self, id: CallId) -> NewLine {
        NewLine {
            id,
            to: Private::default(),
            from: None,
            ring_timeout: Duration::from_secs(60),
            plan: Plan::default(),
            on_answer: OnceAnswered::default(),
        }
    }

    fn call(&mut self) -> (CallId, watch::Receiver<CallUpdate>) {
        let id = CallId::new();
        let updates = self.books.open(self.line(id), self.now).unwrap();
        assert!(self.books.requested(id, self.now));
        let events = self.books.taken(id, self.now);
        self.events.extend(events);
        (id, updates)
    }

    fn fax(&mut self, pages: u32) -> (CallId, watch::Receiver<FaxUpdate>) {
        let id = CallId::new();
        let updates = self.books.open_fax(self.line(id), pages, self.now).unwrap();
        assert!(self.books.requested(id, self.now));
        let events = self.books.taken(id, self.now);
        self.events.extend(events);
        (id, updates)
    }

    /// An event of our channel; `headers` as `Key: value` lines.
    fn event(&mut self, id: CallId, name: &str, headers: &[&str]) {
        self.event_of(&channel_id(id), name, headers);
    }

    fn event_of(&mut self, uniqueid: &str, name: &str, headers: &[&str]) {
        let mut bytes = BytesMut::from("Asterisk Call Manager/11.0.0\r\n");
        bytes.extend_from_slice(format!("Event: {name}\r\nUniqueid: {uniqueid}\r\n").as_bytes());
        for header in headers {
            bytes.extend_from_slice(format!("{header}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
        codec.decode(&mut bytes).unwrap().unwrap();
        let message = codec.decode(&mut bytes).unwrap().unwrap();
        let events = self.books.event(&message, self.now);
        self.events.extend(events);
    }

    fn vars(&mut self, id: CallId, values: &[(&str, &str)]) {
        for (variable, value) in values {
            self.event(
                id,
                "VarSet",
                &[&format!("Variable: {variable}"), &format!("Value: {value}")],
            );
        }
    }

    fn wait(&mut self, by: Duration) {
        self.now.instant += by;
        self.now.wall = self.now.wall + by;
        self.books.timeout(self.now);
    }

    fn finish(&mut self, id: CallId, report: Option<&str>) {
        let report = report.map(|text| Report::parse(text).unwrap());
        let events = self.books.finish(id, report.as_ref(), self.now);
        self.events.extend(events);
    }

    fn record(&self, id: CallId) -> CallRecord {
        self.books.record(&id.into()).unwrap()
    }

    fn states(&self) -> Vec<CallState> {
        let state = |event: &SipEvent| match event {
            SipEvent::CallStateChanged(change) => Some(change.to),
            _ => None,
        };
        self.events.iter().filter_map(state).collect()
    }
}

const CHANNEL: &str = "Channel: PJSIP/peer-00000001";

fn answer(desk: &mut Desk, id: CallId) {
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.event(id, "Newstate", &["ChannelStateDesc: Ringing"]);
    desk.event(id, "Newstate", &["ChannelStateDesc: Up"]);
    desk.event(id, "OriginateResponse", &["Response: Success", "Reason: 4"]);
}

#[test]
fn an_answered_call_goes_through_its_states_once() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    answer(&mut desk, id);
    desk.event(id, "Hangup", &["Cause: 16", "Cause-txt: Normal Clearing"]);
    assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
    desk.finish(id, None);
    use CallState as S;
    assert_eq!(
        desk.states(),
        [S::Dialing, S::Ringing, S::Connected, S::Terminated]
    );
    assert_eq!(desk.record(id).disposition, Disposition::Answered);
}

#[test]
fn a_cause_of_zero_is_no_failure_of_a_call_that_was_answered() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    answer(&mut desk, id);
    desk.event(id, "Hangup", &["Cause: 0", "Cause-txt: Unknown"]);
    desk.finish(id, None);
    assert_eq!(desk.record(id).disposition, Disposition::Answered);
    assert_eq!(desk.record(id).causes.class(), None);
}

#[test]
fn the_cause_is_that_of_the_hangup_in_either_order() {
    for hangup_first in [true, false] {
        let mut desk = Desk::new();
        let (id, _updates) = desk.call();
        desk.event(id, "Newchannel", &[CHANNEL]);
        let hangup = ["Cause: 21", "Cause-txt: Call Rejected", "TechCause: 603"];
        let response = ["Response: Failure", "Reason: 0"];
        if hangup_first {
            desk.event(id, "Hangup", &hangup);
            desk.event(id, "OriginateResponse", &response);
        } else {
            desk.event(id, "OriginateResponse", &response);
            assert_eq!(desk.books.take_todo(), []);
            desk.event(id, "Hangup", &hangup);
        }
        assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
        desk.finish(id, None);
        let record = desk.record(id);
        assert_eq!(
            (record.causes.q850, record.causes.sip_status),
            (Some(21), Some(603))
        );
        assert_eq!(record.disposition, Disposition::Failed);
    }
}

#[test]
fn a_hangup_that_says_nothing_waits_for_the_event_that_does() {
    for (told_by_peer, disposition) in [(true, Disposition::Busy), (false, Disposition::Congestion)]
    {
        let mut desk = Desk::new();
        let (id, _updates) = desk.call();
        desk.event(id, "Newchannel", &["Channel: Local/602@default-00000001;1"]);
        desk.event(id, "Hangup", &["Cause: 0", "Cause-txt: Unknown"]);
        assert_eq!(desk.books.take_todo(), []);
        if told_by_peer {
            desk.event_of(&peer_id(id), "Hangup", &["Cause: 17"]);
        } else {
            desk.event(id, "OriginateResponse", &["Response: Failure", "Reason: 8"]);
        }
        assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
        desk.finish(id, None);
        assert_eq!(desk.record(id).disposition, disposition);
    }
    // Neither comes: the server is asked.
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.event(id, "Hangup", &["Cause: 0"]);
    desk.wait(SECOND_EVENT);
    assert_eq!(desk.books.take_todo(), [Todo::Check(id)]);
    desk.books.channels(&[], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
}

#[test]
fn a_failure_without_a_channel_is_asked_for_before_it_counts() {
    // An endpoint that does not exist gives this event alone; a ChannelId that lives gives it too,
    // with the Uniqueid of the living call.
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    desk.event(id, "OriginateResponse", &["Response: Failure", "Reason: 0"]);
    assert_eq!(desk.books.take_todo(), [Todo::Check(id)]);
    let alive = LiveChannel {
        name: "PJSIP/peer-00000009".into(),
        uniqueid: channel_id(id),
        state: "Up".into(),
        ..LiveChannel::default()
    };
    desk.books.channels(&[alive], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), []);
    assert_eq!(
        desk.books.calls.status(id).unwrap().state,
        CallState::Connected
    );
    // Its own end counts.
    desk.books.channels(&[], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
}

#[test]
fn the_other_leg_of_a_local_channel_tells_the_cause() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    desk.event(id, "Newchannel", &["Channel: Local/602@default-00000000;1"]);
    desk.event_of(
        &peer_id(id),
        "Hangup",
        &["Cause: 17", "Cause-txt: User busy"],
    );
    desk.event(id, "OriginateResponse", &["Response: Failure", "Reason: 5"]);
    desk.event(id, "Hangup", &["Cause: 0", "Cause-txt: Unknown"]);
    desk.finish(id, None);
    assert_eq!(desk.record(id).disposition, Disposition::Busy);
}

#[test]
fn no_answer_on_asterisk_16_has_only_a_reason() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.event(id, "OriginateResponse", &["Response: Failure", "Reason: 3"]);
    desk.event(id, "Hangup", &["Cause: 0", "Cause-txt: Unknown"]);
    desk.finish(id, None);
    assert_eq!(desk.record(id).disposition, Disposition::NoAnswer);
}

#[test]
fn a_late_word_of_an_earlier_state_changes_nothing() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    answer(&mut desk, id);
    desk.event(id, "Newstate", &["ChannelStateDesc: Ringing"]);
    assert_eq!(
        desk.books.calls.status(id).unwrap().state,
        CallState::Connected
    );
    assert!(
        !desk
            .events
            .iter()
            .any(|event| matches!(event, SipEvent::AdapterError { .. }))
    );
}

#[test]
fn events_of_other_peoples_calls_change_nothing() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    let before = desk.events.len();
    for other in [
        "1795248360.17",
        "faxbot-00000000-0000-0000-0000-000000000000",
        "faxbot-",
    ] {
        desk.event_of(other, "Hangup", &["Cause: 17"]);
    }
    assert_eq!(desk.events.len(), before);
    assert_eq!(desk.books.calls.live().collect::<Vec<_>>(), [id]);
}

fn three_pages_end(desk: &mut Desk, id: CallId) {
    desk.vars(
        id,
        &[
            ("FAXSTATUS", "FAILED"),
            ("FAXERROR", "INIT_ERROR"),
            ("FAXSTATUS", ""),
            ("FAXERROR", ""),
            ("FAXSTATUS", "FAILED"),
            ("FAXERROR", "HANGUP"),
            ("FAXPAGES", "3"),
            ("FAXMODE", "T38"),
            ("FAXSTATUS", "SUCCESS"),
        ],
    );
    desk.event(
        id,
        "SendFAX",
        &["PagesTransferred: 3", "TransferRate: 14400"],
    );
    desk.event(id, "Hangup", &["Cause: 16"]);
}

#[test]
fn a_fax_that_said_failed_first_is_a_success_by_its_last_words() {
    let mut desk = Desk::new();
    let (id, updates) = desk.fax(3);
    answer(&mut desk, id);
    three_pages_end(&mut desk, id);
    desk.finish(id, None);
    let outcome = updates.borrow().end.clone().unwrap().unwrap();
    assert!(outcome.is_success());
    assert_eq!(outcome.pages_confirmed, Some(3));
}

#[test]
fn what_the_handler_left_wins_over_the_events() {
    let mut desk = Desk::new();
    let (id, updates) = desk.fax(3);
    answer(&mut desk, id);
    desk.event(id, "Hangup", &["Cause: 16"]);
    desk.finish(
        id,
        Some("1|1795248360|Up|fax|16|SUCCESS|HANGUP|3|14400|T38|8031x7700|OK|X"),
    );
    assert!(updates.borrow().end.clone().unwrap().unwrap().is_success());
}

#[test]
fn after_a_gap_only_what_the_handler_left_counts() {
    let mut desk = Desk::new();
    let (id, updates) = desk.fax(3);
    answer(&mut desk, id);
    desk.vars(id, &[("FAXSTATUS", "FAILED"), ("FAXERROR", "HANGUP")]);
    desk.books.missed_events();
    desk.wait(Duration::from_secs(30));
    desk.books.channels(&[], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
    desk.finish(id, None);
    let outcome = updates.borrow().end.clone().unwrap().unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Unknown);
}

#[test]
fn a_plain_call_that_is_gone_without_a_trace_ends_in_an_error_not_in_a_record() {
    let mut desk = Desk::new();
    let (id, updates) = desk.call();
    answer(&mut desk, id);
    desk.wait(Duration::from_secs(30));
    desk.books.channels(&[], &[id], desk.now);
    desk.finish(id, None);
    let end = updates.borrow().end.clone();
    assert!(matches!(end, Some(Err(error)) if error.kind() == ErrorKind::OutcomeUnknown));
    assert!(desk.books.record(&id.into()).is_none());
}

#[test]
fn a_request_just_written_is_not_taken_for_gone() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.fax(1);
    desk.books.missed_events();
    desk.books.channels(&[], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), []);
    desk.wait(UNSURE);
    assert_eq!(desk.books.take_todo(), [Todo::Check(id)]);
    desk.books.channels(&[], &[id], desk.now);
    assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
}

#[test]
fn a_call_that_says_nothing_is_asked_for_after_its_ring_time() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    desk.wait(Duration::from_secs(60) + OVERDUE);
    assert_eq!(desk.books.take_todo(), [Todo::Check(id)]);
}

#[test]
fn a_hang_up_before_the_channel_is_sent_when_the_channel_is_there() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    desk.books.hung_up_by_us(id, true);
    desk.books.hang_up_when_there(id, desk.now);
    desk.books.hanging_up(id, desk.now);
    desk.event(id, "Newchannel", &[CHANNEL]);
    assert_eq!(desk.books.take_todo(), [Todo::HangUp(id)]);
    desk.event(id, "Hangup", &["Cause: 0"]);
    desk.finish(id, None);
    assert_eq!(desk.record(id).disposition, Disposition::Cancelled);
}

#[test]
fn a_hang_up_that_missed_the_channel_by_a_moment_is_sent_again() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.call();
    desk.books.hung_up_by_us(id, true);
    // `No such channel` was on its way when the channel came.
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.books.hang_up_when_there(id, desk.now);
    assert_eq!(desk.books.take_todo(), [Todo::HangUp(id)]);
}

#[test]
fn a_fax_that_we_hung_up_is_cancelled_and_keeps_its_pages() {
    let mut desk = Desk::new();
    let (id, updates) = desk.fax(3);
    answer(&mut desk, id);
    desk.books.hung_up_by_us(id, true);
    desk.event(id, "Hangup", &["Cause: 0"]);
    desk.finish(
        id,
        Some("1|1795248360|Up|fax|0|FAILED|The call dropped prematurely|1|14400|T38|8031x7700|The call dropped prematurely|X"),
    );
    let outcome = updates.borrow().end.clone().unwrap().unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::Cancelled));
    assert_eq!(outcome.pages_confirmed, Some(1));
}

#[test]
fn a_busy_fax_fails_as_busy() {
    let mut desk = Desk::new();
    let (id, updates) = desk.fax(3);
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.event(id, "Hangup", &["Cause: 17", "TechCause: 486"]);
    desk.finish(id, Some("1|1795248360|Down|fax|17||||||||"));
    let outcome = updates.borrow().end.clone().unwrap().unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::Busy));
    assert_eq!(desk.record(id).disposition, Disposition::Busy);
}

#[test]
fn progress_goes_forward_only() {
    let mut desk = Desk::new();
    let (id, updates) = desk.fax(3);
    answer(&mut desk, id);
    for (pages, page) in [(0, 1), (1, 2), (0, 2), (3, 3)] {
        desk.event_of("x", "Nothing", &[]);
        let mut bytes = BytesMut::from("Asterisk Call Manager/11.0.0\r\n");
        bytes.extend_from_slice(
            format!("Event: FAXSession\r\nState: Active\r\nImageResolution: 8031x7700\r\nPagesTransmitted: {pages}\r\nDataRate: 14400\r\n\r\n").as_bytes(),
        );
        let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
        codec.decode(&mut bytes).unwrap().unwrap();
        let session = codec.decode(&mut bytes).unwrap().unwrap();
        desk.books.fax_session(id, &session, desk.now);
        let progress = updates.borrow().progress;
        assert_eq!(
            (progress.page, progress.phase),
            (Some(page), FaxPhase::Transmitting)
        );
    }
}

#[path = "books_tests.rs"]
mod books;

#[path = "legs_tests.rs"]
mod legs;
