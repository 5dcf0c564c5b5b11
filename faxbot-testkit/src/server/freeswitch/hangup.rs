//! The end of a channel: what it says, its hooks, and that it is gone (recordings `03_*`,
//! `09_hook_*`).

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use faxbot_core::Timestamp;

use super::{
    api, cause,
    channel::{By, Channel, State as ChannelState, micros},
    event::stamp,
    expand::expand,
    recording,
    world::{State, World},
};

/// Ends a channel that is hung up: states, hooks, `CHANNEL_HANGUP_COMPLETE`. Nothing happens to one
/// that is not, or that is gone.
pub(super) fn end<'a>(
    world: &'a Arc<World>,
    id: &'a str,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        let hook = world.with(|state| {
            let channel = state.channels.get_mut(id)?;
            channel.ended?;
            if matches!(
                channel.state,
                ChannelState::Hangup | ChannelState::Reporting
            ) {
                // Somebody else is at it.
                return None;
            }
            state.leave_bridge(id);
            state.set_state(id, ChannelState::Hangup);
            state.set_callstate(id, "HANGUP");
            write_end(state, id);
            Some(state.var(id, "api_hangup_hook"))
        });
        let Some(hook) = hook else { return };
        recording::stop_all(world, id);
        run_hook(world, id, hook).await;
        let hook = world.with(|state| {
            state.set_state(id, ChannelState::Reporting);
            state.var(id, "api_reporting_hook")
        });
        run_hook(world, id, hook).await;
        world.with(|state| {
            state.tell("CHANNEL_HANGUP_COMPLETE", id);
            state.tell("CHANNEL_DESTROY", id);
            state.set_state(id, ChannelState::Destroy);
            gone(state, id);
        });
    })
}

/// Runs an API command that a variable holds, with the variables of the channel in it.
async fn run_hook(world: &Arc<World>, id: &str, hook: Option<String>) {
    let Some(hook) = hook else { return };
    let (name, args) = match hook.split_once("::") {
        Some((name, args)) if !name.contains(' ') => (name, args),
        _ => hook.split_once(' ').unwrap_or((&hook, "")),
    };
    let args = expand(&world.lock(), id, args);
    api::run(world, name, &args).await;
}

fn gone(state: &mut State, id: &str) {
    let Some(channel) = state.channels.remove(id) else {
        return;
    };
    let cause = channel.ended.map_or(cause::NORMAL, |(cause, _)| cause);
    if let Some(caller) = state.callers.get_mut(id) {
        caller.ended = Some(cause::q850(cause));
    }
    for other in [&channel.other, &channel.half].into_iter().flatten() {
        if let Some(other) = state.channels.get_mut(other) {
            if other.other.as_deref() == Some(id) {
                other.other = None;
            }
            other.tell();
        }
    }
    if let Some(half) = channel.half
        && state.hang_up(&half, cause, By::Far)
    {
        // Nothing runs the other half of a loopback channel.
        let runs = state.channels.get(&half).is_some_and(|half| half.runs);
        if !runs {
            state.set_state(&half, ChannelState::Hangup);
            state.set_callstate(&half, "HANGUP");
            write_end(state, &half);
            state.set_state(&half, ChannelState::Reporting);
            state.tell("CHANNEL_HANGUP_COMPLETE", &half);
            state.tell("CHANNEL_DESTROY", &half);
            state.set_state(&half, ChannelState::Destroy);
            state.channels.remove(&half);
        }
    }
}

/// The variables that are set when a channel has ended (`switch_channel_set_timestamps`,
/// `sofia_on_hangup`).
fn write_end(state: &mut State, id: &str) {
    let Some(channel) = state.channels.get_mut(id) else {
        return;
    };
    let Some((cause, by)) = channel.ended else {
        return;
    };
    if channel.is_sofia() {
        sip_end(channel, by, cause);
    }
    let set = &mut channel.vars;
    set.set("hangup_cause", cause);
    set.set("hangup_cause_q850", &cause::q850(cause).to_string());
    set.set("digits_dialed", "none");
    let times = channel.times;
    let end = times.hangup.unwrap_or(state.now);
    let start = times.created.unwrap_or(end);
    let marks = [
        ("start", Some(start)),
        ("profile_start", Some(start)),
        ("answer", times.answered),
        ("bridge", times.bridged),
        ("progress", times.progress),
        ("progress_media", times.progress_media),
        ("end", Some(end)),
    ];
    for (name, at) in marks {
        if let Some(at) = at {
            set.set(&format!("{name}_stamp"), &stamp(at));
        }
        let epoch = at.map_or(0, Timestamp::as_second);
        set.set(&format!("{name}_epoch"), &epoch.to_string());
        set.set(&format!("{name}_uepoch"), &micros(at));
    }
    if !channel.application.is_empty() {
        set.set("last_app", &channel.application);
        set.set("last_arg", &channel.data);
    }
    let number = &channel.profile.number;
    set.set(
        "caller_id",
        &format!("\"{}\" <{number}>", channel.profile.name),
    );
    let billed = times.answered.map(|at| end.duration_since(at));
    let times = [
        ("duration", end.duration_since(start)),
        ("billsec", billed.unwrap_or_default()),
        ("flow_billsec", end.duration_since(start)),
    ];
    for (name, time) in times {
        set.set(name, &time.as_secs().to_string());
    }
    let millis = |time: Duration| time.as_millis().to_string();
    set.set("mduration", &millis(end.duration_since(start)));
    set.set("billmsec", &millis(billed.unwrap_or_default()));
}

/// What SIP says of the end (recordings `09_hook_more_variables`, `09_inbound_park_decide`).
fn sip_end(channel: &mut Channel, by: By, cause: &str) {
    let answered = channel.times.answered.is_some();
    let status = match (by, channel.inbound, answered) {
        (By::Far, true, false) => Some(487),
        (By::Far, _, _) => Some(200),
        (By::Refusal(status), ..) => Some(status),
        (By::Here, ..) => None,
    };
    let disposition = match (by, channel.inbound, answered) {
        (By::Far, _, true) => "recv_bye",
        (By::Far, _, false) => "recv_cancel",
        (By::Refusal(_), ..) => "recv_refuse",
        (By::Here, _, true) => "send_bye",
        (By::Here, true, false) => "send_refuse",
        (By::Here, false, false) => "send_cancel",
    };
    let set = &mut channel.vars;
    set.set("sip_hangup_disposition", disposition);
    if let Some(status) = status {
        set.set("sip_term_status", &status.to_string());
        set.set("proto_specific_hangup_cause", &format!("sip:{status}"));
        set.set("sip_term_cause", &cause::q850(cause).to_string());
    }
    if disposition.ends_with("_cancel") {
        set.set("sip_invite_failure_status", "487");
        set.set("sip_invite_failure_phrase", "CANCEL");
    }
}
