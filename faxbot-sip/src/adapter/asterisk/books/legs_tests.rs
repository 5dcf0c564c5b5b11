//! The books on calls of several channels, and on what begins with an answer.

use faxbot_core::id::CallRef;

use super::*;

/// The channel that Asterisk made for the second party.
const LEG: &str = "1795273281.2";
const LEG_NAME: &str = "PJSIP/trunk-00000002";

impl Desk {
    fn placed(
        &mut self,
        plan: Plan,
        on_answer: OnceAnswered,
    ) -> (CallId, watch::Receiver<CallUpdate>) {
        let id = CallId::new();
        let line = NewLine {
            plan,
            on_answer,
            ..self.line(id)
        };
        let updates = self.books.open(line, self.now).unwrap();
        assert!(self.books.requested(id, self.now));
        let events = self.books.taken(id, self.now);
        self.events.extend(events);
        (id, updates)
    }

    fn connect(&mut self) -> (CallId, watch::Receiver<CallUpdate>) {
        self.placed(Plan::Connect, OnceAnswered::default())
    }

    /// The server calls a party for the call.
    fn leg(&mut self, id: CallId) {
        self.leg_named(id, LEG, LEG_NAME);
    }

    fn leg_named(&mut self, id: CallId, uniqueid: &str, name: &str) {
        let headers = [
            format!("Channel: {name}"),
            format!("Linkedid: {}", channel_id(id)),
        ];
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        self.event_of(uniqueid, "Newchannel", &headers);
    }

    fn leg_event(&mut self, name: &str, headers: &[&str]) {
        self.event_of(LEG, name, headers);
    }

    fn bridge(&mut self, id: CallId) {
        let bridge = "BridgeUniqueid: 512c";
        self.leg_event("BridgeEnter", &[bridge]);
        self.event(id, "BridgeEnter", &[bridge]);
    }

    fn state(&self, id: CallId) -> CallState {
        self.books.calls.status(id).unwrap().state
    }

    fn finds(&self, native: &str) -> Option<CallId> {
        self.books.find(&CallRef::native(native))
    }

    fn faults(&self) -> usize {
        let is_fault = |event: &&SipEvent| matches!(event, SipEvent::AdapterError { .. });
        self.events.iter().filter(is_fault).count()
    }
}

fn live(uniqueid: &str, name: &str, linkedid: &str, bridge: &str) -> LiveChannel {
    LiveChannel {
        name: name.into(),
        uniqueid: uniqueid.into(),
        state: "Up".into(),
        linkedid: linkedid.into(),
        bridge: bridge.into(),
        ..LiveChannel::default()
    }
}

#[test]
fn a_connected_call_is_answered_when_the_second_party_answers() {
    // Each event that tells it is enough, because an account may not read all of them.
    for told_by in ["DialEnd", "VarSet", "bridge"] {
        let mut desk = Desk::new();
        let (id, updates) = desk.connect();
        answer(&mut desk, id);
        assert_eq!(desk.state(id), CallState::Ringing, "{told_by}");
        desk.leg(id);
        desk.leg_event("Newstate", &["ChannelStateDesc: Ringing"]);
        desk.leg_event("Newstate", &["ChannelStateDesc: Up"]);
        assert!(!updates.borrow().answered);
        match told_by {
            "DialEnd" => desk.event(id, "DialEnd", &["DialStatus: ANSWER"]),
            "VarSet" => desk.vars(id, &[("DIALSTATUS", ""), ("DIALSTATUS", "ANSWER")]),
            _ => desk.bridge(id),
        }
        assert!(updates.borrow().answered, "{told_by}");
        desk.leg_event("Hangup", &["Cause: 16"]);
        desk.event(id, "Hangup", &["Cause: 16"]);
        desk.finish(id, None);
        use CallState as S;
        let states = [S::Dialing, S::Ringing, S::Connected, S::Terminated];
        assert_eq!(desk.states(), states, "{told_by}");
        assert_eq!(desk.record(id).disposition, Disposition::Answered);
        assert_eq!(desk.faults(), 0);
    }
}

