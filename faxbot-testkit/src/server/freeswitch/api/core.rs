//! The server itself.

use std::{sync::Arc, time::Duration};

use crate::server::freeswitch::{
    channel::By,
    event::stamp,
    expand::expand,
    lifecycle::{self, up_time},
    world::{HOST, World, fresh},
};

const MODULES: [&str; 14] = [
    "mod_commands",
    "mod_conference",
    "mod_console",
    "mod_db",
    "mod_dialplan_xml",
    "mod_dptools",
    "mod_event_socket",
    "mod_hash",
    "mod_loopback",
    "mod_sms",
    "mod_sndfile",
    "mod_sofia",
    "mod_spandsp",
    "mod_tone_stream",
];

const USAGE_FSCTL: &str = "-ERR Invalid command\nUSAGE: fsctl [api_expansion [on|off]|recover|send_sighup|hupall|pause [inbound|outbound]|resume [inbound|outbound]|shutdown [cancel|elegant|asap|now|restart]|sps|sps_peak_reset|sync_clock|sync_clock_when_idle|reclaim_mem|max_sessions|min_dtmf_duration [num]|max_dtmf_duration [num]|default_dtmf_duration [num]|min_idle_cpu|loglevel [level]|debug_level [level]|mdns_resolve [enable|disable]]\n";

pub(super) async fn run(world: &Arc<World>, name: &str, args: &str) -> Option<String> {
    Some(match name {
        "status" => status(world),
        "version" if args.trim() == "short" => "1.10.12-release\n".to_owned(),
        "version" => "FreeSWITCH Version 1.10.12-release+git~20240802T210227Z~a88d069d6f~64bit \
                      (git a88d069 2024-08-02 21:02:27Z 64bit)\n"
            .to_owned(),
        "uptime" => {
            let up = world.with(|state| state.uptime());
            match args.trim() {
                "ms" => format!("{}\n", up.as_millis()),
                "us" => format!("{}\n", up.as_micros()),
                _ => format!("{}\n", up.as_secs()),
            }
        }
        "hostname" | "switchname" => HOST.to_owned(),
        "global_getvar" => global(world, args.trim()),
        "global_setvar" => {
            let (name, value) = args.split_once('=').unwrap_or((args, ""));
            world.change(|state| {
                if value.is_empty() {
                    state.globals.remove(name);
                } else {
                    state.globals.insert(name.to_owned(), value.to_owned());
                }
            });
            "+OK".to_owned()
        }
        "module_exists" => {
            let module = args.trim();
            let known = MODULES.contains(&module) && world.has(module);
            known.to_string()
        }
        "create_uuid" => fresh(),
        "strftime" => stamp(world.now()),
        "strepoch" => world.now().as_second().to_string(),
        "echo" => args.to_owned(),
        "eval" => eval(world, args),
        "log" => "+OK\n".to_owned(),
        "sofia_contact" => contact(world, args.trim()),
        "msleep" => {
            let millis = args.trim().parse().unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            "+OK".to_owned()
        }
        "reloadxml" => "+OK [Success]\n".to_owned(),
        "load" | "reload" | "unload" => module(world, name, args.trim()),
        "file_exists" => world.paths.size(args.trim()).is_some().to_string(),
        "user_exists" => {
            let user = args.split(' ').nth(1).unwrap_or_default();
            (!world.lock().no_endpoints.contains(user)).to_string()
        }
        "sofia" if world.has("mod_sofia") => sofia(args),
        "fsctl" => fsctl(world, args),
        "shutdown" => fsctl(world, "shutdown"),
        "hupall" => hupall(world, args),
        _ => return None,
    })
}

fn status(world: &World) -> String {
    world.with(|state| {
        let count = state.channels.len();
        format!(
            "UP {}\nFreeSWITCH (Version 1.10.12-release git a88d069 2024-08-02 21:02:27Z 64bit) is \
             ready\n{} session(s) since startup\n{count} session(s) - peak {count}, last 5min \
             {count} \n0 session(s) per Sec out of max 500, peak 6, last 5min 4 \n{} session(s) \
             max\nmin idle cpu 0.00/14.83\nCurrent Stack Size/Max 240K/8192K\n",
            up_time(state.uptime()),
            state.channels.made(),
            state.max_sessions,
        )
    })
}

fn global(world: &World, name: &str) -> String {
    let state = world.lock();
    let domain = &world.setup.domain;
    let own = [
        ("hostname", HOST),
        ("local_ip_v4", "127.0.0.1"),
        ("local_ip_v6", "::1"),
        ("recordings_dir", "/var/lib/freeswitch/recordings"),
        ("core_uuid", &state.core_uuid),
        ("domain", domain),
        ("domain_name", domain),
        ("switchname", HOST),
    ];
    if name.is_empty() {
        let own = own.iter().map(|(name, value)| format!("{name}={value}\n"));
        let set = state.globals.iter();
        let set = set.map(|(name, value)| format!("{name}={value}\n"));
        return own.chain(set).collect();
    }
    let set = state.globals.get(name).cloned();
    let own = own.iter().find(|(known, _)| *known == name);
    set.or_else(|| own.map(|(_, value)| (*value).to_owned()))
        .unwrap_or_default()
}

