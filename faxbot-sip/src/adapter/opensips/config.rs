//! The configuration of the adapter.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use faxbot_core::{
    Result,
    address::{DialTemplate, NumberFormat},
    clock::SharedClock,
    config::{
        ConfigError, ConfigErrors, Field, FieldTable, Kind, UrlScheme, duration, from_url_text,
    },
    http::{ApiClient, HttpClient},
    random::SharedRandom,
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::target::is_uri;
use crate::{
    adapter::{
        http_settings::{self as over_http, HttpSettings, RawHttp, RawHttpAuth},
        settings::{self, RawEvents, Rules},
    },
    driver::{AllowList, DatagramPeer},
};

/// A SIP request ends after `fr_timeout` (5 s) to `fr_inv_timeout` (120 s), a name is looked up before.
const SIP_TIMEOUT: &str = "40s";

/// Every field of the configuration, with its aliases, default and documentation.
#[rustfmt::skip] // One field a line.
pub const FIELDS: FieldTable = FieldTable::new(
    &["opensips"],
    &[
        Field::new("host", Kind::Host, "where `mi_http` is").default("127.0.0.1").server_name("httpd: ip"),
        Field::new("port", Kind::Port, "its port").default("8888").server_name("httpd: port"),
        over_http::path("/mi").server_name("mi_http: root"),
        over_http::TOKEN,
        over_http::USERNAME,
        over_http::PASSWORD,
        over_http::SCHEME,
        over_http::API_KEY,
        over_http::REALM,
        settings::TLS.server_name("httpd: tls_cert_file"),
        settings::TLS_CA,
        settings::TLS_CERTIFICATE,
        settings::TLS_KEY,
        over_http::PLAIN_CREDENTIALS,
        over_http::CONNECTIONS,
        over_http::CONNECTION_WAIT,
        over_http::MAX_ANSWER_BYTES.server_name("httpd: buf_size"),
        Field::new("options.max_request_bytes", Kind::Integer { min: 500, max: 65_000 }, "the longest request over HTTP, in bytes: the server takes about 1,000 until `receive_buf_size` is raised, and holds up what is longer than 16,000").default("16000").server_name("httpd: receive_buf_size"),
        Field::new("options.mi_datagram", Kind::Text, "where `mi_datagram` is, as `udp:127.0.0.1:8889` or `unix:/run/opensips/mi.sock`: for messages and OPTIONS, which over HTTP keep all other requests waiting").server_name("mi_datagram: socket_name"),
        Field::new("options.dial", Kind::Text, "the URI that a number or an extension is called at, with one `{number}`").default_note("`sip:{number}@` and the realm").aliases(&["dial_template"]),
        settings::NUMBER_FORMAT,
        Field::new("options.sender", Kind::Text, "the URI that messages and OPTIONS are from, where a message names no other").default_note("`sip:faxbot@` and the realm"),
        over_http::POLL,
        Field::new("options.page", Kind::Integer { min: 10, max: 1_000_000 }, "dialogs that are asked for at once; a list that the server cannot build is asked for in smaller parts").default("2000"),
        Field::new("options.events", Kind::Secret, "socket that we open for events, as `udp:127.0.0.1:8090`, `tcp:127.0.0.1:8090` or `unix:/run/faxbot/events.sock`; port 0 takes a free one; `given:` and a socket of another module of events, where the application hands over what comes there; without it calls are seen by polling alone").server_name("event_datagram, event_stream"),
        Field::new("options.events_address", Kind::Text, "how the server reaches that socket, where its address is another one for it (`192.0.2.10` or `192.0.2.10:8090`)"),
        Field::new("options.events_allow", Kind::List, "addresses and networks that events are taken from (`10.1.0.0/16`); who sends datagrams can claim any").default_note("this machine, and `host` where that is an address"),
        Field::new("options.event_expire", Kind::Duration { min: Duration::from_secs(10), max: Duration::from_secs(24 * 3600) }, "how long subscriptions last; they are renewed at half of it").default("10m"),
        Field::new("options.event_names", Kind::List, "more events to subscribe to, such as those of `raise_event` in the script; they are passed on as they are"),
        Field::new("options.transfer_leg", Kind::Enum(&["caller", "callee"]), "the party of a call that is sent on by a transfer; the other one is left").default("caller").server_name("call_transfer: leg"),
        Field::new("options.transfer_timeout", Kind::DURATION, "how long a transfer may take to be told of: a party that refuses is not told of at all").default("30s"),
        Field::new("options.sip_timeout", Kind::DURATION, "how long a request may take that the server sends for us").default(SIP_TIMEOUT).server_name("tm: fr_timeout"),
        settings::CONNECT_TIMEOUT,
        settings::REQUEST_TIMEOUT,
        settings::WAIT_FOR_SERVER,
        settings::HANGUP_ON_CLOSE,
        settings::RAW_EVENTS,
    ],
);

