//! The plugin over the real adapter and a mocked Asterisk, over sockets.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Effect, ErrorKind,
    event::EventStream,
    message::{InboundMessage, MessageState},
    plugin::{MessagingPlugin, Plugin, PluginDeps, PluginEvent},
    sip::{ConnectionState, SipAdapter},
};
use faxbot_providers::sip_message::SipMessagePlugin;
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::{
    conformance::eventually,
    fixtures::private,
    server::asterisk::{Flavour, MockAsterisk, ReplyFault, Timings},
};
use serde_json::json;

use crate::text;

const WITHIN: Duration = Duration::from_secs(20);

struct Office {
    mock: MockAsterisk,
    adapter: Arc<AsteriskAdapter>,
    plugin: SipMessagePlugin,
    events: EventStream<PluginEvent>,
}

async fn office(flavour: Flavour) -> Office {
    let mock = MockAsterisk::builder()
        .flavour(flavour)
        .timings(Timings::quick())
        .start()
        .await
        .unwrap();
    let config = AsteriskConfig::from_url(&mock.url()).unwrap();
    let adapter = Arc::new(AsteriskAdapter::new(config));
    adapter.connect().await.unwrap();
    let plugin = SipMessagePlugin::new(adapter.clone());
    let deps = PluginDeps::current().unwrap();
    let events = deps.events.subscribe();
    let config = json!({"options": {
        "from": "sip:desk@pbx.example", "local_domains": ["127.0.0.1"],
    }});
    plugin.start(config, deps).await.unwrap();
    Office {
        mock,
        adapter,
        plugin,
        events,
    }
}

impl Office {
    async fn received(&mut self) -> InboundMessage {
        let next = async {
            loop {
                if let PluginEvent::MessageReceived(message) =
                    self.events.recv().await.unwrap().unwrap().event
                {
                    return message;
                }
            }
        };
        tokio::time::timeout(WITHIN, next).await.unwrap()
    }

    async fn state(&self, id: &str) -> MessageState {
        self.plugin.get_message_status(id).await.unwrap().status
    }

    async fn figure(&self, name: &str) -> u64 {
        let health = self.plugin.health_check().await.unwrap();
        health.detail.unwrap()[name].as_u64().unwrap()
    }
}

#[tokio::test]
async fn a_talk_goes_both_ways() {
    for flavour in [Flavour::V16, Flavour::V22] {
        let mut office = office(flavour).await;
        let to = "1001".parse().unwrap();
        let question = format!("{}\r\nÜ: \"yes\"; Action: Logoff", private::MESSAGE);
        let send = office.plugin.send_message(to, text(&question));
        let sent = send.await.unwrap();
        let at_the_server = office.mock.messages_sent().pop().unwrap();
        assert_eq!(at_the_server.destination, "pjsip:1001");
        assert_eq!(at_the_server.from, "sip:desk@pbx.example");
        assert_eq!(at_the_server.body, question);
        assert_eq!(
            office.state(&sent.message_id).await,
            MessageState::HandedOver
        );
        let sender = format!("{} <sip:1001@127.0.0.1>", private::CALLER_NAME);
        office.mock.message_in(&sender, "yes,\r\nat 4");
        let message = office.received().await;
        assert_eq!(message.content.text, "yes,\r\nat 4");
        let conversations = office.plugin.list_conversations(10).await.unwrap();
        assert_eq!(conversations.len(), 1);
        assert_eq!(conversations[0].id, message.conversation_id);
        let reply = office
            .plugin
            .send_reply(&message.conversation_id, text("fine"));
        reply.await.unwrap();
        let at_the_server = office.mock.messages_sent().pop().unwrap();
        assert_eq!(at_the_server.destination, "pjsip:1001");
        office.plugin.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_link_that_drops_before_the_answer_leaves_the_outcome_unknown() {
    let office = office(Flavour::V22).await;
    office
        .mock
        .next_reply("MessageSend", ReplyFault::DropBefore);
    let to = "1001".parse().unwrap();
    let send = office.plugin.send_message(to, text("hello"));
    let error = tokio::time::timeout(WITHIN, send).await.unwrap();
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    let id = error.message_id().unwrap();
    assert_eq!(office.state(id).await, MessageState::OutcomeUnknown);
    let back = || office.adapter.connection().state == ConnectionState::Connected;
    eventually("the link is back", WITHIN, back).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(office.mock.actions_named("MessageSend").len(), 1);
}

#[tokio::test]
async fn a_refusal_is_failed_and_what_the_server_cannot_carry_is_not_sent() {
    let office = office(Flavour::V22).await;
    office.mock.no_endpoint("1002");
    let to = "1002".parse().unwrap();
    let refused = office.plugin.send_message(to, text("hello")).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let id = error.message_id().unwrap();
    assert_eq!(office.state(id).await, MessageState::Failed);
    // Within our limit and above the server's; and an address without `sip_message_to`.
    for (to, words) in [("1001", "x".repeat(1000)), ("sip:a@h", "hello".to_owned())] {
        let send = office
            .plugin
            .send_message(to.parse().unwrap(), text(&words));
        let error = send.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
        assert_eq!(error.effect(), Effect::NoEffect);
    }
    assert_eq!(office.mock.actions_named("MessageSend").len(), 1);
}

#[tokio::test]
async fn a_time_without_a_server_is_counted_and_sends_nothing() {
    let office = office(Flavour::V22).await;
    office.mock.kill(Duration::from_millis(500));
    let gone = || office.adapter.connection().state != ConnectionState::Connected;
    eventually("the link is gone", WITHIN, gone).await.unwrap();
    let to = "1001".parse().unwrap();
    let refused = office.plugin.send_message(to, text("hello")).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.is_retryable());
    let back = || office.adapter.connection().state == ConnectionState::Connected;
    eventually("the link is back", WITHIN, back).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(office.figure("gaps").await, 1);
    let to = "1001".parse().unwrap();
    office.plugin.send_message(to, text("again")).await.unwrap();
    assert_eq!(office.mock.messages_sent().len(), 1);
}
