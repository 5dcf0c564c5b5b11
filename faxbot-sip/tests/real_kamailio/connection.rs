//! A connection to a real Kamailio 5.6 and 6.1 that is refused, lost and found again.

use std::time::Duration;

use crate::{
    agent::{Agent, Manner},
    real::{LIMIT, link::CuttableLink, party::Party, party_caller::Caller, until, within},
    server::{Kamailio, Version, connected},
    watch::{history, next, next_connection, only_record, wait_events, wait_none, wait_one},
};
use faxbot_core::{
    Effect, ErrorKind, Timestamp,
    id::CallRef,
    sip::{
        CallRequest, CallState, ConnectionState, Disposition, EventPath, HangupOutcome,
        HealthStatus, Lookup, Severity, SipAdapter as _, SipEvent,
    },
};
use faxbot_sip::adapter::kamailio::{KamailioAdapter, KamailioConfig};
use serde_json::{Value, json};

crate::on_both_kamailios!(
    every_way_to_authenticate_works,
    wrong_credentials_are_told_and_final,
    a_wrong_path_is_told_and_final,
    credentials_that_are_refused_later_are_tried_again,
    calls_of_a_server_that_was_killed_are_lost_and_never_ended,
    a_restart_between_two_polls_is_noticed,
    while_events_are_cut_it_is_polled,
    calls_outlive_a_cut_of_the_polls,
    whom_the_server_has_no_place_for_polls,
);

/// Ends a call of others that is up, and sees the record of it.
async fn a_call_goes(kamailio: &Kamailio, adapter: &KamailioAdapter) {
    let party = Party::answers().start(kamailio).await;
    let caller = Caller::dial(kamailio, &party.uri()).start().await;
    let call = wait_one(adapter, CallState::Connected).await;
    let call = CallRef::from(call.id.unwrap());
    assert_eq!(
        adapter.hangup(&call).await.unwrap(),
        HangupOutcome::Requested
    );
    caller.wait_over().await;
    wait_none(adapter).await;
    let found = adapter.lookup(&call).await.unwrap();
    let Lookup::Ended(record) = found else {
        panic!("{found:?}");
    };
    assert_eq!(record.disposition, Disposition::Answered);
}

/// A configuration as an operator writes it, for another port, path or other credentials.
fn config(kamailio: &Kamailio, port: u16, path: &str, auth: &Value) -> KamailioConfig {
    let config = json!({
        "type": "kamailio",
        "port": port,
        "realm": format!("127.0.0.1:{}", kamailio.sip_port()),
        "auth": auth,
        "options": { "poll": "200ms", "path": path },
    });
    KamailioConfig::from_value(&config).unwrap()
}

async fn every_way_to_authenticate_works(version: Version) {
    for auth in ["auth=none", "auth=basic", "auth=bearer", "auth=digest"] {
        let kamailio = Kamailio::start(version, &[auth]).await;
        let config = if auth == "auth=digest" {
            // A URL has no place for the scheme.
            let login = json!({ "username": "faxbot", "password": "s3cret", "scheme": "digest" });
            config(&kamailio, kamailio.rpc_port(), "/RPC", &login)
        } else {
            KamailioConfig::from_url(&format!("{}&poll=200ms", kamailio.url())).unwrap()
        };
        let adapter = connected(config).await;
        a_call_goes(&kamailio, &adapter).await;
        let health = adapter.health_check().await.unwrap();
        assert_eq!(health.status, HealthStatus::Healthy, "{auth}");
        // Longer than a nonce of a digest is the same.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        a_call_goes(&kamailio, &adapter).await;
        assert_eq!(adapter.connection().state, ConnectionState::Connected);
    }
}

