//! Questions and orders to the server.

use std::time::Duration;

use faxbot_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    core::Core,
    wire::{
        Aors, Destination, Dialog, DialogHandle, DialogState, Ignored, Methods, OneAor,
        Registration, Rows, Sets, SipReply, Statistics, Uac, Uptime, Version, method, request,
    },
};
use crate::{
    driver::Rpc,
    protocol::jsonrpc::{Params, Request},
};

/// The oldest version that the answers of are known (`git show 5.2:src/modules/dialog/dialog.c`).
const OLDEST: (u32, u32) = (5, 2);

/// The CSeq of each INVITE that the server itself begins a dialog with (`DEFAULT_CSEQ` in `tm/uac.h`), as
/// a text: a number is refused.
const FIRST_CSEQ: &str = "10";

/// What became of an order to take an INVITE back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancel {
    /// It rings no longer, or stops soon. Said as well of one that had its final answer a moment ago
    /// (recording `t_uac_variants`).
    Sent,
    /// It had its final answer.
    TooLate,
    /// The server knows no such INVITE any more: it was over some seconds ago.
    Gone,
}

/// The server, asked in the name of an adapter.
#[derive(Clone)]
pub(super) struct Server<'a> {
    core: &'a Core,
    rpc: Rpc,
}

impl<'a> Server<'a> {
    pub(super) fn new(core: &'a Core, rpc: Rpc) -> Self {
        Self { core, rpc }
    }

    // What one exchange over HTTP keeps is boxed: it would be in each order that waits for one.

