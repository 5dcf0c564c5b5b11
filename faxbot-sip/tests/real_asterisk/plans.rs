//! Calls in all their forms on real Asterisk 16 and 22, with phones as the parties.

use std::time::{Duration, Instant};

use crate::real::{
    Asterisk, LIMIT, Version, connected, link::CuttableLink, party::Party, until, within,
};
use faxbot_core::{
    id::CallRef,
    sip::{
        Call, CallRecord, CallRequest, CallState, ConnectionState, Disposition, Lookup, OnAnswer,
        SipAdapter as _, SipEvent,
    },
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use serde_json::json;

crate::on_both_versions!(
    two_phones_are_connected_and_answered_when_the_second_answers,
    a_second_party_that_is_not_reached_ends_the_call_with_its_cause,
    the_end_of_a_second_dial_that_nobody_saw_is_read_back,
    a_first_phone_that_hangs_up_while_the_second_rings_was_not_answered,
    a_phone_that_is_bridged_on_is_answered_at_once,
    a_weak_account_connects_two_parties_by_the_application,
    early_media_is_no_answer_on_the_real_server,
    a_party_of_a_call_leads_to_it,
    a_call_lasts_as_long_as_it_may_and_is_recorded_from_its_answer,
    a_header_arrives_as_it_was_given,
);

/// Enough to see a state, and short.
const MOMENT: Duration = Duration::from_millis(700);

async fn adapter(asterisk: &Asterisk) -> AsteriskAdapter {
    connected(asterisk.config(&json!({ "sip_dial": "PJSIP/out/{uri}" }))).await
}

fn connect(from: &str, to: &str) -> CallRequest {
    CallRequest::connect(from.parse().unwrap(), to.parse().unwrap())
}

fn bridge(to: &str, on: &str) -> CallRequest {
    CallRequest::dial(to.parse().unwrap()).on_answer(OnAnswer::Bridge(on.parse().unwrap()))
}

async fn answered(call: &Call) {
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
}

async fn ended(call: &Call) -> CallRecord {
    within("the call ends", LIMIT, call.ended()).await.unwrap()
}

async fn state(adapter: &AsteriskAdapter, call: &Call) -> CallState {
    adapter.get_status(&call.call_ref()).await.unwrap().state
}

async fn quiet(asterisk: &Asterisk) {
    until("the server has no channel", LIMIT, async || {
        let channels = asterisk.console("core show channels count").await;
        channels.contains("0 active channels").then_some(())
    })
    .await;
}

async fn two_phones_are_connected_and_answered_when_the_second_answers(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let first = Party::answers().start(&asterisk).await;
    let second = Party::rings().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let request = connect(&first.uri(), &second.uri())
        .with_caller_id("+15551230009".parse().unwrap())
        .with_caller_id_name("Front desk");
    let call = adapter.make_call(request).await.unwrap();
    for party in [&first, &second] {
        // Both see who calls.
        let invite = party.wait_invite().await;
        let from = invite.header("From").unwrap().to_owned();
        assert!(
            from.contains("Front desk") && from.contains("+15551230009"),
            "{from}"
        );
    }
    first.wait_answered().await;
    second.wait_ringing().await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(state(&adapter, &call).await, CallState::Ringing);
    second.answer();
    answered(&call).await;
    let record = {
        second.wait_answered().await;
        first.hang_up();
        ended(&call).await
    };
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.from.unwrap().expose(), &first.uri());
    assert_eq!(record.to.unwrap().expose(), &second.uri());
    second.wait_over().await;
    quiet(&asterisk).await;
}

