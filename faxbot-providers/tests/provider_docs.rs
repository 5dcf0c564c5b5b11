//! The tables in the README and in the pages of the providers are those of the code. With
//! `FAXBOT_GOLDEN=write` they are written instead.
#![cfg(test)]

use std::{collections::BTreeSet, fs, path::Path};

use faxbot_core::{
    config::FieldTable,
    plugin::{Manifest, PluginCapability},
};
use faxbot_providers::{phaxio, sinch_fax, sinch_sms, sip_message};

/// The pages with a table of fields.
const PAGES: [(&str, FieldTable); 4] = [
    ("docs/providers/phaxio.md", phaxio::FIELDS),
    ("docs/providers/sinch_fax.md", sinch_fax::FIELDS),
    ("docs/providers/sinch_sms.md", sinch_sms::FIELDS),
    ("docs/providers/sip_message.md", sip_message::FIELDS),
];

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

/// Compares a table, which stands between two marks, with what it has to be.
fn compare(page: &str, mark: &str, right: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(page);
    let text = fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {mark}: checked by a test -->\n");
    let end = format!("<!-- end of {mark} -->");
    let (before, rest) = text.split_once(&begin).expect("the mark of the table");
    let (found, after) = rest.split_once(&end).expect("the mark of its end");
    let right = format!("{}\n", right.trim_end());
    if std::env::var_os("FAXBOT_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, format!("{before}{begin}{right}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(found, right, "{page}: the table has to be:\n\n{right}");
}

#[test]
fn the_readme_has_the_table_of_the_manifests() {
    let right = table(&faxbot_providers::manifests());
    compare("README.md", "providers", &right);
}

#[test]
fn the_tables_of_fields_are_those_of_the_code() {
    for (page, fields) in PAGES {
        compare(page, "fields", &fields.markdown());
    }
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
