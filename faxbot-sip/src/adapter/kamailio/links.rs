//! The connection that events come by, beside the polls.

use std::sync::Arc;

use faxbot_core::{
    Timestamp,
    random::SystemRandom,
    sip::{ConnectionChanged, ConnectionState, Gap, Severity, SipEvent},
    task::TaskSet,
};

use super::core::Core;
use crate::{
    adapter::endpoint::connector,
    driver::{Endpoint, Link, LinkError, LinkEvent, LinkEvents, LinkOptions},
    protocol::evapi::{EvapiConfig, EvapiSession, MAX_PAYLOAD, NetstringCodec},
};

/// Connects to where events come from, if that is configured. It is kept up until the tasks end.
pub(super) fn start(core: &Arc<Core>, tasks: &TaskSet) -> bool {
    let given = core.connector.get();
    let limit = core.config.connect_timeout;
    let endpoint = match (given, &core.config.events) {
        (None, None) => return false,
        (_, Some((host, port))) => Endpoint::tcp(host.as_str(), *port),
        // Not used.
        (Some(_), None) => Endpoint::tcp("127.0.0.1", 0),
    };
    let endpoint = || Ok(endpoint.with_connect_timeout(limit));
    let Ok(connector) = connector(given, endpoint) else {
        return false;
    };
    let options = LinkOptions::new("kamailio events")
        .with_connect_timeout(limit)
        .with_wait_for_server(true);
    let (link, events) = Link::start(
        options,
        connector,
        |_: [u8; 32]| {
            let session = EvapiSession::new(EvapiConfig::new());
            (session, NetstringCodec::new(MAX_PAYLOAD))
        },
        Arc::clone(&core.hub.clock),
        SystemRandom::shared(),
        tasks,
    );
    let pump = Pump {
        core: Arc::clone(core),
        lost_at: None,
        told: false,
    };
    tasks.spawn_until_stopped(pump.run(link, events));
    true
}

/// Takes the events to the books. Dropped, there are none any more.
struct Pump {
    core: Arc<Core>,
    /// When the connection was lost, if it was up before.
    lost_at: Option<Timestamp>,
    /// Whether this loss was told.
    told: bool,
}

impl Pump {
    async fn run(mut self, link: Link<EvapiSession>, mut events: LinkEvents<EvapiSession>) {
        while let Some(event) = events.recv().await {
            match event {
                LinkEvent::Up { setup, .. } => {
                    setup.ready();
                    self.up();
                }
                LinkEvent::Event { event, .. } => self.core.told(&event),
                LinkEvent::Down { reason, at, .. } => {
                    self.down();
                    self.lost_at.get_or_insert(at);
                    self.trouble(reason);
                }
                LinkEvent::AttemptFailed { reason, .. } | LinkEvent::GaveUp { reason } => {
                    self.trouble(reason);
                }
            }
        }
        drop(link);
    }

    /// Events come. What happened since they were lost is in the list, which is taken anew.
    fn up(&mut self) {
        self.told = false;
        let lost_at = self.lost_at.take();
        self.core.hub.events(|state, now| {
            state.books.set_events(true);
            let gap = lost_at.map(|from| Gap::new(from, now.wall));
            match gap {
                Some(gap) if state.connection == ConnectionState::Connected => {
                    let changed = ConnectionChanged::new(ConnectionState::Connected).with_gap(gap);
                    vec![SipEvent::ConnectionStateChanged(changed)]
                }
                _ => Vec::new(),
            }
        });
    }

    fn down(&self) {
        self.core.hub.note(|state, _| {
            if state.books.has_events() {
                state.books.set_events(false);
            }
        });
    }

    /// Says once for each loss that it is polled meanwhile.
    fn trouble(&mut self, reason: LinkError) {
        if !std::mem::replace(&mut self.told, true) {
            let error = reason.into_error("events");
            self.core.hub.trouble(Severity::Warning, error);
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.down();
    }
}
