//! Close, drop, and that nothing is left behind.

use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_close_awaits_answers_says_good_bye_and_takes_nothing_new() {
    let (rig, mut peer, mut notes) = up(Plan::Pipe(4096)).await;
    let handle = rig.link.handle();
    let answer = ask(&handle, "due", 60 * SECOND);
    peer.line().await.unwrap();
    let tasks = rig.tasks.clone();
    let closing = tokio::spawn(async move { rig.link.close(5 * SECOND).await });
    tokio::time::sleep(SECOND).await;
    let error = handle.request("late".to_owned(), SECOND).await.unwrap_err();
    assert!(matches!(error, RequestError::Closed { written: false }));
    peer.say("event last\nok 0 done\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "done");
    assert_eq!(peer.line().await.as_deref(), Some("bye"));
    peer.say("bye\n").await;
    assert!(closing.await.unwrap().drained);
    assert_eq!(peer.line().await, None, "the transport is closed");
    notes.expect(&["event last", "down 1: closed"]).await;
    assert_eq!(notes.next().await, None);
    assert!(tasks.stop(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_request_and_a_close_without_a_limit_of_time_are_no_harm() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(4096)).await;
    let handle = rig.link.handle();
    let answer = ask(&handle, "due", Duration::MAX);
    peer.line().await.unwrap();
    let closing = tokio::spawn(async move { rig.link.close(Duration::MAX).await });
    tokio::time::sleep(3600 * SECOND).await;
    peer.say("ok 0 done\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "done");
    assert_eq!(peer.line().await.as_deref(), Some("bye"));
    peer.say("bye\n").await;
    assert!(closing.await.unwrap().drained);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_runs_out_of_time_ends_written_requests_as_closed_and_unknown() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(64)).await;
    let handle = rig.link.handle();
    let written = ask(&handle, "written", 60 * SECOND);
    peer.line().await.unwrap();
    let began = Instant::now();
    let report = rig.link.close(4 * SECOND).await;
    assert!(!report.drained);
    assert!(
        began.elapsed() <= 4 * SECOND + SECOND / 2,
        "{:?}",
        began.elapsed()
    );
    let error = written.await.unwrap().unwrap_err();
    assert!(
        matches!(error, RequestError::Closed { written: true }),
        "{error:?}"
    );
    assert_eq!(
        peer.line().await.as_deref(),
        Some("bye"),
        "good-bye is said in any case"
    );
    assert!(
        rig.link.close(SECOND).await == report,
        "a second close tells the same"
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_answers_what_still_waits_in_the_queue_at_once() {
    let (rig, _peer, _notes) = up(Plan::Pipe(16)).await;
    let handle = rig.link.handle();
    let blocked = ask(&handle, "a request longer than the pipe", 60 * SECOND);
    tokio::task::yield_now().await;
    let queued = ask(&handle, "queued", 60 * SECOND);
    tokio::time::sleep(SECOND).await;
    let began = Instant::now();
    let closing = tokio::spawn(async move { rig.link.close(4 * SECOND).await });
    let error = queued.await.unwrap().unwrap_err();
    assert!(
        matches!(error, RequestError::Closed { written: false }),
        "{error:?}"
    );
    assert!(began.elapsed() < SECOND);
    let error = blocked.await.unwrap().unwrap_err();
    assert!(
        matches!(error, RequestError::Closed { written: true }),
        "{error:?}"
    );
    assert!(!closing.await.unwrap().drained);
}

#[tokio::test(start_paused = true)]
async fn a_close_while_connecting_waiting_or_logging_in_is_quick() {
    for plan in [Plan::Hang, Plan::Refused, Plan::Pipe(64)] {
        let (rig, mut notes) = started([plan], LinkOptions::new("toy").with_wait_for_server(true));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let began = Instant::now();
        rig.link.close(5 * SECOND).await;
        assert!(began.elapsed() < SECOND);
        while let Some(note) = notes.next().await {
            assert!(note.starts_with("attempt 1"), "{note}");
        }
        assert!(rig.tasks.stop(SECOND).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_link_ends_its_task_its_requests_and_its_socket() {
    let (rig, mut peer, mut notes) = up(Plan::Pipe(4096)).await;
    let handle = rig.link.handle();
    let written = ask(&handle, "written", 60 * SECOND);
    peer.line().await.unwrap();
    let Rig { link, tasks, .. } = rig;
    drop(link);
    let error = written.await.unwrap().unwrap_err();
    assert_eq!(error.effect(), faxbot_core::Effect::Unknown);
    assert_eq!(peer.line().await, None);
    assert_eq!(notes.next().await, None);
    assert!(tasks.stop(SECOND).await);
    let error = handle.request("x".to_owned(), SECOND).await.unwrap_err();
    assert!(matches!(error, RequestError::Closed { written: false }));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_task_set_aborts_and_every_waiter_still_learns_the_truth() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(16)).await;
    let handle = rig.link.handle();
    let written = ask(&handle, "a request longer than the pipe", 60 * SECOND);
    tokio::task::yield_now().await;
    let queued = ask(&handle, "queued", 60 * SECOND);
    tokio::time::sleep(SECOND).await;
    let Rig { link, tasks, .. } = rig;
    drop(tasks);
    assert_eq!(
        written.await.unwrap().unwrap_err().effect(),
        faxbot_core::Effect::Unknown
    );
    assert_eq!(
        queued.await.unwrap().unwrap_err().effect(),
        faxbot_core::Effect::NoEffect
    );
    // The part that was written is all that ever comes.
    assert_eq!(peer.line().await.as_deref(), Some("req 0 a request"));
    assert_eq!(link.status().phase, super::super::LinkPhase::Ended);
}

#[tokio::test(start_paused = true)]
async fn rapid_connects_and_closes_leave_no_task_and_no_socket() {
    let tasks = TaskSet::current("connect").unwrap();
    let (sender, mut peers) = mpsc::unbounded_channel();
    for _ in 0..100 {
        let pipes = Pipes {
            plans: Mutex::default(),
            peers: sender.clone(),
        };
        let (link, mut events) = Link::<Toy>::start(
            LinkOptions::new("toy"),
            Box::new(pipes),
            |_: [u8; 32]| (Toy::new(), ToyCodec),
            TokioClock::shared(),
            SeededRandom::shared(1),
            &tasks,
        );
        let mut peer: Peer = peers.recv().await.unwrap();
        peer.login().await;
        if let Some(LinkEvent::Up { setup, .. }) = events.recv().await {
            setup.ready();
        }
        link.connected().await.unwrap();
        let serving = tokio::spawn(peer.serve());
        assert!(link.close(SECOND).await.drained);
        serving.await.unwrap();
    }
    assert!(tasks.stop(SECOND).await);
    assert!(tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_good_bye_without_an_answer_is_still_written() {
    let (mut rig, mut events) = start_toy([], LinkOptions::new("toy"), Toy::curt);
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up")
    };
    setup.ready();
    let began = Instant::now();
    assert!(rig.link.close(5 * SECOND).await.drained);
    assert!(began.elapsed() < SECOND);
    assert_eq!(peer.line().await.as_deref(), Some("bye"));
    assert_eq!(peer.line().await, None);
}
