//! Floods, slow pumps, and answers that stand behind events.

use faxbot_core::retry::{Backoff, RetryPolicy};
use tokio::time::Instant;

use super::{super::Setup, *};

async fn set_up(rig: &mut Rig, events: &mut LinkEvents<Toy>) -> Peer {
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    let Some(LinkEvent::Up { setup, .. }) = events.recv().await else {
        panic!("not up")
    };
    assert!(Setup::ready(setup));
    peer
}

#[tokio::test(start_paused = true)]
async fn a_flood_reaches_a_slow_pump_whole_and_in_order() {
    let (mut rig, mut events) = start([], LinkOptions::new("toy"));
    let mut peer = set_up(&mut rig, &mut events).await;
    let flood = tokio::spawn(async move {
        for n in 0..20_000 {
            peer.say(&format!("event {n}\n")).await;
        }
        peer
    });
    for n in 0..20_000 {
        if n % 5_000 == 0 {
            tokio::time::sleep(SECOND).await;
        }
        let Some(LinkEvent::Event { event, .. }) = events.recv().await else {
            panic!("lost {n}")
        };
        assert_eq!(event, n.to_string());
    }
    flood.await.unwrap();
    assert!(rig.link.handle().is_up());
}

#[tokio::test(start_paused = true)]
async fn a_pump_that_is_behind_makes_the_server_wait_even_if_an_answer_is_due() {
    // The queue, the pipe and one read; with an answer due, theirs or ours, the reserve as well.
    let (little, reserve) = (4_096 + 4_096, 4_096 + 8_192 + 4_096);
    for (due, asks, most) in [
        (false, false, little),
        (true, false, reserve),
        (false, true, reserve),
    ] {
        let (mut rig, mut events) = start([], LinkOptions::new("toy"));
        let mut peer = set_up(&mut rig, &mut events).await;
        let asked = due.then(|| ask(&rig.link.handle(), "never answered", 3600 * SECOND));
        if due {
            peer.line().await.unwrap();
        }
        if asks {
            peer.say("asks\n").await;
        }
        let said = Arc::new(Mutex::new(0));
        let count = Arc::clone(&said);
        let flood = tokio::spawn(async move {
            loop {
                peer.say("event x\n").await;
                *count.lock().unwrap() += 1;
            }
        });
        tokio::time::sleep(SECOND).await;
        let held = *said.lock().unwrap();
        assert!(held >= 4_096 && held < most, "{held} events were taken");
        assert!(!(due || asks) || held > 12_288);
        tokio::time::sleep(SECOND).await;
        assert_eq!(*said.lock().unwrap(), held);
        flood.abort();
        asked.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pump_that_awaits_an_answer_gets_it_though_events_stand_before_it() {
    let (mut rig, mut events) = start([], LinkOptions::new("toy"));
    let mut peer = set_up(&mut rig, &mut events).await;
    let serving = tokio::spawn(async move {
        let line = peer.line().await.unwrap();
        for n in 0..6_000 {
            peer.say(&format!("event {n}\n")).await;
        }
        peer.say(&format!("ok {}\n", line.strip_prefix("req ").unwrap()))
            .await;
        peer
    });
    // Nobody takes events meanwhile: their queue holds 4,096.
    let reply = rig
        .link
        .handle()
        .request("from the pump".to_owned(), 5 * SECOND)
        .await;
    assert_eq!(reply.unwrap(), "from the pump");
    for n in 0..6_000 {
        let Some(LinkEvent::Event { event, .. }) = events.recv().await else {
            panic!("lost {n}")
        };
        assert_eq!(event, n.to_string());
    }
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pump_that_never_comes_back_costs_the_connection_and_what_was_read_is_kept() {
    let (mut rig, mut events) = start([], LinkOptions::new("toy"));
    let mut peer = set_up(&mut rig, &mut events).await;
    let flood = tokio::spawn(async move {
        let mut said = 0_usize;
        while peer.writer.write_all(b"event x\n").await.is_ok() {
            said += 1;
        }
        said
    });
    let began = Instant::now();
    let said = flood.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 10);
    let mut heard = 0_usize;
    let down = loop {
        match events.recv().await {
            Some(LinkEvent::Event { .. }) => heard += 1,
            other => break other,
        }
    };
    assert!(matches!(
        down,
        Some(LinkEvent::Down {
            reason: LinkError::PumpStalled,
            ..
        })
    ));
    assert!(heard >= 4_096 && heard <= said, "{heard} of {said}");
}

#[tokio::test(start_paused = true)]
async fn dropped_events_end_the_link() {
    let (mut rig, mut events) = start([], LinkOptions::new("toy"));
    let mut peer = set_up(&mut rig, &mut events).await;
    drop(events);
    assert_eq!(peer.line().await, None);
    let tasks = rig.tasks.clone();
    while !tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!rig.link.handle().is_up());
}

#[tokio::test(start_paused = true)]
async fn events_dropped_while_waiting_for_the_server_end_the_link() {
    let patient = RetryPolicy::new(Backoff::new(3600 * SECOND, 3600 * SECOND));
    let options = LinkOptions::new("toy")
        .with_wait_for_server(true)
        .with_reconnect(patient);
    let (rig, mut events) = start([Plan::Refused], options);
    assert!(matches!(
        events.recv().await,
        Some(LinkEvent::AttemptFailed { .. })
    ));
    drop(events);
    tokio::time::sleep(SECOND).await;
    assert!(rig.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_does_not_starve_requests_or_deadlines() {
    let (mut rig, _notes) = started([Plan::Pipe(1 << 20)], LinkOptions::new("toy"));
    let mut peer = rig.peers.recv().await.unwrap();
    peer.login().await;
    rig.link.connected().await.unwrap();
    let Peer {
        mut reader,
        mut writer,
    } = peer;
    let flood = tokio::spawn(async move {
        let burst = "event x\n".repeat(64);
        while writer.write_all(burst.as_bytes()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    let handle = rig.link.handle();
    let asked = ask(&handle, "through", 3600 * SECOND);
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    assert_eq!(line, "req 0 through\n");
    flood.abort();
    let _ = flood.await;
    drop(reader);
    assert!(matches!(
        asked.await.unwrap(),
        Err(RequestError::OutcomeUnknown(_))
    ));
}
