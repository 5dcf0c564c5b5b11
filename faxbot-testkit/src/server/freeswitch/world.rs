//! The state that all connections and calls of a mock share, and how its events are made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use faxbot_core::{Timestamp, clock::Clock, clock::TokioClock};
use faxbot_sip::protocol::esl::Format;
use tokio::time::Duration;
use uuid::Uuid;

use super::{
    builder::Setup,
    cause::Cause,
    channel::{By, Channel, Channels, State as ChannelState},
    conference::Room,
    connection,
    event::{Event, gmt, origin, stamp},
    lifecycle,
    recording::Recording,
    subscribe::Subscription,
    transcript,
};
use crate::server::{
    base::{Base, Common, Io, Job, Jobs, Server, Shared},
    files::Paths,
    kept::Kept,
    script::Timings,
};

pub(super) const HOST: &str = "fs.example";

/// How long FreeSWITCH waits for a login (recording `01_pre_auth_timeout`).
const LOGIN: Duration = Duration::from_secs(25);

/// The server of a mocked FreeSWITCH.
pub struct World {
    pub(super) setup: Setup,
    pub(super) timings: Timings,
    pub(super) paths: Paths,
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

/// What is known of a client.
#[derive(Debug, Default)]
pub struct Session {
    pub(super) subscription: Subscription,
}

/// What happens in the server.
pub struct State {
    common: Common<Session>,
    pub(super) core_uuid: String,
    pub(super) sequence: u64,
    pub(super) started: Timestamp,
    pub(super) channels: Channels,
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) recordings: Vec<Recording>,
    /// `hash`: lost with the run.
    pub(super) hash: BTreeMap<String, String>,
    /// `db`: realm and key. It outlives the run.
    pub(super) db: BTreeMap<(String, String), String>,
    pub(super) globals: BTreeMap<String, String>,
    pub(super) max_sessions: u32,
    /// `fsctl pause`.
    pub(super) paused: bool,
    pub(super) members: u32,
    pub(super) tasks: u32,
    /// Users that do not exist, or are not registered.
    pub(super) no_endpoints: BTreeSet<String>,
    /// Who takes the links of the application `socket` in memory.
    pub(super) sockets: Option<Arc<Taker>>,
    pub(super) redirected: Kept<String>,
    pub(super) now: Timestamp,
}

pub(super) type Taker = dyn Fn(tokio::io::DuplexStream) -> bool + Send + Sync;

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

pub(super) fn fresh() -> String {
    Uuid::new_v4().to_string()
}

impl Server for World {
    type State = State;
    type Client = Session;
    type Setup = Setup;

    const NAME: &'static str = "MockFreeSwitch";

    fn open(setup: Setup, shared: Shared, jobs: Jobs) -> Self {
        let clock = TokioClock::new();
        let timings = shared
            .timings
            .unwrap_or_else(|| Timings::quick().login_failure(Duration::ZERO).login(LOGIN));
        let state = State {
            common: Common::new(transcript::MASKING, shared.rules),
            core_uuid: fresh(),
            sequence: 500,
            started: clock.timestamp(),
            channels: Channels::default(),
            rooms: BTreeMap::new(),
            recordings: Vec::new(),
            hash: BTreeMap::new(),
            db: BTreeMap::new(),
            globals: setup.globals.clone(),
            max_sessions: setup.max_sessions,
            paused: false,
            members: 1,
            tasks: 4,
            no_endpoints: BTreeSet::new(),
            sockets: None,
            redirected: Kept::default(),
            now: clock.timestamp(),
        };
        Self {
            setup,
            timings,
            paths: shared.paths,
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
        format!("esl://:{}@{address}", self.setup.password)
    }

    fn stopping(&self, state: &mut State, orderly: bool, _restart: bool) {
        lifecycle::stopping(self, state, orderly);
    }

    fn opened(self: &Arc<Self>) {
        lifecycle::beat(self);
    }

    fn started(self: &Arc<Self>) {
        lifecycle::started(self);
    }

    fn answered(state: &State, id: &str) -> Option<bool> {
        state.channels.get(id).map(Channel::is_answered)
    }

    fn channels(state: &State) -> Vec<String> {
        let channels = state.channels.iter();
        channels.map(|channel| channel.id.clone()).collect()
    }
}

impl World {
    /// Changes the state with the time set, and wakes who waits for it.
    pub(super) fn with<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let now = self.now();
        self.change(|state| {
            state.now = now;
            with(state)
        })
    }

