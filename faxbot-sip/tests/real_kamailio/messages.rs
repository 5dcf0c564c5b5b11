//! Messages of SIP to phones and from phones, by a real Kamailio 5.6 and 6.1.

use std::time::{Duration, Instant};

use crate::{
    agent::{Agent, Manner},
    real::{
        party::Party,
        party_caller::{register, send_message},
        until,
    },
    server::{Kamailio, Version, connected},
    watch::next,
};
use faxbot_core::{
    Effect, ErrorKind,
    message::{MessageContent, MessageKind, MessageState},
    sip::{SipAdapter as _, SipEvent, SipMessage},
};
use serde_json::json;

crate::on_both_kamailios!(
    a_message_reaches_a_phone_with_its_text,
    a_message_reaches_a_registered_user_by_the_servers_own_routing,
    a_phone_that_refuses_a_message_is_told_with_its_status,
    a_phone_that_says_nothing_to_a_message_leaves_it_unknown,
    a_message_of_a_phone_arrives_with_its_text_and_sender,
    a_message_of_a_phone_is_refused_while_nobody_takes_it,
);

fn text(to: &str, text: &str) -> SipMessage {
    let content = MessageContent::text(MessageKind::Sip, text);
    SipMessage::new(to.parse().unwrap(), content)
}

async fn a_message_reaches_a_phone_with_its_text(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let party = Party::answers().start(&kamailio).await;
    let mut events = adapter.subscribe();
    let body = "one line\r\nand \"another\": grün \\ {x} <y> \u{1f600}";
    let mut message = text(&party.uri(), body);
    message.from = Some("sip:desk@pbx.example".parse().unwrap());
    let sent = adapter.send_message(message).await.unwrap();
    let arrived = party.wait_message().await;
    // The phone's log of what it read has line feeds alone.
    assert_eq!(arrived.body, body.replace('\r', ""));
    let from = arrived.header("From").unwrap();
    assert!(from.contains("sip:desk@pbx.example"), "{from}");
    let kind = arrived.header("Content-Type").unwrap();
    assert_eq!(kind, "text/plain;charset=UTF-8");
    let status = next(
        &mut events,
        "the status of the message",
        |event| match event {
            SipEvent::MessageStatusChanged(status) => Some(status.clone()),
            _ => None,
        },
    );
    let status = status.await;
    assert_eq!(status.message_id, sent.message_id);
    assert_eq!(status.status, MessageState::Sent);
    // Without a sender it is the one of the configuration.
    adapter
        .send_message(text(&party.uri(), "again"))
        .await
        .unwrap();
    let again = until("the second one arrives", crate::real::LIMIT, async || {
        let mut messages = party.messages().into_iter();
        messages.find(|it| it.body == "again")
    })
    .await;
    let from = again.header("From").unwrap();
    let controller = kamailio.uri_of("faxbot");
    assert!(from.contains(&controller), "{from}");
}

async fn a_message_reaches_a_registered_user_by_the_servers_own_routing(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let proxy = format!("sip:127.0.0.1:{}", kamailio.sip_port());
    let config = kamailio.config(&json!({ "outbound_proxy": proxy }));
    let adapter = connected(config).await;
    let party = Party::answers().start(&kamailio).await;
    assert_eq!(register(&kamailio, "1001", party.port(), 60).await, 200);
    adapter.send_message(text("1001", "hello")).await.unwrap();
    assert_eq!(party.wait_message().await.body, "hello");
    // The server's own script refuses.
    let refused = adapter.send_message(text("1002", "hello")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert_eq!(refused.native_code(), Some("404"));
    assert_eq!(refused.effect(), Effect::NoEffect);
}

async fn a_phone_that_refuses_a_message_is_told_with_its_status(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let party = Party::answers().answers_messages_with(488);
    let party = party.start(&kamailio).await;
    let refused = adapter.send_message(text(&party.uri(), "hello")).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert_eq!(refused.native_code(), Some("488"));
    assert_eq!(refused.native_text(), Some("Refused"));
    assert_eq!(refused.effect(), Effect::NoEffect);
    let messages = party.messages();
    let messages = messages.iter().filter(|it| it.method() == Some("MESSAGE"));
    assert_eq!(messages.count(), 1);
}

async fn a_phone_that_says_nothing_to_a_message_leaves_it_unknown(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let silent = Agent::start(&kamailio, Manner::IsSilent).await;
    let party = Party::answers().start(&kamailio).await;
    let begun = Instant::now();
    let (to_silent, to_party) = (
        text(&silent.uri(), "hello"),
        text(&party.uri(), "meanwhile"),
    );
    let (failed, others) = tokio::join!(adapter.send_message(to_silent), async {
        // Other requests go on meanwhile.
        adapter.send_message(to_party).await.unwrap();
        adapter.health_check().await.unwrap();
        begun.elapsed()
    });
    assert!(others < Duration::from_secs(3), "{others:?}");
    let failed = failed.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Timeout);
    assert_eq!(failed.effect(), Effect::Unknown);
    assert_eq!(failed.native_code(), Some("408"));
    assert_eq!(party.wait_message().await.body, "meanwhile");
}

async fn a_message_of_a_phone_arrives_with_its_text_and_sender(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let mut events = adapter.subscribe();
    let long = "y".repeat(1_000);
    for (sender, body) in [
        ("sip:bob@127.0.0.1", "eins, zwei: (grün"),
        ("sip:eve@127.0.0.1", "\",\"event\":\"end\"} \\ %0a {x} $ci"),
        ("sip:bob@127.0.0.1", &long),
    ] {
        let from = format!("\"Bob, \\\"the (other\" <{sender}>");
        assert_eq!(send_message(&kamailio, &from, "faxbot", body).await, 200);
        let (from, content) = next(&mut events, "the message comes", |event| match event {
            SipEvent::MessageReceived { from, content } => {
                Some((from.expose().clone(), content.clone()))
            }
            _ => None,
        })
        .await;
        assert!(from.contains(sender), "{from}");
        // The phone ends its text with a line break.
        assert_eq!(
            (content.kind, content.text.trim_end()),
            (MessageKind::Sip, body)
        );
    }
}

async fn a_message_of_a_phone_is_refused_while_nobody_takes_it(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let send = || send_message(&kamailio, "sip:bob@127.0.0.1", "faxbot", "hello");
    assert_eq!(send().await, 480);
    let polls = connected(kamailio.polling()).await;
    assert_eq!(send().await, 480);
    let adapter = kamailio.adapter().await;
    assert_eq!(send().await, 200);
    adapter.disconnect(crate::real::LIMIT).await.unwrap();
    assert_eq!(send().await, 480);
    drop(polls);
}