async fn wrong_credentials_are_told_and_final(version: Version) {
    for (kind, wrong) in [
        (
            "auth=basic",
            json!({ "username": "faxbot", "password": "wr0ng" }),
        ),
        ("auth=bearer", json!({ "token": "wr0ng" })),
        (
            "auth=digest",
            json!({ "username": "faxbot", "password": "wr0ng", "scheme": "digest" }),
        ),
        (
            "auth=digest",
            json!({ "username": "other", "password": "s3cret", "scheme": "digest" }),
        ),
        (
            "auth=digest",
            json!({ "username": "faxbot", "password": "s3cret" }),
        ),
        ("auth=digest", json!({})),
        ("auth=bearer", json!({})),
    ] {
        let kamailio = Kamailio::start(version, &[kind]).await;
        let link = CuttableLink::to(kamailio.rpc_port()).await;
        let adapter = KamailioAdapter::new(config(&kamailio, link.port(), "/RPC", &wrong));
        let mut events = adapter.subscribe();
        let refused = adapter.connect().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Authentication, "{kind} {wrong}");
        assert_eq!(refused.effect(), Effect::NoEffect);
        assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
        let severity = next(&mut events, "the trouble is told", |event| match event {
            SipEvent::AdapterError { severity, error } => {
                assert_eq!(error.kind(), ErrorKind::Authentication);
                Some(*severity)
            }
            _ => None,
        });
        assert_eq!(severity.await, Severity::Critical);
        let tried = link.accepted();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(link.accepted(), tried, "{kind}");
        let text = format!("{refused} {refused:?} {adapter:?}");
        assert!(
            !text.contains("wr0ng") && !text.contains("s3cret"),
            "{text}"
        );
    }
}

async fn a_wrong_path_is_told_and_final(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let port = kamailio.rpc_port();
    let adapter = KamailioAdapter::new(config(&kamailio, port, "/nothing", &json!({})));
    let refused = adapter.connect().await.unwrap_err();
    println!("a wrong path: {refused}");
    assert_eq!(refused.native_code(), Some("404"));
    assert_eq!(refused.kind(), ErrorKind::Protocol);
    assert_eq!(refused.effect(), Effect::NoEffect);
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
    // With the right one the same process goes on.
    let adapter = connected(config(&kamailio, port, "/RPC", &json!({}))).await;
    a_call_goes(&kamailio, &adapter).await;
    // A port where nobody is.
    let adapter = KamailioAdapter::new(config(&kamailio, 1, "/RPC", &json!({})));
    let refused = adapter.connect().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotConnected);
    // Another server: it takes SIP alone.
    let port = kamailio.sip_port();
    let adapter = KamailioAdapter::new(config(&kamailio, port, "/RPC", &json!({})));
    let refused = within("the attempt ends", LIMIT, adapter.connect()).await;
    println!("a port without JSON-RPC: {}", refused.unwrap_err());
}

async fn credentials_that_are_refused_later_are_tried_again(version: Version) {
    let mut kamailio = Kamailio::start(version, &["auth=bearer"]).await;
    let auth = json!({ "token": "t0ken" });
    let adapter = connected(config(&kamailio, kamailio.rpc_port(), "/RPC", &auth)).await;
    let mut events = adapter.subscribe();
    kamailio.kill().await;
    kamailio.start_again(&["auth=basic"]).await;
    let error = next(&mut events, "the refusal is told", |event| match event {
        SipEvent::AdapterError {
            severity: Severity::Critical,
            error,
        } => Some(error.kind()),
        _ => None,
    });
    assert_eq!(error.await, ErrorKind::Authentication);
    assert_eq!(adapter.connection().state, ConnectionState::Connecting);
    kamailio.kill().await;
    kamailio.start_again(&["auth=bearer"]).await;
    let back = next_connection(&mut events, ConnectionState::Connected).await;
    assert!(back.gap.is_some());
    a_call_goes(&kamailio, &adapter).await;
}

