//! The mock's dialplan: what the operator wrote and what was added at run time, and the walk of a
//! channel through it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    application::{self, Done, Here},
    call::Stop,
    channel::Signal,
    substitute::substitute,
    world::{World, start},
};
use crate::server::script::CallScript;

/// A step: application and its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub application: String,
    pub data: String,
    /// Added at run time: a reload or restart removes it.
    pub run_time: bool,
}

type Steps = BTreeMap<u32, Step>;

/// Contexts, extensions, priorities.
#[derive(Debug, Default)]
pub(super) struct Dialplan {
    contexts: BTreeMap<String, BTreeMap<String, Steps>>,
    /// Contexts that were added at run time once: a Local channel to one that is gone fails.
    known: Vec<String>,
}

impl Dialplan {
    /// Whether it was added; not when it is there and `replace` is off.
    pub(super) fn add(
        &mut self,
        context: &str,
        exten: &str,
        priority: u32,
        step: Step,
        replace: bool,
    ) -> bool {
        if step.run_time && !self.known.iter().any(|known| known == context) {
            self.known.push(context.to_owned());
        }
        let steps = self
            .contexts
            .entry(context.to_owned())
            .or_default()
            .entry(exten.to_owned())
            .or_default();
        if steps.contains_key(&priority) && !replace {
            return false;
        }
        steps.insert(priority, step);
        true
    }

    pub(super) fn remove(&mut self, context: &str, exten: &str, priority: Option<u32>) -> bool {
        let Some(extens) = self.contexts.get_mut(context) else {
            return false;
        };
        let removed = match (extens.get_mut(exten), priority) {
            (Some(steps), Some(priority)) => steps.remove(&priority).is_some(),
            (Some(_), None) => extens.remove(exten).is_some(),
            (None, _) => false,
        };
        self.prune();
        removed
    }

    /// As `dialplan reload` does.
    pub(super) fn reload(&mut self) {
        for extens in self.contexts.values_mut() {
            for steps in extens.values_mut() {
                steps.retain(|_, step| !step.run_time);
            }
        }
        self.prune();
    }

    fn prune(&mut self) {
        self.contexts.retain(|_, extens| {
            extens.retain(|_, steps| !steps.is_empty());
            !extens.is_empty()
        });
    }

    pub(super) fn step(&self, context: &str, exten: &str, priority: u32) -> Option<&Step> {
        self.contexts.get(context)?.get(exten)?.get(&priority)
    }

    pub(super) fn has(&self, context: &str, exten: &str) -> bool {
        self.contexts
            .get(context)
            .is_some_and(|extens| extens.contains_key(exten))
    }

    /// Whether anything is in a context, or was.
    pub(super) fn knows(&self, context: &str) -> bool {
        self.contexts.contains_key(context) || self.known.iter().any(|known| known == context)
    }

    /// Whether a call there must fail: a context of ours that a reload removed.
    pub(super) fn is_gone(&self, context: &str, exten: &str) -> bool {
        self.known.iter().any(|known| known == context) && !self.has(context, exten)
    }

    /// All steps of a context, or of all contexts.
    pub(super) fn list(&self, context: Option<&str>) -> Vec<(&str, &str, u32, &Step)> {
        let mut all = Vec::new();
        for (name, extens) in &self.contexts {
            if context.is_none_or(|context| context == name) {
                for (exten, steps) in extens {
                    for (priority, step) in steps {
                        all.push((name.as_str(), exten.as_str(), *priority, step));
                    }
                }
            }
        }
        all
    }
}

