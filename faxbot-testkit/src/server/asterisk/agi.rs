//! `AGI(agi:async)`: a channel that does what clients put into its queue (recording
//! `11_asyncagi_incoming_accept`, `res/res_agi.c`).

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Notify;

use super::{
    application::{self, Done, Here},
    call::{FOR_EVER, Stop, pause},
    channel::{Channel, Signal},
    dialplan, incoming,
    substitute::{substitute, value},
    world::World,
};

/// Most commands that wait on one channel.
const MAX_QUEUE: usize = 1000;

/// What clients want of one channel. It stays when AGI ends: what comes later is taken and never
/// run, as in Asterisk.
#[derive(Debug, Default)]
pub(super) struct Queue {
    commands: VecDeque<(String, Option<String>)>,
    wake: Arc<Notify>,
}

/// Puts a command into the queue of a channel; false when it was never in AGI.
pub(super) fn queue(world: &World, id: &str, command: &str, command_id: Option<&str>) -> bool {
    let state = &mut *world.lock();
    let Some(queue) = state.features.agi.get_mut(id) else {
        return false;
    };
    if queue.commands.len() >= MAX_QUEUE {
        return false;
    }
    let command_id = command_id.map(str::to_owned);
    queue.commands.push_back((command.to_owned(), command_id));
    queue.wake.notify_one();
    true
}

/// How one command ended.
struct Ran {
    /// The line that AGI writes, without its end.
    line: String,
    code: i32,
    word: &'static str,
    then: Then,
}

