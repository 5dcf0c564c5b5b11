//! Actions of an account: what its digits do.

use faxbot_core::{Private, Result};
use serde::Deserialize;
use serde_json::json;

use super::{FlexiApi, lenient};

/// Something that digits do. Only an account with a DTMF protocol has any.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AccountAction {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: u64,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub key: String,
    /// The digits: they may open a door.
    #[serde(default)]
    pub code: Private,
}

impl FlexiApi {
    /// The actions of an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account without a DTMF protocol.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn actions(&self, account: u64) -> Result<Vec<AccountAction>> {
        let path = ["accounts", &account.to_string(), "actions"];
        let list: lenient::List<_> = self.read("actions", &path).await?;
        Ok(list.0)
    }

    /// Makes an action: lower case letters and digits. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account without a DTMF protocol.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn create_action(
        &self,
        account: u64,
        key: &str,
        code: &str,
    ) -> Result<AccountAction> {
        let path = ["accounts", &account.to_string(), "actions"];
        let body = json!({ "key": key, "code": code });
        self.post("create_action", &path, body).await?.json()
    }

    /// Changes an action. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn update_action(
        &self,
        account: u64,
        action: u64,
        key: &str,
        code: &str,
    ) -> Result<AccountAction> {
        let (account, action) = (account.to_string(), action.to_string());
        let path = ["accounts", &account, "actions", &action];
        let body = json!({ "key": key, "code": code });
        self.put("update_action", &path, body).await?.json()
    }

    /// Deletes an action. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_action(&self, account: u64, action: u64) -> Result<()> {
        let (account, action) = (account.to_string(), action.to_string());
        let path = ["accounts", &account, "actions", &action];
        self.delete("delete_action", &path).await?.deleted()
    }
}
