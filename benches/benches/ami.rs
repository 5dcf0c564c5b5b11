//! AMI codec: MB/s, messages/s and allocations a message, beside a plain visit of the lines and
//! beside the crates `asterisk-rs-ami` and `asterisk-ami`.
//!
//! `asterisk-ami` keeps its decoder private and its reader takes nothing but a TCP address: it is
//! measured over a loopback socket, and so are the others beside it.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

mod wire;

use std::{hint::black_box, net::SocketAddr};

use asterisk_ami::AmiConnection;
use bytes::BytesMut;
use divan::{AllocProfiler, Bencher};
use faxbot_sip::protocol::{
    ami::{AmiCodec, MAX_MESSAGE, Message, Role},
    session::Codec,
};
use tokio::sync::broadcast::error::RecvError;
use wire::{CHUNKS, Case, PASSES, Reader, Result, SOCKET_PASSES, Stream, compare, server_bytes};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const NAMES: [&str; 2] = ["burst_200_calls", "07_burst_200_calls_full"];

fn load(name: &str) -> Result<Stream> {
    let mut bytes = server_bytes(name)?;
    let end = memchr::memmem::rfind(&bytes, b"\r\n\r\n").ok_or("no message")?;
    bytes.truncate(end + 4);
    let banner = memchr::memchr(b'\n', &bytes).ok_or("no banner")? + 1;
    let frames = memchr::memmem::find_iter(&bytes, b"\r\n\r\n").count();
    Ok(Stream {
        bytes,
        repeat: banner,
        frames,
    })
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

/// Counts events only: responses go to the action that waits, and there is none. An event that
/// came too fast for its queue was decoded all the same.
async fn asterisk_ami(address: SocketAddr) -> Result<usize> {
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

fn in_memory(name: &str, stream: &Stream, chunk: usize) -> Result<()> {
    let title = format!("{name}, {} KiB at once", chunk / 1024);
    // The banner is a message for us, and none for the other crate.
    let messages = stream.frames;
    let cases = vec![
        Case::visit(stream),
        Case::memory::<Owned>("ours, owned message", stream, chunk, messages + 1),
        Case::memory::<Text>("ours, all values as text", stream, chunk, messages + 1),
        Case::memory::<AsteriskRs>(
            "asterisk-rs-ami (all values as text)",
            stream,
            chunk,
            messages,
        ),
    ];
    compare(&title, stream, PASSES, cases)
}

fn on_loopback(name: &str, stream: &Stream, chunk: usize) -> Result<()> {
    let title = format!("{name}, loopback socket, {} KiB a write", chunk / 1024);
    let messages = stream.frames;
    let cases = vec![
        Case::visit_socket(stream, chunk),
        Case::read_socket::<Owned>("ours, owned message", stream, chunk, messages + 1),
        Case::read_socket::<Text>("ours, all values as text", stream, chunk, messages + 1),
        Case::socket(
            "asterisk-ami (all values as text)",
            stream,
            chunk,
            messages / 2,
            asterisk_ami,
        ),
    ];
    compare(&title, stream, SOCKET_PASSES, cases)
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
    wire::run(summary)
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 8192)]
fn owned_message<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Owned>(bencher, load(name), CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 8192)]
fn all_values_as_text<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Text>(bencher, load(name), CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 8192)]
fn asterisk_rs_ami_message<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<AsteriskRs>(bencher, load(name), CHUNK);
}

#[divan::bench(args = NAMES, sample_count = 5, sample_size = 1)]
fn asterisk_ami_recording(bencher: Bencher<'_, '_>, name: &str) {
    wire::recording(bencher, load(name), asterisk_ami);
}
