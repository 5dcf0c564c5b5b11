//! Dialogs that are over: servers list them for some seconds more, and tell of their end late, twice, or
//! before their beginning.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use faxbot_core::id::CallId;

use super::seen::{DialogKey, Report, Seen, Stage};

/// How long an end is remembered after its last trace: both servers list an ended dialog for about 5 s.
const KEEP: Duration = Duration::from_secs(120);

/// How many are remembered at most: those of two minutes at 80 calls a second.
const MAX: usize = 10_000;

/// How long a dialog of the same name is taken for the one that ended, where nothing tells them apart: a
/// list may be older than the event of the end.
const SAME: Duration = Duration::from_secs(10);

/// Handles of one name that are remembered. Whoever calls in repeats a Call-ID and a tag for as long as
/// it likes, and each time is another dialog.
const MAX_HANDLES: usize = 64;

/// One that is over.
#[derive(Debug)]
struct Gone {
    at: Instant,
    /// The call that it was, unless it was over before we knew of it.
    call: Option<CallId>,
    /// The newest first.
    handles: Vec<String>,
    /// Why, where the call was not known.
    report: Option<Report>,
}

/// Those that are over, bounded.
#[derive(Debug, Default)]
pub(super) struct Past {
    gone: HashMap<DialogKey, Gone>,
    order: VecDeque<(Instant, DialogKey)>,
    /// Calls of ours that were over before a dialog of theirs was known.
    unseen: HashMap<CallId, Unseen>,
    unseen_order: VecDeque<(Instant, CallId)>,
    /// Dialogs that were theirs: the mark of one that is over is not listed any more.
    late: HashMap<DialogKey, CallId>,
}

/// A call of ours that was over before a dialog of it was known.
#[derive(Debug)]
struct Unseen {
    at: Instant,
    /// Its dialogs that showed since.
    late: Vec<DialogKey>,
}

/// Dialogs of one such call that are remembered.
const MAX_LATE: usize = 8;

impl Past {
    /// The call of a dialog is over.
    pub(super) fn ended(
        &mut self,
        key: DialogKey,
        call: CallId,
        handles: Vec<String>,
        now: Instant,
    ) {
        let mut handles = handles;
        // Of many of one dialog the last ones are the newest.
        handles.reverse();
        if let Some(before) = self.gone.get_mut(&key) {
            handles.append(&mut before.handles);
        }
        handles.truncate(MAX_HANDLES);
        let gone = Gone {
            at: now,
            call: Some(call),
            handles,
            report: None,
        };
        self.put(key, gone, now);
    }

    /// A call of ours is over of which no dialog was known.
    pub(super) fn ended_unseen(&mut self, call: CallId, now: Instant) {
        let late = Vec::new();
        self.unseen.insert(call, Unseen { at: now, late });
        self.unseen_order.push_back((now, call));
        self.sweep(now);
    }

    /// Whether what is shown is news of a call of ours that was over before: a server's processes tell of
    /// one call in any order. What is answered is another one, and so is what lives on.
    pub(super) fn is_late(&mut self, seen: &Seen, now: Instant) -> bool {
        let key = key(seen);
        let call = seen.mark.or_else(|| self.late.get(&key).copied());
        let Some((call, unseen)) = call.and_then(|call| Some((call, self.unseen.get_mut(&call)?)))
        else {
            return false;
        };
        if seen.answered.is_some() || matches!(seen.stage, Stage::Answered | Stage::Up) {
            return false;
        }
        if seen.stage == Stage::Over {
            let handle = Some(seen.handle.clone()).filter(|handle| !handle.is_empty());
            self.ended(key, call, handle.into_iter().collect(), now);
            return true;
        }
        let age = now.saturating_duration_since(unseen.at);
        if unseen.late.len() < MAX_LATE && !unseen.late.contains(&key) {
            unseen.late.push(key.clone());
            self.late.insert(key, call);
        }
        age < SAME
    }

    /// The end of a dialog that is not known was told.
    pub(super) fn stray(&mut self, key: DialogKey, report: Report, now: Instant) {
        if self.gone.contains_key(&key) {
            return;
        }
        let gone = Gone {
            at: now,
            call: None,
            handles: Vec::new(),
            report: Some(report),
        };
        self.put(key, gone, now);
    }