    /// Whether a module is loaded.
    pub(super) fn has(&self, module: &str) -> bool {
        !self.setup.missing.contains(module)
    }
}

impl State {
    /// The start of an event (`switch_event_prep_for_delivery` in `switch_event.c`).
    pub(super) fn event(&mut self, name: &str, subclass: &str) -> Event {
        self.sequence += 1;
        let mut event = Event::default();
        if !subclass.is_empty() {
            event.push("Event-Subclass", subclass);
        }
        event.push("Event-Name", name);
        self.about(&mut event, origin(name, subclass));
        event
    }

    /// What every event says of the server and of itself.
    pub(super) fn about(&self, event: &mut Event, origin: (&str, &str, &str)) {
        let at = self.now;
        event.push("Core-UUID", &self.core_uuid);
        event.push("FreeSWITCH-Hostname", HOST);
        event.push("FreeSWITCH-Switchname", HOST);
        event.push("FreeSWITCH-IPv4", "127.0.0.1");
        event.push("FreeSWITCH-IPv6", "::1");
        event.push("Event-Date-Local", stamp(at));
        event.push("Event-Date-GMT", gmt(at));
        event.push("Event-Date-Timestamp", at.as_microsecond().to_string());
        event.push("Event-Calling-File", origin.0);
        event.push("Event-Calling-Function", origin.1);
        event.push("Event-Calling-Line-Number", origin.2);
        event.push("Event-Sequence", self.sequence.to_string());
    }

    /// Whether anybody is there to hear of it. Events that nobody gets are not made.
    pub(super) fn wanted(&self, name: &str, subclass: &str) -> bool {
        self.clients
            .values()
            .any(|client| client.own.subscription.names(name, subclass))
    }

    /// Sends an event to every client that wants it, each in its form.
    pub(super) fn emit(&mut self, event: &Event) {
        let name = event.get("Event-Name").unwrap_or_default().to_owned();
        let subclass = event.get("Event-Subclass").unwrap_or_default().to_owned();
        let mut forms = Vec::new();
        let mut first = None;
        for client in self.clients.values() {
            let subscription = &client.own.subscription;
            let Some(format) = subscription.format() else {
                continue;
            };
            if !subscription.wants(&name, &subclass, event) {
                continue;
            }
            let known = forms.iter().find(|(known, _)| *known == format);
            let bytes = match known {
                Some((_, bytes)) => bytes,
                None => {
                    forms.push((format, event.encode(format)));
                    match forms.last() {
                        Some((_, bytes)) => bytes,
                        None => continue,
                    }
                }
            };
            first.get_or_insert_with(|| bytes.clone());
            let _closed = client.events.send(bytes.clone());
        }
        if let Some(bytes) = first {
            self.record.server(bytes, None);
        }
    }

    /// An event that is about no channel.
    pub(super) fn plain_event(&mut self, name: &str, headers: &[(&str, &str)], body: Option<&str>) {
        if !self.wanted(name, "") {
            return;
        }
        let mut event = self.event(name, "");
        for (name, value) in headers {
            event.push(name, *value);
        }
        event.body = body.map(str::to_owned);
        self.emit(&event);
    }

    /// An event about one channel.
    pub(super) fn tell(&mut self, name: &str, id: &str) {
        self.tell_with(name, "", id, &[]);
    }

    /// An event about one channel, with more headers behind it.
    pub(super) fn tell_with(
        &mut self,
        name: &str,
        subclass: &str,
        id: &str,
        more: &[(&str, &str)],
    ) {
        if !self.wanted(name, subclass) || self.channels.get(id).is_none() {
            return;
        }
        let mut event = self.event(name, subclass);
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        if let (Some((cause, _)), "CHANNEL_HANGUP_COMPLETE") = (channel.ended, name) {
            // It is there twice (all recordings).
            event.push("Hangup-Cause", cause);
        }
        let other = channel.peer.as_deref().or(channel.other.as_deref());
        let other = other.and_then(|other| self.channels.get(other));
        channel.write(&mut event, false);
        if let Some(other) = other {
            let word = if channel.inbound || other.inbound == channel.inbound {
                "originatee"
            } else {
                "originator"
            };
            event.push("Other-Type", word);
            other.write_profile(&mut event, "Other-Leg", other.inbound);
        }
        if has_variables(name) {
            for (name, value) in channel.vars.iter() {
                event.push(&format!("variable_{name}"), value);
            }
        }
        for (name, value) in more {
            event.push(name, *value);
        }
        self.emit(&event);
    }

