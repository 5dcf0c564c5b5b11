//! A mocked server as a test has it, whatever its protocol.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    task::AbortHandle,
};

use super::{
    base::{Closing, Server},
    builder::MockBuilder,
    connector::{self, MemoryConnector},
    incoming::CallerSaw,
    message::SentMessage,
    record::{Expected, ReceivedFax, SeenAction, Unmet},
    script::{CallScript, ReplyFault},
};

/// A mocked server. Dropping it ends all its connections and checks the expectations.
///
/// What a client asks for is an *action* here: an action of AMI, a command of the event socket, a
/// message to the engine.
pub struct Mock<S: Server> {
    pub(super) world: Arc<S>,
    address: Option<SocketAddr>,
    root: AbortHandle,
    verified: bool,
}

impl<S: Server> Mock<S> {
    pub(super) fn new(world: Arc<S>, address: Option<SocketAddr>, root: AbortHandle) -> Self {
        Self {
            world,
            address,
            root,
            verified: false,
        }
    }

    /// Sets one up.
    pub fn builder() -> MockBuilder<S> {
        MockBuilder::default()
    }

    pub(super) fn world(&self) -> &Arc<S> {
        &self.world
    }

    /// Where it listens; port 0 when it has no port.
    pub fn address(&self) -> SocketAddr {
        self.address
            .unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// How a client is told to come, such as `ami://user:secret@127.0.0.1:port` of the first
    /// account, or `esl://:password@127.0.0.1:port`.
    pub fn url(&self) -> String {
        self.world.url(self.address())
    }

    /// A client's end of a link in memory, for a paused clock. It is closed at once while the
    /// server is down.
    pub fn connect_duplex(&self) -> DuplexStream {
        connector::link(&self.world).0
    }

    /// Links in memory for the driver (`faxbot_sip::driver::Connect`).
    pub fn connector(&self) -> MemoryConnector {
        MemoryConnector::new(Arc::clone(&self.world))
    }

    /// Serves a client on any stream, such as one with faults.
    pub fn serve<IO>(&self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let base = self.world.base();
        if base.lock().listening {
            let world = Arc::clone(&self.world);
            base.spawn_free(world.serve(Box::new(io), "127.0.0.1/0".to_owned()));
        }
    }

    /// What happens to the next call, before all rules. Several queue up.
    pub fn next_call(&self, script: CallScript) {
        self.world.base().lock().next_calls.push_back(script);
    }

    /// What happens to calls to a number from now on; see [`MockBuilder::on_dial`].
    pub fn on_dial(&self, pattern: &str, script: CallScript) {
        let mut state = self.world.base().lock();
        state.rules.push((pattern.to_owned(), script));
    }

    /// What goes wrong with the reply to the next action of that name.
    pub fn next_reply(&self, action: &str, fault: ReplyFault) {
        let mut state = self.world.base().lock();
        state.next_replies.push((action.to_owned(), fault));
    }

    /// Expects an action, at least once unless the answer says otherwise.
    pub fn expect(&self, action: &str) -> Expectation<'_> {
        let index = {
            let mut state = self.world.base().lock();
            state.record.expected.push(Expected {
                action: action.to_owned(),
                header: None,
                least: 1,
                most: usize::MAX,
            });
            state.record.expected.len() - 1
        };
        let change = move |with: &dyn Fn(&mut Expected)| {
            if let Some(it) = self.world.base().lock().record.expected.get_mut(index) {
                with(it);
            }
        };
        Expectation {
            change: Box::new(change),
        }
    }

    /// All actions of all clients so far, in their order.
    pub fn actions(&self) -> Vec<SeenAction> {
        self.world.base().lock().record.actions.clone()
    }

    /// The actions of that name so far.
    pub fn actions_named(&self, name: &str) -> Vec<SeenAction> {
        let mut actions = self.actions();
        actions.retain(|action| action.name.eq_ignore_ascii_case(name));
        actions
    }

