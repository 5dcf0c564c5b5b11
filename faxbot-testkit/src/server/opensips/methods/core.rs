//! Commands of the core, and of events.

use tokio::time::Instant;

use crate::server::{
    opensips::{
        engine::OpenSips,
        mi::{self, Outcome, Refusal, SeenMi, as_text, done},
        sockets::Destination,
        subscribe::{self, EXPIRE, number_of},
        time::date,
    },
    proxy::{Stage, Tree},
};

pub(super) fn run(
    server: &mut OpenSips,
    name: &str,
    request: &SeenMi,
    now: Instant,
) -> Option<Outcome> {
    Some(match name {
        "version" => {
            let words = format!("OpenSIPS ({} (x86_64/linux))", server.setup.version());
            let revision = request
                .get("revision")
                .map(|_| ("unknown", Tree::from("unknown")));
            Ok(Tree::object(
                [("Server", Tree::from(words))].into_iter().chain(revision),
            ))
        }
        "uptime" => Ok(uptime(server, now)),
        "which" => which(server, request),
        "pwd" => Ok(Tree::object(
            [("WD", "/srv")].map(|(name, value)| (name, Tree::from(value))),
        )),
        "ps" => Ok(Tree::object([("Processes", processes())])),
        "help" => Ok("Usage: help mi_cmd - returns information about 'mi_cmd'".into()),
        "get_config_hash" => Err(Refusal::new(404, "Functionality disabled")),
        "list_tcp_conns" => Ok(Tree::object([("Connections", Tree::List(Vec::new()))])),
        "list_blacklists" => Ok(Tree::object([("Lists", Tree::List(Vec::new()))])),
        "events_list" => Ok(subscribe::published(server.setup.release, |off| {
            server.setup.is_off(off)
        })),
        "event_subscribe" => event_subscribe(server, request, now),
        "subscribers_list" => subscribers(server, request, now),
        "raise_event" => raise(server, request, now),
        "get_statistics" => statistics(server, request),
        "list_statistics" => {
            let all = values(server).into_iter();
            let kind = |name: &str| {
                if name.contains("active") || name.contains("early") {
                    "non-incremental"
                } else {
                    "incremental"
                }
            };
            Ok(Tree::object(all.map(|(name, _)| {
                let kind = kind(&name);
                (name, Tree::from(kind))
            })))
        }
        "reset_statistics" => mi::texts(request, "statistics").and_then(|names| {
            let all = values(server);
            let is_there = |name: &String| {
                all.iter()
                    .any(|(full, _)| full.split(':').nth(1) == Some(name))
            };
            match names.iter().all(is_there) {
                true => done(),
                false => Err(Refusal::new(404, "Statistics Not Found")),
            }
        }),
        _ => return None,
    })
}

fn uptime(server: &OpenSips, now: Instant) -> Tree {
    let world = &server.state.world;
    let up = now
        .saturating_duration_since(server.state.started)
        .as_secs();
    Tree::object([
        ("Now", Tree::from(date(world.wall(now)))),
        ("Up since", date(server.state.up_since()).into()),
        ("Up time", format!("{up} [sec]").into()),
    ])
}

fn processes() -> Tree {
    let types = [
        "attendant",
        "MI Datagram",
        "HTTPD 127.0.0.1:8888",
        "timer",
        "SIP receiver udp:127.0.0.1:25060",
    ];
    let all = types.iter().zip(0_i64..).map(|(kind, id)| {
        Tree::object([
            ("ID", Tree::Int(id)),
            ("PID", Tree::Int(28_774 + id)),
            ("Type", Tree::from(*kind)),
        ])
    });
    Tree::List(all.collect())
}

fn which(server: &OpenSips, request: &SeenMi) -> Outcome {
    let Some(command) = mi::maybe_text(request, "command")? else {
        let names = server.commands().iter().map(|(name, _)| name.as_str());
        return Ok(Tree::list(names));
    };
    let found = server.commands().iter().find(|(name, _)| *name == command);
    let Some((_, recipes)) = found else {
        return Err(Refusal::new(404, "unknown MI command"));
    };
    let recipes = recipes
        .iter()
        .map(|recipe| Tree::list(recipe.iter().map(String::as_str)));
    Ok(Tree::list(recipes))
}

fn event_subscribe(server: &mut OpenSips, request: &SeenMi, now: Instant) -> Outcome {
    let event = mi::filled(request, "event")?;
    let socket = mi::filled(request, "socket")?;
    let expire = mi::number(request, "expire")?.unwrap_or(EXPIRE);
    if expire < 0 {
        return Err(Refusal::params("Negative expire value"));
    }
    let setup = &server.setup;
    let to = Destination::parse(&socket).filter(|to| {
        let module = match to {
            Destination::Udp(_) | Destination::Unix(_) => "event_datagram",
            Destination::Tcp(..) => "event_stream",
        };
        !setup.is_off(module)
    });
    let module = setup.release.module_of_event(&event);
    let is_there = module.is_some_and(|module| !setup.is_off(module) && !setup.is_off(&event));
    let (Some(to), Some(number)) = (to, number_of(&event).filter(|_| is_there)) else {
        return Err(Refusal::new(400, "Bad parameter value"));
    };
    let second = server.second(now);
    server.state.subscriptions.add(number, to, expire, second);
    done()
}

