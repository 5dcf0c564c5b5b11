//! The configuration of the Asterisk adapter.

use std::{path::PathBuf, time::Duration};

use faxbot_core::{
    Result, Secret,
    address::{DialTemplate, NumberFormat},
    config::{
        ConfigError, ConfigErrors, Field, FieldTable, Kind, UrlScheme, duration, from_url_text,
    },
    fax::StationId,
};
use serde::Deserialize;
use serde_json::Value;

/// Every field of the configuration, with its aliases, default and documentation.
pub const FIELDS: FieldTable = FieldTable::new(
    &["asterisk", "elastix"],
    &[
        Field::new("host", Kind::Host, "where Asterisk's manager listens").default("127.0.0.1").server_name("bindaddr"),
        Field::new("port", Kind::Port, "port of the manager").default("5038").server_name("port"),
        Field::new("auth.username", Kind::Text, "manager account").aliases(&["user"]).required().server_name("section name in manager.conf"),
        Field::new("auth.password", Kind::Secret, "secret of the account").aliases(&["secret"]).required().server_name("secret"),
        Field::new("options.login", Kind::Enum(&["md5", "plain"]), "how the secret is proven; `plain` sends it as it is").default("md5"),
        Field::new("options.tls", Kind::Bool, "TLS from the first byte").default("false").server_name("tlsenable, tlsbindaddr"),
        Field::new("options.tls_ca", Kind::Path, "PEM file of the authorities that may sign the server's certificate; without it those of the system"),
        Field::new("options.tls_certificate", Kind::Path, "PEM file of our own certificate chain"),
        Field::new("options.tls_key", Kind::Path, "PEM file of its key"),
        Field::new("options.tls_server_name", Kind::Host, "name that the server's certificate must hold; without it the host"),
        Field::new("options.instance", Kind::Text, "names what we leave at the server, so that several processes can share it: 1 to 24 letters, digits or `_`").default("faxbot"),
        Field::new("options.dial", Kind::Text, "dial string of a number or an extension, with one `{number}`").default("PJSIP/{number}").aliases(&["dial_template"]).server_name("Channel"),
        Field::new("options.number_format", Kind::Any, "how `{number}` is filled from a number: `e164`, `digits`, `{\"national\": {\"cc\", \"trunk_prefix\"}}`, `{\"prefix\": \"...\"}`"),
        Field::new("options.sip_dial", Kind::Text, "dial string of a SIP URI, with one `{uri}` (`PJSIP/endpoint/{uri}`); without it URIs cannot be dialled").server_name("Channel"),
        Field::new("options.context", Kind::Text, "dialplan context of an extension that names none").default("default").server_name("Context"),
        Field::new("options.connect_timeout", Kind::DURATION, "how long `connect` may take, login and set-up included").default("15s"),
        Field::new("options.request_timeout", Kind::DURATION, "how long an answer of the manager may take").default("10s"),
        Field::new("options.keepalive", Kind::DURATION, "a silent connection is asked after this long").default("15s"),
        Field::new("options.wait_for_server", Kind::Bool, "go on trying when the first attempt to connect fails").default("false"),
        Field::new("options.hangup_on_close", Kind::Bool, "hang up our calls on disconnect").default("false"),
        Field::new("options.dialplan_context", Kind::Text, "the adapter's own extensions, that calls are sent to and that keep their outcome: `auto` makes them at run time, a name is a context of your dialplan, `off` does without").default("auto"),
        Field::new("options.spool", Kind::Path, "directory for the pages, as we see it; without it no fax can be sent"),
        Field::new("options.spool_remote", Kind::Path, "the same directory as Asterisk sees it").default_note("as `spool`"),
        Field::new("options.spool_group", Kind::Text, "group of the files, by name or number, that Asterisk's user belongs to; without it the directory's own rule holds"),
        Field::new("options.incoming_context", Kind::Text, "dialplan context whose calls wait in `AGI(agi:async)` for our decision; without it no incoming call is taken"),
        Field::new("options.incoming_deadline", Kind::DURATION, "an incoming call that nobody decided on is rejected after this long").default("20s"),
        Field::new("options.incoming_headers", Kind::Text, "names of SIP headers that an incoming call is told with, separated by commas"),
        Field::new("options.station_id", Kind::Text, "what we call ourselves to the sender of a fax: 1 to 20 digits, letters, `+` or blanks"),
        Field::new("options.recordings", Kind::Path, "directory of recordings, as Asterisk sees it; without it Asterisk's own `monitor` directory").server_name("MixMonitor"),
        Field::new("options.music", Kind::Text, "class of the music that a held call hears").default("default").server_name("musiconhold.conf"),
        Field::new("options.message_to", Kind::Text, "destination of a message to a number or an extension, with one `{number}`").default("pjsip:{number}").server_name("Destination"),
        Field::new("options.sip_message_to", Kind::Text, "destination of a message to a SIP URI, with one `{uri}` (`pjsip:endpoint/{uri}`); without it messages to URIs cannot be sent").server_name("Destination"),
        Field::new("options.presence", Kind::Bool, "tell of every change of a device or an extension that has a hint").default("true"),
        Field::new("options.raw_events", Kind::Enum(&["unknown", "all", "off"]), "which of the server's events are passed on as they are: those without a form of ours, all, or none").default("unknown"),
        Field::new("options.fax_poll", Kind::DURATION, "how often the progress of running faxes is asked for").default("2s"),
    ],
);

