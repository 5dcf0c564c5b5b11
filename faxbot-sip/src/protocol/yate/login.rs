//! What the session says first, and what the engine answered to it.

use std::time::Duration;

use bytes::Bytes;

use super::{
    command::{Command, CommandError, Form},
    frame::Verb,
    server::DEFAULT_BUFFER,
};
use crate::protocol::guard::{self, Part, Unsendable};

/// What a connection says before it is ready. There are no credentials: the listener has its own
/// access rules.
#[derive(Debug, Clone, Default)]
pub struct Login {
    connect: Option<String>,
    pub(super) steps: Vec<Step>,
}

/// A command of the login.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) command: Command,
    pub(super) required: bool,
}

impl Login {
    /// For a listener that has a role of its own (`role=global` in `extmodule.conf`).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For a listener without a role: says `connect` first. A listener that has a role answers
    /// `Error in:` to it, which does no harm; without it a listener that has none closes.
    #[must_use]
    pub fn global() -> Self {
        Self {
            connect: Some("%%>connect:global\n".to_owned()),
            steps: Vec::new(),
        }
    }

    /// As [`global`](Self::global), with a role such as `channel`, and the channel and kind of data
    /// that it is for.
    ///
    /// # Errors
    /// [`CommandError::Argument`] for a part that is not of visible ASCII without a colon.
    pub fn role(
        role: &str,
        channel: Option<&str>,
        data: Option<&str>,
    ) -> Result<Self, CommandError> {
        let refused = |source| CommandError::Argument {
            argument: "role",
            source,
        };
        let mut line = "%%>connect".to_owned();
        for part in [Some(role), channel, data].into_iter().flatten() {
            guard::name(part.as_bytes()).map_err(refused)?;
            line = format!("{line}:{part}");
        }
        if channel.is_none() && data.is_some() {
            return Err(refused(Unsendable::Empty { part: Part::Name }));
        }
        line.push('\n');
        Ok(Self {
            connect: Some(line),
            steps: Vec::new(),
        })
    }

    /// Adds a command that has to be answered before the session is ready: `setlocal`, `watch`,
    /// `install` and their opposites. If it is refused, [`Ready::refused`] has it.
    ///
    /// # Errors
    /// [`CommandError::Argument`] for any other command.
    pub fn command(self, command: Command) -> Result<Self, CommandError> {
        self.step(command, false)
    }

    /// As [`command`](Self::command); if it is refused, the session closes.
    ///
    /// # Errors
    /// As [`command`](Self::command).
    pub fn required(self, command: Command) -> Result<Self, CommandError> {
        self.step(command, true)
    }

    fn step(mut self, command: Command, required: bool) -> Result<Self, CommandError> {
        let answered = matches!(
            command.verb(),
            Some(Verb::Setlocal | Verb::Watch | Verb::Install | Verb::Unwatch | Verb::Uninstall)
        );
        if !answered {
            return Err(CommandError::Argument {
                argument: "command of the login",
                source: Unsendable::Forbidden {
                    part: Part::Line,
                    at: 0,
                },
            });
        }
        self.steps.push(Step { command, required });
        Ok(self)
    }

    pub(super) fn connect(&self) -> Option<Bytes> {
        let line = self.connect.as_ref()?;
        Some(Bytes::copy_from_slice(line.as_bytes()))
    }

    /// Whether it has that command for that name.
    pub(super) fn has(&self, wanted: Verb, wanted_name: &str) -> bool {
        self.steps.iter().any(|step| match &step.command.form {
            Form::Line { verb, name, .. } => *verb == wanted && name == wanted_name,
            _ => false,
        })
    }
}

/// A command of the login that the engine refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What was asked.
    pub verb: Verb,
    /// The message or the parameter.
    pub name: String,
}

/// What the login told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// The version of the engine, such as `6.4.1`.
    pub version: Option<String>,
    /// The number of this run of the engine. It changes with a restart, and channel ids begin
    /// anew: an id is unique only together with it.
    pub run_id: Option<String>,
    /// The name of the node.
    pub node: Option<String>,
    /// Bytes that a line to the engine may have, without its line end. Default 8,190; 65,534 where
    /// the engine took the larger buffer.
    pub max_line: usize,
    /// How long the engine waits for an answer; `None` is for ever.
    pub message_timeout: Option<Duration>,
    /// Whether `engine.timer` is watched.
    pub heartbeat: bool,
    /// Commands of the login that were refused.
    pub refused: Vec<Refusal>,
}

impl Ready {
    pub(crate) fn new() -> Self {
        Self {
            version: None,
            run_id: None,
            node: None,
            max_line: line_of(DEFAULT_BUFFER),
            message_timeout: Some(Duration::from_secs(10)),
            heartbeat: false,
            refused: Vec::new(),
        }
    }

    /// Takes the value of a parameter that the engine told.
    pub(super) fn learn(&mut self, name: &str, value: &str) {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        match name {
            "engine.version" => self.version = text(),
            "engine.runid" => self.run_id = text(),
            "engine.nodename" => self.node = text(),
            "bufsize" => {
                if let Ok(bytes) = value.parse() {
                    self.max_line = line_of(bytes);
                }
            }
            "timeout" => {
                if let Ok(ms) = value.parse::<i64>() {
                    let ms = u64::try_from(ms).ok().filter(|ms| *ms > 0);
                    self.message_timeout = ms.map(Duration::from_millis);
                }
            }
            _ => {}
        }
    }
}

/// The longest line of a buffer: a byte each for the line end and the end of the buffer.
fn line_of(buffer: usize) -> usize {
    buffer.saturating_sub(2)
}
