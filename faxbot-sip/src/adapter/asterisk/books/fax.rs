//! One fax as the events and answers of Asterisk show it. Sans-IO.

use std::time::Instant;

use faxbot_core::{
    fax::{FaxOutcome, FaxUpdate},
    sip::Causes,
};
use tokio::sync::watch;

use super::super::outcome::{FaxVariables, Report};
use crate::{
    adapter::fax_run::{FaxRun, FaxSigns},
    protocol::ami::Message,
};

/// A fax that runs.
#[derive(Debug)]
pub(crate) struct Fax {
    pub(crate) run: FaxRun,
    variables: FaxVariables,
    /// `SendFAX` was seen: its page count is the last word while no handler's report is there.
    event_pages: Option<u32>,
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

impl Fax {
    pub(crate) fn new(pages_total: u32) -> (Self, watch::Receiver<FaxUpdate>) {
        let (run, updates) = FaxRun::new(pages_total);
        (Self::of(run), updates)
    }

    /// A fax that comes in.
    pub(crate) fn receiving() -> Self {
        Self::of(FaxRun::receiving())
    }

    fn of(run: FaxRun) -> Self {
        Self {
            run,
            variables: FaxVariables::default(),
            event_pages: None,
        }
    }

    /// A `VarSet` of our channel.
    pub(crate) fn variable(&mut self, variable: &str, value: &str) {
        self.variables.set(variable, value);
    }

    /// The `SendFAX` or `ReceiveFAX` event: it comes for failures too and has no status
    /// (`06_fax_local_hangup_midway`).
    pub(crate) fn ended_event(&mut self, event: &Message) {
        self.event_pages = number(event, "PagesTransferred");
        self.variables.bit_rate = self.variables.bit_rate.or(number(event, "TransferRate"));
        if self.variables.remote_station.is_empty()
            && let Some(station) = event.get_str("RemoteStationID")
        {
            self.variables.remote_station = station.into_owned();
        }
        if self.run.receives()
            && let Some(station) = event.get_str("LocalStationID")
        {
            self.run.local_station(&station);
        }
    }

    /// The answer to `FAXSession`. Answers whether the progress changed.
    ///
    /// Until the machines have agreed, rate and error correction are the preset ones and the
    /// resolution is `0x0` (observed on Asterisk 16.28 and 22.10, recording `06_fax_t38_ok`).
    /// `PagesTransmitted` counts pages that the far end confirmed, `PagesReceived` those that we
    /// confirmed.
    pub(crate) fn session(&mut self, session: &Message, now: Instant) -> bool {
        let pages = if self.run.receives() {
            "PagesReceived"
        } else {
            "PagesTransmitted"
        };
        let resolution = session.get_str("ImageResolution").unwrap_or_default();
        let signs = FaxSigns {
            agreed: !resolution.is_empty() && resolution != "0x0",
            confirmed: number(session, pages),
            bit_rate: number(session, "DataRate"),
            ecm: session
                .get_str("ErrorCorrectionMode")
                .map(|mode| mode.eq_ignore_ascii_case("yes")),
            bad_lines: number(session, "TotalBadLines"),
        };
        self.run.signs(signs, now)
    }

    /// How it ended: by what the hangup handler left, else by what the events told, unless some of
    /// them were missed.
    pub(crate) fn end(
        &mut self,
        report: Option<&Report>,
        causes: &Causes,
        hung_up_by_us: bool,
        events_tell: bool,
        now: Instant,
    ) -> FaxOutcome {
        let events_tell = events_tell && !self.run.has_gap();
        let (variables, event_pages) = (&mut self.variables, self.event_pages);
        self.run.finish(hung_up_by_us, now, |context| match report {
            Some(report) => Some(report.fax.outcome(causes, context)),
            None if events_tell => {
                // A variable that never came is the event's; it is sent for every session that
                // began.
                variables.pages = variables.pages.or(event_pages);
                Some(variables.outcome(causes, context))
            }
            None => None,
        })
    }
}

fn number(message: &Message, header: &str) -> Option<u32> {
    message.get_str(header)?.trim().parse().ok()
}
