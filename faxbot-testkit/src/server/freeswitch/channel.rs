//! A channel of the mock, and the headers that its events have.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use faxbot_core::Timestamp;
use tokio::sync::{Notify, oneshot, watch};

use super::{cause::Cause, event::Event, program::Program};
use crate::server::script::CallScript;

/// `Channel-State` with its number (`switch_channel_state_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    New,
    Init,
    Routing,
    Execute,
    ExchangeMedia,
    ConsumeMedia,
    Hangup,
    Reporting,
    Destroy,
    None,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::New => "CS_NEW",
            Self::Init => "CS_INIT",
            Self::Routing => "CS_ROUTING",
            Self::Execute => "CS_EXECUTE",
            Self::ExchangeMedia => "CS_EXCHANGE_MEDIA",
            Self::ConsumeMedia => "CS_CONSUME_MEDIA",
            Self::Hangup => "CS_HANGUP",
            Self::Reporting => "CS_REPORTING",
            Self::Destroy => "CS_DESTROY",
            Self::None => "CS_NONE",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::New => 0,
            Self::Init => 1,
            Self::Routing => 2,
            Self::Execute => 4,
            Self::ExchangeMedia => 5,
            Self::ConsumeMedia => 7,
            Self::Hangup => 10,
            Self::Reporting => 11,
            Self::Destroy => 12,
            Self::None => 13,
        }
    }
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The far end: a BYE, a CANCEL of a caller.
    Far,
    /// The far end, with this status instead of an answer.
    Refusal(u16),
    /// Something here.
    Here,
}

/// What is asked of the task that runs a channel.
#[derive(Debug, Clone)]
pub(super) enum Signal {
    /// Nothing.
    None,
    /// It is hung up; [`Channel::ended`] says how.
    Hangup,
    /// Leave what it does and do this.
    Go(Program),
    /// Leave what it does and talk with that channel.
    Bridge(String),
    /// Leave the application that it runs, and go on.
    Break,
}

/// An application that a client asked for while another one runs.
#[derive(Debug)]
pub(super) struct Private {
    pub name: String,
    pub args: String,
    pub loops: u32,
    pub event_uuid: Option<String>,
    pub done: Option<oneshot::Sender<()>>,
}

/// When things happened, as `Caller-Channel-*-Time`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub created: Option<Timestamp>,
    pub progress: Option<Timestamp>,
    pub progress_media: Option<Timestamp>,
    pub answered: Option<Timestamp>,
    pub bridged: Option<Timestamp>,
    pub transfer: Option<Timestamp>,
    pub last_hold: Option<Timestamp>,
    pub hangup: Option<Timestamp>,
}

/// The caller profile.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    pub username: String,
    pub dialplan: String,
    pub name: String,
    pub number: String,
    pub orig_name: String,
    pub orig_number: String,
    pub callee_name: String,
    pub callee_number: String,
    pub address: String,
    pub ani: String,
    pub rdnis: String,
    pub destination: String,
    pub source: String,
    pub context: String,
    pub transfer_source: String,
    pub index: u32,
}

/// One leg of a call.
#[derive(Debug)]
pub(super) struct Channel {
    pub id: String,
    pub number: u32,
    pub name: String,
    pub inbound: bool,
    pub state: State,
    /// The state that it is to be in, where that differs: `Channel-State-Number`.
    pub next: Option<State>,
    pub callstate: &'static str,
    pub answer: &'static str,
    pub media: bool,
    pub dialled: String,
    pub profile: Profile,
    pub times: Times,
    pub vars: Variables,
    /// Cause and end, once it is hung up. Then `uuid_exists` is false; the row stays to the end.
    pub ended: Option<(Cause, By)>,
    pub application: String,
    pub data: String,
    pub hit_dialplan: bool,
    pub held: bool,
    pub script: CallScript,
    pub signal: watch::Sender<Signal>,
    /// Counts what others may wait for: an answer, an end, a bridge that is left.
    pub told: watch::Sender<u32>,
    pub private: VecDeque<Private>,
    pub wake: Arc<Notify>,
    /// The channel that it talks with.
    pub peer: Option<String>,
    /// Whether it is the one that called, of the two that talk.
    pub calls: bool,
    /// The channel that it was made for, or that was made for it.
    pub other: Option<String>,
    /// The other half of a loopback channel.
    pub half: Option<String>,
    /// Whether a task runs it; else its end is done by who ends it.
    pub runs: bool,
}

