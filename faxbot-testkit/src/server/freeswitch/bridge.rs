//! Two channels that talk: the application `bridge`, `uuid_bridge`, and what becomes of each when
//! it ends (recording `03_bridge_two_loopback_legs`; `switch_ivr_bridge.c`).

use super::{
    application::Done,
    call::{Flow, Here, Stop},
    cause,
    channel::{By, Channel, Signal, State as ChannelState},
    leg, originate,
    originate::Options,
    program::Program,
    world::State,
};

impl State {
    /// Ties two channels to each other; `a` is the one that called.
    pub(super) fn tie(&mut self, a: &str, b: &str) {
        let now = self.now;
        for (one, other) in [(a, b), (b, a)] {
            if let Some(channel) = self.channels.get_mut(one) {
                channel.peer = Some(other.to_owned());
                channel.calls = one == a;
                channel.times.bridged = Some(now);
                channel.vars.set("bridge_uuid", other);
                channel.vars.set("signal_bond", other);
                channel.vars.set("last_bridge_to", other);
                channel.vars.set("bridge_channel", "");
            }
        }
        let more = [("Bridge-A-Unique-ID", a), ("Bridge-B-Unique-ID", b)];
        self.tell_with("CHANNEL_BRIDGE", "", a, &more);
    }

    /// A channel leaves its bridge; the other one is told.
    pub(super) fn leave_bridge(&mut self, id: &str) -> Option<String> {
        let peer = self.channels.get(id)?.peer.clone()?;
        let calls = self.channels.get(id).is_some_and(|channel| channel.calls);
        let (a, b) = if calls {
            (id, peer.as_str())
        } else {
            (peer.as_str(), id)
        };
        let more = [("Bridge-A-Unique-ID", a), ("Bridge-B-Unique-ID", b)];
        self.tell_with("CHANNEL_UNBRIDGE", "", a, &more);
        for one in [id, &peer] {
            if let Some(channel) = self.channels.get_mut(one) {
                channel.peer = None;
                channel.vars.set("bridge_uuid", "");
                channel.tell();
            }
        }
        Some(peer)
    }

    fn talks_with(&self, id: &str, other: &str) -> bool {
        let channel = self.channels.get(id);
        channel.is_some_and(|channel| channel.peer.as_deref() == Some(other))
    }
}

/// The application `bridge`.
pub(super) async fn application(here: &mut Here<'_>, args: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let options = {
        let state = world.lock();
        let channel = state.channels.get(id);
        let from = |with: fn(&Channel) -> &String| {
            channel.map(with).filter(|text| !text.is_empty()).cloned()
        };
        Options {
            by: Some(id.to_owned()),
            name: from(|channel| &channel.profile.name),
            number: from(|channel| &channel.profile.number),
            timeout: None,
        }
    };
    let dial = originate::dial(world, args, &options);
    let result = tokio::select! {
        biased;
        stop = here.asked() => {
            // The caller is gone, or wanted elsewhere: so are the legs.
            world.with(|state| {
                let legs: Vec<String> = state
                    .channels
                    .iter()
                    .filter(|c| c.other.as_deref() == Some(id) && !c.runs)
                    .map(|c| c.id.clone())
                    .collect();
                for leg in legs {
                    state.hang_up(&leg, "ORIGINATOR_CANCEL", By::Here);
                }
            });
            return Some(stop).into();
        }
        result = dial => result,
    };
    let other = match result {
        Ok(other) => other,
        Err(cause) => {
            let cause = originate::failure(cause);
            world.with(|state| {
                for name in [
                    "originate_disposition",
                    "originate_failed_cause",
                    "DIALSTATUS",
                ] {
                    state.set_var(id, name, cause);
                }
                let goes_on = state
                    .channels
                    .get(id)
                    .is_some_and(|channel| channel.vars.is_true("continue_on_fail"));
                if !goes_on {
                    state.hang_up(id, cause, By::Here);
                }
            });
            return Done::said(cause);
        }
    };
    world.with(|state| {
        leg::answer(state, id);
        state.set_var(id, "originate_disposition", "SUCCESS");
        state.set_state(&other, ChannelState::ExchangeMedia);
        state.tie(id, &other);
    });
    leg::start_talking(world, &other, id);
    match stay(here, &other).await {
        Some(stop) => Some(stop).into(),
        None => {
            let after = world.with(|state| after(state, id));
            match after {
                Some(flow) => flow.into(),
                None => {
                    let hangs_up = {
                        let state = world.lock();
                        state
                            .channels
                            .get(id)
                            .is_some_and(|channel| channel.vars.is_true("hangup_after_bridge"))
                    };
                    if hangs_up {
                        world.with(|state| state.hang_up(id, cause::NORMAL, By::Here));
                    }
                    Done::said("SUCCESS")
                }
            }
        }
    }
}

