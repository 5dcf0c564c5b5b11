//! Calls that come in to real Asterisk 16 and 22, from phones.

use std::time::Duration;

use crate::real::{
    Asterisk, LIMIT, Version, connected,
    link::CuttableLink,
    party::{Party, Sound},
    party_caller::{Caller, CallerBuilder},
    until, within,
};
use faxbot_core::{
    ErrorKind,
    id::{CallId, CallRef},
    sip::{
        AcceptAs, CallRecord, CallState, Capability, ConnectionState, Direction, Disposition,
        IncomingCall, Lookup, RejectCause, SipAdapter as _,
    },
};
use faxbot_sip::adapter::asterisk::AsteriskAdapter;
use serde_json::{Value, json};

crate::on_both_versions!(
    an_incoming_call_is_told_with_its_headers_and_parked,
    an_incoming_call_goes_on_in_an_extension,
    an_incoming_call_is_bridged_to_a_phone_that_answers,
    an_incoming_call_whose_other_party_is_busy_stays_parked,
    a_rejected_caller_sees_the_status_of_the_cause,
    an_incoming_call_that_nobody_decides_on_is_rejected_as_unavailable,
    a_caller_who_gives_up_leaves_a_missed_call,
    of_two_decisions_at_once_one_wins_and_the_caller_sees_only_that,
    an_incoming_call_waits_through_a_cut_of_the_link,
    an_accepted_call_that_ends_while_the_link_is_cut_has_its_record,
    a_call_that_another_process_took_while_the_link_was_cut_is_left_alone,
    a_new_process_decides_on_a_call_that_an_earlier_one_was_told_of,
    an_account_without_the_right_agi_takes_calls_as_well,
    the_server_ends_a_call_whose_process_died,
);

fn options() -> Value {
    json!({
        "incoming_context": "incoming",
        "incoming_headers": "X-Order, Subject",
        "sip_dial": "PJSIP/out/{uri}",
    })
}

async fn taking(asterisk: &Asterisk) -> AsteriskAdapter {
    connected(asterisk.config(&options())).await
}

async fn told(adapter: &AsteriskAdapter) -> IncomingCall {
    until("the call is told of", LIMIT, async || {
        adapter.snapshot().incoming.pop()
    })
    .await
}

/// A caller whose call waits for a decision.
async fn waiting(adapter: &AsteriskAdapter, caller: CallerBuilder) -> (Caller, CallRef) {
    let caller = caller.start().await;
    let call = told(adapter).await;
    (caller, call.id.into())
}

async fn record(adapter: &AsteriskAdapter, call: &CallRef) -> CallRecord {
    until("the call is over", LIMIT, async || {
        match adapter.lookup(call).await.unwrap() {
            Lookup::Ended(record) => Some(*record),
            _ => None,
        }
    })
    .await
}

async fn state(adapter: &AsteriskAdapter, call: &CallRef) -> CallState {
    adapter.get_status(call).await.unwrap().state
}

async fn wait_for_connection(adapter: &AsteriskAdapter, state: ConnectionState) {
    until("the connection has its state", LIMIT, async || {
        (adapter.connection().state == state).then_some(())
    })
    .await;
}

async fn an_incoming_call_is_told_with_its_headers_and_parked(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = taking(&asterisk).await;
    let caller = Caller::call(&asterisk, "7001")
        .from("Alice Example", "15551230009")
        .with_header("X-Order", "17, \"urgent\"")
        .start()
        .await;
    let call = told(&adapter).await;
    assert_eq!(call.caller.as_ref().unwrap().expose(), "15551230009");
    assert_eq!(call.called.as_ref().unwrap().expose(), "7001");
    let header = |name: &str| call.headers.get(name).map(|it| it.expose().as_str());
    assert_eq!(header("X-Order"), Some("17, \"urgent\""));
    assert_eq!(header("Subject"), None);
    assert_eq!(header("agi_calleridname"), Some("Alice Example"));
    assert_eq!(header("agi_dnid"), Some("7001"));
    assert!(caller.is_ringing());
    let id = CallRef::from(call.id);
    adapter.accept(&id, AcceptAs::Park).await.unwrap();
    assert_eq!(caller.final_status().await, 200);
    assert_eq!(state(&adapter, &id).await, CallState::Connected);
    caller.wait_answered().await;
    caller.hang_up();
    let record = record(&adapter, &id).await;
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.direction, Direction::Inbound);
    assert_eq!(record.to.unwrap().expose(), "7001");
    assert!(record.answer.is_some() && record.end.is_some());
}

