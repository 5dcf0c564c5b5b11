//! The state that all connections and calls of a mock share.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use faxbot_core::{Timestamp, clock::Clock, clock::TokioClock};
use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{
    account::{Account, Classes},
    bridge::Bridge,
    builder::Setup,
    channel::{Channel, Channels, Signal, cause_text},
    confbridge::Room,
    connection,
    dialplan::Dialplan,
    features::Features,
    filter::Filters,
    flavour::Flavour,
    incoming, lifecycle, transcript,
};
use crate::server::{
    base::{Base, Common, Io, Job, Jobs, Server, Shared},
    files::Paths,
    party::Party,
    script::{CallScript, Timings},
};

/// What does not change while the mock runs.
#[derive(Debug)]
pub(super) struct Config {
    pub accounts: Vec<Account>,
    pub flavour: Flavour,
    pub timings: Timings,
    pub paths: Paths,
    pub fax: bool,
    pub status_events: bool,
    pub music: bool,
    pub cdr: bool,
    pub boot: Duration,
}

/// The server of a mocked Asterisk.
pub struct World {
    pub(super) config: Config,
    /// `${ENTITYID}`: each mock is a server of its own, over all its runs.
    pub(super) entity: String,
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
    pub(super) mask: Classes,
    pub(super) filters: Filters,
    pub(super) user: Option<String>,
}

pub(super) struct FaxSession {
    pub channel: String,
    pub file: String,
    pub page: u32,
    pub transmitted: u32,
    pub ecm: bool,
    pub rate: u32,
    pub resolution: &'static str,
    pub t38: bool,
    pub receives: bool,
    pub bad_lines: u32,
}

#[derive(Default)]
pub(super) struct FaxCounters {
    pub attempts: u32,
    pub receives: u32,
    pub completed: u32,
    pub failed: u32,
}

/// What happens in the server.
pub struct State {
    common: Common<Session>,
    pub(super) channels: Channels,
    pub(super) bridges: BTreeMap<String, Bridge>,
    /// Conferences by their name.
    pub(super) rooms: BTreeMap<String, Room>,
    pub(super) db: BTreeMap<String, String>,
    pub(super) dialplan: Dialplan,
    pub(super) fax: BTreeMap<u32, FaxSession>,
    pub(super) fax_counters: FaxCounters,
    pub(super) features: Features,
    pub(super) globals: BTreeMap<String, String>,
    pub(super) started: Timestamp,
    pub(super) processed: u32,
    pub(super) booted: bool,
    pub(super) sends_cdr: bool,
    pub(super) unique: u32,
    pub(super) names: u32,
    pub(super) fax_number: u32,
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

fn entity() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    format!("02:fc:00:00:{high:02x}:{low:02x}")
}

impl Server for World {
    type State = State;
    type Client = Session;
    type Setup = Setup;

    const NAME: &'static str = "MockAsterisk";

    fn open(mut setup: Setup, shared: Shared, jobs: Jobs) -> Self {
        if setup.accounts.is_empty() {
            setup.accounts.push(Account::new("faxbot", "s3cret"));
        }
        let clock = TokioClock::new();
        let state = State::new(&setup, &shared, clock.timestamp());
        let state = State {
            dialplan: setup.dialplan,
            ..state
        };
        Self {
            config: Config {
                accounts: setup.accounts,
                flavour: setup.flavour,
                timings: shared.timings.unwrap_or_default(),
                paths: shared.paths,
                fax: setup.fax,
                status_events: setup.status_events,
                music: setup.music,
                cdr: setup.cdr,
                boot: setup.boot,
            },
            entity: entity(),
            base: Base::new(clock, state, jobs),
        }
    }

    fn base(&self) -> &Base<State> {
        &self.base
    }

    fn serve(self: Arc<Self>, io: Box<dyn Io>, peer: String) -> Job {
        Box::pin(connection::serve(self, io, peer))
    }

    fn url(&self, address: SocketAddr) -> String {
        let account = self.config.accounts.first();
        let (user, secret) = account.map_or(("", ""), |a| (a.name.as_str(), a.secret.as_str()));
        format!("ami://{user}:{secret}@{address}")
    }

    fn stopping(&self, state: &mut State, orderly: bool, restart: bool) {
        lifecycle::stopping(state, orderly, restart);
    }

    fn started(self: &Arc<Self>) {
        lifecycle::started(self);
    }

    fn answered(state: &State, id: &str) -> Option<bool> {
        state.channel(id).map(|channel| channel.state == 6)
    }

    fn channels(state: &State) -> Vec<String> {
        let channels = state.channels.iter();
        channels.map(|channel| channel.id.clone()).collect()
    }
}

impl World {
    /// The cause that a normal hang-up of the far end has: Asterisk 22 shows none, 16.28 shows 16.
    pub(super) fn far_cause(&self) -> Option<u32> {
        self.v16().then_some(16)
    }

