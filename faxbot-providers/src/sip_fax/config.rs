//! The configuration of the plugin: one table of fields, and the checked form.

use std::time::Duration;

use faxbot_core::{
    Result,
    config::{ConfigError, ConfigErrors, Field, FieldTable, Kind, duration},
    document::{DocumentLimits, Resolution},
    fax::{FaxRetryPolicy, HeaderText, StationId, T38Mode},
};
use serde::Deserialize;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Bit rates that are taken, in bit/s: the slowest of V.27ter and the fastest of V.34.
pub(super) const RATES: std::ops::RangeInclusive<u32> = 2400..=33_600;

/// How long a call may ring at most.
pub(super) const RING_MAX: Duration = Duration::from_secs(600);

/// Every field of the configuration, with its default and documentation.
pub const FIELDS: FieldTable = FieldTable::new(
    &["sip-fax", "sip_fax"],
    &[
        Field::parsed::<StationId>(
            "options.station_id",
            "at most 20 printable ASCII characters",
            "our station id (TSI), unless a fax has its own",
        ),
        Field::parsed::<HeaderText>(
            "options.header",
            "at most 50 characters without control characters",
            "text of the header line, unless a fax has its own; empty for none",
        )
        .may_be_empty(),
        Field::new(
            "options.resolution",
            Kind::Enum(&["standard", "fine", "superfine"]),
            "vertical resolution that documents are converted to: 98, 196 or 391 lines per inch",
        )
        .default("fine"),
        Field::new("options.ecm", Kind::Bool, "error correction").default("true"),
        Field::new(
            "options.max_rate",
            Kind::Integer {
                min: 2400,
                max: 33_600,
            },
            "highest bit rate that is offered, in bit/s",
        )
        .default_note("the server's own"),
        Field::new(
            "options.t38",
            Kind::Enum(&["prefer", "require", "disable"]),
            "T.38 where the far end agrees, T.38 or nothing, or G.711 audio only",
        )
        .default("prefer"),
        Field::new(
            "options.ring_timeout",
            Kind::Duration {
                min: SECOND,
                max: RING_MAX,
            },
            "how long a call may ring",
        )
        .default("60s"),
        Field::new(
            "options.max_dials",
            Kind::Integer { min: 1, max: 100 },
            "calls that a job may place",
        )
        .default("12"),
        Field::new(
            "options.max_tries",
            Kind::Integer { min: 1, max: 100 },
            "calls of a job that may reach a fax",
        )
        .default("3"),
        Field::new("options.busy_wait", WAIT, "wait after busy").default("3m"),
        Field::new(
            "options.no_answer_waits",
            Kind::List,
            "waits after the first, second, ... call that nobody answered",
        )
        .default("5m,15m"),
        Field::new(
            "options.congestion_wait",
            WAIT,
            "first wait after congestion; doubled each time",
        )
        .default("1m"),
        Field::new(
            "options.congestion_wait_max",
            WAIT,
            "longest wait after congestion",
        )
        .default("15m"),
        Field::new(
            "options.comm_error_wait",
            WAIT,
            "wait after a communication error",
        )
        .default("1m"),
        Field::new(
            "options.not_a_fax_wait",
            WAIT,
            "wait after something that is no fax answered",
        )
        .default("5m"),
        Field::new(
            "options.not_a_fax_retries",
            Kind::Integer { min: 0, max: 10 },
            "more calls to a number where something that is no fax answered",
        )
        .default("1"),
        Field::new(
            "options.resume",
            Kind::Bool,
            "go on behind the confirmed pages of a fax that broke off",
        )
        .default("true"),
        Field::new(
            "options.jitter",
            Kind::Number { min: 0.0, max: 1.0 },
            "part of a wait that is added at random at most",
        )
        .default("0.1"),
        Field::new(
            "options.max_pages",
            Kind::Integer {
                min: 1,
                max: 100_000,
            },
            "pages of a fax",
        )
        .default("500"),
        Field::new(
            "options.max_bytes",
            Kind::Integer {
                min: 1,
                max: u64::MAX,
            },
            "bytes of a document",
        )
        .default("104857600"),
        Field::new(
            "options.convert_timeout",
            Kind::DURATION,
            "how long the conversion of a document may take",
        )
        .default("2m"),
        Field::new(
            "options.max_calls",
            Kind::Integer {
                min: 1,
                max: 10_000,
            },
            "fax calls at one time",
        )
        .default("30"),
        Field::new(
            "options.max_conversions",
            Kind::Integer { min: 1, max: 256 },
            "documents that are converted at one time",
        )
        .default("2"),
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
            "how long a job waits for a server that takes no requests",
        )
        .default("15m"),
        Field::new(
            "options.lookup_patience",
            Kind::DURATION,
            "how long the server is asked what became of a fax that was lost sight of",
        )
        .default("15m"),
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
    ],
);