/// Sets a variable as the dialplan does: a function is written, a variable gets its event.
pub(super) fn assign(world: &World, id: &str, name: &str, value: &str) {
    let mut state = world.lock();
    // `_NAME` goes to the legs of a `Dial`, `__NAME` to their legs, too.
    let depth = name.len() - name.trim_start_matches('_').len();
    let name = name.trim_start_matches('_');
    if depth > 0
        && let Some(channel) = state.channel_mut(id)
    {
        channel.inherited.insert(name.to_owned(), depth > 1);
    }
    let Some((function, argument)) = name.strip_suffix(')').and_then(|n| n.split_once('(')) else {
        state.set_var(id, name, value);
        return;
    };
    match function {
        "DB" => {
            state.db.insert(format!("/{argument}"), value.to_owned());
        }
        "FILE" => {
            // What cannot be written is only logged.
            let path = argument.split(',').next().unwrap_or_default();
            let _ = world.config.paths.write(path, value.as_bytes());
        }
        "GLOBAL" => {
            state.globals.insert(argument.to_owned(), value.to_owned());
        }
        "FAXOPT" => {
            if let Some(channel) = state.channel_mut(id) {
                channel
                    .fax_options
                    .insert(argument.to_owned(), value.to_owned());
            }
        }
        "CHANNEL" if argument == "hangup_handler_push" => {
            if let Some(channel) = state.channel_mut(id) {
                channel.handlers.push(value.to_owned());
            }
            state.channel_event("HangupHandlerPush", "dialplan", id, &[("Handler", value)]);
        }
        "CHANNEL" | "CALLERID" | "TIMEOUT" | "CONFBRIDGE" => {
            if let Some(channel) = state.channel_mut(id) {
                match (name, &mut channel.caller) {
                    ("CALLERID(num)", Some(party)) => value.clone_into(&mut party.number),
                    ("CALLERID(name)", Some(party)) => value.clone_into(&mut party.name),
                    ("TIMEOUT(absolute)", _) => {
                        let time = seconds(value);
                        let limit = (!time.is_zero()).then(|| Instant::now() + time);
                        channel.limit.send_replace(limit);
                    }
                    ("CHANNEL(accountcode)", _) => value.clone_into(&mut channel.account),
                    _ => {
                        channel.vars.insert(name.to_owned(), value.to_owned());
                    }
                }
            }
        }
        _ => {}
    }
    drop(state);
    world.changed.notify_waiters();
}

/// Runs the hangup handlers of a channel, the last one pushed first. One whose extension is gone
/// is skipped, as in Asterisk (which logs it).
pub(super) async fn run_handlers(world: &Arc<World>, id: &str) {
    loop {
        let handler = world
            .lock()
            .channel_mut(id)
            .and_then(|channel| channel.handlers.pop());
        let Some(handler) = handler else { return };
        let mut parts = handler.split(',');
        let (Some(context), Some(exten)) = (parts.next(), parts.next()) else {
            continue;
        };
        let priority = parts.next().and_then(|text| text.parse().ok()).unwrap_or(1);
        if !world.lock().dialplan.has(context, exten) {
            world
                .lock()
                .record
                .note("hangup handler without its extension");
            continue;
        }
        let place = {
            let mut state = world.lock();
            state.channel_event("HangupHandlerRun", "dialplan", id, &[("Handler", &handler)]);
            state.channel_event(
                "VarSet",
                "dialplan",
                id,
                &[("Variable", "LOCAL(ARGC)"), ("Value", "0")],
            );
            state
                .channel(id)
                .map(|c| (c.context.clone(), c.exten.clone(), c.priority))
        };
        let disk = world.config.timings.disk;
        if !disk.is_zero() {
            tokio::time::sleep(disk).await;
        }
        // Its own signal: the one that ended the call must not end the handler.
        let mut quiet = watch::Sender::new(Signal::None).subscribe();
        let mut here = Here {
            world,
            id,
            signal: &mut quiet,
            script: &CallScript::answer(),
        };
        let end = run(&mut here, context, exten, priority).await;
        let mut state = world.lock();
        if matches!(end, End::Returned) {
            for name in ["ARGC", "GOSUB_RETVAL"] {
                let headers = [("Variable", name), ("Value", "")];
                state.channel_event("VarSet", "dialplan", id, &headers);
            }
        }
        if let (Some(channel), Some((context, exten, priority))) = (state.channel_mut(id), place) {
            (channel.context, channel.exten, channel.priority) = (context, exten, priority);
        }
        drop(state);
        world.changed.notify_waiters();
    }
}

