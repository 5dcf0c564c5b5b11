//! What messages of the engine do to the books. Sans-IO.

use faxbot_core::{
    id::CallId,
    sip::{Causes, Disposition, RejectCause, SipEvent},
};

use super::{
    control::is_of_room, fax_end::FaxWords, fax_limits::Reached, incoming::decide::word,
    request::marked, state::Desk,
};
use crate::{
    adapter::{
        books::{Leg, Report, Sign},
        calls::Now,
    },
    protocol::yate::{Frame, Message},
};

/// The messages that the adapter watches; each has its arm in [`Desk::told`].
pub(super) const WATCHED: &[&str] = &[
    "chan.startup",
    "call.ringing",
    "call.progress",
    "call.answered",
    "chan.connected",
    "chan.disconnected",
    "chan.hangup",
    "chan.notify",
    "chan.dtmf",
];

/// Watched too, where records are wanted.
pub(super) const RECORDS: &str = "call.cdr";

/// Drivers whose channels end without a `chan.hangup`: a call to one is over with our end of it
/// (recording `originate_tone`).
const SILENT: &[&str] = &["tone/", "wave/", "moh/"];

/// Whether a message has a form of ours.
pub(super) fn is_understood(message: &Message<'_>) -> bool {
    WATCHED.iter().any(|name| message.is(name)) || message.is(RECORDS)
}

impl Desk {
    /// Takes a message of the engine that somebody else handled.
    pub(super) fn told(&mut self, frame: &Frame, now: Now) -> Vec<SipEvent> {
        let Some(message) = frame.message() else {
            return Vec::new();
        };
        if message.is(RECORDS) {
            self.cdr_told(&message);
            return Vec::new();
        }
        if message.is("chan.notify") {
            let text = |name: &str| message.text(name).unwrap_or_default();
            self.notices.told(&text("targetid"), &text("reason"));
        }
        let channel = message.text("id").unwrap_or_default();
        let mut out = self.room_told(&channel, &message);
        if !is_of_room(&channel) {
            out.extend(self.channel_told(&channel, &message, frame, now));
        }
        out
    }

    fn channel_told(
        &mut self,
        channel: &str,
        message: &Message<'_>,
        frame: &Frame,
        now: Now,
    ) -> Vec<SipEvent> {
        let text = |name: &str| message.text(name).unwrap_or_default();
        if message.is("chan.startup")
            && let Some(&id) = self.paths.get(&*text("address"))
            && channel.starts_with("fax/")
        {
            self.paths.remove(&*text("address"));
            return self.becomes(id, channel, now);
        }
        if message.is("chan.startup")
            && self.leg(channel).is_none()
            && let Some(out) = self.comes_in(channel, &text("address"), now)
        {
            return out;
        }
        if message.is("chan.startup")
            && self.leg(channel).is_none()
            && let Some(out) = self.starts(channel, &text("address"), &text("targetid"), now)
        {
            return out;
        }
        match self.leg(channel) {
            Some(Leg::Own(id)) => {
                let mut out = self.own_told(id, channel, message, now);
                out.extend(self.own_moved(id, message, now));
                out
            }
            Some(Leg::Other(id)) => self
                .other_moved(id, channel, message, now)
                .unwrap_or_else(|| self.other_told(id, channel, message, now)),
            None => {
                // The far end of a fax is told by who it is for.
                if let Some(Leg::Own(id)) = self.leg(&text("targetid"))
                    && self.is_fax(id)
                {
                    let mut out = self.is_other(id, channel, now);
                    out.extend(self.other_told(id, channel, message, now));
                    return out;
                }
                self.stray(channel, frame);
                Vec::new()
            }
        }
    }

    /// A channel begins: our end of a call is named by its address, the far end by ours. The answer to
    /// the request says the same; whichever comes first.
    pub(super) fn starts(
        &mut self,
        channel: &str,
        address: &str,
        target: &str,
        now: Now,
    ) -> Option<Vec<SipEvent>> {
        if let Some(id) = marked(address).filter(|id| self.lines.contains_key(id)) {
            return Some(self.is_other(id, channel, now));
        }
        match self.leg(target) {
            Some(Leg::Other(id)) if self.own_channel(id).is_none() => {
                Some(self.is_ours(id, channel, now))
            }
            _ => None,
        }
    }

