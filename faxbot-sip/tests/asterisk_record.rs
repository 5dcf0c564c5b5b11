//! Recordings of calls, from the start to the end of the call.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::time::Duration;

use asterisk_support::{FLAVOURS, LONG, Rig, channel_id, dial, drain, eventually};
use faxbot_core::{
    ErrorKind,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{Call, CallState, Capability, RecordRequest, SipAdapter as _, SipEvent},
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use faxbot_testkit::server::asterisk::{Account, ReplyFault};

async fn answered(adapter: &AsteriskAdapter) -> Call {
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    call
}

/// What was told of recordings: whether it runs, and the file.
fn told(events: &mut EventStream<SipEvent>) -> Vec<(bool, String)> {
    let told = |event| match event {
        SipEvent::RecordingChanged { running, file, .. } => {
            Some((running, file.unwrap().expose().clone()))
        }
        _ => None,
    };
    drain(events).into_iter().filter_map(told).collect()
}

fn file(directory: &str, id: CallId, number: u32) -> String {
    format!("{directory}/faxbot-{}-{number}.wav", id.as_uuid())
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_told_of_with_its_file_when_it_begins_and_ends() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.adapter_with(|config| config.recordings = Some("/srv/rec".into()));
        adapter.connect().await.unwrap();
        let call = answered(&adapter).await;
        let mut events = adapter.subscribe();
        for number in 1..=2 {
            let file = file("/srv/rec", call.id(), number);
            adapter
                .record(RecordRequest::start(call.id()))
                .await
                .unwrap();
            assert_eq!(told(&mut events), [(true, file.clone())]);
            adapter
                .record(RecordRequest::stop(call.id()))
                .await
                .unwrap();
            assert_eq!(told(&mut events), [(false, file)]);
        }
        let seen = rig.mock.actions_named("MixMonitor");
        assert_eq!(seen[0].get("Channel"), Some(channel_id(call.id()).as_str()));
        // A stop ends ours and no other.
        let stopped = rig.mock.actions_named("StopMixMonitor");
        assert!(
            stopped
                .iter()
                .all(|stop| stop.get("MixMonitorID").is_some())
        );
        adapter.hangup(&call.call_ref()).await.unwrap();
        let record = call.ended().await.unwrap();
        let last = file("/srv/rec", call.id(), 2);
        assert_eq!(record.recording.unwrap().expose(), &last);
        assert_eq!(told(&mut events), []);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_directory_the_file_is_told_of_as_asterisk_placed_it() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let mut events = adapter.subscribe();
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    let expected = file("/var/spool/asterisk/monitor", call.id(), 1);
    assert_eq!(told(&mut events), [(true, expected)]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_recording_is_told_before_the_end_of_its_call() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    let mut events = adapter.subscribe();
    rig.mock.far_end_hangs_up(&channel_id(call.id()), 16);
    let record = call.ended().await.unwrap();
    let expected = file("/var/spool/asterisk/monitor", call.id(), 1);
    assert_eq!(record.recording.unwrap().expose(), &expected);
    let order: Vec<_> = drain(&mut events)
        .into_iter()
        .filter_map(|event| match event {
            SipEvent::RecordingChanged { running, .. } => Some(running),
            SipEvent::CallStateChanged(change) if change.to == CallState::Terminated => Some(true),
            _ => None,
        })
        .collect();
    assert_eq!(order, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_runs_or_does_not_is_not_started_or_stopped_again() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let (start, stop) = (
        RecordRequest::start(call.id()),
        RecordRequest::stop(call.id()),
    );
    let kind =
        async |request: &RecordRequest| adapter.record(request.clone()).await.unwrap_err().kind();
    assert_eq!(kind(&stop).await, ErrorKind::InvalidState);
    adapter.record(start.clone()).await.unwrap();
    assert_eq!(kind(&start).await, ErrorKind::InvalidState);
    adapter.record(stop.clone()).await.unwrap();
    assert_eq!(kind(&stop).await, ErrorKind::InvalidState);
    assert_eq!(rig.mock.actions_named("MixMonitor").len(), 1);
    assert_eq!(rig.mock.actions_named("StopMixMonitor").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_up_is_not_recorded() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for call in [CallRef::from(CallId::new()), CallRef::native("PJSIP/x-1")] {
        let refused = adapter.record(RecordRequest::start(call)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let ringing = adapter.make_call(dial("603")).await.unwrap();
    let refused = adapter.record(RecordRequest::start(ringing.id())).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidState);
    assert!(rig.mock.actions_named("MixMonitor").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_start_leaves_no_recording_behind() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let mut events = adapter.subscribe();
    let fault = ReplyFault::Refuse("Could not start monitoring channel".into());
    rig.mock.next_reply("MixMonitor", fault);
    let refused = adapter.record(RecordRequest::start(call.id())).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(told(&mut events), []);
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    assert_eq!(told(&mut events).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_was_stopped_by_others_is_over_here_too() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
    let mut events = adapter.subscribe();
    let fault = ReplyFault::Refuse("Could not stop monitoring channel".into());
    rig.mock.next_reply("StopMixMonitor", fault);
    let refused = adapter.record(RecordRequest::stop(call.id())).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidState);
    assert!(!told(&mut events)[0].0);
    adapter
        .record(RecordRequest::start(call.id()))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_waits_for_any_longer_is_told_all_the_same() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = answered(&adapter).await;
    let mut events = adapter.subscribe();
    let slow = ReplyFault::Slow(Duration::from_secs(2));
    rig.mock.next_reply("MixMonitor", slow);
    let start = adapter.record(RecordRequest::start(call.id()));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), start)
            .await
            .is_err()
    );
    eventually("told of the recording", || !told(&mut events).is_empty()).await;
    adapter
        .record(RecordRequest::stop(call.id()))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_that_may_not_record_does_not_declare_it() {
    let weak = Account::new("weak", "w3ak").write("call,originate,reporting");
    let rig = Rig::with(|builder| builder.account(weak)).await;
    let adapter = rig.adapter_with(|config| {
        config.username = "weak".into();
        config.password = "w3ak".into();
    });
    adapter.connect().await.unwrap();
    assert!(!adapter.capabilities().has(Capability::Record));
    let refused = adapter.record(RecordRequest::start(CallId::new())).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_recorded_from_its_answer_on_where_that_was_asked_for() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let mut request = dial("+15551230001");
    request.options.record = true;
    let call = adapter.make_call(request).await.unwrap();
    call.answered().await.unwrap();
    let there = |mock: &faxbot_testkit::server::asterisk::MockAsterisk| {
        (!mock.actions_named("MixMonitor").is_empty()).then_some(())
    };
    assert!(rig.mock.wait_until(LONG, there).await.is_some());
    eventually("told of the recording", || !told(&mut events).is_empty()).await;
}
