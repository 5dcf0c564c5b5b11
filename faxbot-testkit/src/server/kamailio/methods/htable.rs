//! `htable.*` (recording `htable`).

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::server::{
    kamailio::{
        rpc::{Outcome, Refusal, SeenRpc},
        state::State,
    },
    proxy::Tree,
};

#[derive(Debug)]
struct Item {
    value: Tree,
    until: Option<Instant>,
}

/// One table.
#[derive(Debug)]
pub(in crate::server::kamailio) struct Table {
    name: &'static str,
    /// Seconds that its items live; 0 for ever.
    expire: u64,
    size: i64,
    items: BTreeMap<String, Item>,
}

/// The tables of the recordings.
pub(in crate::server::kamailio) fn tables() -> Vec<Table> {
    [("limits", 0, 16), ("short", 2, 16), ("sessions", 120, 256)]
        .into_iter()
        .map(|(name, expire, size)| Table {
            name,
            expire,
            size,
            items: BTreeMap::new(),
        })
        .collect()
}

pub(super) fn run(
    state: &mut State,
    name: &str,
    request: &SeenRpc,
    now: Instant,
) -> Option<Outcome> {
    for table in &mut state.tables {
        table
            .items
            .retain(|_, item| item.until.is_none_or(|until| until > now));
    }
    match name {
        "listTables" => {
            let all = state.tables.iter().map(|table| {
                Tree::object([
                    ("name", Tree::from(table.name)),
                    ("dbtable", "".into()),
                    ("dbmode", Tree::Int(0)),
                    (
                        "expire",
                        Tree::Int(i64::try_from(table.expire).unwrap_or(0)),
                    ),
                    ("updateexpire", Tree::Int(1)),
                    ("size", Tree::Int(table.size)),
                    ("dmqreplicate", Tree::Int(0)),
                ])
            });
            return Some(Ok(Tree::List(all.collect())));
        }
        "stats" => {
            let all = state.tables.iter().map(|table| {
                let count = i64::try_from(table.items.len()).unwrap_or_default();
                Tree::object([
                    ("name", Tree::from(table.name)),
                    ("slots", Tree::Int(table.size)),
                    ("all", Tree::Int(count)),
                    ("min", Tree::Int(0)),
                    ("max", Tree::Int(count.min(1))),
                ])
            });
            return Some(Ok(Tree::List(all.collect())));
        }
        "get" | "sets" | "seti" | "setex" | "setxs" | "setxi" | "delete" | "dump" | "flush" => {}
        "store" | "reload" => return Some(Err(Refusal::new(500, "No htable db_url"))),
        _ => return None,
    }
    Some(on_table(state, name, request, now))
}

fn on_table(state: &mut State, name: &str, request: &SeenRpc, now: Instant) -> Outcome {
    let values = request.values();
    let found = state
        .tables
        .iter_mut()
        .find(|table| request.text(0) == Some(table.name));
    let wanted = match name {
        "dump" | "flush" => 1,
        "get" | "delete" => 2,
        "setex" | "setxs" | "setxi" => 4,
        _ => 3,
    };
    if values.len() < wanted {
        let why = "Not enough parameters (htable name, key name and value)";
        return Err(Refusal::new(500, why));
    }
    let Some(table) = found else {
        return Err(Refusal::new(500, "No such htable"));
    };
    let key = request.text(1).unwrap_or_default();
    let seconds = |place: usize| {
        let value = values.get(place).copied().and_then(Tree::int);
        Duration::from_secs(value.and_then(|it| u64::try_from(it).ok()).unwrap_or(0))
    };
    let mut set = |value: &Tree, time: Duration| {
        let until = (!time.is_zero()).then(|| now + time);
        let value = value.clone();
        table.items.insert(key.to_owned(), Item { value, until });
    };
    let usual = Duration::from_secs(table.expire);
    match (name, values.as_slice()) {
        ("sets" | "seti", [_, _, value, ..]) => {
            set(value, usual);
            Ok("Ok. Key set to new value.".into())
        }
        ("setxs" | "setxi", [_, _, value, ..]) => {
            set(value, seconds(3));
            Ok("Ok. Key set to new value.".into())
        }
        ("setex", [_, _, _, value, ..]) => {
            set(value, seconds(2));
            Ok("Ok".into())
        }
        ("get", _) => match table.items.get(key) {
            None => Err(Refusal::new(500, "Key name doesn't exist in htable.")),
            Some(item) => {
                let expire = item.until.map_or("NEVER", |_| "2026-11-21 07:22:31");
                let flags = i64::from(matches!(item.value, Tree::Text(_))) * 2;
                let item = Tree::object([
                    ("name", Tree::from(key)),
                    ("value", item.value.clone()),
                    ("flags", Tree::Int(flags)),
                    ("expire", expire.into()),
                ]);
                Ok(Tree::object([("item", item)]))
            }
        },
        ("delete", _) => match table.items.remove(key) {
            None => Err(Refusal::new(404, "Key not found in htable.")),
            Some(_) => Ok("Ok. Key deleted.".into()),
        },
        ("flush", _) => {
            table.items.clear();
            Ok("Ok. Htable flushed.".into())
        }
        _ => Ok(dump(table)),
    }
}

fn dump(table: &Table) -> Tree {
    let slots = table.items.iter().zip(1..).map(|((name, item), entry)| {
        let kind = match item.value {
            Tree::Text(_) => "str",
            _ => "int",
        };
        let item = Tree::object([
            ("name", Tree::from(name.as_str())),
            ("value", item.value.clone()),
            ("type", kind.into()),
        ]);
        Tree::object([
            ("entry", Tree::Int(entry)),
            ("size", Tree::Int(1)),
            ("slot", Tree::List(vec![item])),
        ])
    });
    Tree::List(slots.collect())
}