/// The URL forms: `ami://user:secret@host:5038?dial=PJSIP/{number}@trunk`, `amis://` for TLS.
pub const SCHEMES: &[UrlScheme] = &[
    UrlScheme::new("ami", "asterisk"),
    UrlScheme::new("amis", "asterisk").with_options(&[("tls", "true")]),
];

/// A checked configuration. Make one with [`from_value`](Self::from_value) or
/// [`from_url`](Self::from_url).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AsteriskConfig {
    /// Where the manager listens; 127.0.0.1 by default.
    pub host: String,
    /// Its port; 5038 by default.
    pub port: u16,
    /// The manager account.
    pub username: String,
    /// Its secret.
    pub password: Secret,
    /// Prove the secret by MD5 challenge (the default) instead of sending it.
    pub md5: bool,
    /// TLS, and how the server is checked.
    pub tls: Option<AsteriskTls>,
    /// Names what we leave at the server; `faxbot` by default.
    pub instance: String,
    /// The dial string of a number or an extension.
    pub dial: DialTemplate,
    /// How a number fills it.
    pub number_format: NumberFormat,
    /// The dial string of a SIP URI: the text before and after it.
    pub sip_dial: Option<(String, String)>,
    /// The dialplan context of an extension that names none.
    pub context: String,
    /// How long `connect` may take; 15 s by default.
    pub connect_timeout: Duration,
    /// How long an answer may take; 10 s by default.
    pub request_timeout: Duration,
    /// A silent connection is asked after this long; 15 s by default.
    pub keepalive: Duration,
    /// Go on trying when the first attempt fails.
    pub wait_for_server: bool,
    /// Hang up our calls on disconnect.
    pub hangup_on_close: bool,
    /// Where outcomes are written.
    pub dialplan: DialplanContext,
    /// Where pages are put; without it no fax can be sent.
    pub spool: Option<SpoolConfig>,
    /// The dialplan context whose calls wait for our decision.
    pub incoming_context: Option<String>,
    /// An incoming call that nobody decided on is rejected after this long; 20 s by default.
    pub incoming_deadline: Duration,
    /// Names of SIP headers that an incoming call is told with.
    pub incoming_headers: Vec<String>,
    /// What we call ourselves to the sender of a fax.
    pub station_id: Option<StationId>,
    /// The directory of recordings as Asterisk sees it, without a slash at its end.
    pub recordings: Option<String>,
    /// The class of the music that a held call hears.
    pub music: String,
    /// The destination of a message to a number or an extension.
    pub message_to: DialTemplate,
    /// The destination of a message to a SIP URI: the text before and after it.
    pub sip_message_to: Option<(String, String)>,
    /// Tell of every change of a device or an extension; on by default.
    pub presence: bool,
    /// Which of the server's events are passed on as they are.
    pub raw_events: RawEvents,
    /// How often the progress of running faxes is asked for; 2 s by default.
    pub fax_poll: Duration,
}

/// TLS of the manager.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AsteriskTls {
    /// Authorities that may sign the server's certificate; those of the system by default.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must hold; the host by default.
    pub server_name: Option<String>,
}

