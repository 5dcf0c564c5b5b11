//! Faxes that come in by webhook: stored whole, once, and told once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    ErrorKind, Result, Timestamp,
    clock::TokioClock,
    plugin::{InboundFax, InboundQuery, Plugin, PluginEvent, PluginId},
    webhook::{
        Authenticity, Claim, DedupeStore, InboundFile, InboundStore, MemoryDedupeStore,
        WebhookReply,
    },
};
use serde_json::json;

use super::{Bench, PDF, Setup, hook, pause, vendor::error, webhook::lasting};

fn received(bench: &Bench, sid: &str, bytes: &[u8]) {
    let fax = InboundFax::new(sid, "wrong", Timestamp::UNIX_EPOCH);
    let file = InboundFile::new("application/pdf", bytes.to_vec());
    bench
        .vendor()
        .with(|books| books.received.insert(sid.to_owned(), (fax, file)));
}

async fn stored(bench: &Bench) -> Vec<InboundFax> {
    let query = InboundQuery::new();
    bench
        .setup
        .inbound
        .faxes("scripted", &query)
        .await
        .unwrap()
        .items
}

fn receptions(bench: &mut Bench) -> Vec<InboundFax> {
    let events = bench.events().into_iter().filter_map(|event| match event {
        PluginEvent::FaxReceived(fax) => Some(fax),
        _ => None,
    });
    events.collect()
}

#[tokio::test(start_paused = true)]
async fn a_received_fax_is_stored_whole_and_told_once_though_it_comes_five_times_at_once() {
    for (proof, pages, fetched, authenticity) in [
        (
            "signed",
            json!("%PDF-from the webhook"),
            0,
            Authenticity::Signed,
        ),
        ("signed", json!(null), 1, Authenticity::Fetched),
        // Pages that are none, and pages that nothing proves.
        ("signed", json!("<html>"), 1, Authenticity::Fetched),
        ("secret", json!("%PDF-forged"), 1, Authenticity::Fetched),
    ] {
        let mut bench = Bench::new().await;
        received(&bench, "7", PDF);
        let notice = json!([{"sid": "7", "pages": pages}]);
        let five = [0; 5].map(|_| bench.webhook(proof, notice.clone()));
        let replies = join(five).await;
        let taken = replies.iter().filter(|status| **status == 200).count();
        assert!(taken >= 1 && replies.iter().all(|status| [200, 503].contains(status)));
        // The vendor sends again what was not taken.
        assert_eq!(bench.webhook(proof, notice).await.status, 200);
        let records = stored(&bench).await;
        assert_eq!(records.len(), 1);
        assert_eq!((&*records[0].id, &*records[0].backend), ("7", "scripted"));
        assert_eq!(records[0].authenticity, Some(authenticity));
        assert_eq!(records[0].provider_sid.as_deref(), Some("7"));
        let (_, file) = bench
            .setup
            .inbound
            .fax("scripted", "7")
            .await
            .unwrap()
            .unwrap();
        let whole: &[u8] = if fetched == 0 {
            b"%PDF-from the webhook"
        } else {
            PDF
        };
        assert_eq!(file.bytes, whole);
        assert_eq!(bench.vendor().asked("inbound"), fetched);
        assert_eq!(receptions(&mut bench), records);
    }
}

async fn join<F: Future<Output = WebhookReply>, const N: usize>(futures: [F; N]) -> Vec<u16> {
    let mut futures = futures.map(Box::pin);
    let mut done: [Option<u16>; N] = [None; N];
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(reply) = future.as_mut().poll(context)
            {
                *done = Some(reply.status.as_u16());
            }
        }
        if done.iter().all(Option::is_some) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn downloads_that_fail_lose_nothing_and_make_one_record() {
    let mut bench = Bench::new().await;
    received(&bench, "7", PDF);
    bench.vendor().with(|books| books.inbound_errors = 3);
    let notice = json!([{"sid": "7"}]);
    for _ in 0..3 {
        assert_eq!(bench.webhook("secret", notice.clone()).await.status, 503);
        assert!(stored(&bench).await.is_empty() && receptions(&mut bench).is_empty());
    }
    // One that came damaged is not stored either.
    received(&bench, "7", b"");
    assert_eq!(bench.webhook("secret", notice.clone()).await.status, 503);
    assert!(stored(&bench).await.is_empty());
    received(&bench, "7", PDF);
    for _ in 0..3 {
        assert_eq!(bench.webhook("secret", notice.clone()).await.status, 200);
    }
    assert_eq!(bench.vendor().asked("inbound"), 5);
    assert_eq!(stored(&bench).await.len(), 1);
    assert_eq!(receptions(&mut bench).len(), 1);
}

/// A store of keys that fails on command.
#[derive(Debug)]
struct Shaky {
    inner: MemoryDedupeStore,
    claims: AtomicUsize,
    dones: AtomicUsize,
    forgets: bool,
}

fn fails(left: &AtomicUsize) -> Result<()> {
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    }) {
        Ok(_) => Err(error(ErrorKind::Io)),
        Err(_) => Ok(()),
    }
}

