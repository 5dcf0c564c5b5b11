//! How a fax ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Private,
    document::Resolution,
    fax::{FailureClass, FailurePhase, FaxFailure, JobStatus},
    redact,
};

/// The three ways a fax can have ended. "Not known" is one of them: it is never guessed away, and
/// never dialled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutcomeStatus {
    /// Every page was confirmed.
    Success,
    /// It certainly did not arrive as a whole.
    Failed,
    /// Nobody can say.
    Unknown,
}

/// How the pages travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaxTransport {
    /// T.38 over UDPTL.
    T38,
    /// Modem tones in G.711 audio.
    Audio,
}

/// The result of one fax call, or of a job so far ([`Job::outcome`](super::Job::outcome)): then its
/// pages are those of the whole document, and all else is of the last call.
///
/// A page counts as confirmed only when the far end said so (T.30: MCF or RTP after the page); a
/// page that was merely sent does not count. The fields are public, and the constructors keep
/// `status`, pages and `failure` in agreement: prefer them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FaxOutcome {
    /// Arrived, failed or unknown.
    pub status: OutcomeStatus,
    /// Pages that the far end confirmed; absent where the server does not tell. Of an unknown
    /// outcome the count last seen: at least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_confirmed: Option<u32>,
    /// Pages that were to be sent: of the call those that were left, of a job all of the document.
    /// Absent where nobody told, as for a received fax that broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages_total: Option<u32>,
    /// Our station id, as the engine had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_station_id: Option<Private>,
    /// What the far end calls itself (CSI, TSI). Anybody can send anything: no proof of identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_station_id: Option<Private>,
    /// The agreed rate, in bit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bit_rate: Option<u32>,
    /// The agreed vertical resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Whether error correction was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecm: Option<bool>,
    /// Rows of a received fax that were damaged on the line, as far as the server told while it came
    /// in: at least so many. With error correction there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_lines: Option<u32>,
    /// T.38 or audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<FaxTransport>,
    /// From the request to the end, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u64>,
    /// Why it failed; only with [`OutcomeStatus::Failed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FaxFailure>,
    /// The engine's or vendor's code, verbatim, whatever the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_code: Option<String>,
    /// The engine's or vendor's text, verbatim. Do not log it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_text: Option<String>,
}

impl FaxOutcome {
    /// The engine reported success.
    ///
    /// If it also counted fewer pages than the document has, the report contradicts itself: the
    /// outcome is failed, with [`FailureClass::Unknown`], and not dialled again.
    pub fn succeeded(pages_confirmed: Option<u32>, pages_total: Option<u32>) -> Self {
        let outcome = Self::bare(OutcomeStatus::Success, pages_confirmed, pages_total);
        match (pages_confirmed, pages_total) {
            (Some(confirmed), Some(total)) if confirmed < total => Self {
                status: OutcomeStatus::Failed,
                failure: Some(FaxFailure::new(
                    FailureClass::Unknown,
                    FailurePhase::Transmission,
                )),
                ..outcome
            },
            _ => outcome,
        }
    }

    /// The engine, or the network before it, reported a failure.
    ///
    /// If every page had been confirmed by then, the fax arrived and only the goodbye was lost
    /// (T.30: DCN after the last MCF): that is success, and the failure's words stay as native
    /// code and text. More pages than there were are no proof of that.
    pub fn failed(
        failure: FaxFailure,
        pages_confirmed: Option<u32>,
        pages_total: Option<u32>,
    ) -> Self {
        let all = matches!(
            (pages_confirmed, pages_total),
            (Some(confirmed), Some(total)) if total > 0 && confirmed == total
        );
        let status = if all {
            OutcomeStatus::Success
        } else {
            OutcomeStatus::Failed
        };
        let mut outcome = Self::bare(status, pages_confirmed, pages_total);
        outcome.native_code.clone_from(&failure.native_code);
        outcome.native_text.clone_from(&failure.native_text);
        outcome.failure = (!all).then_some(failure);
        outcome
    }

