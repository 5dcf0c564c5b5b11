//! What an environment gives to the suite.

use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::{
    address::Address,
    message::MessageKind,
    plugin::{MessagingPlugin, PluginCapability, PluginDeps},
    webhook::WebhookRequest,
};
use serde_json::Value;

use crate::conformance::{Failure, VendorWebhooks, sip_adapter::BadConfig};

/// What becomes of every message to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageFate {
    /// The provider takes it and tells that the receiver's device has it.
    Delivered,
    /// The provider takes it and never says more.
    HandedOver,
    /// The provider refuses it, and has not sent it.
    Refused,
    /// The provider takes it and tells that it does not arrive.
    Undeliverable,
    /// The provider takes it, its answer is lost, and it cannot be found again.
    Unknown,
    /// The provider takes it, its answer is lost, and it can be found again by our reference.
    Found,
    /// The provider takes it, its answer is lost or too late, and later it tells that the receiver's
    /// device has it.
    Late,
    /// The provider takes it and answers late, but within the plugin's patience.
    Slow,
    /// The provider cannot be reached: nothing gets to it.
    Offline,
}

/// Makes providers and plugins, and says what it cannot stage.
#[async_trait]
pub trait MessagingPluginEnv: Send + Sync + 'static {
    /// What the cases are called after: `sip-message`.
    fn name(&self) -> String;

    /// What the manifest names.
    fn capabilities(&self) -> Vec<PluginCapability>;

    /// Why the manifest does not name this: what the provider is like.
    fn why_not(&self, capability: &PluginCapability) -> String {
        format!("{} is not in the manifest", capability.as_str())
    }

    /// Why the environment cannot stage this, if it cannot. By default it can do everything. Each
    /// environment stages [`MessageFate::Delivered`] or [`MessageFate::HandedOver`].
    fn lacks(&self, fate: MessageFate) -> Option<String> {
        let _ = fate;
        None
    }

    /// Why no message can be made to come in, if so.
    fn lacks_inbound(&self) -> Option<String> {
        None
    }

    /// Why no webhook can be made, if so. Of no account for a plugin whose manifest names none.
    fn lacks_webhooks(&self) -> Option<String> {
        Some("the environment makes no webhooks".to_owned())
    }

    /// Whether the vendor signs what it tells. Of one that does not, callbacks are staged that lie:
    /// [`MessageWebhooks::forged`].
    fn signs(&self) -> bool {
        true
    }

    /// A configuration without a mistake.
    fn good_config(&self) -> Value;

    /// Configurations with several mistakes each.
    fn bad_configs(&self) -> Vec<BadConfig>;

    /// The kind of message that the plugin sends.
    fn kind(&self) -> MessageKind;

    /// Texts with the parts that each is cut into.
    fn segments(&self) -> Vec<(String, u32)> {
        vec![("one".to_owned(), 1)]
    }

    /// A text that is too long, where there is a limit.
    fn too_long(&self) -> Option<String> {
        None
    }

    /// Whether the plugin carries media.
    fn carries_media(&self) -> bool {
        false
    }

    /// A fresh provider without messages.
    ///
    /// # Errors
    /// When it cannot be started.
    ///
    /// # Cancel safety
    /// What was started ends with the future.
    async fn setup(&self) -> Result<Box<dyn MessagingPluginSetup>, Failure>;
}

/// One provider for one case. Dropping it ends the provider.
#[async_trait]
pub trait MessagingPluginSetup: Send + Sync {
    /// A new plugin for this provider, not started.
    fn plugin(&self) -> Arc<dyn MessagingPlugin>;

    /// Adds what the plugin needs to its dependencies.
    fn deps(&self, deps: PluginDeps) -> PluginDeps {
        deps
    }

    /// Adds what only this provider knows, such as its address, to a good configuration.
    fn config(&self, config: Value) -> Value {
        config
    }

    /// A target of its own whose messages have this fate.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    async fn target(&self, fate: MessageFate) -> Result<Address, Failure>;

    /// The texts that the provider was asked to send to a target, in their order, every try counted,
    /// refused ones too.
    fn texts_to(&self, to: &Address) -> Vec<String>;

    /// Messages that the provider was asked to send so far, every try counted.
    fn submissions(&self) -> usize;

    /// Somebody sends us a text, and the provider tells the plugin.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The message may have come in.
    async fn message_in(&self, from: &Address, text: &str) -> Result<(), Failure> {
        let _ = (from, text);
        Err(Failure::new("the environment lets no message come in"))
    }

    /// The vendor's webhooks, where it has some. From the first call on the suite alone delivers them.
    fn webhooks(&self) -> Option<Arc<dyn MessageWebhooks>> {
        None
    }
}

/// The webhooks of a messaging vendor.
#[async_trait]
pub trait MessageWebhooks: VendorWebhooks {
    /// Drives a message that the plugin sent to its end at the vendor, and gives every callback that the
    /// vendor makes of it, in its order.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The message may be at its end.
    async fn statuses(&self, message_id: &str) -> Result<Vec<WebhookRequest>, Failure>;

    /// Somebody sends us a text: the callback that the vendor makes of it. The vendor has the message
    /// and can be asked for it.
    ///
    /// # Errors
    /// When it cannot be staged.
    ///
    /// # Cancel safety
    /// The vendor may have the message.
    async fn received(&self, from: &Address, text: &str) -> Result<WebhookRequest, Failure>;

    /// Callbacks that prove no more than the vendor's own, and lie: of this message, which has no end at
    /// the vendor, that it arrived or failed; of a message that never came in, that it did. Each with
    /// what it says.
    fn forged(&self, message_id: &str) -> Vec<(String, WebhookRequest)> {
        let _ = message_id;
        Vec::new()
    }
}
