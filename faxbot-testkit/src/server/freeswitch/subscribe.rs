//! What a connection hears of (`event`, `nixevent`, `noevents`, `filter`, `myevents`; recordings
//! `02_event_subscriptions`, `02_filters_effect`).

use std::collections::BTreeSet;

use faxbot_sip::protocol::esl::Format;

use super::event::Event;
use crate::server::pattern::Pattern;

/// The names that can be subscribed to (`EVENT_NAMES` in `switch_event.c`).
const NAMES: [&str; 93] = [
    "CUSTOM",
    "CLONE",
    "CHANNEL_CREATE",
    "CHANNEL_DESTROY",
    "CHANNEL_STATE",
    "CHANNEL_CALLSTATE",
    "CHANNEL_ANSWER",
    "CHANNEL_HANGUP",
    "CHANNEL_HANGUP_COMPLETE",
    "CHANNEL_EXECUTE",
    "CHANNEL_EXECUTE_COMPLETE",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_OUTGOING",
    "CHANNEL_PARK",
    "CHANNEL_UNPARK",
    "CHANNEL_APPLICATION",
    "CHANNEL_ORIGINATE",
    "CHANNEL_UUID",
    "API",
    "LOG",
    "INBOUND_CHAN",
    "OUTBOUND_CHAN",
    "STARTUP",
    "SHUTDOWN",
    "PUBLISH",
    "UNPUBLISH",
    "TALK",
    "NOTALK",
    "SESSION_CRASH",
    "MODULE_LOAD",
    "MODULE_UNLOAD",
    "DTMF",
    "MESSAGE",
    "PRESENCE_IN",
    "NOTIFY_IN",
    "PRESENCE_OUT",
    "PRESENCE_PROBE",
    "MESSAGE_WAITING",
    "MESSAGE_QUERY",
    "ROSTER",
    "CODEC",
    "BACKGROUND_JOB",
    "DETECTED_SPEECH",
    "DETECTED_TONE",
    "PRIVATE_COMMAND",
    "HEARTBEAT",
    "TRAP",
    "ADD_SCHEDULE",
    "DEL_SCHEDULE",
    "EXE_SCHEDULE",
    "RE_SCHEDULE",
    "RELOADXML",
    "NOTIFY",
    "PHONE_FEATURE",
    "PHONE_FEATURE_SUBSCRIBE",
    "SEND_MESSAGE",
    "RECV_MESSAGE",
    "REQUEST_PARAMS",
    "CHANNEL_DATA",
    "GENERAL",
    "COMMAND",
    "SESSION_HEARTBEAT",
    "CLIENT_DISCONNECTED",
    "SERVER_DISCONNECTED",
    "SEND_INFO",
    "RECV_INFO",
    "RECV_RTCP_MESSAGE",
    "SEND_RTCP_MESSAGE",
    "CALL_SECURE",
    "NAT",
    "RECORD_START",
    "RECORD_STOP",
    "PLAYBACK_START",
    "PLAYBACK_STOP",
    "CALL_UPDATE",
    "FAILURE",
    "SOCKET_DATA",
    "MEDIA_BUG_START",
    "MEDIA_BUG_STOP",
    "CONFERENCE_DATA_QUERY",
    "CONFERENCE_DATA",
    "CALL_SETUP_REQ",
    "CALL_SETUP_RESULT",
    "CALL_DETAIL",
    "DEVICE_STATE",
    "TEXT",
    "SHUTDOWN_REQUESTED",
    "ALL",
];

/// The subscription of one connection.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    format: Option<Format>,
    names: BTreeSet<String>,
    subclasses: BTreeSet<String>,
    filters: Vec<(String, String)>,
    /// The channel of `myevents`.
    pub mine: Option<String>,
}

impl Subscription {
    /// In which form it wants its events; `None` when it wants none.
    pub(super) fn format(&self) -> Option<Format> {
        let listens = !self.names.is_empty() || !self.subclasses.is_empty() || self.mine.is_some();
        self.format.filter(|_| listens)
    }

    /// `event plain A B CUSTOM x::y`: the answer.
    pub(super) fn event(&mut self, args: &str) -> String {
        let mut words = args.split(' ').filter(|word| !word.is_empty()).peekable();
        let format = words.peek().and_then(|word| format(word));
        if format.is_some() {
            words.next();
        }
        let format = format.unwrap_or(Format::Plain);
        let mut custom = false;
        let mut known = false;
        for word in words {
            if custom {
                self.subclasses.insert(word.to_owned());
                known = true;
                continue;
            }
            let name = word.to_ascii_uppercase();
            if !NAMES.contains(&name.as_str()) {
                continue;
            }
            known = true;
            custom = name == "CUSTOM";
            self.names.insert(name);
        }
        if !known {
            return "-ERR no keywords supplied".to_owned();
        }
        self.format = Some(format);
        format!("+OK event listener enabled {}", format.word())
    }

