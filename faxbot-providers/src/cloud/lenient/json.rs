//! JSON of somebody who may not mean well.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Map, Number, Value};

/// Most values in one webhook: the longest of the vendors, a report with each of a thousand
/// recipients, has some thousand.
const VALUES: usize = 50_000;

/// Reads the JSON of a webhook; `None` for what is none, and for more than 50,000 values in it: in
/// memory each takes up to 40 times the bytes that it is written in.
pub fn json(text: &[u8]) -> Option<Value> {
    let mut left = VALUES;
    let mut deserializer = Deserializer::from_slice(text);
    let value = Budget(&mut left).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

/// How many values may still come.
struct Budget<'b>(&'b mut usize);

impl<'de> DeserializeSeed<'de> for Budget<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        *self.0 = self
            .0
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Budget<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Budget(&mut *self.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(Budget(&mut *self.0))?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_reads_what_serde_json_reads() {
        for text in [
            "null",
            "true",
            "7",
            "-7",
            "18446744073709551615",
            "1.5",
            "1e300",
            r#""a\u00e9\ud83d\udce0\n""#,
            r#"{"a":[1,{"b":null}],"a":2,"":[]}"#,
            " [ ] ",
            "",
            "{",
            "[1,]",
            "{} {}",
            "1e999",
            "\"\u{1}\"",
            r#""\ud800""#,
            "nul",
        ] {
            let read = serde_json::from_str(text).ok();
            assert_eq!(json(text.as_bytes()), read, "{text}");
        }
        assert_eq!(json(b"\"\xff\""), None);
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(json(deep(127).as_bytes()).is_some());
        assert_eq!(json(deep(1_000_000).as_bytes()), None);
    }

    #[test]
    fn more_values_than_any_vendor_sends_are_not_read() {
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        // The list itself is one.
        assert!(json(list(VALUES - 1).as_bytes()).is_some());
        assert_eq!(json(list(VALUES).as_bytes()), None);
        let fields = format!("{{{}\"a\":0}}", "\"a\":{},".repeat(VALUES));
        assert_eq!(json(fields.as_bytes()), None);
        let text = json!({ "file": "x".repeat(1_000_000) }).to_string();
        assert!(json(text.as_bytes()).is_some());
    }
}
