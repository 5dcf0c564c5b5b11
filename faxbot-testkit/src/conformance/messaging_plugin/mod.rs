//! What every [`MessagingPlugin`] owes, whatever provider it drives.

mod content;
mod conversation;
mod env;
mod life;
mod message;
mod webhook;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use faxbot_core::{
    Error,
    address::Address,
    event::{EventBus, EventStream},
    message::{InboundMessage, MessageContent, MessageResult, MessageState, MessageStatus},
    plugin::{InboundQuery, MessagingPlugin, PluginCapability, PluginDeps, PluginEvent},
    task::TaskSet,
    webhook::{InboundStore, MemoryInboundStore},
};

pub use env::{MessageFate, MessageWebhooks, MessagingPluginEnv, MessagingPluginSetup};

use super::{
    Case, Failure, Verdict, ensure,
    expect::{error_of, kind_is, names_an_unknown_key},
    within,
};

/// Enough for a message of a mocked provider.
const SOON: Duration = Duration::from_secs(20);

/// How often a status is asked for.
const LOOK: Duration = Duration::from_millis(10);

/// How long is waited for something that must not happen.
const QUIET: Duration = Duration::from_millis(300);

type Body = fn(World) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// What a case needs besides a provider.
#[derive(Clone, Copy)]
enum Need {
    Fate(MessageFate),
    Can(fn() -> PluginCapability),
    Inbound,
    Webhooks,
    /// Webhooks that the vendor does not sign.
    Unsigned,
}

/// A case with what it needs.
struct Entry {
    name: &'static str,
    needs: Vec<Need>,
    body: Body,
}

/// `entry!("name", [needs], function)`.
macro_rules! entry {
    ($name:literal, [$($need:expr),*], $body:path) => {
        $crate::conformance::messaging_plugin::Entry {
            name: $name,
            needs: vec![$($need),*],
            body: |world| Box::pin($body(world)),
        }
    };
}
use entry;

/// A text that no log may show.
const TEXT: &str = crate::fixtures::private::MESSAGE;

const STATUS: Need = Need::Can(|| PluginCapability::GET_MESSAGE_STATUS);
const LIST: Need = Need::Can(|| PluginCapability::LIST_CONVERSATIONS);
const REPLY: Need = Need::Can(|| PluginCapability::SEND_REPLY);

/// The cases for one plugin.
pub fn cases(env: Arc<dyn MessagingPluginEnv>) -> Vec<Case> {
    let name = env.name();
    let case = |entry: Entry| {
        if let Some(reason) = entry.needs.iter().find_map(|need| missing(&*env, *need)) {
            return Case::skipped(entry.name, reason);
        }
        let env = Arc::clone(&env);
        Case::on_runtime(entry.name, move || async move {
            let setup = env.setup().await?;
            let plugin = setup.plugin();
            (entry.body)(World {
                env,
                setup,
                plugin,
                inbound: Arc::new(MemoryInboundStore::new()),
                tasks: None,
                events: None,
            })
            .await
        })
    };
    let entries = life::entries()
        .into_iter()
        .chain(message::entries())
        .chain(content::entries())
        .chain(conversation::entries())
        .chain(webhook::entries());
    entries.map(|entry| case(entry).in_suite(&name)).collect()
}

fn missing(env: &dyn MessagingPluginEnv, need: Need) -> Option<String> {
    let names = |word: PluginCapability| {
        let missing = !env.capabilities().contains(&word);
        missing.then(|| env.why_not(&word))
    };
    match need {
        Need::Fate(fate) => env.lacks(fate),
        Need::Can(word) => names(word()),
        Need::Unsigned => env
            .signs()
            .then(|| "the vendor signs what it tells".to_owned()),
        Need::Inbound => env.lacks_inbound(),
        Need::Webhooks => names(PluginCapability::HANDLE_WEBHOOK).or_else(|| env.lacks_webhooks()),
    }
}

