//! Calls in all their forms: one party, one that is bridged on, two that are connected.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::time::Duration;

use asterisk_support::{
    CONTEXT, FLAVOURS, LONG, Rig, channel_id, dial, drain, eventually, reconnected,
};
use faxbot_core::{
    ErrorKind,
    address::Address,
    id::{CallId, CallRef},
    sip::{
        Call, CallRecord, CallRequest, CallState, Disposition, Lookup, OnAnswer, SipAdapter,
        SipEvent, TransferRequest,
    },
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, DialplanContext};
use faxbot_testkit::server::asterisk::{Account, CallScript, MockAsterisk, ReplyFault, SeenAction};

const FIRST: &str = "+15551230001";
const SECOND: &str = "+15551230002";
const THIRD: &str = "+15551230003";

fn connect() -> CallRequest {
    CallRequest::connect(FIRST.parse().unwrap(), SECOND.parse().unwrap())
}

fn bridge() -> CallRequest {
    dial(FIRST).on_answer(OnAnswer::Bridge(SECOND.parse().unwrap()))
}

async fn ends(call: &Call) -> CallRecord {
    tokio::time::timeout(LONG, call.ended())
        .await
        .expect("a call never ended")
        .unwrap()
}

fn state(adapter: &AsteriskAdapter, call: &Call) -> CallState {
    adapter.get_status(&call.call_ref()).unwrap_now().state
}

/// What is in the books is there at once.
trait Now<T> {
    fn unwrap_now(self) -> T;
}

impl<T, F: Future<Output = Result<T, faxbot_core::Error>>> Now<T> for F {
    fn unwrap_now(self) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(self).poll(&mut context) {
            std::task::Poll::Ready(value) => value.unwrap(),
            std::task::Poll::Pending => panic!("it waits"),
        }
    }
}

/// The other channels of a call at the server.
fn legs(rig: &Rig, id: CallId) -> Vec<String> {
    let own = channel_id(id);
    let all = rig.mock.channels().into_iter();
    all.filter(|channel| *channel != own).collect()
}

