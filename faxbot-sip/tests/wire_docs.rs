//! The tables of `docs/wire` name tests and recordings that exist.
#![cfg(test)]

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use faxbot_testkit::fixtures;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The names of all test functions below a folder.
fn tests_in(folder: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let (mut is_test, mut real) = (false, false);
            for line in text.lines().map(str::trim) {
                // A list of tests that run on both versions of a real server.
                let begins = line.contains("on_both_") && line.ends_with("!(");
                real = (real && line != ");") || begins;
                if real {
                    found.insert(line.trim_end_matches(',').to_owned());
                }
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test) {
                    found.insert(name.split(['(', '<']).next().unwrap().to_owned());
                    is_test = false;
                }
            }
        }
    }
}

/// The words in back quotes of one cell.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_recording_and_test_in_the_tables_exists() {
    let docs = root().join("docs/wire");
    if !docs.exists() {
        // The published package has no docs folder beside it.
        return;
    }
    let mut tests = HashSet::new();
    tests_in(&root().join("faxbot-sip/src"), &mut tests);
    tests_in(&root().join("faxbot-sip/tests"), &mut tests);
    // What HTTP owes to JSON-RPC.
    tests_in(&root().join("faxbot-core/src/http"), &mut tests);
    tests_in(&root().join("faxbot-core/tests/http_reqwest"), &mut tests);
    let recordings: HashSet<String> = fixtures::names().unwrap().into_iter().collect();

    for (file, folder) in [
        ("ami.md", "asterisk/"),
        ("esl.md", "freeswitch/"),
        ("yate.md", "yate/"),
        // Two servers, named with each recording.
        ("mi.md", ""),
    ] {
        let text = fs::read_to_string(docs.join(file)).unwrap();
        check(&text, folder, &tests, &recordings);
    }
}

fn check(text: &str, folder: &str, tests: &HashSet<String>, recordings: &HashSet<String>) {
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        let [_, recording, test, ..] = cells.as_slice() else {
            panic!("{line}")
        };
        if *recording == "Recording" {
            continue;
        }
        rows += 1;
        assert!(quoted(recording).count() > 0, "no recording: {line}");
        for name in quoted(recording) {
            if !recordings.contains(&format!("{folder}{name}")) {
                wrong.push(format!("recording {name}"));
            }
        }
        assert!(quoted(test).count() > 0, "no test: {line}");
        for name in quoted(test).filter(|name| !tests.contains(*name)) {
            wrong.push(format!("test {name}"));
        }
    }
    assert!(rows > 40, "{folder}: {rows} rows");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
