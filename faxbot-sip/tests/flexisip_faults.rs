//! What goes wrong between us and FlexiAPI, and what it means for what reads and for what acts.
#![cfg(test)]
#![cfg(feature = "flexisip")]

mod flexisip_support;

use std::time::Duration;

use faxbot_core::{
    Effect::{self, NoEffect, Unknown},
    ErrorKind as E,
};
use faxbot_sip::adapter::flexisip::{NewAccount, Validation};
use faxbot_testkit::server::{
    flexisip::MockFlexisip,
    http::{Fault, FaultKind},
};
use flexisip_support::{admin, end};

fn answer(code: u16, body: &str) -> FaultKind {
    FaultKind::Status {
        code,
        retry_after: None,
        body: body.to_owned(),
    }
}

const PAGE: &str = "<!DOCTYPE html><html><title>Error</title></html>";
const JSON: &str = r#"{"message":"the server says so"}"#;

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_kind_and_effect() {
    type End = (E, Effect);
    let both = |end: End| (end, end);
    // The fault on every request, the end of what reads, the end of what acts.
    let rows: [(&str, FaultKind, (End, End)); 23] = [
        (
            "401 in plain text",
            answer(401, "Invalid API Key"),
            both((E::Authentication, NoEffect)),
        ),
        (
            "403",
            answer(403, JSON),
            both((E::PermissionDenied, NoEffect)),
        ),
        (
            "404 as a page",
            answer(404, PAGE),
            both((E::NotFound, NoEffect)),
        ),
        ("410", answer(410, JSON), both((E::NotFound, NoEffect))),
        ("400", answer(400, JSON), both((E::Rejected, NoEffect))),
        ("409", answer(409, JSON), both((E::Rejected, NoEffect))),
        (
            "422",
            answer(422, r#"{"message":"x","errors":{"username":["y"]}}"#),
            both((E::Rejected, NoEffect)),
        ),
        ("429", answer(429, JSON), both((E::Overloaded, NoEffect))),
        (
            "503 of its own",
            answer(503, JSON),
            both((E::ServerBusy, NoEffect)),
        ),
        (
            "503 of a proxy",
            answer(503, PAGE),
            ((E::ServerBusy, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "500",
            answer(500, JSON),
            ((E::ServerBusy, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "502",
            answer(502, PAGE),
            ((E::ServerBusy, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "the login page",
            answer(302, PAGE),
            both((E::Authentication, NoEffect)),
        ),
        (
            "another redirect",
            FaultKind::Redirect("http://elsewhere.example/".parse().unwrap()),
            ((E::Protocol, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "another status",
            answer(418, JSON),
            ((E::Protocol, NoEffect), (E::Protocol, Unknown)),
        ),
        (
            "a page with 200",
            FaultKind::Garbage,
            ((E::Protocol, NoEffect), (E::Protocol, Unknown)),
        ),
        (
            "no HTTP",
            FaultKind::NotHttp,
            ((E::Protocol, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "cut before it acts",
            FaultKind::CutBeforeEffect,
            ((E::Io, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "cut after it acts",
            FaultKind::CutAfterEffect,
            ((E::Io, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "cut in the answer",
            FaultKind::TruncatedBody,
            ((E::Io, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "no end of the answer",
            FaultKind::UnfinishedBody,
            ((E::Timeout, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "no answer",
            FaultKind::HangAfterEffect,
            ((E::Timeout, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
        (
            "an endless answer",
            FaultKind::TooLong,
            ((E::Protocol, NoEffect), (E::OutcomeUnknown, Unknown)),
        ),
    ];
    for (what, fault, (reads, acts)) in rows {
        let mock = MockFlexisip::new().in_memory();
        let api = admin(&mock).with_timeout(Duration::from_secs(2));
        mock.fault(Fault::new(fault.clone()).times(100));
        let error = api.account(2).await.unwrap_err();
        assert_eq!(end(&error), reads, "{what}, reading");
        assert_eq!(error.operation(), "account");

        let mock = MockFlexisip::new().in_memory();
        let api = admin(&mock).with_timeout(Duration::from_secs(2));
        mock.fault(Fault::new(fault).times(100));
        let error = api
            .create_account(&NewAccount::new("alice", "hunter2"))
            .await
            .unwrap_err();
        assert_eq!(end(&error), acts, "{what}, acting");
        assert_eq!(Validation::of(&error).is_some(), what == "422");
        // 429 took nothing: it may be tried again. Anything else that acts is sent once.
        let tries = if what == "429" { 4 } else { 1 };
        assert_eq!(mock.requests().len(), tries, "{what}");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("alice") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_get_that_changes_something_is_sent_once() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    mock.fault(Fault::new(FaultKind::CutAfterEffect).times(100));
    assert_eq!(
        api.provision(2).await.unwrap_err().kind(),
        E::OutcomeUnknown
    );
    assert_eq!(
        api.create_api_key().await.unwrap_err().kind(),
        E::OutcomeUnknown
    );
    assert_eq!(mock.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_reads_is_repeated_after_a_fault_that_passes() {
    for fault in [
        FaultKind::CutAfterEffect,
        FaultKind::too_many(2),
        FaultKind::status(502),
    ] {
        let mock = MockFlexisip::new().in_memory();
        mock.fault(Fault::new(fault));
        assert_eq!(admin(&mock).account(2).await.unwrap().id, 2);
        assert_eq!(mock.requests().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_that_have_another_form_are_no_success() {
    let mock = MockFlexisip::new().in_memory();
    let api = admin(&mock);
    for body in [
        "",
        "1",
        "null",
        "[]",
        "{}",
        "{\"id\":\"x\"}",
        "{\"id\":2",
        "\u{feff}{}",
    ] {
        mock.fault(Fault::new(answer(200, body)));
        let error = api.account(2).await.unwrap_err();
        assert_eq!(end(&error), (E::Protocol, NoEffect), "{body:?}");
    }
    for body in ["", "null", "1", "\"x\"", "[1]", "<html>"] {
        mock.fault(Fault::new(answer(200, body)));
        assert_eq!(
            api.devices(2).await.unwrap_err().kind(),
            E::Protocol,
            "{body:?}"
        );
    }
    for body in ["", "Pong", "<html>pong</html>", "{}"] {
        mock.fault(Fault::new(answer(200, body)));
        assert_eq!(
            api.ping().await.unwrap_err().kind(),
            E::Protocol,
            "{body:?}"
        );
    }
    // A key is a word, and not a page that somebody put before the server.
    for body in ["", "<html>", "a b c d e f", "short"] {
        mock.fault(Fault::new(answer(200, body)));
        assert_eq!(
            end(&api.create_api_key().await.unwrap_err()),
            (E::Protocol, Unknown),
            "{body:?}"
        );
    }
    // Members that are missing or new are no fault.
    mock.fault(Fault::new(answer(
        200,
        r#"{"id":"7","username":"a","domain":"b","dictionary":[],"types":null,"later":{}}"#,
    )));
    let account = api.account(7).await.unwrap();
    assert_eq!((account.id, account.activated), (7, false));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_host_is_told() {
    let mock = MockFlexisip::new().start().await;
    tokio::time::resume();
    let mut url = mock.url();
    url.set_host(Some("localhost")).unwrap();
    let http = faxbot_core::http::ReqwestClient::builder().build().unwrap();
    let api = faxbot_sip::adapter::flexisip::FlexiApi::new(
        std::sync::Arc::new(http),
        url,
        &flexisip_support::key(MockFlexisip::ADMIN_KEY),
        faxbot_core::clock::TokioClock::shared(),
        faxbot_core::random::SeededRandom::shared(7),
    )
    .unwrap();
    let error = api.ping().await.unwrap_err();
    assert_eq!(error.kind(), E::NotFound);
    assert_eq!(error.native_text(), Some("Host not configured"));
}
