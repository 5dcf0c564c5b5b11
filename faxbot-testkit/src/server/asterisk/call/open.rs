//! The channels of a new call, and what tells how its request went.

use std::sync::Arc;

use super::Legs;
use crate::server::asterisk::{
    channel::{Channel, text},
    dialplan,
    originate::{Originate, Then},
    world::{State, World, dialled, start},
};
use crate::server::script::{CallScript, Ending};

/// A leg that is to be made.
pub(super) struct NewLeg<'a> {
    /// The dial string with its technology.
    pub target: &'a str,
    pub id: Option<&'a str>,
    pub other_id: Option<&'a str>,
    /// `Linkedid` of the caller.
    pub linked: Option<&'a str>,
    /// The channel whose `Dial` makes it.
    pub by: Option<&'a str>,
}

impl<'a> NewLeg<'a> {
    pub(super) const fn to(target: &'a str) -> Self {
        Self {
            target,
            id: None,
            other_id: None,
            linked: None,
            by: None,
        }
    }
}

/// Makes the channels, with `Newchannel` for each.
pub(super) fn create(world: &World, state: &mut State, new: &NewLeg<'_>) -> Legs {
    let now = world.now();
    let mut unique = || {
        state.unique += 1;
        format!("{}.{}", state.started.as_second(), state.unique)
    };
    let id = new.id.map_or_else(&mut unique, str::to_owned);
    let other = new
        .target
        .to_ascii_lowercase()
        .starts_with("local/")
        .then(|| match (new.other_id, new.id) {
            (Some(other), _) => other.to_owned(),
            (None, Some(id)) => format!("{id};2"),
            (None, None) => unique(),
        });
    let number = state.names;
    state.names += 1;
    state.processed += 1;
    let base = format!("{}-{number:08x}", device(new.target));
    let name = if other.is_some() {
        format!("{base};1")
    } else {
        base.clone()
    };
    let mut one = Channel::new(id.clone(), name, now);
    dialled(new.target).clone_into(&mut one.dialled);
    one.by = new.by.map(str::to_owned);
    if let Some(linked) = new.linked {
        linked.clone_into(&mut one.linked);
    }
    let linked = one.linked.clone();
    let (context, exten) = local_target(new.target);
    if other.is_some() {
        (one.context, one.exten) = (context.clone(), exten.clone());
    }
    state.channels.push(one);
    state.channel_event("Newchannel", "call", &id, &[]);
    let plan = &state.dialplan;
    let walks = other.is_some() && (plan.has(&context, &exten) || plan.is_gone(&context, &exten));
    if let Some(other) = &other {
        let mut two = Channel::new(other.clone(), format!("{base};2"), now);
        (two.context, two.exten) = (context, exten);
        two.linked = linked;
        two.state = 4;
        if walks {
            two.half = Some(id.clone());
        }
        dialled(new.target).clone_into(&mut two.dialled);
        state.channels.push(two);
        state.channel_event("Newchannel", "call", other, &[]);
        if let Some(one) = state.channel_mut(&id).filter(|_| walks) {
            one.half = Some(other.clone());
        }
    }
    Legs { id, other, walks }
}

/// Creates the channels of a request; `None` when the id is taken (recording
/// `11_channelid_prefix_conflict`) or there is no such endpoint (`03_originate_invalid_tech`).
pub(super) fn open(world: &Arc<World>, request: &Originate, script: &CallScript) -> Option<Legs> {
    let v16 = world.v16();
    let legs = world.change(|state| {
        if let Some(id) = &request.id {
            let taken = if v16 {
                state.channel(id).is_some()
            } else {
                state.channels.has_prefix(id)
            };
            if taken {
                return None;
            }
        }
        if script.ending == Ending::NoEndpoint {
            return None;
        }
        let new = NewLeg {
            id: request.id.as_deref(),
            other_id: request.other_id.as_deref(),
            ..NewLeg::to(&request.channel)
        };
        let legs = create(world, state, &new);
        let exten = state
            .channel(&legs.id)
            .map(|c| c.exten.clone())
            .unwrap_or_default();
        let headers = [
            ("Extension", exten.as_str()),
            ("Application", "AppDial2"),
            ("AppData", "(Outgoing Line)"),
        ];
        state.channel_event("Newexten", "dialplan", &legs.id, &headers);
        Some(legs)
    })?;
    // The variables of the request are shown in reverse order (observed on Asterisk 16.28 and 22.10).
    for (name, value) in request.variables.iter().rev() {
        dialplan::assign(world, &legs.id, name, value);
    }
    world.change(|state| {
        if !request.account.is_empty() {
            if let Some(channel) = state.channel_mut(&legs.id) {
                channel.account.clone_from(&request.account);
            }
            state.channel_event(
                "NewAccountCode",
                "call",
                &legs.id,
                &[("OldAccountCode", "")],
            );
        }
        if let Some(party) = &request.caller {
            state.set_party(&legs.id, party);
        }
    });
    if let Some(other) = &legs.other {
        for (name, value) in &request.variables {
            if !name.contains('(') {
                dialplan::assign(world, other, name, value);
            }
        }
        world.change(|state| {
            if let Some(party) = &request.caller {
                state.set_party(other, party);
            }
            local_bridge(state, &legs.id, other, &request.channel);
        });
    }
    let string = dial_string(&request.channel);
    world.change(|state| state.dial_event("DialBegin", None, &legs.id, ("DialString", string)));
    Some(legs)
}

