//! One call of the mock, from the `Originate` to the last `Hangup`.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    channel::{Channel, Signal, cause_of_sip},
    dialplan::{self, End},
    fax::{self, FaxEnd},
    originate::{Originate, Then},
    script::{CallScript, Ending},
    world::{State, World, dialled, start},
};

/// Longer than any test.
pub(super) const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What ended the waiting of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Hung up here, with this cause.
    Here(u32),
    /// The far end hung up.
    Far(u32),
    /// Sent elsewhere.
    Redirect {
        context: String,
        exten: String,
        priority: u32,
    },
}

impl Stop {
    pub(super) const fn far(cause: u32) -> Self {
        Self::Far(cause)
    }

    pub(super) const fn is_far(&self) -> bool {
        matches!(self, Self::Far(_))
    }
}

/// Waits, unless the channel is asked for something else first.
pub(super) async fn pause(signal: &mut watch::Receiver<Signal>, time: Duration) -> Option<Stop> {
    let told = async {
        let told = signal.wait_for(|signal| *signal != Signal::None).await;
        told.map(|signal| signal.clone()).ok()
    };
    tokio::select! {
        biased;
        told = told => match told {
            Some(Signal::Hangup { cause }) => Some(Stop::Here(cause)),
            Some(Signal::FarHangup { cause }) => Some(Stop::Far(cause)),
            Some(Signal::Redirect { context, exten, priority }) => {
                Some(Stop::Redirect { context, exten, priority })
            }
            // The channel is gone.
            Some(Signal::None) | None => Some(Stop::Here(0)),
        },
        () = tokio::time::sleep(time) => None,
    }
}

/// The channels of one call.
struct Legs {
    id: String,
    /// `;2` of a Local channel.
    other: Option<String>,
}

/// Runs the call. The answer is whether it was answered, for an `Originate` that waits for it.
pub(super) async fn run(
    world: Arc<World>,
    request: Originate,
    script: CallScript,
    answered: tokio::sync::oneshot::Sender<bool>,
) {
    let Some(legs) = open(&world, &request) else {
        let id = request.id.clone().unwrap_or_else(|| "<unknown>".to_owned());
        world.change(|state| respond(state, &request, None, 0, &id));
        let _not_waiting = answered.send(false);
        return;
    };
    let Some(mut signal) = world.lock().channel(&legs.id).map(|c| c.signal.subscribe()) else {
        return;
    };
    tokio::time::sleep(world.config.timings.setup).await;
    let local = legs.other.is_some().then(|| local_target(&request.channel));
    let in_dialplan = local.as_ref().is_some_and(|(context, exten)| {
        let state = world.lock();
        state.dialplan.has(context, exten) || state.dialplan.is_gone(context, exten)
    });
    let outcome = if in_dialplan {
        walk_local(&world, &legs, &request, &script).await
    } else {
        ring(&world, &legs, &request, &script, &mut signal).await
    };
    if let Err(failure) = outcome {
        let _not_waiting = answered.send(false);
        fail(&world, &legs, &request, &script, &failure).await;
        return;
    }
    let now = world.now();
    world.change(|state| {
        let up = |state: &mut State, id: &str| {
            if state.channel(id).is_some_and(|channel| channel.state != 6) {
                state.set_state(id, 6, now);
            }
        };
        if let Some(other) = &legs.other {
            if !in_dialplan {
                local_step(state, other, "Answer", "");
            }
            up(state, other);
        }
        up(state, &legs.id);
        state.device(&legs.id, "INUSE");
        state.dial_event("DialEnd", &legs.id, ("DialStatus", "ANSWER"));
        let name = state.channel(&legs.id).map(|channel| channel.name.clone());
        respond(state, &request, name.as_deref(), 4, &legs.id);
    });
    let _not_waiting = answered.send(true);
    let stop = answered_call(&world, &legs, &request, &script, &mut signal).await;
    hang_up(&world, &legs, &stop).await;
}