/// `${..}` of global variables.
fn eval(world: &World, args: &str) -> String {
    let mut text = args.to_owned();
    for name in ["domain", "hostname", "core_uuid", "domain_name"] {
        let asked = format!("${{{name}}}");
        if text.contains(&asked) {
            text = text.replace(&asked, &global(world, name));
        }
    }
    expand(&world.lock(), "", &text)
}

fn module(world: &World, what: &str, name: &str) -> String {
    if !MODULES.contains(&name) {
        return "+OK Reloading XML\n-ERR [module load file routine returned an error]\n".to_owned();
    }
    let key = name.strip_prefix("mod_").unwrap_or(name);
    let headers = [("type", "module"), ("name", key), ("key", name)];
    world.with(|state| {
        if what != "load" {
            state.plain_event("MODULE_UNLOAD", &headers, None);
        }
        if what != "unload" {
            state.plain_event("MODULE_LOAD", &headers, None);
        }
    });
    "+OK Reloading XML\n+OK\n".to_owned()
}

fn sofia(args: &str) -> String {
    let line = "=".repeat(97);
    match args.split(' ').collect::<Vec<_>>().as_slice() {
        ["status"] => format!(
            "                     Name\t   Type\t                                      Data\tState\n\
             {line}\n                 internal\tprofile\t             \
             sip:mod_sofia@127.0.0.1:5060\tRUNNING (0)\n{line}\n1 profile 0 aliases\n"
        ),
        ["status", "profile", profile] => format!(
            "{line}\nName             \t{profile}\nDomain Name      \tN/A\nSIP-IP           \
             \t127.0.0.1\n{line}\n"
        ),
        ["status", "gateway", name] => format!(
            "{line}\nName    \t{name}\nProfile \texternal\nState   \tREGED\nStatus  \tUP\n{line}\n"
        ),
        ["status", "gateway"] => format!(
            "    Profile::Gateway-Name\t                        Data    \tState\tPing Time\tIB \
             Calls(F/T)\tOB Calls(F/T)\n{line}\n{line}\n0 gateways: Inbound(Failed/Total): \
             0/0,Outbound(Failed/Total):0/0\n"
        ),
        ["profile", _, "rescan"] => "Reload XML [Success]\n+OK scan complete\n".to_owned(),
        ["profile", "internal" | "external", _] => "+OK\n".to_owned(),
        ["profile", name, _] => format!("Invalid Profile [{name}]"),
        ["profile", ..] => "Invalid Args!\n".to_owned(),
        [word, ..] => format!("Unknown Command [{word}]\n"),
        [] => "Invalid Args!\n".to_owned(),
    }
}

/// `sofia_contact [profile/]user@domain`.
fn contact(world: &World, args: &str) -> String {
    let user = args.rsplit('/').next().unwrap_or(args);
    let name = user.split('@').next().unwrap_or_default();
    if world.lock().no_endpoints.contains(name) {
        return "error/user_not_registered".to_owned();
    }
    format!("sofia/internal/sip:{name}@127.0.0.1:5070")
}

fn hupall(world: &World, args: &str) -> String {
    let word = args.split(' ').next().filter(|word| !word.is_empty());
    let cause = word.map_or("MANAGER_REQUEST", crate::server::freeswitch::cause::named);
    world.with(|state| {
        let ids: Vec<String> = state.channels.iter().map(|c| c.id.clone()).collect();
        for id in ids {
            state.hang_up(&id, cause, By::Here);
        }
    });
    format!("+OK hangup all channels with cause {cause}\n")
}

fn fsctl(world: &Arc<World>, args: &str) -> String {
    let mut words = args.split(' ').filter(|word| !word.is_empty());
    let (word, next) = (words.next().unwrap_or_default(), words.next());
    match word {
        "max_sessions" => {
            let most = next.and_then(|text| text.parse().ok());
            let most = world.change(|state| {
                state.max_sessions = most.unwrap_or(state.max_sessions);
                state.max_sessions
            });
            format!("+OK max sessions: {most}\n")
        }
        "sps" => format!("+OK sessions per second: {}\n", next.unwrap_or("500")),
        "last_sps" => "+OK last sessions per second: 0\n".to_owned(),
        "pause" | "resume" => {
            world.change(|state| state.paused = word == "pause");
            "+OK\n".to_owned()
        }
        "pause_check" => world.lock().paused.to_string(),
        "hupall" => hupall(world, next.unwrap_or_default()),
        "shutdown" => {
            let world_too = Arc::clone(world);
            let now = next == Some("now");
            let restarts = args.contains("restart");
            world.spawn_free(async move {
                if now {
                    crate::server::mock::stop(&world_too, false, restarts);
                } else {
                    lifecycle::shutdown(&world_too).await;
                }
                if restarts {
                    crate::server::mock::start_again(&world_too);
                }
            });
            "+OK\n".to_owned()
        }
        _ => USAGE_FSCTL.to_owned(),
    }
}
