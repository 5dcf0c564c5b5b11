//! Webhooks: proof, order, repetition, and what they bring.

use std::sync::atomic::Ordering;

use faxbot_core::{
    ErrorKind,
    fax::JobStatus,
    plugin::{Plugin, PluginEvent},
    webhook::{Authenticity, DeadLetterStore, WebhookHandler, WebhookRequest},
};
use http::Method;
use serde_json::{Value, json};

use super::{Bench, SECOND, Setup, hook, pause};

fn sent(sid: &str, word: &str) -> Value {
    json!([{"sid": sid, "word": word}])
}

/// A fax that the vendor has under the id 1000, and that goes on for long.
pub(crate) async fn lasting() -> (Bench, faxbot_core::id::JobId) {
    let bench = Bench::new().await;
    bench.vendor().life(&[(0, "sending"), (5000, "done")]);
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    (bench, job)
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
        // Nor does a late one change how it ended, or tell of a second end.
        let status = bench.get(&job).await;
        assert_eq!(
            status.raw_response,
            Some(json!({"id": "1000", "word": first}))
        );
        let topics: Vec<_> = bench.events().iter().map(PluginEvent::topic).collect();
        let count = |wanted: &str| topics.iter().filter(|topic| *topic == wanted).count();
        assert_eq!(
            (count("fax.status"), count("fax.finished")),
            (4, 1),
            "{order:?}"
        );
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