/// A fresh provider and a plugin for it, not started.
struct World {
    env: Arc<dyn MessagingPluginEnv>,
    setup: Box<dyn MessagingPluginSetup>,
    plugin: Arc<dyn MessagingPlugin>,
    inbound: Arc<dyn InboundStore>,
    tasks: Option<TaskSet>,
    events: Option<EventBus<PluginEvent>>,
}

impl World {
    async fn start(&mut self) -> Verdict {
        let deps = PluginDeps::current()?.with_inbound(Arc::clone(&self.inbound));
        let deps = self.setup.deps(deps);
        if let Some(inbound) = &deps.inbound {
            self.inbound = Arc::clone(inbound);
        }
        self.tasks = Some(deps.tasks.clone());
        self.events = Some(deps.events.clone());
        let config = self.setup.config(self.env.good_config());
        let start = self.plugin.start(config, deps);
        Ok(within("start", SOON, start).await??)
    }

    fn subscribe(&self) -> Result<EventStream<PluginEvent>, Failure> {
        let bus = self.events.as_ref();
        bus.map(EventBus::subscribe)
            .ok_or_else(|| Failure::new("the plugin is not started"))
    }

    /// The fate of a message about which nothing is special.
    fn plain(&self) -> MessageFate {
        match self.env.lacks(MessageFate::Delivered) {
            None => MessageFate::Delivered,
            Some(_) => MessageFate::HandedOver,
        }
    }

    async fn target(&self, fate: MessageFate) -> Result<Address, Failure> {
        self.setup.target(fate).await
    }

    fn text(&self, text: impl Into<String>) -> MessageContent {
        MessageContent::text(self.env.kind(), text)
    }

    async fn try_send(
        &self,
        to: &Address,
        content: MessageContent,
    ) -> Result<Result<MessageResult, Error>, Failure> {
        let send = self.plugin.send_message(to.clone(), content);
        within("send_message", SOON, send).await
    }

    /// Sends a text to a target of its own with this fate.
    async fn send(
        &self,
        fate: MessageFate,
        text: &str,
    ) -> Result<(Address, MessageResult), Failure> {
        let to = self.target(fate).await?;
        let sent = self.try_send(&to, self.text(text)).await??;
        Ok((to, sent))
    }

    async fn status(&self, id: &str) -> Result<MessageStatus, Failure> {
        let ask = self.plugin.get_message_status(id);
        Ok(within("get_message_status", SOON, ask).await??)
    }

    /// Asks until the message is in this state; no look may go back behind an earlier one.
    async fn until(&self, id: &str, wanted: MessageState) -> Result<MessageStatus, Failure> {
        let end = tokio::time::Instant::now() + SOON;
        let mut before: Option<MessageState> = None;
        loop {
            let status = self.status(id).await?;
            if let Some(before) = before {
                forward(before, status.status)?;
            }
            if status.status == wanted {
                return Ok(status);
            }
            before = Some(status.status);
            ensure!(
                tokio::time::Instant::now() < end,
                "{status:?} and not {wanted:?}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A message comes in; the event that tells of it.
    async fn message_in(&self, from: &Address, text: &str) -> Result<InboundMessage, Failure> {
        let mut events = self.subscribe()?;
        self.setup.message_in(from, text).await?;
        received(&mut events).await
    }

    /// What the store has of this plugin, newest first.
    async fn stored(&self) -> Result<Vec<InboundMessage>, Failure> {
        let id = self.plugin.manifest().id.as_str();
        let query = InboundQuery::new().with_limit(1000);
        Ok(self.inbound.messages(id, &query).await?.items)
    }
}

/// The next message that is told to have come in.
async fn received(events: &mut EventStream<PluginEvent>) -> Result<InboundMessage, Failure> {
    loop {
        let item = within("a message that comes in", SOON, events.recv()).await?;
        let item = item.ok_or_else(|| Failure::new("the stream ended"))?;
        if let PluginEvent::MessageReceived(message) = item?.event {
            return Ok(message);
        }
    }
}

/// A failure when a message went back.
fn forward(before: MessageState, now: MessageState) -> Verdict {
    ensure!(
        before.advance(now) == now,
        "a message went from {before:?} to {now:?}"
    );
    Ok(())
}
