//! Many calls through one adapter: none is lost or mixed up, and memory is bounded.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use asterisk_support::{LONG, Rig, dial, eventually, reconnected};
use faxbot_core::{
    ErrorKind,
    address::Address,
    sip::{
        Call, CallRecord, CallRequest, CallState, ConnectionState, Disposition, OnAnswer,
        SipAdapter,
    },
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use faxbot_testkit::server::asterisk::{CallScript, Timings};
use peak_alloc::PeakAlloc;
use tokio::task::JoinSet;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The heap is counted for all threads: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// All of them at once.
const CALLS: usize = 1_000;

/// Bytes of the adapter for a live call of one party, and for the kept record of one that ended; a
/// third more than was measured (docs/performance.md).
const LIVE_BYTES: usize = 4_300;
const RECORD_BYTES: usize = 1_750;

fn number(index: usize) -> Address {
    format!("+1555{index:07}").parse().unwrap()
}

/// One of each three is of one party, one is bridged on, one connected.
fn request(index: usize) -> CallRequest {
    let other = || number(5_000_000 + index);
    match index % 3 {
        0 => CallRequest::dial(number(index)),
        1 => CallRequest::dial(number(index)).on_answer(OnAnswer::Bridge(other())),
        _ => CallRequest::connect(other(), number(index)),
    }
}

async fn rig() -> Rig {
    Rig::with(|builder| builder.timings(Timings::quick())).await
}

async fn place(adapter: &AsteriskAdapter, count: usize) -> Vec<Call> {
    let mut tasks = JoinSet::new();
    for index in 0..count {
        let adapter = adapter.clone();
        tasks.spawn(async move { (index, adapter.make_call(request(index)).await.unwrap()) });
    }
    let mut calls = tasks.join_all().await;
    calls.sort_by_key(|(index, _)| *index);
    calls.into_iter().map(|(_, call)| call).collect()
}

async fn answered(calls: &[Call]) {
    for call in calls {
        tokio::time::timeout(LONG, call.answered())
            .await
            .expect("a call was never answered")
            .unwrap();
    }
}

async fn ended(call: &Call) -> CallRecord {
    tokio::time::timeout(LONG, call.ended())
        .await
        .expect("a call never ended")
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_at_once_are_all_in_the_books_and_none_is_mixed_up() {
    let _alone = ALONE.lock().await;
    let rig = rig().await;
    let adapter = rig.connected().await;
    let calls = place(&adapter, CALLS).await;
    answered(&calls).await;
    let snapshot = adapter.snapshot();
    let listed: HashSet<_> = snapshot.calls.iter().filter_map(|call| call.id).collect();
    assert_eq!(listed, calls.iter().map(Call::id).collect());
    assert!(
        snapshot
            .calls
            .iter()
            .all(|call| call.state == CallState::Connected)
    );
    // A third of them has one channel, the others two.
    let channels = 2 * CALLS - CALLS.div_ceil(3);
    eventually("all parties are there", || {
        rig.mock.channels().len() == channels
    })
    .await;
    let health = adapter.health_check().await.unwrap();
    assert_eq!(health.metrics.active_calls, CALLS as u64);

    // Others are busy meanwhile; they end, and nobody else does.
    rig.mock.on_dial("+1444*", CallScript::busy());
    for _ in 0..20 {
        let busy = adapter.make_call(dial("+14440000000")).await.unwrap();
        assert_eq!(ended(&busy).await.disposition, Disposition::Busy);
    }
    assert_eq!(adapter.snapshot().calls.len(), CALLS);

    // Half ends here, half at the far end.
    for (index, call) in calls.iter().enumerate() {
        if index % 2 == 0 {
            adapter.hangup(&call.call_ref()).await.unwrap();
        } else {
            let own = asterisk_support::channel_id(call.id());
            assert!(rig.mock.far_end_hangs_up(&own, 16));
        }
    }
    for (index, call) in calls.iter().enumerate() {
        let record = ended(call).await;
        assert_eq!(record.id, Some(call.id()));
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.to.unwrap().expose(), &number(index).expose());
    }
    assert!(adapter.snapshot().calls.is_empty());
    rig.quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_over_a_cut_of_the_link_have_their_true_ends() {
    let _alone = ALONE.lock().await;
    let rig = rig().await;
    let adapter = rig.connected().await;
    let calls = place(&adapter, CALLS).await;
    answered(&calls).await;
    rig.cut();
    asterisk_support::lost(&adapter).await;
    let mut gone = HashMap::new();
    for (index, call) in calls.iter().enumerate().filter(|(index, _)| index % 2 == 0) {
        let own = asterisk_support::channel_id(call.id());
        assert!(rig.mock.far_end_hangs_up(&own, 16));
        gone.insert(index, call);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.mend();
    reconnected(&adapter).await;
    for call in gone.values() {
        assert_eq!(ended(call).await.disposition, Disposition::Answered);
    }
    assert_eq!(adapter.snapshot().calls.len(), CALLS - gone.len());
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_fifty_calls_ends_each_with_a_cause_and_new_ones_work() {
    let _alone = ALONE.lock().await;
    for orderly in [true, false] {
        let rig = rig().await;
        let adapter = rig.connected().await;
        let mut calls = place(&adapter, 45).await;
        answered(&calls).await;
        rig.mock.on_dial("+1444*", CallScript::rings_for_ever());
        for _ in 0..5 {
            calls.push(adapter.make_call(dial("+14440000000")).await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        if orderly {
            rig.mock.restart_now(Duration::from_secs(2));
        } else {
            rig.mock.kill(Duration::from_secs(2));
        }
        for (index, call) in calls.iter().enumerate() {
            let record = ended(call).await;
            let rang = if orderly {
                Disposition::Congestion
            } else {
                Disposition::Unknown
            };
            let wanted = if index < 45 {
                Disposition::Answered
            } else {
                rang
            };
            assert_eq!(record.disposition, wanted, "{orderly} {index}");
            assert_eq!(record.causes.q850, Some(41), "{orderly} {index}");
        }
        reconnected(&adapter).await;
        assert!(adapter.snapshot().calls.is_empty());
        let next = adapter.make_call(dial("+15551230001")).await.unwrap();
        next.answered().await.unwrap();
        assert_eq!(adapter.connection().state, ConnectionState::Connected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_perhaps_never_was_has_no_record_after_a_restart() {
    let _alone = ALONE.lock().await;
    let rig = rig().await;
    let adapter = rig.connected().await;
    let silent = faxbot_testkit::server::asterisk::ReplyFault::DropBefore;
    rig.mock
        .on_dial("+1444*", CallScript::rings_for_ever().reply(silent));
    let request = dial("+14440000000");
    let call = request.id.into();
    let placed = adapter.make_call(request);
    let kill = async {
        rig.mock.wait_for("Originate", 1).await;
        rig.mock.kill(Duration::from_secs(2));
    };
    let (placed, ()) = tokio::join!(placed, kill);
    assert_eq!(placed.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    reconnected(&adapter).await;
    eventually("it is given up", || adapter.snapshot().calls.is_empty()).await;
    assert!(adapter.get_status(&call).await.is_err());
}

/// What the adapter holds: what is free once it is gone.
async fn held(adapter: AsteriskAdapter) -> usize {
    // What was on its way is taken.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = HEAP.current_usage();
    drop(adapter);
    // Its tasks end as they are polled; those of the mock keep their records.
    tokio::time::sleep(Duration::from_secs(1)).await;
    before.saturating_sub(HEAP.current_usage())
}

async fn singles(adapter: &AsteriskAdapter, count: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    for index in 0..count {
        let request = CallRequest::dial(number(index));
        calls.push(adapter.make_call(request).await.unwrap());
    }
    answered(&calls).await;
    calls
}

#[tokio::test(start_paused = true)]
async fn a_live_call_and_a_kept_record_take_what_is_stated() {
    let _alone = ALONE.lock().await;
    let rig = rig().await;
    let idle = held(rig.connected().await).await;

    let adapter = rig.connected().await;
    let calls = singles(&adapter, CALLS).await;
    drop(calls);
    let live = held(adapter).await.saturating_sub(idle) / CALLS;
    for channel in rig.mock.channels() {
        rig.mock.far_end_hangs_up(&channel, 16);
    }
    rig.quiet().await;

    let adapter = rig.connected().await;
    let calls = singles(&adapter, CALLS).await;
    for channel in rig.mock.channels() {
        rig.mock.far_end_hangs_up(&channel, 16);
    }
    for call in &calls {
        ended(call).await;
    }
    drop(calls);
    let kept = held(adapter).await.saturating_sub(idle) / CALLS;
    println!("{idle} bytes idle, {live} a live call, {kept} a kept record");
    assert!(live <= LIVE_BYTES, "{live} bytes a live call");
    assert!(kept <= RECORD_BYTES, "{kept} bytes a kept record");
}

/// Calls of a minute each, one each four seconds, for so long. Answers what the adapter holds then.
async fn hours(count: usize) -> usize {
    let rig = rig().await;
    rig.mock.on_dial(
        "*",
        CallScript::answer().hangs_up_after(Duration::from_secs(60)),
    );
    // Each poll looks after the extensions; that is no part of this.
    let adapter = rig.adapter_with(|config| config.fax_poll = Duration::from_secs(60));
    adapter.connect().await.unwrap();
    let mut most = 0;
    for index in 0..count * 3_600 / 4 {
        let request = CallRequest::dial(number(index));
        adapter.make_call(request).await.unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        most = most.max(adapter.snapshot().calls.len());
    }
    assert!((14..=17).contains(&most), "{most} calls at once");
    held(adapter).await
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_an_adapter_is_the_same_after_one_hour_and_after_two() {
    let _alone = ALONE.lock().await;
    let (one, two) = (hours(1).await, hours(2).await);
    println!("{one} bytes after one hour of 900 calls, {two} after two");
    // A table of records may have grown to its next size.
    assert!(two < one + one / 4, "{one} {two}");
}
