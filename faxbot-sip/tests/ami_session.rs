//! The session of the manager interface against a scripted server, with a clock that stands still.
#![cfg(test)]

mod wire_support;

use std::time::Duration;

use faxbot_sip::protocol::{
    ami::{AmiConfig, Answer, server::MessageBuilder},
    session::{CloseReason, NoReply, NotTaken, Session},
};
use faxbot_testkit::random::{Seed, TestRng};
use wire_support::{
    SECOND,
    ami::{Line, action, at_login, up},
};

// Correlation.

#[test]
fn of_200_callers_150_get_their_own_answers_and_50_none() {
    let mut line = up();
    let mut open = Vec::new();
    for token in 0..200 {
        let within = if token % 4 == 0 { SECOND } else { 60 * SECOND };
        line.request(token, action("Getvar"), within);
        open.push((token, line.action().1));
    }
    assert_eq!(line.session.pending(), 200);
    let mut rng = TestRng::new(Seed(3));
    for index in (1..open.len()).rev() {
        open.swap(index, rng.index(index + 1));
    }
    // The deadlines of 50 pass; the answers to all 200 come after, in any order.
    line.pass(SECOND);
    assert_eq!(line.session.pending(), 150);
    for (token, id) in open {
        line.respond(&id, "Success", &[("Value", &token.to_string())]);
    }
    let (mut answered, mut late) = (0, 0);
    for (token, result) in line.replies {
        match result {
            Ok(reply) => {
                let value = reply.response.get_str("Value").unwrap().into_owned();
                assert_eq!(value, token.0.to_string());
                answered += 1;
            }
            Err(why) => {
                assert_eq!((why, token.0 % 4), (NoReply::Deadline, 0));
                late += 1;
            }
        }
    }
    assert_eq!((answered, late), (150, 50));
    assert_eq!(line.session.pending(), 0);
    assert!(line.events.is_empty());
}

#[test]
fn the_ids_differ_and_cannot_be_guessed() {
    let mut line = up();
    let (first, second) = (line.ask(1, "Ping"), line.ask(2, "Ping"));
    assert_ne!(first, second);
    let random = "30313233343536373839616263646566-";
    assert!(
        first.starts_with(random) && second.starts_with(random),
        "{first}"
    );
    let count = first.strip_prefix(random).unwrap();
    for forged in [
        count.to_owned(),
        format!("{random}0{count}"),
        format!("{random}+{count}"),
        format!("{random}{count} "),
        format!("{random}999"),
        random.to_owned(),
        first.to_uppercase().replace("6566", "6567"),
    ] {
        line.respond(&forged, "Success", &[]);
        assert!(line.replies.is_empty(), "{forged}");
    }
    line.respond(&first, "Success", &[]);
    assert_eq!(line.reply().0, 1);
}

#[test]
fn an_answer_without_action_id_answers_nobody() {
    let mut line = up();
    let id = line.ask(1, "Ping");
    line.bytes(b"Response: Error\r\nMessage: Missing action in request\r\n\r\n");
    line.bytes(b"Response: Success\r\nAfter: x\r\n\r\n");
    assert!(line.replies.is_empty() && line.closed.is_none());
    line.respond(&id, "Success", &[("Ping", "Pong")]);
    assert!(line.reply().1.unwrap().is_success());
}

#[test]
fn the_action_id_may_stand_behind_the_message_and_the_answer_come_in_pieces() {
    let mut line = up();
    let id = line.ask(1, "Ping");
    line.bytes(b"Response: Success\r\n");
    line.bytes(b"Message: fine\r\nActi");
    line.bytes(format!("onID: {id}\r\n").as_bytes());
    assert!(line.replies.is_empty());
    line.bytes(b"\r\n");
    let reply = line.reply().1.unwrap();
    assert_eq!(reply.message().unwrap(), "fine");
}

