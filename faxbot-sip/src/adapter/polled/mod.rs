//! Adapters that ask a server instead of keeping a connection to it: what "connected" means for them,
//! when they ask, and when the server counts as lost.
//!
//! A server is connected when its set-up ([`Polled::set_up`]) went well, and stays so while it answers.
//! It is lost at once when nobody listens there or our credentials are refused, otherwise by two polls
//! in a row that fail: one alone may be a request that the server dropped. Then the calls are kept, the
//! set-up is tried again with growing waits, and whoever listens is told how long the gap was.

mod life;
#[cfg(test)]
#[cfg(any(feature = "kamailio", feature = "opensips"))]
mod tests;
mod worker;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use faxbot_core::{Result, id::CallId, task::TaskSet};

pub(crate) use self::life::PolledLife;
use super::hub::{Book, Hub};
use crate::protocol::session::{Codec, NotTaken, Output, Session, Token, Transmit};

/// When an adapter asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// How long one set-up may take, and so `connect`.
    pub(crate) connect_timeout: Duration,
    /// The rest between two polls.
    pub(crate) poll: Duration,
    /// Go on trying when the first set-up fails.
    pub(crate) wait_for_server: bool,
}

/// What a piece of the books' work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A poll, soon.
    Poll,
    /// It changes the books alone, and is done while the server is lost, too.
    Note,
    /// It asks the server, and waits while that is lost.
    Ask,
}

/// The core of an adapter that polls: its hub, and what only it knows to do.
pub(crate) trait Polled: Send + Sync + 'static {
    type Books: Book;

    fn hub(&self) -> &Hub<NoLink, Self::Books>;

    /// Asked before each rest: the interval may follow the event path.
    fn timing(&self) -> Timing;

    /// Everything that makes it connected: version, what it can do, subscriptions, what is up. Again
    /// after each gap. What it spawns in `tasks` ends when the server is lost or the adapter
    /// disconnects; the next set-up begins when all of it has ended, with a new set. Dropped when it
    /// takes longer than the connect timeout.
    fn set_up(self: &Arc<Self>, tasks: &TaskSet) -> impl Future<Output = Result<()>> + Send;

    /// One look. Never two at a time, and none during a set-up.
    fn poll(self: &Arc<Self>) -> impl Future<Output = Result<()>> + Send;

    /// What a piece of work is.
    fn work(_todo: &<Self::Books as Book>::Todo) -> Work {
        Work::Ask
    }

    /// Does a piece of work; several run beside each other and beside the polls.
    fn carry_out(
        self: &Arc<Self>,
        todo: <Self::Books as Book>::Todo,
    ) -> impl Future<Output = ()> + Send;

    /// Orderly end: unsubscribe. Dropped when the time of the disconnect is over.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Whether calls are hung up on disconnect: those that [`Book::ours`] answers.
    fn hangs_up_on_close(&self) -> bool;

    /// Hangs a call of ours up, for a disconnect that does that.
    fn hang_up_on_close(
        &self,
        id: CallId,
        limit: Duration,
    ) -> impl Future<Output = Result<()>> + Send;
}

/// The session of an adapter without a link: there is none.
#[derive(Debug)]
pub(crate) enum NoLink {}

impl Codec for NoLink {
    type Frame = Infallible;
    type Error = Infallible;

    fn decode(&mut self, _input: &mut BytesMut) -> Result<Option<Infallible>, Infallible> {
        match *self {}
    }
}

impl Session for NoLink {
    type Codec = Self;
    type Request = Infallible;
    type Reply = Infallible;
    type Event = Infallible;
    type Ready = Infallible;

    fn handle_connected(&mut self, _now: Instant) {
        match *self {}
    }

    fn handle_frame(&mut self, _frame: Infallible, _now: Instant) {
        match *self {}
    }

    fn handle_request(
        &mut self,
        _token: Token,
        _request: Infallible,
        _deadline: Instant,
        _now: Instant,
    ) -> Result<(), NotTaken> {
        match *self {}
    }

    fn handle_timeout(&mut self, _now: Instant) {
        match *self {}
    }

    fn handle_close(&mut self, _now: Instant) {
        match *self {}
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        match *self {}
    }

    fn poll_output(&mut self) -> Option<Output<Self>> {
        match *self {}
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match *self {}
    }

    fn is_ready(&self) -> bool {
        match *self {}
    }

    fn pending(&self) -> usize {
        match *self {}
    }
}
