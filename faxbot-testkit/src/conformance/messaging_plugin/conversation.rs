//! Conversations, replies, and messages that come in.

use faxbot_core::{
    ErrorKind,
    address::Address,
    message::Conversation,
    plugin::{PluginCapability, PluginEvent},
};

use super::{Entry, LIST, Need, QUIET, REPLY, SOON, TEXT, World, entry, error_of, kind_is};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "conversations come newest first and no more than asked for",
            [LIST],
            newest_first
        ),
        entry!(
            "a message of ours is in its conversation with nothing unread",
            [LIST],
            ours
        ),
        entry!(
            "a message that comes in is stored before it is told, and told once",
            [Need::Inbound],
            comes_in
        ),
        entry!(
            "a text comes in as it was written",
            [Need::Inbound],
            as_written
        ),
        entry!(
            "messages that come in are unread in the conversation with their sender",
            [LIST, Need::Inbound],
            unread
        ),
        entry!(
            "both directions are one conversation",
            [LIST, Need::Inbound],
            both_ways
        ),
        entry!(
            "a reply goes to the other end and nothing is unread then",
            [REPLY, Need::Inbound],
            reply
        ),
        entry!(
            "a reply into an unknown conversation is not found and sends nothing",
            [REPLY],
            unknown
        ),
        entry!(
            "a reply is checked as every message",
            [REPLY, LIST],
            checked
        ),
        entry!(
            "30 messages that come in at once are all there",
            [Need::Inbound],
            thirty
        ),
        entry!(
            "nothing private shows of conversations",
            [LIST, Need::Inbound],
            private
        ),
    ]
}

impl World {
    async fn conversations(&self, limit: usize) -> Result<Vec<Conversation>, Failure> {
        let list = self.plugin.list_conversations(limit);
        Ok(within("list_conversations", SOON, list).await??)
    }

    async fn only_conversation(&self) -> Result<Conversation, Failure> {
        let mut all = self.conversations(10).await?;
        ensure!(all.len() == 1, "{} conversations of 1", all.len());
        all.pop().ok_or_else(|| Failure::new("no conversation"))
    }

    async fn somebody(&self) -> Result<Address, Failure> {
        self.target(self.plain()).await
    }
}

fn last(conversation: &Conversation) -> &str {
    let last = conversation.last_message.as_ref();
    last.map_or("", |text| text.expose().as_str())
}

async fn newest_first(mut world: World) -> Verdict {
    world.start().await?;
    ensure!(
        world.conversations(10).await?.is_empty(),
        "conversations before the first message"
    );
    let mut others = Vec::new();
    for number in 0..12 {
        let (to, _) = world.send(world.plain(), &format!("text {number}")).await?;
        others.push(to);
    }
    // The oldest one becomes the newest.
    let Some(oldest) = others.first() else {
        return Err(Failure::new("nobody was written to"));
    };
    world.try_send(oldest, world.text("text 12")).await??;
    let texts = |all: &[Conversation]| all.iter().map(|one| last(one).to_owned()).collect();
    let all: Vec<String> = texts(&world.conversations(100).await?);
    let expected: Vec<String> = (1..=12)
        .rev()
        .map(|number| format!("text {number}"))
        .collect();
    ensure!(
        all == expected,
        "{} conversations, or another order",
        all.len()
    );
    let some: Vec<String> = texts(&world.conversations(3).await?);
    ensure!(
        expected.starts_with(&some) && some.len() == 3,
        "{} of 3",
        some.len()
    );
    ensure!(
        world.conversations(0).await?.is_empty(),
        "conversations where none was asked for"
    );
    Ok(())
}

async fn ours(mut world: World) -> Verdict {
    world.start().await?;
    world.send(world.plain(), TEXT).await?;
    let conversation = world.only_conversation().await?;
    ensure!(conversation.unread == 0, "{} unread", conversation.unread);
    ensure!(last(&conversation) == TEXT, "another last message");
    ensure!(
        conversation.last_message_at.is_some(),
        "no time of the last message"
    );
    ensure!(
        conversation.participants.len() == 1 && !conversation.id.is_empty(),
        "{conversation:?}"
    );
    Ok(())
}

async fn comes_in(mut world: World) -> Verdict {
    world.start().await?;
    let from = world.somebody().await?;
    let mut events = world.subscribe()?;
    let message = world.message_in(&from, "I am late").await?;
    let id = world.plugin.manifest().id.as_str();
    ensure!(message.backend == id, "the backend is {}", message.backend);
    ensure!(message.content.text == "I am late", "another text");
    ensure!(!message.conversation_id.is_empty(), "no conversation");
    let stored = world.stored().await?;
    ensure!(
        stored == std::slice::from_ref(&message),
        "{} stored when it was told",
        stored.len()
    );
    tokio::time::sleep(QUIET).await;
    let mut told = 0;
    while let Some(item) = events.try_recv() {
        told += usize::from(matches!(item?.event, PluginEvent::MessageReceived(_)));
    }
    ensure!(told == 1, "told {told} times");
    Ok(())
}

