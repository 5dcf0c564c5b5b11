//! The configuration of the FusionPBX adapter: that of FreeSWITCH, seen from a tenant.

use faxbot_core::{
    Result,
    address::DialTemplate,
    config::{ConfigError, ConfigErrors, FieldTable, UrlScheme, from_url_text},
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::adapter::freeswitch::{
    FreeswitchConfig,
    config::{Raw, fields, rules as freeswitch_rules},
};

/// Every field of the configuration, with its aliases, default and documentation.
#[rustfmt::skip] // One field a line.
pub const FIELDS: FieldTable = fields![&["fusionpbx"];
    Field::new("auth.domain", Kind::Host, "the tenant's domain").aliases(&["domain_name"]).required().server_name("domain_name"),
    Field::new("host", Kind::Host, "where the event socket listens").default_note("the domain").server_name("listen-ip"),
    Field::new("auth.password", Kind::Secret, "password of the event socket").aliases(&["apikey"]).required().server_name("password"),
    Field::new("options.domain_uuid", Kind::Text, "the tenant's uuid, by which FusionPBX files its calls").server_name("domain_uuid"),
    Field::new("options.gateway", Kind::Text, "uuid of the gateway that numbers are dialled through; or give `dial`").server_name("gateway_uuid"),
    Field::new("options.dial", Kind::Text, "dial string of a number, with one `{number}`").default_note("`sofia/gateway/GATEWAY/{number}`, without a gateway `user/{number}@DOMAIN`").aliases(&["dial_template"]),
    Field::new("options.extension_dial", Kind::Text, "dial string of an extension, with one `{number}`").default_note("`user/{number}@DOMAIN`"),
    Field::new("options.context", Kind::Text, "dialplan context of an extension that names none").default_note("the domain").server_name("user_context"),
];

/// The URL form: `fusionpbx://:password@pbx.example?domain=tenant.example&gateway=UUID`. Without a
/// domain it is the host. `esl:` is taken too.
pub const SCHEMES: &[UrlScheme] = &[
    UrlScheme::new("fusionpbx", "fusionpbx"),
    UrlScheme::new("esl", "fusionpbx"),
];

/// A checked configuration. Make one with [`from_value`](Self::from_value) or
/// [`from_url`](Self::from_url).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FusionpbxConfig {
    /// The tenant's domain.
    pub domain: String,
    /// The tenant's uuid.
    pub domain_uuid: Option<Uuid>,
    /// What it comes to for FreeSWITCH: dial strings of the tenant, and `domain_name` and
    /// `domain_uuid` on every call.
    pub freeswitch: FreeswitchConfig,
}

impl FusionpbxConfig {
    /// Loads a configuration of any serde format.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_value(value: &Value) -> Result<Self> {
        let canonical: Value = FIELDS.load_with(value, rules)?;
        let tenant = Tenant::of(&canonical);
        let filled = tenant.filled(canonical);
        // serde's own text would repeat the value, which may be a secret.
        let raw: Raw = serde_json::from_value(filled).map_err(|_| {
            ConfigErrors::from(ConfigError::new(
                "",
                "accepted by the table of fields and not by the type behind it",
                "a table that fits its type",
            ))
        })?;
        let mut freeswitch = raw.into_config();
        freeswitch.caller_name = "fusionpbx".to_owned();
        let domain_uuid = tenant.uuid.map(|uuid| uuid.to_string());
        let own = [
            ("domain_name", Some(tenant.domain.clone())),
            ("domain_uuid", domain_uuid),
        ];
        for (name, value) in own {
            if let Some(value) = value {
                freeswitch.variables.insert(name.to_owned(), value);
            }
        }
        Ok(Self {
            domain: tenant.domain,
            domain_uuid: tenant.uuid,
            freeswitch,
        })
    }

    /// Loads a configuration from a URL.
    ///
    /// # Errors
    /// [`Config`](faxbot_core::ErrorKind::Config) with every problem at once.
    pub fn from_url(url: &str) -> Result<Self> {
        Self::from_value(&with_domain(from_url_text(url, SCHEMES)?))
    }

    /// Checks a configuration without keeping it.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn validate(value: &Value) -> Result<(), ConfigErrors> {
        FIELDS.load_with::<Value>(value, rules).map(drop)
    }

    /// Sets the dial string of numbers.
    #[must_use]
    pub fn with_dial(mut self, dial: DialTemplate) -> Self {
        self.freeswitch = self.freeswitch.with_dial(dial);
        self
    }
}

/// In a URL the domain is a part of the query, and without one it is the host.
fn with_domain(mut value: Value) -> Value {
    let options = value.get_mut("options").and_then(Value::as_object_mut);
    let given = options.and_then(|options| options.remove("domain"));
    let domain = given.or_else(|| value.get("host").cloned());
    let auth = value.get_mut("auth").and_then(Value::as_object_mut);
    if let (Some(auth), Some(domain)) = (auth, domain) {
        auth.insert("domain".to_owned(), domain);
    }
    value
}

/// What a tenant adds.
struct Tenant {
    domain: String,
    uuid: Option<Uuid>,
    gateway: Option<Uuid>,
}

