//! What the status of an answer means.

use super::{super::HttpResponse, retry_after};
use crate::{Effect, Error, ErrorKind, Timestamp};

/// The error that a status means by RFC 9110 section 15, for an answer that is not the wanted one.
/// `acts` says whether the call has an effect at the vendor.
///
/// | status | kind |
/// |---|---|
/// | 400, 402, 405, 409, 413, 415, 422 | [`ErrorKind::Rejected`] |
/// | 401 | [`ErrorKind::Authentication`] |
/// | 403 | [`ErrorKind::PermissionDenied`] |
/// | 404, 410 | [`ErrorKind::NotFound`] |
/// | 429 | [`ErrorKind::Overloaded`] |
/// | 408, 5xx | [`ErrorKind::OutcomeUnknown`] if it acts, else [`ErrorKind::ServerBusy`] |
/// | any other | [`ErrorKind::Protocol`], its effect unknown if it acts |
///
/// The status is the native code until the vendor's own is set by [`Error::with_native`]. A
/// `Retry-After` is kept; a date in it counts from the `Date` of the answer.
pub fn refusal(operation: &'static str, response: &HttpResponse, acts: bool) -> Error {
    let status = response.status;
    let (kind, message) = match status.as_u16() {
        401 => (ErrorKind::Authentication, "the api refused our credentials"),
        403 => (ErrorKind::PermissionDenied, "the account may not do this"),
        404 | 410 => (ErrorKind::NotFound, "the api does not know it"),
        429 => (ErrorKind::Overloaded, "the api takes no more calls now"),
        400 | 402 | 405 | 409 | 413 | 415 | 422 => {
            (ErrorKind::Rejected, "the api refused the call")
        }
        408 | 500..=599 if acts => (
            ErrorKind::OutcomeUnknown,
            "the api failed, and may have taken the call",
        ),
        408 | 500..=599 => (ErrorKind::ServerBusy, "the api failed"),
        _ => (
            ErrorKind::Protocol,
            "the api answered with a status that is not expected",
        ),
    };
    let mut error =
        Error::new(kind, operation, message).with_native(Some(status.as_str().to_owned()), None);
    if !acts {
        error = error.with_effect(Effect::NoEffect);
    }
    match retry_after(response, Timestamp::now()) {
        Some(after) => error.with_retry_after(after),
        None => error,
    }
}
