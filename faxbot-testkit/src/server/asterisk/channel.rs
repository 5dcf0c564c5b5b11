//! A channel of the mock, and the headers that its events have.

use std::collections::{BTreeMap, HashMap};

use faxbot_core::Timestamp;
use faxbot_sip::protocol::ami::server::MessageBuilder;
use tokio::{sync::watch, time::Instant};

use crate::server::party::Party;

/// What is asked of the task that runs a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// Nothing.
    None,
    /// Hang up: by an action or a time-out here.
    Hangup { cause: u32 },
    /// The far end hung up.
    FarHangup { cause: u32 },
    /// Go on elsewhere in the dialplan.
    Redirect {
        context: String,
        exten: String,
        priority: u32,
    },
    /// Leave everything and go into this bridge.
    Bridge { bridge: String },
}

impl Signal {
    const fn is_end(&self) -> bool {
        matches!(self, Self::Hangup { .. } | Self::FarHangup { .. })
    }
}

/// One leg of a call.
#[derive(Debug)]
pub(super) struct Channel {
    pub id: String,
    pub linked: String,
    pub name: String,
    pub state: u8,
    pub caller: Option<Party>,
    pub connected: Option<Party>,
    pub account: String,
    pub context: String,
    pub exten: String,
    pub priority: u32,
    pub vars: BTreeMap<String, String>,
    /// Variables that the legs of a `Dial` inherit; true when their own legs do, too.
    pub inherited: BTreeMap<String, bool>,
    pub fax_options: BTreeMap<String, String>,
    /// Hangup handlers, the last one pushed runs first.
    pub handlers: Vec<String>,
    /// The number or name that was dialled.
    pub dialled: String,
    pub application: String,
    pub data: String,
    pub created: Timestamp,
    pub answered: Option<Timestamp>,
    pub cause: u32,
    pub tech_cause: Option<u16>,
    pub signal: watch::Sender<Signal>,
    /// Where a `Redirect` sends it that it does not follow yet.
    pub leaving: Option<Signal>,
    /// `state`, for those who wait for a change.
    pub state_told: watch::Sender<u8>,
    /// When it is hung up whatever it does.
    pub limit: watch::Sender<Option<Instant>>,
    /// The bridge it is in.
    pub bridge: Option<String>,
    /// The bridge it was sent to and has not entered yet.
    pub moving: Option<String>,
    /// The other half of a Local channel, when that half runs on its own.
    pub half: Option<String>,
    /// The channel whose `Dial` made it.
    pub by: Option<String>,
    /// Whether it walks the dialplan, and not only an application.
    pub pbx: bool,
    /// Whether `HangupRequest` has told of its end.
    pub end_told: bool,
    /// Whether music on hold is played to it.
    pub music: bool,
}

/// All channels, in the order they were made. Found by `Uniqueid` or name without a search.
#[derive(Debug, Default)]
pub(super) struct Channels {
    made: BTreeMap<u64, Channel>,
    ids: BTreeMap<String, u64>,
    names: HashMap<String, u64>,
    next: u64,
}

impl Channels {
    pub(super) fn push(&mut self, channel: Channel) {
        self.next += 1;
        self.ids.insert(channel.id.clone(), self.next);
        self.names
            .insert(channel.name.to_ascii_lowercase(), self.next);
        self.made.insert(self.next, channel);
    }

