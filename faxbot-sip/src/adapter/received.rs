//! The pages of faxes that came in, handed over once.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result,
    fax::{FaxOutcome, TakenFax},
    id::{CallId, CallRef},
    sip::{CallRecord, Direction},
    task::blocking,
};

use super::{
    calls::Calls,
    hub::{Book, Hub},
    spool::{Spool, Taken},
};
use crate::protocol::session::Session;

pub(crate) const OPERATION: &str = "take_fax";

/// Longer than any call: a call of the books ends there, whatever becomes of the link.
const NO_END: Duration = Duration::from_secs(7 * 24 * 3600);

/// What our books know of a fax.
enum Known {
    Over(Box<FaxOutcome>),
    /// The call is none that was accepted as a fax.
    NoFax,
    /// The books do not have the call.
    Nothing,
}

/// Waits for the end of a fax and hands its pages over. `receives` tells whether a live call was
/// accepted as a fax, `earlier` finds the outcome of one that our books do not have.
///
/// # Errors
/// `Unsupported` without a spool, `NotFound` for what is no such fax or was taken, `Config` when the
/// pages cannot be moved, and those of `earlier`.
pub(crate) async fn take<S, B, F>(
    hub: &Hub<S, B>,
    spool: Option<&Spool>,
    call: &CallRef,
    receives: impl Fn(&B, CallId) -> bool,
    earlier: impl FnOnce(CallId) -> F,
) -> Result<TakenFax>
where
    S: Session,
    B: Book,
    F: Future<Output = Result<FaxOutcome>>,
{
    let Some(spool) = spool.cloned() else {
        return Err(Error::unsupported(OPERATION));
    };
    let Some(id) = id_of(hub.state().books.calls(), call) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            OPERATION,
            "no such call in the books; name it by its id",
        ));
    };
    let known = hub
        .until(NO_END, |state| known(&state.books, id, &receives))
        .await
        .unwrap_or(Known::Nothing);
    let outcome = match known {
        Known::Over(outcome) => *outcome,
        Known::NoFax => return Err(no_fax(id)),
        Known::Nothing => earlier(id).await?,
    };
    // If this future is dropped meanwhile, so is what it answers, and the file goes back.
    let file = blocking(OPERATION, move || spool.take(id)).await?;
    let file = file.map_err(|source| {
        Error::new(
            ErrorKind::Config,
            OPERATION,
            "the received pages cannot be taken; check that we may write to the spool directory",
        )
        .with_call_id(id)
        .with_source(source)
    })?;
    if file.is_none() && outcome.pages_confirmed.is_some_and(|pages| pages > 0) {
        return Err(Error::new(
            ErrorKind::NotFound,
            OPERATION,
            "the pages of this fax were taken already",
        )
        .with_call_id(id));
    }
    // From here on nothing waits: whoever asked has it.
    Ok(TakenFax::new(id, outcome, file.map(Taken::keep)))
}

fn id_of(calls: &Calls, call: &CallRef) -> Option<CallId> {
    call.id.or_else(|| {
        let ended = || calls.record(call).and_then(|record| record.id);
        calls.find(call).or_else(ended)
    })
}

/// `None` while the fax runs.
fn known<B: Book>(books: &B, id: CallId, receives: &impl Fn(&B, CallId) -> bool) -> Option<Known> {
    let calls = books.calls();
    if calls.state(id).is_some() {
        return (!receives(books, id)).then_some(Known::NoFax);
    }
    Some(match calls.record(&id.into()) {
        Some(CallRecord {
            direction: Direction::Inbound,
            fax: Some(outcome),
            ..
        }) => Known::Over(Box::new(outcome.clone())),
        Some(_) => Known::NoFax,
        None => Known::Nothing,
    })
}

/// The outcome of a fax that the server knows nothing of: it died, or keeps no outcomes. The pages
/// that came are there all the same.
///
/// # Errors
/// `NotFound` when there are none.
pub(crate) async fn by_pages(spool: Option<&Spool>, id: CallId) -> Result<FaxOutcome> {
    let there = match spool.cloned() {
        Some(spool) => blocking(OPERATION, move || spool.has_received(id)).await?,
        None => false,
    };
    if there {
        Ok(FaxOutcome::unknown(None, None))
    } else {
        Err(no_fax(id))
    }
}

/// The call is none that was accepted as a fax.
pub(crate) fn no_fax(id: CallId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        OPERATION,
        "no call with this id was accepted as a fax, or its pages were taken",
    )
    .with_call_id(id)
}
