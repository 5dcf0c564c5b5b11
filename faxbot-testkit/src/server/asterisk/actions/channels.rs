//! The actions about channels: hang up, variables, lists.

use faxbot_sip::protocol::ami::server::MessageBuilder;

use super::{
    super::{
        SeenAction,
        channel::{Channel, Signal, text},
        connection::{Answer, error, response, success},
        dialplan::assign,
        substitute,
        world::World,
    },
    given, item, list,
};

pub(super) fn hangup(world: &World, action: &SeenAction) -> Answer {
    let Some(name) = given(action, "Channel") else {
        return error(action, "No channel specified");
    };
    let cause = given(action, "Cause").and_then(|text| text.parse().ok());
    // A cause that does not exist is ignored (observed on Asterisk 16.28 and 22.10).
    let cause = cause.filter(|cause| *cause < 128).unwrap_or(0);
    let state = world.lock();
    match state.find(name) {
        Some(channel) => {
            channel.tell(Signal::Hangup { cause });
            success(action, "Channel Hungup")
        }
        None => error(action, "No such channel"),
    }
}

pub(super) fn getvar(world: &World, action: &SeenAction) -> Answer {
    let Some(variable) = given(action, "Variable") else {
        return error(action, "No variable specified");
    };
    let state = world.lock();
    let id = match given(action, "Channel") {
        Some(name) => match state.find(name) {
            Some(channel) => channel.id.clone(),
            None => return error(action, "No such channel"),
        },
        None => String::new(),
    };
    // Getvar itself may not look at files (observed on Asterisk 16.28 and 22.10).
    let value = if variable.starts_with("STAT(") || variable.starts_with("FILE(") {
        String::new()
    } else {
        substitute::value(world, &state, &id, variable)
    };
    Answer::one(
        response(action, "Success")
            .header("Variable", variable)
            .header("Value", value),
    )
}

pub(super) fn setvar(world: &World, action: &SeenAction) -> Answer {
    let Some(variable) = given(action, "Variable") else {
        return error(action, "No variable specified");
    };
    let value = action.get("Value").unwrap_or_default();
    let Some(name) = given(action, "Channel") else {
        world.change(|state| state.globals.insert(variable.to_owned(), value.to_owned()));
        return success(action, "Variable Set");
    };
    let id = world.lock().find(name).map(|channel| channel.id.clone());
    let Some(id) = id else {
        return error(action, "No such channel");
    };
    // `CONFBRIDGE` is for the dialplan alone (seen on 16.28 and 22.10).
    if ["SHELL(", "CONFBRIDGE("]
        .iter()
        .any(|name| variable.starts_with(name))
    {
        return error(action, "Variable not set");
    }
    assign(world, &id, variable, value);
    success(action, "Variable Set")
}

pub(super) fn show_channels(world: &World, action: &SeenAction) -> Answer {
    let now = world.now();
    let state = world.lock();
    let items = state.channels.iter().map(|channel| {
        let seconds = now.duration_since(channel.created).as_secs();
        let time = format!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        channel
            .snapshot(item("CoreShowChannel", action), "")
            .header("Application", &channel.application)
            .header("ApplicationData", &channel.data)
            .header("Duration", time)
            .header("BridgeId", channel.bridge.as_deref().unwrap_or_default())
    });
    let items = items.collect();
    list(
        action,
        ("start", "Channels will follow"),
        items,
        ("CoreShowChannelsComplete", &[]),
    )
}

pub(super) fn status(world: &World, action: &SeenAction) -> Answer {
    let now = world.now();
    let state = world.lock();
    let one = given(action, "Channel");
    if one.is_some_and(|name| state.find(name).is_none()) {
        return error(action, "No such channel");
    }
    let items = state
        .channels
        .iter()
        .filter(|channel| one.is_none_or(|one| channel.name == one || channel.id == one))
        .map(|channel| {
            let event = MessageBuilder::event("Status").header("Privilege", "Call");
            let kind = channel.name.split('/').next().unwrap_or_default();
            let party = channel.connected.as_ref();
            channel
                .snapshot(event, "")
                .header("Type", kind)
                .header("DNID", "")
                .header(
                    "EffectiveConnectedLineNum",
                    text(party.map(|party| &party.number)),
                )
                .header(
                    "EffectiveConnectedLineName",
                    text(party.map(|party| &party.name)),
                )
                .header("TimeToHangup", hangup_time(world, channel).to_string())
                .header("BridgeID", channel.bridge.as_deref().unwrap_or_default())
                .header("Application", &channel.application)
                .header("Data", &channel.data)
                .header("Nativeformats", "(ulaw)")
                .header("Readformat", "ulaw")
                .header("Readtrans", "")
                .header("Writeformat", "ulaw")
                .header("Writetrans", "")
                .header("Callgroup", "0")
                .header("Pickupgroup", "0")
                .header(
                    "Seconds",
                    now.duration_since(channel.created).as_secs().to_string(),
                )
                .maybe("ActionID", action.get("ActionID"))
        })
        .collect();
    list(
        action,
        ("start", "Channel status will follow"),
        items,
        ("StatusComplete", &["Items"]),
    )
}

/// Seconds since 1970 of the absolute time-out; 0 without one.
fn hangup_time(world: &World, channel: &Channel) -> u64 {
    let limit = *channel.limit.borrow();
    limit.map_or(0, |limit| {
        let left = limit.saturating_duration_since(tokio::time::Instant::now());
        let now = u64::try_from(world.now().as_second()).unwrap_or(0);
        now.saturating_add(left.as_secs())
    })
}
