//! What errors, records and failures say of a job.

use faxbot_core::{
    Error, ErrorKind,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, OutcomeStatus},
    sip::{CallRecord, Disposition},
};

/// Whether the server answered, and has or tells nothing: asking again changes nothing.
pub(super) fn cannot_tell(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported
            | ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::Rejected
            | ErrorKind::InvalidRequest
            | ErrorKind::Config
    )
}

/// The outcome of a call that ended unseen. Without the fax's own word only a call that was
/// certainly not answered is a failure; all else is unknown.
pub(super) fn outcome_of(record: &CallRecord, pages_total: Option<u32>) -> FaxOutcome {
    if let Some(outcome) = &record.fax {
        return outcome.clone();
    }
    let class = match record.disposition {
        _ if record.answer.is_some() => None,
        Disposition::Busy => Some(FailureClass::Busy),
        Disposition::NoAnswer => Some(FailureClass::NoAnswer),
        Disposition::Congestion => Some(FailureClass::Congestion),
        Disposition::Cancelled => Some(FailureClass::Cancelled),
        Disposition::Failed => Some(record.causes.class().unwrap_or(FailureClass::Unknown)),
        _ => None,
    };
    match class {
        Some(class) => {
            let failure =
                FaxFailure::new(class, FailurePhase::BeforeAnswer).with_causes(&record.causes);
            FaxOutcome::failed(failure, Some(0), pages_total)
        }
        None => FaxOutcome::unknown(None, pages_total),
    }
}

/// What is believed of the outcome of a call that had `sent` pages, of which `seen` were told as
/// confirmed while it ran.
///
/// The next call begins where this one's count says, so a count that contradicts what is known
/// here counts for nothing:
/// - success with fewer pages than were sent is not believed, and not dialled again;
/// - a failure that takes back pages that were confirmed, or has more than were sent, leaves
///   nobody who can say which arrived.
pub(super) fn judged(mut outcome: FaxOutcome, sent: Option<u32>, seen: Option<u32>) -> FaxOutcome {
    let counted = outcome.pages_confirmed;
    let least = if outcome.certainly_nothing_delivered() {
        Some(0)
    } else {
        counted
    };
    let fewer = |pages: Option<u32>| sent > pages && pages.is_some();
    match outcome.status {
        OutcomeStatus::Success if fewer(counted.or(outcome.pages_total)) => {
            let (code, text) = (outcome.native_code.clone(), outcome.native_text.clone());
            outcome.status = OutcomeStatus::Failed;
            outcome.failure = Some(
                FaxFailure::new(FailureClass::Unknown, FailurePhase::Transmission)
                    .with_native(code, text),
            );
            outcome.pages_total = sent;
        }
        OutcomeStatus::Failed
            if least.is_some() && (seen > least || sent.is_some() && counted > sent) =>
        {
            outcome.status = OutcomeStatus::Unknown;
            outcome.failure = None;
            outcome.pages_confirmed = seen;
            outcome.pages_total = sent.or(outcome.pages_total);
        }
        OutcomeStatus::Unknown => outcome.pages_confirmed = counted.max(seen),
        _ => {}
    }
    match sent {
        Some(total) => outcome.with_pages_total(total),
        None => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(confirmed: Option<u32>, total: Option<u32>) -> FaxOutcome {
        let failure = FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission);
        FaxOutcome::failed(failure, confirmed, total)
    }

    fn before(confirmed: Option<u32>) -> FaxOutcome {
        let failure = FaxFailure::new(FailureClass::Busy, FailurePhase::BeforeAnswer);
        FaxOutcome::failed(failure, confirmed, None)
    }

    #[test]
    fn a_count_that_contradicts_what_was_sent_or_seen_is_not_believed() {
        use OutcomeStatus::{Failed, Success, Unknown};
        let success = FaxOutcome::succeeded;
        // What the server told of three pages, confirmed pages seen, status, count.
        for (outcome, seen, status, count) in [
            (success(None, None), None, Success, None),
            (success(Some(3), None), Some(3), Success, Some(3)),
            (success(Some(3), Some(2)), None, Success, Some(3)),
            (success(Some(2), Some(2)), None, Failed, Some(2)),
            (success(Some(2), None), None, Failed, Some(2)),
            (success(Some(0), Some(0)), None, Failed, Some(0)),
            (success(None, Some(2)), None, Failed, None),
            (failed(Some(2), Some(2)), None, Failed, Some(2)),
            (failed(Some(3), None), Some(2), Success, Some(3)),
            (failed(Some(2), None), Some(2), Failed, Some(2)),
            (failed(Some(2), None), Some(1), Failed, Some(2)),
            (failed(Some(1), None), Some(2), Unknown, Some(2)),
            (failed(Some(0), None), Some(1), Unknown, Some(1)),
            (failed(Some(0), None), Some(0), Failed, Some(0)),
            (failed(Some(4), None), Some(1), Unknown, Some(1)),
            (failed(Some(4), Some(3)), None, Unknown, None),
            (failed(None, None), Some(2), Failed, None),
            (before(None), Some(1), Unknown, Some(1)),
            (before(None), None, Failed, None),
            (before(Some(0)), Some(0), Failed, Some(0)),
            (FaxOutcome::unknown(None, None), Some(2), Unknown, Some(2)),
        ] {
            let told = format!("{outcome:?} {seen:?}");
            let believed = judged(outcome, Some(3), seen);
            assert_eq!(
                (believed.status, believed.pages_confirmed),
                (status, count),
                "{told}"
            );
        }
    }
}
