//! Faxes that come in: `ReceiveFAX` on an incoming call, and the pages handed over once.

use faxbot_core::{Error, Result, fax::ReceivedFax, id::CallRef};

use super::{core::Core, server::Server};

pub(super) async fn take(
    _core: &Core,
    _server: Result<Server>,
    _call: &CallRef,
) -> Result<ReceivedFax> {
    Err(Error::unsupported("take_fax"))
}
