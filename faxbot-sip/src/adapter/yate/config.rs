//! The configuration of the adapter.

use std::{path::PathBuf, time::Duration};

use faxbot_core::{
    Result,
    address::{DialTemplate, NumberFormat},
    config::{
        ConfigError, ConfigErrors, Field, FieldTable, Kind, UrlScheme, duration, from_url_text,
    },
    fax::StationId,
};
use serde::Deserialize;
use serde_json::Value;

use crate::adapter::{
    settings::{self, RawConnection, RawEvents, RawSpool, Rules, around_uri, directory, names},
    spool::SpoolConfig,
};

/// Every field of the configuration, with its aliases, default and documentation.
pub const FIELDS: FieldTable = FieldTable::new(
    &["yate"],
    &[
        Field::new("host", Kind::Host, "where the external module listener is").default("127.0.0.1").server_name("addr"),
        Field::new("port", Kind::Port, "its port").default("5039").server_name("port"),
        Field::new("options.path", Kind::Path, "its unix socket; then host and port are not used").server_name("path"),
        Field::new("options.connect_role", Kind::Bool, "say `connect` as a global module; a listener with a role of its own (`role=global`) does not mind").default("true").server_name("role"),
        settings::INSTANCE,
        Field::new("options.dial", Kind::Text, "where a number or an extension is called, with one `{number}`: a target of a driver (`sip/sip:{number}@trunk.example`), or a number that Yate routes itself (`{number}`)").default("{number}").aliases(&["dial_template"]),
        settings::NUMBER_FORMAT,
        Field::new("options.sip_dial", Kind::Text, "the same for a SIP URI, with one `{uri}`").default("sip/{uri}"),
        settings::CONNECT_TIMEOUT,
        settings::REQUEST_TIMEOUT,
        settings::KEEPALIVE,
        settings::WAIT_FOR_SERVER,
        settings::HANGUP_ON_CLOSE,
        settings::SPOOL,
        settings::SPOOL_REMOTE,
        settings::SPOOL_GROUP,
        Field::new("options.incoming", Kind::Bool, "calls from outside and messages come to us: those that no route before ours takes").default("false"),
        Field::new("options.incoming_priority", Kind::Integer { min: 1, max: 1000 }, "where in the order of Yate's routes we stand: lower comes earlier. `regexroute` has 100: with a lower number every call from outside comes to us first, with a higher one only those that its rules leave").default("90").server_name("priority"),
        settings::INCOMING_DEADLINE,
        Field::new("options.incoming_headers", Kind::Text, "names of SIP headers that an incoming call is told with, separated by commas"),
        settings::STATION_ID,
        Field::new("options.recordings", Kind::Path, "directory of recordings, as Yate sees it; without it none can be made"),
        Field::new("options.music", Kind::Text, "what a held call hears").default("moh/default").server_name("moh"),
        Field::new("options.cdr", Kind::Bool, "ask for the server's own records of calls (`call.cdr`): nine messages a call").default("false"),
        settings::RAW_EVENTS,
    ],
);

/// The URL form: `yate://host:5039?dial=sip/sip:{number}@trunk.example`.
pub const SCHEMES: &[UrlScheme] = &[UrlScheme::new("yate", "yate")];

/// A checked configuration. Make one with [`from_value`](Self::from_value) or
/// [`from_url`](Self::from_url).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct YateConfig {
    /// Where the external module listener is; 127.0.0.1 by default.
    pub host: String,
    /// Its port; 5039 by default.
    pub port: u16,
    /// Its unix socket, instead of host and port.
    pub path: Option<PathBuf>,
    /// Say `connect` as a global module; on by default.
    pub connect_role: bool,
    /// Names what we leave at the server; `faxbot` by default.
    pub instance: String,
    /// Where a number or an extension is called.
    pub dial: DialTemplate,
    /// How a number fills it.
    pub number_format: NumberFormat,
    /// Where a SIP URI is called: the text before and after it.
    pub sip_dial: Option<(String, String)>,
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
    /// Where pages are put; without it no fax can be sent.
    pub spool: Option<SpoolConfig>,
    /// Calls from outside and messages come to us: those that no route before ours takes.
    pub incoming: bool,
    /// Where in the order of routes we stand; 90 by default.
    pub incoming_priority: u32,
    /// An incoming call that nobody decided on is rejected after this long; 20 s by default.
    pub incoming_deadline: Duration,
    /// Names of SIP headers that an incoming call is told with.
    pub incoming_headers: Vec<String>,
    /// What we call ourselves to other fax machines.
    pub station_id: Option<StationId>,
    /// The directory of recordings as Yate sees it, without a slash at its end.
    pub recordings: Option<String>,
    /// What a held call hears.
    pub music: String,
    /// Ask for the server's own records of calls.
    pub cdr: bool,
    /// Which of the server's events are passed on as they are.
    pub raw_events: RawEvents,
}

#[derive(Deserialize)]
struct Raw {
    host: String,
    port: u16,
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawOptions {
    path: Option<PathBuf>,
    connect_role: bool,
    #[serde(flatten)]
    connection: RawConnection,
    dial: DialTemplate,
    #[serde(default)]
    number_format: NumberFormat,
    sip_dial: Option<String>,
    #[serde(flatten)]
    spool: RawSpool,
    incoming: bool,
    incoming_priority: u32,
    #[serde(with = "duration")]
    incoming_deadline: Duration,
    incoming_headers: Option<String>,
    station_id: Option<StationId>,
    recordings: Option<String>,
    music: String,
    cdr: bool,
    raw_events: RawEvents,
}

impl YateConfig {
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

    /// The module that a held call's music is of: its file may have another name than its targets.
    pub(super) fn music_module(&self) -> &str {
        match self.music.split('/').next().unwrap_or_default() {
            "tone" => "tonegen",
            "wave" => "wavefile",
            other => other,
        }
    }

    /// Sets where numbers and extensions are called.
    #[must_use]
    pub fn with_dial(mut self, dial: DialTemplate) -> Self {
        self.dial = dial;
        self
    }

    /// Sets the directory of the pages, as we and as Yate see it. A group that was configured stays.
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
    fn into_config(self) -> YateConfig {
        let options = self.options;
        YateConfig {
            host: self.host,
            port: self.port,
            path: options.path,
            connect_role: options.connect_role,
            instance: options.connection.instance,
            dial: options.dial,
            number_format: options.number_format,
            sip_dial: around_uri(options.sip_dial.as_deref()),
            connect_timeout: options.connection.connect_timeout,
            request_timeout: options.connection.request_timeout,
            keepalive: options.connection.keepalive,
            wait_for_server: options.connection.wait_for_server,
            hangup_on_close: options.connection.hangup_on_close,
            spool: options.spool.into_config(),
            incoming: options.incoming,
            incoming_priority: options.incoming_priority,
            incoming_deadline: options.incoming_deadline,
            incoming_headers: names(options.incoming_headers),
            station_id: options.station_id,
            recordings: options.recordings.map(directory),
            music: options.music,
            cdr: options.cdr,
            raw_events: options.raw_events,
        }
    }
}

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let mut rules = Rules::new(value);
    rules.common();
    rules.number_template("dial", "target", "sip/sip:{number}@trunk.example");
    rules.uri_template("sip_dial", "target", &[]);
    rules.header_names("incoming_headers");
    rules.remote_path("recordings", &[]);
    rules.spool(&[]);
    rules.problems()
}
