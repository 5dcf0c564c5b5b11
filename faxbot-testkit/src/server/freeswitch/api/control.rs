//! What is done to a channel (recordings `04_call_control`, `09_inbound_park_decide`).

use std::{sync::Arc, time::Duration};

use super::{NO_CHANNEL, words};
use crate::server::freeswitch::{
    bridge, call, cause,
    channel::{By, Private, Signal},
    leg,
    program::Program,
    recording,
    world::{State, World},
};

const NO_SESSION: &str = "-ERR Cannot locate session!\n";
const SUCCESS: &str = "+OK Success\n";
const OK: &str = "+OK\n";

/// How long a REFER to a caller that is not answered blocks (recording `09_inbound_park_decide`).
const REFER: Duration = Duration::from_secs(9);

pub(super) async fn run(world: &Arc<World>, name: &str, args: &str) -> Option<String> {
    let argv = words(args, 10);
    let word = |at: usize| argv.get(at).map(String::as_str).unwrap_or_default();
    let id = word(0);
    Some(match name {
        "uuid_kill" => match argv.as_slice() {
            [] => "-USAGE: <uuid> [cause]\n".to_owned(),
            [id, ..] => {
                let cause = cause::named(word(1));
                live(world, id, |state| {
                    state.hang_up(id, cause, By::Here);
                    OK.to_owned()
                })
            }
        },
        "uuid_answer" => world.with(|state| {
            if state.live(id).is_none() {
                return "-ERROR\n".to_owned();
            }
            leg::answer(state, id);
            OK.to_owned()
        }),
        "uuid_ring_ready" => live(world, id, |state| {
            ring_ready(state, id);
            OK.to_owned()
        }),
        "uuid_pre_answer" => live(world, id, |state| {
            ring_ready(state, id);
            OK.to_owned()
        }),
        "uuid_redirect" => {
            let to = args.split_once(' ').map_or("", |(_, to)| to);
            live(world, id, |state| {
                state.redirect(id, to);
                "+OK:\n".to_owned()
            })
        }
        "uuid_deflect" => deflect(world, args).await,
        "uuid_transfer" => transfer(world, &argv),
        "uuid_bridge" => world.with(|state| {
            let (a, b) = (word(0), word(1));
            if bridge::couple(state, a, b) {
                format!("+OK {b}\n")
            } else {
                "-ERR Invalid uuid\n".to_owned()
            }
        }),
        "uuid_park" => live(world, id, |state| {
            go(state, id, Program::one("park", ""));
            OK.to_owned()
        }),
        "uuid_hold" => uuid_hold(world, &argv),
        "uuid_record" => record(world, &argv),
        "uuid_send_dtmf" => world.with(|state| {
            if state.live(id).is_none() {
                return NO_SESSION.to_owned();
            }
            state.send_digits(id, word(1));
            format!("+OK {id} sent DTMF {}.\n", word(1))
        }),
        "uuid_recv_dtmf" => world.with(|state| {
            if state.live(id).is_none() {
                return NO_SESSION.to_owned();
            }
            state.press(id, word(1).split('@').next().unwrap_or_default());
            format!("+OK {id} received DTMF {}.\n", word(1))
        }),
        "uuid_broadcast" => broadcast(world, args),
        "uuid_break" => live(world, id, |state| {
            if let Some(channel) = state.channels.get_mut(id) {
                if word(1) == "all" {
                    channel.private.clear();
                }
                let parked = matches!(
                    channel.application.as_str(),
                    "park" | "conference" | "bridge"
                );
                if !parked {
                    channel.ask(Signal::Break);
                }
            }
            OK.to_owned()
        }),
        "uuid_media" => {
            let id = if word(0) == "off" { word(1) } else { id };
            world.with(|state| match state.live(id) {
                Some(_) => SUCCESS.to_owned(),
                None => "-ERR Operation failed\n".to_owned(),
            })
        }
        "uuid_display" => live(world, id, |state| {
            state.tell("CALL_UPDATE", id);
            SUCCESS.to_owned()
        }),
        "uuid_audio" => live(world, id, |_| OK.to_owned()),
        "sched_hangup" => sched_hangup(world, &argv),
        "sched_transfer" => sched_transfer(world, &argv),
        "sched_api" => sched_api(world, args),
        "sched_del" => "+OK Deleted: 1\n".to_owned(),
        _ => return None,
    })
}

/// Does it to a channel that is not ending.
fn live(world: &World, id: &str, with: impl FnOnce(&mut State) -> String) -> String {
    world.with(|state| {
        if state.live(id).is_none() {
            return NO_CHANNEL.to_owned();
        }
        with(state)
    })
}

