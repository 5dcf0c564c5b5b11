//! AMI codec: MB/s, messages/s and allocations a message, beside a plain visit of the lines and
//! beside the crates `asterisk-rs-ami` and `asterisk-ami`.
//!
//! A summary compares the readers, pass by pass in turn, so that a ratio is of one run and the
//! best of many passes. `asterisk-ami` keeps its decoder private and its reader takes nothing but a
//! TCP address: it is measured over a loopback socket, and so are the others beside it. The details
//! of divan follow; one iteration is one message there, so that it shows allocations a message.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

use std::{
    error::Error,
    fmt,
    hint::black_box,
    io::Write,
    net::{SocketAddr, TcpListener},
    slice::Chunks,
    thread::{self, JoinHandle},
    time::Instant,
};

use asterisk_ami::AmiConnection;
use bytes::{Bytes, BytesMut};
use divan::{
    AllocProfiler, Bencher,
    counter::{BytesCount, ItemsCount},
};
use faxbot_sip::protocol::{
    ami::{AmiCodec, MAX_MESSAGE, Message, Role},
    session::Codec,
};
use faxbot_testkit::replay::Recording;
use tokio::{io::AsyncReadExt, net::TcpStream, sync::broadcast::error::RecvError};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const NAMES: [&str; 2] = ["burst_200_calls", "07_burst_200_calls_full"];
/// Bytes that arrive at once.
const CHUNKS: [usize; 2] = [64 * 1024, 1024];
const PASSES: usize = 100;
const SOCKET_PASSES: usize = 60;
/// Room of the buffer in memory, for all readers and chunks.
const BUFFER: usize = 64 * 1024;
/// Bytes that a socket is read by: what `asterisk-ami` uses.
const READ: usize = 8 * 1024;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the server wrote in a recording, cut after its last whole message.
#[derive(Debug)]
struct Stream {
    bytes: Bytes,
    banner: usize,
    messages: usize,
}

fn load(name: &str) -> Result<Stream> {
    let recording = Recording::load(&format!("bursts/{name}"))?;
    let conn = recording.connections().first().copied().ok_or("empty")?;
    let mut bytes = recording.server_bytes(conn);
    let end = memchr::memmem::rfind(&bytes, b"\r\n\r\n").ok_or("no message")?;
    bytes.truncate(end + 4);
    let banner = memchr::memchr(b'\n', &bytes).ok_or("no banner")? + 1;
    let messages = memchr::memmem::find_iter(&bytes, b"\r\n\r\n").count();
    Ok(Stream {
        bytes,
        banner,
        messages,
    })
}

/// One way to read the stream. The messages are given to `visit` and dropped.
trait Reader {
    type Item;
    fn new() -> Self;
    fn next(&mut self, input: &mut BytesMut) -> Option<Self::Item>;
    fn visit(item: &Self::Item);
}

/// Our messages, owned.
struct Owned(AmiCodec);

/// Our messages, and each name and value of them as text.
struct Text(AmiCodec);

/// Messages of `asterisk-rs-ami`: names and values are strings from the start.
struct AsteriskRs(asterisk_rs_ami::AmiCodec);

impl Reader for Owned {
    type Item = Message;

    fn new() -> Self {
        Self(AmiCodec::new(Role::Client, MAX_MESSAGE))
    }

    #[inline]
    fn next(&mut self, input: &mut BytesMut) -> Option<Message> {
        Codec::decode(&mut self.0, input).ok().flatten()
    }

    #[inline]
    fn visit(item: &Message) {
        black_box(item);
    }
}

impl Reader for Text {
    type Item = Message;

    fn new() -> Self {
        Self(AmiCodec::new(Role::Client, MAX_MESSAGE))
    }

    #[inline]
    fn next(&mut self, input: &mut BytesMut) -> Option<Message> {
        Codec::decode(&mut self.0, input).ok().flatten()
    }

    #[inline]
    fn visit(item: &Message) {
        for (name, value) in item.texts() {
            black_box((&*name, &*value));
        }
    }
}

impl Reader for AsteriskRs {
    type Item = asterisk_rs_ami::RawAmiMessage;

    fn new() -> Self {
        Self(asterisk_rs_ami::AmiCodec::new())
    }

    #[inline]
    fn next(&mut self, input: &mut BytesMut) -> Option<Self::Item> {
        tokio_util::codec::Decoder::decode(&mut self.0, input)
            .ok()
            .flatten()
    }

    #[inline]
    fn visit(item: &Self::Item) {
        black_box(item);
    }
}

