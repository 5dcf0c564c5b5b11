use std::{collections::BTreeSet, path::Path, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{
    Private,
    message::{MessageContent, MessageKind},
    webhook::Authenticity,
};

fn at(second: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(second)
}

fn fax(id: &str, second: u64) -> InboundFax {
    let mut fax = InboundFax::new(id, "acme", at(second));
    fax.from = Some(Private::new("+493012345678".to_owned()));
    fax.authenticity = Some(Authenticity::Signed);
    fax
}

fn pages(text: &'static str) -> InboundFile {
    InboundFile::new("application/pdf", text)
}

fn message(id: &str, second: u64) -> InboundMessage {
    let ends = (Private::new("+1".to_owned()), Private::new("+2".to_owned()));
    let content = MessageContent::text(MessageKind::Sms, "hello");
    InboundMessage::new(id, "acme", ends, content, at(second), Authenticity::Signed)
        .with_conversation("c")
}

async fn open(path: &Path) -> FileInboundStore {
    FileInboundStore::open(path).await.unwrap()
}

async fn ids(store: &FileInboundStore) -> Vec<String> {
    let page = store.faxes("acme", &InboundQuery::new()).await.unwrap();
    page.items.into_iter().map(|fax| fax.id).collect()
}

fn files(path: &Path) -> BTreeSet<String> {
    fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect()
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("received");
    let store = open(&path).await;
    assert_eq!(
        store.put_fax(&fax("1", 1), &pages("one")).await.unwrap(),
        Stored::New
    );
    assert_eq!(
        store.put_fax(&fax("2", 2), &pages("")).await.unwrap(),
        Stored::New
    );
    assert_eq!(
        store.put_message(&message("1", 3)).await.unwrap(),
        Stored::New
    );
    drop(store);
    let store = open(&path).await;
    assert_eq!(
        store.put_fax(&fax("1", 9), &pages("two")).await.unwrap(),
        Stored::Known
    );
    assert_eq!(
        store.put_message(&message("1", 9)).await.unwrap(),
        Stored::Known
    );
    let kept = store.fax("acme", "1").await.unwrap().unwrap();
    assert_eq!(kept, (fax("1", 1), pages("one")));
    assert_eq!(ids(&store).await, ["2", "1"]);
    let messages = store.messages("acme", &InboundQuery::new()).await.unwrap();
    assert_eq!(messages.items, [message("1", 3)]);
    assert!(store.fax("other", "1").await.unwrap().is_none());
    assert!(store.fax("acme", "3").await.unwrap().is_none());
    let none = store.faxes("other", &InboundQuery::new()).await.unwrap();
    assert!(none.items.is_empty());
}

#[tokio::test]
async fn lists_come_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for n in 0..5 {
        let id = n.to_string();
        store.put_fax(&fax(&id, n), &pages("")).await.unwrap();
        store.put_message(&message(&id, n)).await.unwrap();
    }
    let first = InboundQuery::new().with_limit(3);
    let page = store.faxes("acme", &first).await.unwrap();
    assert_eq!(page.items.len(), 3);
    let next = first.clone().with_cursor(page.next_cursor.unwrap());
    let page = store.faxes("acme", &next).await.unwrap();
    assert_eq!((page.items.len(), page.next_cursor), (2, None));
    assert_eq!(page.items[0].id, "1");
    let page = store.messages("acme", &next).await.unwrap();
    assert_eq!(page.items[0].id, "1");
    let wrong = first.with_cursor("wrong");
    let error = store.messages("acme", &wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

/// A name as files have it while they are written.
fn unfinished() -> String {
    format!("{}.unfinished", uuid::Uuid::new_v4())
}

/// What a crash may leave of the second fax, and whether it is there after it.
#[tokio::test]
async fn a_crash_at_any_step_leaves_a_record_whole_or_none() {
    type Crash = fn(&Path, pages: &str, record: &str);
    let rows: [(&str, Crash, bool); 8] = [
        ("after the last step", |_, _, _| {}, true),
        (
            "while the pages are written",
            |path, pages, record| {
                fs::rename(path.join(pages), path.join(unfinished())).unwrap();
                fs::remove_file(path.join(record)).unwrap();
            },
            false,
        ),
        (
            "after the pages have their name",
            |path, _, record| fs::remove_file(path.join(record)).unwrap(),
            false,
        ),
        (
            "while the record is written",
            |path, _, record| {
                let half = fs::read(path.join(record)).unwrap();
                fs::write(path.join(unfinished()), &half[..half.len() / 2]).unwrap();
                fs::remove_file(path.join(record)).unwrap();
            },
            false,
        ),
        (
            "before the record has its name",
            |path, _, record| {
                fs::rename(path.join(record), path.join(unfinished())).unwrap();
            },
            false,
        ),
        (
            "with a record that lost its bytes",
            |path, _, record| fs::write(path.join(record), b"").unwrap(),
            false,
        ),
        (
            "with pages that lost their bytes",
            |path, pages, _| fs::write(path.join(pages), b"").unwrap(),
            false,
        ),
        (
            "with pages that lost their name",
            |path, pages, _| fs::remove_file(path.join(pages)).unwrap(),
            false,
        ),
    ];
    for (when, crash, is_there) in rows {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let store = open(path).await;
        store.put_fax(&fax("1", 1), &pages("one")).await.unwrap();
        store.put_fax(&fax("2", 2), &pages("two")).await.unwrap();
        drop(store);
        crash(path, &name(PAGES, "acme", "2"), &name(FAX, "acme", "2"));
        let store = open(path).await;
        assert!(
            !files(path).iter().any(|name| name.ends_with(".unfinished")),
            "{when}"
        );
        let expected: &[&str] = if is_there { &["2", "1"] } else { &["1"] };
        assert_eq!(ids(&store).await, expected, "{when}");
        assert_eq!(
            store.fax("acme", "2").await.unwrap().is_some(),
            is_there,
            "{when}"
        );
        // The vendor sends it again.
        let again = store.put_fax(&fax("2", 3), &pages("again")).await.unwrap();
        assert_eq!(again == Stored::Known, is_there, "{when}");
        drop(store);
        let store = open(path).await;
        assert_eq!(ids(&store).await, ["2", "1"], "{when}");
        let (_, file) = store.fax("acme", "2").await.unwrap().unwrap();
        let expected = if is_there { "two" } else { "again" };
        assert_eq!(file, pages(expected), "{when}");
    }
}

#[tokio::test]
async fn files_of_somebody_else_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // `.pages` is a text document of another program too.
    let theirs = [
        "letter.pages",
        "letter.fax",
        "letter.message",
        "download.unfinished",
        "ABCDEF0123456789ABCDEF0123456789.pages",
        "notes",
    ];
    for name in theirs {
        fs::write(path.join(name), name).unwrap();
    }
    let store = open(path).await;
    store.put_fax(&fax("1", 1), &pages("one")).await.unwrap();
    drop(store);
    let store = open(path).await;
    assert_eq!(ids(&store).await, ["1"]);
    for name in theirs {
        assert_eq!(fs::read_to_string(path.join(name)).unwrap(), name);
    }
    assert_eq!(files(path).len(), theirs.len() + 2);
}

#[tokio::test]
async fn an_id_is_never_a_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("received");
    let store = open(&path).await;
    let long = "x".repeat(5000);
    let odd = [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        "",
        "\0",
        "a/b",
        "a b",
        "A",
        "a",
        &long,
    ];
    for id in odd {
        let mut fax = fax(id, 1);
        assert_eq!(
            store.put_fax(&fax, &pages("one")).await.unwrap(),
            Stored::New,
            "{id:?}"
        );
        fax.backend = "../other".to_owned();
        assert_eq!(
            store.put_fax(&fax, &pages("two")).await.unwrap(),
            Stored::New,
            "{id:?}"
        );
        let (kept, _) = store.fax("acme", id).await.unwrap().unwrap();
        assert_eq!(kept.id, id);
    }
    // A backend and an id that read the same together are two.
    let one = InboundFax::new("b c", "a", at(1));
    let two = InboundFax::new("c", "a b", at(1));
    assert_eq!(store.put_fax(&one, &pages("")).await.unwrap(), Stored::New);
    assert_eq!(store.put_fax(&two, &pages("")).await.unwrap(), Stored::New);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    for name in files(&path) {
        let (stem, ending) = name.split_once('.').unwrap();
        assert!(
            stem.len() == 32 && stem.bytes().all(|b| b.is_ascii_hexdigit()),
            "{name}"
        );
        assert!(["fax", "pages"].contains(&ending), "{name}");
    }
}