#[test]
fn a_second_party_that_is_not_reached_gives_the_call_its_cause() {
    type Row<'a> = (&'a str, &'a str, &'a str, &'a str, u16, Disposition);
    // `DIALSTATUS`, the word of `DialEnd`, the cause of the leg and of our channel.
    let rows: &[Row<'_>] = &[
        ("BUSY", "BUSY", "17", "17", 17, Disposition::Busy),
        ("CHANUNAVAIL", "NOANSWER", "1", "1", 1, Disposition::Failed),
        (
            "CONGESTION",
            "CONGESTION",
            "34",
            "34",
            34,
            Disposition::Congestion,
        ),
        (
            "NOANSWER",
            "NOANSWER",
            "16",
            "16",
            19,
            Disposition::NoAnswer,
        ),
        ("NOANSWER", "NOANSWER", "0", "0", 19, Disposition::NoAnswer),
        // An endpoint that is not there: no channel, no `DialEnd`.
        ("CHANUNAVAIL", "", "", "3", 3, Disposition::Failed),
        // The first party hung up while the second rang.
        ("CANCEL", "CANCEL", "16", "16", 16, Disposition::NoAnswer),
    ];
    for &(status, word, leg, own, cause, disposition) in rows {
        let mut desk = Desk::new();
        let (id, updates) = desk.connect();
        answer(&mut desk, id);
        desk.vars(id, &[("DIALSTATUS", "")]);
        if !leg.is_empty() {
            desk.leg(id);
            desk.event(id, "DialEnd", &[&format!("DialStatus: {word}")]);
            desk.leg_event("Hangup", &[&format!("Cause: {leg}")]);
        }
        desk.vars(id, &[("DIALSTATUS", status)]);
        desk.event(id, "Hangup", &[&format!("Cause: {own}")]);
        assert_eq!(desk.books.take_todo(), [Todo::Settle(id)], "{status}");
        desk.finish(id, None);
        let record = desk.record(id);
        assert_eq!(record.causes.q850, Some(cause), "{status}");
        assert_eq!(record.disposition, disposition, "{status}");
        assert_eq!(record.answer, None);
        assert!(!updates.borrow().answered);
    }
}

#[test]
fn the_end_of_a_second_dial_that_nobody_saw_is_read_from_the_handler() {
    for (status, cause, wanted, disposition) in [
        ("BUSY", "17", Some(17), Disposition::Busy),
        ("NOANSWER", "16", Some(19), Disposition::NoAnswer),
        ("CHANUNAVAIL", "3", Some(3), Disposition::Failed),
        ("ANSWER", "16", Some(16), Disposition::Answered),
    ] {
        let mut desk = Desk::new();
        let (id, _updates) = desk.connect();
        answer(&mut desk, id);
        desk.books.missed_events();
        desk.wait(Duration::from_secs(30));
        desk.books.channels(&[], &[id], desk.now);
        let report = format!("2|1795248360|Up|connect|{cause}|{status}||||||||");
        desk.finish(id, Some(&report));
        let record = desk.record(id);
        assert_eq!(record.causes.q850, wanted, "{status}");
        assert_eq!(record.disposition, disposition, "{status}");
        assert_eq!(record.answer.is_some(), status == "ANSWER");
    }
}

#[test]
fn a_bridged_call_is_answered_by_its_first_party_and_tells_why_the_second_was_not_reached() {
    for (status, cause) in [("BUSY", 17), ("NOANSWER", 19), ("CHANUNAVAIL", 3)] {
        let mut desk = Desk::new();
        let (id, _updates) = desk.placed(Plan::Bridge, OnceAnswered::default());
        answer(&mut desk, id);
        assert_eq!(desk.state(id), CallState::Connected);
        desk.vars(id, &[("DIALSTATUS", status)]);
        desk.event(id, "Hangup", &["Cause: 16"]);
        desk.finish(id, None);
        let record = desk.record(id);
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.causes.q850, Some(cause));
    }
}

