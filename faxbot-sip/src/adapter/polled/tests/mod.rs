mod connect;
mod disconnect;
mod lost;
mod work;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use faxbot_core::{
    Error, ErrorKind, Private, Result,
    clock::TokioClock,
    event::EventStream,
    id::CallId,
    sip::{AdapterKind, Capabilities, ConnectionState, SipEvent},
    task::TaskSet,
};

use super::{NoLink, Polled, PolledLife, Timing, Work};
use crate::adapter::{
    dialogs::{Dialogs, NewOurs, Seen, Stage, Todo},
    hub::{Book as _, Hub},
};

const SECOND: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(2);

/// What happens to one request.
#[derive(Debug, Clone)]
enum Step {
    Good,
    Fails(ErrorKind),
    /// The server says that it takes no more now.
    Busy,
    /// Takes this long, and goes well.
    Slow(Duration),
    Hangs,
}

impl Step {
    async fn go(self) -> Result<()> {
        match self {
            Self::Good => Ok(()),
            Self::Fails(kind) => Err(Error::new(kind, "test", "failed")),
            Self::Busy => {
                let error = Error::new(ErrorKind::Overloaded, "test", "failed");
                Err(error.with_native(Some("429".to_owned()), None))
            }
            Self::Slow(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Self::Hangs => std::future::pending().await,
        }
    }
}

#[derive(Debug)]
struct Fake {
    hub: Hub<NoLink, Dialogs>,
    timing: Mutex<Timing>,
    set_ups: Mutex<VecDeque<Step>>,
    polls: Mutex<VecDeque<Step>>,
    /// What was asked of it, and when.
    log: Mutex<Vec<(&'static str, Duration)>>,
    began: tokio::time::Instant,
    /// Tasks of set-ups that run.
    running: Arc<AtomicUsize>,
    /// Looks at the server that are under way.
    looking: AtomicUsize,
    hang_up: Mutex<Step>,
    closing: Mutex<Step>,
    hangs_up: bool,
    work: Mutex<Step>,
}

/// Counts a task that runs.
struct Runs(Arc<AtomicUsize>);

impl Runs {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    fn new() -> Self {
        let timing = Timing {
            connect_timeout: 15 * SECOND,
            poll: POLL,
            wait_for_server: false,
        };
        Self {
            hub: Hub::new(
                "fake",
                TokioClock::shared(),
                Dialogs::new(AdapterKind::KAMAILIO),
                Capabilities::default(),
            ),
            timing: Mutex::new(timing),
            set_ups: Mutex::default(),
            polls: Mutex::default(),
            log: Mutex::default(),
            began: tokio::time::Instant::now(),
            running: Arc::default(),
            looking: AtomicUsize::new(0),
            hang_up: Mutex::new(Step::Good),
            closing: Mutex::new(Step::Good),
            hangs_up: false,
            work: Mutex::new(Step::Good),
        }
    }

    fn set_ups(self, steps: &[Step]) -> Self {
        self.set_ups.lock().unwrap().extend(steps.iter().cloned());
        self
    }

    fn polls(self, steps: &[Step]) -> Self {
        self.polls.lock().unwrap().extend(steps.iter().cloned());
        self
    }

    fn waits_for_server(self) -> Self {
        self.timing.lock().unwrap().wait_for_server = true;
        self
    }

    fn life(self) -> PolledLife<Self> {
        PolledLife::new(Arc::new(self))
    }

    fn note(&self, what: &'static str) {
        self.log.lock().unwrap().push((what, self.began.elapsed()));
    }

    /// When something was asked of it.
    fn times(&self, what: &str) -> Vec<Duration> {
        let log = self.log.lock().unwrap();
        let these = log.iter().filter(|(it, _)| *it == what);
        these.map(|(_, at)| *at).collect()
    }

    fn count(&self, what: &str) -> usize {
        self.times(what).len()
    }

    fn state(&self) -> ConnectionState {
        self.hub.state().connection
    }

    /// A call of ours that the server took.
    fn call(&self) -> CallId {
        let id = CallId::new();
        self.hub.events(|state, now| {
            let new = NewOurs {
                id,
                from: None,
                to: Private::new("sip:2000@pbx".to_owned()),
                ring_timeout: 60 * SECOND,
            };
            state.books.open_ours(new, now).unwrap();
            state.books.taken(id, now)
        });
        id
    }
}

fn next(steps: &Mutex<VecDeque<Step>>) -> Step {
    let mut steps: MutexGuard<'_, _> = steps.lock().unwrap();
    steps.pop_front().unwrap_or(Step::Good)
}

impl Polled for Fake {
    type Books = Dialogs;

    fn hub(&self) -> &Hub<NoLink, Dialogs> {
        &self.hub
    }

    fn timing(&self) -> Timing {
        *self.timing.lock().unwrap()
    }

    async fn set_up(self: &Arc<Self>, tasks: &TaskSet) -> Result<()> {
        self.note("set up");
        let running = Runs::new(&self.running);
        tasks.spawn_until_stopped(async move {
            let _running = running;
            std::future::pending::<()>().await;
        });
        assert_eq!(self.looking.fetch_add(1, Ordering::SeqCst), 0);
        let _look = Look(&self.looking);
        next(&self.set_ups).go().await
    }

    async fn poll(self: &Arc<Self>) -> Result<()> {
        self.note("poll");
        assert_eq!(self.looking.fetch_add(1, Ordering::SeqCst), 0);
        let _look = Look(&self.looking);
        next(&self.polls).go().await
    }

    fn work(todo: &Todo) -> Work {
        todo.work()
    }

    async fn carry_out(self: &Arc<Self>, todo: Todo) {
        self.note(match todo {
            Todo::Look(_) => "look",
            Todo::Settle(_) => "settle",
            _ => "other",
        });
        let step = self.work.lock().unwrap().clone();
        let _ = step.go().await;
    }

    async fn close(&self) {
        self.note("close");
        let step = self.closing.lock().unwrap().clone();
        let _ = step.go().await;
    }

    fn hangs_up_on_close(&self) -> bool {
        self.hangs_up
    }

    async fn hang_up_on_close(&self, _id: CallId, _limit: Duration) -> Result<()> {
        self.note("hang up");
        let step = self.hang_up.lock().unwrap().clone();
        step.go().await
    }
}

/// A look that is over, however it ends.
struct Look<'a>(&'a AtomicUsize);

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A dialog that is up.
fn seen(call_id: &str) -> Seen {
    Seen {
        call_id: call_id.to_owned(),
        from_tag: "tag".to_owned(),
        to_tag: None,
        stage: Stage::Up,
        from: None,
        to: None,
        handle: "1:2".to_owned(),
        mark: None,
        begun: None,
        answered: None,
        ended: None,
    }
}

/// The states of the connection that were told, with the length of the gap.
fn connections(events: &mut EventStream<SipEvent>) -> Vec<(ConnectionState, Option<Duration>)> {
    let mut told = Vec::new();
    while let Some(Ok(stamped)) = events.try_recv() {
        if let SipEvent::ConnectionStateChanged(changed) = stamped.event {
            let gap = changed.gap.map(|gap| gap.to.duration_since(gap.from));
            told.push((changed.state, gap));
        }
    }
    told
}
