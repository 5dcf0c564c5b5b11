//! An [`ApiClient`] over a client without a network, on a paused clock.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::*;
use crate::{
    Effect, Secret,
    clock::TokioClock,
    http::fake::{Fake, Step, Step::*},
    random::SeededRandom,
};

const SECOND: Duration = Duration::from_secs(1);

fn client(http: &Arc<Fake>) -> ApiClient {
    let base = "https://api.example.org/v2".parse().unwrap();
    let http: Arc<dyn HttpClient> = Arc::clone(http) as _;
    ApiClient::new(http, base, TokioClock::shared(), SeededRandom::shared(7))
        .unwrap()
        .with_backoff(Backoff::http().with_attempts(3).with_jitter(0.0))
}

fn request(api: &ApiClient) -> HttpRequest {
    HttpRequest::get(api.url(&["faxes"]).unwrap())
}

fn read(api: &ApiClient) -> ApiCall {
    ApiCall::read("get_status", request(api))
}

fn act(api: &ApiClient) -> ApiCall {
    let request = HttpRequest::post(api.url(&["faxes"]).unwrap(), "pages");
    ApiCall::act("send_fax", request)
}

/// A status, or the kind of an error with its effect.
type End = Result<u16, (ErrorKind, Effect)>;

/// How a call ended after how many requests.
type Ends = (End, usize);

fn end(result: Result<HttpResponse>) -> End {
    result
        .map(|response| response.status.as_u16())
        .map_err(|error| (error.kind(), error.effect()))
}

