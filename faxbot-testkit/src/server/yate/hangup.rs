//! How calls end: by the far end, by `call.drop`, by a limit, or because the partner is gone. Each
//! way has its own order and parameters (recordings `sip_out_answered_*`, `sip_out_rejected_*`,
//! `sip_out_no_answer_*`, `sip_out_call_length_timeout`, `sip_in_cancel_and_dtmf_info`).

use std::sync::Arc;

use super::{
    channel::Kind,
    conference, media, modules,
    msg::Msg,
    sip,
    world::{NODE, State, World},
};

/// `call.drop` of a client. Without an id it drops all calls, and says `false`; with the name of a
/// module all of that (`Driver::received` in `engine/Channel.cpp`).
pub(super) fn drop_call(world: &Arc<World>, module: &str, msg: &Msg) -> bool {
    let id = msg.text("id");
    let reason = msg.some("reason").map(str::to_owned);
    world.change(|state| {
        let dropped: Vec<String> = if id.is_empty() || id == module {
            let all = state.ids().into_iter();
            all.filter(|found| modules::prefix(found) == module)
                .collect()
        } else {
            vec![id.clone()]
        };
        let mut found = id == module;
        for dropped in dropped {
            let known = state.channel(&dropped).map(|channel| channel.kind);
            if known.is_some_and(|kind| kind.is_call() && kind.module() == module) {
                state.drop_channel(&dropped, reason.as_deref());
                found |= !id.is_empty();
            }
        }
        found
    })
}

/// The far end refuses, or nothing comes from it (408).
pub(super) fn rejected(world: &Arc<World>, id: &str, status: u16) {
    // A timeout of the engine's own has no text of a response.
    let text = if status == 408 {
        ""
    } else {
        sip::phrase(status)
    };
    by_far_end(world, id, (status, text));
}

/// The far end of a SIP leg hangs up or refuses.
pub(super) fn by_far_end(world: &Arc<World>, id: &str, response: (u16, &str)) {
    world.act(|state| state.far_end_ends(id, response));
}

impl State {
    pub(super) fn drop_channel(&mut self, id: &str, reason: Option<&str>) {
        self.rtp(id, "terminated");
        let peer = self.unlink(id);
        if let Some(peer) = &peer {
            self.disconnected_by_drop(peer, reason);
        }
        let mut said = None;
        if let Some(channel) = self.channel_mut(id) {
            reason.unwrap_or("dropped").clone_into(&mut channel.status);
            if channel.kind == Kind::Sip {
                // A word that stands for a status is said; else a call that rings is cancelled.
                let status = reason.and_then(sip::status);
                channel.refusal = Some(status.unwrap_or(487));
                let cancelled = (!channel.answered).then_some(487);
                said = status.or(cancelled).map(sip::phrase);
            }
        }
        self.hangup_message(id, said, false);
        self.finalize(id, said);
        if let Some(peer) = peer {
            self.left_alone(&peer, reason, None);
        }
    }

    /// The far end of a SIP leg ends it by this response, or by BYE (200).
    pub(super) fn far_end_ends(&mut self, id: &str, (status, text): (u16, &str)) {
        let Some(channel) = self.channel_mut(id).filter(|c| c.kind == Kind::Sip) else {
            return;
        };
        if channel.incoming && !channel.answered {
            self.gives_up(id);
            return;
        }
        let own = if channel.incoming { "" } else { text };
        channel.response = Some((status, own.to_owned()));
        if channel.contact.is_none() {
            let (user, address) = (&channel.dialled, channel.address.as_deref());
            channel.contact = Some(format!("<sip:{user}@{}>", address.unwrap_or_default()));
        }
        if status == 408 {
            channel.contact = None;
        }
        let refused = status >= 300;
        let reason = refused.then(|| sip::phrase(status));
        let word = sip::word(status).filter(|_| refused);
        let facts = channel.sip_facts(true);
        self.rtp(id, "terminated");
        self.hangup_message(id, reason, true);
        let peer = self.unlink(id);
        if let Some(peer) = &peer {
            self.disconnected(peer, &facts, word.map(|word| ("reason", word)));
        }
        self.finalize(id, reason);
        if let Some(peer) = peer {
            self.left_alone(&peer, word, None);
        }
    }

    /// A caller cancels before the answer.
    fn gives_up(&mut self, id: &str) {
        let peer = self.unlink(id);
        if let Some(peer) = &peer {
            self.disconnected(peer, &[], Some(("reason", "Cancelled")));
        }
        if let Some(channel) = self.channel_mut(id) {
            channel.refusal = Some(487);
        }
        let said = Some(sip::phrase(487));
        self.hangup_message(id, said, false);
        self.finalize(id, said);
        if let Some(peer) = peer {
            self.left_alone(&peer, Some("Cancelled"), None);
        }
    }

