//! What the events of the server tell of its calls.

use std::time::Duration;

use faxbot_core::{
    Private,
    id::{CallId, CallRef},
    sip::SipEvent,
};

use super::{Desk, OF_A_LEG};
use crate::adapter::{
    calls::Now,
    dialogs::{Report, Seen, Stage, Told},
    opensips::{
        event::{LegState, Meaning, Named, Parties, TransferState, Why},
        watches::{HoldWatch, TransferEnd},
    },
};

/// A phone that was sent on may leave its old call by itself (recorded: after 250 ms). One that did not
/// until then is not going to.
const STAYS: Duration = Duration::from_secs(1);

impl Desk {
    /// Enters an event.
    pub(in super::super) fn told(
        &mut self,
        meaning: Meaning,
        handle: &str,
        now: Now,
    ) -> Vec<SipEvent> {
        match meaning {
            Meaning::Moved {
                call,
                to_tag,
                stage,
            } => self.moved(call, to_tag, stage, handle, now),
            Meaning::Missed { call, why, parties } => self.missed(call, &why, parties, now),
            Meaning::Cdr { call, cdr } => {
                match self.leg(&call.call_id) {
                    Some((_, scenario)) => self.dialogs.measured(&scenario, "", cdr),
                    None => self.dialogs.measured(&call.call_id, &call.from_tag, cdr),
                }
                Vec::new()
            }
            Meaning::Hold {
                call_id,
                leg,
                hold,
                state,
            } => self.held(&call_id, leg, hold, state, now),
            Meaning::Transfer {
                call_id,
                state,
                status,
                ..
            } => {
                self.transfer_told(&call_id, state, status, now);
                Vec::new()
            }
            Meaning::Presence { aor, there } => vec![SipEvent::PresenceChanged {
                watched: aor,
                state: if there { "registered" } else { "unregistered" }.to_owned(),
            }],
            Meaning::Other => Vec::new(),
        }
    }

    fn moved(
        &mut self,
        call: Named,
        to_tag: Option<String>,
        stage: Stage,
        handle: &str,
        now: Now,
    ) -> Vec<SipEvent> {
        if let Some((id, _)) = self.leg(&call.call_id) {
            self.is_told(id);
            // How far the call of two legs is, only its list tells.
            self.want_pairs();
            return Vec::new();
        }
        let mut seen = Seen {
            call_id: call.call_id,
            from_tag: call.from_tag,
            to_tag,
            stage,
            from: None,
            to: None,
            handle: handle.to_owned(),
            mark: None,
            begun: None,
            answered: None,
            ended: None,
        };
        let known = self.knows(&seen);
        if !known && self.is_placing() && seen.call_id.starts_with(OF_A_LEG) {
            // The call is looked at often already.
            self.rounds.want_list();
            return Vec::new();
        }
        if !known && stage != Stage::Over {
            // Events do not tell who calls whom.
            self.rounds.want_list();
        }
        if stage != Stage::Over {
            return self.begins(seen, now);
        }
        // One that was refused at once is told by its end alone.
        seen.stage = Stage::Begun;
        let (call_id, tag) = (seen.call_id.clone(), seen.from_tag.clone());
        let mut out = self.begins(seen, now);
        out.extend(
            self.dialogs
                .told(&call_id, Some(&tag), Told::OverWithoutCause, now),
        );
        self.forget_ended();
        out
    }

    fn begins(&mut self, seen: Seen, now: Now) -> Vec<SipEvent> {
        let (call_id, tag) = (seen.call_id.clone(), seen.from_tag.clone());
        self.dialogs
            .told(&call_id, Some(&tag), Told::Begun(Box::new(seen)), now)
    }

    /// A try was not answered: if the call ends now, that is why. The script may call somebody else.
    fn missed(&mut self, call: Named, why: &Why, parties: Parties, now: Now) -> Vec<SipEvent> {
        let mut report = Report::new(why.causes());
        report.disposition = why.disposition();
        if let Some((_, scenario)) = self.leg(&call.call_id) {
            self.want_pairs();
            return self.dialogs.told(&scenario, None, Told::Cause(report), now);
        }
        if self.is_placing() && call.call_id.starts_with(OF_A_LEG) {
            return Vec::new();
        }
        let seen = Seen {
            call_id: call.call_id.clone(),
            from_tag: call.from_tag.clone(),
            to_tag: None,
            stage: Stage::Begun,
            from: parties.from.map(Private::into_inner),
            to: parties.to.map(Private::into_inner),
            handle: String::new(),
            mark: None,
            begun: None,
            answered: None,
            ended: None,
        };
        let mut out = self.begins(seen, now);
        if let Some(id) = self.dialogs.find(&CallRef::native(call.call_id.as_str()))
            && self.hung_up.contains_key(&id)
        {
            // A party that answered otherwise than to our CANCEL was faster than that.
            self.dialogs.hung_up_by_us(id, !why.is_an_answer());
        }
        out.extend(self.dialogs.told(
            &call.call_id,
            Some(&call.from_tag),
            Told::Cause(report),
            now,
        ));
        out
    }

    fn held(
        &mut self,
        call_id: &str,
        leg: String,
        hold: bool,
        state: LegState,
        now: Now,
    ) -> Vec<SipEvent> {
        if let Some(watch) = self.holds.get_mut(call_id) {
            if watch.hold == hold {
                watch.told(leg, state);
            }
            return Vec::new();
        }
        // Somebody else's order: the last leg decides.
        let told = match (state, hold) {
            (LegState::Done, true) => Told::Held,
            (LegState::Done, false) => Told::Resumed,
            _ => return Vec::new(),
        };
        let of = self.leg(call_id).map(|(_, scenario)| scenario);
        self.dialogs
            .told(of.as_deref().unwrap_or(call_id), None, told, now)
    }

    /// Waits for what the legs of a call say to a hold, or to its end.
    pub(in super::super) fn watch_hold(&mut self, call_id: &str, hold: bool) {
        self.holds.insert(call_id.to_owned(), HoldWatch::new(hold));
    }

    fn transfer_told(
        &mut self,
        call_id: &str,
        state: TransferState,
        status: Option<u16>,
        now: Now,
    ) {
        if let Some(watch) = self.transfers.get_mut(call_id) {
            watch.told(state, status);
            self.end_of_a_left_transfer(call_id, now);
        }
    }

    /// Nobody waits for a transfer any longer whose outcome is not known: what is still told of it decides
    /// whether the call ends.
    pub(in super::super) fn transfer_left(&mut self, call_id: &str, now: Now) {
        if let Some(watch) = self.transfers.get_mut(call_id) {
            watch.left = true;
            self.end_of_a_left_transfer(call_id, now);
        }
    }

    fn end_of_a_left_transfer(&mut self, call_id: &str, now: Now) {
        let watch = self.transfers.get(call_id).filter(|watch| watch.left);
        let Some(end) = watch.and_then(|watch| watch.end) else {
            return;
        };
        self.transfers.remove(call_id);
        if end == TransferEnd::Done
            && let Some(id) = self.dialogs.find(&CallRef::native(call_id))
        {
            self.was_transferred(id, now);
        }
    }

    /// A transfer is done: the call ends soon, whoever ends it.
    pub(in super::super) fn was_transferred(&mut self, id: CallId, now: Now) {
        self.transferred.may(id, STAYS);
        self.transferred.begins(id, now.instant);
    }
}
