//! Messages on FreeSWITCH beside what the suite covers: their fates, and what comes twice.
#![cfg(test)]
#![cfg(feature = "freeswitch")]

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    ErrorKind,
    clock::TokioClock,
    event::EventStream,
    message::{MessageContent, MessageKind, MessageState},
    sip::{SipAdapter as _, SipEvent, SipMessage},
};
use faxbot_sip::{
    adapter::freeswitch::{FreeswitchAdapter, FreeswitchConfig},
    driver::Connect,
};
use faxbot_testkit::{
    fixtures::private,
    server::{ReplyFault, Timings, freeswitch::MockFreeSwitch},
};

async fn connected() -> (MockFreeSwitch, FreeswitchAdapter) {
    let builder = MockFreeSwitch::builder().timings(Timings::quick());
    let mock = builder.in_memory().start().await.unwrap();
    mock.no_endpoint("nobody");
    let url = "esl://:ClueCon@pbx.example?dial=sofia/gateway/trunk/{number}";
    let config = FreeswitchConfig::from_url(url).unwrap();
    let adapter = FreeswitchAdapter::with_clock(config, TokioClock::shared())
        .with_connector(Arc::new(mock.connector()) as Arc<dyn Connect>);
    adapter.connect().await.unwrap();
    (mock, adapter)
}

fn message(to: &str, text: &str) -> SipMessage {
    let content = MessageContent::text(MessageKind::Sip, text);
    SipMessage::new(to.parse().unwrap(), content)
}

async fn told(events: &mut EventStream<SipEvent>) -> Vec<SipEvent> {
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut out = Vec::new();
    while let Some(Ok(stamped)) = events.try_recv() {
        out.push(stamped.event);
    }
    out
}

fn states(events: &[SipEvent], id: &str) -> Vec<MessageState> {
    let state = |event: &SipEvent| match event {
        SipEvent::MessageStatusChanged(status) => {
            (status.message_id == id).then_some(status.status)
        }
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

#[tokio::test(start_paused = true)]
async fn the_fate_of_a_message_comes_behind_its_sending() {
    let (mock, adapter) = connected().await;
    for (to, fate) in [
        ("sip:anna@127.0.0.1:5090", MessageState::HandedOver),
        ("sip:nobody@127.0.0.1", MessageState::Failed),
    ] {
        let mut events = adapter.subscribe();
        let sent = adapter
            .send_message(message(to, private::MESSAGE))
            .await
            .unwrap();
        let events = told(&mut events).await;
        let states = states(&events, &sent.message_id);
        assert_eq!(states.last(), Some(&fate), "{to}");
        // The report on it is no message that came in.
        let came = |event: &SipEvent| matches!(event, SipEvent::MessageReceived { .. });
        assert!(!events.iter().any(came), "{to}");
    }
    assert_eq!(mock.messages_sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_is_told_once() {
    let (mock, adapter) = connected().await;
    let mut events = adapter.subscribe();
    mock.message_in("anna@127.0.0.1", "one");
    mock.message_in("anna@127.0.0.1", "one");
    let came = told(&mut events).await;
    let came = came.iter().filter(
        |event| matches!(event, SipEvent::MessageReceived { content, .. } if content.text == "one"),
    );
    assert_eq!(came.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_link_is_lost_has_an_unknown_fate() {
    let (mock, adapter) = connected().await;
    let mut events = adapter.subscribe();
    mock.next_reply("chat", ReplyFault::DropBefore);
    let lost = adapter
        .send_message(message("sip:anna@127.0.0.1", "x"))
        .await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let events = told(&mut events).await;
    let unknown = |event: &&SipEvent| {
        matches!(event, SipEvent::MessageStatusChanged(status)
            if status.status == MessageState::OutcomeUnknown)
    };
    assert_eq!(events.iter().filter(unknown).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_server_refuses_was_not_sent() {
    let (mock, adapter) = connected().await;
    mock.next_reply("chat", ReplyFault::Refuse("permission denied".to_owned()));
    let refused = adapter
        .send_message(message("sip:anna@127.0.0.1", "x"))
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(mock.messages_sent().is_empty());
}
