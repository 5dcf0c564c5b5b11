//! One call of the mock, from the `Originate` to the last `Hangup`.

mod open;
mod ring;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    channel::Signal,
    dialplan::{self, End},
    fax::{self, FaxEnd},
    originate::{Originate, Then},
    script::CallScript,
    world::{State, World},
};
use open::{local_step, local_target, open, respond};
use ring::{fail, ring, walk_local};

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

const fn cause_of(stop: &Stop) -> u32 {
    match stop {
        Stop::Here(cause) | Stop::Far(cause) => *cause,
        Stop::Redirect { .. } => 0,
    }
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
    let cause = match (stop, world.far_cause()) {
        (Stop::Far(0), Some(cause)) => cause,
        _ => cause_of(stop),
    };
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
                state.hangup_request("HangupRequest", &legs.id, world.far_cause());
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
