//! What the message plugin logs, and what its types show. Alone in its program: a subscriber counts
//! for all threads of one.
#![cfg(test)]
#![cfg(feature = "sip-message")]

use std::{fmt::Write as _, sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind,
    message::{MessageContent, MessageKind, MessageState},
    plugin::{MessagingPlugin, Plugin, PluginDeps},
    sip::{RawEvent, SipEvent},
};
use faxbot_providers::sip_message::SipMessagePlugin;
use faxbot_testkit::{
    fake::{FakeAdapter, MessageScript},
    fixtures::private,
    logs::{self, Capture},
};
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn no_log_no_error_and_no_debug_form_shows_a_number_a_name_or_a_text() {
    let capture = Capture::global().expect("the first subscriber of this process");
    let adapter = FakeAdapter::new();
    let plugin = SipMessagePlugin::new(Arc::new(adapter.clone()));
    let deps = PluginDeps::current().unwrap();
    let mut events = deps.events.subscribe();
    let sender = format!("sip:{}@pbx.example", private::SIP_USER);
    let config = json!({"options": {"from": sender, "local_domains": ["pbx.example"]}});
    plugin.start(config, deps).await.unwrap();
    let mut shown = String::new();
    let words = Error::new(ErrorKind::Rejected, "send_message", "refused").with_native(
        Some("603".to_owned()),
        Some(format!("not to {}", private::NUMBER)),
    );
    for script in [
        MessageScript::told(MessageState::Sent).later(Duration::from_secs(1), MessageState::Failed),
        MessageScript::error(words),
        MessageScript::lost_reply(),
        MessageScript::hangs(),
    ] {
        adapter.script_messages_to(private::NUMBER, script);
        let content = MessageContent::text(MessageKind::Sip, private::MESSAGE);
        let to = private::NUMBER.parse().unwrap();
        let answer = plugin.send_message(to, content).await;
        if let Err(error) = &answer {
            let source = std::error::Error::source(error);
            write!(shown, "{error} {error:?} {source:?}").unwrap();
        }
        write!(shown, "{answer:?}").unwrap();
    }
    let from = format!("\"{}\" <sip:{}@h>", private::CALLER_NAME, private::CALLER);
    adapter.message_in(&from, private::MESSAGE);
    for _ in 0..3000 {
        adapter.publish(SipEvent::Raw(RawEvent::new("Noise", Vec::new())));
    }
    adapter.message_in(&from, private::MESSAGE);
    tokio::time::sleep(Duration::from_secs(5)).await;
    while let Some(event) = events.try_recv() {
        write!(shown, "{event:?}").unwrap();
    }
    let conversations = plugin.list_conversations(10).await.unwrap();
    assert_eq!(conversations.len(), 2);
    let reply = MessageContent::text(MessageKind::Sip, private::MESSAGE);
    let reply = plugin.send_reply(&conversations[0].id, reply).await;
    let health = plugin.health_check().await;
    write!(
        shown,
        "{conversations:?} {reply:?} {health:?} {plugin:?} {adapter:?}"
    )
    .unwrap();
    plugin.stop().await.unwrap();
    let logged = capture.text();
    assert!(logged.contains("does not answer a message"), "{logged}");
    assert!(logged.contains("were lost"), "{logged}");
    assert_eq!(logs::leaks(&logged), Vec::<&str>::new());
    assert_eq!(logs::leaks(&shown), Vec::<&str>::new());
}