    fn own_told(
        &mut self,
        id: CallId,
        channel: &str,
        message: &Message<'_>,
        now: Now,
    ) -> Vec<SipEvent> {
        if message.is("call.ringing") || message.is("call.progress") {
            return self.own_is(id, Sign::Ringing, now);
        }
        if message.is("call.answered") {
            return self.own_is(id, Sign::Up, now);
        }
        if message.is("chan.connected") && self.came_in(id) {
            // Anybody may give it to somebody else.
            let seat = self.seat(id);
            if message
                .text("peerid")
                .is_some_and(|peer| Some(&*peer) != seat.as_deref())
            {
                self.waits_no_longer(id);
            }
            return Vec::new();
        }
        if message.is("chan.disconnected") && self.is_fax(id) {
            // It says why the far end was not reached; the fax channel's own hang-up does not.
            let why = causes(message);
            self.limits.refused(id, why.sip_status);
            self.second_says(id, why);
            return Vec::new();
        }
        if message.is("chan.hangup") {
            let mut report = if self.is_fax(id) && message.text("module").as_deref() == Some("fax")
            {
                let no_t38 = self.limits.no_t38(id);
                fax_report(message, self.limits.reached(id), no_t38)
            } else {
                report(message)
            };
            if self.came_in(id)
                && !report.answered
                && message.text("status").as_deref() == Some(word(RejectCause::Declined))
            {
                // There is no word for 603.
                report.causes = Causes::new().with_sip_status(403).with_q850(21);
            }
            self.ended_channels.push(channel, id);
            // Of a fax that was accepted and is none any more.
            self.paths.retain(|_, call| *call != id);
            self.notices.over(id);
            // Of a call with two parties it is the first one that has answered.
            report.answered &= self.is_reached(id);
            self.over(id, now);
            return self.ended(id, report, now);
        }
        Vec::new()
    }

    fn other_told(
        &mut self,
        id: CallId,
        channel: &str,
        message: &Message<'_>,
        now: Now,
    ) -> Vec<SipEvent> {
        if message.is("chan.hangup") {
            let own = self.own_channel(id).unwrap_or_default();
            let silent = SILENT.iter().any(|driver| own.starts_with(driver));
            if silent && channel.starts_with("dumb/") {
                return self.ended(id, report(message), now);
            }
            self.parts(id, channel, Some(causes(message)));
            return Vec::new();
        }
        if self.came_in(id) {
            // The other party of a bridge, or the end that the caller waits at: another process may
            // answer by it.
            if message.is("call.answered") {
                if channel.starts_with("dumb/") || channel.starts_with("fax/") {
                    return self.own_is(id, Sign::Up, now);
                }
                return self.other_is(id, Sign::Up, now);
            }
            return Vec::new();
        }
        // A fax channel has no sign of its own before its end: it is as far as its far end.
        if self.is_fax(id) {
            if message.is("call.ringing") || message.is("call.progress") {
                return self.own_is(id, Sign::Ringing, now);
            }
            if message.is("call.answered") {
                return self.own_is(id, Sign::Up, now);
            }
        }
        Vec::new()
    }
}

/// What the hang-up of a channel tells: `answered` first, then `status`, then a final SIP status.
/// `cause_sip` is the last response seen, so below 300 it says nothing of the end
/// (recording `sip_out_no_answer_drop`).
fn report(message: &Message<'_>) -> Report {
    let answered = message.flag("answered");
    let disposition = match message.text("status").as_deref() {
        Some("noanswer") if !answered => Some(Disposition::NoAnswer),
        _ => None,
    };
    Report {
        answered,
        causes: causes(message),
        disposition,
        ..Report::default()
    }
}

/// A fax channel is answered with its far end, or over a tone of this server; its result says more.
fn fax_report(message: &Message<'_>, reached: Option<Reached>, no_t38: Option<u16>) -> Report {
    let rang = reached == Some(Reached::Ring);
    Report {
        answered: message.flag("answered"),
        causes: match no_t38 {
            // We ended it: nothing that the server says of that tells why.
            _ if rang => Causes::new().with_q850(19),
            Some(status) => Causes::new().with_sip_status(status),
            None => Causes::new(),
        },
        disposition: rang.then_some(Disposition::NoAnswer),
        fax: Some(Box::new(FaxWords::of(message, reached, no_t38.is_some()))),
        ..Report::default()
    }
}

/// The causes in a hang-up: the final SIP status, else the cause of Q.850 that the words stand for.
pub(super) fn causes(message: &Message<'_>) -> Causes {
    let text = |name: &str| message.text(name).unwrap_or_default();
    let answered = message.flag("answered");
    let status = text("cause_sip")
        .parse::<u16>()
        .ok()
        .filter(|status| !answered && (300..700).contains(status));
    let (status_word, reason) = (text("status"), text("reason"));
    let q850 = match (&*status_word, &*reason) {
        _ if answered => Some(16),
        ("noanswer", _) | (_, "noanswer") => Some(19),
        (_, "busy") => Some(17),
        (_, "noroute" | "nocall") => Some(1),
        (_, "forbidden" | "rejected") | ("rejected", _) => Some(21),
        (_, "congestion") => Some(42),
        (_, "offline") => Some(20),
        _ => None,
    };
    let mut causes = Causes::new();
    if let Some(status) = status {
        causes = causes.with_sip_status(status);
    }
    if let Some(q850) = q850.filter(|_| status.is_none()) {
        causes = causes.with_q850(q850);
    }
    let words = text("reason_sip");
    let words = if words.is_empty() { reason } else { words };
    if words.is_empty() {
        causes
    } else {
        causes.with_native(words.into_owned())
    }
}
