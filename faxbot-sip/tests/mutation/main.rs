//! Seeded mutation of every recording through codec and session: no panic, bounded memory.
//!
//! One harness; a protocol is a [`Target`] in a file of its own and a test below.
#![cfg(test)]

mod ami;
mod change;
mod esl;
mod pushed;
#[path = "../wire_support/mod.rs"]
mod wire_support;
mod yate;

use std::{
    collections::BTreeMap,
    env,
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use change::mutated;
use faxbot_sip::protocol::session::{Codec, Output, Session, Token};
use faxbot_testkit::{
    fixtures,
    random::{SEED_VARIABLE, Seed, TestRng},
    replay::{Direction, Recording},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Held by each test: they share the count of the heap.
static ALONE: Mutex<()> = Mutex::new(());

/// Seconds of a run that is told nothing; CI sets `FAXBOT_MUTATION_SECONDS=60`.
const SECONDS: u64 = 2;

/// Requests that wait when the mutated stream begins.
const OPEN: u64 = 8;

#[test]
fn no_mutation_of_a_manager_connection_panics_or_takes_more_than_8_mib() {
    run::<ami::Ami>(8);
}

/// Inputs have up to 3 MiB, and a JSON event is held once more as its headers.
#[test]
fn no_mutation_of_an_event_socket_panics_or_takes_more_than_24_mib() {
    run::<esl::Esl>(24);
}

#[test]
fn no_mutation_of_an_external_module_port_panics_or_takes_more_than_8_mib() {
    run::<yate::Yate>(8);
}

#[test]
fn no_mutation_of_netstrings_panics_or_takes_more_than_4_mib() {
    pushed::run::<pushed::Evapi>(4);
}

#[test]
fn no_mutation_of_an_event_stream_panics_or_takes_more_than_4_mib() {
    pushed::run::<pushed::EventStream>(4);
}

#[test]
fn no_mutation_of_an_event_datagram_panics_or_takes_more_than_4_mib() {
    pushed::run_datagrams(4);
}

type Frame<T> = <<<T as Target>::Session as Session>::Codec as Codec>::Frame;

/// Which end of the connection reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// What the harness has to know of a protocol.
trait Target {
    type Session: Session;

    /// Largest frame that a codec allows.
    const MAX_FRAME: usize;

    /// What [`read`](Self::read) has to see in every run.
    const KINDS: &'static [&'static str];

    /// Whose recordings these are; `None` for another protocol's.
    fn reader(recording: &Recording, dir: Direction) -> Option<Side>;

    /// A codec at the start of a connection, or behind the login.
    fn codec(side: Side, max: usize, up: bool) -> <Self::Session as Session>::Codec;

    /// What an adapter reads of a frame, and what the frame is.
    fn read(frame: &Frame<Self>, seen: impl FnMut(&'static str));

    /// What an adapter reads of an answer.
    fn read_reply(_reply: &<Self::Session as Session>::Reply) {}

    fn session() -> Self::Session;

    /// The server takes the login of a session that is connected.
    fn log_in(session: &mut Self::Session, now: Instant);

    fn request(n: u64) -> <Self::Session as Session>::Request;

    /// The id that a request was sent with, if it has one.
    fn id(wire: &Frame<Self>) -> Option<String>;

    /// The same frame, or one that answers a request that waits, or both: a recorded id answers
    /// nobody.
    fn answering(frame: Frame<Self>, ids: &[String], rng: &mut TestRng) -> Vec<Frame<Self>>;
}

#[derive(Debug, Default)]
struct Counts {
    inputs: u64,
    bytes: u64,
    peak: usize,
    seen: BTreeMap<&'static str, u64>,
}

/// Inputs of a run at the least, and of one that waits for a kind that is rare in the recordings.
const LEAST: u64 = 200;
const MOST: u64 = 20_000;

impl Counts {
    /// Whether more inputs are needed to have seen each of these.
    fn lacks(&self, kinds: &[&str]) -> bool {
        let all = kinds.iter().all(|kind| self.seen.contains_key(kind));
        self.inputs < LEAST || (!all && self.inputs < MOST)
    }

    fn assert_seen(&self, kinds: &[&str]) {
        for kind in kinds {
            let seen = self.seen.contains_key(kind);
            assert!(seen, "no {kind} was seen: the mutation tests nothing of it");
        }
    }

    fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
}

fn run<T: Target>(mib: usize) {
    let _alone = ALONE.lock();
    let seed = Seed::fresh();
    let streams = streams::<T>();
    assert!(streams.len() > 50, "{} streams", streams.len());

    let end = Instant::now() + Duration::from_secs(seconds());
    let mut counts = Counts::default();
    let mut round = seed.0;
    // The clock is looked at between inputs only: what an input does depends on its seed alone.
    let kinds: Vec<&str> = T::KINDS
        .iter()
        .chain(&["decode error", "reply", "output", "close"])
        .copied()
        .collect();
    while Instant::now() < end || counts.lacks(&kinds) {
        let mut rng = TestRng::new(Seed(round));
        let (side, stream) = &streams[rng.index(streams.len())];
        let donor = &streams[rng.index(streams.len())].1;
        let input = mutated(stream, donor, &mut rng);
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        feed::<T>(*side, &input, &mut rng, &mut counts);
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
    counts.assert_seen(&kinds);
}

fn seconds() -> u64 {
    env::var("FAXBOT_MUTATION_SECONDS").map_or(SECONDS, |text| {
        text.parse()
            .expect("FAXBOT_MUTATION_SECONDS is no number of seconds")
    })
}

/// Both directions of every connection of every recording.
fn streams<T: Target>() -> Vec<(Side, Bytes)> {
    let mut streams = Vec::new();
    for name in fixtures::all_names().unwrap() {
        let recording = Recording::load(&name).unwrap();
        for conn in recording.connections() {
            for dir in [Direction::ToClient, Direction::ToServer] {
                let bytes = recording.bytes(conn, dir);
                if let Some(side) = T::reader(&recording, dir).filter(|_| !bytes.is_empty()) {
                    streams.push((side, bytes));
                }
            }
        }
    }
    streams
}

fn feed<T: Target>(side: Side, input: &[u8], rng: &mut TestRng, counts: &mut Counts) {
    let max = [1024, 4096, 64 * 1024, T::MAX_FRAME][rng.index(4)];
    let up = side == Side::Client && rng.index(2) == 0;
    let mut codec = T::codec(side, max, up);
    let mut line = (side == Side::Client).then(|| Line::<T>::new(up));
    let piece = [1, 7, 500, 4096, 65_536][rng.index(5)];
    let piece = if input.len() > 100_000 {
        piece.max(500)
    } else {
        piece
    };
    let mut buffer = BytesMut::new();
    'pieces: for chunk in input.chunks(piece) {
        buffer.extend_from_slice(chunk);
        loop {
            match codec.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    T::read(&frame, |kind| counts.see(kind));
                    if let Some(line) = &mut line {
                        line.frame(frame, rng, counts);
                    }
                }
                Err(_) => {
                    counts.see("decode error");
                    // A codec that failed stays so.
                    assert!(codec.decode(&mut buffer).is_err());
                    break 'pieces;
                }
            }
        }
        assert!(
            buffer.len() <= max,
            "{} bytes are kept of {max}",
            buffer.len()
        );
    }
    if let Some(line) = line {
        line.finish(counts);
    }
}

/// A client session, at its login or with requests that wait.
struct Line<T: Target> {
    session: T::Session,
    now: Instant,
    up: bool,
    closed: bool,
    ids: Vec<String>,
    ended: Vec<u64>,
}

impl<T: Target> Line<T> {
    fn new(up: bool) -> Self {
        let now = Instant::now();
        let mut line = Self {
            session: T::session(),
            now,
            up,
            closed: false,
            ids: Vec::new(),
            ended: Vec::new(),
        };
        line.session.handle_connected(now);
        if !up {
            return line;
        }
        T::log_in(&mut line.session, now);
        assert!(line.session.is_ready());
        while line.session.poll_output().is_some() {}
        sent::<T>(&mut line.session);
        for token in 0..OPEN {
            let deadline = now + Duration::from_secs(9);
            line.session
                .handle_request(Token(token), T::request(token), deadline, now)
                .unwrap();
        }
        line.ids = sent::<T>(&mut line.session)
            .iter()
            .filter_map(T::id)
            .collect();
        line
    }

    fn frame(&mut self, frame: Frame<T>, rng: &mut TestRng, counts: &mut Counts) {
        self.now += Duration::from_micros(10);
        let frames = if self.ids.is_empty() {
            vec![frame]
        } else {
            T::answering(frame, &self.ids, rng)
        };
        for frame in frames {
            self.session.handle_frame(frame, self.now);
            self.drain(counts);
        }
    }

    fn drain(&mut self, counts: &mut Counts) {
        while self.session.poll_transmit().is_some() {}
        while let Some(output) = self.session.poll_output() {
            assert!(!self.closed, "{output:?} after the end");
            counts.see("output");
            match output {
                Output::Reply { token, result } => {
                    counts.see("reply");
                    if let Ok(reply) = result {
                        T::read_reply(&reply);
                    }
                    assert!(!self.ended.contains(&token.0), "{token:?} ended twice");
                    self.ended.push(token.0);
                }
                Output::Close(_) => {
                    counts.see("close");
                    self.closed = true;
                }
                Output::Ready(_) | Output::Event(_) => {}
            }
        }
    }

    /// Time passes until nothing is open: whoever is still there gets an answer or the end.
    fn finish(mut self, counts: &mut Counts) {
        for _ in 0..1000 {
            let Some(due) = self.session.poll_timeout() else {
                break;
            };
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.drain(counts);
        }
        assert!(self.closed, "a silent server ends the session");
        if self.up {
            let open = self.session.pending();
            let all = usize::try_from(OPEN).unwrap();
            assert_eq!(open + self.ended.len(), all, "a request was lost");
        }
    }
}

/// What the session wrote since the last look.
fn sent<T: Target>(session: &mut T::Session) -> Vec<Frame<T>> {
    let mut wire = BytesMut::new();
    while let Some(transmit) = session.poll_transmit() {
        wire.extend_from_slice(&transmit.bytes);
    }
    let codec = T::codec(Side::Server, T::MAX_FRAME, false);
    let (frames, rest) = wire_support::decode(codec, [wire.freeze()]);
    assert!(rest.is_empty());
    frames
}
