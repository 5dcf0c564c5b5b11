//! Calls that we place: a real Kamailio 5.6 and 6.1 calls the first party, whose phone calls the second.

use std::time::Duration;

use crate::{
    agent::{Agent, Manner},
    real::{LIMIT, party::Party, party_caller::register, until, within},
    server::{Kamailio, Version, connected},
    watch::{changes_of, history, only_record, states, wait_many, wait_none},
};
use faxbot_core::{
    Error, ErrorKind,
    id::CallId,
    sip::{
        Call, CallRecord, CallRequest, CallState, Disposition, HangupOutcome, Lookup,
        SipAdapter as _,
    },
};
use faxbot_sip::adapter::kamailio::KamailioAdapter;
use serde_json::json;

crate::on_both_kamailios!(
    two_phones_talk_and_we_hang_up,
    two_phones_talk_and_one_of_them_hangs_up,
    a_call_that_we_placed_is_one_call_by_polling_alone,
    the_first_party_is_reached_by_the_servers_own_routing,
    a_first_party_that_is_busy_ends_the_call_with_its_status,
    a_first_party_that_says_nothing_ends_the_call_after_the_ring_time,
    a_first_party_that_rings_is_rung_no_longer_once_we_hang_up,
    without_events_a_first_party_that_is_busy_was_not_reached,
    a_phone_that_refuses_to_transfer_ends_the_call,
    a_phone_that_forgets_the_transfer_ends_the_call_after_the_ring_time,
    a_second_party_that_is_busy_ends_the_call_with_its_status,
    a_second_party_that_rings_cannot_be_hung_up,
    calls_to_one_phone_at_one_time_are_told_apart,
    ten_calls_at_one_time_each_have_their_parties,
);

/// The shortest: what nobody tells is decided 5 s after it.
const RING: Duration = Duration::from_secs(1);

async fn place(adapter: &KamailioAdapter, from: &Agent, to: &str) -> Call {
    let (from, to) = (from.uri().parse().unwrap(), to.parse().unwrap());
    let request = CallRequest::connect(from, to).with_timeout(RING);
    adapter.make_call(request).await.unwrap()
}

async fn answered(call: &Call) {
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
}

async fn ended(call: &Call) -> CallRecord {
    within("the call ends", LIMIT, call.ended()).await.unwrap()
}

/// The record of a call that was not answered, which is the only one.
async fn fails(adapter: &KamailioAdapter, call: &Call) -> CallRecord {
    let failed: Error = within("the call fails", LIMIT, call.answered())
        .await
        .unwrap_err();
    assert_eq!(failed.call_id(), Some(call.id()));
    let record = ended(call).await;
    assert_eq!((record.id, record.answer), (Some(call.id()), None));
    wait_none(adapter).await;
    assert_eq!(only_record(adapter).await, record);
    record
}

async fn two_phones_talk_and_we_hang_up(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let customer = Party::rings().start(&kamailio).await;
    let mut events = adapter.subscribe();
    let call = place(&adapter, &agent, &customer.uri()).await;
    let invite = customer.wait_invite().await;
    let mark = invite.header("X-Job").unwrap();
    assert_eq!(mark.parse::<uuid::Uuid>().unwrap(), call.id().as_uuid());
    until("the call rings", LIMIT, async || {
        (call.state() == CallState::Ringing).then_some(())
    })
    .await;
    customer.answer();
    answered(&call).await;
    customer.wait_answered().await;
    let status = adapter.get_status(&call.call_ref()).await.unwrap();
    assert_eq!(status.state, CallState::Connected);
    assert_eq!(status.channels[0].expose(), invite.call_id());
    assert_eq!(adapter.snapshot().calls.len(), 1);
    let found = adapter.lookup(&call.call_ref()).await.unwrap();
    assert!(matches!(found, Lookup::Live(live) if live.id == Some(call.id())));
    let outcome = adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(outcome, HangupOutcome::Requested);
    let record = ended(&call).await;
    // The caller of the two; Kamailio may leave out the BYE to the other.
    agent.wait_hung_up().await;
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.from.as_ref().unwrap().expose(), &agent.uri());
    assert_eq!(record.to.as_ref().unwrap().expose(), &customer.uri());
    let changes = changes_of(&mut events, call.id()).await;
    let mut seen = states(&changes);
    seen.retain(|state| *state != CallState::HangingUp);
    let wanted = [
        CallState::Dialing,
        CallState::Ringing,
        CallState::Connected,
        CallState::Terminated,
    ];
    assert_eq!(seen, wanted);
    assert_eq!(only_record(&adapter).await, record);
    assert_eq!(agent.times_called(), 1);
}

