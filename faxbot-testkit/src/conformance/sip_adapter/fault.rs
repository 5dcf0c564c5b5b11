//! Links that break at the wrong moment, servers that die, and callers that leave.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Effect, Error, ErrorKind,
    event::EventStream,
    id::CallRef,
    sip::{Call, CallState, ConnectionState, Disposition, Lookup, SipEvent},
};

use super::{Disturbance, Entry, Fate, Need, SOON, World, ended, entry, error_of, kind_is};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

/// How long a far end stays that hangs up while nobody listens: long enough to cut the link first.
const ANSWERED: Duration = Duration::from_secs(2);

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a link that drops before the reply leaves the outcome unknown, and nothing is repeated",
            [Need::Fate(Fate::ReplyLost), Need::Requests],
            [Calls],
            reply_lost
        ),
        entry!(
            "a link that drops after the reply leaves a call that is followed again",
            [Need::Fate(Fate::CutAfterReply)],
            [Calls, Hangup],
            cut_after_reply
        ),
        entry!(
            "a request without a reply is unknown at its time-out, and others go on",
            [Need::Fate(Fate::NoReply), Need::ShortTimeouts],
            [Calls, Hangup],
            no_reply
        ),
        entry!(
            "a request without a connection has no effect",
            [Need::Disturb(Disturbance::Unreachable), Need::Requests],
            [Calls],
            unreachable
        ),
        entry!(
            "after a cut the calls are reconciled and the gap is told",
            [Need::Disturb(Disturbance::CutLinks)],
            [Calls, Hangup],
            reconnect
        ),
        entry!(
            "after a time without the server the calls are reconciled and the gap is told",
            [Need::Disturb(Disturbance::Unreachable)],
            [Calls, Hangup],
            gap
        ),
        entry!(
            "a call that ends while nobody listens is told after the reconnect",
            [
                Need::Disturb(Disturbance::Unreachable),
                Need::Fate(Fate::AnswersFor(ANSWERED))
            ],
            [Calls, LookupEnded],
            ended_in_gap
        ),
        entry!(
            "a server that died ends no call as something it was not",
            [Need::Disturb(Disturbance::Crash)],
            [Calls, Hangup],
            crash
        ),
        entry!(
            "garbage from the server ends in an answer or a reconnect",
            [Need::Disturb(Disturbance::Garbage)],
            [Calls, Hangup],
            garbage
        ),
        entry!(
            "garbage in place of a reply leaves the outcome unknown",
            [Need::Fate(Fate::GarbledReply), Need::ShortTimeouts],
            [Calls, Hangup],
            garbled
        ),
        entry!(
            "a dropped make_call leaves nothing behind",
            [],
            [Calls, Hangup],
            dropped
        ),
    ]
}

/// The lookup of a call that the server certainly took.
async fn exists(world: &World, call: &CallRef) -> Verdict {
    let found = within("lookup", SOON, world.adapter.lookup(call)).await??;
    let taken = matches!(
        found,
        Lookup::Live(_) | Lookup::Ended(_) | Lookup::Unknown(_)
    );
    ensure!(taken, "a call that the server took: {found:?}");
    Ok(())
}

fn is_unknown(what: &str, error: &Error) -> Verdict {
    kind_is(
        what,
        error,
        &[
            ErrorKind::OutcomeUnknown,
            ErrorKind::Timeout,
            ErrorKind::Closed,
        ],
    )?;
    ensure!(
        error.effect() == Effect::Unknown,
        "{what}: the effect is {:?}",
        error.effect()
    );
    ensure!(!error.is_retryable(), "{what} is called retryable");
    Ok(())
}

async fn reply_lost(world: World) -> Verdict {
    world.connect().await?;
    let request = world.request(Fate::ReplyLost).await?;
    let id = request.id;
    let result = within("make_call", SOON, world.adapter.make_call(request)).await?;
    match result {
        // The server's other signs of the call may reach us in place of the reply.
        Ok(call) => ensure!(call.id() == id, "another call"),
        Err(error) => {
            is_unknown("a lost reply", &error)?;
            ensure!(
                error.call_id() == Some(id),
                "the error names {:?}",
                error.call_id()
            );
        }
    }
    world.wait_for(ConnectionState::Connected).await?;
    exists(&world, &id.into()).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.asked_for(1)?;
    world.works().await
}

