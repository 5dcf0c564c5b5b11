//! The configuration of the adapter.

use std::time::Duration;

use faxbot_core::{
    Private, Result,
    config::{
        ConfigError, ConfigErrors, Field, FieldTable, Kind, UrlScheme, duration, from_url_text,
    },
};
use serde::Deserialize;
use serde_json::Value;

use super::api::FlexiLogin;
use crate::adapter::{
    http_settings::{self, Credentials, HttpSettings, RawHttp, RawHttpAuth},
    settings::{self, TlsConfig},
};

/// Every field of the configuration, with its aliases, default and documentation.
pub const FIELDS: FieldTable = FieldTable::new(
    &["flexisip"],
    &[
        Field::new(
            "host",
            Kind::Host,
            "host name of the account manager: it chooses the Space",
        )
        .default("127.0.0.1")
        .server_name("Space host"),
        Field::new("port", Kind::Port, "its port").default("443"),
        Field::new(
            "auth.api_key",
            Kind::Secret,
            "sent as `x-api-key`; the only one that admin routes take since 2.1",
        )
        .aliases(&["apikey"])
        .server_name("x-api-key"),
        Field::new(
            "auth.token",
            Kind::Secret,
            "a JSON Web Token, sent as `Authorization: Bearer`",
        ),
        Field::new(
            "auth.username",
            Kind::Text,
            "the account for digest: its user, or `user@domain`",
        )
        .aliases(&["user"]),
        Field::new("auth.password", Kind::Secret, "its password").aliases(&["secret"]),
        Field::new(
            "realm",
            Kind::Text,
            "the SIP domain of accounts and extensions that come without one; `n/a` is none",
        )
        .aliases(&["domain"])
        .default_note("the value of `host`")
        .server_name("Space domain"),
        http_settings::path("/api"),
        Field::new("options.tls", Kind::Bool, "TLS from the first byte").default("true"),
        settings::TLS_CA,
        settings::TLS_CERTIFICATE,
        settings::TLS_KEY,
        settings::CONNECT_TIMEOUT,
        settings::REQUEST_TIMEOUT,
        settings::WAIT_FOR_SERVER,
        http_settings::CONNECTIONS,
        http_settings::CONNECTION_WAIT,
        Field::new(
            "options.poll",
            Kind::Duration {
                min: Duration::from_millis(100),
                max: Duration::from_secs(3600),
            },
            "how often the server is asked whether it is there",
        )
        .default("30s"),
        Field::new(
            "options.max_answer_bytes",
            Kind::Integer {
                min: 1024,
                max: 1024 * 1024 * 1024,
            },
            "the longest answer that is read, in bytes",
        )
        .default("16777216"),
        http_settings::PLAIN_CREDENTIALS,
    ],
);

/// The URL form: `flexisip://key@host`, or `flexisip://user:password@host`.
pub const SCHEMES: &[UrlScheme] = &[UrlScheme::new("flexisip", "flexisip")];

/// A checked configuration. Make one with [`from_value`](Self::from_value) or
/// [`from_url`](Self::from_url).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FlexisipConfig {
    /// Host name of the account manager; 127.0.0.1 by default.
    pub host: String,
    /// Its port; 443 by default.
    pub port: u16,
    /// Path of its API; `/api` by default.
    pub path: String,
    /// TLS; on by default.
    pub tls: Option<TlsConfig>,
    /// What proves who we are.
    pub login: FlexiLogin,
    /// The SIP domain of accounts and extensions that come without one.
    pub realm: String,
    /// How long `connect` may take; 15 s by default.
    pub connect_timeout: Duration,
    /// How long an answer may take; 10 s by default.
    pub request_timeout: Duration,
    /// Go on trying when the first attempt fails.
    pub wait_for_server: bool,
    /// How often the server is asked whether it is there; 30 s by default.
    pub poll: Duration,
    /// What the client of HTTP needs beside these.
    pub(super) http: HttpSettings,
}

#[derive(Deserialize)]
struct Raw {
    host: String,
    port: u16,
    #[serde(default)]
    auth: RawHttpAuth,
    realm: Option<String>,
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawOptions {
    #[serde(flatten)]
    http: RawHttp,
    #[serde(with = "duration")]
    connect_timeout: Duration,
    #[serde(with = "duration")]
    request_timeout: Duration,
    wait_for_server: bool,
    #[serde(with = "duration")]
    poll: Duration,
}

impl FlexisipConfig {
    /// Loads a configuration of any serde format.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_value(value: &Value) -> Result<Self> {
        let raw: Raw = FIELDS.load_with(value, rules)?;
        Ok(raw.into_config())
    }

    /// Loads a configuration from a URL. A user without a password is an API key.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_url(url: &str) -> Result<Self> {
        let mut value = from_url_text(url, SCHEMES)?;
        if let Some(Value::Object(auth)) = value.get_mut("auth")
            && !auth.contains_key("password")
            && let Some(key) = auth.remove("username")
        {
            auth.insert("api_key".to_owned(), key);
        }
        Self::from_value(&value)
    }

    /// Checks a configuration without keeping it.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn validate(value: &Value) -> Result<(), ConfigErrors> {
        FIELDS.load_with::<Raw>(value, rules).map(drop)
    }
}

