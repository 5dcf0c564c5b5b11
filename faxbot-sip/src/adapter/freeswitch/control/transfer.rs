//! Transfers, blind and attended, with a known outcome. Our own channel stays: whoever it was joined
//! with leaves.
//!
//! A blind one sends our channel to an inline dialplan that calls the new party and parks again when it
//! is not reached. `+OK` says nothing of the party: the event of the bridge does, or what the plan
//! leaves behind the call (observed on FreeSWITCH 1.10.12).

use std::time::Duration;

use faxbot_core::{
    Effect, Error, ErrorKind, Result,
    address::Address,
    clock::later,
    id::{CallId, CallRef, RequestId},
    sip::{CallState, Causes, ConnectionState, TransferPlan, TransferRequest},
};

use super::{
    Claim,
    hold::{hold_own, take_back},
    own_channel, refused,
};
use crate::{
    adapter::{
        books::Calling,
        freeswitch::{
            causes,
            core::Core,
            dial::{self, invalid, second_party},
            diet::MARK,
            outcome::Kind,
            request::{RINGBACK, whole_seconds},
            server::Server,
            state::Desk,
        },
        hub::State,
        unreached::not_answered,
    },
    protocol::esl::{DialString, EslSession, VariableError, Variables, argument},
};

const OPERATION: &str = "transfer";

/// The variable that the plan sets to the uuid of the party that it did not reach.
const FAILED: &str = "faxbot_transfer";

/// How long the new party may ring where the call itself has no ring time-out: it came to us.
const RING: Duration = Duration::from_secs(60);

/// The longest ring time-out of a new party.
const MAX_RING: Duration = Duration::from_secs(600);

/// What the far end may take beside the ring time.
const GRACE: Duration = Duration::from_secs(15);

/// How often the server is asked for the outcome that events tell at once: they may be missing.
const ASK: Duration = Duration::from_secs(2);

/// How soon it is asked after an event that says that the party is called no longer.
const ASK_SOON: Duration = Duration::from_millis(100);

/// How often our channel may be missing before it is believed to be gone.
const MISSED: usize = 20;

/// How long the end of the new party may take after the word that it was not reached.
const CAUSE: Duration = Duration::from_millis(300);

/// How long two channels may take into the bridge that the server said they are in: 40 ms (observed on
/// FreeSWITCH 1.10.12).
const ENTER: Duration = Duration::from_secs(3);

pub(crate) async fn transfer(core: &Core, server: &Server, request: TransferRequest) -> Result<()> {
    match &request.plan {
        TransferPlan::Blind(to) => blind(core, server, &request.call, to).await,
        TransferPlan::Attended(other) => attended(core, server, &request.call, other).await,
        _ => Err(Error::unsupported(OPERATION)),
    }
}

/// How the call of the new party ended.
enum Outcome {
    Answered,
    /// The name of its cause.
    Failed(String),
    /// Our channel ended first.
    Gone,
    /// Nobody can say.
    Unknown,
}

async fn blind(core: &Core, server: &Server, call: &CallRef, to: &Address) -> Result<()> {
    let party = RequestId::new().as_uuid().to_string();
    // Refused before anything is asked for; the ring time changes nothing of that.
    plan(core, to, &party, RING)?;
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (id, was) = claim.take(call)?;
    let done = call_new_party(core, server, &claim, Blind { id, was, to, party });
    done.await.map_err(|error| error.with_call_id(id))
}

struct Blind<'a> {
    id: CallId,
    was: CallState,
    to: &'a Address,
    party: String,
}

/// The inline dialplan. Its own separator leaves the commas to the dial string.
fn plan(core: &Core, to: &Address, party: &str, ring: Duration) -> Result<String> {
    let leg = second_party(&core.config, to, OPERATION)?;
    let refuse = |error: VariableError| dial::refused(OPERATION, error);
    let variables = Variables::new()
        .set("origination_uuid", party)
        .and_then(|all| all.set("originate_timeout", &whole_seconds(ring)))
        .and_then(|all| all.set(MARK, &core.config.instance))
        // Else early media counts as the answer.
        .and_then(|all| all.set("ignore_early_media", "true"))
        .map_err(refuse)?;
    let dial = DialString::new(leg).with_variables(variables).to_string();
    if dial.contains(|c: char| c.is_whitespace() || "^'\"\\$".contains(c)) {
        // Each split of the plan would take a layer of escapes off.
        let text = "a dial string with blanks, commas, quotes, backslashes, ^ or $ cannot be transferred to";
        return Err(invalid(OPERATION, text));
    }
    Ok(format!(
        "m:^:set:hangup_after_bridge=true^set:continue_on_fail=true^set:transfer_ringback={RINGBACK}\
         ^bridge:{dial}^set:{FAILED}={party}^park"
    ))
}

