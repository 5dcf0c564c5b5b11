use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::{
    Private, Timestamp,
    clock::TokioClock,
    message::{MessageContent, MessageKind},
    webhook::Authenticity,
};

const LEASE: Duration = Duration::from_secs(60);

fn plugin() -> PluginId {
    "acme".parse().unwrap()
}

fn at(second: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(second)
}

fn fax(id: &str, second: u64) -> InboundFax {
    InboundFax::new(id, "acme", at(second))
}

fn file(bytes: &'static str) -> InboundFile {
    InboundFile::new("application/pdf", bytes)
}

fn message(id: &str, second: u64) -> InboundMessage {
    InboundMessage::new(
        id,
        "acme",
        (Private::new("+1".to_owned()), Private::new("+2".to_owned())),
        MessageContent::text(MessageKind::Sms, "hello"),
        at(second),
        Authenticity::Signed,
    )
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_new_once_and_then_in_progress_until_it_is_done() {
    let store = MemoryDedupeStore::new(TokioClock::shared());
    let (a, b) = (plugin(), "other".parse().unwrap());
    assert_eq!(store.claim(&a, "k", LEASE).await.unwrap(), Claim::New);
    assert_eq!(
        store.claim(&a, "k", LEASE).await.unwrap(),
        Claim::InProgress
    );
    // Another plugin and another key are their own.
    assert_eq!(store.claim(&b, "k", LEASE).await.unwrap(), Claim::New);
    assert_eq!(store.claim(&a, "l", LEASE).await.unwrap(), Claim::New);
    store.done(&a, "k").await.unwrap();
    assert_eq!(store.claim(&a, "k", LEASE).await.unwrap(), Claim::Done);
    store.release(&a, "k").await.unwrap();
    assert_eq!(store.claim(&a, "k", LEASE).await.unwrap(), Claim::Done);
    store.release(&a, "l").await.unwrap();
    assert_eq!(store.claim(&a, "l", LEASE).await.unwrap(), Claim::New);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_at_one_time_one_is_new() {
    let store = Arc::new(MemoryDedupeStore::new(TokioClock::shared()));
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.claim(&plugin(), "k", LEASE).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap() == Claim::New);
    }
    assert_eq!(new, 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_ends_with_its_lease() {
    let store = MemoryDedupeStore::new(TokioClock::shared());
    let claim = || async { store.claim(&plugin(), "k", LEASE).await.unwrap() };
    assert_eq!(claim().await, Claim::New);
    tokio::time::advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(claim().await, Claim::InProgress);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(claim().await, Claim::New);
    assert_eq!(claim().await, Claim::InProgress);
    // One without an end is no overflow.
    let claimed = store.claim(&plugin(), "l", Duration::MAX).await.unwrap();
    assert_eq!(claimed, Claim::New);
}

#[tokio::test(start_paused = true)]
async fn a_handled_key_is_remembered_for_the_retention() {
    let retention = Duration::from_secs(1000);
    let clock = TokioClock::shared();
    let store = MemoryDedupeStore::new(Arc::clone(&clock)).with_retention(retention);
    store.done(&plugin(), "k").await.unwrap();
    tokio::time::advance(retention).await;
    let claim = || async { store.claim(&plugin(), "k", LEASE).await.unwrap() };
    assert_eq!(claim().await, Claim::Done);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(claim().await, Claim::New);
    // Done again is remembered from then on.
    store.done(&plugin(), "k").await.unwrap();
    tokio::time::advance(retention).await;
    store.done(&plugin(), "k").await.unwrap();
    tokio::time::advance(retention).await;
    assert_eq!(claim().await, Claim::Done);
    assert!(clock.timestamp() > Timestamp::UNIX_EPOCH);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_handled_key_goes_for_a_new_one() {
    let store = MemoryDedupeStore::new(TokioClock::shared()).with_max_keys(2);
    for key in ["a", "b", "c"] {
        store.done(&plugin(), key).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let mut claims = Vec::new();
    for key in ["a", "b", "c"] {
        claims.push(store.claim(&plugin(), key, LEASE).await.unwrap());
    }
    assert_eq!(claims, [Claim::New, Claim::Done, Claim::Done]);
}

#[tokio::test(start_paused = true)]
async fn open_claims_are_bounded_and_ended_ones_make_room() {
    let store = MemoryDedupeStore::new(TokioClock::shared());
    for n in 0..super::super::dedupe::MAX_CLAIMS {
        store.claim(&plugin(), &n.to_string(), LEASE).await.unwrap();
    }
    let error = store.claim(&plugin(), "k", LEASE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(error.effect(), Effect::NoEffect);
    // What is claimed already is answered.
    let again = store.claim(&plugin(), "1", LEASE).await.unwrap();
    assert_eq!(again, Claim::InProgress);
    tokio::time::advance(LEASE).await;
    assert_eq!(
        store.claim(&plugin(), "k", LEASE).await.unwrap(),
        Claim::New
    );
}

#[tokio::test]
async fn a_fax_is_stored_once_with_its_pages() {
    let store = MemoryInboundStore::new();
    let first = store.put_fax(&fax("1", 1), &file("one")).await.unwrap();
    let second = store.put_fax(&fax("1", 2), &file("two")).await.unwrap();
    assert_eq!((first, second), (Stored::New, Stored::Known));
    let (kept, pages) = store.fax("acme", "1").await.unwrap().unwrap();
    assert_eq!((kept, pages), (fax("1", 1), file("one")));
    assert!(store.fax("other", "1").await.unwrap().is_none());
    assert!(store.fax("acme", "2").await.unwrap().is_none());
}

#[tokio::test]
async fn lists_are_newest_first_and_come_in_pages() {
    let store = MemoryInboundStore::new();
    for (id, second) in [("c", 3), ("a", 1), ("d", 3), ("b", 2)] {
        store.put_fax(&fax(id, second), &file("")).await.unwrap();
        store.put_message(&message(id, second)).await.unwrap();
    }
    let mut query = InboundQuery::new().with_limit(2);
    let (mut faxes, mut messages) = (Vec::new(), Vec::new());
    loop {
        let page = store.faxes("acme", &query).await.unwrap();
        faxes.extend(page.items.into_iter().map(|fax| fax.id));
        let same = store.messages("acme", &query).await.unwrap();
        messages.extend(same.items.into_iter().map(|message| message.id));
        assert_eq!(page.next_cursor, same.next_cursor);
        let Some(cursor) = page.next_cursor else {
            break;
        };
        // What comes in between is newer, and not on the pages behind.
        let late = format!("late {cursor}");
        store.put_fax(&fax(&late, 9), &file("")).await.unwrap();
        query = query.with_cursor(cursor);
    }
    assert_eq!(faxes, ["d", "c", "b", "a"]);
    assert_eq!(messages, faxes);
    let none = store.faxes("other", &InboundQuery::new()).await.unwrap();
    assert_eq!(none, Page::last(Vec::new()));
    let query = InboundQuery::new().with_limit(0);
    let one = store.faxes("acme", &query).await.unwrap();
    assert_eq!(one.items.len(), 1);
    for cursor in ["", "1", "yesterday/a"] {
        let query = InboundQuery::new().with_cursor(cursor);
        let error = store.faxes("acme", &query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{cursor:?}");
    }
}

#[tokio::test]
async fn the_oldest_received_go_for_new_ones() {
    let store = MemoryInboundStore::new()
        .with_max_fax_bytes(3 * RECORD_BYTES)
        .with_max_messages(2);
    for n in 1..=4 {
        let id = n.to_string();
        store.put_fax(&fax(&id, n), &file("")).await.unwrap();
        store.put_message(&message(&id, n)).await.unwrap();
    }
    let all = InboundQuery::new();
    let faxes = store.faxes("acme", &all).await.unwrap();
    let faxes: Vec<_> = faxes.items.iter().map(|fax| fax.id.as_str()).collect();
    assert_eq!(faxes, ["4", "3", "2"]);
    assert!(store.fax("acme", "1").await.unwrap().is_none());
    let messages = store.messages("acme", &all).await.unwrap();
    let messages: Vec<_> = messages
        .items
        .iter()
        .map(|message| message.id.as_str())
        .collect();
    assert_eq!(messages, ["4", "3"]);
    // One that is longer than the store is refused, and nothing goes for it.
    let long = InboundFile::new("application/pdf", Bytes::from(vec![0; 3 * RECORD_BYTES]));
    let error = store.put_fax(&fax("5", 5), &long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(store.faxes("acme", &all).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn the_latest_dead_letters_are_kept() {
    let store = MemoryDeadLetters::new().with_max(2);
    for n in 1..=3 {
        let letter = DeadLetter::new(plugin(), at(n), "why", None, vec![0; 3]);
        store.put(&letter).await.unwrap();
    }
    let times = |letters: Vec<DeadLetter>| {
        letters
            .into_iter()
            .map(|letter| letter.received_at)
            .collect::<Vec<_>>()
    };
    assert_eq!(times(store.list(9).await.unwrap()), [at(3), at(2)]);
    assert_eq!(times(store.list(1).await.unwrap()), [at(3)]);
    // Long ones drive out the others, and stay themselves.
    let long = DeadLetter::new(plugin(), at(4), "why", None, vec![0; LETTER_BYTES + 1]);
    store.put(&long).await.unwrap();
    assert_eq!(times(store.list(9).await.unwrap()), [at(4)]);
}

#[test]
fn debug_shows_nothing_of_what_is_kept() {
    let store = MemoryInboundStore::new();
    let rt = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    rt.block_on(store.put_fax(&fax("hush", 1), &file("hush")))
        .unwrap();
    rt.block_on(store.put_message(&message("hush", 1))).unwrap();
    assert!(!format!("{store:?}").contains("hush"), "{store:?}");
}
