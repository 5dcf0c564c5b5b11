//! The adapter against a mocked Kamailio: connecting, calls of others, hang-up, messages, its own calls.
#![cfg(test)]
#![cfg(feature = "kamailio")]

mod kamailio_support;
mod proxy_support;

use std::time::Duration;

use base64::Engine as _;
use faxbot_core::{
    Effect, ErrorKind,
    id::{CallId, CallRef},
    message::{MessageContent, MessageKind},
    sip::{
        CallState, Capability, ConnectionState, Disposition, EventPath, HangupOutcome,
        HealthStatus, HistoryQuery, Lookup, SipAdapter as _, SipEvent, SipMessage, UnknownReason,
    },
};
use faxbot_sip::{
    adapter::kamailio::{DestinationState, DialogState, KamailioAdapter, KamailioConfig},
    protocol::jsonrpc::Params,
};
use faxbot_testkit::server::{
    CallScript,
    kamailio::{EventForm, MockKamailio, PassingCall, Phone, Replies, ReplyFault, Stage},
};
use kamailio_support::Rig;
use proxy_support::{LONG, a_call, connection, next, until};

const ALICE: &str = "sip:alice@127.0.0.1:5091";
const BOB: &str = "sip:600@127.0.0.1:5070";

#[tokio::test(start_paused = true)]
async fn it_connects_and_says_how_events_come() {
    let rig = Rig::new().await;
    let adapter = rig.adapter();
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
    adapter.connect().await.unwrap();
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
    assert_eq!(adapter.connection().events, EventPath::Push);
    let again = adapter.connect().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidState);
    let drained = adapter.disconnect(LONG).await.unwrap();
    assert!(drained.complete);
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
    adapter.connect().await.unwrap();

    let polling = rig.polling("poll=1s");
    polling.connect().await.unwrap();
    assert_eq!(
        polling.connection().events,
        EventPath::Polling(Duration::from_secs(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_server_lacks_is_not_declared_and_not_asked_for() {
    let rig = Rig::with(
        MockKamailio::builder()
            .without("dlg.bridge_dlg")
            .without("dispatcher.")
            .without("tm."),
    )
    .await;
    let adapter = rig.adapter();
    let mut events = adapter.subscribe();
    adapter.connect().await.unwrap();
    let told = next(&mut events, |event| match event {
        SipEvent::CapabilitiesChanged(can) => Some(can.clone()),
        _ => None,
    })
    .await;
    assert_eq!(told, adapter.capabilities());
    assert!(told.has(Capability::Hangup) && told.has(Capability::CallHistory));
    assert!(!told.has(Capability::Connect) && !told.has(Capability::SendMessage));
    let before = rig.mock.requests().len();
    let request =
        faxbot_core::sip::CallRequest::connect("1001".parse().unwrap(), "2000".parse().unwrap());
    let error = adapter.make_call(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        adapter.destinations().await.unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(rig.mock.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_used_says_why() {
    for (builder, kind, words) in [
        (
            MockKamailio::builder().without("dlg."),
            ErrorKind::Config,
            "dialog",
        ),
        (
            MockKamailio::builder().version("5.1.9"),
            ErrorKind::Config,
            "older",
        ),
        (
            MockKamailio::builder().basic("faxbot", "s3cret"),
            ErrorKind::Authentication,
            "",
        ),
        (
            MockKamailio::builder().path("/other").other_paths_get(404),
            ErrorKind::Protocol,
            "path",
        ),
        (
            MockKamailio::builder().path("/other"),
            ErrorKind::Timeout,
            "",
        ),
    ] {
        let rig = Rig::with(builder).await;
        let adapter = rig.polling("");
        let error = adapter.connect().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(words), "{error:?}");
        assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
    }
    let rig = Rig::new().await;
    rig.mock.stop_now();
    let error = rig.polling("").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_log_in_is_taken() {
    let config = |query: &str| {
        let url = format!("kamailio+http://faxbot:s3cret@127.0.0.1:5070/RPC?{query}");
        KamailioConfig::from_url(&url).unwrap()
    };
    let basic = Rig::with(MockKamailio::builder().basic("faxbot", "s3cret")).await;
    let adapter = KamailioAdapter::new(config("")).with_http(basic.mock.client());
    adapter.connect().await.unwrap();
    let value = serde_json::json!({ "auth": { "token": "t0ken" } });
    let bearer = Rig::with(MockKamailio::builder().bearer("t0ken")).await;
    let config = KamailioConfig::from_value(&value).unwrap();
    let adapter = KamailioAdapter::new(config).with_http(bearer.mock.client());
    adapter.connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_of_others_is_followed_by_events() {
    for form in [EventForm::Versioned, EventForm::Recorded] {
        let rig = Rig::with(MockKamailio::builder().events(form)).await;
        let adapter = rig.connected().await;
        let mut events = adapter.subscribe();
        let script = CallScript::answer().rings(Duration::from_secs(2));
        let call = PassingCall::new(ALICE, BOB).taken(script);
        let call_id = rig.mock.call(call.hung_up_after(Duration::from_secs(30)));
        let (mut states, record) = a_call(&mut events).await;
        if form == EventForm::Recorded {
            // Its events do not name the dialog, so the list has to; it rings by then.
            states.insert(0, CallState::Dialing);
        }
        assert_eq!(
            states,
            [
                CallState::Dialing,
                CallState::Ringing,
                CallState::Connected,
                CallState::Terminated
            ],
            "{form:?}"
        );
        let record = record.unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.from.as_ref().unwrap().expose(), ALICE);
        assert_eq!(record.to.as_ref().unwrap().expose(), BOB);
        assert_eq!(record.billable_seconds, Some(30), "{form:?}");
        assert_eq!(record.channels[0].expose(), &call_id);
        let history = adapter
            .get_call_history(HistoryQuery::default())
            .await
            .unwrap();
        assert_eq!(history.items.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn why_a_call_failed_is_told_by_events_and_by_nothing_else() {
    for (script, disposition, status) in [
        (CallScript::busy(), Disposition::Busy, 486),
        (CallScript::rejected(404), Disposition::Failed, 404),
        (CallScript::rejected(480), Disposition::NoAnswer, 480),
        (CallScript::rejected(503), Disposition::Congestion, 503),
        (CallScript::no_answer(), Disposition::NoAnswer, 408),
        (CallScript::unreachable(), Disposition::NoAnswer, 408),
    ] {
        for form in [EventForm::Versioned, EventForm::Recorded] {
            let rig = Rig::with(MockKamailio::builder().events(form)).await;
            let adapter = rig.connected().await;
            let mut events = adapter.subscribe();
            rig.mock
                .call(PassingCall::new(ALICE, BOB).taken(script.clone()));
            let (_, record) = a_call(&mut events).await;
            let record = record.unwrap();
            assert_eq!(record.disposition, disposition, "{script:?} {form:?}");
            assert_eq!(record.causes.sip_status, Some(status));
            assert_eq!(record.answer, None);
        }
        let rig = Rig::new().await;
        let adapter = rig.polling("");
        adapter.connect().await.unwrap();
        let mut events = adapter.subscribe();
        rig.mock.call(PassingCall::new(ALICE, BOB).taken(script));
        let (_, record) = a_call(&mut events).await;
        let record = record.unwrap();
        assert_eq!(record.disposition, Disposition::Unknown);
        assert!(record.causes.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_leaves_a_cancelled_call() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let call = PassingCall::new(ALICE, BOB).taken(CallScript::rings_for_ever());
    rig.mock.call(call.cancelled_after(Duration::from_secs(1)));
    let (states, record) = a_call(&mut events).await;
    assert_eq!(
        states,
        [
            CallState::Dialing,
            CallState::Ringing,
            CallState::Terminated
        ]
    );
    let record = record.unwrap();
    assert_eq!(record.disposition, Disposition::Cancelled);
    assert_eq!(record.causes.sip_status, Some(487));
}

#[tokio::test(start_paused = true)]
async fn what_was_up_before_and_what_polling_finds_jumps_forward() {
    let rig = Rig::new().await;
    let call_id = rig.mock.call(PassingCall::new(ALICE, BOB));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    let snapshot = adapter.snapshot();
    assert_eq!(snapshot.calls.len(), 1);
    assert_eq!(snapshot.calls[0].state, CallState::Connected);
    assert!(snapshot.calls[0].answered_at.is_some());
    let by_name = adapter
        .get_status(&CallRef::native(&*call_id))
        .await
        .unwrap();
    assert_eq!(by_name.id, snapshot.calls[0].id);
    let mut events = adapter.subscribe();
    rig.mock.callee_hangs_up(&call_id);
    let (states, record) = a_call(&mut events).await;
    assert_eq!(states, [CallState::Terminated]);
    assert_eq!(record.unwrap().disposition, Disposition::Answered);
}

#[tokio::test(start_paused = true)]
async fn two_processes_know_a_call_of_others_by_one_id() {
    let rig = Rig::new().await;
    let (one, other) = (rig.connected().await, rig.polling(""));
    rig.mock.call(PassingCall::new(ALICE, BOB));
    other.connect().await.unwrap();
    let id = |adapter: &KamailioAdapter| adapter.snapshot().calls.first()?.id;
    let first = until(|| id(&one)).await;
    assert_eq!(until(|| id(&other)).await, first);
}

#[tokio::test(start_paused = true)]
async fn an_answered_call_is_hung_up() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call_id = rig.mock.call(PassingCall::new(ALICE, BOB));
    let up = || {
        let calls = adapter.snapshot().calls;
        calls
            .into_iter()
            .find(|it| it.state == CallState::Connected)
    };
    let status = until(up).await;
    let mut events = adapter.subscribe();
    let call = CallRef::from(status.id.unwrap());
    let outcome = adapter.hangup(&call).await.unwrap();
    assert_eq!(outcome, HangupOutcome::Requested);
    let (states, record) = a_call(&mut events).await;
    assert_eq!(states.last(), Some(&CallState::Terminated));
    assert_eq!(record.unwrap().disposition, Disposition::Answered);
    let dialog = rig.mock.dialog(&call_id).unwrap();
    assert_eq!(dialog.stage, Stage::Over);
    assert_eq!(adapter.hangup(&call).await.unwrap(), HangupOutcome::Ended);
    let ends = rig.mock.requests_of("dlg.end_dlg");
    assert_eq!(ends.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_rings_is_not_touched() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = PassingCall::new(ALICE, BOB).taken(CallScript::rings_for_ever());
    let call_id = rig.mock.call(call);
    until(|| (adapter.snapshot().calls.len() == 1).then_some(())).await;
    let outcome = adapter.hangup(&CallRef::native(&*call_id)).await.unwrap();
    assert_eq!(outcome, HangupOutcome::CannotCancelRinging);
    assert!(rig.mock.requests_of("dlg.end_dlg").is_empty());
    for unknown in [
        CallRef::native("nobody@127.0.0.1"),
        CallRef::from(CallId::new()),
    ] {
        let error = adapter.hangup(&unknown).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_without_an_answer_is_unknown_and_one_that_is_too_late_found_it_over() {
    let rig = Rig::new().await;
    let adapter = rig.polling("request_timeout=1s");
    adapter.connect().await.unwrap();
    let call_id = rig.mock.call(PassingCall::new(ALICE, BOB));
    let up = || {
        let calls = adapter.snapshot().calls;
        calls
            .into_iter()
            .find(|it| it.state == CallState::Connected)
    };
    until(up).await;
    let call = CallRef::native(&*call_id);
    rig.mock.next_reply("dlg.end_dlg", ReplyFault::Silent);
    let error = adapter.hangup(&call).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    until(|| adapter.snapshot().calls.is_empty().then_some(())).await;
    assert_eq!(adapter.hangup(&call).await.unwrap(), HangupOutcome::Ended);

    let call_id = rig.mock.call(PassingCall::new(ALICE, BOB));
    until(up).await;
    let refused = ReplyFault::Refuse("not now".into());
    rig.mock.next_reply("dlg.end_dlg", refused);
    let error = adapter.hangup(&CallRef::native(&*call_id)).await;
    assert_eq!(error.unwrap_err().effect(), Effect::NoEffect);
    assert_eq!(adapter.snapshot().calls.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_restart_forgot_is_not_said_to_be_over() {
    let rig = Rig::new().await;
    let adapter = rig.polling("poll=60s");
    adapter.connect().await.unwrap();
    let call_id = rig.mock.call(PassingCall::new(ALICE, BOB));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let call = CallRef::native(&*call_id);
    let status = adapter.get_status(&call).await.unwrap();
    assert_eq!(status.state, CallState::Connected);
    // Between two polls.
    rig.mock.restart(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = CallRef::native(&*rig.mock.call(PassingCall::new(BOB, ALICE)));
    let error = adapter.hangup(&call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    // The poll that the hang-up asked for comes to the same: no record says that it ended.
    until(|| {
        let calls = adapter.snapshot().calls;
        let native = calls.first()?.channels.first()?.expose().clone();
        (calls.len() == 1 && Some(native) == other.native).then_some(())
    })
    .await;
    let history = adapter.get_call_history(HistoryQuery::default()).await;
    assert!(history.unwrap().items.is_empty());
}

/// A script with several destinations tells of each that failed.
#[tokio::test(start_paused = true)]
async fn a_destination_that_fails_is_not_the_end_of_a_call() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let rings = CallScript::answer().rings(Duration::from_secs(2));
    let passing = PassingCall::new(ALICE, BOB).taken(rings);
    let call_id = rig.mock.call(passing);
    let call = CallRef::native(&*call_id);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let tag = rig.mock.dialog(&call_id).unwrap().from_tag;
    let failed = |code: u16| {
        let code64 = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
        format!(
            r#"{{"faxbot":1,"event":"failed","callid64":"{}","from_tag64":"{}","code":{code},"reason64":"","replied":true,"cancelled":false}}"#,
            code64(&call_id),
            code64(&tag)
        )
    };
    rig.mock.relay(&failed(503));
    until(|| {
        let calls = adapter.snapshot().calls;
        let mut states = calls.iter().map(|call| call.state);
        states
            .any(|state| state == CallState::Connected)
            .then_some(())
    })
    .await;
    // A request within the call is refused.
    rig.mock.relay(&failed(488));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = adapter.get_status(&call).await.unwrap();
    assert_eq!(status.state, CallState::Connected);
    let mut events = adapter.subscribe();
    assert!(rig.mock.callee_hangs_up(&call_id));
    let (_, record) = a_call(&mut events).await;
    let record = record.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.causes.sip_status, None);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_never_says_that_a_call_never_was() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call_id = rig.mock.call(PassingCall::new(ALICE, BOB));
    let found = adapter.lookup(&CallRef::native(&*call_id)).await.unwrap();
    assert!(matches!(found, Lookup::Live(_)), "{found:?}");
    let absent = adapter.lookup(&CallRef::native("nobody")).await.unwrap();
    let wanted = Lookup::Unknown(UnknownReason::RequestTimeUnknown);
    assert_eq!(absent, wanted);
    let id = CallId::new();
    let marked = PassingCall::new(ALICE, BOB).mark(&id.as_uuid().to_string());
    rig.mock.call(marked);
    // Of an earlier process: found by the mark alone.
    let other = rig.polling("");
    other.connect().await.unwrap();
    let found = other.lookup(&id.into()).await.unwrap();
    assert!(matches!(found, Lookup::Live(status) if status.id == Some(id)));
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_rejected_or_unknown() {
    let rig = Rig::with(
        MockKamailio::builder()
            .phone(
                "busy*",
                Phone::answers().replies(Replies::With(486), Duration::ZERO),
            )
            .phone("dead*", Phone::silent()),
    )
    .await;
    let adapter = rig.connected().await;
    let message = |to: &str, text: &str| {
        let content = MessageContent::text(MessageKind::Sip, text);
        SipMessage::new(to.parse().unwrap(), content)
    };
    let sent = adapter
        .send_message(message("600", "h\u{e4}llo\r\nyou"))
        .await;
    assert_eq!(sent.unwrap().provider, "kamailio");
    let kept = rig.mock.messages_sent();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].body, "h\u{e4}llo\r\nyou");
    let error = adapter
        .send_message(message("busy1", "x"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.native_code(), Some("486"));
    let error = adapter
        .send_message(message("dead1", "x"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Timeout, Effect::Unknown)
    );
    rig.mock.next_reply("tm.t_uac_wait", ReplyFault::DropBefore);
    let error = adapter.send_message(message("600", "x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let before = rig.mock.requests_of("tm.t_uac_wait").len();
    for bad in [
        message("600", ""),
        message("600", &"x".repeat(9000)),
        message("native:PJSIP/1001", "x"),
    ] {
        let error = adapter.send_message(bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    }
    assert_eq!(rig.mock.requests_of("tm.t_uac_wait").len(), before);
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_beside_calls_is_told() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    rig.mock.message_in("sip:bob@h", "line\r\n\"two\"");
    let text = next(&mut events, |event| match event {
        SipEvent::MessageReceived { from, content } => {
            Some((from.expose().clone(), content.text.clone()))
        }
        _ => None,
    })
    .await;
    assert_eq!(text, ("sip:bob@h".into(), "line\r\n\"two\"".into()));
    rig.mock
        .register("alice", "sip:alice@127.0.0.1:5091", Duration::from_secs(60));
    let state = next(&mut events, |event| match event {
        SipEvent::PresenceChanged { watched, state } => {
            Some((watched.expose().clone(), state.clone()))
        }
        _ => None,
    })
    .await;
    assert_eq!(state, ("alice".into(), "inserted".into()));
}

#[tokio::test(start_paused = true)]
async fn the_servers_own_calls_are_typed() {
    let rig = Rig::with(
        MockKamailio::builder()
            .destination(1, "sip:127.0.0.1:5081")
            .destination(2, "sip:127.0.0.1:5082")
            .phone("dead*", Phone::silent()),
    )
    .await;
    let adapter = rig.connected().await;
    rig.mock.call(PassingCall::new(ALICE, BOB));
    let dialogs = adapter.dialogs().await.unwrap();
    assert_eq!(dialogs.len(), 1);
    assert_ne!(dialogs[0].state, DialogState::Deleted);
    let statistics = adapter.statistics().await.unwrap();
    assert!(statistics.get("dialog:processed_dialogs").is_some());

    let all = adapter.destinations().await.unwrap();
    let sets: Vec<_> = all.iter().map(|it| it.set).collect();
    assert!(sets.contains(&1) && sets.contains(&2), "{sets:?}");
    adapter
        .set_destination_state(1, "sip:127.0.0.1:5081", DestinationState::Disabled, false)
        .await
        .unwrap();
    let all = adapter.destinations().await.unwrap();
    let changed = all.iter().find(|it| it.set == 1).unwrap();
    assert_eq!(changed.state, Some(DestinationState::Disabled));
    let error = adapter
        .set_destination_state(9, "sip:127.0.0.1:5081", DestinationState::Active, false)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);

    assert!(adapter.registrations().await.unwrap().is_empty());
    assert_eq!(adapter.registration("alice").await.unwrap(), None);
    rig.mock
        .register("alice", "sip:alice@127.0.0.1:5091", Duration::from_secs(60));
    let one = adapter.registration("sip:alice").await.unwrap().unwrap();
    assert_eq!(one.contacts.len(), 1);
    assert_eq!(adapter.registrations().await.unwrap(), [one]);

    let pong = adapter.options_ping(&"600".parse().unwrap()).await.unwrap();
    assert!(pong.is_success());
    let silent = adapter
        .options_ping(&"dead1".parse().unwrap())
        .await
        .unwrap();
    assert_eq!((silent.status, silent.was_received()), (408, false));

    let version = adapter.rpc("core.version", Params::None).await.unwrap();
    assert!(version.as_str().unwrap().starts_with("kamailio"));
    let error = adapter.rpc("dlg.list_all", Params::None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn health_is_one_look_at_the_server() {
    let rig = Rig::new().await;
    let adapter = rig.polling("request_timeout=1s");
    assert_eq!(
        adapter.health_check().await.unwrap().status,
        HealthStatus::Critical
    );
    adapter.connect().await.unwrap();
    rig.mock.call(PassingCall::new(ALICE, BOB));
    until(|| (adapter.snapshot().calls.len() == 1).then_some(())).await;
    let health = adapter.health_check().await.unwrap();
    assert!(health.connected);
    assert_eq!(health.status, HealthStatus::Healthy);
    assert_eq!(health.metrics.active_calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_is_reached_again_and_calls_of_before_are_unknown() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.call(PassingCall::new(ALICE, BOB));
    until(|| (adapter.snapshot().calls.len() == 1).then_some(())).await;
    let mut events = adapter.subscribe();
    rig.mock.restart(Duration::from_secs(3));
    connection(&mut events, ConnectionState::Connecting).await;
    let gap = connection(&mut events, ConnectionState::Connected).await;
    assert!(gap.is_some());
    until(|| adapter.snapshot().calls.is_empty().then_some(())).await;
    let history = adapter
        .get_call_history(HistoryQuery::default())
        .await
        .unwrap();
    // Nobody saw how it ended.
    assert!(history.items.is_empty());
    let mut events = adapter.subscribe();
    rig.mock
        .call(PassingCall::new(ALICE, BOB).taken(CallScript::busy()));
    let (_, record) = a_call(&mut events).await;
    assert_eq!(record.unwrap().disposition, Disposition::Busy);
}

#[tokio::test(start_paused = true)]
async fn without_events_for_a_while_it_polls_and_takes_the_list_anew() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    rig.mock.evapi_unreachable(true);
    next(&mut events, |event| {
        matches!(event, SipEvent::AdapterError { .. }).then_some(())
    })
    .await;
    assert!(matches!(adapter.connection().events, EventPath::Polling(_)));
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
    rig.mock.call(PassingCall::new(ALICE, BOB));
    until(|| (adapter.snapshot().calls.len() == 1).then_some(())).await;
    rig.mock.evapi_unreachable(false);
    let gap = connection(&mut events, ConnectionState::Connected).await;
    assert!(gap.is_some());
    assert_eq!(adapter.connection().events, EventPath::Push);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_costs_nothing_but_itself() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    for garbage in ["", "{", "[]", "{\"event\":\"dialog:start\"}", "\u{1}\"}"] {
        rig.mock.relay(garbage);
    }
    rig.mock.relay("{\"event\":\"mine\",\"n\":5}");
    let raw = next(&mut events, |event| match event {
        SipEvent::Raw(raw) => Some(raw.name.clone()),
        _ => None,
    })
    .await;
    assert_eq!(raw, "mine");
    assert_eq!(adapter.connection().events, EventPath::Push);
    // What loses the framing costs the connection, which is made again.
    rig.mock.send_raw(&b"hello"[..]);
    connection(&mut events, ConnectionState::Connected).await;
    assert_eq!(adapter.connection().events, EventPath::Push);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_dialogs_cost_one_request_a_poll() {
    let rig = Rig::new().await;
    let adapter = rig.polling("poll=1s");
    adapter.connect().await.unwrap();
    for _ in 0..1000 {
        rig.mock.call(PassingCall::new(ALICE, BOB));
    }
    until(|| (adapter.snapshot().calls.len() == 1000).then_some(())).await;
    let before = rig.mock.requests();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let after = rig.mock.requests();
    let new = &after[before.len()..];
    let lists = new.iter().filter(|it| it.method == "dlg.list").count();
    assert!((19..=21).contains(&lists), "{lists}");
    assert!(new.len() - lists <= 1, "{}", new.len());
}
