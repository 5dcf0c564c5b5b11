//! The configuration of the plugin: one table of fields, and the checked form.

use std::time::Duration;

use faxbot_core::{
    Result,
    address::Address,
    config::{ConfigErrors, Field, FieldTable, Kind, duration},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Every field of the configuration, with its default and documentation.
pub const FIELDS: FieldTable = FieldTable::new(
    &["sip-message", "sip_message"],
    &[
        Field::parsed::<Address>(
            "options.from",
            "an address such as sip:desk@pbx.example",
            "our address, which messages are sent from and conversations are kept by",
        )
        .default_note("the server's own sender"),
        Field::new(
            "options.local_domains",
            Kind::List,
            "hosts whose users are extensions and numbers of the server: a message of \
             sip:1001@pbx.example belongs to the conversation with 1001, and a reply goes to 1001",
        )
        .default_note("none: a sender is answered at its SIP URI"),
        Field::new(
            "options.max_bytes",
            Kind::Integer {
                min: 1,
                max: 65_536,
            },
            "bytes of a text in UTF-8. Over UDP the whole request, its header too, may have 1,300 \
             bytes (RFC 3428, section 8); a server's own limit may be lower",
        )
        .default("1300"),
        Field::new(
            "options.answer_timeout",
            Kind::Duration {
                min: Duration::from_secs(1),
                max: Duration::from_secs(600),
            },
            "how long an answer of the server is awaited; then the outcome is unknown",
        )
        .default("60s"),
        Field::new(
            "options.max_open",
            Kind::Integer {
                min: 1,
                max: 100_000,
            },
            "messages without an answer at one time; more are refused as overloaded",
        )
        .default("1000"),
        Field::new(
            "options.retention",
            Kind::DURATION,
            "how long the status of a message stays readable",
        )
        .default("24h"),
        Field::new(
            "options.retention_messages",
            Kind::Integer {
                min: 1,
                max: 1_000_000,
            },
            "messages whose status stays readable",
        )
        .default("10000"),
    ],
);

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SipMessageConfig {
    /// Our address; the server's own sender when absent.
    pub from: Option<Address>,
    /// Hosts whose users are extensions and numbers of the server, in lower case.
    pub local_domains: Vec<String>,
    /// Bytes of a text; 1,300 by default.
    pub max_bytes: usize,
    /// How long an answer of the server is awaited; 60 s by default.
    pub answer_timeout: Duration,
    /// Messages without an answer at one time; 1,000 by default.
    pub max_open: usize,
    /// How long a status stays readable; 24 hours by default.
    pub retention: Duration,
    /// Messages whose status stays readable; 10,000 by default.
    pub retention_messages: usize,
}

#[derive(Deserialize)]
struct Raw {
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawOptions {
    from: Option<Address>,
    #[serde(default)]
    local_domains: Vec<String>,
    max_bytes: usize,
    #[serde(with = "duration")]
    answer_timeout: Duration,
    max_open: usize,
    #[serde(with = "duration")]
    retention: Duration,
    retention_messages: usize,
}

impl SipMessageConfig {
    /// Loads a configuration of any serde format. `null` is the empty one.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_value(value: &Value) -> Result<Self> {
        Ok(load(value)?)
    }

    /// Checks a configuration without keeping it.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn validate(value: &Value) -> Result<(), ConfigErrors> {
        load(value).map(drop)
    }
}

fn load(value: &Value) -> Result<SipMessageConfig, ConfigErrors> {
    let empty = json!({});
    let value = if value.is_null() { &empty } else { value };
    FIELDS.load::<Raw>(value).map(|raw| {
        let raw = raw.options;
        SipMessageConfig {
            from: raw.from,
            local_domains: raw
                .local_domains
                .iter()
                .map(|host| host.trim().trim_end_matches('.').to_ascii_lowercase())
                .collect(),
            max_bytes: raw.max_bytes,
            answer_timeout: raw.answer_timeout,
            max_open: raw.max_open,
            retention: raw.retention,
            retention_messages: raw.retention_messages,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_fault_and_every_field_a_default() {
        assert_eq!(FIELDS.faults(), Vec::<String>::new());
        for value in [
            Value::Null,
            json!({}),
            json!({"type": "sip-message", "realm": "n/a"}),
        ] {
            let config = SipMessageConfig::from_value(&value).unwrap();
            assert_eq!((config.from, config.local_domains), (None, Vec::new()));
            assert_eq!((config.max_bytes, config.max_open), (1300, 1000));
            assert_eq!(config.answer_timeout, Duration::from_secs(60));
            assert_eq!(config.retention, Duration::from_secs(24 * 60 * 60));
        }
    }

    #[test]
    fn every_option_is_read() {
        let config = SipMessageConfig::from_value(&json!({"options": {
            "from": "sip:desk@pbx.example", "local_domains": "PBX.example., 10.0.0.1",
            "max_bytes": 700, "answer_timeout": "5s", "max_open": 2, "retention": "1h",
            "retention_messages": 3,
        }}))
        .unwrap();
        assert_eq!(config.from.unwrap().expose(), "sip:desk@pbx.example");
        assert_eq!(config.local_domains, ["pbx.example", "10.0.0.1"]);
        assert_eq!((config.max_bytes, config.max_open), (700, 2));
        assert_eq!(config.answer_timeout, Duration::from_secs(5));
        assert_eq!(config.retention, Duration::from_secs(3600));
        assert_eq!(config.retention_messages, 3);
    }

    #[test]
    fn every_problem_is_told_at_once_and_repeats_no_value() {
        let errors = SipMessageConfig::validate(&json!({"options": {
            "from": "not an address", "max_bytes": 0, "answer_timeout": "1h", "max_opne": 1,
        }}))
        .unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        for path in ["from", "max_bytes", "answer_timeout", "max_opne"] {
            let path = format!("options.{path}");
            assert!(paths.contains(&path.as_str()), "{path} in {paths:?}");
        }
        assert!(!errors.to_string().contains("not an address"), "{errors}");
    }
}
