//! How a fax ended, by the hang-up of its channel (`faxchan`): Yate tells no number of a failure, only
//! spandsp's sentence.

use faxbot_core::{
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxTransport, T30Result},
    sip::Causes,
};

use super::fax_limits::Reached;
use crate::{
    adapter::{books::FaxEnd, fax_run::FaxContext},
    protocol::yate::Message,
};

/// What is told of a fax that we ended because it took too long.
const TOO_LONG: &str = "the fax took longer than its time limit";

/// The words of a fax channel's hang-up.
pub(super) struct FaxWords {
    reason: String,
    pages: u32,
    remote_station: String,
    digital: Option<bool>,
    ecm: Option<bool>,
    answered: bool,
    /// We ended it, because a limit was over.
    reached: Option<Reached>,
    /// The far end refused T.38 where nothing else would do.
    no_t38: bool,
}

impl std::fmt::Debug for FaxWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The far end's station id may name a person.
        f.debug_struct("FaxWords")
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl FaxWords {
    pub(super) fn of(message: &Message<'_>, reached: Option<Reached>, no_t38: bool) -> Self {
        let text = |name: &str| message.text(name).unwrap_or_default().into_owned();
        Self {
            reason: text("reason"),
            // Absent when it is 0 (recording `fax_no_fax_at_other_end`).
            pages: text("faxpages").parse().unwrap_or(0),
            remote_station: text("faxident_remote"),
            digital: match text("faxtype").as_str() {
                "digital" => Some(true),
                "analog" => Some(false),
                _ => None,
            },
            ecm: message.text("faxecm").map(|word| word == "true"),
            answered: message.flag("answered"),
            reached,
            no_t38,
        }
    }

    /// `eof` alone says that spandsp was content; only with all pages it is a success
    /// (recordings `fax_ok_3_pages_local`, `fax_dropped_mid_page`).
    fn succeeded(&self, context: FaxContext) -> bool {
        self.reason == "eof"
            && self.pages > 0
            && context.pages_total.is_none_or(|total| self.pages >= total)
    }

    fn failure(&self, causes: &Causes, context: FaxContext) -> FaxFailure {
        let seen = context.fax_seen || self.pages > 0 || !self.remote_station.is_empty();
        let mut failure = if !self.answered && self.pages == 0 {
            FaxFailure::from_causes(causes)
        } else {
            let phase = if seen {
                FailurePhase::Transmission
            } else {
                FailurePhase::Negotiation
            };
            match T30Result::parse(&self.reason) {
                Some(result) => FaxFailure::from_t30(result, phase, seen),
                None => FaxFailure::new(FailureClass::Unknown, phase)
                    .with_native(None, (!self.reason.is_empty()).then(|| self.reason.clone())),
            }
            .with_causes(causes)
        };
        if self.no_t38 && failure.class == FailureClass::Unknown {
            failure.class = FailureClass::T38;
        }
        if self.reached == Some(Reached::Total) {
            failure.native_text = Some(TOO_LONG.to_owned());
        }
        if context.hung_up_by_us {
            failure.class = FailureClass::Cancelled;
        }
        failure
    }
}

impl FaxEnd for FaxWords {
    fn outcome(&self, causes: &Causes, context: FaxContext) -> FaxOutcome {
        let mut outcome = if self.succeeded(context) {
            FaxOutcome::succeeded(Some(self.pages), context.pages_total.or(Some(self.pages)))
        } else {
            let failure = self.failure(causes, context);
            FaxOutcome::failed(failure, Some(self.pages), context.pages_total)
        };
        if !self.remote_station.is_empty() {
            outcome = outcome.with_remote_station_id(self.remote_station.clone());
        }
        if self.pages > 0 {
            if let Some(ecm) = self.ecm {
                outcome = outcome.with_ecm(ecm);
            }
            outcome = match self.digital {
                Some(true) => outcome.with_transport(FaxTransport::T38),
                Some(false) => outcome.with_transport(FaxTransport::Audio),
                None => outcome,
            };
        }
        match context.duration_seconds {
            Some(seconds) => outcome.with_duration_seconds(seconds),
            None => outcome,
        }
    }
}
