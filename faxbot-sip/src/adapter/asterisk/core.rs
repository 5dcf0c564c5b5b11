//! What lives as long as the adapter, across connections: the books, the event bus, the health, and
//! what is known of the server.

use std::{ops::Deref, time::Duration};

use faxbot_core::{Error, ErrorKind, Result, clock::SharedClock, id::CallId, sip::Severity};

use super::{
    NAME,
    abilities::Abilities,
    books::Books,
    config::AsteriskConfig,
    outcome::OutcomeStore,
    pump::take,
    server::{Extent, Presence, Server},
};
use crate::{
    adapter::{
        hub::{self, Hub},
        spool::Spool,
    },
    driver::Handle,
    protocol::ami::{AmiSession, Message},
};

/// What lives as long as the adapter, across connections. It is its hub, and what is Asterisk's.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) config: AsteriskConfig,
    pub(super) store: OutcomeStore,
    pub(super) spool: Option<Spool>,
    hub: Hub<AmiSession, Books>,
}

pub(super) type State = hub::State<AmiSession, Books>;

impl Deref for Core {
    type Target = Hub<AmiSession, Books>;

    fn deref(&self) -> &Self::Target {
        &self.hub
    }
}

impl hub::Core for Core {
    type Session = AmiSession;
    type Books = Books;

    fn hub(&self) -> &Hub<AmiSession, Books> {
        &self.hub
    }

    fn event(&self, event: Message) {
        take(self, &event);
    }

    fn hangs_up_on_close(&self) -> bool {
        self.config.hangup_on_close
    }

    async fn hang_up_on_close(
        &self,
        handle: &Handle<AmiSession>,
        id: CallId,
        limit: Duration,
    ) -> Result<()> {
        let channel = {
            let books = &mut self.state().books;
            books.hung_up_by_us(id, true);
            books.own_channel(id)
        };
        match channel {
            Some(channel) => Server::new(handle.clone(), limit).hang_up(&channel).await,
            None => Ok(()),
        }
    }
}

impl Core {
    pub(super) fn new(config: AsteriskConfig, clock: SharedClock) -> Self {
        let store = OutcomeStore::new(&config.instance, &config.dialplan);
        let spool = config
            .spool
            .clone()
            .map(|spool| Spool::new(spool, &config.instance));
        let abilities = Abilities::hoped_for(!store.is_off());
        let capabilities = abilities.capabilities(&config);
        let mut books = Books::new();
        books.known.abilities = abilities;
        books.moves.context = store.context().map(str::to_owned);
        books.door.context.clone_from(&config.incoming_context);
        books.door.deadline = config.incoming_deadline;
        Self {
            config,
            store,
            spool,
            hub: Hub::new(NAME, clock, books, capabilities),
        }
    }

    /// What the server turned out to be able to do.
    pub(super) fn learn(&self, abilities: Abilities) {
        self.events(|state, _| {
            let now_can = abilities.capabilities(&self.config);
            state.books.known.abilities = abilities;
            state.set_capabilities(now_can)
        });
    }

    /// Makes sure that our extensions are there: a call that ends now leaves its outcome. A dialplan
    /// reload takes them away without an event (observed on Asterisk 16.28 and 22.10), so this comes
    /// before every Originate and again and again while calls are up. Answers whether calls can be
    /// sent to them; the inner error is why they are not there.
    pub(super) async fn secure(
        &self,
        server: &Server,
        extent: Extent,
        operation: &'static str,
    ) -> Result<Result<bool>> {
        if self.store.is_off() {
            return Ok(Ok(false));
        }
        match server.extensions(&self.store, extent, operation).await {
            Ok(Presence::Present { control, .. }) => return Ok(Ok(control)),
            Ok(Presence::Absent) if !self.store.is_automatic() => {
                return Ok(Err(Error::new(
                    ErrorKind::Config,
                    operation,
                    "the context of options.dialplan_context has no extension s; calls work, and their outcomes are not kept",
                )));
            }
            Ok(Presence::Absent) => {}
            // Without the class `reporting` nobody knows: ours is made again to be sure.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                if !self.store.is_automatic() {
                    return Ok(Ok(true));
                }
            }
            Err(error) => return Err(error),
        }
        let made = server
            .make_extensions(&self.store, self.clock.timestamp(), operation)
            .await;
        match made {
            Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
            made => Ok(made.map(|()| true)),
        }
    }

    /// As [`secure`](Self::secure), while outcomes are kept. A server that no longer lets us goes on
    /// without.
    pub(super) async fn keep_extension(
        &self,
        server: &Server,
        operation: &'static str,
    ) -> Result<()> {
        if !self.state().books.known.abilities.outcomes {
            return Ok(());
        }
        if let Err(why) = self.secure(server, Extent::Handler, operation).await? {
            let abilities = self
                .state()
                .books
                .known
                .abilities
                .clone()
                .without_extensions();
            self.learn(abilities);
            self.trouble(Severity::Warning, why);
        }
        Ok(())
    }
}