/// The application `intercept`: takes over a channel.
pub(super) async fn intercept(here: &mut Here<'_>, other: &str) -> Done {
    let (world, id) = (here.world, here.id);
    let found = world.with(|state| {
        leg::answer(state, id);
        couple(state, id, other)
    });
    if found {
        Flow::Bridge(other.to_owned()).into()
    } else {
        Done::next()
    }
}

/// `uuid_bridge`: both leave what they do and talk.
pub(super) fn couple(state: &mut State, a: &str, b: &str) -> bool {
    if a == b || state.live(a).is_none() || state.live(b).is_none() {
        return false;
    }
    for id in [a, b] {
        state.leave_bridge(id);
    }
    if let Some(channel) = state.channels.get_mut(b) {
        channel.other = Some(a.to_owned());
    }
    if let Some(channel) = state.channels.get_mut(a) {
        channel.other = Some(b.to_owned());
    }
    for id in [a, b] {
        state.set_var(id, "call_uuid", a);
    }
    for (one, other) in [(a, b), (b, a)] {
        if let Some(channel) = state.channels.get(one) {
            channel.ask(Signal::Bridge(other.to_owned()));
        }
    }
    state.tie(a, b);
    true
}

/// A channel that `uuid_bridge` or `intercept` sent here talks until one of the two leaves.
pub(super) async fn talk(here: &mut Here<'_>, other: &str) -> Flow {
    let (world, id) = (here.world, here.id);
    world.with(|state| state.set_state(id, ChannelState::ExchangeMedia));
    match stay(here, other).await {
        Some(Stop::Flow(flow)) => return flow,
        Some(Stop::Break) | None => {}
    }
    let after = world.with(|state| after(state, id));
    after.unwrap_or_else(|| {
        world.with(|state| state.hang_up(id, cause::NORMAL, By::Here));
        Flow::Ended
    })
}

/// Stays in the bridge. `None` when the other one left.
async fn stay(here: &mut Here<'_>, other: &str) -> Option<Stop> {
    let (world, id) = (here.world, here.id);
    let mut told = world.lock().channels.get(id)?.told.subscribe();
    let stop = loop {
        if !world.lock().talks_with(id, other) {
            break None;
        }
        tokio::select! {
            biased;
            changed = told.changed() => {
                if changed.is_err() {
                    break Some(Stop::Flow(Flow::Ended));
                }
            }
            stop = here.idle(None) => match stop {
                Some(Stop::Break) | None => {}
                stop => break stop,
            },
        }
    };
    if stop.is_some() {
        world.with(|state| {
            if state.talks_with(id, other) {
                state.leave_bridge(id);
            }
        });
    }
    // Both may have been sent elsewhere at once.
    if stop.is_none() && !matches!(*here.signal.borrow(), Signal::None) {
        return Some(here.asked().await);
    }
    stop
}

/// What a channel does when its bridge is over, if its variables say so.
fn after(state: &mut State, id: &str) -> Option<Flow> {
    let channel = state.channels.live(id)?;
    if channel.vars.is_true("park_after_bridge") {
        return Some(Flow::Go(Program::one("park", "")));
    }
    let target = channel.vars.get("transfer_after_bridge")?;
    let mut parts = target.split(':');
    let exten = parts.next().unwrap_or_default();
    Some(Flow::Go(Program::read(exten, parts.next(), parts.next())))
}
