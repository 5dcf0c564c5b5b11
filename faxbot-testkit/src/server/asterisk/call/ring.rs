//! From the dialling to the answer, or to one of the ways not to get one.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    FOR_EVER, Legs, cause_of,
    open::{local_step, local_target, respond},
    pause,
};
use crate::server::asterisk::{
    channel::{Signal, cause_of_sip},
    dialplan::{self, End},
    originate::Originate,
    script::{CallScript, Ending},
    world::World,
};

/// Why a call was not answered.
pub(super) struct Failure {
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

pub(super) async fn ring(
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

/// A Local channel into an extension that the mock has: `;2` walks it. Answered when a step
/// answers it.
pub(super) async fn walk_local(
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
pub(super) async fn fail(
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
            // Asterisk 16.28 forgets the cause of its own CANCEL.
            channel.cause = if v16 && failure.reason == 3 {
                0
            } else {
                failure.cause
            };
            channel.tech_cause = failure.sip.filter(|_| !v16 && local.is_none());
        }
        // No event tells of a CANCEL that we sent (recording `06_fax_no_answer`).
        if failure.reason != 3 && local.is_none() {
            let cause = Some(failure.cause).filter(|_| !v16);
            state.hangup_request("HangupRequest", &legs.id, cause);
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
