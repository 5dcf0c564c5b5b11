//! What a restart of the server leaves of its calls.

use std::{collections::HashSet, time::Instant};

use faxbot_core::{id::CallId, sip::SipEvent};

use super::Desk;
use crate::adapter::hub::Book as _;

impl Desk {
    /// The server was restarted and forgot its calls. Those that `newer` has came after that, as did what
    /// was shown since that list was `asked` for. A call of ours of which nothing was shown may come yet,
    /// unless its request was taken `before` the list was asked for, which does not have it.
    pub(in super::super) fn restarted(
        &mut self,
        newer: &HashSet<CallId>,
        before: &[CallId],
        asked: Instant,
    ) -> Vec<SipEvent> {
        self.pairs
            .retain(|id, pair| newer.contains(id) || pair.shown >= asked);
        let pairs = &self.pairs;
        let out = self.dialogs.forgot(|all, id| {
            let may_come = || all.is_ours(id) && all.seen(id).is_none() && !before.contains(&id);
            newer.contains(&id) || pairs.contains_key(&id) || may_come()
        });
        self.forget_ended();
        out
    }

    /// Whether the server shows no call of the books: then none is missed in a list after a restart.
    pub(in super::super) fn shows_nothing(&self) -> bool {
        let mut live = self.dialogs.calls().live();
        live.all(|id| self.dialogs.seen(id).is_none())
    }
}
