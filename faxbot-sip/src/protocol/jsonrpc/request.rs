//! What can be asked. Whatever exists can be sent.

use std::{borrow::Cow, fmt, io::Write as _};

use bytes::Bytes;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::Value;

/// The highest id: OpenSIPS answers a higher one with this (`01_jsonrpc_ids`).
pub const MAX_ID: u32 = 2_147_483_647;

/// The longest request in bytes: one datagram, of which OpenSIPS takes 65,300
/// (`09_datagram_basics`).
pub const MAX_REQUEST: usize = 65_000;

/// Levels that lists and objects of parameters may be nested in each other.
pub const MAX_DEPTH: usize = 32;

/// What stands around method and parameters, with the longest id.
const FRAME: usize = r#"{"jsonrpc":"2.0","method":"","params":,"id":2147483647}"#.len();

/// The parameters of a request. `Debug` shows how many there are.
#[derive(Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Params {
    /// None at all.
    #[default]
    None,
    /// By position.
    List(Vec<Value>),
    /// By name, in this order. Kamailio reads them by position all the same.
    Named(Vec<(String, Value)>),
}

impl Params {
    /// Parameters by position.
    pub fn list<T: Into<Value>>(values: impl IntoIterator<Item = T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }

    /// Parameters by name.
    pub fn named<N: Into<String>, T: Into<Value>>(
        values: impl IntoIterator<Item = (N, T)>,
    ) -> Self {
        let pairs = values.into_iter();
        Self::Named(pairs.map(|(name, it)| (name.into(), it.into())).collect())
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        let (list, named) = match self {
            Self::None => (&[][..], &[][..]),
            Self::List(values) => (values.as_slice(), &[][..]),
            Self::Named(pairs) => (&[][..], pairs.as_slice()),
        };
        list.iter().chain(named.iter().map(|(_, value)| value))
    }

    fn names(&self) -> &[(String, Value)] {
        match self {
            Self::Named(pairs) => pairs,
            _ => &[],
        }
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_unit(),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Self::Named(pairs) => {
                let mut map = serializer.serialize_map(Some(pairs.len()))?;
                for (name, value) in pairs {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::List(values) => write!(f, "List({})", values.len()),
            Self::Named(pairs) => write!(f, "Named({})", pairs.len()),
        }
    }
}

/// Why a request cannot be sent. It says what and never the value, which may be a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The method is no name of visible ASCII.
    #[error("the method is no name of visible ascii")]
    Method,
    /// A name of a parameter is empty, or comes twice.
    #[error("a name of a parameter is empty or comes twice")]
    Name,
    /// A text holds a NUL, which cuts it at the server or makes the whole request unreadable
    /// (`01_text_values`).
    #[error("a parameter has a nul in a text")]
    Nul,
    /// Lists and objects are nested too deep.
    #[error("a parameter is nested deeper than {max} levels")]
    TooDeep {
        /// The limit in levels.
        max: usize,
    },
    /// The request is longer than a server takes.
    #[error("the request has {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A value has no form in JSON.
    #[error("a parameter has no form in json")]
    NoJson,
}

/// One request. `Debug` shows the method and the length.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    method: Cow<'static, str>,
    /// The parameters as JSON; empty for none.
    params: Bytes,
}

impl Request {
    /// A request of this method.
    ///
    /// Texts go out as they are, line breaks among them: what makes a second header out of a
    /// parameter (`dlg.bridge_dlg`, `t_uac_dlg`) is known to who knows the method.
    ///
    /// # Errors
    /// [`InvalidRequest`] for what a server does not read as it was meant.
    pub fn new(
        method: impl Into<Cow<'static, str>>,
        params: Params,
    ) -> Result<Self, InvalidRequest> {
        let method = method.into();
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if method.is_empty() || !method.bytes().all(is_name) {
            return Err(InvalidRequest::Method);
        }
        check_names(params.names())?;
        for value in params.values() {
            check(value, MAX_DEPTH)?;
        }
        let params = match params {
            Params::None => Vec::new(),
            params => serde_json::to_vec(&params).map_err(|_| InvalidRequest::NoJson)?,
        };
        let bytes = FRAME + method.len() + params.len();
        if bytes > MAX_REQUEST {
            let max = MAX_REQUEST;
            return Err(InvalidRequest::TooLong { bytes, max });
        }
        Ok(Self {
            method,
            params: params.into(),
        })
    }

