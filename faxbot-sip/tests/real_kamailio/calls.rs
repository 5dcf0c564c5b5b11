//! Calls that pass a real Kamailio 5.6 and 6.1: listed, looked up, ended.

use std::time::Duration;

use crate::{
    real::{LIMIT, party::Party, party_caller::Caller, until, within},
    server::{Kamailio, Version, connected},
    watch::{history, only_record, wait_many, wait_none, wait_one},
};
use faxbot_core::{
    ErrorKind,
    id::{CallId, CallRef},
    sip::{CallState, Disposition, HangupOutcome, Lookup, SipAdapter as _},
};
use tokio::task::JoinSet;

crate::on_both_kamailios!(
    a_call_of_others_is_listed_looked_up_and_ended,
    whoever_hangs_up_there_is_one_record_of_an_answered_call,
    a_ringing_call_cannot_be_hung_up_and_rings_on,
    a_call_that_nobody_knows_is_not_found,
    two_adapters_give_a_call_the_same_id,
    a_call_that_was_up_before_is_found_by_the_list,
    two_hundred_calls_are_listed_and_all_end,
);

async fn a_call_of_others_is_listed_looked_up_and_ended(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let party = Party::answers().start(&kamailio).await;
    for config in [kamailio.config_with_events(), kamailio.polling()] {
        let adapter = connected(config).await;
        let caller = Caller::dial(&kamailio, &party.uri()).start().await;
        let call = wait_one(&adapter, CallState::Connected).await;
        let id = call.id.unwrap();
        let native = caller.call()[0].call_id().to_owned();
        assert_eq!(call.channels[0].expose(), &native);
        assert!(call.answered_at.unwrap() >= call.started_at);
        let named = CallRef::native(native.clone());
        for reference in [CallRef::from(id), named.clone()] {
            let status = adapter.get_status(&reference).await.unwrap();
            assert_eq!((status.id, status.state), (Some(id), CallState::Connected));
            let found = adapter.lookup(&reference).await.unwrap();
            assert!(matches!(found, Lookup::Live(live) if live.id == Some(id)));
        }
        assert_eq!(
            adapter.hangup(&named).await.unwrap(),
            HangupOutcome::Requested
        );
        // The called phone may get no BYE: Kamailio sends it second, and not at all if the answer to the
        // first one is faster (`send_bye` in `dlg_req_within.c`).
        caller.wait_over().await;
        assert!(caller.bye().is_some());
        wait_none(&adapter).await;
        let record = only_record(&adapter).await;
        assert_eq!(record.id, Some(id));
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.channels[0].expose(), &native);
        let (from, to) = (record.from.unwrap(), record.to.unwrap());
        assert!(from.expose().starts_with("sip:15551230001@"), "{from:?}");
        assert_eq!(to.expose(), &party.uri());
        assert!(record.answer.is_some() && record.end.is_some());
        let found = adapter.lookup(&named).await.unwrap();
        assert!(matches!(found, Lookup::Ended(ended) if ended.id == Some(id)));
        let again = adapter.hangup(&CallRef::from(id)).await.unwrap();
        assert_eq!(again, HangupOutcome::Ended);
        let status = adapter.get_status(&CallRef::from(id)).await.unwrap();
        assert_eq!(status.state, CallState::Terminated);
        // What is over is listed for some seconds more, and is no call.
        assert!(adapter.dialogs().await.unwrap().len() <= 2);
        adapter.disconnect(LIMIT).await.unwrap();
    }
}

async fn whoever_hangs_up_there_is_one_record_of_an_answered_call(version: Version) {
    for polls in [false, true] {
        // One of its own: the other one lists what is over for some seconds.
        let kamailio = Kamailio::start(version, &[]).await;
        let party = Party::answers().start(&kamailio).await;
        let adapter = connected(if polls {
            kamailio.polling()
        } else {
            kamailio.config_with_events()
        })
        .await;
        for caller_does in [true, false] {
            let caller = Caller::dial(&kamailio, &party.uri()).start().await;
            wait_one(&adapter, CallState::Connected).await;
            caller.wait_answered().await;
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            if caller_does {
                caller.hang_up();
            } else {
                party.hang_up();
            }
            caller.wait_over().await;
            wait_none(&adapter).await;
        }
        // Longer than an ended dialog waits for its cause.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let records = history(&adapter).await;
        assert_eq!(records.len(), 2, "{records:?}");
        for record in records {
            assert_eq!(record.disposition, Disposition::Answered);
            assert!((1..=3).contains(&record.billable_seconds.unwrap()));
        }
        adapter.disconnect(LIMIT).await.unwrap();
    }
}

