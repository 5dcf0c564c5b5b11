//! Faulty streams do the same for the same seed, and lose nothing that they should not.
#![cfg(test)]

use std::{io::ErrorKind, time::Duration};

use faxbot_testkit::fault::{Action, Faults, FaultyStream, Trigger};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

async fn read_sizes(faults: Faults) -> Vec<usize> {
    let (mut far, near) = tokio::io::duplex(1 << 16);
    far.write_all(&[b'x'; 5000]).await.unwrap();
    drop(far);
    let mut near = FaultyStream::new(near, faults);
    let mut sizes = Vec::new();
    let mut buf = [0; 4096];
    loop {
        let n = near.read(&mut buf).await.unwrap();
        if n == 0 {
            return sizes;
        }
        sizes.push(n);
    }
}

#[tokio::test]
async fn the_same_seed_splits_at_the_same_points_and_another_does_not() {
    let first = read_sizes(Faults::seeded(1).split(200)).await;
    assert_eq!(first, read_sizes(Faults::seeded(1).split(200)).await);
    assert_ne!(first, read_sizes(Faults::seeded(2).split(200)).await);
    assert_eq!(first.iter().sum::<usize>(), 5000);
    assert!(first.iter().all(|n| (1..=200).contains(n)));
}

#[tokio::test(start_paused = true)]
async fn delays_take_the_same_time_for_the_same_seed() {
    let mut times = Vec::new();
    for _ in 0..2 {
        let start = Instant::now();
        let ms = Duration::from_millis;
        read_sizes(Faults::seeded(5).split(100).delay(ms(10), ms(90))).await;
        times.push(start.elapsed());
    }
    assert_eq!(times[0], times[1]);
    assert!(times[0] > Duration::from_secs(1), "{:?}", times[0]);
}

#[tokio::test]
async fn split_writes_arrive_whole() {
    let (near, mut far) = tokio::io::duplex(64);
    let mut near = FaultyStream::new(near, Faults::seeded(3).split(7));
    let sent: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let write = async {
        near.write_all(&sent).await.unwrap();
        drop(near);
    };
    let mut got = Vec::new();
    let ((), read) = tokio::join!(write, far.read_to_end(&mut got));
    read.unwrap();
    assert_eq!(got, sent);
}

#[tokio::test]
async fn a_cut_after_n_bytes_read_gives_exactly_those() {
    for (action, kind) in [
        (Action::Close, None),
        (Action::Reset, Some(ErrorKind::ConnectionReset)),
    ] {
        let (mut far, near) = tokio::io::duplex(1 << 12);
        far.write_all(b"0123456789").await.unwrap();
        let mut near =
            FaultyStream::new(near, Faults::seeded(1).on_read(Trigger::Bytes(4), action));
        let mut got = Vec::new();
        let result = near.read_to_end(&mut got).await;
        assert_eq!(got, b"0123");
        assert_eq!(result.err().map(|error| error.kind()), kind);
        assert!(near.write_all(b"more").await.is_err());
        let mut rest = Vec::new();
        assert_eq!(
            far.read_to_end(&mut rest).await.unwrap(),
            0,
            "the other end sees the end"
        );
    }
}

#[tokio::test]
async fn a_cut_after_n_bytes_written_sends_exactly_those() {
    let (near, mut far) = tokio::io::duplex(1 << 12);
    let mut near = FaultyStream::new(
        near,
        Faults::seeded(1).on_write(Trigger::Bytes(4), Action::Close),
    );
    let error = near.write_all(b"0123456789").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"0123");
}

#[tokio::test]
async fn the_link_falls_when_the_request_is_written_and_before_its_reply() {
    let (near, mut far) = tokio::io::duplex(1 << 12);
    far.write_all(b"Response: Success\r\n\r\n").await.unwrap();
    let mut near = FaultyStream::new(near, Faults::cut_before_reply(1, "Action: Originate"));
    near.write_all(b"Action: Ping\r\n\r\nAction: Originate\r\nChannel: x\r\n\r\n")
        .await
        .unwrap();
    let mut got = Vec::new();
    assert_eq!(near.read_to_end(&mut got).await.unwrap(), 0);
    far.read_to_end(&mut got).await.unwrap();
    assert!(got.ends_with(b"Channel: x\r\n\r\n"));
}

#[tokio::test]
async fn the_link_falls_right_behind_the_reply() {
    let (mut far, near) = tokio::io::duplex(1 << 12);
    far.write_all(b"Message: Originate successfully queued\r\n\r\nEvent: Newchannel\r\n\r\n")
        .await
        .unwrap();
    let faults = Faults::cut_after_reply(9, "Originate successfully queued").split(5);
    let mut near = FaultyStream::new(near, faults);
    let mut got = Vec::new();
    near.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"Message: Originate successfully queued\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_half_open_link_swallows_writes_and_never_answers() {
    let (mut far, near) = tokio::io::duplex(1 << 12);
    far.write_all(b"0123456789").await.unwrap();
    let mut near = FaultyStream::new(near, Faults::half_open(1, 4));
    let mut buf = [0; 4];
    near.read_exact(&mut buf).await.unwrap();
    assert!(
        timeout(Duration::from_secs(3600), near.read(&mut buf))
            .await
            .is_err()
    );
    near.write_all(b"lost").await.unwrap();
    assert!(
        timeout(Duration::from_secs(1), far.read(&mut buf))
            .await
            .is_err()
    );
    assert_eq!(near.fallen(), Some(Action::HalfOpen));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_direction_leaves_the_other_alone() {
    let (mut far, near) = tokio::io::duplex(1 << 12);
    far.write_all(b"0123456789").await.unwrap();
    let mut near = FaultyStream::new(
        near,
        Faults::seeded(1).on_read(Trigger::Bytes(2), Action::Stall),
    );
    let mut buf = [0; 4];
    assert_eq!(near.read(&mut buf).await.unwrap(), 2);
    assert!(
        timeout(Duration::from_secs(3600), near.read(&mut buf))
            .await
            .is_err()
    );
    near.write_all(b"ping").await.unwrap();
    far.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"ping");
}
