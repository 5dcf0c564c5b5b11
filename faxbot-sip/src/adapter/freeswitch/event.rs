//! What events of the server do to the books. Sans-IO.

use std::time::Duration;

use faxbot_core::{id::CallId, sip::SipEvent};

use super::{
    causes,
    control::record::is_recording_of,
    outcome::{Ended, Kind},
    presence, rooms,
    state::Desk,
};
use crate::{
    adapter::{
        books::{Leg, Report, Sign},
        calls::Now,
        digits,
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
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "CHANNEL_PARK",
    "CHANNEL_UNPARK",
    "CHANNEL_HANGUP_COMPLETE",
    "DTMF",
    "RECORD_START",
    "RECORD_STOP",
    "BACKGROUND_JOB",
    "HEARTBEAT",
    "SHUTDOWN",
    "MESSAGE",
    "PRESENCE_IN",
    "MODULE_LOAD",
    "MODULE_UNLOAD",
];

/// The subclasses of `CUSTOM` that it subscribes to.
pub(super) const CUSTOM: &[&str] = &[
    "spandsp::txfaxnegociateresult",
    "spandsp::txfaxpageresult",
    "spandsp::rxfaxnegociateresult",
    "spandsp::rxfaxpageresult",
    rooms::MAINTENANCE,
];

/// The clock of telephone events (RFC 4733): `DTMF-Duration` counts samples.
const SAMPLES_PER_MS: u64 = 8;

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
            "CHANNEL_UNBRIDGE" => return self.unbridged(event, now),
            "MESSAGE" => return self.messages.told(event),
            "PRESENCE_IN" => return presence::changed(event).into_iter().collect(),
            "CUSTOM" if event.subclass().as_deref() == Some(rooms::MAINTENANCE) => {
                return self.conference_told(event, now);
            }
            "SHUTDOWN" => {
                tracing::warn!("freeswitch: the server is being shut down");
                return Vec::new();
            }
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
                "CHANNEL_HOLD" => self.hold_changed(id, &uuid, true, now),
                "CHANNEL_UNHOLD" => self.hold_changed(id, &uuid, false, now),
                "CHANNEL_PARK" => {
                    self.is_back(id, event);
                    self.parked_behind(event);
                    self.goes_on(id)
                }
                "CHANNEL_UNPARK" => {
                    self.waits_no_longer(id);
                    Vec::new()
                }
                "DTMF" => pressed(id, event),
                "RECORD_START" => self.record_told(id, event, true),
                "RECORD_STOP" => self.record_told(id, event, false),
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
                "CHANNEL_HOLD" => self.hold_changed(id, &uuid, true, now),
                "CHANNEL_UNHOLD" => self.hold_changed(id, &uuid, false, now),
                "DTMF" => pressed(id, event),
                "CHANNEL_HANGUP_COMPLETE" => {
                    let out = self.hold_changed(id, &uuid, false, now);
                    self.parts(id, &uuid, Some(told(Kind::Single, event).causes));
                    out
                }
                _ => Vec::new(),
            },
            None if &*name == "CHANNEL_PARK" => self.came_to_park(event, now),
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

    /// Two channels are joined no longer; each may be joined with another one already.
    fn unbridged(&mut self, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let (Some(a), Some(b)) = (
            event.text("Bridge-A-Unique-ID"),
            event.text("Bridge-B-Unique-ID"),
        ) else {
            return Vec::new();
        };
        let mut out = Vec::new();
        for (one, other) in [(&a, &b), (&b, &a)] {
            if let Some(id) = self.own_call(one)
                && self.lines.get(&id).and_then(|line| line.joined.as_deref()) == Some(other)
            {
                out.extend(self.joined(id, None, now));
            }
        }
        out
    }

    /// Our channel is parked: behind whatever it did before.
    fn goes_on(&mut self, id: CallId) -> Vec<SipEvent> {
        if let Some(line) = self.lines.get_mut(&id) {
            line.moves.went_on();
        }
        Vec::new()
    }

    /// A recording of ours began or stopped; those of others are left alone.
    fn record_told(&mut self, id: CallId, event: &Event<'_>, runs: bool) -> Vec<SipEvent> {
        match event.text("Record-File-Path") {
            Some(file) if is_recording_of(id, &file) => self.recorded(id, &file, runs),
            _ => Vec::new(),
        }
    }

    /// The result of an `originate` of ours. A success says no more than the channel's own events,
    /// which may come later (`burst_200_calls`).
    fn job_ended(&mut self, event: &Event<'_>, now: Now) -> Vec<SipEvent> {
        let job = event.text("Job-UUID").unwrap_or_default();
        let body = String::from_utf8_lossy(event.body().unwrap_or_default());
        let body = body.trim();
        let Some(Leg::Own(id)) = self.leg(&job) else {
            return self.messages.job_ended(&job, body);
        };
        if let Some(why) = body.strip_prefix("-ERR") {
            let report = Report {
                causes: causes::causes(why.trim(), None),
                ..Report::default()
            };
            if self.is_being_placed(id) && causes::is_of_the_server(&report.causes) {
                // Whoever places it waits for this.
                self.refused_at_once(id, report);
                return Vec::new();
            }
            self.refused(id, report, now);
            return Vec::new();
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
        let confirmed = page
            .then(|| number("fax-document-transferred-pages"))
            .flatten();
        let bad_rows = page.then(|| number("fax-bad-rows")).flatten();
        let station = event.text("fax-local-station-id");
        let mut signs = FaxSigns {
            agreed: true,
            confirmed,
            bit_rate: number("fax-transfer-rate"),
            ecm: event.text("fax-ecm-used").map(|word| word == "on"),
            bad_lines: None,
        };
        self.fax_event(id, |fax| {
            if fax.receives() {
                fax.local_station(station.as_deref().unwrap_or_default());
                signs.bad_lines = fax.bad_lines_with(confirmed, bad_rows);
            }
            fax.signs(signs, now.instant)
        })
    }
}

/// A digit came from the far end of a channel. Digits that we send have no event; one that goes on to
/// the other party has none there (observed on FreeSWITCH 1.10.12).
fn pressed(id: CallId, event: &Event<'_>) -> Vec<SipEvent> {
    let samples = event.text("DTMF-Duration");
    let samples = samples.and_then(|samples| samples.trim().parse::<u64>().ok());
    let duration = samples.map(|samples| Duration::from_millis(samples / SAMPLES_PER_MS));
    digits::received(id, event.text("DTMF-Digit").as_deref(), duration)
}

/// What the event of a channel's end tells. Its times are those of the server's clock, which are left
/// alone: the event came now.
fn told(kind: Kind, event: &Event<'_>) -> Report {
    let variable = |name: &str| event.text(&format!("variable_{name}"));
    let mut report = Ended::read(kind, variable).report();
    (report.answered_at, report.ended) = (None, None);
    report
}