    /// Nobody can say. `pages_seen` is the count of confirmed pages that was last seen.
    pub fn unknown(pages_seen: Option<u32>, pages_total: Option<u32>) -> Self {
        Self::bare(OutcomeStatus::Unknown, pages_seen, pages_total)
    }

    fn bare(status: OutcomeStatus, pages_confirmed: Option<u32>, pages_total: Option<u32>) -> Self {
        Self {
            status,
            pages_confirmed,
            pages_total,
            local_station_id: None,
            remote_station_id: None,
            bit_rate: None,
            resolution: None,
            ecm: None,
            bad_lines: None,
            transport: None,
            duration_seconds: None,
            failure: None,
            native_code: None,
            native_text: None,
        }
    }

    /// Sets our station id.
    #[must_use]
    pub fn with_local_station_id(mut self, id: impl Into<Private>) -> Self {
        self.local_station_id = Some(id.into());
        self
    }

    /// Sets the far end's station id.
    #[must_use]
    pub fn with_remote_station_id(mut self, id: impl Into<Private>) -> Self {
        self.remote_station_id = Some(id.into());
        self
    }

    /// Sets the agreed rate, in bit/s.
    #[must_use]
    pub fn with_bit_rate(mut self, bit_rate: u32) -> Self {
        self.bit_rate = Some(bit_rate);
        self
    }

    /// Sets the agreed resolution.
    #[must_use]
    pub fn with_resolution(mut self, resolution: Resolution) -> Self {
        self.resolution = Some(resolution);
        self
    }

    /// Sets whether error correction was used.
    #[must_use]
    pub fn with_ecm(mut self, ecm: bool) -> Self {
        self.ecm = Some(ecm);
        self
    }

    /// Sets how many rows of a received fax were damaged, as far as it is known.
    #[must_use]
    pub fn with_bad_lines(mut self, rows: u32) -> Self {
        self.bad_lines = Some(rows);
        self
    }

