//! Seeded mutation of every recording through codec and session: no panic, bounded memory.
#![cfg(test)]

mod mutation_esl;

use std::{
    env,
    sync::Mutex,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    ami::{
        Action, AmiCodec, AmiConfig, AmiSession, Answer, Kind, Login, MAX_MESSAGE, Role,
        server::{MessageBuilder, banner},
    },
    session::{Codec, Output, Session, Token},
};
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

/// What one input may take on top of what was in use before it.
const MOST_HEAP: usize = 8 * 1024 * 1024;

/// Seconds of a run that is told nothing; CI sets `FAXBOT_MUTATION_SECONDS=60`.
const SECONDS: u64 = 2;

/// Requests that wait when the mutated stream begins.
const OPEN: u64 = 8;

#[derive(Debug, Default)]
struct Counts {
    inputs: u64,
    bytes: u64,
    banners: u64,
    responses: u64,
    events: u64,
    actions: u64,
    others: u64,
    errors: u64,
    replies: u64,
    outputs: u64,
    closes: u64,
    peak: usize,
}

#[test]
fn no_mutation_of_a_recording_panics_or_takes_more_than_8_mib() {
    let _alone = ALONE.lock();
    let seed = Seed::fresh();
    let seconds = seconds();
    let streams = streams();
    assert!(streams.len() > 100, "{} streams", streams.len());

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut counts = Counts::default();
    let mut round = seed.0;
    // The clock is looked at between inputs only: what an input does depends on its seed alone.
    while Instant::now() < end || counts.inputs < 200 {
        let mut rng = TestRng::new(Seed(round));
        let (role, stream) = &streams[rng.index(streams.len())];
        let donor = &streams[rng.index(streams.len())].1;
        let input = mutated(stream, donor, &mut rng);
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        feed(*role, &input, &mut rng, &mut counts);
        let took = HEAP.peak_usage().saturating_sub(before);
        assert!(
            took < MOST_HEAP,
            "{took} bytes of heap for an input of {} bytes: {SEED_VARIABLE}={round:#x}",
            input.len()
        );
        counts.peak = counts.peak.max(took);
        counts.inputs += 1;
        counts.bytes += u64::try_from(input.len()).unwrap();
        round = round.wrapping_add(1);
    }
    println!("{counts:#?}");
    for (kind, count) in [
        ("banner", counts.banners),
        ("response", counts.responses),
        ("event", counts.events),
        ("action", counts.actions),
        ("other", counts.others),
        ("decode error", counts.errors),
        ("reply", counts.replies),
        ("output", counts.outputs),
        ("close", counts.closes),
    ] {
        assert!(
            count > 0,
            "no {kind} was seen: the mutation tests nothing of it"
        );
    }
}

fn seconds() -> u64 {
    env::var("FAXBOT_MUTATION_SECONDS").map_or(SECONDS, |text| {
        text.parse()
            .expect("FAXBOT_MUTATION_SECONDS is no number of seconds")
    })
}

/// Both directions of every connection of every recording.
fn streams() -> Vec<(Role, Bytes)> {
    let mut streams = Vec::new();
    for name in fixtures::all_names().unwrap() {
        if name.starts_with("freeswitch/") {
            continue;
        }
        let recording = Recording::load(&name).unwrap();
        for conn in recording.connections() {
            for (dir, role) in [
                (Direction::ToClient, Role::Client),
                (Direction::ToServer, Role::Server),
            ] {
                let bytes = recording.bytes(conn, dir);
                if !bytes.is_empty() {
                    streams.push((role, bytes));
                }
            }
        }
    }
    streams
}

