use faxbot_core::sip::Severity;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_server_is_lost_at_once_where_nobody_listens_and_else_by_two_polls_in_a_row() {
    use ErrorKind as K;
    let fails = Step::Fails;
    for (polls, lost) in [
        (vec![fails(K::NotConnected)], true),
        (vec![fails(K::Authentication)], true),
        (vec![fails(K::PermissionDenied)], true),
        (vec![fails(K::Timeout)], false),
        (
            vec![fails(K::Timeout), Step::Good, fails(K::Timeout)],
            false,
        ),
        (vec![fails(K::Timeout), fails(K::Io)], true),
        (vec![fails(K::Protocol), fails(K::Rejected)], true),
        // No request of ours left this process.
        (vec![fails(K::Overloaded); 5], false),
        // The server did, and says so.
        (vec![Step::Busy; 2], true),
        (
            vec![fails(K::Timeout), fails(K::Overloaded), fails(K::Io)],
            true,
        ),
    ] {
        let set_ups = [Step::Good, Step::Hangs];
        let named = format!("{polls:?}");
        let life = Fake::new().set_ups(&set_ups).polls(&polls).life();
        life.open().await.unwrap();
        tokio::time::sleep(12 * SECOND).await;
        let expected = if lost {
            ConnectionState::Connecting
        } else {
            ConnectionState::Connected
        };
        assert_eq!(life.core().state(), expected, "{named}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_are_kept_and_the_gap_is_told_when_the_server_is_back() {
    let polls = [
        Step::Good,
        Step::Fails(ErrorKind::Timeout),
        Step::Fails(ErrorKind::Timeout),
    ];
    let set_ups = [Step::Good, Step::Slow(10 * SECOND)];
    let life = Fake::new().set_ups(&set_ups).polls(&polls).life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let id = fake.call();
    let mut events = fake.hub.bus.subscribe();
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(fake.state(), ConnectionState::Connecting);
    assert_eq!(
        life.check_up("hangup").unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    tokio::time::sleep(10 * SECOND).await;
    assert!(fake.hub.state().books.is_ours(id));
    // Polls at 2 s, 4 s and, sooner than usual, 5 s; the set-up takes 10 s. The last look that went
    // well began at 2 s.
    let told = connections(&mut events);
    let [(first, None), (second, Some(gap))] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        (*first, *second),
        (ConnectionState::Connecting, ConnectionState::Connected)
    );
    assert_eq!(gap.as_secs(), 13, "{gap:?}");
    // What the first set-up began is over.
    assert_eq!(fake.running.load(Ordering::SeqCst), 1);
    let health = fake.hub.health_report(AdapterKind::KAMAILIO);
    assert_eq!(health.metrics.connection_failures, 1);
    assert!(health.connected);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_worked_are_tried_again_at_the_cap_and_somebody_is_called() {
    let refused = Step::Fails(ErrorKind::Authentication);
    let set_ups = [Step::Good, refused.clone(), refused.clone(), Step::Good];
    let life = Fake::new().set_ups(&set_ups).polls(&[refused]).life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let mut events = fake.hub.bus.subscribe();
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(fake.state(), ConnectionState::Connected);
    let tries = fake.times("set up");
    assert_eq!(tries.len(), 4);
    for two in tries[1..].windows(2) {
        assert!(two[1] - two[0] >= 5 * SECOND, "{tries:?}");
    }
    let mut critical = 0;
    while let Some(Ok(stamped)) = events.try_recv() {
        if let SipEvent::AdapterError { severity, .. } = stamped.event {
            assert_eq!(severity, Severity::Critical);
            critical += 1;
        }
    }
    assert_eq!(critical, 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_and_goes_is_not_called_in_a_busy_loop() {
    let gone = Step::Fails(ErrorKind::NotConnected);
    let life = Fake::new().polls(&vec![gone; 200]).life();
    let fake = Arc::clone(life.core());
    fake.timing.lock().unwrap().poll = Duration::from_millis(100);
    life.open().await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    assert!(fake.count("set up") < 25, "{}", fake.count("set up"));
    assert!(fake.count("set up") > 12, "{}", fake.count("set up"));
}
