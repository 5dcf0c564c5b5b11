//! Incoming calls in the books, on a clock of our own.

use bytes::BytesMut;
use std::time::Instant;

use faxbot_core::{ErrorKind, Timestamp, sip::RejectCause};

use super::*;
use crate::adapter::incoming::MAX_WAITING;
use crate::protocol::{
    ami::{AmiCodec, MAX_MESSAGE, Role},
    session::Codec as _,
};

const CHANNEL: &str = "1795248360.17";

struct Desk {
    books: Books,
    now: Now,
}

impl Desk {
    fn new() -> Self {
        let mut books = Books::new();
        books.door.context = Some("incoming".to_owned());
        books.door.deadline = Duration::from_secs(20);
        Self {
            books,
            now: Now {
                instant: Instant::now(),
                wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
            },
        }
    }

    fn event(&mut self, uniqueid: &str, name: &str, headers: &[&str]) -> Vec<SipEvent> {
        let mut text = format!("X\r\nEvent: {name}\r\nUniqueid: {uniqueid}\r\n");
        for header in headers {
            text += &format!("{header}\r\n");
        }
        let mut bytes = BytesMut::from(format!("{text}\r\n").as_str());
        let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
        codec.decode(&mut bytes).unwrap().unwrap();
        let message = codec.decode(&mut bytes).unwrap().unwrap();
        self.books.event(&message, self.now)
    }

    fn start(&mut self, uniqueid: &str, more: &[&str]) -> CallId {
        let mut headers = vec![
            "Channel: PJSIP/trunk-00000001",
            "Context: incoming",
            "Exten: 710",
            "CallerIDNum: 15551230001",
        ];
        headers.extend(more);
        let told = self.event(uniqueid, "AsyncAGIStart", &headers);
        assert!(told.is_empty(), "nothing is told before it was asked");
        call_id(uniqueid)
    }

    /// A call that subscribers know of.
    fn told(&mut self) -> CallId {
        let id = self.start(CHANNEL, &["ChannelStateDesc: Ring"]);
        assert_eq!(self.books.take_todo(), [Todo::Announce(id)]);
        let told = self.books.announce(id, BTreeMap::new());
        assert!(matches!(told.as_slice(), [SipEvent::IncomingCall(call)] if call.id == id));
        id
    }

    fn wait(&mut self, seconds: u64) -> Vec<Todo> {
        self.now.instant += Duration::from_secs(seconds);
        self.now.wall = self.now.wall + Duration::from_secs(seconds);
        self.books.timeout(self.now);
        self.books.take_todo()
    }

    fn listed(&mut self) -> Vec<SipEvent> {
        let channel = LiveChannel {
            name: "PJSIP/trunk-00000001".to_owned(),
            uniqueid: CHANNEL.to_owned(),
            state: "Ring".to_owned(),
            context: "incoming".to_owned(),
            application: "AGI".to_owned(),
            data: "agi:async".to_owned(),
            exten: "710".to_owned(),
            caller: "15551230001".to_owned(),
            age: Duration::from_secs(9),
            ..LiveChannel::default()
        };
        let asked = self.books.calls.live().collect::<Vec<_>>();
        self.books.channels(&[channel], &asked, self.now)
    }
}

#[test]
fn a_channel_has_the_same_id_in_every_process_and_for_ever() {
    assert_eq!(
        call_id("1795248360.17").as_uuid().to_string(),
        "102fdb04-c192-5073-b724-f7016bd3e97a"
    );
    assert_ne!(call_id("1795248360.1"), call_id("1795248360.17"));
}

#[test]
fn only_the_context_that_is_ours_brings_calls() {
    let mut desk = Desk::new();
    desk.event("1.1", "AsyncAGIStart", &["Context: default", "Exten: 1"]);
    desk.event(
        "fxpeer-3b0b1ed0-2a4c-4b5c-9d5e-0f5b8e3f4a11",
        "AsyncAGIStart",
        &["Context: incoming", "Exten: 1"],
    );
    desk.books.door.context = None;
    desk.event("1.2", "AsyncAGIStart", &["Context: incoming", "Exten: 1"]);
    assert!(desk.books.lines.is_empty());
    assert!(desk.books.take_todo().is_empty());
}

#[test]
fn of_many_decisions_the_first_wins() {
    let mut desk = Desk::new();
    let id = desk.told();
    assert_eq!(desk.books.decide(id, "accept").unwrap(), CHANNEL);
    let second = desk.books.decide(id, "reject").unwrap_err();
    assert_eq!(second.kind(), ErrorKind::InvalidState);
    assert!(desk.books.waiting().is_empty());
    assert!(!desk.wait(30).contains(&Todo::Overdue(id)));
}

#[test]
fn a_decision_that_was_undone_waits_some_seconds_for_another() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.wait(19);
    desk.books.decide(id, "accept").unwrap();
    desk.books.becomes_fax(id);
    desk.books.undecide(id, desk.now);
    assert!(!desk.books.is_fax(id));
    assert_eq!(desk.books.waiting().len(), 1);
    assert!(!desk.wait(2).contains(&Todo::Overdue(id)));
    assert!(desk.wait(5).contains(&Todo::Overdue(id)));
}

