//! Where the server sends calls: `ds_list`, `lb_list`, `reg_list`; and how many there are: profiles.

use faxbot_core::Private;
use serde::Deserialize;

use super::lenient;

/// What `ds_list` answers.
#[derive(Deserialize)]
pub(in super::super) struct DispatcherList {
    #[serde(default, rename = "PARTITIONS")]
    partitions: Vec<RawPartition>,
}

#[derive(Deserialize)]
struct RawPartition {
    #[serde(default, deserialize_with = "lenient::text")]
    name: String,
    #[serde(default, rename = "SETS")]
    sets: Vec<RawSet>,
}

#[derive(Deserialize)]
struct RawSet {
    #[serde(default, deserialize_with = "lenient::number")]
    id: i64,
    #[serde(default, rename = "Destinations")]
    destinations: Vec<RawDestination>,
}

#[derive(Deserialize)]
struct RawDestination {
    #[serde(default, rename = "URI", deserialize_with = "lenient::text")]
    uri: String,
    #[serde(default, deserialize_with = "lenient::text")]
    state: String,
    #[serde(default, deserialize_with = "lenient::text")]
    attr: String,
}

/// Whether the dispatcher uses a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DispatcherState {
    /// It is used.
    Active,
    /// It is not used.
    Inactive,
    /// It is asked whether it is there; until then it is used.
    Probing,
    /// Another word of the server.
    Other(String),
}

impl DispatcherState {
    /// The letter that `ds_set_state` takes.
    ///
    /// `None` for [`Other`](Self::Other), which cannot be set.
    pub(in super::super) fn letter(&self) -> Option<&'static str> {
        match self {
            Self::Active => Some("a"),
            Self::Inactive => Some("i"),
            Self::Probing => Some("p"),
            Self::Other(_) => None,
        }
    }
}

/// A destination of the dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dispatcher {
    /// The partition; `default` where there is one only.
    pub partition: String,
    /// The set, which `ds_select_dst` of the script names.
    pub set: i64,
    /// The destination's URI.
    pub uri: Private,
    /// Whether it is used.
    pub state: DispatcherState,
    /// The attributes that the operator gave it.
    pub attributes: String,
}

impl DispatcherList {
    pub(in super::super) fn into_all(self) -> Vec<Dispatcher> {
        let mut all = Vec::new();
        for partition in self.partitions {
            for set in partition.sets {
                let of_set = set.destinations.into_iter().map(|it| Dispatcher {
                    partition: partition.name.clone(),
                    set: set.id,
                    state: match it.state.as_str() {
                        "Active" => DispatcherState::Active,
                        "Inactive" => DispatcherState::Inactive,
                        "Probing" => DispatcherState::Probing,
                        _ => DispatcherState::Other(it.state),
                    },
                    uri: it.uri.into(),
                    attributes: it.attr,
                });
                all.extend(of_set);
            }
        }
        all
    }
}

/// What `lb_list` answers.
#[derive(Deserialize)]
pub(in super::super) struct BalancerList {
    #[serde(default, rename = "Destinations")]
    pub(in super::super) destinations: Vec<Balanced>,
}

/// A destination of the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Balanced {
    /// Its number, which `lb_status` takes.
    #[serde(default, deserialize_with = "lenient::number")]
    pub id: i64,
    /// Its group.
    #[serde(default, deserialize_with = "lenient::number")]
    pub group: i64,
    /// Its URI.
    #[serde(default)]
    pub uri: Private,
    /// Whether it is used.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub enabled: bool,
    /// Whether the server enables it again by itself.
    #[serde(default, rename = "auto-reenable", deserialize_with = "lenient::flag")]
    pub auto_reenable: bool,
    /// What it has room for.
    #[serde(default, rename = "Resources")]
    pub resources: Vec<BalancedResource>,
}

/// How many calls of a kind a destination of the load balancer takes and has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct BalancedResource {
    /// The operator's name of the kind.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: String,
    /// At most so many.
    #[serde(default, deserialize_with = "lenient::number")]
    pub max: i64,
    /// So many now.
    #[serde(default, deserialize_with = "lenient::number")]
    pub load: i64,
}

/// What `reg_list` answers; one record comes alone.
#[derive(Deserialize)]
pub(in super::super) struct TrunkList {
    #[serde(default, rename = "Records")]
    records: Vec<Trunk>,
    #[serde(default, rename = "Registrant")]
    registrant: Option<Trunk>,
}

impl TrunkList {
    pub(in super::super) fn into_all(mut self) -> Vec<Trunk> {
        self.records.extend(self.registrant.take());
        self.records
    }
}

/// A trunk that the server registers at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Trunk {
    /// The address of record.
    #[serde(default, rename = "AOR")]
    pub aor: Private,
    /// The registrar.
    #[serde(default)]
    pub registrar: Private,
    /// The contact that is registered.
    #[serde(default)]
    pub binding: Private,
    /// The server's word: `REGISTERED_STATE`, `REGISTER_TIMEOUT_STATE` and their like.
    #[serde(default, deserialize_with = "lenient::text")]
    pub state: String,
    /// Whether it is turned on. Releases that do not tell count as on.
    #[serde(default = "yes", deserialize_with = "lenient::flag")]
    pub enabled: bool,
    /// Seconds of a registration.
    #[serde(default, deserialize_with = "lenient::number")]
    pub expires: i64,
}

