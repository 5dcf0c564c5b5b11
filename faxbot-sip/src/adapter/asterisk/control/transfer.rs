//! Transfers, blind and attended, with a known outcome. Our own channel stays: whoever it was bridged
//! with leaves.

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    address::Address,
    clock::later,
    id::{CallId, CallRef},
    sip::{CallState, Causes, ConnectionState, TransferPlan, TransferRequest},
};

use super::super::{
    books::{
        legs::{DialStatus, Plan},
        moves::Calling,
    },
    core::{Core, State},
    dialplan::{DIAL, DIAL_OPTIONS, DIAL_RING, DIAL_STAY, DIAL_TO, HOLD},
    outcome::KIND,
    request::dial_string,
    server::Server,
};
use super::{
    Claim,
    hold::{bridge, send_to_music},
    place, see_extension,
};
use crate::adapter::{hub::Book as _, unreached::not_answered};

const OPERATION: &str = "transfer";

/// How long the new party may ring where the call itself has no ring time-out: it came to us.
const RING: Duration = Duration::from_secs(60);

/// The longest ring time-out of a new party.
const MAX_RING: Duration = Duration::from_secs(600);

/// What the far end may take beside the ring time.
const GRACE: Duration = Duration::from_secs(15);

/// How often the server is asked for the outcome that events tell at once: they may be missing.
const ASK: Duration = Duration::from_secs(2);

/// How soon it is asked after an event that says that `Dial` ends.
const ASK_SOON: Duration = Duration::from_millis(100);

/// How often our channel may be missing before it is believed to be gone.
const MISSED: usize = 20;

/// How long the new party's own cause may take after the word of `Dial`.
const CAUSE: Duration = Duration::from_millis(300);

pub(crate) async fn transfer(core: &Core, server: &Server, request: TransferRequest) -> Result<()> {
    match &request.plan {
        TransferPlan::Blind(to) => blind(core, server, &request.call, to).await,
        TransferPlan::Attended(other) => attended(core, server, &request.call, other).await,
        _ => Err(Error::unsupported(OPERATION)),
    }
}

/// How a `Dial` of our channel ended.
enum Outcome {
    Answered,
    /// The word of the server.
    Failed(String),
    /// Our channel ended first.
    Gone,
    /// Nobody can say.
    Unknown,
}

async fn blind(core: &Core, server: &Server, call: &CallRef, to: &Address) -> Result<()> {
    let target = dial_string(&core.config, to, OPERATION)?;
    // `Dial` takes what follows a comma for its own arguments.
    if target.contains(',') {
        let text = "a dial string with a comma cannot be transferred to";
        return Err(Error::new(ErrorKind::InvalidRequest, OPERATION, text));
    }
    let mut claim = Claim::new(core, OPERATION);
    let (id, was) = claim.take(call)?;
    let done = call_new_party(core, server, &mut claim, Blind { id, was, target });
    done.await.map_err(|error| error.with_call_id(id))
}

struct Blind {
    id: CallId,
    was: CallState,
    target: String,
}

