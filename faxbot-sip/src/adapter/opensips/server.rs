//! What is asked of the server, and what its refusals mean.

use std::time::Duration;

use faxbot_core::{Effect, Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::wire::{
    b2b::{RawTuple, TupleList},
    dialog::{DialogList, RawDialog},
    server::{
        EventList, ServerVersion, Statistics, SubscriberList, UptimeAnswer, VersionAnswer,
        asked_name, has_statistic,
    },
};
use crate::{
    driver::{Rpc, RpcFailure},
    protocol::jsonrpc::{InvalidRequest, Params, Request},
};

/// A body that is surely below the limit of a server whose `receive_buf_size` nobody set: 981 bytes
/// went through, 1,041 did not (recording `01_large_body_default_limits`).
const SMALL: usize = 900;

/// How long what is asked may take, and how long it may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) request: Duration,
    /// Of a SIP request that the server sends for us.
    pub(super) sip: Duration,
    /// Bytes of a request over HTTP.
    pub(super) body: usize,
}

/// The management interface of one server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    http: Rpc,
    /// For what takes long: over HTTP it keeps every other request waiting.
    datagram: Option<Rpc>,
    limits: Limits,
    /// Once it is known: some numbers depend on it.
    version: Option<ServerVersion>,
}

/// A command without parameters.
pub(super) fn plain(method: &'static str, operation: &'static str) -> Result<Request> {
    Request::plain(method).map_err(|error| refused(operation, error))
}

/// A command with parameters by position.
pub(super) fn listed<const N: usize>(
    method: &'static str,
    values: [Value; N],
    operation: &'static str,
) -> Result<Request> {
    Request::new(method, Params::list(values)).map_err(|error| refused(operation, error))
}

/// A command with parameters by name: their set must be one of the command's recipes.
pub(super) fn named<const N: usize>(
    method: &'static str,
    values: [(&'static str, Value); N],
    operation: &'static str,
) -> Result<Request> {
    Request::new(method, Params::named(values)).map_err(|error| refused(operation, error))
}

/// What cannot be written into a request.
pub(super) fn refused(operation: &'static str, why: InvalidRequest) -> Error {
    Error::new(ErrorKind::InvalidRequest, operation, why.to_string())
}

/// A failure of a command, with what the adapter knows of its code.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The code of the refusal; `None` when nobody refused.
    pub(super) code: Option<i64>,
    /// The status of an answer over HTTP that was none of JSON-RPC.
    pub(super) http: Option<u16>,
    pub(super) error: Error,
}

impl Refusal {
    /// The same with words of ours: the server's stay with it.
    pub(super) fn means(self, kind: ErrorKind, message: &str) -> Error {
        let native = (self.error.native_code(), self.error.native_text());
        let native = (native.0.map(str::to_owned), native.1.map(str::to_owned));
        Error::new(kind, self.error.operation(), message)
            .with_effect(self.error.effect())
            .with_native(native.0, native.1)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            code: None,
            http: None,
            error,
        }
    }
}

impl Server {
    pub(super) fn new(http: Rpc, datagram: Option<Rpc>, limits: Limits) -> Self {
        Self {
            http,
            datagram,
            limits,
            version: None,
        }
    }

    /// As this, of a server of this version.
    pub(super) fn of(mut self, version: ServerVersion) -> Self {
        self.version = Some(version);
        self
    }

    /// As this, with another limit for answers.
    pub(super) fn within(&self, limit: Duration) -> Self {
        let mut same = self.clone();
        same.limits.request = limit;
        same
    }

    /// Whether slow commands go beside the others.
    pub(super) fn has_datagram(&self) -> bool {
        self.datagram.is_some()
    }

