//! The fax plugin over the Asterisk adapter and a mocked server, end to end, on a paused clock.
#![cfg(test)]

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use faxbot_core::{
    ErrorKind, Timestamp,
    clock::{SharedClock, TokioClock},
    document::{Document, tiff::TiffReader},
    event::EventBus,
    fax::{FaxRetryPolicy, JobStatus},
    id::{CallId, JobId},
    plugin::{CancelOutcome, FaxPlugin, Plugin, PluginDeps, SendOptions, StatusResult},
    random::SystemRandom,
    sip::{ConnectionState, SipAdapter},
    task::TaskSet,
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_sip::{
    adapter::asterisk::{AsteriskAdapter, AsteriskConfig},
    driver::{Connect, LinkError, Transport},
};
use faxbot_testkit::{
    conformance::samples,
    server::asterisk::{CallScript, Flavour, MockAsterisk, ReplyFault, Timings},
};
use serde_json::json;
use tempfile::TempDir;

const NUMBER: &str = "+15551230700";
const FLAVOURS: [Flavour; 2] = [Flavour::V16, Flavour::V22];
const LONG: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Opens links to the mock until it is shut.
#[derive(Debug)]
struct Gate(Mutex<Option<Arc<dyn Connect>>>);

#[async_trait]
impl Connect for Gate {
    async fn connect(&self) -> Result<Transport, LinkError> {
        let to = self.0.lock().unwrap().clone();
        match to {
            Some(to) => to.connect().await,
            None => Err(LinkError::Connect(Arc::new(
                io::ErrorKind::ConnectionRefused.into(),
            ))),
        }
    }
}

/// A server, and one process of ours after the other.
struct Rig {
    mock: MockAsterisk,
    gate: Arc<Gate>,
    clock: SharedClock,
    folder: TempDir,
}

/// One process: dropping it is its SIGKILL.
struct Process {
    plugin: SipFaxPlugin,
    adapter: Arc<AsteriskAdapter>,
}

impl Rig {
    async fn of(flavour: Flavour) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("spool")).unwrap();
        std::fs::write(folder.path().join("a.tif"), samples::tiff(3).unwrap()).unwrap();
        let mock = MockAsterisk::builder()
            .flavour(flavour)
            .timings(Timings::real())
            .map_path("/srv/fax", folder.path().join("spool"))
            .in_memory()
            .start()
            .await
            .unwrap();
        let gate = Gate(Mutex::new(Some(Arc::new(mock.connector()))));
        Self {
            mock,
            gate: Arc::new(gate),
            clock: TokioClock::shared(),
            folder,
        }
    }

    async fn process(&self) -> Process {
        let config = AsteriskConfig::from_url("ami://faxbot:s3cret@pbx.example")
            .unwrap()
            .with_dial("PJSIP/{number}@trunk".parse().unwrap())
            .with_spool(self.folder.path().join("spool"), "/srv/fax");
        let adapter = AsteriskAdapter::with_clock(config, Arc::clone(&self.clock))
            .with_connector(Arc::clone(&self.gate) as Arc<dyn Connect>);
        adapter.connect().await.unwrap();
        let adapter = Arc::new(adapter);
        let plugin = SipFaxPlugin::new(adapter.clone());
        let deps = PluginDeps::new(
            Arc::clone(&self.clock),
            TaskSet::current("test").unwrap(),
            Arc::new(SystemRandom),
            EventBus::default(),
        );
        let config = json!({"options": {"jitter": 0}});
        plugin.start(config, deps).await.unwrap();
        Process { plugin, adapter }
    }

    async fn send(&self, process: &Process, options: SendOptions) -> JobId {
        let document = Document::path(self.folder.path().join("a.tif"));
        let to = NUMBER.parse().unwrap();
        let sent = process.plugin.send_fax(to, document, options).await;
        sent.unwrap().job_id
    }

    fn originates(&self) -> Vec<String> {
        let seen = self.mock.actions_named("Originate");
        seen.iter()
            .map(|action| action.get("ChannelId").unwrap().to_owned())
            .collect()
    }

    fn outcomes(&self) -> usize {
        self.mock.db_entries().len()
    }

    async fn page_confirmed(&self, pages: u32) {
        let there = |mock: &MockAsterisk| {
            let faxes = mock.fax_pages();
            faxes.iter().any(|fax| fax.1 >= pages).then_some(())
        };
        assert!(self.mock.wait_until(LONG, there).await.is_some());
    }

    fn cut(&self) {
        *self.gate.0.lock().unwrap() = None;
        self.mock.drop_links();
    }

    fn mend(&self) {
        *self.gate.0.lock().unwrap() = Some(Arc::new(self.mock.connector()));
    }
}

