//! Who is registered and where calls go, as a real Kamailio 5.6 and 6.1 tells it.

use std::time::Duration;

use crate::{
    agent::{Agent, Manner},
    real::{
        LIMIT,
        party::Party,
        party_caller::{Caller, register},
        until,
    },
    server::{Kamailio, Version},
    watch::next,
};
use faxbot_core::{
    ErrorKind,
    event::EventStream,
    sip::{SipAdapter as _, SipEvent},
};
use faxbot_sip::{adapter::kamailio::DestinationState, protocol::jsonrpc::Params};

crate::on_both_kamailios!(
    registrations_are_listed_and_their_changes_told,
    destinations_are_listed_and_their_state_is_set,
    a_destination_that_goes_down_is_told,
    a_phone_is_asked_whether_it_is_there,
    any_method_can_be_called,
);

/// The next news of somebody who is watched.
async fn presence(events: &mut EventStream<SipEvent>, of: &str) -> String {
    next(events, "a change of presence", |event| match event {
        SipEvent::PresenceChanged { watched, state } if watched.expose().contains(of) => {
            Some(state.clone())
        }
        _ => None,
    })
    .await
}

async fn registrations_are_listed_and_their_changes_told(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let mut events = adapter.subscribe();
    assert!(adapter.registrations().await.unwrap().is_empty());
    assert_eq!(register(&kamailio, "alice", 5_555, 60).await, 200);
    assert_eq!(presence(&mut events, "alice").await, "inserted");
    assert_eq!(register(&kamailio, "alice", 5_556, 60).await, 200);
    presence(&mut events, "alice").await;
    assert_eq!(register(&kamailio, "bob", 5_557, 1).await, 200);
    assert_eq!(presence(&mut events, "bob").await, "inserted");
    let registrations = adapter.registrations().await.unwrap();
    let mut names: Vec<_> = registrations.iter().map(|it| it.aor.expose()).collect();
    names.sort();
    assert_eq!(names, ["alice", "bob"]);
    let alice = adapter.registration("sip:alice").await.unwrap().unwrap();
    assert_eq!(alice.table, "location");
    assert_eq!(alice.contacts.len(), 2);
    for contact in &alice.contacts {
        let address = contact.address.expose();
        assert!(address.starts_with("sip:alice@127.0.0.1:555"), "{address}");
        let left = contact.expires.unwrap();
        assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60));
    }
    assert!(adapter.registration("nobody").await.unwrap().is_none());
    assert_eq!(presence(&mut events, "bob").await, "expired");
    assert!(adapter.registration("bob").await.unwrap().is_none());
    assert_eq!(register(&kamailio, "alice", 5_555, 0).await, 200);
    assert_eq!(presence(&mut events, "alice").await, "removed");
    let alice = adapter.registration("alice").await.unwrap().unwrap();
    assert_eq!(alice.contacts.len(), 1);
}

async fn destinations_are_listed_and_their_state_is_set(version: Version) {
    let kamailio = Kamailio::start(version, &["trunk=127.0.0.1:7099"]).await;
    let adapter = kamailio.adapter().await;
    let uri = "sip:127.0.0.1:7099".to_owned();
    let destinations = adapter.destinations().await.unwrap();
    assert_eq!(destinations.len(), 2);
    assert!(destinations.iter().all(|it| it.set == 1));
    let state = async || {
        let destinations = adapter.destinations().await.unwrap();
        let mut found = destinations.iter();
        found.find(|it| it.uri.expose() == &uri).unwrap().state
    };
    assert_eq!(state().await, Some(DestinationState::Active));
    let set = |it| adapter.set_destination_state(1, &uri, it, false);
    set(DestinationState::Inactive).await.unwrap();
    assert_eq!(state().await, Some(DestinationState::Inactive));
    set(DestinationState::Active).await.unwrap();
    assert_eq!(state().await, Some(DestinationState::Active));
    let missing =
        adapter.set_destination_state(1, "sip:127.0.0.1:1", DestinationState::Active, false);
    assert_eq!(missing.await.unwrap_err().kind(), ErrorKind::NotFound);
    let missing = adapter.set_destination_state(7, &uri, DestinationState::Active, false);
    assert_eq!(missing.await.unwrap_err().kind(), ErrorKind::NotFound);
    until("the destinations are read anew", LIMIT, async || {
        adapter.reload_destinations().await.ok()
    })
    .await;
    assert_eq!(state().await, Some(DestinationState::Active));
}

async fn a_destination_that_goes_down_is_told(version: Version) {
    let kamailio = Kamailio::start(version, &["probe=1"]).await;
    let adapter = kamailio.adapter().await;
    let mut events = adapter.subscribe();
    // Nobody is at either of the two.
    let down = presence(&mut events, "127.0.0.1").await;
    assert_eq!(down, "down");
    until("the list says so, too", LIMIT, async || {
        let destinations = adapter.destinations().await.unwrap();
        let down = |it: Option<DestinationState>| it != Some(DestinationState::Active);
        let mut states = destinations.iter().map(|it| it.state);
        states.any(down).then_some(())
    })
    .await;
}

async fn a_phone_is_asked_whether_it_is_there(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let there = Party::answers().start(&kamailio).await;
    let refuses = Party::answers().answers_messages_with(403);
    let refuses = refuses.start(&kamailio).await;
    let silent = Agent::start(&kamailio, Manner::IsSilent).await;
    let (there, refuses, silent) = (there.uri(), refuses.uri(), silent.uri());
    let ping = async |uri: &str| adapter.options_ping(&uri.parse().unwrap()).await.unwrap();
    let (there, refuses, silent) = tokio::join!(ping(&there), ping(&refuses), ping(&silent));
    assert!(there.is_success() && there.was_received());
    assert_eq!(there.status, 200);
    assert_eq!((refuses.status, refuses.was_received()), (403, true));
    assert_eq!((silent.status, silent.was_received()), (408, false));
}

async fn any_method_can_be_called(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let echo = Params::List(vec!["a \"b\" grün".into(), 7.into()]);
    let answer = adapter.rpc("core.echo", echo).await.unwrap();
    assert_eq!(answer[0], "a \"b\" grün");
    let missing = adapter.rpc("no.such", Params::None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Unsupported);
    let before = adapter.statistics().await.unwrap();
    let before = before.get("core:rcv_requests").unwrap();
    let party = Party::answers().start(&kamailio).await;
    let caller = Caller::dial(&kamailio, &party.uri()).start().await;
    caller.wait_answered().await;
    let after = adapter.statistics().await.unwrap();
    assert!(after.get("core:rcv_requests").unwrap() > before);
}
