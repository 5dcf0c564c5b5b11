//! Hold and its end (`callops`): re-INVITEs to both legs, whose answers events tell of.

use faxbot_core::{Effect, Error, ErrorKind, Result, id::CallRef, sip::CallState};
use serde_json::{Value, json};

use super::{
    super::{
        core::Core,
        server::{Refusal, Server, named},
    },
    Order,
};
use crate::adapter::dialogs::Told;

/// The server has the last word on whether a call is on hold: after an outcome that nobody told, or a
/// hold by somebody else, it may count it otherwise than the books.
const STATES: [CallState; 2] = [CallState::Connected, CallState::OnHold];

/// Holds a call: both legs, or none.
pub(in super::super) async fn hold(core: &Core, server: &Server, call: &CallRef) -> Result<()> {
    const OPERATION: &str = "hold";
    let order = Order::begin(core, call, &STATES, OPERATION)?;
    let watch = ask(&order, server, "call_hold", true, OPERATION).await;
    let watch = watch.map_err(|error| error.with_call_id(order.id))?;
    let call_id = watch.call_id.clone();
    match outcome(watch).await {
        Some(true) => {
            tell(core, &order, Told::Held);
            Ok(())
        }
        Some(false) => {
            // The server counts it as held all the same (`call_put_leg_onhold` in `callops.c`), and so may
            // one of the parties.
            let request = named("call_unhold", [("callid", json!(call_id))], OPERATION)?;
            let undone = server.act::<Value>(request, OPERATION).await;
            let message = if undone.is_ok() {
                tell(core, &order, Told::Resumed);
                "a party refused to be held, and the hold was taken back"
            } else {
                "a party refused to be held, and the hold could not be taken back"
            };
            let error = Error::new(ErrorKind::Rejected, OPERATION, message);
            Err(error.with_call_id(order.id))
        }
        None => Err(silent(OPERATION, &order)),
    }
}

/// Takes a call off hold.
pub(in super::super) async fn resume(core: &Core, server: &Server, call: &CallRef) -> Result<()> {
    const OPERATION: &str = "resume";
    let order = Order::begin(core, call, &STATES, OPERATION)?;
    let watch = ask(&order, server, "call_unhold", false, OPERATION).await;
    let watch = watch.map_err(|error| error.with_call_id(order.id))?;
    let outcome = outcome(watch).await;
    if outcome.is_some() {
        // Also after a refusal the server counts it as held no longer.
        tell(core, &order, Told::Resumed);
    }
    match outcome {
        Some(true) => Ok(()),
        Some(false) => {
            let message = "a party refused the end of its hold";
            let error = Error::new(ErrorKind::Rejected, OPERATION, message);
            Err(error.with_call_id(order.id))
        }
        None => Err(silent(OPERATION, &order)),
    }
}

/// Gives the order. Answers what is waited for.
async fn ask<'a>(
    order: &Order<'a>,
    server: &Server,
    command: &'static str,
    hold: bool,
    operation: &'static str,
) -> Result<Watch<'a>> {
    let mut last = None;
    for call_id in order.dialogs(operation)? {
        // Before the order: events overtake the answer.
        let watch = Watch::begin(order.core, call_id.clone(), hold);
        let request = named(command, [("callid", json!(call_id))], operation)?;
        match server.act::<Value>(request, operation).await {
            Ok(_) => return Ok(watch),
            Err(refusal) => {
                // Of a call of two legs another leg may be a dialog.
                let absent = refusal.code == Some(404);
                last = Some(why(refusal, hold));
                if !absent {
                    break;
                }
            }
        }
    }
    let pair = order.core.hub.state().books.is_pair(order.id);
    let last = last.filter(|error| !pair || error.kind() != ErrorKind::NotFound);
    Err(last.unwrap_or_else(|| {
        let message =
            "the legs of this call are no dialogs of the server: its script does not see them";
        Error::new(ErrorKind::InvalidState, operation, message)
    }))
}

fn why(refusal: Refusal, hold: bool) -> Error {
    match (refusal.code, hold) {
        (Some(480), true) => refusal.means(ErrorKind::InvalidState, "the call is on hold already"),
        (Some(480), false) => refusal.means(ErrorKind::InvalidState, "the call is not on hold"),
        (Some(410), _) => refusal.means(ErrorKind::InvalidState, "the call is not answered yet"),
        _ => refusal.into(),
    }
}

/// Waits for both legs. `None` when one of them, or both, never answered.
async fn outcome(watch: Watch<'_>) -> Option<bool> {
    let (core, call_id) = (watch.core, &watch.call_id);
    let decided = core
        .hub
        .until(core.config.request_timeout, |state| {
            state.books.holds.get(call_id)?.decided()
        })
        .await;
    decided.or_else(|| core.hub.state().books.holds.get(call_id)?.so_far())
}

/// What is waited for is forgotten with the wait.
struct Watch<'a> {
    core: &'a Core,
    /// The Call-ID whose events tell of it.
    call_id: String,
}

impl<'a> Watch<'a> {
    fn begin(core: &'a Core, call_id: String, hold: bool) -> Self {
        core.hub.state().books.watch_hold(&call_id, hold);
        Self { core, call_id }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.core.hub.state().books.holds.remove(&self.call_id);
    }
}

fn tell(core: &Core, order: &Order<'_>, told: Told) {
    core.hub.events(|state, now| {
        let seen = state.books.dialogs.seen(order.id);
        let Some((call_id, tag)) = seen.map(|it| (it.call_id.clone(), it.from_tag.clone())) else {
            return Vec::new();
        };
        state.books.dialogs.told(&call_id, Some(&tag), told, now)
    });
}

fn silent(operation: &'static str, order: &Order<'_>) -> Error {
    let message = "the server took the order and told nothing of its outcome in time";
    Error::new(ErrorKind::OutcomeUnknown, operation, message)
        .with_effect(Effect::Unknown)
        .with_call_id(order.id)
}
