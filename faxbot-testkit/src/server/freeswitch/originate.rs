//! `originate`: its line, the dial string, and the race of its legs (recordings `03_*`,
//! `09_hook_other_ways`).

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    cause::{self, Cause},
    channel::{By, is_true},
    hangup, leg,
    leg::Leg,
    program::Program,
    quoting,
    world::World,
};

pub(super) const USAGE: &str = "-USAGE: <call url> <exten>|&<application_name>(<app_args>) \
                                [<dialplan>] [<context>] [<cid_name>] [<cid_num>] \
                                [<timeout_sec>]\n";

/// How long an originate waits unless it says otherwise (`switch_ivr_originate`).
const TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait that can be asked for.
const LONGEST: u64 = 30 * 24 * 3600;

/// What a call is asked for with, beside its dial string.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    /// The channel that dials, if one does.
    pub by: Option<String>,
    pub name: Option<String>,
    pub number: Option<String>,
    pub timeout: Option<Duration>,
}

/// The API command: `+OK uuid`, or the cause.
pub(super) async fn originate(world: &Arc<World>, args: &str) -> String {
    let argv = quoting::separate(args, ' ', 10);
    let given = |at: usize| {
        let text = argv.get(at).map(String::as_str);
        text.filter(|text| !text.is_empty() && *text != "undef")
    };
    let (Some(url), Some(exten)) = (given(0), given(1)) else {
        return USAGE.to_owned();
    };
    let timeout = given(6).and_then(seconds);
    let options = Options {
        by: None,
        name: given(4).map(str::to_owned),
        number: given(5).map(str::to_owned),
        timeout,
    };
    match dial(world, url, &options).await {
        Ok(id) => {
            let program = Program::read(exten, given(2), given(3));
            leg::start(world, &id, program);
            format!("+OK {id}\n")
        }
        Err(cause) => format!("-ERR {cause}\n"),
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: u64 = text.trim().parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds.min(LONGEST)))
}

/// Calls a dial string; the answer is the channel that was answered first, or that has sound first.
///
/// Groups behind `|` are called one after the other, legs behind `,` at once.
pub(super) async fn dial(
    world: &Arc<World>,
    url: &str,
    options: &Options,
) -> Result<String, Cause> {
    let mut globals = Vec::new();
    let mut rest = url.trim_start();
    while rest.starts_with('{') {
        let (inner, after) = quoting::brackets(rest, '{', '}').ok_or("DESTINATION_OUT_OF_ORDER")?;
        globals.extend(quoting::variables(inner));
        rest = after.trim_start();
    }
    let mut failed = "DESTINATION_OUT_OF_ORDER";
    for group in outside_brackets(rest, '|') {
        let legs: Vec<_> = outside_brackets(group, ',')
            .into_iter()
            .map(|text| read_leg(&globals, text))
            .collect();
        match race(world, &legs, options).await {
            Ok(id) => return Ok(id),
            Err(cause) => failed = cause,
        }
    }
    Err(failed)
}

/// The variables of a leg over those of the line, and its dial string. Without
/// `origination_nested_vars=true` a value with `${` is dropped in silence.
fn read_leg(globals: &[(String, String)], text: &str) -> (Vec<(String, String)>, String) {
    let mut own = Vec::new();
    let mut rest = text.trim();
    while rest.starts_with('[') {
        let Some((inner, after)) = quoting::brackets(rest, '[', ']') else {
            break;
        };
        own.extend(quoting::variables(inner));
        rest = after.trim_start();
    }
    let mut all = globals.to_vec();
    for (name, value) in own {
        all.retain(|(known, _)| *known != name);
        all.push((name, value));
    }
    let nested = ("origination_nested_vars".to_owned(), "true".to_owned());
    if !globals.contains(&nested) {
        all.retain(|(_, value)| !value.contains("${"));
    }
    (all, rest.to_owned())
}

