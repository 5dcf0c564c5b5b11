//! Jobs: how they end, that none is sent twice, and what is said of them.

use std::time::Duration;

use faxbot_core::{
    ErrorKind,
    document::Document,
    fax::{FaxRetryPolicy, JobStatus},
    id::JobId,
    plugin::{CancelOutcome, PluginCapability, PluginEvent, SendOptions},
};
use serde_json::{Value, json};

use super::{Entry, FaxFate, Need, SOON, World, entry, error_of, kind_is, once};
use crate::conformance::{Failure, Verdict, ensure, within};

const CANCEL: Need = Need::Can(|| PluginCapability::CANCEL_FAX);

/// What a job may be before its end.
const OPEN: [&str; 4] = ["queued", "preparing", "dispatching", "in_progress"];

pub(super) fn entries() -> Vec<Entry> {
    vec![
        entry!("a fax succeeds with its pages", [Arrives], success),
        entry!(
            "the events of a job end with its success",
            [Arrives],
            events
        ),
        entry!(
            "a known job id is refused and nothing is sent again",
            [Arrives, Endless],
            same_id
        ),
        entry!("an unknown job is not found", [], unknown),
        entry!("a busy line with no dial left is a failure", [Busy], busy),
        entry!(
            "a job that waits for its next dial is queued",
            [Busy; Need::Redials],
            waits
        ),
        entry!(
            "a fax that breaks off fails and is not sent again where it may not be resumed",
            [FailsAfterOnePage],
            breaks_off
        ),
        entry!(
            "a fax that breaks off goes on with the pages that are left, or fails",
            [FailsAfterOnePage],
            resumes
        ),
        entry!(
            "an unknown outcome is never sent again",
            [Unknown],
            outcome_unknown
        ),
        entry!(
            "a running fax can be cancelled, and again",
            [Endless; CANCEL],
            cancel_running
        ),
        entry!(
            "a waiting job can be cancelled and is not dialled",
            [Busy; CANCEL, Need::Redials],
            cancel_waiting
        ),
        entry!(
            "a finished job is too late to cancel and stays as it is",
            [Arrives; CANCEL],
            cancel_late
        ),
        entry!(
            "a document that is none is an error or a failure, and nothing is sent",
            [],
            bad_document
        ),
        entry!(
            "a status serialises to the words of the contract",
            [Arrives, Busy],
            words
        ),
        entry!("10 faxes at once do not mix", [Arrives], ten),
        entry!("errors and results show no number", [Busy], private),
    ]
}

async fn success(mut world: World) -> Verdict {
    world.start().await?;
    let job_id = JobId::new();
    let sent = world
        .send_with(
            FaxFate::Arrives,
            3,
            once(SendOptions::with_job_id(job_id.clone())),
        )
        .await?;
    ensure!(sent.job_id == job_id, "another job id: {sent:?}");
    ensure!(
        sent.backend == world.plugin.manifest().id.as_str(),
        "the backend is {}",
        sent.backend
    );
    let status = world.until(&job_id, &[JobStatus::Success]).await?;
    ensure!(
        status.job_id == job_id && status.error.is_none(),
        "{status:?}"
    );
    ensure!(
        status.pages.is_none_or(|pages| pages == 3),
        "{:?} pages of 3",
        status.pages
    );
    let asked = world.setup.submissions();
    ensure!(asked == 1, "{asked} faxes were sent");
    // Final states absorb: another look changes nothing.
    tokio::time::sleep(Duration::from_millis(100)).await;
    ensure!(
        world.status(&job_id).await?.status == JobStatus::Success,
        "success did not last"
    );
    Ok(())
}

async fn events(mut world: World) -> Verdict {
    world.start().await?;
    let Some(bus) = world.events.clone() else {
        return Err(Failure::new("no bus"));
    };
    let mut stream = bus.subscribe();
    let sent = world.send(FaxFate::Arrives, 1).await?;
    loop {
        let Some(item) = within("the success as an event", SOON, stream.recv()).await? else {
            return Err(Failure::new("the stream ended"));
        };
        if let PluginEvent::JobStatusChanged { job_id, status, .. } = item?.event {
            ensure!(job_id == sent.job_id, "an event of another job");
            if status == JobStatus::Success {
                return world
                    .until(&sent.job_id, &[JobStatus::Success])
                    .await
                    .map(drop);
            }
            ensure!(!status.is_final(), "{status:?}");
        }
    }
}

async fn same_id(mut world: World) -> Verdict {
    world.start().await?;
    for fate in [FaxFate::Arrives, FaxFate::Endless] {
        let (to, document) = (world.target(fate).await?, world.setup.document(1)?);
        let options = once(SendOptions::new());
        let send = || {
            let sent = world
                .plugin
                .send_fax(to.clone(), document.clone(), options.clone());
            within("send_fax", SOON, sent)
        };
        let sent = send().await??;
        let state = match fate {
            FaxFate::Arrives => JobStatus::Success,
            _ => JobStatus::InProgress,
        };
        world.until(&sent.job_id, &[state]).await?;
        let before = world.setup.submissions();
        let error = error_of("the same job id", send().await?)?;
        kind_is("the same job id", &error, &[ErrorKind::InvalidState])?;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let more = world.setup.submissions() - before;
        ensure!(more == 0, "{more} faxes were sent again");
    }
    Ok(())
}

