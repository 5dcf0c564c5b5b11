//! The session of the external module port against an engine that the test plays.
#![cfg(test)]

mod wire_support;

use std::time::Duration;

use faxbot_sip::protocol::{
    session::{CloseReason, NoReply, NotTaken, Session, Token},
    yate::{Command, Event, Kind, Login, Reply, Verb, YateConfig, YateSession, server},
};
use faxbot_testkit::replay::Recording;
use wire_support::{
    RANDOM, SECOND,
    yate::{FIRST, Line, decode, recordings},
};

fn watch(name: &str) -> Command {
    Command::watch(name).unwrap()
}

fn install(name: &str) -> Command {
    Command::install(Some(50), name).unwrap()
}

fn login(commands: impl IntoIterator<Item = Command>) -> Login {
    let add = |login: Login, command| login.command(command).unwrap();
    commands.into_iter().fold(Login::new(), add)
}

/// Without a heartbeat, so that time passes without words.
fn quiet() -> YateConfig {
    YateConfig::new()
        .with_ping(600 * SECOND, SECOND)
        .with_heartbeat(None)
}

fn lines(line: &mut Line) -> Vec<String> {
    let sent = std::mem::take(&mut line.sent);
    sent.iter()
        .map(|it| String::from_utf8(it.line().to_vec()).unwrap())
        .collect()
}

#[test]
fn a_login_asks_for_everything_at_once_and_is_ready_at_the_last_answer() {
    let mut line = Line::new(
        login([watch("chan.hangup"), install("call.route")]),
        YateConfig::new(),
    );
    let said: Vec<_> = line.sent.clone();
    assert_eq!(lines(&mut line)[..6], FIRST);
    line.sent = said[..7].to_vec();
    line.confirm_all();
    assert!(!line.session.is_ready());
    line.bytes(&server::installed(50, "call.route", true));
    assert!(line.session.is_ready());
    let ready = line.ready.remove(0);
    assert_eq!(ready.version.as_deref(), Some("6.4.1"));
    assert_eq!(ready.run_id.as_deref(), Some("1795230663"));
    assert_eq!(ready.node.as_deref(), Some("pbx"));
    assert_eq!(ready.message_timeout, Some(10 * SECOND));
    assert_eq!((ready.max_line, ready.heartbeat), (65_534, true));
    assert!(ready.refused.is_empty());
}

#[test]
fn a_role_is_taken_first_and_a_listener_that_has_one_does_no_harm() {
    for error in [false, true] {
        let mut line = Line::new(Login::global(), YateConfig::new());
        assert_eq!(line.line(), "%%>connect:global");
        if error {
            line.bytes(b"Error in: %%>connect:global\n");
        }
        line.confirm_all();
        assert!(line.session.is_ready() && line.events.is_empty());
    }
    let login = Login::role("channel", Some("dumb/1"), Some("audio")).unwrap();
    let mut line = Line::new(login, YateConfig::new());
    assert_eq!(line.line(), "%%>connect:channel:dumb/1:audio");
}

#[test]
fn a_command_of_the_login_that_is_refused_is_told_and_one_that_is_required_closes() {
    for required in [false, true] {
        let mut asks = Login::new()
            .command(Command::setlocal("nosuch", "1").unwrap())
            .unwrap();
        asks = if required {
            asks.required(watch("chan.hangup")).unwrap()
        } else {
            asks.command(watch("chan.hangup")).unwrap()
        };
        let mut line = Line::new(asks, YateConfig::new());
        line.sent.truncate(FIRST.len());
        line.confirm_all();
        line.bytes(&server::local("nosuch", "1", false));
        line.bytes(&server::watching("chan.hangup", false));
        if required {
            assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
            continue;
        }
        let refused = line.ready.remove(0).refused;
        let refused: Vec<_> = refused.iter().map(|it| (it.verb, &*it.name)).collect();
        assert_eq!(
            refused,
            [(Verb::Setlocal, "nosuch"), (Verb::Watch, "chan.hangup")]
        );
    }
}