    /// `CHANNEL_STATE`.
    pub(super) fn set_state(&mut self, id: &str, to: ChannelState) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.state = to;
            channel.next = None;
        }
        self.tell("CHANNEL_STATE", id);
    }

    /// `CHANNEL_CALLSTATE`.
    pub(super) fn set_callstate(&mut self, id: &str, to: &'static str) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let was = std::mem::replace(&mut channel.callstate, to);
        if was == to {
            return;
        }
        let number = match was {
            "DOWN" => "0",
            "RINGING" => "2",
            "EARLY" => "3",
            "ACTIVE" => "4",
            "HELD" => "5",
            "UNHELD" => "8",
            _ => "6",
        };
        let more = [
            ("Original-Channel-Call-State", was),
            ("Channel-Call-State-Number", number),
        ];
        self.tell_with("CHANNEL_CALLSTATE", "", id, &more);
    }

    /// Sets a variable as the server does for what comes from outside: a value with `${` is left
    /// out (recording `09_hook_hostile_values`).
    pub(super) fn set_foreign(&mut self, id: &str, name: &str, value: &str) {
        if !value.contains("${") {
            self.set_var(id, name, value);
        }
    }

    pub(super) fn set_var(&mut self, id: &str, name: &str, value: &str) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.vars.set(name, value);
        }
    }

    pub(super) fn var(&self, id: &str, name: &str) -> Option<String> {
        let channel = self.channels.get(id)?;
        channel.vars.get(name).map(str::to_owned)
    }

    /// A channel begins to end: `uuid_exists` is false from now on. What else belongs to its end is
    /// done by its task.
    pub(super) fn hang_up(&mut self, id: &str, cause: Cause, by: By) -> bool {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(id) else {
            return false;
        };
        if channel.ended.is_some() {
            return false;
        }
        channel.ended = Some((cause, by));
        channel.answer = "hangup";
        channel.next = Some(ChannelState::Hangup);
        channel.times.hangup = Some(now);
        self.tell("CHANNEL_HANGUP", id);
        if let Some(channel) = self.channels.get(id) {
            channel.ask(super::channel::Signal::Hangup);
            channel.tell();
        }
        true
    }

    /// A channel and its script's dialled number, for the test's view.
    pub(super) fn live(&self, id: &str) -> Option<&Channel> {
        self.channels.live(id)
    }

    pub(super) fn uptime(&self) -> Duration {
        self.now.duration_since(self.started)
    }
}

/// Which events have the variables of their channel (`switch_channel_event_set_extended_data`;
/// counted over all recordings).
fn has_variables(name: &str) -> bool {
    !matches!(
        name,
        "CHANNEL_STATE"
            | "CHANNEL_CALLSTATE"
            | "CHANNEL_OUTGOING"
            | "DTMF"
            | "CODEC"
            | "PRIVATE_COMMAND"
    )
}

/// The form that a reply to `uuid_dump` and `connect` has.
pub(super) fn dump(state: &mut State, id: &str) -> Option<Event> {
    state.channels.get(id)?;
    let mut event = state.event("CHANNEL_DATA", "");
    let channel = state.channels.get(id)?;
    let other = channel.peer.as_deref().or(channel.other.as_deref());
    channel.write(&mut event, false);
    if let Some(other) = other.and_then(|other| state.channels.get(other)) {
        event.push("Other-Type", "originatee");
        other.write_profile(&mut event, "Other-Leg", other.inbound);
    }
    for (name, value) in channel.vars.iter() {
        event.push(&format!("variable_{name}"), value);
    }
    Some(event)
}

/// Whether a word names a form of events.
pub(super) fn format(word: &str) -> Option<Format> {
    match word {
        "plain" => Some(Format::Plain),
        "json" => Some(Format::Json),
        "xml" => Some(Format::Xml),
        _ => None,
    }
}
