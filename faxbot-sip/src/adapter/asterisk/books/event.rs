//! What events of the manager do to the books. Sans-IO.

use std::time::Duration;

use faxbot_core::{
    fax::FaxPhase,
    id::CallId,
    sip::{CallState, SipEvent},
};

use super::super::{message, outcome::Leg, presence};
use super::{Books, RECHECK, Todo, line::hangup_causes};
use crate::{adapter::calls::Now, protocol::ami::Message};

/// How long the second of `Hangup` and `OriginateResponse` may take after the first. They come in
/// either order (`04_pjsip_rejected_404`, `04_pjsip_rejected_486`), milliseconds apart.
const SECOND_EVENT: Duration = Duration::from_secs(3);

impl Books {
    /// Takes an event of the server.
    pub(crate) fn event(&mut self, event: &Message, now: Now) -> Vec<SipEvent> {
        let name = event.event().map(<[u8]>::to_ascii_lowercase);
        let name = name.as_deref().unwrap_or_default();
        match name {
            b"reload" => {
                self.reloaded();
                return Vec::new();
            }
            b"devicestatechange" | b"extensionstatus" => return presence::changed(event),
            b"userevent" => return message::received(event),
            b"cdr" => return self.cdr(event),
            b"asyncagistart" => return self.agi_start(event, now),
            name if name.starts_with(b"confbridge") => {
                return self.conference_event(event);
            }
            _ => {}
        }
        let Some(uniqueid) = event.get_str("Uniqueid") else {
            return Vec::new();
        };
        if name == b"originateresponse" && self.senders.remove(uniqueid.as_ref()) {
            return Vec::new();
        }
        self.moved(name, &uniqueid, event, now);
        let Some(leg) = self.leg(&uniqueid) else {
            return if name == b"newchannel" {
                self.new_partner(&uniqueid, event, now)
            } else {
                Vec::new()
            };
        };
        match leg {
            Leg::Own(id) | Leg::Partner(id) if matches!(name, b"dtmfend" | b"hold" | b"unhold") => {
                self.media_event(id, &uniqueid, event)
            }
            Leg::Own(id) if self.lines.contains_key(&id) => self.own_event(id, event, now),
            Leg::Peer(id) => {
                if name == b"newchannel" {
                    let channel = event.get_str("Channel").unwrap_or_default();
                    self.calls.name(id, &channel);
                } else if name == b"hangup"
                    && let Some(line) = self.lines.get_mut(&id)
                {
                    line.peer = Some(hangup_causes(event));
                    self.settle_when_told(id, now);
                }
                Vec::new()
            }
            Leg::Partner(id) => {
                let mut out = self.media_event(id, &uniqueid, event);
                out.extend(self.partner_event(id, &uniqueid, event, now));
                out
            }
            Leg::Own(_) => Vec::new(),
        }
    }

    /// What the server can do may be another now.
    pub(crate) fn reloaded(&mut self) {
        if !self.todo.contains(&Todo::Reloaded) {
            self.todo.push(Todo::Reloaded);
        }
    }

