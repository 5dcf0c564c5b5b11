//! `Command`: the few CLI commands that clients of the SDK use, with the output of Asterisk 22.10
//! (recordings `02_command_cli`, `11_preflight_stat_by_runtime_extension`).

use std::sync::Arc;

use super::{
    SeenAction,
    connection::{Answer, error, response},
    world::World,
};
use crate::server::{base::Closing, mock};

pub(super) fn command(world: &Arc<World>, action: &SeenAction) -> Answer {
    let Some(command) = action.get("Command").filter(|text| !text.is_empty()) else {
        return error(action, "No command provided");
    };
    let words: Vec<&str> = command.split_whitespace().collect();
    let version = if world.v16() {
        "16.28.0~dfsg-0+deb11u4"
    } else {
        "22.10.1"
    };
    match words.as_slice() {
        ["module", "load" | "unload", ..] | ["core", "restart", "gracefully"] => {
            error(action, "Command blacklisted")
        }
        ["dialplan", "reload"] => {
            world.change(|state| state.dialplan.reload());
            output(action, true, &["Dialplan reloaded."])
        }
        ["dialplan", "show", place] => show(world, action, place),
        ["core", "show", "version"] => {
            let line = format!("Asterisk {version} built by root @ localhost on a x86_64");
            output(action, true, &[&line])
        }
        ["core", "show", "uptime"] => {
            let seconds = world.now().duration_since(world.lock().started).as_secs();
            let up = format!("System uptime: {seconds} seconds");
            output(
                action,
                true,
                &[&up, &format!("Last reload: {seconds} seconds")],
            )
        }
        ["core", "show", "channels", ..] => {
            let state = world.lock();
            let mut lines: Vec<String> = state
                .channels
                .iter()
                .map(|channel| channel.name.clone())
                .collect();
            lines.push(format!("{} active channels", state.channels.len()));
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            output(action, true, &lines)
        }
        ["core", "restart" | "stop", "now"] => {
            // No response: the session itself goes down (observed on Asterisk 16.28 and 22.10).
            let restart = words.get(1) == Some(&"restart");
            mock::stop(world, true, restart);
            if restart {
                let world_too = Arc::clone(world);
                world.spawn_free(async move { mock::start_again(&world_too) });
            }
            Answer {
                messages: Vec::new(),
                fault: None,
                close: false,
            }
        }
        ["cdr", "show", "status"] => {
            let mut lines = vec![
                "",
                "Call Detail Record (CDR) settings",
                "----------------------------------",
                "  Logging:                    Enabled",
                "  Mode:                       Simple",
                "* Registered Backends",
                "  -------------------",
            ];
            if world.config.cdr {
                lines.push("    cdr_manager");
            }
            output(action, true, &lines)
        }
        ["manager", "kick", "session", ..] => {
            world.change(|state| {
                state.close_all(Closing::Drained);
            });
            output(action, true, &[])
        }
        ["module", "show", "like", like] => {
            let loaded = world.config.fax && "res_fax_spandsp.so".contains(like);
            let lines: &[&str] = if loaded {
                &["res_fax.so    Generic FAX Applications    1    Running    core"]
            } else {
                &["0 modules loaded"]
            };
            output(action, true, lines)
        }
        _ => {
            let head: Vec<&str> = words.iter().copied().take(2).collect();
            let line = format!(
                "No such command '{command}' (type 'core show help {}' for other possible \
                 commands)",
                head.join(" ")
            );
            output(action, false, &[&line])
        }
    }
}

fn show(world: &World, action: &SeenAction, place: &str) -> Answer {
    let (exten, context) = match place.split_once('@') {
        Some((exten, context)) => (Some(exten), context),
        None => (None, place),
    };
    let state = world.lock();
    let steps = state.dialplan.list(Some(context));
    if steps.is_empty() {
        let gone = format!("There is no existence of '{context}' context");
        let failed = format!("Command 'dialplan show {place}' failed.");
        return output(action, false, &[&gone, &failed]);
    }
    let mut lines = vec![format!("[ Context '{context}' created by 'manager' ]")];
    for (_, at, priority, step) in steps {
        if exten.is_none_or(|exten| exten == at) {
            lines.push(format!(
                "  '{at}' =>          {priority}. {}({})",
                step.application, step.data
            ));
        }
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    output(action, true, &lines)
}

fn output(action: &SeenAction, good: bool, lines: &[&str]) -> Answer {
    let word = if good { "Success" } else { "Error" };
    let mut reply = response(action, word).header("Message", "Command output follows");
    for line in lines {
        reply = reply.header("Output", line);
    }
    Answer::one(reply)
}
