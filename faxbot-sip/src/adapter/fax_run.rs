//! One fax as the events and answers of a server show it: progress that never goes back, and one
//! outcome. Sans-IO; an adapter reads its server's words.

use std::time::Instant;

use faxbot_core::{
    Error, Private,
    fax::{FaxOutcome, FaxPhase, FaxProgress, FaxUpdate},
};
use tokio::sync::watch;

/// What our books know of a fax call when its outcome is made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FaxContext {
    /// Pages of the document, for one that is sent.
    pub(crate) pages_total: Option<u32>,
    /// The far end is a fax machine: it agreed on something, or a page went through.
    pub(crate) fax_seen: bool,
    pub(crate) hung_up_by_us: bool,
    /// From the answer on.
    pub(crate) duration_seconds: Option<u64>,
    /// Error correction as it was agreed, once it was.
    pub(crate) ecm: Option<bool>,
    /// Pages that were confirmed while it ran, as far as was told.
    pub(crate) pages_confirmed: Option<u32>,
}

/// What a server tells of a fax that runs. What it does not tell stays as it was.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FaxSigns {
    /// The machines have agreed on how.
    pub(crate) agreed: bool,
    /// Pages that the receiving side confirmed.
    pub(crate) confirmed: Option<u32>,
    /// Bits a second.
    pub(crate) bit_rate: Option<u32>,
    pub(crate) ecm: Option<bool>,
    /// Damaged rows of all pages so far, for one that is received.
    pub(crate) bad_lines: Option<u32>,
}

/// A fax that runs.
#[derive(Debug)]
pub(crate) struct FaxRun {
    /// It comes to us: nobody tells how many pages there will be.
    receives: bool,
    bad_lines: Option<u32>,
    /// What we called ourselves, as the server had it.
    local_station: Option<Private>,
    progress: FaxProgress,
    answered: Option<Instant>,
    ecm: Option<bool>,
    fax_seen: bool,
    /// Events were missed: what they told is no longer the whole truth.
    gap: bool,
    updates: watch::Sender<FaxUpdate>,
}

impl FaxRun {
    pub(crate) fn new(pages_total: u32) -> (Self, watch::Receiver<FaxUpdate>) {
        let progress = FaxProgress::new(pages_total);
        let (updates, receiver) = watch::channel(FaxUpdate::new(progress));
        let run = Self {
            receives: false,
            bad_lines: None,
            local_station: None,
            progress,
            answered: None,
            ecm: None,
            fax_seen: false,
            gap: false,
            updates,
        };
        (run, receiver)
    }

    /// A fax that comes in.
    pub(crate) fn receiving() -> Self {
        let (mut run, _) = Self::new(0);
        run.receives = true;
        run
    }

    pub(crate) fn receives(&self) -> bool {
        self.receives
    }

    pub(crate) fn progress(&self) -> FaxProgress {
        self.progress
    }

    /// The events between two connections were missed.
    pub(crate) fn missed_events(&mut self) {
        self.gap = true;
    }

    /// Whether some were.
    pub(crate) fn has_gap(&self) -> bool {
        self.gap
    }

    /// Takes the phase forward, never back. Answers whether it moved.
    pub(crate) fn reach(&mut self, phase: FaxPhase, now: Instant) -> bool {
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

    /// What the server tells of it. Answers whether the progress changed. The page on the line is the
    /// one behind those that are confirmed, until all are through; a late word takes no page back.
    pub(crate) fn signs(&mut self, signs: FaxSigns, now: Instant) -> bool {
        let before = self.progress;
        if !signs.agreed && signs.confirmed.unwrap_or(0) == 0 {
            return self.reach(FaxPhase::Negotiating, now);
        }
        self.fax_seen = true;
        self.ecm = signs.ecm.or(self.ecm);
        self.reach(FaxPhase::Transmitting, now);
        let confirmed = signs.confirmed.unwrap_or(0);
        let confirmed = self.progress.pages_confirmed.unwrap_or(0).max(confirmed);
        self.progress.pages_confirmed = Some(confirmed);
        let page = confirmed.saturating_add(1);
        self.progress.page = Some(match self.total() {
            Some(total) => page.min(total.max(1)),
            None => page,
        });
        if self.receives {
            self.bad_lines = self.bad_lines.max(signs.bad_lines);
        }
        if let Some(rate) = signs.bit_rate.filter(|&rate| rate > 0) {
            self.progress.bit_rate = Some(rate);
        }
        let changed = self.progress != before;
        if changed {
            self.tell();
        }
        changed
    }

    /// Damaged rows of all pages, with those of the page that is confirmed now: for a server that tells
    /// them page by page.
    pub(crate) fn bad_lines_with(&self, confirmed: Option<u32>, rows: Option<u32>) -> Option<u32> {
        if confirmed <= self.progress.pages_confirmed {
            return self.bad_lines;
        }
        let before = self.bad_lines.unwrap_or(0);
        rows.map(|rows| before.saturating_add(rows))
            .or(self.bad_lines)
    }

    /// What we called ourselves, as the server says.
    pub(crate) fn local_station(&mut self, station: &str) {
        if !station.is_empty() {
            self.local_station = Some(Private::new(station.to_owned()));
        }
    }

    /// Ends it. `outcome` reads what the server told of the end; `None` stands for nothing.
    pub(crate) fn finish(
        &mut self,
        hung_up_by_us: bool,
        now: Instant,
        outcome: impl FnOnce(FaxContext) -> Option<FaxOutcome>,
    ) -> FaxOutcome {
        let context = FaxContext {
            pages_total: self.total(),
            fax_seen: self.fax_seen,
            hung_up_by_us,
            duration_seconds: self
                .answered
                .map(|at| now.saturating_duration_since(at).as_secs()),
            ecm: self.ecm,
            pages_confirmed: self.progress.pages_confirmed,
        };
        let outcome = outcome(context)
            .unwrap_or_else(|| FaxOutcome::unknown(self.progress.pages_confirmed, self.total()));
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

    /// What the words of the end do not have.
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
    pub(crate) fn lose(&mut self, error: Error) {
        self.updates
            .send_modify(|update| update.end = Some(Err(error)));
    }

    fn tell(&self) {
        let progress = self.progress;
        self.updates
            .send_modify(|update| update.progress = progress);
    }
}