#[test]
fn a_command_of_the_login_that_could_not_be_read_is_refused_too() {
    let mut line = Line::new(login([install("call.route")]), YateConfig::new());
    line.sent.truncate(FIRST.len());
    line.confirm_all();
    line.bytes(b"Error in: %%>install:50:call.route\n");
    assert_eq!(line.ready.remove(0).refused[0].verb, Verb::Install);
}

#[test]
fn an_old_engine_that_knows_no_parameter_is_ready_all_the_same() {
    let mut line = Line::new(Login::new(), YateConfig::new());
    line.sent.clear();
    for name in [
        "bufsize",
        "timeout",
        "engine.version",
        "engine.runid",
        "engine.nodename",
    ] {
        line.bytes(&server::local(name, "", false));
    }
    line.bytes(&server::watching("engine.timer", false));
    let ready = line.ready.remove(0);
    assert_eq!(
        (ready.max_line, ready.heartbeat, ready.version),
        (8190, false, None)
    );
    // What does not fit would end the connection.
    let long = Command::message("m")
        .unwrap()
        .param("k", "v".repeat(8200))
        .unwrap();
    line.request(1, long, SECOND);
    assert_eq!(line.reply(), (1, Ok(Reply::TooLong { max: 8190 })));
    assert!(line.sent.is_empty() && line.session.pending() == 0);
}

