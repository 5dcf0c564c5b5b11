//! The applications of the dialplan. What an `Originate` names and what a step names run alike.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    agi,
    call::{self, FOR_EVER, Stop, pause},
    channel::Signal,
    confbridge,
    dialplan::{assign, seconds, user_event},
    digits,
    expression::holds,
    fax, recording,
    world::World,
};
use crate::server::script::CallScript;

/// The channel that an application runs on.
pub(super) struct Here<'a> {
    pub world: &'a Arc<World>,
    /// `Uniqueid`.
    pub id: &'a str,
    pub signal: &'a mut watch::Receiver<Signal>,
    pub script: &'a CallScript,
}

/// How an application ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// The next step follows.
    Next,
    /// Another step follows; what is `None` stays.
    Goto {
        context: Option<String>,
        exten: Option<String>,
        priority: u32,
    },
    /// `Return`.
    Returned,
    /// `Hangup` with this cause.
    HungUp(u32),
    /// Something outside ended it.
    Stopped(Stop),
    /// There is no such application.
    Unknown,
}

impl From<Option<Stop>> for Done {
    fn from(stop: Option<Stop>) -> Self {
        stop.map_or(Self::Next, Self::Stopped)
    }
}

/// Runs an application until it returns or the channel is taken from it.
pub(super) fn run<'a>(
    here: &'a mut Here<'_>,
    name: &'a str,
    data: &'a str,
) -> Pin<Box<dyn Future<Output = Done> + Send + 'a>> {
    Box::pin(async move {
        match name.to_ascii_lowercase().as_str() {
            // Flow.
            "noop" | "verbose" | "playback" | "playtones" | "stopplaytones" => Done::Next,
            "set" => {
                if let Some((name, value)) = data.split_once('=') {
                    assign(here.world, here.id, name.trim(), value);
                }
                Done::Next
            }
            "return" => Done::Returned,
            "hangup" => Done::HungUp(data.trim().parse().unwrap_or(0)),
            "goto" => goto(data),
            "gotoif" => goto(branch(data)),
            "exec" => exec(here, data).await,
            "execif" => exec(here, branch(data)).await,
            "userevent" => {
                user_event(here.world, here.id, data);
                Done::Next
            }
            // The line.
            "answer" => {
                answer(here);
                Done::Next
            }
            "ringing" => {
                indicate(here, "RINGING");
                Done::Next
            }
            "progress" => {
                indicate(here, "PROGRESS");
                Done::Next
            }
            "wait" => pause(here.signal, seconds(data)).await.into(),
            "echo" | "park" | "waitexten" | "milliwatt" => {
                pause(here.signal, FOR_EVER).await.into()
            }
            "musiconhold" => music(here, data).await,
            "startmusiconhold" => {
                here.world.change(|state| {
                    if here.world.config.music {
                        state.start_music(here.id, class(data));
                    }
                });
                Done::Next
            }
            "stopmusiconhold" => {
                here.world.change(|state| state.stop_music(here.id));
                Done::Next
            }
            // Other parties.
            "dial" => call::dial(here, data).await,
            "confbridge" => confbridge::join(here, data).await,
            // Fax, recording, digits, incoming calls.
            "sendfax" if here.world.config.fax => {
                let sent = fax::send(here.world, here.id, data, here.script, here.signal);
                match sent.await {
                    fax::FaxEnd::Done => Done::Next,
                    fax::FaxEnd::Stopped(stop) => Done::Stopped(stop),
                }
            }
            "receivefax" if here.world.config.fax => fax::receive(here, data).await,
            "agi" => agi::run(here, data).await,
            "senddtmf" => digits::send(here, data).await,
            "mixmonitor" => recording::start_here(here, data),
            "stopmixmonitor" => recording::stop_here(here, data),
            _ => Done::Unknown,
        }
    })
}

/// `Hangup()` after a failed `Dial` keeps the cause of the leg (recording `04_pjsip_rejected_486`).
pub(super) fn hangup_cause(world: &World, id: &str, given: u32) -> u32 {
    let state = world.lock();
    let own = state.channel(id).map_or(0, |channel| channel.cause);
    [given, own].into_iter().find(|c| *c != 0).unwrap_or(16)
}

