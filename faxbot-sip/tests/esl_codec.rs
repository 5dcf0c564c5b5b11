//! The codec and the frames of the event socket, on real and on broken bytes.
#![cfg(test)]

mod wire_support;

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    esl::{
        DecodeError, EslCodec, EventError, Format, Frame, Kind, MAX_FRAME, Role, encoding, server,
    },
    session::Codec,
};
use faxbot_testkit::{
    fixtures,
    random::Seed,
    replay::{Chunking, Direction, Recording},
};
use proptest::prelude::*;
use wire_support::esl::{bursts, decode, frame, recordings, role_of};

fn load(name: &str) -> Recording {
    Recording::load(&format!("freeswitch/{name}")).unwrap()
}

fn client(name: &str, conn: u32) -> Vec<Frame> {
    let (frames, rest) = decode(Role::Client, [load(name).server_bytes(conn)]);
    assert!(rest.is_empty(), "{name}: {} bytes left", rest.len());
    frames
}

fn raws(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|it| it.raw().to_vec()).collect()
}

/// Each frame with its borders.
fn borders(frames: &[Frame]) -> Vec<(Kind, Vec<u8>, Vec<u8>)> {
    frames
        .iter()
        .map(|it| (it.kind(), it.head().to_vec(), it.body().to_vec()))
        .collect()
}

fn events<'a>(frames: &'a [Frame], format: Format) -> Vec<faxbot_sip::protocol::esl::Event<'a>> {
    frames
        .iter()
        .filter(|it| it.kind() == Kind::Event(format))
        .map(|it| it.event().unwrap().unwrap())
        .collect()
}

fn named(name: &str, format: Format, header: &str, value: &str) -> Option<Vec<String>> {
    let frames = client(name, 1);
    let all = events(&frames, format);
    let found = all
        .iter()
        .find(|it| it.text(header).as_deref() == Some(value))?;
    Some(vec![found.text("Event-Name")?.into_owned()])
}

#[test]
fn every_recording_comes_back_byte_for_byte() {
    for recording in recordings().into_iter().chain(bursts()) {
        for conn in recording.connections() {
            for dir in [Direction::ToClient, Direction::ToServer] {
                let role = role_of(&recording, dir);
                let pieces = recording.chunks_of(conn, dir).map(|it| it.bytes.clone());
                let (frames, rest) = decode(role, pieces);
                let mut again = raws(&frames);
                again.extend_from_slice(&rest);
                let name = recording.name();
                assert_eq!(again, recording.bytes(conn, dir), "{name} {conn}");
                if role == Role::Client && !fixtures::is_burst(name) {
                    assert!(rest.is_empty(), "{name} {conn}: {} left", rest.len());
                    assert!(frames.iter().all(|it| it.kind() != Kind::Other), "{name}");
                }
            }
        }
    }
}

#[test]
fn every_event_of_every_recording_is_read_whole() {
    let mut kinds: HashMap<Kind, usize> = HashMap::new();
    for recording in recordings().into_iter().chain(bursts()) {
        for conn in recording.connections() {
            for dir in [Direction::ToClient, Direction::ToServer] {
                if role_of(&recording, dir) != Role::Client {
                    continue;
                }
                for frame in decode(Role::Client, [recording.bytes(conn, dir)]).0 {
                    *kinds.entry(frame.kind()).or_default() += 1;
                    let Some(event) = frame.event().unwrap() else {
                        continue;
                    };
                    assert!(event.name().is_some(), "{}", recording.name());
                    assert!(event.headers().count() > 5, "{}", recording.name());
                    // The inner length and the body agree.
                    let length = event.headers().filter(|(name, _)| name == "Content-Length");
                    if let Some((_, length)) = length.last() {
                        let bytes: usize = length.text().parse().unwrap();
                        assert_eq!(event.body().unwrap().len(), bytes, "{}", recording.name());
                    }
                }
            }
        }
    }
    for kind in [
        Kind::AuthRequest,
        Kind::Reply,
        Kind::ApiResponse,
        Kind::Event(Format::Plain),
        Kind::Event(Format::Json),
        Kind::Event(Format::Xml),
        Kind::Log,
        Kind::Disconnect,
        Kind::Rejection,
    ] {
        assert!(kinds.contains_key(&kind), "{kind:?}: {kinds:?}");
    }
}