async fn call_new_party(
    core: &Core,
    server: &Server,
    claim: &mut Claim<'_>,
    blind: Blind,
) -> Result<()> {
    let Blind { id, was, target } = blind;
    let own = place(core, server, claim, id).await?.own;
    let (plan, ring) = {
        let state = core.state();
        (state.books.plan(id), ring_time(&state, id))
    };
    let seconds = ring.as_secs().to_string();
    let mut variables = vec![
        (DIAL_TO, target.as_str()),
        (DIAL_RING, &seconds),
        (DIAL_OPTIONS, ""),
        (DIAL_STAY, "1"),
        // What it said of an earlier party.
        ("DIALSTATUS", ""),
    ];
    if matches!(plan, Plan::Connect | Plan::Bridge) {
        // From now on the word of the last `Dial` no longer says whether the call was answered, or
        // why its second party was not reached.
        variables.push((KIND, ""));
    }
    for (name, value) in variables {
        server.set_variable(&own, name, value, OPERATION).await?;
    }
    see_extension(core, server, &own, DIAL, OPERATION).await?;
    calling(&mut core.state(), id, Some(Calling::default()));
    let sent = server.send_to(&core.store, &own, None, DIAL, OPERATION);
    if let Err(error) = sent.await {
        calling(&mut core.state(), id, None);
        if error.effect() == Effect::Unknown {
            core.events(|state, now| {
                state.books.perhaps_held(id);
                state.books.shift(id, CallState::Transferring, now)
            });
            claim.unsure();
        }
        return Err(error);
    }
    core.events(|state, now| state.books.shift(id, CallState::Transferring, now));
    match outcome(core, server, id, &own, ring.saturating_add(GRACE)).await {
        Outcome::Answered => {
            core.events(|state, now| {
                let _ = calling(state, id, None);
                state.books.leave_held(id);
                state.books.shift(id, CallState::Connected, now)
            });
            Ok(())
        }
        Outcome::Failed(word) => {
            let causes = causes(core, server, id, &own, &word).await;
            calling(&mut core.state(), id, None);
            stay(core, server, claim, &own, (id, was)).await;
            Err(not_answered(OPERATION, &word, &causes))
        }
        Outcome::Gone => Err(Error::new(
            ErrorKind::Rejected,
            OPERATION,
            "the call ended before the new party answered",
        )),
        Outcome::Unknown => {
            claim.unsure();
            Err(Error::new(
                ErrorKind::OutcomeUnknown,
                OPERATION,
                "the server did not tell whether the new party answered; ask for the state of the call",
            ))
        }
    }
}

/// The new party rings as long as the first one was allowed to.
fn ring_time(state: &State, id: CallId) -> Duration {
    let placed = state.books.lines.get(&id).map(|line| line.ring_timeout);
    let placed = placed.filter(|time| !time.is_zero()).unwrap_or(RING);
    placed.clamp(Duration::from_secs(1), MAX_RING)
}

fn calling(state: &mut State, id: CallId, begins: Option<Calling>) -> Option<Calling> {
    let line = state.books.lines.get_mut(&id)?;
    std::mem::replace(&mut line.control.calling, begins)
}

/// The call that was not transferred is where it was: parked, or held.
async fn stay(
    core: &Core,
    server: &Server,
    claim: &mut Claim<'_>,
    own: &str,
    (id, was): (CallId, CallState),
) {
    let mut back = CallState::Connected;
    if was == CallState::OnHold {
        let held = async {
            see_extension(core, server, own, HOLD, OPERATION).await?;
            send_to_music(core, server, (own, None), OPERATION).await
        };
        match held.await {
            Ok(()) => back = CallState::OnHold,
            Err(error) if error.effect() == Effect::Unknown => {
                // The list of channels tells where it is, and so what becomes of its other party.
                core.state().books.perhaps_held(id);
                claim.unsure();
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "asterisk: a held call could not be held again");
                core.state().books.leave_held(id);
            }
        }
    }
    core.events(|state, now| state.books.shift(id, back, now));
}

/// Waits for the outcome of the `Dial` that our channel is in.
async fn outcome(core: &Core, server: &Server, id: CallId, own: &str, limit: Duration) -> Outcome {
    let end = later(core.clock.now(), limit);
    let (mut pause, mut gap, mut missed) = (ASK, false, 0);
    while core.clock.now() < end {
        let heard = core.until(pause, |state| {
            let up = state.connection == ConnectionState::Connected;
            gap |= !up;
            let Some(line) = state.books.lines.get_mut(&id) else {
                return Some(Some(if gap { Outcome::Unknown } else { Outcome::Gone }));
            };
            let ended = line.hangup.is_some();
            let calling = line.control.calling.as_mut();
            if calling.as_ref().is_some_and(|calling| calling.answered) {
                return Some(Some(Outcome::Answered));
            }
            if ended {
                // In a gap it may have been answered before.
                return Some(Some(if gap { Outcome::Unknown } else { Outcome::Gone }));
            }
            let asks = calling.is_some_and(|calling| std::mem::take(&mut calling.ended));
            asks.then_some(None)
        });
        match heard.await {
            Some(Some(outcome)) => return outcome,
            Some(None) => pause = ASK_SOON,
            None => pause = ASK,
        }
        match server.variable(own, "DIALSTATUS", OPERATION).await {
            Ok(Some(word)) if word == "ANSWER" => return Outcome::Answered,
            Ok(Some(word)) if !word.is_empty() => return Outcome::Failed(word),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Its end is on its way, with what there is to tell. An account that reads no events
                // of calls is not told.
                pause = ASK_SOON;
                missed += 1;
                if missed > MISSED {
                    core.events(|state, now| {
                        state.books.unsure(id, now);
                        Vec::new()
                    });
                    return if gap { Outcome::Unknown } else { Outcome::Gone };
                }
            }
            Err(_) => gap = true,
        }
    }
    Outcome::Unknown
}

