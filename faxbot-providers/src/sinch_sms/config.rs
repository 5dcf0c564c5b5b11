//! The configuration: one table of fields, and the checked form.

use std::num::NonZeroU32;

use faxbot_core::{
    Private, Result, Secret,
    config::{ConfigError, ConfigErrors, Field, FieldTable, Kind},
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::cloud::{cloud_fields, fields::parse_base_url};

/// Every field of the configuration, with its default and documentation.
pub const FIELDS: FieldTable = cloud_fields!(
    messaging,
    ["faxbot-sinch-sms", "sinch-sms", "sinch_sms"],
    [
        Field::new(
            "auth.service_plan_id",
            Kind::Text,
            "the service plan; required, unless there is a project"
        )
        .aliases(&["plan_id"])
        .server_name("SERVICE PLAN ID"),
        Field::new("auth.api_token", Kind::Secret, "the token of the service plan")
            .server_name("API TOKEN"),
        Field::new(
            "auth.project_id",
            Kind::Text,
            "the project, in the place of a service plan; regions us and eu"
        ),
        Field::new("auth.key_id", Kind::Secret, "the access key of the project"),
        Field::new("auth.key_secret", Kind::Secret, "its secret"),
        Field::new(
            "auth.webhook_secret",
            Kind::Secret,
            "the secret that Sinch signs callbacks with; with it nothing unsigned is taken",
        )
        .server_name("HMAC secret of the service plan")
        .default_note("none: callbacks come by a URL with a secret, and what they name is fetched"),
        Field::new(
            "options.from_number",
            Kind::Checked {
                expected: SENDER,
                accepts: |value| value.as_str().is_some_and(is_sender),
            },
            "who the messages are from: a number or short code of the account, or a name that nobody can reply to",
        )
        .aliases(&["from"])
        .server_name("`from`")
        .required(),
        Field::new(
            "options.enable_delivery_reports",
            Kind::Bool,
            "asks for a callback for each change of a message; statuses are polled in any case",
        )
        .server_name("`delivery_report`: `per_recipient` or `none`")
        .default("true"),
        Field::new(
            "options.region",
            Kind::Enum(&["us", "eu", "au", "br", "ca"]),
            "where the service plan is; MMS is sent in us",
        )
        .default("us"),
        Field::new("options.requests_per_second", RATE, "requests a second").default("20"),
        Field::new(
            "options.request_burst",
            RATE,
            "requests at once after a quiet time"
        )
        .default("20"),
        Field::new(
            "options.base_url",
            ADDRESS,
            "address of the interface, before `/xms/v1`; http only to this machine",
        )
        .default_note("that of the region"),
        Field::new(
            "options.auth_url",
            ADDRESS,
            "address of the tokens of a project; http only to this machine",
        )
        .default("https://auth.sinch.com/"),
    ]
);

const RATE: Kind = Kind::Integer { min: 1, max: 1000 };

const ADDRESS: Kind = Kind::Checked {
    expected: "an https URL without user and password, or an http one of this machine",
    accepts: |value| {
        value
            .as_str()
            .is_some_and(|text| parse_base_url(text).is_some())
    },
};

const SENDER: &str = "+ and 7 to 15 digits, a short code of 3 to 8 digits, or a name of at most 11 letters, \
                      digits and spaces";
/// Characters of a name as the sender (3GPP TS 23.040 §9.1.2.5: 11 characters of 7 bits).
const NAME: usize = 11;

/// Who a message may be from.
fn is_sender(text: &str) -> bool {
    let digits = |text: &str, range: std::ops::RangeInclusive<usize>| {
        range.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.strip_prefix('+') {
        Some(number) => digits(number, 7..=15) && !number.starts_with('0'),
        None if digits(text, 0..=usize::MAX) => {
            digits(text, 3..=8) || digits(text, 9..=15) && !text.starts_with('0')
        }
        None => {
            text.len() <= NAME
                && text.trim() == text
                && text.bytes().any(|byte| byte.is_ascii_alphabetic())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b" .&_-".contains(&byte))
        }
    }
}

/// What a request is authorised with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SinchSmsAccount {
    /// A service plan and its token.
    #[non_exhaustive]
    Plan {
        /// The plan.
        id: String,
        /// Its token.
        token: Secret,
    },
    /// A project and its access key.
    #[non_exhaustive]
    Project {
        /// The project.
        id: String,
        /// The access key.
        key_id: Secret,
        /// Its secret.
        key_secret: Secret,
    },
}

