//! Typed calls of Kamailio's own.

use faxbot_core::{Error, ErrorKind, Result, address::Address};
use serde_json::Value;

use super::{
    KamailioAdapter,
    abilities::Abilities,
    message,
    place::uri,
    server::Server,
    wire::{
        Destination, DestinationState, Dialog, Ignored, Registration, SipReply, Statistics, method,
    },
};
use crate::protocol::jsonrpc::Params;

impl KamailioAdapter {
    /// The server, if it is connected and has what is wanted.
    fn asked(
        &self,
        operation: &'static str,
        has: impl Fn(Abilities) -> bool,
    ) -> Result<Server<'_>> {
        if !has(self.core().hub.state().books.abilities) {
            return Err(Error::unsupported(operation));
        }
        self.life.check_up(operation)?;
        self.core().server(operation)
    }

    /// Every dialog of the server, as it lists them: one that is over stays for some seconds.
    ///
    /// # Errors
    /// `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn dialogs(&self) -> Result<Vec<Dialog>> {
        const OPERATION: &str = "dialogs";
        let server = self.asked(OPERATION, |_| true)?;
        server.dialogs(OPERATION).await
    }

    /// All counters of the server (`stats.get_statistics`).
    ///
    /// # Errors
    /// `Unsupported` without the module `kex`; `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn statistics(&self) -> Result<Statistics> {
        const OPERATION: &str = "statistics";
        let server = self.asked(OPERATION, |abilities| abilities.counts)?;
        server.statistics(OPERATION).await
    }

    /// The destinations of the dispatcher, of all its sets.
    ///
    /// # Errors
    /// `Unsupported` without the module `dispatcher`; `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn destinations(&self) -> Result<Vec<Destination>> {
        const OPERATION: &str = "destinations";
        let server = self.asked(OPERATION, |abilities| abilities.dispatches)?;
        server.destinations(OPERATION).await
    }

    /// Sets what the dispatcher does with a destination, named as [`destinations`](Self::destinations)
    /// names it, and whether it is pinged.
    ///
    /// # Errors
    /// `Unsupported` without the module `dispatcher`; `NotFound` for a destination that is not in
    /// the set; `Rejected`; `OutcomeUnknown`.
    ///
    /// # Cancel safety
    /// An order that was written is not undone.
    pub async fn set_destination_state(
        &self,
        set: u32,
        uri: &str,
        state: DestinationState,
        probing: bool,
    ) -> Result<()> {
        const OPERATION: &str = "set_destination_state";
        let server = self.asked(OPERATION, |abilities| abilities.dispatches)?;
        // The set as a number: a text fails, or is taken for 0.
        let params = [state.word(probing).into(), set.into(), Value::from(uri)];
        let done: Result<Ignored> = server.act(method::SET_STATE, params, OPERATION).await;
        done.map(drop).map_err(|error| {
            if error.native_text() != Some("State Update Failed") {
                return error;
            }
            let message = "the set has no such destination";
            let (code, text) = (error.native_code(), error.native_text());
            Error::new(ErrorKind::NotFound, OPERATION, message)
                .with_native(code.map(str::to_owned), text.map(str::to_owned))
        })
    }

    /// Has the dispatcher read its destinations anew. It refuses for some seconds after a change
    /// (`Rejected`).
    ///
    /// # Errors
    /// `Unsupported` without the module `dispatcher`; `Rejected`; `OutcomeUnknown`.
    ///
    /// # Cancel safety
    /// An order that was written is not undone.
    pub async fn reload_destinations(&self) -> Result<()> {
        const OPERATION: &str = "reload_destinations";
        let server = self.asked(OPERATION, |abilities| abilities.dispatches)?;
        let method = method::RELOAD_DESTINATIONS;
        let done: Result<Ignored> = server.act(method, [], OPERATION).await;
        done.map(drop)
    }

    /// Everything that is registered, in all tables.
    ///
    /// # Errors
    /// `Unsupported` without the module `usrloc`; `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn registrations(&self) -> Result<Vec<Registration>> {
        const OPERATION: &str = "registrations";
        let server = self.asked(OPERATION, |abilities| abilities.registers)?;
        server.registrations(OPERATION).await
    }

    /// What is registered in the table `location` for one address of record: a user, or a user with
    /// its domain (`use_domain`). `None` for nothing.
    ///
    /// # Errors
    /// `Unsupported` without the module `usrloc`; `NotConnected`, `Timeout` and their like.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn registration(&self, aor: &str) -> Result<Option<Registration>> {
        const OPERATION: &str = "registration";
        let server = self.asked(OPERATION, |abilities| abilities.registers)?;
        // With its scheme nothing is found.
        let aor = aor.strip_prefix("sip:").unwrap_or(aor);
        server.registration("location", aor, OPERATION).await
    }

    /// Asks a phone or a server whether it is there, by OPTIONS. A refusal is an answer; a status of 408
    /// that [was not received](SipReply::was_received) says that nobody answered.
    ///
    /// # Errors
    /// `Unsupported` without the module `tm`; `InvalidRequest`; `Rejected` where the server cannot
    /// send it; `Timeout` after `options.sip_timeout`.
    ///
    /// # Cancel safety
    /// Nothing is left but an OPTIONS on its way.
    pub async fn options_ping(&self, to: &Address) -> Result<SipReply> {
        const OPERATION: &str = "options_ping";
        self.asked(OPERATION, |abilities| abilities.sends)?;
        let to = uri(self.config(), to, OPERATION)?;
        message::ping(self.core(), &to).await
    }

    /// Calls any method of the server. What it answers may hold personal data, and that of `uac.reg_*`
    /// passwords: nothing of it is logged here.
    ///
    /// Numbers go as numbers and texts as texts: a number in quotes is refused, or taken for 0.
    ///
    /// # Errors
    /// `Unsupported` for a method that the server does not have; `Rejected`, `NotFound` and their like as
    /// it refuses; `OutcomeUnknown` where no answer came, because nothing is known of what the method
    /// does.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn rpc(&self, method: impl Into<String> + Send, params: Params) -> Result<Value> {
        const OPERATION: &str = "rpc";
        let server = self.asked(OPERATION, |_| true)?;
        let limit = self.config().request_timeout;
        server.raw(method.into(), params, limit, OPERATION).await
    }
}
