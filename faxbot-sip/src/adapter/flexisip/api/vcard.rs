//! vCards that an account keeps at the server.

use faxbot_core::{Private, Result};
use serde::Deserialize;
use serde_json::json;

use super::{FlexiApi, Owner, lenient};

/// A vCard.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Vcard {
    /// Its text (RFC 6350). Its `UID` is the id that the routes take.
    pub vcard: Private,
}

impl FlexiApi {
    /// The vCards of an account.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn vcards(&self, owner: impl Into<Owner> + Send) -> Result<Vec<Vcard>> {
        let path = ["accounts", &owner.into().segment(), "vcards-storage"];
        let list: lenient::List<_> = self.read("vcards", &path).await?;
        Ok(list.0)
    }

    /// A vCard by its `UID`.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// Only reads.
    pub async fn vcard(&self, owner: impl Into<Owner> + Send, uid: &str) -> Result<Vcard> {
        let path = ["accounts", &owner.into().segment(), "vcards-storage", uid];
        self.read("vcard", &path).await
    }

    /// Keeps a new vCard.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Rejected` (409) for a `UID` that is taken.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn create_vcard(&self, owner: impl Into<Owner> + Send, vcard: &str) -> Result<Vcard> {
        let path = ["accounts", &owner.into().segment(), "vcards-storage"];
        let answer = self.post("create_vcard", &path, json!({ "vcard": vcard }));
        answer.await?.json()
    }

    /// Replaces a vCard by one with the same `UID`.
    ///
    /// # Errors
    /// As [`FlexiApi`] says; `Rejected` (422) for another `UID`.
    ///
    /// # Cancel safety
    /// Safe to repeat.
    pub async fn update_vcard(
        &self,
        owner: impl Into<Owner> + Send,
        uid: &str,
        vcard: &str,
    ) -> Result<Vcard> {
        let path = ["accounts", &owner.into().segment(), "vcards-storage", uid];
        let answer = self.put("update_vcard", &path, json!({ "vcard": vcard }));
        answer.await?.json()
    }

    /// Deletes a vCard.
    ///
    /// # Errors
    /// As [`FlexiApi`] says.
    ///
    /// # Cancel safety
    /// A request that was written is not undone.
    pub async fn delete_vcard(&self, owner: impl Into<Owner> + Send, uid: &str) -> Result<()> {
        let path = ["accounts", &owner.into().segment(), "vcards-storage", uid];
        self.delete("delete_vcard", &path).await?.deleted()
    }
}
