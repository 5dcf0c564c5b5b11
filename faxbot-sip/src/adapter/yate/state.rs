//! What the adapter knows of one Yate: the books of calls, and which run of the engine they are about.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::{Deref, DerefMut},
    time::Instant,
};

use faxbot_core::{
    Error, Result, Timestamp,
    id::{CallId, CallRef},
    plugin::Page,
    sip::{AdapterKind, CallRecord, HistoryQuery, SipEvent, Snapshot},
};

use super::{
    abilities::Abilities,
    attach::Notices,
    config::YateConfig,
    control::desk::Orders,
    fax_limits::Limits,
    history::Ended,
    incoming::Entrance,
    request::marked,
    server::{CHANNELS, Channel, live_legs},
};
use crate::{
    adapter::{
        books::{Books, Leg, Sign, Todo},
        calls::{Calls, Now},
        history::Cdrs,
        hub::Book,
    },
    protocol::yate::Frame,
};

/// Messages that may wait for the answer that tells whose channel they are about.
const MAX_STRAYS: usize = 1000;

/// Modules that are asked for their channels beside the usual ones.
const MAX_MODULES: usize = 16;

/// What the worker must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// What the books want.
    Books(Todo),
    /// Channels are left that nobody talks to: hang them up.
    Left,
}

/// What the adapter knows of one Yate.
#[derive(Debug)]
pub(super) struct Desk {
    books: Books,
    /// What the server can do, as far as it told.
    pub(super) abilities: Abilities,
    /// Which run of the engine the books are about: channel ids begin anew with each.
    pub(super) run_id: Option<String>,
    pub(super) cdrs: Cdrs,
    /// Requests of calls whose answer is still to come: it names their channels.
    placing: usize,
    /// Messages about channels that nobody knows yet.
    strays: VecDeque<(String, Frame)>,
    /// Faxes whose channel is told by the path of their pages.
    pub(super) paths: HashMap<String, CallId>,
    /// Which calls come to us.
    pub(super) entrance: Entrance,
    /// How long faxes may take.
    pub(super) limits: Limits,
    /// What orders know of calls.
    pub(super) orders: Orders,
    /// The channels of calls that ended: their records come after.
    pub(super) ended_channels: Ended,
    /// Ends of sounds that are waited for.
    pub(super) notices: Notices,
}

impl Desk {
    pub(super) fn new(config: &YateConfig) -> Self {
        let mut books = Books::new(AdapterKind::YATE);
        books.door.kind = "incoming";
        books.door.deadline = config.incoming_deadline;
        Self {
            books,
            abilities: Abilities::hoped_for(),
            run_id: None,
            cdrs: Cdrs::default(),
            placing: 0,
            strays: VecDeque::new(),
            paths: HashMap::new(),
            entrance: Entrance::of(config),
            limits: Limits::default(),
            orders: Orders::default(),
            ended_channels: Ended::default(),
            notices: Notices::default(),
        }
    }

    /// A page of the calls that ended.
    pub(super) fn history(
        &mut self,
        query: &HistoryQuery,
        now: Instant,
    ) -> Result<Page<CallRecord>> {
        self.cdrs.page(&mut self.books.calls, query, now)
    }

    /// The server's own record of a call that ended.
    pub(super) fn cdr(&self, call: &CallRef) -> Result<CallRecord> {
        self.cdrs.cdr(&self.books.calls, call)
    }

    /// A call is about to be requested.
    pub(super) fn places(&mut self) {
        self.placing += 1;
    }

    /// Its answer came, or will not.
    pub(super) fn placed(&mut self) {
        self.placing = self.placing.saturating_sub(1);
        if !self.waits_for_channels() {
            self.strays.clear();
        }
    }

    /// Whether a channel that nobody knows may turn out to be one of ours.
    fn waits_for_channels(&self) -> bool {
        self.placing > 0 || !self.paths.is_empty() || self.entrance.is_waited_for()
    }

    /// Keeps a message about a channel that nobody knows, while one may become known.
    pub(super) fn stray(&mut self, channel: &str, frame: &Frame) {
        if self.waits_for_channels() && !channel.is_empty() {
            if self.strays.len() >= MAX_STRAYS {
                self.strays.pop_front();
            }
            self.strays.push_back((channel.to_owned(), frame.clone()));
        }
    }

    /// A channel is a call's own. Takes what was said of it before that was known.
    pub(super) fn is_ours(&mut self, id: CallId, channel: &str, now: Now) -> Vec<SipEvent> {
        self.books.is_own(id, channel);
        let mut out = self.books.own_is(id, Sign::Dialing, now);
        out.extend(self.catch_strays(channel, now));
        out
    }

    /// A channel is another one of a call.
    pub(super) fn is_other(&mut self, id: CallId, channel: &str, now: Now) -> Vec<SipEvent> {
        self.books.joins(id, channel);
        if self.books.leg(channel) == Some(Leg::Other(id)) {
            self.catch_strays(channel, now)
        } else {
            Vec::new()
        }
    }

    /// Another channel is the call from now on; the one before stays one of its channels.
    pub(super) fn becomes(&mut self, id: CallId, channel: &str, now: Now) -> Vec<SipEvent> {
        let before = self.books.own_channel(id);
        let mut out = self.is_ours(id, channel, now);
        if let Some(before) = before.filter(|before| before != channel) {
            out.extend(self.is_other(id, &before, now));
        }
        out
    }

