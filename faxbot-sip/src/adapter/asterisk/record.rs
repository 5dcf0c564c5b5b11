//! Recordings by `MixMonitor`.

use faxbot_core::{
    Error, Result,
    id::CallId,
    sip::{RecordRequest, SipEvent},
};

use super::{books::Books, core::Core, server::Server};
use crate::protocol::ami::Message;

/// The recordings of a call: the one that runs, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Recordings;

impl Books {
    /// The server started or stopped to record our channel (`05_mixmonitor`).
    pub(super) fn recording_event(&mut self, _id: CallId, _event: &Message) -> Vec<SipEvent> {
        Vec::new()
    }
}

pub(super) async fn record(_core: &Core, _server: Server, _request: RecordRequest) -> Result<()> {
    Err(Error::unsupported("record"))
}
