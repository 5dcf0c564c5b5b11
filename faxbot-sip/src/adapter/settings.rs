//! Pieces that the configurations of adapters share: fields, what they are read into, and the rules
//! that concern several of them or the inside of one.

use std::{path::PathBuf, time::Duration};

use faxbot_core::{
    address::{DialTemplate, NumberFormat},
    config::{ConfigError, Field, Kind, duration},
};
use serde::Deserialize;
use serde_json::Value;

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
use super::spool::SpoolConfig;

pub(crate) const TLS: Field =
    Field::new("options.tls", Kind::Bool, "TLS from the first byte").default("false");
pub(crate) const TLS_CA: Field = Field::new(
    "options.tls_ca",
    Kind::Path,
    "PEM file of the authorities that may sign the server's certificate; without it those of the system",
);
pub(crate) const TLS_CERTIFICATE: Field = Field::new(
    "options.tls_certificate",
    Kind::Path,
    "PEM file of our own certificate chain",
);
pub(crate) const TLS_KEY: Field = Field::new("options.tls_key", Kind::Path, "PEM file of its key");
pub(crate) const TLS_SERVER_NAME: Field = Field::new(
    "options.tls_server_name",
    Kind::Host,
    "name that the server's certificate must hold; without it the host",
);
pub(crate) const INSTANCE: Field = Field::new(
    "options.instance",
    Kind::Text,
    "names what we leave at the server, so that several processes can share it: 1 to 24 letters, digits or `_`",
)
.default("faxbot");
pub(crate) const NUMBER_FORMAT: Field = Field::new(
    "options.number_format",
    Kind::Any,
    "how `{number}` is filled from a number: `e164`, `digits`, `{\"national\": {\"cc\", \"trunk_prefix\"}}`, `{\"prefix\": \"...\"}`",
);
pub(crate) const CONNECT_TIMEOUT: Field = Field::new(
    "options.connect_timeout",
    Kind::DURATION,
    "how long `connect` may take, login and set-up included",
)
.default("15s");
pub(crate) const REQUEST_TIMEOUT: Field = Field::new(
    "options.request_timeout",
    Kind::DURATION,
    "how long an answer of the server may take",
)
.default("10s");
pub(crate) const KEEPALIVE: Field = Field::new(
    "options.keepalive",
    Kind::DURATION,
    "a silent connection is asked after this long",
)
.default("15s");
pub(crate) const WAIT_FOR_SERVER: Field = Field::new(
    "options.wait_for_server",
    Kind::Bool,
    "go on trying when the first attempt to connect fails",
)
.default("false");
pub(crate) const HANGUP_ON_CLOSE: Field = Field::new(
    "options.hangup_on_close",
    Kind::Bool,
    "hang up our calls on disconnect",
)
.default("false");
pub(crate) const SPOOL: Field = Field::new(
    "options.spool",
    Kind::Path,
    "directory for the pages, as we see it; without it no fax can be sent",
);
pub(crate) const SPOOL_REMOTE: Field = Field::new(
    "options.spool_remote",
    Kind::Path,
    "the same directory as the server sees it",
)
.default_note("as `spool`");
pub(crate) const SPOOL_GROUP: Field = Field::new(
    "options.spool_group",
    Kind::Text,
    "group of the files, by name or number, that the server's user belongs to; without it the directory's own rule holds",
);
pub(crate) const INCOMING_DEADLINE: Field = Field::new(
    "options.incoming_deadline",
    Kind::DURATION,
    "an incoming call that nobody decided on is rejected after this long",
)
.default("20s");
pub(crate) const STATION_ID: Field = Field::new(
    "options.station_id",
    Kind::Text,
    "what we call ourselves to the sender of a fax: 1 to 20 digits, letters, `+` or blanks",
);
pub(crate) const RAW_EVENTS: Field = Field::new(
    "options.raw_events",
    Kind::Enum(&["unknown", "all", "off"]),
    "which of the server's events are passed on as they are: those without a form of ours, all, or none",
)
.default("unknown");

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

/// TLS of a connection, and how the server is checked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TlsConfig {
    /// Authorities that may sign the server's certificate; those of the system by default.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must hold; the host by default.
    pub server_name: Option<String>,
}

/// [`TLS`] and the fields of the same beginning; to be flattened into the options.
#[derive(Deserialize)]
pub(crate) struct RawTls {
    tls: bool,
    tls_ca: Option<PathBuf>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_server_name: Option<String>,
}

impl RawTls {
    pub(crate) fn into_config(self) -> Option<TlsConfig> {
        self.tls.then(|| TlsConfig {
            ca: self.tls_ca,
            client: self.tls_certificate.zip(self.tls_key),
            server_name: self.tls_server_name,
        })
    }
}

/// How a connection behaves; to be flattened into the options.
#[derive(Deserialize)]
pub(crate) struct RawConnection {
    pub(crate) instance: String,
    #[serde(with = "duration")]
    pub(crate) connect_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) request_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) keepalive: Duration,
    pub(crate) wait_for_server: bool,
    pub(crate) hangup_on_close: bool,
}

/// The directory of pages; to be flattened into the options.
#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
#[derive(Deserialize)]
pub(crate) struct RawSpool {
    spool: Option<PathBuf>,
    spool_remote: Option<String>,
    spool_group: Option<String>,
}

#[cfg(any(feature = "asterisk", feature = "freeswitch", feature = "yate"))]
impl RawSpool {
    pub(crate) fn into_config(self) -> Option<SpoolConfig> {
        let local = self.spool?;
        let remote = self
            .spool_remote
            .unwrap_or_else(|| local.to_string_lossy().into_owned());
        let mut config = SpoolConfig::new(local, remote);
        config.group = self.spool_group;
        Some(config)
    }
}

