//! The adapter: connecting, staying connected, messages, and what it does not have.
#![cfg(test)]
#![cfg(feature = "flexisip")]

mod flexisip_support;

use std::time::Duration;

use faxbot_core::{
    ErrorKind, Result,
    event::EventStream,
    id::{CallId, CallRef},
    message::{MessageContent, MessageKind, MessageState},
    sip::{
        CallRequest, Capability, ConnectionState, EventPath, HealthStatus, Lookup, SipAdapter as _,
        SipEvent, SipMessage,
    },
};
use faxbot_sip::adapter::flexisip::FlexisipAdapter;
use faxbot_testkit::{
    fixtures::private,
    server::{
        flexisip::MockFlexisip,
        http::{Fault, FaultKind},
    },
};
use flexisip_support::{Mock, adapter, address};

/// [`MockFlexisip::PASSWORD`] as a URL has it.
const PASSWORD: &str = "Rabe%2Fblau%3A44%20Zinn";

fn admin(mock: &Mock) -> FlexisipAdapter {
    adapter(mock, &format!("{}@", MockFlexisip::ADMIN_KEY))
}

async fn until(events: &mut EventStream<SipEvent>, state: ConnectionState) -> bool {
    loop {
        match events.recv().await {
            Some(Ok(stamped)) => {
                if let SipEvent::ConnectionStateChanged(changed) = stamped.event
                    && changed.state == state
                {
                    return changed.gap.is_some();
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn send(adapter: &FlexisipAdapter, to: &str, text: &str) -> Result<String> {
    let content = MessageContent::text(MessageKind::Sip, text);
    let sent = adapter.send_message(SipMessage::new(to.parse().unwrap(), content));
    Ok(sent.await?.message_id)
}

#[tokio::test(start_paused = true)]
async fn it_connects_by_each_kind_of_credentials() {
    for credentials in [
        format!("{}@", MockFlexisip::ADMIN_KEY),
        format!("{}@", MockFlexisip::USER_KEY),
        String::new(),
    ] {
        let mock = MockFlexisip::new().in_memory();
        let adapter = adapter(&mock, &credentials);
        adapter.connect().await.unwrap();
        assert_eq!(adapter.connection().state, ConnectionState::Connected);
        assert_eq!(
            adapter.connection().events,
            EventPath::Polling(Duration::from_millis(100))
        );
        assert!(adapter.capabilities().iter().next().is_none());
        let again = adapter.connect().await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::InvalidState);
        assert!(
            adapter
                .disconnect(Duration::from_secs(1))
                .await
                .unwrap()
                .complete
        );
        adapter.connect().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_fail_at_connect_and_are_not_tried_again() {
    for credentials in ["wrong@", "nobody:wrong@", "admin:wrong@"] {
        let mock = MockFlexisip::new().in_memory();
        let adapter = adapter(&mock, credentials);
        let error = adapter.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{credentials}");
        assert_eq!(error.operation(), "connect");
        assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
        let requests = mock.requests().len();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(mock.requests().len(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn something_that_is_no_account_manager_fails_at_connect() {
    let mock = MockFlexisip::new().in_memory();
    mock.fault(Fault::new(FaultKind::Garbage).times(100));
    let error = admin(&mock).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    let mock = MockFlexisip::new().in_memory();
    mock.unreachable(true);
    let error = admin(&mock).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    let mock = MockFlexisip::new().in_memory();
    mock.fault(Fault::new(FaultKind::HangBeforeEffect).times(100));
    let error = admin(&mock).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_lost_is_found_again_without_a_restart_of_ours() {
    let mock = MockFlexisip::new().in_memory();
    let adapter = admin(&mock);
    adapter.connect().await.unwrap();
    let mut events = adapter.subscribe();
    mock.unreachable(true);
    assert!(!until(&mut events, ConnectionState::Connecting).await);
    let health = adapter.health_check().await.unwrap();
    assert_eq!(
        (health.connected, health.status),
        (false, HealthStatus::Critical)
    );
    // Messages come with the server that comes back.
    mock.vendor(|it| it.set_daemon(Some(Ok(()))));
    mock.unreachable(false);
    assert!(until(&mut events, ConnectionState::Connected).await);
    assert!(adapter.capabilities().has(Capability::SendMessage));
    adapter.disconnect(Duration::from_secs(1)).await.unwrap();
    let requests = mock.requests().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(mock.requests().len(), requests);
}

#[tokio::test(start_paused = true)]
async fn one_ping_that_fails_is_not_the_end() {
    let mock = MockFlexisip::new().in_memory();
    let adapter = admin(&mock);
    adapter.connect().await.unwrap();
    mock.fault(Fault::new(FaultKind::CutAfterEffect).on("GET", "/api/ping"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
    let health = adapter.health_check().await.unwrap();
    assert!(health.connected);
    assert!(health.metrics.latency.avg_ms.is_some());
}

#[tokio::test(start_paused = true)]
async fn messages_are_handed_over_where_the_server_takes_them() {
    let mock = MockFlexisip::new().with_daemon().in_memory();
    let adapter = admin(&mock);
    let early = send(&adapter, "bob", "x").await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::Unsupported);
    adapter.connect().await.unwrap();
    assert!(adapter.capabilities().has(Capability::SendMessage));
    // The question whether it sends messages sent none.
    assert!(mock.vendor(|it| it.messages().is_empty()));
    let mut events = adapter.subscribe();
    for to in [
        "bob",
        &format!("sip:{}", address("bob")),
        &format!("native:{}", address("bob")),
    ] {
        send(&adapter, to, private::MESSAGE).await.unwrap();
    }
    let sent = mock.vendor(|it| it.messages().to_vec());
    assert!(
        sent.iter()
            .all(|(to, text)| *to == address("bob") && text == private::MESSAGE)
    );
    assert_eq!(sent.len(), 3);
    let Some(Ok(event)) = events.recv().await else {
        panic!("no event");
    };
    match event.event {
        SipEvent::MessageStatusChanged(status) => {
            assert_eq!(status.status, MessageState::HandedOver);
        }
        other => panic!("{other:?}"),
    }

    let before = mock.requests_on("POST", "/").len();
    for (to, text) in [("bob", "a\nb"), ("native:bob", "x"), ("bob", "")] {
        let error = send(&adapter, to, text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{to} {text:?}");
    }
    assert_eq!(mock.requests_on("POST", "/").len(), before);
    mock.fault(Fault::new(FaultKind::CutAfterEffect).on("POST", "/api/messages"));
    let error = send(&adapter, "bob", "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(mock.vendor(|it| it.messages().len()), 4);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_send_messages_does_not_declare_them() {
    for (mock, credentials) in [
        (MockFlexisip::new(), format!("{}@", MockFlexisip::ADMIN_KEY)),
        (
            MockFlexisip::new().with_daemon(),
            format!("{}@", MockFlexisip::USER_KEY),
        ),
        (MockFlexisip::new().with_daemon(), String::new()),
    ] {
        let mock = mock.in_memory();
        let adapter = adapter(&mock, &credentials);
        adapter.connect().await.unwrap();
        assert!(!adapter.capabilities().has(Capability::SendMessage));
        let before = mock.requests_on("POST", "/").len();
        let error = send(&adapter, "bob", "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(mock.requests_on("POST", "/").len(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn there_are_no_calls() {
    let mock = MockFlexisip::new().in_memory();
    let adapter = admin(&mock);
    adapter.connect().await.unwrap();
    let dial = CallRequest::dial("602".parse().unwrap());
    let call = CallRef::from(CallId::new());
    let kinds = [
        adapter.make_call(dial).await.unwrap_err().kind(),
        adapter.hangup(&call).await.unwrap_err().kind(),
        adapter.hold(&call).await.unwrap_err().kind(),
        adapter
            .get_call_history(Default::default())
            .await
            .unwrap_err()
            .kind(),
        adapter.get_cdr(&call).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Unsupported; 5]);
    assert_eq!(
        adapter.get_status(&call).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(matches!(
        adapter.lookup(&call).await.unwrap(),
        Lookup::Unknown(_)
    ));
    adapter.release(&call).await.unwrap();
    assert!(adapter.snapshot().calls.is_empty());
    adapter.disconnect(Duration::from_secs(1)).await.unwrap();
    assert_eq!(
        adapter.lookup(&call).await.unwrap_err().kind(),
        ErrorKind::NotConnected
    );
}

#[tokio::test(start_paused = true)]
async fn the_api_works_without_a_connection() {
    let mock = MockFlexisip::new().in_memory();
    let admin = admin(&mock);
    assert_eq!(admin.api().unwrap().accounts(1).await.unwrap().total, 2);
    assert_eq!(admin.connection().state, ConnectionState::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn it_connects_by_digest_and_pings_without_it() {
    let mock = MockFlexisip::new().in_memory();
    let adapter = adapter(&mock, &format!("{}:{}@", MockFlexisip::USER, PASSWORD));
    adapter.connect().await.unwrap();
    assert_eq!(mock.vendor(|it| (it.digests(), it.replays())), (1, 0));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
    assert_eq!(mock.vendor(|it| it.digests()), 1);
}