async fn unknown(mut world: World) -> Verdict {
    world.start().await?;
    let job = JobId::new();
    kind_is(
        "get_status",
        &error_of("get_status", world.plugin.get_status(&job).await)?,
        &[ErrorKind::NotFound],
    )?;
    if world.plugin.manifest().can(&PluginCapability::CANCEL_FAX) {
        kind_is(
            "cancel_fax",
            &error_of("cancel_fax", world.plugin.cancel_fax(&job).await)?,
            &[ErrorKind::NotFound],
        )?;
    }
    Ok(())
}

async fn busy(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world.send(FaxFate::Busy, 1).await?;
    let status = world.until(&sent.job_id, &[JobStatus::Failed]).await?;
    ensure!(
        status.error.as_ref().is_some_and(|text| !text.is_empty()),
        "no reason: {status:?}"
    );
    ensure!(
        status.pages.unwrap_or(0) == 0,
        "pages over a busy line: {status:?}"
    );
    Ok(())
}

async fn waits(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world
        .send_with(FaxFate::Busy, 1, SendOptions::new())
        .await?;
    let job = &sent.job_id;
    dialled_once(&world, job).await?;
    let status = world.status(job).await?;
    ensure!(status.status == JobStatus::Queued, "{status:?}");
    ensure!(
        status.detail.next_dial.is_some(),
        "no time of the next dial: {status:?}"
    );
    Ok(())
}