async fn calls_of_a_server_that_was_killed_are_lost_and_never_ended(version: Version) {
    let mut kamailio = Kamailio::start(version, &[]).await;
    let party = Party::answers().many().start(&kamailio).await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let told = kamailio.adapter().await;
    let polls = connected(kamailio.polling()).await;
    let _caller = Caller::dial(&kamailio, &party.uri()).start().await;
    wait_one(&told, CallState::Connected).await;
    let (from, to) = (agent.uri().parse().unwrap(), party.uri().parse().unwrap());
    let ours = told.make_call(CallRequest::connect(from, to)).await;
    let ours = ours.unwrap();
    within("the call is answered", LIMIT, ours.answered())
        .await
        .unwrap();
    crate::watch::wait_many(&polls, 2, CallState::Connected).await;
    let mut all_events = [told.subscribe(), polls.subscribe()];
    let before = Timestamp::now();
    kamailio.kill().await;
    let killed = Timestamp::now();
    for events in &mut all_events {
        next_connection(events, ConnectionState::Connecting).await;
    }
    // They may be up, and are kept until the server says more.
    assert_eq!(told.snapshot().calls.len(), 2);
    let refused = told.hangup(&ours.call_ref()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotConnected);
    kamailio.start_again(&[]).await;
    for events in &mut all_events {
        let mut lost = 0;
        let mut back = None;
        while lost < 2 || back.is_none() {
            let (change, connection) = next(events, "the calls are lost", |event| match event {
                SipEvent::CallStateChanged(change) => Some((Some(change.clone()), None)),
                SipEvent::ConnectionStateChanged(changed)
                    if changed.state == ConnectionState::Connected =>
                {
                    Some((None, Some(changed.clone())))
                }
                _ => None,
            })
            .await;
            if let Some(change) = change {
                assert_eq!(change.to, CallState::Terminated);
                assert!(change.record.is_none(), "{change:?}");
                lost += 1;
            }
            back = back.or(connection);
        }
        let gap = back.unwrap().gap.unwrap();
        assert!(gap.from <= killed && gap.to >= killed, "{gap:?}");
        // A poll was under way when it was last seen.
        assert!(gap.from.as_millisecond() + 2_500 >= before.as_millisecond());
    }
    let lost = within("our call is lost", LIMIT, ours.ended()).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    for adapter in [&told, &polls] {
        assert!(adapter.snapshot().calls.is_empty());
        assert!(history(adapter).await.is_empty());
    }
    let mut reference = ours.call_ref();
    reference.requested_at = Some(before);
    let found = told.lookup(&reference).await.unwrap();
    assert!(matches!(found, Lookup::Unknown(_)), "{found:?}");
    wait_events(&told, true).await;
    a_call_goes(&kamailio, &told).await;
}

async fn a_restart_between_two_polls_is_noticed(version: Version) {
    let mut kamailio = Kamailio::start(version, &[]).await;
    let party = Party::answers().start(&kamailio).await;
    let config = kamailio.config(&json!({ "events": null, "poll": "3s" }));
    let adapter = connected(config).await;
    let _caller = Caller::dial(&kamailio, &party.uri()).start().await;
    let call = wait_one(&adapter, CallState::Connected).await;
    let mut events = adapter.subscribe();
    kamailio.kill().await;
    kamailio.start_again(&[]).await;
    let change = next(&mut events, "the call is lost", |event| match event {
        SipEvent::CallStateChanged(change) => Some(change.clone()),
        _ => None,
    });
    let change = change.await;
    assert_eq!((change.id, change.to), (call.id, CallState::Terminated));
    assert!(change.record.is_none(), "{change:?}");
    assert!(history(&adapter).await.is_empty());
    assert!(adapter.snapshot().calls.is_empty());
}