    pub(super) fn nix(&mut self, args: &str) -> &'static str {
        let mut custom = false;
        let mut known = false;
        for word in args.split(' ').filter(|word| !word.is_empty()) {
            if custom {
                self.subclasses.remove(word);
                continue;
            }
            let name = word.to_ascii_uppercase();
            if !NAMES.contains(&name.as_str()) {
                continue;
            }
            known = true;
            custom = name == "CUSTOM";
            match name.as_str() {
                "ALL" => self.names.clear(),
                "CUSTOM" => {}
                _ => {
                    // What ALL had is there one by one but for this.
                    if self.names.remove("ALL") {
                        let all = NAMES.iter().filter(|name| **name != "ALL");
                        self.names.extend(all.map(|name| (*name).to_owned()));
                    }
                    self.names.remove(&name);
                }
            }
        }
        if known {
            "+OK events nixed"
        } else {
            "-ERR no keywords supplied"
        }
    }

    pub(super) fn none(&mut self) -> &'static str {
        if self.format().is_none() {
            return "-ERR not listening for events";
        }
        self.names.clear();
        self.subclasses.clear();
        self.mine = None;
        "+OK no longer listening for events"
    }

    /// `myevents [format]` of one channel.
    pub(super) fn only(&mut self, channel: &str, args: &str) -> &'static str {
        if self.mine.is_some() {
            return "-ERR aready enabled.";
        }
        self.mine = Some(channel.to_owned());
        let named = args.split(' ').find_map(format);
        self.format = Some(named.or(self.format).unwrap_or(Format::Plain));
        "+OK Events Enabled"
    }

    pub(super) fn filter(&mut self, args: &str) -> String {
        let args = args.trim_start();
        let (deletes, args) = match args.split_once(' ') {
            Some(("delete", rest)) => (true, rest.trim_start()),
            Some(("add", rest)) => (false, rest.trim_start()),
            _ => (false, args),
        };
        let (name, value) = args.split_once(' ').unwrap_or((args, ""));
        let value = value.trim_start();
        if deletes {
            match (name, value) {
                ("all", _) => self.filters.clear(),
                (name, "") => self
                    .filters
                    .retain(|(known, _)| !known.eq_ignore_ascii_case(name)),
                (name, value) => self.filters.retain(|(known, wanted)| {
                    !(known.eq_ignore_ascii_case(name) && wanted == value)
                }),
            }
            return format!("+OK filter deleted. [{name}][{value}]");
        }
        if value.is_empty() {
            return "-ERR invalid syntax".to_owned();
        }
        self.filters.push((name.to_owned(), value.to_owned()));
        format!("+OK filter added. [{name}]=[{value}]")
    }

    /// Whether somebody wants events of that name at all, before they are made.
    pub(super) fn names(&self, name: &str, subclass: &str) -> bool {
        self.mine.is_some()
            || self.names.contains("ALL")
            || (name == "CUSTOM" && self.subclasses.contains(subclass))
            || (name != "CUSTOM" && self.names.contains(name))
    }

    pub(super) fn wants(&self, name: &str, subclass: &str, event: &Event) -> bool {
        let mine = self.mine.as_deref().is_some_and(|id| {
            [event.get("Unique-ID"), event.get("Job-Owner-UUID")].contains(&Some(id))
        });
        let named = self.names.contains("ALL")
            || (name == "CUSTOM" && self.subclasses.contains(subclass))
            || (name != "CUSTOM" && self.names.contains(name));
        (mine || named) && self.passes(event)
    }

    /// One filter that matches lets an event in (`send_all_matches` in `mod_event_socket.c`).
    fn passes(&self, event: &Event) -> bool {
        let mut passes = self.filters.is_empty();
        for (name, value) in &self.filters {
            let (lets_in, value) = match value.strip_prefix('-') {
                Some(rest) => (false, rest),
                None => (true, value.strip_prefix('+').unwrap_or(value)),
            };
            let Some(found) = event.get(name) else {
                continue;
            };
            let matches = match value.strip_prefix('/') {
                Some(pattern) => {
                    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
                    Pattern::new(pattern).is_some_and(|pattern| pattern.is_match(found))
                }
                None => found.eq_ignore_ascii_case(value),
            };
            if matches && !lets_in {
                return false;
            }
            passes |= matches;
        }
        passes
    }
}

fn format(word: &str) -> Option<Format> {
    match word {
        "plain" => Some(Format::Plain),
        "json" => Some(Format::Json),
        "xml" => Some(Format::Xml),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_custom_is_a_subclass() {
        let mut all = Subscription::default();
        assert_eq!(all.event("json BOGUS"), "-ERR no keywords supplied");
        assert_eq!(all.event(""), "-ERR no keywords supplied");
        let answer = all.event("plain CUSTOM demo::x BACKGROUND_JOB");
        assert_eq!(answer, "+OK event listener enabled plain");
        assert!(all.names("CUSTOM", "demo::x"));
        assert!(!all.names("BACKGROUND_JOB", ""));
    }

    #[test]
    fn one_of_several_filters_is_enough_and_all_but_one_can_be_nixed() {
        let mut all = Subscription::default();
        all.event("plain ALL");
        all.filter("Unique-ID a");
        all.filter("Event-Name /^BACK/");
        let event = |name: &str, id: &str| {
            let mut event = Event::default();
            event.push("Event-Name", name);
            event.push("Unique-ID", id);
            event
        };
        assert!(all.wants("DTMF", "", &event("DTMF", "a")));
        assert!(!all.wants("DTMF", "", &event("DTMF", "b")));
        assert!(all.wants("BACKGROUND_JOB", "", &event("BACKGROUND_JOB", "")));
        assert_eq!(all.nix("DTMF"), "+OK events nixed");
        assert!(!all.wants("DTMF", "", &event("DTMF", "a")));
        assert!(all.names("HEARTBEAT", ""));
        assert_eq!(all.none(), "+OK no longer listening for events");
        assert_eq!(all.none(), "-ERR not listening for events");
    }
}
