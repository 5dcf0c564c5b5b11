//! What became of a call: asked by the process that placed it, and by another.

use std::time::Duration;

use faxbot_core::{
    Timestamp,
    id::{CallId, CallRef},
    sip::{Disposition, Lookup, SipAdapter},
};

use super::{Entry, Fate, Need, SOON, World, ended, entry};
use crate::conformance::{Failure, Verdict, ensure, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a lookup finds a live and an ended call",
            [],
            [Calls, Hangup],
            own
        ),
        entry!("a lookup of an unknown call finds no call", [], [], unknown),
        entry!(
            "another process finds a live call",
            [],
            [Calls],
            live_elsewhere
        ),
        entry!(
            "another process finds how a call ended",
            [Need::Fate(Fate::Busy)],
            [Calls, Hangup, LookupEnded],
            ended_elsewhere
        ),
        entry!(
            "a released outcome is gone, and a release can be repeated",
            [],
            [Calls, Hangup],
            release
        ),
        entry!(
            "a lookup without a connection is an error or from the books",
            [],
            [Calls, Hangup],
            offline
        ),
    ]
}

async fn look(adapter: &dyn SipAdapter, call: &CallRef) -> Result<Lookup, Failure> {
    Ok(within("lookup", SOON, adapter.lookup(call)).await??)
}

async fn own(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let live = look(&*world.adapter, &call.call_ref()).await?;
    ensure!(
        matches!(&live, Lookup::Live(status) if status.id == Some(call.id())),
        "live: {live:?}"
    );
    let record = world.hang_up(&call).await?;
    let over = look(&*world.adapter, &call.call_ref()).await?;
    let Lookup::Ended(found) = over else {
        return Err(Failure::new(format!("ended: {over:?}")));
    };
    ensure!(
        found.disposition == record.disposition,
        "{:?} and {:?}",
        found.disposition,
        record.disposition
    );
    Ok(())
}

async fn unknown(world: World) -> Verdict {
    world.connect().await?;
    let mut call = CallRef::from(CallId::new());
    let found = look(&*world.adapter, &call).await?;
    // An absent trace proves nothing while nobody knows when the request was made.
    ensure!(
        matches!(found, Lookup::Unknown(_)),
        "without the time of the request: {found:?}"
    );
    call.requested_at = Some(Timestamp::now());
    let found = look(&*world.adapter, &call).await?;
    ensure!(
        matches!(found, Lookup::Unknown(_)),
        "a moment after the request: {found:?}"
    );
    call.requested_at = Some(Timestamp::now() - Duration::from_secs(3600));
    let found = look(&*world.adapter, &call).await?;
    let proven = matches!(found, Lookup::Unknown(_) | Lookup::NeverExisted);
    ensure!(proven, "an hour after the request: {found:?}");
    Ok(())
}

async fn live_elsewhere(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let other = world.setup.adapter().await?;
    within("connect", SOON, other.connect()).await??;
    let found = look(&*other, &call.call_ref()).await?;
    ensure!(matches!(found, Lookup::Live(_)), "{found:?}");
    Ok(())
}

async fn ended_elsewhere(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    world.hang_up(&call).await?;
    let busy = world.dial(Fate::Busy).await?;
    ended(&busy).await?;
    let other = world.setup.adapter().await?;
    within("connect", SOON, other.connect()).await??;
    let found = look(&*other, &call.call_ref()).await?;
    let Lookup::Ended(record) = found else {
        return Err(Failure::new(format!("the answered call: {found:?}")));
    };
    ensure!(
        record.disposition == Disposition::Answered,
        "{:?}",
        record.disposition
    );
    let found = look(&*other, &busy.call_ref()).await?;
    // A server may keep no trace of a call that never was up; it may not call it answered.
    let honest = match &found {
        Lookup::Ended(record) => record.disposition == Disposition::Busy,
        Lookup::Unknown(_) => true,
        _ => false,
    };
    ensure!(honest, "the busy call: {found:?}");
    Ok(())
}

async fn release(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    world.hang_up(&call).await?;
    for _ in 0..2 {
        within("release", SOON, world.adapter.release(&call.call_ref())).await??;
    }
    within(
        "release",
        SOON,
        world.adapter.release(&CallId::new().into()),
    )
    .await??;
    let other = world.setup.adapter().await?;
    within("connect", SOON, other.connect()).await??;
    let found = look(&*other, &call.call_ref()).await?;
    ensure!(
        matches!(found, Lookup::Unknown(_)),
        "after the release: {found:?}"
    );
    Ok(())
}

async fn offline(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    world.hang_up(&call).await?;
    world.disconnect().await?;
    match within("lookup", SOON, world.adapter.lookup(&call.call_ref())).await? {
        Err(_) | Ok(Lookup::Ended(_) | Lookup::Unknown(_)) => {}
        Ok(other) => {
            return Err(Failure::new(format!(
                "an ended call without a connection: {other:?}"
            )));
        }
    }
    match within("lookup", SOON, world.adapter.lookup(&CallId::new().into())).await? {
        Err(_) | Ok(Lookup::Unknown(_)) => Ok(()),
        Ok(other) => Err(Failure::new(format!(
            "an unknown call without a connection: {other:?}"
        ))),
    }
}