#[test]
fn a_first_party_that_does_not_answer_is_told_as_for_any_call() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.connect();
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.event(id, "OriginateResponse", &["Response: Failure", "Reason: 3"]);
    desk.event(id, "Hangup", &["Cause: 0", "Cause-txt: Unknown"]);
    desk.finish(id, None);
    assert_eq!(desk.record(id).disposition, Disposition::NoAnswer);
}

#[test]
fn early_media_is_no_answer_and_no_ringing() {
    let mut desk = Desk::new();
    let (id, updates) = desk.connect();
    desk.event(id, "Newchannel", &[CHANNEL]);
    desk.event(id, "DialState", &["DialStatus: PROGRESS"]);
    assert_eq!(desk.state(id), CallState::Dialing);
    desk.event(id, "DialState", &["DialStatus: RINGING"]);
    assert_eq!(desk.state(id), CallState::Ringing);
    assert!(!updates.borrow().answered);
}

#[test]
fn a_party_of_a_call_is_found_by_its_names_until_it_hangs_up() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.connect();
    answer(&mut desk, id);
    desk.leg(id);
    desk.bridge(id);
    for name in [LEG, LEG_NAME] {
        assert_eq!(desk.finds(name), Some(id));
        let named = |status: &faxbot_core::sip::CallStatus| {
            status.channels.iter().any(|it| it.expose() == name)
        };
        assert!(named(&desk.books.calls.status(id).unwrap()), "{name}");
    }
    assert_eq!(desk.books.lines[&id].bridged_with(), Some(LEG));
    desk.leg_event("BridgeLeave", &["BridgeUniqueid: 512c"]);
    assert_eq!(desk.books.lines[&id].bridged_with(), None);
    desk.leg_event("Hangup", &["Cause: 16"]);
    assert_eq!(desk.state(id), CallState::Connected, "our channel goes on");
    assert_eq!(desk.finds(LEG), None);
    assert_eq!(desk.finds(LEG_NAME), None);
    desk.event(id, "Hangup", &["Cause: 16"]);
    desk.finish(id, None);
    let record = desk.books.record(&CallRef::native(LEG_NAME)).unwrap();
    assert_eq!(record.id, Some(id));
    assert!(desk.books.by_uniqueid.is_empty());
}

#[test]
fn only_a_channel_that_begins_with_the_link_of_a_call_belongs_to_it() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.connect();
    answer(&mut desk, id);
    let link = format!("Linkedid: {}", channel_id(id));
    for (uniqueid, event) in [
        ("1795273281.7", "Newstate"),
        ("1795273281.8", "BridgeEnter"),
    ] {
        desk.event_of(uniqueid, event, &[&link, "Channel: PJSIP/other-00000007"]);
        assert_eq!(desk.finds(uniqueid), None);
    }
    desk.event_of(
        "1795273281.9",
        "Newchannel",
        &["Channel: PJSIP/x", "Linkedid: 1795273281.9"],
    );
    assert_eq!(desk.finds("1795273281.9"), None);
}

#[test]
fn the_parties_of_a_call_are_bounded() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.connect();
    answer(&mut desk, id);
    for number in 0..500 {
        desk.leg_named(id, &format!("1795273281.{number}"), "PJSIP/trunk-00000002");
    }
    assert_eq!(desk.books.by_uniqueid.len(), 64);
    desk.event(id, "Hangup", &["Cause: 16"]);
    desk.finish(id, None);
    assert!(desk.books.by_uniqueid.is_empty());
    assert_eq!(desk.finds("1795273281.3"), None);
}

