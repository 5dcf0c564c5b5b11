//! The configuration of the FreeSWITCH adapter.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use faxbot_core::{
    Result, Secret,
    address::{DialTemplate, NumberFormat},
    config::{ConfigError, ConfigErrors, FieldTable, UrlScheme, duration, from_url_text},
    fax::StationId,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    adapter::{
        settings::{
            RawConnection, RawEvents, RawSpool, RawTls, Rules, TlsConfig, around_uri, directory,
            names,
        },
        spool::SpoolConfig,
    },
    driver::AllowList,
    protocol::esl::Variables,
};

/// A table of fields: those given, and those that every FreeSWITCH has.
macro_rules! fields {
    ($types:expr; $($own:expr),+ $(,)?) => {{
        use $crate::adapter::settings;
        use faxbot_core::config::{Field, FieldTable, Kind};
        FieldTable::new($types, &[
            $($own,)+
            Field::new("port", Kind::Port, "port of the event socket").default("8021").server_name("listen-port"),
            settings::TLS.server_name("none; for a tunnel such as stunnel before it"),
            settings::TLS_CA,
            settings::TLS_CERTIFICATE,
            settings::TLS_KEY,
            settings::TLS_SERVER_NAME,
            settings::INSTANCE,
            settings::NUMBER_FORMAT,
            Field::new("options.sip_dial", Kind::Text, "dial string of a SIP URI, with one `{uri}`").default("sofia/external/{uri}"),
            Field::new("options.dialplan", Kind::Text, "dialplan of an extension that a call goes on in").default("XML"),
            Field::new("options.variables", Kind::Map, "channel variables of every call and fax that is placed"),
            settings::CONNECT_TIMEOUT,
            settings::REQUEST_TIMEOUT,
            // FreeSWITCH tells of itself every 20 s (`event-heartbeat-interval` in `switch.conf.xml`).
            settings::KEEPALIVE.default("25s").server_name("HEARTBEAT"),
            settings::WAIT_FOR_SERVER,
            settings::HANGUP_ON_CLOSE,
            Field::new("options.outcomes", Kind::Enum(&["auto", "db", "hash", "off"]), "where a call leaves its outcome: `db` (mod_db) survives a restart, `hash` (mod_hash) does not, `auto` takes what is loaded, `off` does without").default("auto"),
            settings::SPOOL,
            settings::SPOOL_REMOTE,
            settings::SPOOL_GROUP,
            Field::new("options.incoming", Kind::Enum(&["off", "park", "socket"]), "how incoming calls come to us: those in the application `park`, or those whose application `socket` calls us; without it none is taken").default("off"),
            Field::new("options.incoming_context", Kind::Text, "only calls of this dialplan context are taken").server_name("Caller-Context"),
            Field::new("options.incoming_listen", Kind::Text, "address and port that we listen on for the application `socket` (`127.0.0.1:8084`)").server_name("socket"),
            Field::new("options.incoming_allow", Kind::List, "addresses and networks that may connect there (`10.1.0.0/16`)").default_note("this machine"),
            settings::INCOMING_DEADLINE,
            Field::new("options.incoming_headers", Kind::Text, "names of SIP headers that an incoming call is told with, separated by commas"),
            Field::new("options.station_id", Kind::Text, "what we call ourselves to other fax machines, where a fax names nothing itself: 1 to 20 digits, letters, `+` or blanks").server_name("fax_ident"),
            Field::new("options.fax_codecs", Kind::Text, "audio codecs that a fax is offered with; empty for those of the profile").default("PCMU,PCMA").may_be_empty().server_name("absolute_codec_string"),
            Field::new("options.fax_poll", Kind::DURATION, "how often a fax of an earlier process is looked at while it is waited for; progress comes by events").default("5s"),
            Field::new("options.recordings", Kind::Path, "directory of recordings, as FreeSWITCH sees it").default_note("that of FreeSWITCH").server_name("recordings_dir"),
            Field::new("options.music", Kind::Text, "stream that FreeSWITCH has for whoever is on hold in our calls (`local_stream://moh`): `hold_music` of each channel").default_note("that of FreeSWITCH").server_name("hold_music"),
            Field::new("options.conference_profile", Kind::Text, "profile of conferences").default("default").server_name("conference.conf.xml"),
            Field::new("options.message_profile", Kind::Text, "SIP profile that messages are sent through").default("internal").server_name("sip_profile"),
            Field::new("options.presence", Kind::Bool, "tell of every change of presence").default("true").server_name("PRESENCE_IN"),
            settings::RAW_EVENTS,
        ])
    }};
}

