//! What a client may ask: a command whose every argument passed the guard.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::frame::Format;
use crate::protocol::guard::{self, Part, Unsendable};

/// Bytes that a command may have, its body among them: 1 MiB. The server takes 10 MiB (`read_packet`
/// in `mod_event_socket.c`) and reads byte by byte, 0.33 s for 200 KB (recording
/// `02_large_reply_and_limits`).
pub const MAX_COMMAND: usize = 1024 * 1024;

/// What the server sends in answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// A reply with its text.
    Reply,
    /// The output of an API command, or a reply that refuses it.
    Api,
    /// A reply at once and the output as `BACKGROUND_JOB`.
    Job,
}

/// Why a command cannot be built. Says the argument, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// An argument of the command line.
    #[error("{argument} refused")]
    Argument {
        /// Which one.
        argument: &'static str,
        /// What is wrong with it.
        #[source]
        source: Unsendable,
    },
    /// The name of a header.
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
    /// `Content-Length` and `Job-UUID` are written by this crate.
    #[error("header {0} is set by the session")]
    Reserved(&'static str),
    /// The body, or all of the command with it.
    #[error("body refused")]
    Body(#[source] Unsendable),
    /// The command takes no headers: they would change what it does.
    #[error("the command takes no headers")]
    NoHeaders,
}

/// A command of the event socket. Whatever exists can be sent.
///
/// ```
/// use faxbot_sip::protocol::esl::Command;
///
/// let message = Command::sendmsg(Some("4d3f"))?
///     .header("call-command", "execute")?
///     .header("execute-app-name", "playback")?;
/// assert_eq!(
///     &message.to_bytes()[..],
///     b"sendmsg 4d3f\ncall-command: execute\nexecute-app-name: playback\n\n",
/// );
/// assert!(Command::api("status", "\n\nexit").is_err());
/// # Ok::<(), faxbot_sip::protocol::esl::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    line: String,
    /// Header lines.
    headers: Vec<u8>,
    body: Bytes,
    answer: Answer,
    takes_headers: bool,
}

impl Command {
    /// Runs an API command and holds the connection until it ends: no answer and no event comes
    /// meanwhile (recording `02_api_blocks_events_and_later_commands`). For what may take time
    /// there is [`bgapi`](Self::bgapi).
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn api(command: &str, arguments: &str) -> Result<Self, CommandError> {
        Self::run("api", command, arguments, Answer::Api)
    }

    /// Runs an API command as a job; the session gives it its `Job-UUID`, and the answer is that
    /// of its `BACKGROUND_JOB`.
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn bgapi(command: &str, arguments: &str) -> Result<Self, CommandError> {
        Self::run("bgapi", command, arguments, Answer::Job)
    }

    /// Takes the reply of a [`bgapi`](Self::bgapi) for its answer: the job has a `Job-UUID` of the
    /// caller's, and its result comes as an event like any other. The server keeps the name as it is;
    /// it need not be a UUID.
    ///
    /// # Errors
    /// [`CommandError::Argument`]; [`CommandError::NoHeaders`] for what is no job.
    pub fn detached(mut self, job: &str) -> Result<Self, CommandError> {
        if self.answer != Answer::Job {
            return Err(CommandError::NoHeaders);
        }
        let job = word("job", job)?;
        for piece in ["Job-UUID: ", job, "\n"] {
            self.headers.put_slice(piece.as_bytes());
        }
        self.answer = Answer::Reply;
        Ok(self)
    }

