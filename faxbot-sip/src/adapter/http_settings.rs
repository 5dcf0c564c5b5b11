//! What the configurations of adapters over HTTP share: fields, the rules that concern several of them,
//! and the client that they ask for.

use std::{fmt, fs, net::IpAddr, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use faxbot_core::{
    Error, ErrorKind, Result, Secret,
    clock::SharedClock,
    config::{ConfigError, Field, Kind, duration},
    http::{
        ApiClient, Auth, Digest, HttpClient, HttpRequest, HttpResponse, ReqwestClient,
        ReqwestClientBuilder,
    },
    random::SharedRandom,
};
use http::HeaderName;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::settings::{RawTls, Rules, TlsConfig};

/// The header of an API key.
const API_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

pub(crate) const TOKEN: Field = Field::new(
    "auth.token",
    Kind::Secret,
    "sent as `Authorization: Bearer`; instead of a user and a password",
);
pub(crate) const USERNAME: Field = Field::new(
    "auth.username",
    Kind::Text,
    "the user of basic or digest authentication",
)
.aliases(&["user"]);
pub(crate) const PASSWORD: Field =
    Field::new("auth.password", Kind::Secret, "its password").aliases(&["secret"]);
pub(crate) const SCHEME: Field = Field::new(
    "auth.scheme",
    Kind::Enum(&["basic", "digest"]),
    "how user and password are sent (RFC 7617, RFC 7616)",
)
.default("basic");
pub(crate) const API_KEY: Field = Field::new(
    "auth.api_key",
    Kind::Secret,
    "sent as `X-Api-Key`; instead of a user and a password",
)
.aliases(&["apikey"]);
pub(crate) const REALM: Field = Field::new(
    "realm",
    Kind::Text,
    "the SIP domain of extensions: `1001` is `sip:1001@` and this; `n/a` is none",
)
.aliases(&["domain"])
.default_note("the value of `host`");
pub(crate) const CONNECTIONS: Field = Field::new(
    "options.connections",
    Kind::Integer { min: 1, max: 64 },
    "requests at the same time, each on a connection of its own",
)
.default("4");
pub(crate) const CONNECTION_WAIT: Field = Field::new(
    "options.connection_wait",
    Kind::DURATION,
    "how long a request waits for one of them",
)
.default("5s");
pub(crate) const POLL: Field = Field::new(
    "options.poll",
    Kind::Duration {
        min: Duration::from_millis(100),
        max: Duration::from_secs(3600),
    },
    "how often the server is asked what is up",
)
.default("2s");
pub(crate) const MAX_ANSWER_BYTES: Field = Field::new(
    "options.max_answer_bytes",
    Kind::Integer {
        min: 1024,
        max: 1024 * 1024 * 1024,
    },
    "the longest answer that is read, in bytes; a dialog takes about 1,000",
)
.default("16777216");
pub(crate) const PLAIN_CREDENTIALS: Field = Field::new(
    "options.plain_credentials",
    Kind::Bool,
    "send credentials to another machine without TLS, where everybody between reads them",
)
.default("false");

/// The path of the server's interface.
pub(crate) const fn path(default: &'static str) -> Field {
    Field::new(
        "options.path",
        Kind::Path,
        "path that the server answers at",
    )
    .default(default)
}

/// Who we are to the server. `Debug` shows the kind alone.
#[derive(Clone, Default)]
pub(crate) enum Credentials {
    #[default]
    None,
    Token(Secret),
    ApiKey(Secret),
    Basic(String, Secret),
    Digest(String, Secret),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(..)",
            Self::ApiKey(_) => "ApiKey(..)",
            Self::Basic(..) => "Basic(..)",
            Self::Digest(..) => "Digest(..)",
        })
    }
}

/// How a server is asked over HTTP.
#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) tls: Option<TlsConfig>,
    pub(crate) credentials: Credentials,
    pub(crate) connect_timeout: Duration,
    pub(crate) connections: NonZeroUsize,
    pub(crate) connection_wait: Duration,
    pub(crate) max_answer_bytes: u64,
    pub(crate) plain_credentials: bool,
}