pub(in crate::adapter) use fields;

/// Every field of the configuration, with its aliases, default and documentation.
#[rustfmt::skip] // One field a line.
pub const FIELDS: FieldTable = fields![&["freeswitch"];
    Field::new("host", Kind::Host, "where the event socket listens").default("127.0.0.1").server_name("listen-ip"),
    Field::new("auth.password", Kind::Secret, "password of the event socket, or of the user").aliases(&["apikey"]).required().server_name("password"),
    Field::new("auth.username", Kind::Text, "`user@domain` logs in as a user of the directory (`userauth`), with that user's rights; a name without `@` is ignored").aliases(&["user"]),
    Field::new("options.dial", Kind::Text, "dial string of a number or an extension, with one `{number}` (`sofia/gateway/trunk/{number}`)").default("user/{number}").aliases(&["dial_template"]),
    Field::new("options.extension_dial", Kind::Text, "dial string of an extension, with one `{number}` (`user/{number}@domain`)").default_note("as `dial`"),
    Field::new("options.context", Kind::Text, "dialplan context of an extension that names none").default("default"),
];

/// The URL form: `esl://:ClueCon@host:8021?dial=sofia/gateway/trunk/{number}`, and
/// `esl://user@domain:password@host` for a user of the directory.
pub const SCHEMES: &[UrlScheme] = &[UrlScheme::new("esl", "freeswitch")];

/// A checked configuration. Make one with [`from_value`](Self::from_value) or
/// [`from_url`](Self::from_url).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FreeswitchConfig {
    /// Where the event socket listens; 127.0.0.1 by default.
    pub host: String,
    /// Its port; 8021 by default.
    pub port: u16,
    /// The password of the event socket, or of the user.
    pub password: Secret,
    /// The user of the directory that logs in, and its domain; without it the event socket's own
    /// password counts.
    pub user: Option<(String, String)>,
    /// TLS of a tunnel before the event socket, and how it is checked.
    pub tls: Option<TlsConfig>,
    /// Names what we leave at the server; `faxbot` by default.
    pub instance: String,
    /// The dial string of a number, and of an extension where it has none of its own.
    pub dial: DialTemplate,
    /// The dial string of an extension.
    pub extension_dial: Option<DialTemplate>,
    /// How a number fills them.
    pub number_format: NumberFormat,
    /// The dial string of a SIP URI: the text before and after it.
    pub sip_dial: Option<(String, String)>,
    /// The dialplan of an extension that a call goes on in; `XML` by default.
    pub dialplan: String,
    /// The dialplan context of an extension that names none; `default` by default.
    pub context: String,
    /// Channel variables of every call and fax that is placed.
    pub variables: BTreeMap<String, String>,
    /// The caller's name of a call that names none: the kind of the adapter.
    pub caller_name: String,
    /// How long `connect` may take; 15 s by default.
    pub connect_timeout: Duration,
    /// How long an answer may take; 10 s by default.
    pub request_timeout: Duration,
    /// A silent connection is asked after this long; 25 s by default.
    pub keepalive: Duration,
    /// Go on trying when the first attempt fails.
    pub wait_for_server: bool,
    /// Hang up our calls on disconnect.
    pub hangup_on_close: bool,
    /// Where outcomes are kept.
    pub outcomes: Outcomes,
    /// Where pages are put; without it no fax can be sent.
    pub spool: Option<SpoolConfig>,
    /// How incoming calls come to us.
    pub incoming: IncomingPath,
    /// Only calls of this dialplan context are taken.
    pub incoming_context: Option<String>,
    /// An incoming call that nobody decided on is rejected after this long; 20 s by default.
    pub incoming_deadline: Duration,
    /// Names of SIP headers that an incoming call is told with.
    pub incoming_headers: Vec<String>,
    /// What we call ourselves to other fax machines, where a fax names nothing itself.
    pub station_id: Option<StationId>,
    /// Audio codecs that a fax is offered with; empty for those of the profile.
    pub fax_codecs: String,
    /// How often the progress of running faxes is asked for where no events come; 5 s by default.
    pub fax_poll: Duration,
    /// The directory of recordings as FreeSWITCH sees it, without a slash at its end.
    pub recordings: Option<String>,
    /// The stream that a held call hears; FreeSWITCH's own by default.
    pub music: Option<String>,
    /// The profile of conferences; `default` by default.
    pub conference_profile: String,
    /// The SIP profile that messages are sent through; `internal` by default.
    pub message_profile: String,
    /// Tell of every change of presence; on by default.
    pub presence: bool,
    /// Which of the server's events are passed on as they are.
    pub raw_events: RawEvents,
}

