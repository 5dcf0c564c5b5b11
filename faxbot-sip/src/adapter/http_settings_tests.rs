use std::sync::Mutex;

use faxbot_core::{
    Effect, clock::TokioClock, config::FieldTable, http::ApiCall, random::SystemRandom,
};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::*;
use crate::adapter::settings;

const FIELDS: FieldTable = FieldTable::new(
    &["proxy"],
    &[
        Field::new("host", Kind::Host, "where it is").default("127.0.0.1"),
        Field::new("port", Kind::Port, "its port").default("5060"),
        TOKEN,
        USERNAME,
        PASSWORD,
        SCHEME,
        API_KEY,
        REALM,
        path("/RPC"),
        settings::TLS,
        settings::TLS_CA,
        settings::TLS_CERTIFICATE,
        settings::TLS_KEY,
        CONNECTIONS,
        CONNECTION_WAIT,
        POLL,
        MAX_ANSWER_BYTES,
        PLAIN_CREDENTIALS,
    ],
);

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Raw {
    host: String,
    port: u16,
    #[serde(default)]
    auth: RawHttpAuth,
    options: RawHttp,
}

fn load(value: &Value) -> Result<HttpSettings> {
    let raw: Raw = FIELDS.load_with(value, rules)?;
    let timeout = Duration::from_secs(15);
    Ok(raw
        .options
        .into_settings(raw.host, raw.port, raw.auth, timeout))
}

/// The problems of a configuration: where, what, and what would be right.
fn problems(value: &Value) -> Vec<(String, String, String)> {
    let error = load(value).unwrap_err();
    let all = error.config_errors().unwrap().iter();
    all.map(|it| (it.path.clone(), it.problem.clone(), it.expected.clone()))
        .collect()
}

/// Remembers what it was asked.
#[derive(Debug, Default)]
struct Fake(Mutex<Vec<(Url, HeaderMap, u64)>>);

#[async_trait]
impl HttpClient for Fake {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        let asked = (request.url, request.headers, request.max_response_bytes);
        self.0.lock().unwrap().push(asked);
        Ok(HttpResponse::new(StatusCode::OK, "{}"))
    }
}

/// What a request of these settings is like.
async fn asked(settings: &HttpSettings) -> Result<(Url, HeaderMap, u64)> {
    let fake = Arc::new(Fake::default());
    let given: Arc<dyn HttpClient> = fake.clone();
    let clock = TokioClock::shared();
    let (api, url) = settings.client(Some(&given), clock, SystemRandom::shared(), REQUEST)?;
    api.call(ApiCall::act("test", HttpRequest::post(url, "{}")))
        .await?;
    let asked = fake.0.lock().unwrap().pop().unwrap();
    Ok(asked)
}

#[test]
fn the_table_of_fields_is_sound() {
    assert_eq!(FIELDS.faults(), [""; 0]);
}

#[tokio::test]
async fn each_configuration_asks_where_it_says() {
    for (value, url) in [
        (json!({}), "http://127.0.0.1:5060/RPC"),
        (json!({"host": "::1", "port": 80}), "http://[::1]/RPC"),
        (
            json!({"host": "pbx.example", "options": {"tls": true, "path": "/a b"}}),
            "",
        ),
        (
            json!({"host": "pbx.example", "options": {"tls": true, "path": "/mi/json"}}),
            "https://pbx.example:5060/mi/json",
        ),
        (
            json!({"host": "pbx.example"}),
            "http://pbx.example:5060/RPC",
        ),
    ] {
        match load(&value) {
            Ok(settings) => {
                let (asked, headers, most) = asked(&settings).await.unwrap();
                assert_eq!(asked.as_str(), url);
                assert!(!headers.contains_key("authorization"));
                assert_eq!(most, 16 * 1024 * 1024);
            }
            Err(_) => assert_eq!(url, "", "{value}"),
        }
    }
}