    /// Subscribes to events by their names (`ALL`, `CHANNEL_ANSWER`), and to `CUSTOM` events by
    /// their subclasses. Subscriptions add up; the format is that of the last one, for all. The
    /// server skips a name that it does not know.
    ///
    /// # Errors
    /// [`CommandError::Argument`] also when there is no name at all, and for the name `CUSTOM`:
    /// behind it the server takes each word for a subclass (recording `02_event_subscriptions`).
    pub fn event(format: Format, names: &[&str], custom: &[&str]) -> Result<Self, CommandError> {
        Self::words(format!("event {}", format.word()), names, custom)
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    pub fn nixevent(names: &[&str], custom: &[&str]) -> Result<Self, CommandError> {
        Self::words("nixevent".to_owned(), names, custom)
    }

    /// Ends all subscriptions, that of the session to its jobs among them.
    #[must_use]
    pub fn noevents() -> Self {
        Self::known("noevents")
    }

    /// Lets only events through that have this header with this value; several filters are *or*. A
    /// value that starts with `/` is a regular expression. A filter by `Unique-ID` holds back
    /// `BACKGROUND_JOB`, which has none: add one with `Event-Name` (recording
    /// `02_filters_effect`).
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn filter(header: &str, value: &str) -> Result<Self, CommandError> {
        let header = word("header", header)?;
        Self::line(format!("filter {header} {}", some("value", value)?))
    }

    /// Takes a filter back, or all of them for the header `all`.
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn filter_delete(header: &str, value: Option<&str>) -> Result<Self, CommandError> {
        let mut line = format!("filter delete {}", word("header", header)?);
        if let Some(value) = value {
            line = format!("{line} {}", some("value", value)?);
        }
        Self::line(line)
    }

    /// Binds the connection to one channel: only its events come, and the connection ends with it
    /// unless it lingers. Without a channel it is that of an outbound connection. The server says
    /// `+OK` to an unknown one.
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn myevents(format: Format, channel: Option<&str>) -> Result<Self, CommandError> {
        match channel {
            Some(channel) => {
                let channel = word("channel", channel)?;
                Self::line(format!("myevents {channel} {}", format.word()))
            }
            None => Self::line(format!("myevents {}", format.word())),
        }
    }

    /// Keeps the connection after the end of its channel, for so many seconds, or until `exit`.
    #[must_use]
    pub fn linger(seconds: Option<u32>) -> Self {
        let mut command = Self::known("linger");
        if let Some(seconds) = seconds {
            command.line = format!("linger {seconds}");
        }
        command
    }

    /// Takes [`linger`](Self::linger) back.
    #[must_use]
    pub fn nolinger() -> Self {
        Self::known("nolinger")
    }

    /// Asks for the channel of an outbound connection: its first command. [`EslSession`] sends it by
    /// itself and tells the channel when it is ready; sent again, the answer is the channel as it is
    /// then.
    ///
    /// [`EslSession`]: super::EslSession
    #[must_use]
    pub fn connect() -> Self {
        Self::known("connect")
    }

    /// Whether events that are meant for the channel of an outbound connection itself, such as the
    /// digits of an input callback, come to the connection (`divert_events` in
    /// `mod_event_socket.c`). An inbound connection gets `-ERR not controlling a session.`
    #[must_use]
    pub fn divert_events(on: bool) -> Self {
        Self::known(if on {
            "divert_events on"
        } else {
            "divert_events off"
        })
    }

    /// Lets the dialplan go on when an outbound connection is closed, instead of hanging its channel
    /// up (recording `07_outbound_execute_queue_event_lock`).
    #[must_use]
    pub fn resume() -> Self {
        Self::known("resume")
    }

    /// Asks for log lines up to a level, 0 to 7.
    #[must_use]
    pub fn log(level: u8) -> Self {
        let mut command = Self::known("log");
        command.line = format!("log {}", level.min(7));
        command
    }

    /// Ends the log lines.
    #[must_use]
    pub fn nolog() -> Self {
        Self::known("nolog")
    }

    /// Reads a variable on an outbound connection; cut at 511 bytes. `api uuid_getvar` is not.
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn getvar(name: &str) -> Result<Self, CommandError> {
        Self::line(format!("getvar {}", word("variable", name)?))
    }

    /// Fires an event with headers and a body of our own. The server answers `+OK` to any name.
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn sendevent(name: &str) -> Result<Self, CommandError> {
        let mut command = Self::line(format!("sendevent {}", word("event", name)?))?;
        command.takes_headers = true;
        Ok(command)
    }

    /// A message to a channel, or to that of an outbound connection: what it does is in its
    /// headers (`call-command`, `execute-app-name`). An unknown application is answered `+OK` and
    /// hangs the call up (recording `04_sendmsg`).
    ///
    /// # Errors
    /// [`CommandError::Argument`].
    pub fn sendmsg(channel: Option<&str>) -> Result<Self, CommandError> {
        let mut command = match channel {
            Some(channel) => Self::line(format!("sendmsg {}", word("channel", channel)?))?,
            None => Self::known("sendmsg"),
        };
        command.takes_headers = true;
        Ok(command)
    }

    /// Executes an application on a channel; the argument goes as body, so that it may have any
    /// length.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn execute(
        channel: Option<&str>,
        application: &str,
        argument: &str,
    ) -> Result<Self, CommandError> {
        guard::text(Part::Value, argument.as_bytes()).map_err(CommandError::Body)?;
        let command = Self::sendmsg(channel)?
            .header("call-command", "execute")?
            .header("execute-app-name", application)?;
        if argument.is_empty() {
            return Ok(command);
        }
        command
            .header("content-type", "text/plain")?
            .body(argument.as_bytes())
    }

