//! The plugin for Phaxio over a mock of the vendor, callbacks through a router.
#![cfg(test)]

mod fax_vendor_support;

use std::{sync::Arc, time::Duration};

use fax_vendor_support::{CALLER, NUMBER, Rig, bytes_of, connect, delivered, router, webhook_url};
use faxbot_core::{
    document::Document,
    fax::{FailureClass, FaxPhase, JobStatus},
    http::{HttpClient, ReqwestClient},
    plugin::{
        CancelOutcome, FaxPlugin, InboundQuery, Plugin, PluginDeps, PluginEvent, SendOptions,
    },
    webhook::{Authenticity, DeadLetterStore, InboundStore, WebhookPath, WebhookRouter},
};
use faxbot_providers::phaxio::{ID, Phaxio, PhaxioPlugin};
use faxbot_testkit::server::{
    http::{CallbackFault, Fault, FaultKind, MockHttp},
    phaxio::{CallbackVersion, FaxEnd, FaxPace, MockPhaxio},
};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn config(mock: &MockHttp<MockPhaxio>, extra: Value) -> Value {
    let mut config = json!({
        "type": "phaxio",
        "api_key": MockPhaxio::KEY, "api_secret": MockPhaxio::SECRET,
        "callback_token": MockPhaxio::TOKEN,
        "base_url": mock.url().join("v2.1").unwrap(),
    });
    let extra = extra.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(extra);
    config
}

fn vendor() -> MockPhaxio {
    MockPhaxio::new().pace(FaxPace::real())
}

fn letter() -> Document {
    Document::bytes(MockPhaxio::blank_pdf(2))
}

/// A vendor without callbacks.
async fn polled(vendor: MockPhaxio, extra: Value) -> (MockHttp<MockPhaxio>, Rig<Phaxio>) {
    let mock = vendor.in_memory();
    let rig = Rig::start(config(&mock, extra), mock.client(), None).await;
    (mock, rig)
}

/// A vendor that calls back.
async fn called(
    vendor: impl FnOnce(&str) -> MockPhaxio,
    extra: Value,
) -> (MockHttp<MockPhaxio>, Rig<Phaxio>, Arc<WebhookRouter>) {
    let router = router();
    let url = webhook_url(&router, &ID, WebhookPath::Plain);
    let mock = vendor(url.as_str()).in_memory();
    connect(&mock, &router);
    let rig = Rig::start(config(&mock, extra), mock.client(), Some(&router)).await;
    (mock, rig, router)
}

fn submissions(mock: &MockHttp<MockPhaxio>) -> usize {
    let requests = mock.requests_on("POST", "/v2.1/faxes");
    requests
        .iter()
        .filter(|request| request.path == "/v2.1/faxes")
        .count()
}

#[tokio::test(start_paused = true)]
async fn a_fax_is_followed_by_polling_alone() {
    let (mock, mut rig) = polled(vendor(), json!({"caller_id": CALLER, "header": "Praxis"})).await;
    let job = rig.send(letter()).await;
    let status = rig.end(&job).await;
    assert_eq!((status.status, status.pages), (JobStatus::Success, Some(2)));
    assert_eq!(rig.proof(&job), Some(Authenticity::Fetched));
    let books = mock.vendor(|phaxio| phaxio.books());
    assert_eq!(books.len(), 1);
    assert_eq!(books[0].to, [NUMBER]);
    assert_eq!(books[0].tags["faxbot_job"], job.as_str());
    assert_eq!(books[0].documents, [MockPhaxio::blank_pdf(2)]);
    assert_eq!(books[0].caller_id.as_deref(), Some(CALLER));
    assert_eq!(books[0].header_text.as_deref(), Some("Praxis"));
    assert_eq!(books[0].callback_url, None);
}

