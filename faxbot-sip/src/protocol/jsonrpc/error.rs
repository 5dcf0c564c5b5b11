//! What a server says when it refuses.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The `error` of an answer. Its texts may quote what was sent, so `Debug` and `Display` show the
/// code alone.
///
/// Codes below 0 are those of JSON-RPC (-32700 to -32600, -32000); the others look like SIP: 400,
/// 404, 480, 500, at OpenSIPS even 200 (`01_jsonrpc_errors`, `basics`).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct RpcError {
    /// The code; 0 where the server gave none.
    pub code: i64,
    /// The server's words.
    pub message: String,
    /// What it adds: a text at OpenSIPS.
    pub data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Sets what is added.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(data.into());
        self
    }
}

impl<'de> Deserialize<'de> for RpcError {
    /// Takes whatever stands there: an error of another shape than the usual is an error too.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut error = Self::new(0, "");
        let members = match Value::deserialize(deserializer)? {
            Value::Object(members) => members,
            other => {
                error.message = other.to_string();
                return Ok(error);
            }
        };
        for (name, value) in members {
            match (name.as_str(), value) {
                ("code", Value::Number(it)) => error.code = it.as_i64().unwrap_or_default(),
                ("code", Value::String(it)) => error.code = it.parse().unwrap_or_default(),
                ("message", Value::String(it)) => error.message = it,
                ("data", it) if !it.is_null() => error.data = Some(it),
                _ => {}
            }
        }
        Ok(error)
    }
}

impl fmt::Debug for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcError")
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused with code {}", self.code)
    }
}

impl std::error::Error for RpcError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_of_every_shape_are_errors() {
        let data = RpcError::new(-32602, "Invalid params").with_data("Bad type");
        let table = [
            (
                r#"{"code":404,"message":"Dialog not found"}"#,
                RpcError::new(404, "Dialog not found"),
            ),
            (
                r#"{"code":-32602,"message":"Invalid params","data":"Bad type"}"#,
                data,
            ),
            (
                r#"{"code":"481","message":7,"data":null}"#,
                RpcError::new(481, ""),
            ),
            (r#"{"code":1.5}"#, RpcError::new(0, "")),
            (
                r#"{"data":[1]}"#,
                RpcError::new(0, "").with_data(json!([1])),
            ),
            ("{}", RpcError::new(0, "")),
            (r#""no""#, RpcError::new(0, r#""no""#)),
            ("[1]", RpcError::new(0, "[1]")),
        ];
        for (text, want) in table {
            assert_eq!(
                serde_json::from_str::<RpcError>(text).unwrap(),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn the_words_of_the_server_do_not_show() {
        let error = RpcError::new(404, "no sip:+15551234567").with_data("+15551234567");
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains("555") && shown.contains("404"), "{shown}");
    }
}
