//! The rights that the documentation asks for are those that the code needs.

use std::{collections::BTreeSet, fs, path::Path};

use super::{
    event::{CUSTOM, EVENTS},
    outcome::Keeper,
};
use crate::adapter::docs_tests::{nothing_of, page};

/// The commands that are asked of the server, as the sources name them.
fn commands() -> BTreeSet<String> {
    // Of the two stores one is loaded; each has its own.
    let mut all: BTreeSet<String> = ["hash_dump".to_owned()].into();
    all.extend([Keeper::Db, Keeper::Hash].map(|keeper| {
        let module = keeper.module();
        module.strip_prefix("mod_").unwrap().to_owned()
    }));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adapter/freeswitch");
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().ends_with("_tests.rs") {
                named_in(&fs::read_to_string(&path).unwrap(), &mut all);
            }
        }
    }
    all
}

fn named_in(source: &str, all: &mut BTreeSet<String>) {
    for call in [".api(", ".look_up(", "::bgapi("] {
        for (at, _) in source.match_indices(call) {
            let argument = source[at + call.len()..].trim_start();
            if let Some(name) = argument
                .strip_prefix('"')
                .and_then(|it| it.split('"').next())
                && !name.is_empty()
            {
                all.insert(name.to_owned());
            }
        }
    }
}

#[test]
fn the_rights_of_a_user_are_those_that_the_code_needs() {
    let events = format!("{} CUSTOM {}", EVENTS.join(" "), CUSTOM.join(" "));
    let commands: Vec<_> = commands().into_iter().collect();
    let rights = format!(
        "```xml\n\
         <user id=\"faxbot\">\n  \
         <params>\n    \
         <param name=\"esl-password\" value=\"a long random one\"/>\n    \
         <param name=\"esl-allowed-events\" value=\"{events}\"/>\n    \
         <param name=\"esl-allowed-api\" value=\"{}\"/>\n  \
         </params>\n\
         </user>\n\
         ```",
        commands.join(" ")
    );
    nothing_of([page!("docs/adapters/freeswitch.md").lacks("rights", &rights)]);
}
