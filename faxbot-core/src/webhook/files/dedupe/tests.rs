use tempfile::TempDir;

use super::*;
use crate::clock::TokioClock;

const LEASE: Duration = Duration::from_secs(60);

fn plugin() -> PluginId {
    "acme".parse().unwrap()
}

async fn open(path: &Path) -> FileDedupeStore {
    FileDedupeStore::open(path, TokioClock::shared())
        .await
        .unwrap()
}

async fn claim(store: &FileDedupeStore, key: &str) -> Claim {
    store.claim(&plugin(), key, LEASE).await.unwrap()
}

async fn done(store: &FileDedupeStore, key: &str) {
    store.done(&plugin(), key).await.unwrap();
}

/// Which of these keys are handled.
async fn handled<'a>(store: &FileDedupeStore, keys: &[&'a str]) -> Vec<&'a str> {
    let mut handled = Vec::new();
    for key in keys {
        match claim(store, key).await {
            Claim::Done => handled.push(*key),
            _ => store.release(&plugin(), key).await.unwrap(),
        }
    }
    handled
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count() - 1
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/handled");
    (directory, path)
}

const KEYS: [&str; 3] = ["fax/1", "fax\n2 \"é\"", "fax/3"];

#[tokio::test]
async fn what_was_done_is_done_after_a_restart_and_a_claim_is_not() {
    let (_directory, path) = place();
    let store = open(&path).await;
    for key in KEYS {
        assert_eq!(claim(&store, key).await, Claim::New);
        assert_eq!(claim(&store, key).await, Claim::InProgress);
        done(&store, key).await;
        assert_eq!(claim(&store, key).await, Claim::Done);
    }
    assert_eq!(claim(&store, "claimed").await, Claim::New);
    drop(store);
    let store = open(&path).await;
    assert_eq!(handled(&store, &KEYS).await, KEYS);
    assert_eq!(claim(&store, "claimed").await, Claim::New);
    let other = "other".parse().unwrap();
    let of_other = store.claim(&other, KEYS[0], LEASE).await.unwrap();
    assert_eq!(of_other, Claim::New);
}

/// A crash may leave any part of the last line; whatever part it is, the lines before hold and the
/// next one is whole.
#[tokio::test]
async fn a_file_that_is_cut_anywhere_has_exactly_its_whole_lines() {
    let (directory, path) = place();
    let store = open(&path).await;
    let mut ends = vec![fs::metadata(&path).unwrap().len()];
    for key in KEYS {
        done(&store, key).await;
        ends.push(fs::metadata(&path).unwrap().len());
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    for tail in [&b""[..], b"\0\0\0\0\0\0", b"{\"at\":\"2026"] {
        for cut in 0..=whole.len() {
            if cut == whole.len() - 1 && !tail.is_empty() {
                // Followed by something else, the last line is damaged and not cut.
                continue;
            }
            let path = directory.path().join("cut");
            let mut bytes = whole[..cut].to_vec();
            if ends.contains(&(cut as u64)) {
                bytes.extend_from_slice(tail);
            }
            fs::write(&path, bytes).unwrap();
            let store = open(&path).await;
            let expected = ends.iter().filter(|end| **end <= cut as u64).count();
            let expected = &KEYS[..expected.saturating_sub(1)];
            assert_eq!(handled(&store, &KEYS).await, expected, "{cut}");
            done(&store, "next").await;
            drop(store);
            let store = open(&path).await;
            assert_eq!(handled(&store, &KEYS).await, expected, "{cut}");
            assert_eq!(claim(&store, "next").await, Claim::Done, "{cut}");
            assert_eq!(lines(&path), expected.len() + 1);
        }
    }
}

#[tokio::test]
async fn a_damaged_line_costs_itself_alone() {
    let (_directory, path) = place();
    let store = open(&path).await;
    for key in KEYS {
        done(&store, key).await;
    }
    drop(store);
    let damaged = fs::read_to_string(&path)
        .unwrap()
        .replace("fax/1", "fax\x011");
    fs::write(&path, damaged).unwrap();
    let store = open(&path).await;
    assert_eq!(handled(&store, &KEYS).await, KEYS[1..]);
    assert_eq!(lines(&path), 2);
}

#[tokio::test]
async fn another_file_is_left_as_it_is() {
    let (directory, _) = place();
    let path = directory.path().join("precious");
    for text in [
        "precious",
        "{\"faxbot\":\"dedupe\",\"version\":2}\nprecious",
    ] {
        fs::write(&path, text).unwrap();
        let error = FileDedupeStore::open(&path, TokioClock::shared())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn one_store_at_a_time_has_the_file() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let second = FileDedupeStore::open(&path, TokioClock::shared()).await;
    assert_eq!(second.unwrap_err().kind(), ErrorKind::InvalidState);
    drop(store);
    open(&path).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_claims_at_one_time_one_is_new_and_every_done_is_kept() {
    let (_directory, path) = place();
    let store = Arc::new(open(&path).await);
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let claimed = claim(&store, "one").await;
                done(&store, &n.to_string()).await;
                claimed
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap() == Claim::New);
    }
    assert_eq!(new, 1);
    drop(store);
    let store = open(&path).await;
    for n in 0..200 {
        assert_eq!(claim(&store, &n.to_string()).await, Claim::Done, "{n}");
    }
}

#[tokio::test]
async fn a_done_that_has_begun_ends_though_its_future_is_dropped() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let plugin = plugin();
    let mut work = store.done(&plugin, "k");
    std::future::poll_fn(|context| {
        let _ = work.as_mut().poll(context);
        std::task::Poll::Ready(())
    })
    .await;
    drop(work);
    drop(store);
    // The file is held until the work has ended.
    let store = loop {
        match FileDedupeStore::open(&path, TokioClock::shared()).await {
            Ok(store) => break store,
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidState),
        }
    };
    assert_eq!(claim(&store, "k").await, Claim::Done);
}

