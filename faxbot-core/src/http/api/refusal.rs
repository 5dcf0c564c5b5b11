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

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn each_status_has_its_kind_and_effect() {
        use ErrorKind as E;
        let rows = [
            (400, E::Rejected, E::Rejected),
            (401, E::Authentication, E::Authentication),
            (402, E::Rejected, E::Rejected),
            (403, E::PermissionDenied, E::PermissionDenied),
            (404, E::NotFound, E::NotFound),
            (405, E::Rejected, E::Rejected),
            (408, E::ServerBusy, E::OutcomeUnknown),
            (409, E::Rejected, E::Rejected),
            (410, E::NotFound, E::NotFound),
            (413, E::Rejected, E::Rejected),
            (415, E::Rejected, E::Rejected),
            (418, E::Protocol, E::Protocol),
            (422, E::Rejected, E::Rejected),
            (429, E::Overloaded, E::Overloaded),
            (500, E::ServerBusy, E::OutcomeUnknown),
            (503, E::ServerBusy, E::OutcomeUnknown),
            (599, E::ServerBusy, E::OutcomeUnknown),
            (200, E::Protocol, E::Protocol),
            (302, E::Protocol, E::Protocol),
        ];
        for (status, read, act) in rows {
            let response = HttpResponse::new(StatusCode::from_u16(status).unwrap(), "{}");
            for (acts, kind) in [(false, read), (true, act)] {
                let error = refusal("send_fax", &response, acts);
                assert_eq!(error.kind(), kind, "{status}");
                assert_eq!(error.native_code(), Some(status.to_string().as_str()));
                let unknown = acts && matches!(kind, E::Protocol | E::OutcomeUnknown);
                assert_eq!(error.effect() == Effect::Unknown, unknown, "{status}");
            }
        }
    }
}