#[test]
fn after_a_gap_the_list_shows_who_talks_and_who_is_gone() {
    let mut desk = Desk::new();
    let (id, updates) = desk.connect();
    answer(&mut desk, id);
    desk.leg(id);
    desk.books.missed_events();
    desk.wait(UNSURE);
    let own = channel_id(id);
    // It rings still.
    let ringing = [
        live(&own, "PJSIP/peer-00000001", &own, ""),
        LiveChannel {
            state: "Ringing".into(),
            ..live(LEG, LEG_NAME, &own, "")
        },
    ];
    let events = desk.books.channels(&ringing, &[id], desk.now);
    desk.events.extend(events);
    assert_eq!(desk.state(id), CallState::Ringing);
    // The first leg is gone, another one talks.
    let talking = [
        live(&own, "PJSIP/peer-00000001", &own, "512c"),
        live("1795273281.5", "PJSIP/trunk-00000005", &own, "512c"),
    ];
    let events = desk.books.channels(&talking, &[id], desk.now);
    desk.events.extend(events);
    assert!(updates.borrow().answered);
    assert_eq!(desk.finds(LEG), None);
    assert_eq!(desk.finds("PJSIP/trunk-00000005"), Some(id));
    assert_eq!(desk.books.lines[&id].bridged_with(), Some("1795273281.5"));
    // An old list takes nothing back.
    desk.books.channels(&ringing, &[id], desk.now);
    assert_eq!(desk.state(id), CallState::Connected);
}

#[test]
fn a_party_that_began_while_the_list_was_made_stays() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.connect();
    answer(&mut desk, id);
    desk.leg(id);
    let own = channel_id(id);
    let list = [live(&own, "PJSIP/peer-00000001", &own, "")];
    desk.books.channels(&list, &[id], desk.now);
    assert_eq!(desk.finds(LEG), Some(id));
}

#[test]
fn what_begins_with_the_answer_is_asked_for_once_however_the_answer_is_seen() {
    let wanted = OnceAnswered {
        record: true,
        max_duration: Some(Duration::from_secs(60)),
        ..OnceAnswered::default()
    };
    for by_list in [false, true] {
        let mut desk = Desk::new();
        let (id, _updates) = desk.placed(Plan::Connect, wanted);
        if by_list {
            let own = channel_id(id);
            let list = [live(&own, "PJSIP/peer-00000001", &own, "512c")];
            desk.books.channels(&list, &[id], desk.now);
        } else {
            answer(&mut desk, id);
            assert_eq!(desk.books.take_todo(), [], "only one of the two answered");
            desk.event(id, "DialEnd", &["DialStatus: ANSWER"]);
            desk.bridge(id);
        }
        assert_eq!(desk.books.take_todo(), [Todo::Answered(id)], "{by_list}");
    }
}

#[test]
fn a_restart_of_the_server_ends_what_was_up_with_a_cause_and_nothing_else() {
    let mut desk = Desk::new();
    let (talked, _updates) = desk.call();
    answer(&mut desk, talked);
    let (rang, _updates) = desk.connect();
    let (fax, fax_updates) = desk.fax(2);
    answer(&mut desk, fax);
    // Nobody knows whether this one was ever there.
    let unsure = CallId::new();
    let unsure_updates = desk.books.open(desk.line(unsure), desk.now).unwrap();
    assert!(desk.books.requested(unsure, desk.now));
    // And this one is not requested yet.
    let next = CallId::new();
    let _updates = desk.books.open(desk.line(next), desk.now).unwrap();

    desk.wait(Duration::from_secs(10));
    let lost_at = desk.now.wall;
    desk.books.missed_events();
    desk.wait(Duration::from_secs(3));
    desk.books.restarted(lost_at);
    let all = desk.books.calls.live().collect::<Vec<_>>();
    desk.books.channels(&[], &all, desk.now);
    let todo = desk.books.take_todo();
    assert_eq!(todo.len(), 4, "{todo:?}");
    for id in [talked, rang, fax, unsure] {
        assert!(todo.contains(&Todo::Settle(id)));
        desk.finish(id, None);
    }
    for (id, disposition) in [
        (talked, Disposition::Answered),
        (rang, Disposition::Unknown),
        (fax, Disposition::Answered),
    ] {
        let record = desk.record(id);
        assert_eq!(record.disposition, disposition);
        assert_eq!(record.causes.q850, Some(41));
        assert_eq!(record.end, Some(lost_at));
    }
    let outcome = fax_updates.borrow().end.clone().unwrap().unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Unknown);
    assert!(desk.books.record(&unsure.into()).is_none());
    assert!(matches!(unsure_updates.borrow().end, Some(Err(_))));
    assert!(desk.books.requested(next, desk.now));
}

