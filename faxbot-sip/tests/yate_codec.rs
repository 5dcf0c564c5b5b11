//! The codec, the lines and the commands of the external module port, on real and on broken bytes.
#![cfg(test)]

mod wire_support;

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    guard::{Part, Unsendable},
    session::Codec,
    yate::{
        Ask, Command, CommandError, DecodeError, Frame, Kind, Login, MAX_COMMAND, Role, Verb,
        YateCodec, encoding, server, status,
    },
};
use faxbot_testkit::{
    random::Seed,
    replay::{Chunking, Direction, Recording},
};
use proptest::prelude::*;
use wire_support::yate::{bursts, decode, frame, recordings, role_of};

fn load(name: &str) -> Recording {
    Recording::load(&format!("yate/{name}")).unwrap()
}

/// What the engine said.
fn client(name: &str) -> Vec<Frame> {
    let (frames, rest) = decode(Role::Client, [load(name).server_bytes(1)]);
    assert!(rest.is_empty(), "{name}: {} bytes left", rest.len());
    frames
}

fn read_server(bytes: impl Into<Bytes>) -> Vec<Frame> {
    let (frames, rest) = decode(Role::Server, [bytes.into()]);
    assert!(rest.is_empty());
    frames
}

/// Each line with its borders.
fn borders(frames: &[Frame]) -> Vec<(Kind, Vec<u8>, Vec<u8>)> {
    frames
        .iter()
        .map(|it| (it.kind(), it.line().to_vec(), it.raw().to_vec()))
        .collect()
}

/// Messages of that name in a recording of the engine.
fn named<'a>(frames: &'a [Frame], name: &str) -> Vec<faxbot_sip::protocol::yate::Message<'a>> {
    let messages = frames.iter().filter_map(Frame::message);
    messages.filter(|message| message.is(name)).collect()
}

#[test]
fn every_recording_comes_back_byte_for_byte() {
    for recording in recordings().into_iter().chain(bursts()) {
        for conn in recording.connections() {
            for dir in [Direction::ToClient, Direction::ToServer] {
                let pieces = recording.chunks_of(conn, dir).map(|it| it.bytes.clone());
                let (frames, rest) = decode(role_of(dir), pieces);
                let mut again: Vec<u8> = frames.iter().flat_map(|it| it.raw().to_vec()).collect();
                again.extend_from_slice(&rest);
                let name = recording.name();
                assert_eq!(again, recording.bytes(conn, dir), "{name} {conn}");
                assert!(rest.is_empty(), "{name} {conn}: {} left", rest.len());
            }
        }
    }
}

#[test]
fn every_line_of_every_recording_is_known_and_every_value_valid() {
    let mut kinds: HashMap<Kind, usize> = HashMap::new();
    for recording in recordings().into_iter().chain(bursts()) {
        for frame in decode(Role::Client, [recording.server_bytes(1)]).0 {
            let name = recording.name();
            *kinds.entry(frame.kind()).or_default() += 1;
            assert_ne!(frame.kind(), Kind::Other, "{name}");
            if let Some(message) = frame.message() {
                let masquerade = message.name().is_empty();
                assert!(!masquerade || name.contains("call_control"), "{name}");
                assert_eq!(message.time().is_some(), frame.kind() == Kind::Request);
                for param in message.params() {
                    assert!(
                        !param.name().is_empty() && param.value().is_some(),
                        "{name}"
                    );
                }
                let fields = frame.line().split(|byte| *byte == b':');
                assert!(
                    fields.map(encoding::is_valid).skip(1).all(|it| it),
                    "{name}"
                );
            }
        }
    }
    for kind in [
        Kind::Request,
        Kind::Answer,
        Kind::Watched,
        Kind::Error,
        Kind::Reply(Verb::Install),
        Kind::Reply(Verb::Uninstall),
        Kind::Reply(Verb::Watch),
        Kind::Reply(Verb::Unwatch),
        Kind::Reply(Verb::Setlocal),
        Kind::Reply(Verb::Quit),
    ] {
        assert!(kinds.contains_key(&kind), "{kind:?}: {kinds:?}");
    }
}