#[test]
fn another_protocol_is_a_violation() {
    for bytes in [
        &b"Asterisk Call Manager/11.0.0\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"YATE 6.4.1-devel1 (http://YATE.null.ro) ready on pbx.\r\n",
        b"%%>watch:x\n",
    ] {
        let mut line = Line::new(Login::new(), YateConfig::new());
        line.bytes(bytes);
        assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
    }
}

#[test]
fn events_before_the_last_answer_of_the_login_come_behind_ready() {
    let mut line = Line::new(
        login([watch("chan.startup"), install("call.route")]),
        quiet(),
    );
    let last = line.sent.pop().unwrap();
    line.confirm_all();
    line.bytes(&server::watched(
        false,
        "chan.startup",
        "",
        &[("id", "sip/1")],
    ));
    line.route("0x1.1");
    assert!(line.events.is_empty());
    line.sent.push(last);
    line.confirm_all();
    assert_eq!((line.ready.len(), line.events.len()), (1, 2));
    let Event::Watched(frame) = line.events.remove(0) else {
        panic!("the watched message came first")
    };
    assert_eq!(frame.message().unwrap().text("id").unwrap(), "sip/1");
    let asked = line.asked();
    line.request(1, asked.answer(false), SECOND);
    assert_eq!(line.reply(), (1, Ok(Reply::Sent)));
}

#[test]
fn a_flood_before_the_session_is_ready_ends_it() {
    let many = server::watched(false, "call.cdr", "", &[]);
    let large = server::watched(false, "call.cdr", &"x".repeat(3_000_000), &[]);
    for (bytes, times) in [(many, 5000), (large, 3)] {
        let mut line = Line::new(login([watch("call.cdr")]), quiet());
        for _ in 0..times {
            if line.closed.is_none() {
                line.bytes(&bytes);
            }
        }
        assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
    }
}

#[test]
fn requests_that_time_out_while_a_flood_ends_the_login_say_nothing_behind_the_close() {
    let config = quiet()
        .with_login_timeout(60 * SECOND)
        .with_max_incoming(5000);
    let mut line = Line::new(login([install("call.route")]), config);
    for n in 0..4096 {
        line.route(&n.to_string());
    }
    line.pass(SECOND);
    assert!(line.closed.is_none());
    // Each that times out is one more event.
    let due = line.session.poll_timeout().unwrap();
    line.now = due;
    line.session.handle_timeout(due);
    line.drain();
    assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
    assert!(line.session.poll_timeout().is_none());
}

#[test]
fn messages_are_answered_in_any_order_by_ids_that_nobody_can_guess() {
    let mut line = Line::up();
    let ids: Vec<_> = (0..3)
        .map(|token| line.ask(token, "call.execute"))
        .collect();
    assert!(
        ids.iter()
            .all(|id| id.starts_with(&format!("{:032x}-", u128::from_be_bytes(RANDOM))))
    );
    for forged in ["", "1", &ids[0][..33], &format!("{}0", ids[0]), "id%z1"] {
        line.bytes(&server::answer(forged, true, "call.execute", "", &[]));
    }
    assert!(line.replies.is_empty());
    for at in [2, 0, 1] {
        line.bytes(&server::answer(
            &ids[at],
            true,
            "call.execute",
            "",
            &[("id", "dumb/1")],
        ));
        let (token, reply) = line.reply();
        assert_eq!(token, u64::try_from(at).unwrap());
        assert!(reply.unwrap().is_ok());
        // A second answer is nobody's.
        line.bytes(&server::answer(&ids[at], true, "call.execute", "", &[]));
    }
    assert_eq!((line.replies.len(), line.session.pending()), (0, 0));
}

#[test]
fn an_answer_after_the_deadline_is_nobodys() {
    let mut line = Line::up_with(Login::new(), quiet());
    let id = line.ask(1, "xsip.generate");
    line.pass(10 * SECOND);
    assert_eq!(line.reply(), (1, Err(NoReply::Deadline)));
    line.bytes(&server::answer(
        &id,
        true,
        "xsip.generate",
        "",
        &[("code", "200")],
    ));
    assert!(line.replies.is_empty() && line.events.is_empty());
}

#[test]
fn false_without_a_reason_is_an_answer_too() {
    let mut line = Line::up();
    let id = line.ask(1, "call.drop");
    line.bytes(&server::answer(&id, false, "call.drop", "", &[]));
    let reply = line.reply().1.unwrap();
    assert!(!reply.is_ok() && reply.frame().is_some());
}

#[test]
fn commands_are_answered_by_name_and_a_caller_that_left_shifts_nothing() {
    let mut line = Line::up_with(Login::new(), quiet());
    line.request(1, watch("a"), SECOND);
    line.request(2, Command::query("x").unwrap(), 5 * SECOND);
    line.pass(SECOND);
    assert_eq!(line.reply(), (1, Err(NoReply::Deadline)));
    // The same name again: the first answer is the one of the caller that left.
    line.request(3, watch("a"), 5 * SECOND);
    line.bytes(&server::watching("a", true));
    assert!(line.replies.is_empty());
    line.bytes(&server::local("x", "7", true));
    assert_eq!(line.answer(), (2, Ok("%%<setlocal:x:7:true".to_owned())));
    line.bytes(&server::watching("a", false));
    let (token, reply) = line.reply();
    assert_eq!((token, reply.unwrap().is_ok()), (3, false));
    line.request(4, Command::uninstall("b").unwrap(), SECOND);
    line.bytes(&server::uninstalled(50, "b", true));
    assert!(line.reply().1.unwrap().is_ok());
}

#[test]
fn a_later_answer_frees_the_places_of_those_that_left() {
    let config = quiet().with_max_pending(2);
    let mut line = Line::up_with(Login::new(), config);
    for token in 0..4 {
        line.request(token, Command::query("lost").unwrap(), SECOND);
        if token % 2 == 1 {
            assert_eq!(line.try_request(9, watch("x"), SECOND), Err(NotTaken::Full));
            line.pass(SECOND);
        }
    }
    assert_eq!((line.session.pending(), line.replies.len()), (0, 4));
    assert_eq!(line.try_request(9, watch("x"), SECOND), Err(NotTaken::Full));
    // The engine answers in order, so that the first three will have none.
    line.bytes(&server::local("lost", "", false));
    line.request(5, Command::query("y").unwrap(), SECOND);
    line.bytes(&server::local("y", "", true));
    assert_eq!(line.session.pending(), 0);
    for token in 10..12 {
        line.request(token, watch("z"), SECOND);
    }
}

#[test]
fn a_line_that_never_left_is_taken_back_at_its_deadline() {
    let mut line = Line::up_with(Login::new(), quiet());
    let (now, deadline) = (line.now, line.now + SECOND);
    for (token, command) in [(1, watch("a")), (2, Command::message("m").unwrap())] {
        line.session
            .handle_request(Token(token), command, deadline, now)
            .unwrap();
    }
    // Nothing was polled: the bytes are still here when the deadline comes.
    line.session.handle_timeout(deadline);
    line.now = deadline;
    line.drain();
    assert_eq!((line.sent.len(), line.replies.len()), (0, 2));
    line.request(3, watch("a"), SECOND);
    line.bytes(&server::watching("a", true));
    assert_eq!(line.replies.remove(2).0, Token(3));
}

#[test]
fn a_line_that_the_engine_could_not_read_ends_its_request() {
    let mut line = Line::up();
    let id = line.ask(1, "call.execute");
    line.bytes(format!("Error in: %%>message:{id}:0:call.execute:\n").as_bytes());
    let reply = line.reply().1.unwrap();
    assert!(matches!(reply, Reply::Unread(_)) && !reply.is_ok());
    line.request(2, watch("a"), SECOND);
    line.bytes(b"Error in: %%>watch:a\n");
    assert!(matches!(line.reply().1.unwrap(), Reply::Unread(_)));
    // Of nobody: an event, and no answer to it, which could go on without end.
    let sent = line.sent.len();
    line.bytes(b"Error in: garbage\nError in: %%>message:x:0:m:\n");
    assert_eq!((line.events.len(), line.sent.len()), (2, sent));
}

#[test]
fn unknown_lines_and_answers_that_nobody_asked_for_are_events() {
    let mut line = Line::up();
    line.bytes(b"garbage\n\n%%<bogus:1\n%%<watch:never:true\n");
    let kinds: Vec<_> = line
        .events
        .iter()
        .map(|it| it.frame().unwrap().kind())
        .collect();
    assert_eq!(kinds, [Kind::Other, Kind::Other, Kind::Reply(Verb::Watch)]);
    assert!(line.closed.is_none());
}

#[test]
fn a_request_of_the_engine_is_answered_once_by_its_owner() {
    let mut line = Line::up();
    line.bytes(&server::request(
        "0x7f.91",
        7,
        "call.route",
        "",
        &[("called", "777")],
    ));
    let asked = line.asked();
    assert!(asked.message().is("call.route"));
    assert_eq!(asked.message().text("called").unwrap(), "777");
    assert_eq!(line.session.incoming(), 1);
    let answer = asked
        .answer(true)
        .retval("sip/sip:uas@127.0.0.1:5080")
        .unwrap();
    let answer = answer
        .param("callername", "Changed")
        .unwrap()
        .without("device")
        .unwrap();
    line.request(1, answer, SECOND);
    assert_eq!(
        line.line(),
        "%%<message:0x7f.91:true::sip/sip%zuas@127.0.0.1%z5080:callername=Changed:device"
    );
    assert_eq!(line.reply(), (1, Ok(Reply::Sent)));
    assert_eq!((line.session.incoming(), line.session.pending()), (0, 0));
    // A second answer is not written.
    line.request(2, asked.answer(false), SECOND);
    assert_eq!(line.reply(), (2, Ok(Reply::TooLate)));
    line.pass(4 * SECOND);
    assert!(line.sent.is_empty());
}

#[test]
fn a_session_that_handles_messages_is_read_on_though_its_owner_is_slow() {
    let mut line = Line::up_with(login([watch("a")]), quiet());
    assert!(!line.session.is_asked());
    for (command, asked) in [
        (install("a"), true),
        (install("b"), true),
        (Command::uninstall("a").unwrap(), true),
        (Command::uninstall("b").unwrap(), false),
    ] {
        line.request(1, command, SECOND);
        line.confirm_all();
        assert_eq!(line.session.is_asked(), asked);
    }
    line.bytes(&server::installed(50, "c", false));
    assert!(!line.session.is_asked());
    line.route("0x1.1");
    assert!(line.session.is_asked());
}

#[test]
fn an_answer_without_changes_leaves_the_message_as_it_is() {
    let mut line = Line::up();
    for (processed, change, want) in [
        (false, false, "%%<message:0x1.1:false:"),
        (true, false, "%%<message:0x1.1:true:"),
        (false, true, "%%<message:0x1.1:false::kept%z1:a=b"),
    ] {
        line.bytes(&server::request("0x1.1", 7, "call.route", "kept:1", &[]));
        let mut answer = line.asked().answer(processed);
        if change {
            answer = answer.param("a", "b").unwrap();
        }
        line.request(1, answer, SECOND);
        assert_eq!(line.line(), want);
    }
}

#[test]
fn a_request_that_nobody_answers_is_answered_false_in_time() {
    let mut line = Line::up_with(Login::new(), quiet());
    line.route("0x1.1");
    line.pass(SECOND);
    line.route("0x1.2");
    let (first, second) = (line.asked(), line.asked());
    assert_eq!(first.deadline() + SECOND, second.deadline());
    line.pass(2 * SECOND);
    assert_eq!(line.line(), "%%<message:0x1.1:false:");
    assert!(matches!(&line.events[0], Event::TimedOut(id) if *id == first.id()));
    assert!(line.sent.is_empty());
    // The owner's late answer goes nowhere, the other one is in time.
    line.request(1, first.answer(true).retval("tone/ring").unwrap(), SECOND);
    line.request(2, second.answer(true), SECOND);
    assert_eq!(line.reply(), (1, Ok(Reply::TooLate)));
    assert_eq!(line.reply(), (2, Ok(Reply::Sent)));
    assert_eq!(lines(&mut line), ["%%<message:0x1.2:true:"]);
    line.pass(10 * SECOND);
    assert!(line.sent.is_empty() && line.events.len() == 1);
}

#[test]
fn the_engine_never_waits_for_more_than_half_of_its_own_time() {
    for (engine, ours, want) in [
        ("10000", 3000, 3000),
        ("10000", 60_000, 5000),
        ("1000", 3000, 500),
        ("0", 60_000, 60_000),
        ("-1", 60_000, 60_000),
    ] {
        let config = quiet().with_answer_timeout(Duration::from_millis(ours));
        let mut line = Line::up_with(Login::new(), config);
        let patience = Command::setlocal("timeout", engine).unwrap();
        line.request(1, patience, SECOND);
        line.bytes(&server::local("timeout", engine, true));
        line.sent.clear();
        line.route("0x1.1");
        line.pass(Duration::from_millis(want - 1));
        assert!(line.sent.is_empty(), "{engine} {ours}");
        line.pass(Duration::from_millis(1));
        assert_eq!(line.sent.len(), 1, "{engine} {ours}");
    }
}

#[test]
fn one_request_too_many_and_an_id_that_is_too_long_are_answered_false_at_once() {
    let long = "x".repeat(300);
    let mut line = Line::up();
    line.route(&long);
    assert_eq!(line.line(), format!("%%<message:{long}:false:"));
    assert!(matches!(line.events[..], [Event::Shed(_)]));

    let mut line = Line::up_with(Login::new(), quiet().with_max_incoming(2));
    for id in ["1", "2", "3"] {
        line.route(id);
    }
    assert_eq!(lines(&mut line), ["%%<message:3:false:"]);
    assert!(matches!(
        line.events[..],
        [Event::Asked(_), Event::Asked(_), Event::Shed(_)]
    ));
    // The same id again is a new request, and takes no place more.
    line.route("1");
    assert!(matches!(line.events[3], Event::Asked(_)));
    assert_eq!(line.session.incoming(), 2);
    // There is room again when one is answered.
    let asked = line.asked();
    line.request(1, asked.answer(false), SECOND);
    line.route("3");
    assert!(matches!(line.events.last(), Some(Event::Asked(_))));
}

#[test]
fn answers_are_taken_when_no_other_request_is() {
    let mut line = Line::up_with(Login::new(), quiet().with_max_pending(1));
    line.ask(1, "call.execute");
    assert_eq!(line.try_request(2, watch("a"), SECOND), Err(NotTaken::Full));
    line.route("0x1.1");
    let asked = line.asked();
    line.request(3, asked.answer(true), SECOND);
    assert_eq!(line.reply(), (3, Ok(Reply::Sent)));
}

#[test]
fn an_answer_whose_time_is_over_is_not_written_and_the_session_answers() {
    let mut line = Line::up_with(Login::new(), quiet());
    line.route("0x1.1");
    let asked = line.asked();
    line.request(1, asked.answer(true), Duration::ZERO);
    assert_eq!(line.reply(), (1, Err(NoReply::Deadline)));
    assert!(line.sent.is_empty());
    line.pass(3 * SECOND);
    assert_eq!(line.line(), "%%<message:0x1.1:false:");
}

#[test]
fn recorded_requests_are_all_answered_however_idle_the_owner_is() {
    let mut count = 0;
    for recording in recordings() {
        let mut line = Line::up_with(Login::new(), quiet());
        let (frames, _) = decode(
            faxbot_sip::protocol::yate::Role::Client,
            [recording.server_bytes(1)],
        );
        let asked = frames.iter().filter(|it| it.kind() == Kind::Request);
        let ids: Vec<_> = asked
            .map(|it| it.message().unwrap().id().to_vec())
            .collect();
        for frame in frames
            .iter()
            .filter(|it| it.kind() != Kind::Reply(Verb::Quit))
        {
            line.bytes(frame.raw());
        }
        line.pass(3 * SECOND);
        let answered: Vec<_> = line
            .sent
            .iter()
            .map(|it| it.message().unwrap().id().to_vec())
            .collect();
        assert_eq!(answered, ids, "{}", recording.name());
        assert_eq!(line.session.incoming(), 0);
        count += ids.len();
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn the_answers_that_were_recorded_are_written_the_same() {
    let recording = Recording::load("yate/sip_in_route_installed").unwrap();
    let mut line = Line::up_with(Login::new(), quiet());
    let mut asked = Vec::new();
    let (frames, _) = decode(
        faxbot_sip::protocol::yate::Role::Client,
        [recording.server_bytes(1)],
    );
    for frame in frames.iter().filter(|it| it.kind() == Kind::Request) {
        line.bytes(frame.raw());
        asked.push(line.asked());
    }
    let (answers, _) = decode(
        faxbot_sip::protocol::yate::Role::Server,
        [recording.client_bytes(1)],
    );
    let mut count = 0;
    for answer in answers.iter().filter(|it| it.kind() == Kind::Answer) {
        let message = answer.message().unwrap();
        let one = asked.iter().find(|it| it.id() == message.id()).unwrap();
        let mut command = one
            .answer(message.is_processed())
            .retval(&message.retval())
            .unwrap();
        for param in message.params() {
            command = command
                .param(&param.name(), param.value().unwrap())
                .unwrap();
        }
        line.request(count, command, SECOND);
        assert_eq!(line.sent.pop().unwrap().raw(), answer.raw());
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn lines_for_the_log_have_no_answer() {
    let mut line = Line::up();
    line.request(1, Command::output("hello: 100%").unwrap(), SECOND);
    line.request(2, Command::debug(5, "a:b").unwrap(), SECOND);
    assert_eq!(
        lines(&mut line),
        ["%%>output:hello: 100%", "%%>debug:5:a%zb"]
    );
    assert_eq!(line.reply(), (1, Ok(Reply::Sent)));
    assert_eq!(line.reply(), (2, Ok(Reply::Sent)));
    assert_eq!(line.session.pending(), 0);
}

#[test]
fn the_timer_of_the_engine_is_life_and_wakes_nobody() {
    let mut line = Line::up();
    for _ in 0..60 {
        line.bytes(&server::watched(
            false,
            "engine.timer",
            "",
            &[("time", "1795246492")],
        ));
        line.pass(SECOND);
    }
    assert!(line.sent.is_empty() && line.events.is_empty());
    line.pass(5 * SECOND);
    assert_eq!(line.line(), "%%>setlocal:engine.runid:");
    line.bytes(&server::local("engine.runid", "1795230663", true));
    assert!(line.replies.is_empty() && line.events.is_empty());
    line.pass(5 * SECOND);
    assert_eq!(line.line(), "%%>setlocal:engine.runid:");
    line.pass(10 * SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn a_question_that_has_no_answer_yet_is_not_asked_again() {
    let mut line = Line::up();
    for _ in 0..3 {
        line.pass(5 * SECOND);
        line.bytes(&server::watched(false, "engine.timer", "", &[]));
    }
    assert_eq!(lines(&mut line), ["%%>setlocal:engine.runid:"]);
    line.pass(15 * SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn an_owner_that_watches_the_timer_sees_it_and_it_is_asked_for_once() {
    for (asks, heartbeat) in [
        (login([watch("engine.timer")]), Some(5 * SECOND)),
        (Login::new(), None),
    ] {
        let mut line = Line::new(asks, YateConfig::new().with_heartbeat(heartbeat));
        let timers = line
            .sent
            .iter()
            .filter(|it| it.line() == b"%%>watch:engine.timer");
        assert_eq!(timers.count(), usize::from(heartbeat.is_some()));
        line.confirm_all();
        line.bytes(&server::watched(false, "engine.timer", "", &[]));
        assert_eq!(line.events.len(), 1);
        // Without a heartbeat the keep-alive of every session is left.
        line.pass(14 * SECOND);
        assert_eq!(line.sent.len(), usize::from(heartbeat.is_some()));
    }
}

#[test]
fn an_engine_that_is_silent_at_login_is_left() {
    for answers in 0..FIRST.len() {
        let mut line = Line::new(Login::new(), YateConfig::new());
        line.sent.truncate(answers);
        line.confirm_all();
        line.pass(10 * SECOND);
        assert_eq!(line.closed, Some(CloseReason::Silent), "{answers}");
    }
}

#[test]
fn a_close_declines_what_is_open_says_quit_and_waits_for_the_good_bye_or_its_time() {
    for answered in [true, false] {
        let mut line = Line::up();
        line.route("0x1.1");
        line.session.handle_close(line.now);
        line.drain();
        assert_eq!(lines(&mut line), ["%%<message:0x1.1:false:", "%%>quit"]);
        assert_eq!(
            line.try_request(1, watch("a"), SECOND),
            Err(NotTaken::NotReady)
        );
        // One more that was on its way.
        line.route("0x1.2");
        assert_eq!(line.line(), "%%<message:0x1.2:false:");
        if answered {
            line.bytes(&server::quit());
            assert_eq!(line.closed, Some(CloseReason::Goodbye));
        } else {
            line.pass(2 * SECOND);
            assert_eq!(line.closed, Some(CloseReason::Silent));
        }
    }
}

#[test]
fn recorded_conversations_give_each_request_its_own_answer() {
    let mut answers = 0;
    for recording in recordings() {
        let role = faxbot_sip::protocol::yate::Role::Server;
        let (asked, _) = decode(role, [recording.client_bytes(1)]);
        let role = faxbot_sip::protocol::yate::Role::Client;
        let (said, _) = decode(role, [recording.server_bytes(1)]);
        let mut line = Line::up_with(Login::new(), quiet().with_max_pending(5000));
        // Our own ids in place of the recorded ones.
        let mut ids = Vec::new();
        for (n, frame) in asked.iter().enumerate() {
            let Some(message) = frame.message().filter(|_| frame.kind() == Kind::Request) else {
                continue;
            };
            if !server::is_error(frame) {
                let id = line.ask(u64::try_from(n).unwrap(), &message.name());
                ids.push((message.id().to_vec(), id, u64::try_from(n).unwrap()));
            }
        }
        for frame in &said {
            let answer = frame.message().filter(|_| frame.kind() == Kind::Answer);
            let Some((id, message)) = answer.map(|it| (it.id(), it)) else {
                continue;
            };
            let Some(at) = ids.iter().position(|(theirs, ..)| theirs == id) else {
                panic!("an answer to nothing")
            };
            let (_, ours, token) = ids.remove(at);
            line.bytes(&server::answer(
                &ours,
                message.is_processed(),
                &message.name(),
                "",
                &[],
            ));
            let (found, reply) = line.reply();
            assert_eq!(
                (found, reply.unwrap().is_ok()),
                (token, message.is_processed())
            );
            answers += 1;
        }
    }
    assert!(answers > 100, "{answers}");
}

#[test]
fn nothing_private_shows_in_debug() {
    let mut line = Line::up();
    line.bytes(&server::request(
        "0x1.1",
        7,
        "call.route",
        "",
        &[("called", "5551234")],
    ));
    line.bytes(&server::watched(
        false,
        "chan.startup",
        "",
        &[("caller", "5551234")],
    ));
    let session: &YateSession = &line.session;
    let asked = format!("{:?} {session:?}", line.events);
    let login = login([Command::setlocal("reason", "5551234").unwrap()]);
    let shown = format!("{asked} {login:?}");
    assert!(!shown.contains("5551234"), "{shown}");
}
