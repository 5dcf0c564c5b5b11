//! The fields that every fax provider shares, and their checked form.

use std::time::Duration;

use faxbot_core::{
    Private, Result,
    config::{Field, FieldTable, Kind, duration},
    document::{DocumentLimits, Resolution},
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
        "options.upload",
        Kind::Enum(&["original", "pages"]),
        "what becomes of a PDF: uploaded as it is, or as the fax pages that a converter made of it",
    )
    .default("original"),
    Field::new(
        "options.resolution",
        Kind::Enum(&["standard", "fine", "superfine"]),
        "vertical resolution of converted pages, unless a fax has its own: 98, 196 or 391 lines per inch",
    )
    .default("fine"),
    Field::new(
        "options.max_pages",
        Kind::Integer {
            min: 1,
            max: 100_000,
        },
        "pages of a fax; the provider's own limit may be lower",
    )
    .default("500"),
    Field::new(
        "options.max_bytes",
        Kind::Integer {
            min: 1,
            max: u64::MAX,
        },
        "bytes of a document; the provider's own limit may be lower",
    )
    .default("104857600"),
    Field::new(
        "options.convert_timeout",
        Kind::DURATION,
        "how long the conversion of a document may take",
    )
    .default("2m"),
    Field::new(
        "options.max_uploads",
        Kind::Integer { min: 1, max: 256 },
        "documents that are read, converted and uploaded at one time",
    )
    .default("4"),
    Field::new(
        "options.max_jobs",
        Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        "jobs that are not over; more are refused as overloaded",
    )
    .default("1000"),
    Field::new(
        "options.server_patience",
        Kind::DURATION,
        "how long a job waits for a provider that takes nothing, or cannot be asked",
    )
    .default("15m"),
    Field::new(
        "options.lookup_patience",
        Kind::DURATION,
        "how long the provider is asked for a fax whose submission was not answered",
    )
    .default("15m"),
    Field::new(
        "options.lookup_window",
        Kind::DURATION,
        "how far back the provider is asked for a fax of an earlier process",
    )
    .default("30d"),
    Field::new("options.poll_min", POLL, "first wait between two questions about a fax, doubled each time")
        .default("5s"),
    Field::new("options.poll_max", POLL, "longest wait between two questions about a fax").default("60s"),
    Field::new(
        "options.job_patience",
        Kind::DURATION,
        "how long the provider may take for a fax; after that nobody can say what became of it",
    )
    .default("24h"),
    Field::new(
        "options.retention",
        Kind::DURATION_OR_ZERO,
        "how long the status of a finished job stays readable",
    )
    .default("1h"),
    Field::new(
        "options.retention_jobs",
        Kind::Integer {
            min: 1,
            max: 1_000_000,
        },
        "finished jobs whose status stays readable",
    )
    .default("10000"),
];

const POLL: Kind = Kind::Duration {
    min: Duration::from_secs(1),
    max: Duration::from_secs(24 * 60 * 60),
};

/// What becomes of a PDF when there is a converter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UploadMode {
    /// The document is uploaded as it is, and only checked by converting it.
    #[default]
    Original,
    /// The converted pages are uploaded.
    Pages,
}

/// The engine's part of a checked configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FaxSettings {
    /// The public URL of our webhooks; its path or user may be a secret.
    pub webhook_url: Option<Private<Url>>,
    /// What becomes of a PDF when there is a converter; the original by default.
    pub upload: UploadMode,
    /// Resolution that documents are converted to; fine by default.
    pub resolution: Resolution,
    /// Pages, bytes and time of a conversion.
    pub limits: DocumentLimits,
    /// Documents that are read, converted and uploaded at one time; 4 by default.
    pub max_uploads: usize,
    /// Jobs that are not over; 1,000 by default.
    pub max_jobs: usize,
    /// How long a job waits for a provider that takes nothing; 15 minutes by default.
    pub server_patience: Duration,
    /// How long the provider is asked for a fax without an answer; 15 minutes by default.
    pub lookup_patience: Duration,
    /// How far back the provider is asked for a fax of an earlier process; 30 days by default.
    pub lookup_window: Duration,
    /// The waits between two questions about a fax: 5 s doubling to 60 s by default.
    pub poll: Backoff,
    /// How long the provider may take for a fax; 24 hours by default.
    pub job_patience: Duration,
    /// How long finished jobs stay readable; 1 hour by default.
    pub retention: Duration,
    /// Finished jobs that stay readable; 10,000 by default.
    pub retention_jobs: usize,
}