#[tokio::test(start_paused = true)]
async fn each_call_is_repeated_only_where_that_is_harmless() {
    use Effect::{NoEffect, Unknown};
    use ErrorKind as E;
    let lost = |kind| (Fails(kind), Status(200));
    // What happens first and then, how a call that reads ends after how many requests, and how one
    // that acts.
    #[rustfmt::skip]
    let rows: [((Step, Step), Ends, Ends); 23] = [
        ((Status(200), Status(500)), (Ok(200), 1), (Ok(200), 1)),
        ((Status(400), Status(200)), (Ok(400), 1), (Ok(400), 1)),
        ((Status(401), Status(200)), (Ok(401), 1), (Ok(401), 1)),
        ((Status(404), Status(200)), (Ok(404), 1), (Ok(404), 1)),
        ((Status(409), Status(200)), (Ok(409), 1), (Ok(409), 1)),
        ((Status(408), Status(200)), (Ok(200), 2), (Ok(408), 1)),
        ((Status(429), Status(200)), (Ok(200), 2), (Ok(200), 2)),
        ((Status(429), Status(429)), (Ok(429), 4), (Ok(429), 4)),
        ((Status(500), Status(200)), (Ok(200), 2), (Ok(500), 1)),
        ((Status(500), Status(500)), (Ok(500), 4), (Ok(500), 1)),
        ((Status(501), Status(200)), (Ok(501), 1), (Ok(501), 1)),
        ((Status(502), Status(200)), (Ok(200), 2), (Ok(502), 1)),
        ((Status(503), Status(200)), (Ok(200), 2), (Ok(503), 1)),
        ((Status(504), Status(200)), (Ok(200), 2), (Ok(504), 1)),
        ((Status(302), Status(200)), (Err((E::Protocol, NoEffect)), 1), (Err((E::OutcomeUnknown, Unknown)), 1)),
        (lost(E::NotConnected), (Ok(200), 2), (Ok(200), 2)),
        ((Fails(E::NotConnected), Fails(E::NotConnected)), (Err((E::NotConnected, NoEffect)), 4), (Err((E::NotConnected, NoEffect)), 4)),
        (lost(E::Timeout), (Ok(200), 2), (Err((E::OutcomeUnknown, Unknown)), 1)),
        (lost(E::Io), (Ok(200), 2), (Err((E::OutcomeUnknown, Unknown)), 1)),
        (lost(E::Protocol), (Err((E::Protocol, NoEffect)), 1), (Err((E::OutcomeUnknown, Unknown)), 1)),
        (lost(E::InvalidRequest), (Err((E::InvalidRequest, NoEffect)), 1), (Err((E::InvalidRequest, NoEffect)), 1)),
        // What an act certainly was not taken by, and then a fault that nobody knows the end of.
        ((Status(429), Fails(E::Timeout)), (Err((E::Timeout, NoEffect)), 4), (Err((E::OutcomeUnknown, Unknown)), 2)),
        ((Fails(E::NotConnected), Status(503)), (Ok(503), 4), (Ok(503), 2)),
    ];
    for (number, ((first, then), reads, acts)) in rows.into_iter().enumerate() {
        for (call, expected) in [(read as fn(&ApiClient) -> _, reads), (act, acts)] {
            let http = Fake::steps(&[first.clone(), then.clone()]);
            let api = client(&http);
            let result = api.call(call(&api)).await;
            assert_eq!((end(result), http.count()), expected, "row {number}");

            let http = Fake::steps(&[first.clone(), then.clone()]);
            let api = client(&http);
            let _ = api.call(call(&api).without_repeats()).await;
            assert_eq!(http.count(), 1, "row {number} without repeats");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_act_keeps_its_cause_and_names_its_method() {
    let http = Fake::steps(&[Fails(ErrorKind::Timeout)]);
    let api = client(&http);
    let error = api.call(act(&api)).await.unwrap_err();
    assert_eq!(error.operation(), "send_fax");
    let source = std::error::Error::source(&error).unwrap();
    let source: &Error = source.downcast_ref().unwrap();
    assert_eq!(source.kind(), ErrorKind::Timeout);
    let error = api.call(read(&api)).await.unwrap_err();
    assert_eq!(error.operation(), "get_status");
}

#[tokio::test(start_paused = true)]
async fn repetitions_wait_longer_and_longer_and_as_long_as_the_vendor_asks() {
    let rows: [(&[Step], u64); 5] = [
        (
            &[Status(503), Status(503), Status(503), Status(200)],
            1 + 2 + 4,
        ),
        (&[After(503, "9"), Status(503), Status(200)], 9 + 2),
        (&[After(429, "0"), Status(200)], 1),
        (&[After(429, "60"), Status(200)], 60),
        (&[Fails(ErrorKind::NotConnected), Status(200)], 1),
    ];
    for (steps, seconds) in rows {
        let http = Fake::steps(steps);
        let api = client(&http);
        let begun = Instant::now();
        assert_eq!(end(api.call(read(&api)).await), Ok(200));
        assert_eq!(begun.elapsed().as_secs(), seconds);
        assert_eq!(http.count(), steps.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_patience_is_not_begun() {
    // Each: what the vendor says, the status that comes back, requests, seconds spent.
    let rows: [(&[Step], u16, usize, u64); 4] = [
        (&[After(429, "61"), Status(200)], 429, 1, 0),
        (&[After(503, "3600"), Status(200)], 503, 1, 0),
        // Each wait is short enough, all together are not.
        (
            &[After(503, "40"), After(503, "40"), Status(200)],
            503,
            2,
            40,
        ),
        (
            &[After(429, "99999999999999999999999"), Status(200)],
            429,
            1,
            0,
        ),
    ];
    for (steps, status, count, seconds) in rows {
        let http = Fake::steps(steps);
        let api = client(&http);
        let begun = Instant::now();
        let response = api.call(read(&api)).await.unwrap();
        assert_eq!(response.status.as_u16(), status);
        assert_eq!((http.count(), begun.elapsed().as_secs()), (count, seconds));
        let error = refusal("get_status", &response, false);
        assert!(error.is_retryable() && error.retry_after().unwrap() >= 40 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_vendor_asks_for_holds_back_every_call() {
    let http = Fake::steps(&[After(429, "20"), Status(200)]);
    let api = client(&http);
    let begun = Instant::now();
    let first = api.call(act(&api));
    let second = async {
        tokio::time::sleep(SECOND).await;
        let result = api.clone().call(act(&api)).await;
        (end(result), begun.elapsed().as_secs())
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((end(first), second), (Ok(200), (Ok(200), 20)));
    assert_eq!(http.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pause_for_days_fails_calls_at_once_and_is_looked_at_again_in_minutes() {
    let http = Fake::steps(&[After(429, "864000"), Status(200)]);
    let api = client(&http);
    assert_eq!(end(api.call(act(&api)).await), Ok(429));
    let begun = Instant::now();
    let error = api.call(act(&api)).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.is_retryable());
    assert_eq!(error.retry_after(), Some(300 * SECOND));
    assert_eq!(http.count(), 1);
    tokio::time::sleep(299 * SECOND).await;
    assert_eq!(end(api.call(act(&api)).await), Ok(200));
}

#[tokio::test(start_paused = true)]
async fn calls_keep_to_the_rate_in_the_order_in_which_they_came() {
    let two = NonZeroU32::new(2).unwrap();
    let http = Fake::steps(&[Status(200)]);
    let api = client(&http).with_rate(Rate::per_second(two).with_burst(two));
    let begun = Instant::now();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move {
                api.call(act(&api)).await.unwrap();
                begun.elapsed().as_millis()
            })
        })
        .collect();
    let mut ends = Vec::new();
    for call in calls {
        ends.push(call.await.unwrap());
    }
    // Two at once, then one each half second; a timer may be a millisecond late.
    let expected = [0, 0, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000];
    for (end, expected) in ends.iter().zip(expected) {
        assert!((expected..expected + 20).contains(end), "{ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_come_in_time_sends_nothing() {
    let one = NonZeroU32::MIN;
    let http = Fake::steps(&[Status(200)]);
    let api = client(&http)
        .with_rate(Rate::per_minute(one))
        .with_patience(90 * SECOND);
    assert_eq!(end(api.call(act(&api)).await), Ok(200));
    let late: Vec<_> = (0..3).map(|_| api.call(act(&api))).collect();
    let [a, b, c] = late.try_into().ok().unwrap();
    let (a, b, c) = tokio::join!(a, b, c);
    assert_eq!(end(a), Ok(200));
    for error in [b.unwrap_err(), c.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Overloaded);
        assert!(error.is_retryable() && error.retry_after().is_some());
    }
    assert_eq!(http.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_nothing_locked() {
    let one = NonZeroU32::MIN;
    let http = Fake::new(|number, _| match number {
        0 => Hangs,
        _ => Status(200),
    });
    let api = client(&http).with_rate(Rate::per_second(one));
    // The first is dropped while it waits for an answer, the others while they wait for a turn.
    let dropped = (0..20).map(|_| tokio::time::timeout(SECOND / 40, api.call(act(&api))));
    for call in dropped {
        assert!(call.await.is_err());
        tokio::time::advance(SECOND / 100).await;
    }
    let begun = Instant::now();
    assert_eq!(end(api.call(act(&api)).await), Ok(200));
    assert!(begun.elapsed() <= SECOND + SECOND / 50);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_comes_back_is_given_up() {
    let http = Fake::steps(&[Hangs]);
    let api = client(&http);
    let begun = Instant::now();
    let end = end(api.call(act(&api)).await);
    assert_eq!(end, Err((ErrorKind::OutcomeUnknown, Effect::Unknown)));
    assert!(begun.elapsed() < HttpRequest::DEFAULT_TIMEOUT + 2 * SECOND);
    assert_eq!(http.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_patient_call_does_not_keep_an_impatient_one_waiting() {
    let http = Fake::steps(&[After(429, "200"), Status(200)]);
    let patient = client(&http).with_patience(300 * SECOND);
    let impatient = patient.clone().with_patience(SECOND);
    let first = patient.call(act(&patient));
    let second = async {
        // While the first one waits in its turn.
        tokio::time::sleep(SECOND).await;
        let begun = Instant::now();
        let result = impatient.call(act(&impatient)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        result.unwrap_err()
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(end(first), Ok(200));
    assert_eq!(second.kind(), ErrorKind::Overloaded);
    assert_eq!(second.retry_after(), Some(199 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_another_origin() {
    let http = Fake::steps(&[Status(200)]);
    let api = client(&http).with_auth(Auth::Bearer(Secret::new("hunter2")));
    for url in [
        "https://evil.example/v2/faxes",
        "http://api.example.org/v2/faxes",
        "https://api.example.org:8443/v2/faxes",
        "https://api.example.org.evil.example/",
        "https://user:hunter2@api.example.org/v2/faxes",
        "file:///etc/passwd",
        "data:text/plain,hunter2",
    ] {
        let call = ApiCall::read("get_inbound", HttpRequest::get(url.parse().unwrap()));
        let error = api.call(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{url}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
    assert_eq!(http.count(), 0);
}

#[test]
fn a_base_that_credentials_must_not_be_sent_to_is_refused() {
    let rows = [
        ("https://api.example.org/v2.1/", true),
        ("https://api.example.org", true),
        ("http://127.0.0.1:8080", true),
        ("http://127.9.9.9", true),
        ("http://[::1]:8080/", true),
        ("http://localhost:8080/", true),
        ("http://api.example.org/", false),
        ("http://192.168.0.1/", false),
        ("http://localhost.example.org/", false),
        ("https://user@api.example.org/", false),
        ("https://user:secret@api.example.org/", false),
        ("https://api.example.org/?key=hunter2", false),
        ("https://api.example.org/#part", false),
        ("ftp://api.example.org/", false),
        ("mailto:fax@example.org", false),
    ];
    for (base, taken) in rows {
        let http: Arc<dyn HttpClient> = Fake::steps(&[Status(200)]);
        let clock = TokioClock::shared();
        let random = SeededRandom::shared(7);
        let result = ApiClient::new(http, base.parse().unwrap(), clock, random);
        assert_eq!(result.is_ok(), taken, "{base}");
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}

#[test]
fn no_text_makes_more_than_one_segment() {
    let api = client(&Fake::steps(&[Status(200)]));
    let rows = [
        ("42", Some("42")),
        ("+49 30", Some("%2B49%2030")),
        ("a/b", Some("a%2Fb")),
        ("../..", Some("..%2F..")),
        ("..\\..", Some("..%5C..")),
        ("%2e%2e", Some("%252e%252e")),
        ("a?b#c;d", Some("a%3Fb%23c%3Bd")),
        ("a\r\nb", Some("a%0D%0Ab")),
        ("\t..", Some("%09..")),
        ("é", Some("%C3%A9")),
        ("@evil.example", Some("%40evil.example")),
        ("", None),
        (".", None),
        ("..", None),
    ];
    for (segment, expected) in rows {
        let url = api.url(&["faxes", segment, "file"]);
        let expected = expected.map(|s| format!("https://api.example.org/v2/faxes/{s}/file"));
        assert_eq!(url.map(String::from).ok(), expected, "{segment:?}");
    }
    assert_eq!(api.url(&[]).unwrap().as_str(), "https://api.example.org/v2");
}

#[tokio::test(start_paused = true)]
async fn each_authorisation_is_the_header_it_should_be_and_shows_nothing() {
    let rows = [
        (Auth::None, "authorization", None),
        // The example of RFC 7617 section 2.
        (
            Auth::basic("Aladdin", "open sesame"),
            "authorization",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ),
        (
            Auth::Bearer("hunter2".into()),
            "authorization",
            Some("Bearer hunter2"),
        ),
        (
            Auth::Header {
                name: HeaderName::from_static("x-api-key"),
                value: "hunter2".into(),
            },
            "x-api-key",
            Some("hunter2"),
        ),
    ];
    for (auth, name, value) in rows {
        let http = Fake::steps(&[Status(200)]);
        let api = client(&http).with_auth(auth);
        api.call(read(&api)).await.unwrap();
        let sent = http.requests();
        let sent = sent[0].headers.get(name);
        assert_eq!(sent.map(HeaderValue::as_bytes), value.map(str::as_bytes));
        assert!(sent.is_none_or(HeaderValue::is_sensitive));
        let shown = format!("{api:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("Aladdin") && !shown.contains("/v2"));
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_cannot_be_sent_send_nothing() {
    let http = Fake::steps(&[Status(200)]);
    for auth in [
        Auth::basic("a:b", "c"),
        Auth::Bearer("a\r\nX-Other: b".into()),
        Auth::Bearer("a\u{0}".into()),
    ] {
        let api = client(&http).with_auth(auth);
        let error = api.call(act(&api)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.operation(), "send_fax");
    }
    assert_eq!(http.count(), 0);
}