async fn as_written(mut world: World) -> Verdict {
    world.start().await?;
    let from = world.somebody().await?;
    for text in [
        "zwei Zeilen,\nmit Ümlaut & \"Zeichen\"; {\"a\": 1} \\ %0a",
        "\u{1F600} ok",
    ] {
        let message = world.message_in(&from, text).await?;
        ensure!(message.content.text == text, "another text");
    }
    Ok(())
}

async fn unread(mut world: World) -> Verdict {
    world.start().await?;
    let from = world.somebody().await?;
    for text in ["one", "two"] {
        world.message_in(&from, text).await?;
    }
    let conversation = world.only_conversation().await?;
    ensure!(
        conversation.unread == 2,
        "{} of 2 unread",
        conversation.unread
    );
    ensure!(last(&conversation) == "two", "another last message");
    let stored = world.stored().await?;
    let there = stored
        .iter()
        .all(|message| message.conversation_id == conversation.id);
    ensure!(there && stored.len() == 2, "in another conversation");
    Ok(())
}

async fn both_ways(mut world: World) -> Verdict {
    world.start().await?;
    let (other, _) = world.send(world.plain(), "are you there?").await?;
    world.message_in(&other, "yes").await?;
    let conversation = world.only_conversation().await?;
    ensure!(
        conversation.unread == 1,
        "{} of 1 unread",
        conversation.unread
    );
    ensure!(last(&conversation) == "yes", "another last message");
    Ok(())
}

async fn reply(mut world: World) -> Verdict {
    world.start().await?;
    let from = world.somebody().await?;
    let message = world.message_in(&from, "are you there?").await?;
    let reply = world
        .plugin
        .send_reply(&message.conversation_id, world.text("yes"));
    let sent = within("send_reply", SOON, reply).await??;
    ensure!(!sent.message_id.is_empty(), "a message without an id");
    let texts = world.setup.texts_to(&from);
    ensure!(texts == ["yes"], "{} texts went to the sender", texts.len());
    if world
        .plugin
        .manifest()
        .can(&PluginCapability::LIST_CONVERSATIONS)
    {
        let conversation = world.only_conversation().await?;
        ensure!(conversation.unread == 0, "{} unread", conversation.unread);
        ensure!(
            conversation.id == message.conversation_id,
            "the reply is in another conversation"
        );
        ensure!(last(&conversation) == "yes", "another last message");
    }
    Ok(())
}

async fn unknown(mut world: World) -> Verdict {
    world.start().await?;
    for id in ["no-such-conversation", "", "+15550001234", "../x"] {
        let reply = world.plugin.send_reply(id, world.text(TEXT));
        let error = error_of("send_reply", within("send_reply", SOON, reply).await?)?;
        kind_is("an unknown conversation", &error, &[ErrorKind::NotFound])?;
    }
    let asked = world.setup.submissions();
    ensure!(asked == 0, "{asked} messages were sent");
    Ok(())
}

async fn checked(mut world: World) -> Verdict {
    world.start().await?;
    world.send(world.plain(), TEXT).await?;
    let conversation = world.only_conversation().await?;
    let mut refused = vec![world.text("")];
    refused.extend(world.env.too_long().map(|text| world.text(text)));
    for content in refused {
        let reply = world.plugin.send_reply(&conversation.id, content);
        let error = error_of("send_reply", within("send_reply", SOON, reply).await?)?;
        kind_is("a wrong reply", &error, &[ErrorKind::InvalidRequest])?;
    }
    let asked = world.setup.submissions();
    ensure!(asked == 1, "{asked} messages were sent");
    Ok(())
}

async fn thirty(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let mut expected = Vec::new();
    for number in 0..30 {
        let from = world.somebody().await?;
        let text = format!("number {number}");
        world.setup.message_in(&from, &text).await?;
        expected.push(text);
    }
    let mut texts = Vec::new();
    for _ in &expected {
        texts.push(super::received(&mut events).await?.content.text);
    }
    texts.sort();
    expected.sort();
    ensure!(texts == expected, "some came twice, others never");
    let stored = world.stored().await?.len();
    ensure!(stored == 30, "{stored} of 30 are stored");
    Ok(())
}

async fn private(mut world: World) -> Verdict {
    const TEXT: &str = "my result was negative";
    world.start().await?;
    let from = world.somebody().await?;
    let message = world.message_in(&from, TEXT).await?;
    let all = world.conversations(10).await?;
    let shown = format!("{message:?} {all:?}");
    ensure!(!shown.contains(TEXT), "the text shows");
    ensure!(!shown.contains(&*from.expose()), "the sender shows");
    Ok(())
}
