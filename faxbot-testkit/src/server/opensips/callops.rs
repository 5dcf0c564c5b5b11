//! Hold and transfer: `callops` (recordings `06_call_*`).

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::{
    engine::{OpenSips, Step},
    events::Event,
    mi::{self, Outcome, Refusal, SeenMi, done},
    which::Release,
};
use crate::server::proxy::{By, Dialog, Happening, PassingCall, Stage, reason};

/// From the request to the answer of a party.
const ANSWER: Duration = Duration::from_millis(1);

/// From the end of the new call's setup to the NOTIFY of it (recorded: 50 ms).
const NOTIFY: Duration = Duration::from_millis(5);

/// One transfer.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    call_id: String,
    leg: String,
    destination: String,
    new_call_id: String,
    /// The other call of an attended one, and who of it is left.
    other: Option<(String, By)>,
}

#[derive(Debug, Default)]
pub(super) struct Callops {
    held: HashSet<String>,
    /// Calls of which a transfer is pending: until they end, whatever became of it.
    pending: HashSet<String>,
    transfers: Vec<Transfer>,
    pub refuse_hold: bool,
    pub ignore_hold: bool,
    pub refuse_transfer: bool,
    /// Phones that were sent on stay in their old call.
    pub stay: bool,
}

impl Callops {
    pub(super) fn forget(&mut self) {
        self.held.clear();
        self.pending.clear();
        self.transfers.clear();
    }
}

#[derive(Debug)]
pub(super) enum CallopsStep {
    /// A party answers the re-INVITE.
    Held {
        call_id: String,
        leg: &'static str,
        action: &'static str,
        ok: bool,
    },
    /// The party that was asked to calls.
    Calls(Transfer),
    /// It tells how that went.
    Notifies(Transfer, u16),
    /// It leaves the old call.
    Leaves(String, By),
}

fn hold_event(
    call_id: &str,
    leg: &'static str,
    action: &'static str,
    state: &'static str,
) -> Event {
    Event::new(
        "E_CALL_HOLD",
        [
            ("callid", call_id.into()),
            ("leg", leg.into()),
            ("action", action.into()),
            ("state", state.into()),
        ],
    )
}

impl Transfer {
    fn event(&self, leg: &str, destination: &str, state: &'static str, status: &str) -> Event {
        Event::new(
            "E_CALL_TRANSFER",
            [
                ("callid", self.call_id.as_str().into()),
                ("leg", leg.into()),
                ("transfer_callid", self.new_call_id.as_str().into()),
                ("destination", destination.into()),
                ("state", state.into()),
                ("status", status.into()),
            ],
        )
    }
}

impl OpenSips {
    /// A call that the server has, also one that does not talk yet.
    fn alive(&self, call_id: &str) -> Option<Dialog> {
        let all = self.state.world.listed().into_iter();
        let mut alive = all.filter(|dialog| dialog.stage != Stage::Over);
        alive.find(|dialog| dialog.call_id == call_id).cloned()
    }

    /// `call_hold` and `call_unhold`.
    pub(super) fn hold(&mut self, request: &SeenMi, hold: bool, now: Instant) -> Outcome {
        let call_id = mi::text(request, "callid")?;
        let Some(dialog) = self.alive(&call_id) else {
            return Err(Refusal::new(404, "Dialog not found"));
        };
        if dialog.stage < Stage::Answered {
            return Err(Refusal::new(410, "Dialog not ready"));
        }
        let held = &mut self.state.callops.held;
        let (action, legs) = if hold {
            if !held.insert(call_id.clone()) {
                return Err(Refusal::new(480, "Both dialog legs are on hold"));
            }
            ("hold", ["caller", "callee"])
        } else {
            if !held.remove(&call_id) {
                return Err(Refusal::new(480, "No dialog legs on hold"));
            }
            ("unhold", ["callee", "caller"])
        };
        // What the parties say changes nothing in what the server believes.
        let ok = !self.state.callops.refuse_hold;
        for leg in legs {
            hold_event(&call_id, leg, action, "start").tell(self, now);
            if self.state.callops.ignore_hold && leg == "callee" {
                // What the server makes of a time-out itself has no Call-ID, so that no event comes of it
                // (source: `mi_call_hold_reply` in `callops.c`).
                continue;
            }
            let answer = CallopsStep::Held {
                call_id: call_id.clone(),
                leg,
                action,
                ok,
            };
            self.plan(now + ANSWER, Step::Callops(answer));
        }
        done()
    }

