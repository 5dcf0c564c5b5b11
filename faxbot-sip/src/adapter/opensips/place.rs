//! Placing calls, and hanging them up.
//!
//! `b2b_trigger_scenario` answers `OK` and no key: our id is its `scenario_id`, and the call is found by
//! that in `b2b_list`. It is never sent twice.

use std::sync::Arc;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::{Call, CallPlan, CallRequest, HangupOutcome},
};
use serde_json::{Value, json};
use tracing::{Instrument as _, Span};

use super::{
    OpenSipsAdapter,
    core::Core,
    server::{Refusal, Server, named},
    target::{entity, uri},
    wire::b2b::mark,
};
use crate::{
    adapter::{
        dialogs::NewOurs,
        hub::Book as _,
        placing::{Placing, parties},
    },
    protocol::jsonrpc::Request,
};

const MAKE_CALL: &str = "make_call";
const HANGUP: &str = "hangup";

impl OpenSipsAdapter {
    pub(super) async fn place_call(&self, request: CallRequest) -> Result<Call> {
        let core = &self.core;
        core.hub.require(&request.capabilities(), MAKE_CALL)?;
        let CallPlan::Connect { from, to } = &request.plan else {
            return Err(Error::unsupported(MAKE_CALL));
        };
        let id = request.id;
        let name = request.options.caller_id_name.as_deref();
        let first = entity(
            "from",
            &uri(&core.config, from, MAKE_CALL)?,
            None,
            MAKE_CALL,
        )?;
        // The display name of a party is who it sees calling.
        let second = entity("to", &uri(&core.config, to, MAKE_CALL)?, name, MAKE_CALL)?;
        let values = [
            ("scenario_id", json!(mark(id))),
            ("entity1", json!(first)),
            ("entity2", json!(second)),
        ];
        let order = named("b2b_trigger_scenario", values, MAKE_CALL)?;
        let server = self.server(MAKE_CALL)?;
        let (from, to) = parties(&request, MAKE_CALL)?;
        let ring_timeout = request.options.timeout;
        let updates = core.hub.change(|state, now| {
            let new = NewOurs {
                id,
                from,
                to,
                ring_timeout,
            };
            let opened = state.books.dialogs.open_ours(new, now);
            if opened.is_ok() {
                state.books.rings.may(id, ring_timeout);
            }
            (opened, Vec::new())
        })?;
        let core = Arc::clone(core);
        let asked = async move { request_call(&core, &server, id, order).await };
        // Who gives up waiting leaves no call that was never asked for in the books.
        let asked = Box::pin(asked.instrument(Span::current()));
        match self.life.see_through(MAKE_CALL, asked).await {
            Ok(()) => {
                self.life.poll_soon();
                Ok(Call::new(id, updates))
            }
            Err(error) => Err(error.with_call_id(id)),
        }
    }
}

/// Asks for a call that is in the books.
async fn request_call(core: &Core, server: &Server, id: CallId, order: Request) -> Result<()> {
    let mut placing = Placing::new(&core.hub, id);
    placing.requested()?;
    match server.act::<Value>(order, MAKE_CALL).await {
        Ok(_) => {
            placing.taken();
            Ok(())
        }
        Err(refusal) => {
            let error = why(server, id, refusal).await;
            Err(placing.failed(error))
        }
    }
}

/// Why a call could not be begun: a server without `server_address` leaves a dead call behind
/// (recording `05_click_to_dial_server_address_not_set`). Where the list shows a call that lives, or there
/// is no list, nothing is known of it.
async fn why(server: &Server, id: CallId, refusal: Refusal) -> Error {
    if refusal.code != Some(500) {
        return refusal.into();
    }
    let Ok(tuples) = server.tuples(MAKE_CALL).await else {
        let message = "the server refused, and does not show whether it began the call";
        return unknown(refusal, message);
    };
    let ours = || tuples.iter().filter(|tuple| tuple.mark() == Some(id));
    if ours().any(|tuple| !tuple.is_dead()) {
        return unknown(refusal, "the server refused, and shows the call");
    }
    if ours().next().is_some() {
        let message = "the server cannot begin calls: set server_address of its module b2b_logic";
        return refusal.means(ErrorKind::Config, message);
    }
    refusal.means(ErrorKind::Rejected, "the server could not begin the call")
}

fn unknown(refusal: Refusal, message: &str) -> Error {
    let error = refusal.means(ErrorKind::OutcomeUnknown, message);
    error.with_effect(Effect::Unknown)
}

