//! What the engines' parts of a configuration have in common.

use faxbot_core::{
    Private, Result,
    config::{ConfigError, ConfigErrors, FieldTable, duration},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::{Map, Value};
use url::Url;

use super::fields::parse_webhook_url;

/// `null` is the empty configuration.
pub(super) fn object(config: &Value) -> Value {
    match config {
        Value::Null => Value::Object(Map::new()),
        config => config.clone(),
    }
}

/// The part that `T` is of a configuration, by the table of a provider.
///
/// # Errors
/// `Config` with every problem that the table and the engine's own rules find.
pub(super) fn load<T: DeserializeOwned>(table: &FieldTable, config: &Value) -> Result<T> {
    Ok(table.load_with(&object(config), rules)?)
}

/// Checks a configuration: `own` are the problems that the provider found, those of the engine's
/// rules come behind them.
///
/// # Errors
/// Every problem at once.
pub(super) fn validate(
    table: &FieldTable,
    config: &Value,
    own: Result<(), ConfigErrors>,
) -> Result<(), ConfigErrors> {
    let problems = rules(&table.examine(config).value);
    ConfigErrors::check(own.err().into_iter().flatten().chain(problems))
}

/// For `#[serde(default, deserialize_with)]`: a URL that the table has checked. It stays masked until
/// it is used, because its path or its user may be a secret.
pub(super) fn webhook_url<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Private<Url>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let url = parse_webhook_url(&text).ok_or_else(|| D::Error::custom("no url of webhooks"))?;
    Ok(Some(Private::new(url)))
}

/// What concerns several fields.
fn rules(value: &Value) -> Vec<ConfigError> {
    let option = |name: &str| value.get("options").and_then(|options| options.get(name));
    let wait = |name: &str| option(name)?.as_str().and_then(duration::parse);
    let mut problems = Vec::new();
    if let (Some(first), Some(longest)) = (wait("poll_min"), wait("poll_max"))
        && first > longest
    {
        problems.push(ConfigError::new(
            "options.poll_max",
            "below poll_min",
            "a duration that is not below it",
        ));
    }
    problems
}
