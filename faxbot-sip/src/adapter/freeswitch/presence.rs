//! The state of extensions, conferences and registrations.

use faxbot_core::{Private, sip::SipEvent};

use crate::protocol::esl::Event;

/// `PRESENCE_IN`, in the server's words. Observed on FreeSWITCH 1.10.12: a channel with a
/// `presence_id` says `ringing`, `answered` or `hangup`; a conference `Active (1 caller)` or
/// `Inactive`; a registration that ends `Unregistered`. There is none without somebody whose it is.
pub(super) fn changed(event: &Event<'_>) -> Option<SipEvent> {
    let first = |names: &[&str]| {
        let told = names.iter().find_map(|name| event.text(name))?;
        (!told.is_empty()).then(|| told.into_owned())
    };
    let watched = first(&["Channel-Presence-ID", "from"])?;
    let state = first(&["Answer-State", "force-status", "status", "answer-state"]);
    Some(SipEvent::PresenceChanged {
        watched: Private::new(watched),
        state: state?,
    })
}