    /// A limit of the call is reached: `noanswer` or `timeout`.
    pub(super) fn limit_reached(&mut self, id: &str, word: &str) {
        let now = self.now().as_second();
        let peer = self.unlink(id);
        if let Some(peer) = &peer {
            let first = [
                ("time".to_owned(), now.to_string()),
                ("nodename".to_owned(), NODE.to_owned()),
            ];
            self.disconnected(peer, &first, Some(("reason", word)));
            self.rtp(peer, "terminated");
            if let Some(channel) = self.channel_mut(peer) {
                channel.response = None;
            }
        }
        if let Some(channel) = self.channel_mut(id) {
            word.clone_into(&mut channel.status);
        }
        self.hangup_message(id, None, false);
        self.finalize(id, None);
        if let Some(peer) = peer {
            self.left_alone(&peer, Some(word), Some(word));
        }
    }

    /// The other channel of a call is gone.
    pub(super) fn left_alone(&mut self, id: &str, word: Option<&str>, status: Option<&str>) {
        let Some(channel) = self.channel_mut(id) else {
            return;
        };
        match channel.kind {
            Kind::Conf => return conference::leave(self, id),
            Kind::Tone | Kind::Wave | Kind::Moh => {
                self.take(id);
                return;
            }
            Kind::Dumb | Kind::Sip | Kind::Fax => {}
        }
        channel.target = None;
        if let Some(status) = status {
            status.clone_into(&mut channel.status);
        }
        if channel.kind == Kind::Sip {
            channel.response = None;
            if channel.incoming && !channel.answered {
                channel.refusal = Some(word.and_then(sip::status).unwrap_or(487));
            }
        }
        let reason = word.filter(|_| channel.kind == Kind::Sip).map(sip::reason);
        self.hangup_message(id, reason.as_deref(), false);
        self.finalize(id, reason.as_deref());
    }

    /// Ends a channel that has no partner.
    pub(super) fn gone(&mut self, id: &str, reason: Option<&str>) {
        self.hangup_message(id, reason, false);
        self.finalize(id, reason);
    }

    /// Parts a channel from its partner, which is the answer.
    pub(super) fn unlink(&mut self, id: &str) -> Option<String> {
        let peer = self.channel_mut(id)?.peer.take()?;
        if let Some(channel) = self.channel_mut(&peer) {
            channel.peer = None;
        }
        Some(peer)
    }

    /// `chan.disconnected`: what the other leg said comes first, why comes last.
    pub(super) fn disconnected(
        &mut self,
        id: &str,
        first: &[(String, String)],
        last: Option<(&str, &str)>,
    ) {
        let Some(channel) = self.channel(id).filter(|it| it.kind != Kind::Moh) else {
            return;
        };
        let own = channel.fax.as_ref().is_some_and(|fax| fax.reason.is_some());
        let msg = Msg::new("chan.disconnected")
            .all(first.to_vec())
            .all(channel.complete());
        self.later(match last.filter(|_| !own) {
            Some((name, value)) => msg.with(name, value),
            None => msg,
        });
    }

    /// The same for `call.drop`, whose reason stands behind the id.
    fn disconnected_by_drop(&mut self, id: &str, reason: Option<&str>) {
        let Some(channel) = self.channel(id) else {
            return;
        };
        let msg = Msg::new("chan.disconnected")
            .with("id", id)
            .maybe("reason", reason)
            .with("module", channel.kind.module())
            .all(channel.state());
        self.later(msg);
    }

    /// `chan.hangup`.
    fn hangup_message(&mut self, id: &str, reason: Option<&str>, by_far_end: bool) {
        let Some(channel) = self.channel(id).filter(|c| c.kind.is_call()) else {
            return;
        };
        let msg = Msg::new("chan.hangup")
            .all(channel.head().to_vec())
            .all(channel.sip_facts(by_far_end))
            .all(channel.state())
            .maybe("reason", reason);
        self.later(msg);
    }

    /// The channel is no more.
    fn finalize(&mut self, id: &str, reason: Option<&str>) {
        let fax = self.channel(id).and_then(|channel| channel.fax.as_ref());
        let own = fax.and_then(|fax| fax.reason.clone());
        self.cdr(id, "finalize", own.as_deref().or(reason));
        let Some(channel) = self.take(id) else { return };
        if let Some(caller) = self.callers.get_mut(id) {
            caller.ended = Some(if channel.answered {
                16
            } else {
                channel.refusal.map_or(0, sip::cause)
            });
        }
        self.finished
            .extend(media::left_behind(&channel, self.now()));
    }

    /// `call.update` about a SIP leg.
    pub(super) fn updated(&mut self, id: &str, operation: &str, own: &[(&str, &str)]) {
        let Some(channel) = self.channel(id) else {
            return;
        };
        let own = own
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let msg = Msg::new("call.update")
            .all(channel.complete())
            .with("operation", operation)
            .all(own.collect());
        self.later(msg);
    }
}
