//! One connection: bytes, requests and deadlines in one `select!`.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use faxbot_core::{
    Error,
    clock::{SharedClock, later},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
};

use crate::protocol::session::{Codec, Session};

use super::{
    LinkError, LinkEvent, LinkPhase, RequestError,
    desk::Desk,
    handle::{Command, Shared},
};

/// Bytes asked for at a time: a few full segments. The codec bounds what is kept of them.
const READ_CHUNK: usize = 16 * 1024;

/// How long answers that are already on their way are read after a write failed: a server that
/// answers and closes makes our next write fail before we have read its last words.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long an orderly end of the transport (TLS close, FIN) may take after the good-bye.
const SHUTDOWN: Duration = Duration::from_millis(250);

/// Part of a close that is kept for the protocol's good-bye, at most.
const GOODBYE: Duration = Duration::from_secs(1);

/// Until when a close drains, and until when it may take.
pub(super) type Closing = watch::Receiver<Option<CloseBy>>;

/// The moments of a close.
#[derive(Debug, Clone, Copy)]
pub(super) struct CloseBy {
    /// Until here answers are awaited.
    pub(super) drain: Instant,
    /// Here it is over.
    pub(super) end: Instant,
}

impl CloseBy {
    pub(super) fn within(now: Instant, within: Duration) -> Self {
        Self {
            drain: later(now, within.saturating_sub(GOODBYE.min(within / 4))),
            end: later(now, within),
        }
    }
}

/// Everything that one connection needs.
pub(super) struct Connection<S: Session, IO> {
    pub(super) io: IO,
    /// See [`Transport::buffering`](super::Transport::buffering).
    pub(super) buffering: bool,
    pub(super) codec: S::Codec,
    pub(super) desk: Desk<S>,
    pub(super) shared: Arc<Shared<S>>,
    pub(super) events: mpsc::Sender<LinkEvent<S>>,
    pub(super) closing: Closing,
    /// Until when login and set-up must be over.
    pub(super) ready_by: Instant,
    pub(super) write_stall: Duration,
    pub(super) pump_stall: Duration,
}

/// A connection that is over. Its waiters are answered.
pub(super) struct Ended<S: Session> {
    pub(super) reason: LinkError,
    /// Events that the pump has to get before it hears of the end.
    pub(super) backlog: VecDeque<LinkEvent<S>>,
    /// Since when it was set up.
    pub(super) up_since: Option<Instant>,
    /// Whether the pump was, or will be, told that it was up.
    pub(super) announced: bool,
    /// Whether all answers came before the good-bye, for a close.
    pub(super) drained: bool,
}

impl<S: Session> Ended<S> {
    pub(super) fn before_it_began(reason: LinkError) -> Self {
        let drained = true;
        Self {
            reason,
            backlog: VecDeque::new(),
            up_since: None,
            announced: false,
            drained,
        }
    }
}

/// How far a close is.
#[derive(Clone, Copy)]
enum Stage {
    Open,
    Draining(CloseBy),
    Goodbye(CloseBy),
}

/// What one turn waited for.
enum Turn<S: Session> {
    Read(io::Result<usize>),
    Wrote(io::Result<Written>),
    Asked(Option<Command<S>>),
    SetUp(Option<Result<(), Option<Error>>>),
    Close,
    PumpGone,
    Again,
}

enum Written {
    Bytes(usize),
    Flushed,
}

/// What a turn changes beside the desk.
struct Progress {
    stage: Stage,
    end_of_input: bool,
    unflushed: bool,
    /// Since when the peer takes nothing, while something is to be written.
    writing_since: Option<Instant>,
    /// Why writing is over, and until when reading goes on.
    write_failed: Option<(LinkError, Instant)>,
    /// Whether requests can still come out of the queue.
    asks: bool,
    up_since: Option<Instant>,
    drained: bool,
}

