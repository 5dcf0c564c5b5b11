//! Decoding of what vendors write loosely: numbers as text, text as numbers, times in three forms.
//! What has another form is absent; nothing here fails a whole answer for one odd field.
//!
//! ```
//! use faxbot_providers::cloud::lenient;
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Fax {
//!     #[serde(default, deserialize_with = "lenient::text")]
//!     id: Option<String>,
//!     #[serde(default, deserialize_with = "lenient::number")]
//!     pages: Option<u32>,
//! }
//!
//! let fax: Fax = serde_json::from_str(r#"{"id": 7, "pages": "many"}"#)?;
//! assert_eq!((fax.id.as_deref(), fax.pages), (Some("7"), None));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod json;

use std::collections::BTreeMap;

use faxbot_core::Timestamp;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

pub use json::json;

/// Text, or a number as text: ids are integers here and text there.
///
/// # Errors
/// Those of the format: no value is one.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Value::deserialize(deserializer).map(|value| text_of(&value))
}

/// A whole number, also as text. What does not fit (`">10000"`, a fraction, -1) is absent.
///
/// # Errors
/// Those of the format: no value is one.
pub fn number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let value = Value::deserialize(deserializer)?;
    let number = match &value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(number.and_then(|number| T::try_from(number).ok()))
}

/// True or false, also as text.
///
/// # Errors
/// Those of the format: no value is one.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => Some(flag),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        _ => None,
    })
}

/// A time: RFC 3339, the same without an offset (read as UTC), or seconds since 1970.
///
/// # Errors
/// Those of the format: no value is one.
pub fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => time_of(text.trim()),
        Value::Number(seconds) => seconds
            .as_i64()
            .and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok()),
        _ => None,
    })
}

/// Names with texts; an empty list, as PHP writes an empty map, is an empty map.
///
/// # Errors
/// Those of the format: no value is one.
pub fn map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(entries) => entries
            .into_iter()
            .filter_map(|(name, value)| Some((name, text_of(&value)?)))
            .collect(),
        _ => BTreeMap::new(),
    })
}

/// The items of a list that can be read.
///
/// # Errors
/// Those of the format: no value is one.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(items) => items
            .into_iter()
            .filter_map(|item| serde_json::from_value(item).ok())
            .collect(),
        _ => Vec::new(),
    })
}

/// Text, a number or a boolean as text; `None` for anything else.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn time_of(text: &str) -> Option<Timestamp> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        return Timestamp::from_unix_seconds(text.parse().ok()?).ok();
    }
    text.parse().or_else(|_| format!("{text}Z").parse()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "text")]
        text: Option<String>,
        #[serde(default, deserialize_with = "number")]
        number: Option<u32>,
        #[serde(default, deserialize_with = "flag")]
        flag: Option<bool>,
        #[serde(default, deserialize_with = "time")]
        time: Option<Timestamp>,
        #[serde(default, deserialize_with = "map")]
        map: BTreeMap<String, String>,
        #[serde(default, deserialize_with = "list")]
        list: Vec<u32>,
    }

    fn read(name: &str, value: Value) -> Sample {
        serde_json::from_value(json!({ name: value })).unwrap()
    }

    #[test]
    fn each_form_is_read_and_any_other_is_absent() {
        for (value, text) in [
            (json!("a"), Some("a")),
            (json!(7), Some("7")),
            (json!({}), None),
        ] {
            assert_eq!(read("text", value).text.as_deref(), text);
        }
        for (value, number) in [
            (json!(7), Some(7)),
            (json!("7"), Some(7)),
            (json!(">10000"), None),
            (json!(-1), None),
            (json!(1.5), None),
            (json!(u64::MAX), None),
            (json!(null), None),
            (json!([7]), None),
        ] {
            assert_eq!(read("number", value.clone()).number, number, "{value}");
        }
        for (value, flag) in [
            (json!(true), Some(true)),
            (json!("True"), Some(true)),
            (json!("false"), Some(false)),
            (json!(1), None),
        ] {
            assert_eq!(read("flag", value.clone()).flag, flag, "{value}");
        }
        for (value, time) in [
            (
                json!("2021-11-04T16:28:30.000-05:00"),
                Some("2021-11-04T21:28:30Z"),
            ),
            (json!("2021-11-04T16:28:30"), Some("2021-11-04T16:28:30Z")),
            (json!(1_433_914_489), Some("2015-06-10T05:34:49Z")),
            (json!("1433914489"), Some("2015-06-10T05:34:49Z")),
            (json!(""), None),
            (json!("soon"), None),
            (json!(null), None),
        ] {
            let read = read("time", value.clone())
                .time
                .map(|time| time.to_string());
            assert_eq!(read.as_deref(), time, "{value}");
        }
        assert_eq!(
            read("map", json!({"a": "b", "c": 1, "d": null})).map.len(),
            2
        );
        assert!(read("map", json!([])).map.is_empty());
        assert_eq!(read("list", json!([1, "x", 2])).list, [1, 2]);
        assert!(read("list", json!({"0": 1})).list.is_empty());
        let absent = read("other", json!(1));
        assert!(absent.text.is_none() && absent.list.is_empty() && absent.map.is_empty());
    }
}
