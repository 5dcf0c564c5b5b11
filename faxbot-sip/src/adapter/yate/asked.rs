//! What the engine asks of us, and waits for: `call.route` and `msg.execute`. Each is answered at once,
//! but for the routing hook, which has a limit.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use faxbot_core::{id::CallId, task::TaskSet};
use tokio::sync::{Notify, mpsc};

use super::{
    core::Core,
    message,
    route::{Hook, RouteCall, RouteTarget},
};
use crate::{
    driver::Handle,
    protocol::yate::{Command, Incoming, Reply, YateSession},
};

/// How long a routing hook may take: less than the session waits before it says `false` (3 s), which is
/// less than the engine does (10 s).
const HOOK: Duration = Duration::from_secs(2);

/// What is kept of the session's own deadline for our answer to be written.
const MARGIN: Duration = Duration::from_millis(250);

/// Hooks that run at one time. What is beyond falls through.
const MAX_HOOKS: usize = 100;

/// Questions that wait for the task that answers; the session itself has as many open at the most.
const MAX_ASKED: usize = 1_000;

/// How long the connection may take to queue an answer.
const WRITE: Duration = Duration::from_secs(3);

/// What was asked, and how it is answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Question>,
    hook: Option<Hook>,
    /// Answers on the connection that asked, also while it is set up.
    handle: Option<Handle<YateSession>>,
}

#[derive(Debug)]
enum Question {
    Route(Incoming),
    /// The answer is known.
    Settled(Command),
}

impl Asked {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_hook(&self, hook: Hook) {
        self.inner().hook = Some(hook);
    }

    pub(super) fn has_hook(&self) -> bool {
        self.inner().hook.is_some()
    }

    /// A new connection: what the one before asked is void.
    pub(super) fn logged_in(&self) {
        let mut inner = self.inner();
        inner.queue.clear();
        inner.handle = None;
    }

    /// Answers can be given from now on.
    pub(super) fn answers_by(&self, handle: Handle<YateSession>) {
        self.inner().handle = Some(handle);
        self.wake.notify_one();
    }

