//! One line of the wire, zero-copy.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

use super::{
    codec::Role,
    encoding,
    message::{Message, split},
};

/// Starts the engine's report of a line that it could not read.
pub(super) const ERROR: &[u8] = b"Error in: ";

/// The word of a command and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// Handle messages of a name: the engine waits for each answer.
    Install,
    /// End that.
    Uninstall,
    /// See messages of a name when they are over.
    Watch,
    /// End that.
    Unwatch,
    /// Set or read a parameter of the connection or of the engine.
    Setlocal,
    /// Write a line into the engine's log; has no answer.
    Output,
    /// The same with a level; has no answer.
    Debug,
    /// Take a role; has no answer.
    Connect,
    /// Good-bye.
    Quit,
}

impl Verb {
    /// The word of the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Uninstall => "uninstall",
            Self::Watch => "watch",
            Self::Unwatch => "unwatch",
            Self::Setlocal => "setlocal",
            Self::Output => "output",
            Self::Debug => "debug",
            Self::Connect => "connect",
            Self::Quit => "quit",
        }
    }

    fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"install" => Self::Install,
            b"uninstall" => Self::Uninstall,
            b"watch" => Self::Watch,
            b"unwatch" => Self::Unwatch,
            b"setlocal" => Self::Setlocal,
            b"output" => Self::Output,
            b"debug" => Self::Debug,
            b"connect" => Self::Connect,
            b"quit" => Self::Quit,
            _ => return None,
        })
    }
}

/// What a line is, by its keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// `%%>message`: who reads it has to handle the message, and to answer.
    Request,
    /// `%%<message` with an id: the answer to a request.
    Answer,
    /// `%%<message` without an id: a watched message, after its handlers.
    Watched,
    /// `%%>` and a verb: what a module asks of the engine.
    Command(Verb),
    /// `%%<` and a verb: what the engine answers to it.
    Reply(Verb),
    /// `Error in:` and the line that the engine could not read.
    Error,
    /// Anything else, a blank line among it.
    Other,
}

impl Kind {
    #[inline]
    fn of(line: &[u8]) -> Self {
        match line {
            [b'%', b'%', b'<', rest @ ..] => match rest.strip_prefix(b"message:") {
                Some([b':', ..]) => Self::Watched,
                Some(_) => Self::Answer,
                None => verb(rest).map_or(Self::Other, Self::Reply),
            },
            [b'%', b'%', b'>', rest @ ..] => {
                if rest.starts_with(b"message:") {
                    Self::Request
                } else {
                    verb(rest).map_or(Self::Other, Self::Command)
                }
            }
            _ if line.starts_with(ERROR) => Self::Error,
            _ => Self::Other,
        }
    }
}

/// `quit` stands alone, all others have a colon behind them.
fn verb(rest: &[u8]) -> Option<Verb> {
    let (word, tail) = split(rest);
    let verb = Verb::of(word)?;
    (tail.is_some() != (verb == Verb::Quit)).then_some(verb)
}

/// A line as it came.
///
/// The bytes are a slice of the read buffer.
#[derive(Clone)]
pub struct Frame {
    raw: Bytes,
    /// Where the line ends, without its line end.
    end: usize,
    kind: Kind,
}

impl Frame {
    #[inline]
    pub(super) fn from_line(raw: Bytes, role: Role) -> Self {
        let line = raw.split_last().map_or(&[][..], |(_, line)| line);
        let line = match role {
            Role::Server => line.strip_suffix(b"\r").unwrap_or(line),
            Role::Client => line,
        };
        let (end, kind) = (line.len(), Kind::of(line));
        Self { raw, end, kind }
    }

    /// What it is.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes as they came, the line end among them.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The line without its line end.
    #[must_use]
    #[inline]
    pub fn line(&self) -> &[u8] {
        self.raw.get(..self.end).unwrap_or_default()
    }

    /// The message of a request, an answer or a watched message; `None` for other lines. Fields
    /// that are missing are empty.
    #[must_use]
    #[inline]
    pub fn message(&self) -> Option<Message<'_>> {
        matches!(self.kind, Kind::Request | Kind::Answer | Kind::Watched)
            .then(|| Message::parse(self.line()))
    }

    /// What the engine answers to a command; `None` for other lines.
    #[must_use]
    pub fn confirmation(&self) -> Option<Confirmation<'_>> {
        match self.kind {
            Kind::Reply(verb) => Some(Confirmation::parse(verb, self.line())),
            _ => None,
        }
    }

    /// What a module asks of the engine; `None` for other lines, and for arguments that the
    /// engine does not take.
    #[must_use]
    pub fn ask(&self) -> Option<Ask<'_>> {
        match self.kind {
            Kind::Command(verb) => Ask::parse(verb, self.line()),
            _ => None,
        }
    }

    /// The line that the engine could not read, as it was sent; `None` for other lines.
    #[must_use]
    pub fn refused(&self) -> Option<Self> {
        if self.kind != Kind::Error {
            return None;
        }
        let line = self.raw.slice(ERROR.len()..self.end);
        let (end, kind) = (line.len(), Kind::of(&line));
        let raw = line;
        Some(Self { raw, end, kind })
    }

    /// A slice of the read buffer that `part` is.
    pub(super) fn slice(&self, part: &[u8]) -> Bytes {
        self.raw.slice_ref(part)
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.raw == other.raw
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    /// Kind and size only: values hold numbers and names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("kind", &self.kind)
            .field("bytes", &self.raw.len())
            .finish_non_exhaustive()
    }
}

