//! Events: what a server says unasked.

use std::{borrow::Cow, fmt};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::members;

/// One event of OpenSIPS, from a datagram or a frame of an event stream. `Debug` shows the method
/// and how many parameters there are.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Notification {
    /// The name of the event, such as `E_DLG_STATE_CHANGED`.
    pub method: String,
    /// The parameters in order. Those of a list have empty names, as some of an object have; names
    /// may come again.
    pub params: Vec<(String, Value)>,
    /// Wants an answer with this id (`reliable_mode` of `event_stream`).
    pub id: Option<i64>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    method: String,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

impl Notification {
    /// Reads one event. `None` for what is none: no JSON, no object, no method, nested deeper than
    /// 128 levels.
    ///
    /// `params` may be an object, a list, one value, or missing, and what is not UTF-8 becomes
    /// U+FFFD: OpenSIPS hands on what it got (`03_events_custom_and_states`, `01_text_values`).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let raw: Raw<'_> = serde_json::from_str(&text).ok()?;
        let params = match raw.params {
            Some(params) => members::lenient(params)?,
            None => Vec::new(),
        };
        Some(Self {
            method: raw.method,
            params,
            id: raw.id.and_then(|id| id.get().parse().ok()),
        })
    }

    /// The first parameter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let mut params = self.params.iter();
        params.find(|(it, _)| it == name).map(|(_, value)| value)
    }

    /// The first parameter of this name as a text, numbers and truth values too. `None` for `null`,
    /// lists and objects.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.get(name)? {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(yes) => Some(Cow::Borrowed(if *yes { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("method", &self.method)
            .field("params", &self.params.len())
            .field("id", &self.id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Pairs = Vec<(&'static str, Value)>;

    #[test]
    fn parameters_are_read_in_every_form_that_they_come_in() {
        let table: [(&str, Pairs, Option<i64>); 9] = [
            (
                r#"{"jsonrpc":"2.0","method":"E","params":{"a":"x","b":2}}"#,
                vec![("a", json!("x")), ("b", json!(2))],
                None,
            ),
            (
                r#"{"method":"E","params":["a",null]}"#,
                vec![("", json!("a")), ("", json!(null))],
                None,
            ),
            (
                r#"{"method":"E","params":{"":"17","":"z"}}"#,
                vec![("", json!("17")), ("", json!("z"))],
                None,
            ),
            (
                r#"{"method":"E","params":{"a":1,"a":2}}"#,
                vec![("a", json!(1)), ("a", json!(2))],
                None,
            ),
            (
                r#"{"id":666550014,"method":"E"}"#,
                vec![],
                Some(666_550_014),
            ),
            (r#"{"id":-1,"method":"E","params":null}"#, vec![], Some(-1)),
            (r#"{"id":"x","method":"E","params":[]}"#, vec![], None),
            (
                r#"{"id":null,"method":"E","params":"one"}"#,
                vec![("", json!("one"))],
                None,
            ),
            (" {\"method\":\"E\",\"params\":{}} \r\n", vec![], None),
        ];
        for (text, pairs, id) in table {
            let event = Notification::parse(text.as_bytes()).unwrap();
            let params: Vec<_> = event
                .params
                .iter()
                .map(|(name, it)| (name.as_str(), it.clone()))
                .collect();
            assert_eq!(
                (event.method.as_str(), params, event.id),
                ("E", pairs, id),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_event_is_none() {
        let deep = format!(
            r#"{{"method":"E","params":{}{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        let not = [
            "",
            "{",
            "[]",
            "7",
            "{}",
            r#"{"method":7}"#,
            r#"{"params":{}}"#,
            r#"{"method":"E"}{}"#,
            &deep,
        ];
        for text in not {
            assert_eq!(Notification::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_value_is_read_as_a_text_where_it_has_one() {
        let event =
            br#"{"method":"E","params":{"t":"x","n":4,"b":true,"z":null,"l":[1],"t":"later"}}"#;
        let event = Notification::parse(event).unwrap();
        let table = [
            ("t", Some("x")),
            ("n", Some("4")),
            ("b", Some("true")),
            ("z", None),
            ("l", None),
            ("no", None),
        ];
        for (name, want) in table {
            assert_eq!(event.text(name).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn latin_1_of_a_phone_does_not_lose_its_event() {
        let event = Notification::parse(b"{\"method\":\"E\",\"params\":[\"caf\xe9\"]}").unwrap();
        assert_eq!(event.text("").as_deref(), Some("caf\u{fffd}"));
    }

    #[test]
    fn no_parameter_shows_in_debug() {
        let event = br#"{"method":"E_UL_CONTACT_INSERT","params":{"aor":"+15551234567"}}"#;
        let shown = format!("{:?}", Notification::parse(event).unwrap());
        assert!(!shown.contains("555") && shown.contains("E_UL"), "{shown}");
    }
}