/// A checked configuration. `Debug` shows no credential and no number.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SinchSmsConfig {
    /// What a request is authorised with.
    pub account: SinchSmsAccount,
    /// The secret of the signatures of callbacks.
    pub webhook_secret: Option<Secret>,
    /// Who the messages are from.
    pub from_number: Private,
    /// Whether callbacks of messages are asked for; true by default.
    pub enable_delivery_reports: bool,
    /// Where the service plan is; `us` by default.
    pub region: String,
    /// Requests a second; 20 by default.
    pub requests_per_second: NonZeroU32,
    /// Requests at once after a quiet time; 20 by default.
    pub request_burst: NonZeroU32,
    /// The address of the interface, without `/xms/v1`.
    pub base_url: Url,
    /// The address of the tokens of a project, without `/oauth2/token`.
    pub auth_url: Url,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    auth: RawAuth,
    options: RawOptions,
}

#[derive(Default, Deserialize)]
struct RawAuth {
    service_plan_id: Option<String>,
    api_token: Option<Secret>,
    project_id: Option<String>,
    key_id: Option<Secret>,
    key_secret: Option<Secret>,
    webhook_secret: Option<Secret>,
}

#[derive(Deserialize)]
struct RawOptions {
    from_number: Private,
    enable_delivery_reports: bool,
    region: String,
    requests_per_second: NonZeroU32,
    request_burst: NonZeroU32,
    base_url: Option<String>,
    auth_url: String,
}