#[test]
fn an_order_whose_fate_is_unknown_is_settled_by_the_list() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.books.decide(id, "reject").unwrap();
    desk.books.rejecting(id, RejectCause::Busy);
    // On its way: the list may be older than it.
    desk.listed();
    assert!(desk.books.waiting().is_empty());
    desk.books.decision_unsure(id, desk.now);
    desk.books.take_todo();
    // It waits still: the order did not arrive, and whoever decided does not know.
    desk.listed();
    assert_eq!(desk.books.take_todo(), [Todo::Announce(id)]);
    let told = desk.books.announce(id, BTreeMap::new());
    assert_eq!(told.len(), 1);
    assert!(!desk.books.lines[&id].hung_up_by_us);
    desk.books.decide(id, "accept").unwrap();
}

#[test]
fn a_call_of_the_list_is_as_old_as_its_channel_and_has_its_time_before_it() {
    let mut desk = Desk::new();
    desk.listed();
    let id = call_id(CHANNEL);
    assert_eq!(desk.books.take_todo(), [Todo::Announce(id)]);
    assert!(desk.books.news(id, desk.now).unwrap().late);
    let told = desk.books.announce(id, BTreeMap::new());
    let [SipEvent::IncomingCall(call)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(desk.now.wall.duration_since(call.at).as_secs(), 9);
    assert_eq!(call.deadline.duration_since(desk.now.wall).as_secs(), 20);
    // It is known now.
    desk.listed();
    assert!(desk.books.take_todo().is_empty());
}

#[test]
fn a_call_that_could_not_be_told_of_is_told_of_with_the_next_list() {
    let mut desk = Desk::new();
    let id = desk.start(CHANNEL, &["ChannelStateDesc: Ring"]);
    desk.books.take_todo();
    desk.listed();
    assert_eq!(desk.books.take_todo(), [Todo::Announce(id)]);
}

#[test]
fn an_overdue_call_that_cannot_be_rejected_now_is_tried_again_later() {
    let mut desk = Desk::new();
    let id = desk.told();
    assert!(desk.wait(20).contains(&Todo::Overdue(id)));
    // Not at once for ever.
    assert!(desk.books.next_timeout().unwrap() > desk.now.instant);
    assert_eq!(desk.books.decide_overdue(id).as_deref(), Some(CHANNEL));
    desk.books.undecide(id, desk.now);
    assert_eq!(desk.books.decide_overdue(id), None);
    assert!(desk.wait(5).contains(&Todo::Overdue(id)));
}

#[test]
fn a_call_that_was_answered_before_it_came_is_connected_by_the_decision() {
    let mut desk = Desk::new();
    let id = desk.start(CHANNEL, &["ChannelStateDesc: Up"]);
    desk.books.announce(id, BTreeMap::new());
    desk.event(CHANNEL, "Newstate", &["ChannelStateDesc: Up"]);
    assert_eq!(desk.books.calls.state(id), Some(CallState::Incoming));
    desk.books.decide(id, "accept").unwrap();
    let told = desk.books.accepted(id, desk.now);
    assert_eq!(told.len(), 1);
    assert_eq!(desk.books.calls.state(id), Some(CallState::Connected));
}

#[test]
fn a_call_that_comes_back_from_the_dialplan_waits_for_another_decision() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.books.decide(id, "accept").unwrap();
    desk.books.accepted(id, desk.now);
    desk.event(CHANNEL, "AsyncAGIEnd", &[]);
    desk.event(CHANNEL, "Newstate", &["ChannelStateDesc: Up"]);
    desk.wait(100);
    desk.start(CHANNEL, &["ChannelStateDesc: Up"]);
    assert_eq!(desk.books.take_todo(), [Todo::Announce(id)]);
    assert_eq!(desk.books.news(id, desk.now).unwrap().left.as_secs(), 20);
    desk.books.announce(id, BTreeMap::new());
    assert!(desk.books.decide(id, "reject").is_ok());
}

#[test]
fn a_channel_that_somebody_else_took_cannot_be_decided_on() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.event(CHANNEL, "AsyncAGIEnd", &[]);
    assert!(desk.books.waiting().is_empty());
    let error = desk.books.decide(id, "accept").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
}

#[test]
fn a_call_that_comes_back_before_the_answer_to_its_order_is_told_of_again() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.books.decide(id, "accept").unwrap();
    desk.event(CHANNEL, "AsyncAGIEnd", &[]);
    desk.event(CHANNEL, "Newstate", &["ChannelStateDesc: Up"]);
    desk.start(CHANNEL, &["ChannelStateDesc: Up"]);
    desk.books.accepted(id, desk.now);
    assert!(desk.books.take_todo().contains(&Todo::Announce(id)));
    assert_eq!(desk.books.announce(id, BTreeMap::new()).len(), 1);
    assert!(desk.books.decide(id, "accept").is_ok());
}