async fn a_ringing_call_cannot_be_hung_up_and_rings_on(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let party = Party::rings().start(&kamailio).await;
    for config in [kamailio.config_with_events(), kamailio.polling()] {
        let adapter = connected(config).await;
        let caller = Caller::dial(&kamailio, &party.uri()).start().await;
        let call = wait_one(&adapter, CallState::Ringing).await;
        let id = CallRef::from(call.id.unwrap());
        let native = CallRef::native(call.channels[0].expose().clone());
        for reference in [&id, &native, &id] {
            let outcome = adapter.hangup(reference).await.unwrap();
            assert_eq!(outcome, HangupOutcome::CannotCancelRinging);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(party.is_ringing() && party.cancel().is_none());
        assert_eq!(
            adapter.get_status(&id).await.unwrap().state,
            CallState::Ringing
        );
        party.answer();
        caller.wait_answered().await;
        wait_one(&adapter, CallState::Connected).await;
        let outcome = adapter.hangup(&id).await.unwrap();
        assert_eq!(outcome, HangupOutcome::Requested);
        caller.wait_over().await;
        wait_none(&adapter).await;
        let record = only_record(&adapter).await;
        assert_eq!(record.disposition, Disposition::Answered);
        adapter.disconnect(LIMIT).await.unwrap();
    }
}

async fn a_call_that_nobody_knows_is_not_found(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    for reference in [
        CallRef::from(CallId::new()),
        CallRef::native("nobody@127.0.0.1"),
    ] {
        let refused = adapter.hangup(&reference).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        let refused = adapter.get_status(&reference).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        let found = adapter.lookup(&reference).await.unwrap();
        assert!(matches!(found, Lookup::Unknown(_)), "{found:?}");
    }
    assert!(history(&adapter).await.is_empty());
}

async fn two_adapters_give_a_call_the_same_id(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let party = Party::answers().start(&kamailio).await;
    let one = kamailio.adapter().await;
    let other = connected(kamailio.polling()).await;
    let caller = Caller::dial(&kamailio, &party.uri()).start().await;
    let call = wait_one(&one, CallState::Connected).await;
    let same = wait_one(&other, CallState::Connected).await;
    assert_eq!(call.id, same.id);
    // What one does the other sees.
    other.hangup(&same.id.unwrap().into()).await.unwrap();
    caller.wait_over().await;
    wait_none(&one).await;
    wait_none(&other).await;
    assert_eq!(only_record(&one).await.id, only_record(&other).await.id);
}

async fn a_call_that_was_up_before_is_found_by_the_list(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let party = Party::answers().start(&kamailio).await;
    let caller = Caller::dial(&kamailio, &party.uri()).start().await;
    caller.wait_answered().await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let adapter = kamailio.adapter().await;
    let call = wait_one(&adapter, CallState::Connected).await;
    caller.hang_up();
    wait_none(&adapter).await;
    let record = only_record(&adapter).await;
    assert_eq!(record.id, call.id);
    // By the server's clock: it was up before the adapter was.
    assert!(record.billable_seconds.unwrap() >= 1, "{record:?}");
}

async fn two_hundred_calls_are_listed_and_all_end(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let party = Party::answers().many().start(&kamailio).await;
    let told = kamailio.adapter().await;
    let polls = connected(kamailio.polling()).await;
    let caller = Caller::dial(&kamailio, &party.uri()).calls(200);
    let caller = caller.start().await;
    wait_many(&told, 200, CallState::Connected).await;
    wait_many(&polls, 200, CallState::Connected).await;
    assert_eq!(told.dialogs().await.unwrap().len(), 200);
    let calls = told.snapshot().calls;
    let mut ids: Vec<_> = calls.iter().map(|call| call.id.unwrap()).collect();
    ids.sort_unstable();
    let mut orders = JoinSet::new();
    for id in ids.iter().step_by(2).copied() {
        let told = told.clone();
        orders.spawn(async move { told.hangup(&id.into()).await.unwrap() });
    }
    let outcomes = within("all orders are answered", LIMIT, orders.join_all()).await;
    assert!(outcomes.iter().all(|it| *it == HangupOutcome::Requested));
    wait_many(&told, 100, CallState::Connected).await;
    until("the phones have the rest", LIMIT, async || {
        let byes = caller.messages();
        let byes = byes.iter().filter(|it| it.method() == Some("BYE"));
        (byes.count() >= 100).then_some(())
    })
    .await;
    caller.hang_up_all().await;
    for adapter in [&told, &polls] {
        wait_none(adapter).await;
        let records = history(adapter).await;
        let mut ended: Vec<_> = records.iter().map(|it| it.id.unwrap()).collect();
        ended.sort_unstable();
        assert_eq!(ended, ids);
        let answered = |it: &&faxbot_core::sip::CallRecord| it.disposition == Disposition::Answered;
        assert_eq!(records.iter().filter(answered).count(), 200);
    }
}
