//! JSON-RPC as the module `jsonrpcs` speaks it.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use crate::server::proxy::Tree;

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Channel {
    /// HTTP.
    Http,
    /// A datagram, over a unix socket or UDP.
    Datagram,
}

/// A request as the server read it. `Debug` shows the method and the form of its parameters.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct SeenRpc {
    /// The method.
    pub method: String,
    /// The parameters: an array, an object, or null.
    pub params: Tree,
    /// How it came.
    pub channel: Channel,
    /// When.
    pub at: Instant,
}

impl SeenRpc {
    /// The parameters by their place; names are ignored, as the server does.
    pub fn values(&self) -> Vec<&Tree> {
        self.params.values()
    }

    /// The text at that place.
    pub fn text(&self, place: usize) -> Option<&str> {
        self.values().get(place)?.text()
    }
}

impl fmt::Debug for SeenRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeenRpc")
            .field("method", &self.method)
            .field("params", &self.params)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// A refusal: the status of HTTP, and the code and message of JSON.
#[derive(Debug)]
pub(super) struct Refusal {
    pub code: u16,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(super) fn parameters() -> Self {
        Self::new(500, "Invalid parameters")
    }

    pub(super) fn no_method() -> Self {
        Self::new(500, "Method Not Found")
    }
}

/// What a method gives.
pub(super) type Outcome = Result<Tree, Refusal>;

/// `{}`, the answer of methods that only do something.
#[allow(clippy::unnecessary_wraps, reason = "the answer of a method")]
pub(super) fn done() -> Outcome {
    Ok(Tree::Object(Vec::new()))
}

/// An answer as it goes out.
pub(super) struct Reply {
    pub status: u16,
    pub reason: Option<String>,
    pub body: String,
    pub after: Duration,
}

impl Reply {
    /// The answer to a method's outcome. The id is that of the request, if it had one.
    pub(super) fn new(outcome: Outcome, id: Option<Tree>) -> Self {
        let mut members = vec![("jsonrpc".to_owned(), Tree::from("2.0"))];
        let (status, reason) = match outcome {
            Ok(result) => {
                members.push(("result".to_owned(), result));
                (200, None)
            }
            Err(Refusal { code, message }) => {
                let error = Tree::object([
                    ("code", Tree::from(code)),
                    ("message", Tree::from(message.clone())),
                ]);
                members.push(("error".to_owned(), error));
                (code, Some(message))
            }
        };
        members.extend(id.map(|id| ("id".to_owned(), id)));
        Self {
            status,
            reason,
            body: Tree::Object(members).tabbed(),
            after: Duration::ZERO,
        }
    }
}

/// The id as it comes back: `null` is 0 (recording `rpc_dgram`).
pub(super) fn id_of(request: &Tree) -> Option<Tree> {
    match request.get("id")? {
        Tree::Null => Some(Tree::Int(0)),
        id @ (Tree::Int(_) | Tree::Text(_)) => Some(id.clone()),
        // Anything else is no id (`jsonrpcs_mod.c`).
        _ => None,
    }
}
