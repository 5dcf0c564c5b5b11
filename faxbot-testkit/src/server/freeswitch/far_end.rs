//! What a test lets the far end of a call do, and what reaches it.

use super::{
    MockFreeSwitch, api,
    cause::{self},
    channel::{By, Private},
    world::State,
};

/// Longest text of digits that is kept for a channel.
const MAX_KEPT: usize = 4096;

/// Most applications that wait for one channel.
const MAX_QUEUE: usize = 1000;

const fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D' | 'a'..='d')
}

impl MockFreeSwitch {
    /// The far end of a channel hangs up, with a Q.850 cause; 0 is a BYE without a reason. False
    /// when there is no such channel.
    pub fn far_end_hangs_up(&self, id: &str, cause: u32) -> bool {
        self.world().with(|state| {
            let answered = state.channels.get(id).is_some_and(|c| c.is_answered());
            let inbound = state.channels.get(id).is_some_and(|c| c.inbound);
            let cause = match cause {
                0 | 16 if inbound && !answered => "ORIGINATOR_CANCEL",
                cause => cause::of_number(cause),
            };
            state.hang_up(id, cause, By::Far)
        })
    }

    /// The far end of a channel puts us on hold by a re-INVITE, or takes us back: `CHANNEL_HOLD`
    /// or `CHANNEL_UNHOLD` (recording `04_call_control`). False when there is no such channel.
    pub fn far_end_holds(&self, id: &str, holds: bool) -> bool {
        self.world().with(|state| {
            let found = state.live(id).is_some();
            if found {
                api::hold(state, id, holds);
            }
            found
        })
    }

    /// The far end of a channel presses these digits, one after the other: a `DTMF` event each.
    /// False when there is no such channel.
    pub fn far_end_presses(&self, id: &str, digits: &str) -> bool {
        self.world().with(|state| state.press(id, digits))
    }

    /// The far end of a channel in a conference talks, or falls silent. False when it is in none.
    pub fn far_end_talks(&self, id: &str, talks: bool) -> bool {
        self.world().with(|state| state.talks(id, talks))
    }

    /// The uuid of each channel that talks with this one, in a bridge or a conference.
    pub fn bridged_with(&self, id: &str) -> Vec<String> {
        let state = self.world().lock();
        let peer = state.channels.get(id).and_then(|c| c.peer.clone());
        peer.map_or_else(|| state.others_in_room(id), |peer| vec![peer])
    }

    /// The presence of an address changes: `PRESENCE_IN`, as `sofia` sends it for a call.
    pub fn presence(&self, user: &str, status: &str, answer_state: &str) {
        self.world().with(|state| {
            let headers = [
                ("proto", "sip"),
                ("login", "sip:mod_sofia@127.0.0.1:5060"),
                ("from", user),
                ("rpid", "unknown"),
                ("event_type", "presence"),
                ("alt_event_type", "dialog"),
                ("event_count", "1"),
                ("status", status),
                ("channel-state", "CS_ROUTING"),
                ("answer-state", answer_state),
                ("presence-call-direction", "outbound"),
            ];
            state.plain_event("PRESENCE_IN", &headers, None);
        });
    }
}

impl State {
    pub(super) fn press(&mut self, id: &str, digits: &str) -> bool {
        if self.live(id).is_none() {
            return false;
        }
        for digit in digits.chars().filter(|c| is_digit(*c)) {
            let digit = digit.to_string();
            let more = [
                ("DTMF-Digit", digit.as_str()),
                ("DTMF-Duration", "1600"),
                ("DTMF-Source", "RTP"),
            ];
            self.tell_with("DTMF", "", id, &more);
        }
        true
    }

    /// Digits reach the far end; no event tells of them. `@` and what follows is their length.
    pub(super) fn send_digits(&mut self, id: &str, text: &str) {
        let digits = text.split('@').next().unwrap_or_default();
        if self.live(id).is_none() {
            return;
        }
        let half = self.channels.get(id).and_then(|c| c.half.clone());
        if let Some(kept) = self.digits.entry(id) {
            for digit in digits.chars().filter(|c| is_digit(*c)) {
                if kept.len() < MAX_KEPT {
                    kept.push(digit.to_ascii_uppercase());
                }
            }
        }
        // The other half of a loopback channel hears them.
        if let Some(half) = half {
            self.press(&half, digits);
        }
    }

    /// Puts an application into the queue of a channel.
    pub(super) fn queue(&mut self, id: &str, private: Private) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        if channel.private.len() < MAX_QUEUE {
            channel.private.push_back(private);
            channel.wake.notify_one();
        }
    }

    /// A 302 to a caller that is not answered, a REFER to anybody else.
    pub(super) fn redirect(&mut self, id: &str, to: &str) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let cause = if channel.is_answered() {
            "BLIND_TRANSFER"
        } else {
            "NORMAL_UNSPECIFIED"
        };
        self.redirected.insert(id, to.to_owned());
        self.set_var(id, "sip_redirected_to", to);
        self.hang_up(id, cause, By::Here);
    }
}
