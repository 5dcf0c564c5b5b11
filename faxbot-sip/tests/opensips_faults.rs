//! Stale keys, late answers, lost reads and a busy server, against a mocked OpenSIPS.
#![cfg(test)]
#![cfg(feature = "opensips")]

mod opensips_support;
mod proxy_support;

use std::{collections::BTreeSet, time::Duration};

use faxbot_core::{
    Effect, ErrorKind, Result,
    address::Address,
    id::CallRef,
    message::{MessageContent, MessageKind},
    sip::{
        Call, CallRequest, CallState, ConnectionState, Disposition, HangupOutcome, SipAdapter as _,
        SipMessage, TransferRequest,
    },
};
use faxbot_sip::adapter::opensips::OpenSipsAdapter;
use faxbot_testkit::server::{
    CallScript,
    opensips::{B2bStage, MockOpenSips, PassingCall, Phone, ReplyFault},
};
use opensips_support::{Rig, SOCKET};
use proxy_support::{ended, in_state, until};
use tokio::task::JoinHandle;

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn passing(to: &str) -> PassingCall {
    PassingCall::new(
        "sip:alice@127.0.0.1:25070",
        &format!("sip:{to}@127.0.0.1:25060"),
    )
}

async fn dial(adapter: &OpenSipsAdapter, timeout: Duration) -> Call {
    let request = CallRequest::connect(address("1001"), address("2000")).with_timeout(timeout);
    adapter.make_call(request).await.unwrap()
}

/// Transfers a call to 3000, beside the test.
fn begin_transfer(adapter: &OpenSipsAdapter, call: &Call) -> JoinHandle<Result<()>> {
    let (adapter, call) = (adapter.clone(), call.call_ref());
    tokio::spawn(async move {
        let transfer = TransferRequest::blind(call, address("3000"));
        adapter.transfer(transfer).await
    })
}

fn scenario(call: &Call) -> String {
    call.id().as_uuid().to_string()
}

