//! One leg that is called: from its first event to the answer or the refusal (recordings `03_*`,
//! `05_fax_busy`).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    call,
    cause::{self, Cause},
    channel::{By, Channel, Profile, State as ChannelState},
    hangup,
    originate::Options,
    program::Program,
    world::{State, World, fresh},
};
use crate::server::script::{CallScript, Ending};

/// How long an INVITE without any answer is repeated (RFC 3261, timer B).
const SILENT: Duration = Duration::from_secs(32);

/// A leg that has a channel.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub id: String,
    pub vars: Vec<(String, String)>,
    script: CallScript,
}

/// What a dial string calls.
struct Target {
    name: String,
    number: String,
    /// `sofia`, `loopback`, `null`.
    endpoint: &'static str,
    context: String,
    /// The cause when there is no such place.
    absent: Cause,
    /// What may be unknown: the gateway, the profile, the user.
    place: String,
}

fn target(text: &str) -> Result<Target, Cause> {
    let (endpoint, rest) = text.split_once('/').ok_or("DESTINATION_OUT_OF_ORDER")?;
    if rest.is_empty() || rest.contains(' ') {
        return Err("DESTINATION_OUT_OF_ORDER");
    }
    let mut target = Target {
        name: text.to_owned(),
        number: String::new(),
        endpoint: "sofia",
        context: "default".to_owned(),
        absent: "DESTINATION_OUT_OF_ORDER",
        place: String::new(),
    };
    let user = |address: &str| {
        let address = address.split(';').next().unwrap_or_default();
        let address = address.strip_prefix("sip:").unwrap_or(address);
        address.split('@').next().unwrap_or_default().to_owned()
    };
    match endpoint {
        "sofia" => {
            let (place, address) = rest.split_once('/').ok_or("INVALID_URL")?;
            if place == "gateway" {
                let (gateway, number) = address.split_once('/').ok_or("INVALID_URL")?;
                target.absent = "INVALID_GATEWAY";
                gateway.clone_into(&mut target.place);
                target.number = user(number);
                // The channel is named by the profile of the gateway.
                target.name = format!("sofia/external/{}", target.number);
            } else {
                target.absent = "INVALID_PROFILE";
                place.clone_into(&mut target.place);
                target.number = user(address);
            }
        }
        "user" => {
            target.absent = "SUBSCRIBER_ABSENT";
            rest.clone_into(&mut target.place);
            target.number = user(rest);
            target.name = format!("sofia/internal/{rest}");
        }
        "loopback" => {
            let mut parts = rest.split('/');
            target.endpoint = "loopback";
            target.absent = "NO_ROUTE_DESTINATION";
            target.number = parts.next().unwrap_or_default().to_owned();
            target.context = parts.next().unwrap_or("default").to_owned();
            target.place.clone_from(&target.number);
            target.name = format!("loopback/{}-a", target.number);
        }
        "null" => {
            target.endpoint = "null";
            rest.clone_into(&mut target.number);
        }
        "error" => return Err(cause::named(rest)),
        _ => return Err("CHAN_NOT_IMPLEMENTED"),
    }
    Ok(target)
}

/// Makes the channel of a leg, with its first events; the cause when none is made.
pub(super) fn open(
    world: &Arc<World>,
    text: &str,
    vars: &[(String, String)],
    options: &Options,
) -> Result<Leg, Cause> {
    let target = target(text)?;
    if target.endpoint == "sofia" && !world.has("mod_sofia") {
        return Err("CHAN_NOT_IMPLEMENTED");
    }
    world.with(|state| {
        let full = state.channels.len() >= usize::try_from(state.max_sessions).unwrap_or(0);
        if full || state.paused || state.shutting_down {
            return Err("DESTINATION_OUT_OF_ORDER");
        }
        let script = state.script_for(&target.number, text);
        let user = target.place.split('@').next().unwrap_or_default();
        let unknown = |place: &str| state.no_endpoints.contains(place);
        if script.ending == Ending::NoEndpoint || unknown(&target.place) || unknown(user) {
            return Err(target.absent);
        }
        let wanted = vars.iter().find(|(name, _)| name == "origination_uuid");
        let id = match wanted {
            Some((_, id)) if state.channels.get(id).is_none() => id.clone(),
            // loopback takes another one in silence.
            Some(_) if target.endpoint == "sofia" => return Err("DESTINATION_OUT_OF_ORDER"),
            _ => fresh(),
        };
        create(state, &id, &target, vars, options, &script);
        Ok(Leg {
            id,
            vars: vars.to_vec(),
            script,
        })
    })
}

