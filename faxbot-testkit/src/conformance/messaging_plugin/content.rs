//! What a message may say, and what shows of it.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    message::{MessageContent, MessageKind},
};
use serde_json::{Value, json};

use super::{Entry, MessageFate, STATUS, TEXT, World, entry, error_of, kind_is};
use crate::conformance::{Verdict, ensure};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!("a text has the parts that it is cut into", [], segments),
        entry!(
            "what is no message of this plugin is refused before anything is sent",
            [],
            not_carried
        ),
        entry!("media are refused where they are not carried", [], media),
        entry!(
            "results and statuses serialise to the words of the contract",
            [STATUS],
            words
        ),
        entry!("nothing private shows", [], private),
    ]
}

async fn segments(mut world: World) -> Verdict {
    world.start().await?;
    for (text, segments) in world.env.segments() {
        let (to, sent) = world.send(world.plain(), &text).await?;
        ensure!(
            sent.segments == segments,
            "{} segments of {segments}",
            sent.segments
        );
        ensure!(world.setup.texts_to(&to) == [text], "another text was sent");
    }
    Ok(())
}

async fn not_carried(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(world.plain()).await?;
    let other = match world.env.kind() {
        MessageKind::Telegram => MessageKind::Whatsapp,
        _ => MessageKind::Telegram,
    };
    let mut refused = vec![
        ("another kind", MessageContent::text(other, TEXT)),
        ("no text", world.text("")),
    ];
    if let Some(text) = world.env.too_long() {
        refused.push(("a text that is too long", world.text(text)));
    }
    for (what, content) in refused {
        let answer = world.try_send(&to, content).await?;
        kind_is(what, &error_of(what, answer)?, &[ErrorKind::InvalidRequest])?;
    }
    let asked = world.setup.submissions();
    ensure!(asked == 0, "{asked} messages were sent");
    Ok(())
}

async fn media(mut world: World) -> Verdict {
    world.start().await?;
    if world.env.carries_media() {
        return Ok(());
    }
    let to = world.target(world.plain()).await?;
    let content = world
        .text(TEXT)
        .with_media(["https://media.example/picture.png".parse()?]);
    let answer = world.try_send(&to, content).await?;
    let error = error_of("media", answer)?;
    kind_is("media", &error, &[ErrorKind::InvalidRequest])?;
    let asked = world.setup.submissions();
    ensure!(asked == 0, "{asked} messages were sent");
    Ok(())
}

async fn words(mut world: World) -> Verdict {
    world.start().await?;
    let (_, sent) = world.send(world.plain(), TEXT).await?;
    let value = serde_json::to_value(&sent)?;
    let word = |value: &Value, key: &str| {
        let word = value.get(key).and_then(Value::as_str);
        word.unwrap_or_default().to_owned()
    };
    ensure!(word(&value, "type") == world.env.kind().as_str(), "{value}");
    ensure!(
        value.get("message_id") == Some(&json!(sent.message_id)),
        "{value}"
    );
    let value = serde_json::to_value(world.status(&sent.message_id).await?)?;
    let known = ["queued", "sent", "handed_over", "delivered", "read"];
    ensure!(known.contains(&&*word(&value, "status")), "{value}");
    ensure!(word(&value, "message_id") == sent.message_id, "{value}");
    Ok(())
}

async fn private(mut world: World) -> Verdict {
    const TEXT: &str = "your result is negative";
    world.start().await?;
    let mut events = world.subscribe()?;
    let mut shown = String::new();
    let mut numbers = Vec::new();
    for fate in [
        world.plain(),
        MessageFate::Refused,
        MessageFate::Unknown,
        MessageFate::Offline,
    ] {
        if world.env.lacks(fate).is_some() {
            continue;
        }
        let to = world.target(fate).await?;
        numbers.push(to.expose().into_owned());
        let answer = world.try_send(&to, world.text(TEXT)).await?;
        shown.push_str(&format!("{answer:?}"));
        if let Err(error) = &answer {
            shown.push_str(&error.to_string());
        }
        if let Ok(sent) = answer {
            let status = world.plugin.get_message_status(&sent.message_id).await;
            shown.push_str(&format!("{status:?}"));
        }
    }
    shown.push_str(&format!("{:?}", world.plugin.list_conversations(10).await));
    shown.push_str(&format!("{:?}", world.plugin.health_check().await));
    tokio::time::sleep(Duration::from_millis(50)).await;
    while let Some(item) = events.try_recv() {
        shown.push_str(&format!("{item:?}"));
    }
    ensure!(!shown.contains(TEXT), "the text shows");
    for number in numbers {
        // As it was given, and its digits alone.
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        ensure!(!shown.contains(&number), "a number shows");
        ensure!(
            digits.len() < 7 || !shown.contains(&digits),
            "the digits of a number show"
        );
    }
    Ok(())
}
