//! How long a server asks to wait: RFC 9110 section 10.2.3.

use std::time::Duration;

use http::header::{DATE, HeaderName, RETRY_AFTER};
use jiff::{civil::DateTime, fmt::strtime, tz::TimeZone};

use super::super::HttpResponse;
use crate::Timestamp;

/// How long the server asked to wait by `Retry-After`: a number of seconds or a date (RFC 9110
/// section 10.2.3). `None` if it did not, or wrote neither. Of several the longest counts.
///
/// A date is compared with the answer's own `Date`, because the server's clock need not be ours;
/// `now` counts where that is missing. A date that has passed is zero.
pub fn retry_after(response: &HttpResponse, now: Timestamp) -> Option<Duration> {
    let texts = |name: HeaderName| {
        response
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::trim)
    };
    let now = texts(DATE).find_map(http_date).unwrap_or(now);
    texts(RETRY_AFTER)
        .filter_map(|text| seconds(text).or_else(|| Some(http_date(text)?.duration_since(now))))
        .max()
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More than fits is for ever.
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// The three forms that a recipient must accept (RFC 9110 section 5.6.7), all in UTC.
fn http_date(text: &str) -> Option<Timestamp> {
    const FORMS: [&str; 3] = [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ];
    let parsed = FORMS
        .iter()
        .find_map(|form| strtime::parse(form, text).ok())?;
    let time: DateTime = parsed.to_datetime().ok()?;
    let moment = TimeZone::UTC.to_timestamp(time).ok()?;
    Timestamp::from_unix_seconds(moment.as_second()).ok()
}
