//! What the list of a server's dialogs shows.

use faxbot_core::{id::CallId, sip::SipEvent};

use super::{
    Dialogs, Todo,
    seen::{Report, Seen, Stage},
};
use crate::adapter::calls::Now;

impl Dialogs {
    /// Enters one look at the server; `whole` if it shows every dialog. The next whole one is asked for
    /// after this; what is looked at beside the polls is not whole, whatever it shows.
    pub(crate) fn listed(&mut self, seen: &[Seen], whole: bool, now: Now) -> Vec<SipEvent> {
        self.round = self.round.wrapping_add(1);
        self.past.sweep(now.instant);
        let mut out = Vec::new();
        // Those that live first: of a request that passed the server twice one dialog may be over.
        for one in seen.iter().filter(|one| one.stage != Stage::Over) {
            out.extend(self.hand_over(one, now));
            out.extend(self.lives(one, seen, whole, now));
            if !whole {
                // A poll that is under way may be older.
                self.is_fresh(one);
            }
        }
        for one in seen.iter().filter(|one| one.stage == Stage::Over) {
            out.extend(self.is_over(one, now));
        }
        if whole {
            out.extend(self.absent_ones(now));
        }
        out
    }

    fn is_fresh(&mut self, one: &Seen) {
        let id = self.find_dialog(&one.call_id, &one.from_tag);
        if let Some(line) = id.and_then(|id| self.lines.get_mut(&id)) {
            line.fresh = true;
        }
    }

    fn lives(&mut self, one: &Seen, list: &[Seen], whole: bool, now: Now) -> Vec<SipEvent> {
        let Some(id) = self.find_dialog(&one.call_id, &one.from_tag) else {
            return self.lives_anew(one, now);
        };
        let round = self.round;
        let answered = self.calls.is_answered(id);
        let ended = self.past.has_handle(one);
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        let other = line.is_other(&one.handle);
        if other && ended {
            // The list is older than its end.
            return Vec::new();
        }
        if line.settle_at.is_some() {
            if !other || line.had(&one.handle) {
                // The list is older than the event of its end.
                line.round = round;
                return Vec::new();
            }
            // The request came again, with credentials.
            line.goes_on();
        } else if other {
            let namesakes = list.iter().filter(|it| same_name(it, one));
            let its = namesakes.filter(|it| !line.is_other(&it.handle));
            let its = its.map(|it| it.stage).min();
            if its.is_some_and(|stage| stage != Stage::Over) {
                // The request passed the server twice: two dialogs, one call.
                line.remember(&one.handle);
                return self.raise(id, one.stage, one.answered, now);
            }
            if its.is_none() && line.fresh {
                // The list may be older than the dialog that took the place of this one.
                self.want(Todo::Poll);
                return Vec::new();
            }
            if answered && one.stage < Stage::Answered {
                if !whole {
                    self.want(Todo::Poll);
                    return Vec::new();
                }
                // The name is used again, for another call.
                let mut out = self.end(id, Report::default(), now);
                out.extend(self.lives_anew(one, now));
                return out;
            }
        }
        line.show(one);
        line.round = round;
        line.is_shown(one.stage, now);
        if line.cancel {
            self.want(Todo::HangUp(id));
        }
        self.raise(id, one.stage, one.answered, now)
    }

    /// No call of the books has this dialog.
    fn lives_anew(&mut self, one: &Seen, now: Now) -> Vec<SipEvent> {
        if self.past.knows(one, now.instant) || self.past.is_late(one, now.instant) {
            return Vec::new();
        }
        let stray = self.past.take_stray(one);
        let Some(id) = self.enter(one, now) else {
            return Vec::new();
        };
        if let Some(line) = self.lines.get_mut(&id) {
            line.is_shown(one.stage, now);
        }
        let mut out = self.raise(id, one.stage, one.answered, now);
        if let Some(report) = stray {
            // The list is older than the event of its end.
            out.extend(self.over_for(id, report, now));
        }
        out
    }

    fn is_over(&mut self, one: &Seen, now: Now) -> Vec<SipEvent> {
        let known = self.find_dialog(&one.call_id, &one.from_tag);
        let Some(id) = known else {
            if self.past.knows(one, now.instant) || self.past.is_late(one, now.instant) {
                return Vec::new();
            }
            // It began and ended between two looks.
            let told = self.past.take_stray(one);
            let Some(id) = self.enter(one, now) else {
                return Vec::new();
            };
            let mut out = self.raise(id, Stage::Begun, None, now);
            out.extend(self.ends(id, one, told, now));
            return out;
        };
        let round = self.round;
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        if line.is_other(&one.handle) {
            // Another dialog of the same name lives, or did when it was last told of.
            line.remember(&one.handle);
            return Vec::new();
        }
        if line.round == round || self.past.has_handle(one) {
            return Vec::new();
        }
        line.round = round;
        if line.settle_at.is_some() && one.answered.is_none() {
            line.ended(one);
            return Vec::new();
        }
        self.ends(id, one, None, now)
    }

    /// A list shows a call as over; `told` is what an event said of that before.
    fn ends(&mut self, id: CallId, one: &Seen, told: Option<Report>, now: Now) -> Vec<SipEvent> {
        let mut out = Vec::new();
        if one.answered.is_some() {
            out.extend(self.raise(id, Stage::Answered, one.answered, now));
        }
        if let Some(line) = self.lines.get_mut(&id) {
            line.show(one);
        }
        out.extend(match told {
            Some(report) => self.over_for(id, report, now),
            None => self.over(id, now),
        });
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

fn same_name(one: &Seen, other: &Seen) -> bool {
    one.call_id == other.call_id && one.from_tag == other.from_tag
}