/// Where the outcome of a call is kept when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcomes {
    /// In `mod_db` where it is loaded, else in `mod_hash`, else nowhere.
    Auto,
    /// In `mod_db`: it survives a crash of the server.
    Db,
    /// In `mod_hash`: memory of the server.
    Hash,
    /// Nowhere: the outcome of a call that ends while the link is down is unknown.
    Off,
}

/// How incoming calls come to us.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncomingPath {
    /// Not at all.
    Off,
    /// They wait in the application `park` for our decision.
    Park,
    /// Their application `socket` calls us.
    Socket {
        /// What we listen on.
        listen: SocketAddr,
        /// Who may connect; this machine by default.
        allow: AllowList,
    },
}

/// The canonical form of a configuration.
#[derive(Deserialize)]
pub(in crate::adapter) struct Raw {
    host: String,
    port: u16,
    auth: RawAuth,
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawAuth {
    password: Secret,
    username: Option<String>,
}

#[derive(Deserialize)]
struct RawOptions {
    #[serde(flatten)]
    tls: RawTls,
    #[serde(flatten)]
    connection: RawConnection,
    dial: DialTemplate,
    extension_dial: Option<DialTemplate>,
    #[serde(default)]
    number_format: NumberFormat,
    sip_dial: Option<String>,
    dialplan: String,
    context: String,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    outcomes: Outcomes,
    #[serde(flatten)]
    spool: RawSpool,
    incoming: String,
    incoming_context: Option<String>,
    incoming_listen: Option<SocketAddr>,
    incoming_allow: Option<Vec<String>>,
    #[serde(with = "duration")]
    incoming_deadline: Duration,
    incoming_headers: Option<String>,
    station_id: Option<StationId>,
    fax_codecs: String,
    #[serde(with = "duration")]
    fax_poll: Duration,
    recordings: Option<String>,
    music: Option<String>,
    conference_profile: String,
    message_profile: String,
    presence: bool,
    raw_events: RawEvents,
}

impl FreeswitchConfig {
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

