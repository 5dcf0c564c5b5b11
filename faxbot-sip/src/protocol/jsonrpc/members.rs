//! An object as it stands: members in order, names that come again, empty names.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// The parameters of an event, whatever they are: an object, a list, whose values get empty names,
/// one value, or nothing. `None` where they are nested too deep.
pub(super) fn lenient(params: &RawValue) -> Option<Vec<(String, Value)>> {
    let text = params.get();
    match text.bytes().next() {
        Some(b'{') => {
            let members: Members = serde_json::from_str(text).ok()?;
            Some(members.0)
        }
        Some(b'[') => {
            let values: Vec<Value> = serde_json::from_str(text).ok()?;
            let unnamed = values.into_iter().map(|value| (String::new(), value));
            Some(unnamed.collect())
        }
        Some(b'n') | None => Some(Vec::new()),
        Some(_) => Some(vec![(String::new(), serde_json::from_str(text).ok()?)]),
    }
}

struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit)
    }
}
