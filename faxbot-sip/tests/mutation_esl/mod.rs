//! The same for the event socket of FreeSWITCH: codec, events in their formats, session.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use faxbot_sip::protocol::{
    esl::{
        Command, EslCodec, EslConfig, EslSession, Format, Frame, Kind, Login, MAX_FRAME, Role,
        server,
    },
    session::{Codec, Output, Session, Token},
};
use faxbot_testkit::{
    fixtures,
    random::{SEED_VARIABLE, Seed, TestRng},
    replay::{Direction, Recording},
};

use super::{ALONE, HEAP, OPEN, mutated, seconds};

/// What one input may take on top of what was in use before it: inputs have up to 3 MiB, and a
/// JSON event is held once more as its headers.
const MOST_HEAP: usize = 24 * 1024 * 1024;

#[derive(Debug, Default)]
struct Counts {
    inputs: u64,
    bytes: u64,
    greetings: u64,
    answers: u64,
    plain: u64,
    json: u64,
    xml: u64,
    broken_events: u64,
    logs: u64,
    ends: u64,
    commands: u64,
    errors: u64,
    replies: u64,
    outputs: u64,
    closes: u64,
    peak: usize,
}

#[test]
fn no_mutation_of_an_event_socket_panics_or_takes_more_than_24_mib() {
    let _alone = ALONE.lock();
    let seed = Seed::fresh();
    let streams = streams();
    assert!(streams.len() > 100, "{} streams", streams.len());
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut counts = Counts::default();
    let mut round = seed.0;
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
        ("greeting", counts.greetings),
        ("answer", counts.answers),
        ("plain event", counts.plain),
        ("json event", counts.json),
        ("xml event", counts.xml),
        ("broken event", counts.broken_events),
        ("log line", counts.logs),
        ("end", counts.ends),
        ("command", counts.commands),
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

/// Both directions of every connection of every recording.
fn streams() -> Vec<(Role, Bytes)> {
    let mut streams = Vec::new();
    for name in fixtures::names().unwrap() {
        if !name.starts_with("freeswitch/") {
            continue;
        }
        let outbound = name.contains("/07_outbound_");
        let recording = Recording::load(&name).unwrap();
        for conn in recording.connections() {
            for dir in [Direction::ToClient, Direction::ToServer] {
                let client = (dir == Direction::ToClient) != outbound;
                let role = if client { Role::Client } else { Role::Server };
                let bytes = recording.bytes(conn, dir);
                if !bytes.is_empty() {
                    streams.push((role, bytes));
                }
            }
        }
    }
    streams
}

fn feed(role: Role, input: &[u8], rng: &mut TestRng, counts: &mut Counts) {
    let max = [1024, 4096, 64 * 1024, MAX_FRAME][rng.index(4)];
    let mut codec = EslCodec::new(role, max);
    let mut line = (role == Role::Client).then(|| Line::new(rng.index(2) == 0));
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
                    read(&frame, counts);
                    if let Some(line) = &mut line {
                        line.frame(frame, rng, counts);
                    }
                }
                Err(_) => {
                    counts.errors += 1;
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

/// What an adapter reads of a frame.
fn read(frame: &Frame, counts: &mut Counts) {
    match frame.kind() {
        Kind::AuthRequest => counts.greetings += 1,
        Kind::Reply | Kind::ApiResponse => counts.answers += 1,
        Kind::Event(Format::Plain) => counts.plain += 1,
        Kind::Event(Format::Json) => counts.json += 1,
        Kind::Event(Format::Xml) => counts.xml += 1,
        Kind::Log => counts.logs += 1,
        Kind::Disconnect | Kind::Rejection => counts.ends += 1,
        Kind::Command => counts.commands += 1,
        _ => {}
    }
    let lengths = frame
        .headers()
        .map(|(name, value)| name.len() + value.len());
    assert!(lengths.sum::<usize>() <= frame.raw().len());
    drop((
        frame.text(),
        frame.is_linger(),
        frame.command().map(<[u8]>::len),
    ));
    match frame.event() {
        Ok(Some(event)) => {
            let texts = event.headers().map(|(_, value)| value.text().len());
            // A byte that is no UTF-8 becomes three.
            assert!(texts.sum::<usize>() <= 3 * frame.raw().len());
            assert!(
                event
                    .body()
                    .is_none_or(|body| body.len() <= 3 * frame.raw().len())
            );
            drop((event.name(), event.subclass(), event.list("Arr")));
        }
        Ok(None) => {}
        Err(_) => counts.broken_events += 1,
    }
}

/// A client session, at its login or with requests that wait.
struct Line {
    session: EslSession,
    now: Instant,
    up: bool,
    closed: bool,
    jobs: Vec<String>,
    ended: Vec<u64>,
}

impl Line {
    fn new(up: bool) -> Self {
        let login = Login::password("ClueCon").unwrap();
        let now = Instant::now();
        let mut line = Self {
            session: EslSession::new(login, EslConfig::new(), *b"0123456789abcdef"),
            now,
            up,
            closed: false,
            jobs: Vec::new(),
            ended: Vec::new(),
        };
        line.session.handle_connected(now);
        if !up {
            return line;
        }
        for bytes in [
            server::auth_request(),
            server::reply("+OK accepted", &[]),
            server::reply("+OK event listener enabled json", &[]),
        ] {
            line.session.handle_frame(one(&bytes), now);
        }
        assert!(line.session.is_ready());
        while line.session.poll_output().is_some() {}
        for token in 0..OPEN {
            let build = if token % 2 == 0 {
                Command::api
            } else {
                Command::bgapi
            };
            let command = build("status", "").unwrap();
            let deadline = now + Duration::from_secs(9);
            line.session
                .handle_request(Token(token), command, deadline, now)
                .unwrap();
        }
        let mut server = EslCodec::new(Role::Server, MAX_FRAME);
        while let Some(transmit) = line.session.poll_transmit() {
            let mut wire = BytesMut::from(transmit.bytes.as_ref());
            let command = server.decode(&mut wire).unwrap().expect("a whole command");
            assert!(wire.is_empty());
            let job = command.get_str("Job-UUID");
            line.jobs.extend(job.map(std::borrow::Cow::into_owned));
        }
        line
    }

    fn frame(&mut self, frame: Frame, rng: &mut TestRng, counts: &mut Counts) {
        self.now += Duration::from_micros(10);
        let event = matches!(frame.kind(), Kind::Event(_));
        // A recorded job is nobody's: some events become the result of one that waits.
        if event && !self.jobs.is_empty() && rng.index(4) == 0 {
            let job = &self.jobs[rng.index(self.jobs.len())];
            let headers = [("Event-Name", "BACKGROUND_JOB"), ("Job-UUID", &**job)];
            let format = [Format::Plain, Format::Json, Format::Xml][rng.index(3)];
            let bytes = server::event(format, &headers, Some(b"+OK"));
            self.session.handle_frame(one(&bytes), self.now);
            self.drain(counts);
        }
        self.session.handle_frame(frame, self.now);
        self.drain(counts);
    }

    fn drain(&mut self, counts: &mut Counts) {
        while self.session.poll_transmit().is_some() {}
        while let Some(output) = self.session.poll_output() {
            assert!(!self.closed, "{output:?} after the end");
            counts.outputs += 1;
            match output {
                Output::Reply { token, result } => {
                    counts.replies += 1;
                    drop(result.map(|reply| (reply.is_ok(), reply.error())));
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
            let all = usize::try_from(OPEN).unwrap();
            assert_eq!(open + self.ended.len(), all, "a request was lost");
        }
    }
}

fn one(bytes: &Bytes) -> Frame {
    let mut codec = EslCodec::new(Role::Client, MAX_FRAME);
    let mut wire = BytesMut::from(bytes.as_ref());
    codec.decode(&mut wire).unwrap().expect("a whole frame")
}
