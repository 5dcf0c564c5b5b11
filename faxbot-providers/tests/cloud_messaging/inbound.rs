//! What comes in: by callbacks, by the vendor's list, into conversations.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result,
    message::{InboundMessage, MessageContent, MessageKind},
    plugin::{InboundFax, InboundQuery, MessagingPlugin, Page, Plugin},
    webhook::{
        Authenticity, DeadLetter, DeadLetterStore, InboundFile, InboundStore, MemoryInboundStore,
        Stored,
    },
};
use http::HeaderMap;
use serde_json::json;

use super::{Bench, THEIRS, inbound, inbound_call, pause, signed};

#[tokio::test(start_paused = true)]
async fn a_message_is_stored_before_its_callback_is_answered_and_told_once() {
    let mut bench = Bench::new().await;
    let message = inbound("in-1", &THEIRS[1..], "hello", bench.now());
    for _ in 0..3 {
        let reply = bench.call(inbound_call(&message)).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body, r#"{"status":"received"}"#);
    }
    let stored = bench.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].authenticity, Authenticity::Signed);
    assert_eq!(stored[0].backend, "acme-sms");
    assert_eq!(
        bench.told(),
        [("sms.received".to_owned(), "in-1".to_owned())]
    );
    let conversations = bench.plugin.list_conversations(10).await.unwrap();
    assert_eq!(conversations.len(), 1);
    assert_eq!(conversations[0].id, stored[0].conversation_id);
    assert_eq!(conversations[0].participants[0].expose(), THEIRS);
    assert_eq!(conversations[0].unread, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_proof_is_refused_before_it_is_read() {
    let mut bench = Bench::new().await;
    let message = inbound("in-1", &THEIRS[1..], "hello", bench.now());
    let garbage = signed(&json!({}))
        .with_body("{")
        .with_headers(HeaderMap::new());
    for request in [
        inbound_call(&message).with_headers(HeaderMap::new()),
        garbage,
    ] {
        assert_eq!(bench.call(request).await.status, 401);
    }
    assert!(bench.stored().await.is_empty());
    assert!(bench.letters.list(10).await.unwrap().is_empty());
    assert!(bench.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_an_unproven_callback_only_the_id_is_used() {
    let mut bench = Bench::with(json!({"signed": false, "inbound_poll": 0})).await;
    let truth = inbound("in-1", &THEIRS[1..], "the truth", bench.now());
    bench.vendor.world().inbox.push(truth.clone());
    let forged = inbound("in-1", "15550109999", "a lie", bench.now());
    assert_eq!(bench.call(inbound_call(&forged)).await.status, 200);
    // Of a message that does not exist.
    let invented = inbound("in-2", "15550109999", "a lie", bench.now());
    assert_eq!(bench.call(inbound_call(&invented)).await.status, 200);
    let stored = bench.stored().await;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].content.text, "the truth");
    assert_eq!(stored[0].from.expose(), &THEIRS[1..]);
    assert_eq!(stored[0].authenticity, Authenticity::Fetched);
    assert_eq!(bench.told().len(), 1);
    assert_eq!(bench.vendor.world().fetched, 2);
    // When the vendor cannot be asked, it is to send again, and nothing is lost.
    let late = inbound("in-3", &THEIRS[1..], "late", bench.now());
    bench.vendor.world().inbox.push(late.clone());
    bench.vendor.world().faults = 2;
    for status in [503, 503, 200, 200] {
        assert_eq!(bench.call(inbound_call(&late)).await.status, status);
    }
    assert_eq!(bench.stored().await.len(), 2);
    assert_eq!(bench.told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_kept_for_a_person_and_answered() {
    let bench = Bench::new().await;
    let reply = bench.call(signed(&json!({})).with_body("{")).await;
    assert_eq!(reply.status, 200);
    let letters = bench.letters.list(10).await.unwrap();
    assert_eq!(
        (letters.len(), letters[0].body.as_ref()),
        (1, b"{".as_slice())
    );
    // What means nothing is answered, and not kept.
    assert_eq!(bench.call(signed(&json!({"hello": 1}))).await.status, 200);
    assert_eq!(bench.letters.list(10).await.unwrap().len(), 1);
}

/// Fails so often, also after it stored.
#[derive(Debug)]
struct Shaky {
    inner: MemoryInboundStore,
    before: AtomicUsize,
    after: AtomicUsize,
}

fn broken() -> Error {
    Error::new(ErrorKind::Io, "store", "the disk is full")
}

fn once(counter: &AtomicUsize) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        })
        .is_ok()
}

