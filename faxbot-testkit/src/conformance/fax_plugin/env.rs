//! What an environment gives to the suite.

use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::{
    address::FaxTarget,
    document::Document,
    plugin::{FaxPlugin, PluginCapability, PluginDeps},
};
use serde_json::Value;

use crate::conformance::{Failure, samples, sip_adapter::BadConfig};

/// What becomes of the next fax to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaxFate {
    /// Every page is confirmed.
    Arrives,
    /// The line is busy.
    Busy,
    /// It breaks off when one page is confirmed.
    FailsAfterOnePage,
    /// It goes on until it is cancelled.
    Endless,
    /// The provider takes it, and nobody can say what became of it.
    Unknown,
}

/// Makes providers and plugins, and says what it cannot stage.
#[async_trait]
pub trait FaxPluginEnv: Send + Sync + 'static {
    /// What the cases are called after: `sip-fax`.
    fn name(&self) -> String;

    /// What the manifest names.
    fn capabilities(&self) -> Vec<PluginCapability>;

    /// Why the environment cannot stage this, if it cannot. By default it can do everything.
    fn lacks(&self, fate: FaxFate) -> Option<String> {
        let _ = fate;
        None
    }

    /// A configuration without a mistake.
    fn good_config(&self) -> Value;

    /// Configurations with several mistakes each.
    fn bad_configs(&self) -> Vec<BadConfig>;

    /// A fresh provider without faxes.
    ///
    /// # Errors
    /// When it cannot be started.
    ///
    /// # Cancel safety
    /// What was started ends with the future.
    async fn setup(&self) -> Result<Box<dyn FaxPluginSetup>, Failure>;
}

/// One provider for one case. Dropping it ends the provider.
#[async_trait]
pub trait FaxPluginSetup: Send + Sync {
    /// A new plugin for this provider, not started.
    fn plugin(&self) -> Arc<dyn FaxPlugin>;

    /// Adds what the plugin needs to its dependencies.
    fn deps(&self, deps: PluginDeps) -> PluginDeps {
        deps
    }

    /// A target whose next fax has this fate.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    async fn target(&self, fate: FaxFate) -> Result<FaxTarget, Failure>;

    /// Faxes that the provider was asked to send so far, tries counted one by one.
    fn submissions(&self) -> usize;

    /// A document of so many pages.
    ///
    /// # Errors
    /// When it cannot be made.
    fn document(&self, pages: u32) -> Result<Document, Failure> {
        Ok(Document::bytes(samples::tiff(pages)?))
    }
}
