//! Call forwarding, since 2.1.

use faxbot_core::{Private, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{FlexiApi, Owner, address, lenient};

/// When a call is forwarded. An account has one of each at most, and `Always` not beside others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardingType {
    /// At once.
    Always,
    /// When nobody answers.
    NoAnswer,
    /// When the line is busy.
    Busy,
}

impl ForwardingType {
    /// The server's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
        }
    }
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardTo {
    /// A SIP address.
    SipUri(Private),
    /// The voicemail.
    Voicemail,
    /// A contact of the account, by its id.
    Contact(u64),
}

/// A rule of an account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CallForwarding {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: u64,
    /// When, in the server's word ([`ForwardingType::as_str`]).
    #[serde(default, rename = "type", deserialize_with = "lenient::text")]
    pub kind: String,
    /// Where to: `sip_uri`, `voicemail` or `contact`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub forward_to: String,
    /// The SIP address.
    #[serde(default)]
    pub sip_uri: Option<Private>,
    /// The contact.
    #[serde(default, deserialize_with = "lenient::some_number")]
    pub contact_id: Option<u64>,
    /// The SIP address of the contact.
    #[serde(default)]
    pub contact_sip_uri: Option<Private>,
    /// Whether it holds now.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub enabled: bool,
}

/// A rule to be made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewCallForwarding {
    /// When.
    pub kind: ForwardingType,
    /// Where to.
    pub to: ForwardTo,
    /// Whether it holds at once.
    pub enabled: bool,
}

impl NewCallForwarding {
    /// A rule that holds at once.
    pub fn new(kind: ForwardingType, to: ForwardTo) -> Self {
        Self {
            kind,
            to,
            enabled: true,
        }
    }

    fn body(&self, operation: &'static str) -> Result<Value> {
        let mut body = json!({ "type": self.kind.as_str(), "enabled": self.enabled });
        if let Value::Object(map) = &mut body {
            let word = match &self.to {
                ForwardTo::SipUri(uri) => {
                    let uri = format!("sip:{}", address(operation, uri.expose())?);
                    map.insert("sip_uri".into(), uri.into());
                    "sip_uri"
                }
                ForwardTo::Voicemail => "voicemail",
                ForwardTo::Contact(id) => {
                    map.insert("contact_id".into(), (*id).into());
                    "contact"
                }
            };
            map.insert("forward_to".into(), word.into());
        }
        Ok(body)
    }
}

impl FlexiApi {
    /// The rules of an account.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` also for a server that does not have them.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn call_forwardings(
        &self,
        owner: impl Into<Owner> + Send,
    ) -> Result<Vec<CallForwarding>> {
        let path = ["accounts", &owner.into().segment(), "call_forwardings"];
        let list: lenient::List<_> = self.read("call_forwardings", &path).await?;
        Ok(list.0)
    }

    /// A rule of an account.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn call_forwarding(
        &self,
        owner: impl Into<Owner> + Send,
        id: u64,
    ) -> Result<CallForwarding> {
        let (owner, id) = (owner.into().segment(), id.to_string());
        let path = ["accounts", &owner, "call_forwardings", &id];
        self.read("call_forwarding", &path).await
    }

    /// Makes a rule.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `InvalidRequest` for what is no SIP address.
    ///
    /// # Cancel safety
    /// A request that was written is not undone: [`call_forwardings`](Self::call_forwardings) tells.
    pub async fn create_call_forwarding(
        &self,
        owner: impl Into<Owner> + Send,
        rule: &NewCallForwarding,
    ) -> Result<CallForwarding> {
        let operation = "create_call_forwarding";
        let path = ["accounts", &owner.into().segment(), "call_forwardings"];
        let answer = self.post(operation, &path, rule.body(operation)?).await?;
        answer.json()
    }

    /// Changes a rule. The server only takes a SIP address as where to then.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `InvalidRequest` for what is no SIP address.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn update_call_forwarding(
        &self,
        owner: impl Into<Owner> + Send,
        id: u64,
        rule: &NewCallForwarding,
    ) -> Result<CallForwarding> {
        let operation = "update_call_forwarding";
        let (owner, id) = (owner.into().segment(), id.to_string());
        let path = ["accounts", &owner, "call_forwardings", &id];
        let answer = self.put(operation, &path, rule.body(operation)?).await?;
        answer.json()
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for one that is not there.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_call_forwarding(
        &self,
        owner: impl Into<Owner> + Send,
        id: u64,
    ) -> Result<()> {
        let (owner, id) = (owner.into().segment(), id.to_string());
        let path = ["accounts", &owner, "call_forwardings", &id];
        self.delete("delete_call_forwarding", &path)
            .await?
            .deleted()
    }
}
