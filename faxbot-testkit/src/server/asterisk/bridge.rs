//! Bridges: who is in them, and what their events say.
//!
//! A channel enters and leaves in the task that runs it. Whoever wants it out tells it by the
//! switch that [`State::enter`] gives, so a channel is never in two places.

use std::sync::Arc;

use faxbot_sip::protocol::ami::server::MessageBuilder;
use tokio::sync::watch;

use super::{
    call::{FOR_EVER, Stop, pause},
    channel::Signal,
    world::{State, World, start},
};

/// A bridge of two, or that of a conference.
#[derive(Debug)]
pub(super) struct Bridge {
    pub id: String,
    /// The conference whose bridge it is.
    pub room: Option<String>,
    pub members: Vec<Member>,
    /// Channels of the server itself in it: those that announce and record.
    pub helpers: usize,
}

/// A channel in a bridge.
#[derive(Debug)]
pub(super) struct Member {
    pub channel: String,
    /// True when it is to leave.
    pub out: watch::Sender<bool>,
}

impl Bridge {
    /// The headers of a bridge in their order (recordings `03_originate_bridged_dial`,
    /// `05_confbridge`).
    pub(super) fn headers(&self, to: MessageBuilder) -> MessageBuilder {
        let conference = self.room.is_some();
        let pick = |yes, no| if conference { yes } else { no };
        to.header("BridgeUniqueid", &self.id)
            .header("BridgeType", pick("base", "basic"))
            .header("BridgeTechnology", pick("softmix", "simple_bridge"))
            .header("BridgeCreator", pick("ConfBridge", "<unknown>"))
            .header("BridgeName", self.room.as_deref().unwrap_or("<unknown>"))
            .header("BridgeNumChannels", self.count().to_string())
            .header("BridgeVideoSourceMode", "none")
    }

    pub(super) fn count(&self) -> usize {
        self.members.len() + self.helpers
    }
}

impl State {
    /// `BridgeCreate`; the answer is the id.
    pub(super) fn create_bridge(&mut self, room: Option<&str>) -> String {
        self.unique += 1;
        let id = format!("{:08x}-0000-4000-8000-{:012x}", self.names, self.unique);
        let bridge = Bridge {
            id: id.clone(),
            room: room.map(str::to_owned),
            members: Vec::new(),
            helpers: 0,
        };
        self.bridges.insert(id.clone(), bridge);
        self.bridge_event("BridgeCreate", &id);
        id
    }

    /// An event about a bridge alone.
    pub(super) fn bridge_event(&mut self, name: &str, bridge: &str) {
        if let Some(bridge) = self.bridges.get(bridge) {
            let event = bridge.headers(start(name, "call"));
            self.emit("call", event);
        }
    }

    fn member_event(&mut self, name: &str, bridge: &str, id: &str) {
        if let (Some(bridge), Some(channel)) = (self.bridges.get(bridge), self.channel(id)) {
            let event = channel.snapshot(bridge.headers(start(name, "call")), "");
            self.emit("call", event);
        }
    }

    /// A channel enters: `BridgeEnter`. The answer tells it when to leave; `None` when the bridge
    /// is gone.
    pub(super) fn enter(&mut self, bridge: &str, id: &str) -> Option<watch::Receiver<bool>> {
        self.stop_music(id);
        let out = watch::Sender::new(false);
        let told = out.subscribe();
        let channel = id.to_owned();
        let found = self.bridges.get_mut(bridge)?;
        found.members.push(Member { channel, out });
        let conference = found.room.is_some();
        if let Some(channel) = self.channel_mut(id) {
            channel.bridge = Some(bridge.to_owned());
            channel.moving.take_if(|to| to == bridge);
        }
        if !conference {
            self.link(bridge);
        }
        self.member_event("BridgeEnter", bridge, id);
        if !conference {
            self.show_peers(bridge);
        }
        Some(told)
    }

    /// All in a bridge of two get the `Linkedid` of the oldest (recording `05_bridge_action`; those
    /// in a conference keep theirs, `05_confbridge`).
    fn link(&mut self, bridge: &str) {
        let ids = self.members(bridge);
        let channels = ids.iter().filter_map(|id| self.channel(id));
        let oldest = channels.min_by_key(|channel| channel.created);
        let Some(linked) = oldest.map(|channel| channel.linked.clone()) else {
            return;
        };
        for id in ids {
            if let Some(channel) = self.channel_mut(&id) {
                channel.linked.clone_from(&linked);
            }
        }
    }

    /// `Uniqueid`s of those in a bridge.
    pub(super) fn members(&self, bridge: &str) -> Vec<String> {
        let found = self.bridges.get(bridge);
        let ids = found.map(|bridge| bridge.members.iter().map(|m| m.channel.clone()).collect());
        ids.unwrap_or_default()
    }