    /// A request without parameters.
    ///
    /// # Errors
    /// [`InvalidRequest::Method`].
    pub fn plain(method: impl Into<Cow<'static, str>>) -> Result<Self, InvalidRequest> {
        Self::new(method, Params::None)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The most bytes that [`encode`](Self::encode) gives.
    #[must_use]
    pub fn max_len(&self) -> usize {
        FRAME + self.method.len() + self.params.len()
    }

    /// The bytes with this id, which [`MAX_ID`] bounds: a higher one is written as the rest of
    /// its bits.
    #[must_use]
    pub fn encode(&self, id: u32) -> Bytes {
        let mut out = Vec::with_capacity(self.max_len());
        out.extend_from_slice(br#"{"jsonrpc":"2.0","method":""#);
        out.extend_from_slice(self.method.as_bytes());
        if self.params.is_empty() {
            out.push(b'"');
        } else {
            out.extend_from_slice(br#"","params":"#);
            out.extend_from_slice(&self.params);
        }
        // Writing to a vector cannot fail.
        let _ = write!(out, r#","id":{}}}"#, id & MAX_ID);
        out.into()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("params_bytes", &self.params.len())
            .finish()
    }
}

fn check_names(pairs: &[(String, Value)]) -> Result<(), InvalidRequest> {
    for (at, (name, _)) in pairs.iter().enumerate() {
        let before = pairs.iter().take(at);
        if name.is_empty() || before.into_iter().any(|(other, _)| other == name) {
            return Err(InvalidRequest::Name);
        }
        text(name)?;
    }
    Ok(())
}

fn check(value: &Value, depth: usize) -> Result<(), InvalidRequest> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(InvalidRequest::TooDeep { max: MAX_DEPTH });
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(it) => text(it),
        Value::Array(values) => values.iter().try_for_each(|it| check(it, depth)),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, it)| text(name).and_then(|()| check(it, depth))),
    }
}

fn text(text: &str) -> Result<(), InvalidRequest> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(InvalidRequest::Nul);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_written_compact_with_their_parameters_in_order() {
        let named = Params::named([("zulu", json!(["dialog:"])), ("alpha", json!(1))]);
        let table = [
            (Params::None, ""),
            (Params::List(Vec::new()), r#","params":[]"#),
            (
                Params::list([json!(9), json!("a\r\nb")]),
                r#","params":[9,"a\r\nb"]"#,
            ),
            (named, r#","params":{"zulu":["dialog:"],"alpha":1}"#),
        ];
        for (params, want) in table {
            let request = Request::new("dlg.list", params).unwrap();
            let text = format!(r#"{{"jsonrpc":"2.0","method":"dlg.list"{want},"id":7}}"#);
            assert_eq!(request.encode(7), text);
            assert!(request.encode(MAX_ID).len() <= request.max_len());
        }
    }

    #[test]
    fn an_id_never_leaves_the_range_that_opensips_gives_back() {
        let request = Request::plain("version").unwrap();
        for (id, want) in [(0, "0"), (MAX_ID, "2147483647"), (u32::MAX, "2147483647")] {
            let text = request.encode(id);
            assert!(text.ends_with(format!(r#""id":{want}}}"#).as_bytes()));
        }
    }

    #[test]
    fn what_a_server_would_read_otherwise_is_refused() {
        let deep = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        let table = [
            ("", Params::None, InvalidRequest::Method),
            ("a b", Params::None, InvalidRequest::Method),
            ("a\"", Params::None, InvalidRequest::Method),
            ("a\n", Params::None, InvalidRequest::Method),
            ("\u{fc}", Params::None, InvalidRequest::Method),
            ("a", Params::list(["x\0"]), InvalidRequest::Nul),
            ("a", Params::list([json!({"x\0": 1})]), InvalidRequest::Nul),
            ("a", Params::named([("x\0", 1)]), InvalidRequest::Nul),
            ("a", Params::named([("", 1)]), InvalidRequest::Name),
            (
                "a",
                Params::named([("x", 1), ("x", 2)]),
                InvalidRequest::Name,
            ),
            (
                "a",
                Params::list([deep]),
                InvalidRequest::TooDeep { max: MAX_DEPTH },
            ),
        ];
        for (method, params, want) in table {
            assert_eq!(Request::new(method, params).unwrap_err(), want);
        }
        let fits = MAX_REQUEST - FRAME - "a[\"\"]".len();
        assert!(Request::new("a", Params::list(["x".repeat(fits)])).is_ok());
        let long = Request::new("a", Params::list(["x".repeat(fits + 1)]));
        assert!(matches!(long, Err(InvalidRequest::TooLong { .. })));
    }

    #[test]
    fn nothing_of_the_parameters_shows_in_debug() {
        let params = Params::named([("to", "+15551234567")]);
        let shown = format!("{params:?}{:?}", Request::new("x", params.clone()).unwrap());
        assert!(!shown.contains("555"), "{shown}");
    }
}
