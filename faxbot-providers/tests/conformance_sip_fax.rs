//! The conformance suite of fax plugins, on the SIP fax plugin over a scripted adapter.
#![cfg(test)]

use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use faxbot_core::{
    address::FaxTarget,
    document::Document,
    fax::FailureClass,
    plugin::{FaxPlugin, PluginCapability},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::{
    conformance::{
        self, Failure,
        fax_plugin::{self, FaxFate, FaxPluginEnv, FaxPluginSetup},
        samples,
        sip_adapter::BadConfig,
    },
    fake::{FakeAdapter, FaxScript},
};
use serde_json::{Value, json};
use tempfile::TempDir;

fn main() -> ExitCode {
    conformance::run(fax_plugin::cases(Arc::new(Env)))
}

struct Env;

#[async_trait]
impl FaxPluginEnv for Env {
    fn name(&self) -> String {
        "sip-fax".to_owned()
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
        let config =
            json!({ "options": { "max_rate": 1, "resolution": "sharp", "ecm": "perhaps" } });
        vec![BadConfig::new(
            config,
            &["options.max_rate", "options.resolution", "options.ecm"],
        )]
    }

    async fn setup(&self) -> Result<Box<dyn FaxPluginSetup>, Failure> {
        Ok(Box::new(Setup {
            adapter: FakeAdapter::new(),
            folder: tempfile::tempdir()?,
            next: AtomicU32::new(0),
            fate: Mutex::new(None),
        }))
    }
}

struct Setup {
    adapter: FakeAdapter,
    folder: TempDir,
    next: AtomicU32,
    /// Of the fax that is sent next.
    fate: Mutex<Option<FaxFate>>,
}

#[async_trait]
impl FaxPluginSetup for Setup {
    fn plugin(&self) -> Arc<dyn FaxPlugin> {
        Arc::new(SipFaxPlugin::new(Arc::new(self.adapter.clone())))
    }

    async fn target(&self, fate: FaxFate) -> Result<FaxTarget, Failure> {
        *self.fate.lock().unwrap() = Some(fate);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok(format!("+4930{number:07}").parse()?)
    }

    fn submissions(&self) -> usize {
        self.adapter.requests().len()
    }

    /// The scripts are in a queue and know their pages: staged here, where both are known.
    fn document(&self, pages: u32) -> Result<Document, Failure> {
        let fate = self.fate.lock().unwrap().take().unwrap_or(FaxFate::Arrives);
        let script = match fate {
            FaxFate::Arrives => FaxScript::success(pages),
            FaxFate::Busy => FaxScript::busy(),
            FaxFate::FailsAfterOnePage => FaxScript::fails_after(1, FailureClass::CommError),
            FaxFate::Endless => FaxScript::endless(),
            FaxFate::Unknown => FaxScript::unknown(0),
            other => return Err(Failure::new(format!("no script for {other:?}"))),
        };
        let rest = FaxScript::success(pages.saturating_sub(1));
        let resumes = fate == FaxFate::FailsAfterOnePage;
        for mut script in std::iter::once(script).chain(resumes.then_some(rest)) {
            script.ring = Duration::from_millis(20);
            script.page = Duration::from_millis(20);
            self.adapter.script(script);
        }
        let path = self.folder.path().join(format!("{pages}.tif"));
        std::fs::write(&path, samples::tiff(pages)?)?;
        Ok(Document::path(path))
    }
}
