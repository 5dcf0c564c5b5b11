//! The state that all connections and calls of a mock share.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use faxbot_core::{
    Timestamp,
    clock::{Clock as _, TokioClock},
};

use super::{
    builder::Setup,
    channel::{Channel, Kind},
    connection::{self, Session},
    lifecycle,
    msg::Msg,
    transcript,
};
use crate::server::{
    base::{Base, Common, Io, Job, Jobs, Server, Shared},
    files::Paths,
    script::Timings,
};

/// The name of the node.
pub(super) const NODE: &str = "pbx";

/// The engine's SIP port.
pub(super) const SIP_ADDRESS: &str = "127.0.0.1:5095";

/// What does not change while the mock runs.
#[derive(Debug)]
pub(super) struct Config {
    pub timings: Timings,
    pub paths: Paths,
    pub global: bool,
    pub fax: bool,
    pub generate: bool,
    pub messages: bool,
    /// `timeout` of the listener in ms.
    pub timeout: i64,
}

/// The engine of a mocked Yate.
pub struct World {
    pub(super) config: Config,
    base: Base<State>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl Deref for World {
    type Target = Base<State>;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

/// Channels in a conference.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Its `conf/N` channels.
    pub members: Vec<String>,
    /// The SIP leg or other channel behind each was two or more at once.
    pub was_shared: bool,
    /// Whoever is left alone stays (`lonely`).
    pub lonely: bool,
    /// The `conf/N` that records, and its `wave/N`.
    pub recorder: Option<(String, String)>,
}

/// What happens in the engine.
pub struct State {
    common: Common<Session>,
    clock: TokioClock,
    channels: HashMap<String, Channel>,
    serial: u64,
    numbers: HashMap<&'static str, u32>,
    /// The number of this run.
    pub(super) run_id: i64,
    bills: u32,
    pub(super) cdrs: u32,
    pub(super) requests: u64,
    /// Rules of `regexroute`, the last that matches counts.
    pub(super) routes: Vec<(String, String)>,
    pub(super) rooms: BTreeMap<String, Room>,
    /// Messages that the engine has queued.
    queue: VecDeque<Msg>,
    /// The run whose timer ticks.
    pub(super) ticking: Option<i64>,
    /// What became of incoming messages.
    pub(super) answers: BTreeMap<u32, Option<u16>>,
    /// How far ends answer messages, by their user.
    pub(super) replies: HashMap<String, u16>,
    /// Recordings whose file is to be left.
    pub(super) finished: Vec<(String, Duration)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

/// What all mocks share is read as the state's own.
impl Deref for State {
    type Target = Common<Session>;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl DerefMut for State {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.common
    }
}

impl Server for World {
    type State = State;
    type Client = Session;
    type Setup = Setup;

    const NAME: &'static str = "MockYate";

    fn open(setup: Setup, shared: Shared, jobs: Jobs) -> Self {
        let clock = TokioClock::new();
        let state = State {
            common: Common::new(transcript::MASKING, shared.rules),
            clock: clock.clone(),
            channels: HashMap::new(),
            serial: 0,
            numbers: HashMap::new(),
            run_id: clock.timestamp().as_second(),
            bills: 0,
            cdrs: 0,
            requests: 0,
            routes: setup.routes,
            rooms: BTreeMap::new(),
            queue: VecDeque::new(),
            ticking: None,
            answers: BTreeMap::new(),
            replies: HashMap::new(),
            finished: Vec::new(),
        };
        Self {
            config: Config {
                timings: shared.timings.unwrap_or_default(),
                paths: shared.paths,
                global: setup.global,
                fax: setup.fax,
                generate: setup.generate,
                messages: setup.messages,
                timeout: setup.timeout,
            },
            base: Base::new(clock, state, jobs),
        }
    }

    fn base(&self) -> &Base<State> {
        &self.base
    }

    fn serve(self: Arc<Self>, io: Box<dyn Io>, _peer: String) -> Job {
        Box::pin(connection::serve(self, io))
    }

    fn url(&self, address: SocketAddr) -> String {
        format!("yate://{address}")
    }

    fn stopping(&self, state: &mut State, orderly: bool, _restart: bool) {
        lifecycle::stopping(self, state, orderly);
    }

    fn started(self: &Arc<Self>) {
        lifecycle::started(self);
    }

    fn answered(state: &State, id: &str) -> Option<bool> {
        state.channel(id).map(|channel| channel.answered)
    }

    fn channels(state: &State) -> Vec<String> {
        state.ids()
    }
}

impl State {
    pub(super) fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }

    pub(super) fn channel(&self, id: &str) -> Option<&Channel> {
        self.channels.get(id)
    }

    pub(super) fn channel_mut(&mut self, id: &str) -> Option<&mut Channel> {
        self.channels.get_mut(id)
    }

    /// All channels in the order they were made.
    pub(super) fn ids(&self) -> Vec<String> {
        let mut all: Vec<&Channel> = self.channels.values().collect();
        all.sort_by_key(|channel| channel.serial);
        all.iter().map(|channel| channel.id.clone()).collect()
    }

    /// Channels of that module so far in this run.
    pub(super) fn total(&self, module: &str) -> u32 {
        self.numbers.get(module).copied().unwrap_or_default()
    }

    /// A channel of that kind with the next number.
    pub(super) fn make(&mut self, kind: Kind, incoming: bool) -> Channel {
        let number = self.numbers.entry(kind.module()).or_default();
        *number += 1;
        let id = format!("{}/{number}", kind.module());
        self.serial += 1;
        let mut channel = Channel::new(id, kind, incoming);
        channel.serial = self.serial;
        channel
    }

    pub(super) fn add(&mut self, channel: Channel) -> String {
        let id = channel.id.clone();
        self.channels.insert(id.clone(), channel);
        id
    }

    /// A call of its own.
    pub(super) fn next_bill(&mut self) -> String {
        self.bills += 1;
        format!("{}-{}", self.run_id, self.bills)
    }

    pub(super) fn take(&mut self, id: &str) -> Option<Channel> {
        self.channels.remove(id)
    }

    /// Nothing of the run is left.
    pub(super) fn forget(&mut self) {
        self.channels.clear();
        self.rooms.clear();
        self.queue.clear();
    }

    /// Another run begins.
    pub(super) fn restart(&mut self) {
        self.run_id = self.now().as_second().max(self.run_id + 1);
        self.numbers.clear();
        (self.bills, self.cdrs) = (0, 0);
    }

    /// A message for the engine's queue: it is dispatched when what runs now is over.
    pub(super) fn later(&mut self, msg: Msg) {
        if self.is_wanted(&msg.name) {
            self.queue.push_back(msg);
        }
    }

    pub(super) fn next_queued(&mut self) -> Option<Msg> {
        self.queue.pop_front()
    }
}