fn mutated(stream: &Bytes, donor: &Bytes, rng: &mut TestRng) -> Vec<u8> {
    // The bursts are megabytes: mostly a window of them, now and then the whole.
    let most = if rng.index(20) == 0 {
        usize::MAX
    } else {
        128 * 1024
    };
    let start = if stream.len() > most {
        rng.index(stream.len() - most)
    } else {
        0
    };
    let mut bytes = stream[start..stream.len().min(start.saturating_add(most))].to_vec();
    for _ in 0..rng.index(8) {
        mutate(&mut bytes, donor, rng);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, donor: &[u8], rng: &mut TestRng) {
    if bytes.is_empty() {
        bytes.extend_from_slice(donor);
        return;
    }
    let at = rng.index(bytes.len());
    match rng.index(11) {
        0 => bytes[at] ^= 1 << rng.index(8),
        1 => bytes[at] = *b"\0\r\n: ,;\xff\x80\t".get(rng.index(10)).unwrap_or(&b'\n'),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..(at + rng.index(64)).min(bytes.len()))),
        4 => {
            let part = part(donor, 4096, rng);
            drop(bytes.splice(at..at, part));
        }
        5 => {
            let part = part(&bytes[at..], 4096, rng);
            drop(bytes.splice(at..at, part));
        }
        // Line ends: lost ones, doubled ones, lone CRs and LFs.
        6 => {
            let every = rng.index(50) + 1;
            let mut seen = 0;
            bytes.retain(|byte| {
                seen += usize::from(*byte == b'\n' || *byte == b'\r');
                !(*byte == b'\n' || *byte == b'\r') || seen % every != 0
            });
        }
        7 => {
            let ends: [&[u8]; 5] = [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\r"];
            let end = ends[rng.index(ends.len())].to_vec();
            drop(bytes.splice(at..at, end));
        }
        // Counts and lengths, such as those of `ListItems`.
        8 => {
            for byte in bytes
                .iter_mut()
                .skip(at)
                .take(2048)
                .filter(|byte| byte.is_ascii_digit())
            {
                *byte = b'0' + u8::try_from(rng.index(10)).unwrap();
            }
        }
        // One line, or one message, of up to 3 MiB.
        9 => {
            let fill = if rng.index(2) == 0 {
                b"x".repeat(rng.index(64 * 1024))
            } else {
                b"X: y\r\n".repeat(rng.index(500_000) / (1 + rng.index(60)))
            };
            drop(bytes.splice(at..at, fill));
        }
        _ => {
            let to = rng.index(bytes.len());
            bytes.swap(at, to);
        }
    }
}

fn part(bytes: &[u8], most: usize, rng: &mut TestRng) -> Vec<u8> {
    let start = rng.index(bytes.len());
    let end = (start + rng.index(most)).min(bytes.len());
    bytes[start..end].to_vec()
}

