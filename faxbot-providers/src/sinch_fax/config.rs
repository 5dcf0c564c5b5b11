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

use super::wire::{MOST_RETRIES, is_id};
use crate::cloud::{
    cloud_fields,
    fields::{parse_base_url, parse_webhook_url},
};

/// The host of the interface (sinch-sdk-node, `packages/sdk-client/src/domain/domain-helper.ts`).
const HOST: &str = "fax.api.sinch.com";
/// The host of the tokens (the same).
const AUTH_URL: &str = "https://auth.sinch.com/";

/// Every field of the configuration, with its default and documentation.
pub const FIELDS: FieldTable = cloud_fields!(
    fax,
    ["sinch-fax", "sinch_fax"],
    [
        Field::new("options.project_id", Kind::Text, "the project")
            .server_name("project ID")
            .required(),
        Field::new("auth.key_id", Kind::Secret, "the access key of the project")
            .aliases(&["api_key", "access_key"])
            .server_name("key ID")
            .required(),
        Field::new("auth.key_secret", Kind::Secret, "its secret")
            .aliases(&["api_secret", "access_secret"])
            .server_name("key secret")
            .required(),
        Field::new(
            "options.auth_method",
            Kind::Enum(&["oauth2", "basic"]),
            "how requests are authorised; basic is heavily limited by Sinch, for tests only",
        )
        .default("oauth2"),
        Field::new(
            "options.service_id",
            Kind::Text,
            "the fax service that faxes are sent by",
        )
        .server_name("`serviceId`")
        .default_note("the project's own"),
        Field::new(
            "options.region",
            Kind::Enum(&["global", "use1", "eu1", "sae1", "apse1", "apse2"]),
            "the host of a region; Sinch's newest client says that all of them are one",
        )
        .default("global"),
        Field::new("options.base_url", BASE, "address of the interface, instead of a region's")
            .default_note("the region's"),
        Field::new("options.auth_url", BASE, "address of the tokens").default(AUTH_URL),
        Field::parsed::<PhoneNumber>(
            "options.from",
            "a phone number: + and 7 to 15 digits",
            "the number that is shown; one of the project",
        )
        .aliases(&["from_number", "caller_id"])
        .server_name("`from`")
        .default_note("the service's own"),
        Field::parsed::<HeaderText>(
            "options.header",
            "at most 50 characters without control characters",
            "text of the header line, unless a fax has its own; empty for Sinch's own",
        )
        .server_name("`headerText`")
        .may_be_empty(),
        Field::new(
            "options.max_retries",
            Kind::Integer {
                min: 0,
                max: MOST_RETRIES as u64,
            },
            "calls that Sinch places again, unless a fax has its own `retry`",
        )
        .server_name("`maxRetries`")
        .default_note("the service's own, which is 3 at first"),
        Field::new(
            "options.image_conversion",
            Kind::Enum(&["halftone", "monochrome"]),
            "how grey becomes black and white",
        )
        .server_name("`imageConversionMethod`")
        .default_note("the service's own"),
        Field::new(
            "options.body",
            Kind::Enum(&["json", "multipart"]),
            "how a document is uploaded; only in JSON the form of our label is certain, by which a fax is found again",
        )
        .default("json"),
        Field::new(
            "options.callback_url",
            CALLBACK,
            "the URL that Sinch calls, as Sinch was given it; may hold user and password",
        )
        .server_name("`callbackUrl`")
        .default_note("`webhook_url`, or the host's"),
        Field::new("options.requests_per_second", RATE, "requests a second").default("10"),
        Field::new("options.request_burst", RATE, "requests at once after a quiet time").default("10"),
    ]
);

const BASE: Kind = Kind::Checked {
    expected: "an https URL without user and password, or an http one of this machine",
    accepts: |value| {
        value
            .as_str()
            .is_some_and(|text| parse_base_url(text).is_some())
    },
};

const CALLBACK: Kind = Kind::Checked {
    expected: "an http or https URL without a fragment",
    accepts: |value| {
        value
            .as_str()
            .is_some_and(|text| parse_webhook_url(text).is_some())
    },
};

const RATE: Kind = Kind::Integer { min: 1, max: 1000 };

/// How requests are authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthMethod {
    /// Tokens that the key fetches.
    #[default]
    Oauth2,
    /// The key with each request.
    Basic,
}

/// How grey becomes black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageConversion {
    /// Dots, for photographs.
    Halftone,
    /// A threshold, for text.
    Monochrome,
}

impl ImageConversion {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Halftone => "HALFTONE",
            Self::Monochrome => "MONOCHROME",
        }
    }
}

