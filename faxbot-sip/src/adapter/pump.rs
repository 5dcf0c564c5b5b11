//! Takes the events of a link to the hub of its adapter.

use std::sync::Arc;

use faxbot_core::{
    Timestamp,
    sip::{ConnectionState, Severity},
};

use super::hub::{Book as _, Core};
use crate::driver::{LinkError, LinkEvent, LinkEvents};

/// Takes the link's events until the link ends.
pub(crate) async fn pump<C: Core>(core: Arc<C>, mut events: LinkEvents<C::Session>) {
    let hub = core.hub();
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Up { setup, ready, .. } => {
                core.logged_in(ready);
                hub.state().setup = Some(setup);
                hub.wake();
            }
            LinkEvent::Event { event, .. } => core.event(event),
            LinkEvent::Down { reason, at, .. } => down(&*core, &reason, at),
            LinkEvent::AttemptFailed {
                reason, critical, ..
            } => {
                hub.health().connection_failed();
                hub.state().books.attempt_failed();
                let severity = if critical {
                    Severity::Critical
                } else {
                    Severity::Warning
                };
                hub.trouble(severity, reason.into_error("connect"));
            }
            LinkEvent::GaveUp { reason } => {
                hub.trouble(Severity::Critical, reason.into_error("connect"));
                hub.connection(ConnectionState::Error);
            }
        }
    }
}

fn down<C: Core>(core: &C, reason: &LinkError, at: Timestamp) {
    let hub = core.hub();
    if matches!(reason, LinkError::Closed) {
        hub.health().disconnected();
    } else {
        hub.health().connection_failed();
    }
    tracing::info!(%reason, adapter = hub.name, "connection lost");
    hub.lost(at);
}
