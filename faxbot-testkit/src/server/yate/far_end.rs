//! What a test lets the far end of a call do.

use std::sync::Arc;

use super::{MockYate, channel::Kind, dispatch::dispatch, msg::Msg, sip, world::SIP_ADDRESS};

impl MockYate {
    /// The far end of a channel hangs up, with a Q.850 cause: of a SIP leg itself, of another
    /// channel the SIP leg that it is connected to. Before the answer it refuses. False when there
    /// is none.
    pub fn far_end_hangs_up(&self, id: &str, cause: u32) -> bool {
        self.world().act(|state| {
            let Some(id) = state.sip_leg(id) else {
                return false;
            };
            let waits = state
                .channel(&id)
                .is_some_and(|it| !it.answered && !it.incoming);
            let status = if waits { sip::of_cause(cause) } else { 200 };
            state.far_end_ends(&id, (status, sip::phrase(status)));
            true
        })
    }

    /// The far end of a channel puts us on hold by a re-INVITE, or takes us back: a `call.update`
    /// that does not say which (recording `hold_by_phone_reinvite`). False when there is no such
    /// channel.
    pub fn far_end_holds(&self, id: &str, holds: bool) -> bool {
        self.world().act(|state| {
            let Some(id) = state.sip_leg(id) else {
                return false;
            };
            let sound = if holds {
                "sdp_sendonly"
            } else {
                "sdp_sendrecv"
            };
            let own = [
                ("mandatory", "false"),
                ("address_changed", "false"),
                ("contact_changed", "false"),
                ("audio_changed", "false"),
                ("mute", "false"),
                ("media", "yes"),
                ("formats", "mulaw"),
                ("transport", "RTP/AVP"),
                ("rtp_rfc2833", "false"),
                ("rtp_port", "40000"),
                (sound, ""),
            ];
            state.updated(&id, "notify", &own);
            true
        })
    }

    /// The far end of a channel presses these digits: one `chan.dtmf` each. False when there is no
    /// such channel.
    pub fn far_end_presses(&self, id: &str, digits: &str) -> bool {
        self.world().act(|state| {
            let Some(id) = state.sip_leg(id) else {
                return false;
            };
            for digit in digits.chars().filter(|c| is_digit(*c)) {
                let Some(channel) = state.channel_mut(&id) else {
                    return false;
                };
                channel.digits += 1;
                let msg = Msg::new("chan.dtmf")
                    .all(channel.complete())
                    .maybe("sip_contact", channel.contact.clone())
                    .with("sip_content-type", "application/dtmf-relay")
                    .with("text", digit.to_string())
                    .with("detected", "sip-info")
                    .with("sequence", channel.digits.to_string())
                    .with("duplicate", "false");
                state.later(msg);
            }
            true
        })
    }

    /// The far end of a channel transfers its partner to a number by REFER: a `call.route` with
    /// `reason=transfer`, then a new leg (recording `transfer_by_refer_from_phone`). False when
    /// there is no such channel, or nobody to transfer.
    pub fn far_end_transfers(&self, id: &str, number: &str) -> bool {
        let world = Arc::clone(self.world());
        let found = {
            let state = world.lock();
            state.sip_leg(id).and_then(|id| {
                let channel = state.channel(&id)?;
                let peer = state.channel(channel.peer.as_deref()?)?;
                let diverter = channel.dialled.clone();
                let contact = channel.contact.clone();
                let caller = state.callers.get(&id).map(|it| it.script.called.clone());
                let caller = caller.unwrap_or_default();
                let bill = peer.bill.clone().unwrap_or_default();
                Some((peer.id.clone(), bill, diverter, contact, caller))
            })
        };
        let Some((peer, bill, diverter, contact, caller)) = found else {
            return false;
        };
        let number = number.to_owned();
        let job = Arc::clone(&world);
        world.spawn(async move {
            let mut msg = Msg::new("call.route")
                .with("id", peer.clone())
                .with("billid", bill)
                .with("caller", caller)
                .with("callername", "")
                .with("called", number.clone())
                .with("calledname", "")
                .with("diverter", diverter.clone())
                .with("divertername", "")
                .with("reason", "transfer")
                .maybe("sip_contact", contact)
                .with("sip_refer-to", format!("<sip:{number}@{SIP_ADDRESS}>"))
                .with("sip_referred-by", format!("<sip:{diverter}@127.0.0.1>"));
            msg.channel = Some(peer);
            if dispatch(&job, &mut msg).await {
                "call.execute".clone_into(&mut msg.name);
                let target = std::mem::take(&mut msg.retval);
                msg.set("callto", target);
                dispatch(&job, &mut msg).await;
            }
            job.flush();
        });
        true
    }

    /// The id of the channel that this one is connected to; those of a conference are not shown.
    pub fn bridged_with(&self, id: &str) -> Vec<String> {
        let state = self.world.lock();
        let peer = state.channel(id).and_then(|channel| channel.peer.clone());
        peer.into_iter().collect()
    }
}

impl super::world::State {
    /// A SIP leg, or that of a channel that is connected to one.
    fn sip_leg(&self, id: &str) -> Option<String> {
        let channel = self.channel(id)?;
        if channel.kind == Kind::Sip {
            return Some(channel.id.clone());
        }
        let peer = self.channel(channel.peer.as_deref()?)?;
        (peer.kind == Kind::Sip).then(|| peer.id.clone())
    }
}

const fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d')
}
