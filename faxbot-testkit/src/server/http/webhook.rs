//! How a vendor's callbacks come to the customer.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::webhook::{WebhookReply, WebhookRequest};
use http::{Method, StatusCode};
use tokio::{
    sync::{Notify, futures::Notified},
    task::JoinSet,
    time::Instant,
};
use url::Url;

use super::{
    fault::chance,
    post,
    vendor::{Callback, RetryRule},
};
use crate::random::{Seed, TestRng};

/// How much shorter the vendor's times between attempts are unless told otherwise: five minutes
/// become five milliseconds.
const SHORTER: u32 = 60_000;

/// How long a callback that is to come late is held when no other comes.
const HELD: Duration = Duration::from_millis(100);

type Handler =
    dyn Fn(WebhookRequest) -> Pin<Box<dyn Future<Output = WebhookReply> + Send>> + Send + Sync;

#[derive(Clone)]
enum Target {
    /// The callback's own URL.
    Given,
    /// Its path and query on another host.
    Host(Url),
    Handler(Arc<Handler>),
}

/// What goes wrong with one callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackFault {
    /// It never comes.
    Lost,
    /// It comes twice.
    Twice,
    /// It comes after the next one.
    Late,
    /// It comes with one byte of the body changed by somebody; its repetitions are whole.
    Tampered,
    /// It comes, the reply is lost, and so it is repeated.
    ReplyLost,
}

/// One attempt to deliver a callback. `Debug` leaves the reply out.
#[derive(Clone)]
#[non_exhaustive]
pub struct Delivery {
    /// The label of the callback.
    pub label: String,
    /// Its number, from 1; the same for its repetitions.
    pub number: u64,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// What went wrong with it.
    pub fault: Option<CallbackFault>,
    /// The status of the reply; `None` when there was none.
    pub status: Option<StatusCode>,
    /// The body of the reply.
    pub reply: Bytes,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("label", &self.label)
            .field("number", &self.number)
            .field("attempt", &self.attempt)
            .field("fault", &self.fault)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

struct Random {
    rng: TestRng,
    part: f64,
    kinds: Vec<CallbackFault>,
}

struct Book {
    target: Target,
    rule: RetryRule,
    shorter: u32,
    queue: VecDeque<(u64, Callback)>,
    /// All callbacks, as they were made.
    made: Vec<Callback>,
    faults: VecDeque<CallbackFault>,
    random: Option<Random>,
    deliveries: Vec<Delivery>,
    /// Queued, held, or waiting for another attempt.
    open: usize,
}

struct Shared {
    book: Mutex<Book>,
    queued: Notify,
    told: Notify,
}

/// Delivers the callbacks of a vendor, one after the other, and again by the vendor's rule when
/// they are not taken.
///
/// A callback goes to its own URL by a real HTTP request, but only to this machine; else it is
/// recorded as not delivered. [`to_host`](Self::to_host) and [`to`](Self::to) change that.
#[derive(Clone)]
pub struct WebhookSender(Arc<Shared>);

impl WebhookSender {
    pub(super) fn new(rule: RetryRule) -> Self {
        let book = Book {
            target: Target::Given,
            rule,
            shorter: SHORTER,
            queue: VecDeque::new(),
            made: Vec::new(),
            faults: VecDeque::new(),
            random: None,
            deliveries: Vec::new(),
            open: 0,
        };
        Self(Arc::new(Shared {
            book: Mutex::new(book),
            queued: Notify::new(),
            told: Notify::new(),
        }))
    }

    /// Delivers by HTTP to this host and port, whatever host a callback names: the public URL of a
    /// test is none that can be reached.
    pub fn to_host(&self, url: &Url) {
        self.lock().target = Target::Host(url.clone());
    }

    /// Delivers to a function of this process, such as a router's `dispatch`.
    pub fn to<F, R>(&self, handler: F)
    where
        F: Fn(WebhookRequest) -> R + Send + Sync + 'static,
        R: Future<Output = WebhookReply> + Send + 'static,
    {
        self.lock().target = Target::Handler(Arc::new(move |request| Box::pin(handler(request))));
    }

