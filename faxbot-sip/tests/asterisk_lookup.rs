//! What a lookup may claim: only what the server proves permits another try.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::time::Duration;

use asterisk_support::{
    FAMILY, FLAVOURS, LONG, Rig, channel_id, dial, eventually, lost, reconnected,
};
use faxbot_core::{
    ErrorKind, Timestamp,
    id::{CallId, CallRef},
    sip::{Disposition, Lookup, SipAdapter, UnknownReason},
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, DialplanContext};
use faxbot_testkit::server::asterisk::{Account, CallScript, ReplyFault};

/// Longer than traces of a request may take.
const SETTLED: Duration = Duration::from_secs(11);

fn asked(requested: Timestamp) -> CallRef {
    CallRef::from(CallId::new()).requested_at(requested)
}

async fn unknown(adapter: &AsteriskAdapter, call: &CallRef) -> Option<UnknownReason> {
    match adapter.lookup(call).await.unwrap() {
        Lookup::Unknown(why) => Some(why),
        Lookup::NeverExisted => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_was_is_proven_so_by_any_process() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let first = rig.connected().await;
        tokio::time::sleep(SETTLED).await;
        let call = asked(rig.clock.timestamp());
        assert_eq!(unknown(&first, &call).await, Some(UnknownReason::TooRecent));
        tokio::time::sleep(SETTLED).await;
        assert_eq!(unknown(&first, &call).await, None);
        drop(first);
        let next = rig.connected().await;
        assert_eq!(unknown(&next, &call).await, None);
        let nameless = CallRef::from(CallId::new());
        let why = unknown(&next, &nameless).await;
        assert_eq!(why, Some(UnknownReason::RequestTimeUnknown));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_future_is_too_recent() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = asked(rig.clock.timestamp() + LONG);
    let why = unknown(&adapter, &call).await;
    assert_eq!(why, Some(UnknownReason::TooRecent));
}

#[tokio::test(start_paused = true)]
async fn a_restart_since_the_request_leaves_it_unknown() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    tokio::time::sleep(SETTLED).await;
    let call = asked(rig.clock.timestamp());
    tokio::time::sleep(SETTLED).await;
    rig.mock.kill(Duration::from_secs(2));
    lost(&adapter).await;
    reconnected(&adapter).await;
    let why = unknown(&adapter, &call).await;
    assert_eq!(why, Some(UnknownReason::ServerRestarted));
    // What is asked for after it can be proven again.
    tokio::time::sleep(SETTLED).await;
    let call = asked(rig.clock.timestamp());
    tokio::time::sleep(SETTLED).await;
    assert_eq!(unknown(&adapter, &call).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_that_still_boots_is_not_taken_for_the_old_one() {
    let rig = Rig::with(|builder| builder.boot_time(Duration::from_secs(60))).await;
    let adapter = rig.connected().await;
    tokio::time::sleep(SETTLED).await;
    let call = asked(rig.clock.timestamp());
    tokio::time::sleep(SETTLED).await;
    rig.mock.kill(Duration::from_secs(2));
    lost(&adapter).await;
    reconnected(&adapter).await;
    let why = unknown(&adapter, &call).await;
    assert_eq!(why, Some(UnknownReason::ServerRestarted));
}

#[tokio::test(start_paused = true)]
async fn a_reload_since_the_request_leaves_it_unknown_for_every_process() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let first = rig.connected().await;
        tokio::time::sleep(SETTLED).await;
        let call = asked(rig.clock.timestamp());
        tokio::time::sleep(SETTLED).await;
        rig.mock.reload_dialplan();
        let why = unknown(&first, &call).await;
        assert_eq!(why, Some(UnknownReason::NotKept), "while it is gone");
        // Another call makes the extension again; a third process sees only that it is there.
        first.make_call(dial("+15551230001")).await.unwrap();
        assert_eq!(unknown(&first, &call).await, Some(UnknownReason::NotKept));
        drop(first);
        let next = rig.connected().await;
        assert_eq!(unknown(&next, &call).await, Some(UnknownReason::NotKept));
        tokio::time::sleep(SETTLED).await;
        let call = asked(rig.clock.timestamp());
        tokio::time::sleep(SETTLED).await;
        assert_eq!(unknown(&next, &call).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_before_the_first_connect_is_unknown() {
    let rig = Rig::new().await;
    tokio::time::sleep(LONG).await;
    let call = asked(rig.clock.timestamp());
    tokio::time::sleep(SETTLED).await;
    let adapter = rig.connected().await;
    let why = unknown(&adapter, &call).await;
    assert_eq!(why, Some(UnknownReason::NotKept));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ended_elsewhere_is_found_with_its_cause() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        for (script, disposition, cause) in [
            (CallScript::busy(), Disposition::Busy, Some(17)),
            (CallScript::rejected(404), Disposition::Failed, Some(1)),
            (CallScript::congestion(), Disposition::Congestion, Some(34)),
        ] {
            rig.mock.next_call(script);
            let killed = rig.connected().await;
            let request = dial("+15551230001");
            let id = request.id;
            killed.make_call(request).await.unwrap();
            drop(killed);
            rig.quiet().await;
            let next = rig.connected().await;
            let Lookup::Ended(record) = next.lookup(&id.into()).await.unwrap() else {
                panic!("{disposition:?} is lost");
            };
            assert_eq!(
                (record.disposition, record.causes.q850),
                (disposition, cause)
            );
            assert!(record.fax.is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_read_also_by_an_account_that_could_not_have_it_kept() {
    let rig = Rig::with(|builder| {
        builder.account(
            Account::new("faxbot", "s3cret")
                .read("call,dialplan")
                .write("call,originate,reporting"),
        )
    })
    .await;
    let id = CallId::new();
    let value = "1|1795248360|Up|fax|16|SUCCESS|HANGUP|2|14400|T38|8031x7700|OK|X";
    rig.mock.db_put(FAMILY, &channel_id(id), value);
    let adapter = rig.connected().await;
    let found = adapter.lookup(&id.into()).await.unwrap();
    assert!(matches!(found, Lookup::Ended(record) if record.fax.as_ref().unwrap().is_success()));
    let why = unknown(&adapter, &asked(rig.clock.timestamp())).await;
    assert_eq!(why, Some(UnknownReason::NotKept));
}

#[tokio::test(start_paused = true)]
async fn names_of_the_server_are_found_while_they_live() {
    let rig = Rig::new().await;
    let other = rig.adapter_with(|config| config.dialplan = DialplanContext::Off);
    other.connect().await.unwrap();
    let call = other.make_call(dial("+15551230001")).await.unwrap();
    call.answered().await.unwrap();
    let name = other.get_status(&call.call_ref()).await.unwrap().channels;
    let name = name
        .iter()
        .find(|name| name.expose().starts_with("PJSIP/"))
        .unwrap();
    let adapter = rig.connected().await;
    let found = adapter.lookup(&CallRef::native(name.expose())).await;
    assert!(matches!(found.unwrap(), Lookup::Live(_)));
    let found = unknown(&adapter, &CallRef::native("PJSIP/gone-00000099")).await;
    assert_eq!(found, Some(UnknownReason::NotOurs));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_proves_nothing() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    tokio::time::sleep(SETTLED).await;
    let call = asked(rig.clock.timestamp());
    tokio::time::sleep(SETTLED).await;
    for (action, fault) in [
        ("CoreShowChannels", ReplyFault::Refuse("no".into())),
        (
            "DBGet",
            ReplyFault::Refuse("Asterisk is shutting down".into()),
        ),
        ("ShowDialPlan", ReplyFault::Refuse("no".into())),
        ("DBGet", ReplyFault::Silent),
        ("DBGet", ReplyFault::DropBefore),
    ] {
        rig.mock.next_reply(action, fault);
        adapter.lookup(&call).await.unwrap_err();
    }
    eventually("up again", || {
        adapter.connection().state == faxbot_core::sip::ConnectionState::Connected
    })
    .await;
    rig.cut();
    lost(&adapter).await;
    let error = adapter.lookup(&call).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