    /// The faxes whose file was read so far, in their order.
    pub fn received_faxes(&self) -> Vec<ReceivedFax> {
        self.world.base().lock().received.clone()
    }

    /// The messages that clients sent so far, in their order.
    pub fn messages_sent(&self) -> Vec<SentMessage> {
        let state = self.world.base().lock();
        state.messages.iter().cloned().collect()
    }

    /// The digits that were sent to the far end of a channel so far, also after its end.
    pub fn dtmf_sent(&self, id: &str) -> String {
        let state = self.world.base().lock();
        state.digits.get(id).cloned().unwrap_or_default()
    }

    /// What the caller of an incoming call sees; `None` for an id that is none, or long gone.
    pub fn caller_saw(&self, id: &str) -> Option<CallerSaw> {
        let state = self.world.base().lock();
        let ended = state.callers.get(id)?.ended;
        Some(match (ended, S::answered(&state, id)) {
            (Some(cause), _) => CallerSaw::Ended { cause },
            // A server that died says no goodbye.
            (None, None) => CallerSaw::Ended { cause: 0 },
            (None, Some(true)) => CallerSaw::Answered,
            (None, Some(false)) => CallerSaw::Ringing,
        })
    }

    /// What went over the wire, with everything personal masked.
    pub fn transcript(&self) -> String {
        self.world.base().lock().record.transcript()
    }

    /// The id of each channel that is up or being set up: `Uniqueid`, `Unique-ID`.
    pub fn channels(&self) -> Vec<String> {
        S::channels(&self.world.base().lock())
    }

    /// Number of clients that are connected.
    pub fn connections(&self) -> usize {
        self.world.base().lock().clients.len()
    }

    /// Waits until `look` finds what it wants, at most `within`. It is asked after each change.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_until<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Option<T> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let changed = self.world.base().changed.notified();
            if let Some(found) = look(self) {
                return Some(found);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return look(self);
            }
        }
    }

    /// Waits until that action came so many times; false when it did not within 30 s.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_for(&self, action: &str, times: usize) -> bool {
        let enough = |mock: &Self| (mock.actions_named(action).len() >= times).then_some(());
        self.wait_until(Duration::from_secs(30), enough)
            .await
            .is_some()
    }

    /// Cuts all links. Calls and faxes go on.
    pub fn drop_links(&self) {
        self.world.base().change(|state| {
            state.record.note("all links dropped");
            state.close_all(Closing::Cut);
        });
    }

    /// Writes these bytes to every client, as they are.
    pub fn send_raw(&self, bytes: impl Into<bytes::Bytes>) {
        let bytes = bytes.into();
        self.world.base().change(|state| {
            state.record.note("raw bytes sent");
            for client in state.clients.values() {
                let _gone = client.events.send(bytes.clone());
            }
        });
    }

    /// Nobody can connect from now on, and calls go on; `false` ends it.
    pub fn unreachable(&self, yes: bool) {
        self.world.base().change(|state| state.listening = !yes);
    }

    /// From now on the server takes no more work, and calls go on; `false` ends it. Asterisk
    /// answers every action, a login too, with `Asterisk is shutting down`; FreeSWITCH refuses new
    /// calls, as by `fsctl pause`, and sends new clients away.
    pub fn shutting_down(&self, yes: bool) {
        self.world.base().change(|state| state.shutting_down = yes);
    }

    /// An orderly restart: the server says so, links are closed, nobody listens for `down`, then it
    /// boots. Calls are lost; what the server keeps on disk stays.
    pub fn restart(&self, down: Duration) {
        self.stop(true, Some(down));
    }

    /// The same as by SIGKILL: no word, and nothing that was to run at the end of a call runs.
    pub fn kill(&self, down: Duration) {
        self.stop(false, Some(down));
    }

    /// Stops it for good: connections are refused until [`start_again`](Self::start_again).
    pub fn stop_now(&self) {
        self.stop(true, None);
    }

    /// Starts it after [`stop_now`](Self::stop_now).
    pub fn start_again(&self) {
        start_again(&self.world);
    }

    fn stop(&self, orderly: bool, down: Option<Duration>) {
        stop(&self.world, orderly, down.is_some());
        if let Some(down) = down {
            let world = Arc::clone(&self.world);
            self.world.base().spawn_free(async move {
                tokio::time::sleep(down).await;
                start_again(&world);
            });
        }
    }

    /// Whether the expectations are met.
    ///
    /// # Errors
    /// [`Unmet`] with those that are not, and the masked transcript.
    pub fn verify(&self) -> Result<(), Unmet> {
        let state = self.world.base().lock();
        let lines = state.record.unmet();
        if lines.is_empty() {
            return Ok(());
        }
        Err(Unmet {
            lines,
            transcript: state.record.transcript(),
        })
    }

    /// Ends it: lets what was sent arrive, then checks the expectations.
    ///
    /// # Panics
    /// When an expectation is not met, with the masked transcript.
    ///
    /// # Cancel safety
    /// Dropped before the end, the expectations are checked by the drop.
    pub async fn finish(mut self) {
        // What clients have written is read by tasks that wait for their turn.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let result = self.verify();
        self.verified = true;
        check::<S>(&result);
    }
}

