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
    Error, ErrorKind,
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

/// Until the far end answers, and for a page.
const QUICK: Duration = Duration::from_millis(20);

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

    fn lacks(&self, fate: FaxFate) -> Option<String> {
        (fate == FaxFate::CallbackFirst).then(|| "no server calls back".to_owned())
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

    /// What arrives needs no script: those in the queue go to faxes in the order that they are dialled
    /// in, which is not that of their jobs.
    fn document(&self, pages: u32) -> Result<Document, Failure> {
        let fate = self.fate.lock().unwrap().take().unwrap_or(FaxFate::Arrives);
        let script = match fate {
            FaxFate::Arrives => None,
            FaxFate::Busy => Some(FaxScript::busy()),
            FaxFate::FailsAfterOnePage => Some(FaxScript::fails_after(1, FailureClass::CommError)),
            FaxFate::Endless => Some(FaxScript::endless()),
            FaxFate::Unknown => Some(FaxScript::unknown(0)),
            FaxFate::Found => Some(FaxScript::success(pages).with_lost_reply()),
            FaxFate::Refused => {
                let why = "the server refused";
                let error = Error::new(ErrorKind::Rejected, "send_fax", why);
                Some(FaxScript::refused(error))
            }
            FaxFate::Retried => Some(FaxScript::not_connected()),
            other => return Err(Failure::new(format!("no script for {other:?}"))),
        };
        self.adapter.set_pace(QUICK, QUICK);
        if let Some(mut script) = script {
            (script.ring, script.page) = (QUICK, QUICK);
            self.adapter.script(script);
        }
        let path = self.folder.path().join(format!("{pages}.tif"));
        std::fs::write(&path, samples::tiff(pages)?)?;
        Ok(Document::path(path))
    }
}
