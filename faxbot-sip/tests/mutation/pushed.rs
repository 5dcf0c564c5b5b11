//! What servers of proxies push: the netstrings of evapi, and the objects of event sockets. Nothing is
//! asked over these links, so it is codec and reading that are tried.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    evapi::{self, NetstringCodec},
    jsonrpc::{EventCodec, EventSession, MAX_EVENT, Notification},
    session::{Codec, Output, Session as _},
};
use faxbot_testkit::{
    fixtures,
    random::{SEED_VARIABLE, Seed, TestRng},
    replay::{Direction, Recording},
};

use super::{ALONE, Counts, HEAP, change::mutated, seconds};

/// A link by which a server pushes.
pub(crate) trait Pushed {
    type Codec: Codec<Frame = Bytes>;

    /// The recordings of which server, and the channel in them.
    const SERVER: &'static str;
    const CHANNEL: &'static str;
    /// The direction that the server writes in.
    const DIRECTION: Direction;
    /// The largest frame that a codec allows.
    const MAX_FRAME: usize;

    fn codec(max: usize) -> Self::Codec;

    /// What an adapter reads of a frame, and what the frame is.
    fn read(frame: &Bytes) -> &'static str;
}

pub(crate) struct Evapi;

impl Pushed for Evapi {
    type Codec = NetstringCodec;

    const SERVER: &'static str = "kamailio";
    const CHANNEL: &'static str = "evapi";
    const DIRECTION: Direction = Direction::ToClient;
    const MAX_FRAME: usize = evapi::MAX_PAYLOAD;

    fn codec(max: usize) -> NetstringCodec {
        NetstringCodec::new(max)
    }

    fn read(frame: &Bytes) -> &'static str {
        match serde_json::from_slice::<serde_json::Value>(frame) {
            Ok(value) if value.get("event").is_some() => "event",
            _ => "other",
        }
    }
}

pub(crate) struct EventStream;

impl Pushed for EventStream {
    type Codec = EventCodec;

    const SERVER: &'static str = "opensips";
    const CHANNEL: &'static str = "event_stream";
    // It is the server that connects.
    const DIRECTION: Direction = Direction::ToServer;
    const MAX_FRAME: usize = MAX_EVENT;

    fn codec(max: usize) -> EventCodec {
        EventCodec::new(max)
    }

    fn read(frame: &Bytes) -> &'static str {
        let mut session = EventSession::new();
        let now = Instant::now();
        session.handle_connected(now);
        session.handle_frame(frame.clone(), now);
        while session.poll_transmit().is_some() {}
        let mut outputs = std::iter::from_fn(|| session.poll_output());
        if outputs.any(|output| matches!(output, Output::Event(_))) {
            "event"
        } else {
            "other"
        }
    }
}

/// Every connection of every recording, as the server wrote it.
fn streams(server: &str, channel: &str, dir: Direction) -> Vec<Bytes> {
    let mut streams = Vec::new();
    for name in fixtures::all_names().unwrap() {
        let ours = [format!("{server}/"), format!("bursts/{server}_")];
        if !ours.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        let recording = Recording::load_channels(&name).unwrap().channel(channel);
        let connections = recording.connections().into_iter();
        let bytes = connections.map(|conn| recording.bytes(conn, dir));
        streams.extend(bytes.filter(|bytes| !bytes.is_empty()));
    }
    streams
}

/// Tries mutations of these streams until a third of the time is over: there are three of them, and
/// none has a session to drive.
fn try_all(
    mib: usize,
    streams: &[Bytes],
    kinds: &[&str],
    mut feed: impl FnMut(&[u8], &mut TestRng, &mut Counts),
) {
    let _alone = ALONE.lock();
    let end = Instant::now() + Duration::from_secs(seconds()) / 3;
    let mut counts = Counts::default();
    let mut round = Seed::fresh().0;
    while Instant::now() < end || counts.lacks(kinds) {
        let mut rng = TestRng::new(Seed(round));
        let stream = &streams[rng.index(streams.len())];
        let donor = &streams[rng.index(streams.len())];
        let input = mutated(stream, donor, &mut rng);
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        feed(&input, &mut rng, &mut counts);
        let took = HEAP.peak_usage().saturating_sub(before);
        assert!(
            took < mib * 1024 * 1024,
            "{took} bytes of heap for an input of {} bytes: {SEED_VARIABLE}={round:#x}",
            input.len()
        );
        counts.peak = counts.peak.max(took);
        counts.inputs += 1;
        counts.bytes += u64::try_from(input.len()).unwrap();
        round = round.wrapping_add(1);
    }
    println!("{counts:#?}");
    counts.assert_seen(kinds);
}

pub(crate) fn run<T: Pushed>(mib: usize) {
    let streams = streams(T::SERVER, T::CHANNEL, T::DIRECTION);
    assert!(streams.len() >= 8, "{} streams", streams.len());
    let kinds = ["event", "other", "decode error"];
    try_all(mib, &streams, &kinds, |input, rng, counts| {
        let max = [1024, 4096, 64 * 1024, T::MAX_FRAME][rng.index(4)];
        let piece = [1, 7, 500, 4096, 65_536][rng.index(5)];
        let piece = if input.len() > 100_000 {
            piece.max(500)
        } else {
            piece
        };
        let mut codec = T::codec(max);
        let mut buffer = BytesMut::new();
        for chunk in input.chunks(piece) {
            buffer.extend_from_slice(chunk);
            loop {
                match codec.decode(&mut buffer) {
                    Ok(None) => break,
                    Ok(Some(frame)) => {
                        assert!(frame.len() <= max, "{} bytes of {max}", frame.len());
                        counts.see(T::read(&frame));
                    }
                    Err(_) => {
                        counts.see("decode error");
                        // A codec that failed stays so.
                        assert!(codec.decode(&mut buffer).is_err());
                        return;
                    }
                }
            }
            assert!(
                buffer.len() <= max + 1,
                "{} bytes are kept of {max}",
                buffer.len()
            );
        }
    });
}

/// The longest payload of UDP, and more than a server's events have.
const MAX_DATAGRAM: usize = 65_507;

/// Datagrams have no framing: each is an event, or none.
pub(crate) fn run_datagrams(mib: usize) {
    let mut datagrams = Vec::new();
    for name in fixtures::all_names().unwrap() {
        if name.starts_with("opensips/") {
            let recording = Recording::load_channels(&name).unwrap();
            let recording = recording.channel("event_datagram");
            datagrams.extend(recording.chunks().iter().map(|chunk| chunk.bytes.clone()));
        }
    }
    assert!(datagrams.len() > 100, "{} datagrams", datagrams.len());
    try_all(mib, &datagrams, &["event", "other"], |input, _, counts| {
        // No datagram is longer.
        let input = input.get(..MAX_DATAGRAM).unwrap_or(input);
        counts.see(match Notification::parse(input) {
            Some(event) => {
                drop((event.get("callid").cloned(), event.text("sip_code")));
                drop(format!("{event:?}"));
                "event"
            }
            None => "other",
        });
    });
}