#[test]
fn every_line_of_the_engine_written_again_is_the_recorded_one() {
    let mut count = 0;
    for recording in recordings() {
        for frame in decode(Role::Client, [recording.server_bytes(1)]).0 {
            let again = if let Some(message) = frame.message() {
                let pairs: Vec<_> = message
                    .params()
                    .map(|it| (it.name().into_owned(), it.text().unwrap().into_owned()))
                    .collect();
                let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
                let id = encoding::unescape_text(message.id());
                let (name, retval) = (message.name(), message.retval());
                match message.time() {
                    Some(time) => server::request(&id, time, &name, &retval, &pairs),
                    None => server::answer(&id, message.is_processed(), &name, &retval, &pairs),
                }
            } else if let Some(it) = frame.confirmation() {
                let priority = it.priority.unwrap_or_default();
                match it.verb {
                    Verb::Install => server::installed(priority, &it.name, it.ok),
                    Verb::Uninstall => server::uninstalled(priority, &it.name, it.ok),
                    Verb::Watch => server::watching(&it.name, it.ok),
                    Verb::Unwatch => server::unwatched(&it.name, it.ok),
                    Verb::Setlocal => server::local(&it.name, &it.value.unwrap(), it.ok),
                    _ => server::quit(),
                }
            } else {
                server::error(&frame.refused().unwrap())
            };
            assert_eq!(again, frame.raw(), "{}", recording.name());
            count += 1;
        }
    }
    assert!(count > 2000, "{count}");
}

#[test]
fn the_same_lines_come_from_every_split_into_two() {
    for name in ["handshake", "message_send", "sip_in_message_auth_required"] {
        let recording = load(name);
        for dir in [Direction::ToClient, Direction::ToServer] {
            let bytes = recording.bytes(1, dir);
            let (whole, _) = decode(role_of(dir), [bytes.clone()]);
            for at in 0..=bytes.len() {
                let (split, _) = decode(role_of(dir), [bytes.slice(..at), bytes.slice(at..)]);
                assert_eq!(borders(&split), borders(&whole), "{name} at {at}");
            }
        }
    }
}

#[test]
fn the_same_lines_come_byte_by_byte_and_at_random_borders() {
    for name in [
        "originate_tone",
        "sip_in_route_installed",
        "fax_ok_3_pages_local",
    ] {
        let recording = load(name);
        for dir in [Direction::ToClient, Direction::ToServer] {
            let (whole, _) = decode(role_of(dir), recording.pieces(1, dir, Chunking::Whole));
            for chunking in [
                Chunking::Every(1),
                Chunking::Every(7),
                Chunking::Recorded,
                Chunking::Random {
                    seed: Seed(7),
                    max: 40,
                },
            ] {
                let (split, _) = decode(role_of(dir), recording.pieces(1, dir, chunking));
                assert_eq!(borders(&split), borders(&whole), "{name} {chunking:?}");
            }
        }
    }
}

#[test]
fn a_line_at_the_limit_passes_and_one_byte_more_ends_the_connection() {
    for (bytes, ok) in [(1024, true), (1025, false)] {
        for piece in [1, 100, 4096] {
            let mut codec = YateCodec::new(Role::Client, 1024);
            let mut buffer = BytesMut::new();
            let mut result = Ok(None);
            let line = format!("{}\n", "x".repeat(bytes - 1));
            for chunk in line.as_bytes().chunks(piece) {
                buffer.extend_from_slice(chunk);
                result = codec.decode(&mut buffer);
            }
            assert_eq!(
                result.is_ok_and(|it| it.is_some()),
                ok,
                "{bytes} by {piece}"
            );
        }
    }
    let mut codec = YateCodec::new(Role::Client, 2048);
    let mut wire = BytesMut::from(&b"x".repeat(2049)[..]);
    for _ in 0..2 {
        assert_eq!(
            codec.decode(&mut wire),
            Err(DecodeError::TooLong { max: 2048 })
        );
    }
}

