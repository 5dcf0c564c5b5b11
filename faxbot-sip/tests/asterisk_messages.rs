//! Messages over SIP: what is handed to Asterisk, and what comes in by the operator's dialplan.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use asterisk_support::{FLAVOURS, Rig, drain, eventually};
use faxbot_core::{
    ErrorKind,
    address::Address,
    event::EventStream,
    message::{MessageContent, MessageKind, MessageState},
    sip::{Capability, SipAdapter as _, SipEvent, SipMessage},
};
use faxbot_testkit::{
    fixtures::private,
    server::asterisk::{Account, ReplyFault},
};

fn message(to: &str, text: &str) -> SipMessage {
    let content = MessageContent::text(MessageKind::Sip, text);
    SipMessage::new(to.parse().unwrap(), content)
}

/// Sender and text of the messages that came in.
fn came_in(events: &mut EventStream<SipEvent>) -> Vec<(String, String)> {
    let message = |event| match event {
        SipEvent::MessageReceived { from, content } => {
            assert_eq!(content.kind, MessageKind::Sip);
            Some((from.expose().clone(), content.text))
        }
        _ => None,
    };
    drain(events).into_iter().filter_map(message).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_handed_over_and_nothing_more_is_claimed() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let mut events = adapter.subscribe();
        let text = format!("{}\r\nsecond, \"quoted\": ü", private::MESSAGE);
        let text = text.as_str();
        let sent = adapter.send_message(message("1001", text)).await.unwrap();
        assert_eq!((sent.kind, sent.segments), (MessageKind::Sip, 1));
        assert_eq!(sent.provider, "asterisk");
        let at_the_server = rig.mock.messages_sent().pop().unwrap();
        assert_eq!(at_the_server.destination, "pjsip:1001");
        assert_eq!(at_the_server.body, text);
        let statuses: Vec<_> = drain(&mut events)
            .into_iter()
            .filter_map(|event| match event {
                SipEvent::MessageStatusChanged(status) => Some((status.message_id, status.status)),
                _ => None,
            })
            .collect();
        assert_eq!(statuses, [(sent.message_id, MessageState::HandedOver)]);
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_take_the_form_that_the_configuration_gives_them() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| {
        config.message_to = "pjsip:{number}@trunk".parse().unwrap();
        config.sip_message_to = Some(("pjsip:out/".into(), String::new()));
    });
    adapter.connect().await.unwrap();
    for (to, destination) in [
        ("sip:bob@127.0.0.1:5070", "pjsip:out/sip:bob@127.0.0.1:5070"),
        ("native:pjsip:desk", "pjsip:desk"),
    ] {
        let mut message = message(to, "hello");
        message.from = Some("sip:alice@pbx.example".parse().unwrap());
        adapter.send_message(message).await.unwrap();
        let sent = rig.mock.messages_sent().pop().unwrap();
        assert_eq!(sent.destination, destination);
        assert_eq!(sent.from, "sip:alice@pbx.example");
    }
    adapter
        .send_message(message("+15551230001", "hello"))
        .await
        .unwrap_err();
    let asked = rig.mock.actions_named("MessageSend").pop().unwrap();
    assert_eq!(asked.get("To"), Some("pjsip:+15551230001@trunk"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_before_a_byte_is() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut from_number = message("1001", "hello");
    from_number.from = Some("+15551230001".parse().unwrap());
    let sms = SipMessage::new(
        "1001".parse().unwrap(),
        MessageContent::text(MessageKind::Sms, "hello"),
    );
    let native = Address::native("pjsip:x\r\nAction: Logoff");
    let smuggled = SipMessage::new(native, MessageContent::text(MessageKind::Sip, "x"));
    for refused in [
        message("1001", ""),
        message("1001", &"x".repeat(757)),
        message("sip:bob@127.0.0.1", "no options.sip_message_to"),
        from_number,
        sms,
        smuggled,
    ] {
        let error = adapter.send_message(refused).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error}");
    }
    assert!(rig.mock.actions_named("MessageSend").is_empty());
    adapter
        .send_message(message("1001", &"x".repeat(756)))
        .await
        .unwrap();
    assert_eq!(rig.mock.messages_sent()[0].body.len(), 756);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_asterisk_refuses_is_rejected_and_has_no_status() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let fault = ReplyFault::Refuse("Message failed to send.".into());
    rig.mock.next_reply("MessageSend", fault);
    let refused = adapter.send_message(message("nix", "hello")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
    assert!(drain(&mut events).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_in_is_told_with_sender_and_text() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let text = format!("{}\r\nzwei Zeilen, mit Komma: ü", private::MESSAGE);
    let sender = format!("{} <sip:bob@127.0.0.1>", private::CALLER_NAME);
    rig.mock.message_in(&sender, &text);
    // Asterisk loses the text of a long one.
    rig.mock.message_in("sip:eve@127.0.0.1", &"x".repeat(5000));
    let mut seen = Vec::new();
    eventually("both came in", || {
        seen.extend(came_in(&mut events));
        seen.len() == 2
    })
    .await;
    let expected = [
        (sender, text),
        ("<sip:eve@127.0.0.1>".to_owned(), String::new()),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn what_only_looks_like_a_message_is_ignored() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let queue = "Channel: Message/ast_msg_queue";
    let long = format!("From64: {}", "eHh4".repeat(500));
    for headers in [
        // Of an account that sends events.
        vec!["From64: PHNpcDphQGI+", "Body64: aGVsbG8="],
        vec![
            "Channel: PJSIP/a-1",
            "From64: PHNpcDphQGI+",
            "Body64: aGVsbG8=",
        ],
        vec![queue, "Body64: aGVsbG8="],
        vec![queue, "From64: ", "Body64: aGVsbG8="],
        vec![queue, "From64: IA==", "Body64: aGVsbG8="],
        vec![queue, "From64: ***", "Body64: aGVsbG8="],
        vec![queue, "From64: PHNpcDphQGI+"],
        vec![queue, "From64: PHNpcDphQGI+", "Body64: ***"],
        vec![queue, &long, "Body64: aGVsbG8="],
    ] {
        let event = format!(
            "Event: UserEvent\r\nPrivilege: user,all\r\nUserEvent: FaxbotMessage\r\n{}\r\n\r\n",
            headers.join("\r\n")
        );
        rig.mock.send_raw(event);
    }
    rig.mock.message_in("sip:bob@127.0.0.1", "the last one");
    let mut seen = Vec::new();
    eventually("the real one came in", || {
        seen.extend(came_in(&mut events));
        !seen.is_empty()
    })
    .await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].1, "the last one");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_may_not_send_messages_does_not_declare_it() {
    let weak = Account::new("weak", "w3ak").write("system,call,originate,reporting");
    let rig = Rig::with(|builder| builder.account(weak)).await;
    let adapter = rig.adapter_with(|config| {
        config.username = "weak".into();
        config.password = "w3ak".into();
    });
    adapter.connect().await.unwrap();
    assert!(!adapter.capabilities().has(Capability::SendMessage));
    let refused = adapter.send_message(message("1001", "hello")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}