    pub(super) fn v16(&self) -> bool {
        self.config.flavour == Flavour::V16
    }
}

impl State {
    fn new(setup: &Setup, shared: &Shared, started: Timestamp) -> Self {
        Self {
            common: Common::new(transcript::MASKING, shared.rules.clone()),
            channels: Channels::default(),
            bridges: BTreeMap::new(),
            rooms: BTreeMap::new(),
            db: BTreeMap::new(),
            dialplan: Dialplan::default(),
            fax: BTreeMap::new(),
            fax_counters: FaxCounters::default(),
            features: Features::default(),
            globals: BTreeMap::new(),
            started,
            processed: 0,
            booted: true,
            sends_cdr: setup.cdr,
            unique: 0,
            names: 0,
            fax_number: 0,
        }
    }

    pub(super) fn channel(&self, id: &str) -> Option<&Channel> {
        self.channels.get(id)
    }

    pub(super) fn channel_mut(&mut self, id: &str) -> Option<&mut Channel> {
        self.channels.get_mut(id)
    }

    /// By its name or its `Uniqueid`.
    pub(super) fn find(&self, name: &str) -> Option<&Channel> {
        self.channels.find(name)
    }

    /// Whether anybody is there to hear of a class. Events that nobody gets are not made: most of
    /// a busy server's are `VarSet`.
    fn wanted(&self, class: &str) -> bool {
        self.clients
            .values()
            .any(|client| client.own.mask.has(class))
    }

    /// Sends an event to every client that wants its class.
    pub(super) fn emit(&mut self, class: &'static str, event: MessageBuilder) {
        if !self.wanted(class) {
            return;
        }
        let Ok(message) = event.build() else { return };
        self.record.server(message.raw().clone(), None);
        for client in self.clients.values() {
            if client.own.mask.has(class) && client.own.filters.pass_message(&message) {
                let _closed = client.events.send(message.raw().clone());
            }
        }
    }

    /// An event about one channel.
    pub(super) fn channel_event(
        &mut self,
        name: &str,
        class: &'static str,
        id: &str,
        headers: &[(&str, &str)],
    ) {
        let Some(channel) = self.channel(id).filter(|_| self.wanted(class)) else {
            return;
        };
        let mut event = channel.snapshot(start(name, class), "");
        for (header, value) in headers {
            event = event.header(header, value);
        }
        self.emit(class, event);
    }

    /// `DialBegin`, `DialState`, `DialEnd` of a channel that `by` dials, or an `Originate` does.
    pub(super) fn dial_event(
        &mut self,
        name: &str,
        by: Option<&str>,
        id: &str,
        header: (&str, &str),
    ) {
        let Some(channel) = self.channel(id) else {
            return;
        };
        let mut event = start(name, "call");
        if let Some(by) = by.and_then(|by| self.channel(by)) {
            event = by.snapshot(event, "");
        }
        let event = channel.snapshot(event, "Dest").header(header.0, header.1);
        self.emit("call", event);
    }

    pub(super) fn device(&mut self, id: &str, state: &str) {
        let Some(device) = self.channel(id).map(Channel::device) else {
            return;
        };
        let event = start("DeviceStateChange", "call")
            .header("Device", device)
            .header("State", state);
        self.emit("call", event);
    }

    pub(super) fn set_state(&mut self, id: &str, state: u8, now: Timestamp) {
        if let Some(channel) = self.channel_mut(id) {
            channel.state = state;
            if state == 6 {
                channel.answered = Some(now);
            }
            channel.state_told.send_replace(state);
        }
        self.channel_event("Newstate", "call", id, &[]);
    }

    /// Sets a channel variable, with its event.
    pub(super) fn set_var(&mut self, id: &str, name: &str, value: &str) {
        if let Some(channel) = self.channel_mut(id) {
            channel.vars.insert(name.to_owned(), value.to_owned());
        }
        let shown = value.replace('\r', "\\r").replace('\n', "\\n");
        self.channel_event(
            "VarSet",
            "dialplan",
            id,
            &[("Variable", name), ("Value", &shown)],
        );
    }

    pub(super) fn set_party(&mut self, id: &str, party: &Party) {
        if let Some(channel) = self.channel_mut(id) {
            channel.caller = Some(party.clone());
        }
        self.channel_event(
            "NewCallerid",
            "call",
            id,
            &[("CID-CallingPres", "0 (Presentation Allowed, Not Screened)")],
        );
        if let Some(channel) = self.channel_mut(id) {
            channel.connected = Some(party.clone());
        }
        self.channel_event("NewConnectedLine", "call", id, &[]);
    }

