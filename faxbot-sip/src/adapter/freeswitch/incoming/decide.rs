//! Incoming calls that are rejected.

use faxbot_core::{
    ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{Capability, RejectCause, Severity},
};

use super::super::{causes, core::Core, server::Server};
use crate::adapter::incoming::{Decision, told};

/// Rejects a call that nobody decided on in time.
pub(crate) async fn overdue(core: &Core, server: &Server, id: CallId) {
    if !core.hub.state().capabilities.has(Capability::Incoming) {
        return;
    }
    let taken = core
        .hub
        .change(|state, _| (state.books.decide_overdue(id), Vec::new()));
    let Some(uuid) = taken else {
        return;
    };
    let mut decision = Decision::new(&core.hub, id);
    decision.written = true;
    let cause = causes::of_reject(RejectCause::Unavailable);
    match kill(server, &uuid, cause, "deadline").await {
        Ok(()) => {
            core.hub.events(|state, now| state.books.rejected(id, now));
            decision.stands();
        }
        Err(error) => {
            let refused = matches!(
                error.kind(),
                ErrorKind::Rejected | ErrorKind::PermissionDenied
            );
            let error = decision.failed(error);
            // Tried again; whoever watches has to know why the caller is not released.
            if refused {
                core.hub.trouble(Severity::Warning, error);
            }
        }
    }
}

/// Rejects one call of those that are too many.
pub(crate) async fn refuse(core: &Core, server: &Server) {
    let refused = core
        .hub
        .change(|state, _| (state.books.door.flood.next(), Vec::new()));
    if let Some(uuid) = refused {
        let cause = causes::of_reject(RejectCause::Busy);
        // One that fails shows in the next list, or gave up.
        let _ = kill(server, &uuid, cause, "incoming").await;
    }
}

async fn kill(server: &Server, uuid: &str, cause: &str, operation: &'static str) -> Result<()> {
    let arguments = format!("{uuid} {cause}");
    server
        .api("uuid_kill", &arguments, operation)
        .await
        .map(drop)
}

pub(crate) async fn reject(
    core: &Core,
    server: Server,
    call: &CallRef,
    cause: RejectCause,
) -> Result<()> {
    const OPERATION: &str = "reject";
    let id = told(&core.hub, core.config.request_timeout, call, OPERATION).await?;
    let uuid = core.hub.change(|state, _| {
        let decided = state.books.decide(id, OPERATION);
        if decided.is_ok() {
            // Before the order: its end may overtake the answer.
            state.books.rejecting(id, cause);
        }
        (decided, Vec::new())
    })?;
    let mut decision = Decision::new(&core.hub, id);
    decision.written = true;
    match kill(&server, &uuid, causes::of_reject(cause), OPERATION).await {
        Ok(()) => {
            core.hub.events(|state, now| state.books.rejected(id, now));
            decision.stands();
            Ok(())
        }
        Err(error) => Err(decision.failed(error)),
    }
}
