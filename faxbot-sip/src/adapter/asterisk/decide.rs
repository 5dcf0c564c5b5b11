//! Incoming calls that are rejected, and what becomes of a decision whose order fails.

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{Capability, RejectCause, Severity},
};

use super::{core::Core, request::action, server::Server};

/// Rejects a call that nobody decided on in time (Q.850 19, SIP 480).
pub(super) async fn overdue(core: &Core, server: &Server, id: CallId) {
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
pub(super) async fn refuse(core: &Core, server: &Server) {
    let refused = core.change(|state, _| (state.books.next_refused(), Vec::new()));
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

pub(super) async fn reject(
    core: &Core,
    server: Server,
    call: &CallRef,
    cause: RejectCause,
) -> Result<()> {
    const OPERATION: &str = "reject";
    let id = told(core, call, OPERATION).await?;
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

/// Waits until the call was told of: another process may have given its id away before.
pub(super) async fn told(core: &Core, call: &CallRef, operation: &'static str) -> Result<CallId> {
    let told = core
        .until(core.config.request_timeout, |state| {
            state.books.told(call, operation).transpose()
        })
        .await;
    told.unwrap_or_else(|| {
        Err(Error::new(
            ErrorKind::Timeout,
            operation,
            "the server did not tell what the call brings; it waits still",
        )
        .with_effect(Effect::NoEffect))
    })
}

/// A decision that one caller took: dropped before its order was written it never was, dropped after
/// it the server is asked.
pub(super) struct Decision<'a> {
    core: &'a Core,
    id: CallId,
    /// The order is on its way.
    pub(super) written: bool,
    done: bool,
}

impl<'a> Decision<'a> {
    pub(super) fn new(core: &'a Core, id: CallId) -> Self {
        Self {
            core,
            id,
            written: false,
            done: false,
        }
    }

    pub(super) fn stands(mut self) {
        self.done = true;
    }

    /// The order, or what comes before it, failed.
    pub(super) fn failed(mut self, error: Error) -> Error {
        let error = error.with_call_id(self.id);
        self.done = true;
        if error.kind() == ErrorKind::NotFound {
            self.core
                .note(|state, now| state.books.too_late(self.id, now));
            return Error::new(
                ErrorKind::NotFound,
                error.operation(),
                "the caller hung up before the decision",
            )
            .with_call_id(self.id);
        }
        if error.effect() == Effect::Unknown && self.written {
            self.unsure();
            return error;
        }
        self.undo();
        // What was written before the decision changes nothing by itself.
        error.with_effect(Effect::NoEffect)
    }

    fn undo(&self) {
        self.core
            .note(|state, now| state.books.undecide(self.id, now));
    }

    fn unsure(&self) {
        self.core
            .note(|state, now| state.books.decision_unsure(self.id, now));
    }
}

impl Drop for Decision<'_> {
    fn drop(&mut self) {
        match (self.done, self.written) {
            (true, _) => {}
            (false, true) => self.unsure(),
            (false, false) => self.undo(),
        }
    }
}