/// Channel variables in the order they were set.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pairs: Vec<(String, String)>,
}

impl Variables {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Sets one; an empty value takes it away.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let at = self.pairs.iter().position(|(known, _)| known == name);
        match (at, value.is_empty()) {
            (Some(at), true) => {
                self.pairs.remove(at);
            }
            (Some(at), false) => {
                if let Some((_, old)) = self.pairs.get_mut(at) {
                    value.clone_into(old);
                }
            }
            (None, true) => {}
            (None, false) => self.pairs.push((name.to_owned(), value.to_owned())),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_true)
    }
}

/// `switch_true`.
pub(super) fn is_true(text: &str) -> bool {
    ["yes", "on", "true", "t", "enabled", "active", "allow"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
        || text.parse::<i64>().is_ok_and(|number| number != 0)
}

impl Channel {
    pub(super) fn new(id: String, name: String, inbound: bool, script: CallScript) -> Self {
        Self {
            id,
            number: 0,
            name,
            inbound,
            state: State::None,
            next: None,
            callstate: "DOWN",
            answer: "ringing",
            media: false,
            dialled: String::new(),
            profile: Profile::default(),
            times: Times::default(),
            vars: Variables::default(),
            ended: None,
            application: String::new(),
            data: String::new(),
            hit_dialplan: false,
            held: false,
            script,
            signal: watch::Sender::new(Signal::None),
            told: watch::Sender::new(0),
            private: VecDeque::new(),
            wake: Arc::new(Notify::new()),
            peer: None,
            calls: false,
            other: None,
            half: None,
            runs: false,
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.times.answered.is_some()
    }

    pub(super) fn is_sofia(&self) -> bool {
        self.name.starts_with("sofia/")
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.name.starts_with("loopback/")
    }

    pub(super) fn tell(&self) {
        self.told
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Asks something of its task. What is hung up is asked nothing more.
    pub(super) fn ask(&self, signal: Signal) -> bool {
        if self.ended.is_some() && !matches!(signal, Signal::Hangup) {
            return false;
        }
        self.signal.send_replace(signal);
        true
    }

    /// The headers of a channel (`switch_channel_event_set_basic_data` in `switch_channel.c`), and
    /// its variables when they are wanted.
    pub(super) fn write(&self, event: &mut Event, variables: bool) {
        let direction = if self.inbound { "inbound" } else { "outbound" };
        let number = self.next.unwrap_or(self.state).number();
        event.push("Channel-State", self.state.word());
        event.push("Channel-Call-State", self.callstate);
        event.push("Channel-State-Number", number.to_string());
        event.push("Channel-Name", &self.name);
        event.push("Unique-ID", &self.id);
        event.push("Call-Direction", direction);
        event.push("Presence-Call-Direction", direction);
        event.push("Channel-HIT-Dialplan", self.hit_dialplan.to_string());
        let presence = self.vars.get("presence_id");
        if let Some(presence) = presence {
            event.push("Channel-Presence-ID", presence);
        }
        let call = self.vars.get("call_uuid").unwrap_or(&self.id);
        event.push("Channel-Call-UUID", call);
        event.push("Answer-State", self.answer);
        if let Some((cause, _)) = self.ended {
            event.push("Hangup-Cause", cause);
        }
        if self.media {
            let (codec, rate) = if self.is_loopback() {
                ("L16", "128000")
            } else {
                ("PCMU", "64000")
            };
            for way in ["Read", "Write"] {
                event.push(&format!("Channel-{way}-Codec-Name"), codec);
                event.push(&format!("Channel-{way}-Codec-Rate"), "8000");
                event.push(&format!("Channel-{way}-Codec-Bit-Rate"), rate);
            }
        }
        self.write_profile(event, "Caller", self.inbound);
        if variables {
            for (name, value) in self.vars.iter() {
                event.push(&format!("variable_{name}"), value);
            }
        }
    }

    /// The caller profile (`switch_caller_profile_event_set_data` in `switch_caller.c`).
    pub(super) fn write_profile(&self, event: &mut Event, prefix: &str, logical_inbound: bool) {
        let word = |inbound| if inbound { "inbound" } else { "outbound" };
        let profile = &self.profile;
        let texts = [
            ("Direction", word(self.inbound)),
            ("Logical-Direction", word(logical_inbound)),
            ("Username", profile.username.as_str()),
            ("Dialplan", &profile.dialplan),
            ("Caller-ID-Name", &profile.name),
            ("Caller-ID-Number", &profile.number),
            ("Orig-Caller-ID-Name", &profile.orig_name),
            ("Orig-Caller-ID-Number", &profile.orig_number),
            ("Callee-ID-Name", &profile.callee_name),
            ("Callee-ID-Number", &profile.callee_number),
            ("Network-Addr", &profile.address),
            ("ANI", &profile.ani),
            ("Destination-Number", &profile.destination),
            ("Unique-ID", &self.id),
            ("Source", &profile.source),
            ("Transfer-Source", &profile.transfer_source),
            ("Context", &profile.context),
            ("RDNIS", &profile.rdnis),
            ("Channel-Name", &self.name),
        ];
        for (name, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
            event.push(&format!("{prefix}-{name}"), value);
        }
        if prefix == "Caller" {
            event.push("Caller-Profile-Index", profile.index.max(1).to_string());
        }
        let times = &self.times;
        let marks = [
            ("Profile-Created", times.created),
            ("Channel-Created", times.created),
            ("Channel-Answered", times.answered),
            ("Channel-Progress", times.progress),
            ("Channel-Progress-Media", times.progress_media),
            ("Channel-Hangup", times.hangup),
            ("Channel-Transfer", times.transfer),
            ("Channel-Resurrect", None),
            ("Channel-Bridged", times.bridged),
        ];
        for (name, at) in marks {
            event.push(&format!("{prefix}-{name}-Time"), micros(at));
        }
        event.push(
            &format!("{prefix}-Channel-Last-Hold"),
            micros(times.last_hold),
        );
        for (name, value) in [
            ("Channel-Hold-Accum", "0"),
            ("Screen-Bit", "true"),
            ("Privacy-Hide-Name", "false"),
            ("Privacy-Hide-Number", "false"),
        ] {
            event.push(&format!("{prefix}-{name}"), value);
        }
    }
}

pub(super) fn micros(at: Option<Timestamp>) -> String {
    at.map_or("0".to_owned(), |at| at.as_microsecond().to_string())
}

/// All channels, in the order they were made. Found by uuid without a search.
#[derive(Debug, Default)]
pub(super) struct Channels {
    made: BTreeMap<u32, Channel>,
    ids: BTreeMap<String, u32>,
    next: u32,
}

impl Channels {
    pub(super) fn push(&mut self, mut channel: Channel) {
        self.next += 1;
        channel.number = self.next;
        let number = self.next.to_string();
        channel.vars.set("session_id", &number);
        self.ids.insert(channel.id.clone(), self.next);
        self.made.insert(self.next, channel);
    }

    /// Any channel, also one that is ending.
    pub(super) fn get(&self, id: &str) -> Option<&Channel> {
        self.made.get(self.ids.get(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Channel> {
        self.made.get_mut(self.ids.get(id)?)
    }

    /// One that is not ending, as `switch_core_session_locate` finds it.
    pub(super) fn live(&self, id: &str) -> Option<&Channel> {
        self.get(id).filter(|channel| channel.ended.is_none())
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Channel> {
        self.made.remove(&self.ids.remove(id)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.made.values()
    }

    pub(super) fn len(&self) -> usize {
        self.made.len()
    }

    /// How many there have been.
    pub(super) const fn made(&self) -> u32 {
        self.next
    }

    pub(super) fn clear(&mut self) {
        self.made.clear();
        self.ids.clear();
        self.next = 0;
    }
}
