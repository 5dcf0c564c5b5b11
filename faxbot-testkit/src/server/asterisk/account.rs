//! Accounts of the mock and what they may do.

use std::collections::BTreeSet;

use faxbot_sip::protocol::ami::server::CLASSES;

/// An account of the manager interface. All rights unless told otherwise.
#[derive(Clone)]
pub struct Account {
    pub(super) name: String,
    pub(super) secret: String,
    pub(super) read: Classes,
    pub(super) write: Classes,
    pub(super) single: bool,
}

impl Account {
    /// An account with all rights.
    pub fn new(name: &str, secret: &str) -> Self {
        Self {
            name: name.to_owned(),
            secret: secret.to_owned(),
            read: Classes::all(),
            write: Classes::all(),
            single: false,
        }
    }

    /// What it may read, as `read=` in `manager.conf`: `system,call` or `all`.
    #[must_use]
    pub fn read(mut self, classes: &str) -> Self {
        self.read = Classes::parse(classes);
        self
    }

    /// What it may do, as `write=` in `manager.conf`.
    #[must_use]
    pub fn write(mut self, classes: &str) -> Self {
        self.write = Classes::parse(classes);
        self
    }

    /// One session at a time, as `allowmultiplelogin=no`.
    #[must_use]
    pub const fn single(mut self) -> Self {
        self.single = true;
        self
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A set of event classes or rights.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Classes {
    all: bool,
    some: BTreeSet<String>,
}

impl Classes {
    pub(super) fn all() -> Self {
        Self {
            all: true,
            some: BTreeSet::new(),
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        let mut classes = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "all" | "on" | "yes" => classes.all = true,
                // Case counts, and what is unknown is dropped silently (recording `02_eventmask`).
                word if CLASSES.contains(&word) => {
                    classes.some.insert(word.to_owned());
                }
                _ => {}
            }
        }
        classes
    }

    /// The mask that a client asks for; a number is a bit mask of which the mock knows only
    /// "anything".
    pub(super) fn mask(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(bits) if bits > 0 => Self::all(),
            Ok(_) => Self::default(),
            Err(_) => Self::parse(text),
        }
    }

    pub(super) fn has(&self, class: &str) -> bool {
        self.all || self.some.contains(class)
    }

    pub(super) fn any(&self, of: &[&str]) -> bool {
        self.all || of.iter().any(|class| self.some.contains(*class))
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.all && self.some.is_empty()
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        match (self.all, other.all) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => Self {
                all: false,
                some: self.some.intersection(&other.some).cloned().collect(),
            },
        }
    }
}

