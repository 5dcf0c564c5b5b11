//! Calls by `b2b_trigger_scenario` against a mocked OpenSIPS.
#![cfg(test)]
#![cfg(feature = "opensips")]

mod opensips_support;
mod proxy_support;

use std::time::Duration;

use faxbot_core::{
    Effect, ErrorKind,
    address::Address,
    id::CallId,
    sip::{
        Call, CallRecord, CallRequest, CallState, Disposition, HangupOutcome, Lookup,
        SipAdapter as _, UnknownReason,
    },
};
use faxbot_sip::adapter::opensips::OpenSipsAdapter;
use faxbot_testkit::server::{
    CallScript,
    opensips::{MockOpenSips, Phone, Release, ReplyFault},
};
use opensips_support::Rig;
use proxy_support::{a_call, ended, in_state};

const TRIGGER: &str = "b2b_trigger_scenario";

fn request(from: &str, to: &str) -> CallRequest {
    let address = |text: &str| text.parse::<Address>().unwrap();
    CallRequest::connect(address(from), address(to))
}

async fn dial(adapter: &OpenSipsAdapter) -> Call {
    adapter.make_call(request("1001", "2000")).await.unwrap()
}

async fn outcome(call: &Call) -> CallRecord {
    let ended = tokio::time::timeout(Duration::from_secs(120), call.ended());
    ended.await.expect("it never ends").unwrap()
}

/// Rigs of every release, with events and without.
async fn rigs(
    builder: impl Fn() -> faxbot_testkit::server::opensips::MockOpenSipsBuilder,
) -> Vec<(Rig, OpenSipsAdapter, String)> {
    let mut rigs = Vec::new();
    for release in [Release::V3_2, Release::V3_4, Release::V3_6] {
        for events in [true, false] {
            let rig = Rig::with(builder().release(release)).await;
            let adapter = if events {
                rig.adapter("")
            } else {
                rig.polling("")
            };
            adapter.connect().await.unwrap();
            rigs.push((rig, adapter, format!("{release:?}, events {events}")));
        }
    }
    rigs
}