/// The number of lines.
fn visit_lines(bytes: &[u8]) -> usize {
    let (mut start, mut lines) = (0, 0);
    for end in memchr::memchr_iter(b'\n', bytes) {
        black_box(bytes.get(start..end));
        start = end + 1;
        lines += 1;
    }
    lines
}

/// The number of messages.
fn read<R: Reader>(bytes: &[u8], chunk: usize) -> usize {
    let mut reader = R::new();
    let mut buffer = BytesMut::with_capacity(BUFFER);
    let mut count = 0;
    for piece in bytes.chunks(chunk) {
        buffer.extend_from_slice(piece);
        while let Some(item) = reader.next(&mut buffer) {
            R::visit(&item);
            count += 1;
        }
    }
    count
}

/// Seconds that the work took.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = black_box(work());
    (start.elapsed().as_secs_f64(), result)
}

/// One reader's best time.
struct Row {
    reader: &'static str,
    seconds: f64,
}

impl Row {
    fn new(reader: &'static str) -> Self {
        Self {
            reader,
            seconds: f64::INFINITY,
        }
    }

    fn take(&mut self, seconds: f64) {
        self.seconds = self.seconds.min(seconds);
    }

    fn print(&self, stream: &Stream, visit: &Self) {
        println!(
            "{:<36}{:>10.0}{:>14.0}{:>10.3}",
            self.reader,
            stream.bytes.len() as f64 / 1e6 / self.seconds,
            stream.messages as f64 / self.seconds,
            visit.seconds / self.seconds
        );
    }
}

fn print_head(name: &str, what: impl fmt::Display, stream: &Stream) {
    println!(
        "\n{name}, {what}: {} bytes, {} messages",
        stream.bytes.len(),
        stream.messages
    );
    println!(
        "{:<36}{:>10}{:>14}{:>10}",
        "", "MB/s", "messages/s", "of visit"
    );
}

fn in_memory(name: &str, stream: &Stream, chunk: usize) -> Result<()> {
    let (bytes, messages) = (&stream.bytes, stream.messages);
    let mut visit = Row::new("line visit");
    let mut owned = Row::new("ours, owned message");
    let mut text = Row::new("ours, all values as text");
    let mut other = Row::new("asterisk-rs-ami (all values as text)");
    for _ in 0..PASSES {
        visit.take(timed(|| visit_lines(bytes)).0);
        // The banner is a message for us, and none for the other crate.
        let wanted = [messages + 1, messages + 1, messages];
        let (a, b, c) = (
            timed(|| read::<Owned>(bytes, chunk)),
            timed(|| read::<Text>(bytes, chunk)),
            timed(|| read::<AsteriskRs>(bytes, chunk)),
        );
        let found = [a.1, b.1, c.1];
        if found != wanted {
            return Err(format!("messages: {found:?}, not {wanted:?}").into());
        }
        owned.take(a.0);
        text.take(b.0);
        other.take(c.0);
    }
    print_head(name, format_args!("{} KiB at once", chunk / 1024), stream);
    for row in [&visit, &owned, &text, &other] {
        row.print(stream, &visit);
    }
    Ok(())
}

/// Writes the stream to the first that connects, then closes.
fn serve(bytes: &Bytes, chunk: usize) -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let bytes = bytes.clone();
    let server = thread::spawn(move || {
        if let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.set_nodelay(true);
            for piece in bytes.chunks(chunk) {
                if socket.write_all(piece).is_err() {
                    return;
                }
            }
        }
    });
    Ok((address, server))
}

/// Seconds from the connect to the end of the stream.
fn over_socket<T, F: Future<Output = Result<T>>>(
    stream: &Stream,
    chunk: usize,
    client: impl FnOnce(SocketAddr) -> F,
) -> Result<(f64, T)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (address, server) = serve(&stream.bytes, chunk)?;
    let (seconds, result) = timed(|| runtime.block_on(client(address)));
    server.join().map_err(|_| "the server thread failed")?;
    Ok((seconds, result?))
}

async fn visit_socket(address: SocketAddr) -> Result<usize> {
    let mut socket = TcpStream::connect(address).await?;
    let mut buffer = BytesMut::with_capacity(READ);
    let mut lines = 0;
    while socket.read_buf(&mut buffer).await? > 0 {
        lines += visit_lines(&buffer);
        buffer.clear();
    }
    Ok(lines)
}

async fn read_socket<R: Reader>(address: SocketAddr) -> Result<usize> {
    let mut socket = TcpStream::connect(address).await?;
    let mut reader = R::new();
    let mut buffer = BytesMut::with_capacity(READ);
    let mut count = 0;
    loop {
        buffer.reserve(READ);
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(count);
        }
        while let Some(item) = reader.next(&mut buffer) {
            R::visit(&item);
            count += 1;
        }
    }
}

