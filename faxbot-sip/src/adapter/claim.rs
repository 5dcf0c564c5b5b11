//! Orders that move a call: hold, transfer, conference. One at a time on each call.

use std::ops::DerefMut;

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::CallState,
};

use super::{
    books::Books,
    hub::{Book, Hub},
};
use crate::protocol::session::Session;

/// Calls that an order moves: no other one may until this is dropped.
pub(crate) struct Claim<'a, S, B>
where
    S: Session,
    B: Book + DerefMut<Target = Books>,
{
    hub: &'a Hub<S, B>,
    operation: &'static str,
    calls: Vec<CallId>,
}

impl<'a, S, B> Claim<'a, S, B>
where
    S: Session,
    B: Book + DerefMut<Target = Books>,
{
    pub(crate) fn new(hub: &'a Hub<S, B>, operation: &'static str) -> Self {
        Self {
            hub,
            operation,
            calls: Vec::new(),
        }
    }

    /// Takes a call that is answered and that no other order moves; answers whether it is held. The
    /// call of ours that it talks with is taken with it: what moves one moves the other.
    ///
    /// # Errors
    /// `NotFound`; `InvalidState`.
    pub(crate) fn take(&mut self, call: &CallRef) -> Result<(CallId, CallState)> {
        let found = {
            let state = self.hub.state();
            let found = state.books.find(call);
            found.map(|id| (id, state.books.talks_with(id)))
        };
        let Some((id, other)) = found else {
            let text = "no such call in the books";
            return Err(Error::new(ErrorKind::NotFound, self.operation, text));
        };
        let state = self.add(id)?;
        if let Some(other) = other {
            self.add(other)?;
        }
        Ok((id, state))
    }

    /// As [`take`](Self::take), for one call by its id. One that was taken already stays so.
    fn add(&mut self, id: CallId) -> Result<CallState> {
        let refused =
            |text| Err(Error::new(ErrorKind::InvalidState, self.operation, text).with_call_id(id));
        let mut state = self.hub.state();
        let at = state.books.calls().state(id);
        let Some(line) = state.books.lines.get_mut(&id) else {
            return refused("the call is over");
        };
        let taken = self.calls.contains(&id);
        if line.busy && !taken {
            return refused("another order moves the call at this moment; wait until it is done");
        }
        if line.fax.is_some() {
            return refused("a fax runs in the call");
        }
        if !line.is_there() || line.cancel {
            return refused("the call is ending");
        }
        let at = match at {
            Some(at @ (CallState::Connected | CallState::OnHold)) => at,
            Some(CallState::Transferring) => {
                return refused("what became of the last transfer is not known yet");
            }
            _ => return refused("the call is not answered, or is ending"),
        };
        line.busy = true;
        drop(state);
        if !taken {
            self.calls.push(id);
        }
        Ok(at)
    }

    /// The server may or may not have done it: the list of channels will tell.
    pub(crate) fn unsure(&self) {
        self.hub.note(|state, now| {
            for &id in &self.calls {
                Book::unsure(&mut state.books, id, now);
            }
        });
    }
}

impl<S, B> Drop for Claim<'_, S, B>
where
    S: Session,
    B: Book + DerefMut<Target = Books>,
{
    fn drop(&mut self) {
        let now = self.hub.now();
        self.hub.state().books.settled(&self.calls, now);
    }
}