#[tokio::test(start_paused = true)]
async fn two_phones_talk_and_the_call_has_its_states() {
    let builder = || {
        MockOpenSips::builder()
            .phone("1001*", Phone::answers().rings(Duration::from_secs(1)))
            .on_dial(
                "2000*",
                CallScript::answer()
                    .rings(Duration::from_secs(1))
                    .hangs_up_after(Duration::from_secs(20)),
            )
    };
    for (rig, adapter, name) in rigs(builder).await {
        let mut events = adapter.subscribe();
        let call = dial(&adapter).await;
        assert_eq!(call.state(), CallState::Dialing, "{name}");
        call.answered().await.unwrap();
        assert_eq!(call.state(), CallState::Connected, "{name}");
        let record = outcome(&call).await;
        assert_eq!(record.disposition, Disposition::Answered, "{name}");
        let billed = record.billable_seconds.unwrap();
        assert!((18..=22).contains(&billed), "{name}: {billed}");
        let (states, _) = a_call(&mut events).await;
        let wanted = [
            CallState::Dialing,
            CallState::Connected,
            CallState::Terminated,
        ];
        assert_eq!(states, wanted, "{name}");
        let asked = rig.mock.requests_of(TRIGGER);
        assert_eq!(asked.len(), 1);
        let text = |name: &str| asked[0].text(name).unwrap();
        assert_eq!(text("scenario_id"), call.id().as_uuid().to_string());
        assert_eq!(text("entity1"), "from,sip:1001@127.0.0.1:5060");
        assert_eq!(text("entity2"), "to,sip:2000@127.0.0.1:5060");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_take_the_call_ends_it_without_a_reason_and_nobody_dials_again() {
    for (phone, script) in [
        (Phone::busy(), CallScript::answer()),
        (Phone::no_answer(), CallScript::answer()),
        (Phone::silent(), CallScript::answer()),
        (Phone::answers(), CallScript::busy()),
        (Phone::answers(), CallScript::rejected(404)),
        (Phone::answers(), CallScript::no_answer()),
    ] {
        let builder = || {
            MockOpenSips::builder()
                .phone("1001*", phone.clone())
                .on_dial("2000*", script.clone())
        };
        for (rig, adapter, name) in rigs(builder).await {
            let call = dial(&adapter).await;
            let record = outcome(&call).await;
            assert_eq!(
                record.disposition,
                Disposition::Unknown,
                "{name} {script:?}"
            );
            assert!(
                record.causes.is_empty() && record.answer.is_none(),
                "{name}"
            );
            assert_eq!(rig.mock.requests_of(TRIGGER).len(), 1, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_rings_for_too_long_is_ended_as_not_answered() {
    let builder = || {
        MockOpenSips::builder()
            .ring_timeout(Duration::from_secs(120))
            .phone("1001*", Phone::no_answer())
    };
    for (rig, adapter, name) in rigs(builder).await {
        let timeout = Duration::from_secs(8);
        let request = request("1001", "2000").with_timeout(timeout);
        let call = adapter.make_call(request).await.unwrap();
        let record = outcome(&call).await;
        assert_eq!(record.disposition, Disposition::NoAnswer, "{name}");
        assert!(
            (8..=10).contains(&record.duration_seconds.unwrap()),
            "{name}"
        );
        assert_eq!(
            rig.mock.requests_of("b2b_terminate_call").len(),
            1,
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_may_ring_without_a_limit_of_time() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = request("1001", "2000").with_timeout(Duration::MAX);
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    adapter.hangup(&call.id().into()).await.unwrap();
    outcome(&call).await;
    adapter.disconnect(Duration::MAX).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_ends_a_call_that_rings_and_one_that_is_up_once() {
    for rings in [true, false] {
        let phone = if rings {
            Phone::no_answer()
        } else {
            Phone::answers()
        };
        let builder = || MockOpenSips::builder().phone("1001*", phone.clone());
        for (rig, adapter, name) in rigs(builder).await {
            let call = dial(&adapter).await;
            if !rings {
                call.answered().await.unwrap();
            }
            let done = adapter.hangup(&call.call_ref()).await.unwrap();
            assert_eq!(done, HangupOutcome::Requested, "{name}");
            let record = outcome(&call).await;
            let wanted = if rings {
                Disposition::Cancelled
            } else {
                Disposition::Answered
            };
            assert_eq!(record.disposition, wanted, "{name}");
            let again = adapter.hangup(&call.call_ref()).await.unwrap();
            assert_eq!(again, HangupOutcome::Ended, "{name}");
            assert_eq!(
                rig.mock.requests_of("b2b_terminate_call").len(),
                1,
                "{name}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_call_is_not_found_and_nothing_of_it_is_claimed() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for call in [
        CallId::new().into(),
        "697.0".parse().unwrap(),
        "nope@rig".parse().unwrap(),
    ] {
        let error = adapter.hangup(&call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{call:?}");
        let error = adapter.get_status(&call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{call:?}");
        let known = adapter.lookup(&call).await.unwrap();
        assert!(matches!(known, Lookup::Unknown(_)), "{known:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_reason_to_call_again() {
    for fault in [
        ReplyFault::Silent,
        ReplyFault::DropBefore,
        ReplyFault::Garbage("{\"jsonrpc\":\"2.0\"}".into()),
        // The reply of a command that was carried out could not be built.
        ReplyFault::Garbage(
            r#"{"error":{"code":-32000,"message":"Server error","data":"Command handler returned null"},"id":null}"#
                .into(),
        ),
        // A refusal that the list does not bear out.
        ReplyFault::Garbage(
            r#"{"error":{"code":500,"message":"Failed to initialize scenario"},"id":null}"#.into(),
        ),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        rig.mock.next_reply(TRIGGER, fault.clone());
        let request = request("1001", "2000");
        let id = request.id;
        let error = adapter.make_call(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{fault:?}");
        assert_eq!(
            (error.effect(), error.call_id()),
            (Effect::Unknown, Some(id))
        );
        // It was carried out, and is found by its scenario.
        in_state(&adapter, &id.into(), CallState::Connected).await;
        assert!(matches!(
            adapter.lookup(&id.into()).await.unwrap(),
            Lookup::Live(_)
        ));
        adapter.hangup(&id.into()).await.unwrap();
        let record = ended(&adapter, &id.into()).await;
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(rig.mock.requests_of(TRIGGER).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_carried_out_late_is_found() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.next_is_late(TRIGGER, Duration::from_secs(25));
    let request = request("1001", "2000");
    let id = request.id;
    let error = adapter.make_call(request).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert!(rig.mock.b2b_calls().is_empty());
    let known = adapter.lookup(&id.into()).await.unwrap();
    assert!(
        matches!(known, Lookup::Live(_)),
        "it may come yet: {known:?}"
    );
    in_state(&adapter, &id.into(), CallState::Connected).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_comes_ends_as_unknown() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.next_is_late(TRIGGER, Duration::from_secs(100_000));
    let request = request("1001", "2000").with_timeout(Duration::from_secs(20));
    let id = request.id;
    adapter.make_call(request).await.unwrap_err();
    let gone = async {
        while matches!(adapter.lookup(&id.into()).await.unwrap(), Lookup::Live(_)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), gone)
        .await
        .unwrap();
    let known = adapter.lookup(&id.into()).await.unwrap();
    assert!(
        matches!(known, Lookup::Unknown(UnknownReason::RequestTimeUnknown)),
        "{known:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_without_an_address_of_its_own_says_what_is_missing() {
    let rig = Rig::with(MockOpenSips::builder().without_server_address()).await;
    let adapter = rig.connected().await;
    let error = adapter
        .make_call(request("1001", "2000"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Config, Effect::NoEffect)
    );
    assert!(error.message().contains("server_address"), "{error}");
    assert!(adapter.snapshot().calls.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_not_believed_where_the_list_cannot_be_read() {
    let rig = Rig::with(MockOpenSips::builder().without_server_address()).await;
    let adapter = rig.connected().await;
    rig.mock.next_reply("b2b_list", ReplyFault::DropBefore);
    let error = adapter
        .make_call(request("1001", "2000"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::OutcomeUnknown, Effect::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_waits_for_the_answer_to_a_call_that_is_asked_for() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock
        .next_reply(TRIGGER, ReplyFault::Slow(Duration::from_secs(3)));
    let asking = tokio::spawn({
        let adapter = adapter.clone();
        async move { adapter.make_call(request("1001", "2000")).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let drained = adapter.disconnect(Duration::from_secs(20)).await.unwrap();
    assert!(drained.complete);
    assert_eq!(drained.calls_left, 1);
    asking.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_would_make_another_party_is_refused_before_anything_is_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for (from, to) in [
        ("sip:a,b@127.0.0.1", "2000"),
        ("1001", "native:sip:2000@127.0.0.1,Name"),
        ("native:nothing", "2000"),
    ] {
        let error = adapter.make_call(request(from, to)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{from} {to}");
    }
    let named = request("1001", "2000").with_caller_id_name("a,sip:b@c");
    let error = adapter.make_call(named).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(rig.mock.requests_of(TRIGGER).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_of_an_earlier_process_is_found_by_its_id_and_hung_up() {
    let rig = Rig::new().await;
    let id = {
        let adapter = rig.connected().await;
        let call = dial(&adapter).await;
        call.answered().await.unwrap();
        call.id()
    };
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    let status = adapter.get_status(&id.into()).await.unwrap();
    assert_eq!((status.id, status.state), (Some(id), CallState::Connected));
    let key = rig.mock.b2b_call(&id.as_uuid().to_string()).unwrap().key;
    let by_key = adapter.get_status(&key.parse().unwrap()).await.unwrap();
    assert_eq!(by_key.id, Some(id));
    adapter.hangup(&id.into()).await.unwrap();
    let record = ended(&adapter, &id.into()).await;
    assert_eq!(record.disposition, Disposition::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_call_placed_after_a_restart_that_nobody_noticed_is_kept() {
    let rig = Rig::new().await;
    let adapter = rig.adapter("poll=60s");
    adapter.connect().await.unwrap();
    let before = dial(&adapter).await;
    before.answered().await.unwrap();
    // The server tells when it began to the second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    rig.mock.restart(Duration::ZERO);
    let after = dial(&adapter).await;
    after.answered().await.unwrap();
    let lost = tokio::time::timeout(Duration::from_secs(200), before.ended()).await;
    let error = lost.expect("it is not noticed").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(after.state(), CallState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_that_is_owed_outlives_a_restart() {
    let rig = Rig::new().await;
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    // The server tells when it began to the second; its run is asked for every ten.
    tokio::time::sleep(Duration::from_secs(3)).await;
    rig.mock.restart(Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.mock.next_is_late(TRIGGER, Duration::from_secs(25));
    let request = request("1001", "2000");
    let id = request.id;
    let asking = tokio::spawn({
        let adapter = adapter.clone();
        async move { adapter.make_call(request).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let done = adapter.hangup(&id.into()).await.unwrap();
    assert_eq!(done, HangupOutcome::Requested);
    assert!(rig.mock.requests_of("b2b_terminate_call").is_empty());
    assert!(asking.await.unwrap().is_err());
    // The restart is noticed before the server carries the request out.
    assert_eq!(rig.mock.requests_of("version").len(), 2);
    let record = ended(&adapter, &id.into()).await;
    assert_eq!(record.disposition, Disposition::Cancelled);
    assert_eq!(rig.mock.requests_of("b2b_terminate_call").len(), 1);
    assert!(rig.mock.b2b_calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_for_a_hang_up_has_asked_for_it() {
    let rig = Rig::new().await;
    let adapter = rig.polling("poll=60s");
    adapter.connect().await.unwrap();
    let call = dial(&adapter).await;
    call.answered().await.unwrap();
    rig.mock
        .next_reply("b2b_list", ReplyFault::Slow(Duration::from_secs(1)));
    let order = call.call_ref();
    let given_up = tokio::time::timeout(Duration::from_millis(100), adapter.hangup(&order));
    assert!(given_up.await.is_err());
    outcome(&call).await;
    assert_eq!(rig.mock.requests_of("b2b_terminate_call").len(), 1);
}