/// Counts events only: responses go to the action that waits, and there is none. An event that
/// came too fast for its queue was decoded all the same.
async fn asterisk_ami_socket(address: SocketAddr) -> Result<usize> {
    let connection = AmiConnection::connect(address).await?;
    let mut events = connection.events();
    let mut count = 0;
    loop {
        match events.recv().await {
            Ok(Some(event)) => {
                black_box(event);
                count += 1;
            }
            Ok(None) | Err(RecvError::Closed) => return Ok(count),
            Err(RecvError::Lagged(missed)) => count += usize::try_from(missed)?,
        }
    }
}

fn on_loopback(name: &str, stream: &Stream, chunk: usize) -> Result<()> {
    let mut visit = Row::new("line visit");
    let mut owned = Row::new("ours, owned message");
    let mut text = Row::new("ours, all values as text");
    let mut other = Row::new("asterisk-ami (all values as text)");
    for _ in 0..SOCKET_PASSES {
        visit.take(over_socket(stream, chunk, visit_socket)?.0);
        owned.take(over_socket(stream, chunk, read_socket::<Owned>)?.0);
        text.take(over_socket(stream, chunk, read_socket::<Text>)?.0);
        let (seconds, events) = over_socket(stream, chunk, asterisk_ami_socket)?;
        if events < stream.messages / 2 {
            return Err(format!("asterisk-ami saw {events} events").into());
        }
        other.take(seconds);
    }
    let what = format_args!("loopback socket, {} KiB a write", chunk / 1024).to_string();
    print_head(name, what, stream);
    for row in [&visit, &owned, &text, &other] {
        row.print(stream, &visit);
    }
    Ok(())
}

fn summary() -> Result<()> {
    println!("AMI, best of {PASSES} passes in memory and of {SOCKET_PASSES} on a socket");
    for name in NAMES {
        let stream = load(name)?;
        for chunk in CHUNKS {
            in_memory(name, &stream, chunk)?;
        }
        for chunk in CHUNKS {
            on_loopback(name, &stream, chunk)?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    // `cargo test --benches` only wants to know that it runs.
    if std::env::args().any(|argument| argument == "--bench") {
        summary()?;
    }
    divan::main();
    Ok(())
}

/// The stream without end: after its last message it goes on behind the banner.
struct Feed<'a, R> {
    reader: R,
    repeat: &'a [u8],
    chunk: usize,
    pieces: Chunks<'a, u8>,
    buffer: BytesMut,
}

impl<'a, R: Reader> Feed<'a, R> {
    fn new(stream: &'a Stream, chunk: usize) -> Self {
        Self {
            reader: R::new(),
            repeat: stream.bytes.get(stream.banner..).unwrap_or_default(),
            chunk,
            pieces: stream.bytes.chunks(chunk),
            buffer: BytesMut::with_capacity(BUFFER),
        }
    }

    fn next(&mut self) -> Option<R::Item> {
        loop {
            if let Some(item) = self.reader.next(&mut self.buffer) {
                return Some(item);
            }
            let piece = self.pieces.next().or_else(|| {
                self.pieces = self.repeat.chunks(self.chunk);
                self.pieces.next()
            })?;
            self.buffer.extend_from_slice(piece);
        }
    }
}

/// An iteration is a message, and a sample is a whole recording or more.
fn messages<R: Reader>(bencher: Bencher<'_, '_>, name: &str, chunk: usize) {
    let Ok(stream) = load(name) else { return };
    let mut feed = Feed::<R>::new(&stream, chunk);
    bencher
        .counter(ItemsCount::new(1_usize))
        .counter(BytesCount::new(stream.bytes.len() / stream.messages))
        .bench_local(|| {
            if let Some(item) = feed.next() {
                R::visit(&item);
            }
        });
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 8192)]
fn owned_message<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    messages::<Owned>(bencher, name, CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 8192)]
fn all_values_as_text<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    messages::<Text>(bencher, name, CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 8192)]
fn asterisk_rs_ami_message<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    messages::<AsteriskRs>(bencher, name, CHUNK);
}

/// A whole recording: the crate has no smaller step.
#[divan::bench(args = NAMES, sample_count = 5, sample_size = 1)]
fn asterisk_ami_recording(bencher: Bencher<'_, '_>, name: &str) {
    let Ok(stream) = load(name) else { return };
    bencher
        .counter(ItemsCount::new(stream.messages))
        .counter(BytesCount::new(stream.bytes.len()))
        .bench_local(|| over_socket(&stream, READ, asterisk_ami_socket).is_ok());
}
