use std::time::Duration;

use super::*;

fn letter(second: u64, body: &[u8]) -> DeadLetter {
    DeadLetter::new(
        "acme".parse().unwrap(),
        Timestamp::UNIX_EPOCH + Duration::from_secs(second),
        "read_webhook: not a form\n",
        Some("application/json".to_owned()),
        body,
    )
}

async fn open(path: &Path) -> FileDeadLetters {
    FileDeadLetters::open(path).await.unwrap()
}

#[tokio::test]
async fn letters_are_kept_with_their_bodies_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letters");
    let store = open(&path).await;
    let letters = [
        letter(3, b"\0\n\xff\r\n\n"),
        letter(2, b""),
        letter(1, b"one"),
    ];
    for letter in letters.iter().rev() {
        store.put(letter).await.unwrap();
    }
    assert_eq!(store.list(9).await.unwrap(), letters);
    assert_eq!(store.list(1).await.unwrap(), letters[..1]);
    drop(store);
    assert_eq!(open(&path).await.list(9).await.unwrap(), letters);
    #[cfg(unix)]
    for entry in fs::read_dir(&path).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn the_oldest_goes_for_a_new_one() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..2 {
        // Those of before the restart count.
        let store = open(directory.path()).await.with_max(3);
        for n in 1..=4 {
            store.put(&letter(10 * round + n, b"x")).await.unwrap();
        }
        let kept = store.list(9).await.unwrap();
        let last = Timestamp::UNIX_EPOCH + Duration::from_secs(10 * round + 4);
        assert_eq!((kept.len(), kept[0].received_at), (3, last));
        // And the lock file.
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    }
}

#[tokio::test]
async fn the_latest_letter_stays_when_the_clock_was_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await.with_max(2);
    for (second, body) in [(100, b"a"), (101, b"b"), (1, b"c")] {
        store.put(&letter(second, body)).await.unwrap();
    }
    let bodies = |letters: Vec<DeadLetter>| letters.into_iter().map(|l| l.body).collect::<Vec<_>>();
    assert_eq!(bodies(store.list(9).await.unwrap()), [b"c", b"b"]);
    drop(store);
    let store = open(directory.path()).await.with_max(2);
    store.put(&letter(2, b"d")).await.unwrap();
    assert_eq!(bodies(store.list(9).await.unwrap()), [b"d", b"c"]);
    assert_eq!(
        store.list(1).await.unwrap()[0].received_at,
        letter(2, b"").received_at
    );
}

#[tokio::test]
async fn letters_of_one_moment_are_in_the_order_in_which_they_came() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await.with_max(2);
    for n in 0..20 {
        store.put(&letter(1, &[n])).await.unwrap();
        assert_eq!(store.list(1).await.unwrap()[0].body, [n]);
    }
}

#[tokio::test]
async fn files_of_somebody_else_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let theirs = ["to-mum.letter", "download.unfinished"];
    for name in theirs {
        fs::write(directory.path().join(name), name).unwrap();
    }
    let store = open(directory.path()).await.with_max(1);
    for n in 1..4 {
        store.put(&letter(n, b"x")).await.unwrap();
    }
    assert_eq!(store.list(9).await.unwrap(), [letter(3, b"x")]);
    for name in theirs {
        let text = fs::read_to_string(directory.path().join(name));
        assert_eq!(text.unwrap(), name);
    }
}

#[tokio::test]
async fn what_a_crash_left_is_removed_and_what_is_damaged_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    store.put(&letter(1, b"x")).await.unwrap();
    drop(store);
    let unfinished = format!("{}.unfinished", Uuid::new_v4());
    let unfinished = directory.path().join(unfinished);
    fs::write(&unfinished, "{").unwrap();
    for (first, text) in [("0", "{"), ("1", "{}\nx")] {
        let name = format!("{first:0<20}-{}.letter", Uuid::nil().simple());
        fs::write(directory.path().join(name), text).unwrap();
    }
    let store = open(directory.path()).await;
    assert!(!unfinished.exists());
    assert_eq!(store.list(9).await.unwrap(), [letter(1, b"x")]);
    let second = FileDeadLetters::open(directory.path()).await;
    assert_eq!(second.unwrap_err().kind(), ErrorKind::InvalidState);
}
