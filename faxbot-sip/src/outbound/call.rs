//! One call that FreeSWITCH brought.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use faxbot_core::{Effect, Error, ErrorKind, Result, event::EventStream};
use tokio::sync::oneshot;

use super::{
    board::Board,
    channel::{Channel, Control, SocketMode},
    execute::{Execute, Executed, Execution},
};
use crate::{
    driver::{CloseReport, Handle, Link, LinkError, Place},
    protocol::esl::{Command, CommandError, EslSession, Format, Frame, Reply},
};

/// How long an application may hold a connection that is not `async`, if nothing else is said.
const SYNC_LIMIT: Duration = Duration::from_secs(60 * 60);

/// How long the event of an application's end may come after its reply on such a connection; in
/// the recording `07_outbound_sync_single` it is in the same read.
const SYNC_EVENT: Duration = Duration::from_secs(1);

/// The longest value that `getvar` tells whole: FreeSWITCH cuts it at 511 bytes.
const GETVAR_LIMIT: usize = 510;

/// Commands that FreeSWITCH does not know without `full` (`parse_command` in
/// `mod_event_socket.c`, recording `07_outbound_async_single_channel`). It compares by prefix.
const FULL_ONLY: [&[u8]; 8] = [
    b"api",
    b"bgapi",
    b"event",
    b"nixevent",
    b"noevents",
    b"sendevent",
    b"linger",
    b"nolinger",
];

/// A call that FreeSWITCH brought by its application `socket`. Cheap to clone; clones are the same
/// call.
///
/// The connection is closed when the last clone is dropped, which hangs the call up unless
/// [`resume`](Self::resume) was said. See the [module](super).
#[derive(Clone)]
pub struct OutboundCall(Arc<Inner>);

pub(super) struct Inner {
    pub(super) channel: Channel,
    pub(super) handle: Handle<EslSession>,
    pub(super) link: Arc<Link<EslSession>>,
    pub(super) board: Arc<Board>,
    pub(super) request_timeout: Duration,
    /// Makes the ids of applications those of this connection.
    pub(super) prefix: u128,
    pub(super) executed: AtomicU64,
    /// Its place among the calls that are served at once.
    pub(super) _place: Place,
    /// Tells the task of the connection when the last clone is dropped.
    pub(super) _held: oneshot::Sender<()>,
}

impl OutboundCall {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// The channel as it was when the call came.
    pub fn channel(&self) -> &Channel {
        &self.0.channel
    }

    /// Whether it is neither hung up nor out of our hands.
    pub fn is_up(&self) -> bool {
        self.0.board.state().is_up()
    }

    /// Executes an application and waits for its end.
    ///
    /// An application that FreeSWITCH does not know hangs the call up (recording `04_sendmsg`).
    ///
    /// # Errors
    /// As [`begin`](Self::begin) and [`Execution::completed`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the application running.
    pub async fn execute(&self, application: &str, argument: &str) -> Result<Executed> {
        self.run(Execute::new(application, argument)).await
    }

    /// As [`execute`](Self::execute), with options.
    ///
    /// # Errors
    /// As [`begin`](Self::begin) and [`Execution::completed`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the application running.
    pub async fn run(&self, execute: Execute) -> Result<Executed> {
        if self.0.channel.mode() == SocketMode::Async {
            return self.begin(execute).await?.completed().await;
        }
        let id = self.next_id();
        let command = execute.command(&id).map_err(refused("execute"))?;
        let expected = self.0.board.expect(id);
        let limit = execute.within.unwrap_or(SYNC_LIMIT);
        // The reply is the end.
        accepted(self.ask("execute", command, limit).await?, "execute")?;
        let execution = Execution {
            expected,
            within: Some(SYNC_EVENT),
            clock: Arc::clone(self.0.handle.clock()),
        };
        let told = execution.completed().await;
        Ok(told.unwrap_or_else(|_| Executed::new(None)))
    }

