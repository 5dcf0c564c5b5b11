//! The conformance suite of messaging plugins, on the SIP message plugin: over a scripted adapter, and
//! over Asterisk 16 and 22 as mocked.
#![cfg(test)]

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use faxbot_core::{
    address::Address,
    message::{MessageKind, MessageState},
    plugin::{MessagingPlugin, PluginCapability},
    sip::{ConnectionState, SipAdapter},
};
use faxbot_providers::sip_message::SipMessagePlugin;
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, AsteriskConfig};
use faxbot_testkit::{
    conformance::{
        self, Failure, eventually,
        messaging_plugin::{self, MessageFate, MessagingPluginEnv, MessagingPluginSetup},
        sip_adapter::BadConfig,
    },
    fake::{FakeAdapter, MessageScript},
    server::asterisk::{Flavour, MockAsterisk, ReplyFault, Timings},
};
use serde_json::{Value, json};

/// How long a message without an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A late answer that is within that.
const LATE: Duration = Duration::from_millis(300);

/// The server's own host, whose users are its extensions.
const DOMAIN: &str = "127.0.0.1";

fn main() -> ExitCode {
    let mut cases = messaging_plugin::cases(Arc::new(Env {
        name: "sip-message",
        over: None,
    }));
    for (name, flavour) in [
        ("sip-message over asterisk 16", Flavour::V16),
        ("sip-message over asterisk 22", Flavour::V22),
    ] {
        let over = Some(flavour);
        cases.extend(messaging_plugin::cases(Arc::new(Env { name, over })));
    }
    conformance::run(cases)
}

struct Env {
    name: &'static str,
    /// The server; a scripted adapter when absent.
    over: Option<Flavour>,
}

#[async_trait]
impl MessagingPluginEnv for Env {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn capabilities(&self) -> Vec<PluginCapability> {
        vec![
            PluginCapability::SEND_MESSAGE,
            PluginCapability::GET_MESSAGE_STATUS,
            PluginCapability::LIST_CONVERSATIONS,
            PluginCapability::SEND_REPLY,
        ]
    }

    fn lacks(&self, fate: MessageFate) -> Option<String> {
        let why = match fate {
            MessageFate::Found => "no server finds a message again",
            MessageFate::Delivered | MessageFate::Late | MessageFate::Undeliverable
                if self.over.is_some() =>
            {
                "asterisk tells nothing of a message that it took"
            }
            _ => return None,
        };
        Some(why.to_owned())
    }

    fn good_config(&self) -> Value {
        json!({ "options": {
            "answer_timeout": PATIENCE.as_secs(), "local_domains": [DOMAIN], "max_bytes": 700,
        } })
    }

    fn bad_configs(&self) -> Vec<BadConfig> {
        let config =
            json!({ "options": { "from": "nobody at all", "max_bytes": 0, "max_open": "x" } });
        vec![BadConfig::new(
            config,
            &["options.from", "options.max_bytes", "options.max_open"],
        )]
    }

    fn kind(&self) -> MessageKind {
        MessageKind::Sip
    }

    fn too_long(&self) -> Option<String> {
        Some("ü".repeat(351))
    }

    async fn setup(&self) -> Result<Box<dyn MessagingPluginSetup>, Failure> {
        let next = AtomicU32::new(0);
        let Some(flavour) = self.over else {
            let adapter = FakeAdapter::new();
            return Ok(Box::new(Scripted { adapter, next }));
        };
        let mock = MockAsterisk::builder()
            .flavour(flavour)
            .timings(Timings::quick())
            .start()
            .await?;
        let adapter = AsteriskAdapter::new(AsteriskConfig::from_url(&mock.url())?);
        adapter.connect().await?;
        Ok(Box::new(Mocked {
            mock,
            adapter: Arc::new(adapter),
            next,
        }))
    }
}

/// A name that no id holds by chance.
fn station(next: &AtomicU32) -> Result<Address, Failure> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    Ok(format!("station-{number}").parse()?)
}

