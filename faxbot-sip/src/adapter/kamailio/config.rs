//! The configuration of the adapter.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use faxbot_core::{
    Result,
    address::{Address, DialTemplate, NumberFormat, SipUri},
    config::{
        ConfigError, ConfigErrors, Field, FieldTable, Kind, UrlScheme, duration, from_url_text,
    },
};
use serde::Deserialize;
use serde_json::Value;

use crate::adapter::{
    http_settings::{self, HttpSettings, RawHttp, RawHttpAuth},
    settings::{self, RawEvents, Rules},
};

/// Every field of the configuration, with its aliases, default and documentation.
pub const FIELDS: FieldTable = FieldTable::new(
    &["kamailio"],
    &[
        Field::new("host", Kind::Host, "where `xhttp` listens").default("127.0.0.1").server_name("listen"),
        Field::new("port", Kind::Port, "its TCP port").default("5060").server_name("listen"),
        http_settings::TOKEN,
        http_settings::USERNAME,
        http_settings::PASSWORD,
        http_settings::SCHEME,
        http_settings::API_KEY,
        http_settings::REALM,
        http_settings::path("/RPC"),
        settings::TLS,
        settings::TLS_CA,
        settings::TLS_CERTIFICATE,
        settings::TLS_KEY,
        http_settings::CONNECTIONS,
        http_settings::CONNECTION_WAIT,
        http_settings::MAX_ANSWER_BYTES,
        http_settings::PLAIN_CREDENTIALS,
        Field::new("options.rpc_socket", Kind::Text, "datagrams instead of HTTP: the path of a unix socket, or `udp:ADDRESS:PORT`; then host, port, path and credentials are not used").server_name("dgram_socket"),
        Field::new("options.rpc_reply_socket", Kind::Text, "our own socket of these, where the server finds it under the same name; without it a free port, or a new file in the directory for temporary files"),
        Field::new("options.events", Kind::Text, "where `evapi` listens, `HOST:PORT`; without it changes are seen by polling alone").server_name("bind_addr"),
        Field::new("options.dial", Kind::Text, "where a number or an extension is called: a SIP URI with one `{number}`").default_note("`sip:{number}@` and `realm`").aliases(&["dial_template"]),
        settings::NUMBER_FORMAT,
        Field::new("options.outbound_proxy", Kind::Text, "where Kamailio sends the first call of `make_call`, and messages; its own address lets its script route them. Without it the address of each says it"),
        Field::new("options.controller", Kind::Text, "from whom messages come: the URI of `bridge_controller`").default_note("`sip:faxbot@` and `realm`").server_name("bridge_controller"),
        Field::new("options.job_header", Kind::Text, "header that carries our id of a call through the first party's phone; the script names it, too").default("X-Job"),
        Field::new("options.agent_body", Kind::Path, "file with the SDP that the first party is called with; without it Kamailio offers a held stream (0.0.0.0), which some phones refuse"),
        http_settings::POLL,
        settings::CONNECT_TIMEOUT,
        settings::REQUEST_TIMEOUT,
        Field::new("options.sip_timeout", Kind::DURATION, "how long the far end may take to answer a message or an OPTIONS: longer than `fr_timer`, whose end is an answer, too").default("35s").server_name("fr_timer"),
        settings::WAIT_FOR_SERVER,
        settings::HANGUP_ON_CLOSE,
        settings::RAW_EVENTS,
    ],
);

/// The URL forms: `kamailio+http://user:secret@host:5060/RPC?events=127.0.0.1:8448`, or with a bearer
/// token instead of `user:secret`, and `kamailio+https` for TLS.
pub const SCHEMES: &[UrlScheme] = &[
    UrlScheme::new("kamailio+http", "kamailio"),
    UrlScheme::new("kamailio+https", "kamailio").with_options(&[("tls", "true")]),
];

/// Where JSON-RPC is asked in datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RpcSocket {
    /// A unix socket.
    Unix(PathBuf),
    /// A UDP port.
    Udp(SocketAddr),
}

