//! The commands of each release, and the parameters that they take.
//!
//! `which.json` is what `which` answers for each command of the real releases 3.6.8, 3.4.18 and
//! 3.2.19.

use std::sync::LazyLock;

use super::mi::Refusal;
use crate::server::proxy::Tree;

/// A release of OpenSIPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Release {
    /// 3.2.19.
    V3_2,
    /// 3.4.18.
    V3_4,
    /// 3.6.8.
    #[default]
    V3_6,
}

impl Release {
    /// Its whole version.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V3_2 => "3.2.19",
            Self::V3_4 => "3.4.18",
            Self::V3_6 => "3.6.8",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::V3_2 => "3.2",
            Self::V3_4 => "3.4",
            Self::V3_6 => "3.6",
        }
    }

    /// The states of a tuple of `b2b_logic`: being connected, connected, ending.
    pub(super) const fn tuple_states(self) -> [i64; 3] {
        match self {
            Self::V3_2 => [1, 2, 3],
            Self::V3_4 | Self::V3_6 => [3, 4, 5],
        }
    }

    /// The module that an event comes from; `None` when the release does not have it.
    pub(super) fn module_of_event(self, event: &str) -> Option<&'static str> {
        let newer = matches!(
            event,
            "E_UA_SESSION" | "E_CORE_SR_STATUS_CHANGED" | "E_CORE_TCP_DISCONNECT"
        );
        if newer && self < Self::V3_4 {
            return None;
        }
        let found = EVENTS.iter().find(|(name, _)| *name == event);
        found.map(|(_, module)| *module)
    }
}

/// The events, in the order of their numbers (recording `01_version_uptime_ps_which`).
pub(super) const EVENTS: &[(&str, &str)] = &[
    ("E_CORE_SR_STATUS_CHANGED", ""),
    ("E_CORE_THRESHOLD", ""),
    ("E_CORE_SHM_THRESHOLD", ""),
    ("E_CORE_PKG_THRESHOLD", ""),
    ("E_CORE_PROC_AUTO_SCALE", ""),
    ("E_CORE_TCP_DISCONNECT", ""),
    ("E_DLG_STATE_CHANGED", "dialog"),
    ("E_ACC_EVENT", "acc"),
    ("E_ACC_CDR", "acc"),
    ("E_ACC_MISSED_EVENT", "acc"),
    ("E_UL_AOR_INSERT", "usrloc"),
    ("E_UL_AOR_DELETE", "usrloc"),
    ("E_UL_CONTACT_INSERT", "usrloc"),
    ("E_UL_CONTACT_UPDATE", "usrloc"),
    ("E_UL_CONTACT_DELETE", "usrloc"),
    ("E_UL_CONTACT_REFRESH", "usrloc"),
    ("E_UL_LATENCY_UPDATE", "usrloc"),
    ("E_CALL_TRANSFER", "callops"),
    ("E_CALL_HOLD", "callops"),
    ("E_DISPATCHER_STATUS", "dispatcher"),
    ("E_LOAD_BALANCER_STATUS", "load_balancer"),
    ("E_UA_SESSION", "b2b_entities"),
    ("E_MY_EVENT", ""),
    ("E_MY_LIST", ""),
    ("E_CORE_LOG", ""),
];

/// The module that a command comes from; empty for the core.
pub(super) fn module_of(command: &str) -> &'static str {
    const MODULES: &[(&str, &str)] = &[
        ("dlg_", "dialog"),
        ("profile_", "dialog"),
        ("list_all_profiles", "dialog"),
        ("call_", "callops"),
        ("b2be_", "b2b_entities"),
        ("ua_session_", "b2b_entities"),
        ("b2b_", "b2b_logic"),
        ("t_", "tm"),
        ("ul_", "usrloc"),
        ("ds_", "dispatcher"),
        ("lb_", "load_balancer"),
        ("reg_", "uac_registrant"),
    ];
    let found = MODULES.iter().find(|(start, _)| command.starts_with(start));
    found.map_or("", |(_, module)| module)
}

type Recipes = Vec<Vec<String>>;

static WHICH: LazyLock<Option<Tree>> = LazyLock::new(|| Tree::parse(include_bytes!("which.json")));

fn recipes_of(value: &Tree) -> Recipes {
    let recipe = |recipe: &Tree| {
        let names = recipe.values().into_iter();
        names
            .filter_map(|name| name.text().map(str::to_owned))
            .collect()
    };
    value.values().into_iter().map(recipe).collect()
}

