//! Many calls at once: limits, bad peers, panics, stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use faxbot_core::ErrorKind;
use faxbot_sip::{
    driver::LinkError,
    outbound::{EslListener, OutboundOptions},
    protocol::esl::server,
};
use tokio::time::Instant;

use super::peer::{FreeSwitch, House, SECOND, channel};

#[tokio::test(start_paused = true)]
async fn above_the_limit_a_call_waits_until_another_is_let_go() {
    let options = OutboundOptions::new().with_max_calls(2);
    let (house, mut calls) = House::new(options);
    let (first, call) = house.call(&mut calls, "async full").await;
    let _second = house.call(&mut calls, "async full").await;
    let mut third = house.knock();
    let unheard = tokio::time::timeout(20 * SECOND, third.command()).await;
    assert!(unheard.is_err(), "nothing is said to it");

    // The call has ended, but who serves it has not.
    drop(first);
    call.over().await;
    let unheard = tokio::time::timeout(SECOND, third.command()).await;
    assert!(unheard.is_err());
    drop(call);
    third.connect("async").await;
    assert!(calls.recv().await.is_some());
    assert_eq!(house.listener.status().accepted, 3);
}

#[tokio::test(start_paused = true)]
async fn peers_that_are_no_freeswitch_are_closed_and_nobody_hears_of_them() {
    let options = OutboundOptions::new().with_ready_timeout(3 * SECOND);
    let (house, mut calls) = House::new(options);
    let (mut good, call) = house.call(&mut calls, "async full").await;

    let mut silent = house.knock();
    let mut garbage = house.knock();
    let mut http = house.knock();
    let mut inbound = house.knock();
    let mut nameless = house.knock();
    let mut refusing = house.knock();
    let mut gone = house.knock();
    garbage.say(&[0xff; 4096]).await;
    garbage.say(b"Content-Length: lots\n\n").await;
    http.say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    inbound.say(&server::auth_request()).await;
    nameless
        .say(b"Event-Name: CHANNEL_DATA\nContent-Type: command/reply\nReply-Text: %2BOK%0A\n\n")
        .await;
    nameless.reply("-ERR command not found").await;
    refusing.say(&channel("async")).await;
    refusing.reply("-ERR command not found").await;
    refusing.reply("-ERR not you").await;
    gone.expect("connect").await;
    drop(gone);
    let began = Instant::now();
    for peer in [
        &mut silent,
        &mut garbage,
        &mut http,
        &mut inbound,
        &mut nameless,
        &mut refusing,
    ] {
        // What we say to each is of no matter; we leave.
        while peer.command().await.is_some() {}
    }
    assert!(began.elapsed() <= 4 * SECOND, "{:?}", began.elapsed());

    let (value, ()) = tokio::join!(call.getvar("x"), async {
        good.expect("getvar x").await;
        good.reply("y").await;
    });
    assert_eq!(value.unwrap().unwrap(), "y");
    let nobody = tokio::time::timeout(SECOND, calls.recv()).await;
    assert!(nobody.is_err());
    let status = house.listener.status();
    assert_eq!((status.accepted, status.serving), (8, 1));
}

#[tokio::test(start_paused = true)]
async fn only_peers_of_this_machine_are_taken_unless_more_is_said() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let mut stranger = house.knock_from(Some("192.0.2.1"));
    assert!(stranger.command().await.is_none());
    let mut own = house.knock_from(Some("127.0.0.1"));
    own.connect("async").await;
    assert!(calls.recv().await.is_some());
    assert_eq!(house.listener.status().turned_away, 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_loses_its_own_call_only() {
    let (house, calls) = House::new(OutboundOptions::new());
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    let serving = tokio::spawn(calls.for_each(move |call| {
        let count = Arc::clone(&count);
        async move {
            let value = call.getvar("bad").await.unwrap();
            assert_ne!(value.as_deref(), Some("yes"), "a fault of the handler");
            count.fetch_add(1, Ordering::Relaxed);
            call.over().await;
        }
    }));
    let mut good = house.knock();
    good.connect("async full").await;
    good.expect("getvar bad").await;
    good.reply("no").await;
    let mut bad = house.knock();
    bad.connect("async full").await;
    bad.expect("getvar bad").await;
    bad.reply("yes").await;
    // Its call is let go of.
    bad.goodbye().await;
    let mut next = house.knock();
    next.connect("async full").await;
    next.expect("getvar bad").await;
    next.reply("no").await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(served.load(Ordering::Relaxed), 2);
    drop((good, next));
    assert!(house.listener.close(5 * SECOND).await.drained);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_lets_calls_end_and_says_exit_to_those_that_are_left() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (ending, short) = house.call(&mut calls, "async full").await;
    let (staying, long) = house.call(&mut calls, "async full").await;
    let House { listener, .. } = house;
    let closing = tokio::spawn(async move { listener.close(8 * SECOND).await });
    let began = Instant::now();
    // It goes on while the listener closes.
    drop(ending);
    assert!(matches!(short.over().await, LinkError::Ended));
    drop(short);
    assert!(began.elapsed() < SECOND);
    assert!(calls.recv().await.is_none(), "no more calls come");
    assert!(long.is_up());
    staying.goodbye().await;
    assert!(began.elapsed() >= 6 * SECOND, "{:?}", began.elapsed());
    assert!(matches!(long.over().await, LinkError::Closed));
    assert_eq!(
        long.getvar("x").await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert!(!closing.await.unwrap().drained);
    assert!(began.elapsed() <= 9 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_an_owner_no_call_is_taken_and_those_that_run_go_on() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    drop(calls);
    tokio::time::sleep(SECOND).await;
    let mut late = house.knock();
    assert!(late.command().await.is_none());
    let (value, ()) = tokio::join!(call.getvar("x"), async {
        peer.expect("getvar x").await;
        peer.reply("y").await;
    });
    assert_eq!(value.unwrap().unwrap(), "y");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_listener_ends_its_calls() {
    let (house, mut calls) = House::new(OutboundOptions::new());
    let (mut peer, call) = house.call(&mut calls, "async full").await;
    let running = tokio::spawn({
        let call = call.clone();
        async move { call.execute("playback", "x").await }
    });
    peer.expect_execute("playback").await;
    peer.reply("+OK").await;
    drop(house);
    assert!(peer.command().await.is_none());
    assert_eq!(
        running.await.unwrap().unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert!(!call.is_up());
    assert!(calls.recv().await.is_none());
}

#[tokio::test]
async fn a_call_comes_over_tcp() {
    let options = OutboundOptions::new().with_address("127.0.0.1:0".parse().unwrap());
    let (listener, mut calls) = EslListener::bind(options).await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = OutboundOptions::new().with_address(address);
    let error = EslListener::bind(taken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let server = tokio::spawn(async move {
        let io = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut peer = FreeSwitch::new(io);
        peer.connect("async").await;
        peer.goodbye().await;
    });
    let call = calls.recv().await.unwrap();
    assert_eq!(call.channel().destination().unwrap(), "900");
    drop(call);
    server.await.unwrap();
    assert!(listener.close(Duration::from_secs(5)).await.drained);
}