/// A checked configuration. Make one with [`from_value`](Self::from_value) or
/// [`from_url`](Self::from_url).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KamailioConfig {
    /// Where `xhttp` listens; 127.0.0.1 by default.
    pub host: String,
    /// Its port; 5060 by default.
    pub port: u16,
    /// The SIP domain of extensions; the host by default.
    pub realm: String,
    /// Datagrams instead of HTTP.
    pub rpc_socket: Option<RpcSocket>,
    /// Our own socket of these.
    pub rpc_reply_socket: Option<RpcSocket>,
    /// Where `evapi` listens: host and port.
    pub events: Option<(String, u16)>,
    /// Where a number or an extension is called.
    pub dial: DialTemplate,
    /// How a number fills it.
    pub number_format: NumberFormat,
    /// Where Kamailio sends what it sends for us.
    pub outbound_proxy: Option<SipUri>,
    /// From whom messages come.
    pub controller: SipUri,
    /// The header that carries our id of a call; `X-Job` by default.
    pub job_header: String,
    /// The file of the SDP that the first party is called with.
    pub agent_body: Option<PathBuf>,
    /// How often the server is asked what is up; 2 s by default.
    pub poll: Duration,
    /// How long `connect` may take; 15 s by default.
    pub connect_timeout: Duration,
    /// How long an answer may take; 10 s by default.
    pub request_timeout: Duration,
    /// How long the far end of a message may take; 35 s by default.
    pub sip_timeout: Duration,
    /// Go on trying when the first attempt fails.
    pub wait_for_server: bool,
    /// Hang up our calls on disconnect.
    pub hangup_on_close: bool,
    /// Which of the server's events are passed on as they are.
    pub raw_events: RawEvents,
    pub(super) http: HttpSettings,
}

#[derive(Deserialize)]
struct Raw {
    host: String,
    port: u16,
    realm: Option<String>,
    #[serde(default)]
    auth: RawHttpAuth,
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawOptions {
    #[serde(flatten)]
    http: RawHttp,
    rpc_socket: Option<String>,
    rpc_reply_socket: Option<String>,
    events: Option<String>,
    dial: Option<DialTemplate>,
    #[serde(default)]
    number_format: NumberFormat,
    outbound_proxy: Option<SipUri>,
    controller: Option<SipUri>,
    job_header: String,
    agent_body: Option<PathBuf>,
    #[serde(with = "duration")]
    poll: Duration,
    #[serde(with = "duration")]
    connect_timeout: Duration,
    #[serde(with = "duration")]
    request_timeout: Duration,
    #[serde(with = "duration")]
    sip_timeout: Duration,
    wait_for_server: bool,
    hangup_on_close: bool,
    raw_events: RawEvents,
}

impl KamailioConfig {
    /// Loads a configuration of any serde format.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_value(value: &Value) -> Result<Self> {
        let raw: Raw = FIELDS.load_with(value, rules)?;
        Ok(raw.into_config()?)
    }

    /// Loads a configuration from a URL.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_url(url: &str) -> Result<Self> {
        let mut value = from_url_text(url, SCHEMES)?;
        if let Some(Value::Object(auth)) = value.get_mut("auth")
            && !auth.contains_key("password")
            && let Some(token) = auth.remove("username")
        {
            auth.insert("token".to_owned(), token);
        }
        Self::from_value(&value)
    }

    /// Checks a configuration without keeping it.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn validate(value: &Value) -> Result<(), ConfigErrors> {
        let raw: Raw = FIELDS.load_with(value, rules)?;
        raw.into_config().map(drop)
    }

    /// Sets where numbers and extensions are called.
    #[must_use]
    pub fn with_dial(mut self, dial: DialTemplate) -> Self {
        self.dial = dial;
        self
    }
}

