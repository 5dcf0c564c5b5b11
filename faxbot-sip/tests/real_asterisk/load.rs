//! Many calls on real Asterisk 16 and 22, and a server that goes down with calls up.

use std::time::Duration;

use crate::real::{Asterisk, LIMIT, Version, connected, party::Party, until, within};
use faxbot_core::sip::{
    Call, CallRequest, ConnectionState, Disposition, OnAnswer, SipAdapter as _,
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use serde_json::json;
use tokio::task::JoinSet;

crate::on_both_versions!(
    two_hundred_calls_of_two_parties_are_all_in_the_books,
    every_call_ends_with_a_cause_when_asterisk_is_killed,
    every_call_ends_with_a_cause_when_asterisk_restarts,
);

/// Two hundred calls take their time on a machine that has other work.
const LONG: Duration = Duration::from_secs(60);

async fn adapter(asterisk: &Asterisk) -> AsteriskAdapter {
    connected(asterisk.config(&json!({ "sip_dial": "PJSIP/out/{uri}" }))).await
}

fn dial(to: &str) -> CallRequest {
    CallRequest::dial(to.parse().unwrap())
}

async fn place(adapter: &AsteriskAdapter, requests: Vec<CallRequest>) -> Vec<Call> {
    let mut tasks = JoinSet::new();
    for request in requests {
        let adapter = adapter.clone();
        tasks.spawn(async move {
            let call = adapter.make_call(request).await.unwrap();
            call.answered().await.unwrap();
            call
        });
    }
    within("all calls are answered", LONG, tasks.join_all()).await
}

async fn two_hundred_calls_of_two_parties_are_all_in_the_books(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let party = Party::answers().many().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let address = |number: usize| party.uri_of(&format!("phone{number}"));
    let request = |number: usize| {
        let (one, other) = (address(number), address(1_000 + number));
        if number.is_multiple_of(2) {
            CallRequest::connect(one.parse().unwrap(), other.parse().unwrap())
        } else {
            dial(&other).on_answer(OnAnswer::Bridge(one.parse().unwrap()))
        }
    };
    let requests: Vec<_> = (0..200).map(request).collect();
    let calls = place(&adapter, requests).await;
    assert_eq!(adapter.snapshot().calls.len(), 200);
    until("all parties are there", LONG, async || {
        let named = |call: &faxbot_core::sip::CallStatus| {
            let names = call.channels.iter();
            names.filter(|it| it.expose().starts_with("PJSIP/")).count() == 2
        };
        adapter.snapshot().calls.iter().all(named).then_some(())
    })
    .await;
    for call in &calls {
        adapter.hangup(&call.call_ref()).await.unwrap();
    }
    for call in &calls {
        let record = within("the call ends", LONG, call.ended()).await.unwrap();
        assert_eq!(record.id, Some(call.id()));
        assert_eq!(record.disposition, Disposition::Answered);
        assert!(record.to.unwrap().expose().contains("phone1"));
    }
    assert!(adapter.snapshot().calls.is_empty());
    until("the server has no channel", LONG, async || {
        let channels = asterisk.console("core show channels count").await;
        channels.contains("0 active channels").then_some(())
    })
    .await;
}

/// Forty parked calls, and ten of two parties.
async fn fifty(adapter: &AsteriskAdapter, party: &Party) -> Vec<Call> {
    let uri = party.uri();
    let request = |number: usize| {
        if number < 40 {
            dial(&uri)
        } else {
            CallRequest::connect(uri.parse().unwrap(), uri.parse().unwrap())
        }
    };
    place(adapter, (0..50).map(request).collect()).await
}

async fn all_end(adapter: &AsteriskAdapter, calls: &[Call]) {
    for call in calls {
        let record = within("the call ends", LONG, call.ended()).await.unwrap();
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.causes.q850, Some(41), "{record:?}");
        assert!(record.end.is_some());
    }
    until("the connection is back", LONG, async || {
        (adapter.connection().state == ConnectionState::Connected).then_some(())
    })
    .await;
    assert!(adapter.snapshot().calls.is_empty());
    let call = adapter.make_call(dial("600")).await.unwrap();
    within("a new call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
}

async fn every_call_ends_with_a_cause_when_asterisk_is_killed(version: Version) {
    let mut asterisk = Asterisk::start(version, &[]).await;
    let party = Party::answers().many().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let calls = fifty(&adapter, &party).await;
    asterisk.kill().await;
    asterisk.start_again(&[]).await;
    all_end(&adapter, &calls).await;
}

async fn every_call_ends_with_a_cause_when_asterisk_restarts(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let party = Party::answers().many().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let calls = fifty(&adapter, &party).await;
    asterisk.console("core restart now").await;
    all_end(&adapter, &calls).await;
}