    /// Sets the transport.
    #[must_use]
    pub fn with_transport(mut self, transport: FaxTransport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets how long it took, in whole seconds.
    #[must_use]
    pub fn with_duration_seconds(mut self, seconds: u64) -> Self {
        self.duration_seconds = Some(seconds);
        self
    }

    /// Sets the native code and text, verbatim.
    #[must_use]
    pub fn with_native(mut self, code: Option<String>, text: Option<String>) -> Self {
        self.native_code = code;
        self.native_text = text;
        self
    }

    /// Sets the pages that were to be sent, where the server did not tell, and judges again by
    /// them: a failure after the last confirmed page is success, a success with fewer pages is
    /// not believed.
    #[must_use]
    pub fn with_pages_total(mut self, total: u32) -> Self {
        if self.pages_total.is_some() {
            return self;
        }
        let judged = match (self.status, &self.failure) {
            (OutcomeStatus::Success, _) => Self::succeeded(self.pages_confirmed, Some(total)),
            (OutcomeStatus::Failed, Some(failure)) => {
                Self::failed(failure.clone(), self.pages_confirmed, Some(total))
            }
            _ => Self::bare(self.status, self.pages_confirmed, Some(total)),
        };
        self.status = judged.status;
        self.failure = judged.failure;
        self.pages_total = judged.pages_total;
        self.native_code = self.native_code.or(judged.native_code);
        self.native_text = self.native_text.or(judged.native_text);
        self
    }

    /// The outcome of a document of which `pages` were confirmed in calls before the one that ended
    /// so. Where this call's own count is not known, it stays so, unless certainly none of its
    /// pages was confirmed; of an unknown outcome the count is the least.
    #[must_use]
    pub fn with_earlier_pages(mut self, pages: u32) -> Self {
        if pages == 0 {
            return self;
        }
        if self.certainly_nothing_delivered() || self.status == OutcomeStatus::Unknown {
            self.pages_confirmed.get_or_insert(0);
        }
        let whole = |count: Option<u32>| count.map(|count| count.saturating_add(pages));
        self.pages_confirmed = whole(self.pages_confirmed);
        self.pages_total = whole(self.pages_total);
        self
    }

    /// Whether every page arrived.
    pub fn is_success(&self) -> bool {
        self.status == OutcomeStatus::Success
    }

    /// The class of the failure, if it failed.
    pub fn class(&self) -> Option<FailureClass> {
        self.failure.as_ref().map(|failure| failure.class)
    }

    /// The status of a job that ends with this outcome.
    pub fn job_status(&self) -> JobStatus {
        match (self.status, self.class()) {
            (OutcomeStatus::Success, _) => JobStatus::Success,
            (OutcomeStatus::Failed, Some(FailureClass::Cancelled)) => JobStatus::Cancelled,
            (OutcomeStatus::Failed, _) => JobStatus::Failed,
            (OutcomeStatus::Unknown, _) => JobStatus::OutcomeUnknown,
        }
    }

    /// Whether certainly no page was confirmed, so that sending from the first page on gives the
    /// far end nothing twice.
    pub fn certainly_nothing_delivered(&self) -> bool {
        match (self.status, self.pages_confirmed, &self.failure) {
            (OutcomeStatus::Failed, Some(confirmed), _) => confirmed == 0,
            (OutcomeStatus::Failed, None, Some(failure)) => {
                failure.phase < FailurePhase::Transmission
            }
            _ => false,
        }
    }
}

impl fmt::Debug for FaxOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaxOutcome")
            .field("status", &self.status)
            .field("pages_confirmed", &self.pages_confirmed)
            .field("pages_total", &self.pages_total)
            .field("local_station_id", &self.local_station_id)
            .field("remote_station_id", &self.remote_station_id)
            .field("bit_rate", &self.bit_rate)
            .field("resolution", &self.resolution)
            .field("ecm", &self.ecm)
            .field("bad_lines", &self.bad_lines)
            .field("transport", &self.transport)
            .field("duration_seconds", &self.duration_seconds)
            .field("failure", &self.failure)
            .field(
                "native_code",
                &self.native_code.as_deref().map(redact::code),
            )
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broke_off() -> FaxFailure {
        FaxFailure::new(FailureClass::CommError, FailurePhase::Transmission)
            .with_native(Some("HANGUP".into()), Some("remote channel hungup".into()))
    }

    #[test]
    fn a_failure_after_the_last_confirmed_page_is_success() {
        let outcome = FaxOutcome::failed(broke_off(), Some(3), Some(3));
        assert!(outcome.is_success());
        assert_eq!(outcome.failure, None);
        assert_eq!(outcome.native_code.as_deref(), Some("HANGUP"));
        assert_eq!(outcome.job_status(), JobStatus::Success);
    }

    #[test]
    fn a_failure_before_that_is_a_failure() {
        for (confirmed, total) in [
            (Some(2), Some(3)),
            (Some(0), Some(0)),
            (None, Some(3)),
            (Some(4), Some(3)),
            (Some(3), None),
            (None, None),
        ] {
            let outcome = FaxOutcome::failed(broke_off(), confirmed, total);
            assert_eq!(
                outcome.status,
                OutcomeStatus::Failed,
                "{confirmed:?} of {total:?}"
            );
            assert_eq!(outcome.class(), Some(FailureClass::CommError));
            assert_eq!(outcome.job_status(), JobStatus::Failed);
        }
    }

    #[test]
    fn success_with_fewer_pages_than_the_document_is_not_believed() {
        let outcome = FaxOutcome::succeeded(Some(1), Some(3));
        assert_eq!(outcome.status, OutcomeStatus::Failed);
        assert_eq!(outcome.class(), Some(FailureClass::Unknown));
        for (confirmed, total) in [(Some(3), Some(3)), (None, Some(3)), (Some(3), None)] {
            assert!(FaxOutcome::succeeded(confirmed, total).is_success());
        }
    }

