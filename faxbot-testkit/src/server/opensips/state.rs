//! What a mocked OpenSIPS keeps in memory.

use std::collections::HashMap;

use faxbot_core::Timestamp;
use tokio::time::Instant;

use super::{
    b2b::Tuple, callops::Callops, gateways::Gateways, location::Contact, session::Session,
    subscribe::Subscriptions,
};
use crate::server::{
    message::SentMessage,
    proxy::{ProxyWorld, Stage},
    script::CallScript,
};

#[derive(Debug)]
pub(super) struct State {
    pub world: ProxyWorld,
    pub started: Instant,
    pub subscriptions: Subscriptions,
    /// How far each dialog is, as events told it; by its Call-ID.
    pub stages: HashMap<String, Stage>,
    pub tuples: Vec<Tuple>,
    pub sessions: Vec<Session>,
    pub callops: Callops,
    pub contacts: Vec<Contact>,
    pub gateways: Gateways,
    /// Messages that it was asked to send.
    pub sent: Vec<SentMessage>,
    /// How the second party of the scenario that is asked for takes its call.
    pub next_second: Option<CallScript>,
    serial: u64,
}

impl State {
    pub(super) fn new(world: ProxyWorld, now: Instant) -> Self {
        Self {
            world,
            started: now,
            subscriptions: Subscriptions::default(),
            stages: HashMap::new(),
            tuples: Vec::new(),
            sessions: Vec::new(),
            callops: Callops::default(),
            contacts: Vec::new(),
            gateways: Gateways::default(),
            sent: Vec::new(),
            next_second: None,
            serial: 0,
        }
    }

    /// The server starts anew, without a database for its dialogs.
    pub(super) fn restart(&mut self, now: Instant) {
        self.world.restart();
        self.started = now;
        self.subscriptions = Subscriptions::default();
        self.stages.clear();
        self.tuples.clear();
        self.sessions.clear();
        self.callops.forget();
        self.contacts.clear();
        self.gateways = Gateways::default();
    }

    pub(super) fn up_since(&self) -> Timestamp {
        self.world.wall(self.started)
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}
