//! What a client may ask: an action whose every header passed the guard.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::protocol::guard::{self, Part, Unsendable};

/// Bytes that a line may have without its CR LF. The server refuses longer ones, and answers
/// twice at exactly 1,023 (observed on Asterisk 22.10, recording `10_line_boundary`).
pub const MAX_LINE: usize = 1022;

/// Headers that an action may have, `Action` and `ActionID` among them (observed on Asterisk
/// 22.10, recording `10_line_boundary`).
pub const MAX_HEADERS: usize = 128;

/// How many of [`MAX_HEADERS`] are for the caller.
const OWN_HEADERS: usize = MAX_HEADERS - 2;

/// What the server sends in answer to an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Answer {
    /// What the response says: a list if it has `EventList: start`, else the response alone.
    #[default]
    Inferred,
    /// The response alone, whatever it says. Events with its `ActionID` come as events.
    Single,
    /// A list, even if the response does not announce it.
    List,
    /// The response, then exactly one event with its `ActionID` and no end mark.
    OneEvent,
}

/// Why an action cannot be built. Says the header, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// The name of a header or variable, or of the action.
    #[error("header name refused")]
    Name(#[source] Unsendable),
    /// The value of a header.
    #[error("value of header {header} refused")]
    Value {
        /// The name of the header.
        header: String,
        /// What is wrong with the value.
        #[source]
        source: Unsendable,
    },
    /// `Action` and `ActionID` are written by this crate.
    #[error("header {0} is set by the session")]
    Reserved(&'static str),
    /// The server takes no more.
    #[error("more than {OWN_HEADERS} headers")]
    TooManyHeaders,
}

/// An action of the manager interface. Whatever exists can be sent.
///
/// ```
/// use faxbot_sip::protocol::ami::Action;
///
/// let action = Action::new("Originate")?
///     .header("Channel", "Local/600@default")?
///     .variable("FAXOPT(headerinfo)", "Smith, \"Jo\"")?;
/// assert_eq!(
///     &action.to_bytes()[..],
///     b"Action: Originate\r\nChannel: Local/600@default\r\n\
///       Variable: FAXOPT(headerinfo)=Smith\\, \\\"Jo\\\"\r\n\r\n",
/// );
/// assert!(Action::new("Ping")?.header("X", "a\r\nAction: Logoff").is_err());
/// # Ok::<(), faxbot_sip::protocol::ami::ActionError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    name: String,
    id: Option<String>,
    /// The lines after `Action` and `ActionID`.
    body: Vec<u8>,
    headers: usize,
    answer: Answer,
}

impl Action {
    /// An action of that name. `FAXSession` and `FAXStats` start with [`Answer::OneEvent`], all
    /// others with [`Answer::Inferred`].
    ///
    /// # Errors
    /// [`ActionError`] when the name cannot go on the wire.
    pub fn new(name: &str) -> Result<Self, ActionError> {
        guard::name(name.as_bytes()).map_err(ActionError::Name)?;
        let line = "Action: ".len() + name.len();
        guard::length(Part::Line, line, MAX_LINE).map_err(ActionError::Name)?;
        let one_event = ["FAXSession", "FAXStats"];
        let answer = if one_event
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
        {
            Answer::OneEvent
        } else {
            Answer::Inferred
        };
        Ok(Self {
            name: name.to_owned(),
            id: None,
            body: Vec::new(),
            headers: 0,
            answer,
        })
    }

