//! Click-to-dial against a mocked Kamailio: what happens to a call whose request is always answered well.
#![cfg(test)]
#![cfg(feature = "kamailio")]

mod kamailio_support;
mod proxy_support;

use std::time::Duration;

use faxbot_core::{
    Effect, ErrorKind,
    address::Address,
    id::CallId,
    sip::{
        Call, CallRecord, CallRequest, CallState, Disposition, HangupOutcome, Lookup,
        SipAdapter as _,
    },
};
use faxbot_sip::adapter::kamailio::KamailioAdapter;
use faxbot_testkit::server::{
    CallScript,
    kamailio::{EventForm, MockKamailio, Phone, ReplyFault},
};
use kamailio_support::Rig;
use proxy_support::{a_call, until};

const RING: Duration = Duration::from_secs(3);

fn request(from: &str, to: &str) -> CallRequest {
    let address = |text: &str| text.parse::<Address>().unwrap();
    CallRequest::connect(address(from), address(to)).with_timeout(RING)
}

async fn dial(adapter: &KamailioAdapter) -> Call {
    adapter.make_call(request("1001", "2000")).await.unwrap()
}

async fn outcome(call: &Call) -> CallRecord {
    let ended = tokio::time::timeout(Duration::from_secs(60), call.ended());
    ended.await.expect("it never ends").unwrap()
}

/// Rigs whose events are written in both ways, and one that has none.
async fn rigs(
    builder: impl Fn() -> faxbot_testkit::server::kamailio::MockKamailioBuilder,
) -> Vec<(Rig, KamailioAdapter, &'static str)> {
    let mut rigs = Vec::new();
    for (form, name) in [
        (EventForm::Versioned, "versioned"),
        (EventForm::Recorded, "recorded"),
    ] {
        let rig = Rig::with(builder().events(form)).await;
        let adapter = rig.connected().await;
        rigs.push((rig, adapter, name));
    }
    let rig = Rig::with(builder()).await;
    let adapter = rig.polling("poll=500ms");
    adapter.connect().await.unwrap();
    rigs.push((rig, adapter, "polling"));
    rigs
}

