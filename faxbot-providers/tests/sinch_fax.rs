//! The plugin for Sinch Fax over a mock of the vendor, callbacks through a router.
#![cfg(test)]

mod fax_vendor_support;

use std::{sync::Arc, time::Duration};

use fax_vendor_support::{CALLER, NUMBER, Rig, bytes_of, connect, delivered, router, webhook_url};
use faxbot_core::{
    DocumentReason,
    document::{Document, Resolution},
    fax::{FailureClass, FaxRetryPolicy, JobStatus},
    http::ReqwestClient,
    plugin::{CancelOutcome, FaxPlugin, InboundQuery, Plugin, PluginEvent, SendOptions},
    webhook::{
        Authenticity, DeadLetterStore, InboundStore, WebhookPath, WebhookRequest, WebhookRouter,
    },
};
use faxbot_providers::sinch_fax::{ID, SinchFax};
use faxbot_testkit::server::{
    http::{CallbackFault, Fault, FaultKind, MockHttp},
    phaxio::MockPhaxio,
    sinch_fax::{FaxDialect, FaxEnd, FaxPace, MockSinchFax},
};
use http::Method;
use serde_json::{Value, json};
use url::Url;

const MINUTE: Duration = Duration::from_secs(60);
const FAXES: &str = "/v3/projects/";

fn config(mock: &MockHttp<MockSinchFax>, extra: Value) -> Value {
    let mut config = json!({
        "type": "sinch-fax", "project_id": MockSinchFax::PROJECT,
        "key_id": MockSinchFax::KEY_ID, "key_secret": MockSinchFax::KEY_SECRET,
        "base_url": mock.url(), "auth_url": mock.url(),
    });
    let extra = extra.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(extra);
    config
}

fn vendor() -> MockSinchFax {
    MockSinchFax::new().pace(FaxPace::real())
}

fn pdf(pages: u32) -> bytes::Bytes {
    MockPhaxio::blank_pdf(pages)
}

fn letter() -> Document {
    Document::bytes(pdf(2))
}

/// A vendor without callbacks.
async fn polled(vendor: MockSinchFax, extra: Value) -> (MockHttp<MockSinchFax>, Rig<SinchFax>) {
    let mock = vendor.in_memory();
    // No socket: the token's host is the mock, too.
    let rig = Rig::start(config(&mock, extra), mock.client(), None).await;
    (mock, rig)
}

/// A vendor that calls back.
async fn called(
    vendor: impl FnOnce(Url) -> MockSinchFax,
    extra: Value,
) -> (MockHttp<MockSinchFax>, Rig<SinchFax>, Arc<WebhookRouter>) {
    let router = router();
    let url = webhook_url(&router, &ID, WebhookPath::Secret);
    let mock = vendor(url).in_memory();
    connect(&mock, &router);
    let rig = Rig::start(config(&mock, extra), mock.client(), Some(&router)).await;
    (mock, rig, router)
}