    fn push(&self, question: Question) {
        let mut inner = self.inner();
        if inner.queue.len() < MAX_ASKED {
            inner.queue.push_back(question);
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// The engine asks.
    pub(super) fn question(&self, core: &Core, asked: Incoming) {
        let message = asked.message();
        if message.is("msg.execute") {
            let taken = message::received(core, &message);
            return self.push(Question::Settled(asked.answer(taken)));
        }
        if !message.is("call.route") {
            return self.push(Question::Settled(asked.answer(false)));
        }
        if message.text("route_type").as_deref() == Some("msg") {
            let way = core.config.incoming.then(|| message::address(&core.config));
            let answer = way.and_then(|way| asked.answer(true).retval(&way).ok());
            let answer = answer.unwrap_or_else(|| asked.answer(false));
            return self.push(Question::Settled(answer));
        }
        self.push(Question::Route(asked));
    }

    async fn next(&self) -> (Question, Handle<YateSession>) {
        loop {
            let wakes = self.wake.notified();
            {
                let mut inner = self.inner();
                if let Some(handle) = inner.handle.clone()
                    && let Some(question) = inner.queue.pop_front()
                {
                    return (question, handle);
                }
            }
            wakes.await;
        }
    }
}

/// A hook that runs.
struct Running {
    asked: Incoming,
    handle: Handle<YateSession>,
}

type Routed = Result<Option<RouteTarget>, TooSlow>;

/// What a hook said. Told also when it panics: then there is nothing in it.
struct Told {
    number: u64,
    routed: Option<Routed>,
    tell: mpsc::UnboundedSender<(u64, Option<Routed>)>,
}

impl Told {
    fn say(mut self, routed: Routed) {
        self.routed = Some(routed);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // The worker may be gone.
        let _ = self.tell.send((self.number, self.routed.take()));
    }
}

/// Answers what the engine asks, as long as the adapter runs.
pub(super) async fn answer(core: Arc<Core>) {
    let Ok(hooks) = TaskSet::current("on_route") else {
        return;
    };
    // Not more than one word of each hook that runs.
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut running: HashMap<u64, Running> = HashMap::new();
    let mut begun: u64 = 0;
    loop {
        tokio::select! {
            (question, handle) = core.asked.next() => match question {
                Question::Settled(answer) => {
                    say(&handle, answer).await;
                }
                Question::Route(asked) => {
                    let hook = core.asked.inner().hook.clone();
                    match hook {
                        None => by_ourselves(&core, &handle, &asked).await,
                        Some(_) if running.len() >= MAX_HOOKS => {
                            say(&handle, asked.answer(false)).await;
                        }
                        Some(hook) => {
                            begun += 1;
                            let told = Told { number: begun, routed: None, tell: tell.clone() };
                            let ask = ask(Arc::clone(&core), hook, asked.clone());
                            running.insert(begun, Running { asked, handle });
                            hooks.spawn_until_stopped(async move {
                                told.say(ask.await);
                            });
                        }
                    }
                }
            },
            Some((number, routed)) = told.recv() => {
                let Some(Running { asked, handle }) = running.remove(&number) else {
                    continue;
                };
                if routed.is_none() {
                    tracing::error!("yate: the routing hook panicked; the call falls through");
                }
                let routed = routed.and_then(Result::ok);
                match routed {
                    Some(None) => by_ourselves(&core, &handle, &asked).await,
                    Some(Some(target)) => {
                        let answer = target.answer(&asked);
                        if answer.is_err() {
                            tracing::warn!("yate: a target of the routing hook cannot be written");
                        }
                        let answer = answer.unwrap_or_else(|_| asked.answer(false));
                        say(&handle, answer).await;
                    }
                    None => {
                        say(&handle, asked.answer(false)).await;
                    }
                }
            }
        }
    }
}

/// The hook took too long.
struct TooSlow;

async fn ask(core: Arc<Core>, hook: Hook, asked: Incoming) -> Routed {
    let clock = &core.hub.clock;
    let own = asked.deadline().checked_sub(MARGIN);
    let until = own
        .unwrap_or_else(|| asked.deadline())
        .min(clock.now() + HOOK);
    let call = RouteCall::of(&asked.message());
    tokio::select! {
        biased;
        target = hook.ask(call) => Ok(target),
        () = clock.sleep_until(until) => {
            tracing::warn!("yate: the routing hook is too slow; the call falls through");
            Err(TooSlow)
        }
    }
}

/// No hook decided: the call comes to us, or goes on.
async fn by_ourselves(core: &Core, handle: &Handle<YateSession>, asked: &Incoming) {
    let offered = core.hub.change(|state, now| {
        let offered = state.books.offered(&asked.message(), now);
        let seat = offered.and_then(|(id, limit)| {
            let address = state.books.entrance.address(id)?;
            Some((id, address, limit))
        });
        (seat, Vec::new())
    });
    let Some((id, address, limit)) = offered else {
        say(handle, asked.answer(false)).await;
        return;
    };
    let answer = seat(asked, &address, limit);
    let said = match answer {
        Some(answer) => say(handle, answer).await,
        None => {
            say(handle, asked.answer(false)).await;
            false
        }
    };
    if !said {
        void(core, id);
    }
}

/// The call waits at a `dumb` channel. The engine itself ends it when nobody does.
fn seat(asked: &Incoming, address: &str, limit: Duration) -> Option<Command> {
    let answer = asked.answer(true).retval(&format!("dumb/{address}")).ok()?;
    answer.param("maxcall", limit.as_millis().to_string()).ok()
}

fn void(core: &Core, id: CallId) {
    core.hub.change(|state, _| {
        state.books.offer_is_void(id);
        ((), Vec::new())
    });
}

/// Whether the answer goes out, and in time.
async fn say(handle: &Handle<YateSession>, answer: Command) -> bool {
    matches!(handle.request(answer, WRITE).await, Ok(Reply::Sent))
}