impl SinchSmsConfig {
    /// Loads a configuration of any serde format.
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

fn load(value: &Value) -> Result<SinchSmsConfig, ConfigErrors> {
    let empty = json!({});
    let value = if value.is_null() { &empty } else { value };
    let raw = FIELDS.load_with::<Raw>(value, rules)?;
    let config = raw.into_config();
    // The rules left nothing else.
    config.ok_or_else(|| problem("auth", "not a whole account", ACCOUNT).into())
}

impl Raw {
    fn into_config(self) -> Option<SinchSmsConfig> {
        let (auth, options) = (self.auth, self.options);
        let region = options.region;
        let (account, host) = match (auth.service_plan_id, auth.api_token) {
            (Some(id), Some(token)) => (
                SinchSmsAccount::Plan { id, token },
                format!("https://{region}.sms.api.sinch.com/"),
            ),
            // Projects have hosts of their own: sinch-sdk-node, packages/sms/src/rest/v1/sms-service.ts,
            // buildHostname.
            _ => (
                SinchSmsAccount::Project {
                    id: auth.project_id?,
                    key_id: auth.key_id?,
                    key_secret: auth.key_secret?,
                },
                format!("https://zt.{region}.sms.api.sinch.com/"),
            ),
        };
        Some(SinchSmsConfig {
            account,
            webhook_secret: auth.webhook_secret,
            from_number: options.from_number,
            enable_delivery_reports: options.enable_delivery_reports,
            region,
            requests_per_second: options.requests_per_second,
            request_burst: options.request_burst,
            base_url: parse_base_url(options.base_url.as_deref().unwrap_or(&host))?,
            auth_url: parse_base_url(&options.auth_url)?,
        })
    }
}

const ACCOUNT: &str = "service_plan_id and api_token, or project_id, key_id and key_secret";

fn problem(path: &str, problem: &str, expected: &str) -> ConfigError {
    ConfigError::new(path, problem, expected)
}

/// What concerns several fields.
fn rules(value: &Value) -> Vec<ConfigError> {
    let section = |section: &str, name: &str| value.get(section)?.get(name).cloned();
    let given = |name: &str| section("auth", name).is_some();
    let plan = ["service_plan_id", "api_token"];
    let project = ["project_id", "key_id", "key_secret"];
    let mut problems = Vec::new();
    match (
        plan.iter().any(|n| given(n)),
        project.iter().any(|n| given(n)),
    ) {
        (true, true) => {
            problems.push(problem(
                "auth.project_id",
                "given with a service plan",
                ACCOUNT,
            ));
        }
        (false, true) => {
            for name in project.into_iter().filter(|name| !given(name)) {
                problems.push(problem(&format!("auth.{name}"), "missing", ACCOUNT));
            }
            // N sms-domain: the other regions have no host for projects.
            let region = section("options", "region");
            let own = section("options", "base_url").is_some();
            if !own
                && !matches!(
                    region.as_ref().and_then(Value::as_str),
                    None | Some("us" | "eu")
                )
            {
                let expected = "us or eu, or a service plan";
                problems.push(problem("options.region", "not for a project", expected));
            }
        }
        _ => {
            for name in plan.into_iter().filter(|name| !given(name)) {
                problems.push(problem(&format!("auth.{name}"), "missing", ACCOUNT));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat() -> Value {
        json!({"service_plan_id": "plan", "api_token": "hush", "from_number": "+15550100001"})
    }

    fn paths(value: &Value) -> Vec<String> {
        let errors = SinchSmsConfig::validate(value).unwrap_err();
        errors.iter().map(|error| error.path.clone()).collect()
    }

    #[test]
    fn the_table_has_no_fault_and_the_four_keys_are_enough() {
        assert_eq!(FIELDS.faults(), Vec::<String>::new());
        let mut value = flat();
        let config = SinchSmsConfig::from_value(&value).unwrap();
        assert!(config.enable_delivery_reports);
        assert_eq!(config.base_url.as_str(), "https://us.sms.api.sinch.com/");
        assert!(config.webhook_secret.is_none());
        assert!(!format!("{config:?}").contains("hush"));
        assert!(!format!("{config:?}").contains("5550100001"));
        value["enable_delivery_reports"] = json!("no");
        value["region"] = json!("AU");
        let config = SinchSmsConfig::from_value(&value).unwrap();
        assert!(!config.enable_delivery_reports);
        assert_eq!(config.base_url.as_str(), "https://au.sms.api.sinch.com/");
    }

    #[test]
    fn a_project_has_a_host_of_its_own() {
        let value = json!({"project_id": "p", "key_id": "hush-1", "key_secret": "hush-2",
            "from_number": "12345", "region": "eu"});
        let config = SinchSmsConfig::from_value(&value).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
        assert_eq!(config.base_url.as_str(), "https://zt.eu.sms.api.sinch.com/");
        assert!(matches!(config.account, SinchSmsAccount::Project { .. }));
        let mut other = value.clone();
        other["region"] = json!("br");
        assert_eq!(paths(&other), ["options.region"]);
        let mut both = value;
        both["service_plan_id"] = json!("plan");
        assert_eq!(paths(&both), ["auth.project_id"]);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        assert_eq!(
            paths(&Value::Null),
            [
                "options.from_number",
                "auth.service_plan_id",
                "auth.api_token"
            ]
        );
        let value = json!({"api_token": "", "from_number": "+", "regoin": "us",
            "base_url": "http://sms.example.org"});
        let mut paths = paths(&value);
        paths.sort();
        assert_eq!(
            paths,
            [
                "api_token",
                "auth.api_token",
                "auth.service_plan_id",
                "base_url",
                "from_number",
                "regoin"
            ]
        );
        assert_eq!(
            self::paths(&json!({"project_id": "p", "from_number": "12345"})),
            ["auth.key_id", "auth.key_secret"]
        );
    }

    #[test]
    fn a_sender_is_a_number_a_short_code_or_a_name() {
        for (text, right) in [
            ("+15550100001", true),
            ("15550100001", true),
            ("12345", true),
            ("Praxis", true),
            ("Dr Zwirner", true),
            ("A1", true),
            ("", false),
            ("+", false),
            ("+123456", false),
            ("+05550100001", false),
            ("05550100001", false),
            ("12", false),
            ("1234567890123456", false),
            ("TwelveLetter", false),
            (" Praxis", false),
            ("Prax\u{ed}s", false),
            ("a/b", false),
            ("--", false),
        ] {
            assert_eq!(is_sender(text), right, "{text}");
        }
    }
}