impl Raw {
    fn into_config(self) -> FlexisipConfig {
        let options = self.options;
        let timeout = options.connect_timeout;
        let mut http = options
            .http
            .into_settings(self.host, self.port, self.auth, timeout);
        let realm = self.realm.filter(|realm| realm != "n/a");
        let realm = realm.unwrap_or_else(|| http.host.clone());
        let login = match std::mem::take(&mut http.credentials) {
            Credentials::None => FlexiLogin::None,
            Credentials::Token(token) => FlexiLogin::Bearer(token),
            Credentials::ApiKey(key) => FlexiLogin::ApiKey(key),
            Credentials::Basic(user, password) | Credentials::Digest(user, password) => {
                FlexiLogin::Digest {
                    account: Private::new(with_domain(&user, &realm)),
                    password,
                }
            }
        };
        FlexisipConfig {
            host: http.host.clone(),
            port: http.port,
            path: http.path.clone(),
            tls: http.tls.clone(),
            login,
            realm,
            connect_timeout: timeout,
            request_timeout: options.request_timeout,
            wait_for_server: options.wait_for_server,
            poll: options.poll,
            http,
        }
    }
}

/// A user with its domain.
pub(super) fn with_domain(user: &str, realm: &str) -> String {
    match user.contains('@') {
        true => user.to_owned(),
        false => format!("{user}@{realm}"),
    }
}

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let mut problems = http_settings::rules(value);
    let user = value.pointer("/auth/username").and_then(Value::as_str);
    let odd = |c: char| c.is_whitespace() || "<>\"".contains(c);
    if user
        .is_some_and(|user| user.is_empty() || user.contains(odd) || user.matches('@').count() > 1)
    {
        problems.push(ConfigError::new(
            "auth.username",
            "not an account",
            "a user, or user@domain, without sip:",
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use faxbot_core::ErrorKind;
    use serde_json::json;

    use super::*;

    fn shown(login: &FlexiLogin) -> String {
        match login {
            FlexiLogin::None => "none".to_owned(),
            FlexiLogin::ApiKey(key) => format!("key {}", key.expose()),
            FlexiLogin::Bearer(token) => format!("bearer {}", token.expose()),
            FlexiLogin::Digest { account, password } => {
                format!("digest {} {}", account.expose(), password.expose())
            }
        }
    }

    #[test]
    fn each_url_is_read_as_what_it_says() {
        let rows = [
            (
                "flexisip://k3y@sip.example.org",
                "sip.example.org",
                443,
                "key k3y",
            ),
            (
                "flexisip://sip.example.org:8443",
                "sip.example.org",
                8443,
                "none",
            ),
            (
                "flexisip://alice:pw@sip.example.org",
                "sip.example.org",
                443,
                "digest alice@sip.example.org pw",
            ),
            (
                "flexisip://alice%40example.net:p%40w@sip.example.org",
                "sip.example.org",
                443,
                "digest alice@example.net p@w",
            ),
            ("flexisip://k@[::1]", "::1", 443, "key k"),
        ];
        for (url, host, port, login) in rows {
            let config = FlexisipConfig::from_url(url).unwrap();
            assert_eq!((&*config.host, config.port), (host, port), "{url}");
            assert_eq!(shown(&config.login), login, "{url}");
            assert_eq!(config.path, "/api");
            assert!(config.tls.is_some());
        }
        let url = "flexisip://k@127.0.0.1:8080/flexiapi/api?tls=false&poll=5s";
        let config = FlexisipConfig::from_url(url).unwrap();
        assert_eq!(config.path, "/flexiapi/api");
        assert!(config.tls.is_none());
        assert_eq!(config.poll, Duration::from_secs(5));
    }

    #[test]
    fn each_kind_of_credentials_is_read_and_shows_nothing() {
        let rows = [
            (json!({}), "none"),
            (json!({"api_key": "hunter2"}), "key hunter2"),
            (json!({"apikey": "hunter2"}), "key hunter2"),
            (json!({"token": "hunter2"}), "bearer hunter2"),
            (
                json!({"user": "alice", "secret": "hunter2"}),
                "digest alice@example.org hunter2",
            ),
        ];
        for (auth, expected) in rows {
            let value = json!({"type": "flexisip", "host": "sip.example.org", "domain": "example.org", "auth": auth});
            let config = FlexisipConfig::from_value(&value).unwrap();
            assert_eq!(shown(&config.login), expected);
            let debug = format!("{config:?}");
            assert!(
                !debug.contains("hunter2") && !debug.contains("alice"),
                "{debug}"
            );
        }
    }

    #[test]
    fn every_mistake_is_told() {
        let rows = [
            (
                json!({"auth": {"api_key": "a", "token": "b"}}),
                "auth.token",
            ),
            (json!({"auth": {"username": "a"}}), "auth.password"),
            (
                json!({"auth": {"username": "a b", "password": "c"}}),
                "auth.username",
            ),
            (
                json!({"auth": {"username": "a@b@c", "password": "c"}}),
                "auth.username",
            ),
            (
                json!({"auth": {"api_key": "a"}, "host": "sip.example.org", "options": {"tls": false}}),
                "options.tls",
            ),
            (json!({"options": {"path": "api"}}), "options.path"),
            (json!({"options": {"poll": "1ms"}}), "options.poll"),
            (json!({"port": 0}), "port"),
        ];
        for (mut value, path) in rows {
            value
                .as_object_mut()
                .unwrap()
                .insert("type".to_owned(), "flexisip".into());
            let error = FlexisipConfig::from_value(&value).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            let errors = error.config_errors().unwrap();
            assert!(errors.iter().any(|e| e.path == path), "{value} {errors:?}");
        }
    }
}