#[tokio::test(start_paused = true)]
async fn old_keys_go_and_the_file_is_written_anew() {
    let (_directory, path) = place();
    let retention = Duration::from_secs(100);
    let clock = TokioClock::shared();
    let store = FileDedupeStore::open(&path, Arc::clone(&clock))
        .await
        .unwrap()
        .with_retention(retention);
    let mut most = 0;
    for n in 0..200 {
        done(&store, &n.to_string()).await;
        tokio::time::advance(Duration::from_secs(20)).await;
        most = most.max(lines(&path));
    }
    // Six are in time; twice as many and some spare lines are borne.
    assert!(most <= 2 * 6 + SPARE_LINES + 1, "{most}");
    assert_eq!(
        handled(&store, &["193", "194", "195", "199"]).await,
        ["195", "199"]
    );
    drop(store);
    // A longer retention finds what is still in the file.
    let store = FileDedupeStore::open(&path, clock)
        .await
        .unwrap()
        .with_retention(10 * retention);
    assert_eq!(handled(&store, &["195", "199"]).await, ["195", "199"]);
    assert!(!beside(&path, ".new").exists());
}

#[tokio::test]
async fn a_file_that_was_not_finished_is_removed_and_the_old_one_holds() {
    let (_directory, path) = place();
    let store = open(&path).await;
    done(&store, KEYS[0]).await;
    drop(store);
    fs::write(beside(&path, ".new"), &HEADER[..9]).unwrap();
    let store = open(&path).await;
    assert_eq!(handled(&store, &KEYS).await, KEYS[..1]);
    assert!(!beside(&path, ".new").exists());
}

#[tokio::test]
async fn a_write_that_fails_is_an_error_and_spoils_nothing_after_it() {
    let (_directory, path) = place();
    let store = open(&path).await;
    done(&store, KEYS[0]).await;
    let good = {
        let mut log = lock(&store.inner.log);
        // Half a line, as a full disk leaves it, and a file that cannot be written from then on.
        (&log.file).write_all(b"{\"at\":").unwrap();
        log.torn = true;
        std::mem::replace(&mut log.file, File::open(&path).unwrap())
    };
    assert_eq!(claim(&store, KEYS[1]).await, Claim::New);
    let error = store.done(&plugin(), KEYS[1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(claim(&store, KEYS[1]).await, Claim::InProgress);
    lock(&store.inner.log).file = good;
    done(&store, KEYS[2]).await;
    drop(store);
    let store = open(&path).await;
    assert_eq!(handled(&store, &KEYS).await, [KEYS[0], KEYS[2]]);
}

#[tokio::test]
async fn a_bound_of_keys_holds_over_a_restart() {
    let (_directory, path) = place();
    let store = open(&path).await.with_max_keys(2);
    for key in KEYS {
        done(&store, key).await;
    }
    assert_eq!(handled(&store, &KEYS).await.len(), 2);
    drop(store);
    let store = open(&path).await.with_max_keys(2);
    done(&store, "next").await;
    assert_eq!(claim(&store, "next").await, Claim::Done);
    assert_eq!(handled(&store, &KEYS).await, KEYS[2..]);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, path) = place();
    let store = open(&path).await;
    done(&store, "k").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&beside(&path, ".lock")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for n in 0..50 {
        store.done(&plugin(), "k").await.unwrap();
        assert_eq!(mode(&path), 0o600, "{n}");
    }
    assert!(lines(&path) < 20);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_an_error() {
    let (directory, _) = place();
    fs::write(directory.path().join("file"), "").unwrap();
    let path = directory.path().join("file/handled");
    let error = FileDedupeStore::open(path, TokioClock::shared()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Io);
}