    /// `call_transfer`.
    pub(super) fn transfer(&mut self, request: &SeenMi, now: Instant) -> Outcome {
        let call_id = mi::text(request, "callid")?;
        let leg = mi::text(request, "leg")?;
        if leg != "caller" && leg != "callee" {
            return Err(Refusal::bad_type("leg"));
        }
        let other_id = mi::maybe_text(request, "transfer_callid")?;
        let other_leg = mi::maybe_text(request, "transfer_leg")?;
        let destination = match mi::maybe_text(request, "destination")? {
            None => mi::maybe_text(request, "transfer_destination")?,
            given => given,
        };
        let Some(dialog) = self.alive(&call_id) else {
            return Err(Refusal::new(404, "Dialog not found"));
        };
        let other = match &other_id {
            None => None,
            Some(other_id) => match self.alive(other_id) {
                None => return Err(Refusal::new(404, "Transfer dialog not found")),
                found => found,
            },
        };
        if dialog.stage < Stage::Answered {
            return Err(Refusal::new(410, "Dialog not ready"));
        }
        if !self.state.callops.pending.insert(call_id.clone()) {
            return Err(Refusal::new(491, "Request Pending"));
        }
        let other = other.map(|other| {
            let tag = request.text("transfer_fromtag");
            let to_caller = match other_leg.as_deref() {
                Some(leg) => leg == "caller",
                None => tag.as_deref() == Some(other.to_tag.as_deref().unwrap_or_default()),
            };
            let (uri, left) = if to_caller {
                (other.from_uri, By::Caller)
            } else {
                (other.to_uri, By::Callee)
            };
            (uri, other.call_id, left)
        });
        let destination = destination.or_else(|| other.as_ref().map(|(uri, _, _)| uri.clone()));
        let destination = destination.unwrap_or_default();
        if !self.state.callops.refuse_transfer && !destination.is_empty() {
            let transfer = Transfer {
                call_id,
                leg,
                destination,
                new_call_id: String::new(),
                other: other.map(|(_, call_id, left)| (call_id, left)),
            };
            let calls = CallopsStep::Calls(transfer);
            self.plan(now + self.setup.timings.setup, Step::Callops(calls));
        }
        Ok("Accepted".into())
    }

    pub(super) fn callops_step(&mut self, step: &CallopsStep, at: Instant) {
        match step {
            CallopsStep::Held {
                call_id,
                leg,
                action,
                ok,
            } => {
                let state = if *ok { "ok" } else { "fail" };
                hold_event(call_id, leg, action, state).tell(self, at);
            }
            CallopsStep::Calls(transfer) => self.transferred(transfer.clone(), at),
            CallopsStep::Notifies(transfer, status) => {
                let words = format!("{status} {}", reason(*status));
                transfer.event("", "", "notify", &words).tell(self, at);
            }
            CallopsStep::Leaves(call_id, by) => {
                let _gone = self.state.world.hangs_up(call_id, *by, at);
                self.advance_world(at);
            }
        }
    }

    fn transferred(&mut self, mut transfer: Transfer, at: Instant) {
        let Some(dialog) = self.alive(&transfer.call_id) else {
            return;
        };
        let from = match transfer.leg.as_str() {
            "caller" => dialog.from_uri,
            _ => dialog.to_uri,
        };
        let call = PassingCall::new(&from, &transfer.destination);
        transfer.new_call_id = self.state.world.place(call, at);
        // From 3.4 on there is a Call-ID in the place of the leg.
        let leg = match self.setup.release {
            Release::V3_2 => transfer.leg.clone(),
            Release::V3_4 | Release::V3_6 => transfer.new_call_id.clone(),
        };
        let destination = transfer.destination.clone();
        transfer
            .event(&leg, &destination, "start", "")
            .tell(self, at);
        self.state.callops.transfers.push(transfer);
        self.advance_world(at);
    }

    /// Looks for the ends of transfers in what happened.
    pub(super) fn callops_saw(&mut self, happening: &Happening, at: Instant) {
        let (dialog, status) = match happening {
            Happening::Confirmed(dialog) => (dialog, 200),
            Happening::Refused { dialog, status, .. } => (dialog, *status),
            Happening::Ended { dialog, .. } => {
                self.state.callops.pending.remove(&dialog.call_id);
                self.state.callops.held.remove(&dialog.call_id);
                return;
            }
            _ => return,
        };
        let transfers = &mut self.state.callops.transfers;
        let is_meant = |transfer: &Transfer| transfer.new_call_id == dialog.call_id;
        let Some(place) = transfers.iter().position(is_meant) else {
            return;
        };
        let transfer = transfers.swap_remove(place);
        let state = if status == 200 { "ok" } else { "fail" };
        let words = format!("{status} {}", reason(status));
        let (leg, destination) = (transfer.leg.clone(), transfer.destination.clone());
        transfer
            .event(&leg, &destination, state, &words)
            .tell(self, at);
        if status == 200 {
            let by = if leg == "caller" {
                By::Caller
            } else {
                By::Callee
            };
            let stays = self.state.callops.stay;
            let own = (!stays).then(|| (transfer.call_id.clone(), by));
            // The other call is replaced by the new one.
            let calls = own.into_iter().chain(transfer.other.clone());
            for (call_id, by) in calls {
                let leaves = CallopsStep::Leaves(call_id, by);
                self.plan(at + NOTIFY * 2, Step::Callops(leaves));
            }
        }
        self.plan(
            at + NOTIFY,
            Step::Callops(CallopsStep::Notifies(transfer, status)),
        );
    }
}
