//! Messages: that none is sent twice, and what is said of them.

use std::collections::HashSet;

use faxbot_core::{Effect, ErrorKind, message::MessageState, plugin::PluginEvent};

use super::{
    Entry, MessageFate, Need, QUIET, SOON, STATUS, TEXT, World, entry, error_of, forward, kind_is,
};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

pub(super) fn entries() -> Vec<Entry> {
    use MessageFate::{
        Delivered, Found, HandedOver, Late, Offline, Refused, Slow, Undeliverable, Unknown,
    };
    vec![
        entry!("a message is sent once and told as taken", [], taken),
        entry!("a second call sends a second message", [], again),
        entry!(
            "a delivered message becomes delivered and stays so",
            [Need::Fate(Delivered), STATUS],
            delivered
        ),
        entry!(
            "a message of which nothing more is told is not called delivered",
            [Need::Fate(HandedOver), STATUS],
            handed_over
        ),
        entry!("the events of a message never go back", [STATUS], events),
        entry!(
            "a refused message is an error or failed, and is not tried again",
            [Need::Fate(Refused)],
            refused
        ),
        entry!(
            "a message that does not arrive becomes failed",
            [Need::Fate(Undeliverable), STATUS],
            undeliverable
        ),
        entry!(
            "a message without an answer is unknown and never sent again",
            [Need::Fate(Unknown), STATUS],
            unknown
        ),
        entry!(
            "a message whose answer was lost is found again and not sent again",
            [Need::Fate(Found)],
            found
        ),
        entry!(
            "what is told late resolves an unknown outcome",
            [Need::Fate(Late), STATUS],
            late
        ),
        entry!(
            "without a connection nothing is sent, and the same call may succeed later",
            [Need::Fate(Offline)],
            offline
        ),
        entry!(
            "a dropped call undoes no message and leaves the plugin whole",
            [Need::Fate(Slow)],
            dropped
        ),
        entry!("an unknown message is not found", [STATUS], not_found),
        entry!("50 messages at once do not mix", [], fifty),
    ]
}

async fn taken(mut world: World) -> Verdict {
    world.start().await?;
    let (to, sent) = world.send(world.plain(), "the doctor will call").await?;
    ensure!(!sent.message_id.is_empty(), "a message without an id");
    ensure!(
        sent.provider == world.plugin.manifest().id.as_str(),
        "the provider is {}",
        sent.provider
    );
    ensure!(sent.kind == world.env.kind(), "the kind is {:?}", sent.kind);
    ensure!(sent.segments >= 1, "no segments");
    tokio::time::sleep(QUIET).await;
    let texts = world.setup.texts_to(&to);
    ensure!(
        texts == ["the doctor will call"],
        "the provider was asked to send {} texts, or another one",
        texts.len()
    );
    Ok(())
}

async fn again(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(world.plain()).await?;
    let first = world.try_send(&to, world.text(TEXT)).await??;
    let second = world.try_send(&to, world.text(TEXT)).await??;
    ensure!(first.message_id != second.message_id, "both have one id");
    let texts = world.setup.texts_to(&to);
    ensure!(texts == [TEXT, TEXT], "{} were sent", texts.len());
    Ok(())
}

async fn delivered(mut world: World) -> Verdict {
    world.start().await?;
    let (_, sent) = world.send(MessageFate::Delivered, TEXT).await?;
    let id = &sent.message_id;
    let status = world.until(id, MessageState::Delivered).await?;
    ensure!(&status.message_id == id, "the status of another message");
    tokio::time::sleep(QUIET).await;
    let status = world.status(id).await?.status;
    ensure!(status == MessageState::Delivered, "then {status:?}");
    Ok(())
}

async fn handed_over(mut world: World) -> Verdict {
    world.start().await?;
    let (_, sent) = world.send(MessageFate::HandedOver, TEXT).await?;
    for _ in 0..2 {
        let status = world.status(&sent.message_id).await?.status;
        let open = [
            MessageState::Queued,
            MessageState::Sent,
            MessageState::HandedOver,
        ];
        ensure!(open.contains(&status), "{status:?}: nobody can know that");
        tokio::time::sleep(QUIET).await;
    }
    Ok(())
}

async fn events(mut world: World) -> Verdict {
    world.start().await?;
    let mut events = world.subscribe()?;
    let (_, sent) = world.send(world.plain(), TEXT).await?;
    if world.plain() == MessageFate::Delivered {
        world
            .until(&sent.message_id, MessageState::Delivered)
            .await?;
    }
    tokio::time::sleep(QUIET).await;
    let mut before: Option<MessageState> = None;
    while let Some(item) = events.try_recv() {
        if let PluginEvent::MessageStatusChanged(status) = item?.event {
            ensure!(
                status.message_id == sent.message_id,
                "an event of another message"
            );
            if let Some(before) = before {
                forward(before, status.status)?;
                ensure!(before != status.status, "{before:?} is told twice");
            }
            before = Some(status.status);
        }
    }
    if let Some(last) = before {
        let status = world.status(&sent.message_id).await?.status;
        ensure!(
            last == status,
            "the last event says {last:?}, not {status:?}"
        );
    }
    Ok(())
}

