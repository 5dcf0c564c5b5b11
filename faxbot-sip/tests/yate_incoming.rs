//! Calls that come to us over Yate: routed by a hook or by us, told, decided on, and found again.
#![cfg(test)]
#![cfg(feature = "yate")]

mod yate_support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use faxbot_core::{
    ErrorKind,
    id::{CallId, CallRef},
    sip::{
        AcceptAs, CallRequest, CallState, Direction, Disposition, HistoryQuery, Lookup,
        RejectCause, SipAdapter as _, SipEvent,
    },
};
use faxbot_sip::adapter::yate::{
    Attach, AttachEnd, EndsEveryCall, RouteCall, RouteTarget, YateAdapter,
};
use faxbot_testkit::server::{CallScript, CallerSaw, IncomingFax, IncomingScript, ReplyFault};
use tokio::time::Instant;
use yate_support::{LONG, Rig, drain, eventually, lost, next_call, reconnected};

fn caller() -> IncomingScript {
    IncomingScript::new("4930123", "7001").name("Anna")
}

/// A call that was told of, and the channel that it came by.
async fn told(rig: &Rig, adapter: &YateAdapter, script: IncomingScript) -> (CallId, String) {
    let mut events = adapter.subscribe();
    let channel = rig.mock.incoming(script);
    (next_call(&mut events).await.id, channel)
}

fn state(adapter: &YateAdapter, id: CallId) -> Option<CallState> {
    let calls = adapter.snapshot().calls;
    let call = calls.into_iter().find(|call| call.id == Some(id))?;
    Some(call.state)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_told_with_its_headers_and_waits_as_long_as_it_may() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| {
        config.incoming_headers = vec!["X-Account".to_owned(), "X-Absent".to_owned()];
    });
    adapter.connect().await.unwrap();
    let mut events = adapter.subscribe();
    let channel = rig
        .mock
        .incoming(caller().header("X-Account", "a: 17; \"b\""));
    let call = next_call(&mut events).await;
    let header = |name: &str| call.headers.get(name).map(|value| value.expose().as_str());
    assert_eq!(header("X-Account"), Some("a: 17; \"b\""));
    assert_eq!(header("X-Absent"), None);
    assert_eq!(header("callername"), Some("Anna"));
    assert_eq!(header("sip_uri"), Some("sip:7001@127.0.0.1:5095"));
    let waits = call.deadline.duration_since(call.at);
    assert_eq!(waits, Duration::from_secs(20));
    assert_eq!(adapter.snapshot().incoming.len(), 1);
    let status = adapter.get_status(&call.id.into()).await.unwrap();
    assert_eq!(
        (status.state, status.direction),
        (CallState::Incoming, Direction::Inbound)
    );
    // Nobody decides: 480, no answer.
    rig.saw(&channel, CallerSaw::Ended { cause: 19 }).await;
    eventually("the end", || adapter.snapshot().calls.is_empty()).await;
    let Lookup::Ended(record) = adapter.lookup(&call.id.into()).await.unwrap() else {
        panic!("it did not end");
    };
    assert_eq!(record.causes.q850, Some(19));
}

