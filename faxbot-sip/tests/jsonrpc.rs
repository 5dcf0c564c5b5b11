//! JSON-RPC of Kamailio and OpenSIPS on recorded, on any, and on broken bytes.
#![cfg(test)]

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    jsonrpc::{
        AnswerError, EventCodec, MAX_EVENT, MAX_ID, Notification, Outcome, Params, Request,
        RpcError, answer_id, decode_answer, parse_answer,
        server::{self, Asked},
    },
    session::Codec,
};
use faxbot_testkit::{
    fixtures,
    replay::{Direction, Recording},
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn recordings() -> Vec<Recording> {
    // The bursts are not part of the published package.
    let names = fixtures::all_names().unwrap().into_iter();
    let ours = names.filter(|name| {
        ["kamailio/", "opensips/", "bursts/opensips"]
            .iter()
            .any(|it| name.starts_with(it))
    });
    ours.map(|name| Recording::load_channels(&name).unwrap())
        .collect()
}

/// The events of a stream, one entry a connection.
fn streams() -> Vec<(String, Vec<Bytes>)> {
    let mut streams = Vec::new();
    for recording in recordings() {
        let recording = recording.channel("event_stream");
        for conn in recording.connections() {
            let chunks = recording.chunks_of(conn, Direction::ToServer);
            let pieces = chunks.map(|it| it.bytes.clone()).collect();
            streams.push((format!("{} {conn}", recording.name()), pieces));
        }
    }
    streams
}

fn frames(pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Bytes>, usize, bool) {
    let (mut codec, mut buffer) = (EventCodec::new(MAX_EVENT), BytesMut::new());
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, 0, true),
            }
        }
    }
    (frames, buffer.len(), false)
}

/// The body behind a head of HTTP, if the bytes have one.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    bytes.get(at + 4..).filter(|body| !body.is_empty())
}

#[test]
fn every_recorded_event_stream_is_read_to_its_last_byte() {
    let mut events = 0;
    for (name, pieces) in streams() {
        let (frames, left, failed) = frames(pieces);
        assert!(!failed && left == 0, "{name}: {left} bytes left");
        for frame in frames {
            let event = Notification::parse(&frame).expect(&name);
            assert!(!event.method.is_empty(), "{name}");
            events += 1;
        }
    }
    assert!(events > 150, "{events}");
}

#[test]
fn every_recorded_event_datagram_is_an_event() {
    let mut events = 0;
    for recording in recordings() {
        let recording = recording.channel("event_datagram");
        for chunk in recording.chunks() {
            let event = Notification::parse(&chunk.bytes);
            assert!(event.is_some(), "{}", recording.name());
            events += 1;
        }
    }
    assert!(events > 100, "{events}");
}

#[test]
fn a_recorded_state_change_has_its_parameters() {
    let recording = Recording::load_channels("opensips/03_event_stream_reliable_answered").unwrap();
    let bytes = recording
        .channel("event_stream")
        .bytes(2, Direction::ToServer);
    let (frames, ..) = frames([bytes]);
    let event = Notification::parse(&frames[0]).unwrap();
    assert_eq!(event.method, "E_DLG_STATE_CHANGED");
    assert_eq!(event.id, Some(666_550_014));
    assert_eq!(event.text("callid").as_deref(), Some("answered-1@rig"));
    assert_eq!(event.text("new_state").as_deref(), Some("2"));
}

#[test]
fn the_answers_to_reliable_events_that_were_recorded_are_those_we_give() {
    let recording = Recording::load_channels("opensips/03_event_stream_reliable_answered").unwrap();
    for chunk in recording
        .channel("event_stream")
        .chunks_of(2, Direction::ToClient)
    {
        let Ok(Outcome::Result(result)) =
            parse_answer(&chunk.bytes, answer_id(&chunk.bytes).unwrap())
        else {
            panic!("no result")
        };
        assert_eq!(result.get(), "\"OK\"");
    }
}

