//! The mock's dialplan: what the operator wrote and what was added at run time, and the few
//! applications that both may use.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    call::{self, Stop},
    channel::Signal,
    fax,
    script::CallScript,
    substitute::substitute,
    world::{World, start},
};

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
    let name = name.trim_start_matches('_');
    let Some((function, argument)) = name.strip_suffix(')').and_then(|n| n.split_once('(')) else {
        state.set_var(id, name, value);
        return;
    };
    match function {
        "DB" => {
            state.db.insert(format!("/{argument}"), value.to_owned());
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
        "CHANNEL" | "CALLERID" | "TIMEOUT" => {
            if let Some(channel) = state.channel_mut(id) {
                match (name, &mut channel.caller) {
                    ("CALLERID(num)", Some(party)) => value.clone_into(&mut party.number),
                    ("CALLERID(name)", Some(party)) => value.clone_into(&mut party.name),
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
        // Its own signal: the one that ended the call must not end the handler.
        let mut quiet = watch::Sender::new(Signal::None).subscribe();
        let end = run(world, id, context, exten, priority, &mut quiet, None).await;
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

/// Walks an extension from a priority on.
pub(super) fn run<'a>(
    world: &'a Arc<World>,
    id: &'a str,
    context: &'a str,
    exten: &'a str,
    from: u32,
    signal: &'a mut watch::Receiver<Signal>,
    script: Option<&'a CallScript>,
) -> Pin<Box<dyn Future<Output = End> + Send + 'a>> {
    Box::pin(async move {
        for priority in from.. {
            let step = world
                .lock()
                .dialplan
                .step(context, exten, priority)
                .cloned();
            let Some(step) = step else { return End::Ran };
            let data = {
                let mut state = world.lock();
                if let Some(channel) = state.channel_mut(id) {
                    context.clone_into(&mut channel.context);
                    exten.clone_into(&mut channel.exten);
                    channel.priority = priority;
                }
                let data = substitute(world, &state, id, &step.data);
                if let Some(channel) = state.channel_mut(id) {
                    channel.application.clone_from(&step.application);
                    channel.data.clone_from(&data);
                }
                state.channel_event(
                    "Newexten",
                    "dialplan",
                    id,
                    &[
                        ("Extension", exten),
                        ("Application", &step.application),
                        ("AppData", &data),
                    ],
                );
                data
            };
            match step.application.to_ascii_lowercase().as_str() {
                "set" => {
                    if let Some((name, value)) = data.split_once('=') {
                        assign(world, id, name.trim(), value);
                    }
                }
                "return" => return End::Returned,
                "hangup" => return End::HungUp(data.trim().parse().unwrap_or(0)),
                "answer" => {
                    let now = world.now();
                    world.change(|state| {
                        if state.channel(id).is_some_and(|channel| channel.state != 6) {
                            state.set_state(id, 6, now);
                        }
                    });
                }
                "userevent" => user_event(world, id, &data),
                "sendfax" => {
                    let script = script.cloned().unwrap_or_else(CallScript::answer);
                    match fax::send(world, id, &data, &script, signal).await {
                        fax::FaxEnd::Done => {}
                        fax::FaxEnd::Stopped(stop) => return End::Stopped(stop),
                    }
                }
                "wait" => {
                    let time = seconds(&data);
                    if let Some(stop) = call::pause(signal, time).await {
                        return End::Stopped(stop);
                    }
                }
                "echo" | "musiconhold" | "park" | "waitexten" => {
                    if let Some(stop) = call::pause(signal, call::FOR_EVER).await {
                        return End::Stopped(stop);
                    }
                }
                _ => {}
            }
        }
        End::Ran
    })
}

/// `Wait`'s argument: seconds with a fraction.
pub(super) fn seconds(text: &str) -> Duration {
    let value: f64 = text.trim().parse().unwrap_or(0.0);
    Duration::try_from_secs_f64(value).unwrap_or(Duration::ZERO)
}

/// `UserEvent(Name,Key: value,...)`: both `Key:value` and `Key: value` arrive as `Key: value`.
fn user_event(world: &World, id: &str, data: &str) {
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
