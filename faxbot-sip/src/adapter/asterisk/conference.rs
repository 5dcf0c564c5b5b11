//! Conferences by `ConfBridge`.

use faxbot_core::{
    Error, Private, Result,
    sip::{ConferenceRequest, SipEvent},
};

use super::{books::Books, core::Core, server::Server};
use crate::{adapter::calls::Now, protocol::ami::Message};

/// The conferences of the server and who is in them.
#[derive(Debug, Default)]
pub(super) struct Conferences;

impl Conferences {
    /// Names and numbers of members.
    pub(super) fn list(&self) -> Vec<(Private, usize)> {
        Vec::new()
    }
}

impl Books {
    /// `ConfbridgeStart`, `Join`, `Leave`, `End` and their like (`05_confbridge`).
    pub(super) fn conference_event(&mut self, _event: &Message, _now: Now) -> Vec<SipEvent> {
        Vec::new()
    }
}

pub(super) async fn conference(
    _core: &Core,
    _server: Server,
    _request: ConferenceRequest,
) -> Result<()> {
    Err(Error::unsupported("conference"))
}