    /// For names of this crate that need no check.
    pub(super) fn known(name: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            id: None,
            body: Vec::new(),
            headers: 0,
            answer: Answer::Single,
        }
    }

    /// For headers of this crate that were checked before.
    pub(super) fn checked_header(mut self, name: &'static str, value: &str) -> Self {
        self.push(name, value.as_bytes());
        self
    }

    /// Adds a header. The same name may come again.
    ///
    /// # Errors
    /// [`ActionError`] when name or value has CR, LF or NUL, the line is longer than
    /// [`MAX_LINE`], the name is `Action` or `ActionID`, or there are too many headers.
    pub fn header(self, name: &str, value: &str) -> Result<Self, ActionError> {
        self.header_bytes(name, value.as_bytes())
    }

    /// As [`header`](Self::header), for a value that is no UTF-8.
    ///
    /// # Errors
    /// As [`header`](Self::header).
    pub fn header_bytes(mut self, name: &str, value: &[u8]) -> Result<Self, ActionError> {
        guard::name(name.as_bytes()).map_err(ActionError::Name)?;
        for reserved in ["Action", "ActionID"] {
            if name.eq_ignore_ascii_case(reserved) {
                return Err(ActionError::Reserved(reserved));
            }
        }
        if self.headers >= OWN_HEADERS {
            return Err(ActionError::TooManyHeaders);
        }
        let line = name.len() + ": ".len() + value.len();
        guard::text(Part::Value, value)
            .and_then(|()| guard::length(Part::Line, line, MAX_LINE))
            .map_err(|source| ActionError::Value {
                header: name.to_owned(),
                source,
            })?;
        self.push(name, value);
        Ok(self)
    }

    /// Adds a channel variable for `Originate` and its like: one `Variable` header each.
    ///
    /// The server splits the header at commas, drops quotes, and takes the character after a
    /// backslash as it is; so `\`, `,` and `"` get a backslash before them (observed on Asterisk
    /// 22.10, recordings `11_variable_commas` and `03_originate_variable_forms`; for the backslash
    /// `__ast_app_separate_args` in `main/app.c`). A name without `=` would be dropped silently.
    ///
    /// # Errors
    /// [`ActionError`] as for [`header`](Self::header), or when the name is empty, starts with a
    /// blank or has a `=`.
    pub fn variable(self, name: &str, value: &str) -> Result<Self, ActionError> {
        let part = Part::Name;
        guard::text(part, name.as_bytes()).map_err(ActionError::Name)?;
        if name.is_empty() {
            return Err(ActionError::Name(Unsendable::Empty { part }));
        }
        if name.starts_with(|c: char| c.is_ascii_whitespace()) {
            return Err(ActionError::Name(Unsendable::Forbidden { part, at: 0 }));
        }
        if let Some(at) = name.find('=') {
            return Err(ActionError::Name(Unsendable::Forbidden { part, at }));
        }
        let mut line = String::with_capacity(name.len() + 1 + value.len());
        escape(name, &mut line);
        line.push('=');
        escape(value, &mut line);
        self.header("Variable", &line)
    }

    /// Sets what the server will send in answer.
    #[must_use]
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// Sets the `ActionID` for use without a session; a session puts its own in its place.
    ///
    /// # Errors
    /// [`ActionError`] as for [`header`](Self::header).
    pub fn id(mut self, id: &str) -> Result<Self, ActionError> {
        let line = "ActionID: ".len() + id.len();
        guard::text(Part::Value, id.as_bytes())
            .and_then(|()| guard::length(Part::Line, line, MAX_LINE))
            .map_err(|source| ActionError::Value {
                header: "ActionID".to_owned(),
                source,
            })?;
        self.id = Some(id.to_owned());
        Ok(self)
    }

    /// The name of the action.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the server is expected to send.
    #[must_use]
    pub fn expected(&self) -> Answer {
        self.answer
    }

    /// The bytes for the wire, with the blank line.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.with_id(self.id.as_deref())
    }

    pub(super) fn with_id(&self, id: Option<&str>) -> Bytes {
        let id_len = id.map_or(0, |id| "ActionID: \r\n".len() + id.len());
        let len = "Action: \r\n\r\n".len() + self.name.len() + id_len + self.body.len();
        let mut out = BytesMut::with_capacity(len);
        put_line(&mut out, "Action", self.name.as_bytes());
        if let Some(id) = id {
            put_line(&mut out, "ActionID", id.as_bytes());
        }
        out.put_slice(&self.body);
        out.put_slice(b"\r\n");
        out.freeze()
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        put_line(&mut self.body, name, value);
        self.headers += 1;
    }
}

