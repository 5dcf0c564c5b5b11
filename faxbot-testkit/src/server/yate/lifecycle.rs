//! The timer of the engine, its stop and its start (recordings `engine_timer_and_status`,
//! `engine_stop_with_calls`).

use std::{sync::Arc, time::Duration};

use super::{
    channel::Kind,
    msg::Msg,
    world::{NODE, State, World},
};

/// Lets the timer of this run tick, if it does not: as long as there is a client or a call.
pub(super) fn tick(world: &Arc<World>) {
    let begins = world.change(|state| {
        let run = Some(state.run_id);
        std::mem::replace(&mut state.ticking, run) != run
    });
    if !begins {
        return;
    }
    let timer = Arc::clone(world);
    world.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            timer.act(State::second);
            super::media::write_finished(&timer);
            if timer.change(State::rests) {
                return;
            }
        }
    });
}

impl State {
    /// Whether nobody is there to whom time matters. The timer stops then.
    fn rests(&mut self) -> bool {
        let rests = self.clients.is_empty() && self.ids().is_empty();
        if rests {
            self.ticking = None;
        }
        rests
    }

    /// A second is over: limits of calls are looked at no more often.
    fn second(&mut self) {
        let now = self.now();
        let msg = Msg::new("engine.timer")
            .with("time", now.as_second().to_string())
            .with("nodename", NODE);
        self.later(msg);
        for id in self.ids() {
            let Some(channel) = self.channel(&id) else {
                continue;
            };
            let over = channel.over_at.is_some_and(|at| at <= now);
            let unanswered = !channel.answered && channel.answer_by.is_some_and(|at| at <= now);
            if over || unanswered {
                self.limit_reached(&id, if over { "timeout" } else { "noanswer" });
            }
        }
        self.full_recordings();
    }
}

/// The engine stops. Orderly, `engine.halt` and the ends of all calls are told of; else nothing is.
pub(super) fn stopping(world: &World, state: &mut State, orderly: bool) {
    if orderly {
        let mut halt = Msg::new("engine.halt");
        super::handlers::of("engine.halt")
            .iter()
            .for_each(|(module, priority)| {
                halt.track(module, *priority);
            });
        state.tell(&halt, false);
        for id in state.ids() {
            state.stopped(&id);
        }
        // No handler of a client is asked any more.
        state.tell_queued(&world.config);
    }
    state.forget();
}

impl State {
    /// A channel ends with the engine.
    fn stopped(&mut self, id: &str) {
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        channel.peer = None;
        if channel.kind != Kind::Dumb {
            "dropped".clone_into(&mut channel.status);
            channel.refusal = Some(503);
            self.gone(id, None);
            return;
        }
        // `engine.halt` itself becomes the end of a call that nobody else drops.
        let mut msg = Msg::new("chan.hangup")
            .all(channel.head().to_vec())
            .with("nodename", NODE);
        let state = channel.state();
        msg.track("sip", 100);
        self.later(msg.all(state));
        self.cdr(id, "finalize", None);
        self.take(id);
    }
}

/// It listens again: another run, channel ids from 1.
pub(super) fn started(world: &Arc<World>) {
    world.change(State::restart);
}
