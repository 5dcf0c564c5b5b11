//! Messages over SIP, by the real adapter and a mocked Asterisk.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Timestamp,
    address::Address,
    message::{MessageContent, MessageKind},
    plugin::{InboundQuery, MessagingPlugin, Plugin},
    sip::SipAdapter,
    webhook::InboundStore,
};
use faxbot_providers::sip_message::{ID, SipMessageConfig, SipMessagePlugin};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::{
    fixtures::private,
    server::asterisk::{Account, MockAsterisk, ReplyFault, Timings},
};
use serde_json::json;

use crate::{
    SPEED,
    cloud_wire_support::{Host, until},
    shown::{Shown, sentence},
};

pub(crate) async fn messages() -> Shown {
    let mut shown = Shown::default();
    let folder = tempfile::tempdir().unwrap();
    let mut host = Host::start(folder.path(), private::WEBHOOK_SECRET, SPEED).await;
    let mock = MockAsterisk::builder()
        .account(Account::new("faxbot", private::SECRET))
        .timings(Timings::quick())
        .start()
        .await
        .unwrap();
    let config = json!({
        "type": "asterisk", "host": "127.0.0.1", "port": mock.address().port(),
        "auth": { "username": "faxbot", "password": private::SECRET },
        "options": { "request_timeout": "2s" },
    });
    let config = AsteriskConfig::from_value(&config).unwrap();
    let adapter = Arc::new(AsteriskAdapter::new(config));
    adapter.connect().await.unwrap();
    let plugin = SipMessagePlugin::new(Arc::clone(&adapter) as Arc<dyn SipAdapter>);
    let from = format!("sip:{}@pbx.example", private::SIP_USER);
    let config = json!({ "options": { "from": from, "local_domains": ["127.0.0.1"] } });
    shown.result(&SipMessageConfig::from_value(&config));
    for (name, value) in [
        ("from", private::NUMBER),
        ("from", private::SECRET),
        ("max_bytes", private::SECRET),
        ("form", private::SECRET),
    ] {
        let config = json!({ "options": { name: value } });
        if let Err(errors) = plugin.validate_config(&config) {
            shown.error(&errors.into());
        }
    }
    plugin.start(config, host.deps()).await.unwrap();

    let text = || MessageContent::text(MessageKind::Sip, private::MESSAGE);
    let address = format!("sip:{}@127.0.0.1", private::SIP_USER);
    for fault in [
        None,
        Some(ReplyFault::Refuse(sentence())),
        Some(ReplyFault::Silent),
        Some(ReplyFault::Garbage(
            format!("Response: {}\r\n\r\n", sentence()).into(),
        )),
        Some(ReplyFault::DropBefore),
    ] {
        if let Some(fault) = fault {
            mock.next_reply("MessageSend", fault);
        }
        let to: Address = address.parse().unwrap();
        shown.debug(&to);
        let sent = plugin.send_message(to, text()).await;
        shown.result(&sent);
        let id = match &sent {
            Ok(sent) => sent.message_id.as_str(),
            Err(error) => error.message_id().unwrap_or_default(),
        };
        shown.result(&plugin.get_message_status(id).await);
        until(async || {
            adapter
                .health_check()
                .await
                .is_ok_and(|it| it.connected)
                .then_some(())
        })
        .await;
    }
    for content in [
        MessageContent::text(MessageKind::Sms, private::MESSAGE),
        MessageContent::text(MessageKind::Sip, private::MESSAGE.repeat(100_000)),
    ] {
        let to = private::NUMBER.parse().unwrap();
        shown.result(&plugin.send_message(to, content).await);
    }

    let sender = format!("\"{}\" <sip:1001@127.0.0.1>", private::CALLER_NAME);
    mock.message_in(&sender, private::MESSAGE);
    let page = until(async || {
        let page = host
            .inbound
            .messages(ID, &InboundQuery::new())
            .await
            .unwrap();
        (!page.items.is_empty()).then_some(page)
    })
    .await;
    shown.debug(&page);
    let conversations = plugin.list_conversations(10).await.unwrap();
    shown.debug(&conversations);
    for conversation in &conversations {
        shown.result(&plugin.send_reply(&conversation.id, text()).await);
    }
    shown.result(&plugin.health_check().await);
    plugin.stop().await.unwrap();
    for event in host.told() {
        shown.debug(&event);
    }
    shown.debug(&plugin);
    shown.debug(&adapter);
    let removed = host
        .inbound
        .remove_before(Timestamp::now() + Duration::from_secs(1))
        .await;
    shown.result(&removed);
    adapter.disconnect(Duration::from_secs(2)).await.unwrap();
    shown
}
