//! Events: one bounded bus, any number of streams, and losses that show.
//!
//! Events are notification, never the only truth: an outcome is awaited or looked up. A stream
//! that is read too slowly loses the oldest events and says how many ([`Lagged`]); the publisher
//! never waits, and other streams are unharmed.

mod bus;
mod stream;

pub use self::{bus::EventBus, stream::EventStream};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// An event with its place in the order of its bus and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stamped<T> {
    /// The place: 1 for the first event of a bus, then without gaps. An event whose number is not
    /// above a snapshot's is already in the snapshot.
    pub seq: u64,
    /// When it was published.
    pub at: Timestamp,
    /// The event.
    pub event: T,
}

impl<T> Stamped<T> {
    /// An event at a place and a time.
    pub fn new(seq: u64, at: Timestamp, event: T) -> Self {
        Self { seq, at, event }
    }
}

/// Events that a stream lost because it was read too slowly. The next item is the oldest one that
/// is still there; take a snapshot to know what the lost ones said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Lagged {
    /// How many were lost, at least 1.
    pub missed: u64,
}

impl Lagged {
    /// A loss of `missed` events.
    pub fn new(missed: u64) -> Self {
        Self { missed }
    }
}

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were lost by reading too slowly", self.missed)
    }
}

impl std::error::Error for Lagged {}
