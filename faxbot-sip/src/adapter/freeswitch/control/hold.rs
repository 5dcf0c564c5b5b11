//! Holding a call and taking it back, by `uuid_hold` on our own channel.
//!
//! A call of two parties stays joined: the far end of our channel is held by a re-INVITE, and neither
//! hears the other. Never both channels: after that one of them heard nothing any more, and the order
//! to take it back took five seconds (observed on FreeSWITCH 1.10.12).

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::CallState,
};

use super::{Claim, Shown, TOLD, gone, own_channel, refused};
use crate::adapter::freeswitch::{core::Core, server::Server};

pub(crate) async fn hold(core: &Core, server: &Server, call: &CallRef) -> Result<()> {
    const OPERATION: &str = "hold";
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, state) = claim.take(call)?;
    if state == CallState::OnHold {
        return Err(refused(OPERATION, "the call is held already").with_call_id(id));
    }
    let done = async {
        own_channel(core, server, id, OPERATION).await?;
        hold_own(core, server, &claim, id, OPERATION).await
    };
    done.await.map_err(|error: Error| error.with_call_id(id))
}

/// Holds our channel of a claimed call, and sees that it is held.
pub(super) async fn hold_own(
    core: &Core,
    server: &Server,
    claim: &Claim<'_>,
    id: CallId,
    operation: &'static str,
) -> Result<()> {
    let own = {
        let mut state = core.hub.state();
        let books = &mut state.books;
        let Some(line) = books.lines.get(&id) else {
            return Err(gone(operation));
        };
        if line.moves.is_held_by_far_end() {
            // FreeSWITCH refuses it (`switch_ivr_hold`).
            return Err(refused(operation, "the far end holds the call"));
        }
        let own = line.own.clone();
        // Before the order: its event looks like one of the far end.
        books.will_hold(id);
        own
    };
    match server.api("uuid_hold", &own, operation).await {
        Ok(_) => {}
        Err(error) if error.effect() == Effect::Unknown => {
            claim.unsure();
            return Err(error);
        }
        Err(error) => {
            core.hub.events(|state, now| state.books.holds_not(id, now));
            return Err(error);
        }
    }
    match is_held(core, server, id, &own, true, operation).await? {
        true => {
            core.hub.events(|state, now| state.books.holds(id, now));
            Ok(())
        }
        false => {
            core.hub.events(|state, now| state.books.holds_not(id, now));
            let text = "freeswitch did not hold the call";
            Err(Error::new(ErrorKind::Rejected, operation, text))
        }
    }
}

pub(crate) async fn resume(core: &Core, server: &Server, call: &CallRef) -> Result<()> {
    const OPERATION: &str = "resume";
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, state) = claim.take(call)?;
    if state != CallState::OnHold {
        return Err(refused(OPERATION, "the call is not held").with_call_id(id));
    }
    let done = take_back(core, server, &claim, id, OPERATION).await;
    done.map_err(|error| error.with_call_id(id))
}

/// Takes a claimed call back that is held, and sees that it is not held any longer.
pub(super) async fn take_back(
    core: &Core,
    server: &Server,
    claim: &Claim<'_>,
    id: CallId,
    operation: &'static str,
) -> Result<()> {
    let channel = {
        let state = core.hub.state();
        let line = state.books.lines.get(&id);
        let held = line.map(|line| line.moves.held().unwrap_or(&line.own).to_owned());
        held.ok_or_else(|| gone(operation))?
    };
    match server
        .api("uuid_hold", &format!("off {channel}"), operation)
        .await
    {
        Ok(_) => {}
        Err(error) if error.effect() == Effect::Unknown => {
            claim.unsure();
            return Err(error);
        }
        // Somebody else took it back, or it is held for another reason: the channel tells.
        Err(error) if error.kind() == ErrorKind::Rejected => {}
        Err(error) => return Err(error),
    }
    if is_held(core, server, id, &channel, false, operation).await? {
        let text = "freeswitch did not take the call back";
        return Err(Error::new(ErrorKind::Rejected, operation, text));
    }
    core.hub.events(|state, now| state.books.holds_not(id, now));
    Ok(())
}

/// Whether the channel is held, as its event tells, or else the server: it says `+OK Success` also for
/// a channel that is gone (recording `04_call_control`).
async fn is_held(
    core: &Core,
    server: &Server,
    id: CallId,
    channel: &str,
    wanted: bool,
    operation: &'static str,
) -> Result<bool> {
    let told = core.hub.until(TOLD, |state| {
        if !state.books.lines.contains_key(&id) {
            return Some(None);
        }
        let held = state.books.calls.state(id) == Some(CallState::OnHold);
        (held == wanted).then_some(Some(held))
    });
    match told.await {
        Some(Some(held)) => Ok(held),
        Some(None) => Err(gone(operation)),
        None => {
            let shown = Shown::ask(server, channel, operation).await;
            let shown = shown.map_err(|error| match error.kind() {
                ErrorKind::NotFound => error,
                // The order was carried out; what it did is not known.
                _ => error.with_effect(Effect::Unknown),
            })?;
            Ok(shown.is_held())
        }
    }
}
