//! Ends of real channels, from the recordings.

use bytes::BytesMut;
use faxbot_core::{
    document::Resolution,
    fax::{FailureClass, FaxOutcome, FaxTransport},
};
use faxbot_testkit::replay::Recording;

use super::*;
use crate::{
    adapter::fax_run::FaxContext,
    protocol::{
        esl::{EslCodec, Frame, MAX_FRAME, Role},
        session::Codec as _,
    },
};

/// What the server wrote on all connections of a recording.
fn frames(name: &str) -> Vec<Frame> {
    let recording = Recording::load(&format!("freeswitch/{name}")).unwrap();
    let mut frames = Vec::new();
    for conn in recording.connections() {
        let mut codec = EslCodec::new(Role::Client, MAX_FRAME);
        let mut input = BytesMut::from(&recording.server_bytes(conn)[..]);
        while let Some(frame) = codec.decode(&mut input).unwrap() {
            frames.push(frame);
        }
    }
    frames
}

/// The ends of the channels that the server called.
fn ends(name: &str, kind: Kind) -> Vec<Ended> {
    let mut ends = Vec::new();
    for frame in frames(name) {
        let Some(event) = frame.event().unwrap() else {
            continue;
        };
        if event.name().as_deref() != Some("CHANNEL_HANGUP_COMPLETE")
            || event.text("Call-Direction").as_deref() != Some("outbound")
        {
            continue;
        }
        ends.push(Ended::read(kind, |name| {
            event.text(&format!("variable_{name}"))
        }));
    }
    assert!(!ends.is_empty(), "{name}");
    ends
}

fn outcome(name: &str, kind: Kind) -> FaxOutcome {
    let ended = ends(name, kind).remove(0);
    let report = ended.report();
    let context = FaxContext {
        pages_total: (kind != Kind::Receive).then_some(3),
        ..FaxContext::default()
    };
    report.fax.unwrap().outcome(&report.causes, context)
}

#[test]
fn faxes_that_arrived_did() {
    for (name, kind, transport) in [
        ("05_fax_t38_ok_3pages", Kind::Fax, FaxTransport::T38),
        (
            "05_fax_t38_ok_3pages_json",
            Kind::FaxByT38,
            FaxTransport::T38,
        ),
        ("05_fax_sip_audio_ok_3pages", Kind::Fax, FaxTransport::Audio),
        (
            "05_fax_t38_refused_488_audio_fallback",
            Kind::Fax,
            FaxTransport::Audio,
        ),
        ("05_fax_loopback_ok_3pages", Kind::Fax, FaxTransport::Audio),
        ("05_fax_receive_ok", Kind::Receive, FaxTransport::Audio),
    ] {
        let outcome = outcome(name, kind);
        assert!(outcome.is_success(), "{name}: {outcome:?}");
        assert_eq!(outcome.pages_confirmed, Some(3), "{name}");
        assert_eq!(outcome.pages_total, Some(3), "{name}");
        assert_eq!(outcome.transport, Some(transport), "{name}");
        assert_eq!(outcome.bit_rate, Some(14_400), "{name}");
        assert!(outcome.remote_station_id.is_some(), "{name}");
        let fine = outcome.resolution == Some(Resolution::Fine);
        assert!(fine || outcome.resolution == Some(Resolution::Standard));
    }
}

#[test]
fn faxes_that_failed_did_for_their_reason() {
    for (name, class, answered) in [
        ("05_fax_busy", FailureClass::Busy, false),
        ("05_fax_no_answer", FailureClass::NoAnswer, false),
        ("05_fax_answer_but_no_fax", FailureClass::NoAnswer, true),
        ("05_fax_answer_then_hangup", FailureClass::NotAFax, true),
        ("05_fax_we_cancel_mid_page", FailureClass::CommError, true),
        ("05_fax_missing_file", FailureClass::LocalConfig, true),
    ] {
        let ended = ends(name, Kind::Fax).remove(0);
        assert_eq!(ended.answered_at().is_some(), answered, "{name}");
        let outcome = outcome(name, Kind::Fax);
        assert_eq!(outcome.class(), Some(class), "{name}");
        assert_eq!(outcome.pages_confirmed, Some(0), "{name}");
    }
}

#[test]
fn a_bridged_call_is_answered_by_its_second_party() {
    let first = |kind| ends("03_bridge_two_loopback_legs", kind).remove(0);
    let (bridge, connect) = (first(Kind::Bridge), first(Kind::Connect));
    let (picked_up, joined) = (
        bridge.answered_at().unwrap(),
        connect.answered_at().unwrap(),
    );
    assert!(joined > picked_up);
    assert_eq!(connect.causes().q850, Some(16));
}

#[test]
fn every_refusal_of_an_originate_is_a_cause_that_is_known() {
    let mut known = 0;
    for name in [
        "03_originate_failures_loopback_and_bad_dialstrings",
        "09_hook_other_ways",
    ] {
        for frame in frames(name) {
            let Some(event) = frame.event().unwrap() else {
                continue;
            };
            let job = event.text("Job-Command").as_deref() == Some("originate");
            let body = String::from_utf8_lossy(event.body().unwrap_or_default()).into_owned();
            if let Some(why) = body.strip_prefix("-ERR").filter(|_| job) {
                let said = causes::causes(why, None);
                assert!(said.q850.is_some(), "{body}");
                assert!(causes::class(&said).is_some(), "{body}");
                known += 1;
            }
        }
    }
    assert!(known >= 8, "{known}");
}
