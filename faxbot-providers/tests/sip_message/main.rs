//! The SIP message plugin: over a scripted adapter on a paused clock, and over a mocked Asterisk.
#![cfg(test)]
#![cfg(feature = "sip-message")]

mod asterisk;
mod receive;
mod send;
mod soak;

use std::sync::Arc;

use faxbot_core::{
    Result,
    message::{Conversation, MessageContent, MessageKind, MessageResult, MessageState},
    plugin::{MessagingPlugin, Plugin, PluginDeps},
    task::TaskSet,
    webhook::InboundStore,
};
use faxbot_providers::sip_message::SipMessagePlugin;
use faxbot_testkit::fake::FakeAdapter;
use serde_json::{Value, json};

/// A plugin with what it works with.
pub(crate) struct Rig {
    pub(crate) adapter: FakeAdapter,
    pub(crate) plugin: SipMessagePlugin,
    pub(crate) deps: PluginDeps,
    pub(crate) config: Value,
}

impl Rig {
    /// With the configuration's defaults.
    pub(crate) async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// With these options.
    pub(crate) async fn with(options: Value) -> Self {
        Self::over(FakeAdapter::new(), options).await
    }

    /// Over this adapter.
    pub(crate) async fn over(adapter: FakeAdapter, options: Value) -> Self {
        Self::started(adapter, options, PluginDeps::current().unwrap()).await
    }

    /// With a store of received messages.
    pub(crate) async fn storing(store: Arc<dyn InboundStore>, options: Value) -> Self {
        let deps = PluginDeps::current().unwrap().with_inbound(store);
        Self::started(FakeAdapter::new(), options, deps).await
    }

    async fn started(adapter: FakeAdapter, options: Value, deps: PluginDeps) -> Self {
        let rig = Self {
            plugin: SipMessagePlugin::new(Arc::new(adapter.clone())),
            adapter,
            deps,
            config: json!({ "options": options }),
        };
        let start = rig.plugin.start(rig.config.clone(), rig.deps.clone());
        start.await.unwrap();
        rig
    }

    /// Starts again after a stop.
    pub(crate) async fn restart(&self) {
        let mut deps = self.deps.clone();
        deps.tasks = TaskSet::current("start").unwrap();
        self.plugin.start(self.config.clone(), deps).await.unwrap();
    }

    pub(crate) async fn send(&self, to: &str, words: &str) -> Result<MessageResult> {
        let to = to.parse().unwrap();
        self.plugin.send_message(to, text(words)).await
    }

    pub(crate) async fn status(&self, id: &str) -> MessageState {
        let status = self.plugin.get_message_status(id).await.unwrap();
        assert_eq!(status.message_id, id);
        assert_eq!(status.kind, Some(MessageKind::Sip));
        status.status
    }

    pub(crate) async fn conversations(&self) -> Vec<Conversation> {
        self.plugin.list_conversations(100).await.unwrap()
    }

    /// A figure of the health.
    pub(crate) async fn figure(&self, name: &str) -> u64 {
        let health = self.plugin.health_check().await.unwrap();
        health.detail.unwrap()[name].as_u64().unwrap()
    }
}

pub(crate) fn text(words: &str) -> MessageContent {
    MessageContent::text(MessageKind::Sip, words)
}

/// Lets every task run until it waits for time or for somebody else.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
