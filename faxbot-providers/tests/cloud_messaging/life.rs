//! Start, stop, configuration and health.

use std::sync::Arc;

use faxbot_core::{
    ErrorKind,
    message::{MessageContent, MessageKind},
    plugin::{MessagingPlugin, Plugin, PluginCapability, PluginCondition, PluginDeps},
    webhook::WebhookHandler,
};
use serde_json::json;

use super::{AcmePlugin, Bench, THEIRS, inbound, inbound_call, pause, vendor::Act};

#[tokio::test(start_paused = true)]
async fn only_a_started_plugin_works() {
    let mut bench = Bench::idle(json!({})).await;
    let now = bench.now();
    let call = || inbound_call(&inbound("in-1", THEIRS, "x", now));
    for round in 0..2 {
        let plugin = &bench.plugin;
        let content = || MessageContent::text(MessageKind::Sms, "x");
        let errors = [
            bench.send().await.err(),
            plugin.get_message_status("acme-1").await.err(),
            plugin.list_conversations(1).await.err(),
            plugin.send_reply("x", content()).await.err(),
            plugin.handle_webhook(call()).await.err(),
        ];
        for error in errors {
            assert_eq!(
                error.map(|error| error.kind()),
                Some(ErrorKind::InvalidState)
            );
        }
        let health = plugin.health_check().await.unwrap();
        assert_eq!(health.status, PluginCondition::Unknown);
        plugin.stop().await.unwrap();
        if round == 0 {
            bench.start().await;
            bench.plugin.stop().await.unwrap();
        }
    }
    assert_eq!(bench.submissions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_second_start_and_a_second_stop_do_nothing() {
    let mut bench = Bench::new().await;
    let again = bench.plugin.start(bench.config.clone(), bench.deps()).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::InvalidState);
    bench.send().await.unwrap();
    bench.plugin.stop().await.unwrap();
    bench.plugin.stop().await.unwrap();
    bench.start().await;
    bench.send().await.unwrap();
    assert_eq!(bench.submissions(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_leaves_no_task() {
    let bench = Bench::idle(json!({})).await;
    let deps = bench.deps();
    let tasks = deps.tasks.clone();
    bench
        .plugin
        .start(bench.config.clone(), deps)
        .await
        .unwrap();
    bench.send().await.unwrap();
    assert!(!tasks.is_empty());
    bench.plugin.stop().await.unwrap();
    assert!(tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_start_tells_what_is_missing() {
    let bench = Bench::idle(json!({})).await;
    let start = bench
        .plugin
        .start(bench.config.clone(), PluginDeps::current().unwrap());
    assert_eq!(start.await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    let bad = json!({"options": {"vendor": "x", "poll_min": "2s", "poll_max": "1s", "polll": 1}});
    let error = bench
        .plugin
        .start(bad.clone(), bench.deps())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.config_errors().unwrap().iter().count(), 3);
    assert_eq!(
        bench
            .plugin
            .validate_config(&bad)
            .unwrap_err()
            .iter()
            .count(),
        3
    );
    bench.plugin.validate_config(&bench.config).unwrap();
    // None of that started it.
    assert_eq!(
        bench.send().await.unwrap_err().kind(),
        ErrorKind::InvalidState
    );
}

#[test]
fn the_manifest_names_what_it_can_do() {
    let plugin = AcmePlugin::new();
    for capability in [
        PluginCapability::SEND_MESSAGE,
        PluginCapability::HANDLE_WEBHOOK,
        PluginCapability::RECEIVE_WEBHOOK,
    ] {
        assert!(plugin.manifest().can(&capability));
    }
    assert!(!format!("{plugin:?}").is_empty());
}

#[tokio::test(start_paused = true)]
async fn health_is_how_the_vendor_answered_last() {
    let bench = Bench::with(json!({"inbound_poll": 0})).await;
    let condition = async || bench.plugin.health_check().await.unwrap().status;
    assert_eq!(condition().await, PluginCondition::Unknown);
    for (act, expected) in [
        (Act::Take, PluginCondition::Healthy),
        (Act::Refuse(ErrorKind::Rejected), PluginCondition::Healthy),
        (
            Act::Refuse(ErrorKind::NotConnected),
            PluginCondition::Degraded,
        ),
        (
            Act::Refuse(ErrorKind::Authentication),
            PluginCondition::Critical,
        ),
        (Act::Take, PluginCondition::Healthy),
    ] {
        bench.vendor.world().script.push_back(act.clone());
        let _ = bench.send().await;
        assert_eq!(condition().await, expected, "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn webhooks_without_a_public_url_prove_nothing() {
    let bench = Bench::idle(json!({})).await;
    let mut deps = bench.deps();
    deps.webhooks = None;
    bench
        .plugin
        .start(bench.config.clone(), deps)
        .await
        .unwrap();
    let message = inbound("in-1", THEIRS, "x", bench.now());
    assert_eq!(bench.call(inbound_call(&message)).await.status, 401);
    // It is found all the same.
    bench.vendor.world().inbox.push(message);
    pause(400).await;
    assert_eq!(bench.stored().await.len(), 1);
    assert_eq!(Arc::strong_count(&bench.vendor), 3);
}
