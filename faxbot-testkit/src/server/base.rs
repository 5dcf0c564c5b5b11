//! What every mock server is made of: the state that all its connections and calls share, and
//! what a protocol has to bring.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::Future,
    net::SocketAddr,
    ops::DerefMut,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use faxbot_core::{Timestamp, clock::Clock, clock::TokioClock};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc, watch},
};

use super::{
    files::Paths,
    incoming::Caller,
    kept::Kept,
    message::SentMessage,
    record::{Masking, ReceivedFax, Record},
    script::{CallScript, ReplyFault, Timings},
};

/// Sent messages that are kept; older ones are dropped.
const KEPT_MESSAGES: usize = 10_000;

pub(super) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A stream that a client is at the other end of.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// A protocol's part of a [`Mock`](super::Mock). Only the mocks of this crate have one.
pub trait Server: Send + Sync + Sized + fmt::Debug + 'static {
    /// Its state, with the part that all mocks share.
    type State: DerefMut<Target = Common<Self::Client>> + Send;
    /// What it keeps of a client.
    type Client: Send;
    /// What its builder sets beside what all builders set.
    type Setup: Default + fmt::Debug + Send;

    /// The name of the mock, for what it says of unmet expectations.
    const NAME: &'static str;

    /// Makes the server.
    fn open(setup: Self::Setup, shared: Shared, jobs: Jobs) -> Self;

    /// The shared parts.
    fn base(&self) -> &Base<Self::State>;

    /// Serves one client until it goes or is sent away.
    fn serve(self: Arc<Self>, io: Box<dyn Io>, peer: String) -> Job;

    /// How a client is told to come.
    fn url(&self, address: SocketAddr) -> String;

    /// It stops: what is said first when that is done orderly, and what is lost. The clients are
    /// sent away by the caller.
    fn stopping(&self, state: &mut Self::State, orderly: bool, restart: bool);

    /// It listens for the first time.
    fn opened(self: &Arc<Self>) {}

    /// It is about to listen again.
    fn started(self: &Arc<Self>);

    /// Whether a channel is answered; `None` when there is none.
    fn answered(state: &Self::State, id: &str) -> Option<bool>;

    /// The ids of all channels, in the order they were made.
    fn channels(state: &Self::State) -> Vec<String>;
}

/// What the builders of all mocks set.
#[derive(Debug)]
pub struct Shared {
    pub(super) timings: Option<Timings>,
    pub(super) paths: Paths,
    pub(super) rules: Vec<(String, CallScript)>,
    pub(super) in_memory: bool,
}

/// Where jobs are handed to the task that owns them all.
pub(super) type Jobs = mpsc::UnboundedSender<Job>;

/// The clock, the state with its lock, the tasks.
pub struct Base<S> {
    pub(super) clock: TokioClock,
    /// Told after every change that a test may wait for.
    pub(super) changed: Notify,
    state: Mutex<S>,
    jobs: Jobs,
}

impl<S> fmt::Debug for Base<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").finish_non_exhaustive()
    }
}

impl<S> Base<S> {
    pub(super) fn new(clock: TokioClock, state: S, jobs: Jobs) -> Self {
        Self {
            clock,
            changed: Notify::new(),
            state: Mutex::new(state),
            jobs,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes who waits for it.
    pub(super) fn change<T>(&self, with: impl FnOnce(&mut S) -> T) -> T {
        let result = with(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Runs a job that outlives a stop of the server.
    pub(super) fn spawn_free(&self, job: impl Future<Output = ()> + Send + 'static) {
        // The root task is gone only when the mock is dropped, and then nobody waits.
        let _gone = self.jobs.send(Box::pin(job));
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }

    /// Runs a job of this run of the server: it ends with the server.
    pub(super) fn spawn<C>(&self, job: impl Future<Output = ()> + Send + 'static)
    where
        S: DerefMut<Target = Common<C>>,
    {
        let mut run = self.lock().run.subscribe();
        self.spawn_free(async move {
            tokio::select! {
                biased;
                _ = run.changed() => {}
                () = job => {}
            }
        });
    }
}

/// How a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    /// What is queued goes out first.
    Drained,
    /// At once.
    Cut,
}

/// A client, with what its protocol knows of it.
#[derive(Debug)]
pub(super) struct Client<C> {
    pub own: C,
    // Not bounded: the servers queue events for a session without limit, or with one that no test
    // reaches, and a mock that dropped some would test another server.
    pub events: mpsc::UnboundedSender<Bytes>,
    pub closing: watch::Sender<Closing>,
}

/// The part of the state that all mocks share.
#[derive(Debug)]
pub struct Common<C> {
    pub(super) record: Record,
    pub(super) clients: HashMap<u32, Client<C>>,
    pub(super) client_number: u32,
    pub(super) rules: Vec<(String, CallScript)>,
    pub(super) next_calls: VecDeque<CallScript>,
    pub(super) next_replies: Vec<(String, ReplyFault)>,
    pub(super) received: Vec<ReceivedFax>,
    /// Callers from outside.
    pub(super) callers: Kept<Caller>,
    /// Digits that were sent to the far end of a channel.
    pub(super) digits: Kept<String>,
    pub(super) messages: VecDeque<SentMessage>,
    pub(super) listening: bool,
    pub(super) shutting_down: bool,
    /// Ends what runs when the server stops.
    pub(super) run: watch::Sender<u32>,
}

impl<C> Common<C> {
    pub(super) fn new(masking: Masking, rules: Vec<(String, CallScript)>) -> Self {
        Self {
            record: Record::new(masking),
            clients: HashMap::new(),
            client_number: 0,
            rules,
            next_calls: VecDeque::new(),
            next_replies: Vec::new(),
            received: Vec::new(),
            callers: Kept::default(),
            digits: Kept::default(),
            messages: VecDeque::new(),
            listening: true,
            shutting_down: false,
            run: watch::Sender::new(0),
        }
    }

    /// The script of the next call: to a number, or to the whole dial string that has it.
    pub(super) fn script_for(&mut self, number: &str, whole: &str) -> CallScript {
        if let Some(script) = self.next_calls.pop_front() {
            return script;
        }
        self.rules
            .iter()
            .rev()
            .find(|(pattern, _)| matches(pattern, number) || matches(pattern, whole))
            .map_or_else(CallScript::answer, |(_, script)| script.clone())
    }

    /// The first fault that waits for this action.
    pub(super) fn take_fault(&mut self, action: &str) -> Option<ReplyFault> {
        let at = self
            .next_replies
            .iter()
            .position(|(name, _)| name.eq_ignore_ascii_case(action))?;
        Some(self.next_replies.remove(at).1)
    }

    /// A message went out.
    pub(super) fn sent(&mut self, message: SentMessage) {
        if self.messages.len() == KEPT_MESSAGES {
            self.messages.pop_front();
        }
        self.messages.push_back(message);
    }

    /// All links end like this.
    pub(super) fn close_all(&self, closing: Closing) {
        for client in self.clients.values() {
            client.closing.send_replace(closing);
        }
    }
}

/// `*` at the end stands for anything.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_of_a_pattern_stands_for_anything() {
        assert!(matches("+1555*", "+15551234"));
        assert!(matches("*", "x"));
        assert!(!matches("700", "7001"));
    }
}
