//! Lists of contacts that several accounts share.

use faxbot_core::Result;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{FlexiApi, lenient};

/// A list of contacts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ContactsList {
    /// Its id.
    #[serde(deserialize_with = "lenient::id")]
    pub id: u64,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::text")]
    pub title: String,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::text")]
    pub description: String,
    /// How many contacts are in it, where the server tells.
    #[serde(default, deserialize_with = "lenient::some_number")]
    pub contacts_count: Option<u64>,
}

impl FlexiApi {
    /// All lists of the Space. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn contacts_lists(&self) -> Result<Vec<ContactsList>> {
        let list: lenient::List<_> = self.read("contacts_lists", &["contacts_lists"]).await?;
        Ok(list.0)
    }

    /// Makes a list. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn create_contacts_list(
        &self,
        title: &str,
        description: &str,
    ) -> Result<ContactsList> {
        let body = json!({ "title": title, "description": description });
        let answer = self.post("create_contacts_list", &["contacts_lists"], body);
        answer.await?.json()
    }

    /// Names a list anew. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn update_contacts_list(
        &self,
        id: u64,
        title: &str,
        description: &str,
    ) -> Result<ContactsList> {
        let path = ["contacts_lists", &id.to_string()];
        let body = json!({ "title": title, "description": description });
        self.put("update_contacts_list", &path, body).await?.json()
    }

    /// Deletes a list. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_contacts_list(&self, id: u64) -> Result<()> {
        let path = ["contacts_lists", &id.to_string()];
        self.delete("delete_contacts_list", &path).await?.deleted()
    }

    /// Puts an account into a list. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn add_to_contacts_list(&self, list: u64, contact: u64) -> Result<()> {
        let (list, contact) = (list.to_string(), contact.to_string());
        let path = ["contacts_lists", &list, "contacts", &contact];
        let answer = self.act("add_to_contacts_list", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }

    /// Takes an account out of a list. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `NotFound` for one that is not in it.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn remove_from_contacts_list(&self, list: u64, contact: u64) -> Result<()> {
        let (list, contact) = (list.to_string(), contact.to_string());
        let path = ["contacts_lists", &list, "contacts", &contact];
        let answer = self.delete("remove_from_contacts_list", &path).await?;
        answer.deleted()
    }

    /// Lets an account see a list. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account that sees it already.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn share_contacts_list(&self, account: u64, list: u64) -> Result<()> {
        let (account, list) = (account.to_string(), list.to_string());
        let path = ["accounts", &account, "contacts_lists", &list];
        let answer = self.act("share_contacts_list", Method::POST, &path, None);
        answer.await?.done();
        Ok(())
    }

    /// Lets an account see a list no longer. Takes an admin.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `PermissionDenied` also for an account that does not see it.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn unshare_contacts_list(&self, account: u64, list: u64) -> Result<()> {
        let (account, list) = (account.to_string(), list.to_string());
        let path = ["accounts", &account, "contacts_lists", &list];
        self.delete("unshare_contacts_list", &path).await?.deleted()
    }
}