#[test]
fn a_call_that_a_server_hangs_up_as_it_goes_down_says_so() {
    for (answered, disposition) in [
        (true, Disposition::Answered),
        (false, Disposition::Congestion),
    ] {
        let mut desk = Desk::new();
        let (id, _updates) = desk.call();
        if answered {
            answer(&mut desk, id);
        }
        desk.event(id, "SoftHangupRequest", &["Cause: 4"]);
        desk.event(id, "SoftHangupRequest", &["Cause: 16"]);
        desk.event(id, "Hangup", &["Cause: 0", "Cause-txt: Unknown"]);
        assert_eq!(desk.books.take_todo(), [Todo::Settle(id)]);
        let state = if answered { "Up" } else { "Ringing" };
        desk.finish(id, Some(&format!("2|1795248360|{state}||0|||||||||")));
        let record = desk.record(id);
        assert_eq!(record.disposition, disposition);
        assert_eq!(record.causes.q850, Some(41));
    }
}

#[test]
fn an_end_before_the_restart_is_the_one_that_counts() {
    for by_event in [true, false] {
        let mut desk = Desk::new();
        let (id, _updates) = desk.call();
        answer(&mut desk, id);
        if by_event {
            desk.event(id, "Hangup", &["Cause: 16"]);
        }
        desk.books.missed_events();
        desk.books.restarted(desk.now.wall);
        desk.books.channels(&[], &[id], desk.now);
        let report = "2|1795248360|Up||16|||||||||";
        desk.finish(id, (!by_event).then_some(report));
        assert_eq!(desk.record(id).causes.q850, Some(16));
    }
}

#[test]
fn a_call_that_is_seen_after_a_restart_was_on_a_server_that_was_not_restarted() {
    let mut desk = Desk::new();
    let (id, updates) = desk.call();
    answer(&mut desk, id);
    desk.books.missed_events();
    desk.books.restarted(desk.now.wall);
    let own = channel_id(id);
    let list = [live(&own, "PJSIP/peer-00000001", &own, "")];
    desk.books.channels(&list, &[id], desk.now);
    desk.wait(Duration::from_secs(3600));
    desk.books.channels(&[], &[id], desk.now);
    desk.finish(id, None);
    assert!(matches!(updates.borrow().end, Some(Err(_))));
    assert!(desk.books.record(&id.into()).is_none());
}

#[test]
fn a_second_party_that_a_list_showed_was_reached() {
    let mut desk = Desk::new();
    let (id, _updates) = desk.placed(Plan::Bridge, OnceAnswered::default());
    answer(&mut desk, id);
    let own = channel_id(id);
    let talking = [
        live(&own, "PJSIP/peer-00000001", &own, "512c"),
        live(LEG, LEG_NAME, &own, "512c"),
    ];
    desk.books.channels(&talking, &[id], desk.now);
    desk.leg_event("Hangup", &["Cause: 38"]);
    desk.event(id, "Hangup", &["Cause: 16"]);
    desk.finish(id, None);
    assert_eq!(desk.record(id).causes.q850, Some(16));
}