#[tokio::test(start_paused = true)]
async fn without_options_incoming_the_engine_is_not_asked_for_calls() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| config.incoming = false);
    adapter.connect().await.unwrap();
    let channel = rig.mock.incoming(caller());
    rig.saw(&channel, CallerSaw::Ended { cause: 1 }).await;
    assert!(rig.mock.actions_named("install").is_empty());
    let refused = adapter.accept(&CallId::new().into(), AcceptAs::Park).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn calls_that_begin_here_are_not_taken_for_incoming_ones() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| config.dial = "{number}".parse().unwrap());
    adapter.connect().await.unwrap();
    let mut events = adapter.subscribe();
    let call = adapter
        .make_call(CallRequest::dial("+4930111".parse().unwrap()))
        .await
        .unwrap();
    call.answered().await.unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    let told = drain(&mut events);
    let came = told
        .iter()
        .any(|event| matches!(event, SipEvent::IncomingCall(_)));
    assert!(!came, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_routes_refuses_and_lets_calls_come_in() {
    let rig = Rig::new().await;
    let adapter = rig.adapter().on_route(|call: RouteCall| async move {
        let called = call.called.as_ref()?.expose().clone();
        match called.as_str() {
            "7001" => Some(RouteTarget::new("tone/dial").with_param("callername", "Hook")),
            "7002" => Some(RouteTarget::reject(RejectCause::Declined)),
            "7003" if call.param("sip_x-kind") == Some("vip") => Some("tone/ring".into()),
            "7004" => Some("bad\ntarget".into()),
            _ => None,
        }
    });
    adapter.connect().await.unwrap();
    let mut events = adapter.subscribe();
    let call = |number: &str| IncomingScript::new("4930123", number);
    for (script, saw) in [
        (call("7001"), CallerSaw::Answered),
        (call("7002"), CallerSaw::Ended { cause: 21 }),
        (call("7003").header("X-Kind", "vip"), CallerSaw::Answered),
        (call("7004"), CallerSaw::Ended { cause: 1 }),
    ] {
        let channel = rig.mock.incoming(script);
        rig.saw(&channel, saw).await;
    }
    let channel = rig.mock.incoming(call("7003"));
    let came = next_call(&mut events).await;
    adapter
        .reject(&came.id.into(), RejectCause::Busy)
        .await
        .unwrap();
    rig.saw(&channel, CallerSaw::Ended { cause: 17 }).await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_slow_or_panics_lets_the_call_fall_through_in_time() {
    let rig = Rig::with(|builder| builder.route("7*", "tone/dial")).await;
    let adapter = rig.adapter().on_route(|call: RouteCall| async move {
        let called = call.called.as_ref()?.expose().clone();
        assert_ne!(called, "7002", "a handler that panics");
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Some(RouteTarget::new("tone/ring"))
    });
    adapter.connect().await.unwrap();
    let before = Instant::now();
    let channel = rig.mock.incoming(IncomingScript::new("1", "7001"));
    rig.saw(&channel, CallerSaw::Answered).await;
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "the engine waited"
    );
    let before = Instant::now();
    let channel = rig.mock.incoming(IncomingScript::new("1", "7002"));
    rig.saw(&channel, CallerSaw::Answered).await;
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "the engine waited"
    );
    // The adapter goes on as before.
    assert!(adapter.health_check().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_hundred_hooks_run_at_once_and_more_calls_fall_through() {
    let rig = Rig::with(|builder| builder.route("7*", "tone/dial")).await;
    let running = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&running);
    let adapter = rig.adapter().on_route(move |_call| {
        let counter = Arc::clone(&counter);
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
    });
    adapter.connect().await.unwrap();
    let before = Instant::now();
    let channels: Vec<_> = (0..120)
        .map(|_| rig.mock.incoming(IncomingScript::new("1", "7001")))
        .collect();
    let answered = |number: usize| {
        let saw = |channel: &&String| rig.mock.caller_saw(channel) == Some(CallerSaw::Answered);
        channels.iter().filter(saw).count() >= number
    };
    eventually("those that are too many", || answered(20)).await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(running.load(Ordering::SeqCst), 100);
    eventually("all of them", || answered(120)).await;
    assert!(before.elapsed() < Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_while_the_engine_asks_lets_the_call_go_on() {
    let rig = Rig::with(|builder| builder.route("7*", "tone/dial")).await;
    let adapter = rig
        .adapter()
        .on_route(|_call| async { std::future::pending().await });
    adapter.connect().await.unwrap();
    let channel = rig.mock.incoming(IncomingScript::new("1", "7001"));
    assert!(rig.mock.wait_for("install", 1).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = Instant::now();
    rig.cut();
    rig.saw(&channel, CallerSaw::Answered).await;
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_while_the_link_is_down_is_decided_on_after_it() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    rig.cut();
    lost(&adapter).await;
    let refused = adapter
        .accept(&id.into(), AcceptAs::Park)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotConnected);
    rig.mend();
    reconnected(&adapter).await;
    adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
    rig.saw(&channel, CallerSaw::Answered).await;
}

#[tokio::test(start_paused = true)]
async fn a_decision_whose_answer_is_lost_is_found_out() {
    // What goes wrong, and whether the order arrived.
    for (fault, answered) in [
        (ReplyFault::DropBefore, false),
        (ReplyFault::DropAfter, true),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let (id, channel) = told(&rig, &adapter, caller()).await;
        let mut events = adapter.subscribe();
        rig.mock.next_reply("chan.masquerade", fault.clone());
        let first = adapter.accept(&id.into(), AcceptAs::Park).await;
        reconnected(&adapter).await;
        if rig.mock.caller_saw(&channel) == Some(CallerSaw::Answered) {
            eventually("the answer", || {
                state(&adapter, id) == Some(CallState::Connected)
            })
            .await;
            let again = adapter.accept(&id.into(), AcceptAs::Park).await;
            assert_eq!(
                again.unwrap_err().kind(),
                ErrorKind::InvalidState,
                "{fault:?}"
            );
        } else {
            assert!(first.is_err(), "{fault:?}");
            assert!(!answered, "{fault:?}");
            // It waits still, and is told of again.
            assert_eq!(next_call(&mut events).await.id, id);
            adapter.accept(&id.into(), AcceptAs::Park).await.unwrap();
            rig.saw(&channel, CallerSaw::Answered).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_process_finds_what_waits_but_nothing_of_another_instance() {
    let rig = Rig::new().await;
    let first = rig.connected().await;
    let (waits, channel) = told(&rig, &first, caller()).await;
    let (accepted, _) = told(&rig, &first, caller()).await;
    first
        .accept(&accepted.into(), AcceptAs::Park)
        .await
        .unwrap();
    first.disconnect(Duration::from_secs(1)).await.unwrap();

    let stranger = rig.adapter_with(|config| config.instance = "other".to_owned());
    stranger.connect().await.unwrap();
    assert!(stranger.snapshot().incoming.is_empty());
    stranger.disconnect(Duration::from_secs(1)).await.unwrap();

    let second = rig.connected().await;
    eventually("the call that waits", || {
        !second.snapshot().incoming.is_empty()
    })
    .await;
    let found = second.snapshot().incoming;
    assert_eq!(found.len(), 1, "one that was decided on does not wait");
    assert_eq!(found[0].id, waits);
    let Lookup::Live(status) = second.lookup(&accepted.into()).await.unwrap() else {
        panic!("the accepted call is not found");
    };
    assert_eq!(
        (status.state, status.direction),
        (CallState::Connected, Direction::Inbound)
    );
    second
        .reject(&waits.into(), RejectCause::NotFound)
        .await
        .unwrap();
    rig.saw(&channel, CallerSaw::Ended { cause: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn an_extension_is_routed_before_the_call_is_answered() {
    let rig = Rig::with(|builder| builder.route("600", "tone/dial")).await;
    let adapter = rig.connected().await;
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let call = CallRef::from(id);
    let to = |extension: &str| AcceptAs::Extension {
        extension: extension.to_owned(),
        context: None,
    };
    rig.mock.on_route("404", "-");
    let refused = adapter.accept(&call, to("404")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Ringing));
    adapter.accept(&call, to("600")).await.unwrap();
    rig.saw(&channel, CallerSaw::Answered).await;
    assert_eq!(rig.mock.bridged_with(&channel), ["tone/1"]);
    assert_eq!(state(&adapter, id), Some(CallState::Connected));
}

#[tokio::test(start_paused = true)]
async fn a_bridged_caller_talks_with_the_other_party_and_ends_with_it() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.on_dial("+4930222", CallScript::answer());
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let to = "+4930222".parse().unwrap();
    adapter
        .accept(&id.into(), AcceptAs::Bridge(to))
        .await
        .unwrap();
    let with = rig.mock.bridged_with(&channel);
    assert!(with[0].starts_with("sip/"), "{with:?}");
    assert!(rig.mock.far_end_hangs_up(&with[0], 16));
    eventually("the end", || adapter.snapshot().calls.is_empty()).await;
    let page = adapter
        .get_call_history(HistoryQuery::default())
        .await
        .unwrap();
    assert_eq!(page.items[0].id, Some(id));
    assert_eq!(page.items[0].disposition, Disposition::Answered);
    assert!(rig.mock.channels().is_empty(), "{:?}", rig.mock.channels());
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_other_party_is_busy_is_answered_and_waits() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.on_dial("+4930222", CallScript::busy());
    let (id, channel) = told(&rig, &adapter, caller()).await;
    let to = "+4930222".parse().unwrap();
    let error = adapter
        .accept(&id.into(), AcceptAs::Bridge(to))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.call_id(), Some(id));
    assert_eq!(rig.mock.caller_saw(&channel), Some(CallerSaw::Answered));
    assert_eq!(state(&adapter, id), Some(CallState::Connected));
    adapter.hangup(&id.into()).await.unwrap();
    eventually("the end", || adapter.snapshot().calls.is_empty()).await;
    assert!(rig.mock.channels().is_empty(), "{:?}", rig.mock.channels());
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_comes_in_while_the_process_dies_is_taken_by_the_next_one() {
    let rig = Rig::new().await;
    let first = rig.connected().await;
    let script = caller().sends_fax(IncomingFax::new(2));
    let (id, _) = told(&rig, &first, script).await;
    first.accept(&id.into(), AcceptAs::Fax).await.unwrap();
    first.disconnect(Duration::from_secs(1)).await.unwrap();
    let second = rig.connected().await;
    assert!(second.snapshot().incoming.is_empty());
    let fax = tokio::time::timeout(LONG, second.take_fax(&id.into()))
        .await
        .unwrap()
        .unwrap();
    // Yate keeps no outcome; the pages are there.
    assert!(fax.file.is_some() && !fax.outcome.is_success());
    let again = second.take_fax(&id.into()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_fax_rings_and_takes_no_longer_than_its_limits() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.on_dial("+4930333", CallScript::no_answer());
    let mut request = rig.fax("+4930333", 1);
    request.ring_timeout = Duration::from_secs(5);
    let before = Instant::now();
    let fax = adapter.send_fax(request).await.unwrap();
    let outcome = fax.result().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(8), "it rang on");
    let failure = outcome.failure.as_ref().unwrap();
    assert_eq!(failure.class, faxbot_core::fax::FailureClass::NoAnswer);
    let page = adapter
        .get_call_history(HistoryQuery::default())
        .await
        .unwrap();
    assert_eq!(page.items[0].disposition, Disposition::NoAnswer);

    rig.mock
        .on_dial("+4930444", CallScript::answer().page_time(LONG));
    let mut request = rig.fax("+4930444", 1);
    request.timeout = Some(Duration::from_secs(90));
    let before = Instant::now();
    let fax = adapter.send_fax(request).await.unwrap();
    let outcome = fax.result().await.unwrap();
    assert!(!outcome.is_success());
    let took = before.elapsed();
    assert!(
        (Duration::from_secs(89)..Duration::from_secs(95)).contains(&took),
        "{took:?}"
    );
    assert!(rig.mock.channels().is_empty());
}

#[tokio::test(start_paused = true)]
async fn headers_and_variables_of_a_call_are_named_for_the_engine_to_copy() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = CallRequest::dial("+4930555".parse().unwrap())
        .with_header("X-Account", "17")
        .with_variable("jobid", "9");
    adapter.make_call(request).await.unwrap();
    let asked = rig.mock.actions_named("call.execute");
    let value = |name: &str| {
        let all = asked[0].headers.iter();
        let mut found = all.filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.clone())
    };
    assert_eq!(value("osip_X-Account").as_deref(), Some("17"));
    assert_eq!(value("copyparams").as_deref(), Some("osip_X-Account,jobid"));
}

#[tokio::test(start_paused = true)]
async fn what_is_attached_tells_of_its_end() {
    let rig = Rig::new().await;
    std::fs::write(rig.spool.path().join("hello.slin"), vec![0; 32_000]).unwrap();
    let adapter = rig.connected().await;
    let (id, _) = told(&rig, &adapter, caller()).await;
    let call = CallRef::from(id);
    let file = "/srv/fax/hello.slin";
    let refused = adapter.attach(&call, Attach::play(file)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidState);
    adapter.accept(&call, AcceptAs::Park).await.unwrap();
    let before = Instant::now();
    let played = adapter.attach(&call, Attach::play(file)).await.unwrap();
    assert_eq!(played.ended().await.unwrap(), AttachEnd::Eof);
    assert!(before.elapsed() >= Duration::from_millis(1_900));
    let rings = adapter
        .attach(&call, Attach::source("tone/ring"))
        .await
        .unwrap();
    adapter.hangup(&call).await.unwrap();
    assert_eq!(rings.ended().await.unwrap(), AttachEnd::CallEnded);
    let over = adapter.attach(&call, Attach::play(file)).await.unwrap_err();
    assert_eq!(over.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_halted_by_one_message() {
    let rig = Rig::new().await;
    let adapter = rig.adapter();
    let sure = EndsEveryCall::and_leaves_the_engine_without_sip;
    let refused = adapter.engine_halt(sure()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotConnected);
    adapter.connect().await.unwrap();
    // The connection may close before the answer.
    rig.mock.next_reply("engine.halt", ReplyFault::DropBefore);
    adapter.engine_halt(sure()).await.unwrap();
    assert_eq!(rig.mock.actions_named("engine.halt").len(), 1);
}
