//! Sessions of one leg and dialog profiles, against a mocked OpenSIPS.
#![cfg(test)]
#![cfg(feature = "opensips")]

mod opensips_support;
mod proxy_support;

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    address::Address,
    event::EventStream,
    id::CallRef,
    sip::{CallState, SipAdapter as _, SipEvent},
};
use faxbot_sip::adapter::opensips::{NewSession, SessionBody, SessionEvent, SessionEventKind};
use faxbot_testkit::server::opensips::{MockOpenSips, PassingCall, Release};
use opensips_support::Rig;
use proxy_support::{ended, in_state, next};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn session() -> NewSession {
    NewSession::new(address("2000"), address("sip:clinic@127.0.0.1"))
}

async fn told(events: &mut EventStream<SipEvent>) -> SessionEvent {
    next(events, |event| match event {
        SipEvent::Raw(raw) => SessionEvent::read(raw),
        _ => None,
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_session_is_begun_and_spoken_to_and_its_events_tell_what_comes_back() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut events = adapter.subscribe();
    let key = adapter
        .start_session(session().with_sdp("v=0\r\n"))
        .await
        .unwrap();
    let begun = rig.mock.requests_of("ua_session_client_start").remove(0);
    assert_eq!(begun.text("body").as_deref(), Some("v=0\r\n"));
    // The server writes it into the Contact.
    assert_eq!(begun.text("content_type"), None);
    let early = told(&mut events).await;
    assert_eq!(
        (early.kind, early.status),
        (SessionEventKind::Early, Some(180))
    );
    let answered = told(&mut events).await;
    assert_eq!(answered.kind, SessionEventKind::Answered);
    assert_eq!((&answered.key, answered.method.as_str()), (&key, "INVITE"));
    assert!(answered.body.is_some());
    adapter.session_update(&key, "OPTIONS", None).await.unwrap();
    let answered = told(&mut events).await;
    assert_eq!(answered.kind, SessionEventKind::Answered);
    assert_eq!(answered.method, "OPTIONS");
    let body = SessionBody::new("text/plain", "hello").unwrap();
    let sent = adapter.session_update(&key, "INFO", Some(body.clone()));
    sent.await.unwrap();
    let sent = rig.mock.requests_of("ua_session_update").remove(1);
    assert_eq!(
        sent.text("content_type").as_deref(),
        Some("Content-Type: text/plain\r\n")
    );
    assert_eq!(told(&mut events).await.method, "INFO");
    let reply = adapter.session_reply(&key, "INFO", 200, "OK", Some(body));
    reply.await.unwrap();
    assert_eq!(adapter.sessions().await.unwrap().len(), 1);
    assert!(rig.mock.session_hangs_up(&key));
    assert_eq!(told(&mut events).await.kind, SessionEventKind::Terminated);
    let gone = adapter.session_update(&key, "OPTIONS", None).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    let gone = adapter.session_reply(&key, "INFO", 200, "OK", None).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    let gone = adapter.end_session(&key).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn what_would_make_another_line_is_refused_before_anything_is_sent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    for method in ["", "info", "INFO\r\nX: y", "IN FO"] {
        let error = adapter.session_update("B2B.1", method, None).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
    for (status, words) in [(99, "OK"), (700, "OK"), (200, ""), (200, "OK\r\nX: y")] {
        let error = adapter.session_reply("B2B.1", "INFO", status, words, None);
        assert_eq!(error.await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    }
    assert!(rig.mock.requests_of("ua_session_update").is_empty());
    assert!(rig.mock.requests_of("ua_session_reply").is_empty());
}

#[test]
fn debug_shows_no_session_description() {
    let shown = format!("{:?}", session().with_sdp("v=0 geheim"));
    assert!(
        !shown.contains("geheim") && !shown.contains("2000"),
        "{shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_without_sessions_is_not_asked_for_one() {
    let rig = Rig::with(MockOpenSips::builder().release(Release::V3_2)).await;
    let adapter = rig.connected().await;
    let error = adapter.start_session(session()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = adapter.session_update("B2B.1", "INFO", None).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    let error = adapter.end_session("B2B.1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let requests = rig.mock.requests();
    assert!(
        !requests
            .iter()
            .any(|it| it.method.starts_with("ua_session"))
    );
}

#[tokio::test(start_paused = true)]
async fn the_dialogs_of_a_profile_are_counted_listed_and_ended() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = PassingCall::new("sip:alice@127.0.0.1:25070", "sip:2000@127.0.0.1:25060");
    let call = CallRef::native(rig.mock.call(call));
    in_state(&adapter, &call, CallState::Connected).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let values = adapter.profile_values("caller").await.unwrap();
    assert_eq!(values.len(), 1);
    assert_eq!(values[0].value.as_ref().unwrap().expose(), "alice");
    assert_eq!(values[0].count, 1);
    let dialogs = adapter.profile_dialogs("caller", Some("alice"));
    let dialog = dialogs.await.unwrap().remove(0);
    assert_eq!(Some(dialog.call_id.expose()), call.native.as_ref());
    let none = adapter.profile_dialogs("caller", Some("bob")).await;
    assert!(none.unwrap().is_empty());
    let end = adapter.end_profile_dialogs("caller", Some("bob"));
    end.await.unwrap();
    let end = adapter.end_profile_dialogs("caller", Some("alice"));
    end.await.unwrap();
    ended(&adapter, &call).await;
    for error in [
        adapter.profile_values("nope").await.map(drop),
        adapter.profile_dialogs("nope", None).await.map(drop),
        adapter.end_profile_dialogs("nope", None).await,
    ] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