#[test]
fn the_server_side_reads_lines_as_the_engine_does() {
    let wire = "\n\r\n%%>watch:a\r\n%%>watch:b\0%%>watch:c\rd\n%%>quit\n";
    let frames = read_server(wire);
    let lines: Vec<_> = frames.iter().map(Frame::line).collect();
    let want: [&[u8]; 6] = [
        b"",
        b"",
        b"%%>watch:a",
        b"%%>watch:b",
        b"%%>watch:c\rd",
        b"%%>quit",
    ];
    assert_eq!(lines, want);
    // The recorded CRLF was read as a whole message.
    let sent = read_server(load("handshake").client_bytes(1));
    let crlf = sent.iter().find(|it| it.raw().ends_with(b"\r\n")).unwrap();
    assert!(crlf.message().unwrap().is("engine.status") && !server::is_error(crlf));
}

#[test]
fn the_engine_reports_the_recorded_lines_that_it_could_not_read() {
    let recording = load("handshake");
    let sent = read_server(recording.client_bytes(1));
    // The role was given by a line that only comes first.
    let bad: Vec<_> = sent
        .iter()
        .skip(1)
        .filter(|it| server::is_error(it))
        .collect();
    let reported: Vec<_> = client("handshake")
        .into_iter()
        .filter(|it| it.kind() == Kind::Error)
        .collect();
    assert_eq!((bad.len(), reported.len()), (4, 4));
    for (bad, reported) in bad.iter().zip(&reported) {
        assert_eq!(server::error(bad), reported.raw());
        assert_eq!(reported.refused().unwrap().line(), bad.line());
        assert_eq!(reported.refused().unwrap().kind(), bad.kind());
    }
}

#[test]
fn commands_are_read_as_the_engine_reads_them() {
    for (line, want) in [
        (
            "%%>install:50:call.route:called:a%zb",
            Ask::Install {
                priority: 50,
                name: "call.route".into(),
                filter: Some(("called".into(), "a:b".into())),
            },
        ),
        (
            "%%>install::test",
            Ask::Install {
                priority: 100,
                name: "test".into(),
                filter: None,
            },
        ),
        ("%%>uninstall:test", Ask::Uninstall("test".into())),
        ("%%>watch:", Ask::Watch("".into())),
        ("%%>unwatch:x", Ask::Unwatch("x".into())),
        (
            "%%>setlocal:timeout: 5000 ",
            Ask::Setlocal {
                name: "timeout".into(),
                value: "5000".into(),
            },
        ),
        ("%%>output:hello: there", Ask::Output("hello: there".into())),
        (
            "%%>debug:5:a%zb",
            Ask::Debug {
                level: "5".into(),
                text: "a:b".into(),
            },
        ),
        (
            "%%>connect:channel:dumb/1:audio",
            Ask::Connect {
                role: "channel".into(),
                channel: "dumb/1".into(),
                data: "audio".into(),
            },
        ),
        ("%%>quit", Ask::Quit),
    ] {
        let frames = read_server(format!("{line}\n"));
        assert_eq!(frames[0].ask(), Some(want), "{line}");
    }
}

#[test]
fn unknown_lines_are_kept_as_they_are() {
    for line in [
        "",
        "garbage",
        "%%",
        "%%>",
        "%%<bogus:1",
        "%%>watch",
        "%%>quit:",
        "%%<quit:now",
        "%%>message",
        "%%<message",
        "Error in:",
        "%%=message:1:true:m:",
    ] {
        let frame = frame(line);
        assert_eq!(frame.kind(), Kind::Other, "{line}");
        assert_eq!(frame.line(), line.as_bytes());
        assert!(frame.message().is_none() && frame.ask().is_none());
        assert!(frame.confirmation().is_none() && frame.refused().is_none());
    }
}