fn yes() -> bool {
    true
}

impl Trunk {
    /// Whether the server is registered there.
    pub fn is_registered(&self) -> bool {
        self.state == "REGISTERED_STATE"
    }
}

/// What `list_all_profiles` answers.
#[derive(Deserialize)]
pub(in super::super) struct ProfileList {
    #[serde(default, rename = "Profiles")]
    pub(in super::super) profiles: Vec<Profile>,
}

/// A profile of dialogs, as the operator declared it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Profile {
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: String,
    /// Whether its dialogs are counted by a value.
    #[serde(default, rename = "has value", deserialize_with = "lenient::flag")]
    pub has_value: bool,
}

/// A value in a profile, as `profile_get_values` shows it (recording `02_dlg_one_live_dialog`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProfileValue {
    /// The value; `None` in a profile without values.
    #[serde(default)]
    pub value: Option<Private>,
    /// The dialogs that have it.
    #[serde(default, deserialize_with = "lenient::number")]
    pub count: i64,
}

/// What `profile_get_size` answers.
#[derive(Deserialize)]
pub(in super::super) struct ProfileSize {
    #[serde(rename = "Profile")]
    profile: RawSize,
}

#[derive(Deserialize)]
struct RawSize {
    #[serde(deserialize_with = "lenient::number")]
    count: i64,
}

impl ProfileSize {
    pub(in super::super) fn count(&self) -> u64 {
        u64::try_from(self.profile.count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_without_values_has_one_that_is_none() {
        // Recording `02_dlg_one_live_dialog`.
        let all: Vec<ProfileValue> =
            serde_json::from_str(r#"[{"value":"alice","count":1},{"value":null,"count":2}]"#)
                .unwrap();
        assert_eq!(all[0].value.as_ref().unwrap().expose(), "alice");
        assert_eq!((all[1].value.as_ref(), all[1].count), (None, 2));
        assert!(!format!("{all:?}").contains("alice"));
    }

    #[test]
    fn destinations_keep_their_set_and_their_state() {
        // Recording `07_dispatcher_load_balancer_registrant`.
        let text = r#"{"PARTITIONS":[{"name":"default","SETS":[{"id":2,"Destinations":[
            {"URI":"sip:127.0.0.1:25999","state":"Inactive","first_hit_counter":0,"resolved_addresses":["127.0.0.1:25999"]}]},
            {"id":1,"Destinations":[{"URI":"sip:127.0.0.1:25080","state":"Active","first_hit_counter":0,"attr":"first"}]}]}]}"#;
        let all = serde_json::from_str::<DispatcherList>(text)
            .unwrap()
            .into_all();
        let seen: Vec<_> = all
            .iter()
            .map(|it| (it.set, it.state.clone(), it.attributes.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (2, DispatcherState::Inactive, ""),
                (1, DispatcherState::Active, "first")
            ]
        );
        assert!(!format!("{all:?}").contains("25080"));
    }

    #[test]
    fn the_balancer_tells_what_it_has_room_for() {
        let text = r#"{"Destinations":[{"uri":"sip:127.0.0.1:25080","id":1,"group":1,"enabled":"yes","auto-reenable":"on",
            "Resources":[{"name":"calls","max":10,"load":0},{"name":"fax","max":2,"load":1}]}]}"#;
        let all = serde_json::from_str::<BalancerList>(text)
            .unwrap()
            .destinations;
        assert!(all[0].enabled && all[0].auto_reenable);
        assert_eq!((all[0].resources[1].max, all[0].resources[1].load), (2, 1));
    }

    #[test]
    fn a_trunk_comes_in_a_list_or_alone() {
        let trunk = r#"{"AOR":"sip:trunk@127.0.0.1","expires":60,"state":"REGISTERED_STATE","enabled":"yes",
            "registrar":"sip:127.0.0.1:25085","binding":"sip:trunk@127.0.0.1:25060"}"#;
        for text in [
            format!(r#"{{"Records":[{trunk}]}}"#),
            format!(r#"{{"Registrant":{trunk}}}"#),
        ] {
            let all = serde_json::from_str::<TrunkList>(&text).unwrap().into_all();
            assert!(all[0].is_registered() && all[0].enabled && all[0].expires == 60);
            assert!(!format!("{all:?}").contains("trunk@"));
        }
    }

    #[test]
    fn profiles_are_counted() {
        let text =
            r#"{"Profile":{"name":"all","value":null,"count":2,"shared":"no","replicated":"no"}}"#;
        assert_eq!(
            serde_json::from_str::<ProfileSize>(text).unwrap().count(),
            2
        );
        let text =
            r#"{"Profiles":[{"name":"all","has value":false},{"name":"caller","has value":true}]}"#;
        let profiles = serde_json::from_str::<ProfileList>(text).unwrap().profiles;
        assert!(!profiles[0].has_value && profiles[1].has_value);
    }
}
