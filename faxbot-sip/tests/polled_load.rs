//! A thousand dialogs of a proxy: one request a poll, and memory that polls do not raise.
#![cfg(test)]
#![cfg(all(feature = "kamailio", feature = "opensips"))]

mod kamailio_support;
mod opensips_support;

use std::time::Duration;

use faxbot_core::sip::SipAdapter;
use faxbot_testkit::server::{kamailio::PassingCall as KamailioCall, opensips::PassingCall};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The heap is counted for all threads: one test at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const DIALOGS: usize = 1_000;

/// Bytes of an adapter for one dialog that is up; a third more than was measured (docs/performance.md).
const BYTES: usize = 3_400;

/// What the adapter holds: what is free once it is gone.
async fn held<A>(adapter: A) -> usize {
    let before = HEAP.current_usage();
    drop(adapter);
    tokio::time::sleep(Duration::from_secs(1)).await;
    before.saturating_sub(HEAP.current_usage())
}

/// Polls for so long. Answers what the adapter holds then.
async fn polled<A: SipAdapter>(adapter: A, seconds: u64, dialogs: usize) -> usize {
    adapter.connect().await.unwrap();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(adapter.snapshot().calls.len(), dialogs);
    held(adapter).await
}

/// Five polls and sixty leave the same behind.
async fn takes_no_more<A, F>(name: &str, adapter: impl Fn() -> A, requests: F)
where
    A: SipAdapter,
    F: AsyncFn() -> usize,
{
    let few = polled(adapter(), 10, DIALOGS).await;
    let before = requests().await;
    let many = polled(adapter(), 120, DIALOGS).await;
    let lists = requests().await - before;
    let each = many / DIALOGS;
    println!("{name}: {few} bytes after 5 polls, {many} after 60, {each} a dialog");
    // That of the connection, and one each two seconds.
    assert!((59..=62).contains(&lists), "{name}: {lists} lists");
    assert!(many <= few + few / 20, "{name}: {few} {many}");
    assert!(each <= BYTES, "{name}: {each} bytes a dialog");
}

#[tokio::test(start_paused = true)]
async fn polls_of_kamailio_take_no_more_memory_however_many() {
    let _alone = ALONE.lock().await;
    let rig = kamailio_support::Rig::new().await;
    for number in 0..DIALOGS {
        let from = format!("sip:alice{number}@127.0.0.1:5091");
        rig.mock
            .call(KamailioCall::new(&from, "sip:600@127.0.0.1:5070"));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let lists = async || rig.mock.requests_of("dlg.list").len();
    takes_no_more("kamailio", || rig.polling("poll=2s"), lists).await;
}

#[tokio::test(start_paused = true)]
async fn polls_of_opensips_take_no_more_memory_however_many() {
    let _alone = ALONE.lock().await;
    let rig = opensips_support::Rig::new().await;
    for number in 0..DIALOGS {
        let from = format!("sip:alice{number}@127.0.0.1:5091");
        rig.mock
            .call(PassingCall::new(&from, "sip:600@127.0.0.1:5060"));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let lists = async || rig.mock.requests_of("dlg_list").len();
    takes_no_more("opensips", || rig.polling("poll=2s"), lists).await;
}