enum Then {
    More,
    /// AGI ends with this `AGISTATUS`, and the dialplan goes on.
    End(&'static str),
    Stop(Stop),
}

impl Ran {
    fn good(result: impl std::fmt::Display) -> Self {
        Self {
            line: format!("200 result={result}"),
            code: 200,
            word: "Success",
            then: Then::More,
        }
    }
}

/// Runs AGI on a channel until it ends.
pub(super) async fn run(here: &mut Here<'_>, data: &str) -> Done {
    let (world, id) = (here.world, here.id);
    if data.split(',').next() != Some("agi:async") {
        world.change(|state| state.set_var(id, "AGISTATUS", "FAILURE"));
        return Done::Next;
    }
    let wake = world.change(|state| {
        let wake = Arc::clone(&state.features.agi.entry(id.to_owned()).or_default().wake);
        let env = state
            .channel(id)
            .map(|channel| environment(channel, data, world.v16()));
        let env = encode(&env.unwrap_or_default());
        state.channel_event("AsyncAGIStart", "agi", id, &[("Env", &env)]);
        wake
    });
    let (status, mut stop) = loop {
        let next = world
            .lock()
            .features
            .agi
            .get_mut(id)
            .and_then(|queue| queue.commands.pop_front());
        let Some((command, command_id)) = next else {
            tokio::select! {
                biased;
                stop = pause(here.signal, FOR_EVER) => {
                    break ("HANGUP", Some(stop.unwrap_or(Stop::Here(0))));
                }
                () = wake.notified() => continue,
            }
        };
        // The channel looks into its queue ten times a second.
        if let Some(stop) = pause(here.signal, world.config.timings.setup).await {
            break ("HANGUP", Some(stop));
        }
        let then = execute(here, &command, command_id.as_deref()).await;
        match then {
            Then::More => {}
            Then::End(status) => break (status, None),
            Then::Stop(stop) => break ("HANGUP", Some(stop)),
        }
    };
    world.change(|state| {
        if let Some(Stop::Far(_)) = &stop {
            incoming::left(world, state, id);
            stop = Some(Stop::Here(0));
        }
        state.channel_event("AsyncAGIEnd", "agi", id, &[]);
        state.set_var(id, "AGISTATUS", status);
    });
    stop.into()
}

async fn execute(here: &mut Here<'_>, command: &str, command_id: Option<&str>) -> Then {
    let (world, id) = (here.world, here.id);
    let number = world.change(|state| {
        state.names = state.names.wrapping_add(1);
        // Asterisk draws it at random; it is not the client's `CommandID`.
        let number = (u64::from(state.names) * 2_654_435_761 % 2_147_483_647).to_string();
        let headers = [("CommandId", number.as_str()), ("Command", command)];
        state.channel_event("AGIExecStart", "agi", id, &headers);
        number
    });
    let ran = perform(here, command).await;
    world.change(|state| {
        let code = ran.code.to_string();
        let headers = [
            ("CommandId", number.as_str()),
            ("Command", command),
            ("ResultCode", code.as_str()),
            ("Result", ran.word),
        ];
        state.channel_event("AGIExecEnd", "agi", id, &headers);
        let result = encode(&format!("{}\n", ran.line));
        let mut headers = vec![("Result", result.as_str())];
        headers.extend(command_id.map(|id| ("CommandId", id)));
        state.channel_event("AsyncAGIExec", "agi", id, &headers);
    });
    ran.then
}

async fn perform(here: &mut Here<'_>, command: &str) -> Ran {
    let (world, id) = (here.world, here.id);
    let words = arguments(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    match upper.as_slice() {
        ["ANSWER"] => {
            let now = world.now();
            world.change(|state| {
                if state.channel(id).is_some_and(|channel| channel.state != 6) {
                    state.set_state(id, 6, now);
                }
            });
            Ran::good(0)
        }
        ["NOOP", ..] => Ran::good(0),
        ["VERBOSE", ..] => Ran::good(1),
        ["CHANNEL", "STATUS"] => {
            let state = world.lock();
            Ran::good(state.channel(id).map_or(-1, |c| i32::from(c.state)))
        }
        ["HANGUP"] => {
            world.change(|state| {
                state.hangup_request("SoftHangupRequest", id, Some(16));
                state.signal(id, Signal::Hangup { cause: 0 });
            });
            Ran::good(1)
        }
        ["HANGUP", _] => {
            let state = world.lock();
            let Some(other) = state.find(word(1)) else {
                return Ran::good(-1);
            };
            other.tell(Signal::Hangup { cause: 0 });
            Ran::good(1)
        }
        ["SET", "VARIABLE", _, _] => {
            dialplan::assign(world, id, word(2), word(3));
            Ran::good(1)
        }
        ["GET", "VARIABLE", _] => {
            let state = world.lock();
            let value = value(world, &state, id, word(2));
            drop(state);
            if value.is_empty() {
                Ran::good(0)
            } else {
                Ran::good(format_args!("1 ({value})"))
            }
        }
        ["GET", "FULL", "VARIABLE", _] => {
            let state = world.lock();
            let value = substitute(world, &state, id, word(3));
            Ran::good(format_args!("1 ({value})"))
        }
        ["STREAM", "FILE", _, ..] => Ran::good("0 endpos=0"),
        ["ASYNCAGI", "BREAK"] => Ran {
            then: Then::End("SUCCESS"),
            ..Ran::good(0)
        },
        ["EXEC", _, ..] => exec(here, word(1), word(2)).await,
        _ => Ran {
            line: "510 Invalid or unknown command".to_owned(),
            code: 510,
            word: "Invalid or unknown command",
            then: Then::More,
        },
    }
}

/// `EXEC`: only the first argument reaches the application, and nothing in it is replaced.
async fn exec(here: &mut Here<'_>, application: &str, data: &str) -> Ran {
    if let Some(channel) = here.world.lock().channel_mut(here.id) {
        application.clone_into(&mut channel.application);
        data.clone_into(&mut channel.data);
    }
    let done = application::run(here, application, data).await;
    if let Some(channel) = here.world.lock().channel_mut(here.id) {
        "AGI".clone_into(&mut channel.application);
        "agi:async".clone_into(&mut channel.data);
    }
    let failed = |result: i32, then| Ran {
        word: "Unknown Result",
        then,
        ..Ran::good(result)
    };
    match done {
        Done::Unknown => failed(-2, Then::More),
        Done::Next | Done::Goto { .. } | Done::Returned => Ran::good(0),
        Done::HungUp(cause) if application.eq_ignore_ascii_case("hangup") => {
            failed(-1, Then::Stop(Stop::Here(cause)))
        }
        // The other party of a `Dial` hung up: the channel lives on, and so does AGI.
        Done::HungUp(_) => failed(-1, Then::More),
        Done::Stopped(_) if *here.signal.borrow() == Signal::None => failed(-1, Then::More),
        Done::Stopped(stop) => failed(-1, Then::Stop(stop)),
    }
}

/// The words of a command: quotes keep blanks together, a backslash keeps the next character.
fn arguments(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            ' ' | '\t' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// What the program of a classic AGI reads first.
fn environment(channel: &Channel, data: &str, v16: bool) -> String {
    let party = channel.caller.clone().unwrap_or_default();
    let or_unknown = |text: &str| {
        if text.is_empty() {
            "unknown".to_owned()
        } else {
            text.to_owned()
        }
    };
    let kind = channel.name.split('/').next().unwrap_or_default();
    let version = if v16 {
        "16.28.0~dfsg-0+deb11u4"
    } else {
        "22.10.1"
    };
    let priority = channel.priority.to_string();
    let mut lines = vec![
        ("request", "async"),
        ("channel", &channel.name),
        ("language", "en"),
        ("type", kind),
        ("uniqueid", &channel.id),
        ("version", version),
    ];
    let (number, name) = (or_unknown(&party.number), or_unknown(&party.name));
    let dialled = or_unknown(&channel.dialled);
    lines.extend([
        ("callerid", number.as_str()),
        ("calleridname", name.as_str()),
        ("callingpres", "0"),
        ("callingani2", "0"),
        ("callington", "0"),
        ("callingtns", "0"),
        ("dnid", dialled.as_str()),
        ("rdnis", "unknown"),
        ("context", &channel.context),
        ("extension", &channel.exten),
        ("priority", &priority),
        ("enhanced", "0.0"),
        ("accountcode", &channel.account),
        ("threadid", "140412144068288"),
    ]);
    let mut text = String::new();
    for (name, value) in lines {
        text.push_str(&format!("agi_{name}: {value}\n"));
    }
    for (number, argument) in data.split(',').skip(1).enumerate() {
        text.push_str(&format!("agi_arg_{}: {argument}\n", number + 1));
    }
    text.push('\n');
    text
}

/// `ast_uri_encode` with `ast_uri_http`: everything but letters, digits and `-_.!~*'()`.
fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_at_blanks_outside_of_quotes() {
        for (command, words) in [
            ("EXEC Playback beep", vec!["EXEC", "Playback", "beep"]),
            ("STREAM FILE x \"\"", vec!["STREAM", "FILE", "x", ""]),
            ("EXEC Set \"A=b c\"", vec!["EXEC", "Set", "A=b c"]),
            ("  NOOP  a\\ b ", vec!["NOOP", "a b"]),
            ("", vec![]),
        ] {
            assert_eq!(arguments(command), words, "{command}");
        }
    }

    #[test]
    fn a_result_is_encoded_as_recorded() {
        assert_eq!(
            encode("200 result=1 (+15551230000)\n"),
            "200%20result%3D1%20(%2B15551230000)%0A"
        );
    }
}
