//! The pages of a job: what the document is converted to, which of them are left to send, and what
//! the calls so far brought.

use std::{ops::Range, time::Duration};

use faxbot_core::{
    Error, ErrorKind, Timestamp,
    document::{PageHeader, Resolution},
    fax::{Alternative, FaxOutcome, JobStatus},
    id::CallId,
};

use super::{FaxJob, Stage};
use crate::{
    jobs::{Now, class_of_pages, document_note, later},
    sip_fax::verdict::judged,
};

/// The pages of the next call.
#[derive(Debug)]
pub(in crate::sip_fax) struct Rest {
    /// From 0, the end not included.
    pub(in crate::sip_fax) pages: Range<u32>,
    /// The line that is drawn above each, because the server would begin at page 1.
    pub(in crate::sip_fax) header: Option<PageHeader>,
}

impl Rest {
    pub(in crate::sip_fax) fn is_whole(&self) -> bool {
        self.pages.start == 0
    }
}

impl FaxJob {
    /// The conversion begins.
    pub(in crate::sip_fax) fn preparing(&mut self, now: Now) {
        if matches!(self.stage, Stage::Preparing { .. }) {
            self.record.report(&JobStatus::Preparing, now.wall);
        }
    }

    /// The document was converted to so many pages of this resolution.
    pub(in crate::sip_fax) fn prepared(&mut self, pages: u32, resolution: Resolution, now: Now) {
        let Stage::Preparing { decide, .. } = self.stage else {
            return;
        };
        self.accepted_by_all();
        let confirmed = self.earlier_pages();
        let known = self.record.pages_total;
        if confirmed > 0 && (confirmed > pages || known.is_some_and(|known| known != pages)) {
            self.note = Some(
                "the document has another number of pages than when some of them were sent; it was not dialled again",
            );
            return self.finish(&JobStatus::Failed, now);
        }
        self.record.pages_total = Some(pages);
        self.prepared = Some(self.plan.rendering());
        self.resolution = Some(resolution);
        if resolution == Resolution::Standard {
            let alternatives = &mut self.policy.alternatives;
            alternatives.retain(|it| *it != Alternative::RerenderStandard);
        }
        self.outcome = self.outcome.take().map(|it| it.with_pages_total(pages));
        if self.outcome.as_ref().is_some_and(FaxOutcome::is_success) {
            return self.finish(&JobStatus::Success, now);
        }
        if decide {
            self.go_by_policy(now);
        } else {
            self.wait(Duration::ZERO, now);
        }
    }

    /// The document is another one than the one that confirmed pages are of.
    pub(in crate::sip_fax) fn document_changed(&mut self, now: Now) {
        if matches!(self.stage, Stage::Preparing { .. }) {
            self.note = Some(
                "the document changed since some of its pages were sent; it was not dialled again",
            );
            self.finish(&JobStatus::Failed, now);
        }
    }

    /// The document could not be converted.
    pub(in crate::sip_fax) fn not_prepared(&mut self, error: &Error, now: Now) {
        let Stage::Preparing { decide, .. } = self.stage else {
            return;
        };
        if error.kind() == ErrorKind::Overloaded
            && let Some(wait) = self.next_refusal(error, now)
        {
            self.stage = Stage::Preparing {
                not_before: later(now.instant, wait),
                decide,
            };
            self.record.report(&JobStatus::Queued, now.wall);
            return;
        }
        self.note = Some(document_note(error));
        self.fail(class_of_pages(error), now);
    }

    /// The pages of the call that is due. Its header line is told only where pages were confirmed
    /// before: all of them get the server's.
    pub(in crate::sip_fax) fn rest(&self, now: Timestamp) -> Option<Rest> {
        let Stage::Waiting { .. } = self.stage else {
            return None;
        };
        let total = self.record.pages_total?;
        let pages = self.earlier_pages()..total;
        let header = match pages.start {
            0 => None,
            earlier => self.plan.header_line().map(|from| {
                PageHeader::new(now, total)
                    .with_from(from)
                    .with_to(self.record.to.expose())
                    .with_first_page(earlier.saturating_add(1))
            }),
        };
        Some(Rest { pages, header })
    }

    /// The pages that are left could not be cut out.
    pub(in crate::sip_fax) fn not_cut(&mut self, error: &Error, now: Now) {
        if !matches!(self.stage, Stage::Waiting { .. }) {
            return;
        }
        let passes = matches!(error.kind(), ErrorKind::Overloaded | ErrorKind::Io);
        if passes && let Some(wait) = self.next_refusal(error, now) {
            return self.wait(wait, now);
        }
        self.note = Some(match error.kind() {
            ErrorKind::Unsupported => "no header line could be drawn above the pages that are left",
            _ => "the pages that are left could not be taken out of the document",
        });
        self.fail(class_of_pages(error), now);
    }

    /// Pages that were confirmed before the call that runs, or the next one.
    pub(in crate::sip_fax) fn earlier_pages(&self) -> u32 {
        self.record.next_page().saturating_sub(1)
    }

    /// Pages that the call that runs, or the next one, has to send.
    pub(super) fn pages_left(&self) -> Option<u32> {
        let total = self.record.pages_total?;
        Some(total.saturating_sub(self.earlier_pages()))
    }

    /// Counts a call that ended, by its own pages. Answers whether it was one that ran.
    pub(super) fn count(&mut self, call: CallId, outcome: FaxOutcome, at: Timestamp) -> bool {
        let outcome = judged(outcome, self.pages_left(), self.pages_seen);
        if !self.record.end_attempt(call, outcome, at) {
            return false;
        }
        self.outcome = self.record.outcome();
        let told = self
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.pages_total);
        match (told, self.record.pages_total) {
            (Some(told), None) => self.record.pages_total = Some(told),
            // Counts of different documents add up to nothing.
            (Some(told), Some(known)) if told != known => self.policy.resume = false,
            _ => {}
        }
        true
    }
}