async fn two_phones_talk_and_one_of_them_hangs_up(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let customer = Party::answers().start(&kamailio).await;
    for agent_does in [true, false] {
        let call = place(&adapter, &agent, &customer.uri()).await;
        answered(&call).await;
        customer.wait_answered().await;
        if agent_does {
            agent.hang_up();
        } else {
            customer.hang_up();
        }
        let record = ended(&call).await;
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.id, Some(call.id()));
        customer.wait_over().await;
    }
    assert_eq!(history(&adapter).await.len(), 2);
}

async fn a_call_that_we_placed_is_one_call_by_polling_alone(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = connected(kamailio.polling()).await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let customer = Party::answers().start(&kamailio).await;
    let call = place(&adapter, &agent, &customer.uri()).await;
    answered(&call).await;
    assert_eq!(adapter.snapshot().calls.len(), 1);
    // Longer than the ring time and all that is added to it.
    tokio::time::sleep(RING + Duration::from_millis(5_500)).await;
    assert_eq!(call.state(), CallState::Connected);
    let outcome = adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(outcome, HangupOutcome::Requested);
    let record = ended(&call).await;
    assert_eq!(record.disposition, Disposition::Answered);
    agent.wait_hung_up().await;
    assert_eq!(only_record(&adapter).await, record);
}

async fn the_first_party_is_reached_by_the_servers_own_routing(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let proxy = format!("sip:127.0.0.1:{}", kamailio.sip_port());
    let config = kamailio.config(&json!({ "outbound_proxy": proxy }));
    let adapter = connected(config).await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let customer = Party::answers().start(&kamailio).await;
    for (user, port) in [("1001", agent.port()), ("2000", customer.port())] {
        assert_eq!(register(&kamailio, user, port, 60).await, 200);
    }
    // Extensions at the realm.
    let request = CallRequest::connect("1001".parse().unwrap(), "2000".parse().unwrap());
    let call = adapter.make_call(request.with_timeout(RING)).await.unwrap();
    answered(&call).await;
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = ended(&call).await;
    assert_eq!(record.disposition, Disposition::Answered);
    agent.wait_hung_up().await;
    wait_none(&adapter).await;
    // The call to the first party passes the server here, and is a dialog of its own.
    let records = history(&adapter).await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records.iter().filter(|it| **it == record).count(), 1);
}

async fn a_first_party_that_is_busy_ends_the_call_with_its_status(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::Refuses(486)).await;
    let customer = Party::answers().start(&kamailio).await;
    let call = place(&adapter, &agent, &customer.uri()).await;
    let record = fails(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::Busy);
    assert_eq!(record.causes.sip_status, Some(486));
    assert!(customer.invites().is_empty());
    assert_eq!(agent.times_called(), 1);
}

/// The end of a call of which nobody knows how it goes.
async fn is_lost(adapter: &KamailioAdapter, call: &Call) -> Error {
    let ended = within("the call is given up", LIMIT, call.ended()).await;
    let lost = ended.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(lost.call_id(), Some(call.id()));
    assert!(history(adapter).await.is_empty());
    lost
}

async fn a_first_party_that_says_nothing_ends_the_call_after_the_ring_time(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::IsSilent).await;
    let call = place(&adapter, &agent, "sip:nobody@127.0.0.1:9").await;
    let record = fails(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::NoAnswer);
    assert_eq!(record.causes.sip_status, None);
    assert!((5..=14).contains(&record.duration_seconds.unwrap()));
    assert_eq!(agent.times_called(), 1);
    // Without events nobody knows whether it still rings.
    let adapter = connected(kamailio.polling()).await;
    let agent = Agent::start(&kamailio, Manner::IsSilent).await;
    let call = place(&adapter, &agent, "sip:nobody@127.0.0.1:9").await;
    agent.wait_called().await;
    let outcome = adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(outcome, HangupOutcome::CannotCancelRinging);
    is_lost(&adapter, &call).await;
    assert_eq!(agent.times_called(), 1);
}

async fn a_first_party_that_rings_is_rung_no_longer_once_we_hang_up(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    for we_hang_up in [true, false] {
        let agent = Agent::start(&kamailio, Manner::Rings).await;
        let call = place(&adapter, &agent, "sip:nobody@127.0.0.1:9").await;
        agent.wait_called().await;
        let wanted = if we_hang_up {
            until("the leg is told", LIMIT, async || {
                let outcome = adapter.hangup(&call.call_ref()).await.unwrap();
                (outcome == HangupOutcome::Requested).then_some(())
            })
            .await;
            Disposition::Cancelled
        } else {
            // The server itself would ring for 30 s.
            Disposition::NoAnswer
        };
        agent.wait_cancelled().await;
        let record = ended(&call).await;
        assert_eq!((record.disposition, record.answer), (wanted, None));
        assert_eq!(agent.times_called(), 1);
    }
    assert_eq!(history(&adapter).await.len(), 2);
}

