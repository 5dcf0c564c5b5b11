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
        // Before any message of the connection is read: channels of a new run have the names of those
        // of the run before.
        self.hub.note(|state, now| {
            let lost_at = state.lost_at.unwrap_or(now.wall);
            state.books.answers(ready.run_id, lost_at);
        });
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

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use faxbot_core::{
        clock::TokioClock,
        sip::{CallState, Direction},
    };

    use super::{super::server::Channel, *};
    use crate::{
        adapter::{
            books::{LiveLeg, NewLine, Plan, Sign},
            hub::Core as _,
        },
        protocol::{
            session::Codec as _,
            yate::{MAX_LINE, Role, YateCodec},
        },
    };

    fn core() -> Core {
        let config = YateConfig::from_url("yate://pbx.example?incoming=true").unwrap();
        let core = Core::new(config, TokioClock::shared());
        logs_in(&core, "1");
        core
    }

    fn logs_in(core: &Core, run_id: &str) {
        let mut ready = Ready::new();
        ready.run_id = Some(run_id.to_owned());
        core.logged_in(ready);
    }

    /// A call that is up at `channel`, or a fax of one page.
    fn up(core: &Core, channel: &str) -> CallId {
        let id = CallId::new();
        let new = NewLine {
            id,
            direction: Direction::Outbound,
            state: CallState::Created,
            from: None,
            to: None,
            own: None,
            ring_timeout: Duration::from_secs(60),
            plan: Plan::Single,
            kind: "call",
            once_answered: false,
        };
        core.hub.events(|state, now| {
            if channel.starts_with("fax/") {
                state.books.open_fax(new, 1, now).unwrap();
            } else {
                state.books.open(new, now).unwrap();
            }
            state.books.requested(id, now);
            let mut out = state.books.taken(id, now);
            out.extend(state.books.is_ours(id, channel, now));
            out
        });
        id
    }

    fn tells(core: &Core, line: &str) {
        let mut input = BytesMut::from(format!("%%<message::false:{line}\n").as_str());
        let mut codec = YateCodec::new(Role::Client, MAX_LINE);
        let frame = codec.decode(&mut input).unwrap().unwrap();
        core.event(Event::Watched(frame));
    }

    #[tokio::test]
    async fn the_end_of_a_channel_of_a_new_run_is_not_that_of_a_fax_of_the_run_before() {
        let core = core();
        let id = up(&core, "fax/1");
        let end = "chan.hangup::id=fax/1:module=fax:answered=true:reason=eof:faxpages=1";
        logs_in(&core, "2");
        tells(&core, end);
        assert!(core.hub.state().books.lines[&id].end.is_none());
        // In the run that it belongs to it is.
        let id = up(&core, "fax/1");
        tells(&core, end);
        assert!(core.hub.state().books.lines[&id].end.is_some());
    }

    #[tokio::test]
    async fn the_same_run_again_keeps_the_names_of_channels() {
        let core = core();
        let id = up(&core, "sip/1");
        logs_in(&core, "1");
        let own = core.hub.state().books.own_channel(id);
        assert_eq!(own.as_deref(), Some("sip/1"));
    }

    #[tokio::test]
    async fn a_call_that_was_routed_to_another_driver_is_asked_for_there() {
        let core = core();
        let id = up(&core, "h323/4");
        up(&core, "sip/1");
        let mut state = core.hub.state();
        assert_eq!(state.books.more_modules(), ["h323"]);
        let listed = Channel {
            leg: LiveLeg {
                native: "h323/4".to_owned(),
                sign: Sign::Up,
                joined: Some("dumb/1".to_owned()),
            },
            address: String::new(),
            caller: None,
            called: None,
            age: Duration::ZERO,
        };
        let now = core.hub.now();
        state.books.in_list(&[listed], &[id], now);
        let line = &state.books.lines[&id];
        assert!(!line.settling);
        assert_eq!(state.books.calls.state(id), Some(CallState::Connected));
    }

    #[tokio::test]
    async fn the_path_of_a_fax_that_is_none_any_more_goes_with_its_call() {
        let core = core();
        let id = up(&core, "sip/1");
        core.hub
            .state()
            .books
            .paths
            .insert("/srv/a.tif".to_owned(), id);
        tells(&core, "chan.hangup::id=sip/1:module=sip:status=answered");
        assert!(core.hub.state().books.paths.is_empty());
    }

    #[tokio::test]
    async fn a_call_that_is_no_fax_any_more_has_no_limit_of_one() {
        let core = core();
        let (fax, call) = (up(&core, "fax/1"), up(&core, "sip/1"));
        let now = core.hub.now();
        let mut state = core.hub.state();
        for id in [fax, call] {
            state.books.limits.receives(id, now.instant);
        }
        hub::Book::timeout(&mut state.books, now);
        assert!(state.books.lines[&fax].cancel);
        assert!(!state.books.lines[&call].cancel);
    }

    #[tokio::test]
    async fn calls_that_were_too_many_for_the_run_before_are_not_refused_in_a_new_one() {
        let core = core();
        let refuse = |core: &Core| {
            let mut state = core.hub.state();
            state
                .books
                .door
                .flood
                .refuse(CallId::new(), "sip/9".to_owned());
        };
        let next = |core: &Core| core.hub.state().books.door.flood.next();
        refuse(&core);
        logs_in(&core, "2");
        assert_eq!(next(&core), None);
        refuse(&core);
        logs_in(&core, "2");
        assert_eq!(next(&core).as_deref(), Some("sip/9"));
    }
}