    pub(super) fn get(&self, id: &str) -> Option<&Channel> {
        self.made.get(self.ids.get(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Channel> {
        self.made.get_mut(self.ids.get(id)?)
    }

    /// By its name, in any case, or its `Uniqueid`.
    pub(super) fn find(&self, name: &str) -> Option<&Channel> {
        let by_name = self.names.get(&name.to_ascii_lowercase());
        self.made.get(by_name.or_else(|| self.ids.get(name))?)
    }

    /// Whether an id starts like this.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        let mut from = self.ids.range(prefix.to_owned()..);
        from.next().is_some_and(|(id, _)| id.starts_with(prefix))
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Channel> {
        let channel = self.made.remove(&self.ids.remove(id)?)?;
        self.names.remove(&channel.name.to_ascii_lowercase());
        Some(channel)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.made.values()
    }

    pub(super) fn len(&self) -> usize {
        self.made.len()
    }

    pub(super) fn clear(&mut self) {
        self.made.clear();
        self.ids.clear();
        self.names.clear();
    }
}

impl Channel {
    pub(super) fn new(id: String, name: String, created: Timestamp) -> Self {
        Self {
            linked: id.clone(),
            id,
            name,
            state: 0,
            caller: None,
            connected: None,
            account: String::new(),
            context: "from-peer".to_owned(),
            exten: "s".to_owned(),
            priority: 1,
            vars: BTreeMap::new(),
            inherited: BTreeMap::new(),
            fax_options: BTreeMap::new(),
            handlers: Vec::new(),
            dialled: String::new(),
            application: String::new(),
            data: String::new(),
            created,
            answered: None,
            cause: 0,
            tech_cause: None,
            signal: watch::Sender::new(Signal::None),
            leaving: None,
            state_told: watch::Sender::new(0),
            limit: watch::Sender::new(None),
            bridge: None,
            moving: None,
            half: None,
            by: None,
            pbx: false,
            end_told: false,
            music: false,
        }
    }

    /// `PJSIP/trunk` of `PJSIP/trunk-00000001`.
    pub(super) fn device(&self) -> String {
        let name = self.name.split(';').next().unwrap_or_default();
        name.rsplit_once('-')
            .map_or(name, |(device, _)| device)
            .to_owned()
    }

    /// The snapshot headers in their order (`main/manager_channels.c`), with a prefix for events
    /// of several channels.
    pub(super) fn snapshot(&self, mut to: MessageBuilder, prefix: &str) -> MessageBuilder {
        let number = |party: &Option<Party>| text(party.as_ref().map(|party| &party.number));
        let name = |party: &Option<Party>| text(party.as_ref().map(|party| &party.name));
        let headers = [
            ("Channel", self.name.clone()),
            ("ChannelState", self.state.to_string()),
            ("ChannelStateDesc", state_word(self.state).to_owned()),
            ("CallerIDNum", number(&self.caller)),
            ("CallerIDName", name(&self.caller)),
            ("ConnectedLineNum", number(&self.connected)),
            ("ConnectedLineName", name(&self.connected)),
            ("Language", "en".to_owned()),
            ("AccountCode", self.account.clone()),
            ("Context", self.context.clone()),
            ("Exten", self.exten.clone()),
            ("Priority", self.priority.to_string()),
            ("Uniqueid", self.id.clone()),
            ("Linkedid", self.linked.clone()),
        ];
        for (header, value) in headers {
            // Asterisk escapes these (recording `10_newline_in_value`).
            let value = value.replace('\r', "\\r").replace('\n', "\\n");
            to = to.header(&format!("{prefix}{header}"), value);
        }
        to
    }

    /// Asks the task that runs the channel for something. Of two orders the later one counts; a
    /// channel that is hung up follows none.
    pub(super) fn tell(&self, order: Signal) {
        self.signal.send_if_modified(|now| {
            let takes = !now.is_end() || order.is_end();
            if takes {
                *now = order;
            }
            takes
        });
    }

    /// The channel follows this order. One that came meanwhile stays.
    pub(super) fn follows(&self, order: &Signal) {
        self.signal.send_if_modified(|now| {
            let done = now == order;
            if done {
                *now = Signal::None;
            }
            done
        });
    }
}

/// What an empty caller id shows as.
pub(super) fn text(value: Option<&String>) -> String {
    match value {
        Some(value) if !value.is_empty() => value.clone(),
        _ => "<unknown>".to_owned(),
    }
}

/// `ChannelStateDesc` (`main/channel.c`).
const fn state_word(state: u8) -> &'static str {
    match state {
        0 => "Down",
        1 => "Rsrvd",
        2 => "OffHook",
        3 => "Dialing",
        4 => "Ring",
        5 => "Ringing",
        6 => "Up",
        7 => "Busy",
        _ => "Unknown",
    }
}

/// `Cause-txt` of a Q.850 cause (`main/causes`, `ast_cause2str`).
pub(super) const fn cause_text(cause: u32) -> &'static str {
    match cause {
        1 => "Unallocated (unassigned) number",
        3 => "No route to destination",
        16 => "Normal Clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "User alerting, no answer",
        20 => "Subscriber absent",
        21 => "Call Rejected",
        22 => "Number changed",
        27 => "Destination out of order",
        28 => "Invalid number format",
        31 => "Normal, unspecified",
        34 => "Circuit/channel congestion",
        38 => "Network out of order",
        41 => "Temporary failure",
        58 => "Bearer capability not available",
        102 => "Recover on timer expiry",
        127 => "Interworking, unspecified",
        _ => "Unknown",
    }
}

/// The Q.850 cause of a SIP status (recordings `04_pjsip_rejected_*`; the others from
/// `hangup_sip2cause` in `res/res_pjsip_session.c`).
pub(super) const fn cause_of_sip(status: u16) -> u32 {
    match status {
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        408 => 18,
        480 => 19,
        401 | 402 | 403 | 407 | 603 => 21,
        410 => 22,
        484 => 28,
        503 => 34,
        500 | 502 => 38,
        488 | 606 => 58,
        504 => 102,
        _ => 127,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge(name: &str) -> Signal {
        let bridge = name.to_owned();
        Signal::Bridge { bridge }
    }

    #[test]
    fn an_order_that_comes_while_the_channel_follows_another_stays() {
        let channel = Channel::new(
            "1.1".to_owned(),
            "PJSIP/1".to_owned(),
            Timestamp::UNIX_EPOCH,
        );
        channel.tell(bridge("first"));
        channel.tell(bridge("second"));
        channel.follows(&bridge("first"));
        assert_eq!(*channel.signal.borrow(), bridge("second"));
        channel.follows(&bridge("second"));
        assert_eq!(*channel.signal.borrow(), Signal::None);
    }

    #[test]
    fn a_channel_that_is_hung_up_follows_no_order() {
        let channel = Channel::new(
            "1.1".to_owned(),
            "PJSIP/1".to_owned(),
            Timestamp::UNIX_EPOCH,
        );
        channel.tell(Signal::Hangup { cause: 16 });
        channel.tell(bridge("first"));
        assert_eq!(*channel.signal.borrow(), Signal::Hangup { cause: 16 });
    }
}