async fn without_events_a_first_party_that_is_busy_was_not_reached(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = connected(kamailio.polling()).await;
    let agent = Agent::start(&kamailio, Manner::Refuses(486)).await;
    let call = place(&adapter, &agent, "sip:nobody@127.0.0.1:9").await;
    is_lost(&adapter, &call).await;
    assert_eq!(agent.times_called(), 1);
}

async fn a_phone_that_refuses_to_transfer_ends_the_call(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::RefusesTransfer(603)).await;
    let customer = Party::answers().start(&kamailio).await;
    let call = place(&adapter, &agent, &customer.uri()).await;
    let record = fails(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::Failed);
    let native = record.causes.native.unwrap();
    assert!(native.contains("refused to call the second"), "{native}");
    assert!(customer.invites().is_empty());
}

async fn a_phone_that_forgets_the_transfer_ends_the_call_after_the_ring_time(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::DropsTransfer).await;
    let customer = Party::answers().start(&kamailio).await;
    let call = place(&adapter, &agent, &customer.uri()).await;
    let lost = is_lost(&adapter, &call).await;
    let message = lost.message();
    assert!(message.contains("first party answered"), "{message}");
    assert!(customer.invites().is_empty());
}

async fn a_second_party_that_is_busy_ends_the_call_with_its_status(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let customer = Party::refuses(486).start(&kamailio).await;
    let call = place(&adapter, &agent, &customer.uri()).await;
    let record = fails(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::Busy);
    assert_eq!(record.causes.sip_status, Some(486));
    adapter.disconnect(LIMIT).await.unwrap();
    // Without events the end is seen, and its reason is not.
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = connected(kamailio.polling()).await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let call = place(&adapter, &agent, &customer.uri()).await;
    let record = fails(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::Unknown);
    assert!(record.causes.is_empty());
}

async fn a_second_party_that_rings_cannot_be_hung_up(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let customer = Party::rings().start(&kamailio).await;
    let call = place(&adapter, &agent, &customer.uri()).await;
    customer.wait_ringing().await;
    until("the call rings", LIMIT, async || {
        (call.state() == CallState::Ringing).then_some(())
    })
    .await;
    let outcome = adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(outcome, HangupOutcome::CannotCancelRinging);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(customer.is_ringing());
    customer.refuse();
    let record = fails(&adapter, &call).await;
    assert_eq!(record.causes.sip_status, Some(603));
}

async fn calls_to_one_phone_at_one_time_are_told_apart(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let agent = Agent::start(&kamailio, Manner::Transfers).await;
    let customer = Party::answers().many().start(&kamailio).await;
    let busy = Party::refuses(486).start(&kamailio).await;
    let (customers, refuses) = (customer.uri(), busy.uri());
    let (one, two, three) = tokio::join!(
        place(&adapter, &agent, &customers),
        place(&adapter, &agent, &refuses),
        place(&adapter, &agent, &customers),
    );
    answered(&one).await;
    answered(&three).await;
    let record = ended(&two).await;
    assert_eq!(record.disposition, Disposition::Busy, "{record:?}");
    wait_many(&adapter, 2, CallState::Connected).await;
    for call in [&one, &three] {
        adapter.hangup(&call.call_ref()).await.unwrap();
        assert_eq!(ended(call).await.disposition, Disposition::Answered);
    }
    assert_eq!(agent.times_called(), 3);
    let records = history(&adapter).await;
    assert_eq!(records.len(), 3, "{records:?}");
}

async fn ten_calls_at_one_time_each_have_their_parties(version: Version) {
    let kamailio = Kamailio::start(version, &[]).await;
    let adapter = kamailio.adapter().await;
    let customer = Party::answers().many().start(&kamailio).await;
    let mut calls: Vec<(Agent, Call)> = Vec::new();
    for number in 0..10 {
        let agent = Agent::start(&kamailio, Manner::Transfers).await;
        let call = place(&adapter, &agent, &customer.uri_of(&format!("c{number}"))).await;
        calls.push((agent, call));
    }
    for (_, call) in &calls {
        answered(call).await;
    }
    wait_many(&adapter, 10, CallState::Connected).await;
    let mut marks: Vec<_> = customer
        .wait_invites(10)
        .await
        .iter()
        .map(|invite| {
            let mark = invite.header("X-Job").unwrap().parse().unwrap();
            (CallId::from_uuid(mark), invite.start.clone())
        })
        .collect();
    for (number, (agent, call)) in calls.iter().enumerate() {
        agent.hang_up();
        let record = ended(call).await;
        assert_eq!(record.disposition, Disposition::Answered);
        assert_eq!(record.from.unwrap().expose(), &agent.uri());
        let mark = marks.iter().position(|(id, _)| *id == call.id()).unwrap();
        let (_, start) = marks.swap_remove(mark);
        assert!(start.contains(&format!("sip:c{number}@")), "{start}");
    }
    wait_none(&adapter).await;
    assert_eq!(history(&adapter).await.len(), 10);
}
