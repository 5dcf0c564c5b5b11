//! The accepting side, with pipes and a paused clock: the toy's server connects to us.

use std::{
    io,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use faxbot_core::Effect;
use tokio::time::Instant;

use super::{
    super::{
        Accept, Accepted, AllowList, Incoming, LinkPhase, Listener, ListenerOptions, ListenerStatus,
    },
    *,
};

type Arrival = io::Result<(Transport, Option<IpAddr>)>;

/// Accepts what the test puts in. What was not accepted stays in the queue, as in a kernel's.
struct Door(mpsc::UnboundedReceiver<Arrival>);

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

#[async_trait::async_trait]
impl Accept for Door {
    async fn accept(&mut self) -> Arrival {
        match self.0.recv().await {
            Some(arrival) => arrival,
            None => std::future::pending().await,
        }
    }
}

struct House {
    listener: Listener<Toy>,
    incoming: Incoming<Toy>,
    door: mpsc::UnboundedSender<Arrival>,
    /// Sessions that were made: connections that were accepted and let in.
    sessions: Arc<AtomicUsize>,
    tasks: TaskSet,
}

impl House {
    fn new(options: ListenerOptions) -> Self {
        let (door, arrivals) = mpsc::unbounded_channel();
        let tasks = TaskSet::current("listen").unwrap();
        let sessions = Arc::new(AtomicUsize::new(0));
        let made = Arc::clone(&sessions);
        let (listener, incoming) = Listener::start(
            options,
            Box::new(Door(arrivals)),
            move |_: [u8; 32]| {
                made.fetch_add(1, Ordering::Relaxed);
                (Toy::new(), ToyCodec)
            },
            TokioClock::shared(),
            SeededRandom::shared(1),
            &tasks,
        );
        Self {
            listener,
            incoming,
            door,
            sessions,
            tasks,
        }
    }

    fn knock(&self) -> Peer {
        self.knock_from(None)
    }

    fn knock_from(&self, address: Option<&str>) -> Peer {
        let (near, far) = duplex(4096);
        let address = address.map(|address| address.parse().unwrap());
        let _ = self.door.send(Ok((Transport::new(near), address)));
        Peer::new(far)
    }

    /// A connection whose set-up is over.
    async fn guest(&mut self) -> (Peer, Accepted<Toy>) {
        let mut peer = self.knock();
        peer.login().await;
        let mut accepted = self.incoming.recv().await.unwrap();
        set_up(&mut accepted).await;
        (peer, accepted)
    }

    fn status(&self) -> ListenerStatus {
        self.listener.status()
    }
}

fn options() -> ListenerOptions {
    ListenerOptions::new("toy")
}

async fn set_up(accepted: &mut Accepted<Toy>) {
    let Some(LinkEvent::Up { setup, .. }) = accepted.events.recv().await else {
        panic!("not up")
    };
    assert!(setup.ready());
}

/// The last word of a connection.
async fn down(accepted: &mut Accepted<Toy>) -> LinkError {
    let Some(LinkEvent::Down { reason, .. }) = accepted.events.recv().await else {
        panic!("not down")
    };
    assert!(accepted.events.recv().await.is_none());
    reason
}

#[tokio::test(start_paused = true)]
async fn an_accepted_connection_is_a_link_that_ends_when_it_is_lost() {
    let mut house = House::new(options());
    let (mut peer, mut accepted) = house.guest().await;
    assert_eq!(house.status().serving, 1);
    let handle = accepted.link.handle();
    let answer = ask(&handle, "ping", SECOND);
    assert_eq!(peer.line().await.as_deref(), Some("req 0 ping"));
    peer.say("event news\nok 0 pong\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "pong");
    let Some(LinkEvent::Event { event, .. }) = accepted.events.recv().await else {
        panic!("no event")
    };
    assert_eq!(event, "news");

    let written = ask(&handle, "written", 60 * SECOND);
    peer.line().await.unwrap();
    drop(peer);
    assert!(matches!(
        written.await.unwrap().unwrap_err(),
        RequestError::OutcomeUnknown(LinkError::Ended)
    ));
    assert!(matches!(down(&mut accepted).await, LinkError::Ended));
    let late = handle.request("late".to_owned(), SECOND).await.unwrap_err();
    assert_eq!(late.effect(), Effect::NoEffect);
    assert_eq!(accepted.link.status().phase, LinkPhase::Ended);
    drop(accepted);
    tokio::task::yield_now().await;
    assert_eq!(house.status().serving, 0);
    assert_eq!(house.status().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn above_the_limit_nothing_is_accepted_until_a_place_is_free() {
    let mut house = House::new(options().with_max_connections(2));
    let (peer, accepted) = house.guest().await;
    let _second = house.guest().await;
    let mut waiting = house.knock();
    tokio::time::sleep(SECOND).await;
    assert_eq!(house.sessions.load(Ordering::Relaxed), 2);
    assert_eq!(house.status().accepted, 2);

    // Lost, but its owner still works for it: the place is kept.
    drop(peer);
    let place = accepted.place.clone();
    drop(accepted);
    tokio::time::sleep(SECOND).await;
    assert_eq!(house.sessions.load(Ordering::Relaxed), 2);
    drop(place);
    waiting.login().await;
    assert!(house.incoming.recv().await.is_some());
    assert_eq!(house.status().accepted, 3);
}

#[tokio::test(start_paused = true)]
async fn peers_outside_of_the_allowed_networks_are_closed_without_a_word() {
    let mut house = House::new(options());
    let mut stranger = house.knock_from(Some("192.0.2.1"));
    assert_eq!(stranger.line().await, None);
    assert_eq!(house.sessions.load(Ordering::Relaxed), 0);
    let mut neighbour = house.knock_from(Some("::ffff:127.0.0.1"));
    neighbour.login().await;
    let accepted = house.incoming.recv().await.unwrap();
    assert_eq!(accepted.peer, Some("::ffff:127.0.0.1".parse().unwrap()));
    assert_eq!(house.status().turned_away, 1);

    let allow = AllowList::parse(["192.0.2.0/24"]).unwrap();
    let house = House::new(options().with_allow(allow));
    let mut stranger = house.knock_from(Some("127.0.0.1"));
    assert_eq!(stranger.line().await, None);
    house.knock_from(Some("192.0.2.1")).login().await;
}

#[tokio::test(start_paused = true)]
async fn garbage_silence_and_slowness_cost_one_connection_and_the_others_nothing() {
    let mut house = House::new(options().with_ready_timeout(3 * SECOND));
    let (mut good, accepted) = house.guest().await;
    let mut silent = house.knock();
    let mut garbage = house.knock();
    let mut odd = house.knock();
    garbage.say(&"x".repeat(1000)).await;
    odd.say("nonsense\n").await;
    assert_eq!(garbage.line().await, None);
    assert_eq!(odd.line().await, None);
    let began = Instant::now();
    assert_eq!(silent.line().await, None, "closed at the ready timeout");
    assert!(began.elapsed() <= 3 * SECOND);

    // Set up, but the peer takes no byte.
    let (_slow, mut stalled) = house.guest().await;
    let handle = stalled.link.handle();
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(ask(&handle, &"y".repeat(200), 60 * SECOND));
    }
    assert!(matches!(down(&mut stalled).await, LinkError::WriteStalled));
    drop(stalled);

    let answer = ask(&accepted.link.handle(), "still there", SECOND);
    good.line().await.unwrap();
    good.say("ok 0 yes\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "yes");
    tokio::task::yield_now().await;
    assert_eq!((house.status().failed, house.status().serving), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_sets_up_ends_at_the_ready_timeout() {
    let mut house = House::new(options().with_ready_timeout(3 * SECOND));
    let mut untaken = house.knock();
    untaken.login().await;
    assert_eq!(untaken.line().await, None);
    let mut accepted = house.incoming.recv().await.unwrap();
    let Some(LinkEvent::Up { setup, .. }) = accepted.events.recv().await else {
        panic!("not up")
    };
    assert!(!setup.ready(), "too late");
    assert!(matches!(down(&mut accepted).await, LinkError::SetupTimeout));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_takes_no_events_costs_its_own_connection_and_place() {
    let mut house = House::new(options());
    let (mut peer, accepted) = house.guest().await;
    let flood = tokio::spawn(async move {
        for _ in 0..20_000 {
            let said = peer.writer.write_all(b"event x\n").await;
            if said.is_err() {
                return;
            }
        }
    });
    flood.await.unwrap();
    tokio::time::sleep(15 * SECOND).await;
    // The owner never reads: the task has ended all the same.
    assert_eq!(accepted.link.status().phase, LinkPhase::Ended);
    assert!(accepted.link.close(SECOND).await.drained);
    let (_peer, _accepted) = house.guest().await;
}

#[tokio::test(start_paused = true)]
async fn accepts_that_fail_are_tried_again_with_waits() {
    let mut house = House::new(options());
    let began = Instant::now();
    for _ in 0..12 {
        let _ = house.door.send(Err(io::Error::from_raw_os_error(24)));
    }
    let _guest = house.guest().await;
    assert_eq!(house.status().accept_errors, 12);
    let waited = began.elapsed();
    // 10 ms doubling to 1 s: no busy loop, and no long sleep.
    assert!(waited > 4 * SECOND && waited < 8 * SECOND, "{waited:?}");
    let _ = house
        .door
        .send(Err(io::ErrorKind::ConnectionAborted.into()));
    let began = Instant::now();
    let _guest = house.guest().await;
    assert!(began.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_close_stops_accepting_and_lets_connections_end_by_themselves() {
    let mut house = House::new(options());
    let (mut peer, mut accepted) = house.guest().await;
    let listener = Arc::new(house.listener);
    let closer = Arc::clone(&listener);
    let closing = tokio::spawn(async move { closer.close(10 * SECOND).await });
    tokio::time::sleep(SECOND).await;
    assert!(
        house.door.send(Err(io::ErrorKind::Other.into())).is_err(),
        "the door is gone"
    );
    assert!(house.incoming.recv().await.is_none());
    assert_eq!(listener.status().serving, 1);
    let answer = ask(&accepted.link.handle(), "one more", SECOND);
    peer.line().await.unwrap();
    peer.say("ok 0 done\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "done");
    drop(peer);
    down(&mut accepted).await;
    drop(accepted);
    let began = Instant::now();
    assert!(closing.await.unwrap().drained);
    assert!(began.elapsed() < SECOND);
    assert!(house.tasks.stop(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_runs_out_of_time_says_good_bye_to_those_that_are_left() {
    let mut house = House::new(options());
    let (mut polite, mut accepted) = house.guest().await;
    let (mut deaf, _kept) = house.guest().await;
    let began = Instant::now();
    let listener = house.listener;
    let closing = tokio::spawn(async move {
        let report = listener.close(4 * SECOND).await;
        (report, listener)
    });
    assert_eq!(polite.line().await.as_deref(), Some("bye"));
    assert!(began.elapsed() >= 3 * SECOND);
    polite.say("bye\n").await;
    assert!(matches!(down(&mut accepted).await, LinkError::Closed));
    assert_eq!(deaf.line().await.as_deref(), Some("bye"));
    assert_eq!(deaf.line().await, None);
    let (report, listener) = closing.await.unwrap();
    assert!(!report.drained);
    assert!(began.elapsed() <= 5 * SECOND, "{:?}", began.elapsed());
    assert!(
        listener.close(SECOND).await == report,
        "a second close tells the same"
    );
    assert!(house.tasks.stop(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_closed_or_dropped_ends_its_connection_alone() {
    let mut house = House::new(options());
    let (mut closed, accepted) = house.guest().await;
    let (mut dropped, other) = house.guest().await;
    let (mut good, _kept) = house.guest().await;
    let closing = tokio::spawn(async move {
        let whole = accepted;
        whole.link.close(4 * SECOND).await
    });
    assert_eq!(closed.line().await.as_deref(), Some("bye"));
    closed.say("bye\n").await;
    assert!(closing.await.unwrap().drained);
    drop(other);
    assert_eq!(dropped.line().await, None);
    let talk = tokio::time::timeout(SECOND, good.line()).await;
    assert!(talk.is_err(), "nothing is said to the third");
    assert_eq!(house.status().serving, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_listener_ends_its_tasks_and_its_connections() {
    let mut house = House::new(options());
    let (mut peer, accepted) = house.guest().await;
    let written = ask(&accepted.link.handle(), "written", 60 * SECOND);
    peer.line().await.unwrap();
    drop(house.listener);
    assert_eq!(
        written.await.unwrap().unwrap_err().effect(),
        Effect::Unknown
    );
    assert_eq!(peer.line().await, None);
    assert!(house.tasks.stop(SECOND).await);
}

#[tokio::test(start_paused = true)]
async fn without_an_owner_nothing_is_accepted_and_what_runs_goes_on() {
    let mut house = House::new(options());
    let (mut peer, accepted) = house.guest().await;
    drop(house.incoming);
    tokio::time::sleep(SECOND).await;
    assert!(house.door.is_closed());
    let answer = ask(&accepted.link.handle(), "still there", SECOND);
    peer.line().await.unwrap();
    peer.say("ok 0 yes\n").await;
    assert_eq!(answer.await.unwrap().unwrap(), "yes");
    drop(accepted);
    assert!(house.listener.close(4 * SECOND).await.drained);
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_connections_come_and_go_and_leave_nothing() {
    let mut house = House::new(options().with_max_connections(8));
    let mut peers = Vec::new();
    for _ in 0..300 {
        let mut peer = house.knock();
        peers.push(tokio::spawn(async move {
            peer.login().await;
            peer.serve().await;
        }));
    }
    for n in 0..300 {
        let mut accepted = house.incoming.recv().await.unwrap();
        assert!(house.status().serving <= 8);
        set_up(&mut accepted).await;
        let text = n.to_string();
        let reply = accepted.link.handle().request(text.clone(), SECOND).await;
        assert_eq!(reply.unwrap(), text);
        assert!(accepted.link.close(SECOND).await.drained);
    }
    for peer in peers {
        peer.await.unwrap();
    }
    let status = house.status();
    assert_eq!((status.accepted, status.failed), (300, 0));
    assert!(house.listener.close(SECOND).await.drained);
    assert!(house.tasks.stop(SECOND).await);
    assert!(house.tasks.is_empty());
}
