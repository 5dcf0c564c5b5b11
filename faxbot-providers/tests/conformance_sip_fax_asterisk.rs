//! The conformance suite of fax plugins, on the SIP fax plugin over Asterisk 16 and 22 as mocked.
#![cfg(test)]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    address::FaxTarget,
    document::Document,
    plugin::{FaxPlugin, PluginCapability},
    sip::SipAdapter,
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::{
    conformance::{
        self, Failure,
        fax_plugin::{self, FaxFate, FaxPluginEnv, FaxPluginSetup},
        samples,
        sip_adapter::BadConfig,
    },
    server::asterisk::{CallScript, Flavour, MockAsterisk, Timings},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for (name, flavour) in [
        ("sip-fax over asterisk 16", Flavour::V16),
        ("sip-fax over asterisk 22", Flavour::V22),
    ] {
        cases.extend(fax_plugin::cases(Arc::new(Env { name, flavour })));
    }
    conformance::run(cases)
}

struct Env {
    name: &'static str,
    flavour: Flavour,
}

#[async_trait]
impl FaxPluginEnv for Env {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn capabilities(&self) -> Vec<PluginCapability> {
        vec![
            PluginCapability::SEND_FAX,
            PluginCapability::GET_STATUS,
            PluginCapability::CANCEL_FAX,
        ]
    }

    fn good_config(&self) -> Value {
        json!({ "options": { "station_id": "49 30 1", "ring_timeout": "30s" } })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        let config = json!({ "options": { "max_dials": 0, "t38": "maybe" } });
        vec![BadConfig::new(
            config,
            &["options.max_dials", "options.t38"],
        )]
    }

    async fn setup(&self) -> Result<Box<dyn FaxPluginSetup>, Failure> {
        let folder = tempfile::tempdir()?;
        let mock = MockAsterisk::builder()
            .flavour(self.flavour)
            .timings(Timings::quick())
            .start()
            .await?;
        let path = folder.path();
        let mut config =
            AsteriskConfig::from_url(&mock.url())?.with_spool(path, path.to_string_lossy());
        config.fax_poll = Duration::from_millis(20);
        let adapter = AsteriskAdapter::new(config);
        adapter.connect().await?;
        Ok(Box::new(Setup {
            mock: Arc::new(mock),
            adapter: Arc::new(adapter),
            folder,
            next: AtomicU32::new(0),
        }))
    }
}

struct Setup {
    mock: Arc<MockAsterisk>,
    adapter: Arc<AsteriskAdapter>,
    folder: TempDir,
    next: AtomicU32,
}

#[async_trait]
impl FaxPluginSetup for Setup {
    fn plugin(&self) -> Arc<dyn FaxPlugin> {
        Arc::new(SipFaxPlugin::new(self.adapter.clone()))
    }

    async fn target(&self, fate: FaxFate) -> Result<FaxTarget, Failure> {
        let number = format!("+4930{:07}", self.next.fetch_add(1, Ordering::Relaxed));
        let answer = CallScript::answer;
        let script = match fate {
            FaxFate::Arrives => answer(),
            FaxFate::Busy => CallScript::busy(),
            FaxFate::FailsAfterOnePage => {
                CallScript::fax_fails_after(1, "HANGUP", "The call dropped prematurely")
            }
            FaxFate::Endless | FaxFate::Unknown => answer().page_time(LONG),
            other => return Err(Failure::new(format!("no script for {other:?}"))),
        };
        self.mock.on_dial(&number, script);
        if fate == FaxFate::Unknown {
            // Asterisk dies in the fax, and nobody is left who knows.
            let mock = Arc::clone(&self.mock);
            tokio::spawn(async move {
                let runs = |mock: &MockAsterisk| (!mock.fax_pages().is_empty()).then_some(());
                if mock.wait_until(LONG, runs).await.is_some() {
                    mock.kill(Duration::from_millis(100));
                }
            });
        }
        Ok(number.parse()?)
    }

    fn submissions(&self) -> usize {
        self.mock.actions_named("Originate").len()
    }

    fn document(&self, pages: u32) -> Result<Document, Failure> {
        let path = self.folder.path().join(format!("letter-{pages}.tif"));
        std::fs::write(&path, samples::tiff(pages)?)?;
        Ok(Document::path(path))
    }
}
