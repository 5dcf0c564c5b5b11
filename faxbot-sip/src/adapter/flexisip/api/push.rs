//! Push notifications.

use faxbot_core::{Private, Result, http::ApiCall};
use http::Method;
use serde_json::{Map, Value};

use super::FlexiApi;

/// Who delivers a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushProvider {
    /// Apple, the sandbox.
    ApnsDev,
    /// Apple.
    Apns,
    /// Firebase.
    Fcm,
}

impl PushProvider {
    /// The server's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApnsDev => "apns.dev",
            Self::Apns => "apns",
            Self::Fcm => "fcm",
        }
    }
}

/// What a push is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushKind {
    /// It wakes the application.
    Background,
    /// A message.
    Message,
    /// A call.
    Call,
}

impl PushKind {
    /// The server's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Background => "background",
            Self::Message => "message",
            Self::Call => "call",
        }
    }
}

/// A device that a push goes to (RFC 8599).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushTarget {
    /// `pn-provider`.
    pub provider: PushProvider,
    /// `pn-param`: letters, digits, `.` and `_`.
    pub param: Option<Private>,
    /// `pn-prid`: letters, digits, `-`, `_` and `:`.
    pub prid: Option<Private>,
}

impl PushTarget {
    /// A device.
    pub fn new(provider: PushProvider, param: impl Into<String>, prid: impl Into<String>) -> Self {
        Self {
            provider,
            param: Some(Private::new(param.into())),
            prid: Some(Private::new(prid.into())),
        }
    }

    pub(super) fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("pn_provider".into(), self.provider.as_str().into());
        for (name, value) in [("pn_param", &self.param), ("pn_prid", &self.prid)] {
            if let Some(value) = value {
                body.insert(name.into(), value.expose().as_str().into());
            }
        }
        body
    }
}

impl FlexiApi {
    /// Sends a push notification to a device.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `ServerBusy` when it was not sent.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn push_notification(
        &self,
        target: &PushTarget,
        kind: PushKind,
        call_id: Option<&str>,
    ) -> Result<()> {
        let mut body = target.body();
        body.insert("type".into(), kind.as_str().into());
        if let Some(call_id) = call_id {
            body.insert("call_id".into(), call_id.into());
        }
        self.push("push_notification", &["push_notification"], body)
            .await
    }

    /// Has something pushed, once: the server throttles by minutes, so that another try in a moment is
    /// one too many.
    pub(super) async fn push(
        &self,
        operation: &'static str,
        path: &[&str],
        body: Map<String, Value>,
    ) -> Result<()> {
        let request = self.request(operation, Method::POST, path)?;
        let request = request.with_body(Value::Object(body).to_string());
        let call = ApiCall::act(operation, request).without_repeats();
        self.call(operation, call, true).await?.done();
        Ok(())
    }
}