#[test]
fn an_error_is_an_answer_and_its_bare_line_feed_is_trimmed() {
    let mut line = up();
    let id = line.ask(1, "PJSIPShowEndpoint");
    line.respond(
        &id,
        "Error",
        &[("Message", "Unable to retrieve endpoint nope\n")],
    );
    let reply = line.reply().1.unwrap();
    assert!(!reply.is_success());
    assert_eq!(reply.message().unwrap(), "Unable to retrieve endpoint nope");
}

#[test]
fn a_shut_down_answer_to_a_request_is_only_its_answer() {
    let mut line = up();
    let id = line.ask(1, "Originate");
    line.respond(&id, "Error", &[("Message", "Asterisk is shutting down")]);
    assert_eq!(
        line.reply().1.unwrap().message().unwrap(),
        "Asterisk is shutting down"
    );
    assert_eq!(line.closed, None);
}

#[test]
fn the_outcome_of_an_originate_is_an_event_before_or_after_the_hangup() {
    let mut line = up();
    let id = line.ask(1, "Originate");
    line.respond(
        &id,
        "Success",
        &[("Message", "Originate successfully queued")],
    );
    assert!(line.reply().1.unwrap().events.is_empty());
    line.event("Hangup", &[("Uniqueid", "u"), ("Cause", "1")]);
    line.event(
        "OriginateResponse",
        &[("ActionID", &id), ("Response", "Failure")],
    );
    line.event("UserEvent", &[("ActionID", &id), ("UserEvent", "X")]);
    assert_eq!(line.events.len(), 3);
    assert!(line.events[1].is_event("OriginateResponse"));
    assert_eq!(line.session.pending(), 0);
}

#[test]
fn an_event_with_the_id_of_an_unanswered_action_is_an_event() {
    let mut line = up();
    let id = line.ask(1, "UserEvent");
    line.event("UserEvent", &[("ActionID", &id)]);
    assert_eq!((line.events.len(), line.replies.len()), (1, 0));
    line.respond(&id, "Success", &[]);
    assert_eq!(line.reply().0, 1);
}

#[test]
fn the_lines_of_a_command_keep_their_order_and_blanks() {
    let mut line = up();
    for word in ["Success", "Error"] {
        let id = line.ask(1, "Command");
        let text = [
            ("Message", "Command output follows"),
            ("Output", "a"),
            ("Output", "  b"),
        ];
        line.respond(&id, word, &text);
        let reply = line.reply().1.unwrap();
        assert_eq!(reply.output().collect::<Vec<_>>(), [&b"a"[..], b"  b"]);
    }
}

// Lists and one-event answers.

#[test]
fn a_list_runs_to_its_complete_and_takes_only_its_own_items() {
    for (start, end) in [("start", "Complete"), ("Start", "complete")] {
        let mut line = up();
        let id = line.ask(1, "Status");
        line.respond(&id, "Success", &[("EventList", start)]);
        line.event("Status", &[("ActionID", &id), ("Channel", "a")]);
        line.event("Status", &[("Channel", "foreign")]);
        line.event("Status", &[("ActionID", "other")]);
        line.event("Hangup", &[]);
        line.event("Status", &[("ActionID", &id), ("Channel", "b")]);
        assert!(line.replies.is_empty());
        // The count is wrong on the wire, too, and means nothing.
        line.event(
            "StatusComplete",
            &[("ActionID", &id), ("EventList", end), ("ListItems", "9")],
        );
        let reply = line.reply().1.unwrap();
        let channels: Vec<_> = reply
            .events
            .iter()
            .map(|item| item.get("Channel").unwrap())
            .collect();
        assert_eq!(channels, [b"a", b"b"]);
        assert!(reply.complete.unwrap().is_event("StatusComplete"));
        assert_eq!(line.events.len(), 3);
    }
}

#[test]
fn an_empty_list_and_a_list_that_is_an_error_both_end() {
    let mut line = up();
    let id = line.ask(1, "CoreShowChannels");
    line.respond(&id, "Success", &[("EventList", "start")]);
    line.event(
        "CoreShowChannelsComplete",
        &[("ActionID", &id), ("EventList", "Complete")],
    );
    assert!(line.reply().1.unwrap().events.is_empty());
    let id = line.ask(2, "ConfbridgeList");
    line.respond(&id, "Error", &[("Message", "No active conferences.")]);
    assert!(!line.reply().1.unwrap().is_success());
}