/// The fields of the section `auth`.
#[derive(Default, Deserialize)]
pub(crate) struct RawHttpAuth {
    token: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    scheme: Option<String>,
    api_key: Option<Secret>,
}

/// To be flattened into the options.
#[derive(Deserialize)]
pub(crate) struct RawHttp {
    path: String,
    #[serde(flatten)]
    tls: RawTls,
    connections: NonZeroUsize,
    #[serde(with = "duration")]
    connection_wait: Duration,
    max_answer_bytes: u64,
    plain_credentials: bool,
}

impl RawHttp {
    pub(crate) fn into_settings(
        self,
        host: String,
        port: u16,
        auth: RawHttpAuth,
        connect_timeout: Duration,
    ) -> HttpSettings {
        HttpSettings {
            host,
            port,
            path: self.path,
            tls: self.tls.into_config(),
            credentials: auth.into_credentials(),
            connect_timeout,
            connections: self.connections,
            connection_wait: self.connection_wait,
            max_answer_bytes: self.max_answer_bytes,
            plain_credentials: self.plain_credentials,
        }
    }
}

impl RawHttpAuth {
    /// The rules let one of them through.
    fn into_credentials(self) -> Credentials {
        let digest = self.scheme.as_deref() == Some("digest");
        match (self.token, self.api_key, self.username, self.password) {
            (Some(token), ..) => Credentials::Token(token),
            (_, Some(key), ..) => Credentials::ApiKey(key),
            (_, _, Some(user), Some(password)) if digest => Credentials::Digest(user, password),
            (_, _, Some(user), Some(password)) => Credentials::Basic(user, password),
            _ => Credentials::None,
        }
    }
}

impl HttpSettings {
    /// The client of the server, and the address that it answers at. Opens nothing.
    ///
    /// `request_timeout` is that of most requests. A connection gets half of it at most: a host that
    /// swallows packets must show as one that is not there, and not as a request that has no answer.
    ///
    /// # Errors
    /// `Config` when a file of TLS cannot be used.
    pub(crate) fn client(
        &self,
        given: Option<&Arc<dyn HttpClient>>,
        clock: SharedClock,
        random: SharedRandom,
        request_timeout: Duration,
    ) -> Result<(ApiClient, Url)> {
        let url = self.url()?;
        let http = match given {
            Some(given) => Arc::clone(given),
            None => Arc::new(self.own_client(request_timeout)?),
        };
        let http = Arc::new(Bounded {
            http,
            max_answer_bytes: self.max_answer_bytes,
        });
        let mut base = url.clone();
        base.set_path("/");
        let mut api = ApiClient::over_plain_http(http, base, clock, random)?
            .with_auth(self.auth())
            .with_connections(self.connections, self.connection_wait);
        if self.plain_credentials {
            api = api.with_plain_credentials();
        }
        Ok((api, url))
    }

    fn url(&self) -> Result<Url> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let name = self.host.as_str();
        let host = match name.parse() {
            Ok(IpAddr::V6(_)) => format!("[{name}]"),
            _ => name.to_owned(),
        };
        let wrong = |message| Error::new(ErrorKind::Config, "connect", message);
        let mut url: Url = format!("{scheme}://{host}:{}/", self.port)
            .parse()
            .map_err(|_| wrong("the host cannot be part of an address"))?;
        url.set_path(&self.path);
        Ok(url)
    }

    fn auth(&self) -> Auth {
        match &self.credentials {
            Credentials::None => Auth::None,
            Credentials::Token(token) => Auth::Bearer(token.clone()),
            Credentials::ApiKey(key) => Auth::Header {
                name: API_KEY_HEADER,
                value: key.clone(),
            },
            Credentials::Basic(user, password) => Auth::basic(user.clone(), password.clone()),
            Credentials::Digest(user, password) => {
                Auth::Digest(Digest::new(user.clone(), password.clone()))
            }
        }
    }

    fn own_client(&self, request_timeout: Duration) -> Result<ReqwestClient> {
        let connect_timeout = self.connect_timeout.min(request_timeout / 2);
        let mut builder = ReqwestClient::builder().connect_timeout(connect_timeout);
        if let Some(tls) = &self.tls {
            builder = with_tls(builder, tls)?;
        }
        builder.build()
    }
}

