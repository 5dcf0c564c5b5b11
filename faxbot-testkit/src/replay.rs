//! Recordings of real servers, played again.
//!
//! A recording is JSON lines, gzip-compressed, in the order seen on the wire:
//! `{"t": seconds, "conn": n, "dir": "c2s" | "s2c", "text": ".." | "b64": ".."}`. Chunk borders are
//! those of the real reads. Lines with `note` carry no bytes.
//!
//! A recording of a server with several ways in has the name of a channel with each line (`ch`, or
//! `kind`): `rpc`, `evapi` and `sip` at Kamailio, `mi_http`, `mi_datagram`, `event_stream` and others
//! at OpenSIPS. On the channels of events, and where a phone speaks, `c2s` is who wrote to the port
//! that listens: the server of the recording may be the client there.
//! [`Recording::load`] takes the lines without a channel (and Yate's `ext`),
//! [`Recording::load_channels`] all.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    time::Duration,
};

use bytes::Bytes;
use serde::Deserialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{
    fixtures::{self, FixtureError},
    random::{Seed, TestRng},
};

/// Who wrote a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client wrote it (`c2s`).
    ToServer,
    /// The server wrote it (`s2c`).
    ToClient,
}

/// What one read of the recorder gave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Chunk {
    /// Time since the recording started.
    pub t: Duration,
    /// The connection, numbered from 1 in the order they were opened.
    pub conn: u32,
    /// Who wrote it.
    pub dir: Direction,
    /// The channel, empty where the recording has only one.
    pub channel: Box<str>,
    /// The bytes.
    pub bytes: Bytes,
}

/// Where a replayed stream is cut into writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Chunking {
    /// As recorded.
    Recorded,
    /// All at once.
    Whole,
    /// Every so many bytes (at least 1).
    Every(usize),
    /// At random borders, 1 to `max` bytes apart.
    Random {
        /// Where the choices start.
        seed: Seed,
        /// Longest chunk, in bytes.
        max: usize,
    },
}

/// One recording, in memory.
#[derive(Debug, Clone)]
pub struct Recording {
    name: String,
    chunks: Vec<Chunk>,
}

#[derive(Deserialize)]
struct Line {
    t: Option<f64>,
    conn: Option<u32>,
    dir: Option<String>,
    #[serde(alias = "ch")]
    kind: Option<Box<str>>,
    text: Option<String>,
    b64: Option<String>,
}

impl Recording {
    /// Loads a recording by its name, such as `asterisk/06_fax_t38_app_ok`.
    ///
    /// # Errors
    /// As [`fixtures::path`], and [`FixtureError::Io`] or [`FixtureError::Format`] for a broken
    /// file.
    pub fn load(name: &str) -> Result<Self, FixtureError> {
        let mut recording = Self::load_channels(name)?;
        let unnamed = |chunk: &Chunk| matches!(&*chunk.channel, "" | "ext");
        recording.chunks.retain(unnamed);
        Ok(recording)
    }