#[test]
fn a_declared_list_needs_no_announcement() {
    let mut line = up();
    line.request(1, action("QueueStatus").answer(Answer::List), SECOND);
    let id = line.action().1;
    line.respond(&id, "Success", &[]);
    line.event("QueueParams", &[("ActionID", &id)]);
    line.event("QueueStatusComplete", &[("ActionID", &id)]);
    assert_eq!(line.reply().1.unwrap().events.len(), 1);
}

#[test]
fn a_single_answer_leaves_announced_items_to_the_events() {
    let mut line = up();
    line.request(1, action("Status").answer(Answer::Single), SECOND);
    let id = line.action().1;
    line.respond(&id, "Success", &[("EventList", "start")]);
    assert!(line.reply().1.is_ok());
    line.event("Status", &[("ActionID", &id)]);
    assert_eq!(line.events.len(), 1);
}

#[test]
fn a_fax_question_is_answered_by_one_event_without_an_end() {
    let mut line = up();
    let id = line.ask(1, "FAXSession");
    line.respond(
        &id,
        "Success",
        &[("Message", "FAXSession event will follow")],
    );
    assert!(line.replies.is_empty());
    line.event("FAXSession", &[("SessionNumber", "8")]);
    line.event("FAXSession", &[("ActionID", &id), ("PageNumber", "2")]);
    let reply = line.reply().1.unwrap();
    assert_eq!(reply.events[0].get("PageNumber"), Some(&b"2"[..]));
    assert_eq!(line.events.len(), 1, "the other one is nobody's");
    let id = line.ask(2, "FAXSession");
    line.respond(&id, "Error", &[]);
    assert!(!line.reply().1.unwrap().is_success());
}

#[test]
fn an_announced_list_is_a_list_even_where_one_event_was_expected() {
    let mut line = up();
    let id = line.ask(1, "FAXStats");
    line.respond(&id, "Success", &[("EventList", "start")]);
    line.event("FAXStats", &[("ActionID", &id)]);
    assert!(line.replies.is_empty());
    line.event(
        "FAXStatsComplete",
        &[("ActionID", &id), ("EventList", "Cancelled")],
    );
    assert_eq!(line.reply().1.unwrap().events.len(), 1);
}

#[test]
fn an_item_whose_name_looks_like_the_end_is_an_item_of_an_announced_list() {
    let mut line = up();
    let id = line.ask(1, "Status");
    line.respond(&id, "Success", &[("EventList", "start")]);
    line.event("StatusComplete", &[("ActionID", &id)]);
    assert!(line.replies.is_empty());
    line.event(
        "StatusComplete",
        &[("ActionID", &id), ("EventList", "Complete")],
    );
    assert_eq!(line.reply().1.unwrap().events.len(), 1);
}

#[test]
fn a_second_response_in_a_list_changes_nothing() {
    let mut line = up();
    let id = line.ask(1, "Status");
    line.respond(&id, "Success", &[("EventList", "start")]);
    line.respond(&id, "Error", &[]);
    assert!(line.replies.is_empty());
    line.event(
        "StatusComplete",
        &[("ActionID", &id), ("EventList", "Complete")],
    );
    assert!(line.reply().1.unwrap().is_success());
}

