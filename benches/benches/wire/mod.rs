//! What the benches of wire protocols share: readers that take turns over one recorded stream.
//!
//! A summary compares them, pass by pass in turn, so that a ratio is of one run and the best of
//! many passes. The details of divan follow; one iteration is one frame there, so that it shows
//! allocations a frame.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::{
    error::Error,
    hint::black_box,
    io::Write,
    net::{SocketAddr, TcpListener},
    slice::Chunks,
    thread::{self, JoinHandle},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use divan::{
    Bencher,
    counter::{BytesCount, ItemsCount},
};
use faxbot_testkit::replay::Recording;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// Bytes that arrive at once.
pub(crate) const CHUNKS: [usize; 2] = [64 * 1024, 1024];
pub(crate) const PASSES: usize = 100;
pub(crate) const SOCKET_PASSES: usize = 60;
/// Room of the buffer in memory, for all readers and chunks.
const BUFFER: usize = 64 * 1024;
/// Bytes that a socket is read by.
pub(crate) const READ: usize = 8 * 1024;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the server wrote in a recording, cut after its last whole frame.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) bytes: Bytes,
    /// Where it goes on when it is repeated without end.
    pub(crate) repeat: usize,
    pub(crate) frames: usize,
}

/// What the server wrote on the first connection of a burst.
pub(crate) fn server_bytes(name: &str) -> Result<Bytes> {
    let recording = Recording::load(&format!("bursts/{name}"))?;
    let conn = recording.connections().first().copied().ok_or("empty")?;
    Ok(recording.server_bytes(conn))
}

/// One way to read the stream. The frames are given to `visit` and dropped.
pub(crate) trait Reader {
    type Item;
    fn new() -> Self;
    fn next(&mut self, input: &mut BytesMut) -> Option<Self::Item>;
    fn visit(item: &Self::Item);
}

/// The number of lines.
pub(crate) fn visit_lines(bytes: &[u8]) -> usize {
    let (mut start, mut lines) = (0, 0);
    for end in memchr::memchr_iter(b'\n', bytes) {
        black_box(bytes.get(start..end));
        start = end + 1;
        lines += 1;
    }
    lines
}

/// The number of frames.
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
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = black_box(work());
    (start.elapsed().as_secs_f64(), result)
}

/// One pass: seconds, and how many frames were seen.
type Pass<'a> = Box<dyn FnMut() -> Result<(f64, usize)> + 'a>;

/// One reader and its best time.
pub(crate) struct Case<'a> {
    name: &'static str,
    /// Frames that it has to see at least.
    wanted: usize,
    pass: Pass<'a>,
    seconds: f64,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        name: &'static str,
        wanted: usize,
        pass: impl FnMut() -> Result<(f64, usize)> + 'a,
    ) -> Self {
        Self {
            name,
            wanted,
            pass: Box::new(pass),
            seconds: f64::INFINITY,
        }
    }

    /// The plain visit of the lines, which the others are measured by.
    pub(crate) fn visit(stream: &'a Stream) -> Self {
        Self::new("line visit", 0, || Ok(timed(|| visit_lines(&stream.bytes))))
    }

    pub(crate) fn memory<R: Reader>(
        name: &'static str,
        stream: &'a Stream,
        chunk: usize,
        wanted: usize,
    ) -> Self {
        Self::new(name, wanted, move || {
            Ok(timed(|| read::<R>(&stream.bytes, chunk)))
        })
    }

    pub(crate) fn visit_socket(stream: &'a Stream, chunk: usize) -> Self {
        Self::socket("line visit", stream, chunk, 0, visit_socket)
    }

    pub(crate) fn read_socket<R: Reader + 'a>(
        name: &'static str,
        stream: &'a Stream,
        chunk: usize,
        wanted: usize,
    ) -> Self {
        Self::socket(name, stream, chunk, wanted, read_socket::<R>)
    }

    pub(crate) fn socket<F: Future<Output = Result<usize>>>(
        name: &'static str,
        stream: &'a Stream,
        chunk: usize,
        wanted: usize,
        client: impl Fn(SocketAddr) -> F + 'a,
    ) -> Self {
        Self::new(name, wanted, move || over_socket(stream, chunk, &client))
    }
}

/// Lets the cases take turns and prints the best time of each, beside that of the first.
pub(crate) fn compare(
    title: &str,
    stream: &Stream,
    passes: usize,
    mut cases: Vec<Case<'_>>,
) -> Result<()> {
    for _ in 0..passes {
        for case in &mut cases {
            let (seconds, seen) = (case.pass)()?;
            if seen < case.wanted {
                return Err(format!("{}: {seen} frames, not {}", case.name, case.wanted).into());
            }
            case.seconds = case.seconds.min(seconds);
        }
    }
    println!(
        "\n{title}: {} bytes, {} frames",
        stream.bytes.len(),
        stream.frames
    );
    println!(
        "{:<40}{:>10}{:>14}{:>10}",
        "", "MB/s", "frames/s", "of visit"
    );
    let visit = cases.first().map_or(0.0, |case| case.seconds);
    for case in &cases {
        println!(
            "{:<40}{:>10.0}{:>14.0}{:>10.3}",
            case.name,
            stream.bytes.len() as f64 / 1e6 / case.seconds,
            stream.frames as f64 / case.seconds,
            visit / case.seconds
        );
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
pub(crate) fn over_socket<T, F: Future<Output = Result<T>>>(
    stream: &Stream,
    chunk: usize,
    client: impl FnOnce(SocketAddr) -> F,
) -> Result<(f64, T)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
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

/// Runs the summary, then divan; `cargo test --benches` only wants to know that it runs.
pub(crate) fn run(summary: impl FnOnce() -> Result<()>) -> Result<()> {
    if std::env::args().any(|argument| argument == "--bench") {
        summary()?;
    }
    divan::main();
    Ok(())
}

/// The stream without end.
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
            repeat: stream.bytes.get(stream.repeat..).unwrap_or_default(),
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

/// An iteration is a frame, and a sample is a whole recording or more.
pub(crate) fn frames<R: Reader>(bencher: Bencher<'_, '_>, stream: Result<Stream>, chunk: usize) {
    let Ok(stream) = stream else { return };
    let mut feed = Feed::<R>::new(&stream, chunk);
    bencher
        .counter(ItemsCount::new(1_usize))
        .counter(BytesCount::new(stream.bytes.len() / stream.frames))
        .bench_local(|| {
            if let Some(item) = feed.next() {
                R::visit(&item);
            }
        });
}

/// A whole recording: for what has no smaller step.
pub(crate) fn recording<F: Future<Output = Result<usize>>>(
    bencher: Bencher<'_, '_>,
    stream: Result<Stream>,
    client: impl Fn(SocketAddr) -> F,
) {
    let Ok(stream) = stream else { return };
    bencher
        .counter(ItemsCount::new(stream.frames))
        .counter(BytesCount::new(stream.bytes.len()))
        .bench_local(|| over_socket(&stream, READ, &client).is_ok());
}
