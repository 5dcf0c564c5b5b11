//! JSON-RPC as the management interface speaks it (recordings `01_jsonrpc_*` of OpenSIPS).

use std::fmt;

use tokio::time::Instant;

use crate::server::proxy::Tree;

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Channel {
    /// `mi_http`.
    Http,
    /// `mi_datagram`, over UDP or a unix socket.
    Datagram,
}

/// A request as the server read it. `Debug` shows the method and the form of its parameters.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct SeenMi {
    /// The method.
    pub method: String,
    /// The parameters as they came: an array, an object, or null.
    pub params: Tree,
    /// How it came.
    pub channel: Channel,
    /// When.
    pub at: Instant,
    pub(super) named: Vec<(String, Tree)>,
}

impl SeenMi {
    /// A parameter by its name, also where it came by its place.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        let mut named = self.named.iter();
        let (_, value) = named.find(|(other, _)| other == name)?;
        Some(value)
    }

    /// A parameter as text; numbers are texts, too.
    pub fn text(&self, name: &str) -> Option<String> {
        as_text(self.get(name)?)
    }

    /// All parameters that have a text, by their names.
    pub fn texts(&self) -> Vec<(String, String)> {
        let named = self.named.iter();
        named
            .filter_map(|(name, value)| Some((name.clone(), as_text(value)?)))
            .collect()
    }
}

impl fmt::Debug for SeenMi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenMi")
            .field("method", &self.method)
            .field("params", &self.params)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// What the server takes for a text: numbers, too.
pub(super) fn as_text(value: &Tree) -> Option<String> {
    match value {
        Tree::Text(text) => Some(text.clone()),
        Tree::Int(number) => Some(number.to_string()),
        Tree::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A refusal: an `error` within status 200.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    code: i64,
    message: String,
    data: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    fn with(code: i64, message: &str, data: &str) -> Self {
        Self {
            data: Some(data.to_owned()),
            ..Self::new(code, message)
        }
    }

    pub(super) fn parse() -> Self {
        Self::new(-32700, "Parse error")
    }

    pub(super) fn request() -> Self {
        Self::new(-32600, "Invalid Request")
    }

    pub(super) fn no_method() -> Self {
        Self::new(-32601, "Method not found")
    }

    pub(super) fn params(data: &str) -> Self {
        Self::with(-32602, "Invalid params", data)
    }

    pub(super) fn bad_type(name: &str) -> Self {
        Self::params(&format!("Bad type for parameter '{name}'"))
    }

    /// The command gave up.
    pub(super) fn server(data: &str) -> Self {
        Self::with(-32000, "Server error", data)
    }

    fn tree(self) -> Tree {
        let members = [
            ("code", Some(Tree::Int(self.code))),
            ("message", Some(Tree::Text(self.message))),
            ("data", self.data.map(Tree::Text)),
        ];
        Tree::object(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        )
    }
}

/// What a command gives.
pub(super) type Outcome = Result<Tree, Refusal>;

/// `OK`, the answer of commands that only do something.
#[allow(clippy::unnecessary_wraps, reason = "the answer of a command")]
pub(super) fn done() -> Outcome {
    Ok("OK".into())
}

/// A text, and whether it must not be empty.
pub(super) fn text(request: &SeenMi, name: &str) -> Result<String, Refusal> {
    request.text(name).ok_or_else(|| Refusal::bad_type(name))
}

/// A text that may be missing.
pub(super) fn maybe_text(request: &SeenMi, name: &str) -> Result<Option<String>, Refusal> {
    match request.get(name) {
        None => Ok(None),
        Some(_) => text(request, name).map(Some),
    }
}

/// A text with something in it.
pub(super) fn filled(request: &SeenMi, name: &str) -> Result<String, Refusal> {
    let text = text(request, name)?;
    if text.is_empty() {
        return Err(Refusal::bad_type(name));
    }
    Ok(text)
}

/// A whole number, also as a text. A fraction is cut off.
pub(super) fn number(request: &SeenMi, name: &str) -> Result<Option<i64>, Refusal> {
    let Some(value) = request.get(name) else {
        return Ok(None);
    };
    let number = match value {
        Tree::Int(number) => Some(*number),
        Tree::Text(text) => text.trim().parse().ok(),
        Tree::Float(number) => whole(*number),
        _ => None,
    };
    number.map(Some).ok_or_else(|| Refusal::bad_type(name))
}

#[allow(clippy::cast_possible_truncation, reason = "the limits are checked")]
fn whole(number: f64) -> Option<i64> {
    (number.abs() < 9e15).then_some(number as i64)
}

/// An array with something in it, as texts.
pub(super) fn texts(request: &SeenMi, name: &str) -> Result<Vec<String>, Refusal> {
    let Some(Tree::List(values)) = request.get(name) else {
        return Err(Refusal::bad_type(name));
    };
    if values.is_empty() {
        let empty = format!("Empty array in parameter '{name}'");
        return Err(Refusal::params(&empty));
    }
    Ok(values.iter().filter_map(as_text).collect())
}

/// A request's envelope.
pub(super) struct Envelope {
    pub method: String,
    pub params: Tree,
    /// `None` for a notification, which is never answered.
    pub id: Option<Tree>,
}

/// What a body is.
pub(super) enum Read {
    Request(Envelope),
    /// It is refused; with this id.
    Refused(Refusal, Tree),
    /// No JSON.
    Broken,
}

/// The first JSON value of a body; what follows is ignored.
fn first(body: &[u8]) -> Option<Tree> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text.to_owned(),
        // Other bytes are taken as they are: Latin-1 is what clients send then.
        Err(_) => body.iter().map(|&byte| char::from(byte)).collect(),
    };
    let mut values = serde_json::Deserializer::from_str(&text).into_iter();
    values.next()?.ok()
}