#[test]
fn a_call_that_came_back_in_a_gap_is_told_of_again_when_two_lists_show_it() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.books.decide(id, "accept").unwrap();
    desk.books.accepted(id, desk.now);
    desk.event(CHANNEL, "AsyncAGIEnd", &[]);
    // This one may be older than the order.
    desk.listed();
    assert!(desk.books.take_todo().is_empty());
    assert!(desk.wait(5).contains(&Todo::Check(id)));
    desk.listed();
    assert_eq!(desk.books.take_todo(), [Todo::Announce(id)]);
}

#[test]
fn a_call_that_was_rejected_and_is_still_listed_is_not_told_of_again() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.books.decide(id, "reject").unwrap();
    desk.books.rejecting(id, RejectCause::Busy);
    desk.books.rejected(id, desk.now);
    desk.listed();
    desk.listed();
    assert!(desk.books.take_todo().is_empty());
}

#[test]
fn a_call_that_somebody_else_took_in_a_gap_is_left_alone() {
    let mut desk = Desk::new();
    let id = desk.told();
    let elsewhere = LiveChannel {
        name: "PJSIP/trunk-00000001".to_owned(),
        uniqueid: CHANNEL.to_owned(),
        state: "Up".to_owned(),
        context: "sales".to_owned(),
        application: "Dial".to_owned(),
        ..LiveChannel::default()
    };
    // The list is older than the call.
    let list = [elsewhere];
    desk.books.channels(&list, &[], desk.now);
    assert_eq!(desk.books.waiting().len(), 1);
    desk.books.channels(&list, &[id], desk.now);
    assert!(desk.books.waiting().is_empty());
    assert_eq!(desk.books.calls.state(id), Some(CallState::Connected));
    assert!(!desk.wait(30).contains(&Todo::Overdue(id)));
    assert!(desk.books.decide(id, "reject").is_err());
}

#[test]
fn a_decision_that_failed_on_a_call_that_somebody_else_took_leaves_it_alone() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.books.decide(id, "accept").unwrap();
    desk.event(CHANNEL, "AsyncAGIEnd", &[]);
    desk.books.undecide(id, desk.now);
    assert!(desk.books.waiting().is_empty());
    assert!(!desk.wait(60).contains(&Todo::Overdue(id)));
}

#[test]
fn a_call_whose_caller_hung_up_while_it_was_prepared_is_not_told_of() {
    let mut desk = Desk::new();
    let id = desk.start(CHANNEL, &["ChannelStateDesc: Ring"]);
    desk.event(CHANNEL, "Hangup", &["Cause: 127"]);
    assert!(desk.books.announce(id, BTreeMap::new()).is_empty());
}

#[test]
fn a_call_whose_caller_hung_up_no_longer_waits() {
    let mut desk = Desk::new();
    desk.told();
    desk.event(CHANNEL, "Hangup", &["Cause: 127"]);
    assert!(desk.books.waiting().is_empty());
}

#[test]
fn a_decision_that_came_too_late_has_no_part_in_the_end() {
    let mut desk = Desk::new();
    let id = desk.told();
    desk.books.decide(id, "reject").unwrap();
    desk.books.rejecting(id, RejectCause::Busy);
    desk.books.too_late(id, desk.now);
    desk.event(CHANNEL, "Hangup", &["Cause: 127"]);
    desk.books.finish(id, None, desk.now);
    let record = desk.books.record(&id.into()).unwrap();
    assert_eq!(record.disposition, faxbot_core::sip::Disposition::NoAnswer);
    assert_eq!(record.causes.q850, Some(127));
}

#[test]
fn calls_that_were_too_many_are_forgotten_with_the_connection() {
    let mut desk = Desk::new();
    for number in 0..2 * MAX_WAITING + 1 {
        let headers = ["Context: incoming", "Exten: 1", "Channel: PJSIP/x-1"];
        desk.event(&format!("1795248360.{number}"), "AsyncAGIStart", &headers);
    }
    desk.books.take_todo();
    desk.books.door.forget();
    let headers = ["Context: incoming", "Exten: 1", "Channel: PJSIP/x-1"];
    desk.event("1795248361.1", "AsyncAGIStart", &headers);
    assert_eq!(desk.books.take_todo(), [Todo::Refuse]);
    assert_eq!(
        desk.books.door.flood.next().as_deref(),
        Some("1795248361.1")
    );
}

#[test]
fn a_flood_is_bounded_in_the_books_and_in_what_is_told() {
    let mut desk = Desk::new();
    let mut warnings = 0;
    for number in 0..3 * MAX_WAITING {
        let uniqueid = format!("1795248360.{number}");
        let told = desk.event(
            &uniqueid,
            "AsyncAGIStart",
            &["Context: incoming", "Exten: 1", "Channel: PJSIP/x-1"],
        );
        warnings += told.len();
    }
    assert_eq!(desk.books.lines.len(), MAX_WAITING);
    assert_eq!(warnings, 1);
    let flood = &mut desk.books.door.flood;
    assert_eq!(flood.next().as_deref(), Some("1795248360.1000"));
    // As many as may wait for that; the others are left to the server.
    assert_eq!(std::iter::from_fn(|| flood.next()).count(), 999);
}
