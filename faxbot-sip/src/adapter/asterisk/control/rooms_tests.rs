//! Who is in which conference, by events and by lists.

use bytes::BytesMut;

use super::*;
use crate::protocol::{
    ami::{AmiCodec, MAX_MESSAGE, Role},
    session::Codec as _,
};

fn counts(events: &[SipEvent]) -> Vec<usize> {
    let count = |event: &SipEvent| match event {
        SipEvent::ConferenceChanged { members, .. } => Some(*members),
        _ => None,
    };
    events.iter().filter_map(count).collect()
}

fn message(name: &str, headers: &[(&str, &str)]) -> Message {
    message_of("standup", name, headers)
}

fn message_of(room: &str, name: &str, headers: &[(&str, &str)]) -> Message {
    let start = "Asterisk Call Manager/11.0.0\r\n";
    let mut text =
        format!("{start}Event: {name}\r\nConference: {room}\r\nBridgeNumChannels: 7\r\n");
    for (header, value) in headers {
        text += &format!("{header}: {value}\r\n");
    }
    text += "\r\n";
    let mut bytes = BytesMut::from(text.as_str());
    let mut codec = AmiCodec::new(Role::Client, MAX_MESSAGE);
    codec.decode(&mut bytes).unwrap().unwrap();
    codec.decode(&mut bytes).unwrap().unwrap()
}

fn books() -> Books {
    let mut books = Books::new();
    books.moves.context = Some("faxbot-faxbot".to_owned());
    books
}

#[test]
fn members_are_counted_by_their_channels() {
    let mut books = books();
    let mut events = Vec::new();
    for (name, channel) in [
        ("ConfbridgeJoin", "1.1"),
        ("ConfbridgeJoin", "1.2"),
        ("ConfbridgeJoin", "1.2"),
        ("ConfbridgeMute", "1.2"),
        ("ConfbridgeLeave", "1.1"),
        ("ConfbridgeLeave", "1.9"),
        ("ConfbridgeLeave", "1.2"),
        ("ConfbridgeEnd", ""),
    ] {
        events.extend(books.conference_event(&message(name, &[("Uniqueid", channel)])));
    }
    assert_eq!(counts(&events), [1, 2, 1, 0]);
    assert!(books.conferences.list().is_empty());
}

#[test]
fn a_conference_that_ends_at_once_has_nobody() {
    let mut books = books();
    books.conference_event(&message("ConfbridgeJoin", &[("Uniqueid", "1.1")]));
    let events = books.conference_event(&message("ConfbridgeEnd", &[]));
    assert_eq!(counts(&events), [0]);
}

#[test]
fn a_recording_has_its_file_where_the_name_is_known() {
    let ours = [("Context", "faxbot-faxbot"), ("Exten", "conference")];
    for (came_by, known) in [(&ours[..], true), (&[][..], false)] {
        let mut books = books();
        let mut headers = vec![("Uniqueid", "1.1")];
        headers.extend_from_slice(came_by);
        books.conference_event(&message("ConfbridgeJoin", &headers));
        books.conferences.will_record("standup", "refused.wav");
        books.conferences.will_record("standup", "a.wav");
        books.conferences.will_record("standup", "late.wav");
        books.conferences.not_recorded("standup", "refused.wav");
        for (name, runs) in [("ConfbridgeRecord", true), ("ConfbridgeStopRecord", false)] {
            let events = books.conference_event(&message(name, &[]));
            let [SipEvent::RecordingChanged { running, file, .. }] = &events[..] else {
                panic!("{events:?}");
            };
            let file = file.as_ref().map(|file| file.expose().as_str());
            assert_eq!((*running, file), (runs, known.then_some("a.wav")));
        }
        assert!(
            books
                .conference_event(&message("ConfbridgeStopRecord", &[]))
                .is_empty()
        );
    }
}

#[test]
fn a_recording_ends_with_its_conference() {
    let mut books = books();
    books.conference_event(&message("ConfbridgeJoin", &[("Uniqueid", "1.1")]));
    books.conference_event(&message("ConfbridgeRecord", &[]));
    books.conference_event(&message("ConfbridgeLeave", &[("Uniqueid", "1.1")]));
    let events = books.conference_event(&message("ConfbridgeEnd", &[]));
    assert!(matches!(
        &events[..],
        [SipEvent::RecordingChanged { running: false, .. }]
    ));
}

#[test]
fn an_event_counts_for_more_than_a_list_and_talking_is_none() {
    let mut books = books();
    books.conferences.is_being_listed();
    let none = HashSet::new();
    books.conference_event(&message("ConfbridgeTalking", &[("Uniqueid", "1.1")]));
    assert!(!books.conferences.has_changed("standup"));
    books.conference_event(&message("ConfbridgeJoin", &[("Uniqueid", "1.1")]));
    assert!(books.conferences.end_others(&none).is_empty());
    assert!(books.conferences.has("standup", "1.1"));
    assert_eq!(counts(&books.conferences.end_others(&none)), [0]);
}
