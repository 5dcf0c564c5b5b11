//! What adapters of proxies owe besides: calls of others, and servers that are asked instead of
//! telling.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    id::{CallId, CallRef},
    sip::{
        CallState, CallStatus, Disposition, EventPath, HangupOutcome, HistoryQuery, Lookup,
        SipAdapter, SipEvent, TransferRequest,
    },
};

use super::{
    ConnectionState, Disturbance, Entry, Fate, Need, SOON, World, ended, entry, error_of, event,
    kind_is,
};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "the event path is the one that the environment states",
            [],
            [],
            event_path
        ),
        entry!(
            "a call of others is listed, followed and ends as answered",
            [Need::Passing],
            [],
            followed
        ),
        entry!(
            "a call of others that comes to nothing ends with its cause",
            [Need::Passing, Need::Causes],
            [],
            came_to_nothing
        ),
        entry!(
            "a call of others can be hung up by the server's name of it",
            [Need::Passing],
            [Hangup],
            hung_up
        ),
        entry!(
            "a call of others is held once and taken back",
            [Need::Passing],
            [Hold],
            held
        ),
        entry!(
            "a call of others is transferred, or stays up when the new party refuses",
            [Need::Passing, Need::Fate(Fate::Busy)],
            [TransferBlind],
            transferred
        ),
        entry!(
            "two calls of others are joined",
            [Need::Passing],
            [TransferAttended],
            joined
        ),
        entry!(
            "the server's own record of a call of others is found",
            [Need::Passing],
            [Cdr],
            measured
        ),
        entry!(
            "a call of others has one id in every process",
            [Need::Passing],
            [],
            one_id
        ),
        entry!(
            "calls of others that begin and end while nobody listens are reconciled",
            [Need::Passing, Need::Disturb(Disturbance::Unreachable)],
            [],
            in_a_gap
        ),
        entry!(
            "a restart of the server ends no call of others as something it was not",
            [Need::Passing, Need::Disturb(Disturbance::Crash)],
            [],
            restart
        ),
        entry!(
            "without its events a server is asked, and calls are followed on",
            [Need::EventLink],
            [Calls, Hangup],
            events_lost
        ),
    ]
}

async fn event_path(world: World) -> Verdict {
    world.connect().await?;
    let adapter = &world.adapter;
    let pushes = || adapter.connection().events == EventPath::Push;
    if world.env.pushes() {
        return eventually("events come as they happen", SOON, pushes).await;
    }
    let path = adapter.connection().events;
    ensure!(matches!(path, EventPath::Polling(_)), "{path:?}");
    Ok(())
}

/// A call by the server's name of it, as the adapter has it in its snapshot.
fn listed(adapter: &dyn SipAdapter, name: &str) -> Option<CallStatus> {
    let calls = adapter.snapshot().calls;
    calls
        .into_iter()
        .find(|call| call.channels.iter().any(|channel| channel.expose() == name))
}

/// Waits until the adapter has it in this state.
async fn seen(adapter: &dyn SipAdapter, name: &str, state: CallState) -> Result<CallId, Failure> {
    let mut id = None;
    eventually(&format!("a call of others is {state}"), SOON, || {
        let found = listed(adapter, name).filter(|call| call.state == state);
        id = found.and_then(|call| call.id);
        id.is_some()
    })
    .await?;
    id.ok_or_else(|| Failure::new("a call of others without an id"))
}

async fn disposition(world: &World, id: CallId) -> Result<Disposition, Failure> {
    let found = within("lookup", SOON, world.adapter.lookup(&id.into())).await??;
    match found {
        Lookup::Ended(record) => Ok(record.disposition),
        other => Err(Failure::new(format!("a call that ended: {other:?}"))),
    }
}

async fn gone(world: &World, name: &str) -> Verdict {
    let adapter = &*world.adapter;
    eventually("the end of a call of others", SOON, || {
        listed(adapter, name).is_none()
    })
    .await
}

