//! Incoming calls that are told of, and those that are rejected.

use std::collections::BTreeMap;

use faxbot_core::{
    ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{Capability, RejectCause, Severity},
};

use super::super::{core::Core, server::Server};
use crate::adapter::incoming::{Decision, told};

/// Tells of a call: everything about it came with its route.
pub(in crate::adapter::yate) fn announce(core: &Core, id: CallId) {
    core.hub
        .events(|state, _| state.books.announce(id, BTreeMap::new()));
}

/// Rejects a call that nobody decided on in time (480).
pub(in crate::adapter::yate) async fn overdue(core: &Core, server: &Server, id: CallId) {
    if !core.hub.state().capabilities.has(Capability::Incoming) {
        return;
    }
    let decided = core
        .hub
        .change(|state, _| (state.books.decide_overdue(id), Vec::new()));
    let Some(channel) = decided else {
        return;
    };
    let mut decision = Decision::new(&core.hub, id);
    decision.written = true;
    match server
        .hang_up(&channel, word(RejectCause::Unavailable))
        .await
    {
        Ok(()) => {
            core.hub.events(|state, now| state.books.rejected(id, now));
            decision.stands();
        }
        Err(error) => {
            let refused = error.kind() == ErrorKind::Rejected;
            let error = decision.failed(error);
            // Tried again; whoever watches has to know why the caller is not released.
            if refused {
                core.hub.trouble(Severity::Warning, error);
            }
        }
    }
}

/// Rejects one call of those that are too many.
pub(in crate::adapter::yate) async fn refuse(core: &Core, server: &Server) {
    let refused = core
        .hub
        .change(|state, _| (state.books.door.flood.next(), Vec::new()));
    if let Some(channel) = refused {
        // One that fails shows in the next list, or gave up.
        let _ = server.hang_up(&channel, word(RejectCause::Busy)).await;
    }
}

/// The words that give an unanswered caller 486, 480, 404 and 403 (observed on Yate 6.4.1). No word of
/// `call.drop` gives 603: `rejected` is 406, and 403 is the nearest.
pub(in crate::adapter::yate) fn word(cause: RejectCause) -> &'static str {
    match cause {
        RejectCause::Busy => "busy",
        RejectCause::Unavailable => "noanswer",
        RejectCause::NotFound => "noroute",
        _ => "forbidden",
    }
}

pub(in crate::adapter::yate) async fn reject(
    core: &Core,
    server: Server,
    call: &CallRef,
    cause: RejectCause,
) -> Result<()> {
    const OPERATION: &str = "reject";
    let id = told(&core.hub, core.config.request_timeout, call, OPERATION).await?;
    let channel = core.hub.change(|state, _| {
        let decided = state.books.decide(id, OPERATION);
        if decided.is_ok() {
            // Before the order: its end may overtake the answer.
            state.books.rejecting(id, cause);
        }
        (decided, Vec::new())
    })?;
    let mut decision = Decision::new(&core.hub, id);
    decision.written = true;
    match server.hang_up(&channel, word(cause)).await {
        Ok(()) => {
            core.hub.events(|state, now| state.books.rejected(id, now));
            decision.stands();
            Ok(())
        }
        Err(error) => Err(decision.failed(error)),
    }
}
