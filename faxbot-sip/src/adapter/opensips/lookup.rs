//! What became of a call: our books, and what is up. OpenSIPS keeps nothing of a call that is over.

use faxbot_core::{
    ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{CallState, CallStatus, Direction, Lookup, UnknownReason},
};

use super::{
    core::Core,
    server::Server,
    wire::{
        b2b::{RawTuple, TupleState},
        dialog::RawDialog,
    },
};
use crate::adapter::{
    dialogs::{Stage, absent},
    hub::Book as _,
};

const OPERATION: &str = "lookup";

/// Everything that can be known.
pub(super) async fn lookup(core: &Core, server: Result<Server>, call: &CallRef) -> Result<Lookup> {
    if let Some(known) = in_books(core, call) {
        return Ok(known);
    }
    let server = server?;
    let tuples = match server.tuples(OPERATION).await {
        Ok(tuples) => tuples,
        Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
        Err(error) => return Err(error),
    };
    let native = call.native.as_deref().filter(|_| call.id.is_none());
    let is_it = |tuple: &&RawTuple| match native {
        Some(native) => tuple.key == native || tuple.legs().any(|leg| leg == native),
        None => call.id.is_some() && tuple.mark() == call.id,
    };
    if let Some(tuple) = tuples.iter().find(is_it)
        && tuple.state() != TupleState::Ending
        && !tuple.is_dead()
    {
        return Ok(Lookup::Live(of_tuple(core, call, tuple)));
    }
    if let Some(native) = native {
        let dialog = match server.dialog(native, OPERATION).await {
            Ok(dialog) => dialog,
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        let live = dialog.filter(|it| it.stage().is_some_and(|stage| stage != Stage::Over));
        return Ok(match live {
            Some(dialog) => Lookup::Live(of_dialog(core, &dialog)),
            None => Lookup::Unknown(UnknownReason::NotOurs),
        });
    }
    // Our own call may have been entered meanwhile.
    if let Some(known) = in_books(core, call) {
        return Ok(known);
    }
    let up_since = core.hub.state().books.up_since;
    let now = core.hub.clock.timestamp();
    Ok(Lookup::Unknown(absent(call, up_since, now)))
}

fn in_books(core: &Core, call: &CallRef) -> Option<Lookup> {
    let state = core.hub.state();
    let found = state.books.find(call);
    match found.and_then(|id| state.books.calls().status(id)) {
        Some(status) => Some(Lookup::Live(status)),
        None => state.books.dialogs.lookup(call),
    }
}

fn of_tuple(core: &Core, call: &CallRef, tuple: &RawTuple) -> CallStatus {
    let state = match tuple.state() {
        TupleState::Connected => CallState::Connected,
        _ => CallState::Dialing,
    };
    let id = call.id.or(tuple.mark());
    let started = call.requested_at;
    let mut status = status(core, id, state, started);
    let legs = tuple.legs().map(|leg| leg.to_owned().into());
    status.channels.extend(legs);
    status
}

fn of_dialog(core: &Core, dialog: &RawDialog) -> CallStatus {
    let state = match dialog.stage() {
        Some(Stage::Answered | Stage::Up) => CallState::Connected,
        Some(Stage::Early) => CallState::Ringing,
        _ => CallState::Dialing,
    };
    let mut status = status(core, None, state, dialog.answered());
    status.answered_at = dialog.answered();
    status.channels.push(dialog.callid.clone().into());
    status
}

fn status(
    core: &Core,
    id: Option<CallId>,
    state: CallState,
    started: Option<faxbot_core::Timestamp>,
) -> CallStatus {
    let started = started.unwrap_or_else(|| core.hub.clock.timestamp());
    CallStatus::new(id, state, Direction::Outbound, started)
}