    /// What goes wrong with the next callback. Several queue up.
    pub fn next(&self, fault: CallbackFault) {
        self.lock().faults.push_back(fault);
    }

    /// Something goes wrong by chance with a part of the callbacks, from 0 to 1: one of `kinds`.
    /// The seed is printed.
    pub fn faults(&self, seed: Seed, part: f64, kinds: impl Into<Vec<CallbackFault>>) {
        seed.announce();
        self.lock().random = Some(Random {
            rng: TestRng::new(seed),
            part,
            kinds: kinds.into(),
        });
    }

    /// Makes the vendor's times between attempts so many times shorter (default 60,000); 1 is the
    /// real pace, for a clock that stands still.
    pub fn shorten(&self, times: u32) {
        self.lock().shorter = times.max(1);
    }

    /// How often and when it is tried again, instead of the vendor's rule.
    pub fn retry(&self, rule: RetryRule) {
        self.lock().rule = rule;
    }

    /// Delivers the callback with this number once more, as a vendor's console or an attacker does.
    /// `false` for a number that is none.
    pub fn replay(&self, number: u64) -> bool {
        let mut book = self.lock();
        let callback = number
            .checked_sub(1)
            .and_then(|at| book.made.get(usize::try_from(at).ok()?).cloned());
        let found = callback.is_some();
        if let Some(callback) = callback {
            book.queue.push_back((number, callback));
            book.open += 1;
        }
        drop(book);
        self.0.queued.notify_one();
        found
    }

    /// All callbacks so far as the vendor made them, in their order; the number of each is its place
    /// from 1.
    pub fn callbacks(&self) -> Vec<Callback> {
        self.lock().made.clone()
    }

    /// All attempts so far, in their order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.lock().deliveries.clone()
    }

    /// Waits until nothing is under way, for at most `within`; `false` when something still was.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn settled(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let told = self.0.told.notified();
            tokio::pin!(told);
            told.as_mut().enable();
            if self.lock().open == 0 {
                return true;
            }
            if tokio::time::timeout_at(deadline, told).await.is_err() {
                return self.lock().open == 0;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn told(&self) -> Notified<'_> {
        self.0.told.notified()
    }

    pub(super) fn push(&self, callbacks: Vec<Callback>) {
        if callbacks.is_empty() {
            return;
        }
        let mut book = self.lock();
        for callback in callbacks {
            book.made.push(callback.clone());
            let number = book.made.len() as u64;
            book.queue.push_back((number, callback));
            book.open += 1;
        }
        drop(book);
        self.0.queued.notify_one();
    }

    /// Delivers until the task ends.
    pub(super) async fn deliver(&self) {
        let mut again = JoinSet::new();
        let mut held: VecDeque<(u64, Callback)> = VecDeque::new();
        loop {
            let Some((number, callback, fault)) = self.take() else {
                tokio::select! {
                    () = self.0.queued.notified() => {}
                    () = tokio::time::sleep(HELD), if !held.is_empty() => {
                        for (number, callback) in held.drain(..) {
                            self.attempt_first(&mut again, number, callback, Some(CallbackFault::Late)).await;
                        }
                    }
                    Some(_) = again.join_next() => {}
                }
                continue;
            };
            if fault == Some(CallbackFault::Late) {
                held.push_back((number, callback));
                continue;
            }
            self.attempt_first(&mut again, number, callback, fault)
                .await;
            for (number, callback) in held.drain(..) {
                self.attempt_first(&mut again, number, callback, Some(CallbackFault::Late))
                    .await;
            }
        }
    }

    fn take(&self) -> Option<(u64, Callback, Option<CallbackFault>)> {
        let mut book = self.lock();
        let (number, callback) = book.queue.pop_front()?;
        let fault = book.faults.pop_front().or_else(|| {
            let random = book.random.as_mut()?;
            chance(&mut random.rng, random.part).then_some(())?;
            let at = random.rng.index(random.kinds.len());
            random.kinds.get(at).copied()
        });
        Some((number, callback, fault))
    }

