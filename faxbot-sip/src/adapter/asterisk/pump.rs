//! Takes the link's events to the books and the event bus.

use std::{sync::Arc, time::Duration};

use faxbot_core::{
    Private,
    sip::{ConnectionState, RawEvent, Severity, SipEvent},
};

use super::{config::RawEvents, core::Core, diet};
use crate::{
    driver::{LinkError, LinkEvent, LinkEvents},
    protocol::ami::{AmiSession, Message},
};

/// Takes the link's events until the link ends.
pub(super) async fn pump(core: Arc<Core>, mut events: LinkEvents<AmiSession>) {
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Up { setup, .. } => {
                core.state().setup = Some(setup);
                core.wake.notify_one();
            }
            LinkEvent::Event { event, .. } => take(&core, &event),
            LinkEvent::Down { reason, at, .. } => {
                if matches!(reason, LinkError::Closed) {
                    core.health().disconnected();
                } else {
                    core.health().connection_failed();
                }
                tracing::info!(%reason, "asterisk: connection lost");
                core.events(|state, _| {
                    state.books.missed_events();
                    // The next connection may be to another run of the server.
                    state.up_since = None;
                    match state.connection {
                        // We are closing it.
                        ConnectionState::Disconnecting => return Vec::new(),
                        ConnectionState::Connected => {
                            state.lost_at.get_or_insert(at);
                        }
                        _ => {}
                    }
                    state.move_to(ConnectionState::Connecting, None)
                });
            }
            LinkEvent::AttemptFailed {
                reason, critical, ..
            } => {
                core.health().connection_failed();
                core.state().up_since = None;
                let severity = if critical {
                    Severity::Critical
                } else {
                    Severity::Warning
                };
                core.trouble(severity, reason.into_error("connect"));
            }
            LinkEvent::GaveUp { reason } => {
                core.trouble(Severity::Critical, reason.into_error("connect"));
                core.connection(ConnectionState::Error);
            }
        }
    }
}

fn take(core: &Core, event: &Message) {
    if event.is_event("FullyBooted")
        && let Some(uptime) = event
            .get_str("Uptime")
            .and_then(|uptime| uptime.parse().ok())
    {
        let up_since = core.clock.timestamp() - Duration::from_secs(uptime);
        core.events(|state, _| {
            state.up_since = Some(up_since);
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
