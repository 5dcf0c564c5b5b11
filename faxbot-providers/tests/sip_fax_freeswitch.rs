//! The fax plugin over the FreeSWITCH adapter and a mocked server, end to end, on a paused clock.
#![cfg(test)]

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    clock::{SharedClock, TokioClock},
    document::Document,
    event::EventBus,
    fax::JobStatus,
    id::{CallId, JobId},
    plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions, StatusResult},
    random::SystemRandom,
    sip::SipAdapter,
    task::TaskSet,
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_sip::adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig};
use faxbot_testkit::{
    conformance::samples,
    server::{CallScript, ReceivedFax, Timings, freeswitch::MockFreeSwitch},
};
use serde_json::json;
use tempfile::TempDir;

/// A server, and one process of ours after the other.
struct Rig {
    mock: MockFreeSwitch,
    clock: SharedClock,
    folder: TempDir,
}

impl Rig {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("spool")).unwrap();
        std::fs::write(folder.path().join("a.tif"), samples::tiff(3).unwrap()).unwrap();
        let mock = MockFreeSwitch::builder()
            .timings(Timings::real())
            .map_path("/srv/fax", folder.path().join("spool"))
            .in_memory()
            .start()
            .await
            .unwrap();
        Self {
            mock,
            clock: TokioClock::shared(),
            folder,
        }
    }

    /// Dropping it is its SIGKILL.
    async fn process(&self) -> SipFaxPlugin {
        let config = FreeswitchConfig::from_url("esl://:ClueCon@pbx.example")
            .unwrap()
            .with_dial("sofia/gateway/trunk/{number}".parse().unwrap())
            .with_spool(self.folder.path().join("spool"), "/srv/fax");
        let adapter = FreeswitchAdapter::with_clock(config, Arc::clone(&self.clock))
            .with_connector(Arc::new(self.mock.connector()));
        adapter.connect().await.unwrap();
        let plugin = SipFaxPlugin::new(Arc::new(adapter));
        let deps = PluginDeps::new(
            Arc::clone(&self.clock),
            TaskSet::current("test").unwrap(),
            Arc::new(SystemRandom),
            EventBus::default(),
        );
        // No converter that could draw the line above a rest.
        let config = json!({"options": {"jitter": 0, "header": "Clinic"}});
        plugin.start(config, deps).await.unwrap();
        plugin
    }

    async fn send(&self, plugin: &SipFaxPlugin, job: &JobId) {
        let document = Document::path(self.folder.path().join("a.tif"));
        let to = "+15551230700".parse().unwrap();
        let options = SendOptions::with_job_id(job.clone());
        plugin.send_fax(to, document, options).await.unwrap();
    }

    /// Of each call the page that it began at, from 0, and the pages that arrived.
    fn received(&self) -> Vec<(u32, u32)> {
        let faxes = self.mock.received_faxes();
        let first = |fax: &ReceivedFax| option(fax, "fax_start_page").map_or(0, number);
        faxes.iter().map(|fax| (first(fax), fax.pages)).collect()
    }
}

fn option<'a>(fax: &'a ReceivedFax, name: &str) -> Option<&'a str> {
    let found = fax.options.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

fn number(text: &str) -> u32 {
    text.parse().unwrap()
}

async fn end(plugin: &SipFaxPlugin, job: &JobId) -> StatusResult {
    loop {
        let status = plugin.get_status(job).await.unwrap();
        if status.status.is_final() || status.status == JobStatus::OutcomeUnknown {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_breaks_off_goes_on_at_the_page_with_the_line_of_the_server() {
    let rig = Rig::new().await;
    let process = rig.process().await;
    let broken = CallScript::fax_fails_after(1, "HANGUP", "The call dropped prematurely");
    rig.mock.next_call(broken);
    let job = JobId::new();
    rig.send(&process, &job).await;
    let status = end(&process, &job).await;
    assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
    // Page 1, and then 2 and 3.
    assert_eq!(rig.received(), [(0, 1), (1, 2)]);
    let faxes = rig.mock.received_faxes();
    assert_eq!(faxes[0].tiff.len(), faxes[1].tiff.len());
    for fax in &faxes {
        assert_eq!(option(fax, "fax_header"), Some("Clinic"));
    }
    let own = |n| CallId::for_attempt(&job, n).as_uuid().to_string();
    assert_eq!(
        faxes.iter().map(|fax| &fax.channel_id).collect::<Vec<_>>(),
        [&own(1), &own(2)]
    );
    let attempts = status.detail.attempts.iter();
    let counts: Vec<_> = attempts
        .map(|attempt| (attempt.first_page, attempt.outcome.as_ref().unwrap()))
        .map(|(first, outcome)| (first, outcome.pages_confirmed, outcome.pages_total))
        .collect();
    assert_eq!(counts, [(1, Some(1), Some(3)), (2, Some(2), Some(2))]);
}

#[tokio::test(start_paused = true)]
async fn a_later_process_adds_up_the_pages_of_calls_that_began_at_later_ones() {
    // In the second call, behind it, and behind the third.
    for (wait, received) in [
        (135, vec![(0, 1), (1, 2)]),
        (600, vec![(0, 1), (1, 2)]),
        (0, vec![(0, 1), (1, 1), (2, 1)]),
    ] {
        let rig = Rig::new().await;
        let process = rig.process().await;
        let broken = || CallScript::fax_fails_after(1, "HANGUP", "The call dropped");
        rig.mock.next_call(broken());
        if wait == 0 {
            rig.mock.next_call(broken());
        }
        let job = JobId::new();
        rig.send(&process, &job).await;
        let begun = |mock: &MockFreeSwitch| (mock.received_faxes().len() > 1).then_some(());
        let limit = Duration::from_secs(600);
        assert!(rig.mock.wait_until(limit, begun).await.is_some());
        tokio::time::sleep(Duration::from_secs(wait)).await;
        drop(process);
        let process = rig.process().await;
        rig.send(&process, &job).await;
        let status = end(&process, &job).await;
        assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
        assert_eq!(rig.received(), received, "after {wait} s");
    }
}
