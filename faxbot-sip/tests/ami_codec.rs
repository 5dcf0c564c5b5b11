//! The codec and the messages of the manager interface, on real and on broken bytes.
#![cfg(test)]

mod wire_support;

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    ami::{
        Action, ActionError, AmiCodec, DecodeError, Kind, MAX_LINE, MAX_MESSAGE, Message, Role,
        server::{self, MessageBuilder},
    },
    session::Codec,
};
use faxbot_testkit::{
    random::Seed,
    replay::{Chunking, Direction, Recording},
};
use proptest::prelude::*;
use wire_support::ami::{decode, message};

fn client(name: &str, conn: u32) -> Vec<Message> {
    let (messages, rest) = decode(Role::Client, [load(name).server_bytes(conn)]);
    assert!(rest.is_empty(), "{name}: {} bytes left", rest.len());
    messages
}

fn load(name: &str) -> Recording {
    Recording::load(&format!("asterisk/{name}")).unwrap()
}

fn raws(messages: &[Message]) -> Vec<&Bytes> {
    messages.iter().map(Message::raw).collect()
}

#[test]
fn the_same_messages_come_from_every_split_into_two() {
    for name in [
        "01_login_md5_challenge",
        "05_qualify",
        "login_md5",
        "05_message_send",
    ] {
        let bytes = load(name).server_bytes(1);
        let (whole, _) = decode(Role::Client, [bytes.clone()]);
        for at in 0..=bytes.len() {
            let (split, rest) = decode(Role::Client, [bytes.slice(..at), bytes.slice(at..)]);
            assert_eq!(raws(&split), raws(&whole), "{name} at {at}");
            assert!(rest.is_empty());
        }
    }
}

#[test]
fn the_same_messages_come_byte_by_byte_and_at_random_borders() {
    let seed = Seed(7);
    for name in [
        "02_errors",
        "02_command_cli",
        "10_newline_in_value",
        "06_fax_t38_ok",
    ] {
        let recording = load(name);
        for (role, dir) in [
            (Role::Client, Direction::ToClient),
            (Role::Server, Direction::ToServer),
        ] {
            let (whole, _) = decode(role, recording.pieces(1, dir, Chunking::Whole));
            for chunking in [
                Chunking::Every(1),
                Chunking::Every(7),
                Chunking::Recorded,
                Chunking::Random { seed, max: 40 },
            ] {
                let (split, _) = decode(role, recording.pieces(1, dir, chunking));
                assert_eq!(raws(&split), raws(&whole), "{name} {chunking:?}");
            }
        }
    }
}

#[test]
fn the_banner_has_no_blank_line_and_is_its_own_message() {
    let messages = client("fullybooted", 1);
    assert_eq!(messages[0].kind(), Kind::Banner);
    assert_eq!(
        messages[0].banner().unwrap(),
        "Asterisk Call Manager/11.0.0"
    );
    assert_eq!(messages[1].response(), Some(&b"Error"[..]));
    assert_eq!(
        messages[1].get("message"),
        Some(&b"Asterisk is shutting down"[..])
    );
}

#[test]
fn a_bare_line_feed_does_not_end_a_message() {
    let wanted = "Uniqueid length exceeds maximum of 149\n";
    let found = [
        "02_errors",
        "11_channelid_prefix_conflict",
        "05_pjsip_show",
        "05_qualify",
    ]
    .into_iter()
    .flat_map(|name| client(name, 1))
    .filter(|message| {
        message
            .get("Message")
            .is_some_and(|text| text.ends_with(b"\n"))
    })
    .collect::<Vec<_>>();
    assert!(
        found
            .iter()
            .any(|message| message.get("Message") == Some(wanted.as_bytes()))
    );
    for message in found {
        assert_eq!(message.kind(), Kind::Response);
        assert!(message.action_id().is_some());
    }
}