    /// Queues an application and answers when FreeSWITCH has taken it; its end is
    /// [`Execution::completed`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] on a connection that is not `async`, where only
    /// [`run`](Self::run) can wait; [`ErrorKind::InvalidRequest`] for a name or argument that
    /// cannot be sent; [`ErrorKind::Rejected`]; and those of a
    /// [request](crate::driver::RequestError::into_error).
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn begin(&self, execute: Execute) -> Result<Execution> {
        if self.0.channel.mode() != SocketMode::Async {
            let message = "the socket waits for each application: add async to its line";
            return Err(Error::new(ErrorKind::Unsupported, "execute", message));
        }
        let id = self.next_id();
        let command = execute.command(&id).map_err(refused("execute"))?;
        let expected = self.0.board.expect(id);
        let reply = self.ask("execute", command, self.0.request_timeout).await?;
        accepted(reply, "execute")?;
        Ok(Execution {
            expected,
            within: execute.within,
            clock: Arc::clone(self.0.handle.clock()),
        })
    }

    /// Reads a variable of the channel; `None` if it is not set. After the hang-up too, as long as
    /// the connection [lingers](Self::linger).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`] for a name that cannot be sent; [`ErrorKind::Unsupported`]
    /// for a value above 510 bytes without `full`, as FreeSWITCH cuts it there; and those of a
    /// request.
    ///
    /// # Cancel safety
    /// Only asks.
    pub async fn getvar(&self, name: &str) -> Result<Option<String>> {
        let operation = "getvar";
        let command = Command::getvar(name).map_err(refused(operation))?;
        let reply = self.ask(operation, command, self.0.request_timeout).await?;
        let text = reply.text();
        // FreeSWITCH says so of a variable that is not set, or empty.
        if text == "-ERR command not found" {
            return Ok(None);
        }
        if text.len() <= GETVAR_LIMIT {
            return Ok(Some(text.into_owned()));
        }
        let arguments = format!("{} {name}", self.0.channel.uuid());
        let whole = self.api("uuid_getvar", &arguments).await?;
        Ok(Some(whole.text().into_owned()))
    }

    /// Runs an API command; nothing else is answered on this connection until it ends.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] without `full`; [`ErrorKind::InvalidRequest`]; those of a
    /// request. A negative answer is a reply too.
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn api(&self, command: &str, arguments: &str) -> Result<Reply> {
        let command = Command::api(command, arguments).map_err(refused("api"))?;
        self.ask("api", command, self.0.request_timeout).await
    }

    /// Runs an API command as a job and waits up to `within` for its output.
    ///
    /// # Errors
    /// As [`api`](Self::api).
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn bgapi(&self, command: &str, arguments: &str, within: Duration) -> Result<Reply> {
        let command = Command::bgapi(command, arguments).map_err(refused("bgapi"))?;
        self.ask("bgapi", command, within).await
    }

    /// The events from now on: those of this call, which are subscribed to already, and those of
    /// [`subscribe`](Self::subscribe); disconnect notices too. It ends with the connection. A
    /// reader that is more than 256 events behind loses the oldest and is told so.
    pub fn events(&self) -> EventStream<Frame> {
        self.0.board.events()
    }

    /// Asks for more events **of this call**, by their names and the subclasses of `CUSTOM`. Those
    /// of other calls never come: FreeSWITCH binds the connection to its own.
    ///
    /// # Errors
    /// As [`api`](Self::api), and [`ErrorKind::Rejected`] when FreeSWITCH knows none of them.
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn subscribe(&self, names: &[&str], custom: &[&str]) -> Result<()> {
        let operation = "subscribe";
        let command = Command::event(Format::Json, names, custom).map_err(refused(operation))?;
        let reply = self.ask(operation, command, self.0.request_timeout).await?;
        accepted(reply, operation)
    }

