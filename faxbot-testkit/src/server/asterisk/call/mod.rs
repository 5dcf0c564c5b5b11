//! One call of the mock, from the `Originate` to the last `Hangup`.

mod dial;
mod live;
mod open;
mod ring;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    application::Done,
    channel::Signal,
    originate::Originate,
    world::{State, World},
};
use crate::server::script::CallScript;
pub(super) use dial::dial;
use live::hang_up;
pub(super) use live::{Place, live, pbx};
use open::{local_step, open, respond};
use ring::{Ringing, fail, ring};

/// Longer than any test.
pub(super) const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What ended the waiting of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Hung up here, with this cause.
    Here(u32),
    /// The far end hung up.
    Far(u32),
    /// Its dialplan ended it, or the other party's end did.
    Ended(u32),
    /// Sent elsewhere.
    Redirect {
        context: String,
        exten: String,
        priority: u32,
    },
    /// Sent into a bridge.
    Bridge(String),
}

impl Stop {
    pub(super) const fn far(cause: u32) -> Self {
        Self::Far(cause)
    }

    pub(super) const fn is_far(&self) -> bool {
        matches!(self, Self::Far(_))
    }

    /// The order that sent the channel on.
    fn order(&self) -> Option<Signal> {
        match self {
            Self::Redirect {
                context,
                exten,
                priority,
            } => Some(Signal::Redirect {
                context: context.clone(),
                exten: exten.clone(),
                priority: *priority,
            }),
            Self::Bridge(bridge) => Some(Signal::Bridge {
                bridge: bridge.clone(),
            }),
            Self::Here(_) | Self::Far(_) | Self::Ended(_) => None,
        }
    }

    const fn cause(&self) -> u32 {
        match self {
            Self::Here(cause) | Self::Far(cause) | Self::Ended(cause) => *cause,
            Self::Redirect { .. } | Self::Bridge(_) => 0,
        }
    }
}

/// Waits, unless the channel is asked for something else first.
pub(super) async fn pause(signal: &mut watch::Receiver<Signal>, time: Duration) -> Option<Stop> {
    let told = async {
        let told = signal.wait_for(|signal| *signal != Signal::None).await;
        told.map(|signal| signal.clone()).ok()
    };
    tokio::select! {
        biased;
        told = told => match told {
            Some(Signal::Hangup { cause }) => Some(Stop::Here(cause)),
            Some(Signal::FarHangup { cause }) => Some(Stop::Far(cause)),
            Some(Signal::Redirect { context, exten, priority }) => {
                Some(Stop::Redirect { context, exten, priority })
            }
            Some(Signal::Bridge { bridge }) => Some(Stop::Bridge(bridge)),
            // The channel is gone.
            Some(Signal::None) | None => Some(Stop::Here(0)),
        },
        () = tokio::time::sleep(time) => None,
    }
}

/// The channels of one leg.
#[derive(Debug, Clone)]
pub(super) struct Legs {
    pub id: String,
    /// `;2` of a Local channel.
    pub other: Option<String>,
    /// Whether `;2` walks an extension of the mock on its own.
    pub walks: bool,
}

impl Legs {
    /// `;2` of a Local channel that does what the script of the call says.
    fn scripted(&self) -> Option<&str> {
        self.other.as_deref().filter(|_| !self.walks)
    }
}

/// Runs the call. The answer is whether it was answered, for an `Originate` that waits for it.
pub(super) async fn run(
    world: Arc<World>,
    request: Originate,
    script: CallScript,
    answered: tokio::sync::oneshot::Sender<bool>,
) {
    let Some(legs) = open(&world, &request, &script) else {
        let id = request.id.clone().unwrap_or_else(|| "<unknown>".to_owned());
        world.change(|state| respond(state, &request, None, 0, &id));
        let _not_waiting = answered.send(false);
        return;
    };
    let Some(mut signal) = world.lock().channel(&legs.id).map(|c| c.signal.subscribe()) else {
        return;
    };
    let ringing = Ringing {
        legs: &legs,
        timeout: request.timeout,
        by: None,
        target: &request.channel,
    };
    if let Err(failure) = ring(&world, &ringing, &script, &mut signal).await {
        let _not_waiting = answered.send(false);
        fail(&world, &legs, &request, &script, &failure).await;
        return;
    }
    world.change(|state| {
        up(&world, state, &legs);
        state.dial_event("DialEnd", None, &legs.id, ("DialStatus", "ANSWER"));
        let name = state.channel(&legs.id).map(|channel| channel.name.clone());
        respond(state, &request, name.as_deref(), 4, &legs.id);
    });
    let _not_waiting = answered.send(true);
    let place = Place::from(request.then.clone());
    let stop = live(&world, &legs.id, place, &script, &mut signal).await;
    hang_up(&world, &legs, &stop).await;
}

/// The far end has answered.
fn up(world: &World, state: &mut State, legs: &Legs) {
    let now = world.now();
    let answer = |state: &mut State, id: &str| {
        if state.channel(id).is_some_and(|channel| channel.state != 6) {
            state.set_state(id, 6, now);
        }
    };
    if let Some(other) = legs.scripted() {
        local_step(state, other, "Answer", "");
        answer(state, other);
    }
    answer(state, &legs.id);
    state.device(&legs.id, "INUSE");
}
