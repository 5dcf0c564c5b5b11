//! Texts that come in, and conversations.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    event::EventStream,
    message::InboundMessage,
    plugin::{
        InboundFax, InboundQuery, MessagingPlugin, Page, Plugin, PluginCondition, PluginEvent,
    },
    webhook::{Authenticity, InboundFile, InboundStore, MemoryInboundStore, Stored},
};
use serde_json::json;

use crate::{Rig, settle, text};

const ID: &str = "sip-message";

fn received(events: &mut EventStream<PluginEvent>) -> Vec<InboundMessage> {
    let mut out = Vec::new();
    while let Some(item) = events.try_recv() {
        if let PluginEvent::MessageReceived(message) = item.unwrap().event {
            out.push(message);
        }
    }
    out
}

async fn stored(store: &dyn InboundStore) -> Vec<InboundMessage> {
    let query = InboundQuery::new().with_limit(5000);
    store.messages(ID, &query).await.unwrap().items
}

/// A store in memory that can be told to fail or to hang.
#[derive(Debug, Default)]
struct Moody {
    inner: MemoryInboundStore,
    fails: AtomicBool,
    hangs: AtomicBool,
    tries: AtomicUsize,
    times: Mutex<Vec<tokio::time::Instant>>,
}

impl Moody {
    async fn mood(&self) -> Result<()> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        self.times.lock().unwrap().push(tokio::time::Instant::now());
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Io, "put_message", "the disk is full"));
        }
        Ok(())
    }
}