    pub(super) fn catch_strays(&mut self, channel: &str, now: Now) -> Vec<SipEvent> {
        let (ours, rest): (VecDeque<_>, _) = std::mem::take(&mut self.strays)
            .into_iter()
            .partition(|(of, _)| of == channel);
        self.strays = rest;
        let mut out = Vec::new();
        for (_, frame) in ours {
            out.extend(self.told(&frame, now));
        }
        out
    }

    /// The modules of our calls' channels, beside those that are always asked for theirs.
    pub(super) fn more_modules(&self) -> Vec<String> {
        let lines = self.books.lines.values();
        let channels = lines.flat_map(|line| std::iter::once(&line.own).chain(&line.others));
        let modules = channels.filter_map(|channel| Some(channel.split_once('/')?.0));
        let more: BTreeSet<_> = modules
            .filter(|module| !module.is_empty() && !CHANNELS.contains(module))
            .collect();
        more.into_iter()
            .take(MAX_MODULES)
            .map(str::to_owned)
            .collect()
    }

    /// The list of the engine's channels: those of calls whose answer was lost are found by what we
    /// wrote into their address.
    pub(super) fn in_list(
        &mut self,
        list: &[Channel],
        asked: &[CallId],
        now: Now,
    ) -> Vec<SipEvent> {
        let mut out = Vec::new();
        for channel in list {
            let native = &channel.leg.native;
            if self.books.leg(native).is_some() {
                continue;
            }
            if let Some(&id) = self.paths.get(&channel.address) {
                self.paths.remove(&channel.address);
                out.extend(self.becomes(id, native, now));
            } else if let Some(id) = marked(&channel.address)
                && self.books.lines.contains_key(&id)
            {
                out.extend(self.is_other(id, native, now));
                if let (None, Some(far)) = (self.books.own_channel(id), &channel.leg.joined) {
                    out.extend(self.is_ours(id, far, now));
                }
            }
        }
        out.extend(self.waiting_in(list, now));
        out.extend(self.books.listed(&live_legs(list), asked, now));
        for &id in asked {
            self.first_is_up(id);
        }
        out
    }

    /// A run of the engine answers: enters what that says of the calls that were up. `lost_at` is when
    /// the link was lost.
    pub(super) fn answers(&mut self, run_id: Option<String>, lost_at: Timestamp) {
        let before = std::mem::replace(&mut self.run_id, run_id);
        if before.is_some() && before != self.run_id {
            tracing::warn!("yate: the engine was restarted");
            self.books.restarted(lost_at);
            self.orders.restarted();
            self.ended_channels.clear();
            // The channels of the run before have no name any more: a new one may be another's.
            self.books.forget_channels();
            self.books.door.forget();
        }
    }
}

impl Deref for Desk {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl DerefMut for Desk {
    fn deref_mut(&mut self) -> &mut Books {
        &mut self.books
    }
}

impl Book for Desk {
    type Todo = Task;

    fn calls(&self) -> &Calls {
        &self.books.calls
    }

    fn take_todo(&mut self) -> Vec<Task> {
        let todo = self.books.take_todo().into_iter();
        let mut todo: Vec<_> = todo
            .chain(self.orders.take_todo())
            .map(Task::Books)
            .collect();
        if self.orders.has_new_left() {
            todo.push(Task::Left);
        }
        todo
    }

    fn settle_todo(id: CallId) -> Task {
        Task::Books(Todo::Settle(id))
    }

    fn next_timeout(&self) -> Option<Instant> {
        let limits = self.limits.next();
        [self.books.next_timeout(), limits]
            .into_iter()
            .flatten()
            .min()
    }

    fn timeout(&mut self, now: Now) {
        self.books.timeout(now);
        let books = &self.books;
        // One that came in may have become a call of people again.
        let answered = |id| books.is_fax(id).then(|| books.calls.is_answered(id));
        for id in self.limits.due(now.instant, answered) {
            self.books.hang_up_when_there(id, now);
        }
    }

    fn requested(&mut self, id: CallId, now: Now) -> bool {
        self.books.requested(id, now)
    }

    fn taken(&mut self, id: CallId, now: Now) -> Vec<SipEvent> {
        self.books.taken(id, now)
    }

    fn unsure(&mut self, id: CallId, now: Now) {
        self.books.unsure(id, now);
    }

    fn lose(&mut self, id: CallId, error: Error) -> Vec<SipEvent> {
        self.paths.retain(|_, call| *call != id);
        self.over_unseen(id);
        self.notices.over(id);
        self.books.lose(id, error)
    }

    fn missed_events(&mut self) {
        self.strays.clear();
        self.entrance.forget();
        self.notices.forget();
        self.books.missed_events();
    }

    fn forget_connection(&mut self) {
        self.strays.clear();
        self.entrance.forget();
        self.orders.forget_connection();
        self.books.door.forget();
        self.paths.clear();
        self.placing = 0;
    }

    fn snapshot(&self, snapshot: &mut Snapshot) {
        snapshot.faxes = self.books.faxes();
        snapshot.conferences = self.orders.rooms.list();
        snapshot.incoming = self.books.waiting();
    }
}
