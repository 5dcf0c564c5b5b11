//! What the commands do. A module of OpenSIPS has a module here, or its state beside it.

mod core;
mod dialog;
mod send;

use std::time::Duration;

use tokio::time::Instant;

use super::{
    engine::OpenSips,
    mi::{self, Outcome, Refusal, SeenMi, done},
    which::module_of,
};
use crate::server::proxy::Tree;

/// Carries a request out. The answer comes after that time.
pub(super) fn run(server: &mut OpenSips, request: &SeenMi, now: Instant) -> (Outcome, Duration) {
    let name = request.method.as_str();
    if module_of(name) == "tm" {
        return send::run(server, name, request);
    }
    if name == "dlg_send_sequential" {
        return dialog::sequential(server, request);
    }
    let outcome = match module_of(name) {
        "dialog" => dialog::run(server, name, request, now),
        "callops" => Some(match name {
            "call_hold" => server.hold(request, true, now),
            "call_unhold" => server.hold(request, false, now),
            _ => server.transfer(request, now),
        }),
        "b2b_logic" => b2b(server, name, request, now),
        "b2b_entities" if name == "b2be_list" => {
            let all = server
                .state
                .tuples
                .iter()
                .flat_map(|tuple| tuple.entities());
            Some(Ok(Tree::List(all.collect())))
        }
        "b2b_entities" => server.ua_session(name, request, now),
        "usrloc" => server.location(name, request, now),
        "dispatcher" | "load_balancer" | "uac_registrant" => server.gateways(name, request, now),
        _ => core::run(server, name, request, now),
    };
    // It is listed, and no test needed it so far.
    (outcome.unwrap_or_else(done), Duration::ZERO)
}

fn b2b(server: &mut OpenSips, name: &str, request: &SeenMi, now: Instant) -> Option<Outcome> {
    Some(match name {
        "b2b_list" => {
            let release = server.setup.release;
            let all = server
                .state
                .tuples
                .iter()
                .map(|tuple| tuple.tree(release, now));
            Ok(Tree::object([("Tuples", Tree::List(all.collect()))]))
        }
        "b2b_trigger_scenario" => trigger(server, request, now),
        "b2b_terminate_call" => {
            mi::text(request, "key").and_then(|key| match server.terminate(&key) {
                true => done(),
                false => Err(Refusal::new(404, "B2B session not found")),
            })
        }
        "b2b_bridge" => {
            let ends = mi::text(request, "dialog_id")
                .and_then(|key| Ok((key, mi::text(request, "new_uri")?)));
            ends.and_then(|(key, uri)| match server.bridge(&key, &uri, now) {
                true => done(),
                false => Err(Refusal::server("Command handler returned null")),
            })
        }
        _ => return None,
    })
}

fn trigger(server: &mut OpenSips, request: &SeenMi, now: Instant) -> Outcome {
    use super::b2b::Party;
    let scenario = mi::text(request, "scenario_id")?;
    let mut parties = Vec::new();
    for name in ["entity1", "entity2"] {
        let text = mi::text(request, name)?;
        let party = Party::parse(&text).map_err(|()| {
            let why = format!("Missing destination URI for {name}");
            Refusal::new(400, why)
        })?;
        parties.push(party);
    }
    let mut parties = parties.into_iter().flatten();
    match (parties.next(), parties.next()) {
        (Some(first), Some(second)) if server.setup.server_address => {
            server.trigger(&scenario, first, second, now);
            done()
        }
        _ => {
            server.dead_tuple(&scenario, now);
            Err(Refusal::new(500, "Failed to initialize scenario"))
        }
    }
}
