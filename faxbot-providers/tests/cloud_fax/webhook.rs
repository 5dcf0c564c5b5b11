//! Webhooks: proof, order, repetition, and what they bring.

use std::{
    sync::atomic::Ordering,
    task::{Context, Waker},
};

use faxbot_core::{
    ErrorKind, Timestamp,
    fax::JobStatus,
    plugin::{InboundFax, InboundQuery, Plugin, PluginEvent},
    webhook::{
        Authenticity, Claim, DeadLetterStore, DedupeStore, InboundFile, InboundStore,
        WebhookHandler, WebhookRequest,
    },
};
use http::Method;
use serde_json::{Value, json};

use super::{Bench, PDF, SECOND, Setup, hook, pause};

fn sent(sid: &str, word: &str) -> Value {
    json!([{"sid": sid, "word": word}])
}

/// A fax that the vendor has under the id 1000, and that goes on for long.
async fn lasting() -> (Bench, faxbot_core::id::JobId) {
    let bench = Bench::new().await;
    bench.vendor().life(&[(0, "sending"), (5000, "done")]);
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    (bench, job)
}

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
async fn what_proves_nothing_is_401_and_is_not_parsed() {
    let (bench, job) = lasting().await;
    for proof in ["", "none", "Signed"] {
        let reply = bench.webhook(proof, sent("1000", "done")).await;
        assert_eq!(reply.status, 401);
        let reply = hook(&bench.plugin, proof, "no json").await;
        assert_eq!(reply.status, 401);
    }
    let bare = WebhookRequest::new(Method::POST, "/webhooks/scripted/hush").with_body("[]");
    assert_eq!(bench.plugin.handle_webhook(bare).await.unwrap().status, 401);
    assert_eq!(bench.vendor().parsed.load(Ordering::SeqCst), 0);
    assert_eq!(bench.word(&job).await, "in_progress");
    assert!(bench.setup.letters.list(10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_signed_webhook_is_believed_at_once_and_answered_in_the_vendors_words() {
    let (mut bench, job) = lasting().await;
    let asked = bench.vendor().asked("status");
    let reply = bench.webhook("signed", sent("1000", "done")).await;
    assert_eq!(
        (reply.status.as_u16(), &*reply.body),
        (200, &br#"{"vendor":"happy"}"#[..])
    );
    assert_eq!(bench.word(&job).await, "SUCCESS");
    pause(1000).await;
    // Its end needs no further question.
    assert!(bench.vendor().asked("status") <= asked + 1);
    let last = bench.words().pop().unwrap();
    assert_eq!(last, ("SUCCESS".to_owned(), Some(Authenticity::Signed)));
}

#[tokio::test(start_paused = true)]
async fn what_proves_too_little_is_fetched_and_the_vendor_has_the_last_word() {
    for proof in ["secret", "basic"] {
        let (mut bench, job) = lasting().await;
        // A forged end.
        assert_eq!(bench.webhook(proof, sent("1000", "done")).await.status, 200);
        assert_eq!(bench.word(&job).await, "in_progress");
        // The true one has the same key, and counts.
        bench.vendor().says("done");
        assert_eq!(bench.webhook(proof, sent("1000", "done")).await.status, 200);
        assert_eq!(bench.word(&job).await, "SUCCESS");
        let last = bench.words().pop().unwrap();
        assert_eq!(last, ("SUCCESS".to_owned(), Some(Authenticity::Fetched)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_about_another_fax_of_the_account_moves_no_job() {
    let bench = Bench::new().await;
    bench.vendor().answer(super::vendor::Answer::Dropped);
    let lost = bench.send().await;
    let other = bench.send().await;
    bench.end(&other).await;
    bench.end(&lost).await;
    // The other's id with the label of the one that nobody can say anything of.
    for mute in [false, true] {
        bench.vendor().with(|books| books.mute = mute);
        let claim = json!([{"sid": "1000", "label": lost.as_str(), "word": "done"}]);
        bench.webhook("secret", claim).await;
        assert_eq!(bench.word(&lost).await, "outcome_unknown");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_has_the_vendor_send_it_again() {
    let (bench, job) = lasting().await;
    bench.vendor().says("done");
    bench.vendor().down_for(SECOND);
    let reply = bench.webhook("secret", sent("1000", "done")).await;
    assert_eq!(
        (
            reply.status.as_u16(),
            reply.headers["retry-after"].to_str().unwrap()
        ),
        (503, "10")
    );
    pause(2).await;
    assert_eq!(
        bench.webhook("secret", sent("1000", "done")).await.status,
        200
    );
    assert_eq!(bench.word(&job).await, "SUCCESS");
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_job_here_is_answered_and_asks_nothing() {
    let bench = Bench::new().await;
    for proof in ["signed", "secret"] {
        for notice in [
            sent("4711", "done"),
            json!([{"sid": "4711", "label": "nobody", "word": "done"}]),
            json!([{}]),
            json!([]),
        ] {
            assert_eq!(bench.webhook(proof, notice).await.status, 200);
        }
    }
    assert!(bench.vendor().with(|books| books.asked.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_final_state_absorbs_every_webhook_in_every_order() {
    let words = ["queued", "sending", "busy", "done", "cancelled", "Odd.Word"];
    for order in permutations(&words) {
        let (mut bench, job) = lasting().await;
        let mut end: Option<String> = None;
        for word in &order {
            assert_eq!(
                bench.webhook("signed", sent("1000", word)).await.status,
                200
            );
            let now = bench.word(&job).await;
            match &end {
                Some(end) => assert_eq!(now, *end, "{order:?}"),
                None => assert!(["in_progress", "FAILED", "SUCCESS", "cancelled"].contains(&&*now)),
            }
            end = end.or((now != "in_progress").then_some(now));
        }
        let first = order
            .iter()
            .find(|word| ["busy", "done", "cancelled"].contains(word))
            .unwrap();
        let expected = match *first {
            "busy" => "FAILED",
            "done" => "SUCCESS",
            _ => "cancelled",
        };
        assert_eq!(end.as_deref(), Some(expected), "{order:?}");
        let finals = bench.words();
        assert_eq!(finals.len(), 4, "{finals:?}");
    }
}

fn permutations(words: &[&'static str]) -> Vec<Vec<&'static str>> {
    if words.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in words.iter().enumerate() {
        let mut rest = words.to_vec();
        rest.remove(at);
        for mut order in permutations(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_word_without_a_meaning_is_kept_from_a_webhook_too() {
    let (bench, job) = lasting().await;
    bench.webhook("signed", sent("1000", "Media.Odd")).await;
    let status = bench.get(&job).await;
    assert_eq!(status.status, JobStatus::InProgress);
    assert_eq!(status.detail.provider_status.as_deref(), Some("Media.Odd"));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_has_the_vendor_asked_soon() {
    let (bench, _) = lasting().await;
    pause(600).await;
    let asked = bench.vendor().asked("status");
    bench.webhook("signed", sent("1000", "sending")).await;
    pause(8).await;
    assert_eq!(bench.vendor().asked("status"), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_kept_whole_for_a_person_and_answered() {
    let mut bench = Bench::new().await;
    let body = r#"{"patient": "Erika"#;
    let reply = hook(&bench.plugin, "signed", body).await;
    assert_eq!(
        (reply.status.as_u16(), &*reply.body),
        (200, &br#"{"vendor":"happy"}"#[..])
    );
    let letters = bench.setup.letters.list(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].body, body.as_bytes());
    assert_eq!(letters[0].plugin_id.as_str(), "scripted");
    assert_eq!(letters[0].content_type.as_deref(), Some("application/json"));
    assert!(!letters[0].reason.contains("Erika"));
    // A key that no store should have to keep.
    let long = "9".repeat(100_000);
    assert_eq!(
        bench.webhook("signed", sent(&long, "done")).await.status,
        200
    );
    assert_eq!(bench.setup.letters.list(10).await.unwrap().len(), 2);
    assert!(bench.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_not_kept_is_500() {
    #[derive(Debug)]
    struct Full;
    #[async_trait::async_trait]
    impl DeadLetterStore for Full {
        async fn put(&self, _: &faxbot_core::webhook::DeadLetter) -> faxbot_core::Result<()> {
            Err(super::vendor::error(ErrorKind::Io))
        }
        async fn list(
            &self,
            _: usize,
        ) -> faxbot_core::Result<Vec<faxbot_core::webhook::DeadLetter>> {
            Ok(Vec::new())
        }
    }
    let setup = Setup::new();
    let plugin = super::Full::new();
    let deps = setup.deps().with_dead_letters(std::sync::Arc::new(Full));
    plugin.start(setup.config(), deps).await.unwrap();
    assert_eq!(hook(&plugin, "signed", "no json").await.status, 500);
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

async fn join<F: Future<Output = faxbot_core::webhook::WebhookReply>, const N: usize>(
    futures: [F; N],
) -> Vec<u16> {
    let mut futures = futures.map(Box::pin);
    let mut done: [Option<u16>; N] = [None; N];
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(reply) = future.as_mut().poll(context)
            {
                *done = Some(reply.status.as_u16());
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
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
    inner: faxbot_core::webhook::MemoryDedupeStore,
    claims: std::sync::atomic::AtomicUsize,
    dones: std::sync::atomic::AtomicUsize,
}

fn fails(left: &std::sync::atomic::AtomicUsize) -> faxbot_core::Result<()> {
    match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    }) {
        Ok(_) => Err(super::vendor::error(ErrorKind::Io)),
        Err(_) => Ok(()),
    }
}

#[async_trait::async_trait]
impl DedupeStore for Shaky {
    async fn claim(
        &self,
        plugin: &faxbot_core::plugin::PluginId,
        key: &str,
        lease: std::time::Duration,
    ) -> faxbot_core::Result<Claim> {
        fails(&self.claims)?;
        self.inner.claim(plugin, key, lease).await
    }

    async fn done(
        &self,
        plugin: &faxbot_core::plugin::PluginId,
        key: &str,
    ) -> faxbot_core::Result<()> {
        fails(&self.dones)?;
        self.inner.done(plugin, key).await
    }

    async fn release(
        &self,
        plugin: &faxbot_core::plugin::PluginId,
        key: &str,
    ) -> faxbot_core::Result<()> {
        self.inner.release(plugin, key).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_of_keys_that_fails_has_the_vendor_send_it_again_and_nothing_is_told_twice() {
    let setup = Setup::new();
    let store = std::sync::Arc::new(Shaky {
        inner: faxbot_core::webhook::MemoryDedupeStore::new(
            faxbot_core::clock::TokioClock::shared(),
        ),
        claims: 1.into(),
        dones: 2.into(),
    });
    let deps = setup.deps().with_dedupe(store);
    let events = deps.events.subscribe();
    let plugin = std::sync::Arc::new(super::Full::new());
    plugin.start(setup.config(), deps).await.unwrap();
    let mut bench = Bench {
        setup,
        plugin,
        events,
    };
    received(&bench, "7", PDF);
    let notice = json!([{"sid": "7"}]);
    let mut replies = Vec::new();
    for _ in 0..5 {
        replies.push(
            bench
                .webhook("secret", notice.clone())
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(replies, [503, 503, 503, 200, 200]);
    assert_eq!(stored(&bench).await.len(), 1);
    assert_eq!(receptions(&mut bench).len(), 1);
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
async fn a_fetch_that_never_ends_is_given_up_and_can_be_claimed_again() {
    let mut bench = Bench::new().await;
    received(&bench, "7", PDF);
    // More webhooks than may be handled at one time are asked to come again.
    let notice = |sid: usize| json!([{"sid": sid.to_string()}]).to_string();
    let mut futures = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut refused = 0;
    for sid in 100..200 {
        let plugin = bench.plugin.clone();
        let body = notice(sid);
        let mut future = Box::pin(async move { hook(&plugin, "secret", &body).await.status });
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(status) => {
                assert_eq!(status, 503);
                refused += 1;
            }
            std::task::Poll::Pending => futures.push(future),
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
