//! The wait for the answer of a call that is accepted.

use std::time::Duration;

use faxbot_core::{Error, ErrorKind, Result, id::CallId, sip::CallRecord};

use super::hub::{Book, Hub};
use crate::protocol::session::Session;

const OPERATION: &str = "accept";

/// Waits for the answer that was ordered.
///
/// # Errors
/// `Rejected` when the caller hung up before, `OutcomeUnknown` when nothing was told within `limit`.
pub(crate) async fn answered<S: Session, B: Book>(
    hub: &Hub<S, B>,
    limit: Duration,
    id: CallId,
) -> Result<()> {
    let outcome = hub
        .until(limit, |state| {
            let calls = state.books.calls();
            if calls.is_answered(id) {
                return Some(Ok(()));
            }
            let over = calls.state(id).is_none();
            over.then(|| match calls.record(&id.into()) {
                Some(record) if record.answer.is_some() => Ok(()),
                Some(record) => Err(gone(id, record)),
                None => Err(unfollowed(id)),
            })
        })
        .await;
    outcome.unwrap_or_else(|| {
        let message =
            "the server took the order and did not tell of the answer; ask with get_status";
        Err(Error::new(ErrorKind::OutcomeUnknown, OPERATION, message).with_call_id(id))
    })
}

/// The error of a call that left the books without an end.
pub(crate) fn unfollowed(id: CallId) -> Error {
    let message = "the call could no longer be followed; ask with lookup";
    Error::new(ErrorKind::OutcomeUnknown, OPERATION, message).with_call_id(id)
}

fn gone(id: CallId, record: &CallRecord) -> Error {
    let message = "the caller hung up before the call was answered";
    Error::new(ErrorKind::Rejected, OPERATION, message)
        .with_native(record.causes.q850.map(|cause| cause.to_string()), None)
        .with_call_id(id)
}
