//! Events: the socket that the adapter opens for them, and the subscriptions that bring them there.
//!
//! The server tells of no end of a subscription: events simply stop, and a restart forgets them all.
//! They are renewed at half of their time, and looked for in `subscribers_list`.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result, clock::later, random::SystemRandom, sip::Severity, task::TaskSet,
};

use super::{
    config::{EventSocket, OpenSipsConfig},
    core::Core,
    event::{self, CDR},
    server::Server,
};
use crate::{
    adapter::settings::RawEvents,
    driver::{
        Accepted, Acceptor, DatagramPeer, Datagrams, Incoming, LinkEvent, Listener, ListenerOptions,
    },
    protocol::jsonrpc::{EventCodec, EventSession, MAX_EVENT, Notification},
};

const OPERATION: &str = "connect";

/// Connections of one server: it opens one for all events, and another after a break.
const CONNECTIONS: usize = 8;

/// The subscriptions of one connection. `Debug` does not show the socket: that of a broker has a password.
#[derive(Clone)]
pub(super) struct Subscriptions {
    /// What the server was told: `udp:127.0.0.1:8090`.
    socket: String,
    /// The server lists that socket as it was told. Those of other modules it writes in another form.
    as_told: bool,
    events: Vec<String>,
    expire: Duration,
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions")
            .field("events", &self.events)
            .field("expire", &self.expire)
            .finish_non_exhaustive()
    }
}

/// Opens the socket, subscribes, and takes what comes until `tasks` end.
///
/// # Errors
/// `Io` when the socket cannot be opened; `Config` when the server sends no events to such sockets.
pub(super) async fn subscribe(
    core: &Arc<Core>,
    server: &Server,
    tasks: &TaskSet,
) -> Result<Option<Subscriptions>> {
    let Some(wanted) = core.config.events.clone() else {
        return Ok(None);
    };
    let published = server.events(OPERATION).await?;
    let names = names(&core.config);
    let (events, missing): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| published.has(name));
    for name in missing
        .iter()
        .filter(|name| core.config.event_names.contains(name))
    {
        let message = format!("the server publishes no event {name}");
        let error = Error::new(ErrorKind::Config, OPERATION, message);
        core.hub.trouble(Severity::Warning, error);
    }
    let socket = open(core, &wanted, tasks).await?;
    let subscriptions = Subscriptions {
        socket,
        as_told: !matches!(wanted, EventSocket::Given(_)),
        events,
        expire: core.config.event_expire,
    };
    subscriptions.renew(server).await?;
    subscriptions.check(server).await?;
    tasks.spawn_until_stopped(keep(Arc::clone(core), subscriptions.clone()));
    Ok(Some(subscriptions))
}

impl Subscriptions {
    /// Whether the server's records of calls come.
    pub(super) fn has_records(&self) -> bool {
        self.events.iter().any(|name| name == CDR)
    }

    /// Subscribes to all of it, from now on.
    pub(super) async fn renew(&self, server: &Server) -> Result<()> {
        for name in &self.events {
            let done = server
                .subscribe(name, &self.socket, self.expire.as_secs(), OPERATION)
                .await;
            if let Err(refusal) = done {
                if refusal.code != Some(400) {
                    return Err(refusal.into());
                }
                // The event is published, so it is the socket.
                let module = match self.socket.split(':').next() {
                    Some("tcp") => "event_stream",
                    Some("udp" | "unix") => "event_datagram",
                    _ => "for that kind of socket",
                };
                let message = format!(
                    "the server sends no events to options.events: is its module {module} loaded, and the address one that it can use?"
                );
                return Err(refusal.means(ErrorKind::Config, &message));
            }
        }
        Ok(())
    }

    /// Asks the server whether it has them all, where it lists them in a form that is known.
    async fn check(&self, server: &Server) -> Result<()> {
        if !self.as_told {
            return Ok(());
        }
        let list = server.subscribers(OPERATION).await?;
        let missing = self
            .events
            .iter()
            .filter(|name| !list.has(name, &self.socket))
            .count();
        if missing == 0 {
            return Ok(());
        }
        let message = format!("the server took {missing} subscriptions and does not have them");
        Err(Error::new(ErrorKind::Protocol, OPERATION, message))
    }

    /// Ends them: there is no other way than 0 seconds.
    pub(super) async fn end(&self, server: &Server) {
        for name in &self.events {
            if server
                .subscribe(name, &self.socket, 0, "disconnect")
                .await
                .is_err()
            {
                // They end by themselves.
                return;
            }
        }
    }
}

