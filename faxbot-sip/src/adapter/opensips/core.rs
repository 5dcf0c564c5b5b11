//! What lives as long as the adapter, across connections.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result,
    clock::SharedClock,
    http::HttpClient,
    random::SharedRandom,
    sip::{ConnectionState, EventPath, SipEvent},
    task::TaskSet,
};

use super::{
    config::OpenSipsConfig,
    event::{self, Meaning},
    rounds::{PLACING, Round},
    server::{Limits, Server},
    state::Desk,
    subscribe::Subscriptions,
};
use crate::{
    adapter::{hub::Hub, polled::NoLink, settings::RawEvents},
    driver::{DatagramOptions, Rpc},
    protocol::jsonrpc::Notification,
};

/// What lives as long as the adapter, across connections.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: OpenSipsConfig,
    pub(super) hub: Hub<NoLink, Desk>,
    random: SharedRandom,
    http: Option<Arc<dyn HttpClient>>,
    link: Mutex<Link>,
    slow: Mutex<Slowed>,
}

/// Requests over HTTP that keep all others waiting.
#[derive(Debug, Default)]
struct Slowed {
    count: usize,
    /// Since when there is always one.
    since: Option<Instant>,
}

/// What belongs to one set-up.
#[derive(Debug, Default)]
struct Link {
    server: Option<Server>,
    subscriptions: Option<Subscriptions>,
    /// Where events were last listened for.
    bound: Option<SocketAddr>,
    /// Dialogs that are asked for at once: less than configured where the server cannot build them.
    page: Option<usize>,
    /// When the run of the server was last asked for.
    checked: Option<Instant>,
}

impl Core {
    pub(super) fn new(
        config: OpenSipsConfig,
        clock: SharedClock,
        random: SharedRandom,
        http: Option<Arc<dyn HttpClient>>,
    ) -> Self {
        let desk = Desk::new(config.poll);
        let capabilities = desk.abilities.capabilities(&config);
        let hub = Hub::new("opensips", clock, desk, capabilities);
        Self {
            config,
            hub,
            random,
            http,
            link: Mutex::default(),
            slow: Mutex::default(),
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server behind the connection.
    ///
    /// # Errors
    /// `NotConnected`.
    pub(super) fn server(&self, operation: &'static str) -> Result<Server> {
        self.link().server.clone().ok_or_else(|| {
            let message = "not connected; call connect first";
            Error::new(ErrorKind::NotConnected, operation, message)
        })
    }

    /// Makes what asks the server. It opens nothing but the socket for datagrams.
    ///
    /// # Errors
    /// `Config` when a file of TLS cannot be used; `Io` without a socket.
    pub(super) fn make_server(&self, tasks: &TaskSet) -> Result<Server> {
        let clock = Arc::clone(&self.hub.clock);
        let random = Arc::clone(&self.random);
        let (api, url) =
            self.config
                .client(self.http.as_ref(), Arc::clone(&clock), Arc::clone(&random))?;
        let datagram = match &self.config.mi_datagram {
            Some(peer) => {
                let options = DatagramOptions::new().with_same_port(true);
                Some(Rpc::datagram(peer.clone(), options, clock, random, tasks)?)
            }
            None => None,
        };
        let limits = Limits {
            request: self.config.request_timeout,
            sip: self.config.sip_timeout,
            body: self.config.max_request_bytes,
        };
        let server = Server::new(
            Rpc::http(api, url).with_max_request_bytes(self.config.max_request_bytes),
            datagram,
            limits,
        );
        Ok(server)
    }

    /// Everything is asked here from now on.
    pub(super) fn uses(&self, server: &Server) {
        self.link().server = Some(server.clone());
    }

    /// The events that come, or no longer.
    pub(super) fn subscribed(&self, subscriptions: Option<Subscriptions>) {
        let comes = subscriptions.is_some();
        self.link().subscriptions = subscriptions;
        self.hub.state().books.dialogs.set_events(comes);
    }

    pub(super) fn subscriptions(&self) -> Option<Subscriptions> {
        self.link().subscriptions.clone()
    }

    /// Nothing of the connection is left.
    pub(super) fn closed(&self) {
        let mut link = self.link();
        link.server = None;
        link.subscriptions = None;
    }

    /// Events are listened for here.
    pub(super) fn bound(&self, at: SocketAddr) {
        self.link().bound = Some(at);
    }

    /// The same address as last time where any port will do: a server that kept the subscriptions goes
    /// on with them.
    pub(super) fn same_port(&self, wanted: SocketAddr) -> SocketAddr {
        match self.link().bound {
            Some(bound) if wanted.port() == 0 && bound.ip() == wanted.ip() => bound,
            _ => wanted,
        }
    }

    /// Dialogs that are asked for at once.
    pub(super) fn page(&self) -> usize {
        self.link().page.unwrap_or(self.config.page)
    }

    pub(super) fn set_page(&self, page: usize) {
        self.link().page = Some(page);
    }

    /// Whether it is time to ask for the run of the server.
    pub(super) fn is_check_due(&self, every: Duration) -> bool {
        let now = self.hub.clock.now();
        let checked = self.link().checked;
        checked.is_none_or(|at| now.saturating_duration_since(at) >= every)
    }

    pub(super) fn checked(&self) {
        let now = self.hub.clock.now();
        self.link().checked = Some(now);
    }

    /// A request is sent that may keep all others waiting, until what this answers is dropped.
    pub(super) fn slow<'a>(&'a self, server: &Server) -> Slow<'a> {
        let counts = !server.has_datagram();
        if counts {
            let now = self.hub.clock.now();
            let mut slow = self.slowed();
            slow.count += 1;
            slow.since.get_or_insert(now);
        }
        Slow {
            slow: counts.then_some(&self.slow),
        }
    }

