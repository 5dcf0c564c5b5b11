//! Digest authentication against a server that checks each response, on a paused clock.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION};
use proptest::prelude::*;

use super::{
    challenge::{Algorithm, Asked, Challenge, asked, hex},
    *,
};
use crate::{
    clock::TokioClock,
    http::{
        ApiCall, ApiClient, Auth, HttpClient, HttpRequest, HttpResponse,
        fake::{Fake, Step},
    },
    random::SeededRandom,
};

const REALM: &str = "http-auth@example.org";

fn headers(challenges: &[&str]) -> HeaderMap {
    let name = HeaderName::from_static("www-authenticate");
    challenges
        .iter()
        .map(|text| {
            (
                name.clone(),
                HeaderValue::from_bytes(text.as_bytes()).unwrap(),
            )
        })
        .collect()
}

fn unauthorized(challenges: &[&str]) -> HttpResponse {
    HttpResponse::new(StatusCode::UNAUTHORIZED, "no").with_headers(headers(challenges))
}

fn get(url: &str) -> HttpRequest {
    HttpRequest::get(url.parse().unwrap())
}

/// The values of a header as a strict reader splits them, unescaped.
fn values(header: &str) -> HashMap<String, String> {
    let mut rest = header.strip_prefix("Digest ").expect("a digest header");
    let mut values = HashMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').unwrap();
        let mut value = String::new();
        rest = if let Some(quoted) = after.strip_prefix('"') {
            let mut chars = quoted.chars();
            loop {
                match chars.next().expect("a closing quote") {
                    '"' => break,
                    '\\' => value.push(chars.next().unwrap()),
                    c => value.push(c),
                }
            }
            chars.as_str()
        } else {
            let (token, rest) = after.split_at(after.find(',').unwrap_or(after.len()));
            value.push_str(token);
            rest
        };
        rest = rest.strip_prefix(", ").unwrap_or(rest);
        assert!(
            values.insert(name.to_owned(), value).is_none(),
            "{name} twice"
        );
    }
    values
}

