//! Texts that go out.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Effect, Error, ErrorKind, Timestamp,
    message::{MessageContent, MessageKind, MessageState},
    plugin::{MessagingPlugin, Plugin, PluginCondition, PluginDeps, PluginEvent},
    sip::{
        Capabilities, Capability, ConnectionChanged, ConnectionState, Gap, RawEvent, SipAdapter,
        SipEvent,
    },
};
use faxbot_providers::sip_message::SipMessagePlugin;
use faxbot_testkit::fake::{FakeAdapter, MessageScript};
use serde_json::json;

use crate::{Rig, settle, text};

use MessageState::{Delivered, Failed, HandedOver, OutcomeUnknown, Read, Sent};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_text_goes_out_from_our_address_and_is_handed_over() {
    let rig = Rig::with(json!({"from": "sip:desk@pbx.example"})).await;
    let sent = rig.send("1001", "hello").await.unwrap();
    assert_eq!(sent.provider, "sip-message");
    assert_eq!((sent.kind, sent.segments), (MessageKind::Sip, 1));
    assert_eq!(rig.status(&sent.message_id).await, HandedOver);
    let asked = rig.adapter.messages().pop().unwrap();
    assert_eq!(asked.from.unwrap().expose(), "sip:desk@pbx.example");
    assert_eq!(asked.to.expose(), "1001");
    assert_eq!(asked.content, text("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_status_says_what_sip_tells_and_no_more() {
    let told = MessageScript::told;
    for (script, at_once, at_last) in [
        (MessageScript::taken(), HandedOver, HandedOver),
        (told(HandedOver), HandedOver, HandedOver),
        (told(Sent), Sent, Sent),
        (told(Sent).later(SECOND, HandedOver), Sent, HandedOver),
        (told(Sent).later(SECOND, Failed), Sent, Failed),
        (
            told(Sent).later(SECOND, OutcomeUnknown),
            Sent,
            OutcomeUnknown,
        ),
        (told(HandedOver).later(SECOND, Sent), HandedOver, HandedOver),
        (
            told(Sent)
                .later(SECOND, Delivered)
                .later(2 * SECOND, Failed),
            Sent,
            Delivered,
        ),
        (told(Sent).later(SECOND, Read), Sent, Read),
        (told(Failed), Failed, Failed),
    ] {
        let rig = Rig::new().await;
        let mut events = rig.deps.events.subscribe();
        rig.adapter.script_messages_to("1001", script.clone());
        let sent = rig.send("1001", "hello").await.unwrap();
        assert_eq!(rig.status(&sent.message_id).await, at_once, "{script:?}");
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(rig.status(&sent.message_id).await, at_last, "{script:?}");
        let mut last = None;
        while let Some(item) = events.try_recv() {
            let PluginEvent::MessageStatusChanged(status) = item.unwrap().event else {
                panic!("another event");
            };
            assert_ne!(last, Some(status.status), "told twice");
            last = Some(status.status);
        }
        assert_eq!(last, Some(at_last), "{script:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_is_an_error_with_the_code_and_failed_under_its_id() {
    let rig = Rig::new().await;
    rig.adapter
        .script_messages_to("1001", MessageScript::rejected("488"));
    let error = rig.send("1001", "hello").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.native_code(), Some("488"));
    assert_eq!(rig.status(error.message_id().unwrap()).await, Failed);
    assert!(rig.conversations().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_error_that_leaves_the_effect_open_is_an_unknown_outcome() {
    for kind in [
        ErrorKind::Closed,
        ErrorKind::Timeout,
        ErrorKind::Io,
        ErrorKind::Protocol,
        ErrorKind::OutcomeUnknown,
    ] {
        let rig = Rig::new().await;
        let mut events = rig.deps.events.subscribe();
        let error = Error::new(kind, "send_message", "no answer");
        let error = error.with_native(Some("408".to_owned()), None);
        rig.adapter
            .script_messages_to("1001", MessageScript::error(error));
        let error = rig.send("1001", "hello").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{kind:?}");
        assert_eq!(error.effect(), Effect::Unknown);
        assert_eq!(error.native_code(), Some("408"));
        let id = error.message_id().unwrap();
        assert_eq!(rig.status(id).await, OutcomeUnknown);
        let PluginEvent::MessageStatusChanged(told) = events.try_recv().unwrap().unwrap().event
        else {
            panic!("another event");
        };
        assert_eq!(
            (told.message_id.as_str(), told.status),
            (id, OutcomeUnknown)
        );
        tokio::time::sleep(600 * SECOND).await;
        assert_eq!(rig.adapter.messages().len(), 1, "sent again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_without_effect_leaves_nothing_behind() {
    for (kind, becomes) in [
        (ErrorKind::NotConnected, ErrorKind::NotConnected),
        (ErrorKind::Overloaded, ErrorKind::Overloaded),
        (ErrorKind::ServerBusy, ErrorKind::ServerBusy),
        (ErrorKind::InvalidRequest, ErrorKind::InvalidRequest),
        (ErrorKind::PermissionDenied, ErrorKind::PermissionDenied),
        // The adapter declares messages, so it is the address.
        (ErrorKind::Unsupported, ErrorKind::InvalidRequest),
    ] {
        let rig = Rig::new().await;
        let error = Error::new(kind, "send_message", "no");
        rig.adapter
            .script_messages_to("1001", MessageScript::error(error));
        let error = rig.send("1001", "hello").await.unwrap_err();
        assert_eq!((error.kind(), error.message_id()), (becomes, None));
        assert_eq!(rig.figure("messages").await, 0);
        assert!(rig.conversations().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_or_the_capability_the_adapter_is_not_asked() {
    let rig = Rig::new().await;
    rig.adapter.set_connected(false);
    let error = rig.send("1001", "hello").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.is_retryable());
    let health = rig.plugin.health_check().await.unwrap();
    assert_eq!(health.status, PluginCondition::Critical);
    rig.adapter.set_connected(true);
    rig.adapter.set_capabilities(Capabilities::none());
    let error = rig.send("1001", "hello").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let health = rig.plugin.health_check().await.unwrap();
    assert_eq!(health.status, PluginCondition::Critical);
    assert!(rig.adapter.messages().is_empty());
    // Nor does it start over such an adapter.
    let other = SipMessagePlugin::new(Arc::new(rig.adapter.clone()));
    let started = other.start(json!({}), PluginDeps::current().unwrap()).await;
    assert_eq!(started.unwrap_err().kind(), ErrorKind::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn a_plugin_may_start_before_its_server_is_there() {
    let adapter = FakeAdapter::new();
    adapter.set_connected(false);
    adapter.set_capabilities(Capabilities::none());
    let rig = Rig::over(adapter, json!({})).await;
    rig.adapter.connect().await.unwrap();
    let can = Capabilities::none().with(Capability::SendMessage);
    rig.adapter.set_capabilities(can);
    rig.send("1001", "hello").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_leaves_the_outcome_unknown_and_keeps_its_place() {
    let rig = Rig::with(json!({"answer_timeout": "5s", "max_open": 1})).await;
    rig.adapter
        .script_messages_to("1001", MessageScript::hangs());
    let begun = tokio::time::Instant::now();
    let error = rig.send("1001", "hello").await.unwrap_err();
    assert_eq!(begun.elapsed(), 5 * SECOND);
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(
        rig.status(error.message_id().unwrap()).await,
        OutcomeUnknown
    );
    assert_eq!(rig.figure("open").await, 1);
    let full = rig.send("1002", "hello").await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Overloaded);
    assert_eq!(rig.adapter.messages().len(), 1);
    // It does not hold up a stop either.
    let begun = tokio::time::Instant::now();
    rig.plugin.stop().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_resolves_an_unknown_outcome_only_by_evidence() {
    let late = |script: MessageScript| script.with_reply_after(90 * SECOND);
    let rejected = MessageScript::rejected("486");
    for (script, becomes) in [
        (late(MessageScript::told(HandedOver)), OutcomeUnknown),
        (late(MessageScript::told(Delivered)), Delivered),
        (
            late(MessageScript::taken().later(SECOND, Delivered)),
            Delivered,
        ),
        (late(MessageScript::taken().later(SECOND, Failed)), Failed),
        (late(rejected), Failed),
        (late(MessageScript::lost_reply()), OutcomeUnknown),
    ] {
        let rig = Rig::new().await;
        rig.adapter.script_messages_to("1001", script.clone());
        let error = rig.send("1001", "hello").await.unwrap_err();
        let id = error.message_id().unwrap();
        assert_eq!(rig.status(id).await, OutcomeUnknown);
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(rig.status(id).await, becomes, "{script:?}");
        assert_eq!(rig.figure("open").await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_sent_all_the_same_and_its_record_stays() {
    let rig = Rig::new().await;
    let script = MessageScript::told(HandedOver).with_reply_after(SECOND);
    rig.adapter.script_messages_to("1001", script);
    let mut events = rig.deps.events.subscribe();
    {
        let send = rig.send("1001", "hello");
        tokio::select! {
            biased;
            _ = send => panic!("answered at once"),
            () = settle() => {}
        }
    }
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(rig.adapter.messages().len(), 1);
    let PluginEvent::MessageStatusChanged(told) = events.try_recv().unwrap().unwrap().event else {
        panic!("another event");
    };
    assert_eq!(rig.status(&told.message_id).await, HandedOver);
    assert_eq!(rig.conversations().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn messages_to_one_destination_follow_each_other_and_others_do_not_wait() {
    let rig = Rig::new().await;
    for to in ["1001", "1002"] {
        let script = MessageScript::told(HandedOver).with_reply_after(SECOND);
        rig.adapter.script_messages_to(to, script);
    }
    let begun = tokio::time::Instant::now();
    let (a, b, c) = tokio::join!(
        rig.send("1001", "one"),
        rig.send("1001", "two"),
        rig.send("1002", "three"),
    );
    for sent in [a, b, c] {
        sent.unwrap();
    }
    assert_eq!(begun.elapsed(), 2 * SECOND);
    assert_eq!(rig.adapter.most_messages_at_once(), 2);
    let texts: Vec<_> = rig
        .adapter
        .messages()
        .into_iter()
        .map(|message| message.content.text)
        .collect();
    assert_eq!(texts, ["one", "three", "two"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_answers_and_sends_nothing_that_waits() {
    let rig = Arc::new(Rig::new().await);
    let script = MessageScript::told(HandedOver).with_reply_after(10 * SECOND);
    rig.adapter.script_messages_to("1001", script);
    let send = |text: &'static str| {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move { rig.send("1001", text).await })
    };
    let (under_way, waits) = (send("one"), send("two"));
    settle().await;
    rig.plugin.stop().await.unwrap();
    under_way.await.unwrap().unwrap();
    let error = waits.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(error.effect(), Effect::NoEffect);
    assert_eq!(rig.adapter.messages().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_cannot_wait_longer_leaves_the_outcome_unknown() {
    let rig = Arc::new(Rig::with(json!({"answer_timeout": "10m"})).await);
    rig.adapter
        .script_messages_to("1001", MessageScript::hangs());
    let sending = {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move { rig.send("1001", "hello").await })
    };
    settle().await;
    let begun = tokio::time::Instant::now();
    rig.plugin.stop().await.unwrap();
    assert_eq!(begun.elapsed(), 30 * SECOND);
    let error = sending.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    let id = error.message_id().unwrap().to_owned();
    rig.restart().await;
    assert_eq!(rig.status(&id).await, OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_counted_and_nothing_is_made_up_for_them() {
    let rig = Rig::new().await;
    let script = MessageScript::taken().with_reply_after(SECOND);
    rig.adapter.script_messages_to("1001", script);
    let flood = async {
        settle().await;
        for _ in 0..3000 {
            let raw = RawEvent::new("Noise", Vec::new());
            rig.adapter.publish(SipEvent::Raw(raw));
        }
    };
    let (sent, ()) = tokio::join!(rig.send("1001", "hello"), flood);
    // The server took it, and may have said more among what was lost.
    assert_eq!(rig.status(&sent.unwrap().message_id).await, Sent);
    assert_eq!(rig.figure("events_missed").await, 3000 - 1024);
    let now = Timestamp::now();
    for gap in [None, Some(Gap::new(now, now))] {
        let mut change = ConnectionChanged::new(ConnectionState::Connected);
        change.gap = gap;
        rig.adapter
            .publish(SipEvent::ConnectionStateChanged(change));
    }
    settle().await;
    assert_eq!(rig.figure("gaps").await, 1);
}

#[tokio::test(start_paused = true)]
async fn statuses_of_messages_that_are_not_ours_change_nothing() {
    let rig = Rig::new().await;
    let mut events = rig.deps.events.subscribe();
    rig.adapter.message_status("somebody-elses", Failed);
    settle().await;
    assert!(events.try_recv().is_none());
    let asked = rig.plugin.get_message_status("somebody-elses").await;
    assert_eq!(asked.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_status_stays_readable_for_the_retention() {
    let rig = Rig::with(json!({"retention": "1h", "retention_messages": 2})).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let sent = rig.send("1001", &number.to_string()).await.unwrap();
        ids.push(sent.message_id);
    }
    let first = rig.plugin.get_message_status(&ids[0]).await;
    assert_eq!(first.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rig.status(&ids[2]).await, HandedOver);
    tokio::time::sleep(3601 * SECOND).await;
    let last = rig.plugin.get_message_status(&ids[2]).await;
    assert_eq!(last.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_text_has_at_most_the_bytes_of_the_configuration() {
    let rig = Rig::new().await;
    rig.send("1001", &"x".repeat(1300)).await.unwrap();
    let error = rig.send("1001", &"x".repeat(1301)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(rig.adapter.messages().len(), 1);
    let rig = Rig::with(json!({"max_bytes": 4000})).await;
    rig.send("1001", &"x".repeat(4000)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn debug_forms_show_no_address_and_no_text() {
    let rig = Rig::with(json!({"from": "sip:quux@pbx.example"})).await;
    rig.send("1001", "secret words").await.unwrap();
    let content = MessageContent::text(MessageKind::Sip, "secret words");
    let shown = format!("{:?} {:?} {content:?}", rig.plugin, rig.adapter);
    assert!(
        !shown.contains("quux") && !shown.contains("secret"),
        "{shown}"
    );
}