fn submissions(mock: &MockHttp<MockSinchFax>) -> usize {
    mock.requests_on("POST", FAXES).len()
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_followed_by_polling_alone_in_each_form_of_a_body() {
    for (body, auth) in [
        ("json", "oauth2"),
        ("multipart", "oauth2"),
        ("json", "basic"),
    ] {
        for dialect in [FaxDialect::Node, FaxDialect::DotNet] {
            let extra = json!({"body": body, "auth_method": auth, "from": CALLER});
            let (mock, mut rig) = polled(vendor().dialect(dialect), extra).await;
            let options = SendOptions::new().with_resolution(Resolution::Superfine);
            let job = rig.send_as(letter(), options).await;
            let status = rig.end(&job).await;
            let what = format!("{body}, {auth}, {dialect:?}");
            assert_eq!(
                (status.status, status.pages),
                (JobStatus::Success, Some(2)),
                "{what}"
            );
            assert_eq!(rig.proof(&job), Some(Authenticity::Fetched), "{what}");
            let books = mock.vendor(|sinch| sinch.books());
            assert_eq!(books.len(), 1, "{what}");
            assert_eq!(
                (books[0].to.as_str(), books[0].from.as_deref()),
                (NUMBER, Some(CALLER))
            );
            assert_eq!(books[0].labels["faxbot_job"], job.as_str(), "{what}");
            assert_eq!(books[0].documents, [pdf(2)], "{what}");
            assert_eq!(books[0].resolution, "SUPERFINE", "{what}");
            let tokens = mock.vendor(|sinch| sinch.tokens_issued());
            assert_eq!(tokens, usize::from(auth == "oauth2"), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_is_fetched_before_it_is_believed() {
    let slow = json!({"poll_min": "1h", "poll_max": "1h"});
    let (mock, mut rig, _router) = called(|_| vendor(), slow).await;
    let job = rig.send(letter()).await;
    let status = rig.end(&job).await;
    assert_eq!((status.status, status.pages), (JobStatus::Success, Some(2)));
    assert_eq!(rig.proof(&job), Some(Authenticity::Fetched));
    assert_eq!(
        mock.requests_on("GET", FAXES).len(),
        1,
        "the callback, and no poll before it"
    );
}

#[tokio::test(start_paused = true)]
async fn user_and_password_of_the_callback_url_are_asked_for() {
    let router = router();
    let mut url = webhook_url(&router, &ID, WebhookPath::Secret);
    url.set_username("vendor").unwrap();
    url.set_password(Some("pass word:1")).unwrap();
    let mock = vendor().in_memory();
    connect(&mock, &router);
    let extra = json!({"callback_url": url, "poll_min": "1h", "poll_max": "1h"});
    let rig = Rig::<SinchFax>::start(config(&mock, extra), mock.client(), Some(&router)).await;
    let job = rig.send(letter()).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);

    // The service's own URL for received faxes lacks them.
    let bare = webhook_url(&router, &ID, WebhookPath::Secret);
    mock.vendor(|sinch| sinch.set_callback(Some(bare)));
    mock.vendor(|sinch| sinch.receive(CALLER, NUMBER, pdf(1)));
    delivered(&mock, 2).await;
    let last = mock.webhooks().deliveries().last().unwrap().status;
    assert_eq!(last.unwrap(), 401);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_fail_has_its_class() {
    for (end, class, nothing_sent) in [
        (FaxEnd::Busy, FailureClass::Busy, true),
        (FaxEnd::NoAnswer, FailureClass::NoAnswer, true),
        (FaxEnd::Congestion, FailureClass::Congestion, true),
        (FaxEnd::InvalidNumber, FailureClass::InvalidNumber, true),
        (FaxEnd::NotAFax, FailureClass::NotAFax, false),
        (FaxEnd::BadDocument, FailureClass::Document, true),
        (FaxEnd::NoFunds, FailureClass::LocalConfig, false),
        (FaxEnd::FailsAfter(1), FailureClass::CommError, false),
        (
            FaxEnd::Native("FAX_ERROR".into(), 133),
            FailureClass::Rejected,
            false,
        ),
        (
            FaxEnd::Native("DOCUMENT_CONVERSION_ERROR".into(), 133),
            FailureClass::Document,
            true,
        ),
        (
            FaxEnd::Native("FAX_ERROR".into(), 75),
            FailureClass::Cancelled,
            false,
        ),
        (
            FaxEnd::Native("BRAND_NEW".into(), 4711),
            FailureClass::Unknown,
            false,
        ),
    ] {
        let (mock, rig) = polled(vendor().on_number("*", end.clone()), json!({})).await;
        let mut once = FaxRetryPolicy::default();
        once.max_dials = 1;
        let job = rig
            .send_as(letter(), SendOptions::new().with_retry(once))
            .await;
        let status = rig.end(&job).await;
        let word = match class {
            FailureClass::Cancelled => JobStatus::Cancelled,
            _ => JobStatus::Failed,
        };
        assert_eq!(status.status, word, "{end:?}");
        let outcome = status.detail.outcome.unwrap();
        assert_eq!(outcome.class(), Some(class), "{end:?}");
        assert_eq!(
            outcome.certainly_nothing_delivered(),
            nothing_sent,
            "{end:?}: {outcome:?}"
        );
        assert_eq!(
            mock.vendor(|sinch| sinch.books()[0].max_retries),
            0,
            "{end:?}"
        );
        assert_eq!(submissions(&mock), 1, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_line_that_was_dialled_again_proves_nothing() {
    let vendor = vendor().on_number("*", FaxEnd::Busy);
    let (_mock, rig) = polled(vendor, json!({"max_retries": 2})).await;
    let job = rig.send(letter()).await;
    let outcome = rig.end(&job).await.detail.outcome.unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::Busy));
    assert!(!outcome.certainly_nothing_delivered(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn a_submission_without_an_answer_is_found_and_never_sent_again() {
    for kind in [
        FaultKind::CutAfterEffect,
        FaultKind::HangAfterEffect,
        FaultKind::StatusAfterEffect { code: 500 },
        FaultKind::StatusAfterEffect { code: 503 },
        FaultKind::TruncatedBody,
        FaultKind::Garbage,
        FaultKind::NotHttp,
    ] {
        for body in ["json", "multipart"] {
            let lag = Duration::from_secs(40);
            let (mock, rig) = polled(vendor().list_lag(lag), json!({"body": body})).await;
            mock.fault(Fault::new(kind.clone()).on("POST", FAXES));
            let job = rig.send(letter()).await;
            assert_eq!(
                rig.end(&job).await.status,
                JobStatus::Success,
                "{kind:?}, {body}"
            );
            assert_eq!(submissions(&mock), 1, "{kind:?}, {body}");
            assert_eq!(
                mock.vendor(|sinch| sinch.books().len()),
                1,
                "{kind:?}, {body}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_may_have_been_lost_is_told_as_unknown() {
    for kind in [
        FaultKind::CutBeforeEffect,
        FaultKind::HangBeforeEffect,
        FaultKind::status(502),
    ] {
        let (mock, rig) = polled(vendor(), json!({})).await;
        mock.fault(Fault::new(kind.clone()).on("POST", FAXES));
        let job = rig.send(letter()).await;
        assert_eq!(
            rig.end(&job).await.status,
            JobStatus::OutcomeUnknown,
            "{kind:?}"
        );
        assert_eq!(submissions(&mock), 1, "{kind:?}");
        assert!(mock.vendor(|sinch| sinch.books().is_empty()), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_or_waited_for() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    mock.fault(
        Fault::new(FaultKind::too_many(7))
            .on("POST", FAXES)
            .times(2),
    );
    let job = rig.send(letter()).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);

    mock.vendor(|sinch| sinch.set_without_funds(true));
    let job = rig.send(letter()).await;
    let status = rig.end(&job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(mock.vendor(|sinch| sinch.books().len()), 1);

    let wrong = json!({"key_secret": "another"});
    let rig = Rig::<SinchFax>::start(config(&mock, wrong), mock.client(), None).await;
    let job = rig.send(letter()).await;
    let outcome = rig.end(&job).await.detail.outcome.unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::LocalConfig));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_is_renewed_and_nothing_is_sent_twice() {
    let (mock, rig) = polled(vendor().without_basic(), json!({})).await;
    let first = rig.send(letter()).await;
    rig.until(&first, |status| *status == JobStatus::InProgress)
        .await;
    mock.vendor(MockSinchFax::expire_tokens);
    let second = rig.send(letter()).await;
    for job in [first, second] {
        assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    }
    assert_eq!(
        mock.vendor(|sinch| (sinch.books().len(), sinch.tokens_issued())),
        (2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_document_by_its_address_is_fetched_by_the_vendor() {
    for body in ["json", "multipart"] {
        let (mock, rig) = polled(vendor(), json!({"body": body})).await;
        let url = "https://files.example.org/a.pdf?token=x&y=a+b";
        let job = rig.send(Document::url(url.parse().unwrap())).await;
        assert_eq!(rig.end(&job).await.status, JobStatus::Success, "{body}");
        let books = mock.vendor(|sinch| sinch.books());
        assert_eq!(books[0].content_urls, [url], "{body}");
        assert!(books[0].documents.is_empty(), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_above_the_limit_is_refused_before_anything_is_sent() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    let mut big = b"%PDF-1.7 ".to_vec();
    big.resize(20_000_001, b' ');
    let error = rig
        .plugin
        .send_fax(
            NUMBER.parse().unwrap(),
            Document::bytes(big),
            SendOptions::new(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.document_reason(), Some(DocumentReason::TooLarge));
    assert_eq!(submissions(&mock), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fax_cannot_be_cancelled() {
    let (_mock, rig) = polled(vendor().on_number("*", FaxEnd::Endless), json!({})).await;
    let job = rig.send(letter()).await;
    rig.until(&job, |status| *status == JobStatus::InProgress)
        .await;
    let outcome = rig.plugin.cancel_fax(&job).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_a_fax_by_its_job_id() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    let id = SendOptions::with_job_id("job-of-mine".parse().unwrap());
    let job = rig.send_as(letter(), id.clone()).await;
    rig.until(&job, |status| *status == JobStatus::InProgress)
        .await;
    drop(rig);

    let rig = Rig::<SinchFax>::start(config(&mock, json!({})), mock.client(), None).await;
    assert_eq!(
        rig.plugin.recover(&job).await.unwrap().status,
        JobStatus::InProgress
    );
    rig.send_as(letter(), id).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    assert_eq!(mock.vendor(|sinch| sinch.books().len()), 1);
    rig.plugin.delete_file(&job).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_received_fax_is_stored_once_whole_and_listed() {
    for json_form in [true, false] {
        let vendor = |url| {
            let vendor = vendor().calls_back(url);
            if json_form {
                vendor.incoming_as_json()
            } else {
                vendor
            }
        };
        let (mock, mut rig, _router) = called(vendor, json!({})).await;
        mock.webhooks().next(CallbackFault::Twice);
        mock.fault(Fault::new(FaultKind::status(500)).on("GET", FAXES).times(6));
        let id = mock.vendor(|sinch| sinch.receive(CALLER, NUMBER, pdf(3)));
        delivered(&mock, 1).await;
        mock.webhooks().replay(1);
        assert!(mock.webhooks().settled(MINUTE * 10).await);
        let received: Vec<_> = rig
            .events()
            .into_iter()
            .filter_map(|event| match event {
                PluginEvent::FaxReceived(fax) => Some(fax),
                _ => None,
            })
            .collect();
        assert_eq!(received.len(), 1, "{json_form}");
        assert_eq!(
            (received[0].id.as_str(), received[0].pages),
            (id.as_str(), Some(3))
        );
        assert_eq!(received[0].from.as_ref().unwrap().expose(), CALLER);
        assert_eq!(received[0].authenticity, Some(Authenticity::Fetched));
        let (_, file) = rig.inbound.fax("sinch-fax", &id).await.unwrap().unwrap();
        assert_eq!(file.bytes, pdf(3), "{json_form}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_callback_of_a_stranger_is_believed_in_nothing() {
    let (mock, mut rig, router) =
        called(|_| vendor(), json!({"poll_min": "1h", "poll_max": "1h"})).await;
    let job = rig.send(letter()).await;
    rig.until(&job, |status| *status == JobStatus::InProgress)
        .await;
    let sid = mock.vendor(|sinch| sinch.books()[0].id.clone());
    let url = webhook_url(&router, &ID, WebhookPath::Secret);
    let lie = |sid: &str, event: &str| {
        let fax = json!({"id": sid, "direction": "OUTBOUND", "status": "FAILURE", "errorType": "FAX_ERROR",
            "errorCode": 8, "labels": {"faxbot_job": job.as_str()},
            "contentUrl": ["http://169.254.169.254/latest"]});
        let body = json!({"event": event, "fax": fax, "file": "aHVzaA==", "fileType": "PDF"});
        WebhookRequest::new(Method::POST, url.path()).with_body(body.to_string())
    };
    for (sid, event) in [
        (sid.as_str(), "FAX_COMPLETED"),
        ("01OTHER", "FAX_COMPLETED"),
        ("01OTHER", "INCOMING_FAX"),
        (sid.as_str(), "INCOMING_FAX"),
    ] {
        router.dispatch(lie(sid, event)).await;
        let status = rig.plugin.get_status(&job).await.unwrap().status;
        assert!(!status.is_final(), "{event} of {sid}: {status}");
    }
    assert!(
        rig.events()
            .iter()
            .all(|event| !matches!(event, PluginEvent::FaxReceived(_)))
    );
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    let strangers = mock.requests();
    assert!(
        strangers
            .iter()
            .all(|r| r.path.starts_with(FAXES) || r.path == "/oauth2/token")
    );
    // What cannot be read is kept for a person.
    let garbled = WebhookRequest::new(Method::POST, url.path()).with_body("{");
    assert_eq!(router.dispatch(garbled).await.status, 200);
    assert_eq!(rig.letters.list(10).await.unwrap().len(), 1);
    // Without the secret of the path nothing is even read.
    let open = WebhookRequest::new(Method::POST, "/webhooks/sinch-fax");
    assert_eq!(router.dispatch(open).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_received_fax_that_nobody_told_of_is_in_the_list() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(mock.vendor(|sinch| sinch.receive_quietly(CALLER, NUMBER, pdf(1))));
        tokio::time::sleep(MINUTE).await;
    }
    let mut query = InboundQuery::new().with_limit(2);
    let mut seen = Vec::new();
    loop {
        let page = rig.plugin.list_inbound(query).await.unwrap();
        seen.extend(page.items.into_iter().map(|fax| fax.id));
        tokio::time::sleep(MINUTE).await;
        // One that comes in meanwhile pushes no other from its place.
        mock.vendor(|sinch| sinch.receive_quietly(CALLER, NUMBER, pdf(1)));
        match page.next_cursor {
            Some(cursor) => query = InboundQuery::new().with_limit(2).with_cursor(cursor),
            None => break,
        }
    }
    ids.reverse();
    assert_eq!(seen, ids, "newest first");
    let document = rig.plugin.get_inbound(&ids[0]).await.unwrap();
    assert_eq!(bytes_of(&document), pdf(1));
}

#[tokio::test]
async fn it_works_over_sockets() {
    let router = router();
    let url = webhook_url(&router, &ID, WebhookPath::Secret);
    let mock = MockSinchFax::new().calls_back(url).start().await;
    connect(&mock, &router);
    let http = Arc::new(ReqwestClient::new().unwrap());
    let rig =
        Rig::<SinchFax>::start(config(&mock, json!({"poll_min": 1})), http, Some(&router)).await;
    let job = rig.send(letter()).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    let id = mock.vendor(|sinch| sinch.receive(CALLER, NUMBER, pdf(1)));
    delivered(&mock, 2).await;
    let stored = rig.inbound.fax("sinch-fax", &id).await.unwrap();
    assert_eq!(stored.unwrap().1.bytes, pdf(1));
    rig.plugin.stop().await.unwrap();
}
