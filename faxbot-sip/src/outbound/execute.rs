//! Applications of the dialplan, executed on a call.

use std::{borrow::Cow, fmt, time::Duration};

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    clock::{SharedClock, later},
};

use super::board::Expected;
use crate::protocol::esl::{Command, CommandError, Frame};

/// How long the end of an application may come after the hang-up: FreeSWITCH tells it 0.2 ms later
/// (recording `07_outbound_async_full_linger`), if it tells it.
const AFTER_HANG_UP: Duration = Duration::from_secs(2);

/// An application with its argument.
#[derive(Clone, PartialEq, Eq)]
pub struct Execute {
    application: String,
    argument: String,
    lock: bool,
    pub(super) within: Option<Duration>,
}

impl Execute {
    /// An application such as `playback`, and its argument, which may be empty.
    pub fn new(application: impl Into<String>, argument: impl Into<String>) -> Self {
        Self {
            application: application.into(),
            argument: argument.into(),
            lock: false,
            within: None,
        }
    }

    /// Whether applications that are queued later wait for its end (`event-lock`). Without it a
    /// later one may run inside of a playback. Default `false`.
    #[must_use]
    pub fn with_lock(mut self, lock: bool) -> Self {
        self.lock = lock;
        self
    }

    /// How long its end is waited for. Default: until the call ends; in
    /// [`SocketMode::Sync`](super::SocketMode::Sync) an hour, and there a connection that is silent
    /// for longer than this is taken for dead and closed half a minute later.
    #[must_use]
    pub fn with_limit(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }

    pub(super) fn command(&self, id: &str) -> std::result::Result<Command, CommandError> {
        let command = Command::execute(None, &self.application, &self.argument)?;
        let command = command.header("Event-UUID", id)?;
        if self.lock {
            return command.header("event-lock", "true");
        }
        Ok(command)
    }
}

impl fmt::Debug for Execute {
    /// Without the argument, which may hold numbers and file names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute")
            .field("application", &self.application)
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// An application that has ended.
#[derive(Clone)]
pub struct Executed {
    event: Option<Frame>,
}

impl Executed {
    pub(super) fn new(event: Option<Frame>) -> Self {
        Self { event }
    }

    /// What the application says of itself (`Application-Response`), such as `FILE PLAYED`. `None`
    /// for those that say nothing.
    #[must_use]
    pub fn response(&self) -> Option<String> {
        self.header("Application-Response")
            .filter(|response| response != "_none_")
    }

    /// A variable of the channel at that moment.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.header(&format!("variable_{name}"))
    }

    /// The event of its end, `CHANNEL_EXECUTE_COMPLETE`. Always there on a connection that is
    /// `async`; otherwise the reply may be all that FreeSWITCH says.
    #[must_use]
    pub fn event(&self) -> Option<&Frame> {
        self.event.as_ref()
    }

    fn header(&self, name: &str) -> Option<String> {
        let event = self.event.as_ref()?.event().ok()??;
        event.text(name).map(Cow::into_owned)
    }
}

impl fmt::Debug for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Executed(..)")
    }
}

/// An application that is queued or runs. Dropping it leaves the application running.
pub struct Execution {
    pub(super) expected: Expected,
    pub(super) within: Option<Duration>,
    pub(super) clock: SharedClock,
}

impl Execution {
    /// Waits for its end. On an application that FreeSWITCH does not know the call is hung up
    /// (recording `04_sendmsg`).
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the call ended and FreeSWITCH did not tell the end of the
    /// application, [`ErrorKind::Timeout`] after [`Execute::with_limit`]. In both cases it may
    /// have had its effect.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the application running.
    pub async fn completed(mut self) -> Result<Executed> {
        let late = later(self.clock.now(), self.within.unwrap_or(LONG));
        let mut state = self.expected.board.watch();
        let clock = &self.clock;
        let ended = async {
            // Its board is there as long as this is.
            let _ = state.wait_for(|state| !state.is_up()).await;
            let grace = clock.sleep_until(clock.now() + AFTER_HANG_UP);
            tokio::select! {
                _ = state.wait_for(|state| state.over.is_some()) => {}
                () = grace => {}
            }
        };
        let failed = |kind, message| {
            let error = Error::new(kind, "execute", message);
            Err(error.with_effect(Effect::Unknown))
        };
        tokio::select! {
            biased;
            Ok(event) = &mut self.expected.event => Ok(Executed::new(Some(event))),
            () = ended => failed(ErrorKind::Closed, "the call ended before the application did"),
            () = clock.sleep_until(late) => {
                failed(ErrorKind::Timeout, "the application still runs")
            }
        }
    }
}

/// No call lasts longer: a week.
const LONG: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Execution(..)")
    }
}