async fn followed(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    let name = world.setup.passing(Fate::Answers).await?;
    let id = seen(&*world.adapter, &name, CallState::Connected).await?;
    let status = world.adapter.get_status(&id.into()).await?;
    ensure!(status.answered_at.is_some(), "no time of the answer");
    // Events need not tell who calls whom: then the server is asked, meanwhile.
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.setup.passing_ends(&name).await?;
    let record = event(
        "the end of a call of others",
        &mut events,
        |event| match event {
            SipEvent::CallStateChanged(change) if change.id == Some(id) => {
                change.to.is_terminated().then_some(change.record)?
            }
            _ => None,
        },
    )
    .await?;
    ensure!(
        record.disposition == Disposition::Answered && record.answer.is_some(),
        "{record:?}"
    );
    ensure!(
        record.from.is_some() && record.to.is_some(),
        "a call of others names no parties"
    );
    ensure!(
        listed(&*world.adapter, &name).is_none(),
        "it is still listed"
    );
    let history = world
        .adapter
        .get_call_history(HistoryQuery::default())
        .await?;
    let kept = history.items.iter().any(|record| record.id == Some(id));
    ensure!(kept, "the history does not have it");
    Ok(())
}

async fn came_to_nothing(world: World) -> Verdict {
    world.connect().await?;
    let mut events = world.adapter.subscribe();
    for (fate, disposition) in [
        (Fate::Busy, Disposition::Busy),
        (Fate::Rejects(404), Disposition::Failed),
    ] {
        let name = world.setup.passing(fate).await?;
        let record = event("the end of a call of others", &mut events, |event| {
            let SipEvent::CallStateChanged(change) = event else {
                return None;
            };
            let record = change.record.filter(|_| change.to.is_terminated())?;
            let own = record.channels.iter().any(|own| *own.expose() == name);
            own.then_some(record)
        })
        .await?;
        ensure!(
            record.disposition == disposition && record.answer.is_none(),
            "{fate:?}: {record:?}"
        );
    }
    Ok(())
}

async fn hung_up(world: World) -> Verdict {
    world.connect().await?;
    let name = world.setup.passing(Fate::Answers).await?;
    let id = seen(&*world.adapter, &name, CallState::Connected).await?;
    let mut by_name = CallRef::from(id);
    (by_name.id, by_name.native) = (None, Some(name.clone()));
    let outcome = within("hangup", SOON, world.adapter.hangup(&by_name)).await??;
    ensure!(
        matches!(outcome, HangupOutcome::Requested | HangupOutcome::Ended),
        "{outcome:?}"
    );
    gone(&world, &name).await?;
    let how = disposition(&world, id).await?;
    ensure!(how == Disposition::Answered, "{how:?}");
    by_name.native = Some("nobody@nowhere.example".to_owned());
    let refused = within("hangup", SOON, world.adapter.hangup(&by_name)).await?;
    kind_is(
        "hangup of nobody's call",
        &error_of("hangup of nobody's call", refused)?,
        &[ErrorKind::NotFound],
    )
}

/// A call of others that is answered: its id, and the server's name of it.
async fn talking(world: &World) -> Result<(CallRef, String), Failure> {
    let name = world.setup.passing(Fate::Answers).await?;
    let id = seen(&*world.adapter, &name, CallState::Connected).await?;
    Ok((id.into(), name))
}

async fn held(world: World) -> Verdict {
    world.connect().await?;
    let (call, _) = talking(&world).await?;
    let adapter = &world.adapter;
    let early = adapter.resume(&call).await;
    kind_is(
        "resume of a call that is not held",
        &error_of("resume of a call that is not held", early)?,
        &[ErrorKind::InvalidState],
    )?;
    for _ in 0..2 {
        within("hold", SOON, adapter.hold(&call)).await??;
        world.comes_to(&call, CallState::OnHold).await?;
        let twice = adapter.hold(&call).await;
        kind_is(
            "hold of a held call",
            &error_of("hold of a held call", twice)?,
            &[ErrorKind::InvalidState],
        )?;
        within("resume", SOON, adapter.resume(&call)).await??;
        world.comes_to(&call, CallState::Connected).await?;
    }
    within("hangup", SOON, adapter.hangup(&call)).await??;
    Ok(())
}

async fn transferred(world: World) -> Verdict {
    world.connect().await?;
    let (call, name) = talking(&world).await?;
    let to = world.setup.target(Fate::Busy).await?;
    let transfer = TransferRequest::blind(call.clone(), to);
    let refused = within("transfer", SOON, world.adapter.transfer(transfer)).await?;
    kind_is(
        "a transfer to a busy party",
        &error_of("a transfer to a busy party", refused)?,
        &[ErrorKind::Rejected],
    )?;
    let status = world.status(&call).await?;
    ensure!(status.state == CallState::Connected, "{}", status.state);
    world.setup.passing_ends(&name).await?;

    let (call, name) = talking(&world).await?;
    let to = world.setup.target(Fate::Answers).await?;
    let transfer = TransferRequest::blind(call, to);
    within("transfer", SOON, world.adapter.transfer(transfer)).await??;
    // The party that was asked leaves its call for another one.
    gone(&world, &name).await
}

