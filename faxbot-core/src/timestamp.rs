//! Wall time of records, events and configuration: UTC, written as RFC 3339.

use std::{
    fmt,
    ops::{Add, Sub},
    str::FromStr,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind, Result};

/// A moment of UTC wall time with nanosecond precision.
///
/// It reads and writes RFC 3339 (`2026-11-21T08:00:00Z`, `2026-11-21T08:00:00.25Z`): always with
/// `Z`, with a fraction only where there is one. Another offset is accepted on reading and turned
/// into UTC. Arithmetic stops at the ends of the range (years -9999 to 9999).
///
/// Deadlines are [`std::time::Instant`]: wall time may jump.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// The system's wall clock. Code that is tested takes the time from a
    /// [`Clock`](crate::clock::Clock) instead.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// The moment `seconds` after the Unix epoch (before it, if negative).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] outside of the years -9999 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self> {
        jiff::Timestamp::from_second(seconds)
            .map(Self)
            .map_err(|_| out_of_range())
    }

    /// The moment `milliseconds` after the Unix epoch (before it, if negative).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] outside of the years -9999 to 9999.
    pub fn from_unix_milliseconds(milliseconds: i64) -> Result<Self> {
        jiff::Timestamp::from_millisecond(milliseconds)
            .map(Self)
            .map_err(|_| out_of_range())
    }

    /// The moment `microseconds` after the Unix epoch (before it, if negative).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] outside of the years -9999 to 9999.
    pub fn from_unix_microseconds(microseconds: i64) -> Result<Self> {
        jiff::Timestamp::from_microsecond(microseconds)
            .map(Self)
            .map_err(|_| out_of_range())
    }

    /// Whole seconds since the Unix epoch, towards zero.
    pub fn as_second(self) -> i64 {
        self.0.as_second()
    }

    /// Whole milliseconds since the Unix epoch, towards zero.
    pub fn as_millisecond(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Whole microseconds since the Unix epoch, towards zero.
    pub fn as_microsecond(self) -> i64 {
        self.0.as_microsecond()
    }

    /// The same moment without its fraction of a second, so that it shows as whole seconds.
    #[must_use]
    pub fn to_seconds(self) -> Self {
        jiff::Timestamp::from_second(self.0.as_second()).map_or(self, Self)
    }

    /// The time that passed since `earlier`; zero if that is in fact later.
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or_default()
    }
}

fn out_of_range() -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        "timestamp",
        "outside of the years -9999 to 9999",
    )
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.checked_add(duration).unwrap_or(jiff::Timestamp::MAX))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.checked_sub(duration).unwrap_or(jiff::Timestamp::MIN))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self).map_err(|_| {
            Error::new(
                ErrorKind::InvalidRequest,
                "parse_timestamp",
                "not a time such as 2026-11-21T08:00:00Z",
            )
        })
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self::UNIX_EPOCH + after,
            Err(before) => Self::UNIX_EPOCH - before.duration(),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        Self::from(time.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error: Error| serde::de::Error::custom(error.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "2026-11-21T08:00:00Z";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_whole_second_shows_no_fraction() {
        assert_eq!(at(WHOLE).to_string(), WHOLE);
        assert_eq!(
            at("2026-11-21T08:00:00.250Z").to_string(),
            "2026-11-21T08:00:00.25Z"
        );
        assert_eq!(
            at("2026-11-21T08:00:00.999999999Z")
                .to_seconds()
                .to_string(),
            WHOLE
        );
        assert_eq!(at("2026-11-21T09:00:00+01:00").to_string(), WHOLE);
    }

    #[test]
    fn json_is_the_same_text() {
        let json = serde_json::to_string(&at(WHOLE)).unwrap();
        assert_eq!(json, format!("\"{WHOLE}\""));
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at(WHOLE));
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
        assert!(serde_json::from_str::<Timestamp>("\"2026-11-21T08:00:00\"").is_err());
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let end = at(WHOLE) + Duration::MAX;
        assert_eq!(end + Duration::from_secs(1), end);
        let start = at(WHOLE) - Duration::MAX;
        assert_eq!(start - Duration::from_secs(1), start);
        assert!(start < end);
    }

    #[test]
    fn time_since_a_later_moment_is_zero() {
        let later = at(WHOLE) + Duration::from_millis(1500);
        assert_eq!(later.duration_since(at(WHOLE)), Duration::from_millis(1500));
        assert_eq!(at(WHOLE).duration_since(later), Duration::ZERO);
    }

    #[test]
    fn unix_numbers_go_both_ways() {
        let time = at("2026-11-21T08:00:00.123456Z");
        assert_eq!(
            Timestamp::from_unix_microseconds(time.as_microsecond()).unwrap(),
            time
        );
        assert_eq!(
            Timestamp::from_unix_seconds(time.as_second()).unwrap(),
            at(WHOLE)
        );
        assert_eq!(
            Timestamp::from_unix_milliseconds(time.as_millisecond())
                .unwrap()
                .as_second(),
            time.as_second()
        );
        assert!(Timestamp::from_unix_seconds(i64::MAX).is_err());
        assert_eq!(Timestamp::from(SystemTime::from(time)), time);
    }
}
