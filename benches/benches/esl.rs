//! Codec and events of the event socket: MB/s, frames/s and allocations a frame, beside a plain
//! visit of the lines, `serde_json`, and the crates `freeswitch-esl-tokio` and `freeswitch-esl`.
//!
//! Both crates keep their decoders private. They are measured over a loopback socket, and so are
//! the others beside them, on the events of the recording alone: `freeswitch-esl` takes any other
//! frame for an answer. It takes plain events for answers too, and has no figure for them.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

mod wire;

use std::{
    borrow::Cow,
    fmt,
    hint::black_box,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream as StdStream},
    thread,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use divan::{AllocProfiler, Bencher};
use faxbot_sip::protocol::{
    esl::{EslCodec, Frame, Kind, MAX_FRAME, Role, server},
    session::Codec,
};
use freeswitch_esl_tokio::{EslClient, EslConnectOptions, EventOverflow};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use tokio::net::TcpStream;
use wire::{
    CHUNKS, Case, PASSES, READ, Reader, Result, SOCKET_PASSES, Stream, compare, server_bytes, timed,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const PLAIN: &str = "freeswitch_burst_200_calls";
const JSON: &str = "freeswitch_06_burst_200_calls_json";
const NAMES: [&str; 2] = [PLAIN, JSON];

/// What an adapter reads of an event of a call.
const WANTED: [&str; 12] = [
    "Event-Name",
    "Unique-ID",
    "Channel-Name",
    "Hangup-Cause",
    "Answer-State",
    "Call-Direction",
    "Channel-State",
    "variable_sip_term_status",
    "Job-UUID",
    "Event-Subclass",
    "Event-Date-Timestamp",
    "variable_fax_success",
];

fn codec() -> EslCodec {
    EslCodec::new(Role::Client, MAX_FRAME)
}

fn next(codec: &mut EslCodec, input: &mut BytesMut) -> Option<Frame> {
    Codec::decode(codec, input).ok().flatten()
}

/// All whole frames of the recording, or those that are events.
fn stream(name: &str, events_only: bool) -> Result<Stream> {
    let (mut codec, mut input) = (codec(), BytesMut::from(&*server_bytes(name)?));
    let (mut bytes, mut frames) = (BytesMut::new(), 0);
    while let Some(frame) = next(&mut codec, &mut input) {
        if !events_only || matches!(frame.kind(), Kind::Event(_)) {
            bytes.extend_from_slice(frame.raw());
            frames += 1;
        }
    }
    Ok(Stream {
        bytes: bytes.freeze(),
        repeat: 0,
        frames,
    })
}

/// Our frames, owned.
struct Owned(EslCodec);

/// Our frames, and all names and values of their events as text.
struct Text(EslCodec);

/// The same, each value by itself.
struct Headers(EslCodec);

/// Our frames, and twelve values by their names.
struct Twelve(EslCodec);

/// Our frames, and their JSON by `serde_json` as pairs that borrow where they can: the floor.
struct SerdePairs(EslCodec);

macro_rules! reader {
    ($name:ident, |$item:ident| $visit:expr) => {
        impl Reader for $name {
            type Item = Frame;

            fn new() -> Self {
                Self(codec())
            }

            #[inline]
            fn next(&mut self, input: &mut BytesMut) -> Option<Frame> {
                next(&mut self.0, input)
            }

            #[inline]
            fn visit($item: &Frame) {
                $visit
            }
        }
    };
}

reader!(Owned, |item| {
    black_box(item);
});

reader!(Text, |item| {
    if let Ok(Some(event)) = item.event() {
        event.each_text(|name, value| {
            black_box((name, value));
        });
    }
});

reader!(Headers, |item| {
    if let Ok(Some(event)) = item.event() {
        for (name, value) in event.headers() {
            black_box((&*name, &*value.text()));
        }
    }
});

reader!(Twelve, |item| {
    if let Ok(Some(event)) = item.event() {
        for name in WANTED {
            black_box(event.text(name));
        }
    }
});

reader!(SerdePairs, |item| {
    if let Ok(Pairs(pairs)) = serde_json::from_slice(item.body()) {
        black_box(pairs);
    }
});

struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// `Cow` alone would never borrow.
#[derive(serde::Deserialize)]
struct Borrowing<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(128);
                while let Some((name, value)) = map.next_entry::<Borrowing<'_>, Borrowing<'_>>()? {
                    pairs.push((name.0, value.0));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// An adopted connection needs no login.
async fn esl_tokio(address: SocketAddr) -> Result<usize> {
    let socket = TcpStream::connect(address).await?;
    let options = EslConnectOptions::new()
        .with_event_overflow(EventOverflow::BlockFor(Duration::from_secs(10)));
    let (_client, mut events) = EslClient::adopt_stream_with_options(socket, &[], options)?;
    let mut count = 0;
    while let Some(event) = events.recv().await {
        if let Ok(event) = event {
            black_box(event);
            count += 1;
        }
    }
    Ok(count)
}

/// Its login, then the stream, then an answer to the command that waits for the end of it.
fn freeswitch_esl(stream: &Stream, chunk: usize) -> Result<(f64, usize)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let bytes = stream.bytes.clone();
    let serving = thread::spawn(move || serve_login(&listener, &bytes, chunk).is_ok());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let seconds = runtime.block_on(async {
        let connection = freeswitch_esl::Esl::inbound(address, "ClueCon").await?;
        let start = std::time::Instant::now();
        connection.send_recv(b"noevents").await?;
        Ok::<_, freeswitch_esl::EslError>(start.elapsed().as_secs_f64())
    });
    drop(runtime);
    if !serving.join().unwrap_or(false) {
        return Err("the server thread failed".into());
    }
    // It shows no event that is not the result of a job: all were decoded.
    Ok((seconds?, stream.frames))
}

fn serve_login(listener: &TcpListener, bytes: &Bytes, chunk: usize) -> std::io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    socket.write_all(&server::auth_request())?;
    for _ in 0..2 {
        command(&mut socket)?;
        socket.write_all(&server::reply("+OK accepted", &[]))?;
    }
    command(&mut socket)?;
    for piece in bytes.chunks(chunk) {
        socket.write_all(piece)?;
    }
    socket.write_all(&server::reply("+OK", &[]))?;
    // Without it the crate's task never ends.
    socket.write_all(&server::goodbye())
}