async fn a_second_party_that_is_not_reached_ends_the_call_with_its_cause(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let first = Party::answers().many().start(&asterisk).await;
    let busy = Party::refuses(486).start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    for (to, disposition, cause) in [
        (busy.uri(), Disposition::Busy, 17),
        ("603".into(), Disposition::NoAnswer, 19),
        ("native:PJSIP/603@dead".into(), Disposition::NoAnswer, 19),
        ("605".into(), Disposition::Failed, 1),
        ("604".into(), Disposition::Congestion, 34),
        ("native:PJSIP/600@nowhere".into(), Disposition::Failed, 3),
    ] {
        let timed = Duration::from_secs(2);
        let request = connect(&first.uri(), &to).with_timeout(timed);
        let call = adapter.make_call(request).await.unwrap();
        let record = ended(&call).await;
        assert_eq!(record.disposition, disposition, "connect {to}");
        assert_eq!(record.causes.q850, Some(cause), "connect {to}");
        assert_eq!(record.answer, None);

        let request = bridge(&first.uri(), &to).with_timeout(timed);
        let call = adapter.make_call(request).await.unwrap();
        answered(&call).await;
        let record = ended(&call).await;
        assert_eq!(record.disposition, Disposition::Answered, "bridge {to}");
        assert_eq!(record.causes.q850, Some(cause), "bridge {to}");
    }
    quiet(&asterisk).await;
}

async fn the_end_of_a_second_dial_that_nobody_saw_is_read_back(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let first = Party::answers().many().start(&asterisk).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let options = json!({ "sip_dial": "PJSIP/out/{uri}" });
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &options);
    let adapter = connected(config).await;
    let silent = connect(&first.uri(), "603").with_timeout(Duration::from_secs(2));
    let silent = adapter.make_call(silent).await.unwrap();
    let talks = adapter
        .make_call(connect(&first.uri(), "601"))
        .await
        .unwrap();
    until("both second parties ring", LIMIT, async || {
        let channels = asterisk.console("core show channels concise").await;
        (channels.matches("!Dial!").count() == 2).then_some(())
    })
    .await;
    link.cut();
    until("the connection is lost", LIMIT, async || {
        (adapter.connection().state != ConnectionState::Connected).then_some(())
    })
    .await;
    until("one is over and one talks", LIMIT, async || {
        let bridges = asterisk.console("bridge show all").await;
        let channels = asterisk.console("core show channels concise").await;
        let one = channels.matches("!Dial!").count() == 1;
        (one && bridges.contains("basic")).then_some(())
    })
    .await;
    link.mend();
    let record = ended(&silent).await;
    assert_eq!(record.disposition, Disposition::NoAnswer);
    assert_eq!(record.causes.q850, Some(19));
    answered(&talks).await;
    adapter.hangup(&talks.call_ref()).await.unwrap();
    assert_eq!(ended(&talks).await.disposition, Disposition::Answered);
}

async fn a_first_phone_that_hangs_up_while_the_second_rings_was_not_answered(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let first = Party::answers().start(&asterisk).await;
    let second = Party::rings().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let request = connect(&first.uri(), &second.uri());
    let call = adapter.make_call(request).await.unwrap();
    second.wait_ringing().await;
    first.wait_answered().await;
    first.hang_up();
    let record = ended(&call).await;
    assert_eq!(record.disposition, Disposition::NoAnswer);
    assert_eq!(record.answer, None);
    quiet(&asterisk).await;
}

async fn a_phone_that_is_bridged_on_is_answered_at_once(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let first = Party::answers().start(&asterisk).await;
    let second = Party::rings().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let request = bridge(&first.uri(), &second.uri());
    let call = adapter.make_call(request).await.unwrap();
    answered(&call).await;
    second.wait_ringing().await;
    second.answer();
    second.wait_answered().await;
    second.hang_up();
    let record = ended(&call).await;
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.causes.q850, Some(16));
    first.wait_over().await;
}

async fn a_weak_account_connects_two_parties_by_the_application(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let config = asterisk.config_of("weak", "w3ak", asterisk.ami_port(), &json!({}));
    let adapter = connected(config).await;
    let call = adapter.make_call(connect("600", "600")).await.unwrap();
    answered(&call).await;
    adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(ended(&call).await.disposition, Disposition::Answered);
    for (to, disposition) in [("602", Disposition::Busy), ("603", Disposition::NoAnswer)] {
        let request = connect("600", to).with_timeout(Duration::from_secs(2));
        let call = adapter.make_call(request).await.unwrap();
        let record = ended(&call).await;
        assert_eq!((record.disposition, record.answer), (disposition, None));
    }
}

