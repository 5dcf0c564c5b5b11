//! The session of the event socket against a server that the test plays.
#![cfg(test)]

mod wire_support;

use faxbot_sip::protocol::{
    esl::{Command, EslConfig, EslSession, Format, Kind, Login, server},
    session::{CloseReason, NoReply, NotTaken, Session},
};
use faxbot_testkit::replay::{Direction, Recording};
use wire_support::{
    RANDOM, SECOND,
    esl::{Line, recordings},
};

fn ok(token: u64, text: &str) -> (u64, Result<String, NoReply>) {
    (token, Ok(text.to_owned()))
}

#[test]
fn a_login_waits_to_be_asked_and_subscribes_to_its_jobs() {
    let mut line = Line::inbound(EslConfig::new());
    assert!(line.sent.is_empty());
    line.bytes(&server::auth_request());
    assert_eq!(line.command(), "auth ClueCon");
    line.reply_ok("accepted");
    assert_eq!(line.command(), "event json BACKGROUND_JOB");
    assert!(!line.session.is_ready());
    line.reply_ok("event listener enabled json");
    assert!(line.session.is_ready());
    assert_eq!(line.ready.len(), 1);
    assert!(line.ready[0].jobs && line.ready[0].allowed_api.is_none());
}

#[test]
fn a_user_logs_in_and_is_told_its_rights() {
    let login = Login::user("clinic", "fs.example", "s3c:r@t").unwrap();
    let mut line = Line::new(EslSession::new(login, EslConfig::new(), RANDOM));
    line.bytes(&server::auth_request());
    assert_eq!(line.command(), "userauth clinic@fs.example:s3c:r@t");
    let rights = [
        ("Allowed-Events", "CHANNEL_ANSWER"),
        ("Allowed-API", "originate status"),
        ("Allowed-LOG", "false"),
    ];
    line.bytes(&server::reply("+OK accepted", &rights));
    line.command();
    line.bytes(&server::reply("-ERR permission denied", &[]));
    let ready = line.ready.remove(0);
    assert_eq!(ready.allowed_events.as_deref(), Some("CHANNEL_ANSWER"));
    assert_eq!(ready.allowed_api.as_deref(), Some("originate status"));
    assert_eq!(ready.allowed_log, Some(false));
    assert!(!ready.jobs);
    // Without the event, the reply is all there is.
    let job = line.bgapi(1);
    line.accept(&job);
    assert_eq!(line.answer(), ok(1, &format!("+OK Job-UUID: {job}")));
}

#[test]
fn a_refused_login_closes_and_says_why() {
    let shutdown = server::shutdown();
    for (after_request, bytes, want) in [
        (
            true,
            server::reply("-ERR invalid", &[]),
            CloseReason::Refused,
        ),
        (false, server::rejection(), CloseReason::Refused),
        (false, server::goodbye(), CloseReason::Busy),
        (true, shutdown, CloseReason::Busy),
    ] {
        let mut line = Line::inbound(EslConfig::new());
        if after_request {
            line.bytes(&server::auth_request());
        }
        line.bytes(&bytes);
        assert_eq!(line.closed, Some(want));
        assert!(line.ready.is_empty());
    }
}

#[test]
fn a_rejection_and_a_notice_are_events_before_the_close() {
    let mut line = Line::inbound(EslConfig::new());
    line.bytes(&server::rejection());
    assert_eq!(line.events[0].kind(), Kind::Rejection);
    let mut line = Line::up();
    line.bytes(&server::shutdown());
    assert_eq!(line.events[0].text(), "The system is being shut down.\n");
    assert_eq!(line.closed, Some(CloseReason::Goodbye));
}

#[test]
fn another_protocol_is_a_violation_and_gets_no_password() {
    for bytes in [
        &b"220 mail\nContent-Type: x\n\n"[..],
        b"Content-Type: command/reply\nReply-Text: +OK\n\n",
        b"Content-Length: 2\nContent-Type: text/event-json\n\n{}",
    ] {
        let mut line = Line::inbound(EslConfig::new());
        line.bytes(bytes);
        assert!(
            matches!(line.closed, Some(CloseReason::Violation(_))),
            "{bytes:?}"
        );
        assert!(line.sent.is_empty());
    }
}