async fn an_incoming_call_goes_on_in_an_extension(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = taking(&asterisk).await;
    let (caller, call) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    let to = |extension: &str| AcceptAs::Extension {
        extension: extension.to_owned(),
        context: None,
    };
    let error = adapter.accept(&call, to("599")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    // A tone of 440 Hz.
    adapter.accept(&call, to("620")).await.unwrap();
    assert_eq!(caller.final_status().await, 200);
    caller.media().wait_hears(440).await;
    adapter.hangup(&call).await.unwrap();
    caller.wait_over().await;
    let record = record(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::Answered);
}

async fn an_incoming_call_is_bridged_to_a_phone_that_answers(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = taking(&asterisk).await;
    let party = Party::rings().says(Sound::Tone(600)).start(&asterisk).await;
    let caller = Caller::call(&asterisk, "7001").says(Sound::Tone(800));
    let (caller, call) = waiting(&adapter, caller).await;
    let to = AcceptAs::Bridge(party.uri().parse().unwrap());
    let ((), accepted) = tokio::join!(
        async {
            party.wait_ringing().await;
            caller.wait_answered().await;
            party.answer();
        },
        adapter.accept(&call, to)
    );
    accepted.unwrap();
    caller.media().wait_hears(600).await;
    party.media().wait_hears(800).await;
    assert_eq!(state(&adapter, &call).await, CallState::Connected);
    party.hang_up();
    caller.wait_over().await;
    let record = record(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::Answered);
}

async fn an_incoming_call_whose_other_party_is_busy_stays_parked(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = taking(&asterisk).await;
    let busy = Party::refuses(486).start(&asterisk).await;
    let (caller, call) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    let to = AcceptAs::Bridge(busy.uri().parse().unwrap());
    let accept = adapter.accept(&call, to);
    let error = within("the dial ends", LIMIT, accept).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.native_code(), Some("17"));
    assert_eq!(caller.final_status().await, 200);
    assert_eq!(state(&adapter, &call).await, CallState::Connected);
    caller.wait_answered().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!caller.is_over());
    adapter.hangup(&call).await.unwrap();
    caller.wait_over().await;
}

async fn a_rejected_caller_sees_the_status_of_the_cause(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = taking(&asterisk).await;
    for (cause, status) in [
        (RejectCause::Busy, 486),
        (RejectCause::Unavailable, 480),
        (RejectCause::NotFound, 404),
        (RejectCause::Declined, 603),
    ] {
        let (caller, call) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
        adapter.reject(&call, cause).await.unwrap();
        assert_eq!(caller.final_status().await, status, "{cause:?}");
        let record = record(&adapter, &call).await;
        assert_eq!(record.disposition, Disposition::Cancelled, "{cause:?}");
        assert_eq!(record.causes.sip_status, Some(status), "{cause:?}");
        assert!(record.answer.is_none());
    }
    // What the server kept says the same to another process.
    let other = taking(&asterisk).await;
    assert!(other.snapshot().incoming.is_empty());
}