#[derive(Deserialize)]
struct Raw {
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawOptions {
    #[serde(default, deserialize_with = "settings::webhook_url")]
    webhook_url: Option<Private<Url>>,
    upload: UploadMode,
    resolution: Resolution,
    max_pages: u32,
    max_bytes: u64,
    #[serde(with = "duration")]
    convert_timeout: Duration,
    max_uploads: usize,
    max_jobs: usize,
    #[serde(with = "duration")]
    server_patience: Duration,
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
    retention: Duration,
    retention_jobs: usize,
}

impl FaxSettings {
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
    fn into_settings(self) -> FaxSettings {
        let limits = DocumentLimits::default()
            .with_pages(self.max_pages)
            .with_bytes(self.max_bytes)
            .with_time(self.convert_timeout);
        FaxSettings {
            webhook_url: self.webhook_url,
            upload: self.upload,
            resolution: self.resolution,
            limits,
            max_uploads: self.max_uploads,
            max_jobs: self.max_jobs,
            server_patience: self.server_patience,
            lookup_patience: self.lookup_patience,
            lookup_window: self.lookup_window,
            poll: Backoff::new(self.poll_min, self.poll_max),
            job_patience: self.job_patience,
            retention: self.retention,
            retention_jobs: self.retention_jobs,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cloud::cloud_fields;

    const TABLE: FieldTable = cloud_fields!(
        fax,
        ["acme"],
        [Field::new("auth.api_key", Kind::Secret, "the key").required()]
    );

    #[test]
    fn the_table_has_no_fault_and_its_defaults_are_those_of_the_documentation() {
        assert_eq!(TABLE.faults(), Vec::<String>::new());
        let settings = FaxSettings::from_value(&TABLE, &json!({"api_key": "k"})).unwrap();
        assert_eq!(settings.limits, DocumentLimits::default());
        assert_eq!(settings.upload, UploadMode::Original);
        assert_eq!(settings.resolution, Resolution::Fine);
        assert_eq!(settings.webhook_url, None);
        assert_eq!(
            settings.lookup_window,
            Duration::from_secs(30 * 24 * 60 * 60)
        );
        assert_eq!((settings.max_uploads, settings.max_jobs), (4, 1000));
        let waits: Vec<_> = (0..6)
            .filter_map(|asked| settings.poll.delay(asked, 0.0))
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn every_problem_of_the_provider_and_the_engine_is_told_at_once() {
        let value = json!({"options": {
            "webhook_url": "ftp://example.org", "upload": "both", "poll_min": "10s",
            "poll_max": "9s", "max_jobz": 1,
        }});
        let errors = settings::validate(&TABLE, &value, TABLE.validate(&value)).unwrap_err();
        let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "auth.api_key",
                "options.max_jobz",
                "options.poll_max",
                "options.upload",
                "options.webhook_url"
            ]
        );
    }

    #[test]
    fn a_webhook_url_is_read_and_shows_nowhere() {
        let url = "https://vendor:hush@fax.example.org/hooks/hush";
        let value = json!({"api_key": "k", "options": {"webhook_url": url}});
        let settings = FaxSettings::from_value(&TABLE, &value).unwrap();
        assert_eq!(
            settings.webhook_url.as_ref().unwrap().expose().as_str(),
            url
        );
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