#[test]
fn answers_come_in_the_order_of_the_commands_with_events_between() {
    let mut line = Line::up();
    line.api(1);
    let command = Command::event(Format::Json, &["CHANNEL_ANSWER"], &["sofia::register"]);
    line.request(2, command.unwrap(), SECOND);
    assert_eq!(
        line.command(),
        "event json CHANNEL_ANSWER CUSTOM sofia::register"
    );
    line.api(3);
    line.bytes(&server::event(
        Format::Json,
        &[("Event-Name", "HEARTBEAT")],
        None,
    ));
    line.bytes(&server::api_response(b"one"));
    line.bytes(&server::log(5, "between"));
    line.reply_ok("event listener enabled json");
    // An `api` that is not allowed is refused by a reply.
    line.bytes(&server::reply("-ERR permission denied", &[]));
    assert_eq!(line.answer(), ok(1, "one"));
    assert_eq!(line.answer(), ok(2, "+OK event listener enabled json"));
    assert_eq!(line.answer(), ok(3, "-ERR permission denied"));
    let kinds: Vec<_> = line.events.iter().map(|it| it.kind()).collect();
    assert_eq!(kinds, [Kind::Event(Format::Json), Kind::Log]);
}

#[test]
fn a_caller_that_left_never_shifts_the_next_answer() {
    let mut line = Line::up();
    line.api(1);
    line.pass(5 * SECOND);
    line.api(2);
    line.pass(5 * SECOND);
    assert_eq!(line.answer(), (1, Err(NoReply::Deadline)));
    assert_eq!(line.session.pending(), 1);
    line.bytes(&server::api_response(b"for one"));
    assert!(line.replies.is_empty());
    line.bytes(&server::api_response(b"for two"));
    assert_eq!(line.answer(), ok(2, "for two"));
}

#[test]
fn of_200_callers_the_ones_that_stay_get_their_own_answers() {
    let mut line = Line::up();
    for token in 0..200 {
        let within = if token % 4 == 0 { SECOND } else { 9 * SECOND };
        let command = Command::api("eval", &token.to_string()).unwrap();
        line.request(token, command, within);
    }
    line.pass(2 * SECOND);
    assert_eq!(line.replies.len(), 50);
    line.replies.clear();
    for token in 0..200 {
        line.bytes(&server::api_response(token.to_string().as_bytes()));
    }
    assert_eq!(line.replies.len(), 150);
    while !line.replies.is_empty() {
        let (token, text) = line.answer();
        assert_eq!(text, Ok(token.to_string()));
    }
    assert_eq!(line.session.pending(), 0);
}