/// What stands behind the technology.
pub(super) fn dial_string(channel: &str) -> &str {
    channel.split_once('/').map_or("", |(_, rest)| rest)
}

/// `OriginateResponse`. On failure `Channel` is the dial string (observed on Asterisk 16.28 and 22.10).
pub(super) fn respond(
    state: &mut State,
    request: &Originate,
    channel: Option<&str>,
    reason: u32,
    id: &str,
) {
    let word = if reason == 4 { "Success" } else { "Failure" };
    let mut event = start("OriginateResponse", "call")
        .maybe("ActionID", request.action_id.as_ref())
        .header("Response", word)
        .header("Channel", channel.unwrap_or(&request.channel));
    event = match &request.then {
        Then::Application { name, data } => event.header("Application", name).header("Data", data),
        Then::Extension { context, exten, .. } => {
            event.header("Context", context).header("Exten", exten)
        }
    };
    event = event
        .header("Reason", reason.to_string())
        .header("Uniqueid", id)
        .header(
            "CallerIDNum",
            text(request.caller.as_ref().map(|p| &p.number)),
        )
        .header(
            "CallerIDName",
            text(request.caller.as_ref().map(|p| &p.name)),
        );
    if request.is_async {
        state.emit("call", event);
    }
}

pub(super) fn local_step(state: &mut State, other: &str, application: &str, data: &str) {
    let exten = state
        .channel(other)
        .map(|c| c.exten.clone())
        .unwrap_or_default();
    state.channel_event(
        "Newexten",
        "dialplan",
        other,
        &[
            ("Extension", &exten),
            ("Application", application),
            ("AppData", data),
        ],
    );
}

pub(super) fn local_bridge(state: &mut State, one: &str, two: &str, dial: &str) {
    let (Some(one), Some(two)) = (state.channel(one), state.channel(two)) else {
        return;
    };
    let (context, exten) = local_target(dial);
    let optimise = if dial.ends_with("/n") { "No" } else { "Yes" };
    let event = two
        .snapshot(
            one.snapshot(start("LocalBridge", "call"), "LocalOne"),
            "LocalTwo",
        )
        .header("Context", context)
        .header("Exten", exten)
        .header("LocalOptimization", optimise);
    state.emit("call", event);
}

/// Context and extension of `Local/exten@context/n`.
pub(super) fn local_target(channel: &str) -> (String, String) {
    let rest = channel.split_once('/').map_or(channel, |(_, rest)| rest);
    let rest = rest.split_once('/').map_or(rest, |(rest, _)| rest);
    match rest.split_once('@') {
        Some((exten, context)) => (context.to_owned(), exten.to_owned()),
        None => ("default".to_owned(), rest.to_owned()),
    }
}

/// The channel's name without its number: `PJSIP/trunk` of `PJSIP/700@trunk`.
fn device(channel: &str) -> String {
    let (tech, rest) = channel.split_once('/').unwrap_or((channel, ""));
    if tech.eq_ignore_ascii_case("local") {
        let (context, exten) = local_target(channel);
        return format!("Local/{exten}@{context}");
    }
    let peer = match rest.split_once('@') {
        Some((_, peer)) => peer,
        None => rest.split('/').next().unwrap_or(rest),
    };
    format!("{tech}/{peer}")
}
