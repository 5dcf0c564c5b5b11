//! Events: legal edges, rising numbers, snapshots that join, subscribers that lag.

use std::collections::{BTreeMap, BTreeSet};

use faxbot_core::{
    event::EventStream,
    id::CallId,
    sip::{CallState, SipEvent},
};

use super::{Entry, Fate, Need, SOON, World, ended, entry};
use crate::conformance::{Failure, Verdict, ensure, eventually, within};

/// Calls after which a stream that nobody reads must have lost events.
const MANY_CALLS: usize = 2000;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!(
            "calls go along legal edges and events have rising numbers",
            [Need::Fate(Fate::Busy)],
            [Calls, Hangup],
            edges
        ),
        entry!(
            "the end of a call comes with its record, once",
            [],
            [Calls, Hangup],
            one_end
        ),
        entry!(
            "events and a snapshot join without a race",
            [Need::Fate(Fate::Busy)],
            [Calls],
            join
        ),
        entry!(
            "a slow subscriber sees what it lost and others are unharmed",
            [Need::Fate(Fate::Busy)],
            [Calls],
            lagging
        ),
        entry!(
            "a subscriber that leaves harms nobody",
            [],
            [Calls, Hangup],
            leaving
        ),
    ]
}

/// Where each call is by its events; every event is checked.
#[derive(Debug, Default)]
struct Follower {
    last: u64,
    states: BTreeMap<CallId, CallState>,
    ends: BTreeMap<CallId, usize>,
}

impl Follower {
    /// Reads what is there.
    fn read(&mut self, stream: &mut EventStream<SipEvent>) -> Verdict {
        while let Some(item) = stream.try_recv() {
            let Ok(stamped) = item else {
                return Err(Failure::new("events were lost"));
            };
            ensure!(
                stamped.seq > self.last,
                "event {} after {}",
                stamped.seq,
                self.last
            );
            self.last = stamped.seq;
            self.take(&stamped.event)?;
        }
        Ok(())
    }

    fn take(&mut self, event: &SipEvent) -> Verdict {
        let SipEvent::CallStateChanged(change) = event else {
            return Ok(());
        };
        ensure!(
            change.jumped || change.from.can_become(change.to),
            "{:?} went from {} to {}",
            change.id,
            change.from,
            change.to
        );
        let Some(id) = change.id else { return Ok(()) };
        if let Some(before) = self.states.insert(id, change.to) {
            ensure!(
                before == change.from,
                "{id} was {before} and went from {}",
                change.from
            );
        }
        if change.to.is_terminated() {
            *self.ends.entry(id).or_default() += 1;
            let of = change.record.as_ref().and_then(|record| record.id);
            ensure!(of == Some(id), "the end of {id} has a record of {of:?}");
        }
        Ok(())
    }
}

async fn edges(world: World) -> Verdict {
    let mut stream = world.adapter.subscribe();
    world.connect().await?;
    let mut follower = Follower::default();
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        let call = world.answered().await?;
        world.hang_up(&call).await?;
        ids.insert(call.id());
        let call = world.dial(Fate::Busy).await?;
        ended(&call).await?;
        ids.insert(call.id());
    }
    // The handle of a call may know its end a moment before the stream does.
    let mut broken = Ok(());
    let all = || {
        broken = follower.read(&mut stream);
        broken.is_err() || follower.ends.len() == ids.len()
    };
    eventually("the ends of the calls as events", SOON, all).await?;
    broken?;
    for id in &ids {
        let state = follower.states.get(id);
        ensure!(
            state == Some(&CallState::Terminated),
            "{id} ended, and its events say {state:?}"
        );
    }
    Ok(())
}

async fn one_end(world: World) -> Verdict {
    world.connect().await?;
    let mut stream = world.adapter.subscribe();
    let call = world.answered().await?;
    world.hang_up(&call).await?;
    // Another call: what follows the end of the first has come.
    world.works().await?;
    let mut follower = Follower::default();
    follower.read(&mut stream)?;
    let ends = follower.ends.get(&call.id()).copied();
    ensure!(ends == Some(1), "{ends:?} ends");
    Ok(())
}