    /// Loads all channels of a recording.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_channels(name: &str) -> Result<Self, FixtureError> {
        let path = fixtures::path(name)?;
        let file = File::open(path).map_err(|source| FixtureError::Io {
            name: name.to_owned(),
            source,
        })?;
        Self::read(
            name,
            flate2::read::MultiGzDecoder::new(BufReader::new(file)),
        )
    }

    /// One channel of the recording.
    #[must_use]
    pub fn channel(&self, channel: &str) -> Self {
        let chunks = self.chunks.iter();
        let chunks = chunks.filter(|chunk| &*chunk.channel == channel);
        Self {
            name: self.name.clone(),
            chunks: chunks.cloned().collect(),
        }
    }

    /// Reads a recording from uncompressed JSON lines, all of its channels.
    ///
    /// # Errors
    /// [`FixtureError::Io`] or [`FixtureError::Format`].
    pub fn read(name: &str, lines: impl Read) -> Result<Self, FixtureError> {
        let mut chunks = Vec::new();
        for (index, line) in BufReader::new(lines).lines().enumerate() {
            let line = line.map_err(|source| FixtureError::Io {
                name: name.to_owned(),
                source,
            })?;
            if line.trim().is_empty() {
                continue;
            }
            let broken = |why: String| FixtureError::Format {
                name: name.to_owned(),
                line: index + 1,
                why,
            };
            let line: Line =
                serde_json::from_str(&line).map_err(|error| broken(error.to_string()))?;
            let bytes = match (line.text, line.b64) {
                (Some(text), None) => Bytes::from(text),
                (None, Some(text)) => {
                    Bytes::from(base64(&text).ok_or_else(|| broken("not base64".to_owned()))?)
                }
                // A note of the recorder.
                (None, None) => continue,
                (Some(_), Some(_)) => return Err(broken("both text and b64".to_owned())),
            };
            let dir = match line.dir.as_deref() {
                Some("c2s") => Direction::ToServer,
                Some("s2c") => Direction::ToClient,
                _ => return Err(broken("dir is neither c2s nor s2c".to_owned())),
            };
            let t = Duration::try_from_secs_f64(line.t.unwrap_or(0.0))
                .map_err(|error| broken(error.to_string()))?;
            chunks.push(Chunk {
                t,
                conn: line.conn.unwrap_or(1),
                dir,
                channel: line.kind.unwrap_or_default(),
                bytes,
            });
        }
        Ok(Self {
            name: name.to_owned(),
            chunks,
        })
    }

    /// The name it was loaded by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All chunks, in the order seen on the wire.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The connections, in the order they first speak.
    pub fn connections(&self) -> Vec<u32> {
        let mut seen = Vec::new();
        for chunk in &self.chunks {
            if !seen.contains(&chunk.conn) {
                seen.push(chunk.conn);
            }
        }
        seen
    }

    /// All bytes of one direction of one connection.
    pub fn bytes(&self, conn: u32, dir: Direction) -> Bytes {
        let mut all = Vec::new();
        for chunk in self.chunks_of(conn, dir) {
            all.extend_from_slice(&chunk.bytes);
        }
        all.into()
    }

    /// What the server wrote on one connection.
    pub fn server_bytes(&self, conn: u32) -> Bytes {
        self.bytes(conn, Direction::ToClient)
    }

    /// What the client wrote on one connection.
    pub fn client_bytes(&self, conn: u32) -> Bytes {
        self.bytes(conn, Direction::ToServer)
    }

    /// The chunks of one direction of one connection.
    pub fn chunks_of(&self, conn: u32, dir: Direction) -> impl Iterator<Item = &Chunk> {
        self.chunks
            .iter()
            .filter(move |chunk| chunk.conn == conn && chunk.dir == dir)
    }

    /// One direction of one connection, cut as asked. The pieces joined are always
    /// [`bytes`](Self::bytes).
    pub fn pieces(&self, conn: u32, dir: Direction, chunking: Chunking) -> Vec<Bytes> {
        let mut next: Box<dyn FnMut() -> usize> = match chunking {
            Chunking::Recorded => {
                return self
                    .chunks_of(conn, dir)
                    .map(|chunk| chunk.bytes.clone())
                    .collect();
            }
            Chunking::Whole => Box::new(|| usize::MAX),
            Chunking::Every(size) => Box::new(move || size.max(1)),
            Chunking::Random { seed, max } => {
                let mut rng = TestRng::new(seed);
                Box::new(move || rng.index(max.max(1)) + 1)
            }
        };
        let mut rest = self.bytes(conn, dir);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            pieces.push(rest.split_to(next().min(rest.len())));
        }
        pieces
    }

    /// Writes one direction of one connection, flushed after each piece. Answers the number of
    /// bytes.
    ///
    /// # Errors
    /// Those of the writer.
    ///
    /// # Cancel safety
    /// Not cancel-safe: a dropped replay stops between or within pieces.
    pub async fn replay(
        &self,
        conn: u32,
        dir: Direction,
        chunking: Chunking,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<usize> {
        let mut written = 0;
        for piece in self.pieces(conn, dir, chunking) {
            to.write_all(&piece).await?;
            to.flush().await?;
            written += piece.len();
        }
        Ok(written)
    }

    /// The same with the recorded borders and at the recorded times, on tokio's clock.
    ///
    /// # Errors
    /// Those of the writer.
    ///
    /// # Cancel safety
    /// Not cancel-safe: a dropped replay stops between or within pieces.
    pub async fn replay_timed(
        &self,
        conn: u32,
        dir: Direction,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<usize> {
        let start = tokio::time::Instant::now();
        let mut written = 0;
        for chunk in self.chunks_of(conn, dir) {
            tokio::time::sleep_until(start + chunk.t).await;
            to.write_all(&chunk.bytes).await?;
            to.flush().await?;
            written += chunk.bytes.len();
        }
        Ok(written)
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits: u32 = 0;
    let mut held = 0;
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    Some(out)
}