    /// Sets the directory of the pages, as we and as FreeSWITCH see it. A group that was configured
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
    pub(in crate::adapter) fn into_config(self) -> FreeswitchConfig {
        let options = self.options;
        FreeswitchConfig {
            host: self.host,
            port: self.port,
            password: self.auth.password,
            user: self.auth.username.as_deref().and_then(user_of_domain),
            incoming: incoming_path(&options),
            tls: options.tls.into_config(),
            instance: options.connection.instance,
            dial: options.dial,
            extension_dial: options.extension_dial,
            number_format: options.number_format,
            sip_dial: around_uri(options.sip_dial.as_deref()),
            dialplan: options.dialplan,
            context: options.context,
            variables: options.variables,
            caller_name: "freeswitch".to_owned(),
            connect_timeout: options.connection.connect_timeout,
            request_timeout: options.connection.request_timeout,
            keepalive: options.connection.keepalive,
            wait_for_server: options.connection.wait_for_server,
            hangup_on_close: options.connection.hangup_on_close,
            outcomes: options.outcomes,
            spool: options.spool.into_config(),
            incoming_context: options.incoming_context,
            incoming_deadline: options.incoming_deadline,
            incoming_headers: names(options.incoming_headers),
            station_id: options.station_id,
            fax_codecs: options.fax_codecs,
            fax_poll: options.fax_poll,
            recordings: options.recordings.map(directory),
            music: options.music,
            conference_profile: options.conference_profile,
            message_profile: options.message_profile,
            presence: options.presence,
            raw_events: options.raw_events,
        }
    }
}

/// `user@domain`. Other names are for servers that have accounts; the event socket has none.
fn user_of_domain(name: &str) -> Option<(String, String)> {
    let (user, domain) = name.split_once('@')?;
    (!user.is_empty() && !domain.is_empty()).then(|| (user.to_owned(), domain.to_owned()))
}

fn incoming_path(options: &RawOptions) -> IncomingPath {
    match (options.incoming.as_str(), options.incoming_listen) {
        ("park", _) => IncomingPath::Park,
        ("socket", Some(listen)) => IncomingPath::Socket {
            listen,
            // The rules have read it before.
            allow: options
                .incoming_allow
                .as_ref()
                .and_then(|networks| AllowList::parse(networks).ok())
                .unwrap_or_default(),
        },
        _ => IncomingPath::Off,
    }
}

/// What takes a path out of its place: an argument of an application ends at the first `)`, that of
/// `record_session` at a blank, and variables are expanded.
const IN_PATHS: &[char] = &[' ', '(', ')', '$', '{', '}', '[', ']', ',', '\'', '"', '\\'];

/// What makes more of a dial string than one destination.
const IN_DIALS: &[char] = &[' ', ',', '|', '\'', '"', '\\', '<', '>', '$'];

/// What concerns several fields, or the inside of one.
pub(in crate::adapter) fn rules(value: &Value) -> Vec<ConfigError> {
    let mut rules = Rules::new(value);
    rules.common();
    let contexts = [
        "dialplan",
        "context",
        "incoming_context",
        "conference_profile",
        "message_profile",
    ];
    for name in contexts {
        if rules.text(name).is_some_and(|word| !is_context(word)) {
            rules.refuse(
                name,
                "not a name of the server's configuration",
                "1 to 79 letters, digits, _, - or .",
            );
        }
    }
    let example = "sofia/gateway/trunk/{number}";
    rules.number_template("dial", "dial string", example);
    rules.number_template("extension_dial", "dial string", "user/{number}@domain");
    rules.uri_template("sip_dial", "dial string", IN_DIALS);
    if variables_are_bad(rules.option("variables")) {
        rules.refuse(
            "variables",
            "a variable that FreeSWITCH cannot be given",
            "names of letters, digits, _, - or ., and values that are not empty and have no ${ and no line break",
        );
    }
    rules.header_names("incoming_headers");
    if let Some(codecs) = rules.text("fax_codecs")
        && !codecs.is_empty()
        && !codecs.split(',').all(is_codec)
    {
        rules.refuse(
            "fax_codecs",
            "not names of codecs",
            "names such as PCMU, separated by commas without blanks",
        );
    }
    listener_rules(&mut rules);
    rules.spool(IN_PATHS);
    rules.remote_path("recordings", IN_PATHS);
    if rules
        .text("music")
        .is_some_and(|stream| stream.contains(IN_PATHS))
    {
        rules.refuse(
            "music",
            "a stream that FreeSWITCH cannot be given",
            "a file or stream without blanks, brackets, commas, $, quotes or backslashes",
        );
    }
    if rules
        .text("station_id")
        .is_some_and(|station| station.parse::<StationId>().is_err())
    {
        rules.refuse("station_id", "not a station id", "at most 20 characters");
    }
    rules.problems()
}

fn listener_rules(rules: &mut Rules<'_>) {
    let listen = rules.text("incoming_listen");
    if listen.is_some_and(|listen| listen.parse::<SocketAddr>().is_err()) {
        rules.refuse(
            "incoming_listen",
            "not an address with a port",
            "an IP address and a port, such as 127.0.0.1:8084",
        );
    }
    if rules.text("incoming") == Some("socket") && listen.is_none() {
        rules.refuse(
            "incoming_listen",
            "missing",
            "the address and port that the application socket calls",
        );
    }
    let allow = rules.option("incoming_allow").and_then(Value::as_array);
    let networks = allow.into_iter().flatten().filter_map(Value::as_str);
    if AllowList::parse(networks).is_err() {
        rules.refuse(
            "incoming_allow",
            "not addresses",
            "addresses and networks such as 10.1.0.0/16",
        );
    }
}

fn variables_are_bad(variables: Option<&Value>) -> bool {
    let variables = variables.and_then(Value::as_object);
    variables.into_iter().flatten().any(|(name, value)| {
        let value = value.as_str().unwrap_or_default();
        value.is_empty() || Variables::new().set(name, value).is_err()
    })
}

/// `undef` takes an argument of `originate` away.
fn is_context(word: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    (1..=79).contains(&word.len()) && word.bytes().all(known) && !word.eq_ignore_ascii_case("undef")
}

/// `PCMU`, `PCMU@20i`.
fn is_codec(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_-.@".contains(&b);
    (1..=40).contains(&name.len()) && name.bytes().all(known)
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
