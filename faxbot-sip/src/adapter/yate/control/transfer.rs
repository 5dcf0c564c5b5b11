//! Transfers, blind and attended, with a known outcome. Our own channel stays: whoever it was connected
//! to leaves when the new party has answered.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    address::Address,
    id::{CallId, CallRef},
    sip::{CallState, TransferPlan, TransferRequest},
};

use super::{
    super::{core::Core, server::Server, state::Desk},
    party::{self, Party},
};
use crate::adapter::{calls::Now, claim::Claim};

const OPERATION: &str = "transfer";

/// How long the new party may ring where the call itself has no ring time-out: it came to us.
const RING: Duration = Duration::from_secs(60);

/// The longest ring time-out of a new party.
const MAX_RING: Duration = Duration::from_secs(600);

pub(in crate::adapter::yate) async fn transfer(
    core: &Core,
    server: &Server,
    request: TransferRequest,
) -> Result<()> {
    match &request.plan {
        TransferPlan::Blind(to) => blind(core, server, &request.call, to).await,
        TransferPlan::Attended(other) => attended(core, server, &request.call, other).await,
        _ => Err(Error::unsupported(OPERATION)),
    }
}

async fn blind(core: &Core, server: &Server, call: &CallRef, to: &Address) -> Result<()> {
    let target = party::target(&core.config, to, OPERATION)?;
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, was) = claim.take(call)?;
    let ring = {
        let state = core.hub.state();
        let placed = state.books.lines.get(&id).map(|line| line.ring_timeout);
        let placed = placed.filter(|time| !time.is_zero()).unwrap_or(RING);
        placed.clamp(Duration::from_secs(1), MAX_RING)
    };
    let party = Party::new(id, &target, ring, None, OPERATION)?;
    core.hub
        .events(|state, now| state.books.shift(id, CallState::Transferring, now));
    let moved = Moved { core, id, was };
    let done = party::bring(core, server, id, party, OPERATION).await;
    match done {
        Ok(()) => {
            moved.goes_on();
            Ok(())
        }
        Err(error) => {
            if error.kind() == ErrorKind::OutcomeUnknown {
                claim.unsure();
            }
            // It is where it was.
            drop(moved);
            Err(error.with_call_id(id))
        }
    }
}

/// A call that is transferred. It goes back to its state if this is dropped before that is done.
struct Moved<'a> {
    core: &'a Core,
    id: CallId,
    was: CallState,
}

impl Moved<'_> {
    /// Whoever the call was held with is left.
    fn goes_on(mut self) {
        self.was = CallState::Connected;
        let id = self.id;
        self.core.hub.events(|state, now| {
            let held = state.books.orders.of(id).held.take();
            if let Some(other) = held.and_then(|held| held.other) {
                state.books.let_go(id, other, now);
            }
            Vec::new()
        });
    }
}

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        let (id, was) = (self.id, self.was);
        self.core
            .hub
            .events(|state, now| state.books.shift(id, was, now));
    }
}

/// Connects the own channels of two answered calls.
async fn attended(core: &Core, server: &Server, call: &CallRef, other: &CallRef) -> Result<()> {
    let both = {
        let state = core.hub.state();
        (state.books.find(call), state.books.find(other))
    };
    if both.0.is_some() && both.0 == both.1 {
        let text = "a call cannot be transferred to itself";
        return Err(Error::new(ErrorKind::InvalidRequest, OPERATION, text));
    }
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (one, one_was) = claim.take(call)?;
    let together = core.hub.state().books.talks_with(one) == both.1 && both.1.is_some();
    let (two, two_was) = claim.take(other)?;
    if together {
        return Ok(());
    }
    let own = |id| {
        let channel = core.hub.state().books.own_channel(id);
        let text = "the call's channel is gone";
        channel.ok_or_else(|| Error::new(ErrorKind::NotFound, OPERATION, text).with_call_id(id))
    };
    let (first, second) = (own(one)?, own(two)?);
    core.hub.events(|state, now| {
        let mut out = state.books.shift(one, CallState::Transferring, now);
        out.extend(state.books.shift(two, CallState::Transferring, now));
        out
    });
    let (mut one_moved, mut two_moved) = (
        Moved {
            core,
            id: one,
            was: one_was,
        },
        Moved {
            core,
            id: two,
            was: two_was,
        },
    );
    let done = party::join(core, server, &first, &second, OPERATION).await;
    match done {
        Ok(()) => {
            (one_moved.was, two_moved.was) = (CallState::Connected, CallState::Connected);
            core.hub.events(|state, now| {
                let books = &mut state.books;
                leaves_held(books, one, &second, now);
                leaves_held(books, two, &first, now);
                let mut out = books.joined(one, Some(&second), now);
                out.extend(books.joined(two, Some(&first), now));
                out
            });
            Ok(())
        }
        Err(error) => {
            if error.kind() == ErrorKind::OutcomeUnknown {
                claim.unsure();
            }
            Err(error.with_call_id(one))
        }
    }
}

/// Whoever a call was held with is left, but for the one that it talks with now.
fn leaves_held(books: &mut Desk, id: CallId, with: &str, now: Now) {
    let held = books.orders.of(id).held.take();
    let other = held.and_then(|held| held.other);
    if let Some(other) = other.filter(|other| other != with) {
        books.let_go(id, other, now);
    }
}
