//! Calls that come in: told, accepted, rejected, given up, and found again after a gap.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::time::Duration;

use asterisk_support::{CONTEXT, FLAVOURS, LONG, Rig, drain, eventually, lost, reconnected};
use faxbot_core::{
    Effect, ErrorKind,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{
        AcceptAs, CallRecord, CallState, Capability, Direction, Disposition, IncomingCall, Lookup,
        RejectCause, SipAdapter as _, SipEvent,
    },
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::server::asterisk::{CallScript, CallerSaw, IncomingScript, ReplyFault};

fn taking(config: &mut AsteriskConfig) {
    config.incoming_context = Some("incoming".to_owned());
}

async fn connected(rig: &Rig) -> AsteriskAdapter {
    let adapter = rig.adapter_with(taking);
    adapter.connect().await.unwrap();
    adapter
}

fn caller() -> IncomingScript {
    IncomingScript::new("+15551230001", "+15551230710").name("Alice")
}

async fn next(events: &mut EventStream<SipEvent>) -> IncomingCall {
    let told = async {
        loop {
            if let SipEvent::IncomingCall(call) = events.recv().await.unwrap().unwrap().event {
                return call;
            }
        }
    };
    tokio::time::timeout(LONG, told)
        .await
        .expect("no call was told of")
}

/// A call that was told of, and the channel that it came by.
async fn told(rig: &Rig, adapter: &AsteriskAdapter, script: IncomingScript) -> (CallId, String) {
    let mut events = adapter.subscribe();
    let channel = rig.mock.incoming(script);
    (next(&mut events).await.id, channel)
}

async fn saw(rig: &Rig, channel: &str, wanted: CallerSaw) {
    let seen = rig
        .mock
        .wait_until(LONG, |mock| {
            (mock.caller_saw(channel) == Some(wanted)).then_some(())
        })
        .await;
    assert!(
        seen.is_some(),
        "{:?} and not {wanted:?}",
        rig.mock.caller_saw(channel)
    );
}

async fn record(adapter: &AsteriskAdapter, id: CallId) -> CallRecord {
    let mut found = None;
    for _ in 0..60_000 {
        if let Lookup::Ended(record) = adapter.lookup(&id.into()).await.unwrap() {
            found = Some(*record);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    found.expect("the call never ended")
}

fn state(adapter: &AsteriskAdapter, id: CallId) -> Option<CallState> {
    let calls = adapter.snapshot().calls;
    let call = calls.into_iter().find(|call| call.id == Some(id))?;
    Some(call.state)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_with_its_caller_called_number_headers_and_deadline() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.adapter_with(|config| {
            taking(config);
            config.incoming_headers = vec!["X-Account".to_owned(), "X-Absent".to_owned()];
        });
        adapter.connect().await.unwrap();
        let mut events = adapter.subscribe();
        let channel = rig.mock.incoming(caller().header("X-Account", "a, \"17\""));
        let call = next(&mut events).await;
        let text = |value: &Option<faxbot_core::Private>| value.as_ref().unwrap().expose().clone();
        assert_eq!(text(&call.caller), "+15551230001");
        assert_eq!(text(&call.called), "+15551230710");
        let header = |name: &str| call.headers.get(name).map(|value| value.expose().as_str());
        assert_eq!(header("X-Account"), Some("a, \"17\""));
        assert_eq!(header("X-Absent"), None);
        assert_eq!(header("agi_calleridname"), Some("Alice"));
        assert_eq!(header("agi_dnid"), Some("+15551230710"));
        assert_eq!(
            call.deadline.duration_since(call.at),
            Duration::from_secs(20)
        );
        let snapshot = adapter.snapshot();
        assert_eq!(snapshot.incoming.len(), 1);
        assert_eq!(snapshot.incoming[0].id, call.id);
        assert_eq!(snapshot.calls[0].direction, Direction::Inbound);
        assert_eq!(snapshot.calls[0].state, CallState::Incoming);
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Ringing));
        assert!(adapter.hangup(&CallRef::native(channel)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_other_contexts_are_none_of_ours() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let mut events = adapter.subscribe();
    rig.mock.incoming(caller().context("others"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(adapter.snapshot().calls.is_empty());
    let told = drain(&mut events);
    assert!(
        !told
            .iter()
            .any(|it| matches!(it, SipEvent::IncomingCall(_))),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_context_nothing_comes_in_and_nothing_can_be_decided() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    assert!(!adapter.capabilities().has(Capability::Incoming));
    assert!(!adapter.capabilities().has(Capability::ReceiveFax));
    rig.mock.incoming(caller());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(adapter.snapshot().incoming.is_empty());
    let call = CallRef::from(CallId::new());
    for error in [
        adapter.accept(&call, AcceptAs::Park).await.unwrap_err(),
        adapter.reject(&call, RejectCause::Busy).await.unwrap_err(),
        adapter.accept(&call, AcceptAs::Fax).await.unwrap_err(),
        adapter.take_fax(&call).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_call_is_answered_by_one_redirect_and_ends_with_its_record() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = connected(&rig).await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
        assert_eq!(state(&adapter, id), Some(CallState::Connected));
        assert!(adapter.snapshot().incoming.is_empty());
        let redirects = rig.mock.actions_named("Redirect");
        assert_eq!(redirects.len(), 1);
        assert_eq!(redirects[0].get("Context"), Some(CONTEXT));
        assert_eq!(redirects[0].get("Exten"), Some("accept"));
        assert!(rig.mock.actions_named("AGI").is_empty());
        // Longer than the wait for a decision may take.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(state(&adapter, id), Some(CallState::Connected));
        adapter.hangup(&id.into()).await.unwrap();
        let record = record(&adapter, id).await;
        assert_eq!(record.direction, Direction::Inbound);
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.from.unwrap().expose(), "+15551230001");
        assert_eq!(record.to.unwrap().expose(), "+15551230710");
        assert!(record.billable_seconds.unwrap() >= 3600);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_in_an_extension_of_the_dialplan() {
    let rig = Rig::with(|builder| {
        builder
            .extension("default", "600", 1, "Wait", "5")
            .extension("default", "600", 2, "Hangup", "")
            .extension("sales", "s-1.a", 1, "Wait", "5")
            .extension("sales", "s-1.a", 2, "Hangup", "")
    })
    .await;
    let adapter = connected(&rig).await;
    for (extension, context) in [("600", None), ("s-1.a", Some("sales".to_owned()))] {
        let (id, channel) = told(&rig, &adapter, caller()).await;
        let to = AcceptAs::Extension {
            extension: extension.to_owned(),
            context,
        };
        adapter.accept(&id.into(), to).await.unwrap();
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
        let record = record(&adapter, id).await;
        assert_eq!(record.billable_seconds, Some(5));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_name_of_an_extension_is_refused_and_the_call_waits_still() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, _) = told(&rig, &adapter, caller()).await;
    let long = "1".repeat(80);
    for (extension, context) in [
        ("", None),
        ("600,1", None),
        ("${EXTEN}", None),
        ("6 0", None),
        (long.as_str(), None),
        ("600", Some("a&b")),
        ("600\r\nAction: Ping", None),
    ] {
        let to = AcceptAs::Extension {
            extension: extension.to_owned(),
            context: context.map(str::to_owned),
        };
        let error = adapter.accept(&id.into(), to).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{extension}");
    }
    assert_eq!(adapter.snapshot().incoming.len(), 1);
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_is_bridged_to_a_party_that_answers() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = connected(&rig).await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        rig.mock.next_call(CallScript::answer());
        let to = AcceptAs::Bridge("+15551230600".parse().unwrap());
        adapter.accept(&id.into(), to).await.unwrap();
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
        assert_eq!(rig.mock.channels().len(), 2);
        adapter.hangup(&id.into()).await.unwrap();
        assert_eq!(
            record(&adapter, id).await.disposition,
            Disposition::Answered
        );
        rig.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_party_that_does_not_answer_is_told_with_its_cause_and_the_caller_stays() {
    for (script, cause) in [
        (CallScript::busy(), "17"),
        (CallScript::rejected(404), "1"),
        (CallScript::no_such_endpoint(), "3"),
        (CallScript::no_answer(), "19"),
    ] {
        let rig = Rig::new().await;
        let adapter = connected(&rig).await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        rig.mock.next_call(script.clone());
        let to = AcceptAs::Bridge("+15551230602".parse().unwrap());
        let error = adapter.accept(&id.into(), to).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{script:?}");
        assert_eq!(error.native_code(), Some(cause), "{script:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
        assert_eq!(state(&adapter, id), Some(CallState::Connected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_caller_is_told_the_cause_and_the_record_says_that_we_ended_it() {
    for flavour in FLAVOURS {
        for (cause, told_cause, q850) in [
            (RejectCause::Busy, 17, 17),
            (RejectCause::Unavailable, 19, 19),
            (RejectCause::NotFound, 1, 1),
            (RejectCause::Declined, 16, 21),
        ] {
            let rig = Rig::of(flavour).await;
            let adapter = connected(&rig).await;
            let (id, channel) = told(&rig, &adapter, caller()).await;
            adapter.reject(&id.into(), cause).await.unwrap();
            saw(&rig, &channel, CallerSaw::Ended { cause: told_cause }).await;
            let record = record(&adapter, id).await;
            assert_eq!(record.disposition, Disposition::Cancelled, "{cause:?}");
            assert_eq!(record.causes.q850, Some(q850), "{cause:?}");
            assert_eq!(record.answer, None);
            let error = adapter
                .accept(&id.into(), AcceptAs::Park)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_decides_on_is_rejected_as_unavailable_at_its_deadline() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| {
        taking(config);
        config.incoming_deadline = Duration::from_secs(7);
    });
    adapter.connect().await.unwrap();
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let (other, _) = told(&rig, &adapter, caller()).await;
    adapter.accept(&other.into(), AcceptAs::Park).await.unwrap();
    let before = tokio::time::Instant::now();
    saw(&rig, &channel, CallerSaw::Ended { cause: 19 }).await;
    assert!(before.elapsed() < Duration::from_secs(8));
    let record = record(&adapter, id).await;
    assert_eq!(record.disposition, Disposition::NoAnswer);
    assert_eq!(record.causes.q850, Some(19));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(state(&adapter, other), Some(CallState::Connected));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_at_the_deadline_that_is_refused_is_told_and_tried_again() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (_, channel) = told(&rig, &adapter, caller()).await;
    let mut events = adapter.subscribe();
    rig.mock
        .next_reply("Hangup", ReplyFault::Refuse("Something else.".into()));
    saw(&rig, &channel, CallerSaw::Ended { cause: 19 }).await;
    let told = drain(&mut events);
    let trouble = |event: &&SipEvent| matches!(event, SipEvent::AdapterError { .. });
    assert_eq!(told.iter().filter(trouble).count(), 1, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_leaves_a_missed_call() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = connected(&rig).await;
        let script = caller().gives_up_after(Duration::from_secs(5));
        let (id, _) = told(&rig, &adapter, script).await;
        let record = record(&adapter, id).await;
        assert_eq!(record.disposition, Disposition::NoAnswer);
        assert!(adapter.snapshot().incoming.is_empty());
        for error in [
            adapter.accept(&id.into(), AcceptAs::Park).await,
            adapter.reject(&id.into(), RejectCause::Busy).await,
        ] {
            assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_knows_is_not_found_and_one_of_ours_did_not_come_in() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let nobody = CallRef::from(CallId::new());
    let error = adapter.accept(&nobody, AcceptAs::Park).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let call = adapter
        .make_call(asterisk_support::dial("+15551230600"))
        .await
        .unwrap();
    let error = adapter
        .reject(&call.call_ref(), RejectCause::Busy)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
}

#[tokio::test(start_paused = true)]
async fn of_two_decisions_at_once_one_wins() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let call = CallRef::from(id);
    let (accepted, rejected) = tokio::join!(
        adapter.accept(&call, AcceptAs::Park),
        adapter.reject(&call, RejectCause::Busy)
    );
    accepted.unwrap();
    assert_eq!(rejected.unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
    let again = adapter.accept(&call, AcceptAs::Park).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidState);
}

#[tokio::test(start_paused = true)]
async fn a_decision_whose_order_was_refused_leaves_room_for_another() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    for action in ["Redirect", "Setvar", "ShowDialPlan"] {
        rig.mock
            .next_reply(action, ReplyFault::Refuse("Something else.".into()));
        let error = adapter
            .accept(&id.into(), AcceptAs::Park)
            .await
            .unwrap_err();
        assert_eq!(error.effect(), Effect::NoEffect, "{action}");
        assert_eq!(adapter.snapshot().incoming.len(), 1, "{action}");
    }
    rig.mock
        .next_reply("Hangup", ReplyFault::Refuse("Something else.".into()));
    adapter
        .reject(&id.into(), RejectCause::Busy)
        .await
        .unwrap_err();
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_was_given_up_before_its_order_leaves_room_for_another() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, _) = told(&rig, &adapter, caller()).await;
    rig.mock
        .next_reply("ShowDialPlan", ReplyFault::Slow(Duration::from_secs(5)));
    let call = CallRef::from(id);
    let accept = adapter.accept(&call, AcceptAs::Park);
    let given_up = tokio::time::timeout(Duration::from_secs(1), accept).await;
    assert!(given_up.is_err());
    assert_eq!(adapter.snapshot().incoming.len(), 1);
    adapter.accept(&call, AcceptAs::Park).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_link_that_drops_on_the_order_changes_nothing_about_it() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    rig.mock.next_reply("Redirect", ReplyFault::DropBefore);
    let error = adapter
        .accept(&id.into(), AcceptAs::Park)
        .await
        .unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    reconnected(&adapter).await;
    eventually("the call is connected", || {
        state(&adapter, id) == Some(CallState::Connected)
    })
    .await;
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
    assert!(adapter.snapshot().incoming.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_undecided_call_lives_through_a_gap_and_one_that_came_in_it_is_told_late() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let gone = caller().gives_up_after(Duration::from_secs(3));
    let (gone, _) = told(&rig, &adapter, gone).await;
    let mut events = adapter.subscribe();
    rig.cut();
    lost(&adapter).await;
    let error = adapter
        .accept(&id.into(), AcceptAs::Park)
        .await
        .unwrap_err();
    assert_eq!(error.effect(), Effect::NoEffect);
    let late = rig.mock.incoming(caller());
    tokio::time::sleep(Duration::from_secs(4)).await;
    rig.mend();
    let call = next(&mut events).await;
    assert_eq!(call.headers["agi_calleridname"].expose(), "Alice");
    assert!(call.deadline.duration_since(call.at) > Duration::from_secs(20));
    assert_eq!(
        record(&adapter, gone).await.disposition,
        Disposition::NoAnswer
    );
    assert_eq!(adapter.snapshot().incoming.len(), 2);
    for (id, channel) in [(id, channel), (call.id, late)] {
        adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
        assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_call_is_followed_through_a_gap() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let lives = caller().hangs_up_after(Duration::from_secs(500));
    let ends = caller().hangs_up_after(Duration::from_secs(5));
    let (lives, _) = told(&rig, &adapter, lives).await;
    let (ends, _) = told(&rig, &adapter, ends).await;
    for id in [lives, ends] {
        adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
    }
    rig.cut();
    tokio::time::sleep(Duration::from_secs(10)).await;
    rig.mend();
    reconnected(&adapter).await;
    let record = record(&adapter, ends).await;
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(state(&adapter, lives), Some(CallState::Connected));
    adapter.hangup(&lives.into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_a_waiting_call_under_the_same_id_and_can_look_up_the_others() {
    let rig = Rig::new().await;
    let first = connected(&rig).await;
    let (waiting, channel) = told(&rig, &first, caller()).await;
    let (up, _) = told(&rig, &first, caller()).await;
    first.accept(&up.into(), AcceptAs::Park).await.unwrap();
    let (rejected, _) = told(&rig, &first, caller()).await;
    first.disconnect(Duration::from_secs(1)).await.unwrap();
    drop(first);

    let second = rig.adapter_with(taking);
    let mut events = second.subscribe();
    second.connect().await.unwrap();
    let mut found = vec![next(&mut events).await.id, next(&mut events).await.id];
    found.sort_unstable();
    let mut wanted = vec![waiting, rejected];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let handlers = |mock: &faxbot_testkit::server::asterisk::MockAsterisk| {
        let set = mock.actions_named("Setvar");
        let ours = |it: &&faxbot_testkit::server::asterisk::SeenAction| {
            it.get("Variable") == Some("CHANNEL(hangup_handler_push)")
        };
        set.iter().filter(ours).count()
    };
    assert_eq!(handlers(&rig.mock), 3, "a handler is not pushed twice");
    match second.lookup(&up.into()).await.unwrap() {
        Lookup::Live(status) => {
            assert_eq!(status.state, CallState::Connected);
            assert_eq!(status.direction, Direction::Inbound);
        }
        other => panic!("{other:?}"),
    }
    second
        .accept(&waiting.into(), AcceptAs::Park)
        .await
        .unwrap();
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
    second
        .reject(&rejected.into(), RejectCause::Busy)
        .await
        .unwrap();
    second.hangup(&up.into()).await.unwrap();
    second.hangup(&waiting.into()).await.unwrap();
    rig.quiet().await;

    let third = connected(&rig).await;
    for (id, disposition) in [
        (waiting, Disposition::Answered),
        (up, Disposition::Answered),
        (rejected, Disposition::Cancelled),
    ] {
        let record = record(&third, id).await;
        assert_eq!(record.direction, Direction::Inbound);
        assert_eq!(record.disposition, disposition);
    }
    third.release(&up.into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_link_that_drops_while_a_call_is_prepared_leaves_none_without_its_handler() {
    for faulty in 0..4 {
        let rig = Rig::new().await;
        let adapter = connected(&rig).await;
        for _ in 0..faulty {
            rig.mock
                .next_reply("Setvar", ReplyFault::Slow(Duration::ZERO));
        }
        rig.mock.next_reply("Setvar", ReplyFault::DropBefore);
        let (id, _) = told(&rig, &adapter, caller()).await;
        adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
        adapter.hangup(&id.into()).await.unwrap();
        rig.quiet().await;
        let other = connected(&rig).await;
        assert!(
            matches!(other.lookup(&id.into()).await.unwrap(), Lookup::Ended(_)),
            "{faulty}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_said_to_be_gone_and_is_not_can_be_decided_on_again() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let mut events = adapter.subscribe();
    rig.mock
        .next_reply("Hangup", ReplyFault::Refuse("No such channel".into()));
    let error = adapter
        .reject(&id.into(), RejectCause::Busy)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(next(&mut events).await.id, id);
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_is_disconnected_while_a_call_is_bridged_invents_no_end() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (id, _) = told(&rig, &adapter, caller()).await;
    rig.mock.next_call(CallScript::no_answer());
    let to = AcceptAs::Bridge("+15551230602".parse().unwrap());
    let call = CallRef::from(id);
    let (error, _) = tokio::join!(adapter.accept(&call, to), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        adapter.disconnect(Duration::from_secs(1)).await.unwrap();
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_calls_is_rejected_as_busy_beyond_a_thousand() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let mut events = adapter.subscribe();
    let channels: Vec<_> = (0..1_010).map(|_| rig.mock.incoming(caller())).collect();
    for channel in &channels[1_000..] {
        saw(&rig, channel, CallerSaw::Ended { cause: 17 }).await;
    }
    eventually("all are told of", || {
        adapter.snapshot().incoming.len() == 1_000
    })
    .await;
    let mut warnings = 0;
    while let Some(event) = events.try_recv() {
        // The stream of a subscriber that does not read loses some.
        if let Ok(event) = event
            && let SipEvent::AdapterError { error, .. } = event.event
        {
            assert_eq!(error.kind(), ErrorKind::Overloaded);
            warnings += 1;
        }
    }
    assert!(warnings <= 1);
}

#[tokio::test(start_paused = true)]
async fn the_server_itself_ends_a_call_whose_process_died() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (_, channel) = told(&rig, &adapter, caller()).await;
    adapter.disconnect(Duration::from_secs(1)).await.unwrap();
    drop(adapter);
    let before = tokio::time::Instant::now();
    saw(&rig, &channel, CallerSaw::Ended { cause: 0 }).await;
    assert!(before.elapsed() < Duration::from_secs(40));
}
