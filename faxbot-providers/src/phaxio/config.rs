//! The configuration: one table of fields, and the checked form.

use std::num::NonZeroU32;

use faxbot_core::{
    Private, Result, Secret,
    address::PhoneNumber,
    config::{ConfigError, ConfigErrors, Field, FieldTable, Kind},
    fax::HeaderText,
};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::cloud::{
    cloud_fields,
    fields::{self, parse_base_url, parse_webhook_url},
};

/// Phaxio's interface v2.1 (phaxio-ruby, `lib/phaxio/config.rb`).
const BASE_URL: &str = "https://api.phaxio.com/v2.1/";

/// Every field of the configuration, with its default and documentation.
pub const FIELDS: FieldTable = cloud_fields!(
    fax,
    ["phaxio"],
    [
        Field::new("auth.api_key", Kind::Secret, "the key of the account")
            .server_name("API key")
            .required(),
        Field::new("auth.api_secret", Kind::Secret, "its secret")
            .server_name("API secret")
            .required(),
        Field::new(
            "auth.callback_token",
            Kind::Secret,
            "the key that callbacks are signed with: neither the API key nor its secret",
        )
        .aliases(&["webhook_token"])
        .server_name("callback token")
        .default_note("none; required for callbacks, unless verify_signature is false"),
        Field::new(
            "options.verify_signature",
            Kind::Bool,
            "refuses callbacks without a right signature; false believes none and fetches each fax instead",
        )
        .default("true"),
        Field::new(
            "options.test_keys",
            Kind::Bool,
            "the key is one for tests: what Phaxio only simulates counts as sent; without this it counts as failed",
        )
        .default("false"),
        Field::new("options.callback_url", CALLBACK, "the URL that Phaxio calls, as Phaxio was given it")
            .server_name("callback URL of the account")
            .default_note("`webhook_url`, or the host's"),
        Field::new(
            "options.status_callback_url",
            CALLBACK,
            "the URL that goes with each fax for its callbacks",
        )
        .server_name("`callback_url` of a fax")
        .default_note("`callback_url`"),
        Field::parsed::<PhoneNumber>(
            "options.caller_id",
            "a phone number: + and 7 to 15 digits",
            "the number that is shown; one of the account",
        )
        .server_name("`caller_id`")
        .default_note("the account's own"),
        Field::parsed::<HeaderText>(
            "options.header",
            "at most 50 characters without control characters",
            "text of the header line, unless a fax has its own; empty for Phaxio's own",
        )
        .server_name("`header_text`")
        .may_be_empty(),
        Field::new("options.requests_per_second", RATE, "requests a second").default("1"),
        Field::new("options.request_burst", RATE, "requests at once after a quiet time").default("5"),
        fields::base_url(BASE_URL),
    ]
);

const CALLBACK: Kind = Kind::Checked {
    expected: "an http or https URL without a fragment",
    accepts: |value| {
        value
            .as_str()
            .is_some_and(|text| parse_webhook_url(text).is_some())
    },
};

const RATE: Kind = Kind::Integer { min: 1, max: 1000 };

/// A checked configuration. `Debug` shows no credential and no URL of ours.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PhaxioConfig {
    /// The key of the account.
    pub api_key: Secret,
    /// Its secret.
    pub api_secret: Secret,
    /// The key of the signatures of callbacks.
    pub callback_token: Option<Secret>,
    /// Whether a callback must be signed; true by default.
    pub verify_signature: bool,
    /// Whether a fax that was only simulated counts as sent; false by default.
    pub test_keys: bool,
    /// The URL that Phaxio calls, where it is not the one that the host has.
    pub callback_url: Option<Private<Url>>,
    /// The URL that goes with each fax, where it is another.
    pub status_callback_url: Option<Private<Url>>,
    /// The number that is shown.
    pub caller_id: Option<PhoneNumber>,
    /// The text of the header line.
    pub header: Option<HeaderText>,
    /// Requests a second; 1 by default.
    pub requests_per_second: NonZeroU32,
    /// Requests at once after a quiet time; 5 by default.
    pub request_burst: NonZeroU32,
    /// The address of Phaxio's interface.
    pub base_url: Url,
}

#[derive(Deserialize)]
struct Raw {
    auth: RawAuth,
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawAuth {
    api_key: Secret,
    api_secret: Secret,
    callback_token: Option<Secret>,
}

#[derive(Deserialize)]
struct RawOptions {
    verify_signature: bool,
    test_keys: bool,
    callback_url: Option<String>,
    status_callback_url: Option<String>,
    caller_id: Option<PhoneNumber>,
    header: Option<HeaderText>,
    requests_per_second: NonZeroU32,
    request_burst: NonZeroU32,
    base_url: String,
}

impl PhaxioConfig {
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

