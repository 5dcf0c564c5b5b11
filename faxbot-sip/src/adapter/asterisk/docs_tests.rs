//! The snippet for the dialplan has what the code has.

use faxbot_core::sip::Capabilities;

use super::{
    AsteriskConfig, abilities::Abilities, config::DialplanContext, dialplan::EXTENSIONS,
    outcome::OutcomeStore,
};
use crate::adapter::docs_tests::{nothing_of, page};

/// What it can do at a server that has everything.
pub(crate) fn at_the_best(config: &AsteriskConfig) -> Capabilities {
    let mut abilities = Abilities::hoped_for(true);
    // Not hoped for, because few servers send them.
    abilities.cdr = true;
    abilities.capabilities(config)
}

/// The context as an operator writes it.
fn context() -> String {
    let store = OutcomeStore::new("faxbot", &DialplanContext::Named("faxbot".to_owned()));
    let handler = store.steps();
    let handler = ("s", handler.iter().map(|(app, data)| (*app, data.as_str())));
    let mut out = String::from("```ini\n[faxbot]\n");
    let mut extension = |name: &str, steps: &mut dyn Iterator<Item = (&str, &str)>| {
        for (index, (app, data)) in steps.enumerate() {
            let start = if index == 0 {
                format!("exten => {name},1")
            } else {
                " same => n".to_owned()
            };
            out.push_str(&format!("{start},{app}({data})\n"));
        }
    };
    let (name, mut steps) = handler;
    extension(name, &mut steps);
    for (name, steps) in EXTENSIONS {
        extension(name, &mut steps.iter().copied());
    }
    out.push_str("```");
    out
}

#[test]
fn the_context_for_the_dialplan_is_that_of_the_code() {
    nothing_of([page!("docs/adapters/asterisk.md").lacks("context", &context())]);
}
