//! Requests whose fate is doubtful, and hanging up: nothing is dialled twice, nothing is lost in the books.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{collections::HashSet, future::Future, pin::pin, task::Poll, time::Duration};

use asterisk_support::{
    FLAVOURS, LONG, Rig, channel_id, dial, drain, eventually, lost, reconnected,
};
use bytes::Bytes;
use faxbot_core::{
    Effect, ErrorKind,
    fax::OutcomeStatus,
    id::{CallId, CallRef},
    sip::{
        CallRecord, CallState, Disposition, HangupOutcome, Lookup, Severity, SipAdapter, SipEvent,
        UnknownReason,
    },
};
use faxbot_testkit::server::asterisk::{CallScript, MockAsterisk, ReplyFault};

fn lost_replies() -> [ReplyFault; 4] {
    [
        ReplyFault::DropBefore,
        ReplyFault::DropAfter,
        ReplyFault::Silent,
        ReplyFault::Garbage(Bytes::from_static(b"Response: Succ\0\xff\r\n\r\n")),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_fax_whose_reply_was_lost_is_followed_to_its_end() {
    for fault in lost_replies() {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let mut stream = adapter.subscribe();
        rig.mock.next_reply("Originate", fault.clone());
        let request = rig.fax("+15551230700", 2);
        let (id, path) = (request.id, rig.spool_file(request.id));
        match adapter.send_fax(request.clone()).await {
            // The reply was there before the link dropped.
            Ok(_) => assert_eq!(fault, ReplyFault::DropAfter),
            Err(error) => {
                assert_eq!(error.effect(), Effect::Unknown, "{fault:?}");
                assert_eq!(error.call_id(), Some(id));
                assert!(path.exists(), "the server may be reading them");
            }
        }
        let again = adapter.send_fax(request).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::InvalidState);
        let mut outcome = None;
        eventually("the fax ends", || {
            for event in drain(&mut stream) {
                if let SipEvent::FaxFinished {
                    id: of,
                    outcome: how,
                } = event
                {
                    assert_eq!(of, id);
                    outcome = Some(how);
                }
            }
            outcome.is_some()
        })
        .await;
        assert_eq!(outcome.unwrap().status, OutcomeStatus::Success, "{fault:?}");
        assert!(!path.exists());
        assert_eq!(rig.originates().len(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_lost_in_a_restart_leaves_no_claim_but_that() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut stream = adapter.subscribe();
    tokio::time::sleep(Duration::from_secs(20)).await;
    // The reply is lost and the server dies with the call before it rang.
    rig.mock.next_reply("Originate", ReplyFault::Silent);
    rig.mock.next_call(CallScript::unreachable());
    let request = dial("+15551230001");
    let id = request.id;
    let placed = adapter.make_call(request);
    let (placed, ()) = tokio::join!(placed, async {
        assert!(rig.mock.wait_for("Originate", 1).await);
        rig.mock.kill(Duration::from_secs(1));
    });
    assert_eq!(placed.unwrap_err().effect(), Effect::Unknown);
    eventually("nobody follows it", || adapter.snapshot().calls.is_empty()).await;
    // The events that told of it tell of its end. Where its channel was seen, the restart is the end.
    let changes: Vec<_> = drain(&mut stream)
        .into_iter()
        .filter_map(|event| match event {
            SipEvent::CallStateChanged(change) if change.id == Some(id) => Some(change),
            _ => None,
        })
        .collect();
    let claims = |record: &CallRecord| {
        let restart = record.causes.q850 == Some(41) && record.disposition == Disposition::Unknown;
        !restart || record.answer.is_some()
    };
    if let Some(last) = changes.last() {
        assert_eq!(last.to, CallState::Terminated);
        assert!(!last.record.as_deref().is_some_and(claims), "{last:?}");
    }
    match adapter.lookup(&CallRef::from(id)).await.unwrap() {
        Lookup::Unknown(_) => {}
        Lookup::Ended(record) => assert!(!claims(&record), "{record:?}"),
        found => panic!("{found:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_is_dropped_at_any_await_is_sent_once_or_not_at_all() {
    for polls in 1..40_usize {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let request = rig.fax("+15551230700", 1);
        let id = request.id;
        {
            let mut sending = pin!(adapter.send_fax(request));
            for _ in 0..polls {
                let ready =
                    std::future::poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_ready()));
                if ready.await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        eventually("the books are empty", || {
            adapter.snapshot().calls.is_empty()
        })
        .await;
        eventually("the spool is empty", || rig.spooled().is_empty()).await;
        assert!(rig.originates().len() <= 1, "after {polls} polls");
        let sent = rig.mock.received_faxes().len();
        if rig.originates().is_empty() {
            assert_eq!(sent, 0);
        } else {
            assert!(rig.mock.received_faxes()[0].complete, "after {polls} polls");
            let found = adapter.lookup(&id.into()).await.unwrap();
            assert!(matches!(found, Lookup::Ended(_)), "{found:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_an_earlier_process_with_the_same_id_is_followed_not_ended() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let killed = rig.connected().await;
        let request = dial("+15551230001");
        let call = killed.make_call(request.clone()).await.unwrap();
        call.answered().await.unwrap();
        drop((call, killed));
        let next = rig.connected().await;
        // The server's failure of this request carries the Uniqueid of the call that lives.
        let call = next.make_call(request.clone()).await.unwrap();
        call.answered().await.unwrap();
        tokio::time::sleep(LONG).await;
        assert_eq!(call.state(), CallState::Connected);
        assert_eq!(rig.mock.channels(), [channel_id(request.id)]);
        next.hangup(&call.call_ref()).await.unwrap();
        let record = call.ended().await.unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_another_process_asked_for_in_vain_keeps_its_own_call() {
    let rig = Rig::new().await;
    let (one, two) = (rig.connected().await, rig.connected().await);
    let request = dial("+15551230001");
    let call = one.make_call(request.clone()).await.unwrap();
    call.answered().await.unwrap();
    let _other = two.make_call(request).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(call.state(), CallState::Connected);
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_over_a_reconnect_and_those_not_yet_requested_too() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    // The extension is looked for before the request; the link drops just there.
    rig.mock.next_reply("ShowDialPlan", ReplyFault::DropBefore);
    let error = adapter.make_call(dial("+15551230001")).await.unwrap_err();
    assert_eq!(error.effect(), Effect::NoEffect);
    assert!(rig.originates().is_empty());
    assert!(adapter.snapshot().calls.is_empty());
    reconnected(&adapter).await;
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    rig.cut();
    lost(&adapter).await;
    rig.mend();
    reconnected(&adapter).await;
    assert_eq!(call.state(), CallState::Connected);
}

#[tokio::test(start_paused = true)]
async fn states_that_overtake_the_reply_are_no_fault() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut stream = adapter.subscribe();
    for _ in 0..20 {
        let call = adapter.make_call(dial("+15551230001")).await.unwrap();
        call.answered().await.unwrap();
        adapter.hangup(&call.call_ref()).await.unwrap();
        call.ended().await.unwrap();
    }
    let faults = drain(&mut stream)
        .into_iter()
        .filter(|event| matches!(event, SipEvent::AdapterError { severity, .. } if *severity >= Severity::Warning))
        .count();
    assert_eq!(faults, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_before_the_channel_is_there_is_made_good() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = dial("+15551230001");
    let id = request.id;
    // The server says that there is no such channel.
    rig.mock
        .next_reply("Hangup", ReplyFault::Refuse("No such channel".into()));
    let call = adapter.make_call(request).await.unwrap();
    let asked = adapter.hangup(&id.into()).await.unwrap();
    assert_eq!(asked, HangupOutcome::Requested);
    // Once more, when the channel shows up.
    rig.mock
        .next_reply("Hangup", ReplyFault::Refuse("Permission denied".into()));
    let record = tokio::time::timeout(LONG, call.ended())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(record.disposition, Disposition::Cancelled);
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_names_one_channel_and_never_a_pattern() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let calls = [
        adapter.make_call(dial("+15551230001")).await.unwrap(),
        adapter.make_call(dial("+15551230002")).await.unwrap(),
    ];
    for call in &calls {
        call.answered().await.unwrap();
    }
    let before = rig.mock.actions_named("Hangup").len();
    let error = adapter
        .hangup(&CallRef::native("/^PJSIP/"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(rig.mock.actions_named("Hangup").len(), before);
    let status = adapter.get_status(&calls[0].call_ref()).await.unwrap();
    let name = status
        .channels
        .iter()
        .find(|name| name.expose().starts_with("PJSIP/"))
        .unwrap();
    adapter
        .hangup(&CallRef::native(name.expose()))
        .await
        .unwrap();
    calls[0].ended().await.unwrap();
    assert_eq!(rig.mock.channels(), [channel_id(calls[1].id())]);
    let error = adapter
        .hangup(&CallRef::native("PJSIP/none-00000000"))
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    // Somebody else's call, by the id that we know.
    let other = rig.connected().await;
    let asked = other.hangup(&calls[1].call_ref()).await.unwrap();
    assert_eq!(asked, HangupOutcome::Requested);
    calls[1].ended().await.unwrap();
    let error = other.hangup(&CallId::new().into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn hanging_up_twice_asks_once_more_at_most() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    let asked = adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(asked, HangupOutcome::Ended);
    assert!(rig.mock.actions_named("Hangup").len() <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_silent_calls_cost_one_list_a_minute() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut ids = HashSet::new();
    for index in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let call = adapter
            .make_call(dial(&format!("+155512300{index:02}")))
            .await;
        ids.insert(call.unwrap().id());
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    let before = rig.mock.actions_named("CoreShowChannels").len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let lists = rig.mock.actions_named("CoreShowChannels").len() - before;
    assert!((1..=20).contains(&lists), "{lists} lists in ten minutes");
    assert_eq!(adapter.snapshot().calls.len(), ids.len());
}

#[tokio::test(start_paused = true)]
async fn links_that_drop_all_the_time_cost_no_fax_and_dial_none_twice() {
    for every in [70_u64, 310, 1_300, 7_900, 23_000] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let mut ids = HashSet::new();
        for index in 0..6 {
            let request = rig.fax(&format!("+1555123000{index}"), 2);
            ids.insert(request.id);
            tokio::time::sleep(Duration::from_millis(every / 7)).await;
            // Lost or not, the books follow it; what was refused for sure is not there.
            if let Err(error) = adapter.send_fax(request.clone()).await
                && error.effect() == Effect::NoEffect
            {
                ids.remove(&request.id);
            }
            rig.mock.drop_links();
        }
        for _ in 0..(200_000 / every).clamp(10, 400) {
            tokio::time::sleep(Duration::from_millis(every)).await;
            rig.mock.drop_links();
        }
        rig.quiet().await;
        eventually("the books are empty", || {
            adapter.snapshot().calls.is_empty()
        })
        .await;
        assert!(!ids.is_empty());
        for id in &ids {
            let found = adapter.lookup(&(*id).into()).await.unwrap();
            let Lookup::Ended(record) = found else {
                panic!("{found:?}, dropped every {every} ms");
            };
            assert!(record.fax.as_ref().unwrap().is_success(), "{record:?}");
        }
        assert_eq!(rig.originates().len(), ids.len(), "every {every} ms");
        assert!(rig.spooled().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn another_server_behind_the_address_ends_no_call_and_disproves_none() {
    let rig = Rig::new().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let other = MockAsterisk::builder().in_memory().start().await.unwrap();
    // It has our extensions since before the call.
    rig.gate.lead_to(&other);
    let adapter = rig.connected().await;
    let back = async || {
        rig.gate.shut();
        other.drop_links();
        lost(&adapter).await;
        rig.mend();
        reconnected(&adapter).await;
    };
    back().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let requested = rig.clock.timestamp();
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    rig.cut();
    lost(&adapter).await;
    rig.gate.lead_to(&other);
    reconnected(&adapter).await;
    let end = tokio::time::timeout(LONG, call.ended()).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    let of = CallRef::from(call.id()).requested_at(requested);
    let found = adapter.lookup(&of).await.unwrap();
    assert!(
        matches!(found, Lookup::Unknown(UnknownReason::ServerRestarted)),
        "{found:?}"
    );
    // It goes on all the time, and is found again.
    back().await;
    let found = adapter.lookup(&of).await.unwrap();
    assert!(matches!(found, Lookup::Live(_)), "{found:?}");
}
