//! Transfer: REFER to one party (`callops`); of our calls of two legs another second party (`b2b_bridge`).
//!
//! The answer to the order says only that REFER was sent. The rest is told by `E_CALL_TRANSFER`, and a
//! party that refuses is not told of at all.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::later,
    id::CallId,
    sip::{CallState, TransferPlan, TransferRequest},
};
use serde_json::{Value, json};

use super::{
    super::{
        config::Leg,
        core::Core,
        place,
        server::{Refusal, Server, named},
        target::uri,
        watches::{TransferEnd, TransferWatch},
        wire::b2b::TupleState,
    },
    Order,
};
use crate::{adapter::dialogs::Told, protocol::jsonrpc::Request};

const OPERATION: &str = "transfer";

/// How often a call of two legs is looked at while its second party is exchanged.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Transfers a call; see [`SipAdapter::transfer`](faxbot_core::sip::SipAdapter::transfer).
pub(in super::super) async fn transfer(
    core: &Core,
    server: &Server,
    request: TransferRequest,
) -> Result<()> {
    let states = [CallState::Connected, CallState::OnHold];
    let order = Order::begin(core, &request.call, &states, OPERATION)?;
    let id = order.id;
    let done = match request.plan {
        TransferPlan::Blind(to) => {
            let to = uri(&core.config, &to, OPERATION)?;
            let pair = core.hub.state().books.is_pair(id);
            if pair {
                bridge(core, server, id, &to).await
            } else {
                blind(core, server, &order, &to).await
            }
        }
        TransferPlan::Attended(other) => {
            let other = Order::begin(core, &other, &states, OPERATION)?;
            attended(core, server, &order, &other).await
        }
        _ => Err(Error::unsupported(OPERATION)),
    };
    done.map_err(|error| {
        if error.effect() == Effect::Unknown {
            core.hub.note(|state, _| state.books.want_look(id));
        }
        error.with_call_id(id)
    })
}

async fn blind(core: &Core, server: &Server, order: &Order<'_>, to: &str) -> Result<()> {
    let call_id = dialog(order)?;
    let values = [
        ("callid", json!(call_id)),
        ("leg", json!(core.config.transfer_leg.word())),
        ("destination", json!(to)),
    ];
    let request = named("call_transfer", values, OPERATION)?;
    Follow::begin(core, order, call_id)
        .order(server, request)
        .await
}

/// The parties that stay are joined: that of one call is sent to that of the other, in whose place it
/// comes.
async fn attended(
    core: &Core,
    server: &Server,
    order: &Order<'_>,
    other: &Order<'_>,
) -> Result<()> {
    let (call_id, other_id) = (dialog(order)?, dialog(other)?);
    let legs = {
        let state = core.hub.state();
        let parties = |id: CallId| {
            let seen = state.books.dialogs.seen(id);
            seen.map(|it| (it.from.clone(), it.to.clone()))
                .unwrap_or_default()
        };
        staying(
            parties(order.id),
            parties(other.id),
            core.config.transfer_leg,
        )
    };
    let values = [
        ("callid", json!(call_id)),
        ("leg", json!(legs.0.word())),
        ("transfer_callid", json!(other_id)),
        ("transfer_leg", json!(legs.1.word())),
    ];
    let request = named("call_transfer", values, OPERATION)?;
    Follow::begin(core, order, call_id)
        .order(server, request)
        .await
}

/// The Call-ID of a dialog; calls of two legs are none.
fn dialog(order: &Order<'_>) -> Result<String> {
    let state = order.core.hub.state();
    let pair = state.books.is_pair(order.id);
    let seen = state.books.dialogs.seen(order.id).filter(|_| !pair);
    seen.map(|seen| seen.call_id.clone()).ok_or_else(|| {
        let message = "a call of two legs (b2b_logic) takes blind transfers only";
        Error::new(ErrorKind::InvalidState, OPERATION, message)
    })
}

type Parties = (Option<String>, Option<String>);

/// Who stays of each call: whoever is not in both of them.
fn staying(one: Parties, other: Parties, usual: Leg) -> (Leg, Leg) {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let shared = [
        (same(&one.1, &other.0), (Leg::Caller, Leg::Callee)),
        (same(&one.0, &other.0), (Leg::Callee, Leg::Callee)),
        (same(&one.1, &other.1), (Leg::Caller, Leg::Caller)),
        (same(&one.0, &other.1), (Leg::Callee, Leg::Caller)),
    ];
    let found = shared.into_iter().find(|(shared, _)| *shared);
    found.map_or((usual, Leg::Callee), |(_, legs)| legs)
}

