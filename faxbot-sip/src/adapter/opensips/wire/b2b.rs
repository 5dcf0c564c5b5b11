//! `b2b_list`: the calls of `b2b_trigger_scenario`.

use std::fmt;

use faxbot_core::{Private, id::CallId};
use serde::Deserialize;
use uuid::Uuid;

use super::{lenient, server::ServerVersion};

/// What `b2b_list` answers.
#[derive(Deserialize)]
pub(in super::super) struct TupleList {
    #[serde(default, rename = "Tuples")]
    pub(in super::super) tuples: Vec<RawTuple>,
}

/// One call of two legs.
#[derive(Deserialize)]
pub(in super::super) struct RawTuple {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(in super::super) key: String,
    #[serde(default, deserialize_with = "lenient::number")]
    pub(in super::super) state: i64,
    #[serde(default, deserialize_with = "lenient::number")]
    lifetime: i64,
    #[serde(default, deserialize_with = "lenient::text")]
    pub(in super::super) scenario: String,
    #[serde(default, rename = "SERVERS")]
    servers: Vec<RawLeg>,
    #[serde(default, rename = "CLIENTS")]
    clients: Vec<RawLeg>,
}

#[derive(Deserialize)]
struct RawLeg {
    #[serde(default, deserialize_with = "lenient::text")]
    key: String,
    #[serde(default, deserialize_with = "lenient::text")]
    to_uri: String,
    /// 1 once the leg is answered.
    #[serde(default, deserialize_with = "lenient::number")]
    state: i64,
}

/// Where a call of two legs stands: `enum b2b_tuple_state` of `b2b_logic.h`, in the numbers of 3.4 and
/// later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TupleState {
    /// 0: made. One that stays so could not be begun: `server_address` of `b2b_logic` is not set.
    Begun,
    /// 1 to 3: its parties are being connected.
    Connecting,
    /// 4: they talk.
    Connected,
    /// 5: ending, or a party refused. It stays in the list for some seconds.
    Ending,
    /// A number of a later release.
    Other(i64),
}

impl RawTuple {
    /// Writes the state in the numbers of 3.4 and later. From 3.2.10 and 3.3.3 on they were 1, 2, 3;
    /// before, -1 stood for connecting, -2 for ending, and connected had none.
    pub(in super::super) fn renumber(&mut self, version: ServerVersion) {
        let of =
            |minor, patch| (version.major, version.minor) == (3, minor) && version.patch >= patch;
        if version.major > 3 || version.minor >= 4 {
            return;
        }
        let answered = self.clients.iter().filter(|leg| leg.state == 1).count();
        self.state = match self.state {
            number @ 1..=3 if of(2, 10) || of(3, 3) => number + 2,
            number if of(2, 10) || of(3, 3) => number,
            -2 => 5,
            _ if answered >= 2 => 4,
            _ if self.clients.is_empty() && self.servers.is_empty() => 0,
            _ => 3,
        };
    }

    pub(in super::super) fn state(&self) -> TupleState {
        match self.state {
            0 => TupleState::Begun,
            1..=3 => TupleState::Connecting,
            4 => TupleState::Connected,
            5 => TupleState::Ending,
            other => TupleState::Other(other),
        }
    }

    /// Our id of the call, if one of ours made it.
    pub(in super::super) fn mark(&self) -> Option<CallId> {
        read_mark(&self.scenario)
    }

    /// The Call-IDs of its legs.
    pub(in super::super) fn legs(&self) -> impl Iterator<Item = &str> {
        let legs = self.servers.iter().chain(&self.clients);
        legs.map(|leg| leg.key.as_str())
            .filter(|key| !key.is_empty())
    }

    /// Whether it called this party.
    pub(in super::super) fn calls(&self, uri: &str) -> bool {
        self.clients.iter().any(|leg| leg.to_uri == uri)
    }

    /// Whether there is nothing to end, or nothing any more.
    pub(in super::super) fn is_over(&self) -> bool {
        self.state() == TupleState::Ending || self.is_dead()
    }

    /// Whether nobody was called and nobody will be.
    pub(in super::super) fn is_dead(&self) -> bool {
        self.state == 0 && self.servers.is_empty() && self.clients.is_empty()
    }
}

/// What stands in `scenario_id` for a call of ours: its UUID.
pub(in super::super) fn mark(id: CallId) -> String {
    id.as_uuid().to_string()
}

/// The id behind a `scenario_id` that [`mark`] made; also the longer form of an id.
pub(in super::super) fn read_mark(scenario: &str) -> Option<CallId> {
    if let Ok(id) = scenario.parse() {
        return Some(id);
    }
    // The one form that we write: other texts that are UUIDs too are somebody else's.
    let uuid = (scenario.len() == 36).then(|| Uuid::try_parse(scenario).ok())??;
    Some(CallId::from_uuid(uuid))
}

