//! From the dialling to the answer, or to one of the ways not to get one.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    FOR_EVER, Legs, Place, Stop,
    live::tell_half,
    open::{local_step, local_target, respond},
    pause, pbx,
};
use crate::server::asterisk::{
    channel::{Signal, cause_of_sip},
    dialplan,
    originate::Originate,
    world::{State, World},
};
use crate::server::script::{CallScript, Ending};

/// Why a call was not answered.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// `Reason` of `OriginateResponse`.
    reason: u32,
    pub cause: u32,
    pub sip: Option<u16>,
    /// `DialStatus` of `DialEnd`.
    pub status: &'static str,
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

    /// Something asked for its end.
    fn stopped(stop: &Stop) -> Self {
        match stop {
            // A channel that still rings cannot be moved: it ends (seen on 16.28 and 22.10).
            Stop::Redirect { .. } | Stop::Bridge(_) => Self::here(16),
            stop => Self::here(stop.cause()),
        }
    }

    /// The dialplan behind a Local channel ended with this cause.
    const fn of_cause(cause: u32) -> Self {
        let status = match cause {
            17 => "BUSY",
            34 => "CONGESTION",
            _ => "NOANSWER",
        };
        let mut failure = Self::here(cause);
        failure.status = status;
        failure
    }

    /// The caller does not wait any longer.
    pub(super) const fn cancelled(cause: u32) -> Self {
        let mut failure = Self::here(cause);
        failure.status = "CANCEL";
        failure
    }

    /// `DIALSTATUS` of a `Dial` that failed by it: coarser than the cause, and another word than
    /// that of `DialEnd` (recordings `04_pjsip_rejected_*`).
    pub(super) const fn dial_status(&self) -> &'static str {
        match self.cause {
            17 => "BUSY",
            34 => "CONGESTION",
            0 | 16 | 19 => "NOANSWER",
            _ => "CHANUNAVAIL",
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

/// A leg that is called.
pub(super) struct Ringing<'a> {
    pub legs: &'a Legs,
    pub timeout: Duration,
    /// The channel whose `Dial` calls it.
    pub by: Option<&'a str>,
    /// The dial string with its technology.
    pub target: &'a str,
}

/// From the dialling to the answer.
pub(super) async fn ring(
    world: &Arc<World>,
    ringing: &Ringing<'_>,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Result<(), Failure> {
    tokio::time::sleep(world.config.timings.setup).await;
    // `TIMEOUT(absolute)` counts from the request on, and ends the ringing like its own time-out
    // (seen on 16.28 and 22.10).
    let limit = world
        .lock()
        .channel(&ringing.legs.id)
        .and_then(|channel| *channel.limit.borrow())
        .map(|limit| limit.saturating_duration_since(Instant::now()));
    let ringing = &Ringing {
        timeout: limit.unwrap_or(FOR_EVER).min(ringing.timeout),
        ..*ringing
    };
    if ringing.legs.walks {
        walk_local(world, ringing, script, signal).await
    } else {
        ring_scripted(world, ringing, script, signal).await
    }
}

async fn ring_scripted(
    world: &Arc<World>,
    ringing: &Ringing<'_>,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Result<(), Failure> {
    let legs = ringing.legs;
    let is_local = legs.other.is_some();
    let deadline = Instant::now() + ringing.timeout;
    let left = || deadline.saturating_duration_since(Instant::now());
    let rings = match script.ending {
        Ending::NoAnswer | Ending::RingsForEver => FOR_EVER,
        Ending::Answer => script.ring.unwrap_or(world.config.timings.ring),
        // A refusal comes at once unless the script lets it ring.
        _ => script.ring.unwrap_or_default(),
    };
    if script.ending == Ending::Unreachable {
        let stop = pause(signal, left()).await;
        return Err(stop.map_or(Failure::timeout(), |stop| Failure::stopped(&stop)));
    }
    if !rings.is_zero() {
        world.change(|state| early(state, ringing, script.progress));
        let limit = if script.ending == Ending::RingsForEver {
            FOR_EVER
        } else {
            left()
        };
        if let Some(stop) = pause(signal, rings.min(limit)).await {
            return Err(Failure::stopped(&stop));
        }
        if rings > limit {
            return Err(Failure::timeout());
        }
    } else if let Some(stop) = pause(signal, Duration::ZERO).await {
        return Err(Failure::stopped(&stop));
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

/// The far end rings, or sends sound before the answer.
fn early(state: &mut State, ringing: &Ringing<'_>, progress: bool) {
    let legs = ringing.legs;
    if let Some(other) = legs.scripted() {
        let application = if progress { "Progress" } else { "Ringing" };
        local_step(state, other, application, "");
    }
    if !progress {
        if let Some(channel) = state.channel_mut(&legs.id) {
            channel.state = 5;
        }
        state.channel_event("Newstate", "call", &legs.id, &[]);
    }
    if let Some(by) = ringing.by {
        let names = if progress {
            ["PROGRESSTIME", "PROGRESSTIME_MS"]
        } else {
            ["RINGTIME", "RINGTIME_MS"]
        };
        for name in names {
            state.set_var(by, name, "0");
        }
    }
    let status = if progress { "PROGRESS" } else { "RINGING" };
    state.dial_event("DialState", ringing.by, &legs.id, ("DialStatus", status));
    if !progress {
        let device = if legs.other.is_some() {
            "INUSE"
        } else {
            "RINGING"
        };
        state.device(&legs.id, device);
    }
}

/// A Local channel into an extension that the mock has: `;2` walks it on its own. Answered when a
/// step answers it.
async fn walk_local(
    world: &Arc<World>,
    ringing: &Ringing<'_>,
    script: &CallScript,
    signal: &mut watch::Receiver<Signal>,
) -> Result<(), Failure> {
    let Some(other) = ringing.legs.other.clone() else {
        return Ok(());
    };
    let told = world
        .lock()
        .channel(&other)
        .map(|channel| channel.state_told.subscribe());
    let Some(mut told) = told else {
        return Err(Failure::here(0));
    };
    let (context, exten) = local_target(ringing.target);
    let place = Place::Extension {
        context,
        exten,
        priority: 1,
    };
    // The far end's own hang-up is that of `;1`.
    let mut script = script.clone();
    script.hangup_after = None;
    world.spawn(pbx(Arc::clone(world), other, place, script));
    tokio::select! {
        biased;
        up = told.wait_for(|state| *state == 6) => match up {
            Ok(_) => Ok(()),
            Err(_) => {
                let state = world.lock();
                let cause = state.channel(&ringing.legs.id).map_or(0, |channel| channel.cause);
                Err(Failure::of_cause(cause))
            }
        },
        stop = pause(signal, ringing.timeout) => {
            Err(stop.map_or(Failure::timeout(), |stop| Failure::stopped(&stop)))
        }
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
    let local = legs.scripted();
    world.change(|state| {
        let told = state.channel(&legs.id).is_some_and(|c| c.end_told);
        tell_half(state, &legs.id, failure.cause);
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
        if failure.reason != 3 && local.is_none() && !told {
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
            state.dial_event("DialEnd", None, &legs.id, ("DialStatus", failure.status));
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
