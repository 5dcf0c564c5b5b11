//! Faults of a network, injected into a stream from a seed.
//!
//! [`FaultyStream`] wraps one end of a connection. "Reads" and "writes" are those of the end that
//! is wrapped. All waiting is on tokio's clock, so a paused test runtime runs through delays at
//! once.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::random::{Seed, TestRng};

/// When something happens to one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// After this many bytes have passed.
    Bytes(u64),
    /// After these texts have passed, one after the other.
    Texts(Vec<Vec<u8>>),
}

impl Trigger {
    /// After one text has passed.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Texts(vec![text.into()])
    }

    /// After the AMI or HTTP-like message that holds `text` has passed to its blank line.
    pub fn message_with(text: impl Into<Vec<u8>>) -> Self {
        Self::Texts(vec![text.into(), b"\r\n\r\n".to_vec()])
    }
}

/// What a trigger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The connection ends: reads give end of file, writes `BrokenPipe`, the other end sees end
    /// of file.
    Close,
    /// The connection breaks: reads and writes give `ConnectionReset`.
    Reset,
    /// This direction stops for ever, the connection stays open.
    Stall,
    /// The link is gone and nobody says so: reads never end, writes succeed and go nowhere.
    HalfOpen,
}

/// What happens to one direction of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Side {
    /// Waiting time before each read or write, drawn from this range.
    pub delay: Option<(Duration, Duration)>,
    /// Longest piece that one read or write may move, in bytes; each is drawn from 1 to this.
    pub split: Option<usize>,
    /// What happens once, and when.
    pub fate: Option<(Trigger, Action)>,
}

/// The faults of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// Where the random choices start.
    pub seed: Seed,
    /// What happens to reads.
    pub read: Side,
    /// What happens to writes.
    pub write: Side,
}

impl Faults {
    /// No fault, and this seed for those that are added.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed: Seed(seed),
            read: Side::default(),
            write: Side::default(),
        }
    }

    /// No fault, and a seed of this run ([`Seed::fresh`]), which is printed.
    pub fn fresh() -> Self {
        Self::seeded(Seed::fresh().0)
    }

    /// Splits reads and writes at random points, at most `max` bytes apart.
    #[must_use]
    pub fn split(mut self, max: usize) -> Self {
        self.read.split = Some(max);
        self.write.split = Some(max);
        self
    }

    /// Waits a random time before each read and write.
    #[must_use]
    pub fn delay(mut self, from: Duration, to: Duration) -> Self {
        self.read.delay = Some((from, to));
        self.write.delay = Some((from, to));
        self
    }

    /// Lets `action` happen to what is read.
    #[must_use]
    pub fn on_read(mut self, when: Trigger, action: Action) -> Self {
        self.read.fate = Some((when, action));
        self
    }

    /// Lets `action` happen to what is written.
    #[must_use]
    pub fn on_write(mut self, when: Trigger, action: Action) -> Self {
        self.write.fate = Some((when, action));
        self
    }

    /// The server restarts while we log in: the first bytes after the request are lost. Wrap the
    /// client's end.
    pub fn restart_in_login(seed: u64) -> Self {
        Self::seeded(seed).on_write(Trigger::message_with("Action: Login"), Action::Close)
    }

    /// A middle box forgot the connection after `read` bytes: nothing fails, nothing arrives.
    pub fn half_open(seed: u64, read: u64) -> Self {
        Self::seeded(seed).on_read(Trigger::Bytes(read), Action::HalfOpen)
    }

    /// A client that reads a few bytes, seldom: the server's buffers fill. Wrap the client's end.
    pub fn slow_reader(seed: u64) -> Self {
        let mut faults = Self::seeded(seed);
        faults.read.split = Some(64);
        faults.read.delay = Some((Duration::from_millis(50), Duration::from_millis(500)));
        faults
    }

    /// The link breaks when the message holding `request` is written and nothing has answered it:
    /// whether it happened is unknown. Wrap the client's end.
    pub fn cut_before_reply(seed: u64, request: &str) -> Self {
        Self::seeded(seed).on_write(Trigger::message_with(request), Action::Close)
    }

    /// The link breaks right behind the message holding `reply`. Wrap the client's end.
    pub fn cut_after_reply(seed: u64, reply: &str) -> Self {
        Self::seeded(seed).on_read(Trigger::message_with(reply), Action::Close)
    }
}

/// A stream with faults. See the [module](self).
#[derive(Debug)]
pub struct FaultyStream<IO> {
    // `None` once it is cut: dropping it is what the other end sees.
    inner: Option<IO>,
    read: Flow,
    write: Flow,
    fallen: Option<Action>,
}

#[derive(Debug)]
struct Flow {
    side: Side,
    rng: TestRng,
    passed: u64,
    // Texts that have passed, and the bytes behind the last one that may begin the next.
    texts: usize,
    tail: Vec<u8>,
    sleep: Option<Pin<Box<Sleep>>>,
    // Drawn once an operation, kept while it is pending, so that polls do not change the choices.
    granted: Option<usize>,
}

impl<IO> FaultyStream<IO> {
    /// Wraps a stream. The seed is printed, so that a failing test shows it.
    pub fn new(inner: IO, faults: Faults) -> Self {
        faults.seed.announce();
        // Two generators: how often one direction is polled may not change the other.
        let mut rng = TestRng::new(faults.seed);
        let read = Flow::new(faults.read, TestRng::new(Seed(rng.next_u64())));
        let write = Flow::new(faults.write, TestRng::new(Seed(rng.next_u64())));
        Self {
            inner: Some(inner),
            read,
            write,
            fallen: None,
        }
    }

