//! Records of calls: what we saw, and the server's own.

use faxbot_core::{
    Error, Result,
    id::CallRef,
    plugin::Page,
    sip::{CallRecord, HistoryQuery, SipEvent},
};

use super::{books::Books, core::Core, server::Server};
use crate::protocol::ami::Message;

/// The server's own records, bounded.
#[derive(Debug, Default)]
pub(super) struct Cdrs;

impl Books {
    /// The server's own record of a call.
    pub(super) fn cdr(&mut self, _event: &Message) -> Vec<SipEvent> {
        Vec::new()
    }
}

/// Whether the server sends `Cdr` events, as far as it tells.
pub(super) async fn sends_cdr(_server: &Server) -> Result<bool> {
    Ok(false)
}

pub(super) fn page(_core: &Core, _query: &HistoryQuery) -> Result<Page<CallRecord>> {
    Err(Error::unsupported("get_call_history"))
}

pub(super) fn cdr(_core: &Core, _call: &CallRef) -> Result<CallRecord> {
    Err(Error::unsupported("get_cdr"))
}