/// A call of two legs as `b2b_list` shows it. `Debug` shows no address.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuple {
    /// What `b2b_terminate_call` and `b2b_bridge` take. It comes again for later calls.
    pub key: String,
    /// Where it stands.
    pub state: TupleState,
    /// The `scenario_id` that it was made with.
    pub scenario: Private,
    /// Our id of it, where one of ours made it.
    pub id: Option<CallId>,
    /// Seconds that it may still live.
    pub lifetime_seconds: i64,
    /// The Call-IDs of its legs.
    pub legs: Vec<Private>,
    /// The parties that it called.
    pub called: Vec<Private>,
}

impl From<RawTuple> for Tuple {
    fn from(raw: RawTuple) -> Self {
        Self {
            state: raw.state(),
            id: raw.mark(),
            legs: raw.legs().map(|leg| leg.to_owned().into()).collect(),
            called: raw
                .clients
                .iter()
                .map(|leg| leg.to_uri.clone().into())
                .collect(),
            lifetime_seconds: raw.lifetime,
            key: raw.key,
            scenario: raw.scenario.into(),
        }
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuple")
            .field("key", &self.key)
            .field("state", &self.state)
            .field("id", &self.id)
            .field("legs", &self.legs.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuples(text: &str) -> Vec<RawTuple> {
        serde_json::from_str::<TupleList>(text).unwrap().tuples
    }

    #[test]
    fn a_connected_call_has_two_legs() {
        // Recording `05_click_to_dial_b2b_ok`.
        let all = tuples(
            r#"{"Tuples":[{"id":0,"key":"697.0","state":4,"lifetime":43200,"db_flag":2,"scenario":"click-job-1",
            "SERVERS":[],"CLIENTS":[{"index":0,"scenario_id":"caller","key":"B2B.185.5908923.1795245629.461613175",
            "disconnected":0,"state":1,"to_uri":"sip:2000@127.0.0.1:25080"},{"index":1,"scenario_id":"callee",
            "key":"B2B.185.241407.1795245629.1514262568","to_uri":"sip:3000@127.0.0.1:25084"}],"BRIDGE_ENTITIES":[]}]}"#,
        );
        assert_eq!(all[0].state(), TupleState::Connected);
        assert_eq!(all[0].legs().count(), 2);
        assert_eq!(all[0].mark(), None);
        assert!(!all[0].is_dead());
        let shown = format!(
            "{:?}",
            Tuple::from(tuples("{\"Tuples\":[{\"scenario\":\"sip:2000@x\"}]}").remove(0))
        );
        assert!(!shown.contains("2000"), "{shown}");
    }

    #[test]
    fn what_could_not_be_begun_is_dead() {
        // Recording `05_click_to_dial_server_address_not_set`.
        let all = tuples(
            r#"{"Tuples":[{"id":0,"key":"697.0","state":0,"lifetime":60,"db_flag":2,"scenario":"click",
            "SERVERS":[],"CLIENTS":[],"BRIDGE_ENTITIES":[]}]}"#,
        );
        assert!(all[0].is_dead());
        assert!(tuples(r#"{"Tuples":[]}"#).is_empty());
    }

    #[test]
    fn the_numbers_of_earlier_releases_are_those_of_later_ones() {
        let legs = |one: i64, other: i64| {
            format!(r#"[{{"key":"a","state":{one}}},{{"key":"b","state":{other}}}]"#)
        };
        for (patch, state, clients, wanted) in [
            ((2, 19), 0, "[]".to_owned(), TupleState::Begun),
            ((2, 19), 1, legs(1, 0), TupleState::Connecting),
            ((2, 10), 2, legs(1, 1), TupleState::Connected),
            ((3, 3), 3, legs(1, 0), TupleState::Ending),
            ((2, 9), -1, legs(1, 0), TupleState::Connecting),
            ((2, 9), -3, legs(1, 1), TupleState::Connected),
            ((3, 2), -2, legs(1, 0), TupleState::Ending),
            ((4, 0), 3, legs(1, 0), TupleState::Connecting),
            ((6, 8), 4, legs(1, 1), TupleState::Connected),
        ] {
            let text =
                format!(r#"{{"Tuples":[{{"key":"1.0","state":{state},"CLIENTS":{clients}}}]}}"#);
            let mut tuple = tuples(&text).remove(0);
            let version = ServerVersion {
                major: 3,
                minor: patch.0,
                patch: patch.1,
            };
            tuple.renumber(version);
            assert_eq!(tuple.state(), wanted, "{version} {state}");
        }
    }

    #[test]
    fn a_mark_is_read_back_and_nothing_else_is_one() {
        let id = CallId::new();
        assert_eq!(read_mark(&mark(id)), Some(id));
        assert_eq!(read_mark(&id.to_string()), Some(id));
        let simple = id.as_uuid().simple().to_string();
        for other in ["", "top hiding", "click-job-1", simple.as_str()] {
            assert_eq!(read_mark(other), None, "{other}");
        }
    }
}
