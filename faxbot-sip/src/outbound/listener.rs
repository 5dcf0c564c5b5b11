//! The port that FreeSWITCH connects to, and the calls that it brings.

use std::{
    fmt,
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use faxbot_core::{
    Result,
    clock::{SharedClock, TokioClock},
    random::{SharedRandom, SystemRandom},
    task::TaskSet,
};
use tokio::sync::mpsc;

use super::{call::OutboundCall, serve::serve};
use crate::{
    driver::{
        Accept, Acceptor, AllowList, CloseReport, Incoming, Listener, ListenerOptions,
        ListenerStatus,
    },
    protocol::esl::{EslCodec, EslConfig, EslSession, MAX_FRAME, Role},
};

/// The port that FreeSWITCH takes if its line says none (`socket_function` in
/// `mod_event_socket.c`).
const PORT: u16 = 8084;

/// What the tasks get to end by themselves once the connections are over.
const LAST_WORD: Duration = Duration::from_millis(200);

/// How calls are taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutboundOptions {
    /// Where to listen. Default `127.0.0.1:8084`; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whose connections are taken: there is no login. Default this machine only.
    pub allow: AllowList,
    /// Calls that are served at once, as long as a clone of their [`OutboundCall`] lives. Above it
    /// none is accepted: FreeSWITCH waits in the system's queue, for about 25 s. Default 256.
    pub max_calls: usize,
    /// From the accepted connection to the call that is given out. Default 10 s.
    pub ready_timeout: Duration,
    /// How long FreeSWITCH may take to answer an order, where none is said. Default 5 s.
    pub request_timeout: Duration,
    /// How long the good-bye may take when the last handle of a call is dropped. Default 2 s.
    pub close_timeout: Duration,
    /// Times and limits of each session. Its events are JSON whatever it says.
    pub session: EslConfig,
}

impl OutboundOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            allow: AllowList::loopback(),
            max_calls: 256,
            ready_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(5),
            close_timeout: Duration::from_secs(2),
            session: EslConfig::new(),
        }
    }

    /// Sets [`address`](Self::address).
    #[must_use]
    pub fn with_address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Sets [`allow`](Self::allow).
    #[must_use]
    pub fn with_allow(mut self, allow: AllowList) -> Self {
        self.allow = allow;
        self
    }

    /// Sets [`max_calls`](Self::max_calls), at least 1.
    #[must_use]
    pub fn with_max_calls(mut self, calls: usize) -> Self {
        self.max_calls = calls;
        self
    }

    /// Sets [`ready_timeout`](Self::ready_timeout).
    #[must_use]
    pub fn with_ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// Sets [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`close_timeout`](Self::close_timeout).
    #[must_use]
    pub fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets [`session`](Self::session).
    #[must_use]
    pub fn with_session(mut self, config: EslConfig) -> Self {
        self.session = config;
        self
    }
}

impl Default for OutboundOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// The calls in the order in which they come. Dropping it stops accepting; calls that were taken
/// go on.
pub struct OutboundCalls(mpsc::Receiver<OutboundCall>);

impl OutboundCalls {
    /// The next call; `None` when the listener accepts no more and all were taken.
    ///
    /// # Cancel safety
    /// No call is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<OutboundCall> {
        self.0.recv().await
    }

    /// Runs `handler` for each call, each in a task of its own, until the listener has ended and
    /// all of them are done. A handler that panics loses its own call (it is hung up unless it was
    /// resumed) and no other.
    ///
    /// # Cancel safety
    /// Dropping the future aborts the handlers that run.
    pub async fn for_each<F, H>(mut self, handler: F)
    where
        F: Fn(OutboundCall) -> H + Send,
        H: Future<Output = ()> + Send + 'static,
    {
        let Ok(handlers) = TaskSet::current("outbound") else {
            // Not outside of a runtime, where nothing could have been accepted.
            return;
        };
        while let Some(call) = self.recv().await {
            handlers.spawn(handler(call));
        }
        handlers.stop(Duration::MAX).await;
    }
}

impl fmt::Debug for OutboundCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundCalls")
            .field("waiting", &self.0.len())
            .finish()
    }
}

/// Takes the calls of FreeSWITCH's application `socket` until it is closed or dropped. See the
/// [module](super).
// Field order is drop order: the connections go before the tasks that serve them.
pub struct EslListener {
    listener: Listener<EslSession>,
    tasks: TaskSet,
    address: Option<SocketAddr>,
}