fn sender(from: &Address) -> String {
    format!("Somebody <sip:{}@{DOMAIN}>", from.expose())
}

struct Scripted {
    adapter: FakeAdapter,
    next: AtomicU32,
}

#[async_trait]
impl MessagingPluginSetup for Scripted {
    fn plugin(&self) -> Arc<dyn MessagingPlugin> {
        Arc::new(SipMessagePlugin::new(Arc::new(self.adapter.clone())))
    }

    async fn target(&self, fate: MessageFate) -> Result<Address, Failure> {
        let to = station(&self.next)?;
        let moment = Duration::from_millis(30);
        let sent = MessageScript::told(MessageState::Sent);
        let script = match fate {
            MessageFate::Delivered => sent
                .later(moment, MessageState::HandedOver)
                .later(2 * moment, MessageState::Delivered),
            MessageFate::HandedOver => MessageScript::taken(),
            MessageFate::Refused => MessageScript::rejected("488"),
            MessageFate::Undeliverable => sent.later(moment, MessageState::Failed),
            MessageFate::Unknown => MessageScript::lost_reply(),
            MessageFate::Late => sent
                .later(moment, MessageState::Delivered)
                .with_reply_after(PATIENCE + LATE),
            MessageFate::Slow => sent.with_reply_after(LATE),
            MessageFate::Offline => {
                self.adapter.set_connected(false);
                return Ok(to);
            }
            other => return Err(Failure::new(format!("no script for {other:?}"))),
        };
        self.adapter.script_messages_to(&to.expose(), script);
        Ok(to)
    }

    fn texts_to(&self, to: &Address) -> Vec<String> {
        let messages = self.adapter.messages().into_iter();
        let to_them = messages.filter(|message| message.to == *to);
        to_them.map(|message| message.content.text).collect()
    }

    fn submissions(&self) -> usize {
        self.adapter.messages().len()
    }

    async fn message_in(&self, from: &Address, text: &str) -> Result<(), Failure> {
        self.adapter.message_in(&sender(from), text);
        Ok(())
    }
}

struct Mocked {
    mock: MockAsterisk,
    adapter: Arc<AsteriskAdapter>,
    next: AtomicU32,
}

#[async_trait]
impl MessagingPluginSetup for Mocked {
    fn plugin(&self) -> Arc<dyn MessagingPlugin> {
        Arc::new(SipMessagePlugin::new(self.adapter.clone()))
    }

    async fn target(&self, fate: MessageFate) -> Result<Address, Failure> {
        let to = station(&self.next)?;
        match fate {
            MessageFate::HandedOver => {}
            MessageFate::Refused => self.mock.no_endpoint(&to.expose()),
            MessageFate::Unknown => self.mock.next_reply("MessageSend", ReplyFault::DropBefore),
            MessageFate::Slow => self.mock.next_reply("MessageSend", ReplyFault::Slow(LATE)),
            MessageFate::Offline => {
                self.mock.kill(Duration::from_secs(60));
                let gone = || self.adapter.connection().state != ConnectionState::Connected;
                eventually("the link is gone", PATIENCE, gone).await?;
            }
            other => return Err(Failure::new(format!("no script for {other:?}"))),
        }
        Ok(to)
    }

    fn texts_to(&self, to: &Address) -> Vec<String> {
        let destination = format!("pjsip:{}", to.expose());
        let asked = self.mock.actions_named("MessageSend").into_iter();
        let to_them = asked.filter(|action| action.get("To") == Some(&*destination));
        let text = |body: &str| String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
        to_them
            .map(|action| text(action.get("Base64Body").unwrap_or_default()))
            .collect()
    }

    fn submissions(&self) -> usize {
        self.mock.actions_named("MessageSend").len()
    }

    async fn message_in(&self, from: &Address, text: &str) -> Result<(), Failure> {
        self.mock.message_in(&sender(from), text);
        Ok(())
    }
}
