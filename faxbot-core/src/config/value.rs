//! Values of any serde format, read as what a field wants. The texts of what is wrong never repeat
//! a value that is text, because that may be a secret.

use std::time::Duration;

use serde_json::{Map, Number, Value};

use super::duration;

/// Digits of the highest port.
const LONGEST_TOLD: usize = 5;

pub(super) fn text(value: &Value) -> Result<&str, String> {
    let text = value.as_str().ok_or_else(|| match value {
        Value::Number(_) => "a number, not text: put it in quotes".into(),
        _ => wrong_type(value),
    })?;
    if text.chars().any(char::is_control) {
        return Err("holds a control character such as a line break".into());
    }
    Ok(text)
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" => Ok(true),
            "false" | "no" => Ok(false),
            _ => Err("not true or false".into()),
        },
        _ => Err(wrong_type(value)),
    }
}

pub(super) fn integer(value: &Value, min: u64, max: u64) -> Result<u64, String> {
    let number = match value {
        Value::Number(number) => number.as_u64().ok_or_else(|| told(&number.to_string()))?,
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().map_err(|_| "out of range".to_owned())?
        }
        Value::String(_) => return Err("not a whole number".into()),
        _ => return Err(wrong_type(value)),
    };
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(told(&number.to_string()))
    }
}

/// A number as a problem tells it: a long one may be a telephone's, or a secret, in the wrong place.
fn told(number: &str) -> String {
    if number.len() <= LONGEST_TOLD {
        number.to_owned()
    } else {
        "out of range".into()
    }
}

pub(super) fn number(value: &Value, min: f64, max: f64) -> Result<Number, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => return Err(wrong_type(value)),
    };
    let number = number.ok_or("not a number")?;
    if !(min..=max).contains(&number) {
        return Err("out of range".into());
    }
    Number::from_f64(number).ok_or_else(|| "not a number".into())
}

pub(super) fn time(value: &Value, min: Duration, max: Duration) -> Result<String, String> {
    let given = match value {
        Value::Number(number) => number.as_u64().map(Duration::from_secs),
        Value::String(text) => duration::parse(text),
        _ => return Err(wrong_type(value)),
    };
    let given = given.ok_or("not a duration")?;
    if (min..=max).contains(&given) {
        Ok(duration::format(given))
    } else {
        Err("out of range".into())
    }
}

pub(super) fn is_host(text: &str) -> bool {
    let forbidden = |c: char| c.is_whitespace() || "/@?#[]\"'<>\\,;&".contains(c);
    let colons = text.matches(':').count();
    !text.contains(forbidden) && (colons == 0 || text.parse::<std::net::Ipv6Addr>().is_ok())
}

pub(super) fn list(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(_) => Ok(text(value)?
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| text(item).map(Value::from))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        _ => Err(wrong_type(value)),
    }
}

pub(super) fn map(value: &Value) -> Result<Value, String> {
    let object = value.as_object().ok_or_else(|| wrong_type(value))?;
    object
        .iter()
        .map(|(name, value)| {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err("a name is empty or holds a control character".into());
            }
            Ok((name.clone(), Value::from(text(value)?)))
        })
        .collect::<Result<Map<_, _>, String>>()
        .map(Value::Object)
}

pub(super) fn wrong_type(value: &Value) -> String {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
    .into()
}
