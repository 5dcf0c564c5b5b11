//! Spaces: the domains that one account manager serves. All of it takes a super admin.

use std::fmt;

use faxbot_core::{Private, Result, Secret, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{FlexiApi, lenient};

/// A Space. `Debug` shows its name, domain and host.
#[derive(Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Space {
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: String,
    /// Its SIP domain.
    pub domain: String,
    /// The host name that chooses it.
    #[serde(default, deserialize_with = "lenient::text")]
    pub host: String,
    /// Whether its admins are super admins.
    #[serde(default, rename = "super", deserialize_with = "lenient::boolean")]
    pub is_super: bool,
    /// How many accounts it may have; 0 for any number.
    #[serde(default, deserialize_with = "lenient::number")]
    pub max_accounts: u64,
    /// When it ends: every route of it is 403 then.
    #[serde(default, deserialize_with = "lenient::time")]
    pub expire_at: Option<Timestamp>,
    /// All the others, by the server's names. What is no plain value is only told, and not sent back.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Space {
    /// All of it: what is left out is refused or reset.
    fn body(&self) -> Value {
        let plain = self
            .others
            .iter()
            .filter(|(_, value)| !value.is_object() && !value.is_array());
        let mut body: Map<_, _> = plain.map(|(k, v)| (k.clone(), v.clone())).collect();
        body.insert("name".into(), json!(self.name));
        body.insert("domain".into(), json!(self.domain));
        body.insert("host".into(), json!(self.host));
        body.insert("super".into(), json!(self.is_super));
        body.insert("max_accounts".into(), json!(self.max_accounts));
        body.insert("expire_at".into(), json!(self.expire_at));
        Value::Object(body)
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A mail server with its password may be among the others.
        f.debug_struct("Space")
            .field("name", &self.name)
            .field("domain", &self.domain)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// A Space to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewSpace {
    /// Its name.
    pub name: String,
    /// Its SIP domain.
    pub domain: String,
    /// The host name that chooses it.
    pub host: String,
}

impl NewSpace {
    /// A Space.
    pub fn new(
        name: impl Into<String>,
        domain: impl Into<String>,
        host: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            domain: domain.into(),
            host: host.into(),
        }
    }
}

/// The mail server of a Space.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct EmailServer {
    /// Its host.
    #[serde(deserialize_with = "lenient::text")]
    pub host: String,
    /// Its port.
    #[serde(default, deserialize_with = "lenient::number")]
    pub port: u64,
    /// The user.
    #[serde(default)]
    pub username: Option<Private>,
    /// The sender's address.
    #[serde(default)]
    pub from_address: Option<Private>,
    /// The sender's name.
    #[serde(default)]
    pub from_name: Option<Private>,
    /// What stands below each mail.
    #[serde(default)]
    pub signature: Option<Private>,
}

/// A mail server to be set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewEmailServer {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password.
    pub login: Option<(Private, Secret)>,
    /// The sender's address.
    pub from_address: Option<Private>,
    /// The sender's name.
    pub from_name: Option<Private>,
    /// What stands below each mail.
    pub signature: Option<Private>,
}

impl NewEmailServer {
    /// A mail server without a login.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            login: None,
            from_address: None,
            from_name: None,
            signature: None,
        }
    }
}

impl FlexiApi {
    /// All Spaces.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn spaces(&self) -> Result<Vec<Space>> {
        let list: lenient::List<_> = self.read("spaces", &["spaces"]).await?;
        Ok(list.0)
    }

    /// A Space by its domain.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn space(&self, domain: &str) -> Result<Space> {
        self.read("space", &["spaces", domain]).await
    }

    /// Makes a Space.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn create_space(&self, space: &NewSpace) -> Result<Space> {
        let body = json!({ "name": space.name, "domain": space.domain, "host": space.host });
        self.post("create_space", &["spaces"], body).await?.json()
    }

    /// Changes a Space: take it by [`space`](Self::space), change it, and give the whole back.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn update_space(&self, space: &Space) -> Result<Space> {
        let path = ["spaces", space.domain.as_str()];
        self.put("update_space", &path, space.body()).await?.json()
    }

    /// Deletes a Space **and all its accounts**.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for one that is not there.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_space(&self, domain: &str) -> Result<()> {
        let path = ["spaces", domain];
        self.delete("delete_space", &path).await?.deleted()
    }

    /// The mail server of a Space.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for a Space without one.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn email_server(&self, domain: &str) -> Result<EmailServer> {
        self.read("email_server", &["spaces", domain, "email"])
            .await
    }

    /// Sets the mail server of a Space.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn set_email_server(
        &self,
        domain: &str,
        server: &NewEmailServer,
    ) -> Result<EmailServer> {
        let user = server.login.as_ref().map(|(user, _)| user);
        let password = server.login.as_ref().map(|(_, password)| password.expose());
        let body = json!({
            "host": server.host,
            "port": server.port,
            "username": user,
            "password": password,
            "from_address": server.from_address,
            "from_name": server.from_name,
            "signature": server.signature,
        });
        let path = ["spaces", domain, "email"];
        self.post("set_email_server", &path, body).await?.json()
    }

    /// Removes the mail server of a Space.
    ///
    /// # Errors
    /// As [`FlexiApi`] says. The account manager looks the Space up by its host name here, so that
    /// `domain` has to be that (`EmailServerController.php` of August 2026).
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_email_server(&self, domain: &str) -> Result<()> {
        let path = ["spaces", domain, "email"];
        self.delete("delete_email_server", &path).await?.deleted()
    }
}
