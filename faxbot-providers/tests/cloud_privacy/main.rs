//! No log at any level, no error and no debug form of the cloud half shows a credential, a number,
//! a name, a text, a document or more of an address than its host. Alone in its program: a
//! subscriber counts for the whole process.
#![cfg(test)]

#[path = "../cloud_wire_support/mod.rs"]
mod cloud_wire_support;
mod fax;
mod hooks;
mod shown;
mod sip;
mod sms;

use faxbot_testkit::logs::{self, Capture};
use shown::Shown;

/// How much faster than ours the clock of the plugins goes: a time-out of 30 s takes 0.6 s.
const SPEED: u32 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_private_is_logged_or_shown() {
    let capture = Capture::global().expect("the first subscriber of this process");
    // A capture that captures nothing would find nothing.
    let planted = logs::plant();
    let before = capture.text();
    assert_eq!(logs::leaks(&before).len(), planted, "{before}");

    let shown = tokio::join!(
        Box::pin(fax::phaxio()),
        Box::pin(fax::sinch()),
        Box::pin(sms::sinch()),
        Box::pin(sip::messages()),
    );
    let shown = Shown::all([shown.0, shown.1, shown.2, shown.3]);

    let logged = capture.text().split_off(before.len());
    // What had to be logged, of each library and each part, so that this test is of something.
    for what in [
        "hyper_util",
        "log: reqwest",
        "faxbot_core::http::api: answered",
        "no answer",
        "repeating a call",
        "redirected",
        "asked for a token",
        "asking for another token",
        "did not prove where it came from",
        "a webhook could not be read",
        "a webhook said what the vendor does not",
        "a webhook was not handled; the vendor sends it again",
        "a dead letter was not kept",
        "a fax was received",
        "a fax was not taken",
        "a fax ended",
        "a fax could not be asked for",
        "a fax was not cancelled",
        "a document is not sent",
        "message{reference=",
        "messages that came in were not looked for",
    ] {
        assert!(logged.contains(what), "nothing of {what:?} was logged");
    }
    let found = logs::leaks(&logged);
    assert!(found.is_empty(), "logged:\n{}", found.join("\n"));
    let found = logs::private_lines(shown.text());
    assert!(found.is_empty(), "shown:\n{}", found.join("\n"));
    for secret in shown.secrets() {
        let shows = |text: &str| {
            text.lines()
                .find(|line| line.contains(secret))
                .map(str::to_owned)
        };
        assert_eq!(shows(&logged), None, "{secret} was logged");
        assert_eq!(shows(shown.text()), None, "{secret} was shown");
    }
}
