//! `hash`, `hash_dump` and `db` (recordings `09_hook_hash_outcomes`, `09_hook_quoting`).

use crate::server::freeswitch::{quoting, world::World};

const HASH_USAGE: &str =
    "-ERR Usage: hash insert|insert_ifempty|select|delete|delete_ifmatch/realm/key[/value]\n";

/// What `db select` and `db delete` have room for.
const DB_WIDTH: usize = 255;

pub(super) fn run(world: &World, name: &str, args: &str) -> Option<String> {
    Some(match name {
        "hash" if world.has("mod_hash") => hash(world, args),
        "hash_dump" if world.has("mod_hash") => hash_dump(world, args),
        "db" if world.has("mod_db") => db(world, args),
        "limit_usage" => "0".to_owned(),
        _ => return None,
    })
}

fn hash(world: &World, args: &str) -> String {
    let argv = quoting::separate(args, '/', 4);
    let word = |at: usize| argv.get(at).map(String::as_str).unwrap_or_default();
    let (what, realm, key, value) = (word(0), word(1), word(2), word(3));
    if realm.is_empty() || key.is_empty() {
        return HASH_USAGE.to_owned();
    }
    let place = format!("{realm}_{key}");
    world.change(|state| match what {
        "insert" | "insert_ifempty" | "delete_ifmatch" if value.is_empty() => HASH_USAGE.to_owned(),
        "insert_ifempty" if state.hash.contains_key(&place) => {
            "-ERR key already exists\n".to_owned()
        }
        "insert" | "insert_ifempty" => {
            state.hash.insert(place, value.to_owned());
            "+OK\n".to_owned()
        }
        "select" => state.hash.get(&place).cloned().unwrap_or_default(),
        "delete_ifmatch" if state.hash.get(&place).is_none_or(|known| known != value) => {
            "-ERR Doesn't match\n".to_owned()
        }
        "delete" | "delete_ifmatch" => match state.hash.remove(&place) {
            Some(_) => "+OK\n".to_owned(),
            None => "-ERR Not found\n".to_owned(),
        },
        _ => HASH_USAGE.to_owned(),
    })
}

fn hash_dump(world: &World, args: &str) -> String {
    let words: Vec<&str> = args.split(' ').collect();
    let realm = match words.as_slice() {
        ["all" | "db"] => None,
        ["all" | "db", realm] => Some(*realm),
        ["limit", ..] => return String::new(),
        _ => return "Usage: hash_dump all|limit|db [<realm>]\n".to_owned(),
    };
    let state = world.lock();
    let prefix = realm.map(|realm| format!("{realm}_"));
    state
        .hash
        .iter()
        .filter(|(key, _)| prefix.as_ref().is_none_or(|prefix| key.starts_with(prefix)))
        .map(|(key, value)| format!("D/{key}/{value}\n"))
        .collect()
}

fn db(world: &World, args: &str) -> String {
    let argv = quoting::separate(args, '/', 4);
    let word = |at: usize| argv.get(at).cloned().unwrap_or_default();
    let (what, realm, key, value) = (word(0), word(1), word(2), word(3));
    let place = (realm.clone(), key.clone());
    world.change(|state| match (what.as_str(), argv.len()) {
        ("insert", 4) if !value.is_empty() => {
            state.db.insert(place, value.clone());
            "+OK".to_owned()
        }
        ("delete", 3) => {
            state.db.remove(&place);
            "+OK".to_owned()
        }
        ("delete", 2) => {
            state.db.retain(|(known, _), _| *known != realm);
            "+OK".to_owned()
        }
        ("select", 3) => cut(state.db.get(&place).cloned().unwrap_or_default()),
        ("exists", 3) => state.db.contains_key(&place).to_string(),
        ("count", 2) => state
            .db
            .keys()
            .filter(|(known, _)| *known == realm)
            .count()
            .to_string(),
        ("count", 1) => state.db.len().to_string(),
        ("list", 2) => {
            let keys = state.db.keys().filter(|(known, _)| *known == realm);
            let keys: Vec<&str> = keys.map(|(_, key)| key.as_str()).collect();
            keys.join(",")
        }
        ("list", 1) => {
            let mut realms: Vec<&str> = state.db.keys().map(|(realm, _)| realm.as_str()).collect();
            realms.dedup();
            realms.join(",")
        }
        _ => "!err!".to_owned(),
    })
}

fn cut(mut text: String) -> String {
    while text.len() > DB_WIDTH {
        text.pop();
    }
    text
}