fn create(
    state: &mut State,
    id: &str,
    target: &Target,
    vars: &[(String, String)],
    options: &Options,
    script: &CallScript,
) {
    let var = |name: &str| {
        let found = vars.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let number = var("origination_caller_id_number").or_else(|| options.number.clone());
    let name = var("origination_caller_id_name").or_else(|| options.name.clone());
    let mut channel = Channel::new(id.to_owned(), target.name.clone(), false, script.clone());
    channel.dialled.clone_from(&target.number);
    channel.times.created = Some(state.now);
    channel.profile = Profile {
        name: name.unwrap_or_default(),
        number: number.clone().unwrap_or_else(|| "0000000000".to_owned()),
        callee_name: var("origination_callee_id_name")
            .unwrap_or_else(|| "Outbound Call".to_owned()),
        // The text behind the last slash, whatever it is (recording `04_conference`).
        callee_number: var("origination_callee_id_number").unwrap_or_else(|| {
            match target.endpoint {
                "loopback" => target.context.clone(),
                _ => target.number.clone(),
            }
        }),
        address: if target.endpoint == "sofia" {
            "127.0.0.1".to_owned()
        } else {
            String::new()
        },
        destination: target.number.clone(),
        source: "src/switch_ivr_originate.c".to_owned(),
        context: target.context.clone(),
        ..Profile::default()
    };
    let profile = &mut channel.profile;
    profile.orig_name.clone_from(&profile.name);
    profile.orig_number.clone_from(&profile.number);
    profile.ani.clone_from(&profile.number);
    let sip = target.endpoint == "sofia";
    let url = format!("sip:{}@127.0.0.1", target.number);
    let set = &mut channel.vars;
    set.set("direction", "outbound");
    set.set("is_outbound", "true");
    set.set("uuid", id);
    set.set("call_uuid", id);
    state.channels.push(channel);
    let sofia = [
        ("sip_profile_name", "internal"),
        ("sip_destination_url", &url),
        ("sofia_profile_name", "internal"),
        ("sip_to_user", &target.number),
        ("sip_network_ip", "127.0.0.1"),
        ("sip_call_id", &fresh()),
    ];
    state.set_var(id, "channel_name", &target.name);
    if sip {
        for (name, value) in sofia {
            state.set_var(id, name, value);
        }
    }
    for (name, value) in vars {
        state.set_var(id, name, value);
    }
    state.set_var(id, "originate_early_media", "true");
    state.set_var(id, "originate_endpoint", target.endpoint);
    if let Some(by) = &options.by {
        state.set_var(id, "originator", by);
        state.set_var(id, "call_uuid", by);
        if let Some(channel) = state.channels.get_mut(id) {
            channel.other = Some(by.clone());
        }
        if let Some(channel) = state.channels.get_mut(by) {
            channel.other = Some(id.to_owned());
        }
    }
    announce(state, id, target);
}

/// The events before anything has come from the other side.
fn announce(state: &mut State, id: &str, target: &Target) {
    if target.endpoint == "loopback" {
        // It is first announced with a uuid that nobody sees again.
        state.tell_with("CHANNEL_UUID", "", id, &[("Old-Unique-ID", &fresh())]);
    }
    state.tell("CHANNEL_OUTGOING", id);
    state.set_state(id, ChannelState::Init);
    state.tell("CHANNEL_CREATE", id);
    state.tell("CHANNEL_ORIGINATE", id);
    state.set_state(id, ChannelState::Routing);
    state.set_state(id, ChannelState::ConsumeMedia);
    if target.endpoint == "loopback" {
        other_half(state, id, target);
    }
}

/// The inbound half of a loopback channel; what it does is the script's.
fn other_half(state: &mut State, id: &str, target: &Target) {
    let half = fresh();
    let name = format!("loopback/{}-b", target.number);
    let script = CallScript::answer();
    let mut channel = Channel::new(half.clone(), name.clone(), true, script);
    channel.times.created = Some(state.now);
    channel.half = Some(id.to_owned());
    channel.hit_dialplan = true;
    let Some(first) = state.channels.get_mut(id) else {
        return;
    };
    first.half = Some(half.clone());
    channel.profile = first.profile.clone();
    channel.profile.dialplan = "XML".to_owned();
    channel.profile.source = "mod_loopback".to_owned();
    channel.vars = first.vars.clone();
    channel.dialled.clone_from(&first.dialled);
    state.channels.push(channel);
    for (name, value) in [
        ("direction", "inbound"),
        ("is_outbound", ""),
        ("uuid", &half),
        ("channel_name", &name),
        ("origination_uuid", ""),
        ("api_hangup_hook", ""),
        ("api_reporting_hook", ""),
    ] {
        state.set_var(&half, name, value);
    }
    state.set_state(&half, ChannelState::Init);
    state.tell("CHANNEL_CREATE", &half);
    state.set_callstate(&half, "RINGING");
    state.set_state(&half, ChannelState::Routing);
    state.set_state(&half, ChannelState::Execute);
}

/// Does to both halves of a loopback channel what is done to the one that was dialled.
fn both(state: &mut State, id: &str, with: impl Fn(&mut State, &str)) {
    with(state, id);
    if let Some(half) = state.channels.get(id).and_then(|c| c.half.clone()) {
        with(state, &half);
    }
}

/// Rings until the leg is up or has failed; a leg that failed is gone then.
pub(super) async fn ring(
    world: &Arc<World>,
    leg: &Leg,
    timeout: Duration,
    early: bool,
) -> Result<(), Cause> {
    let id = &leg.id;
    let script = &leg.script;
    let signal = world.lock().channels.get(id).map(|c| c.signal.subscribe());
    let Some(mut signal) = signal else {
        return Err(cause::NORMAL);
    };
    let limit = Instant::now() + timeout;
    let ended = call::wait(&mut signal, world.timings.setup).await;
    if ended {
        return Err(failed(world, id).await);
    }
    let silent = matches!(
        script.ending,
        Ending::Unreachable | Ending::Rejected(_) | Ending::Busy | Ending::Congestion
    ) && script.ring.is_none();
    if !silent {
        progress(world, id, script);
        if script.progress && early {
            let (world_too, leg) = (Arc::clone(world), leg.clone());
            world.spawn(async move { later(&world_too, &leg, limit).await });
            return Ok(());
        }
    }
    outcome(world, leg, limit, &mut signal).await
}

/// What comes after early media, when that was enough for who dialled.
async fn later(world: &Arc<World>, leg: &Leg, limit: Instant) {
    let signal = world
        .lock()
        .channels
        .get(&leg.id)
        .map(|c| c.signal.subscribe());
    let Some(mut signal) = signal else { return };
    let rings = leg.script.ring.unwrap_or(world.timings.ring);
    match end_of(leg, rings, limit) {
        (at, End::Answer) => {
            if !wait_until(&mut signal, at).await {
                answered(world, &leg.id, &leg.script);
            }
        }
        // The ring time-out is over with the early media.
        (_, End::Timeout) => {}
        (at, End::Refusal(status)) => {
            if !wait_until(&mut signal, at).await {
                let by = By::Refusal(status);
                world.with(|state| state.hang_up(&leg.id, cause::of_status(status), by));
            }
        }
    }
}

enum End {
    Answer,
    Refusal(u16),
    Timeout,
}

/// What the far end does, and when.
fn end_of(leg: &Leg, rings: Duration, limit: Instant) -> (Instant, End) {
    let at = Instant::now() + rings;
    match leg.script.ending {
        Ending::Answer if at <= limit => (at, End::Answer),
        Ending::Busy => (at, End::Refusal(486)),
        Ending::Congestion => (at, End::Refusal(503)),
        Ending::Rejected(status) => (at, End::Refusal(status)),
        Ending::RingsForEver => (Instant::now() + call::FOR_EVER, End::Timeout),
        Ending::Unreachable => (limit.min(Instant::now() + SILENT), End::Timeout),
        _ => (limit, End::Timeout),
    }
}

async fn wait_until(
    signal: &mut tokio::sync::watch::Receiver<super::channel::Signal>,
    at: Instant,
) -> bool {
    call::wait(signal, at.saturating_duration_since(Instant::now())).await
}

async fn outcome(
    world: &Arc<World>,
    leg: &Leg,
    limit: Instant,
    signal: &mut tokio::sync::watch::Receiver<super::channel::Signal>,
) -> Result<(), Cause> {
    let refuses = !matches!(leg.script.ending, Ending::Answer);
    let rings = leg.script.ring;
    let rings = rings.unwrap_or(if refuses {
        Duration::ZERO
    } else {
        world.timings.ring
    });
    let (at, end) = end_of(leg, rings, limit);
    if wait_until(signal, at).await {
        return Err(failed(world, &leg.id).await);
    }
    let (cause, by) = match end {
        End::Answer => {
            answered(world, &leg.id, &leg.script);
            return Ok(());
        }
        End::Refusal(503) if is_loopback(world, &leg.id) => {
            ("NORMAL_CIRCUIT_CONGESTION", By::Refusal(503))
        }
        End::Refusal(status) => (cause::of_status(status), By::Refusal(status)),
        End::Timeout if leg.script.ending == Ending::Unreachable && at < limit => {
            ("RECOVERY_ON_TIMER_EXPIRE", By::Refusal(408))
        }
        End::Timeout => ("NO_ANSWER", By::Here),
    };
    world.with(|state| state.hang_up(&leg.id, cause, by));
    Err(failed(world, &leg.id).await)
}

fn is_loopback(world: &World, id: &str) -> bool {
    world
        .lock()
        .channels
        .get(id)
        .is_some_and(Channel::is_loopback)
}

/// The rest of the end of a leg that was never up.
async fn failed(world: &Arc<World>, id: &str) -> Cause {
    let cause = {
        let state = world.lock();
        let ended = state.channels.get(id).and_then(|channel| channel.ended);
        ended.map_or(cause::NORMAL, |(cause, _)| cause)
    };
    hangup::end(world, id).await;
    cause
}

fn progress(world: &World, id: &str, script: &CallScript) {
    world.with(|state| {
        let now = state.now;
        if script.progress {
            both(state, id, |state, id| {
                if let Some(channel) = state.channels.get_mut(id) {
                    channel.times.progress_media = Some(now);
                    channel.answer = "early";
                    channel.media = true;
                }
                state.set_var(id, "endpoint_disposition", "EARLY MEDIA");
                state.tell("CHANNEL_PROGRESS_MEDIA", id);
                state.set_callstate(id, "EARLY");
            });
        } else {
            both(state, id, |state, id| {
                if let Some(channel) = state.channels.get_mut(id) {
                    channel.times.progress = Some(now);
                }
                state.tell("CHANNEL_PROGRESS", id);
                state.set_callstate(id, "RINGING");
            });
        }
    });
}

/// The far end answers.
pub(super) fn answered(world: &Arc<World>, id: &str, script: &CallScript) {
    world.with(|state| both(state, id, answer));
    let Some(time) = script.hangup_after else {
        return;
    };
    let (world_too, id) = (Arc::clone(world), id.to_owned());
    world.spawn(async move {
        tokio::time::sleep(time).await;
        world_too.with(|state| state.hang_up(&id, cause::NORMAL, By::Far));
    });
}

/// Marks a channel answered, with its events.
pub(super) fn answer(state: &mut State, id: &str) {
    let now = state.now;
    let Some(channel) = state.channels.get_mut(id) else {
        return;
    };
    if channel.is_answered() || channel.ended.is_some() {
        return;
    }
    channel.times.answered = Some(now);
    channel.answer = "answered";
    channel.media = true;
    for (name, value) in [
        ("read_codec", "PCMU"),
        ("read_rate", "8000"),
        ("write_codec", "PCMU"),
        ("write_rate", "8000"),
        ("endpoint_disposition", "ANSWER"),
    ] {
        channel.vars.set(name, value);
    }
    state.tell("CHANNEL_ANSWER", id);
    state.set_callstate(id, "ACTIVE");
    if let Some(channel) = state.channels.get(id) {
        channel.tell();
    }
}

/// A leg that was dialled is up: who calls whom turns round (`switch_channel_flip_cid`).
pub(super) fn up(world: &World, id: &str, options: &Options) {
    if options.by.is_some() {
        return;
    }
    world.with(|state| {
        let Some(channel) = state.channels.get_mut(id) else {
            return;
        };
        let profile = &mut channel.profile;
        std::mem::swap(&mut profile.name, &mut profile.callee_name);
        std::mem::swap(&mut profile.number, &mut profile.callee_number);
        let number = profile.orig_number.clone();
        channel.vars.set("pre_transfer_caller_id_number", &number);
        channel.vars.set("channel_cid_flipped", "yes");
        state.tell("CALL_UPDATE", id);
    });
}

/// Lets a channel that is up run a program of its own.
pub(super) fn start(world: &Arc<World>, id: &str, program: Program) {
    world.with(|state| {
        if let Some(channel) = state.channels.get_mut(id) {
            channel.runs = true;
            channel.hit_dialplan = true;
        }
    });
    let run = call::run(Arc::clone(world), id.to_owned(), program);
    world.spawn(run);
}

/// Lets a leg that was called talk with its caller.
pub(super) fn start_talking(world: &Arc<World>, id: &str, caller: &str) {
    world.with(|state| {
        if let Some(channel) = state.channels.get_mut(id) {
            channel.runs = true;
        }
    });
    let run = call::run_bridged(Arc::clone(world), id.to_owned(), caller.to_owned());
    world.spawn(run);
}
