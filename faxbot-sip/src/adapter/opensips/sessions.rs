//! Sessions of one leg (`ua_session_*` of `b2b_entities`): the server calls, and we bring what is said of
//! media. What becomes of them is told by `E_UA_SESSION`.
//!
//! Two parameters of these commands are traps (`ua_build_hdrs` in `ua_api.c`). `content_type` is written
//! as a line of the header as it is: `application/sdp` alone becomes the beginning of the line after it,
//! and the Contact is lost (recording `05_ua_session_client`). `extra_headers` without a body are bytes
//! of memory that nothing was written to.

use std::fmt;

use faxbot_core::{Error, ErrorKind, Private, Result, address::Address, sip::RawEvent};
use serde_json::{Value, json};

use super::{
    OpenSipsAdapter,
    server::{Refusal, Server, named, plain, refused},
    target::{invalid, is_uri, uri},
    wire::users::{Session, SessionList},
};
use crate::protocol::jsonrpc::{Params, Request};

/// The event that tells of them.
const EVENT: &str = "E_UA_SESSION";

/// A session of one leg to begin: the server calls, and we bring what is said of media. `Debug` leaves
/// out the session description.
#[derive(Clone)]
#[non_exhaustive]
pub struct NewSession {
    /// Who is called.
    pub to: Address,
    /// Who calls.
    pub from: Address,
    /// The session description.
    pub sdp: Option<String>,
    /// The server's letters for what `E_UA_SESSION` tells: `a` ACKs, `r` replies, `h` headers, `b` bodies;
    /// `arhb` by default.
    pub flags: String,
}

impl NewSession {
    /// A session without a session description.
    pub fn new(to: Address, from: Address) -> Self {
        Self {
            to,
            from,
            sdp: None,
            flags: "arhb".to_owned(),
        }
    }

    /// Sets the session description.
    #[must_use]
    pub fn with_sdp(mut self, sdp: impl Into<String>) -> Self {
        self.sdp = Some(sdp.into());
        self
    }
}

impl fmt::Debug for NewSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession")
            .field("to", &self.to)
            .field("from", &self.from)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// The body of a request or a reply within a session. `Debug` shows its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionBody {
    content_type: String,
    text: Private,
}

impl SessionBody {
    /// A session description.
    pub fn sdp(text: impl Into<String>) -> Self {
        Self {
            content_type: String::new(),
            text: Private::new(text.into()),
        }
    }

    /// A text of this type, such as `text/plain`.
    ///
    /// # Errors
    /// `InvalidRequest` for what is no type: it would become another line of the header.
    pub fn new(content_type: impl Into<String>, text: impl Into<String>) -> Result<Self> {
        let content_type = content_type.into();
        if !is_media_type(&content_type) {
            return Err(invalid(
                "session_body",
                "a content type is written as type/subtype, without line breaks",
            ));
        }
        Ok(Self {
            content_type,
            text: Private::new(text.into()),
        })
    }

    /// Adds what a command takes of it.
    fn add_to(&self, values: &mut Vec<(String, Value)>) {
        values.push(("body".to_owned(), json!(self.text.expose())));
        // The server adds that of a session description itself.
        if !self.content_type.is_empty() {
            let line = format!("Content-Type: {}\r\n", self.content_type);
            values.push(("content_type".to_owned(), json!(line)));
        }
    }
}

fn is_media_type(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let is_token = |part: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !part.is_empty() && part.bytes().all(letter)
    };
    let essence = text.split(';').next().unwrap_or_default();
    let parts = essence.split_once('/');
    text.len() <= 255
        && text.bytes().all(allowed)
        && parts.is_some_and(|(main, sub)| is_token(main) && is_token(sub.trim_end()))
}

/// What happened in a session of one leg: `E_UA_SESSION`, which comes as
/// [`SipEvent::Raw`](faxbot_core::sip::SipEvent::Raw).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionEvent {
    /// The key of the session, which is its Call-ID.
    pub key: String,
    /// What it is.
    pub kind: SessionEventKind,
    /// Somebody called, and the server's script made a session of it; otherwise it is one that
    /// [`start_session`](OpenSipsAdapter::start_session) began.
    pub incoming: bool,
    /// The status of the reply that it tells of.
    pub status: Option<u16>,
    /// The words of that reply.
    pub reason: Option<String>,
    /// The method that it is about: replies to OPTIONS and INFO are `Answered` as well.
    pub method: String,
    /// The body, with the flag `b`.
    pub body: Option<Private>,
    /// The lines of the header, with the flag `h`.
    pub headers: Option<Private>,
}

/// The kinds of [`SessionEvent`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEventKind {
    /// A provisional reply.
    Early,
    /// A request was accepted; the session is up when that was INVITE.
    Answered,
    /// A request was refused.
    Rejected,
    /// The other side sent a request.
    Updated,
    /// The other side ended it. Nothing tells of an end that we asked for.
    Terminated,
    /// A word of the server that is none of these.
    Other(String),
}

