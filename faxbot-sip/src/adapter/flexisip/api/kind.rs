//! Types of accounts.

use faxbot_core::Result;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{FlexiApi, lenient};

/// A type that accounts can have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct AccountType {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: u64,
    /// Its name: lower case letters, digits, `-` and `_`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub key: String,
}

impl FlexiApi {
    /// All types. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn account_types(&self) -> Result<Vec<AccountType>> {
        let list: lenient::List<_> = self.read("account_types", &["account_types"]).await?;
        Ok(list.0)
    }

    /// Makes a type. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn create_account_type(&self, key: &str) -> Result<AccountType> {
        let body = json!({ "key": key });
        let answer = self.post("create_account_type", &["account_types"], body);
        answer.await?.json()
    }

    /// Names a type anew. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn update_account_type(&self, id: u64, key: &str) -> Result<AccountType> {
        let path = ["account_types", &id.to_string()];
        let answer = self.put("update_account_type", &path, json!({ "key": key }));
        answer.await?.json()
    }

    /// Deletes a type. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_account_type(&self, id: u64) -> Result<()> {
        let path = ["account_types", &id.to_string()];
        self.delete("delete_account_type", &path).await?.deleted()
    }

    /// Gives an account a type. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account that has it.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn add_account_type(&self, account: u64, kind: u64) -> Result<()> {
        let path = ["accounts", &account.to_string(), "types", &kind.to_string()];
        let answer = self.act("add_account_type", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }

    /// Takes a type away from an account. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account that does not have it.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn remove_account_type(&self, account: u64, kind: u64) -> Result<()> {
        let path = ["accounts", &account.to_string(), "types", &kind.to_string()];
        self.delete("remove_account_type", &path).await?.deleted()
    }
}
