//! Start, stop, what outlives them, and limits.

use std::sync::{Arc, Mutex};

use faxbot_core::{
    ErrorKind, Result,
    config::ConfigErrors,
    fax::JobStatus,
    id::JobId,
    plugin::{
        CancelOutcome, FaxPlugin, InboundQuery, Plugin, PluginCondition, PluginDeps, PluginId,
        SendOptions,
    },
    webhook::{WebhookHandler, WebhookPath, WebhookRegistry, WebhookRequest},
};
use faxbot_providers::cloud::fax::CloudFaxPlugin;
use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::{
    Bench, Full, NoHttp, SECOND, Setup, pause,
    vendor::{Answer, Scripted, error},
};

#[tokio::test(start_paused = true)]
async fn a_start_without_an_http_client_says_what_to_do() {
    let setup = Setup::new();
    let plugin = Full::default();
    let deps = PluginDeps::current().unwrap();
    let refused = plugin.start(setup.config(), deps).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
    assert!(refused.message().contains("with_http"), "{refused}");
    // And leaves the plugin stopped.
    plugin.start(setup.config(), setup.deps()).await.unwrap();
    let again = plugin
        .start(setup.config(), setup.deps())
        .await
        .unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidState);
}

#[tokio::test(start_paused = true)]
async fn every_problem_of_a_configuration_is_told_before_the_start() {
    let plugin = Full::new();
    let setup = Setup::new();
    let bad = json!({"options": {"poll_min": "9s", "poll_max": "5s", "upload": "x", "nope": 1}});
    let paths = |errors: &ConfigErrors| {
        let mut paths: Vec<_> = errors.iter().map(|error| error.path.clone()).collect();
        paths.sort();
        paths
    };
    let wrong = [
        "auth.account",
        "options.nope",
        "options.poll_max",
        "options.upload",
    ];
    assert_eq!(paths(&plugin.validate_config(&bad).unwrap_err()), wrong);
    let refused = plugin.start(bad, setup.deps()).await.unwrap_err();
    assert_eq!(paths(refused.config_errors().unwrap()), wrong);
    assert_eq!(
        paths(&plugin.validate_config(&Value::Null).unwrap_err()),
        ["auth.account"]
    );
    plugin.validate_config(&setup.config()).unwrap();
    let deps = setup.deps();
    deps.tasks.stop(SECOND).await;
    let refused = plugin.start(setup.config(), deps).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_run_is_in_an_invalid_state() {
    let bench = Bench::new().await;
    bench.plugin.stop().await.unwrap();
    bench.plugin.stop().await.unwrap();
    let id = JobId::new();
    let request = WebhookRequest::new(Method::POST, "/");
    let kinds = [
        bench.send_as(SendOptions::new()).await.map(drop),
        bench.plugin.get_status(&id).await.map(drop),
        bench.plugin.cancel_fax(&id).await.map(drop),
        bench.plugin.recover(&id).await.map(drop),
        bench.plugin.delete_file(&id).await,
        bench
            .plugin
            .list_inbound(InboundQuery::new())
            .await
            .map(drop),
        bench.plugin.get_inbound("1").await.map(drop),
        bench.plugin.handle_webhook(request).await.map(drop),
    ]
    .map(|result| result.unwrap_err().kind());
    assert_eq!(kinds, [ErrorKind::InvalidState; 8]);
}

#[tokio::test(start_paused = true)]
async fn what_the_manifest_does_not_name_is_unsupported() {
    let setup = Setup::new();
    let plugin = CloudFaxPlugin::<Scripted<false>>::new();
    plugin.start(setup.config(), setup.deps()).await.unwrap();
    let outcome = plugin.cancel_fax(&JobId::new()).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Unsupported);
    let request = WebhookRequest::new(Method::POST, "/");
    let kinds = [
        plugin.list_inbound(InboundQuery::new()).await.map(drop),
        plugin.get_inbound("1").await.map(drop),
        plugin.handle_webhook(request).await.map(drop),
    ]
    .map(|result| result.unwrap_err().kind());
    assert_eq!(kinds, [ErrorKind::Unsupported; 3]);
    assert!(setup.vendor.with(|books| books.asked.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_cancels_nothing_and_a_start_takes_up_what_the_vendor_has() {
    let mut bench = Bench::new().await;
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    bench.plugin.stop().await.unwrap();
    pause(1000).await;
    bench.start().await;
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    let asked = ["submit", "find", "cancel"].map(|what| bench.vendor().asked(what));
    assert_eq!(asked, [1, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_is_under_way_at_a_stop_is_waited_for() {
    let mut bench = Bench::new().await;
    bench.vendor().answer(Answer::Late(20 * SECOND));
    let job = bench.send().await;
    pause(5).await;
    bench.plugin.stop().await.unwrap();
    bench.start().await;
    assert_eq!(bench.word(&job).await, "in_progress");
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    let asked = ["submit", "find"].map(|what| bench.vendor().asked(what));
    assert_eq!(asked, [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_a_stop_cuts_off_is_looked_for_and_not_repeated() {
    for answer in [Answer::Late(100 * SECOND), Answer::Never] {
        let mut bench = Bench::new().await;
        bench.vendor().answer(answer.clone());
        let job = bench.send().await;
        pause(5).await;
        bench.plugin.stop().await.unwrap();
        let last = bench.words().pop().unwrap();
        assert_eq!(last.0, "outcome_unknown");
        bench.start().await;
        let word = if matches!(answer, Answer::Never) {
            pause(1000).await;
            "outcome_unknown"
        } else {
            bench.until(&job, "SUCCESS").await;
            "SUCCESS"
        };
        assert_eq!(bench.word(&job).await, word);
        assert_eq!(bench.vendor().asked("submit"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_looks_again_for_what_nobody_could_say_anything_of() {
    let mut bench = Bench::new().await;
    bench.vendor().answer(Answer::Lost(SECOND));
    bench.vendor().with(|books| books.list_lag = 1200 * SECOND);
    let job = bench.send().await;
    assert_eq!(bench.end(&job).await.status, JobStatus::OutcomeUnknown);
    pause(600).await;
    bench.plugin.stop().await.unwrap();
    bench.start().await;
    bench.until(&job, "SUCCESS").await;
    assert_eq!(bench.vendor().asked("submit"), 1);
    // It ended once.
    let status = bench.plugin.health_check().await.unwrap().detail.unwrap();
    assert_eq!(
        (&status["jobs_open"], &status["jobs_finished"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_at_a_stop_is_submitted_after_the_start() {
    let mut bench = Setup::new().option("max_uploads", 1).start().await;
    let busy = error(ErrorKind::Overloaded).with_retry_after(100 * SECOND);
    bench.vendor().answer(Answer::No(busy));
    let jobs = [bench.send().await, bench.send().await];
    tokio::time::sleep(SECOND * 3 / 2).await;
    bench.plugin.stop().await.unwrap();
    pause(5000).await;
    assert!(bench.vendor().asked("submit") <= 2);
    bench.start().await;
    for job in &jobs {
        assert_eq!(bench.end(job).await.status, JobStatus::Success);
    }
    let mut taken = bench.vendor().taken();
    taken.sort();
    let mut sent = jobs.to_vec();
    sent.sort();
    assert_eq!(taken, sent);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_keep_to_the_number_of_uploads() {
    let setup = Setup::new().converting(2).option("max_uploads", 4);
    let path = setup.file("letter.pdf", super::PDF);
    let bench = setup.start().await;
    let mut jobs = Vec::new();
    for _ in 0..1000 {
        let document = faxbot_core::document::Document::path(&path);
        jobs.push(
            bench
                .send_document(document, SendOptions::new())
                .await
                .unwrap(),
        );
    }
    for job in &jobs {
        assert_eq!(bench.end(job).await.status, JobStatus::Success);
    }
    // Of conversions and uploads together.
    let peak = bench
        .vendor()
        .peak
        .load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(peak, 4);
    assert_eq!(bench.vendor().taken().len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn finished_jobs_are_kept_by_number_and_time() {
    let bench = Setup::new()
        .option("retention", "10m")
        .option("retention_jobs", 2)
        .start()
        .await;
    bench.vendor().life(&[(0, "done")]);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let job = bench.send().await;
        bench.end(&job).await;
        jobs.push(job);
    }
    let known = async |job: &JobId| bench.plugin.get_status(job).await.is_ok();
    assert_eq!(
        [
            known(&jobs[0]).await,
            known(&jobs[1]).await,
            known(&jobs[2]).await
        ],
        [false, true, true]
    );
    pause(700).await;
    assert!(!known(&jobs[2]).await);
}

#[tokio::test(start_paused = true)]
async fn health_tells_how_the_vendor_answered_lately_and_asks_nothing() {
    let bench = Bench::new().await;
    let condition = async || bench.plugin.health_check().await.unwrap().status;
    assert_eq!(condition().await, PluginCondition::Unknown);
    let job = bench.send().await;
    bench.until(&job, "in_progress").await;
    assert_eq!(condition().await, PluginCondition::Healthy);
    let asked = bench.vendor().with(|books| books.asked.len());
    assert_eq!(condition().await, PluginCondition::Healthy);
    assert_eq!(bench.vendor().with(|books| books.asked.len()), asked);
    bench.vendor().life(&[(0, "sending")]);
    bench.vendor().says("sending");
    bench.vendor().down_for(10_000 * SECOND);
    pause(20).await;
    assert_eq!(condition().await, PluginCondition::Degraded);
    pause(1000).await;
    assert_eq!(condition().await, PluginCondition::Critical);
    let until = tokio::time::Instant::now() + 200 * SECOND;
    let refused = Some(error(ErrorKind::Authentication));
    bench
        .vendor()
        .with(|books| books.down = Some((until, refused)));
    pause(150).await;
    let health = bench.plugin.health_check().await.unwrap();
    assert_eq!(health.status, PluginCondition::Critical);
    assert!(health.message.unwrap().contains("credentials"));
    pause(200).await;
    assert_eq!(condition().await, PluginCondition::Healthy);
    bench.plugin.stop().await.unwrap();
    assert_eq!(condition().await, PluginCondition::Unknown);
}

/// Gives one URL, or none.
#[derive(Debug)]
struct Host {
    url: Option<Url>,
    asked: Mutex<Vec<(PluginId, WebhookPath)>>,
}

impl WebhookRegistry for Host {
    fn register_webhook(&self, plugin: &PluginId, path: WebhookPath) -> Result<Url> {
        self.asked.lock().unwrap().push((plugin.clone(), path));
        self.url.clone().ok_or_else(|| error(ErrorKind::Config))
    }
}

#[tokio::test(start_paused = true)]
async fn the_url_of_webhooks_is_the_configured_one_else_the_hosts_else_none() {
    let host_url = "https://host.example.org/webhooks/scripted/hush";
    let rows = [
        // configured, the host's, a webhook is taken, the start works
        (true, None, true, true),
        (true, Some(Some(host_url)), true, true),
        (true, Some(None), true, true),
        (false, None, false, true),
        (false, Some(Some(host_url)), true, true),
        (false, Some(None), false, false),
    ];
    for (configured, host, taken, starts) in rows {
        let mut setup = Setup::new();
        if !configured {
            setup.options = json!({});
        }
        let plugin = Full::new();
        let host = host.map(|url| {
            let url = url.map(|url: &str| url.parse().unwrap());
            Arc::new(Host {
                url,
                asked: Mutex::default(),
            })
        });
        let mut deps = setup.deps();
        if let Some(host) = &host {
            deps = deps.with_webhooks(host.clone());
        }
        let started = plugin
            .start(setup.config(), deps.with_http(Arc::new(NoHttp)))
            .await;
        assert_eq!(started.is_ok(), starts, "{configured} {host:?}");
        if let Some(host) = &host {
            let asked = host.asked.lock().unwrap().clone();
            assert_eq!(asked, [("scripted".parse().unwrap(), WebhookPath::Secret)]);
        }
        if starts {
            let reply = super::hook(&plugin, "signed", "[]").await;
            assert_eq!(reply.status, if taken { 200 } else { 401 });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_asks_again_where_a_list_did_not_answer_and_sends_nothing() {
    for earlier in [false, true] {
        let mut bench = Bench::new().await;
        let id = JobId::new();
        if earlier {
            let options = SendOptions::with_job_id(id.clone());
            bench.send_as(options).await.unwrap();
            bench.until(&id, "SUCCESS").await;
            bench.crash().await;
        }
        let submissions = bench.vendor().asked("submit");
        bench.vendor().down_for(1500 * SECOND);
        let options = SendOptions::with_job_id(id.clone());
        bench.send_as(options).await.unwrap();
        assert_eq!(bench.end(&id).await.status, JobStatus::OutcomeUnknown);
        pause(1000).await;
        bench.plugin.stop().await.unwrap();
        bench.start().await;
        pause(1000).await;
        let word = if earlier {
            "SUCCESS"
        } else {
            "outcome_unknown"
        };
        assert_eq!(bench.word(&id).await, word);
        assert_eq!(bench.vendor().asked("submit"), submissions);
    }
}

#[tokio::test(start_paused = true)]
async fn the_plugins_own_stores_outlive_a_stop() {
    let setup = Setup::new();
    let plugin = Full::new();
    let bare = || PluginDeps::current().unwrap().with_http(Arc::new(NoHttp));
    let fax = r#"[{"sid": "7", "pages": "%PDF-1.7 received"}]"#;
    let deps = bare();
    let mut events = deps.events.subscribe();
    plugin.start(setup.config(), deps).await.unwrap();
    assert_eq!(super::hook(&plugin, "signed", fax).await.status, 200);
    assert!(events.try_recv().is_some());
    plugin.stop().await.unwrap();
    let deps = bare();
    let mut events = deps.events.subscribe();
    plugin.start(setup.config(), deps).await.unwrap();
    assert!(plugin.get_inbound("7").await.is_ok());
    // Handled before, and not told again.
    assert_eq!(super::hook(&plugin, "signed", fax).await.status, 200);
    assert!(events.try_recv().is_none());
    assert_eq!(setup.vendor.asked("inbound"), 0);
}

/// The bytes of a document, and whether somebody still has them.
struct Letter {
    _held: Arc<()>,
}

impl AsRef<[u8]> for Letter {
    fn as_ref(&self) -> &[u8] {
        super::PDF
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_goes_when_the_vendor_has_it_and_a_task_with_the_end_of_its_job() {
    for word in ["in_progress", "FAILED", "outcome_unknown"] {
        let setup = Setup::new();
        setup.vendor.with(|books| books.drops_uploads = true);
        let bench = setup.start().await;
        match word {
            "FAILED" => bench
                .vendor()
                .answer(Answer::No(error(ErrorKind::Rejected))),
            "outcome_unknown" => bench.vendor().answer(Answer::Dropped),
            _ => {}
        }
        let held = Arc::new(());
        let letter = bytes::Bytes::from_owner(Letter {
            _held: held.clone(),
        });
        let document = faxbot_core::document::Document::bytes(letter);
        let job = bench
            .send_document(document, SendOptions::new())
            .await
            .unwrap();
        assert_eq!(Arc::strong_count(&held), 2);
        bench.until(&job, word).await;
        assert_eq!(Arc::strong_count(&held), 1, "{word}");
        if word == "in_progress" {
            assert_eq!(bench.tasks.len(), 1);
            let notice = json!([{"sid": "1000", "word": "done"}]);
            bench.webhook("signed", notice).await;
            pause(1).await;
        }
        assert_eq!(bench.tasks.len(), 0, "{word}");
    }
}
