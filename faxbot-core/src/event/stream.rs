//! The reading side: each stream has its own place in the ring.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;

use super::{Lagged, Stamped, bus::Shared};

/// Events of an [`EventBus`](super::EventBus) in their order, from the moment of the
/// subscription. Ends when the bus is gone and everything left has been read.
pub struct EventStream<T> {
    shared: Arc<Shared<T>>,
    key: u64,
    /// Number of the event to hand out next.
    next: u64,
}

impl<T> EventStream<T> {
    pub(super) fn new(shared: Arc<Shared<T>>, key: u64, next: u64) -> Self {
        Self { shared, key, next }
    }
}

impl<T: Clone> EventStream<T> {
    /// The next event, `Err(Lagged)` where some were lost, `None` at the end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call hands out the same event.
    pub async fn recv(&mut self) -> Option<Result<Stamped<T>, Lagged>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event if one is there already.
    pub fn try_recv(&mut self) -> Option<Result<Stamped<T>, Lagged>> {
        match self.take(None) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    /// As [`recv`](Self::recv), to be polled.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Stamped<T>, Lagged>>> {
        self.take(Some(cx))
    }

    fn take(&mut self, cx: Option<&mut Context<'_>>) -> Poll<Option<Result<Stamped<T>, Lagged>>> {
        // Declared before the lock and so dropped after it: the last hold on a task may be its
        // waker, and what drops with the task may use the bus.
        let mut former = None;
        let mut state = self.shared.lock();
        if self.next > state.last {
            if state.closed {
                return Poll::Ready(None);
            }
            if let Some(cx) = cx
                && let Some((_, waker)) = state.wakers.iter_mut().find(|(key, _)| *key == self.key)
                && !waker
                    .as_ref()
                    .is_some_and(|known| known.will_wake(cx.waker()))
            {
                former = waker.replace(cx.waker().clone());
            }
            drop(state);
            drop(former);
            return Poll::Pending;
        }
        let oldest = state.ring.front().map_or(state.last, |event| event.seq);
        if self.next < oldest {
            let missed = oldest.saturating_sub(self.next);
            self.next = oldest;
            return Poll::Ready(Some(Err(Lagged::new(missed))));
        }
        let place = usize::try_from(self.next.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let item = state.ring.get(place).cloned();
        self.next = self.next.saturating_add(1);
        Poll::Ready(item.map(Ok))
    }
}

impl<T: Clone> Stream for EventStream<T> {
    type Item = Result<Stamped<T>, Lagged>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

impl<T> Drop for EventStream<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        let place = state.wakers.iter().position(|(key, _)| *key == self.key);
        let former = place.map(|place| state.wakers.swap_remove(place));
        let events = if state.wakers.is_empty() {
            std::mem::take(&mut state.ring)
        } else {
            VecDeque::new()
        };
        // Without the lock: see `take`.
        drop(state);
        drop((former, events));
    }
}

impl<T> fmt::Debug for EventStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::{Timestamp, event::EventBus};

    fn at() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn bus(capacity: usize) -> EventBus<u32> {
        EventBus::new(NonZeroUsize::new(capacity).unwrap())
    }

    async fn numbers(stream: &mut EventStream<u32>, count: usize) -> Vec<(u64, u32)> {
        let mut out = Vec::new();
        for _ in 0..count {
            let stamped = stream.recv().await.unwrap().unwrap();
            out.push((stamped.seq, stamped.event));
        }
        out
    }

    #[tokio::test]
    async fn numbers_start_at_one_and_grow_by_one() {
        let bus = bus(8);
        let mut stream = bus.subscribe();
        for event in [10, 20, 30] {
            bus.publish(at(), event);
        }
        assert_eq!(numbers(&mut stream, 3).await, [(1, 10), (2, 20), (3, 30)]);
        assert_eq!(bus.seq(), 3);
    }

    #[tokio::test]
    async fn a_slow_stream_sees_what_it_lost_and_others_are_unharmed() {
        let bus = bus(2);
        let mut slow = bus.subscribe();
        let mut fast = bus.subscribe();
        for event in 1..=5 {
            bus.publish(at(), event);
            assert_eq!(fast.recv().await.unwrap().unwrap().event, event);
        }
        assert_eq!(slow.recv().await, Some(Err(Lagged::new(3))));
        assert_eq!(numbers(&mut slow, 2).await, [(4, 4), (5, 5)]);
        assert!(slow.try_recv().is_none());
    }

    #[tokio::test]
    async fn ends_after_the_last_bus_is_gone_and_the_rest_is_read() {
        let bus = bus(4);
        let other = bus.clone();
        let mut stream = bus.subscribe();
        bus.publish(at(), 1);
        drop(bus);
        other.publish(at(), 2);
        let waiting = tokio::spawn(async move {
            let read = numbers(&mut stream, 2).await;
            (read, stream.recv().await)
        });
        tokio::task::yield_now().await;
        drop(other);
        assert_eq!(waiting.await.unwrap(), (vec![(1, 1), (2, 2)], None));
    }

    #[tokio::test]
    async fn a_dropped_recv_loses_nothing() {
        let bus = bus(4);
        let mut stream = bus.subscribe();
        {
            let mut recv = Box::pin(stream.recv());
            let pending = poll_fn(|cx| Poll::Ready(recv.as_mut().poll(cx).is_pending())).await;
            assert!(pending);
            bus.publish(at(), 7);
        }
        assert_eq!(numbers(&mut stream, 1).await, [(1, 7)]);
    }

    #[tokio::test]
    async fn a_late_stream_starts_at_the_next_event() {
        let bus = bus(4);
        bus.publish(at(), 1);
        let mut first = bus.subscribe();
        bus.publish(at(), 2);
        let mut second = bus.subscribe();
        bus.publish(at(), 3);
        assert_eq!(numbers(&mut first, 2).await, [(2, 2), (3, 3)]);
        assert_eq!(numbers(&mut second, 1).await, [(3, 3)]);
        drop((first, second));
        assert_eq!(bus.streams(), 0);
        bus.publish(at(), 4);
        let mut third = bus.subscribe();
        bus.publish(at(), 5);
        assert_eq!(numbers(&mut third, 1).await, [(5, 5)]);
    }

    #[test]
    fn a_snapshot_and_a_stream_join_without_a_race() {
        let bus = EventBus::<u64>::new(NonZeroUsize::new(100_000).unwrap());
        let total = Arc::new(std::sync::Mutex::new(0u64));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let publisher = {
            let (bus, total, stop) = (bus.clone(), Arc::clone(&total), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) && bus.seq() < 50_000 {
                    bus.publish_with(at(), || {
                        *total.lock().unwrap() += 1;
                        1
                    });
                }
            })
        };
        let mut stream = bus.subscribe();
        let (seq, mut joined) = bus.with_seq(|seq| (seq, *total.lock().unwrap()));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        publisher.join().unwrap();
        while let Some(item) = stream.try_recv() {
            let stamped = item.unwrap();
            if stamped.seq > seq {
                joined += stamped.event;
            }
        }
        assert_eq!(joined, *total.lock().unwrap());
    }
}