/// A call that ended without the adapter's knowledge, and another that has its key now.
async fn stale(rig: &Rig, adapter: &OpenSipsAdapter) -> (Call, Call) {
    let ours = dial(adapter, seconds(60)).await;
    ours.answered().await.unwrap();
    let key = rig.mock.b2b_call(&scenario(&ours)).unwrap().key;
    assert!(rig.mock.second_party_hangs_up(&scenario(&ours)));
    let other = rig.polling("");
    other.connect().await.unwrap();
    let others = dial(&other, seconds(60)).await;
    others.answered().await.unwrap();
    let reused = rig.mock.b2b_call(&scenario(&others)).unwrap().key;
    assert_eq!(key, reused, "as recorded");
    assert_eq!(ours.state(), CallState::Connected, "nobody looked yet");
    (ours, others)
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_call_has_by_now_hangs_nobody_up() {
    let rig = Rig::new().await;
    let adapter = rig.adapter("poll=60s");
    adapter.connect().await.unwrap();
    let (ours, others) = stale(&rig, &adapter).await;
    let done = adapter.hangup(&ours.call_ref()).await.unwrap();
    assert_eq!(done, HangupOutcome::Ended);
    assert!(ours.ended().await.is_ok());
    assert!(rig.mock.requests_of("b2b_terminate_call").is_empty());
    let there = rig.mock.b2b_call(&scenario(&others)).unwrap();
    assert_eq!(there.stage, B2bStage::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_call_has_by_now_transfers_nobody() {
    let rig = Rig::new().await;
    let adapter = rig.adapter("poll=60s");
    adapter.connect().await.unwrap();
    let (ours, others) = stale(&rig, &adapter).await;
    let transfer = TransferRequest::blind(ours.call_ref(), address("3000"));
    let error = adapter.transfer(transfer).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::NotFound, Effect::NoEffect)
    );
    assert!(rig.mock.requests_of("b2b_bridge").is_empty());
    let there = rig.mock.b2b_call(&scenario(&others)).unwrap();
    assert_eq!(there.stage, B2bStage::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_is_followed_by_its_call_and_not_by_its_key() {
    let rig = Rig::new().await;
    let adapter = rig.adapter("poll=60s");
    adapter.connect().await.unwrap();
    let call = dial(&adapter, seconds(60)).await;
    call.answered().await.unwrap();
    let rings = CallScript::no_answer().rings(seconds(20));
    rig.mock.on_dial("3000*", rings);
    let order = begin_transfer(&adapter, &call);
    until(|| rig.mock.requests_of("b2b_bridge").pop()).await;
    // The call ends, and one to the same party has its key.
    assert!(rig.mock.first_party_hangs_up(&scenario(&call)));
    rig.mock.on_dial("3000*", CallScript::answer());
    let other = rig.polling("");
    other.connect().await.unwrap();
    let request = CallRequest::connect(address("1001"), address("3000"));
    let others = other.make_call(request).await.unwrap();
    others.answered().await.unwrap();
    let error = order.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_answered_when_its_ring_time_ends_is_left_alone() {
    let phone = Phone::answers().rings(Duration::from_millis(7_900));
    let rig = Rig::with(MockOpenSips::builder().phone("1001*", phone)).await;
    let adapter = rig.connected().await;
    let call = dial(&adapter, seconds(8)).await;
    call.answered().await.unwrap();
    tokio::time::sleep(seconds(30)).await;
    assert_eq!(call.state(), CallState::Connected);
    assert!(rig.mock.requests_of("b2b_terminate_call").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_could_not_be_ended_at_its_ring_time_is_ended_later() {
    let builder = || {
        MockOpenSips::builder()
            .ring_timeout(seconds(120))
            .phone("1001*", Phone::no_answer())
    };
    for method in ["b2b_terminate_call", "b2b_list"] {
        let rig = Rig::with(builder()).await;
        let adapter = rig.adapter("poll=60s");
        adapter.connect().await.unwrap();
        let call = dial(&adapter, seconds(8)).await;
        tokio::time::sleep(Duration::from_millis(7_950)).await;
        for _ in 0..2 {
            let refused = ReplyFault::Refuse("not now".to_owned());
            rig.mock.next_reply(method, refused);
        }
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(call.state(), CallState::Dialing, "{method}: it rings on");
        let record = tokio::time::timeout(seconds(60), call.ended());
        let record = record.await.expect("it rings on").unwrap();
        assert_eq!(record.disposition, Disposition::NoAnswer, "{method}");
        let rang = record.duration_seconds.unwrap();
        assert!((12..=20).contains(&rang), "{method}: {rang}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_listed_once_a_poll_interval() {
    let builder = MockOpenSips::builder()
        .ring_timeout(seconds(600))
        .phone("1001*", Phone::no_answer());
    let rig = Rig::with(builder).await;
    for number in 0..1_000 {
        rig.mock.call(passing(&format!("{}", 2000 + number)));
    }
    tokio::time::sleep(seconds(5)).await;
    let adapter = rig.connected().await;
    // On its way all the time.
    let call = dial(&adapter, seconds(600)).await;
    let asked = |method: &str| rig.mock.requests_of(method).len();
    let (lists, pairs, all) = (
        asked("dlg_list"),
        asked("b2b_list"),
        rig.mock.requests().len(),
    );
    let short = CallScript::answer().hangs_up_after(seconds(3));
    for number in 0..600 {
        let to = format!("{}", 4000 + number);
        rig.mock.call(passing(&to).taken(short.clone()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let lists = asked("dlg_list") - lists;
    assert!((25..=31).contains(&lists), "{lists}");
    let pairs = asked("b2b_list") - pairs;
    assert!((100..=160).contains(&pairs), "{pairs}");
    let all = rig.mock.requests().len() - all;
    assert!(all < 210, "{all}");
    assert_eq!(call.state(), CallState::Dialing);
    let live = adapter.snapshot().calls;
    assert!(live.len() > 1_000, "{}", live.len());
}

#[tokio::test(start_paused = true)]
async fn polling_alone_lists_once_an_interval_while_a_call_of_ours_rings() {
    let builder = MockOpenSips::builder()
        .ring_timeout(seconds(600))
        .phone("1001*", Phone::no_answer());
    let rig = Rig::with(builder).await;
    let adapter = rig.polling("");
    adapter.connect().await.unwrap();
    let _call = dial(&adapter, seconds(600)).await;
    let before = rig.mock.requests_of("dlg_list").len();
    tokio::time::sleep(seconds(60)).await;
    let lists = rig.mock.requests_of("dlg_list").len() - before;
    assert!((24..=31).contains(&lists), "{lists}");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_says_nothing_of_a_transfer_that_was_taken() {
    for comes_back in [true, false] {
        let rig = Rig::new().await;
        let adapter = rig.adapter("poll=60s&transfer_timeout=6s");
        adapter.connect().await.unwrap();
        let call = dial(&adapter, seconds(60)).await;
        call.answered().await.unwrap();
        let rings = CallScript::answer().rings(seconds(2));
        rig.mock.on_dial("3000*", rings);
        let order = begin_transfer(&adapter, &call);
        until(|| rig.mock.requests_of("b2b_bridge").pop()).await;
        rig.mock.unreachable(true);
        tokio::time::sleep(seconds(1)).await;
        rig.mock.unreachable(!comes_back);
        let done = order.await.unwrap();
        let done = done.map_err(|error| (error.kind(), error.effect()));
        let wanted = if comes_back {
            Ok(())
        } else {
            Err((ErrorKind::OutcomeUnknown, Effect::Unknown))
        };
        assert_eq!(done, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_during_a_transfer_leaves_its_outcome_open() {
    let rig = Rig::new().await;
    let adapter = rig.adapter("poll=60s");
    adapter.connect().await.unwrap();
    let call = dial(&adapter, seconds(60)).await;
    call.answered().await.unwrap();
    tokio::time::sleep(seconds(2)).await;
    let rings = CallScript::answer().rings(seconds(20));
    rig.mock.on_dial("3000*", rings);
    let order = begin_transfer(&adapter, &call);
    until(|| rig.mock.requests_of("b2b_bridge").pop()).await;
    rig.mock.restart(Duration::ZERO);
    let error = order.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::OutcomeUnknown, Effect::Unknown)
    );
    assert!(error.message().contains("restarted"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_exchange_of_a_party_says_what_is_known_of_it() {
    for (refusal, wanted) in [
        // Also after the BYE to the party that was there.
        (
            r#"{"code":-32000,"message":"Server error","data":"Command handler returned null"}"#,
            (ErrorKind::OutcomeUnknown, Effect::Unknown),
        ),
        (
            r#"{"code":404,"message":"Invalid uri for the new destination"}"#,
            (ErrorKind::InvalidRequest, Effect::NoEffect),
        ),
    ] {
        let rig = Rig::new().await;
        let adapter = rig.adapter("poll=60s");
        adapter.connect().await.unwrap();
        let call = dial(&adapter, seconds(60)).await;
        call.answered().await.unwrap();
        tokio::time::sleep(seconds(2)).await;
        let before = rig.mock.requests_of("b2b_list").len();
        let answer = format!(r#"{{"error":{refusal},"id":null}}"#);
        let refused = ReplyFault::Garbage(answer.into());
        rig.mock.next_reply("b2b_bridge", refused);
        let transfer = TransferRequest::blind(call.call_ref(), address("3000"));
        let error = adapter.transfer(transfer).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), wanted);
        tokio::time::sleep(seconds(1)).await;
        // The key was read for the order; what is not known is looked at.
        let looks = rig.mock.requests_of("b2b_list").len() - before;
        let open = wanted.1 == Effect::Unknown;
        assert_eq!(looks, if open { 2 } else { 1 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_given_socket_may_be_listed_in_another_form() {
    let rig = Rig::new().await;
    let adapter = rig.polling("events=given:udp:localhost:28090");
    adapter.connect().await.unwrap();
    let listed = rig.mock.subscriptions();
    assert!(!listed.is_empty() && listed.iter().all(|(_, socket)| socket == SOCKET));
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_that_came_too_late_is_not_why_a_call_ended() {
    for overtakes in [true, false] {
        let rig = Rig::new().await;
        let adapter = rig.polling(&format!("poll=60s&events=given:{SOCKET}"));
        adapter.connect().await.unwrap();
        let mut events = rig.mock.events_at(SOCKET);
        let script = CallScript::busy().rings(seconds(2));
        let call = CallRef::native(rig.mock.call(passing("2000").taken(script)));
        tokio::time::sleep(seconds(1)).await;
        while let Ok(event) = events.try_recv() {
            adapter.event(&event);
        }
        in_state(&adapter, &call, CallState::Ringing).await;
        // The party declines, and the events of that are on their way.
        tokio::time::sleep(seconds(2)).await;
        rig.mock
            .next_reply("dlg_end_dlg", ReplyFault::Slow(seconds(1)));
        let order = {
            let (adapter, call) = (adapter.clone(), call.clone());
            tokio::spawn(async move { adapter.hangup(&call).await })
        };
        if !overtakes {
            tokio::time::sleep(seconds(2)).await;
        }
        until(|| rig.mock.requests_of("dlg_end_dlg").pop()).await;
        while let Ok(event) = events.try_recv() {
            adapter.event(&event);
        }
        let record = ended(&adapter, &call).await;
        assert_eq!(record.disposition, Disposition::Busy, "{overtakes}");
        assert_eq!(record.causes.sip_status, Some(486));
        assert_eq!(order.await.unwrap().unwrap(), HangupOutcome::Ended);
    }
}

fn message(to: &str) -> SipMessage {
    let content = MessageContent::text(MessageKind::Sip, "hello");
    SipMessage::new(address(to), content)
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_message_and_the_server_is_not_taken_for_lost() {
    let builder = MockOpenSips::builder()
        .answer_timeout(seconds(30))
        .phone("silent*", Phone::silent());
    let rig = Rig::with(builder).await;
    let adapter = rig.polling("request_timeout=1s");
    adapter.connect().await.unwrap();
    for ping in [false, true] {
        let to = address("sip:silent@127.0.0.1");
        let given_up = async {
            if ping {
                adapter.options_ping(&to).await.is_ok()
            } else {
                let sent = adapter.send_message(message("sip:silent@127.0.0.1"));
                sent.await.is_ok()
            }
        };
        let given_up = tokio::time::timeout(Duration::from_millis(100), given_up);
        assert!(given_up.await.is_err());
        for _ in 0..400 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(adapter.connection().state, ConnectionState::Connected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_break_do_not_end_the_polls() {
    let rig = Rig::new().await;
    let adapter = rig.polling("sip_timeout=5s&connections=16");
    adapter.connect().await.unwrap();
    let before = rig.mock.requests_of("dlg_list").len();
    for _ in 0..40 {
        rig.mock.next_reply("t_uac_dlg", ReplyFault::Silent);
        let sender = adapter.clone();
        tokio::spawn(async move { sender.send_message(message("2000")).await.is_ok() });
        tokio::time::sleep(seconds(2)).await;
    }
    let lists = rig.mock.requests_of("dlg_list").len() - before;
    assert!((5..=20).contains(&lists), "{lists}");
    rig.mock.stop_now();
    for _ in 0..40 {
        let sender = adapter.clone();
        tokio::spawn(async move { sender.send_message(message("2000")).await.is_ok() });
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_ne!(adapter.connection().state, ConnectionState::Connected);
}

#[tokio::test(start_paused = true)]
async fn dialogs_in_several_answers_are_all_there_though_one_ends_between() {
    let rig = Rig::with(MockOpenSips::builder().lists_ended_for(Duration::ZERO)).await;
    let calls: Vec<_> = (0..30)
        .map(|n| rig.mock.call(passing(&format!("{}", 2000 + n))))
        .collect();
    tokio::time::sleep(seconds(5)).await;
    let adapter = rig.polling("page=10&poll=600s");
    adapter.connect().await.unwrap();
    rig.mock
        .next_reply("dlg_list", ReplyFault::Slow(seconds(1)));
    let look = {
        let adapter = adapter.clone();
        tokio::spawn(async move { adapter.dialogs().await })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    // All after it move up, one from the second page to the first.
    assert!(rig.mock.callee_hangs_up(&calls[0]));
    let shown = look.await.unwrap().unwrap();
    let shown: Vec<_> = shown.iter().map(|it| it.call_id.expose().clone()).collect();
    let once: BTreeSet<_> = shown.iter().cloned().collect();
    assert_eq!(once, calls[1..].iter().cloned().collect());
    assert_eq!(once.len(), shown.len());
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_looked_for_whenever_they_are_renewed() {
    let rig = Rig::new().await;
    let adapter = rig.polling("events=udp:127.0.0.1:0&event_expire=60s");
    adapter.connect().await.unwrap();
    tokio::time::sleep(seconds(595)).await;
    let looked = rig.mock.requests_of("subscribers_list").len();
    assert_eq!(looked, 20, "on connect, and every half of their time");
}

#[tokio::test(start_paused = true)]
async fn a_hang_up_that_comes_after_another_does_not_take_it_back() {
    let builder = MockOpenSips::builder()
        .ring_timeout(seconds(120))
        .phone("1001*", Phone::no_answer());
    let rig = Rig::with(builder).await;
    let adapter = rig.polling("poll=60s");
    adapter.connect().await.unwrap();
    let call = dial(&adapter, seconds(60)).await;
    tokio::time::sleep(seconds(1)).await;
    let slow = ReplyFault::Slow(Duration::from_millis(50));
    rig.mock.next_reply("b2b_list", slow);
    let late = {
        let (adapter, call) = (adapter.clone(), call.call_ref());
        tokio::spawn(async move { adapter.hangup(&call).await })
    };
    tokio::time::sleep(Duration::from_millis(10)).await;
    // What is concluded from the list waits for it.
    rig.mock.next_reply("uptime", ReplyFault::Slow(seconds(1)));
    let done = adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(done, HangupOutcome::Requested);
    assert_eq!(late.await.unwrap().unwrap(), HangupOutcome::Ended);
    assert_eq!(rig.mock.requests_of("b2b_terminate_call").len(), 2);
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::Cancelled);
}