impl SessionEvent {
    /// Reads an event; `None` for another one.
    pub fn read(event: &RawEvent) -> Option<Self> {
        if event.name != EVENT {
            return None;
        }
        let some = |name: &str| event.get(name).filter(|text| !text.is_empty());
        let private = |name: &str| some(name).map(|text| Private::new(text.to_owned()));
        Some(Self {
            key: some("key")?.to_owned(),
            kind: match some("event_type")? {
                "EARLY" => SessionEventKind::Early,
                "ANSWERED" => SessionEventKind::Answered,
                "REJECTED" => SessionEventKind::Rejected,
                "UPDATED" => SessionEventKind::Updated,
                "TERMINATED" => SessionEventKind::Terminated,
                other => SessionEventKind::Other(other.to_owned()),
            },
            incoming: some("entity_type") == Some("UAS"),
            status: some("status")
                .and_then(|status| status.parse().ok())
                .filter(|status| (100..700).contains(status)),
            reason: some("reason").map(str::to_owned),
            method: some("method").unwrap_or_default().to_owned(),
            body: private("body"),
            headers: private("headers"),
        })
    }
}

/// Each answers `Unsupported` where the server does not have the commands, before anything is sent, and
/// `NotConnected` without a connection.
impl OpenSipsAdapter {
    /// Begins a session of one leg (`ua_session_client_start`). Answers its key, which is its Call-ID;
    /// [`SessionEvent`] tells of the rest. The server needs `advertised_contact` of `b2b_entities`, written
    /// with `sip:`.
    ///
    /// # Errors
    /// `InvalidRequest`; `Rejected` when the server could not begin it; `OutcomeUnknown` without an
    /// answer: ask with [`sessions`](Self::sessions).
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn start_session(&self, session: NewSession) -> Result<String> {
        const OPERATION: &str = "start_session";
        let server = self.for_sessions(OPERATION)?;
        let config = &self.core.config;
        let to = uri(config, &session.to, OPERATION)?;
        let from = uri(config, &session.from, OPERATION)?;
        if [&to, &from]
            .iter()
            .any(|uri| !is_uri(uri) || uri.contains(','))
        {
            return Err(invalid(
                OPERATION,
                "a party of a session is a uri without a comma",
            ));
        }
        let mut values = vec![
            ("ruri".to_owned(), json!(to)),
            ("to".to_owned(), json!(to)),
            ("from".to_owned(), json!(from)),
        ];
        if let Some(sdp) = session.sdp {
            SessionBody::sdp(sdp).add_to(&mut values);
        }
        if !session.flags.is_empty() {
            values.push(("flags".to_owned(), json!(session.flags)));
        }
        let request = request("ua_session_client_start", values, OPERATION)?;
        match server.act(request, OPERATION).await {
            Ok(key) => Ok(key),
            Err(refusal) if refusal.code == Some(500) => {
                let message = "the server could not begin the session: is advertised_contact of b2b_entities set?";
                Err(refusal.means(ErrorKind::Rejected, message))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Sends a request in a session that is up (`ua_session_update`): INVITE or UPDATE with a session
    /// description, INFO, OPTIONS. That it was sent is all that this says: what comes back is a
    /// [`SessionEvent`] of this method.
    ///
    /// # Errors
    /// `NotFound` for a key that is not there, or not up; `InvalidRequest` for what is no method.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn session_update(
        &self,
        key: &str,
        method: &str,
        body: Option<SessionBody>,
    ) -> Result<()> {
        const OPERATION: &str = "session_update";
        let server = self.for_sessions(OPERATION)?;
        let mut values = of(key, method, OPERATION)?;
        if let Some(body) = body {
            body.add_to(&mut values);
        }
        let request = request("ua_session_update", values, OPERATION)?;
        done(server.act::<Value>(request, OPERATION).await)
    }

    /// Answers a request of the other side (`ua_session_reply`), of which
    /// [`SessionEventKind::Updated`] told.
    ///
    /// # Errors
    /// `NotFound` for a key that is not there, or has no request of this method to answer;
    /// `InvalidRequest` for what is no method, no status or not the words of one.
    ///
    /// # Cancel safety
    /// A reply that was written is not undone.
    pub async fn session_reply(
        &self,
        key: &str,
        method: &str,
        status: u16,
        reason: &str,
        body: Option<SessionBody>,
    ) -> Result<()> {
        const OPERATION: &str = "session_reply";
        let server = self.for_sessions(OPERATION)?;
        let mut values = of(key, method, OPERATION)?;
        if !(100..700).contains(&status) {
            return Err(invalid(OPERATION, "a status has a number from 100 to 699"));
        }
        if reason.is_empty() || reason.len() > 255 || reason.contains(char::is_control) {
            let message = "the words of a status have 1 to 255 bytes, without line breaks";
            return Err(invalid(OPERATION, message));
        }
        values.push(("code".to_owned(), json!(status)));
        values.push(("reason".to_owned(), json!(reason)));
        if let Some(body) = body {
            body.add_to(&mut values);
        }
        let request = request("ua_session_reply", values, OPERATION)?;
        done(server.act::<Value>(request, OPERATION).await)
    }

    /// The sessions of one leg that are up (`ua_session_list`).
    ///
    /// # Errors
    /// `Unsupported` where the server has none.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        const OPERATION: &str = "sessions";
        let request = plain("ua_session_list", OPERATION)?;
        let list: SessionList = self
            .for_sessions(OPERATION)?
            .read(request, OPERATION)
            .await?;
        Ok(list.into_all())
    }

    /// Ends a session of one leg (`ua_session_terminate`): BYE, or CANCEL.
    ///
    /// # Errors
    /// `NotFound` for a key that is not there.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn end_session(&self, key: &str) -> Result<()> {
        const OPERATION: &str = "end_session";
        let request = named("ua_session_terminate", [("key", json!(key))], OPERATION)?;
        match self
            .for_sessions(OPERATION)?
            .act::<Value>(request, OPERATION)
            .await
        {
            Ok(_) => Ok(()),
            // It has no other number for that (recording `05_ua_session_client`).
            Err(refusal) if refusal.code == Some(500) => {
                Err(refusal.means(ErrorKind::NotFound, "the server has no such session"))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The server, if it has these commands.
    fn for_sessions(&self, operation: &'static str) -> Result<Server> {
        let server = self.server(operation)?;
        if self.core.hub.state().books.abilities.sessions {
            return Ok(server);
        }
        Err(Error::unsupported(operation))
    }
}

/// What names the session and the request of it.
fn of(key: &str, method: &str, operation: &'static str) -> Result<Vec<(String, Value)>> {
    if method.is_empty() || method.len() > 32 || !method.bytes().all(|it| it.is_ascii_uppercase()) {
        let message = "a method is a word of capital letters, such as INFO";
        return Err(invalid(operation, message));
    }
    Ok(vec![
        ("key".to_owned(), json!(key)),
        ("method".to_owned(), json!(method)),
    ])
}

fn request(
    command: &'static str,
    values: Vec<(String, Value)>,
    operation: &'static str,
) -> Result<Request> {
    Request::new(command, Params::Named(values)).map_err(|error| refused(operation, error))
}

fn done(answer: Result<Value, Refusal>) -> Result<()> {
    match answer {
        Ok(_) => Ok(()),
        // It has no other number for that (recording `05_ua_session_client`).
        Err(refusal) if refusal.code == Some(500) => {
            let message = "the server has no such session, or cannot send that in it now";
            Err(refusal.means(ErrorKind::NotFound, message))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(fields: &[(&str, &str)]) -> RawEvent {
        let field =
            |(name, value): &(&str, &str)| ((*name).to_owned(), Private::new((*value).to_owned()));
        RawEvent::new(EVENT, fields.iter().map(field).collect())
    }

    #[test]
    fn events_of_sessions_are_read_as_recorded() {
        // Recording `05_ua_session_client`; what is null comes as an empty text.
        let all = [
            ("key", "B2B.248.7823663.1795245852.1984259916"),
            ("event_type", "ANSWERED"),
            ("entity_type", "UAC"),
            ("status", "200"),
            ("reason", "OK"),
            ("method", "INVITE"),
            ("body", "v=0\r\n"),
            ("headers", "From: Clinic <sip:clinic@127.0.0.1>\r\n"),
            ("extra_params", ""),
        ];
        let read = SessionEvent::read(&event(&all)).unwrap();
        assert_eq!(read.kind, SessionEventKind::Answered);
        assert_eq!((read.status, read.incoming), (Some(200), false));
        assert_eq!(read.body.as_ref().unwrap().expose(), "v=0\r\n");
        assert!(!format!("{read:?}").contains("clinic"));
        let over = [
            ("key", "B2B.1"),
            ("event_type", "TERMINATED"),
            ("status", "0"),
            ("reason", ""),
            ("method", "BYE"),
        ];
        let read = SessionEvent::read(&event(&over)).unwrap();
        assert_eq!(read.kind, SessionEventKind::Terminated);
        assert_eq!((read.status, read.reason, read.body), (None, None, None));
        assert_eq!(SessionEvent::read(&event(&[("key", "B2B.1")])), None);
        assert_eq!(
            SessionEvent::read(&RawEvent::new("E_OTHER", Vec::new())),
            None
        );
    }

    #[test]
    fn a_content_type_is_one_line() {
        for (text, wanted) in [
            ("text/plain", true),
            ("text/plain;charset=UTF-8", true),
            ("application/vnd.example+json; a=\"b c\"", true),
            ("text", false),
            ("/plain", false),
            ("text/", false),
            ("", false),
            ("text/plain\r\nX: y", false),
            ("X: y; text/plain", false),
        ] {
            assert_eq!(SessionBody::new(text, "x").is_ok(), wanted, "{text:?}");
        }
        let mut values = Vec::new();
        SessionBody::sdp("v=0").add_to(&mut values);
        assert_eq!(values, [("body".to_owned(), json!("v=0"))]);
        SessionBody::new("text/plain", "x")
            .unwrap()
            .add_to(&mut values);
        assert_eq!(values[2].1, json!("Content-Type: text/plain\r\n"));
    }
}