async fn joined(world: World) -> Verdict {
    world.connect().await?;
    let (one, first) = talking(&world).await?;
    let (other, second) = talking(&world).await?;
    let transfer = TransferRequest::attended(one, other);
    within("transfer", SOON, world.adapter.transfer(transfer)).await??;
    gone(&world, &first).await?;
    gone(&world, &second).await
}

async fn measured(world: World) -> Verdict {
    world.connect().await?;
    let (call, name) = talking(&world).await?;
    world.setup.passing_ends(&name).await?;
    // It may come after the end.
    let found = async {
        loop {
            match world.adapter.get_cdr(&call).await {
                Ok(record) => return Ok(record),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => return Err(error),
            }
        }
    };
    let record = within("the server's own record", SOON, found).await??;
    ensure!(
        record.disposition == Disposition::Answered,
        "{:?}",
        record.disposition
    );
    Ok(())
}

async fn one_id(world: World) -> Verdict {
    world.connect().await?;
    let other = world.setup.adapter().await?;
    within("connect", SOON, other.connect()).await??;
    let name = world.setup.passing(Fate::Answers).await?;
    let here = seen(&*world.adapter, &name, CallState::Connected).await?;
    let there = seen(&*other, &name, CallState::Connected).await?;
    ensure!(here == there, "{here} and {there}");
    Ok(())
}

async fn in_a_gap(world: World) -> Verdict {
    world.connect().await?;
    let before = world.setup.passing(Fate::Answers).await?;
    let id = seen(&*world.adapter, &before, CallState::Connected).await?;
    world.setup.disturb(Disturbance::Unreachable).await?;
    let adapter = &world.adapter;
    let lost = || adapter.connection().state != ConnectionState::Connected;
    eventually("the loss is noticed", SOON, lost).await?;
    world.setup.passing_ends(&before).await?;
    let during = world.setup.passing(Fate::Answers).await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    ensure!(
        listed(&**adapter, &before).is_some(),
        "a call ended without a connection"
    );
    world.setup.disturb(Disturbance::Reachable).await?;
    world.wait_for(ConnectionState::Connected).await?;
    gone(&world, &before).await?;
    let how = disposition(&world, id).await?;
    ensure!(how == Disposition::Answered, "{how:?}");
    seen(&**adapter, &during, CallState::Connected)
        .await
        .map(drop)
}

async fn restart(world: World) -> Verdict {
    world.connect().await?;
    let name = world.setup.passing(Fate::Answers).await?;
    let id = seen(&*world.adapter, &name, CallState::Connected).await?;
    world.setup.disturb(Disturbance::Crash).await?;
    gone(&world, &name).await?;
    world.wait_for(ConnectionState::Connected).await?;
    let found = within("lookup", SOON, world.adapter.lookup(&id.into())).await??;
    // Answered it was; whether it is over nobody can say.
    let honest = match &found {
        Lookup::Unknown(_) => true,
        Lookup::Ended(record) => matches!(
            record.disposition,
            Disposition::Unknown | Disposition::Answered
        ),
        _ => false,
    };
    ensure!(honest, "a call of a server that forgot it: {found:?}");
    let after = world.setup.passing(Fate::Answers).await?;
    seen(&*world.adapter, &after, CallState::Connected)
        .await
        .map(drop)
}

async fn events_lost(world: World) -> Verdict {
    world.connect().await?;
    let adapter = &world.adapter;
    let path = || adapter.connection().events;
    eventually("events come", SOON, || path() == EventPath::Push).await?;
    let call = world.answered().await?;
    world.setup.disturb(Disturbance::EventsLost).await?;
    eventually("the server is asked", SOON, || {
        matches!(path(), EventPath::Polling(_))
    })
    .await?;
    world.is_in(ConnectionState::Connected)?;
    ensure!(
        call.state() == CallState::Connected,
        "the call is {}",
        call.state()
    );
    let second = world
        .dial(Fate::AnswersFor(Duration::from_millis(300)))
        .await?;
    within("the answer", SOON, second.answered()).await??;
    let record = ended(&second).await?;
    ensure!(
        record.disposition == Disposition::Answered,
        "{:?}",
        record.disposition
    );
    world.setup.disturb(Disturbance::EventsBack).await?;
    eventually("events come again", 2 * SOON, || path() == EventPath::Push).await?;
    world.hang_up(&call).await?;
    world.works().await
}
