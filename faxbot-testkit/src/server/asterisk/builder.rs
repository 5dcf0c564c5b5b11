//! What a mocked Asterisk is set up with beside what all mocks are.

use std::time::Duration;

use super::{
    MockAsteriskBuilder,
    account::Account,
    dialplan::{Dialplan, Step},
    flavour::Flavour,
};

/// What the builder sets.
#[derive(Debug)]
pub struct Setup {
    pub(super) accounts: Vec<Account>,
    pub(super) flavour: Flavour,
    pub(super) fax: bool,
    pub(super) status_events: bool,
    pub(super) music: bool,
    pub(super) cdr: bool,
    pub(super) boot: Duration,
    pub(super) dialplan: Dialplan,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            flavour: Flavour::V22,
            fax: true,
            status_events: false,
            music: true,
            cdr: true,
            boot: Duration::ZERO,
            dialplan: Dialplan::default(),
        }
    }
}

impl MockAsteriskBuilder {
    /// Adds an account. Without any, `faxbot` with the secret `s3cret` may do everything.
    pub fn account(mut self, account: Account) -> Self {
        self.own.accounts.push(account);
        self
    }

    /// Which release it speaks like. Default: Asterisk 22.
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.own.flavour = flavour;
        self
    }

    /// No `res_fax`: fax actions are unknown, `SendFAX` is no application.
    pub fn without_fax(mut self) -> Self {
        self.own.fax = false;
        self
    }

    /// Sends `FAXStatus` events, as with `statusevents=yes` in `res_fax.conf`. Default: only with
    /// the option `s` of `SendFAX`.
    pub fn status_events(mut self) -> Self {
        self.own.status_events = true;
        self
    }

    /// Whether `Cdr` events are sent, as with `cdr_manager.conf`. Default: yes.
    pub fn cdr(mut self, yes: bool) -> Self {
        self.own.cdr = yes;
        self
    }

    /// The operator's context for incoming calls: `AGI(agi:async)` for any number, then `Hangup`.
    pub fn incoming_context(self, context: &str) -> Self {
        self.extension(context, "_[+0-9]!", 1, "AGI", "agi:async")
            .extension(context, "_[+0-9]!", 2, "Hangup", "")
    }

    /// No music on hold is installed: `MusicOnHold` returns at once, as a real server without sound
    /// files does.
    pub fn without_music(mut self) -> Self {
        self.own.music = false;
        self
    }

    /// After a restart, time between listening and `FullyBooted`. Default: none.
    pub fn boot_time(mut self, time: Duration) -> Self {
        self.own.boot = time;
        self
    }

    /// A step of the operator's dialplan; it survives reloads.
    pub fn extension(
        mut self,
        context: &str,
        exten: &str,
        priority: u32,
        application: &str,
        data: &str,
    ) -> Self {
        let step = Step {
            application: application.to_owned(),
            data: data.to_owned(),
            run_time: false,
        };
        self.own.dialplan.add(context, exten, priority, step, true);
        self
    }
}
