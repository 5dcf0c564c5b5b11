//! What the list of a server's dialogs shows.

use faxbot_core::{id::CallId, sip::SipEvent};

use super::{
    Dialogs, Todo,
    seen::{Seen, Stage},
};
use crate::adapter::calls::Now;

impl Dialogs {
    /// Enters one look at the server; `whole` if it shows every dialog. One look at a time: the next is
    /// asked for after this.
    pub(crate) fn listed(&mut self, seen: &[Seen], whole: bool, now: Now) -> Vec<SipEvent> {
        self.round = self.round.wrapping_add(1);
        self.past.sweep(now.instant);
        let mut out = Vec::new();
        // Those that live first: of a request that passed the server twice one dialog may be over.
        for one in seen.iter().filter(|one| one.stage != Stage::Over) {
            out.extend(self.lives(one, now));
        }
        for one in seen.iter().filter(|one| one.stage == Stage::Over) {
            out.extend(self.is_over(one, now));
        }
        if whole {
            out.extend(self.absent_ones(now));
        }
        out
    }

    fn lives(&mut self, one: &Seen, now: Now) -> Vec<SipEvent> {
        let Some(id) = self.find_dialog(&one.call_id, &one.from_tag) else {
            if self.past.knows(one, now.instant) {
                return Vec::new();
            }
            let stray = self.past.take_stray(one);
            let Some(id) = self.enter(one, now) else {
                return Vec::new();
            };
            let mut out = self.raise(id, one.stage, one.answered, now);
            if let Some(report) = stray {
                // The list is older than the event of its end.
                out.extend(self.over_for(id, report, now));
            }
            return out;
        };
        let round = self.round;
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if line.settle_at.is_some() {
            if line.has_handle(&one.handle) {
                // The list is older than the event of its end.
                line.round = round;
                return Vec::new();
            }
            // The request came again, with credentials.
            line.settle_at = None;
            line.cause = None;
        }
        line.show(one, line.round == round);
        line.round = round;
        if line.cancel {
            self.want(Todo::HangUp(id));
        }
        self.raise(id, one.stage, one.answered, now)
    }

    fn is_over(&mut self, one: &Seen, now: Now) -> Vec<SipEvent> {
        let known = self.find_dialog(&one.call_id, &one.from_tag);
        let Some(id) = known else {
            if self.past.knows(one, now.instant) {
                return Vec::new();
            }
            // It began and ended between two looks.
            let told = self.past.take_stray(one);
            let Some(id) = self.enter(one, now) else {
                return Vec::new();
            };
            let mut out = self.raise(id, Stage::Begun, None, now);
            if let (Some(report), Some(line)) = (told, self.lines.get_mut(&id)) {
                line.cause = Some(report);
            }
            out.extend(self.ends(id, one, now));
            return out;
        };
        let round = self.round;
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        let earlier = self.past.has_handle(one) || !line.has_handle(&one.handle);
        if line.round == round || earlier {
            // Another dialog of the same name lives.
            return Vec::new();
        }
        line.round = round;
        if line.settle_at.is_some() {
            return Vec::new();
        }
        self.ends(id, one, now)
    }

    fn ends(&mut self, id: CallId, one: &Seen, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        if one.answered.is_some() {
            out.extend(self.raise(id, Stage::Answered, one.answered, now));
        }
        if let Some(line) = self.lines.get_mut(&id) {
            line.show(one, false);
        }
        out.extend(self.over(id, now));
        out
    }

    /// Those that the list does not have are over; one that events told of since the last list may be
    /// newer than this one.
    fn absent_ones(&mut self, now: Now) -> Vec<SipEvent> {
        let round = self.round;
        let mut gone = Vec::new();
        let mut newer = false;
        for (&id, line) in &mut self.lines {
            let fresh = std::mem::take(&mut line.fresh);
            if line.seen.is_none() || line.round == round || line.settle_at.is_some() {
                continue;
            }
            if fresh {
                newer = true;
            } else {
                gone.push(id);
            }
        }
        if newer {
            self.want(Todo::Poll);
        }
        gone.into_iter().flat_map(|id| self.over(id, now)).collect()
    }
}