async fn join(world: World) -> Verdict {
    world.connect().await?;
    for round in 0..5 {
        let mut stream = world.adapter.subscribe();
        let mut calls = Vec::new();
        for index in 0..6 {
            let fate = if index % 2 == 0 {
                Fate::Answers
            } else {
                Fate::Busy
            };
            calls.push(world.dial(fate).await?);
            if index == round {
                // In the middle of what happens.
                tokio::task::yield_now().await;
            }
        }
        let snapshot = world.adapter.snapshot();
        let mut states: BTreeMap<_, _> = snapshot
            .calls
            .iter()
            .filter_map(|call| Some((call.id?, call.state)))
            .collect();
        for call in &calls {
            world.end(&call.call_ref()).await?;
            ended(call).await?;
        }
        while !states.values().all(|state| state.is_terminated()) {
            let Some(item) = within("the ends as events", SOON, stream.recv()).await? else {
                return Err(Failure::new("the stream ended"));
            };
            let stamped = item?;
            let SipEvent::CallStateChanged(change) = &stamped.event else {
                continue;
            };
            let Some(id) = change.id.filter(|_| stamped.seq > snapshot.seq) else {
                continue;
            };
            let known = states.get(&id).copied();
            let fresh =
                known.is_none() && matches!(change.from, CallState::Created | CallState::Dialing);
            ensure!(
                known == Some(change.from) || fresh,
                "{id} is {known:?} in the snapshot of {}, and event {} takes it from {}",
                snapshot.seq,
                stamped.seq,
                change.from
            );
            states.insert(id, change.to);
        }
    }
    let empty = || world.adapter.snapshot().calls.is_empty();
    eventually("no ended call is in the snapshot", SOON, empty).await
}

async fn lagging(world: World) -> Verdict {
    world.connect().await?;
    let mut slow = world.adapter.subscribe();
    let mut fast = world.adapter.subscribe();
    let mut follower = Follower::default();
    let first = world.adapter.snapshot().seq;
    let mut placed = 0;
    // The bus keeps 1,024 by default; an adapter may keep more.
    while world.adapter.snapshot().seq < first + 1100 {
        let mut calls = Vec::new();
        for _ in 0..10 {
            calls.push(world.dial(Fate::Busy).await?);
        }
        for call in &calls {
            ended(call).await?;
            follower.read(&mut fast)?;
        }
        placed += 10;
        ensure!(placed < MANY_CALLS, "{placed} calls make no 1,100 events");
    }
    follower.read(&mut fast)?;
    let Some(Err(lagged)) = slow.try_recv() else {
        return Err(Failure::new(
            "a slow subscriber is not told that it lost events",
        ));
    };
    ensure!(lagged.missed >= 1, "{lagged:?}");
    let Some(Ok(next)) = slow.try_recv() else {
        return Err(Failure::new("nothing is left behind the loss"));
    };
    ensure!(
        next.seq == first + lagged.missed + 1,
        "{lagged:?}, and then event {}",
        next.seq
    );
    Ok(())
}

async fn leaving(world: World) -> Verdict {
    world.connect().await?;
    let mut stays = world.adapter.subscribe();
    for _ in 0..50 {
        drop(world.adapter.subscribe());
    }
    let mut waits = world.adapter.subscribe();
    let left = within(
        "an event",
        std::time::Duration::from_millis(1),
        waits.recv(),
    )
    .await;
    drop((left, waits));
    let call = world.answered().await?;
    world.hang_up(&call).await?;
    let mut follower = Follower::default();
    let seen = || follower.read(&mut stays).is_ok() && follower.ends.contains_key(&call.id());
    eventually("the end of the call as an event", SOON, seen).await
}
