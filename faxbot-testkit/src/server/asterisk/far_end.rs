//! What a test lets the far end of a call do.

use super::{MockAsterisk, channel::Signal};

impl MockAsterisk {
    /// The far end of a channel hangs up, with a Q.850 cause. Any leg of a call has one. False when
    /// there is no such channel.
    pub fn far_end_hangs_up(&self, id: &str, cause: u32) -> bool {
        let state = self.world.lock();
        let found = state.channel(id).is_some();
        state.signal(id, Signal::FarHangup { cause });
        found
    }

    /// The far end of a channel puts us on hold by a re-INVITE, or takes us back: `Hold` or
    /// `Unhold`, and music for whoever it is bridged with (recording `05_hold_unhold`). False when
    /// there is no such channel.
    pub fn far_end_holds(&self, id: &str, holds: bool) -> bool {
        self.world.change(|state| {
            let Some(channel) = state.channel(id) else {
                return false;
            };
            let bridge = channel.bridge.clone();
            let mut others = bridge.map_or_else(Vec::new, |bridge| state.members(&bridge));
            others.retain(|other| other != id);
            if holds {
                state.channel_event("Hold", "call", id, &[("MusicClass", "default")]);
            } else {
                state.channel_event("Unhold", "call", id, &[]);
            }
            for other in others {
                if !holds {
                    state.stop_music(&other);
                } else if self.world.config.music {
                    state.start_music(&other, "default");
                }
            }
            true
        })
    }

    /// The far end of a channel in a conference talks, or falls silent: `ConfbridgeTalking`. False
    /// when it is in none, or its dialplan did not `Set(CONFBRIDGE(user,talk_detection_events)=yes)`.
    pub fn far_end_talks(&self, id: &str, talks: bool) -> bool {
        self.world.change(|state| state.talks(id, talks))
    }

    /// The next `Bridge` is answered with success, and both channels stay where they are: a `Redirect`
    /// that came before it takes them out again (seen in one of forty on Asterisk 22.10).
    pub fn undo_next_bridge(&self) {
        self.world.lock().features.undone_bridges += 1;
    }

    /// `Uniqueid` of each channel that is in a bridge with this one.
    pub fn bridged_with(&self, id: &str) -> Vec<String> {
        let state = self.world.lock();
        let bridge = state.channel(id).and_then(|c| c.bridge.clone());
        let mut others = bridge.map_or_else(Vec::new, |bridge| state.members(&bridge));
        others.retain(|other| other != id);
        others
    }
}
