//! A thousand sends a provider, and a fifth of all requests and callbacks goes wrong: none is sent
//! twice, and what is told of each agrees with the vendor's books.
#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use faxbot_core::{
    ErrorKind, Secret,
    document::Document,
    fax::JobStatus,
    id::JobId,
    message::{MessageContent, MessageKind, MessageState},
    plugin::{FaxPlugin, MessagingPlugin, Plugin, PluginDeps, SendOptions},
    webhook::WebhookRouter,
};
use faxbot_providers::{
    cloud::{FaxProvider, fax::CloudFaxPlugin},
    sinch_sms::SinchSmsPlugin,
};
use faxbot_testkit::{
    conformance::samples,
    fixtures::private,
    random::Seed,
    server::{
        http::{CallbackFault, FaultKind, MockHttp, MockVendor, RandomFaults},
        phaxio::{FaxEnd, MockPhaxio},
        sinch_fax::MockSinchFax,
        sinch_sms::{MockSinchSms, SmsEnd},
    },
};
use serde_json::{Value, json};

const SENDS: u32 = 1000;
/// The part of requests, and of callbacks, with which something goes wrong.
const FAULTS: f64 = 0.2;
/// Numbers that begin so do not get their fax.
const BUSY: &str = "+120255501";
const INVALID: &str = "+120255502";
const BROKEN: &str = "+120255503";
/// How long all may take, by the clock of the test.
const PATIENCE: Duration = Duration::from_secs(48 * 60 * 60);

fn number(n: u32) -> String {
    format!("+12025550{n:03}")
}

fn fails(number: &str) -> bool {
    [BUSY, INVALID, BROKEN]
        .iter()
        .any(|prefix| number.starts_with(prefix))
}

/// Faults of every kind, in what is asked and in what is told.
fn trouble<V: MockVendor>(mock: &MockHttp<V>, seed: Seed, router: &Arc<WebhookRouter>) {
    let hangs = [FaultKind::HangAfterEffect, FaultKind::HangBeforeEffect];
    mock.faults(RandomFaults::new(seed, FAULTS).and(hangs));
    let kinds = [
        CallbackFault::Lost,
        CallbackFault::Twice,
        CallbackFault::Late,
        CallbackFault::Tampered,
        CallbackFault::ReplyLost,
    ];
    mock.webhooks().faults(seed, FAULTS, kinds);
    let router = Arc::clone(router);
    mock.webhooks().to(move |request| {
        let router = Arc::clone(&router);
        async move { router.dispatch(request).await }
    });
}

fn router() -> Arc<WebhookRouter> {
    let public = "https://fax.example.org".parse().unwrap();
    let router = WebhookRouter::builder(public)
        .with_secret(Secret::new("the root of this test"))
        .build();
    Arc::new(router.unwrap())
}