async fn an_incoming_call_that_nobody_decides_on_is_rejected_as_unavailable(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let mut options = options();
    options["incoming_deadline"] = json!("1s");
    let adapter = connected(asterisk.config(&options)).await;
    let (caller, call) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    assert_eq!(caller.final_status().await, 480);
    let record = record(&adapter, &call).await;
    assert_eq!(record.disposition, Disposition::NoAnswer);
    let error = adapter.accept(&call, AcceptAs::Park).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

async fn a_caller_who_gives_up_leaves_a_missed_call(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = taking(&asterisk).await;
    let (caller, call) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    caller.give_up();
    assert_eq!(caller.final_status().await, 487);
    let missed = record(&adapter, &call).await;
    assert_eq!(missed.disposition, Disposition::NoAnswer);
    assert!(adapter.snapshot().incoming.is_empty());
    let error = adapter.accept(&call, AcceptAs::Park).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // A process that comes later says the same.
    adapter.disconnect(LIMIT).await.unwrap();
    let later = taking(&asterisk).await;
    let found = record(&later, &call).await;
    assert_eq!(found.disposition, Disposition::NoAnswer);
    assert_eq!(found.direction, Direction::Inbound);
}

async fn of_two_decisions_at_once_one_wins_and_the_caller_sees_only_that(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = taking(&asterisk).await;
    let (caller, call) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    let (accepted, rejected) = tokio::join!(
        adapter.accept(&call, AcceptAs::Park),
        adapter.reject(&call, RejectCause::Busy)
    );
    assert!(accepted.is_ok() != rejected.is_ok());
    let (error, status) = match (accepted, rejected) {
        (Ok(()), Err(error)) => (error, 200),
        (Err(error), Ok(())) => (error, 486),
        other => panic!("{other:?}"),
    };
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(caller.final_status().await, status);
}

async fn an_incoming_call_waits_through_a_cut_of_the_link(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &options());
    let adapter = connected(config).await;
    let (first, call) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    link.cut();
    wait_for_connection(&adapter, ConnectionState::Connecting).await;
    let late = Caller::call(&asterisk, "7002").start().await;
    late.wait_ringing().await;
    link.mend();
    wait_for_connection(&adapter, ConnectionState::Connected).await;
    let calls = until("both are told of", LIMIT, async || {
        let calls = adapter.snapshot().incoming;
        (calls.len() == 2).then_some(calls)
    })
    .await;
    let second = calls.iter().find(|it| call.id != Some(it.id)).unwrap();
    assert_eq!(second.called.as_ref().unwrap().expose(), "7002");
    assert_eq!(second.headers["agi_calleridname"].expose(), "Alice");
    assert_eq!(second.headers["agi_dnid"].expose(), "7002");
    adapter.accept(&call, AcceptAs::Park).await.unwrap();
    adapter
        .reject(&second.id.into(), RejectCause::Busy)
        .await
        .unwrap();
    assert_eq!(first.final_status().await, 200);
    assert_eq!(late.final_status().await, 486);
}

async fn an_accepted_call_that_ends_while_the_link_is_cut_has_its_record(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &options());
    let adapter = connected(config).await;
    let (stays, lives) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    adapter.accept(&lives, AcceptAs::Park).await.unwrap();
    let (leaves, ends) = waiting(&adapter, Caller::call(&asterisk, "7002")).await;
    adapter.accept(&ends, AcceptAs::Park).await.unwrap();
    let (gives_up, missed) = waiting(&adapter, Caller::call(&asterisk, "7003")).await;
    leaves.wait_answered().await;
    link.cut();
    wait_for_connection(&adapter, ConnectionState::Connecting).await;
    leaves.hang_up();
    gives_up.give_up();
    leaves.wait_over().await;
    gives_up.wait_over().await;
    link.mend();
    let ended = record(&adapter, &ends).await;
    assert_eq!(ended.disposition, Disposition::Answered);
    let missed = record(&adapter, &missed).await;
    assert_eq!(missed.disposition, Disposition::NoAnswer);
    assert_eq!(state(&adapter, &lives).await, CallState::Connected);
    adapter.hangup(&lives).await.unwrap();
    stays.wait_over().await;
}

