//! Messages over SIP in both directions.

use faxbot_core::{
    Error, Result,
    message::MessageResult,
    sip::{SipEvent, SipMessage},
};

use super::{core::Core, server::Server};
use crate::protocol::ami::Message;

/// A `UserEvent`: that of our snippet brings a message.
pub(super) fn received(_event: &Message) -> Vec<SipEvent> {
    Vec::new()
}

pub(super) async fn send(
    _core: &Core,
    _server: Server,
    _message: SipMessage,
) -> Result<MessageResult> {
    Err(Error::unsupported("send_message"))
}
