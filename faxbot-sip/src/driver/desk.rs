//! The bookkeeping of one connection: the session, who waits for what, what is to be written, and
//! what the pump has not taken. No waiting happens here.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Buf;
use faxbot_core::Error;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use crate::protocol::session::{
    CloseReason, Codec, NoReply, NotTaken, Output, Session, Token, Transmit,
};

use super::{
    Handle, LinkError, LinkEvent, LinkPhase, RequestError, Setup,
    handle::{COMMAND_QUEUE, Command, Shared, Ticket},
};

/// Events that are kept beyond the pump's queue, and only while somebody waits for an answer that
/// may stand behind them in the stream: a pump that itself awaits an answer must get it, and a server
/// that waits for ours must be read. About ten times what a busy server says during one reconcile.
pub(super) const EVENT_RESERVE: usize = 8_192;

struct Waiter<S: Session> {
    ticket: Ticket<S>,
    written_at: Option<Instant>,
}

pub(super) struct Desk<S: Session> {
    session: S,
    shared: Arc<Shared<S>>,
    generation: u64,
    next_token: u64,
    waiters: HashMap<Token, Waiter<S>>,
    pub(super) outgoing: VecDeque<Transmit>,
    backlog: VecDeque<LinkEvent<S>>,
    events: mpsc::Sender<LinkEvent<S>>,
    /// The near end of the queue, until the login is over and it is published.
    sender: Option<mpsc::Sender<Command<S>>>,
    pub(super) commands: mpsc::Receiver<Command<S>>,
    /// Pending while the adapter sets up.
    pub(super) setup: Option<oneshot::Receiver<Option<Error>>>,
    pub(super) over: Option<CloseReason>,
    /// Whether the pump was, or will be, told that the login is over.
    pub(super) announced: bool,
    /// Since when the pump takes nothing.
    pub(super) stalled_since: Option<Instant>,
}

