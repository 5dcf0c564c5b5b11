//! What lives as long as the adapter, across connections.

use std::time::Duration;

use faxbot_core::{
    Private, Result,
    clock::SharedClock,
    id::CallId,
    sip::{RawEvent, SipEvent},
};

use super::{
    abilities::Abilities, asked::Asked, config::YateConfig, event, server::Server, state::Desk,
};
use crate::{
    adapter::{
        hub::{self, Hub},
        settings::RawEvents,
        spool::Spool,
    },
    driver::Handle,
    protocol::yate::{Event, Frame, Ready, YateSession},
};

/// The reason that the far end of a call of ours is told when we hang up.
pub(super) const HANGUP: &str = "hangup";

/// What lives as long as the adapter, across connections.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: YateConfig,
    pub(super) spool: Option<Spool>,
    pub(super) hub: Hub<YateSession, Desk>,
    /// What the engine asks, and waits for.
    pub(super) asked: Asked,
}

impl Core {
    pub(super) fn new(config: YateConfig, clock: SharedClock) -> Self {
        let spool = config
            .spool
            .clone()
            .map(|spool| Spool::new(spool, &config.instance));
        let capabilities = Abilities::hoped_for().capabilities(&config);
        let hub = Hub::new("yate", clock, Desk::new(&config), capabilities);
        Self {
            config,
            spool,
            hub,
            asked: Asked::default(),
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

    fn told(&self, frame: &Frame) {
        let raw = match self.config.raw_events {
            RawEvents::Off => false,
            RawEvents::All => true,
            RawEvents::Unknown => frame
                .message()
                .is_some_and(|message| !event::is_understood(&message)),
        };
        self.hub.events(|state, now| {
            let mut out = state.books.told(frame, now);
            // Nobody listens: a busy server's messages are not copied for nothing.
            if raw && self.hub.bus.streams() > 0 {
                out.extend(raw_event(frame).map(SipEvent::Raw));
            }
            out
        });
    }
}

impl hub::Core for Core {
    type Session = YateSession;
    type Books = Desk;

    fn hub(&self) -> &Hub<YateSession, Desk> {
        &self.hub
    }

    fn event(&self, event: Event) {
        match event {
            Event::Watched(frame) => self.told(&frame),
            Event::Asked(asked) => self.asked.question(self, asked),
            Event::TimedOut(_) => {
                tracing::warn!("yate: a question of the engine was answered too late")
            }
            _ => {}
        }
    }

    fn logged_in(&self, ready: Ready) {
        self.asked.logged_in();
        self.hub.state().books.logged_in = ready.run_id;
    }

    fn hangs_up_on_close(&self) -> bool {
        self.config.hangup_on_close
    }

    async fn hang_up_on_close(
        &self,
        handle: &Handle<YateSession>,
        id: CallId,
        limit: Duration,
    ) -> Result<()> {
        let own = {
            let mut state = self.hub.state();
            state.books.hung_up_by_us(id, true);
            state.books.own_channel(id)
        };
        match own {
            Some(channel) => {
                let server = Server::new(handle.clone(), limit);
                server.hang_up(&channel, HANGUP).await
            }
            None => Ok(()),
        }
    }
}

fn raw_event(frame: &Frame) -> Option<RawEvent> {
    let message = frame.message()?;
    let fields = message.params().filter_map(|param| {
        let value = param.text()?.into_owned();
        Some((param.name().into_owned(), Private::new(value)))
    });
    Some(RawEvent::new(message.name().into_owned(), fields.collect()))
}
