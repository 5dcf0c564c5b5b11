//! Digits in both directions.

use std::time::Duration;

use faxbot_core::{
    Error, Result,
    id::CallId,
    sip::{DtmfRequest, SipEvent},
};

use super::{core::Core, server::Server};
use crate::protocol::ami::Message;

/// A digit came in (`05_dtmf`); those that we send have `Direction: Sent`.
pub(super) fn received(id: CallId, event: &Message) -> Vec<SipEvent> {
    if event.get_str("Direction").as_deref() != Some("Received") {
        return Vec::new();
    }
    let digit = event
        .get_str("Digit")
        .and_then(|digit| digit.chars().next());
    let duration = event
        .get_str("DurationMs")
        .and_then(|duration| duration.parse().ok())
        .map(Duration::from_millis);
    let event = digit.map(|digit| SipEvent::DtmfReceived {
        id: Some(id),
        digit,
        duration,
    });
    event.into_iter().collect()
}

pub(super) async fn send(_core: &Core, _server: Server, _request: DtmfRequest) -> Result<()> {
    Err(Error::unsupported("send_dtmf"))
}