/// 180 to a caller.
pub(in crate::server::freeswitch) fn ring_ready(state: &mut State, id: &str) {
    let now = state.now;
    let Some(channel) = state.channels.get_mut(id) else {
        return;
    };
    if channel.is_answered() || channel.times.progress.is_some() {
        return;
    }
    channel.times.progress = Some(now);
    state.tell("CHANNEL_PROGRESS", id);
    state.set_callstate(id, "RINGING");
}

/// `CHANNEL_HOLD` or `CHANNEL_UNHOLD`, with the call state around it.
pub(in crate::server::freeswitch) fn hold(state: &mut State, id: &str, holds: bool) {
    let now = state.now;
    let Some(channel) = state.channels.get_mut(id) else {
        return;
    };
    if channel.held == holds {
        return;
    }
    channel.held = holds;
    if holds {
        channel.times.last_hold = Some(now);
        state.set_callstate(id, "HELD");
        state.tell("CHANNEL_HOLD", id);
    } else {
        state.set_callstate(id, "UNHELD");
        state.tell("CHANNEL_UNHOLD", id);
        state.set_callstate(id, "ACTIVE");
    }
}

/// A channel leaves what it does for another program.
fn go(state: &mut State, id: &str, program: Program) {
    let now = state.now;
    let Some(channel) = state.channels.get_mut(id) else {
        return;
    };
    channel.times.transfer = Some(now);
    channel.ask(Signal::Go(program));
}

/// `uuid_transfer <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]`.
fn transfer(world: &World, argv: &[String]) -> String {
    let mut rest = argv.iter().map(String::as_str);
    let id = rest.next().unwrap_or_default();
    let mut next = rest.next();
    let which = next.filter(|word| matches!(*word, "-bleg" | "-both"));
    if which.is_some() {
        next = rest.next();
    }
    let Some(exten) = next else {
        return "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]\n".to_owned();
    };
    let program = Program::read(exten, rest.next(), rest.next());
    world.with(|state| {
        let Some(channel) = state.live(id) else {
            return NO_CHANNEL.to_owned();
        };
        let peer = channel.peer.clone();
        match (which, peer) {
            (Some("-bleg"), None) => return "-ERR No bridged channel!\n".to_owned(),
            (Some("-bleg"), Some(peer)) => go(state, &peer, program),
            (Some(_), peer) => {
                if let Some(peer) = peer {
                    go(state, &peer, program.clone());
                }
                go(state, id, program);
            }
            (None, _) => go(state, id, program),
        }
        OK.to_owned()
    })
}

async fn deflect(world: &World, args: &str) -> String {
    let (id, to) = args.split_once(' ').unwrap_or((args, ""));
    let answered = world.lock().live(id).map(|channel| channel.is_answered());
    let Some(answered) = answered else {
        return NO_CHANNEL.to_owned();
    };
    if !answered {
        tokio::time::sleep(REFER).await;
    }
    world.with(|state| {
        state.redirected.insert(id, to.to_owned());
        state.hang_up(id, "BLIND_TRANSFER", By::Here);
    });
    if answered {
        "+OK:Success\n".to_owned()
    } else {
        "+OK:no reply\n".to_owned()
    }
}

/// It says success whatever happened (recording `04_call_control`).
fn uuid_hold(world: &World, argv: &[String]) -> String {
    let (word, id) = match argv {
        [word, id, ..] => (word.as_str(), id.as_str()),
        [id] => ("on", id.as_str()),
        [] => return "-USAGE: [off|toggle] <uuid> [<display>]\n".to_owned(),
    };
    let (word, id) = match word {
        "off" | "toggle" | "on" => (word, id),
        // A display text behind the uuid.
        _ => ("on", word),
    };
    world.with(|state| {
        let Some(channel) = state.live(id) else {
            return;
        };
        let holds = match word {
            "off" => false,
            "toggle" => !channel.held,
            _ => true,
        };
        hold(state, id, holds);
    });
    SUCCESS.to_owned()
}