impl<S: Session, IO: AsyncRead + AsyncWrite> Connection<S, IO> {
    /// Runs until the connection is over, then answers every waiter.
    ///
    /// Dropping the future drops the transport; each waiter still learns whether it was written.
    pub(super) async fn run(self) -> Ended<S> {
        let Self {
            io,
            buffering,
            mut codec,
            mut desk,
            shared,
            events,
            mut closing,
            ..
        } = self;
        let limits = (self.ready_by, self.write_stall, self.pump_stall);
        let clock = Arc::clone(&shared.clock);
        let (mut reader, mut writer) = tokio::io::split(io);
        let mut input = BytesMut::new();
        let mut progress = Progress {
            stage: Stage::Open,
            end_of_input: false,
            unflushed: false,
            writing_since: None,
            write_failed: None,
            asks: true,
            up_since: None,
            drained: true,
        };
        desk.connected(clock.now());

        let reason = loop {
            let now = clock.now();
            if let Err(reason) = progress.advance(&mut desk, &mut codec, &mut input, now) {
                break reason;
            }
            if let Err(reason) = progress.check(&mut desk, &shared, limits, now) {
                break reason;
            }
            let head = desk.outgoing.front().map(|head| head.bytes.clone());
            let may_write = progress.write_failed.is_none();
            let wants_write = may_write && (head.is_some() || progress.unflushed);
            let may_read = desk.may_read() && !progress.end_of_input;
            // One request at a time is between the queue and the wire: all others can be taken
            // back by their callers and are certainly not sent when the connection ends.
            let takes = progress.asks
                && may_write
                && head.is_none()
                && matches!(progress.stage, Stage::Open);
            let backlog = desk.has_backlog();
            let open = matches!(progress.stage, Stage::Open);
            let due = progress.due(&desk, limits);
            input.reserve(READ_CHUNK);

            let turn = tokio::select! {
                read = reader.read_buf(&mut input), if may_read => Turn::Read(read),
                written = write(&mut writer, head), if wants_write => Turn::Wrote(written),
                command = desk.commands.recv(), if takes => Turn::Asked(command),
                room = events.reserve(), if backlog => match room {
                    Ok(_) => Turn::Again,
                    Err(_) => Turn::PumpGone,
                },
                () = events.closed(), if !backlog => Turn::PumpGone,
                verdict = set_up(&mut desk.setup) => Turn::SetUp(verdict),
                _ = closing.wait_for(Option::is_some), if open => Turn::Close,
                () = wait(&clock, due) => Turn::Again,
            };

            let now = clock.now();
            match turn {
                Turn::Read(Ok(0)) => progress.end_of_input = true,
                Turn::Read(Ok(_)) | Turn::Again => {}
                Turn::Read(Err(error)) => break progress.broken(error),
                Turn::Wrote(Ok(written)) => progress.wrote(&mut desk, &written, now),
                Turn::Wrote(Err(error)) => {
                    if buffering {
                        desk.mark_written(now);
                    }
                    progress.write_failed =
                        Some((LinkError::Io(Arc::new(error)), now + LAST_WORDS));
                }
                Turn::Asked(Some(command)) => desk.take(command, now),
                Turn::Asked(None) => progress.asks = false,
                Turn::SetUp(Some(Ok(()))) => progress.up_since = Some(now),
                Turn::SetUp(Some(Err(error))) => break LinkError::Setup(error),
                Turn::SetUp(None) => {}
                Turn::PumpGone => break LinkError::PumpStalled,
                Turn::Close => {
                    let by = closing
                        .borrow()
                        .unwrap_or_else(|| CloseBy::within(now, GOODBYE));
                    shared.enter(LinkPhase::Closing, |_| {});
                    desk.setup = None;
                    desk.refuse_queued(|| RequestError::Closed { written: false });
                    progress.stage = Stage::Draining(by);
                }
            }
        };

        let closed = !matches!(progress.stage, Stage::Open);
        let reason = if closed { LinkError::Closed } else { reason };
        let drained = progress.drained && !desk.waits_for_answers();
        // No request may reach this connection any more when its waiters learn their fate.
        let phase = if closed {
            LinkPhase::Closing
        } else {
            LinkPhase::Waiting
        };
        shared.enter(phase, |state| {
            state.status.last_error = Some(reason.clone())
        });
        let announced = desk.announced;
        let backlog = desk.finish(&reason);
        if closed && progress.write_failed.is_none() {
            // The peer may be gone, which is what we want anyway.
            let _ = tokio::time::timeout(SHUTDOWN, writer.shutdown()).await;
        }
        Ended {
            reason,
            backlog,
            up_since: progress.up_since,
            announced,
            drained,
        }
    }
}

impl Progress {
    /// Decodes what is there and hands events on, as far as the pump keeps up.
    fn advance<S: Session>(
        &mut self,
        desk: &mut Desk<S>,
        codec: &mut S::Codec,
        input: &mut BytesMut,
        now: Instant,
    ) -> Result<(), LinkError> {
        loop {
            if !desk.deliver(now) {
                return Err(LinkError::PumpStalled);
            }
            if desk.over.is_some() || !desk.may_read() {
                return Ok(());
            }
            match codec.decode(input) {
                Ok(Some(frame)) => desk.frame(frame, now),
                Ok(None) if self.end_of_input => return Err(self.ended()),
                Ok(None) => return Ok(()),
                Err(error) => return Err(LinkError::Codec(Arc::new(error))),
            }
        }
    }