#[test]
fn a_list_over_a_limit_fails_alone_and_its_late_items_are_swallowed() {
    for config in [
        AmiConfig::new().with_list_limits(3, usize::MAX),
        AmiConfig::new().with_list_limits(usize::MAX, 300),
    ] {
        let mut line = Line::up(config);
        let other = line.ask(1, "Getvar");
        let id = line.ask(2, "CoreShowChannels");
        line.respond(&id, "Success", &[("EventList", "start")]);
        for _ in 0..20 {
            line.event("CoreShowChannel", &[("ActionID", &id)]);
        }
        line.event(
            "CoreShowChannelsComplete",
            &[("ActionID", &id), ("EventList", "Complete")],
        );
        let (token, result) = line.reply();
        assert_eq!((token, result.unwrap_err()), (2, NoReply::Garbled));
        assert!(line.events.is_empty() && line.closed.is_none());
        line.respond(&other, "Success", &[]);
        assert!(line.reply().1.is_ok());
        // What the broken list held is free again.
        let id = line.ask(3, "CoreShowChannels");
        line.respond(&id, "Success", &[("EventList", "start")]);
        line.event("CoreShowChannel", &[("ActionID", &id)]);
        line.event(
            "CoreShowChannelsComplete",
            &[("ActionID", &id), ("EventList", "Complete")],
        );
        assert_eq!(line.reply().1.unwrap().events.len(), 1);
    }
}

#[test]
fn a_list_at_its_limit_is_delivered() {
    let mut line = Line::up(AmiConfig::new().with_list_limits(3, usize::MAX));
    let id = line.ask(1, "Status");
    line.respond(&id, "Success", &[("EventList", "start")]);
    for _ in 0..3 {
        line.event("Status", &[("ActionID", &id)]);
    }
    line.event(
        "StatusComplete",
        &[("ActionID", &id), ("EventList", "Complete")],
    );
    assert_eq!(line.reply().1.unwrap().events.len(), 3);
}

#[test]
fn the_bytes_of_all_open_lists_are_limited_together() {
    let mut line = Line::up(AmiConfig::new().with_list_limits(100, 1000));
    let ids: Vec<_> = (0..4).map(|token| line.ask(token, "Status")).collect();
    for id in &ids {
        line.respond(
            id,
            "Success",
            &[("EventList", "start"), ("Message", &"x".repeat(300))],
        );
    }
    assert!(!line.replies.is_empty());
    assert!(
        line.replies
            .iter()
            .all(|(_, result)| matches!(result, Err(NoReply::Garbled)))
    );
}

// Deadlines.

#[test]
fn a_late_answer_is_swallowed_with_all_its_items() {
    let mut line = up();
    for (name, headers, items) in [
        ("Getvar", &[][..], &[][..]),
        ("FAXStats", &[], &["FAXStats"]),
        (
            "Status",
            &[("EventList", "start")],
            &["Status", "Status", "StatusComplete"],
        ),
    ] {
        line.request(7, action(name), SECOND);
        let id = line.action().1;
        line.pass(SECOND);
        assert_eq!(line.reply().1.unwrap_err(), NoReply::Deadline);
        line.respond(&id, "Success", headers);
        for item in items {
            let end = if item.ends_with("Complete") {
                "Complete"
            } else {
                ""
            };
            line.event(item, &[("ActionID", &id), ("EventList", end)]);
        }
        assert!(line.replies.is_empty() && line.events.is_empty(), "{name}");
        // The place is free: the same id names nobody now.
        line.event("Late", &[("ActionID", &id)]);
        assert_eq!(line.events.len(), 1, "{name}");
        line.events.clear();
    }
}

#[test]
fn a_deadline_in_the_middle_of_a_list_ends_it_once() {
    let mut line = up();
    line.request(1, action("Status"), SECOND);
    let id = line.action().1;
    line.respond(&id, "Success", &[("EventList", "start")]);
    line.event("Status", &[("ActionID", &id)]);
    line.pass(SECOND);
    assert_eq!(line.reply().1.unwrap_err(), NoReply::Deadline);
    line.event("Status", &[("ActionID", &id)]);
    line.event(
        "StatusComplete",
        &[("ActionID", &id), ("EventList", "Complete")],
    );
    assert!(line.replies.is_empty() && line.events.is_empty());
}

#[test]
fn a_deadline_before_the_bytes_left_takes_them_back() {
    let mut line = up();
    let deadline = line.now + SECOND;
    let token = faxbot_sip::protocol::session::Token(5);
    line.session
        .handle_request(token, action("Originate"), deadline, line.now)
        .unwrap();
    line.now = deadline;
    line.session.handle_timeout(line.now);
    line.drain();
    assert_eq!(line.reply().1.unwrap_err(), NoReply::Deadline);
    assert!(line.sent.is_empty(), "nothing was dialled");
}

