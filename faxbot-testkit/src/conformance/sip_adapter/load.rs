//! Many at once, large ones, and a server that has enough.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use faxbot_core::{
    Effect, ErrorKind,
    sip::{Disposition, HealthStatus},
};
use tokio::task::JoinSet;

use super::{Disturbance, Entry, Fate, Need, SOON, World, ended, entry, kind_is};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

pub(super) fn entries() -> Vec<Entry> {
    const MIXED: &[Need] = &[
        Need::Fate(Fate::Busy),
        Need::Fate(Fate::Rejects(404)),
        Need::Causes,
    ];
    let mut entries = vec![
        entry!("10 calls at once do not mix", [], [Calls, Hangup], ten),
        entry!("100 calls at once do not mix", [], [Calls, Hangup], hundred),
        entry!(
            "a server that is overloaded refuses without effect, and recovers",
            [Need::Disturb(Disturbance::Overloaded)],
            [Calls, Hangup],
            overload
        ),
        entry!(
            "large values are carried or refused, and the connection lives",
            [],
            [Calls, Hangup, Variables],
            large
        ),
        entry!(
            "many variables are carried or refused, and the connection lives",
            [],
            [Calls, Hangup, Variables],
            many
        ),
    ];
    for entry in entries.iter_mut().take(2) {
        entry.needs = MIXED;
    }
    entries
}

async fn ten(world: World) -> Verdict {
    at_once(world, 10).await
}

async fn hundred(world: World) -> Verdict {
    at_once(world, 100).await
}

async fn at_once(world: World, calls: usize) -> Verdict {
    world.connect().await?;
    let fates = [
        (Fate::Answers, Disposition::Answered),
        (Fate::Busy, Disposition::Busy),
        (Fate::Rejects(404), Disposition::Failed),
    ];
    let mut running = JoinSet::new();
    for (fate, disposition) in fates.into_iter().cycle().take(calls) {
        let request = world.request(fate).await?;
        let adapter = Arc::clone(&world.adapter);
        running.spawn(async move {
            let id = request.id;
            let call = adapter.make_call(request).await?;
            if disposition == Disposition::Answered {
                within("the answer", SOON, call.answered()).await??;
                within("hangup", SOON, adapter.hangup(&call.call_ref())).await??;
            }
            let record = within("the end", 3 * SOON, call.ended()).await??;
            ensure!(
                call.id() == id && record.id == Some(id),
                "the record of {:?} for {id}",
                record.id
            );
            ensure!(
                record.disposition == disposition,
                "{fate:?} ended as {:?}",
                record.disposition
            );
            Ok::<_, Failure>((id, record.channels))
        });
    }
    let mut ids = BTreeSet::new();
    let mut channels = BTreeSet::new();
    while let Some(done) = running.join_next().await {
        let (id, own) = done??;
        ids.insert(id);
        for channel in own {
            let name = channel.expose().clone();
            ensure!(channels.insert(name), "two calls share a channel");
        }
    }
    ensure!(ids.len() == calls, "{} of {calls} calls", ids.len());
    let adapter = &world.adapter;
    eventually("no call is left in the books", SOON, || {
        adapter.snapshot().calls.is_empty()
    })
    .await?;
    let health = adapter.health_check().await?;
    ensure!(health.status != HealthStatus::Critical, "{health:?}");
    ensure!(health.metrics.active_calls == 0, "{health:?}");
    Ok(())
}

async fn overload(world: World) -> Verdict {
    world.connect().await?;
    let up = world.answered().await?;
    world.setup.disturb(Disturbance::Overloaded).await?;
    for _ in 0..5 {
        let request = world.request(Fate::Answers).await?;
        let Err(error) = within("make_call", SOON, world.adapter.make_call(request)).await? else {
            return Err(Failure::new("an overloaded server took a call"));
        };
        let kinds = [
            ErrorKind::ServerBusy,
            ErrorKind::Overloaded,
            ErrorKind::Rejected,
            ErrorKind::NotConnected,
        ];
        kind_is("a call under overload", &error, &kinds)?;
        ensure!(
            error.effect() == Effect::NoEffect,
            "the effect is {:?}",
            error.effect()
        );
    }
    world.setup.disturb(Disturbance::Relieved).await?;
    world
        .wait_for(faxbot_core::sip::ConnectionState::Connected)
        .await?;
    world.works().await?;
    world.hang_up(&up).await.map(drop)
}

async fn large(world: World) -> Verdict {
    world.connect().await?;
    for size in [100, 900, 1_000, 1_022, 1_023, 4_096, 100_000, 2_000_000] {
        let request = world
            .request(Fate::Answers)
            .await?
            .with_variable("LARGE", "x".repeat(size));
        carried_or_refused(&world, request, size).await?;
    }
    let mut request = world.request(Fate::Answers).await?;
    request.options.caller_id_name = Some("n".repeat(5_000));
    carried_or_refused(&world, request, 5_000).await?;
    world.works().await
}

async fn many(world: World) -> Verdict {
    world.connect().await?;
    for count in [10, 100, 128, 1_000] {
        let mut request = world.request(Fate::Answers).await?;
        for index in 0..count {
            request = request.with_variable(format!("VARIABLE_{index}"), "value");
        }
        carried_or_refused(&world, request, count).await?;
    }
    world.works().await
}

async fn carried_or_refused(
    world: &World,
    request: faxbot_core::sip::CallRequest,
    size: usize,
) -> Verdict {
    match within("make_call", SOON, world.adapter.make_call(request)).await? {
        Ok(call) => {
            within("the answer", SOON, call.answered()).await??;
            within("hangup", SOON, world.adapter.hangup(&call.call_ref())).await??;
            ended(&call).await?;
        }
        Err(error) => kind_is(&format!("{size}"), &error, &[ErrorKind::InvalidRequest])?,
    }
    // The server may drop a link that carried too much: that is what the check is for.
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.is_in(faxbot_core::sip::ConnectionState::Connected)
}