#[test]
fn the_first_header_gives_the_kind() {
    let messages = client("03_originate_busy", 1);
    let outcome = messages
        .iter()
        .find(|message| message.is_event("OriginateResponse"))
        .unwrap();
    assert_eq!(outcome.kind(), Kind::Event);
    assert_eq!(outcome.response(), None);
    assert_eq!(outcome.get("Response"), Some(&b"Failure"[..]));

    let user = message("Event: UserEvent\r\nUserEvent: X\r\nEvent: Hangup\r\nResponse: y\r\n\r\n");
    assert!(user.is_event("userevent"));
    assert!(!user.is_event("Hangup"));
}

#[test]
fn a_message_without_event_or_response_is_passed_on_as_other() {
    for text in [
        "no colon\r\n\r\n",
        "X: y\r\n\r\n",
        ": \r\n\r\n",
        "\0\u{1}\r\n\r\n",
    ] {
        assert_eq!(message(text).kind(), Kind::Other, "{text:?}");
    }
}

#[test]
fn a_blank_line_too_many_does_not_swallow_the_next_message() {
    // `TestEvent` ends with one; the message behind it must keep its first header.
    for (name, next) in [
        ("message_send", "Response"),
        ("hangups", "Event"),
        ("bridge_hold", "Event"),
    ] {
        let messages = client(name, 1);
        let blank = messages
            .iter()
            .position(|message| message.kind() == Kind::Other)
            .unwrap();
        assert_eq!(&messages[blank].raw()[..], b"\r\n");
        assert!(messages[blank - 1].is_event("TestEvent"));
        assert_eq!(
            messages[blank + 1].headers().next().unwrap().0,
            next.as_bytes()
        );
    }
}

#[test]
fn a_forged_second_event_header_does_not_change_the_name() {
    let messages = client("10_newline_in_value", 1);
    let forged: Vec<_> = messages
        .iter()
        .filter(|message| message.get_all("Event").any(|name| name == b"Forged"))
        .collect();
    assert!(!forged.is_empty());
    assert!(forged.iter().all(|message| !message.is_event("Forged")));
    // The forged end of the message makes a response that no action asked for.
    assert!(
        messages
            .iter()
            .any(|m| m.kind() == Kind::Response && m.action_id().is_none())
    );
}

#[test]
fn header_names_are_compared_without_case() {
    let cdr = client("10_crlf_in_dialplan_value", 1)
        .into_iter()
        .chain(client("03_originate_busy", 1))
        .find(|message| message.is_event("cdr"))
        .unwrap();
    assert_eq!(cdr.get("Uniqueid"), cdr.get("UNIQUEID"));
    assert!(cdr.get_str("uniqueid").is_some());
}

#[test]
fn repeated_headers_keep_their_order_and_their_blanks() {
    let command = client("02_command_cli", 1)
        .into_iter()
        .find(|message| message.get_all("Output").count() > 5)
        .unwrap();
    let by_name: Vec<_> = command.get_all("output").collect();
    let in_order: Vec<_> = command
        .headers()
        .filter(|(name, _)| *name == b"Output")
        .map(|(_, value)| value)
        .collect();
    assert_eq!(by_name, in_order);
    let indented = client("02_command_cli", 1)
        .iter()
        .any(|message| message.get_all("Output").any(|line| line.starts_with(b" ")));
    assert!(indented, "the own blanks of a line are kept");
    let kept = message("Response: Success\r\nOutput:   two\r\nOutput: \r\n\r\n");
    assert_eq!(
        kept.get_all("Output").collect::<Vec<_>>(),
        [&b"  two"[..], b""]
    );
}

#[test]
fn a_value_that_is_no_utf_8_comes_unchanged() {
    let latin = client("10_header_forms", 1)
        .into_iter()
        .flat_map(|message| {
            message
                .headers()
                .map(|(_, value)| value.to_vec())
                .collect::<Vec<_>>()
        })
        .find(|value| std::str::from_utf8(value).is_err())
        .expect("a value in Latin-1");
    assert!(latin.contains(&0xe9));
}