#[async_trait]
impl DedupeStore for Shaky {
    async fn claim(&self, plugin: &PluginId, key: &str, lease: Duration) -> Result<Claim> {
        fails(&self.claims)?;
        self.inner.claim(plugin, key, lease).await
    }

    async fn done(&self, plugin: &PluginId, key: &str) -> Result<()> {
        fails(&self.dones)?;
        match self.forgets {
            true => self.inner.release(plugin, key).await,
            false => self.inner.done(plugin, key).await,
        }
    }

    async fn release(&self, plugin: &PluginId, key: &str) -> Result<()> {
        self.inner.release(plugin, key).await
    }
}

/// Hands in the same reception five times, over a store of keys that fails so often.
async fn shaky(claims: usize, dones: usize, forgets: bool) -> Vec<u16> {
    let setup = Setup::new();
    let store = Arc::new(Shaky {
        inner: MemoryDedupeStore::new(TokioClock::shared()),
        claims: claims.into(),
        dones: dones.into(),
        forgets,
    });
    let deps = setup.deps().with_dedupe(store);
    let mut bench = setup.start_with(deps).await;
    received(&bench, "7", PDF);
    let mut replies = Vec::new();
    for _ in 0..5 {
        let reply = bench.webhook("secret", json!([{"sid": "7"}])).await;
        replies.push(reply.status.as_u16());
    }
    assert_eq!(stored(&bench).await.len(), 1);
    assert_eq!(receptions(&mut bench).len(), 1);
    replies
}

#[tokio::test(start_paused = true)]
async fn a_store_of_keys_that_fails_has_the_vendor_send_it_again_and_nothing_is_told_twice() {
    assert_eq!(shaky(1, 2, false).await, [503, 503, 503, 200, 200]);
}

#[tokio::test(start_paused = true)]
async fn a_store_of_keys_that_forgets_has_nothing_stored_or_told_twice() {
    assert_eq!(shaky(0, 0, true).await, [200; 5]);
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_does_not_undo_the_work() {
    let mut bench = Bench::new().await;
    received(&bench, "7", PDF);
    let plugin = bench.plugin.clone();
    let mut future = Box::pin(async move { hook(&plugin, "secret", r#"[{"sid": "7"}]"#).await });
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    drop(future);
    assert_eq!(
        bench.webhook("secret", json!([{"sid": "7"}])).await.status,
        503
    );
    pause(5).await;
    assert_eq!(
        bench.webhook("secret", json!([{"sid": "7"}])).await.status,
        200
    );
    assert_eq!(bench.vendor().asked("inbound"), 1);
    assert_eq!(receptions(&mut bench).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_notice_that_fails_does_not_keep_the_others_back() {
    let (mut bench, job) = lasting().await;
    received(&bench, "7", PDF);
    bench.vendor().with(|books| books.inbound_errors = 1);
    let notices = json!([{"sid": "7"}, {}, {"sid": "1000", "word": "done"}]);
    assert_eq!(bench.webhook("signed", notices.clone()).await.status, 503);
    assert_eq!(bench.word(&job).await, "SUCCESS");
    assert_eq!(bench.webhook("signed", notices).await.status, 200);
    assert_eq!(
        (stored(&bench).await.len(), receptions(&mut bench).len()),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn more_webhooks_than_are_handled_at_one_time_are_asked_to_come_again() {
    let mut bench = Bench::new().await;
    received(&bench, "7", PDF);
    let notice = |sid: usize| json!([{"sid": sid.to_string()}]).to_string();
    let mut futures = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut refused = 0;
    for sid in 100..200 {
        let plugin = bench.plugin.clone();
        let body = notice(sid);
        let mut future = Box::pin(async move { hook(&plugin, "secret", &body).await.status });
        match future.as_mut().poll(&mut context) {
            Poll::Ready(status) => {
                assert_eq!(status, 503);
                refused += 1;
            }
            Poll::Pending => futures.push(future),
        }
    }
    assert!(refused > 0 && !futures.is_empty());
    drop(futures);
    pause(10).await;
    assert_eq!(
        bench.webhook("secret", json!([{"sid": "7"}])).await.status,
        200
    );
    assert_eq!(receptions(&mut bench).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_is_being_stored() {
    let bench = Bench::new().await;
    received(&bench, "7", PDF);
    let plugin = bench.plugin.clone();
    let webhook =
        tokio::spawn(async move { hook(&plugin, "secret", r#"[{"sid": "7"}]"#).await.status });
    pause(1).await;
    bench.plugin.stop().await.unwrap();
    assert_eq!(webhook.await.unwrap(), 200);
    assert_eq!(stored(&bench).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_never_ends_is_given_up_and_can_be_claimed_again() {
    let mut bench = Bench::new().await;
    received(&bench, "7", PDF);
    bench.vendor().with(|books| books.inbound_hangs = true);
    let notice = json!([{"sid": "7"}]);
    let begun = tokio::time::Instant::now();
    let reply = bench.webhook("secret", notice.clone()).await;
    assert_eq!(reply.status, 503);
    assert_eq!(begun.elapsed().as_secs(), 200);
    bench.vendor().with(|books| books.inbound_hangs = false);
    assert_eq!(bench.webhook("secret", notice).await.status, 200);
    assert_eq!(receptions(&mut bench).len(), 1);
}