impl EslListener {
    /// Listens on [`OutboundOptions::address`].
    ///
    /// # Errors
    /// [`ErrorKind::Io`](faxbot_core::ErrorKind::Io) when the address cannot be listened on,
    /// [`ErrorKind::NoRuntime`](faxbot_core::ErrorKind::NoRuntime) outside of a tokio runtime.
    ///
    /// # Cancel safety
    /// Dropping the future frees the port.
    pub async fn bind(options: OutboundOptions) -> Result<(Self, OutboundCalls)> {
        Self::bind_with(options, TokioClock::shared(), SystemRandom::shared()).await
    }

    /// As [`bind`](Self::bind), with the clock and the randomness of the caller.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// Dropping the future frees the port.
    pub async fn bind_with(
        options: OutboundOptions,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<(Self, OutboundCalls)> {
        let tasks = TaskSet::current("listen")?;
        let acceptor = Acceptor::tcp(options.address).await?;
        let address = acceptor.local_addr();
        let (mut listener, calls) = Self::run(options, Box::new(acceptor), clock, random, tasks);
        listener.address = Some(address);
        Ok((listener, calls))
    }

    /// Takes calls from an acceptor of the caller's, such as one of pipes;
    /// [`OutboundOptions::address`] is not used.
    ///
    /// # Errors
    /// [`ErrorKind::NoRuntime`](faxbot_core::ErrorKind::NoRuntime) outside of a tokio runtime.
    pub fn start(
        options: OutboundOptions,
        acceptor: Box<dyn Accept>,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<(Self, OutboundCalls)> {
        let tasks = TaskSet::current("listen")?;
        Ok(Self::run(options, acceptor, clock, random, tasks))
    }

    fn run(
        options: OutboundOptions,
        acceptor: Box<dyn Accept>,
        clock: SharedClock,
        random: SharedRandom,
        tasks: TaskSet,
    ) -> (Self, OutboundCalls) {
        let config = options.session.clone();
        let factory = move |random: [u8; 32]| {
            let random = random.first_chunk().copied().unwrap_or_default();
            let session = EslSession::outbound(config.clone(), random);
            (session, EslCodec::new(Role::Client, MAX_FRAME))
        };
        let limits = ListenerOptions::new("freeswitch outbound")
            .with_max_connections(options.max_calls)
            .with_ready_timeout(options.ready_timeout)
            .with_allow(options.allow.clone());
        let (listener, incoming) =
            Listener::start(limits, acceptor, factory, clock, random, &tasks);
        let (sender, calls) = mpsc::channel(options.max_calls.clamp(1, QUEUE));
        tasks.spawn(serve_all(incoming, Arc::new(options), sender));
        let listener = Self {
            listener,
            tasks,
            address: None,
        };
        (listener, OutboundCalls(calls))
    }

    /// Where it listens, with the port that it got; `None` with an acceptor of the caller's.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What it does and did.
    pub fn status(&self) -> ListenerStatus {
        self.listener.status()
    }

    /// Closes: takes no more calls from now on and frees the port, lets the calls come to their
    /// end by themselves, and says `exit` to those that are left shortly before `within` is over,
    /// **which hangs them up** unless they were resumed. [`CloseReport::drained`] tells whether
    /// none was left.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the close going on; calling it again awaits the same end.
    pub async fn close(&self, within: Duration) -> CloseReport {
        let report = self.listener.close(within).await;
        self.tasks.stop(LAST_WORD).await;
        report
    }
}

/// The longest queue of calls that wait to be taken.
const QUEUE: usize = 1 << 20;

impl fmt::Debug for EslListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EslListener")
            .field("address", &self.address)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// Serves each connection in a task of its own.
async fn serve_all(
    mut incoming: Incoming<EslSession>,
    options: Arc<OutboundOptions>,
    calls: mpsc::Sender<OutboundCall>,
) {
    // Of this task, so that they end with it.
    let Ok(connections) = TaskSet::current("listen") else {
        return;
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = calls.closed() => break,
            accepted = incoming.recv() => accepted,
        };
        let Some(accepted) = accepted else { break };
        connections.spawn(serve(accepted, Arc::clone(&options), calls.clone()));
    }
    drop((incoming, calls));
    connections.stop(Duration::MAX).await;
}