/// Why the new party did not answer: by the end of its channel, else by what that left on ours.
async fn causes(core: &Core, server: &Server, id: CallId, own: &str, word: &str) -> Causes {
    let heard = core.until(CAUSE, |state| {
        let calling = state.books.lines.get(&id)?.control.calling.as_ref()?;
        (!calling.lacks_causes()).then(|| calling.causes.clone())
    });
    let said = heard.await.flatten();
    if let Some(causes) = said.filter(|causes| causes.class().is_some()) {
        return causes;
    }
    let status = DialStatus::parse(word);
    // Of a party that rang for too long our channel has no cause, and keeps that of the one before.
    if matches!(status, Some(DialStatus::Unavailable | DialStatus::Other)) {
        let left = server.variable(own, "HANGUPCAUSE", OPERATION).await;
        let left = left.ok().flatten().and_then(|cause| cause.parse().ok());
        let left = left.map(|cause| Causes::new().with_q850(cause));
        if let Some(causes) = left.filter(|causes| causes.class().is_some()) {
            return causes;
        }
    }
    status.map(DialStatus::causes).unwrap_or_default()
}

/// Bridges the own channels of two answered calls.
async fn attended(core: &Core, server: &Server, call: &CallRef, other: &CallRef) -> Result<()> {
    let both = {
        let state = core.state();
        (state.books.find(call), state.books.find(other))
    };
    if both.0.is_some() && both.0 == both.1 {
        let text = "a call cannot be transferred to itself";
        return Err(Error::new(ErrorKind::InvalidRequest, OPERATION, text));
    }
    let mut claim = Claim::new(core, OPERATION);
    let (one, one_was) = claim.take(call)?;
    let (two, two_was) = claim.take(other)?;
    let together = {
        let state = core.state();
        let bridge = |id| state.books.lines.get(&id).and_then(|it| it.bridge.clone());
        bridge(one).is_some() && bridge(one) == bridge(two)
    };
    if together {
        return Ok(());
    }
    let mut channels = Vec::new();
    for id in [one, two] {
        let here = place(core, server, &mut claim, id).await;
        channels.push(here.map_err(|error| error.with_call_id(id))?.own);
    }
    let [first, second] = &channels[..] else {
        return Ok(());
    };
    core.events(|state, now| {
        let mut out = state.books.shift(one, CallState::Transferring, now);
        out.extend(state.books.shift(two, CallState::Transferring, now));
        out
    });
    let done = bridge(core, server, first, second, OPERATION).await;
    match &done {
        Err(error) if error.effect() == Effect::Unknown => {
            core.state().books.perhaps_held(one);
            core.state().books.perhaps_held(two);
            claim.unsure();
        }
        Err(_) => core.events(|state, now| {
            let mut out = state.books.shift(one, one_was, now);
            out.extend(state.books.shift(two, two_was, now));
            out
        }),
        Ok(()) => core.events(|state, now| {
            let books = &mut state.books;
            if books.is_held_with(one, second) {
                // Nobody leaves.
                books.not_held(one);
            }
            let mut out = Vec::new();
            for id in [one, two] {
                books.leave_held(id);
                out.extend(books.shift(id, CallState::Connected, now));
            }
            books.bridged(one, second);
            out
        }),
    }
    done.map_err(|error| error.with_call_id(one))
}