impl Process {
    async fn until(&self, job: &JobId, is_so: impl Fn(&StatusResult) -> bool) -> StatusResult {
        for _ in 0..100_000 {
            let status = self.plugin.get_status(job).await.unwrap();
            if is_so(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?}", self.plugin.get_status(job).await);
    }

    async fn end(&self, job: &JobId) -> StatusResult {
        self.until(job, |status| {
            status.status.is_final() || status.status == JobStatus::OutcomeUnknown
        })
        .await
    }

    async fn connected(&self) {
        while self.adapter.connection().state != ConnectionState::Connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn chosen(job: &JobId) -> SendOptions {
    SendOptions::with_job_id(job.clone())
}

fn calls(job: &JobId, numbers: &[u32]) -> Vec<String> {
    let name = |n: &u32| format!("faxbot-{}", CallId::for_attempt(job, *n).as_uuid());
    numbers.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_dropped_makes_one_originate_and_one_fax() {
    let garbage = ReplyFault::Garbage(Bytes::from_static(b"Response: Succ\0\xff\r\n\r\n"));
    for flavour in FLAVOURS {
        for fault in [
            ReplyFault::DropBefore,
            ReplyFault::DropAfter,
            ReplyFault::Silent,
            garbage.clone(),
        ] {
            let rig = Rig::of(flavour).await;
            let process = rig.process().await;
            rig.mock.next_reply("Originate", fault.clone());
            let job = rig.send(&process, SendOptions::new()).await;
            let status = process.end(&job).await;
            assert_eq!(status.status, JobStatus::Success, "{fault:?}");
            assert_eq!(status.pages, Some(3));
            tokio::time::sleep(DAY).await;
            assert_eq!(rig.originates(), calls(&job, &[1]), "{fault:?}");
            assert_eq!(rig.mock.received_faxes().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_in_mid_fax_changes_nothing() {
    for flavour in FLAVOURS {
        for (script, dials) in [
            (CallScript::answer(), &[1][..]),
            // The next call sends the page that is left.
            (
                CallScript::fax_fails_after(2, "HANGUP", "The call dropped prematurely"),
                &[1, 2],
            ),
        ] {
            let rig = Rig::of(flavour).await;
            let process = rig.process().await;
            rig.mock.on_dial(NUMBER, script);
            let job = rig.send(&process, SendOptions::new()).await;
            rig.page_confirmed(1).await;
            rig.cut();
            // It ends while nobody watches.
            tokio::time::sleep(Duration::from_secs(120)).await;
            let status = process.plugin.get_status(&job).await.unwrap();
            assert_eq!(status.status, JobStatus::InProgress);
            rig.mend();
            let status = process.end(&job).await;
            assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
            tokio::time::sleep(DAY).await;
            assert_eq!(rig.originates(), calls(&job, dials));
            // A random id needs its outcome no longer.
            assert_eq!(rig.outcomes(), 0);
        }
    }
}

/// Numbers of the pages of a fax TIFF, from 0.
fn page_numbers(tiff: &[u8]) -> Vec<u16> {
    let mut reader = TiffReader::open(io::Cursor::new(tiff)).unwrap();
    let numbers = reader.pages().map(|page| page.unwrap().page_number);
    numbers.map(|number| number.unwrap().number).collect()
}

/// Pages of each call as sent, and how many of them were confirmed.
fn sent_pages(rig: &Rig) -> Vec<(Vec<u16>, u32)> {
    let faxes = rig.mock.received_faxes();
    let sent = faxes.iter().map(|fax| (page_numbers(&fax.tiff), fax.pages));
    sent.collect()
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_breaks_off_goes_on_with_the_pages_that_are_left() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let process = rig.process().await;
        let broken = CallScript::fax_fails_after(1, "HANGUP", "The call dropped prematurely");
        rig.mock.on_dial(NUMBER, broken);
        let job = rig.send(&process, SendOptions::new()).await;
        let status = process.end(&job).await;
        assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
        // The last one broke off behind the last page.
        assert_eq!(
            sent_pages(&rig),
            [(vec![0, 1, 2], 1), (vec![1, 2], 1), (vec![2], 1)]
        );
        assert_eq!(rig.originates(), calls(&job, &[1, 2, 3]));
        let options = &rig.mock.received_faxes()[1].options;
        assert!(options.iter().all(|(name, _)| name != "headerinfo"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_process_goes_on_behind_the_pages_of_an_earlier_one() {
    for flavour in FLAVOURS {
        // All pages through before the crash, and one; in the second call, and between the two.
        for (pages, wait, sent) in [
            (3, 200, vec![(vec![0, 1, 2], 3)]),
            (1, 60, vec![(vec![0, 1, 2], 1), (vec![1, 2], 2)]),
            (1, 130, vec![(vec![0, 1, 2], 1), (vec![1, 2], 2)]),
        ] {
            let rig = Rig::of(flavour).await;
            let process = rig.process().await;
            let broken = CallScript::fax_fails_after(pages, "HANGUP", "The call dropped");
            rig.mock.next_call(broken);
            let job = JobId::new();
            rig.send(&process, chosen(&job)).await;
            tokio::time::sleep(Duration::from_secs(wait)).await;
            drop(process);
            let process = rig.process().await;
            rig.send(&process, chosen(&job)).await;
            let status = process.end(&job).await;
            assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
            assert_eq!(sent_pages(&rig), sent, "after {wait} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_in_mid_fax_leaves_the_outcome_unknown_with_three_tries_allowed() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let process = rig.process().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let options = SendOptions::new().with_retry(FaxRetryPolicy::new().with_budgets(12, 3));
        let job = rig.send(&process, options).await;
        rig.page_confirmed(1).await;
        // The poll that tells of the page.
        process.until(&job, |status| status.pages == Some(1)).await;
        rig.mock.kill(Duration::from_secs(5));
        let status = process.end(&job).await;
        assert_eq!(status.status, JobStatus::OutcomeUnknown);
        assert_eq!(status.pages, Some(1));
        process.connected().await;
        tokio::time::sleep(DAY).await;
        assert_eq!(rig.originates(), calls(&job, &[1]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_process_recovers_a_job_and_sends_nothing() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let process = rig.process().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = rig.clock.timestamp();
        let job = rig.send(&process, SendOptions::new()).await;
        rig.page_confirmed(1).await;
        drop(process);
        let process = rig.process().await;
        let recover = || process.plugin.recover(&job, before);
        let status = recover().await.unwrap();
        assert_eq!(status.status, JobStatus::InProgress);
        tokio::time::sleep(Duration::from_secs(120)).await;
        let status = recover().await.unwrap();
        assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
        // One that was never sent is proven so, by its time.
        let error = process.plugin.recover(&JobId::new(), before).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
        let older = Timestamp::UNIX_EPOCH;
        let status = process.plugin.recover(&JobId::new(), older).await.unwrap();
        assert_eq!(status.status, JobStatus::OutcomeUnknown);
        assert_eq!(rig.originates(), calls(&job, &[1]));
    }
}

#[tokio::test(start_paused = true)]
async fn sending_again_under_the_same_id_after_a_crash_never_makes_a_second_fax() {
    for flavour in FLAVOURS {
        // In page 1, behind the end, and behind the end that this process saw.
        for wait in [10, 120, 500] {
            let rig = Rig::of(flavour).await;
            let process = rig.process().await;
            let job = JobId::new();
            rig.send(&process, chosen(&job)).await;
            tokio::time::sleep(Duration::from_secs(wait)).await;
            drop(process);
            let process = rig.process().await;
            rig.send(&process, chosen(&job)).await;
            let status = process.end(&job).await;
            assert_eq!(status.status, JobStatus::Success, "after {wait} s");
            assert_eq!(status.pages, Some(3));
            assert_eq!(rig.originates(), calls(&job, &[1]));
            assert_eq!(rig.mock.received_faxes().len(), 1);
            // A third process still finds it; later the key is gone.
            drop(process);
            let process = rig.process().await;
            rig.send(&process, chosen(&job)).await;
            assert_eq!(process.end(&job).await.status, JobStatus::Success);
            assert_eq!(rig.outcomes(), 1);
            tokio::time::sleep(DAY).await;
            assert_eq!((rig.originates().len(), rig.outcomes()), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_two_dials_goes_on_with_the_next() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let process = rig.process().await;
        let job = JobId::new();
        rig.mock.next_call(CallScript::busy());
        rig.send(&process, chosen(&job)).await;
        process
            .until(&job, |status| status.detail.next_dial.is_some())
            .await;
        drop(process);
        let process = rig.process().await;
        rig.send(&process, chosen(&job)).await;
        let status = process.end(&job).await;
        assert_eq!(status.status, JobStatus::Success);
        assert_eq!(status.detail.attempts.len(), 2);
        assert_eq!(rig.originates(), calls(&job, &[1, 2]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_died_in_the_fax_and_cannot_tell_the_next_process_does_not_block_it() {
    // It restarted and kept nothing: the caller who sends again under the id wants it sent.
    let rig = Rig::of(Flavour::V22).await;
    let process = rig.process().await;
    let job = JobId::new();
    rig.send(&process, chosen(&job)).await;
    rig.page_confirmed(1).await;
    drop(process);
    rig.mock.kill(Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let process = rig.process().await;
    rig.send(&process, chosen(&job)).await;
    assert_eq!(process.end(&job).await.status, JobStatus::Success);
    assert_eq!(rig.originates(), calls(&job, &[1, 1]));
}

#[tokio::test(start_paused = true)]
async fn busy_lines_are_dialled_again_and_a_cancelled_fax_is_hung_up() {
    let rig = Rig::of(Flavour::V22).await;
    let process = rig.process().await;
    rig.mock.next_call(CallScript::busy());
    rig.mock.next_call(CallScript::no_answer());
    let job = rig.send(&process, SendOptions::new()).await;
    assert_eq!(process.end(&job).await.status, JobStatus::Success);
    assert_eq!(rig.originates(), calls(&job, &[1, 2, 3]));

    let job = rig.send(&process, SendOptions::new()).await;
    rig.page_confirmed(1).await;
    let asked = process.plugin.cancel_fax(&job).await.unwrap();
    assert_eq!(asked, CancelOutcome::Requested);
    let status = process.end(&job).await;
    assert_eq!(
        (status.status, status.pages),
        (JobStatus::Cancelled, Some(1))
    );
    let quiet = |mock: &MockAsterisk| mock.channels().is_empty().then_some(());
    assert!(rig.mock.wait_until(LONG, quiet).await.is_some());
    tokio::time::sleep(DAY).await;
    assert_eq!(rig.originates().len(), 4);
}
