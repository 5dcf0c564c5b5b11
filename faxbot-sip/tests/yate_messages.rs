//! Messages over SIP through Yate, out and in.
#![cfg(test)]
#![cfg(feature = "yate")]

mod yate_support;

use std::time::Duration;

use faxbot_core::{
    ErrorKind, Result,
    message::{MessageContent, MessageKind, MessageResult, MessageState},
    sip::{SipAdapter as _, SipEvent, SipMessage},
};
use faxbot_sip::adapter::yate::YateAdapter;
use faxbot_testkit::server::yate::MockYate;
use yate_support::{LONG, Rig, drain, eventually, lost};

const TEXT: &str = "at 4: 100%\r\n\u{e4} \u{1F600}";

async fn send(adapter: &YateAdapter, to: &str) -> Result<MessageResult> {
    let content = MessageContent::text(MessageKind::Sip, TEXT);
    let mut message = SipMessage::new(to.parse().unwrap(), content);
    message.from = Some("sip:desk@pbx.example".parse().unwrap());
    adapter.send_message(message).await
}

fn states(events: Vec<SipEvent>) -> Vec<MessageState> {
    let states = events.into_iter().filter_map(|event| match event {
        SipEvent::MessageStatusChanged(status) => Some(status.status),
        _ => None,
    });
    states.collect()
}

/// The status that the sender of a message got.
async fn saw(rig: &Rig, number: u32) -> Option<u16> {
    rig.mock
        .wait_until(LONG, |mock: &MockYate| mock.message_saw(number))
        .await
}

#[tokio::test(start_paused = true)]
async fn the_far_end_is_heard_where_the_engine_generates_requests() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    send(&adapter, "+4930111").await.unwrap();
    assert_eq!(states(drain(&mut events)), [MessageState::Sent]);
    let sent = rig.mock.messages_sent();
    assert_eq!(sent.len(), 1, "asking whether it can sends nothing");
    assert_eq!(sent[0].body, TEXT);
    assert_eq!(sent[0].from, "<sip:desk@pbx.example>");

    rig.mock.answers_messages("+4930222", 404);
    let refused = send(&adapter, "+4930222").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert_eq!(refused.native_code(), Some("404"));
    rig.mock.answers_messages("+4930333", 408);
    let silent = send(&adapter, "+4930333").await.unwrap_err();
    assert_eq!(silent.native_code(), Some("408"));
    assert!(states(drain(&mut events)).is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_generate_a_message_is_handed_over_and_no_more_is_known() {
    let rig = Rig::with(|builder| builder.without_generate()).await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    rig.mock.answers_messages("+4930111", 404);
    send(&adapter, "+4930111").await.unwrap();
    assert_eq!(states(drain(&mut events)), [MessageState::HandedOver]);
    assert_eq!(rig.mock.messages_sent()[0].body, TEXT);
    assert_eq!(rig.mock.actions_named("msg.execute").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_in_is_told_and_its_sender_gets_200() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let number = rig.mock.message_in("sip:anna@127.0.0.1", TEXT);
    assert_eq!(saw(&rig, number).await, Some(200));
    let told: Vec<_> = drain(&mut events)
        .into_iter()
        .filter_map(|event| match event {
            SipEvent::MessageReceived { from, content } => {
                Some((from.expose().clone(), content.text))
            }
            _ => None,
        })
        .collect();
    let from = "sip:anna@127.0.0.1:5060".to_owned();
    assert_eq!(told, [(from, TEXT.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_for_us_is_not_taken() {
    let routed = |builder: faxbot_testkit::server::yate::MockYateBuilder| {
        builder.route("600", "sip/sip:desk@127.0.0.1:5080")
    };
    let rig = Rig::with(routed).await;
    // Behind the other routes.
    let adapter = rig.adapter_with(|config| config.incoming_priority = 150);
    adapter.connect().await.unwrap();
    let mut events = adapter.subscribe();
    let number = rig.mock.message_in("sip:anna@127.0.0.1", "hello");
    assert_eq!(saw(&rig, number).await, Some(200));
    assert_eq!(rig.mock.messages_sent().len(), 1);
    let none = drain(&mut events)
        .iter()
        .all(|event| !matches!(event, SipEvent::MessageReceived { .. }));
    assert!(none);

    let quiet = rig.adapter_with(|config| config.incoming = false);
    adapter.disconnect(Duration::from_secs(1)).await.unwrap();
    quiet.connect().await.unwrap();
    let number = rig.mock.message_in_to("sip:anna@127.0.0.1", "700", "hello");
    assert_eq!(saw(&rig, number).await, Some(405));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_lost_refuses_the_sender_of_a_message() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.cut();
    lost(&adapter).await;
    let number = rig.mock.message_in("sip:anna@127.0.0.1", "hello");
    assert_eq!(saw(&rig, number).await, Some(405));
    rig.mend();
    eventually("messages come again", || {
        adapter.connection().state == faxbot_core::sip::ConnectionState::Connected
    })
    .await;
    let number = rig.mock.message_in("sip:anna@127.0.0.1", "hello");
    assert_eq!(saw(&rig, number).await, Some(200));
}
