//! What a mocked FreeSWITCH is set up with beside what all mocks are.

use std::collections::{BTreeMap, BTreeSet};

use super::{MockFreeSwitchBuilder, program::Program};

/// What the builder sets.
#[derive(Debug)]
pub struct Setup {
    pub(super) password: String,
    pub(super) users: Vec<User>,
    pub(super) rejects: bool,
    pub(super) missing: BTreeSet<String>,
    pub(super) globals: BTreeMap<String, String>,
    pub(super) max_sessions: u32,
    /// Programs by context and extension; an extension may be `*`.
    pub(super) extensions: BTreeMap<(String, String), Program>,
    pub(super) heartbeat: Option<std::time::Duration>,
    pub(super) domain: String,
}

/// A user of `userauth`.
#[derive(Clone)]
pub(super) struct User {
    /// `name@domain`.
    pub name: String,
    pub password: String,
    pub events: String,
    pub api: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            password: "ClueCon".to_owned(),
            users: Vec::new(),
            rejects: false,
            missing: BTreeSet::new(),
            globals: BTreeMap::new(),
            max_sessions: 1000,
            extensions: BTreeMap::new(),
            heartbeat: Some(std::time::Duration::from_secs(20)),
            domain: super::world::HOST.to_owned(),
        }
    }
}

impl MockFreeSwitchBuilder {
    /// The password of `auth`. Default: `ClueCon`.
    pub fn password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.own.password);
        self
    }

    /// A user for `userauth name@domain:password`, who may hear of these events and use these
    /// commands: `all`, or names with a blank between, as `esl-allowed-events` and
    /// `esl-allowed-api` of the directory.
    pub fn user(mut self, name: &str, password: &str, events: &str, api: &str) -> Self {
        self.own.users.push(User {
            name: name.to_owned(),
            password: password.to_owned(),
            events: events.to_owned(),
            api: api.to_owned(),
        });
        self
    }

    /// The access list refuses everybody: `text/rude-rejection`.
    pub fn rejects_addresses(mut self) -> Self {
        self.own.rejects = true;
        self
    }

    /// No `mod_spandsp`: `txfax` and `rxfax` are no applications.
    pub fn without_fax(self) -> Self {
        self.without_module("mod_spandsp")
    }

    /// This module is not loaded: `mod_db`, `mod_hash`, `mod_conference`, `mod_sofia`, `mod_sms`,
    /// `mod_spandsp`.
    pub fn without_module(mut self, module: &str) -> Self {
        self.own.missing.insert(module.to_owned());
        self
    }

    /// A global variable, as `X-PRE-PROCESS` sets it.
    pub fn global(mut self, name: &str, value: &str) -> Self {
        self.own.globals.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The domain that `global_getvar domain` and conferences have. Default: `fs.example`.
    pub fn domain(mut self, domain: &str) -> Self {
        domain.clone_into(&mut self.own.domain);
        self
    }

    /// Most channels at once. Default: 1000.
    pub fn max_sessions(mut self, most: u32) -> Self {
        self.own.max_sessions = most;
        self
    }

    /// Time between two `HEARTBEAT` events. Default: 20 s.
    pub fn heartbeat(mut self, every: std::time::Duration) -> Self {
        self.own.heartbeat = Some(every);
        self
    }

    /// An extension of the operator's dialplan, with its applications as an inline dialplan has
    /// them: `answer,sleep:500,hangup`. `*` stands for any extension of the context.
    pub fn extension(mut self, context: &str, exten: &str, applications: &str) -> Self {
        let place = (context.to_owned(), exten.to_owned());
        let program = Program::inline(applications);
        self.own.extensions.insert(place, program);
        self
    }

    /// The context `public`, where calls from outside land, parks them without an answer.
    pub fn public_parks(self) -> Self {
        self.extension("public", "*", "park")
    }
}
