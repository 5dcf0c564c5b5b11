//! What lives as long as the adapter, across connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
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
    server::{Limits, Server},
    state::Desk,
    subscribe::Subscriptions,
};
use crate::{
    adapter::{hub::Hub, polled::NoLink, settings::RawEvents},
    driver::{DatagramOptions, Rpc},
    protocol::jsonrpc::Notification,
};

/// With events the list is asked for by one poll of so many: it only finds what they missed. The others
/// look for a restart.
const RARER: u32 = 5;

/// How often a call is looked at that is on its way: no event tells of calls of two legs.
const PLACING: Duration = Duration::from_millis(500);

/// What lives as long as the adapter, across connections.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: OpenSipsConfig,
    pub(super) hub: Hub<NoLink, Desk>,
    random: SharedRandom,
    http: Option<Arc<dyn HttpClient>>,
    link: Mutex<Link>,
    /// Requests over HTTP that keep all others waiting.
    slow: AtomicUsize,
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
    /// When everything that is up was last asked for.
    looked: Option<Instant>,
}

impl Core {
    pub(super) fn new(
        config: OpenSipsConfig,
        clock: SharedClock,
        random: SharedRandom,
        http: Option<Arc<dyn HttpClient>>,
    ) -> Self {
        let desk = Desk::new();
        let capabilities = desk.abilities.capabilities(&config);
        let hub = Hub::new("opensips", clock, desk, capabilities);
        Self {
            config,
            hub,
            random,
            http,
            link: Mutex::default(),
            slow: AtomicUsize::new(0),
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
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
        Slow {
            slow: counts.then_some(&self.slow),
        }
    }

    /// Whether the server is kept busy by a request of ours: a poll would wait, and fail for nothing.
    pub(super) fn is_slowed(&self) -> bool {
        self.slow.load(Ordering::Relaxed) > 0
    }

    /// The rest between two polls.
    pub(super) fn poll_every(&self) -> Duration {
        let poll = self.config.poll;
        if self.hub.state().books.is_placing() {
            return poll.min(PLACING);
        }
        poll
    }

    /// Whether a poll asks for everything that is up.
    pub(super) fn is_look_due(&self) -> bool {
        let (told, looked) = {
            let link = self.link();
            (link.subscriptions.is_some(), link.looked)
        };
        let wanted = {
            let mut state = self.hub.state();
            state.books.take_wanted() || state.books.has_pairs()
        };
        let rest = self.config.poll.saturating_mul(RARER);
        let now = self.hub.clock.now();
        let old = looked.is_none_or(|at| now.saturating_duration_since(at) >= rest);
        !told || wanted || old
    }

    pub(super) fn looked(&self) {
        let now = self.hub.clock.now();
        self.link().looked = Some(now);
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
    slow: Option<&'a AtomicUsize>,
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        if let Some(slow) = self.slow {
            slow.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
