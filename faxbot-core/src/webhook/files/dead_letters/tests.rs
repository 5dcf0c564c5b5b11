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
async fn what_a_crash_left_is_removed_and_what_is_damaged_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    store.put(&letter(1, b"x")).await.unwrap();
    drop(store);
    let unfinished = directory.path().join("x.unfinished");
    fs::write(&unfinished, "{").unwrap();
    fs::write(directory.path().join("0-damaged.letter"), "{").unwrap();
    fs::write(directory.path().join("9-damaged.letter"), "{}\nx").unwrap();
    let store = open(directory.path()).await;
    assert!(!unfinished.exists());
    assert_eq!(store.list(9).await.unwrap(), [letter(1, b"x")]);
    let second = FileDeadLetters::open(directory.path()).await;
    assert_eq!(second.unwrap_err().kind(), ErrorKind::InvalidState);
}
