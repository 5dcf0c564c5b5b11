//! The state that all connections and calls of a mock share.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use faxbot_core::{Timestamp, clock::Clock, clock::TokioClock};
use faxbot_sip::protocol::ami::server::MessageBuilder;
use tokio::sync::{Notify, mpsc, watch};

use super::{
    account::{Account, Classes},
    bridge::Bridge,
    channel::{Channel, Channels, Party, Signal, cause_text},
    confbridge::Room,
    dialplan::Dialplan,
    features::Features,
    files::Paths,
    filter::Filters,
    record::{ReceivedFax, Record},
    script::{CallScript, Flavour, ReplyFault, Timings},
};

pub(super) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

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

pub(super) struct World {
    pub config: Config,
    pub clock: TokioClock,
    /// `${ENTITYID}`: each mock is a server of its own, over all its runs.
    pub entity: String,
    /// Told after every change that a test may wait for.
    pub changed: Notify,
    state: Mutex<State>,
    jobs: mpsc::UnboundedSender<Job>,
}

/// How the connections are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    No,
    /// What is queued goes out first.
    Drained,
    /// At once.
    Cut,
}

pub(super) struct Client {
    pub mask: Classes,
    pub filters: Filters,
    pub user: Option<String>,
    // Not bounded: Asterisk queues events for a session without limit, and a mock that dropped
    // some would test another server.
    pub events: mpsc::UnboundedSender<Bytes>,
    pub closing: watch::Sender<Closing>,
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

pub(super) struct State {
    pub channels: Channels,
    pub bridges: BTreeMap<String, Bridge>,
    /// Conferences by their name.
    pub rooms: BTreeMap<String, Room>,
    pub db: BTreeMap<String, String>,
    pub dialplan: Dialplan,
    pub clients: HashMap<u32, Client>,
    pub fax: BTreeMap<u32, FaxSession>,
    pub fax_counters: FaxCounters,
    pub features: Features,
    pub received: Vec<ReceivedFax>,
    pub record: Record,
    pub rules: Vec<(String, CallScript)>,
    pub next_calls: VecDeque<CallScript>,
    pub next_replies: Vec<(String, ReplyFault)>,
    pub globals: BTreeMap<String, String>,
    pub started: Timestamp,
    pub processed: u32,
    pub booted: bool,
    pub listening: bool,
    pub shutting_down: bool,
    pub sends_cdr: bool,
    pub unique: u32,
    pub names: u32,
    pub fax_number: u32,
    pub client_number: u32,
    /// Ends what runs when the server stops.
    pub run: watch::Sender<u32>,
}

fn entity() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    format!("02:fc:00:00:{high:02x}:{low:02x}")
}

impl World {
    pub(super) fn new(
        config: Config,
        dialplan: Dialplan,
        rules: Vec<(String, CallScript)>,
        jobs: mpsc::UnboundedSender<Job>,
    ) -> Self {
        let clock = TokioClock::new();
        let started = clock.timestamp();
        let sends_cdr = config.cdr;
        Self {
            config,
            clock,
            entity: entity(),
            changed: Notify::new(),
            jobs,
            state: Mutex::new(State {
                channels: Channels::default(),
                bridges: BTreeMap::new(),
                rooms: BTreeMap::new(),
                db: BTreeMap::new(),
                dialplan,
                clients: HashMap::new(),
                fax: BTreeMap::new(),
                fax_counters: FaxCounters::default(),
                features: Features::default(),
                received: Vec::new(),
                record: Record::default(),
                rules,
                next_calls: VecDeque::new(),
                next_replies: Vec::new(),
                globals: BTreeMap::new(),
                started,
                processed: 0,
                booted: true,
                listening: true,
                shutting_down: false,
                sends_cdr,
                unique: 0,
                names: 0,
                fax_number: 0,
                client_number: 0,
                run: watch::Sender::new(0),
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes who waits for it.
    pub(super) fn change<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        let result = with(&mut self.lock());
        self.changed.notify_waiters();
        result
    }

    /// Runs a job of this run of the server: it ends with the server.
    pub(super) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        let mut run = self.lock().run.subscribe();
        let job = Box::pin(async move {
            tokio::select! {
                () = job => {}
                _ = run.changed() => {}
            }
        });
        // The root task is gone only when the mock is dropped, and then nobody waits.
        let _gone = self.jobs.send(job);
    }

    /// Runs a job that outlives a stop of the server.
    pub(super) fn spawn_free(&self, job: impl Future<Output = ()> + Send + 'static) {
        let _gone = self.jobs.send(Box::pin(job));
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }

    /// The cause that a normal hang-up of the far end has: Asterisk 22 shows none, 16.28 shows 16.
    pub(super) fn far_cause(&self) -> Option<u32> {
        self.v16().then_some(16)
    }

    pub(super) fn v16(&self) -> bool {
        self.config.flavour == Flavour::V16
    }
}

impl State {
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
        self.clients.values().any(|client| client.mask.has(class))
    }

    /// Sends an event to every client that wants its class.
    pub(super) fn emit(&mut self, class: &'static str, event: MessageBuilder) {
        if !self.wanted(class) {
            return;
        }
        let Ok(message) = event.build() else { return };
        self.record.server(&message, None);
        for client in self.clients.values() {
            if client.mask.has(class) && client.filters.pass_message(&message) {
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
            channel.signal.send_replace(signal);
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
        self.features.gone(&channel);
        // Who waits for it in a bridge that it never reached waits in vain.
        if let Some(bridge) = channel.moving {
            self.dissolve(&bridge);
        }
    }

    /// The script of the next call to this dial string.
    pub(super) fn script_for(&mut self, channel: &str) -> CallScript {
        if let Some(script) = self.next_calls.pop_front() {
            return script;
        }
        let dialled = dialled(channel);
        self.rules
            .iter()
            .rev()
            .find(|(pattern, _)| matches(pattern, dialled) || matches(pattern, channel))
            .map_or_else(CallScript::answer, |(_, script)| script.clone())
    }

    /// The first fault that waits for this action.
    pub(super) fn take_fault(&mut self, action: &str) -> Option<ReplyFault> {
        let at = self
            .next_replies
            .iter()
            .position(|(name, _)| name.eq_ignore_ascii_case(action))?;
        Some(self.next_replies.remove(at).1)
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

/// `*` at the end stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
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

    #[test]
    fn a_star_at_the_end_of_a_pattern_stands_for_anything() {
        assert!(matches("+1555*", "+15551234"));
        assert!(matches("*", "x"));
        assert!(!matches("700", "7001"));
    }
}
