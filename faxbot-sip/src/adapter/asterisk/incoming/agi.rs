//! What `AGI(agi:async)` tells of a call: all of it may be written by the caller. Sans-IO.

use std::collections::{BTreeMap, BTreeSet};

use faxbot_core::Private;

use crate::adapter::incoming::{MAX_HEADERS, private};

/// What `AGI` says of itself and not of the call.
const DULL: &[&str] = &[
    "agi_request",
    "agi_channel",
    "agi_uniqueid",
    "agi_version",
    "agi_callerid",
    "agi_priority",
    "agi_enhanced",
    "agi_threadid",
];

/// Asterisk writes a number or name that it does not have in one of these ways.
pub(crate) fn is_known(text: &str) -> bool {
    !matches!(text, "" | "s" | "unknown" | "<unknown>" | "anonymous")
}

/// `Env`: lines of `agi_name: value`, encoded as in a URL. What is known otherwise, or empty, is
/// left out.
pub(crate) fn environment(text: &str) -> BTreeMap<String, Private> {
    let text = decoded(text);
    let lines = || text.lines().filter_map(|line| line.split_once(": "));
    // Asterisk writes each name once. What comes twice came with a line end in somebody's number or
    // name, and nobody knows which one is true.
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for (name, _) in lines() {
        if !once.insert(name) {
            twice.insert(name);
        }
    }
    lines()
        .filter(|(name, value)| name.starts_with("agi_") && !DULL.contains(name) && is_known(value))
        .filter(|(name, _)| !twice.contains(name))
        .take(MAX_HEADERS)
        .map(|(name, value)| (private(name).expose().clone(), private(value)))
        .collect()
}

/// `%41` as `A`; what is no such code stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, more)) = rest.split_first() {
        let code = match (first, more) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agi_tells_is_decoded_and_what_says_nothing_is_left_out() {
        let text = "agi_request%3A%20async%0Aagi_calleridname%3A%20J%C3%B6rg%20%251%0A\
                    agi_rdnis%3A%20unknown%0Aagi_dnid%3A%20900%0Aagi_accountcode%3A%20%0A\
                    agi_arg_1%3A%20a%3A%20b%0Abroken%zz%4%0A%0A";
        let told = environment(text);
        let told: Vec<_> = told
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose().as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("agi_arg_1", "a: b"),
                ("agi_calleridname", "J\u{f6}rg %1"),
                ("agi_dnid", "900"),
            ]
        );
        assert_eq!(decoded("a%3A%20b%zz%4%"), "a: b%zz%4%");
    }

    #[test]
    fn hostile_lengths_are_cut() {
        let many: String = (0..500)
            .map(|number| format!("agi_x{number}%3A%20{}%0A", "\u{e4}".repeat(2_000)))
            .collect();
        let told = environment(&many);
        assert_eq!(told.len(), MAX_HEADERS);
        assert!(told.values().all(|value| value.expose().len() <= 1_024));
    }

    #[test]
    fn a_name_that_is_told_twice_is_not_believed() {
        // The number that was called had a line end in it.
        let text = "agi_extension%3A%20900%0Aagi_accountcode%3A%20boss%0Aagi_dnid%3A%20900%0A\
                    agi_accountcode%3A%20%0A%0A";
        let told = environment(text);
        assert_eq!(
            told.keys().collect::<Vec<_>>(),
            ["agi_dnid", "agi_extension"]
        );
    }
}
