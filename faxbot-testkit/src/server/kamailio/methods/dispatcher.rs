//! `dispatcher.*` (recording `dispatcher`).

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{
    kamailio::{
        rpc::{Outcome, Refusal, SeenRpc},
        state::State,
    },
    proxy::Tree,
};

/// From one change of the table to the next: `reload_delta`.
const RELOAD: Duration = Duration::from_secs(5);

/// A destination.
#[derive(Debug, Clone)]
pub(in crate::server::kamailio) struct Destination {
    pub set: i64,
    pub uri: String,
    /// `A`, `I`, `T` or `D`, and whether it is probed.
    pub state: char,
    pub probed: bool,
    pub priority: i64,
    /// Destinations that were added later have no attributes.
    pub duid: Option<String>,
}

/// All sets of destinations.
#[derive(Debug)]
pub(in crate::server::kamailio) struct Dispatcher {
    pub all: Vec<Destination>,
    changed: Option<Instant>,
    pings: i64,
}

impl Dispatcher {
    pub(in crate::server::kamailio) const fn new(all: Vec<Destination>) -> Self {
        Self {
            all,
            changed: None,
            pings: 1,
        }
    }
}

pub(super) fn run(
    state: &mut State,
    name: &str,
    request: &SeenRpc,
    now: Instant,
) -> Option<Outcome> {
    let table = &mut state.dispatcher;
    let params = request.values();
    let int = |place: usize| params.get(place).copied().and_then(Tree::int);
    let text = |place: usize| request.text(place).unwrap_or_default();
    Some(match name {
        "list" => Ok(list(&table.all)),
        "set_state" => set_state(table, text(0), int(1).unwrap_or_default(), text(2)),
        "add" => {
            if let Err(refusal) = reload(table, now) {
                return Some(Err(refusal));
            }
            // A group in quotes is 0.
            table.all.push(Destination {
                set: int(0).unwrap_or_default(),
                uri: text(1).to_owned(),
                state: 'A',
                probed: false,
                priority: 0,
                duid: None,
            });
            Ok("Ok. Dispatcher destination added.".into())
        }
        "remove" => {
            if let Err(refusal) = reload(table, now) {
                return Some(Err(refusal));
            }
            let set = int(0).unwrap_or_default();
            table.all.retain(|one| one.set != set || one.uri != text(1));
            Ok("Ok. Dispatcher destination removed.".into())
        }
        "reload" => match reload(table, now) {
            Err(refusal) => Err(refusal),
            Ok(()) => Ok("Ok. Dispatcher successfully reloaded.".into()),
        },
        "ping_active" => {
            let before = table.pings;
            table.pings = int(0).unwrap_or_default();
            Ok(Tree::object([
                ("NewPingState", Tree::Int(table.pings)),
                ("OldPingState", Tree::Int(before)),
            ]))
        }
        "hash" => Ok(Tree::object([
            ("hashid", Tree::Int(119)),
            ("slot", Tree::Int(0)),
        ])),
        _ => return None,
    })
}

fn reload(table: &mut Dispatcher, now: Instant) -> Result<(), Refusal> {
    if table.changed.is_some_and(|at| now < at + RELOAD) {
        return Err(Refusal::new(500, "Ongoing reload"));
    }
    table.changed = Some(now);
    Ok(())
}

fn set_state(table: &mut Dispatcher, wanted: &str, set: i64, uri: &str) -> Outcome {
    let (letter, probed) = match wanted.to_ascii_uppercase().as_str() {
        "A" => ('A', false),
        "AP" => ('A', true),
        "I" => ('I', false),
        "IP" => ('I', true),
        "T" => ('T', false),
        "TP" => ('T', true),
        "D" => ('D', false),
        "DP" => ('D', true),
        _ => return Err(Refusal::new(500, "Unknown State Value")),
    };
    let mut all = table.all.iter_mut();
    match all.find(|one| one.set == set && one.uri == uri) {
        None => Err(Refusal::new(500, "State Update Failed")),
        Some(one) => {
            one.state = letter;
            // What is disabled is not probed (recording `dispatcher`: `dp` became `DX`).
            one.probed = probed && letter != 'D';
            Ok("Ok. Dispatcher state updated.".into())
        }
    }
}

fn list(all: &[Destination]) -> Tree {
    let mut sets: Vec<i64> = all.iter().map(|one| one.set).collect();
    sets.sort_unstable_by_key(|set| (*set != 0, -set));
    sets.dedup();
    let records = sets.iter().map(|set| {
        let targets = all.iter().filter(|one| one.set == *set).map(destination);
        let set = Tree::object([
            ("ID", Tree::Int(*set)),
            ("TARGETS", Tree::List(targets.collect())),
        ]);
        Tree::object([("SET", set)])
    });
    Tree::object([
        (
            "NRSETS",
            Tree::Int(i64::try_from(sets.len()).unwrap_or_default()),
        ),
        ("RECORDS", Tree::List(records.collect())),
    ])
}

fn destination(one: &Destination) -> Tree {
    let probed = if one.probed { 'P' } else { 'X' };
    let mut members = vec![
        ("URI", Tree::from(one.uri.as_str())),
        ("FLAGS", Tree::from(format!("{}{probed}", one.state))),
        ("PRIORITY", Tree::Int(one.priority)),
    ];
    if let Some(duid) = &one.duid {
        let attributes = Tree::object([
            ("BODY", Tree::from(format!("duid={duid}"))),
            ("DUID", Tree::from(duid.as_str())),
            ("MAXLOAD", Tree::Int(0)),
            ("WEIGHT", Tree::Int(0)),
            ("RWEIGHT", Tree::Int(0)),
            ("SOCKET", Tree::Null),
            ("SOCKNAME", Tree::Null),
            ("OBPROXY", Tree::Null),
        ]);
        members.push(("ATTRS", attributes));
    }
    Tree::object([("DEST", Tree::object(members))])
}