async fn call_new_party(
    core: &Core,
    server: &Server,
    claim: &Claim<'_>,
    blind: Blind<'_>,
) -> Result<()> {
    let Blind { id, was, to, party } = blind;
    let own = own_channel(core, server, id, OPERATION).await?.uuid;
    let ring = ring_time(&core.hub.state(), id);
    let plan = plan(core, to, &party, ring)?;
    from_now_on_single(core, server, id, &own).await?;
    core.hub.events(|state, _| {
        state.books.joins(id, &party);
        calling(state, id, Some(party.clone()));
        Vec::new()
    });
    let order = format!("{own} {} inline", argument(&plan));
    if let Err(error) = server.api("uuid_transfer", &order, OPERATION).await {
        if error.effect() == Effect::Unknown {
            core.hub
                .events(|state, now| state.books.shift(id, CallState::Transferring, now));
            claim.unsure();
        } else {
            core.hub.events(|state, _| {
                calling(state, id, None);
                state.books.parts(id, &party, None);
                Vec::new()
            });
        }
        return Err(error);
    }
    core.hub
        .events(|state, now| state.books.shift(id, CallState::Transferring, now));
    match outcome(core, server, id, &own, &party, ring.saturating_add(GRACE)).await {
        Outcome::Answered => {
            core.hub.events(|state, now| {
                calling(state, id, None);
                // Whatever was missed: it is joined with the new party now.
                let mut out = state.books.joined(id, Some(&party), now);
                out.extend(state.books.holds_not(id, now));
                out.extend(state.books.shift(id, CallState::Connected, now));
                out
            });
            Ok(())
        }
        Outcome::Failed(word) => {
            let causes = causes(core, id, &word).await;
            core.hub.events(|state, _| {
                calling(state, id, None);
                state.books.parts(id, &party, None);
                Vec::new()
            });
            stay(core, server, claim, (id, was)).await;
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

/// From now on the word of the last party that was called no longer says whether the call was
/// answered, nor why its second party was not reached: it was answered.
async fn from_now_on_single(core: &Core, server: &Server, id: CallId, own: &str) -> Result<()> {
    let kind = core.hub.state().books.kind_of(id);
    if !matches!(kind, Kind::Connect | Kind::Bridge) {
        return Ok(());
    }
    if let Some(hook) = core.store().hook(Kind::Single, own) {
        server
            .set_variable(own, "api_hangup_hook", &hook, OPERATION)
            .await?;
    }
    if let Some(line) = core.hub.state().books.lines.get_mut(&id) {
        line.kind = Kind::Single.word();
    }
    Ok(())
}

/// The new party rings as long as the first one was allowed to.
fn ring_time(state: &State<EslSession, Desk>, id: CallId) -> Duration {
    let placed = state.books.lines.get(&id).map(|line| line.ring_timeout);
    let placed = placed.filter(|time| !time.is_zero()).unwrap_or(RING);
    placed.clamp(Duration::from_secs(1), MAX_RING)
}

fn calling(state: &mut State<EslSession, Desk>, id: CallId, party: Option<String>) {
    if let Some(line) = state.books.lines.get_mut(&id) {
        line.moves.calling = party.map(Calling::of);
    }
}

/// The call that was not transferred is parked, and held again if it was.
async fn stay(core: &Core, server: &Server, claim: &Claim<'_>, (id, was): (CallId, CallState)) {
    let held = was == CallState::OnHold;
    core.hub.events(|state, now| {
        // Moving it took the hold away; the event may be on its way.
        let mut out = state.books.holds_not(id, now);
        out.extend(state.books.shift(id, CallState::Connected, now));
        out
    });
    if held && let Err(error) = hold_own(core, server, claim, id, OPERATION).await {
        tracing::debug!(%error, "freeswitch: a held call could not be held again");
    }
}

/// Waits for what becomes of the new party.
async fn outcome(
    core: &Core,
    server: &Server,
    id: CallId,
    own: &str,
    party: &str,
    limit: Duration,
) -> Outcome {
    let hub = &core.hub;
    let end = later(hub.clock.now(), limit);
    let (mut pause, mut gap, mut missed) = (ASK, false, 0);
    while hub.clock.now() < end {
        let heard = hub.until(pause, |state| {
            gap |= state.connection != ConnectionState::Connected;
            let Some(line) = state.books.lines.get_mut(&id) else {
                return Some(Some(if gap { Outcome::Unknown } else { Outcome::Gone }));
            };
            let calling = line.moves.calling.as_mut()?;
            if calling.answered {
                return Some(Some(Outcome::Answered));
            }
            std::mem::take(&mut calling.ended).then_some(None)
        });
        pause = match heard.await {
            Some(Some(outcome)) => return outcome,
            Some(None) => ASK_SOON,
            None => ASK,
        };
        match asked(server, own, party).await {
            Ok(Some(outcome)) => return outcome,
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Its end is on its way, with what there is to tell.
                pause = ASK_SOON;
                missed += 1;
                if missed > MISSED {
                    hub.note(|state, now| state.books.unsure(id, now));
                    return if gap { Outcome::Unknown } else { Outcome::Gone };
                }
            }
            Err(_) => gap = true,
        }
    }
    Outcome::Unknown
}

/// What our channel itself says of the party; `None` while it rings.
async fn asked(server: &Server, own: &str, party: &str) -> Result<Option<Outcome>> {
    let variable = async |name| server.variable(own, name, OPERATION).await;
    if variable("bridge_uuid").await?.as_deref() == Some(party) {
        return Ok(Some(Outcome::Answered));
    }
    if variable(FAILED).await?.as_deref() != Some(party) {
        return Ok(None);
    }
    // It set this behind the bridge also where the party had answered and left.
    let word = variable("originate_disposition").await?.unwrap_or_default();
    Ok(Some(if word == "SUCCESS" {
        Outcome::Answered
    } else {
        Outcome::Failed(word)
    }))
}

/// Why the new party was not reached: by the end of its channel, else by the name of the cause.
async fn causes(core: &Core, id: CallId, word: &str) -> Causes {
    let heard = core.hub.until(CAUSE, |state| {
        let calling = state.books.lines.get(&id)?.moves.calling.as_ref()?;
        calling.causes.clone()
    });
    let said = heard.await.filter(|causes| !causes.is_empty());
    said.unwrap_or_else(|| causes::causes(word, None))
}

/// Joins the own channels of two answered calls.
async fn attended(core: &Core, server: &Server, call: &CallRef, other: &CallRef) -> Result<()> {
    let both = {
        let state = core.hub.state();
        (state.books.find(call), state.books.find(other))
    };
    if both.0.is_some() && both.0 == both.1 {
        // The server would say `+OK` and break the channel.
        let text = "a call cannot be transferred to itself";
        return Err(invalid(OPERATION, text));
    }
    let mut claim = Claim::new(&core.hub, OPERATION);
    let (one, one_was) = claim.take(call)?;
    let (two, two_was) = claim.take(other)?;
    if core.hub.state().books.talks_with(one) == Some(two) {
        // Nobody leaves.
        if one_was != CallState::OnHold {
            return Ok(());
        }
        let done = take_back(core, server, &claim, one, OPERATION).await;
        return done.map_err(|error| error.with_call_id(one));
    }
    let mut channels = Vec::new();
    for id in [one, two] {
        let shown = own_channel(core, server, id, OPERATION)
            .await
            .map_err(|error| error.with_call_id(id))?;
        if !shown.is_answered() {
            // Joined while one rings, both end (observed on FreeSWITCH 1.10.12).
            let text = "the server does not show both calls answered";
            return Err(refused(OPERATION, text).with_call_id(id));
        }
        channels.push(shown.uuid);
    }
    let was = [(one, one_was), (two, two_was)];
    core.hub.events(|state, now| {
        let both = was.iter();
        let moves = both.flat_map(|(id, _)| state.books.shift(*id, CallState::Transferring, now));
        moves.collect()
    });
    let done = join(core, server, (one, two), &channels.join(" ")).await;
    match &done {
        Err(error) if error.effect() == Effect::Unknown => claim.unsure(),
        Err(_) => core.hub.events(|state, now| {
            let both = was.iter();
            let back = both.flat_map(|(id, was)| state.books.shift(*id, *was, now));
            back.collect()
        }),
        Ok(()) => core.hub.events(|state, now| {
            let mut out = Vec::new();
            for (id, _) in was {
                // Joining took the hold away.
                out.extend(state.books.holds_not(id, now));
                out.extend(state.books.shift(id, CallState::Connected, now));
            }
            out
        }),
    }
    done.map_err(|error| error.with_call_id(one))
}

/// `uuid_bridge`, and sees that the two are joined.
async fn join(
    core: &Core,
    server: &Server,
    (one, two): (CallId, CallId),
    channels: &str,
) -> Result<()> {
    server.api("uuid_bridge", channels, OPERATION).await?;
    let joined = core.hub.until(ENTER, |state| {
        let there = |id| state.books.lines.contains_key(&id);
        if !there(one) || !there(two) {
            return Some(false);
        }
        (state.books.talks_with(one) == Some(two)).then_some(true)
    });
    match joined.await {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(
            ErrorKind::Rejected,
            OPERATION,
            "one of the calls ended",
        )),
        None => {
            let text = "the server did not say that the two calls are joined";
            let error = Error::new(ErrorKind::OutcomeUnknown, OPERATION, text);
            Err(error.with_effect(Effect::Unknown))
        }
    }
}