const WAIT: Kind = Kind::DURATION;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SipFaxConfig {
    /// Our station id (TSI).
    pub station_id: Option<StationId>,
    /// The text of the header line.
    pub header: Option<HeaderText>,
    /// Resolution that documents are converted to; fine by default.
    pub resolution: Resolution,
    /// Error correction; on by default.
    pub ecm: bool,
    /// The highest bit rate that is offered, in bit/s.
    pub max_rate: Option<u32>,
    /// Which transport is used.
    pub t38: T38Mode,
    /// How long a call may ring; 60 s by default.
    pub ring_timeout: Duration,
    /// When a fax is dialled again.
    pub retry: FaxRetryPolicy,
    /// Pages, bytes and time of a conversion.
    pub limits: DocumentLimits,
    /// Fax calls at one time; 30 by default.
    pub max_calls: usize,
    /// Conversions at one time; 2 by default.
    pub max_conversions: usize,
    /// Jobs that are not over; 1,000 by default.
    pub max_jobs: usize,
    /// How long a job waits for a server that takes no requests; 15 minutes by default.
    pub server_patience: Duration,
    /// How long the server is asked what became of a fax; 15 minutes by default.
    pub lookup_patience: Duration,
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
    station_id: Option<StationId>,
    header: Option<HeaderText>,
    resolution: Resolution,
    ecm: bool,
    max_rate: Option<u32>,
    t38: T38Mode,
    #[serde(with = "duration")]
    ring_timeout: Duration,
    max_dials: u32,
    max_tries: u32,
    #[serde(with = "duration")]
    busy_wait: Duration,
    no_answer_waits: Vec<String>,
    #[serde(with = "duration")]
    congestion_wait: Duration,
    #[serde(with = "duration")]
    congestion_wait_max: Duration,
    #[serde(with = "duration")]
    comm_error_wait: Duration,
    #[serde(with = "duration")]
    not_a_fax_wait: Duration,
    not_a_fax_retries: u32,
    resume: bool,
    jitter: f64,
    max_pages: u32,
    max_bytes: u64,
    #[serde(with = "duration")]
    convert_timeout: Duration,
    max_calls: usize,
    max_conversions: usize,
    max_jobs: usize,
    #[serde(with = "duration")]
    server_patience: Duration,
    #[serde(with = "duration")]
    lookup_patience: Duration,
    #[serde(with = "duration")]
    retention: Duration,
    retention_jobs: usize,
}