fn why(refusal: Refusal) -> Error {
    match refusal.code {
        Some(491) => refusal.means(
            ErrorKind::InvalidState,
            "the server takes one transfer of a call, and this one had it, done or failed",
        ),
        _ => refusal.into(),
    }
}

/// A transfer that is followed: however its wait ends, the call is where it belongs.
struct Follow<'a> {
    core: &'a Core,
    order: &'a Order<'a>,
    call_id: String,
    /// What an earlier order is still waited for with.
    before: Option<TransferWatch>,
    progress: Progress,
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Not sent, or refused.
    Nothing,
    /// Sent, and its answer lost.
    Unsure,
    /// The server took it.
    Taken,
    Done,
}

impl<'a> Follow<'a> {
    /// Before the order: events overtake its answer.
    fn begin(core: &'a Core, order: &'a Order<'a>, call_id: String) -> Self {
        let watch = TransferWatch::default();
        let mut state = core.hub.state();
        let before = state.books.transfers.insert(call_id.clone(), watch);
        drop(state);
        Self {
            core,
            order,
            call_id,
            before,
            progress: Progress::Nothing,
        }
    }

    async fn order(mut self, server: &Server, request: Request) -> Result<()> {
        match server.act::<Value>(request, OPERATION).await.map_err(why) {
            Ok(_) => self.taken(),
            Err(error) => {
                if error.effect() == Effect::Unknown {
                    self.progress = Progress::Unsure;
                }
                return Err(error);
            }
        }
        self.outcome().await
    }

    /// The server took the order.
    fn taken(&mut self) {
        self.progress = Progress::Taken;
        self.core.hub.events(|state, now| {
            let books = &mut state.books.dialogs;
            books.told(&self.call_id, None, Told::Transferring, now)
        });
    }

    async fn outcome(mut self) -> Result<()> {
        let limit = self.core.config.transfer_timeout;
        let call_id = self.call_id.clone();
        let end = self
            .core
            .hub
            .until(limit, |state| state.books.transfers.get(&call_id)?.end)
            .await;
        let begun = {
            let state = self.core.hub.state();
            let watch = state.books.transfers.get(&call_id);
            watch.is_some_and(|watch| watch.begun)
        };
        match end {
            Some(TransferEnd::Done) => {
                self.progress = Progress::Done;
                Ok(())
            }
            Some(TransferEnd::Failed(status)) => {
                let message = "the new party was not reached";
                let error = Error::new(ErrorKind::Rejected, OPERATION, message);
                Err(error.with_native(status.map(|status| status.to_string()), None))
            }
            None => {
                let message = if begun {
                    "the call to the new party came, and nothing was told of its end in time"
                } else {
                    "nothing was told of the transfer in time: a party that refuses it is not told of"
                };
                let error = Error::new(ErrorKind::OutcomeUnknown, OPERATION, message);
                Err(error.with_effect(Effect::Unknown))
            }
        }
    }
}

impl Drop for Follow<'_> {
    fn drop(&mut self) {
        let before = self.before.take();
        self.core.hub.events(|state, now| {
            let books = &mut state.books;
            match self.progress {
                Progress::Nothing => {
                    books.transfers.remove(&self.call_id);
                    books
                        .transfers
                        .extend(before.map(|it| (self.call_id.clone(), it)));
                    return Vec::new();
                }
                Progress::Done => {
                    books.transfers.remove(&self.call_id);
                    books.was_transferred(self.order.id, now);
                    return Vec::new();
                }
                // Its end may still be told.
                Progress::Unsure | Progress::Taken => books.transfer_left(&self.call_id, now),
            }
            if self.progress == Progress::Unsure {
                return Vec::new();
            }
            let dialogs = &mut books.dialogs;
            let mut out = dialogs.told(&self.call_id, None, Told::NotTransferred, now);
            if self.order.state == CallState::OnHold {
                out.extend(dialogs.told(&self.call_id, None, Told::Held, now));
            }
            out
        });
        // When it ends is looked at anew.
        self.core.hub.wake();
    }
}

