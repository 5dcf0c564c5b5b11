use std::{future::Future, pin::pin, task::Context};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connect_sets_up_once_and_then_polls_at_the_interval() {
    let life = Fake::new().life();
    let fake = Arc::clone(life.core());
    let mut events = fake.hub.bus.subscribe();
    life.open().await.unwrap();
    assert_eq!(fake.state(), ConnectionState::Connected);
    assert_eq!(fake.count("poll"), 0);
    tokio::time::sleep(POLL * 2 + SECOND).await;
    // The interval may follow the event path.
    fake.timing.lock().unwrap().poll = 30 * SECOND;
    tokio::time::sleep(31 * SECOND).await;
    let polls = fake.times("poll");
    assert_eq!(polls.len(), 3, "{polls:?}");
    assert_eq!(polls[0], POLL);
    assert_eq!(polls[1], 2 * POLL);
    assert_eq!(polls[2], 3 * POLL);
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(fake.times("poll")[3], 3 * POLL + 30 * SECOND);
    assert_eq!(fake.count("set up"), 1);
    let told = connections(&mut events);
    let wanted = [ConnectionState::Connecting, ConnectionState::Connected];
    assert_eq!(told, wanted.map(|state| (state, None)));
}

#[tokio::test(start_paused = true)]
async fn a_second_connect_is_refused_and_one_after_a_disconnect_is_not() {
    let life = Fake::new().life();
    life.open().await.unwrap();
    let error = life.open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    assert_eq!(life.core().state(), ConnectionState::Connected);
    life.close(SECOND).await;
    life.open().await.unwrap();
    assert_eq!(life.core().count("set up"), 2);
}

#[test]
fn a_connect_outside_of_a_runtime_is_an_error() {
    let life = Fake::new().life();
    let mut connect = pin!(life.open());
    let mut context = Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = connect.as_mut().poll(&mut context) else {
        panic!("it waits, or is connected");
    };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    assert_eq!(life.core().state(), ConnectionState::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn a_first_set_up_that_fails_is_final_and_leaves_nothing_behind() {
    for (step, kind, after) in [
        (Step::Hangs, ErrorKind::Timeout, 15 * SECOND),
        (
            Step::Fails(ErrorKind::NotConnected),
            ErrorKind::NotConnected,
            Duration::ZERO,
        ),
        (
            Step::Fails(ErrorKind::Authentication),
            ErrorKind::Authentication,
            Duration::ZERO,
        ),
        (
            Step::Fails(ErrorKind::Config),
            ErrorKind::Config,
            Duration::ZERO,
        ),
    ] {
        let life = Fake::new().set_ups(&[step]).life();
        let fake = Arc::clone(life.core());
        let began = tokio::time::Instant::now();
        assert_eq!(life.open().await.unwrap_err().kind(), kind);
        assert!(began.elapsed() < after + SECOND, "{:?}", began.elapsed());
        assert_eq!(fake.state(), ConnectionState::Disconnected);
        assert_eq!(fake.running.load(Ordering::SeqCst), 0);
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!((fake.count("set up"), fake.count("poll")), (1, 0));
        // And it may be tried again.
        life.open().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn with_wait_for_server_a_connect_answers_at_once_and_the_server_is_tried_until_it_is_there()
{
    let gone = Step::Fails(ErrorKind::NotConnected);
    let life = Fake::new()
        .set_ups(&[gone.clone(), gone.clone(), gone.clone(), gone])
        .waits_for_server()
        .life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    assert_eq!(fake.state(), ConnectionState::Connecting);
    assert_eq!(
        life.check_up("make_call").unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    tokio::time::sleep(SECOND).await;
    assert_eq!(fake.state(), ConnectionState::Connected);
    life.check_up("make_call").unwrap();
    let tries = fake.times("set up");
    let waits: Vec<_> = tries.windows(2).map(|two| two[1] - two[0]).collect();
    for (wait, base) in waits.iter().zip([2, 4, 8, 16]) {
        let base = Duration::from_millis(base);
        // A quarter of jitter, and timers of whole milliseconds.
        let most = base + base / 4 + Duration::from_millis(2);
        assert!((base..=most).contains(wait), "{waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_never_worked_are_final_even_with_wait_for_server() {
    for kind in [ErrorKind::Authentication, ErrorKind::PermissionDenied] {
        let life = Fake::new()
            .set_ups(&[Step::Fails(kind)])
            .waits_for_server()
            .life();
        let fake = Arc::clone(life.core());
        life.open().await.unwrap();
        tokio::time::sleep(60 * SECOND).await;
        assert_eq!(fake.state(), ConnectionState::Error);
        assert_eq!(fake.count("set up"), 1);
        life.close(SECOND).await;
        assert_eq!(fake.state(), ConnectionState::Disconnected);
        life.open().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_dropped_ends_the_attempt() {
    let life = Fake::new().set_ups(&[Step::Hangs]).life();
    let fake = Arc::clone(life.core());
    let dropped = tokio::time::timeout(SECOND, life.open()).await;
    assert!(dropped.is_err());
    assert_eq!(fake.state(), ConnectionState::Disconnected);
    tokio::time::sleep(SECOND).await;
    assert_eq!(fake.running.load(Ordering::SeqCst), 0);
    assert_eq!(fake.looking.load(Ordering::SeqCst), 0);
    life.open().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_adapter_that_is_dropped_ends_its_tasks() {
    let life = Fake::new().polls(&[Step::Hangs]).life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    tokio::time::sleep(3 * POLL).await;
    assert_eq!(fake.looking.load(Ordering::SeqCst), 1);
    drop(life);
    tokio::time::sleep(SECOND).await;
    assert_eq!(fake.looking.load(Ordering::SeqCst), 0);
    assert_eq!(fake.running.load(Ordering::SeqCst), 0);
    assert_eq!(Arc::strong_count(&fake), 1);
}
