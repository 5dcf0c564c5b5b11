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

/// Holds a call: both legs, or none.
pub(in super::super) async fn hold(core: &Core, server: &Server, call: &CallRef) -> Result<()> {
    const OPERATION: &str = "hold";
    let order = Order::begin(core, call, &[CallState::Connected], OPERATION)?;
    let call_id = ask(&order, server, "call_hold", true, OPERATION).await;
    let call_id = call_id.map_err(|error| error.with_call_id(order.id))?;
    match outcome(core, &call_id).await {
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
    let order = Order::begin(core, call, &[CallState::OnHold], OPERATION)?;
    let call_id = ask(&order, server, "call_unhold", false, OPERATION).await;
    let call_id = call_id.map_err(|error| error.with_call_id(order.id))?;
    let outcome = outcome(core, &call_id).await;
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

/// Gives the order. Answers the Call-ID whose events tell of it.
async fn ask(
    order: &Order<'_>,
    server: &Server,
    command: &'static str,
    hold: bool,
    operation: &'static str,
) -> Result<String> {
    let mut last = None;
    for call_id in order.dialogs(operation)? {
        // Before the order: events overtake the answer.
        order.core.hub.state().books.watch_hold(&call_id, hold);
        let request = named(command, [("callid", json!(call_id))], operation)?;
        match server.act::<Value>(request, operation).await {
            Ok(_) => return Ok(call_id),
            Err(refusal) => {
                order.core.hub.state().books.holds.remove(&call_id);
                // Of a call of two legs another leg may be a dialog.
                let absent = refusal.code == Some(404);
                last = Some(why(refusal, hold));
                if !absent {
                    break;
                }
            }
        }
    }
    let pair = order.core.hub.state().books.pair(order.id).is_some();
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

/// Waits for both legs. `None` when none of them said anything.
async fn outcome(core: &Core, call_id: &str) -> Option<bool> {
    let _watch = Watch { core, call_id };
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
    call_id: &'a str,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.core.hub.state().books.holds.remove(self.call_id);
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