/// The URL forms: `opensips+http://127.0.0.1:8888/mi?events=udp:127.0.0.1:0`, and `opensips+https`.
pub const SCHEMES: &[UrlScheme] = &[
    UrlScheme::new("opensips+http", "opensips"),
    UrlScheme::new("opensips+https", "opensips").with_options(&[("tls", "true")]),
];

/// A socket for events. `Debug` does not show one that is given: that of a broker has a password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventSocket {
    /// Datagrams (`event_datagram`).
    Udp(SocketAddr),
    /// Connections that the server makes (`event_stream`).
    Tcp(SocketAddr),
    /// Datagrams on this machine (`event_datagram`).
    Unix(PathBuf),
    /// A socket of another module of events (`event_rabbitmq`, `event_kafka`), as the server is told it.
    /// The application hands over what comes there, by
    /// [`OpenSipsAdapter::event`](super::OpenSipsAdapter::event).
    Given(String),
}

impl fmt::Debug for EventSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => f.debug_tuple("Udp").field(address).finish(),
            Self::Tcp(address) => f.debug_tuple("Tcp").field(address).finish(),
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::Given(_) => f.write_str("Given(***)"),
        }
    }
}

/// The party that a transfer sends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Leg {
    /// Who called.
    Caller,
    /// Who was called.
    Callee,
}

impl Leg {
    /// The server's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// A checked configuration. Make one with [`from_value`](Self::from_value) or
/// [`from_url`](Self::from_url).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenSipsConfig {
    /// How the server is asked over HTTP.
    pub(super) http: HttpSettings,
    /// The longest request over HTTP, in bytes; 16,000 by default.
    pub max_request_bytes: usize,
    /// Where `mi_datagram` is.
    pub mi_datagram: Option<DatagramPeer>,
    /// Where numbers and extensions are called.
    pub dial: DialTemplate,
    /// How a number fills it.
    pub number_format: NumberFormat,
    /// Who messages and OPTIONS are from.
    pub sender: String,
    /// How often the server is asked what is up, where no events tell it; 2 s by default.
    pub poll: Duration,
    /// Dialogs that are asked for at once; 2,000 by default.
    pub page: usize,
    /// The socket that we open for events.
    pub events: Option<EventSocket>,
    /// How the server reaches it.
    pub events_address: Option<String>,
    /// Whose events are taken.
    pub events_allow: AllowList,
    /// How long subscriptions last; 10 min by default.
    pub event_expire: Duration,
    /// More events to subscribe to.
    pub event_names: Vec<String>,
    /// The party that a transfer sends on; the caller by default.
    pub transfer_leg: Leg,
    /// How long a transfer may take to be told of; 30 s by default.
    pub transfer_timeout: Duration,
    /// How long a request may take that the server sends for us; 40 s by default.
    pub sip_timeout: Duration,
    /// How long `connect` may take; 15 s by default.
    pub connect_timeout: Duration,
    /// How long an answer may take; 10 s by default.
    pub request_timeout: Duration,
    /// Go on trying when the first attempt fails.
    pub wait_for_server: bool,
    /// Hang up our calls on disconnect.
    pub hangup_on_close: bool,
    /// Which of the server's events are passed on.
    pub raw_events: RawEvents,
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
    max_request_bytes: usize,
    mi_datagram: Option<String>,
    dial: Option<DialTemplate>,
    #[serde(default)]
    number_format: NumberFormat,
    sender: Option<String>,
    #[serde(with = "duration")]
    poll: Duration,
    page: usize,
    events: Option<String>,
    events_address: Option<String>,
    events_allow: Option<Vec<String>>,
    #[serde(with = "duration")]
    event_expire: Duration,
    #[serde(default)]
    event_names: Vec<String>,
    transfer_leg: Leg,
    #[serde(with = "duration")]
    transfer_timeout: Duration,
    #[serde(with = "duration")]
    sip_timeout: Duration,
    #[serde(with = "duration")]
    connect_timeout: Duration,
    #[serde(with = "duration")]
    request_timeout: Duration,
    wait_for_server: bool,
    hangup_on_close: bool,
    raw_events: RawEvents,
}

