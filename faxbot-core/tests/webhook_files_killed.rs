#![cfg(test)]
//! A process that writes into the stores of webhooks is killed at any moment: what it was told to be
//! stored is there, and everything that is there is whole.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use faxbot_core::{
    Timestamp,
    clock::TokioClock,
    plugin::{InboundFax, InboundQuery, PluginId},
    webhook::{
        Claim, DedupeStore, FileDedupeStore, FileInboundStore, InboundFile, InboundStore, Stored,
    },
};

/// Names the directory to the process that is killed.
const DIRECTORY: &str = "FAXBOT_TEST_KILLED_DIRECTORY";
const ROUNDS: u64 = 12;
const LEASE: Duration = Duration::from_secs(60);

fn plugin() -> PluginId {
    "acme".parse().unwrap()
}

/// Pages whose length and bytes follow from the id.
fn pages(id: &str) -> InboundFile {
    let count = id.bytes().map(usize::from).sum::<usize>() * 50;
    InboundFile::new("application/pdf", id.repeat(count))
}

async fn stores(directory: &Path) -> (FileDedupeStore, FileInboundStore) {
    let handled = directory.join("handled");
    (
        FileDedupeStore::open(handled, TokioClock::shared())
            .await
            .unwrap(),
        FileInboundStore::open(directory.join("received"))
            .await
            .unwrap(),
    )
}

/// Receives until it is killed, and writes down what it would have answered to the vendor.
async fn receive(directory: PathBuf) {
    let (dedupe, inbound) = stores(&directory).await;
    let mut answered = OpenOptions::new()
        .append(true)
        .create(true)
        .open(directory.join("answered"))
        .unwrap();
    for number in 0.. {
        let id = format!("{}-{number}", std::process::id());
        assert_eq!(
            dedupe.claim(&plugin(), &id, LEASE).await.unwrap(),
            Claim::New
        );
        let fax = InboundFax::new(&id, "acme", Timestamp::now());
        let stored = inbound.put_fax(&fax, &pages(&id)).await.unwrap();
        assert_eq!(stored, Stored::New);
        dedupe.done(&plugin(), &id).await.unwrap();
        answered.write_all(format!("{id}\n").as_bytes()).unwrap();
    }
}

fn start(directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn answered(directory: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(directory.join("answered")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const NAME: &str = "a_killed_process_loses_nothing_that_it_answered_for";

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_answered_for() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return receive(directory.into()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for round in 0..ROUNDS {
        let before = answered(directory).len();
        let mut child = start(directory);
        // Killed in the middle of its work, each time at another moment of it.
        let begun = Instant::now();
        while answered(directory).len() < before + 2 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "it receives nothing"
            );
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(700 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();

        let (dedupe, inbound) = stores(directory).await;
        for id in answered(directory) {
            let claim = dedupe.claim(&plugin(), &id, LEASE).await.unwrap();
            assert_eq!(claim, Claim::Done, "{id}");
            assert!(inbound.fax("acme", &id).await.unwrap().is_some(), "{id}");
        }
        let mut query = InboundQuery::new().with_limit(1000);
        let mut there = 0;
        loop {
            let page = inbound.faxes("acme", &query).await.unwrap();
            for fax in page.items {
                let (_, file) = inbound.fax("acme", &fax.id).await.unwrap().unwrap();
                assert!(file == pages(&fax.id), "{} is not whole", fax.id);
                there += 1;
            }
            let Some(cursor) = page.next_cursor else {
                break;
            };
            query = query.with_cursor(cursor);
        }
        // At most the one that was received when the process was killed is more.
        let ended = usize::try_from(round).unwrap() + 1;
        assert!(there <= answered(directory).len() + ended);
        let left = fs::read_dir(directory.join("received")).unwrap().count();
        assert_eq!(left, 2 * there + 1, "only whole records and the lock");
    }
}