#[tokio::test(start_paused = true)]
async fn two_phones_talk_and_the_call_has_its_states() {
    let phone = Phone::answers()
        .rings(Duration::from_secs(1))
        .hangs_up_after(Duration::from_secs(20));
    let script = CallScript::answer().rings(Duration::from_secs(2));
    let builder = || {
        MockKamailio::builder()
            .phone("1001*", phone.clone())
            .on_dial("2000*", script.clone())
    };
    for (rig, adapter, name) in rigs(builder).await {
        let mut events = adapter.subscribe();
        let call = dial(&adapter).await;
        assert_eq!(call.state(), CallState::Dialing, "{name}");
        call.answered().await.unwrap();
        assert_eq!(call.state(), CallState::Connected);
        let record = outcome(&call).await;
        assert_eq!(record.id, Some(call.id()));
        assert_eq!(record.disposition, Disposition::Answered, "{name}");
        let billed = record.billable_seconds.unwrap();
        assert!((19..=22).contains(&billed), "{name}: {billed}");
        let (states, _) = a_call(&mut events).await;
        let wanted = [
            CallState::Dialing,
            CallState::Ringing,
            CallState::Connected,
            CallState::Terminated,
        ];
        assert_eq!(states, wanted, "{name}");
        let asked = rig.mock.requests_of("dlg.bridge_dlg");
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].text(0), Some("sip:1001@127.0.0.1:5070"));
        let mark = format!("<sip:2000@127.0.0.1:5070?X-Job={}>", call.id().as_uuid());
        assert_eq!(asked[0].text(1), Some(mark.as_str()));
        assert_eq!(asked[0].text(2), Some("."));
    }
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_does_not_take_the_call_ends_it_with_the_reason() {
    for (script, disposition, status) in [
        (CallScript::busy(), Disposition::Busy, 486),
        (CallScript::rejected(404), Disposition::Failed, 404),
        (CallScript::no_answer(), Disposition::NoAnswer, 408),
    ] {
        let builder = || MockKamailio::builder().on_dial("2000*", script.clone());
        for (_rig, adapter, name) in rigs(builder).await {
            let call = dial(&adapter).await;
            let ended = tokio::time::timeout(Duration::from_secs(60), call.ended());
            let ended = ended.await.expect("it never ends");
            if name == "polling" {
                // The dialog does not say why, and of one that was over at once nothing says whose it was.
                match ended {
                    Ok(record) => {
                        assert_eq!(disposition, Disposition::NoAnswer, "{script:?}");
                        assert_eq!(record.disposition, Disposition::Unknown);
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::OutcomeUnknown),
                }
                continue;
            }
            let record = ended.unwrap();
            assert_eq!(record.disposition, disposition, "{name} {script:?}");
            assert_eq!(record.causes.sip_status, Some(status), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_is_not_reached_ends_the_call_and_nobody_dials_again() {
    // `None`: nobody knows. The phone may have called past this server, or nothing told of it.
    let not_reached = Some(Disposition::NoAnswer);
    for (phone, versioned, recorded) in [
        (Phone::busy(), Some(Disposition::Busy), not_reached),
        (Phone::no_answer(), not_reached, not_reached),
        (Phone::silent(), not_reached, not_reached),
        (
            Phone::answers().refuses_transfer(603),
            Some(Disposition::Failed),
            None,
        ),
        (Phone::answers().drops_transfer(), None, None),
    ] {
        let builder = || MockKamailio::builder().phone("1001*", phone.clone());
        for (rig, adapter, name) in rigs(builder).await {
            let begun = tokio::time::Instant::now();
            let call = dial(&adapter).await;
            let wanted = match name {
                "versioned" => versioned,
                "recorded" => recorded,
                _ => None,
            };
            let ended = tokio::time::timeout(Duration::from_secs(60), call.ended());
            match (ended.await.expect("it never ends"), wanted) {
                (Ok(record), Some(wanted)) => {
                    assert_eq!(record.disposition, wanted, "{name} {phone:?}");
                    assert!(record.causes.native.is_some(), "{name} {phone:?}");
                    assert_eq!(record.answer, None);
                }
                (Err(error), None) => {
                    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
                    assert_eq!(error.call_id(), Some(call.id()));
                }
                (ended, _) => panic!("{name} {phone:?}: {ended:?}"),
            }
            assert!(begun.elapsed() <= RING + Duration::from_secs(6));
            assert_eq!(rig.mock.requests_of("dlg.bridge_dlg").len(), 1);
        }
    }
}

/// The server rings on for two minutes by default; our ring time is shorter.
#[tokio::test(start_paused = true)]
async fn an_agent_who_does_not_answer_is_rung_no_longer_than_the_ring_time() {
    for version in ["5.6.3", "6.1.2"] {
        let builder = MockKamailio::builder()
            .version(version)
            .events(EventForm::Versioned)
            .ring_timeout(Duration::from_secs(120))
            .phone("1001*", Phone::no_answer());
        let rig = Rig::with(builder).await;
        let adapter = rig.connected().await;
        let begun = tokio::time::Instant::now();
        let call = dial(&adapter).await;
        let record = outcome(&call).await;
        assert_eq!(record.disposition, Disposition::NoAnswer, "{version}");
        assert!(begun.elapsed() <= RING + Duration::from_secs(12));
        assert_eq!(rig.mock.requests_of("tm.cancel").len(), 1, "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_rings_is_rung_no_longer_once_the_call_is_hung_up() {
    for version in ["5.6.3", "6.1.2"] {
        let builder = MockKamailio::builder()
            .version(version)
            .events(EventForm::Versioned)
            .phone("1001*", Phone::no_answer());
        let rig = Rig::with(builder).await;
        let adapter = rig.connected().await;
        let call = dial(&adapter).await;
        // Nothing is known of the leg until its event comes.
        let hung_up = async {
            loop {
                let said = adapter.hangup(&call.call_ref()).await.unwrap();
                if said == HangupOutcome::Requested {
                    return;
                }
                assert_eq!(said, HangupOutcome::CannotCancelRinging);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let limit = Duration::from_secs(1);
        tokio::time::timeout(limit, hung_up).await.unwrap();
        let again = adapter.hangup(&call.call_ref()).await.unwrap();
        assert_ne!(again, HangupOutcome::CannotCancelRinging);
        let record = outcome(&call).await;
        assert_eq!(record.disposition, Disposition::Cancelled, "{version}");
        assert_eq!(rig.mock.requests_of("tm.cancel").len(), 1, "{version}");
        assert!(rig.mock.requests_of("dlg.end_dlg").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_missed_events_makes_up_no_end() {
    let builder = MockKamailio::builder()
        .events(EventForm::Versioned)
        .ring_timeout(Duration::from_secs(2))
        .phone("1001*", Phone::no_answer());
    let rig = Rig::with(builder).await;
    let adapter = rig.connected().await;
    let call = dial(&adapter).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.mock.evapi_unreachable(true);
    tokio::time::sleep(RING).await;
    rig.mock.evapi_unreachable(false);
    let ended = tokio::time::timeout(Duration::from_secs(60), call.ended()).await;
    let error = ended.expect("it never ends").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_look_at_the_end_of_the_ring_time_says_nothing() {
    // The second party is called just before the ring time is over.
    let phone = Phone::answers().rings(Duration::from_millis(7_500));
    let rig = Rig::with(MockKamailio::builder().phone("1001*", phone)).await;
    let adapter = rig.polling("poll=500ms");
    adapter.connect().await.unwrap();
    let call = dial(&adapter).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    rig.mock.unreachable(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.mock.unreachable(false);
    call.answered().await.unwrap();
    assert_eq!(call.state(), CallState::Connected);
}

#[tokio::test(start_paused = true)]
async fn the_leg_of_somebody_else_to_the_same_agent_ends_nothing() {
    let builder = MockKamailio::builder()
        .events(EventForm::Versioned)
        .phone("1001*", Phone::answers().rings(Duration::from_secs(2)));
    let rig = Rig::with(builder).await;
    let adapter = rig.connected().await;
    // Somebody else's order goes first, and its leg is busy.
    rig.mock.next_phone(Phone::busy());
    let rpc = faxbot_sip::protocol::jsonrpc::Params::List(vec![
        "sip:1001@127.0.0.1:5070".into(),
        "sip:600@127.0.0.1:5070".into(),
        ".".into(),
    ]);
    let call = dial(&adapter);
    let (call, other) = tokio::join!(call, adapter.rpc("dlg.bridge_dlg", rpc));
    other.unwrap();
    call.answered().await.unwrap();
    assert_eq!(call.state(), CallState::Connected);
}

/// An order without an answer may have come to no call: what rings then may be anybody's.
#[tokio::test(start_paused = true)]
async fn what_rings_for_an_order_without_an_answer_is_not_taken_back() {
    let builder = MockKamailio::builder()
        .events(EventForm::Versioned)
        .phone("1001*", Phone::no_answer());
    let rig = Rig::with(builder).await;
    let adapter = rig.connected().await;
    rig.mock
        .next_reply("dlg.bridge_dlg", ReplyFault::DropBefore);
    let wanted = request("1001", "2000");
    let call = wanted.id.into();
    adapter.make_call(wanted).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let outcome = adapter.hangup(&call).await.unwrap();
    assert_eq!(outcome, HangupOutcome::CannotCancelRinging);
    until(|| adapter.snapshot().calls.is_empty().then_some(())).await;
    assert!(rig.mock.requests_of("tm.cancel").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_hangs_up_leaves_nobody_ringing() {
    let builder = MockKamailio::builder()
        .events(EventForm::Versioned)
        .phone("1001*", Phone::no_answer());
    let rig = Rig::with(builder).await;
    let adapter = rig.polling("hangup_on_close=true");
    let adapter = adapter.with_connector(std::sync::Arc::new(rig.mock.connector()));
    adapter.connect().await.unwrap();
    let call = dial(&adapter).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    adapter.disconnect(Duration::from_secs(5)).await.unwrap();
    assert_eq!(rig.mock.requests_of("tm.cancel").len(), 1);
    assert_eq!(outcome(&call).await.disposition, Disposition::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_did_not_leave_is_sent_later() {
    let builder = MockKamailio::builder()
        .events(EventForm::Versioned)
        .ring_timeout(Duration::from_secs(120))
        .phone("1001*", Phone::no_answer());
    let rig = Rig::with(builder).await;
    let adapter = rig.connected().await;
    let call = dial(&adapter).await;
    tokio::time::sleep(Duration::from_millis(7_900)).await;
    rig.mock.unreachable(true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    rig.mock.unreachable(false);
    let ended = tokio::time::timeout(Duration::from_secs(60), call.ended());
    ended.await.expect("it never ends").ok();
    assert_eq!(rig.mock.requests_of("tm.cancel").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_not_told_is_seen_soon() {
    let builder = MockKamailio::builder()
        .events(EventForm::Versioned)
        .ends_of_rpc_are_silent();
    let rig = Rig::with(builder).await;
    let adapter = rig.connected().await;
    let call = dial(&adapter).await;
    call.answered().await.unwrap();
    let begun = tokio::time::Instant::now();
    adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(outcome(&call).await.disposition, Disposition::Answered);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// The phone of the first party tells of the answer before the server shows the dialog, or shows it as
/// answered.
#[tokio::test(start_paused = true)]
async fn a_hang_up_right_after_the_answer_is_carried_out_once() {
    let builder = || MockKamailio::builder();
    for (rig, adapter, name) in rigs(builder).await {
        let call = dial(&adapter).await;
        call.answered().await.unwrap();
        let hung_up = adapter.hangup(&call.call_ref()).await.unwrap();
        assert_eq!(hung_up, HangupOutcome::Requested, "{name}");
        // Its end may be told by now.
        let again = adapter.hangup(&call.call_ref()).await.unwrap();
        assert_ne!(again, HangupOutcome::CannotCancelRinging, "{name}");
        let record = outcome(&call).await;
        assert_eq!(record.disposition, Disposition::Answered, "{name}");
        assert_eq!(rig.mock.requests_of("dlg.end_dlg").len(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_passes_the_server_by_is_answered_and_then_unknown() {
    let builder = || MockKamailio::builder().phone("1001*", Phone::answers().calls_elsewhere());
    for (_rig, adapter, name) in rigs(builder).await {
        let call = dial(&adapter).await;
        if name == "polling" {
            let ended = tokio::time::timeout(Duration::from_secs(60), call.ended());
            let error = ended.await.expect("it never ends").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
            continue;
        }
        call.answered().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), call.ended());
        let error = ended.await.expect("it never ends").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{name}");
        assert_eq!(error.call_id(), Some(call.id()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_phone_that_drops_the_mark_is_known_by_who_referred_it() {
    let phone = Phone::answers()
        .without_headers()
        .hangs_up_after(Duration::from_secs(5));
    let builder = || MockKamailio::builder().phone("1001*", phone.clone());
    for (_rig, adapter, name) in rigs(builder).await {
        let call = dial(&adapter).await;
        if name == "polling" {
            let ended = tokio::time::timeout(Duration::from_secs(60), call.ended());
            let error = ended.await.expect("it never ends").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
            continue;
        }
        assert_eq!(outcome(&call).await.disposition, Disposition::Answered);
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_calls_at_once_are_told_apart() {
    let rig = Rig::new().await;
    rig.mock.on_dial("2001*", CallScript::busy());
    let adapter = rig.connected().await;
    let mut calls = Vec::new();
    for number in 0..20 {
        let to = if number % 2 == 0 { "2000" } else { "2001" };
        let call = adapter.make_call(request("1001", to)).await.unwrap();
        calls.push((number, call));
    }
    for (number, call) in calls {
        if number % 2 == 0 {
            call.answered().await.unwrap();
            let outcome = adapter.hangup(&call.call_ref()).await.unwrap();
            assert_eq!(outcome, HangupOutcome::Requested);
        }
        let record = outcome(&call).await;
        let wanted = if number % 2 == 0 {
            Disposition::Answered
        } else {
            Disposition::Busy
        };
        assert_eq!(record.disposition, wanted, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ringing_call_of_ours_cannot_be_cancelled_and_says_so() {
    let rig = Rig::new().await;
    rig.mock.on_dial("2000*", CallScript::rings_for_ever());
    let adapter = rig.connected().await;
    let call = dial(&adapter).await;
    until(|| (call.state() == CallState::Ringing).then_some(())).await;
    let ringing = adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(ringing, HangupOutcome::CannotCancelRinging);
    assert!(rig.mock.requests_of("dlg.end_dlg").is_empty());
    assert!(rig.mock.requests_of("tm.cancel").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_followed_and_never_sent_again() {
    for fault in [
        ReplyFault::Silent,
        ReplyFault::DropBefore,
        ReplyFault::Garbage((&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"[..]).into()),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        rig.mock.next_reply("dlg.bridge_dlg", fault.clone());
        let wanted = request("1001", "2000");
        let id = wanted.id;
        let error = adapter.make_call(wanted).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown, "{fault:?}");
        assert_eq!(error.call_id(), Some(id));
        // It was carried out: the call is there, and known by its mark.
        let live = until(|| {
            let calls = adapter.snapshot().calls;
            calls
                .into_iter()
                .find(|it| it.id == Some(id) && it.answered_at.is_some())
        })
        .await;
        assert_eq!(live.id, Some(id));
        assert_eq!(rig.mock.requests_of("dlg.bridge_dlg").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_carried_out_late_is_the_same_call() {
    let rig = Rig::new().await;
    let adapter = rig.polling("request_timeout=500ms");
    adapter.connect().await.unwrap();
    rig.mock
        .next_is_late("dlg.bridge_dlg", Duration::from_secs(2));
    let wanted = request("1001", "2000");
    let id = wanted.id;
    let error = adapter.make_call(wanted).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let is_up = |found: &Lookup| matches!(found, Lookup::Live(status) if status.state == CallState::Connected);
    let mut found = adapter.lookup(&id.into()).await.unwrap();
    for _ in 0..100 {
        if is_up(&found) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        found = adapter.lookup(&id.into()).await.unwrap();
    }
    assert!(is_up(&found), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_never_was() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let fault = ReplyFault::Refuse("Invalid parameters".into());
    rig.mock.next_reply("dlg.bridge_dlg", fault);
    let error = adapter
        .make_call(request("1001", "2000"))
        .await
        .unwrap_err();
    assert_eq!(error.effect(), Effect::NoEffect);
    assert!(adapter.snapshot().calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_that_writes_a_header_leaves_the_house() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for bad in [
        "sip:a@h\r\nX-Evil: 1",
        "sip:a@h>",
        "sip:a@h\u{0}",
        "PJSIP/1001",
        "",
    ] {
        for at_first in [true, false] {
            let good: Address = "1001".parse().unwrap();
            let bad = Address::native(bad);
            let wanted = match at_first {
                true => CallRequest::connect(bad, good),
                false => CallRequest::connect(good, bad),
            };
            let error = adapter.make_call(wanted).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        }
    }
    assert!(rig.mock.requests_of("dlg.bridge_dlg").is_empty());
    assert!(adapter.snapshot().calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_id_is_one_call() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let id = CallId::new();
    let call = adapter
        .make_call(request("1001", "2000").with_id(id))
        .await
        .unwrap();
    let again = adapter
        .make_call(request("1001", "2000").with_id(id))
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidState);
    call.answered().await.unwrap();
    assert_eq!(rig.mock.requests_of("dlg.bridge_dlg").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_the_calls_and_says_so() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (up, asked) = (dial(&adapter).await, {
        rig.mock.phone("1002*", Phone::no_answer());
        adapter.make_call(request("1002", "2000")).await.unwrap()
    });
    up.answered().await.unwrap();
    rig.mock.restart(Duration::from_secs(1));
    for call in [up, asked] {
        let error = call.ended().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
        let found = adapter.lookup(&call.call_ref()).await.unwrap();
        assert!(matches!(found, Lookup::Unknown(_)), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_hangs_up_what_is_ours_only_where_that_is_configured() {
    for (query, ends) in [("", 0), ("hangup_on_close=true", 1)] {
        let rig = Rig::with(MockKamailio::builder()).await;
        let adapter = rig.polling(query);
        adapter.connect().await.unwrap();
        rig.mock
            .call(faxbot_testkit::server::kamailio::PassingCall::new(
                "sip:alice@127.0.0.1:5091",
                "sip:600@127.0.0.1:5070",
            ));
        let call = dial(&adapter).await;
        call.answered().await.unwrap();
        adapter.disconnect(Duration::from_secs(5)).await.unwrap();
        assert_eq!(rig.mock.requests_of("dlg.end_dlg").len(), ends, "{query}");
        assert!(call.ended().await.is_err(), "nobody sees its end");
    }
}
