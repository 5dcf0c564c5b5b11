//! Calls on real Asterisk 16 and 22.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use crate::real::{Asterisk, LIMIT, Version, connected, link::CuttableLink, until, within};
use faxbot_core::{
    ErrorKind, Timestamp,
    clock::TokioClock,
    id::{CallId, CallRef},
    sip::{
        CallRecord, CallRequest, CallState, Capability, ConnectionState, Disposition,
        HangupOutcome, Lookup, SipAdapter as _, UnknownReason,
    },
};
use faxbot_sip::adapter::asterisk::{AsteriskAdapter, PreflightProblem};
use serde_json::json;

crate::on_both_versions!(
    the_login_by_md5_challenge_works,
    the_login_in_plain_text_works,
    the_login_over_tls_works,
    a_certificate_of_an_unknown_authority_is_refused,
    a_wrong_password_is_final_and_not_tried_again,
    an_account_that_is_refused_by_address_is_final,
    an_answered_call_is_hung_up_and_its_record_says_answered,
    an_extension_of_the_dialplan_is_called_without_a_trunk,
    a_busy_line_is_busy_with_its_cause,
    a_call_that_nobody_answers_is_no_answer,
    a_rejected_call_has_the_cause_of_the_rejection,
    an_endpoint_that_does_not_exist_is_a_failed_call,
    a_call_that_rings_is_hung_up,
    a_call_that_the_server_does_not_know_is_not_found,
    a_hundred_calls_at_once_do_not_mix,
    a_call_that_lived_when_asterisk_died_ends_with_that_as_its_cause,
    a_call_that_ended_while_the_link_was_down_has_its_true_end,
    a_call_that_lives_through_a_cut_of_the_link_goes_on,
    a_weak_account_can_do_less_and_says_so,
    preflight_finds_nothing_where_all_is_well,
    preflight_finds_a_spool_that_asterisk_does_not_see,
    preflight_finds_a_spool_that_asterisk_may_not_read,
    a_group_of_the_files_lets_asterisk_read_them,
    preflight_finds_another_directory_under_the_same_name,
    preflight_finds_the_missing_rights_of_a_weak_account,
);

fn dial(to: &str) -> CallRequest {
    CallRequest::dial(to.parse().unwrap())
}

fn now() -> Timestamp {
    TokioClock::shared().timestamp()
}

/// Calls, and waits for the end.
async fn outcome(adapter: &AsteriskAdapter, request: CallRequest) -> CallRecord {
    let call = adapter.make_call(request).await.unwrap();
    within("the call ends", LIMIT, call.ended()).await.unwrap()
}

async fn wait_for_state(adapter: &AsteriskAdapter, call: &CallRef, state: CallState) {
    until("the call has its state", LIMIT, async || {
        let status = adapter.get_status(call).await.unwrap();
        (status.state == state).then_some(())
    })
    .await;
}

async fn wait_for_connection(adapter: &AsteriskAdapter, state: ConnectionState) {
    until("the connection has its state", LIMIT, async || {
        (adapter.connection().state == state).then_some(())
    })
    .await;
}

async fn assert_it_works(adapter: &AsteriskAdapter) {
    let call = adapter.make_call(dial("600")).await.unwrap();
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
}

async fn the_login_by_md5_challenge_works(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = connected(asterisk.config(&json!({ "login": "md5" }))).await;
    assert!(adapter.health_check().await.unwrap().connected);
    assert_it_works(&adapter).await;
    let drained = adapter.disconnect(LIMIT).await.unwrap();
    assert!(drained.complete);
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
    adapter.connect().await.unwrap();
    assert_it_works(&adapter).await;
}

async fn the_login_in_plain_text_works(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = connected(asterisk.config(&json!({ "login": "plain" }))).await;
    assert_it_works(&adapter).await;
}

async fn the_login_over_tls_works(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let tls = json!({ "tls": true, "tls_ca": asterisk.ami_tls_ca() });
    let config = asterisk.config_of("faxbot", "s3cret", asterisk.ami_tls_port(), &tls);
    assert_it_works(&connected(config).await).await;
}

async fn a_certificate_of_an_unknown_authority_is_refused(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let tls = json!({ "tls": true });
    let config = asterisk.config_of("faxbot", "s3cret", asterisk.ami_tls_port(), &tls);
    let adapter = AsteriskAdapter::new(config);
    let refused = within("connect fails", LIMIT, adapter.connect()).await;
    assert!(refused.is_err());
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
}