    /// Keeps the connection after the hang-up, rounded up to seconds, or for `None` until it is
    /// closed: variables can be read and the last events come. Without it they may be lost.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn linger(&self, time: Option<Duration>) -> Result<()> {
        let operation = "linger";
        let seconds = time.map(|time| {
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            // A C int on the other side.
            u32::try_from(seconds).map_or(MOST_SECONDS, |it| it.min(MOST_SECONDS))
        });
        let command = Command::linger(seconds);
        let reply = self.ask(operation, command, self.0.request_timeout).await?;
        accepted(reply, operation)
    }

    /// Lets the dialplan go on behind `socket` when the connection is closed, instead of hanging
    /// the call up. Nothing takes it back.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`]; those of a request.
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn resume(&self) -> Result<()> {
        let timeout = self.0.request_timeout;
        let reply = self.ask("resume", Command::resume(), timeout).await?;
        accepted(reply, "resume")
    }

    /// Hangs the call up with a cause such as `USER_BUSY`; answers when FreeSWITCH has taken the
    /// order, [`hung_up`](Self::hung_up) when it is done.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidRequest`], [`ErrorKind::Rejected`]; those of a request.
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn hangup(&self, cause: &str) -> Result<()> {
        let operation = "hangup";
        let command = Command::hangup(None, cause).map_err(refused(operation))?;
        let reply = self.ask(operation, command, self.0.request_timeout).await?;
        accepted(reply, operation)
    }

    /// Asks anything else of this connection.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for a command that needs `full`; those of a request.
    ///
    /// # Cancel safety
    /// Once it is written it happens.
    pub async fn request(&self, command: Command, within: Duration) -> Result<Reply> {
        self.ask("request", command, within).await
    }

    /// Waits until the call is hung up; the cause, or `None` where it was not told (the connection
    /// ended first).
    ///
    /// # Cancel safety
    /// Only waits.
    pub async fn hung_up(&self) -> Option<String> {
        let mut state = self.0.board.watch();
        let state = state.wait_for(|state| !state.is_up()).await.ok()?;
        state.hung_up.clone().filter(|cause| !cause.is_empty())
    }

    /// Waits until the connection is over, and says why. FreeSWITCH ends it with the call.
    ///
    /// # Cancel safety
    /// Only waits.
    pub async fn over(&self) -> LinkError {
        let mut state = self.0.board.watch();
        let over = state.wait_for(|state| state.over.is_some()).await;
        over.ok()
            .and_then(|state| state.over.clone())
            .unwrap_or(LinkError::Closed)
    }

    /// Closes the connection in order, within `within`: answers that are due are awaited, then
    /// `exit` is said. The call is hung up unless [`resume`](Self::resume) was said before.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the close going on.
    pub async fn close(&self, within: Duration) -> CloseReport {
        self.0.link.close(within).await
    }

    async fn ask(
        &self,
        operation: &'static str,
        command: Command,
        within: Duration,
    ) -> Result<Reply> {
        if self.0.channel.control() != Control::Full && needs_full(&command) {
            let message = "the socket controls one channel only: add full to its line";
            return Err(Error::new(ErrorKind::Unsupported, operation, message));
        }
        let reply = self.0.handle.request(command, within).await;
        reply.map_err(|error| error.into_error(operation))
    }

    fn next_id(&self) -> String {
        let number = self.0.executed.fetch_add(1, Ordering::Relaxed);
        format!("{:032x}-{number}", self.0.prefix)
    }
}

/// The longest linger, in seconds.
const MOST_SECONDS: u32 = i32::MAX.unsigned_abs();

impl fmt::Debug for OutboundCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundCall")
            .field("channel", &self.0.channel)
            .field("up", &self.is_up())
            .finish_non_exhaustive()
    }
}

fn needs_full(command: &Command) -> bool {
    let bytes = command.to_bytes();
    let verb = bytes.split(|byte| matches!(byte, b' ' | b'\n')).next();
    let verb = verb.unwrap_or_default();
    // `log` and `nolog` have longer words behind them that are others.
    matches!(verb, b"log" | b"nolog") || FULL_ONLY.iter().any(|full| verb.starts_with(full))
}

fn refused(operation: &'static str) -> impl Fn(CommandError) -> Error {
    move |error| {
        let message = "a name or value cannot be sent";
        Error::new(ErrorKind::InvalidRequest, operation, message)
            .with_effect(Effect::NoEffect)
            .with_source(error)
    }
}

/// `+OK`, or what FreeSWITCH says instead.
fn accepted(reply: Reply, operation: &'static str) -> Result<()> {
    if reply.is_ok() {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Rejected, operation, "freeswitch refused");
    Err(error.with_native(None, Some(reply.text().into_owned())))
}
