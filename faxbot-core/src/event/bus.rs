//! The publishing side: a ring of the last events behind one lock.

use std::{
    collections::VecDeque,
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use super::{EventStream, Stamped};
use crate::Timestamp;

/// Publishes events to any number of [`EventStream`]s. Clones share one bus.
///
/// The bus keeps the last [`capacity`](Self::capacity) events; memory is bounded by that, however
/// many streams there are and however slowly they are read. When the last clone is dropped, the
/// streams hand out what they have left and end.
pub struct EventBus<T> {
    shared: Arc<Shared<T>>,
}

pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    /// Publishers that live. Kept beside the `Arc`'s count, which streams share.
    publishers: AtomicUsize,
}

pub(super) struct State<T> {
    pub(super) ring: VecDeque<Stamped<T>>,
    pub(super) capacity: NonZeroUsize,
    /// Number of the last event published, 0 before the first.
    pub(super) last: u64,
    pub(super) closed: bool,
    /// One place a stream, by its key: the waker of a stream that waits.
    pub(super) wakers: Vec<(u64, Option<Waker>)>,
    next_key: u64,
}

impl<T> Shared<T> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> EventBus<T> {
    /// Events kept for streams that are behind: 1,024. A burst of 200 calls makes about 1,000
    /// events of meaning.
    pub const DEFAULT_CAPACITY: NonZeroUsize = match NonZeroUsize::new(1024) {
        Some(capacity) => capacity,
        None => NonZeroUsize::MIN,
    };

    /// A bus that keeps the last `capacity` events.
    pub fn new(capacity: NonZeroUsize) -> Self {
        let state = State {
            ring: VecDeque::new(),
            capacity,
            last: 0,
            closed: false,
            wakers: Vec::new(),
            next_key: 0,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                publishers: AtomicUsize::new(1),
            }),
        }
    }

    /// Number of events that are kept for streams that are behind.
    pub fn capacity(&self) -> usize {
        self.shared.lock().capacity.get()
    }

    /// Publishes `event` and answers its number. Never waits; without streams the event is only
    /// counted.
    pub fn publish(&self, at: Timestamp, event: T) -> u64 {
        self.publish_with(at, || event)
    }

    /// As [`publish`](Self::publish), with the event made under the bus's lock: what `make`
    /// changes and [`with_seq`](Self::with_seq) reads stays in step with the numbers. `make` must
    /// not use this bus.
    pub fn publish_with(&self, at: Timestamp, make: impl FnOnce() -> T) -> u64 {
        let (seq, wakers, oldest) = {
            let mut state = self.shared.lock();
            let event = make();
            state.last = state.last.saturating_add(1);
            let seq = state.last;
            let mut oldest = None;
            if !state.wakers.is_empty() {
                if state.ring.len() >= state.capacity.get() {
                    oldest = state.ring.pop_front();
                }
                state.ring.push_back(Stamped::new(seq, at, event));
            }
            let wakers: Vec<_> = state
                .wakers
                .iter_mut()
                .filter_map(|(_, waker)| waker.take())
                .collect();
            (seq, wakers, oldest)
        };
        // Outside of the lock: a waker, or what drops with an event, may run code that publishes.
        drop(oldest);
        wakers.into_iter().for_each(Waker::wake);
        seq
    }

    /// The number of the last event, 0 before the first.
    pub fn seq(&self) -> u64 {
        self.shared.lock().last
    }

    /// Runs `read` with the number of the last event while nothing can be published: a snapshot
    /// taken so joins with the events after that number, without a gap and without a repetition.
    /// `read` must not use this bus.
    pub fn with_seq<R>(&self, read: impl FnOnce(u64) -> R) -> R {
        let state = self.shared.lock();
        read(state.last)
    }

    /// A stream of the events that are published from now on.
    pub fn subscribe(&self) -> EventStream<T> {
        let (key, next) = {
            let mut state = self.shared.lock();
            let key = state.next_key;
            state.next_key = key.saturating_add(1);
            state.wakers.push((key, None));
            (key, state.last.saturating_add(1))
        };
        EventStream::new(Arc::clone(&self.shared), key, next)
    }

    /// Number of streams.
    pub fn streams(&self) -> usize {
        self.shared.lock().wakers.len()
    }
}

impl<T> Default for EventBus<T> {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

impl<T> Clone for EventBus<T> {
    fn clone(&self) -> Self {
        self.shared.publishers.fetch_add(1, Ordering::Relaxed);
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for EventBus<T> {
    fn drop(&mut self) {
        if self.shared.publishers.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let wakers: Vec<_> = {
            let mut state = self.shared.lock();
            state.closed = true;
            state
                .wakers
                .iter_mut()
                .filter_map(|(_, waker)| waker.take())
                .collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<T> fmt::Debug for EventBus<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("EventBus")
            .field("seq", &state.last)
            .field("streams", &state.wakers.len())
            .field("capacity", &state.capacity)
            .finish_non_exhaustive()
    }
}
