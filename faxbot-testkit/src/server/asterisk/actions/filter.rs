//! `Filter` (recording `02_event_filters`).

use crate::server::asterisk::{
    SeenAction,
    connection::{Answer, error, success},
    world::World,
};

/// Adds a filter to the session that asks.
pub(super) fn filter(world: &World, action: &SeenAction) -> Answer {
    if !action
        .get("Operation")
        .is_some_and(|word| word.eq_ignore_ascii_case("Add"))
    {
        return error(action, "Unknown operation");
    }
    let criteria = action.get("MatchCriteria").filter(|text| !text.is_empty());
    let filter = action.get("Filter").unwrap_or_default();
    let result = world.change(|state| match state.clients.get_mut(&action.connection) {
        Some(client) => client.own.filters.add(world.v16(), criteria, filter),
        None => Ok(()),
    });
    match result {
        Ok(()) => success(action, "Success"),
        Err(why) => error(action, why.text()),
    }
}
