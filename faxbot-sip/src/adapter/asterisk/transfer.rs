//! Transfers, blind and attended, with a known outcome.

use faxbot_core::{Error, Result, sip::TransferRequest};

use super::{core::Core, server::Server};

pub(super) async fn transfer(
    _core: &Core,
    _server: Server,
    _request: TransferRequest,
) -> Result<()> {
    Err(Error::unsupported("transfer"))
}
