//! What the server tells of itself.

use std::collections::{BTreeMap, HashSet};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::lenient::{Number, Text};

/// The answer of `core.version`: `kamailio 5.6.3 (x86_64/linux) `.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct Version(Text);

impl Version {
    /// Major and minor number; `None` where it is no Kamailio.
    pub(in super::super) fn number(&self) -> Option<(u32, u32)> {
        let mut words = self.0.0.as_deref()?.split_whitespace();
        let name = words.next()?;
        if !name.eq_ignore_ascii_case("kamailio") {
            return None;
        }
        let mut parts = words.next()?.split(|c: char| !c.is_ascii_digit());
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// The answer of `core.uptime`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Uptime {
    uptime: Number,
    up_since: Text,
}

impl Uptime {
    /// Seconds since the start.
    pub(in super::super) fn seconds(&self) -> Option<u64> {
        u64::try_from(self.uptime.0?).ok()
    }

    /// The moment of the start in the server's words: that of another run differs.
    pub(in super::super) fn run(&self) -> Option<&str> {
        self.up_since.0.as_deref()
    }
}

/// The answer of `system.listMethods`.
#[derive(Debug, Default, Deserialize)]
pub(in super::super) struct Methods(HashSet<String>);

impl Methods {
    pub(in super::super) fn has(&self, method: &str) -> bool {
        self.0.contains(method)
    }
}

#[cfg(test)]
impl FromIterator<&'static str> for Methods {
    fn from_iter<I: IntoIterator<Item = &'static str>>(methods: I) -> Self {
        Self(methods.into_iter().map(str::to_owned).collect())
    }
}

/// The answer of `stats.get_statistics`: lines such as `core:rcv_requests = 5`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// By their names, `group:name`.
    pub values: BTreeMap<String, i64>,
}

impl Statistics {
    /// One of them: `core:rcv_requests`.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.values.get(name).copied()
    }
}

impl<'de> Deserialize<'de> for Statistics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lines;

        impl<'de> Visitor<'de> for Lines {
            type Value = Statistics;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("lines")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statistics, A::Error> {
                let mut values = BTreeMap::new();
                while let Some(line) = list.next_element::<Text>()? {
                    values.extend(line.0.as_deref().and_then(read_line));
                }
                Ok(Statistics { values })
            }

            // One statistic alone.
            fn visit_str<E>(self, line: &str) -> Result<Statistics, E> {
                let values = read_line(line).into_iter().collect();
                Ok(Statistics { values })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Statistics, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Statistics::default())
            }
        }

        deserializer.deserialize_any(Lines)
    }
}

fn read_line(line: &str) -> Option<(String, i64)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().parse().ok()?))
}

/// An answer that says nothing beyond that there is one: `{}`, or a text.
#[derive(Debug, Deserialize)]
pub(in super::super) struct Ignored(#[allow(dead_code, reason = "only read")] IgnoredAny);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_other_servers_are_none() {
        for (text, number) in [
            ("kamailio 5.6.3 (x86_64/linux) ", Some((5, 6))),
            ("kamailio 6.1.0-rc1 (x86_64/linux) 1a2b3c", Some((6, 1))),
            ("kamailio 6.2.0-dev0 (x86_64/linux)", Some((6, 2))),
            ("OpenSIPS (3.6.8 (x86_64/linux))", None),
            ("kamailio", None),
            ("", None),
        ] {
            let version: Version = serde_json::from_value(text.into()).unwrap();
            assert_eq!(version.number(), number, "{text}");
        }
    }

    #[test]
    fn the_uptime_names_the_run() {
        let json = r#"{"now":"Sat Nov 21 03:13:35 2026","up_since":"Sat Nov 21 03:13:33 2026","uptime":2}"#;
        let uptime: Uptime = serde_json::from_str(json).unwrap();
        assert_eq!(uptime.seconds(), Some(2));
        assert_eq!(uptime.run(), Some("Sat Nov 21 03:13:33 2026"));
        let uptime: Uptime = serde_json::from_str(r#"{"uptime":2.0}"#).unwrap();
        assert_eq!((uptime.seconds(), uptime.run()), (Some(2), None));
    }

    #[test]
    fn statistics_are_lines() {
        let json = r#"["core:bad_URIs_rcvd = 0", "dialog:active_dialogs = 12", "broken", 5]"#;
        let statistics: Statistics = serde_json::from_str(json).unwrap();
        assert_eq!(statistics.values.len(), 2);
        assert_eq!(statistics.get("dialog:active_dialogs"), Some(12));
        let one: Statistics = serde_json::from_str("\"tmx:inuse_transactions = 1\"").unwrap();
        assert_eq!(one.get("tmx:inuse_transactions"), Some(1));
    }
}
