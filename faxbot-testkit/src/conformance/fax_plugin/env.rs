//! What an environment gives to the suite.

use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::{
    address::FaxTarget,
    document::Document,
    id::JobId,
    plugin::{FaxPlugin, PluginCapability, PluginDeps},
    webhook::WebhookRequest,
};
use serde_json::Value;

use crate::conformance::{Failure, VendorWebhooks, samples, sip_adapter::BadConfig};

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
    /// The provider takes it, its answer is lost, and it can be found again by the job's id. It arrives.
    Found,
    /// The provider refuses it, and sends nothing.
    Refused,
    /// The provider is not reached, or takes no requests for a moment, and then it arrives.
    Retried,
    /// The provider calls back with the end before it answers the request. It arrives.
    CallbackFirst,
}

impl FaxFate {
    /// Whether an environment stages it unless it says otherwise.
    fn is_basic(self) -> bool {
        matches!(
            self,
            Self::Arrives | Self::Busy | Self::FailsAfterOnePage | Self::Endless | Self::Unknown
        )
    }
}

/// Who dials a fax again that did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Redials {
    /// The plugin, by the job's policy.
    Plugin,
    /// The provider, by itself: the plugin submits a job once.
    Provider,
}

/// Makes providers and plugins, and says what it cannot stage.
#[async_trait]
pub trait FaxPluginEnv: Send + Sync + 'static {
    /// What the cases are called after: `sip-fax`.
    fn name(&self) -> String;

    /// What the manifest names.
    fn capabilities(&self) -> Vec<PluginCapability>;

    /// Why the manifest does not name this: what the provider is like.
    fn why_not(&self, capability: &PluginCapability) -> String {
        format!("{} is not in the manifest", capability.as_str())
    }

    /// Why the environment cannot stage this, if it cannot. By default it can stage the first five
    /// fates, and none of those that joined later.
    fn lacks(&self, fate: FaxFate) -> Option<String> {
        (!fate.is_basic()).then(|| format!("the environment does not stage {fate:?}"))
    }

    /// Who dials again.
    fn redials(&self) -> Redials {
        Redials::Plugin
    }

    /// Why no fax can be made to come in, if so. Of no account for a plugin whose manifest lists none.
    fn lacks_inbound(&self) -> Option<String> {
        Some("the environment lets no fax come in".to_owned())
    }

    /// Why no webhook can be made, if so. Of no account for a plugin whose manifest names none.
    fn lacks_webhooks(&self) -> Option<String> {
        Some("the environment makes no webhooks".to_owned())
    }

    /// Whether the vendor signs what it tells. Of one that does not, callbacks are staged that lie:
    /// [`FaxWebhooks::forged`].
    fn signs(&self) -> bool {
        true
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

    /// Adds what only this provider knows, such as its address, to a good configuration.
    fn config(&self, config: Value) -> Value {
        config
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

    /// A fax of so many pages comes in at the provider, which tells nobody. Gives the id by which the
    /// plugin lists and gets it. Later ones are newer.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The provider may have the fax.
    async fn fax_in(&self, pages: u32) -> Result<String, Failure> {
        let _ = pages;
        Err(Failure::new("the environment lets no fax come in"))
    }

    /// The vendor's webhooks, where it has some. From the first call on the suite alone delivers them.
    fn webhooks(&self) -> Option<Arc<dyn FaxWebhooks>> {
        None
    }
}

/// The webhooks of a fax vendor.
#[async_trait]
pub trait FaxWebhooks: VendorWebhooks {
    /// Drives a fax that the plugin sent with [`FaxFate::Arrives`] to its end at the vendor, and gives
    /// every callback that the vendor makes of it, in its order.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The fax may be at its end.
    async fn statuses(&self, job: &JobId) -> Result<Vec<WebhookRequest>, Failure>;

    /// A fax of so many pages comes in: the id that the plugin knows it by, and the callback that the
    /// vendor makes of it. The vendor has the fax and can be asked for it.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The vendor may have the fax.
    async fn received(&self, pages: u32) -> Result<(String, WebhookRequest), Failure>;

    /// Callbacks that prove no more than the vendor's own, and lie: of the fax of this job, which is not
    /// over at the vendor, that it arrived; of a fax that never came in, that it did. Each with what it
    /// says.
    fn forged(&self, job: &JobId) -> Vec<(String, WebhookRequest)> {
        let _ = job;
        Vec::new()
    }
}
