//! What is known of one call beside its record.

use std::time::{Duration, Instant};

use faxbot_core::Timestamp;

use super::seen::{Report, Seen, Stage};
use crate::adapter::calls::Now;

/// Handles of earlier dialogs of one name that a call remembers.
const MAX_HANDLES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Line {
    /// We placed it.
    pub(super) ours: bool,
    /// Its dialog as it was last shown; none while none is known.
    pub(super) seen: Option<Box<Seen>>,
    /// Handles of other dialogs of the same name: of a request that was sent again with credentials, or
    /// that passed the server twice.
    pub(super) handles: Vec<String>,
    /// The party that answers is known to be called, or more.
    pub(super) reached: bool,
    pub(super) ring_timeout: Duration,
    /// When its request was handed to the connection, if it is ours.
    pub(super) requested_at: Option<Timestamp>,
    /// When a list last showed it without an answer, by our clock.
    pub(super) unanswered_at: Option<Timestamp>,
    /// A hang-up is owed: it is sent when the dialog is there.
    pub(super) cancel: bool,
    pub(super) by_us: bool,
    /// Why it ends, told before its end; none once it is answered.
    pub(super) cause: Option<Report>,
    /// The list that it was last in.
    pub(super) round: u64,
    /// Events told of it since the last list: one that does not have it may be older.
    pub(super) fresh: bool,
    /// It is over, and its cause is awaited until then.
    pub(super) settle_at: Option<Instant>,
    /// When that was told.
    pub(super) over_at: Option<Timestamp>,
    /// When it is to be said that no dialog came.
    pub(super) unreached_at: Option<Instant>,
    /// When the server is to be asked for it.
    pub(super) look_at: Option<Instant>,
}

impl Line {
    /// Takes over what the server shows now.
    pub(super) fn show(&mut self, now: &Seen) {
        let other = self.is_other(&now.handle);
        let Some(seen) = self.seen.as_mut() else {
            self.seen = Some(Box::new(now.clone()));
            return;
        };
        if other {
            remember(&mut self.handles, &seen.handle);
        }
        // Another dialog begins anew; of one and the same an older list may show less.
        seen.stage = if other {
            now.stage
        } else {
            seen.stage.max(now.stage)
        };
        if !now.handle.is_empty() && seen.handle != now.handle {
            seen.handle.clone_from(&now.handle);
        }
        fill(&mut seen.to_tag, &now.to_tag);
        fill(&mut seen.from, &now.from);
        fill(&mut seen.to, &now.to);
        fill(&mut seen.mark, &now.mark);
        fill(&mut seen.begun, &now.begun);
        fill(&mut seen.answered, &now.answered);
        if other {
            seen.ended = now.ended;
        } else {
            fill(&mut seen.ended, &now.ended);
        }
    }

    /// A list shows it at this stage.
    pub(super) fn is_shown(&mut self, stage: Stage, now: Now) {
        if stage < Stage::Answered {
            self.unanswered_at = Some(now.wall);
        }
    }

    /// A list shows it as over, after that was told.
    pub(super) fn ended(&mut self, now: &Seen) {
        if let Some(seen) = self.seen.as_mut() {
            fill(&mut seen.ended, &now.ended);
        }
    }

    /// It is not over: another request of its name came.
    pub(super) fn goes_on(&mut self) {
        self.settle_at = None;
        self.over_at = None;
        self.cause = None;
    }

    /// The stage that it has reached.
    pub(super) fn rise(&mut self, stage: Stage) {
        self.reached = true;
        self.unreached_at = None;
        if let Some(seen) = self.seen.as_mut() {
            seen.stage = seen.stage.max(stage);
        }
    }

    /// Whether this is the handle of another dialog than the one that it has.
    pub(super) fn is_other(&self, handle: &str) -> bool {
        let known = self.seen.as_ref().map(|seen| seen.handle.as_str());
        known.is_some_and(|known| !known.is_empty() && !handle.is_empty() && known != handle)
    }

    /// Whether it had a dialog of this handle, or has one beside.
    pub(super) fn had(&self, handle: &str) -> bool {
        self.handles.iter().any(|known| known == handle)
    }

    /// A dialog of its name has this handle, too.
    pub(super) fn remember(&mut self, handle: &str) {
        remember(&mut self.handles, handle);
    }

    /// Every handle that it had.
    pub(super) fn take_handles(&mut self) -> Vec<String> {
        let mut handles = std::mem::take(&mut self.handles);
        if let Some(seen) = self.seen.as_mut().filter(|seen| !seen.handle.is_empty()) {
            handles.push(std::mem::take(&mut seen.handle));
        }
        handles
    }

    /// When it wants to be looked at.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        [self.settle_at, self.unreached_at, self.look_at]
            .into_iter()
            .flatten()
            .min()
    }
}

/// Takes over what is told; what is not stays.
fn fill<T: Clone + PartialEq>(known: &mut Option<T>, told: &Option<T>) {
    if told.is_some() && known != told {
        known.clone_from(told);
    }
}

fn remember(handles: &mut Vec<String>, handle: &str) {
    if !handles.iter().any(|known| known == handle) {
        if handles.len() >= MAX_HANDLES {
            handles.remove(0);
        }
        handles.push(handle.to_owned());
    }
}
