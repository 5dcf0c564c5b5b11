//! How a fax ended, by the variables that `txfax` and `rxfax` leave on their channel.

use faxbot_core::{
    document::Resolution,
    fax::{FailureClass, FailurePhase, FaxFailure, FaxOutcome, FaxTransport, T30Result},
    sip::Causes,
};

use super::{causes, outcome::Kind};
use crate::adapter::{books::FaxEnd, fax_run::FaxContext};

/// spandsp's result of a session that the line took away (`T30_ERR_CALLDROPPED`).
const CALL_DROPPED: u8 = 49;

/// The fax variables of a channel (`mod_spandsp_fax.c`): `fax_...`, in events of the fax itself
/// `fax-...`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct FaxValues {
    /// `txfax` ran to its end. It leaves nothing when it could not begin, and nothing is no success.
    success: Option<bool>,
    code: Option<u8>,
    pages: Option<u32>,
    /// Of the file; 0 until the first page is through.
    total: Option<u32>,
    start_page: u32,
    /// No proof of an agreement: a fax that never trained has the preset one (recording
    /// `05_fax_answer_but_no_fax`).
    rate: Option<u32>,
    ecm: Option<bool>,
    t38: String,
    /// In pixels per metre, across by down; `0x0` before a page began.
    resolution: String,
    bad_rows: Option<u32>,
    remote_station: String,
    /// `send_bye`: this side ended the call.
    ended_here: bool,
    /// What ran last on the channel.
    application: String,
    answered: bool,
    receives: bool,
    must_be_t38: bool,
}

impl std::fmt::Debug for FaxValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The far end's station id may name a person.
        f.debug_struct("FaxValues")
            .field("success", &self.success)
            .field("code", &self.code)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl FaxValues {
    /// Takes a variable, by its name in any of its spellings (`variable_fax_success`, `fax-success`).
    /// Answers whether it was one of ours.
    pub(super) fn set(&mut self, name: &str, value: &str) -> bool {
        let value = value.trim();
        let number = || value.parse().ok();
        let name = name.strip_prefix("variable_").unwrap_or(name);
        match name.replace('-', "_").as_str() {
            "fax_success" => self.success = flag(value),
            "fax_result_code" => self.code = value.parse().ok(),
            "fax_document_transferred_pages" => self.pages = number(),
            "fax_document_total_pages" => self.total = number().filter(|&total| total > 0),
            // The server reads what is no number as 0, and -1 as not set.
            "fax_start_page" => self.start_page = number().unwrap_or(0),
            "fax_transfer_rate" => self.rate = number().filter(|&rate| rate > 0),
            "fax_ecm_used" => self.ecm = flag(value),
            "fax_t38_status" => value.clone_into(&mut self.t38),
            "fax_image_resolution" => value.clone_into(&mut self.resolution),
            "fax_bad_rows" => self.bad_rows = number(),
            "fax_remote_station_id" => value.clone_into(&mut self.remote_station),
            "sip_hangup_disposition" => self.ended_here = value == "send_bye",
            "last_app" => value.clone_into(&mut self.application),
            _ => return false,
        }
        true
    }

    /// What the call was, and whether it was answered.
    #[must_use]
    pub(super) fn of_kind(mut self, kind: Kind, answered: bool) -> Self {
        self.receives = kind == Kind::Receive;
        self.must_be_t38 = kind == Kind::FaxByT38;
        self.answered = answered;
        self
    }

    /// Whether the fax application ran to its end.
    pub(super) fn ran(&self) -> bool {
        self.success.is_some()
    }

    /// Whether something shows that a fax machine is at the far end: its name, a page that began, or a
    /// page that went through. That T.38 was agreed on shows a gateway only.
    pub(super) fn fax_seen(&self) -> bool {
        let page = !matches!(self.resolution.as_str(), "" | "0x0");
        page || !self.remote_station.is_empty() || self.pages.unwrap_or(0) > 0
    }

    /// How many pages were to go.
    fn total(&self, context: FaxContext) -> Option<u32> {
        let succeeded = self.success == Some(true);
        match context.pages_total {
            Some(total) => Some(total),
            // Of a received fax the count of those that came.
            None if self.receives => self.pages.filter(|_| succeeded),
            None => self
                .total
                .and_then(|total| total.checked_sub(self.start_page)),
        }
    }

    fn phase(&self, context: FaxContext) -> FailurePhase {
        match (self.ran(), self.pages) {
            (false, _) if !self.answered => FailurePhase::BeforeAnswer,
            (true, Some(pages)) if pages > 0 => FailurePhase::Transmission,
            (true, _) if context.fax_seen || self.fax_seen() => FailurePhase::Transmission,
            _ => FailurePhase::Negotiation,
        }
    }

    fn failure(&self, causes: &Causes, context: FaxContext) -> FaxFailure {
        let phase = self.phase(context);
        let seen = context.fax_seen || self.fax_seen();
        let mut failure = if phase == FailurePhase::BeforeAnswer {
            let mut failure = FaxFailure::from_causes(causes);
            failure.class = causes::class(causes).unwrap_or(failure.class);
            failure
        } else if let Some(result) = self.result() {
            FaxFailure::from_t30(result, phase, seen).with_causes(causes)
        } else {
            self.without_result(phase, seen).with_causes(causes)
        };
        if self.must_be_t38 && self.ran() && matches!(self.t38.as_str(), "refused" | "off") {
            failure.class = FailureClass::T38;
        }
        if context.hung_up_by_us {
            failure.class = FailureClass::Cancelled;
        }
        failure
    }

    /// The T.30 result of a failure; a code of 0 is none.
    fn result(&self) -> Option<T30Result> {
        let code = self.code.filter(|&code| code != 0 && self.ran())?;
        T30Result::from_number(code)
    }

    /// A call that was answered and has no T.30 result.
    fn without_result(&self, phase: FailurePhase, seen: bool) -> FaxFailure {
        if self.ran() {
            let code = self.code.map(|code| code.to_string());
            return FaxFailure::new(FailureClass::Unknown, phase).with_native(code, None);
        }
        if self.ended_here && is_fax_application(&self.application) {
            // It gave up before it began: the file is not there, or cannot be made
            // (recording `05_fax_missing_file`).
            let text = format!("{} could not open its file or begin", self.application);
            return FaxFailure::new(FailureClass::LocalConfig, phase).with_native(None, Some(text));
        }
        if self.ended_here {
            // No such application, or the server ended the call before it.
            return FaxFailure::new(FailureClass::Unknown, phase);
        }
        match T30Result::from_number(CALL_DROPPED) {
            Some(dropped) => FaxFailure::from_t30(dropped, phase, seen),
            None => FaxFailure::new(FailureClass::Unknown, phase),
        }
    }
}