async fn a_wrong_password_is_final_and_not_tried_again(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    for (tries, login) in [(1, "md5"), (2, "plain")] {
        let options = json!({ "login": login });
        let config = asterisk.config_of("faxbot", "wr0ng", link.port(), &options);
        let adapter = AsteriskAdapter::new(config);
        let error = within("connect fails", LIMIT, adapter.connect())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
        assert!(!error.is_retryable());
        assert_no_further_try(&link, tries).await;
    }
    // With `wait_for_server` the supervisor runs already, and stops for good.
    let options = json!({ "wait_for_server": true });
    let config = asterisk.config_of("faxbot", "wr0ng", link.port(), &options);
    let adapter = AsteriskAdapter::new(config);
    let _ = within("connect returns", LIMIT, adapter.connect()).await;
    wait_for_connection(&adapter, ConnectionState::Error).await;
    assert_no_further_try(&link, 3).await;
}

async fn assert_no_further_try(link: &CuttableLink, tries: usize) {
    // The first back-off is 2 ms: a hundred tries would fit here.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(link.accepted(), tries);
}

async fn an_account_that_is_refused_by_address_is_final(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let config = asterisk.config_of("denied", "d3nied", asterisk.ami_port(), &json!({}));
    let adapter = AsteriskAdapter::new(config);
    let error = within("connect fails", LIMIT, adapter.connect())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error:?}");
}

async fn an_answered_call_is_hung_up_and_its_record_says_answered(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let call = adapter.make_call(dial("+15551230600")).await.unwrap();
    let id = call.call_ref();
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    let status = adapter.get_status(&id).await.unwrap();
    assert_eq!(status.state, CallState::Connected);
    assert!(status.answered_at.is_some());
    assert!(matches!(
        adapter.lookup(&id).await.unwrap(),
        Lookup::Live(_)
    ));
    assert_eq!(adapter.snapshot().calls.len(), 1);
    assert_eq!(adapter.hangup(&id).await.unwrap(), HangupOutcome::Requested);
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.id, Some(call.id()));
    assert!(record.answer.is_some() && record.end.is_some());
    assert_eq!(adapter.hangup(&id).await.unwrap(), HangupOutcome::Ended);
    assert!(matches!(
        adapter.lookup(&id).await.unwrap(),
        Lookup::Ended(_)
    ));
    assert!(adapter.snapshot().calls.is_empty());
}

async fn an_extension_of_the_dialplan_is_called_without_a_trunk(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let call = adapter
        .make_call(dial("native:Local/600@default"))
        .await
        .unwrap();
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    // The other leg has the cause: this one's is 0.
    let busy = outcome(&adapter, dial("native:Local/602@default")).await;
    assert_eq!(busy.disposition, Disposition::Busy, "{busy:?}");
}

async fn a_busy_line_is_busy_with_its_cause(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let record = outcome(&asterisk.adapter().await, dial("+15551230602")).await;
    assert_eq!(record.disposition, Disposition::Busy);
    assert_eq!(record.causes.q850, Some(17));
    let status = version.tells_sip_status().then_some(486);
    assert_eq!(record.causes.sip_status, status);
    assert_eq!(record.answer, None);
    assert_eq!(record.billable_seconds, Some(0));
}

async fn a_call_that_nobody_answers_is_no_answer(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    for (to, what) in [
        ("603", "it rings"),
        ("native:PJSIP/603@dead", "nothing answers at all"),
    ] {
        let request = dial(to).with_timeout(Duration::from_secs(1));
        let record = outcome(&adapter, request).await;
        assert_eq!(record.disposition, Disposition::NoAnswer, "{what}");
        assert_eq!(record.causes.q850, Some(19), "{what}");
    }
}

async fn a_rejected_call_has_the_cause_of_the_rejection(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    for (to, q850, sip, disposition) in [
        ("604", 34, 503, Disposition::Congestion),
        ("605", 1, 404, Disposition::Failed),
        ("609", 21, 403, Disposition::Failed),
    ] {
        let record = outcome(&adapter, dial(to)).await;
        assert_eq!(record.disposition, disposition, "{to}");
        assert_eq!(record.causes.q850, Some(q850), "{to}");
        let status = version.tells_sip_status().then_some(sip);
        assert_eq!(record.causes.sip_status, status, "{to}");
    }
}

async fn an_endpoint_that_does_not_exist_is_a_failed_call(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let record = outcome(&adapter, dial("native:PJSIP/600@nowhere")).await;
    assert_ne!(record.disposition, Disposition::Answered);
    assert!(adapter.snapshot().calls.is_empty());
}

