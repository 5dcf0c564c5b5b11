//! A SIP leg rings or is answered (recordings `sip_out_answered_local_drop`,
//! `sip_in_cancel_and_dtmf_info`).

use std::sync::Arc;

use super::{
    channel::Kind,
    fax,
    msg::Msg,
    sip,
    world::{State, World},
};

impl State {
    /// The far end rings.
    pub(super) fn ringing(&mut self, id: &str) {
        self.provisional(id, 180, "ringing", "call.ringing", "false");
    }

    /// Sound comes before the answer.
    pub(super) fn progress(&mut self, id: &str) {
        self.provisional(id, 183, "progressing", "call.progress", "true");
    }

    fn provisional(&mut self, id: &str, code: u16, status: &str, name: &str, early: &str) {
        let Some(channel) = self.channel_mut(id).filter(|channel| !channel.answered) else {
            return;
        };
        respond(channel, code);
        status.clone_into(&mut channel.status);
        let msg = Msg::new(name)
            .all(channel.complete())
            .maybe("sip_contact", channel.contact.clone())
            .with("earlymedia", early);
        let peer = channel.peer.clone();
        self.later(msg);
        self.cdr_progress(id, false);
        let Some(peer) = peer else { return };
        let Some(other) = self.channel_mut(&peer).filter(|other| !other.answered) else {
            return;
        };
        if other.kind == Kind::Fax {
            return;
        }
        status.clone_into(&mut other.status);
        if other.kind == Kind::Sip && other.incoming {
            other.response = Some((code, sip::phrase(code).to_owned()));
            self.updated(&peer, "cdrbuild", &[]);
        }
    }

    /// Nothing but the far end ends the ringing.
    pub(super) fn no_limit(&mut self, id: &str) {
        let peer = self.channel(id).and_then(|channel| channel.peer.clone());
        if let Some(channel) = peer.and_then(|peer| self.channel_mut(&peer)) {
            channel.answer_by = None;
        }
    }

    /// A leg is answered, and its partner with it. The partner is the answer, if it was not
    /// answered before.
    fn answered(&mut self, id: &str) -> Option<String> {
        let channel = self.channel_mut(id).filter(|channel| !channel.answered)?;
        respond(channel, 200);
        "answered".clone_into(&mut channel.status);
        channel.answered = true;
        let digital = channel.script.is_some() && channel.peer.is_some();
        let msg = Msg::new("call.answered")
            .all(channel.complete())
            .maybe("sip_contact", channel.contact.clone().filter(|_| digital))
            .with("sip_content-type", "application/sdp")
            .with("media", "yes")
            .with("formats", "mulaw,alaw")
            .with("transport", "RTP/AVP")
            .with("rtp_rfc2833", "false");
        let peer = channel.peer.clone();
        self.rtp(id, "updated");
        self.later(msg);
        let peer = peer.filter(|peer| self.partner_answered(peer));
        self.cdr_progress(id, true);
        peer
    }

    /// Whether it was not answered before.
    pub(super) fn partner_answered(&mut self, id: &str) -> bool {
        let Some(other) = self.channel_mut(id).filter(|other| !other.answered) else {
            return false;
        };
        other.answered = true;
        other.answer_by = None;
        "answered".clone_into(&mut other.status);
        if other.kind == Kind::Sip {
            other.response = None;
        }
        true
    }
}

fn respond(channel: &mut super::channel::Channel, code: u16) {
    channel.response = Some((code, sip::phrase(code).to_owned()));
    if channel.contact.is_none() {
        let address = channel.address.as_deref().unwrap_or_default();
        channel.contact = Some(format!("<sip:{}@{address}>", channel.dialled));
        // The tag of the far end is known now.
        if let Some(dialog) = channel.dialog.as_mut().filter(|it| it.ends_with('/')) {
            dialog.push_str(&format!("u{}", 16_389_027 + channel.serial * 31));
        }
    }
}

impl World {
    /// The far end of a leg answers. A fax that waits for that begins.
    pub(super) fn answered_call(self: &Arc<Self>, id: &str) {
        let fax = self.act(|state| {
            let peer = state.answered(id)?;
            let channel = state.channel(&peer)?;
            (channel.kind == Kind::Fax).then_some(peer)
        });
        if let Some(fax) = fax {
            fax::begin(self, &fax);
        }
    }
}

/// A client says that the channel it has taken rings or answers.
pub(super) fn by_client(world: &Arc<World>, module: &str, msg: &Msg) -> bool {
    let target = super::modules::destination(module, msg).to_owned();
    let own = msg.text("id");
    world.change(|state| {
        let known = state.channel(&target).filter(|c| c.incoming && !c.answered);
        if known.is_none() {
            return false;
        }
        if msg.name == "call.answered" {
            state.partner_answered(&target);
            if let Some(channel) = state.channel_mut(&own) {
                "answered".clone_into(&mut channel.status);
            }
            state.updated(&target, "cdrbuild", &[]);
            state.cdr_progress(&target, true);
        } else if let Some(channel) = state.channel_mut(&target) {
            "ringing".clone_into(&mut channel.status);
            state.updated(&target, "cdrbuild", &[]);
            state.cdr_progress(&target, false);
        }
        true
    })
}
