//! Requests and faxes that are lost sight of.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Result, Timestamp,
    fax::JobStatus,
    id::JobId,
    plugin::{FaxPlugin, Plugin, PluginDeps, SendOptions},
    sip::{Lookup, UnknownReason},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::fake::FaxScript;
use serde_json::Value;

use super::{Bench, PAGES, pause};

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_never_dialled_again_nor_released() {
    let bench = Bench::new().await;
    let status = bench.play([FaxScript::unknown(1)]).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert_eq!(status.pages, Some(1));
    assert!(status.error.is_some());
    pause(100_000).await;
    assert_eq!(bench.dials(), 1);
    assert!(bench.adapter.released().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_looked_up_and_the_fax_followed_to_its_end() {
    let bench = Bench::new().await;
    let lost = FaxScript::success(PAGES).with_lost_reply();
    let status = bench.play([lost]).await;
    assert_eq!(status.status, JobStatus::Success);
    assert_eq!(status.pages, Some(PAGES));
    assert_eq!(bench.dials(), 1);
    let lookups = bench.adapter.lookups();
    assert!(lookups.len() > 1);
    assert!(lookups.iter().all(|call| call.requested_at.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_handle_is_looked_up_also_while_there_is_no_connection() {
    let bench = Bench::new().await;
    let cut = FaxScript::success(PAGES).with_lost_handle(Duration::from_secs(30));
    bench.adapter.script(cut);
    let job = bench.send(SendOptions::new()).await.unwrap();
    pause(25).await;
    bench.adapter.set_connected(false);
    pause(300).await;
    let status = bench.plugin.get_status(&job).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    bench.adapter.set_connected(true);
    assert_eq!(bench.end(&job).await.status, JobStatus::Success);
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fax_of_which_nobody_hears_again_is_unknown_with_the_pages_last_seen() {
    let bench = Bench::new().await;
    let cut = FaxScript::success(PAGES).with_lost_handle(Duration::from_secs(30));
    bench.adapter.script(cut);
    let job = bench.send(SendOptions::new()).await.unwrap();
    pause(29).await;
    bench.adapter.set_connected(false);
    let status = bench.end(&job).await;
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
    assert_eq!(status.pages, Some(1));
    bench.adapter.set_connected(true);
    pause(100_000).await;
    assert_eq!(bench.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_server_that_never_took_the_request_permits_another_dial() {
    let busy = || Error::new(ErrorKind::NotConnected, "lookup", "no connection");
    let unknown = |reason| Ok(Lookup::Unknown(reason));
    let rows: [(Vec<Result<Lookup>>, &str, usize); 5] = [
        (vec![Ok(Lookup::NeverExisted)], "SUCCESS", 2),
        (
            vec![
                unknown(UnknownReason::TooRecent),
                Err(busy()),
                Ok(Lookup::NeverExisted),
            ],
            "SUCCESS",
            2,
        ),
        (
            vec![unknown(UnknownReason::ServerRestarted)],
            "outcome_unknown",
            1,
        ),
        (vec![unknown(UnknownReason::NotKept)], "outcome_unknown", 1),
        (
            std::iter::repeat_n(Err(busy()), 1000).collect(),
            "outcome_unknown",
            1,
        ),
    ];
    for (answers, word, dials) in rows {
        let bench = Bench::new().await;
        answers
            .into_iter()
            .for_each(|answer| bench.adapter.answer_lookup(answer));
        let status = bench.play([FaxScript::lost_request()]).await;
        assert_eq!((status.status.as_str(), bench.dials()), (word, dials));
        if dials == 2 {
            // The call that was never made counts as none.
            assert_eq!(status.detail.attempts.len(), 1);
            let requests = bench.adapter.requests();
            assert_eq!(requests[0].id, requests[1].id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_process_finds_out_by_the_job_id() {
    let bench = Bench::new().await;
    let sent_at = Timestamp::now() - Duration::from_secs(60);
    bench.adapter.script(FaxScript::busy());
    let job = bench.send(SendOptions::new()).await.unwrap();
    bench
        .until(&job, |s| {
            s.detail.attempts.len() == 2 && s.status == JobStatus::InProgress
        })
        .await;
    bench.plugin.stop().await.unwrap();
    let other = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
    let error = other.recover(&job, sent_at).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    other
        .start(Value::Null, PluginDeps::current().unwrap())
        .await
        .unwrap();
    let status = other.recover(&job, sent_at).await.unwrap();
    assert_eq!(status.status, JobStatus::InProgress);
    assert_eq!(status.detail.attempts.len(), 2);
    pause(300).await;
    let status = other.recover(&job, sent_at).await.unwrap();
    assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
    let error = other.recover(&JobId::new(), sent_at).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    bench
        .adapter
        .answer_lookup(Ok(Lookup::Unknown(UnknownReason::ServerRestarted)));
    let status = other.recover(&JobId::new(), sent_at).await.unwrap();
    assert_eq!(status.status, JobStatus::OutcomeUnknown);
}