    /// Asks what changes nothing.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        request: Request,
        operation: &'static str,
    ) -> Result<T, Refusal> {
        let bytes = self.check(&request, operation)?;
        let answer = self.http.read(operation, request, self.limits.request);
        answer
            .await
            .map_err(|failure| failed(failure, operation, bytes))
    }

    /// Asks for what happens at the server.
    pub(super) async fn act<T: DeserializeOwned>(
        &self,
        request: Request,
        operation: &'static str,
    ) -> Result<T, Refusal> {
        let bytes = self.check(&request, operation)?;
        let answer = self.http.act(operation, request, self.limits.request);
        answer
            .await
            .map_err(|failure| failed(failure, operation, bytes))
    }

    /// Asks for a SIP request of the server: by datagrams where there are some.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: Request,
        operation: &'static str,
    ) -> Result<T, Refusal> {
        let bytes = request.max_len();
        let (rpc, limit) = match &self.datagram {
            Some(datagram) => (datagram, self.limits.sip),
            None => {
                self.check(&request, operation)?;
                (&self.http, self.limits.sip)
            }
        };
        let answer = rpc.act(operation, request, limit);
        answer
            .await
            .map_err(|failure| failed(failure, operation, bytes))
    }

    /// Longer bodies wait at the server until another connection does something.
    fn check(&self, request: &Request, operation: &'static str) -> Result<usize, Refusal> {
        let (bytes, most) = (request.max_len(), self.limits.body);
        if bytes <= most {
            return Ok(bytes);
        }
        let message = format!(
            "the request has {bytes} bytes, and options.max_request_bytes allows {most}: longer ones are held up by the server"
        );
        Err(Error::new(ErrorKind::InvalidRequest, operation, message).into())
    }

    pub(super) async fn version(&self, operation: &'static str) -> Result<ServerVersion> {
        let answer = self.read::<VersionAnswer>(plain("version", operation)?, operation);
        let answer = answer.await.map_err(|refusal| match refusal.http {
            Some(400 | 404) => {
                let message = "the server has no management interface at options.path";
                refusal.means(ErrorKind::Config, message)
            }
            _ => refusal.into(),
        })?;
        answer.version().ok_or_else(|| {
            let message = "what answers here is no opensips";
            Error::new(ErrorKind::Config, operation, message).with_effect(Effect::NoEffect)
        })
    }

    pub(super) async fn uptime(&self, operation: &'static str) -> Result<UptimeAnswer> {
        Ok(self.read(plain("uptime", operation)?, operation).await?)
    }

    /// The commands that the server has.
    pub(super) async fn commands(&self, operation: &'static str) -> Result<Vec<String>> {
        Ok(self.read(plain("which", operation)?, operation).await?)
    }

    /// The sets of parameters that a command takes; none for a command that is not there.
    pub(super) async fn recipes(
        &self,
        command: &str,
        operation: &'static str,
    ) -> Result<Vec<Vec<String>>> {
        let request = listed("which", [json!(command)], operation)?;
        match self.read(request, operation).await {
            Err(refusal) if refusal.code == Some(404) => Ok(Vec::new()),
            other => Ok(other?),
        }
    }

    /// Statistics by name (`active_dialogs`), group (`dialog:`) or all (`all`).
    ///
    /// # Errors
    /// `NotFound` if one of them is not there: the server would only leave it out.
    pub(super) async fn statistics(
        &self,
        names: &[&str],
        operation: &'static str,
    ) -> Result<Statistics> {
        let asked: Vec<Value> = names.iter().map(|name| json!(asked_name(name))).collect();
        // An array in the array: the parameter is a list, a plain text is `Bad type`.
        let request = listed("get_statistics", [Value::Array(asked)], operation)?;
        let answer: Statistics = self.read(request, operation).await?;
        let missing = names
            .iter()
            .filter(|name| !has_statistic(&answer, name))
            .count();
        if missing > 0 || names.is_empty() {
            let message = format!("the server has no statistics of {missing} of these names");
            return Err(Error::new(ErrorKind::NotFound, operation, message));
        }
        Ok(answer)
    }

    pub(super) async fn events(&self, operation: &'static str) -> Result<EventList> {
        Ok(self
            .read(plain("events_list", operation)?, operation)
            .await?)
    }

    pub(super) async fn subscribers(&self, operation: &'static str) -> Result<SubscriberList> {
        let request = plain("subscribers_list", operation)?;
        Ok(self.read(request, operation).await?)
    }

    /// Subscribes, or renews; with 0 seconds the subscription ends.
    pub(super) async fn subscribe(
        &self,
        event: &str,
        socket: &str,
        seconds: u64,
        operation: &'static str,
    ) -> Result<(), Refusal> {
        let values = [json!(event), json!(socket), json!(seconds)];
        let request = listed("event_subscribe", values, operation)?;
        // Subscribing twice is subscribing once.
        self.read::<Value>(request, operation).await.map(drop)
    }

    /// A page of the dialogs; 0 is all that are there.
    pub(super) async fn dialogs(
        &self,
        index: usize,
        counter: usize,
        operation: &'static str,
    ) -> Result<DialogList, Refusal> {
        let values = [("index", json!(index)), ("counter", json!(counter))];
        self.read(named("dlg_list", values, operation)?, operation)
            .await
    }

    /// The dialogs of a Call-ID.
    pub(super) async fn dialog(
        &self,
        call_id: &str,
        operation: &'static str,
    ) -> Result<Option<RawDialog>> {
        let request = named("dlg_list", [("callid", json!(call_id))], operation)?;
        match self.read::<DialogList>(request, operation).await {
            Ok(list) => Ok(list.into_dialogs().into_iter().next()),
            Err(refusal) if refusal.code == Some(404) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// The calls of two legs.
    pub(super) async fn tuples(&self, operation: &'static str) -> Result<Vec<RawTuple>> {
        let request = plain("b2b_list", operation)?;
        let mut list: TupleList = self.read(request, operation).await?;
        if let Some(version) = self.version {
            list.tuples.iter_mut().for_each(|it| it.renumber(version));
        }
        Ok(list.tuples)
    }

    /// Ends a dialog by its Call-ID or the server's own number: BYE to both, or CANCEL.
    pub(super) async fn end_dialog(
        &self,
        dialog: &str,
        operation: &'static str,
    ) -> Result<(), Refusal> {
        let request = named("dlg_end_dlg", [("dialog_id", json!(dialog))], operation)?;
        self.act::<Value>(request, operation).await.map(drop)
    }

    /// Ends a call of two legs.
    pub(super) async fn end_tuple(
        &self,
        key: &str,
        operation: &'static str,
    ) -> Result<(), Refusal> {
        let request = named("b2b_terminate_call", [("key", json!(key))], operation)?;
        self.act::<Value>(request, operation).await.map(drop)
    }
}

/// What a failure is, decided by its number: the words for one thing differ from command to command.
fn failed(failure: RpcFailure, operation: &'static str, bytes: usize) -> Refusal {
    let code = failure.refused().map(|error| error.code);
    let http = failure.http_status();
    if http == Some(400) && bytes > SMALL {
        let message = format!(
            "the server took no request of {bytes} bytes: raise receive_buf_size and post_buf_size of its module httpd (1024 by default)"
        );
        let error = Error::new(ErrorKind::Config, operation, message)
            .with_effect(failure.effect())
            .with_native(Some("400".to_owned()), None);
        return Refusal { code, http, error };
    }
    let error = failure.into_error();
    let kind = match code {
        // 200 occurs as the code of an error (`ul_sync`).
        Some(404 | 481) => Some(ErrorKind::NotFound),
        Some(410 | 480 | 491) => Some(ErrorKind::InvalidState),
        _ => None,
    };
    let error = match kind {
        Some(kind) if kind != error.kind() => {
            let words = match kind {
                ErrorKind::NotFound => "the server knows no such thing",
                ErrorKind::InvalidState => "the server says that this is not possible now",
                _ => "the server refused",
            };
            Refusal { code, http, error }.means(kind, words)
        }
        _ => error,
    };
    Refusal { code, http, error }
}
