//! JSON-RPC in datagrams, with a real Kamailio 5.6 and 6.1.

use crate::{
    agent::{Agent, Manner},
    real::{LIMIT, party::Party, party_caller::Caller, within},
    server::{Kamailio, Version, connected},
    watch::{history, next, next_connection, only_record, wait_none, wait_one},
};
use faxbot_core::{
    Effect, ErrorKind,
    id::CallRef,
    message::{MessageContent, MessageKind},
    sip::{
        CallRequest, CallState, Capability, ConnectionState, Disposition, HangupOutcome,
        HealthStatus, SipAdapter as _, SipEvent, SipMessage,
    },
};
use faxbot_sip::{adapter::kamailio::KamailioConfig, protocol::jsonrpc::Params};
use serde_json::json;

crate::on_both_kamailios!(
    calls_are_followed_and_ended_by_datagrams,
    a_server_that_was_killed_is_found_again_by_datagrams,
    a_message_is_not_promised_where_it_cannot_be_sent,
);

/// Where HTTP would be nobody listens.
fn config(kamailio: &Kamailio) -> KamailioConfig {
    let events = format!("127.0.0.1:{}", kamailio.evapi_port());
    let mut config = json!({
        "type": "kamailio",
        "port": 1,
        "realm": format!("127.0.0.1:{}", kamailio.sip_port()),
        "options": {
            "poll": "200ms",
            "request_timeout": "2s",
            "events": events,
            "rpc_socket": kamailio.rpc_socket(),
        },
    });
    if let Some(own) = kamailio.reply_socket() {
        config["options"]["rpc_reply_socket"] = own.into();
    }
    KamailioConfig::from_value(&config).unwrap()
}

async fn calls_are_followed_and_ended_by_datagrams(version: Version) {
    for option in ["dgram=unix", "dgram=udp"] {
        let kamailio = Kamailio::start(version, &[option]).await;
        let adapter = connected(config(&kamailio)).await;
        let health = adapter.health_check().await.unwrap();
        assert_eq!(health.status, HealthStatus::Healthy);
        let party = Party::answers().start(&kamailio).await;
        let caller = Caller::dial(&kamailio, &party.uri()).start().await;
        let call = wait_one(&adapter, CallState::Connected).await;
        let call = CallRef::from(call.id.unwrap());
        assert_eq!(
            adapter.hangup(&call).await.unwrap(),
            HangupOutcome::Requested
        );
        caller.wait_over().await;
        wait_none(&adapter).await;
        let agent = Agent::start(&kamailio, Manner::Transfers).await;
        let (from, to) = (agent.uri().parse().unwrap(), party.uri().parse().unwrap());
        let ours = adapter.make_call(CallRequest::connect(from, to)).await;
        let ours = ours.unwrap();
        within("the call is answered", LIMIT, ours.answered())
            .await
            .unwrap();
        adapter.hangup(&ours.call_ref()).await.unwrap();
        let record = within("the call ends", LIMIT, ours.ended()).await.unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(history(&adapter).await.len(), 2);
        let echo = Params::List(vec!["grün".into()]);
        let answer = adapter.rpc("core.echo", echo).await.unwrap();
        assert_eq!(answer[0], "grün");
        let missing = adapter.rpc("no.such", Params::None).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Unsupported);
    }
}

async fn a_server_that_was_killed_is_found_again_by_datagrams(version: Version) {
    for option in ["dgram=unix", "dgram=udp"] {
        let mut kamailio = Kamailio::start(version, &[option]).await;
        let adapter = connected(config(&kamailio)).await;
        let party = Party::answers().start(&kamailio).await;
        let _lost = Caller::dial(&kamailio, &party.uri()).start().await;
        wait_one(&adapter, CallState::Connected).await;
        let mut events = adapter.subscribe();
        kamailio.kill().await;
        next_connection(&mut events, ConnectionState::Connecting).await;
        kamailio.start_again(&[]).await;
        let change = next(&mut events, "the call is lost", |event| match event {
            SipEvent::CallStateChanged(change) => Some(change.clone()),
            _ => None,
        });
        assert!(change.await.record.is_none());
        wait_none(&adapter).await;
        let caller = Caller::dial(&kamailio, &party.uri()).start().await;
        wait_one(&adapter, CallState::Connected).await;
        caller.hang_up();
        wait_none(&adapter).await;
        let record = only_record(&adapter).await;
        assert_eq!(record.disposition, Disposition::Answered);
    }
}

async fn a_message_is_not_promised_where_it_cannot_be_sent(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = connected(config(&kamailio)).await;
    let party = Party::answers().start(&kamailio).await;
    // Datagrams have no answer that comes later.
    let content = MessageContent::text(MessageKind::Sip, "hello");
    let message = SipMessage::new(party.uri().parse().unwrap(), content);
    let promised = adapter.capabilities().has(Capability::SendMessage);
    let refused = adapter.send_message(message).await.unwrap_err();
    assert_eq!(refused.effect(), Effect::NoEffect);
    assert_eq!(refused.kind() == ErrorKind::Unsupported, !promised);
    assert!(!promised, "{refused:?}");
}
