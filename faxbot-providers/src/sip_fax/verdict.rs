//! What errors, records and failures say of a job.

use faxbot_core::{
    Error, ErrorKind,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome},
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

/// What an error of the request, which certainly had no effect and will not pass, says of the job.
pub(super) fn class_of_error(error: &Error) -> FailureClass {
    match error.kind() {
        ErrorKind::Document => FailureClass::Document,
        ErrorKind::InvalidRequest => FailureClass::InvalidNumber,
        ErrorKind::Rejected => FailureClass::Rejected,
        ErrorKind::Cancelled => FailureClass::Cancelled,
        ErrorKind::Config
        | ErrorKind::Unsupported
        | ErrorKind::NotFound
        | ErrorKind::Authentication
        | ErrorKind::PermissionDenied
        | ErrorKind::NoRuntime
        | ErrorKind::Closed => FailureClass::LocalConfig,
        _ => FailureClass::Unknown,
    }
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

/// A failure in words, without those of the server.
pub(super) fn describe(outcome: &FaxOutcome) -> Option<String> {
    let failure = outcome.failure.as_ref()?;
    let what = match failure.class {
        FailureClass::Busy => "busy",
        FailureClass::NoAnswer => "no answer",
        FailureClass::Congestion => "congestion",
        FailureClass::CommError => "communication error",
        FailureClass::T38 => "t.38 could not be agreed on",
        FailureClass::NotAFax => "no fax answered",
        FailureClass::InvalidNumber => "invalid number",
        FailureClass::Rejected => "rejected",
        FailureClass::Document => "the document cannot be sent",
        FailureClass::LocalConfig => "server or account set up wrongly",
        FailureClass::Cancelled => "cancelled",
        _ => "failed for an unknown reason",
    };
    match (outcome.pages_confirmed, outcome.pages_total) {
        (Some(confirmed), Some(total))
            if confirmed > 0 || failure.phase == FailurePhase::Transmission =>
        {
            Some(format!("{what} after {confirmed} of {total} pages"))
        }
        _ => Some(what.to_owned()),
    }
}