#[test]
fn debug_of_a_message_shows_names_and_no_values() {
    let message = message("Event: Newchannel\r\nCallerIDNum: +15551230000\r\n\r\n");
    let shown = format!("{message:?} {:?}", message.headers());
    assert!(
        shown.contains("CallerIDNum") && !shown.contains("555"),
        "{shown}"
    );
}

#[test]
fn a_message_at_the_limit_passes_and_one_byte_more_ends_the_connection() {
    for split in [1, 1000, usize::MAX] {
        for (extra, fits) in [(0, true), (1, false)] {
            let max = 2000;
            let pad = max - "Event: X\r\nPad: \r\n\r\n".len() + extra;
            let text = format!("banner\r\nEvent: X\r\nPad: {}\r\n\r\n", "x".repeat(pad));
            let mut codec = AmiCodec::new(Role::Client, max);
            let mut buffer = BytesMut::new();
            let mut result = Ok(0);
            for piece in text.as_bytes().chunks(split) {
                buffer.extend_from_slice(piece);
                while let (Ok(count), Ok(Some(_))) = (&mut result, codec.decode(&mut buffer)) {
                    *count += 1;
                }
            }
            if !fits {
                result = codec.decode(&mut buffer).map(|_| 0);
            }
            let wanted = if fits {
                Ok(2)
            } else {
                Err(DecodeError::TooLong { max })
            };
            assert_eq!(result, wanted, "split {split} extra {extra}");
        }
    }
}

#[test]
fn a_message_without_end_is_an_error_as_soon_as_it_is_too_long() {
    for role in [Role::Client, Role::Server] {
        let mut codec = AmiCodec::new(role, 2000);
        let mut buffer = BytesMut::new();
        if role == Role::Client {
            buffer.extend_from_slice(b"banner\r\n");
            codec.decode(&mut buffer).unwrap();
        }
        buffer.extend_from_slice(&b"Event: X\r\n".repeat(200));
        assert_eq!(
            codec.decode(&mut buffer).map(|_| ()),
            Ok(()),
            "2,000 bytes may go on"
        );
        buffer.extend_from_slice(b"E");
        assert_eq!(
            codec.decode(&mut buffer).unwrap_err(),
            DecodeError::TooLong { max: 2000 }
        );
    }
}

#[test]
fn a_limit_of_nothing_still_takes_small_messages() {
    let mut codec = AmiCodec::new(Role::Server, 0);
    let mut buffer = BytesMut::from(&b"Action: Ping\r\n\r\n"[..]);
    assert!(codec.decode(&mut buffer).unwrap().is_some());
}

#[test]
fn a_codec_that_failed_stays_failed() {
    let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
    let mut buffer = BytesMut::from(&vec![b'x'; 300][..]);
    let error = codec.decode(&mut buffer).unwrap_err();
    assert_eq!(error, DecodeError::BannerTooLong { max: 256 });
    buffer.clear();
    buffer.extend_from_slice(b"Asterisk Call Manager/11.0.0\r\n");
    assert_eq!(codec.decode(&mut buffer).unwrap_err(), error);
}

#[test]
fn many_headers_and_long_positions_are_found() {
    for count in [1, 23, 24, 25, 200] {
        let lines: String = (0..count)
            .map(|n| format!("K{n}: {}\r\n", "v".repeat(400)))
            .collect();
        let message = message(&format!("Event: X\r\n{lines}\r\n"));
        assert_eq!(message.headers().count(), count + 1);
        let last = format!("K{}", count - 1);
        assert_eq!(message.get(&last).map(<[u8]>::len), Some(400));
    }
    // 24 lines and positions beyond 16 bits.
    let lines: String = (0..20)
        .map(|n| format!("K{n}: {}\r\n", "v".repeat(9000)))
        .collect();
    assert_eq!(
        message(&format!("Event: X\r\n{lines}\r\n"))
            .get("K19")
            .map(<[u8]>::len),
        Some(9000)
    );
}