#[test]
fn plain_events_written_again_are_the_recorded_bytes() {
    let mut count = 0;
    for name in [
        "03_originate_loopback_answer_plain",
        "02_bgapi",
        "05_fax_t38_ok_3pages",
        "02_header_encoding_every_ascii",
    ] {
        for frame in client(name, 1) {
            if frame.kind() != Kind::Event(Format::Plain) {
                continue;
            }
            let event = frame.event().unwrap().unwrap();
            let pairs: Vec<(String, String)> = event
                .headers()
                .filter(|(name, _)| name != "Content-Length")
                .map(|(name, value)| (name.into_owned(), value.text().into_owned()))
                .collect();
            // A literal escape in a value is lost on the wire.
            let lost = |(_, value): &(String, String)| value.contains('%');
            if pairs.iter().any(lost) {
                continue;
            }
            let pairs: Vec<_> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
            let again = server::event(Format::Plain, &pairs, event.body());
            assert_eq!(again, frame.raw(), "{name}");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn the_same_frames_come_from_every_split_into_two() {
    for name in [
        "01_auth_bad",
        "02_negative_content_length",
        "01_rude_rejection_acl",
    ] {
        let recording = load(name);
        for dir in [Direction::ToClient, Direction::ToServer] {
            let role = role_of(&recording, dir);
            let bytes = recording.bytes(1, dir);
            let (whole, _) = decode(role, [bytes.clone()]);
            for at in 0..=bytes.len() {
                let (split, _) = decode(role, [bytes.slice(..at), bytes.slice(at..)]);
                assert_eq!(borders(&split), borders(&whole), "{name} at {at}");
            }
        }
    }
}

#[test]
fn the_same_frames_come_byte_by_byte_and_at_random_borders() {
    for name in [
        "02_framing_and_lf_injection",
        "02_sendevent_and_encoding",
        "07_outbound_async_full_linger",
        "02_log_lines",
    ] {
        let recording = load(name);
        for dir in [Direction::ToClient, Direction::ToServer] {
            let role = role_of(&recording, dir);
            let (whole, _) = decode(role, recording.pieces(1, dir, Chunking::Whole));
            for chunking in [
                Chunking::Every(1),
                Chunking::Every(7),
                Chunking::Recorded,
                Chunking::Random {
                    seed: Seed(7),
                    max: 40,
                },
            ] {
                let (split, _) = decode(role, recording.pieces(1, dir, chunking));
                assert_eq!(borders(&split), borders(&whole), "{name} {chunking:?}");
            }
        }
    }
}

#[test]
fn the_next_head_is_glued_to_a_body() {
    let frames = client("02_framing_and_lf_injection", 1);
    let at = frames
        .iter()
        .position(|it| it.body() == b"right-after-body")
        .unwrap();
    assert_eq!(frames[at].kind(), Kind::ApiResponse);
    assert_eq!(frames[at + 1].kind(), Kind::Event(Format::Plain));
}

#[test]
fn a_length_counts_bytes_and_no_characters() {
    let frames = decode(
        Role::Client,
        [server::api_response("Gr\u{fc}\u{df}e".as_bytes())],
    )
    .0;
    assert_eq!(frames[0].text(), "Gr\u{fc}\u{df}e");
    assert_eq!(frames[0].get("Content-Length"), Some(&b"7"[..]));
}

#[test]
fn a_length_of_the_server_that_is_no_number_or_too_large_ends_the_connection() {
    for (length, want) in [
        ("abc", DecodeError::ContentLength),
        ("", DecodeError::ContentLength),
        ("5x", DecodeError::ContentLength),
        ("-", DecodeError::ContentLength),
        ("-5x", DecodeError::ContentLength),
        ("+5", DecodeError::ContentLength),
        ("2000", DecodeError::TooLong { max: 1024 }),
        (
            "99999999999999999999999",
            DecodeError::TooLong { max: 1024 },
        ),
    ] {
        let text = format!("Content-Type: api/response\nContent-Length: {length}\n\n");
        let mut codec = EslCodec::new(Role::Client, 1024);
        let mut wire = BytesMut::from(text.as_bytes());
        assert_eq!(codec.decode(&mut wire).unwrap_err(), want, "{length}");
        assert_eq!(codec.decode(&mut wire).unwrap_err(), want, "{length}");
    }
}

#[test]
fn a_negative_length_is_no_body() {
    let wire = "Content-Type: api/response\nContent-Length: -5\n\nContent-Type: auth/request\n\n";
    let (frames, _) = decode(Role::Client, [Bytes::from(wire)]);
    assert_eq!(
        frames.iter().map(Frame::kind).collect::<Vec<_>>(),
        [Kind::ApiResponse, Kind::AuthRequest]
    );
    // A client's, as the server takes it: negative and no number are no body.
    let recording = load("02_negative_content_length");
    let (frames, rest) = decode(Role::Server, [recording.client_bytes(1)]);
    assert!(rest.is_empty());
    let commands: Vec<_> = frames.iter().map(|it| it.command().unwrap()).collect();
    assert_eq!(
        commands[1..4],
        [
            b"sendevent CUSTOM".as_slice(),
            b"sendevent CUSTOM",
            b"api eval still-here"
        ]
    );
}

#[test]
fn a_frame_at_the_limit_passes_and_one_byte_more_ends_the_connection() {
    let frame = |bytes: usize| {
        let head = "Content-Type: api/response\nContent-Length: 900\n";
        let pad = bytes - head.len() - "X: \n\n".len() - 900;
        format!("{head}X: {}\n\n{}", "x".repeat(pad), "b".repeat(900))
    };
    for (bytes, ok) in [(1024, true), (1025, false)] {
        for piece in [1, 100, 4096] {
            let mut codec = EslCodec::new(Role::Client, 1024);
            let mut buffer = BytesMut::new();
            let mut result = Ok(None);
            for chunk in frame(bytes).as_bytes().chunks(piece) {
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
}

#[test]
fn header_lines_without_end_are_an_error() {
    for line in ["x", "Header: value\n", "y\r"] {
        let mut codec = EslCodec::new(Role::Client, 2048);
        let mut wire = BytesMut::from(line.repeat(2049).as_bytes());
        assert_eq!(
            codec.decode(&mut wire).unwrap_err(),
            DecodeError::HeadTooLong { max: 2048 }
        );
    }
}

#[test]
fn a_value_may_hold_colons() {
    let reply = frame("Content-Type: command/reply\nReply-Text: +OK a: b:c\n\n");
    assert_eq!(reply.text(), "+OK a: b:c");
    assert_eq!(
        named(
            "02_sendevent_and_encoding",
            Format::Plain,
            "Colon",
            "a: b:c"
        ),
        Some(vec!["CUSTOM".to_owned()])
    );
}

#[test]
fn the_reply_to_connect_holds_a_channel_and_no_length() {
    let recording = load("07_outbound_async_full_linger");
    let (frames, _) = decode(Role::Client, [recording.client_bytes(1)]);
    let reply = &frames[0];
    assert_eq!(reply.kind(), Kind::Reply);
    assert!(reply.is_channel());
    assert_eq!(reply.text(), "+OK\n");
    assert_eq!(reply.get("Control"), Some(&b"full"[..]));
    let channel = reply.event().unwrap().unwrap();
    assert_eq!(channel.name().as_deref(), Some("CHANNEL_DATA"));
    assert_eq!(channel.headers().count(), reply.headers().count());
    assert!(channel.headers().count() > 100);
    assert_eq!(channel.body(), None);
}

#[test]
fn a_linger_notice_is_not_the_end() {
    let recording = load("07_outbound_async_full_linger");
    let (frames, _) = decode(Role::Client, [recording.client_bytes(1)]);
    let notices: Vec<_> = frames
        .iter()
        .filter(|it| it.kind() == Kind::Disconnect)
        .collect();
    assert_eq!(
        notices.iter().map(|it| it.is_linger()).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(notices[0].get("Linger-Time"), Some(&b"3"[..]));
    assert!(notices[0].body().is_empty());
}

#[test]
fn a_rejection_comes_in_place_of_the_request_for_a_login() {
    let kinds: Vec<_> = client("01_rude_rejection_acl", 1)
        .iter()
        .map(Frame::kind)
        .collect();
    assert_eq!(kinds, [Kind::Rejection, Kind::Disconnect]);
    let (ours, _) = decode(Role::Client, [server::rejection()]);
    assert_eq!(raws(&ours), load("01_rude_rejection_acl").server_bytes(1));
}

#[test]
fn a_log_line_is_a_frame_of_its_own() {
    let frames = client("02_log_lines", 1);
    let line = frames
        .iter()
        .find(|it| it.text().trim_end().ends_with("hello from esl"))
        .unwrap();
    assert_eq!(line.kind(), Kind::Log);
    assert_eq!(line.get("Log-Level"), Some(&b"5"[..]));
    let text = line.text().into_owned();
    assert_eq!(
        decode(Role::Client, [server::log(5, &text)]).0[0].raw(),
        line.raw()
    );
}

#[test]
fn the_three_formats_of_one_event_say_the_same() {
    let frames = client("02_sendevent_and_encoding", 1);
    for format in [Format::Plain, Format::Json, Format::Xml] {
        let all = events(&frames, format);
        let event = all.iter().find(|it| it.get("Arr").is_some()).unwrap();
        assert_eq!(event.list("Arr"), ["one", "two", "three"], "{format:?}");
        assert_eq!(event.list("Arr2"), ["single"], "{format:?}");
        assert_eq!(event.list("Dup"), ["1", "2"], "{format:?}");
        assert_eq!(event.list("spaced  "), ["lead and trail   "], "{format:?}");
        assert_eq!(event.text("Plus").unwrap(), "a+b", "{format:?}");
        assert_eq!(
            event.text("Quote").unwrap(),
            "\"q\" 'a' <x> & \\ back",
            "{format:?}"
        );
        assert_eq!(
            event.text("Utf8").unwrap(),
            "Gr\u{fc}\u{df}e \u{65e5}\u{672c}"
        );
        // The value of the sender was `100% %41 %zz`; only JSON has it.
        let want = if format == Format::Json {
            "100% %41 %zz"
        } else {
            "100% A %zz"
        };
        assert_eq!(event.text("Pct").unwrap(), want, "{format:?}");
        assert_eq!(event.subclass().unwrap(), "demo::x");
    }
}

#[test]
fn a_body_is_raw_and_its_length_is_the_last_one_in_its_exact_case() {
    let frames = client("02_sendevent_and_encoding", 1);
    for format in [Format::Plain, Format::Json, Format::Xml] {
        let all = events(&frames, format);
        let event = all
            .iter()
            .find(|it| it.text("Note").as_deref() == Some("with body"));
        let event = event.unwrap();
        assert!(event.get("content-length").is_some(), "{format:?}");
        let body = event.body().unwrap();
        assert_eq!(body, b"line one\nline two: 100% <&", "{format:?}");
    }
}

#[test]
fn the_result_of_a_job_ends_with_its_line_feed_in_each_format() {
    for (name, format) in [
        ("03_originate_loopback_answer_plain", Format::Plain),
        ("03_originate_loopback_answer_json", Format::Json),
        ("03_originate_loopback_answer_xml", Format::Xml),
    ] {
        let frames = client(name, 1);
        let all = events(&frames, format);
        let job = all
            .iter()
            .find(|it| it.name().as_deref() == Some("BACKGROUND_JOB"))
            .unwrap();
        let body = String::from_utf8(job.body().unwrap().to_vec()).unwrap();
        assert!(
            body.starts_with("+OK ") && body.ends_with('\n') && body.len() == 41,
            "{body:?}"
        );
    }
}

#[test]
fn every_ascii_character_comes_through_in_each_format() {
    let want: String = ('!'..='~').collect();
    let frames = client("02_header_encoding_every_ascii", 1);
    for format in [Format::Plain, Format::Json, Format::Xml] {
        let all = events(&frames, format);
        let event = all.iter().find(|it| it.get("Ascii").is_some()).unwrap();
        assert_eq!(event.text("Ascii").unwrap(), want, "{format:?}");
        assert_eq!(
            event.text("Ctl").unwrap(),
            "\u{1} \u{2} \u{1b}".replace(' ', "")
        );
    }
}

#[test]
fn names_that_differ_in_case_are_two_headers() {
    let frames = client("03_originate_loopback_answer_plain", 1);
    let all = events(&frames, Format::Plain);
    let event = all
        .iter()
        .find(|it| it.get("channel-read-codec-name").is_some())
        .unwrap();
    assert!(event.get("Channel-Read-Codec-Name").is_some());
    assert!(event.get("CHANNEL-READ-CODEC-NAME").is_none());
}

#[test]
fn json_keys_that_repeat_are_all_kept() {
    let text =
        r#"{"Event-Name":"X","A":"1","A":"2","n":7,"t":true,"z":null,"o":{"x":[1]},"_body":"b\n"}"#;
    let wire = format!(
        "Content-Length: {}\nContent-Type: text/event-json\n\n{text}",
        text.len()
    );
    let frame = frame(&wire);
    let event = frame.event().unwrap().unwrap();
    assert_eq!(event.list("A"), ["1", "2"]);
    assert_eq!(
        (event.list("n"), event.list("t")),
        (vec!["7".to_owned()], vec!["true".to_owned()])
    );
    assert!(event.get("o").is_none() && event.get("z").is_none());
    assert_eq!(event.body(), Some(&b"b\n"[..]));
}

#[test]
fn a_body_that_is_not_of_its_format_is_an_error_and_no_end() {
    for (format, text, want) in [
        ("json", "{", EventError::Json),
        ("json", "[]", EventError::Json),
        ("json", "{\"a\":[[1]]}", EventError::Json),
        ("xml", "<event>", EventError::Xml),
    ] {
        let wire = format!(
            "Content-Length: {}\nContent-Type: text/event-{format}\n\n{text}",
            text.len()
        );
        assert_eq!(frame(&wire).event().unwrap_err(), want, "{text}");
    }
    let many = format!("{{{}\"z\":\"\"}}", "\"a\":\"\",".repeat(10_000));
    let wire = format!(
        "Content-Length: {}\nContent-Type: text/event-json\n\n{many}",
        many.len()
    );
    assert_eq!(
        frame(&wire).event().unwrap_err(),
        EventError::TooManyHeaders
    );
}

#[test]
fn json_that_is_no_utf_8_is_read_with_replacements() {
    let body = b"{\"Event-Name\":\"MESSAGE\",\"from\":\"Zo\xeb\"}";
    let head = format!(
        "Content-Length: {}\nContent-Type: text/event-json\n\n",
        body.len()
    );
    let (frames, _) = decode(
        Role::Client,
        [Bytes::from([head.as_bytes(), body].concat())],
    );
    let event = frames[0].event().unwrap().unwrap();
    assert_eq!(event.text("from").unwrap(), "Zo\u{fffd}");
}

#[test]
fn the_server_side_reads_a_command_as_freeswitch_does() {
    for (wire, commands) in [
        ("api eval crlf\r\n\r\n", vec!["api eval crlf"]),
        ("api eval mixed\r\n\n", vec!["api eval mixed"]),
        ("\n\n\r\n\r\n\napi x\n\n", vec!["api x"]),
        ("api eval nul\0after\n\n", vec!["api eval nul"]),
        ("api eval bare\rcr\n\n", vec!["api eval bare"]),
        (
            "sendevent CUSTOM\nCONTENT-length:   5\n\nhelloapi y\n\n",
            vec!["sendevent CUSTOM", "api y"],
        ),
        ("bgapi a:b\nJob-UUID: j1\n\n", vec!["bgapi a:b"]),
    ] {
        let (frames, rest) = decode(Role::Server, [Bytes::from(wire)]);
        assert!(rest.is_empty(), "{wire:?}");
        let found: Vec<_> = frames
            .iter()
            .map(|it| String::from_utf8(it.command().unwrap().to_vec()).unwrap())
            .collect();
        assert_eq!(found, commands, "{wire:?}");
    }
    let (frames, _) = decode(
        Role::Server,
        [Bytes::from("bgapi a:b\njob-uuid:  j1\r\n\n")],
    );
    assert_eq!(frames[0].get("Job-UUID"), Some(&b"j1"[..]));
    assert_eq!(frames[0].headers().count(), 1);
}

#[test]
fn debug_of_a_frame_or_event_shows_no_value() {
    let wire = server::event(
        Format::Plain,
        &[("Event-Name", "X"), ("Caller", "+15551234567")],
        None,
    );
    let (frames, _) = decode(Role::Client, [wire]);
    let event = frames[0].event().unwrap().unwrap();
    let shown = format!("{:?} {event:?} {:?}", frames[0], event.get("Caller"));
    assert!(!shown.contains("555"), "{shown}");
}

proptest! {
    #[test]
    fn a_plain_event_says_the_same_however_it_is_read(
        lines in prop::collection::vec(
            ("[A-Ca-c:%\u{eb} -]{0,6}", "[ -~\u{fc}]{0,12}|(%[0-9A-Fa-fx]{0,2}|[ab]){0,9}"),
            0..12,
        ),
        cut in any::<bool>(),
    ) {
        let mut text: String = lines.iter().map(|(a, b)| format!("{a}: {b}\n")).collect();
        text += if cut { "" } else { "\n" };
        let length = text.len();
        let event = frame(&format!("Content-Length: {length}\nContent-Type: text/event-plain\n\n{text}"));
        let event = event.event().unwrap().unwrap();
        let headers: Vec<_> = event
            .headers()
            .map(|(name, value)| (name.into_owned(), value.text().into_owned()))
            .collect();
        let mut each = Vec::new();
        event.each_text(|name, value| each.push((name.to_owned(), value.to_owned())));
        prop_assert_eq!(&headers, &each);
        // A line, as the wire has it: up to the first colon, and behind it without one blank.
        let want = lines.iter().map(|(name, value)| {
            let line = format!("{name}: {value}");
            let (name, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value);
            (name.to_owned(), encoding::decode_text(value.as_bytes()).into_owned())
        });
        prop_assert_eq!(&headers, &want.collect::<Vec<_>>());
        for (name, _) in headers.iter().filter(|it| !it.0.is_empty()) {
            let first = headers.iter().find(|it| it.0 == *name).map(|it| it.1.clone());
            let got = event.get(name).map(|it| it.text().into_owned());
            prop_assert_eq!(event.text(name).map(|it| it.into_owned()), first.clone());
            prop_assert_eq!(got, first);
        }
        for name in ["", ":", "A:", "a: b\nc", "B\n"] {
            prop_assert!(event.text(name).is_none());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_codec_panic_or_lose_any(
        bytes in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\n'), Just(b':'), Just(b'C'), Just(b'1')
        ], 0..600),
        at in 0_usize..600,
    ) {
        let at = at.min(bytes.len());
        for role in [Role::Client, Role::Server] {
            let mut codec = EslCodec::new(role, MAX_FRAME);
            let mut buffer = BytesMut::new();
            let mut again = Vec::new();
            for piece in [&bytes[..at], &bytes[at..]] {
                buffer.extend_from_slice(piece);
                while let Ok(Some(frame)) = codec.decode(&mut buffer) {
                    again.extend_from_slice(frame.raw());
                    prop_assert!(frame.headers().all(|(name, value)| name.len() + value.len() < bytes.len()));
                }
            }
            again.extend_from_slice(&buffer);
            prop_assert_eq!(&again, &bytes);
        }
    }

    #[test]
    fn events_come_back_in_each_format(
        values in prop::collection::vec("[^\u{0}%]{1,20}", 1..6),
        body in prop::option::of("[^\u{0}\r]{1,60}"),
    ) {
        let mut pairs = vec![("Event-Name".to_owned(), "CUSTOM".to_owned())];
        let values = values.into_iter().filter(|it| !it.starts_with("ARRAY::"));
        pairs.extend(values.enumerate().map(|(n, value)| (format!("H{n}"), value)));
        let borrowed: Vec<_> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        for format in [Format::Plain, Format::Json, Format::Xml] {
            let multi = format == Format::Xml && pairs.iter().any(|(_, value)| value.contains('\n'));
            if multi {
                continue;
            }
            let wire = server::event(format, &borrowed, body.as_deref().map(str::as_bytes));
            let (frames, rest) = decode(Role::Client, [wire]);
            prop_assert_eq!((frames.len(), rest.len()), (1, 0));
            let event = frames[0].event().unwrap().unwrap();
            for (name, value) in &pairs {
                let found = event.text(name).unwrap();
                prop_assert_eq!(&*found, value.as_str());
            }
            prop_assert_eq!(event.body(), body.as_deref().map(str::as_bytes));
        }
    }
}