    /// Bytes read so far.
    pub const fn bytes_read(&self) -> u64 {
        self.read.passed
    }

    /// Bytes written so far.
    pub const fn bytes_written(&self) -> u64 {
        self.write.passed
    }

    /// What has befallen the stream.
    pub const fn fallen(&self) -> Option<Action> {
        self.fallen
    }

    fn fall(&mut self, action: Action) {
        self.fallen = Some(action);
        if matches!(action, Action::Close | Action::Reset) {
            self.inner = None;
        }
    }
}

impl Flow {
    fn new(side: Side, rng: TestRng) -> Self {
        Self {
            side,
            rng,
            passed: 0,
            texts: 0,
            tail: Vec::new(),
            sleep: None,
            granted: None,
        }
    }

    /// How many bytes the next operation may move; 0 once the trigger has struck.
    fn poll_grant(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        if let Some(granted) = self.granted
            && self.sleep.is_none()
        {
            return Poll::Ready(granted);
        }
        if self.granted.is_none() {
            let split = match self.side.split {
                Some(max) => self.rng.index(max.max(1)) + 1,
                None => usize::MAX,
            };
            self.granted = Some(split.min(self.room()));
            if let Some((from, to)) = self.side.delay {
                let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
                let wait = self.rng.between(micros(from), micros(to));
                self.sleep = Some(Box::pin(tokio::time::sleep(Duration::from_micros(wait))));
            }
        }
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Poll::Ready(self.granted.unwrap_or(usize::MAX))
    }

    fn room(&self) -> usize {
        match &self.side.fate {
            Some((Trigger::Bytes(limit), _)) => {
                usize::try_from(limit.saturating_sub(self.passed)).unwrap_or(usize::MAX)
            }
            Some((Trigger::Texts(texts), _)) if self.texts >= texts.len() => 0,
            _ => usize::MAX,
        }
    }

    fn struck(&self) -> Option<Action> {
        match &self.side.fate {
            Some((_, action)) if self.room() == 0 => Some(*action),
            _ => None,
        }
    }

    /// How many of these bytes pass before the last text is complete. Changes nothing.
    fn until_text(&self, bytes: &[u8]) -> usize {
        let Some((Trigger::Texts(texts), _)) = &self.side.fate else {
            return bytes.len();
        };
        let mut tail = self.tail.clone();
        let mut at = self.texts;
        for (index, byte) in bytes.iter().enumerate() {
            let Some(text) = texts.get(at) else {
                return index;
            };
            tail.push(*byte);
            if tail.ends_with(text) {
                at += 1;
                tail.clear();
                if at == texts.len() {
                    return index + 1;
                }
            }
        }
        bytes.len()
    }

    fn account(&mut self, bytes: &[u8]) {
        self.granted = None;
        self.passed += u64::try_from(bytes.len()).unwrap_or(0);
        let Some((Trigger::Texts(texts), _)) = &self.side.fate else {
            return;
        };
        for byte in bytes {
            let Some(text) = texts.get(self.texts) else {
                return;
            };
            self.tail.push(*byte);
            if self.tail.ends_with(text) {
                self.texts += 1;
                self.tail.clear();
            } else if self.tail.len() > text.len() {
                self.tail.drain(..self.tail.len() - text.len());
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for FaultyStream<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.fallen.is_none()
            && let Some(action) = this.read.struck()
        {
            this.fall(action);
        }
        match (this.fallen, this.read.struck()) {
            (Some(Action::Close), _) => return Poll::Ready(Ok(())),
            (Some(Action::Reset), _) => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            (Some(Action::HalfOpen), _) | (_, Some(Action::Stall)) => return Poll::Pending,
            _ => {}
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(Ok(()));
        };
        let granted = ready!(this.read.poll_grant(cx)).min(buf.remaining());
        // A scratch buffer: what arrives behind the trigger must not be seen.
        let mut scratch = vec![0; granted.min(64 * 1024)];
        let mut part = ReadBuf::new(&mut scratch);
        ready!(Pin::new(inner).poll_read(cx, &mut part))?;
        let filled = part.filled();
        let passes = this.read.until_text(filled);
        let filled = filled.get(..passes).unwrap_or(filled);
        buf.put_slice(filled);
        this.read.account(filled);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for FaultyStream<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match (this.fallen, this.write.struck()) {
            (Some(Action::Close), _) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            (Some(Action::Reset), _) => {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            (Some(Action::HalfOpen), _) => return Poll::Ready(Ok(buf.len())),
            (_, Some(Action::Stall)) => return Poll::Pending,
            _ => {}
        }
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let granted = ready!(this.write.poll_grant(cx)).min(buf.len());
        let part = buf.get(..granted).unwrap_or(buf);
        let part = part.get(..this.write.until_text(part)).unwrap_or(part);
        let written = ready!(Pin::new(inner).poll_write(cx, part))?;
        this.write.account(part.get(..written).unwrap_or(part));
        // At once, not at the next write: a client that only waits for the answer must see it.
        if let Some(action) = this.write.struck() {
            this.fall(action);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Some(inner) => Pin::new(inner).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Some(inner) => Pin::new(inner).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}
