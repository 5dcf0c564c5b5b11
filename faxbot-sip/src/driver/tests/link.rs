//! First connect, reconnects, refused credentials, set-up.

use faxbot_core::{
    Error, ErrorKind,
    retry::{Backoff, RetryPolicy},
};
use tokio::time::Instant;

use super::*;

fn policy() -> RetryPolicy {
    let waits = Backoff::new(SECOND, 8 * SECOND).with_jitter(0.0);
    RetryPolicy::new(waits)
}

fn steady() -> LinkOptions {
    LinkOptions::new("toy").with_reconnect(policy())
}

#[tokio::test(start_paused = true)]
async fn a_first_connect_that_fails_is_final_and_told() {
    let (rig, mut notes) = started([Plan::Refused], steady());
    let error = rig.link.connected().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    notes.expect(&["gave up: cannot connect"]).await;
    assert_eq!(notes.next().await, None);
    let error = rig
        .link
        .handle()
        .request("x".to_owned(), SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::Closed { written: false }));
    assert!(rig.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_first_connect_ends_within_its_timeout_whatever_the_peer_does_not_do() {
    for plan in [Plan::Hang, Plan::Pipe(64)] {
        let began = Instant::now();
        let (rig, _events) = started([plan], steady());
        let error = rig.link.connected().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(began.elapsed() <= 15 * SECOND, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_never_ends_fails_at_the_connect_timeout() {
    let (mut rig, mut events) = start([], steady());
    let began = Instant::now();
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let up = events.recv().await;
    assert!(matches!(up, Some(LinkEvent::Up { .. })));
    assert_eq!(
        rig.link.connected().await.unwrap_err().kind(),
        ErrorKind::Timeout
    );
    assert_eq!(began.elapsed(), 15 * SECOND);
    let Some(LinkEvent::Up { setup, .. }) = up else {
        panic!("checked above")
    };
    assert!(!setup.ready(), "a lost connection cannot become ready");
}

#[tokio::test(start_paused = true)]
async fn credentials_refused_at_first_are_final_even_when_waiting_for_the_server() {
    for wait in [false, true] {
        let (mut rig, mut notes) = started([], steady().with_wait_for_server(wait));
        let mut peer = rig.peers.recv().await.unwrap();
        peer.say("hello\n").await;
        peer.line().await.unwrap();
        peer.say("denied\n").await;
        notes
            .expect(&["gave up: the server refused the credentials"])
            .await;
        assert_eq!(notes.next().await, None);
        let error = rig.link.wait_up(SECOND).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
        assert!(
            rig.peers.recv().await.is_none(),
            "refused credentials were tried again"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_refused_after_a_success_are_retried_at_the_cap_and_critical() {
    let (mut rig, peer, mut notes) = up_with(Plan::Pipe(4096), steady()).await;
    drop(peer);
    notes
        .expect(&["down 1: the peer closed the connection"])
        .await;
    let mut peer = rig.peers.recv().await.unwrap();
    peer.say("hello\n").await;
    peer.line().await.unwrap();
    peer.say("denied\n").await;
    notes
        .expect(&["attempt 2: the server refused the credentials!"])
        .await;
    let refused = Instant::now();
    let mut peer = rig.peers.recv().await.unwrap();
    assert_eq!(refused.elapsed(), 8 * SECOND);
    peer.login().await;
    notes.expect(&["up 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_tried_again_without_an_end() {
    let mut policy = policy();
    policy.backoff.attempts = Some(1);
    let options = steady().with_reconnect(policy).with_wait_for_server(true);
    let (mut rig, mut notes) = started([], options);
    rig.link.connected().await.unwrap();
    for attempt in 1..=5 {
        let mut peer = rig.peers.recv().await.unwrap();
        peer.say("busy\n").await;
        notes
            .expect(&[&format!("attempt {attempt}: the server takes no login now")])
            .await;
    }
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    notes.expect(&["up 6"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_at_the_first_connect_is_a_retryable_error() {
    let (mut rig, _notes) = started([], steady());
    rig.peers.recv().await.unwrap().say("busy\n").await;
    let error = rig.link.connected().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerBusy);
    assert!(error.is_retryable());
}

#[tokio::test(start_paused = true)]
async fn waits_double_until_a_connection_was_stable() {
    let plans = [Plan::Pipe(64), Plan::Refused, Plan::Refused];
    let (mut rig, mut notes) = started(plans, steady());
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    notes.expect(&["up 1"]).await;
    tokio::time::sleep(11 * SECOND).await;
    drop(peer);
    let lost = Instant::now();
    notes
        .expect(&[
            "down 1: the peer closed the connection",
            "attempt 2: cannot connect",
            "attempt 3: cannot connect",
        ])
        .await;
    let mut peer = rig.peers.recv().await.unwrap();
    assert_eq!(lost.elapsed(), (1 + 2 + 4) * SECOND);
    peer.login().await;
    notes.expect(&["up 4"]).await;
    // Lost within the stability window: the waits go on from where they were.
    drop(peer);
    let lost = Instant::now();
    let mut peer = rig.peers.recv().await.unwrap();
    assert_eq!(lost.elapsed(), 8 * SECOND);
    peer.login().await;
    notes
        .expect(&["down 4: the peer closed the connection", "up 5"])
        .await;
    tokio::time::sleep(11 * SECOND).await;
    drop(peer);
    let lost = Instant::now();
    rig.peers.recv().await.unwrap();
    assert_eq!(lost.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_used_up_end_the_link() {
    let mut policy = policy();
    policy.backoff.attempts = Some(1);
    let plans = [Plan::Pipe(64), Plan::Refused, Plan::Refused];
    let (mut rig, mut notes) = started(plans, steady().with_reconnect(policy));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    notes.expect(&["up 1"]).await;
    drop(peer);
    notes
        .expect(&[
            "down 1: the peer closed the connection",
            "gave up: cannot connect",
        ])
        .await;
    assert_eq!(notes.next().await, None);
    assert_eq!(rig.link.status().phase, super::super::LinkPhase::Ended);
}

#[tokio::test(start_paused = true)]
async fn the_setup_asks_before_the_public_does_and_only_on_its_connection() {
    let (mut rig, mut events) = start([], steady());
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up")
    };
    let public = rig.link.handle();
    let error = public
        .request("early".to_owned(), SECOND)
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::NotConnected) && !public.is_up());
    let pinned = setup.handle().clone();
    let subscribed = ask(&pinned, "subscribe", SECOND);
    assert_eq!(peer.line().await.unwrap(), "req 0 subscribe");
    peer.say("ok 0 done\n").await;
    subscribed.await.unwrap().unwrap();
    assert!(setup.ready() && public.is_up() && pinned.is_up());
    rig.link.connected().await.unwrap();
    drop(peer);
    assert!(matches!(events.recv().await, Some(LinkEvent::Down { .. })));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up again")
    };
    setup.ready();
    assert!(public.is_up() && !pinned.is_up());
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_fails_at_first_is_the_error_of_the_connect() {
    let (mut rig, mut events) = start([], steady());
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up")
    };
    setup.fail(Error::new(
        ErrorKind::PermissionDenied,
        "connect",
        "no right to subscribe",
    ));
    assert_eq!(
        rig.link.connected().await.unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
}

#[tokio::test(start_paused = true)]
async fn a_setup_that_is_dropped_later_costs_the_connection_and_another_follows() {
    let (mut rig, mut events) = start([], steady());
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up")
    };
    setup.ready();
    drop(peer);
    assert!(matches!(events.recv().await, Some(LinkEvent::Down { .. })));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    drop(events.recv().await);
    assert!(matches!(
        events.recv().await,
        Some(LinkEvent::Down {
            reason: LinkError::Setup(None),
            ..
        })
    ));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    assert!(matches!(
        events.recv().await,
        Some(LinkEvent::Up { generation: 3, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn garbage_and_impossible_words_end_the_connection_with_a_reason() {
    let long = "x".repeat(300);
    let table = [
        (
            long.as_str(),
            "down 1: the peer's bytes are not the protocol",
        ),
        ("nonsense\n", "down 1: protocol violation: unknown word"),
        ("bye\n", "down 1: the server closed the session"),
    ];
    for (bytes, note) in table {
        let (mut rig, mut peer, mut notes) = up_with(Plan::Pipe(4096), steady()).await;
        peer.say(bytes).await;
        notes.expect(&[note]).await;
        let mut peer = rig.peers.recv().await.unwrap();
        peer.login().await;
        notes.expect(&["up 2"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_connection_has_its_own_random_bytes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let (sender, mut peers) = mpsc::unbounded_channel();
    let pipes = Pipes {
        plans: Mutex::default(),
        peers: sender,
    };
    let tasks = TaskSet::current("connect").unwrap();
    let (_link, _events) = Link::start(
        steady().with_wait_for_server(true),
        Box::new(pipes),
        move |random: [u8; 32]| {
            sink.lock().unwrap().push(random);
            (Toy::new(), ToyCodec)
        },
        TokioClock::shared(),
        SeededRandom::shared(1),
        &tasks,
    );
    drop(peers.recv().await.unwrap());
    drop(peers.recv().await.unwrap());
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= 2 && seen[0] != seen[1]);
}
