//! Calls of others, and what is ordered for them, against a mocked OpenSIPS.
#![cfg(test)]
#![cfg(feature = "opensips")]

mod opensips_support;
mod proxy_support;

use std::time::Duration;

use faxbot_core::{
    Effect, ErrorKind,
    address::Address,
    id::CallRef,
    message::{MessageContent, MessageKind},
    sip::{
        CallRequest, CallState, Capability, ConnectionState, Disposition, EventPath, HangupOutcome,
        HistoryQuery, SipAdapter as _, SipEvent, SipMessage, TransferRequest,
    },
};
use faxbot_sip::{adapter::opensips::DispatcherState, protocol::jsonrpc::Params};
use faxbot_testkit::server::{
    CallScript,
    opensips::{Channel, MockOpenSips, PassingCall, Phone, Replies, ReplyFault},
};
use opensips_support::{Rig, SOCKET};
use proxy_support::{a_call, connection, ended, in_state, next, until};

fn passing(to: &str) -> PassingCall {
    PassingCall::new(
        "sip:alice@127.0.0.1:25070",
        &format!("sip:{to}@127.0.0.1:25060"),
    )
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A call of somebody else that is up.
async fn up(rig: &Rig, adapter: &faxbot_sip::adapter::opensips::OpenSipsAdapter) -> CallRef {
    let call = CallRef::native(rig.mock.call(passing("2000")));
    in_state(adapter, &call, CallState::Connected).await;
    call
}

#[tokio::test(start_paused = true)]
async fn calls_of_others_end_with_the_reason_that_accounting_told() {
    for (script, accounting, disposition, status) in [
        (CallScript::busy(), true, Disposition::Busy, Some(486)),
        (
            CallScript::rejected(404),
            true,
            Disposition::Failed,
            Some(404),
        ),
        (
            CallScript::no_answer(),
            true,
            Disposition::NoAnswer,
            Some(408),
        ),
        (CallScript::busy(), false, Disposition::Unknown, None),
        (
            CallScript::answer().hangs_up_after(Duration::from_secs(9)),
            true,
            Disposition::Answered,
            None,
        ),
    ] {
        let mut builder = MockOpenSips::builder();
        if !accounting {
            builder = builder.without_accounting();
        }
        let rig = Rig::with(builder).await;
        let adapter = rig.connected().await;
        assert_eq!(adapter.connection().events, EventPath::Push);
        let mut events = adapter.subscribe();
        let call = rig.mock.call(passing("2000").taken(script.clone()));
        let (_, record) = a_call(&mut events).await;
        let record = record.unwrap();
        assert_eq!(record.disposition, disposition, "{script:?}");
        assert_eq!(record.causes.sip_status, status, "{script:?}");
        let cdr = adapter.get_cdr(&CallRef::native(call)).await;
        assert_eq!(cdr.is_ok(), disposition == Disposition::Answered);
        if let Ok(cdr) = cdr {
            assert_eq!(cdr.billable_seconds, Some(9));
        }
        let history = adapter.get_call_history(HistoryQuery::default()).await;
        assert_eq!(history.unwrap().items.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn without_events_the_list_tells_of_calls_and_no_reason() {
    let rig = Rig::new().await;
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    let every = EventPath::Polling(Duration::from_secs(2));
    assert_eq!(adapter.connection().events, every);
    let mut events = adapter.subscribe();
    let script = CallScript::answer()
        .rings(Duration::from_secs(5))
        .hangs_up_after(Duration::from_secs(10));
    rig.mock.call(passing("2000").taken(script));
    let (states, record) = a_call(&mut events).await;
    let wanted = [
        CallState::Ringing,
        CallState::Connected,
        CallState::Terminated,
    ];
    assert!(states.ends_with(&wanted), "{states:?}");
    assert_eq!(record.unwrap().disposition, Disposition::Answered);
    rig.mock.call(passing("2000").taken(CallScript::busy()));
    let (_, record) = a_call(&mut events).await;
    assert_eq!(record.unwrap().disposition, Disposition::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_dialogs_cost_one_request_a_poll() {
    let rig = Rig::new().await;
    for number in 0..1_000 {
        rig.mock.call(passing(&format!("{}", 2000 + number)));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    assert_eq!(adapter.snapshot().calls.len(), 1_000);
    let before = rig.mock.requests_of("dlg_list").len();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let lists = rig.mock.requests_of("dlg_list").len() - before;
    assert!((9..=11).contains(&lists), "{lists}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_long_is_asked_for_in_parts_and_none_is_taken_for_ended() {
    let rig = Rig::with(MockOpenSips::builder().reply_limit(30_000)).await;
    let calls: Vec<_> = (0..90)
        .map(|n| rig.mock.call(passing(&format!("{}", 2000 + n))))
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let adapter = rig.polling("page=100");
    adapter.connect().await.unwrap();
    assert_eq!(adapter.snapshot().calls.len(), 90);
    assert!(rig.mock.callee_hangs_up(&calls[3]));
    ended(&adapter, &CallRef::native(&*calls[3])).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(adapter.snapshot().calls.len(), 89);
}

#[tokio::test(start_paused = true)]
async fn a_dialog_is_hung_up_whether_it_rings_or_is_up() {
    for rings in [true, false] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let script = if rings {
            CallScript::no_answer()
        } else {
            CallScript::answer()
        };
        let call = CallRef::native(rig.mock.call(passing("2000").taken(script)));
        let state = if rings {
            CallState::Ringing
        } else {
            CallState::Connected
        };
        in_state(&adapter, &call, state).await;
        let done = adapter.hangup(&call).await.unwrap();
        assert_eq!(done, HangupOutcome::Requested);
        let record = ended(&adapter, &call).await;
        let wanted = if rings {
            Disposition::Cancelled
        } else {
            Disposition::Answered
        };
        assert_eq!(record.disposition, wanted);
        assert_eq!(adapter.hangup(&call).await.unwrap(), HangupOutcome::Ended);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_held_and_taken_back() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = up(&rig, &adapter).await;
    let kind = |done: Result<(), faxbot_core::Error>| done.map_err(|error| error.kind());
    assert_eq!(
        kind(adapter.resume(&call).await),
        Err(ErrorKind::InvalidState)
    );
    adapter.hold(&call).await.unwrap();
    in_state(&adapter, &call, CallState::OnHold).await;
    assert_eq!(
        kind(adapter.hold(&call).await),
        Err(ErrorKind::InvalidState)
    );
    adapter.resume(&call).await.unwrap();
    in_state(&adapter, &call, CallState::Connected).await;
    let gone = CallRef::native("nope@rig");
    assert_eq!(kind(adapter.hold(&gone).await), Err(ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_the_parties_refuse_is_taken_back() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = up(&rig, &adapter).await;
    rig.mock.parties_refuse_hold(true);
    let error = adapter.hold(&call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    in_state(&adapter, &call, CallState::Connected).await;
    assert_eq!(rig.mock.requests_of("call_unhold").len(), 1);
    // The server does not count it as held, so it can be held again.
    rig.mock.parties_refuse_hold(false);
    adapter.hold(&call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hold_or_its_end_that_a_party_ignores_can_be_undone() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = up(&rig, &adapter).await;
    let kind = |done: Result<(), faxbot_core::Error>| done.map_err(|error| error.kind());
    let ignored = |done: Result<(), faxbot_core::Error>| {
        let error = done.unwrap_err();
        let wanted = (ErrorKind::OutcomeUnknown, Effect::Unknown);
        assert_eq!((error.kind(), error.effect()), wanted);
    };
    rig.mock.callee_ignores_hold(true);
    ignored(adapter.hold(&call).await);
    in_state(&adapter, &call, CallState::Connected).await;
    // The server counts it as held.
    let again = adapter.hold(&call).await;
    assert_eq!(kind(again), Err(ErrorKind::InvalidState));
    rig.mock.callee_ignores_hold(false);
    adapter.resume(&call).await.unwrap();
    in_state(&adapter, &call, CallState::Connected).await;
    adapter.hold(&call).await.unwrap();
    rig.mock.callee_ignores_hold(true);
    ignored(adapter.resume(&call).await);
    in_state(&adapter, &call, CallState::OnHold).await;
    let again = adapter.resume(&call).await;
    assert_eq!(kind(again), Err(ErrorKind::InvalidState));
    rig.mock.callee_ignores_hold(false);
    adapter.hold(&call).await.unwrap();
    adapter.resume(&call).await.unwrap();
    in_state(&adapter, &call, CallState::Connected).await;
}

#[tokio::test(start_paused = true)]
async fn a_blind_transfer_ends_as_the_new_party_says() {
    for (script, wanted) in [
        (CallScript::answer(), Ok(())),
        (CallScript::busy(), Err((ErrorKind::Rejected, Some("486")))),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        rig.mock.on_dial("3000*", script);
        let call = up(&rig, &adapter).await;
        let to = address("sip:3000@127.0.0.1:25060");
        let request = TransferRequest::blind(call.clone(), to.clone());
        let done = adapter.transfer(request).await;
        let done = done.map_err(|error| (error.kind(), error.native_code().map(str::to_owned)));
        let done = done
            .as_ref()
            .copied()
            .map_err(|(kind, code)| (*kind, code.as_deref()));
        assert_eq!(done, wanted);
        let asked = rig.mock.requests_of("call_transfer");
        assert_eq!(asked[0].text("leg").as_deref(), Some("caller"));
        if wanted.is_err() {
            in_state(&adapter, &call, CallState::Connected).await;
            let error = adapter
                .transfer(TransferRequest::blind(call, to))
                .await
                .unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidState,
                "the server takes one"
            );
        }
    }
}

/// Seen with pjsua on OpenSIPS 3.6.8: a phone that was sent on has two calls then, and the party that is
/// left hears nothing.
#[tokio::test(start_paused = true)]
async fn a_call_that_no_phone_leaves_after_its_transfer_is_ended() {
    for (stay, attended) in [(true, false), (true, true), (false, false), (false, true)] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        rig.mock.transferred_parties_stay(stay);
        let (call, other) = (up(&rig, &adapter).await, up(&rig, &adapter).await);
        let request = if attended {
            TransferRequest::attended(call.clone(), other)
        } else {
            TransferRequest::blind(call.clone(), address("sip:3000@127.0.0.1:25060"))
        };
        adapter.transfer(request).await.unwrap();
        let record = ended(&adapter, &call).await;
        assert_eq!(record.disposition, Disposition::Answered);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let ended = rig.mock.requests_of("dlg_end_dlg").len();
        assert_eq!(ended, usize::from(stay), "attended: {attended}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_right_after_a_transfer_ends_the_old_call() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.transferred_parties_stay(true);
    let call = up(&rig, &adapter).await;
    let to = address("sip:3000@127.0.0.1:25060");
    let transfer = TransferRequest::blind(call, to);
    adapter.transfer(transfer).await.unwrap();
    adapter.disconnect(Duration::from_secs(5)).await.unwrap();
    assert_eq!(rig.mock.requests_of("dlg_end_dlg").len(), 1);
}

/// Nobody waits for the transfer by then, or nobody knows that the server took it.
#[tokio::test(start_paused = true)]
async fn a_transfer_that_is_done_late_ends_the_old_call_as_well() {
    for answer_is_lost in [false, true] {
        let rig = Rig::new().await;
        let adapter = rig.adapter("transfer_timeout=6s&request_timeout=3s");
        adapter.connect().await.unwrap();
        rig.mock.transferred_parties_stay(true);
        let rings = CallScript::answer().rings(Duration::from_secs(15));
        rig.mock.on_dial("3000*", rings);
        let call = up(&rig, &adapter).await;
        if answer_is_lost {
            rig.mock.next_reply("call_transfer", ReplyFault::Silent);
        }
        let to = address("sip:3000@127.0.0.1:25060");
        let transfer = TransferRequest::blind(call.clone(), to.clone());
        let error = adapter.transfer(transfer).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown);
        in_state(&adapter, &call, CallState::Connected).await;
        // The server takes one transfer of a call; its refusal of another leaves the first as it is.
        let again = TransferRequest::blind(call.clone(), to);
        let refused = adapter.transfer(again).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidState);
        assert!(rig.mock.requests_of("dlg_end_dlg").is_empty());
        ended(&adapter, &call).await;
        assert_eq!(rig.mock.requests_of("dlg_end_dlg").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_transferred_call_is_not_forgotten() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.transferred_parties_stay(true);
    let call = up(&rig, &adapter).await;
    let to = address("sip:3000@127.0.0.1:25060");
    let refused = ReplyFault::Refuse("not now".to_owned());
    rig.mock.next_reply("dlg_end_dlg", refused);
    adapter
        .transfer(TransferRequest::blind(call.clone(), to))
        .await
        .unwrap();
    in_state(&adapter, &call, CallState::Terminated).await;
    assert_eq!(rig.mock.requests_of("dlg_end_dlg").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_party_that_refuses_a_transfer_is_told_of_by_nobody() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.parties_refuse_transfer(true);
    let call = up(&rig, &adapter).await;
    let to = address("sip:3000@127.0.0.1:25060");
    let error = adapter
        .transfer(TransferRequest::blind(call.clone(), to))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::OutcomeUnknown, Effect::Unknown)
    );
    in_state(&adapter, &call, CallState::Connected).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_party_of_our_own_call_is_exchanged() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = CallRequest::connect(address("1001"), address("2000"));
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let transfer = TransferRequest::blind(call.call_ref(), address("3000"));
    adapter.transfer(transfer).await.unwrap();
    let second = rig.mock.b2b_calls().remove(0).second;
    assert_eq!(second, "sip:3000@127.0.0.1:5060");
    let error = adapter.hold(&call.call_ref()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::InvalidState,
        "its legs are no dialogs"
    );
    rig.mock.on_dial("4000*", CallScript::busy());
    let transfer = TransferRequest::blind(call.call_ref(), address("4000"));
    let error = adapter.transfer(transfer).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Rejected, Effect::Unknown),
        "the party that was there is gone"
    );
    assert!(call.ended().await.is_ok());
}

fn message(to: &str, text: &str) -> SipMessage {
    SipMessage::new(address(to), MessageContent::text(MessageKind::Sip, text))
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_refused_or_left_without_an_answer() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let says = |status: u16| Phone::answers().replies(Replies::With(status), Duration::ZERO);
    rig.mock.phone("404*", says(404));
    rig.mock.phone("silent*", Phone::silent());
    let sent = adapter
        .send_message(message("2000", "gr\u{fc}\u{df}e"))
        .await
        .unwrap();
    let seen = rig.mock.requests_of("t_uac_dlg").remove(0);
    let headers = seen.text("headers").unwrap();
    assert!(
        headers.contains(&format!("Call-ID: {}\r\n", sent.message_id)),
        "{headers}"
    );
    assert!(
        headers
            .starts_with("From: <sip:faxbot@127.0.0.1:5060>\r\nTo: <sip:2000@127.0.0.1:5060>\r\n")
    );
    assert_eq!(seen.text("body").as_deref(), Some("gr\u{fc}\u{df}e"));
    let error = adapter.send_message(message("404", "x")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.native_code()),
        (ErrorKind::Rejected, Some("404"))
    );
    let error = adapter
        .send_message(message("sip:silent@127.0.0.1", "x"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Timeout, Effect::Unknown)
    );
    // The server was busy with it, and is not taken for lost.
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
    rig.mock.next_reply("t_uac_dlg", ReplyFault::Silent);
    let error = adapter
        .send_message(message("2000", "x"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn a_message_by_datagram_keeps_nobody_waiting() {
    let mock = MockOpenSips::builder()
        .udp_datagrams()
        .start()
        .await
        .unwrap();
    let at = mock.datagram_address().unwrap();
    let url = format!("{}?mi_datagram=udp:{at}&events=udp:127.0.0.1:0", mock.url());
    let config = faxbot_sip::adapter::opensips::OpenSipsConfig::from_url(&url).unwrap();
    let adapter = faxbot_sip::adapter::opensips::OpenSipsAdapter::new(config);
    adapter.connect().await.unwrap();
    adapter
        .send_message(message("sip:2000@127.0.0.1", "hello"))
        .await
        .unwrap();
    adapter
        .options_ping(&address("sip:2000@127.0.0.1"))
        .await
        .unwrap();
    let seen = mock.requests_of("t_uac_dlg");
    assert!(
        seen.iter().all(|it| it.channel == Channel::Datagram),
        "{seen:?}"
    );
    // Its events come to a socket of ours.
    let mut events = adapter.subscribe();
    mock.call(passing("2000").taken(CallScript::busy()));
    let (_, record) = a_call(&mut events).await;
    assert_eq!(record.unwrap().causes.sip_status, Some(486));
    adapter.disconnect(Duration::from_secs(2)).await.unwrap();
    let ended = |mock: &MockOpenSips| mock.subscriptions().is_empty().then_some(());
    assert!(
        mock.wait_until(Duration::from_secs(5), ended)
            .await
            .is_some()
    );
}

#[tokio::test]
async fn events_come_over_a_connection_that_the_server_makes() {
    let mock = MockOpenSips::builder().reliable().start().await.unwrap();
    let url = format!("{}?events=tcp:127.0.0.1:0", mock.url());
    let config = faxbot_sip::adapter::opensips::OpenSipsConfig::from_url(&url).unwrap();
    let adapter = faxbot_sip::adapter::opensips::OpenSipsAdapter::new(config);
    adapter.connect().await.unwrap();
    for _ in 0..2 {
        let mut events = adapter.subscribe();
        mock.call(passing("2000").taken(CallScript::rejected(603)));
        let (_, record) = a_call(&mut events).await;
        assert_eq!(record.unwrap().causes.sip_status, Some(603));
        mock.drop_event_links();
    }
}

#[tokio::test]
async fn a_socket_that_is_taken_is_an_error_that_says_so() {
    let mock = MockOpenSips::builder().start().await.unwrap();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("{}?events=udp:{}", mock.url(), taken.local_addr().unwrap());
    let config = faxbot_sip::adapter::opensips::OpenSipsConfig::from_url(&url).unwrap();
    let adapter = faxbot_sip::adapter::opensips::OpenSipsAdapter::new(config);
    let error = adapter.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_calls_and_subscribes_again() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = up(&rig, &adapter).await;
    let subscribed = rig.mock.subscriptions();
    assert!(subscribed.iter().all(|(_, socket)| socket == SOCKET));
    let mut events = adapter.subscribe();
    rig.mock.restart(Duration::from_secs(1));
    connection(&mut events, ConnectionState::Connecting).await;
    let gap = connection(&mut events, ConnectionState::Connected).await;
    assert!(gap.is_some());
    assert_eq!(rig.mock.subscriptions().len(), subscribed.len());
    let error = adapter.get_status(&call).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::NotFound,
        "nothing of it is claimed"
    );
    let mut events = adapter.subscribe();
    rig.mock.call(passing("2000").taken(CallScript::busy()));
    let (_, record) = a_call(&mut events).await;
    assert_eq!(record.unwrap().disposition, Disposition::Busy);
}

#[tokio::test(start_paused = true)]
async fn a_call_after_a_restart_of_an_idle_server_is_entered_once() {
    let rig = Rig::new().await;
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut events = adapter.subscribe();
    rig.mock.restart(Duration::ZERO);
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.mock.call(passing("2000"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.mock.requests_of("version").len(), 2, "it is noticed");
    assert_eq!(adapter.snapshot().calls.len(), 1);
    let mut states = Vec::new();
    while let Some(event) = events.try_recv() {
        if let SipEvent::CallStateChanged(change) = event.unwrap().event {
            states.push(change.to);
        }
    }
    assert_eq!(states, [CallState::Connected]);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_renewed_well_before_their_end_and_ended_on_disconnect() {
    let rig = Rig::new().await;
    let adapter = rig.adapter("event_expire=60s");
    adapter.connect().await.unwrap();
    let names = rig.mock.subscriptions().len();
    assert!(names > 5);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.mock.subscriptions().len(), names);
    let asked = rig.mock.requests_of("event_subscribe");
    assert_eq!(asked.len() / names, 20, "every half of their time");
    adapter.disconnect(Duration::from_secs(5)).await.unwrap();
    until(|| rig.mock.subscriptions().is_empty().then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_server_lacks_is_not_declared() {
    for (module, lacks) in [
        (
            "callops",
            &[Capability::Hold, Capability::TransferBlind][..],
        ),
        ("b2b_logic", &[Capability::Connect]),
        ("tm", &[Capability::SendMessage]),
        ("acc", &[Capability::Cdr]),
    ] {
        let rig = Rig::with(MockOpenSips::builder().without(module)).await;
        let adapter = rig.connected().await;
        for &capability in lacks {
            assert!(
                !adapter.capabilities().has(capability),
                "{module} {capability:?}"
            );
        }
        assert!(adapter.capabilities().has(Capability::Hangup));
    }
    let rig = Rig::new().await;
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    assert!(
        !adapter.capabilities().has(Capability::Hold),
        "nothing tells of its outcome"
    );
}

#[tokio::test(start_paused = true)]
async fn the_typed_calls_read_what_the_server_shows() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    up(&rig, &adapter).await;
    rig.mock
        .registers("bob", "sip:bob@127.0.0.1:25071", Duration::from_secs(60));
    assert_eq!(adapter.dialogs().await.unwrap().len(), 1);
    assert!(adapter.b2b_calls().await.unwrap().is_empty());
    let statistics = adapter
        .statistics(&["dialog:active_dialogs", "core:"])
        .await
        .unwrap();
    assert_eq!(statistics["dialog:active_dialogs"], 1);
    let error = adapter
        .statistics(&["active_dialogs", "nope"])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(adapter.registrations().await.unwrap().len(), 1);
    assert_eq!(adapter.contacts("location", "bob").await.unwrap().len(), 1);
    assert!(
        adapter
            .contacts("location", "eve")
            .await
            .unwrap()
            .is_empty()
    );
    let dispatcher = adapter.dispatchers().await.unwrap().remove(0);
    let uri = dispatcher.uri.expose();
    let set = |state: DispatcherState| {
        let adapter = adapter.clone();
        async move {
            adapter
                .set_dispatcher_state(dispatcher.set, uri, &state)
                .await
        }
    };
    set(DispatcherState::Inactive).await.unwrap();
    let now = adapter.dispatchers().await.unwrap().remove(0);
    assert_eq!(now.state, DispatcherState::Inactive);
    let error = adapter
        .set_dispatcher_state(99, uri, &DispatcherState::Active)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!adapter.load_balancers().await.unwrap().is_empty());
    assert!(!adapter.trunks().await.unwrap().is_empty());
    assert!(!adapter.profiles().await.unwrap().is_empty());
    assert!(!adapter.recipes("dlg_list").await.unwrap().is_empty());
    assert!(adapter.recipes("nope").await.unwrap().is_empty());
    let error = adapter.rpc("nope", Params::None, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let version = adapter.rpc("version", Params::None, false).await.unwrap();
    assert!(version["Server"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_told_as_presence_and_other_events_as_they_are() {
    let rig = Rig::new().await;
    let adapter = rig.adapter("event_names=E_MY_EVENT");
    adapter.connect().await.unwrap();
    let mut events = adapter.subscribe();
    rig.mock
        .registers("bob", "sip:bob@127.0.0.1:25071", Duration::from_secs(60));
    let state = next(&mut events, |event| match event {
        SipEvent::PresenceChanged { state, .. } => Some(state.clone()),
        _ => None,
    })
    .await;
    assert_eq!(state, "registered");
    rig.mock.raise("E_MY_EVENT", None);
    next(&mut events, |event| match event {
        SipEvent::Raw(raw) => (raw.name == "E_MY_EVENT").then_some(()),
        _ => None,
    })
    .await;
    for garbage in [
        "",
        "{",
        "[]",
        "{\"method\":\"E_DLG_STATE_CHANGED\",\"params\":[1]}",
        "\u{0}",
    ] {
        adapter.event(garbage.as_bytes());
    }
    until(|| (adapter.connection().state == ConnectionState::Connected).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_of_the_server_is_named() {
    let mock = MockOpenSips::builder().in_memory().start().await.unwrap();
    let rig = Rig { mock };
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    let error = adapter
        .send_message(message("2000", &"x".repeat(1200)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Config, Effect::NoEffect)
    );
    assert!(error.message().contains("receive_buf_size"), "{error}");
    let adapter = rig.polling("max_request_bytes=600");
    adapter.connect().await.unwrap();
    let error = adapter
        .send_message(message("2000", &"x".repeat(700)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_path_and_a_server_that_is_gone_are_clear_errors() {
    let rig = Rig::with(MockOpenSips::builder().root("other")).await;
    let error = rig.polling("").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let rig = Rig::new().await;
    rig.mock.stop_now();
    let error = rig.polling("").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}");
}
