//! What became of a call: our books, and the dialogs that are up. Kamailio keeps nothing of a call that
//! is over.

use faxbot_core::{
    Private, Result,
    id::CallRef,
    sip::{CallState, CallStatus, Direction, Lookup},
};

use super::{
    core::Core,
    place::find,
    wire::{Dialog, DialogState},
};
use crate::adapter::dialogs;

/// Everything that can be known.
pub(super) async fn lookup(core: &Core, call: &CallRef) -> Result<Lookup> {
    const OPERATION: &str = "lookup";
    if let Some(known) = core.hub.state().books.dialogs.lookup(call) {
        return Ok(known);
    }
    let server = core.server(OPERATION)?;
    match find(&server, call, OPERATION).await? {
        Some(dialog) => Ok(Lookup::Live(live(core, call, &dialog))),
        // A call that is asked for and has no dialog yet leaves no trace at all, so its absence proves
        // nothing.
        None => {
            let now = core.hub.clock.timestamp();
            Ok(Lookup::Unknown(dialogs::absent(call, core.up_since(), now)))
        }
    }
}

fn live(core: &Core, call: &CallRef, dialog: &Dialog) -> CallStatus {
    let state = match dialog.state {
        DialogState::Unconfirmed | DialogState::Other(_) => CallState::Dialing,
        DialogState::Early => CallState::Ringing,
        _ => CallState::Connected,
    };
    let started = dialog.begun.or(call.requested_at);
    let started = started.unwrap_or_else(|| core.hub.clock.timestamp());
    let mut status = CallStatus::new(call.id, state, Direction::Outbound, started);
    status.answered_at = dialog.answered;
    status
        .channels
        .push(Private::new(dialog.call_id.expose().clone()));
    status
}
