//! Incoming calls that are rejected.

use faxbot_core::{
    ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{Capability, RejectCause, Severity},
};

use super::super::{core::Core, request::action, server::Server};
use crate::adapter::incoming::{Decision, told};

/// Rejects a call that nobody decided on in time (Q.850 19, SIP 480).
pub(crate) async fn overdue(core: &Core, server: &Server, id: CallId) {
    if !core.state().capabilities.has(Capability::Incoming) {
        return;
    }
    let Some(channel) = core.change(|state, _| (state.books.decide_overdue(id), Vec::new())) else {
        return;
    };
    let mut decision = Decision::new(core, id);
    decision.written = true;
    match hang_up(server, &channel, RejectCause::Unavailable, "deadline").await {
        Ok(()) => {
            core.events(|state, now| state.books.rejected(id, now));
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
                core.trouble(Severity::Warning, error);
            }
        }
    }
}

/// Rejects one call of those that are too many.
pub(crate) async fn refuse(core: &Core, server: &Server) {
    let refused = core.change(|state, _| (state.books.door.flood.next(), Vec::new()));
    if let Some(channel) = refused {
        // One that fails shows in the next list, or gave up.
        let _ = hang_up(server, &channel, RejectCause::Busy, "incoming").await;
    }
}

/// The causes that give an unanswered caller 486, 480, 404 and 603 (observed on Asterisk 16.28 and
/// 22.10: Q.850 21 gives 403, and 16 or none 603).
async fn hang_up(
    server: &Server,
    channel: &str,
    cause: RejectCause,
    operation: &'static str,
) -> Result<()> {
    let cause = match cause {
        RejectCause::Busy => "17",
        RejectCause::Unavailable => "19",
        RejectCause::NotFound => "1",
        _ => "16",
    };
    let headers = [("Channel", channel), ("Cause", cause)];
    let order = action("Hangup", &headers, operation)?;
    server.order(order, operation).await.map(drop)
}

pub(crate) async fn reject(
    core: &Core,
    server: Server,
    call: &CallRef,
    cause: RejectCause,
) -> Result<()> {
    const OPERATION: &str = "reject";
    let id = told(core, core.config.request_timeout, call, OPERATION).await?;
    let channel = core.change(|state, _| {
        let decided = state.books.decide(id, OPERATION);
        if decided.is_ok() {
            // Before the order: its end may overtake the answer.
            state.books.rejecting(id, cause);
        }
        (decided, Vec::new())
    })?;
    let mut decision = Decision::new(core, id);
    decision.written = true;
    match hang_up(&server, &channel, cause, OPERATION).await {
        Ok(()) => {
            core.events(|state, now| state.books.rejected(id, now));
            decision.stands();
            Ok(())
        }
        Err(error) => Err(decision.failed(error)),
    }
}