/// The actions that the mock knows, the rights that they want (any of them), and their synopsis
/// (recording `02_list_commands`).
pub(super) const ACTIONS: &[(&str, &[&str], &str)] = &[
    (
        "AGI",
        &["agi"],
        "Add an AGI command to execute by Async AGI.",
    ),
    (
        "Bridge",
        &["call"],
        "Bridge two channels already in the PBX.",
    ),
    ("BridgeInfo", &[], "Get information about a bridge."),
    ("BridgeList", &[], "Get a list of bridges in the system."),
    ("ConfbridgeKick", &["call"], "Kick a Confbridge user."),
    (
        "ConfbridgeList",
        &["reporting"],
        "List participants in a conference.",
    ),
    (
        "ConfbridgeListRooms",
        &["reporting"],
        "List active conferences.",
    ),
    ("ConfbridgeLock", &["call"], "Lock a Confbridge conference."),
    ("ConfbridgeMute", &["call"], "Mute a Confbridge user."),
    (
        "ConfbridgeStartRecord",
        &["system"],
        "Start recording a Confbridge conference.",
    ),
    (
        "ConfbridgeStopRecord",
        &["system"],
        "Stop recording a Confbridge conference.",
    ),
    (
        "ConfbridgeUnlock",
        &["call"],
        "Unlock a Confbridge conference.",
    ),
    ("ConfbridgeUnmute", &["call"], "Unmute a Confbridge user."),
    ("Challenge", &[], "Generate Challenge for MD5 Auth."),
    ("Command", &["command"], "Execute Asterisk CLI Command."),
    (
        "CoreSettings",
        &["system", "reporting"],
        "Show PBX core settings (version etc).",
    ),
    (
        "CoreShowChannels",
        &["system", "reporting"],
        "List currently active channels.",
    ),
    (
        "CoreStatus",
        &["system", "reporting"],
        "Show PBX core status variables.",
    ),
    ("DBDel", &["system"], "Delete DB entry."),
    ("DBDelTree", &["system"], "Delete DB Tree."),
    ("DBGet", &["system", "reporting"], "Get DB Entry."),
    (
        "DBGetTree",
        &["system", "reporting"],
        "Get DB entries, optionally at a particular family/key",
    ),
    ("DBPut", &["system"], "Put DB entry."),
    (
        "DialplanExtensionAdd",
        &["system"],
        "Add an extension to the dialplan",
    ),
    (
        "DialplanExtensionRemove",
        &["system"],
        "Remove an extension from the dialplan",
    ),
    (
        "DeviceStateList",
        &["call", "reporting"],
        "List the current known device states.",
    ),
    ("Events", &[], "Control Event Flow."),
    (
        "ExtensionState",
        &["call", "reporting"],
        "Check Extension Status.",
    ),
    (
        "ExtensionStateList",
        &["call", "reporting"],
        "List the current known extension states.",
    ),
    (
        "FAXSession",
        &["call"],
        "Responds with a detailed description of a single FAX session",
    ),
    ("FAXSessions", &["call"], "Lists active FAX sessions"),
    (
        "Filter",
        &["system"],
        "Dynamically add filters for the current manager session.",
    ),
    ("FAXStats", &["reporting"], "Responds with fax statistics"),
    (
        "Getvar",
        &["call", "reporting"],
        "Gets a channel variable or function value.",
    ),
    ("Hangup", &["system", "call"], "Hangup channel."),
    ("ListCommands", &[], "List available manager commands."),
    ("Login", &[], "Login Manager."),
    ("Logoff", &[], "Logoff Manager."),
    (
        "MessageSend",
        &["message"],
        "Send an out of call message to an endpoint.",
    ),
    ("ModuleCheck", &["system"], "Check if module is loaded."),
    ("Originate", &["originate"], "Originate a call."),
    ("Ping", &[], "Keepalive command."),
    (
        "PlayDTMF",
        &["call"],
        "Play DTMF signal on a specific channel.",
    ),
    ("Redirect", &["call"], "Redirect (transfer) a call."),
    ("Reload", &["system", "config"], "Send a reload event."),
    (
        "Setvar",
        &["call"],
        "Sets a channel variable or function value.",
    ),
    (
        "ShowDialPlan",
        &["config", "reporting"],
        "Show dialplan contexts and extensions",
    ),
    (
        "Status",
        &["system", "call", "reporting"],
        "List channel status.",
    ),
    ("UserEvent", &["user"], "Send an arbitrary event."),
    (
        "MixMonitor",
        &["system"],
        "Record a call and mix the audio during the recording.",
    ),
    (
        "MixMonitorMute",
        &["system", "call"],
        "Mute / unMute a Mixmonitor recording.",
    ),
    (
        "StopMixMonitor",
        &["system", "call"],
        "Stop recording a call through MixMonitor.",
    ),
    (
        "AbsoluteTimeout",
        &["system", "call"],
        "Set absolute timeout.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_with_an_unknown_word_turns_events_off_silently() {
        for off in ["Call", "off", "none", "0", "-1", "nonsense"] {
            assert!(Classes::mask(off).is_empty(), "{off}");
        }
        assert!(Classes::mask("call,user").has("call"));
        assert!(!Classes::mask("call,user").has("dialplan"));
    }

    #[test]
    fn a_client_sees_only_what_its_account_may_read() {
        let read = Classes::parse("call,reporting");
        assert!(read.and(&Classes::mask("on")).has("call"));
        assert!(!read.and(&Classes::mask("on")).has("dialplan"));
        assert!(!read.and(&Classes::mask("dialplan")).has("call"));
    }
}