/// Calls another second party. The one that was there is let go before; if the new one does not answer,
/// the first is let go too (recording `05_click_to_dial_b2b_bridge_to_third`).
async fn bridge(core: &Core, server: &Server, id: CallId, to: &str) -> Result<()> {
    if !core.hub.state().books.abilities.bridge {
        let message = "the server has no b2b_bridge: calls of two legs cannot be transferred";
        return Err(Error::new(ErrorKind::InvalidState, OPERATION, message));
    }
    // Before the order: what the call is missed by later may be a restart.
    let run = core.hub.state().books.run.clone();
    let key = place::key(server, id, OPERATION).await?;
    let values = [("dialog_id", json!(key)), ("new_uri", json!(to))];
    let request = named("b2b_bridge", values, OPERATION)?;
    server
        .act::<Value>(request, OPERATION)
        .await
        .map_err(|refusal| match refusal.code {
            // `mi_b2b_bridge` in `bridging.c`, which has it for nothing but its parameters. For a call that is
            // not there, and for one that it gave up after the BYE, it has no reply (-32000).
            Some(404) => refusal.means(
                ErrorKind::InvalidRequest,
                "the server cannot read the uri of the new party",
            ),
            _ => refusal.into(),
        })?;
    let clock = &core.hub.clock;
    let by = later(clock.now(), core.config.transfer_timeout);
    loop {
        clock.sleep_until(clock.now() + LOOK_EVERY).await;
        let now = clock.now();
        let rest = by.saturating_duration_since(now).max(LOOK_EVERY);
        let limit = core.config.request_timeout.min(rest);
        // The order was taken: what cannot be read is not known yet.
        let seen = exchange(&server.within(limit), id, to, run.as_deref()).await;
        let (kind, message) = match seen {
            Ok(Exchange::Done) => return Ok(()),
            Ok(Exchange::Ended) => (
                ErrorKind::Rejected,
                "the call ended before a new party was connected",
            ),
            Ok(Exchange::Forgotten) => (
                ErrorKind::OutcomeUnknown,
                "the server was restarted and forgot the call",
            ),
            Ok(Exchange::UnderWay) | Err(_) if clock.now() < by => continue,
            Ok(Exchange::UnderWay) => (
                ErrorKind::OutcomeUnknown,
                "the new party did not answer in time",
            ),
            Err(_) => (
                ErrorKind::OutcomeUnknown,
                "the server took the order and could not be asked for its outcome in time",
            ),
        };
        // The party that was there is gone, however it ends.
        return Err(Error::new(kind, OPERATION, message).with_effect(Effect::Unknown));
    }
}

/// How far the exchange of a second party is.
enum Exchange {
    UnderWay,
    Done,
    Ended,
    /// By another run of the server.
    Forgotten,
}

async fn exchange(server: &Server, id: CallId, to: &str, run: Option<&str>) -> Result<Exchange> {
    let tuples = server.tuples(OPERATION).await?;
    let tuple = tuples.iter().find(|tuple| tuple.mark() == Some(id));
    Ok(match tuple.map(|tuple| (tuple.state(), tuple.calls(to))) {
        Some((TupleState::Connected, true)) => Exchange::Done,
        Some((TupleState::Ending, _)) => Exchange::Ended,
        Some(_) => Exchange::UnderWay,
        None if run == Some(server.uptime(OPERATION).await?.since.as_str()) => Exchange::Ended,
        None => Exchange::Forgotten,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_both_calls_leaves_them() {
        let call = |from: &str, to: &str| (Some(from.to_owned()), Some(to.to_owned()));
        for (one, other, wanted) in [
            // The agent was called by a customer and called a colleague.
            (
                call("customer", "agent"),
                call("agent", "colleague"),
                (Leg::Caller, Leg::Callee),
            ),
            (
                call("agent", "customer"),
                call("agent", "colleague"),
                (Leg::Callee, Leg::Callee),
            ),
            (
                call("customer", "agent"),
                call("colleague", "agent"),
                (Leg::Caller, Leg::Caller),
            ),
            (
                call("agent", "customer"),
                call("colleague", "agent"),
                (Leg::Callee, Leg::Caller),
            ),
            (call("a", "b"), call("c", "d"), (Leg::Caller, Leg::Callee)),
            ((None, None), (None, None), (Leg::Caller, Leg::Callee)),
        ] {
            assert_eq!(staying(one, other, Leg::Caller), wanted);
        }
    }
}