fn record(world: &Arc<World>, argv: &[String]) -> String {
    let [id, what, file, ..] = argv else {
        return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
            .to_owned();
    };
    if world.lock().live(id).is_none() {
        return NO_SESSION.to_owned();
    }
    match what.as_str() {
        "start" if recording::start(world, id, file) => SUCCESS.to_owned(),
        "start" => "-ERR Cannot record session!\n".to_owned(),
        "stop" if recording::stop(world, id, file) => SUCCESS.to_owned(),
        "stop" => "-ERR Cannot stop record session!\n".to_owned(),
        "mask" | "unmask" if recording::runs(world, id, file) => SUCCESS.to_owned(),
        "mask" => "-ERR Cannot mask recording session!\n".to_owned(),
        "unmask" => "-ERR Cannot unmask recording session!\n".to_owned(),
        _ => "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]\n"
            .to_owned(),
    }
}

/// `uuid_broadcast <uuid> app[![hangup_cause]]::args [aleg|bleg|both]`.
fn broadcast(world: &World, args: &str) -> String {
    let (id, rest) = args.split_once(' ').unwrap_or((args, ""));
    let (what, which) = match rest.rsplit_once(' ') {
        Some((what, which @ ("aleg" | "bleg" | "both" | "holdb"))) => (what, which),
        _ => (rest, "aleg"),
    };
    world.with(|state| {
        let Some(channel) = state.live(id) else {
            return "-ERR invalid uuid\n".to_owned();
        };
        let peer = channel.peer.clone();
        let step = match what.split_once("::") {
            Some(_) => call::step(what),
            None => call::step(&format!("playback::{what}")),
        };
        let mut ids = Vec::new();
        if which != "bleg" {
            ids.push(id.to_owned());
        }
        if matches!(which, "bleg" | "both") {
            ids.extend(peer);
        }
        for id in ids {
            let private = Private {
                name: step.name.trim_end_matches('!').to_owned(),
                args: step.args.clone(),
                loops: 1,
                event_uuid: None,
                done: None,
            };
            state.queue(&id, private);
        }
        "+OK Message sent\n".to_owned()
    })
}

/// `+2`, or seconds since the epoch.
fn after(world: &World, text: &str) -> Duration {
    match text.strip_prefix('+') {
        Some(seconds) => Duration::from_secs(seconds.parse().unwrap_or(0)),
        None => {
            let at: i64 = text.parse().unwrap_or(0);
            let left = at.saturating_sub(world.now().as_second());
            Duration::from_secs(u64::try_from(left).unwrap_or(0))
        }
    }
}

/// `sched_hangup [+]<time> <uuid> [<cause>]`.
fn sched_hangup(world: &Arc<World>, argv: &[String]) -> String {
    let [time, id, rest @ ..] = argv else {
        return "-USAGE: [+]<time> <uuid> [<cause>]\n".to_owned();
    };
    if world.lock().live(id).is_none() {
        return NO_CHANNEL.to_owned();
    }
    let time = after(world, time);
    let cause = rest
        .first()
        .map_or("ALLOTTED_TIMEOUT", |word| cause::named(word));
    let (world_too, id) = (Arc::clone(world), id.clone());
    world.spawn(async move {
        tokio::time::sleep(time).await;
        world_too.with(|state| state.hang_up(&id, cause, By::Here));
    });
    OK.to_owned()
}

fn sched_transfer(world: &Arc<World>, argv: &[String]) -> String {
    let [time, id, exten, rest @ ..] = argv else {
        return "-USAGE: [+]<time> <uuid> <extension> [<dialplan>] [<context>]\n".to_owned();
    };
    if world.lock().live(id).is_none() {
        return NO_CHANNEL.to_owned();
    }
    let time = after(world, time);
    let word = |at: usize| rest.get(at).map(String::as_str);
    let program = Program::read(exten, word(0), word(1));
    let (world_too, id) = (Arc::clone(world), id.clone());
    world.spawn(async move {
        tokio::time::sleep(time).await;
        world_too.with(|state| go(state, &id, program));
    });
    OK.to_owned()
}

/// `sched_api [+]<time> <group> <command>`.
fn sched_api(world: &Arc<World>, args: &str) -> String {
    let mut parts = args.splitn(3, ' ');
    let (Some(time), Some(_group), Some(command)) = (parts.next(), parts.next(), parts.next())
    else {
        return "-USAGE: [+@]<time> <group_name> <command_string>[&]\n".to_owned();
    };
    let time = after(world, time.trim_start_matches('@'));
    let command = command.trim_end_matches('&').to_owned();
    let number = world.change(|state| {
        state.tasks += 1;
        state.tasks
    });
    let world_too = Arc::clone(world);
    world.spawn(async move {
        tokio::time::sleep(time).await;
        let (name, args) = command.split_once(' ').unwrap_or((&command, ""));
        super::run(&world_too, name, args).await;
    });
    format!("+OK Added: {number}\n")
}