/// Where the outcome of a call is written when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialplanContext {
    /// An extension that the adapter makes at run time. Needs the `system` write class.
    Auto,
    /// A context that the operator wrote: the snippet is in the docs of the adapter.
    Named(String),
    /// Nothing is kept: the outcome of a call that ends while the link is down is unknown.
    Off,
}

/// Which events of the server become [`SipEvent::Raw`](faxbot_core::sip::SipEvent::Raw).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RawEvents {
    /// Those that have no form of ours.
    Unknown,
    /// All, also those that were understood.
    All,
    /// None; the server is asked for less, too.
    Off,
}

/// One directory as we and as Asterisk see it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolConfig {
    /// As we see it.
    pub local: PathBuf,
    /// As Asterisk sees it, without a slash at its end.
    pub remote: String,
    /// The group of the files, by name or number.
    pub group: Option<String>,
}

impl std::fmt::Debug for SpoolConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpoolConfig")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Raw {
    host: String,
    port: u16,
    auth: RawAuth,
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawAuth {
    username: String,
    password: Secret,
}

#[derive(Deserialize)]
struct RawOptions {
    login: String,
    tls: bool,
    tls_ca: Option<PathBuf>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_server_name: Option<String>,
    instance: String,
    dial: DialTemplate,
    #[serde(default)]
    number_format: NumberFormat,
    sip_dial: Option<String>,
    context: String,
    #[serde(with = "duration")]
    connect_timeout: Duration,
    #[serde(with = "duration")]
    request_timeout: Duration,
    #[serde(with = "duration")]
    keepalive: Duration,
    wait_for_server: bool,
    hangup_on_close: bool,
    dialplan_context: String,
    spool: Option<PathBuf>,
    spool_remote: Option<String>,
    spool_group: Option<String>,
    incoming_context: Option<String>,
    #[serde(with = "duration")]
    incoming_deadline: Duration,
    incoming_headers: Option<String>,
    station_id: Option<StationId>,
    recordings: Option<String>,
    music: String,
    message_to: DialTemplate,
    sip_message_to: Option<String>,
    presence: bool,
    raw_events: RawEvents,
    #[serde(with = "duration")]
    fax_poll: Duration,
}

impl AsteriskConfig {
    /// Loads a configuration of any serde format.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_value(value: &Value) -> Result<Self> {
        let raw: Raw = FIELDS.load_with(value, rules)?;
        Ok(raw.into_config())
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

    /// Sets the dial string of numbers and extensions.
    #[must_use]
    pub fn with_dial(mut self, dial: DialTemplate) -> Self {
        self.dial = dial;
        self
    }

    /// Sets the directory of the pages, as we and as Asterisk see it. A group that was configured
    /// stays.
    #[must_use]
    pub fn with_spool(mut self, local: impl Into<PathBuf>, remote: impl Into<String>) -> Self {
        let remote: String = remote.into();
        let remote = remote.trim_end_matches('/').to_owned();
        self.spool = Some(SpoolConfig {
            local: local.into(),
            remote,
            group: self.spool.take().and_then(|spool| spool.group),
        });
        self
    }
}

impl Raw {
    fn into_config(self) -> AsteriskConfig {
        let options = self.options;
        let tls = options.tls.then(|| AsteriskTls {
            ca: options.tls_ca,
            client: options.tls_certificate.zip(options.tls_key),
            server_name: options.tls_server_name,
        });
        let sip_dial = options
            .sip_dial
            .as_deref()
            .and_then(|dial| dial.split_once(URI));
        let sip_message_to = options
            .sip_message_to
            .as_deref()
            .and_then(|to| to.split_once(URI));
        let headers = options.incoming_headers.unwrap_or_default();
        let headers = headers.split(',').map(str::trim);
        let remote = options.spool_remote;
        let spool = options.spool.map(|local| SpoolConfig {
            remote: remote
                .unwrap_or_else(|| local.to_string_lossy().into_owned())
                .trim_end_matches('/')
                .to_owned(),
            local,
            group: options.spool_group,
        });
        AsteriskConfig {
            host: self.host,
            port: self.port,
            username: self.auth.username,
            password: self.auth.password,
            md5: options.login == "md5",
            tls,
            instance: options.instance,
            sip_dial: sip_dial.map(|(before, after)| (before.to_owned(), after.to_owned())),
            dial: options.dial,
            number_format: options.number_format,
            context: options.context,
            connect_timeout: options.connect_timeout,
            request_timeout: options.request_timeout,
            keepalive: options.keepalive,
            wait_for_server: options.wait_for_server,
            hangup_on_close: options.hangup_on_close,
            dialplan: match options.dialplan_context.as_str() {
                "auto" => DialplanContext::Auto,
                "off" => DialplanContext::Off,
                name => DialplanContext::Named(name.to_owned()),
            },
            spool,
            incoming_context: options.incoming_context,
            incoming_deadline: options.incoming_deadline,
            incoming_headers: headers
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            station_id: options.station_id,
            recordings: options
                .recordings
                .map(|path| path.trim_end_matches('/').to_owned()),
            music: options.music,
            message_to: options.message_to,
            sip_message_to: sip_message_to
                .map(|(before, after)| (before.to_owned(), after.to_owned())),
            presence: options.presence,
            raw_events: options.raw_events,
            fax_poll: options.fax_poll,
        }
    }
}

