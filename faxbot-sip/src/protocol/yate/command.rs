//! What a module may ask of the engine: a line whose every part passed the guard.

use std::fmt;

use bytes::Bytes;

use super::{encoding, frame::Verb, message::Message};
use crate::protocol::guard::{self, Part, Unsendable};

/// Bytes that a line may have without its line end: the engine's largest buffer less one byte each
/// for the line end and the end of the buffer (`MAX_INCOMING_LINE` in `extmodule.cpp`). A longer line
/// would end the connection.
pub const MAX_COMMAND: usize = 65_534;

/// Bytes that keyword, id and time of a message take at most.
const HEAD: usize = 80;

/// Why a command cannot be built. Says the argument, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// An argument of the line.
    #[error("{argument} refused")]
    Argument {
        /// Which one.
        argument: &'static str,
        /// What is wrong with it.
        #[source]
        source: Unsendable,
    },
    /// The name of a parameter.
    #[error("name of a parameter refused")]
    Name(#[source] Unsendable),
    /// The value of a parameter.
    #[error("value of parameter {name} refused")]
    Value {
        /// The name of the parameter.
        name: String,
        /// What is wrong with the value.
        #[source]
        source: Unsendable,
    },
    /// Only messages and answers have parameters and a return value.
    #[error("the command takes no parameters")]
    NoParams,
    /// Only `install` has a filter, and only one.
    #[error("the command takes no filter")]
    NoFilter,
}

/// A line to the engine. Whatever exists can be sent.
///
/// ```
/// use faxbot_sip::protocol::yate::Command;
///
/// let call = Command::message("call.execute")?
///     .param("callto", "dumb/")?
///     .param("direct", "sip/sip:100@pbx.example")?
///     .param("target", "100")?;
/// assert_eq!(
///     &call.with_id("a-1")[..],
///     b"%%>message:a-1:0:call.execute::callto=dumb/:direct=sip/sip%z100@pbx.example:target=100\n",
/// );
/// assert!(Command::watch("chan.hangup\n%%>quit").is_err());
/// # Ok::<(), faxbot_sip::protocol::yate::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    pub(super) form: Form,
    /// Escaped; `None` where nothing was set.
    retval: Option<Vec<u8>>,
    /// Escaped, each with its colon before it.
    params: Vec<u8>,
}

/// What kind of line it is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Form {
    Message {
        /// Escaped.
        name: Vec<u8>,
    },
    Answer {
        id: Bytes,
        processed: bool,
        /// The return value of the request, escaped.
        retval: Bytes,
    },
    /// A verb with what is behind it.
    Line {
        verb: Verb,
        /// What the answer names.
        name: String,
        rest: Vec<u8>,
    },
}

impl Command {
    /// Asks the engine to handle a message. The session gives it its id, and the answer is the
    /// message as its handlers left it.
    ///
    /// # Errors
    /// [`CommandError::Argument`] for a name that is not of visible ASCII without a colon.
    pub fn message(name: &str) -> Result<Self, CommandError> {
        let mut escaped = Vec::new();
        encoding::escape(word("message", name)?.as_bytes(), &mut escaped);
        Ok(Self::of(Form::Message { name: escaped }))
    }

    /// Answers a request of the engine; see [`Incoming::answer`](super::Incoming::answer).
    pub(super) fn answer(id: Bytes, processed: bool, retval: Bytes) -> Self {
        Self::of(Form::Answer {
            id,
            processed,
            retval,
        })
    }

    /// Handles messages of that name: the engine waits for an answer to each. The lower the
    /// priority, the earlier; 100 where none is given. A second one for the same name is refused.
    ///
    /// # Errors
    /// [`CommandError::Argument`] as [`message`](Self::message).
    pub fn install(priority: Option<u32>, name: &str) -> Result<Self, CommandError> {
        let name = word("message", name)?;
        let priority = priority.map_or_else(String::new, |it| it.to_string());
        Self::line(
            Verb::Install,
            name,
            format!("{priority}:{name}").into_bytes(),
        )
    }

