//! What events of the server do to calls that orders move.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use faxbot_core::{
    Timestamp,
    id::CallId,
    sip::{AdapterKind, CallState, Direction, SipEvent},
};

use crate::{
    adapter::{
        books::{Calling, NewLine, Plan, Sign},
        calls::Now,
        freeswitch::{
            abilities::Abilities, config::FreeswitchConfig, outcome::channel_uuid, state::Desk,
        },
        hub::Book as _,
    },
    protocol::{
        esl::{EslCodec, Frame, MAX_FRAME, Role},
        session::Codec as _,
    },
};

struct Bench {
    desk: Desk,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        let config = FreeswitchConfig::from_url("esl://:x@h?dial=user/{number}").unwrap();
        Self {
            desk: Desk::new(AdapterKind::FREESWITCH, Abilities::hoped_for(&config)),
            now: Now {
                instant: Instant::now(),
                wall: Timestamp::from_unix_seconds(1_795_248_000).unwrap(),
            },
        }
    }

    /// A call that is answered, and its channel.
    fn up(&mut self) -> (CallId, String) {
        let id = CallId::new();
        let own = channel_uuid(id);
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: None,
            to: None,
            own: Some(own.clone()),
            ring_timeout: Duration::from_secs(30),
            plan: Plan::Single,
            kind: "call",
            once_answered: false,
        };
        self.desk.open(new, self.now).unwrap();
        self.desk.requested(id, self.now);
        self.desk.own_is(id, Sign::Up, self.now);
        (id, own)
    }

    fn hears(&mut self, name: &str, headers: &[(&str, &str)]) -> Vec<SipEvent> {
        let frame = frame(name, headers);
        let event = frame.event().unwrap().unwrap();
        self.desk.event(&event, self.now)
    }

    fn of(&mut self, name: &str, uuid: &str) -> Vec<SipEvent> {
        self.hears(name, &[("Unique-ID", uuid)])
    }

    fn bridge(&mut self, name: &str, a: &str, b: &str) {
        let headers = [
            ("Unique-ID", a),
            ("Bridge-A-Unique-ID", a),
            ("Bridge-B-Unique-ID", b),
        ];
        self.hears(name, &headers);
    }

    fn joined(&self, id: CallId) -> Option<&str> {
        self.desk.lines[&id].joined.as_deref()
    }
}

fn frame(name: &str, headers: &[(&str, &str)]) -> Frame {
    let first = ("Event-Name", name);
    let all = std::iter::once(&first).chain(headers);
    let object: serde_json::Map<String, serde_json::Value> = all
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    let body = serde_json::to_string(&object).unwrap();
    let text = format!(
        "Content-Length: {}\nContent-Type: text/event-json\n\n{body}",
        body.len()
    );
    let mut input = BytesMut::from(text.as_bytes());
    let mut codec = EslCodec::new(Role::Client, MAX_FRAME);
    codec.decode(&mut input).unwrap().unwrap()
}

#[test]
fn a_far_end_that_holds_is_told_of_and_our_own_hold_is_not() {
    let mut bench = Bench::new();
    let (id, own) = bench.up();
    for (name, holds) in [("CHANNEL_HOLD", true), ("CHANNEL_UNHOLD", false)] {
        let told = bench.of(name, &own);
        let [
            SipEvent::MediaStateChanged {
                id: of,
                remote_hold,
            },
        ] = told.as_slice()
        else {
            panic!("{told:?}");
        };
        assert_eq!((*of, *remote_hold), (Some(id), holds));
    }
    bench.desk.will_hold(id);
    for (name, then) in [
        ("CHANNEL_HOLD", CallState::OnHold),
        ("CHANNEL_UNHOLD", CallState::Connected),
    ] {
        let told = bench.of(name, &own);
        assert!(
            matches!(told.as_slice(), [SipEvent::CallStateChanged(change)] if change.to == then)
        );
    }
}

#[test]
fn a_digit_is_told_with_its_length_and_what_is_none_is_not() {
    let mut bench = Bench::new();
    let (id, own) = bench.up();
    for (digit, samples, told) in [
        ("5", "800", Some(('5', Some(100)))),
        ("a", "2000", Some(('A', Some(250)))),
        ("#", "soon", Some(('#', None))),
        ("x", "800", None),
        ("", "800", None),
    ] {
        let headers = [
            ("Unique-ID", own.as_str()),
            ("DTMF-Digit", digit),
            ("DTMF-Duration", samples),
        ];
        let events = bench.hears("DTMF", &headers);
        let found = events.first().map(|event| match event {
            SipEvent::DtmfReceived {
                id: of,
                digit,
                duration,
            } => {
                assert_eq!(*of, Some(id));
                (*digit, duration.map(|time| time.as_millis()))
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(found, told, "{digit}");
    }
}

#[test]
fn a_recording_of_ours_is_told_once_and_one_of_others_is_not() {
    let mut bench = Bench::new();
    let (id, own) = bench.up();
    let ours = format!("/rec/faxbot-{own}-1.wav");
    let mut record = |name: &str, file: &str| {
        let headers = [("Unique-ID", own.as_str()), ("Record-File-Path", file)];
        bench.hears(name, &headers).len()
    };
    assert_eq!(record("RECORD_START", "/rec/call.wav"), 0);
    assert_eq!(record("RECORD_START", &ours), 1);
    assert_eq!(record("RECORD_START", &ours), 0);
    assert_eq!(record("RECORD_STOP", "/rec/call.wav"), 0);
    assert_eq!(record("RECORD_STOP", &ours), 1);
    assert_eq!(record("RECORD_STOP", &ours), 0);
    assert!(bench.desk.lines[&id].recording.is_empty());
}

#[test]
fn who_leaves_a_bridge_late_does_not_part_those_who_talk_now() {
    let mut bench = Bench::new();
    let ((one, a), (two, b)) = (bench.up(), bench.up());
    bench.bridge("CHANNEL_BRIDGE", &a, "somebody");
    bench.bridge("CHANNEL_BRIDGE", &a, &b);
    bench.bridge("CHANNEL_UNBRIDGE", &a, "somebody");
    assert_eq!(bench.desk.talks_with(one), Some(two));
    assert_eq!(bench.desk.talks_with(two), Some(one));
    // The event comes for the first one only.
    bench.bridge("CHANNEL_UNBRIDGE", &a, &b);
    assert_eq!((bench.joined(one), bench.joined(two)), (None, None));
}

#[test]
fn the_party_of_a_transfer_says_by_its_own_end_why_it_was_not_reached() {
    let mut bench = Bench::new();
    let (id, own) = bench.up();
    bench.desk.joins(id, "party");
    let line = bench.desk.lines.get_mut(&id).unwrap();
    line.moves.calling = Some(Calling::of("party".to_owned()));
    let headers = [
        ("Unique-ID", "party"),
        ("variable_hangup_cause", "USER_BUSY"),
        ("variable_sip_term_status", "486"),
    ];
    bench.hears("CHANNEL_HANGUP_COMPLETE", &headers);
    bench.of("CHANNEL_PARK", &own);
    let calling = bench.desk.lines[&id].moves.calling.as_ref().unwrap();
    assert!(calling.ended && !calling.answered);
    let causes = calling.causes.as_ref().unwrap();
    assert_eq!((causes.q850, causes.sip_status), (Some(17), Some(486)));
    assert_eq!(bench.desk.calls.state(id), Some(CallState::Connected));
}