impl SipFaxConfig {
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

fn load(value: &Value) -> Result<SipFaxConfig, ConfigErrors> {
    let empty = json!({});
    let value = if value.is_null() { &empty } else { value };
    FIELDS
        .load_with::<Raw>(value, rules)
        .map(|raw| raw.options.into_config())
}

impl RawOptions {
    fn into_config(self) -> SipFaxConfig {
        let mut retry = FaxRetryPolicy::new()
            .with_budgets(self.max_dials, self.max_tries)
            .with_resume(self.resume)
            .with_jitter(self.jitter);
        retry.busy = self.busy_wait;
        retry.no_answer = waits(&self.no_answer_waits).unwrap_or_default();
        retry.congestion_base = self.congestion_wait;
        retry.congestion_cap = self.congestion_wait_max;
        retry.comm_error = self.comm_error_wait;
        retry.not_a_fax = self.not_a_fax_wait;
        retry.not_a_fax_retries = self.not_a_fax_retries;
        let mut limits = DocumentLimits::default();
        limits.pages = self.max_pages;
        limits.bytes = self.max_bytes;
        limits.time = self.convert_timeout;
        SipFaxConfig {
            station_id: self.station_id,
            header: self.header.filter(|text| !text.expose().is_empty()),
            resolution: self.resolution,
            ecm: self.ecm,
            max_rate: self.max_rate,
            t38: self.t38,
            ring_timeout: self.ring_timeout,
            retry,
            limits,
            max_calls: self.max_calls,
            max_conversions: self.max_conversions,
            max_jobs: self.max_jobs,
            server_patience: self.server_patience,
            lookup_patience: self.lookup_patience,
            retention: self.retention,
            retention_jobs: self.retention_jobs,
        }
    }
}

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let option = |name: &str| value.get("options").and_then(|options| options.get(name));
    let wait = |name: &str| option(name)?.as_str().and_then(duration::parse);
    let mut problems = Vec::new();
    if let Some(list) = option("no_answer_waits")
        && serde_json::from_value::<Vec<String>>(list.clone())
            .ok()
            .and_then(|list| waits(&list))
            .is_none()
    {
        problems.push(ConfigError::new(
            "options.no_answer_waits",
            "not a list of durations",
            format!("each {}, at least a second", duration::EXPECTED),
        ));
    }
    if let (Some(first), Some(longest)) = (wait("congestion_wait"), wait("congestion_wait_max"))
        && first > longest
    {
        problems.push(ConfigError::new(
            "options.congestion_wait_max",
            "below congestion_wait",
            "a duration that is not below it",
        ));
    }
    if let (Some(dials), Some(tries)) = (
        option("max_dials").and_then(Value::as_u64),
        option("max_tries").and_then(Value::as_u64),
    ) && tries > dials
    {
        problems.push(ConfigError::new(
            "options.max_tries",
            "above max_dials",
            "a number that is not above it",
        ));
    }
    problems
}

fn waits(list: &[String]) -> Option<Vec<Duration>> {
    list.iter()
        .map(|text| duration::parse(text).filter(|wait| (SECOND..=24 * 60 * MINUTE).contains(wait)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_fault_and_its_defaults_are_those_of_the_contract() {
        assert_eq!(FIELDS.faults(), Vec::<String>::new());
        for value in [
            Value::Null,
            json!({}),
            json!({"type": "sip-fax", "realm": "n/a"}),
        ] {
            let config = SipFaxConfig::from_value(&value).unwrap();
            assert_eq!(config.retry, FaxRetryPolicy::default());
            assert_eq!(config.limits, DocumentLimits::default());
            assert_eq!(config.resolution, Resolution::Fine);
            assert_eq!(config.t38, T38Mode::Prefer);
            assert_eq!(config.retention, 60 * MINUTE);
            assert_eq!(config.retention_jobs, 10_000);
            assert!(config.ecm);
        }
    }

    #[test]
    fn every_option_is_read() {
        let config = SipFaxConfig::from_value(&json!({"options": {
            "station_id": "+49 30 1", "header": "Praxis", "resolution": "STANDARD", "ecm": false,
            "max_rate": 9600, "t38": "disable", "ring_timeout": "30s", "max_dials": 4, "max_tries": 2,
            "busy_wait": 10, "no_answer_waits": ["1m", "2m"], "jitter": 0, "max_pages": 3,
            "resume": false,
        }}))
        .unwrap();
        assert_eq!(config.station_id.unwrap().expose(), "+49 30 1");
        assert_eq!(config.header.unwrap().expose(), "Praxis");
        assert_eq!(config.resolution, Resolution::Standard);
        assert_eq!((config.ecm, config.max_rate), (false, Some(9600)));
        assert_eq!(config.t38, T38Mode::Disable);
        assert_eq!(config.retry.busy, 10 * SECOND);
        assert_eq!(config.retry.no_answer, [MINUTE, 2 * MINUTE]);
        assert_eq!((config.retry.max_dials, config.retry.max_tries), (4, 2));
        assert_eq!(config.limits.pages, 3);
        assert!(!config.retry.resume);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let errors = SipFaxConfig::validate(&json!({"options": {
            "station": "x", "station_id": "123456789012345678901", "t38": "maybe", "jitter": 2,
            "no_answer_waits": "soon", "congestion_wait": "20m", "max_dials": 2, "max_tries": 3,
        }}))
        .unwrap_err();
        let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "options.congestion_wait_max",
                "options.jitter",
                "options.max_tries",
                "options.no_answer_waits",
                "options.station",
                "options.station_id",
                "options.t38",
            ]
        );
    }
}
