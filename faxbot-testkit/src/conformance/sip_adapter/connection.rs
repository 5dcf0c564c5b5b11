//! Connect, disconnect, and what both leave behind.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Effect, ErrorKind,
    sip::{ConnectionState, Drained},
};
use tokio::runtime::Handle;

use super::{Disturbance, Entry, Fate, Need, SOON, World, entry, error_of, kind_is};
use crate::conformance::{Verdict, ensure, eventually, within};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "a second connect is an invalid state and harms nothing",
            [],
            [Calls],
            twice
        ),
        entry!("connect after disconnect works", [], [Calls], again),
        entry!(
            "a second disconnect answers an empty result",
            [],
            [],
            disconnect_twice
        ),
        entry!(
            "before connect a call is refused as not connected",
            [],
            [Calls],
            before
        ),
        entry!(
            "a wrong password is final and not tried again",
            [Need::WrongPassword, Need::Requests],
            [],
            wrong_password
        ),
        entry!(
            "connect to nobody fails in time",
            [Need::Disturb(Disturbance::Stopped)],
            [],
            nobody
        ),
        entry!(
            "connecting and disconnecting 20 times leaves no task",
            [],
            [],
            rapidly
        ),
        entry!("dropping the adapter ends its tasks", [], [], dropped),
        entry!(
            "a dropped connect leaves the adapter disconnected",
            [],
            [Calls],
            dropped_connect
        ),
        entry!(
            "disconnect ends what waits as closed with an unknown effect",
            [Need::Fate(Fate::NoReply)],
            [Calls],
            pending
        ),
        entry!("disconnect hangs up nothing", [], [Calls], calls_left),
    ]
}

async fn twice(world: World) -> Verdict {
    world.connect().await?;
    let error = error_of("a second connect", world.adapter.connect().await)?;
    kind_is("a second connect", &error, &[ErrorKind::InvalidState])?;
    world.is_in(ConnectionState::Connected)?;
    world.works().await
}

async fn again(world: World) -> Verdict {
    world.is_in(ConnectionState::Disconnected)?;
    for _ in 0..2 {
        world.connect().await?;
        world.works().await?;
        world.disconnect().await?;
    }
    Ok(())
}

async fn disconnect_twice(world: World) -> Verdict {
    let within = Duration::from_secs(2);
    let first = world.adapter.disconnect(within).await?;
    ensure!(
        first == Drained::default(),
        "without a connection: {first:?}"
    );
    world.connect().await?;
    world.disconnect().await?;
    let second = world.adapter.disconnect(within).await?;
    ensure!(second == Drained::default(), "the second time: {second:?}");
    world.is_in(ConnectionState::Disconnected)
}

async fn before(world: World) -> Verdict {
    let request = world.request(Fate::Answers).await?;
    let error = error_of(
        "a call before connect",
        world.adapter.make_call(request.clone()).await,
    )?;
    kind_is("a call before connect", &error, &[ErrorKind::NotConnected])?;
    ensure!(
        error.effect() == Effect::NoEffect,
        "the effect is {:?}",
        error.effect()
    );
    world.connect().await?;
    world.disconnect().await?;
    let error = error_of(
        "a call after disconnect",
        world.adapter.make_call(request).await,
    )?;
    kind_is(
        "a call after disconnect",
        &error,
        &[ErrorKind::NotConnected, ErrorKind::Closed],
    )
}

async fn wrong_password(world: World) -> Verdict {
    let adapter = world.setup.with_wrong_password().await?;
    let refused = within("connect", SOON, adapter.connect()).await?;
    let error = error_of("connect with a wrong password", refused)?;
    kind_is(
        "connect with a wrong password",
        &error,
        &[ErrorKind::Authentication],
    )?;
    ensure!(
        !error.is_retryable(),
        "a wrong password is called retryable"
    );
    let logins = || world.asked(world.setup.login_request());
    let before = logins();
    // Longer than several back-offs of a connection, which start at 2 ms.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    ensure!(logins() == before, "{} more logins", logins() - before);
    ensure!(before == 1, "{before} logins");
    let state = adapter.connection().state;
    let at_rest = [ConnectionState::Disconnected, ConnectionState::Error];
    ensure!(at_rest.contains(&state), "the connection is {state:?}");
    Ok(())
}

async fn nobody(world: World) -> Verdict {
    world.setup.disturb(Disturbance::Stopped).await?;
    let refused = within("connect", Duration::from_secs(20), world.adapter.connect()).await?;
    let error = error_of("connect to nobody", refused)?;
    kind_is(
        "connect to nobody",
        &error,
        &[ErrorKind::Io, ErrorKind::Timeout, ErrorKind::NotConnected],
    )?;
    world.is_in(ConnectionState::Disconnected)
}

async fn rapidly(world: World) -> Verdict {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    world.connect().await?;
    world.disconnect().await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = tasks();
    for _ in 0..20 {
        world.connect().await?;
        world.disconnect().await?;
    }
    eventually("the tasks of 20 connections ended", SOON, || {
        tasks() <= before
    })
    .await
}

async fn dropped(world: World) -> Verdict {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    // A server that was just started may still start tasks of its own.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let idle = tasks();
    world.connect().await?;
    ensure!(tasks() > idle, "a connection without a task");
    let World { adapter, setup, .. } = world;
    ensure!(
        Arc::strong_count(&adapter) == 1,
        "the environment keeps the adapter"
    );
    drop(adapter);
    let verdict = eventually("the tasks of a dropped adapter ended", SOON, || {
        tasks() <= idle
    })
    .await;
    drop(setup);
    verdict
}

async fn dropped_connect(world: World) -> Verdict {
    for micros in [0, 50, 200, 500, 1000, 2000, 4000] {
        let limit = Duration::from_micros(micros);
        match tokio::time::timeout(limit, world.adapter.connect()).await {
            Ok(connected) => connected?,
            Err(_) => world.is_in(ConnectionState::Disconnected)?,
        }
        world.disconnect().await?;
    }
    world.connect().await?;
    world.works().await
}

async fn pending(world: World) -> Verdict {
    world.connect().await?;
    let request = world.request(Fate::NoReply).await?;
    let adapter = Arc::clone(&world.adapter);
    let waiting = tokio::spawn(async move { adapter.make_call(request).await });
    let name = world.setup.call_request();
    let asked = || world.setup.requests().iter().any(|seen| seen.name == name);
    eventually("the request arrived", SOON, asked).await?;
    let drained = within(
        "disconnect",
        SOON,
        world.adapter.disconnect(Duration::from_millis(200)),
    )
    .await??;
    ensure!(!drained.complete, "{drained:?}");
    let result = within("the waiting call", SOON, waiting).await??;
    let error = error_of("a call without a reply", result)?;
    kind_is(
        "a call without a reply",
        &error,
        &[ErrorKind::Closed, ErrorKind::OutcomeUnknown],
    )?;
    ensure!(
        error.effect() == Effect::Unknown,
        "the effect is {:?}",
        error.effect()
    );
    Ok(())
}

async fn calls_left(world: World) -> Verdict {
    world.connect().await?;
    let call = world.answered().await?;
    let drained = world.adapter.disconnect(Duration::from_secs(2)).await?;
    ensure!(drained.calls_left == 1, "{drained:?}");
    let other = world.setup.adapter().await?;
    within("connect", SOON, other.connect()).await??;
    let seen = other.lookup(&call.call_ref()).await?;
    let up = matches!(seen, faxbot_core::sip::Lookup::Live(_));
    ensure!(up, "the call is not up after disconnect: {seen:?}");
    Ok(())
}
