//! The task that runs a channel: its applications one after the other, and what interrupts them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    api, application, bridge,
    cause::{self, Cause},
    channel::{By, Channel, Signal, State as ChannelState},
    event::Event,
    hangup,
    program::{Program, Step},
    world::{State, World, fresh},
};

/// Longer than any test.
pub(super) const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How an application ended.
#[derive(Debug)]
pub(super) enum Flow {
    /// The next one follows.
    Next,
    /// The channel is hung up.
    Ended,
    /// Another program is to run.
    Go(Program),
    /// It is to talk with that channel.
    Bridge(String),
}

/// What interrupted a wait.
#[derive(Debug)]
pub(super) enum Stop {
    Flow(Flow),
    /// Only the application is to end.
    Break,
}

/// A channel and what its task hears.
pub(super) struct Here<'a> {
    pub world: &'a Arc<World>,
    pub id: &'a str,
    pub signal: &'a mut watch::Receiver<Signal>,
}

/// Waits; true when the channel is hung up first, or gone.
pub(super) async fn wait(signal: &mut watch::Receiver<Signal>, time: Duration) -> bool {
    let ended = async {
        let told = signal.wait_for(|signal| matches!(signal, Signal::Hangup));
        drop(told.await);
    };
    tokio::select! {
        biased;
        () = ended => true,
        () = tokio::time::sleep(time) => false,
    }
}

/// Runs a channel from here to its end.
pub(super) async fn run(world: Arc<World>, id: String, program: Program) {
    let mut steps = VecDeque::new();
    api_on_answer(&world, &id).await;
    steps.extend(on_answer(&world, &id));
    steps.extend(begin(&world, &id, program));
    run_on(world, id, steps, None).await;
}

/// Runs a leg that was called and talks with its caller.
pub(super) async fn run_bridged(world: Arc<World>, id: String, caller: String) {
    api_on_answer(&world, &id).await;
    let hooks = on_answer(&world, &id);
    run_on(world, id, hooks.into(), Some(caller)).await;
}

async fn run_on(world: Arc<World>, id: String, mut steps: VecDeque<Step>, caller: Option<String>) {
    let signal = world.lock().channels.get(&id).map(|c| c.signal.subscribe());
    let Some(mut signal) = signal else { return };
    let mut here = Here {
        world: &world,
        id: &id,
        signal: &mut signal,
    };
    let mut talks = caller;
    loop {
        let flow = match (steps.pop_front(), talks.take()) {
            (Some(step), with) => {
                talks = with;
                execute(&mut here, &step).await
            }
            (None, Some(other)) => bridge::talk(&mut here, &other).await,
            (None, None) => {
                // The dialplan has nothing left.
                world.with(|state| state.hang_up(&id, cause::NORMAL, By::Here));
                Flow::Ended
            }
        };
        match flow {
            Flow::Next => {}
            Flow::Ended => break,
            Flow::Go(program) => {
                talks = None;
                steps = begin(&world, &id, program);
            }
            Flow::Bridge(other) => {
                steps.clear();
                talks = Some(other);
            }
        }
    }
    hangup::end(&world, &id).await;
}

/// `execute_on_answer` of a leg that has just been answered, and whatever else begins so
/// (`switch_channel_execute_on`).
fn on_answer(world: &World, id: &str) -> Vec<Step> {
    let hooks = answer_hooks(world, id, "execute_on_answer");
    hooks.iter().map(|text| step(text)).collect()
}

/// `api_on_answer`, and whatever else begins so (`switch_channel_api_on`).
async fn api_on_answer(world: &Arc<World>, id: &str) {
    for hook in answer_hooks(world, id, "api_on_answer") {
        let (name, args) = hook.split_once(' ').unwrap_or((&hook, ""));
        Box::pin(api::run(world, name, args)).await;
    }
}

