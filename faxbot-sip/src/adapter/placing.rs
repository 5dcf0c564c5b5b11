//! A call between its entry in the books and the answer to its request: however that ends, and whoever
//! leaves, the books know what is known.

use faxbot_core::{
    Effect, Error, ErrorKind, Private, Result,
    address::Address,
    id::CallId,
    sip::{CallPlan, CallRequest},
};

use super::hub::{Book, Hub};
use crate::protocol::session::Session;

/// A call that is in the books and not decided. If it is dropped so, the caller left: before the
/// request was written the call never was, after it the server is asked.
pub(crate) struct Placing<'a, S: Session, B: Book> {
    hub: &'a Hub<S, B>,
    id: CallId,
    written: bool,
    decided: bool,
}

impl<'a, S: Session, B: Book> Placing<'a, S, B> {
    pub(crate) fn new(hub: &'a Hub<S, B>, id: CallId) -> Self {
        Self {
            hub,
            id,
            written: false,
            decided: false,
        }
    }

    #[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    /// The request is handed to the connection next.
    ///
    /// # Errors
    /// `Cancelled` when the call was hung up before: it must not be sent.
    pub(crate) fn requested(&mut self) -> Result<()> {
        let id = self.id;
        let goes = self
            .hub
            .change(|state, now| (state.books.requested(id, now), Vec::new()));
        if goes {
            self.written = true;
            return Ok(());
        }
        let error = cancelled("the call was hung up before it was sent", id);
        self.decided = true;
        self.lose(error.clone());
        Err(error)
    }

    /// The server took the request.
    pub(crate) fn taken(mut self) {
        self.decided = true;
        let id = self.id;
        self.hub.events(|state, now| state.books.taken(id, now));
        self.hub.health().succeeded();
    }

    /// The request failed: the call never was, or nobody knows and the server is asked.
    pub(crate) fn failed(mut self, error: Error) -> Error {
        self.hub.health().failed(&error);
        if error.effect() == Effect::Unknown {
            self.decided = true;
            self.unsure();
            return error.with_call_id(self.id);
        }
        self.give_up(error)
    }

    /// The call never was.
    pub(crate) fn give_up(mut self, error: Error) -> Error {
        self.decided = true;
        let error = error.with_call_id(self.id);
        self.lose(error.clone());
        error
    }

    fn lose(&self, error: Error) {
        self.hub.events(|state, _| state.books.lose(self.id, error));
    }

    fn unsure(&self) {
        self.hub.note(|state, now| state.books.unsure(self.id, now));
    }
}

impl<S: Session, B: Book> Drop for Placing<'_, S, B> {
    fn drop(&mut self) {
        if self.decided {
            return;
        }
        if self.written {
            self.unsure();
        } else {
            self.lose(cancelled(
                "the request was given up before it was sent",
                self.id,
            ));
        }
    }
}

fn cancelled(message: &str, id: CallId) -> Error {
    Error::new(ErrorKind::Cancelled, "make_call", message)
        .with_call_id(id)
        .with_effect(Effect::NoEffect)
}

/// Who calls whom, for the books.
///
/// # Errors
/// `Unsupported` for a plan that is not known.
pub(crate) fn parties(
    request: &CallRequest,
    operation: &'static str,
) -> Result<(Option<Private>, Private)> {
    let name = |address: &Address| Private::new(address.expose().into_owned());
    match &request.plan {
        CallPlan::Dial { to, .. } => {
            let caller = request.options.caller_id.as_ref();
            let caller = caller.map(|number| Private::new(number.expose().to_owned()));
            Ok((caller, name(to)))
        }
        CallPlan::Connect { from, to } => Ok((Some(name(from)), name(to))),
        _ => Err(Error::unsupported(operation)),
    }
}
