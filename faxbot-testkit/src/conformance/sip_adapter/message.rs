//! Messages over SIP.

use faxbot_core::{
    ErrorKind,
    message::{MessageContent, MessageKind, MessageState},
    sip::{SipEvent, SipMessage},
};

use super::{Entry, Fate, Need, SOON, World, entry, error_of, event, kind_is};
use crate::conformance::{Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a message that was sent is handed over and not called delivered",
            [],
            [SendMessage],
            sent
        ),
        entry!(
            "a message that cannot be carried is refused",
            [],
            [SendMessage],
            refused
        ),
        entry!(
            "a message that comes in is told with its sender and text",
            [Need::MessageIn],
            [SendMessage],
            received
        ),
    ]
}

async fn sent(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let to = world.setup.target(Fate::Answers).await?;
    let content = MessageContent::text(MessageKind::Sip, "the doctor will call at 4");
    let send = world.adapter.send_message(SipMessage::new(to, content));
    let result = within("send_message", SOON, send).await??;
    ensure!(!result.message_id.is_empty(), "a message without an id");
    let status = event(
        "the status of the message",
        &mut events,
        |event| match event {
            SipEvent::MessageStatusChanged(status) => {
                (status.message_id == result.message_id).then_some(status.status)
            }
            _ => None,
        },
    )
    .await?;
    ensure!(
        matches!(status, MessageState::Sent | MessageState::HandedOver),
        "{status:?}: nobody can know more"
    );
    Ok(())
}

async fn refused(world: World) -> Verdict {
    world.connect().await?;
    let to = world.setup.target(Fate::Answers).await?;
    let sms = MessageContent::text(MessageKind::Sms, "hello");
    let none = MessageContent::text(MessageKind::Sip, "");
    for content in [sms, none] {
        let send = world
            .adapter
            .send_message(SipMessage::new(to.clone(), content));
        let refused = within("send_message", SOON, send).await?;
        let error = error_of("what is no message over SIP", refused)?;
        kind_is(
            "what is no message over SIP",
            &error,
            &[ErrorKind::InvalidRequest],
        )?;
    }
    Ok(())
}

async fn received(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let text = "yes, at 4\r\nEvent: Hangup, please; \u{1F600}";
    world.setup.message_in("sip:anna@127.0.0.1", text).await?;
    let (from, content) = event("a message", &mut events, |event| match event {
        SipEvent::MessageReceived { from, content } => Some((from, content)),
        _ => None,
    })
    .await?;
    ensure!(from.expose().contains("anna"), "from somebody else");
    ensure!(content.text == text, "another text came");
    Ok(())
}
