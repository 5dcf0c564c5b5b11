//! Calls on FreeSWITCH that are held, transferred, recorded and heard, also when answers are lost.
#![cfg(test)]
#![cfg(feature = "freeswitch")]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::TokioClock,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{
        Call, CallRecord, CallRequest, CallState, ConnectionState, DtmfRequest, Lookup, OnAnswer,
        RecordRequest, SipAdapter as _, SipEvent, TransferRequest,
    },
};
use faxbot_sip::{
    adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig},
    driver::{Connect, LinkError, Transport},
};
use faxbot_testkit::server::{CallScript, ReplyFault, Timings, freeswitch::MockFreeSwitch};

/// Longer than anything here takes on the clock of the tests.
const LONG: Duration = Duration::from_secs(600);

/// Opens links until it is shut.
#[derive(Debug)]
struct Gate(Mutex<Option<Arc<dyn Connect>>>);

#[async_trait]
impl Connect for Gate {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let to = self.0.lock().unwrap().clone();
        match to {
            Some(to) => to.connect().await,
            None => Err(LinkError::Connect(Arc::new(
                io::ErrorKind::ConnectionRefused.into(),
            ))),
        }
    }
}

struct Rig {
    mock: MockFreeSwitch,
    gate: Arc<Gate>,
}

impl Rig {
    async fn new() -> Self {
        let builder = MockFreeSwitch::builder()
            .timings(Timings::real())
            .in_memory();
        let mock = builder.start().await.unwrap();
        let gate = Arc::new(Gate(Mutex::new(Some(Arc::new(mock.connector())))));
        Self { mock, gate }
    }

    async fn connected(&self) -> FreeswitchAdapter {
        let url = "esl://:ClueCon@pbx.example?dial=sofia/gateway/trunk/{number}";
        let config = FreeswitchConfig::from_url(url).unwrap();
        let adapter = FreeswitchAdapter::with_clock(config, TokioClock::shared())
            .with_connector(Arc::clone(&self.gate) as Arc<dyn Connect>);
        adapter.connect().await.unwrap();
        adapter
    }

    fn cut(&self) {
        *self.gate.0.lock().unwrap() = None;
        self.mock.drop_links();
    }

    fn mend(&self) {
        *self.gate.0.lock().unwrap() = Some(Arc::new(self.mock.connector()));
    }

    async fn quiet(&self) {
        let quiet = |mock: &MockFreeSwitch| mock.channels().is_empty().then_some(());
        assert!(self.mock.wait_until(LONG, quiet).await.is_some());
    }

    /// Whom a call's own channel talks with.
    async fn party(&self, call: &Call) -> String {
        let own = own(call);
        let others = self
            .mock
            .wait_until(LONG, |mock| mock.bridged_with(&own).pop())
            .await;
        others.expect("nobody in the bridge")
    }
}

fn own(call: &Call) -> String {
    call.id().as_uuid().to_string()
}

async fn answered(adapter: &FreeswitchAdapter) -> Call {
    let request = CallRequest::dial("+15551230001".parse().unwrap());
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    call
}

async fn pair(adapter: &FreeswitchAdapter) -> Call {
    let (from, to) = ("+15551230001", "+15551230002");
    let request = CallRequest::connect(from.parse().unwrap(), to.parse().unwrap());
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    call
}

