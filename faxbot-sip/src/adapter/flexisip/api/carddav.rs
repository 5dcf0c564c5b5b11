//! CardDAV servers of a Space, and the credentials that accounts have there. Since 2.1.

use faxbot_core::{Private, Result, Secret};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{FlexiApi, lenient};

/// A CardDAV server of a Space.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct CarddavServer {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: u64,
    /// Where it is.
    #[serde(default, deserialize_with = "lenient::text")]
    pub uri: String,
    /// Whether it is used.
    #[serde(default, deserialize_with = "lenient::boolean")]
    pub enabled: bool,
    /// The limits, by the server's names.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// The credentials of an account at a CardDAV server.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct CarddavCredentials {
    /// The id of the server.
    #[serde(deserialize_with = "lenient::id")]
    pub carddav_id: u64,
    /// The user.
    pub username: Private,
    /// The realm.
    #[serde(default, deserialize_with = "lenient::text")]
    pub realm: String,
    /// `MD5` or `SHA-256`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub algorithm: String,
    /// The hash of user, realm and password: as good as the password for Digest.
    #[serde(default)]
    pub password: Option<Secret>,
}

/// Credentials to be set.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewCarddavCredentials {
    /// The user.
    pub username: Private,
    /// The password; the server keeps its hash.
    pub password: Secret,
    /// The realm of the CardDAV server.
    pub realm: String,
    /// `MD5` or `SHA-256`.
    pub algorithm: String,
}

impl NewCarddavCredentials {
    /// Credentials for a server with SHA-256.
    pub fn new(
        username: impl Into<String>,
        password: impl Into<Secret>,
        realm: impl Into<String>,
    ) -> Self {
        Self {
            username: Private::new(username.into()),
            password: password.into(),
            realm: realm.into(),
            algorithm: "SHA-256".to_owned(),
        }
    }
}

impl FlexiApi {
    /// The CardDAV servers of a Space. Takes a super admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn carddav_servers(&self, domain: &str) -> Result<Vec<CarddavServer>> {
        let path = ["spaces", domain, "carddavs"];
        let list: lenient::List<_> = self.read("carddav_servers", &path).await?;
        Ok(list.0)
    }

    /// Makes a CardDAV server of a Space. The server does not tell its id. Takes a super admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn create_carddav_server(
        &self,
        domain: &str,
        uri: &str,
        enabled: bool,
    ) -> Result<()> {
        let path = ["spaces", domain, "carddavs"];
        let body = json!({ "uri": uri, "enabled": enabled });
        self.post("create_carddav_server", &path, body)
            .await?
            .done();
        Ok(())
    }

    /// Deletes a CardDAV server of a Space. Takes a super admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_carddav_server(&self, domain: &str, id: u64) -> Result<()> {
        let path = ["spaces", domain, "carddavs", &id.to_string()];
        self.delete("delete_carddav_server", &path).await?.deleted()
    }

    /// The CardDAV credentials of an account. Takes an admin, and a Space that allows them.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn carddav_credentials(&self, account: u64) -> Result<Vec<CarddavCredentials>> {
        let path = ["accounts", &account.to_string(), "carddavs"];
        let list: lenient::List<_> = self.read("carddav_credentials", &path).await?;
        Ok(list.0)
    }

    /// Sets the credentials of an account at a CardDAV server. Takes an admin, and a Space that allows
    /// them.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn set_carddav_credentials(
        &self,
        account: u64,
        server: u64,
        credentials: &NewCarddavCredentials,
    ) -> Result<()> {
        let (account, server) = (account.to_string(), server.to_string());
        let path = ["accounts", &account, "carddavs", &server];
        let body = json!({
            "username": credentials.username,
            "password": credentials.password.expose(),
            "realm": credentials.realm,
            "algorithm": credentials.algorithm,
        });
        let answer = self.put("set_carddav_credentials", &path, body).await?;
        answer.done();
        Ok(())
    }
}