#[test]
fn the_examples_of_the_standards_come_out() {
    let challenge = |realm: &str, nonce: &str, opaque: &str, algorithm, counts| Challenge {
        realm: realm.to_owned(),
        nonce: nonce.to_owned(),
        opaque: Some(opaque.to_owned()),
        algorithm,
        names_algorithm: true,
        counts,
        utf8: false,
    };
    // RFC 7616 section 3.9.1.
    let new = |algorithm| {
        challenge(
            REALM,
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
            algorithm,
            true,
        )
    };
    // RFC 2617 section 3.5.
    let old = challenge(
        "testrealm@host.com",
        "dcd98b7102dd2f0e8b11d0f600bfb0c093",
        "5ccc069c403ebaf9f0171e9517f40e41",
        Algorithm::Md5,
        true,
    );
    let long = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
    let rows = [
        (
            new(Algorithm::Md5),
            "Circle of Life",
            long,
            "8ca523f5e9506fed4657c9700eebdbec",
        ),
        (
            new(Algorithm::Sha256),
            "Circle of Life",
            long,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
        (
            old,
            "Circle Of Life",
            "0a4f113b",
            "6629fae49393a05397450978507c4ef1",
        ),
    ];
    for (challenge, password, cnonce, response) in rows {
        let digest = Digest::new("Mufasa", password);
        let request = get("http://www.example.org/dir/index.html");
        let text = digest.text(&challenge, &request, 1, cnonce);
        let values = values(&text);
        assert_eq!(values["response"], response);
        assert_eq!(values["uri"], "/dir/index.html");
        assert_eq!(values["nc"], "00000001");
        assert_eq!(values["qop"], "auth");
        assert_eq!(values["algorithm"], challenge.algorithm.name());
        assert_eq!(values["opaque"], challenge.opaque.unwrap());
    }
}

#[test]
fn each_set_of_challenges_is_read_as_what_it_asks_for() {
    // Expected: the algorithm, the realm and the nonce; or whether anything was asked by digest.
    type Expected<'a> = Result<(Algorithm, &'a str, &'a str), bool>;
    use Algorithm::{Md5, Sha256};
    let rows: [(&[&str], Expected<'_>); 24] = [
        (
            &[r#"Digest realm="a", nonce="b", qop="auth""#],
            Ok((Md5, "a", "b")),
        ),
        (&[r#"digest REALM="a",NONCE="b""#], Ok((Md5, "a", "b"))),
        (
            &[r#"Digest realm="a",qop="auth",algorithm=SHA-256,nonce="b",opaque="c""#],
            Ok((Sha256, "a", "b")),
        ),
        (
            &[r#"Digest realm="a", nonce="b", algorithm="sha-256""#],
            Ok((Sha256, "a", "b")),
        ),
        (
            &[r#"Digest realm = "a" , nonce= "b" ,, qop=auth"#],
            Ok((Md5, "a", "b")),
        ),
        (
            &[r#"Digest realm="a \"b\" \\ ,c", nonce="d=""#],
            Ok((Md5, r#"a "b" \ ,c"#, "d=")),
        ),
        (
            &[r#"Digest realm="a", nonce="b", qop="auth-int, auth""#],
            Ok((Md5, "a", "b")),
        ),
        // Several: the strongest, whatever the order, in one header or in several.
        (
            &[
                r#"Digest realm="a", nonce="m", algorithm=MD5, Digest realm="a", nonce="s", algorithm=SHA-256"#,
            ],
            Ok((Sha256, "a", "s")),
        ),
        (
            &[r#"Digest realm="a", nonce="s", algorithm=SHA-256, Digest realm="a", nonce="m""#],
            Ok((Sha256, "a", "s")),
        ),
        (
            &[
                r#"Digest realm="a", nonce="m""#,
                r#"Digest realm="a", nonce="s", algorithm=SHA-256"#,
            ],
            Ok((Sha256, "a", "s")),
        ),
        (
            &[
                r#"Digest realm="a", nonce="1""#,
                r#"Digest realm="a", nonce="2""#,
            ],
            Ok((Md5, "a", "1")),
        ),
        // Other schemes around it.
        (
            &[r#"Basic realm="x", Digest realm="a", nonce="b""#],
            Ok((Md5, "a", "b")),
        ),
        (
            &[
                "Negotiate",
                "NTLM TlRMTVNTUAACAAAA==",
                r#"Digest realm="a", nonce="b""#,
            ],
            Ok((Md5, "a", "b")),
        ),
        (
            &[r#"Negotiate TlRM==, Digest realm="a", nonce="b""#],
            Ok((Md5, "a", "b")),
        ),
        (
            &[r#"Bearer error="invalid_token", error_description="Digest realm=no""#],
            Err(false),
        ),
        // What is not spoken is skipped.
        (
            &[
                r#"Digest realm="a", nonce="b", algorithm=SHA-512-256"#,
                r#"Digest realm="a", nonce="c""#,
            ],
            Ok((Md5, "a", "c")),
        ),
        (
            &[r#"Digest realm="a", nonce="b", algorithm=MD5-sess"#],
            Err(true),
        ),
        (
            &[r#"Digest realm="a", nonce="b", algorithm=SHA-256-sess, qop="auth""#],
            Err(true),
        ),
        (
            &[r#"Digest realm="a", nonce="b", qop="auth-int""#],
            Err(true),
        ),
        (&[r#"Digest realm="a", qop="auth""#], Err(true)),
        (&["Digest"], Err(true)),
        (&["Digest realm=\"a\", nonce=\"b\tc\""], Err(true)),
        (&[r#"Digest realm="a, nonce="b"#], Err(true)),
        (&[r#"Basic realm="Digest""#, "", ",,,"], Err(false)),
    ];
    for (challenges, expected) in rows {
        let got = match asked(&headers(challenges)) {
            Asked::For(challenge) => Ok(challenge),
            Asked::Unknown => Err(true),
            Asked::Nothing => Err(false),
        };
        let got = got.as_ref().map_err(|e| *e);
        let got = got.map(|c| (c.algorithm, c.realm.as_str(), c.nonce.as_str()));
        assert_eq!(got, expected, "{challenges:?}");
    }
}

/// A server that checks each response as RFC 7616 says, and that the count of each nonce grows.
struct Server {
    password: &'static str,
    /// Nonces that are valid, with the highest count seen.
    nonces: Mutex<HashMap<String, u32>>,
    given: Mutex<usize>,
    replays: Mutex<usize>,
}

impl Server {
    fn new(password: &'static str) -> Arc<Self> {
        Arc::new(Self {
            password,
            nonces: Mutex::default(),
            given: Mutex::default(),
            replays: Mutex::default(),
        })
    }

    fn challenge(&self) -> HttpResponse {
        let mut given = self.given.lock().unwrap();
        *given += 1;
        let nonce = format!("nonce {given}");
        self.nonces.lock().unwrap().insert(nonce.clone(), 0);
        unauthorized(&[&format!(
            r#"Digest realm="{REALM}", qop="auth", algorithm=SHA-256, nonce="{nonce}", opaque="o {given}""#
        )])
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let Some(header) = request.headers.get(AUTHORIZATION) else {
            return self.challenge();
        };
        assert!(header.is_sensitive());
        let values = values(header.to_str().unwrap());
        let hash = |text: String| Algorithm::Sha256.hash(&text);
        let who = hash(format!("alice:{REALM}:{}", self.password));
        let what = hash(format!("{}:{}", request.method, values["uri"]));
        let expected = hash(format!(
            "{who}:{}:{}:{}:auth:{what}",
            values["nonce"], values["nc"], values["cnonce"]
        ));
        assert_eq!(values["username"], "alice");
        assert_eq!(values["realm"], REALM);
        assert_eq!(values["uri"], request.url.path());
        assert_eq!(values["opaque"], values["nonce"].replace("nonce", "o"));
        let count = u32::from_str_radix(&values["nc"], 16).unwrap();
        let known = match self.nonces.lock().unwrap().get_mut(&values["nonce"]) {
            Some(last) if *last < count => {
                *last = count;
                true
            }
            Some(_) => {
                *self.replays.lock().unwrap() += 1;
                false
            }
            None => false,
        };
        match known && values["response"] == expected {
            true => HttpResponse::new(StatusCode::OK, "fine"),
            false => self.challenge(),
        }
    }

    fn forget(&self) {
        self.nonces.lock().unwrap().clear();
    }

    fn replays(&self) -> usize {
        *self.replays.lock().unwrap()
    }
}

fn client(http: &Arc<Fake>, auth: Auth) -> ApiClient {
    let base = "https://api.example.org/v2".parse().unwrap();
    let http: Arc<dyn HttpClient> = Arc::clone(http) as _;
    ApiClient::new(http, base, TokioClock::shared(), SeededRandom::shared(7))
        .unwrap()
        .with_auth(auth)
}

fn of(server: &Arc<Server>) -> Arc<Fake> {
    let server = Arc::clone(server);
    Fake::new(move |_, request| Step::Answer(server.answer(request)))
}

fn read(api: &ApiClient) -> ApiCall {
    ApiCall::read("get_status", HttpRequest::get(api.url(&["a"]).unwrap()))
}

fn act(api: &ApiClient) -> ApiCall {
    let request = HttpRequest::post(api.url(&["b"]).unwrap(), "pages");
    ApiCall::act("send_fax", request).without_repeats()
}

async fn status(api: &ApiClient, call: ApiCall) -> u16 {
    api.call(call).await.unwrap().status.as_u16()
}

#[tokio::test(start_paused = true)]
async fn the_first_call_answers_a_challenge_and_the_others_bring_the_response_along() {
    for call in [read as fn(&ApiClient) -> ApiCall, act] {
        let server = Server::new("hunter2");
        let http = of(&server);
        let api = client(&http, Auth::digest("alice", "hunter2"));
        assert_eq!(status(&api, call(&api)).await, 200);
        assert_eq!(http.count(), 2);
        let clone = api.clone();
        assert_eq!(status(&clone, call(&clone)).await, 200);
        assert_eq!(status(&api, call(&api)).await, 200);
        assert_eq!(http.count(), 4);
        let counts: Vec<_> = http.requests()[1..]
            .iter()
            .map(|r| values(r.headers[AUTHORIZATION].to_str().unwrap())["nc"].clone())
            .collect();
        assert_eq!(counts, ["00000001", "00000002", "00000003"]);
        let cnonces: HashSet<_> = http.requests()[1..]
            .iter()
            .map(|r| values(r.headers[AUTHORIZATION].to_str().unwrap())["cnonce"].clone())
            .collect();
        assert_eq!(cnonces.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_tried_once_a_call() {
    let server = Server::new("hunter2");
    let http = of(&server);
    let api = client(&http, Auth::digest("alice", "wrong"));
    for number in 1..=2 {
        assert_eq!(status(&api, act(&api)).await, 401);
        assert_eq!(http.count(), 2 * number);
    }
}

#[tokio::test(start_paused = true)]
async fn a_nonce_that_ended_is_replaced_once_whatever_the_server_calls_it() {
    let server = Server::new("hunter2");
    let http = of(&server);
    let api = client(&http, Auth::digest("alice", "hunter2"));
    assert_eq!(status(&api, read(&api)).await, 200);
    server.forget();
    assert_eq!(status(&api, act(&api)).await, 200);
    assert_eq!(http.count(), 4);
    // The new one stays.
    assert_eq!(status(&api, act(&api)).await, 200);
    assert_eq!(http.count(), 5);

    // A server that takes nothing, with `stale=true` for ever.
    let stale = r#"Digest realm="a", nonce="b", qop="auth", stale=TRUE"#;
    let http = Fake::steps(&[Step::Answer(unauthorized(&[stale]))]);
    let api = client(&http, Auth::digest("alice", "hunter2"));
    assert_eq!(status(&api, act(&api)).await, 401);
    assert_eq!(http.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_calls_at_once_never_send_a_count_late() {
    let server = Server::new("hunter2");
    let behind = Arc::clone(&server);
    // The server looks at requests in an order of its own: each takes another time.
    let http = Fake::new(move |number, request| {
        let wait = Duration::from_millis((number as u64 * 7919) % 101);
        Step::Late(wait, Box::new(Step::Answer(behind.answer(request))))
    });
    let api = client(&http, Auth::digest("alice", "hunter2"));
    for round in 0..5 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let api = api.clone();
            calls.spawn(async move { status(&api, act(&api)).await });
        }
        while let Some(status) = calls.join_next().await {
            assert_eq!(status.unwrap(), 200, "round {round}");
        }
    }
    assert_eq!(server.replays(), 0);
    assert_eq!(http.count(), 50 + 5 * 50);
}

#[tokio::test(start_paused = true)]
async fn a_nonce_that_a_server_gives_twice_is_counted_on() {
    let same = r#"Digest realm="a", nonce="same", qop="auth""#;
    let http = Fake::new(move |_, request| {
        let answer = match request.headers.contains_key(AUTHORIZATION) {
            true => HttpResponse::new(StatusCode::OK, ""),
            false => unauthorized(&[same]),
        };
        Step::Late(Duration::from_millis(1), Box::new(Step::Answer(answer)))
    });
    let api = client(&http, Auth::digest("alice", "hunter2"));
    let (a, b) = tokio::join!(status(&api, act(&api)), status(&api, act(&api)));
    assert_eq!((a, b), (200, 200));
    assert_eq!(status(&api, act(&api)).await, 200);
    let mut counts: Vec<_> = http
        .requests()
        .iter()
        .filter_map(|r| r.headers.get(AUTHORIZATION))
        .map(|header| values(header.to_str().unwrap())["nc"].clone())
        .collect();
    counts.sort();
    assert_eq!(counts, ["00000001", "00000002", "00000003"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_takes_its_nonce_along() {
    let server = Server::new("hunter2");
    let behind = Arc::clone(&server);
    let http = Fake::new(move |number, request| match number {
        2 => Step::Hangs,
        _ => Step::Answer(behind.answer(request)),
    });
    let api = client(&http, Auth::digest("alice", "hunter2"));
    assert_eq!(status(&api, read(&api)).await, 200);
    let dropped = tokio::time::timeout(Duration::from_millis(1), api.call(act(&api)));
    assert!(dropped.await.is_err());
    assert_eq!(status(&api, act(&api)).await, 200);
    assert_eq!(server.replays(), 0);
    assert_eq!(http.count(), 3 + 2);
}

#[tokio::test(start_paused = true)]
async fn the_server_may_give_the_next_nonce_with_a_good_answer() {
    let first = r#"Digest realm="a", nonce="1", qop="auth", opaque="o""#;
    let good = |name: &'static str, value: &str| {
        let name = HeaderName::from_static(name);
        HttpResponse::new(StatusCode::OK, "")
            .with_headers(HeaderMap::from_iter([(name, value.parse().unwrap())]))
    };
    let http = Fake::steps(&[
        Step::Answer(unauthorized(&[first])),
        Step::Answer(good(
            "authentication-info",
            r#"qop=auth, nextnonce="2", rspauth="x""#,
        )),
        Step::Answer(good(
            "www-authenticate",
            r#"Digest realm="a", nonce="3", qop="auth""#,
        )),
        Step::Answer(good(
            "www-authenticate",
            r#"Digest realm="a", nonce="3", qop="auth""#,
        )),
        Step::Status(200),
    ]);
    let api = client(&http, Auth::digest("alice", "hunter2"));
    for _ in 0..4 {
        assert_eq!(status(&api, act(&api)).await, 200);
    }
    let sent: Vec<_> = http.requests()[1..]
        .iter()
        .map(|r| values(r.headers[AUTHORIZATION].to_str().unwrap()))
        .map(|v| {
            (
                v["nonce"].clone(),
                v["nc"].clone(),
                v.get("opaque").cloned(),
            )
        })
        .collect();
    let opaque = || Some("o".to_owned());
    let row = |nonce: &str, nc: u32, opaque| (nonce.to_owned(), format!("{nc:08x}"), opaque);
    assert_eq!(
        sent,
        [
            row("1", 1, opaque()),
            row("2", 1, opaque()),
            row("3", 1, None),
            row("3", 2, None)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_spoken_gets_no_credentials() {
    for challenge in [
        r#"Digest realm="a", nonce="b", algorithm=MD5-sess, qop="auth""#,
        r#"Digest realm="a", nonce="b", qop="auth-int""#,
        r#"Digest realm="a", nonce="b", algorithm=SHA-512-256"#,
    ] {
        let http = Fake::steps(&[Step::Answer(unauthorized(&[challenge]))]);
        let api = client(&http, Auth::digest("alice", "hunter2"));
        let error = api.call(act(&api)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{challenge}");
        assert_eq!(error.effect(), Effect::NoEffect);
        assert_eq!(error.operation(), "send_fax");
        assert_eq!(http.count(), 1);
    }
    // Without a challenge by digest, 401 is the answer.
    for challenge in ["", r#"Basic realm="a""#, "Bearer"] {
        let http = Fake::steps(&[Step::Answer(unauthorized(&[challenge]))]);
        let api = client(&http, Auth::digest("alice", "hunter2"));
        assert_eq!(status(&api, act(&api)).await, 401);
        assert_eq!(http.count(), 1);
    }
}

#[test]
fn names_and_realms_are_quoted_and_a_user_in_utf_8_is_said_so() {
    let answer = |user: &str, challenge: &str| {
        let digest = Digest::new(user, "secret");
        let response = unauthorized(&[challenge]);
        let Ok(Verdict::Again(nonce)) = digest.settle(None, &response) else {
            panic!("no challenge in {challenge}");
        };
        let request = get("https://example.org/a?b=%22c%22&d='");
        let random = SeededRandom::new(7);
        let header = digest.header(&request, Some(nonce), &random).unwrap();
        String::from_utf8(header.unwrap().0.as_bytes().to_vec()).unwrap()
    };
    let text = answer(r#"a"b\c"#, r#"Digest realm="r \"x\", y", nonce="n""#);
    let sent = values(&text);
    assert_eq!(sent["username"], r#"a"b\c"#);
    assert_eq!(sent["realm"], r#"r "x", y"#);
    assert_eq!(sent["uri"], "/a?b=%22c%22&d=%27");
    // Nothing that the server did not name: RFC 2069.
    for name in ["algorithm", "qop", "nc", "cnonce", "opaque"] {
        assert!(!sent.contains_key(name), "{name}");
    }
    let hash = |text: &str| Algorithm::Md5.hash(text);
    let who = hash(r#"a"b\c:r "x", y:secret"#);
    let what = hash("GET:/a?b=%22c%22&d=%27");
    assert_eq!(sent["response"], hash(&format!("{who}:n:{what}")));

    // RFC 7616 section 3.9.2 has this user.
    let user = "Jäsøn Doe";
    let text = answer(user, r#"Digest realm="r", nonce="n", charset=UTF-8"#);
    assert!(
        text.contains("username*=UTF-8''J%C3%A4s%C3%B8n%20Doe,"),
        "{text}"
    );
    assert!(!text.contains("username="));
    let text = answer(user, r#"Digest realm="r", nonce="n""#);
    assert_eq!(values(&text)["username"], user);
    let text = answer("plain", r#"Digest realm="r", nonce="n", charset=UTF-8"#);
    assert_eq!(values(&text)["username"], "plain");
}

#[test]
fn a_user_that_would_be_another_header_or_another_user_is_refused() {
    let request = get("https://example.org/");
    for user in ["", "a:b", "a\r\nX-Other: b", "a\u{0}", "a\tb"] {
        let digest = Digest::new(user, "secret");
        let error = digest
            .header(&request, None, &SeededRandom::new(7))
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{user:?}");
    }
}

#[test]
fn the_query_is_left_out_only_where_asked_for() {
    let url = "https://example.org/a/b?page=2#part".parse().unwrap();
    assert_eq!(uri(&url, false), "/a/b?page=2");
    assert_eq!(uri(&url, true), "/a/b");
}

#[test]
fn it_shows_nothing() {
    let auth = Auth::digest("alice", "hunter2");
    assert_eq!(format!("{auth:?}"), "Digest(***)");
    assert_eq!(hex(&[0, 0xAB, 0x0F]), "00ab0f");
}

proptest! {
    #[test]
    fn no_challenge_makes_a_header_of_more_than_one_line(
        value in proptest::collection::vec(any::<u8>().prop_filter("a header", |b| {
            *b == b'\t' || (*b >= b' ' && *b != 0x7F)
        }), 0..200),
        quoted in any::<bool>(),
    ) {
        let mut bytes = match quoted {
            true => b"Digest realm=\"a\", nonce=\"".to_vec(),
            false => b"Digest nonce=b, realm=\"".to_vec(),
        };
        bytes.extend(&value);
        let name = HeaderName::from_static("www-authenticate");
        let map = HeaderMap::from_iter([(name, HeaderValue::from_bytes(&bytes).unwrap())]);
        let response = HttpResponse::new(StatusCode::UNAUTHORIZED, "").with_headers(map);
        let digest = Digest::new("alice", "secret");
        if let Ok(Verdict::Again(nonce)) = digest.settle(None, &response) {
            let request = get("https://example.org/a");
            let header = digest.header(&request, Some(nonce), &SeededRandom::new(7));
            let (header, _) = header.unwrap().unwrap();
            let text = String::from_utf8_lossy(header.as_bytes()).into_owned();
            prop_assert!(!text.contains(char::is_control));
            prop_assert_eq!(values(&text).remove("username"), Some("alice".to_owned()));
        }
    }
}