#[test]
fn fields_that_are_missing_are_empty() {
    for line in ["%%<message:1", "%%<message:1:true", "%%>message:1:x:m"] {
        let frame = frame(line);
        let message = frame.message().unwrap();
        assert_eq!(message.id(), b"1");
        assert_eq!((message.retval(), message.params().count()), ("".into(), 0));
        assert_eq!(message.time(), None);
    }
}

#[test]
fn escapes_of_every_field_are_undone() {
    let line = "%%<message:a:true:no%zname:100%%%J:k%}1=v%z=%%1:caller=Zo\u{eb}:gone::x=";
    let frame = frame(line);
    let message = frame.message().unwrap();
    assert!(message.is("no:name") && message.is_processed());
    assert_eq!(
        (message.name(), message.retval()),
        ("no:name".into(), "100%\n".into())
    );
    let pairs: Vec<_> = message
        .params()
        .map(|it| (it.name().into_owned(), it.text().map(|it| it.into_owned())))
        .collect();
    let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&**n, v.as_deref())).collect();
    assert_eq!(
        pairs,
        [
            ("k=1", Some("v:=%1")),
            ("caller", Some("Zo\u{eb}")),
            ("gone", None),
            ("x", Some(""))
        ]
    );
    assert_eq!(message.text("k=1").unwrap(), "v:=%1");
    assert_eq!(message.text("gone"), None);
}

#[test]
fn a_recorded_value_with_every_kind_of_escape_is_read() {
    let frames = client("handshake");
    let message = named(&frames, "no.such.message").remove(0);
    assert_eq!(message.get("a").unwrap(), &b"b:c%d\n"[..]);
    // An id of the module comes back escaped as it was.
    assert!(
        frames
            .iter()
            .filter_map(Frame::message)
            .any(|it| it.id() == b"id%z1")
    );
}

#[test]
fn a_name_that_comes_again_keeps_both_values() {
    let frames = client("sip_in_route_installed");
    let asked = frames.iter().find(|it| it.kind() == Kind::Request).unwrap();
    let message = asked.message().unwrap();
    assert!(message.is("call.route") && !message.is_processed());
    assert_eq!(
        message.all("address").collect::<Vec<_>>(),
        ["127.0.0.1:5091"; 2]
    );
    let order: Vec<_> = message.params().map(|it| it.name().into_owned()).collect();
    assert_eq!(&order[..4], ["id", "module", "status", "address"]);
}

#[test]
fn a_watched_message_has_no_id_and_says_whether_it_was_handled() {
    let frames = client("originate_tone");
    let watched: Vec<_> = frames
        .iter()
        .filter(|it| it.kind() == Kind::Watched)
        .collect();
    assert!(
        watched
            .iter()
            .all(|it| it.message().unwrap().id().is_empty())
    );
    let frames = client("sip_out_answered_remote_bye");
    assert!(
        named(&frames, "chan.startup")
            .iter()
            .all(|it| !it.is_processed())
    );
}

#[test]
fn processed_says_nothing_of_success() {
    let frames = client("message_xsip_generate");
    let codes: Vec<_> = named(&frames, "xsip.generate")
        .iter()
        .filter(|it| !it.id().is_empty())
        .map(|it| (it.is_processed(), it.text("code").map(|it| it.into_owned())))
        .collect();
    assert!(codes.contains(&(true, Some("200".to_owned()))), "{codes:?}");
    assert!(codes.contains(&(true, Some("408".to_owned()))), "{codes:?}");
    let frames = client("call_control_hold_attach_record_conf");
    let notified = named(&frames, "chan.notify");
    let eof =
        |it: &faxbot_sip::protocol::yate::Message<'_>| it.text("reason").as_deref() == Some("eof");
    assert!(notified.iter().any(eof));
    assert!(
        named(&frames, "chan.attach")
            .iter()
            .all(|it| !it.is_processed())
    );
}

