//! Digits in both directions: which there are, and what may be asked for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use faxbot_core::{
    Error, ErrorKind, Result,
    id::CallId,
    sip::{DtmfRequest, SipEvent},
};
use tokio::sync::Mutex;

/// Digits of one request: more than any card number, and a bounded time.
const MAX_DIGITS: usize = 100;

/// How short a digit may be asked for, and how long.
const DURATIONS: (Duration, Duration) = (Duration::from_millis(40), Duration::from_secs(10));

/// Whose turn it is to send digits into a call, and until when those of a request that nobody waits
/// for any longer go on.
pub(crate) type Turn = Arc<Mutex<Option<Instant>>>;

/// Checks a request.
///
/// # Errors
/// `InvalidRequest`.
pub(crate) fn check(request: &DtmfRequest) -> Result<()> {
    let refuse = |message: &str| {
        let kind = ErrorKind::InvalidRequest;
        Err(Error::new(kind, "send_dtmf", message))
    };
    let digits = &request.digits;
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.chars().all(is_digit) {
        return refuse("give 1 to 100 digits of 0-9, A-D, * and #");
    }
    if request.duration < DURATIONS.0 || request.duration > DURATIONS.1 {
        return refuse("a digit lasts 40 ms to 10 s");
    }
    Ok(())
}

/// What is told of a digit that came in, by the server's text of it; nothing if it is none.
pub(crate) fn received(
    id: CallId,
    digit: Option<&str>,
    duration: Option<Duration>,
) -> Vec<SipEvent> {
    let digit = digit.and_then(|digit| digit.chars().next());
    let event = digit
        .map(|digit| digit.to_ascii_uppercase())
        .filter(|&digit| is_digit(digit))
        .map(|digit| SipEvent::DtmfReceived {
            id: Some(id),
            digit,
            duration,
        });
    event.into_iter().collect()
}

fn is_digit(digit: char) -> bool {
    matches!(digit, '0'..='9' | 'A'..='D' | '*' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_their_length_are_bounded() {
        let longest = "1".repeat(MAX_DIGITS);
        for (digits, millis, fine) in [
            ("0123456789ABCD*#", 100, true),
            (longest.as_str(), 10_000, true),
            ("1", 40, true),
            ("", 100, false),
            ("1w", 100, false),
            ("1,2", 100, false),
            ("\u{661}", 100, false),
            ("1", 39, false),
            ("1", 10_001, false),
        ] {
            let mut request = DtmfRequest::new(CallId::new(), digits);
            request.duration = Duration::from_millis(millis);
            assert_eq!(check(&request).is_ok(), fine, "{digits} {millis}");
        }
    }
}