fn command(socket: &mut StdStream) -> std::io::Result<()> {
    let (mut seen, mut byte) = ([0; 2], [0]);
    while seen != *b"\n\n" {
        socket.read_exact(&mut byte)?;
        seen = [seen[1], byte[0]];
    }
    Ok(())
}

fn in_memory(name: &str, chunk: usize) -> Result<()> {
    let stream = stream(name, false)?;
    let title = format!("{name}, {} KiB at once", chunk / 1024);
    let frames = stream.frames;
    let mut cases = vec![
        Case::visit(&stream),
        Case::memory::<Owned>("ours, owned frame", &stream, chunk, frames),
        Case::memory::<Text>("ours, all values as text", &stream, chunk, frames),
        Case::memory::<Headers>("ours, all values one by one", &stream, chunk, frames),
        Case::memory::<Twelve>("ours, 12 values by name", &stream, chunk, frames),
    ];
    if name == JSON {
        let serde =
            Case::memory::<SerdePairs>("serde_json, borrowed pairs", &stream, chunk, frames);
        cases.push(serde);
    }
    compare(&title, &stream, PASSES, cases)
}

fn on_loopback(name: &str, chunk: usize) -> Result<()> {
    let stream = stream(name, true)?;
    let title = format!("{name}, loopback socket, {} KiB a write", chunk / 1024);
    let frames = stream.frames;
    let mut cases = vec![
        Case::visit_socket(&stream, chunk),
        Case::read_socket::<Owned>("ours, owned frame", &stream, chunk, frames),
        Case::read_socket::<Text>("ours, all values as text", &stream, chunk, frames),
        Case::socket("freeswitch-esl-tokio", &stream, chunk, frames, esl_tokio),
    ];
    if name == JSON {
        cases.push(Case::new("freeswitch-esl", frames, || {
            freeswitch_esl(&stream, chunk)
        }));
    }
    compare(&title, &stream, SOCKET_PASSES, cases)
}

fn summary() -> Result<()> {
    println!("Event socket, best of {PASSES} passes in memory and of {SOCKET_PASSES} on a socket");
    for name in NAMES {
        for chunk in CHUNKS {
            in_memory(name, chunk)?;
        }
        on_loopback(name, CHUNKS[0])?;
    }
    Ok(())
}

fn main() -> Result<()> {
    wire::run(summary)
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 2048)]
fn owned_frame<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Owned>(bencher, stream(name, false), CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 2048)]
fn all_values_as_text<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Text>(bencher, stream(name, false), CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 2048)]
fn all_values_one_by_one<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Headers>(bencher, stream(name, false), CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 2048)]
fn twelve_values_by_name<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Twelve>(bencher, stream(name, false), CHUNK);
}

#[divan::bench(args = [JSON], sample_count = 20, sample_size = 2048)]
fn serde_json_pairs(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<SerdePairs>(bencher, stream(name, false), READ);
}

#[divan::bench(args = NAMES, sample_count = 5, sample_size = 1)]
fn freeswitch_esl_tokio_recording(bencher: Bencher<'_, '_>, name: &str) {
    wire::recording(bencher, stream(name, true), esl_tokio);
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn freeswitch_esl_recording(bencher: Bencher<'_, '_>) {
    let Ok(stream) = stream(JSON, true) else {
        return;
    };
    bencher.bench_local(|| timed(|| freeswitch_esl(&stream, READ).is_ok()));
}
