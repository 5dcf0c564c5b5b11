//! What the parties of a call do with its sound: digits, and holding it. Sans-IO.

use faxbot_core::{id::CallId, sip::SipEvent};

use super::super::control::dtmf;
use super::Books;
use crate::protocol::ami::Message;

/// The channels of a call whose party holds it, by `Uniqueid`.
#[derive(Debug, Default)]
pub(crate) struct Holders(Vec<String>);

impl Books {
    /// An event of our channel or of a party's, in as far as it is of the sound.
    pub(crate) fn media_event(
        &mut self,
        id: CallId,
        uniqueid: &str,
        event: &Message,
    ) -> Vec<SipEvent> {
        match event.event().map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"dtmfend") => dtmf::received(id, event),
            Some(b"hold") => self.remote_hold(id, uniqueid, true),
            // Whoever is gone holds nothing.
            Some(b"unhold" | b"hangup") => self.remote_hold(id, uniqueid, false),
            _ => Vec::new(),
        }
    }

    /// A party holds or resumes the call by its telephone (`05_hold_unhold`). The call is held as long
    /// as one of them does that; told is only what changes.
    fn remote_hold(&mut self, id: CallId, uniqueid: &str, holds: bool) -> Vec<SipEvent> {
        let Some(line) = self.lines.get_mut(&id) else {
            return Vec::new();
        };
        let Holders(holders) = &mut line.holders;
        let before = !holders.is_empty();
        // A party may have left while the connection was down.
        holders.retain(|holder| {
            let there =
                *holder == line.uniqueid || line.partners.iter().any(|it| it.uniqueid == *holder);
            there && holder != uniqueid
        });
        if holds {
            holders.push(uniqueid.to_owned());
        }
        let remote_hold = !holders.is_empty();
        if remote_hold == before {
            return Vec::new();
        }
        vec![SipEvent::MediaStateChanged {
            id: Some(id),
            remote_hold,
        }]
    }
}