/// Sends all, and compares with what the vendor took: the label and the number of each order.
async fn soak<P: FaxProvider, V: MockVendor>(
    mock: MockHttp<V>,
    config: Value,
    books: impl Fn(&V) -> Vec<(String, String)>,
) {
    let router = router();
    trouble(&mock, Seed::fresh(), &router);
    let plugin = Arc::new(CloudFaxPlugin::<P>::new());
    let deps = PluginDeps::current()
        .unwrap()
        .with_http(mock.client())
        .with_webhooks(router.clone());
    plugin.start(config, deps).await.unwrap();
    router.attach(&plugin.manifest().id, plugin.clone());

    let document = Document::bytes(samples::tiff(1).unwrap());
    let mut jobs: BTreeMap<JobId, String> = BTreeMap::new();
    for n in 0..SENDS {
        let to = number(n);
        let sent = plugin
            .send_fax(to.parse().unwrap(), document.clone(), SendOptions::new())
            .await
            .unwrap();
        assert!(jobs.insert(sent.job_id, to).is_none());
    }

    let end = tokio::time::Instant::now() + PATIENCE;
    let mut told: BTreeMap<JobId, JobStatus> = BTreeMap::new();
    while told.len() < jobs.len() {
        let now = tokio::time::Instant::now();
        assert!(now < end, "{} of {SENDS} have an end", told.len());
        tokio::time::sleep(Duration::from_secs(30)).await;
        for job in jobs
            .keys()
            .filter(|job| !told.contains_key(job))
            .cloned()
            .collect::<Vec<_>>()
        {
            let status = plugin.get_status(&job).await.unwrap().status;
            if status.is_final() || status == JobStatus::OutcomeUnknown {
                told.insert(job, status);
            }
        }
    }

    let taken = mock.vendor(|vendor| books(vendor));
    let labels: BTreeSet<&str> = taken.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels.len(), taken.len(), "a fax was sent twice");
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (job, status) in &told {
        let to = &jobs[job];
        let order = taken.iter().find(|(label, _)| label == job.as_str());
        assert!(
            order.is_none_or(|(_, number)| number == to),
            "another number"
        );
        let word = match status {
            JobStatus::Success => {
                assert!(order.is_some() && !fails(to), "SUCCESS without a delivery");
                "delivered"
            }
            JobStatus::Failed if order.is_some() => {
                assert!(fails(to), "FAILED, and it was delivered");
                "failed"
            }
            JobStatus::Failed => "refused",
            JobStatus::OutcomeUnknown if order.is_some() => "unknown, taken",
            JobStatus::OutcomeUnknown => "unknown, not taken",
            other => panic!("{other}"),
        };
        *counts.entry(word).or_default() += 1;
    }
    println!("{counts:?}");
    assert_eq!(counts.values().sum::<u32>(), SENDS);
    // What was staged did happen: most arrive, and of some nobody can say.
    assert!(counts["delivered"] > SENDS / 2, "{counts:?}");
    assert!(counts["failed"] > SENDS / 10, "{counts:?}");
    assert!(counts["unknown, not taken"] > 0, "{counts:?}");
    // A fax that the vendor took has a label, and lists are read until it is found.
    assert_eq!(counts.get("unknown, taken"), None, "{counts:?}");
    plugin.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn phaxio_sends_a_thousand_faxes_once() {
    let mock = MockPhaxio::new()
        .token(Some(MockPhaxio::TOKEN))
        .on_number(&format!("{BUSY}*"), FaxEnd::Busy)
        .on_number(&format!("{INVALID}*"), FaxEnd::InvalidNumber)
        .on_number(&format!("{BROKEN}*"), FaxEnd::FailsAfter(0))
        .in_memory();
    let config = json!({
        "api_key": MockPhaxio::KEY, "api_secret": MockPhaxio::SECRET,
        "callback_token": MockPhaxio::TOKEN,
        "options": { "base_url": mock.api_url() },
    });
    soak::<faxbot_providers::phaxio::Phaxio, _>(mock, config, |vendor| {
        let books = vendor.books();
        let order = |fax: &faxbot_testkit::server::phaxio::BookedFax| {
            (fax.tags["faxbot_job"].clone(), fax.to[0].clone())
        };
        books.iter().map(order).collect()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sinch_fax_sends_a_thousand_faxes_once() {
    let mock = MockSinchFax::new()
        .on_number(&format!("{BUSY}*"), FaxEnd::Busy)
        .on_number(&format!("{INVALID}*"), FaxEnd::InvalidNumber)
        .on_number(&format!("{BROKEN}*"), FaxEnd::FailsAfter(0))
        .in_memory();
    let config = json!({
        "project_id": MockSinchFax::PROJECT, "key_id": MockSinchFax::KEY_ID,
        "key_secret": MockSinchFax::KEY_SECRET,
        "options": { "base_url": mock.url(), "auth_url": mock.url() },
    });
    soak::<faxbot_providers::sinch_fax::SinchFax, _>(mock, config, |vendor| {
        let books = vendor.books();
        let order = |fax: &faxbot_testkit::server::sinch_fax::BookedFax| {
            (fax.labels["faxbot_job"].clone(), fax.to.clone())
        };
        books.iter().map(order).collect()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn sinch_sms_sends_a_thousand_messages_once() {
    const SECRET: &str = private::SIGNING_SECRET;
    let mock = MockSinchSms::new()
        .signs_with(SECRET)
        .on_number(&format!("{BUSY}*"), SmsEnd::Failed(404))
        .on_number(&format!("{INVALID}*"), SmsEnd::Rejected(402))
        .on_number(&format!("{BROKEN}*"), SmsEnd::Expired)
        .in_memory();
    let router = router();
    trouble(&mock, Seed::fresh(), &router);
    let plugin = Arc::new(SinchSmsPlugin::new());
    let deps = PluginDeps::current()
        .unwrap()
        .with_http(mock.client())
        .with_webhooks(router.clone());
    let config = json!({
        "service_plan_id": MockSinchSms::PLAN, "api_token": MockSinchSms::API_TOKEN,
        "from_number": "+12025550999", "webhook_secret": SECRET,
        "options": { "base_url": mock.url() },
    });
    plugin.start(config, deps).await.unwrap();
    router.attach(&plugin.manifest().id, plugin.clone());

    let mut sends = tokio::task::JoinSet::new();
    for n in 0..SENDS {
        let plugin = Arc::clone(&plugin);
        sends.spawn(async move {
            let to = number(n);
            // The text tells the orders apart in the vendor's books.
            let content = MessageContent::text(MessageKind::Sms, to.clone());
            let sent = plugin.send_message(to.parse().unwrap(), content).await;
            let id = match sent {
                Ok(sent) => Ok(sent.message_id),
                Err(error) => {
                    let id = error.message_id().expect("an id to ask by").to_owned();
                    Err((error.kind(), id))
                }
            };
            (to, id)
        });
    }
    let sent = sends.join_all().await;

    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    let end = tokio::time::Instant::now() + PATIENCE;
    for (to, id) in &sent {
        let (kind, id) = match id {
            Ok(id) => (None, id),
            Err((kind, id)) => (Some(*kind), id),
        };
        let state = loop {
            // A question to the vendor may fail as well; it changes nothing.
            match plugin.get_message_status(id).await.map(|it| it.status) {
                Ok(state @ (MessageState::Delivered | MessageState::Failed)) => break state,
                Ok(MessageState::OutcomeUnknown) => break MessageState::OutcomeUnknown,
                _ => assert!(tokio::time::Instant::now() < end, "no end"),
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        };
        let orders = mock.vendor(|vendor| {
            let books = vendor.books();
            books.iter().filter(|sms| sms.body == json!(to)).count()
        });
        assert!(orders <= 1, "a message was sent twice");
        let word = match (state, orders) {
            (MessageState::Delivered, 1) if !fails(to) => "delivered",
            (MessageState::Failed, 1) if fails(to) => "failed",
            (MessageState::Failed, 0) => {
                assert!(kind.is_some_and(|kind| kind != ErrorKind::OutcomeUnknown));
                "refused"
            }
            (MessageState::OutcomeUnknown, 0) => "unknown, not taken",
            (MessageState::OutcomeUnknown, 1) => "unknown, taken",
            other => panic!("{other:?}"),
        };
        *counts.entry(word).or_default() += 1;
    }
    println!("{counts:?}");
    assert_eq!(counts.values().sum::<u32>(), SENDS);
    assert!(counts["delivered"] > SENDS / 2, "{counts:?}");
    assert!(counts["failed"] > SENDS / 10, "{counts:?}");
    assert!(counts["unknown, not taken"] > 0, "{counts:?}");
    assert_eq!(counts.get("unknown, taken"), None, "{counts:?}");
    plugin.stop().await.unwrap();
}
