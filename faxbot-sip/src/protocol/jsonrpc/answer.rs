//! What comes back: one answer, matched by its id.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::error::RpcError;

/// What an answer says. `Debug` hides a result, which holds numbers and names.
#[derive(Clone)]
#[non_exhaustive]
pub enum Outcome<T = Box<RawValue>> {
    /// The result, as it stands unless it was decoded.
    Result(T),
    /// The server refused.
    Error(RpcError),
}

impl<T> Outcome<T> {
    /// The result, or the refusal as an error.
    ///
    /// # Errors
    /// The refusal.
    pub fn into_result(self) -> Result<T, RpcError> {
        match self {
            Self::Result(result) => Ok(result),
            Self::Error(error) => Err(error),
        }
    }
}

impl<T> fmt::Debug for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result(_) => f.write_str("Result(..)"),
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
        }
    }
}

/// Why bytes are no answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No JSON, or not the whole of it.
    #[error("the answer is not json")]
    NotJson,
    /// JSON, but no object.
    #[error("the answer is not an object")]
    NotAnObject,
    /// A list of answers. None was asked for.
    #[error("the answer is a batch")]
    Batch,
    /// It has no id. Kamailio answers so to what it did not understand, as a success (`basics`).
    #[error("the answer has no id")]
    MissingId,
    /// It is the answer to another request.
    #[error("the answer has the id of another request")]
    OtherId,
    /// It has neither result nor error.
    #[error("the answer has neither a result nor an error")]
    NoOutcome,
    /// It has a result and an error.
    #[error("the answer has both a result and an error")]
    TwoOutcomes,
    /// The result is not of the shape that the method has.
    #[error("the result has another shape than expected")]
    UnexpectedResult,
}

/// Reads the answer to the request with this id, and leaves the result as it stands.
///
/// Bytes that are not UTF-8 become U+FFFD: OpenSIPS hands names on as they came
/// (`01_text_values`). A member that is `null` counts as missing where the other one is there. An
/// error with the id `null` is the refusal of a request that could not be read.
///
/// # Errors
/// [`AnswerError`] for all that is no answer to this request.
pub fn parse_answer(body: &[u8], id: u32) -> Result<Outcome, AnswerError> {
    let text = String::from_utf8_lossy(body);
    Ok(match envelope(&text, id)? {
        Outcome::Result(raw) => Outcome::Result(raw.to_owned()),
        Outcome::Error(error) => Outcome::Error(error),
    })
}

/// Reads the answer to the request with this id and decodes its result, straight from the bytes.
///
/// # Errors
/// As [`parse_answer`], and [`AnswerError::UnexpectedResult`].
pub fn decode_answer<T: DeserializeOwned>(body: &[u8], id: u32) -> Result<Outcome<T>, AnswerError> {
    let text = String::from_utf8_lossy(body);
    // In one pass where all is as it should be. Otherwise again in two, to say what is not.
    if let Ok(Envelope {
        result: Some(result),
        error: None,
        id: Id::Number(found),
    }) = serde_json::from_str(&text)
        && found == u64::from(id)
    {
        return Ok(Outcome::Result(result));
    }
    match envelope(&text, id)? {
        Outcome::Result(raw) => serde_json::from_str(raw.get())
            .map(Outcome::Result)
            .map_err(|_| AnswerError::UnexpectedResult),
        Outcome::Error(error) => Ok(Outcome::Error(error)),
    }
}

/// The id of an answer, if it is one that a request of ours can have. For transports where answers
/// come in any order.
#[must_use]
pub fn answer_id(body: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(body);
    let envelope: Envelope<IgnoredAny> = serde_json::from_str(&text).ok()?;
    match envelope.id {
        Id::Number(id) => u32::try_from(id).ok(),
        _ => None,
    }
}