/// What is subscribed to, as far as the server publishes it.
fn names(config: &OpenSipsConfig) -> Vec<String> {
    let mut names: Vec<String> = event::WANTED.iter().map(|&name| name.to_owned()).collect();
    if config.raw_events != RawEvents::Off {
        names.extend(event::PASSED_ON.iter().map(|&name| name.to_owned()));
    }
    for name in &config.event_names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// Renews them at half of their time, for ever.
async fn keep(core: Arc<Core>, subscriptions: Subscriptions) {
    let half = subscriptions.expire / 2;
    let mut rest = half;
    loop {
        let clock = &core.hub.clock;
        clock.sleep_until(later(clock.now(), rest)).await;
        let Ok(server) = core.server(OPERATION) else {
            return;
        };
        let renewed = match subscriptions.renew(&server).await {
            Ok(()) => subscriptions.check(&server).await,
            failed => failed,
        };
        rest = match renewed {
            Ok(()) => half,
            Err(error) => {
                tracing::warn!(%error, adapter = core.hub.name, "subscriptions could not be renewed");
                // A server that is gone is the polls' matter.
                (half / 4).max(Duration::from_secs(1))
            }
        };
    }
}

/// Opens the socket. Answers what the server is told.
async fn open(core: &Arc<Core>, wanted: &EventSocket, tasks: &TaskSet) -> Result<String> {
    match wanted {
        EventSocket::Udp(address) => {
            let at = DatagramPeer::Udp(core.same_port(*address));
            let bound = receive(core, at, tasks)?.unwrap_or(*address);
            core.bound(bound);
            Ok(format!("udp:{}", told_address(core, bound)))
        }
        EventSocket::Tcp(address) => {
            let acceptor = Acceptor::tcp(core.same_port(*address))
                .await
                .map_err(|error| error.with_operation(OPERATION))?;
            let bound = acceptor.local_addr();
            let options = ListenerOptions::new("opensips events")
                .with_max_connections(CONNECTIONS)
                .with_allow(core.config.events_allow.clone());
            let factory = |_: [u8; 32]| (EventSession::new(), EventCodec::new(MAX_EVENT));
            let (listener, incoming) = Listener::start(
                options,
                Box::new(acceptor),
                factory,
                Arc::clone(&core.hub.clock),
                SystemRandom::shared(),
                tasks,
            );
            tasks.spawn_until_stopped(take_all(Arc::clone(core), listener, incoming));
            core.bound(bound);
            Ok(format!("tcp:{}", told_address(core, bound)))
        }
        EventSocket::Unix(path) => {
            receive(core, DatagramPeer::Unix(path.clone()), tasks)?;
            Ok(format!("unix:{}", path.display()))
        }
        EventSocket::Given(socket) => Ok(socket.clone()),
    }
}

/// Receives datagrams until `tasks` end. Answers where, unless that is a file.
fn receive(core: &Arc<Core>, at: DatagramPeer, tasks: &TaskSet) -> Result<Option<SocketAddr>> {
    let allow = core.config.events_allow.clone();
    let (datagrams, mut events) = Datagrams::bind_allowing(at, allow, MAX_EVENT, tasks)
        .map_err(|error| error.with_operation(OPERATION))?;
    let bound = datagrams.local_addr();
    let taker = Arc::clone(core);
    tasks.spawn_until_stopped(async move {
        let _open = datagrams;
        while let Some(bytes) = events.recv().await {
            if let Some(event) = Notification::parse(&bytes) {
                taker.told(&event);
            }
        }
    });
    Ok(bound)
}

/// Serves each connection of the server until it ends.
async fn take_all(
    core: Arc<Core>,
    listener: Listener<EventSession>,
    mut incoming: Incoming<EventSession>,
) {
    let Ok(tasks) = TaskSet::current("events") else {
        return;
    };
    let _listens = listener;
    while let Some(accepted) = incoming.recv().await {
        tasks.spawn(take(Arc::clone(&core), accepted));
    }
}

async fn take(core: Arc<Core>, accepted: Accepted<EventSession>) {
    let Accepted {
        link,
        mut events,
        place,
        ..
    } = accepted;
    let _served = (link, place);
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Up { setup, .. } => {
                setup.ready();
            }
            LinkEvent::Event { event, .. } => core.told(&event),
            LinkEvent::Down { .. } => return,
            _ => {}
        }
    }
}

/// What the server is told: our address, unless the configuration says otherwise.
fn told_address(core: &Core, bound: SocketAddr) -> String {
    match &core.config.events_address {
        None => bound.to_string(),
        Some(address) if address.parse::<SocketAddr>().is_ok() || has_port(address) => {
            address.clone()
        }
        Some(address) => format!("{address}:{}", bound.port()),
    }
}

/// Whether an address that is no socket address has a port behind it.
fn has_port(address: &str) -> bool {
    let after = address.rsplit_once(':').map(|(_, port)| port);
    !address.ends_with(']') && after.is_some_and(|port| port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_password_of_a_broker() {
        let subscriptions = Subscriptions {
            socket: "rabbitmq:user:geheim@127.0.0.1/x".to_owned(),
            as_told: false,
            events: vec![CDR.to_owned()],
            expire: Duration::from_secs(60),
        };
        let shown = format!("{subscriptions:?}");
        assert!(shown.contains(CDR) && !shown.contains("geheim"), "{shown}");
    }
}
