//! Jobs of an earlier process, and those of this one that nobody could say anything of.

use faxbot_core::{
    Error, ErrorKind, Private, Result, fax::JobStatus, id::JobId, plugin::StatusResult,
    webhook::Authenticity,
};

use super::{FaxProvider, FaxReport, verdict::settled, worker::Shared};
use crate::jobs::describe;

pub(super) async fn recover<P: FaxProvider>(
    shared: &Shared<P>,
    job_id: &JobId,
) -> Result<StatusResult> {
    let Some(entry) = shared.job(job_id) else {
        let report = earlier(shared, job_id, None).await?;
        return Ok(status_of(job_id, &report));
    };
    if !entry.is_given_up() {
        return Ok(entry.status());
    }
    let sid = entry.lock().job.sid().map(str::to_owned);
    let report = match sid {
        Some(sid) => shared.ask(shared.provider.status(&sid)).await?,
        None => {
            let mut report = earlier(shared, job_id, Some(&entry.to)).await?;
            // It was found by our label, and may come without it.
            report.job_id.get_or_insert_with(|| job_id.clone());
            report
        }
    };
    shared.tell(&entry, &report, Authenticity::Fetched);
    Ok(entry.status())
}

pub(super) async fn delete_file<P: FaxProvider>(shared: &Shared<P>, job_id: &JobId) -> Result<()> {
    let (over, sid) = match shared.job(job_id) {
        Some(entry) => {
            let state = entry.lock();
            let over = state.job.finished().is_some();
            (over, state.job.sid().map(str::to_owned))
        }
        None => {
            let report = earlier(shared, job_id, None).await?;
            (settled(&report).is_some(), Some(report.sid))
        }
    };
    let refused = |kind, message| Err(Error::new(kind, "delete_file", message));
    match sid {
        _ if !over => refused(ErrorKind::InvalidState, "the job is not over"),
        Some(sid) => shared.ask(shared.provider.delete_file(&sid)).await,
        None => refused(ErrorKind::NotFound, "the provider does not have this fax"),
    }
}

async fn earlier<P: FaxProvider>(
    shared: &Shared<P>,
    job_id: &JobId,
    to: Option<&Private>,
) -> Result<FaxReport> {
    shared.find_earlier(job_id, to).await?.ok_or_else(|| {
        let message = "the provider lists no fax of this job";
        Error::new(ErrorKind::NotFound, "recover", message)
    })
}

/// What a report alone says of a job.
fn status_of(job_id: &JobId, report: &FaxReport) -> StatusResult {
    let ended = settled(report);
    let word = ended.as_ref().map(|(status, _)| status.clone());
    // From its yes to the end it is one word here, whatever the vendor calls it.
    let word = word.unwrap_or(JobStatus::InProgress);
    let mut status = StatusResult::new(job_id.clone(), word);
    if let JobStatus::Other(word) = &report.status {
        status.detail.provider_status = Some(word.clone());
    }
    let progress = report.progress.filter(|_| ended.is_none());
    let outcome = ended.map(|(_, outcome)| outcome);
    status.pages = match (&outcome, progress) {
        (Some(outcome), _) => outcome.pages_confirmed,
        (None, progress) => progress.and_then(|progress| progress.pages_confirmed),
    };
    status.error = outcome.as_ref().and_then(describe);
    status.raw_response = Some(report.raw.clone());
    status.detail.provider_sid = Some(report.sid.clone());
    status.detail.progress = progress;
    status.detail.outcome = outcome;
    status
}