#[test]
fn a_deadline_that_has_passed_sends_nothing() {
    let mut line = up();
    line.request(5, action("Originate"), Duration::ZERO);
    assert_eq!(line.reply().1.unwrap_err(), NoReply::Deadline);
    assert!(line.sent.is_empty());
}

#[test]
fn requests_over_the_limit_are_not_taken_and_places_come_free() {
    let mut line = Line::up(AmiConfig::new().with_max_pending(2));
    let first = line.ask(1, "Ping");
    line.request(2, action("Ping"), SECOND);
    assert_eq!(
        line.try_request(3, action("Ping"), SECOND),
        Err(NotTaken::Full)
    );
    line.respond(&first, "Success", &[]);
    assert_eq!(line.try_request(4, action("Ping"), SECOND), Ok(()));
    line.pass(SECOND);
    assert_eq!(line.session.pending(), 0);
    // Requests that nobody ever answers do not fill the table.
    for token in 10..100 {
        line.event("Newexten", &[]);
        line.request(token, action("Ping"), SECOND);
        line.pass(SECOND);
    }
    assert_eq!(line.session.pending(), 0);
}

// Keep-alive.

#[test]
fn a_silent_server_is_pinged_and_then_left() {
    let mut line = up();
    line.pass(Duration::from_secs(15));
    assert_eq!(line.action().0, "Ping");
    line.pass(Duration::from_secs(9));
    assert_eq!(line.closed, None);
    line.pass(SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn an_answered_ping_is_life_and_no_reply() {
    let mut line = up();
    for _ in 0..5 {
        line.pass(Duration::from_secs(15));
        line.answer("Success", &[("Ping", "Pong")]);
    }
    assert!(line.replies.is_empty() && line.events.is_empty() && line.closed.is_none());
}

#[test]
fn any_message_is_life_but_our_own_requests_are_not() {
    let mut line = up();
    line.pass(Duration::from_secs(14));
    line.event("Newexten", &[]);
    line.pass(Duration::from_secs(14));
    assert!(line.sent.is_empty());
    line.request(1, action("Status"), 60 * SECOND);
    line.pass(SECOND);
    assert_eq!(line.sent.len(), 2, "the request and the ping");
    line.pass(Duration::from_secs(10));
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn a_synchronous_originate_answers_first_and_its_events_follow() {
    let mut line = up();
    let id = line.ask(1, "Originate");
    line.pass(Duration::from_secs(8));
    let response = MessageBuilder::response("Success")
        .header("ActionID", &id)
        .build()
        .unwrap();
    let event = MessageBuilder::event("Newchannel").build().unwrap();
    line.bytes(&[&response.raw()[..], &event.raw().repeat(3)].concat());
    assert!(line.reply().1.is_ok());
    assert_eq!(line.events.len(), 3);
}

// The end.

#[test]
fn a_close_says_logoff_and_waits_for_the_good_bye() {
    let mut line = up();
    let id = line.ask(1, "Getvar");
    line.session.handle_close(line.now);
    line.drain();
    assert_eq!(
        line.try_request(2, action("Ping"), SECOND),
        Err(NotTaken::NotReady)
    );
    line.respond(&id, "Success", &[]);
    assert!(
        line.reply().1.is_ok(),
        "an open request still gets its answer"
    );
    assert_eq!(line.sent[0].action(), Some(&b"Logoff"[..]));
    line.answer("Goodbye", &[("Message", "Thanks for all the fish.")]);
    assert_eq!(line.closed, Some(CloseReason::Goodbye));
    assert_eq!(line.session.poll_timeout(), None);
}

#[test]
fn a_logoff_without_answer_ends_by_time_and_a_close_in_the_login_at_once() {
    let mut line = up();
    line.session.handle_close(line.now);
    line.drain();
    line.pass(Duration::from_secs(2));
    assert_eq!(line.closed, Some(CloseReason::Silent));
    let mut line = at_login();
    line.session.handle_close(line.now);
    line.drain();
    assert_eq!(line.closed, Some(CloseReason::Goodbye));
}

#[test]
fn a_shutdown_event_during_the_logoff_changes_nothing() {
    let mut line = up();
    line.session.handle_close(line.now);
    line.drain();
    line.event("Shutdown", &[]);
    line.answer("Goodbye", &[]);
    assert_eq!(line.closed, Some(CloseReason::Goodbye));
}

#[test]
fn a_shutdown_event_is_passed_on_and_ends_the_session() {
    let mut line = up();
    line.event("Shutdown", &[("Shutdown", "Cleanly"), ("Restart", "True")]);
    assert!(line.events[0].is_event("Shutdown"));
    assert_eq!(
        line.try_request(1, action("Originate"), SECOND),
        Err(NotTaken::NotReady)
    );
    line.pass(SECOND);
    assert_eq!(line.closed, Some(CloseReason::Goodbye));
}

#[test]
fn a_forged_shutdown_or_good_bye_does_not_end_the_session() {
    let mut line = up();
    line.event("Shutdown", &[]);
    line.bytes(b"Response: Goodbye\r\n\r\n");
    line.event("Newexten", &[]);
    line.pass(Duration::from_secs(5));
    assert!(line.session.is_ready() && line.closed.is_none());
}

#[test]
fn junk_and_unknown_events_do_no_harm() {
    let mut line = up();
    let id = line.ask(1, "Ping");
    line.bytes(b"\r\n");
    line.bytes(b"After: x\r\nJunk\r\n\r\n");
    line.bytes(b"Event: NeverSeen\r\nX: \xff\r\n\r\n");
    assert_eq!(line.events.len(), 1);
    assert_eq!(line.events[0].get("X"), Some(&b"\xff"[..]));
    line.respond(&id, "Success", &[]);
    assert!(line.reply().1.is_ok());
}

#[test]
fn a_closed_session_does_nothing_any_more() {
    let mut line = up();
    line.request(1, action("Status"), 60 * SECOND);
    line.pass(Duration::from_secs(25));
    assert_eq!(line.closed, Some(CloseReason::Silent));
    // `Line` asserts that nothing comes out after the end.
    line.sent.clear();
    line.event("Newexten", &[]);
    line.respond("x", "Success", &[]);
    assert_eq!(line.session.poll_timeout(), None);
    line.session.handle_timeout(line.now + 100 * SECOND);
    line.session.handle_close(line.now);
    line.session.handle_connected(line.now);
    line.drain();
    assert!(line.sent.is_empty());
    assert_eq!(
        line.try_request(2, action("Ping"), SECOND),
        Err(NotTaken::NotReady)
    );
}

#[test]
fn what_was_queued_when_the_session_ended_is_not_sent() {
    let mut line = up();
    line.pass(Duration::from_secs(24));
    line.sent.clear();
    let token = faxbot_sip::protocol::session::Token(1);
    let deadline = line.now + 60 * SECOND;
    line.session
        .handle_request(token, action("Originate"), deadline, line.now)
        .unwrap();
    line.now += SECOND;
    line.session.handle_timeout(line.now);
    line.drain();
    assert_eq!(line.closed, Some(CloseReason::Silent));
    assert!(line.sent.is_empty());
}

#[test]
fn times_without_measure_neither_overflow_nor_spin() {
    let far = Duration::MAX;
    let mut line = Line::up(
        AmiConfig::new()
            .with_ping(far, far)
            .with_login_timeouts(far, far),
    );
    line.pass(Duration::from_secs(3600));
    assert!(line.closed.is_none() && line.sent.is_empty());
    let mut line = Line::up(AmiConfig::new().with_ping(Duration::ZERO, Duration::ZERO));
    assert!(line.session.poll_timeout() > Some(line.now));
    line.pass(SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
}
