//! Calls that come to us.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    event::EventStream,
    id::{CallId, CallRef},
    sip::{
        AcceptAs, CallRecord, CallState, ConnectionState, Direction, Disposition, IncomingCall,
        RejectCause, SipEvent,
    },
};

use super::{
    Caller, CallerSees, Disturbance, Entry, Fate, Need, SOON, StagedCaller, World, entry, error_of,
    event, kind_is,
};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "an incoming call is told with who calls and whom",
            [Need::Caller],
            [Incoming],
            told
        ),
        entry!(
            "an accepted call is answered and stays up",
            [Need::Caller],
            [Incoming, Hangup],
            accepted
        ),
        entry!(
            "an accepted call is bridged to another party",
            [Need::Caller],
            [Incoming],
            bridged
        ),
        entry!(
            "an accepted call whose other party is busy stays up",
            [Need::Caller, Need::Fate(Fate::Busy)],
            [Incoming],
            bridge_is_busy
        ),
        entry!(
            "the first decision on an incoming call wins",
            [Need::Caller],
            [Incoming],
            first_wins
        ),
        entry!(
            "of two decisions at once one wins",
            [Need::Caller],
            [Incoming],
            two_at_once
        ),
        entry!(
            "a rejected call ends with the cause",
            [Need::Caller],
            [Incoming],
            rejected
        ),
        entry!(
            "a call that nobody decides on is rejected at the deadline",
            [Need::Caller, Need::ShortTimeouts],
            [Incoming],
            deadline
        ),
        entry!(
            "a caller that gives up ends the call",
            [Need::Caller],
            [Incoming],
            gives_up
        ),
        entry!(
            "a decision on a call that nobody knows is not found",
            [],
            [Incoming],
            unknown
        ),
        entry!(
            "a call that waits while the link is cut is still decided",
            [Need::Caller, Need::Disturb(Disturbance::CutLinks)],
            [Incoming],
            cut_while_waiting
        ),
        entry!(
            "another process finds the call that waits",
            [Need::Caller],
            [Incoming],
            elsewhere
        ),
    ]
}

pub(super) async fn next_call(events: &mut EventStream<SipEvent>) -> Result<IncomingCall, Failure> {
    event("an incoming call", events, |event| match event {
        SipEvent::IncomingCall(call) => Some(call),
        _ => None,
    })
    .await
}

pub(super) async fn end_of(
    events: &mut EventStream<SipEvent>,
    id: CallId,
) -> Result<CallRecord, Failure> {
    event("the end of an incoming call", events, |event| match event {
        SipEvent::CallStateChanged(change) if change.id == Some(id) => change.record,
        _ => None,
    })
    .await
    .map(|record| *record)
}

async fn sees(caller: &dyn StagedCaller, what: CallerSees) -> Verdict {
    eventually(&format!("a caller that sees {what:?}"), SOON, || {
        caller.sees() == what
    })
    .await
}

/// Somebody calls, and the adapter tells of it.
async fn called(
    world: &World,
    caller: Caller,
) -> Result<(Box<dyn StagedCaller>, IncomingCall, EventStream<SipEvent>), Failure> {
    let mut events = world.adapter.subscribe();
    let caller = world.setup.caller(caller).await?;
    let call = next_call(&mut events).await?;
    Ok((caller, call, events))
}

async fn accept(world: &World, call: &CallRef, accept_as: AcceptAs) -> Verdict {
    within("accept", SOON, world.adapter.accept(call, accept_as)).await??;
    Ok(())
}

async fn told(world: World) -> Verdict {
    world.connect().await?;
    let (caller, call, _events) = called(&world, Caller::Waits).await?;
    let holds = |value: &Option<faxbot_core::Private>, wanted: &str| {
        value.as_ref().is_some_and(|value| value.expose() == wanted)
    };
    ensure!(holds(&call.caller, &caller.number()), "another caller");
    ensure!(holds(&call.called, &caller.called()), "another called");
    ensure!(call.deadline > call.at, "no time to decide");
    let snapshot = world.adapter.snapshot();
    ensure!(
        snapshot
            .incoming
            .iter()
            .any(|waiting| waiting.id == call.id),
        "it is not in the snapshot"
    );
    let status = world.status(&call.id.into()).await?;
    ensure!(
        status.state == CallState::Incoming && status.direction == Direction::Inbound,
        "{status:?}"
    );
    ensure!(
        caller.sees() == CallerSees::Waiting,
        "the caller sees {:?}",
        caller.sees()
    );
    Ok(())
}