#[test]
fn the_server_takes_bare_line_feeds_and_a_colon_without_blank() {
    let (actions, rest) = decode(
        Role::Server,
        [Bytes::from_static(
            b"action:Ping\nACTIONID:  7\n\nAction: \r\nAction: Status\r\nno colon\r\n\r\n\r\n",
        )],
    );
    assert!(rest.is_empty());
    assert_eq!(actions.len(), 3);
    assert_eq!(actions[0].action(), Some(&b"Ping"[..]));
    assert_eq!(actions[0].action_id(), Some(&b"7"[..]));
    assert_eq!(
        actions[1].action(),
        Some(&b"Status"[..]),
        "an empty Action is skipped"
    );
    assert_eq!(
        server::refusal(&actions[2]),
        Some("Missing action in request")
    );
    for (text, action) in [
        ("Action : Ping\r\n\r\n", None),
        (" Action: Ping\r\n\r\n", None),
        ("Action: Ping   \r\n\r\n", Some(&b"Ping   "[..])),
        ("Action: a\rb\r\n\r\n", Some(b"a\rb")),
        ("Action: One\r\nAction: Two\r\n\r\n", Some(b"One")),
    ] {
        let (actions, _) = decode(Role::Server, [Bytes::from(text)]);
        assert_eq!(actions[0].action(), action, "{text:?}");
    }
}

#[test]
fn the_server_side_refuses_what_asterisk_refuses() {
    let line = |len: usize| format!("Action: X\r\nPad: {}\r\n\r\n", "x".repeat(len - 5));
    let many = |count: usize| format!("Action: X\r\n{}\r\n", "V: 1\r\n".repeat(count - 1));
    for (text, refusal) in [
        (line(MAX_LINE), None),
        (
            line(MAX_LINE + 1),
            Some("Failed to parse message: line too long"),
        ),
        (many(128), None),
        (
            many(129),
            Some("Too many lines in message or allocation failure"),
        ),
    ] {
        let (actions, _) = decode(Role::Server, [Bytes::from(text)]);
        assert_eq!(server::refusal(&actions[0]), refusal);
    }
}

#[test]
fn a_built_message_is_the_message_that_comes_back() {
    let built = MessageBuilder::event("FullyBooted")
        .header("Privilege", "system,all")
        .header("Empty", "")
        .build()
        .unwrap();
    let mut wire = BytesMut::from(&server::banner("11.0.0").raw()[..]);
    AmiCodec::encode_message(&built, &mut wire);
    let (messages, _) = decode(Role::Client, [wire.freeze()]);
    assert_eq!(raws(&messages)[1], built.raw());
    assert_eq!(
        messages[1].headers().collect::<Vec<_>>(),
        built.headers().collect::<Vec<_>>()
    );
}

#[test]
fn an_action_is_what_the_server_side_reads() {
    let action = Action::new("Originate")
        .and_then(|action| action.id("7"))
        .and_then(|action| action.header("Channel", "Local/600@default"))
        .and_then(|action| action.header_bytes("CallerID", b"Zo\xe9"))
        .unwrap();
    let mut wire = BytesMut::new();
    AmiCodec::encode_action(&action, &mut wire);
    let (actions, _) = decode(Role::Server, [wire.freeze()]);
    assert_eq!(actions[0].action_id(), Some(&b"7"[..]));
    assert_eq!(actions[0].get("CallerID"), Some(&b"Zo\xe9"[..]));
    assert_eq!(actions[0].headers().count(), 4);
}

