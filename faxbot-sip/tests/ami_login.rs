//! The login of the manager interface against a scripted server.
#![cfg(test)]

mod wire_support;

use std::time::Duration;

use faxbot_sip::protocol::{
    ami::{AmiConfig, Login, server::banner},
    session::{CloseReason, NotTaken, Session},
};
use wire_support::{
    SECOND,
    ami::{Line, action, at_login, login, up},
};

#[test]
fn a_plain_login_waits_for_the_banner_and_for_fully_booted() {
    let mut line = Line::new(login(), AmiConfig::new());
    assert!(line.sent.is_empty(), "nothing is said before the banner");
    line.say(banner("11.0.0"));
    assert_eq!(line.sent[0].get("Username"), Some(&b"faxbot"[..]));
    assert_eq!(line.sent[0].get("Secret"), Some(&b"s3cret"[..]));
    assert_eq!(line.sent[0].get("Events"), Some(&b"on"[..]));
    line.answer("Success", &[("Message", "Authentication accepted")]);
    assert!(!line.session.is_ready());
    assert_eq!(
        line.try_request(1, action("Ping"), SECOND),
        Err(NotTaken::NotReady)
    );
    line.event("FullyBooted", &[("Status", "Fully Booted")]);
    let ready = &line.ready[0];
    assert_eq!(ready.banner, "Asterisk Call Manager/11.0.0");
    assert_eq!(ready.version.as_deref(), Some("11.0.0"));
    assert!(ready.fully_booted);
    assert!(line.session.is_ready());
    assert!(line.events[0].is_event("FullyBooted"));
}

#[test]
fn an_md5_login_hashes_challenge_and_secret() {
    let mut line = Line::new(Login::new("faxbot", "s3cret").unwrap(), AmiConfig::new());
    line.say(banner("11.0.0"));
    assert_eq!(line.sent[0].get("AuthType"), Some(&b"MD5"[..]));
    let id = line.action().1;
    line.respond(&id, "Success", &[("Challenge", "192569387")]);
    // The key that the server of `01_login_md5_challenge` accepted.
    let key = line.sent[0].get("Key").unwrap();
    assert_eq!(key, b"6dbbd72cbb953d74cac772737e1349c9");
    assert_eq!(line.sent[0].get("Secret"), None);
    line.answer("Success", &[]);
    line.event("FullyBooted", &[]);
    assert!(line.session.is_ready());
}

#[test]
fn a_challenge_without_one_is_a_violation() {
    let mut line = Line::new(Login::new("faxbot", "s3cret").unwrap(), AmiConfig::new());
    line.say(banner("11.0.0"));
    line.answer("Success", &[("Challenge", "")]);
    assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
}

#[test]
fn a_refused_login_says_whether_another_try_may_help() {
    for (text, want) in [
        ("Authentication failed", CloseReason::Refused),
        ("Permission denied", CloseReason::Refused),
        ("Asterisk is shutting down", CloseReason::Busy),
        ("Login Already In Use", CloseReason::Busy),
        ("Authentication failed\n", CloseReason::Refused),
        ("something new", CloseReason::Busy),
    ] {
        for md5 in [false, true] {
            let login = Login::new("faxbot", "s3cret").unwrap().md5(md5);
            let mut line = Line::new(login, AmiConfig::new());
            line.say(banner("11.0.0"));
            line.answer("Error", &[("Message", text)]);
            assert_eq!(line.closed, Some(want.clone()), "{text} md5 {md5}");
            assert_eq!(line.session.poll_timeout(), None);
        }
    }
}

#[test]
fn a_good_bye_in_place_of_the_login_is_one() {
    let mut line = at_login();
    line.answer("Goodbye", &[]);
    assert_eq!(line.closed, Some(CloseReason::Goodbye));
}