#[tokio::test]
async fn a_full_store_refuses_and_room_is_made_by_removing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await.with_max_bytes(2000);
    let long = InboundFile::new("application/pdf", vec![0; 1000]);
    store.put_fax(&fax("1", 1), &long).await.unwrap();
    for _ in 0..2 {
        let error = store.put_fax(&fax("2", 2), &long).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert_eq!(error.effect(), Effect::NoEffect);
    }
    assert_eq!(files(directory.path()).len(), 2);
    // The bytes are counted again when the store is opened.
    drop(store);
    let store = open(directory.path()).await.with_max_bytes(2000);
    assert!(store.put_fax(&fax("2", 2), &long).await.is_err());
    assert!(store.remove_fax("acme", "1").await.unwrap());
    assert!(!store.remove_fax("acme", "1").await.unwrap());
    assert_eq!(lock(&store.inner.records).bytes, 0);
    store.put_fax(&fax("2", 2), &long).await.unwrap();
    assert_eq!(ids(&store).await, ["2"]);
}

#[tokio::test]
async fn what_is_older_than_a_time_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for n in 1..=4 {
        let id = n.to_string();
        store.put_fax(&fax(&id, n), &pages("x")).await.unwrap();
        store.put_message(&message(&id, n)).await.unwrap();
    }
    assert_eq!(store.remove_before(at(3)).await.unwrap(), 4);
    assert_eq!(store.remove_before(at(3)).await.unwrap(), 0);
    assert_eq!(ids(&store).await, ["4", "3"]);
    let messages = store.messages("acme", &InboundQuery::new()).await.unwrap();
    assert_eq!(messages.items.len(), 2);
    assert_eq!(files(directory.path()).len(), 6);
    assert!(store.remove_message("acme", "3").await.unwrap());
    assert!(!store.remove_message("acme", "1").await.unwrap());
    // The one of another kind stays.
    assert_eq!(ids(&store).await, ["4", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_one_time_one_is_new() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).await);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.put_fax(&fax("1", 1), &pages("one")).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap() == Stored::New);
    }
    assert_eq!(new, 1);
}

#[tokio::test]
async fn one_store_at_a_time_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let second = FileInboundStore::open(directory.path()).await;
    assert_eq!(second.unwrap_err().kind(), ErrorKind::InvalidState);
    drop(store);
    open(directory.path()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_what_was_received() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("received");
    let store = open(&path).await;
    store.put_fax(&fax("1", 1), &pages("one")).await.unwrap();
    store.put_message(&message("1", 1)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let names = files(&path);
    assert_eq!(names.len(), 3);
    for name in names {
        assert_eq!(mode(&path.join(&name)), 0o600, "{name}");
        assert!(!name.contains("493012345678"));
    }
    assert!(!format!("{store:?}").contains("493012345678"));
}

#[tokio::test]
async fn pages_that_were_cut_later_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    store.put_fax(&fax("1", 1), &pages("one")).await.unwrap();
    fs::write(directory.path().join(name(PAGES, "acme", "1")), "on").unwrap();
    let error = store.fax("acme", "1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