/// Creates the channels; `None` when the id is taken (recording `11_channelid_prefix_conflict`).
fn open(world: &Arc<World>, request: &Originate) -> Option<Legs> {
    let now = world.now();
    let v16 = world.v16();
    let legs = world.change(|state| {
        if let Some(id) = &request.id {
            let taken = |channel: &Channel| {
                if v16 {
                    channel.id == *id
                } else {
                    channel.id.starts_with(id.as_str())
                }
            };
            if state.channels.iter().any(taken) {
                return None;
            }
        }
        let mut unique = || {
            state.unique += 1;
            format!("{}.{}", state.started.as_second(), state.unique)
        };
        let id = request.id.clone().unwrap_or_else(&mut unique);
        let other = request
            .channel
            .to_ascii_lowercase()
            .starts_with("local/")
            .then(|| match (&request.other_id, &request.id) {
                (Some(other), _) => other.clone(),
                (None, Some(id)) => format!("{id};2"),
                (None, None) => unique(),
            });
        let number = state.names;
        state.names += 1;
        state.processed += 1;
        let base = format!("{}-{number:08x}", device(&request.channel));
        let name = if other.is_some() {
            format!("{base};1")
        } else {
            base.clone()
        };
        let mut one = Channel::new(id.clone(), name, now);
        dialled(&request.channel).clone_into(&mut one.dialled);
        if other.is_some() {
            let (context, exten) = local_target(&request.channel);
            (one.context, one.exten) = (context, exten);
        }
        state.channels.push(one);
        state.channel_event("Newchannel", "call", &id, &[]);
        if let Some(other) = &other {
            let mut two = Channel::new(other.clone(), format!("{base};2"), now);
            let (context, exten) = local_target(&request.channel);
            (two.context, two.exten) = (context, exten);
            two.linked.clone_from(&id);
            two.state = 4;
            dialled(&request.channel).clone_into(&mut two.dialled);
            state.channels.push(two);
            state.channel_event("Newchannel", "call", other, &[]);
        }
        let exten = state
            .channel(&id)
            .map(|c| c.exten.clone())
            .unwrap_or_default();
        state.channel_event(
            "Newexten",
            "dialplan",
            &id,
            &[
                ("Extension", &exten),
                ("Application", "AppDial2"),
                ("AppData", "(Outgoing Line)"),
            ],
        );
        Some(Legs { id, other })
    })?;
    // The variables of the request are shown in reverse order (FACTS 18).
    for (name, value) in request.variables.iter().rev() {
        dialplan::assign(world, &legs.id, name, value);
    }
    world.change(|state| {
        if !request.account.is_empty() {
            if let Some(channel) = state.channel_mut(&legs.id) {
                channel.account.clone_from(&request.account);
            }
            state.channel_event(
                "NewAccountCode",
                "call",
                &legs.id,
                &[("OldAccountCode", "")],
            );
        }
        if let Some(party) = &request.caller {
            state.set_party(&legs.id, party);
        }
    });
    if let Some(other) = &legs.other {
        for (name, value) in &request.variables {
            if !name.contains('(') {
                dialplan::assign(world, other, name, value);
            }
        }
        world.change(|state| {
            if let Some(party) = &request.caller {
                state.set_party(other, party);
            }
            local_bridge(state, &legs.id, other, &request.channel);
        });
    }
    let string = request.channel.split_once('/').map_or("", |(_, rest)| rest);
    world.change(|state| state.dial_event("DialBegin", &legs.id, ("DialString", string)));
    Some(legs)
}

/// Why a call was not answered.
struct Failure {
    /// `Reason` of `OriginateResponse`.
    reason: u32,
    cause: u32,
    sip: Option<u16>,
    status: &'static str,
    disposition: &'static str,
}

impl Failure {
    const fn timeout() -> Self {
        // The channel's own CANCEL is remembered as 480 (recording `04_pjsip_no_answer_cancel`).
        Self {
            reason: 3,
            cause: 19,
            sip: Some(480),
            status: "NOANSWER",
            disposition: "NO ANSWER",
        }
    }