/// How a walk through an extension ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// No further priority.
    Ran,
    /// `Return`.
    Returned,
    /// `Hangup` with this cause.
    HungUp(u32),
    /// Something outside ended it.
    Stopped(Stop),
}

/// Steps of one walk. A dialplan that goes round and round without waiting ends there.
const MAX_STEPS: u32 = 10_000;

/// Walks an extension from a priority on.
pub(super) async fn run(here: &mut Here<'_>, context: &str, exten: &str, mut priority: u32) -> End {
    let (mut context, mut exten) = (context.to_owned(), exten.to_owned());
    for _ in 0..MAX_STEPS {
        let Some((application, data)) = step(here, &context, &exten, priority) else {
            return End::Ran;
        };
        match application::run(here, &application, &data).await {
            // What is unknown here does nothing.
            Done::Next | Done::Unknown => priority = priority.saturating_add(1),
            Done::Goto {
                context: to_context,
                exten: to_exten,
                priority: to,
            } => {
                context = to_context.unwrap_or(context);
                exten = to_exten.unwrap_or(exten);
                priority = to;
            }
            Done::Returned => return End::Returned,
            Done::HungUp(cause) => return End::HungUp(cause),
            Done::Stopped(stop) => return End::Stopped(stop),
        }
    }
    End::Ran
}

/// Takes a channel to a step: its application and its data, the variables replaced.
fn step(here: &Here<'_>, context: &str, exten: &str, priority: u32) -> Option<(String, String)> {
    let mut state = here.world.lock();
    let step = state.dialplan.step(context, exten, priority)?.clone();
    if let Some(channel) = state.channel_mut(here.id) {
        context.clone_into(&mut channel.context);
        exten.clone_into(&mut channel.exten);
        channel.priority = priority;
    }
    let data = substitute(here.world, &state, here.id, &step.data);
    if let Some(channel) = state.channel_mut(here.id) {
        channel.application.clone_from(&step.application);
        channel.data.clone_from(&data);
    }
    let headers = [
        ("Extension", exten),
        ("Application", &step.application),
        ("AppData", &data),
    ];
    state.channel_event("Newexten", "dialplan", here.id, &headers);
    Some((step.application, data))
}

/// `Wait`'s argument: seconds with a fraction.
pub(super) fn seconds(text: &str) -> Duration {
    let value: f64 = text.trim().parse().unwrap_or(0.0);
    Duration::try_from_secs_f64(value).unwrap_or(Duration::ZERO)
}

/// `UserEvent(Name,Key: value,...)`: both `Key:value` and `Key: value` arrive as `Key: value`.
pub(super) fn user_event(world: &World, id: &str, data: &str) {
    let mut parts = data.split(',');
    let name = parts.next().unwrap_or_default();
    world.change(|state| {
        let Some(channel) = state.channel(id) else {
            return;
        };
        let mut event = channel
            .snapshot(start("UserEvent", "user"), "")
            .header("UserEvent", name);
        for part in parts {
            if let Some((key, value)) = part.split_once(':') {
                event = event.header(key.trim(), value.trim_start());
            }
        }
        state.emit("user", event);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(run_time: bool) -> Step {
        Step {
            application: "NoOp".into(),
            data: String::new(),
            run_time,
        }
    }

    #[test]
    fn a_reload_removes_what_was_added_at_run_time_only() {
        let mut plan = Dialplan::default();
        plan.add("default", "600", 1, step(false), false);
        plan.add("faxbot-outcome", "s", 1, step(true), false);
        plan.reload();
        assert!(plan.has("default", "600"));
        assert!(!plan.has("faxbot-outcome", "s"));
        assert!(plan.is_gone("faxbot-outcome", "s"));
        assert!(!plan.is_gone("elsewhere", "s"));
    }

    #[test]
    fn an_extension_is_replaced_only_when_asked() {
        let mut plan = Dialplan::default();
        assert!(plan.add("x", "s", 1, step(true), false));
        assert!(!plan.add("x", "s", 1, step(true), false));
        assert!(plan.add("x", "s", 1, step(true), true));
        assert!(plan.remove("x", "s", Some(1)));
        assert!(!plan.remove("x", "s", Some(1)));
    }
}