impl OpenSipsConfig {
    /// Loads a configuration of any serde format.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_value(value: &Value) -> Result<Self> {
        let raw: Raw = FIELDS.load_with(value, rules)?;
        raw.into_config()
    }

    /// Loads a configuration from a URL.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_value(&from_url_text(url, SCHEMES)?)
    }

    /// Checks a configuration without keeping it.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn validate(value: &Value) -> Result<(), ConfigErrors> {
        FIELDS.load_with::<Raw>(value, rules).map(drop)
    }

    /// Sets where numbers and extensions are called.
    #[must_use]
    pub fn with_dial(mut self, dial: DialTemplate) -> Self {
        self.dial = dial;
        self
    }

    /// The host of `mi_http`.
    pub fn host(&self) -> &str {
        &self.http.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.http.port
    }

    pub(super) fn client(
        &self,
        given: Option<&Arc<dyn HttpClient>>,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<(ApiClient, Url)> {
        self.http.client(given, clock, random, self.request_timeout)
    }
}

impl Raw {
    fn into_config(self) -> Result<OpenSipsConfig> {
        let options = self.options;
        let realm = self
            .realm
            .as_deref()
            .filter(|realm| !realm.eq_ignore_ascii_case("n/a"));
        let domain = in_uri(realm.unwrap_or(&self.host));
        let dial = match options.dial {
            Some(dial) => dial,
            None => format!("sip:{{number}}@{domain}").parse()?,
        };
        let events_allow = match &options.events_allow {
            Some(networks) => AllowList::parse(networks)?,
            None => {
                let host = self
                    .host
                    .parse::<IpAddr>()
                    .ok()
                    .map(|host| host.to_string());
                let machine = ["127.0.0.0/8", "::1"].map(str::to_owned);
                AllowList::parse(machine.into_iter().chain(host))?
            }
        };
        Ok(OpenSipsConfig {
            http: options.http.into_settings(
                self.host,
                self.port,
                self.auth,
                options.connect_timeout,
            ),
            max_request_bytes: options.max_request_bytes,
            mi_datagram: options.mi_datagram.as_deref().and_then(datagram_peer),
            dial,
            number_format: options.number_format,
            sender: options
                .sender
                .unwrap_or_else(|| format!("sip:faxbot@{domain}")),
            poll: options.poll,
            page: options.page,
            events: options.events.as_deref().and_then(event_socket),
            events_address: options.events_address,
            events_allow,
            event_expire: options.event_expire,
            event_names: options.event_names,
            transfer_leg: options.transfer_leg,
            transfer_timeout: options.transfer_timeout,
            sip_timeout: options.sip_timeout,
            connect_timeout: options.connect_timeout,
            request_timeout: options.request_timeout,
            wait_for_server: options.wait_for_server,
            hangup_on_close: options.hangup_on_close,
            raw_events: options.raw_events,
        })
    }
}