async fn cut_after_reply(world: World) -> Verdict {
    world.connect().await?;
    let request = world.request(Fate::CutAfterReply).await?;
    let id = request.id;
    match within("make_call", SOON, world.adapter.make_call(request)).await? {
        Ok(call) => {
            within("the answer", SOON, call.answered()).await??;
            world.wait_for(ConnectionState::Connected).await?;
            let record = world.hang_up(&call).await?;
            ensure!(
                record.disposition == Disposition::Answered,
                "{:?}",
                record.disposition
            );
        }
        Err(error) => {
            is_unknown("a cut behind the reply", &error)?;
            world.wait_for(ConnectionState::Connected).await?;
            exists(&world, &id.into()).await?;
        }
    }
    Ok(())
}

async fn no_reply(mut world: World) -> Verdict {
    world.adapter = world.setup.with_short_timeouts().await?;
    world.connect().await?;
    let request = world.request(Fate::NoReply).await?;
    let id = request.id;
    let adapter = Arc::clone(&world.adapter);
    let waiting = tokio::spawn(async move { adapter.make_call(request).await });
    world.works().await?;
    let result = within("a request without a reply", SOON, waiting).await??;
    if let Err(error) = result {
        is_unknown("a request without a reply", &error)?;
    }
    exists(&world, &id.into()).await?;
    world.is_in(ConnectionState::Connected)
}

async fn unreachable(world: World) -> Verdict {
    world.connect().await?;
    world.setup.disturb(Disturbance::Unreachable).await?;
    let adapter = &world.adapter;
    let lost = || adapter.connection().state != ConnectionState::Connected;
    eventually("the loss is noticed", SOON, lost).await?;
    let request = world.request(Fate::Answers).await?;
    let error = error_of(
        "a call without a connection",
        adapter.make_call(request).await,
    )?;
    kind_is(
        "a call without a connection",
        &error,
        &[ErrorKind::NotConnected],
    )?;
    ensure!(
        error.effect() == Effect::NoEffect,
        "the effect is {:?}",
        error.effect()
    );
    ensure!(error.is_retryable(), "not retryable");
    world.setup.disturb(Disturbance::Reachable).await?;
    world.wait_for(ConnectionState::Connected).await?;
    world.asked_for(0)?;
    world.works().await
}

async fn reconnect(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let mut events = world.adapter.subscribe();
    world.setup.disturb(Disturbance::CutLinks).await?;
    back_after_a_gap(&world, &mut events).await?;
    still_up(&world, &call).await
}

async fn gap(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let mut events = world.adapter.subscribe();
    world.setup.disturb(Disturbance::Unreachable).await?;
    let adapter = &world.adapter;
    let lost = || adapter.connection().state != ConnectionState::Connected;
    eventually("the loss is noticed", SOON, lost).await?;
    world.setup.disturb(Disturbance::Reachable).await?;
    back_after_a_gap(&world, &mut events).await?;
    still_up(&world, &call).await
}

/// The loss and the gap are told.
async fn back_after_a_gap(world: &World, events: &mut EventStream<SipEvent>) -> Verdict {
    let (mut lost, mut gap) = (false, None);
    let mut told = || {
        while let Some(Ok(stamped)) = events.try_recv() {
            if let SipEvent::ConnectionStateChanged(change) = stamped.event {
                lost |= change.state != ConnectionState::Connected;
                if change.state == ConnectionState::Connected {
                    gap = gap.or(change.gap);
                }
            }
        }
        lost && gap.is_some()
    };
    eventually("the loss and the gap as events", SOON, &mut told).await?;
    if let Some(gap) = gap {
        ensure!(gap.from <= gap.to, "{gap:?}");
    }
    world.is_in(ConnectionState::Connected)
}