impl Raw {
    /// # Errors
    /// Where a default made of the realm is no address.
    fn into_config(self) -> Result<KamailioConfig, ConfigErrors> {
        let options = self.options;
        let given = self
            .realm
            .filter(|realm| !realm.eq_ignore_ascii_case("n/a"));
        let realm = match given {
            Some(realm) => realm,
            None if self.host.contains(':') => format!("[{}]", self.host),
            None => self.host.clone(),
        };
        let no_domain =
            || ConfigError::new("realm", "not a SIP domain", "a host, with a port at most");
        let dial = match options.dial {
            Some(dial) => dial,
            None => format!("sip:{}@{realm}", DialTemplate::MARK)
                .parse()
                .map_err(|_| no_domain())?,
        };
        let controller = match options.controller {
            Some(controller) => controller,
            None => format!("sip:faxbot@{realm}")
                .parse()
                .map_err(|_| no_domain())?,
        };
        let http = options.http.into_settings(
            self.host.clone(),
            self.port,
            self.auth,
            options.connect_timeout,
        );
        Ok(KamailioConfig {
            host: self.host,
            port: self.port,
            realm,
            rpc_socket: options.rpc_socket.as_deref().and_then(rpc_socket),
            rpc_reply_socket: options.rpc_reply_socket.as_deref().and_then(rpc_socket),
            events: options.events.as_deref().and_then(host_and_port),
            dial,
            number_format: options.number_format,
            outbound_proxy: options.outbound_proxy,
            controller,
            job_header: options.job_header,
            agent_body: options.agent_body,
            poll: options.poll,
            connect_timeout: options.connect_timeout,
            request_timeout: options.request_timeout,
            sip_timeout: options.sip_timeout,
            wait_for_server: options.wait_for_server,
            hangup_on_close: options.hangup_on_close,
            raw_events: options.raw_events,
            http,
        })
    }
}

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let mut rules = Rules::new(value);
    rules.common();
    rules.number_template("dial", "address", "sip:{number}@proxy.example");
    let dial = rules.text("dial");
    let example = "15550100".parse::<Address>().ok();
    let filled = dial
        .and_then(|dial| dial.parse::<DialTemplate>().ok())
        .zip(example)
        .map(|(dial, number)| dial.fill(&number, &NumberFormat::default()));
    if filled.is_some_and(|filled| !filled.is_ok_and(|uri| uri.parse::<SipUri>().is_ok())) {
        let expected = "a SIP URI with one {number}, such as sip:{number}@proxy.example";
        rules.refuse("dial", "not a SIP URI", expected);
    }
    for name in ["outbound_proxy", "controller"] {
        if rules
            .text(name)
            .is_some_and(|uri| uri.parse::<SipUri>().is_err())
        {
            rules.refuse(name, "not a SIP URI", "sip:host:port or sip:user@host");
        }
    }
    rules.words(&["job_header"]);
    if rules
        .text("events")
        .is_some_and(|events| host_and_port(events).is_none())
    {
        rules.refuse("events", "not a host with a port", "HOST:PORT");
    }
    for name in ["rpc_socket", "rpc_reply_socket"] {
        if rules
            .text(name)
            .is_some_and(|socket| rpc_socket(socket).is_none())
        {
            let expected = "an absolute path, or udp:ADDRESS:PORT";
            rules.refuse(name, "not a socket", expected);
        }
    }
    let mut problems = rules.problems();
    problems.extend(http_settings::rules(value));
    // Both look at the pair of certificate and key.
    problems.dedup_by(|a, b| a.path == b.path);
    problems
}

/// The rules of a host, as those of a field.
const HOST: FieldTable = FieldTable::new(&[], &[Field::new("host", Kind::Host, "a host")]);