    /// Checks that callbacks can be verified, where there are any.
    pub(super) fn check_token(&self, callbacks: bool) -> Result<(), ConfigErrors> {
        if callbacks && self.verify_signature && self.callback_token.is_none() {
            return Err(no_token().into());
        }
        Ok(())
    }
}

fn load(value: &Value) -> Result<PhaxioConfig, ConfigErrors> {
    let empty = json!({});
    let value = if value.is_null() { &empty } else { value };
    let Raw { auth, options } = FIELDS.load_with(value, rules)?;
    let callback = |text: Option<String>| Some(Private::new(parse_webhook_url(&text?)?));
    let base_url = parse_base_url(&options.base_url)
        .ok_or_else(|| ConfigError::new("options.base_url", "not accepted", "an https URL"))?;
    Ok(PhaxioConfig {
        api_key: auth.api_key,
        api_secret: auth.api_secret,
        callback_token: auth.callback_token,
        verify_signature: options.verify_signature,
        test_keys: options.test_keys,
        callback_url: callback(options.callback_url),
        status_callback_url: callback(options.status_callback_url),
        caller_id: options.caller_id,
        header: options.header.filter(|text| !text.expose().is_empty()),
        requests_per_second: options.requests_per_second,
        request_burst: options.request_burst,
        base_url,
    })
}

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let field = |section: &str, name: &str| value.get(section)?.get(name);
    let mut problems = Vec::new();
    let key = field("auth", "api_key").and_then(Value::as_str);
    if key.is_some_and(|key| key.contains(':')) {
        problems.push(ConfigError::new(
            "auth.api_key",
            "holds a colon",
            "the key alone, without its secret",
        ));
    }
    let base = field("options", "base_url").and_then(Value::as_str);
    let base = base.and_then(parse_base_url);
    if base.is_some_and(|url| is_phaxios(&url) && url.path() != "/v2.1/") {
        problems.push(ConfigError::new(
            "options.base_url",
            "another version of the interface, or none",
            BASE_URL,
        ));
    }
    let callbacks = ["webhook_url", "callback_url", "status_callback_url"]
        .iter()
        .any(|name| field("options", name).is_some());
    let verify = field("options", "verify_signature") == Some(&Value::Bool(true));
    if callbacks && verify && field("auth", "callback_token").is_none() {
        problems.push(no_token());
    }
    problems
}

fn is_phaxios(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host == "phaxio.com" || host.ends_with(".phaxio.com")
}

/// Without the token every callback would be refused, and nobody would know why.
fn no_token() -> ConfigError {
    ConfigError::new(
        "auth.callback_token",
        "missing, and callbacks are in use",
        "the callback token of the account's settings, or verify_signature: false",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Value {
        let mut config = json!({"api_key": "key-1", "api_secret": "hush-1"});
        let extra = value.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(extra);
        config
    }

    #[test]
    fn the_table_has_no_fault_and_two_keys_are_enough() {
        assert_eq!(FIELDS.faults(), Vec::<String>::new());
        let config = PhaxioConfig::from_value(&config(json!({}))).unwrap();
        assert!(config.verify_signature && config.callback_token.is_none());
        assert_eq!(config.base_url.as_str(), BASE_URL);
        assert_eq!(config.requests_per_second.get(), 1);
        assert!(config.check_token(false).is_ok());
        assert!(config.check_token(true).is_err());
    }

    #[test]
    fn the_names_of_the_contract_stand_at_the_top() {
        let config = PhaxioConfig::from_value(&config(json!({
            "type": "phaxio", "callback_token": "hush-2", "verify_signature": "no",
            "callback_url": "https://user:hush-3@fax.example.org/hook",
            "status_callback_url": "https://fax.example.org/status/hush-4",
            "caller_id": "+15551230000", "header": "Praxis", "requests_per_second": 7,
            "base_url": "http://127.0.0.1:9/v2.1",
        })))
        .unwrap();
        assert!(!config.verify_signature);
        assert_eq!(config.caller_id.as_ref().unwrap().e164(), "+15551230000");
        assert_eq!(config.header.as_ref().unwrap().expose(), "Praxis");
        assert_eq!(config.base_url.as_str(), "http://127.0.0.1:9/v2.1/");
        let status = config.status_callback_url.as_ref().unwrap().expose();
        assert_eq!(status.path(), "/status/hush-4");
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("hush") && !shown.contains("key-1"),
            "{shown}"
        );
    }

    #[test]
    fn callbacks_without_their_token_are_refused_unless_nobody_is_to_verify() {
        for (value, right) in [
            (
                json!({"callback_url": "https://fax.example.org/hook"}),
                false,
            ),
            (
                json!({"status_callback_url": "https://fax.example.org/hook"}),
                false,
            ),
            (
                json!({"webhook_url": "https://fax.example.org/hook"}),
                false,
            ),
            (
                json!({"callback_url": "https://fax.example.org/hook", "callback_token": "t"}),
                true,
            ),
            (
                json!({"callback_url": "https://fax.example.org/hook", "verify_signature": false}),
                true,
            ),
        ] {
            let result = PhaxioConfig::validate(&config(value.clone()));
            assert_eq!(result.is_ok(), right, "{value}");
            if let Err(errors) = result {
                assert_eq!(errors.first().path, "auth.callback_token");
            }
        }
    }

    #[test]
    fn an_address_of_phaxio_has_the_version_that_is_spoken_here() {
        for (url, right) in [
            ("https://api.phaxio.com/v2.1", true),
            ("https://api.phaxio.com/v2.1/", true),
            ("https://api.phaxio.com", false),
            ("https://api.phaxio.com/v2", false),
            ("https://api.phaxio.com/v2.1/faxes", false),
            ("https://proxy.example.org/phaxio", true),
            ("http://127.0.0.1:8080", true),
        ] {
            let result = PhaxioConfig::validate(&config(json!({"base_url": url})));
            assert_eq!(result.is_ok(), right, "{url}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let errors = PhaxioConfig::validate(&json!({
            "api_key": "a:b", "callback_url": "mailto:a@example.org", "caller_id": "1001",
            "base_url": "http://api.phaxio.com/", "callback_tokn": "x", "requests_per_second": 0,
        }))
        .unwrap_err();
        let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "auth.api_key",
                "auth.api_secret",
                "base_url",
                "callback_tokn",
                "callback_url",
                "caller_id",
                "requests_per_second"
            ]
        );
        assert!(PhaxioConfig::validate(&Value::Null).is_err());
    }
}