fn with_tls(mut builder: ReqwestClientBuilder, tls: &TlsConfig) -> Result<ReqwestClientBuilder> {
    if tls.server_name.is_some() {
        let message = "over http the certificate is checked for the host, and for no other name";
        return Err(Error::new(ErrorKind::Config, "connect", message));
    }
    if let Some(ca) = &tls.ca {
        // As over TCP: these, and nobody else.
        builder = builder
            .system_roots(false)
            .add_root_pem(&read(ca, "cannot read the tls ca file")?)?;
    }
    if let Some((chain, key)) = &tls.client {
        let chain = read(chain, "cannot read the tls client certificate")?;
        let key = read(key, "cannot read the tls client key")?;
        builder = builder.identity_pem(&chain, &key)?;
    }
    Ok(builder)
}

fn read(file: &Path, message: &'static str) -> Result<Vec<u8>> {
    let wrong = |error| Error::new(ErrorKind::Config, "connect", message).with_source(error);
    fs::read(file).map_err(wrong)
}

/// A client whose answers have the configured limit.
struct Bounded {
    http: Arc<dyn HttpClient>,
    max_answer_bytes: u64,
}

#[async_trait]
impl HttpClient for Bounded {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        let request = request.with_max_response_bytes(self.max_answer_bytes);
        self.http.execute(request).await
    }
}

impl fmt::Debug for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.http.fmt(f)
    }
}

/// What concerns several of these fields, or the inside of one. `value` is in the canonical shape.
pub(crate) fn rules(value: &Value) -> Vec<ConfigError> {
    let mut rules = Rules::new(value);
    rules.tls_pair();
    if rules.text("path").is_some_and(|path| !is_path(path)) {
        let expected = "a path such as /RPC: from a slash on, without ?, # and blanks";
        rules.refuse("path", "not the path of an address", expected);
    }
    let mut problems = rules.problems();
    let auth = |name: &str| value.get("auth").and_then(|auth| auth.get(name));
    let (token, key) = (auth("token").is_some(), auth("api_key").is_some());
    let (user, password) = (auth("username"), auth("password"));
    let login = user.is_some() || password.is_some();
    let mut refuse = |path: &str, problem: &str, expected: &str| {
        problems.push(ConfigError::new(path, problem, expected));
    };
    if [token, key, login].iter().filter(|it| **it).count() > 1 {
        let place = if token { "auth.token" } else { "auth.api_key" };
        let expected = "one of token, api_key, and username with password";
        refuse(place, "several credentials", expected);
    }
    if login && (user.is_none() || password.is_none()) {
        let (missing, other) = match user {
            None => ("auth.username", "auth.password"),
            Some(_) => ("auth.password", "auth.username"),
        };
        refuse(missing, "missing", &format!("it with {other}, or neither"));
    }
    let basic = auth("scheme").and_then(Value::as_str) != Some("digest");
    let user = user.and_then(Value::as_str).unwrap_or_default();
    if basic && user.contains(':') {
        let expected = "a user without a colon (RFC 7617), or the scheme digest";
        refuse("auth.username", "has a colon", expected);
    }
    let is = |name: &str| value.pointer(name).and_then(Value::as_bool) == Some(true);
    let plain = !is("/options/tls") && !is("/options/plain_credentials");
    let host = value.get("host").and_then(Value::as_str);
    if (token || key || login) && plain && host.is_some_and(|host| !is_this_machine(host)) {
        let expected = "options.tls, or options.plain_credentials where nobody between reads along";
        let problem = "credentials would go to another machine without TLS";
        refuse("options.tls", problem, expected);
    }
    problems
}

/// Whether a text is the path of an address, and nothing else of one.
fn is_path(path: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || "?#\\".contains(c);
    let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
    path.starts_with('/') && !path.starts_with("//") && !path.contains(forbidden) && !climbs
}

/// Whether a host is this machine, as the client sees it: nobody between reads along.
fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[path = "http_settings_tests.rs"]
mod tests;
