//! The end of the engine, as far as a module can bring it about: a typed call of Yate's own.

use faxbot_core::{Effect, Result};
use tracing::Instrument as _;

use super::{YateAdapter, server::message};

const OPERATION: &str = "engine_halt";

/// Says that whoever calls [`engine_halt`](YateAdapter::engine_halt) knows what it does.
#[derive(Debug)]
pub struct EndsEveryCall {
    _said: (),
}

impl EndsEveryCall {
    /// Every call of the server ends, not only ours, and it takes no new one until it is started anew.
    #[must_use]
    pub fn and_leaves_the_engine_without_sip() -> Self {
        Self { _said: () }
    }
}

impl YateAdapter {
    /// Sends `engine.halt`, which tells the modules of the engine that it stops.
    ///
    /// **This is no orderly stop.** Observed on Yate 6.4.1: all calls end (BYE), all module connections
    /// are closed within 20 ms and the SIP port is gone, but the engine itself does *not* exit. It takes
    /// module connections again, with the same run id and without SIP, so this adapter connects again
    /// and every call it places is refused; or it dies of a signal, up to minutes later, and comes back
    /// with a new run id where a supervisor (`yate -s`) watches it. An orderly stop is SIGTERM to
    /// `yate`, or `stop` at its `rmanager`.
    ///
    /// Success means that the message was written, and that the engine answered it or closed.
    ///
    /// # Errors
    /// `NotConnected` and others that say that nothing was written.
    ///
    /// # Cancel safety
    /// A message that was written is not undone.
    pub async fn engine_halt(&self, sure: EndsEveryCall) -> Result<()> {
        let EndsEveryCall { _said: () } = sure;
        let server = self.server(OPERATION)?;
        let command = message("engine.halt", &[("code", "0")], OPERATION)?;
        let asked = server.ask(command, OPERATION).instrument(self.span(None));
        match asked.await {
            Err(error) if error.effect() == Effect::NoEffect => Err(error),
            // Nobody answers `true` to it, and the connection may close before the answer.
            _ => Ok(()),
        }
    }
}
