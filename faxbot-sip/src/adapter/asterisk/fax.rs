//! One fax as the events and answers of the server show it. Sans-IO.

use std::time::Instant;

use faxbot_core::{
    Error, Private,
    fax::{FaxOutcome, FaxPhase, FaxProgress, FaxUpdate},
    sip::Causes,
};
use tokio::sync::watch;

use super::outcome::{FaxContext, FaxVariables, Report};
use crate::protocol::ami::Message;

/// A fax that runs.
#[derive(Debug)]
pub(super) struct FaxRun {
    /// It comes to us: nobody tells how many pages there will be.
    receives: bool,
    /// Damaged rows, as last seen while it came in.
    bad_lines: Option<u32>,
    /// What we called ourselves, as the server had it.
    local_station: Option<Private>,
    progress: FaxProgress,
    variables: FaxVariables,
    /// `SendFAX` was seen: its page count is the last word while no handler's report is there.
    event_pages: Option<u32>,
    answered: Option<Instant>,
    /// Error correction as it was agreed, once it was.
    ecm: Option<bool>,
    /// The far end is a fax machine: it agreed on a resolution, or took a page.
    fax_seen: bool,
    /// Events were missed: what they told is no longer the whole truth.
    gap: bool,
    updates: watch::Sender<FaxUpdate>,
}

