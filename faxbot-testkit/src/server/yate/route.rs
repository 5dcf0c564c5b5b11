//! `call.route` by `regexroute`: the rules that the test has set.

use std::sync::Arc;

use super::{MockYate, MockYateBuilder, msg::Msg, world::World};
use crate::server::base::matches;

/// Where calls of our own go that no rule names: the gateway of this engine.
const GATEWAY: &str = "127.0.0.1:5080";

impl MockYateBuilder {
    /// A rule of `regexroute.conf`: calls and messages to a number go to that target. A `*` at the
    /// end of the number stands for anything, the last rule that matches counts, and `;name=value`
    /// behind the target sets parameters. The target `-` refuses, with `;error=busy` and its like.
    ///
    /// Without a rule a call that the engine makes goes to `sip/sip:NUMBER@127.0.0.1:5080`, and
    /// one that comes in has no route.
    pub fn route(mut self, number: &str, target: &str) -> Self {
        self.own.routes.push((number.to_owned(), target.to_owned()));
        self
    }
}

impl MockYate {
    /// As [`route`](MockYateBuilder::route), from now on.
    pub fn on_route(&self, number: &str, target: &str) {
        let mut state = self.world.lock();
        state.routes.push((number.to_owned(), target.to_owned()));
    }
}

/// Finds the target of a call or message.
pub(super) fn run(world: &Arc<World>, msg: &mut Msg) -> bool {
    let called = msg.text("called");
    let state = world.lock();
    let mut rules = state.routes.iter().rev();
    let found = rules.find(|(number, _)| matches(number, &called));
    let own = msg.get("module") != Some("sip") && !called.is_empty();
    let target = match found {
        Some((_, target)) => target.clone(),
        None if own => format!("sip/sip:{called}@{GATEWAY}"),
        None => return false,
    };
    let mut parts = target.split(';');
    parts.next().unwrap_or_default().clone_into(&mut msg.retval);
    for part in parts {
        if let Some((name, value)) = part.split_once('=') {
            msg.set(name, value);
        }
    }
    true
}
