//! The fields that every messaging provider shares, and their checked form.

use std::time::Duration;

use faxbot_core::{
    Private, Result,
    config::{Field, FieldTable, Kind, duration},
    retry::Backoff,
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::cloud::{fields::WEBHOOK_URL, settings};

/// The fields of the engine; [`cloud_fields!`](crate::cloud::cloud_fields) puts them behind those of
/// a provider.
pub const FIELDS: &[Field] = &[
    WEBHOOK_URL,
    Field::new(
        "options.max_messages",
        Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        "messages that are on their way; more are refused as overloaded",
    )
    .default("10000"),
    Field::new(
        "options.lookup_patience",
        Kind::DURATION_OR_ZERO,
        "how long a caller waits while the provider is asked for a message whose request was not answered",
    )
    .default("30s"),
    Field::new(
        "options.lookup_window",
        Kind::DURATION,
        "how far back the provider is asked for a message of an earlier process",
    )
    .default("14d"),
    Field::new(
        "options.poll_min",
        POLL,
        "first wait between two questions about a message, doubled each time",
    )
    .default("5s"),
    Field::new(
        "options.poll_max",
        POLL,
        "longest wait between two questions about a message",
    )
    .default("5m"),
    Field::new(
        "options.job_patience",
        Kind::DURATION,
        "how long a message may be on its way; after that nobody can say what became of it",
    )
    .default("4d"),
    Field::new(
        "options.inbound_poll",
        Kind::DURATION_OR_ZERO,
        "how often the provider is asked for messages that came in, for those whose callback was missed; 0 for never",
    )
    .default("5m"),
    Field::new(
        "options.inbound_window",
        Kind::DURATION,
        "how far back the first of these questions goes",
    )
    .default("24h"),
    Field::new(
        "options.retention",
        Kind::DURATION_OR_ZERO,
        "how long the status of a message that is over stays readable without asking the provider",
    )
    .default("1h"),
    Field::new(
        "options.retention_messages",
        Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        "messages that are over whose status stays readable",
    )
    .default("10000"),
];

const POLL: Kind = Kind::Duration {
    min: Duration::from_secs(1),
    max: Duration::from_secs(24 * 60 * 60),
};

/// The engine's part of a checked configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MessagingSettings {
    /// The public URL of our webhooks; its path or user may be a secret.
    pub webhook_url: Option<Private<Url>>,
    /// Messages that are on their way; 10,000 by default.
    pub max_messages: usize,
    /// How long a caller waits while a message without an answer is looked for; 30 s by default.
    pub lookup_patience: Duration,
    /// How far back a message of an earlier process is looked for; 14 days by default.
    pub lookup_window: Duration,
    /// The waits between two questions about a message: 5 s doubling to 5 minutes by default.
    pub poll: Backoff,
    /// How long a message may be on its way; 4 days by default, a day more than telephone networks
    /// keep one for a telephone that is off.
    pub job_patience: Duration,
    /// How often the vendor is asked for what came in; 5 minutes by default, zero for never.
    pub inbound_poll: Duration,
    /// How far back the first of these questions goes; 24 hours by default.
    pub inbound_window: Duration,
    /// How long messages that are over stay readable; 1 hour by default.
    pub retention: Duration,
    /// Messages that are over and stay readable; 10,000 by default.
    pub retention_messages: usize,
}

#[derive(Deserialize)]
struct Raw {
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawOptions {
    #[serde(default, deserialize_with = "settings::webhook_url")]
    webhook_url: Option<Private<Url>>,
    max_messages: usize,
    #[serde(with = "duration")]
    lookup_patience: Duration,
    #[serde(with = "duration")]
    lookup_window: Duration,
    #[serde(with = "duration")]
    poll_min: Duration,
    #[serde(with = "duration")]
    poll_max: Duration,
    #[serde(with = "duration")]
    job_patience: Duration,
    #[serde(with = "duration")]
    inbound_poll: Duration,
    #[serde(with = "duration")]
    inbound_window: Duration,
    #[serde(with = "duration")]
    retention: Duration,
    retention_messages: usize,
}

impl MessagingSettings {
    /// The engine's part of a configuration, by the table of a provider. `null` is the empty one.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem that the table and the engine's
    /// own rules find; those of the provider are not asked for.
    pub fn from_value(table: &FieldTable, value: &Value) -> Result<Self> {
        let raw: Raw = settings::load(table, value)?;
        Ok(raw.options.into_settings())
    }
}

impl RawOptions {
    fn into_settings(self) -> MessagingSettings {
        MessagingSettings {
            webhook_url: self.webhook_url,
            max_messages: self.max_messages,
            lookup_patience: self.lookup_patience,
            lookup_window: self.lookup_window,
            poll: Backoff::new(self.poll_min, self.poll_max),
            job_patience: self.job_patience,
            inbound_poll: self.inbound_poll,
            inbound_window: self.inbound_window,
            retention: self.retention,
            retention_messages: self.retention_messages,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::cloud_fields;

    const TABLE: FieldTable = cloud_fields!(
        messaging,
        ["acme"],
        [Field::new("auth.api_key", Kind::Secret, "the key").required()]
    );

    #[test]
    fn the_table_has_no_fault_and_its_defaults_are_those_of_the_documentation() {
        assert_eq!(TABLE.faults(), Vec::<String>::new());
        let settings = MessagingSettings::from_value(&TABLE, &json!({"api_key": "k"})).unwrap();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert_eq!(settings.webhook_url, None);
        assert_eq!(settings.lookup_patience, Duration::from_secs(30));
        assert_eq!(settings.lookup_window, minutes(14 * 24 * 60));
        assert_eq!(settings.job_patience, minutes(4 * 24 * 60));
        assert_eq!(settings.inbound_poll, minutes(5));
        assert_eq!(settings.inbound_window, minutes(24 * 60));
        assert_eq!(settings.retention, minutes(60));
        assert_eq!(
            (settings.max_messages, settings.retention_messages),
            (10_000, 10_000)
        );
        assert_eq!(
            (settings.poll.base, settings.poll.cap),
            (Duration::from_secs(5), minutes(5))
        );
    }

    #[test]
    fn every_problem_of_the_provider_and_the_engine_is_told_at_once() {
        let value = json!({"options": {
            "webhook_url": "ftp://example.org", "poll_min": "10s", "poll_max": "9s",
            "max_message": 1, "inbound_poll": "-1s",
        }});
        let errors = settings::validate(&TABLE, &value, TABLE.validate(&value)).unwrap_err();
        let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "auth.api_key",
                "options.inbound_poll",
                "options.max_message",
                "options.poll_max",
                "options.webhook_url"
            ]
        );
    }
}