fn answer_hooks(world: &World, id: &str, prefix: &str) -> Vec<String> {
    let state = world.lock();
    let answered = |channel: &&Channel| channel.is_answered() && !channel.inbound;
    let Some(channel) = state.channels.get(id).filter(answered) else {
        return Vec::new();
    };
    let hooks = channel.vars.iter();
    let hooks = hooks.filter(|(name, _)| name.starts_with(prefix));
    hooks.map(|(_, text)| text.to_owned()).collect()
}

/// An application as a variable holds it: `db insert/a/b`, `playback::/x.wav`.
pub(super) fn step(text: &str) -> Step {
    let (name, args) = match text.split_once("::") {
        Some((name, args)) if !name.contains(' ') => (name, args),
        _ => text.split_once(' ').unwrap_or((text, "")),
    };
    Step {
        name: name.to_owned(),
        args: args.to_owned(),
    }
}

/// The channel goes into a program; the steps that it has.
fn begin(world: &World, id: &str, program: Program) -> VecDeque<Step> {
    let found = match &program.place {
        None => Ok(program.steps.clone()),
        Some((exten, _, context)) => lookup(world, context, exten),
    };
    world.with(|state| {
        if let Some((exten, dialplan, context)) = &program.place
            && let Some(channel) = state.channels.get_mut(id)
        {
            let was = channel.profile.destination.clone();
            channel.profile.rdnis = was;
            channel.profile.destination.clone_from(exten);
            channel.profile.dialplan.clone_from(dialplan);
            channel.profile.context.clone_from(context);
            channel.profile.index += 1;
        }
        if program.place.is_some() {
            state.set_state(id, ChannelState::Routing);
        }
        match found {
            Ok(steps) => {
                state.set_state(id, ChannelState::Execute);
                steps.into()
            }
            Err(cause) => {
                state.hang_up(id, cause, By::Here);
                VecDeque::new()
            }
        }
    })
}

/// The applications of an extension. In a context that the test did not write a call is parked.
fn lookup(world: &World, context: &str, exten: &str) -> Result<Vec<Step>, Cause> {
    let all = &world.setup.extensions;
    let find = |exten: &str| all.get(&(context.to_owned(), exten.to_owned()));
    if let Some(program) = find(exten).or_else(|| find("*")) {
        return Ok(program.steps.clone());
    }
    if all.keys().any(|(known, _)| known == context) {
        return Err("NO_ROUTE_DESTINATION");
    }
    Ok(Program::one("park", "").steps)
}

/// Runs one application, with the events around it.
pub(super) async fn execute(here: &mut Here<'_>, step: &Step) -> Flow {
    let (world, id) = (here.world, here.id);
    let uuid = fresh();
    let args = world.with(|state| {
        state.channels.live(id)?;
        let args = super::expand::expand(state, id, &step.args);
        if let Some(channel) = state.channels.get_mut(id) {
            channel.application.clone_from(&step.name);
            channel.data.clone_from(&args);
            channel.vars.set("current_application", &step.name);
            channel.vars.set("current_application_data", &args);
        }
        told(state, id, "CHANNEL_EXECUTE", step, &args, None, &uuid);
        Some(args)
    });
    let Some(args) = args else { return Flow::Ended };
    let done = Box::pin(application::run(here, &step.name, &args)).await;
    world.with(|state| {
        let response = done.response.as_deref().unwrap_or("_none_");
        let response = Some(response);
        told(
            state,
            id,
            "CHANNEL_EXECUTE_COMPLETE",
            step,
            &args,
            response,
            &uuid,
        );
        // What was asked while the application could not be interrupted.
        match done.flow {
            Flow::Next if state.channels.live(id).is_none() => Flow::Ended,
            flow => flow,
        }
    })
}

fn told(
    state: &mut State,
    id: &str,
    name: &str,
    step: &Step,
    args: &str,
    response: Option<&str>,
    uuid: &str,
) {
    let mut more = vec![("Application", step.name.as_str())];
    if !args.is_empty() {
        more.push(("Application-Data", args));
    }
    more.extend(response.map(|response| ("Application-Response", response)));
    more.push(("Application-UUID", uuid));
    state.tell_with(name, "", id, &more);
}

