//! Values as Kamailio's versions write them.

use std::{fmt, time::Duration};

use faxbot_core::{Private, Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// A whole number, also written as text or with a fraction; nothing else is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) Option<i64>);

/// A text, also written as a number; an empty one, `null`, `<null>` and `[not set]` are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) Option<String>);

/// What an unset value of the script, or of `usrloc`, prints as.
pub(in super::super) const UNSET: [&str; 2] = ["<null>", "[not set]"];

impl Number {
    pub(super) fn unsigned(self) -> Option<u32> {
        u32::try_from(self.0?).ok()
    }

    /// Seconds since 1970; 0 is no time.
    pub(super) fn time(self) -> Option<Timestamp> {
        let seconds = self.0.filter(|seconds| *seconds > 0)?;
        Timestamp::from_unix_seconds(seconds).ok()
    }

    /// A span in seconds; 0 is none.
    pub(super) fn seconds(self) -> Option<Duration> {
        let seconds = self.0.filter(|seconds| *seconds > 0)?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}

impl Text {
    pub(super) fn private(self) -> Option<Private> {
        self.0.map(Private::new)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Number(number) => Ok(Self(Some(number))),
            Scalar::Text(text) => Ok(Self(text.trim().parse().ok())),
            Scalar::Nothing => Ok(Self(None)),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Scalar::deserialize(deserializer)? {
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text,
            Scalar::Nothing => return Ok(Self(None)),
        };
        let is_set = !text.is_empty() && !UNSET.contains(&text.as_str());
        Ok(Self(is_set.then_some(text)))
    }
}

/// A single value; lists and objects are none.
enum Scalar {
    Number(i64),
    Text(String),
    Nothing,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(value).map_or(Scalar::Nothing, Scalar::Number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        // Within the whole numbers that a double holds exactly.
        let whole = value.trunc();
        let fits = whole.abs() < 9.0e15;
        let text = format!("{whole:.0}");
        Ok(match text.parse() {
            Ok(number) if fits => Scalar::Number(number),
            _ => Scalar::Nothing,
        })
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Number(i64::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(value))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}

/// A list whose elements may also stand alone: an object with members is one element, an empty object,
/// `null` and a single value are none.
#[derive(Debug, Clone)]
pub(super) struct Several<T>(pub(super) Vec<T>);

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Several<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeveralVisitor(std::marker::PhantomData))
    }
}

struct SeveralVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SeveralVisitor<T> {
    type Value = Several<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Several<T>, A::Error> {
        let mut all = Vec::with_capacity(list.size_hint().unwrap_or_default().min(1024));
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Several(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Several<T>, A::Error> {
        // What has none of the members that make it one decodes to an element that says so itself.
        let one = T::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        Ok(Several(vec![one]))
    }

    fn visit_unit<E>(self) -> Result<Several<T>, E> {
        Ok(Several::default())
    }

    fn visit_str<E>(self, _value: &str) -> Result<Several<T>, E> {
        Ok(Several::default())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Several<T>, E> {
        Ok(Several::default())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Several<T>, E> {
        Ok(Several::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_are_read_as_all_versions_write_them() {
        for (json, number, text) in [
            ("5", Some(5), Some("5")),
            ("\"5\"", Some(5), Some("5")),
            ("5.9", Some(5), Some("5")),
            ("-1", Some(-1), Some("-1")),
            ("4294967295", Some(4_294_967_295), Some("4294967295")),
            ("\"x\"", None, Some("x")),
            ("\"\"", None, None),
            ("null", None, None),
            ("\"<null>\"", None, None),
            ("\"[not set]\"", None, None),
            ("{}", None, None),
            ("[{\"a\": [1]}]", None, None),
            ("1e300", None, None),
            ("18446744073709551615", None, None),
        ] {
            assert_eq!(
                serde_json::from_str::<Number>(json).unwrap().0,
                number,
                "{json}"
            );
            assert_eq!(
                serde_json::from_str::<Text>(json).unwrap().0.as_deref(),
                text,
                "{json}"
            );
        }
    }
}