    fn own_event(&mut self, id: CallId, event: &Message, now: Now) -> Vec<SipEvent> {
        let text = |header: &str| event.get_str(header).unwrap_or_default();
        match event.event().map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"newchannel") => {
                self.channel(id, &text("Channel"));
                Vec::new()
            }
            Some(b"newstate") => self.channel_state(id, &text("ChannelStateDesc"), false, now),
            Some(b"varset") if text("Variable") == "DIALSTATUS" => {
                self.dial_ended(id, &text("Value"), now)
            }
            Some(b"varset") => {
                if let Some(fax) = self.lines.get_mut(&id).and_then(|line| line.fax.as_mut()) {
                    fax.variable(&text("Variable"), &text("Value"));
                }
                Vec::new()
            }
            // `FAX Transmission In Progress` comes before the machines have agreed on anything.
            Some(b"faxstatus") => {
                self.fax_event(id, |fax| fax.run.reach(FaxPhase::Negotiating, now.instant))
            }
            Some(b"sendfax") => self.fax_event(id, |fax| {
                fax.ended_event(event);
                false
            }),
            Some(b"musiconholdstart" | b"musiconholdstop") => Vec::new(),
            Some(b"bridgeenter" | b"bridgeleave") => self.bridge_event(id, event, now),
            Some(b"dialbegin" | b"dialstate" | b"dialend") => self.dial_event(id, event, now),
            Some(b"mixmonitorstart" | b"mixmonitorstop") => self.recording_event(id, event),
            Some(b"asyncagiend") => {
                self.agi_end(id);
                Vec::new()
            }
            Some(b"receivefax") => self.fax_event(id, |fax| {
                fax.ended_event(event);
                false
            }),
            Some(b"originateresponse") => self.originate_response(id, event, now),
            // The first that comes of them: a channel that an application runs has no request.
            Some(b"hanguprequest" | b"softhanguprequest" | b"hanguphandlerrun") => {
                // `AST_SOFTHANGUP_SHUTDOWN`: the server goes down. The `Hangup` that follows has no
                // cause of its own (observed on Asterisk 16.28 and 22.10).
                let shut_down = event.is_event("SoftHangupRequest") && text("Cause") == "4";
                if let Some(line) = self.lines.get_mut(&id) {
                    line.shut_down |= shut_down;
                    line.ending.get_or_insert(now.instant);
                }
                Vec::new()
            }
            Some(b"hangup") => {
                if let Some(line) = self.lines.get_mut(&id) {
                    line.ending.get_or_insert(now.instant);
                    line.hangup = Some(hangup_causes(event));
                }
                self.settle_when_told(id, now);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn originate_response(&mut self, id: CallId, event: &Message, now: Now) -> Vec<SipEvent> {
        let response = event.get_all("Response").next().unwrap_or_default();
        if response.eq_ignore_ascii_case(b"Success") {
            return self.channel_state(id, "Up", false, now);
        }
        let answered = self.calls.is_answered(id);
        let Some(line) = self.lines.get_mut(&id).filter(|_| !answered) else {
            // An answered call cannot fail to be placed: another process asked for its id.
            return Vec::new();
        };
        if line.second.first_up {
            // Nor can one whose first party answered.
            return Vec::new();
        }
        line.reason = event
            .get_str("Reason")
            .and_then(|reason| reason.parse().ok());
        if line.hangup.is_some() {
            self.settle_when_told(id, now);
        } else if line.channel.is_some() {
            // The cause is in the Hangup, which is on its way.
            line.check_at = Some(now.instant + SECOND_EVENT);
        } else {
            // No channel was made. Or our id is that of a call of an earlier process that lives: the
            // refusal names the living call, and is not its end.
            self.todo.push(Todo::Check(id));
        }
        Vec::new()
    }

    /// Settles a call whose channel is gone, as soon as something says why it was not answered. Its
    /// own `Hangup` with cause 0 may come before the `OriginateResponse` and the `Hangup` of the other
    /// leg that say it (`Local/` to busy and congestion, observed on Asterisk 16.28 and 22.10).
    fn settle_when_told(&mut self, id: CallId, now: Now) {
        let unanswered = matches!(
            self.calls.state(id),
            Some(CallState::Created | CallState::Dialing | CallState::Ringing)
        );
        let Some(line) = self.lines.get_mut(&id).filter(|line| line.hangup.is_some()) else {
            return;
        };
        if unanswered && !line.hung_up_by_us && !line.tells_why() {
            line.check_at = Some(now.instant + SECOND_EVENT);
        } else {
            self.settle(id);
        }
    }

    pub(crate) fn channel(&mut self, id: CallId, name: &str) {
        let Some(line) = self.lines.get_mut(&id) else {
            return;
        };
        if line.channel.is_none() {
            line.channel = Some(name.to_owned());
            if line.cancel {
                self.todo.push(Todo::HangUp(id));
            }
        }
        self.calls.name(id, name);
    }

    /// The word of a channel's state as a state of its call; `seen` in a list, or in an event.
    pub(crate) fn channel_state(
        &mut self,
        id: CallId,
        word: &str,
        seen: bool,
        now: Now,
    ) -> Vec<SipEvent> {
        if word == "Up" && self.up_before(id) {
            return Vec::new();
        }
        let next = match word {
            "Ringing" | "Ring" => CallState::Ringing,
            "Up" => {
                if let Some(line) = self.lines.get_mut(&id) {
                    line.check_at = Some(now.instant + RECHECK);
                }
                // Only a list knows of a bridge without the events.
                let bridged = seen && self.lines.get(&id).is_some_and(|it| it.bridge.is_some());
                self.up_means(id, bridged)
            }
            "Down" | "Dialing" | "Rsrvd" => CallState::Dialing,
            _ => return Vec::new(),
        };
        // The channel of a call that is held or transferred is up all the time.
        if next == CallState::Connected
            && matches!(
                self.calls.state(id),
                Some(CallState::OnHold | CallState::Transferring)
            )
        {
            return Vec::new();
        }
        let phase = match next {
            CallState::Ringing => FaxPhase::Ringing,
            CallState::Connected => FaxPhase::Negotiating,
            _ => FaxPhase::Dialing,
        };
        let mut out = if seen {
            self.jump(id, next, now)
        } else {
            // The response to an Async Originate comes before the events of its call; a reply that
            // was lost is made up for here.
            let mut out = self.catch_up(id, now);
            let state = self.calls.state(id);
            let behind = state.is_some_and(|state| state == next || !state.can_become(next));
            // A repeated or late word of an earlier state says nothing new.
            if !behind {
                out.extend(self.advance(id, next, now));
            }
            out
        };
        out.extend(self.fax_event(id, |fax| fax.run.reach(phase, now.instant)));
        out
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
