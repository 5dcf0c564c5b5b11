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

use crate::adapter::{
    settings::{
        self, RawConnection, RawEvents, RawSpool, RawTls, Rules, around_uri, directory, names,
    },
    spool::SpoolConfig,
};

pub use crate::adapter::settings::TlsConfig as AsteriskTls;

/// Every field of the configuration, with its aliases, default and documentation.
pub const FIELDS: FieldTable = FieldTable::new(
    &["asterisk", "elastix"],
    &[
        Field::new("host", Kind::Host, "where Asterisk's manager listens").default("127.0.0.1").server_name("bindaddr"),
        Field::new("port", Kind::Port, "port of the manager").default("5038").server_name("port"),
        Field::new("auth.username", Kind::Text, "manager account").aliases(&["user"]).required().server_name("section name in manager.conf"),
        Field::new("auth.password", Kind::Secret, "secret of the account").aliases(&["secret"]).required().server_name("secret"),
        Field::new("options.login", Kind::Enum(&["md5", "plain"]), "how the secret is proven; `plain` sends it as it is").default("md5"),
        settings::TLS.server_name("tlsenable, tlsbindaddr"),
        settings::TLS_CA,
        settings::TLS_CERTIFICATE,
        settings::TLS_KEY,
        settings::TLS_SERVER_NAME,
        settings::INSTANCE,
        Field::new("options.dial", Kind::Text, "dial string of a number or an extension, with one `{number}`").default("PJSIP/{number}").aliases(&["dial_template"]).server_name("Channel"),
        settings::NUMBER_FORMAT,
        Field::new("options.sip_dial", Kind::Text, "dial string of a SIP URI, with one `{uri}` (`PJSIP/endpoint/{uri}`); without it URIs cannot be dialled").server_name("Channel"),
        Field::new("options.context", Kind::Text, "dialplan context of an extension that names none").default("default").server_name("Context"),
        settings::CONNECT_TIMEOUT,
        settings::REQUEST_TIMEOUT,
        settings::KEEPALIVE,
        settings::WAIT_FOR_SERVER,
        settings::HANGUP_ON_CLOSE,
        Field::new("options.dialplan_context", Kind::Text, "the adapter's own extensions, that calls are sent to and that keep their outcome: `auto` makes them at run time, a name is a context of your dialplan, `off` does without").default("auto"),
        settings::SPOOL,
        settings::SPOOL_REMOTE,
        settings::SPOOL_GROUP,
        Field::new("options.incoming_context", Kind::Text, "dialplan context whose calls wait in `AGI(agi:async)` for our decision; without it no incoming call is taken"),
        settings::INCOMING_DEADLINE,
        Field::new("options.incoming_headers", Kind::Text, "names of SIP headers that an incoming call is told with, separated by commas"),
        settings::STATION_ID,
        Field::new("options.recordings", Kind::Path, "directory of recordings, as Asterisk sees it; without it Asterisk's own `monitor` directory").server_name("MixMonitor"),
        Field::new("options.music", Kind::Text, "class of the music that a held call hears").default("default").server_name("musiconhold.conf"),
        Field::new("options.message_to", Kind::Text, "destination of a message to a number or an extension, with one `{number}`").default("pjsip:{number}").server_name("Destination"),
        Field::new("options.sip_message_to", Kind::Text, "destination of a message to a SIP URI, with one `{uri}` (`pjsip:endpoint/{uri}`); without it messages to URIs cannot be sent").server_name("Destination"),
        Field::new("options.presence", Kind::Bool, "tell of every change of a device or an extension that has a hint").default("true"),
        settings::RAW_EVENTS,
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
    #[serde(flatten)]
    tls: RawTls,
    #[serde(flatten)]
    connection: RawConnection,
    dial: DialTemplate,
    #[serde(default)]
    number_format: NumberFormat,
    sip_dial: Option<String>,
    context: String,
    dialplan_context: String,
    #[serde(flatten)]
    spool: RawSpool,
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
        let group = self.spool.take().and_then(|spool| spool.group);
        let mut spool = SpoolConfig::new(local, remote);
        spool.group = group;
        self.spool = Some(spool);
        self
    }
}

impl Raw {
    fn into_config(self) -> AsteriskConfig {
        let options = self.options;
        AsteriskConfig {
            host: self.host,
            port: self.port,
            username: self.auth.username,
            password: self.auth.password,
            md5: options.login == "md5",
            tls: options.tls.into_config(),
            instance: options.connection.instance,
            sip_dial: around_uri(options.sip_dial.as_deref()),
            dial: options.dial,
            number_format: options.number_format,
            context: options.context,
            connect_timeout: options.connection.connect_timeout,
            request_timeout: options.connection.request_timeout,
            keepalive: options.connection.keepalive,
            wait_for_server: options.connection.wait_for_server,
            hangup_on_close: options.connection.hangup_on_close,
            dialplan: match options.dialplan_context.as_str() {
                "auto" => DialplanContext::Auto,
                "off" => DialplanContext::Off,
                name => DialplanContext::Named(name.to_owned()),
            },
            spool: options.spool.into_config(),
            incoming_context: options.incoming_context,
            incoming_deadline: options.incoming_deadline,
            incoming_headers: names(options.incoming_headers),
            station_id: options.station_id,
            recordings: options.recordings.map(directory),
            music: options.music,
            message_to: options.message_to,
            sip_message_to: around_uri(options.sip_message_to.as_deref()),
            presence: options.presence,
            raw_events: options.raw_events,
            fax_poll: options.fax_poll,
        }
    }
}

/// A comma ends an argument of `SendFAX`, `MixMonitor` and `Dial`, and `&` joins two; neither can be
/// quoted there.
const SEPARATORS: &[char] = &[',', '&'];

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let mut rules = Rules::new(value);
    rules.common();
    rules.words(&["context", "dialplan_context", "incoming_context", "music"]);
    rules.number_template("dial", "dial string", "PJSIP/{number}@trunk");
    rules.uri_template("sip_dial", "dial string", SEPARATORS);
    rules.number_template("message_to", "destination", "pjsip:{number}");
    rules.uri_template("sip_message_to", "destination", &[]);
    rules.header_names("incoming_headers");
    rules.remote_path("recordings", SEPARATORS);
    rules.spool(SEPARATORS);
    rules.problems()
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