#[tokio::test]
async fn each_kind_of_credentials_is_sent_as_it_should_be() {
    for (auth, name, sent) in [
        (json!({"token": "t0"}), "authorization", "Bearer t0"),
        (
            json!({"username": "me", "password": "pw"}),
            "authorization",
            "Basic bWU6cHc=",
        ),
        (
            json!({"user": "me", "secret": "pw"}),
            "authorization",
            "Basic bWU6cHc=",
        ),
        (json!({"api_key": "k0"}), "x-api-key", "k0"),
        (json!({"apikey": "k0"}), "x-api-key", "k0"),
        // A digest answers a challenge.
        (
            json!({"username": "me", "password": "pw", "scheme": "digest"}),
            "authorization",
            "",
        ),
    ] {
        let settings = load(&json!({ "auth": auth })).unwrap();
        let shown = format!("{settings:?}");
        for secret in ["t0", "pw", "k0"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let (_, headers, _) = asked(&settings).await.unwrap();
        let value = headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(value.unwrap_or_default(), sent, "{auth}");
    }
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let token = json!({"token": "t0"});
    for (value, path, problem) in [
        (
            json!({"options": {"path": "RPC"}}),
            "options.path",
            "not the path",
        ),
        (
            json!({"options": {"path": "/RPC?x=1"}}),
            "options.path",
            "not the path",
        ),
        (
            json!({"options": {"path": "/RPC#x"}}),
            "options.path",
            "not the path",
        ),
        (
            json!({"options": {"path": "//other.example/RPC"}}),
            "options.path",
            "not the path",
        ),
        (
            json!({"options": {"path": "/a/../RPC"}}),
            "options.path",
            "not the path",
        ),
        (
            json!({"options": {"path": "/a b"}}),
            "options.path",
            "not the path",
        ),
        (
            json!({"options": {"path": "/a\\b"}}),
            "options.path",
            "not the path",
        ),
        (json!({"options": {"path": ""}}), "options.path", "empty"),
        (json!({"host": "pbx.example:5060"}), "host", "not a host"),
        (json!({"host": "http://pbx.example"}), "host", "not a host"),
        (
            json!({"host": "pbx.example", "auth": token}),
            "options.tls",
            "without TLS",
        ),
        (
            json!({"host": "192.0.2.1", "auth": {"username": "me", "password": "pw"}}),
            "options.tls",
            "without TLS",
        ),
        (
            json!({"host": "192.0.2.1", "auth": {"username": "me", "password": "pw", "scheme": "digest"}}),
            "options.tls",
            "without TLS",
        ),
        (
            json!({"auth": {"token": "t0", "username": "me", "password": "pw"}}),
            "auth.token",
            "several",
        ),
        (
            json!({"auth": {"token": "t0", "api_key": "k0"}}),
            "auth.token",
            "several",
        ),
        (
            json!({"auth": {"token": "t0", "password": "pw"}}),
            "auth.token",
            "several",
        ),
        (
            json!({"auth": {"api_key": "k0", "username": "me", "password": "pw"}}),
            "auth.api_key",
            "several",
        ),
        (
            json!({"auth": {"username": "me"}}),
            "auth.password",
            "missing",
        ),
        (
            json!({"auth": {"password": "pw"}}),
            "auth.username",
            "missing",
        ),
        (
            json!({"auth": {"username": "a:b", "password": "pw"}}),
            "auth.username",
            "colon",
        ),
        (
            json!({"auth": {"scheme": "ntlm"}}),
            "auth.scheme",
            "not a known",
        ),
        (
            json!({"options": {"tls": true, "tls_certificate": "/c.pem"}}),
            "options.tls_key",
            "belong together",
        ),
        (
            json!({"options": {"tls": true, "tls_key": "/k.pem"}}),
            "options.tls_key",
            "belong together",
        ),
        (
            json!({"options": {"tls": true, "tls_server_name": "pbx.example"}}),
            "options.tls_server_name",
            "unknown key",
        ),
        (
            json!({"options": {"connections": 0}}),
            "options.connections",
            "0",
        ),
        (
            json!({"options": {"connections": 65}}),
            "options.connections",
            "65",
        ),
        (
            json!({"options": {"poll": "1ms"}}),
            "options.poll",
            "out of range",
        ),
        (
            json!({"options": {"max_answer_bytes": 10}}),
            "options.max_answer_bytes",
            "10",
        ),
    ] {
        let told = problems(&value);
        assert!(
            told.iter().any(|it| it.0 == path && it.1.contains(problem)),
            "{value}: {told:?}"
        );
        let shown = format!("{told:?}");
        for secret in ["t0", "pw", "k0"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    for (value, path, nearest) in [
        (
            json!({"options": {"pth": "/RPC"}}),
            "options.pth",
            "options.path",
        ),
        (
            json!({"options": {"conections": 2}}),
            "options.conections",
            "options.connections",
        ),
        (json!({"auth": {"tokn": "t0"}}), "auth.tokn", "auth.token"),
    ] {
        let told = problems(&value);
        assert_eq!(told[0].0, path);
        assert!(told[0].2.contains(nearest), "{told:?}");
    }
}

#[test]
fn several_mistakes_are_told_at_once() {
    let value = json!({
        "host": "pbx.example",
        "auth": {"token": "t0", "username": "me"},
        "options": {"path": "RPC", "tls_key": "/k.pem"},
    });
    let told = problems(&value);
    let mut paths: Vec<_> = told.iter().map(|it| it.0.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "auth.password",
        "auth.token",
        "options.path",
        "options.tls",
        "options.tls_key",
    ];
    assert_eq!(paths, expected, "{told:?}");
}

#[tokio::test]
async fn credentials_go_to_another_machine_with_tls_or_where_that_is_wanted() {
    for (options, scheme) in [
        (json!({"tls": true}), "https"),
        (json!({"plain_credentials": true}), "http"),
    ] {
        let value = json!({"host": "pbx.example", "auth": {"token": "t0"}, "options": options});
        let settings = load(&value).unwrap();
        let (url, headers, _) = asked(&settings).await.unwrap();
        assert_eq!(url.scheme(), scheme);
        assert!(headers.contains_key("authorization"));
    }
    // And to this one without both.
    for host in ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST"] {
        let value = json!({"host": host, "auth": {"token": "t0"}});
        let settings = load(&value).unwrap();
        asked(&settings).await.unwrap();
    }
}

#[test]
fn debug_shows_the_kind_of_credentials_alone() {
    let secret = || Secret::new("hunter2".to_owned());
    for (credentials, shown) in [
        (Credentials::None, "None"),
        (Credentials::Token(secret()), "Token(..)"),
        (Credentials::ApiKey(secret()), "ApiKey(..)"),
        (Credentials::Basic("alice".into(), secret()), "Basic(..)"),
        (Credentials::Digest("alice".into(), secret()), "Digest(..)"),
    ] {
        assert_eq!(format!("{credentials:?}"), shown);
    }
    let value = json!({"auth": {"username": "alice", "password": "hunter2"}});
    let shown = format!("{:?}", load(&value).unwrap());
    assert!(!shown.contains("alice"), "{shown}");
}

#[test]
fn the_way_to_send_a_password_may_stand_in_a_url() {
    use faxbot_core::config::{UrlScheme, from_url_text};
    let schemes = &[UrlScheme::new("proxy+http", "proxy")];
    let url = "proxy+http://alice:hunter2@127.0.0.1:5060/RPC?auth.scheme=digest&connections=2";
    let settings = load(&from_url_text(url, schemes).unwrap()).unwrap();
    assert_eq!(settings.connections.get(), 2);
    let Credentials::Digest(user, password) = settings.credentials else {
        panic!("{:?}", settings.credentials);
    };
    assert_eq!((user.as_str(), password.expose()), ("alice", "hunter2"));
    for (url, place) in [
        ("proxy+http://a:b@h/?auth.username=c", "auth.username"),
        (
            "proxy+http://h/?auth.scheme=digest&auth.scheme=basic",
            "auth.scheme",
        ),
    ] {
        let errors = from_url_text(url, schemes).unwrap_err();
        let places: Vec<_> = errors.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(places, [place]);
    }
}

#[test]
fn authorities_of_ours_are_the_only_ones_and_the_host_is_the_only_name() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let own = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
    fs::write(&ca, own.cert.pem()).unwrap();
    for (ca, shown) in [
        (Some(ca), ["roots: 1", "system_roots: false"]),
        (None, ["roots: 0", "system_roots: true"]),
    ] {
        let tls = TlsConfig {
            ca,
            ..TlsConfig::default()
        };
        let builder = with_tls(ReqwestClient::builder(), &tls).unwrap();
        let builder = format!("{builder:?}");
        assert!(shown.iter().all(|it| builder.contains(it)), "{builder}");
    }
    let tls = TlsConfig {
        server_name: Some("other.example".to_owned()),
        ..TlsConfig::default()
    };
    let error = with_tls(ReqwestClient::builder(), &tls).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn files_of_tls_that_cannot_be_used_are_errors_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage.pem");
    fs::write(&garbage, "no pem").unwrap();
    let garbage = garbage.to_str().unwrap();
    let missing = directory.path().join("missing.pem");
    let missing = missing.to_str().unwrap();
    for options in [
        json!({"tls": true, "tls_ca": missing}),
        json!({"tls": true, "tls_ca": garbage}),
        json!({"tls": true, "tls_certificate": missing, "tls_key": missing}),
        json!({"tls": true, "tls_certificate": garbage, "tls_key": garbage}),
    ] {
        let settings = load(&json!({ "options": options })).unwrap();
        let clock = TokioClock::shared();
        let error = settings
            .client(None, clock, SystemRandom::shared(), REQUEST)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{options}");
        assert!(!error.to_string().contains("/"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_takes_no_connection_got_nothing_of_a_request() {
    // Nobody accepts: the connection, of which TLS is a part, is never made.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let settings = load(&json!({"port": port, "options": {"tls": true}})).unwrap();
    assert!(settings.connect_timeout > REQUEST);
    let clock = TokioClock::shared();
    let (api, url) = settings
        .client(None, clock, SystemRandom::shared(), REQUEST)
        .unwrap();
    let request = HttpRequest::post(url, "{}").with_timeout(REQUEST);
    let call = ApiCall::act("make_call", request).without_repeats();
    let error = api.call(call).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::NotConnected, Effect::NoEffect)
    );
}
