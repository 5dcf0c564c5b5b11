//! Orders for calls over Yate that are up: what the suite of all adapters does not ask.
#![cfg(test)]
#![cfg(feature = "yate")]

mod yate_support;

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind,
    address::Address,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{
        Call, CallRequest, CallState, ConferenceAction, ConferenceRequest, Disposition,
        DtmfRequest, OnAnswer, RecordRequest, SipAdapter as _, SipEvent, TransferRequest,
    },
};
use faxbot_sip::adapter::yate::YateAdapter;
use faxbot_testkit::server::CallScript;
use tokio::time::Instant;
use yate_support::{Rig, drain, eventually, lost, reconnected};

/// Numbers that ring for a minute, answer, or are busy.
const RINGS: &str = "+4930222";
const ANSWERS: &str = "+4930111";
const OTHER: &str = "+4930112";
const BUSY: &str = "+4930333";

async fn connected(rig: &Rig) -> YateAdapter {
    rig.mock.on_dial(RINGS, CallScript::no_answer());
    rig.mock.on_dial(BUSY, CallScript::busy());
    let adapter = rig.adapter_with(|config| config.recordings = Some("/srv/fax".to_owned()));
    adapter.connect().await.unwrap();
    adapter
}

fn number(to: &str) -> Address {
    to.parse().unwrap()
}

async fn up(adapter: &YateAdapter) -> Call {
    let call = adapter
        .make_call(CallRequest::dial(number(ANSWERS)))
        .await
        .unwrap();
    call.answered().await.unwrap();
    call
}

async fn pair(adapter: &YateAdapter) -> Call {
    let request = CallRequest::connect(number(ANSWERS), number(OTHER));
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    call
}

/// The channels of parties that are up.
fn parties(rig: &Rig) -> Vec<String> {
    let mut all = rig.mock.channels();
    all.retain(|id| id.starts_with("sip/"));
    all
}

async fn parties_are(rig: &Rig, count: usize) {
    eventually("so many parties", || parties(rig).len() == count).await;
}

/// Our own channel of the call that was placed first.
fn first(rig: &Rig) -> String {
    parties(rig).first().unwrap().clone()
}

fn members(adapter: &YateAdapter) -> Vec<(String, usize)> {
    let rooms = adapter.snapshot().conferences.into_iter();
    rooms
        .map(|(name, count)| (name.expose().clone(), count))
        .collect()
}

async fn act(adapter: &YateAdapter, action: ConferenceAction) -> Result<(), Error> {
    adapter
        .conference(ConferenceRequest::new("standup", action))
        .await
}

fn recordings(events: &mut EventStream<SipEvent>) -> Vec<(Option<CallId>, bool, bool)> {
    let changes = drain(events).into_iter().filter_map(|event| match event {
        SipEvent::RecordingChanged { id, running, file } => Some((id, running, file.is_some())),
        _ => None,
    });
    changes.collect()
}

