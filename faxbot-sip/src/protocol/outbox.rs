//! What every session keeps beside its protocol: what to write, what to tell, its clocks.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    keepalive::{Due, KeepAlive, after},
    session::{CloseReason, NoReply, Output, Session, Token, Transmit},
};

/// The outputs of a session, and when it wants to be woken.
pub(in crate::protocol) struct Outbox<S: Session> {
    transmits: VecDeque<Transmit>,
    outputs: VecDeque<Output<S>>,
    /// When the state of the session is over by itself.
    timer: Option<Instant>,
    keepalive: Option<KeepAlive>,
}

impl<S: Session> Outbox<S> {
    pub(in crate::protocol) fn new() -> Self {
        Self {
            transmits: VecDeque::new(),
            outputs: VecDeque::new(),
            timer: None,
            keepalive: None,
        }
    }

    /// Queues bytes; with a token they are that request.
    pub(in crate::protocol) fn write(&mut self, token: Option<Token>, bytes: Bytes) {
        self.transmits.push_back(Transmit { token, bytes });
    }

    pub(in crate::protocol) fn tell(&mut self, output: Output<S>) {
        self.outputs.push_back(output);
    }

    pub(in crate::protocol) fn reply(&mut self, token: Token, result: Result<S::Reply, NoReply>) {
        self.tell(Output::Reply { token, result });
    }

    /// The last output. What was not handed out is not written, and no clock runs any more.
    pub(in crate::protocol) fn close(&mut self, reason: CloseReason) {
        self.timer = None;
        self.keepalive = None;
        self.transmits.clear();
        self.tell(Output::Close(reason));
    }

    /// Whether a request may be queued now; one that comes too late is answered here.
    pub(in crate::protocol) fn in_time(
        &mut self,
        token: Token,
        deadline: Instant,
        now: Instant,
    ) -> bool {
        let in_time = deadline > now;
        if !in_time {
            self.reply(token, Err(NoReply::Deadline));
        }
        in_time
    }

    /// Drops the bytes of a request that were not handed out. False when they were: then the
    /// server may answer.
    pub(in crate::protocol) fn take_back(&mut self, token: Token) -> bool {
        let before = self.transmits.len();
        self.transmits.retain(|it| it.token != Some(token));
        self.transmits.len() < before
    }

    /// Sets when the state is over by itself.
    pub(in crate::protocol) fn set_timer(&mut self, now: Instant, wait: Duration) {
        self.timer = Some(after(now, wait));
    }

    pub(in crate::protocol) fn stop_timer(&mut self) {
        self.timer = None;
    }

    pub(in crate::protocol) fn is_timer_over(&self, now: Instant) -> bool {
        self.timer.is_some_and(|at| at <= now)
    }

    /// Starts to watch whether the server talks.
    pub(in crate::protocol) fn watch(&mut self, keepalive: KeepAlive) {
        self.keepalive = Some(keepalive);
    }

    pub(in crate::protocol) fn heard(&mut self, now: Instant) {
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.heard(now);
        }
    }

    /// What the silence of the server asks for; nothing before `quiet`, until when it may rightly
    /// be silent.
    pub(in crate::protocol) fn check(&mut self, now: Instant, quiet: Option<Instant>) -> Due {
        match &mut self.keepalive {
            Some(keepalive) if quiet.is_none_or(|until| until <= now) => keepalive.check(now),
            _ => Due::Nothing,
        }
    }

    /// The earliest of the session's own clocks and `deadline`, that of its requests.
    pub(in crate::protocol) fn timeout(
        &self,
        quiet: Option<Instant>,
        deadline: Option<Instant>,
    ) -> Option<Instant> {
        let silent = self.keepalive.as_ref().map(KeepAlive::deadline);
        let silent = silent.map(|at| quiet.map_or(at, |until| at.max(until)));
        [self.timer, silent, deadline].into_iter().flatten().min()
    }

    pub(in crate::protocol) fn next_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(in crate::protocol) fn next_output(&mut self) -> Option<Output<S>> {
        self.outputs.pop_front()
    }
}