async fn a_call_that_another_process_took_while_the_link_was_cut_is_left_alone(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let mut short = options();
    short["incoming_deadline"] = json!("3s");
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &short);
    let first = connected(config).await;
    let (caller, call) = waiting(&first, Caller::call(&asterisk, "7001")).await;
    link.cut();
    wait_for_connection(&first, ConnectionState::Connecting).await;
    let second = taking(&asterisk).await;
    assert_eq!(Some(told(&second).await.id), call.id);
    second.accept(&call, AcceptAs::Park).await.unwrap();
    caller.wait_answered().await;
    link.mend();
    wait_for_connection(&first, ConnectionState::Connected).await;
    assert!(first.snapshot().incoming.is_empty());
    assert_eq!(state(&first, &call).await, CallState::Connected);
    // Beyond the deadline of the first one.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!caller.is_over());
    second.hangup(&call).await.unwrap();
    caller.wait_over().await;
    let record = record(&first, &call).await;
    assert_eq!(record.disposition, Disposition::Answered);
}

async fn a_new_process_decides_on_a_call_that_an_earlier_one_was_told_of(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let first = taking(&asterisk).await;
    let (caller, call) = waiting(&first, Caller::call(&asterisk, "7001")).await;
    let (up, accepted) = {
        let caller = Caller::call(&asterisk, "7002").start().await;
        let id = until("the second call is told of", LIMIT, async || {
            let calls = first.snapshot().incoming;
            calls
                .into_iter()
                .map(|it| it.id)
                .find(|id| call.id != Some(*id))
        })
        .await;
        first.accept(&id.into(), AcceptAs::Park).await.unwrap();
        (caller, CallRef::from(id))
    };
    first.disconnect(LIMIT).await.unwrap();
    drop(first);

    let second = taking(&asterisk).await;
    let again = told(&second).await;
    assert_eq!(Some(again.id), call.id);
    second.accept(&call, AcceptAs::Park).await.unwrap();
    assert_eq!(caller.final_status().await, 200);
    match second.lookup(&accepted).await.unwrap() {
        Lookup::Live(status) => {
            assert_eq!(status.direction, Direction::Inbound);
            assert_eq!(status.state, CallState::Connected);
        }
        other => panic!("{other:?}"),
    }
    second.hangup(&accepted).await.unwrap();
    up.wait_over().await;
    let record = record(&second, &accepted).await;
    assert_eq!(record.disposition, Disposition::Answered);
    second.release(&accepted).await.unwrap();
}

async fn an_account_without_the_right_agi_takes_calls_as_well(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let config = asterisk.config_of("noagi", "n0agi", asterisk.ami_port(), &options());
    let adapter = connected(config).await;
    assert!(adapter.capabilities().has(Capability::Incoming));
    // It reads no event of class agi: a list finds the call when it connects.
    let caller = Caller::call(&asterisk, "7001").start().await;
    caller.wait_ringing().await;
    adapter.disconnect(LIMIT).await.unwrap();
    adapter.connect().await.unwrap();
    let call = CallRef::from(told(&adapter).await.id);
    adapter.accept(&call, AcceptAs::Park).await.unwrap();
    assert_eq!(caller.final_status().await, 200);

    // It may not make the extensions, and those of another instance are not its own.
    let mut options = options();
    options["instance"] = json!("weak");
    let config = asterisk.config_of("weak", "w3ak", asterisk.ami_port(), &options);
    let weak = connected(config).await;
    assert!(!weak.capabilities().has(Capability::Incoming));
    let nobody = CallRef::from(CallId::new());
    let error = weak.accept(&nobody, AcceptAs::Park).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

async fn the_server_ends_a_call_whose_process_died(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let mut options = options();
    options["incoming_deadline"] = json!("1s");
    let adapter = connected(asterisk.config(&options)).await;
    let (caller, _) = waiting(&adapter, Caller::call(&asterisk, "7001")).await;
    adapter.disconnect(LIMIT).await.unwrap();
    drop(adapter);
    // Beyond the limit of one wait of these tests.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(caller.final_status().await, 603);
}