/// A host as it stands in a URI.
fn in_uri(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V6(_)) => format!("[{host}]"),
        _ => host.to_owned(),
    }
}

/// An address and a port; `localhost` is the one name.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse().ok(),
        None => text.parse().ok(),
    }
}

fn event_socket(text: &str) -> Option<EventSocket> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "udp" => address(rest).map(EventSocket::Udp),
        "tcp" => address(rest).map(EventSocket::Tcp),
        "unix" => rest
            .starts_with('/')
            .then(|| EventSocket::Unix(rest.into())),
        "given" => (rest.contains(':') && !rest.contains(char::is_whitespace))
            .then(|| EventSocket::Given(rest.to_owned())),
        _ => None,
    }
}

fn datagram_peer(text: &str) -> Option<DatagramPeer> {
    let (kind, rest) = text.split_once(':')?;
    match kind {
        "udp" => address(rest)
            .filter(|it| it.port() != 0)
            .map(DatagramPeer::Udp),
        "unix" => rest
            .starts_with('/')
            .then(|| DatagramPeer::Unix(rest.into())),
        _ => None,
    }
}

/// Whether a text is an address that the server is told: no blank, no slash, which begins a method.
fn is_told(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed)
}

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let mut problems = over_http::rules(value);
    let mut rules = Rules::new(value);
    if let Some(format) = rules.option("number_format")
        && serde_json::from_value::<NumberFormat>(format.clone()).is_err()
    {
        let expected = "e164, digits, national with cc and trunk_prefix, or prefix";
        rules.refuse("number_format", "not a number format", expected);
    }
    rules.number_template("dial", "URI", "sip:{number}@trunk.example");
    let is_scheme = |dial: &str| is_uri(&dial.replace("{number}", "1"));
    if rules.text("dial").is_some_and(|dial| !is_scheme(dial)) {
        let expected = "a URI with one {number}, such as sip:{number}@trunk.example";
        rules.refuse("dial", "not a URI", expected);
    }
    if rules.text("sender").is_some_and(|sender| !is_uri(sender)) {
        rules.refuse(
            "sender",
            "not a URI",
            "a URI such as sip:clinic@example.org",
        );
    }
    let events = rules.text("events");
    let socket = events.and_then(event_socket);
    if events.is_some() && socket.is_none() {
        let expected = "udp:ADDRESS:PORT, tcp:ADDRESS:PORT, unix:/PATH or given:SOCKET, the address as numbers or localhost";
        rules.refuse("events", "not a socket for events", expected);
    }
    let told = rules.text("events_address");
    if told.is_some_and(|told| !is_told(told)) {
        let expected = "an address, with a port behind it where that is another one";
        rules.refuse("events_address", "not an address", expected);
    }
    let everywhere = match &socket {
        Some(EventSocket::Udp(address) | EventSocket::Tcp(address)) => {
            address.ip().is_unspecified()
        }
        _ => false,
    };
    if everywhere && told.is_none() {
        let expected = "the address of this machine as the server reaches it";
        rules.refuse(
            "events_address",
            "missing: nothing can be sent to the address of events",
            expected,
        );
    }
    let datagram = rules.text("mi_datagram");
    if datagram.is_some_and(|text| datagram_peer(text).is_none()) {
        let expected = "udp:ADDRESS:PORT or unix:/PATH, the address as numbers or localhost";
        rules.refuse("mi_datagram", "not the address of mi_datagram", expected);
    }
    let texts = |name: &str| -> Vec<String> {
        let list = value
            .pointer(&format!("/options/{name}"))
            .and_then(Value::as_array);
        let texts = list.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    if AllowList::parse(texts("events_allow")).is_err() {
        let expected = "addresses and networks such as 10.1.0.0/16";
        rules.refuse("events_allow", "not networks", expected);
    }
    if !texts("event_names")
        .iter()
        .all(|name| settings::is_word(name, 64))
    {
        let expected = "names such as E_MY_EVENT";
        rules.refuse("event_names", "not names of events", expected);
    }
    problems.extend(rules.problems());
    problems
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
