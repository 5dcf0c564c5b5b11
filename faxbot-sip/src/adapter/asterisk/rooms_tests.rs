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
fn what_a_server_makes_grow_is_bounded() {
    let mut conferences = Conferences::default();
    for number in 0..=MAX_ROOMS {
        conferences.join(&format!("room-{number}"), "1.1".to_owned(), false);
    }
    for number in 0..=MAX_MEMBERS {
        conferences.join("room-0", format!("2.{number}"), false);
    }
    assert_eq!(conferences.rooms.len(), MAX_ROOMS);
    assert_eq!(conferences.rooms["room-0"].members.len(), MAX_MEMBERS);
    let all = |conferences: &Conferences| -> usize {
        conferences.list().iter().map(|(_, members)| members).sum()
    };
    for number in 0..MAX_ALL_MEMBERS {
        conferences.join(
            &format!("room-{}", number % MAX_ROOMS),
            format!("3.{number}"),
            false,
        );
    }
    assert_eq!(all(&conferences), MAX_ALL_MEMBERS);
    conferences.take_over("more", HashSet::from(["4.1".to_owned()]));
    assert_eq!(all(&conferences), MAX_ALL_MEMBERS);
}

#[test]
fn names_that_asterisk_cannot_have_are_not_kept() {
    let mut books = books();
    let long = "1".repeat(MAX_UNIQUEID + 1);
    for uniqueid in ["", &long] {
        let join = message("ConfbridgeJoin", &[("Uniqueid", uniqueid)]);
        assert!(books.conference_event(&join).is_empty());
    }
    let long = "x".repeat(MAX_NAME + 1);
    let mut join = message_of(&long, "ConfbridgeJoin", &[("Uniqueid", "1.1")]);
    assert!(books.conference_event(&join).is_empty());
    join = message("ConfbridgeJoin", &[("Uniqueid", "1.1")]);
    assert!(!books.conference_event(&join).is_empty());
}

#[test]
fn a_conference_is_the_same_in_capitals() {
    let mut conferences = Conferences::default();
    conferences.join("standup", "1.1".to_owned(), true);
    assert!(conferences.has("StandUp", "1.1"));
    conferences.will_record("STANDUP", "a.wav");
    let room = conferences.rooms.get_mut("standup").unwrap();
    assert_eq!(room.asked.len(), 1);
    conferences.not_recorded("StandUp", "a.wav");
    assert!(conferences.rooms["standup"].asked.is_empty());
}

#[test]
fn lists_after_a_gap_tell_only_of_what_changed() {
    let mut conferences = Conferences::default();
    conferences.join("same", "1.1".to_owned(), false);
    conferences.join("gone", "1.2".to_owned(), false);
    let set = |members: &[&str]| members.iter().map(|it| (*it).to_owned()).collect();
    let mut events = conferences.end_others(&set(&["same", "new"]));
    events.extend(conferences.take_over("same", set(&["1.1"])));
    events.extend(conferences.take_over("new", set(&["1.3", "1.4"])));
    // It ended between the two lists.
    events.extend(conferences.take_over("short", set(&[])));
    assert_eq!(counts(&events), [0, 2]);
    assert!(conferences.has("new", "1.4") && !conferences.has("gone", "1.2"));
}
#[test]
fn an_event_counts_for_more_than_a_list_and_talking_is_none() {
    let mut books = books();
    books.conferences.changed = Some(HashSet::new());
    let none = HashSet::new();
    books.conference_event(&message("ConfbridgeTalking", &[("Uniqueid", "1.1")]));
    assert!(!books.conferences.has_changed("standup"));
    books.conference_event(&message("ConfbridgeJoin", &[("Uniqueid", "1.1")]));
    assert!(books.conferences.end_others(&none).is_empty());
    assert!(books.conferences.has("standup", "1.1"));
    assert_eq!(counts(&books.conferences.end_others(&none)), [0]);
}