    /// Limits an [`install`](Self::install) to messages that have a parameter with that value. It
    /// is compared as it stands, `^777$` too (recording `sip_in_route_filter_is_literal`).
    ///
    /// # Errors
    /// [`CommandError::NoFilter`] for other commands and for a second filter,
    /// [`CommandError::Argument`] for an empty name, and for CR, LF or NUL.
    pub fn filter(mut self, name: &str, value: &str) -> Result<Self, CommandError> {
        let Form::Line {
            verb: Verb::Install,
            rest,
            ..
        } = &mut self.form
        else {
            return Err(CommandError::NoFilter);
        };
        if memchr::memchr_iter(b':', rest).count() > 1 {
            return Err(CommandError::NoFilter);
        }
        some("filter", name)?;
        guard::text(Part::Value, value.as_bytes()).map_err(refused("filter"))?;
        rest.push(b':');
        encoding::escape(name.as_bytes(), rest);
        rest.push(b':');
        encoding::escape(value.as_bytes(), rest);
        self.checked().map_err(refused("filter"))
    }

    /// Handles messages of that name no more.
    ///
    /// # Errors
    /// [`CommandError::Argument`] as [`message`](Self::message).
    pub fn uninstall(name: &str) -> Result<Self, CommandError> {
        let name = word("message", name)?;
        Self::line(Verb::Uninstall, name, name.as_bytes().to_vec())
    }

    /// Watches messages of that name: a copy of each comes when its handlers are through. A second
    /// one for the same name is refused.
    ///
    /// # Errors
    /// [`CommandError::Argument`] as [`message`](Self::message).
    pub fn watch(name: &str) -> Result<Self, CommandError> {
        let name = word("message", name)?;
        Self::line(Verb::Watch, name, name.as_bytes().to_vec())
    }

    /// Watches them no more.
    ///
    /// # Errors
    /// [`CommandError::Argument`] as [`message`](Self::message).
    pub fn unwatch(name: &str) -> Result<Self, CommandError> {
        let name = word("message", name)?;
        Self::line(Verb::Unwatch, name, name.as_bytes().to_vec())
    }

    /// Sets a parameter of the connection, such as `timeout` (ms), `maxqueue` or `selfwatch`. An
    /// empty value reads it. The engine drops blanks at the ends of a value.
    ///
    /// # Errors
    /// [`CommandError::Argument`] for a name that is not of visible ASCII without a colon, and for
    /// CR, LF or NUL in the value.
    pub fn setlocal(name: &str, value: &str) -> Result<Self, CommandError> {
        let name = word("name", name)?;
        guard::text(Part::Value, value.as_bytes()).map_err(refused("value"))?;
        Self::line(Verb::Setlocal, name, format!("{name}:{value}").into_bytes())
    }

    /// Reads a parameter, such as `engine.version` or `engine.runid`.
    ///
    /// # Errors
    /// As [`setlocal`](Self::setlocal).
    pub fn query(name: &str) -> Result<Self, CommandError> {
        Self::setlocal(name, "")
    }

    /// Writes a line into the engine's log. It has no answer.
    ///
    /// # Errors
    /// [`CommandError::Argument`] for CR, LF or NUL.
    pub fn output(text: &str) -> Result<Self, CommandError> {
        guard::text(Part::Line, text.as_bytes()).map_err(refused("text"))?;
        Self::line(Verb::Output, "", text.as_bytes().to_vec())
    }

    /// Writes a line into the engine's log at a level from 0 to 10. It has no answer.
    ///
    /// # Errors
    /// [`CommandError::Argument`] for CR, LF or NUL.
    pub fn debug(level: u8, text: &str) -> Result<Self, CommandError> {
        guard::text(Part::Line, text.as_bytes()).map_err(refused("text"))?;
        let mut rest = format!("{}:", level.min(10)).into_bytes();
        encoding::escape(text.as_bytes(), &mut rest);
        Self::line(Verb::Debug, "", rest)
    }