/// `[[context,]exten,]priority`. Priority labels are not known here.
fn goto(data: &str) -> Done {
    let mut parts = data.rsplit(',').map(str::trim);
    let priority = match parts.next() {
        // No label on this side of a `GotoIf`: the next step.
        None | Some("") => return Done::Next,
        Some(text) => text.parse().unwrap_or(1),
    };
    let exten = parts.next().map(str::to_owned);
    let context = parts.next().map(str::to_owned);
    Done::Goto {
        context,
        exten,
        priority,
    }
}

/// The side of `condition?yes:no` that holds.
fn branch(data: &str) -> &str {
    let (condition, sides) = data.split_once('?').unwrap_or((data, ""));
    // A colon within brackets belongs to an argument.
    let mut depth = 0_i32;
    let colon = sides.char_indices().find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        *c == ':' && depth == 0
    });
    let at = colon.map_or(sides.len(), |(at, _)| at);
    let (yes, no) = sides.split_at_checked(at).unwrap_or((sides, ""));
    if holds(condition) {
        yes
    } else {
        no.trim_start_matches(':')
    }
}

/// `App(arguments)`.
async fn exec(here: &mut Here<'_>, text: &str) -> Done {
    let text = text.trim();
    if text.is_empty() {
        return Done::Next;
    }
    let (name, data) = text.split_once('(').unwrap_or((text, ""));
    let data = data.strip_suffix(')').unwrap_or(data);
    match run(here, name.trim(), data).await {
        Done::Unknown => Done::Next,
        done => done,
    }
}

fn answer(here: &Here<'_>) {
    let now = here.world.now();
    here.world.change(|state| {
        if state.channel(here.id).is_some_and(|c| c.state != 6) {
            state.set_state(here.id, 6, now);
        }
    });
}

/// Ringing or sound before the answer, for those who called this end of a Local channel.
fn indicate(here: &Here<'_>, status: &str) {
    let now = here.world.now();
    here.world.change(|state| {
        let Some(half) = state.channel(here.id).and_then(|c| c.half.clone()) else {
            return;
        };
        let Some(by) = state.channel(&half).map(|c| (c.state, c.by.clone())) else {
            return;
        };
        if by.0 == 0 && status == "RINGING" {
            state.set_state(&half, 5, now);
        }
        let header = ("DialStatus", status);
        state.dial_event("DialState", by.1.as_deref(), &half, header);
    });
}

fn class(data: &str) -> &str {
    let class = data.split(',').next().unwrap_or_default().trim();
    if class.is_empty() { "default" } else { class }
}

/// `MusicOnHold(class,seconds)`. Without any music it returns at once, as a real server without
/// sound files does.
async fn music(here: &mut Here<'_>, data: &str) -> Done {
    if !here.world.config.music {
        return Done::Next;
    }
    let time = data.split_once(',').map(|(_, time)| seconds(time));
    let time = time.filter(|time| *time > Duration::ZERO);
    here.world
        .change(|state| state.start_music(here.id, class(data)));
    let stop = pause(here.signal, time.unwrap_or(FOR_EVER)).await;
    here.world.change(|state| state.stop_music(here.id));
    stop.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_taken_by_its_condition() {
        for (data, side) in [
            ("1?Wait(86400)", "Wait(86400)"),
            ("0?Wait(86400)", ""),
            ("0?Set(A=b:c):NoOp(d)", "NoOp(d)"),
            ("1?Set(A=b:c):NoOp(d)", "Set(A=b:c)"),
            ("?3:4", "4"),
        ] {
            assert_eq!(branch(data), side, "{data}");
        }
    }

    #[test]
    fn a_goto_names_a_priority_an_extension_or_a_context() {
        let to = |context: Option<&str>, exten: Option<&str>, priority| Done::Goto {
            context: context.map(str::to_owned),
            exten: exten.map(str::to_owned),
            priority,
        };
        assert_eq!(goto("4"), to(None, None, 4));
        assert_eq!(goto("s,1"), to(None, Some("s"), 1));
        assert_eq!(goto("other,s,2"), to(Some("other"), Some("s"), 2));
        assert_eq!(goto(""), Done::Next);
    }
}