#[tokio::test(start_paused = true)]
async fn a_signed_callback_is_believed_and_tells_at_once() {
    for version in [
        CallbackVersion::Full,
        CallbackVersion::Documented,
        CallbackVersion::Version1,
    ] {
        let slow = json!({"poll_min": "1h", "poll_max": "1h"});
        let (mock, mut rig, _router) = called(|_| vendor().version(version), slow).await;
        let job = rig.send(letter()).await;
        let status = rig.end(&job).await;
        assert_eq!(
            (status.status, status.pages),
            (JobStatus::Success, Some(2)),
            "{version:?}"
        );
        assert_eq!(rig.proof(&job), Some(Authenticity::Signed), "{version:?}");
        let asked = mock.requests_on("GET", "/v2.1/faxes");
        assert!(asked.is_empty(), "{version:?}: {asked:?}");
    }
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
            FaxEnd::Native("faxError".into(), 133),
            FailureClass::Rejected,
            false,
        ),
        (
            FaxEnd::Native("documentConversionError".into(), 133),
            FailureClass::Document,
            true,
        ),
        (
            FaxEnd::Native("fatalError".into(), 75),
            FailureClass::Cancelled,
            false,
        ),
        (
            FaxEnd::Native("brandNewError".into(), 4711),
            FailureClass::Unknown,
            false,
        ),
    ] {
        let (mock, rig) = polled(vendor().on_number("*", end.clone()), json!({})).await;
        let job = rig.send(letter()).await;
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
        assert_eq!(submissions(&mock), 1, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_line_that_was_dialled_again_proves_nothing() {
    let vendor = vendor().on_number("*", FaxEnd::Busy).redials(2);
    let (_mock, rig) = polled(vendor, json!({})).await;
    let job = rig.send(letter()).await;
    let outcome = rig.end(&job).await.detail.outcome.unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::Busy));
    assert!(!outcome.certainly_nothing_delivered());
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
        let lag = Duration::from_secs(40);
        let (mock, rig) = polled(vendor().list_lag(lag), json!({})).await;
        mock.fault(Fault::new(kind.clone()).on("POST", "/v2.1/faxes"));
        let job = rig.send(letter()).await;
        assert_eq!(rig.end(&job).await.status, JobStatus::Success, "{kind:?}");
        assert_eq!(submissions(&mock), 1, "{kind:?}");
        assert_eq!(mock.vendor(|phaxio| phaxio.books().len()), 1, "{kind:?}");
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
        mock.fault(Fault::new(kind.clone()).on("POST", "/v2.1/faxes"));
        let job = rig.send(letter()).await;
        assert_eq!(
            rig.end(&job).await.status,
            JobStatus::OutcomeUnknown,
            "{kind:?}"
        );
        assert_eq!(submissions(&mock), 1, "{kind:?}");
        assert!(mock.vendor(|phaxio| phaxio.books().is_empty()), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_or_waited_for() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    mock.fault(
        Fault::new(FaultKind::too_many(7))
            .on("POST", "/v2.1/faxes")
            .times(2),
    );
    let job = rig.send(letter()).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    assert_eq!(mock.vendor(|phaxio| phaxio.books().len()), 1);

    mock.vendor(|phaxio| phaxio.set_without_funds(true));
    let job = rig.send(letter()).await;
    let status = rig.end(&job).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert!(
        !status.error.unwrap().contains("funds"),
        "the vendor's words are not ours"
    );
    assert_eq!(mock.vendor(|phaxio| phaxio.books().len()), 1);

    let wrong = json!({"api_secret": "another"});
    let rig = Rig::<Phaxio>::start(config(&mock, wrong), mock.client(), None).await;
    let job = rig.send(letter()).await;
    let outcome = rig.end(&job).await.detail.outcome.unwrap();
    assert_eq!(outcome.class(), Some(FailureClass::LocalConfig));
}

#[tokio::test(start_paused = true)]
async fn a_document_by_its_address_is_fetched_by_the_vendor() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    let url = "https://files.example.org/a.pdf?token=x&y=a+b";
    let job = rig.send(Document::url(url.parse().unwrap())).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    let books = mock.vendor(|phaxio| phaxio.books());
    assert_eq!(books[0].content_urls, [url]);
    assert!(books[0].documents.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_asked_for_and_its_end_is_told() {
    let (_mock, rig) = polled(vendor().on_number("*", FaxEnd::Endless), json!({})).await;
    let job = rig.send(letter()).await;
    rig.until(&job, |status| *status == JobStatus::InProgress)
        .await;
    let outcome = rig.plugin.cancel_fax(&job).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Requested);
    assert_eq!(rig.end(&job).await.status, JobStatus::Cancelled);
    assert_eq!(
        rig.plugin.cancel_fax(&job).await.unwrap(),
        CancelOutcome::Cancelled
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_a_fax_by_its_job_id() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    let id = SendOptions::with_job_id("job-of-mine".parse().unwrap());
    let job = rig.send_as(letter(), id.clone()).await;
    rig.until(&job, |status| *status == JobStatus::InProgress)
        .await;
    drop(rig);

    let rig = Rig::<Phaxio>::start(config(&mock, json!({})), mock.client(), None).await;
    assert_eq!(
        rig.plugin.recover(&job).await.unwrap().status,
        JobStatus::InProgress
    );
    rig.send_as(letter(), id).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    assert_eq!(mock.vendor(|phaxio| phaxio.books().len()), 1);
    rig.plugin.delete_file(&job).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pages_on_their_way_are_told_as_progress() {
    let slow = json!({"poll_min": "1h", "poll_max": "1h"});
    let (mock, mut rig, _router) = called(|_| vendor().with_inflight(), slow).await;
    let job = rig.send(Document::bytes(MockPhaxio::blank_pdf(3))).await;
    rig.end(&job).await;
    let pages: Vec<_> = rig
        .events()
        .into_iter()
        .filter_map(|event| match event {
            PluginEvent::FaxProgress { progress, .. }
                if progress.phase == FaxPhase::Transmitting =>
            {
                assert_eq!(progress.pages_total, 3);
                progress.page
            }
            _ => None,
        })
        .collect();
    assert_eq!(pages, [1, 2, 3]);
    assert!(
        mock.webhooks()
            .deliveries()
            .iter()
            .all(|it| it.status.is_some_and(|s| s == 200))
    );
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_was_changed_or_is_not_signed_is_refused() {
    let (mock, mut rig, _router) = called(|_| vendor(), json!({})).await;
    mock.webhooks().next(CallbackFault::Tampered);
    let job = rig.send(letter()).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    assert!(mock.webhooks().settled(MINUTE).await);
    let replies: Vec<_> = mock
        .webhooks()
        .deliveries()
        .iter()
        .map(|it| it.status.unwrap().as_u16())
        .collect();
    assert_eq!(replies, [401, 200]);
    assert!(rig.letters.list(10).await.unwrap().is_empty());

    for token in [None, Some("another token")] {
        let (mock, rig, _router) = called(|_| vendor().token(token), json!({})).await;
        let job = rig.send(letter()).await;
        assert_eq!(rig.end(&job).await.status, JobStatus::Success, "by polling");
        assert!(mock.webhooks().settled(MINUTE).await);
        let deliveries = mock.webhooks().deliveries();
        assert!(
            deliveries.iter().all(|it| it.status.unwrap() == 401),
            "{deliveries:?}"
        );
    }
    // Its repetition was whole.
    assert_eq!(rig.proof(&job), Some(Authenticity::Signed));
}

#[tokio::test(start_paused = true)]
async fn a_received_fax_is_stored_once_whole_and_listed() {
    let pdf = MockPhaxio::blank_pdf(3);
    for version in [
        CallbackVersion::Full,
        CallbackVersion::Documented,
        CallbackVersion::Version1,
    ] {
        for with_file in [true, false] {
            let (mock, mut rig, _router) = called(
                |url| {
                    let vendor = vendor().calls_back(url).version(version);
                    if with_file {
                        vendor
                    } else {
                        vendor.without_file()
                    }
                },
                json!({}),
            )
            .await;
            mock.webhooks().next(CallbackFault::Twice);
            let id = mock
                .vendor(|phaxio| phaxio.receive(CALLER, NUMBER, pdf.clone()))
                .to_string();
            delivered(&mock, 1).await;
            mock.webhooks().replay(1);
            assert!(mock.webhooks().settled(MINUTE).await);
            let received: Vec<_> = rig
                .events()
                .into_iter()
                .filter_map(|event| match event {
                    PluginEvent::FaxReceived(fax) => Some(fax),
                    _ => None,
                })
                .collect();
            let what = format!("{version:?}, with file: {with_file}");
            assert_eq!(received.len(), 1, "{what}");
            assert_eq!(
                (received[0].id.as_str(), received[0].pages),
                (id.as_str(), Some(3)),
                "{what}"
            );
            assert_eq!(
                received[0].from.as_ref().unwrap().expose(),
                CALLER,
                "{what}"
            );
            let proof = if with_file {
                Authenticity::Signed
            } else {
                Authenticity::Fetched
            };
            assert_eq!(received[0].authenticity, Some(proof), "{what}");
            let (_, file) = rig.inbound.fax("phaxio", &id).await.unwrap().unwrap();
            assert_eq!(file.bytes, pdf, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_received_fax_that_nobody_told_of_is_in_the_list() {
    let (mock, rig) = polled(vendor(), json!({})).await;
    let pdf = MockPhaxio::blank_pdf(1);
    let ids: Vec<String> = (0..5)
        .map(|_| {
            mock.vendor(|phaxio| phaxio.receive_quietly(CALLER, NUMBER, pdf.clone()))
                .to_string()
        })
        .collect();
    let mut query = InboundQuery::new().with_limit(2);
    let mut seen = Vec::new();
    loop {
        let page = rig.plugin.list_inbound(query).await.unwrap();
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|fax| fax.id));
        // One that comes in meanwhile pushes no other from its place.
        tokio::time::sleep(MINUTE).await;
        mock.vendor(|phaxio| phaxio.receive_quietly(CALLER, NUMBER, pdf.clone()));
        match page.next_cursor {
            Some(cursor) => query = InboundQuery::new().with_limit(2).with_cursor(cursor),
            None => break,
        }
    }
    seen.retain(|id| ids.contains(id));
    seen.sort_unstable();
    assert_eq!(seen, ids);
    let document = rig.plugin.get_inbound(&ids[0]).await.unwrap();
    assert_eq!(bytes_of(&document), pdf);
}

#[tokio::test(start_paused = true)]
async fn without_signatures_a_callback_is_fetched_before_it_is_believed() {
    let router = router();
    let url = webhook_url(&router, &ID, WebhookPath::Secret);
    let mock = vendor().token(None).reports_to(url.as_str()).in_memory();
    connect(&mock, &router);
    let open = json!({"verify_signature": false, "poll_min": "1h", "poll_max": "1h"});
    let mut rig = Rig::<Phaxio>::start(config(&mock, open), mock.client(), Some(&router)).await;
    let job = rig.send(letter()).await;
    let status = rig.end(&job).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!(rig.proof(&job), Some(Authenticity::Fetched));
    assert!(!mock.requests_on("GET", "/v2.1/faxes/").is_empty());
}

#[tokio::test]
async fn callbacks_without_a_token_do_not_start() {
    let mock = vendor().in_memory();
    let mut config = config(&mock, json!({}));
    config.as_object_mut().unwrap().remove("callback_token");
    let http: Arc<dyn HttpClient> = mock.client();
    let deps = PluginDeps::current().unwrap().with_http(http);
    let plugin = PhaxioPlugin::new();
    let error = plugin
        .start(config.clone(), deps.clone().with_webhooks(router()))
        .await
        .unwrap_err();
    let problems = error.config_errors().unwrap();
    assert_eq!(problems.first().path, "auth.callback_token");
    plugin.start(config, deps).await.unwrap();
}

#[tokio::test]
async fn it_works_over_sockets() {
    let router = router();
    let url = webhook_url(&router, &ID, WebhookPath::Plain);
    let mock = MockPhaxio::new().calls_back(url.as_str()).start().await;
    connect(&mock, &router);
    let http = Arc::new(ReqwestClient::new().unwrap());
    let quick = json!({"poll_min": 1, "requests_per_second": 100, "request_burst": 100});
    let rig = Rig::<Phaxio>::start(config(&mock, quick), http, Some(&router)).await;
    let job = rig.send(letter()).await;
    assert_eq!(rig.end(&job).await.status, JobStatus::Success);
    let id = mock.vendor(|phaxio| phaxio.receive(CALLER, NUMBER, MockPhaxio::blank_pdf(1)));
    delivered(&mock, 2).await;
    let stored = rig.inbound.fax("phaxio", &id.to_string()).await.unwrap();
    assert_eq!(stored.unwrap().0.pages, Some(1));
    let document = rig.plugin.get_inbound(&id.to_string()).await.unwrap();
    assert_eq!(bytes_of(&document), MockPhaxio::blank_pdf(1));
    rig.plugin.stop().await.unwrap();
}