    /// Looks at everything that ends a connection or a stage of it.
    fn check<S: Session>(
        &mut self,
        desk: &mut Desk<S>,
        shared: &Shared<S>,
        limits: (Instant, Duration, Duration),
        now: Instant,
    ) -> Result<(), LinkError> {
        let (ready_by, write_stall, pump_stall) = limits;
        desk.timeout(now);
        match self.stage {
            Stage::Open => {
                if self.up_since.is_none() && ready_by <= now {
                    // `ready()` counts from the moment it returned, even if this task has not
                    // seen its word.
                    if shared.phase() != LinkPhase::Up {
                        return Err(LinkError::SetupTimeout);
                    }
                    self.up_since = Some(now);
                }
            }
            Stage::Draining(by) => {
                if !desk.waits_for_answers() || by.drain <= now {
                    self.drained = !desk.waits_for_answers();
                    desk.goodbye(now);
                    self.stage = Stage::Goodbye(by);
                }
            }
            Stage::Goodbye(_) => {}
        }
        if let Some(reason) = &desk.over {
            let last_bytes = matches!(self.stage, Stage::Goodbye(_))
                && !desk.outgoing.is_empty()
                && self.write_failed.is_none();
            if !last_bytes {
                return Err(LinkError::Session(reason.clone()));
            }
        }
        if let Stage::Draining(by) | Stage::Goodbye(by) = self.stage
            && by.end <= now
        {
            return Err(LinkError::Closed);
        }
        if let Some((reason, until)) = &self.write_failed
            && *until <= now
        {
            return Err(reason.clone());
        }
        let writing = !desk.outgoing.is_empty() || self.unflushed;
        self.writing_since = if writing {
            self.writing_since.or(Some(now))
        } else {
            None
        };
        if self
            .writing_since
            .is_some_and(|since| later(since, write_stall) <= now)
        {
            return Err(LinkError::WriteStalled);
        }
        if desk
            .stalled_since
            .is_some_and(|since| later(since, pump_stall) <= now)
        {
            return Err(LinkError::PumpStalled);
        }
        Ok(())
    }

    /// When [`check`](Self::check) has to look again if nothing else happens.
    fn due<S: Session>(
        &self,
        desk: &Desk<S>,
        (ready_by, write_stall, pump_stall): (Instant, Duration, Duration),
    ) -> Option<Instant> {
        let stage = match self.stage {
            Stage::Open => Some(ready_by).filter(|_| self.up_since.is_none()),
            Stage::Draining(by) => Some(by.drain),
            Stage::Goodbye(by) => Some(by.end),
        };
        let failed = self.write_failed.as_ref().map(|(_, until)| *until);
        let writing = self.writing_since.map(|since| later(since, write_stall));
        let pump = desk.stalled_since.map(|since| later(since, pump_stall));
        [desk.poll_timeout(), stage, failed, writing, pump]
            .into_iter()
            .flatten()
            .min()
    }

    fn wrote<S: Session>(&mut self, desk: &mut Desk<S>, written: &Written, now: Instant) {
        self.writing_since = None;
        match written {
            Written::Bytes(count) => {
                desk.wrote(*count, now);
                self.unflushed = true;
            }
            Written::Flushed => self.unflushed = false,
        }
    }

    /// Why a connection whose input is at its end is over: a write that failed before says more.
    fn ended(&mut self) -> LinkError {
        self.write_failed
            .take()
            .map_or(LinkError::Ended, |(reason, _)| reason)
    }

    fn broken(&mut self, error: io::Error) -> LinkError {
        self.write_failed
            .take()
            .map_or_else(|| LinkError::Io(Arc::new(error)), |(reason, _)| reason)
    }
}

/// Writes some of `head`, or flushes. Dropping the future loses nothing: a write that was not
/// ready took no byte.
async fn write<W: AsyncWrite + Unpin>(writer: &mut W, head: Option<Bytes>) -> io::Result<Written> {
    let Some(bytes) = head else {
        return writer.flush().await.map(|()| Written::Flushed);
    };
    match writer.write(&bytes).await {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written.map(Written::Bytes),
    }
}

/// The word of the adapter's set-up, once; a set-up that was dropped has failed.
async fn set_up(
    setup: &mut Option<oneshot::Receiver<Option<Error>>>,
) -> Option<Result<(), Option<Error>>> {
    let Some(receiver) = setup else {
        return pending().await;
    };
    let verdict = match receiver.await {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(Some(error)),
        Err(_) => Err(None),
    };
    *setup = None;
    Some(verdict)
}

async fn wait(clock: &SharedClock, due: Option<Instant>) {
    match due {
        Some(due) => clock.sleep_until(due).await,
        None => pending().await,
    }
}
