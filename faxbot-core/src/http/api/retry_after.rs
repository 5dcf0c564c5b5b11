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
pub(super) fn retry_after(response: &HttpResponse, now: Timestamp) -> Option<Duration> {
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_one_of_three_dates() {
        // `Retry-After`, `Date`, and what it means at 2015-10-21T07:28:00Z.
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        let rows: [(&[&str], Option<&str>, Option<u64>); 16] = [
            (&["120"], None, Some(120)),
            (&[" 0 "], None, Some(0)),
            (&["99999999999999999999"], None, Some(u64::MAX)),
            (&["Wed, 21 Oct 2015 07:28:30 GMT"], None, Some(30)),
            (&["Wednesday, 21-Oct-15 07:28:30 GMT"], None, Some(30)),
            (&["Wed Oct 21 07:28:30 2015"], None, Some(30)),
            (&["Sun Nov  1 07:28:00 2015"], None, Some(11 * 86_400)),
            (&["Wed, 21 Oct 2015 07:27:00 GMT"], None, Some(0)),
            // The server's clock is an hour ahead of ours.
            (
                &["Wed, 21 Oct 2015 08:28:30 GMT"],
                Some("Wed, 21 Oct 2015 08:28:00 GMT"),
                Some(30),
            ),
            (&["120"], Some(date), Some(120)),
            (&["10", "20", "x"], None, Some(20)),
            (&["-1"], None, None),
            (&["1.5"], None, None),
            (&[""], None, None),
            (&["soon"], None, None),
            (&[], None, None),
        ];
        let now = "2015-10-21T07:28:00Z".parse().unwrap();
        for (values, date, expected) in rows {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(RETRY_AFTER, value.parse().unwrap());
            }
            headers.extend(date.map(|date| (DATE, date.parse().unwrap())));
            let response = HttpResponse::new(StatusCode::OK, "").with_headers(headers);
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&response, now), expected, "{values:?}");
        }
    }
}
