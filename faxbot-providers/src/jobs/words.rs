//! What errors and failures say of a job, in words and classes.

use faxbot_core::{
    DocumentReason, Error, ErrorKind,
    fax::{FailureClass, FailurePhase, FaxOutcome},
};

/// What an error of the request, which certainly had no effect and will not pass, says of the job.
pub(crate) fn class_of_error(error: &Error) -> FailureClass {
    match error.kind() {
        ErrorKind::Document => FailureClass::Document,
        ErrorKind::InvalidRequest => FailureClass::InvalidNumber,
        // No funds: nothing that the fax or its receiver could change.
        ErrorKind::Rejected if error.native_code() == Some("402") => FailureClass::LocalConfig,
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

/// Why a document is not sent.
pub(crate) fn document_note(error: &Error) -> &'static str {
    match error.document_reason() {
        Some(DocumentReason::UnknownFormat) => "document: not a format that can be faxed",
        Some(DocumentReason::Damaged) => "document: damaged",
        Some(DocumentReason::Encrypted) => "document: a password is needed",
        Some(DocumentReason::Empty) => "document: no page in it",
        Some(DocumentReason::TooLarge) => "document: above the limits",
        Some(DocumentReason::Timeout) => "document: conversion took too long",
        Some(_) => "document: not suitable for a fax",
        None if error.kind() == ErrorKind::Io => "document: cannot be read or written",
        None if error.kind() == ErrorKind::Overloaded => "document: conversion has no room",
        None => "document: conversion failed",
    }
}

/// A failure in words, without those of the server.
pub(crate) fn describe(outcome: &FaxOutcome) -> Option<String> {
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

/// What an error about the pages says of the job.
pub(crate) fn class_of_pages(error: &Error) -> FailureClass {
    match error.kind() {
        ErrorKind::Document | ErrorKind::Io => FailureClass::Document,
        ErrorKind::Overloaded => FailureClass::Congestion,
        _ => FailureClass::LocalConfig,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_funds_is_no_refusal_of_the_fax() {
        let refused = |code: &str| {
            let error = Error::new(ErrorKind::Rejected, "test", "test");
            class_of_error(&error.with_native(Some(code.to_owned()), None))
        };
        assert_eq!(refused("402"), FailureClass::LocalConfig);
        assert_eq!(refused("422"), FailureClass::Rejected);
    }
}
