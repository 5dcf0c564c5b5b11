//! The books of an adapter without calls.

use std::time::Instant;

use faxbot_core::{
    Error,
    id::CallId,
    sip::{AdapterKind, SipEvent, Snapshot},
};

use crate::adapter::{
    calls::{Calls, Now},
    hub::Book,
};

/// No call is ever in it.
#[derive(Debug)]
pub(super) struct NoCalls(Calls);

impl NoCalls {
    pub(super) fn new() -> Self {
        Self(Calls::new(AdapterKind::FLEXISIP))
    }
}

impl Book for NoCalls {
    /// There is nothing to do.
    type Todo = ();

    fn calls(&self) -> &Calls {
        &self.0
    }

    fn take_todo(&mut self) -> Vec<()> {
        Vec::new()
    }

    fn settle_todo(_id: CallId) {}

    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    fn timeout(&mut self, _now: Now) {}

    fn requested(&mut self, _id: CallId, _now: Now) -> bool {
        false
    }

    fn taken(&mut self, _id: CallId, _now: Now) -> Vec<SipEvent> {
        Vec::new()
    }

    fn unsure(&mut self, _id: CallId, _now: Now) {}

    fn lose(&mut self, _id: CallId, _error: Error) -> Vec<SipEvent> {
        Vec::new()
    }

    fn missed_events(&mut self) {}

    fn forget_connection(&mut self) {}

    fn snapshot(&self, _snapshot: &mut Snapshot) {}
}
