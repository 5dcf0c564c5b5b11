//! What lives as long as the adapter, across connections.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Private, Result,
    clock::SharedClock,
    id::CallId,
    sip::{AdapterKind, RawEvent, Severity, SipEvent},
};

use super::{
    abilities::Abilities, config::FreeswitchConfig, event, outcome::OutcomeStore, server::Server,
    state::Desk,
};
use crate::{
    adapter::{
        hub::{self, Hub},
        settings::RawEvents,
        spool::Spool,
    },
    driver::Handle,
    protocol::esl::{EslSession, Event, Frame},
};

/// What lives as long as the adapter, across connections.
#[derive(Debug)]
pub(super) struct Core {
    /// What the adapter calls itself: FusionPBX is a FreeSWITCH too.
    pub(super) kind: AdapterKind,
    pub(super) config: FreeswitchConfig,
    pub(super) spool: Option<Spool>,
    pub(super) hub: Hub<EslSession, Desk>,
}

impl Core {
    pub(super) fn new(kind: AdapterKind, config: FreeswitchConfig, clock: SharedClock) -> Self {
        let spool = config
            .spool
            .clone()
            .map(|spool| Spool::new(spool, &config.instance));
        let abilities = Abilities::hoped_for(&config);
        let capabilities = abilities.capabilities(&config);
        let mut desk = Desk::new(kind.clone(), abilities);
        desk.open_gate(&config);
        let hub = Hub::new("freeswitch", clock, desk, capabilities);
        Self {
            kind,
            config,
            spool,
            hub,
        }
    }

    /// What the server turned out to be able to do.
    pub(super) fn learn(&self, abilities: Abilities) {
        let now_can = abilities.capabilities(&self.config);
        self.hub.events(|state, _| {
            state.books.abilities = abilities;
            state.set_capabilities(now_can)
        });
    }

    /// The domain that users of the server are in: the tenant's, or the server's own.
    pub(super) fn domain(&self) -> Option<String> {
        let tenant = self.config.variables.get("domain_name").cloned();
        tenant.or_else(|| self.hub.state().books.abilities.domain.clone())
    }

    /// Where outcomes are kept on the server that is connected.
    pub(super) fn store(&self) -> OutcomeStore {
        let keeper = self.hub.state().books.abilities.keeper;
        OutcomeStore::new(&self.config.instance, keeper)
    }

    /// The file of the `nth` recording of a call, as the server names it; `None` where there is no
    /// directory for it.
    pub(super) fn recording_file(&self, id: CallId, nth: u32) -> Option<String> {
        let directory = self.hub.state().books.abilities.recordings.clone()?;
        Some(format!("{directory}/faxbot-{}-{nth}.wav", id.as_uuid()))
    }

    fn told(&self, event: &Event<'_>) {
        let raw = match self.config.raw_events {
            RawEvents::Off => false,
            RawEvents::All => true,
            RawEvents::Unknown => !event::is_understood(event),
        };
        self.hub.events(|state, now| {
            let mut out = state.books.event(event, now);
            // Nobody listens: a busy server's events are not copied for nothing.
            if raw && self.hub.bus.streams() > 0 {
                out.push(SipEvent::Raw(raw_event(event)));
            }
            out
        });
    }
}

impl hub::Core for Core {
    type Session = EslSession;
    type Books = Desk;

    fn hub(&self) -> &Hub<EslSession, Desk> {
        &self.hub
    }

    fn event(&self, frame: Frame) {
        match frame.event() {
            Ok(Some(event)) => self.told(&event),
            Ok(None) => {}
            Err(source) => {
                let message = "an event of the server could not be read and was left out";
                let error = Error::new(ErrorKind::Protocol, "event", message).with_source(source);
                self.hub.trouble(Severity::Warning, error);
            }
        }
    }

    fn hangs_up_on_close(&self) -> bool {
        self.config.hangup_on_close
    }

    async fn hang_up_on_close(
        &self,
        handle: &Handle<EslSession>,
        id: CallId,
        limit: Duration,
    ) -> Result<()> {
        let own = {
            let mut state = self.hub.state();
            state.books.hung_up_by_us(id, true);
            state.books.own_channel(id)
        };
        match own {
            Some(uuid) => {
                Server::new(handle.clone(), limit)
                    .hang_up(&uuid, None)
                    .await
            }
            None => Ok(()),
        }
    }
}

fn raw_event(event: &Event<'_>) -> RawEvent {
    let name = match event.subclass() {
        Some(subclass) => subclass.into_owned(),
        None => event.name().unwrap_or_default().into_owned(),
    };
    let fields = event
        .headers()
        .map(|(key, value)| (key.into_owned(), Private::new(value.text().into_owned())))
        .collect();
    RawEvent::new(name, fields)
}