impl<S: Session> Desk<S> {
    pub(super) fn new(
        session: S,
        shared: Arc<Shared<S>>,
        generation: u64,
        events: mpsc::Sender<LinkEvent<S>>,
    ) -> Self {
        let (sender, commands) = mpsc::channel(COMMAND_QUEUE);
        Self {
            session,
            shared,
            generation,
            next_token: 0,
            waiters: HashMap::new(),
            outgoing: VecDeque::new(),
            backlog: VecDeque::new(),
            events,
            sender: Some(sender),
            commands,
            setup: None,
            over: None,
            announced: false,
            stalled_since: None,
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.session.handle_connected(now);
        self.drain(now);
    }

    pub(super) fn frame(&mut self, frame: <S::Codec as Codec>::Frame, now: Instant) {
        self.session.handle_frame(frame, now);
        self.drain(now);
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
            self.drain(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    pub(super) fn goodbye(&mut self, now: Instant) {
        self.session.handle_close(now);
        self.drain(now);
    }

    pub(super) fn take(&mut self, command: Command<S>, now: Instant) {
        let Command {
            request,
            deadline,
            ticket,
        } = command;
        if !ticket.fate.take() {
            return;
        }
        if deadline <= now {
            return ticket.end(Err(RequestError::Deadline { written: false }));
        }
        let token = Token(self.next_token);
        self.next_token += 1;
        match self.session.handle_request(token, request, deadline, now) {
            Ok(()) => {
                self.waiters.insert(
                    token,
                    Waiter {
                        ticket,
                        written_at: None,
                    },
                );
                self.drain(now);
            }
            Err(NotTaken::Full) => ticket.end(Err(RequestError::Full)),
            Err(NotTaken::NotReady) => ticket.end(Err(RequestError::NotConnected)),
        }
    }

    /// `count` bytes of the first chunk are written.
    pub(super) fn wrote(&mut self, count: usize, now: Instant) {
        if count > 0 {
            self.mark_written(now);
        }
        let Some(head) = self.outgoing.front_mut() else {
            return;
        };
        head.bytes.advance(count.min(head.bytes.len()));
        if head.bytes.is_empty() {
            self.outgoing.pop_front();
        }
    }

    /// A byte of the first chunk is, or may be, written.
    pub(super) fn mark_written(&mut self, now: Instant) {
        let token = self.outgoing.front().and_then(|head| head.token);
        if let Some(waiter) = token.and_then(|token| self.waiters.get_mut(&token)) {
            waiter.ticket.fate.set_written();
            waiter.written_at.get_or_insert(now);
        }
    }

    pub(super) fn waits_for_answers(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Whether more may be read: the pump keeps up, or an answer may stand behind the events, or
    /// a question of the server.
    pub(super) fn may_read(&self) -> bool {
        let awaited = self.waits_for_answers() || self.session.is_asked();
        self.backlog.is_empty() || (awaited && self.backlog.len() < EVENT_RESERVE)
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Gives the pump what it has room for; `false` if it is gone.
    pub(super) fn deliver(&mut self, now: Instant) -> bool {
        while !self.backlog.is_empty() {
            match self.events.try_reserve() {
                Ok(place) => {
                    self.stalled_since = None;
                    if let Some(event) = self.backlog.pop_front() {
                        place.send(event);
                    }
                }
                Err(TrySendError::Full(())) => {
                    self.stalled_since.get_or_insert(now);
                    return true;
                }
                Err(TrySendError::Closed(())) => return false,
            }
        }
        self.stalled_since = None;
        true
    }

    /// Answers every request that is still in the queue; the next ones are turned away.
    pub(super) fn refuse_queued(&mut self, why: impl Fn() -> RequestError) {
        self.sender = None;
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if command.ticket.fate.take() {
                command.ticket.end(Err(why()));
            }
        }
    }

    /// Ends every request with its true effect and hands back the events that the pump still has
    /// to get.
    pub(super) fn finish(mut self, reason: &LinkError) -> VecDeque<LinkEvent<S>> {
        let closed = matches!(reason, LinkError::Closed);
        let mut waiters: Vec<_> = self.waiters.drain().collect();
        waiters.sort_by_key(|(token, _)| *token);
        for (_, waiter) in waiters {
            let written = waiter.ticket.fate.is_written();
            waiter.ticket.end(Err(match (closed, written) {
                (true, written) => RequestError::Closed { written },
                (false, true) => RequestError::OutcomeUnknown(reason.clone()),
                (false, false) => RequestError::NotSent(reason.clone()),
            }));
        }
        self.refuse_queued(|| {
            if closed {
                RequestError::Closed { written: false }
            } else {
                RequestError::NotSent(reason.clone())
            }
        });
        self.backlog
    }

    fn drain(&mut self, now: Instant) {
        while let Some(transmit) = self.session.poll_transmit() {
            if !transmit.bytes.is_empty() {
                self.outgoing.push_back(transmit);
            }
        }
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Ready(ready) => self.open(ready),
                Output::Reply { token, result } => self.reply(token, result, now),
                Output::Event(event) => {
                    let generation = self.generation;
                    self.backlog
                        .push_back(LinkEvent::Event { generation, event });
                }
                Output::Close(reason) => {
                    self.over.get_or_insert(reason);
                }
            }
        }
    }

    fn open(&mut self, ready: S::Ready) {
        let Some(sender) = self.sender.take() else {
            return;
        };
        if self.shared.phase() != LinkPhase::Connecting {
            // Closed during the login: nobody is let in any more.
            return;
        }
        let generation = self.generation;
        let (verdict, setup) = oneshot::channel();
        self.setup = Some(setup);
        self.shared.enter(LinkPhase::SettingUp, |state| {
            state.status.ever_logged_in = true;
            state.commands = Some(sender);
        });
        self.announced = true;
        let handle = Handle::new(Arc::clone(&self.shared), Some(generation));
        let at = self.shared.clock.timestamp();
        let setup = Setup::new(handle, verdict);
        self.backlog.push_back(LinkEvent::Up {
            generation,
            ready,
            at,
            setup,
        });
    }

    fn reply(&mut self, token: Token, result: Result<S::Reply, NoReply>, now: Instant) {
        let Some(waiter) = self.waiters.remove(&token) else {
            tracing::warn!(
                generation = self.generation,
                "the session answered a request twice"
            );
            return;
        };
        if let (Ok(_), Some(observer), Some(at)) =
            (&result, &self.shared.observer, waiter.written_at)
        {
            observer.observe(now.saturating_duration_since(at));
        }
        let verdict = result.map_err(|why| match why {
            // What the session has handed out goes on the wire even if its caller is gone, for
            // the sake of protocols that answer by order.
            NoReply::Deadline => RequestError::Deadline {
                written: waiter.ticket.fate.is_written()
                    || self
                        .outgoing
                        .iter()
                        .any(|transmit| transmit.token == Some(token)),
            },
            NoReply::Garbled => RequestError::Garbled,
        });
        waiter.ticket.end(verdict);
    }
}
