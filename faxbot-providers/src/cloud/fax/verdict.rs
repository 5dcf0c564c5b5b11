//! What a vendor's report says of a job.

use faxbot_core::fax::{
    FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxProgress, JobStatus,
};

use super::FaxReport;

/// How the fax ended, when the report says that it did.
///
/// The outcome is the truth where there is one: it holds the counts that the status has to agree
/// with. A status without one is taken at its word.
pub(super) fn settled(report: &FaxReport) -> Option<(JobStatus, FaxOutcome)> {
    let progress = report.progress;
    let pages = progress.and_then(|progress| progress.pages_confirmed);
    let failed = |class| {
        let failure = FaxFailure::new(class, FailurePhase::Transmission)
            .with_native(Some(report.word.clone()), None);
        FaxOutcome::failed(failure, pages, None)
    };
    let outcome = match (&report.status, &report.outcome) {
        (JobStatus::Cancelled, outcome) => {
            let outcome = outcome.clone();
            let outcome = outcome.unwrap_or_else(|| failed(FailureClass::Cancelled));
            return Some((JobStatus::Cancelled, outcome));
        }
        (JobStatus::Success | JobStatus::Failed | JobStatus::OutcomeUnknown, Some(outcome)) => {
            outcome.clone()
        }
        (JobStatus::Success, None) => FaxOutcome::succeeded(pages, None),
        (JobStatus::Failed, None) => failed(FailureClass::Unknown),
        (JobStatus::OutcomeUnknown, None) => FaxOutcome::unknown(pages, None),
        _ => return None,
    };
    Some((outcome.job_status(), outcome))
}

/// The later of two reports of progress, in whatever order they came.
pub(super) fn furthest(known: Option<FaxProgress>, told: FaxProgress) -> FaxProgress {
    let Some(known) = known else {
        return told;
    };
    let mut furthest = if told.phase >= known.phase {
        told
    } else {
        known
    };
    furthest.page = known.page.max(told.page);
    furthest.pages_confirmed = known.pages_confirmed.max(told.pages_confirmed);
    furthest.pages_total = known.pages_total.max(told.pages_total);
    furthest.bit_rate = furthest.bit_rate.or(known.bit_rate).or(told.bit_rate);
    furthest
}

#[cfg(test)]
mod tests {
    use faxbot_core::fax::{FaxPhase, OutcomeStatus};

    use super::*;

    fn report(status: JobStatus, outcome: Option<FaxOutcome>) -> FaxReport {
        let mut report = FaxReport::new("1", status, "word");
        report.outcome = outcome;
        report
    }

    #[test]
    fn the_outcome_has_the_last_word_on_how_a_fax_ended() {
        let short = FaxOutcome::succeeded(Some(1), Some(2));
        let busy = FaxOutcome::failed(
            FaxFailure::new(FailureClass::Busy, FailurePhase::BeforeAnswer),
            None,
            Some(2),
        );
        for (status, outcome, ended) in [
            (JobStatus::Queued, None, None),
            (JobStatus::InProgress, None, None),
            // A word that is not final has no end, whatever comes with it.
            (JobStatus::InProgress, Some(busy.clone()), None),
            (JobStatus::Other("ringing".into()), Some(busy.clone()), None),
            (JobStatus::Success, None, Some(JobStatus::Success)),
            (JobStatus::Success, Some(short), Some(JobStatus::Failed)),
            (JobStatus::Failed, None, Some(JobStatus::Failed)),
            (
                JobStatus::Failed,
                Some(busy.clone()),
                Some(JobStatus::Failed),
            ),
            (JobStatus::Cancelled, None, Some(JobStatus::Cancelled)),
            (JobStatus::Cancelled, Some(busy), Some(JobStatus::Cancelled)),
            (
                JobStatus::OutcomeUnknown,
                None,
                Some(JobStatus::OutcomeUnknown),
            ),
        ] {
            let report = report(status, outcome);
            let told = settled(&report).map(|(status, _)| status);
            assert_eq!(told, ended, "{report:?}");
        }
        // Without a code that says so, nobody knows that no page went out.
        let (_, outcome) = settled(&report(JobStatus::Failed, None)).unwrap();
        assert!(!outcome.certainly_nothing_delivered());
        assert_eq!(outcome.status, OutcomeStatus::Failed);
        assert_eq!(outcome.native_code.as_deref(), Some("word"));
    }

    #[test]
    fn progress_never_goes_back() {
        let mut ahead = FaxProgress::new(3);
        ahead.phase = FaxPhase::Transmitting;
        ahead.page = Some(2);
        let mut behind = FaxProgress::new(3);
        behind.phase = FaxPhase::Dialing;
        behind.pages_confirmed = Some(1);
        for (first, then) in [(ahead, behind), (behind, ahead)] {
            let progress = furthest(Some(first), then);
            assert_eq!(progress.phase, FaxPhase::Transmitting);
            assert_eq!(
                (progress.page, progress.pages_confirmed),
                (Some(2), Some(1))
            );
        }
    }
}