fn originate(rig: &Rig) -> SeenAction {
    rig.originates().pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_parties_are_connected_and_answered_when_the_second_answers() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        rig.mock
            .on_dial(SECOND, CallScript::answer().rings(Duration::from_secs(5)));
        let adapter = rig.connected().await;
        let mut events = adapter.subscribe();
        let request = connect().with_caller_id("+15551230009".parse().unwrap());
        let call = adapter.make_call(request).await.unwrap();
        eventually("the second party is called", || {
            !legs(&rig, call.id()).is_empty()
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(state(&adapter, &call), CallState::Ringing);
        tokio::time::timeout(LONG, call.answered())
            .await
            .unwrap()
            .unwrap();
        let seen = originate(&rig);
        for (header, value) in [
            ("Channel", "PJSIP/+15551230001@trunk"),
            ("Context", CONTEXT),
            ("Exten", "dial"),
            ("CallerID", "\"asterisk\" <+15551230009>"),
        ] {
            assert_eq!(seen.get(header), Some(value), "{header}");
        }
        assert_eq!(rig.mock.bridged_with(&channel_id(call.id())).len(), 1);
        tokio::time::sleep(Duration::from_secs(7)).await;
        adapter.hangup(&call.call_ref()).await.unwrap();
        let record = ends(&call).await;
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.billable_seconds, Some(7));
        assert_eq!(record.from.unwrap().expose(), FIRST);
        assert_eq!(record.to.unwrap().expose(), SECOND);
        rig.quiet().await;
        let states: Vec<_> = drain(&mut events)
            .into_iter()
            .filter_map(|event| match event {
                // Its end may come before the answer to the hang-up.
                SipEvent::CallStateChanged(change) if change.to == CallState::HangingUp => None,
                SipEvent::CallStateChanged(change) => Some(change.to),
                SipEvent::AdapterError { error, .. } => panic!("{error}"),
                _ => None,
            })
            .collect();
        use CallState as S;
        let wanted = [S::Dialing, S::Ringing, S::Connected, S::Terminated];
        assert_eq!(states, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_party_that_is_not_reached_ends_the_call_with_its_cause() {
    let rows = [
        (CallScript::busy(), Disposition::Busy, Some(17)),
        (CallScript::congestion(), Disposition::Congestion, Some(34)),
        (CallScript::rejected(404), Disposition::Failed, Some(1)),
        (CallScript::no_answer(), Disposition::NoAnswer, Some(19)),
        (CallScript::unreachable(), Disposition::NoAnswer, Some(19)),
        (CallScript::no_such_endpoint(), Disposition::Failed, Some(3)),
    ];
    for flavour in FLAVOURS {
        for (script, disposition, cause) in rows.clone() {
            for lost in [false, true] {
                let rig = Rig::of(flavour).await;
                rig.mock.on_dial(SECOND, script.clone());
                let adapter = rig.connected().await;
                let request = connect().with_timeout(Duration::from_secs(20));
                let call = adapter.make_call(request).await.unwrap();
                if lost {
                    // What the handler left tells the same.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    rig.cut();
                    rig.quiet().await;
                    rig.mend();
                }
                let record = ends(&call).await;
                let what = format!("{flavour:?} {script:?} lost: {lost}");
                assert_eq!(record.disposition, disposition, "{what}");
                assert_eq!(record.causes.q850, cause, "{what}");
                assert_eq!(record.answer, None, "{what}");
                assert!(call.answered().await.is_err());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_party_decides_as_for_any_call() {
    for (script, disposition) in [
        (CallScript::busy(), Disposition::Busy),
        (CallScript::no_answer(), Disposition::NoAnswer),
    ] {
        let rig = Rig::new().await;
        rig.mock.on_dial(FIRST, script);
        let adapter = rig.connected().await;
        let request = connect().with_timeout(Duration::from_secs(20));
        let call = adapter.make_call(request).await.unwrap();
        assert_eq!(ends(&call).await.disposition, disposition);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_party_that_hangs_up_while_the_second_rings_was_not_answered() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        rig.mock.on_dial(SECOND, CallScript::rings_for_ever());
        let adapter = rig.connected().await;
        let call = adapter.make_call(connect()).await.unwrap();
        eventually("the second party is called", || {
            !legs(&rig, call.id()).is_empty()
        })
        .await;
        rig.mock.far_end_hangs_up(&channel_id(call.id()), 16);
        let record = ends(&call).await;
        assert_eq!(record.disposition, Disposition::NoAnswer);
        assert_eq!(record.answer, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_party_that_is_bridged_on_is_answered_at_once() {
    for (script, cause) in [
        (CallScript::answer(), 16),
        (CallScript::busy(), 17),
        (CallScript::no_answer(), 19),
        (CallScript::no_such_endpoint(), 3),
    ] {
        for lost in [false, true] {
            let rig = Rig::new().await;
            let answers = script == CallScript::answer();
            rig.mock
                .on_dial(SECOND, script.clone().rings(Duration::from_secs(5)));
            let adapter = rig.connected().await;
            let request = bridge().with_timeout(Duration::from_secs(20));
            let call = adapter.make_call(request).await.unwrap();
            tokio::time::timeout(LONG, call.answered())
                .await
                .unwrap()
                .unwrap();
            if answers {
                eventually("they talk", || {
                    !rig.mock.bridged_with(&channel_id(call.id())).is_empty()
                })
                .await;
                let leg = legs(&rig, call.id()).pop().unwrap();
                rig.mock.far_end_hangs_up(&leg, 16);
            } else if lost {
                rig.cut();
                rig.quiet().await;
                rig.mend();
            }
            let record = ends(&call).await;
            assert_eq!(record.disposition, Disposition::Answered);
            assert_eq!(record.causes.q850, Some(cause), "{script:?} lost: {lost}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn early_media_is_no_answer() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        rig.mock
            .on_dial("*", CallScript::early_media(Duration::from_secs(8)));
        let adapter = rig.connected().await;
        let single = adapter.make_call(dial("+15551230003")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(state(&adapter, &single), CallState::Dialing);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(state(&adapter, &single), CallState::Connected);
        let missed = dial("+15551230003").with_timeout(Duration::from_secs(4));
        let missed = adapter.make_call(missed).await.unwrap();
        assert_eq!(ends(&missed).await.disposition, Disposition::NoAnswer);
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_without_the_extensions_connects_by_the_application() {
    let rig = Rig::new().await;
    rig.mock.on_dial(SECOND, CallScript::busy());
    let adapter = rig.adapter_with(|config| config.dialplan = DialplanContext::Off);
    adapter.connect().await.unwrap();
    let request = connect().with_timeout(Duration::from_millis(20_500));
    let call = adapter.make_call(request).await.unwrap();
    let record = ends(&call).await;
    assert_eq!(record.disposition, Disposition::Busy);
    let seen = originate(&rig);
    assert_eq!(seen.get("Application"), Some("Dial"));
    assert_eq!(seen.get("Data"), Some("PJSIP/+15551230002@trunk,21"));
    assert_eq!(seen.get("Exten"), None);
}

#[tokio::test(start_paused = true)]
async fn the_parties_of_a_call_are_the_call() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let call = adapter.make_call(connect()).await.unwrap();
    tokio::time::timeout(LONG, call.answered())
        .await
        .unwrap()
        .unwrap();
    let leg = legs(&rig, call.id()).pop().unwrap();
    let native = CallRef::native(leg.clone());
    let status = adapter.get_status(&native).await.unwrap();
    assert_eq!(status.id, Some(call.id()));
    let name = status
        .channels
        .iter()
        .find(|it| it.expose().starts_with("PJSIP/") && it.expose() != &leg);
    assert!(name.is_some(), "{:?}", status.channels.len());
    let found = adapter.lookup(&native).await.unwrap();
    assert!(matches!(found, Lookup::Live(status) if status.id == Some(call.id())));
    assert!(rig.mock.far_end_presses(&leg, "5"));
    eventually("the digit came", || {
        drain(&mut events).iter().any(|event| {
            matches!(event, SipEvent::DtmfReceived { id, digit: '5', .. } if *id == Some(call.id()))
        })
    })
    .await;
    adapter.hangup(&native).await.unwrap();
    let record = ends(&call).await;
    assert_eq!(record.id, Some(call.id()));
    let known = adapter.lookup(&native).await.unwrap();
    assert!(matches!(known, Lookup::Ended(record) if record.id == Some(call.id())));
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn another_process_sees_whether_the_second_party_talks() {
    let rig = Rig::new().await;
    rig.mock
        .on_dial(SECOND, CallScript::answer().rings(Duration::from_secs(30)));
    let killed = rig.connected().await;
    let call = killed.make_call(connect()).await.unwrap();
    let id = call.id();
    eventually("the second party is called", || !legs(&rig, id).is_empty()).await;
    drop(killed);
    let next = rig.connected().await;
    for (wait, state) in [(1, CallState::Ringing), (40, CallState::Connected)] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let Lookup::Live(status) = next.lookup(&id.into()).await.unwrap() else {
            panic!("it lives");
        };
        assert_eq!((status.state, status.channels.len()), (state, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn another_process_knows_that_a_call_was_answered_whose_transfer_failed() {
    for request in [connect(), bridge()] {
        let rig = Rig::new().await;
        rig.mock.on_dial(THIRD, CallScript::busy());
        let killed = rig.connected().await;
        let call = killed.make_call(request).await.unwrap();
        let own = channel_id(call.id());
        let talks = |_: &MockAsterisk| (!rig.mock.bridged_with(&own).is_empty()).then_some(());
        assert!(rig.mock.wait_until(LONG, talks).await.is_some());
        call.answered().await.unwrap();
        let request = TransferRequest::blind(call.call_ref(), THIRD.parse().unwrap());
        let error = killed.transfer(request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        drop(killed);
        assert!(rig.mock.far_end_hangs_up(&own, 16));
        rig.quiet().await;
        let next = rig.connected().await;
        let Lookup::Ended(record) = next.lookup(&call.id().into()).await.unwrap() else {
            panic!("it ended");
        };
        assert_eq!(record.disposition, Disposition::Answered);
        assert_ne!(record.causes.q850, Some(17), "nobody was busy at first");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_so_long_after_its_answer_and_not_after_its_ringing() {
    for flavour in FLAVOURS {
        for request in [dial(FIRST), bridge(), connect()] {
            let rig = Rig::of(flavour).await;
            rig.mock
                .on_dial("*", CallScript::answer().rings(Duration::from_secs(9)));
            let adapter = rig.connected().await;
            let request = request.with_max_duration(Duration::from_secs(20));
            let plan = format!("{flavour:?} {:?}", request.plan);
            let call = adapter.make_call(request).await.unwrap();
            let record = ends(&call).await;
            assert_eq!(record.disposition, Disposition::Answered, "{plan}");
            assert_eq!(record.billable_seconds, Some(20), "{plan}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_when_the_link_is_lost_before_the_answer() {
    let rig = Rig::new().await;
    rig.mock
        .on_dial("*", CallScript::answer().rings(Duration::from_secs(9)));
    let adapter = rig.connected().await;
    let limited = |to| dial(to).with_max_duration(Duration::from_secs(100));
    let back = adapter.make_call(limited(FIRST)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.cut();
    tokio::time::sleep(Duration::from_secs(20)).await;
    rig.mend();
    reconnected(&adapter).await;
    // It was answered meanwhile, and the time counts from when that was seen.
    let record = ends(&back).await;
    assert_eq!(record.billable_seconds, Some(100));

    let alone = adapter.make_call(limited(SECOND)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    rig.cut();
    // The server ends it by itself: ring time, limit and some more.
    tokio::time::sleep(Duration::from_secs(60 + 100 + 60)).await;
    assert!(rig.mock.channels().is_empty());
    rig.mend();
    assert_eq!(ends(&alone).await.disposition, Disposition::Answered);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_begin_with_the_answer_is_told_with_the_call() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let refuse = || ReplyFault::Refuse("Permission denied".into());
    rig.mock.next_reply("AbsoluteTimeout", refuse());
    rig.mock.next_reply("MixMonitor", refuse());
    let request = dial(FIRST)
        .with_max_duration(Duration::from_secs(20))
        .with_record(true);
    let call = adapter.make_call(request).await.unwrap();
    let mut told = Vec::new();
    eventually("both are told", || {
        told.extend(
            drain(&mut events)
                .into_iter()
                .filter_map(|event| match event {
                    SipEvent::AdapterError { error, .. } => Some((error.kind(), error.call_id())),
                    _ => None,
                }),
        );
        told.len() == 2
    })
    .await;
    assert_eq!(told, [(ErrorKind::PermissionDenied, Some(call.id())); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_as_its_limit_is_set_is_no_fault() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let gone = || ReplyFault::Refuse("No such channel".into());
    rig.mock.next_reply("AbsoluteTimeout", gone());
    rig.mock.next_reply("MixMonitor", gone());
    let request = dial(FIRST)
        .with_max_duration(Duration::from_secs(20))
        .with_record(true);
    let call = adapter.make_call(request).await.unwrap();
    assert!(rig.mock.wait_for("MixMonitor", 1).await);
    // Its event comes after the answers.
    assert!(rig.mock.far_end_hangs_up(&channel_id(call.id()), 16));
    assert_eq!(ends(&call).await.disposition, Disposition::Answered);
    let faults = drain(&mut events)
        .into_iter()
        .filter(|event| matches!(event, SipEvent::AdapterError { .. }));
    assert_eq!(faults.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_the_server_did_not_take_is_set_again() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.next_reply("AbsoluteTimeout", ReplyFault::Silent);
    let request = dial(FIRST).with_max_duration(Duration::from_secs(300));
    let call = adapter.make_call(request).await.unwrap();
    assert!(rig.mock.wait_for("AbsoluteTimeout", 2).await);
    let record = ends(&call).await;
    assert!(record.billable_seconds.unwrap() <= 301, "{record:?}");
}

#[tokio::test(start_paused = true)]
async fn headers_go_out_checked_and_on_sip_channels_only() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let request = dial(FIRST)
        .with_header("X-Case", "a, \"b\"")
        .with_header("Subject", "fax");
    adapter.make_call(request).await.unwrap();
    let seen = originate(&rig);
    let variables: Vec<_> = seen.all("Variable").collect();
    assert!(
        variables.contains(&"PJSIP_HEADER(add\\,X-Case)=a\\, \\\"b\\\""),
        "{variables:?}"
    );
    assert!(variables.contains(&"PJSIP_HEADER(add\\,Subject)=fax"));
    let before = rig.originates().len();
    for (name, value) in [
        ("", "x"),
        ("X Case", "x"),
        ("X-Case)=y,SHELL(reboot", "x"),
        ("X-Case:", "x"),
        ("X-C\u{e4}se", "x"),
        ("X-Case", "a\r\nVia: x"),
        ("X-Case", "a\u{7f}"),
        ("Via", "SIP/2.0/UDP x"),
        ("content-length", "0"),
        ("Session-Expires", "90"),
        ("k", "100rel"),
    ] {
        let request = dial(FIRST).with_header(name, value);
        let error = adapter.make_call(request).await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::InvalidRequest,
            "{name:?} {value:?}"
        );
    }
    let local = CallRequest::dial(Address::native("Local/600@default")).with_header("X-Case", "x");
    let error = adapter.make_call(local).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(rig.originates().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_second_party_cannot_bring_options_of_dial() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for to in [
        "PJSIP/600@trunk,30,U(evil)",
        "PJSIP/${SHELL(x)}@trunk",
        "PJSIP/\"a",
        "",
    ] {
        let to = Address::native(to);
        for request in [
            CallRequest::connect(FIRST.parse().unwrap(), to.clone()),
            dial(FIRST).on_answer(OnAnswer::Bridge(to)),
        ] {
            let error = adapter.make_call(request).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        }
    }
    assert!(rig.originates().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_reads_no_dialplan_events_knows_who_answered() {
    let account = Account::new("faxbot", "s3cret").read("call,system,reporting");
    let rig = Rig::with(|builder| builder.account(account)).await;
    let adapter = rig.connected().await;
    let call = adapter.make_call(connect()).await.unwrap();
    tokio::time::timeout(LONG, call.answered())
        .await
        .unwrap()
        .unwrap();
    rig.mock.on_dial(SECOND, CallScript::no_answer());
    let request = connect().with_timeout(Duration::from_secs(20));
    let missed = adapter.make_call(request).await.unwrap();
    let record = ends(&missed).await;
    assert_eq!(
        (record.disposition, record.causes.q850),
        (Disposition::NoAnswer, Some(19))
    );
}