    /// Asks what changes nothing.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl IntoIterator<Item = Value>,
        operation: &'static str,
    ) -> Result<T> {
        let request = request(method, params, operation)?;
        let hub = &self.core.hub;
        let begun = hub.clock.now();
        let limit = self.core.config.request_timeout;
        let answer = Box::pin(self.rpc.read(operation, request, limit)).await;
        // A refusal is an answer, too.
        let answered = match &answer {
            Ok(_) => true,
            Err(failure) => failure.refused().is_some(),
        };
        if answered {
            let took = hub.clock.now().saturating_duration_since(begun);
            hub.health().round_trip(took);
        }
        answer.map_err(|failure| named(failure.into_error(), method))
    }

    /// Orders something. No answer leaves its outcome unknown.
    pub(super) async fn act<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl IntoIterator<Item = Value>,
        operation: &'static str,
    ) -> Result<T> {
        let request = request(method, params, operation)?;
        let limit = self.core.config.request_timeout;
        let answer = Box::pin(self.rpc.act(operation, request, limit)).await;
        answer.map_err(|failure| named(failure.into_error(), method))
    }

    /// A request of the caller's own. Its effect is not known here.
    pub(super) async fn raw(
        &self,
        method: String,
        params: Params,
        limit: Duration,
        operation: &'static str,
    ) -> Result<Value> {
        let request = Request::new(method, params)
            .map_err(|error| Error::new(ErrorKind::InvalidRequest, operation, error.to_string()))?;
        let answer = Box::pin(self.rpc.act(operation, request, limit)).await;
        answer.map_err(|failure| failure.into_error())
    }

    /// Checks that it is a Kamailio that is new enough.
    pub(super) async fn check_version(&self, operation: &'static str) -> Result<()> {
        let version: Version = self.read(method::VERSION, [], operation).await?;
        let wrong = |message| Err(Error::new(ErrorKind::Config, operation, message));
        match version.number() {
            None => wrong("the server is no kamailio"),
            Some(number) if number < OLDEST => wrong("the server is older than kamailio 5.2"),
            Some(_) => Ok(()),
        }
    }

    pub(super) async fn methods(&self, operation: &'static str) -> Result<Methods> {
        self.read(method::METHODS, [], operation).await
    }

    pub(super) async fn uptime(&self, operation: &'static str) -> Result<Uptime> {
        self.read(method::UPTIME, [], operation).await
    }

    /// All dialogs.
    pub(super) async fn rows(&self, operation: &'static str) -> Result<Rows> {
        self.read(method::DIALOGS, [], operation).await
    }

    pub(super) async fn dialogs(&self, operation: &'static str) -> Result<Vec<Dialog>> {
        Ok(self.rows(operation).await?.into_dialogs())
    }

    /// The live dialog of a Call-ID.
    pub(super) async fn dialog(
        &self,
        call_id: &str,
        from_tag: Option<&str>,
        operation: &'static str,
    ) -> Result<Option<Dialog>> {
        let params = [Some(call_id), from_tag];
        let params = params.into_iter().flatten().map(Value::from);
        let rows: Rows = self.read(method::DIALOG, params, operation).await?;
        let mut dialogs = rows.into_dialogs().into_iter();
        Ok(dialogs.find(|dialog| dialog.state != DialogState::Deleted))
    }

    /// Ends a dialog: a BYE to each side.
    pub(super) async fn end(&self, handle: DialogHandle, operation: &'static str) -> Result<()> {
        // As numbers: a text would be taken for 0.
        let params = [Value::from(handle.entry), Value::from(handle.id)];
        let done: Result<Ignored> = self.act(method::END, params, operation).await;
        done.map(drop)
    }

    /// Calls `first` and has its phone call `second`. The answer is always a good one.
    pub(super) async fn bridge(
        &self,
        first: &str,
        second: &str,
        proxy: Option<&str>,
        body: Option<&str>,
        operation: &'static str,
    ) -> Result<()> {
        let proxy = proxy.unwrap_or(".");
        let params = [Some(first), Some(second), Some(proxy), body];
        let params = params.into_iter().flatten().map(Value::from);
        let done: Result<Ignored> = self.act(method::BRIDGE, params, operation).await;
        done.map(drop)
    }

    /// Takes back an INVITE of the server's own, with a CANCEL as soon as the phone gave a sign of life
    /// (`rpc_cancel` in `tm/rpc_uac.c`; observed on Kamailio 5.6.3 and 6.1).
    pub(super) async fn cancel(&self, call_id: &str, operation: &'static str) -> Result<Cancel> {
        let params = [Value::from(call_id), Value::from(FIRST_CSEQ)];
        let done: Result<Value> = self.act(method::CANCEL, params, operation).await;
        match done {
            Ok(said) => Ok(match said.as_str() {
                Some(said) if said.starts_with("branches remaining") => Cancel::Sent,
                _ => Cancel::TooLate,
            }),
            Err(error) if error.native_text() == Some("Transaction not found") => Ok(Cancel::Gone),
            Err(error) => Err(error),
        }
    }

    /// Sends a SIP request and waits for its final answer. `acts` says whether it does something
    /// at the far end.
    pub(super) async fn send(
        &self,
        request: &Uac<'_>,
        acts: bool,
        operation: &'static str,
    ) -> Result<SipReply> {
        let request = request.request(operation)?;
        let limit = self.core.config.sip_timeout;
        let answer = if acts {
            Box::pin(self.rpc.act(operation, request, limit)).await
        } else {
            Box::pin(self.rpc.read(operation, request, limit)).await
        };
        answer.map_err(|failure| named(failure.into_error(), method::SEND_AND_WAIT))
    }

    pub(super) async fn statistics(&self, operation: &'static str) -> Result<Statistics> {
        let all = [Value::from("all")];
        self.read(method::STATISTICS, all, operation).await
    }

    pub(super) async fn destinations(&self, operation: &'static str) -> Result<Vec<Destination>> {
        let sets: Result<Sets> = self.read(method::DESTINATIONS, [], operation).await;
        match sets {
            Ok(sets) => Ok(sets.into_destinations()),
            Err(error) if error.native_text() == Some("No Destination Sets") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn registrations(&self, operation: &'static str) -> Result<Vec<Registration>> {
        let all: Aors = self.read(method::REGISTRATIONS, [], operation).await?;
        Ok(all.into_registrations())
    }

    /// What is registered for one address of record; `None` for nothing.
    pub(super) async fn registration(
        &self,
        table: &str,
        aor: &str,
        operation: &'static str,
    ) -> Result<Option<Registration>> {
        let params = [Value::from(table), Value::from(aor)];
        let one: Result<OneAor> = self.read(method::REGISTRATION, params, operation).await;
        match one {
            Ok(one) => Ok(one.into_registration(table)),
            // `AOR not found in location table`, with the code 500.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    || error
                        .native_text()
                        .is_some_and(|text| text.starts_with("AOR not found")) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Says which module a method that is not there would come with.
fn named(error: Error, method: &'static str) -> Error {
    if error.kind() != ErrorKind::Unsupported {
        return error;
    }
    let message = match method.split('.').next() {
        Some("dlg") => "the module dialog is not loaded",
        Some("tm") => "the module tm is not loaded",
        Some("dispatcher") => "the module dispatcher is not loaded",
        Some("ul") => "the module usrloc is not loaded",
        Some("stats") => "the module kex is not loaded",
        _ => "the server does not have this method",
    };
    let (code, text) = (
        error.native_code().map(str::to_owned),
        error.native_text().map(str::to_owned),
    );
    Error::new(ErrorKind::Unsupported, error.operation(), message).with_native(code, text)
}
