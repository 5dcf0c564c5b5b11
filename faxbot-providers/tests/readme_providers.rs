//! The table of providers in the README is the one that the manifests make.
#![cfg(test)]

use std::{collections::BTreeSet, fs, path::Path};

use faxbot_core::plugin::{Manifest, PluginCapability};

const BEGIN: &str = "<!-- providers: made from the manifests, checked by a test -->\n";
const END: &str = "<!-- end of providers -->";

/// What the columns are called, in their order.
const COLUMNS: [(&str, PluginCapability); 10] = [
    ("send fax", PluginCapability::SEND_FAX),
    ("status", PluginCapability::GET_STATUS),
    ("cancel", PluginCapability::CANCEL_FAX),
    ("list received", PluginCapability::LIST_INBOUND),
    ("fetch received", PluginCapability::GET_INBOUND),
    ("send message", PluginCapability::SEND_MESSAGE),
    ("message status", PluginCapability::GET_MESSAGE_STATUS),
    ("conversations", PluginCapability::LIST_CONVERSATIONS),
    ("reply", PluginCapability::SEND_REPLY),
    ("webhooks", PluginCapability::HANDLE_WEBHOOK),
];

fn table(manifests: &[Manifest]) -> String {
    let mut text = String::from("| provider | id |");
    for (name, _) in &COLUMNS {
        text += &format!(" {name} |");
    }
    text += "\n|---|---|";
    text += &"---|".repeat(COLUMNS.len());
    for manifest in manifests {
        text += &format!("\n| {} | `{}` |", manifest.name, manifest.id);
        for (_, capability) in &COLUMNS {
            text += if manifest.can(capability) {
                " yes |"
            } else {
                " |"
            };
        }
    }
    text + "\n"
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_readme_has_the_table_of_the_manifests() {
    let readme = readme();
    let (_, rest) = readme.split_once(BEGIN).expect("the mark of the table");
    let (found, _) = rest.split_once(END).expect("the mark of its end");
    let right = table(&faxbot_providers::manifests());
    assert_eq!(found, right, "the table has to be:\n\n{right}");
}

#[test]
fn every_capability_of_a_provider_has_a_column() {
    let columns: BTreeSet<&str> = COLUMNS.iter().map(|(_, word)| word.as_str()).collect();
    for manifest in faxbot_providers::manifests() {
        for capability in &manifest.capabilities {
            let known = COLUMNS.iter().any(|(_, column)| column == capability);
            assert!(known, "{}: {capability} and {columns:?}", manifest.id);
        }
    }
}

#[test]
fn no_two_providers_have_one_id() {
    let manifests = faxbot_providers::manifests();
    let ids: BTreeSet<String> = manifests.iter().map(|m| m.id.to_string()).collect();
    assert_eq!(ids.len(), manifests.len());
}