    /// A line of this crate.
    pub(super) fn known(verb: Verb, name: &'static str, rest: &'static str) -> Self {
        Self::of(Form::Line {
            verb,
            name: name.to_owned(),
            rest: rest.as_bytes().to_vec(),
        })
    }

    /// Adds a parameter to a message or an answer. In an answer it takes the place of one of the
    /// same name. Of a name that comes again the engine keeps the last.
    ///
    /// # Errors
    /// [`CommandError`] for CR, LF or NUL in name or value, for a name that is empty or has `=`,
    /// which the engine does not read back, and for other commands.
    pub fn param(self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, CommandError> {
        guard::text(Part::Value, value.as_ref()).map_err(bad_value(name))?;
        self.put(name, value.as_ref())
    }

    /// As [`param`](Self::param), for a value that may have line breaks, such as the body of a
    /// message. What becomes a header of SIP must not.
    ///
    /// # Errors
    /// As [`param`](Self::param), but not for CR and LF in the value.
    pub fn param_lines(self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, CommandError> {
        let (part, value) = (Part::Value, value.as_ref());
        if let Some(at) = memchr::memchr(0, value) {
            return Err(bad_value(name)(Unsendable::Nul { part, at }));
        }
        self.put(name, value)
    }

    fn put(mut self, name: &str, value: &[u8]) -> Result<Self, CommandError> {
        self.put_name(name)?;
        self.params.push(b'=');
        encoding::escape(value, &mut self.params);
        self.checked().map_err(bad_value(name))
    }

    /// Takes a parameter away from the message that is answered.
    ///
    /// # Errors
    /// As [`param`](Self::param), and for a command that is no answer.
    pub fn without(mut self, name: &str) -> Result<Self, CommandError> {
        if !matches!(self.form, Form::Answer { .. }) {
            return Err(CommandError::NoParams);
        }
        self.put_name(name)?;
        self.checked().map_err(CommandError::Name)
    }

    fn put_name(&mut self, name: &str) -> Result<(), CommandError> {
        let part = Part::Name;
        if matches!(self.form, Form::Line { .. }) {
            return Err(CommandError::NoParams);
        }
        if name.is_empty() {
            return Err(CommandError::Name(Unsendable::Empty { part }));
        }
        guard::text(part, name.as_bytes()).map_err(CommandError::Name)?;
        if let Some(at) = memchr::memchr(b'=', name.as_bytes()) {
            return Err(CommandError::Name(Unsendable::Forbidden { part, at }));
        }
        self.params.push(b':');
        encoding::escape(name.as_bytes(), &mut self.params);
        Ok(())
    }

    /// Sets the return value of a message or an answer: the target of a `call.route`, or `-` to
    /// refuse the call. An answer without one leaves that of the request.
    ///
    /// # Errors
    /// [`CommandError::Argument`] for CR, LF or NUL, [`CommandError::NoParams`] for other commands.
    pub fn retval(mut self, value: &str) -> Result<Self, CommandError> {
        if matches!(self.form, Form::Line { .. }) {
            return Err(CommandError::NoParams);
        }
        guard::text(Part::Value, value.as_bytes()).map_err(refused("return value"))?;
        let mut escaped = Vec::new();
        encoding::escape(value.as_bytes(), &mut escaped);
        self.retval = Some(escaped);
        self.checked().map_err(refused("return value"))
    }

    /// The verb; `None` for messages and answers.
    #[must_use]
    pub fn verb(&self) -> Option<Verb> {
        match self.form {
            Form::Line { verb, .. } => Some(verb),
            _ => None,
        }
    }

    /// The bytes for the wire. The id is for messages; all others leave it out.
    #[must_use]
    pub fn with_id(&self, id: &str) -> Bytes {
        let mut out = Vec::with_capacity(self.len());
        match &self.form {
            Form::Message { name } => {
                out.extend_from_slice(b"%%>message:");
                encoding::escape(id.as_bytes(), &mut out);
                // A time of 0 is the engine's own clock.
                out.extend_from_slice(b":0:");
                out.extend_from_slice(name);
                out.push(b':');
                out.extend_from_slice(self.retval.as_deref().unwrap_or_default());
            }
            Form::Answer {
                id,
                processed,
                retval,
            } => {
                out.extend_from_slice(b"%%<message:");
                out.extend_from_slice(id);
                out.extend_from_slice(if *processed { b":true:" } else { b":false:" });
                // With nothing behind it the engine leaves the message as it is. An empty name
                // keeps the name, an empty return value would not keep that.
                if self.retval.is_some() || !self.params.is_empty() {
                    out.push(b':');
                    out.extend_from_slice(self.retval.as_deref().unwrap_or(retval));
                }
            }
            Form::Line { verb, rest, .. } => {
                out.extend_from_slice(b"%%>");
                out.extend_from_slice(verb.word().as_bytes());
                if *verb != Verb::Quit {
                    out.push(b':');
                }
                out.extend_from_slice(rest);
            }
        }
        out.extend_from_slice(&self.params);
        out.push(b'\n');
        out.into()
    }

    fn of(form: Form) -> Self {
        Self {
            form,
            retval: None,
            params: Vec::new(),
        }
    }

    fn line(verb: Verb, name: &str, rest: Vec<u8>) -> Result<Self, CommandError> {
        let name = name.to_owned();
        Self::of(Form::Line { verb, name, rest })
            .checked()
            .map_err(refused("command"))
    }

    /// An upper bound of its bytes.
    pub(super) fn len(&self) -> usize {
        let form = match &self.form {
            Form::Message { name } => name.len(),
            Form::Answer { id, retval, .. } => id.len() + retval.len(),
            Form::Line { rest, .. } => rest.len(),
        };
        HEAD + form + self.retval.as_ref().map_or(0, Vec::len) + self.params.len()
    }

    fn checked(self) -> Result<Self, Unsendable> {
        guard::length(Part::Line, self.len(), MAX_COMMAND)?;
        Ok(self)
    }
}

impl fmt::Debug for Command {
    /// What it is and its size only: parameters hold numbers and names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.form {
            Form::Message { name } => String::from_utf8_lossy(name),
            Form::Answer { .. } => "answer".into(),
            Form::Line { verb, .. } => verb.word().into(),
        };
        f.debug_struct("Command")
            .field("what", &what)
            .field("bytes", &self.len())
            .finish_non_exhaustive()
    }
}

/// The return value of a request, to be left as it is.
pub(super) fn kept_retval<'a>(message: &Message<'a>) -> &'a [u8] {
    // What the engine would not read back is left out; it never writes such.
    let retval = message.raw_retval();
    if encoding::is_valid(retval) {
        retval
    } else {
        &[]
    }
}

fn refused(argument: &'static str) -> impl Fn(Unsendable) -> CommandError {
    move |source| CommandError::Argument { argument, source }
}

fn bad_value(name: &str) -> impl Fn(Unsendable) -> CommandError {
    move |source| CommandError::Value {
        name: name.to_owned(),
        source,
    }
}

fn word<'a>(argument: &'static str, text: &'a str) -> Result<&'a str, CommandError> {
    guard::name(text.as_bytes()).map_err(refused(argument))?;
    Ok(text)
}

fn some<'a>(argument: &'static str, text: &'a str) -> Result<&'a str, CommandError> {
    let part = Part::Value;
    if text.is_empty() {
        return Err(refused(argument)(Unsendable::Empty { part }));
    }
    guard::text(part, text.as_bytes()).map_err(refused(argument))?;
    Ok(text)
}