#[test]
fn an_answer_to_nobody_is_no_challenge() {
    let mut line = Line::new(Login::new("faxbot", "s3cret").unwrap(), AmiConfig::new());
    line.say(banner("11.0.0"));
    line.respond("forged", "Success", &[("Challenge", "1")]);
    line.respond("forged", "Error", &[("Message", "Authentication failed")]);
    line.event("FullyBooted", &[]);
    assert_eq!(line.sent.len(), 1, "only our own Challenge was sent");
    assert!(line.closed.is_none() && line.events.is_empty());
}

#[test]
fn a_message_before_the_banner_is_a_violation() {
    let mut line = Line::new(login(), AmiConfig::new());
    let message = wire_support::ami::message("Response: Success\r\n\r\n");
    line.session.handle_frame(message, line.now);
    line.drain();
    assert!(matches!(line.closed, Some(CloseReason::Violation(_))));
}

#[test]
fn fully_booted_makes_ready_only_once() {
    let mut line = up();
    line.event("FullyBooted", &[]);
    assert!(line.ready.is_empty());
    assert_eq!(line.events.len(), 1);
}

#[test]
fn a_banner_glued_to_the_refusal_is_read() {
    let mut line = Line::new(login(), AmiConfig::new());
    line.bytes(b"Asterisk Call Manager/11.0.0\r\nResponse: Error\r\nMessage: Asterisk is shut");
    assert_eq!(line.closed, None);
    line.bytes(b"ting down\r\n\r\n");
    assert_eq!(
        line.closed, None,
        "without our ActionID it is not our answer"
    );
    line.answer("Error", &[("Message", "Asterisk is shutting down")]);
    assert_eq!(line.closed, Some(CloseReason::Busy));
}

#[test]
fn another_protocol_in_place_of_the_banner_is_a_violation() {
    for text in [
        "HTTP/1.1 400 Bad Request\r\n",
        "SSH-2.0-x\r\n",
        "Response: Success\r\n",
    ] {
        let mut line = Line::new(login(), AmiConfig::new());
        line.bytes(text.as_bytes());
        assert!(
            matches!(line.closed, Some(CloseReason::Violation(_))),
            "{text:?}"
        );
        assert!(line.sent.is_empty(), "the secret stays here");
    }
}

#[test]
fn a_server_that_is_silent_at_login_is_left() {
    let mut line = Line::new(login(), AmiConfig::new());
    line.pass(Duration::from_secs(9));
    assert_eq!(line.closed, None);
    line.pass(SECOND);
    assert_eq!(line.closed, Some(CloseReason::Silent));
    let mut line = at_login();
    line.pass(Duration::from_secs(10));
    assert_eq!(line.closed, Some(CloseReason::Silent));
}

#[test]
fn fully_booted_as_a_later_event_makes_ready() {
    let mut line = at_login();
    line.answer("Success", &[]);
    line.event("SuccessfulAuth", &[]);
    line.pass(Duration::from_secs(5));
    assert!(line.ready.is_empty());
    line.event("FullyBooted", &[("Status", "Fully Booted")]);
    assert!(line.ready[0].fully_booted);
}

#[test]
fn without_fully_booted_the_session_is_ready_late_and_says_so() {
    let mut line = at_login();
    line.answer("Success", &[]);
    for _ in 0..3 {
        line.pass(Duration::from_secs(10) - Duration::from_millis(1));
        assert!(line.ready.is_empty());
        line.event("Newchannel", &[]);
    }
    line.pass(SECOND);
    assert!(!line.ready[0].fully_booted);
    assert!(line.session.is_ready());
}

#[test]
fn a_session_that_need_not_wait_is_ready_with_the_login() {
    let config = AmiConfig::new().with_wait_fully_booted(false);
    let mut line = Line::new(login(), config);
    line.say(banner("11.0.0"));
    line.answer("Success", &[]);
    assert!(!line.ready[0].fully_booted);
    assert!(line.session.is_ready());
}

#[test]
fn no_secret_shows_in_debug() {
    let line = at_login();
    let shown = format!("{:?} {:?} {:?}", line.session, login(), line.sent);
    assert!(!shown.contains("s3cret"), "{shown}");
}
