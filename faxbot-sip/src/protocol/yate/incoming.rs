//! Requests of the engine, which waits for each answer.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Instant,
};

use bytes::Bytes;

use super::{
    command::{Command, kept_retval},
    frame::Frame,
    message::Message,
};

/// Bytes of an id that is kept. The engine's have about 30; one that is longer is answered at once.
const MAX_ID: usize = 256;

/// A message that this connection handles: one of the engine's threads waits for the answer, and
/// with it the call. The session answers `false` at the deadline.
#[derive(Clone)]
pub struct Incoming {
    frame: Frame,
    deadline: Instant,
}

impl Incoming {
    pub(super) fn new(frame: Frame, deadline: Instant) -> Self {
        Self { frame, deadline }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        Message::parse(self.frame.line())
    }

    /// The id, opaque: what [`Event::TimedOut`](super::Event::TimedOut) names.
    #[must_use]
    pub fn id(&self) -> Bytes {
        self.frame.slice(self.message().id())
    }

    /// The line as it came.
    #[must_use]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// When the session answers by itself.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The answer: `true` ends the way of the message through its handlers, `false` lets it go on.
    /// Without parameters and return value the message stays as it is.
    #[must_use]
    pub fn answer(&self, processed: bool) -> Command {
        let message = self.message();
        let retval = self.frame.slice(kept_retval(&message));
        Command::answer(self.id(), processed, retval)
    }
}

impl fmt::Debug for Incoming {
    /// The name only: parameters hold numbers and names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(&self.message()).finish()
    }
}

/// The requests that wait for an answer of ours.
pub(super) struct Open {
    by_id: HashMap<Bytes, (Instant, u64)>,
    by_deadline: BTreeMap<(Instant, u64), Bytes>,
    next: u64,
    most: usize,
}

impl Open {
    pub(super) fn new(most: usize) -> Self {
        Self {
            by_id: HashMap::new(),
            by_deadline: BTreeMap::new(),
            next: 0,
            most: most.max(1),
        }
    }

    /// Keeps an id until its deadline; false when there is no room. The same id again is a new
    /// request: the engine has given up the old one.
    pub(super) fn keep(&mut self, id: &[u8], deadline: Instant) -> bool {
        self.take(id);
        if id.len() > MAX_ID || self.by_id.len() >= self.most {
            return false;
        }
        self.next += 1;
        // A copy: the line that it came in may be large.
        let id = Bytes::copy_from_slice(id);
        self.by_id.insert(id.clone(), (deadline, self.next));
        self.by_deadline.insert((deadline, self.next), id);
        true
    }

    /// Takes an id out; false when nobody waits for its answer any more.
    pub(super) fn take(&mut self, id: &[u8]) -> bool {
        let Some(place) = self.by_id.remove(id) else {
            return false;
        };
        self.by_deadline.remove(&place).is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.keys().next().map(|(at, _)| *at)
    }

    /// The next id whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Bytes> {
        self.next_deadline().filter(|at| *at <= now)?;
        self.pop()
    }

    /// Any id that is open.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let (_, id) = self.by_deadline.pop_first()?;
        self.by_id.remove(&id);
        Some(id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

/// The answer that changes nothing. The engine reads nothing behind the word
/// (`Message::decode` in `engine/Message.cpp`; recording `sip_in_message` has one).
pub(super) fn declined(id: &[u8]) -> Bytes {
    [b"%%<message:", id, b":false:\n"].concat().into()
}