    /// `HangupRequest` or `SoftHangupRequest`, with the cause headers that the channel has.
    pub(super) fn hangup_request(&mut self, name: &str, id: &str, cause: Option<u32>) {
        let tech = self.channel(id).and_then(|channel| channel.tech_cause);
        let cause = cause.map(|cause| cause.to_string());
        let tech = tech.map(|tech| tech.to_string());
        let mut headers = Vec::new();
        headers.extend(cause.as_deref().map(|cause| ("Cause", cause)));
        headers.extend(tech.as_deref().map(|tech| ("TechCause", tech)));
        self.channel_event(name, "call", id, &headers);
        if let Some(channel) = self.channel_mut(id) {
            channel.end_told |= name == "HangupRequest";
        }
    }

    /// Asks something of the task that runs a channel.
    pub(super) fn signal(&self, id: &str, signal: Signal) {
        if let Some(channel) = self.channel(id) {
            channel.tell(signal);
        }
    }

    pub(super) fn cdr(&mut self, id: &str, disposition: &str, now: Timestamp) {
        let Some(channel) = self.channel(id).filter(|_| self.sends_cdr) else {
            return;
        };
        let party = channel.caller.clone().unwrap_or_default();
        let (last, data) = if channel.application.is_empty() {
            ("AppDial2", "(Outgoing Line)")
        } else {
            (channel.application.as_str(), channel.data.as_str())
        };
        let seconds = |from: Timestamp| now.duration_since(from).as_secs().to_string();
        let event = start("Cdr", "cdr")
            .header("AccountCode", &channel.account)
            .header("Source", &party.number)
            .header("Destination", &channel.exten)
            .header("DestinationContext", &channel.context)
            .header("CallerID", format!("\"{}\" <{}>", party.name, party.number))
            .header("Channel", &channel.name)
            .header("DestinationChannel", "")
            .header("LastApplication", last)
            .header("LastData", data)
            .header("StartTime", date_time(channel.created))
            .header(
                "AnswerTime",
                channel.answered.map(date_time).unwrap_or_default(),
            )
            .header("EndTime", date_time(now))
            .header("Duration", seconds(channel.created))
            .header(
                "BillableSeconds",
                channel.answered.map_or("0".to_owned(), seconds),
            )
            .header("Disposition", disposition)
            .header("AMAFlags", "DOCUMENTATION")
            .header("UniqueID", &channel.id)
            .header("UserField", "");
        self.emit("cdr", event);
    }

    /// `Hangup`, and the channel is gone.
    pub(super) fn hangup_event(&mut self, id: &str) {
        let Some(channel) = self.channel(id) else {
            return;
        };
        let (cause, tech) = (channel.cause, channel.tech_cause);
        let text = cause_text(cause);
        let cause = cause.to_string();
        let tech = tech.map(|tech| tech.to_string());
        let mut headers = vec![("Cause", cause.as_str()), ("Cause-txt", text)];
        headers.extend(tech.as_deref().map(|tech| ("TechCause", tech)));
        self.channel_event("Hangup", "call", id, &headers);
    }

    pub(super) fn remove(&mut self, id: &str) {
        let Some(channel) = self.channels.remove(id) else {
            return;
        };
        self.features.agi.remove(&channel.id);
        if let Some(caller) = self.callers.get_mut(&channel.id) {
            incoming::ended(caller, &channel);
        }
        // Who waits for it in a bridge that it never reached waits in vain.
        if let Some(bridge) = channel.moving {
            self.dissolve(&bridge);
        }
    }

    /// The script of the next call to this dial string.
    pub(super) fn script_of(&mut self, channel: &str) -> CallScript {
        self.script_for(dialled(channel), channel)
    }
}

/// An event's first two headers.
pub(super) fn start(name: &str, class: &str) -> MessageBuilder {
    MessageBuilder::event(name).header("Privilege", format!("{class},all"))
}

/// `2026-11-21 03:35:09`.
pub(super) fn date_time(at: Timestamp) -> String {
    let text = at.to_seconds().to_string();
    text.trim_end_matches('Z').replace('T', " ")
}

/// The number or name that a dial string calls: `700` of `PJSIP/700@trunk` and `Local/700@ctx/n`.
pub(super) fn dialled(channel: &str) -> &str {
    let rest = channel.split_once('/').map_or(channel, |(_, rest)| rest);
    match rest.split_once('@') {
        Some((number, _)) => number.rsplit_once('/').map_or(number, |(_, number)| number),
        None => rest.rsplit_once('/').map_or(rest, |(_, number)| number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialled_number_is_found_in_every_form_of_dial_string() {
        for (channel, number) in [
            ("PJSIP/700@trunk", "700"),
            ("PJSIP/+15551234567@trunk", "+15551234567"),
            ("Local/601@default/n", "601"),
            ("PJSIP/peer", "peer"),
            ("SIP/trunk/5551234", "5551234"),
            ("DAHDI/g1/5551234", "5551234"),
        ] {
            assert_eq!(dialled(channel), number, "{channel}");
        }
    }
}