/// Waits until the first call of a job has ended.
async fn dialled_once(world: &World, job: &JobId) -> Verdict {
    let end = tokio::time::Instant::now() + SOON;
    while world.status(job).await?.detail.next_dial.is_none() || world.setup.submissions() == 0 {
        ensure!(tokio::time::Instant::now() < end, "the job is not dialled");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn breaks_off(mut world: World) -> Verdict {
    world.start().await?;
    let options = SendOptions::new().with_retry(eager().with_resume(false));
    let sent = world
        .send_with(FaxFate::FailsAfterOnePage, 3, options)
        .await?;
    let status = world.until(&sent.job_id, &[JobStatus::Failed]).await?;
    ensure!(
        status.pages.is_none_or(|pages| pages == 1),
        "{:?} pages confirmed of 1",
        status.pages
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = world.setup.submissions();
    ensure!(
        asked == 1,
        "a fax with a confirmed page was sent {asked} times"
    );
    Ok(())
}

/// As eager as a policy can be.
fn eager() -> FaxRetryPolicy {
    let mut policy = FaxRetryPolicy::default();
    policy.busy = Duration::ZERO;
    policy.no_answer = vec![Duration::ZERO; 12];
    policy.comm_error = Duration::ZERO;
    policy.congestion_base = Duration::ZERO;
    policy
}

async fn resumes(mut world: World) -> Verdict {
    world.start().await?;
    let options = SendOptions::new().with_retry(eager().with_resume(true));
    let sent = world
        .send_with(FaxFate::FailsAfterOnePage, 3, options)
        .await?;
    let ends = [JobStatus::Success, JobStatus::Failed];
    let status = world.until(&sent.job_id, &ends).await?;
    let asked = world.setup.submissions();
    ensure!(
        asked == 1 || status.status == JobStatus::Success,
        "{asked} faxes were sent, and it failed"
    );
    ensure!(
        status.status == JobStatus::Failed || status.pages.is_none_or(|pages| pages == 3),
        "{:?} pages of 3",
        status.pages
    );
    // No page twice: each call begins behind those that were confirmed before.
    let mut confirmed = 0;
    for attempt in &status.detail.attempts {
        ensure!(
            attempt.earlier_pages() == confirmed,
            "call {} begins at page {} behind {confirmed} confirmed ones",
            attempt.number,
            attempt.first_page
        );
        confirmed += attempt.pages_confirmed().unwrap_or(0);
    }
    Ok(())
}

async fn outcome_unknown(mut world: World) -> Verdict {
    world.start().await?;
    let options = SendOptions::new().with_retry(eager());
    let sent = world.send_with(FaxFate::Unknown, 2, options).await?;
    world
        .until(&sent.job_id, &[JobStatus::OutcomeUnknown])
        .await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let status = world.status(&sent.job_id).await?;
    ensure!(status.status == JobStatus::OutcomeUnknown, "{status:?}");
    let asked = world.setup.submissions();
    ensure!(asked == 1, "an unknown outcome was sent {asked} times");
    Ok(())
}

fn is_cancelled(outcome: CancelOutcome) -> bool {
    matches!(outcome, CancelOutcome::Cancelled | CancelOutcome::Requested)
}

async fn cancel_running(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world.send(FaxFate::Endless, 1).await?;
    let job = &sent.job_id;
    world.until(job, &[JobStatus::InProgress]).await?;
    let outcome = within("cancel_fax", SOON, world.plugin.cancel_fax(job)).await??;
    ensure!(is_cancelled(outcome), "{outcome:?}");
    world.until(job, &[JobStatus::Cancelled]).await?;
    let again = within("cancel_fax", SOON, world.plugin.cancel_fax(job)).await??;
    ensure!(
        again == CancelOutcome::Cancelled,
        "the second time: {again:?}"
    );
    Ok(())
}

async fn cancel_waiting(mut world: World) -> Verdict {
    world.start().await?;
    let mut policy = FaxRetryPolicy::default();
    policy.busy = Duration::from_secs(1);
    policy.jitter = 0.0;
    let sent = world
        .send_with(FaxFate::Busy, 1, SendOptions::new().with_retry(policy))
        .await?;
    let job = &sent.job_id;
    dialled_once(&world, job).await?;
    let outcome = within("cancel_fax", SOON, world.plugin.cancel_fax(job)).await??;
    ensure!(is_cancelled(outcome), "{outcome:?}");
    world.until(job, &[JobStatus::Cancelled]).await?;
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let asked = world.setup.submissions();
    ensure!(asked == 1, "a cancelled job was sent {asked} times");
    Ok(())
}

async fn cancel_late(mut world: World) -> Verdict {
    world.start().await?;
    let sent = world.send(FaxFate::Arrives, 1).await?;
    world.until(&sent.job_id, &[JobStatus::Success]).await?;
    let outcome = within("cancel_fax", SOON, world.plugin.cancel_fax(&sent.job_id)).await??;
    ensure!(outcome == CancelOutcome::TooLate, "{outcome:?}");
    ensure!(
        world.status(&sent.job_id).await?.status == JobStatus::Success,
        "a cancel undid a success"
    );
    Ok(())
}

async fn bad_document(mut world: World) -> Verdict {
    world.start().await?;
    for document in [
        Document::bytes(Vec::new()),
        Document::bytes(b"no document of any kind".to_vec()),
        Document::bytes(b"II*\0\x08\0\0\0\xff\xff\0\0".to_vec()),
        Document::path("no/such/file.tif"),
    ] {
        let to = world.target(FaxFate::Arrives).await?;
        match within(
            "send_fax",
            SOON,
            world
                .plugin
                .send_fax(to, document, once(SendOptions::new())),
        )
        .await?
        {
            Err(error) => kind_is(
                "a bad document",
                &error,
                &[
                    ErrorKind::Document,
                    // A host without a converter takes files of pages only.
                    ErrorKind::Config,
                    ErrorKind::InvalidRequest,
                    ErrorKind::NotFound,
                    ErrorKind::Io,
                ],
            )?,
            Ok(sent) => {
                let status = world.until(&sent.job_id, &[JobStatus::Failed]).await?;
                ensure!(status.error.is_some(), "no reason: {status:?}");
            }
        }
    }
    let asked = world.setup.submissions();
    ensure!(asked == 0, "{asked} bad documents were sent");
    Ok(())
}

async fn words(mut world: World) -> Verdict {
    world.start().await?;
    for (fate, word) in [(FaxFate::Arrives, "SUCCESS"), (FaxFate::Busy, "FAILED")] {
        let sent = world.send(fate, 1).await?;
        let end = tokio::time::Instant::now() + SOON;
        loop {
            let value = serde_json::to_value(world.status(&sent.job_id).await?)?;
            let status = value
                .get("status")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            ensure!(
                value.get("job_id") == Some(&json!(sent.job_id.as_str())),
                "{value}"
            );
            if status == word {
                break;
            }
            ensure!(OPEN.contains(&&*status), "{status} before {word}");
            ensure!(tokio::time::Instant::now() < end, "no end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

async fn ten(mut world: World) -> Verdict {
    world.start().await?;
    let mut jobs = Vec::new();
    for pages in 1..=10 {
        let sent = world.send(FaxFate::Arrives, pages).await?;
        jobs.push((sent.job_id, pages));
    }
    for (job, pages) in jobs {
        let status = world.until(&job, &[JobStatus::Success]).await?;
        ensure!(
            status.pages.is_none_or(|seen| seen == pages),
            "{:?} pages of {pages}",
            status.pages
        );
    }
    let asked = world.setup.submissions();
    ensure!(asked == 10, "{asked} faxes were sent");
    Ok(())
}

async fn private(mut world: World) -> Verdict {
    world.start().await?;
    let to = world.target(FaxFate::Busy).await?;
    let number = to.expose().to_owned();
    let sent = world
        .plugin
        .send_fax(to, world.setup.document(1)?, once(SendOptions::new()))
        .await?;
    let status = world.until(&sent.job_id, &[JobStatus::Failed]).await?;
    let shown = format!("{sent:?} {status:?} {:?}", status.error);
    ensure!(!shown.contains(&number), "the number shows");
    Ok(())
}