async fn refused(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(MessageFate::Refused).await?;
    match world.try_send(&to, world.text(TEXT)).await? {
        Err(error) => {
            let kinds = [
                ErrorKind::Rejected,
                ErrorKind::InvalidRequest,
                ErrorKind::PermissionDenied,
                ErrorKind::NotFound,
            ];
            kind_is("a refused message", &error, &kinds)?;
            ensure!(
                error.effect() == Effect::NoEffect && !error.is_retryable(),
                "{error:?} leaves open what happened, or asks for another try"
            );
        }
        Ok(sent) => {
            world.until(&sent.message_id, MessageState::Failed).await?;
        }
    }
    tokio::time::sleep(QUIET).await;
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked <= 1, "a refused message was sent {asked} times");
    Ok(())
}

async fn undeliverable(mut world: World) -> Verdict {
    world.start().await?;
    let (to, sent) = world.send(MessageFate::Undeliverable, TEXT).await?;
    world.until(&sent.message_id, MessageState::Failed).await?;
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked == 1, "it was sent {asked} times");
    Ok(())
}

async fn unknown(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(MessageFate::Unknown).await?;
    let answer = world.try_send(&to, world.text(TEXT)).await?;
    let error = error_of("a message without an answer", answer)?;
    kind_is(
        "a message without an answer",
        &error,
        &[ErrorKind::OutcomeUnknown],
    )?;
    ensure!(
        error.effect() == Effect::Unknown && !error.is_retryable(),
        "{error:?} claims to know"
    );
    let Some(id) = error.message_id() else {
        return Err(Failure::new("the error names no message to ask for"));
    };
    for _ in 0..2 {
        let status = world.status(id).await?.status;
        ensure!(status == MessageState::OutcomeUnknown, "{status:?}");
        tokio::time::sleep(QUIET).await;
    }
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked == 1, "it was sent {asked} times");
    Ok(())
}

async fn found(mut world: World) -> Verdict {
    world.start().await?;
    let (to, sent) = world.send(MessageFate::Found, TEXT).await?;
    ensure!(!sent.message_id.is_empty(), "a message without an id");
    tokio::time::sleep(QUIET).await;
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked == 1, "it was sent {asked} times");
    Ok(())
}

async fn late(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(MessageFate::Late).await?;
    let id = match world.try_send(&to, world.text(TEXT)).await? {
        Ok(sent) => sent.message_id,
        Err(error) => {
            let what = "a message without an answer";
            kind_is(what, &error, &[ErrorKind::OutcomeUnknown])?;
            let id = error.message_id().map(str::to_owned);
            id.ok_or_else(|| Failure::new("the error names no message to ask for"))?
        }
    };
    world.until(&id, MessageState::Delivered).await?;
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked == 1, "it was sent {asked} times");
    Ok(())
}

async fn offline(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(MessageFate::Offline).await?;
    let answer = world.try_send(&to, world.text(TEXT)).await?;
    let error = error_of("a message without a connection", answer)?;
    ensure!(
        error.effect() == Effect::NoEffect && error.is_retryable(),
        "{error:?} does not say that nothing was sent"
    );
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked == 0, "it was sent {asked} times");
    Ok(())
}

async fn dropped(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(MessageFate::Slow).await?;
    {
        let send = world.plugin.send_message(to.clone(), world.text(TEXT));
        let mut send = std::pin::pin!(send);
        let begun = eventually("the provider was asked", SOON, || {
            !world.setup.texts_to(&to).is_empty()
        });
        let begun = std::pin::pin!(begun);
        tokio::select! {
            biased;
            begun = begun => begun?,
            answer = &mut send => {
                // Answered before it could be dropped: nothing to see here.
                answer?;
            }
        }
    }
    tokio::time::sleep(QUIET).await;
    let asked = world.setup.texts_to(&to).len();
    ensure!(asked == 1, "it was sent {asked} times");
    world.send(world.plain(), "the next one").await.map(drop)
}

async fn not_found(mut world: World) -> Verdict {
    world.start().await?;
    for (id, kinds) in [
        ("no-such-message", &[ErrorKind::NotFound][..]),
        ("", &[ErrorKind::NotFound, ErrorKind::InvalidRequest]),
        ("../x", &[ErrorKind::NotFound, ErrorKind::InvalidRequest]),
        ("a\r\nb", &[ErrorKind::NotFound, ErrorKind::InvalidRequest]),
    ] {
        let answer = within(
            "get_message_status",
            SOON,
            world.plugin.get_message_status(id),
        )
        .await?;
        let error = error_of("an unknown message", answer)?;
        kind_is("an unknown message", &error, kinds)?;
    }
    Ok(())
}

async fn fifty(mut world: World) -> Verdict {
    world.start().await?;
    let mut sends = Vec::new();
    for number in 0..50 {
        let to = world.target(world.plain()).await?;
        let (plugin, content) = (
            std::sync::Arc::clone(&world.plugin),
            world.text(format!("number {number}")),
        );
        let send = {
            let to = to.clone();
            tokio::spawn(async move { plugin.send_message(to, content).await })
        };
        sends.push((number, to, send));
    }
    let mut ids = HashSet::new();
    for (number, to, send) in sends {
        let sent = within("one of 50", SOON, send).await???;
        ensure!(ids.insert(sent.message_id), "one id twice");
        let texts = world.setup.texts_to(&to);
        ensure!(
            texts == [format!("number {number}")],
            "another text went there, or {} of them",
            texts.len()
        );
    }
    let asked = world.setup.submissions();
    ensure!(asked == 50, "{asked} messages were sent");
    Ok(())
}
