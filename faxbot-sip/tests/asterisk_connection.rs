//! Connecting, losing and closing the connection, and what the adapter says of itself.
#![cfg(test)]
#![cfg(feature = "asterisk")]

mod asterisk_support;

use std::{sync::Arc, time::Duration};

use asterisk_support::{LONG, Rig, dial, drain, eventually, lost, reconnected};
use faxbot_core::{
    ErrorKind,
    fax::OutcomeStatus,
    sip::{CallState, Capability, ConnectionState, HealthStatus, Severity, SipAdapter, SipEvent},
};
use faxbot_testkit::server::asterisk::{Account, MockAsterisk, ReplyFault, Timings};

const CLOSE: Duration = Duration::from_secs(5);

fn states(events: &[SipEvent]) -> Vec<ConnectionState> {
    let state = |event: &SipEvent| match event {
        SipEvent::ConnectionStateChanged(changed) => Some(changed.state),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told_once_with_both_ends() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut stream = adapter.subscribe();
    tokio::time::sleep(LONG).await;
    let from = rig.clock.timestamp();
    rig.cut();
    lost(&adapter).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    // A connection that is lost in its set-up is no end of the gap.
    rig.mock
        .next_reply("CoreShowChannels", ReplyFault::DropBefore);
    rig.mend();
    reconnected(&adapter).await;
    let to = rig.clock.timestamp();
    let gaps: Vec<_> = drain(&mut stream)
        .into_iter()
        .filter_map(|event| match event {
            SipEvent::ConnectionStateChanged(changed) => changed.gap,
            _ => None,
        })
        .collect();
    let [gap] = gaps.as_slice() else {
        panic!("{} gaps", gaps.len());
    };
    assert!(gap.from >= from && gap.to <= to);
    assert!(gap.to.duration_since(gap.from) >= Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn who_sees_connect_return_sees_the_state() {
    let rig = Rig::new().await;
    let adapter = rig.adapter();
    let mut stream = adapter.subscribe();
    adapter.connect().await.unwrap();
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
    assert_eq!(
        states(&drain(&mut stream)),
        [ConnectionState::Connecting, ConnectionState::Connected]
    );
    adapter.disconnect(CLOSE).await.unwrap();
    assert_eq!(
        states(&drain(&mut stream)),
        [
            ConnectionState::Disconnecting,
            ConnectionState::Disconnected
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_without_fax_takes_the_capability_away() {
    let rig = Rig::with(|builder| builder.without_fax()).await;
    let adapter = rig.adapter();
    assert!(adapter.capabilities().has(Capability::SendFax));
    let mut stream = adapter.subscribe();
    adapter.connect().await.unwrap();
    let told = drain(&mut stream).into_iter().any(|event| {
        matches!(event, SipEvent::CapabilitiesChanged(now) if !now.has(Capability::SendFax))
    });
    assert!(told && !adapter.capabilities().has(Capability::SendFax));
    let error = adapter
        .send_fax(rig.fax("+15551230700", 1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(rig.originates().is_empty());
}

#[tokio::test(start_paused = true)]
async fn credentials_that_worked_and_are_refused_are_critical_and_tried_again() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let mut stream = adapter.subscribe();
    let rotated = MockAsterisk::builder()
        .account(Account::new("faxbot", "another"))
        .in_memory()
        .start()
        .await
        .unwrap();
    rig.gate.lead_to(&rotated);
    rig.mock.drop_links();
    lost(&adapter).await;
    assert!(rotated.wait_for("Login", 3).await);
    let critical = drain(&mut stream).into_iter().any(|event| {
        matches!(event, SipEvent::AdapterError { severity: Severity::Critical, error } if error.kind() == ErrorKind::Authentication)
    });
    assert!(critical);
    rig.mend();
    reconnected(&adapter).await;
}

#[tokio::test(start_paused = true)]
async fn disconnect_hangs_up_when_told_to_within_its_limit() {
    let rig = Rig::new().await;
    let adapter = rig.adapter_with(|config| config.hangup_on_close = true);
    adapter.connect().await.unwrap();
    for index in 0..5 {
        let call = adapter
            .make_call(dial(&format!("+1555123000{index}")))
            .await;
        call.unwrap().answered().await.unwrap();
    }
    adapter.disconnect(CLOSE).await.unwrap();
    rig.quiet().await;

    adapter.connect().await.unwrap();
    for index in 0..20 {
        let call = adapter
            .make_call(dial(&format!("+155512301{index:02}")))
            .await;
        call.unwrap().answered().await.unwrap();
    }
    for _ in 0..20 {
        rig.mock.next_reply("Hangup", ReplyFault::Silent);
    }
    let asked = rig.clock.now();
    adapter.disconnect(CLOSE).await.unwrap();
    let took = rig.clock.now() - asked;
    assert!(took < CLOSE + Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn disconnect_ends_what_waits_and_leaves_no_task_and_no_call_is_harmed() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let fax = adapter.send_fax(rig.fax("+15551230700", 2)).await.unwrap();
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    rig.page_confirmed(1).await;
    let path = rig.spool_file(fax.id());
    let drained = adapter.disconnect(CLOSE).await.unwrap();
    assert_eq!(drained.calls_left, 2);
    assert_eq!(fax.result().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(call.ended().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(path.exists(), "the fax goes on");
    eventually("no connection is left", || rig.mock.connections() == 0).await;
    adapter.connect().await.unwrap();
    let mut stream = adapter.subscribe();
    assert_eq!(drain(&mut stream).len(), 0);
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_without_a_limit_of_time_is_no_harm() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let drained = adapter.disconnect(Duration::MAX).await.unwrap();
    assert!(drained.complete);
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_is_dropped_leaves_the_adapter_disconnected() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let call = adapter.make_call(dial("+15551230001")).await.unwrap();
    rig.mock.next_reply("Logoff", ReplyFault::Silent);
    rig.mock.next_reply("Ping", ReplyFault::Silent);
    // An answer is due, so that the close has to wait.
    let (asking, _closing) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(1), adapter.health_check()),
        async {
            tokio::task::yield_now().await;
            tokio::time::timeout(Duration::from_millis(100), adapter.disconnect(CLOSE)).await
        }
    );
    drop(asking);
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
    assert_eq!(call.ended().await.unwrap_err().kind(), ErrorKind::Closed);
    adapter.connect().await.unwrap();
    adapter.make_call(dial("+15551230002")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_ends_a_connect_that_waits() {
    let rig = Rig::new().await;
    let adapter = Arc::new(rig.adapter());
    rig.mock.next_reply("CoreStatus", ReplyFault::Silent);
    let connecting = tokio::spawn({
        let adapter = Arc::clone(&adapter);
        async move { adapter.connect().await }
    });
    assert!(rig.mock.wait_for("CoreStatus", 1).await);
    let error = adapter.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    adapter.disconnect(CLOSE).await.unwrap();
    let error = connecting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(adapter.connection().state, ConnectionState::Disconnected);
    adapter.connect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connect_during_a_disconnect_is_refused_and_shares_nothing() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    rig.mock.next_reply("Logoff", ReplyFault::Silent);
    let (closed, again) = tokio::join!(adapter.disconnect(CLOSE), async {
        tokio::task::yield_now().await;
        adapter.connect().await
    });
    closed.unwrap();
    assert_eq!(again.unwrap_err().kind(), ErrorKind::InvalidState);
    adapter.connect().await.unwrap();
    assert_eq!(adapter.connection().state, ConnectionState::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_kept_does_not_keep_the_connection() {
    let rig = Rig::new().await;
    let adapter = rig.connected().await;
    let fax = adapter.send_fax(rig.fax("+15551230700", 2)).await.unwrap();
    drop(adapter);
    eventually("the connection is gone", || rig.mock.connections() == 0).await;
    assert_eq!(fax.result().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(fax.cancel().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn health_counts_refusals_and_lost_connections_and_feels_slowness() {
    let rig = Rig::new().await;
    let adapter = rig.adapter();
    let health = adapter.health_check().await.unwrap();
    assert_eq!(
        (health.status, health.connected),
        (HealthStatus::Critical, false)
    );
    adapter.connect().await.unwrap();
    let health = adapter.health_check().await.unwrap();
    assert_eq!(health.status, HealthStatus::Healthy);

    rig.cut();
    lost(&adapter).await;
    let health = adapter.health_check().await.unwrap();
    assert_eq!(health.status, HealthStatus::Critical);
    assert!(health.metrics.connection_failures >= 1);
    rig.mend();
    reconnected(&adapter).await;

    // Enough of the last hundred: the set-up of two connections is in there too.
    for _ in 0..50 {
        let slow = ReplyFault::Slow(Duration::from_secs(1));
        rig.mock.next_reply("Ping", slow);
        adapter.health_check().await.unwrap();
    }
    let health = adapter.health_check().await.unwrap();
    assert_eq!(health.status, HealthStatus::Degraded);
    for _ in 0..20 {
        rig.mock.next_reply("Ping", ReplyFault::Refuse("no".into()));
        adapter.health_check().await.unwrap();
    }
    let health = adapter.health_check().await.unwrap();
    assert_eq!(health.status, HealthStatus::Critical);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_and_the_events_after_it_make_one_story() {
    let rig = Rig::with(|builder| builder.timings(Timings::quick())).await;
    let adapter = rig.connected().await;
    for wait in 0..60 {
        let call = adapter.make_call(dial("+15551230001")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let mut stream = adapter.subscribe();
        let snapshot = adapter.snapshot();
        let mut state = snapshot
            .calls
            .iter()
            .find(|it| it.id == Some(call.id()))
            .map(|it| it.state);
        call.answered().await.unwrap();
        adapter.hangup(&call.call_ref()).await.unwrap();
        call.ended().await.unwrap();
        while let Some(item) = stream.try_recv() {
            let item = item.unwrap();
            if let SipEvent::CallStateChanged(change) = item.event
                && item.seq > snapshot.seq
            {
                assert_eq!(Some(change.from), state);
                state = Some(change.to);
            }
        }
        assert_eq!(state, Some(CallState::Terminated));
    }
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_waits_for_its_server_follows_it_from_the_start() {
    let rig = Rig::new().await;
    rig.gate.shut();
    let adapter = rig.adapter_with(|config| config.wait_for_server = true);
    let mut stream = adapter.subscribe();
    adapter.connect().await.unwrap();
    let error = adapter.make_call(dial("+15551230001")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(adapter.snapshot().calls.is_empty());
    tokio::time::sleep(Duration::from_secs(30)).await;
    rig.mend();
    reconnected(&adapter).await;
    let gap = drain(&mut stream).into_iter().any(
        |event| matches!(event, SipEvent::ConnectionStateChanged(changed) if changed.gap.is_some()),
    );
    assert!(!gap, "nothing was connected before");
    let fax = adapter.send_fax(rig.fax("+15551230700", 1)).await.unwrap();
    assert_eq!(fax.result().await.unwrap().status, OutcomeStatus::Success);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_loaded_while_the_server_booted_is_found_when_it_has() {
    let rig = Rig::with(|builder| builder.boot_time(Duration::from_secs(60))).await;
    let adapter = rig.connected().await;
    let not_loaded = ReplyFault::Refuse("Module not loaded".into());
    rig.mock.next_reply("ModuleCheck", not_loaded);
    rig.mock.kill(Duration::from_secs(1));
    lost(&adapter).await;
    reconnected(&adapter).await;
    assert!(!adapter.capabilities().has(Capability::SendFax));
    eventually("it has booted", || {
        adapter.capabilities().has(Capability::SendFax)
    })
    .await;
    let fax = adapter.send_fax(rig.fax("+15551230700", 1)).await.unwrap();
    assert_eq!(fax.result().await.unwrap().status, OutcomeStatus::Success);
}