    fn slowed(&self) -> MutexGuard<'_, Slowed> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the server is kept busy by requests of ours without a break: what is asked waits, and
    /// fails for nothing.
    pub(super) fn slowed_for(&self) -> Option<Duration> {
        let now = self.hub.clock.now();
        let since = self.slowed().since?;
        Some(now.saturating_duration_since(since))
    }

    /// The server answered all the same.
    pub(super) fn came_through(&self) {
        let now = self.hub.clock.now();
        let mut slow = self.slowed();
        slow.since = slow.since.map(|_| now);
    }

    /// The rest between two polls.
    pub(super) fn poll_every(&self) -> Duration {
        let poll = self.config.poll;
        if self.hub.state().books.is_placing() {
            return poll.min(PLACING);
        }
        poll
    }

    /// What the poll that begins now asks for.
    pub(super) fn next_round(&self) -> Round {
        let told = self.link().subscriptions.is_some();
        let now = self.hub.clock.now();
        self.hub.state().books.next_round(told, now)
    }

    /// How events come.
    pub(super) fn event_path(&self) -> EventPath {
        let connected = self.hub.state().connection == ConnectionState::Connected;
        if connected && self.link().subscriptions.is_some() {
            EventPath::Push
        } else {
            EventPath::Polling(self.config.poll)
        }
    }

    /// An event of the server.
    pub(super) fn told(&self, event: &Notification) {
        let meaning = event::meaning(event);
        let raw = match self.config.raw_events {
            RawEvents::Off => false,
            RawEvents::All => true,
            RawEvents::Unknown => meaning == Meaning::Other,
        };
        let handle = match &meaning {
            Meaning::Moved { .. } => event.text("id").unwrap_or_default(),
            _ => std::borrow::Cow::default(),
        };
        self.hub.events(|state, now| {
            let mut out = state.books.told(meaning, &handle, now);
            // Nobody listens: a busy server's events are not copied for nothing.
            if raw && self.hub.bus.streams() > 0 {
                out.push(SipEvent::Raw(event::raw(event)));
            }
            out
        });
    }
}

/// A request that keeps all others waiting.
#[derive(Debug)]
pub(super) struct Slow<'a> {
    slow: Option<&'a Mutex<Slowed>>,
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        if let Some(slow) = self.slow {
            let mut slow = slow.lock().unwrap_or_else(PoisonError::into_inner);
            slow.count = slow.count.saturating_sub(1);
            if slow.count == 0 {
                slow.since = None;
            }
        }
    }
}