/// The variables that `main/app.c` (`__ast_app_separate_args`, with quotes and backslashes taken
/// away) makes of one `Variable` header.
fn variables(value: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut quoted, mut depth) = (vec![Vec::new()], false, 0_u32);
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                quoted = !quoted;
                continue;
            }
            b'\\' => {
                out.last_mut().unwrap().extend(bytes.next());
                continue;
            }
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b',' if !quoted && depth == 0 => {
                out.push(Vec::new());
                continue;
            }
            _ => {}
        }
        out.last_mut().unwrap().push(*byte);
    }
    out
}

#[test]
fn the_recorded_variables_come_out_as_the_server_showed_them() {
    for (header, want) in [
        (&b"V=a\\,b\\,c"[..], &[&b"V=a,b,c"[..]][..]),
        (b"V=\"a,b,c\"", &[b"V=a,b,c"]),
        (b"V=a,b,c", &[b"V=a", b"b", b"c"]),
        (b"A=1,B=2", &[b"A=1", b"B=2"]),
        (b"V=(a,b)", &[b"V=(a,b)"]),
        (b"V=\"say \\\"hi\\\"\"", &[b"V=say \"hi\""]),
    ] {
        assert_eq!(variables(header), want);
    }
    // The header that we write for the same values is the safe form of the recording.
    let sent = load("11_variable_commas").client_bytes(1);
    let action = Action::new("Originate")
        .unwrap()
        .variable("V", "a,b,c")
        .unwrap()
        .to_bytes();
    let line = action.split(|byte| *byte == b'\n').nth(1).unwrap();
    assert!(memmem(&sent, line));
}

fn memmem(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}

proptest! {
    #[test]
    fn no_input_makes_a_second_header(name in ".{0,12}", value in any::<Vec<u8>>()) {
        let built = Action::new("UserEvent").unwrap().header_bytes(&name, &value);
        if let Ok(action) = built {
            let (actions, rest) = decode(Role::Server, [action.to_bytes()]);
            prop_assert!(rest.is_empty());
            prop_assert_eq!(actions.len(), 1);
            prop_assert_eq!(actions[0].line_count(), 2);
            prop_assert_eq!(actions[0].get(&name), Some(value.trim_ascii_start()));
        } else {
            prop_assert!(!matches!(built, Err(ActionError::TooManyHeaders)));
        }
    }

    #[test]
    fn no_input_makes_a_second_variable(name in "[^=\r\n\0 \t]{1,12}", value in ".{0,60}") {
        let built = Action::new("Originate").unwrap().variable(&name, &value);
        if value.contains(['\r', '\n', '\0']) {
            prop_assert!(built.is_err());
        } else if let Ok(action) = built {
            let (actions, _) = decode(Role::Server, [action.to_bytes()]);
            prop_assert_eq!(actions.len(), 1);
            prop_assert_eq!(actions[0].line_count(), 2);
            let set = variables(actions[0].get("Variable").unwrap());
            prop_assert_eq!(set, vec![format!("{name}={value}").into_bytes()]);
        }
    }

    #[test]
    fn no_bytes_make_the_codec_panic_or_lose_any(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just(b"\r\n".to_vec()), Just(b"\n".to_vec()), Just(b"\r".to_vec()),
                Just(b"Event: X\r\n".to_vec()), Just(b"Response: \r\n\r\n".to_vec()),
                any::<Vec<u8>>(),
            ],
            0..40,
        ),
        server in any::<bool>(),
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let bytes = [&b"banner\r\n"[..], &pieces.concat()].concat();
        let (messages, rest) = decode(role, pieces_of(&bytes, 3));
        let mut joined: Vec<u8> = raws(&messages).into_iter().flatten().copied().collect();
        joined.extend_from_slice(&rest);
        prop_assert_eq!(joined, bytes);
        for message in &messages {
            for (name, _) in message.headers() {
                if let Ok(name) = std::str::from_utf8(name) {
                    prop_assert!(message.get(name).is_some());
                }
            }
        }
    }
}

fn pieces_of(bytes: &[u8], size: usize) -> Vec<Bytes> {
    bytes.chunks(size).map(Bytes::copy_from_slice).collect()
}
