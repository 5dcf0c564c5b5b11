//! Values as PHP writes them: a number as text, an empty object as an empty list, null for anything.

use std::collections::BTreeMap;

use faxbot_core::{Private, Timestamp};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// `true`, 1 and their texts.
pub(super) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(value) => value,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => matches!(&*text, "1" | "true"),
        _ => false,
    })
}

/// A number, or its text; 0 for anything else.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(read_number(&Value::deserialize(deserializer)?).unwrap_or_default())
}

/// An id: a number or its text, and nothing else.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    use serde::de::Error as _;

    read_number(&Value::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not an id"))
}

/// As [`number`], where there may be none.
pub(super) fn some_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    Ok(read_number(&Value::deserialize(deserializer)?))
}

fn read_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A text, or a number as one.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// A list, or an object whose values it is; what has another form is left out.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let all = match Value::deserialize(deserializer)? {
        Value::Array(all) => all,
        Value::Object(map) => map.into_iter().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    };
    let read = all.into_iter().map(serde_json::from_value);
    Ok(read.filter_map(Result::ok).collect())
}

/// Names with texts; an empty list is an empty object.
pub(super) fn texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let Value::Object(map) = Value::deserialize(deserializer)? else {
        return Ok(BTreeMap::new());
    };
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let read = map
        .into_iter()
        .map(|(name, value)| Some((name, text(value)?)));
    Ok(read.flatten().collect())
}

/// As [`texts`], of somebody's own.
pub(super) fn private_texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Private<BTreeMap<String, String>>, D::Error> {
    texts(deserializer).map(Private::new)
}

/// A time as RFC 3339 or `2026-11-21 08:00:00` (UTC, as the database has it); `None` for another form.
pub(super) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let Value::String(text) = Value::deserialize(deserializer)? else {
        return Ok(None);
    };
    Ok(read_time(&text))
}

fn read_time(text: &str) -> Option<Timestamp> {
    let direct = text.parse().ok();
    direct.or_else(|| format!("{}Z", text.replacen(' ', "T", 1)).parse().ok())
}

/// A list of things, wherever a whole answer is one.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(super) struct List<T>(#[serde(deserialize_with = "whole_list")] pub(super) Vec<T>);

/// As [`list`], but strict: a whole answer that is neither, or holds something else, is an error.
fn whole_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    use serde::de::Error as _;

    let all = match Value::deserialize(deserializer)? {
        Value::Array(all) => all,
        Value::Object(map) => map.into_iter().map(|(_, value)| value).collect(),
        _ => return Err(D::Error::custom("not a list")),
    };
    all.into_iter()
        .map(|value| serde_json::from_value(value).map_err(|_| D::Error::custom("not an item")))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq, Default)]
    #[serde(default)]
    struct All {
        #[serde(deserialize_with = "boolean")]
        b: bool,
        #[serde(deserialize_with = "number")]
        n: u64,
        #[serde(deserialize_with = "list")]
        l: Vec<u64>,
        #[serde(deserialize_with = "texts")]
        t: BTreeMap<String, String>,
        #[serde(deserialize_with = "time")]
        w: Option<Timestamp>,
    }

    #[test]
    fn values_are_read_in_each_form_that_php_has() {
        let when: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let full = All {
            b: true,
            n: 7,
            l: vec![1, 2],
            t: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
            w: Some(when),
        };
        let rows = [
            (
                json!({"b": true, "n": 7, "l": [1, 2], "t": {"a": "1"}, "w": "2026-11-21T08:00:00.000000Z"}),
                full,
            ),
            (
                json!({"b": 1, "n": "7", "l": {"x": 1, "y": 2}, "t": {"a": 1}, "w": "2026-11-21 08:00:00"}),
                All {
                    b: true,
                    n: 7,
                    l: vec![1, 2],
                    t: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
                    w: Some(when),
                },
            ),
            (
                json!({"b": "0", "n": null, "l": null, "t": [], "w": "soon"}),
                All::default(),
            ),
            (
                json!({"b": null, "n": -1, "l": ["x"], "t": null, "w": null}),
                All::default(),
            ),
            (json!({}), All::default()),
        ];
        for (value, expected) in rows {
            assert_eq!(
                serde_json::from_value::<All>(value.clone()).unwrap(),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_whole_answer_has_to_be_a_list() {
        let read = |value| {
            serde_json::from_value::<List<u64>>(value)
                .map(|list| list.0)
                .ok()
        };
        assert_eq!(read(json!([1, 2])), Some(vec![1, 2]));
        assert_eq!(read(json!({})), Some(vec![]));
        assert_eq!(read(json!({"x": 1})), Some(vec![1]));
        assert_eq!(read(json!(null)), None);
        assert_eq!(read(json!(["x"])), None);
    }
}