async fn a_call_that_rings_is_hung_up(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let call = adapter.make_call(dial("603")).await.unwrap();
    wait_for_state(&adapter, &call.call_ref(), CallState::Ringing).await;
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.disposition, Disposition::Cancelled);
    assert!(call.answered().await.is_err());
    // A hang-up may also come before the channel is there.
    let call = adapter.make_call(dial("603")).await.unwrap();
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.disposition, Disposition::Cancelled);
    until("the server has no channel", LIMIT, async || {
        let channels = asterisk.console("core show channels count").await;
        channels.contains("0 active channels").then_some(())
    })
    .await;
}

async fn a_call_that_the_server_does_not_know_is_not_found(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    for unknown in [
        CallRef::from(CallId::new()),
        CallRef::native("PJSIP/trunk-0badcafe"),
    ] {
        let error = adapter.hangup(&unknown).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        let error = adapter.get_status(&unknown).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
    // An expression that would fit every channel is not sent.
    assert_it_works(&adapter).await;
    let error = adapter.hangup(&CallRef::native("/.*/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let unknown = CallRef::from(CallId::new());
    assert_eq!(
        adapter.lookup(&unknown).await.unwrap(),
        Lookup::Unknown(UnknownReason::RequestTimeUnknown)
    );
    assert_eq!(
        adapter.lookup(&unknown.requested_at(now())).await.unwrap(),
        Lookup::Unknown(UnknownReason::TooRecent)
    );
}

async fn a_hundred_calls_at_once_do_not_mix(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let adapter = adapter.clone();
        tasks.spawn(async move {
            // Every fourth is busy: each call must get its own end.
            let busy = number % 4 == 0;
            let request = dial(if busy { "602" } else { "600" });
            let id = request.id;
            let call = adapter.make_call(request).await.unwrap();
            assert_eq!(call.id(), id);
            if !busy {
                call.answered().await.unwrap();
                adapter.hangup(&call.call_ref()).await.unwrap();
            }
            let record = call.ended().await.unwrap();
            assert_eq!(record.id, Some(id));
            let wanted = if busy {
                Disposition::Busy
            } else {
                Disposition::Answered
            };
            assert_eq!(record.disposition, wanted);
        });
    }
    within("all calls end", LIMIT, tasks.join_all()).await;
    assert!(adapter.snapshot().calls.is_empty());
    let health = adapter.health_check().await.unwrap();
    assert_eq!(health.metrics.active_calls, 0);
}

async fn a_call_that_lived_when_asterisk_died_ends_with_that_as_its_cause(version: Version) {
    let mut asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let call = adapter.make_call(dial("600")).await.unwrap();
    within("the call is answered", LIMIT, call.answered())
        .await
        .unwrap();
    asterisk.kill().await;
    wait_for_connection(&adapter, ConnectionState::Connecting).await;
    let error = adapter.make_call(dial("600")).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    asterisk.start_again(&[]).await;
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    // It was answered, as was seen; it ended when the server did, and no later.
    assert_eq!(record.disposition, Disposition::Answered);
    assert_eq!(record.causes.q850, Some(41));
    assert!(record.end.unwrap() < now());
    wait_for_connection(&adapter, ConnectionState::Connected).await;
    assert!(adapter.snapshot().calls.is_empty());
    assert_it_works(&adapter).await;
}

async fn a_call_that_ended_while_the_link_was_down_has_its_true_end(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &json!({}));
    let adapter = connected(config).await;
    let answered = adapter.make_call(dial("606")).await.unwrap();
    let rings = dial("603").with_timeout(Duration::from_secs(1));
    let rings = adapter.make_call(rings).await.unwrap();
    wait_for_state(&adapter, &rings.call_ref(), CallState::Ringing).await;
    link.cut();
    wait_for_connection(&adapter, ConnectionState::Connecting).await;
    until("both calls are over", LIMIT, async || {
        let channels = asterisk.console("core show channels count").await;
        channels.contains("0 active channels").then_some(())
    })
    .await;
    assert_eq!(adapter.snapshot().calls.len(), 2);
    link.mend();
    let record = within("the end is read", LIMIT, answered.ended())
        .await
        .unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
    let record = within("the end is read", LIMIT, rings.ended())
        .await
        .unwrap();
    // Asterisk 16 gives no cause for a call that it stopped ringing; that leaves the end unknown,
    // never answered.
    let known = version == Version::V22;
    let wanted = if known {
        Disposition::NoAnswer
    } else {
        Disposition::Unknown
    };
    assert_eq!(record.disposition, wanted);
}

async fn a_call_that_lives_through_a_cut_of_the_link_goes_on(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let link = CuttableLink::to(asterisk.ami_port()).await;
    let config = asterisk.config_of("faxbot", "s3cret", link.port(), &json!({}));
    let adapter = connected(config).await;
    let call = adapter.make_call(dial("601")).await.unwrap();
    wait_for_state(&adapter, &call.call_ref(), CallState::Ringing).await;
    link.cut();
    wait_for_connection(&adapter, ConnectionState::Connecting).await;
    // It is answered while nobody looks.
    until("the call is up", LIMIT, async || {
        let channels = asterisk.console("core show channels").await;
        channels.contains(" Up ").then_some(())
    })
    .await;
    link.mend();
    within("the answer is seen", LIMIT, call.answered())
        .await
        .unwrap();
    wait_for_connection(&adapter, ConnectionState::Connected).await;
    adapter.hangup(&call.call_ref()).await.unwrap();
    let record = within("the call ends", LIMIT, call.ended()).await.unwrap();
    assert_eq!(record.disposition, Disposition::Answered);
}

async fn a_weak_account_can_do_less_and_says_so(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let config = asterisk.config_of("weak", "w3ak", asterisk.ami_port(), &json!({}));
    let adapter = AsteriskAdapter::new(config);
    assert!(adapter.capabilities().has(Capability::LookupEnded));
    within("the login works", LIMIT, adapter.connect())
        .await
        .unwrap();
    let capabilities = adapter.capabilities();
    assert!(!capabilities.has(Capability::LookupEnded));
    assert!(capabilities.has(Capability::Dial) && capabilities.has(Capability::Hangup));
    assert_it_works(&adapter).await;
    let busy = outcome(&adapter, dial("602")).await;
    assert_eq!(busy.disposition, Disposition::Busy);
    assert_eq!(
        adapter.lookup(&CallId::new().into()).await.unwrap(),
        Lookup::Unknown(UnknownReason::NotKept)
    );
}

async fn preflight_finds_nothing_where_all_is_well(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let found = adapter.preflight().await.unwrap();
    assert!(found.is_ready(), "{found}");
    assert_eq!(
        fs::read_dir(asterisk.spool()).unwrap().count(),
        0,
        "it leaves nothing in the spool"
    );
    for question in [
        "database show faxbot-faxbot-probe",
        "dialplan show s@faxbot-preflight-faxbot",
    ] {
        let left = asterisk.console(question).await;
        assert!(!left.contains("II") && !left.contains("STAT("), "{left}");
    }
    assert!(adapter.snapshot().calls.is_empty());
}

async fn preflight_finds_a_spool_that_asterisk_does_not_see(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let config = asterisk.config(&json!({ "spool_remote": "/srv/nowhere" }));
    let found = connected(config).await.preflight().await.unwrap();
    assert_eq!(found.problems, [PreflightProblem::SpoolNotVisible]);
}

async fn preflight_finds_a_spool_that_asterisk_may_not_read(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let adapter = asterisk.adapter().await;
    let spool = asterisk.spool();
    // The directory can be entered, but its files are of a group that Asterisk is not in; then it
    // cannot even be entered.
    std::os::unix::fs::chown(&spool, None, Some(0)).unwrap();
    for mode in [0o755, 0o700] {
        fs::set_permissions(&spool, fs::Permissions::from_mode(mode)).unwrap();
        let found = adapter.preflight().await.unwrap();
        assert_eq!(
            found.problems,
            [PreflightProblem::SpoolNotReadable],
            "{mode:o}"
        );
    }
}

async fn a_group_of_the_files_lets_asterisk_read_them(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let spool = asterisk.spool();
    std::os::unix::fs::chown(&spool, None, Some(0)).unwrap();
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o755)).unwrap();
    let config = asterisk.config(&json!({ "spool_group": asterisk.group() }));
    let found = connected(config).await.preflight().await.unwrap();
    assert!(found.is_ready(), "{found}");
}

async fn preflight_finds_another_directory_under_the_same_name(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let config = asterisk.config(&json!({ "spool": elsewhere.path() }));
    let found = connected(config).await.preflight().await.unwrap();
    assert_eq!(found.problems, [PreflightProblem::SpoolElsewhere]);
}

async fn preflight_finds_the_missing_rights_of_a_weak_account(version: Version) {
    let asterisk = Asterisk::start(version, &[]).await;
    let config = asterisk.config_of("weak", "w3ak", asterisk.ami_port(), &json!({}));
    let found = connected(config).await.preflight().await.unwrap();
    assert_eq!(
        found.problems,
        [
            PreflightProblem::MayNotAddExtensions,
            PreflightProblem::NotTested
        ]
    );
    let config = asterisk.config_of("events", "3vents", asterisk.ami_port(), &json!({}));
    let adapter = AsteriskAdapter::new(config);
    // It may only read: it cannot do what this SDK is for, and is told so.
    let error = within("connect fails", LIMIT, adapter.connect())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
}
