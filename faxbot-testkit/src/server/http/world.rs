//! What the links of a mock share.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    answer::HttpAnswer,
    fault::{FaultKind, Faults},
    request::SeenRequest,
    vendor::MockVendor,
    webhook::WebhookSender,
};

/// Requests that are kept; older ones are dropped.
const KEPT_REQUESTS: usize = 100_000;

/// Shortest time between two looks at the vendor's clock.
const TICK: Duration = Duration::from_millis(1);

pub(super) struct State<V> {
    pub(super) vendor: V,
    pub(super) faults: Faults,
    pub(super) requests: VecDeque<SeenRequest>,
}

pub(super) struct World<V> {
    state: Mutex<State<V>>,
    /// Told after every change of the vendor.
    changed: Notify,
    /// Told after every change that a test may wait for.
    pub(super) told: Notify,
    pub(super) up: watch::Sender<bool>,
    pub(super) webhooks: WebhookSender,
}

impl<V: MockVendor> World<V> {
    pub(super) fn new(vendor: V) -> Self {
        let webhooks = WebhookSender::new(vendor.retry_rule());
        Self {
            state: Mutex::new(State {
                vendor,
                faults: Faults::default(),
                requests: VecDeque::new(),
            }),
            changed: Notify::new(),
            told: Notify::new(),
            up: watch::Sender::new(true),
            webhooks,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ages the vendor to now, changes it, and lets everybody know.
    pub(super) fn change<T>(&self, with: impl FnOnce(&mut State<V>, Instant) -> T) -> T {
        let result = {
            let mut state = self.lock();
            let now = Instant::now();
            let callbacks = state.vendor.tick(now);
            // Under the lock, so that they are queued in their order.
            self.webhooks.push(callbacks);
            with(&mut state, now)
        };
        self.changed.notify_one();
        self.told.notify_waiters();
        result
    }

    /// What goes wrong with a request whose head is there.
    pub(super) fn take_fault(&self, method: &http::Method, path: &str) -> Option<FaultKind> {
        self.lock().faults.take(method, path)
    }

    /// Lets the vendor act on a request, or not.
    pub(super) async fn answer(
        &self,
        mut request: SeenRequest,
        fault: Option<FaultKind>,
    ) -> HttpAnswer {
        if let Some(FaultKind::Late(time)) = &fault {
            tokio::time::sleep(*time).await;
        }
        request.fault.clone_from(&fault);
        let (answer, acted) = self.change(|state, now| {
            if state.requests.len() == KEPT_REQUESTS {
                state.requests.pop_front();
            }
            state.requests.push_back(request.clone());
            if let Some(answer) = fault.as_ref().and_then(FaultKind::instead) {
                return (answer, false);
            }
            (state.vendor.handle(&request, now), true)
        });
        match fault {
            Some(fault) if acted => fault.spoil(answer.kept().await),
            Some(_) => answer,
            None => answer.kept().await,
        }
    }

    /// Ages the vendor whenever it has something to do.
    pub(super) async fn age(&self) {
        loop {
            let due = {
                let mut state = self.lock();
                let now = Instant::now();
                let callbacks = state.vendor.tick(now);
                self.webhooks.push(callbacks);
                // Not at once, for a vendor that is due and has nothing to do.
                state.vendor.due().map(|due| due.max(now + TICK))
            };
            self.told.notify_waiters();
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.changed.notified() => {}
            }
        }
    }
}
