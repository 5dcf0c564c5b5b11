//! What the server tells of itself: version, run, commands, statistics, events and their subscribers.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;

use super::lenient;

/// What `version` answers: `{"Server":"OpenSIPS (3.6.8 (x86_64/linux))"}`.
#[derive(Deserialize)]
pub(in super::super) struct VersionAnswer {
    #[serde(rename = "Server", deserialize_with = "lenient::text")]
    server: String,
}

impl VersionAnswer {
    /// The version; `None` if this is no OpenSIPS.
    pub(in super::super) fn version(&self) -> Option<ServerVersion> {
        let rest = self.server.strip_prefix("OpenSIPS")?;
        let text = rest.trim_start_matches([' ', '(']);
        let text = text.split([' ', '(', ')', '-']).next().unwrap_or_default();
        let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
        let mut next = || numbers.next().flatten();
        Some(ServerVersion {
            major: next()?,
            minor: next()?,
            patch: next().unwrap_or_default(),
        })
    }
}

/// The version of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ServerVersion {
    /// 3 of 3.6.8.
    pub major: u32,
    /// 6 of 3.6.8.
    pub minor: u32,
    /// 8 of 3.6.8.
    pub patch: u32,
}

impl ServerVersion {
    /// The oldest that the adapter is made for.
    pub(in super::super) const OLDEST: Self = Self {
        major: 3,
        minor: 2,
        patch: 0,
    };
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What `uptime` answers. The text of `Up since` names the run of the server: another one means that
/// dialogs and subscriptions are forgotten (recording `10_server_stopped_sigterm_with_live_calls`).
#[derive(Debug, Deserialize)]
pub(in super::super) struct UptimeAnswer {
    #[serde(rename = "Up since", deserialize_with = "lenient::text")]
    pub(in super::super) since: String,
    /// `23 [sec]`.
    #[serde(default, rename = "Up time", deserialize_with = "lenient::text")]
    time: String,
}

impl UptimeAnswer {
    /// How long the server is up, in seconds.
    pub(in super::super) fn seconds(&self) -> Option<u64> {
        self.time.split_whitespace().next()?.parse().ok()
    }
}

/// What `get_statistics` answers: `group:name` and a number each. A name that is not known is left out
/// without a word (recording `01_get_statistics`).
pub(in super::super) type Statistics = BTreeMap<String, Value>;

/// The names to ask for: a group (`dialog:`), a name, `all`. The full form `group:name` is answered
/// with nothing, so the group is cut off.
pub(in super::super) fn asked_name(name: &str) -> &str {
    match name.split_once(':') {
        Some((_, rest)) if !rest.is_empty() => rest,
        _ => name,
    }
}

/// Whether an answer has what was asked for by this name.
pub(in super::super) fn has_statistic(answer: &Statistics, name: &str) -> bool {
    if name == "all" {
        return !answer.is_empty();
    }
    if name.contains(':') {
        let mut keys = answer.keys();
        return keys.any(|key| {
            if name.ends_with(':') {
                key.starts_with(name)
            } else {
                key == name
            }
        });
    }
    answer
        .keys()
        .any(|key| key.split_once(':').is_some_and(|(_, last)| last == name))
}

/// What `events_list` answers.
#[derive(Deserialize)]
pub(in super::super) struct EventList {
    #[serde(default, rename = "Events")]
    events: Vec<Published>,
}

#[derive(Deserialize)]
struct Published {
    #[serde(default, deserialize_with = "lenient::text")]
    name: String,
}

impl EventList {
    pub(in super::super) fn has(&self, name: &str) -> bool {
        self.events.iter().any(|event| event.name == name)
    }
}

/// What `subscribers_list` answers: all events, or one with all its subscribers, or with the one that
/// was asked for (recording `03_event_subscribe_errors_and_list`).
#[derive(Deserialize)]
pub(in super::super) struct SubscriberList {
    #[serde(default, rename = "Events")]
    events: Vec<Subscribed>,
    #[serde(default, rename = "Event")]
    event: Option<Subscribed>,
}

#[derive(Deserialize)]
struct Subscribed {
    #[serde(default, deserialize_with = "lenient::text")]
    name: String,
    #[serde(default, rename = "Subscribers")]
    subscribers: Vec<Subscriber>,
    #[serde(default, rename = "Subscriber")]
    subscriber: Option<Subscriber>,
}

#[derive(Deserialize)]
struct Subscriber {
    #[serde(default, deserialize_with = "lenient::text")]
    socket: String,
    /// Seconds, or the word `expired`.
    #[serde(default)]
    ttl: Value,
}

impl SubscriberList {
    /// Whether `socket` is told of `event` for at least a second more.
    pub(in super::super) fn has(&self, event: &str, socket: &str) -> bool {
        let all = self.events.iter().chain(&self.event);
        let mut subscribers = all
            .filter(|it| it.name == event)
            .flat_map(|it| it.subscribers.iter().chain(&it.subscriber));
        subscribers
            .any(|it| it.socket == socket && lenient::as_number(&it.ttl).is_some_and(|ttl| ttl > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_words_of_the_server() {
        for (words, version) in [
            ("OpenSIPS (3.6.8 (x86_64/linux))", Some("3.6.8")),
            ("OpenSIPS (3.2.21 (aarch64/linux))", Some("3.2.21")),
            ("OpenSIPS (4.1.0-dev (x86_64/linux))", Some("4.1.0")),
            ("OpenSIPS (3.4 (x))", Some("3.4.0")),
            ("kamailio (5.6.3 (x86_64/linux))", None),
            ("OpenSIPS", None),
            ("", None),
        ] {
            let answer = VersionAnswer {
                server: words.to_owned(),
            };
            let read = answer.version().map(|version| version.to_string());
            assert_eq!(read.as_deref(), version, "{words}");
        }
    }

    #[test]
    fn the_time_that_the_server_is_up_is_in_seconds() {
        // Recording `04_async_call_blocks_the_http_process`.
        let text = r#"{"Now":"Sat Nov 21 07:16:46 2026","Up since":"Sat Nov 21 07:16:23 2026","Up time":"23 [sec]"}"#;
        let uptime: UptimeAnswer = serde_json::from_str(text).unwrap();
        assert_eq!(uptime.seconds(), Some(23));
        assert_eq!(uptime.since, "Sat Nov 21 07:16:23 2026");
    }

    #[test]
    fn a_statistic_that_is_not_in_the_answer_is_missed() {
        let text = r#"{"dialog:active_dialogs":0,"core:rcv_requests":5,"load:load":0}"#;
        let answer: Statistics = serde_json::from_str(text).unwrap();
        for (name, asked, there) in [
            ("active_dialogs", "active_dialogs", true),
            ("dialog:active_dialogs", "active_dialogs", true),
            ("core:", "core:", true),
            ("all", "all", true),
            ("no_such_stat", "no_such_stat", false),
            ("nogroup:", "nogroup:", false),
            ("core:active_dialogs", "active_dialogs", false),
        ] {
            assert_eq!(asked_name(name), asked);
            assert_eq!(has_statistic(&answer, name), there, "{name}");
        }
        assert!(!has_statistic(&Statistics::new(), "all"));
    }

    #[test]
    fn a_subscription_is_found_in_each_shape_of_the_list_until_it_is_over() {
        // Recording `03_event_subscribe_errors_and_list`.
        let ours = r#"{"socket":"udp:127.0.0.1:28090","expire":30,"ttl":30}"#;
        let over = r#"{"socket":"udp:127.0.0.1:28090","expire":0,"ttl":"expired"}"#;
        for (text, there) in [
            (
                format!(r#"{{"Events":[{{"name":"E_A","id":22,"Subscribers":[{ours}]}}]}}"#),
                true,
            ),
            (
                format!(r#"{{"Event":{{"name":"E_A","id":6,"Subscribers":[{ours}]}}}}"#),
                true,
            ),
            (
                format!(r#"{{"Event":{{"name":"E_A","id":6,"Subscriber":{ours}}}}}"#),
                true,
            ),
            (
                format!(r#"{{"Events":[{{"name":"E_A","Subscribers":[{over}]}}]}}"#),
                false,
            ),
            (
                format!(r#"{{"Events":[{{"name":"E_B","Subscribers":[{ours}]}}]}}"#),
                false,
            ),
            (r#"{"Event":{}}"#.to_owned(), false),
            (r#"{"Events":[]}"#.to_owned(), false),
        ] {
            let list: SubscriberList = serde_json::from_str(&text).unwrap();
            assert_eq!(list.has("E_A", "udp:127.0.0.1:28090"), there, "{text}");
        }
        assert!(
            serde_json::from_str::<EventList>(
                r#"{"Events":[{"name":"E_DLG_STATE_CHANGED","id":6}]}"#
            )
            .unwrap()
            .has("E_DLG_STATE_CHANGED")
        );
    }
}
