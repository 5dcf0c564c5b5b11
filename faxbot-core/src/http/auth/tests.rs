//! OAuth 2 over a client without a network, on a paused clock.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use url::Url;

use super::*;
use crate::{
    Effect,
    clock::TokioClock,
    http::{
        ApiCall, ApiClient, HttpRequest, HttpResponse,
        fake::{Fake, Step, Step::*},
    },
    random::SeededRandom,
};

const SECOND: Duration = Duration::from_secs(1);
const TOKEN: &str = r#"{"access_token":"one","token_type":"bearer","expires_in":3600}"#;
const OTHER: &str = r#"{"access_token":"two","token_type":"bearer","expires_in":3600}"#;

fn is_token(request: &HttpRequest) -> bool {
    request.url.host_str() == Some("auth.example.org")
}

/// How many tokens were asked for.
fn fetches(http: &Fake) -> usize {
    http.requests()
        .iter()
        .filter(|request| is_token(request))
        .count()
}

/// A client whose token host answers by the number of the fetch, and whose API by the token.
fn client(
    tokens: impl Fn(usize) -> Step + Send + Sync + 'static,
    api: impl Fn(&str) -> Step + Send + Sync + 'static,
) -> (Arc<Fake>, ApiClient) {
    let fetched = std::sync::atomic::AtomicUsize::new(0);
    let http = Fake::new(move |_, request| {
        if is_token(request) {
            tokens(fetched.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
        } else {
            let value = request.headers.get(AUTHORIZATION).unwrap();
            assert!(value.is_sensitive());
            api(value.to_str().unwrap().strip_prefix("Bearer ").unwrap())
        }
    });
    let base = "https://api.example.org/".parse().unwrap();
    let auth = oauth("https://auth.example.org/oauth2/token");
    let client: Arc<dyn HttpClient> = Arc::clone(&http) as _;
    let client =
        ApiClient::new(client, base, TokioClock::shared(), SeededRandom::shared(7)).unwrap();
    (http, client.with_auth(Auth::OAuth2(auth)))
}

fn oauth(url: &str) -> OAuth2 {
    OAuth2::client_credentials(url.parse().unwrap(), "id", Secret::new("hunter2"))
}

fn act(api: &ApiClient) -> ApiCall {
    ApiCall::act(
        "send_fax",
        HttpRequest::post(api.url(&["faxes"]).unwrap(), "x"),
    )
}

async fn status(api: &ApiClient) -> Result<u16> {
    Ok(api.call(act(api)).await?.status.as_u16())
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_share_one_fetch_and_so_do_clones() {
    let late = || Late(SECOND, Box::new(Body(TOKEN)));
    let (http, api) = client(move |_| late(), |_| Status(200));
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { status(&api).await.unwrap() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!((fetches(&http), http.count()), (1, 101));
}

#[tokio::test(start_paused = true)]
async fn the_request_for_a_token_is_the_one_of_the_rfc() {
    let (http, api) = client(|_| Body(TOKEN), |_| Status(200));
    let auth = OAuth2::client_credentials(
        "https://auth.example.org/oauth2/token".parse().unwrap(),
        "id:+",
        Secret::new("a~b%=/"),
    );
    let api = api.with_auth(Auth::OAuth2(auth.with_scope("fax sms")));
    status(&api).await.unwrap();
    let request = &http.requests()[0];
    assert_eq!(request.method, http::Method::POST);
    assert_eq!(request.body, "grant_type=client_credentials&scope=fax+sms");
    let header = |name| request.headers.get(name).unwrap();
    assert_eq!(
        header(http::header::CONTENT_TYPE),
        "application/x-www-form-urlencoded"
    );
    assert_eq!(
        *header(AUTHORIZATION),
        basic("id%3A%2B", "a~b%25=/").unwrap()
    );
    assert!(header(AUTHORIZATION).is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_again_before_it_ends() {
    // Life, seconds of use, and how many fetches there were by then.
    let rows = [
        ("3600", 3539, 1),
        ("3600", 3541, 2),
        ("\"3600\"", 3541, 2),
        ("3599.5", 3539, 1),
        ("240", 179, 1),
        ("240", 181, 2),
        ("40", 29, 1),
        ("40", 31, 2),
        ("null", 239, 1),
        ("null", 241, 2),
        ("-5", 239, 1),
        ("1e300", 239, 1),
        ("0", 0, 2),
    ];
    for (life, seconds, expected) in rows {
        let body = format!(r#"{{"access_token":"one","expires_in":{life}}}"#);
        let body: &'static str = body.leak();
        let (http, api) = client(move |_| Body(body), |_| Status(200));
        status(&api).await.unwrap();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        status(&api).await.unwrap();
        assert_eq!(fetches(&http), expected, "{life} after {seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_dropped_does_not_wedge_the_others() {
    let (http, api) = client(
        |number| match number {
            0..=2 => Hangs,
            _ => Body(TOKEN),
        },
        |_| Status(200),
    );
    let first: Vec<_> = (0..3)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { status(&api).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { status(&api).await })
        })
        .collect();
    for call in first {
        tokio::time::sleep(SECOND).await;
        call.abort();
    }
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap(), 200);
    }
    assert_eq!(fetches(&http), 4);
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_fetch_share_its_failure() {
    let fails = || Late(30 * SECOND, Box::new(Fails(ErrorKind::Timeout)));
    let (http, api) = client(move |_| fails(), |_| Status(200));
    let begun = Instant::now();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { api.call(act(&api).without_repeats()).await })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(error.effect(), Effect::NoEffect);
        assert_eq!(error.operation(), "send_fax");
    }
    assert_eq!((fetches(&http), begun.elapsed()), (1, 30 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_token_host_that_never_answers_is_given_up() {
    let (http, api) = client(
        |number| match number {
            0 => Hangs,
            _ => Body(TOKEN),
        },
        |_| Status(200),
    );
    assert_eq!(status(&api).await.unwrap(), 200);
    assert_eq!(fetches(&http), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_by_all_calls_together() {
    let (http, api) = client(
        |number| Late(SECOND, Box::new(Body([TOKEN, OTHER][number]))),
        |token| match token {
            "two" => Status(200),
            _ => Late(SECOND, Box::new(Status(401))),
        },
    );
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { status(&api).await.unwrap() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!((fetches(&http), http.count()), (2, 2 + 2 * 50));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_stays_refused_is_renewed_once_a_call() {
    let (http, api) = client(|_| Body(TOKEN), |_| Status(401));
    assert_eq!(status(&api).await.unwrap(), 401);
    assert_eq!((fetches(&http), http.count()), (2, 4));
    let (http, api) = client(|_| Body(TOKEN), |_| Status(401));
    let response = api.call(act(&api).without_repeats()).await.unwrap();
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(http.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_answer_of_a_token_host_has_its_error() {
    use ErrorKind as E;
    let rows = [
        (Status(400), E::Authentication, 1),
        (Status(401), E::Authentication, 1),
        (Status(403), E::Authentication, 1),
        (Status(404), E::NotFound, 1),
        (Status(429), E::Overloaded, 4),
        (Status(500), E::ServerBusy, 4),
        (Status(204), E::Protocol, 1),
        (Status(302), E::Protocol, 1),
        (Body("hunter2"), E::Protocol, 1),
        (Body("{}"), E::Protocol, 1),
        (Body(r#"{"access_token":""}"#), E::Protocol, 1),
        (Body(r#"{"access_token":"a\nb"}"#), E::Protocol, 1),
        (
            Body(r#"{"access_token":"a","token_type":"mac"}"#),
            E::Protocol,
            1,
        ),
        (Fails(E::NotConnected), E::NotConnected, 4),
        (Fails(E::Timeout), E::Timeout, 4),
        (Fails(E::Io), E::Io, 4),
    ];
    for (step, kind, count) in rows {
        let (http, api) = client(move |_| step.clone(), |_| panic!("no token, and sent"));
        let error = status(&api).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.effect(), Effect::NoEffect, "{kind:?}");
        assert_eq!(http.count(), count, "{kind:?}");
        assert!(!format!("{error:?}{error}").contains("hunter2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_leaves_the_old_token_in_use_to_its_end() {
    let (http, api) = client(
        |number| match number {
            0 => Body(TOKEN),
            _ => Status(400),
        },
        |_| Status(200),
    );
    status(&api).await.unwrap();
    tokio::time::advance(3550 * SECOND).await;
    assert_eq!(status(&api).await.unwrap(), 200);
    assert_eq!(fetches(&http), 2);
    tokio::time::advance(51 * SECOND).await;
    let error = status(&api).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
}

#[tokio::test(start_paused = true)]
async fn the_code_of_a_refusal_is_kept_and_its_text_is_not() {
    let answer = HttpResponse::new(
        StatusCode::UNAUTHORIZED,
        r#"{"error":"invalid_client","error_description":"hunter2 is wrong"}"#,
    );
    assert_eq!(oauth2::code(&answer), "invalid_client");
    let answer = HttpResponse::new(StatusCode::UNAUTHORIZED, r#"{"error":"No such 4711"}"#);
    assert_eq!(oauth2::code(&answer), "401");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_sent_to_no_host_without_tls() {
    for url in [
        "http://auth.example.org/token",
        "http://169.254.169.254/token",
        "https://user:hunter2@auth.example.org/token",
    ] {
        let (http, api) = client(|_| Body(TOKEN), |_| Status(200));
        let api = api.with_auth(Auth::OAuth2(oauth(url)));
        let error = status(&api).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{url}");
        assert_eq!(http.count(), 0);
    }
}

#[test]
fn nothing_of_the_credentials_shows() {
    let url: Url = "https://auth.example.org/hunter2".parse().unwrap();
    let auth = OAuth2::client_credentials(url, "hunter2", Secret::new("hunter2"));
    for auth in [
        Auth::OAuth2(auth.with_scope("hunter2")),
        Auth::basic("hunter2", "hunter2"),
        Auth::Bearer("hunter2".into()),
    ] {
        let shown = format!("{auth:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
