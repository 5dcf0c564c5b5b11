//! What is asked about one channel, and its variables (recording `04_call_control`).

use super::{NO_CHANNEL, words};
use crate::server::freeswitch::{
    event::encoded,
    world::{World, dump, format},
};

pub(super) fn run(world: &World, name: &str, args: &str) -> Option<String> {
    Some(match name {
        "uuid_exists" => world.lock().live(args.trim()).is_some().to_string(),
        "uuid_dump" => uuid_dump(world, args),
        "uuid_getvar" => {
            let argv = words(args, 3);
            let [id, name] = argv.as_slice() else {
                return Some("-USAGE: <uuid> <var>\n".to_owned());
            };
            let state = world.lock();
            match state.live(id) {
                None => NO_CHANNEL.to_owned(),
                Some(channel) => channel.vars.get(name).unwrap_or("_undef_").to_owned(),
            }
        }
        "uuid_setvar" => {
            // The value takes the rest as it is.
            let mut parts = args.splitn(3, ' ');
            let id = parts.next().unwrap_or_default();
            let Some(name) = parts.next().filter(|name| !name.is_empty()) else {
                return Some("-USAGE: <uuid> <var> [value]\n".to_owned());
            };
            set(
                world,
                id,
                &[(name.to_owned(), parts.next().unwrap_or_default().to_owned())],
            )
        }
        "uuid_setvar_multi" => {
            let (id, list) = args.split_once(' ').unwrap_or((args, ""));
            let pairs: Vec<(String, String)> =
                crate::server::freeswitch::quoting::separate(list, ';', 64)
                    .iter()
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
            if pairs.is_empty() {
                return Some("-USAGE: <uuid> <var>=<value>;<var>=<value>...\n".to_owned());
            }
            set(world, id, &pairs)
        }
        "uuid_buglist" => "<media-bugs>\n</media-bugs>\n".to_owned(),
        "uuid_debug_media" => "+OK Success\n".to_owned(),
        "uuid_chat" => "+OK\n".to_owned(),
        _ => return None,
    })
}

fn set(world: &World, id: &str, pairs: &[(String, String)]) -> String {
    world.with(|state| {
        if state.live(id).is_none() {
            return NO_CHANNEL.to_owned();
        }
        for (name, value) in pairs {
            state.set_var(id, name, value);
        }
        "+OK\n".to_owned()
    })
}

fn uuid_dump(world: &World, args: &str) -> String {
    let argv = words(args, 3);
    let Some(id) = argv.first() else {
        return "-USAGE: <uuid> [format]\n".to_owned();
    };
    let form = argv.get(1).and_then(|word| format(word));
    world.with(|state| {
        if state.live(id).is_none() {
            return NO_CHANNEL.to_owned();
        }
        let Some(event) = dump(state, id) else {
            return NO_CHANNEL.to_owned();
        };
        match form {
            Some(form) if form.word() != "plain" => {
                String::from_utf8_lossy(&event.bare(form)).into_owned()
            }
            _ => {
                let lines = event.headers.iter();
                let lines = lines.map(|(name, value)| format!("{name}: {}\n", encoded(value)));
                lines.chain(["\n".to_owned()]).collect()
            }
        }
    })
}