#[test]
fn an_answer_to_a_masquerade_without_a_message_has_no_name() {
    let frames = client("call_control_hold_attach_record_conf");
    assert!(
        frames
            .iter()
            .filter_map(Frame::message)
            .any(|it| it.name().is_empty())
    );
}

#[test]
fn answers_to_commands_are_not_escaped() {
    for (line, value) in [
        ("%%<setlocal:engine.configpath:C:/yate:true", "C:/yate"),
        ("%%<setlocal:reason:100%:true", "100%"),
        ("%%<setlocal:id::false", ""),
    ] {
        let frame = frame(line);
        let answer = frame.confirmation().unwrap();
        assert_eq!(answer.value.as_deref(), Some(value), "{line}");
        assert_eq!(answer.ok, !line.ends_with("false"));
    }
    let frames = client("handshake");
    let answers: Vec<_> = frames.iter().filter_map(Frame::confirmation).collect();
    let of = |verb| answers.iter().filter(move |it| it.verb == verb);
    let installs: Vec<_> = of(Verb::Install).map(|it| (it.priority, it.ok)).collect();
    assert_eq!(installs, [(Some(50), true), (Some(50), false)]);
    let gone: Vec<_> = of(Verb::Uninstall).map(|it| (it.priority, it.ok)).collect();
    assert_eq!(gone, [(Some(50), true), (Some(0), false)]);
    let watches: Vec<_> = of(Verb::Watch).map(|it| (&*it.name, it.ok)).collect();
    assert_eq!(watches, [("chan.startup", true), ("chan.startup", false)]);
    let version = of(Verb::Setlocal).find(|it| it.name == "engine.version");
    assert_eq!(version.unwrap().value.as_deref(), Some("6.4.1"));
}

#[test]
fn the_recorded_status_of_modules_is_read() {
    let frames = client("engine_timer_and_status");
    let all = named(&frames, "engine.status");
    let retval = all[0].retval();
    let modules: Vec<_> = status::modules(&retval).collect();
    assert!(!all[0].is_processed() && modules.len() > 10);
    assert_eq!(modules[0].head_value("version"), Some("6.4.1"));
    let sip = modules.iter().find(|it| it.name() == "sip").unwrap();
    assert_eq!(sip.value("chans"), Some("0"));
    // With calls.
    let frames = client("conference_two_sip_legs");
    let retvals = named(&frames, "engine.status");
    let retval = retvals
        .iter()
        .find(|it| !it.id().is_empty())
        .unwrap()
        .retval();
    let module = status::modules(&retval).next().unwrap();
    assert_eq!((module.name(), module.value("rooms")), ("conf", Some("1")));
    let legs: Vec<_> = module
        .items()
        .map(|it| (it.id(), it.field(0).unwrap(), it.field(2).unwrap()))
        .collect();
    assert_eq!(
        legs,
        [
            ("conf/2", "outgoing", "sip/11"),
            ("conf/3", "outgoing", "sip/12")
        ]
    );
}

#[test]
fn commands_are_written_as_they_were_recorded() {
    let ok = |command: Result<Command, CommandError>| command.unwrap().with_id("app-1");
    for (bytes, want) in [
        (
            ok(Command::watch("chan.startup")),
            "%%>watch:chan.startup\n",
        ),
        (ok(Command::unwatch("nope")), "%%>unwatch:nope\n"),
        (
            ok(Command::install(Some(50), "call.route").and_then(|it| it.filter("called", "600"))),
            "%%>install:50:call.route:called:600\n",
        ),
        (ok(Command::install(None, "x")), "%%>install::x\n"),
        (
            ok(Command::install(None, "x").and_then(|it| it.filter("a:b", ":%"))),
            "%%>install::x:a%zb:%z%%\n",
        ),
        (
            ok(Command::uninstall("call.route")),
            "%%>uninstall:call.route\n",
        ),
        (
            ok(Command::setlocal("timeout", "5000")),
            "%%>setlocal:timeout:5000\n",
        ),
        (
            ok(Command::query("engine.version")),
            "%%>setlocal:engine.version:\n",
        ),
        (ok(Command::output("a: b%")), "%%>output:a: b%\n"),
        (ok(Command::debug(200, "a: b%")), "%%>debug:10:a%z b%%\n"),
        (
            ok(Command::message("engine.status")),
            "%%>message:app-1:0:engine.status:\n",
        ),
        (
            ok(Command::message("no.such.message").and_then(|it| it.param_lines("a", "b:c%d\n"))),
            "%%>message:app-1:0:no.such.message::a=b%zc%%d%J\n",
        ),
        (
            ok(Command::message("m").and_then(|it| it.param("k:1", b"\xff\x01")?.retval("r:"))),
            "%%>message:app-1:0:m:r%z:k%z1=",
        ),
    ] {
        assert!(bytes.starts_with(want.as_bytes()), "{want}");
        let frames = read_server(bytes);
        assert_eq!(frames.len(), 1);
        assert!(!server::is_error(&frames[0]), "{want}");
    }
}