#[async_trait]
impl InboundStore for Shaky {
    async fn put_fax(&self, fax: &InboundFax, file: &InboundFile) -> Result<Stored> {
        self.inner.put_fax(fax, file).await
    }

    async fn fax(&self, backend: &str, id: &str) -> Result<Option<(InboundFax, InboundFile)>> {
        self.inner.fax(backend, id).await
    }

    async fn faxes(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundFax>> {
        self.inner.faxes(backend, query).await
    }

    async fn put_message(&self, message: &InboundMessage) -> Result<Stored> {
        if once(&self.before) {
            return Err(broken());
        }
        let stored = self.inner.put_message(message).await?;
        if once(&self.after) {
            Err(broken())
        } else {
            Ok(stored)
        }
    }

    async fn messages(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundMessage>> {
        self.inner.messages(backend, query).await
    }
}

#[derive(Debug)]
struct NoLetters;

#[async_trait]
impl DeadLetterStore for NoLetters {
    async fn put(&self, _letter: &DeadLetter) -> Result<()> {
        Err(broken())
    }

    async fn list(&self, _limit: usize) -> Result<Vec<DeadLetter>> {
        Err(broken())
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_makes_the_vendor_send_again_and_leaves_one_record() {
    let mut bench = Bench::idle(json!({"inbound_poll": 0})).await;
    let shaky = Arc::new(Shaky {
        inner: MemoryInboundStore::new(),
        before: AtomicUsize::new(2),
        after: AtomicUsize::new(0),
    });
    let deps = bench
        .deps()
        .with_inbound(Arc::clone(&shaky) as _)
        .with_dead_letters(Arc::new(NoLetters));
    bench.events = deps.events.subscribe();
    bench
        .plugin
        .start(bench.config.clone(), deps)
        .await
        .unwrap();
    let message = inbound("in-1", &THEIRS[1..], "hello", bench.now());
    for status in [503, 503, 200, 200] {
        assert_eq!(bench.call(inbound_call(&message)).await.status, status);
    }
    let all = InboundQuery::new();
    assert_eq!(
        shaky.messages("acme-sms", &all).await.unwrap().items.len(),
        1
    );
    assert_eq!(bench.told().len(), 1);
    let unread = bench.plugin.list_conversations(1).await.unwrap()[0].unread;
    assert_eq!(unread, 1);
    // A dead letter that cannot be kept is not acknowledged.
    assert_eq!(
        bench.call(signed(&json!({})).with_body("{")).await.status,
        500
    );
}

#[tokio::test(start_paused = true)]
async fn a_missed_callback_costs_time_and_makes_exactly_one_record() {
    let mut bench = Bench::new().await;
    pause(1).await;
    let missed = inbound("in-1", &THEIRS[1..], "missed", bench.now());
    let both = inbound(
        "in-2",
        &THEIRS[1..],
        "both ways",
        bench.now() + Duration::from_secs(1),
    );
    bench
        .vendor
        .world()
        .inbox
        .extend([missed.clone(), both.clone()]);
    pause(1).await;
    assert_eq!(bench.call(inbound_call(&both)).await.status, 200);
    pause(3600).await;
    // And a very late callback.
    assert_eq!(bench.call(inbound_call(&missed)).await.status, 200);
    pause(3600).await;
    let stored = bench.stored().await;
    assert_eq!(stored.len(), 2);
    let proof = |id: &str| stored.iter().find(|m| m.id == id).unwrap().authenticity;
    assert_eq!(proof("in-1"), Authenticity::Fetched);
    assert_eq!(proof("in-2"), Authenticity::Signed);
    assert_eq!(bench.told().len(), 2);
    let conversations = bench.plugin.list_conversations(10).await.unwrap();
    assert_eq!((conversations.len(), conversations[0].unread), (1, 2));
    let last = conversations[0].last_message.as_ref().unwrap();
    assert_eq!(last.expose(), "both ways");
}

#[tokio::test(start_paused = true)]
async fn the_list_is_read_over_all_pages_oldest_first_and_again_with_overlap() {
    let mut bench = Bench::idle(json!({"inbound_window": "2h"})).await;
    let begin = bench.now();
    for number in 0..25_u64 {
        let at = begin - Duration::from_secs(3600 - number);
        let message = inbound(
            &format!("in-{number}"),
            &format!("1555010{number:04}"),
            "x",
            at,
        );
        bench.vendor.world().inbox.push(message);
    }
    let old = inbound(
        "old",
        &THEIRS[1..],
        "x",
        begin - Duration::from_secs(3 * 3600),
    );
    bench.vendor.world().inbox.insert(0, old);
    bench.vendor.world().page = 10;
    // The first look fails; the second covers its time.
    bench.vendor.world().faults = 1;
    bench.start().await;
    pause(310).await;
    assert_eq!(bench.stored().await.len(), 25);
    assert_eq!(bench.told().len(), 25);
    let conversations = bench.plugin.list_conversations(100).await.unwrap();
    assert_eq!(conversations.len(), 25);
    assert_eq!(conversations[0].participants[0].expose(), "+15550100024");
    pause(310).await;
    let lists = bench.vendor.world().lists.clone();
    // One that failed, and three pages of each later look.
    assert_eq!(lists.len(), 7);
    assert_eq!(lists[0], lists[3]);
    let reach = lists[4].duration_since(lists[0]);
    // Two hours of window up to the newest message, less 10 minutes of overlap.
    let expected = Duration::from_secs(7200 - 3576 - 600);
    assert!(
        reach.abs_diff(expected) < Duration::from_secs(5),
        "{reach:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_missed_message_is_found_though_our_clock_is_far_ahead_of_the_vendors() {
    let bench = Bench::new().await;
    let ahead = Duration::from_secs(1800);
    for round in 0..3 {
        pause(1000).await;
        let missed = inbound(
            &format!("in-{round}"),
            &THEIRS[1..],
            "x",
            bench.now() - ahead,
        );
        bench.vendor.world().inbox.push(missed);
        pause(1000).await;
        assert_eq!(bench.stored().await.len(), round + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_vendors_future_does_not_stay_the_last_one() {
    let bench = Bench::new().await;
    let at = bench.now() + Duration::from_secs(7200);
    let early = inbound("in-1", &THEIRS[1..], "early", at);
    bench.call(inbound_call(&early)).await;
    pause(1).await;
    bench.send_text("the reply").await.unwrap();
    let conversations = bench.plugin.list_conversations(10).await.unwrap();
    let last = conversations[0].last_message.as_ref().unwrap();
    assert_eq!(last.expose(), "the reply");
    assert_eq!(bench.stored().await[0].received_at, at);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_never_ends_is_left_and_polling_can_be_switched_off() {
    let mut bench = Bench::idle(json!({})).await;
    let message = inbound("in-1", &THEIRS[1..], "x", bench.now());
    bench.vendor.world().inbox.push(message);
    bench.vendor.world().endless = true;
    bench.start().await;
    pause(10).await;
    assert!(bench.vendor.world().lists.len() <= 2);
    assert_eq!(bench.stored().await.len(), 1);

    let bench = Bench::with(json!({"inbound_poll": 0})).await;
    pause(7200).await;
    assert!(bench.vendor.world().lists.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reply_goes_to_the_other_from_the_number_that_was_written_to() {
    let bench = Bench::new().await;
    let content = || MessageContent::text(MessageKind::Sms, "thanks");
    let message = inbound("in-1", &THEIRS[1..], "hello", bench.now());
    bench.call(inbound_call(&message)).await;
    let mut other = inbound("in-2", "15550104478", "hello, other number", bench.now());
    other.to = faxbot_core::Private::new("15550100002".to_owned());
    bench.vendor.world().inbox.push(other);
    pause(400).await;
    let conversations = bench.plugin.list_conversations(10).await.unwrap();
    assert_eq!(conversations.len(), 2);
    for conversation in &conversations {
        let sent = bench
            .plugin
            .send_reply(&conversation.id, content())
            .await
            .unwrap();
        assert_eq!(sent.kind, MessageKind::Sms);
    }
    {
        let world = bench.vendor.world();
        let rows: Vec<_> = world
            .submissions
            .iter()
            .map(|row| (row.1.as_str(), row.2.as_deref()))
            .collect();
        assert!(rows.contains(&(&THEIRS[1..], None)));
        assert!(rows.contains(&("15550104478", Some("+15550100002"))));
    }
    let conversations = bench.plugin.list_conversations(10).await.unwrap();
    assert_eq!(conversations.len(), 2);
    assert!(conversations.iter().all(|found| found.unread == 0));
    // A message of ours to a number is in the same conversation.
    bench.send().await.unwrap();
    assert_eq!(bench.plugin.list_conversations(10).await.unwrap().len(), 2);
    assert_eq!(
        bench.plugin.list_conversations(1).await.unwrap()[0]
            .last_message
            .as_ref()
            .unwrap()
            .expose(),
        super::TEXT
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_after_the_message_that_it_answers_whatever_the_vendors_clock_says() {
    let bench = Bench::new().await;
    for (number, skew) in [30_u64, 0].into_iter().enumerate() {
        bench.send().await.unwrap();
        let at = bench.now() - Duration::from_secs(skew);
        let answer = inbound(&format!("in-{number}"), &THEIRS[1..], "the answer", at);
        bench.call(inbound_call(&answer)).await;
        let conversations = bench.plugin.list_conversations(10).await.unwrap();
        let last = conversations[0].last_message.as_ref().unwrap();
        assert_eq!(
            (conversations.len(), last.expose().as_str()),
            (1, "the answer")
        );
        // The record keeps the vendor's time.
        assert_eq!(bench.stored().await[0].received_at, at);
        pause(1).await;
    }
    // What was missed for long is older than what was said since.
    let late = inbound(
        "late",
        &THEIRS[1..],
        "long ago",
        bench.now() - Duration::from_secs(600),
    );
    bench.call(inbound_call(&late)).await;
    let conversations = bench.plugin.list_conversations(10).await.unwrap();
    let last = conversations[0].last_message.as_ref().unwrap();
    assert_eq!(last.expose(), "the answer");
}

#[tokio::test(start_paused = true)]
async fn a_reply_to_nobody_is_not_found_and_one_to_a_name_is_refused() {
    let bench = Bench::new().await;
    let content = || MessageContent::text(MessageKind::Sms, "thanks");
    for id in ["", "unknown", "5f0c4cf6-0000-5000-8000-000000000000"] {
        let error = bench.plugin.send_reply(id, content()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::NotFound, "send_reply")
        );
    }
    for from in ["My Bank", "32665"] {
        let message = inbound(from, from, "your code", bench.now());
        bench.call(inbound_call(&message)).await;
        let id = bench.plugin.list_conversations(1).await.unwrap()[0]
            .id
            .clone();
        let error = bench.plugin.send_reply(&id, content()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::InvalidRequest, "send_reply")
        );
    }
    assert_eq!(bench.submissions(), 0);
}

#[tokio::test(start_paused = true)]
async fn conversations_are_newest_first_and_those_of_the_store_are_there_after_a_restart() {
    let mut bench = Bench::new().await;
    let begin = bench.now();
    for number in 0..5_u64 {
        let at = begin + Duration::from_secs(number);
        let message = inbound(
            &format!("in-{number}"),
            &format!("1555010{number:04}"),
            "x",
            at,
        );
        bench.call(inbound_call(&message)).await;
    }
    let before = bench.plugin.list_conversations(3).await.unwrap();
    let numbers: Vec<_> = before
        .iter()
        .map(|c| c.participants[0].expose().as_str())
        .collect();
    assert_eq!(numbers, ["+15550100004", "+15550100003", "+15550100002"]);
    assert!(bench.plugin.list_conversations(0).await.unwrap().is_empty());
    bench.plugin.stop().await.unwrap();
    bench.plugin = Arc::default();
    bench.start().await;
    let after = bench.plugin.list_conversations(100).await.unwrap();
    assert_eq!(after.len(), 5);
    assert_eq!(after[0].id, before[0].id);
    assert!(after.iter().all(|found| found.unread == 0));
    let content = MessageContent::text(MessageKind::Sms, "thanks");
    bench
        .plugin
        .send_reply(&before[0].id, content)
        .await
        .unwrap();
    assert_eq!(bench.vendor.world().submissions[0].1, "15550100004");
}

#[tokio::test(start_paused = true)]
async fn a_restart_tells_nothing_twice() {
    let mut bench = Bench::new().await;
    let message = inbound("in-1", &THEIRS[1..], "hello", bench.now());
    bench.vendor.world().inbox.push(message.clone());
    bench.call(inbound_call(&message)).await;
    assert_eq!(bench.told().len(), 1);
    // The same plugin, and then another one with the same store and an empty memory of callbacks.
    for fresh in [false, true] {
        bench.plugin.stop().await.unwrap();
        if fresh {
            bench.plugin = Arc::default();
        }
        bench.start().await;
        pause(400).await;
        bench.call(inbound_call(&message)).await;
        assert!(bench.told().is_empty(), "told again");
        assert_eq!(bench.stored().await.len(), 1);
    }
}

/// Gives nothing back, ever.
#[derive(Debug)]
struct Stuck(MemoryInboundStore);

#[async_trait]
impl InboundStore for Stuck {
    async fn put_fax(&self, fax: &InboundFax, file: &InboundFile) -> Result<Stored> {
        self.0.put_fax(fax, file).await
    }

    async fn fax(&self, backend: &str, id: &str) -> Result<Option<(InboundFax, InboundFile)>> {
        self.0.fax(backend, id).await
    }

    async fn faxes(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundFax>> {
        self.0.faxes(backend, query).await
    }

    async fn put_message(&self, message: &InboundMessage) -> Result<Stored> {
        self.0.put_message(message).await
    }

    async fn messages(&self, _: &str, _: &InboundQuery) -> Result<Page<InboundMessage>> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_keeps_nothing_from_being_sent() {
    let bench = Bench::idle(json!({})).await;
    let stuck = Arc::new(Stuck(MemoryInboundStore::new()));
    let deps = bench.deps().with_inbound(stuck);
    let start = bench.plugin.start(bench.config.clone(), deps);
    let started = tokio::time::timeout(Duration::from_secs(60), start).await;
    started.unwrap().unwrap();
    bench.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn of_messages_with_one_time_the_later_is_the_last_after_a_restart_as_before() {
    let mut bench = Bench::with(json!({"inbound_poll": 0})).await;
    let at = bench.now();
    for (id, text) in [("in-1", "first"), ("in-2", "second")] {
        let message = inbound(id, &THEIRS[1..], text, at);
        assert_eq!(bench.call(inbound_call(&message)).await.status, 200);
    }
    bench.plugin.stop().await.unwrap();
    bench.plugin = Arc::new(super::AcmePlugin::new());
    bench.start().await;
    let conversations = bench.plugin.list_conversations(10).await.unwrap();
    let last = conversations[0].last_message.as_ref().unwrap();
    assert_eq!(last.expose(), "second");
}
