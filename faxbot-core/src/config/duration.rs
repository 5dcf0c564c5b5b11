//! Durations as people write them, for `#[serde(with = "faxbot_core::config::duration")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// What a duration may look like, for error texts.
pub const EXPECTED: &str = "whole seconds, or a whole number with ms, s, m, h or d (15s)";

/// Reads `500ms`, `15s`, `2m`, `1h`, `7d`, or a bare whole number of seconds.
pub fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit.trim_start() {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Writes the largest unit that loses nothing down to a millisecond: `2m`, `90s`, `1500ms`.
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (number, unit) = match duration.as_secs() {
        _ if !millis.is_multiple_of(1000) => (millis, "ms"),
        0 => (0, "s"),
        s if s.is_multiple_of(86_400) => (millis / 86_400_000, "d"),
        s if s.is_multiple_of(3_600) => (millis / 3_600_000, "h"),
        s if s.is_multiple_of(60) => (millis / 60_000, "m"),
        _ => (millis / 1000, "s"),
    };
    format!("{number}{unit}")
}

/// Serialises as text.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Deserialises whole seconds or text with a unit.
///
/// # Errors
/// Anything else is refused.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Raw::deserialize(deserializer)?
        .duration()
        .ok_or_else(|| D::Error::custom(EXPECTED))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Raw {
    Seconds(u64),
    Text(String),
}

impl Raw {
    fn duration(&self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds) => Some(Duration::from_secs(*seconds)),
            Self::Text(text) => parse(text),
        }
    }
}

/// The same for `Option<Duration>`; add `#[serde(default)]`.
pub mod option {
    use super::{Deserialize, Deserializer, Duration, EXPECTED, Raw, Serializer};
    use serde::de::Error as _;

    /// Serialises as text or null.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Deserialises null, whole seconds or text with a unit.
    ///
    /// # Errors
    /// Anything else is refused.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<Raw>::deserialize(deserializer)?
            .map(|raw| raw.duration().ok_or_else(|| D::Error::custom(EXPECTED)))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_each_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("15s", 15_000),
            ("15", 15_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(text), Some(duration), "{text}");
            assert_eq!(parse(&format(duration)), Some(duration), "{text}");
        }
        assert_eq!(format(Duration::from_secs(90)), "90s");
        assert_eq!(format(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1w",
            "15 s s",
            "99999999999999999999",
            "18446744073709551615d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