fn check<S: Server>(result: &Result<(), Unmet>) {
    let why = result.as_ref().err().map(ToString::to_string);
    assert!(why.is_none(), "{}: {}", S::NAME, why.unwrap_or_default());
}

/// Stops a server: what runs in it is lost, its clients are sent away. Orderly, they are told
/// first; else the links are simply cut, as by SIGKILL.
pub(super) fn stop<S: Server>(world: &Arc<S>, orderly: bool, restart: bool) {
    world.base().change(|state| {
        world.stopping(state, orderly, restart);
        state.record.note(if orderly {
            "server stops"
        } else {
            "server killed"
        });
        state.close_all(if orderly {
            Closing::Drained
        } else {
            Closing::Cut
        });
        state.run.send_modify(|run| *run += 1);
        state.listening = false;
    });
}

/// Starts a server again.
pub(super) fn start_again<S: Server>(world: &Arc<S>) {
    // First what the new run is, which clients ask for.
    world.started();
    world.base().change(|state| {
        state.listening = true;
        state.shutting_down = false;
        state.record.note("server listens again");
    });
}

impl<S: Server> Drop for Mock<S> {
    fn drop(&mut self) {
        self.root.abort();
        if self.verified {
            return;
        }
        if std::thread::panicking() {
            // The test has failed already: show what went on, and do not panic twice.
            eprintln!("{} transcript:\n{}", S::NAME, self.transcript());
            return;
        }
        check::<S>(&self.verify());
    }
}

impl<S: Server> fmt::Debug for Mock<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(S::NAME)
            .field("address", &self.address)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

type Change<'a> = dyn Fn(&dyn Fn(&mut Expected)) + 'a;

/// How often an action is expected. Counts from the start of the mock to the check.
pub struct Expectation<'a> {
    change: Box<Change<'a>>,
}

impl Expectation<'_> {
    fn set(self, with: impl Fn(&mut Expected)) -> Self {
        (self.change)(&with);
        self
    }

    /// Exactly so many.
    pub fn times(self, times: usize) -> Self {
        self.set(|expected| (expected.least, expected.most) = (times, times))
    }

    /// So many or more.
    pub fn at_least(self, times: usize) -> Self {
        self.set(|expected| (expected.least, expected.most) = (times, usize::MAX))
    }

    /// So many or fewer.
    pub fn at_most(self, times: usize) -> Self {
        self.set(|expected| (expected.least, expected.most) = (0, times))
    }

    /// Never.
    pub fn never(self) -> Self {
        self.times(0)
    }

    /// Only those with this header.
    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.set(|expected| expected.header = Some((name.to_owned(), value.to_owned())))
    }
}

impl fmt::Debug for Expectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expectation").finish_non_exhaustive()
    }
}