/// Hangs a call up, whoever placed it.
pub(super) async fn hang_up(core: &Core, server: &Server, call: &CallRef) -> Result<HangupOutcome> {
    let (known, over) = {
        let state = core.hub.state();
        (
            state.books.find(call),
            state.books.dialogs.record(call).is_some(),
        )
    };
    let Some(id) = known else {
        if over {
            return Ok(HangupOutcome::Ended);
        }
        return hang_up_stranger(server, call).await;
    };
    // Before the order: the end that follows is ours even if its event overtakes the answer.
    core.hub.state().books.begin_hang_up(id);
    match end(core, server, id, HANGUP).await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let over = core.hub.change(|state, _| {
                let live = state.books.calls().state(id).is_some();
                let there = !live || state.books.dialogs.seen(id).is_some();
                if !there {
                    // Its request is on its way.
                    state.books.dialogs.hang_up_when_there(id);
                } else {
                    // Too late: it ended by itself.
                    state.books.take_hang_up_back(id);
                }
                (there, Vec::new())
            });
            if over {
                // The server has ended it already, and tells so soon.
                core.hub.note(|state, _| state.books.want_look(id));
                return Ok(HangupOutcome::Ended);
            }
        }
        Err(error) => {
            if error.effect() == Effect::NoEffect {
                core.hub.state().books.take_hang_up_back(id);
            }
            return Err(error.with_call_id(id));
        }
    }
    core.hub.events(|state, now| {
        state.books.want_look(id);
        state.books.dialogs.hanging_up(id, now)
    });
    Ok(HangupOutcome::Requested)
}

/// Ends a call of the books.
///
/// # Errors
/// `NotFound` when the server has no such call: it is over, or not there yet.
pub(super) async fn end(
    core: &Core,
    server: &Server,
    id: CallId,
    operation: &'static str,
) -> Result<()> {
    let (two_legs, handle) = {
        let state = core.hub.state();
        let books = &state.books;
        let handle = books.dialogs.handle(id).or_else(|| {
            let seen = books.dialogs.seen(id)?;
            Some(seen.call_id.clone())
        });
        (books.is_pair(id) || books.dialogs.is_ours(id), handle)
    };
    if two_legs {
        let key = key(server, id, operation).await?;
        return Ok(server.end_tuple(&key, operation).await?);
    }
    match handle {
        Some(handle) => Ok(server.end_dialog(&handle, operation).await?),
        None => Err(no_such_call(operation)),
    }
}

/// The key that a call of two legs has at this moment. An earlier one may be that of somebody else's
/// call by now: the server gave `697.0` to each of several calls, one after the other (recordings
/// `05_click_to_dial_*`).
///
/// # Errors
/// `NotFound` when the server has no such call: it is over, or not there yet.
pub(super) async fn key(server: &Server, id: CallId, operation: &'static str) -> Result<String> {
    let tuples = server.tuples(operation).await?;
    let tuple = tuples.into_iter().find(|tuple| tuple.mark() == Some(id));
    match tuple {
        Some(tuple) if !tuple.is_over() => Ok(tuple.key),
        _ => Err(no_such_call(operation)),
    }
}

/// Hangs up what the books do not have: a call of an earlier process by our id, a dialog by its Call-ID
/// or its number, a call of two legs by its key.
async fn hang_up_stranger(server: &Server, call: &CallRef) -> Result<HangupOutcome> {
    let Some(id) = call.id else {
        let native = call.native.as_deref().unwrap_or_default();
        if native.is_empty() {
            return Err(no_such_call(HANGUP));
        }
        return match server.end_dialog(native, HANGUP).await {
            Ok(()) => Ok(HangupOutcome::Requested),
            Err(refusal) if is_absent(&refusal) => match server.end_tuple(native, HANGUP).await {
                Ok(()) => Ok(HangupOutcome::Requested),
                Err(refusal) if is_absent(&refusal) => Err(no_such_call(HANGUP)),
                Err(refusal) => Err(refusal.into()),
            },
            Err(refusal) => Err(refusal.into()),
        };
    };
    let tuples = server
        .tuples(HANGUP)
        .await
        .or_else(|error| match error.kind() {
            ErrorKind::Unsupported => Ok(Vec::new()),
            _ => Err(error),
        })?;
    match tuples.iter().find(|tuple| tuple.mark() == Some(id)) {
        Some(tuple) if !tuple.is_over() => {
            server
                .end_tuple(&tuple.key, HANGUP)
                .await
                .map_err(Error::from)?;
            Ok(HangupOutcome::Requested)
        }
        _ => Err(no_such_call(HANGUP).with_call_id(id)),
    }
}

/// Whether a refusal says that there is no such thing, or no such command.
fn is_absent(refusal: &Refusal) -> bool {
    matches!(refusal.code, Some(404 | 481 | -32601 | -32000))
}

fn no_such_call(operation: &'static str) -> Error {
    Error::new(ErrorKind::NotFound, operation, "no such call")
}
