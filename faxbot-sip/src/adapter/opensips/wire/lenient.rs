//! Values as the server writes them: a number may come as a text, a flag as a word.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A whole number, also as a text; what is neither is 0.
pub(in super::super) fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<i64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(as_number(&value).unwrap_or_default())
}

/// A text; `null` and what is no text are empty.
pub(in super::super) fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// A flag: `yes`, `on`, `true`, a number that is not 0.
pub(in super::super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => matches!(text.as_str(), "yes" | "on" | "true" | "1"),
        _ => false,
    })
}

/// A whole number of a value that is one, or a text of one.
pub(in super::super) fn as_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct All {
        #[serde(deserialize_with = "number")]
        number: i64,
        #[serde(deserialize_with = "text")]
        text: String,
        #[serde(deserialize_with = "flag")]
        flag: bool,
    }

    #[test]
    fn what_another_release_writes_otherwise_is_read_all_the_same() {
        for (number, wanted) in [
            (json!(4), 4),
            (json!("4"), 4),
            (json!(null), 0),
            (json!({}), 0),
        ] {
            let all: All =
                serde_json::from_value(json!({"number": number, "text": null, "flag": "yes"}))
                    .unwrap();
            assert_eq!(
                (all.number, all.text.as_str(), all.flag),
                (wanted, "", true)
            );
        }
        for (flag, wanted) in [
            (json!(1), true),
            (json!(0), false),
            (json!("no"), false),
            (json!("on"), true),
        ] {
            let all: All =
                serde_json::from_value(json!({"number": 0, "text": 7, "flag": flag})).unwrap();
            assert_eq!((all.text.as_str(), all.flag), ("7", wanted));
        }
    }
}
