//! What goes out: commands and logins.
#![cfg(test)]

mod wire_support;

use faxbot_sip::protocol::esl::{
    Answer, Command, CommandError, Format, Login, MAX_COMMAND, Role, Variables,
};
use proptest::prelude::*;
use wire_support::esl::decode;

fn wire(command: Result<Command, CommandError>) -> String {
    String::from_utf8(command.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn commands_are_written_as_the_server_reads_them() {
    for (command, want) in [
        (Command::api("status", ""), "api status\n\n"),
        (
            Command::bgapi("originate", "user/1 &park()"),
            "bgapi originate user/1 &park()\n\n",
        ),
        (
            Command::event(Format::Plain, &["ALL"], &[]),
            "event plain ALL\n\n",
        ),
        (
            Command::event(Format::Json, &["CHANNEL_ANSWER"], &["a::b", "c::d"]),
            "event json CHANNEL_ANSWER CUSTOM a::b c::d\n\n",
        ),
        (Command::nixevent(&["ALL"], &[]), "nixevent ALL\n\n"),
        (Ok(Command::noevents()), "noevents\n\n"),
        (
            Command::filter("Unique-ID", "4d3f"),
            "filter Unique-ID 4d3f\n\n",
        ),
        (Command::filter_delete("all", None), "filter delete all\n\n"),
        (
            Command::filter_delete("A", Some("b c")),
            "filter delete A b c\n\n",
        ),
        (
            Command::myevents(Format::Json, Some("4d3f")),
            "myevents 4d3f json\n\n",
        ),
        (Command::myevents(Format::Plain, None), "myevents plain\n\n"),
        (Ok(Command::connect()), "connect\n\n"),
        (Ok(Command::resume()), "resume\n\n"),
        (Ok(Command::divert_events(true)), "divert_events on\n\n"),
        (Ok(Command::divert_events(false)), "divert_events off\n\n"),
        (Ok(Command::linger(None)), "linger\n\n"),
        (Ok(Command::linger(Some(3))), "linger 3\n\n"),
        (Ok(Command::log(9)), "log 7\n\n"),
        (Command::getvar("fax_success"), "getvar fax_success\n\n"),
        (
            Command::execute(Some("4d3f"), "set", "a=b"),
            "sendmsg 4d3f\ncall-command: execute\nexecute-app-name: set\n\
             content-type: text/plain\ncontent-length: 3\n\na=b",
        ),
        (
            Command::hangup(None, "USER_BUSY"),
            "sendmsg\ncall-command: hangup\nhangup-cause: USER_BUSY\n\n",
        ),
        (
            Command::sendevent("CUSTOM")
                .and_then(|it| it.header("Event-Subclass", "demo::x"))
                .and_then(|it| it.body(b"two\nlines")),
            "sendevent CUSTOM\nEvent-Subclass: demo::x\ncontent-length: 9\n\ntwo\nlines",
        ),
    ] {
        assert_eq!(wire(command), want);
    }
    for (command, want) in [
        (Command::api("status", ""), Answer::Api),
        (Command::bgapi("status", ""), Answer::Job),
        (Ok(Command::nolog()), Answer::Reply),
    ] {
        assert_eq!(command.unwrap().expected(), want);
    }
}

#[test]
fn a_line_break_or_nul_in_any_argument_is_refused() {
    for bad in ["a\rb", "a\nb", "a\0b", "\n\nexit", "x\n", "\n"] {
        let message = || Command::sendmsg(None).unwrap();
        for (what, refused) in [
            ("api", Command::api(bad, "").is_err()),
            ("api arguments", Command::api("x", bad).is_err()),
            ("bgapi", Command::bgapi("x", bad).is_err()),
            ("event", Command::event(Format::Json, &[bad], &[]).is_err()),
            (
                "subclass",
                Command::event(Format::Json, &[], &[bad]).is_err(),
            ),
            ("nixevent", Command::nixevent(&[bad], &[]).is_err()),
            ("filter", Command::filter(bad, "x").is_err()),
            ("filter value", Command::filter("x", bad).is_err()),
            (
                "filter delete",
                Command::filter_delete("x", Some(bad)).is_err(),
            ),
            (
                "myevents",
                Command::myevents(Format::Json, Some(bad)).is_err(),
            ),
            ("getvar", Command::getvar(bad).is_err()),
            ("sendevent", Command::sendevent(bad).is_err()),
            ("sendmsg", Command::sendmsg(Some(bad)).is_err()),
            ("header", message().header(bad, "x").is_err()),
            ("header value", message().header("x", bad).is_err()),
            ("execute", Command::execute(None, bad, "").is_err()),
            (
                "execute argument",
                Command::execute(None, "set", bad).is_err(),
            ),
            ("hangup", Command::hangup(None, bad).is_err()),
            ("password", Login::password(bad).is_err()),
            ("user", Login::user(bad, "d", "p").is_err()),
            ("domain", Login::user("u", bad, "p").is_err()),
            ("user password", Login::user("u", "d", bad).is_err()),
            ("variable", Variables::new().set("v", bad).is_err()),
            ("template", Variables::new().template("v", bad).is_err()),
            ("variable name", Variables::new().set(bad, "x").is_err()),
        ] {
            assert!(refused, "{what}: {bad:?}");
        }
    }
    assert!(Command::sendmsg(None).unwrap().body(b"a\0b").is_err());
    assert!(Command::sendmsg(None).unwrap().body(b"a\r\n\r\nb").is_ok());
}

#[test]
fn words_that_would_change_the_command_are_refused() {
    assert!(Command::event(Format::Json, &["CUSTOM", "x::y"], &[]).is_err());
    assert!(Command::event(Format::Json, &[], &[]).is_err());
    assert!(Command::event(Format::Json, &["A B"], &[]).is_err());
    assert!(Command::api("", "x").is_err());
    assert!(Command::api("a b", "").is_err());
    assert!(Login::user("a:b", "d", "p").is_err());
    assert!(Login::user("a@b", "d", "p").is_err());
    assert!(Login::user("a", "d:e", "p").is_err());
    assert!(Login::password("").is_err());
    assert!(Login::password(" a b ").is_ok());
}

#[test]
fn the_headers_of_the_session_are_refused_in_any_case() {
    for name in ["Content-Length", "content-length", "JOB-UUID"] {
        let refused = Command::sendevent("X")
            .unwrap()
            .header(name, "1")
            .unwrap_err();
        assert!(matches!(refused, CommandError::Reserved(_)), "{name}");
    }
    let refused = Command::api("status", "")
        .unwrap()
        .header("console_execute", "true");
    assert_eq!(refused.unwrap_err(), CommandError::NoHeaders);
}

#[test]
fn a_command_has_a_limit() {
    assert!(Command::api("eval", &"x".repeat(MAX_COMMAND)).is_err());
    assert!(Command::api("eval", &"x".repeat(MAX_COMMAND - 100)).is_ok());
    let event = || Command::sendevent("X").unwrap();
    assert!(event().body(&vec![b'x'; MAX_COMMAND]).is_err());
    assert!(event().header("A", &"x".repeat(MAX_COMMAND)).is_err());
}

proptest! {
    #[test]
    fn no_input_makes_a_second_command(
        argument in "(?s).{0,40}", name in "(?s).{0,10}", value in "(?s).{0,20}",
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let commands = [
            Command::api("eval", &argument),
            Command::bgapi("eval", &argument),
            Command::filter(&name, &value),
            Command::event(Format::Json, &[&name], &[&value]),
            Command::sendevent(&name),
            Command::sendmsg(None).and_then(|it| it.header(&name, &value)).and_then(|it| it.body(&body)),
            Command::execute(Some(&name), &value, &argument),
        ];
        for command in commands.into_iter().flatten() {
            let bytes = command.to_bytes();
            let (frames, rest) = decode(Role::Server, [bytes.clone()]);
            prop_assert!(frames.len() == 1 && rest.is_empty(), "{:?}", bytes);
        }
    }
}

#[test]
fn the_bytes_of_a_command_are_one_frame_of_the_server_side() {
    let command = Command::execute(Some("4d3f"), "playback", "a b.wav").unwrap();
    let (frames, rest) = decode(Role::Server, [command.to_bytes()]);
    assert!(rest.is_empty());
    assert_eq!(frames[0].command(), Some(&b"sendmsg 4d3f"[..]));
    assert_eq!(frames[0].get("Execute-App-Name"), Some(&b"playback"[..]));
    assert_eq!(frames[0].body(), b"a b.wav");
}