async fn early_media_is_no_answer_on_the_real_server(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let party = Party::rings().early_media().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let request = CallRequest::dial(party.uri().parse().unwrap());
    let call = adapter.make_call(request).await.unwrap();
    party.wait_ringing().await;
    tokio::time::sleep(MOMENT).await;
    assert_eq!(state(&adapter, &call).await, CallState::Dialing);
    party.answer();
    answered(&call).await;
    adapter.hangup(&call.call_ref()).await.unwrap();
    assert_eq!(ended(&call).await.disposition, Disposition::Answered);

    let request =
        CallRequest::dial(party.uri().parse().unwrap()).with_timeout(Duration::from_secs(2));
    let call = adapter.make_call(request).await.unwrap();
    assert_eq!(ended(&call).await.disposition, Disposition::NoAnswer);
}

async fn a_party_of_a_call_leads_to_it(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let first = Party::answers().start(&asterisk).await;
    let second = Party::answers().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let mut events = adapter.subscribe();
    let request = connect(&first.uri(), &second.uri());
    let call = adapter.make_call(request).await.unwrap();
    answered(&call).await;
    let status = adapter.get_status(&call.call_ref()).await.unwrap();
    let names = status.channels.iter().map(|name| name.expose().as_str());
    let mut pjsip: Vec<_> = names.filter(|name| name.starts_with("PJSIP/")).collect();
    assert_eq!(pjsip.len(), 2, "{pjsip:?}");
    let leg = CallRef::native(pjsip.pop().unwrap());
    assert_eq!(adapter.get_status(&leg).await.unwrap().id, Some(call.id()));
    let found = adapter.lookup(&leg).await.unwrap();
    assert!(matches!(found, Lookup::Live(status) if status.id == Some(call.id())));

    // Either party's digits are the call's, once each.
    for (party, digits) in [(&first, "5"), (&second, "7")] {
        party.wait_answered().await;
        party.media().send_digits(digits).await;
    }
    let mut came = String::new();
    until("both digits came", LIMIT, async || {
        while let Some(event) = events.try_recv() {
            if let SipEvent::DtmfReceived { id, digit, .. } = event.unwrap().event {
                assert_eq!(id, Some(call.id()));
                came.push(digit);
            }
        }
        (came.len() >= 2).then_some(())
    })
    .await;
    assert_eq!(came, "57");
    adapter.hangup(&leg).await.unwrap();
    let record = ended(&call).await;
    assert_eq!(record.id, Some(call.id()));
    first.wait_over().await;
    second.wait_over().await;
}

async fn a_call_lasts_as_long_as_it_may_and_is_recorded_from_its_answer(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let party = Party::answers()
        .rings_for(Duration::from_secs(2))
        .start(&asterisk)
        .await;
    let adapter = adapter(&asterisk).await;
    let mut events = adapter.subscribe();
    for request in [
        CallRequest::dial(party.uri().parse().unwrap()),
        connect("600", &party.uri()),
    ] {
        let request = request
            .with_max_duration(Duration::from_secs(2))
            .with_record(true);
        let plan = format!("{:?}", request.plan);
        let call = adapter.make_call(request).await.unwrap();
        answered(&call).await;
        let since = Instant::now();
        let record = ended(&call).await;
        let lasted = since.elapsed();
        let right = Duration::from_millis(1_800)..Duration::from_millis(3_000);
        assert!(right.contains(&lasted), "{plan} {lasted:?}");
        assert_eq!(record.disposition, Disposition::Answered);
        assert!(record.recording.is_some(), "{plan}");
    }
    while let Some(event) = events.try_recv() {
        if let SipEvent::AdapterError { error, .. } = event.unwrap().event {
            panic!("{error:?}");
        }
    }
}

async fn a_header_arrives_as_it_was_given(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let party = Party::answers().start(&asterisk).await;
    let adapter = adapter(&asterisk).await;
    let value = "a, \"b\"; c=\\d";
    let request = CallRequest::dial(party.uri().parse().unwrap())
        .with_header("X-Order", value)
        .with_header("Subject", "fax");
    let call = adapter.make_call(request).await.unwrap();
    let invite = party.wait_invite().await;
    assert_eq!(invite.header("X-Order"), Some(value));
    assert_eq!(invite.header("Subject"), Some("fax"));
    answered(&call).await;
    adapter.hangup(&call.call_ref()).await.unwrap();
    ended(&call).await;
}
