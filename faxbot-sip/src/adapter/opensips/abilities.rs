//! What one server can do, by the commands that it has, and the capabilities that follow.

use std::collections::HashSet;

use faxbot_core::sip::{Capabilities, Capability};

use super::config::OpenSipsConfig;

/// What one server can do, as far as it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    /// `dialog`: calls are listed and ended.
    pub(super) dialogs: bool,
    /// `b2b_logic`: calls are placed.
    pub(super) connect: bool,
    /// `b2b_logic`: the second party of those is exchanged.
    pub(super) bridge: bool,
    /// `callops`.
    pub(super) hold: bool,
    pub(super) transfer: bool,
    /// `tm`: requests are sent.
    pub(super) send: bool,
    /// Events are published to whoever subscribes.
    pub(super) events: bool,
    /// `acc` publishes its records.
    pub(super) records: bool,
    /// `ua_session_*` of `b2b_entities`.
    pub(super) sessions: bool,
}

impl Abilities {
    /// Before the server was asked: everything.
    pub(super) fn hoped_for() -> Self {
        Self {
            dialogs: true,
            connect: true,
            bridge: true,
            hold: true,
            transfer: true,
            send: true,
            events: true,
            records: true,
            sessions: true,
        }
    }

    /// What follows from the list of commands (`which`). Of the events it tells nothing.
    pub(super) fn of(commands: &[String]) -> Self {
        let there: HashSet<&str> = commands.iter().map(String::as_str).collect();
        let all = |names: &[&str]| names.iter().all(|name| there.contains(name));
        Self {
            dialogs: all(&["dlg_list", "dlg_end_dlg"]),
            connect: all(&["b2b_trigger_scenario", "b2b_list", "b2b_terminate_call"]),
            bridge: all(&["b2b_bridge", "b2b_list"]),
            hold: all(&["call_hold", "call_unhold"]),
            transfer: all(&["call_transfer"]),
            send: all(&["t_uac_dlg"]),
            events: all(&["event_subscribe"]),
            records: false,
            sessions: all(&[
                "ua_session_client_start",
                "ua_session_update",
                "ua_session_reply",
                "ua_session_terminate",
                "ua_session_list",
            ]),
        }
    }

    /// What can be asked of an adapter with this configuration.
    pub(super) fn capabilities(&self, config: &OpenSipsConfig) -> Capabilities {
        // What came of hold and transfer is told by events alone.
        let told = config.events.is_some() && self.events;
        let optional = [
            (Capability::Connect, self.connect),
            (Capability::Hangup, self.dialogs || self.connect),
            (Capability::Hold, self.hold && told),
            (Capability::TransferBlind, self.transfer && told),
            (Capability::TransferAttended, self.transfer && told),
            (Capability::SendMessage, self.send),
            (Capability::Cdr, self.records && told),
        ];
        let there = optional
            .into_iter()
            .filter_map(|(capability, there)| there.then_some(capability));
        there.chain([Capability::CallHistory]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> OpenSipsConfig {
        OpenSipsConfig::from_url(url).unwrap()
    }

    fn has(commands: &[&str], url: &str) -> Capabilities {
        let commands: Vec<_> = commands.iter().map(|&name| name.to_owned()).collect();
        Abilities::of(&commands).capabilities(&config(url))
    }

    #[test]
    fn a_server_can_do_what_its_commands_are_for() {
        let with = "opensips+http://pbx:8888/mi?events=udp:127.0.0.1:0";
        let without = "opensips+http://pbx:8888/mi";
        let core = ["which", "uptime", "event_subscribe"];
        let all = |more: &[&'static str]| -> Vec<&str> {
            core.iter().copied().chain(more.iter().copied()).collect()
        };
        let b2b = all(&["b2b_trigger_scenario", "b2b_list", "b2b_terminate_call"]);
        let callops = all(&["call_hold", "call_unhold", "call_transfer"]);
        for (commands, url, capability, there) in [
            (&core[..], with, Capability::Hangup, false),
            (
                &all(&["dlg_list", "dlg_end_dlg"]),
                with,
                Capability::Hangup,
                true,
            ),
            (&b2b, with, Capability::Connect, true),
            (
                &all(&["b2b_trigger_scenario"]),
                with,
                Capability::Connect,
                false,
            ),
            (&callops, with, Capability::Hold, true),
            (&callops, with, Capability::TransferBlind, true),
            (&callops, without, Capability::Hold, false),
            (&all(&["t_uac_dlg"]), without, Capability::SendMessage, true),
            (&core[..], without, Capability::CallHistory, true),
            (&b2b, with, Capability::Dial, false),
        ] {
            assert_eq!(
                has(commands, url).has(capability),
                there,
                "{capability:?} {commands:?}"
            );
        }
    }
}
