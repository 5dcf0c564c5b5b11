//! Holding a call with music and taking it back.

use faxbot_core::{Error, Result, id::CallRef};

use super::{core::Core, server::Server};

/// What a held call comes back to.
#[derive(Debug, Default)]
pub(super) struct Hold;

pub(super) async fn hold(_core: &Core, _server: Server, _call: &CallRef) -> Result<()> {
    Err(Error::unsupported("hold"))
}

pub(super) async fn resume(_core: &Core, _server: Server, _call: &CallRef) -> Result<()> {
    Err(Error::unsupported("resume"))
}