#[tokio::test(start_paused = true)]
async fn a_first_party_that_leaves_takes_the_second_one_along_that_rings() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let request = CallRequest::connect(number(ANSWERS), number(RINGS));
    let call = adapter.make_call(request).await.unwrap();
    eventually("ringing", || call.state() == CallState::Ringing).await;
    assert!(rig.mock.far_end_hangs_up(&first(&rig), 16));
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::NoAnswer);
    parties_are(&rig, 0).await;
    assert!(call.answered().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_second_party_that_does_not_answer_ends_the_call_at_the_ring_time_out() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let request = CallRequest::connect(number(ANSWERS), number(RINGS));
    let request = request.with_timeout(Duration::from_secs(20));
    let began = Instant::now();
    let call = adapter.make_call(request).await.unwrap();
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::NoAnswer);
    assert!(record.answer.is_none());
    assert!((20..30).contains(&began.elapsed().as_secs()));
    parties_are(&rig, 0).await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_two_parties_counts_from_the_answer_of_the_second() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let request = CallRequest::connect(number(ANSWERS), number(OTHER));
    let request = request.with_max_duration(Duration::from_secs(30));
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let began = Instant::now();
    let record = call.ended().await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    assert!((29..33).contains(&began.elapsed().as_secs()));
    parties_are(&rig, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_on_where_yate_routes_an_extension() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    rig.mock.on_route("7001", "sip/sip:4930112@trunk.example");
    let to = |extension: &str| OnAnswer::Extension {
        extension: extension.to_owned(),
        context: None,
    };
    let request = CallRequest::dial(number(ANSWERS)).on_answer(to("7001"));
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    parties_are(&rig, 2).await;
    adapter.hangup(&call.call_ref()).await.unwrap();
    parties_are(&rig, 0).await;
    // Nobody is there.
    rig.mock.on_route("7999", "-");
    let request = CallRequest::dial(number(ANSWERS)).on_answer(to("7999"));
    let call = adapter.make_call(request).await.unwrap();
    let record = call.ended().await.unwrap();
    assert!(record.answer.is_some());
    parties_are(&rig, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_held_loses_nobody_and_talks_again() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = pair(&adapter).await;
    let both = parties(&rig);
    for _ in 0..2 {
        adapter.hold(&call.call_ref()).await.unwrap();
        assert_eq!(parties(&rig), both);
        let with = rig.mock.bridged_with(&both[0]);
        assert!(!with.contains(&both[1]), "they hear each other: {with:?}");
        adapter.resume(&call.call_ref()).await.unwrap();
        assert_eq!(rig.mock.bridged_with(&both[0]), [both[1].clone()]);
    }
    // The conference that they passed is nobody's.
    assert!(members(&adapter).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_held_pair_ends_with_either_of_them() {
    for leaves in [0, 1] {
        let rig = Rig::new().await;
        let adapter = connected(&rig).await;
        let call = pair(&adapter).await;
        let both = parties(&rig);
        adapter.hold(&call.call_ref()).await.unwrap();
        assert!(rig.mock.far_end_hangs_up(&both[leaves], 16));
        call.ended().await.unwrap();
        parties_are(&rig, 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_call_whose_transfer_fails_is_still_held() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = up(&adapter).await;
    adapter.hold(&call.call_ref()).await.unwrap();
    for (to, seconds) in [(BUSY, 0..10), (RINGS, 55..80)] {
        let began = Instant::now();
        let transfer = TransferRequest::blind(call.id(), number(to));
        let error = adapter.transfer(transfer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{to}");
        assert!(seconds.contains(&began.elapsed().as_secs()), "{to}");
        assert_eq!(call.state(), CallState::OnHold, "{to}");
        parties_are(&rig, 1).await;
    }
    adapter.resume(&call.call_ref()).await.unwrap();
    assert_eq!(call.state(), CallState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_of_a_pair_leaves_the_other_party() {
    for held in [false, true] {
        let rig = Rig::new().await;
        let adapter = connected(&rig).await;
        let call = pair(&adapter).await;
        let before = parties(&rig);
        if held {
            adapter.hold(&call.call_ref()).await.unwrap();
        }
        let transfer = TransferRequest::blind(call.id(), number(ANSWERS));
        adapter.transfer(transfer).await.unwrap();
        assert_eq!(call.state(), CallState::Connected);
        parties_are(&rig, 2).await;
        let after = parties(&rig);
        assert!(after.contains(&before[0]) && !after.contains(&before[1]));
        assert_eq!(rig.mock.bridged_with(&before[0]), [after[1].clone()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_while_its_new_party_rings_ends_that_party() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = up(&adapter).await;
    let transfer = TransferRequest::blind(call.id(), number(RINGS));
    let own = first(&rig);
    let leaves = async {
        parties_are(&rig, 2).await;
        assert!(rig.mock.far_end_hangs_up(&own, 16));
    };
    let (done, ()) = tokio::join!(adapter.transfer(transfer), leaves);
    assert_eq!(done.unwrap_err().kind(), ErrorKind::Rejected);
    parties_are(&rig, 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_new_party_that_answers_while_the_link_is_down_is_connected() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let script = CallScript::answer().rings(Duration::from_secs(5));
    rig.mock.on_dial("+4930444", script);
    let call = up(&adapter).await;
    let transfer = TransferRequest::blind(call.id(), number("+4930444"));
    let cut = async {
        parties_are(&rig, 2).await;
        rig.cut();
        lost(&adapter).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        rig.mend();
        reconnected(&adapter).await;
    };
    let (done, ()) = tokio::join!(adapter.transfer(transfer), cut);
    done.unwrap();
    assert_eq!(call.state(), CallState::Connected);
    let both = parties(&rig);
    assert_eq!(rig.mock.bridged_with(&both[0]), [both[1].clone()]);
}

#[tokio::test(start_paused = true)]
async fn two_orders_for_one_call_do_not_cross() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = up(&adapter).await;
    let transfer = TransferRequest::blind(call.id(), number(RINGS));
    let target = call.call_ref();
    let hold = async {
        parties_are(&rig, 2).await;
        let refused = adapter.hold(&target).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidState);
        adapter.hangup(&target).await.unwrap();
    };
    let (done, ()) = tokio::join!(adapter.transfer(transfer), hold);
    assert!(done.is_err());
    parties_are(&rig, 0).await;
}

#[tokio::test(start_paused = true)]
async fn digits_go_by_info_where_no_sound_goes_along() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = up(&adapter).await;
    let began = Instant::now();
    let send = || adapter.send_dtmf(DtmfRequest::new(call.id(), "12"));
    send().await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(400));
    adapter.hold(&call.call_ref()).await.unwrap();
    send().await.unwrap();
    let sent = rig.mock.actions_named("chan.dtmf");
    let methods: Vec<_> = sent.iter().map(|it| it.get("methods")).collect();
    assert_eq!(methods, [Some("info"), Some("info"), None, None]);
    assert_eq!(rig.mock.dtmf_sent(&first(&rig)), "1212");
}

#[tokio::test(start_paused = true)]
async fn a_conference_is_recorded_and_cannot_be_locked() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = up(&adapter).await;
    let join = ConferenceAction::Join(call.call_ref());
    act(&adapter, join).await.unwrap();
    let mut events = adapter.subscribe();
    act(&adapter, ConferenceAction::Record(true)).await.unwrap();
    act(&adapter, ConferenceAction::Record(false))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        recordings(&mut events),
        [(None, true, true), (None, false, true)]
    );
    let locked = act(&adapter, ConferenceAction::Lock(true)).await;
    assert_eq!(locked.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(members(&adapter), [("standup".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_held_leaves_the_conference_and_comes_back() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let (one, two) = (up(&adapter).await, up(&adapter).await);
    for call in [&one, &two] {
        let join = ConferenceAction::Join(call.call_ref());
        act(&adapter, join).await.unwrap();
    }
    adapter.hold(&one.call_ref()).await.unwrap();
    eventually("one left", || {
        members(&adapter) == [("standup".to_owned(), 1)]
    })
    .await;
    adapter.resume(&one.call_ref()).await.unwrap();
    eventually("both", || members(&adapter) == [("standup".to_owned(), 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_pair_joins_a_conference_with_both() {
    for held in [false, true] {
        let rig = Rig::new().await;
        let adapter = connected(&rig).await;
        let call = pair(&adapter).await;
        if held {
            adapter.hold(&call.call_ref()).await.unwrap();
        }
        let join = ConferenceAction::Join(call.call_ref());
        act(&adapter, join).await.unwrap();
        eventually("both", || members(&adapter) == [("standup".to_owned(), 2)]).await;
        assert_eq!(call.state(), CallState::Connected);
    }
}

#[tokio::test(start_paused = true)]
async fn conferences_are_known_again_after_a_gap() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = up(&adapter).await;
    let join = ConferenceAction::Join(call.call_ref());
    act(&adapter, join).await.unwrap();
    let own = first(&rig);
    rig.cut();
    lost(&adapter).await;
    assert!(rig.mock.far_end_hangs_up(&own, 16));
    rig.mend();
    reconnected(&adapter).await;
    assert!(members(&adapter).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_recording_goes_on_through_hold_and_transfer() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let call = up(&adapter).await;
    let mut events = adapter.subscribe();
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    adapter.hold(&call.call_ref()).await.unwrap();
    adapter.resume(&call.call_ref()).await.unwrap();
    let transfer = TransferRequest::blind(call.id(), number(OTHER));
    adapter.transfer(transfer).await.unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = call.ended().await.unwrap();
    let file = record.recording.unwrap();
    assert!(file.expose().starts_with("/srv/fax/faxbot-") && file.expose().ends_with("-1.au"));
    let id = Some(call.id());
    assert_eq!(
        recordings(&mut events),
        [(id, true, true), (id, false, true)]
    );
}

#[tokio::test(start_paused = true)]
async fn no_name_that_stands_for_all_calls_of_the_server_is_hung_up() {
    let rig = Rig::new().await;
    let adapter = connected(&rig).await;
    let _call = up(&adapter).await;
    for name in ["sip", "dumb", "varchans", "sip/"] {
        let refused = adapter.hangup(&CallRef::native(name)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidRequest, "{name}");
    }
    assert_eq!(rig.mock.channels().len(), 2);
}
