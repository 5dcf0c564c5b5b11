//! What is known of the server, beside its calls. Sans-IO.

use std::time::Duration;

use faxbot_core::Timestamp;

use super::{
    abilities::Abilities,
    books::Books,
    identity::{Identity, Successor},
};

/// What is known of the server, as far as it told.
#[derive(Debug)]
pub(super) struct Known {
    /// Which run of which Asterisk the books are about.
    identity: Option<Identity>,
    /// When another one was found behind the address: what it knows says nothing of requests before.
    pub(super) other_since: Option<Timestamp>,
    /// Since when this run of Asterisk is up, where it told.
    pub(super) up_since: Option<Timestamp>,
    /// What the server and the account can do.
    pub(super) abilities: Abilities,
}

impl Known {
    pub(super) fn new(abilities: Abilities) -> Self {
        Self {
            identity: None,
            other_since: None,
            up_since: None,
            abilities,
        }
    }
}

impl Books {
    /// A server answers: enters what that says of the calls that were up. `lost_at` is when the last
    /// connection was lost.
    pub(super) fn answers(
        &mut self,
        identity: Identity,
        lost_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        let before = self.known.identity.replace(identity.clone());
        match before.map_or(Successor::Same, |before| identity.after(&before)) {
            Successor::Same => return,
            // What handlers wrote before is in AstDB, and is read when the list of channels shows
            // that a call is gone.
            Successor::NextRun => {
                tracing::warn!("asterisk: the server was restarted");
                self.restarted(lost_at.unwrap_or(now));
            }
            Successor::Other => {
                tracing::warn!(
                    "asterisk: another server answers, or a run of it that cannot be told apart; what became of the calls before is not certain"
                );
            }
        }
        self.known.other_since = Some(now);
    }

    /// The server told how long it is up.
    pub(super) fn up_for(&mut self, uptime: Duration, now: Timestamp) {
        self.known.up_since = Some(now - uptime);
    }
}