#[test]
fn a_command_that_never_left_owes_no_answer() {
    let mut line = Line::up();
    let deadline = line.now + SECOND;
    let command = || Command::api("eval", "x").unwrap();
    let token = faxbot_sip::protocol::session::Token;
    let now = line.now;
    line.session
        .handle_request(token(1), command(), deadline, now)
        .unwrap();
    // Nothing was polled: the bytes are still here when the deadline comes.
    line.session.handle_timeout(deadline);
    line.now = deadline;
    line.drain();
    assert_eq!(line.answer(), (1, Err(NoReply::Deadline)));
    assert!(line.sent.is_empty());
    line.api(2);
    line.bytes(&server::api_response(b"two"));
    assert_eq!(line.answer(), ok(2, "two"));
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_session() {
    let mut line = Line::up();
    line.reply_ok("what?");
    assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
    // So does the output of an API command in answer to something else.
    let mut line = Line::up();
    line.request(1, Command::nolog(), SECOND);
    line.bytes(&server::api_response(b"x"));
    assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
    assert!(line.replies.is_empty());
}

#[test]
fn jobs_finish_in_any_order_and_in_each_format() {
    for format in [Format::Plain, Format::Json, Format::Xml] {
        let mut line = Line::up();
        let jobs: Vec<_> = (1..=3).map(|token| line.bgapi(token)).collect();
        for job in &jobs {
            line.accept(job);
        }
        assert!(line.replies.is_empty());
        assert_eq!(line.session.pending(), 3);
        for at in [2, 0, 1] {
            line.finish(format, &jobs[at], "-ERR USER_BUSY\n");
            let (token, result) = line.replies.remove(0);
            let reply = result.unwrap();
            assert_eq!(token.0, u64::try_from(at).unwrap() + 1, "{format:?}");
            assert_eq!(reply.error().as_deref(), Some("USER_BUSY"));
            assert!(reply.is_error() && !reply.is_ok());
        }
        assert!(line.events.is_empty());
        assert_eq!(line.session.pending(), 0);
    }
}

#[test]
fn a_result_before_the_reply_and_a_refused_job_both_end() {
    let mut line = Line::up();
    let job = line.bgapi(1);
    line.finish(Format::Json, &job, "+OK early\n");
    assert!(line.replies.is_empty());
    line.accept(&job);
    assert_eq!(line.answer(), ok(1, "+OK early\n"));
    line.bgapi(2);
    line.bytes(&server::reply("-ERR permission denied", &[]));
    assert_eq!(line.answer(), ok(2, "-ERR permission denied"));
}

#[test]
fn a_job_of_others_or_of_a_caller_that_left_is_an_event() {
    let mut line = Line::up();
    let job = line.bgapi(1);
    line.accept(&job);
    for forged in [
        "1",
        "9a3c",
        &format!("{job}0"),
        &format!("{}+{}", &job[..33], &job[33..]),
        &job[..33],
    ] {
        line.finish(Format::Json, forged, "+OK");
    }
    // Our id in another event is no result.
    let headers = [("Event-Name", "CUSTOM"), ("Job-UUID", &*job)];
    line.bytes(&server::event(Format::Json, &headers, None));
    assert_eq!(line.events.len(), 6);
    assert!(line.replies.is_empty());
    line.pass(10 * SECOND);
    assert_eq!(line.answer(), (1, Err(NoReply::Deadline)));
    line.finish(Format::Json, &job, "+OK late");
    assert_eq!((line.events.len(), line.replies.len()), (7, 0));
}

#[test]
fn the_ids_of_jobs_differ_and_cannot_be_guessed() {
    let mut line = Line::up();
    let (one, two) = (line.bgapi(1), line.bgapi(2));
    assert_ne!(one, two);
    assert!(one.starts_with(&format!("{:032x}-", u128::from_be_bytes(RANDOM))));
}

#[test]
fn as_many_requests_as_allowed_wait_and_places_of_those_that_left_count() {
    let config = EslConfig::new()
        .with_max_pending(2)
        .with_ping(600 * SECOND, SECOND);
    let mut line = Line::up_with(config);
    for token in 0..4 {
        let command = || Command::api("eval", "x").unwrap();
        line.request(token, command(), SECOND);
        if token % 2 == 1 {
            assert_eq!(line.try_request(9, command(), SECOND), Err(NotTaken::Full));
            line.pass(SECOND);
        }
    }
    // Nobody waits, but the server owes four answers.
    assert_eq!(line.session.pending(), 0);
    assert_eq!(
        line.try_request(9, Command::nolog(), SECOND),
        Err(NotTaken::Full)
    );
    line.bytes(&server::api_response(b"first"));
    assert_eq!(line.try_request(9, Command::nolog(), SECOND), Ok(()));
}

#[test]
fn a_silent_server_is_asked_and_then_left() {
    let mut line = Line::up();
    line.pass(15 * SECOND);
    assert_eq!(line.command(), "api uptime");
    line.bytes(&server::api_response(b"1"));
    assert!(line.replies.is_empty());
    line.pass(15 * SECOND);
    assert_eq!(line.command(), "api uptime");
    line.pass(10 * SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn an_api_may_silence_the_connection_until_its_deadline() {
    let mut line = Line::up();
    let command = Command::api("originate", "user/1 &park()").unwrap();
    line.request(1, command, 60 * SECOND);
    line.command();
    line.pass(59 * SECOND);
    assert!(line.sent.is_empty() && line.closed.is_none());
    line.pass(SECOND);
    assert_eq!(line.answer(), (1, Err(NoReply::Deadline)));
    assert_eq!(line.command(), "api uptime");
    line.pass(10 * SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn a_server_that_is_silent_at_login_is_left() {
    for step in 0..3 {
        let mut line = Line::inbound(EslConfig::new());
        if step > 0 {
            line.bytes(&server::auth_request());
        }
        if step > 1 {
            line.reply_ok("accepted");
        }
        line.pass(10 * SECOND);
        assert_eq!(line.closed, Some(CloseReason::Silent), "{step}");
    }
}

#[test]
fn a_close_says_exit_and_waits_for_the_good_bye_or_its_time() {
    let mut line = Line::up();
    let now = line.now;
    line.session.handle_close(now);
    line.drain();
    assert_eq!(line.command(), "exit");
    assert_eq!(
        line.try_request(1, Command::nolog(), SECOND),
        Err(NotTaken::NotReady)
    );
    line.reply_ok("bye");
    assert_eq!(line.closed, Some(CloseReason::Goodbye));

    let mut line = Line::up();
    let now = line.now;
    line.session.handle_close(now);
    line.drain();
    line.pass(2 * SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn a_linger_notice_is_an_event_and_the_session_goes_on() {
    let mut line = Line::up();
    line.bytes(&server::linger("4d3f", 3));
    assert!(line.closed.is_none() && line.session.is_ready());
    assert!(line.events[0].is_linger());
    line.bytes(&server::event(
        Format::Plain,
        &[("Event-Name", "CHANNEL_HANGUP_COMPLETE")],
        None,
    ));
    line.bytes(&server::goodbye());
    assert_eq!(line.events.len(), 3);
    assert_eq!(line.closed, Some(CloseReason::Goodbye));
}

#[test]
fn an_outbound_connection_speaks_first_and_gets_its_channel() {
    let recording = Recording::load("freeswitch/07_outbound_async_full_linger").unwrap();
    let mut line = Line::new(EslSession::outbound(EslConfig::new(), RANDOM));
    assert_eq!(line.command(), "connect");
    let wire = recording.bytes(1, Direction::ToServer);
    let end = wire.windows(2).position(|it| it == b"\n\n").unwrap() + 2;
    line.bytes(&wire[..end]);
    assert_eq!(line.command(), "event json BACKGROUND_JOB");
    line.bytes(&server::reply("-ERR command not found", &[]));
    let ready = line.ready.remove(0);
    assert!(!ready.jobs);
    let channel = ready.channel.unwrap();
    let channel = channel.event().unwrap().unwrap();
    assert!(channel.text("Unique-ID").is_some());

    let mut line = Line::new(EslSession::outbound(EslConfig::new(), RANDOM));
    line.reply_ok("");
    assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
}

#[test]
fn recorded_conversations_give_each_request_its_own_answer() {
    let mut answers = 0;
    for recording in recordings() {
        if recording.name().contains("/07_outbound_") || recording.name().contains("/01_") {
            continue;
        }
        // What the server says after the login, to as many requests as it answers.
        for conn in recording.connections() {
            let (frames, _) = wire_support::esl::decode(
                faxbot_sip::protocol::esl::Role::Client,
                [recording.server_bytes(conn)],
            );
            let mut line = Line::up_with(EslConfig::new().with_max_pending(5000));
            let skip = frames
                .iter()
                .take(2)
                .filter(|it| it.kind() == Kind::AuthRequest || it.text() == "+OK accepted");
            let skip = skip.count();
            let asked: Vec<_> = frames[skip..]
                .iter()
                .filter(|it| matches!(it.kind(), Kind::Reply | Kind::ApiResponse))
                .collect();
            for (n, _) in asked.iter().enumerate() {
                let command = Command::api("eval", "x").unwrap();
                line.request(u64::try_from(n).unwrap(), command, 600 * SECOND);
            }
            for frame in &frames[skip..] {
                line.bytes(frame.raw());
            }
            assert_eq!(line.replies.len(), asked.len(), "{}", recording.name());
            for (at, (token, reply)) in line.replies.iter().enumerate() {
                assert_eq!(token.0, u64::try_from(at).unwrap());
                assert_eq!(reply.as_ref().unwrap().frame.raw(), asked[at].raw());
            }
            answers += asked.len();
        }
    }
    assert!(answers > 1500, "{answers}");
}

#[test]
fn words_of_failure_are_told_from_values() {
    for (text, error, cause) in [
        ("-ERR NO_ANSWER\n", true, Some("NO_ANSWER")),
        ("-USAGE: <uuid>", true, None),
        ("-STUN Failed!", true, None),
        ("INVALID COMMAND!\n-ERR x Command not found!\n", true, None),
        ("-5", false, None),
        ("_undef_", false, None),
        ("+OK", false, None),
    ] {
        let mut line = Line::up();
        line.api(1);
        line.bytes(&server::api_response(text.as_bytes()));
        let reply = line.replies.remove(0).1.unwrap();
        assert_eq!(reply.is_error(), error, "{text}");
        assert_eq!(reply.error().as_deref(), cause, "{text}");
    }
}

#[test]
fn no_secret_shows_in_debug() {
    let login = Login::user("clinic", "fs.example", "hunter2").unwrap();
    let session = EslSession::new(login.clone(), EslConfig::new(), RANDOM);
    let command = Command::api("originate", "sofia/gateway/x/hunter2 &park()").unwrap();
    let shown = format!("{login:?} {session:?} {command:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}