/// All commands of a release with their recipes, in their order.
pub(super) fn commands(release: Release) -> Vec<(String, Recipes)> {
    let Some(all) = &*WHICH else {
        return Vec::new();
    };
    let Some(Tree::Object(newest)) = all.get(Release::V3_6.name()) else {
        return Vec::new();
    };
    let changes = all.get(release.name()).filter(|_| release != Release::V3_6);
    let without = changes.and_then(|changes| changes.get("without"));
    let without = without.map(Tree::values).unwrap_or_default();
    let instead = changes.and_then(|changes| changes.get("instead"));
    newest
        .iter()
        .filter(|(name, _)| !without.iter().any(|off| off.text() == Some(name)))
        .map(|(name, value)| {
            let other = instead.and_then(|instead| instead.get(name));
            (name.clone(), recipes_of(other.unwrap_or(value)))
        })
        .collect()
}

/// Commands that take no parameters by their place (`MI_NAMED_PARAMS_ONLY`).
const NAMED_ONLY: &[&str] = &[
    "dlg_list",
    "dlg_list_ctx",
    "dlg_send_sequential",
    "t_uac_dlg",
];

/// Gives each parameter its name. The set has to be one of the recipes.
pub(super) fn bind(
    command: &str,
    recipes: &Recipes,
    params: &Tree,
) -> Result<Vec<(String, Tree)>, Refusal> {
    const COUNT: &str = "Too few or too many parameters";
    let given = params.values().len();
    if given > 0 && matches!(params, Tree::List(_)) && NAMED_ONLY.contains(&command) {
        return Err(Refusal::params("Command only supports named parameters"));
    }
    let mut fitting = recipes
        .iter()
        .filter(|recipe| recipe.len() == given)
        .peekable();
    if fitting.peek().is_none() {
        return Err(Refusal::params(COUNT));
    }
    match params {
        Tree::Object(members) if given > 0 => {
            let mut fitting = fitting;
            let has = |recipe: &&Vec<String>| {
                recipe
                    .iter()
                    .all(|name| members.iter().any(|(other, _)| other == name))
            };
            match fitting.find(has) {
                Some(_) => Ok(members.clone()),
                None => Err(Refusal::params("Named parameters do not match")),
            }
        }
        Tree::List(values) if given > 0 => match (fitting.next(), fitting.next()) {
            (Some(recipe), None) => {
                Ok(recipe.iter().cloned().zip(values.iter().cloned()).collect())
            }
            _ => Err(Refusal::params(
                "Ambiguous call, use named parameters instead",
            )),
        },
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_has_its_own_commands() {
        let names = |release| -> Vec<String> {
            commands(release)
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        let newest = names(Release::V3_6);
        assert_eq!(newest.len(), 102);
        assert_eq!(names(Release::V3_4).len(), 99);
        assert_eq!(names(Release::V3_2).len(), 83);
        assert!(
            !names(Release::V3_2)
                .iter()
                .any(|name| name.starts_with("ua_session"))
        );
        let oldest = commands(Release::V3_2);
        let (_, recipes) = oldest.iter().find(|(name, _)| name == "ds_list").unwrap();
        assert_eq!(recipes, &vec![vec![], vec!["full".to_owned()]]);
    }

    #[test]
    fn parameters_have_to_be_one_of_the_recipes() {
        let all = commands(Release::V3_6);
        let bound = |command: &str, params: &str| {
            let (_, recipes) = all.iter().find(|(name, _)| name == command).unwrap();
            bind(command, recipes, &Tree::parse(params.as_bytes()).unwrap())
                .map(|named| named.len())
        };
        let count = Err(Refusal::params("Too few or too many parameters"));
        let names = Err(Refusal::params("Named parameters do not match"));
        for (command, params, wanted) in [
            ("dlg_end_dlg", "[]", count.clone()),
            ("dlg_end_dlg", "{}", count.clone()),
            ("dlg_end_dlg", r#"["a"]"#, Ok(1)),
            ("dlg_end_dlg", r#"{"wrong":"x"}"#, names.clone()),
            ("dlg_list", "null", Ok(0)),
            ("dlg_list", r#"{"index":0,"counter":1}"#, Ok(2)),
            ("dlg_list", r#"{"index":0}"#, names),
            (
                "dlg_list",
                r#"["a"]"#,
                Err(Refusal::params("Command only supports named parameters")),
            ),
            (
                "ds_list",
                r#"["full"]"#,
                Err(Refusal::params(
                    "Ambiguous call, use named parameters instead",
                )),
            ),
            ("t_uac_dlg", r#"{"method":"MESSAGE"}"#, count),
        ] {
            assert_eq!(bound(command, params), wanted, "{command} {params}");
        }
    }
}
