//! Every request ends in exactly one of answered, not sent, unknown, and says so truly.

use faxbot_core::Effect;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_is_answered() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(4096)).await;
    let answer = ask(&rig.link.handle(), "hello", SECOND);
    assert_eq!(peer.line().await.unwrap(), "req 0 hello");
    peer.say("ok 0 there\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "there");
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_each_byte_tells_whether_one_was_written() {
    let whole = LOGIN.len() + "req 0 hello\n".len();
    for after in 0..=whole {
        let (mut rig, mut notes) = started(
            [
                Plan::Cut {
                    after,
                    buffering: false,
                },
                Plan::Hang,
            ],
            LinkOptions::new("toy"),
        );
        let mut peer = rig.peers.recv().await.unwrap();
        peer.say("hello\n").await;
        if after < LOGIN.len() {
            let error = rig.link.connected().await.unwrap_err();
            assert_eq!(error.effect(), Effect::NoEffect, "cut after {after}");
            continue;
        }
        assert_eq!(peer.line().await.as_deref(), Some(LOGIN.trim_end()));
        peer.say("welcome\n").await;
        rig.link.connected().await.unwrap();
        let answer = ask(&rig.link.handle(), "hello", 5 * SECOND);
        if after == whole {
            assert!(peer.line().await.is_some());
            drop(peer);
        }
        let error = answer.await.unwrap().unwrap_err();
        match after - LOGIN.len() {
            0 => assert!(
                matches!(error, RequestError::NotSent(_)),
                "{after}: {error:?}"
            ),
            _ => assert!(
                matches!(error, RequestError::OutcomeUnknown(_)),
                "{after}: {error:?}"
            ),
        }
        notes.expect(&["up 1"]).await;
        assert!(
            notes.next().await.unwrap().starts_with("down 1"),
            "cut after {after}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_with_a_buffer_makes_a_failed_write_unknown() {
    let (rig, _peer, _notes) = up(Plan::Cut {
        after: LOGIN.len(),
        buffering: true,
    })
    .await;
    let error = rig
        .link
        .handle()
        .request("x".to_owned(), SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RequestError::OutcomeUnknown(_)),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn waiters_hear_of_a_cut_before_the_pump_does_and_nothing_is_sent_again() {
    let (mut rig, mut events) = start([], LinkOptions::new("toy"));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up")
    };
    assert!(setup.ready());
    let answer = ask(&rig.link.handle(), "once", 60 * SECOND);
    assert_eq!(peer.line().await.unwrap(), "req 0 once");
    drop(peer);
    // The pump takes nothing, yet the waiter is answered.
    let error = answer.await.unwrap().unwrap_err();
    assert!(
        matches!(error, RequestError::OutcomeUnknown(LinkError::Ended)),
        "{error:?}"
    );
    assert!(matches!(
        events.recv().await,
        Some(LinkEvent::Down { generation: 1, .. })
    ));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up")
    };
    assert!(setup.ready());
    let answer = ask(&rig.link.handle(), "next", SECOND);
    assert_eq!(
        peer.line().await.unwrap(),
        "req 0 next",
        "the first one was sent again"
    );
    peer.say("ok 0 x\n").await;
    answer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_on_their_way_count_after_a_write_failed() {
    let first = "req 0 a\n".len();
    let after = LOGIN.len() + first;
    let (rig, mut peer, _notes) = up(Plan::Cut {
        after,
        buffering: false,
    })
    .await;
    let handle = rig.link.handle();
    let answered = ask(&handle, "a", 5 * SECOND);
    assert_eq!(peer.line().await.unwrap(), "req 0 a");
    let unsent = ask(&handle, "b", 5 * SECOND);
    tokio::time::sleep(Duration::from_millis(10)).await;
    peer.say("ok 0 last words\n").await;
    assert_eq!(answered.await.unwrap().unwrap(), "last words");
    assert!(matches!(
        unsent.await.unwrap(),
        Err(RequestError::NotSent(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_costs_the_connection_and_only_the_request_at_hand_is_unknown() {
    let options = LinkOptions::new("toy").with_stalls(3 * SECOND, 10 * SECOND);
    let (rig, _peer, mut notes) = up_with(Plan::Pipe(16), options).await;
    let handle = rig.link.handle();
    // 16 bytes fit into the pipe: the first request is written in part.
    let asked: Vec<_> = (0..5)
        .map(|_| ask(&handle, "0123456789", 60 * SECOND))
        .collect();
    let mut ends = Vec::new();
    for answer in asked {
        ends.push(answer.await.unwrap().unwrap_err());
    }
    let unknown = ends
        .iter()
        .filter(|end| end.effect() == Effect::Unknown)
        .count();
    assert_eq!(unknown, 1, "{ends:?}");
    notes.expect(&["down 1: the peer does not read"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_deadline_says_whether_the_request_was_written() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(4096)).await;
    let handle = rig.link.handle();
    let error = handle
        .request("silence".to_owned(), SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RequestError::Deadline { written: true }),
        "{error:?}"
    );
    // The connection goes on, and a late answer belongs to nobody.
    assert_eq!(peer.line().await.unwrap(), "req 0 silence");
    peer.say("ok 0 late\n").await;
    let answer = ask(&handle, "again", SECOND);
    assert_eq!(peer.line().await.unwrap(), "req 1 again");
    peer.say("ok 1 mine\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "mine");
}

#[tokio::test(start_paused = true)]
async fn requests_behind_one_that_cannot_be_written_time_out_without_effect() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(16)).await;
    let handle = rig.link.handle();
    let blocked = ask(&handle, "a request longer than the pipe", 5 * SECOND);
    tokio::task::yield_now().await;
    let error = handle
        .request("behind".to_owned(), SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RequestError::Deadline { written: false }),
        "{error:?}"
    );
    assert_eq!(
        peer.line().await.unwrap(),
        "req 0 a request longer than the pipe"
    );
    peer.say("ok 0 x\n").await;
    blocked.await.unwrap().unwrap();
    let answer = ask(&handle, "last", SECOND);
    assert_eq!(
        peer.line().await.unwrap(),
        "req 1 last",
        "a request that timed out was written"
    );
    peer.say("ok 1 x\n").await;
    answer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_garbled_answer_is_an_error_of_unknown_effect_and_the_connection_survives() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(4096)).await;
    let answer = ask(&rig.link.handle(), "x", SECOND);
    peer.line().await.unwrap();
    peer.say("garbled 0\n").await;
    assert!(matches!(answer.await.unwrap(), Err(RequestError::Garbled)));
    assert!(rig.link.handle().is_up());
}

#[tokio::test(start_paused = true)]
async fn two_hundred_callers_get_their_own_answers_though_shuffled_and_fifty_left() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(65_536)).await;
    let handle = rig.link.handle();
    let asked: Vec<_> = (0..200)
        .map(|n| ask(&handle, &format!("caller-{n}"), 30 * SECOND))
        .collect();
    let mut lines = Vec::new();
    for _ in 0..200 {
        lines.push(peer.line().await.unwrap());
    }
    for answer in asked.iter().step_by(4) {
        answer.abort();
    }
    // A fixed permutation: 77 has no common factor with 200.
    for n in 0..200 {
        let line = &lines[(n * 77) % 200];
        peer.say(&format!("ok {}\n", line.strip_prefix("req ").unwrap()))
            .await;
    }
    let mut answered = 0;
    for (n, answer) in asked.into_iter().enumerate() {
        match answer.await {
            Ok(reply) => {
                assert_eq!(reply.unwrap(), format!("caller-{n}"));
                answered += 1;
            }
            Err(left) => assert!(left.is_cancelled() && n % 4 == 0),
        }
    }
    assert_eq!(answered, 150);
    // Nothing is left open: a close has nothing to wait for.
    let closing = tokio::spawn(async move { rig.link.close(10 * SECOND).await });
    assert_eq!(peer.line().await.as_deref(), Some("bye"));
    peer.say("bye\n").await;
    assert!(closing.await.unwrap().drained);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_the_queue_is_left_out_and_one_that_leaves_later_keeps_its_place() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(16)).await;
    let handle = rig.link.handle();
    let written = ask(&handle, "a request longer than the pipe", 5 * SECOND);
    tokio::task::yield_now().await;
    let queued = ask(&handle, "queued", 5 * SECOND);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    written.abort();
    queued.abort();
    let _ = (written.await, queued.await);
    assert_eq!(
        peer.line().await.unwrap(),
        "req 0 a request longer than the pipe"
    );
    let answer = ask(&handle, "next", SECOND);
    assert_eq!(peer.line().await.unwrap(), "req 1 next");
    peer.say("ok 0 nobody\nok 1 mine\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "mine");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_full_refuses_without_effect() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(65_536)).await;
    let handle = rig.link.handle();
    let open: Vec<_> = (0..Toy::OPEN)
        .map(|_| ask(&handle, "x", 30 * SECOND))
        .collect();
    for _ in 0..Toy::OPEN {
        peer.line().await.unwrap();
    }
    let error = handle
        .request("one more".to_owned(), SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::Full), "{error:?}");
    open.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn round_trips_are_observed_from_the_first_byte_to_the_answer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let observer =
        super::super::RoundTripObserver::new(move |took| sink.lock().unwrap().push(took));
    let options = LinkOptions::new("toy").with_observer(observer);
    let (rig, mut peer, _notes) = up_with(Plan::Pipe(4096), options).await;
    let answer = ask(&rig.link.handle(), "x", 5 * SECOND);
    peer.line().await.unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    peer.say("ok 0 x\n").await;
    answer.await.unwrap().unwrap();
    assert_eq!(*seen.lock().unwrap(), [Duration::from_millis(250)]);
}

#[tokio::test(start_paused = true)]
async fn a_pipe_of_one_byte_carries_everything() {
    let (rig, mut peer, mut notes) = up(Plan::Pipe(1)).await;
    let handle = rig.link.handle();
    let asked: Vec<_> = (0..5)
        .map(|n| ask(&handle, &format!("n{n}"), 60 * SECOND))
        .collect();
    for n in 0..5 {
        assert_eq!(peer.line().await.unwrap(), format!("req {n} n{n}"));
        peer.say(&format!("event {n}\nok {n} n{n}\n")).await;
        notes.expect(&[&format!("event {n}")]).await;
    }
    for (n, answer) in asked.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().unwrap(), format!("n{n}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_says_shows_in_no_debug_form() {
    let (mut rig, mut events) = start([], LinkOptions::new("toy"));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.say("hello\n").await;
    peer.line().await.unwrap();
    peer.say("event +15550100\nwelcome\n").await;
    // Events of the login come before the connection is up.
    let event = events.recv().await.unwrap();
    assert!(matches!(event, LinkEvent::Event { generation: 1, .. }));
    assert!(!format!("{event:?}{events:?}{:?}", rig.link).contains("5550100"));
    assert!(matches!(
        events.recv().await,
        Some(LinkEvent::Up { generation: 1, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_transport_with_a_buffer_is_flushed() {
    let (rig, mut peer, _notes) = up(Plan::Buffered).await;
    let answer = ask(&rig.link.handle(), "x", SECOND);
    assert_eq!(peer.line().await.unwrap(), "req 0 x");
    peer.say("ok 0 x\n").await;
    answer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_a_request_as_written_that_the_session_will_still_write() {
    let (rig, mut peer, _notes) = up(Plan::Pipe(16)).await;
    let handle = rig.link.handle();
    let fills = ask(&handle, "012345678", 5 * SECOND);
    tokio::task::yield_now().await;
    let error = handle
        .request("second".to_owned(), SECOND)
        .await
        .unwrap_err();
    assert!(
        matches!(error, RequestError::Deadline { written: true }),
        "{error:?}"
    );
    assert_eq!(peer.line().await.unwrap(), "req 0 012345678");
    assert_eq!(peer.line().await.unwrap(), "req 1 second");
    fills.abort();
}