impl Tenant {
    /// Reads a value in the canonical shape that the rules have passed.
    fn of(value: &Value) -> Self {
        let uuid = |name: &str| {
            let text = value.get("options")?.get(name)?.as_str()?;
            Uuid::try_parse(text).ok()
        };
        let domain = value.get("auth").and_then(|auth| auth.get("domain"));
        Self {
            domain: domain
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            uuid: uuid("domain_uuid"),
            gateway: uuid("gateway"),
        }
    }

    /// The defaults that come from the tenant.
    fn filled(&self, mut value: Value) -> Value {
        let domain = &self.domain;
        let extension = format!("user/{{number}}@{domain}");
        let dial = match self.gateway {
            Some(gateway) => format!("sofia/gateway/{gateway}/{{number}}"),
            None => extension.clone(),
        };
        let fill = |place: Option<&mut Map<String, Value>>, name: &str, text: String| {
            if let Some(place) = place {
                place.entry(name).or_insert_with(|| Value::from(text));
            }
        };
        fill(value.as_object_mut(), "host", domain.clone());
        let mut options = value.get_mut("options").and_then(Value::as_object_mut);
        fill(options.as_deref_mut(), "dial", dial);
        fill(options.as_deref_mut(), "extension_dial", extension);
        fill(options, "context", domain.clone());
        value
    }
}

fn rules(value: &Value) -> Vec<ConfigError> {
    let mut problems = freeswitch_rules(value);
    let option = |name: &str| value.get("options").and_then(|options| options.get(name));
    for name in ["domain_uuid", "gateway"] {
        let text = option(name).and_then(Value::as_str);
        if text.is_some_and(|text| Uuid::try_parse(text).is_err()) {
            let path = format!("options.{name}");
            problems.push(ConfigError::new(path, "not a uuid", "a uuid of FusionPBX"));
        }
    }
    if option("gateway").is_some() && option("dial").is_some() {
        problems.push(ConfigError::new(
            "options.gateway",
            "given beside `dial`",
            "one of the two",
        ));
    }
    let domain = value.get("auth").and_then(|auth| auth.get("domain"));
    let is_name = |domain: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-.".contains(&b);
        domain.bytes().all(known) && domain.len() <= 79
    };
    if domain
        .and_then(Value::as_str)
        .is_some_and(|domain| !is_name(domain))
    {
        // It becomes a context and a part of dial strings.
        problems.push(ConfigError::new(
            "auth.domain",
            "not a domain of FusionPBX",
            "a host name of at most 79 characters",
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use faxbot_core::address::Address;
    use serde_json::json;

    use super::*;

    const UUID: &str = "5a1c2d3e-0001-4000-8000-000000000001";

    #[test]
    fn the_table_has_no_faults() {
        assert_eq!(FIELDS.faults(), Vec::<String>::new());
    }

    #[test]
    fn a_tenant_becomes_a_freeswitch() {
        let config = FusionpbxConfig::from_value(&json!({
            "type": "fusionpbx",
            "auth": { "username": "admin", "password": "x", "domain": "tenant.example" },
            "options": { "domain_uuid": UUID, "gateway": UUID, "variables": { "accountcode": "7" } },
        }))
        .unwrap();
        let inner = &config.freeswitch;
        assert_eq!(inner.host, "tenant.example");
        assert_eq!((inner.port, inner.user.as_ref()), (8021, None));
        assert_eq!(inner.context, "tenant.example");
        assert_eq!(inner.caller_name, "fusionpbx");
        let variables: Vec<_> = inner.variables.iter().collect();
        let expected = [
            ("accountcode", "7"),
            ("domain_name", "tenant.example"),
            ("domain_uuid", UUID),
        ];
        assert_eq!(variables.len(), expected.len());
        for ((name, value), expected) in variables.into_iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_str()), expected);
        }
        let to: Address = "+493012345678".parse().unwrap();
        assert_eq!(
            inner.dial.fill(&to, &inner.number_format).unwrap(),
            format!("sofia/gateway/{UUID}/+493012345678")
        );
        let extension = inner.extension_dial.clone().unwrap();
        assert_eq!(
            extension
                .fill(&"100".parse().unwrap(), &inner.number_format)
                .unwrap(),
            "user/100@tenant.example"
        );
    }

    #[test]
    fn what_is_given_wins_over_what_the_domain_says() {
        let config = FusionpbxConfig::from_url(
            "fusionpbx://:x@pbx.example:8022?domain=tenant.example&context=public&dial=sofia/gateway/a/{number}",
        )
        .unwrap();
        assert_eq!(config.freeswitch.host, "pbx.example");
        assert_eq!(config.freeswitch.context, "public");
        assert_eq!(
            config.freeswitch.dial.to_string(),
            "sofia/gateway/a/{number}"
        );
        assert_eq!(config.domain, "tenant.example");
        assert_eq!(config.domain_uuid, None);
        let config = FusionpbxConfig::from_url("fusionpbx://:x@tenant.example").unwrap();
        assert_eq!(config.domain, "tenant.example");
    }

    #[test]
    fn every_problem_comes_at_once() {
        let bad = json!({
            "auth": { "password": "x" },
            "options": { "domain_uuid": "7", "gateway": "trunk", "dial": "x/{number}", "instance": "a b" },
        });
        let errors = FusionpbxConfig::validate(&bad).unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| error.path.as_str()).collect();
        for path in [
            "auth.domain",
            "options.domain_uuid",
            "options.gateway",
            "options.instance",
        ] {
            assert!(paths.contains(&path), "{path} in {paths:?}");
        }
    }
}