fn feed(role: Role, input: &[u8], rng: &mut TestRng, counts: &mut Counts) {
    let max = [1024, 4096, 64 * 1024, MAX_MESSAGE][rng.index(4)];
    let mut codec = AmiCodec::new(role, max);
    // Streams of a server start with its banner; a session that is up has seen it.
    let mut line = (role == Role::Client).then(|| Line::new(rng.index(2) == 0));
    if line.as_ref().is_some_and(|line| line.up) {
        let greeted = decode_banner(&mut codec);
        assert!(greeted);
    }
    let piece = [1, 7, 500, 4096, 65_536][rng.index(5)];
    let piece = if input.len() > 100_000 {
        piece.max(500)
    } else {
        piece
    };
    let mut buffer = BytesMut::new();
    for chunk in input.chunks(piece) {
        buffer.extend_from_slice(chunk);
        loop {
            match codec.decode(&mut buffer) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    match frame.kind() {
                        Kind::Banner => counts.banners += 1,
                        Kind::Response => counts.responses += 1,
                        Kind::Event => counts.events += 1,
                        Kind::Action => counts.actions += 1,
                        _ => counts.others += 1,
                    }
                    // What an adapter reads of a message.
                    let values: usize = frame
                        .headers()
                        .map(|(name, value)| name.len() + value.len())
                        .sum();
                    assert!(values <= frame.raw().len());
                    drop((
                        frame.get("Uniqueid"),
                        frame.get_str("Cause"),
                        frame.action_id().map(<[u8]>::len),
                    ));
                    if let Some(line) = &mut line {
                        line.frame(frame, rng, counts);
                    }
                }
                Err(_) => {
                    counts.errors += 1;
                    // A codec that failed stays so.
                    assert!(codec.decode(&mut buffer).is_err());
                    if let Some(line) = line {
                        line.finish(counts);
                    }
                    return;
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

fn decode_banner(codec: &mut AmiCodec) -> bool {
    let mut wire = BytesMut::from(banner("11.0.0").raw().as_ref());
    codec.decode(&mut wire).unwrap().is_some()
}

/// A client session, at its login or with requests that wait.
struct Line {
    session: AmiSession,
    now: Instant,
    up: bool,
    closed: bool,
    ids: Vec<String>,
    ended: Vec<u64>,
}

impl Line {
    fn new(up: bool) -> Self {
        let login = Login::new("faxbot", "s3cret").unwrap().md5(false);
        let now = Instant::now();
        let mut line = Self {
            session: AmiSession::new(login, AmiConfig::new(), *b"0123456789abcdef"),
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
        line.session.handle_frame(banner("11.0.0"), now);
        let id = line.sent().pop().unwrap();
        let accepted = MessageBuilder::response("Success")
            .header("ActionID", id)
            .build()
            .unwrap();
        line.session.handle_frame(accepted, now);
        line.session
            .handle_frame(MessageBuilder::event("FullyBooted").build().unwrap(), now);
        assert!(line.session.is_ready());
        while line.session.poll_output().is_some() {}
        for token in 0..OPEN {
            let answer = [
                Answer::Inferred,
                Answer::Single,
                Answer::List,
                Answer::OneEvent,
            ];
            let action = Action::new("Status")
                .unwrap()
                .answer(answer[usize::try_from(token % 4).unwrap()]);
            line.session
                .handle_request(Token(token), action, now + Duration::from_secs(9), now)
                .unwrap();
        }
        line.ids = line.sent();
        line
    }

    /// The ids of the actions that were sent since the last look.
    fn sent(&mut self) -> Vec<String> {
        let mut server = AmiCodec::new(Role::Server, MAX_MESSAGE);
        let mut ids = Vec::new();
        while let Some(transmit) = self.session.poll_transmit() {
            let mut wire = BytesMut::from(transmit.bytes.as_ref());
            let action = server.decode(&mut wire).unwrap().expect("one whole action");
            assert!(wire.is_empty());
            ids.push(String::from_utf8(action.action_id().unwrap().to_vec()).unwrap());
        }
        ids
    }

    fn frame(
        &mut self,
        frame: faxbot_sip::protocol::ami::Message,
        rng: &mut TestRng,
        counts: &mut Counts,
    ) {
        self.now += Duration::from_micros(10);
        // A recorded id answers nobody: most of them become the id of a request that waits.
        let known = frame.action_id().is_some() && !self.ids.is_empty() && rng.index(4) > 0;
        let frame = if known {
            self.answering(&frame, rng)
        } else {
            frame
        };
        self.session.handle_frame(frame, self.now);
        self.drain(counts);
    }

    fn answering(
        &self,
        frame: &faxbot_sip::protocol::ami::Message,
        rng: &mut TestRng,
    ) -> faxbot_sip::protocol::ami::Message {
        let id = &self.ids[rng.index(self.ids.len())];
        let mut wire = BytesMut::from(banner("11.0.0").raw().as_ref());
        for (name, value) in frame.headers() {
            let value = if name.eq_ignore_ascii_case(b"ActionID") {
                id.as_bytes()
            } else {
                value
            };
            wire.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
        }
        wire.extend_from_slice(b"\r\n");
        let mut codec = AmiCodec::new(Role::Client, 64 * 1024 * 1024);
        codec.decode(&mut wire).unwrap();
        codec.decode(&mut wire).unwrap().expect("a whole message")
    }

    fn drain(&mut self, counts: &mut Counts) {
        while self.session.poll_transmit().is_some() {}
        while let Some(output) = self.session.poll_output() {
            assert!(!self.closed, "{output:?} after the end");
            counts.outputs += 1;
            match output {
                Output::Reply { token, .. } => {
                    counts.replies += 1;
                    assert!(!self.ended.contains(&token.0), "{token:?} ended twice");
                    self.ended.push(token.0);
                }
                Output::Close(_) => {
                    counts.closes += 1;
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
            assert!(
                open + self.ended.len() >= usize::try_from(OPEN).unwrap(),
                "a request was lost"
            );
        }
    }
}