impl Here<'_> {
    /// Waits for so long, for ever without a time. `None` when the time is over. Applications that
    /// clients ask for run meanwhile, as in `park`.
    pub(super) async fn idle(&mut self, time: Option<Duration>) -> Option<Stop> {
        let until = Instant::now() + time.unwrap_or(FOR_EVER);
        loop {
            if let Some(stop) = self.private().await {
                return Some(stop);
            }
            let wake = {
                let state = self.world.lock();
                state.channels.get(self.id).map(|c| Arc::clone(&c.wake))
            };
            let Some(wake) = wake else {
                return Some(Stop::Flow(Flow::Ended));
            };
            tokio::select! {
                biased;
                stop = self.asked() => return Some(stop),
                () = wake.notified() => {}
                () = tokio::time::sleep_until(until) => return None,
            }
        }
    }

    /// Waits for so long without looking at what clients ask for but an end, a transfer, a bridge.
    pub(super) async fn pause(&mut self, time: Duration) -> Option<Stop> {
        tokio::select! {
            biased;
            stop = self.asked() => Some(stop),
            () = tokio::time::sleep(time) => None,
        }
    }

    /// The next signal.
    pub(super) async fn asked(&mut self) -> Stop {
        let told = self
            .signal
            .wait_for(|signal| !matches!(signal, Signal::None))
            .await
            .is_ok();
        if !told {
            return Stop::Flow(Flow::Ended);
        }
        // Taken where it is: one that comes meanwhile is the one that counts.
        let mut signal = Signal::Hangup;
        if let Some(channel) = self.world.lock().channels.get(self.id) {
            channel.signal.send_if_modified(|now| {
                signal = now.clone();
                let taken = !matches!(now, Signal::Hangup);
                if taken {
                    *now = Signal::None;
                }
                taken
            });
        }
        match signal {
            Signal::None | Signal::Break => Stop::Break,
            Signal::Hangup => Stop::Flow(Flow::Ended),
            Signal::Go(program) => Stop::Flow(Flow::Go(program)),
            Signal::Bridge(other) => Stop::Flow(Flow::Bridge(other)),
        }
    }

    /// Runs what clients put into the queue of the channel.
    async fn private(&mut self) -> Option<Stop> {
        loop {
            let next = {
                let mut state = self.world.lock();
                let channel = state.channels.get_mut(self.id)?;
                channel.private.pop_front()?
            };
            let step = Step {
                name: next.name.clone(),
                args: next.args.clone(),
            };
            let was = self.application();
            for _ in 0..next.loops.max(1) {
                let flow = Box::pin(execute(self, &step)).await;
                if !matches!(flow, Flow::Next) {
                    return Some(Stop::Flow(flow));
                }
            }
            self.private_done(&next.event_uuid, &step);
            self.set_application(was);
            if let Some(done) = next.done {
                let _not_waiting = done.send(());
            }
        }
    }

    fn application(&self) -> Option<(String, String)> {
        let state = self.world.lock();
        let channel = state.channels.get(self.id)?;
        Some((channel.application.clone(), channel.data.clone()))
    }

    fn set_application(&self, to: Option<(String, String)>) {
        let mut state = self.world.lock();
        if let (Some(channel), Some((name, data))) = (state.channels.get_mut(self.id), to) {
            channel.application = name;
            channel.data = data;
        }
    }

    /// `PRIVATE_COMMAND`: the command is shown again when it is done.
    fn private_done(&self, event_uuid: &Option<String>, step: &Step) {
        self.world.with(|state| {
            let mut event: Event = state.event("PRIVATE_COMMAND", "");
            if let Some(channel) = state.channels.get(self.id) {
                channel.write(&mut event, false);
            }
            event.push("call-command", "execute");
            event.push("execute-app-name", &step.name);
            event.push("execute-app-arg", &step.args);
            event.push("Event-UUID", event_uuid.clone().unwrap_or_else(fresh));
            state.emit(&event);
        });
    }
}