/// How a document is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BodyForm {
    /// JSON, the document in base64.
    #[default]
    Json,
    /// A form with a file.
    Multipart,
}

/// A checked configuration. `Debug` shows no credential and no URL of ours.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SinchFaxConfig {
    /// The project.
    pub project_id: String,
    /// The access key of the project.
    pub key_id: Secret,
    /// Its secret.
    pub key_secret: Secret,
    /// How requests are authorised; OAuth2 by default.
    pub auth_method: AuthMethod,
    /// The fax service.
    pub service_id: Option<String>,
    /// The address of the interface.
    pub base_url: Url,
    /// The address of the tokens.
    pub auth_url: Url,
    /// The number that is shown.
    pub from: Option<PhoneNumber>,
    /// The text of the header line.
    pub header: Option<HeaderText>,
    /// Calls that Sinch places again.
    pub max_retries: Option<u32>,
    /// How grey becomes black and white.
    pub image_conversion: Option<ImageConversion>,
    /// How a document is uploaded; JSON by default.
    pub body: BodyForm,
    /// The URL that Sinch calls, where it is not the one that the host has.
    pub callback_url: Option<Private<Url>>,
    /// Requests a second; 10 by default.
    pub requests_per_second: NonZeroU32,
    /// Requests at once after a quiet time; 10 by default.
    pub request_burst: NonZeroU32,
}

#[derive(Deserialize)]
struct Raw {
    auth: RawAuth,
    options: RawOptions,
}

#[derive(Deserialize)]
struct RawAuth {
    key_id: Secret,
    key_secret: Secret,
}

#[derive(Deserialize)]
struct RawOptions {
    project_id: String,
    auth_method: AuthMethod,
    service_id: Option<String>,
    region: String,
    base_url: Option<String>,
    auth_url: String,
    from: Option<PhoneNumber>,
    header: Option<HeaderText>,
    max_retries: Option<u32>,
    image_conversion: Option<ImageConversion>,
    body: BodyForm,
    callback_url: Option<String>,
    requests_per_second: NonZeroU32,
    request_burst: NonZeroU32,
}

impl SinchFaxConfig {
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

    /// Where tokens are fetched.
    pub(super) fn token_url(&self) -> Result<Url, ConfigErrors> {
        self.auth_url.join("oauth2/token").map_err(|_| {
            ConfigError::new("options.auth_url", "not accepted", "an https URL").into()
        })
    }
}

fn load(value: &Value) -> Result<SinchFaxConfig, ConfigErrors> {
    let empty = json!({});
    let value = if value.is_null() { &empty } else { value };
    let Raw { auth, options } = FIELDS.load_with(value, rules)?;
    let region = match options.region.as_str() {
        "global" => format!("https://{HOST}/"),
        region => format!("https://{region}.{HOST}/"),
    };
    let base = |path: &str, text: &str| {
        parse_base_url(text).ok_or_else(|| ConfigError::new(path, "not accepted", "an https URL"))
    };
    let callback = |text: Option<String>| Some(Private::new(parse_webhook_url(&text?)?));
    Ok(SinchFaxConfig {
        project_id: options.project_id,
        key_id: auth.key_id,
        key_secret: auth.key_secret,
        auth_method: options.auth_method,
        service_id: options.service_id,
        base_url: base(
            "options.base_url",
            options.base_url.as_deref().unwrap_or(&region),
        )?,
        auth_url: base("options.auth_url", &options.auth_url)?,
        from: options.from,
        header: options.header.filter(|text| !text.expose().is_empty()),
        max_retries: options.max_retries,
        image_conversion: options.image_conversion,
        body: options.body,
        callback_url: callback(options.callback_url),
        requests_per_second: options.requests_per_second,
        request_burst: options.request_burst,
    })
}

/// What concerns several fields, or the inside of one.
fn rules(value: &Value) -> Vec<ConfigError> {
    let field = |section: &str, name: &str| value.get(section)?.get(name)?.as_str();
    let mut problems = Vec::new();
    if field("auth", "key_id").is_some_and(|key| key.contains(':')) {
        problems.push(ConfigError::new(
            "auth.key_id",
            "holds a colon",
            "the key alone, without its secret",
        ));
    }
    if field("options", "project_id").is_some_and(|id| !is_id(id)) {
        problems.push(ConfigError::new(
            "options.project_id",
            "not accepted",
            "the id of a project, without the rest of its address",
        ));
    }
    let region = field("options", "region").is_some_and(|region| region != "global");
    if region && field("options", "base_url").is_some() {
        problems.push(ConfigError::new(
            "options.base_url",
            "given beside a region",
            "one of the two",
        ));
    }
    for (name, own) in [("base_url", "projects"), ("auth_url", "oauth2")] {
        let url = field("options", name).and_then(parse_base_url);
        let segments = url
            .as_ref()
            .filter(|url| is_sinchs(url))
            .and_then(Url::path_segments);
        if segments.is_some_and(|mut all| all.any(|part| part == "v3" || part == own)) {
            problems.push(ConfigError::new(
                format!("options.{name}"),
                "holds a part of the path that is added here",
                "the host alone",
            ));
        }
    }
    problems
}