async fn accepted(world: World) -> Verdict {
    world.connect().await?;
    let (caller, call, mut events) = called(&world, Caller::Waits).await?;
    let call_ref = CallRef::from(call.id);
    accept(&world, &call_ref, AcceptAs::Park).await?;
    sees(&*caller, CallerSees::Answered).await?;
    world.comes_to(&call_ref, CallState::Connected).await?;
    ensure!(
        world.adapter.snapshot().incoming.is_empty(),
        "it still waits"
    );
    within("hangup", SOON, world.adapter.hangup(&call_ref)).await??;
    let record = end_of(&mut events, call.id).await?;
    ensure!(
        record.direction == Direction::Inbound && record.disposition == Disposition::Answered,
        "{record:?}"
    );
    ensure!(
        record.answer.is_some() && record.from.is_some() && record.to.is_some(),
        "{record:?}"
    );
    Ok(())
}

async fn bridged(world: World) -> Verdict {
    world.connect().await?;
    let (caller, call, _events) = called(&world, Caller::Waits).await?;
    let other = world.setup.target(Fate::Answers).await?;
    accept(&world, &call.id.into(), AcceptAs::Bridge(other)).await?;
    sees(&*caller, CallerSees::Answered).await?;
    world.comes_to(&call.id.into(), CallState::Connected).await
}

async fn bridge_is_busy(world: World) -> Verdict {
    world.connect().await?;
    let (caller, call, mut events) = called(&world, Caller::Waits).await?;
    let call_ref = CallRef::from(call.id);
    let other = world.setup.target(Fate::Busy).await?;
    let refused = within(
        "accept",
        SOON,
        world.adapter.accept(&call_ref, AcceptAs::Bridge(other)),
    )
    .await?;
    kind_is(
        "a bridge to a busy party",
        &error_of("a bridge to a busy party", refused)?,
        &[ErrorKind::Rejected],
    )?;
    sees(&*caller, CallerSees::Answered).await?;
    within("hangup", SOON, world.adapter.hangup(&call_ref)).await??;
    end_of(&mut events, call.id).await.map(drop)
}

async fn first_wins(world: World) -> Verdict {
    world.connect().await?;
    let (caller, call, _events) = called(&world, Caller::Waits).await?;
    let call_ref = CallRef::from(call.id);
    accept(&world, &call_ref, AcceptAs::Park).await?;
    let second = world.adapter.reject(&call_ref, RejectCause::Busy).await;
    kind_is(
        "reject after accept",
        &error_of("reject after accept", second)?,
        &[ErrorKind::InvalidState],
    )?;
    let third = world.adapter.accept(&call_ref, AcceptAs::Park).await;
    kind_is(
        "accept after accept",
        &error_of("accept after accept", third)?,
        &[ErrorKind::InvalidState],
    )?;
    sees(&*caller, CallerSees::Answered).await
}

async fn two_at_once(world: World) -> Verdict {
    world.connect().await?;
    let (_caller, call, _events) = called(&world, Caller::Waits).await?;
    let call_ref = CallRef::from(call.id);
    let (accepted, rejected) = tokio::join!(
        world.adapter.accept(&call_ref, AcceptAs::Park),
        world.adapter.reject(&call_ref, RejectCause::Busy),
    );
    ensure!(
        accepted.is_ok() != rejected.is_ok(),
        "accept {accepted:?}, reject {rejected:?}"
    );
    let lost = accepted.err().or(rejected.err());
    let kind = lost.map(|error| error.kind());
    ensure!(
        kind == Some(ErrorKind::InvalidState),
        "the second decision is {kind:?}"
    );
    Ok(())
}