/// The place of the URI in a template.
pub(crate) const URI: &str = "{uri}";

/// The text before and after the one [`URI`] of a template.
pub(crate) fn around_uri(template: Option<&str>) -> Option<(String, String)> {
    let (before, after) = template?.split_once(URI)?;
    Some((before.to_owned(), after.to_owned()))
}

/// A directory without a slash at its end.
pub(crate) fn directory(path: String) -> String {
    path.trim_end_matches('/').to_owned()
}

/// The names of a list with commas.
pub(crate) fn names(list: Option<String>) -> Vec<String> {
    let list = list.unwrap_or_default();
    let names = list.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What is wrong with the options of a configuration, beyond what its table of fields finds.
pub(crate) struct Rules<'a> {
    options: Option<&'a Value>,
    problems: Vec<ConfigError>,
}

impl<'a> Rules<'a> {
    /// `value` is in the canonical shape.
    pub(crate) fn new(value: &'a Value) -> Self {
        Self {
            options: value.get("options"),
            problems: Vec::new(),
        }
    }

    pub(crate) fn option(&self, name: &str) -> Option<&'a Value> {
        self.options?.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.option(name)?.as_str()
    }

    pub(crate) fn refuse(&mut self, name: &str, problem: &str, expected: impl Into<String>) {
        let path = format!("options.{name}");
        self.problems
            .push(ConfigError::new(path, problem, expected));
    }

    /// What was found.
    pub(crate) fn problems(self) -> Vec<ConfigError> {
        self.problems
    }

    /// [`INSTANCE`], [`NUMBER_FORMAT`] and the pair of [`TLS_CERTIFICATE`] and [`TLS_KEY`].
    pub(crate) fn common(&mut self) {
        self.names_and_numbers();
        self.tls_pair();
    }

    /// [`INSTANCE`] and [`NUMBER_FORMAT`].
    pub(crate) fn names_and_numbers(&mut self) {
        if self.text("instance").is_some_and(|name| !is_word(name, 24)) {
            let expected = "1 to 24 letters, digits or _";
            self.refuse("instance", "not a short name", expected);
        }
        if let Some(format) = self.option("number_format")
            && serde_json::from_value::<NumberFormat>(format.clone()).is_err()
        {
            let expected = "e164, digits, national with cc and trunk_prefix, or prefix";
            self.refuse("number_format", "not a number format", expected);
        }
    }

    /// The pair of [`TLS_CERTIFICATE`] and [`TLS_KEY`].
    pub(crate) fn tls_pair(&mut self) {
        if self.option("tls_certificate").is_some() != self.option("tls_key").is_some() {
            self.refuse(
                "tls_key",
                "certificate and key belong together",
                "both tls_certificate and tls_key, or neither",
            );
        }
    }

    /// Names of things of the server's configuration.
    pub(crate) fn words(&mut self, fields: &[&str]) {
        for name in fields {
            if self.text(name).is_some_and(|word| !is_word(word, 79)) {
                self.refuse(
                    name,
                    "not a name of the server's configuration",
                    "1 to 79 letters, digits, _ or -",
                );
            }
        }
    }

    /// Names of SIP headers, separated by commas.
    pub(crate) fn header_names(&mut self, field: &str) {
        if self
            .text(field)
            .is_some_and(|names| names.split(',').any(|name| !is_word(name.trim(), 64)))
        {
            self.refuse(
                field,
                "not names of headers",
                "names such as X-Account, separated by commas",
            );
        }
    }

    /// A text with one `{number}`; `what` names it, `example` shows one.
    pub(crate) fn number_template(&mut self, field: &str, what: &str, example: &str) {
        if let Some(template) = self.text(field)
            && template.parse::<DialTemplate>().is_err()
        {
            let expected = format!("a {what} with one {{number}}, such as {example}");
            self.refuse(field, &format!("not a {what}"), expected);
        }
    }

    /// A text with one `{uri}`, without what the server takes for separators.
    pub(crate) fn uri_template(&mut self, field: &str, what: &str, separators: &[char]) {
        if self
            .text(field)
            .is_some_and(|text| text.matches(URI).count() != 1 || text.contains(separators))
        {
            let expected = format!("a {what} with one {{uri}}{}", without(separators));
            self.refuse(field, &format!("not a {what} for URIs"), expected);
        }
    }

    /// A directory of the server's, without what it takes for separators.
    pub(crate) fn remote_path(&mut self, field: &str, separators: &[char]) {
        self.path_is(field, self.text(field), separators);
    }

    /// [`SPOOL`] and [`SPOOL_REMOTE`].
    pub(crate) fn spool(&mut self, separators: &[char]) {
        let (local, remote) = (self.text("spool"), self.text("spool_remote"));
        if local.is_none() && remote.is_some() {
            self.refuse(
                "spool",
                "missing",
                "our view of the directory that spool_remote names",
            );
        }
        self.path_is("spool_remote", remote.or(local), separators);
    }

    fn path_is(&mut self, field: &str, path: Option<&str>, separators: &[char]) {
        if path.is_some_and(|path| path.contains(separators) || !path.starts_with('/')) {
            self.refuse(
                field,
                "a path that the server cannot be given",
                format!("an absolute path{}", without(separators)),
            );
        }
    }
}

/// Whether a text is 1 to `most` letters, digits, `_` or `-`.
pub(crate) fn is_word(text: &str, most: usize) -> bool {
    let of_a_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=most).contains(&text.len()) && text.bytes().all(of_a_word)
}

fn without(separators: &[char]) -> String {
    let named = separators.iter().map(|&separator| match separator {
        ',' => "comma".to_owned(),
        other => other.to_string(),
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        String::new()
    } else {
        format!(", without {}", named.join(" or "))
    }
}