    #[test]
    fn each_outcome_ends_its_job_in_its_own_status() {
        assert_eq!(
            FaxOutcome::unknown(Some(1), Some(3)).job_status(),
            JobStatus::OutcomeUnknown
        );
        let cancelled = FaxFailure::new(FailureClass::Cancelled, FailurePhase::BeforeAnswer);
        assert_eq!(
            FaxOutcome::failed(cancelled, None, Some(3)).job_status(),
            JobStatus::Cancelled
        );
    }

    #[test]
    fn nothing_delivered_is_only_said_when_it_is_certain() {
        let before = FaxFailure::new(FailureClass::CommError, FailurePhase::Negotiation);
        for (outcome, certain) in [
            (FaxOutcome::failed(before, None, Some(3)), true),
            (FaxOutcome::failed(broke_off(), Some(0), Some(3)), true),
            (FaxOutcome::failed(broke_off(), Some(1), Some(3)), false),
            (FaxOutcome::failed(broke_off(), None, Some(3)), false),
            (FaxOutcome::unknown(Some(0), Some(3)), false),
            (FaxOutcome::succeeded(Some(3), Some(3)), false),
        ] {
            assert_eq!(
                outcome.certainly_nothing_delivered(),
                certain,
                "{outcome:?}"
            );
        }
    }

    #[test]
    fn a_total_that_comes_later_is_judged_by() {
        let failed = |pages| FaxOutcome::failed(broke_off(), pages, None).with_pages_total(3);
        assert!(failed(Some(3)).is_success());
        assert_eq!(failed(Some(3)).native_code.as_deref(), Some("HANGUP"));
        assert_eq!(failed(Some(2)).class(), Some(FailureClass::CommError));
        assert_eq!(failed(None).status, OutcomeStatus::Failed);
        let succeeded = FaxOutcome::succeeded(Some(1), None).with_pages_total(3);
        assert_eq!(succeeded.class(), Some(FailureClass::Unknown));
        let unknown = FaxOutcome::unknown(Some(3), None).with_pages_total(3);
        assert_eq!(unknown.status, OutcomeStatus::Unknown);
        // What the server told stays.
        let told = FaxOutcome::failed(broke_off(), Some(3), Some(5)).with_pages_total(3);
        assert_eq!(
            (told.status, told.pages_total),
            (OutcomeStatus::Failed, Some(5))
        );
    }

    #[test]
    fn pages_of_earlier_calls_count_for_the_document() {
        let before = FaxFailure::new(FailureClass::Busy, FailurePhase::BeforeAnswer);
        for (outcome, confirmed, total) in [
            (
                FaxOutcome::failed(broke_off(), Some(1), Some(3)),
                Some(3),
                Some(5),
            ),
            (
                FaxOutcome::failed(broke_off(), None, Some(3)),
                None,
                Some(5),
            ),
            (FaxOutcome::failed(before, None, None), Some(2), None),
            (FaxOutcome::unknown(None, Some(3)), Some(2), Some(5)),
            (FaxOutcome::succeeded(Some(3), Some(3)), Some(5), Some(5)),
            (FaxOutcome::succeeded(None, Some(3)), None, Some(5)),
        ] {
            let status = outcome.status;
            let whole = outcome.with_earlier_pages(2);
            assert_eq!(
                (whole.status, whole.pages_confirmed, whole.pages_total),
                (status, confirmed, total)
            );
        }
    }

    #[test]
    fn debug_hides_station_ids_and_native_text() {
        let outcome = FaxOutcome::failed(broke_off(), Some(0), Some(3))
            .with_remote_station_id("+1 555 0100".to_owned())
            .with_native(Some("+15550100".into()), Some("to +15550100".into()));
        let text = format!("{outcome:?}");
        assert!(!text.contains("0100"), "{text}");
    }
}