    /// Whether what is shown is a dialog whose end was entered: it is not another one.
    pub(super) fn knows(&mut self, seen: &Seen, now: Instant) -> bool {
        let Some(gone) = self.gone.get_mut(&key(seen)) else {
            return false;
        };
        if gone.call.is_none() {
            return false;
        }
        let named = !seen.handle.is_empty() && !gone.handles.is_empty();
        let same = if named {
            gone.handles.contains(&seen.handle)
        } else {
            now.saturating_duration_since(gone.at) < SAME
        };
        if same && named {
            // As long as it is listed.
            gone.at = now;
        }
        same
    }

    /// Whether one handle is that of a dialog of this name that is over.
    pub(super) fn has_handle(&self, seen: &Seen) -> bool {
        let gone = self.gone.get(&key(seen));
        !seen.handle.is_empty() && gone.is_some_and(|gone| gone.handles.contains(&seen.handle))
    }

    /// Why a dialog ended that was not known when that was told.
    pub(super) fn take_stray(&mut self, seen: &Seen) -> Option<Report> {
        let with_tag = key(seen);
        let without = DialogKey {
            call_id: seen.call_id.clone(),
            from_tag: String::new(),
        };
        [with_tag, without]
            .iter()
            .find_map(|key| self.gone.get_mut(key)?.report.take())
    }

    /// Whether the end of such a dialog was told or entered.
    pub(super) fn is_told(&self, call_id: &str, from_tag: Option<&str>) -> bool {
        let key = DialogKey {
            call_id: call_id.to_owned(),
            from_tag: from_tag.unwrap_or_default().to_owned(),
        };
        self.gone.contains_key(&key)
    }

    /// The call that a dialog was.
    pub(super) fn call(&self, call_id: &str, from_tag: &str) -> Option<CallId> {
        let key = DialogKey {
            call_id: call_id.to_owned(),
            from_tag: from_tag.to_owned(),
        };
        self.gone.get(&key)?.call
    }

    /// Forgets what is old, or too much.
    pub(super) fn sweep(&mut self, now: Instant) {
        while let Some((at, call)) = self.unseen_order.front() {
            if now.saturating_duration_since(*at) < KEEP && self.unseen_order.len() <= MAX {
                break;
            }
            if let Some(unseen) = self.unseen.remove(call) {
                for key in unseen.late {
                    self.late.remove(&key);
                }
            }
            self.unseen_order.pop_front();
        }
        while let Some((at, key)) = self.order.front() {
            let traced = self.gone.get(key).map(|gone| gone.at);
            let old = |at: Instant| now.saturating_duration_since(at) >= KEEP;
            if !old(*at) && self.order.len() <= MAX {
                break;
            }
            let Some((queued, key)) = self.order.pop_front() else {
                break;
            };
            match traced {
                // It was listed since.
                Some(traced) if traced > queued && !old(traced) && self.order.len() < MAX => {
                    self.order.push_back((traced, key));
                }
                _ => {
                    self.gone.remove(&key);
                }
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.gone.clear();
        self.order.clear();
        self.unseen.clear();
        self.unseen_order.clear();
        self.late.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> (usize, usize) {
        (self.gone.len(), self.order.len())
    }

    #[cfg(test)]
    pub(super) fn unseen(&self) -> [usize; 3] {
        [self.unseen.len(), self.unseen_order.len(), self.late.len()]
    }

    fn put(&mut self, key: DialogKey, gone: Gone, now: Instant) {
        if self.gone.insert(key.clone(), gone).is_none() {
            self.order.push_back((now, key));
        }
        self.sweep(now);
    }
}

pub(super) fn key(seen: &Seen) -> DialogKey {
    DialogKey {
        call_id: seen.call_id.clone(),
        from_tag: seen.from_tag.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_used_again_and_again_keeps_the_newest_handles_alone() {
        let (mut past, mut now) = (Past::default(), Instant::now());
        let key = || DialogKey {
            call_id: "same".to_owned(),
            from_tag: "tag".to_owned(),
        };
        for n in 0..1_000 {
            now += SAME;
            let handles = vec![format!("{n}:first"), format!("{n}:last")];
            past.ended(key(), CallId::new(), handles, now);
        }
        let handles = &past.gone[&key()].handles;
        assert_eq!(handles.len(), MAX_HANDLES);
        assert_eq!(handles[..3], ["999:last", "999:first", "998:last"]);
        assert_eq!(past.len(), (1, 1));
    }
}