async fn while_events_are_cut_it_is_polled(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let link = CuttableLink::to(kamailio.evapi_port()).await;
    let events_at = format!("127.0.0.1:{}", link.port());
    let adapter = connected(kamailio.config(&json!({ "events": events_at }))).await;
    assert_eq!(adapter.connection().events, EventPath::Push);
    let party = Party::rings().start(&kamailio).await;
    let busy = Party::refuses(486).start(&kamailio).await;
    let caller = Caller::dial(&kamailio, &party.uri()).start().await;
    let ringing = wait_one(&adapter, CallState::Ringing).await;
    let mut events = adapter.subscribe();
    link.cut();
    wait_events(&adapter, false).await;
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
    let severity = next(&mut events, "the trouble is told", |event| match event {
        SipEvent::AdapterError { severity, .. } => Some(*severity),
        _ => None,
    });
    assert_eq!(severity.await, Severity::Warning);
    party.answer();
    let call = wait_one(&adapter, CallState::Connected).await;
    assert_eq!(call.id, ringing.id);
    // One that begins and ends meanwhile is seen, and its reason is not.
    let refused = Caller::dial(&kamailio, &busy.uri()).start().await;
    assert_eq!(refused.final_status().await, 486);
    until("the end is seen", LIMIT, async || {
        (!history(&adapter).await.is_empty()).then_some(())
    })
    .await;
    let record = only_record(&adapter).await;
    assert_eq!(record.disposition, Disposition::Unknown);
    assert!(record.causes.is_empty());
    link.mend();
    wait_events(&adapter, true).await;
    let gap = next_connection(&mut events, ConnectionState::Connected).await;
    assert!(gap.gap.is_some());
    caller.hang_up();
    wait_none(&adapter).await;
    let refused = Caller::dial(&kamailio, &busy.uri()).start().await;
    assert_eq!(refused.final_status().await, 486);
    until("all have ended", LIMIT, async || {
        (history(&adapter).await.len() == 3).then_some(())
    })
    .await;
    let last = history(&adapter).await.remove(0);
    assert_eq!(last.causes.sip_status, Some(486));
}

async fn calls_outlive_a_cut_of_the_polls(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let link = CuttableLink::to(kamailio.rpc_port()).await;
    let party = Party::answers().start(&kamailio).await;
    let adapter = connected(config(&kamailio, link.port(), "/RPC", &json!({}))).await;
    let caller = Caller::dial(&kamailio, &party.uri()).start().await;
    let before = wait_one(&adapter, CallState::Connected).await;
    let mut events = adapter.subscribe();
    link.cut();
    next_connection(&mut events, ConnectionState::Connecting).await;
    assert_eq!(adapter.snapshot().calls.len(), 1);
    let call = CallRef::from(before.id.unwrap());
    let refused = adapter.hangup(&call).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotConnected);
    assert_eq!(refused.effect(), Effect::NoEffect);
    link.mend();
    let back = next_connection(&mut events, ConnectionState::Connected).await;
    assert!(back.gap.is_some());
    let after = wait_one(&adapter, CallState::Connected).await;
    assert_eq!(after.id, before.id);
    adapter.hangup(&call).await.unwrap();
    caller.wait_over().await;
    wait_none(&adapter).await;
    assert_eq!(
        only_record(&adapter).await.disposition,
        Disposition::Answered
    );
}

async fn whom_the_server_has_no_place_for_polls(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let party = Party::answers().start(&kamailio).await;
    let mut adapters = Vec::new();
    for _ in 0..8 {
        let adapter = kamailio.adapter().await;
        assert_eq!(adapter.connection().events, EventPath::Push);
        adapters.push(adapter);
    }
    // `max_clients` of evapi is 8.
    let ninth = connected(kamailio.config(&json!({}))).await;
    let mut events = ninth.subscribe();
    let caller = Caller::dial(&kamailio, &party.uri()).start().await;
    let seen = wait_one(&ninth, CallState::Connected).await;
    for adapter in &adapters {
        assert_eq!(wait_one(adapter, CallState::Connected).await.id, seen.id);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut told = 0;
    while let Some(Ok(event)) = events.try_recv() {
        told += usize::from(!matches!(event.event, SipEvent::CallStateChanged(_)));
    }
    println!("the ninth told so many times of its connection: {told}");
    assert!(told < 40);
    assert_eq!(ninth.connection().state, ConnectionState::Connected);
    caller.hang_up();
    wait_none(&ninth).await;
    assert_eq!(only_record(&ninth).await.disposition, Disposition::Answered);
    // A place is free: it gets its events.
    adapters.remove(0).disconnect(LIMIT).await.unwrap();
    until("the ninth gets its events", LIMIT, async || {
        for _ in 0..10 {
            if ninth.connection().events != EventPath::Push {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(())
    })
    .await;
}
