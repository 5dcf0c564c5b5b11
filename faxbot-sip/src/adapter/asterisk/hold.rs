//! Holding a call with music and taking it back; and what the far end holds.

use faxbot_core::{
    Error, Result,
    id::{CallId, CallRef},
    sip::SipEvent,
};

use super::{core::Core, server::Server};
use crate::protocol::ami::Message;

/// What a held call comes back to.
#[derive(Debug, Default)]
pub(super) struct Hold;

/// The far end held or resumed the call (`05_hold_unhold`).
pub(super) fn by_far_end(id: CallId, event: &Message) -> Vec<SipEvent> {
    vec![SipEvent::MediaStateChanged {
        id: Some(id),
        remote_hold: event.is_event("Hold"),
    }]
}

pub(super) async fn hold(_core: &Core, _server: Server, _call: &CallRef) -> Result<()> {
    Err(Error::unsupported("hold"))
}

pub(super) async fn resume(_core: &Core, _server: Server, _call: &CallRef) -> Result<()> {
    Err(Error::unsupported("resume"))
}