async fn state(adapter: &FreeswitchAdapter, call: &Call) -> CallState {
    adapter.get_status(&call.call_ref()).await.unwrap().state
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

async fn comes_to(adapter: &FreeswitchAdapter, call: &Call, wanted: CallState) {
    let there = || {
        let calls = adapter.snapshot().calls;
        let status = calls.iter().find(|status| status.id == Some(call.id()));
        status.is_some_and(|status| status.state == wanted)
    };
    eventually(&format!("the call is {wanted}"), there).await;
}

async fn link(adapter: &FreeswitchAdapter, up: bool) {
    eventually("the link changes", || {
        (adapter.connection().state == ConnectionState::Connected) == up
    })
    .await;
}

async fn ended(call: &Call) -> CallRecord {
    let end = tokio::time::timeout(LONG, call.ended()).await;
    end.unwrap().unwrap()
}

async fn hold(adapter: &FreeswitchAdapter, call: &Call) -> Result<()> {
    adapter.hold(&call.call_ref()).await
}

async fn resume(adapter: &FreeswitchAdapter, call: &Call) -> Result<()> {
    adapter.resume(&call.call_ref()).await
}

async fn blind(adapter: &FreeswitchAdapter, call: &Call) -> Result<()> {
    let to = "+15551230003".parse().unwrap();
    let request = TransferRequest::blind(call.id(), to);
    adapter.transfer(request).await
}

async fn attended(adapter: &FreeswitchAdapter, one: &Call, two: &Call) -> Result<()> {
    let request = TransferRequest::attended(one.id(), two.id());
    adapter.transfer(request).await
}

fn kind(result: Result<()>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// What came so far of the recording: whether it runs.
fn recordings(events: &mut EventStream<SipEvent>) -> Vec<bool> {
    let mut all = Vec::new();
    while let Some(item) = events.try_recv() {
        if let SipEvent::RecordingChanged { running, .. } = item.unwrap().event {
            all.push(running);
        }
    }
    all
}

// Hold.

#[tokio::test(start_paused = true)]
async fn one_channel_of_a_call_is_held_and_never_both() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for call in [answered(&adapter).await, pair(&adapter).await] {
        let before = rig.mock.actions_named("uuid_hold").len();
        for _ in 0..2 {
            hold(&adapter, &call).await.unwrap();
            assert_eq!(state(&adapter, &call).await, CallState::OnHold);
            tokio::time::sleep(LONG).await;
            assert_eq!(state(&adapter, &call).await, CallState::OnHold);
            resume(&adapter, &call).await.unwrap();
            assert_eq!(state(&adapter, &call).await, CallState::Connected);
        }
        assert_eq!(rig.mock.actions_named("uuid_hold").len() - before, 4);
        adapter.hangup(&call.call_ref()).await.unwrap();
        assert!(ended(&call).await.answer.is_some());
    }
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_far_end_holds_is_not_held_by_us() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let mut events = adapter.subscribe();
    rig.mock.far_end_holds(&own(&call), true);
    let told = async {
        loop {
            let item = events.recv().await.unwrap().unwrap();
            if let SipEvent::MediaStateChanged { remote_hold, .. } = item.event {
                return remote_hold;
            }
        }
    };
    assert!(told.await);
    assert_eq!(kind(hold(&adapter, &call).await), ErrorKind::InvalidState);
    assert!(rig.mock.actions_named("uuid_hold").is_empty());
    assert_eq!(state(&adapter, &call).await, CallState::Connected);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_held_or_resumed_is_refused_and_nothing_is_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let nobody = CallRef::from(CallId::new());
    assert_eq!(kind(adapter.hold(&nobody).await), ErrorKind::NotFound);
    assert_eq!(kind(adapter.resume(&nobody).await), ErrorKind::NotFound);
    rig.mock.next_call(CallScript::rings_for_ever());
    let request = CallRequest::dial("+15551230001".parse().unwrap());
    let rings = adapter.make_call(request).await.unwrap();
    comes_to(&adapter, &rings, CallState::Ringing).await;
    assert_eq!(kind(hold(&adapter, &rings).await), ErrorKind::InvalidState);
    let call = answered(&adapter).await;
    assert_eq!(kind(resume(&adapter, &call).await), ErrorKind::InvalidState);
    assert!(rig.mock.actions_named("uuid_hold").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_second_party_rings_is_not_moved() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.next_call(CallScript::answer());
    rig.mock.next_call(CallScript::rings_for_ever());
    let request = CallRequest::dial("+15551230001".parse().unwrap())
        .on_answer(OnAnswer::Bridge("+15551230002".parse().unwrap()));
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = answered(&adapter).await;
    assert_eq!(kind(hold(&adapter, &call).await), ErrorKind::InvalidState);
    assert_eq!(kind(blind(&adapter, &call).await), ErrorKind::InvalidState);
    let refused = attended(&adapter, &other, &call).await;
    assert_eq!(kind(refused), ErrorKind::InvalidState);
    for order in ["uuid_hold", "uuid_transfer", "uuid_bridge"] {
        assert!(rig.mock.actions_named(order).is_empty(), "{order}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_orders_to_one_call_the_second_is_refused() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let (held, transferred) = tokio::join!(hold(&adapter, &call), blind(&adapter, &call));
    held.unwrap();
    assert_eq!(kind(transferred), ErrorKind::InvalidState);
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
}

#[tokio::test(start_paused = true)]
async fn a_hold_whose_answer_was_lost_is_found_out() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = pair(&adapter).await;
    rig.mock.next_reply("uuid_hold", ReplyFault::DropBefore);
    let error = hold(&adapter, &call).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(error.call_id(), Some(call.id()));
    comes_to(&adapter, &call, CallState::OnHold).await;
    link(&adapter, true).await;
    rig.mock.next_reply("uuid_hold", ReplyFault::DropBefore);
    let error = resume(&adapter, &call).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    comes_to(&adapter, &call, CallState::Connected).await;
    link(&adapter, true).await;
    hold(&adapter, &call).await.unwrap();
    resume(&adapter, &call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_the_server_refuses_changes_nothing() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let no = ReplyFault::Refuse("Operation failed".to_owned());
    rig.mock.next_reply("uuid_hold", no);
    assert_eq!(kind(hold(&adapter, &call).await), ErrorKind::Rejected);
    assert_eq!(state(&adapter, &call).await, CallState::Connected);
    rig.cut();
    link(&adapter, false).await;
    let error = hold(&adapter, &call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::NotConnected, Effect::NoEffect)
    );
    rig.mend();
    link(&adapter, true).await;
    hold(&adapter, &call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_is_held_after_a_gap_as_the_server_has_it() {
    for taken_back in [false, true] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let call = answered(&adapter).await;
        hold(&adapter, &call).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        rig.cut();
        link(&adapter, false).await;
        if taken_back {
            rig.mock.far_end_holds(&own(&call), false);
        }
        rig.mend();
        link(&adapter, true).await;
        let then = if taken_back {
            CallState::Connected
        } else {
            CallState::OnHold
        };
        assert_eq!(state(&adapter, &call).await, then);
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_does_not_leave_an_order_half_done() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let slow = ReplyFault::Slow(Duration::from_secs(2));
    rig.mock.next_reply("uuid_dump", slow);
    let patience = Duration::from_secs(1);
    let given_up = tokio::time::timeout(patience, hold(&adapter, &call)).await;
    assert!(given_up.is_err());
    comes_to(&adapter, &call, CallState::OnHold).await;
    resume(&adapter, &call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_while_it_is_held_is_gone_for_the_order() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let slow = ReplyFault::Slow(Duration::from_secs(2));
    rig.mock.next_reply("uuid_dump", slow);
    let leaves = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.mock.far_end_hangs_up(&own(&call), 16);
    };
    let (held, ()) = tokio::join!(hold(&adapter, &call), leaves);
    assert_eq!(kind(held), ErrorKind::NotFound);
    ended(&call).await;
}

// Transfers.

#[tokio::test(start_paused = true)]
async fn a_blind_transfer_ends_with_the_answer_of_the_new_party() {
    for held in [false, true] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let call = pair(&adapter).await;
        let other = rig.party(&call).await;
        if held {
            hold(&adapter, &call).await.unwrap();
        }
        blind(&adapter, &call).await.unwrap();
        assert_eq!(state(&adapter, &call).await, CallState::Connected);
        let new = rig.party(&call).await;
        assert_ne!(new, other);
        let gone = |mock: &MockFreeSwitch| (!mock.channels().contains(&other)).then_some(());
        assert!(rig.mock.wait_until(LONG, gone).await.is_some());
        tokio::time::sleep(LONG).await;
        assert_eq!(state(&adapter, &call).await, CallState::Connected);
        rig.mock.far_end_hangs_up(&new, 16);
        assert!(ended(&call).await.answer.is_some());
        rig.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_blind_transfer_that_fails_says_why_and_the_call_stays() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    for (script, word, cause) in [
        (CallScript::busy(), "USER_BUSY", "Q.850 17"),
        (CallScript::no_answer(), "NO_ANSWER", "Q.850 19"),
        (CallScript::rejected(404), "UNALLOCATED_NUMBER", "Q.850 1"),
    ] {
        rig.mock.next_call(script);
        let error = blind(&adapter, &call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{word}");
        assert_eq!(error.native_code(), Some(word));
        let text = error.native_text().unwrap();
        assert!(text.ends_with(cause), "{word}: {text}");
        assert_eq!(state(&adapter, &call).await, CallState::Connected);
    }
    blind(&adapter, &call).await.unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    ended(&call).await;
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_the_plan_cannot_carry_is_refused_before_it_is_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    for to in ["sofia/a/1^park", "sofia/a/o'x", "sofia/a/1 2", "nowhere"] {
        let to = format!("native:{to}").parse().unwrap();
        let refused = adapter.transfer(TransferRequest::blind(call.id(), to));
        assert_eq!(kind(refused.await), ErrorKind::InvalidRequest);
    }
    assert!(rig.mock.actions_named("uuid_transfer").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_failed_is_not_why_the_call_ended() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = pair(&adapter).await;
    rig.mock.next_call(CallScript::busy());
    assert_eq!(kind(blind(&adapter, &call).await), ErrorKind::Rejected);
    adapter.disconnect(LONG).await.unwrap();
    rig.mock.far_end_hangs_up(&own(&call), 16);
    rig.quiet().await;
    // Another process has nothing but what the hook left.
    let next = rig.connected().await;
    let found = next.lookup(&call.id().into()).await.unwrap();
    let Lookup::Ended(record) = found else {
        panic!("{found:?}");
    };
    assert!(record.answer.is_some());
    assert_eq!(record.causes.q850, Some(16));
}

#[tokio::test(start_paused = true)]
async fn a_held_call_that_is_not_transferred_is_held_again() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    hold(&adapter, &call).await.unwrap();
    rig.mock.next_call(CallScript::busy());
    assert_eq!(kind(blind(&adapter, &call).await), ErrorKind::Rejected);
    assert_eq!(state(&adapter, &call).await, CallState::OnHold);
    resume(&adapter, &call).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_party_that_hangs_up_in_a_transfer_ends_the_call_and_the_transfer() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    rig.mock.next_call(CallScript::rings_for_ever());
    let leaves = async {
        comes_to(&adapter, &call, CallState::Transferring).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        rig.mock.far_end_hangs_up(&own(&call), 16);
    };
    let (transferred, ()) = tokio::join!(blind(&adapter, &call), leaves);
    let error: Error = transferred.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.message().contains("ended"), "{error}");
    ended(&call).await;
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_goes_on_while_the_link_is_down() {
    for (script, kept) in [(CallScript::answer(), false), (CallScript::busy(), true)] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let call = answered(&adapter).await;
        rig.mock.next_call(script.rings(Duration::from_secs(20)));
        let cut = async {
            comes_to(&adapter, &call, CallState::Transferring).await;
            rig.cut();
            tokio::time::sleep(Duration::from_secs(30)).await;
            rig.mend();
        };
        let (transferred, ()) = tokio::join!(blind(&adapter, &call), cut);
        match transferred {
            Ok(()) => assert!(!kept),
            Err(error) => assert!(kept && error.kind() == ErrorKind::Rejected, "{error:?}"),
        }
        assert_eq!(state(&adapter, &call).await, CallState::Connected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_without_an_outcome_is_unknown_and_found_out_later() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let cut = async {
        comes_to(&adapter, &call, CallState::Transferring).await;
        rig.cut();
    };
    let (transferred, ()) = tokio::join!(blind(&adapter, &call), cut);
    assert_eq!(kind(transferred), ErrorKind::OutcomeUnknown);
    rig.mend();
    comes_to(&adapter, &call, CallState::Connected).await;
    rig.party(&call).await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_whose_answer_was_lost_is_found_out() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    rig.mock.next_reply("uuid_transfer", ReplyFault::DropBefore);
    let error = blind(&adapter, &one).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    comes_to(&adapter, &one, CallState::Connected).await;
    link(&adapter, true).await;
    rig.party(&one).await;
    rig.mock.next_reply("uuid_bridge", ReplyFault::DropBefore);
    let error = attended(&adapter, &one, &two).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    for call in [&one, &two] {
        comes_to(&adapter, call, CallState::Connected).await;
    }
    assert_eq!(rig.party(&one).await, own(&two));
}

#[tokio::test(start_paused = true)]
async fn an_attended_transfer_joins_two_calls_and_the_others_leave() {
    for held in [false, true] {
        let rig = Rig::new().await;
        let adapter = rig.connected().await;
        let (one, two) = (pair(&adapter).await, pair(&adapter).await);
        if held {
            hold(&adapter, &one).await.unwrap();
        }
        attended(&adapter, &one, &two).await.unwrap();
        for (call, other) in [(&one, &two), (&two, &one)] {
            assert_eq!(state(&adapter, call).await, CallState::Connected);
            assert_eq!(rig.party(call).await, own(other));
        }
        let two_left = |mock: &MockFreeSwitch| (mock.channels().len() == 2).then_some(());
        assert!(rig.mock.wait_until(LONG, two_left).await.is_some());
        let orders = rig.mock.actions_named("uuid_bridge").len();
        attended(&adapter, &two, &one).await.unwrap();
        assert_eq!(rig.mock.actions_named("uuid_bridge").len(), orders);
        adapter.hangup(&one.call_ref()).await.unwrap();
        ended(&one).await;
        ended(&two).await;
        rig.quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_calls_that_talk_to_each_other_are_held_and_taken_back_together() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    attended(&adapter, &one, &two).await.unwrap();
    let all_are = async |wanted| {
        for call in [&one, &two] {
            assert_eq!(state(&adapter, call).await, wanted);
        }
    };
    hold(&adapter, &one).await.unwrap();
    all_are(CallState::OnHold).await;
    assert_eq!(kind(hold(&adapter, &two).await), ErrorKind::InvalidState);
    resume(&adapter, &two).await.unwrap();
    all_are(CallState::Connected).await;
    hold(&adapter, &two).await.unwrap();
    attended(&adapter, &one, &two).await.unwrap();
    all_are(CallState::Connected).await;
    tokio::time::sleep(LONG).await;
    all_are(CallState::Connected).await;
    assert_eq!(rig.party(&one).await, own(&two));
}

#[tokio::test(start_paused = true)]
async fn an_attended_transfer_needs_two_answered_calls() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let one = answered(&adapter).await;
    let itself = attended(&adapter, &one, &one).await;
    assert_eq!(kind(itself), ErrorKind::InvalidRequest);
    rig.mock.next_call(CallScript::rings_for_ever());
    let request = CallRequest::dial("+15551230002".parse().unwrap());
    let rings = adapter.make_call(request).await.unwrap();
    comes_to(&adapter, &rings, CallState::Ringing).await;
    for (from, to) in [(&one, &rings), (&rings, &one)] {
        let refused = attended(&adapter, from, to).await;
        assert_eq!(kind(refused), ErrorKind::InvalidState);
    }
    let nobody = TransferRequest::attended(one.id(), CallId::new());
    assert_eq!(kind(adapter.transfer(nobody).await), ErrorKind::NotFound);
    assert!(rig.mock.actions_named("uuid_bridge").is_empty());
    hold(&adapter, &one).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attended_transfer_that_the_server_refuses_leaves_both_as_they_were() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let (one, two) = (answered(&adapter).await, answered(&adapter).await);
    hold(&adapter, &two).await.unwrap();
    let no = ReplyFault::Refuse("no".to_owned());
    rig.mock.next_reply("uuid_bridge", no);
    let refused = attended(&adapter, &one, &two).await;
    assert_eq!(kind(refused), ErrorKind::Rejected);
    assert_eq!(state(&adapter, &one).await, CallState::Connected);
    assert_eq!(state(&adapter, &two).await, CallState::OnHold);
    resume(&adapter, &two).await.unwrap();
}

// Recordings and digits.

#[tokio::test(start_paused = true)]
async fn a_recording_whose_answer_was_lost_can_be_stopped() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let mut events = adapter.subscribe();
    rig.mock.next_reply("uuid_record", ReplyFault::DropBefore);
    let start = adapter.record(RecordRequest::start(call.id())).await;
    assert_eq!(start.unwrap_err().effect(), Effect::Unknown);
    link(&adapter, true).await;
    let again = adapter.record(RecordRequest::start(call.id())).await;
    assert_eq!(kind(again), ErrorKind::InvalidState);
    adapter
        .record(RecordRequest::stop(call.id()))
        .await
        .unwrap();
    recordings(&mut events);
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    assert_eq!(recordings(&mut events), [true]);
    adapter.hangup(&call.call_ref()).await.unwrap();
    assert!(ended(&call).await.recording.is_some());
    assert_eq!(recordings(&mut events), [false]);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_the_server_refuses_is_none() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let mut events = adapter.subscribe();
    let no = ReplyFault::Refuse("Cannot record session!".to_owned());
    rig.mock.next_reply("uuid_record", no);
    let refused = adapter.record(RecordRequest::start(call.id())).await;
    assert_eq!(kind(refused), ErrorKind::Rejected);
    let stop = adapter.record(RecordRequest::stop(call.id())).await;
    assert_eq!(kind(stop), ErrorKind::InvalidState);
    assert!(recordings(&mut events).is_empty());
    // Two at once: one of them records.
    let (one, two) = tokio::join!(
        adapter.record(RecordRequest::start(call.id())),
        adapter.record(RecordRequest::start(call.id()))
    );
    assert!(one.is_ok() != two.is_ok());
    assert_eq!(recordings(&mut events), [true]);
}

#[tokio::test(start_paused = true)]
async fn digits_of_two_requests_do_not_mix_and_take_their_time() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let began = tokio::time::Instant::now();
    let (one, two) = tokio::join!(
        adapter.send_dtmf(DtmfRequest::new(call.id(), "12*#A")),
        adapter.send_dtmf(DtmfRequest::new(call.id(), "99"))
    );
    one.unwrap();
    two.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(7 * 200));
    assert_eq!(rig.mock.dtmf_sent(&own(&call)), "12*#A99");
}

#[tokio::test(start_paused = true)]
async fn digits_into_a_call_that_ends_meanwhile_are_not_said_to_be_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let leaves = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.mock.far_end_hangs_up(&own(&call), 16);
    };
    let digits = DtmfRequest::new(call.id(), "1".repeat(50));
    let (sent, ()) = tokio::join!(adapter.send_dtmf(digits), leaves);
    assert_eq!(sent.unwrap_err().effect(), Effect::Unknown);
    ended(&call).await;
}
