//! Codec and messages of Yate's external module port: MB/s, lines/s and allocations a line, beside
//! a plain visit of the lines.
#![allow(clippy::print_stdout, reason = "a bench prints its results")]

mod wire;

use std::hint::black_box;

use bytes::BytesMut;
use divan::{AllocProfiler, Bencher};
use faxbot_sip::protocol::{
    session::Codec,
    yate::{Frame, MAX_LINE, Role, YateCodec},
};
use wire::{CHUNKS, Case, PASSES, Reader, Result, Stream, compare, server_bytes};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const NAMES: [&str; 2] = ["yate_burst_200_calls", "yate_burst_100_calls"];

fn load(name: &str) -> Result<Stream> {
    let mut bytes = server_bytes(name)?;
    let end = memchr::memrchr(b'\n', &bytes).ok_or("no line")?;
    bytes.truncate(end + 1);
    let frames = memchr::memchr_iter(b'\n', &bytes).count();
    Ok(Stream {
        bytes,
        repeat: 0,
        frames,
    })
}

fn next(codec: &mut YateCodec, input: &mut BytesMut) -> Option<Frame> {
    Codec::decode(codec, input).ok().flatten()
}

/// Lines, owned.
struct Owned(YateCodec);

/// Lines, and all names and values of their messages as text.
struct Text(YateCodec);

impl Reader for Owned {
    type Item = Frame;

    fn new() -> Self {
        Self(YateCodec::new(Role::Client, MAX_LINE))
    }

    #[inline]
    fn next(&mut self, input: &mut BytesMut) -> Option<Frame> {
        next(&mut self.0, input)
    }

    #[inline]
    fn visit(item: &Frame) {
        black_box(item);
    }
}

impl Reader for Text {
    type Item = Frame;

    fn new() -> Self {
        Self(YateCodec::new(Role::Client, MAX_LINE))
    }

    #[inline]
    fn next(&mut self, input: &mut BytesMut) -> Option<Frame> {
        next(&mut self.0, input)
    }

    #[inline]
    fn visit(item: &Frame) {
        if let Some(message) = item.message() {
            black_box((message.name(), message.retval()));
            for param in message.params() {
                black_box((&*param.name(), param.text().as_deref()));
            }
        }
    }
}

fn summary() -> Result<()> {
    println!("Yate, best of {PASSES} passes in memory");
    for name in NAMES {
        let stream = load(name)?;
        for chunk in CHUNKS {
            let title = format!("{name}, {} KiB at once", chunk / 1024);
            let frames = stream.frames;
            let cases = vec![
                Case::visit(&stream),
                Case::memory::<Owned>("ours, owned line", &stream, chunk, frames),
                Case::memory::<Text>("ours, all values as text", &stream, chunk, frames),
            ];
            compare(&title, &stream, PASSES, cases)?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    wire::run(summary)
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 4096)]
fn owned_line<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Owned>(bencher, load(name), CHUNK);
}

#[divan::bench(args = NAMES, consts = CHUNKS, sample_count = 20, sample_size = 4096)]
fn all_values_as_text<const CHUNK: usize>(bencher: Bencher<'_, '_>, name: &str) {
    wire::frames::<Text>(bencher, load(name), CHUNK);
}
