//! External accounts: where an account is registered elsewhere by the server's back-to-back agent.

use faxbot_core::{Private, Result, Secret};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{FlexiApi, lenient};

/// An account at another server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ExternalAccount {
    /// The user.
    pub username: Private,
    /// The domain.
    #[serde(default, deserialize_with = "lenient::text")]
    pub domain: String,
    /// The realm, where it is not the domain.
    #[serde(default)]
    pub realm: Option<String>,
    /// The registrar, where it is not the domain.
    #[serde(default)]
    pub registrar: Option<String>,
    /// The proxy, where there is one.
    #[serde(default)]
    pub outbound_proxy: Option<String>,
    /// `UDP`, `TCP` or `TLS`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub protocol: String,
}

/// How an external account is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExternalProtocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

impl ExternalProtocol {
    /// The server's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }
}

/// An external account to be made or changed. The server resets what is left out, but the password.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewExternalAccount {
    /// The user.
    pub username: Private,
    /// The domain.
    pub domain: String,
    /// The password; needed for a new one, and with another realm or domain.
    pub password: Option<Secret>,
    /// The protocol.
    pub protocol: ExternalProtocol,
    /// The realm, where it is not the domain.
    pub realm: Option<String>,
    /// The registrar, where it is not the domain.
    pub registrar: Option<String>,
    /// The proxy, where there is one.
    pub outbound_proxy: Option<String>,
}

impl NewExternalAccount {
    /// An external account with a password.
    pub fn new(
        username: impl Into<String>,
        domain: impl Into<String>,
        password: impl Into<Secret>,
        protocol: ExternalProtocol,
    ) -> Self {
        Self {
            username: Private::new(username.into()),
            domain: domain.into(),
            password: Some(password.into()),
            protocol,
            realm: None,
            registrar: None,
            outbound_proxy: None,
        }
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("username".into(), json!(self.username));
        for (name, value) in [
            ("domain", Some(self.domain.as_str())),
            ("password", self.password.as_ref().map(Secret::expose)),
            ("protocol", Some(self.protocol.as_str())),
            ("realm", self.realm.as_deref()),
            ("registrar", self.registrar.as_deref()),
            ("outbound_proxy", self.outbound_proxy.as_deref()),
        ] {
            if let Some(value) = value {
                body.insert(name.into(), value.into());
            }
        }
        Value::Object(body)
    }
}

impl FlexiApi {
    /// The external account of an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for an account without one.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn external_account(&self, account: u64) -> Result<ExternalAccount> {
        let path = ["accounts", &account.to_string(), "external"];
        self.read("external_account", &path).await
    }

    /// Makes the external account of an account, or changes it. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn set_external_account(
        &self,
        account: u64,
        external: &NewExternalAccount,
    ) -> Result<ExternalAccount> {
        let path = ["accounts", &account.to_string(), "external"];
        let answer = self.post("set_external_account", &path, external.body());
        answer.await?.json()
    }

    /// Deletes the external account of an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says. The server does not tell whether there was one.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn delete_external_account(&self, account: u64) -> Result<()> {
        let path = ["accounts", &account.to_string(), "external"];
        self.delete("delete_external_account", &path).await?.done();
        Ok(())
    }
}
