//! What became of a call: our books, and the channels that are up. Yate keeps nothing of a call that is
//! over.

use faxbot_core::{
    Result,
    id::CallRef,
    sip::{CallState, CallStatus, Direction, Lookup, UnknownReason},
};

use super::{
    core::Core,
    request::mark,
    server::{Channel, Server},
};
use crate::adapter::{books::Sign, hub::Book as _, lookup};

/// Everything that can be known.
pub(super) async fn lookup(core: &Core, server: Result<Server>, call: &CallRef) -> Result<Lookup> {
    if let Some(known) = lookup::in_books(core.hub.state().books.calls(), call) {
        return Ok(known);
    }
    let list = server?.channels("lookup").await?;
    let Some(id) = call.id else {
        let wanted = call.native.as_deref().unwrap_or_default();
        let found = list.iter().find(|channel| channel.leg.native == wanted);
        return Ok(match found {
            Some(channel) => Lookup::Live(live(core, call, &[channel])),
            None => Lookup::Unknown(UnknownReason::NotOurs),
        });
    };
    let mark = mark(id);
    let pages = core.spool.as_ref().map(|spool| spool.file(id).remote);
    let received = core.spool.as_ref().map(|spool| spool.received(id).remote);
    let seat = core.hub.state().books.entrance.address(id);
    let is_at = |channel: &Channel, place: &Option<String>| {
        place
            .as_ref()
            .is_some_and(|place| channel.address == *place)
    };
    let came_in = |channel: &Channel| is_at(channel, &received) || is_at(channel, &seat);
    let near = list
        .iter()
        .find(|channel| channel.address == mark || is_at(channel, &pages) || came_in(channel));
    let Some(near) = near else {
        return Ok(Lookup::Unknown(UnknownReason::NotKept));
    };
    let inbound = came_in(near);
    let far = near.leg.joined.as_ref();
    let far = far.and_then(|far| list.iter().find(|channel| channel.leg.native == *far));
    let mut status = match far {
        Some(far) => live(core, call, &[far, near]),
        None => live(core, call, &[near]),
    };
    if inbound {
        status.direction = Direction::Inbound;
        if status.state != CallState::Connected {
            status.state = CallState::Incoming;
        }
    }
    Ok(Lookup::Live(status))
}

fn live(core: &Core, call: &CallRef, channels: &[&Channel]) -> CallStatus {
    let state = match channels.first().map(|channel| channel.leg.sign) {
        Some(Sign::Up) => CallState::Connected,
        Some(Sign::Ringing) => CallState::Ringing,
        _ => CallState::Dialing,
    };
    let started = call
        .requested_at
        .unwrap_or_else(|| core.hub.clock.timestamp());
    let mut status = CallStatus::new(call.id, state, Direction::Outbound, started);
    let names = channels
        .iter()
        .map(|channel| channel.leg.native.clone().into());
    status.channels.extend(names);
    status
}
