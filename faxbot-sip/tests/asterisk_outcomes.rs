//! Outcomes that survive a lost link, a new process and a reload, and those that are honestly unknown.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::time::Duration;

use asterisk_support::{
    CONTEXT, FAMILY, FLAVOURS, LONG, Rig, channel_id, drain, eventually, lost, reconnected,
};
use faxbot_core::{
    Error,
    fax::{FaxCall, FaxOutcome, OutcomeStatus},
    id::CallId,
    sip::{
        CallState, Capability, ConnectionState, Lookup, Severity, SipAdapter, SipEvent,
        UnknownReason,
    },
};
use faxbot_sip::adapter::asterisk::DialplanContext;
use faxbot_testkit::server::asterisk::{Account, CallScript, ReplyFault};

async fn ends(fax: &FaxCall) -> Result<FaxOutcome, Error> {
    tokio::time::timeout(LONG, fax.result())
        .await
        .expect("a fax never ended")
}

#[tokio::test(start_paused = true)]
async fn a_fax_that_ends_while_the_link_is_down_has_its_true_outcome() {
    for flavour in FLAVOURS {
        for (script, status, pages) in [
            (CallScript::answer(), OutcomeStatus::Success, 3),
            (
                CallScript::fax_fails_after(2, "RX_T4_ERROR", "no carrier"),
                OutcomeStatus::Failed,
                2,
            ),
        ] {
            let rig = Rig::of(flavour).await;
            rig.mock.on_dial("*", script);
            let adapter = rig.connected().await;
            let request = rig.fax("+15551230700", 3);
            let path = rig.spool_file(request.id);
            let fax = adapter.send_fax(request).await.unwrap();
            rig.page_confirmed(1).await;
            rig.cut();
            rig.quiet().await;
            assert!(path.exists(), "the outcome is not known");
            rig.mend();
            let outcome = ends(&fax).await.unwrap();
            assert_eq!(
                (outcome.status, outcome.pages_confirmed),
                (status, Some(pages))
            );
            assert!(!path.exists());
            assert_eq!(rig.originates().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fax_goes_on_over_a_short_cut_and_keeps_its_progress() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let fax = adapter.send_fax(rig.fax("+15551230700", 3)).await.unwrap();
    rig.page_confirmed(1).await;
    rig.cut();
    lost(&adapter).await;
    rig.mend();
    reconnected(&adapter).await;
    eventually("progress after the cut", || {
        fax.progress().pages_confirmed >= Some(2)
    })
    .await;
    assert!(ends(&fax).await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_the_outcome_by_the_id_until_it_is_released() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let killed = rig.connected().await;
        let request = rig.fax("+15551230700", 2);
        let (id, path) = (request.id, rig.spool_file(request.id));
        killed.send_fax(request).await.unwrap();
        rig.page_confirmed(1).await;
        drop(killed);

        let next = rig.connected().await;
        let found = next.lookup(&id.into()).await.unwrap();
        assert!(matches!(found, Lookup::Live(status) if status.id == Some(id)));
        rig.quiet().await;
        let Lookup::Ended(record) = next.lookup(&id.into()).await.unwrap() else {
            panic!("the outcome is lost");
        };
        let outcome = record.fax.unwrap();
        assert!(outcome.is_success());
        assert_eq!(outcome.pages_confirmed, Some(2));
        assert!(rig.mock.db_get(FAMILY, &channel_id(id)).is_some());
        next.release(&id.into()).await.unwrap();
        assert_eq!(rig.mock.db_get(FAMILY, &channel_id(id)), None);
        next.release(&id.into()).await.unwrap();
        drop(next);
        let _third = rig.connected().await;
        assert!(!path.exists(), "pages that the killed process left");
    }
}

fn report(ended: i64) -> String {
    format!("1|{ended}|Up|fax|16|SUCCESS|HANGUP|1|14400|T38|8031x7700|OK|X")
}

#[tokio::test(start_paused = true)]
async fn the_sweep_deletes_only_what_is_old_and_ours() {
    const DAY: i64 = 24 * 3600;
    let rig = Rig::new().await;
    let now = rig.clock.timestamp().as_second();
    let key = |_| channel_id(CallId::new());
    let keys: Vec<_> = (0..4).map(key).collect();
    rig.mock.db_put(FAMILY, &keys[0], &report(now - 8 * DAY));
    rig.mock.db_put(FAMILY, &keys[1], &report(now - 6 * DAY));
    let other_layout = format!("2|{}|Up", now - 30 * DAY);
    rig.mock.db_put(FAMILY, &keys[2], &other_layout);
    rig.mock
        .db_put("faxbot-other", &keys[3], &report(now - 30 * DAY));
    let adapter = rig.connected().await;
    let there = |family, index: usize| rig.mock.db_get(family, &keys[index]).is_some();
    eventually("the old one is deleted", || !there(FAMILY, 0)).await;
    assert!(there(FAMILY, 1) && there(FAMILY, 2) && there("faxbot-other", 3));

    // The connection lasts, and so does the sweeping.
    tokio::time::sleep(Duration::from_secs(2 * 24 * 3600)).await;
    assert!(!there(FAMILY, 1));
    assert!(there(FAMILY, 2) && there("faxbot-other", 3));
    drop(adapter);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_cannot_be_deleted_does_not_keep_the_adapter_from_connecting() {
    let rig = Rig::with(|builder| {
        builder
            .account(
                Account::new("faxbot", "s3cret")
                    .read("call,dialplan")
                    .write("call,originate,reporting"),
            )
            .extension("ours", "s", 1, "Return", "")
    })
    .await;
    let old = channel_id(CallId::new());
    rig.mock.db_put(FAMILY, &old, &report(1));
    let adapter =
        rig.adapter_with(|config| config.dialplan = DialplanContext::Named("ours".into()));
    adapter.connect().await.unwrap();
    assert!(rig.mock.wait_for("DBDel", 1).await);
    assert!(rig.mock.db_get(FAMILY, &old).is_some());
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
}

const SNIPPET: &str = "DB(faxbot-faxbot/${CHANNEL(uniqueid)})=1|${EPOCH}|${CHANNEL(state)}|${FAXBOT_KIND}|${HANGUPCAUSE}|${FAXSTATUS}|${FAXERROR}|${FAXPAGES}|${FAXBITRATE}|${FAXMODE}|${FAXRESOLUTION}|${FAXSTATUSSTRING}|${REMOTESTATIONID}";

#[tokio::test(start_paused = true)]
async fn a_context_of_the_operator_survives_a_reload() {
    let rig = Rig::with(|builder| {
        builder
            .extension("clinic", "s", 1, "Set", SNIPPET)
            .extension("clinic", "s", 2, "Return", "")
    })
    .await;
    let adapter =
        rig.adapter_with(|config| config.dialplan = DialplanContext::Named("clinic".into()));
    adapter.connect().await.unwrap();
    let fax = adapter.send_fax(rig.fax("+15551230700", 2)).await.unwrap();
    rig.page_confirmed(1).await;
    rig.cut();
    rig.mock.reload_dialplan();
    rig.quiet().await;
    rig.mend();
    assert!(ends(&fax).await.unwrap().is_success());
    assert!(rig.mock.actions_named("DialplanExtensionAdd").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_context_that_is_not_there_is_told_and_faxes_go_on() {
    let rig = Rig::new().await;
    let adapter =
        rig.adapter_with(|config| config.dialplan = DialplanContext::Named("nowhere".into()));
    let mut stream = adapter.subscribe();
    adapter.connect().await.unwrap();
    assert!(!adapter.capabilities().has(Capability::LookupEnded));
    assert!(warned(&drain(&mut stream)));
    let fax = adapter.send_fax(rig.fax("+15551230700", 1)).await.unwrap();
    assert!(ends(&fax).await.unwrap().is_success());
}

fn warned(events: &[SipEvent]) -> bool {
    events.iter().any(|event| {
        matches!(
            event,
            SipEvent::AdapterError {
                severity: Severity::Warning,
                ..
            }
        )
    })
}

#[tokio::test(start_paused = true)]
async fn with_outcomes_off_nothing_is_left_at_the_server() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| config.dialplan = DialplanContext::Off);
    adapter.connect().await.unwrap();
    assert!(!adapter.capabilities().has(Capability::LookupEnded));
    let request = rig.fax("+15551230700", 1);
    let fax = adapter.send_fax(request.clone()).await.unwrap();
    assert!(ends(&fax).await.unwrap().is_success());
    assert!(rig.mock.db_entries().is_empty());
    assert!(!rig.mock.has_extension(CONTEXT, "s"));
    let other = rig.adapter_with(|config| config.dialplan = DialplanContext::Off);
    other.connect().await.unwrap();
    let found = other.lookup(&request.id.into()).await.unwrap();
    assert!(matches!(found, Lookup::Unknown(UnknownReason::NotKept)));
    other.release(&request.id.into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_that_may_add_nothing_still_faxes_and_says_what_it_lacks() {
    for flavour in FLAVOURS {
        let rig = Rig::with(|builder| {
            builder.flavour(flavour).account(
                Account::new("faxbot", "s3cret")
                    .read("call,dialplan")
                    .write("call,originate,reporting"),
            )
        })
        .await;
        let adapter = rig.adapter();
        let mut stream = adapter.subscribe();
        adapter.connect().await.unwrap();
        let events = drain(&mut stream);
        assert!(warned(&events));
        assert!(events.iter().any(|event| matches!(
            event,
            SipEvent::CapabilitiesChanged(now) if !now.has(Capability::LookupEnded) && now.has(Capability::SendFax)
        )));
        let fax = adapter.send_fax(rig.fax("+15551230700", 2)).await.unwrap();
        assert!(ends(&fax).await.unwrap().is_success());
        adapter.release(&fax.id().into()).await.unwrap();

        let fax = adapter.send_fax(rig.fax("+15551230700", 3)).await.unwrap();
        eventually("a page is seen", || {
            fax.progress().pages_confirmed >= Some(1)
        })
        .await;
        rig.cut();
        rig.quiet().await;
        rig.mend();
        let outcome = ends(&fax).await.unwrap();
        assert_eq!(outcome.status, OutcomeStatus::Unknown);
        assert_eq!(outcome.pages_confirmed, Some(1), "pages last seen");
        assert_eq!(rig.originates().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_in_mid_fax_costs_no_outcome() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let fax = adapter.send_fax(rig.fax("+15551230700", 3)).await.unwrap();
        rig.page_confirmed(1).await;
        // No event tells of it.
        rig.mock.reload_dialplan();
        assert!(!rig.mock.has_extension(CONTEXT, "s"));
        let again = |mock: &faxbot_testkit::server::asterisk::MockAsterisk| {
            mock.has_extension(CONTEXT, "s").then_some(())
        };
        rig.mock.wait_until(LONG, again).await.unwrap();
        rig.cut();
        rig.quiet().await;
        rig.mend();
        assert!(ends(&fax).await.unwrap().is_success());
    }
}

#[tokio::test(start_paused = true)]
async fn the_extension_is_there_before_every_originate() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.reload_dialplan();
    let fax = adapter.send_fax(rig.fax("+15551230700", 1)).await.unwrap();
    assert!(rig.mock.has_extension(CONTEXT, "s"));
    rig.cut();
    rig.quiet().await;
    rig.mend();
    assert!(ends(&fax).await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_dies_in_mid_fax_leaves_it_unknown_and_nothing_is_dialled_again() {
    for flavour in FLAVOURS {
        let rig = Rig::of(flavour).await;
        let adapter = rig.connected().await;
        let mut stream = adapter.subscribe();
        let request = rig.fax("+15551230700", 3);
        let path = rig.spool_file(request.id);
        let fax = adapter.send_fax(request).await.unwrap();
        eventually("a page is seen", || {
            fax.progress().pages_confirmed >= Some(1)
        })
        .await;
        rig.mock.kill(Duration::from_secs(3));
        let outcome = ends(&fax).await.unwrap();
        assert_eq!(outcome.status, OutcomeStatus::Unknown);
        assert_eq!(outcome.pages_confirmed, Some(1));
        assert_eq!(outcome.class(), None);
        tokio::time::sleep(LONG).await;
        assert_eq!(rig.originates().len(), 1);
        assert!(!path.exists());
        let finished = drain(&mut stream)
            .into_iter()
            .filter(|event| matches!(event, SipEvent::FaxFinished { .. }))
            .count();
        assert_eq!(finished, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_may_not_be_read_ends_the_fax_by_its_events() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut stream = adapter.subscribe();
    let fax = adapter.send_fax(rig.fax("+15551230700", 1)).await.unwrap();
    rig.mock
        .next_reply("DBGet", ReplyFault::Refuse("Permission denied".into()));
    assert!(ends(&fax).await.unwrap().is_success());
    assert!(warned(&drain(&mut stream)));
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_is_not_read_at_once_is_asked_for_again() {
    let rig = Rig::new().await;
    rig.mock.on_dial(
        "*",
        CallScript::fax_fails_after(1, "RX_T4_ERROR", "no carrier"),
    );
    let adapter = rig.connected().await;
    let fax = adapter.send_fax(rig.fax("+15551230700", 2)).await.unwrap();
    for fault in [
        ReplyFault::Refuse("Asterisk is shutting down".into()),
        ReplyFault::Silent,
        ReplyFault::DropBefore,
    ] {
        rig.mock.next_reply("DBGet", fault);
    }
    let outcome = ends(&fax).await.unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Failed);
    assert_eq!(outcome.pages_confirmed, Some(1));
}

#[tokio::test(start_paused = true)]
async fn calls_end_without_any_event_of_the_server() {
    // An account that may read nothing: lists are the only truth.
    let rig = Rig::with(|builder| {
        builder.account(
            Account::new("faxbot", "s3cret")
                .read("")
                .write("system,call,originate,reporting"),
        )
    })
    .await;
    let adapter = rig.connected().await;
    let mut stream = adapter.subscribe();
    let fax = adapter.send_fax(rig.fax("+15551230700", 2)).await.unwrap();
    assert!(ends(&fax).await.unwrap().is_success());
    let last = drain(&mut stream)
        .into_iter()
        .filter_map(|event| match event {
            SipEvent::CallStateChanged(change) => Some(change.to),
            _ => None,
        })
        .next_back();
    assert_eq!(last, Some(CallState::Terminated));
}