fn subscribers(server: &mut OpenSips, request: &SeenMi, now: Instant) -> Outcome {
    let second = server.second(now);
    let event = mi::maybe_text(request, "event")?;
    let socket = mi::maybe_text(request, "socket")?;
    let subscriptions = &mut server.state.subscriptions;
    let Some(event) = event else {
        return Ok(subscriptions.all(second));
    };
    let Some(number) = number_of(&event) else {
        return Err(Refusal::new(404, "Event not published"));
    };
    match socket {
        None => Ok(subscriptions.one(number, second)),
        Some(socket) => {
            let found = subscriptions.subscriber(number, &socket, second);
            found.ok_or_else(|| Refusal::new(404, "Subscriber does not exist"))
        }
    }
}

fn raise(server: &mut OpenSips, request: &SeenMi, now: Instant) -> Outcome {
    let event = mi::filled(request, "event")?;
    let Some(number) = number_of(&event) else {
        return Err(Refusal::new(404, "Event not registered"));
    };
    let params = match request.get("params") {
        None => None,
        Some(Tree::List(values)) => {
            // Numbers become texts.
            let texts = values.iter().filter_map(as_text).map(Tree::from);
            Some(if server.setup.unnamed_as_object {
                Tree::object(texts.map(|text| (String::new(), text)))
            } else {
                Tree::List(texts.collect())
            })
        }
        Some(Tree::Text(text)) => match Tree::parse(text.as_bytes()) {
            Some(named @ Tree::Object(_)) => Some(named),
            _ => return Err(Refusal::new(400, "Bad Params")),
        },
        Some(_) => return Err(Refusal::new(400, "No Params")),
    };
    let second = server.second(now);
    if server.state.subscriptions.of(number, second).is_empty() {
        return Err(Refusal::new(480, "Temporarily Unavailable"));
    }
    server.tell(&event, params, now);
    done()
}

/// All statistics, as `group:name`.
fn values(server: &OpenSips) -> Vec<(String, i64)> {
    let world = &server.state.world;
    let listed = world.listed();
    let count = |wanted: &[Stage]| {
        let count = listed
            .iter()
            .filter(|dialog| wanted.contains(&dialog.stage))
            .count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    let of = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let asked = i64::try_from(server.requests.len()).unwrap_or(i64::MAX);
    let contacts = i64::try_from(server.state.contacts.len()).unwrap_or(i64::MAX);
    let dialog: &[(&str, i64)] = &[
        (
            "dialog:active_dialogs",
            count(&[Stage::Answered, Stage::Up]),
        ),
        ("dialog:early_dialogs", count(&[Stage::Early])),
        ("dialog:processed_dialogs", of(world.begun)),
        ("dialog:expired_dialogs", 0),
        ("dialog:failed_dialogs", of(world.failed)),
        ("dialog:create_sent", 0),
        ("dialog:update_sent", 0),
        ("dialog:delete_sent", 0),
        ("dialog:create_recv", 0),
        ("dialog:update_recv", 0),
        ("dialog:delete_recv", 0),
    ];
    let others: &[(&str, i64)] = &[
        ("shmem:total_size", 134_217_728),
        ("shmem:used_size", 4_327_240),
        ("core:rcv_requests", of(world.begun)),
        ("core:rcv_replies", asked),
        ("core:err_requests", 0),
        ("core:timestamp", 0),
        ("net:waiting_udp", 0),
        ("net:waiting_tcp", 0),
        ("dynamic:my_counter", of(world.begun)),
        ("tm:received_replies", 0),
        ("tm:inuse_transactions", 0),
        ("load:load", 0),
        ("load:load1m", 0),
        ("load:load10m", 0),
        ("load:load-proc-2", 0),
        ("usrloc:registered_users", contacts),
        ("usrloc:location-users", contacts),
        ("usrloc:location-contacts", contacts),
        ("usrloc:location-expires", 0),
        ("registrar:default_expire", 3600),
    ];
    let groups = others.iter().chain(dialog);
    let is_there = |name: &str| {
        !server
            .setup
            .is_off(name.split(':').next().unwrap_or_default())
    };
    groups
        .filter(|(name, _)| is_there(name))
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect()
}

/// What is not known is left out without a word, and so is `group:name`.
fn statistics(server: &OpenSips, request: &SeenMi) -> Outcome {
    let names = mi::texts(request, "statistics")?;
    let all = values(server);
    let mut found: Vec<(String, Tree)> = Vec::new();
    for name in names {
        let is_meant = |full: &str| match name.strip_suffix(':') {
            Some(group) => full.split(':').next() == Some(group),
            None => name == "all" || full.split(':').nth(1) == Some(&name),
        };
        let meant = all.iter().filter(|(full, _)| is_meant(full));
        found.extend(meant.map(|(full, value)| (full.clone(), Tree::Int(*value))));
    }
    Ok(Tree::Object(found))
}
