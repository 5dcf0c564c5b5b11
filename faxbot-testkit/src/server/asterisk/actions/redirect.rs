//! `Redirect` and `AbsoluteTimeout`.

use std::{sync::Arc, time::Duration};

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
pub(super) fn redirect(world: &Arc<World>, action: &SeenAction) -> Answer {
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
    let to = |context: &str, exten: &str, priority: &str| Signal::Redirect {
        context: context.to_owned(),
        exten: exten.to_owned(),
        priority: priority.parse().unwrap_or(1),
    };
    let mut orders = Vec::new();
    {
        let state = world.lock();
        let Some(channel) = state.find(name) else {
            return error(action, &format!("Channel does not exist: {name}"));
        };
        orders.push((channel.id.clone(), to(context, exten, priority)));
        if let Some(extra) = given(action, "ExtraChannel") {
            let Some(channel) = state.find(extra) else {
                return error(action, &format!("ExtraChannel does not exist: {extra}"));
            };
            let target = match given(action, "ExtraContext") {
                Some(context) => to(
                    context,
                    given(action, "ExtraExten").unwrap_or(exten),
                    given(action, "ExtraPriority").unwrap_or(priority),
                ),
                None => to(context, exten, priority),
            };
            orders.push((channel.id.clone(), target));
        }
    }
    let both = orders.len() > 1;
    send(world, orders);
    success(
        action,
        if both {
            "Dual Redirect successful"
        } else {
            "Redirect successful"
        },
    )
}

/// Sends channels elsewhere. They go together, after [`Timings::redirect`].
///
/// [`Timings::redirect`]: crate::server::script::Timings::redirect
fn send(world: &Arc<World>, orders: Vec<(String, Signal)>) {
    let time = world.config.timings.redirect;
    let mut state = world.lock();
    if time.is_zero() {
        for (id, order) in orders {
            state.signal(&id, order);
        }
        return;
    }
    let mut ids = Vec::new();
    for (id, order) in orders {
        if let Some(channel) = state.channel_mut(&id) {
            channel.leaving = Some(order);
            ids.push(id);
        }
    }
    drop(state);
    let after = Arc::clone(world);
    world.spawn(async move {
        tokio::time::sleep(time).await;
        let mut state = after.lock();
        for id in ids {
            let order = state.channel_mut(&id).and_then(|it| it.leaving.take());
            if let Some(order) = order {
                state.signal(&id, order);
            }
        }
    });
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