impl std::fmt::Debug for FaxVariables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The far end's station id and the texts may name a person.
        f.debug_struct("FaxVariables")
            .field("status", &self.status)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl FaxRun {
    pub(super) fn new(pages_total: u32) -> (Self, watch::Receiver<FaxUpdate>) {
        let progress = FaxProgress::new(pages_total);
        let (updates, receiver) = watch::channel(FaxUpdate::new(progress));
        let run = Self {
            receives: false,
            bad_lines: None,
            local_station: None,
            progress,
            variables: FaxVariables::default(),
            event_pages: None,
            answered: None,
            ecm: None,
            fax_seen: false,
            gap: false,
            updates,
        };
        (run, receiver)
    }

    /// A fax that comes in.
    pub(super) fn receiving() -> Self {
        let (mut run, _) = Self::new(0);
        run.receives = true;
        run
    }

    pub(super) fn progress(&self) -> FaxProgress {
        self.progress
    }

    /// The events between two connections were missed.
    pub(super) fn missed_events(&mut self) {
        self.gap = true;
    }

    /// Takes the phase forward, never back. Answers whether it moved.
    pub(super) fn reach(&mut self, phase: FaxPhase, now: Instant) -> bool {
        if phase <= self.progress.phase {
            return false;
        }
        if phase >= FaxPhase::Negotiating && phase < FaxPhase::Finished {
            self.answered.get_or_insert(now);
        }
        self.progress.phase = phase;
        self.tell();
        true
    }

    /// A `VarSet` of our channel.
    pub(super) fn variable(&mut self, variable: &str, value: &str) {
        self.variables.set(variable, value);
    }

    /// The `SendFAX` or `ReceiveFAX` event: it comes for failures too and has no status
    /// (`06_fax_local_hangup_midway`).
    pub(super) fn ended_event(&mut self, event: &Message) {
        self.event_pages = number(event, "PagesTransferred");
        self.variables.bit_rate = self.variables.bit_rate.or(number(event, "TransferRate"));
        if self.variables.remote_station.is_empty()
            && let Some(station) = event.get_str("RemoteStationID")
        {
            self.variables.remote_station = station.into_owned();
        }
        if self.receives
            && let Some(station) = event.get_str("LocalStationID")
        {
            self.local_station = (!station.is_empty()).then(|| Private::new(station.into_owned()));
        }
    }

    /// The answer to `FAXSession`. Answers whether the progress changed.
    ///
    /// Until the machines have agreed, rate and error correction are the preset ones and the
    /// resolution is `0x0` (observed on Asterisk 16.28 and 22.10, recording `06_fax_t38_ok`).
    /// `PagesTransmitted` counts pages that the far end confirmed, `PagesReceived` those that we
    /// confirmed; the page on the line is the next one, until all are through.
    pub(super) fn session(&mut self, session: &Message, now: Instant) -> bool {
        let before = self.progress;
        let pages = if self.receives {
            "PagesReceived"
        } else {
            "PagesTransmitted"
        };
        let confirmed = number(session, pages).unwrap_or(0);
        let resolution = session.get_str("ImageResolution").unwrap_or_default();
        if confirmed == 0 && (resolution.is_empty() || resolution == "0x0") {
            return self.reach(FaxPhase::Negotiating, now);
        }
        self.fax_seen = true;
        self.ecm = session
            .get_str("ErrorCorrectionMode")
            .map(|mode| mode.eq_ignore_ascii_case("yes"));
        self.reach(FaxPhase::Transmitting, now);
        // A late answer must not take pages back.
        let confirmed = self.progress.pages_confirmed.unwrap_or(0).max(confirmed);
        self.progress.pages_confirmed = Some(confirmed);
        let page = confirmed.saturating_add(1);
        self.progress.page = Some(match self.total() {
            Some(total) => page.min(total.max(1)),
            None => page,
        });
        if self.receives {
            let bad = number(session, "TotalBadLines");
            self.bad_lines = self.bad_lines.max(bad);
        }
        if let Some(rate) = number(session, "DataRate").filter(|&rate| rate > 0) {
            self.progress.bit_rate = Some(rate);
        }
        let changed = self.progress != before;
        if changed {
            self.tell();
        }
        changed
    }

    /// How it ended: by what the hangup handler left, else by what the events told, unless some of
    /// them were missed.
    pub(super) fn end(
        &mut self,
        report: Option<&Report>,
        causes: &Causes,
        hung_up_by_us: bool,
        events_tell: bool,
        now: Instant,
    ) -> FaxOutcome {
        let context = FaxContext {
            pages_total: self.total(),
            fax_seen: self.fax_seen,
            hung_up_by_us,
            duration_seconds: self
                .answered
                .map(|at| now.saturating_duration_since(at).as_secs()),
            ecm: self.ecm,
        };
        let outcome = match report {
            Some(report) => report.fax.outcome(causes, context),
            None if events_tell && !self.gap => {
                // A variable that never came is the event's; it is sent for every session that began.
                self.variables.pages = self.variables.pages.or(self.event_pages);
                self.variables.outcome(causes, context)
            }
            None => FaxOutcome::unknown(self.progress.pages_confirmed, self.total()),
        };
        let outcome = self.with_what_was_seen(outcome);
        self.progress.phase = FaxPhase::Finished;
        if let Some(confirmed) = outcome.pages_confirmed {
            self.progress.pages_confirmed = Some(confirmed);
        }
        let progress = self.progress;
        self.updates.send_modify(|update| {
            update.progress = progress;
            update.end = Some(Ok(outcome.clone()));
        });
        outcome
    }

    fn total(&self) -> Option<u32> {
        (!self.receives).then_some(self.progress.pages_total)
    }

    /// What neither the variables nor the handler's report have.
    fn with_what_was_seen(&self, mut outcome: FaxOutcome) -> FaxOutcome {
        if let Some(lines) = self.bad_lines {
            outcome = outcome.with_bad_lines(lines);
        }
        if let Some(station) = &self.local_station {
            outcome = outcome.with_local_station_id(station.expose().clone());
        }
        outcome
    }

    /// Nobody follows it any longer.
    pub(super) fn lose(&mut self, error: Error) {
        self.updates
            .send_modify(|update| update.end = Some(Err(error)));
    }

    fn tell(&self) {
        let progress = self.progress;
        self.updates
            .send_modify(|update| update.progress = progress);
    }
}

fn number(message: &Message, header: &str) -> Option<u32> {
    message.get_str(header)?.trim().parse().ok()
}
