//! Takes the server's events to the books, and passes on what has no form of ours.

use std::time::Duration;

use faxbot_core::{
    Private,
    sip::{ConnectionState, RawEvent, SipEvent},
};

use super::{core::Core, diet};
use crate::{adapter::settings::RawEvents, protocol::ami::Message};

pub(super) fn take(core: &Core, event: &Message) {
    if event.is_event("FullyBooted")
        && let Some(uptime) = event
            .get_str("Uptime")
            .and_then(|uptime| uptime.parse().ok())
    {
        core.events(|state, now| {
            state.books.up_for(Duration::from_secs(uptime), now.wall);
            if state.connection == ConnectionState::Connected {
                // It was still booting when we connected: modules may be there by now.
                state.books.reloaded();
            }
            Vec::new()
        });
    }
    let raw = match core.config.raw_events {
        RawEvents::Off => false,
        RawEvents::All => true,
        RawEvents::Unknown => !diet::is_understood(event),
    };
    // An account that may set no filter gets them all the same.
    let wanted = core.config.presence || !diet::is_presence(event);
    core.events(|state, now| {
        let mut out = if wanted {
            state.books.event(event, now)
        } else {
            Vec::new()
        };
        // Nobody listens: a busy server's events are not copied for nothing.
        if raw && core.bus.streams() > 0 {
            out.push(SipEvent::Raw(raw_event(event)));
        }
        out
    });
}

fn raw_event(event: &Message) -> RawEvent {
    let name = String::from_utf8_lossy(event.event().unwrap_or_default()).into_owned();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = event
        .headers()
        .map(|(key, value)| (text(key), Private::new(text(value))))
        .collect();
    RawEvent::new(name, fields)
}
