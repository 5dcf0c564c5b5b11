//! What a mocked Kamailio keeps in memory.

use std::time::Duration;

use faxbot_core::Timestamp;
use tokio::time::Instant;

use super::methods::{
    dispatcher::Dispatcher,
    htable::{self, Table},
    uac::Registration,
    usrloc::Contact,
};
use crate::server::{message::SentMessage, proxy::ProxyWorld};

#[derive(Debug)]
pub(super) struct State {
    pub world: ProxyWorld,
    pub started: Instant,
    pub dispatcher: Dispatcher,
    pub contacts: Vec<Contact>,
    pub tables: Vec<Table>,
    pub registrations: Vec<Registration>,
    /// Messages that it was asked to send.
    pub sent: Vec<SentMessage>,
    /// Requests of its own so far.
    pub transactions: u64,
    /// Call-ID and CSeq of the requests that it was told to send.
    pub asked: Vec<(String, u32)>,
    registered: u64,
}

impl State {
    pub(super) fn new(world: ProxyWorld, dispatcher: Dispatcher, now: Instant) -> Self {
        Self {
            world,
            started: now,
            dispatcher,
            contacts: Vec::new(),
            tables: htable::tables(),
            registrations: Vec::new(),
            sent: Vec::new(),
            transactions: 0,
            asked: Vec::new(),
            registered: 0,
        }
    }

    /// The server starts anew; destinations are read from their file again.
    pub(super) fn restart(&mut self, now: Instant) {
        self.world.restart();
        self.started = now;
        self.contacts.clear();
        self.registrations.clear();
        self.tables = htable::tables();
        for destination in &mut self.dispatcher.all {
            (destination.state, destination.probed) = ('A', false);
        }
    }

    pub(super) fn up_since(&self) -> Timestamp {
        self.world.wall(self.started)
    }

    /// A phone is registered, or is so again; which of them is the word of the script.
    pub(super) fn register(
        &mut self,
        aor: &str,
        address: &str,
        expires: Duration,
        by_rpc: bool,
        now: Instant,
    ) -> &'static str {
        let before = self.contacts.len();
        self.contacts
            .retain(|contact| contact.aor != aor || contact.address != address);
        let known = self.contacts.len() < before;
        self.registered += 1;
        let (call_id, agent) = if by_rpc {
            (
                "dfjrewr12386fd6-343@kamailio.rpc",
                "kamailio SIP Router - RPC Server",
            )
        } else {
            ("reg-5091@127.0.0.1", "faxbot-rig")
        };
        self.contacts.push(Contact {
            aor: aor.to_owned(),
            address: address.to_owned(),
            until: now + expires,
            modified: self.world.wall(now).as_second(),
            call_id: call_id.to_owned(),
            agent: agent.to_owned(),
            by_rpc,
            number: self.registered,
        });
        if known { "updated" } else { "inserted" }
    }

    /// When the next registration expires.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.contacts.iter().map(|contact| contact.until).min()
    }

    /// Registrations that have expired, by number and contact.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<(String, String)> {
        let (left, gone) = self
            .contacts
            .drain(..)
            .partition(|contact| contact.until > now);
        self.contacts = left;
        let gone: Vec<Contact> = gone;
        gone.into_iter()
            .map(|contact| (contact.aor, contact.address))
            .collect()
    }

    /// A phone's registrations end. Gives its contacts.
    pub(super) fn unregister(&mut self, aor: &str) -> Vec<String> {
        let (gone, left) = self
            .contacts
            .drain(..)
            .partition(|contact| contact.aor == aor);
        self.contacts = left;
        let gone: Vec<Contact> = gone;
        gone.into_iter().map(|contact| contact.address).collect()
    }
}