fn is_sinchs(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host.ends_with(".sinch.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Value {
        let mut config = json!({"project_id": "p-1", "key_id": "key-1", "key_secret": "hush-1"});
        let extra = value.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(extra);
        config
    }

    #[test]
    fn the_table_has_no_fault_and_project_and_key_are_enough() {
        assert_eq!(FIELDS.faults(), Vec::<String>::new());
        let config = SinchFaxConfig::from_value(&config(json!({}))).unwrap();
        assert_eq!(config.auth_method, AuthMethod::Oauth2);
        assert_eq!(config.body, BodyForm::Json);
        assert_eq!(config.base_url.as_str(), "https://fax.api.sinch.com/");
        assert_eq!(config.auth_url.as_str(), "https://auth.sinch.com/");
        assert_eq!(config.max_retries, None);
    }

    #[test]
    fn every_option_is_read_and_no_credential_shows() {
        let config = SinchFaxConfig::from_value(&config(json!({
            "type": "sinch_fax", "auth_method": "Basic", "region": "eu1", "service_id": "s-1",
            "from": "+15551230000", "header": "Praxis", "max_retries": 0,
            "image_conversion": "MONOCHROME", "body": "multipart",
            "callback_url": "https://user:hush-2@fax.example.org/hook/hush-3",
            "auth_url": "http://127.0.0.1:9",
        })))
        .unwrap();
        assert_eq!(config.auth_method, AuthMethod::Basic);
        assert_eq!(config.base_url.as_str(), "https://eu1.fax.api.sinch.com/");
        assert_eq!(config.auth_url.as_str(), "http://127.0.0.1:9/");
        assert_eq!(config.max_retries, Some(0));
        assert_eq!(config.image_conversion, Some(ImageConversion::Monochrome));
        assert_eq!(config.body, BodyForm::Multipart);
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("hush") && !shown.contains("key-1"),
            "{shown}"
        );
    }

    #[test]
    fn older_names_of_the_key_are_aliases() {
        let config = SinchFaxConfig::from_value(&json!({
            "project_id": "p-1", "api_key": "key-1", "api_secret": "hush-1",
        }));
        assert_eq!(config.unwrap().key_id.expose(), "key-1");
    }

    #[test]
    fn an_address_of_sinch_is_its_host_alone_and_a_project_its_id() {
        for (name, text, right) in [
            ("base_url", "https://fax.api.sinch.com", true),
            ("base_url", "https://fax.api.sinch.com/v3", false),
            (
                "base_url",
                "https://fax.api.sinch.com/v3/projects/p-1/",
                false,
            ),
            ("base_url", "https://proxy.example.org/sinch/v3", true),
            ("auth_url", "https://auth.sinch.com", true),
            ("auth_url", "https://eu.auth.sinch.com/oauth2/token", false),
            ("project_id", "6ab9d8a2-1f10-4f3c-8a4e-1a3f3f4a1e55", true),
            ("project_id", "https://dashboard.sinch.com/p-1", false),
            ("project_id", "p-1/faxes", false),
            ("project_id", "p 1", false),
            ("project_id", "..", false),
        ] {
            let result = SinchFaxConfig::validate(&config(json!({name: text})));
            assert_eq!(result.is_ok(), right, "{name} {text}");
            if let Err(errors) = result {
                assert_eq!(errors.first().path, format!("options.{name}"));
            }
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let errors = SinchFaxConfig::validate(&json!({
            "key_id": "a:b", "region": "us", "max_retries": 6, "from": "1001", "body": "xml",
            "auth_url": "http://auth.sinch.com", "callback_url": "fax.example.org", "servce_id": "x",
        }))
        .unwrap_err();
        let mut paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "auth.key_id",
                "auth.key_secret",
                "auth_url",
                "body",
                "callback_url",
                "from",
                "max_retries",
                "options.project_id",
                "region",
                "servce_id"
            ]
        );
        let both = json!({"region": "eu1", "base_url": "https://fax.example.org"});
        let errors = SinchFaxConfig::validate(&config(both)).unwrap_err();
        assert_eq!(errors.first().path, "options.base_url");
        assert!(SinchFaxConfig::validate(&Value::Null).is_err());
    }
}