    /// `BRIDGEPEER` of the two in a bridge.
    fn show_peers(&mut self, bridge: &str) {
        if let [one, two] = self.members(bridge).as_slice() {
            let name = |id: &String| self.channel(id).map(|channel| channel.name.clone());
            let names = (name(one), name(two));
            if let (Some(first), Some(second)) = names {
                self.set_var(one, "BRIDGEPEER", &second);
                self.set_var(two, "BRIDGEPEER", &first);
            }
        }
    }

    /// A channel leaves the bridge it is in: `BridgeLeave`. One of two takes the other along, and
    /// the last one ends the bridge.
    pub(super) fn leave(&mut self, id: &str) {
        let Some(bridge) = self.channel_mut(id).and_then(|c| c.bridge.take()) else {
            return;
        };
        let Some(found) = self.bridges.get_mut(&bridge) else {
            return;
        };
        let basic = found.room.is_none();
        found.members.retain(|member| member.channel != id);
        let left = found.members.len();
        if basic && left == 1 {
            let mut both = self.members(&bridge);
            both.insert(0, id.to_owned());
            for id in both {
                self.set_var(&id, "BRIDGEPEER", "");
            }
            self.dissolve(&bridge);
        }
        self.member_event("BridgeLeave", &bridge, id);
        if basic && left == 0 {
            self.bridge_event("BridgeDestroy", &bridge);
            self.bridges.remove(&bridge);
        }
    }

    /// Tells all in a bridge to leave; one that is empty ends.
    pub(super) fn dissolve(&mut self, bridge: &str) {
        let Some(found) = self.bridges.get(bridge) else {
            return;
        };
        for member in &found.members {
            member.out.send_replace(true);
        }
        if found.members.is_empty() && found.room.is_none() {
            self.bridge_event("BridgeDestroy", bridge);
            self.bridges.remove(bridge);
        }
    }

    /// Tells one channel to leave its bridge.
    pub(super) fn put_out(&self, id: &str) {
        let bridge = self.channel(id).and_then(|c| c.bridge.as_ref());
        let members = bridge.and_then(|bridge| self.bridges.get(bridge));
        for member in members.into_iter().flat_map(|bridge| &bridge.members) {
            if member.channel == id {
                member.out.send_replace(true);
            }
        }
    }

    /// Whoever is bridged with a channel learns its caller id (recording `05_bridge_action`).
    pub(super) fn show_connected(&mut self, bridge: &str) {
        if let [one, two] = self.members(bridge).as_slice() {
            for (of, to) in [(two, one), (one, two)] {
                let party = self.channel(of).and_then(|channel| channel.caller.clone());
                let Some(party) = party.filter(|party| !party.number.is_empty()) else {
                    continue;
                };
                if let Some(channel) = self.channel_mut(to) {
                    channel.connected = Some(party);
                }
                self.channel_event("NewConnectedLine", "call", to, &[]);
            }
        }
    }

    pub(super) fn start_music(&mut self, id: &str, class: &str) {
        if let Some(channel) = self.channel_mut(id) {
            channel.music = true;
        }
        self.channel_event("MusicOnHoldStart", "call", id, &[("Class", class)]);
    }

    pub(super) fn stop_music(&mut self, id: &str) {
        let playing = self
            .channel_mut(id)
            .is_some_and(|c| std::mem::take(&mut c.music));
        if playing {
            self.channel_event("MusicOnHoldStop", "call", id, &[]);
        }
    }
}

/// Waits in a bridge and leaves it; `leaving` runs before `BridgeLeave`. `None` when the bridge let the channel go, else what ended its
/// stay: a hang-up there has cause 16 when it has none (recording `03_originate_dial_app`).
pub(super) async fn stay(
    world: &Arc<World>,
    id: &str,
    out: &mut watch::Receiver<bool>,
    signal: &mut watch::Receiver<Signal>,
    leaving: impl FnOnce(&mut State) + Send,
) -> Option<Stop> {
    let stop = tokio::select! {
        biased;
        stop = pause(signal, FOR_EVER) => stop,
        // A bridge that is gone lets go, too.
        _gone = out.wait_for(|out| *out) => None,
    };
    world.change(|state| {
        let cause = match &stop {
            Some(Stop::Far(cause) | Stop::Here(cause)) if *cause != 0 => *cause,
            _ => 16,
        };
        let moves = matches!(stop, Some(Stop::Redirect { .. } | Stop::Bridge(_)));
        if let Some(channel) = state.channel_mut(id).filter(|_| !moves) {
            channel.cause = cause;
        }
        if matches!(stop, Some(Stop::Far(_))) && !state.channel(id).is_some_and(|c| c.end_told) {
            state.hangup_request("HangupRequest", id, Some(cause));
        }
        leaving(state);
        state.leave(id);
    });
    stop
}