/// Splits at a character that is in no bracket.
fn outside_brackets(text: &str, at: char) -> Vec<&str> {
    let mut depth = 0_u32;
    let mut pieces = Vec::new();
    let mut start = 0;
    for (index, c) in text.char_indices() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth = depth.saturating_sub(1),
            c if c == at && depth == 0 => {
                pieces.extend(text.get(start..index));
                start = index + c.len_utf8();
            }
            _ => {}
        }
    }
    pieces.extend(text.get(start..));
    pieces
}

/// Calls all legs at once; the first that is up is it, the others have lost.
async fn race(
    world: &Arc<World>,
    legs: &[(Vec<(String, String)>, String)],
    options: &Options,
) -> Result<String, Cause> {
    let (results, mut ended) = mpsc::unbounded_channel();
    let mut failed = "DESTINATION_OUT_OF_ORDER";
    let mut opened = Vec::new();
    for (vars, target) in legs {
        match leg::open(world, target, vars, options) {
            Ok(leg) => opened.push(leg),
            Err(cause) => failed = cause,
        }
    }
    for leg in &opened {
        let (world_too, leg_too) = (Arc::clone(world), leg.clone());
        let results = results.clone();
        let timeout = timeout(leg, options);
        world.spawn(async move {
            let early = !is_set(&leg_too, "ignore_early_media");
            let result = leg::ring(&world_too, &leg_too, timeout, early).await;
            let _not_waiting = results.send((leg_too.id, result));
        });
    }
    drop(results);
    let mut winner = None;
    while let Some((id, result)) = ended.recv().await {
        match result {
            Ok(()) => {
                winner = Some(id);
                break;
            }
            Err(cause) => failed = cause,
        }
    }
    let winner = winner.ok_or(failed)?;
    world.with(|state| {
        for leg in opened.iter().filter(|leg| leg.id != winner) {
            state.hang_up(&leg.id, "LOSE_RACE", By::Here);
        }
    });
    let mut late = Vec::new();
    while let Ok((id, result)) = ended.try_recv() {
        late.extend(result.is_ok().then_some(id));
    }
    for id in late {
        hangup::end(world, &id).await;
    }
    leg::up(world, &winner, options);
    Ok(winner)
}

fn is_set(leg: &Leg, name: &str) -> bool {
    let value = leg.vars.iter().find(|(known, _)| known == name);
    value.is_some_and(|(_, value)| is_true(value) || value == "consume" || value == "ring_ready")
}

fn timeout(leg: &Leg, options: &Options) -> Duration {
    let named = |name: &str| {
        let value = leg.vars.iter().find(|(known, _)| known == name);
        value.and_then(|(_, value)| seconds(value))
    };
    ["leg_timeout", "originate_timeout", "call_timeout"]
        .into_iter()
        .find_map(named)
        .or(options.timeout)
        .unwrap_or(TIMEOUT)
}

/// The cause in an answer of `originate`, for who asked by another way.
pub(super) fn failure(cause: Cause) -> Cause {
    if cause.is_empty() {
        cause::NORMAL
    } else {
        cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_in_brackets_separates_nothing() {
        assert_eq!(
            outside_brackets("[a=1,b=2]x/1,y/2", ','),
            ["[a=1,b=2]x/1", "y/2"]
        );
    }

    #[test]
    fn a_value_with_a_variable_needs_the_word_that_allows_it() {
        let hook = ("hook".to_owned(), "x ${y}".to_owned());
        let (vars, target) = read_leg(std::slice::from_ref(&hook), "[a=b]sofia/x/1");
        assert_eq!(vars, [("a".to_owned(), "b".to_owned())]);
        assert_eq!(target, "sofia/x/1");
        let nested = ("origination_nested_vars".to_owned(), "true".to_owned());
        let (vars, _) = read_leg(&[nested, hook.clone()], "sofia/x/1");
        assert!(vars.contains(&hook));
    }
}