impl FaxEnd for FaxValues {
    fn outcome(&self, causes: &Causes, context: FaxContext) -> FaxOutcome {
        let total = self.total(context);
        let mut outcome = if self.success == Some(true) {
            FaxOutcome::succeeded(self.pages, total)
        } else {
            // A call that was taken away in mid-fax leaves no values; what it told meanwhile counts.
            let left = if self.ran() { self.pages } else { Some(0) };
            let pages = left.max(context.pages_confirmed);
            FaxOutcome::failed(self.failure(causes, context), pages, total)
        };
        if !self.remote_station.is_empty() {
            outcome = outcome.with_remote_station_id(self.remote_station.clone());
        }
        // Preset values are no agreement.
        if self.success == Some(true) || context.fax_seen || self.fax_seen() {
            if let Some(rate) = self.rate {
                outcome = outcome.with_bit_rate(rate);
            }
            if let Some(ecm) = self.ecm.or(context.ecm) {
                outcome = outcome.with_ecm(ecm);
            }
        }
        if let Some(resolution) = resolution(&self.resolution) {
            outcome = outcome.with_resolution(resolution);
        }
        if self.receives
            && let Some(rows) = self.bad_rows
        {
            outcome = outcome.with_bad_lines(rows);
        }
        outcome = match self.t38.as_str() {
            "negotiated" => outcome.with_transport(FaxTransport::T38),
            // Refused: it went on in audio (recording `05_fax_t38_refused_488_audio_fallback`).
            "off" | "refused" | "requested" => outcome.with_transport(FaxTransport::Audio),
            _ => outcome,
        };
        match context.duration_seconds {
            Some(seconds) => outcome.with_duration_seconds(seconds),
            None => outcome,
        }
    }
}

fn is_fax_application(name: &str) -> bool {
    matches!(name, "txfax" | "rxfax")
}

fn flag(value: &str) -> Option<bool> {
    match value {
        "1" | "on" | "true" => Some(true),
        "0" | "off" | "false" => Some(false),
        _ => None,
    }
}

/// `8040x3850` is 204x98 dpi.
fn resolution(text: &str) -> Option<Resolution> {
    let down: f64 = text.split_once('x')?.1.parse().ok()?;
    Resolution::from_lines_per_inch(down * 0.0254)
}

#[cfg(test)]
#[path = "fax_values_tests.rs"]
mod tests;
