//! What events of the server do to the books. Sans-IO.

use faxbot_core::{id::CallId, sip::SipEvent};

use super::{
    causes,
    outcome::{Ended, Kind},
    state::Desk,
};
use crate::{
    adapter::{
        books::{Leg, Report, Sign},
        calls::Now,
        fax_run::FaxSigns,
    },
    protocol::esl::Event,
};

/// The events that the adapter subscribes to; each has its arm in [`Desk::event`].
pub(super) const EVENTS: &[&str] = &[
    "CHANNEL_CREATE",
    "CHANNEL_UUID",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_ANSWER",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_HANGUP_COMPLETE",
    "BACKGROUND_JOB",
    "HEARTBEAT",
    "MODULE_LOAD",
    "MODULE_UNLOAD",
];

/// The subclasses of `CUSTOM` that it subscribes to.
pub(super) const CUSTOM: &[&str] = &[
    "spandsp::txfaxnegociateresult",
    "spandsp::txfaxpageresult",
    "spandsp::rxfaxnegociateresult",
    "spandsp::rxfaxpageresult",
];

/// Whether an event has a form of ours.
pub(super) fn is_understood(event: &Event<'_>) -> bool {
    let name = event.name().unwrap_or_default();
    let subclass = event.subclass().unwrap_or_default();
    EVENTS.contains(&&*name) || (name == "CUSTOM" && CUSTOM.contains(&&*subclass))
}

impl Desk {
    /// Takes an event of the server.
    pub(super) fn event(&mut self, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let name = event.name().unwrap_or_default();
        match &*name {
            "BACKGROUND_JOB" => return self.job_ended(event, now),
            "CHANNEL_BRIDGE" => return self.bridged(event, now),
            "MODULE_LOAD" | "MODULE_UNLOAD" => {
                self.reloaded();
                return Vec::new();
            }
            _ => {}
        }
        let Some(uuid) = event.text("Unique-ID") else {
            return Vec::new();
        };
        if &*name == "CHANNEL_UUID"
            && let Some(Leg::Own(id)) = event.text("Old-Unique-ID").and_then(|old| self.leg(&old))
        {
            self.is_own(id, &uuid);
        }
        match self.leg(&uuid) {
            Some(Leg::Own(id)) => match &*name {
                "CHANNEL_CREATE" => self.own_is(id, Sign::Dialing, now),
                "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA" => {
                    self.own_is(id, Sign::Ringing, now)
                }
                "CHANNEL_ANSWER" => self.own_is(id, Sign::Up, now),
                "CHANNEL_UNBRIDGE" => self.joined(id, None, now),
                "CHANNEL_HANGUP_COMPLETE" => {
                    self.measured(id, event);
                    let kind = self.kind_of(id);
                    self.ended(id, told(kind, event), now)
                }
                "CUSTOM" => self.fax_told(id, event, now),
                _ => Vec::new(),
            },
            Some(Leg::Other(id)) => match &*name {
                "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA" => {
                    self.other_is(id, Sign::Ringing, now)
                }
                "CHANNEL_ANSWER" => self.other_is(id, Sign::Up, now),
                "CHANNEL_HANGUP_COMPLETE" => {
                    self.parts(id, &uuid, Some(told(Kind::Single, event).causes));
                    Vec::new()
                }
                _ => Vec::new(),
            },
            None => Vec::new(),
        }
    }

    /// Two channels are joined: each of ours with the other.
    fn bridged(&mut self, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let (Some(a), Some(b)) = (
            event.text("Bridge-A-Unique-ID"),
            event.text("Bridge-B-Unique-ID"),
        ) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (one, other) in [(&a, &b), (&b, &a)] {
            if let Some(Leg::Own(id)) = self.leg(one) {
                self.joins(id, other);
                out.extend(self.joined(id, Some(other), now));
            }
        }
        out
    }

    /// The result of an `originate` of ours. A success says no more than the channel's own events,
    /// which may come later (`burst_200_calls`).
    fn job_ended(&mut self, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let job = event.text("Job-UUID").unwrap_or_default();
        let Some(Leg::Own(id)) = self.leg(&job) else {
            return Vec::new();
        };
        let body = String::from_utf8_lossy(event.body().unwrap_or_default());
        let body = body.trim();
        if let Some(why) = body.strip_prefix("-ERR") {
            let report = Report {
                causes: causes::causes(why.trim(), None),
                ..Report::default()
            };
            return self.refused(id, report, now);
        }
        // Whatever it was: the name of the channel that was made is the last word.
        if let Some(uuid) = body.strip_prefix("+OK ").map(str::trim)
            && uuid != job
        {
            self.is_own(id, uuid);
        }
        Vec::new()
    }

    fn fax_told(&mut self, id: CallId, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let number = |name: &str| event.text(name)?.trim().parse().ok();
        let subclass = event.subclass().unwrap_or_default();
        let page = subclass.ends_with("faxpageresult");
        if !page && !subclass.ends_with("faxnegociateresult") {
            return Vec::new();
        }
        let signs = FaxSigns {
            agreed: true,
            confirmed: page
                .then(|| number("fax-document-transferred-pages"))
                .flatten(),
            bit_rate: number("fax-transfer-rate"),
            ecm: event.text("fax-ecm-used").map(|word| word == "on"),
            bad_lines: page.then(|| number("fax-bad-rows")).flatten(),
        };
        self.fax_event(id, |fax| fax.signs(signs, now.instant))
    }
}

/// What the event of a channel's end tells. Its times are those of the server's clock, which are left
/// alone: the event came now.
fn told(kind: Kind, event: &Event<'_>) -> Report {
    let variable = |name: &str| event.text(&format!("variable_{name}"));
    let mut report = Ended::read(kind, variable).report();
    (report.answered_at, report.ended) = (None, None);
    report
}
