//! The server's side: requests read, answers and events written. For mocks: nothing is checked,
//! since a mock wants to send what a server does send.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{error::RpcError, members, request::Params};

/// A request as a server reads it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The parameters.
    pub params: Params,
    /// The id; `None` for a notification.
    pub id: Option<Value>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    jsonrpc: String,
    method: String,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(default)]
    id: Option<Value>,
}

impl Asked {
    /// Reads a request. `None` for what is no JSON, has no `jsonrpc` of 2.0 or no method, or has
    /// parameters that are neither a list nor an object: what a server then does is its own.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let raw: Raw<'_> = serde_json::from_slice(body).ok()?;
        let params = match raw.params.map(|it| (it, it.get().bytes().next())) {
            None => Params::None,
            Some((it, Some(b'['))) => Params::List(serde_json::from_str(it.get()).ok()?),
            Some((it, Some(b'{'))) => Params::Named(members::lenient(it)?),
            Some(_) => return None,
        };
        (raw.jsonrpc == "2.0").then_some(Self {
            method: raw.method,
            params,
            id: raw.id,
        })
    }

    /// The parameter at this place, from 0, of a list or of an object.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Value> {
        match &self.params {
            Params::None => None,
            Params::List(values) => values.get(place),
            Params::Named(pairs) => pairs.get(place).map(|(_, value)| value),
        }
    }

    /// The parameter of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Value> {
        match &self.params {
            Params::Named(pairs) => {
                let found = pairs.iter().find(|(it, _)| it == name);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

/// An answer with a result.
#[must_use]
pub fn result(id: Option<&Value>, result: &Value) -> Bytes {
    with_id(json!({"jsonrpc": "2.0", "result": result}), id)
}

/// An answer with an error.
#[must_use]
pub fn error(id: Option<&Value>, error: &RpcError) -> Bytes {
    let mut member = json!({"code": error.code, "message": error.message});
    if let (Some(member), Some(data)) = (member.as_object_mut(), &error.data) {
        member.insert("data".to_owned(), data.clone());
    }
    with_id(json!({"jsonrpc": "2.0", "error": member}), id)
}

fn with_id(mut answer: Value, id: Option<&Value>) -> Bytes {
    if let (Some(members), Some(id)) = (answer.as_object_mut(), id) {
        members.insert("id".to_owned(), id.clone());
    }
    answer.to_string().into()
}

/// An event, as OpenSIPS writes it: the id first, if there is one, no parameters as no member.
#[must_use]
pub fn event(method: &str, params: &Params, id: Option<i64>) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!(r#""id":{id},"#));
    let params = match params {
        Params::None => String::new(),
        // Params of JSON have a form in JSON.
        params => format!(
            r#","params":{}"#,
            serde_json::to_string(params).unwrap_or_default()
        ),
    };
    format!(
        r#"{{{id}"jsonrpc":"2.0","method":{}{params}}}"#,
        json!(method)
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::jsonrpc::{Notification, Outcome, Request, decode_answer};

    #[test]
    fn what_a_client_writes_is_read_and_the_answer_read_back() {
        let params = Params::named([("event", json!("E")), ("params", json!(["x"]))]);
        let request = Request::new("raise_event", params.clone()).unwrap();
        let asked = Asked::parse(&request.encode(7)).unwrap();
        assert_eq!(
            (asked.method.as_str(), &asked.params),
            ("raise_event", &params)
        );
        assert_eq!(asked.named("event"), asked.at(0));
        let body = result(asked.id.as_ref(), &json!({"a": 1}));
        let answer = decode_answer::<Value>(&body, 7).unwrap();
        assert!(matches!(answer, Outcome::Result(it) if it == json!({"a": 1})));
        let told = RpcError::new(404, "no").with_data("x");
        let answer = decode_answer::<Value>(&error(asked.id.as_ref(), &told), 7).unwrap();
        assert!(matches!(answer, Outcome::Error(it) if it == told));
    }

    #[test]
    fn what_is_no_request_is_none() {
        for body in [
            "{not json",
            "[]",
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"method":"x","id":1}"#,
            r#"{"jsonrpc":"2.0","method":"x","params":1}"#,
        ] {
            assert_eq!(Asked::parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn events_are_written_as_they_were_recorded() {
        let table = [
            (
                Params::None,
                None,
                r#"{"jsonrpc":"2.0","method":"E_MY_EVENT"}"#,
            ),
            (
                Params::list(["a", "b"]),
                None,
                r#"{"jsonrpc":"2.0","method":"E_MY_EVENT","params":["a","b"]}"#,
            ),
            (
                Params::named([("who", "alice")]),
                Some(7),
                r#"{"id":7,"jsonrpc":"2.0","method":"E_MY_EVENT","params":{"who":"alice"}}"#,
            ),
        ];
        for (params, id, want) in table {
            let bytes = event("E_MY_EVENT", &params, id);
            assert_eq!(bytes, want);
            assert_eq!(Notification::parse(&bytes).unwrap().id, id);
        }
    }
}