#[test]
fn a_line_break_or_nul_in_any_argument_is_refused() {
    for bad in ["a\nb", "a\rb", "a\0b", "\n%%>quit"] {
        let message = || Command::message("m").unwrap();
        let install = || Command::install(None, "m").unwrap();
        let all = [
            Command::message(bad),
            Command::install(None, bad),
            install().filter(bad, "v"),
            install().filter("k", bad),
            Command::uninstall(bad),
            Command::watch(bad),
            Command::unwatch(bad),
            Command::setlocal(bad, "v"),
            Command::setlocal("k", bad),
            Command::query(bad),
            Command::output(bad),
            Command::debug(5, bad),
            message().param(bad, "v"),
            message().param("k", bad),
            message().param_lines(bad, "v"),
            message().retval(bad),
        ];
        for (at, command) in all.into_iter().enumerate() {
            assert!(command.is_err(), "{bad:?} in {at}");
        }
        assert!(Login::role(bad, None, None).is_err());
        assert!(Login::role("channel", Some(bad), None).is_err());
    }
    assert!(
        Command::message("m")
            .unwrap()
            .param_lines("k", "a\0")
            .is_err()
    );
}

#[test]
fn what_the_engine_would_read_as_something_else_is_refused() {
    let message = || Command::message("m").unwrap();
    for command in [
        // A colon starts the next field; the engine does not read `%}` back.
        Command::message("a:b"),
        Command::watch(""),
        Command::watch("a b"),
        Command::setlocal("a:b", ""),
        message().param("a=b", "v"),
        message().param("", "v"),
        message().without("k"),
        message().filter("k", "v"),
        Command::watch("m").unwrap().param("k", "v"),
        Command::watch("m").unwrap().retval("v"),
        Command::install(None, "m").unwrap().filter("", "v"),
        Command::install(None, "m")
            .unwrap()
            .filter("a", "b")
            .unwrap()
            .filter("c", "d"),
    ] {
        assert!(command.is_err(), "{command:?}");
    }
    assert!(Login::new().command(Command::output("x").unwrap()).is_err());
    assert!(Login::new().required(message()).is_err());
    assert!(Login::role("channel", None, Some("audio")).is_err());
}

#[test]
fn a_command_has_a_limit() {
    let value = |bytes: usize| Command::message("m").unwrap().param("k", "v".repeat(bytes));
    let error = value(MAX_COMMAND).unwrap_err();
    assert!(matches!(
        error,
        CommandError::Value {
            source: Unsendable::TooLong {
                part: Part::Line,
                ..
            },
            ..
        }
    ));
    // Escapes count, and so do id and keyword: what exists fits the engine's buffer.
    assert!(
        Command::message("m")
            .unwrap()
            .param("k", ":".repeat(40_000))
            .is_err()
    );
    let longest = value(65_400).unwrap().with_id(&"f".repeat(53));
    assert!(longest.len() <= MAX_COMMAND + 1 && longest.len() > 65_400);
    assert!(Command::output(&"x".repeat(MAX_COMMAND)).is_err());
}

