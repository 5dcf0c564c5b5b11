//! Destinations: the answer of `dispatcher.list` (`ds_rpc_print_set` in `dispatcher.c`).

use std::time::Duration;

use faxbot_core::Private;
use serde::Deserialize;

use super::lenient::{Number, Several, Text};

/// What the dispatcher does with a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DestinationState {
    /// `A`: it gets calls.
    Active,
    /// `I`: it gets none.
    Inactive,
    /// `T`: it failed, and is tried.
    Trying,
    /// `D`: switched off.
    Disabled,
}

impl DestinationState {
    fn of(letter: char) -> Option<Self> {
        match letter {
            'A' => Some(Self::Active),
            'I' => Some(Self::Inactive),
            'T' => Some(Self::Trying),
            'D' => Some(Self::Disabled),
            _ => None,
        }
    }

    /// The word of `dispatcher.set_state`, with or without probing.
    pub(in super::super) fn word(self, probing: bool) -> &'static str {
        match (self, probing) {
            (Self::Active, false) => "a",
            (Self::Active, true) => "ap",
            (Self::Inactive, false) => "i",
            (Self::Inactive, true) => "ip",
            (Self::Trying, false) => "t",
            (Self::Trying, true) => "tp",
            (Self::Disabled, false) => "d",
            (Self::Disabled, true) => "dp",
        }
    }
}

/// A destination of the dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Destination {
    /// The set that it is in.
    pub set: u32,
    /// Its address, exactly as `dispatcher.set_state` wants it.
    pub uri: Private,
    /// What the dispatcher does with it; `None` for a letter that is not known.
    pub state: Option<DestinationState>,
    /// Whether it is pinged.
    pub probing: bool,
    /// Its priority.
    pub priority: i64,
    /// Its own name (`duid`).
    pub duid: Option<String>,
    /// Its weight.
    pub weight: Option<u32>,
    /// The most calls that it gets at once.
    pub max_load: Option<u32>,
    /// Calls that it has now, where the dispatcher counts them.
    pub load: Option<u32>,
    /// Its last measured latency, where it is measured.
    pub latency: Option<Duration>,
}

/// The whole answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Sets {
    #[serde(rename = "RECORDS")]
    records: Several<Record>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    #[serde(rename = "SET")]
    set: Set,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Set {
    #[serde(rename = "ID")]
    id: Number,
    #[serde(rename = "TARGETS")]
    targets: Several<Target>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    #[serde(rename = "DEST")]
    dest: Dest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
struct Dest {
    uri: Text,
    flags: Text,
    priority: Number,
    attrs: Attrs,
    latency: Latency,
    runtime: Runtime,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
struct Attrs {
    duid: Text,
    weight: Number,
    maxload: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
struct Latency {
    /// Milliseconds.
    est: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "UPPERCASE")]
struct Runtime {
    dlgload: Number,
}

impl Sets {
    pub(in super::super) fn into_destinations(self) -> Vec<Destination> {
        let sets = self.records.0.into_iter().map(|record| record.set);
        sets.flat_map(|set| {
            let id = set.id.unsigned().unwrap_or_default();
            let targets = set.targets.0.into_iter();
            targets.filter_map(move |target| target.dest.into_destination(id))
        })
        .collect()
    }
}

impl Dest {
    fn into_destination(self, set: u32) -> Option<Destination> {
        let mut flags = self.flags.0.as_deref().unwrap_or_default().chars();
        let (state, probing) = (flags.next(), flags.next() == Some('P'));
        let some = |number: Number| number.unsigned().filter(|number| *number > 0);
        Some(Destination {
            set,
            uri: self.uri.private()?,
            state: state.and_then(DestinationState::of),
            probing,
            priority: self.priority.0.unwrap_or_default(),
            duid: self.attrs.duid.0,
            weight: some(self.attrs.weight),
            max_load: some(self.attrs.maxload),
            load: self.runtime.dlgload.unsigned(),
            latency: some(self.latency.est).map(|ms| Duration::from_millis(ms.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_from_all_sets() {
        // Of `basics`; the second target as 6.1 writes one without attributes.
        let json = r#"{"NRSETS":2,"RECORDS":[{"SET":{"ID":2,"TARGETS":[{"DEST":{"URI":"sip:127.0.0.1:5090","FLAGS":"DX","PRIORITY":0,"ATTRS":{"BODY":"duid=gw-c","DUID":"gw-c","MAXLOAD":0,"WEIGHT":0,"RWEIGHT":0,"SOCKET":null,"SOCKNAME":null,"OBPROXY":null}}}]}}, {"SET":{"ID":1,"TARGETS":[{"DEST":{"URI":"sip:127.0.0.1:5080","FLAGS":"AP","PRIORITY":10,"ATTRS":{"BODY":"duid=gw-a;weight=60;maxload=200","DUID":"gw-a","MAXLOAD":200,"WEIGHT":60,"RWEIGHT":0}}},{"DEST":{"IDX":1,"URI":"sip:127.0.0.1:5081","FLAGS":"TN","PRIORITY":0,"IUID":"u","LATENCY":{"AVG":2.5,"EST":12.7,"MAX":20,"TIMEOUT":1},"RUNTIME":{"DLGLOAD":3}}}]}}]}"#;
        let sets: Sets = serde_json::from_str(json).unwrap();
        let all = sets.into_destinations();
        let told: Vec<_> = all
            .iter()
            .map(|it| (it.set, it.state.unwrap(), it.probing, it.duid.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (2, DestinationState::Disabled, false, Some("gw-c")),
                (1, DestinationState::Active, true, Some("gw-a")),
                (1, DestinationState::Trying, false, None),
            ]
        );
        assert_eq!((all[1].weight, all[1].max_load), (Some(60), Some(200)));
        assert_eq!(all[2].load, Some(3));
        assert_eq!(all[2].latency, Some(Duration::from_millis(12)));
    }

    #[test]
    fn the_words_of_a_state_are_those_of_the_server() {
        assert_eq!(DestinationState::Active.word(false), "a");
        assert_eq!(DestinationState::Disabled.word(true), "dp");
    }
}