    async fn attempt_first(
        &self,
        again: &mut JoinSet<()>,
        number: u64,
        callback: Callback,
        fault: Option<CallbackFault>,
    ) {
        let mut to_send = callback.clone();
        let mut times = 1;
        match fault {
            Some(CallbackFault::Lost) => times = 0,
            Some(CallbackFault::Twice) => times = 2,
            Some(CallbackFault::Tampered) => to_send.body = tampered(&callback.body),
            _ => {}
        }
        let (mut repeat, mut reached) = (times > 0, true);
        for _ in 0..times {
            let reply = self.attempt(number, 1, &to_send, fault).await;
            let lost = fault == Some(CallbackFault::ReplyLost);
            reached &= reply.is_ok();
            let status = reply.ok().flatten().filter(|_| !lost);
            repeat &= self.lock().rule.again(status);
        }
        if !(repeat && reached) {
            self.over();
            return;
        }
        let sender = self.clone();
        again.spawn(async move { sender.attempt_again(number, callback).await });
    }

    async fn attempt_again(&self, number: u64, callback: Callback) {
        let waits: Vec<Duration> = {
            let book = self.lock();
            let waits = book.rule.waits.iter();
            waits.map(|wait| *wait / book.shorter).collect()
        };
        for (attempt, wait) in (2..).zip(waits) {
            tokio::time::sleep(wait).await;
            let reply = self.attempt(number, attempt, &callback, None).await;
            if !self.lock().rule.again(reply.ok().flatten()) {
                break;
            }
        }
        self.over();
    }

    fn over(&self) {
        self.lock().open -= 1;
        self.0.told.notify_waiters();
    }

    /// One attempt. The error is for a callback that goes to a stranger: it is not sent.
    async fn attempt(
        &self,
        number: u64,
        attempt: u32,
        callback: &Callback,
        fault: Option<CallbackFault>,
    ) -> Result<Option<StatusCode>, Stranger> {
        let (target, patience) = {
            let book = self.lock();
            (book.target.clone(), book.rule.patience)
        };
        let (reached, reply) = match target {
            Target::Given if !post::is_ours(&callback.url) => (Err(Stranger), None),
            Target::Given => {
                let sent = post::post(&callback.url, callback);
                (Ok(()), within(patience, sent).await)
            }
            Target::Host(host) => {
                let mut url = host;
                url.set_path(callback.url.path());
                url.set_query(callback.url.query());
                (Ok(()), within(patience, post::post(&url, callback)).await)
            }
            Target::Handler(handler) => {
                let reply = handler(in_process(callback));
                let reply = async { Some(reply.await) };
                let reply = within(patience, reply).await;
                (Ok(()), reply.map(|reply| (reply.status, reply.body)))
            }
        };
        let (status, reply) =
            reply.map_or((None, Bytes::new()), |(status, body)| (Some(status), body));
        self.lock().deliveries.push(Delivery {
            label: callback.label.clone(),
            number,
            attempt,
            fault,
            status,
            reply,
        });
        self.0.told.notify_waiters();
        reached.map(|()| status)
    }
}

struct Stranger;

async fn within<T>(patience: Duration, reply: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(patience, reply).await.ok().flatten()
}

fn in_process(callback: &Callback) -> WebhookRequest {
    let path = match callback.url.query() {
        Some(query) => format!("{}?{query}", callback.url.path()),
        None => callback.url.path().to_owned(),
    };
    WebhookRequest::new(Method::POST, path)
        .with_headers(callback.headers.clone())
        .with_body(callback.body.clone())
}

/// The body with one bit changed, in its middle.
fn tampered(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

impl fmt::Debug for WebhookSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = self.lock();
        f.debug_struct("WebhookSender")
            .field("callbacks", &book.made.len())
            .field("deliveries", &book.deliveries.len())
            .field("open", &book.open)
            .finish_non_exhaustive()
    }
}
