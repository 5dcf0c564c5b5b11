//! A plugin that implements only what is required, seen through the traits as a host sees it.
#![cfg(test)]

use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::{
    ErrorKind, Result, Timestamp,
    address::{Address, FaxTarget},
    config::ConfigErrors,
    document::Document,
    fax::JobStatus,
    http::HttpClient,
    id::JobId,
    message::{MessageContent, MessageKind, MessageResult},
    plugin::{
        CancelOutcome, FaxPlugin, InboundQuery, Manifest, MessagingPlugin, Plugin,
        PluginCapability, PluginCondition, PluginDeps, PluginHealth, SendOptions, SendResult,
        StatusResult,
    },
    webhook::{WebhookHandler, WebhookRequest},
};
use serde_json::Value;

struct Least(Manifest);

impl Least {
    fn new() -> Self {
        Self(Manifest::new(
            "least".parse().unwrap(),
            "Least",
            &["outbound"],
            &[PluginCapability::SEND_FAX, PluginCapability::GET_STATUS],
        ))
    }
}

impl WebhookHandler for Least {}

#[async_trait]
impl Plugin for Least {
    fn manifest(&self) -> &Manifest {
        &self.0
    }

    fn validate_config(&self, _: &Value) -> Result<(), ConfigErrors> {
        Ok(())
    }

    async fn start(&self, _: Value, _: PluginDeps) -> Result<()> {
        Ok(())
    }

    async fn stop(&self) -> Result<()> {
        Ok(())
    }

    async fn health_check(&self) -> Result<PluginHealth> {
        Ok(PluginHealth::new(
            PluginCondition::Unknown,
            Timestamp::UNIX_EPOCH,
        ))
    }
}

#[async_trait]
impl FaxPlugin for Least {
    async fn send_fax(
        &self,
        _: FaxTarget,
        _: Document,
        options: SendOptions,
    ) -> Result<SendResult> {
        Ok(SendResult::new(options.job_id, self.0.id.as_str()))
    }

    async fn get_status(&self, job_id: &JobId) -> Result<StatusResult> {
        Ok(StatusResult::new(job_id.clone(), JobStatus::Queued))
    }
}

#[async_trait]
impl MessagingPlugin for Least {
    async fn send_message(&self, _: Address, content: MessageContent) -> Result<MessageResult> {
        Ok(MessageResult::new("m-1", self.0.id.as_str(), content.kind))
    }
}

#[tokio::test]
async fn what_a_plugin_does_not_implement_is_unsupported() {
    let plugin: Arc<dyn FaxPlugin> = Arc::new(Least::new());
    let job = JobId::new();
    assert_eq!(
        plugin.cancel_fax(&job).await.unwrap(),
        CancelOutcome::Unsupported
    );
    let mut kinds = vec![
        plugin
            .list_inbound(InboundQuery::new())
            .await
            .unwrap_err()
            .kind(),
        plugin.get_inbound("in-1").await.unwrap_err().kind(),
        plugin
            .handle_webhook(WebhookRequest::new(http::Method::POST, "/"))
            .await
            .unwrap_err()
            .kind(),
    ];
    let plugin: Arc<dyn MessagingPlugin> = Arc::new(Least::new());
    let content = MessageContent::text(MessageKind::Sms, "hello");
    kinds.extend([
        plugin.get_message_status("m-1").await.unwrap_err().kind(),
        plugin.list_conversations(10).await.unwrap_err().kind(),
        plugin.send_reply("c-1", content).await.unwrap_err().kind(),
    ]);
    assert_eq!(kinds, [ErrorKind::Unsupported; 6]);
}

#[tokio::test]
async fn a_host_holds_every_role_as_a_plugin_and_as_a_webhook_handler() {
    let fax: Arc<dyn FaxPlugin> = Arc::new(Least::new());
    let plugin: Arc<dyn Plugin> = fax.clone();
    let _: Arc<dyn WebhookHandler> = plugin.clone();
    plugin
        .start(Value::Null, PluginDeps::current().unwrap())
        .await
        .unwrap();
    let options = SendOptions::new();
    let job = options.job_id.clone();
    let to = FaxTarget::try_from("+15550100123".parse::<Address>().unwrap()).unwrap();
    let document = Document::bytes(&b"%PDF-1.7"[..]);
    let sent = fax.send_fax(to, document, options).await.unwrap();
    assert_eq!((&sent.job_id, sent.backend.as_str()), (&job, "least"));
    assert_eq!(
        fax.get_status(&job).await.unwrap().status,
        JobStatus::Queued
    );
    assert_eq!(
        plugin.health_check().await.unwrap().status,
        PluginCondition::Unknown
    );
    plugin.stop().await.unwrap();
}

#[tokio::test]
async fn the_dependencies_show_no_content() {
    let deps = PluginDeps::current().unwrap();
    let text = format!("{deps:?}");
    assert!(
        text.contains("http: false") && text.contains("documents: false"),
        "{text}"
    );
    let _: Option<Arc<dyn HttpClient>> = deps.http;
}