/// What the answer with this id says, as it stands.
fn envelope(text: &str, id: u32) -> Result<Outcome<&RawValue>, AnswerError> {
    if text.trim_start().starts_with('[') {
        return Err(AnswerError::Batch);
    }
    let envelope: Envelope<&RawValue> = serde_json::from_str(text).map_err(|error| {
        if error.is_data() {
            AnswerError::NotAnObject
        } else {
            AnswerError::NotJson
        }
    })?;
    match envelope.id {
        Id::Number(found) if found == u64::from(id) => {}
        Id::Null if envelope.error.is_some() => {}
        Id::Missing | Id::Null => return Err(AnswerError::MissingId),
        Id::Number(_) | Id::Other => return Err(AnswerError::OtherId),
    }
    match (envelope.result, envelope.error) {
        (Some(result), None) => Ok(Outcome::Result(result)),
        (None, Some(error)) => Ok(Outcome::Error(error)),
        (Some(result), Some(error)) if result.get() == "null" => Ok(Outcome::Error(error)),
        (None, None) => Err(AnswerError::NoOutcome),
        (Some(_), Some(_)) => Err(AnswerError::TwoOutcomes),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Id {
    Missing,
    Null,
    Number(u64),
    /// A text, a negative number, anything else: never ours.
    Other,
}

/// The members of an answer, in whatever order they come.
struct Envelope<T> {
    result: Option<T>,
    error: Option<RpcError>,
    id: Id,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Envelope<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Visit<T> {
            type Value = Envelope<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an answer")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<T>, A::Error> {
                let mut envelope = Envelope {
                    result: None,
                    error: None,
                    id: Id::Missing,
                };
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match &*name {
                        "result" => envelope.result = Some(map.next_value()?),
                        "error" => envelope.error = map.next_value()?,
                        "id" => {
                            let id: &RawValue = map.next_value()?;
                            envelope.id = match id.get() {
                                "null" => Id::Null,
                                text => text.parse().map_or(Id::Other, Id::Number),
                            };
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Visit(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn parse(body: &str) -> Result<String, AnswerError> {
        parse_answer(body.as_bytes(), 7).map(|outcome| match outcome {
            Outcome::Result(raw) => raw.get().to_owned(),
            Outcome::Error(error) => format!("error {} {}", error.code, error.message),
        })
    }

    #[test]
    fn an_answer_is_read_in_any_order_of_its_members() {
        let table = [
            (r#"{"jsonrpc":"2.0","result":{"a":1},"id":7}"#, r#"{"a":1}"#),
            (r#"{"id":7,"x":[[{}]],"result":null}"#, "null"),
            (
                "\n{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t[],\n\t\"id\":\t7\n}\n",
                "[]",
            ),
            (r#"{"result":"OK","error":null,"id":7}"#, r#""OK""#),
            (
                r#"{"error":{"code":404,"message":"no"},"id":7}"#,
                "error 404 no",
            ),
            (r#"{"result":null,"error":{"code":1},"id":7}"#, "error 1 "),
            (
                r#"{"error":{"code":-32700,"message":"Parse error"},"id":null}"#,
                "error -32700 Parse error",
            ),
            (r#"{"re\u0073ult":1,"id":7}"#, "1"),
        ];
        for (body, want) in table {
            assert_eq!(parse(body).as_deref(), Ok(want), "{body}");
            let decoded = decode_answer::<Value>(body.as_bytes(), 7).unwrap();
            assert_eq!(
                matches!(decoded, Outcome::Error(_)),
                want.starts_with("error")
            );
        }
    }

    #[test]
    fn what_is_no_answer_to_this_request_says_why() {
        use AnswerError as E;
        let table = [
            ("", E::NotJson),
            ("500 Internal error", E::NotAnObject),
            (r#"{"result":"OK","id":7"#, E::NotJson),
            (r#"{"result":"OK","id":7}x"#, E::NotJson),
            (r#"{"result":{"a":,"id":7}"#, E::NotJson),
            ("7", E::NotAnObject),
            (r#""x""#, E::NotAnObject),
            ("null", E::NotAnObject),
            (r#"[{"result":"OK","id":7}]"#, E::Batch),
            (" []", E::Batch),
            (r#"{"jsonrpc":"2.0","result":{}}"#, E::MissingId),
            (r#"{"error":{"code":500}}"#, E::MissingId),
            (r#"{"result":"OK","id":null}"#, E::MissingId),
            (r#"{"result":"OK","id":8}"#, E::OtherId),
            (r#"{"result":"OK","id":-7}"#, E::OtherId),
            (r#"{"result":"OK","id":7.0}"#, E::OtherId),
            (r#"{"result":"OK","id":"7"}"#, E::OtherId),
            (r#"{"result":"OK","id":[7]}"#, E::OtherId),
            (r#"{"result":"OK","id":99999999999999999999}"#, E::OtherId),
            (r#"{"id":7}"#, E::NoOutcome),
            (r#"{"id":7,"error":null}"#, E::NoOutcome),
            (r#"{"id":7,"result":1,"error":{"code":1}}"#, E::TwoOutcomes),
        ];
        for (body, want) in table {
            assert_eq!(parse(body), Err(want), "{body}");
            let decoded = decode_answer::<Value>(body.as_bytes(), 7);
            assert_eq!(decoded.unwrap_err(), want, "{body}");
        }
    }

    #[test]
    fn a_result_is_decoded_and_one_of_another_shape_is_told() {
        let body = br#"{"jsonrpc":"2.0","result":[1,2],"id":7}"#;
        let Ok(Outcome::Result(list)) = decode_answer::<Vec<u8>>(body, 7) else {
            panic!("no list")
        };
        assert_eq!(list, [1, 2]);
        let wrong = decode_answer::<String>(body, 7).unwrap_err();
        assert_eq!(wrong, AnswerError::UnexpectedResult);
        assert_eq!(
            decode_answer::<String>(body, 8).unwrap_err(),
            AnswerError::OtherId
        );
    }

    #[test]
    fn bytes_that_are_not_utf_8_do_not_lose_an_answer() {
        let body = b"{\"result\":\"caf\xe9\",\"id\":7}";
        let Ok(Outcome::Result(text)) = decode_answer::<String>(body, 7) else {
            panic!("no text")
        };
        assert_eq!(text, "caf\u{fffd}");
    }

    #[test]
    fn the_id_of_an_answer_is_known_without_its_request() {
        let table = [
            (r#"{"result":[{}],"id":7}"#, Some(7)),
            (r#"{"id":2147483647}"#, Some(2_147_483_647)),
            (r#"{"id":4294967296}"#, None),
            (r#"{"id":"7"}"#, None),
            (r#"{"id":null}"#, None),
            (r#"{"result":1}"#, None),
            ("400 Parse_error", None),
            (r#"[{"id":7}]"#, None),
        ];
        for (body, want) in table {
            assert_eq!(answer_id(body.as_bytes()), want, "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let deep = 100_000;
        let body = format!(
            r#"{{"result":{}{},"id":7}}"#,
            "[".repeat(deep),
            "]".repeat(deep)
        );
        let decoded = decode_answer::<Value>(body.as_bytes(), 7);
        assert_eq!(decoded.unwrap_err(), AnswerError::UnexpectedResult);
        assert_eq!(answer_id(body.as_bytes()), Some(7));
    }

    #[test]
    fn a_result_does_not_show_in_debug() {
        let outcome = parse_answer(br#"{"result":"+15551234567","id":7}"#, 7);
        assert_eq!(format!("{outcome:?}"), "Ok(Result(..))");
    }
}