fn rpc_socket(text: &str) -> Option<RpcSocket> {
    if let Some(address) = text.strip_prefix("udp:") {
        return Some(RpcSocket::Udp(address.parse().ok()?));
    }
    let path = Path::new(text.strip_prefix("unix:").unwrap_or(text));
    path.is_absolute()
        .then(|| RpcSocket::Unix(path.to_path_buf()))
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let text = text.strip_prefix("tcp:").unwrap_or(text);
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    HOST.validate(&serde_json::json!({ "host": host })).ok()?;
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::adapter::http_settings::Credentials;

    #[test]
    fn a_url_and_a_value_give_the_same() {
        let config = KamailioConfig::from_url(
            "kamailio+http://faxbot:s3cret@127.0.0.1:7101/RPC?events=127.0.0.1:7102&realm=sip.example&outbound_proxy=sip:127.0.0.1:7100&poll=500ms",
        )
        .unwrap();
        assert_eq!((config.realm.as_str(), config.port), ("sip.example", 7101));
        assert_eq!(config.dial.to_string(), "sip:{number}@sip.example");
        assert_eq!(
            config.outbound_proxy.as_ref().map(SipUri::expose),
            Some("sip:127.0.0.1:7100")
        );
        assert!(!format!("{config:?}").contains("s3cret"));
        let bearer = KamailioConfig::from_url("kamailio+http://t0ken@127.0.0.1").unwrap();
        assert!(matches!(bearer.http.credentials, Credentials::Token(_)));
        assert!(matches!(config.http.credentials, Credentials::Basic(..)));
        let config = KamailioConfig::from_value(&json!({
            "type": "kamailio", "host": "proxy.example", "realm": "sip.example",
            "auth": { "token": "t0ken" },
            "options": {
                "tls": true, "events": "[::1]:8448", "poll": "500ms",
                "dial": "sip:{number}@trunk.example;user=phone",
                "outbound_proxy": "sip:10.0.0.1:5060", "rpc_socket": "udp:127.0.0.1:8447",
            },
        }))
        .unwrap();
        assert_eq!(config.events, Some(("::1".to_owned(), 8448)));
        assert_eq!(config.poll, Duration::from_millis(500));
        assert_eq!(config.controller.expose(), "sip:faxbot@sip.example");
        assert_eq!(
            config.rpc_socket,
            Some(RpcSocket::Udp("127.0.0.1:8447".parse().unwrap()))
        );
        assert_eq!(config.job_header, "X-Job");
        assert!(!format!("{config:?}").contains("t0ken"));
    }

    #[test]
    fn what_stands_alone_before_the_host_is_a_bearer_token() {
        let config = KamailioConfig::from_url("kamailio+http://t0ken@127.0.0.1:7101/RPC").unwrap();
        let value = json!({ "port": 7101, "auth": { "token": "t0ken" } });
        let same = KamailioConfig::from_value(&value).unwrap();
        assert_eq!(format!("{:?}", config.http), format!("{:?}", same.http));
        assert!(!format!("{config:?}").contains("t0ken"));
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let config = KamailioConfig::from_url("kamailio+http://127.0.0.1").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("127.0.0.1", 5060));
        assert_eq!(config.dial.to_string(), "sip:{number}@127.0.0.1");
        assert_eq!(config.http.path, "/RPC");
        assert!(config.http.tls.is_none() && config.events.is_none());
        let config = KamailioConfig::from_url("kamailio+https://k.example:5061/x").unwrap();
        assert!(config.http.tls.is_some());
        assert_eq!(config.http.path, "/x");
    }

    #[test]
    fn wrong_options_are_all_told_at_once() {
        let value = json!({
            "options": {
                "dial": "tel:{number}", "outbound_proxy": "10.0.0.1", "controller": "me",
                "job_header": "X Job", "events": "8448", "rpc_socket": "relative",
            },
        });
        let errors = KamailioConfig::validate(&value).unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| error.path.clone()).collect();
        assert_eq!(
            paths,
            [
                "options.dial",
                "options.outbound_proxy",
                "options.controller",
                "options.job_header",
                "options.events",
                "options.rpc_socket"
            ]
        );
    }

    #[test]
    fn where_events_come_from_is_a_host_with_a_port() {
        for (text, wanted) in [
            ("127.0.0.1:8448", Some(("127.0.0.1", 8448))),
            ("tcp:kamailio:8448", Some(("kamailio", 8448))),
            ("[::1]:8448", Some(("::1", 8448))),
            ("127.0.0.1:0", None),
            ("127.0.0.1", None),
            ("a b:1", None),
            (":8448", None),
        ] {
            let found = host_and_port(text);
            let found = found.as_ref().map(|(host, port)| (host.as_str(), *port));
            assert_eq!(found, wanted, "{text}");
        }
    }
}