const URI: &str = "{uri}";

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let option = |name: &str| value.get("options").and_then(|options| options.get(name));
    let text = |name: &str| option(name).and_then(Value::as_str);
    let mut problems = Vec::new();
    let mut refuse = |name: &str, problem: &str, expected: &str| {
        problems.push(ConfigError::new(
            format!("options.{name}"),
            problem,
            expected,
        ));
    };
    if text("instance").is_some_and(|instance| !is_word(instance, 24)) {
        refuse(
            "instance",
            "not a short name",
            "1 to 24 letters, digits or _",
        );
    }
    for name in ["context", "dialplan_context", "incoming_context", "music"] {
        if text(name).is_some_and(|context| !is_word(context, 79)) {
            refuse(
                name,
                "not a name of the server's configuration",
                "1 to 79 letters, digits, _ or -",
            );
        }
    }
    if let Some(template) = text("dial")
        && template.parse::<DialTemplate>().is_err()
    {
        refuse(
            "dial",
            "not a dial template",
            "a dial string with one {number}, such as PJSIP/{number}@trunk",
        );
    }
    if let Some(format) = option("number_format")
        && serde_json::from_value::<NumberFormat>(format.clone()).is_err()
    {
        refuse(
            "number_format",
            "not a number format",
            "e164, digits, national with cc and trunk_prefix, or prefix",
        );
    }
    if text("sip_dial")
        .is_some_and(|dial| dial.matches(URI).count() != 1 || dial.contains([',', '&']))
    {
        refuse(
            "sip_dial",
            "not a dial string for URIs",
            "a dial string with one {uri}, without comma or &",
        );
    }
    if let Some(template) = text("message_to")
        && template.parse::<DialTemplate>().is_err()
    {
        refuse(
            "message_to",
            "not a destination",
            "a destination with one {number}, such as pjsip:{number}",
        );
    }
    if text("sip_message_to").is_some_and(|to| to.matches(URI).count() != 1) {
        refuse(
            "sip_message_to",
            "not a destination for URIs",
            "a destination with one {uri}, such as pjsip:endpoint/{uri}",
        );
    }
    if text("incoming_headers")
        .is_some_and(|names| names.split(',').any(|name| !is_word(name.trim(), 64)))
    {
        refuse(
            "incoming_headers",
            "not names of headers",
            "names such as X-Account, separated by commas",
        );
    }
    // A comma ends an argument of MixMonitor.
    if text("recordings").is_some_and(|path| path.contains([',', '&']) || !path.starts_with('/')) {
        refuse(
            "recordings",
            "a path that Asterisk cannot be given",
            "an absolute path without comma or &",
        );
    }
    if option("tls_certificate").is_some() != option("tls_key").is_some() {
        refuse(
            "tls_key",
            "certificate and key belong together",
            "both tls_certificate and tls_key, or neither",
        );
    }
    if text("spool").is_none() && text("spool_remote").is_some() {
        refuse(
            "spool",
            "missing",
            "our view of the directory that spool_remote names",
        );
    }
    // A comma ends an argument of SendFAX and `&` joins two files; neither can be quoted there.
    if text("spool_remote")
        .or(text("spool"))
        .is_some_and(|path| path.contains([',', '&']) || !path.starts_with('/'))
    {
        refuse(
            "spool_remote",
            "a path that Asterisk cannot be given",
            "an absolute path without comma or &",
        );
    }
    problems
}

fn is_word(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
