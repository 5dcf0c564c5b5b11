use super::*;

#[tokio::test(start_paused = true)]
async fn a_disconnect_ends_in_order_and_a_second_one_is_empty() {
    let life = Fake::new().life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    fake.call();
    let drained = life.close(5 * SECOND).await;
    assert!(drained.complete);
    assert_eq!(drained.calls_left, 1);
    assert_eq!((fake.count("close"), fake.count("hang up")), (1, 0));
    assert_eq!(fake.state(), ConnectionState::Disconnected);
    assert_eq!(fake.running.load(Ordering::SeqCst), 0);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(fake.count("poll"), 0);
    let again = life.close(SECOND).await;
    assert!(again.complete && again.calls_left == 0);
    assert_eq!(
        life.check_up("hangup").unwrap_err().kind(),
        ErrorKind::NotConnected
    );
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_during_a_connect_ends_it_as_closed() {
    let life = Fake::new().set_ups(&[Step::Hangs]).life();
    let connecting = tokio::spawn({
        let life = life.clone();
        async move { life.open().await }
    });
    tokio::time::sleep(SECOND).await;
    let drained = life.close(SECOND).await;
    assert!(drained.complete && drained.calls_left == 0);
    let error = connecting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(life.core().state(), ConnectionState::Disconnected);
    assert_eq!(life.core().running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn orders_that_wait_are_cut_and_those_with_limits_end() {
    let life = Fake::new().life();
    life.open().await.unwrap();
    let order = |seen_through: bool| {
        let life = life.clone();
        tokio::spawn(async move {
            let order = async {
                tokio::time::sleep(3 * SECOND).await;
                Ok(7)
            };
            if seen_through {
                life.see_through("make_call", order).await
            } else {
                life.carry_out("make_call", order).await
            }
        })
    };
    let (cut, ends) = (order(false), order(true));
    tokio::time::sleep(SECOND).await;
    let drained = life.close(10 * SECOND).await;
    assert!(!drained.complete, "a request may have had no answer");
    let error = cut.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(error.effect(), faxbot_core::Effect::Unknown);
    assert_eq!(ends.await.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn an_order_whose_caller_leaves_is_carried_out_all_the_same() {
    let life = Fake::new().life();
    life.open().await.unwrap();
    let (done, ended) = tokio::sync::oneshot::channel();
    let order = async move {
        tokio::time::sleep(SECOND).await;
        let _ = done.send(());
        Ok(())
    };
    let left = tokio::time::timeout(SECOND / 2, life.carry_out("hangup", order)).await;
    assert!(left.is_err());
    ended.await.unwrap();
    assert!(life.close(SECOND).await.complete);
}

#[tokio::test(start_paused = true)]
async fn an_order_without_a_connection_is_refused_and_did_nothing() {
    let life = Fake::new().life();
    for open in [false, true] {
        if open {
            life.open().await.unwrap();
            life.close(SECOND).await;
        }
        for ends in [false, true] {
            let order = async { Ok(()) };
            let nothing = if ends {
                life.see_through("hangup", order).await
            } else {
                life.carry_out("hangup", order).await
            };
            let error = nothing.unwrap_err();
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::NotConnected, faxbot_core::Effect::NoEffect)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_during_a_disconnect_is_refused_and_did_nothing() {
    let fake = Fake::new();
    *fake.closing.lock().unwrap() = Step::Hangs;
    let life = fake.life();
    life.open().await.unwrap();
    let closing = tokio::spawn({
        let life = life.clone();
        async move { life.close(5 * SECOND).await }
    });
    tokio::time::sleep(SECOND).await;
    let error = life.see_through("hangup", async { Ok(()) }).await;
    let error = error.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::NotConnected, faxbot_core::Effect::NoEffect)
    );
    closing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_set_up_began_serves_the_orders_that_a_disconnect_lets_end() {
    let life = Fake::new().life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    let order = tokio::spawn({
        let (life, fake) = (life.clone(), Arc::clone(&fake));
        async move {
            let order = async move {
                tokio::time::sleep(3 * SECOND).await;
                Ok(fake.running.load(Ordering::SeqCst))
            };
            life.see_through("hangup", order).await
        }
    });
    tokio::time::sleep(SECOND).await;
    assert!(life.close(10 * SECOND).await.complete);
    assert_eq!(order.await.unwrap().unwrap(), 1);
    assert_eq!(fake.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_without_a_limit_of_time_is_no_harm() {
    let life = Fake::new().life();
    life.open().await.unwrap();
    assert!(life.close(Duration::MAX).await.complete);
    assert_eq!(life.core().state(), ConnectionState::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_lost_during_a_disconnect_is_not_set_up_again() {
    let gone = Step::Fails(ErrorKind::NotConnected);
    let mut fake = Fake::new().polls(&[gone]);
    fake.hangs_up = true;
    *fake.hang_up.lock().unwrap() = Step::Hangs;
    let life = fake.life();
    let fake = Arc::clone(life.core());
    life.open().await.unwrap();
    for _ in 0..3 {
        fake.call();
    }
    let mut events = fake.hub.bus.subscribe();
    tokio::time::sleep(SECOND).await;
    // The next poll is a second away, and three calls take two seconds each.
    life.close(20 * SECOND).await;
    assert_eq!(fake.count("poll"), 1);
    assert_eq!(fake.count("set up"), 1);
    let told = connections(&mut events);
    let wanted = [
        ConnectionState::Disconnecting,
        ConnectionState::Disconnected,
    ];
    assert_eq!(told, wanted.map(|state| (state, None)));
}

#[tokio::test(start_paused = true)]
async fn a_set_up_that_ends_during_a_disconnect_does_not_say_connected() {
    let fake = Fake::new();
    let mut events = fake.hub.bus.subscribe();
    fake.hub.connection(ConnectionState::Disconnecting);
    assert!(!fake.hub.opened());
    assert_eq!(fake.state(), ConnectionState::Disconnecting);
    assert_eq!(connections(&mut events).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_are_hung_up_on_close_where_that_is_configured_and_no_longer_than_there_is_time() {
    for (step, within, hung_up) in [
        (Step::Good, 10 * SECOND, 3),
        // Two seconds each, then the time is over.
        (Step::Hangs, 3 * SECOND, 2),
        (Step::Fails(ErrorKind::Timeout), 10 * SECOND, 3),
    ] {
        let mut fake = Fake::new();
        fake.hangs_up = true;
        *fake.hang_up.lock().unwrap() = step;
        let life = fake.life();
        life.open().await.unwrap();
        for _ in 0..3 {
            life.core().call();
        }
        foreign(life.core());
        let began = tokio::time::Instant::now();
        let drained = life.close(within).await;
        assert!(began.elapsed() < within + SECOND);
        // The fourth is somebody else's.
        assert_eq!(life.core().count("hang up"), hung_up);
        assert_eq!(drained.calls_left, 4);
    }
}

fn foreign(fake: &Fake) {
    let seen = seen("another@pbx");
    fake.hub
        .events(|state, now| state.books.listed(&[seen], true, now));
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_that_never_ends_is_left() {
    let fake = Fake::new();
    *fake.closing.lock().unwrap() = Step::Hangs;
    let life = fake.life();
    life.open().await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(life.close(60 * SECOND).await.complete);
    assert!(began.elapsed() < 3 * SECOND);
    assert_eq!(life.core().state(), ConnectionState::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_that_is_dropped_leaves_nothing_behind() {
    let fake = Fake::new();
    *fake.closing.lock().unwrap() = Step::Hangs;
    let life = fake.life();
    life.open().await.unwrap();
    let id = life.core().call();
    let dropped = tokio::time::timeout(SECOND, life.close(60 * SECOND)).await;
    assert!(dropped.is_err());
    assert_eq!(life.core().state(), ConnectionState::Disconnected);
    assert!(life.core().hub.state().books.handle(id).is_none());
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(life.core().count("poll"), 0);
    life.open().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_lost_is_not_asked_for_an_orderly_end() {
    let gone = Step::Fails(ErrorKind::NotConnected);
    let set_ups = [Step::Good, Step::Hangs];
    let life = Fake::new().set_ups(&set_ups).polls(&[gone]).life();
    life.open().await.unwrap();
    tokio::time::sleep(POLL + SECOND).await;
    assert_eq!(life.core().state(), ConnectionState::Connecting);
    life.close(60 * SECOND).await;
    assert_eq!(life.core().count("close"), 0);
}
