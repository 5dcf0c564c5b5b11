//! The documentation of the adapter has what the code has.

use super::{FIELDS, config::DialplanContext, dialplan::EXTENSIONS, outcome::OutcomeStore};

const DOCS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/adapters/asterisk.md"
));

fn section(name: &str) -> &'static str {
    let start = format!("<!-- {name}: checked by a test -->");
    let end = format!("<!-- end of {name} -->");
    let from = DOCS.find(&start).expect("no such section") + start.len();
    let to = DOCS.find(&end).expect("no end of the section");
    DOCS[from..to].trim()
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
fn the_table_of_fields_is_that_of_the_code() {
    let table = FIELDS.markdown();
    assert_eq!(section("fields"), table.trim(), "put this there:\n{table}");
}

#[test]
fn the_context_for_the_dialplan_is_that_of_the_code() {
    let context = context();
    assert_eq!(section("context"), context, "put this there:\n{context}");
}