#[test]
fn every_recorded_answer_over_datagrams_is_read_or_is_no_answer_of_a_client_like_ours() {
    let (mut results, mut errors, mut others) = (0, 0, 0);
    for recording in recordings() {
        for channel in ["mi_datagram", "dgram"] {
            let recording = recording.channel(channel);
            for chunk in recording.chunks() {
                if chunk.dir != Direction::ToClient {
                    continue;
                }
                match answer_id(&chunk.bytes) {
                    Some(id) => match decode_answer::<Value>(&chunk.bytes, id) {
                        Ok(Outcome::Result(_)) => results += 1,
                        Ok(Outcome::Error(_)) => errors += 1,
                        Ok(_) => unreachable!(),
                        Err(error) => panic!("{}: {error}", recording.name()),
                    },
                    None => others += 1,
                }
            }
        }
    }
    assert!(
        results > 40 && errors > 4 && others > 4,
        "{results} {errors} {others}"
    );
}

#[test]
fn recorded_http_bodies_of_both_servers_are_answers_by_their_own_ids() {
    let (mut answers, mut nothing) = (0, 0);
    for name in [
        "kamailio/basics",
        "kamailio/dispatcher",
        "kamailio/methods",
        "opensips/01_jsonrpc_errors",
        "opensips/01_text_values",
    ] {
        let recording = Recording::load_channels(name).unwrap();
        let server = recording
            .chunks()
            .iter()
            .filter(|it| it.dir == Direction::ToClient);
        for body in server.filter_map(|chunk| body(&chunk.bytes)) {
            let Some(id) = answer_id(body) else {
                nothing += 1;
                continue;
            };
            answers += usize::from(parse_answer(body, id).is_ok());
        }
    }
    assert!(answers > 100 && nothing > 10, "{answers} {nothing}");
}

#[test]
fn the_recorded_answers_that_are_none_are_told_apart() {
    let table = [
        // To a request without a method, and to a batch: a success that is none.
        (
            "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{\n\t}\n}",
            AnswerError::MissingId,
        ),
        ("500 Internal error", AnswerError::NotAnObject),
        ("400 Parse_error", AnswerError::NotAnObject),
        (
            "<html><body>Unable to parse URL!</body></html>",
            AnswerError::NotJson,
        ),
        ("", AnswerError::NotJson),
    ];
    for (body, want) in table {
        assert_eq!(
            parse_answer(body.as_bytes(), 1).unwrap_err(),
            want,
            "{body}"
        );
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|it| Value::from(f64::from(it) / 8.0)),
        "[^\0]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec(("[^\0]{0,6}", inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn params() -> impl Strategy<Value = Params> {
    prop_oneof![
        Just(Params::None),
        prop::collection::vec(value(), 0..6).prop_map(Params::List),
        prop::collection::btree_map("[^\0]{1,8}", value(), 0..6)
            .prop_map(|pairs| Params::Named(pairs.into_iter().rev().collect())),
    ]
}

/// The form that a number has after it was written and read: the text is what counts.
fn text(value: &Value) -> String {
    value.to_string()
}

fn split(bytes: &[u8], mut cuts: Vec<usize>) -> Vec<Bytes> {
    cuts.iter_mut().for_each(|cut| *cut %= bytes.len() + 1);
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        pieces.push(Bytes::copy_from_slice(&bytes[from..cut]));
        from = cut;
    }
    pieces
}

