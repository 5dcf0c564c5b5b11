//! `Redirect`.

use super::{
    super::{
        channel::Signal,
        connection::{Answer, error, success},
        record::SeenAction,
        world::World,
    },
    given,
};

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
    channel.signal.send_replace(Signal::Redirect {
        context: context.to_owned(),
        exten: exten.to_owned(),
        priority: priority.parse().unwrap_or(1),
    });
    success(action, "Redirect successful")
}
