//! A channel that is up: where it goes, and its end.

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use super::{FOR_EVER, Legs, Stop, pause};
use crate::server::asterisk::{
    application::{self, Done, Here, hangup_cause},
    bridge::stay,
    channel::Signal,
    dialplan::{self, End},
    originate::Then,
    world::{State, World},
};
use crate::server::script::CallScript;

/// Where a channel goes on.
#[derive(Debug, Clone)]
pub(in crate::server::asterisk) enum Place {
    /// An application without a dialplan.
    Application { name: String, data: String },
    /// A step of the dialplan.
    Extension {
        context: String,
        exten: String,
        priority: u32,
    },
    /// In a bridge that it has entered, until it is let go; then on at this step, or to its end.
    Bridge {
        out: watch::Receiver<bool>,
        next: Option<(String, String, u32)>,
    },
}

impl From<Then> for Place {
    fn from(then: Then) -> Self {
        match then {
            Then::Application { name, data } => Self::Application { name, data },
            Then::Extension {
                context,
                exten,
                priority,
            } => Self::Extension {
                context,
                exten,
                priority,
            },
        }
    }
}

/// Runs a channel from a place to its end, with all the events of that end.
pub(in crate::server::asterisk) async fn pbx(
    world: Arc<World>,
    id: String,
    place: Place,
    script: CallScript,
) {
    let signal = world.lock().channel(&id).map(|c| c.signal.subscribe());
    let Some(mut signal) = signal else { return };
    let stop = live(&world, &id, place, &script, &mut signal).await;
    let legs = Legs {
        id,
        other: None,
        walks: false,
    };
    hang_up(&world, &legs, &stop).await;
}

