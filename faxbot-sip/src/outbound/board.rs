//! What is known of one call: shared by the task of its connection, which writes, and its handles,
//! which read.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use faxbot_core::{
    clock::SharedClock,
    event::{EventBus, EventStream},
};
use tokio::sync::{oneshot, watch};

use crate::{driver::LinkError, protocol::esl::Frame};

/// Events that a slow reader may be behind: many times what a call says at its end (about 10
/// events of 3 KB each).
const EVENTS: NonZeroUsize = match NonZeroUsize::new(256) {
    Some(events) => events,
    None => NonZeroUsize::MIN,
};

/// How far a call is.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The cause, empty if it was not told.
    pub(super) hung_up: Option<String>,
    /// Why the connection is over.
    pub(super) over: Option<LinkError>,
}

impl State {
    pub(super) fn is_up(&self) -> bool {
        self.hung_up.is_none() && self.over.is_none()
    }
}

pub(super) struct Board {
    uuid: String,
    clock: SharedClock,
    state: watch::Sender<State>,
    /// Who waits for the end of an application, by its id.
    waiting: Mutex<HashMap<String, oneshot::Sender<Frame>>>,
    /// Gone with the connection, so that the streams end.
    bus: Mutex<Option<EventBus<Frame>>>,
}

impl Board {
    pub(super) fn new(uuid: &str, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self {
            uuid: uuid.to_owned(),
            clock,
            state: watch::Sender::new(State::default()),
            waiting: Mutex::default(),
            bus: Mutex::new(Some(EventBus::new(EVENTS))),
        })
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Events from now on; at its end if the connection is over.
    pub(super) fn events(&self) -> EventStream<Frame> {
        match &*lock(&self.bus) {
            Some(bus) => bus.subscribe(),
            None => EventBus::new(NonZeroUsize::MIN).subscribe(),
        }
    }

    /// Waits for the end of the application with that id until the returned value is dropped.
    pub(super) fn expect(self: &Arc<Self>, id: String) -> Expected {
        let (sender, event) = oneshot::channel();
        lock(&self.waiting).insert(id.clone(), sender);
        Expected {
            board: Arc::clone(self),
            id,
            event,
        }
    }

    /// Something that the server said unasked.
    pub(super) fn take(&self, frame: Frame) {
        if frame.is_linger() {
            self.hung_up(None);
        }
        // A broken event is an event of that reader's matter.
        if let Ok(Some(event)) = frame.event() {
            let ours = || event.text("Unique-ID").is_some_and(|id| id == self.uuid);
            match event.name().as_deref() {
                Some("CHANNEL_HANGUP" | "CHANNEL_HANGUP_COMPLETE") if ours() => {
                    self.hung_up(event.text("Hangup-Cause").as_deref());
                }
                Some("CHANNEL_EXECUTE_COMPLETE") if ours() => {
                    let waiter = event
                        .text("Application-UUID")
                        .and_then(|id| lock(&self.waiting).remove(&*id));
                    if let Some(waiter) = waiter {
                        // Who waited may have left.
                        let _ = waiter.send(frame.clone());
                    }
                }
                _ => {}
            }
        }
        let bus = lock(&self.bus).clone();
        if let Some(bus) = bus.filter(|bus| bus.streams() > 0) {
            bus.publish(self.clock.timestamp(), frame);
        }
    }

    fn hung_up(&self, cause: Option<&str>) {
        self.state.send_if_modified(|state| {
            let known = state.hung_up.as_deref();
            let news = known.is_none() || (known == Some("") && cause.is_some());
            if news {
                state.hung_up = Some(cause.unwrap_or_default().to_owned());
            }
            news
        });
    }

    /// The connection is over. The first reason counts.
    pub(super) fn over(&self, reason: LinkError) {
        self.state.send_if_modified(|state| {
            let news = state.over.is_none();
            state.over.get_or_insert(reason);
            news
        });
        drop(lock(&self.bus).take());
    }
}

/// Who waits for the end of one application.
pub(super) struct Expected {
    pub(super) board: Arc<Board>,
    id: String,
    pub(super) event: oneshot::Receiver<Frame>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.board.waiting).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
