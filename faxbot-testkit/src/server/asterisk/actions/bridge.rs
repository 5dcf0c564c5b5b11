//! `Bridge`, `BridgeList`, `BridgeInfo` (recordings `05_bridge_action`, `bridge_hold`).

use super::{
    super::{
        SeenAction,
        channel::Signal,
        connection::{Answer, error, success},
        world::World,
    },
    given, item, list,
};

/// Both channels leave where they are and go into a new bridge. One that a `Redirect` is about to take
/// elsewhere is refused (observed on Asterisk 16.28 and 22.10).
pub(super) fn bridge(world: &World, action: &SeenAction) -> Answer {
    let (Some(one), Some(two)) = (given(action, "Channel1"), given(action, "Channel2")) else {
        return error(action, "Missing channel parameter in request");
    };
    world.change(|state| {
        let mut ids = Vec::new();
        for (header, name) in [("Channel1", one), ("Channel2", two)] {
            match state.find(name) {
                Some(channel) if channel.leaving.is_some() => {
                    let text = format!("Unable to add {header} to bridge: {}", channel.name);
                    return error(action, &text);
                }
                Some(channel) => ids.push(channel.id.clone()),
                None => return error(action, &format!("{header} does not exist: {name}")),
            }
        }
        if let Some(left) = state.features.undone_bridges.checked_sub(1) {
            state.features.undone_bridges = left;
            return success(action, "Channels have been bridged");
        }
        let bridge = state.create_bridge(None);
        for id in ids {
            if let Some(channel) = state.channel_mut(&id) {
                channel.moving = Some(bridge.clone());
            }
            let bridge = bridge.clone();
            state.signal(&id, Signal::Bridge { bridge });
        }
        success(action, "Channels have been bridged")
    })
}

pub(super) fn bridge_list(world: &World, action: &SeenAction) -> Answer {
    let state = world.lock();
    let bridges = state.bridges.values();
    let items = bridges.map(|bridge| bridge.headers(item("BridgeListItem", action)));
    list(
        action,
        ("start", "Bridge listing will follow"),
        items.collect(),
        ("BridgeListComplete", &[]),
    )
}

pub(super) fn bridge_info(world: &World, action: &SeenAction) -> Answer {
    let Some(id) = given(action, "BridgeUniqueid") else {
        return error(action, "BridgeUniqueid must be provided");
    };
    let state = world.lock();
    let Some(bridge) = state.bridges.get(id) else {
        return error(action, "Specified BridgeUniqueid not found");
    };
    let members = bridge.members.iter();
    let channels = members.filter_map(|member| state.channel(&member.channel));
    let items = channels.map(|c| c.snapshot(item("BridgeInfoChannel", action), ""));
    let mut answer = list(
        action,
        ("start", "Bridge channel listing will follow"),
        items.collect(),
        ("BridgeInfoComplete", &[]),
    );
    if let Some(end) = answer.messages.pop() {
        answer.messages.push(bridge.headers(end));
    }
    answer
}