/// Runs a channel until something ends it.
pub(in crate::server::asterisk) async fn live(
    world: &Arc<World>,
    id: &str,
    mut place: Place,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Stop {
    let timers = timers(Arc::clone(world), id.to_owned(), script.hangup_after);
    let work = async {
        loop {
            let stop = match place {
                Place::Application { name, data } => {
                    application(world, id, &name, &data, script, signal).await
                }
                Place::Extension {
                    context,
                    exten,
                    priority,
                } => extension(world, id, (&context, &exten, priority), script, signal).await,
                Place::Bridge { mut out, next } => {
                    match stay(world, id, &mut out, signal, |_| {}).await {
                        Some(stop) => Err(stop),
                        None => after_bridge(world, next),
                    }
                }
            };
            let stop = match stop {
                Ok(next) => {
                    place = next;
                    continue;
                }
                Err(stop) => stop,
            };
            if let (Some(order), Some(channel)) = (stop.order(), world.lock().channel(id)) {
                channel.follows(&order);
            }
            match stop {
                Stop::Redirect {
                    context,
                    exten,
                    priority,
                } => {
                    world.change(|state| state.stop_music(id));
                    place = Place::Extension {
                        context,
                        exten,
                        priority,
                    };
                }
                Stop::Bridge(bridge) => match enter(world, id, &bridge) {
                    Some(entered) => place = entered,
                    None => return Stop::Ended(16),
                },
                stop => return stop,
            }
        }
    };
    tokio::select! {
        stop = work => stop,
        stop = timers => stop,
    }
}

/// Tells the channel when its time is over, or the far end's.
async fn timers(world: Arc<World>, id: String, far: Option<std::time::Duration>) -> Stop {
    let start = Instant::now();
    let mut far = far.map(|far| start + far);
    let limit = world.lock().channel(&id).map(|c| c.limit.subscribe());
    let Some(mut limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let until = *limit.borrow_and_update();
        let never = start + FOR_EVER;
        tokio::select! {
            () = tokio::time::sleep_until(far.unwrap_or(never)) => {
                far = None;
                world.lock().signal(&id, Signal::FarHangup { cause: 0 });
            }
            () = tokio::time::sleep_until(until.unwrap_or(never)) => {
                if let Some(channel) = world.lock().channel(&id) {
                    channel.limit.send_replace(None);
                }
                world.lock().signal(&id, Signal::Hangup { cause: 0 });
            }
            changed = limit.changed() => {
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// Goes into a bridge. Once it is over a channel of the dialplan goes on at its next step, another
/// one at the place it has (recording `05_bridge_action`).
fn enter(world: &World, id: &str, bridge: &str) -> Option<Place> {
    world.change(|state| {
        let channel = state.channel(id)?;
        let priority = channel.priority + u32::from(channel.pbx);
        let next = (channel.context.clone(), channel.exten.clone(), priority);
        let out = state.enter(bridge, id)?;
        state.show_connected(bridge);
        let next = Some(next);
        Some(Place::Bridge { out, next })
    })
}

fn after_bridge(world: &World, next: Option<(String, String, u32)>) -> Result<Place, Stop> {
    let state = world.lock();
    match next {
        Some((context, exten, priority))
            if state.dialplan.step(&context, &exten, priority).is_some() =>
        {
            Ok(Place::Extension {
                context,
                exten,
                priority,
            })
        }
        _ => Err(Stop::Ended(16)),
    }
}

async fn application(
    world: &Arc<World>,
    id: &str,
    name: &str,
    data: &str,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Result<Place, Stop> {
    if let Some(channel) = world.lock().channel_mut(id) {
        name.clone_into(&mut channel.application);
        data.clone_into(&mut channel.data);
        channel.pbx = false;
    }
    if ["playback", "bridge"].contains(&name.to_ascii_lowercase().as_str()) {
        return Err(pause(signal, FOR_EVER).await.unwrap_or(Stop::Here(0)));
    }
    let mut here = Here {
        world,
        id,
        signal,
        script,
    };
    match application::run(&mut here, name, data).await {
        Done::Stopped(stop) => Err(stop),
        Done::HungUp(cause) => Err(Stop::Ended(hangup_cause(world, id, cause))),
        Done::Goto {
            context: Some(context),
            exten: Some(exten),
            priority,
        } => Ok(Place::Extension {
            context,
            exten,
            priority,
        }),
        // It returned and nothing follows: the channel ends with cause 0. An unknown application
        // ends the call, too; the Originate said `Success` (observed on Asterisk 16.28 and 22.10).
        _ => Err(Stop::Here(0)),
    }
}

async fn extension(
    world: &Arc<World>,
    id: &str,
    (context, exten, priority): (&str, &str, u32),
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Result<Place, Stop> {
    let (exists, known) = world.change(|state| {
        if let Some(channel) = state.channel_mut(id) {
            channel.pbx = true;
        }
        let plan = &state.dialplan;
        (plan.has(context, exten), plan.knows(context))
    });
    if !exists {
        let now_in = |state: &mut State, application: (&str, &str)| {
            if let Some(channel) = state.channel_mut(id) {
                context.clone_into(&mut channel.context);
                exten.clone_into(&mut channel.exten);
                channel.priority = priority;
            }
            let headers = [
                ("Extension", exten),
                ("Application", application.0),
                ("AppData", application.1),
            ];
            state.channel_event("Newexten", "dialplan", id, &headers);
        };
        if known {
            // A missing extension of a context that is there (recording `05_redirect`).
            world.change(|state| {
                let was = state
                    .channel(id)
                    .map(|c| (c.application.clone(), c.data.clone()));
                let (application, data) = was.unwrap_or_default();
                now_in(state, (&application, &data));
            });
            return Err(Stop::Ended(0));
        }
        // A context that the test did not write: the call is simply up there.
        world.change(|state| now_in(state, ("WaitExten", "")));
        return Err(pause(signal, FOR_EVER).await.unwrap_or(Stop::Here(0)));
    }
    let mut here = Here {
        world,
        id,
        signal,
        script,
    };
    Err(
        match dialplan::run(&mut here, context, exten, priority).await {
            End::Ran | End::Returned => Stop::Here(0),
            End::HungUp(cause) => Stop::Ended(hangup_cause(world, id, cause)),
            End::Stopped(stop) => stop,
        },
    )
}

/// The end of an answered call, and of `;2` that walked the dialplan.
pub(super) async fn hang_up(world: &Arc<World>, legs: &Legs, stop: &Stop) {
    world.change(|state| {
        state.leave(&legs.id);
        state.stop_music(&legs.id);
        let Some(channel) = state.channel_mut(&legs.id) else {
            return;
        };
        let fax = channel.application == "SendFAX";
        let told = channel.end_told;
        let local = channel.name.starts_with("Local/");
        let pbx = channel.pbx;
        // No event tells of a caller that gives up before the answer (seen on 16.28 and 22.10).
        let told = told || channel.answered.is_none();
        channel.cause = match (stop.cause(), stop, world.far_cause()) {
            (0, Stop::Here(_) | Stop::Far(_), _) if channel.cause != 0 => channel.cause,
            (0, Stop::Far(_), Some(cause)) => cause,
            (cause, ..) => cause,
        };
        let cause = channel.cause;
        match (stop, legs.scripted()) {
            // `;2` of a Local channel, whose other half is gone.
            (Stop::Far(_), None) if told && local => {
                state.hangup_request("SoftHangupRequest", &legs.id, Some(16));
            }
            // `SendFAX` has told of the far end's hang-up already.
            (Stop::Far(_), None) if !fax && !told => {
                state.hangup_request("HangupRequest", &legs.id, world.far_cause());
                if pbx {
                    state.hangup_request("SoftHangupRequest", &legs.id, Some(16));
                }
            }
            (Stop::Far(_), None) if !fax && pbx => {
                state.hangup_request("SoftHangupRequest", &legs.id, Some(16));
            }
            // Of a channel that an application runs nothing tells before (recording
            // `05_hangup_variants`).
            (Stop::Here(cause), None) if !fax && pbx && *cause != 0 => {
                state.hangup_request("SoftHangupRequest", &legs.id, Some(16));
            }
            (Stop::Ended(_), None) => {
                state.hangup_request("SoftHangupRequest", &legs.id, Some(16));
            }
            (_, Some(other)) => {
                if let Some(channel) = state.channel_mut(other) {
                    channel.cause = cause;
                }
                state.hangup_request("HangupRequest", other, Some(cause));
            }
            _ => {}
        }
        tell_half(state, &legs.id, cause);
    });
    dialplan::run_handlers(world, &legs.id).await;
    let now = world.now();
    world.change(|state| {
        let answered = state
            .channel(&legs.id)
            .is_some_and(|channel| channel.answered.is_some());
        let disposition = if answered { "ANSWERED" } else { "NO ANSWER" };
        state.cdr(&legs.id, disposition, now);
        state.hangup_event(&legs.id);
        state.device(&legs.id, "NOT_INUSE");
        if let Some(other) = legs.scripted() {
            state.hangup_request("SoftHangupRequest", other, Some(16));
            state.hangup_event(other);
            state.device(other, "NOT_INUSE");
            state.cdr(other, "ANSWERED", now);
            state.remove(other);
        }
        state.remove(&legs.id);
    });
}

/// The other half of a Local channel ends with this one.
pub(super) fn tell_half(state: &mut State, id: &str, cause: u32) {
    let Some(half) = state.channel_mut(id).and_then(|c| c.half.take()) else {
        return;
    };
    let told = state.channel(&half).is_none_or(|half| half.end_told);
    if let Some(half) = state.channel_mut(&half) {
        half.cause = cause;
        half.half = None;
    }
    if !told {
        state.hangup_request("HangupRequest", &half, Some(cause));
    }
    state.signal(&half, Signal::FarHangup { cause });
}
