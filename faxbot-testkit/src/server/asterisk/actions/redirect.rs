//! `Redirect` and `AbsoluteTimeout`.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::{
        SeenAction,
        channel::Signal,
        connection::{Answer, error, success},
        world::World,
    },
    given,
};

/// One channel, or two in one move that does not hang up either (recordings `05_redirect`,
/// `05_redirect_both_legs`).
pub(super) fn redirect(world: &World, action: &SeenAction) -> Answer {
    let Some(name) = given(action, "Channel") else {
        return error(action, "Channel not specified");
    };
    let Some(context) = given(action, "Context") else {
        return error(action, "Context not specified");
    };
    let Some(exten) = given(action, "Exten") else {
        return error(action, "Exten not specified");
    };
    let Some(priority) = given(action, "Priority") else {
        return error(action, "Priority not specified");
    };
    let state = world.lock();
    let Some(channel) = state.find(name) else {
        return error(action, &format!("Channel does not exist: {name}"));
    };
    let extra = match given(action, "ExtraChannel") {
        Some(extra) => match state.find(extra) {
            Some(extra) => Some(extra),
            None => return error(action, &format!("ExtraChannel does not exist: {extra}")),
        },
        None => None,
    };
    let to = |context: &str, exten: &str, priority: &str| Signal::Redirect {
        context: context.to_owned(),
        exten: exten.to_owned(),
        priority: priority.parse().unwrap_or(1),
    };
    // Both are told before either moves, as no task runs meanwhile.
    channel.signal.send_replace(to(context, exten, priority));
    let Some(extra) = extra else {
        return success(action, "Redirect successful");
    };
    let target = match given(action, "ExtraContext") {
        Some(context) => to(
            context,
            given(action, "ExtraExten").unwrap_or(exten),
            given(action, "ExtraPriority").unwrap_or(priority),
        ),
        None => to(context, exten, priority),
    };
    extra.signal.send_replace(target);
    success(action, "Dual Redirect successful")
}

/// Seconds with a fraction. It cannot be taken away: 0 is refused (seen on 16.28 and 22.10).
pub(super) fn absolute_timeout(world: &World, action: &SeenAction) -> Answer {
    let Some(name) = given(action, "Channel") else {
        return error(action, "No channel specified");
    };
    let time = given(action, "Timeout").and_then(|text| text.parse::<f64>().ok());
    let time = time.and_then(|time| Duration::try_from_secs_f64(time).ok());
    let Some(time) = time.filter(|time| !time.is_zero()) else {
        return error(action, "No timeout specified");
    };
    let state = world.lock();
    let Some(channel) = state.find(name) else {
        return error(action, "No such channel");
    };
    channel.limit.send_replace(Some(Instant::now() + time));
    success(action, "Timeout Set")
}