/// The call went on meanwhile, and can be hung up.
async fn still_up(world: &World, call: &Call) -> Verdict {
    ensure!(
        call.state() == CallState::Connected,
        "the call is {}",
        call.state()
    );
    let up = world.adapter.snapshot().calls;
    ensure!(up.len() == 1, "the snapshot has {up:?}");
    let record = world.hang_up(call).await?;
    ensure!(
        record.disposition == Disposition::Answered,
        "{:?}",
        record.disposition
    );
    world.works().await
}

async fn ended_in_gap(world: World) -> Verdict {
    world.connect().await?;
    let call = world.dial(Fate::AnswersFor(ANSWERED)).await?;
    within("the answer", SOON, call.answered()).await??;
    world.setup.disturb(Disturbance::Unreachable).await?;
    tokio::time::sleep(ANSWERED + Duration::from_secs(1)).await;
    ensure!(!call.state().is_terminated(), "ended without a connection");
    world.setup.disturb(Disturbance::Reachable).await?;
    let record = ended(&call).await?;
    ensure!(
        record.disposition == Disposition::Answered,
        "{:?}",
        record.disposition
    );
    Ok(())
}

async fn crash(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    world.setup.disturb(Disturbance::Crash).await?;
    match within("the end", SOON, call.ended()).await? {
        // Answered it was; how it ended nobody can say.
        Ok(record) => ensure!(
            matches!(
                record.disposition,
                Disposition::Unknown | Disposition::Answered
            ),
            "{:?}",
            record.disposition
        ),
        Err(error) => kind_is("the end", &error, &[ErrorKind::OutcomeUnknown])?,
    }
    world.wait_for(ConnectionState::Connected).await?;
    let found = within("lookup", SOON, world.adapter.lookup(&call.call_ref())).await??;
    let honest = matches!(found, Lookup::Unknown(_) | Lookup::Ended(_));
    ensure!(honest, "a call of a server that died: {found:?}");
    world.works().await
}

async fn garbage(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    for _ in 0..3 {
        world.setup.disturb(Disturbance::Garbage).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.wait_for(ConnectionState::Connected).await?;
    }
    ensure!(!call.state().is_terminated(), "garbage ended a call");
    // A reconnect may be under way.
    for _ in 0..50 {
        if world.works().await.is_ok() {
            return world.hang_up(&call).await.map(drop);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::new("no call succeeds after garbage"))
}

async fn garbled(mut world: World) -> Verdict {
    world.adapter = world.setup.with_short_timeouts().await?;
    world.connect().await?;
    let request = world.request(Fate::GarbledReply).await?;
    let id = request.id;
    if let Err(error) = within("make_call", SOON, world.adapter.make_call(request)).await? {
        kind_is(
            "a garbled reply",
            &error,
            &[
                ErrorKind::OutcomeUnknown,
                ErrorKind::Timeout,
                ErrorKind::Protocol,
                ErrorKind::Closed,
            ],
        )?;
        ensure!(
            error.effect() == Effect::Unknown,
            "the effect is {:?}",
            error.effect()
        );
    }
    world.wait_for(ConnectionState::Connected).await?;
    exists(&world, &id.into()).await
}

async fn dropped(world: World) -> Verdict {
    world.connect().await?;
    let mut requests = Vec::new();
    for micros in [0, 10, 50, 100, 200, 500, 1000, 3000, 10_000] {
        let request = world.request(Fate::Answers).await?;
        requests.push(CallRef::from(request.id));
        let placed = tokio::time::timeout(
            Duration::from_micros(micros),
            world.adapter.make_call(request),
        );
        if let Ok(placed) = placed.await {
            placed?;
        }
    }
    // Whatever was written happens: after that every call can be found and ended.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for call in &requests {
        world.end(call).await?;
    }
    let adapter = &world.adapter;
    eventually("no call is left in the books", SOON, || {
        adapter.snapshot().calls.is_empty()
    })
    .await?;
    world.is_in(ConnectionState::Connected)?;
    world.works().await
}