async fn rejected(world: World) -> Verdict {
    world.connect().await?;
    for (cause, q850) in [
        (RejectCause::Busy, 17),
        (RejectCause::Unavailable, 19),
        (RejectCause::NotFound, 1),
    ] {
        let (caller, call, mut events) = called(&world, Caller::Waits).await?;
        let call_ref = CallRef::from(call.id);
        within("reject", SOON, world.adapter.reject(&call_ref, cause)).await??;
        sees(&*caller, CallerSees::Ended(Some(q850))).await?;
        let record = end_of(&mut events, call.id).await?;
        ensure!(
            record.answer.is_none() && record.disposition != Disposition::Answered,
            "{record:?}"
        );
        let late = world.adapter.accept(&call_ref, AcceptAs::Park).await;
        kind_is(
            "accept after the end",
            &error_of("accept after the end", late)?,
            &[ErrorKind::InvalidState, ErrorKind::NotFound],
        )?;
    }
    Ok(())
}

async fn deadline(mut world: World) -> Verdict {
    world.adapter = world.setup.with_short_timeouts().await?;
    world.connect().await?;
    let (caller, call, mut events) = called(&world, Caller::Waits).await?;
    let record = end_of(&mut events, call.id).await?;
    ensure!(record.answer.is_none(), "{record:?}");
    eventually("a caller that is rejected", SOON, || {
        matches!(caller.sees(), CallerSees::Ended(_))
    })
    .await
}

async fn gives_up(world: World) -> Verdict {
    world.connect().await?;
    let soon = Caller::GivesUpAfter(Duration::from_millis(300));
    let (_caller, call, mut events) = called(&world, soon).await?;
    let record = end_of(&mut events, call.id).await?;
    ensure!(
        record.answer.is_none() && record.disposition != Disposition::Answered,
        "{record:?}"
    );
    let late = world.adapter.accept(&call.id.into(), AcceptAs::Park).await;
    kind_is(
        "accept of a call that is over",
        &error_of("accept of a call that is over", late)?,
        &[ErrorKind::InvalidState, ErrorKind::NotFound],
    )?;
    ensure!(
        world.adapter.snapshot().incoming.is_empty(),
        "it still waits"
    );
    Ok(())
}

async fn unknown(world: World) -> Verdict {
    world.connect().await?;
    let nobody = CallRef::from(CallId::new());
    let accepted = world.adapter.accept(&nobody, AcceptAs::Park).await;
    kind_is(
        "accept",
        &error_of("accept", accepted)?,
        &[ErrorKind::NotFound],
    )?;
    let rejected = world.adapter.reject(&nobody, RejectCause::Busy).await;
    kind_is(
        "reject",
        &error_of("reject", rejected)?,
        &[ErrorKind::NotFound],
    )
}

async fn cut_while_waiting(world: World) -> Verdict {
    world.connect().await?;
    let (caller, call, mut events) = called(&world, Caller::Waits).await?;
    world.setup.disturb(Disturbance::CutLinks).await?;
    // The link may be back before anybody looks: the events tell.
    event("the link to be back", &mut events, |event| match event {
        SipEvent::ConnectionStateChanged(change) => {
            (change.state == ConnectionState::Connected).then_some(())
        }
        _ => None,
    })
    .await?;
    accept(&world, &call.id.into(), AcceptAs::Park).await?;
    sees(&*caller, CallerSees::Answered).await
}

async fn elsewhere(world: World) -> Verdict {
    world.connect().await?;
    let (caller, call, _events) = called(&world, Caller::Waits).await?;
    world.disconnect().await?;
    let other = world.setup.adapter().await?;
    within("connect", SOON, other.connect()).await??;
    eventually("the call that waits", SOON, || {
        let snapshot = other.snapshot();
        snapshot
            .incoming
            .iter()
            .any(|waiting| waiting.id == call.id)
    })
    .await?;
    within(
        "accept",
        SOON,
        other.accept(&call.id.into(), AcceptAs::Park),
    )
    .await??;
    sees(&*caller, CallerSees::Answered).await
}
