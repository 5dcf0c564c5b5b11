//! The event bus under threads: no wake-up is lost, and every event is read or counted as missed.
#![cfg(test)]

use std::{
    future::Future,
    num::NonZeroUsize,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use faxbot_core::{
    Timestamp,
    event::{EventBus, EventStream},
};

const PUBLISHERS: usize = 4;
const READERS: usize = 6;
const EACH: u64 = 20_000;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Reads to the end: how many were read, and how many missed.
fn read(mut stream: EventStream<u64>) -> (u64, u64) {
    let (mut read, mut missed, mut last) = (0, 0, 0);
    let mut of_each = [0; PUBLISHERS];
    while let Some(item) = block_on(stream.recv()) {
        match item {
            Ok(stamped) => {
                assert_eq!(stamped.seq, last + 1, "a gap that nothing told of");
                last = stamped.seq;
                let place = &mut of_each[usize::try_from(stamped.event / EACH).unwrap()];
                assert!(*place <= stamped.event % EACH, "out of order");
                *place = stamped.event % EACH + 1;
                read += 1;
            }
            Err(lagged) => {
                assert!(lagged.missed > 0);
                missed += lagged.missed;
                last += lagged.missed;
            }
        }
    }
    (read, missed)
}

/// Runs `work` on a thread, and fails when it does not end.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, end) = mpsc::channel();
    let worker = thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    match end.recv_timeout(Duration::from_secs(120)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a wake-up was lost, or a lock is held"),
        _ => worker.join().unwrap(),
    }
}

#[test]
fn every_event_is_read_or_missed_once_by_every_stream() {
    for capacity in [1, 64, 1_000_000] {
        in_time(move || {
            let bus = EventBus::<u64>::new(NonZeroUsize::new(capacity).unwrap());
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let stream = bus.subscribe();
                    thread::spawn(move || read(stream))
                })
                .collect();
            let stop = Arc::new(AtomicBool::new(false));
            // Streams that come, wait and go.
            let churn = {
                let (bus, stop) = (bus.clone(), Arc::clone(&stop));
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let mut stream = bus.subscribe();
                        let waker = Waker::from(Arc::new(Unpark(thread::current())));
                        let _ = stream.poll_recv(&mut Context::from_waker(&waker));
                    }
                })
            };
            let publishers: Vec<_> = (0..PUBLISHERS as u64)
                .map(|publisher| {
                    let bus = bus.clone();
                    thread::spawn(move || {
                        for number in 0..EACH {
                            bus.publish(Timestamp::UNIX_EPOCH, publisher * EACH + number);
                        }
                    })
                })
                .collect();
            publishers.into_iter().for_each(|p| p.join().unwrap());
            stop.store(true, Ordering::Relaxed);
            churn.join().unwrap();
            assert_eq!(
                (bus.seq(), bus.streams()),
                (PUBLISHERS as u64 * EACH, READERS)
            );
            drop(bus);
            for reader in readers {
                let (read, missed) = reader.join().unwrap();
                assert_eq!(read + missed, PUBLISHERS as u64 * EACH);
                if capacity == 1_000_000 {
                    assert_eq!(missed, 0);
                }
            }
        });
    }
}

#[test]
fn a_stream_that_waits_in_another_task_than_before_is_woken_there() {
    in_time(|| {
        let bus = EventBus::<u64>::default();
        let mut stream = bus.subscribe();
        let first = Waker::from(Arc::new(Unpark(thread::current())));
        assert!(
            stream
                .poll_recv(&mut Context::from_waker(&first))
                .is_pending()
        );
        let (ready, begun) = mpsc::channel();
        let reader = thread::spawn(move || {
            ready.send(()).unwrap();
            block_on(stream.recv()).unwrap().unwrap().event
        });
        begun.recv().unwrap();
        thread::sleep(Duration::from_millis(20));
        bus.publish(Timestamp::UNIX_EPOCH, 7);
        assert_eq!(reader.join().unwrap(), 7);
    });
}

/// A waker that holds a stream of the same bus, as the waker of a task may hold the task.
struct Holder {
    held: Mutex<Option<EventStream<u64>>>,
    bus: EventBus<u64>,
}

impl Wake for Holder {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.held.lock().unwrap().take());
        self.bus.publish(Timestamp::UNIX_EPOCH, 1);
    }
}

/// An event that may hold a stream of its bus.
#[derive(Clone)]
struct Event {
    #[allow(dead_code, reason = "held for its drop")]
    held: Option<Arc<EventStream<Self>>>,
}

#[test]
fn what_drops_with_a_waker_or_an_event_may_use_the_bus() {
    in_time(|| {
        let bus = EventBus::<u64>::default();
        let holder = || {
            let held = Mutex::new(Some(bus.subscribe()));
            let bus = bus.clone();
            Waker::from(Arc::new(Holder { held, bus }))
        };
        let mut stream = bus.subscribe();
        let poll = |stream: &mut EventStream<u64>, waker: Waker| -> bool {
            stream
                .poll_recv(&mut Context::from_waker(&waker))
                .is_pending()
        };
        assert!(poll(&mut stream, holder()));
        // Another waker takes its place; the first one is the last hold on its stream.
        assert!(poll(&mut stream, Waker::noop().clone()));
        assert!(stream.try_recv().is_some());
        assert!(poll(&mut stream, holder()));
        drop(stream);
        assert_eq!(bus.streams(), 0);

        // An event that holds a stream.
        let bus = EventBus::<Event>::new(NonZeroUsize::MIN);
        let _kept = bus.subscribe();
        let held = Some(Arc::new(bus.subscribe()));
        bus.publish(Timestamp::UNIX_EPOCH, Event { held });
        bus.publish(Timestamp::UNIX_EPOCH, Event { held: None });
        assert_eq!(bus.streams(), 1);
    });
}
