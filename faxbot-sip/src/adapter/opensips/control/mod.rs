//! Orders for calls that are up: hold and transfer.

pub(super) mod hold;
pub(super) mod transfer;

use faxbot_core::{
    Error, ErrorKind, Result,
    id::{CallId, CallRef},
    sip::CallState,
};

use super::core::Core;
use crate::adapter::hub::Book as _;

/// A call that an order is carried out for, until this is dropped: one at a time. That outlives the
/// connection: an order that a disconnect ends is dropped a moment later.
#[derive(Debug)]
pub(super) struct Order<'a> {
    core: &'a Core,
    pub(super) id: CallId,
    pub(super) state: CallState,
}

impl<'a> Order<'a> {
    /// # Errors
    /// `NotFound`; `InvalidState` while another order runs, and for a call in none of these states.
    pub(super) fn begin(
        core: &'a Core,
        call: &CallRef,
        states: &[CallState],
        operation: &'static str,
    ) -> Result<Self> {
        let mut state = core.hub.state();
        let wrong = |kind, message: &str, id: Option<CallId>| {
            let error = Error::new(kind, operation, message);
            match id.or(call.id) {
                Some(id) => error.with_call_id(id),
                None => error,
            }
        };
        let Some(id) = state.books.find(call) else {
            return Err(wrong(ErrorKind::NotFound, "no such call is up", None));
        };
        let at = state
            .books
            .calls()
            .state(id)
            .unwrap_or(CallState::Terminated);
        if !states.contains(&at) {
            let message = format!("not possible while the call is {at}");
            return Err(wrong(ErrorKind::InvalidState, &message, Some(id)));
        }
        if !state.books.claim(id) {
            let message = "another order for this call is carried out";
            return Err(wrong(ErrorKind::InvalidState, message, Some(id)));
        }
        Ok(Self {
            core,
            id,
            state: at,
        })
    }

    /// The Call-ID that commands of `callops` take: of a call of two legs that of a leg which is a dialog.
    ///
    /// # Errors
    /// `InvalidState` where no leg is one.
    pub(super) fn dialogs(&self, operation: &'static str) -> Result<Vec<String>> {
        let state = self.core.hub.state();
        let found = match state.books.legs(self.id) {
            Some(legs) => legs,
            None => {
                let seen = state.books.dialogs.seen(self.id);
                seen.map(|seen| seen.call_id.clone()).into_iter().collect()
            }
        };
        if found.is_empty() {
            let message = "the call is no dialog of the server";
            let error = Error::new(ErrorKind::InvalidState, operation, message);
            return Err(error.with_call_id(self.id));
        }
        Ok(found)
    }
}

impl Drop for Order<'_> {
    fn drop(&mut self) {
        self.core.hub.state().books.unclaim(self.id);
    }
}