fn has_nul(value: &Tree) -> bool {
    match value {
        Tree::Text(text) => text.contains('\0'),
        Tree::List(values) => values.iter().any(has_nul),
        Tree::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// A member of the envelope: names in any case, the first counts.
fn member<'a>(request: &'a Tree, name: &str) -> Option<&'a Tree> {
    let Tree::Object(members) = request else {
        return None;
    };
    let mut members = members.iter();
    let found = members.find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Read {
    let Some(request) = first(body).filter(|request| !has_nul(request)) else {
        return Read::Broken;
    };
    let id = member(&request, "id").cloned();
    let refused = || Read::Refused(Refusal::request(), id.clone().unwrap_or(Tree::Null));
    if member(&request, "jsonrpc").and_then(Tree::text) != Some("2.0") {
        return refused();
    }
    let Some(Tree::Text(method)) = member(&request, "method") else {
        return refused();
    };
    let params = match member(&request, "params") {
        None => Tree::Null,
        Some(params @ (Tree::List(_) | Tree::Object(_))) => params.clone(),
        Some(_) => return refused(),
    };
    Read::Request(Envelope {
        method: method.clone(),
        params,
        id,
    })
}

/// The id as it comes back; `None` when no reply can be built with it.
fn echoed(id: &Tree) -> Option<Tree> {
    match id {
        // A number is an `int` of C (recording `01_jsonrpc_ids`).
        Tree::Int(number) => Some(Tree::Int((*number).min(i64::from(i32::MAX)))),
        Tree::Float(number) => Some(Tree::Int(
            whole(*number).map_or(i64::from(i32::MAX), |it| it.min(i64::from(i32::MAX))),
        )),
        Tree::Text(_) | Tree::Null => Some(id.clone()),
        _ => None,
    }
}

/// An answer; `None` when it cannot be built.
pub(super) fn answer(outcome: Outcome, id: &Tree) -> Option<String> {
    let (name, value) = match outcome {
        Ok(result) => ("result", result),
        Err(refusal) => ("error", refusal.tree()),
    };
    let members = [
        ("jsonrpc", "2.0".into()),
        (name, value),
        ("id", echoed(id)?),
    ];
    Some(Tree::object(members).compact())
}