#[async_trait]
impl InboundStore for Moody {
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
        self.mood().await?;
        self.inner.put_message(message).await
    }

    async fn messages(&self, backend: &str, query: &InboundQuery) -> Result<Page<InboundMessage>> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Io, "messages", "the disk is gone"));
        }
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.messages(backend, query).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_stored_with_everything_that_is_known_and_then_told() {
    let store = Arc::new(MemoryInboundStore::new());
    let options = json!({"from": "sip:desk@pbx.example"});
    let rig = Rig::storing(store.clone(), options).await;
    let mut events = rig.deps.events.subscribe();
    rig.adapter
        .message_in("Anna <sip:anna@Host;x=1>", "I am late");
    settle().await;
    let told = received(&mut events);
    assert_eq!(told, stored(&*store).await);
    let message = &told[0];
    assert_eq!(message.backend, ID);
    assert_eq!(message.from.expose(), "Anna <sip:anna@Host;x=1>");
    assert_eq!(message.to.expose(), "sip:desk@pbx.example");
    assert_eq!(message.content, text("I am late"));
    assert_eq!(message.authenticity, Authenticity::None);
    let conversation = rig.conversations().await.pop().unwrap();
    assert_eq!(message.conversation_id, conversation.id);
    assert_eq!(conversation.participants[0].expose(), "sip:anna@host");
    assert_eq!(conversation.unread, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_again_until_it_takes_the_message() {
    let store = Arc::new(Moody::default());
    let rig = Rig::storing(store.clone(), json!({})).await;
    let mut events = rig.deps.events.subscribe();
    store.fails.store(true, Ordering::SeqCst);
    rig.adapter.message_in("sip:a@h", "one");
    rig.adapter.message_in("sip:b@h", "two");
    tokio::time::sleep(Duration::from_secs(300)).await;
    let tries = store.tries.load(Ordering::SeqCst);
    assert!((6..=12).contains(&tries), "{tries} tries in 5 minutes");
    assert!(received(&mut events).is_empty());
    let health = rig.plugin.health_check().await.unwrap();
    assert_eq!(health.status, PluginCondition::Degraded);
    store.fails.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(90)).await;
    let texts: Vec<_> = received(&mut events)
        .into_iter()
        .map(|message| message.content.text)
        .collect();
    assert_eq!(texts, ["one", "two"]);
    assert_eq!(stored(&store.inner).await.len(), 2);
    let health = rig.plugin.health_check().await.unwrap();
    assert_eq!(health.status, PluginCondition::Healthy);
    assert_eq!(rig.figure("inbound_lost").await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_never_takes_is_bounded_and_counted() {
    let store = Arc::new(Moody::default());
    let rig = Rig::storing(store.clone(), json!({})).await;
    store.hangs.store(true, Ordering::SeqCst);
    for number in 0..1100 {
        rig.adapter.message_in("sip:a@h", &number.to_string());
        if number % 100 == 0 {
            settle().await;
        }
        tokio::task::yield_now().await;
    }
    settle().await;
    // One is at the store and 1,000 wait.
    assert_eq!(rig.figure("inbound_lost").await, 99);
    // Statuses get through all the same.
    let sent = rig.send("1001", "hello").await.unwrap();
    rig.adapter
        .message_status(&sent.message_id, faxbot_core::message::MessageState::Failed);
    settle().await;
    let state = rig.status(&sent.message_id).await;
    assert_eq!(state, faxbot_core::message::MessageState::Failed);
    let begun = tokio::time::Instant::now();
    rig.plugin.stop().await.unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_stop_is_stored() {
    let store = Arc::new(Moody::default());
    let rig = Rig::storing(store.clone(), json!({})).await;
    for number in 0..20 {
        rig.adapter.message_in("sip:a@h", &number.to_string());
    }
    rig.plugin.stop().await.unwrap();
    assert_eq!(stored(&store.inner).await.len(), 20);
    rig.adapter.message_in("sip:a@h", "nobody listens");
    settle().await;
    assert_eq!(stored(&store.inner).await.len(), 20);
    // One last try for each when the store fails.
    rig.restart().await;
    store.fails.store(true, Ordering::SeqCst);
    rig.adapter.message_in("sip:a@h", "lost");
    settle().await;
    let begun = tokio::time::Instant::now();
    rig.plugin.stop().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    store.fails.store(false, Ordering::SeqCst);
    rig.restart().await;
    assert_eq!(rig.figure("inbound_lost").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_goes_to_the_sender_in_the_form_that_the_server_sends_to() {
    let options = json!({"local_domains": ["pbx.example"]});
    let rig = Rig::with(options).await;
    for (from, to) in [
        ("<sip:1001@pbx.example;tag=1>", "1001"),
        ("sip:+4930123456@PBX.example", "+4930123456"),
        (
            "Bob <sip:bob@elsewhere.example>",
            "sip:bob@elsewhere.example",
        ),
    ] {
        let mut events = rig.deps.events.subscribe();
        rig.adapter.message_in(from, "are you there?");
        settle().await;
        let message = received(&mut events).pop().unwrap();
        let reply = rig.plugin.send_reply(&message.conversation_id, text("yes"));
        reply.await.unwrap();
        let sent = rig.adapter.messages().pop().unwrap();
        assert_eq!(sent.to.expose(), to);
        let newest = rig.conversations().await.swap_remove(0);
        assert_eq!((newest.id, newest.unread), (message.conversation_id, 0));
        assert_eq!(newest.last_message.unwrap().expose(), "yes");
    }
    assert_eq!(rig.conversations().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_sender_without_an_address_is_heard_and_cannot_be_answered() {
    let rig = Rig::new().await;
    let mut events = rig.deps.events.subscribe();
    rig.adapter
        .message_in("Nobody <mailto:nobody@example.org>", "boo");
    settle().await;
    let message = received(&mut events).pop().unwrap();
    let reply = rig
        .plugin
        .send_reply(&message.conversation_id, text("who?"));
    let error = reply.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(error.operation(), "send_reply");
    assert!(rig.adapter.messages().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_process_answers_conversations_of_stored_messages() {
    let store = Arc::new(MemoryInboundStore::new());
    let first = Rig::storing(store.clone(), json!({})).await;
    let mut events = first.deps.events.subscribe();
    for number in 0..250 {
        let from = format!("sip:user{number}@h");
        first.adapter.message_in(&from, "hello");
        settle().await;
    }
    let oldest = received(&mut events).swap_remove(0);
    first.plugin.stop().await.unwrap();
    drop(first);
    let second = Rig::storing(store, json!({})).await;
    let all = second.plugin.list_conversations(1000).await.unwrap();
    assert_eq!(all.len(), 250);
    assert!(all.iter().all(|conversation| conversation.unread == 0));
    let reply = second
        .plugin
        .send_reply(&oldest.conversation_id, text("late, sorry"));
    reply.await.unwrap();
    assert_eq!(second.adapter.messages()[0].to.expose(), "sip:user0@h");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_does_not_keep_the_plugin_from_starting() {
    for (fails, hangs) in [(true, false), (false, true)] {
        let store = Arc::new(Moody::default());
        store.fails.store(fails, Ordering::SeqCst);
        store.hangs.store(hangs, Ordering::SeqCst);
        let begun = tokio::time::Instant::now();
        let rig = Rig::storing(store, json!({})).await;
        assert!(begun.elapsed() <= Duration::from_secs(10));
        rig.send("1001", "hello").await.unwrap();
        assert_eq!(rig.conversations().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_store_of_the_host_messages_are_kept_across_a_stop() {
    let rig = Rig::new().await;
    let mut events = rig.deps.events.subscribe();
    rig.adapter.message_in("sip:a@h", "hello");
    settle().await;
    let message = received(&mut events).pop().unwrap();
    assert!(message.received_at <= Timestamp::now() + Duration::from_secs(60));
    rig.plugin.stop().await.unwrap();
    rig.restart().await;
    let conversation = rig.conversations().await.pop().unwrap();
    assert_eq!(conversation.id, message.conversation_id);
    assert_eq!(conversation.unread, 1);
}