#[test]
fn no_value_shows_in_debug() {
    let line = "%%<message:1:true:call.execute:55512345:caller=+15551234567:path=/x/555.tif";
    let frame = frame(line);
    let message = frame.message().unwrap();
    let command = Command::message("call.execute")
        .unwrap()
        .param("called", "555")
        .unwrap();
    let answer = wire_support::yate::frame("%%<setlocal:id:555:true");
    let asked = read_server("%%>install:1:m:called:555\n").remove(0);
    let module = status::Module::parse("name=fax;chans=1;fax/1=answered|/x/555.tif|").unwrap();
    let bad = Command::message("m")
        .unwrap()
        .param("k", "555\n")
        .unwrap_err();
    let params: Vec<_> = message.params().collect();
    let shown = format!(
        "{frame:?} {message:?} {params:?} {command:?} {:?} {:?} {module:?} {:?} {bad:?} {bad}",
        answer.confirmation(),
        asked.ask(),
        module.items().collect::<Vec<_>>(),
    );
    assert!(!shown.contains("555"), "{shown}");
}

proptest! {
    #[test]
    fn every_value_survives_its_way_to_the_engine_and_back(
        values in prop::collection::vec(prop::collection::vec(prop_oneof![
            1_u8.., Just(b'%'), Just(b':'), Just(b'='), Just(b'\n'), Just(b'z'), Just(b'}')
        ], 0..60), 1..6),
        names in prop::collection::vec("[^\u{0}\r\n=]{1,12}", 6),
        retval in "[^\u{0}\r\n]{0,30}",
    ) {
        let mut command = Command::message("call.execute").unwrap().retval(&retval).unwrap();
        for (name, value) in names.iter().zip(&values) {
            let mut wire = Vec::new();
            encoding::escape(value, &mut wire);
            prop_assert!(encoding::is_valid(&wire));
            prop_assert!(!wire.contains(&b':') && wire.iter().all(|it| *it >= b' '));
            let back = encoding::unescape(&wire);
            prop_assert_eq!(&*back, &value[..]);
            command = command.param_lines(name, value).unwrap();
        }
        let frames = read_server(command.with_id("app-1"));
        prop_assert_eq!(frames.len(), 1);
        prop_assert!(!server::is_error(&frames[0]));
        let message = frames[0].message().unwrap();
        prop_assert_eq!(message.retval(), retval);
        let read: Vec<_> = message
            .params()
            .map(|it| (it.name().into_owned(), it.value().unwrap().into_owned()))
            .collect();
        let want: Vec<_> = names.iter().cloned().zip(values).collect();
        prop_assert_eq!(read, want);
    }

    #[test]
    fn no_bytes_make_the_codec_panic_or_lose_any(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\n'), Just(b':'), Just(b'%'), Just(b'<'), Just(b'\r')
        ], 0..600),
        keyword in prop::sample::select(vec!["", "%%<message:", "%%>message:", "%%<install:", "%%>install:", "Error in: "]),
        at in 0_usize..600,
    ) {
        let bytes = [keyword.as_bytes(), &bytes].concat();
        let at = at.min(bytes.len());
        for role in [Role::Client, Role::Server] {
            let pieces = [&bytes[..at], &bytes[at..]].map(Bytes::copy_from_slice);
            let (frames, rest) = decode(role, pieces);
            let mut again = Vec::new();
            for frame in &frames {
                again.extend_from_slice(frame.raw());
                let _ = (frame.ask(), frame.confirmation(), frame.refused(), server::is_error(frame));
                if let Some(message) = frame.message() {
                    let lengths = message.params().map(|it| it.value().map_or(0, |it| it.len()));
                    prop_assert!(lengths.sum::<usize>() <= bytes.len());
                    let _ = status::modules(&message.retval()).map(|it| it.items().count()).sum::<usize>();
                }
            }
            again.extend_from_slice(&rest);
            prop_assert_eq!(&again, &bytes);
        }
    }
}
