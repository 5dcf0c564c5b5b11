//! What the books know of a call, and what an absent trace at the server proves.

use std::time::Duration;

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    id::CallRef,
    sip::{CallState, CallStatus, Lookup, UnknownReason},
};

use super::calls::Calls;

/// How old a request must be before an absent trace proves anything: one in the server's queue has
/// made its channel by then.
const SETTLED: Duration = Duration::from_secs(10);

/// The state of a call in our books.
///
/// # Errors
/// `NotFound`.
pub(crate) fn status(calls: &Calls, call: &CallRef) -> Result<CallStatus> {
    if let Some(status) = calls.find(call).and_then(|id| calls.status(id)) {
        return Ok(status);
    }
    let Some(record) = calls.record(call) else {
        let message = "no such call in the books; ask with lookup";
        return Err(Error::new(ErrorKind::NotFound, "get_status", message));
    };
    let mut status = CallStatus::new(
        record.id,
        CallState::Terminated,
        record.direction,
        record.start,
    );
    status.channels.clone_from(&record.channels);
    status.answered_at = record.answer;
    Ok(status)
}

/// What the books know of a call; `None` when the server has to be asked.
pub(crate) fn in_books(calls: &Calls, call: &CallRef) -> Option<Lookup> {
    if let Some(status) = calls.find(call).and_then(|id| calls.status(id)) {
        return Some(Lookup::Live(status));
    }
    let record = calls.record(call)?;
    Some(Lookup::Ended(Box::new(record.clone())))
}

/// How long outcomes are kept at a server that nobody released: the adapters take older ones away.
pub(crate) const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// How far the clock of the server, by which outcomes age, may be from ours.
const CLOCKS: Duration = Duration::from_secs(24 * 3600);

/// When a call was requested of which the server has no trace.
///
/// # Errors
/// Why the absence proves nothing.
pub(crate) fn requested(call: &CallRef, now: Timestamp) -> Result<Timestamp, UnknownReason> {
    let requested = call.requested_at.ok_or(UnknownReason::RequestTimeUnknown)?;
    if now.duration_since(requested) < SETTLED {
        return Err(UnknownReason::TooRecent);
    }
    if now.duration_since(requested) >= KEEP.saturating_sub(CLOCKS) {
        // Its outcome may have been taken away with those that nobody released.
        return Err(UnknownReason::NotKept);
    }
    Ok(requested)
}

/// Whether the run of the server that answers is the one that a request went to. `up_since` is when it
/// started, by our clock, which is that of the request: theirs may differ. `other_since` is when
/// another server was found behind the address, which may be up for longer.
pub(crate) fn same_run(
    requested: Timestamp,
    up_since: Option<Timestamp>,
    other_since: Option<Timestamp>,
) -> bool {
    other_since.is_none_or(|since| since < requested)
        && up_since.is_some_and(|since| since < requested)
}

#[cfg(test)]
mod tests {
    use faxbot_core::id::CallId;

    use super::*;

    #[test]
    fn an_absent_trace_proves_nothing_of_requests_too_new_or_too_old() {
        let now = Timestamp::from_unix_seconds(1_795_248_000).unwrap();
        const DAY: u64 = 24 * 3600;
        for (age, wanted) in [
            (0, Err(UnknownReason::TooRecent)),
            (9, Err(UnknownReason::TooRecent)),
            (10, Ok(())),
            (6 * DAY - 1, Ok(())),
            (6 * DAY, Err(UnknownReason::NotKept)),
            (8 * DAY, Err(UnknownReason::NotKept)),
        ] {
            let mut call = CallRef::from(CallId::new());
            call.requested_at = Some(now - Duration::from_secs(age));
            assert_eq!(requested(&call, now).map(drop), wanted, "{age} s");
        }
        let call = CallRef::from(CallId::new());
        assert_eq!(
            requested(&call, now),
            Err(UnknownReason::RequestTimeUnknown)
        );
    }
}