impl fmt::Debug for Action {
    /// Name and size only: values hold numbers and secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action")
            .field("name", &self.name)
            .field("headers", &self.headers)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

/// One header line as the server itself writes it.
pub(super) fn put_line(out: &mut impl BufMut, name: &str, value: &[u8]) {
    for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.put_slice(piece);
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if matches!(c, '\\' | ',' | '"') {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(action: &Action) -> String {
        String::from_utf8(action.to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_line_break_or_nul_in_a_name_or_value_is_refused() {
        for bad in ["a\rb", "a\nb", "a\0b", "\r\n", "x\r\n\r\nAction: Ping"] {
            let action = || Action::new("Originate").unwrap();
            assert!(Action::new(bad).is_err(), "{bad:?}");
            assert!(action().header("Channel", bad).is_err(), "{bad:?}");
            assert!(action().header(bad, "x").is_err(), "{bad:?}");
            assert!(action().variable(bad, "x").is_err(), "{bad:?}");
            assert!(action().variable("X", bad).is_err(), "{bad:?}");
            assert!(action().id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_of_1022_bytes_passes_and_one_of_1023_does_not() {
        let action = |len: usize| {
            Action::new("UserEvent")
                .unwrap()
                .header("Pad", &"x".repeat(len - "Pad: ".len()))
        };
        assert!(action(MAX_LINE).is_ok());
        let Err(ActionError::Value { header, source }) = action(MAX_LINE + 1) else {
            panic!("taken")
        };
        assert_eq!(header, "Pad");
        assert_eq!(
            source,
            Unsendable::TooLong {
                part: Part::Line,
                bytes: MAX_LINE + 1,
                max: MAX_LINE
            }
        );
    }

    #[test]
    fn the_name_of_an_action_is_part_of_a_line_too() {
        let room = MAX_LINE - "Action: ".len();
        assert!(Action::new(&"x".repeat(room)).is_ok());
        assert!(Action::new(&"x".repeat(room + 1)).is_err());
    }

    #[test]
    fn the_escapes_of_a_variable_count_against_the_line() {
        let action = |commas: usize| Action::new("X").unwrap().variable("V", &",".repeat(commas));
        let room = MAX_LINE - "Variable: V=".len();
        assert!(action(room / 2).is_ok());
        assert!(action(room / 2 + 1).is_err());
    }

    #[test]
    fn an_action_has_at_most_128_headers_with_its_name_and_id() {
        let mut action = Action::new("X").unwrap().id("7").unwrap();
        for _ in 0..OWN_HEADERS {
            action = action.header("Variable", "A=1").unwrap();
        }
        assert_eq!(wire(&action).matches("\r\n").count(), MAX_HEADERS + 1);
        assert_eq!(action.header("V", "1"), Err(ActionError::TooManyHeaders));
    }

    #[test]
    fn the_headers_of_the_session_are_refused_in_any_case() {
        for name in ["Action", "action", "ActionID", "ACTIONID"] {
            assert!(
                matches!(
                    Action::new("X").unwrap().header(name, "x"),
                    Err(ActionError::Reserved(_))
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn a_variable_is_one_header_with_backslashes_before_comma_quote_and_backslash() {
        let action = Action::new("Originate")
            .unwrap()
            .variable("V", "a,b")
            .and_then(|a| a.variable("Q", "say \"hi\""))
            .and_then(|a| a.variable("B", "c:\\x"))
            .and_then(|a| a.variable("E", ""))
            .unwrap();
        assert_eq!(
            wire(&action),
            "Action: Originate\r\nVariable: V=a\\,b\r\nVariable: Q=say \\\"hi\\\"\r\n\
             Variable: B=c:\\\\x\r\nVariable: E=\r\n\r\n"
        );
    }

    #[test]
    fn a_variable_name_that_would_be_lost_or_split_is_refused() {
        for bad in ["", "A=B", " A", "\tA"] {
            assert!(
                Action::new("X").unwrap().variable(bad, "v").is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn fax_questions_expect_one_event() {
        for (name, want) in [
            ("FAXSession", Answer::OneEvent),
            ("faxstats", Answer::OneEvent),
            ("FAXSessions", Answer::Inferred),
            ("Originate", Answer::Inferred),
        ] {
            assert_eq!(Action::new(name).unwrap().expected(), want, "{name}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let action = Action::new("Login")
            .unwrap()
            .header("Secret", "hunter2")
            .unwrap();
        assert!(!format!("{action:?}").contains("hunter2"));
        let refused = Action::new("Login")
            .unwrap()
            .header("Secret", "hunter2\n")
            .unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
}