/// The answer to a command: `%%<install:<priority>:<name>:<success>` and its like.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmation<'a> {
    /// The command.
    pub verb: Verb,
    /// The priority of a handler, for `install` and `uninstall`.
    pub priority: Option<u32>,
    /// The name of the message or of the parameter, as it was asked for.
    pub name: Cow<'a, str>,
    /// The value of a parameter, for `setlocal`. It is not escaped on the wire.
    pub value: Option<Cow<'a, str>>,
    /// Whether it was done.
    pub ok: bool,
}

impl<'a> Confirmation<'a> {
    fn parse(verb: Verb, line: &'a [u8]) -> Self {
        let rest = split(line).1.unwrap_or_default();
        // Neither names nor values are escaped here: the word of success is the last field.
        let (rest, ok) = match memchr::memrchr(b':', rest) {
            Some(at) => {
                let (rest, ok) = rest.split_at(at);
                (rest, ok == b":true")
            }
            None => (rest, false),
        };
        let (mut priority, mut name, mut value) = (None, rest, None);
        match verb {
            Verb::Install | Verb::Uninstall => {
                let (number, tail) = split(rest);
                (priority, name) = (decimal(number), tail.unwrap_or_default());
            }
            Verb::Setlocal => {
                let (before, tail) = split(rest);
                (name, value) = (before, tail.map(String::from_utf8_lossy));
            }
            _ => {}
        }
        Self {
            verb,
            priority,
            name: String::from_utf8_lossy(name),
            value,
            ok,
        }
    }
}

impl fmt::Debug for Confirmation<'_> {
    /// Without the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmation")
            .field("verb", &self.verb)
            .field("name", &self.name)
            .field("ok", &self.ok)
            .finish_non_exhaustive()
    }
}

/// What a module asks of the engine, as the engine reads it (`ExtModReceiver::processLine` in
/// `extmodule.cpp`).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask<'a> {
    /// Handle messages.
    Install {
        /// The lower, the earlier. 100 where none was given.
        priority: u32,
        /// The name of the messages, not unescaped.
        name: Cow<'a, str>,
        /// A parameter and the value that it must have.
        filter: Option<(Cow<'a, str>, Cow<'a, str>)>,
    },
    /// Handle them no more.
    Uninstall(Cow<'a, str>),
    /// Watch messages of that name; all for an empty one.
    Watch(Cow<'a, str>),
    /// Watch them no more.
    Unwatch(Cow<'a, str>),
    /// Set a parameter, or read it with an empty value.
    Setlocal {
        /// Its name.
        name: Cow<'a, str>,
        /// Its value without blanks at its ends.
        value: Cow<'a, str>,
    },
    /// A line for the log.
    Output(Cow<'a, str>),
    /// The same with its level.
    Debug {
        /// The level as it stands.
        level: Cow<'a, str>,
        /// The line.
        text: Cow<'a, str>,
    },
    /// Take a role.
    Connect {
        /// `global`, `channel`, or another that the engine refuses.
        role: Cow<'a, str>,
        /// The channel.
        channel: Cow<'a, str>,
        /// The kind of data channel.
        data: Cow<'a, str>,
    },
    /// Good-bye.
    Quit,
}

impl<'a> Ask<'a> {
    fn parse(verb: Verb, line: &'a [u8]) -> Option<Self> {
        let rest = split(line).1.unwrap_or_default();
        let plain = String::from_utf8_lossy;
        Some(match verb {
            Verb::Install => {
                let (priority, tail) = split(rest);
                let (name, filter) = split(tail?);
                let filter = filter.filter(|_| !name.is_empty()).map(|filter| {
                    let (key, value) = split(filter);
                    let value = value.unwrap_or_default();
                    (encoding::unescape_text(key), encoding::unescape_text(value))
                });
                Self::Install {
                    priority: decimal(priority).unwrap_or(100),
                    name: plain(name),
                    filter: filter.filter(|(key, _)| !key.is_empty()),
                }
            }
            Verb::Uninstall => Self::Uninstall(plain(rest)),
            Verb::Watch => Self::Watch(plain(rest)),
            Verb::Unwatch => Self::Unwatch(plain(rest)),
            Verb::Setlocal => {
                let (name, value) = split(rest);
                Self::Setlocal {
                    name: Some(plain(name)).filter(|name| !name.is_empty())?,
                    value: plain(value?.trim_ascii()),
                }
            }
            Verb::Output => Self::Output(plain(rest.trim_ascii())),
            Verb::Debug => {
                let (level, text) = split(rest);
                Self::Debug {
                    level: Some(plain(level)).filter(|level| !level.is_empty())?,
                    text: encoding::unescape_text(text?),
                }
            }
            Verb::Connect => {
                let (role, rest) = split(rest);
                let (channel, data) = split(rest.unwrap_or_default());
                Self::Connect {
                    role: plain(role),
                    channel: plain(channel),
                    data: plain(data.unwrap_or_default()),
                }
            }
            Verb::Quit => Self::Quit,
        })
    }
}

impl fmt::Debug for Ask<'_> {
    /// The verb only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Install { .. } => "Install(..)",
            Self::Uninstall(_) => "Uninstall(..)",
            Self::Watch(_) => "Watch(..)",
            Self::Unwatch(_) => "Unwatch(..)",
            Self::Setlocal { .. } => "Setlocal(..)",
            Self::Output(_) => "Output(..)",
            Self::Debug { .. } => "Debug(..)",
            Self::Connect { .. } => "Connect(..)",
            Self::Quit => "Quit",
        })
    }
}

fn decimal(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim_start().parse().ok()
}