    fn sip(status: u16) -> Self {
        let cause = cause_of_sip(status);
        let (dial, disposition) = match cause {
            17 => ("BUSY", "BUSY"),
            34 => ("CONGESTION", "FAILED"),
            _ => ("NOANSWER", "NO ANSWER"),
        };
        Self {
            reason: 0,
            cause,
            sip: Some(status),
            status: dial,
            disposition,
        }
    }

    const fn here(cause: u32) -> Self {
        Self {
            reason: 0,
            cause,
            sip: None,
            status: "NOANSWER",
            disposition: "NO ANSWER",
        }
    }
}

async fn ring(
    world: &Arc<World>,
    legs: &Legs,
    request: &Originate,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Result<(), Failure> {
    let is_local = legs.other.is_some();
    let deadline = Instant::now() + request.timeout;
    let left = || deadline.saturating_duration_since(Instant::now());
    let rings = match script.ending {
        Ending::NoAnswer | Ending::RingsForEver => FOR_EVER,
        Ending::Answer => script.ring.unwrap_or(world.config.timings.ring),
        // A refusal comes at once unless the script lets it ring.
        _ => script.ring.unwrap_or_default(),
    };
    if script.ending == Ending::Unreachable {
        let stop = pause(signal, left()).await;
        return Err(stop.map_or(Failure::timeout(), |stop| Failure::here(cause_of(&stop))));
    }
    if !rings.is_zero() {
        world.change(|state| {
            if let Some(other) = &legs.other {
                local_step(state, other, "Ringing", "");
            }
            if let Some(channel) = state.channel_mut(&legs.id) {
                channel.state = 5;
            }
            state.channel_event("Newstate", "call", &legs.id, &[]);
            state.dial_event("DialState", &legs.id, ("DialStatus", "RINGING"));
            state.device(&legs.id, if is_local { "INUSE" } else { "RINGING" });
        });
        let limit = if script.ending == Ending::RingsForEver {
            FOR_EVER
        } else {
            left()
        };
        if let Some(stop) = pause(signal, rings.min(limit)).await {
            return Err(Failure::here(cause_of(&stop)));
        }
        if rings > limit {
            return Err(Failure::timeout());
        }
    } else if let Some(stop) = pause(signal, Duration::ZERO).await {
        return Err(Failure::here(cause_of(&stop)));
    }
    match script.ending {
        Ending::Busy if is_local => Err(Failure {
            reason: 5,
            sip: None,
            ..Failure::sip(486)
        }),
        Ending::Congestion if is_local => Err(Failure {
            reason: 8,
            sip: None,
            ..Failure::sip(503)
        }),
        Ending::Rejected(status) if is_local => Err(Failure {
            sip: None,
            ..Failure::sip(status)
        }),
        Ending::Busy => Err(Failure::sip(486)),
        Ending::Congestion => Err(Failure::sip(503)),
        Ending::Rejected(status) => Err(Failure::sip(status)),
        _ => Ok(()),
    }
}

const fn cause_of(stop: &Stop) -> u32 {
    match stop {
        Stop::Here(cause) | Stop::Far(cause) => *cause,
        Stop::Redirect { .. } => 0,
    }
}

/// A Local channel into an extension that the mock has: `;2` walks it. Answered when a step
/// answers it.
async fn walk_local(
    world: &Arc<World>,
    legs: &Legs,
    request: &Originate,
    script: &CallScript,
) -> Result<(), Failure> {
    let Some(other) = legs.other.clone() else {
        return Ok(());
    };
    let (context, exten) = local_target(&request.channel);
    if !world.lock().dialplan.has(&context, &exten) {
        return Err(Failure::here(0));
    }
    let Some(mut signal) = world.lock().channel(&other).map(|c| c.signal.subscribe()) else {
        return Ok(());
    };
    let walk = {
        let (world, other, script) = (Arc::clone(world), other.clone(), script.clone());
        async move {
            dialplan::run(
                &world,
                &other,
                &context,
                &exten,
                1,
                &mut signal,
                Some(&script),
            )
            .await
        }
    };
    let up = async {
        loop {
            let changed = world.changed.notified();
            if world
                .lock()
                .channel(&other)
                .is_some_and(|channel| channel.state == 6)
            {
                return;
            }
            changed.await;
        }
    };
    let mut walk = Box::pin(walk);
    tokio::select! {
        end = &mut walk => {
            let up = world.lock().channel(&other).is_some_and(|channel| channel.state == 6);
            if up {
                return Ok(());
            }
            Err(Failure::here(match end {
                End::HungUp(cause) => cause,
                End::Stopped(stop) => cause_of(&stop),
                _ => 0,
            }))
        }
        () = up => {
            let world_too = Arc::clone(world);
            let id = legs.id.clone();
            world.spawn(async move {
                let end = walk.await;
                let cause = if let End::HungUp(cause) = end { cause } else { 0 };
                world_too.change(|state| {
                    if let Some(channel) = state.channel(&id) {
                        channel.signal.send_replace(Signal::FarHangup { cause });
                    }
                });
            });
            Ok(())
        }
        () = tokio::time::sleep(request.timeout) => Err(Failure::timeout()),
    }
}

/// The call was not answered: all the events of its end, in the order of its kind.
async fn fail(
    world: &Arc<World>,
    legs: &Legs,
    request: &Originate,
    script: &CallScript,
    failure: &Failure,
) {
    let v16 = world.v16();
    let local = legs.other.as_deref();
    world.change(|state| {
        if let Some(channel) = state.channel_mut(&legs.id) {
            channel.cause = failure.cause;
            channel.tech_cause = failure.sip.filter(|_| !v16 && local.is_none());
        }
        // No event tells of a CANCEL that we sent (recording `06_fax_no_answer`).
        if failure.reason != 3 && local.is_none() {
            state.hangup_request("HangupRequest", &legs.id, Some(failure.cause));
        }
        if let Some(other) = local {
            if let Some(channel) = state.channel_mut(other) {
                channel.cause = failure.cause;
            }
            state.hangup_request("SoftHangupRequest", other, Some(16));
        }
        if failure.reason != 3 {
            state.dial_event("DialEnd", &legs.id, ("DialStatus", failure.status));
        }
    });
    dialplan::run_handlers(world, &legs.id).await;
    let now = world.now();
    world.change(|state| {
        // What an id shows as when the client gave none (recording `03_originate_busy`).
        let id = request.id.clone().unwrap_or_else(|| "<unknown>".to_owned());
        let first = script
            .hangup_first
            .unwrap_or(matches!(failure.sip, Some(404 | 408)) && failure.reason == 0);
        if first {
            state.hangup_event(&legs.id);
        }
        respond(state, request, None, failure.reason, &id);
        if !first {
            state.hangup_event(&legs.id);
        }
        state.cdr(&legs.id, failure.disposition, now);
        state.device(&legs.id, "NOT_INUSE");
        if let Some(other) = local {
            state.hangup_event(other);
            state.cdr(other, failure.disposition, now);
            state.device(other, "NOT_INUSE");
            state.remove(other);
        }
        state.remove(&legs.id);
    });
}

/// What runs once the call is answered, until something ends it.
async fn answered_call(
    world: &Arc<World>,
    legs: &Legs,
    request: &Originate,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Stop {
    let far = Instant::now() + script.hangup_after.unwrap_or(FOR_EVER);
    let absolute = {
        let state = world.lock();
        let set = state
            .channel(&legs.id)
            .and_then(|c| c.vars.get("TIMEOUT(absolute)").cloned());
        set.map(|text| dialplan::seconds(&text))
            .filter(|time| !time.is_zero())
    };
    let limit = Instant::now() + absolute.unwrap_or(FOR_EVER);
    let watched = async {
        tokio::select! {
            () = tokio::time::sleep_until(far) => Signal::FarHangup { cause: 0 },
            () = tokio::time::sleep_until(limit) => Signal::Hangup { cause: 0 },
        }
    };
    let timer = {
        let world = Arc::clone(world);
        let id = legs.id.clone();
        async move {
            let what = watched.await;
            if let Some(channel) = world.lock().channel(&id) {
                channel.signal.send_replace(what);
            }
            std::future::pending::<Stop>().await
        }
    };
    let mut then = request.then.clone();
    let work = async {
        loop {
            let stop = match &then {
                Then::Application { name, data } => {
                    application(world, &legs.id, name, data, script, signal).await
                }
                Then::Extension {
                    context,
                    exten,
                    priority,
                } => extension(world, &legs.id, context, exten, *priority, script, signal).await,
            };
            match stop {
                Stop::Redirect {
                    context,
                    exten,
                    priority,
                } => {
                    if let Some(channel) = world.lock().channel(&legs.id) {
                        channel.signal.send_replace(Signal::None);
                    }
                    then = Then::Extension {
                        context,
                        exten,
                        priority,
                    };
                }
                stop => return stop,
            }
        }
    };
    tokio::select! {
        stop = work => stop,
        stop = timer => stop,
    }
}

async fn application(
    world: &Arc<World>,
    id: &str,
    name: &str,
    data: &str,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Stop {
    if let Some(channel) = world.lock().channel_mut(id) {
        name.clone_into(&mut channel.application);
        data.clone_into(&mut channel.data);
    }
    let stop = match name.to_ascii_lowercase().as_str() {
        "sendfax" if world.config.fax => match fax::send(world, id, data, script, signal).await {
            FaxEnd::Done => None,
            FaxEnd::Stopped(stop) => Some(stop),
        },
        "wait" => pause(signal, dialplan::seconds(data)).await,
        "echo" | "park" | "musiconhold" | "dial" | "bridge" | "waitexten" | "playback"
        | "confbridge" | "milliwatt" | "receivefax" => pause(signal, FOR_EVER).await,
        // An unknown application ends the call; the Originate said `Success` (FACTS 44).
        _ => None,
    };
    // The application returned and nothing follows: the channel ends with cause 0.
    stop.unwrap_or(Stop::Here(0))
}

async fn extension(
    world: &Arc<World>,
    id: &str,
    context: &str,
    exten: &str,
    priority: u32,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Stop {
    if !world.lock().dialplan.has(context, exten) {
        // An extension that the test did not write: the call is simply up there.
        world.change(|state| {
            if let Some(channel) = state.channel_mut(id) {
                context.clone_into(&mut channel.context);
                exten.clone_into(&mut channel.exten);
                channel.priority = priority;
            }
            state.channel_event(
                "Newexten",
                "dialplan",
                id,
                &[
                    ("Extension", exten),
                    ("Application", "WaitExten"),
                    ("AppData", ""),
                ],
            );
        });
        return pause(signal, FOR_EVER).await.unwrap_or(Stop::Here(0));
    }
    match dialplan::run(world, id, context, exten, priority, signal, Some(script)).await {
        End::Ran | End::Returned => Stop::Here(0),
        End::HungUp(cause) => Stop::Here(cause),
        End::Stopped(stop) => stop,
    }
}

/// The end of an answered call.
async fn hang_up(world: &Arc<World>, legs: &Legs, stop: &Stop) {
    let cause = cause_of(stop);
    world.change(|state| {
        let fax = state
            .channel(&legs.id)
            .is_some_and(|c| c.application == "SendFAX");
        if let Some(channel) = state.channel_mut(&legs.id) {
            channel.cause = cause;
        }
        match (stop, &legs.other) {
            // `SendFAX` has told of the far end's hang-up already.
            (Stop::Far(_), None) if !fax => {
                state.hangup_request("HangupRequest", &legs.id, None);
            }
            (Stop::Here(cause), None) if !fax && *cause != 0 => {
                state.hangup_request("SoftHangupRequest", &legs.id, Some(*cause));
            }
            (_, Some(other)) => {
                if let Some(channel) = state.channel_mut(other) {
                    channel.cause = cause;
                }
                state.hangup_request("HangupRequest", other, Some(cause));
            }
            _ => {}
        }
    });
    dialplan::run_handlers(world, &legs.id).await;
    let now = world.now();
    world.change(|state| {
        state.cdr(&legs.id, "ANSWERED", now);
        state.hangup_event(&legs.id);
        state.device(&legs.id, "NOT_INUSE");
        if let Some(other) = &legs.other {
            state.hangup_request("SoftHangupRequest", other, Some(16));
            state.hangup_event(other);
            state.device(other, "NOT_INUSE");
            state.cdr(other, "ANSWERED", now);
            state.remove(other);
        }
        state.remove(&legs.id);
    });
}

/// `OriginateResponse`. On failure `Channel` is the dial string (FACTS 40).
fn respond(state: &mut State, request: &Originate, channel: Option<&str>, reason: u32, id: &str) {
    let word = if reason == 4 { "Success" } else { "Failure" };
    let mut event = start("OriginateResponse", "call")
        .maybe("ActionID", request.action_id.as_ref())
        .header("Response", word)
        .header("Channel", channel.unwrap_or(&request.channel));
    event = match &request.then {
        Then::Application { name, data } => event.header("Application", name).header("Data", data),
        Then::Extension { context, exten, .. } => {
            event.header("Context", context).header("Exten", exten)
        }
    };
    let unknown = |text: Option<&String>| super::channel::text(text);
    event = event
        .header("Reason", reason.to_string())
        .header("Uniqueid", id)
        .header(
            "CallerIDNum",
            unknown(request.caller.as_ref().map(|p| &p.number)),
        )
        .header(
            "CallerIDName",
            unknown(request.caller.as_ref().map(|p| &p.name)),
        );
    if request.is_async {
        state.emit("call", event);
    }
}

fn local_step(state: &mut State, other: &str, application: &str, data: &str) {
    let exten = state
        .channel(other)
        .map(|c| c.exten.clone())
        .unwrap_or_default();
    state.channel_event(
        "Newexten",
        "dialplan",
        other,
        &[
            ("Extension", &exten),
            ("Application", application),
            ("AppData", data),
        ],
    );
}

fn local_bridge(state: &mut State, one: &str, two: &str, dial: &str) {
    let (Some(one), Some(two)) = (state.channel(one), state.channel(two)) else {
        return;
    };
    let (context, exten) = local_target(dial);
    let optimise = if dial.ends_with("/n") { "No" } else { "Yes" };
    let event = two
        .snapshot(
            one.snapshot(start("LocalBridge", "call"), "LocalOne"),
            "LocalTwo",
        )
        .header("Context", context)
        .header("Exten", exten)
        .header("LocalOptimization", optimise);
    state.emit("call", event);
}

/// Context and extension of `Local/exten@context/n`.
fn local_target(channel: &str) -> (String, String) {
    let rest = channel.split_once('/').map_or(channel, |(_, rest)| rest);
    let rest = rest.split_once('/').map_or(rest, |(rest, _)| rest);
    match rest.split_once('@') {
        Some((exten, context)) => (context.to_owned(), exten.to_owned()),
        None => ("default".to_owned(), rest.to_owned()),
    }
}

/// The channel's name without its number: `PJSIP/trunk` of `PJSIP/700@trunk`.
fn device(channel: &str) -> String {
    let (tech, rest) = channel.split_once('/').unwrap_or((channel, ""));
    if tech.eq_ignore_ascii_case("local") {
        let (context, exten) = local_target(channel);
        return format!("Local/{exten}@{context}");
    }
    let peer = match rest.split_once('@') {
        Some((_, peer)) => peer,
        None => rest.split('/').next().unwrap_or(rest),
    };
    format!("{tech}/{peer}")
}