    /// Hangs a channel up with a cause such as `NORMAL_CLEARING`.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn hangup(channel: Option<&str>, cause: &str) -> Result<Self, CommandError> {
        Self::sendmsg(channel)?
            .header("call-command", "hangup")?
            .header("hangup-cause", cause)
    }

    /// A command without arguments, of this crate.
    pub(super) fn known(line: &'static str) -> Self {
        Self {
            line: line.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            answer: Answer::Reply,
            takes_headers: false,
        }
    }

    /// Adds a header to `sendevent` or `sendmsg`. The same name may come again.
    ///
    /// # Errors
    /// [`CommandError`] when name or value has CR, LF or NUL, or the name is one of the session's.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, CommandError> {
        if !self.takes_headers {
            return Err(CommandError::NoHeaders);
        }
        guard::name(name.as_bytes()).map_err(CommandError::Name)?;
        for reserved in ["Content-Length", "Job-UUID"] {
            if name.eq_ignore_ascii_case(reserved) {
                return Err(CommandError::Reserved(reserved));
            }
        }
        let refused = |source| CommandError::Value {
            header: name.to_owned(),
            source,
        };
        guard::text(Part::Value, value.as_bytes()).map_err(refused)?;
        for piece in [name, ": ", value, "\n"] {
            self.headers.put_slice(piece.as_bytes());
        }
        guard::length(Part::Value, self.len(), MAX_COMMAND).map_err(refused)?;
        Ok(self)
    }

    /// Sets the body of `sendevent` or `sendmsg`. It may have line breaks: its length is sent
    /// with it.
    ///
    /// # Errors
    /// [`CommandError::Body`] for a NUL, where the server cuts it, and beyond [`MAX_COMMAND`].
    pub fn body(mut self, body: &[u8]) -> Result<Self, CommandError> {
        if !self.takes_headers {
            return Err(CommandError::NoHeaders);
        }
        let part = Part::Value;
        if let Some(at) = memchr::memchr(0, body) {
            return Err(CommandError::Body(Unsendable::Nul { part, at }));
        }
        self.body = Bytes::copy_from_slice(body);
        guard::length(part, self.len(), MAX_COMMAND).map_err(CommandError::Body)?;
        Ok(self)
    }

    /// What the server is expected to send.
    #[must_use]
    pub fn expected(&self) -> Answer {
        self.answer
    }

    /// The bytes for the wire, without a `Job-UUID`.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.with_job(None)
    }

    pub(super) fn with_job(&self, job: Option<&str>) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len() + job.map_or(0, str::len));
        out.put_slice(self.line.as_bytes());
        out.put_slice(b"\n");
        if let Some(job) = job {
            for piece in ["Job-UUID: ", job, "\n"] {
                out.put_slice(piece.as_bytes());
            }
        }
        out.put_slice(&self.headers);
        if !self.body.is_empty() {
            out.put_slice(format!("content-length: {}\n", self.body.len()).as_bytes());
        }
        out.put_slice(b"\n");
        out.put_slice(&self.body);
        out.freeze()
    }

    fn len(&self) -> usize {
        self.line.len() + self.headers.len() + self.body.len() + 64
    }

    fn line(line: String) -> Result<Self, CommandError> {
        guard::length(Part::Line, line.len(), MAX_COMMAND).map_err(refused("command"))?;
        let mut command = Self::known("");
        command.line = line;
        Ok(command)
    }

    fn run(verb: &str, command: &str, rest: &str, answer: Answer) -> Result<Self, CommandError> {
        let mut line = format!("{verb} {}", word("command", command)?);
        guard::text(Part::Value, rest.as_bytes()).map_err(refused("arguments"))?;
        if !rest.is_empty() {
            line.push(' ');
            line.push_str(rest);
        }
        let mut command = Self::line(line)?;
        command.answer = answer;
        Ok(command)
    }

    fn words(start: String, names: &[&str], custom: &[&str]) -> Result<Self, CommandError> {
        let mut line = start;
        for name in names {
            let name = word("event", name)?;
            if name.eq_ignore_ascii_case("CUSTOM") {
                let (part, at) = (Part::Value, 0);
                return Err(refused("event")(Unsendable::Forbidden { part, at }));
            }
            line = format!("{line} {name}");
        }
        if !custom.is_empty() {
            line.push_str(" CUSTOM");
        }
        for subclass in custom {
            line = format!("{line} {}", word("subclass", subclass)?);
        }
        if names.is_empty() && custom.is_empty() {
            return Err(refused("event")(Unsendable::Empty { part: Part::Value }));
        }
        Self::line(line)
    }
}

impl fmt::Debug for Command {
    /// The first word and the size only: arguments hold numbers and names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("verb", &self.line.split(' ').next())
            .field("bytes", &self.to_bytes().len())
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

fn refused(argument: &'static str) -> impl Fn(Unsendable) -> CommandError {
    move |source| CommandError::Argument { argument, source }
}

/// One word of visible characters.
fn word<'a>(argument: &'static str, text: &'a str) -> Result<&'a str, CommandError> {
    let text = some(argument, text)?;
    let bad = text
        .bytes()
        .position(|b| b.is_ascii_whitespace() || b.is_ascii_control());
    match bad {
        None => Ok(text),
        Some(at) => {
            let part = Part::Value;
            Err(refused(argument)(Unsendable::Forbidden { part, at }))
        }
    }
}

fn some<'a>(argument: &'static str, text: &'a str) -> Result<&'a str, CommandError> {
    let part = Part::Value;
    if text.is_empty() {
        return Err(refused(argument)(Unsendable::Empty { part }));
    }
    guard::text(part, text.as_bytes()).map_err(refused(argument))?;
    Ok(text)
}