proptest! {
    #[test]
    fn any_method_and_parameters_reach_the_server(
        method in "[a-zA-Z0-9_.:-]{1,30}",
        params in params(),
        id in 0..=MAX_ID,
    ) {
        let request = Request::new(method.clone(), params.clone()).unwrap();
        let bytes = request.encode(id);
        prop_assert!(bytes.len() <= request.max_len());
        let asked = Asked::parse(&bytes).unwrap();
        prop_assert_eq!(&asked.method, &method);
        prop_assert_eq!(asked.id, Some(json!(id)));
        prop_assert_eq!(
            serde_json::to_string(&asked.params).unwrap(),
            serde_json::to_string(&params).unwrap()
        );
        // No parameter makes a second request or a second frame.
        prop_assert_eq!(frames([bytes]).0.len(), 1);
    }

    #[test]
    fn any_result_and_any_error_come_back(
        result in value(),
        code: i64,
        message in ".{0,20}",
        id in 0..=MAX_ID,
    ) {
        let body = server::result(Some(&json!(id)), &result);
        prop_assert_eq!(answer_id(&body), Some(id));
        match decode_answer::<Value>(&body, id) {
            Ok(Outcome::Result(it)) => prop_assert_eq!(text(&it), text(&result)),
            other => prop_assert!(false, "{:?}", other),
        }
        let told = RpcError::new(code, message);
        let body = server::error(Some(&json!(id)), &told);
        match decode_answer::<Value>(&body, id) {
            Ok(Outcome::Error(it)) => prop_assert_eq!(it, told),
            other => prop_assert!(false, "{:?}", other),
        }
        let other = id.checked_sub(1).unwrap_or(1);
        prop_assert_eq!(parse_answer(&body, other).unwrap_err(), AnswerError::OtherId);
    }

    #[test]
    fn a_cut_answer_is_never_one(result in value(), at: prop::sample::Index) {
        let body = server::result(Some(&json!(7)), &result);
        let cut = &body[..at.index(body.len())];
        prop_assert!(decode_answer::<Value>(cut, 7).is_err());
        prop_assert_eq!(answer_id(cut), None);
    }

    #[test]
    fn any_events_come_through_however_they_are_split(
        events in prop::collection::vec(("[A-Z_]{1,12}", params(), any::<Option<i64>>()), 1..5),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let events: Vec<Bytes> = events
            .iter()
            .map(|(method, params, id)| server::event(method, params, *id))
            .collect();
        let stream = events.concat();
        let (found, left, failed) = frames(split(&stream, cuts));
        prop_assert_eq!((&found, left, failed), (&events, 0, false));
        for frame in found {
            prop_assert!(Notification::parse(&frame).is_some());
        }
    }

    #[test]
    fn no_bytes_panic_and_the_same_bytes_give_the_same_frames(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[{}\\[\\]\",:\\\\a0 \n]{0,200}".prop_map(String::into_bytes),
            "\\{\"(jsonrpc|method|params|id|result|error)\":.{0,40}\\}".prop_map(String::into_bytes),
        ],
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let whole = frames([Bytes::from(bytes.clone())]);
        let pieces = frames(split(&bytes, cuts));
        prop_assert_eq!(&whole, &pieces);
        for frame in whole.0.iter().map(|it| &it[..]).chain([&bytes[..]]) {
            let _ = Notification::parse(frame);
            let _ = Asked::parse(frame);
            let id = answer_id(frame);
            let parsed = parse_answer(frame, 7);
            let decoded = decode_answer::<Value>(frame, 7);
            prop_assert_eq!(parsed.is_err(), decoded.is_err());
            prop_assert!(parsed.is_err() || id == Some(7) || matches!(parsed, Ok(Outcome::Error(_))));
        }
    }
}

#[test]
fn a_flood_of_open_brackets_costs_its_bytes_and_no_depth() {
    for open in ["[", "{", "{\"a\":", "[{\"a\":["] {
        let mut codec = EventCodec::new(MAX_EVENT);
        let mut buffer = BytesMut::from("{\"a\":");
        let failed = (0..MAX_EVENT).any(|_| {
            buffer.extend_from_slice(open.as_bytes());
            codec.decode(&mut buffer).is_err()
        });
        assert!(failed, "{open}");
        assert!(Notification::parse(&buffer).is_none());
        assert!(parse_answer(&buffer, 1).is_err());
    }
}
